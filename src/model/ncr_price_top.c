
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_price_top.h"


/* of a million tokens, in 1/1000 */
#define NCR_PRICE_TOP_SCALE  UINT64_C(1000000000)


static void ncr_price_top_rates(const ncr_rates_t *rates,
    const ncr_rates_t *plain, uint64_t *input, uint64_t *output);
static uint64_t ncr_price_top_told(uint64_t rate, uint64_t otherwise);
static uint64_t ncr_price_top_times(uint64_t a, uint64_t b);


void
ncr_price_top(ncr_price_top_t *top, const ncr_prices_t *prices,
    ncr_str_t *model, ncr_msec_t time)
{
    ncr_str_t             us;
    ncr_uint_t            i, tier;
    const ncr_price_t    *row, *seen[NCR_PRICE_TOP_ROWS];
    ncr_price_top_row_t  *r;

    ncr_str_set(&us, "us");

    top->n = 0;
    top->permille = ncr_price_permille(model, &us);

    for (tier = NCR_TIER_STANDARD; tier <= NCR_TIER_BATCH; tier++) {

        row = ncr_price_find(prices, model, (ncr_tier_e) tier, time);

        /* a tier that is not sold apart is billed as standard */

        for (i = 0; i < top->n; i++) {
            if (seen[i] == row) {
                break;
            }
        }

        if (row == NULL || i < top->n) {
            continue;
        }

        seen[top->n] = row;
        r = &top->rows[top->n++];

        r->over = row->over;

        ncr_price_top_rates(&row->rates, &row->rates, &r->input, &r->output);
        ncr_price_top_rates(row->over ? &row->longer : &row->rates,
                            &row->rates, &r->long_input, &r->long_output);
    }
}


/* kinds that have no rate of their own cost what the plain one does */

static void
ncr_price_top_rates(const ncr_rates_t *rates, const ncr_rates_t *plain,
    uint64_t *input, uint64_t *output)
{
    uint64_t  in, hour;

    in = ncr_price_top_told(rates->input, plain->input);
    hour = ncr_price_top_told(rates->cache_write_5m, in);

    *input = ncr_max(in, hour);
    *input = ncr_max(*input, ncr_price_top_told(rates->cache_write_1h, hour));
    *input = ncr_max(*input, ncr_price_top_told(rates->cache_read, in));

    *output = ncr_price_top_told(rates->output, plain->output);
}


static uint64_t
ncr_price_top_told(uint64_t rate, uint64_t otherwise)
{
    return rate == NCR_PRICE_NONE ? otherwise : rate;
}


uint64_t
ncr_price_top_cost(ncr_price_top_t *top, uint64_t input, uint64_t output)
{
    uint64_t              in, out, cost;
    ncr_uint_t            i;
    ncr_price_top_row_t  *r;

    cost = 0;

    for (i = 0; i < top->n; i++) {

        r = &top->rows[i];

        if (r->over && input > r->over) {
            in = ncr_price_top_times(input, r->long_input);
            out = ncr_price_top_times(output, r->long_output);

        } else {
            in = ncr_price_top_times(input, r->input);
            out = ncr_price_top_times(output, r->output);
        }

        in = (in > UINT64_MAX - out) ? UINT64_MAX : in + out;
        cost = ncr_max(cost, in);
    }

    cost = ncr_price_top_times(cost, top->permille);

    return cost / NCR_PRICE_TOP_SCALE + (cost % NCR_PRICE_TOP_SCALE != 0);
}


static uint64_t
ncr_price_top_times(uint64_t a, uint64_t b)
{
    return (b && a > UINT64_MAX / b) ? UINT64_MAX : a * b;
}
