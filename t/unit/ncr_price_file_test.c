
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_price_file.c"
#include "../../src/model/ncr_price_litellm.c"
#include "ncr_test.h"


#define NCR_TEST_NOW  (INT64_C(1795262400) * 1000)    /* 2026-11-21T12:00Z */


static ncr_prices_t  *ncr_test_prices;
static char           ncr_test_error[256];


/* what is wrong, or "" */

static const char *
ncr_test_read(const char *text)
{
    ncr_int_t    rc;
    ncr_str_t    s;
    ncr_char_t  *copy;

    ncr_prices_free(ncr_test_prices);
    ncr_test_prices = NULL;

    /* without a NUL behind it */

    s.len = strlen(text);
    copy = malloc(s.len + !s.len);
    memcpy(copy, text, s.len);
    s.data = copy;

    strcpy(ncr_test_error, "?");

    rc = ncr_prices_read(&ncr_test_prices, &s, ncr_prices_builtin(),
                         ncr_test_error, sizeof(ncr_test_error));
    free(copy);

    if (rc == NCR_OK) {
        ncr_test_error[0] = '\0';
    }

    return ncr_test_error;
}


static const ncr_price_t *
ncr_test_find(const char *model, ncr_tier_e tier, ncr_msec_t time)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) model;
    s.len = strlen(model);

    return ncr_price_find(ncr_test_prices, &s, tier, time);
}


static int
ncr_test_is(const ncr_rates_t *rates, uint64_t input, uint64_t output,
    uint64_t read, uint64_t five, uint64_t hour)
{
    if (rates->input == input && rates->output == output
        && rates->cache_read == read && rates->cache_write_5m == five
        && rates->cache_write_1h == hour)
    {
        return 1;
    }

    printf("# %llu %llu %llu %llu %llu\n", (unsigned long long) rates->input,
           (unsigned long long) rates->output,
           (unsigned long long) rates->cache_read,
           (unsigned long long) rates->cache_write_5m,
           (unsigned long long) rates->cache_write_1h);

    return 0;
}


