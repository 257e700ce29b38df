
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_policy.c"
#include "ncr_test.h"


static ncr_candidate_t  ncr_test_list[5];


static ncr_candidate_t *
ncr_test_candidates(ncr_uint_t n)
{
    ncr_uint_t  i;

    memset(ncr_test_list, 0, sizeof(ncr_test_list));

    for (i = 0; i < n; i++) {
        ncr_test_list[i].account = 10 + i;
        ncr_test_list[i].weight = 1;
    }

    return ncr_test_list;
}


static ncr_uint_t
ncr_test_pick(const char *name, ncr_uint_t n, uint64_t turn, uint32_t random)
{
    ncr_str_t   s;
    ncr_uint_t  i;

    s.data = (ncr_char_t *) name;
    s.len = strlen(name);

    i = ncr_policy_pick(ncr_policy_find(&s), ncr_test_list, n, turn, random);

    return (i < n) ? ncr_test_list[i].account : 0;
}


static void
ncr_test_find(void)
{
    ncr_str_t  name = ncr_string("least-load");
    ncr_str_t  part = ncr_string("least");
    ncr_str_t  none = ncr_null_string;

    ncr_test(ncr_policy_find(&name) != NULL, "a policy is found by its name");
    ncr_test(ncr_policy_find(&part) == NULL, "not by a part of it");
    ncr_test(ncr_policy_find(&none) == NULL, "nor by nothing");
}


static void
ncr_test_priority(void)
{
    ncr_candidate_t  *c;

    c = ncr_test_candidates(4);
    c[0].priority = 1;
    c[1].priority = 5;
    c[2].priority = -3;
    c[3].priority = 5;
    c[1].inflight = 9;
    c[3].inflight = 8;

    ncr_test(ncr_test_pick("least-load", 4, 0, 0) == 13,
             "the highest priority wins whatever its load");

    c = ncr_test_candidates(2);
    c[0].priority = -2;
    c[1].priority = -1;

    ncr_test(ncr_test_pick("weighted", 2, 0, 0) == 11,
             "negative priorities compare");
    ncr_test(ncr_test_pick("round-robin", 1, 7, 0) == 11,
             "one candidate is the one");
}


static void
ncr_test_least_load(void)
{
    ncr_candidate_t  *c;

    c = ncr_test_candidates(3);
    c[0].inflight = 3;
    c[1].inflight = 2;
    c[2].inflight = 5;

    ncr_test(ncr_test_pick("least-load", 3, 0, 0) == 11,
             "least load: fewest in flight");

    c[2].weight = 4;

    ncr_test(ncr_test_pick("least-load", 3, 0, 0) == 12,
             "least load: by weight, 5/4 is less than 2/1");

    c[2].weight = 1;
    c[0].inflight = 2;
    c[0].used = 200;
    c[1].used = 100;

    ncr_test(ncr_test_pick("least-load", 3, 0, 0) == 11,
             "least load: ties go to the least recently used");

    c[0].used = 100;

    ncr_test(ncr_test_pick("least-load", 3, 4, 0) == 10
             && ncr_test_pick("least-load", 3, 5, 0) == 11
             && ncr_test_pick("least-load", 3, 6, 0) == 10,
             "least load: what ties still goes by turns");

    c = ncr_test_candidates(2);
    c[0].inflight = UINT32_MAX;
    c[0].weight = UINT32_MAX;
    c[1].inflight = UINT32_MAX - 1;
    c[1].weight = UINT32_MAX;

    ncr_test(ncr_test_pick("least-load", 2, 0, 0) == 11,
             "least load: nothing overflows");

    c[1].weight = 0;

    ncr_test(ncr_test_pick("least-load", 2, 0, 0) == 10,
             "least load: a weight of 0 is taken for 1");
}


