
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Logins (anthropic.md A.2 to A.4): the operator is given a URL, consents in
 * a browser, and brings back a code.  What lies between the two calls is
 * sealed in the store, so that any worker can go on with it, and a restart
 * does no harm.  A code is good for one use: it is not shown to the token
 * endpoint before its state is found right.
 */


#include "ngx_http_claude_relay_api.h"
#include "ncr_oauth_text.h"


/* how long an operator may take, ms */
#define NGX_HTTP_CLAUDE_RELAY_LOGIN    (30 * 60 * 1000)

/* a setup token, if its end is not told (A.4), ms */
#define NGX_HTTP_CLAUDE_RELAY_YEAR     ((ncr_msec_t) 31536000 * 1000)

/* who it is, if that is told soon, ms */
#define NGX_HTTP_CLAUDE_RELAY_PROFILE  10000

/* tokens that have come are tried to be stored for so long, ms */
#define NGX_HTTP_CLAUDE_RELAY_SAVE      250
#define NGX_HTTP_CLAUDE_RELAY_SAVE_MAX  30000

#define NGX_HTTP_CLAUDE_RELAY_CODE     8192


/* how a platform's server lets a login be known */

typedef struct {
    char                               id[NCR_STORE_LOGIN];
    char                              *sealed;  /* JSON, in the pool */
    char                              *kept;    /* as it was read */
    cJSON                             *json;    /* of that, in body */
    ncr_oauth_t                       *oauth;
    ngx_str_t                          code;
    ngx_str_t                          state;
    ncr_msec_t                         expires;
    ngx_msec_t                         save_until;
    char                              *url;
    char                              *redirect;
    char                               reason[256];
    char                               meta[NCR_OAUTH_META];
    unsigned                           setup:1;
    unsigned                           fresh:1; /* a new account */
} ngx_http_claude_relay_login_t;