static void
ncr_test_own(void)
{
    char                 version[20];
    const ncr_price_t   *row;

    static const char  text[] =
        "{\n"
        "  \"comment\": \"ours\",\n"
        "  \"web_search\": 0.0125,\n"
        "  \"models\": {\n"
        "    \"Our-Model[1m]\": { \"input\": 0.1, \"output\": 12.345678 },\n"
        "    \"claude-opus-5\": [\n"
        "      { \"from\": \"2026-12-01\", \"input\": 4, \"output\": 20,\n"
        "        \"cache_read\": 0.4, \"cache_write_5m\": 5,\n"
        "        \"cache_write_1h\": 8, \"source\": \"a contract\" },\n"
        "      { \"input\": 4.5, \"output\": 22.5,\n"
        "        \"until\": \"2026-12-01T00:00:00Z\",\n"
        "        \"over\": 200000,\n"
        "        \"longer\": { \"input\": 9, \"output\": 33.75,\n"
        "                    \"cache_read\": 0.9 } },\n"
        "      { \"tier\": \"batch\", \"input\": 1, \"output\": 5,\n"
        "        \"from\": \"2026-01-01\", \"until\": \"2027-01-01\" }\n"
        "    ],\n"
        "    \"other-name\": \"claude-opus-5\",\n"
        "    \"haiku\": \"claude-haiku-4-5\"\n"
        "  }\n"
        "}\n";

    ncr_test(strcmp(ncr_test_read(text), "") == 0, "a file of prices");

    if (ncr_test_prices == NULL) {
        printf("# %s\n", ncr_test_error);
        return;
    }

    ncr_test(ncr_test_prices->search == 12500, "what a search costs");
    ncr_test(ncr_test_prices->base == ncr_prices_builtin(), "what is below");

    memcpy(version, ncr_test_prices->version, sizeof(version));
    ncr_test(strlen(version) == 16, "its version");

    row = ncr_test_find("our-model", NCR_TIER_STANDARD, 0);
    ncr_test(row && ncr_test_is(&row->rates, 100000, 12345678, NCR_PRICE_NONE,
                                NCR_PRICE_NONE, NCR_PRICE_NONE)
             && row->over == 0, "a model of its own");

    row = ncr_test_find("claude-opus-5", NCR_TIER_STANDARD, NCR_TEST_NOW);
    ncr_test(row && ncr_test_is(&row->rates, 4500000, 22500000,
                                NCR_PRICE_NONE, NCR_PRICE_NONE,
                                NCR_PRICE_NONE)
             && row->over == 200000
             && ncr_test_is(&row->longer, 9000000, 33750000, 900000,
                            NCR_PRICE_NONE, NCR_PRICE_NONE),
             "a row of today, with a band");

    row = ncr_test_find("claude-opus-5", NCR_TIER_STANDARD,
                        NCR_TEST_NOW + INT64_C(10) * 86400 * 1000);
    ncr_test(row && ncr_test_is(&row->rates, 4000000, 20000000, 400000,
                                5000000, 8000000), "one of next month");

    row = ncr_test_find("claude-opus-5", NCR_TIER_FAST, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 10000000,
             "a tier that it does not have is that of below");

    row = ncr_test_find("claude-opus-5", NCR_TIER_BATCH, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 1000000, "a tier that it has");

    row = ncr_test_find("other-name", NCR_TIER_STANDARD, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 4500000
             && strcmp(row->model, "other-name") == 0,
             "another name of one of the file");

    row = ncr_test_find("haiku", NCR_TIER_STANDARD, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 1000000,
             "another name of one of below");

    row = ncr_test_find("claude-sonnet-5", NCR_TIER_STANDARD, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 2000000, "one that is below only");

    ncr_test(ncr_test_find("gpt-9", NCR_TIER_STANDARD, 0) == NULL,
             "one that is nowhere");

    (void) ncr_test_read(text);
    ncr_test(ncr_test_prices
             && strcmp(version, ncr_test_prices->version) == 0,
             "the same table has the same version");

    (void) ncr_test_read("{\"models\":{\"a\":{\"input\":1,\"output\":2}}}");
    ncr_test(ncr_test_prices && ncr_test_prices->search == 10000
             && strcmp(version, ncr_test_prices->version) != 0,
             "another table, another version");

    (void) ncr_test_read("{\"models\":{\"claude-opus-4-5\":"
                         "{\"input\":1,\"output\":2}}}");
    row = ncr_test_find("claude-opus-4-5-20251101", NCR_TIER_STANDARD, 0);
    ncr_test(row && row->rates.input == 1000000,
             "a name without a date comes before one with it below");

    ncr_test(strcmp(ncr_test_read("{\"models\":{}}"), "") == 0
             && ncr_test_prices->n == 0, "no models");

    (void) ncr_test_read("{\"models\":{\"a\":{\"input\":0,\"output\":0}}}");
    ncr_test(ncr_test_find("a", NCR_TIER_STANDARD, 0) != NULL,
             "free, if the operator says so");
}


static void
ncr_test_decimals(void)
{
    char                 text[128];
    uint64_t             i, n;
    ncr_uint_t           good;
    const ncr_price_t   *row;

    good = 1;

    for (i = 1; i < 200; i++) {
        n = i * UINT64_C(999983) * (i * i * i) % UINT64_C(999999999999);

        snprintf(text, sizeof(text), "{\"models\":{\"a\":{\"input\":%llu.%06llu"
                 ",\"output\":%lluE-6}}}", (unsigned long long) n / 1000000,
                 (unsigned long long) n % 1000000, (unsigned long long) i);

        (void) ncr_test_read(text);
        row = ncr_test_prices ? ncr_test_find("a", NCR_TIER_STANDARD, 0)
                              : NULL;

        good &= (row && row->rates.input == n && row->rates.output == i);
    }

    ncr_test(good, "decimals are exact");
}


