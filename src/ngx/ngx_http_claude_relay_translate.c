
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Answers in another dress than the client's (ncr_way.h): what comes is fed
 * to the platform's translation, what that writes is observed and goes out.
 * Before the commit it is only observed; then all begins anew, as nothing of
 * the answer has been consumed.
 */


#include "ngx_http_claude_relay.h"


#define NGX_HTTP_CLAUDE_RELAY_TRANSLATED  8192


struct ngx_http_claude_relay_translate_s {
    const ncr_translation_t           *translation;
    void                              *state;
    size_t                             size;
    ngx_str_t                          type;    /* the client's */
    ngx_buf_t                         *buf;     /* being filled */
    ngx_chain_t                     ***ll;
    unsigned                           committed:1;
    unsigned                           ended:1;
};


static ncr_int_t ngx_http_claude_relay_translate_write(void *data,
    ncr_char_t *p, size_t len);
static ngx_int_t ngx_http_claude_relay_translate_buf(ngx_http_request_t *r,
    ngx_http_claude_relay_translate_t *t);


/* the header is here: does this answer need it? */

ngx_int_t
ngx_http_claude_relay_translate_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    size_t                              size;
    ncr_str_t                           type, client;
    ngx_http_upstream_t                *u;
    const ncr_translation_t            *translation;
    ngx_http_claude_relay_translate_t  *t;

    u = r->upstream;
    ctx->translate = NULL;
    ctx->fold = 0;

    translation = (ctx->way && ctx->way->translation)
                  ? ctx->way->translation
                  : ctx->account->platform->translation;

    if (translation == NULL || u->headers_in.status_n >= 300 || ctx->encoded
        || (translation->fold && ctx->stream_asked)
        || ngx_http_claude_relay_bodiless(u, ctx))
    {
        return NGX_OK;
    }

    ncr_str_set(&type, "");
    ncr_str_set(&client, "");

    if (u->headers_in.content_type) {
        type = *ncr(&u->headers_in.content_type->value);
    }

    size = translation->needs(ctx->route.op, &type, &client);

    if (size == 0) {
        return NGX_OK;
    }

    t = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_translate_t));
    if (t == NULL) {
        return NGX_ERROR;
    }

    t->state = ngx_palloc(r->pool, size);
    if (t->state == NULL) {
        return NGX_ERROR;
    }

    t->translation = translation;
    t->size = size;
    t->type = ngx_http_claude_relay_str(&client);

    translation->init(t->state, ctx->route.op, ncr(&ctx->model));

    ctx->translate = t;

    if (translation->fold) {
        ctx->fold = 1;

    } else {
        ctx->stream = ngx_http_claude_relay_event_type(&t->type);
    }

    return NGX_OK;
}


/* nothing is consumed yet; NGX_DECLINED: it cannot be read */

ngx_int_t
ngx_http_claude_relay_translate_peek(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, size_t n)
{
    ncr_int_t                           rc;
    ngx_http_claude_relay_translate_t  *t;

    t = ctx->translate;

    rc = t->translation->feed(t->state, p, n,
                              ngx_http_claude_relay_translate_write, ctx);

    return (rc == NCR_OK) ? NGX_OK
           : (rc == NCR_BAD) ? NGX_DECLINED : NGX_ERROR;
}


/* what the client is told of it, in place of what the upstream has told */

ngx_int_t
ngx_http_claude_relay_translate_commit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_table_elt_t                    *h;
    ngx_http_upstream_t                *u;
    ngx_http_claude_relay_translate_t  *t;

    t = ctx->translate;

    if (t == NULL) {
        return NGX_OK;
    }

    u = r->upstream;

    t->committed = 1;
    t->translation->init(t->state, ctx->route.op, ncr(&ctx->model));

    ngx_http_claude_relay_answer_anew(ctx);

    u->headers_in.content_length_n = -1;

    h = u->headers_in.content_type;

    if (h == NULL) {
        h = ngx_list_push(&u->headers_in.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        ngx_str_set(&h->key, "Content-Type");
        h->lowcase_key = (u_char *) "content-type";
        h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

        u->headers_in.content_type = h;
    }

    h->value = t->type;

    return NGX_OK;
}


/* a piece of the body: what is made of it goes to *ll */

ngx_int_t
ngx_http_claude_relay_translate_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, size_t n,
    ngx_chain_t ***ll)
{
    ncr_int_t                           rc;
    ngx_http_claude_relay_translate_t  *t;

    t = ctx->translate;

    t->ll = ll;
    t->buf = NULL;

    if (ctx->fold) {
        ngx_http_claude_relay_scan(ctx, p, n);
    }

    rc = t->translation->feed(t->state, p, n,
                              ngx_http_claude_relay_translate_write, ctx);

    if (rc == NCR_BAD) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "account \"%V\": the answer cannot be translated",
                      &ctx->account->name);

        t->ended = 1;
        r->upstream->error = 1;
        r->upstream->keepalive = 0;

        return NGX_DECLINED;
    }

    return (rc == NCR_OK) ? NGX_OK : NGX_ERROR;
}