static ngx_int_t ngx_http_claude_relay_login_account(
    ngx_http_claude_relay_call_t *call, cJSON **values, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_login_existing(
    ngx_http_claude_relay_call_t *call, cJSON *settings, char *proxy);
static ngx_int_t ngx_http_claude_relay_login_options(
    ngx_http_claude_relay_call_t *call, cJSON **values,
    ngx_http_claude_relay_login_t *login, ngx_uint_t *loopback);
static ngx_int_t ngx_http_claude_relay_login_prepare(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_login_t *login,
    ngx_uint_t loopback);
static char *ngx_http_claude_relay_login_str(
    ngx_http_claude_relay_call_t *call, ncr_str_t *s);
static void ngx_http_claude_relay_login_put(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_begun(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_keep(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_kept(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_login_resume(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static ngx_int_t ngx_http_claude_relay_login_paste(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static const char *ngx_http_claude_relay_login_field(
    ngx_http_claude_relay_login_t *login, const char *name);
static void ngx_http_claude_relay_login_exchange(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_login_answered(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_login_drop(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_dropped(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_granted(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_login_store(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_save(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_saved(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_profile(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_known(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_login_meta(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_end(
    ngx_http_claude_relay_call_t *call);


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LOGIN_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_SETUP,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_REDIRECT,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_PROXY,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_MEMBERS
} ngx_http_claude_relay_login_e;


static const char *const  ngx_http_claude_relay_login_members[] = {
    "name", "setup_token", "redirect", "proxy", NULL
};


void
ngx_http_claude_relay_api_login(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[NGX_HTTP_CLAUDE_RELAY_LOGIN_MEMBERS];
    cJSON                          *settings;
    ngx_int_t                       rc;
    ngx_uint_t                      loopback;
    ngx_http_claude_relay_login_t  *login;

    login = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_login_t));

    if (login == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->data = login;

    settings = cJSON_CreateObject();

    rc = ngx_http_claude_relay_call_members(call,
                                       ngx_http_claude_relay_login_members,
                                       values, settings);

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_login_account(call, values, settings);
    }

    cJSON_Delete(settings);

    if (rc != NGX_OK
        || ngx_http_claude_relay_login_options(call, values, login, &loopback)
           != NGX_OK
        || ngx_http_claude_relay_login_prepare(call, login, loopback)
           != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_put,
                                    ngx_http_claude_relay_login_begun);
}


/* one that is there gets new tokens, another one is tried before it is made */

static ngx_int_t
ngx_http_claude_relay_login_account(ngx_http_claude_relay_call_t *call,
    cJSON **values, cJSON *settings)
{
    char                           *name, *proxy;
    ncr_str_t                       text;
    ngx_str_t                       s;
    ncr_platform_t                 *platform;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (ngx_http_claude_relay_call_text(call,
                        values[NGX_HTTP_CLAUDE_RELAY_LOGIN_NAME], "name",
                        NGX_HTTP_CLAUDE_RELAY_NAME_LEN - 1, &name)
        != NGX_OK
        || ngx_http_claude_relay_call_proxy(call,
                        values[NGX_HTTP_CLAUDE_RELAY_LOGIN_PROXY], &proxy)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    s.data = (u_char *) (name ? name : "");
    s.len = ngx_strlen(s.data);

    call->account = ngx_http_claude_relay_roster_find(call->roster, &s);

    if (call->account == NULL && !ngx_http_claude_relay_valid_name(&s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_call_name(call, &s) != NGX_OK) {
        return NGX_ERROR;
    }

    if (call->account) {
        return ngx_http_claude_relay_login_existing(call, settings, proxy);
    }

    text = ncr_oauth_string(settings, "platform");
    platform = text.data ? ncr_platform_find(&text) : NULL;

    if (platform == NULL || platform->oauth == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"platform\" must be one that has "
                                         "logins, such as \"claude-oauth\"");
        return NGX_ERROR;
    }

    call->row.settings = ngx_http_claude_relay_call_print(call, settings);
    call->row.secret = "";
    call->row.proxy = proxy ? proxy : "";
    call->row.scopes = "";
    call->row.meta = "";

    if (call->row.settings == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_call_try(call) != NGX_OK) {
        return NGX_ERROR;
    }

    login->fresh = 1;
    login->oauth = ngx_http_claude_relay_oauth(call->rmcf, platform);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_login_existing(ngx_http_claude_relay_call_t *call,
    cJSON *settings, char *proxy)
{
    cJSON                            *item;
    ncr_str_t                         platform;
    ngx_http_claude_relay_login_t    *login;
    ngx_http_claude_relay_account_t  *a;

    login = call->data;
    a = call->account;

    if (a->platform->oauth == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                           "account \"%V\" is of platform \"%V\", which has "
                           "no logins", &call->name,
                           (ngx_str_t *) &a->platform->name);
        return NGX_ERROR;
    }

    if (!a->token) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                           "account \"%V\" does not live by tokens of the "
                           "store", &call->name);
        return NGX_ERROR;
    }

    item = cJSON_GetObjectItemCaseSensitive(settings, "platform");

    if (item) {
        platform = ncr_oauth_string(settings, "platform");

        if (ncr_platform_find(&platform) != a->platform) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                               "account \"%V\" is of platform \"%V\"",
                               &call->name,
                               (ngx_str_t *) &a->platform->name);
            return NGX_ERROR;
        }

        cJSON_DeleteItemFromObjectCaseSensitive(settings, "platform");
    }

    if (settings->child || proxy) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                          "account \"%V\" exists: a login gives it new "
                          "tokens, \"%s\" is changed otherwise", &call->name,
                          settings->child ? settings->child->string : "proxy");
        return NGX_ERROR;
    }

    login->oauth = ngx_http_claude_relay_oauth(call->rmcf, a->platform);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_login_options(ngx_http_claude_relay_call_t *call,
    cJSON **values, ngx_http_claude_relay_login_t *login,
    ngx_uint_t *loopback)
{
    cJSON  *setup, *redirect;

    setup = values[NGX_HTTP_CLAUDE_RELAY_LOGIN_SETUP];
    redirect = values[NGX_HTTP_CLAUDE_RELAY_LOGIN_REDIRECT];

    if (setup && !cJSON_IsBool(setup)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"setup_token\" must be true or "
                                         "false");
        return NGX_ERROR;
    }

    login->setup = cJSON_IsTrue(setup);
    *loopback = 0;

    if (redirect == NULL) {
        return NGX_OK;
    }

    if (cJSON_IsString(redirect)) {

        if (ngx_strcmp(redirect->valuestring, "paste") == 0) {
            return NGX_OK;
        }

        if (ngx_strcmp(redirect->valuestring, "loopback") == 0) {
            *loopback = 1;
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"redirect\" must be \"paste\" or "
                                     "\"loopback\"");
    return NGX_ERROR;
}


/* the URL, and what must be known when the operator comes back */

static ngx_int_t
ngx_http_claude_relay_login_prepare(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login, ngx_uint_t loopback)
{
    char         state[NCR_OAUTH_VERIFIER], verifier[NCR_OAUTH_VERIFIER];
    char         challenge[NCR_OAUTH_VERIFIER];
    u_char       url[8192];
    cJSON       *json;
    ncr_out_t    out;
    ncr_str_t    redirect, scope, s, c;
    ncr_char_t   random[2][32];

    if (ncr_seal_random(random[0], sizeof(random)) != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return NGX_ERROR;
    }

    ncr_oauth_verifier(random[0], verifier);
    ncr_oauth_verifier(random[1], state);
    ncr_oauth_challenge(verifier, challenge);
    ncr_seal_forget(random, sizeof(random));

    redirect = loopback ? login->oauth->loopback_uri
                        : login->oauth->redirect_uri;
    scope = login->setup ? login->oauth->setup_scope : login->oauth->scope;

    s.data = (u_char *) state;
    s.len = ngx_strlen(state);
    c.data = (u_char *) challenge;
    c.len = ngx_strlen(challenge);

    ncr_out_init(&out, url, sizeof(url) - 1);
    ncr_oauth_authorize_url(&out, login->oauth, &redirect, &scope, &s, &c);
    *out.last = '\0';

    if (out.overflow || c.len == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "there can be no login here");
        return NGX_ERROR;
    }

    s.data = url;
    s.len = out.last - url;

    login->url = ngx_http_claude_relay_login_str(call, &s);
    login->redirect = ngx_http_claude_relay_login_str(call, &redirect);
    login->expires = ngx_http_claude_relay_now() + NGX_HTTP_CLAUDE_RELAY_LOGIN;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", (char *) call->name.data);
    (void) cJSON_AddStringToObject(json, "verifier", verifier);
    (void) cJSON_AddStringToObject(json, "state", state);
    (void) cJSON_AddBoolToObject(json, "setup", login->setup);

    if (login->redirect) {
        (void) cJSON_AddStringToObject(json, "redirect_uri",
                                       login->redirect);
    }

    if (login->fresh) {
        (void) cJSON_AddStringToObject(json, "settings", call->row.settings);
        (void) cJSON_AddStringToObject(json, "proxy", call->row.proxy);
    }

    login->sealed = ngx_http_claude_relay_call_print(call, json);

    cJSON_Delete(json);
    ncr_seal_forget(verifier, sizeof(verifier));

    if (login->url && login->redirect && login->sealed) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_memory(call);

    return NGX_ERROR;
}


static char *
ngx_http_claude_relay_login_str(ngx_http_claude_relay_call_t *call,
    ncr_str_t *s)
{
    u_char  *p;

    p = ngx_pnalloc(call->pool, s->len + 1);

    if (p) {
        (void) ngx_cpystrn(p, s->data, s->len + 1);
    }

    return (char *) p;
}


static void
ngx_http_claude_relay_login_put(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                            ncr_store_login_put(store, login->id,
                                                login->sealed, login->expires,
                                                call->now));
}


static void
ngx_http_claude_relay_login_begun(ngx_http_claude_relay_call_t *call)
{
    char                            when[NCR_STR_RFC3339];
    cJSON                          *json;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_explicit_memzero(login->sealed, ngx_strlen(login->sealed));

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ncr_str_rfc3339(when, login->expires);

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "id", login->id);
    (void) cJSON_AddStringToObject(json, "url", login->url);
    (void) cJSON_AddStringToObject(json, "redirect_uri", login->redirect);
    (void) cJSON_AddStringToObject(json, "expires_at", when);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_CREATED, json, 0);
}


/* the operator has come back */

void
ngx_http_claude_relay_api_code(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[1];
    ngx_http_claude_relay_login_t  *login;

    static const char *const  names[] = { "code", NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK)
    {
        return;
    }

    if (!cJSON_IsString(values[0])
        || ngx_strlen(values[0]->valuestring) > NGX_HTTP_CLAUDE_RELAY_CODE)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"code\" must be a string of at "
                                         "most 8192 bytes");
        return;
    }

    login = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_login_t));

    if (login == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->data = login;

    login->code.data = (u_char *) values[0]->valuestring;
    login->code.len = ngx_strlen(login->code.data);

    (void) ngx_cpystrn((u_char *) login->id,
                       (call->name.len == NCR_STORE_LOGIN - 1)
                       ? call->name.data : (u_char *) "", sizeof(login->id));

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_keep,
                                    ngx_http_claude_relay_login_kept);
}


static void
ngx_http_claude_relay_login_keep(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                             ncr_store_login_keep(store, login->id,
                                                  &login->kept, call->now));
}


static void
ngx_http_claude_relay_login_kept(ngx_http_claude_relay_call_t *call)
{
    ncr_str_t                       text;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no such login, or it has "
                                         "expired: begin a new one");
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    text.data = (u_char *) login->kept;
    text.len = ngx_strlen(login->kept);

    login->json = ncr_oauth_json(&text);

    ncr_store_login_free(login->kept);

    if (login->json == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "what was kept of this login "
                                         "cannot be read: begin a new one");
        return;
    }

    /* it goes with the body, and is overwritten with it */

    (void) cJSON_AddItemToObject(call->body, "login", login->json);

    if (ngx_http_claude_relay_login_resume(call, login) == NGX_OK
        && ngx_http_claude_relay_login_paste(call, login) == NGX_OK)
    {
        ngx_http_claude_relay_login_exchange(call, login);
    }
}


