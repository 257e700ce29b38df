
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a worker asks of Redis, and what becomes of the answers: errors that
 * mean something to everybody are understood here, so that whoever has asked
 * sees answers to its question, or none.
 */


#include "ngx_http_claude_relay_redis_link.h"

#include <openssl/sha.h>


/* so many answers in a row are late: it is slow */
#define NGX_HTTP_CLAUDE_RELAY_REDIS_LATE  3

/* how often it is asked whether it is there, ms: slow or not written to; and
 * idle */
#define NGX_HTTP_CLAUDE_RELAY_REDIS_PING  500
#define NGX_HTTP_CLAUDE_RELAY_REDIS_IDLE  5000


struct ngx_http_claude_relay_redis_s {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_link_t      *link;
    ngx_http_claude_relay_link_t      *side;    /* of who imports the slot;
                                                 * NULL: nobody */
    ngx_event_t                        ping;
    ngx_uint_t                         late;    /* in a row */
    char                               error[NGX_HTTP_CLAUDE_RELAY_REASON];

    unsigned                           slow:1;
    unsigned                           refused:1;   /* it cannot be written */
    unsigned                           pinged:1;
};


static ngx_int_t ngx_http_claude_relay_redis_script(
    ngx_http_claude_relay_script_t *script);
static ngx_int_t ngx_http_claude_relay_redis_put(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_ask_t *ask,
    ngx_http_claude_relay_order_t *order);
