
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the calls of logins share: api_logins.c, api_device.c, api_granted.c. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_LOGINS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_LOGINS_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"


/* a login, as the calls for it know it */

typedef struct {
    char                               id[NCR_STORE_LOGIN];
    char                              *sealed;  /* JSON, in the pool */
    char                              *kept;    /* as it was read */
    cJSON                             *json;    /* of that, in body */
    ncr_oauth_t                       *oauth;
    ngx_str_t                          code;
    ngx_str_t                          state;
    ncr_msec_t                         expires;
    ngx_msec_t                         save_until;
    char                              *url;
    char                              *redirect;
    char                               reason[256];
    char                               meta[NCR_OAUTH_META];
    ngx_http_claude_relay_call_pt      next;    /* behind look() */
    ngx_http_claude_relay_talk_t      *talk;    /* the last one */
    ncr_msec_t                         interval;    /* of a device's polls */
    ncr_msec_t                         after;   /* the next one, an instant */
    unsigned                           setup:1;
    unsigned                           device:1;
    unsigned                           fresh:1; /* a new account */
} ngx_http_claude_relay_login_t;


/* api_logins.c */

/* what is kept of a login: JSON in the call's pool; NGX_ERROR: answered */
ngx_int_t ngx_http_claude_relay_login_seal(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login, cJSON *json);

/* a step of it is begun by what is in the store: into login->json, and then
 * next */
void ngx_http_claude_relay_login_look(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next);

const char *ngx_http_claude_relay_login_field(
    ngx_http_claude_relay_login_t *login, const char *name);
char *ngx_http_claude_relay_login_str(ngx_http_claude_relay_call_t *call,
    ncr_str_t *s);

/* login->talk, which goes with the call; NULL: no memory */
ngx_http_claude_relay_talk_t *ngx_http_claude_relay_login_talk(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_account_t *a);

/* the answer of the token endpoint is in call->tokens */
void ngx_http_claude_relay_login_judge(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);

/* this login is over, for this reason */
void ngx_http_claude_relay_login_over(ngx_http_claude_relay_call_t *call,
    const char *reason);

/* the sealed text goes into the store under an id, and next is called */
void ngx_http_claude_relay_login_begin(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next);


/* api_device.c */

void ngx_http_claude_relay_login_device(ngx_http_claude_relay_call_t *call);


/* api_granted.c: tokens have come */

void ngx_http_claude_relay_login_granted(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_login_t *login);


#endif /* _NGX_HTTP_CLAUDE_RELAY_LOGINS_H_INCLUDED_ */
