
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The connection that listens: it says SUBSCRIBE and nothing else but PING.
 * A PING without an answer is a connection that has ended.
 */


#include "ngx_http_claude_relay_redis_link.h"


#define NGX_HTTP_CLAUDE_RELAY_LISTEN_PING  1000


typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_link_t      *link;
    ngx_str_t                          channel;
    ngx_event_t                        ping;
    ngx_msec_t                         pinged;
    void                             (*message)(
                                     ngx_http_claude_relay_main_conf_t *rmcf,
                                     ngx_str_t *text);
    void                             (*state)(
                                     ngx_http_claude_relay_main_conf_t *rmcf,
                                     ngx_uint_t subscribed);
    unsigned                           subscribed:1;
    unsigned                           waits:1;     /* for a PONG */
} ngx_http_claude_relay_listener_t;


static void ngx_http_claude_relay_listen_ready(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_listen_gone(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_listen_push(
    ngx_http_claude_relay_link_t *link, redisReply *reply);
static void ngx_http_claude_relay_listen_ping(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_listen_none(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static void ngx_http_claude_relay_listen_free(
    ngx_http_claude_relay_listener_t *l);


/* this worker's */
static ngx_http_claude_relay_listener_t  *ngx_http_claude_relay_listener;


ngx_int_t
ngx_http_claude_relay_redis_listen(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *channel,
    void (*message)(ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *text),
    void (*state)(ngx_http_claude_relay_main_conf_t *rmcf,
                  ngx_uint_t subscribed))
{
    ngx_http_claude_relay_listener_t  *l;

    ngx_http_claude_relay_redis_listen_stop();

    if (rmcf->redis == NULL) {
        return NGX_ERROR;
    }

    l = ngx_calloc(sizeof(ngx_http_claude_relay_listener_t) + channel->len,
                   ngx_cycle->log);
    if (l == NULL) {
        return NGX_ERROR;
    }

    l->link = ngx_http_claude_relay_link_create(rmcf);

    if (l->link == NULL) {
        ngx_free(l);
        return NGX_ERROR;
    }

    l->rmcf = rmcf;
    l->message = message;
    l->state = state;

    l->channel.len = channel->len;
    l->channel.data = (u_char *) l
                      + sizeof(ngx_http_claude_relay_listener_t);
    ngx_memcpy(l->channel.data, channel->data, channel->len);

    l->ping.handler = ngx_http_claude_relay_listen_ping;
    l->ping.data = l;
    l->ping.log = ngx_cycle->log;
    l->ping.cancelable = 1;

    l->link->data = l;
    l->link->ready = ngx_http_claude_relay_listen_ready;
    l->link->gone = ngx_http_claude_relay_listen_gone;
    l->link->push = ngx_http_claude_relay_listen_push;

    ngx_http_claude_relay_listener = l;

    ngx_http_claude_relay_link_start(l->link);

    return NGX_OK;
}


void
ngx_http_claude_relay_redis_listen_stop(void)
{
    ngx_http_claude_relay_listener_t  *l;

    l = ngx_http_claude_relay_listener;

    if (l) {
        ngx_http_claude_relay_listener = NULL;
        ngx_http_claude_relay_listen_free(l);
    }
}


static void
ngx_http_claude_relay_listen_free(ngx_http_claude_relay_listener_t *l)
{
    if (l->ping.timer_set) {
        ngx_del_timer(&l->ping);
    }

    ngx_http_claude_relay_link_destroy(l->link);
    ngx_free(l);
}


void
ngx_http_claude_relay_redis_listen_to(ncr_redis_place_t *place)
{
    ngx_http_claude_relay_link_t      *link;
    ngx_http_claude_relay_listener_t  *l;

    l = ngx_http_claude_relay_listener;

    if (l == NULL) {
        return;
    }

    link = l->link;

    if (link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_READY
        && (link->here.port != place->port
            || ngx_strcmp(link->here.host, place->host) != 0))
    {
        ngx_http_claude_relay_link_lost(link, "there is another master");
    }
}


static void
ngx_http_claude_relay_listen_ready(ngx_http_claude_relay_link_t *link)
{
    ngx_str_t                          args[2];
    ngx_http_claude_relay_listener_t  *l;

    l = link->data;

    ngx_str_set(&args[0], "SUBSCRIBE");
    args[1] = l->channel;

    (void) ngx_http_claude_relay_link_say(link, &link->waiting,
                                          ngx_http_claude_relay_listen_none,
                                          args, 2);

    /* and what does not come in time is missed by this one, too */

    l->waits = 1;
    l->pinged = ngx_current_msec;

    if (l->ping.timer_set) {
        ngx_del_timer(&l->ping);
    }

    ngx_add_timer(&l->ping, NGX_HTTP_CLAUDE_RELAY_LISTEN_PING);
}


static ngx_int_t
ngx_http_claude_relay_listen_none(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    return NGX_OK;
}


static void
ngx_http_claude_relay_listen_gone(ngx_http_claude_relay_link_t *link)
{
    ngx_http_claude_relay_listener_t  *l;

    l = link->data;

    if (l->ping.timer_set) {
        ngx_del_timer(&l->ping);
    }

    if (l->subscribed) {
        l->subscribed = 0;
        l->state(l->rmcf, 0);
    }
}


/* answers to what was said, and messages, are told apart by their words only:
 * of what was asked nothing waits for an answer of its own */

static void
ngx_http_claude_relay_listen_push(ngx_http_claude_relay_link_t *link,
    redisReply *reply)
{
    ngx_str_t                          text;
    redisReply                       **e;
    const char                        *kind;
    ncr_redis_error_e                  error;
    ngx_http_claude_relay_listener_t  *l;

    l = link->data;

    if (reply->type == REDIS_REPLY_STATUS) {
        l->waits = 0;
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        error = ngx_http_claude_relay_reply_error(reply);
        kind = ncr_redis_error_text(error);
        ngx_http_claude_relay_link_lost(link, kind ? kind
                                                   : "it is not listened to");
        return;
    }

    e = reply->element;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2
        || e[0]->type != REDIS_REPLY_STRING)
    {
        ngx_http_claude_relay_link_lost(link, "its answer makes no sense");
        return;
    }

    kind = e[0]->str;

    if (ngx_strcmp(kind, "message") == 0) {

        if (reply->elements == 3 && e[2]->type == REDIS_REPLY_STRING) {
            text.data = (u_char *) e[2]->str;
            text.len = e[2]->len;

            l->message(l->rmcf, &text);
        }

        return;
    }

    l->waits = 0;

    if (ngx_strcmp(kind, "subscribe") == 0 && !l->subscribed) {
        l->subscribed = 1;
        l->state(l->rmcf, 1);
    }
}


static void
ngx_http_claude_relay_listen_ping(ngx_event_t *ev)
{
    ngx_http_claude_relay_listener_t *l = ev->data;

    ngx_str_t                      ping;
    ngx_http_claude_relay_link_t  *link;

    link = l->link;

    if (link->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY) {
        return;
    }

    if (l->waits
        && ngx_current_msec - l->pinged >= link->conf->command_timeout)
    {
        ngx_http_claude_relay_link_lost(link, "its answer did not come");
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_LISTEN_PING);

    if (l->waits) {
        return;
    }

    ngx_str_set(&ping, "PING");

    if (ngx_http_claude_relay_link_say(link, &link->waiting,
                                       ngx_http_claude_relay_listen_none,
                                       &ping, 1)
        == NGX_OK)
    {
        l->waits = 1;
        l->pinged = ngx_current_msec;
    }
}
