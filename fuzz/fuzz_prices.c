
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Files of prices: a table is sorted, and each row of it is found. */


#include "../src/model/ncr_price_file.c"
#include "../src/model/ncr_price_litellm.c"
#include "ncr_fuzz.h"


static void
ncr_fuzz_table(ncr_prices_t *prices)
{
    uint64_t            cost;
    ncr_str_t           model;
    ncr_uint_t          i;
    const ncr_price_t  *row, *last;

    last = NULL;

    for (i = 0; i < prices->n; i++) {
        row = &prices->rows[i];

        ncr_fuzz_check(row->rates.input <= 1000000000000
                       && row->rates.output <= 1000000000000
                       && (row->until == 0 || row->until > row->from));

        if (last) {
            ncr_fuzz_check(strcmp(last->model, row->model) <= 0);
        }

        last = row;

        model.data = (ncr_char_t *) (uintptr_t) row->model;
        model.len = strlen(row->model);

        (void) ncr_price_find(prices, &model, row->tier, row->from);
        (void) ncr_price_most(prices, &model, row->from, 200000, UINT64_MAX,
                              &cost);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char            error[200];
    ncr_int_t       rc;
    ncr_str_t       text;
    ncr_prices_t   *prices;

    text.len = size;
    text.data = malloc(size + !size);
    memcpy(text.data, data, size);

    rc = ncr_prices_read(&prices, &text, ncr_prices_builtin(), error,
                         sizeof(error));
    free(text.data);

    if (rc != NCR_OK) {
        ncr_fuzz_check(error[0] != '\0');
        return 0;
    }

    ncr_fuzz_table(prices);
    ncr_prices_free(prices);

    return 0;
}
