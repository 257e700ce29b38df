
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#ifndef _SANDBOX_OAUTH_H_INCLUDED_
#define _SANDBOX_OAUTH_H_INCLUDED_


#include "sandbox.h"


#define SBX_OA_SCOPES  "user:profile user:inference "                         \
                       "user:sessions:claude_code user:mcp_servers "          \
                       "user:file_upload"
#define SBX_OA_SETUP   "user:inference"
#define SBX_OA_YEAR    31536000
#define SBX_OA_LOG     65536


/* what goes wrong on demand, and whether the token is rotated before */

typedef enum {
    SBX_OA_STATUS = 100,             /* over sbx_pre_e */
    SBX_OA_INVALID,
    SBX_OA_CUT,
    SBX_OA_BODY
} sbx_oa_kind_e;


typedef struct {
    const char       *name;
    unsigned          rotates;
    long              kind;          /* sbx_pre_e, sbx_oa_kind_e */
} sbx_oa_fault_t;


typedef struct {
    const sbx_oa_fault_t  *fault;
    long              status;
    long              left;          /* the next requests, 0: none */
    unsigned          html:1;
} sbx_oa_fail_t;


typedef enum {
    SBX_OA_EXPIRES_IN = 0,           /* seconds */
    SBX_OA_CODE_LIFE,
    SBX_OA_RETRY_AFTER,
    SBX_OA_BEFORE,                   /* milliseconds */
    SBX_OA_AFTER,
    SBX_OA_GRACE,                    /* 0 or 1 */
    SBX_OA_STRICT,
    SBX_OA_REVOKE,
    SBX_OA_CONSENT,
    SBX_OA_KEEP,
    SBX_OA_DROP,
    SBX_OA_NEED_SCOPE,
    SBX_OA_FIVE_RESET,               /* seconds from now */
    SBX_OA_SEVEN_RESET,
    SBX_OA_NUMBERS
} sbx_oa_number_e;


typedef enum {
    SBX_OA_USER = 0,
    SBX_OA_OMIT,
    SBX_OA_ANSWER,
    SBX_OA_TOKEN_BODY,
    SBX_OA_USAGE_BODY,
    SBX_OA_PROFILE_BODY,
    SBX_OA_SHAPE,
    SBX_OA_FIVE,
    SBX_OA_SEVEN,
    SBX_OA_OPUS,
    SBX_OA_SONNET,
    SBX_OA_SCOPED,
    SBX_OA_PLAN,
    SBX_OA_TIER,
    SBX_OA_TEXTS
} sbx_oa_text_e;


typedef enum {
    SBX_OA_FAIL_TOKEN = 0,
    SBX_OA_FAIL_USAGE,
    SBX_OA_FAIL_PROFILE,
    SBX_OA_FAILS
} sbx_oa_fail_e;


/* settings: of all, and of one chain, where -1 and NULL are "as of all" */

typedef struct {
    long              number[SBX_OA_NUMBERS];
    char             *text[SBX_OA_TEXTS];
    sbx_oa_fail_t     fail[SBX_OA_FAILS];
    uint64_t          down;          /* until this sbx_now */
} sbx_oa_conf_t;


typedef struct sbx_chain_s  sbx_chain_t;
typedef struct sbx_token_s  sbx_token_t;


typedef enum {
    SBX_OA_ALIVE = 0,
    SBX_OA_KILLED,
    SBX_OA_WALL
} sbx_oa_life_e;


/* what grew out of one login: pairs of tokens, each made by the one before */

struct sbx_chain_s {
    sbx_chain_t      *next;
    uint64_t          id;
    sbx_token_t      *newest;
    uint64_t          rotations;
    uint64_t          reuses;
    uint64_t          graces;
    uint64_t          invalid;
    uint64_t          api;
    uint64_t          refused;
    uint64_t          usage;
    uint64_t          profile;
    uint64_t          max_in_flight;
    int               life;          /* sbx_oa_life_e */
    unsigned          setup:1;
    char              account[40];
    char              org[40];
    char             *name;
    char             *scope;
    char             *client;        /* or NULL if it is not known */
    sbx_oa_conf_t     conf;
};


struct sbx_token_s {
    sbx_token_t      *older;         /* in its chain */
    sbx_token_t      *successor;
    sbx_token_t      *next_access;   /* in the buckets */
    sbx_token_t      *next_refresh;
    sbx_chain_t      *chain;
    uint64_t          generation;
    uint64_t          expires;       /* by sbx_now */
    uint64_t          presented;
    uint64_t          reuses;
    uint64_t          api;
    uint64_t          in_flight;
    uint64_t          max_in_flight;
    int               fd;            /* of the last that presented it */
    char             *access;
    char             *refresh;       /* or NULL */
    unsigned          consumed:1;
    unsigned          revoked:1;
    unsigned          used:1;        /* either of the pair was presented */
};


