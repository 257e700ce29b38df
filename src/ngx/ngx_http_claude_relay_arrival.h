
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What requests arrive as, beside plain ones: a part of the one header. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ARRIVAL_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ARRIVAL_H_INCLUDED_


/* decode.c: bodies that came compressed.  init: NGX_DECLINED: in a way that
 * is not known; decode: takes all of in, gives what goes on */

ngx_int_t ngx_http_claude_relay_decode_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_decode(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t *in, ngx_chain_t **out);
ngx_uint_t ngx_http_claude_relay_decode_failed(
    ngx_http_claude_relay_ctx_t *ctx);

/* socket_route.c: is one asked for, has an account them, does anybody here;
 * and the 426 if not */

ngx_uint_t ngx_http_claude_relay_socket_asked(ngx_http_request_t *r);
ngx_uint_t ngx_http_claude_relay_socket_able(
    ngx_http_claude_relay_account_t *a);
ngx_uint_t ngx_http_claude_relay_socket_offered(
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_socket_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);


#endif /* _NGX_HTTP_CLAUDE_RELAY_ARRIVAL_H_INCLUDED_ */