/* the account as it was meant when the login began */

static ngx_int_t
ngx_http_claude_relay_login_resume(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    ngx_str_t                         name;
    const char                       *settings;
    ngx_http_claude_relay_account_t  *a;

    name.data = (u_char *) ngx_http_claude_relay_login_field(login, "name");
    name.len = ngx_strlen(name.data);

    if (ngx_http_claude_relay_call_name(call, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    login->setup = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(login->json,
                                                                 "setup"));

    settings = ngx_http_claude_relay_login_field(login, "settings");

    call->row.settings = (char *) settings;
    call->row.secret = "";
    call->row.proxy = (char *) ngx_http_claude_relay_login_field(login,
                                                                 "proxy");
    call->row.scopes = "";
    call->row.meta = "";

    call->account = ngx_http_claude_relay_roster_find(call->roster,
                                                      &call->name);
    a = call->account;

    if (a == NULL && settings[0] == '\0') {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "account \"%V\" was removed since "
                                         "this login began", &call->name);
        return NGX_ERROR;
    }

    if (a == NULL) {

        if (ngx_http_claude_relay_call_try(call) != NGX_OK) {
            return NGX_ERROR;
        }

        login->fresh = 1;
        a = call->trial;
    }

    if (!a->token || a->platform->oauth == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "account \"%V\" has no logins",
                                         &call->name);
        return NGX_ERROR;
    }

    login->oauth = ngx_http_claude_relay_oauth(call->rmcf, a->platform);

    return NGX_OK;
}


