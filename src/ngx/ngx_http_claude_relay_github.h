
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Logins to the admin API by way of GitHub, or what speaks like it. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_


#include "ngx_http_claude_relay_people.h"


/* the directive, as it is configured */

struct ngx_http_claude_relay_github_s {
    ngx_str_t                          client_id;
    ngx_str_t                          secret;
    ngx_str_t                          url;     /* of people's browsers */
    ngx_str_t                          api;
    ngx_array_t                        logins;  /* ngx_str_t: who may */
    ngx_array_t                        orgs;    /* and members of these */
    ncr_role_e                         role;    /* of who is new */
};


#endif /* _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_ */
