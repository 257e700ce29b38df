
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What Prometheus asks for.  All is copied first, under the lock, and in
 * pieces where it is much; what is written is made of the copy.  No secret is
 * in it: names, states and numbers only, and no names of keys unless they are
 * wanted.
 */


#include "ngx_http_claude_relay_fleet_show.h"


#define NGX_HTTP_CLAUDE_RELAY_METRICS_BUFFER  (32 * 1024)

/* keys that are copied with the lock held once */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_PIECE   256


static ngx_int_t ngx_http_claude_relay_metrics_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_metrics_open(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_metrics_send(
    ngx_http_claude_relay_scrape_t *s);
static void ngx_http_claude_relay_metrics_more(ncr_metrics_t *m);
static void ngx_http_claude_relay_metrics_close(
    ngx_http_claude_relay_scrape_t *s);
static ngx_int_t ngx_http_claude_relay_metrics_copy(
    ngx_http_claude_relay_scrape_t *s);
static ngx_int_t ngx_http_claude_relay_metrics_copy_keys(
    ngx_http_claude_relay_scrape_t *s);
static ngx_int_t ngx_http_claude_relay_metrics_copy_accounts(
    ngx_http_claude_relay_scrape_t *s);
static void ngx_http_claude_relay_metrics_copy_account(
    ngx_http_claude_relay_scrape_t *s,
    ngx_http_claude_relay_metrics_account_t *to,
    ngx_http_claude_relay_account_t *a);


/* accounts=on|off|N keys=on|off|N */

char *
ngx_http_claude_relay_set_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_int_t                           n;
    ngx_str_t                          *value, s;
    ngx_uint_t                          i, *to, on;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    if (clcf->handler) {
        return "is duplicate, or conflicts with another handler";
    }

    if (rmcf->shm_zone == NULL) {
        return "needs \"claude_relay_zone\" before it";
    }

    rlcf->metrics_accounts = NGX_HTTP_CLAUDE_RELAY_METRICS_ACCOUNTS;
    rlcf->metrics_keys = 0;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_prefix(ncr(&s), "accounts=")) {
            s.data += sizeof("accounts=") - 1;
            s.len -= sizeof("accounts=") - 1;
            to = &rlcf->metrics_accounts;
            on = NGX_HTTP_CLAUDE_RELAY_METRICS_MOST;

        } else if (ncr_str_prefix(ncr(&s), "keys=")) {
            s.data += sizeof("keys=") - 1;
            s.len -= sizeof("keys=") - 1;
            to = &rlcf->metrics_keys;
            on = NGX_HTTP_CLAUDE_RELAY_METRICS_KEYS;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ncr_str_eq(ncr(&s), "on")) {
            *to = on;
            continue;
        }

        if (ncr_str_eq(ncr(&s), "off")) {
            *to = 0;
            continue;
        }

        n = ngx_atoi(s.data, s.len);

        if (n < 1 || n > NGX_HTTP_CLAUDE_RELAY_METRICS_MOST) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\", it takes \"on\", "
                               "\"off\" or a number up to %d", &value[i],
                               NGX_HTTP_CLAUDE_RELAY_METRICS_MOST);
            return NGX_CONF_ERROR;
        }

        *to = n;
    }

    rmcf->metrics_keys = ngx_max(rmcf->metrics_keys, rlcf->metrics_keys);

    clcf->handler = ngx_http_claude_relay_metrics_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_claude_relay_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_claude_relay_scrape_t  *s;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_scrape_t));
    if (s == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->request = r;
    s->rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    s->rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    s->now = ngx_http_claude_relay_now();
    s->last = &s->chain;

    s->m.open = ngx_http_claude_relay_metrics_open(r);
    s->m.more = ngx_http_claude_relay_metrics_more;
    s->m.data = s;

    if (ngx_http_claude_relay_metrics_copy(s) != NGX_OK
        || ngx_http_claude_relay_metrics_copy_keys(s) != NGX_OK
        || ngx_http_claude_relay_metrics_copy_accounts(s) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_claude_relay_metrics_text_relay(s);
    ngx_http_claude_relay_metrics_text_requests(s);
    ngx_http_claude_relay_metrics_text_times(s);
    ngx_http_claude_relay_metrics_text_limits(s);
    ngx_http_claude_relay_metrics_text_sessions(s);
    ngx_http_claude_relay_metrics_text_ring(s);
    ngx_http_claude_relay_metrics_text_fleet(s);
    ngx_http_claude_relay_metrics_text_models(s);
    ngx_http_claude_relay_metrics_text_ratio(s);
    ngx_http_claude_relay_metrics_text_genai(s);
    ngx_http_claude_relay_metrics_text_accounts(s);
    ngx_http_claude_relay_metrics_text_keys(s);

    ncr_metrics_end(&s->m);

    if (s->m.out.overflow) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_claude_relay_metrics_close(s);

    return ngx_http_claude_relay_metrics_send(s);
}


/* 1 if the client says that it reads OpenMetrics */

static ngx_uint_t
ngx_http_claude_relay_metrics_open(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("accept") - 1
            && ngx_strncmp(h[i].lowcase_key, "accept", sizeof("accept") - 1)
               == 0
            && ncr_str_contains(ncr(&h[i].value),
                                "application/openmetrics-text"))
        {
            return 1;
        }
    }
}


