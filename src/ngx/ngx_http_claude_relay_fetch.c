
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The small HTTP client.  A connection comes from the connector, the answer
 * is read by ncr_http.c; here is what is between: writing, reading, deadlines
 * and ends.
 *
 * Whatever happens ends in one posted event that calls the handler, so the
 * handler may destroy the fetch, and no frame below is in use of it.  Until
 * then its timer is set: with "important" that one is not cancelable, and an
 * exiting worker waits for it.
 */


#include "ngx_http_claude_relay_fetch.h"


#define NGX_HTTP_CLAUDE_RELAY_FETCH_HEADS  (32 * 1024)
#define NGX_HTTP_CLAUDE_RELAY_FETCH_IN     (8 * 1024)
#define NGX_HTTP_CLAUDE_RELAY_FETCH_ROOM   4096     /* of an answer at first */


static ngx_int_t ngx_http_claude_relay_fetch_prepare(
    ngx_http_claude_relay_fetch_t *f);
static ngx_uint_t ngx_http_claude_relay_fetch_leaving(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_dial(ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_dialed(void *data, ngx_int_t rc);
static void ngx_http_claude_relay_fetch_handler(ngx_event_t *ev);
static void ngx_http_claude_relay_fetch_write(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_read(ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_eof(ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_lost(ngx_http_claude_relay_fetch_t *f);
static ncr_int_t ngx_http_claude_relay_fetch_header(ncr_http_t *http,
    ncr_str_t *name, ncr_str_t *value);
static ncr_int_t ngx_http_claude_relay_fetch_body(ncr_http_t *http,
    ncr_char_t *p, size_t len);
static ngx_int_t ngx_http_claude_relay_fetch_grow(
    ngx_http_claude_relay_fetch_t *f, size_t size);
static void ngx_http_claude_relay_fetch_timeout(ngx_event_t *ev);
static void ngx_http_claude_relay_fetch_tell(ngx_event_t *ev);
static void ngx_http_claude_relay_fetch_stop(ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_fetch_close(
    ngx_http_claude_relay_fetch_t *f, ngx_uint_t keep);
static void ngx_http_claude_relay_fetch_zero(ngx_http_claude_relay_fetch_t *f,
    ngx_str_t *s);
static u_char *ngx_http_claude_relay_fetch_log(ngx_log_t *log, u_char *buf,
    size_t len);


/* all whose handlers are still to be called */
static ngx_queue_t  ngx_http_claude_relay_fetches;


ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_fetch_create(ngx_log_t *log)
{
    ngx_pool_t                     *pool;
    ngx_http_claude_relay_fetch_t  *f;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    f = ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_fetch_t));

    if (f == NULL
        || ngx_array_init(&f->headers, pool, 16, sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    f->pool = pool;
    f->max_body = NGX_HTTP_CLAUDE_RELAY_FETCH_BODY;
    f->timeout = NGX_HTTP_CLAUDE_RELAY_FETCH_TIMEOUT;
    f->kind = NCR_REPLY_CONNECT;

    /* its number and its files; who it belongs to may be gone one day */

    f->log = *log;
    f->log.handler = ngx_http_claude_relay_fetch_log;
    f->log.data = f;
    f->log.action = NULL;

    return f;
}


ngx_int_t
ngx_http_claude_relay_fetch_start(ngx_http_claude_relay_fetch_t *f)
{
    if (ngx_http_claude_relay_fetch_leaving(f)) {
        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &f->log, 0,
                       "claude relay fetch: refused, the process leaves");
        return NGX_ERROR;
    }

    if (f->place == NULL && ngx_http_claude_relay_fetch_prepare(f) != NGX_OK)
    {
        return NGX_ERROR;
    }

    f->timer.handler = ngx_http_claude_relay_fetch_timeout;
    f->timer.data = f;
    f->timer.log = &f->log;
    f->timer.cancelable = !f->important;

    f->event.handler = ngx_http_claude_relay_fetch_tell;
    f->event.data = f;
    f->event.log = &f->log;

    if (ngx_http_claude_relay_fetches.prev == NULL) {
        ngx_queue_init(&ngx_http_claude_relay_fetches);
    }

    ngx_queue_insert_tail(&ngx_http_claude_relay_fetches, &f->queue);

    ngx_add_timer(&f->timer, f->timeout);

    f->active = 1;
    f->starting = 1;

    if (f->place == NULL) {
        ngx_http_claude_relay_fetch_dial(f);

    } else if (ngx_http_claude_relay_visit(f) != NGX_OK) {
        ngx_http_claude_relay_fetch_stop(f);
        f->starting = 0;
        return NGX_ERROR;
    }

    f->starting = 0;

    return NGX_OK;
}


/*
 * A worker that leaves gracefully waits for what is important, but for
 * nothing when it is told to terminate.  A single process takes "quit" so.
 */

static ngx_uint_t
ngx_http_claude_relay_fetch_leaving(ngx_http_claude_relay_fetch_t *f)
{
    if (ngx_terminate || (ngx_quit && ngx_process == NGX_PROCESS_SINGLE)) {
        return 1;
    }

    return !f->important && (ngx_exiting || ngx_quit);
}


static ngx_int_t
ngx_http_claude_relay_fetch_prepare(ngx_http_claude_relay_fetch_t *f)
{
    u_char      *p;
    ngx_str_t   *head;
    ncr_http_t  *http;

    head = &f->head;

    if (head->len < 2 || ngx_memcmp(head->data + head->len - 2, CRLF, 2) != 0)
    {
        ngx_log_error(NGX_LOG_ALERT, &f->log, 0,
                      "a request of the relay's own has no end of line");
        return NGX_ERROR;
    }

    f->in.len = NGX_HTTP_CLAUDE_RELAY_FETCH_IN;
    f->heads.len = NGX_HTTP_CLAUDE_RELAY_FETCH_HEADS;
    f->out.len = head->len + 2 + f->body.len;

    f->in.data = ngx_pnalloc(f->pool, f->in.len);
    f->heads.data = ngx_pnalloc(f->pool, f->heads.len);
    f->out.data = ngx_pnalloc(f->pool, f->out.len);

    if (f->in.data == NULL || f->heads.data == NULL || f->out.data == NULL) {
        return NGX_ERROR;
    }

    /* one buffer for both: one segment, one record, one pointer to resume */

    p = ngx_cpymem(f->out.data, head->data, head->len);
    *p++ = CR; *p++ = LF;
    ngx_memcpy(p, f->body.data, f->body.len);

    http = &f->http;

    ncr_http_init(http);

    http->data = f;
    http->header = ngx_http_claude_relay_fetch_header;
    http->body = ngx_http_claude_relay_fetch_body;
    http->buf = f->heads.data;
    http->size = f->heads.len;
    http->head = (head->len > 5 && ngx_memcmp(head->data, "HEAD ", 5) == 0);

    return NGX_OK;
}


static void
ngx_http_claude_relay_fetch_dial(ngx_http_claude_relay_fetch_t *f)
{
    ngx_int_t                      rc;
    ngx_connection_t              *c;
    ngx_http_claude_relay_dial_t  *dial;

    dial = &f->dial;

    ngx_memzero(dial, sizeof(ngx_http_claude_relay_dial_t));

    dial->target = f->target;
    dial->rmcf = f->rmcf;
    dial->resolver = f->resolver;
    dial->resolver_timeout = f->timeout;
    dial->timeout = f->timeout;
    dial->log = &f->log;
    dial->data = f;
    dial->handler = ngx_http_claude_relay_fetch_dialed;

    f->log.action = "connecting to upstream";

    rc = ngx_http_claude_relay_dial(dial, !f->idempotent || f->repeated);

    if (rc != NGX_AGAIN) {
        ngx_http_claude_relay_fetch_dialed(f, rc);
        return;
    }

    /* a worker is held by our own timer, or by none */

    dial->deadline.cancelable = 1;

    if (dial->resolving && dial->resolving->event) {
        dial->resolving->event->cancelable = 1;
    }

    c = dial->peer.connection;

    if (c && f->important) {
        c->read->channel = 1;
    }
}


static void
ngx_http_claude_relay_fetch_dialed(void *data, ngx_int_t rc)
{
    ngx_http_claude_relay_fetch_t *f = data;

    ngx_connection_t  *c;

    if (rc != NGX_OK) {
        ngx_http_claude_relay_fetch_done(f, f->dial.failure, 0);
        return;
    }

    c = f->dial.connection;
    f->dial.connection = NULL;

    f->connection = c;
    f->pos = f->out.data;

    c->data = f;
    c->read->handler = ngx_http_claude_relay_fetch_handler;
    c->write->handler = ngx_http_claude_relay_fetch_handler;

    /* that a kept one is dead is no news */
    c->log_error = f->dial.cached ? NGX_ERROR_INFO : NGX_ERROR_ERR;

    if (f->important) {

        /* ngx_shutdown_timer_handler() leaves channels alone; it may have
         * been here while the connection was made */

        c->read->channel = 1;
        c->close = 0;
        c->error = 0;
    }

    f->log.action = "sending request to upstream";

    ngx_http_claude_relay_fetch_write(f);
}


static void
ngx_http_claude_relay_fetch_handler(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_claude_relay_fetch_t  *f;

    c = ev->data;
    f = c->data;

    if (c->close && !f->important) {
        ngx_log_error(NGX_LOG_INFO, &f->log, 0, "shutdown timeout");
        ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
        return;
    }

    if (ev->write) {
        ngx_http_claude_relay_fetch_write(f);

    } else {
        ngx_http_claude_relay_fetch_read(f);
    }
}


static void
ngx_http_claude_relay_fetch_write(ngx_http_claude_relay_fetch_t *f)
{
    u_char            *last;
    ssize_t            n;
    ngx_connection_t  *c;

    c = f->connection;
    last = f->out.data + f->out.len;

    while (f->pos < last) {

        f->sent = 1;

        /* OpenSSL wants the same bytes again after NGX_AGAIN: these are */

        n = c->send(c, f->pos, last - f->pos);

        if (n == NGX_ERROR) {
            ngx_http_claude_relay_fetch_lost(f);
            return;
        }

        if (n <= 0) {
            break;
        }

        f->pos += n;
    }

    if (f->pos == last) {
        f->log.action = "reading answer from upstream";
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
        return;
    }

    /* what came while the connection was made was told to nobody; a server
     * may also answer before it has read everything */

    if (c->read->ready) {
        ngx_http_claude_relay_fetch_read(f);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
    }
}


static void
ngx_http_claude_relay_fetch_read(ngx_http_claude_relay_fetch_t *f)
{
    size_t             used;
    ssize_t            n;
    ncr_int_t          rc;
    ngx_uint_t         keep;
    ngx_connection_t  *c;

    c = f->connection;

    for ( ;; ) {

        n = c->recv(c, f->in.data, f->in.len);

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
            }

            return;
        }

        if (n == NGX_ERROR) {
            ngx_http_claude_relay_fetch_lost(f);
            return;
        }

        if (n == 0) {
            ngx_http_claude_relay_fetch_eof(f);
            return;
        }

        f->received = 1;

        rc = ncr_http_feed(&f->http, f->in.data, n, &used);

        if (rc == NCR_AGAIN) {
            continue;
        }

        if (rc == NCR_DONE || f->cut) {

            keep = (rc == NCR_DONE && f->http.keep
                    && used == (size_t) n
                    && f->pos == f->out.data + f->out.len);

            ngx_http_claude_relay_fetch_done(f, NCR_REPLY_HTTP, keep);
            return;
        }

        if (rc == NCR_BAD) {
            ngx_log_error(NGX_LOG_ERR, &f->log, 0,
                          "upstream sent an invalid %s", f->http.what);
            ngx_http_claude_relay_fetch_done(f, NCR_REPLY_GARBAGE, 0);
            return;
        }

        /* no memory */

        ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
        return;
    }
}


static void
ngx_http_claude_relay_fetch_eof(ngx_http_claude_relay_fetch_t *f)
{
    ngx_uint_t  level;

    if (ncr_http_eof(&f->http) == NCR_DONE) {
        ngx_http_claude_relay_fetch_done(f, NCR_REPLY_HTTP, 0);
        return;
    }

    level = f->dial.cached ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, &f->log, 0,
                  "upstream prematurely closed connection");

    ngx_http_claude_relay_fetch_lost(f);
}


/* a kept connection may have been closed by the server at any moment */

static void
ngx_http_claude_relay_fetch_lost(ngx_http_claude_relay_fetch_t *f)
{
    if (f->dial.cached && f->idempotent && !f->received) {

        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, &f->log, 0,
                       "claude relay fetch: again, on a fresh connection");

        f->repeated = 1;

        ngx_http_claude_relay_fetch_close(f, 0);
        ngx_http_claude_relay_fetch_dial(f);
        return;
    }

    ngx_http_claude_relay_fetch_done(f, NCR_REPLY_RESET, 0);
}


static ncr_int_t
ngx_http_claude_relay_fetch_header(ncr_http_t *http, ncr_str_t *name,
    ncr_str_t *value)
{
    ngx_table_elt_t                *h;
    ngx_http_claude_relay_fetch_t  *f;

    f = http->data;

    h = ngx_array_push(&f->headers);
    if (h == NULL) {
        return NCR_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key = ngx_http_claude_relay_str(name);
    h->value = ngx_http_claude_relay_str(value);
    h->lowcase_key = name->data;

    if (ncr_str_eq(name, "content-type")) {
        f->content_type = h->value;

    } else if (ncr_str_eq(name, "retry-after")) {
        f->retry_after = h->value;
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_fetch_body(ncr_http_t *http, ncr_char_t *p, size_t len)
{
    return ngx_http_claude_relay_fetch_append(http->data, p, len);
}


ngx_int_t
ngx_http_claude_relay_fetch_append(ngx_http_claude_relay_fetch_t *f,
    u_char *p, size_t len)
{
    size_t  room;

    room = f->max_body - f->answer.len;

    if (len > room) {
        len = room;
        f->cut = 1;
    }

    if (len > f->room - f->answer.len
        && ngx_http_claude_relay_fetch_grow(f, f->answer.len + len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (len) {
        ngx_memcpy(f->answer.data + f->answer.len, p, len);
        f->answer.len += len;
    }

    return f->cut ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_fetch_grow(ngx_http_claude_relay_fetch_t *f, size_t size)
{
    u_char  *p;

    size = ngx_max(size, f->room * 2);
    size = ngx_max(size, NGX_HTTP_CLAUDE_RELAY_FETCH_ROOM);
    size = ngx_min(size, f->max_body);

    p = ngx_pnalloc(f->pool, size);

    if (p == NULL) {
        f->cut = 0;
        return NGX_ERROR;
    }

    if (f->room) {
        ngx_memcpy(p, f->answer.data, f->answer.len);
        ngx_explicit_memzero(f->answer.data, f->answer.len);
        (void) ngx_pfree(f->pool, f->answer.data);
    }

    f->answer.data = p;
    f->room = size;

    return NGX_OK;
}


static void
ngx_http_claude_relay_fetch_timeout(ngx_event_t *ev)
{
    ncr_reply_kind_e                kind;
    ngx_http_claude_relay_fetch_t  *f;

    f = ev->data;

    if (!f->active) {

        /* it is about to be told, and the worker might not wait for it */

        ngx_http_claude_relay_fetch_tell(&f->event);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, &f->log, NGX_ETIMEDOUT, "upstream timed out");

    kind = (f->connection || f->visit) ? NCR_REPLY_TIMEOUT : f->dial.failure;

    ngx_http_claude_relay_fetch_done(f, kind, 0);
}


void
ngx_http_claude_relay_fetch_done(ngx_http_claude_relay_fetch_t *f,
    ncr_reply_kind_e kind, ngx_uint_t keep)
{
    f->active = 0;
    f->kind = kind;

    if (f->place) {

        if (kind != NCR_REPLY_HTTP) {
            f->status = 0;
        }

    } else if (f->http.head_done) {
        f->status = f->http.status;

    } else {
        f->headers.nelts = 0;
        ngx_str_null(&f->content_type);
        ngx_str_null(&f->retry_after);
    }

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, &f->log, 0,
                   "claude relay fetch: kind %d, status %ui, %uz bytes, "
                   "keep %ui", (int) kind, f->status, f->answer.len, keep);

    ngx_http_claude_relay_dial_cancel(&f->dial);
    ngx_http_claude_relay_fetch_close(f, keep);

    /* the next round if start() was not called by an event */

    ngx_post_event(&f->event, f->starting ? &ngx_posted_next_events
                                          : &ngx_posted_events);
}


static void
ngx_http_claude_relay_fetch_tell(ngx_event_t *ev)
{
    ngx_http_claude_relay_fetch_t  *f;

    f = ev->data;

    ngx_http_claude_relay_fetch_stop(f);

    f->log.action = NULL;

    f->handler(f);

    /* f may be gone */
}


static void
ngx_http_claude_relay_fetch_stop(ngx_http_claude_relay_fetch_t *f)
{
    f->active = 0;

    ngx_http_claude_relay_dial_cancel(&f->dial);
    ngx_http_claude_relay_fetch_close(f, 0);

    if (f->timer.timer_set) {
        ngx_del_timer(&f->timer);
    }

    if (f->event.posted) {
        ngx_delete_posted_event(&f->event);
    }

    if (f->queue.prev) {
        ngx_queue_remove(&f->queue);
        f->queue.prev = NULL;
    }
}


static void
ngx_http_claude_relay_fetch_close(ngx_http_claude_relay_fetch_t *f,
    ngx_uint_t keep)
{
    ngx_connection_t  *c;

    ngx_http_claude_relay_visit_close(f);

    c = f->connection;

    if (c == NULL) {
        return;
    }

    f->connection = NULL;

    c->read->channel = 0;
    c->log_error = NGX_ERROR_ERR;

    /*
     * Bytes beyond the answer would be the next one's.  And who never takes a
     * kept connection need not leave one.
     */

    if (keep && f->idempotent
        && (c->ssl == NULL || SSL_pending(c->ssl->connection) == 0)
        && ngx_http_claude_relay_keep(f->rmcf, f->target, c) == NGX_OK)
    {
        return;
    }

    if (c->ssl) {

        /* with nothing to wait for it is freed at once */

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


void
ngx_http_claude_relay_fetch_destroy(ngx_http_claude_relay_fetch_t *f)
{
    ngx_pool_t  *pool;

    ngx_http_claude_relay_fetch_stop(f);

    ngx_http_claude_relay_fetch_zero(f, &f->in);
    ngx_http_claude_relay_fetch_zero(f, &f->out);
    ngx_http_claude_relay_fetch_zero(f, &f->heads);
    ngx_http_claude_relay_fetch_zero(f, &f->answer);
    ngx_http_claude_relay_fetch_zero(f, &f->head);
    ngx_http_claude_relay_fetch_zero(f, &f->body);

    pool = f->pool;

    /* the cycle of its making may have gone */
    pool->log = ngx_cycle->log;

    ngx_destroy_pool(pool);
}


/* only what lies in the pool is ours; it may be another's, or a constant */

static void
ngx_http_claude_relay_fetch_zero(ngx_http_claude_relay_fetch_t *f,
    ngx_str_t *s)
{
    u_char            *start;
    ngx_pool_t        *p;
    ngx_pool_large_t  *l;

    for (p = f->pool; p; p = p->d.next) {

        start = (u_char *) p;

        if (s->data > start && s->data < p->d.end) {
            ngx_explicit_memzero(s->data, s->len);
            return;
        }
    }

    for (l = f->pool->large; l; l = l->next) {

        if (l->alloc && s->data == l->alloc) {
            ngx_explicit_memzero(s->data, s->len);
            return;
        }
    }
}


void
ngx_http_claude_relay_fetch_exit(void)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_fetch_t  *f;

    if (ngx_http_claude_relay_fetches.prev == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_http_claude_relay_fetches)) {

        q = ngx_queue_head(&ngx_http_claude_relay_fetches);
        f = ngx_queue_data(q, ngx_http_claude_relay_fetch_t, queue);

        ngx_http_claude_relay_fetch_stop(f);
    }
}


static u_char *
ngx_http_claude_relay_fetch_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                         *p;
    ngx_http_claude_relay_fetch_t  *f;

    f = log->data;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    if (f->target == NULL) {
        return buf;
    }

    return ngx_snprintf(buf, len, ", upstream: \"%V:%d\"", &f->target->host,
                        (int) f->target->port);
}
