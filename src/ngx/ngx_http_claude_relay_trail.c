
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The trail: who has changed what, and what it was before.  It is written
 * before the caller hears that something was done.
 *
 * How an object was before is asked for by a call that nobody listens to, of
 * the way by which it is shown; so a change needs to do nothing for it, and
 * what the trail has is what an operator would have seen.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_feed.h"
#include "ncr_redact.h"


/* of one side of an entry; what is longer is left out */
#define NGX_HTTP_CLAUDE_RELAY_TRAIL_MAX   65536
#define NGX_HTTP_CLAUDE_RELAY_TRAIL_PATH  512


static ngx_uint_t ngx_http_claude_relay_trail_wanted(
    ngx_http_claude_relay_call_t *call);
static char *ngx_http_claude_relay_trail_json(ngx_pool_t *pool,
    ngx_str_t *text);
static void ngx_http_claude_relay_trail_mask(cJSON *json);
static ngx_uint_t ngx_http_claude_relay_trail_secret(const char *name);
static void ngx_http_claude_relay_trail_url(cJSON *json);
static const char *ngx_http_claude_relay_trail_method(ngx_uint_t method);
static void ngx_http_claude_relay_trail_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_trail_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_trail_lost(
    ngx_http_claude_relay_call_t *call, const char *why);


/* members whose strings are never kept, beside those of ncr_redact_secret() */

static const char *const  ngx_http_claude_relay_trail_names[] = {
    "access_token", "api_key", "authorize_url", "code", "csrf", "key",
    "otpauth_uri", "password", "refresh_token", "secret", "token", "totp",
    NULL
};


static ngx_uint_t
ngx_http_claude_relay_trail_wanted(ngx_http_claude_relay_call_t *call)
{
    return call->rmcf->store && call->parent == NULL && !call->noted
           && !call->way->quiet && call->way->method != NGX_HTTP_GET;
}


ngx_int_t
ngx_http_claude_relay_trail_before(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                        none;
    ngx_http_claude_relay_way_t     *way;
    ngx_http_claude_relay_call_t    *ask;
    ngx_http_claude_relay_caller_t   caller;

    if (!ngx_http_claude_relay_trail_wanted(call)) {
        return NGX_DECLINED;
    }

    way = ngx_http_claude_relay_way_shows(call->way);

    if (way == NULL) {
        return NGX_DECLINED;
    }

    ngx_str_null(&none);

    caller = call->caller;
    caller.role = NCR_ROLE_ADMIN;

    ask = ngx_http_claude_relay_call_create(call->rmcf, NULL, &caller);

    if (ask == NULL) {
        return NGX_DECLINED;
    }

    ask->parent = call;
    ask->way = way;
    ask->noted = 1;

    if (ngx_http_claude_relay_call_copy(ask->pool, &ask->name, &call->name)
        != NGX_OK
        || ngx_http_claude_relay_call_copy(ask->pool, &ask->item,
                                           &call->item)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(ask->pool, &ask->args, &none)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_destroy(ask);
        return NGX_DECLINED;
    }

    ask->roster = call->roster;
    ask->roster->refs++;
    ask->account = call->account;

    /* the client may leave now: its call goes on when it is told */

    call->next = ngx_http_claude_relay_call_run;

    ngx_http_claude_relay_call_run(ask);

    return NGX_OK;
}


void
ngx_http_claude_relay_trail_seen(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_t  *parent;

    parent = call->parent;

    if (call->answer.status == NGX_HTTP_OK) {
        parent->before = ngx_http_claude_relay_trail_json(parent->pool,
                                                          &call->answer.body);
    }

    ngx_http_claude_relay_call_destroy(call);

    ngx_http_claude_relay_call_run(parent);
}


/* JSON without secrets, or NULL: it is no object, or too large */

static char *
ngx_http_claude_relay_trail_json(ngx_pool_t *pool, ngx_str_t *text)
{
    char          *printed, *copy;
    size_t         len;
    cJSON         *json;
    ncr_redact_t   redact;

    if (text->len == 0 || text->len > NGX_HTTP_CLAUDE_RELAY_TRAIL_MAX) {
        return NULL;
    }

    json = cJSON_ParseWithLength((const char *) text->data, text->len);

    if (json == NULL) {
        return NULL;
    }

    ngx_http_claude_relay_trail_mask(json);

    printed = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (printed == NULL) {
        return NULL;
    }

    ngx_memzero(&redact, sizeof(ncr_redact_t));

    len = ncr_redact(&redact, NULL, 0, (u_char *) printed,
                     ngx_strlen(printed), 0);

    copy = ngx_pnalloc(pool, len + 1);

    if (copy) {
        ngx_memcpy(copy, printed, len);
        copy[len] = '\0';
    }

    cJSON_free(printed);

    return copy;
}


