
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Accounts, keys and rosters, where they are made and looked up: a part of
 * ngx_http_claude_relay.h.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ACCOUNTS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ACCOUNTS_H_INCLUDED_


/*
 * account.c: checks an account and makes what follows from its fields, in
 * pool.  NGX_ERROR: error has a message without secrets.  resolve: names are
 * looked up, which blocks.
 */

#define NGX_HTTP_CLAUDE_RELAY_ERROR  512

ngx_int_t ngx_http_claude_relay_account_json(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ngx_str_t *text, u_char *error);
ngx_uint_t ngx_http_claude_relay_is_setting(const char *name);
ngx_uint_t ngx_http_claude_relay_valid_name(ngx_str_t *name);

/* a field that only its platform has: NULL if it has none of this name; what
 * is wrong with a value, or NULL; the value is copied */
ncr_str_t *ngx_http_claude_relay_account_param(
    ngx_http_claude_relay_account_t *a, ngx_str_t *name);
const char *ngx_http_claude_relay_account_set_param(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ncr_str_t *param, ngx_str_t *value);
const char *ngx_http_claude_relay_account_group_add(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ngx_str_t *name);
ngx_int_t ngx_http_claude_relay_instant(ngx_str_t *text, ncr_msec_t *t);
ngx_int_t ngx_http_claude_relay_account_finish(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, u_char *error);
void ngx_http_claude_relay_account_init(ngx_http_claude_relay_account_t *a);
ngx_int_t ngx_http_claude_relay_target_make(ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *t, ncr_url_t *url);
ngx_int_t ngx_http_claude_relay_target_way(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *t, ncr_url_t *url,
    ngx_http_claude_relay_proxy_t *proxy, ngx_uint_t resolve,
    ngx_str_t *warning);

/*
 * egress.c: may what came by the API, or lies in the store, be connected to?
 * NGX_ERROR: error (NGX_HTTP_CLAUDE_RELAY_ERROR bytes) says why not.
 */

ngx_int_t ngx_http_claude_relay_guard_host(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *host, u_char *error);
ngx_int_t ngx_http_claude_relay_guard_url(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *text, u_char *error);
ngx_int_t ngx_http_claude_relay_guard_account(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_account_t *have,
    u_char *error);
ncr_address_e ngx_http_claude_relay_guard_addr(struct sockaddr *sa);

/* account_conf.c, key.c: the blocks of nginx.conf */

char *ngx_http_claude_relay_account(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_user(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_group(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_keys_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);

/* of nginx.conf, or NULL */
ngx_http_claude_relay_key_t *ngx_http_claude_relay_key_conf(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_str_t *name);
ngx_http_claude_relay_key_t *ngx_http_claude_relay_key_conf_digest(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *digest);

char *ngx_http_claude_relay_secret(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *secret);
/* store_conf.c: a key's file; whose: "the store's key" */
char *ngx_http_claude_relay_key_read(ngx_conf_t *cf, const char *whose,
    ngx_str_t *path, ngx_str_t *key);
char *ngx_http_claude_relay_secret_text(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *secret);

/* roster.c */

char *ngx_http_claude_relay_roster_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_claude_relay_pool_index(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name);
void ngx_http_claude_relay_roster_hold(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_roster_release(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster);
ngx_http_claude_relay_roster_t *ngx_http_claude_relay_roster_of(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);
ngx_http_claude_relay_account_t *ngx_http_claude_relay_roster_find(
    ngx_http_claude_relay_roster_t *roster, ngx_str_t *name);

/* NULL: no account is in it */
ngx_http_claude_relay_pool_t *ngx_http_claude_relay_roster_group(
    ngx_http_claude_relay_roster_t *roster, ngx_str_t *name);


#endif /* _NGX_HTTP_CLAUDE_RELAY_ACCOUNTS_H_INCLUDED_ */
