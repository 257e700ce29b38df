
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The end of a login: tokens are stored, and it is asked whose they are. */


#include "ngx_http_claude_relay_logins.h"


/* a setup token, if its end is not told (A.4), ms */
#define NGX_HTTP_CLAUDE_RELAY_YEAR     ((ncr_msec_t) 31536000 * 1000)

/* who it is, if that is told soon, ms */
#define NGX_HTTP_CLAUDE_RELAY_PROFILE  10000

/* tokens that have come are tried to be stored for so long, ms */
#define NGX_HTTP_CLAUDE_RELAY_SAVE      250
#define NGX_HTTP_CLAUDE_RELAY_SAVE_MAX  30000


static void ngx_http_claude_relay_login_store(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_save(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_saved(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_profile(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_after(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_login_learnt(
    ngx_http_claude_relay_talk_t *t, ncr_int_t rc);
static void ngx_http_claude_relay_login_known(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_login_meta(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_end(
    ngx_http_claude_relay_call_t *call);


void
ngx_http_claude_relay_login_granted(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    ncr_str_t           *scope;
    ncr_oauth_tokens_t  *tokens;

    tokens = call->tokens;

    if (login->oauth->keep
        && login->oauth->keep(&login->talk->talk, tokens->refresh,
                              sizeof(tokens->refresh))
           != NCR_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                 "login of account \"%V\": %s", &call->name,
                                 login->talk->talk.error);
        return;
    }

    call->row.access = tokens->access;
    call->row.refresh = tokens->refresh;
    call->row.expires = tokens->expires;
    call->row.granted = ngx_http_claude_relay_now();

    if (login->setup && tokens->expires == 0) {
        call->row.expires = call->row.granted + NGX_HTTP_CLAUDE_RELAY_YEAR;
    }

    /* without a word on it, it is what was asked for (RFC 6749, 5.1) */

    scope = login->setup ? &login->oauth->setup_scope : &login->oauth->scope;

    call->row.scopes = tokens->scope[0]
                       ? tokens->scope
                       : ngx_http_claude_relay_login_str(call, scope);

    /* perhaps somebody else has logged in: nothing of before is true */

    call->row.meta = tokens->meta;

    login->save_until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_SAVE_MAX;

    ngx_http_claude_relay_login_store(call);
}


static void
ngx_http_claude_relay_login_store(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_save,
                                    ngx_http_claude_relay_login_saved);
}


static void
ngx_http_claude_relay_login_save(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                           *data;
    uint64_t                        version;
    ncr_int_t                       rc;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;
    rc = NCR_OK;

    if (login->fresh) {
        version = 0;
        rc = ncr_store_put(store, &call->row, &version, call->now);

        if (rc == NCR_DECLINED) {

            /* it was made while the operator was away */

            rc = NCR_OK;
        }
    }

    if (rc == NCR_OK) {
        rc = ncr_store_tokens(store, &call->row, UINT64_MAX, call->now);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);

    if (rc == NCR_OK) {
        (void) ncr_store_login_take(store, login->id, &data, call->now);
        ncr_store_login_free(data);
    }
}


static void
ngx_http_claude_relay_login_saved(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "account \"%V\" was removed since "
                                         "this login began", &call->name);
        return;
    }

    if (call->job.rc != NCR_OK
        && (ngx_msec_int_t) (login->save_until - ngx_current_msec) > 0
        && !ngx_terminate)
    {
        /* the code is used up: what came for it is worth some patience */

        ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_SAVE,
                                         ngx_http_claude_relay_login_store);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "tokens of a login of account \"%V\" could not be "
                      "stored, the login must be repeated: %s", &call->name,
                      call->job.error);
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "account \"%V\" was logged in by %V", &call->name,
                  &call->caller.who);

    call->seq = call->row.seq;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_login_profile);
}


/* whose account it is: for the operator's eyes, and no harm if not told */

