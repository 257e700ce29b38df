
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_price.c"
#include "ncr_test.h"


#define NCR_TEST_NOW  (INT64_C(1795262400) * 1000)    /* 2026-11-21T12:00Z */


static ncr_part_t    ncr_test_parts[NCR_PARTS];
static ncr_bill_t    ncr_test_b;


static void
ncr_test_begin(ncr_tier_e tier)
{
    memset(ncr_test_parts, 0, sizeof(ncr_test_parts));
    memset(&ncr_test_b, 0, sizeof(ncr_bill_t));

    ncr_test_b.time = NCR_TEST_NOW;
    ncr_test_b.tier = tier;
    ncr_test_b.parts = ncr_test_parts;
}


static ncr_usage_t *
ncr_test_part(const char *model, uint64_t input, uint64_t output)
{
    ncr_part_t  *part;

    part = &ncr_test_parts[ncr_test_b.nparts++];
    snprintf(part->model, sizeof(part->model), "%s", model);
    part->usage.input = input;
    part->usage.output = output;

    return &part->usage;
}


/* is it that many micro-dollars? */

static int
ncr_test_costs(uint64_t want)
{
    uint64_t   cost;
    ncr_int_t  rc;

    rc = ncr_price_bill(ncr_prices_builtin(), &ncr_test_b, &cost);

    if (rc != NCR_OK || cost != want) {
        printf("# %d, %llu\n", (int) rc, (unsigned long long) cost);
    }

    return rc == NCR_OK && cost == want;
}


static int
ncr_test_cost(ncr_tier_e tier, const char *model, uint64_t input,
    uint64_t output, uint64_t want)
{
    ncr_test_begin(tier);
    (void) ncr_test_part(model, input, output);

    return ncr_test_costs(want);
}


static void
ncr_test_names(void)
{
    char         buf[NCR_MODEL_LEN], small[8];
    size_t       n;
    ncr_str_t    s;
    ncr_uint_t   i;

    static const char *const  names[][2] = {
        { "claude-opus-4-8", NULL },
        { "Claude-Opus-4-8", "claude-opus-4-8" },
        { "claude-opus-4-8[1m]", "claude-opus-4-8" },
        { "claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5-20250929" },
        { "claude-3-7-sonnet-latest", "claude-3-7-sonnet" },
        { "anthropic.claude-opus-4-8", "claude-opus-4-8" },
        { "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
          "claude-sonnet-4-5-20250929" },
        { "global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6" },
        { "anthropic.claude-3-haiku-20240307-v1:0:200k",
          "claude-3-haiku-20240307" },
        { "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
          "us.anthropic.claude-opus-4-5-20251101-v1:0",
          "claude-opus-4-5-20251101" },
        { "claude-opus-4-5@20251101", "claude-opus-4-5-20251101" },
        { "claude-opus-4-8@default", "claude-opus-4-8" },
        { "vertex_ai/claude-opus-4-8@latest", "claude-opus-4-8" },
        { "anthropic/claude-opus-5", "claude-opus-5" },
        { "openrouter/anthropic/claude-opus-5", "claude-opus-5" },
        { "models/gemini-2.5-pro", "gemini-2.5-pro" },
        { "azure/gpt-5.1", NULL },
        { "Azure/eu/GPT-5.1", "azure/gpt-5.1" },
        { "gpt-4o-2024-05-13", NULL },
        { "deepseek-v3", NULL },
        { "", "" },
        { "/", "" },
        { "azure/", "" },
        { "[1m]", "" },
        { "-latest", "" },
        { "]", NULL },
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        s.data = (ncr_char_t *) (uintptr_t) names[i][0];
        s.len = strlen(names[i][0]);

        n = ncr_price_model(buf, sizeof(buf), &s);

        ncr_test(n == strlen(buf)
                 && strcmp(buf, names[i][1] ? names[i][1] : names[i][0]) == 0,
                 names[i][0]);
    }

    ncr_str_set(&s, "claude-opus-5");
    ncr_test(ncr_price_model(small, sizeof(small), &s) == 7
             && strcmp(small, "claude-") == 0, "cut");

    ncr_str_set(&s, "azure/gpt-5");
    ncr_test(ncr_price_model(small, 4, &s) == 3 && strcmp(small, "azu") == 0,
             "a prefix is cut, too");
}


/* the table as util/prices.pl made it */

