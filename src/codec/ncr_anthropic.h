
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The Anthropic Messages dialect, observing side: what a relay must know of
 * a request, a stream and an answer while their bytes pass by unchanged.
 * Facts: protocols/anthropic.md D (errors), E (stream, usage), G (sessions).
 */


#ifndef _NCR_ANTHROPIC_H_INCLUDED_
#define _NCR_ANTHROPIC_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_codec_request.h"
#include "ncr_json.h"
#include "ncr_sse.h"
#include "ncr_out.h"
#include "ncr_hash.h"
#include "ncr_edit.h"


/* the request body, fed as it arrives */

#define NCR_ANTHROPIC_SESSION    512
#define NCR_ANTHROPIC_ID         NCR_ID
#define NCR_ANTHROPIC_KEYS       NCR_MEMBERS  /* top-level keys */
#define NCR_ANTHROPIC_HASHED     (64 * 1024)
#define NCR_ANTHROPIC_LEADING    160    /* bytes, however they are escaped */


/* where "system" is, for those who put a block in front of it (B.7) */

typedef enum {
    NCR_ANTHROPIC_SYSTEM_NONE = 0,
    NCR_ANTHROPIC_SYSTEM_STRING,
    NCR_ANTHROPIC_SYSTEM_ARRAY,
    NCR_ANTHROPIC_SYSTEM_NULL,
    NCR_ANTHROPIC_SYSTEM_OTHER
} ncr_anthropic_system_e;


typedef struct {
    ncr_anthropic_system_e  kind;
    uint64_t        open;               /* after the body's "{" */
    uint64_t        start;              /* span of the value */
    uint64_t        end;
    unsigned        alone:1;            /* the body has no member at all */

    /* told only if a text to look for was set */

    uint64_t        after;              /* the end of its first block */
    unsigned        empty:1;            /* "" or [] */
    unsigned        leads:1;            /* block 1 or 2 begins with it */
    unsigned        attributed:1;       /* block 1 is an attribution (B.3) */
} ncr_anthropic_system_t;


/* where "output_config" is, for those who set its effort */

typedef enum {
    NCR_ANTHROPIC_CONFIG_NONE = 0,
    NCR_ANTHROPIC_CONFIG_OBJECT,
    NCR_ANTHROPIC_CONFIG_NULL,
    NCR_ANTHROPIC_CONFIG_OTHER
} ncr_anthropic_config_e;


typedef struct {
    ncr_anthropic_config_e  kind;
    uint64_t        open;               /* after the body's "{" */
    uint64_t        start;              /* span of the value */
    uint64_t        end;
    uint64_t        effort_start;       /* span of its effort; 0: it has none */
    uint64_t        effort_end;
    unsigned        alone:1;            /* the body has no member at all */
    unsigned        empty:1;            /* {} */
    unsigned        again:1;            /* effort is told more than once */
} ncr_anthropic_config_t;


/*
 * Names of top-level members, of told.members too: all that a body has are
 * there, those that mean nothing here as NCR_ANTHROPIC_OTHER.
 */

typedef enum {
    NCR_ANTHROPIC_OTHER = 0,
    NCR_ANTHROPIC_MODEL,
    NCR_ANTHROPIC_STREAM,
    NCR_ANTHROPIC_MAX_TOKENS,
    NCR_ANTHROPIC_METADATA,
    NCR_ANTHROPIC_SYSTEM,
    NCR_ANTHROPIC_MESSAGES,
    NCR_ANTHROPIC_THREAD,
    NCR_ANTHROPIC_CONFIG,

    /* G.1, row 6, the first is the best */

    NCR_ANTHROPIC_SESSION_ID,
    NCR_ANTHROPIC_SESSIONID,
    NCR_ANTHROPIC_PROMPT_CACHE_KEY,
    NCR_ANTHROPIC_CONVERSATION,
    NCR_ANTHROPIC_CONVERSATION_ID,

    /* of which only the place is known */

    NCR_ANTHROPIC_M_THINKING,
    NCR_ANTHROPIC_M_TEMPERATURE,
    NCR_ANTHROPIC_M_TOP_P,
    NCR_ANTHROPIC_M_TOP_K,
    NCR_ANTHROPIC_M_TOOLS,
    NCR_ANTHROPIC_M_TOOL_CHOICE,
    NCR_ANTHROPIC_M_STOP_SEQUENCES,
    NCR_ANTHROPIC_M_VERSION,              /* anthropic_version, of a body */
    NCR_ANTHROPIC_M_BETA,                 /* anthropic_beta */
    NCR_ANTHROPIC_M_SERVICE_TIER,
    NCR_ANTHROPIC_M_CONTEXT_MANAGEMENT,
    NCR_ANTHROPIC_M_MCP_SERVERS,
    NCR_ANTHROPIC_M_CONTAINER,
    NCR_ANTHROPIC_M_INFERENCE_GEO,
    NCR_ANTHROPIC_M_SPEED,
    NCR_ANTHROPIC_M_FALLBACKS,
    NCR_ANTHROPIC_M_CACHE_CONTROL,
    NCR_ANTHROPIC_M_OUTPUT_FORMAT,
    NCR_ANTHROPIC_M_DIAGNOSTICS,
    NCR_ANTHROPIC_MEMBERS
} ncr_anthropic_member_e;