static void
ncr_test_errors(void)
{
    ncr_uint_t   i;
    const char  *error;

    static const char *const  texts[][2] = {
        { "", "it is not JSON, at line 1, column 1" },
        { "{", "it is not JSON, at line 1, column" },
        { "{\n\"models\": {\n  nonsense }}", "it is not JSON, at line 3, "
          "column" },
        { "{} x", "it is not JSON, at line 1, column 4" },
        { "[]", "it is not an object" },
        { "{}", "there is neither \"models\" nor" },
        { "{\"a\":{\"input\":1}}", "there is neither \"models\" nor" },
        { "{\"models\":[]}", "models: it is not an object" },
        { "{\"models\":{},\"models\":{}}", "models: it is not an object, or "
          "is there twice" },
        { "{\"models\":{},\"model\":1}", "members: they are" },
        { "{\"models\":{},\"web_search\":\"1\"}", "web_search: it is not a "
          "number" },
        { "{\"models\":{},\"web_search\":-1}", "web_search: it is not a "
          "number" },
        { "{\"models\":{\"a\":1}}", "\"a\": it is neither" },
        { "{\"models\":{\"a\":[]}}", "\"a\": it is neither" },
        { "{\"models\":{\"a\":[1]}}", "\"a\"[0]: it is not an object" },
        { "{\"models\":{\"a\":{}}}", "\"a\": it needs \"input\"" },
        { "{\"models\":{\"a\":{\"input\":1}}}", "\"a\": it needs \"input\"" },
        { "{\"models\":{\"a\":[{\"input\":1,\"output\":1,\"until\":"
          "\"2026-01-01\"},{\"input\":-1}]}}", "\"a\"[1].input: it is not a "
          "number" },
        { "{\"models\":{\"a\":{\"input\":1e999}}}", "\"a\".input: it is not "
          "a number" },
        { "{\"models\":{\"a\":{\"input\":1000001}}}", "\"a\".input: it is "
          "not a number" },
        { "{\"models\":{\"a\":{\"input\":\"1\"}}}", "\"a\".input: it is not "
          "a number" },
        { "{\"models\":{\"a\":{\"input\":0.0000001}}}", "\"a\".input: it has "
          "too many decimals" },
        { "{\"models\":{\"a\":{\"over\":1.5}}}", "\"a\".over: it has too "
          "many decimals" },
        { "{\"models\":{\"a\":{\"cost\":1}}}", "\"a\": its members are" },
        { "{\"models\":{\"a\":{\"tier\":\"slow\"}}}", "\"a\".tier: it is "
          "none of" },
        { "{\"models\":{\"a\":{\"tier\":1}}}", "\"a\".tier: it is none of" },
        { "{\"models\":{\"a\":{\"from\":\"yesterday\"}}}", "\"a\".from: it "
          "is not a date" },
        { "{\"models\":{\"a\":{\"from\":\"2026-02-30\"}}}", "\"a\".from: it "
          "is not a date" },
        { "{\"models\":{\"a\":{\"from\":1}}}", "\"a\".from: it is not a "
          "date" },
        { "{\"models\":{\"a\":{\"input\":1,\"output\":1,\"from\":"
          "\"2026-01-02\",\"until\":\"2026-01-02\"}}}", "\"a\".until: it is "
          "not after" },
        { "{\"models\":{\"a\":{\"longer\":1}}}", "\"a\".longer: it is not an "
          "object" },
        { "{\"models\":{\"a\":{\"longer\":{\"input\":true}}}}",
          "\"a\".longer.input: it is not a number" },
        { "{\"models\":{\"a\":{\"longer\":{\"tier\":\"fast\"}}}}",
          "\"a\".longer: its members are" },
        { "{\"models\":{\"a\":{\"input\":1,\"output\":1,\"over\":1}}}",
          "\"a\": \"over\" needs \"longer\"" },
        { "{\"models\":{\"a\":{\"input\":1,\"output\":1,\"longer\":"
          "{\"input\":1,\"output\":1}}}}", "\"a\": \"over\" needs" },
        { "{\"models\":{\"a\":[{\"input\":1,\"output\":1},{\"input\":1,"
          "\"output\":1}]}}", "\"a\": there are two prices at a time" },
        { "{\"models\":{\"a\":{\"input\":1,\"output\":1},\"A\":{\"input\":1,"
          "\"output\":1}}}", "\"a\": there are two prices at a time" },
        { "{\"models\":{\"a\":[{\"input\":1,\"output\":1,\"until\":"
          "\"2026-03-01\"},{\"input\":1,\"output\":1,\"from\":\"2026-02-01\""
          "}]}}", "\"a\": there are two prices at a time" },
        { "{\"models\":{\"a\":\"gpt-9\"}}", "\"a\": the model that it is" },
        { "{\"models\":{\"\":{\"input\":1,\"output\":1}}}", "models: a name "
          "is empty" },
        { "{\"models\":{\"a b\":{\"input\":1,\"output\":1}}}", "models: a "
          "name is empty" },
        { "{\"models\":{\"[1m]\":{\"input\":1,\"output\":1}}}", "\"[1m]\": "
          "nothing is left" },
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        error = ncr_test_read(texts[i][0]);

        ncr_test(strncmp(error, texts[i][1], strlen(texts[i][1])) == 0
                 && ncr_test_prices == NULL, texts[i][1]);

        if (strncmp(error, texts[i][1], strlen(texts[i][1])) != 0) {
            printf("# %s\n", error);
        }
    }
}


