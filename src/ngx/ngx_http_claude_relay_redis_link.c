
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * One connection to Redis, made again whenever it breaks: orders are written
 * one behind the other when the loop has come round, and answered in that
 * order.  hiredis forms commands and reads answers; what it is given has
 * passed ncr_redis_frame() first, which knows bounds.
 */


#include "ngx_http_claude_relay_redis_link.h"


static void ngx_http_claude_relay_link_attempt(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_dialed(void *data, ngx_int_t rc);
static void ngx_http_claude_relay_link_connected(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_broken(
    ngx_http_claude_relay_link_t *link, const char *why);
static void ngx_http_claude_relay_link_pause(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_drop(
    ngx_http_claude_relay_link_t *link, ngx_queue_t *queue);
static void ngx_http_claude_relay_link_none(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_free(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_leave(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_timer(ngx_event_t *ev);
static void ngx_http_claude_relay_link_oldest(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_write(ngx_event_t *wev);
static void ngx_http_claude_relay_link_flush(ngx_event_t *ev);
static ngx_uint_t ngx_http_claude_relay_link_fill(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_link_read(ngx_event_t *rev);
static ngx_int_t ngx_http_claude_relay_link_feed(
    ngx_http_claude_relay_link_t *link, u_char *p, size_t len);
static void ngx_http_claude_relay_link_answer(
    ngx_http_claude_relay_link_t *link, redisReply *reply);
static void ngx_http_claude_relay_link_count(
    ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order);
static void ngx_http_claude_relay_link_uncount(
    ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order);
static u_char *ngx_http_claude_relay_link_log(ngx_log_t *log, u_char *buf,
    size_t len);


ngx_http_claude_relay_link_t *
ngx_http_claude_relay_link_create(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_link_t  *link;

    link = ngx_calloc(sizeof(ngx_http_claude_relay_link_t), ngx_cycle->log);
    if (link == NULL) {
        return NULL;
    }

    link->out = ngx_alloc(NGX_HTTP_CLAUDE_RELAY_LINK_BUF, ngx_cycle->log);

    if (link->out == NULL) {
        ngx_free(link);
        return NULL;
    }

    link->rmcf = rmcf;
    link->conf = rmcf->redis;
    link->queues = 1;
    link->pos = link->out;
    link->last = link->out;

    link->log = *ngx_cycle->log;
    link->log.handler = ngx_http_claude_relay_link_log;
    link->log.data = link;
    link->log.action = NULL;

    ngx_queue_init(&link->first);
    ngx_queue_init(&link->waiting);
    ngx_queue_init(&link->sent);
    ngx_queue_init(&link->target.idle);

    link->timer.handler = ngx_http_claude_relay_link_timer;
    link->timer.data = link;
    link->timer.log = &link->log;
    link->timer.cancelable = 1;

    link->flush.handler = ngx_http_claude_relay_link_flush;
    link->flush.data = link;
    link->flush.log = &link->log;

    return link;
}


void
ngx_http_claude_relay_link_destroy(ngx_http_claude_relay_link_t *link)
{
    link->stopped = 1;
    link->ready = NULL;
    link->gone = NULL;
    link->push = NULL;

    ngx_http_claude_relay_link_close(link);

    /* no handlers: who has asked may be half gone, too */

    ngx_http_claude_relay_link_drop(link, &link->sent);
    ngx_http_claude_relay_link_drop(link, &link->waiting);

    if (link->busy) {
        return;
    }

    ngx_http_claude_relay_link_free(link);
}


static void
ngx_http_claude_relay_link_free(ngx_http_claude_relay_link_t *link)
{
    ngx_free(link->out);
    ngx_free(link);
}


/* a frame is left; it may have been destroyed in the meantime */

static void
ngx_http_claude_relay_link_leave(ngx_http_claude_relay_link_t *link)
{
    if (--link->busy == 0 && link->stopped) {
        ngx_http_claude_relay_link_free(link);
    }
}


void
ngx_http_claude_relay_link_start(ngx_http_claude_relay_link_t *link)
{
    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_CLOSED
        && !link->timer.timer_set && !link->stopped)
    {
        /* from the loop: what fails at once may have handlers */
        ngx_add_timer(&link->timer, 0);
    }
}


static void
ngx_http_claude_relay_link_attempt(ngx_http_claude_relay_link_t *link)
{
    ngx_int_t                      rc;
    ngx_http_claude_relay_dial_t  *dial;

    if (ngx_http_claude_relay_link_whom(link) != NGX_OK) {
        ngx_http_claude_relay_link_failed(link, "there is no server");
        return;
    }

    /* one failure is told; the connector has to tell of each */

    link->log.log_level = (link->failures && ngx_cycle->log->log_level
                                             < NGX_LOG_DEBUG)
                          ? NGX_LOG_ALERT : ngx_cycle->log->log_level;

    link->phase = NGX_HTTP_CLAUDE_RELAY_LINK_DIALS;

    ngx_add_timer(&link->timer, link->conf->connect_timeout);

    dial = &link->dial;

    ngx_memzero(dial, sizeof(ngx_http_claude_relay_dial_t));

    dial->target = &link->target;
    dial->rmcf = link->rmcf;
    dial->resolver = ngx_http_claude_relay_resolver();
    dial->resolver_timeout = link->conf->connect_timeout;
    dial->timeout = link->conf->connect_timeout;
    dial->log = &link->log;
    dial->data = link;
    dial->handler = ngx_http_claude_relay_link_dialed;

    rc = ngx_http_claude_relay_dial(dial, 1);

    if (rc != NGX_AGAIN) {
        ngx_http_claude_relay_link_dialed(link, rc);
        return;
    }

    dial->deadline.cancelable = 1;

    if (dial->resolving && dial->resolving->event) {
        dial->resolving->event->cancelable = 1;
    }
}


static void
ngx_http_claude_relay_link_dialed(void *data, ngx_int_t rc)
{
    ngx_http_claude_relay_link_t *link = data;

    link->busy++;

    if (rc == NGX_OK) {
        ngx_http_claude_relay_link_connected(link);

    } else {
        ngx_http_claude_relay_link_failed(link,
                                     (link->dial.failure == NCR_REPLY_TLS)
                                     ? "the TLS handshake failed"
                                     : "it cannot be connected to");
    }

    ngx_http_claude_relay_link_leave(link);
}


static void
ngx_http_claude_relay_link_connected(ngx_http_claude_relay_link_t *link)
{
    ngx_connection_t               *c;
    ngx_http_claude_relay_fleet_t  *fleet;

    c = link->dial.connection;
    link->dial.connection = NULL;

    link->connection = c;
    link->phase = NGX_HTTP_CLAUDE_RELAY_LINK_GREETS;

    c->data = link;
    c->read->handler = ngx_http_claude_relay_link_read;
    c->write->handler = ngx_http_claude_relay_link_write;
    c->log_error = NGX_ERROR_INFO;

    ngx_memzero(&link->frame, sizeof(ncr_redis_frame_t));

    link->pos = link->out;
    link->last = link->out;
    link->reader = redisReaderCreate();

    if (link->reader == NULL
        || ngx_http_claude_relay_link_greet(link) != NGX_OK)
    {
        ngx_http_claude_relay_link_failed(link, "there is no memory");
        return;
    }

    /* a large answer's buffer is not kept */
    link->reader->maxbuf = 64 * 1024;

    fleet = link->rmcf->zone->fleet;

    if (fleet) {
        (void) ngx_atomic_fetch_add(&fleet->stats.connects, 1);
    }

    ngx_post_event(&link->flush, &ngx_posted_events);

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_claude_relay_link_failed(link, "its events failed");
        return;
    }

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


void
ngx_http_claude_relay_link_is_ready(ngx_http_claude_relay_link_t *link)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_order_t  *order;

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    /* it has had a password in it */
    ngx_explicit_memzero(link->out, NGX_HTTP_CLAUDE_RELAY_LINK_BUF);

    link->phase = NGX_HTTP_CLAUDE_RELAY_LINK_READY;
    link->since = ngx_current_msec;
    link->tried = 0;
    link->hops = 0;
    link->error[0] = '\0';
    link->log.log_level = ngx_cycle->log->log_level;

    if (link->told) {
        link->told = 0;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "connected to Redis \"%s:%ui\" again",
                      link->here.host, link->here.port);
    }

    for (q = ngx_queue_head(&link->waiting);
         q != ngx_queue_sentinel(&link->waiting);
         q = ngx_queue_next(q))
    {
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);
        order->born = ngx_current_msec;
    }

    if (!ngx_queue_empty(&link->waiting)) {
        ngx_add_timer(&link->timer, link->conf->command_timeout);
        ngx_post_event(&link->flush, &ngx_posted_events);
    }

    if (link->ready) {
        link->ready(link);
    }
}


static void
ngx_http_claude_relay_link_broken(ngx_http_claude_relay_link_t *link,
    const char *why)
{
    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_READY) {
        ngx_http_claude_relay_link_lost(link, why);

    } else {
        ngx_http_claude_relay_link_failed(link, why);
    }
}


void
ngx_http_claude_relay_link_lost(ngx_http_claude_relay_link_t *link,
    const char *why)
{
    ngx_http_claude_relay_link_reason(link, link->error, why);

    /* who is lost as soon as it is there has failed */

    link->failures = (ngx_current_msec - link->since
                      < NGX_HTTP_CLAUDE_RELAY_LINK_SOUND)
                     ? link->failures + 1 : 0;

    ngx_http_claude_relay_link_close(link);
    ngx_http_claude_relay_link_pause(link);
    ngx_http_claude_relay_link_none(link);

    if (link->gone) {
        link->gone(link);
    }
}


void
ngx_http_claude_relay_link_failed(ngx_http_claude_relay_link_t *link,
    const char *why)
{
    ngx_http_claude_relay_link_reason(link, link->error, why);
    ngx_http_claude_relay_link_close(link);

    if (link->stopped) {
        return;
    }

    if (ngx_http_claude_relay_link_another(link) == NGX_OK) {

        /* not from within: servers that fail at once are many frames */

        ngx_add_timer(&link->timer, 1);
        return;
    }

    link->failures++;

    ngx_http_claude_relay_link_pause(link);
    ngx_http_claude_relay_link_none(link);

    if (link->gone) {
        link->gone(link);
    }
}


void
ngx_http_claude_relay_link_reason(ngx_http_claude_relay_link_t *link,
    char *buf, const char *why)
{
    u_char  *p, *last;

    p = (u_char *) buf;
    last = p + NGX_HTTP_CLAUDE_RELAY_REASON - 1;

    p = ngx_slprintf(p, last, "%s%s", link->sentinel ? "Sentinel " : "",
                     link->here.host);

    /* a unix socket has no port */

    if (link->here.port) {
        p = ngx_slprintf(p, last, ":%ui", link->here.port);
    }

    p = ngx_slprintf(p, last, ": %s", why);
    *p = '\0';
}


static void
ngx_http_claude_relay_link_pause(ngx_http_claude_relay_link_t *link)
{
    ngx_msec_t  ms;

    link->queues = 0;

    if (link->stopped || link->fixed) {
        return;
    }

    if (!link->told) {
        link->told = 1;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "no connection to Redis: %s", link->error);
    }

    ms = NGX_HTTP_CLAUDE_RELAY_LINK_WAIT << ngx_min(link->failures, 6);
    ms = ngx_min(ms, NGX_HTTP_CLAUDE_RELAY_LINK_WAIT_MAX);
    ms = ms / 2 + ngx_random() % (ms / 2 + 1);

    ngx_add_timer(&link->timer, ms);
}


void
ngx_http_claude_relay_link_close(ngx_http_claude_relay_link_t *link)
{
    ngx_queue_t                    *q;
    ngx_connection_t               *c;
    ngx_http_claude_relay_order_t  *order;

    ngx_http_claude_relay_link_drop(link, &link->first);

    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_GREETS) {
        ngx_http_claude_relay_link_drop(link, &link->sent);
    }

    link->phase = NGX_HTTP_CLAUDE_RELAY_LINK_CLOSED;
    link->closings++;
    link->moving = 0;

    ngx_http_claude_relay_dial_cancel(&link->dial);

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    if (link->flush.posted) {
        ngx_delete_posted_event(&link->flush);
    }

    /* part of it may have been written to nobody */

    if (!ngx_queue_empty(&link->waiting)) {
        q = ngx_queue_head(&link->waiting);
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);
        order->written = 0;
    }

    ngx_explicit_memzero(link->out, NGX_HTTP_CLAUDE_RELAY_LINK_BUF);

    if (link->reader) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }

    c = link->connection;

    if (c == NULL) {
        return;
    }

    link->connection = NULL;

    c->log_error = NGX_ERROR_INFO;

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


