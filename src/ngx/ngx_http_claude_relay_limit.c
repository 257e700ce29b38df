
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_books.h"


ngx_int_t
ngx_http_claude_relay_admit(ngx_http_claude_relay_ctx_t *ctx)
{
    ctx->admitted = 1;

    return NGX_OK;
}


void
ngx_http_claude_relay_settle_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_amounts_t *used, ncr_record_t *rec)
{
}


ngx_int_t
ngx_http_claude_relay_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    return ngx_http_claude_relay_error(r, ctx, ctx->refused.status,
                                       (char *) ctx->refused.message.data,
                                       ctx->refused.retry_after);
}