static ngx_int_t
ngx_http_claude_relay_metrics_send(ngx_http_claude_relay_scrape_t *s)
{
    ngx_int_t            rc;
    ngx_str_t            value;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = s->request;

    ngx_str_set(&value, "no-store");

    if (ngx_http_claude_relay_add_header(r, "Cache-Control", &value)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (s->m.open) {
        ngx_str_set(&r->headers_out.content_type,
                    "application/openmetrics-text; version=1.0.0; "
                    "charset=utf-8");
        r->headers_out.content_type_len =
                                   sizeof("application/openmetrics-text") - 1;

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4; charset=utf-8");
        r->headers_out.content_type_len = sizeof("text/plain") - 1;
    }

    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = s->length;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    for (cl = s->chain; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = (r == r->main);
    cl->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, s->chain);
}


/* another buffer for the text */

static void
ngx_http_claude_relay_metrics_more(ncr_metrics_t *m)
{
    ngx_buf_t                       *b;
    ngx_chain_t                     *cl;
    ngx_http_claude_relay_scrape_t  *s;

    s = m->data;

    ngx_http_claude_relay_metrics_close(s);

    b = ngx_create_temp_buf(s->request->pool,
                            NGX_HTTP_CLAUDE_RELAY_METRICS_BUFFER);
    cl = ngx_alloc_chain_link(s->request->pool);

    if (b == NULL || cl == NULL) {
        m->out.overflow = 1;
        return;
    }

    cl->buf = b;
    cl->next = NULL;

    *s->last = cl;

    ncr_out_init(&m->out, b->start, NGX_HTTP_CLAUDE_RELAY_METRICS_BUFFER);
}


/* the buffer has what is in it */

static void
ngx_http_claude_relay_metrics_close(ngx_http_claude_relay_scrape_t *s)
{
    ngx_chain_t  *cl;

    cl = *s->last;

    if (cl == NULL) {
        return;
    }

    cl->buf->last = s->m.out.last;
    s->length += cl->buf->last - cl->buf->pos;
    s->last = &cl->next;
}


static ngx_int_t
ngx_http_claude_relay_metrics_copy(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                         i;
    ngx_slab_pool_t                   *shpool;
    ngx_http_claude_relay_zone_t      *zone;
    ngx_http_claude_relay_metrics_t   *m;

    zone = s->rmcf->zone;
    shpool = s->rmcf->shpool;
    m = zone->metrics;

    s->metrics = ngx_palloc(s->request->pool,
                            sizeof(ngx_http_claude_relay_metrics_t));

    s->models = ngx_palloc(s->request->pool, m->max
                              * sizeof(ngx_http_claude_relay_metrics_model_t));

    if (s->metrics == NULL || s->models == NULL) {
        return NGX_ERROR;
    }

    ngx_shmtx_lock(&shpool->mutex);

    ngx_memcpy(s->metrics, m, sizeof(ngx_http_claude_relay_metrics_t));

    for (i = 0; i < m->n; i++) {
        s->models[i] = *m->models[i];
    }

    s->pages = shpool->last - shpool->pages;
    s->pages_free = shpool->pfree;

    ngx_shmtx_unlock(&shpool->mutex);

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (zone->rows[i].pid) {
            s->workers++;
        }
    }

    return NGX_OK;
}


