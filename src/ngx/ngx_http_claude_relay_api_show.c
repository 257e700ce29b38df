
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the API shows: the relay, and accounts; no secrets of either. */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_ledger.h"


static cJSON *ngx_http_claude_relay_show_ledger(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_store(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_show_zone(
    ngx_http_claude_relay_call_t *call, cJSON *json);
static void ngx_http_claude_relay_show_params(cJSON *json,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_show_settings(cJSON *json,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_show_state(cJSON *json,
    ngx_http_claude_relay_view_t *view);
static void ngx_http_claude_relay_show_parts(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
static void ngx_http_claude_relay_show_maps(cJSON *json,
    ngx_http_claude_relay_account_t *a);


void
ngx_http_claude_relay_api_status(ngx_http_claude_relay_call_t *call)
{
    cJSON                             *json, *accounts;
    ncr_msec_t                         now;
    ngx_uint_t                         i, j, workers, counts[4];
    ngx_http_claude_relay_zone_t      *zone;
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_account_t  **a;

    static const char  *states[] = { "ok", "resting", "needs-login",
                                     "disabled" };
    static const char  *names[] = { "ok", "resting", "needs_login",
                                    "disabled" };

    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK) {
        return;
    }

    zone = call->rmcf->zone;
    now = ngx_http_claude_relay_now();
    workers = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (zone->rows[i].pid && kill(zone->rows[i].pid, 0) == 0) {
            workers++;
        }
    }

    ngx_memzero(counts, sizeof(counts));

    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {
        ngx_http_claude_relay_view(call->rmcf, a[i], now, &view);

        for (j = 0; j < 4; j++) {
            if (ngx_strcmp(view.state, states[j]) == 0) {
                counts[j]++;
            }
        }
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "version",
                                   NGX_HTTP_CLAUDE_RELAY_VERSION);
    (void) cJSON_AddStringToObject(json, "nginx", NGINX_VERSION);
    (void) cJSON_AddNumberToObject(json, "pid",
                                   (ngx_process == NGX_PROCESS_SINGLE)
                                   ? ngx_pid : ngx_parent);
    (void) cJSON_AddNumberToObject(json, "workers", (double) workers);
    (void) cJSON_AddNumberToObject(json, "uptime",
                                   (double) ((now - zone->born) / 1000));
    (void) cJSON_AddNumberToObject(json, "requests", (double) zone->requests);
    (void) cJSON_AddNumberToObject(json, "sessions",
                                   (double) zone->nsessions);
    (void) cJSON_AddItemToObject(json, "store",
                                 ngx_http_claude_relay_show_store(call));

    (void) cJSON_AddItemToObject(json, "usage",
                                 ngx_http_claude_relay_show_ledger(call));

    ngx_http_claude_relay_show_zone(call, json);

    accounts = cJSON_AddObjectToObject(json, "accounts");

    (void) cJSON_AddNumberToObject(accounts, "total",
                                   (double) call->roster->accounts.nelts);

    for (j = 0; j < 4; j++) {
        (void) cJSON_AddNumberToObject(accounts, names[j],
                                       (double) counts[j]);
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_show_store(ngx_http_claude_relay_call_t *call)
{
    char                               error[NCR_STORE_ERROR];
    cJSON                             *json;
    ncr_msec_t                         since;
    ngx_uint_t                         failed;
    ngx_http_claude_relay_zone_t      *zone;
    ngx_http_claude_relay_main_conf_t *rmcf;

    rmcf = call->rmcf;
    zone = rmcf->zone;

    if (rmcf->store == NULL) {
        return cJSON_CreateNull();
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    failed = zone->store_failed;
    since = zone->store_since;
    ngx_memcpy(error, zone->store_error, sizeof(error));
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "path", &rmcf->store->path);
    (void) cJSON_AddStringToObject(json, "state", failed ? "failed" : "ok");

    if (failed) {
        (void) cJSON_AddStringToObject(json, "error", error);
    }

    if (since) {
        ngx_http_claude_relay_show_time(json, "since", since);
    }

    return json;
}


static cJSON *
ngx_http_claude_relay_show_ledger(ngx_http_claude_relay_call_t *call)
{
    char                                error[NCR_LEDGER_ERROR];
    cJSON                              *json, *ring;
    ngx_uint_t                          failed, ready;
    ncr_msec_t                          since;
    ngx_http_claude_relay_zone_t       *zone;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = call->rmcf;
    zone = rmcf->zone;

    if (rmcf->ring == NULL) {
        return cJSON_CreateNull();
    }

    ready = ngx_http_claude_relay_ledger_ready(rmcf);

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    failed = zone->usage_failed;
    since = zone->usage_since;
    ngx_memcpy(error, zone->usage_error, sizeof(error));
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "path", &rmcf->usage->path);
    (void) cJSON_AddStringToObject(json, "state", !ready ? "full"
                                                  : failed ? "failed" : "ok");

    if (failed) {
        (void) cJSON_AddStringToObject(json, "error", error);
    }

    if (since) {
        ngx_http_claude_relay_show_time(json, "since", since);
    }

    ngx_http_claude_relay_show_time(json, "drained_at", zone->usage_drained);

    ring = cJSON_AddObjectToObject(json, "ring");

    (void) cJSON_AddNumberToObject(ring, "size", (double) rmcf->ring->size);
    (void) cJSON_AddNumberToObject(ring, "free",
                                   (double) ncr_ring_room(rmcf->ring));
    (void) cJSON_AddNumberToObject(json, "lost", (double) zone->usage_lost);
    (void) cJSON_AddNumberToObject(json, "refused",
                                   (double) zone->usage_refused);

    return json;
}


/* its memory, and what the store has put there */

static void
ngx_http_claude_relay_show_zone(ngx_http_claude_relay_call_t *call,
    cJSON *json)
{
    cJSON                              *zone;
    ngx_uint_t                          free, n[NCR_SCOPE_MODEL + 1];
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = call->rmcf;

    ngx_memzero(n, sizeof(n));

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    free = rmcf->shpool->pfree;

    if (rmcf->subjects) {
        ngx_memcpy(n, rmcf->subjects->n, sizeof(n));
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    zone = cJSON_AddObjectToObject(json, "zone");

    (void) cJSON_AddNumberToObject(zone, "size",
                                   (double) rmcf->shm_zone->shm.size);
    (void) cJSON_AddNumberToObject(zone, "free",
                                   (double) (free * ngx_pagesize));

    (void) cJSON_AddNumberToObject(json, "keys",
                     (double) (n[NCR_SCOPE_KEY] + rmcf->keys.nelts));
    (void) cJSON_AddNumberToObject(json, "users",
                     (double) (n[NCR_SCOPE_USER] + rmcf->users.nelts));
    (void) cJSON_AddNumberToObject(json, "groups",
                     (double) (n[NCR_SCOPE_GROUP] + rmcf->groups.nelts));
    (void) cJSON_AddNumberToObject(json, "limits",
                                   (double) n[NCR_SCOPE_MODEL]);
}


void
ngx_http_claude_relay_api_show(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_account(call);
}


void
ngx_http_claude_relay_call_account(ngx_http_claude_relay_call_t *call)
{
    cJSON                            *json;
    ncr_msec_t                        now;
    ngx_http_claude_relay_view_t      view;
    ngx_http_claude_relay_account_t  *a;

    a = ngx_http_claude_relay_roster_find(call->rmcf->roster, &call->name);

    if (a == NULL && call->seq) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                              NULL, "account \"%V\" is stored, but this worker "
                              "has not taken it over: the error log tells why",
                              &call->name);
        return;
    }

    if (a == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no account \"%V\"",
                                         &call->name);
        return;
    }

    now = ngx_http_claude_relay_now();

    ngx_http_claude_relay_view(call->rmcf, a, now, &view);

    json = ngx_http_claude_relay_show_account(&view, now);

    if (json == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call,
                             call->created ? NGX_HTTP_CREATED : NGX_HTTP_OK,
                             json, a->own ? a->version : 0);
}


cJSON *
ngx_http_claude_relay_show_account(ngx_http_claude_relay_view_t *view,
    ncr_msec_t now)
{
    cJSON                            *json;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &a->name);
    (void) cJSON_AddStringToObject(json, "origin",
                                   a->own ? "store" : "nginx.conf");

    ngx_http_claude_relay_show_settings(json, a);

    (void) cJSON_AddNumberToObject(json, "version",
                                   a->own ? (double) a->version : 0);

    ngx_http_claude_relay_show_state(json, view);
    ngx_http_claude_relay_show_parts(json, view, now);

    return json;
}


/* the fields that its platform has for itself */

static void
ngx_http_claude_relay_show_params(cJSON *json,
    ngx_http_claude_relay_account_t *a)
{
    ngx_str_t           value;
    ngx_uint_t          i;
    const ncr_param_t  *p;

    p = a->platform->params;

    for (i = 0; p && p[i].name.len; i++) {

        if (a->params[i].len) {
            value = ngx_http_claude_relay_str(&a->params[i]);
            ngx_http_claude_relay_show_str(json, (char *) p[i].name.data,
                                           &value);
        }
    }
}


/* as they are in effect */

static void
ngx_http_claude_relay_show_settings(cJSON *json,
    ngx_http_claude_relay_account_t *a)
{
    char                            limit[NCR_LIMIT_TEXT];
    u_char                          buf[NGX_SOCKADDR_STRLEN + 300];
    cJSON                          *models, *limits, *groups;
    ngx_str_t                      *glob, text;
    ngx_uint_t                      i;
    ngx_http_claude_relay_proxy_t  *proxy;

    static const char  *credentials[] = {
        "auto", "x-api-key", "bearer", "api-key", "x-goog-api-key"
    };

    text = ngx_http_claude_relay_str(&a->platform->name);

    ngx_http_claude_relay_show_str(json, "platform", &text);
    ngx_http_claude_relay_show_str(json, "pool", &a->pool);
    ngx_http_claude_relay_show_str(json, "description", &a->description);
    ngx_http_claude_relay_show_str(json, "base_url", &a->base_url);
    (void) cJSON_AddStringToObject(json, "credential",
                                   credentials[a->credential]);
    ngx_http_claude_relay_show_params(json, a);
    (void) cJSON_AddNumberToObject(json, "priority", (double) a->priority);
    (void) cJSON_AddNumberToObject(json, "weight", (double) a->weight);
    (void) cJSON_AddNumberToObject(json, "max_concurrency",
                                   (double) a->max_concurrency);

    models = cJSON_AddArrayToObject(json, "models");

    if (a->models) {
        glob = a->models->elts;

        for (i = 0; i < a->models->nelts; i++) {
            (void) ngx_snprintf(buf, sizeof(buf), "%V%Z", &glob[i]);
            (void) cJSON_AddItemToArray(models,
                                        cJSON_CreateString((char *) buf));
        }
    }

    limits = cJSON_AddArrayToObject(json, "limits");

    for (i = 0; i < a->nlimits; i++) {
        (void) ncr_limit_print(&a->limits[i], limit, sizeof(limit));
        (void) cJSON_AddItemToArray(limits, cJSON_CreateString(limit));
    }

    (void) cJSON_AddBoolToObject(json, "enabled", a->enabled);
    (void) cJSON_AddBoolToObject(json, "schedulable", a->schedulable);
    (void) cJSON_AddBoolToObject(json, "sanitize_errors", a->sanitize);
    (void) cJSON_AddBoolToObject(json, "auto_protect", a->protect);
    (void) cJSON_AddStringToObject(json, "type", a->dedicated ? "dedicated"
                                                              : "shared");

    groups = cJSON_AddArrayToObject(json, "groups");

    for (i = 0; a->groups && i < a->groups->nelts; i++) {
        glob = a->groups->elts;
        (void) ngx_snprintf(buf, sizeof(buf), "%V%Z", &glob[i]);
        (void) cJSON_AddItemToArray(groups,
                                    cJSON_CreateString((char *) buf));
    }

    ngx_http_claude_relay_show_maps(json, a);

    ngx_http_claude_relay_show_time(json, "valid_until", a->valid_until);

    /* never its user and password */

    proxy = a->target.proxy;

    if (proxy) {
        (void) ngx_snprintf(buf, sizeof(buf), "%s://%V%Z",
                            (proxy->url.type == NCR_PROXY_SOCKS5)
                            ? "socks5" : "http", &proxy->name);
        (void) cJSON_AddStringToObject(json, "proxy", (char *) buf);

    } else {
        (void) cJSON_AddNullToObject(json, "proxy");
    }
}


/* what a request is changed into on its way, and when it may go */

static void
ngx_http_claude_relay_show_maps(cJSON *json,
    ngx_http_claude_relay_account_t *a)
{
    u_char                         from[NCR_MODEL_LEN], to[NCR_MODEL_LEN];
    cJSON                         *object;
    ngx_uint_t                     i;
    ngx_http_claude_relay_map_t   *m;

    object = cJSON_AddObjectToObject(json, "model_map");

    if (a->model_map) {
        m = a->model_map->elts;

        for (i = 0; i < a->model_map->nelts; i++) {
            (void) ngx_snprintf(from, sizeof(from), "%V%Z", &m[i].from);
            (void) ngx_snprintf(to, sizeof(to), "%V%Z", &m[i].to);
            (void) cJSON_AddStringToObject(object, (char *) from,
                                           (char *) to);
        }
    }

    object = cJSON_AddObjectToObject(json, "user_message_queue");

    (void) cJSON_AddBoolToObject(object, "enabled", a->turns.on);

    (void) ngx_snprintf(from, sizeof(from), "%Mms%Z", a->turns.gap);
    (void) cJSON_AddStringToObject(object, "gap", (char *) from);

    (void) ngx_snprintf(from, sizeof(from), "%Mms%Z", a->turns.wait);
    (void) cJSON_AddStringToObject(object, "wait", (char *) from);
}


static void
ngx_http_claude_relay_show_state(cJSON *json,
    ngx_http_claude_relay_view_t *view)
{
    cJSON         *error;
    ncr_health_t  *h;

    h = &view->node.health;

    (void) cJSON_AddStringToObject(json, "state", view->state);

    if (view->why) {
        (void) cJSON_AddStringToObject(json, "why", view->why);
    }

    if (view->until) {
        ngx_http_claude_relay_show_time(json, "until", view->until);
    }

    (void) cJSON_AddNumberToObject(json, "in_flight",
                                   (double) view->node.inflight);
    (void) cJSON_AddNumberToObject(json, "requests", (double) h->requests);
    (void) cJSON_AddNumberToObject(json, "errors", (double) h->errors);

    if (h->last_error == NCR_CLASS_OK) {
        return;
    }

    error = cJSON_AddObjectToObject(json, "last_error");

    (void) cJSON_AddStringToObject(error, "class",
                                   ncr_class_name(h->last_error));
    (void) cJSON_AddNumberToObject(error, "status", (double) h->last_status);
    ngx_http_claude_relay_show_time(error, "at", h->last_error_at);
}


/* what is used of limits of its own, and of those that all accounts have */

void
ngx_http_claude_relay_show_limits(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    u_char      buf[16 * NGX_HTTP_CLAUDE_RELAY_VIEW_LIMIT];
    ncr_out_t   out;

    ncr_out_init(&out, buf, sizeof(buf) - 1);
    ngx_http_claude_relay_view_limits(&out, view->rmcf, view->account, now);
    *out.last = '\0';

    if (!out.overflow) {
        (void) cJSON_AddRawToObject(json, "limits_used", (char *) buf);
    }
}


/* those that /health has, too */

static void
ngx_http_claude_relay_show_parts(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    cJSON                            *test;
    u_char                            buf[NGX_HTTP_CLAUDE_RELAY_VIEW_SIZE];
    ncr_out_t                         out;
    ngx_str_t                         scopes;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;

    if (a->token) {
        ngx_str_null(&scopes);

        if (a->info) {
            scopes = a->info->scopes;
        }

        ncr_out_init(&out, buf, sizeof(buf) - 1);
        ngx_http_claude_relay_view_token(&out, view, &scopes);
        *out.last = '\0';

        if (!out.overflow) {
            (void) cJSON_AddRawToObject(json, "token", (char *) buf);
        }
    }

    (void) cJSON_AddItemToObject(json, "identity",
                                 ngx_http_claude_relay_show_identity(a));

    ngx_http_claude_relay_show_windows(json, view, now);
    ngx_http_claude_relay_show_limits(json, view, now);

    if (view->node.tested) {
        test = cJSON_AddObjectToObject(json, "last_test");

        ngx_http_claude_relay_show_time(test, "at", view->node.tested);
        (void) cJSON_AddNumberToObject(test, "status",
                                       (double) view->node.test_status);
        (void) cJSON_AddNumberToObject(test, "ms",
                                       (double) view->node.test_ms);
    }
}


void
ngx_http_claude_relay_show_windows(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    u_char      buf[NGX_HTTP_CLAUDE_RELAY_VIEW_SIZE];
    ncr_out_t   out;

    ncr_out_init(&out, buf, sizeof(buf) - 1);
    ngx_http_claude_relay_view_windows(&out, view, now);
    *out.last = '\0';

    if (!out.overflow) {
        (void) cJSON_AddRawToObject(json, "windows", (char *) buf);
    }
}


cJSON *
ngx_http_claude_relay_show_identity(ngx_http_claude_relay_account_t *a)
{
    cJSON  *json;

    json = NULL;

    if (a->info && a->info->meta.len) {
        json = cJSON_ParseWithLength((char *) a->info->meta.data,
                                     a->info->meta.len);
    }

    return json ? json : cJSON_CreateObject();
}


void
ngx_http_claude_relay_show_str(cJSON *json, const char *name,
    ngx_str_t *value)
{
    (void) cJSON_AddItemToObject(json, name,
                                 ngx_http_claude_relay_json_str(value));
}


cJSON *
ngx_http_claude_relay_json_str(ngx_str_t *value)
{
    u_char      buf[8192];
    ncr_out_t   out;

    /* nginx.conf may have bytes that are no UTF-8 */

    ncr_out_init(&out, buf, sizeof(buf) - 1);
    ncr_out_json_string(&out, ncr(value));
    *out.last = '\0';

    return cJSON_CreateRaw(out.overflow ? "\"\"" : (char *) buf);
}


void
ngx_http_claude_relay_show_time(cJSON *json, const char *name, ncr_msec_t t)
{
    char  buf[NCR_STR_RFC3339];

    if (t == 0) {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    ncr_str_rfc3339(buf, t);

    (void) cJSON_AddStringToObject(json, name, buf);
}


void
ngx_http_claude_relay_show_cost(cJSON *json, const char *name,
    const char *micros, uint64_t cost)
{
    u_char  buf[NGX_INT64_LEN + 8];

    (void) ngx_snprintf(buf, sizeof(buf), "%uL.%06uL%Z", cost / 1000000,
                        cost % 1000000);

    (void) cJSON_AddStringToObject(json, name, (char *) buf);
    (void) cJSON_AddNumberToObject(json, micros, (double) cost);
}
