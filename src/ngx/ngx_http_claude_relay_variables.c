
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* $claude_relay_*: names and numbers for log_format, map and limit_req. */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_redis.h"


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_VAR_KEY = 0,
    NGX_HTTP_CLAUDE_RELAY_VAR_KEY_ID,
    NGX_HTTP_CLAUDE_RELAY_VAR_ACCOUNT,
    NGX_HTTP_CLAUDE_RELAY_VAR_PLATFORM,
    NGX_HTTP_CLAUDE_RELAY_VAR_DIALECT,
    NGX_HTTP_CLAUDE_RELAY_VAR_MODEL,
    NGX_HTTP_CLAUDE_RELAY_VAR_UPSTREAM_MODEL,
    NGX_HTTP_CLAUDE_RELAY_VAR_SESSION,
    NGX_HTTP_CLAUDE_RELAY_VAR_ATTEMPTS,
    NGX_HTTP_CLAUDE_RELAY_VAR_STICKY,
    NGX_HTTP_CLAUDE_RELAY_VAR_INPUT,
    NGX_HTTP_CLAUDE_RELAY_VAR_OUTPUT,
    NGX_HTTP_CLAUDE_RELAY_VAR_CACHE_READ,
    NGX_HTTP_CLAUDE_RELAY_VAR_CACHE_WRITE,
    NGX_HTTP_CLAUDE_RELAY_VAR_TTFT,
    NGX_HTTP_CLAUDE_RELAY_VAR_OWN_TIME,
    NGX_HTTP_CLAUDE_RELAY_VAR_STOP_REASON,
    NGX_HTTP_CLAUDE_RELAY_VAR_ERROR_CLASS,
    NGX_HTTP_CLAUDE_RELAY_VAR_REQUEST_ID,
    NGX_HTTP_CLAUDE_RELAY_VAR_STREAM,
    NGX_HTTP_CLAUDE_RELAY_VAR_PROFILE,
    NGX_HTTP_CLAUDE_RELAY_VAR_QUOTA,
    NGX_HTTP_CLAUDE_RELAY_VAR_COST,
    NGX_HTTP_CLAUDE_RELAY_VAR_PRICE,
    NGX_HTTP_CLAUDE_RELAY_VAR_LIMIT,
    NGX_HTTP_CLAUDE_RELAY_VAR_SHADOW,
    NGX_HTTP_CLAUDE_RELAY_VAR_FLEET
} ngx_http_claude_relay_var_e;


static ngx_http_claude_relay_ctx_t *ngx_http_claude_relay_variable_ctx(
    ngx_http_request_t *r, uintptr_t data);
