
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /health: version, pools, accounts with state, reason and end of rest,
 * windows; 200 while anything can serve, 503 otherwise.  No secrets: names,
 * states and numbers only.
 */


#include "ngx_http_claude_relay_zone.h"


/* what one account takes at most */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_SIZE  3072


static void ngx_http_claude_relay_health_account(ncr_out_t *out,
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_node_t *node,
    ncr_msec_t now);
static const char *ngx_http_claude_relay_health_state(
    ngx_http_claude_relay_account_t *a, ncr_health_t *h, ncr_msec_t now,
    ncr_msec_t *until);
static void ngx_http_claude_relay_health_windows(ncr_out_t *out,
    ncr_health_t *h, ncr_msec_t now);
static void ngx_http_claude_relay_health_families(ncr_out_t *out,
    ncr_health_t *h, ncr_msec_t now);
static void ngx_http_claude_relay_health_time(ncr_out_t *out,
    const char *name, ncr_msec_t t);


static ngx_str_t  ngx_http_claude_relay_health_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_health_handler(ngx_http_request_t *r)
{
    size_t                              size;
    u_char                             *p;
    ngx_int_t                           rc;
    ncr_out_t                           out;
    ngx_str_t                           body;
    ncr_msec_t                          now, until;
    ngx_uint_t                          i, j, serving;
    ngx_http_claude_relay_node_t        node;
    ngx_http_claude_relay_pool_t       *pool;
    ngx_http_claude_relay_account_t   **a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    size = 2048 + rmcf->roster->pools.nelts * 256
           + rmcf->roster->accounts.nelts * NGX_HTTP_CLAUDE_RELAY_HEALTH_SIZE;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
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
    ncr_out_text(&out, ",\"pools\":[");

    pool = rmcf->roster->pools.elts;
    serving = 0;

    for (i = 0; i < rmcf->roster->pools.nelts; i++) {

        ncr_out_text(&out, i ? ",{\"name\":" : "{\"name\":");
        ncr_out_json_string(&out, ncr(&pool[i].name));
        ncr_out_text(&out, ",\"accounts\":[");

        a = pool[i].accounts.elts;

        for (j = 0; j < pool[i].accounts.nelts; j++) {

            /* a copy, so that the lock is held for no longer than that */

            ngx_shmtx_lock(&rmcf->shpool->mutex);
            node = *a[j]->node;
            ngx_shmtx_unlock(&rmcf->shpool->mutex);

            if (ngx_strcmp(ngx_http_claude_relay_health_state(a[j],
                                                   &node.health, now, &until),
                           "ok")
                == 0)
            {
                serving++;
            }

            if (j) {
                ncr_out_text(&out, ",");
            }

            ngx_http_claude_relay_health_account(&out, a[j], &node, now);
        }

        ncr_out_text(&out, "]}");
    }

    ncr_out_text(&out, "],\"status\":");
    ncr_out_text(&out, serving ? "\"ok\"}" : "\"unavailable\"}");

    if (out.overflow) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = out.last - p;

    return ngx_http_claude_relay_send(r,
                           serving ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE,
                           &ngx_http_claude_relay_health_type, &body);
}


static void
ngx_http_claude_relay_health_account(ncr_out_t *out,
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_node_t *node,
    ncr_msec_t now)
{
    const char    *state;
    ncr_msec_t     until;
    ncr_health_t  *h;

    h = &node->health;

    ncr_out_text(out, "{\"name\":");
    ncr_out_json_string(out, ncr(&a->name));
    ncr_out_text(out, ",\"platform\":");
    ncr_out_json_string(out, &a->platform->name);
    ncr_out_text(out, ",\"state\":\"");

    state = ngx_http_claude_relay_health_state(a, h, now, &until);
    ncr_out_text(out, state);
    ncr_out_text(out, "\"");

    if (until) {
        ncr_out_text(out, ",\"why\":\"");
        ncr_out_text(out, ncr_class_name(h->why));
        ncr_out_text(out, "\"");

        if (until != NCR_HEALTH_FOREVER) {
            ngx_http_claude_relay_health_time(out, ",\"until\":", until);
        }
    }

    ncr_out_text(out, ",\"priority\":");
    ncr_out_int(out, a->priority);
    ncr_out_text(out, ",\"in_flight\":");
    ncr_out_int(out, (int64_t) node->inflight);
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

    ngx_http_claude_relay_health_windows(out, h, now);
    ngx_http_claude_relay_health_families(out, h, now);

    ncr_out_text(out, "}");
}


/* *until is 0 unless it rests */

static const char *
ngx_http_claude_relay_health_state(ngx_http_claude_relay_account_t *a,
    ncr_health_t *h, ncr_msec_t now, ncr_msec_t *until)
{
    ncr_str_t  none;

    *until = 0;

    if (!a->enabled) {
        return "disabled";
    }

    ncr_str_null(&none);

    switch (ncr_health_eligible(h, &none, now, until)) {

    case NCR_RESTING:
    case NCR_RESTING_FAMILY:
        return (*until == NCR_HEALTH_FOREVER) ? "needs-login" : "resting";

    case NCR_ELIGIBLE:
    case NCR_ELIGIBLE_PROBE:
    case NCR_PROBED:
        break;
    }

    *until = 0;

    return "ok";
}


static void
ngx_http_claude_relay_health_windows(ncr_out_t *out, ncr_health_t *h,
    ncr_msec_t now)
{
    ncr_str_t      name;
    ncr_uint_t     i, n;
    ncr_window_t  *w;

    static const char  *statuses[] = {
        "unknown", "allowed", "allowed_warning", "rejected"
    };

    ncr_out_text(out, ",\"windows\":{");

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


static void
ngx_http_claude_relay_health_families(ncr_out_t *out, ncr_health_t *h,
    ncr_msec_t now)
{
    ncr_str_t   name;
    ncr_uint_t  i, n;

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
