
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_limit.c"
#include "ncr_test.h"


#define NCR_TEST_NOW  (INT64_C(1795262400) * 1000)    /* 2026-11-21T12:00Z */


static ncr_limit_t  ncr_test_limit;


static const char *
ncr_test_parse(const char *text)
{
    ncr_str_t    s;
    const char  *error;

    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    return ncr_limit_parse(&ncr_test_limit, &s, &error) == NCR_OK ? NULL
                                                                  : error;
}


static int
ncr_test_matches(const char *model)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) model;
    s.len = strlen(model);

    return (int) ncr_limit_matches(&ncr_test_limit, &s);
}


/* text, and how it is printed */

static void
ncr_test_texts(void)
{
    char         buf[NCR_LIMIT_TEXT];
    size_t       n;
    ncr_uint_t   i;

    static const char *const  texts[][2] = {
        { "requests:60/minute", NULL },
        { "requests:1/total", "requests:1" },
        { "input:2500000/day", "input:2500k/day" },
        { "output:1.5m/5h", "output:1500k/5h" },
        { "tokens:1000000/month", "tokens:1m/month" },
        { "tokens:0.001m/hour", "tokens:1k/hour" },
        { "cost:5/day", NULL },
        { "cost:0.000001/day", NULL },
        { "cost:12.340000/week", "cost:12.34/week" },
        { "cost:1.5k/month", "cost:1500/month" },
        { "cost:2k/month", NULL },
        { "cost:3000000/month", "cost:3m/month" },
        { "cost:100/week models=*opus* reset=mon,04",
          "cost:100/week models=*opus* reset=04" },
        { "cost:100/week reset=thu,7 models=*OPUS*",
          "cost:100/week models=*opus* reset=thu,07" },
        { "cost:1/week reset=sun,00", NULL },
        { "cost:1/day reset=00", "cost:1/day" },
        { "cost:1/day reset=23 shadow", NULL },
        { "cost:1/month shadow reset=6", "cost:1/month reset=06 shadow" },
        { "concurrency:5", NULL },
        { "concurrency:5 models=claude-haiku-*", NULL },
        { "requests:10/90s", NULL },
        { "requests:10/120s", "requests:10/2m" },
        { "requests:10/60m", "requests:10/1h" },
        { "requests:10/24h", "requests:10/1d" },
        { "requests:10/3650d", NULL },
        { "  requests:10/1d   shadow  ", "requests:10/1d shadow" },
        { "tokens:1000000000000m/total", "tokens:1000000000000m" },
        { "cost:1000000m", NULL },
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ncr_test(ncr_test_parse(texts[i][0]) == NULL, texts[i][0]);

        n = ncr_limit_print(&ncr_test_limit, buf, sizeof(buf));

        ncr_test(strcmp(buf, texts[i][1] ? texts[i][1] : texts[i][0]) == 0
                 && n == strlen(buf), "and as it is printed");
    }
}


static void
ncr_test_errors(void)
{
    ncr_uint_t   i;
    const char  *error;

    static const char *const  texts[][2] = {
        { "", "the unit is none of" },
        { "  ", "the unit is none of" },
        { "requests", "there is no amount" },
        { "requests:", "there is no amount" },
        { "requests:k", "there is no amount" },
        { "Requests:1", "the unit is none of" },
        { "money:1/day", "the unit is none of" },
        { "requests:-1", "the amount is not a number" },
        { "requests:1e3", "the amount is not a number" },
        { "requests:1kk", "the amount is not a number" },
        { "requests: 1", "there is no amount" },
        { "requests:0/day", "the amount is 0" },
        { "cost:0.000000/day", "the amount is 0" },
        { "requests:1.5/day", "the amount has too many decimals" },
        { "tokens:1.0001k/day", "the amount has too many decimals" },
        { "cost:1.0000001/day", "the amount has too many decimals" },
        { "cost:.5/day", "the amount is not a number" },
        { "cost:1./day", "the amount is not a number" },
        { "cost:1.2.3/day", "the amount is not a number" },
        { "cost:$5/day", "the amount is not a number" },
        { "requests:1000000000000000001", "the amount is too large" },
        { "tokens:99999999999999999999999999", "the amount is too large" },
        { "cost:1000000.1m", "the amount is too large" },
        { "requests:1/", "the window is none of" },
        { "requests:1/year", "the window is none of" },
        { "requests:1/0h", "the window is none of" },
        { "requests:1/h", "the window is none of" },
        { "requests:1/5", "the window is none of" },
        { "requests:1/1.5h", "the window is none of" },
        { "requests:1/3651d", "the window is none of" },
        { "requests:1/9223372036854775807d", "the window is none of" },
        { "requests:1/99999999999999999999d", "the window is none of" },
        { "concurrency:1/day", "concurrency has no window" },
        { "concurrency:1/", "concurrency has no window" },
        { "concurrency:1 reset=04", "\"reset=\" is for windows of" },
        { "cost:1/5h reset=04", "\"reset=\" is for windows of" },
        { "cost:1 reset=04", "\"reset=\" is for windows of" },
        { "cost:1/day reset=mon,04", "\"reset=\" with a day" },
        { "cost:1/week reset=mon", "\"reset=\" wants an hour of" },
        { "cost:1/week reset=mon,", "\"reset=\" wants an hour of" },
        { "cost:1/week reset=", "\"reset=\" wants an hour of" },
        { "cost:1/week reset=24", "\"reset=\" wants an hour of" },
        { "cost:1/week reset=004", "\"reset=\" wants an hour of" },
        { "cost:1/week reset=monday,04", "\"reset=\" wants an hour, or" },
        { "cost:1/week reset=04 reset=05", "\"reset=\" is there twice" },
        { "cost:1/week models=", "\"models=\" wants a pattern" },
        { "cost:1/week models=a models=b", "\"models=\" is there twice" },
        { "cost:1/week models=a\tb", "\"models=\" has characters" },
        { "cost:1/week models="
          "0123456789012345678901234567890123456789012345678901234567890123",
          "\"models=\" wants a pattern" },
        { "cost:1/week shadow shadow", "\"shadow\" is there twice" },
        { "cost:1/week Shadow", "an option is none of" },
        { "cost:1/week model=a", "an option is none of" },
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        error = ncr_test_parse(texts[i][0]);

        ncr_test(error && strncmp(error, texts[i][1], strlen(texts[i][1]))
                          == 0, texts[i][0]);
    }
}


