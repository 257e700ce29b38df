
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The vocabulary between the floors: what a request asks for, what a reply
 * told, whose fault a failure is.  Plain data: no functions, no ownership;
 * slices are valid as long as the buffer they were cut from.
 */


#ifndef _NCR_MODEL_H_INCLUDED_
#define _NCR_MODEL_H_INCLUDED_


#include "ncr_base.h"


/* what the client speaks; a codec is one, but Bedrock's is Anthropic's */

typedef enum {
    NCR_DIALECT_ANTHROPIC = 0,
    NCR_DIALECT_OPENAI,                 /* Chat and Responses */
    NCR_DIALECT_GEMINI,                 /* Code Assist's envelope, too */
    NCR_DIALECT_BEDROCK,
    NCR_DIALECTS
} ncr_dialect_e;

typedef struct ncr_codec_s  ncr_codec_t;


/* what the client wants done; a route names one (traits in ncr_op.h) */

typedef enum {
    NCR_OP_MESSAGES = 0,
    NCR_OP_COUNT_TOKENS,
    NCR_OP_MODELS,                      /* answered here, list or one */
    NCR_OP_BATCHES,
    NCR_OP_FILES,
    NCR_OP_PROBE,                       /* answered here, no credential */
    NCR_OP_TELEMETRY,                   /* answered here, no credential */
    NCR_OP_SELF,                        /* answered here, about the key */

    NCR_OP_CHAT,
    NCR_OP_RESPONSES,                   /* POST: one is made */
    NCR_OP_COMPACT,
    NCR_OP_INPUT_TOKENS,
    NCR_OP_RESPONSE,                    /* one that is stored */
    NCR_OP_SOCKET,                      /* responses over a WebSocket */
    NCR_OP_EMBEDDINGS,
    NCR_OP_COMPLETIONS,
    NCR_OP_IMAGES,
    NCR_OP_OPENAI,                      /* any other path of OpenAI's /v1 */
    NCR_OP_CODEX,                       /* wham/usage and its like */

    NCR_OP_GENERATE,
    NCR_OP_STREAM_GENERATE,
    NCR_OP_GEMINI_COUNT,
    NCR_OP_GEMINI_EMBED,
    NCR_OP_GEMINI,                      /* any other path of Gemini's */
    NCR_OP_ASSIST,                      /* v1internal:* beside the three */

    NCR_OP_INVOKE,
    NCR_OP_INVOKE_STREAM,
    NCR_OP_INVOKE_COUNT,
    NCR_OP_PROFILES,                    /* answered here, of Bedrock */

    NCR_OP_PREDICT,                     /* messages, at Vertex's paths */

    NCR_OPS
} ncr_op_e;


/* tokens and what else a reply says about its own cost (anthropic.md E.4) */

typedef struct {
    uint64_t     input;                 /* uncached remainder */
    uint64_t     output;
    uint64_t     cache_read;
    uint64_t     cache_write;           /* 5m + 1h */
    uint64_t     cache_write_5m;
    uint64_t     cache_write_1h;
    uint64_t     thinking;              /* part of output */
    uint64_t     web_searches;
    uint64_t     web_fetches;
} ncr_usage_t;


/* the longest names kept; longer ones are cut */
#define NCR_MODEL_LEN    128

/* what one model of a request has used: several if one fell back (E.4, 5) */
#define NCR_PARTS        4

typedef struct {
    char         model[NCR_MODEL_LEN];
    ncr_usage_t  usage;
} ncr_part_t;

#define NCR_WINDOW_LEN   16
#define NCR_WINDOWS      8
#define NCR_FAMILY_LEN   16


/* a quota window as told by response headers (anthropic.md C.2) */

typedef enum {
    NCR_WINDOW_UNKNOWN = 0,
    NCR_WINDOW_ALLOWED,
    NCR_WINDOW_WARNING,
    NCR_WINDOW_REJECTED
} ncr_window_status_e;


typedef struct {
    char                 name[NCR_WINDOW_LEN];  /* "5h", "7d", "7d_opus" */
    ncr_window_status_e  status;
    int32_t              utilization;   /* 1/10000, -1 if not told */
    ncr_msec_t           reset;         /* 0 if not told */
} ncr_window_t;


/* requests, tokens, input-tokens, output-tokens of an API key (C.1) */
#define NCR_BUCKETS      4

typedef struct {
    int64_t              remaining;     /* -1 if not told */
    ncr_msec_t           reset;         /* 0 if not told */
} ncr_bucket_t;


typedef struct {
    int64_t              retry_after;   /* ms, -1 if not told */
    ncr_msec_t           retry_at;      /* the same as a date, 0 not told */
    int                  should_retry;  /* -1 not told, 0 false, 1 true */
    ncr_window_status_e  status;        /* ...-unified-status */
    ncr_msec_t           reset;         /* ...-unified-reset, 0 not told */
    char                 claim[32];     /* representative-claim, "" not told */
    unsigned             unified:1;     /* any unified header was there */
    unsigned             retry_ms:1;    /* retry_after is retry-after-ms */
    ncr_bucket_t         buckets[NCR_BUCKETS];
    ncr_uint_t           nwindows;
    ncr_window_t         windows[NCR_WINDOWS];

    /* by what headers call them that tell a window's length beside it */
    char                 slots[NCR_WINDOWS][NCR_WINDOW_LEN];
} ncr_limits_t;