/* nobody is told */

static void
ngx_http_claude_relay_link_drop(ngx_http_claude_relay_link_t *link,
    ngx_queue_t *queue)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_order_t  *order;

    while (!ngx_queue_empty(queue)) {

        q = ngx_queue_head(queue);
        ngx_queue_remove(q);
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);

        if (order->ask) {
            order->ask->sent = NULL;
        }

        ngx_http_claude_relay_link_uncount(link, order);
        ngx_http_claude_relay_order_free(order);
    }
}


/* nobody will be answered; handlers may ask anew */

static void
ngx_http_claude_relay_link_none(ngx_http_claude_relay_link_t *link)
{
    ngx_queue_t                     lost, *q;
    ngx_http_claude_relay_order_t  *order;

    ngx_queue_init(&lost);

    if (!ngx_queue_empty(&link->sent)) {
        ngx_queue_add(&lost, &link->sent);
        ngx_queue_init(&link->sent);
    }

    if (!ngx_queue_empty(&link->waiting)) {
        ngx_queue_add(&lost, &link->waiting);
        ngx_queue_init(&link->waiting);
    }

    link->busy++;

    while (!ngx_queue_empty(&lost)) {

        q = ngx_queue_head(&lost);
        ngx_queue_remove(q);
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);

        ngx_http_claude_relay_link_uncount(link, order);

        if (order->done(link, order, NULL) == NGX_OK) {
            ngx_http_claude_relay_order_free(order);
        }
    }

    link->busy--;
}


