
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Sums against a count by hand: any time, zone, grouping and filter. */


#include "ncr_ledger_test.h"


#define NCR_TEST_RECORDS  4000
#define NCR_TEST_DAY      (24 * NCR_LEDGER_HOUR)

/* 2026-03-20T00:00:00Z: the clocks of Berlin change nine days later */
#define NCR_TEST_MARCH    ((ncr_msec_t) 1773964800 * 1000)


typedef struct {
    ncr_msec_t    time;
    const char   *key;
    const char   *user;
    const char   *account;
    const char   *model;
    ncr_uint_t    status;
    uint64_t      input;
    uint64_t      cost;
    uint32_t      ttft;
    unsigned      estimated:1;
} ncr_test_item_t;


typedef struct {
    char          name[2][48];
    uint64_t      requests;
    uint64_t      failed;
    uint64_t      estimated;
    uint64_t      input;
    uint64_t      cost;
    uint64_t      ttft;
    uint64_t      nttft;
    unsigned      seen:1;
} ncr_test_group_t;


typedef struct {
    ncr_test_group_t  groups[8192];
    ncr_uint_t        n;
    ncr_uint_t        bad;
    ncr_uint_t        given;
    uint64_t          last;
    ncr_ledger_query_t  *q;
} ncr_test_check_t;


static ncr_test_item_t   ncr_test_items[NCR_TEST_RECORDS];
static ncr_uint_t        ncr_test_nitems;
static ncr_test_check_t  ncr_test_check;
static uint32_t          ncr_test_seed = 1;
static ncr_tz_t         *ncr_test_zones[4];


static uint32_t
ncr_test_random(uint32_t n)
{
    ncr_test_seed = ncr_test_seed * 1664525 + 1013904223;

    return (uint32_t) (((uint64_t) ncr_test_seed * n) >> 32);
}


static void
ncr_test_make(ncr_ledger_t *ledger, ncr_uint_t n, ncr_msec_t from,
    ncr_msec_t length)
{
    ncr_uint_t        i;
    ncr_record_t      rec;
    ncr_test_item_t  *item;

    static const char  *keys[] = { "alice", "bob", "carol", "" };
    static const char  *users[] = { "u1", "u2", "" };
    static const char  *accounts[] = { "max-1", "max-2", "console" };
    static const char  *models[] = { "claude-opus-4-8", "claude-haiku-4-5",
                                     "claude-sonnet-4-6" };
    static const ncr_uint_t  statuses[] = { 200, 200, 200, 200, 429, 529 };

    for (i = 0; i < n; i++) {

        item = &ncr_test_items[ncr_test_nitems++];

        item->time = from + (ncr_msec_t)
                     ((uint64_t) length * ncr_test_random(1000000) / 1000000);

        /* borders are where it goes wrong */

        if (i % 5 == 0) {
            item->time -= item->time % NCR_LEDGER_HOUR;
        }

        if (i % 5 == 1) {
            item->time -= item->time % (NCR_LEDGER_HOUR / 2) + 1;
        }

        item->key = keys[ncr_test_random(4)];
        item->user = users[ncr_test_random(3)];
        item->account = accounts[ncr_test_random(3)];
        item->model = models[ncr_test_random(3)];
        item->status = statuses[ncr_test_random(6)];
        item->input = ncr_test_random(100000);
        item->cost = ncr_test_random(1000000);
        item->ttft = (i % 3) ? ncr_test_random(1000) : UINT32_MAX;
        item->estimated = (i % 7 == 0);

        ncr_test_record(&rec, item->time);
        ncr_test_set(&rec.key, item->key);
        ncr_test_set(&rec.user, item->user);
        ncr_test_set(&rec.account, item->account);
        ncr_test_set(&rec.served, item->model);
        rec.status = (uint32_t) item->status;
        rec.usage.input = item->input;
        rec.cost = item->cost;
        rec.ttft = item->ttft;
        rec.flags = item->estimated ? NCR_RECORD_ESTIMATED : 0;

        if (ncr_test_put(&rec) == 0) {
            (void) ncr_test_drain(ledger);
            (void) ncr_test_put(&rec);
        }
    }

    (void) ncr_test_drain(ledger);
}


