
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#ifndef _SANDBOX_H_INCLUDED_
#define _SANDBOX_H_INCLUDED_


#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <zlib.h>

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <openssl/ssl.h>


#define SBX_OK         0
#define SBX_END        1
#define SBX_ERROR     -1
#define SBX_AGAIN     -2
#define SBX_DECLINED  -5

#define SBX_IN_SIZE       65536
#define SBX_HEAD_MAX      32768
#define SBX_MARKER_MAX    65536
#define SBX_KEEP_MAX      (2 * 1024 * 1024)
#define SBX_TAIL_MAX      4096
#define SBX_BODY_MAX      (600LL * 1024 * 1024)
#define SBX_PREVIEW       2048
#define SBX_RING          256
#define SBX_TEXT_MAX      (64 * 1024 * 1024)


typedef struct sbx_conn_s  sbx_conn_t;
typedef struct sbx_cred_s  sbx_cred_t;


typedef struct {
    const char       *data;
    size_t            len;
} sbx_str_t;


typedef struct {
    char             *data;
    size_t            len;
    size_t            size;
} sbx_buf_t;


typedef enum {
    SBX_FAULT_NONE = 0,
    SBX_FAULT_ERROR,
    SBX_FAULT_RESET,
    SBX_FAULT_CUT,
    SBX_FAULT_END,
    SBX_FAULT_STALL
} sbx_fault_e;


typedef enum {
    SBX_PRE_NONE = 0,
    SBX_PRE_NOTHING,
    SBX_PRE_CLOSE,
    SBX_PRE_RST,
    SBX_PRE_GARBAGE,
    SBX_PRE_FOREVER
} sbx_pre_e;


typedef enum {
    SBX_FRAME_DEFAULT = 0,
    SBX_FRAME_CHUNKED,
    SBX_FRAME_SIZED,
    SBX_FRAME_CLOSE
} sbx_frame_e;


typedef enum {
    SBX_F_HTML         = 1 << 0,
    SBX_F_NOWINDOW     = 1 << 1,
    SBX_F_COALESCE     = 1 << 2,
    SBX_F_BURST        = 1 << 3,
    SBX_F_GZIP         = 1 << 4,
    SBX_F_SLOW_HEADER  = 1 << 5,
    SBX_F_NEG_LENGTH   = 1 << 6,
    SBX_F_DUP_LENGTH   = 1 << 7,
    SBX_F_BAD_CHUNK    = 1 << 8,
    SBX_F_EARLY_CLOSE  = 1 << 9,
    SBX_F_STALE        = 1 << 10,
    SBX_F_HINTS        = 1 << 11,
    SBX_F_CONTINUE     = 1 << 12,
    SBX_F_NO_USAGE     = 1 << 13,
    SBX_F_ZERO_USAGE   = 1 << 14,
    SBX_F_CRLF         = 1 << 15,
    SBX_F_NOSPACE      = 1 << 16,
    SBX_F_COMMENTS     = 1 << 17,
    SBX_F_ITERATIONS   = 1 << 18,
    SBX_F_THINKING     = 1 << 19,
    SBX_F_SET_COOKIE   = 1 << 20,
    SBX_F_COUNT404     = 1 << 21,
    SBX_F_ONCE         = 1 << 22,
    SBX_F_GLOBAL       = 1 << 23,
    SBX_F_TRAILER      = 1 << 24,
    SBX_F_UNICODE      = 1 << 25,
    SBX_F_EARLY        = 1 << 26,
    SBX_F_NO_CONTENT   = 1 << 27,
    SBX_F_NO_BREAKDOWN = 1 << 28
} sbx_flag_e;


/* what one answer shall do, made of all commands which apply to it */

