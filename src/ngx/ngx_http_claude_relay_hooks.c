
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Webhooks: what one is, a request to it, and deliveries, which the store
 * keeps until they are told.  A hook gets one at a time, the oldest first.
 * While the store fails, deliveries are kept in memory: that it fails is one
 * of the things to be told.
 */


#include "ngx_http_claude_relay_alerts.h"


/* a listener has so long for its answer, ms, and so much of it is read */
#define NGX_HTTP_CLAUDE_RELAY_HOOK_TIMEOUT  10000
#define NGX_HTTP_CLAUDE_RELAY_HOOK_ANSWER   16384

/* the first pause, ms; four times as long each time */
#define NGX_HTTP_CLAUDE_RELAY_HOOK_PAUSE    1000
#define NGX_HTTP_CLAUDE_RELAY_HOOK_TRIES    8

/* requests at a time */
#define NGX_HTTP_CLAUDE_RELAY_HOOK_AT_ONCE  16

/* deliveries in memory, when the store fails */
#define NGX_HTTP_CLAUDE_RELAY_HOOK_UNTOLD   256


static const char *ngx_http_claude_relay_hook_names(cJSON *value,
    uint32_t *bits, ngx_uint_t levels);
static const char *ngx_http_claude_relay_hook_id(cJSON *value, char *dst,
    size_t size);
static void ngx_http_claude_relay_hook_notify(
    ngx_http_claude_relay_hook_t *hook, ncr_notify_hook_t *notify);
static ngx_int_t ngx_http_claude_relay_hook_target(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, ngx_http_claude_relay_fetch_t *f,
    ncr_url_t *url);
static ngx_int_t ngx_http_claude_relay_hook_head(
    ngx_http_claude_relay_fetch_t *f, ncr_notify_request_t *request);
static ngx_uint_t ngx_http_claude_relay_hook_full(
    ngx_http_claude_relay_hook_t *hook);
static ngx_uint_t ngx_http_claude_relay_hook_busy(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_delivery_t *d);
static void ngx_http_claude_relay_delivery_start(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_delivery_t *d);
static void ngx_http_claude_relay_event_read(cJSON *json,
    ncr_notify_event_t *event);
static void ngx_http_claude_relay_delivery_answered(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_delivery_over(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_delivery_t *d,
    ncr_notify_result_t *result, ngx_uint_t status);
static void ngx_http_claude_relay_delivery_keep(
    ngx_http_claude_relay_delivery_t *d);
static void ngx_http_claude_relay_delivery_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_delivery_kept(
    ngx_http_claude_relay_job_t *job);


ngx_http_claude_relay_hook_t *
ngx_http_claude_relay_hook(ncr_store_hook_t *row)
{
    cJSON                         *settings;
    ngx_http_claude_relay_hook_t  *hook;

    hook = ngx_calloc(sizeof(ngx_http_claude_relay_hook_t), ngx_cycle->log);
    if (hook == NULL) {
        return NULL;
    }

    hook->row = *row;
    ngx_memzero(row, sizeof(ncr_store_hook_t));

    /* what a later version has written is as if it was not there */

    settings = cJSON_Parse(hook->row.settings);
    (void) ngx_http_claude_relay_hook_settings(hook, settings);
    cJSON_Delete(settings);

    return hook;
}


void
ngx_http_claude_relay_hook_free(ngx_http_claude_relay_hook_t *hook)
{
    ncr_store_hook_free(&hook->row);
    ngx_free(hook);
}


void
ngx_http_claude_relay_hooks_free(ngx_queue_t *hooks)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(hooks)) {
        q = ngx_queue_head(hooks);
        ngx_queue_remove(q);
        ngx_http_claude_relay_hook_free(
                       ngx_queue_data(q, ngx_http_claude_relay_hook_t, queue));
    }
}


/* all of it is checked, what is good of it holds */