static void
ncr_test_litellm(void)
{
    const ncr_price_t  *row;

    static const char  text[] =
        "{\"sample_spec\":{\"input_cost_per_token\":0,"
        "\"output_cost_per_token\":0},"
        "\"us.anthropic.claude-sonnet-4-5-20250929-v1:0\":{"
        "\"input_cost_per_token\":3.3e-06,\"output_cost_per_token\":1.65e-05},"
        "\"claude-sonnet-4-5-20250929\":{\"input_cost_per_token\":3e-06,"
        "\"output_cost_per_token\":1.5e-05,"
        "\"cache_read_input_token_cost\":3e-07,"
        "\"cache_creation_input_token_cost\":3.75e-06,"
        "\"input_cost_per_token_above_200k_tokens\":6e-06,"
        "\"output_cost_per_token_above_200k_tokens\":2.25e-05,"
        "\"cache_read_input_token_cost_above_200k_tokens\":6e-07,"
        "\"mode\":\"chat\"},"
        "\"bedrock/eu/claude-sonnet-4-5-20250929\":{"
        "\"input_cost_per_token\":1,\"output_cost_per_token\":1},"
        "\"gpt-x\":{\"input_cost_per_token\":1.25e-06,"
        "\"output_cost_per_token\":1e-05,"
        "\"cache_read_input_token_cost\":1.25e-07,"
        "\"input_cost_per_token_priority\":2.5e-06,"
        "\"output_cost_per_token_priority\":2e-05,"
        "\"cache_read_input_token_cost_priority\":2e-07,"
        "\"input_cost_per_token_flex\":6.25e-07,"
        "\"output_cost_per_token_flex\":5e-06,"
        "\"input_cost_per_token_batches\":6.25e-07},"
        "\"an image\":{\"input_cost_per_token\":1e-06,"
        "\"output_cost_per_token\":1e-06},"
        "\"embedding\":{\"input_cost_per_token\":1e-08},"
        "\"local\":{\"input_cost_per_token\":0,\"output_cost_per_token\":0},"
        "\"list\":[1]}";

    ncr_test(strcmp(ncr_test_read(text), "") == 0, "a table of LiteLLM's");

    if (ncr_test_prices == NULL) {
        printf("# %s\n", ncr_test_error);
        return;
    }

    ncr_test(ncr_test_prices->n == 4, "four rows");

    row = ncr_test_find("claude-sonnet-4-5-20250929", NCR_TIER_STANDARD, 0);
    ncr_test(row && ncr_test_is(&row->rates, 3000000, 15000000, 300000,
                                3750000, 6000000)
             && row->over == 200000
             && ncr_test_is(&row->longer, 6000000, 22500000, 600000, 7500000,
                            12000000),
             "the plain name, and its long prompts");

    row = ncr_test_find("gpt-x", NCR_TIER_PRIORITY, 0);
    ncr_test(row && ncr_test_is(&row->rates, 2500000, 20000000, 200000,
                                NCR_PRICE_NONE, NCR_PRICE_NONE), "priority");

    row = ncr_test_find("gpt-x", NCR_TIER_FLEX, 0);
    ncr_test(row && ncr_test_is(&row->rates, 625000, 5000000, 62500,
                                NCR_PRICE_NONE, NCR_PRICE_NONE),
             "flex: a read costs as much less as input does");

    row = ncr_test_find("gpt-x", NCR_TIER_BATCH, 0);
    ncr_test(row && row->tier == NCR_TIER_STANDARD, "half a row is none");

    ncr_test(ncr_test_find("embedding", NCR_TIER_STANDARD, 0) == NULL
             && ncr_test_find("local", NCR_TIER_STANDARD, 0) == NULL,
             "no price of output, no price at all");

    row = ncr_test_find("claude-opus-5", NCR_TIER_FAST, NCR_TEST_NOW);
    ncr_test(row && row->rates.input == 10000000, "what is below is there");
}


int
main(void)
{
    ncr_test_own();
    ncr_test_decimals();
    ncr_test_errors();
    ncr_test_litellm();

    ncr_prices_free(ncr_test_prices);

    return ncr_test_done();
}