typedef struct {
    unsigned          flags;
    long              pre;           /* sbx_pre_e */
    long              frame;         /* sbx_frame_e */
    long              fault;         /* sbx_fault_e */
    long              fault_at;      /* deltas of a stream, bytes of JSON */
    long              status;
    long              retry_after;   /* -1 unset, -2 suppressed */
    long              should_retry;  /* -1 unset */
    long              reset;
    long              events;
    long              size;
    long              json_size;
    long              long_line;
    long              ping_first;
    long              first;         /* delays are in milliseconds */
    long              body_delay;
    long              delay;
    long              split;
    long              split_delay;
    long              dribble;
    long              dribble_delay;
    long              times;
    long              input;
    long              output;
    long              cache_read;
    long              cache_5m;
    long              cache_1h;
    long              searches;
    char             *tier;
    char             *speed;
    char             *geo;
    char             *unified;
    char             *util_5h;
    char             *util_7d;
    char             *message;
    char             *type;
    char             *code;
    char             *model;
    char             *stop;
    char             *error_first;
    char             *quota_id;      /* of a QuotaFailure of Google's */
    char             *retry_delay;   /* of a RetryInfo */
    char             *bad;           /* the first unknown command */
    char             *extra[8];
    int               nextra;
} sbx_act_t;


/* the position of a stream generator: plain data, copied to count */

typedef struct {
    int               phase;
    int               index;         /* content block */
    long              i;
    long              deltas;
    unsigned          opened:1;      /* the next unit is a delta or later */
    unsigned          error:1;       /* emit an error event and end */
    unsigned          paced:1;       /* delay after this unit */
} sbx_gen_t;


typedef struct {
    int               status;
    int               phase;
    const char       *ctype;
    void            (*due)(sbx_conn_t *c);     /* starts the real answer */
    void            (*headers)(sbx_conn_t *c, sbx_buf_t *b);
    int             (*next)(sbx_conn_t *c, sbx_buf_t *b);
    sbx_gen_t         gen;
    int               frame;
    long              wait;
    size_t            unit_pos;
    z_stream         *z;
    unsigned          stream:1;
    unsigned          last:1;
    unsigned          push:1;
    unsigned          hit:1;         /* the fault's point was reached */
    unsigned          dribbling:1;
    unsigned          gzip:1;
    unsigned          started:1;     /* the header was made */
} sbx_reply_t;


typedef enum {
    SBX_AUTH_NONE = 0,
    SBX_AUTH_KEY,
    SBX_AUTH_BEARER,
    SBX_AUTH_BOTH,
    SBX_AUTH_OTHER
} sbx_auth_e;


typedef struct {
    uint64_t          id;
    uint64_t          start;
    size_t            head_len;
    sbx_str_t         method;
    sbx_str_t         target;
    sbx_str_t         path;
    sbx_str_t         args;
    sbx_str_t         xsandbox;
    sbx_str_t         origin;
    sbx_str_t         beta;
    sbx_str_t         ctype;
    sbx_str_t         xkey;
    sbx_str_t         bearer;
    sbx_str_t         otherkey;      /* x-goog-api-key, api-key */
    sbx_str_t         credential;
    sbx_str_t         model;         /* of the path */
    sbx_str_t         body;          /* the kept beginning */
    int64_t           length;        /* Content-Length or -1 */
    int64_t           received;
    sbx_cred_t       *cred;
    int               auth;          /* sbx_auth_e */
    unsigned          chunked:1;
    unsigned          expect:1;
    unsigned          keepalive:1;
    unsigned          control:1;
    unsigned          head:1;
    unsigned          hashing:1;
} sbx_req_t;


/* what the dialect made of the request body */

typedef struct {
    sbx_str_t         model;         /* still escaped as in the body */
    sbx_buf_t         quote;         /* beginning of a tool_result */
    sbx_buf_t         tool_name;
    sbx_buf_t         tool_input;
    unsigned          stream:1;
    unsigned          tool:1;
    unsigned          has_quote:1;
} sbx_ask_t;


