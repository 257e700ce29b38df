
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* A WebSocket that is relayed: bytes and frames (RFC 6455). */


#include "ngx_http_claude_relay_socket.h"


static ssize_t ngx_http_claude_relay_socket_client_recv(ngx_connection_t *c,
    u_char *buf, size_t size);
static ngx_int_t ngx_http_claude_relay_socket_client(
    ngx_http_claude_relay_socket_t *s, u_char *p, u_char *last);
static ngx_int_t ngx_http_claude_relay_socket_whole(
    ngx_http_claude_relay_socket_t *s);
static ssize_t ngx_http_claude_relay_socket_upstream_recv(ngx_connection_t *c,
    u_char *buf, size_t size);
static ssize_t ngx_http_claude_relay_socket_upstream_read(
    ngx_http_claude_relay_socket_t *s, ngx_connection_t *c, u_char *buf,
    size_t size);
static ngx_int_t ngx_http_claude_relay_socket_upstream(
    ngx_http_claude_relay_socket_t *s, u_char **p, u_char *last);
static ngx_int_t ngx_http_claude_relay_bytes_add(
    ngx_http_claude_relay_bytes_t *b, const u_char *p, size_t len);
static size_t ngx_http_claude_relay_bytes_take(
    ngx_http_claude_relay_bytes_t *b, u_char *buf, size_t size);
static void ngx_http_claude_relay_bytes_free(
    ngx_http_claude_relay_bytes_t *b);


#define ngx_http_claude_relay_bytes_len(b)  ((size_t) ((b)->last - (b)->pos))


/* called when the header is about to go out, in front of nginx's upgrade */