static void
ngx_http_claude_relay_login_profile(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                       scopes;
    ngx_http_claude_relay_fetch_t  *fetch;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    scopes.data = (u_char *) call->row.scopes;
    scopes.len = call->row.scopes ? ngx_strlen(scopes.data) : 0;

    /* the roster that has it may be another one now */

    ngx_http_claude_relay_roster_release(call->rmcf, call->roster);

    call->roster = call->rmcf->roster;
    call->roster->refs++;

    call->account = ngx_http_claude_relay_roster_find(call->roster,
                                                      &call->name);

    if (call->account && call->account->token && login->oauth->after) {
        ngx_http_claude_relay_login_after(call, login);
        return;
    }

    if (call->account == NULL || !call->account->token
        || login->oauth->profile_path.len == 0
        || !ncr_str_contains(ncr(&scopes), "user:profile"))
    {
        ngx_http_claude_relay_login_end(call);
        return;
    }

    fetch = ngx_http_claude_relay_api_request(call->rmcf, call->account,
                                              "GET",
                                              &login->oauth->profile_path,
                                              NULL);
    if (fetch == NULL) {
        ngx_http_claude_relay_login_end(call);
        return;
    }

    fetch->timeout = NGX_HTTP_CLAUDE_RELAY_PROFILE;
    fetch->data = call;
    fetch->handler = ngx_http_claude_relay_login_known;

    call->fetch = fetch;

    if (ngx_http_claude_relay_fetch_start(fetch) != NGX_OK) {
        ngx_http_claude_relay_login_end(call);
    }
}


/* what the platform wants to know before it serves */

static void
ngx_http_claude_relay_login_after(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    ngx_http_claude_relay_talk_t  *t;

    t = ngx_http_claude_relay_login_talk(call, call->account);
    if (t == NULL) {
        ngx_http_claude_relay_login_end(call);
        return;
    }

    t->talk.access.data = (u_char *) call->row.access;
    t->talk.access.len = ngx_strlen(call->row.access);
    t->talk.refresh.data = (u_char *) call->row.refresh;
    t->talk.refresh.len = ngx_strlen(call->row.refresh);
    t->talk.meta.data = (u_char *) call->row.meta;
    t->talk.meta.len = ngx_strlen(call->row.meta);

    ngx_http_claude_relay_talk_run(t, login->oauth->after,
                                   ngx_http_claude_relay_login_learnt, call);
}


/* the tokens are good and stored: a failure is told, and tried again */

static void
ngx_http_claude_relay_login_learnt(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc)
{
    ngx_http_claude_relay_call_t *call = t->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "account \"%V\" is logged in, but: %s", &call->name,
                      t->talk.error);
    }

    (void) ngx_cpystrn((u_char *) login->meta, (u_char *) t->talk.told,
                       sizeof(login->meta));

    if (login->meta[0] == '\0') {
        ngx_http_claude_relay_login_end(call);
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_meta,
                                    ngx_http_claude_relay_login_end);
}


static void
ngx_http_claude_relay_login_known(ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_call_t *call = fetch->data;

    ncr_str_t                       old;
    ncr_int_t                       rc;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;
    rc = NCR_BAD;

    old.data = (u_char *) call->row.meta;
    old.len = ngx_strlen(old.data);

    if (fetch->kind == NCR_REPLY_HTTP && fetch->status == 200 && !fetch->cut) {
        rc = ncr_oauth_profile(ncr(&fetch->answer), &old, login->meta,
                               sizeof(login->meta));
    }

    ngx_http_claude_relay_fetch_destroy(fetch);
    call->fetch = NULL;

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "the profile of account \"%V\" is not known",
                      &call->name);
        ngx_http_claude_relay_login_end(call);
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_meta,
                                    ngx_http_claude_relay_login_end);
}


static void
ngx_http_claude_relay_login_meta(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                       rc;
    ncr_store_account_t             row;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    rc = ncr_store_meta(store, call->row.name, login->meta, call->now);

    if (rc == NCR_OK && ncr_store_find(store, call->row.name, &row) == NCR_OK)
    {
        call->seq = row.seq;
        ncr_store_row_free(&row);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_login_end(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_call_account);
}
