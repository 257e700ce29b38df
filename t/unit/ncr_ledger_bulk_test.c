
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A month of requests, 200,000 of them or as many as CR_ROWS says, and what a
 * dashboard asks.  CPU time is measured, which other programs do not make
 * longer.
 */


#include "ncr_ledger_test.h"


#define NCR_TEST_BUDGET  100            /* ms */


static ncr_ledger_t  *ncr_test_ledger;
static ncr_msec_t     ncr_test_now;


static double
ncr_test_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec * 1000 + (double) ts.tv_nsec / 1000000;
}


static ncr_int_t
ncr_test_sum(void *data, ncr_ledger_sum_t *sum)
{
    *(uint64_t *) data += sum->requests;

    return NCR_OK;
}


static ncr_int_t
ncr_test_row(void *data, uint64_t number, ncr_record_t *rec)
{
    *(uint64_t *) data += 1;

    return NCR_OK;
}


/* the best of three: a cold cache is another matter */

static void
ncr_test_fast(ncr_ledger_query_t *q, ncr_uint_t rows, uint64_t want,
    const char *name)
{
    char        text[200];
    double      ms, best;
    uint64_t    n;
    ncr_int_t   rc;
    ncr_uint_t  i;

    best = 1e9;
    n = 0;
    rc = NCR_OK;

    for (i = 0; i < 3; i++) {
        n = 0;
        ms = ncr_test_clock();

        rc = rows ? ncr_ledger_rows(ncr_test_ledger, q, ncr_test_row, &n)
                  : ncr_ledger_sums(ncr_test_ledger, q, ncr_test_sum, &n);

        ms = ncr_test_clock() - ms;
        best = ncr_min(best, ms);
    }

    snprintf(text, sizeof(text), "%s: %.1f ms", name, best);

    ncr_test(rc == NCR_OK && (want == 0 || n == want)
             && best < NCR_TEST_BUDGET, text);
}


static void
ncr_test_fill(const char *n)
{
    char        sql[4096];
    ncr_uint_t  i;

    static const char  *sums[] = { "minutes", "hours", "days" };
    static const int    sizes[] = { 60000, 3600000, 86400000 };

    ncr_ledger_exec(ncr_test_ledger, "BEGIN");

    ncr_ledger_exec(ncr_test_ledger,
        "WITH RECURSIVE"
        " n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 230)"
        " INSERT INTO names SELECT v, CASE WHEN v > 200 THEN 2 ELSE 1 END,"
        " 'name-' || v FROM n");

    /* 100 keys, each with its user, 4 accounts and 3 models */

    ncr_ledger_exec(ncr_test_ledger,
        "WITH RECURSIVE"
        " n (v) AS (SELECT 0 UNION ALL SELECT v + 1 FROM n WHERE v < 1199)"
        " INSERT INTO dims SELECT v + 1, 1 + v / 12, 101 + v / 12, 0,"
        " 190 + v / 3 % 4, 200, 201 + v % 3 FROM n");

    snprintf(sql, sizeof(sql),
        "WITH RECURSIVE"
        " n (v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < %s)"
        " INSERT INTO rows (" NCR_LEDGER_ROW ") SELECT"
        " v, %lld - 2592000000 + v * 2592000000 / %s,"
        " 1 + (v * 7919 + v / 1000) %% 1200, 7, 8,"
        " printf('%%032x', v), printf('req_%%024x', v), 1, 2, NULL, 3, 4,"
        " 'claude-cli/2.1.19', '0123456789abcdef', 5, 6, 'max-1:200',"
        " CASE WHEN v %% 97 = 0 THEN 529 ELSE 200 END, 1, 3000, 400, 90, 1,"
        " 0, 1000, 1000, v %% 5000, v %% 900, v %% 20000, v %% 700,"
        " v %% 700, 0, 0, 0, 0, v %% 90000, v %% 90000, 1, NULL FROM n",
        n, (long long) ncr_test_now, n);
    ncr_ledger_exec(ncr_test_ledger, sql);

    for (i = 0; i < 3; i++) {
        snprintf(sql, sizeof(sql),
            "INSERT INTO %s SELECT time - time %% %d,"
            " time - time %% %d + %d, dim, count(*), sum(status >= 400), 0,"
            " 0, 0, sum(input), sum(output), sum(cache_read),"
            " sum(cache_write), sum(cache_write_5m), 0, 0, 0, 0, sum(cost),"
            " sum(rated), sum(duration), sum(ttft), count(ttft) FROM rows"
            " %s%lld GROUP BY 1, 2, 3",
            sums[i], sizes[i], sizes[i], sizes[i],
            i ? "WHERE time > 0 AND time < " : "WHERE time > -172800000 + ",
            i ? (long long) NCR_LEDGER_EVER : (long long) ncr_test_now);
        ncr_ledger_exec(ncr_test_ledger, sql);
    }

    ncr_ledger_exec(ncr_test_ledger,
                    "INSERT INTO meta SELECT 'number', max(number) FROM rows");

    /* minutes are kept for two days */

    snprintf(sql, sizeof(sql), "INSERT INTO meta VALUES ('minutes', %lld)",
             (long long) (ncr_test_now - 48 * NCR_LEDGER_HOUR
                          + NCR_LEDGER_MINUTE));
    ncr_ledger_exec(ncr_test_ledger, sql);
    ncr_ledger_exec(ncr_test_ledger, "COMMIT");
}