static void
ncr_test_name(ncr_ledger_query_t *q, ncr_uint_t i, ncr_test_item_t *item,
    char *dst)
{
    ncr_msec_t  start, end;
    ncr_span_e  span;

    switch (q->by[i]) {

    case NCR_BY_TOTAL:
        dst[0] = '\0';
        return;

    case NCR_BY_KEY:
        strcpy(dst, item->key);
        return;

    case NCR_BY_USER:
        strcpy(dst, item->user);
        return;

    case NCR_BY_GROUP:
        dst[0] = '\0';
        return;

    case NCR_BY_ACCOUNT:
        strcpy(dst, item->account);
        return;

    case NCR_BY_PLATFORM:
        strcpy(dst, "claude");
        return;

    case NCR_BY_MODEL:
        strcpy(dst, item->model);
        return;

    case NCR_BY_STATUS:
        snprintf(dst, 48, "%d", (int) item->status);
        return;

    case NCR_BY_MINUTE:
        span = NCR_SPAN_MINUTE;
        break;

    case NCR_BY_HOUR:
        span = NCR_SPAN_HOUR;
        break;

    case NCR_BY_DAY:
        span = NCR_SPAN_DAY;
        break;

    case NCR_BY_WEEK:
        span = NCR_SPAN_WEEK;
        break;

    default:
        span = NCR_SPAN_MONTH;
        break;
    }

    ncr_tz_span(q->tz, span, 1, 0, item->time, &start, &end);
    ncr_ledger_time(q->tz, start, dst);
}


static void
ncr_test_count_by_hand(ncr_ledger_query_t *q)
{
    char               name[2][48];
    ncr_uint_t         i, k;
    ncr_test_item_t   *item;
    ncr_test_group_t  *g;

    memset(&ncr_test_check, 0, sizeof(ncr_test_check));
    ncr_test_check.q = q;

    for (i = 0; i < ncr_test_nitems; i++) {

        item = &ncr_test_items[i];

        if (item->time < q->from || (q->until && item->time >= q->until)
            || (q->key && strcmp(q->key, item->key) != 0)
            || (q->account && strcmp(q->account, item->account) != 0)
            || (q->model && strstr(item->model, "haiku") == NULL)
            || (q->status && item->status != q->status
                && item->status / 100 != q->status))
        {
            continue;
        }

        ncr_test_name(q, 0, item, name[0]);
        ncr_test_name(q, 1, item, name[1]);

        for (k = 0; k < ncr_test_check.n; k++) {
            g = &ncr_test_check.groups[k];

            if (strcmp(g->name[0], name[0]) == 0
                && strcmp(g->name[1], name[1]) == 0)
            {
                break;
            }
        }

        g = &ncr_test_check.groups[k];

        if (k == ncr_test_check.n) {
            ncr_test_check.n++;
            memcpy(g->name, name, sizeof(name));
        }

        g->requests++;
        g->failed += (item->status >= 400);
        g->estimated += item->estimated;
        g->input += item->input;
        g->cost += item->cost;
        g->ttft += (item->ttft == UINT32_MAX) ? 0 : item->ttft;
        g->nttft += (item->ttft != UINT32_MAX);
    }
}


static ncr_int_t
ncr_test_given(void *data, ncr_ledger_sum_t *sum)
{
    uint64_t           order;
    ncr_uint_t         k;
    ncr_test_group_t  *g;
    ncr_test_check_t  *check = data;

    check->given++;

    order = (check->q->order == 1) ? sum->cost
            : (check->q->order == 2) ? sum->requests
            : (check->q->order == 3) ? sum->usage.input + sum->usage.output
            : 0;

    check->bad += (check->given > 1 && order > check->last);
    check->last = order;

    for (k = 0; k < check->n; k++) {
        g = &check->groups[k];

        if (strcmp(g->name[0], sum->name[0]) == 0
            && strcmp(g->name[1], sum->name[1]) == 0)
        {
            check->bad += (g->seen || g->requests != sum->requests
                           || g->failed != sum->failed
                           || g->estimated != sum->estimated
                           || g->input != sum->usage.input
                           || g->cost != sum->cost
                           || g->ttft != sum->ttft
                           || g->nttft != sum->nttft);
            g->seen = 1;

            return NCR_OK;
        }
    }

    check->bad++;

    return NCR_OK;
}


/* 1 if it is as by hand */

static ncr_uint_t
ncr_test_compare(ncr_ledger_t *ledger, ncr_ledger_query_t *q)
{
    ncr_int_t  rc;

    q->limit = 100000;

    ncr_test_count_by_hand(q);

    rc = ncr_ledger_sums(ledger, q, ncr_test_given, &ncr_test_check);

    if (rc == NCR_OK && ncr_test_check.bad == 0
        && ncr_test_check.given == ncr_test_check.n
        && q->groups == ncr_test_check.n)
    {
        return 1;
    }

    printf("# rc %d bad %d given %d of %d: from %lld until %lld by %d %d "
           "status %d\n", (int) rc, (int) ncr_test_check.bad,
           (int) ncr_test_check.given, (int) ncr_test_check.n,
           (long long) q->from, (long long) q->until, q->by[0], q->by[1],
           (int) q->status);

    return 0;
}