/* a state that is not ours is another login's: this one stays as it is */

static ngx_int_t
ngx_http_claude_relay_login_paste(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    size_t       size;
    u_char      *buf;
    ncr_str_t    code, state;
    const char  *wrong, *own;

    size = login->code.len + 1024;

    buf = ngx_pnalloc(call->pool, size);

    if (buf == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    wrong = ncr_oauth_paste(ncr(&login->code), buf, size, &code, &state);

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, "login",
                                 "login of account \"%V\": the code that was "
                                 "pasted: %s", &call->name, wrong);
        return NGX_ERROR;
    }

    own = ngx_http_claude_relay_login_field(login, "state");

    if (state.len
        && (state.len != ngx_strlen(own)
            || !ncr_hash_equal(state.data, own, state.len)))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, "login",
                                 "login of account \"%V\": the state does not "
                                 "match, the code is that of another login",
                                 &call->name);
        return NGX_ERROR;
    }

    login->code = ngx_http_claude_relay_str(&code);
    login->state.data = (u_char *) own;
    login->state.len = ngx_strlen(own);

    return NGX_OK;
}


static const char *
ngx_http_claude_relay_login_field(ngx_http_claude_relay_login_t *login,
    const char *name)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(login->json, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}


static void
ngx_http_claude_relay_login_exchange(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    ncr_out_t                       out;
    ncr_str_t                       redirect, verifier;
    ngx_str_t                       body;
    ngx_http_claude_relay_fetch_t  *fetch;

    fetch = ngx_http_claude_relay_token_request(call->rmcf,
                                     call->trial ? call->trial : call->account,
                                     login->oauth, &body);
    if (fetch == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    redirect.data = (u_char *)
                   ngx_http_claude_relay_login_field(login, "redirect_uri");
    redirect.len = ngx_strlen(redirect.data);
    verifier.data = (u_char *)
                   ngx_http_claude_relay_login_field(login, "verifier");
    verifier.len = ngx_strlen(verifier.data);

    ncr_out_init(&out, body.data, body.len);
    ncr_oauth_exchange(&out, login->oauth, ncr(&login->code), &redirect,
                       &verifier, ncr(&login->state), login->setup);

    fetch->data = call;
    fetch->handler = ngx_http_claude_relay_login_answered;

    call->fetch = fetch;

    if (out.overflow
        || ngx_http_claude_relay_token_send(fetch, login->oauth, body.data,
                                            out.last - out.start)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                 "login of account \"%V\": the code could not "
                                 "be sent to the token endpoint", &call->name);
    }
}


