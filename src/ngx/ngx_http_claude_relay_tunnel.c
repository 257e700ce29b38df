
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A connection to an egress proxy becomes one to the target: the handshake
 * of ncr_proxy.c over nginx's events.  The connector's deadline bounds it.
 */


#include "ngx_http_claude_relay.h"


static void ngx_http_claude_relay_tunnel_handler(ngx_event_t *ev);
static void ngx_http_claude_relay_tunnel_run(
    ngx_http_claude_relay_dial_t *dial);
static ngx_int_t ngx_http_claude_relay_tunnel_send(
    ngx_http_claude_relay_dial_t *dial, ngx_connection_t *c);
static ngx_int_t ngx_http_claude_relay_tunnel_recv(
    ngx_http_claude_relay_dial_t *dial, ngx_connection_t *c);


void
ngx_http_claude_relay_tunnel(ngx_http_claude_relay_dial_t *dial)
{
    ncr_proxy_t                     *px;
    ngx_connection_t                *c;
    ngx_http_claude_relay_target_t  *t;

    c = dial->peer.connection;
    t = dial->target;

    dial->step = "during the proxy's handshake";
    c->log->action = "opening a tunnel through a proxy";

    if (dial->pool == NULL) {
        dial->pool = ngx_create_pool(NGX_MIN_POOL_SIZE, dial->log);
        if (dial->pool == NULL) {
            ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
            return;
        }
    }

    px = ngx_palloc(dial->pool, sizeof(ncr_proxy_t));
    if (px == NULL) {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    dial->tunnel = px;

    if (ncr_proxy_start(px, &t->proxy->url, ncr(&t->host), t->port)
        != NCR_OK)
    {
        ngx_http_claude_relay_dial_log(dial, 0, px->error);
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    c->read->handler = ngx_http_claude_relay_tunnel_handler;
    c->write->handler = ngx_http_claude_relay_tunnel_handler;

    ngx_http_claude_relay_tunnel_run(dial);
}


static void
ngx_http_claude_relay_tunnel_handler(ngx_event_t *ev)
{
    ngx_connection_t  *c;

    c = ev->data;

    ngx_http_claude_relay_tunnel_run(c->data);
}


static void
ngx_http_claude_relay_tunnel_run(ngx_http_claude_relay_dial_t *dial)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = dial->peer.connection;

    for ( ;; ) {

        rc = ngx_http_claude_relay_tunnel_send(dial, c);

        if (rc == NGX_OK) {
            rc = ngx_http_claude_relay_tunnel_recv(dial, c);
        }

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc == NGX_ERROR) {
            ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
            return;
        }

        if (rc == NGX_DONE) {
            ngx_http_claude_relay_dial_opened(dial);
            return;
        }

        /* rc == NGX_OK: a step further */
    }
}


static ngx_int_t
ngx_http_claude_relay_tunnel_send(ngx_http_claude_relay_dial_t *dial,
    ngx_connection_t *c)
{
    ssize_t     n;
    ncr_str_t  *out;

    out = &dial->tunnel->out;

    while (out->len) {

        n = c->send(c, out->data, out->len);

        if (n == NGX_AGAIN) {
            return (ngx_handle_write_event(c->write, 0) == NGX_OK)
                   ? NGX_AGAIN : NGX_ERROR;
        }

        if (n <= 0) {
            ngx_http_claude_relay_dial_log(dial, 0,
                                           "proxy broke the connection");
            return NGX_ERROR;
        }

        out->data += n;
        out->len -= n;
    }

    return NGX_OK;
}


/* NGX_DONE: the tunnel is open.  Not a byte of what follows is read here */

static ngx_int_t
ngx_http_claude_relay_tunnel_recv(ngx_http_claude_relay_dial_t *dial,
    ngx_connection_t *c)
{
    ssize_t       n;
    ngx_err_t     err;
    ncr_int_t     rc;
    ncr_proxy_t  *px;
    u_char        buf[NCR_PROXY_BUF];

    px = dial->tunnel;

    do {
        n = recv(c->fd, buf, ngx_min(px->want, sizeof(buf)), MSG_PEEK);
        err = (n == -1) ? ngx_socket_errno : 0;

    } while (err == NGX_EINTR);

    if (err == NGX_EAGAIN) {
        c->read->ready = 0;

        return (ngx_handle_read_event(c->read, 0) == NGX_OK)
               ? NGX_AGAIN : NGX_ERROR;
    }

    if (err) {
        ngx_http_claude_relay_dial_log(dial, err,
                                       "proxy broke the connection");
        return NGX_ERROR;
    }

    rc = ncr_proxy_feed(px, buf, n);

    if (rc == NCR_BAD) {
        ngx_http_claude_relay_dial_log(dial, 0, px->error);
        return NGX_ERROR;
    }

    if (px->used
        && recv(c->fd, buf, px->used, 0) != (ssize_t) px->used)
    {
        return NGX_ERROR;
    }

    return (rc == NCR_OK) ? NGX_DONE : NGX_OK;
}
