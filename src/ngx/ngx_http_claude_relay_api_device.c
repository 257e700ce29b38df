
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Logins of devices (RFC 8628): a code is shown to the operator, who types it
 * in anywhere, and whoever has begun the login asks whether that was done.
 * What lies between the calls is sealed in the store, as for other logins;
 * the time of the next question, too, so that no caller is quicker than the
 * server allows.
 */


#include "ngx_http_claude_relay_logins.h"


/* a poll that comes this much too early is as good as one in time, ms */
#define NGX_HTTP_CLAUDE_RELAY_EARLY   500


static void ngx_http_claude_relay_device_coded(
    ngx_http_claude_relay_talk_t *t, ncr_int_t rc);
static ngx_int_t ngx_http_claude_relay_device_seal(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_device_begun(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_device_ask(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_device_asked(
    ngx_http_claude_relay_talk_t *t, ncr_int_t rc);
static void ngx_http_claude_relay_device_tokens(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_device_wait(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_device_change(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_device_pending(
    ngx_http_claude_relay_call_t *call);
static ncr_msec_t ngx_http_claude_relay_device_time(
    ngx_http_claude_relay_login_t *login, const char *name);


void
ngx_http_claude_relay_login_device(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    t = ngx_http_claude_relay_login_talk(call,
                                    call->trial ? call->trial : call->account);
    if (t == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_talk_run(t, login->oauth->device,
                                   ngx_http_claude_relay_device_coded, call);
}


static void
ngx_http_claude_relay_device_coded(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc)
{
    ngx_http_claude_relay_call_t *call = t->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (rc != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                         "login of account \"%V\": %s",
                                         &call->name, t->talk.error);
        return;
    }

    login->expires = t->talk.expires;
    login->interval = t->talk.interval;

    /* nobody types so fast */

    login->after = t->talk.now + login->interval;

    if (ngx_http_claude_relay_device_seal(call, login) == NGX_OK) {
        ngx_http_claude_relay_login_begin(call,
                                          ngx_http_claude_relay_device_begun);
    }
}


static ngx_int_t
ngx_http_claude_relay_device_seal(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) cJSON_AddTrueToObject(json, "device");
    (void) cJSON_AddStringToObject(json, "kept", login->talk->talk.kept);
    (void) cJSON_AddNumberToObject(json, "interval",
                                   (double) login->interval);
    (void) cJSON_AddNumberToObject(json, "next", (double) login->after);

    return ngx_http_claude_relay_login_seal(call, login, json);
}


static void
ngx_http_claude_relay_device_begun(ngx_http_claude_relay_call_t *call)
{
    char                            when[NCR_STR_RFC3339];
    cJSON                          *json;
    ncr_oauth_talk_t               *talk;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;
    talk = &login->talk->talk;

    ngx_explicit_memzero(login->sealed, ngx_strlen(login->sealed));

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ncr_str_rfc3339(when, login->expires);

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "id", login->id);
    (void) cJSON_AddStringToObject(json, "user_code", talk->user_code);
    (void) cJSON_AddStringToObject(json, "url", talk->verify_all[0]
                                                ? talk->verify_all
                                                : talk->verify);
    (void) cJSON_AddStringToObject(json, "verification_uri", talk->verify);
    (void) cJSON_AddNumberToObject(json, "interval",
                                   (double) (login->interval / 1000));
    (void) cJSON_AddStringToObject(json, "expires_at", when);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_CREATED, json, 0);
}


/* has the operator been there? */

void
ngx_http_claude_relay_api_poll(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_login_t  *login;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_members(call, names, NULL, NULL) != NGX_OK)
    {
        return;
    }

    login = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_login_t));

    if (login == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->data = login;

    ngx_http_claude_relay_login_look(call, ngx_http_claude_relay_device_ask);
}


static void
ngx_http_claude_relay_device_ask(ngx_http_claude_relay_call_t *call)
{
    ncr_msec_t                      now;
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (!login->device || login->oauth->poll == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "this is no login of a device: it is "
                                         "ended with a code");
        return;
    }

    login->interval = ngx_http_claude_relay_device_time(login, "interval");
    login->after = ngx_http_claude_relay_device_time(login, "next");

    now = ngx_http_claude_relay_now();

    if (login->after - NGX_HTTP_CLAUDE_RELAY_EARLY > now
        && login->after - now <= login->interval)
    {
        ngx_http_claude_relay_device_pending(call);
        return;
    }

    t = ngx_http_claude_relay_login_talk(call,
                                    call->trial ? call->trial : call->account);
    if (t == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    /* what comes is good once */

    t->important = 1;
    t->talk.interval = login->interval;

    (void) ngx_cpystrn((u_char *) t->talk.kept,
                       (u_char *)
                           ngx_http_claude_relay_login_field(login, "kept"),
                       sizeof(t->talk.kept));

    ngx_http_claude_relay_talk_run(t, login->oauth->poll,
                                   ngx_http_claude_relay_device_asked, call);
}


static ncr_msec_t
ngx_http_claude_relay_device_time(ngx_http_claude_relay_login_t *login,
    const char *name)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(login->json, name);

    return cJSON_IsNumber(item) ? (ncr_msec_t) item->valuedouble : 0;
}


static void
ngx_http_claude_relay_device_asked(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc)
{
    ngx_http_claude_relay_call_t *call = t->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    switch (rc) {

    case NCR_DONE:
        ngx_http_claude_relay_device_tokens(call, login);
        return;

    case NCR_DECLINED:
        ngx_http_claude_relay_device_wait(call);
        return;

    case NCR_BAD:
        ngx_http_claude_relay_login_over(call, t->talk.error);
        return;

    default:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                 "login of account \"%V\": %s; the login is "
                                 "still good", &call->name, t->talk.error);
        return;
    }
}


static void
ngx_http_claude_relay_device_tokens(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    call->tokens = ngx_palloc(call->pool, sizeof(ncr_oauth_tokens_t));

    if (call->tokens == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_token_answer(login->talk->fetch, login->oauth,
                                       call->tokens);

    if (call->tokens->result == NCR_OAUTH_TRANSIENT) {

        /* a code that has come is kept, and exchanged by the next poll */

        ngx_http_claude_relay_device_wait(call);
        return;
    }

    ngx_http_claude_relay_login_judge(call, login);
}


static void
ngx_http_claude_relay_device_wait(ngx_http_claude_relay_call_t *call)
{
    const char                     *settings;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    login->interval = login->talk->talk.interval;
    login->after = ngx_http_claude_relay_now() + login->interval;

    /* the account as it was meant, also if it has been made since then */

    settings = ngx_http_claude_relay_login_field(login, "settings");
    login->fresh = (settings[0] != '\0');

    if (ngx_http_claude_relay_device_seal(call, login) == NGX_OK) {
        ngx_http_claude_relay_call_post(call,
                                       ngx_http_claude_relay_device_change,
                                       ngx_http_claude_relay_device_pending);
    }
}


static void
ngx_http_claude_relay_device_change(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                          ncr_store_login_change(store, login->id,
                                                 login->sealed, call->now));
}


static void
ngx_http_claude_relay_device_pending(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (login->sealed) {
        ngx_explicit_memzero(login->sealed, ngx_strlen(login->sealed));
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "status", "pending");
    (void) cJSON_AddNumberToObject(json, "interval",
                                   (double) (login->interval / 1000));

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_ACCEPTED, json, 0);
}
