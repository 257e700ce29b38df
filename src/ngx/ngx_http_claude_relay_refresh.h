
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Tokens and the servers that give them: refreshes, logins, quota. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"
#include "ngx_http_claude_relay_fetch.h"
#include "ncr_oauth.h"


/* a token this close to its end is refreshed before it is used, ms (A.5) */
#define NGX_HTTP_CLAUDE_RELAY_MARGIN  10000


/* oauth.c: where logins of a platform happen, as configured */

ncr_oauth_t *ngx_http_claude_relay_oauth(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_platform_t *platform);

/* what the token endpoint has said, or that it has not */
void ngx_http_claude_relay_token_answer(ngx_http_claude_relay_fetch_t *f,
    ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens);

/*
 * talk.c: a conversation with servers of logins, or with an account's API,
 * through the account's proxy.  The platform makes a step, fetch() a request
 * of it, to be started by the caller; heard() tells the platform of the
 * answer, which lasts until the next fetch(), or destroy().  The account must
 * outlive it.
 */

typedef struct ngx_http_claude_relay_talk_s  ngx_http_claude_relay_talk_t;

typedef void (*ngx_http_claude_relay_talk_pt)(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc);

struct ngx_http_claude_relay_talk_s {
    ngx_event_t                        timer;
    ncr_oauth_talk_t                   talk;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_fetch_t     *fetch;   /* the last one */
    u_char                             url[2048];
    u_char                             lines[8192];
    u_char                             body[3 * NCR_OAUTH_TOKEN];

    /* run() */
    ncr_oauth_step_pt                  step;
    ngx_http_claude_relay_talk_pt      handler;
    void                              *data;
    unsigned                           important:1;
};

ngx_http_claude_relay_talk_t *ngx_http_claude_relay_talk_create(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth);
void ngx_http_claude_relay_talk_destroy(ngx_http_claude_relay_talk_t *t);
ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_talk_fetch(
    ngx_http_claude_relay_talk_t *t);
void ngx_http_claude_relay_talk_heard(ngx_http_claude_relay_talk_t *t);

/*
 * All steps until there are no more: handler gets what the last one has
 * returned, maybe at once; NCR_ERROR: a request could not be made.
 */
void ngx_http_claude_relay_talk_run(ngx_http_claude_relay_talk_t *t,
    ncr_oauth_step_pt step, ngx_http_claude_relay_talk_pt handler,
    void *data);

/*
 * A request of the account's API with its credential, made but not started;
 * path from "/" on, behind that of base_url.  NULL: no token, or no memory.
 */

ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_api_request(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, const char *method, ncr_str_t *path,
    ngx_str_t *body);

/* trial.c: a message to a platform with a way of its own; the same */
ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_trial(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_op_e op, ngx_str_t *body);

/* usage.c: what its platform asks for what it has used; the same */
ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_usage_fetch(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth);

/* the one of http { }, or NULL: for who has no location at hand */
ngx_resolver_t *ngx_http_claude_relay_resolver(void);

/* what failed, in words for an operator */
const char *ngx_http_claude_relay_fetch_failure(ncr_reply_kind_e kind);
const char *ngx_http_claude_relay_fetch_words(
    ngx_http_claude_relay_fetch_t *f);


/* refresh.c: by an operator; NGX_AGAIN: under way */

ngx_int_t ngx_http_claude_relay_refresh_now(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);


/* those of this worker that are under way */
ngx_uint_t ngx_http_claude_relay_refreshing(void);

/* refresh_due.c: once a second, for this worker */
void ngx_http_claude_relay_refresh_ticks(ngx_cycle_t *cycle);


/* learn.c: once a second: what an account's platform must know and does not */

void ngx_http_claude_relay_learn_tick(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster);

/* meta into the store, whenever that can be; nobody waits for it */
void ngx_http_claude_relay_learnt(ngx_http_claude_relay_account_t *a,
    const char *meta);


/* usage.c: once a second */

void ngx_http_claude_relay_usage_tick(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster);


#endif /* _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_ */