/* they are in the order in which they came, so pieces fit together */

static ngx_int_t
ngx_http_claude_relay_metrics_copy_keys(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                             i, n, piece;
    ngx_slab_pool_t                       *shpool;
    ngx_http_claude_relay_metrics_keys_t  *keys;

    if (s->rlcf->metrics_keys == 0) {
        return NGX_OK;
    }

    n = s->rlcf->metrics_keys + 1;

    s->keys = ngx_palloc(s->request->pool,
                         n * sizeof(ngx_http_claude_relay_metrics_key_t));
    if (s->keys == NULL) {
        return NGX_ERROR;
    }

    shpool = s->rmcf->shpool;

    for (i = 0; i < n; i += piece) {

        ngx_shmtx_lock(&shpool->mutex);

        /* the master may have put another table in its place */

        keys = s->rmcf->zone->metrics->keys;

        n = ngx_min(n, keys->n);
        piece = ngx_min(n - i, NGX_HTTP_CLAUDE_RELAY_METRICS_PIECE);

        ngx_memcpy(&s->keys[i], &keys->keys[i],
                   piece * sizeof(ngx_http_claude_relay_metrics_key_t));

        ngx_shmtx_unlock(&shpool->mutex);
    }

    s->nkeys = n;

    return NGX_OK;
}


/* each with the lock held once; those that are too many are taken together */

static ngx_int_t
ngx_http_claude_relay_metrics_copy_accounts(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                                i, j, n, max;
    ngx_http_claude_relay_account_t         **a;
    ngx_http_claude_relay_metrics_account_t   one, *rest;

    n = s->rmcf->roster->accounts.nelts;
    a = s->rmcf->roster->accounts.elts;

    max = ngx_min(n, s->rlcf->metrics_accounts);

    s->accounts = ngx_pcalloc(s->request->pool, (max + 1)
                            * sizeof(ngx_http_claude_relay_metrics_account_t));
    if (s->accounts == NULL) {
        return NGX_ERROR;
    }

    s->naccounts = (n > max && max) ? max + 1 : max;

    rest = &s->accounts[max];
    ngx_str_set(&rest->name, "(other)");

    for (i = 0; i < n; i++) {

        if (i < max) {
            ngx_http_claude_relay_metrics_copy_account(s, &s->accounts[i],
                                                       a[i]);
            continue;
        }

        ngx_http_claude_relay_metrics_copy_account(s, &one, a[i]);

        rest->inflight += one.inflight;
        rest->tally.requests += one.tally.requests;
        rest->tally.cost += one.tally.cost;

        for (j = 0; j < NCR_CLASSES; j++) {
            rest->tally.attempts[j] += one.tally.attempts[j];
        }

        for (j = 0; j < NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS; j++) {
            rest->tally.tokens[j] += one.tally.tokens[j];
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_metrics_copy_account(ngx_http_claude_relay_scrape_t *s,
    ngx_http_claude_relay_metrics_account_t *to,
    ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t                    i;
    ngx_http_claude_relay_view_t  view;

    ngx_http_claude_relay_view(s->rmcf, a, s->now, &view);

    to->name = a->name;
    to->account = a;
    to->why = view.why;
    to->until = view.until;
    to->expires = view.expires;
    to->inflight = view.node.inflight;
    to->tally = view.node.tally;
    to->nwindows = view.node.health.nwindows;

    ngx_memcpy(to->windows, view.node.health.windows, sizeof(to->windows));

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_METRICS_STATES - 1; i++) {
        if (ngx_strcmp(view.state, ngx_http_claude_relay_metrics_states[i])
            == 0)
        {
            break;
        }
    }

    to->state = i;

    s->states[i]++;
    s->inflight += to->inflight;
}
