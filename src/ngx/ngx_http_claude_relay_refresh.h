
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Tokens and the servers that give them: refreshes, logins, quota. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"
#include "ngx_http_claude_relay_fetch.h"
#include "ncr_oauth.h"


/* a token this close to its end is refreshed before it is used, ms (A.5) */
#define NGX_HTTP_CLAUDE_RELAY_MARGIN  10000


/* oauth.c: where logins of a platform happen, as configured */

ncr_oauth_t *ngx_http_claude_relay_oauth(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_platform_t *platform);

/*
 * A request of the token endpoint, through the account's proxy: body gets
 * room for it, in the fetch's pool.  send() starts it; answer() reads what
 * came.
 */

ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_token_request(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth, ngx_str_t *body);
ngx_int_t ngx_http_claude_relay_token_send(ngx_http_claude_relay_fetch_t *f,
    ncr_oauth_t *oauth, u_char *body, size_t len);
void ngx_http_claude_relay_token_answer(ngx_http_claude_relay_fetch_t *f,
    ncr_oauth_tokens_t *tokens);

/*
 * A request of the account's API with its credential, made but not started;
 * path from "/" on, behind that of base_url.  NULL: no token, or no memory.
 */

ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_api_request(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, const char *method, ncr_str_t *path,
    ngx_str_t *body);

/* the one of http { }, or NULL: for who has no location at hand */
ngx_resolver_t *ngx_http_claude_relay_resolver(void);

/* what failed, in words for an operator */
const char *ngx_http_claude_relay_fetch_failure(ncr_reply_kind_e kind);
const char *ngx_http_claude_relay_fetch_words(
    ngx_http_claude_relay_fetch_t *f);


/* refresh.c: by an operator; NGX_AGAIN: under way */

ngx_int_t ngx_http_claude_relay_refresh_now(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);


/* usage.c: once a second */

void ngx_http_claude_relay_usage_tick(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster);


#endif /* _NGX_HTTP_CLAUDE_RELAY_REFRESH_H_INCLUDED_ */