static void
ncr_test_values(void)
{
    char         buf[8], small[4];
    uint64_t     identity;

    ncr_test(ncr_test_parse("cost:12.5/week models=*opus* reset=wed,04")
             == NULL
             && ncr_test_limit.amount == 12500000
             && ncr_test_limit.unit == NCR_UNIT_COST
             && ncr_test_limit.span == NCR_SPAN_WEEK
             && ncr_test_limit.weekday == 3 && ncr_test_limit.hour == 4
             && !ncr_test_limit.shadow, "the fields of a limit");

    ncr_test(ncr_test_matches("claude-opus-4-8")
             && ncr_test_matches("CLAUDE-OPUS-5")
             && !ncr_test_matches("claude-sonnet-5")
             && !ncr_test_matches(""), "models by a pattern");

    identity = ncr_test_limit.identity;

    ncr_test(ncr_test_parse("cost:90/week models=*Opus* shadow reset=wed,04")
             == NULL && ncr_test_limit.identity == identity,
             "another amount, or shadow, is the same counter");

    ncr_test(ncr_test_parse("cost:90/week models=*opus* reset=wed,05")
             == NULL && ncr_test_limit.identity != identity,
             "another hour is another one");

    ncr_test(ncr_test_parse("cost:90/week reset=wed,04") == NULL
             && ncr_test_limit.identity != identity,
             "other models are another one");

    ncr_test(ncr_test_matches("x") && ncr_test_matches(""), "all models");

    ncr_test(ncr_test_parse("tokens:5m/5h") == NULL
             && ncr_test_limit.span == NCR_SPAN_FREE
             && ncr_test_limit.length == 5 * 3600 * 1000
             && strcmp(ncr_limit_window(&ncr_test_limit, buf, sizeof(buf)),
                       "5h") == 0
             && strcmp(ncr_limit_unit(ncr_test_limit.unit), "tokens") == 0,
             "a window of 5 h");

    ncr_test(ncr_limit_print(&ncr_test_limit, small, sizeof(small)) == 3
             && strcmp(small, "tok") == 0
             && ncr_limit_print(&ncr_test_limit, small, 0) == 0,
             "printed as far as there is room");

    ncr_test(ncr_test_parse("concurrency:5") == NULL
             && strcmp(ncr_limit_window(&ncr_test_limit, buf, sizeof(buf)),
                       "") == 0, "concurrency: no window");
}


static void
ncr_test_counters(void)
{
    uint64_t  a;

    (void) ncr_test_parse("cost:5/day");

    a = ncr_limit_counter(NCR_SCOPE_KEY, 1, &ncr_test_limit);

    ncr_test(a != 0 && a == ncr_limit_counter(NCR_SCOPE_KEY, 1,
                                              &ncr_test_limit),
             "the id of a counter");

    /* it lies in the books of last year: a change here loses them */

    ncr_test(a == UINT64_C(0x417cc36e942f09ef),
             "the same for ever");

    ncr_test(a != ncr_limit_counter(NCR_SCOPE_USER, 1, &ncr_test_limit)
             && a != ncr_limit_counter(NCR_SCOPE_KEY, 2, &ncr_test_limit),
             "another scope, another owner");

    (void) ncr_test_parse("cost:5/week");

    ncr_test(a != ncr_limit_counter(NCR_SCOPE_KEY, 1, &ncr_test_limit),
             "another limit");
}