static void
ncr_test_query(ncr_ledger_query_t *q, ncr_msec_t from, ncr_msec_t length)
{
    ncr_uint_t  i;
    ncr_msec_t  t[2], end, step;

    static const ncr_msec_t  steps[] = { 1, 60000, 1800000, 3600000,
                                         86400000 };

    memset(q, 0, sizeof(ncr_ledger_query_t));

    for (i = 0; i < 2; i++) {

        t[i] = from - length / 10
               + (ncr_msec_t) ((uint64_t) length * ncr_test_random(1200)
                               / 1000)
               + ncr_test_random(3600000);

        step = steps[ncr_test_random(5)];
        t[i] -= t[i] % step;

        if (ncr_test_random(4) == 0) {
            ncr_tz_span(ncr_test_zones[ncr_test_random(4)], NCR_SPAN_DAY, 1,
                        0, t[i], &t[i], &end);
        }
    }

    q->from = ncr_min(t[0], t[1]);
    q->until = ncr_max(t[0], t[1]);

    if (ncr_test_random(5) == 0) {
        q->from = 0;
    }

    if (ncr_test_random(5) == 0) {
        q->until = 0;
    }

    q->tz = ncr_test_zones[ncr_test_random(4)];
    q->by[0] = (ncr_ledger_by_e) ncr_test_random(NCR_BY_MONTH + 1);
    q->by[1] = (ncr_ledger_by_e) ncr_test_random(NCR_BY_MONTH + 1);
    q->order = ncr_test_random(4) & 3;

    if (ncr_test_random(4) == 0) {
        q->key = "bob";
    }

    if (ncr_test_random(6) == 0) {
        q->account = "max-2";
    }

    if (ncr_test_random(6) == 0) {
        q->model = "*haiku*";
    }

    if (ncr_test_random(8) == 0) {
        q->status = ncr_test_random(2) ? 4 : 529;
    }
}


/* a month with a day of 23 hours, everything is kept */

static void
ncr_test_all_kept(void)
{
    ncr_uint_t           i, bad;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    ledger = ncr_test_open(ncr_test_zones[1]);

    ncr_test_nitems = 0;
    ncr_test_make(ledger, 3000, NCR_TEST_MARCH, 14 * NCR_TEST_DAY);

    bad = 0;

    for (i = 0; i < 400; i++) {
        ncr_test_query(&q, NCR_TEST_MARCH, 14 * NCR_TEST_DAY);
        bad += !ncr_test_compare(ledger, &q) || q.approximate;
    }

    ncr_test(bad == 0, "any question: as by hand");

    /* by day and hour of its zone */

    for (i = 0; i < 4; i++) {
        memset(&q, 0, sizeof(q));
        q.tz = ncr_test_zones[i];
        q.by[0] = NCR_BY_DAY;
        ncr_test(ncr_test_compare(ledger, &q) && !q.approximate,
                 "days of a zone");
        q.by[0] = NCR_BY_HOUR;
        ncr_test(ncr_test_compare(ledger, &q) && !q.approximate,
                 "hours of a zone");
        q.by[0] = NCR_BY_MONTH;
        q.by[1] = NCR_BY_KEY;
        ncr_test(ncr_test_compare(ledger, &q) && !q.approximate
                 && q.groups == 8, "its months by key");
    }

    /* a page of them */

    memset(&q, 0, sizeof(q));
    q.by[0] = NCR_BY_ACCOUNT;
    q.skip = 1;
    q.limit = 1;
    memset(&ncr_test_check, 0, sizeof(ncr_test_check));
    ncr_test_check.q = &q;
    ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_given, &ncr_test_check)
             == NCR_OK && ncr_test_check.given == 1 && q.groups == 3,
             "one of three");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static ncr_int_t
ncr_test_first(void *data, ncr_ledger_sum_t *sum)
{
    char *dst = data;

    snprintf(dst + strlen(dst), 500 - strlen(dst), "%s=%d ", sum->name[0],
             (int) sum->requests);

    return NCR_OK;
}


/* a few, whose days are known without any code */