static ngx_int_t ngx_http_claude_relay_redis_done(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_redis_wrong(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply,
    const char **lost);
static ngx_int_t ngx_http_claude_relay_redis_text(
    ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order);
static ngx_int_t ngx_http_claude_relay_redis_moved(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_redis_asking(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_redis_asked(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static void ngx_http_claude_relay_redis_timed(
    ngx_http_claude_relay_redis_t *redis, ngx_msec_t ms);
static void ngx_http_claude_relay_redis_ready(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_redis_gone(
    ngx_http_claude_relay_link_t *link);
static void ngx_http_claude_relay_redis_ping(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_redis_ponged(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static void ngx_http_claude_relay_redis_free(
    ngx_http_claude_relay_redis_t *redis);


/* this worker's; none is made any more when it leaves */
static ngx_http_claude_relay_redis_t  *ngx_http_claude_relay_the_redis;
static ngx_uint_t                      ngx_http_claude_relay_redis_left;


ngx_http_claude_relay_redis_t *
ngx_http_claude_relay_redis(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_link_t   *link;
    ngx_http_claude_relay_redis_t  *redis;

    redis = ngx_http_claude_relay_the_redis;

    if (redis && redis->rmcf == rmcf) {
        return redis;
    }

    if (redis) {

        /* a single process has read its configuration again */

        ngx_http_claude_relay_the_redis = NULL;
        ngx_http_claude_relay_redis_free(redis);
    }

    if (rmcf->redis == NULL || ngx_http_claude_relay_redis_left) {
        return NULL;
    }

    redis = ngx_calloc(sizeof(ngx_http_claude_relay_redis_t), ngx_cycle->log);
    if (redis == NULL) {
        return NULL;
    }

    link = ngx_http_claude_relay_link_create(rmcf);

    if (link == NULL) {
        ngx_free(redis);
        return NULL;
    }

    redis->rmcf = rmcf;
    redis->link = link;

    link->data = redis;
    link->probes = 1;
    link->ready = ngx_http_claude_relay_redis_ready;
    link->gone = ngx_http_claude_relay_redis_gone;

    redis->ping.handler = ngx_http_claude_relay_redis_ping;
    redis->ping.data = redis;
    redis->ping.log = ngx_cycle->log;
    redis->ping.cancelable = 1;

    ngx_http_claude_relay_the_redis = redis;

    ngx_http_claude_relay_link_start(link);

    return redis;
}


ngx_http_claude_relay_redis_e
ngx_http_claude_relay_redis_state(ngx_http_claude_relay_redis_t *redis)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_link_t   *link;
    ngx_http_claude_relay_order_t  *order;

    if (redis == NULL || redis->refused
        || redis->link->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY)
    {
        return NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN;
    }

    if (redis->slow) {
        return NGX_HTTP_CLAUDE_RELAY_REDIS_SLOW;
    }

    /*
     * An answer that has not come is later than any that has.  It may be that
     * this worker has not looked, so nothing is concluded for later.
     */

    link = redis->link;

    if (!ngx_queue_empty(&link->sent)) {

        q = ngx_queue_head(&link->sent);
        order = ngx_queue_data(q, ngx_http_claude_relay_order_t, queue);

        if (ngx_current_msec - order->born
            > link->conf->timeout * NGX_HTTP_CLAUDE_RELAY_REDIS_LATE)
        {
            return NGX_HTTP_CLAUDE_RELAY_REDIS_SLOW;
        }
    }

    return NGX_HTTP_CLAUDE_RELAY_REDIS_UP;
}


const char *
ngx_http_claude_relay_redis_error(ngx_http_claude_relay_redis_t *redis)
{
    if (redis == NULL) {
        return "there is no memory for a connection";
    }

    if (redis->refused) {
        return redis->error;
    }

    return redis->slow ? "its answers are late" : redis->link->error;
}


ngx_int_t
ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_ask_t *ask, ngx_str_t *args, ngx_uint_t n)
{
    if (redis == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_claude_relay_redis_put(redis, ask,
                                       ngx_http_claude_relay_order(args, n));
}


ngx_int_t
ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_ask_t *ask, ngx_http_claude_relay_script_t *script,
    ngx_uint_t nkeys, ngx_str_t *args, ngx_uint_t n)
{
    u_char                          number[NGX_INT_T_LEN];
    ngx_str_t                       words[NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS];
    ngx_http_claude_relay_order_t  *order;

    if (redis == NULL || n > NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS - 3
        || ngx_http_claude_relay_redis_script(script) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_str_set(&words[0], "EVALSHA");
    words[1].data = (u_char *) script->sha;
    words[1].len = 40;
    words[2].data = number;
    words[2].len = ngx_sprintf(number, "%ui", nkeys) - number;

    if (n) {
        ngx_memcpy(&words[3], args, n * sizeof(ngx_str_t));
    }

    order = ngx_http_claude_relay_order(words, n + 3);

    if (order) {
        order->script = script;

        /* "*N\r\n$7\r\nEVALSHA\r\n$40\r\nSHA\r\n": what is behind is the same
         * with the text in place of it */

        order->rest = (u_char *) ngx_strchr(order->text, '\n')
                      - (u_char *) order->text + 1
                      + sizeof("$7\r\nEVALSHA\r\n$40\r\n\r\n") - 1 + 40;
    }

    return ngx_http_claude_relay_redis_put(redis, ask, order);
}


static ngx_int_t
ngx_http_claude_relay_redis_script(ngx_http_claude_relay_script_t *script)
{
    u_char  digest[SHA_DIGEST_LENGTH];

    if (script->sha[0]) {
        return NGX_OK;
    }

    if (SHA1((const u_char *) script->text, ngx_strlen(script->text), digest)
        == NULL)
    {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump((u_char *) script->sha, digest, sizeof(digest));
    script->sha[40] = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_redis_put(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_ask_t *ask, ngx_http_claude_relay_order_t *order)
{
    ngx_http_claude_relay_link_t  *link;

    if (order == NULL) {
        return NGX_DECLINED;
    }

    link = redis->link;

    if ((link->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY && !link->queues)
        || link->norders >= NGX_HTTP_CLAUDE_RELAY_LINK_ORDERS
        || link->bytes + order->len > NGX_HTTP_CLAUDE_RELAY_LINK_BYTES
        || (ask && ask->handler && ask->sent))
    {
        ngx_http_claude_relay_order_free(order);
        return NGX_DECLINED;
    }

    order->done = ngx_http_claude_relay_redis_done;

    /* who wants to hear nothing may be gone by then */

    if (ask && ask->handler) {
        order->ask = ask;
        ask->sent = order;
    }

    ngx_http_claude_relay_link_put(link, order);

    if (redis->rmcf->zone->fleet) {
        (void) ngx_atomic_fetch_add(&redis->rmcf->zone->fleet->stats.commands,
                                    1);
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_redis_forget(ngx_http_claude_relay_ask_t *ask)
{
    ngx_http_claude_relay_order_t  *order;

    order = ask->sent;

    if (order) {
        order->ask = NULL;
        ask->sent = NULL;
    }
}


static ngx_int_t
ngx_http_claude_relay_redis_done(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    const char                           *lost;
    ngx_int_t                             rc;
    ngx_http_claude_relay_ask_t          *ask;
    ngx_http_claude_relay_redis_t        *redis;
    ngx_http_claude_relay_fleet_stats_t  *stats;

    redis = link->data;
    lost = NULL;

    stats = redis->rmcf->zone->fleet ? &redis->rmcf->zone->fleet->stats : NULL;

    if (reply == NULL) {

        if (stats) {
            (void) ngx_atomic_fetch_add(&stats->failures, 1);
        }

    } else {

        if (link == redis->link) {
            ngx_http_claude_relay_redis_timed(redis,
                                              ngx_current_msec - order->born);
        }

        if (reply->type == REDIS_REPLY_ERROR) {

            rc = ngx_http_claude_relay_redis_wrong(redis, link, order, reply,
                                                   &lost);
            if (rc == NGX_AGAIN) {
                return NGX_AGAIN;
            }

            if (stats) {
                (void) ngx_atomic_fetch_add(&stats->errors, 1);
            }
        }
    }

    ask = order->ask;

    if (ask) {
        order->ask = NULL;
        ask->sent = NULL;
        ask->handler(ask, reply);
    }

    if (lost) {
        ngx_http_claude_relay_link_lost(link, lost);
    }

    return NGX_OK;
}


/* NGX_AGAIN: the order is on its way once more; lost: that connection is of
 * no use any more */

static ngx_int_t
ngx_http_claude_relay_redis_wrong(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply, const char **lost)
{
    ncr_redis_error_e  error;

    error = ngx_http_claude_relay_reply_error(reply);

    switch (error) {

    case NCR_REDIS_NOSCRIPT:
        return ngx_http_claude_relay_redis_text(link, order);

    case NCR_REDIS_MOVED:
        return ngx_http_claude_relay_redis_moved(redis, link, order, reply);

    case NCR_REDIS_ASK:
        return ngx_http_claude_relay_redis_asking(redis, link, order, reply);

    case NCR_REDIS_READONLY:
    case NCR_REDIS_MASTERDOWN:
    case NCR_REDIS_LOADING:
    case NCR_REDIS_NOAUTH:
    case NCR_REDIS_WRONGPASS:

        /* look for the master, or who knows us, anew */

        *lost = ncr_redis_error_text(error);
        return NGX_OK;

    case NCR_REDIS_OOM:
    case NCR_REDIS_MISCONF:
    case NCR_REDIS_NOREPLICAS:
    case NCR_REDIS_CLUSTERDOWN:

        if (!redis->refused) {
            redis->refused = 1;

            ngx_http_claude_relay_link_reason(link, redis->error,
                                              ncr_redis_error_text(error));

            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "Redis cannot be written: %s", redis->error);

            ngx_add_timer(&redis->ping, NGX_HTTP_CLAUDE_RELAY_REDIS_PING);
        }

        return NGX_OK;

    default:
        return NGX_OK;
    }
}


/* the same call, with the script's text */

static ngx_int_t
ngx_http_claude_relay_redis_text(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order)
{
    char       *text;
    u_char     *p;
    size_t      len, head, size;

    if (order->script == NULL || order->rest == 0) {
        return NGX_OK;
    }

    size = ngx_strlen(order->script->text);
    head = (u_char *) ngx_strchr(order->text, '\n') - (u_char *) order->text
           + 1;
    len = head + sizeof("$4\r\nEVAL\r\n$\r\n\r\n") + NGX_SIZE_T_LEN + size
          + order->len - order->rest;

    text = ngx_alloc(len, ngx_cycle->log);
    if (text == NULL) {
        return NGX_OK;
    }

    p = ngx_cpymem(text, order->text, head);
    p = ngx_sprintf(p, "$4\r\nEVAL\r\n$%uz\r\n", size);
    p = ngx_cpymem(p, order->script->text, size);
    *p++ = CR; *p++ = LF;
    p = ngx_cpymem(p, order->text + order->rest, order->len - order->rest);

    redisFreeCommand(order->text);

    order->text = text;
    order->len = p - (u_char *) text;
    order->own = 1;
    order->rest = 0;

    ngx_http_claude_relay_link_again(link, order);

    return NGX_AGAIN;
}


/* all keys are of one slot: where one is there are all */

static ngx_int_t
ngx_http_claude_relay_redis_moved(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply)
{
    ngx_http_claude_relay_link_t  *main;

    main = redis->link;

    if (!link->conf->cluster
        || ++order->repeats > NGX_HTTP_CLAUDE_RELAY_LINK_REPEATS)
    {
        return NGX_OK;
    }

    if (link == main && !link->moving) {

        if (ngx_http_claude_relay_link_follow(link, reply) != NGX_OK) {
            return NGX_OK;
        }

        link->moving = 1;
    }

    ngx_http_claude_relay_link_again(main, order);

    return NGX_AGAIN;
}


/* the slot is on its way, and this key is there already: another connection,
 * for as long as that takes */

static ngx_int_t
ngx_http_claude_relay_redis_asking(ngx_http_claude_relay_redis_t *redis,
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply)
{
    ncr_str_t                      text;
    ngx_str_t                      asking;
    ncr_redis_place_t              place;
    ngx_http_claude_relay_link_t  *side;

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    if (!link->conf->cluster || link != redis->link
        || ++order->repeats > NGX_HTTP_CLAUDE_RELAY_LINK_REPEATS
        || ncr_redis_moved(&text, &place) != NCR_OK)
    {
        return NGX_OK;
    }

    if (place.host[0] == '\0') {
        (void) ngx_cpystrn((u_char *) place.host, (u_char *) link->here.host,
                           NCR_REDIS_HOST);
    }

    side = redis->side;

    if (side && !side->queues
        && side->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY)
    {
        ngx_http_claude_relay_link_destroy(side);
        redis->side = NULL;
        side = NULL;
    }

    if (side == NULL) {

        side = ngx_http_claude_relay_link_create(redis->rmcf);
        if (side == NULL) {
            return NGX_OK;
        }

        side->data = redis;
        side->fixed = 1;
        side->named = 1;
        side->next = place;

        redis->side = side;

        ngx_http_claude_relay_link_start(side);
    }

    if (side->next.port != place.port
        || ngx_strcmp(side->next.host, place.host) != 0)
    {
        /* to two at a time it does not move */
        return NGX_OK;
    }

    ngx_str_set(&asking, "ASKING");

    if (ngx_http_claude_relay_link_say(side, &side->waiting,
                                       ngx_http_claude_relay_redis_asked,
                                       &asking, 1)
        != NGX_OK)
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_link_put(side, order);

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_claude_relay_redis_asked(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    return NGX_OK;
}


static void
ngx_http_claude_relay_redis_timed(ngx_http_claude_relay_redis_t *redis,
    ngx_msec_t ms)
{
    if (ms <= redis->link->conf->timeout) {
        redis->late = 0;
        redis->slow = 0;
        return;
    }

    if (redis->late++ == 0) {
        ngx_add_timer(&redis->ping, NGX_HTTP_CLAUDE_RELAY_REDIS_PING);
    }

    if (redis->late >= NGX_HTTP_CLAUDE_RELAY_REDIS_LATE) {
        redis->slow = 1;
    }
}


static void
ngx_http_claude_relay_redis_ready(ngx_http_claude_relay_link_t *link)
{
    ngx_http_claude_relay_redis_t  *redis;

    redis = link->data;

    redis->late = 0;
    redis->slow = 0;
    redis->refused = 0;
    redis->pinged = 0;
    redis->error[0] = '\0';

    if (redis->ping.timer_set) {
        ngx_del_timer(&redis->ping);
    }

    ngx_add_timer(&redis->ping, NGX_HTTP_CLAUDE_RELAY_REDIS_IDLE);

    if (!link->conf->cluster) {
        ngx_http_claude_relay_redis_listen_to(&link->here);
    }
}


static void
ngx_http_claude_relay_redis_gone(ngx_http_claude_relay_link_t *link)
{
    ngx_http_claude_relay_redis_t  *redis;

    redis = link->data;

    redis->late = 0;
    redis->slow = 0;
    redis->refused = 0;
    redis->pinged = 0;

    if (redis->ping.timer_set) {
        ngx_del_timer(&redis->ping);
    }
}


/* is it there, is it in time again, can it be written again? */

static void
ngx_http_claude_relay_redis_ping(ngx_event_t *ev)
{
    ngx_http_claude_relay_redis_t *redis = ev->data;

    u_char                         key[256];
    ngx_str_t                      args[5];
    ngx_uint_t                     n, idle;
    ngx_http_claude_relay_link_t  *link;

    link = redis->link;

    if (redis->side && redis->side->norders == 0
        && ngx_current_msec - redis->side->heard
           > NGX_HTTP_CLAUDE_RELAY_REDIS_IDLE)
    {
        ngx_http_claude_relay_link_destroy(redis->side);
        redis->side = NULL;
    }

    if (link->phase != NGX_HTTP_CLAUDE_RELAY_LINK_READY) {
        return;
    }

    idle = (redis->late == 0 && !redis->refused);

    ngx_add_timer(ev, idle ? NGX_HTTP_CLAUDE_RELAY_REDIS_IDLE
                           : NGX_HTTP_CLAUDE_RELAY_REDIS_PING);

    if (redis->pinged
        || (idle && ngx_current_msec - link->heard
                    < NGX_HTTP_CLAUDE_RELAY_REDIS_IDLE / 2))
    {
        return;
    }

    if (redis->refused) {
        n = ngx_http_claude_relay_probe(link, args, key, sizeof(key));

    } else {
        ngx_str_set(&args[0], "PING");
        n = 1;
    }

    if (ngx_http_claude_relay_link_say(link, &link->waiting,
                                       ngx_http_claude_relay_redis_ponged,
                                       args, n)
        == NGX_OK)
    {
        redis->pinged = 1;
    }
}


static ngx_int_t
ngx_http_claude_relay_redis_ponged(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    const char                     *lost;
    ngx_uint_t                      refused;
    ngx_http_claude_relay_redis_t  *redis;

    redis = link->data;
    redis->pinged = 0;

    if (reply == NULL) {
        return NGX_OK;
    }

    ngx_http_claude_relay_redis_timed(redis, ngx_current_msec - order->born);

    lost = NULL;
    refused = redis->refused;

    if (reply->type == REDIS_REPLY_ERROR) {

        if (ngx_http_claude_relay_redis_wrong(redis, link, order, reply,
                                              &lost)
            == NGX_AGAIN)
        {
            return NGX_AGAIN;
        }

        if (lost) {
            ngx_http_claude_relay_link_lost(link, lost);
        }

        return NGX_OK;
    }

    /* a SET has been answered, as it was asked while refused */

    if (refused && order->len > sizeof("*1\r\n$4\r\nPING\r\n") - 1) {
        redis->refused = 0;
        redis->error[0] = '\0';
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "Redis can be written again");
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_redis_exit_process(void)
{
    ngx_http_claude_relay_redis_t  *redis;

    ngx_http_claude_relay_redis_left = 1;
    ngx_http_claude_relay_redis_listen_stop();

    redis = ngx_http_claude_relay_the_redis;

    if (redis) {
        ngx_http_claude_relay_redis_free(redis);
        ngx_http_claude_relay_the_redis = NULL;
    }
}


static void
ngx_http_claude_relay_redis_free(ngx_http_claude_relay_redis_t *redis)
{
    if (redis->ping.timer_set) {
        ngx_del_timer(&redis->ping);
    }

    if (redis->side) {
        ngx_http_claude_relay_link_destroy(redis->side);
    }

    ngx_http_claude_relay_link_destroy(redis->link);
    ngx_http_claude_relay_places_free();

    ngx_free(redis);
}
