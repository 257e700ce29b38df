
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an attempt sends where that is not what the client has sent: another
 * path, other headers, a body edited by slices; and answers that come in
 * another dress than the client's.  A platform's functions fill these in,
 * the glue (way.c, translate.c) does what they say.
 */


#ifndef _NCR_WAY_H_INCLUDED_
#define _NCR_WAY_H_INCLUDED_


#include "ncr_op.h"
#include "ncr_codec.h"


/*
 * A field that accounts of one platform have: a directive of the block, a
 * member of the JSON.  The values of an account are in the order of the
 * platform's table; one that was not written has the default, maybe "".
 */

#define NCR_PARAMS       12

typedef struct {
    ncr_str_t       name;
    ncr_str_t       value;              /* the default */
    unsigned        required:1;
    const char   *(*check)(ncr_str_t *value);   /* what is wrong, or NULL */
} ncr_param_t;


#define NCR_WAY_EDITS    32

/* a header's line, "Name: value" CRLF; none if the value is "" */
void ncr_way_line(ncr_out_t *out, const char *name, ncr_str_t *value);


typedef struct ncr_way_s          ncr_way_t;
typedef struct ncr_translation_s  ncr_translation_t;

struct ncr_way_s {

    /* what is given; slices last for the attempt */

    ncr_op_e        op;
    ncr_dialect_e   dialect;            /* the client's */
    ncr_str_t       method;
    ncr_str_t       path;               /* the client's, behind a prefix; no
                                           percents, no dots */
    ncr_str_t       args;               /* without "?" and without a key */
    ncr_str_t       id;                 /* what the route found in the path */
    ncr_str_t       model;              /* to be sent, after all maps */
    ncr_str_t       asked;              /* as the client wrote it */
    ncr_str_t       session;            /* hex, of this session; "": none */
    ncr_str_t       base;               /* path of the base URL, no last "/" */
    ncr_str_t       host;               /* as in the Host header */
    ncr_str_t       secret;             /* the account's key; "" for tokens */
    ncr_str_t      *params;             /* the account's */
    ncr_str_t       meta;               /* JSON that a login told, or "" */
    ncr_members_t  *members;            /* of the body; or NULL; behind them
                                           those of objects inside it */
    ncr_uint_t      lists;              /* how many of them */
    uint64_t        length;             /* of the body as it came */
    ncr_msec_t      now;
    ncr_char_t      random[16];
    unsigned        stream:1;           /* the client wants events */
    unsigned        moved:1;            /* the session was elsewhere before */
    unsigned        bare:1;             /* by the verdict before */

    /* a header of the client, by its name in lower case; "" if none */
    ncr_str_t     (*header)(ncr_way_t *way, const char *name);

    /* all of the body in one piece, and memory; NULL data: there is none */
    ncr_str_t     (*body)(ncr_way_t *way);
    void         *(*alloc)(ncr_way_t *way, size_t size);
    void           *data;

    /* what is made; all of it starts empty */

    ncr_out_t       target;             /* path and query as they go on the
                                           wire, with base; empty: as came */
    ncr_str_t       host_sent;          /* another host name; "": host */
    ncr_out_t       lines;              /* headers, each with its CRLF */
    const char *const  *drop;           /* headers of the client that stay
                                           behind, lower case, to NULL */
    ncr_edit_t      edits[NCR_WAY_EDITS];
    ncr_uint_t      nedits;
    ncr_out_t       text;               /* room for what they insert: 8 KB;
                                           it does not move */

    /* of the answer's body, where this request needs another one than the
     * platform's; or NULL */
    const ncr_translation_t  *translation;

    /* NCR_BAD: this is refused with */
    ncr_uint_t      status;
    const char     *error;
};

/*
 * A platform's way() is called for each attempt, sign() after it when the
 * body is made: digest is SHA-256 of what will be sent, and lines gets what
 * follows from it.  NCR_OK; NCR_BAD: status and error are set, and the client
 * gets them; NCR_ERROR: no memory.
 */


/*
 * An answer in another dress: of a 2xx all bytes pass through feed(), which
 * writes what the client gets; other answers are known as a whole when they
 * are committed, and error() makes the client's of it.
 */

typedef ncr_int_t (*ncr_translate_pt)(void *data, ncr_char_t *p, size_t len);

struct ncr_translation_s {

    /* does an answer with this Content-Type need it, for this operation?  type
     * is set to the client's Content-Type then; size of the state, 0: no */
    size_t        (*needs)(ncr_op_e op, ncr_str_t *content_type,
                           ncr_str_t *type);

    void          (*init)(void *state, ncr_op_e op, ncr_str_t *model);

    /* NCR_OK; NCR_BAD: broken, after what was written (an error of the
     * client's dialect is written by the glue); NCR_ERROR: no memory */
    ncr_int_t     (*feed)(void *state, ncr_char_t *p, size_t len,
                          ncr_translate_pt write, void *data);

    /* the upstream's body has ended */
    ncr_int_t     (*end)(void *state, ncr_translate_pt write, void *data);

    /* the client's error; status may be changed; an empty out: as it came */
    void          (*error)(ncr_op_e op, ncr_reply_t *reply, ncr_out_t *out,
                           ncr_uint_t *status);

    /*
     * For clients that want no stream, of an upstream that gives nothing
     * else: what comes is in the client's dialect, and is observed as it
     * comes.
     */
    unsigned        fold:1;
};


#endif /* _NCR_WAY_H_INCLUDED_ */