ngx_int_t
ngx_http_claude_relay_socket_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char                            *p;
    ngx_buf_t                         *b;
    ngx_str_t                          value;
    ngx_connection_t                  *c, *pc;
    ngx_http_upstream_t               *u;
    ngx_http_claude_relay_socket_t    *s;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    /* that of the upstream was about its own hop */

    ctx->hop = NULL;
    ngx_str_set(&value, "websocket");

    if (ngx_http_claude_relay_add_header(r, "Upgrade", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    u = r->upstream;
    c = r->connection;
    pc = u->peer.connection;

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_socket_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    s->ctx = ctx;

    ncr_ws_init(&s->client);
    ncr_ws_init(&s->upstream);

    s->client.masked = 1;
    s->client.max = (uint64_t) rlcf->max_body;

    /* what came with the headers lies in buffers that nginx writes itself */

    b = r->header_in;

    if (ngx_http_claude_relay_bytes_add(&s->early, b->pos, b->last - b->pos)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    b->pos = b->last;

    ctx->socket = s;

    for (p = u->buffer.pos; p != u->buffer.last; /* void */) {
        if (ngx_http_claude_relay_socket_upstream(s, &p, u->buffer.last)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    s->client_recv = c->recv;
    s->upstream_recv = pc->recv;
    s->upstream_connection = pc;

    c->recv = ngx_http_claude_relay_socket_client_recv;
    pc->recv = ngx_http_claude_relay_socket_upstream_recv;

    if (ngx_http_claude_relay_bytes_len(&s->early)) {
        c->read->ready = 1;
    }

    /* the handshake is nobody's to pay for: turns are */

    ctx->completed = 1;
    ctx->booked = 1;

    ngx_http_claude_relay_trail(ctx, NGX_HTTP_SWITCHING_PROTOCOLS,
                                NCR_CLASS_OK);

    u->keepalive = 0;
    u->upgrade = 1;

    return NGX_OK;
}


/* an extension would be one that nobody asked for, and hide the frames */

ngx_uint_t
ngx_http_claude_relay_socket_agreed(ngx_http_request_t *r)
{
    ngx_uint_t        i, upgrade, extended;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    upgrade = 0;
    extended = 0;

    for (part = &r->upstream->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ncr_str_caseeq(ncr(&h[i].key), "upgrade")) {
                upgrade |= ncr_str_caseeq(ncr(&h[i].value), "websocket");

            } else if (ncr_str_caseeq(ncr(&h[i].key),
                                      "sec-websocket-extensions"))
            {
                extended = 1;
            }
        }
    }

    return upgrade && !extended;
}


/* from forget(): whatever it was that has ended; safe to call twice */

void
ngx_http_claude_relay_socket_end(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_connection_t                *c;
    ngx_http_claude_relay_socket_t  *s;

    s = ctx->socket;

    if (s == NULL || s->ended) {
        return;
    }

    s->ended = 1;

    c = ctx->request->connection;

    if (c->recv == ngx_http_claude_relay_socket_client_recv) {
        c->recv = s->client_recv;
    }

    ngx_http_claude_relay_socket_turn_cut(s);

    ngx_http_claude_relay_bytes_free(&s->message);
    ngx_http_claude_relay_bytes_free(&s->early);
    ngx_http_claude_relay_bytes_free(&s->to_upstream);
    ngx_http_claude_relay_bytes_free(&s->to_client);
    ngx_http_claude_relay_bytes_free(&s->rest);
}


/*
 * nginx wants what the client has sent: it gets frames of ours.  While some
 * of them wait, nothing more is read.
 */

static ssize_t
ngx_http_claude_relay_socket_client_recv(ngx_connection_t *c, u_char *buf,
    size_t size)
{
    size_t                           n;
    ssize_t                          rc;
    ngx_http_request_t              *r;
    ngx_http_claude_relay_ctx_t     *ctx;
    ngx_http_claude_relay_socket_t  *s;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    s = ctx->socket;

    for ( ;; ) {

        n = ngx_http_claude_relay_bytes_take(&s->to_upstream, buf, size);

        if (n) {
            c->read->ready = 1;
            return n;
        }

        if (s->closing) {
            c->read->ready = 0;
            return NGX_AGAIN;
        }

        rc = ngx_http_claude_relay_bytes_take(&s->early, s->in,
                                        NGX_HTTP_CLAUDE_RELAY_SOCKET_READ);

        if (rc == 0) {
            rc = s->client_recv(c, s->in, NGX_HTTP_CLAUDE_RELAY_SOCKET_READ);

            if (rc <= 0) {
                return rc;
            }
        }

        if (ngx_http_claude_relay_socket_client(s, s->in, s->in + rc)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_http_claude_relay_socket_client(ngx_http_claude_relay_socket_t *s,
    u_char *p, u_char *last)
{
    ngx_int_t  rc;

    while (!s->closing) {

        rc = NGX_OK;

        switch (ncr_ws_next(&s->client, &p, last)) {

        case NCR_WS_MORE:
            return NGX_OK;

        case NCR_WS_DATA:

            if (s->client.opcode == NCR_WS_TEXT) {
                rc = ngx_http_claude_relay_bytes_add(&s->message,
                                                     s->client.data.data,
                                                     s->client.data.len);
            }

            break;

        case NCR_WS_MESSAGE:
            rc = ngx_http_claude_relay_socket_whole(s);
            break;

        case NCR_WS_FRAME:
            rc = ngx_http_claude_relay_socket_pass(s, s->client.opcode,
                                                   s->client.control,
                                                   s->client.ncontrol);
            break;

        case NCR_WS_BAD:
            rc = ngx_http_claude_relay_socket_close(s, s->client.code,
                                                    s->client.error);
            break;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_socket_whole(ngx_http_claude_relay_socket_t *s)
{
    ngx_int_t  rc;

    if (s->client.opcode != NCR_WS_TEXT) {
        return ngx_http_claude_relay_socket_close(s, NCR_WS_UNSUPPORTED,
                                                  "messages are texts here");
    }

    rc = ngx_http_claude_relay_socket_message(s);

    ngx_http_claude_relay_bytes_free(&s->message);

    return rc;
}


/* nginx wants what the upstream has sent, or what we have to say */

static ssize_t
ngx_http_claude_relay_socket_upstream_recv(ngx_connection_t *c, u_char *buf,
    size_t size)
{
    size_t                           n;
    u_char                          *p;
    ssize_t                          rc;
    ngx_http_request_t              *r;
    ngx_http_claude_relay_ctx_t     *ctx;
    ngx_http_claude_relay_socket_t  *s;

    r = c->data;
    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    s = ctx->socket;

    if (ncr_ws_boundary(&s->upstream)) {

        n = ngx_http_claude_relay_bytes_take(&s->to_client, buf, size);

        if (n) {
            c->read->ready = 1;
            return n;
        }

        if (s->closing) {

            /* the last word is out: so is this */

            c->read->ready = 0;
            c->read->eof = 1;
            return 0;
        }
    }

    rc = ngx_http_claude_relay_socket_upstream_read(s, c, buf, size);

    if (rc <= 0) {
        return rc;
    }

    p = buf;

    if (ngx_http_claude_relay_socket_upstream(s, &p, buf + rc) != NGX_OK) {
        return NGX_ERROR;
    }

    if (p != buf + rc) {

        /* something of ours comes here; what is left comes behind it */

        n = buf + rc - p;

        if (s->rest.pos != s->rest.start) {
            s->rest.pos -= n;

        } else if (ngx_http_claude_relay_bytes_add(&s->rest, p, n) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_claude_relay_bytes_len(&s->rest)
        || ngx_http_claude_relay_bytes_len(&s->to_client))
    {
        c->read->ready = 1;
    }

    if (ctx->live) {
        ctx->live->bytes += p - buf;
    }

    return p - buf;
}


static ssize_t
ngx_http_claude_relay_socket_upstream_read(ngx_http_claude_relay_socket_t *s,
    ngx_connection_t *c, u_char *buf, size_t size)
{
    size_t  n;

    n = ngx_min(size, ngx_http_claude_relay_bytes_len(&s->rest));

    if (n) {
        ngx_memcpy(buf, s->rest.pos, n);
        s->rest.pos += n;
        return n;
    }

    s->rest.pos = s->rest.start;
    s->rest.last = s->rest.start;

    return s->upstream_recv(c, buf, size);
}


/* looks at what passes; *p ends behind a message where we have something to
 * say */

static ngx_int_t
ngx_http_claude_relay_socket_upstream(ngx_http_claude_relay_socket_t *s,
    u_char **p, u_char *last)
{
    for ( ;; ) {

        switch (ncr_ws_next(&s->upstream, p, last)) {

        case NCR_WS_MORE:
            return NGX_OK;

        case NCR_WS_DATA:

            if (s->upstream.opcode == NCR_WS_TEXT) {
                ngx_http_claude_relay_socket_event(s, s->upstream.data.data,
                                                   s->upstream.data.len);
            }

            break;

        case NCR_WS_MESSAGE:

            if (ngx_http_claude_relay_socket_event_end(s) != NGX_OK) {
                return NGX_ERROR;
            }

            break;

        case NCR_WS_FRAME:
            break;

        case NCR_WS_BAD:

            /* nothing can be put in there any more */

            ngx_log_error(NGX_LOG_ERR, s->ctx->request->connection->log, 0,
                          "account \"%V\": upstream broke the WebSocket: %s",
                          &s->ctx->account->name, s->upstream.error);
            return NGX_ERROR;
        }

        if (ngx_http_claude_relay_bytes_len(&s->to_client)
            && ncr_ws_boundary(&s->upstream))
        {
            return NGX_OK;
        }
    }
}


ngx_int_t
ngx_http_claude_relay_socket_say(ngx_http_claude_relay_socket_t *s, u_char *p,
    size_t len)
{
    size_t  n;
    u_char  head[NCR_WS_HEAD];

    n = ncr_ws_head(head, NCR_WS_TEXT, len, NULL);

    if (ngx_http_claude_relay_bytes_add(&s->to_client, head, n) != NGX_OK
        || ngx_http_claude_relay_bytes_add(&s->to_client, p, len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (s->upstream_connection) {

        /* it goes out where the upstream's bytes do */

        s->upstream_connection->read->ready = 1;
        ngx_post_event(s->upstream_connection->read, &ngx_posted_events);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_socket_close(ngx_http_claude_relay_socket_t *s,
    ngx_uint_t code, const char *reason)
{
    size_t  n, len;
    u_char  head[NCR_WS_HEAD], text[NCR_WS_CONTROL];

    if (s->closing) {
        return NGX_OK;
    }

    s->closing = 1;

    len = ncr_ws_close(text, code, reason);
    n = ncr_ws_head(head, NCR_WS_CLOSE, len, NULL);

    ngx_log_error(NGX_LOG_INFO, s->ctx->request->connection->log, 0,
                  "WebSocket closed with %ui: %s", code, reason);

    if (ngx_http_claude_relay_bytes_add(&s->to_client, head, n) != NGX_OK
        || ngx_http_claude_relay_bytes_add(&s->to_client, text, len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (s->upstream_connection) {
        s->upstream_connection->read->ready = 1;
        ngx_post_event(s->upstream_connection->read, &ngx_posted_events);
    }

    return NGX_OK;
}


/* p is masked in place: nobody needs it after this */

ngx_int_t
ngx_http_claude_relay_socket_pass(ngx_http_claude_relay_socket_t *s,
    ngx_uint_t opcode, u_char *p, size_t len)
{
    size_t  n;
    u_char  head[NCR_WS_HEAD], mask[4];

    if (RAND_bytes(mask, sizeof(mask)) != 1) {
        return NGX_ERROR;
    }

    n = ncr_ws_head(head, opcode, len, mask);
    ncr_ws_mask(p, len, mask);

    if (ngx_http_claude_relay_bytes_add(&s->to_upstream, head, n) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_bytes_add(&s->to_upstream, p, len);
}


static ngx_int_t
ngx_http_claude_relay_bytes_add(ngx_http_claude_relay_bytes_t *b,
    const u_char *p, size_t len)
{
    size_t   used, size;
    u_char  *start;

    if (len == 0) {
        return NGX_OK;
    }

    if ((size_t) (b->end - b->last) < len) {

        used = ngx_http_claude_relay_bytes_len(b);

        size = ngx_max(2 * used, 4096);
        size = ngx_max(size, used + len);

        start = ngx_alloc(size, ngx_cycle->log);
        if (start == NULL) {
            return NGX_ERROR;
        }

        if (used) {
            ngx_memcpy(start, b->pos, used);
        }

        if (b->start) {
            ngx_free(b->start);
        }

        b->start = start;
        b->pos = start;
        b->last = start + used;
        b->end = start + size;
    }

    b->last = ngx_cpymem(b->last, p, len);

    return NGX_OK;
}


static size_t
ngx_http_claude_relay_bytes_take(ngx_http_claude_relay_bytes_t *b,
    u_char *buf, size_t size)
{
    size_t  n;

    n = ngx_min(size, ngx_http_claude_relay_bytes_len(b));

    if (n == 0) {
        return 0;
    }

    ngx_memcpy(buf, b->pos, n);
    b->pos += n;

    if (b->pos == b->last) {
        ngx_http_claude_relay_bytes_free(b);
    }

    return n;
}


static void
ngx_http_claude_relay_bytes_free(ngx_http_claude_relay_bytes_t *b)
{
    if (b->start) {
        ngx_free(b->start);
    }

    ngx_memzero(b, sizeof(ngx_http_claude_relay_bytes_t));
}
