
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A password costs 100 ms of CPU and 32 MB to be hashed: neither the loop's
 * nor those of the store's thread, which tokens wait for.  Each worker has a
 * thread for them, made by the first one, with a short queue: who comes when
 * it is full is told to come back.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_PASSWORDS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_PASSWORDS_H_INCLUDED_


#include "ngx_http_claude_relay.h"
#include "ncr_password.h"


#define NGX_HTTP_CLAUDE_RELAY_PASSWORDS  16


typedef struct ngx_http_claude_relay_password_s
    ngx_http_claude_relay_password_t;

/* in the loop, once */
typedef void (*ngx_http_claude_relay_password_pt)(
    ngx_http_claude_relay_password_t *job);


struct ngx_http_claude_relay_password_s {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_password_pt  handler;
    void                              *data;

    /* to be checked against: in; of a password that was hashed: out */
    char                               text[NCR_PASSWORD_TEXT];

    /* of a check: NCR_OK, NCR_DECLINED; of a hash: NCR_OK; NCR_ERROR */
    ncr_int_t                          rc;

    /* private */
    u_char                             password[NCR_PASSWORD_MAX + 1];
    size_t                             len;
    ngx_uint_t                         hash;
};


/*
 * The job is the caller's, with handler and data set, and stays until handler
 * is called; the password is copied, and its copy forgotten by then.
 * NGX_BUSY: the queue is full; NGX_ERROR: no thread, or the worker leaves;
 * handler is not called then.
 */
ngx_int_t ngx_http_claude_relay_password_check(
    ngx_http_claude_relay_password_t *job, ngx_str_t *password);
ngx_int_t ngx_http_claude_relay_password_hash(
    ngx_http_claude_relay_password_t *job, ngx_str_t *password);

void ngx_http_claude_relay_passwords_exit_process(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_PASSWORDS_H_INCLUDED_ */