const char *
ngx_http_claude_relay_hook_settings(ngx_http_claude_relay_hook_t *hook,
    cJSON *settings)
{
    cJSON       *item;
    const char  *wrong, *error;

    hook->types = NGX_HTTP_CLAUDE_RELAY_HOOK_ALL;
    hook->levels = (1u << NCR_ALERT_LEVELS) - 1;
    hook->resolved = 1;
    hook->limit = 0;
    hook->chat[0] = '\0';
    hook->thread[0] = '\0';

    wrong = NULL;

    cJSON_ArrayForEach(item, settings) {

        error = NULL;

        if (ngx_strcmp(item->string, "types") == 0) {
            error = ngx_http_claude_relay_hook_names(item, &hook->types, 0);

        } else if (ngx_strcmp(item->string, "levels") == 0) {
            error = ngx_http_claude_relay_hook_names(item, &hook->levels, 1);

        } else if (ngx_strcmp(item->string, "resolved") == 0) {

            if (cJSON_IsBool(item)) {
                hook->resolved = cJSON_IsTrue(item);

            } else {
                error = "\"resolved\" must be true or false";
            }

        } else if (ngx_strcmp(item->string, "limit") == 0) {

            if (cJSON_IsNumber(item) && item->valuedouble >= 0
                && item->valuedouble <= 1000
                && item->valuedouble == (double) (int) item->valuedouble)
            {
                hook->limit = (ngx_uint_t) item->valuedouble;

            } else {
                error = "\"limit\" must be a number a minute, up to 1000; 0 "
                        "is none";
            }

        } else if (ngx_strcmp(item->string, "chat_id") == 0) {
            error = ngx_http_claude_relay_hook_id(item, hook->chat,
                                                  sizeof(hook->chat));

        } else if (ngx_strcmp(item->string, "thread_id") == 0) {
            error = cJSON_IsNumber(item)
                    ? ngx_http_claude_relay_hook_id(item, hook->thread,
                                                    sizeof(hook->thread))
                    : "\"thread_id\" must be a number";

        } else {
            error = "a setting is none";
        }

        if (error && wrong == NULL) {
            wrong = error;
        }
    }

    return wrong;
}


static const char *
ngx_http_claude_relay_hook_names(cJSON *value, uint32_t *bits,
    ngx_uint_t levels)
{
    cJSON      *item;
    uint32_t    all;
    ncr_int_t   n;
    ncr_str_t   s;

    all = 0;

    if (!cJSON_IsArray(value)) {
        goto invalid;
    }

    cJSON_ArrayForEach(item, value) {

        if (!cJSON_IsString(item)) {
            goto invalid;
        }

        s.data = (u_char *) item->valuestring;
        s.len = ngx_strlen(s.data);

        n = levels ? ncr_alert_level(&s) : ncr_alert_kind(&s);

        if (!levels && ncr_str_eq(&s, "storm")) {
            n = NGX_HTTP_CLAUDE_RELAY_HOOK_STORM;
        }

        if (n == -1) {
            goto invalid;
        }

        all |= 1u << n;
    }

    if (all == 0) {
        goto invalid;
    }

    *bits = all;

    return NULL;

invalid:

    return levels ? "\"levels\" must be a list of \"info\", \"warning\", "
                    "\"critical\""
                  : "\"types\" must be a list of types of alerts";
}


/* a number or a name; of Telegram */

static const char *
ngx_http_claude_relay_hook_id(cJSON *value, char *dst, size_t size)
{
    ncr_str_t  s;

    if (cJSON_IsNumber(value)
        && value->valuedouble > -9007199254740992.0
        && value->valuedouble < 9007199254740992.0
        && value->valuedouble == (double) (int64_t) value->valuedouble)
    {
        (void) ngx_snprintf((u_char *) dst, size, "%L%Z",
                            (int64_t) value->valuedouble);
        return NULL;
    }

    if (cJSON_IsString(value)) {
        s.data = (u_char *) value->valuestring;
        s.len = ngx_strlen(s.data);

        if (s.len && s.len < size) {
            ncr_str_copy(dst, size, &s);
            return NULL;
        }
    }

    return "\"chat_id\" must be a number or a name";
}


