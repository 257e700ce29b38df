
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of the answers about a key share. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_SELF_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_SELF_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"


/* today, this month, ever */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS  3

typedef struct {
    ncr_ledger_sum_t                   sums[NGX_HTTP_CLAUDE_RELAY_TOTALS];
} ngx_http_claude_relay_totals_t;


/* self.c; totals NULL: they are not known */
ngx_int_t ngx_http_claude_relay_self_answer(ngx_http_request_t *r,
    ngx_http_claude_relay_totals_t *totals);

/* self_totals.c */
ngx_int_t ngx_http_claude_relay_self_totals(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);


#endif /* _NGX_HTTP_CLAUDE_RELAY_SELF_H_INCLUDED_ */