typedef struct sbx_code_s  sbx_code_t;

struct sbx_code_s {
    sbx_code_t       *next;
    uint64_t          expires;
    unsigned          used:1;
    char             *code;
    char             *client;
    char             *redirect;
    char             *scope;
    char             *state;
    char             *challenge;
    char             *user;
};


typedef enum {
    SBX_GRANT_OTHER = 0,
    SBX_GRANT_CODE,
    SBX_GRANT_REFRESH
} sbx_grant_e;


typedef enum {
    SBX_OUT_PENDING = 0,
    SBX_OUT_ISSUED,
    SBX_OUT_ROTATED,
    SBX_OUT_KEPT,
    SBX_OUT_GRACE,
    SBX_OUT_INVALID,
    SBX_OUT_REFUSED,
    SBX_OUT_FAILED,
    SBX_OUT_DOWN,
    SBX_OUT_DROPPED
} sbx_out_e;


/* a token request: the record of it, and what shall be answered */

typedef struct {
    uint64_t          id;
    uint64_t          conn;
    uint64_t          start;
    uint64_t          number;        /* in flight when it came, with itself */
    int64_t           time;          /* ms since the epoch */
    long              ms;
    long              first;
    int               grant;         /* sbx_grant_e */
    int               outcome;       /* sbx_out_e */
    int               status;
    char             *presented;
    sbx_token_t      *token;         /* which was presented */
    sbx_token_t      *issued;
    sbx_chain_t      *chain;
    const char       *error;
    const char       *description;
    sbx_oa_fail_t     fail;
    unsigned          flying:1;
    unsigned          decided:1;
    unsigned          reused:1;
    unsigned          setup:1;
    unsigned          whole:1;
    unsigned          aborted:1;
    unsigned          done:1;
    unsigned          tls:1;
} sbx_grant_t;


typedef struct {
    uint64_t          requests;
    uint64_t          in_flight;
    uint64_t          max_in_flight; /* of one token */
    uint64_t          issued;
    uint64_t          rotations;
    uint64_t          reuses;
    uint64_t          graces;
    uint64_t          invalid;
    uint64_t          failed;
    uint64_t          authorized;
    uint64_t          usage;
    uint64_t          profile;
    uint64_t          api;
    uint64_t          refused;
} sbx_oa_stats_t;


/* oauth_store.c */

extern sbx_oa_conf_t   sbx_oa_conf;
extern sbx_oa_stats_t  sbx_oa_stats;
extern sbx_chain_t    *sbx_oa_chains;
extern uint64_t        sbx_oa_last;      /* id of the last token request */

void sbx_oa_random(sbx_buf_t *b, size_t bytes);
void sbx_oa_base64(sbx_buf_t *b, const unsigned char *p, size_t n);
int64_t sbx_oa_time(void);

sbx_chain_t *sbx_chain_new(const char *name, const char *scope);
sbx_chain_t *sbx_chain_find(const char *name);
sbx_token_t *sbx_token_new(sbx_chain_t *chain, const char *access,
    const char *refresh, long expires_in);
uint64_t sbx_token_present(sbx_token_t *t, int fd);
void sbx_token_keep(sbx_token_t *old, sbx_token_t *t);
sbx_token_t *sbx_token_access(const char *p, size_t n);
sbx_token_t *sbx_token_refresh(const char *p, size_t n);
sbx_code_t *sbx_code_new(void);
sbx_code_t *sbx_code_find(const char *code);
sbx_grant_t *sbx_grant_new(void);
sbx_grant_t *sbx_grant_find(uint64_t id);
long sbx_oa_number(sbx_chain_t *chain, int i);
char *sbx_oa_text(sbx_chain_t *chain, int i);
int sbx_oa_take(sbx_chain_t *chain, int i, sbx_oa_fail_t *fail);
void sbx_oa_conf_init(sbx_oa_conf_t *conf, int chain);
void sbx_oa_conf_free(sbx_oa_conf_t *conf);
void sbx_oa_forget_log(void);
void sbx_oa_forget_all(void);

/* oauth_grant.c */

void sbx_oauth_token(sbx_conn_t *c);
void sbx_oauth_fail(sbx_conn_t *c, sbx_chain_t *chain, sbx_oa_fail_t *fail);
void sbx_oauth_spoil(sbx_conn_t *c, sbx_oa_fail_t *fail);
int sbx_oauth_fail_parse(char *value, sbx_oa_fail_t *fail);
void sbx_oauth_json(sbx_conn_t *c, int status);
void sbx_oauth_member(sbx_buf_t *b, const char *name, const char *value);


#endif /* _SANDBOX_OAUTH_H_INCLUDED_ */