static void
ncr_test_known(void)
{
    char                 text[500];
    ncr_uint_t           i;
    ncr_record_t         rec;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    /* 2026-10-25T00:30+02:00, 02:30+02:00, 02:30+01:00, 23:59:59.999+01:00,
     * and a moment later */

    static const ncr_msec_t  times[] = {
        1792881000000, 1792888200000, 1792891800000, 1792969199999,
        1792969200000
    };

    ledger = ncr_test_open(ncr_test_zones[1]);

    for (i = 0; i < 5; i++) {
        ncr_test_record(&rec, times[i]);
        (void) ncr_test_put(&rec);
    }

    (void) ncr_test_drain(ledger);

    memset(&q, 0, sizeof(q));
    q.by[0] = NCR_BY_DAY;
    text[0] = '\0';
    (void) ncr_ledger_sums(ledger, &q, ncr_test_first, text);
    ncr_test(strcmp(text, "2026-10-25T00:00:00+02:00=4 "
                          "2026-10-26T00:00:00+01:00=1 ") == 0,
             "a day of 25 hours");

    q.by[0] = NCR_BY_HOUR;
    text[0] = '\0';
    (void) ncr_ledger_sums(ledger, &q, ncr_test_first, text);
    ncr_test(strcmp(text, "2026-10-25T00:00:00+02:00=1 "
                          "2026-10-25T02:00:00+02:00=1 "
                          "2026-10-25T02:00:00+01:00=1 "
                          "2026-10-25T23:00:00+01:00=1 "
                          "2026-10-26T00:00:00+01:00=1 ") == 0,
             "the hour that is there twice");

    q.tz = ncr_test_zones[2];
    q.by[0] = NCR_BY_DAY;
    text[0] = '\0';
    (void) ncr_ledger_sums(ledger, &q, ncr_test_first, text);
    ncr_test(strcmp(text, "2026-10-25T00:00:00+05:30=3 "
                          "2026-10-26T00:00:00+05:30=2 ") == 0,
             "days of Kolkata");

    q.tz = ncr_test_zones[3];
    q.by[0] = NCR_BY_MONTH;
    text[0] = '\0';
    (void) ncr_ledger_sums(ledger, &q, ncr_test_first, text);
    ncr_test(strcmp(text, "2026-10-01T00:00:00-04:00=5 ") == 0,
             "a month of New York");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


/* the ledger's zone was changed, in the middle of a day */

static void
ncr_test_moved(void)
{
    ncr_uint_t           i, bad;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    ncr_test_nitems = 0;

    ledger = ncr_test_open(NULL);
    ncr_test_make(ledger, 1000, NCR_TEST_MARCH,
                  5 * NCR_TEST_DAY + NCR_TEST_DAY / 2);
    ncr_ledger_close(ledger);

    ledger = ncr_test_open(ncr_test_zones[3]);
    ncr_test_make(ledger, 1000,
                  NCR_TEST_MARCH + 5 * NCR_TEST_DAY + NCR_TEST_DAY / 2,
                  5 * NCR_TEST_DAY);

    bad = 0;

    for (i = 0; i < 200; i++) {
        ncr_test_query(&q, NCR_TEST_MARCH, 11 * NCR_TEST_DAY);
        bad += !ncr_test_compare(ledger, &q) || q.approximate;
    }

    ncr_test(bad == 0, "another zone from some day on: as by hand");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


/* what is deleted, and what can still be told then */

static void
ncr_test_expired(void)
{
    ncr_int_t            rc;
    ncr_uint_t           i, bad, pieces;
    ncr_msec_t           now;
    ncr_ledger_t        *ledger;
    ncr_ledger_keep_t    keep;
    ncr_ledger_query_t   q;

    ledger = ncr_test_open(ncr_test_zones[1]);

    ncr_test_nitems = 0;
    ncr_test_make(ledger, 4000, NCR_TEST_MARCH, 30 * NCR_TEST_DAY);

    now = NCR_TEST_MARCH + 30 * NCR_TEST_DAY;

    keep.rows = 10 * NCR_TEST_DAY;
    keep.minutes = 2 * NCR_TEST_DAY;
    keep.hours = 20 * NCR_TEST_DAY;
    keep.days = 0;

    pieces = 0;

    do {
        rc = ncr_ledger_expire(ledger, &keep, now);
        pieces++;

        /* half deleted is not half told */

        memset(&q, 0, sizeof(q));
        q.tz = ncr_test_zones[1];
        q.by[0] = NCR_BY_DAY;
        ncr_test(ncr_test_compare(ledger, &q) && !q.approximate,
                 "while it is going on: days are right");

    } while (rc == NCR_AGAIN);

    ncr_test(rc == NCR_OK && pieces > 1, "deleted in pieces");
    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM rows") < 1500
             && ncr_test_ask(ledger, "SELECT count(*) FROM minutes") < 400,
             "they are gone");

    memset(&q, 0, sizeof(q));
    q.tz = ncr_test_zones[2];
    q.by[0] = NCR_BY_KEY;
    q.by[1] = NCR_BY_MODEL;
    ncr_test(ncr_test_compare(ledger, &q) && !q.approximate,
             "all of the time: exactly");

    /* days of another zone, as far as hours and rows go back */

    q.from = now - 9 * NCR_TEST_DAY;
    q.by[0] = NCR_BY_DAY;
    ncr_test(ncr_test_compare(ledger, &q) && !q.approximate,
             "days of Kolkata: rows tell the half hours");

    q.from = 0;
    ncr_test_count_by_hand(&q);
    ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_given, &ncr_test_check)
             == NCR_OK && q.approximate,
             "further back: nearly, and it says so");

    bad = 0;

    for (i = 0; i < 200; i++) {
        ncr_test_query(&q, now - 2 * NCR_TEST_DAY, 2 * NCR_TEST_DAY);
        q.from = ncr_max(q.from, now - 2 * NCR_TEST_DAY);
        q.until = 0;
        bad += !ncr_test_compare(ledger, &q) || q.approximate;
    }

    ncr_test(bad == 0, "the last two days: any question");

    bad = 0;

    for (i = 0; i < 200; i++) {

        /* what is told to be exact is */

        ncr_test_query(&q, NCR_TEST_MARCH, 30 * NCR_TEST_DAY);
        ncr_test_count_by_hand(&q);
        q.limit = 100000;

        if (ncr_ledger_sums(ledger, &q, ncr_test_given, &ncr_test_check)
            != NCR_OK)
        {
            bad++;

        } else if (!q.approximate) {
            bad += !ncr_test_compare(ledger, &q);
        }
    }

    ncr_test(bad == 0, "anything: exact, or it says that it is not");

    keep.days = 15 * NCR_TEST_DAY;

    while (ncr_ledger_expire(ledger, &keep, now) == NCR_AGAIN) { /* void */ }

    ncr_test(ncr_test_ask(ledger, "SELECT (min(start) / 1000"
                          " - 1773964800) / 86400 FROM days") == 14,
             "days go, too");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static void