typedef enum {
    SBX_ST_TLS = 0,
    SBX_ST_HEAD,
    SBX_ST_BODY,
    SBX_ST_REPLY,
    SBX_ST_LINGER
} sbx_state_e;


struct sbx_conn_s {
    int               fd;
    int               state;
    SSL              *ssl;
    uint64_t          number;
    uint64_t          requests;
    uint64_t          active;        /* last progress of reading, ms */

    char             *in;            /* SBX_IN_SIZE, the head stays at 0 */
    size_t            in_pos;
    size_t            in_len;
    size_t            scanned;

    int               chunk_state;
    uint64_t          chunk_left;

    sbx_buf_t         body;
    sbx_buf_t         out;
    size_t            out_pos;
    sbx_buf_t         unit;
    sbx_buf_t         text;
    sbx_buf_t         cmds;
    char             *tail;          /* last bytes of a body over KEEP_MAX */
    uint64_t          sent;
    SHA256_CTX        sha;

    sbx_req_t         req;
    sbx_act_t         act;
    sbx_ask_t         ask;
    sbx_reply_t       rep;

    uint64_t          grant;         /* id of a token request, oauth.h */

    uint64_t          timer;
    int               heap;          /* index or -1 */

    sbx_conn_t       *prev;
    sbx_conn_t       *next;

    unsigned          readable:1;
    unsigned          rdhup:1;
    unsigned          half:1;        /* client closed its side politely */
    unsigned          broken:1;
    unsigned          tls:1;
    unsigned          used:1;
    unsigned          stale:1;
    unsigned          finished:1;    /* all of the answer was sent */
    unsigned          discard:1;     /* read and forget until closed */
};


struct sbx_cred_s {
    sbx_cred_t       *next;
    uint64_t          hash;
    uint64_t          requests;
    char             *cmds;          /* commands inside of the key or NULL */
    char             *behave;        /* set at run time or NULL */
    unsigned          generation;
    unsigned          oauth:1;
    char              org[72];       /* header line */
    size_t            org_len;
    size_t            len;
    char              name[];
};


typedef struct {
    uint64_t          accepted;
    uint64_t          open;
    uint64_t          used;
    uint64_t          requests;
    uint64_t          aborted;
    uint64_t          bad;
    uint64_t          handshakes;
    uint64_t          handshake_errors;
    uint64_t          resumed;
    uint64_t          status[600];
} sbx_stats_t;


typedef int (*sbx_dialect_pt)(sbx_conn_t *c);


/* main.c */

extern uint64_t      sbx_now;        /* monotonic, ms */
extern time_t        sbx_time;
extern int           sbx_quiet;
extern int           sbx_verbose;
extern sbx_stats_t   sbx_stats;

void sbx_timer_add(sbx_conn_t *c, long ms);
void sbx_timer_del(sbx_conn_t *c);
void sbx_conn_unlink(sbx_conn_t *c);

/* buf.c */