static void
ngx_http_claude_relay_login_answered(ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_call_t *call = fetch->data;

    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    call->tokens = ngx_palloc(call->pool, sizeof(ncr_oauth_tokens_t));

    if (call->tokens == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_token_answer(fetch, call->tokens);

    ngx_http_claude_relay_fetch_destroy(fetch);
    call->fetch = NULL;

    (void) ngx_cpystrn((u_char *) login->reason,
                       (u_char *) call->tokens->error, sizeof(login->reason));

    switch (call->tokens->result) {

    case NCR_OAUTH_OK:
        ngx_http_claude_relay_login_granted(call, login);
        return;

    case NCR_OAUTH_INVALID_GRANT:

        /* the code is used up, and this login with it */

        ngx_http_claude_relay_call_post(call,
                                       ngx_http_claude_relay_login_drop,
                                       ngx_http_claude_relay_login_dropped);
        return;

    case NCR_OAUTH_TRANSIENT:
    case NCR_OAUTH_REFUSED:
    default:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                 "login of account \"%V\": the token endpoint: "
                                 "%s; the login is still good", &call->name,
                                 login->reason);
        return;
    }
}


static void
ngx_http_claude_relay_login_drop(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                           *data;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                      ncr_store_login_take(store, login->id, &data, call->now));

    ncr_store_login_free(data);
}


static void
ngx_http_claude_relay_login_dropped(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, "login",
                             "login of account \"%V\": the token endpoint "
                             "refused the code: %s; begin a new login",
                             &call->name, login->reason);
}


static void
ngx_http_claude_relay_login_granted(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    ncr_str_t           *scope;
    ncr_oauth_tokens_t  *tokens;

    tokens = call->tokens;

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
