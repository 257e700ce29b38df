
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_books.h"


ngx_int_t
ngx_http_claude_relay_ledger_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec)
{
    return NGX_OK;
}
