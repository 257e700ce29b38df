
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


#include "ngx_http_claude_relay_logins.h"
#include "ncr_oauth_text.h"


/* how long an operator may take, ms */
#define NGX_HTTP_CLAUDE_RELAY_LOGIN    (30 * 60 * 1000)

#define NGX_HTTP_CLAUDE_RELAY_CODE     8192


static ngx_int_t ngx_http_claude_relay_login_account(
    ngx_http_claude_relay_call_t *call, cJSON **values, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_login_existing(
    ngx_http_claude_relay_call_t *call, cJSON *settings, char *proxy);
static ngx_int_t ngx_http_claude_relay_login_options(
    ngx_http_claude_relay_call_t *call, cJSON **values,
    ngx_http_claude_relay_login_t *login, ngx_uint_t *loopback);
static const char *ngx_http_claude_relay_login_lacks(
    ngx_http_claude_relay_login_t *login, ngx_uint_t redirect,
    ngx_uint_t loopback);
static ngx_int_t ngx_http_claude_relay_login_prepare(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_login_t *login,
    ngx_uint_t loopback);
static void ngx_http_claude_relay_login_hush(void *data);
static void ngx_http_claude_relay_login_put(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_begun(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_keep(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_kept(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_pasted(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_login_resume(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static ngx_int_t ngx_http_claude_relay_login_paste(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_login_exchange(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);
static void ngx_http_claude_relay_login_answered(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_login_drop(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_dropped(
    ngx_http_claude_relay_call_t *call);


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LOGIN_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_SETUP,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_REDIRECT,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_PROXY,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_DEVICE,
    NGX_HTTP_CLAUDE_RELAY_LOGIN_MEMBERS
} ngx_http_claude_relay_login_e;


static const char *const  ngx_http_claude_relay_login_members[] = {
    "name", "setup_token", "redirect", "proxy", "device", NULL
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
           != NGX_OK)
    {
        return;
    }

    if (login->device) {
        ngx_http_claude_relay_login_device(call);
        return;
    }

    if (ngx_http_claude_relay_login_prepare(call, login, loopback) == NGX_OK) {
        ngx_http_claude_relay_login_begin(call,
                                          ngx_http_claude_relay_login_begun);
    }
}


void
ngx_http_claude_relay_login_begin(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next)
{
    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_put,
                                    next);
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
    cJSON       *setup, *redirect, *device;
    const char  *wrong;

    device = values[NGX_HTTP_CLAUDE_RELAY_LOGIN_DEVICE];
    setup = values[NGX_HTTP_CLAUDE_RELAY_LOGIN_SETUP];
    redirect = values[NGX_HTTP_CLAUDE_RELAY_LOGIN_REDIRECT];

    if (setup && !cJSON_IsBool(setup)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"setup_token\" must be true or "
                                         "false");
        return NGX_ERROR;
    }

    if (device && !cJSON_IsBool(device)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"device\" must be true or false");
        return NGX_ERROR;
    }

    login->setup = cJSON_IsTrue(setup);
    login->device = cJSON_IsTrue(device);
    *loopback = 0;

    if (redirect
        && (!cJSON_IsString(redirect)
            || (ngx_strcmp(redirect->valuestring, "paste") != 0
                && ngx_strcmp(redirect->valuestring, "loopback") != 0)))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"redirect\" must be \"paste\" or "
                                         "\"loopback\"");
        return NGX_ERROR;
    }

    *loopback = redirect
                && ngx_strcmp(redirect->valuestring, "loopback") == 0;

    wrong = ngx_http_claude_relay_login_lacks(login, redirect != NULL,
                                              *loopback);
    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there can be no such login: %s",
                                         wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* not each platform has each way to log in */

static const char *
ngx_http_claude_relay_login_lacks(ngx_http_claude_relay_login_t *login,
    ngx_uint_t redirect, ngx_uint_t loopback)
{
    ncr_oauth_t  *oauth;

    oauth = login->oauth;

    if (login->device) {

        if (oauth->device == NULL) {
            return "the platform has none of devices";
        }

        if (login->setup || redirect) {
            return "\"device\" goes with neither \"setup_token\" nor "
                   "\"redirect\"";
        }

        return ncr_oauth_lacks(oauth);
    }

    if (oauth->authorize_url.len == 0) {
        return "the platform has those of devices only, \"device\": true";
    }

    if (login->setup && oauth->setup_scope.len == 0) {
        return "the platform has no setup tokens";
    }

    if (loopback && oauth->loopback_uri.len == 0) {
        return "the platform's do not come back to a port of this machine";
    }

    return ncr_oauth_lacks(oauth);
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

    if (login->url == NULL || login->redirect == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "verifier", verifier);
    (void) cJSON_AddStringToObject(json, "state", state);
    (void) cJSON_AddBoolToObject(json, "setup", login->setup);
    (void) cJSON_AddStringToObject(json, "redirect_uri", login->redirect);

    ncr_seal_forget(verifier, sizeof(verifier));

    return ngx_http_claude_relay_login_seal(call, login, json);
}


/* with the account as it is meant; json is released */

ngx_int_t
ngx_http_claude_relay_login_seal(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login, cJSON *json)
{
    (void) cJSON_AddStringToObject(json, "name", (char *) call->name.data);

    if (login->fresh) {
        (void) cJSON_AddStringToObject(json, "settings", call->row.settings);
        (void) cJSON_AddStringToObject(json, "proxy", call->row.proxy);
    }

    login->sealed = ngx_http_claude_relay_call_print(call, json);

    cJSON_Delete(json);

    if (login->sealed == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_http_claude_relay_talk_t *
ngx_http_claude_relay_login_talk(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_account_t *a)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    cln = ngx_pool_cleanup_add(call->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    login->talk = ngx_http_claude_relay_talk_create(call->rmcf, a,
                                                    login->oauth);
    if (login->talk == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_login_hush;
    cln->data = login->talk;

    return login->talk;
}


static void
ngx_http_claude_relay_login_hush(void *data)
{
    ngx_http_claude_relay_talk_destroy(data);
}


char *
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

    ngx_http_claude_relay_login_look(call,
                                     ngx_http_claude_relay_login_pasted);
}


void
ngx_http_claude_relay_login_look(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next)
{
    ngx_http_claude_relay_login_t  *login;

    login = call->data;
    login->next = next;

    (void) ngx_cpystrn((u_char *) login->id,
                       (call->name.len == NCR_STORE_LOGIN - 1)
                       ? call->name.data : (u_char *) "", sizeof(login->id));

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_keep,
                                    ngx_http_claude_relay_login_kept);
}


static void
ngx_http_claude_relay_login_pasted(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    if (login->device) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "this is a login of a device: it is "
                                         "polled, it has no code to be "
                                         "pasted");
        return;
    }

    if (ngx_http_claude_relay_login_paste(call, login) == NGX_OK) {
        ngx_http_claude_relay_login_exchange(call, login);
    }
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

    login->device = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(login->json,
                                                                  "device"));

    if (ngx_http_claude_relay_login_resume(call, login) == NGX_OK) {
        login->next(call);
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


const char *
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
    ncr_int_t                       rc;
    ncr_str_t                       redirect, verifier;
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_fetch_t  *fetch;

    t = ngx_http_claude_relay_login_talk(call,
                                    call->trial ? call->trial : call->account);
    if (t == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    redirect.data = (u_char *)
                   ngx_http_claude_relay_login_field(login, "redirect_uri");
    redirect.len = ngx_strlen(redirect.data);
    verifier.data = (u_char *)
                   ngx_http_claude_relay_login_field(login, "verifier");
    verifier.len = ngx_strlen(verifier.data);

    rc = ncr_oauth_ask_code(&t->talk, ncr(&login->code), &redirect, &verifier,
                            ncr(&login->state), login->setup);

    fetch = (rc == NCR_OK) ? ngx_http_claude_relay_talk_fetch(t) : NULL;

    if (fetch) {

        /* the code is good once: the answer must be heard */

        fetch->important = 1;
        fetch->data = call;
        fetch->handler = ngx_http_claude_relay_login_answered;

        if (ngx_http_claude_relay_fetch_start(fetch) == NGX_OK) {
            return;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                             "login of account \"%V\": the code could not "
                             "be sent to the token endpoint", &call->name);
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

    ngx_http_claude_relay_token_answer(fetch, login->oauth, call->tokens);

    ngx_http_claude_relay_login_judge(call, login);
}


void
ngx_http_claude_relay_login_judge(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login)
{
    switch (call->tokens->result) {

    case NCR_OAUTH_OK:
        ngx_http_claude_relay_login_granted(call, login);
        return;

    case NCR_OAUTH_INVALID_GRANT:

        /* the code is used up, and this login with it */

        ngx_http_claude_relay_login_over(call, call->tokens->error);
        return;

    case NCR_OAUTH_TRANSIENT:
    case NCR_OAUTH_REFUSED:
    default:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                 "login of account \"%V\": the token endpoint: "
                                 "%s; the login is still good", &call->name,
                                 call->tokens->error);
        return;
    }
}


void
ngx_http_claude_relay_login_over(ngx_http_claude_relay_call_t *call,
    const char *reason)
{
    ngx_http_claude_relay_login_t  *login;

    login = call->data;

    (void) ngx_cpystrn((u_char *) login->reason, (u_char *) reason,
                       sizeof(login->reason));

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_drop,
                                    ngx_http_claude_relay_login_dropped);
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
                             "login of account \"%V\": %s%s; begin a new "
                             "login", &call->name,
                             login->device ? "" : "the token endpoint refused "
                                                  "the code: ",
                             login->reason);
}