/*
 * told.session is the session by G.1 rows 2, 3, 6 and 7: session_id of
 * user_id's JSON form, what follows "_session_" in its old form, a top-level
 * session_id, sessionId, prompt_cache_key, conversation or conversation_id, or
 * the whole user_id; strong by row 2 or 3.  told.digest is row 8: the blocks
 * of system that have cache_control, else all of system, and the first
 * message, of which cache_control itself is no part, because it moves on with
 * every turn; at most NCR_ANTHROPIC_HASHED bytes are hashed.
 */

typedef struct {
    ncr_request_t   told;
    unsigned        has_user_id:1;      /* metadata.user_id is a string */

    ncr_anthropic_system_t  system;
    ncr_anthropic_config_t  config;

    /*
     * to be set after init, or NULL: what the first or second block of system
     * may begin with; at most NCR_ANTHROPIC_LEADING bytes
     */
    ncr_str_t      *leading;

    ncr_json_t      json;

    /* private */

    ncr_prefix_t    prefix;
    ncr_sha256_t   *cached;             /* of a block of system */
    ncr_uint_t      top;                /* which top-level key is open */
    ncr_uint_t      inner;
    ncr_uint_t      part;               /* which part is being hashed */
    ncr_uint_t      nblocks;            /* of system */
    ncr_uint_t      session_rank;
    unsigned        content:1;          /* which may be an array of blocks */
    unsigned        block_cached:1;
    unsigned        any_cached:1;
    unsigned        has_system:1;
    unsigned        has_message:1;
    unsigned        first_done:1;
    unsigned        require_model:1;
    unsigned        role:1;             /* the open key of a message */
    unsigned        blocks:1;           /* it is "content" */
    unsigned        type:1;             /* the open key of a block */

    /* what needs no value before it has one */

    ncr_keys_t      keys;
    ncr_members_t   members;
    ncr_char_t      cached_digest[NCR_SHA256_LEN];
    ncr_char_t      system_digest[NCR_SHA256_LEN];
    ncr_char_t      message_digest[NCR_SHA256_LEN];
    ncr_char_t      model_buf[NCR_MODEL_LEN];
    ncr_char_t      session_buf[NCR_ANTHROPIC_SESSION];
    ncr_char_t      keep[NCR_JSON_TEXT];
} ncr_anthropic_request_t;


/*
 * plain and cached are two created contexts for the hash, or both NULL when
 * the caller already knows the session.  require_model: a body without a string
 * "model" is NCR_BAD (messages, count_tokens).
 */
void ncr_anthropic_request_init(ncr_anthropic_request_t *req,
    ncr_sha256_t *plain, ncr_sha256_t *cached, ncr_uint_t require_model);

/* NCR_OK or NCR_BAD */
ncr_int_t ncr_anthropic_request_feed(ncr_anthropic_request_t *req,
    ncr_char_t *p, size_t len);
ncr_int_t ncr_anthropic_request_final(ncr_anthropic_request_t *req);

/* the message for NCR_BAD, into buf; returns it as a slice */
ncr_str_t ncr_anthropic_request_error(ncr_anthropic_request_t *req,
    char *buf, size_t size);


/*
 * The edits that put a block (JSON of an object) in front of system, of which
 * all other bytes stay: their number, 0 if nothing is to be done.  A string
 * becomes a block of its own; behind an attribution it is the second one.
 */
#define NCR_ANTHROPIC_LEAD_EDITS  4
ncr_uint_t ncr_anthropic_lead(ncr_anthropic_system_t *system,
    ncr_str_t *block, ncr_edit_t *edits);


/*
 * The edits that set output_config.effort to a JSON string with its quotes:
 * their number, 0 if output_config is nothing that has members.
 */
#define NCR_ANTHROPIC_EFFORT_EDITS  3
ncr_uint_t ncr_anthropic_effort(ncr_anthropic_config_t *config,
    ncr_str_t *effort, ncr_edit_t *edits);


/* an answer: stream or JSON, fed as it passes; E.4 */

#define NCR_ANTHROPIC_TEXT     512      /* the longest text looked at */

/* counters of one usage object; those not told are not in the mask */

typedef struct {
    ncr_uint_t    told;                 /* bit mask of the values */
    uint64_t      value[9];
} ncr_anthropic_count_t;


/* what models have used, each of them once; "": the one that was asked for */

typedef struct {
    ncr_uint_t    n;
    ncr_part_t    part[NCR_PARTS];
} ncr_anthropic_parts_t;