static void
ngx_http_claude_relay_link_timer(ngx_event_t *ev)
{
    ngx_http_claude_relay_link_t *link = ev->data;

    link->busy++;

    switch (link->phase) {

    case NGX_HTTP_CLAUDE_RELAY_LINK_CLOSED:
        ngx_http_claude_relay_link_attempt(link);
        break;

    case NGX_HTTP_CLAUDE_RELAY_LINK_DIALS:
        ngx_http_claude_relay_link_failed(link, "connecting timed out");
        break;

    case NGX_HTTP_CLAUDE_RELAY_LINK_GREETS:
        ngx_http_claude_relay_link_failed(link,
                                          "it is connected, but silent");
        break;

    case NGX_HTTP_CLAUDE_RELAY_LINK_READY:
        ngx_http_claude_relay_link_oldest(link);
        break;
    }

    ngx_http_claude_relay_link_leave(link);
}


static void
ngx_http_claude_relay_link_oldest(ngx_http_claude_relay_link_t *link)
{
    ngx_msec_t                      age;
    ngx_queue_t                    *q;
    ngx_http_claude_relay_order_t  *order;

    if (!ngx_queue_empty(&link->sent)) {
        q = ngx_queue_head(&link->sent);

    } else if (!ngx_queue_empty(&link->waiting)) {
        q = ngx_queue_head(&link->waiting);

    } else {
        return;
    }

    order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);
    age = ngx_current_msec - order->born;

    if (age >= link->conf->command_timeout) {
        ngx_http_claude_relay_link_lost(link, "its answer did not come");
        return;
    }

    ngx_add_timer(&link->timer, link->conf->command_timeout - age);
}


