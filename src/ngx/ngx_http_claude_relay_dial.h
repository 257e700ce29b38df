
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the making of connections, and the looking up of names, has of its
 * own; see ngx_http_claude_relay_dial.c, ngx_http_claude_relay_lookup.c. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_DIAL_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_DIAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include "ncr_model.h"
#include "ncr_platform.h"
#include "ncr_proxy.h"


struct ngx_http_claude_relay_target_s;
struct ngx_http_claude_relay_main_conf_s;


typedef void (*ngx_http_claude_relay_dial_pt)(void *data, ngx_int_t rc);


typedef struct ngx_http_claude_relay_lookup_name_s
                                        ngx_http_claude_relay_lookup_name_t;


/* who wants to know a name's addresses; see ngx_http_claude_relay_lookup.c */

typedef struct {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_lookup_name_t *name;  /* NULL: it does not wait */
    void                              *data;
    void                             (*handler)(void *data);

    ngx_resolver_addr_t               *addrs;   /* without a port */
    ngx_uint_t                         naddrs;
    const char                        *error;
} ngx_http_claude_relay_lookup_t;


/* the making of a connection; see ngx_http_claude_relay_dial.c */

typedef struct ngx_http_claude_relay_dial_s {
    struct ngx_http_claude_relay_target_s     *target;
    struct ngx_http_claude_relay_main_conf_s  *rmcf;
    ngx_resolver_t                    *resolver;
    ngx_msec_t                         resolver_timeout;
    ngx_msec_t                         timeout;
    ngx_log_t                         *log;

    void                              *data;
    ngx_http_claude_relay_dial_pt      handler;

    /* the outcome */

    ngx_connection_t                  *connection;
    ncr_reply_kind_e                   failure; /* CONNECT, TLS, TIMEOUT */
    unsigned                           cached:1;
    unsigned                           refused:1;   /* not a public address:
                                                     * see egress.c */

    /* private */

    ngx_str_t                          host;    /* the proxy's, if any */
    in_port_t                          port;
    ngx_uint_t                        *turn;
    ngx_resolver_ctx_t                *resolving;
    ngx_http_claude_relay_lookup_t     lookup;
    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;
    ngx_uint_t                         next;
    ngx_uint_t                         left;
    ngx_peer_connection_t              peer;
    ngx_event_t                        deadline;
    ngx_pool_t                        *pool;    /* addresses, tunnel */
    ncr_proxy_t                       *tunnel;
    const char                        *step;    /* "while ...", for logs */
    ngx_int_t                          rc;
    unsigned                           active:1;
    unsigned                           starting:1;
    unsigned                           literal:1;
    unsigned                           guarded:1;   /* the hop */
    unsigned                           tried:1; /* an address, at least */
} ngx_http_claude_relay_dial_t;


#endif /* _NGX_HTTP_CLAUDE_RELAY_DIAL_H_INCLUDED_ */
