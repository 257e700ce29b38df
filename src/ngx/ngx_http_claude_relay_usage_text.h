
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Sums and rows of the ledger as JSON or CSV; in its thread. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_USAGE_TEXT_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_USAGE_TEXT_H_INCLUDED_


#include "ngx_http_claude_relay_ledger.h"


/* grows; "failed" is sticky */

typedef struct {
    u_char                            *data;
    size_t                             len;
    size_t                             size;
    unsigned                           csv:1;
    unsigned                           failed:1;
} ngx_http_claude_relay_usage_text_t;


void ngx_http_claude_relay_usage_text(ngx_http_claude_relay_usage_text_t *t,
    const char *fmt, ...);

/* {"key":"alice","requests":1,...}, or a line of CSV; names NULL: none */
void ngx_http_claude_relay_usage_sum(ngx_http_claude_relay_usage_text_t *t,
    const char *const *by, ncr_ledger_sum_t *sum);
void ngx_http_claude_relay_usage_row(ngx_http_claude_relay_usage_text_t *t,
    uint64_t number, ncr_record_t *rec);

/* the first line of CSV */
void ngx_http_claude_relay_usage_sum_head(
    ngx_http_claude_relay_usage_text_t *t, const char *const *by);
void ngx_http_claude_relay_usage_row_head(
    ngx_http_claude_relay_usage_text_t *t);

/* "12.345678" of micro-dollars; 32 bytes */
void ngx_http_claude_relay_usage_money(int64_t micros, char *dst);


#endif /* _NGX_HTTP_CLAUDE_RELAY_USAGE_TEXT_H_INCLUDED_ */