static void
ngx_http_claude_relay_link_write(ngx_event_t *wev)
{
    ngx_connection_t              *c;
    ngx_http_claude_relay_link_t  *link;

    c = wev->data;
    link = c->data;

    ngx_http_claude_relay_link_flush(&link->flush);
}


static void
ngx_http_claude_relay_link_flush(ngx_event_t *ev)
{
    ngx_http_claude_relay_link_t *link = ev->data;

    ssize_t            n;
    ngx_connection_t  *c;

    c = link->connection;

    if (c == NULL) {
        return;
    }

    link->busy++;

    for ( ;; ) {

        if (link->pos == link->last
            && !ngx_http_claude_relay_link_fill(link))
        {
            break;
        }

        /* OpenSSL wants the same bytes again after NGX_AGAIN: these are */

        n = c->send(c, link->pos, link->last - link->pos);

        if (n == NGX_ERROR) {
            ngx_http_claude_relay_link_broken(link, "the connection broke");
            goto done;
        }

        if (n <= 0) {
            break;
        }

        link->pos += n;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_http_claude_relay_link_broken(link, "its events failed");
    }

done:

    ngx_http_claude_relay_link_leave(link);
}


/* what comes first is alone until it is answered */

static ngx_uint_t
ngx_http_claude_relay_link_fill(ngx_http_claude_relay_link_t *link)
{
    size_t                          n, room;
    ngx_queue_t                    *q, *queue;
    ngx_http_claude_relay_order_t  *order;

    link->pos = link->out;
    link->last = link->out;

    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_GREETS) {
        queue = &link->first;

    } else if (!link->moving) {
        queue = &link->waiting;

    } else {
        return 0;
    }

    while (!ngx_queue_empty(queue)) {

        room = link->out + NGX_HTTP_CLAUDE_RELAY_LINK_BUF - link->last;

        if (room == 0) {
            break;
        }

        q = ngx_queue_head(queue);
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);

        n = ngx_min(room, order->len - order->written);

        link->last = ngx_cpymem(link->last, order->text + order->written, n);
        order->written += n;

        if (order->written < order->len) {
            continue;
        }

        ngx_queue_remove(q);

        if (link->push && queue == &link->waiting) {

            /* what comes is not told apart by the order of what was said */

            ngx_http_claude_relay_link_uncount(link, order);
            ngx_http_claude_relay_order_free(order);
            continue;
        }

        ngx_queue_insert_tail(&link->sent, q);
    }

    return link->last != link->pos;
}


