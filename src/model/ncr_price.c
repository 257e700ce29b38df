
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_price.h"


static const ncr_prices_t  ncr_prices_none;


const ncr_prices_t *
ncr_prices_builtin(void)
{
    return &ncr_prices_none;
}


void
ncr_usage_add(ncr_usage_t *u, const ncr_usage_t *more)
{
    u->input += more->input;
    u->output += more->output;
    u->cache_read += more->cache_read;
    u->cache_write += more->cache_write;
    u->cache_write_5m += more->cache_write_5m;
    u->cache_write_1h += more->cache_write_1h;
    u->thinking += more->thinking;
    u->web_searches += more->web_searches;
    u->web_fetches += more->web_fetches;
}


ncr_int_t
ncr_price_bill(const ncr_prices_t *prices, ncr_bill_t *bill, uint64_t *cost)
{
    *cost = 0;

    return bill->nparts ? NCR_DECLINED : NCR_OK;
}


const ncr_price_t *
ncr_price_find(const ncr_prices_t *prices, ncr_str_t *model, ncr_tier_e tier,
    ncr_msec_t time)
{
    return NULL;
}


ncr_int_t
ncr_price_most(const ncr_prices_t *prices, ncr_str_t *model, ncr_msec_t time,
    uint64_t input, uint64_t output, uint64_t *cost)
{
    *cost = 0;

    return NCR_DECLINED;
}
