
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What fleet_sessions.c and fleet_bonds.c have in common. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FLEET_SESSIONS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FLEET_SESSIONS_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_fleet.h"


#define NGX_HTTP_CLAUDE_RELAY_HEX   (2 * NGX_HTTP_CLAUDE_RELAY_KEY_LEN)

/* an account, or an account and the key that owns an id */
#define NGX_HTTP_CLAUDE_RELAY_SAID  (NGX_HTTP_CLAUDE_RELAY_NAME_LEN           \
                                     + NCR_KEY_NAME)

/* said with one call */
#define NGX_HTTP_CLAUDE_RELAY_SAYS  64


/* what the zone has of one key */

typedef struct {
    u_char                             key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         account; /* node's number */
    uint64_t                           owner;
    ncr_msec_t                         ttl;
    ngx_uint_t                         session;
    size_t                             len;
    u_char                             value[NGX_HTTP_CLAUDE_RELAY_SAID];
} ngx_http_claude_relay_said_t;


typedef struct {
    ngx_http_claude_relay_ask_t        ask;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_uint_t                         n;
    ngx_http_claude_relay_said_t       said[NGX_HTTP_CLAUDE_RELAY_SAYS];
} ngx_http_claude_relay_say_t;


/* all of it is told; heard: what Redis has in place of some of it is taken */
ngx_int_t ngx_http_claude_relay_bonds_say(ngx_http_claude_relay_say_t *say);
void ngx_http_claude_relay_bonds_heard(ngx_http_claude_relay_say_t *say,
    redisReply *reply);

/* sessions, NGX_HTTP_CLAUDE_RELAY_ENDED at most, whose keys follow each other;
 * nobody is told */
void ngx_http_claude_relay_bonds_unset(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *keys, ngx_uint_t n);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FLEET_SESSIONS_H_INCLUDED_ */