static void
ngx_http_claude_relay_hook_notify(ngx_http_claude_relay_hook_t *hook,
    ncr_notify_hook_t *notify)
{
    ncr_str_t  kind;

    kind.data = (u_char *) hook->row.kind;
    kind.len = ngx_strlen(kind.data);

    notify->kind = ncr_notify_kind(&kind);
    notify->url.data = (u_char *) hook->row.url;
    notify->url.len = ngx_strlen(notify->url.data);
    notify->secret.data = (u_char *) hook->row.secret;
    notify->secret.len = ngx_strlen(notify->secret.data);
    notify->chat.data = (u_char *) hook->chat;
    notify->chat.len = ngx_strlen(notify->chat.data);
    notify->thread.data = (u_char *) hook->thread;
    notify->thread.len = ngx_strlen(notify->thread.data);
}


ngx_int_t
ngx_http_claude_relay_hook_check(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, u_char *error)
{
    const char          *wrong;
    ncr_notify_hook_t    notify;
    ncr_notify_place_t   place;

    ngx_http_claude_relay_hook_notify(hook, &notify);

    if (notify.kind == NCR_NOTIFY_KINDS) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "its kind is none of this version%Z");
        return NGX_ERROR;
    }

    wrong = ncr_notify_check(&notify, &place);

    if (wrong) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR, "%s%Z", wrong);
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_guard_host(rmcf,
                                            (ngx_str_t *) &place.url.host,
                                            error);
}


ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_hook_request(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, ncr_notify_event_t *event,
    u_char *error)
{
    u_char                         *path, *headers, *body;
    ncr_int_t                       rc;
    ncr_notify_hook_t               notify;
    ncr_notify_request_t            request;
    ngx_http_claude_relay_fetch_t  *f;

    if (ngx_http_claude_relay_hook_check(rmcf, hook, error) != NGX_OK) {
        return NULL;
    }

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);

    if (f == NULL) {
        goto failed;
    }

    path = ngx_palloc(f->pool, NCR_NOTIFY_HEAD);
    headers = ngx_palloc(f->pool, NCR_NOTIFY_HEAD);
    body = ngx_palloc(f->pool, NCR_NOTIFY_BODY);

    if (path == NULL || headers == NULL || body == NULL) {
        goto failed;
    }

    ncr_out_init(&request.path, path, NCR_NOTIFY_HEAD);
    ncr_out_init(&request.headers, headers, NCR_NOTIFY_HEAD);
    ncr_out_init(&request.body, body, NCR_NOTIFY_BODY);

    ngx_http_claude_relay_hook_notify(hook, &notify);

    rc = ncr_notify_request(&notify, event, ngx_http_claude_relay_now(),
                            &rmcf->sha, &request);

    if (rc != NCR_OK
        || ngx_http_claude_relay_hook_target(rmcf, hook, f,
                                             &request.place.url)
           != NGX_OK
        || ngx_http_claude_relay_hook_head(f, &request) != NGX_OK)
    {
        goto failed;
    }

    /* the path of one is a secret as often as not */

    ngx_explicit_memzero(path, NCR_NOTIFY_HEAD);

    f->rmcf = rmcf;
    f->resolver = ngx_http_claude_relay_resolver();
    f->timeout = NGX_HTTP_CLAUDE_RELAY_HOOK_TIMEOUT;
    f->max_body = NGX_HTTP_CLAUDE_RELAY_HOOK_ANSWER;

    f->body.data = request.body.start;
    f->body.len = request.body.last - request.body.start;

    return f;

failed:

    (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                        "no request can be made of it%Z");

    if (f) {
        ngx_http_claude_relay_fetch_destroy(f);
    }

    return NULL;
}


/* as long as the fetch, in whose pool it is: no connection is kept */

