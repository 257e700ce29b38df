
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * WebSockets: who asks for one, and which accounts have them.  Where none
 * has, the client is told so at once by a 426, which makes Codex fall back
 * to HTTP without another try (clients.md 4.2).
 */


#include "ngx_http_claude_relay.h"


#define NGX_HTTP_CLAUDE_RELAY_UPGRADE_REQUIRED  426


static ngx_str_t  ngx_http_claude_relay_socket_426 =
    ngx_string("426 Upgrade Required");


/* a handshake by RFC 6455, 4.1; what is in it is the upstream's to judge */

ngx_uint_t
ngx_http_claude_relay_socket_asked(ngx_http_request_t *r)
{
    ngx_str_t         name;
    ngx_uint_t        i, upgrade, socket;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

#if (NGX_HTTP_V2)
    if (r->stream) {
        return 0;
    }
#endif

    if (r->method != NGX_HTTP_GET
        || r->http_version != NGX_HTTP_VERSION_11)
    {
        return 0;
    }

    ngx_str_set(&name, "upgrade");
    upgrade = 0;
    socket = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (ncr_str_caseeq(ncr(&h[i].key), "connection")) {
                upgrade |= ngx_http_claude_relay_named(&h[i].value, &name);

            } else if (ncr_str_caseeq(ncr(&h[i].key), "upgrade")) {
                socket |= ncr_str_caseeq(ncr(&h[i].value), "websocket");
            }
        }
    }

    return upgrade && socket;
}


/* by the account's field of this name; platforms without it have none */

ngx_uint_t
ngx_http_claude_relay_socket_able(ngx_http_claude_relay_account_t *a)
{
    ncr_str_t           name;
    ngx_uint_t          i;
    const ncr_param_t  *param;

    param = a->platform->params;

    for (i = 0; param && param[i].name.len; i++) {

        name = param[i].name;

        if (ncr_str_eq(&name, "websocket")) {
            return ncr_str_eq(&a->params[i], "on");
        }
    }

    return 0;
}


/* is there an account at all that this could be relayed to? */

ngx_uint_t
ngx_http_claude_relay_socket_offered(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = ctx->pool->accounts.elts;

    for (i = 0; i < ctx->pool->accounts.nelts; i++) {
        if (ngx_http_claude_relay_serves(a[i], NCR_OP_SOCKET, &ctx->model)
            && ngx_http_claude_relay_open_to(ctx, a[i]))
        {
            return 1;
        }
    }

    return 0;
}


/* there is no WebSocket to be had: RFC 9110, 15.5.22 */

ngx_int_t
ngx_http_claude_relay_socket_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_set(&value, "HTTP/1.1");

    if (ngx_http_claude_relay_add_header(r, "Upgrade", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "Upgrade");

    if (ngx_http_claude_relay_add_header(r, "Connection", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->error == NCR_CLASS_OK) {
        ctx->error = NCR_CLASS_CLIENT;
    }

    if (ctx->nattempts == 0) {

        /* each start of a Codex asks for one: that is no request */

        ctx->booked = 1;
    }

    r->headers_out.status_line = ngx_http_claude_relay_socket_426;

    return ngx_http_claude_relay_error(r, ctx,
                        NGX_HTTP_CLAUDE_RELAY_UPGRADE_REQUIRED,
                        "no account of this relay serves WebSockets now, use "
                        "HTTP", -1);
}
