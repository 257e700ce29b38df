
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_books.h"


void
ngx_http_claude_relay_audit(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
}