/* what came back from an attempt, as far as a judgement needs it */

typedef enum {
    NCR_REPLY_HTTP = 0,                 /* a response with a status */
    NCR_REPLY_STREAM_ERROR,             /* an error event in a 200 */
    NCR_REPLY_CONNECT,                  /* no connection */
    NCR_REPLY_TLS,                      /* handshake or verification */
    NCR_REPLY_RESET,                    /* closed before a full header */
    NCR_REPLY_TIMEOUT,                  /* nothing before the first byte */
    NCR_REPLY_GARBAGE                   /* not HTTP, or broken framing */
} ncr_reply_kind_e;


typedef struct {
    ncr_reply_kind_e   kind;
    ncr_uint_t         status;
    ncr_str_t          content_type;
    ncr_str_t          body;            /* its beginning, maybe cut */
    ncr_limits_t      *limits;          /* never NULL */
    ncr_str_t          family;          /* of the model asked for, may be "" */
    ncr_msec_t         now;             /* 0: not told */
    unsigned           background:1;    /* x-app: cli-bg (C.3, case 9) */
} ncr_reply_t;


typedef enum {
    NCR_FAULT_NONE = 0,
    NCR_FAULT_CLIENT,
    NCR_FAULT_ACCOUNT,
    NCR_FAULT_MODEL,                    /* this model on this account */
    NCR_FAULT_PLATFORM,
    NCR_FAULT_NETWORK
} ncr_fault_e;


/* the error class of logs, trails and health; names in ncr_verdict.c */

typedef enum {
    NCR_CLASS_OK = 0,
    NCR_CLASS_CLIENT,                   /* 400, 404, 413, 422 */
    NCR_CLASS_POLICY,                   /* refused by the provider's terms */
    NCR_CLASS_AUTH,                     /* 401 */
    NCR_CLASS_FORBIDDEN,                /* 403 */
    NCR_CLASS_EDGE,                     /* 403 and the like, not JSON */
    NCR_CLASS_DISABLED,                 /* organisation or account disabled */
    NCR_CLASS_BILLING,                  /* 402, credit too low */
    NCR_CLASS_CAPPED,                   /* spend limit reached */
    NCR_CLASS_LIMITED,                  /* 429, account's window */
    NCR_CLASS_MODEL_LIMITED,            /* 429, a family's window */
    NCR_CLASS_ENTITLEMENT,              /* 429, extra usage, fast mode */
    NCR_CLASS_THROTTLED,                /* 429 without windows */
    NCR_CLASS_OVERLOADED,               /* 529, overloaded_error */
    NCR_CLASS_SERVER,                   /* 5xx */
    NCR_CLASS_NETWORK,
    NCR_CLASS_TLS,
    NCR_CLASS_TIMEOUT,
    NCR_CLASS_PROTOCOL,                 /* garbage instead of HTTP */
    NCR_CLASS_BROKEN,                   /* the stream broke after commit */
    NCR_CLASS_ABORTED,                  /* the client left */
    NCR_CLASSES
} ncr_class_e;


typedef enum {
    NCR_REST_NONE = 0,
    NCR_REST_UNTIL,                     /* until "until", plus jitter */
    NCR_REST_FOR,                       /* "base" ms, plus jitter */
    NCR_REST_BACKOFF,                   /* base * 2^fails up to max, jitter */
    NCR_REST_LOGIN                      /* for ever: an operator must act */
} ncr_rest_e;


typedef struct {
    ncr_fault_e   fault;
    ncr_class_e   class;
    ncr_rest_e    rest;
    ncr_msec_t    until;                /* NCR_REST_UNTIL */
    ncr_msec_t    base;                 /* ms */
    ncr_msec_t    max;                  /* ms */
    unsigned      family:1;             /* rest account x family only */
    unsigned      retry:1;              /* another account may help */
    unsigned      same:1;               /* waiting briefly may help */
    unsigned      refresh:1;            /* a refreshed token may help */
    unsigned      bare:1;               /* the same account, once more without
                                           what others have encrypted */
} ncr_verdict_t;


/* how long an account rests by class; ms, 0 = never; directive defaults */

typedef struct {
    ncr_msec_t    unauthorized;         /* 401, key dead or token refused */
    ncr_msec_t    forbidden;            /* 403 JSON */
    ncr_msec_t    edge;                 /* 403 HTML, 302 */
    ncr_msec_t    disabled;
    ncr_msec_t    billing;
    ncr_msec_t    limited;              /* 429, windows without a reset */
    ncr_msec_t    throttled;            /* 429 without anything */
    ncr_msec_t    overloaded;           /* first step */
    ncr_msec_t    overloaded_max;
    ncr_msec_t    server;               /* 5xx, network, timeout: first step */
    ncr_msec_t    server_max;
} ncr_rests_t;


#endif /* _NCR_MODEL_H_INCLUDED_ */
