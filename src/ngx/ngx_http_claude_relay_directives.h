
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Directives whose values are more than a slot, and merging; a part of
 * ngx_http_claude_relay.h, which has the types.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_DIRECTIVES_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_DIRECTIVES_H_INCLUDED_


/* directives.c */

char *ngx_http_claude_relay_set_relay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_platforms(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_policy(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_sticky(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_tries(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_heartbeat(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_keepalive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_rest(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_quota_guard(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_cors(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_refresh(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_token_location(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_usage_poll(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

/* hide.c */

ngx_int_t ngx_http_claude_relay_merge_hide(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev);


#endif /* _NGX_HTTP_CLAUDE_RELAY_DIRECTIVES_H_INCLUDED_ */