/* what one event or body said, whatever the order of its members */

typedef struct {
    ncr_uint_t    path[8];              /* the open key at each depth */
    ncr_uint_t    type;
    char          model[NCR_MODEL_LEN];
    char          id[NCR_ANTHROPIC_ID];
    char          stop_reason[40];
    char          service_tier[16];
    char          speed[16];
    char          inference_geo[16];
    char          error_type[48];
    char          error_message[256];
    char          fallback[NCR_MODEL_LEN];      /* content_block.to.model */
    unsigned      is_fallback:1;
    unsigned      is_error:1;
    unsigned      iterated:1;
    unsigned      held:1;               /* there is a "pending" */
    unsigned      last:1;               /* and nothing came after it */
    unsigned      content:1;            /* a body has a block of it */
    ncr_anthropic_count_t  usage;
    ncr_anthropic_count_t  entry;       /* of iterations */
    ncr_uint_t    entry_type;
    char          entry_model[NCR_MODEL_LEN];
    ncr_usage_t   sum;                  /* of iterations */

    /* of no value until told: see ncr_anthropic_read() */

    ncr_part_t    pending;              /* an entry without output */
    ncr_anthropic_parts_t  parts;       /* of iterations but a pending one */
} ncr_anthropic_seen_t;


typedef struct {
    ncr_json_t            json;
    ncr_anthropic_seen_t  seen;
    unsigned              body:1;       /* not an event of a stream */
    ncr_char_t            keep[NCR_ANTHROPIC_TEXT];
} ncr_anthropic_reader_t;


/* the bill by models, where one is not enough: E.4, 5 and 6 */

typedef struct {
    ncr_part_t    last;                 /* of iterations, without output */
    ncr_anthropic_parts_t  parts;       /* of iterations but that one */
    ncr_anthropic_parts_t  paid;        /* of earlier messages */
} ncr_anthropic_bill_t;


/*
 * What few answers need, and not for long, is lent.  A body, and an event
 * that comes in pieces, need a reader as long as that lasts, but a stream is
 * between two events most of its time.  NULL of take: what it was for is
 * passed over.
 */

typedef struct {
    ncr_anthropic_reader_t *(*take)(void);
    void                  (*give)(ncr_anthropic_reader_t *reader);
    ncr_anthropic_bill_t  *(*take_bill)(void);
    void                  (*give_bill)(ncr_anthropic_bill_t *bill);
} ncr_anthropic_lender_t;


typedef struct {
    ncr_answer_t  told;

    /* private */

    unsigned      iterated:1;
    unsigned      held:1;               /* the bill has a "last" */
    unsigned      content:1;            /* a block of it has begun */
    unsigned      reading:1;            /* with the reader, if there is one */
    ncr_anthropic_count_t  message;     /* of the message being read */
    ncr_usage_t   iterations;           /* of that message, if it has them */
    ncr_usage_t   done;                 /* of earlier messages of the body */
    ncr_sse_t     sse;

    const ncr_anthropic_lender_t  *lender;
    ncr_anthropic_reader_t        *reader;      /* lent, or NULL */
    ncr_anthropic_bill_t          *bill;
} ncr_anthropic_answer_t;


/* done() gives back what was lent; more than once is fine */
void ncr_anthropic_answer_init(ncr_anthropic_answer_t *a,
    const ncr_anthropic_lender_t *lender);
void ncr_anthropic_answer_done(ncr_anthropic_answer_t *a);

/* bytes of a text/event-stream body; never fails: what it cannot read it
 * passes over */
void ncr_anthropic_stream_feed(ncr_anthropic_answer_t *a, ncr_char_t *p,
    size_t len);

/* bytes of a JSON body (message, count_tokens, batch, file, error) */
void ncr_anthropic_body_feed(ncr_anthropic_answer_t *a, ncr_char_t *p,
    size_t len);

/*
 * What is to be paid for, by model, at most NCR_PARTS of them (E.4, 5); 0: it
 * told no usage.  A refusal before any output uses nothing.  asked: the model
 * of the request, for what names none.
 */
ncr_uint_t ncr_anthropic_parts(ncr_anthropic_answer_t *a, ncr_str_t *asked,
    ncr_part_t *parts);

/* 1 if the stream is between two events (a comment may be put in) */
ncr_uint_t ncr_anthropic_boundary(ncr_anthropic_answer_t *a);


/*
 * Errors of our own: {"type":"error","error":{"type","message"},
 * "request_id"} (D.1); the type follows the status.  request_id may be "".
 */
void ncr_anthropic_error(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id);

/* the same as an event of a stream, "event: error\ndata: ...\n\n" */
void ncr_anthropic_error_event(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id);

const char *ncr_anthropic_error_type(ncr_uint_t status);


/* all of it, for who need not know more */
extern const ncr_codec_t  ncr_codec_anthropic;


#endif /* _NCR_ANTHROPIC_H_INCLUDED_ */