static void
ncr_test_table(void)
{
    char                 name[NCR_MODEL_LEN];
    ncr_str_t            s;
    ncr_uint_t           i, sorted, named, told, dated;
    const ncr_price_t   *row, *last;
    const ncr_prices_t  *t;

    t = ncr_prices_builtin();

    sorted = 1;
    named = 1;
    told = 1;
    dated = 1;
    last = NULL;

    for (i = 0; i < t->n; i++) {
        row = &t->rows[i];

        s.data = (ncr_char_t *) (uintptr_t) row->model;
        s.len = strlen(row->model);
        (void) ncr_price_model(name, sizeof(name), &s);

        named &= (strcmp(name, row->model) == 0);
        told &= (row->rates.input != NCR_PRICE_NONE
                 && row->rates.output != NCR_PRICE_NONE
                 && (row->over == 0 || (row->longer.input != NCR_PRICE_NONE
                                        && row->longer.output
                                           != NCR_PRICE_NONE)));

        if (last && strcmp(last->model, row->model) == 0
            && last->tier == row->tier)
        {
            dated &= (last->until == row->from && row->from > last->from);

        } else {
            dated &= (row->from == 0);
        }

        if (last) {
            sorted &= (strcmp(last->model, row->model) < 0
                       || (strcmp(last->model, row->model) == 0
                           && last->tier <= row->tier));
        }

        last = row;
    }

    ncr_test(t->n > 300, "a row for each");
    ncr_test(sorted, "sorted by model and tier");
    ncr_test(named, "by the names that are looked for");
    ncr_test(told, "no row without a price");
    ncr_test(dated, "one row at any time");
    ncr_test(t->search == 10000 && t->base == NULL, "a search is a cent");
    ncr_test(strlen(t->version) == 19 && strncmp(t->version, "2026-", 5) == 0,
             "the version has the date of the facts");
}


/* anthropic.md E.5, by H */

static void
ncr_test_transcripts(void)
{
    ncr_usage_t  *u;

    /* 12 * 3 + 100 * 3.75 + 200 * 6 + 2048 * 0.3 + 5 * 15 = 2300.4 */

    ncr_test_begin(NCR_TIER_STANDARD);
    u = ncr_test_part("claude-sonnet-4-6", 12, 5);
    u->cache_write = 300;
    u->cache_write_5m = 100;
    u->cache_write_1h = 200;
    u->cache_read = 2048;
    ncr_test(ncr_test_costs(2300), "E.5: a cached prompt");

    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-opus-5", 40, 19, 675),
             "E.5: thinking");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-4-5-20251001",
                           220, 31, 375), "E.5: a tool");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-opus-4-8", 9, 1, 70),
             "E.5: an error in the stream");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-opus-4-8", 50, 4, 350),
             "E.5: a fallback");
}


/* a million of each kind, in thousandths of a dollar: the table of H */

