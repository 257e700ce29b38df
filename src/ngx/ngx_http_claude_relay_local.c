
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Answers that nginx gives itself: probes, telemetry, errors in the caller's
 * dialect; and the filter that puts nginx's own error pages (limit_req,
 * allow and deny, a bad chunk, a time-out) into that dialect too.
 */


#include "ngx_http_claude_relay.h"


#define NGX_HTTP_CLAUDE_RELAY_ERROR_LEN  1024


static ngx_int_t ngx_http_claude_relay_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_output_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_http_claude_relay_own_page(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static const char *ngx_http_claude_relay_page_message(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t *status, char *buf,
    size_t size);
static ngx_int_t ngx_http_claude_relay_request_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;
static ngx_http_request_body_filter_pt   ngx_http_next_request_body_filter;

static ngx_str_t  ngx_http_claude_relay_json = ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


/* what every answer of a relaying location carries */

ngx_int_t
ngx_http_claude_relay_common_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                          value, *origin, *sent;
    ngx_uint_t                         i;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (ngx_http_claude_relay_add_header(r, "X-Request-Id", &ctx->request_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->cors == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&value);

    sent = ngx_http_claude_relay_find_header(r, "origin");
    origin = rlcf->cors->elts;

    for (i = 0; sent && i < rlcf->cors->nelts; i++) {

        if (ncr_str_eq(ncr(&origin[i]), "*")) {
            ngx_str_set(&value, "*");
            break;
        }

        if (origin[i].len == sent->len
            && ngx_strncmp(origin[i].data, sent->data, sent->len) == 0)
        {
            value = *sent;
            break;
        }
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_add_header(r, "Access-Control-Allow-Origin",
                                         &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "Origin");

    if (ngx_http_claude_relay_add_header(r, "Vary", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "X-Request-Id, Request-Id, Retry-After, X-Should-Retry");

    return ngx_http_claude_relay_add_header(r, "Access-Control-Expose-Headers",
                                            &value);
}


ngx_int_t
ngx_http_claude_relay_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    ngx_int_t                     rc;
    ngx_buf_t                    *b;
    ngx_str_t                     value;
    ngx_chain_t                   out;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx) {
        ctx->own_reply = 1;

        if (ngx_http_claude_relay_common_headers(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&value, "no-store");

    if (ngx_http_claude_relay_add_header(r, "Cache-Control", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "nosniff");

    if (ngx_http_claude_relay_add_header(r, "X-Content-Type-Options", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    if (body->len) {
        r->headers_out.content_type = *type;
        r->headers_out.content_type_len = type->len;
        r->headers_out.content_type_lowcase = NULL;

    } else {
        r->header_only = (r->method == NGX_HTTP_HEAD
                          || status == NGX_HTTP_NO_CONTENT);
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = (body->len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/*
 * An error of our own in the caller's dialect.  retry_after in seconds, -1
 * for none.  Returns what ngx_http_finalize_request() takes.
 */

ngx_int_t
ngx_http_claude_relay_error(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *message,
    time_t retry_after)
{
    u_char     *p;
    ncr_out_t   out;
    ncr_str_t   text;
    ngx_str_t   value, body;

    p = ngx_pnalloc(r->pool, NGX_HTTP_CLAUDE_RELAY_ERROR_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    ncr_out_init(&out, p, NGX_HTTP_CLAUDE_RELAY_ERROR_LEN);
    ncr_anthropic_error(&out, status, &text, ncr(&ctx->request_id));

    body.data = p;
    body.len = out.last - p;

    /*
     * Claude Code repeats a refused request for minutes, and a bad one in
     * six variants, unless it is told (clients.md 3)
     */

    if (status < 500 && status != NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_str_set(&value, "false");

        if (ngx_http_claude_relay_add_header(r, "x-should-retry", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (retry_after >= 0) {
        value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        value.len = ngx_sprintf(value.data, "%T", retry_after) - value.data;

        if (ngx_http_claude_relay_add_header(r, "Retry-After", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_claude_relay_send(r, status, &ngx_http_claude_relay_json,
                                      &body);
}


/* probes and telemetry: no credential, no account (F.1) */

ngx_int_t
ngx_http_claude_relay_local(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t   body, value, *sent;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method == NGX_HTTP_OPTIONS) {

        ngx_str_set(&value, "GET, HEAD, POST, DELETE, OPTIONS");

        if (ngx_http_claude_relay_add_header(r, "Allow", &value) != NGX_OK
            || ngx_http_claude_relay_add_header(r,
                             "Access-Control-Allow-Methods", &value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_str_set(&value, "86400");

        if (ngx_http_claude_relay_add_header(r, "Access-Control-Max-Age",
                                             &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* whatever headers the browser says it will send */

        sent = ngx_http_claude_relay_find_header(r,
                                            "access-control-request-headers");
        if (sent
            && ngx_http_claude_relay_add_header(r,
                              "Access-Control-Allow-Headers", sent) != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_str_null(&body);

        return ngx_http_claude_relay_send(r, NGX_HTTP_NO_CONTENT,
                                          &ngx_http_claude_relay_json, &body);
    }

    ngx_str_null(&body);

    if (ctx->route.op == NCR_OP_TELEMETRY) {

        if (ncr_str_contains(ncr(&ctx->route.path), "bootstrap")) {
            ngx_str_set(&body, "{\"additional_model_options\":[],"
                               "\"auto_compact_windows\":{},"
                               "\"client_data\":{}}");

        } else if (r->method == NGX_HTTP_POST) {
            ngx_str_set(&body, "{\"success\":true}");

        } else if (ncr_str_contains(ncr(&ctx->route.path), "metrics")) {
            ngx_str_set(&body, "{\"metrics_logging_enabled\":false}");

        } else {
            ngx_str_set(&body, "{\"restrictions\":{}}");
        }
    }

    return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                                      &ngx_http_claude_relay_json, &body);
}


static ngx_int_t
ngx_http_claude_relay_header_filter(ngx_http_request_t *r)
{
    char                         *buf;
    u_char                       *p;
    ncr_out_t                     out;
    ncr_str_t                     text;
    ngx_str_t                     value, none;
    ngx_uint_t                    status;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (!ngx_http_claude_relay_own_page(r, ctx)) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ctx->request = r;
        ngx_http_set_ctx(r, ctx, ngx_http_claude_relay_module);
    }

    buf = ngx_pnalloc(r->pool, 2 * NGX_HTTP_CLAUDE_RELAY_ERROR_LEN);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) buf + NGX_HTTP_CLAUDE_RELAY_ERROR_LEN;
    status = r->headers_out.status;

    text.data = (u_char *) ngx_http_claude_relay_page_message(r, ctx, &status,
                                       buf, NGX_HTTP_CLAUDE_RELAY_ERROR_LEN);
    text.len = ngx_strlen(text.data);

    ngx_str_null(&none);

    ncr_out_init(&out, p, NGX_HTTP_CLAUDE_RELAY_ERROR_LEN);
    ncr_anthropic_error(&out, status, &text,
                        ctx->request_id.len ? ncr(&ctx->request_id)
                                            : ncr(&none));

    ctx->page.data = p;
    ctx->page.len = out.last - p;

    r->headers_out.status = status;
    ngx_str_null(&r->headers_out.status_line);

    if (status < 500 && status != NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_str_set(&value, "false");
        (void) ngx_http_claude_relay_add_header(r, "x-should-retry", &value);
    }

    if (ctx->request_id.len
        && ngx_http_claude_relay_common_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.content_type = ngx_http_claude_relay_json;
    r->headers_out.content_type_len = ngx_http_claude_relay_json.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = ctx->page.len;

    return ngx_http_next_header_filter(r);
}


/* is this one of nginx's own error pages, in a place of ours? */

static ngx_uint_t
ngx_http_claude_relay_own_page(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_core_srv_conf_t          *cscf;
    ngx_http_claude_relay_loc_conf_t  *rlcf;
    ngx_http_claude_relay_srv_conf_t  *rscf;

    if (r != r->main || r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        return 0;
    }

    if (ctx) {
        return !ctx->own_reply && !ctx->committed && ctx->page.len == 0;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->enable) {
        return r->content_handler == ngx_http_claude_relay_handler
               || r->content_handler == NULL;
    }

    /* an error before a location was found, such as a header too large */

    rscf = ngx_http_get_module_srv_conf(r, ngx_http_claude_relay_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    return rscf->relays && r->loc_conf == cscf->ctx->loc_conf;
}


static const char *
ngx_http_claude_relay_page_message(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t *status, char *buf,
    size_t size)
{
    ncr_str_t  text;

    if (ctx->scan_failed && *status == NGX_HTTP_BAD_REQUEST) {
        text = ncr_anthropic_request_error(ctx->scan, buf, size - 1);
        buf[text.len] = '\0';
        return buf;
    }

    switch (*status) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "the request body is larger than this relay takes";

    case NGX_HTTP_REQUEST_TIME_OUT:
        return "the request did not arrive in time";

    case NGX_HTTP_TOO_MANY_REQUESTS:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "too many requests, try again later";

    case NGX_HTTP_UNAUTHORIZED:
        return "access to this relay needs authentication";

    case NGX_HTTP_FORBIDDEN:
        return "access to this relay is forbidden";

    case NGX_HTTP_BAD_REQUEST:
    case NGX_HTTP_REQUEST_HEADER_TOO_LARGE:
        *status = NGX_HTTP_BAD_REQUEST;
        return "the request is malformed or its headers are too large";

    case NGX_HTTP_NOT_FOUND:
        return "not found";

    case NGX_HTTP_NOT_ALLOWED:
        return "method not allowed";

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return "the upstream did not answer in time";

    case NGX_HTTP_BAD_GATEWAY:
        return "the upstream could not be reached";

    default:
        return (*status < 500) ? "the request was refused"
                               : "the relay failed to serve the request";
    }
}


static ngx_int_t
ngx_http_claude_relay_output_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t                    *b;
    ngx_chain_t                  *cl, out;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx == NULL || ctx->page.len == 0 || in == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->page_sent) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ctx->page_sent = 1;

    b->pos = ctx->page.data;
    b->last = ctx->page.data + ctx->page.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


/* the request's body is scanned as it arrives, before it may go to a file */

static ngx_int_t
ngx_http_claude_relay_request_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t  rc;

    rc = ngx_http_claude_relay_body_filter(r, in);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_next_request_body_filter(r, in);
}


ngx_int_t
ngx_http_claude_relay_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_claude_relay_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_claude_relay_output_filter;

    ngx_http_next_request_body_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = ngx_http_claude_relay_request_filter;

    return NGX_OK;
}
