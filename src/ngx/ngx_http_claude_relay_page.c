
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The output filters: nginx's own error pages (limit_req, allow and deny, a
 * bad chunk, a time-out) are put into the caller's dialect, and an answer
 * that is passed on keeps its content type to the letter.
 */


#include "ngx_http_claude_relay.h"
#include "ngx_http_claude_relay_audit.h"


#define NGX_HTTP_CLAUDE_RELAY_PAGE_LEN  1024


static ngx_int_t ngx_http_claude_relay_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_output_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_claude_relay_committed_header(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
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

static ngx_str_t  ngx_http_claude_relay_page_type =
    ngx_string("application/json");


static ngx_int_t
ngx_http_claude_relay_header_filter(ngx_http_request_t *r)
{
    char                         *buf;
    u_char                       *p;
    ncr_out_t                     out;
    ncr_str_t                     text;
    ngx_str_t                     value;
    ngx_uint_t                    status;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx && ctx->committed && r == r->main) {
        ngx_http_claude_relay_committed_header(r, ctx);
        return ngx_http_next_header_filter(r);
    }

    if (!ngx_http_claude_relay_own_page(r, ctx)) {
        return ngx_http_next_header_filter(r);
    }

    if (ctx == NULL) {
        ctx = ngx_http_claude_relay_get_ctx(r);
        if (ctx == NULL) {
            return NGX_ERROR;
        }
    }

    buf = ngx_pnalloc(r->pool, 2 * NGX_HTTP_CLAUDE_RELAY_PAGE_LEN);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) buf + NGX_HTTP_CLAUDE_RELAY_PAGE_LEN;
    status = r->headers_out.status;

    text.data = (u_char *) ngx_http_claude_relay_page_message(r, ctx, &status,
                                       buf, NGX_HTTP_CLAUDE_RELAY_PAGE_LEN);
    text.len = ngx_strlen(text.data);

    ncr_out_init(&out, p, NGX_HTTP_CLAUDE_RELAY_PAGE_LEN);
    ngx_http_claude_relay_codec(ctx)->error(&out, status, &text,
                                            ncr(&ctx->request_id));

    if (ctx->error == NCR_CLASS_OK) {
        ctx->error = (status == NGX_HTTP_TOO_MANY_REQUESTS
                      || status == NGX_HTTP_SERVICE_UNAVAILABLE)
                     ? NCR_CLASS_THROTTLED
                     : (status < 500) ? NCR_CLASS_CLIENT : NCR_CLASS_SERVER;
    }

    ctx->page.data = p;
    ctx->page.len = out.last - p;

    r->headers_out.status = status;
    ngx_str_null(&r->headers_out.status_line);

    if (status < 500 && status != NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_str_set(&value, "false");
        (void) ngx_http_claude_relay_add_header(r, "x-should-retry", &value);
    }

    if (ngx_http_claude_relay_common_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.content_type = ngx_http_claude_relay_page_type;
    r->headers_out.content_type_len = ngx_http_claude_relay_page_type.len;
    r->headers_out.content_type_lowcase = NULL;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = ctx->page.len;

    return ngx_http_next_header_filter(r);
}


/* nginx would take "charset" off the type and write it anew */

static void
ngx_http_claude_relay_committed_header(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char           *p;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *type;

    type = r->upstream ? r->upstream->headers_in.content_type : NULL;

    if (type) {
        r->headers_out.content_type = type->value;
        r->headers_out.content_type_len = type->value.len;
        ngx_str_null(&r->headers_out.charset);

        p = ngx_strlchr(type->value.data, type->value.data + type->value.len,
                        ';');
        if (p) {
            r->headers_out.content_type_len = p - type->value.data;
        }
    }

    if (ctx->results) {
        ngx_http_clear_content_length(r);
    }

    if (ctx->hop == NULL) {
        return;
    }

    /* headers of the upstream's hop, by its own word */

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ngx_http_claude_relay_named(ctx->hop, &h[i].key)) {
                h[i].hash = 0;
            }
        }
    }
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

    if (ctx->way && ctx->way->status
        && *status == NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        /* the platform cannot send this */

        *status = ctx->way->status;
        return ctx->way->error;
    }

    if (ctx->scan_failed && *status == NGX_HTTP_BAD_REQUEST) {
        text = ngx_http_claude_relay_codec(ctx)->request_error(&ctx->scan->told,
                                                               buf, size - 1);
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

    if (ctx == NULL || in == NULL || r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->page.len == 0) {

        if (ctx->capture) {
            ngx_http_claude_relay_audit_response(ctx, in);
        }

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

    if (ctx->capture) {
        ngx_http_claude_relay_audit_response(ctx, &out);
    }

    return ngx_http_next_body_filter(r, &out);
}


/* the request's body is scanned as it arrives, before it may go to a file */

static ngx_int_t
ngx_http_claude_relay_request_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                     rc;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    rc = (ctx && ctx->decode)
         ? ngx_http_claude_relay_decode(r, ctx, in, &in)
         : ngx_http_claude_relay_body_filter(r, in);

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
