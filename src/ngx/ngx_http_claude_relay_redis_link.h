
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the files of the Redis client share: a link is one connection that is
 * made again and again, redis_link.c; whom to connect to, and what is said
 * first, is redis_server.c's; what is asked over it and what answers mean is
 * redis.c's and redis_listen.c's.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_REDIS_LINK_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_REDIS_LINK_H_INCLUDED_


#include "ngx_http_claude_relay_fleet.h"
#include "ncr_redis.h"


#define NGX_HTTP_CLAUDE_RELAY_LINK_BUF      16384
#define NGX_HTTP_CLAUDE_RELAY_LINK_ORDERS   8192
#define NGX_HTTP_CLAUDE_RELAY_LINK_BYTES    (32 * 1024 * 1024)

/* one command is followed so often, at most, or a text tried after its SHA */
#define NGX_HTTP_CLAUDE_RELAY_LINK_REPEATS  5

/* nodes of a Cluster that are remembered */
#define NGX_HTTP_CLAUDE_RELAY_LINK_PLACES   32

/* of connections, ms */
#define NGX_HTTP_CLAUDE_RELAY_LINK_WAIT     50
#define NGX_HTTP_CLAUDE_RELAY_LINK_WAIT_MAX 2000

/* who lives for so long was not a failure, ms */
#define NGX_HTTP_CLAUDE_RELAY_LINK_SOUND    2000


typedef struct ngx_http_claude_relay_link_s   ngx_http_claude_relay_link_t;
typedef struct ngx_http_claude_relay_order_s  ngx_http_claude_relay_order_t;

/* reply NULL: there is none.  NGX_AGAIN: the order was queued again, and is
 * not freed */
typedef ngx_int_t (*ngx_http_claude_relay_order_pt)(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);


/* a command, from when it is asked until it is answered */

struct ngx_http_claude_relay_order_s {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_order_pt     done;
    ngx_http_claude_relay_ask_t       *ask;     /* NULL: nobody waits */
    ngx_http_claude_relay_script_t    *script;  /* NULL: none */
    char                              *text;
    size_t                             len;
    size_t                             written;
    size_t                             rest;    /* behind a script's SHA */
    ngx_msec_t                         born;
    ngx_uint_t                         repeats;
    unsigned                           own:1;   /* text is not of hiredis */
    unsigned                           secret:1;
};


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LINK_CLOSED = 0,      /* timer: the next attempt */
    NGX_HTTP_CLAUDE_RELAY_LINK_DIALS,           /* timer: its deadline */
    NGX_HTTP_CLAUDE_RELAY_LINK_GREETS,          /* the same one */
    NGX_HTTP_CLAUDE_RELAY_LINK_READY    /* timer: the oldest order's */
} ngx_http_claude_relay_link_e;


struct ngx_http_claude_relay_link_s {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_redis_conf_t *conf;
    void                              *data;

    /* the owner's; each may be NULL */

    void                             (*ready)(
                                          ngx_http_claude_relay_link_t *link);
    void                             (*gone)(
                                          ngx_http_claude_relay_link_t *link);
    void                             (*push)(
                                          ngx_http_claude_relay_link_t *link,
                                          redisReply *reply);

    ngx_http_claude_relay_link_e       phase;
    ngx_uint_t                         busy;        /* frames that use it */
    ngx_uint_t                         failures;    /* in a row */
    ngx_uint_t                         closings;    /* tells one connection
                                                     * from the next */
    ngx_msec_t                         since;       /* it is ready */
    ngx_msec_t                         heard;
    char                               error[NGX_HTTP_CLAUDE_RELAY_REASON];

    ngx_log_t                          log;
    ngx_http_claude_relay_dial_t       dial;
    ngx_connection_t                  *connection;
    redisReader                       *reader;
    ncr_redis_frame_t                  frame;

    ngx_queue_t                        first;   /* what is said first */
    ngx_queue_t                        waiting;
    ngx_queue_t                        sent;    /* without an answer yet */
    ngx_uint_t                         norders;
    size_t                             bytes;   /* of these */

