
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* LiteLLM's table of prices: a member for each model, dollars for a token. */


#include "ncr_price_file.h"
#include "ncr_str.h"

#include <stdio.h>


static ncr_int_t ncr_price_litellm_model(ncr_price_file_t *f, cJSON *item);
static ncr_int_t ncr_price_litellm_tiers(ncr_price_file_t *f, cJSON *item,
    ncr_price_t *standard);
static void ncr_price_litellm_long(cJSON *item, ncr_price_t *price);
static uint64_t ncr_price_litellm_rate(cJSON *item, const char *name);
static uint64_t ncr_price_ratio(uint64_t rate, uint64_t to, uint64_t from);
static ncr_rates_t ncr_price_scaled(ncr_rates_t *rates, ncr_rates_t *from,
    ncr_rates_t *to);


/* in the order of the kinds; what a tier adds to them */

static const char *const  ncr_price_litellm_kinds[NCR_PRICE_KINDS] = {
    "input_cost_per_token", "output_cost_per_token",
    "cache_read_input_token_cost", "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr"
};

static const char *const  ncr_price_litellm_names[NCR_PRICE_TIERS] = {
    NULL, NULL, "_priority", "_flex", "_batches"
};


ncr_int_t
ncr_price_litellm(ncr_price_file_t *f, cJSON *root)
{
    cJSON      *item;
    ncr_int_t   rc;

    cJSON_ArrayForEach(item, root) {

        if (!cJSON_IsObject(item) || strcmp(item->string, "sample_spec") == 0)
        {
            continue;
        }

        f->model = item->string;
        rc = ncr_price_litellm_model(f, item);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    f->model = NULL;

    if (f->n == 0) {
        return ncr_price_bad(f, NULL, "there is neither \"models\" nor any "
                             "\"input_cost_per_token\"");
    }

    return NCR_OK;
}


/* what is not paid by the token, or has an odd name, is left out */

static ncr_int_t
ncr_price_litellm_model(ncr_price_file_t *f, cJSON *item)
{
    ncr_uint_t    i;
    ncr_rates_t  *rates;
    ncr_price_t   price, *draft;

    memset(&price, 0, sizeof(ncr_price_t));
    price.longer = ncr_price_untold;
    rates = &price.rates;

    for (i = 0; i < NCR_PRICE_KINDS; i++) {
        *ncr_price_kind(rates, i) =
            ncr_price_litellm_rate(item, ncr_price_litellm_kinds[i]);
    }

    if (rates->input == NCR_PRICE_NONE || rates->output == NCR_PRICE_NONE) {
        return NCR_OK;
    }

    /* free at one place or while it is tried: not a price of the model */

    if (rates->input == 0 && rates->output == 0) {
        return NCR_OK;
    }

    /* an hour costs twice the input where five minutes cost 1.25 times */

    if (rates->cache_write_1h == NCR_PRICE_NONE
        && rates->cache_write_5m != NCR_PRICE_NONE
        && rates->cache_write_5m * 4 == rates->input * 5)
    {
        rates->cache_write_1h = rates->input * 2;
    }

    ncr_price_litellm_long(item, &price);

    draft = ncr_price_draft(f, f->model);

    if (draft == NULL) {

        if (f->error[0]) {
            f->error[0] = '\0';
            return NCR_OK;
        }

        return NCR_ERROR;
    }

    price.model = draft->model;
    *draft = price;

    return ncr_price_litellm_tiers(f, item, &price);
}


static ncr_int_t
ncr_price_litellm_tiers(ncr_price_file_t *f, cJSON *item,
    ncr_price_t *standard)
{
    char          name[128];
    ncr_uint_t    i, tier;
    ncr_rates_t   told;
    ncr_price_t   price, *draft;

    for (tier = 0; tier < NCR_PRICE_TIERS; tier++) {

        if (ncr_price_litellm_names[tier] == NULL) {
            continue;
        }

        for (i = 0; i < NCR_PRICE_KINDS; i++) {
            (void) snprintf(name, sizeof(name), "%s%s",
                            ncr_price_litellm_kinds[i],
                            ncr_price_litellm_names[tier]);

            *ncr_price_kind(&told, i) = ncr_price_litellm_rate(item, name);
        }

        if (told.input == NCR_PRICE_NONE || told.output == NCR_PRICE_NONE) {
            continue;
        }

        price = *standard;
        price.tier = (ncr_tier_e) tier;
        price.rates = ncr_price_scaled(&standard->rates, &standard->rates,
                                       &told);
        price.longer = ncr_price_scaled(&standard->longer, &standard->rates,
                                        &told);

        for (i = 0; i < NCR_PRICE_KINDS; i++) {
            if (*ncr_price_kind(&told, i) != NCR_PRICE_NONE) {
                *ncr_price_kind(&price.rates, i) = *ncr_price_kind(&told, i);
            }
        }

        draft = ncr_price_draft(f, f->model);

        if (draft == NULL) {
            return NCR_ERROR;
        }

        price.model = draft->model;
        *draft = price;
    }

    return NCR_OK;
}


/* "input_cost_per_token_above_200k_tokens", of several the lowest */

static void
ncr_price_litellm_long(cJSON *item, ncr_price_t *price)
{
    char          name[128];
    cJSON        *member;
    size_t        len;
    int64_t       n, least;
    ncr_str_t     digits;
    ncr_uint_t    i;
    ncr_rates_t   longer;

    static const char  prefix[] = "input_cost_per_token_above_";
    static const char  suffix[] = "k_tokens";

    least = 0;

    cJSON_ArrayForEach(member, item) {
        len = strlen(member->string);

        if (len < sizeof(prefix) + sizeof(suffix) - 2
            || strncmp(member->string, prefix, sizeof(prefix) - 1) != 0
            || strcmp(member->string + len - sizeof(suffix) + 1, suffix) != 0
            || !cJSON_IsNumber(member))
        {
            continue;
        }

        digits.data = (ncr_char_t *) member->string + sizeof(prefix) - 1;
        digits.len = len - sizeof(prefix) - sizeof(suffix) + 2;

        if (ncr_str_int(&digits, &n) == NCR_OK && n > 0 && n < 1000000
            && (least == 0 || n < least))
        {
            least = n;
        }
    }

    if (least == 0) {
        return;
    }

    for (i = 0; i < NCR_PRICE_KINDS; i++) {
        (void) snprintf(name, sizeof(name), "%s_above_%dk_tokens",
                        ncr_price_litellm_kinds[i], (int) least);

        *ncr_price_kind(&longer, i) = ncr_price_litellm_rate(item, name);
    }

    if (longer.input == NCR_PRICE_NONE) {
        return;
    }

    if (longer.output == NCR_PRICE_NONE) {
        longer.output = price->rates.output;
    }

    /* kinds that are not told cost as much more as input does */

    for (i = 2; i < NCR_PRICE_KINDS; i++) {
        if (*ncr_price_kind(&longer, i) == NCR_PRICE_NONE) {
            *ncr_price_kind(&longer, i) =
                ncr_price_ratio(*ncr_price_kind(&price->rates, i),
                                longer.input, price->rates.input);
        }
    }

    price->over = (uint64_t) least * 1000;
    price->longer = longer;
}


/* dollars for a token: a million millionths for a million of them */

static uint64_t
ncr_price_litellm_rate(cJSON *item, const char *name)
{
    cJSON  *member;

    member = cJSON_GetObjectItemCaseSensitive(item, name);

    if (!cJSON_IsNumber(member) || !(member->valuedouble >= 0)
        || member->valuedouble > 1)
    {
        return NCR_PRICE_NONE;
    }

    return (uint64_t) (member->valuedouble * 1e12 + 0.5);
}


static uint64_t
ncr_price_ratio(uint64_t rate, uint64_t to, uint64_t from)
{
    double  v;

    if (rate == NCR_PRICE_NONE || from == 0) {
        return rate;
    }

    v = (double) rate * (double) to / (double) from + 0.5;

    return (uint64_t) ncr_min(v, NCR_PRICE_MOST);
}


/* a band in another tier: each kind as input, or output */

static ncr_rates_t
ncr_price_scaled(ncr_rates_t *rates, ncr_rates_t *from, ncr_rates_t *to)
{
    ncr_uint_t    i;
    ncr_rates_t   scaled;

    for (i = 0; i < NCR_PRICE_KINDS; i++) {
        *ncr_price_kind(&scaled, i) =
            ncr_price_ratio(*ncr_price_kind(rates, i), to->input,
                            from->input);
    }

    scaled.output = ncr_price_ratio(rates->output, to->output, from->output);

    return scaled;
}
