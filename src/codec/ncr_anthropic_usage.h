
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What messages of an answer have used, E.4; for the reader of answers. */


#ifndef _NCR_ANTHROPIC_USAGE_H_INCLUDED_
#define _NCR_ANTHROPIC_USAGE_H_INCLUDED_


#include "ncr_anthropic.h"


/* values of ncr_anthropic_count_t */

typedef enum {
    NCR_ANTHROPIC_INPUT = 0,
    NCR_ANTHROPIC_OUTPUT,
    NCR_ANTHROPIC_CACHE_READ,
    NCR_ANTHROPIC_CACHE_WRITE,
    NCR_ANTHROPIC_CACHE_WRITE_5M,
    NCR_ANTHROPIC_CACHE_WRITE_1H,
    NCR_ANTHROPIC_THINKING,
    NCR_ANTHROPIC_WEB_SEARCHES,
    NCR_ANTHROPIC_WEB_FETCHES,
    NCR_ANTHROPIC_COUNTS
} ncr_anthropic_count_e;


void ncr_anthropic_count(ncr_usage_t *u, ncr_anthropic_count_t *c);
void ncr_anthropic_sum(ncr_usage_t *u, const ncr_usage_t *more);

/* u is zero: what the current message tells */
void ncr_anthropic_message_usage(ncr_anthropic_answer_t *a, ncr_usage_t *u);

/* what of the current message is to be paid for */
void ncr_anthropic_message_parts(ncr_anthropic_answer_t *a,
    ncr_anthropic_parts_t *parts);

/* of more models than there is room for, the last one pays: nothing is lost */
void ncr_anthropic_pay(ncr_anthropic_parts_t *parts, const char *model,
    const ncr_usage_t *u);


#endif /* _NCR_ANTHROPIC_USAGE_H_INCLUDED_ */
