
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_price_top.c"
#include "ncr_test.h"


#define NCR_TEST_NOW  (INT64_C(1795262400) * 1000)    /* 2026-11-21T12:00Z */


static ncr_str_t
ncr_test_name(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    return s;
}


/* never less than ncr_price_most(), and at most what is rounded up more */

static void
ncr_test_same(const ncr_prices_t *prices, const char *name)
{
    uint64_t         most, cost;
    ncr_str_t        model;
    ncr_uint_t       i, j, ok;
    ncr_price_top_t  top;

    static const uint64_t  tokens[] = {
        0, 1, 7, 1000, 128000, 199999, 200000, 200001, 271999, 272001,
        1000000, 10000000
    };

    model = ncr_test_name(name);
    ncr_price_top(&top, prices, &model, NCR_TEST_NOW);

    ok = (top.n != 0);

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        for (j = 0; j < sizeof(tokens) / sizeof(tokens[0]); j++) {

            if (ncr_price_most(prices, &model, NCR_TEST_NOW, tokens[i],
                               tokens[j], &most)
                != NCR_OK)
            {
                ok = 0;
            }

            cost = ncr_price_top_cost(&top, tokens[i], tokens[j]);

            if (cost < most || cost > most + 1) {
                printf("# %s, %llu in, %llu out: %llu, not %llu\n", name,
                       (unsigned long long) tokens[i],
                       (unsigned long long) tokens[j],
                       (unsigned long long) cost, (unsigned long long) most);
                ok = 0;
            }
        }
    }

    ncr_test(ok, name);
}


static void
ncr_test_table(void)
{
    ncr_uint_t           i, n;
    ncr_str_t            model;
    ncr_price_top_t      top;
    const ncr_prices_t  *prices;

    prices = ncr_prices_builtin();

    for (i = 0, n = 0; i < prices->n; i++) {

        if (i && strcmp(prices->rows[i].model, prices->rows[i - 1].model) == 0)
        {
            continue;
        }

        ncr_test_same(prices, prices->rows[i].model);
        n++;
    }

    ncr_test(n > 10, "the whole table");

    model = ncr_test_name("nobody-knows-it");
    ncr_price_top(&top, prices, &model, NCR_TEST_NOW);

    ncr_test(top.n == 0 && ncr_price_top_cost(&top, 1000, 1000) == 0,
             "a model that nobody knows");
}


/* by hand */

static void
ncr_test_hand(void)
{
    ncr_str_t        model;
    ncr_price_top_t  top;
    ncr_price_t      rows[2];
    ncr_prices_t     prices;

    memset(&prices, 0, sizeof(ncr_prices_t));
    memset(rows, 0, sizeof(rows));

    rows[0].model = "our-model";
    rows[0].rates.input = 2000000;
    rows[0].rates.output = 10000000;
    rows[0].rates.cache_read = NCR_PRICE_NONE;
    rows[0].rates.cache_write_5m = NCR_PRICE_NONE;
    rows[0].rates.cache_write_1h = NCR_PRICE_NONE;
    rows[0].over = 1000;
    rows[0].longer = rows[0].rates;
    rows[0].longer.input = 4000000;
    rows[0].longer.output = NCR_PRICE_NONE;

    prices.rows = rows;
    prices.n = 1;

    model = ncr_test_name("our-model");
    ncr_price_top(&top, &prices, &model, NCR_TEST_NOW);

    ncr_test(top.n == 1 && top.permille == 1000, "one row, no region");
    ncr_test(ncr_price_top_cost(&top, 1000, 100) == 3000, "a short prompt");
    ncr_test(ncr_price_top_cost(&top, 1001, 100) == 5004, "a long one");
    ncr_test(ncr_price_top_cost(&top, 0, 0) == 0, "nothing");
    ncr_test(ncr_price_top_cost(&top, 1, 0) == 2, "one token");

    rows[0].rates.input = 1;
    ncr_price_top(&top, &prices, &model, NCR_TEST_NOW);
    ncr_test(ncr_price_top_cost(&top, 1, 0) == 1, "rounded up");
    ncr_test(ncr_price_top_cost(&top, UINT64_MAX, UINT64_MAX)
             >= UINT64_MAX / NCR_PRICE_TOP_SCALE, "more than anybody has");
}


int
main(void)
{
    ncr_test_hand();
    ncr_test_table();

    return ncr_test_done();
}
