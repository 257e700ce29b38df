
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A codec: a wire format, observing side.  What the glue asks of a request
 * and of an answer, whatever their dialect, stands in the heads that each
 * codec's readers begin with; how they are read is the codec's.
 */


#ifndef _NCR_CODEC_H_INCLUDED_
#define _NCR_CODEC_H_INCLUDED_


#include "ncr_model.h"
#include "ncr_hash.h"
#include "ncr_out.h"
#include "ncr_edit.h"


#define NCR_ID           64             /* of a message, response, batch */


/*
 * Members of a body's top level that a platform may edit: where they are.
 * The offsets are those of the body as it came.
 */

#define NCR_MEMBERS      64

typedef struct {
    ncr_uint_t      name;               /* the codec's number for it, less
                                           than 64; 0: it has no name here */
    uint64_t        key;                /* its key's first quote */
    uint64_t        start;              /* span of the value */
    uint64_t        end;
} ncr_member_t;


/* all of them, in their order; a body with more is refused by its reader */

typedef struct {
    ncr_uint_t      n;
    uint64_t        open;               /* after the body's "{" */
    uint64_t        close;              /* at its "}" */
    ncr_member_t    member[NCR_MEMBERS];
} ncr_members_t;


/* a request's body; each reader of requests begins with it */

typedef struct {

    /* results, valid once request_final() said NCR_OK */

    ncr_str_t       model;              /* unescaped; "" if there is none */
    uint64_t        model_start;        /* span of the value with quotes */
    uint64_t        model_end;
    int64_t         max_tokens;         /* -1 if not told */
    unsigned        stream:1;
    unsigned        strong:1;           /* the session outranks headers */
    unsigned        thread:1;           /* kept by the account that answers */
    char            previous[NCR_ID];   /* message it goes on from */

    ncr_str_t       session;            /* "" if none */

    /* SHA-256 of the cacheable prefix, if there is no session */

    unsigned        hashed:1;
    ncr_char_t      digest[NCR_SHA256_LEN];

    /*
     * told only if turns was set after init, as it makes messages dearer to
     * read: the last message is a user's, and has a tool's result in it
     */
    unsigned        turns:1;
    unsigned        user:1;
    unsigned        result:1;

    /* NULL if the codec has no use for them; the reader's: the body's, and
     * behind them those of objects inside it, if lists is more than 1 */
    ncr_members_t  *members;
    ncr_uint_t      lists;

    /* after NCR_BAD: NULL for syntax; for request_error() */
    const char     *error;
} ncr_request_t;


/* an answer, stream or JSON; each reader of answers begins with it */

typedef enum {
    NCR_ANSWER_NOTHING = 0,             /* no real event yet */
    NCR_ANSWER_STARTED,                 /* a real event was seen */
    NCR_ANSWER_COMPLETE,                /* its last event, or a whole body */
    NCR_ANSWER_FAILED                   /* an error event */
} ncr_answer_state_e;


typedef struct {
    ncr_answer_state_e  state;
    ncr_usage_t   usage;
    unsigned      has_usage:1;
    unsigned      pinged:1;             /* a ping or comment came */
    char          model[NCR_MODEL_LEN];         /* as served */
    char          id[NCR_ID];
    char          stop_reason[40];
    char          service_tier[16];
    char          speed[16];
    char          inference_geo[16];
    char          error_type[48];               /* of the error event */
    char          error_message[256];
    ncr_uint_t    messages;             /* of one body */
} ncr_answer_t;


struct ncr_codec_s {
    ncr_dialect_e   dialect;

    /* of its streams, where they are no text/event-stream; no comment can be
     * put into them, or NULL */
    const char     *stream_type;

    /* a stream has no last event: the end of its framing is its end */
    unsigned        open_end:1;

    /*
     * Requests.  plain and cached are created contexts for the hash, or both
     * NULL when the session is known already; op is one that is scanned.
     * feed() and final() are NCR_OK or NCR_BAD, error() the message then, into
     * buf, as a slice of it.
     */
    void          (*request_init)(ncr_request_t *req, ncr_sha256_t *plain,
                                  ncr_sha256_t *cached, ncr_op_e op);
    ncr_int_t     (*request_feed)(ncr_request_t *req, ncr_char_t *p,
                                  size_t len);
    ncr_int_t     (*request_final)(ncr_request_t *req);
    ncr_str_t     (*request_error)(ncr_request_t *req, char *buf,
                                   size_t size);

    /*
     * Answers.  lender is who lends what few answers need (the codec knows
     * its type); done() gives that back, more than once is fine.  Bytes that
     * cannot be read are passed over.  stream_feed() takes a text/event-stream
     * body, body_feed() a JSON body.
     */
    void          (*answer_init)(ncr_answer_t *a, const void *lender,
                                 ncr_op_e op);
    void          (*answer_done)(ncr_answer_t *a);
    void          (*stream_feed)(ncr_answer_t *a, ncr_char_t *p, size_t len);
    void          (*body_feed)(ncr_answer_t *a, ncr_char_t *p, size_t len);

    /* what is to be paid for, by model, at most NCR_PARTS; 0: none was told.
     * asked: the model of the request, for what names none */
    ncr_uint_t    (*parts)(ncr_answer_t *a, ncr_str_t *asked,
                           ncr_part_t *parts);

    /* 1 if the stream is between two events: a comment may be put in */
    ncr_uint_t    (*boundary)(ncr_answer_t *a);

    /* errors of our own: a body, and an event that ends the stream of a */
    void          (*error)(ncr_out_t *out, ncr_uint_t status,
                           ncr_str_t *message, ncr_str_t *request_id);
    void          (*error_event)(ncr_answer_t *a, ncr_out_t *out,
                                 ncr_uint_t status, ncr_str_t *message,
                                 ncr_str_t *request_id);
};


/* of usage told once, for one model: what parts() is in most dialects */
ncr_uint_t ncr_answer_part(ncr_answer_t *a, ncr_str_t *asked,
    ncr_part_t *parts);


/*
 * Edits of members.  Into edits, in no order (see ncr_edit_sort()); what they
 * insert is not copied.
 *
 * find() is NULL if there is none.  remove() leaves out all members whose
 * names are set in the mask, with their commas: at most one edit for each of
 * them, their number is returned.  set() puts text in the place of a member's
 * value.  add() puts members, such as "\"a\":1,\"b\":2", behind all others, of
 * which those of the mask removed are left out: one or two edits, their number
 * is returned.  What lies at the end can be edited once, so whatever is to be
 * added goes in one call.
 */
ncr_member_t *ncr_members_find(ncr_members_t *members, ncr_uint_t name);
ncr_uint_t ncr_members_remove(ncr_members_t *members, uint64_t mask,
    ncr_edit_t *edits);
void ncr_members_set(ncr_member_t *member, ncr_str_t *text, ncr_edit_t *edit);
ncr_uint_t ncr_members_add(ncr_members_t *members, uint64_t removed,
    ncr_str_t *text, ncr_edit_t *edits);


#endif /* _NCR_CODEC_H_INCLUDED_ */
