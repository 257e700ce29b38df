
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Logins to the admin API by way of GitHub, or what speaks like it. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_


#include "ngx_http_claude_relay_admin.h"
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

/* one login, from the code on */

typedef struct {
    ngx_http_claude_relay_github_t    *conf;
    char                               state[NCR_STORE_LOGIN];
    u_char                             nonce[2 * 16 + 1];
    u_char                             digest[2 * NCR_SHA256_LEN + 1];
    ngx_str_t                          code;
    u_char                            *token;   /* of the call's pool */
    size_t                             token_len;
    int64_t                            id;
    char                               login[NCR_STORE_NAME];
    ngx_uint_t                         org;     /* that is asked for next */
    unsigned                           allowed:1;
    unsigned                           fresh:1; /* a person was made */
    unsigned                           barred:1;    /* and will not be */
    unsigned                           disabled:1;

    ncr_store_person_t                 person;
    ncr_store_session_t                session;
    u_char                             ticket[NGX_HTTP_CLAUDE_RELAY_TICKET];
} ngx_http_claude_relay_visitor_t;


/* github_enter.c: the account is known, and whether it is on a list */
void ngx_http_claude_relay_github_enter(ngx_http_claude_relay_call_t *call);


#endif /* _NGX_HTTP_CLAUDE_RELAY_GITHUB_H_INCLUDED_ */
