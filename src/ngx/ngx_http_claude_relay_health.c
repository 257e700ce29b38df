
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /health: a word for everybody; and "?full" for whom the operator lets
 * see it: version, pools, accounts with state, reason and end of rest,
 * windows.  200 while anything can serve, 503 otherwise.  No secrets: names,
 * states and numbers only.
 */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_fleet_show.h"


/* what one account takes at most */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_SIZE                                     \
    (1024 + NGX_HTTP_CLAUDE_RELAY_VIEW_SIZE)


/* what is asked for */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_HEALTH_SMALL = 0,
    NGX_HTTP_CLAUDE_RELAY_HEALTH_FULL,
    NGX_HTTP_CLAUDE_RELAY_HEALTH_READY,
    NGX_HTTP_CLAUDE_RELAY_HEALTH_LIVE
} ngx_http_claude_relay_health_ask_e;


static ngx_int_t ngx_http_claude_relay_health_handler(ngx_http_request_t *r);
static ngx_http_claude_relay_health_ask_e ngx_http_claude_relay_health_asked(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_health_allowed(ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_health_serving(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *trouble);
static ngx_int_t ngx_http_claude_relay_health_small(ngx_pool_t *pool,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *body);
static const char *ngx_http_claude_relay_health_word(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t serving,
    ngx_uint_t trouble);
static void ngx_http_claude_relay_health_usage(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_health_store(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf);
static size_t ngx_http_claude_relay_health_limits(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_health_account(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
static void ngx_http_claude_relay_view_state(
    ngx_http_claude_relay_view_t *view, ngx_http_claude_relay_token_e token,
    ncr_msec_t later, ncr_msec_t now);
static const char *ngx_http_claude_relay_view_reason(
    ngx_http_claude_relay_view_t *view);
static void ngx_http_claude_relay_health_time(ncr_out_t *out,
    const char *name, ncr_msec_t t);
static void ngx_http_claude_relay_health_text(ncr_out_t *out,
    const char *name, const char *text);


static ngx_str_t  ngx_http_claude_relay_health_type =
    ngx_string("application/json");


/* claude_relay_health [full=on | full=off | full=$variable]; */

char *
ngx_http_claude_relay_set_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t                          *value, full;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_compile_complex_value_t    ccv;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    if (clcf->handler) {
        return "is duplicate, or conflicts with another handler";
    }

    if (rmcf->shm_zone == NULL) {
        return "needs \"claude_relay_zone\" before it";
    }

    clcf->handler = ngx_http_claude_relay_health_handler;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    if (!ncr_str_prefix(ncr(&value[1]), "full=") || value[1].len == 5) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    full.data = value[1].data + 5;
    full.len = value[1].len - 5;

    if (ngx_http_script_variables_count(&full) == 0
        && !ncr_str_eq(ncr(&full), "on") && !ncr_str_eq(ncr(&full), "off"))
    {
        return "takes \"full=on\", \"full=off\" or a variable";
    }

    rlcf->health_full = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (rlcf->health_full == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &full;
    ccv.complex_value = rlcf->health_full;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_health_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_str_t                           body;
    ngx_uint_t                          status, serving;
    ngx_http_claude_relay_health_ask_e  ask;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ask = ngx_http_claude_relay_health_asked(r);

    if (ask == NGX_HTTP_CLAUDE_RELAY_HEALTH_FULL) {

        if (!ngx_http_claude_relay_health_allowed(r)) {
            return NGX_HTTP_FORBIDDEN;
        }

        rc = ngx_http_claude_relay_health_full(r->pool, rmcf, &body);

    } else {
        rc = ngx_http_claude_relay_health_small(r->pool, rmcf, &body);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    serving = ngx_http_claude_relay_health_serving(rmcf, NULL);

    if (ask == NGX_HTTP_CLAUDE_RELAY_HEALTH_READY) {
        serving = serving && ngx_http_claude_relay_ledger_ready(rmcf);
    }

    status = (serving || ask == NGX_HTTP_CLAUDE_RELAY_HEALTH_LIVE)
             ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE;

    return ngx_http_claude_relay_send(r, status,
                                      &ngx_http_claude_relay_health_type,
                                      &body);
}


/* "?full", "?ready", "?live", perhaps among other things that probes add */

static ngx_http_claude_relay_health_ask_e
ngx_http_claude_relay_health_asked(ngx_http_request_t *r)
{
    u_char     *p, *last, *end;
    ncr_str_t   word;

    p = r->args.data;
    last = p + r->args.len;

    while (p < last) {

        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        word.data = p;
        word.len = end - p;

        if (ncr_str_eq(&word, "full")) {
            return NGX_HTTP_CLAUDE_RELAY_HEALTH_FULL;
        }

        if (ncr_str_eq(&word, "ready")) {
            return NGX_HTTP_CLAUDE_RELAY_HEALTH_READY;
        }

        if (ncr_str_eq(&word, "live")) {
            return NGX_HTTP_CLAUDE_RELAY_HEALTH_LIVE;
        }

        p = end + 1;
    }

    return NGX_HTTP_CLAUDE_RELAY_HEALTH_SMALL;
}


static ngx_uint_t
ngx_http_claude_relay_health_allowed(ngx_http_request_t *r)
{
    ngx_str_t                          value;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->health_full == NULL
        || ngx_http_complex_value(r, rlcf->health_full, &value) != NGX_OK)
    {
        return 0;
    }

    return value.len
           && !ncr_str_eq(ncr(&value), "0") && !ncr_str_eq(ncr(&value), "off");
}


/* accounts that can serve; *trouble: those that are enabled, and cannot */

static ngx_uint_t
ngx_http_claude_relay_health_serving(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t *trouble)
{
    ncr_msec_t                         now;
    ngx_uint_t                         i, serving, other;
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_account_t  **a;

    now = ngx_http_claude_relay_now();
    a = rmcf->roster->accounts.elts;
    serving = 0;
    other = 0;

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {

        ngx_http_claude_relay_view(rmcf, a[i], now, &view);

        if (ngx_strcmp(view.state, "ok") == 0) {
            serving++;

        } else if (ngx_strcmp(view.state, "disabled") != 0) {
            other++;
        }
    }

    if (trouble) {
        *trouble = other;
    }

    return serving;
}


/* for everybody: no names, no numbers */

static ngx_int_t
ngx_http_claude_relay_health_small(ngx_pool_t *pool,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *body)
{
    ncr_out_t   out;
    ngx_uint_t  serving, trouble;

    body->data = ngx_pnalloc(pool, 256);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    serving = ngx_http_claude_relay_health_serving(rmcf, &trouble);

    ncr_out_init(&out, body->data, 256);
    ncr_out_text(&out, "{\"status\":\"");
    ncr_out_text(&out, ngx_http_claude_relay_health_word(rmcf, serving,
                                                         trouble));
    ncr_out_text(&out, "\",\"version\":\"" NGX_HTTP_CLAUDE_RELAY_VERSION
                       "\"}");

    body->len = out.last - out.start;

    return NGX_OK;
}


static const char *
ngx_http_claude_relay_health_word(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t serving, ngx_uint_t trouble)
{
    if (serving == 0) {
        return "down";
    }

    if (trouble
        || (rmcf->store && rmcf->zone->store_failed)
        || (rmcf->ring && (rmcf->zone->usage_failed
                           || !ngx_http_claude_relay_ledger_ready(rmcf)))
        || ngx_http_claude_relay_fleet_degraded(rmcf))
    {
        return "degraded";
    }

    return "ok";
}


ngx_int_t
ngx_http_claude_relay_health_full(ngx_pool_t *pool,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *body)
{
    size_t                              size;
    u_char                             *p;
    ncr_out_t                           out;
    ncr_msec_t                          now;
    ngx_uint_t                          i, j, serving, trouble;
    ngx_http_claude_relay_pool_t       *pools;
    ngx_http_claude_relay_view_t        view;
    ngx_http_claude_relay_account_t   **a;

    size = 2048 + NGX_HTTP_CLAUDE_RELAY_FLEET_HEALTH
           + rmcf->roster->pools.nelts * 256
           + rmcf->roster->accounts.nelts * NGX_HTTP_CLAUDE_RELAY_HEALTH_SIZE
           + ngx_http_claude_relay_health_limits(rmcf);

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    now = ngx_http_claude_relay_now();

    ncr_out_init(&out, p, size);

    ncr_out_text(&out, "{\"version\":\"" NGX_HTTP_CLAUDE_RELAY_VERSION
                       "\",\"nginx\":\"" NGINX_VERSION "\",\"uptime\":");
    ncr_out_int(&out, (now - rmcf->zone->born) / 1000);
    ncr_out_text(&out, ",\"requests\":");
    ncr_out_int(&out, (int64_t) rmcf->zone->requests);
    ncr_out_text(&out, ",\"refused_credentials\":");
    ncr_out_int(&out, (int64_t) rmcf->zone->refused);
    ncr_out_text(&out, ",\"sessions\":");
    ncr_out_int(&out, (int64_t) rmcf->zone->nsessions);
    ncr_out_text(&out, ",\"waiting\":");
    ncr_out_int(&out, (int64_t) rmcf->zone->waiting);

    if (rmcf->store) {
        ngx_http_claude_relay_health_store(&out, rmcf);
    }

    if (rmcf->ring) {
        ngx_http_claude_relay_health_usage(&out, rmcf);
    }

    if (rmcf->redis && rmcf->zone->fleet) {
        ngx_http_claude_relay_health_fleet(&out, rmcf);
    }

    ncr_out_text(&out, ",\"pools\":[");

    pools = rmcf->roster->pools.elts;

    for (i = 0; i < rmcf->roster->pools.nelts; i++) {

        ncr_out_text(&out, i ? ",{\"name\":" : "{\"name\":");
        ncr_out_json_string(&out, ncr(&pools[i].name));
        ncr_out_text(&out, ",\"accounts\":[");

        a = pools[i].accounts.elts;

        for (j = 0; j < pools[i].accounts.nelts; j++) {

            ngx_http_claude_relay_view(rmcf, a[j], now, &view);

            if (j) {
                ncr_out_text(&out, ",");
            }

            ngx_http_claude_relay_health_account(&out, &view, now);
        }

        ncr_out_text(&out, "]}");
    }

    serving = ngx_http_claude_relay_health_serving(rmcf, &trouble);

    ncr_out_text(&out, "],\"status\":\"");
    ncr_out_text(&out, ngx_http_claude_relay_health_word(rmcf, serving,
                                                         trouble));
    ncr_out_text(&out, "\"}");

    body->data = p;
    body->len = out.last - p;

    return out.overflow ? NGX_ERROR : NGX_OK;
}


/* whether there is trouble; which one is for the log and the control API */

static void
ngx_http_claude_relay_health_store(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ncr_out_text(out, ",\"store\":{\"state\":");
    ncr_out_text(out, rmcf->zone->store_failed ? "\"failed\"" : "\"ok\"");

    if (rmcf->zone->store_failed) {
        ngx_http_claude_relay_health_time(out, ",\"since\":",
                                          rmcf->zone->store_since);
    }

    ncr_out_text(out, "}");
}


static void
ngx_http_claude_relay_health_usage(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ncr_out_text(out, ",\"usage\":{\"state\":");
    ncr_out_text(out, !ngx_http_claude_relay_ledger_ready(rmcf) ? "\"full\""
                      : rmcf->zone->usage_failed ? "\"failed\"" : "\"ok\"");

    if (rmcf->zone->usage_failed) {
        ngx_http_claude_relay_health_time(out, ",\"since\":",
                                          rmcf->zone->usage_since);
    }

    ncr_out_text(out, ",\"lost\":");
    ncr_out_int(out, (int64_t) rmcf->zone->usage_lost);
    ncr_out_text(out, "}");
}


/* few accounts have any */

static size_t
ngx_http_claude_relay_health_limits(ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                             n;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = rmcf->roster->accounts.elts;
    n = 0;

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {
        n += a[i]->nlimits + rmcf->limits[NCR_SCOPE_ACCOUNT].nelts;
    }

    return n * NGX_HTTP_CLAUDE_RELAY_VIEW_LIMIT;
}


static void
ngx_http_claude_relay_health_account(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    ncr_health_t                     *h;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;
    h = &view->node.health;

    ncr_out_text(out, "{\"name\":");
    ncr_out_json_string(out, ncr(&a->name));
    ncr_out_text(out, ",\"platform\":");
    ncr_out_json_string(out, &a->platform->name);
    ncr_out_text(out, ",\"state\":\"");
    ncr_out_text(out, view->state);
    ncr_out_text(out, "\"");

    if (view->why) {
        ngx_http_claude_relay_health_text(out, ",\"why\":", view->why);
    }

    if (view->until) {
        ngx_http_claude_relay_health_time(out, ",\"until\":", view->until);
    }

    ncr_out_text(out, ",\"priority\":");
    ncr_out_int(out, a->priority);
    ncr_out_text(out, ",\"in_flight\":");
    ncr_out_int(out, (int64_t) view->node.inflight);
    ncr_out_text(out, ",\"max_concurrency\":");
    ncr_out_int(out, a->max_concurrency);
    ncr_out_text(out, ",\"requests\":");
    ncr_out_int(out, (int64_t) h->requests);
    ncr_out_text(out, ",\"errors\":");
    ncr_out_int(out, (int64_t) h->errors);

    if (h->last_error != NCR_CLASS_OK) {
        ncr_out_text(out, ",\"last_error\":{\"class\":\"");
        ncr_out_text(out, ncr_class_name(h->last_error));
        ncr_out_text(out, "\",\"status\":");
        ncr_out_int(out, (int64_t) h->last_status);
        ngx_http_claude_relay_health_time(out, ",\"at\":", h->last_error_at);
        ncr_out_text(out, "}");
    }

    ncr_out_text(out, ",\"windows\":");
    ngx_http_claude_relay_view_windows(out, view, now);
    ngx_http_claude_relay_view_families(out, view, now);

    if (a->nlimits || view->rmcf->limits[NCR_SCOPE_ACCOUNT].nelts) {
        ncr_out_text(out, ",\"limits_used\":");
        ngx_http_claude_relay_view_limits(out, view->rmcf, a, now);
    }

    if (a->token) {
        ncr_out_text(out, ",\"token\":");
        ngx_http_claude_relay_view_token(out, view, NULL);
    }

    ncr_out_text(out, "}");
}


/* a copy, so that the lock is held for no longer than that */

void
ngx_http_claude_relay_view(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now,
    ngx_http_claude_relay_view_t *view)
{
    ncr_msec_t                       later;
    ngx_msec_int_t                   left;
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_token_e    token;
    ngx_http_claude_relay_tokens_t  *tokens;

    ngx_memzero(view, sizeof(ngx_http_claude_relay_view_t));

    view->rmcf = rmcf;
    view->account = a;

    node = a->node;
    later = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    view->node = *node;

    token = ngx_http_claude_relay_token_locked(a, now, &later);
    tokens = node->tokens;

    if (a->token && tokens) {
        view->version = tokens->version;
        view->expires = tokens->expires;
        view->granted = tokens->granted;
        view->refreshable = (tokens->refresh != 0);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (view->node.retry_at) {
        left = (ngx_msec_int_t) (view->node.retry_at - ngx_current_msec);
        view->retry_at = (left > 0) ? now + left : 0;
    }

    ngx_http_claude_relay_view_state(view, token, later, now);
}


static void
ngx_http_claude_relay_view_state(ngx_http_claude_relay_view_t *view,
    ngx_http_claude_relay_token_e token, ncr_msec_t later, ncr_msec_t now)
{
    ncr_str_t                         none;
    ncr_msec_t                        until;
    ncr_health_t                     *h;
    ncr_eligible_e                    eligible;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;
    h = &view->node.health;

    if (token == NGX_HTTP_CLAUDE_RELAY_TOKEN_NONE) {
        view->reason = ngx_http_claude_relay_view_reason(view);
    }

    if (!a->enabled || (a->valid_until && a->valid_until <= now)) {
        view->state = "disabled";
        return;
    }

    if (view->reason) {
        view->state = "needs-login";
        view->why = ncr_class_name(NCR_CLASS_AUTH);
        return;
    }

    ncr_str_null(&none);

    until = 0;
    eligible = ncr_health_eligible(h, &none, now, &until);

    if (eligible == NCR_RESTING || eligible == NCR_RESTING_FAMILY) {

        view->why = ncr_class_name(h->why);

        if (until == NCR_HEALTH_FOREVER) {
            view->state = "needs-login";
            return;
        }

        view->state = "resting";
        view->until = until;
        return;
    }

    if (token == NGX_HTTP_CLAUDE_RELAY_TOKEN_LATER) {
        view->state = "resting";
        view->why = ncr_class_name(NCR_CLASS_AUTH);
        view->until = later;
        return;
    }

    view->state = "ok";
}


static const char *
ngx_http_claude_relay_view_reason(ngx_http_claude_relay_view_t *view)
{
    if (view->node.login) {
        return view->node.reason[0] ? view->node.reason
                                    : "its tokens are refused";
    }

    if (view->version == 0) {
        return "it has no tokens yet";
    }

    return "its token is over, and cannot be refreshed";
}


void
ngx_http_claude_relay_view_token(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ngx_str_t *scopes)
{
    ngx_http_claude_relay_node_t  *node;

    node = &view->node;

    if (view->expires) {
        ngx_http_claude_relay_health_time(out, "{\"expires\":",
                                          view->expires);

    } else {
        ncr_out_text(out, "{\"expires\":null");
    }

    ncr_out_text(out, ",\"refreshable\":");
    ncr_out_text(out, view->refreshable ? "true" : "false");
    ncr_out_text(out, ",\"version\":");
    ncr_out_int(out, (int64_t) view->version);

    if (view->granted) {
        ngx_http_claude_relay_health_time(out, ",\"granted\":",
                                          view->granted);
    }

    if (node->refreshed && node->refreshes) {
        ngx_http_claude_relay_health_time(out, ",\"refreshed\":",
                                          node->refreshed);
    }

    ncr_out_text(out, ",\"refreshes\":");
    ncr_out_int(out, (int64_t) node->refreshes);

    if (scopes) {
        ncr_out_text(out, ",\"scopes\":");
        ncr_out_json_string(out, ncr(scopes));
    }

    ncr_out_text(out, ",\"refreshing\":");
    ncr_out_text(out, node->refresher ? "true" : "false");

    if (node->failure[0]) {
        ngx_http_claude_relay_health_text(out, ",\"failure\":",
                                          node->failure);
    }

    if (view->retry_at) {
        ngx_http_claude_relay_health_time(out, ",\"retry_at\":",
                                          view->retry_at);
    }

    if (view->reason) {
        ngx_http_claude_relay_health_text(out, ",\"reason\":", view->reason);
    }

    ncr_out_text(out, "}");
}


void
ngx_http_claude_relay_view_windows(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    ncr_str_t      name;
    ncr_uint_t     i, n;
    ncr_health_t  *h;
    ncr_window_t  *w;

    static const char  *statuses[] = {
        "unknown", "allowed", "allowed_warning", "rejected"
    };

    h = &view->node.health;

    ncr_out_text(out, "{");

    for (i = 0, n = 0; i < h->nwindows; i++) {

        w = &h->windows[i];

        if (w->reset && w->reset <= now) {
            continue;
        }

        name.data = (u_char *) w->name;
        name.len = ngx_strlen(w->name);

        if (n++) {
            ncr_out_text(out, ",");
        }

        ncr_out_json_string(out, &name);
        ncr_out_text(out, ":{\"status\":\"");
        ncr_out_text(out, statuses[w->status]);
        ncr_out_text(out, "\"");

        if (w->utilization >= 0) {
            ncr_out_text(out, ",\"utilization\":");
            ncr_out_int(out, w->utilization / 10000);
            ncr_out_text(out, ".");
            ncr_out_int(out, w->utilization / 1000 % 10);
            ncr_out_int(out, w->utilization / 100 % 10);
            ncr_out_int(out, w->utilization / 10 % 10);
            ncr_out_int(out, w->utilization % 10);
        }

        if (w->reset) {
            ngx_http_claude_relay_health_time(out, ",\"reset\":", w->reset);
        }

        ncr_out_text(out, "}");
    }

    ncr_out_text(out, "}");
}


/* a member, if there are any */

void
ngx_http_claude_relay_view_families(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    ncr_str_t      name;
    ncr_uint_t     i, n;
    ncr_health_t  *h;

    h = &view->node.health;

    for (i = 0, n = 0; i < NCR_HEALTH_FAMILIES; i++) {

        if (h->families[i].name[0] == '\0' || h->families[i].until <= now) {
            continue;
        }

        name.data = (u_char *) h->families[i].name;
        name.len = ngx_strlen(h->families[i].name);

        ncr_out_text(out, n++ ? "," : ",\"resting_families\":{");
        ncr_out_json_string(out, &name);
        ngx_http_claude_relay_health_time(out, ":", h->families[i].until);
    }

    if (n) {
        ncr_out_text(out, "}");
    }
}


static void
ngx_http_claude_relay_health_time(ncr_out_t *out, const char *name,
    ncr_msec_t t)
{
    char  buf[NCR_STR_RFC3339];

    ncr_str_rfc3339(buf, t);

    ncr_out_text(out, name);
    ncr_out_text(out, "\"");
    ncr_out_text(out, buf);
    ncr_out_text(out, "\"");
}


static void
ngx_http_claude_relay_health_text(ncr_out_t *out, const char *name,
    const char *text)
{
    ncr_str_t  s;

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    ncr_out_text(out, name);
    ncr_out_json_string(out, &s);
}
