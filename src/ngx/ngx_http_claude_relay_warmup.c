
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What Claude Code asks by itself and needs no model for, answered here
 * (FEATURES F129), where "claude_relay_warmup" is on.  No account is used, and
 * no limit; the books have it at no cost, of the platform "local".
 */


#include "ngx_http_claude_relay.h"
#include "ncr_anthropic_local.h"


static ngx_int_t ngx_http_claude_relay_warmup_body(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_str_t *body);


static ngx_str_t  ngx_http_claude_relay_warmup_json =
    ngx_string("application/json");
static ngx_str_t  ngx_http_claude_relay_warmup_stream =
    ngx_string("text/event-stream; charset=utf-8");


/* the body was read and is good JSON; NGX_DECLINED: it is not one of these */

ngx_int_t
ngx_http_claude_relay_warmup(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t stream)
{
    ngx_int_t               rc;
    ncr_out_t               out;
    ncr_str_t               body;
    ngx_str_t               answer;
    ncr_uint_t              prefilled;
    ncr_anthropic_local_e   kind;

    if (ctx->body_length > NCR_ANTHROPIC_LOCAL_BODY) {
        return NGX_DECLINED;
    }

    rc = ngx_http_claude_relay_warmup_body(r, ctx, &body);

    if (rc != NGX_OK) {
        return rc;
    }

    kind = ncr_anthropic_local(&body, &prefilled);

    if (kind == NCR_ANTHROPIC_LOCAL_NONE) {
        return NGX_DECLINED;
    }

    answer.data = ngx_pnalloc(r->pool, NCR_ANTHROPIC_LOCAL_ANSWER);
    if (answer.data == NULL) {
        return NGX_ERROR;
    }

    ncr_out_init(&out, answer.data, NCR_ANTHROPIC_LOCAL_ANSWER);

    ncr_anthropic_local_answer(&out, kind, prefilled, stream,
                               ncr(&ctx->request_id), ncr(&ctx->model));
    if (out.overflow) {
        return NGX_DECLINED;
    }

    answer.len = out.last - out.start;

    ctx->local = 1;
    ctx->stream = stream;

    return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                                stream ? &ngx_http_claude_relay_warmup_stream
                                       : &ngx_http_claude_relay_warmup_json,
                                &answer);
}


/* all of it, in one piece; it lies in buffers, or in a file */

static ngx_int_t
ngx_http_claude_relay_warmup_body(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_str_t *body)
{
    u_char       *p, *last;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_DECLINED;
    }

    cl = r->request_body->bufs;
    b = cl->buf;

    if (cl->next == NULL && ngx_buf_in_memory(b)) {
        body->data = b->pos;
        body->len = b->last - b->pos;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NCR_ANTHROPIC_LOCAL_BODY);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    last = p + NCR_ANTHROPIC_LOCAL_BODY;

    for ( /* void */ ; cl; cl = cl->next) {

        b = cl->buf;

        if (ngx_buf_size(b) > last - p) {
            return NGX_DECLINED;
        }

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (b->file_last == b->file_pos) {
            continue;
        }

        n = ngx_read_file(b->file, p, (size_t) (b->file_last - b->file_pos),
                          b->file_pos);

        if (n != (ssize_t) (b->file_last - b->file_pos)) {

            /* the relay itself will tell what is wrong with the file */

            return NGX_DECLINED;
        }

        p += n;
    }

    body->len = p - body->data;

    return NGX_OK;
}