static void
ncr_test_kinds(void)
{
    ncr_usage_t   u, *p;
    ncr_uint_t    i, k;
    uint64_t      kinds[5];

    static const struct {
        const char  *model;
        uint64_t     price[5];
    } rows[] = {
        { "claude-fable-5-1", { 10000, 50000, 12500, 20000, 250 } },
        { "claude-mythos-5-1", { 10000, 50000, 12500, 20000, 250 } },
        { "claude-fable-5", { 10000, 50000, 12500, 20000, 1000 } },
        { "claude-mythos-5", { 10000, 50000, 12500, 20000, 1000 } },
        { "claude-opus-5-5", { 4000, 20000, 5000, 8000, 200 } },
        { "claude-opus-5", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-8", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-7", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-6", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-5", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-5-20251101", { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-1-20250805", { 15000, 75000, 18750, 30000, 1500 } },
        { "claude-opus-4-20250514", { 15000, 75000, 18750, 30000, 1500 } },
        { "claude-opus-4-0", { 15000, 75000, 18750, 30000, 1500 } },
        { "claude-4-opus-20250514", { 15000, 75000, 18750, 30000, 1500 } },
        { "claude-sonnet-5-5", { 2000, 10000, 2500, 4000, 100 } },
        { "claude-sonnet-5", { 2000, 10000, 2500, 4000, 200 } },
        { "claude-sonnet-4-6", { 3000, 15000, 3750, 6000, 300 } },
        { "claude-sonnet-4-5", { 3000, 15000, 3750, 6000, 300 } },
        { "claude-sonnet-4-20250514", { 3000, 15000, 3750, 6000, 300 } },
        { "claude-3-7-sonnet-latest", { 3000, 15000, 3750, 6000, 300 } },
        { "claude-haiku-4-5", { 1000, 5000, 1250, 2000, 100 } },
        { "claude-3-5-haiku-20241022", { 800, 4000, 1000, 1600, 80 } },
        { "claude-3-opus-20240229", { 15000, 75000, 18750, 30000, 1500 } },
        { "claude-3-haiku-20240307", { 250, 1250, 300, 500, 30 } },
        { "us.anthropic.claude-opus-4-8-v1:0",
          { 5000, 25000, 6250, 10000, 500 } },
        { "claude-opus-4-8-20260601", { 5000, 25000, 6250, 10000, 500 } },
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        for (k = 0; k < 5; k++) {
            memset(kinds, 0, sizeof(kinds));
            memset(&u, 0, sizeof(ncr_usage_t));
            kinds[k] = 1000000;

            u.input = kinds[0];
            u.output = kinds[1];
            u.cache_write_5m = kinds[2];
            u.cache_write_1h = kinds[3];
            u.cache_write = kinds[2] + kinds[3];
            u.cache_read = kinds[4];

            ncr_test_begin(NCR_TIER_STANDARD);
            p = ncr_test_part(rows[i].model, 0, 0);
            *p = u;

            ncr_test(ncr_test_costs(rows[i].price[k] * 1000), rows[i].model);
        }
    }

    ncr_test_begin(NCR_TIER_STANDARD);
    p = ncr_test_part("claude-opus-5", 0, 0);
    p->cache_write = 1000;
    ncr_test(ncr_test_costs(6250), "writes without a breakdown: 5 minutes");

    p->cache_write_1h = 400;
    ncr_test(ncr_test_costs(600 * 6250 / 1000 + 4000),
             "what the breakdown leaves is of 5 minutes");

    p->cache_write = 0;
    ncr_test(ncr_test_costs(4000), "a breakdown without a sum");

    p->web_searches = 3;
    p->web_fetches = 100;
    ncr_test(ncr_test_costs(34000), "searches cost, fetches do not");
}


static void
ncr_test_bands(void)
{
    ncr_usage_t  *u;

    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-5-5", 100000,
                           1000, 10500), "Haiku 5.5: 100,000");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-5-5", 100001,
                           1000, 52501), "Haiku 5.5: 100,001, half up");

    /* 1 * 0.5 + 60000 * 0.05 + 39000 * 0.625 + 1000 * 1 */

    ncr_test_begin(NCR_TIER_STANDARD);
    u = ncr_test_part("claude-haiku-5-5", 1, 0);
    u->cache_read = 60000;
    u->cache_write = 40000;
    u->cache_write_5m = 39000;
    u->cache_write_1h = 1000;
    ncr_test(ncr_test_costs(28376), "Haiku 5.5: reads and writes count");

    u->input = 0;
    ncr_test(ncr_test_costs(600 + 4875 + 200), "and at 100,000");

    /* the band is that of each request, not of their sum */

    ncr_test_begin(NCR_TIER_STANDARD);
    (void) ncr_test_part("claude-haiku-5-5", 60000, 0);
    (void) ncr_test_part("claude-haiku-5-5", 60000, 0);
    ncr_test(ncr_test_costs(12000), "two parts are two prompts");

    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "gpt-5.5", 272001, 1000,
                           2720010 + 45000), "gpt-5.5: 272,001");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-sonnet-4-5", 300000, 0,
                           900000), "no surcharge over 200,000 today");
}


static void
ncr_test_dates(void)
{
    ncr_usage_t  *u;

    ncr_test_begin(NCR_TIER_STANDARD);
    u = ncr_test_part("claude-sonnet-5-5", 0, 0);
    u->cache_read = 1000000;

    ncr_test_b.time = INT64_C(1791331200000) - 1;     /* 2026-10-07 */
    ncr_test(ncr_test_costs(200000), "Sonnet 5.5 on 2026-10-06");

    ncr_test_b.time++;
    ncr_test(ncr_test_costs(100000), "Sonnet 5.5 on 2026-10-07");

    ncr_test_b.time = 0;
    ncr_test(ncr_test_costs(200000), "a clock that is far behind");

    ncr_test_begin(NCR_TIER_STANDARD);
    (void) ncr_test_part("gemini-3.8-flash", 1000000, 0);
    ncr_test_b.time = INT64_C(1798761600000) - 1;
    ncr_test(ncr_test_costs(750000), "a price that will end");
    ncr_test_b.time++;
    ncr_test(ncr_test_costs(1500000), "the next one");
}