static ngx_int_t ngx_http_claude_relay_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_claude_relay_variable_node(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_claude_relay_variable_key_id(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *s);
static void ngx_http_claude_relay_variable_number(ngx_http_request_t *r,
    uint64_t n, ngx_str_t *s);
static void ngx_http_claude_relay_variable_seconds(ngx_http_request_t *r,
    ngx_msec_t ms, ngx_str_t *s);
static void ngx_http_claude_relay_variable_quota(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *s);
static void ngx_http_claude_relay_variable_answer(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, uintptr_t data, ngx_str_t *s);


#define ngx_http_claude_relay_var(name, id)                                   \
    { ngx_string("claude_relay_" name), NULL,                                 \
      ngx_http_claude_relay_variable, NGX_HTTP_CLAUDE_RELAY_VAR_##id,         \
      NGX_HTTP_VAR_NOCACHEABLE, 0 }


static ngx_http_variable_t  ngx_http_claude_relay_vars[] = {
    ngx_http_claude_relay_var("key", KEY),
    ngx_http_claude_relay_var("key_id", KEY_ID),
    ngx_http_claude_relay_var("account", ACCOUNT),
    ngx_http_claude_relay_var("platform", PLATFORM),
    ngx_http_claude_relay_var("dialect", DIALECT),
    ngx_http_claude_relay_var("model", MODEL),
    ngx_http_claude_relay_var("upstream_model", UPSTREAM_MODEL),
    ngx_http_claude_relay_var("session", SESSION),
    ngx_http_claude_relay_var("attempts", ATTEMPTS),
    ngx_http_claude_relay_var("sticky", STICKY),
    ngx_http_claude_relay_var("input_tokens", INPUT),
    ngx_http_claude_relay_var("output_tokens", OUTPUT),
    ngx_http_claude_relay_var("cache_read_tokens", CACHE_READ),
    ngx_http_claude_relay_var("cache_write_tokens", CACHE_WRITE),
    ngx_http_claude_relay_var("ttft", TTFT),
    ngx_http_claude_relay_var("own_time", OWN_TIME),
    ngx_http_claude_relay_var("stop_reason", STOP_REASON),
    ngx_http_claude_relay_var("error_class", ERROR_CLASS),
    ngx_http_claude_relay_var("request_id", REQUEST_ID),
    ngx_http_claude_relay_var("stream", STREAM),
    ngx_http_claude_relay_var("profile", PROFILE),
    ngx_http_claude_relay_var("quota", QUOTA),
    ngx_http_claude_relay_var("cost", COST),
    ngx_http_claude_relay_var("price", PRICE),
    ngx_http_claude_relay_var("limit", LIMIT),
    ngx_http_claude_relay_var("shadow", SHADOW),
    ngx_http_claude_relay_var("fleet", FLEET),

    /* of no request */

    { ngx_string("claude_relay_node"), NULL,
      ngx_http_claude_relay_variable_node, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* by ngx_http_claude_relay_fleet_result_e; the first one is "-" in a log */

static ngx_str_t  ngx_http_claude_relay_fleet_results[] = {
    ngx_null_string,
    ngx_string("miss"),
    ngx_string("found"),
    ngx_string("late"),
    ngx_string("granted")
};


static ngx_str_t  ngx_http_claude_relay_profile_names[] = {
    ngx_string("off"),
    ngx_string("genuine"),
    ngx_string("applied")
};


ngx_int_t
ngx_http_claude_relay_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_claude_relay_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* limit_req and map may ask for the key before the handler is called */

static ngx_http_claude_relay_ctx_t *
ngx_http_claude_relay_variable_ctx(ngx_http_request_t *r, uintptr_t data)
{
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (ctx == NULL && rlcf->enable && r == r->main
        && data <= NGX_HTTP_CLAUDE_RELAY_VAR_KEY_ID)
    {
        ctx = ngx_http_claude_relay_get_ctx(r);

        if (ctx) {
            (void) ngx_http_claude_relay_auth(r, ctx);
        }
    }

    return ctx;
}


static ngx_int_t
ngx_http_claude_relay_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ncr_str_t                          name;
    ngx_str_t                          s;
    ncr_str_t                          text;
    ngx_http_claude_relay_ctx_t       *ctx;

    ctx = ngx_http_claude_relay_variable_ctx(r, data);

    if (ctx == NULL || ctx->request_id.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_str_null(&s);

    switch ((ngx_http_claude_relay_var_e) data) {

    case NGX_HTTP_CLAUDE_RELAY_VAR_KEY:
        if (ctx->key) {
            text = ncr_key_text(ctx->key, ctx->key->name);
            s = ngx_http_claude_relay_str(&text);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_KEY_ID:
        if (ctx->key) {
            ngx_http_claude_relay_variable_key_id(r, ctx, &s);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_ACCOUNT:
        if (ctx->account) {
            s = ctx->account->name;
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_PLATFORM:
        if (ctx->account) {
            s = ngx_http_claude_relay_str(&ctx->account->platform->name);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_DIALECT:
        name = ncr_dialect_name(ctx->route.dialect);
        s = ngx_http_claude_relay_str(&name);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_MODEL:
        s = ctx->model;
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_SESSION:
        ngx_http_claude_relay_text_session(ctx, &s);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_ATTEMPTS:
        ngx_http_claude_relay_text_trail(ctx, &s);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_STICKY:
        ngx_http_claude_relay_text_sticky(ctx, &s);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_UPSTREAM_MODEL:
    case NGX_HTTP_CLAUDE_RELAY_VAR_INPUT:
    case NGX_HTTP_CLAUDE_RELAY_VAR_OUTPUT:
    case NGX_HTTP_CLAUDE_RELAY_VAR_CACHE_READ:
    case NGX_HTTP_CLAUDE_RELAY_VAR_CACHE_WRITE:
    case NGX_HTTP_CLAUDE_RELAY_VAR_STOP_REASON:
    case NGX_HTTP_CLAUDE_RELAY_VAR_COST:
    case NGX_HTTP_CLAUDE_RELAY_VAR_PRICE:
        if (ctx->committed) {
            ngx_http_claude_relay_variable_answer(r, ctx, data, &s);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_TTFT:
        if (ctx->has_ttft) {
            ngx_http_claude_relay_variable_seconds(r, ctx->ttft, &s);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_OWN_TIME:
        if (ctx->own_ns) {
            ngx_http_claude_relay_variable_number(r, ctx->own_ns / 1000, &s);
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_ERROR_CLASS:
        s.data = (u_char *) ncr_class_name(ctx->error);
        s.len = ngx_strlen(s.data);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_REQUEST_ID:
        s = ctx->request_id;
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_STREAM:
        if (ctx->committed) {
            s.data = (u_char *) ((ctx->stream && !ctx->fold)
                                 ? "1" : "0");
            s.len = 1;
        }
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_PROFILE:
        s = ngx_http_claude_relay_profile_names[ctx->profile];
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_QUOTA:
        ngx_http_claude_relay_variable_quota(r, ctx, &s);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_LIMIT:
    case NGX_HTTP_CLAUDE_RELAY_VAR_SHADOW:
        ngx_http_claude_relay_text_limit(ctx,
                           data == NGX_HTTP_CLAUDE_RELAY_VAR_SHADOW, &s);
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_FLEET:
        s = ngx_http_claude_relay_fleet_results[ctx->fleet_result];
        break;
    }

    if (s.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = s.len;
    v->data = s.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_variable_node(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    if (rmcf->redis == NULL || rmcf->redis->node.len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = rmcf->redis->node.len;
    v->data = rmcf->redis->node.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static void
ngx_http_claude_relay_variable_key_id(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *s)
{
    s->data = ngx_pnalloc(r->pool, 2 * 8);

    if (s->data) {
        ncr_hash_hex(s->data, ctx->key->digest, 8);
        s->len = 2 * 8;
    }
}


static void
ngx_http_claude_relay_variable_number(ngx_http_request_t *r, uint64_t n,
    ngx_str_t *s)
{
    s->data = ngx_pnalloc(r->pool, NGX_INT64_LEN);

    if (s->data) {
        s->len = ncr_str_decimal(s->data, n) - s->data;
    }
}


/* milliseconds as "1.234" */

static void
ngx_http_claude_relay_variable_seconds(ngx_http_request_t *r, ngx_msec_t ms,
    ngx_str_t *s)
{
    u_char  *p;

    s->data = ngx_pnalloc(r->pool, NGX_INT64_LEN + 4);

    if (s->data == NULL) {
        return;
    }

    p = ncr_str_decimal(s->data, ms / 1000);

    *p++ = '.';
    *p++ = (u_char) ('0' + ms % 1000 / 100);
    *p++ = (u_char) ('0' + ms % 100 / 10);
    *p++ = (u_char) ('0' + ms % 10);

    s->len = p - s->data;
}


/* what the committed answer tells, so far */

static void
ngx_http_claude_relay_variable_answer(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, uintptr_t data, ngx_str_t *s)
{
    uint64_t                 n;
    ncr_usage_t             *u;
    ncr_answer_t            *a;

    a = ctx->answer;
    u = &a->usage;

    switch ((ngx_http_claude_relay_var_e) data) {

    case NGX_HTTP_CLAUDE_RELAY_VAR_UPSTREAM_MODEL:
        s->data = (u_char *) a->model;
        s->len = ngx_strlen(s->data);
        return;

    case NGX_HTTP_CLAUDE_RELAY_VAR_STOP_REASON:
        s->data = (u_char *) a->stop_reason;
        s->len = ngx_strlen(s->data);
        return;

    case NGX_HTTP_CLAUDE_RELAY_VAR_COST:
        ngx_http_claude_relay_text_cost(ctx, s);
        return;

    case NGX_HTTP_CLAUDE_RELAY_VAR_PRICE:
        ngx_http_claude_relay_text_price(ctx, s);
        return;

    case NGX_HTTP_CLAUDE_RELAY_VAR_INPUT:
        n = u->input;
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_OUTPUT:
        n = u->output;
        break;

    case NGX_HTTP_CLAUDE_RELAY_VAR_CACHE_READ:
        n = u->cache_read;
        break;

    default:
        n = u->cache_write;
        break;
    }

    if (a->has_usage) {
        ngx_http_claude_relay_variable_number(r, n, s);
    }
}


/* account:status:class:ms, in the order of the attempts */

void
ngx_http_claude_relay_text_trail(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s)
{
    size_t                            size;
    u_char                           *p;
    ngx_uint_t                        i;
    const char                       *class;
    ngx_http_claude_relay_attempt_t  *a;

    if (ctx->attempts.nelts == 0) {
        return;
    }

    a = ctx->attempts.elts;
    size = 0;

    for (i = 0; i < ctx->attempts.nelts; i++) {
        size += a[i].account.len + 2 * NGX_INT_T_LEN + 32;
    }

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        return;
    }

    s->data = p;

    for (i = 0; i < ctx->attempts.nelts; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, a[i].account.data, a[i].account.len);
        *p++ = ':';
        p = ncr_str_decimal(p, a[i].status);
        *p++ = ':';

        class = ncr_class_name(a[i].class);
        p = ngx_cpymem(p, class, ngx_strlen(class));

        *p++ = ':';
        p = ncr_str_decimal(p, a[i].ms);
    }

    s->len = p - s->data;
}


void
ngx_http_claude_relay_text_sticky(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s)
{
    switch (ctx->sticky) {

    case NGX_HTTP_CLAUDE_RELAY_STICKY_NONE:
        break;

    case NGX_HTTP_CLAUDE_RELAY_STICKY_MISS:
        ngx_str_set(s, "miss");
        break;

    case NGX_HTTP_CLAUDE_RELAY_STICKY_HIT:
        ngx_str_set(s, "hit");
        break;

    case NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED:
        s->data = ngx_pnalloc(ctx->request->pool, 64);
        if (s->data) {
            s->len = ngx_snprintf(s->data, 64, "moved:%s",
                                  ncr_class_name(ctx->moved)) - s->data;
        }
        break;
    }
}


void
ngx_http_claude_relay_text_session(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s)
{
    if (!ctx->has_session) {
        return;
    }

    s->data = ngx_pnalloc(ctx->request->pool, 2 * 8);

    if (s->data) {
        s->len = ngx_hex_dump(s->data, ctx->session, 8) - s->data;
    }
}


/* windows of the account of the last attempt: "5h=0.11,7d=0.4275" */

static void
ngx_http_claude_relay_variable_quota(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *s)
{
    u_char                             *p;
    ncr_msec_t                          now;
    ngx_uint_t                          i, n;
    ncr_window_t                       *w, windows[NCR_WINDOWS];
    ngx_http_claude_relay_node_t       *node;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->account == NULL) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    node = ctx->account->node;

    p = ngx_pnalloc(r->pool, NCR_WINDOWS * (NCR_WINDOW_LEN + NGX_INT64_LEN));
    if (p == NULL) {
        return;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    n = node->health.nwindows;
    ngx_memcpy(windows, node->health.windows, sizeof(windows));
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    now = ngx_http_claude_relay_now();
    s->data = p;

    for (i = 0; i < n; i++) {

        w = &windows[i];

        if (w->utilization < 0 || (w->reset && w->reset <= now)) {
            continue;
        }

        p = ngx_sprintf(p, "%s%s=%D.%04D", (p == s->data) ? "" : ",", w->name,
                        w->utilization / 10000, w->utilization % 10000);

        /* two digits at least */

        while (p[-1] == '0' && p[-3] != '.') {
            p--;
        }
    }

    s->len = p - s->data;
}