static void
ngx_http_claude_relay_link_read(ngx_event_t *rev)
{
    u_char                         buf[NGX_HTTP_CLAUDE_RELAY_LINK_BUF];
    ssize_t                        n;
    ngx_connection_t              *c;
    ngx_http_claude_relay_link_t  *link;

    c = rev->data;
    link = c->data;

    link->busy++;

    for ( ;; ) {

        if (c->close) {
            ngx_http_claude_relay_link_broken(link, "this worker leaves");
            break;
        }

        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {

            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_http_claude_relay_link_broken(link, "its events failed");
            }

            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_claude_relay_link_broken(link, "the connection broke");
            break;
        }

        link->heard = ngx_current_msec;

        if (ngx_http_claude_relay_link_feed(link, buf, n) != NGX_OK) {
            break;
        }
    }

    ngx_http_claude_relay_link_leave(link);
}


/* NGX_DONE: that connection is not there any more */

static ngx_int_t
ngx_http_claude_relay_link_feed(ngx_http_claude_relay_link_t *link,
    u_char *p, size_t len)
{
    char         why[64];
    void        *reply;
    ngx_uint_t   closings;

    if (ncr_redis_frame(&link->frame, p, len, NULL) != NCR_OK) {
        (void) ngx_snprintf((u_char *) why, sizeof(why), "its answer %s%Z",
                            link->frame.wrong);
        ngx_http_claude_relay_link_broken(link, why);
        return NGX_DONE;
    }

    if (redisReaderFeed(link->reader, (char *) p, len) != REDIS_OK) {
        ngx_http_claude_relay_link_broken(link, "there is no memory");
        return NGX_DONE;
    }

    closings = link->closings;

    for ( ;; ) {

        reply = NULL;

        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            ngx_http_claude_relay_link_broken(link,
                                              "its answer makes no sense");
            return NGX_DONE;
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        ngx_http_claude_relay_link_answer(link, reply);

        freeReplyObject(reply);

        if (closings != link->closings) {
            return NGX_DONE;
        }
    }
}


static void
ngx_http_claude_relay_link_answer(ngx_http_claude_relay_link_t *link,
    redisReply *reply)
{
    ngx_uint_t                      closings;
    ngx_queue_t                    *q;
    ngx_http_claude_relay_order_t  *order;

    if (link->push && link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_READY) {
        link->push(link, reply);
        return;
    }

    if (ngx_queue_empty(&link->sent)) {
        ngx_http_claude_relay_link_broken(link,
                                          "it answers what was not asked");
        return;
    }

    q = ngx_queue_head(&link->sent);
    ngx_queue_remove(q);
    order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);

    ngx_http_claude_relay_link_uncount(link, order);

    closings = link->closings;

    if (order->done(link, order, reply) == NGX_OK) {
        ngx_http_claude_relay_order_free(order);
    }

    if (closings == link->closings && link->moving
        && ngx_queue_empty(&link->sent))
    {
        /* nothing is on its way here: go to where MOVED has said */

        ngx_http_claude_relay_link_close(link);
        ngx_add_timer(&link->timer, 1);
    }
}