static ngx_int_t
ngx_http_claude_relay_hook_target(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, ngx_http_claude_relay_fetch_t *f,
    ncr_url_t *url)
{
    u_char                          *p;
    ngx_str_t                        warning;
    ngx_http_claude_relay_target_t  *t;

    t = ngx_pcalloc(f->pool, sizeof(ngx_http_claude_relay_target_t));
    p = ngx_pnalloc(f->pool, url->host.len);

    if (t == NULL || p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, url->host.data, url->host.len);
    url->host.data = p;

    t->guarded = 1;

    t->name.data = ngx_pnalloc(f->pool, sizeof("hook ") + NCR_STORE_NAME);

    if (t->name.data == NULL) {
        return NGX_ERROR;
    }

    t->name.len = ngx_sprintf(t->name.data, "hook %s", hook->row.name)
                  - t->name.data;

    if (ngx_http_claude_relay_target_make(f->pool, t, url) != NGX_OK
        || ngx_http_claude_relay_target_way(rmcf, f->pool, t, url, rmcf->proxy,
                                            0, &warning)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    f->target = t;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_hook_head(ngx_http_claude_relay_fetch_t *f,
    ncr_notify_request_t *request)
{
    u_char     *p;
    size_t      path, headers;
    ncr_url_t  *url;

    url = &request->place.url;
    path = request->path.last - request->path.start;
    headers = request->headers.last - request->headers.start;

    p = ngx_pnalloc(f->pool, 512 + path + headers + url->host.len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    f->head.data = p;

    p = ngx_sprintf(p, "POST %*s HTTP/1.1" CRLF "Host: %V", path,
                    request->path.start, (ngx_str_t *) &url->host);

    if (!url->default_port) {
        p = ngx_sprintf(p, ":%ui", url->port);
    }

    p = ngx_sprintf(p, CRLF "Content-Type: application/json; charset=utf-8"
                    CRLF "Accept: */*" CRLF "Connection: close" CRLF
                    "User-Agent: claude-relay/"
                    NGX_HTTP_CLAUDE_RELAY_VERSION CRLF
                    "Content-Length: %uz" CRLF,
                    (size_t) (request->body.last - request->body.start));

    p = ngx_cpymem(p, request->headers.start, headers);

    f->head.len = p - f->head.data;

    return NGX_OK;
}


void
ngx_http_claude_relay_hook_result(ngx_http_claude_relay_fetch_t *f,
    ncr_notify_kind_e kind, ncr_notify_result_t *result)
{
    if (f->kind == NCR_REPLY_HTTP) {
        ncr_notify_result(kind, f->status, ncr(&f->retry_after),
                          ncr(&f->answer), ngx_http_claude_relay_now(),
                          result);
        return;
    }

    ngx_memzero(result, sizeof(ncr_notify_result_t));

    result->after = -1;

    (void) ngx_snprintf((u_char *) result->error, sizeof(result->error),
                        "%s%Z", ngx_http_claude_relay_fetch_failure(f->kind));
}


char *
ngx_http_claude_relay_hook_state(const char *state,
    ncr_notify_result_t *result, ngx_uint_t status, ngx_uint_t given_up,
    ngx_uint_t dropped)
{
    char        *text, when[NCR_STR_RFC3339];
    cJSON       *old, *json, *last;
    double       n[4];
    ngx_uint_t   i;

    static const char  *names[] = { "told", "failed", "given_up", "dropped" };

    old = cJSON_Parse(state);

    for (i = 0; i < 4; i++) {
        last = cJSON_GetObjectItemCaseSensitive(old, names[i]);
        n[i] = cJSON_IsNumber(last) ? last->valuedouble : 0;
    }

    cJSON_Delete(old);

    n[0] += (result->told != 0);
    n[1] += (result->told == 0);
    n[2] += given_up;
    n[3] += dropped;

    json = cJSON_CreateObject();
    last = cJSON_AddObjectToObject(json, "last");

    ncr_str_rfc3339(when, ngx_http_claude_relay_now());

    (void) cJSON_AddStringToObject(last, "at", when);
    (void) cJSON_AddBoolToObject(last, "ok", result->told);
    (void) cJSON_AddItemToObject(last, "status",
                                 status ? cJSON_CreateNumber((double) status)
                                        : cJSON_CreateNull());

    if (!result->told) {
        (void) cJSON_AddStringToObject(last, "error", result->error);
    }

    for (i = 0; i < 4; i++) {
        (void) cJSON_AddNumberToObject(json, names[i], n[i]);
    }

    text = cJSON_PrintUnformatted(json);

    cJSON_Delete(json);

    return text;
}


ngx_http_claude_relay_hook_t *
ngx_http_claude_relay_hook_find(ngx_http_claude_relay_teller_t *t,
    const char *name)
{
    ngx_queue_t                   *q;
    ngx_http_claude_relay_hook_t  *hook;

    for (q = ngx_queue_head(&t->hooks);
         q != ngx_queue_sentinel(&t->hooks);
         q = ngx_queue_next(q))
    {
        hook = ngx_queue_data(q, ngx_http_claude_relay_hook_t, queue);

        if (ngx_strcmp(hook->row.name, name) == 0) {
            return hook;
        }
    }

    return NULL;
}


/* it wants no more in this minute */

static ngx_uint_t
ngx_http_claude_relay_hook_full(ngx_http_claude_relay_hook_t *hook)
{
    if (hook->limit == 0) {
        return 0;
    }

    if (hook->count == 0 || ngx_current_msec - hook->minute >= 60000) {
        hook->minute = ngx_current_msec;
        hook->count = 0;
    }

    if (hook->count == hook->limit) {
        hook->dropped++;
        return 1;
    }

    hook->count++;

    return 0;
}


void
ngx_http_claude_relay_deliver(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event, ngx_uint_t type, ncr_alert_level_e level)
{
    u_char                             buf[NGX_HTTP_CLAUDE_RELAY_EVENT];
    ncr_out_t                          out;
    ngx_queue_t                       *q;
    ngx_uint_t                         over;
    ngx_http_claude_relay_hook_t      *hook;
    ngx_http_claude_relay_delivery_t  *d;

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_notify_event(&out, event);

    if (out.overflow) {
        return;
    }

    over = ncr_str_eq(&event->state, "resolved");

    for (q = ngx_queue_head(&t->hooks);
         q != ngx_queue_sentinel(&t->hooks);
         q = ngx_queue_next(q))
    {
        hook = ngx_queue_data(q, ngx_http_claude_relay_hook_t, queue);

        if (!hook->row.enabled
            || !(hook->types & (1u << type))
            || !(hook->levels & (1u << level))
            || (over && !hook->resolved)
            || ngx_http_claude_relay_hook_full(hook))
        {
            continue;
        }

        d = ngx_calloc(sizeof(ngx_http_claude_relay_delivery_t),
                       ngx_cycle->log);
        if (d == NULL) {
            return;
        }

        d->event = ngx_http_claude_relay_dup(out.start, out.last - out.start);

        if (d->event == NULL) {
            ngx_free(d);
            return;
        }

        (void) ngx_cpystrn((u_char *) d->hook, (u_char *) hook->row.name,
                           sizeof(d->hook));

        d->next = event->time;

        ngx_queue_insert_tail(&t->untold, &d->queue);
    }
}


void
ngx_http_claude_relay_delivery_free(ngx_http_claude_relay_delivery_t *d)
{
    if (d->fetch) {
        ngx_http_claude_relay_fetch_destroy(d->fetch);
    }

    if (d->state) {
        cJSON_free(d->state);
    }

    if (d->event) {
        ngx_free(d->event);
    }

    ngx_free(d);
}


void
ngx_http_claude_relay_deliveries(ngx_http_claude_relay_teller_t *t)
{
    ncr_msec_t                         now;
    ngx_uint_t                         n, memory;
    ngx_queue_t                       *q, *next;
    ngx_http_claude_relay_delivery_t  *d;

    n = 0;
    memory = 0;
    now = ngx_http_claude_relay_now();

    for (q = ngx_queue_head(&t->deliveries);
         q != ngx_queue_sentinel(&t->deliveries);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);
        n += (d->fetch != NULL);
        memory += (d->id == 0);
    }

    for (q = ngx_queue_head(&t->deliveries);
         q != ngx_queue_sentinel(&t->deliveries);
         q = next)
    {
        next = ngx_queue_next(q);
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        if (d->posted || d->fetch) {
            continue;
        }

        if (d->id == 0 && memory > NGX_HTTP_CLAUDE_RELAY_HOOK_UNTOLD) {
            memory--;
            ngx_queue_remove(q);
            ngx_http_claude_relay_delivery_free(d);
            continue;
        }

        if (d->tried) {
            ngx_http_claude_relay_delivery_keep(d);
            continue;
        }

        if (d->next > now || n >= NGX_HTTP_CLAUDE_RELAY_HOOK_AT_ONCE
            || ngx_http_claude_relay_hook_busy(t, d))
        {
            continue;
        }

        n++;
        ngx_http_claude_relay_delivery_start(t, d);
    }
}


static ngx_uint_t
ngx_http_claude_relay_hook_busy(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_delivery_t *d)
{
    ngx_queue_t                       *q;
    ngx_http_claude_relay_delivery_t  *other;

    for (q = ngx_queue_head(&t->deliveries);
         q != ngx_queue_sentinel(&t->deliveries);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        if (other->fetch && ngx_strcmp(other->hook, d->hook) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_delivery_start(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_delivery_t *d)
{
    cJSON                          *json;
    u_char                          error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_str_t                       kind;
    ncr_notify_event_t              event;
    ncr_notify_result_t             result;
    ngx_http_claude_relay_hook_t   *hook;
    ngx_http_claude_relay_fetch_t  *f;

    hook = ngx_http_claude_relay_hook_find(t, d->hook);
    json = cJSON_Parse(d->event);

    if (hook == NULL || !hook->row.enabled || json == NULL) {

        /* nobody wants to hear it any more */

        cJSON_Delete(json);

        d->tried = 1;
        d->told = 1;

        if (d->id) {
            ngx_http_claude_relay_delivery_keep(d);
            return;
        }

        ngx_queue_remove(&d->queue);
        ngx_http_claude_relay_delivery_free(d);
        return;
    }

    kind.data = (u_char *) hook->row.kind;
    kind.len = ngx_strlen(kind.data);
    d->kind = ncr_notify_kind(&kind);

    ngx_http_claude_relay_event_read(json, &event);

    error[0] = '\0';

    f = ngx_http_claude_relay_hook_request(t->rmcf, hook, &event, error);

    cJSON_Delete(json);

    if (f) {
        f->data = d;
        f->handler = ngx_http_claude_relay_delivery_answered;

        if (ngx_http_claude_relay_fetch_start(f) == NGX_OK) {
            d->fetch = f;
            return;
        }

        ngx_http_claude_relay_fetch_destroy(f);

        (void) ngx_snprintf(error, sizeof(error), "it cannot be sent%Z");
    }

    ngx_memzero(&result, sizeof(ncr_notify_result_t));

    result.after = -1;

    (void) ngx_cpystrn((u_char *) result.error, error, sizeof(result.error));

    ngx_http_claude_relay_delivery_over(t, d, &result, 0);
}


/* slices of the tree */

static void
ngx_http_claude_relay_event_read(cJSON *json, ncr_notify_event_t *event)
{
    cJSON               *item, *fields;
    ncr_str_t            s;
    ngx_uint_t           i;
    ncr_notify_field_t  *field;

    static const struct {
        const char  *name;
        size_t       offset;
    } members[] = {
        { "id", offsetof(ncr_notify_event_t, id) },
        { "type", offsetof(ncr_notify_event_t, type) },
        { "level", offsetof(ncr_notify_event_t, level) },
        { "state", offsetof(ncr_notify_event_t, state) },
        { "subject", offsetof(ncr_notify_event_t, subject) },
        { "title", offsetof(ncr_notify_event_t, title) },
        { "text", offsetof(ncr_notify_event_t, text) },
        { "service", offsetof(ncr_notify_event_t, service) }
    };

    ngx_memzero(event, sizeof(ncr_notify_event_t));

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {

        item = cJSON_GetObjectItemCaseSensitive(json, members[i].name);

        s.data = (u_char *) (cJSON_IsString(item) ? item->valuestring : "");
        s.len = ngx_strlen(s.data);

        *(ncr_str_t *) ((u_char *) event + members[i].offset) = s;
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "time");

    s.data = (u_char *) (cJSON_IsString(item) ? item->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (ncr_str_time(&s, &event->time) != NCR_OK) {
        event->time = 0;
    }

    fields = cJSON_GetObjectItemCaseSensitive(json, "fields");

    cJSON_ArrayForEach(item, fields) {

        if (event->nfields == NCR_NOTIFY_FIELDS) {
            break;
        }

        if (!cJSON_IsString(item)) {
            continue;
        }

        field = &event->fields[event->nfields++];

        field->name.data = (u_char *) item->string;
        field->name.len = ngx_strlen(item->string);
        field->value.data = (u_char *) item->valuestring;
        field->value.len = ngx_strlen(item->valuestring);
    }
}


static void
ngx_http_claude_relay_delivery_answered(ngx_http_claude_relay_fetch_t *f)
{
    ngx_uint_t                         status;
    ncr_notify_result_t                result;
    ngx_http_claude_relay_teller_t    *t;
    ngx_http_claude_relay_delivery_t  *d;

    d = f->data;
    status = f->status;

    ngx_http_claude_relay_hook_result(f, d->kind, &result);

    d->fetch = NULL;
    ngx_http_claude_relay_fetch_destroy(f);

    /* a worker that is no teller has no fetches either */

    t = ngx_http_claude_relay_teller();

    ngx_http_claude_relay_delivery_over(t, d, &result, status);
    ngx_http_claude_relay_deliveries(t);
}


static void
ngx_http_claude_relay_delivery_over(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_delivery_t *d, ncr_notify_result_t *result,
    ngx_uint_t status)
{
    char                          *state;
    ncr_msec_t                     pause;
    ngx_uint_t                     given_up, level;
    ngx_http_claude_relay_hook_t  *hook;

    d->attempts++;

    given_up = (!result->told
                && d->attempts >= NGX_HTTP_CLAUDE_RELAY_HOOK_TRIES);

    d->told = (result->told || given_up);

    if (!d->told) {
        pause = (ncr_msec_t) NGX_HTTP_CLAUDE_RELAY_HOOK_PAUSE
                << 2 * (d->attempts - 1);

        d->next = ngx_http_claude_relay_now() + ngx_max(pause, result->after);
    }

    if (!result->told) {
        level = given_up ? NGX_LOG_ERR : NGX_LOG_WARN;

        ngx_log_error(level, ngx_cycle->log, 0,
                      "hook \"%s\" was not told, try %ui of %d: %s", d->hook,
                      d->attempts, NGX_HTTP_CLAUDE_RELAY_HOOK_TRIES,
                      result->error);
    }

    hook = ngx_http_claude_relay_hook_find(t, d->hook);

    if (hook) {
        state = ngx_http_claude_relay_hook_state(hook->row.state, result,
                                                 status, given_up,
                                                 hook->dropped);
        if (state) {
            hook->dropped = 0;

            ncr_store_hook_text(&hook->row.state, state);

            if (d->state) {
                cJSON_free(d->state);
            }

            d->state = state;
        }
    }

    if (d->id) {
        d->tried = 1;
        ngx_http_claude_relay_delivery_keep(d);
        return;
    }

    if (d->told) {
        ngx_queue_remove(&d->queue);
        ngx_http_claude_relay_delivery_free(d);
    }
}


/* the store is told how it went; until it knows, it is not asked for */

static void
ngx_http_claude_relay_delivery_keep(ngx_http_claude_relay_delivery_t *d)
{
    d->job.data = d;
    d->job.run = ngx_http_claude_relay_delivery_run;
    d->job.done = ngx_http_claude_relay_delivery_kept;

    d->posted = (ngx_http_claude_relay_store_post(&d->job) == NGX_OK);
}


static void
ngx_http_claude_relay_delivery_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_delivery_t *d = job->data;

    ncr_int_t  rc;

    if (d->told) {
        rc = ncr_store_delivery_end(store, d->id, d->hook, d->state);

    } else {
        rc = ncr_store_delivery_again(store, d->id, d->attempts, d->next,
                                      d->hook, d->state);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_delivery_kept(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_delivery_t *d = job->data;

    ngx_http_claude_relay_teller_t  *t;

    d->posted = 0;

    t = ngx_http_claude_relay_teller();

    if (d->queue.next == NULL) {

        /* it is nobody's any more */

        ngx_http_claude_relay_delivery_free(d);
        return;
    }

    if (job->rc != NCR_OK) {
        return;
    }

    if (!d->told && (t->due == 0 || t->due > d->next)) {
        t->due = d->next;
    }

    t->again = 1;

    ngx_queue_remove(&d->queue);
    ngx_http_claude_relay_delivery_free(d);
}