void sbx_reserve(sbx_buf_t *b, size_t n);
void sbx_put(sbx_buf_t *b, const char *p, size_t n);
void sbx_putn(sbx_buf_t *b, int64_t n);
void sbx_putf(sbx_buf_t *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sbx_put_json(sbx_buf_t *b, const char *p, size_t n);
void sbx_put_hex(sbx_buf_t *b, uint64_t v, int digits);
void sbx_buf_done(sbx_buf_t *b, size_t keep);
size_t sbx_unescape_uri(char *p, size_t n);
int sbx_arg(sbx_str_t *args, const char *name, sbx_buf_t *value);
uint64_t sbx_hash(const char *p, size_t n, uint64_t h);

#define sbx_puts(b, s)  sbx_put(b, s, strlen(s))
#define sbx_lit(b, s)   sbx_put(b, s, sizeof(s) - 1)
#define sbx_is(s, lit)                                                        \
    ((s)->len == sizeof(lit) - 1 && memcmp((s)->data, lit, (s)->len) == 0)

/* json.c */

const char *sbx_json_ws(const char *p, const char *end);
const char *sbx_json_skip(const char *p, const char *end);
int sbx_json_get(sbx_str_t *object, const char *key, sbx_str_t *value);
int sbx_json_each(sbx_str_t *object, const char **pos, sbx_str_t *key,
    sbx_str_t *value);
int sbx_json_item(sbx_str_t *array, const char **pos, sbx_str_t *value);
void sbx_json_string(sbx_str_t *value, sbx_buf_t *b);

/* http.c */

sbx_conn_t *sbx_conn_new(int fd, SSL_CTX *ctx);
void sbx_conn_event(sbx_conn_t *c, uint32_t events);
void sbx_conn_timer(sbx_conn_t *c);
void sbx_conn_close(sbx_conn_t *c, int rst);
void sbx_conn_sweep(sbx_conn_t *c);

/* reply.c */

void sbx_reply_start(sbx_conn_t *c, int status, const char *ctype);
int sbx_reply_run(sbx_conn_t *c);
ssize_t sbx_send(sbx_conn_t *c, const char *p, size_t n);
void sbx_reply_cleanup(sbx_conn_t *c);

/* behave.c */

extern const sbx_act_t  sbx_act_default;

void sbx_behave(sbx_conn_t *c, int peek);
void sbx_behave_reset(void);
int sbx_number(const char *value, long max, long *n);

/* record.c */

sbx_cred_t *sbx_cred_find(const char *p, size_t n);
void sbx_record_head(sbx_conn_t *c);
void sbx_record_body(sbx_conn_t *c);
void sbx_record_done(sbx_conn_t *c, int aborted);
void sbx_record_forget(void);
void sbx_record_json(sbx_buf_t *b, int n, uint64_t since);
void sbx_stats_json(sbx_buf_t *b);

/* control.c */

void sbx_route(sbx_conn_t *c);

/* anthropic.c */

int sbx_anthropic(sbx_conn_t *c);
int sbx_ask(sbx_conn_t *c);
void sbx_anthropic_error(sbx_conn_t *c, int status, const char *type,
    const char *message);
void sbx_anthropic_json(sbx_conn_t *c);

/* anthropic_stream.c */

int sbx_anthropic_next(sbx_conn_t *c, sbx_buf_t *b);
void sbx_anthropic_message(sbx_conn_t *c, sbx_buf_t *b);

/* anthropic_store.c */

int sbx_anthropic_batches(sbx_conn_t *c, sbx_str_t *rest);
int sbx_anthropic_files(sbx_conn_t *c, sbx_str_t *rest);
int sbx_anthropic_models(sbx_conn_t *c, sbx_str_t *rest);
void sbx_anthropic_forget(void);

/* kiro.c */

int sbx_kiro(sbx_conn_t *c);

/* bedrock.c */

int sbx_bedrock(sbx_conn_t *c);

/* assist.c */

int sbx_assist(sbx_conn_t *c);

/* gemini.c */

int sbx_gemini(sbx_conn_t *c);

/* codex.c */

int sbx_codex(sbx_conn_t *c);

/* vertex.c */

int sbx_vertex(sbx_conn_t *c);

/* droid.c */

int sbx_droid(sbx_conn_t *c);

/* openai.c */

int sbx_openai(sbx_conn_t *c);
void sbx_openai_forget(void);

/* oauth.c */

int sbx_oauth(sbx_conn_t *c);
int sbx_oauth_access(sbx_conn_t *c);
void sbx_oauth_done(sbx_conn_t *c, int aborted);

/* oauth_places.c */

int sbx_oauth_places(sbx_conn_t *c);
int sbx_oauth_places_control(sbx_conn_t *c, sbx_str_t *args);

/* oauth_control.c */

int sbx_oauth_control(sbx_conn_t *c);
void sbx_oauth_init(void);
void sbx_oauth_forget(void);


#endif /* _SANDBOX_H_INCLUDED_ */
