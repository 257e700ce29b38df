
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What readers of requests have in common, whatever their dialect. */


#ifndef _NCR_CODEC_REQUEST_H_INCLUDED_
#define _NCR_CODEC_REQUEST_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_json.h"


/* top-level keys: the open one, and which there were */

typedef struct {
    uint64_t        known;              /* a bit for each name */
    ncr_uint_t      nothers;
    size_t          len;

    /* what needs no value before it has one */

    ncr_char_t      text[64];           /* of the open one, cut */
    uint64_t        others[NCR_MEMBERS];        /* hashes of their names */
} ncr_keys_t;


/* the hash of the cacheable prefix, part by part */

typedef struct {
    ncr_sha256_t   *sha;                /* NULL: nothing is hashed */
    ncr_sha256_t   *also;               /* or NULL: gets the same bytes */
    ncr_char_t     *chunk;
    uint64_t        base;               /* the offset of chunk */
    uint64_t        from;
    uint64_t        n;                  /* of this part */
    uint64_t        max;                /* of each */
    ncr_uint_t      depth;              /* of the value */
    unsigned        hashing:1;          /* inside a value */
    unsigned        lead:1;             /* before its first byte */
} ncr_prefix_t;


/* a reader's result for what it refuses */

static inline ncr_int_t
ncr_request_bad(ncr_request_t *told, const char *error)
{
    told->error = error;

    return NCR_BAD;
}


/* told is all zeros so far */
void ncr_request_init(ncr_request_t *told, ncr_members_t *members,
    ncr_keys_t *keys);

/* NCR_OK or NCR_BAD */
ncr_int_t ncr_request_feed(ncr_json_t *json, ncr_prefix_t *prefix,
    ncr_char_t *p, size_t len);

/* for request_error(); "%" in told->error stands for the name of the key */
ncr_str_t ncr_request_error(ncr_request_t *told, ncr_json_t *json,
    ncr_keys_t *keys, char *buf, size_t size);

/*
 * A top-level key, in two steps, NCR_OK or NCR_BAD: its name, for which
 * name->data has room for NCR_JSON_TEXT bytes; and what number that is, 0: it
 * means nothing.  One that is told again is refused.
 */
ncr_int_t ncr_request_key(ncr_request_t *told, ncr_json_t *json,
    ncr_keys_t *keys, ncr_str_t *name);
ncr_int_t ncr_request_member(ncr_request_t *told, ncr_json_t *json,
    ncr_keys_t *keys, ncr_str_t *name, ncr_uint_t number);

/* where a member is, of which there is room; its value, or the end of one */
void ncr_members_place(ncr_members_t *members, ncr_uint_t name,
    ncr_json_t *json);
void ncr_members_span(ncr_members_t *members, ncr_json_t *json,
    ncr_json_token_e token);

/* the value of "model"; buf has NCR_MODEL_LEN bytes; NCR_OK or NCR_BAD */
ncr_int_t ncr_request_model(ncr_request_t *told, ncr_json_t *json,
    ncr_json_token_e token, ncr_char_t *buf, ncr_uint_t required);

/* ncr_json_int() of the token's text; NCR_BAD, too, if that is cut */
ncr_int_t ncr_request_number(ncr_json_t *json, int64_t *n);

/* keeps at most size bytes of it in buf */
void ncr_request_session(ncr_request_t *told, ncr_char_t *buf, size_t size,
    ncr_str_t *session);


/* a part begins; a value of it does, behind its key */
void ncr_prefix_part(ncr_prefix_t *prefix);
void ncr_prefix_value(ncr_prefix_t *prefix, ncr_json_t *json);

/* hashes what was fed up to this offset */
void ncr_prefix_to(ncr_prefix_t *prefix, uint64_t end);
void ncr_prefix_add(ncr_prefix_t *prefix, ncr_char_t *p, size_t len);

/* told->digest, of the digests of two parts, NULL: there was none */
void ncr_prefix_digest(ncr_prefix_t *prefix, ncr_request_t *told,
    ncr_char_t *first, ncr_char_t *second);


#endif /* _NCR_CODEC_REQUEST_H_INCLUDED_ */
