
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_policy.h"
#include "ncr_str.h"


/* < 0: a is to be taken before b; 0: as good as each other */
typedef int (*ncr_policy_cmp_pt)(const ncr_candidate_t *a,
    const ncr_candidate_t *b);


static ncr_uint_t ncr_policy_least_load(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random);
static ncr_uint_t ncr_policy_round_robin(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random);
static ncr_uint_t ncr_policy_least_recently_used(ncr_candidate_t *c,
    ncr_uint_t n, uint64_t turn, uint32_t random);
static ncr_uint_t ncr_policy_weighted(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random);
static ncr_uint_t ncr_policy_soonest_reset(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random);
static ncr_uint_t ncr_policy_best(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, ncr_policy_cmp_pt cmp);
static int ncr_policy_cmp_load(const ncr_candidate_t *a,
    const ncr_candidate_t *b);
static int ncr_policy_cmp_turn(const ncr_candidate_t *a,
    const ncr_candidate_t *b);
static int ncr_policy_cmp_used(const ncr_candidate_t *a,
    const ncr_candidate_t *b);
static int ncr_policy_cmp_reset(const ncr_candidate_t *a,
    const ncr_candidate_t *b);
static uint64_t ncr_policy_weight(const ncr_candidate_t *c);


static ncr_policy_t  ncr_policies[] = {
    { ncr_string("least-load"), ncr_policy_least_load },
    { ncr_string("round-robin"), ncr_policy_round_robin },
    { ncr_string("least-recently-used"), ncr_policy_least_recently_used },
    { ncr_string("weighted"), ncr_policy_weighted },
    { ncr_string("soonest-reset"), ncr_policy_soonest_reset },
    { ncr_null_string, NULL }
};


ncr_policy_t *
ncr_policy_find(ncr_str_t *name)
{
    ncr_policy_t  *p;

    for (p = ncr_policies; p->pick; p++) {
        if (ncr_str_eq(name, (char *) p->name.data)) {
            return p;
        }
    }

    return NULL;
}


ncr_uint_t
ncr_policy_pick(ncr_policy_t *policy, ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random)
{
    int32_t     priority;
    ncr_uint_t  i, m;

    priority = c[0].priority;

    for (i = 1; i < n; i++) {
        if (c[i].priority > priority) {
            priority = c[i].priority;
        }
    }

    /* those of the highest priority to the front, in their order */

    m = 0;

    for (i = 0; i < n; i++) {
        if (c[i].priority == priority) {

            if (i != m) {
                c[m] = c[i];
            }

            m++;
        }
    }

    return policy->pick(c, m, turn, random);
}


static ncr_uint_t
ncr_policy_least_load(ncr_candidate_t *c, ncr_uint_t n, uint64_t turn,
    uint32_t random)
{
    return ncr_policy_best(c, n, turn, ncr_policy_cmp_load);
}


/*
 * The one whose turn was longest ago, which is the next one as long as all
 * stay eligible, and neither starves nor floods one that comes back: turn %
 * n would do both.  turn settles only what nobody was picked for yet.
 */

static ncr_uint_t
ncr_policy_round_robin(ncr_candidate_t *c, ncr_uint_t n, uint64_t turn,
    uint32_t random)
{
    /* those that were never picked come in the order they are written */

    return ncr_policy_best(c, n, 0, ncr_policy_cmp_turn);
}


static ncr_uint_t
ncr_policy_least_recently_used(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random)
{
    return ncr_policy_best(c, n, turn, ncr_policy_cmp_used);
}


static ncr_uint_t
ncr_policy_weighted(ncr_candidate_t *c, ncr_uint_t n, uint64_t turn,
    uint32_t random)
{
    uint64_t    at, total;
    ncr_uint_t  i;

    total = 0;

    for (i = 0; i < n; i++) {
        total += ncr_policy_weight(&c[i]);
    }

    /* random / 2^32 of the total, in two halves so that nothing overflows */

    at = (total >> 32) * random + (((total & 0xffffffff) * random) >> 32);

    for (i = 0; i < n - 1; i++) {

        if (at < ncr_policy_weight(&c[i])) {
            break;
        }

        at -= ncr_policy_weight(&c[i]);
    }

    return i;
}


static ncr_uint_t
ncr_policy_soonest_reset(ncr_candidate_t *c, ncr_uint_t n, uint64_t turn,
    uint32_t random)
{
    return ncr_policy_best(c, n, turn, ncr_policy_cmp_reset);
}


/* the best; among equals the one whose turn it is */

static ncr_uint_t
ncr_policy_best(ncr_candidate_t *c, ncr_uint_t n, uint64_t turn,
    ncr_policy_cmp_pt cmp)
{
    int         rc;
    uint64_t    nth, ties;
    ncr_uint_t  i, best;

    best = 0;
    ties = 1;

    for (i = 1; i < n; i++) {
        rc = cmp(&c[i], &c[best]);

        if (rc < 0) {
            best = i;
            ties = 1;

        } else if (rc == 0) {
            ties++;
        }
    }

    nth = turn % ties;

    for (i = best; nth > 0; nth--) {
        do {
            i++;
        } while (cmp(&c[i], &c[best]) != 0);
    }

    return i;
}


static int
ncr_policy_cmp_load(const ncr_candidate_t *a, const ncr_candidate_t *b)
{
    uint64_t  la, lb;

    la = a->inflight * ncr_policy_weight(b);
    lb = b->inflight * ncr_policy_weight(a);

    if (la != lb) {
        return (la < lb) ? -1 : 1;
    }

    return ncr_policy_cmp_used(a, b);
}


static int
ncr_policy_cmp_turn(const ncr_candidate_t *a, const ncr_candidate_t *b)
{
    /* several picks may fall into one millisecond */

    if (a->used == b->used && a->order != b->order) {
        return (a->order < b->order) ? -1 : 1;
    }

    return ncr_policy_cmp_used(a, b);
}


static int
ncr_policy_cmp_used(const ncr_candidate_t *a, const ncr_candidate_t *b)
{
    if (a->used == b->used) {
        return 0;
    }

    return (a->used < b->used) ? -1 : 1;
}


/* quota that is lost soonest is spent first; unknown resets come last */

static int
ncr_policy_cmp_reset(const ncr_candidate_t *a, const ncr_candidate_t *b)
{
    ncr_msec_t  ra, rb;

    ra = (a->reset > 0) ? a->reset : INT64_MAX;
    rb = (b->reset > 0) ? b->reset : INT64_MAX;

    if (ra != rb) {
        return (ra < rb) ? -1 : 1;
    }

    return ncr_policy_cmp_load(a, b);
}


static uint64_t
ncr_policy_weight(const ncr_candidate_t *c)
{
    return c->weight ? c->weight : 1;
}
