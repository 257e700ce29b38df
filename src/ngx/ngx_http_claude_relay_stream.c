
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The committed answer passes by: every read goes to the client at once and
 * unchanged, a scanner looks at the same bytes.
 */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_live.h"


#define NGX_HTTP_CLAUDE_RELAY_EVENT_LEN  512


static ngx_int_t ngx_http_claude_relay_filter_chunked(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ssize_t bytes);
static ngx_int_t ngx_http_claude_relay_filter_plain(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ssize_t bytes);
static ngx_int_t ngx_http_claude_relay_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, u_char *last,
    ngx_chain_t ***ll);
static void ngx_http_claude_relay_observe(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, size_t n);
static void ngx_http_claude_relay_stream_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_claude_relay_incomplete(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_beat(ngx_event_t *ev);


static u_char  ngx_http_claude_relay_comment[] = ": keep-alive\n\n";


ngx_int_t
ngx_http_claude_relay_filter_start(void *data)
{
    ngx_http_request_t *r = data;

    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    ctx->skip = ctx->npeek_body;

    if (u->headers_in.status_n >= 300 || ctx->translate) {

        /* the body of an error was not shown to the scanner, and what is
         * translated is translated from its beginning */

        ctx->skip = 0;
    }

    if (ngx_http_claude_relay_bodiless(u, ctx)) {
        u->length = 0;
        u->keepalive = !u->headers_in.connection_close;

    } else if (u->headers_in.chunked) {
        ngx_memzero(&ctx->chunked, sizeof(ngx_http_chunked_t));
        u->length = 1;

    } else {
        u->length = ctx->length;

        /* a stream that just stops is not whole: see stream_end() */

        if (u->length == -1 && ngx_http_claude_relay_incomplete(ctx)) {
            u->length = 1;
        }
    }

    ngx_http_claude_relay_beat_start(r, ctx);

    return NGX_OK;
}


ngx_uint_t
ngx_http_claude_relay_event_type(ngx_str_t *type)
{
    return type->len >= sizeof("text/event-stream") - 1
           && ngx_strncasecmp(type->data, (u_char *) "text/event-stream",
                              sizeof("text/event-stream") - 1)
              == 0;
}


ngx_uint_t
ngx_http_claude_relay_frames_type(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *type)
{
    const char  *stream;

    stream = ngx_http_claude_relay_codec(ctx)->stream_type;

    return stream && type->len >= ngx_strlen(stream)
           && ngx_strncasecmp(type->data, (u_char *) stream,
                              ngx_strlen(stream))
              == 0;
}


/* an answer that has none, by its status, the method or its length */

ngx_uint_t
ngx_http_claude_relay_bodiless(ngx_http_upstream_t *u,
    ngx_http_claude_relay_ctx_t *ctx)
{
    return u->headers_in.status_n == NGX_HTTP_NO_CONTENT
           || u->headers_in.status_n == NGX_HTTP_NOT_MODIFIED
           || ctx->head
           || (!u->headers_in.chunked
               && u->headers_in.content_length_n == 0);
}


ngx_int_t
ngx_http_claude_relay_filter(void *data, ssize_t bytes)
{
    ngx_http_request_t *r = data;

    ngx_int_t                     rc;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    ctx->last_out = ngx_current_msec;
    ctx->own_from = ngx_http_claude_relay_clock();

    if (ctx->live) {
        ctx->live->bytes += bytes;
    }

    rc = u->headers_in.chunked
         ? ngx_http_claude_relay_filter_chunked(r, ctx, bytes)
         : ngx_http_claude_relay_filter_plain(r, ctx, bytes);

    ngx_http_claude_relay_own_time(ctx);

    if (rc == NGX_OK && u->length == 0 && !u->error) {
        ngx_http_claude_relay_complete(ctx);
    }

    return rc;
}


static ngx_int_t
ngx_http_claude_relay_filter_plain(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ssize_t bytes)
{
    u_char               *p, *last;
    ngx_buf_t            *buf;
    ngx_chain_t         **ll;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    buf = &u->buffer;

    if (u->length == 0) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "upstream sent more data than specified in "
                      "\"Content-Length\" header");
        u->keepalive = 0;
        return NGX_OK;
    }

    ll = NULL;

    p = buf->last;
    buf->last += bytes;
    last = buf->last;

    if (ctx->length == -1) {

        /* until the connection ends */

        if (ngx_http_claude_relay_pass(r, ctx, p, last, &ll) != NGX_OK) {
            return NGX_ERROR;
        }

        if (!ngx_http_claude_relay_incomplete(ctx)) {
            u->length = -1;
        }

        return NGX_OK;
    }

    if (bytes > u->length) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "upstream sent more data than specified in "
                      "\"Content-Length\" header");

        last = p + u->length;
        u->length = 0;

    } else {
        u->length -= bytes;
    }

    if (ngx_http_claude_relay_pass(r, ctx, p, last, &ll) != NGX_OK) {
        return NGX_ERROR;
    }

    if (u->length == 0) {
        u->keepalive = !u->headers_in.connection_close && last == buf->last;

        if (ngx_http_claude_relay_translate_end(r, ctx, &ll) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_claude_relay_stream_end(r, ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_filter_chunked(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ssize_t bytes)
{
    size_t                n;
    u_char               *start, *last;
    ngx_int_t             rc;
    ngx_buf_t            *buf;
    ngx_chain_t         **ll;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    buf = &u->buffer;

    buf->pos = buf->last;
    buf->last += bytes;

    start = buf->pos;
    last = start;

    for ( ;; ) {

        rc = ngx_http_claude_relay_parse_chunked(r, buf, &ctx->chunked);

        if (rc != NGX_OK) {
            break;
        }

        n = (size_t) ngx_min((off_t) (buf->last - buf->pos),
                             ctx->chunked.size);

        if (last == start) {
            start = buf->pos;
            last = start;
        }

        /*
         * Each event of a stream is a chunk: their payloads are moved
         * together, over the sizes between them, and go out as one.
         */

        if (last != buf->pos) {
            ngx_memmove(last, buf->pos, n);
        }

        last += n;
        buf->pos += n;
        ctx->chunked.size -= n;
    }

    ll = NULL;

    if (ngx_http_claude_relay_pass(r, ctx, start, last, &ll) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN) {
        return NGX_OK;
    }

    if (rc == NGX_DONE) {

        u->keepalive = !u->headers_in.connection_close;
        u->length = 0;

        if (buf->pos != buf->last) {
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "upstream sent data after final chunk");
            u->keepalive = 0;
        }

        if (ngx_http_claude_relay_translate_end(r, ctx, &ll) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_claude_relay_stream_end(r, ctx);

        return NGX_OK;
    }

    /* told as a break, so that the client hears of it */

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream sent invalid chunked response");

    u->error = 1;

    return NGX_OK;
}


/* one piece of the body: to the client as it is, and past the scanner */

static ngx_int_t
ngx_http_claude_relay_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, u_char *last,
    ngx_chain_t ***ll)
{
    ngx_buf_t  *b;
    ngx_int_t   rc;

    if (p == last) {
        return NGX_OK;
    }

    if (ctx->translate) {
        rc = ngx_http_claude_relay_translate_pass(r, ctx, p, last - p, ll);

        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    ngx_http_claude_relay_observe(ctx, p, last - p);

    if (ctx->results) {
        return ngx_http_claude_relay_results_pass(r, ctx, p, last, ll);
    }

    b = ngx_http_claude_relay_filter_buf(r, ll);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = p;
    b->last = last;

    return NGX_OK;
}


/* a buffer at the end of what goes out; ll is found once for a read */

ngx_buf_t *
ngx_http_claude_relay_filter_buf(ngx_http_request_t *r, ngx_chain_t ***ll)
{
    ngx_chain_t          *cl;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (*ll == NULL) {
        for (*ll = &u->out_bufs; **ll; *ll = &(**ll)->next) { /* void */ }
    }

    cl = ngx_chain_get_free_buf(r->pool, &u->free_bufs);
    if (cl == NULL) {
        return NULL;
    }

    **ll = cl;
    *ll = &cl->next;

    cl->buf->flush = 1;
    cl->buf->memory = 1;
    cl->buf->tag = u->output.tag;

    return cl->buf;
}


static void
ngx_http_claude_relay_observe(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n)
{
    size_t  seen;

    if (ctx->skip) {
        seen = ngx_min(ctx->skip, n);
        ctx->skip -= seen;
        p += seen;
        n -= seen;
    }

    if (n) {
        ngx_http_claude_relay_look(ctx, p, n);
    }
}


/* bytes of an answer as they came, at their first sight */

void
ngx_http_claude_relay_look(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n)
{
    if (ctx->inflate) {
        ngx_http_claude_relay_inflate(ctx, p, n);

    } else if (!ctx->encoded) {
        ngx_http_claude_relay_scan(ctx, p, n);
    }
}


/* the plain bytes of an answer */

void
ngx_http_claude_relay_scan(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n)
{
    if (ctx->stream) {
        ctx->codec->stream_feed(ctx->answer, p, n);

    } else if (ncr_op_is(ctx->route.op, NCR_OP_BILLED|NCR_OP_LISTS)) {
        ctx->codec->body_feed(ctx->answer, p, n);
    }
}


/*
 * The framing says that this was all.  A stream of messages without its last
 * event is not whole all the same, and must not look so: nginx then takes it
 * for a broken upstream.  But for dialects that have no last event.
 */

static void
ngx_http_claude_relay_stream_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    if (!ngx_http_claude_relay_incomplete(ctx) || ctx->codec->open_end) {
        return;
    }

    u = r->upstream;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "account \"%V\": the stream ended without its last event",
                  &ctx->account->name);

    u->length = 1;
    u->error = 1;
    u->keepalive = 0;
}


static ngx_uint_t
ngx_http_claude_relay_incomplete(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->stream
           && (!ctx->encoded || ctx->inflate)
           && ncr_op_is(ctx->route.op, NCR_OP_EVENTS)
           && ctx->request->upstream->headers_in.status_n == NGX_HTTP_OK
           && ctx->answer->state != NCR_ANSWER_COMPLETE
           && ctx->answer->state != NCR_ANSWER_FAILED;
}


/*
 * The stream broke after the commit.  Between two events the client is told
 * in its dialect; inside of one, or without events, the connection is cut:
 * never a clean end (clients.md 4.6).
 */

ngx_int_t
ngx_http_claude_relay_broken(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_int_t rc)
{
    u_char       *p;
    ngx_buf_t    *b;
    ncr_out_t     out;
    ncr_str_t     text;
    ngx_chain_t   cl;

    if (!ngx_http_claude_relay_incomplete(ctx)
        || r->connection->error
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || ctx->encoded
        || ctx->fold
        || !ctx->codec->boundary(ctx->answer))
    {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, NGX_HTTP_CLAUDE_RELAY_EVENT_LEN);
    b = ngx_calloc_buf(r->pool);

    if (p == NULL || b == NULL) {
        return NGX_DECLINED;
    }

    if (ctx->killed) {
        ncr_str_set(&text, NGX_HTTP_CLAUDE_RELAY_KILLED);

    } else if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        ncr_str_set(&text, "the upstream fell silent in the middle of the "
                           "stream");

    } else {
        ncr_str_set(&text, "the upstream broke off in the middle of the "
                           "stream");
    }

    ncr_out_init(&out, p, NGX_HTTP_CLAUDE_RELAY_EVENT_LEN);

    ctx->codec->error_event(ctx->answer, &out,
                            (rc == NGX_HTTP_GATEWAY_TIME_OUT) ? 504 : 500,
                            &text, ncr(&ctx->request_id));

    b->pos = p;
    b->last = out.last;
    b->memory = 1;
    b->flush = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl.buf = b;
    cl.next = NULL;

    return (ngx_http_output_filter(r, &cl) == NGX_ERROR) ? NGX_DECLINED
                                                         : NGX_OK;
}


