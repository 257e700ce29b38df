
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What export and import share: the sections of a document, and how its
 * secrets are sealed.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_PORT_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_PORT_H_INCLUDED_


#include "ngx_http_claude_relay_doc.h"
#include "ngx_http_claude_relay_work.h"
#include "ncr_store_hook.h"
#include "ncr_store_person.h"
#include "ncr_base64.h"
#include "ncr_port.h"


#define NGX_HTTP_CLAUDE_RELAY_PORT_VERSION     1
#define NGX_HTTP_CLAUDE_RELAY_PORT_PASSPHRASE  1024    /* bytes, at most */


/* in the order in which they are imported: what others name comes first */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_PORT_GROUPS = 0,
    NGX_HTTP_CLAUDE_RELAY_PORT_USERS,
    NGX_HTTP_CLAUDE_RELAY_PORT_LIMITS,
    NGX_HTTP_CLAUDE_RELAY_PORT_KEYS,
    NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS,
    NGX_HTTP_CLAUDE_RELAY_PORT_PEOPLE,
    NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS,
    NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS,
    NGX_HTTP_CLAUDE_RELAY_PORT_PRICES,
    NGX_HTTP_CLAUDE_RELAY_PORT_SECTIONS
} ngx_http_claude_relay_port_e;


typedef struct {
    const char                        *name;    /* of the document */
    const char                        *kind;    /* of one, and of the store */
    ncr_scope_e                        scope;   /* of the first four */
} ngx_http_claude_relay_section_t;

extern ngx_http_claude_relay_section_t  ngx_http_claude_relay_sections[];


/*
 * For a thread, a tenth of a second: the key of a passphrase.  salt has
 * NCR_SEAL_SALT bytes.
 */
ngx_int_t ngx_http_claude_relay_port_key(ngx_str_t *passphrase, u_char *salt,
    u_char *key);

/* a member "passphrase" of a body; NGX_ERROR: error tells */
ngx_int_t ngx_http_claude_relay_port_passphrase(cJSON *value,
    ngx_str_t *passphrase, const char **wrong);

/* a secret that the relay has made has 256 random bits, so its digest tells
 * nothing; one of an operator's may be guessed */
ngx_uint_t ngx_http_claude_relay_port_random(const char *prefix);


void ngx_http_claude_relay_api_export(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_import(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_backup(ngx_http_claude_relay_call_t *call);


#endif /* _NGX_HTTP_CLAUDE_RELAY_PORT_H_INCLUDED_ */
