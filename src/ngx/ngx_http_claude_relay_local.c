
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Answers of our own: probes, telemetry, errors in the caller's dialect. */


#include "ngx_http_claude_relay_books.h"


#define NGX_HTTP_CLAUDE_RELAY_ERROR_LEN  1024


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

    /* an upstream's own goes on unchanged, and alone */

    if (!ctx->named
        && ngx_http_claude_relay_add_header(r, "X-Request-Id",
                                            &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->limit_headers
        && ngx_http_claude_relay_limit_headers(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rlcf->cors == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&value);

    sent = ctx->meant[NGX_HTTP_CLAUDE_RELAY_ORIGIN];
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

    ngx_str_set(&value,
                "X-Request-Id, Request-Id, Retry-After, X-Should-Retry");

    return ngx_http_claude_relay_add_header(r, "Access-Control-Expose-Headers",
                                            &value);
}


ngx_int_t
ngx_http_claude_relay_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    ngx_str_t                     value;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx) {
        ctx->own_reply = 1;
        ctx->named = 0;

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

    return ngx_http_claude_relay_output(r, body);
}


ngx_int_t
ngx_http_claude_relay_send_file(ngx_http_request_t *r, ngx_str_t *type,
    ngx_fd_t fd, off_t size)
{
    ngx_int_t                 rc;
    ngx_buf_t                *b;
    ngx_str_t                 value;
    ngx_chain_t               out;
    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *clnf;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));

    if (cln == NULL) {
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    clnf = cln->data;
    clnf->fd = fd;
    clnf->name = (u_char *) "(file without a name)";
    clnf->log = r->pool->log;
    cln->handler = ngx_pool_cleanup_file;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NGX_ERROR;
    }

    b->file->fd = fd;
    b->file->log = r->connection->log;
    ngx_str_set(&b->file->name, "(file without a name)");

    b->file_pos = 0;
    b->file_last = size;
    b->in_file = (size > 0);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

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

    ngx_str_set(&value, "attachment");

    if (ngx_http_claude_relay_add_header(r, "Content-Disposition", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* the header, and a body that lies in memory as long as the request */

ngx_int_t
ngx_http_claude_relay_output(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    if (body->len) {
        b->pos = body->data;
        b->last = body->data + body->len;
        b->memory = 1;
    }

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
    ngx_http_claude_relay_codec(ctx)->error(&out, status, &text,
                                            ncr(&ctx->request_id));

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

        sent = ctx->meant[NGX_HTTP_CLAUDE_RELAY_REQUEST_HEADERS];

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