/* the upstream's body has ended as it should */

ngx_int_t
ngx_http_claude_relay_translate_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t ***ll)
{
    ngx_http_claude_relay_translate_t  *t;

    t = ctx->translate;

    if (t == NULL || t->ended) {
        return NGX_OK;
    }

    t->ended = 1;
    t->ll = ll;
    t->buf = NULL;

    return (t->translation->end(t->state,
                                ngx_http_claude_relay_translate_write, ctx)
            == NCR_OK)
           ? NGX_OK : NGX_ERROR;
}


/* the same where the body's end is that of the connection: nobody else will
 * send what end() has to say */

void
ngx_http_claude_relay_translate_late(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_chain_t  *out, **ll;

    if (ctx->translate == NULL || ctx->translate->ended
        || r->connection->error)
    {
        return;
    }

    out = NULL;
    ll = &out;

    if (ngx_http_claude_relay_translate_end(r, ctx, &ll) == NGX_OK && out) {
        (void) ngx_http_output_filter(r, out);
    }
}


static ncr_int_t
ngx_http_claude_relay_translate_write(void *data, ncr_char_t *p, size_t len)
{
    size_t                              n;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_translate_t  *t;

    ctx = data;
    t = ctx->translate;

    if (!ctx->fold) {
        ngx_http_claude_relay_scan(ctx, p, len);
    }

    if (!t->committed) {
        return NCR_OK;
    }

    while (len) {

        if ((t->buf == NULL || t->buf->last == t->buf->end)
            && ngx_http_claude_relay_translate_buf(ctx->request, t) != NGX_OK)
        {
            return NCR_ERROR;
        }

        n = ngx_min(len, (size_t) (t->buf->end - t->buf->last));

        t->buf->last = ngx_cpymem(t->buf->last, p, n);
        p += n;
        len -= n;
    }

    return NCR_OK;
}


/* a buffer that comes back keeps its memory, so a long stream does not grow */

static ngx_int_t
ngx_http_claude_relay_translate_buf(ngx_http_request_t *r,
    ngx_http_claude_relay_translate_t *t)
{
    ngx_buf_t  *b;

    b = ngx_http_claude_relay_filter_buf(r, t->ll);
    if (b == NULL) {
        return NGX_ERROR;
    }

    if (b->start == NULL) {
        b->start = ngx_palloc(r->pool, NGX_HTTP_CLAUDE_RELAY_TRANSLATED);
        if (b->start == NULL) {
            return NGX_ERROR;
        }

        b->end = b->start + NGX_HTTP_CLAUDE_RELAY_TRANSLATED;
    }

    b->pos = b->start;
    b->last = b->start;

    t->buf = b;

    return NGX_OK;
}


/* a failed answer that was kept, in the client's words */

ngx_int_t
ngx_http_claude_relay_translate_error(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_saved_t *s)
{
    size_t                    size;
    u_char                   *p;
    ncr_out_t                 out;
    ncr_uint_t                status;
    ncr_reply_t               reply;
    const ncr_translation_t  *translation;

    translation = ctx->attempt_account->platform->translation;

    if (translation == NULL || translation->error == NULL) {
        return NGX_OK;
    }

    ngx_memzero(&reply, sizeof(ncr_reply_t));

    reply.kind = NCR_REPLY_HTTP;
    reply.status = s->status;
    reply.limits = &ctx->limits;
    reply.family = ctx->family;

    if (!ctx->encoded) {
        reply.body = *ncr(&s->body);
    }

    size = 6 * reply.body.len + 1024;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    status = s->status;

    ncr_out_init(&out, p, size);
    translation->error(ctx->route.op, &reply, &out, &status);

    if (out.overflow || out.last == out.start) {
        return NGX_OK;
    }

    if (status != s->status) {
        s->status = status;
        ngx_str_null(&s->status_line);
    }

    s->body.data = p;
    s->body.len = out.last - out.start;
    s->translated = 1;
    s->cut = 0;

    return NGX_OK;
}


/* 1: the answer of this attempt is given from memory, translated */

ngx_uint_t
ngx_http_claude_relay_translates_errors(ngx_http_claude_relay_ctx_t *ctx)
{
    const ncr_translation_t  *translation;

    translation = ctx->account->platform->translation;

    return translation && translation->error;
}
