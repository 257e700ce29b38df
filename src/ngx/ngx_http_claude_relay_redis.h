
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A connection to Redis that keeps itself up: commands and their answers,
 * pipelined, on the event loop.  Each worker has one for commands, made with
 * its first one; the worker that speaks for the node has another one that
 * listens.  hiredis writes commands and reads answers, the connector of the
 * relay connects.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_REDIS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_REDIS_H_INCLUDED_


#include "ngx_http_claude_relay_zone.h"

#include <hiredis/hiredis.h>


/* no command has more arguments; those of scripts are counted, too */
#define NGX_HTTP_CLAUDE_RELAY_REDIS_ARGS  1024


typedef struct ngx_http_claude_relay_redis_s  ngx_http_claude_relay_redis_t;
typedef struct ngx_http_claude_relay_ask_s    ngx_http_claude_relay_ask_t;

/*
 * reply NULL: there is none (the connection broke, the answer is late, the
 * queue was full), and whether Redis has done it is not known; a reply of
 * REDIS_REPLY_ERROR is an answer.  The reply is freed behind the handler.
 * Called once, from the event loop, never within the function that has asked;
 * the ask may be reused or freed in it.
 */
typedef void (*ngx_http_claude_relay_ask_pt)(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);

/* the caller's, zeroed before its first use; it must stay until its handler
 * is called, or it is forgotten */

struct ngx_http_claude_relay_ask_s {
    ngx_http_claude_relay_ask_pt       handler; /* NULL: nobody is told */
    void                              *data;
    void                              *sent;    /* private; NULL: idle */
};


/* a script: sent by its SHA-1, as a text where Redis does not know it */

typedef struct {
    const char                        *name;    /* for messages */
    const char                        *text;
    char                               sha[41]; /* made with its first use */
} ngx_http_claude_relay_script_t;


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN = 0,   /* no connection, or not ready */
    NGX_HTTP_CLAUDE_RELAY_REDIS_SLOW,       /* answers later than "timeout" */
    NGX_HTTP_CLAUDE_RELAY_REDIS_UP          /* and it may be written */
} ngx_http_claude_relay_redis_e;


/* claude_relay_redis, read in redis_conf.c */

struct ngx_http_claude_relay_redis_conf_s {
    ngx_array_t                        servers; /* of ..._target_t *, in the
                                                 * order they were written */
    ngx_str_t                          user;
    ngx_str_t                          password;
    ngx_str_t                          sentinel;    /* name of the master;
                                                     * "": no Sentinels */
    ngx_str_t                          sentinel_user;
    ngx_str_t                          sentinel_password;
    ngx_uint_t                         db;
    ngx_str_t                          prefix;
    ngx_str_t                          node;    /* this node's name */
    ngx_uint_t                         nodes;   /* how many, if not known */
    ngx_msec_t                         connect_timeout;
    ngx_msec_t                         timeout; /* what a request waits */
    ngx_msec_t                         command_timeout; /* then it is broken */
    ngx_msec_t                         lease;   /* a node is gone after it */
    ngx_uint_t                         away;    /* see fleet.h */
    ngx_str_t                          secret_file; /* "": the store's */
    ngx_str_t                          trusted; /* certificates; "": the
                                                 * system's */
    u_char                             rows_key[NCR_SEAL_KEY];
    u_char                             sessions_key[NCR_SEAL_KEY];
    ngx_ssl_t                         *ssl;     /* NULL: plain */
    ngx_flag_t                         ssl_verify;
    unsigned                           cluster:1;
    unsigned                           tls:1;
    unsigned                           keyed:1; /* the two keys are made */
};


/* redis_conf.c: claude_relay_redis address ... [parameter=value ...] */
char *ngx_http_claude_relay_set_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the keys, of the store's if there is no other; when all is read */
char *ngx_http_claude_relay_redis_init_conf(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);


/* redis.c: of this worker; NULL before the first call and without Redis */

ngx_http_claude_relay_redis_t *ngx_http_claude_relay_redis(
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_http_claude_relay_redis_e ngx_http_claude_relay_redis_state(
    ngx_http_claude_relay_redis_t *redis);

/* "", or why it is not up; no secret in it */
const char *ngx_http_claude_relay_redis_error(
    ngx_http_claude_relay_redis_t *redis);

/*
 * One command: args are copied.  NGX_OK: it is on its way, or waits for the
 * connection that is being made; the handler will be called.  NGX_DECLINED:
 * there is no connection now, or the queue is full; the handler will not be
 * called.  (The first call begins to connect and returns NGX_OK.)
 */
ngx_int_t ngx_http_claude_relay_redis_send(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_ask_t *ask,
    ngx_str_t *args, ngx_uint_t n);

/* a script; nkeys of the n arguments, the first ones, are keys */
ngx_int_t ngx_http_claude_relay_redis_call(
    ngx_http_claude_relay_redis_t *redis, ngx_http_claude_relay_ask_t *ask,
    ngx_http_claude_relay_script_t *script, ngx_uint_t nkeys,
    ngx_str_t *args, ngx_uint_t n);

/* whoever has asked is gone: no handler is called.  An idle ask is fine */
void ngx_http_claude_relay_redis_forget(ngx_http_claude_relay_ask_t *ask);

/*
 * Another connection, which listens on a channel: message() for each text;
 * state() when it is subscribed (1: what was said before was perhaps missed)
 * and when it is not (0).  One for each worker; stop() ends it.
 */
ngx_int_t ngx_http_claude_relay_redis_listen(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *channel,
    void (*message)(ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *text),
    void (*state)(ngx_http_claude_relay_main_conf_t *rmcf,
                  ngx_uint_t subscribed));
void ngx_http_claude_relay_redis_listen_stop(void);

void ngx_http_claude_relay_redis_exit_process(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_REDIS_H_INCLUDED_ */