static void
ncr_test_round_robin(void)
{
    ncr_uint_t        i, all, last, n[3];
    ncr_candidate_t  *c;

    c = ncr_test_candidates(3);
    all = 1;

    for (i = 0; i < 6; i++) {
        all &= (ncr_test_pick("round-robin", 3, i, 0) == 10);
    }

    ncr_test(all, "round robin: the first written when nobody was picked yet");

    /* a pick each millisecond, and another pool's picks between */

    c = ncr_test_candidates(3);
    all = 1;

    for (i = 0; i < 30; i++) {
        last = ncr_test_pick("round-robin", 3, i * 3, 0) - 10;
        all &= (i < 3 || c[last].used == (ncr_msec_t) (1000 + i - 3));
        c[last].used = (ncr_msec_t) (1000 + i);
        c[last].order++;
    }

    ncr_test(all, "round robin: one after the other, whatever turn is");

    c = ncr_test_candidates(3);
    memset(n, 0, sizeof(n));

    for (i = 0; i < 30; i++) {
        last = ncr_test_pick("round-robin", 3, 0, 0);
        c[last - 10].used = 5;
        c[last - 10].order++;
        n[last - 10]++;
    }

    ncr_test(n[0] == 10 && n[1] == 10 && n[2] == 10,
             "round robin: fair within one millisecond");

    c = ncr_test_candidates(3);
    c[0].used = 30;
    c[1].used = 10;
    c[2].used = 20;
    c[1].order = 900;

    ncr_test(ncr_test_pick("round-robin", 3, 0, 0) == 11,
             "round robin: the longest wait, not the fewest picks");
}


static void
ncr_test_recent(void)
{
    ncr_candidate_t  *c;

    c = ncr_test_candidates(3);
    c[0].used = 300;
    c[1].used = 100;
    c[2].used = 200;
    c[1].inflight = 50;

    ncr_test(ncr_test_pick("least-recently-used", 3, 0, 0) == 11,
             "least recently used: the oldest pick");

    c[2].used = 0;

    ncr_test(ncr_test_pick("least-recently-used", 3, 0, 0) == 12,
             "least recently used: never is the oldest");
}


static void
ncr_test_weighted(void)
{
    uint32_t          r;
    ncr_uint_t        i, n[3];
    ncr_candidate_t  *c;

    c = ncr_test_candidates(3);
    c[0].weight = 1;
    c[1].weight = 2;
    c[2].weight = 5;

    memset(n, 0, sizeof(n));

    for (i = 0; i < 8000; i++) {
        r = (uint32_t) (i * (UINT32_MAX / 8000));
        n[ncr_test_pick("weighted", 3, 0, r) - 10]++;
    }

    ncr_test(n[0] > 980 && n[0] < 1020 && n[1] > 1980 && n[1] < 2020,
             "weighted: in proportion to weights");
    ncr_test(ncr_test_pick("weighted", 3, 0, UINT32_MAX) == 12
             && ncr_test_pick("weighted", 3, 0, 0) == 10,
             "weighted: the ends of the range");

    c[0].weight = UINT32_MAX;
    c[1].weight = UINT32_MAX;
    c[2].weight = UINT32_MAX;

    ncr_test(ncr_test_pick("weighted", 3, 0, UINT32_MAX) == 12
             && ncr_test_pick("weighted", 3, 0, UINT32_MAX / 2) == 11,
             "weighted: nothing overflows");
}


static void
ncr_test_soonest(void)
{
    ncr_candidate_t  *c;

    c = ncr_test_candidates(4);
    c[0].reset = 0;
    c[1].reset = 5000;
    c[2].reset = 4000;
    c[3].reset = 4000;
    c[2].inflight = 2;
    c[3].inflight = 1;

    ncr_test(ncr_test_pick("soonest-reset", 4, 0, 0) == 13,
             "soonest reset: ties go to the least load");

    c[3].reset = 9000;

    ncr_test(ncr_test_pick("soonest-reset", 4, 0, 0) == 12,
             "soonest reset: before a later one and before unknown");

    c = ncr_test_candidates(2);
    c[0].inflight = 1;

    ncr_test(ncr_test_pick("soonest-reset", 2, 0, 0) == 11,
             "soonest reset: all unknown, least load");
}


int
main(void)
{
    ncr_test_find();
    ncr_test_priority();
    ncr_test_least_load();
    ncr_test_round_robin();
    ncr_test_recent();
    ncr_test_weighted();
    ncr_test_soonest();

    return ncr_test_done();
}
