
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A resumable JSON scanner.  It checks the whole text (RFC 8259 grammar,
 * control characters, UTF-8, nesting) in one pass over chunks of any size,
 * in constant memory, and reports the tokens down to a depth that the caller
 * chooses.  It builds nothing and changes nothing.
 *
 * Two liberties: escapes inside strings that are not reported are only
 * skipped, not checked (an upstream refuses them in its own words); the text
 * of a reported token that spans chunks is cut, and marked so, where it is
 * longer than the caller's room for it.
 */


#ifndef _NCR_JSON_H_INCLUDED_
#define _NCR_JSON_H_INCLUDED_


#include "ncr_base.h"


#define NCR_JSON_MAX_DEPTH   512
#define NCR_JSON_TEXT        1024       /* room enough for most */


typedef enum {
    NCR_JSON_OBJECT = 0,                /* "{" */
    NCR_JSON_OBJECT_END,
    NCR_JSON_ARRAY,                     /* "[" */
    NCR_JSON_ARRAY_END,
    NCR_JSON_KEY,                       /* a key, after its closing quote */
    NCR_JSON_STRING,
    NCR_JSON_NUMBER,
    NCR_JSON_TRUE,
    NCR_JSON_FALSE,
    NCR_JSON_NULL
} ncr_json_token_e;


typedef struct ncr_json_s  ncr_json_t;

/*
 * Any result but NCR_OK stops the scan: ncr_json_feed() returns it at once
 * and after that for ever.
 */
typedef ncr_int_t (*ncr_json_token_pt)(ncr_json_t *json,
    ncr_json_token_e token);


struct ncr_json_s {

    /* set by the caller after ncr_json_init(); report by token() as well */

    void               *data;
    ncr_json_token_pt   token;          /* may be NULL: only check */
    ncr_uint_t          report;         /* deepest depth reported */
    ncr_uint_t          max_depth;      /* <= NCR_JSON_MAX_DEPTH */

    /* room for a token cut by a chunk, if there is more than one chunk */

    ncr_char_t         *keep;
    size_t              size;

    /*
     * valid inside token(): the depth is the number of containers around
     * the token, so the outermost "{" has depth 0 and its keys and values
     * depth 1; offsets are from the first byte ever fed, end is that of the
     * byte after the token; a string's span includes its quotes, its text
     * does not, and its escapes are kept; the text lives until token()
     * returns, and a cut text ends between two characters or escapes
     */

    ncr_uint_t          depth;
    uint64_t            start;
    uint64_t            end;
    ncr_str_t           text;           /* of keys, strings and numbers */
    unsigned            escaped:1;      /* the text has a backslash */
    unsigned            cut:1;          /* the text is longer than this */

    /* valid after NCR_BAD */

    const char         *error;          /* "unexpected character" */
    uint64_t            offset;         /* where */

    /* private */

    ncr_int_t           rc;
    ncr_uint_t          state;
    ncr_uint_t          avx2;           /* the machine has it */
    ncr_uint_t          quote_carry;    /* the next byte is escaped */
    uint32_t            utf8;           /* state of a split sequence */
    const char         *literal;        /* what is left of true, false, null */
    ncr_json_token_e    literal_token;
    uint64_t            fed;            /* before the chunk at hand */
    ncr_char_t         *chunk;
    size_t              nkeep;
    ncr_uint_t          object;         /* the innermost container is one */
    uint64_t            stack[NCR_JSON_MAX_DEPTH / 64];   /* 1: an object */
};


void ncr_json_init(ncr_json_t *json);

/* the same, and sets what a text needs that comes in chunks */
void ncr_json_begin(ncr_json_t *json, void *data, ncr_json_token_pt token,
    ncr_uint_t report, ncr_char_t *keep, size_t size);

/*
 * NCR_AGAIN: feed more; NCR_OK: one whole value was seen (white space may
 * follow, anything else is NCR_BAD); NCR_BAD: see error and offset; or what
 * token() returned.  Top-level scalars are complete only at ncr_json_final().
 */
ncr_int_t ncr_json_feed(ncr_json_t *json, ncr_char_t *p, size_t len);

/* no more input: NCR_OK, or NCR_BAD when the text is cut */
ncr_int_t ncr_json_final(ncr_json_t *json);

/*
 * Undoes the escapes of a token's text into dst (UTF-8; a lone surrogate
 * becomes U+FFFD), which must have room for text->len bytes; dst may be
 * text->data.  NCR_BAD on an invalid escape.
 */
ncr_int_t ncr_json_unescape(ncr_str_t *dst, ncr_str_t *text);

/* the value of an integer; NCR_DECLINED: not an integer; NCR_BAD: overflow */
ncr_int_t ncr_json_int(ncr_str_t *text, int64_t *value);


#endif /* _NCR_JSON_H_INCLUDED_ */