static void
ncr_test_tiers(void)
{
    ncr_usage_t  *u;

    ncr_test(ncr_test_cost(NCR_TIER_FAST, "claude-opus-5", 1000, 1000, 60000)
             && ncr_test_cost(NCR_TIER_FAST, "claude-opus-4-8", 1000, 1000,
                              60000), "fast");
    ncr_test(ncr_test_cost(NCR_TIER_FAST, "claude-opus-4-6", 1000, 1000,
                           30000), "Opus 4.6: fast is billed as standard");
    ncr_test(ncr_test_cost(NCR_TIER_PRIORITY, "claude-opus-5", 1000, 1000,
                           30000), "priority without a price of its own");
    ncr_test(ncr_test_cost(NCR_TIER_PRIORITY, "gpt-5", 1000, 1000, 22500)
             && ncr_test_cost(NCR_TIER_FLEX, "gpt-5", 1000, 1000, 5625),
             "priority and flex");

    ncr_test(ncr_test_cost(NCR_TIER_BATCH, "claude-sonnet-5", 1000, 1000,
                           6000), "a batch: half of it");
    ncr_test(ncr_test_cost(NCR_TIER_BATCH, "claude-haiku-4-5", 1, 0, 1)
             && ncr_test_cost(NCR_TIER_BATCH, "claude-haiku-4-5", 3, 0, 2),
             "half a micro-dollar is a whole one");
    ncr_test(ncr_test_cost(NCR_TIER_BATCH, "gpt-5.4", 1000, 1000, 8750),
             "a batch by its own price");
    ncr_test(ncr_test_cost(NCR_TIER_BATCH, "claude-haiku-5-5", 100001, 0,
                           25000), "a long batch");

    ncr_test_begin(NCR_TIER_BATCH);
    ncr_test_b.permille = 1100;
    u = ncr_test_part("claude-opus-4-8", 1000, 1000);
    ncr_test(ncr_test_costs(16500), "factors multiply");
    u->web_searches = 2;
    ncr_test(ncr_test_costs(36500), "a search costs as ever");

    ncr_test_begin(NCR_TIER_STANDARD);
    ncr_test_b.permille = 1100;
    (void) ncr_test_part("claude-haiku-4-5", 5, 0);
    ncr_test(ncr_test_costs(6), "rounded once: 5.5");

    ncr_test_begin(NCR_TIER_STANDARD);
    (void) ncr_test_part("claude-haiku-5-5", 4, 0);
    (void) ncr_test_part("claude-haiku-5-5", 4, 0);
    ncr_test(ncr_test_costs(1), "rounded once: 0.4 and 0.4");

    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-5-5", 4, 0, 0),
             "0.4");
}


static void
ncr_test_geo(void)
{
    ncr_str_t    geo, other, s;
    ncr_uint_t   i;

    static const struct {
        const char  *model;
        ncr_uint_t   permille;
    } rows[] = {
        { "claude-opus-4-6", 1100 },
        { "claude-opus-4-6-20260205", 1100 },
        { "claude-sonnet-4-6[1m]", 1100 },
        { "claude-opus-4-8", 1100 },
        { "claude-opus-5", 1100 },
        { "claude-haiku-5-5", 1100 },
        { "claude-opus-10-1", 1100 },
        { "claude-opus-4-5-20251101", 1000 },
        { "claude-opus-4-20250514", 1000 },
        { "claude-opus-4", 1000 },
        { "claude-4-opus-20250514", 1000 },
        { "claude-3-7-sonnet-20250219", 1000 },
        { "gpt-5.5", 1000 },
        { "claude-", 1000 },
        { "", 1000 },
    };

    ncr_str_set(&geo, "us");
    ncr_str_set(&other, "global");

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        s.data = (ncr_char_t *) (uintptr_t) rows[i].model;
        s.len = strlen(rows[i].model);

        ncr_test(ncr_price_permille(&s, &geo) == rows[i].permille
                 && ncr_price_permille(&s, &other) == 1000, rows[i].model);
    }
}


