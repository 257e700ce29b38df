
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The upstream's header, and the judgement before anything is committed.
 *
 * nginx calls process_header() again for every read while it returns
 * NGX_AGAIN, so the header is simply "not complete" until it is safe: the
 * body of an error is waited for and judged, a stream waits for its first
 * real event.  Nothing is consumed meanwhile: what is committed in the end
 * goes on from u->buffer untouched, and the buffer's size is the bound.
 */


#include "ngx_http_claude_relay_socket.h"


/* the rest of an error's body is waited for this long, ms */
#define NGX_HTTP_CLAUDE_RELAY_BODY_WAIT   10000

/* a stream's first event is waited for this long after its header, ms; or
 * for a heartbeat's time, if that is shorter */
#define NGX_HTTP_CLAUDE_RELAY_HOLD        5000

/* more headers than this are an attack, not an answer */
#define NGX_HTTP_CLAUDE_RELAY_MAX_HEADERS 256


static ngx_int_t ngx_http_claude_relay_process_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_header_line(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_header_done(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_garbage(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char *what);
static void ngx_http_claude_relay_hold(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_hold_handler(ngx_event_t *ev);
static ssize_t ngx_http_claude_relay_hold_recv(ngx_connection_t *c,
    u_char *buf, size_t size);
static void ngx_http_claude_relay_read_limits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_peek(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_peek_body(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_peek_bytes(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, size_t n);
static ngx_int_t ngx_http_claude_relay_settle(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_reply_kind_e kind);
static ngx_int_t ngx_http_claude_relay_commit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_retry_after(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_list_t *headers);
static ngx_uint_t ngx_http_claude_relay_known_text(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_claude_relay_framing(ngx_table_elt_t *h);
static ngx_uint_t ngx_http_claude_relay_json_type(ngx_http_upstream_t *u);


/* what nginx calls for each read until the header is said to be complete */

ngx_int_t
ngx_http_claude_relay_process(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    ctx->own_from = ngx_http_claude_relay_clock();

    rc = ctx->step(r);

    ngx_http_claude_relay_own_time(ctx);

    return rc;
}


ngx_int_t
ngx_http_claude_relay_process_status(ngx_http_request_t *r)
{
    size_t                        len;
    ngx_int_t                     rc;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    rc = ngx_http_parse_status_line(r, &u->buffer, &ctx->status);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_claude_relay_garbage(r, ctx, "status line");
    }

    if (ctx->status.code < 100 || ctx->status.code > 599
        || (ctx->status.code == NGX_HTTP_SWITCHING_PROTOCOLS
            && ctx->route.op != NCR_OP_SOCKET))
    {
        return ngx_http_claude_relay_garbage(r, ctx, "status");
    }

    if (u->state
        && (ctx->status.code >= 200
            || ctx->status.code == NGX_HTTP_SWITCHING_PROTOCOLS))
    {
        u->state->status = ctx->status.code;
    }

    u->headers_in.status_n = ctx->status.code;

    len = ctx->status.end - ctx->status.start;

    u->headers_in.status_line.len = len;
    u->headers_in.status_line.data = ngx_pnalloc(r->pool, len);

    if (u->headers_in.status_line.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(u->headers_in.status_line.data, ctx->status.start, len);

    if (ctx->status.http_version < NGX_HTTP_VERSION_11) {
        u->headers_in.connection_close = 1;
    }

    ctx->step = ngx_http_claude_relay_process_header;

    return ngx_http_claude_relay_process_header(r);
}


static ngx_int_t
ngx_http_claude_relay_process_header(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    for ( ;; ) {

        rc = ngx_http_parse_header_line(r, &u->buffer, 1);

        if (rc == NGX_OK) {

            rc = ngx_http_claude_relay_header_line(r);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (rc != NGX_OK || ++ctx->nheaders
                                > NGX_HTTP_CLAUDE_RELAY_MAX_HEADERS)
            {
                return ngx_http_claude_relay_garbage(r, ctx, "header");
            }

            continue;
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc != NGX_HTTP_PARSE_HEADER_DONE) {
            return ngx_http_claude_relay_garbage(r, ctx, "header");
        }

        if (u->headers_in.status_n >= 200
            || u->headers_in.status_n == NGX_HTTP_SWITCHING_PROTOCOLS)
        {
            return ngx_http_claude_relay_header_done(r, ctx);
        }

        /* 100, 103: the answer itself is yet to come */

        ngx_memzero(&ctx->status, sizeof(ngx_http_status_t));
        ngx_memzero(&u->headers_in, sizeof(ngx_http_upstream_headers_in_t));
        u->headers_in.content_length_n = -1;
        u->headers_in.last_modified_time = -1;

        if (ngx_list_init(&u->headers_in.headers, r->pool, 8,
                          sizeof(ngx_table_elt_t))
            != NGX_OK
            || ngx_list_init(&u->headers_in.trailers, r->pool, 2,
                             sizeof(ngx_table_elt_t))
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        ctx->step = ngx_http_claude_relay_process_status;

        return ngx_http_claude_relay_process_status(r);
    }
}


/* NGX_OK, NGX_ERROR (no memory), or something else for a bad header */

static ngx_int_t
ngx_http_claude_relay_header_line(ngx_http_request_t *r)
{
    ngx_table_elt_t                *h;
    ngx_http_upstream_t            *u;
    ngx_http_upstream_header_t     *hh;
    ngx_http_upstream_main_conf_t  *umcf;

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upstream_module);
    u = r->upstream;

    h = ngx_list_push(&u->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = r->header_hash;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    h->key.len = r->header_name_end - r->header_name_start;
    h->value.len = r->header_end - r->header_start;

    h->key.data = ngx_pnalloc(r->pool,
                              h->key.len + 1 + h->value.len + 1 + h->key.len);
    if (h->key.data == NULL) {
        h->hash = 0;
        return NGX_ERROR;
    }

    h->value.data = h->key.data + h->key.len + 1;
    h->lowcase_key = h->key.data + h->key.len + 1 + h->value.len + 1;

    ngx_memcpy(h->key.data, r->header_name_start, h->key.len);
    h->key.data[h->key.len] = '\0';
    ngx_memcpy(h->value.data, r->header_start, h->value.len);
    h->value.data[h->value.len] = '\0';

    if (h->key.len == r->lowcase_index) {
        ngx_memcpy(h->lowcase_key, r->lowcase_header, h->key.len);

    } else {
        ncr_str_lowcase(h->lowcase_key, h->key.data, h->key.len);
    }

    /* two lengths, or none that can be read: where would the body end? */

    if (h->key.len == sizeof("content-length") - 1
        && ngx_memcmp(h->lowcase_key, "content-length", h->key.len) == 0
        && (u->headers_in.content_length
            || ngx_atoof(h->value.data, h->value.len) == NGX_ERROR))
    {
        return NGX_DECLINED;
    }

    hh = ngx_hash_find(&umcf->headers_in_hash, h->hash, h->lowcase_key,
                       h->key.len);

    return hh ? hh->handler(r, h, hh->offset) : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_garbage(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char *what)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "account \"%V\": upstream sent an invalid %s",
                  &ctx->account->name, what);

    r->upstream->headers_in.connection_close = 1;

    return ngx_http_claude_relay_settle(r, ctx, NCR_REPLY_GARBAGE);
}


static ngx_int_t
ngx_http_claude_relay_header_done(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_uint_t            status;
    ngx_table_elt_t      *type;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    status = u->headers_in.status_n;

    if (u->headers_in.chunked) {
        u->headers_in.content_length_n = -1;
    }

    ctx->headers_done = 1;
    ctx->held = 0;
    ctx->peek = u->buffer.pos;
    ctx->peek_left = u->headers_in.content_length_n;
    ctx->npeek_body = 0;
    ngx_memzero(&ctx->peek_chunked, sizeof(ngx_http_chunked_t));

    if (ngx_http_claude_relay_bodiless(u, ctx)) {
        u->keepalive = !u->headers_in.connection_close;
        ctx->peek_end = 1;
    }

    type = u->headers_in.content_type;

    ctx->stream = (type && (ngx_http_claude_relay_event_type(&type->value)
                            || ngx_http_claude_relay_frames_type(ctx,
                                                             &type->value)));
    ctx->length = u->headers_in.content_length_n;

    ngx_http_claude_relay_read_limits(r, ctx);

    ngx_http_claude_relay_answer_anew(ctx);

    if (ctx->route.op == NCR_OP_SOCKET && status < 300) {

        if (status != NGX_HTTP_SWITCHING_PROTOCOLS
            || !ngx_http_claude_relay_socket_agreed(r))
        {
            return ngx_http_claude_relay_garbage(r, ctx, "handshake");
        }

        rc = ngx_http_claude_relay_commit(r, ctx);

        return (rc == NGX_OK) ? ngx_http_claude_relay_socket_start(r, ctx)
                              : rc;
    }

    if (ngx_http_claude_relay_translate_init(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (status >= 300 && status != NGX_HTTP_NOT_MODIFIED) {

        ctx->step = ngx_http_claude_relay_peek;
        rc = ngx_http_claude_relay_peek(r);

        if (rc == NGX_AGAIN) {

            /* the header was waited for long enough */

            ngx_add_timer(u->peer.connection->read,
                          ngx_min(u->conf->read_timeout,
                                  NGX_HTTP_CLAUDE_RELAY_BODY_WAIT));
        }

        return rc;
    }

    if (ctx->stream && ncr_op_is(ctx->route.op, NCR_OP_EVENTS)
        && (!ctx->encoded || ctx->inflate))
    {
        ctx->step = ngx_http_claude_relay_peek;
        rc = ngx_http_claude_relay_peek(r);

        /* who waits for one JSON waits for all of it anyway */

        if (rc == NGX_AGAIN && !ctx->fold) {
            ngx_http_claude_relay_hold(r, ctx);
        }

        return rc;
    }

    return ngx_http_claude_relay_commit(r, ctx);
}


/*
 * The first event is held back in bounded time as well: a client must not be
 * left without a byte because an upstream that has said 200 takes its time.
 */

static void
ngx_http_claude_relay_hold(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_msec_t                         hold;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    hold = NGX_HTTP_CLAUDE_RELAY_HOLD;

    if (rlcf->heartbeat && rlcf->heartbeat < hold) {
        hold = rlcf->heartbeat;
    }

    ctx->beat.handler = ngx_http_claude_relay_hold_handler;
    ctx->beat.data = ctx;
    ctx->beat.log = r->connection->log;

    ngx_add_timer(&ctx->beat, hold);
}


/*
 * nginx asks process_header() only when it has read something; so it reads
 * the last byte once more, which stands in the buffer already.
 */

static void
ngx_http_claude_relay_hold_handler(ngx_event_t *ev)
{
    ngx_connection_t             *c, *pc;
    ngx_http_request_t           *r;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    u = r->upstream;
    c = r->connection;
    pc = u->peer.connection;

    ctx->held = 1;
    ctx->recv = pc->recv;

    pc->recv = ngx_http_claude_relay_hold_recv;
    u->buffer.last--;
    u->state->bytes_received--;

    u->read_event_handler(r, u);

    ngx_http_run_posted_requests(c);
}


static ssize_t
ngx_http_claude_relay_hold_recv(ngx_connection_t *c, u_char *buf, size_t size)
{
    ngx_http_request_t           *r;
    ngx_http_claude_relay_ctx_t  *ctx;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    c->recv = ctx->recv;

    return 1;
}


static void
ngx_http_claude_relay_read_limits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t         name;
    ncr_msec_t        now;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;
    ncr_platform_t   *platform;

    now = ngx_http_claude_relay_now();
    platform = ctx->account->platform;

    ncr_limits_reset(&ctx->limits);
    ctx->encoded = 0;
    ctx->named = 0;
    ctx->inflate = NULL;
    ctx->hop = NULL;
    ctx->provider_id = NULL;

    part = &r->upstream->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        name.data = h[i].lowcase_key;
        name.len = h[i].key.len;

        if (ncr_str_eq(&name, "x-request-id")) {
            ctx->named = 1;

            /* OpenAI's; others name theirs "request-id" */

            if (ctx->provider_id == NULL) {
                ctx->provider_id = &h[i];
            }

        } else if (ncr_str_eq(&name, "request-id")) {
            ctx->provider_id = &h[i];

        } else if (name.len > 0 && (name.data[0] == 'a' || name.data[0] == 'r'
                             || name.data[0] == 'x'))
        {
            if (platform->limits) {
                platform->limits(&ctx->limits, &name, ncr(&h[i].value), now);

            } else {
                ncr_limits_header(&ctx->limits, &name, ncr(&h[i].value), now);
            }

        } else if (ncr_str_eq(&name, "connection")) {

            if (ngx_http_claude_relay_names_hop(&h[i].value)) {
                ctx->hop = &h[i].value;
            }

        } else if (ncr_str_eq(&name, "content-encoding")
                   && !ncr_str_caseeq(ncr(&h[i].value), "identity"))
        {
            ctx->encoded = 1;

            /* unreadable: it passes by unseen */
            (void) ngx_http_claude_relay_inflate_init(r, ctx, &h[i].value);
        }
    }
}


/* called again for each read while it returns NGX_AGAIN */

static ngx_int_t
ngx_http_claude_relay_peek(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    rc = ctx->peek_end ? NGX_DONE : ngx_http_claude_relay_peek_body(r, ctx);

    if (rc == NGX_DECLINED) {
        return ngx_http_claude_relay_garbage(r, ctx, "body");
    }

    if (rc == NGX_ERROR) {
        return ngx_http_claude_relay_garbage(r, ctx, "chunked body");
    }

    if (rc == NGX_DONE) {
        ctx->peek_end = 1;
        u->keepalive = !u->headers_in.connection_close
                       && ctx->peek == u->buffer.last;
    }

    if (u->headers_in.status_n >= 300) {

        if (rc == NGX_AGAIN && u->buffer.last != u->buffer.end) {
            return NGX_AGAIN;
        }

        return ngx_http_claude_relay_settle(r, ctx, NCR_REPLY_HTTP);
    }

    switch (ctx->answer->state) {

    case NCR_ANSWER_FAILED:
        return ngx_http_claude_relay_settle(r, ctx, NCR_REPLY_STREAM_ERROR);

    case NCR_ANSWER_STARTED:
    case NCR_ANSWER_COMPLETE:
        return ngx_http_claude_relay_commit(r, ctx);

    case NCR_ANSWER_NOTHING:
        break;
    }

    if (rc == NGX_DONE) {

        /* a stream without a single event is a broken one */

        return ngx_http_claude_relay_settle(r, ctx, NCR_REPLY_RESET);
    }

    if (u->buffer.last == u->buffer.end || ctx->held) {
        return ngx_http_claude_relay_commit(r, ctx);
    }

    return NGX_AGAIN;
}


/* looks at what came since the last time; NGX_DONE at the body's end */

static ngx_int_t
ngx_http_claude_relay_peek_body(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    size_t                n;
    ngx_buf_t             b;
    ngx_int_t             rc;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (!u->headers_in.chunked) {

        n = u->buffer.last - ctx->peek;

        if (ctx->peek_left >= 0 && (off_t) n > ctx->peek_left) {
            n = (size_t) ctx->peek_left;
        }

        rc = ngx_http_claude_relay_peek_bytes(r, ctx, ctx->peek, n);
        if (rc != NGX_OK) {
            return rc;
        }

        ctx->peek += n;

        if (ctx->peek_left < 0) {
            return NGX_AGAIN;
        }

        ctx->peek_left -= n;

        return ctx->peek_left ? NGX_AGAIN : NGX_DONE;
    }

    ngx_memzero(&b, sizeof(ngx_buf_t));

    b.pos = ctx->peek;
    b.last = u->buffer.last;
    b.temporary = 1;

    for ( ;; ) {

        rc = ngx_http_claude_relay_parse_chunked(r, &b, &ctx->peek_chunked);

        if (rc != NGX_OK) {
            ctx->peek = b.pos;
            return rc;
        }

        n = ngx_min((off_t) (b.last - b.pos), ctx->peek_chunked.size);

        rc = ngx_http_claude_relay_peek_bytes(r, ctx, b.pos, n);

        if (rc != NGX_OK) {
            return rc;
        }

        b.pos += n;
        ctx->peek_chunked.size -= n;
    }
}


static ngx_int_t
ngx_http_claude_relay_peek_bytes(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, size_t n)
{
    if (n == 0) {
        return NGX_OK;
    }

    if (r->upstream->headers_in.status_n < 300) {

        ctx->npeek_body += n;

        if (ctx->translate && !ctx->fold) {
            return ngx_http_claude_relay_translate_peek(ctx, p, n);
        }

        ngx_http_claude_relay_look(ctx, p, n);
        return NGX_OK;
    }

    if (ctx->peek_body == NULL) {
        ctx->peek_body = ngx_pnalloc(r->pool,
                                     r->upstream->conf->buffer_size);
        if (ctx->peek_body == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_memcpy(ctx->peek_body + ctx->npeek_body, p, n);
    ctx->npeek_body += n;

    return NGX_OK;
}


/* the platform's judgement of what is known of this attempt by now */

void
ngx_http_claude_relay_judge(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_reply_kind_e kind)
{
    u_char                              buf[1024];
    ncr_out_t                           out;
    ncr_str_t                           text;
    ncr_reply_t                         reply;
    ngx_http_upstream_t                *u;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    u = r->upstream;

    ngx_memzero(&reply, sizeof(ncr_reply_t));

    reply.kind = kind;
    reply.limits = &ctx->limits;
    reply.now = ngx_http_claude_relay_now();
    reply.family = ctx->family;
    reply.now = ngx_http_claude_relay_now();
    reply.background = ctx->background;

    if (kind == NCR_REPLY_HTTP) {
        reply.status = u->headers_in.status_n;

        if (u->headers_in.content_type) {
            reply.content_type = *ncr(&u->headers_in.content_type->value);
        }

        if (!ctx->encoded) {
            reply.body.data = ctx->peek_body;
            reply.body.len = ctx->peek_body ? ctx->npeek_body : 0;
        }

    } else if (kind == NCR_REPLY_STREAM_ERROR) {

        /* what an error event says, in the form of an error's body */

        ncr_out_init(&out, buf, sizeof(buf));
        ncr_out_text(&out, "{\"type\":\"error\",\"error\":{\"type\":\"");
        ncr_out_text(&out, ctx->answer->error_type);
        ncr_out_text(&out, "\",\"message\":\"");
        text.data = (u_char *) ctx->answer->error_message;
        text.len = ngx_strlen(text.data);
        ncr_out_json(&out, &text);
        ncr_out_text(&out, "\"}}");

        reply.status = u->headers_in.status_n;
        reply.body.data = buf;
        reply.body.len = out.overflow ? 0 : out.last - out.start;

    } else if (!ctx->headers_done) {
        ncr_limits_reset(&ctx->limits);
    }

    ngx_memzero(&ctx->verdict, sizeof(ncr_verdict_t));

    ctx->account->platform->classify(&reply, &rmcf->rests, &ctx->verdict);

    /* counting has limits of its own, apart from those of messages (F.2) */

    if (ncr_op_is(ctx->route.op, NCR_OP_FREE)
        && ctx->verdict.class == NCR_CLASS_THROTTLED)
    {
        ctx->verdict.rest = NCR_REST_NONE;
    }

    ctx->judged = 1;
}


/*
 * An answer that is not simply good: another account, or this answer?
 * NGX_OK commits it, NGX_HTTP_UPSTREAM_INVALID_HEADER goes on.
 */

static ngx_int_t
ngx_http_claude_relay_settle(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_reply_kind_e kind)
{
    ngx_uint_t  status;

    ngx_http_claude_relay_judge(r, ctx, kind);

    if (kind != NCR_REPLY_HTTP && kind != NCR_REPLY_STREAM_ERROR) {

        /* nothing here that could be given to a client */

        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }

    status = r->upstream->headers_in.status_n;

    if (ngx_http_claude_relay_decide(ctx, status) == NGX_OK) {

        if (kind == NCR_REPLY_HTTP) {
            ngx_http_claude_relay_save(r, ctx);
        }

        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }

    if (ctx->route.op == NCR_OP_SOCKET
        || (ctx->account->sanitize && !ngx_http_claude_relay_known_text(ctx)))
    {

        /* an answer of our own takes its place */

        ngx_http_claude_relay_save(r, ctx);
        ctx->settled = 1;

        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }

    if (kind == NCR_REPLY_HTTP && ngx_http_claude_relay_translates_errors(ctx))
    {
        ngx_http_claude_relay_save(r, ctx);

        if (ctx->saved.translated) {
            ctx->settled = 1;
            return NGX_HTTP_UPSTREAM_INVALID_HEADER;
        }
    }

    return ngx_http_claude_relay_commit(r, ctx);
}


static ngx_int_t
ngx_http_claude_relay_commit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                          value;
    ngx_http_upstream_t               *u;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    u = r->upstream;

    if (ctx->beat.timer_set) {
        ngx_del_timer(&ctx->beat);
    }

    ctx->committed = 1;

    ngx_http_claude_relay_live_answer(ctx);

    ctx->ttft = ngx_current_msec - ctx->started;
    ctx->has_ttft = 1;

    if (ctx->judged) {
        ctx->error = ctx->verdict.class;

    } else {
        ctx->error = NCR_CLASS_OK;
    }

    /* a failed attempt was told to the pool when it was decided on */

    if (!ctx->judged || !ctx->verdict.retry) {
        ngx_http_claude_relay_succeeded(ctx, u->headers_in.status_n);
    }

    if (ngx_http_claude_relay_translate_commit(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    /* from now on silence is measured between reads */

    u->conf = &rlcf->streaming;

    if (ctx->stream && !ctx->fold) {

        /* a compressor would hold events back */

        r->gzip_tested = 1;
        r->gzip_ok = 0;

        ngx_str_set(&value, "no");

        if (ngx_http_claude_relay_add_header(r, "X-Accel-Buffering", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->route.op == NCR_OP_BATCHES && !ctx->encoded && !ctx->head
        && u->headers_in.status_n == NGX_HTTP_OK
        && ngx_http_claude_relay_json_type(u)
        && ngx_http_claude_relay_results_init(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_common_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_retry_after(r, ctx,
                                             &u->headers_in.headers);
}


/* results themselves come as JSONL, and are nobody's to edit */

static ngx_uint_t
ngx_http_claude_relay_json_type(ngx_http_upstream_t *u)
{
    ngx_str_t  *type;

    if (u->headers_in.content_type == NULL) {
        return 0;
    }

    type = &u->headers_in.content_type->value;

    return type->len >= sizeof("application/json") - 1
           && ngx_strncasecmp(type->data, (u_char *) "application/json",
                              sizeof("application/json") - 1) == 0
           && (type->len == sizeof("application/json") - 1
               || type->data[sizeof("application/json") - 1] == ';'
               || type->data[sizeof("application/json") - 1] == ' ');
}


/*
 * A limit is passed on unchanged, but another account of the pool may be
 * back sooner than this one told: then that is what the client is told.
 */

static ngx_int_t
ngx_http_claude_relay_retry_after(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_list_t *headers)
{
    u_char           *p;
    int64_t           told, soonest;
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (!ctx->judged || !ctx->verdict.retry || ctx->soonest_any == 0
        || (ctx->verdict.class != NCR_CLASS_LIMITED
            && ctx->verdict.class != NCR_CLASS_MODEL_LIMITED
            && ctx->verdict.class != NCR_CLASS_THROTTLED
            && ctx->verdict.class != NCR_CLASS_OVERLOADED))
    {
        return NGX_OK;
    }

    soonest = (ctx->soonest_any - ngx_http_claude_relay_now() + 999) / 1000;
    soonest = ngx_max(soonest, 1);

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%L", soonest) - p;

    part = &headers->part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (!ncr_str_caseeq(ncr(&h[i].key), "retry-after")) {
            continue;
        }

        if (ncr_str_int(ncr(&h[i].value), &told) == NCR_OK && told > soonest) {
            h[i].value = value;
        }

        return NGX_OK;
    }

    if (ctx->verdict.rest != NCR_REST_UNTIL) {
        return NGX_OK;
    }

    return ngx_http_claude_relay_add_header(r, "Retry-After", &value);
}


/* texts that clients match to help themselves (D.3) are worth more than the
 * name of the vendor that wrote them */

static ngx_uint_t
ngx_http_claude_relay_known_text(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t     body;
    const char  **text;

    static const char  *texts[] = {
        "prompt is too long", "exceed context limit",
        "invalid `signature` in `thinking` block", "cannot be modified",
        "tool_use_id", "tool_use ids were found",
        "extra inputs are not permitted", "capability_rejected:", NULL
    };

    body.data = ctx->peek_body;
    body.len = ctx->peek_body ? ctx->npeek_body : 0;

    for (text = texts; *text; text++) {
        if (ncr_str_contains(&body, *text)) {
            return 1;
        }
    }

    return 0;
}


/* headers of the hop, which an answer given from memory makes anew */

static ngx_uint_t
ngx_http_claude_relay_framing(ngx_table_elt_t *h)
{
    const char  **name;

    static const char  *names[] = {
        "content-length", "transfer-encoding", "connection", "keep-alive",
        "date", "trailer", "upgrade", NULL
    };

    for (name = names; *name; name++) {
        if (ncr_str_caseeq(ncr(&h->key), *name)) {
            return 1;
        }
    }

    return 0;
}


/* keeps a failed answer, to be given unchanged if no account is left */

void
ngx_http_claude_relay_save(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_upstream_t            *u;
    ngx_http_claude_relay_saved_t  *s;

    u = r->upstream;
    s = &ctx->saved;

    /* headers and status line lie in the request's pool, they last */

    s->status = u->headers_in.status_n;
    s->status_line = u->headers_in.status_line;
    s->headers = u->headers_in.headers;

    if (s->headers.last == &u->headers_in.headers.part) {
        s->headers.last = &s->headers.part;
    }

    s->retry_after = ctx->limits.retry_after;
    s->cut = !ctx->peek_end;
    s->named = ctx->named;
    s->sanitize = (ctx->attempt_account->sanitize
                   && !ngx_http_claude_relay_known_text(ctx));

    if (s->status < 300) {

        /* an error event in a 200 */

        s->status = (ctx->verdict.class == NCR_CLASS_OVERLOADED) ? 529
                    : (ctx->verdict.class == NCR_CLASS_THROTTLED
                       || ctx->verdict.class == NCR_CLASS_LIMITED) ? 429
                    : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->body.len = ctx->peek_body ? ctx->npeek_body : 0;
    s->body.data = ctx->peek_body;
    s->translated = 0;

    (void) ngx_http_claude_relay_translate_error(r, ctx, s);

    /* the next attempt peeks into a buffer of its own */
    ctx->peek_body = NULL;

    s->set = 1;
}


/* the kept answer: its status, headers and body, by the same rules */

ngx_int_t
ngx_http_claude_relay_send_saved(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                         i;
    ngx_list_part_t                   *part;
    ngx_table_elt_t                   *h, *ho;
    ngx_http_claude_relay_saved_t     *s;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    s = &ctx->saved;

    if (ngx_http_claude_relay_retry_after(r, ctx, &s->headers) != NGX_OK) {
        return NGX_ERROR;
    }

    part = &s->headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (ngx_hash_find(&rlcf->upstream.hide_headers_hash, h[i].hash,
                          h[i].lowcase_key, h[i].key.len)
            || ngx_http_claude_relay_framing(&h[i]))
        {
            continue;
        }

        if (s->translated
            && (ncr_str_caseeq(ncr(&h[i].key), "content-type")
                || ncr_str_caseeq(ncr(&h[i].key), "content-encoding")))
        {
            ngx_str_set(&r->headers_out.content_type, "application/json");
            r->headers_out.content_type_len = r->headers_out.content_type.len;
            continue;
        }

        if (ncr_str_caseeq(ncr(&h[i].key), "content-type")) {
            r->headers_out.content_type = h[i].value;
            r->headers_out.content_type_len = h[i].value.len;
            continue;
        }

        ho = ngx_list_push(&r->headers_out.headers);
        if (ho == NULL) {
            return NGX_ERROR;
        }

        *ho = h[i];

#if (nginx_version >= 1023000)
        ho->next = NULL;
#endif
    }

    ctx->own_reply = 1;
    ctx->named = s->named;

    if (ngx_http_claude_relay_common_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.status = s->status;
    r->headers_out.status_line = s->status_line;
    r->headers_out.content_length_n = s->body.len;

    return ngx_http_claude_relay_output(r, &s->body);
}


/* trailers are not passed on; the argument for them came with 1.27.2 */

ngx_int_t
ngx_http_claude_relay_parse_chunked(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_http_chunked_t *chunked)
{
#if (nginx_version >= 1027002)
    return ngx_http_parse_chunked(r, b, chunked, 0);
#else
    return ngx_http_parse_chunked(r, b, chunked);
#endif
}
