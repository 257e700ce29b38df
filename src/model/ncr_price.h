
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What tokens cost.  A table has dated rows; money is micro-dollars, whole
 * numbers.  Facts and rules: protocols/anthropic.md H, prices-*.csv, of which
 * util/prices.pl makes the built-in table.
 */


#ifndef _NCR_PRICE_H_INCLUDED_
#define _NCR_PRICE_H_INCLUDED_


#include "ncr_model.h"


/* 1/1,000,000 of a dollar for 1,000,000 tokens; NCR_PRICE_NONE: not told */
#define NCR_PRICE_NONE   UINT64_MAX

typedef struct {
    uint64_t      input;
    uint64_t      output;
    uint64_t      cache_read;
    uint64_t      cache_write_5m;
    uint64_t      cache_write_1h;
} ncr_rates_t;


/* how a request was served, by its answer and its route */

typedef enum {
    NCR_TIER_STANDARD = 0,
    NCR_TIER_FAST,                      /* usage.speed "fast" */
    NCR_TIER_PRIORITY,
    NCR_TIER_FLEX,
    NCR_TIER_BATCH
} ncr_tier_e;


typedef struct {
    const char   *model;                /* normalized, lower case */
    ncr_tier_e    tier;
    ncr_msec_t    from;                 /* 0 = always was */
    ncr_msec_t    until;                /* the first moment after; 0 = open */
    ncr_rates_t   rates;
    uint64_t      over;                 /* prompt tokens; above it: */
    ncr_rates_t   longer;               /* for all of the request */
} ncr_price_t;


typedef struct ncr_prices_s  ncr_prices_t;

struct ncr_prices_s {
    const ncr_price_t  *rows;           /* by model, tier, from */
    ncr_uint_t     n;
    char           version[20];         /* a hash of all of it, hex */
    ncr_uint_t     search;              /* a web search, micro-dollars */
    const ncr_prices_t  *base;          /* asked for what is not here */
};


/* u += more */
void ncr_usage_add(ncr_usage_t *u, const ncr_usage_t *more);

/* the table that is built in; its version names the facts' date, too */
const ncr_prices_t *ncr_prices_builtin(void);


/*
 * An override: JSON as docs/prices.md has it, or a table of LiteLLM's shape
 * ("input_cost_per_token" and so on).  Allocates with malloc(); NCR_BAD:
 * error (size bytes) tells what is wrong and where.
 */
ncr_int_t ncr_prices_read(ncr_prices_t **prices, ncr_str_t *text,
    const ncr_prices_t *base, char *error, size_t size);
void ncr_prices_free(ncr_prices_t *prices);


/*
 * The id that is looked for: without a vendor's prefix, "[1m]", "-latest",
 * "-v1:0", ARN, region; lower case.  Dates stay: they are tried with and
 * without.  Returns its length, cut to size.
 */
size_t ncr_price_model(char *dst, size_t size, ncr_str_t *model);

/* the row that holds at that time, or NULL: nobody knows */
const ncr_price_t *ncr_price_find(const ncr_prices_t *prices,
    ncr_str_t *model, ncr_tier_e tier, ncr_msec_t time);


typedef struct {
    ncr_msec_t    time;
    ncr_tier_e    tier;
    ncr_uint_t    permille;             /* of a region or geo: 1100 for "us";
                                           0 is 1000 */
    ncr_part_t   *parts;
    ncr_uint_t    nparts;
    const ncr_price_t **rows;           /* of the parts, if they were looked
                                           up by the caller; or NULL */
} ncr_bill_t;

/*
 * NCR_OK, cost in micro-dollars, rounded half up once; NCR_DECLINED: a part's
 * model is not known, cost is that of the others.
 */
ncr_int_t ncr_price_bill(const ncr_prices_t *prices, ncr_bill_t *bill,
    uint64_t *cost);

/*
 * No request of this model with so many tokens can cost more, however they
 * are served; NCR_DECLINED.  Web searches are not in it.
 */
ncr_int_t ncr_price_most(const ncr_prices_t *prices, ncr_str_t *model,
    ncr_msec_t time, uint64_t input, uint64_t output, uint64_t *cost);

/* the factor of usage.inference_geo, "us" or whatever: 1000 or 1100 */
ncr_uint_t ncr_price_permille(ncr_str_t *model, ncr_str_t *geo);


#endif /* _NCR_PRICE_H_INCLUDED_ */