/* the end of a committed answer: what it was all about */

void
ngx_http_claude_relay_finish(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t      id;
    ncr_answer_t  *a;

    a = ctx->answer;

    if (ctx->stream && a->state == NCR_ANSWER_FAILED
        && ctx->error == NCR_CLASS_OK)
    {
        ctx->error = NCR_CLASS_BROKEN;
    }

    if (r->headers_out.status != NGX_HTTP_OK || a->id[0] == '\0') {
        return;
    }

    if (ctx->thread
        || (ncr_op_is(ctx->route.op, NCR_OP_LISTS)
            && r->method == NGX_HTTP_POST && ctx->route.id.len == 0))
    {
        id.data = (u_char *) a->id;
        id.len = ngx_strlen(id.data);

        ngx_http_claude_relay_bind_id(ctx, &id);
    }
}


void
ngx_http_claude_relay_beat_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->heartbeat == 0 || !ctx->stream || ctx->encoded || ctx->head
        || ctx->fold || ctx->codec->stream_type)
    {
        return;
    }

    ctx->beat_buf = ngx_calloc_buf(r->pool);
    if (ctx->beat_buf == NULL) {
        return;
    }

    ctx->last_out = ngx_current_msec;

    ctx->beat.handler = ngx_http_claude_relay_beat;
    ctx->beat.data = ctx;
    ctx->beat.log = r->connection->log;

    ngx_add_timer(&ctx->beat, rlcf->heartbeat);
}