static void
ncr_test_dashboard(uint64_t n)
{
    ncr_ledger_query_t  q;

    memset(&q, 0, sizeof(q));
    q.from = ncr_test_now - 30 * 24 * NCR_LEDGER_HOUR;

    ncr_test_fast(&q, 0, n, "30 days");

    q.by[0] = NCR_BY_DAY;
    ncr_test_fast(&q, 0, n, "30 days by day");

    q.by[0] = NCR_BY_KEY;
    ncr_test_fast(&q, 0, n, "30 days by key");

    q.by[0] = NCR_BY_MODEL;
    ncr_test_fast(&q, 0, n, "30 days by model");

    q.by[0] = NCR_BY_DAY;
    q.by[1] = NCR_BY_MODEL;
    ncr_test_fast(&q, 0, n, "30 days by day and model");

    q.by[0] = NCR_BY_USER;
    q.by[1] = NCR_BY_TOTAL;
    q.order = 1;
    q.limit = 5;
    ncr_test_fast(&q, 0, 0, "the five most expensive users");

    memset(&q, 0, sizeof(q));
    q.from = ncr_test_now - 24 * NCR_LEDGER_HOUR + 1234;
    q.by[0] = NCR_BY_HOUR;
    ncr_test_fast(&q, 0, 0, "a day by hour");

    q.key = "name-17";
    ncr_test_fast(&q, 0, 0, "a day of a key by hour");

    memset(&q, 0, sizeof(q));
    q.from = ncr_test_now - 5 * NCR_LEDGER_MINUTE;
    ncr_test_fast(&q, 0, 0, "the last five minutes");
}


static void
ncr_test_lists(void)
{
    ncr_ledger_query_t  q;

    memset(&q, 0, sizeof(q));
    q.limit = 200;
    ncr_test_fast(&q, 1, 200, "the newest rows");

    q.key = "name-17";
    ncr_test_fast(&q, 1, 200, "the newest rows of a key");

    q.status = 529;
    q.limit = 10;
    ncr_test_fast(&q, 1, 10, "its failures");

    memset(&q, 0, sizeof(q));
    q.status = 5;
    ncr_test_fast(&q, 1, 100, "the newest failures");

    q.status = 0;
    q.id = "000000000000000000000000000003e7";
    ncr_test_fast(&q, 1, 1, "one by its id");

    memset(&q, 0, sizeof(q));
    q.from = ncr_test_now - 3 * 24 * NCR_LEDGER_HOUR;
    q.until = q.from + NCR_LEDGER_HOUR;
    ncr_test_fast(&q, 1, 0, "an hour of rows");
}


int
main(void)
{
    double       ms;
    uint64_t     n;
    const char  *rows;

    rows = getenv("CR_ROWS");
    rows = rows ? rows : "200000";
    n = strtoull(rows, NULL, 10);

    ncr_test_now = NCR_TEST_NOW - NCR_TEST_NOW % 86400000 + 43200000;

    ncr_test_begin();

    ncr_test_ledger = ncr_test_open(NULL);
    ncr_ledger_exec(ncr_test_ledger, "PRAGMA synchronous = OFF");

    ms = ncr_test_clock();
    ncr_test_fill(rows);
    ncr_test((uint64_t) ncr_test_ask(ncr_test_ledger,
                                     "SELECT count(*) FROM rows") == n,
             "there they are");
    printf("# %s rows, %lld days' and %lld hours' sums, %.0f MB, made in "
           "%.0f ms\n", rows,
           (long long) ncr_test_ask(ncr_test_ledger,
                                    "SELECT count(*) FROM days"),
           (long long) ncr_test_ask(ncr_test_ledger,
                                    "SELECT count(*) FROM hours"),
           (double) ncr_test_ask(ncr_test_ledger, "PRAGMA page_count")
           * 4096 / 1048576, ncr_test_clock() - ms);

    ncr_test_dashboard(n);
    ncr_test_lists();

    ncr_ledger_close(ncr_test_ledger);
    ncr_test_end();

    return ncr_test_done();
}
