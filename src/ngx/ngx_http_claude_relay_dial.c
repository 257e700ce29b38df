
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The connector: a target's name to a connection that is ready to be written
 * to, TCP, a tunnel through the account's proxy if it has one, and TLS, under
 * one deadline; and the connections that are kept between requests.  A target
 * belongs to one account, so two accounts never share a connection or a TLS
 * session.
 *
 * The stock keepalive module matches connections by address only, which
 * mixes up names that share an address; hence this one.
 */


#include "ngx_http_claude_relay.h"


/* a kept connection; lies in the connection's own pool */

typedef struct {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_target_t    *target;
    ngx_connection_t                  *connection;
} ngx_http_claude_relay_idle_t;


static void ngx_http_claude_relay_target_cleanup(void *data);
static ngx_connection_t *ngx_http_claude_relay_idle_take(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_idle_handler(ngx_event_t *rev);
static void ngx_http_claude_relay_idle_close(
    ngx_http_claude_relay_idle_t *idle);
static void ngx_http_claude_relay_close(ngx_connection_t *c);
static void ngx_http_claude_relay_dial_deadline(ngx_event_t *ev);
static void ngx_http_claude_relay_dial_hop(ngx_http_claude_relay_dial_t *dial);
static ngx_int_t ngx_http_claude_relay_dial_guard(
    ngx_http_claude_relay_dial_t *dial);
static ngx_uint_t ngx_http_claude_relay_dial_private(
    ngx_http_claude_relay_dial_t *dial, ngx_addr_t *addr);
static ngx_int_t ngx_http_claude_relay_dial_resolve(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_resolved(ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_dial_lookup(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_looked(void *data);
static void ngx_http_claude_relay_dial_found(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_addrs(
    ngx_http_claude_relay_dial_t *dial, ngx_resolver_addr_t *found,
    ngx_uint_t n);
static void ngx_http_claude_relay_dial_begin(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_next(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_handler(ngx_event_t *ev);
static void ngx_http_claude_relay_dial_connected(
    ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_tls(ngx_http_claude_relay_dial_t *dial);
static void ngx_http_claude_relay_dial_handshaked(ngx_connection_t *c);
static ngx_int_t ngx_http_claude_relay_dial_verify(
    ngx_http_claude_relay_dial_t *dial, ngx_connection_t *c);
static void ngx_http_claude_relay_save_session(ngx_connection_t *c);
static void ngx_http_claude_relay_dummy_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_socket_error(ngx_connection_t *c);


/* where a connection's target is found while it changes hands */
static int  ngx_http_claude_relay_ssl_index = -1;


/* system bundles, first that exists; Debian, Red Hat, Alpine and BSD */

static char  *ngx_http_claude_relay_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    NULL
};


ngx_int_t
ngx_http_claude_relay_target_init(ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *target)
{
    ngx_pool_cleanup_t  *cln;

    ngx_queue_init(&target->idle);

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_claude_relay_target_cleanup;
    cln->data = target;

    return NGX_OK;
}


static void
ngx_http_claude_relay_target_cleanup(void *data)
{
    ngx_http_claude_relay_target_t  *target = data;

    if (target->session) {
        ngx_ssl_free_session(target->session);
        target->session = NULL;
    }
}


/*
 * NGX_OK: dial->connection is there; NGX_AGAIN: handler will be called once;
 * NGX_ERROR: dial->failure tells what went wrong.  fresh: no kept one.
 */

ngx_int_t
ngx_http_claude_relay_dial(ngx_http_claude_relay_dial_t *dial,
    ngx_uint_t fresh)
{
    dial->connection = NULL;
    dial->cached = 0;
    dial->refused = 0;
    dial->failure = NCR_REPLY_CONNECT;

    if (!fresh) {
        dial->connection = ngx_http_claude_relay_idle_take(dial);

        if (dial->connection) {
            dial->cached = 1;
            return NGX_OK;
        }
    }

    if (ngx_http_claude_relay_dial_guard(dial) != NGX_OK) {
        dial->refused = 1;
        return NGX_ERROR;
    }

    dial->active = 1;
    dial->starting = 1;
    dial->tried = 0;
    dial->rc = NGX_AGAIN;
    dial->pool = NULL;
    dial->resolving = NULL;
    dial->lookup.name = NULL;

    ngx_http_claude_relay_dial_hop(dial);

    ngx_memzero(&dial->deadline, sizeof(ngx_event_t));
    dial->deadline.handler = ngx_http_claude_relay_dial_deadline;
    dial->deadline.data = dial;
    dial->deadline.log = dial->log;

    ngx_add_timer(&dial->deadline, dial->timeout);

    if (ngx_http_claude_relay_dial_resolve(dial) == NGX_DECLINED) {
        ngx_http_claude_relay_dial_begin(dial);
    }

    dial->starting = 0;

    return dial->rc;
}


/* whom to connect to: the target is never looked up if there is a proxy */

static void
ngx_http_claude_relay_dial_hop(ngx_http_claude_relay_dial_t *dial)
{
    ngx_http_claude_relay_proxy_t   *p;
    ngx_http_claude_relay_target_t  *t;

    t = dial->target;
    p = t->proxy;

    dial->tunnel = NULL;
    dial->step = "while connecting to the proxy";

    if (p) {
        dial->host = p->host;
        dial->port = (in_port_t) p->url.port;
        dial->addrs = p->addrs;
        dial->naddrs = p->naddrs;
        dial->turn = &p->turn;
        dial->literal = p->literal;
        dial->guarded = p->guarded;

        return;
    }

    dial->host = t->host;
    dial->port = t->port;
    dial->addrs = t->addrs;
    dial->naddrs = t->naddrs;
    dial->turn = &t->turn;
    dial->literal = t->literal;
    dial->guarded = t->guarded;
}


/*
 * Names and addresses as they are written, of the target, too, if a proxy is
 * to connect to it; addresses that are found come later.
 */

static ngx_int_t
ngx_http_claude_relay_dial_guard(ngx_http_claude_relay_dial_t *dial)
{
    u_char                           error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_http_claude_relay_target_t  *t;

    t = dial->target;

    if ((t->guarded
         && ngx_http_claude_relay_guard_host(dial->rmcf, &t->host, error)
            != NGX_OK)
        || (t->proxy && t->proxy->guarded
            && ngx_http_claude_relay_guard_host(dial->rmcf, &t->proxy->host,
                                                error)
               != NGX_OK))
    {
        ngx_log_error(NGX_LOG_ERR, dial->log, 0, "not connected to: %s",
                      error);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what is asked here is what is connected to, whatever the name was before */

static ngx_uint_t
ngx_http_claude_relay_dial_private(ngx_http_claude_relay_dial_t *dial,
    ngx_addr_t *addr)
{
    ncr_address_e  class;

    if (!dial->guarded || dial->rmcf->allow_private) {
        return 0;
    }

    class = ngx_http_claude_relay_guard_addr(addr->sockaddr);

    if (ncr_address_allowed(class)) {
        return 0;
    }

    ngx_log_error(NGX_LOG_ERR, dial->log, 0,
                  "\"%V\" is not connected to: its address %V is %s, which "
                  "claude_relay_allow_private_upstreams does not allow",
                  &dial->host, &addr->name, ncr_address_text(class));

    return 1;
}


void
ngx_http_claude_relay_dial_cancel(ngx_http_claude_relay_dial_t *dial)
{
    if (!dial->active) {
        return;
    }

    dial->active = 0;

    if (dial->deadline.timer_set) {
        ngx_del_timer(&dial->deadline);
    }

    if (dial->resolving) {
        ngx_resolve_name_done(dial->resolving);
        dial->resolving = NULL;
    }

    ngx_http_claude_relay_lookup_cancel(&dial->lookup);

    if (dial->peer.connection) {
        ngx_http_claude_relay_close(dial->peer.connection);
        dial->peer.connection = NULL;
    }

    if (dial->pool) {
        ngx_destroy_pool(dial->pool);
        dial->pool = NULL;
        dial->tunnel = NULL;
    }
}


void
ngx_http_claude_relay_dial_done(ngx_http_claude_relay_dial_t *dial,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    if (rc == NGX_OK) {
        c = dial->peer.connection;
        dial->peer.connection = NULL;
        dial->connection = c;

        c->read->handler = ngx_http_claude_relay_dummy_handler;
        c->write->handler = ngx_http_claude_relay_dummy_handler;
    }

    ngx_http_claude_relay_dial_cancel(dial);

    if (dial->starting) {
        dial->rc = rc;
        return;
    }

    dial->handler(dial->data, rc);
}


static void
ngx_http_claude_relay_dial_deadline(ngx_event_t *ev)
{
    ngx_http_claude_relay_dial_t  *dial = ev->data;

    ngx_http_claude_relay_dial_log(dial, NGX_ETIMEDOUT, "timed out");
    ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
}


/* what is never shown: the proxy's user and password */

void
ngx_http_claude_relay_dial_log(ngx_http_claude_relay_dial_t *dial,
    ngx_err_t err, const char *what)
{
    ngx_http_claude_relay_target_t  *t;

    t = dial->target;

    if (t->port == 0) {
        ngx_log_error(NGX_LOG_ERR, dial->log, err, "connecting to \"%V\" %s",
                      &t->host, what);
        return;
    }

    if (t->proxy == NULL) {
        ngx_log_error(NGX_LOG_ERR, dial->log, err,
                      "connecting to \"%V:%d\" %s",
                      &t->host, (int) t->port, what);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, dial->log, err,
                  "account \"%V\": connecting to \"%V:%d\" through proxy "
                  "\"%V\": %s %s",
                  &t->name, &t->host, (int) t->port, &t->proxy->name, what,
                  dial->step);
}


/*
 * NGX_DECLINED: no resolver, or no name: the configured addresses do.  If
 * there are none, the system is asked.
 */

static ngx_int_t
ngx_http_claude_relay_dial_resolve(ngx_http_claude_relay_dial_t *dial)
{
    ngx_resolver_ctx_t  *ctx;

    if (dial->literal) {
        return NGX_DECLINED;
    }

    if (dial->resolver == NULL) {
        return dial->naddrs ? NGX_DECLINED
                            : ngx_http_claude_relay_dial_lookup(dial);
    }

    ctx = ngx_resolve_start(dial->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_DECLINED;
    }

    ctx->name = dial->host;
    ctx->handler = ngx_http_claude_relay_dial_resolved;
    ctx->data = dial;
    ctx->timeout = dial->resolver_timeout;

    dial->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        dial->resolving = NULL;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_dial_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_http_claude_relay_dial_t  *dial = ctx->data;

    if (ctx->state) {
        ngx_log_error(NGX_LOG_ERR, dial->log, 0,
                      "\"%V\" could not be resolved (%i: %s)%s", &ctx->name,
                      ctx->state, ngx_resolver_strerror(ctx->state),
                      dial->naddrs ? ", using the addresses known at start"
                                   : "");

    } else {
        ngx_http_claude_relay_dial_addrs(dial, ctx->addrs, ctx->naddrs);
    }

    ngx_resolve_name_done(ctx);
    dial->resolving = NULL;

    ngx_http_claude_relay_dial_begin(dial);
}


static ngx_int_t
ngx_http_claude_relay_dial_lookup(ngx_http_claude_relay_dial_t *dial)
{
    ngx_int_t                        rc;
    ngx_http_claude_relay_lookup_t  *w;

    w = &dial->lookup;

    w->data = dial;
    w->handler = ngx_http_claude_relay_dial_looked;

    rc = ngx_http_claude_relay_lookup(w, &dial->host,
                                      dial->rmcf->address_family);

    if (rc != NGX_AGAIN) {
        ngx_http_claude_relay_dial_found(dial);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_dial_looked(void *data)
{
    ngx_http_claude_relay_dial_t *dial = data;

    ngx_http_claude_relay_dial_found(dial);
    ngx_http_claude_relay_dial_begin(dial);
}


static void
ngx_http_claude_relay_dial_found(ngx_http_claude_relay_dial_t *dial)
{
    ngx_http_claude_relay_lookup_t  *w;

    w = &dial->lookup;

    if (w->error) {
        ngx_log_error(NGX_LOG_ERR, dial->log, 0,
                      "\"%V\" could not be resolved (%s)", &dial->host,
                      w->error);
        return;
    }

    ngx_http_claude_relay_dial_addrs(dial, w->addrs, w->naddrs);
}


/* copies: what was found may go away while connections are tried */

static void
ngx_http_claude_relay_dial_addrs(ngx_http_claude_relay_dial_t *dial,
    ngx_resolver_addr_t *found, ngx_uint_t n)
{
    u_char      *p;
    ngx_addr_t  *addrs;
    ngx_uint_t   i;

    dial->pool = ngx_create_pool(1024, dial->log);
    if (dial->pool == NULL) {
        goto failed;
    }

    addrs = ngx_pcalloc(dial->pool, n * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        goto failed;
    }

    for (i = 0; i < n; i++) {

        addrs[i].socklen = found[i].socklen;
        addrs[i].sockaddr = ngx_palloc(dial->pool, addrs[i].socklen);
        p = ngx_pnalloc(dial->pool, NGX_SOCKADDR_STRLEN);

        if (addrs[i].sockaddr == NULL || p == NULL) {
            goto failed;
        }

        ngx_memcpy(addrs[i].sockaddr, found[i].sockaddr, addrs[i].socklen);
        ngx_inet_set_port(addrs[i].sockaddr, dial->port);

        addrs[i].name.data = p;
        addrs[i].name.len = ngx_sock_ntop(addrs[i].sockaddr, addrs[i].socklen,
                                          p, NGX_SOCKADDR_STRLEN, 1);
    }

    dial->addrs = addrs;
    dial->naddrs = n;

    return;

failed:

    ngx_log_error(NGX_LOG_ERR, dial->log, 0, "no memory for addresses");
}


/* what there is of addresses is tried, another one first each time */

static void
ngx_http_claude_relay_dial_begin(ngx_http_claude_relay_dial_t *dial)
{
    dial->next = dial->naddrs ? (*dial->turn)++ % dial->naddrs : 0;
    dial->left = dial->naddrs;

    ngx_http_claude_relay_dial_next(dial);
}


/* each address of a family in use has its try, within the one deadline */

static void
ngx_http_claude_relay_dial_next(ngx_http_claude_relay_dial_t *dial)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_uint_t              family;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    pc = &dial->peer;
    family = dial->rmcf->address_family;

    while (dial->left) {

        addr = &dial->addrs[dial->next];
        dial->next = (dial->next + 1) % dial->naddrs;
        dial->left--;

        if (family != AF_UNSPEC
            && addr->sockaddr->sa_family != AF_UNIX
            && family != (ngx_uint_t) addr->sockaddr->sa_family)
        {
            continue;
        }

        if (ngx_http_claude_relay_dial_private(dial, addr)) {
            dial->refused = 1;
            continue;
        }

        dial->tried = 1;

        ngx_memzero(pc, sizeof(ngx_peer_connection_t));

        pc->sockaddr = addr->sockaddr;
        pc->socklen = addr->socklen;
        pc->name = &addr->name;
        pc->get = ngx_event_get_peer;
        pc->log = dial->log;
        pc->log_error = NGX_ERROR_ERR;

        rc = ngx_event_connect_peer(pc);

        if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {

            if (pc->connection) {
                ngx_http_claude_relay_close(pc->connection);
                pc->connection = NULL;
            }

            continue;
        }

        c = pc->connection;

        c->pool = ngx_create_pool(256, dial->log);

        if (c->pool == NULL) {
            ngx_http_claude_relay_close(c);
            pc->connection = NULL;
            break;
        }

        c->data = dial;
        c->read->handler = ngx_http_claude_relay_dial_handler;
        c->write->handler = ngx_http_claude_relay_dial_handler;

        if (rc == NGX_OK) {
            ngx_http_claude_relay_dial_connected(dial);
        }

        return;
    }

    if (dial->tried) {
        dial->refused = 0;

    } else if (!dial->refused) {
        ngx_log_error(NGX_LOG_ERR, dial->log, 0, "no %saddress of \"%V\" known",
                      (family == AF_INET) ? "IPv4 "
                          : (family == AF_INET6) ? "IPv6 " : "",
                      &dial->host);
    }

    if (dial->target->proxy) {
        ngx_http_claude_relay_dial_log(dial, 0, "failed");
    }

    ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
}


static void
ngx_http_claude_relay_dial_handler(ngx_event_t *ev)
{
    ngx_connection_t              *c;
    ngx_http_claude_relay_dial_t  *dial;

    c = ev->data;
    dial = c->data;

    if (ngx_http_claude_relay_socket_error(c) != NGX_OK) {
        ngx_http_claude_relay_close(c);
        dial->peer.connection = NULL;
        ngx_http_claude_relay_dial_next(dial);
        return;
    }

    if (!ev->write) {
        return;
    }

    ngx_http_claude_relay_dial_connected(dial);
}


static void
ngx_http_claude_relay_dial_connected(ngx_http_claude_relay_dial_t *dial)
{
    ngx_connection_t  *c;

    c = dial->peer.connection;

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    if (dial->target->proxy) {
        ngx_http_claude_relay_tunnel(dial);
        return;
    }

    ngx_http_claude_relay_dial_opened(dial);
}


/* the target itself is at the other end now */

void
ngx_http_claude_relay_dial_opened(ngx_http_claude_relay_dial_t *dial)
{
    ngx_connection_t  *c;

    c = dial->peer.connection;

    c->read->handler = ngx_http_claude_relay_dummy_handler;
    c->write->handler = ngx_http_claude_relay_dummy_handler;

    if (dial->target->tls) {
        dial->step = "during the TLS handshake";
        ngx_http_claude_relay_dial_tls(dial);
        return;
    }

    ngx_http_claude_relay_dial_done(dial, NGX_OK);
}


static void
ngx_http_claude_relay_dial_tls(ngx_http_claude_relay_dial_t *dial)
{
    ngx_connection_t                *c;
    ngx_http_claude_relay_target_t  *t;

    c = dial->peer.connection;
    t = dial->target;

    dial->failure = NCR_REPLY_TLS;

    if (ngx_ssl_create_connection(t->ssl ? t->ssl : dial->rmcf->ssl, c,
                                  NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    if (SSL_set_ex_data(c->ssl->connection, ngx_http_claude_relay_ssl_index, t)
        == 0)
    {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    c->ssl->save_session = ngx_http_claude_relay_save_session;

    /* RFC 6066: no literal addresses in SNI */

    if (!t->literal
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) t->sni.data)
           == 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, dial->log, 0,
                      "SSL_set_tlsext_host_name() failed");
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    if (t->session && ngx_ssl_set_session(c, t->session) != NGX_OK) {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    c->sendfile = 0;
    c->log->action = "SSL handshaking to upstream";

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_http_claude_relay_dial_handshaked;
        return;
    }

    ngx_http_claude_relay_dial_handshaked(c);
}


static void
ngx_http_claude_relay_dial_handshaked(ngx_connection_t *c)
{
    ngx_http_claude_relay_dial_t  *dial;

    dial = c->data;

    if (!c->ssl->handshaked
        || ngx_http_claude_relay_dial_verify(dial, c) != NGX_OK)
    {
        ngx_http_claude_relay_dial_done(dial, NGX_ERROR);
        return;
    }

    /* encrypted bytes cannot be sent from a file */
    c->sendfile = 0;

    ngx_http_claude_relay_dial_done(dial, NGX_OK);
}


static ngx_int_t
ngx_http_claude_relay_dial_verify(ngx_http_claude_relay_dial_t *dial,
    ngx_connection_t *c)
{
    int                              ok;
    long                             rc;
    X509                            *cert;
    ngx_http_claude_relay_target_t  *t;

    t = dial->target;

    if (t->ssl ? t->unverified : !dial->rmcf->ssl_verify) {
        return NGX_OK;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_log_error(NGX_LOG_ERR, dial->log, 0,
                      "certificate of \"%V\" could not be verified: (%l:%s)",
                      &t->host, rc, X509_verify_cert_error_string(rc));
        return NGX_ERROR;
    }

    if (!t->literal) {

        if (ngx_ssl_check_host(c, &t->sni) == NGX_OK) {
            return NGX_OK;
        }

    } else {

        cert = SSL_get_peer_certificate(c->ssl->connection);

        if (cert) {
            ok = X509_check_ip_asc(cert, (char *) t->sni.data, 0);
            X509_free(cert);

            if (ok == 1) {
                return NGX_OK;
            }
        }
    }

    ngx_log_error(NGX_LOG_ERR, dial->log, 0,
                  "certificate does not match \"%V\"", &t->host);

    return NGX_ERROR;
}


/* TLS 1.3 sends its tickets after the handshake, at any time */

static void
ngx_http_claude_relay_save_session(ngx_connection_t *c)
{
    ngx_ssl_session_t               *session;
    ngx_http_claude_relay_target_t  *t;

    t = SSL_get_ex_data(c->ssl->connection, ngx_http_claude_relay_ssl_index);

    session = ngx_ssl_get_session(c);

    if (t == NULL || session == NULL) {
        return;
    }

    if (t->session) {
        ngx_ssl_free_session(t->session);
    }

    t->session = session;
}


static void
ngx_http_claude_relay_dummy_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0,
                   "claude relay dummy handler");
}


static ngx_int_t
ngx_http_claude_relay_socket_error(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        c->log->action = "connecting to upstream";
        (void) ngx_connection_error(c, err, "connect() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_close(ngx_connection_t *c)
{
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }

    if (c->pool) {
        ngx_destroy_pool(c->pool);
        c->pool = NULL;
    }

    ngx_close_connection(c);
}


static ngx_connection_t *
ngx_http_claude_relay_idle_take(ngx_http_claude_relay_dial_t *dial)
{
    ngx_queue_t                   *q;
    ngx_connection_t              *c;
    ngx_http_claude_relay_idle_t  *idle;

    if (ngx_queue_empty(&dial->target->idle)) {
        return NULL;
    }

    q = ngx_queue_head(&dial->target->idle);
    ngx_queue_remove(q);
    dial->target->nidle--;

    idle = ngx_queue_data(q, ngx_http_claude_relay_idle_t, queue);
    c = idle->connection;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    c->idle = 0;
    ngx_reusable_connection(c, 0);
    c->sent = 0;
    c->data = NULL;
    c->log = dial->log;
    c->read->log = dial->log;
    c->write->log = dial->log;
    c->pool->log = dial->log;

    return c;
}


/* NGX_OK: the connection is kept and no longer the caller's */

ngx_int_t
ngx_http_claude_relay_keep(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_target_t *target, ngx_connection_t *c)
{
    ngx_queue_t                   *q;
    ngx_http_claude_relay_idle_t  *idle;

    if (rmcf->keepalive == 0
        || ngx_terminate || ngx_exiting
        || c->read->eof || c->read->error || c->read->timedout
        || c->write->error || c->write->timedout
        || c->buffered)
    {
        return NGX_DECLINED;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_DECLINED;
    }

    idle = ngx_palloc(c->pool, sizeof(ngx_http_claude_relay_idle_t));
    if (idle == NULL) {
        return NGX_DECLINED;
    }

    if (target->nidle >= rmcf->keepalive) {
        q = ngx_queue_last(&target->idle);
        ngx_http_claude_relay_idle_close(
                     ngx_queue_data(q, ngx_http_claude_relay_idle_t, queue));
    }

    idle->target = target;
    idle->connection = c;

    ngx_queue_insert_head(&target->idle, &idle->queue);
    target->nidle++;

    if (c->read->timer_set) {
        c->read->delayed = 0;
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ngx_add_timer(c->read, rmcf->keepalive_timeout);

    c->write->handler = ngx_http_claude_relay_dummy_handler;
    c->read->handler = ngx_http_claude_relay_idle_handler;

    c->data = idle;
    c->idle = 1;

    /* thousands of accounts may keep more of them than a worker can have:
     * the oldest go when it runs out */

    ngx_reusable_connection(c, 1);

    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (c->read->ready) {
        ngx_http_claude_relay_idle_handler(c->read);
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_target_close(ngx_http_claude_relay_target_t *target)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&target->idle)) {
        q = ngx_queue_head(&target->idle);
        ngx_http_claude_relay_idle_close(
                     ngx_queue_data(q, ngx_http_claude_relay_idle_t, queue));
    }
}


/* when a worker leaves: connections first, then their sessions can go */

void
ngx_http_claude_relay_idle_close_all(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                         i;
    ngx_queue_t                       *q;
    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_account_t  **a;

    for (q = ngx_queue_head(&rmcf->rosters);
         q != ngx_queue_sentinel(&rmcf->rosters);
         q = ngx_queue_next(q))
    {
        roster = ngx_queue_data(q, ngx_http_claude_relay_roster_t, queue);
        a = roster->accounts.elts;

        for (i = 0; i < roster->accounts.nelts; i++) {
            ngx_http_claude_relay_target_close(&a[i]->target);
        }
    }
}


static void
ngx_http_claude_relay_idle_handler(ngx_event_t *rev)
{
    int                n;
    char               buf[1];
    ngx_connection_t  *c;

    c = rev->data;

    if (!c->close && !rev->timedout) {

        n = recv(c->fd, buf, 1, MSG_PEEK);

        if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
            rev->ready = 0;

            if (ngx_handle_read_event(rev, 0) == NGX_OK) {
                return;
            }
        }
    }

    ngx_http_claude_relay_idle_close(c->data);
}


static void
ngx_http_claude_relay_idle_close(ngx_http_claude_relay_idle_t *idle)
{
    ngx_connection_t  *c;

    c = idle->connection;

    ngx_queue_remove(&idle->queue);
    idle->target->nidle--;

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


/* one context for all targets: trust is the operator's, not the account's */

char *
ngx_http_claude_relay_ssl_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_pool_cleanup_t  *cln;

    rmcf->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (rmcf->ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    rmcf->ssl->log = cf->log;

    if (ngx_ssl_create(rmcf->ssl, rmcf->ssl_protocols, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(rmcf->ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = rmcf->ssl;

    if (rmcf->ssl_ciphers.len
        && ngx_ssl_ciphers(cf, rmcf->ssl, &rmcf->ssl_ciphers, 0) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_claude_relay_ssl_index == -1) {
        ngx_http_claude_relay_ssl_index = SSL_get_ex_new_index(0, NULL, NULL,
                                                               NULL, NULL);
    }

    if (ngx_http_claude_relay_ssl_index == -1
        || ngx_ssl_client_session_cache(cf, rmcf->ssl, 1) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!rmcf->ssl_verify) {
        return NGX_CONF_OK;
    }

    if (rmcf->ssl_trusted.len == 0
        && ngx_http_claude_relay_ssl_bundle(&rmcf->ssl_trusted) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no bundle of trusted certificates was found, set "
                      "\"claude_relay_ssl_trusted_certificate\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_ssl_trusted_certificate(cf, rmcf->ssl, &rmcf->ssl_trusted,
                                    rmcf->ssl_verify_depth)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_claude_relay_ssl_bundle(ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_file_info_t   fi;

    for (i = 0; ngx_http_claude_relay_bundles[i]; i++) {

        if (ngx_file_info(ngx_http_claude_relay_bundles[i], &fi)
            != NGX_FILE_ERROR)
        {
            name->data = (u_char *) ngx_http_claude_relay_bundles[i];
            name->len = ngx_strlen(name->data);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}
