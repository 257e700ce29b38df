
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The door to the API that is a location: who may come in is shown by a
 * cookie, a token, or a variable that nginx was told to trust.  All of that
 * is found out before a body is read.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ADMIN_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ADMIN_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"
#include "ncr_guard.h"


#define NGX_HTTP_CLAUDE_RELAY_COOKIE       "claude_relay_session"

#define NGX_HTTP_CLAUDE_RELAY_SECURE_OFF   0
#define NGX_HTTP_CLAUDE_RELAY_SECURE_ON    1
#define NGX_HTTP_CLAUDE_RELAY_SECURE_AUTO  2

/* of a cookie's or a token's 256 bits: "crt_" and base64url, with a NUL */
#define NGX_HTTP_CLAUDE_RELAY_TICKET       64


/* a location */

struct ngx_http_claude_relay_admin_s {
    ngx_str_t                          prefix;
    ngx_uint_t                         secure;

    /*
     * Whom nginx vouches for; may be NULL.  NGX_DECLINED: it does not.  Such a
     * person needs no session; role is of who is none of the store's, or
     * NCR_ROLE_NONE.  find() is for the store's thread.
     */

    ngx_int_t                        (*user)(ngx_http_request_t *r,
                                             ngx_str_t *name,
                                             ncr_role_e *role);
    ncr_int_t                        (*find)(ncr_store_t *store,
                                             const char *name,
                                             ncr_role_e role,
                                             ncr_store_person_t *person,
                                             ncr_msec_t now);
};


/* admin_user.c: user() and find() of a location, if it has them */
void ngx_http_claude_relay_admin_vouch(
    ngx_http_claude_relay_loc_conf_t *conf);


/* logins that failed, in the zone, under its lock */

#define NGX_HTTP_CLAUDE_RELAY_FRIENDS  64

typedef struct {
    uint64_t                           key;     /* of name and address */
    ncr_msec_t                         time;
} ngx_http_claude_relay_friend_t;

struct ngx_http_claude_relay_guards_s {
    ncr_guard_t                        addresses;
    ncr_guard_t                        pairs;   /* name and address */
    ncr_guard_t                        names;
    ngx_http_claude_relay_friend_t     friends[NGX_HTTP_CLAUDE_RELAY_FRIENDS];
};


/*
 * admin_guard.c.  What is tried: 0, or ms until it may be; then failed() or
 * passed() must follow.
 */

typedef struct {
    uint64_t                           address;
    uint64_t                           pair;
    uint64_t                           name;
    unsigned                           busy:1;  /* it is counted in flight */
} ngx_http_claude_relay_try_t;

ngx_msec_t ngx_http_claude_relay_try(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t, ngx_str_t *address, ngx_str_t *name);
void ngx_http_claude_relay_try_failed(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t);
void ngx_http_claude_relay_try_passed(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t);

/* it came to no end: neither */
void ngx_http_claude_relay_try_ended(ngx_http_claude_relay_try_t *t);


/* admin_auth.c: what a request shows */

typedef struct {
    ngx_str_t                          bearer;  /* "crt_..." */
    ngx_str_t                          cookie;
    ngx_str_t                          csrf;
    unsigned                           foreign:1;   /* of another origin */
} ngx_http_claude_relay_shown_t;

void ngx_http_claude_relay_admin_shown(ngx_http_request_t *r,
    ngx_http_claude_relay_shown_t *shown);

/* asks the store, and goes into the API; returns what a content handler
 * returns */
ngx_int_t ngx_http_claude_relay_admin_enter(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *path);

/* SHA-256 of a cookie or token */
void ngx_http_claude_relay_admin_digest(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *text, u_char *digest);

/* of the client, without a port, into the request's pool */
ngx_int_t ngx_http_claude_relay_admin_address(ngx_http_request_t *r,
    ngx_str_t *address);

/* "Set-Cookie"; value "": it is to be forgotten */
ngx_int_t ngx_http_claude_relay_admin_cookie(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *value, time_t age);


/* admin_first.c: the first admin; the file of its password, and its end */

char *ngx_http_claude_relay_admin_first(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_t *db);
void ngx_http_claude_relay_admin_first_done(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *name);


#endif /* _NGX_HTTP_CLAUDE_RELAY_ADMIN_H_INCLUDED_ */