ngx_http_claude_relay_order_t *
ngx_http_claude_relay_order(ngx_str_t *args, ngx_uint_t n)
{
    ssize_t                         len;
    ngx_uint_t                      i;
    const char                     *argv[NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS];
    size_t                          lens[NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS];
    ngx_http_claude_relay_order_t  *order;

    if (n == 0 || n > NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        argv[i] = args[i].len ? (const char *) args[i].data : "";
        lens[i] = args[i].len;
    }

    order = ngx_calloc(sizeof(ngx_http_claude_relay_order_t), ngx_cycle->log);
    if (order == NULL) {
        return NULL;
    }

    len = (ssize_t) redisFormatCommandArgv(&order->text, (int) n, argv, lens);

    if (len <= 0) {
        ngx_free(order);
        return NULL;
    }

    order->len = len;

    return order;
}


void
ngx_http_claude_relay_order_free(ngx_http_claude_relay_order_t *order)
{
    if (order->secret) {
        ngx_explicit_memzero(order->text, order->len);
    }

    if (order->own) {
        ngx_free(order->text);

    } else {
        redisFreeCommand(order->text);
    }

    ngx_free(order);
}


static void
ngx_http_claude_relay_link_count(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order)
{
    link->norders++;
    link->bytes += order->len;
}


static void
ngx_http_claude_relay_link_uncount(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order)
{
    link->norders--;
    link->bytes -= order->len;
}


void
ngx_http_claude_relay_link_put(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order)
{
    order->written = 0;
    order->born = ngx_current_msec;

    ngx_http_claude_relay_link_count(link, order);
    ngx_queue_insert_tail(&link->waiting, &order->queue);

    if (link->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY) {
        return;
    }

    if (!link->timer.timer_set) {
        ngx_add_timer(&link->timer, link->conf->command_timeout);
    }

    if (!link->flush.posted) {
        ngx_post_event(&link->flush, &ngx_posted_events);
    }
}


void
ngx_http_claude_relay_link_again(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_order_t  *head;

    order->written = 0;

    ngx_http_claude_relay_link_count(link, order);

    q = &link->waiting;

    if (!ngx_queue_empty(q)) {

        head = ngx_queue_data(ngx_queue_head(q),
                              ngx_http_claude_relay_order_t, queue);

        /* not into the middle of another one */

        if (head->written) {
            q = &head->queue;
        }
    }

    ngx_queue_insert_after(q, &order->queue);

    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_READY) {

        if (!link->timer.timer_set) {
            ngx_add_timer(&link->timer, link->conf->command_timeout);
        }

        if (!link->flush.posted) {
            ngx_post_event(&link->flush, &ngx_posted_events);
        }
    }
}


ngx_int_t
ngx_http_claude_relay_link_say(ngx_http_claude_relay_link_t *link,
    ngx_queue_t *queue, ngx_http_claude_relay_order_pt done, ngx_str_t *args,
    ngx_uint_t n)
{
    ngx_http_claude_relay_order_t  *order;

    order = ngx_http_claude_relay_order(args, n);
    if (order == NULL) {
        return NGX_ERROR;
    }

    order->done = done;

    if (queue == &link->waiting) {
        ngx_http_claude_relay_link_put(link, order);
        return NGX_OK;
    }

    /* all of these are of the greeting, with a password or without */

    order->secret = 1;
    order->born = ngx_current_msec;

    ngx_http_claude_relay_link_count(link, order);
    ngx_queue_insert_tail(queue, &order->queue);

    return NGX_OK;
}


static u_char *
ngx_http_claude_relay_link_log(ngx_log_t *log, u_char *buf, size_t len)
{
    ngx_http_claude_relay_link_t *link = log->data;

    if (link->here.port == 0) {
        return ngx_snprintf(buf, len, ", Redis: \"%s\"", link->here.host);
    }

    return ngx_snprintf(buf, len, ", Redis: \"%s:%ui\"", link->here.host,
                        link->here.port);
}