/* it is no deeper than what we have printed ourselves */

static void
ngx_http_claude_relay_trail_mask(cJSON *json)
{
    cJSON  *item;

    cJSON_ArrayForEach(item, json) {

        if (item->string == NULL || !cJSON_IsString(item)) {
            ngx_http_claude_relay_trail_mask(item);
            continue;
        }

        if (ngx_http_claude_relay_trail_secret(item->string)
            && item->valuestring[0])
        {
            ngx_explicit_memzero(item->valuestring,
                                 ngx_strlen(item->valuestring));
            (void) cJSON_SetValuestring(item, NCR_REDACTED);
            continue;
        }

        ngx_http_claude_relay_trail_url(item);
    }
}


static ngx_uint_t
ngx_http_claude_relay_trail_secret(const char *name)
{
    ncr_str_t     s;
    ngx_uint_t    i;
    ncr_redact_t  redact;

    for (i = 0; ngx_http_claude_relay_trail_names[i]; i++) {
        if (ngx_strcmp(name, ngx_http_claude_relay_trail_names[i]) == 0) {
            return 1;
        }
    }

    ngx_memzero(&redact, sizeof(ncr_redact_t));

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ncr_redact_secret(&redact, &s);
}


/*
 * Of a URL only scheme and host are kept: proxies have passwords in theirs,
 * and the path of a webhook is all that it takes to use it.
 */

static void
ngx_http_claude_relay_trail_url(cJSON *json)
{
    char  *p, *host, *at;

    p = strstr(json->valuestring, "://");

    if (p == NULL || p == json->valuestring || strchr(json->valuestring, ' '))
    {
        return;
    }

    host = p + 3;
    p = host + strcspn(host, "/?#");

    at = memchr(host, '@', p - host);

    if (at == NULL
        && (ngx_strcmp(json->string, "url") != 0 || *p == '\0'))
    {
        return;
    }

    while (at) {
        host = at + 1;
        at = memchr(host, '@', p - host);
    }

    *p = '\0';

    at = strstr(json->valuestring, "://") + 3;

    ngx_memmove(at, host, p - host + 1);
}


/* what was done, and refused, too, is written down; NGX_DECLINED: nothing is */

ngx_int_t
ngx_http_claude_relay_trail_note(ngx_http_claude_relay_call_t *call)
{
    size_t               len;
    ncr_store_action_t  *action;

    if (!ngx_http_claude_relay_trail_wanted(call)) {
        return NGX_DECLINED;
    }

    call->noted = 1;

    action = ngx_pcalloc(call->pool, sizeof(ncr_store_action_t));

    if (action == NULL) {
        ngx_http_claude_relay_trail_lost(call, "no memory");
        return NGX_DECLINED;
    }

    len = ngx_min(call->path.len, NGX_HTTP_CLAUDE_RELAY_TRAIL_PATH);
    call->path.data[len] = '\0';

    action->time = ngx_http_claude_relay_now();
    action->who = (char *) call->caller.who.data;
    action->role = (char *) ncr_role_name(call->caller.role);
    action->address = (char *) call->caller.address.data;
    action->method = (char *)
                       ngx_http_claude_relay_trail_method(call->way->method);
    action->path = (char *) call->path.data;
    action->status = call->answer.status;

    if (call->answer.status < NGX_HTTP_BAD_REQUEST) {
        action->before = call->before;
        action->after = call->untold
                        ? NULL
                        : ngx_http_claude_relay_trail_json(call->pool,
                                                         &call->answer.body);
    }

    call->action = action;

    call->job.run = ngx_http_claude_relay_trail_run;
    call->next = ngx_http_claude_relay_trail_done;

    if (ngx_http_claude_relay_store_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_trail_lost(call, "this worker is leaving");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static const char *
ngx_http_claude_relay_trail_method(ngx_uint_t method)
{
    switch (method) {

    case NGX_HTTP_POST:
        return "POST";

    case NGX_HTTP_PATCH:
        return "PATCH";

    case NGX_HTTP_PUT:
        return "PUT";

    default:
        return "DELETE";
    }
}


static void
ngx_http_claude_relay_trail_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_action_add(store, call->action));
}


static void
ngx_http_claude_relay_trail_done(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_trail_lost(call, call->job.error);
    }

    ngx_http_claude_relay_feed_action(call->rmcf, call->action);

    ngx_http_claude_relay_call_leave(call);
}


/* it is done by now: whoever keeps the log is told instead */

static void
ngx_http_claude_relay_trail_lost(ngx_http_claude_relay_call_t *call,
    const char *why)
{
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "%V: %s of \"%V\" ended with %ui, which the trail does not "
                  "have: %s", &call->caller.who,
                  ngx_http_claude_relay_trail_method(call->way->method),
                  &call->path, call->answer.status, why);
}
