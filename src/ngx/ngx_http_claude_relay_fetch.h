
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * One HTTP request of the module's own, made from a timer or on behalf of
 * somebody: sent over a connection of the connector, or into a location of
 * the operator's, its answer collected in bounded memory and bounded time.
 * It has a pool of its own and belongs to no client's request.
 *
 *     f = ngx_http_claude_relay_fetch_create(log);
 *     f->target = ...; f->rmcf = ...; f->resolver = ...;
 *     f->head = ...; f->body = ...;
 *     f->data = ...; f->handler = ...;
 *
 *     if (ngx_http_claude_relay_fetch_start(f) != NGX_OK) {
 *         ngx_http_claude_relay_fetch_destroy(f);
 *     }
 *
 * The handler reads the outcome and destroys it, now or later.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FETCH_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FETCH_H_INCLUDED_


#include "ngx_http_claude_relay.h"
#include "ncr_http.h"


#define NGX_HTTP_CLAUDE_RELAY_FETCH_BODY     (64 * 1024)
#define NGX_HTTP_CLAUDE_RELAY_FETCH_TIMEOUT  30000


typedef struct ngx_http_claude_relay_fetch_s  ngx_http_claude_relay_fetch_t;
typedef struct ngx_http_claude_relay_visit_s  ngx_http_claude_relay_visit_t;

typedef void (*ngx_http_claude_relay_fetch_pt)(
    ngx_http_claude_relay_fetch_t *f);


/* an internal location that sends a request on, and whose server it is in */

typedef struct {
    ngx_str_t                          uri;     /* empty: none */
    ngx_str_t                          args;
    ngx_http_core_srv_conf_t          *server;
    ngx_http_addr_conf_t              *addr_conf;
    ngx_log_t                         *log;
} ngx_http_claude_relay_place_t;


struct ngx_http_claude_relay_fetch_s {

    /* set by the caller before the start; none of it is copied but the text
     * of the request */

    ngx_http_claude_relay_target_t    *target;      /* must outlive it */
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_resolver_t                    *resolver;    /* or NULL */

    ngx_str_t                          head;        /* the request line and
                                                     * headers, "Host" and
                                                     * "Content-Length"
                                                     * included, each with
                                                     * its CRLF; the empty
                                                     * line is added */
    ngx_str_t                          body;

    ngx_http_claude_relay_place_t     *place;       /* instead of target and
                                                     * head, or NULL: a POST
                                                     * of JSON; of the
                                                     * answer's headers only
                                                     * content_type and
                                                     * retry_after are told */
    size_t                             max_body;    /* of the answer */
    ngx_msec_t                         timeout;     /* of the whole */

    void                              *data;
    ngx_http_claude_relay_fetch_pt     handler;     /* called once, from the
                                                     * event loop, never from
                                                     * inside of start() */

    unsigned                           important:1; /* holds an exiting worker
                                                     * until it is done, even
                                                     * beyond
                                                     * worker_shutdown_timeout
                                                     */
    unsigned                           idempotent:1; /* may be sent twice: on
                                                      * a kept connection, and
                                                      * again if that one was
                                                      * dead */

    /*
     * The outcome.  What came before a failure stays: status, headers and
     * answer may be there although kind is RESET, TIMEOUT or GARBAGE.  In
     * doubt about "sent" it is 1.
     */

    ncr_reply_kind_e                   kind;
    ngx_uint_t                         sent;        /* the server may have got
                                                     * some of the request */
    ngx_uint_t                         status;      /* 0: none came */
    ngx_str_t                          content_type;
    ngx_str_t                          retry_after;
    ngx_array_t                        headers;     /* of ngx_table_elt_t; keys
                                                     * are in lower case, NUL
                                                     * stands behind both */
    ngx_str_t                          answer;      /* the body, no chunks */

    unsigned                           cut:1;       /* larger than max_body */

    ngx_pool_t                        *pool;        /* its own */

    /* private */

    ngx_queue_t                        queue;
    ngx_log_t                          log;
    ngx_http_claude_relay_dial_t       dial;
    ngx_connection_t                  *connection;
    ngx_http_claude_relay_visit_t     *visit;
    ngx_event_t                        timer;
    ngx_event_t                        event;       /* calls the handler */
    ncr_http_t                         http;
    ngx_str_t                          out;         /* head and body */
    ngx_str_t                          heads;       /* http.buf */
    ngx_str_t                          in;          /* what is read into */
    u_char                            *pos;         /* of out */
    size_t                             room;        /* of answer.data */

    unsigned                           starting:1;
    unsigned                           active:1;    /* between start and end */
    unsigned                           received:1;  /* a byte of an answer */
    unsigned                           repeated:1;
};


/* log: of whom it is for; it may go away before the fetch does */

ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_fetch_create(
    ngx_log_t *log);

/* NGX_OK: the handler will be called; NGX_ERROR: it will not */

ngx_int_t ngx_http_claude_relay_fetch_start(ngx_http_claude_relay_fetch_t *f);

/*
 * At any time, also from inside of the handler; if it has not been called
 * yet, it will not be.  Secrets in its buffers are zeroed: the request as it
 * was sent, the answer, and head and body where they are allocations of
 * f->pool.
 */

void ngx_http_claude_relay_fetch_destroy(ngx_http_claude_relay_fetch_t *f);

/* NGX_DECLINED: that was too much; what there was room for was taken */

ngx_int_t ngx_http_claude_relay_fetch_append(
    ngx_http_claude_relay_fetch_t *f, u_char *p, size_t len);

/* it has ended; the handler is called soon */

void ngx_http_claude_relay_fetch_done(ngx_http_claude_relay_fetch_t *f,
    ncr_reply_kind_e kind, ngx_uint_t keep);

/* location.c: by way of f->place */

void ngx_http_claude_relay_place(ngx_http_claude_relay_place_t *place,
    ngx_http_request_t *r);
ngx_int_t ngx_http_claude_relay_visit(ngx_http_claude_relay_fetch_t *f);
void ngx_http_claude_relay_visit_close(ngx_http_claude_relay_fetch_t *f);

/* the worker leaves: all of them are given up, their handlers not called */

void ngx_http_claude_relay_fetch_exit(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FETCH_H_INCLUDED_ */
