
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_guard.c"

#include "ncr_test.h"


static ncr_guard_t       ncr_test_guard;
static ncr_guard_rule_t  ncr_test_rule = { 3, 60000, 1000, 8000 };


static ncr_msec_t
ncr_test_wait(uint64_t key, ncr_msec_t now)
{
    return ncr_guard_wait(&ncr_test_guard, &ncr_test_rule, key, now);
}


static void
ncr_test_fail(uint64_t key, ncr_uint_t n, ncr_msec_t now)
{
    while (n--) {
        ncr_guard_failed(&ncr_test_guard, &ncr_test_rule, key, now);
    }
}


static ncr_uint_t
ncr_test_rows(void)
{
    ncr_uint_t  i, n;

    n = 0;

    for (i = 0; i < NCR_GUARD_ROWS; i++) {
        n += (ncr_test_guard.rows[i].key != 0);
    }

    return n;
}


static void
ncr_test_pauses(void)
{
    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    ncr_test(ncr_test_wait(7, 1000) == 0, "nobody has failed");

    ncr_test_fail(7, 3, 1000);
    ncr_test(ncr_test_wait(7, 1000) == 0, "three are free");
    ncr_test_fail(7, 1, 1000);
    ncr_test(ncr_test_wait(7, 1000) == 1000 && ncr_test_wait(7, 1999) == 1
             && ncr_test_wait(7, 2000) == 0, "a pause");
    ncr_test(ncr_test_wait(8, 1000) == 0, "not for others");

    ncr_test_fail(7, 1, 2000);
    ncr_test(ncr_test_wait(7, 2000) == 2000, "twice as long");
    ncr_test_fail(7, 1, 4000);
    ncr_test(ncr_test_wait(7, 4000) == 4000, "and again");
    ncr_test_fail(7, 1, 8000);
    ncr_test(ncr_test_wait(7, 8000) == 8000, "up to the longest");
    ncr_test_fail(7, 10000, 16000);
    ncr_test(ncr_test_wait(7, 16000) == 8000, "which is the longest");

    ncr_guard_passed(&ncr_test_guard, 7);
    ncr_test(ncr_test_wait(7, 16000) == 0 && ncr_test_rows() == 0, "passed");
    ncr_guard_passed(&ncr_test_guard, 7);

    ncr_test_fail(0, 4, 1000);
    ncr_test(ncr_test_wait(0, 1000) == 1000 && ncr_test_rows() == 1,
             "a hash of 0 is one");
}


static void
ncr_test_windows(void)
{
    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    ncr_test_fail(7, 3, 1000);
    ncr_test_fail(7, 1, 60999);
    ncr_test(ncr_test_wait(7, 60999) == 1000, "within the window");

    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    ncr_test_fail(7, 3, 1000);
    ncr_test_fail(7, 3, 61000);
    ncr_test(ncr_test_wait(7, 61000) == 0, "a new window");
    ncr_test_fail(7, 1, 61000);
    ncr_test(ncr_test_wait(7, 61000) == 1000, "has as many");

    ncr_test_fail(7, 2, 62000);
    ncr_test(ncr_test_wait(7, 62000) == 4000, "who waited");
    ncr_test_fail(7, 1, 62000 + 4000 + 59999);
    ncr_test(ncr_test_wait(7, 62000 + 4000 + 59999) == 8000,
             "is remembered");
    ncr_test_fail(7, 1, 125999 + 8000 + 60000);
    ncr_test(ncr_test_wait(7, 125999 + 8000 + 60000) == 0,
             "until nothing was heard of it for a window");

    /* the clock is put back by an hour */

    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    ncr_test_fail(7, 4, 4000000);
    ncr_test(ncr_test_wait(7, 400000) == 1000
             && ncr_test_wait(7, 401000) == 0, "a clock that was put back");
    ncr_test_fail(7, 1, 300000);
    ncr_test(ncr_test_wait(7, 300000) == 2000
             && ncr_test_wait(7, 302000) == 0, "and once more");
}


static void
ncr_test_full(void)
{
    ncr_uint_t  i;

    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    ncr_test_fail(7, 6, 1000);

    for (i = 0; i < 10000; i++) {
        ncr_test_fail(1000 + i, 1, 1001);
    }

    ncr_test(ncr_test_rows() == NCR_GUARD_ROWS
             && ncr_test_wait(7, 1001) == 3999,
             "names that were made up free nobody");
    ncr_test_fail(10999, 3, 1001);
    ncr_test(ncr_test_wait(10999, 1001) == 1000, "the last one is there");

    memset(&ncr_test_guard, 0, sizeof(ncr_test_guard));

    for (i = 0; i <= NCR_GUARD_ROWS; i++) {
        ncr_test_fail(1000 + i, 4, (ncr_msec_t) (1000 + i));
    }

    ncr_test(ncr_test_wait(1000, 1300) == 0 && ncr_test_wait(1001, 1300) > 0
             && ncr_test_wait(1000 + NCR_GUARD_ROWS, 1300) > 0,
             "all of them wait: the oldest goes");
}


int
main(void)
{
    ncr_test_pauses();
    ncr_test_windows();
    ncr_test_full();

    return ncr_test_done();
}