static void
ncr_test_roll(void)
{
    ncr_counter_t   c;
    const ncr_tz_t  *utc;

    utc = ncr_tz_utc();

    (void) ncr_test_parse("cost:5/day reset=04");
    memset(&c, 0, sizeof(ncr_counter_t));

    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW);

    ncr_test(c.start == NCR_TEST_NOW - 8 * 3600000
             && c.end == c.start + 86400000 && c.used == 0,
             "a day that begins at 4");

    c.used = 7;
    c.reserved = 3;

    ncr_counter_roll(&c, &ncr_test_limit, utc, c.end - 1);
    ncr_test(c.used == 7, "its last millisecond");

    ncr_counter_roll(&c, &ncr_test_limit, utc, c.end);
    ncr_test(c.used == 0 && c.reserved == 3
             && c.start == NCR_TEST_NOW + 16 * 3600000,
             "the next day: what is reserved stays");

    c.used = 7;

    ncr_counter_roll(&c, &ncr_test_limit, utc, c.start - 1);
    ncr_test(c.used == 7 && c.start == NCR_TEST_NOW + 16 * 3600000,
             "the clock goes back: the window stays");

    ncr_counter_roll(&c, &ncr_test_limit, utc, c.start - 86400000);
    ncr_test(c.used == 7, "by a whole window, too");

    ncr_counter_roll(&c, &ncr_test_limit, utc, c.start - 86400001);
    ncr_test(c.used == 0 && c.end == NCR_TEST_NOW - 8 * 3600000,
             "farther back: it begins anew");

    (void) ncr_test_parse("cost:5/5h");
    memset(&c, 0, sizeof(ncr_counter_t));

    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW + 1999);
    ncr_test(c.start == NCR_TEST_NOW + 1000
             && c.end == c.start + 5 * 3600000,
             "a free window begins with its first use, on a second");

    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW + 86400000);
    ncr_test(c.start == NCR_TEST_NOW + 86400000,
             "and the next one with the next");

    (void) ncr_test_parse("cost:5");
    memset(&c, 0, sizeof(ncr_counter_t));

    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW);
    c.used = 4;
    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW * 2);
    ncr_counter_roll(&c, &ncr_test_limit, utc, 1000);
    ncr_test(c.start == 1 && c.end == INT64_MAX && c.used == 4,
             "total: for ever");

    (void) ncr_test_parse("concurrency:5");
    memset(&c, 0, sizeof(ncr_counter_t));
    c.reserved = 2;

    ncr_counter_roll(&c, &ncr_test_limit, utc, NCR_TEST_NOW);
    ncr_test(c.start == 0 && c.end == INT64_MAX && c.reserved == 2,
             "concurrency: no window");
}


static void
ncr_test_admits(void)
{
    ncr_counter_t  c;

    (void) ncr_test_parse("cost:1");
    memset(&c, 0, sizeof(ncr_counter_t));

    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 100000) == NCR_ADMITS,
             "a request of $0.10 of $1");
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 5000000) == NCR_ADMITS,
             "one of $5: nothing is under way");

    c.reserved = 900000;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 100000) == NCR_ADMITS,
             "the last one that fits");
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 100001)
             == NCR_ADMITS_BUSY, "one that does not");

    c.reserved = 5000000;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 0) == NCR_ADMITS_BUSY,
             "an estimate over all is under way");

    c.reserved = 0;
    c.used = 999999;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 100000) == NCR_ADMITS,
             "a rest is left");

    c.used = 1000000;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 1) == NCR_ADMITS_FULL
             && ncr_counter_admits(&c, &ncr_test_limit, 0)
                == NCR_ADMITS_FULL, "used up");

    c.used = 1;
    c.reserved = UINT64_MAX;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, UINT64_MAX)
             == NCR_ADMITS_BUSY, "no overflow");

    (void) ncr_test_parse("concurrency:2");
    memset(&c, 0, sizeof(ncr_counter_t));
    c.used = 1000;
    c.reserved = 1;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 1) == NCR_ADMITS,
             "concurrency: one more");
    c.reserved = 2;
    ncr_test(ncr_counter_admits(&c, &ncr_test_limit, 1) == NCR_ADMITS_BUSY,
             "concurrency: never full for good");
}


int
main(void)
{
    ncr_test_texts();
    ncr_test_errors();
    ncr_test_values();
    ncr_test_counters();
    ncr_test_roll();
    ncr_test_admits();

    return ncr_test_done();
}