ncr_test_bounds(void)
{
    char                 text[500];
    ncr_uint_t           i;
    ncr_record_t         rec;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    ledger = ncr_test_open(NULL);

    memset(&q, 0, sizeof(q));
    text[0] = '\0';
    q.by[0] = NCR_BY_MINUTE;
    ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_first, text) == NCR_OK
             && text[0] == '\0' && q.groups == 0, "nothing of an empty one");

    /* a clock that was wrong: minutes of half a century */

    ncr_test_record(&rec, 1000);
    (void) ncr_test_put(&rec);
    ncr_test_record(&rec, NCR_TEST_NOW);
    (void) ncr_test_put(&rec);
    (void) ncr_test_drain(ledger);

    ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_first, text)
             == NCR_DECLINED, "too many borders");

    q.by[0] = NCR_BY_DAY;
    ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_first, text) == NCR_OK
             && strcmp(text, "1970-01-01T00:00:00Z=1 "
                             "2026-11-21T00:00:00Z=1 ") == 0,
             "days of half a century");

    for (i = 0; i < 2; i++) {
        q.from = NCR_TEST_NOW;
        q.until = i ? 1 : q.from;
        text[0] = '\0';
        ncr_test(ncr_ledger_sums(ledger, &q, ncr_test_first, text) == NCR_OK
                 && text[0] == '\0',
                 "a time without length, or the wrong way round");
    }

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


int
main(void)
{
    ncr_uint_t  i;

    static const char  *zones[] = { "UTC", "Europe/Berlin", "Asia/Kolkata",
                                    "America/New_York" };

    for (i = 0; i < 4; i++) {
        ncr_test_zones[i] = ncr_test_zone(zones[i]);
    }

    ncr_test_begin();

    ncr_test_all_kept();
    ncr_test_known();
    ncr_test_moved();
    ncr_test_expired();
    ncr_test_bounds();

    ncr_test_end();

    for (i = 0; i < 4; i++) {
        ncr_tz_free(ncr_test_zones[i]);
    }

    return ncr_test_done();
}
