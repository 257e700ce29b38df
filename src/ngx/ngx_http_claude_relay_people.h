
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the ways of people, their sessions, tokens and logins share. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_PEOPLE_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_PEOPLE_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_passwords.h"


/* of a person: sessions, the oldest makes room; tokens */
#define NGX_HTTP_CLAUDE_RELAY_SESSIONS_MAX  32
#define NGX_HTTP_CLAUDE_RELAY_TOKENS_MAX    64

#define NGX_HTTP_CLAUDE_RELAY_TOKEN_PREFIX  "crt_"
#define NGX_HTTP_CLAUDE_RELAY_TOKEN         (sizeof("crt_") - 1 + 64)


/* why something is declined */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_PERSON_GONE = 0,
    NGX_HTTP_CLAUDE_RELAY_PERSON_CHANGED,
    NGX_HTTP_CLAUDE_RELAY_PERSON_TAKEN,
    NGX_HTTP_CLAUDE_RELAY_PERSON_EXTERNAL,
    NGX_HTTP_CLAUDE_RELAY_PERSON_LAST,
    NGX_HTTP_CLAUDE_RELAY_PERSON_TOKEN,     /* of this name, or enough */
    NGX_HTTP_CLAUDE_RELAY_PERSON_TOTP,      /* is there already */
    NGX_HTTP_CLAUDE_RELAY_PERSON_CODE,      /* is wrong */
    NGX_HTTP_CLAUDE_RELAY_PERSON_ENROLMENT, /* is over */
    NGX_HTTP_CLAUDE_RELAY_PERSON_NONE       /* such a session or token */
} ngx_http_claude_relay_person_e;


typedef struct {
    char                               name[NCR_STORE_NAME];
    ncr_store_person_t                 person;  /* out, or a new one */
    ngx_http_claude_relay_person_e     why;     /* job.rc is NCR_DECLINED */

    /* what is to be changed */

    ncr_store_person_t                 change;
    unsigned                           has_role:1;
    unsigned                           has_enabled:1;
    unsigned                           has_must_change:1;
    unsigned                           has_external:1;
    unsigned                           has_password:1;
    unsigned                           has_totp:1;

    unsigned                           with_user:1; /* a user, if none is */
    unsigned                           has_keep:1;
    u_char                             keep[NCR_SHA256_LEN];

    ngx_http_claude_relay_password_t   password;
    ngx_http_claude_relay_call_pt      hashed;

    cJSON                             *list;    /* sessions, tokens, people */
    ngx_uint_t                         tokens;  /* and not sessions */
    ncr_store_session_t                session;
    u_char                             secret[NGX_HTTP_CLAUDE_RELAY_TOKEN
                                              + 1];

    /* a second factor */

    char                               login[NCR_STORE_LOGIN];
    u_char                             key[NCR_TOTP_KEY];
    char                               code[8];
} ngx_http_claude_relay_person_call_t;


/* call->data, of call->name, which is 404 if it can be no name; NULL: the
 * call has ended */
ngx_http_claude_relay_person_call_t *ngx_http_claude_relay_call_person(
    ngx_http_claude_relay_call_t *call);

/* admins, and who is asking for itself; NGX_ERROR: the call has ended */
ngx_int_t ngx_http_claude_relay_person_may(
    ngx_http_claude_relay_call_t *call);

/* no query and no members; NGX_ERROR: the call has ended */
ngx_int_t ngx_http_claude_relay_person_bare(
    ngx_http_claude_relay_call_t *call);
ngx_int_t ngx_http_claude_relay_person_no_args(
    ngx_http_claude_relay_call_t *call);

/* job.rc is not NCR_OK: the end of the call */
void ngx_http_claude_relay_person_failed(ngx_http_claude_relay_call_t *call);

cJSON *ngx_http_claude_relay_show_person(ncr_store_person_t *person);

/* pc->person, and the end of the call */
void ngx_http_claude_relay_person_answer(ngx_http_claude_relay_call_t *call);

/* run(): the change, again as often as others are faster */
void ngx_http_claude_relay_person_change_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);

/* in the thread: a user of this name, if there is none; *seq as it was, or of
 * the new one */
ncr_int_t ngx_http_claude_relay_person_user(ncr_store_t *store,
    const char *name, ncr_msec_t now, uint64_t *seq);

/* is it a user of nginx.conf? */
ngx_uint_t ngx_http_claude_relay_person_conf(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *name);


#endif /* _NGX_HTTP_CLAUDE_RELAY_PEOPLE_H_INCLUDED_ */