/* a comment in the silence between two events; clients pass over it */

static void
ngx_http_claude_relay_beat(ngx_event_t *ev)
{
    ngx_buf_t                         *b;
    ngx_msec_t                         silence;
    ngx_chain_t                        out;
    ngx_connection_t                  *c;
    ngx_http_request_t                *r;
    ngx_http_upstream_t               *u;
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    ctx = ev->data;
    r = ctx->request;
    u = r->upstream;
    c = r->connection;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    silence = ngx_current_msec - ctx->last_out;

    if (silence < rlcf->heartbeat) {
        ngx_add_timer(ev, rlcf->heartbeat - silence);
        return;
    }

    ngx_add_timer(ev, rlcf->heartbeat);

    b = ctx->beat_buf;

    if (u->out_bufs || u->busy_bufs || c->buffered || b->pos != b->last
        || !ctx->codec->boundary(ctx->answer))
    {
        return;
    }

    b->pos = ngx_http_claude_relay_comment;
    b->last = b->pos + sizeof(ngx_http_claude_relay_comment) - 1;
    b->memory = 1;
    b->flush = 1;

    out.buf = b;
    out.next = NULL;

    ctx->last_out = ngx_current_msec;

    ngx_http_claude_relay_metrics_heartbeat(
                 ngx_http_get_module_main_conf(r,
                                               ngx_http_claude_relay_module));

    if (ngx_http_output_filter(r, &out) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
    }
}