static void
ncr_test_unknown(void)
{
    uint64_t             cost;
    ncr_usage_t         *u;
    const ncr_prices_t  *t;

    t = ncr_prices_builtin();

    ncr_test_begin(NCR_TIER_STANDARD);
    (void) ncr_test_part("gpt-9", 1000, 1000);
    ncr_test(ncr_price_bill(t, &ncr_test_b, &cost) == NCR_DECLINED
             && cost == 0, "unknown: declined");

    (void) ncr_test_part("claude-opus-5", 1000, 0);
    ncr_test(ncr_price_bill(t, &ncr_test_b, &cost) == NCR_DECLINED
             && cost == 5000, "the other part has its price");

    ncr_test_begin(NCR_TIER_STANDARD);
    (void) ncr_test_part("", 1, 1);
    ncr_test(ncr_price_bill(t, &ncr_test_b, &cost) == NCR_DECLINED,
             "no name");

    ncr_test_begin(NCR_TIER_STANDARD);
    ncr_test(ncr_price_bill(t, &ncr_test_b, &cost) == NCR_OK && cost == 0,
             "no parts");

    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-4-5", UINT64_MAX,
                           0, UINT64_MAX), "all that fits");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-4-5", UINT64_MAX,
                           1, UINT64_MAX), "a little more");
    ncr_test(ncr_test_cost(NCR_TIER_FAST, "claude-opus-5", UINT64_MAX,
                           UINT64_MAX, UINT64_MAX), "much more");
    ncr_test(ncr_test_cost(NCR_TIER_STANDARD, "claude-haiku-5-5", UINT64_MAX,
                           0, UINT64_MAX / 2 + 1), "half of it, half up");

    ncr_test_begin(NCR_TIER_BATCH);
    ncr_test_b.permille = 1100;
    u = ncr_test_part("claude-opus-5", UINT64_MAX, UINT64_MAX);
    u->cache_write_5m = UINT64_MAX;
    u->cache_write_1h = UINT64_MAX;
    u->cache_read = UINT64_MAX;
    u->web_searches = UINT64_MAX;
    ncr_test(ncr_test_costs(UINT64_MAX), "all of everything");
}


static void
ncr_test_most(void)
{
    uint64_t             cost;
    ncr_str_t            s;
    const ncr_prices_t  *t;

    t = ncr_prices_builtin();

    /* fast: 1000 * 20 + 1000 * 50, in the US */

    ncr_str_set(&s, "claude-opus-5");
    ncr_test(ncr_price_most(t, &s, NCR_TEST_NOW, 1000, 1000, &cost) == NCR_OK
             && cost == 77000, "the most: fast, written for an hour, US");

    ncr_str_set(&s, "claude-haiku-4-5-20251001");
    ncr_test(ncr_price_most(t, &s, NCR_TEST_NOW, 1000, 1000, &cost) == NCR_OK
             && cost == 7000, "the most of one that has neither");

    ncr_str_set(&s, "claude-haiku-5-5");
    ncr_test(ncr_price_most(t, &s, NCR_TEST_NOW, 100001, 1000, &cost)
             == NCR_OK && cost == 112751, "the most of a long prompt");

    ncr_str_set(&s, "gpt-9");
    ncr_test(ncr_price_most(t, &s, NCR_TEST_NOW, 1, 1, &cost) == NCR_DECLINED
             && cost == 0, "the most of nobody knows what");
}


static void
ncr_test_sums(void)
{
    ncr_usage_t  a, b;

    memset(&a, 0, sizeof(ncr_usage_t));
    memset(&b, 0, sizeof(ncr_usage_t));

    a.input = 1;
    a.thinking = UINT64_MAX;
    b.input = 2;
    b.output = 3;
    b.cache_read = 4;
    b.cache_write = 11;
    b.cache_write_5m = 5;
    b.cache_write_1h = 6;
    b.thinking = 7;
    b.web_searches = 8;
    b.web_fetches = 9;

    ncr_usage_add(&a, &b);

    ncr_test(a.input == 3 && a.output == 3 && a.cache_read == 4
             && a.cache_write == 11 && a.cache_write_5m == 5
             && a.cache_write_1h == 6 && a.thinking == UINT64_MAX
             && a.web_searches == 8 && a.web_fetches == 9, "a sum of usage");
}


int
main(void)
{
    ncr_test_names();
    ncr_test_table();
    ncr_test_transcripts();
    ncr_test_kinds();
    ncr_test_bands();
    ncr_test_dates();
    ncr_test_tiers();
    ncr_test_geo();
    ncr_test_unknown();
    ncr_test_most();
    ncr_test_sums();

    return ncr_test_done();
}
