
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What ncr_price_most() says, made ready for many requests of one model: a
 * search for each of its tiers once, then a few multiplications.
 */


#ifndef _NCR_PRICE_TOP_H_INCLUDED_
#define _NCR_PRICE_TOP_H_INCLUDED_


#include "ncr_price.h"


#define NCR_PRICE_TOP_ROWS  (NCR_TIER_BATCH + 1)


/* dearest kinds of input, and output; as of ncr_rates_t */

typedef struct {
    uint64_t      over;                 /* 0: never */
    uint64_t      input;
    uint64_t      output;
    uint64_t      long_input;
    uint64_t      long_output;
} ncr_price_top_row_t;


typedef struct {
    ncr_uint_t           n;             /* 0: nobody knows */
    uint64_t             permille;
    ncr_price_top_row_t  rows[NCR_PRICE_TOP_ROWS];
} ncr_price_top_t;


void ncr_price_top(ncr_price_top_t *top, const ncr_prices_t *prices,
    ncr_str_t *model, ncr_msec_t time);

/* micro-dollars, rounded up; not more than 18 billion of them */
uint64_t ncr_price_top_cost(ncr_price_top_t *top, uint64_t input,
    uint64_t output);


#endif /* _NCR_PRICE_TOP_H_INCLUDED_ */