    u_char                            *out;
    u_char                            *pos;     /* of out */
    u_char                            *last;
    ngx_event_t                        flush;
    ngx_event_t                        timer;

    /* redis_server.c */

    ngx_http_claude_relay_target_t     target;
    ngx_addr_t                         addr;
    ngx_sockaddr_t                     sockaddr;
    ncr_redis_place_t                  here;    /* who that is; port 0: a
                                                 * unix socket */
    ncr_redis_place_t                  next;    /* to be gone to */
    ngx_uint_t                         turn;
    ngx_uint_t                         tried;   /* of this round */
    ngx_uint_t                         hops;

    unsigned                           named:1;     /* next is there */
    unsigned                           sentinel:1;  /* one of these is asked */
    unsigned                           fixed:1;     /* only "next", one time */
    unsigned                           probes:1;    /* it is to be written */
    unsigned                           moving:1;    /* when all is answered */
    unsigned                           queues:1;    /* while it is not ready */
    unsigned                           told:1;      /* that it is away */
    unsigned                           stopped:1;
};


/* redis_link.c */

ngx_http_claude_relay_link_t *ngx_http_claude_relay_link_create(
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_link_destroy(ngx_http_claude_relay_link_t *link);

/* now, or after the pause that its failures are worth */
void ngx_http_claude_relay_link_start(ngx_http_claude_relay_link_t *link);

/* a broken connection: all that was asked has no answer */
void ngx_http_claude_relay_link_lost(ngx_http_claude_relay_link_t *link,
    const char *why);

/* the connection goes, what is asked stays */
void ngx_http_claude_relay_link_close(ngx_http_claude_relay_link_t *link);

/* an attempt has failed: another server, or a pause */
void ngx_http_claude_relay_link_failed(ngx_http_claude_relay_link_t *link,
    const char *why);
void ngx_http_claude_relay_link_is_ready(ngx_http_claude_relay_link_t *link);

/* who says why; buf is of NGX_HTTP_CLAUDE_RELAY_REASON bytes */
void ngx_http_claude_relay_link_reason(ngx_http_claude_relay_link_t *link,
    char *buf, const char *why);

ngx_http_claude_relay_order_t *ngx_http_claude_relay_order(
    ngx_str_t *args, ngx_uint_t n);
void ngx_http_claude_relay_order_free(ngx_http_claude_relay_order_t *order);
void ngx_http_claude_relay_link_put(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order);

/* in front of all others, as it has waited already */
void ngx_http_claude_relay_link_again(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order);

/* a command of the client's own */
ngx_int_t ngx_http_claude_relay_link_say(ngx_http_claude_relay_link_t *link,
    ngx_queue_t *queue, ngx_http_claude_relay_order_pt done, ngx_str_t *args,
    ngx_uint_t n);


/* redis_server.c */

/* link->target is made; NGX_ERROR: there is nobody */
ngx_int_t ngx_http_claude_relay_link_whom(ngx_http_claude_relay_link_t *link);

/* another one: NGX_OK; NGX_DECLINED: all were tried in this round */
ngx_int_t ngx_http_claude_relay_link_another(
    ngx_http_claude_relay_link_t *link);

/* it is connected; ends in link_is_ready(), link_failed() or elsewhere */
ngx_int_t ngx_http_claude_relay_link_greet(ngx_http_claude_relay_link_t *link);

/* nodes of a Cluster that were learned */
void ngx_http_claude_relay_places_free(void);

/* the words of a command; how many there are */
ngx_uint_t ngx_http_claude_relay_probe(ngx_http_claude_relay_link_t *link,
    ngx_str_t *args, u_char *buf, size_t size);

/* as a MOVED says; NGX_DECLINED: that is enough, or it makes no sense */
ngx_int_t ngx_http_claude_relay_link_follow(
    ngx_http_claude_relay_link_t *link, redisReply *reply);

ncr_redis_error_e ngx_http_claude_relay_reply_error(redisReply *reply);


/* redis_listen.c: follow to where commands go now */
void ngx_http_claude_relay_redis_listen_to(ncr_redis_place_t *place);


#endif /* _NGX_HTTP_CLAUDE_RELAY_REDIS_LINK_H_INCLUDED_ */
