
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Shares of a limit, and three nodes that have one together: what Redis does
 * is here as a model, with answers that are late, lost and out of order.
 */


#include "../../src/pool/ncr_share.c"
#include "ncr_test.h"


#define NCR_TEST_NODES   3
#define NCR_TEST_UNDER   8              /* requests at once, of a node */
#define NCR_TEST_START   1000
#define NCR_TEST_END     100000000


typedef struct {
    uint64_t            cap;
    uint64_t            used;
    uint64_t            seq;
    int64_t             resets;
    ncr_uint_t          set;
    ncr_uint_t          alive;
} ncr_test_seat_t;


/* what Redis knows */

typedef struct {
    ncr_test_seat_t     seats[NCR_TEST_NODES];
    int64_t             resets;
    ncr_uint_t          shorts;
} ncr_test_server_t;


typedef struct {
    ncr_share_t         share;
    ncr_counter_t       counter;
    uint64_t            wants[NCR_TEST_UNDER];
    ncr_share_ask_t     asks[2];        /* on their way, the older one first */
    ncr_uint_t          nasks;
} ncr_test_node_t;


static uint64_t           ncr_test_state = 88172645463325252;
static uint64_t           ncr_test_seq;
static ncr_msec_t         ncr_test_tick;
static ncr_test_server_t  ncr_test_server;
static ncr_test_node_t    ncr_test_nodes[NCR_TEST_NODES];


static uint64_t
ncr_test_random(uint64_t n)
{
    ncr_test_state ^= ncr_test_state << 13;
    ncr_test_state ^= ncr_test_state >> 7;
    ncr_test_state ^= ncr_test_state << 17;

    return ncr_test_state % n;
}


/* the script, one entry of it, without windows */

static void
ncr_test_serve(ncr_uint_t me, ncr_share_ask_t *ask, ncr_share_answer_t *a)
{
    uint64_t          used, cap, fact, need, base, target;
    ncr_uint_t        i, held, slots, zero;
    ncr_test_seat_t  *seat, *other;

    seat = &ncr_test_server.seats[me];

    memset(a, 0, sizeof(ncr_share_answer_t));

    a->start = ask->start;
    a->end = ask->end;
    a->seq = ask->seq;

    if (seat->set && seat->seq > ask->seq) {
        a->denied = NCR_SHARE_IS_STALE;
        a->seq = seat->seq;
        return;
    }

    slots = (ask->flags & NCR_SHARE_FLAG_SLOTS) != 0;
    used = ask->used;
    cap = ask->cap;
    fact = ask->fact;
    held = 0;

    ncr_test_server.resets = ncr_max(ncr_test_server.resets, ask->resets);

    if (ask->flags & NCR_SHARE_FLAG_RESET) {
        ncr_test_server.resets++;

    } else if (ask->resets < ncr_test_server.resets
               && !(ask->resets < 0
                    && ((seat->set && seat->resets == ncr_test_server.resets)
                        || ncr_test_server.resets == 0)))
    {
        fact -= used;
        used = 0;
        cap = 0;
        a->flags |= NCR_SHARE_FLAG_ZERO;
    }

    zero = (a->flags & NCR_SHARE_FLAG_ZERO) != 0;

    if (!slots && !zero && seat->set
        && seat->resets == ncr_test_server.resets && seat->used > used)
    {
        fact += seat->used - used;
        used = seat->used;
    }

    for (i = 0; i < NCR_TEST_NODES; i++) {

        other = &ncr_test_server.seats[i];

        if (i == me || !other->set) {
            continue;
        }

        if (other->resets != ncr_test_server.resets) {
            a->others_cap += (other->alive && other->cap > other->used)
                             ? other->cap - other->used : 0;
            continue;
        }

        if (slots && !other->alive) {
            continue;
        }

        a->others_used += other->used;
        a->others_cap += other->alive ? ncr_max(other->cap, other->used)
                                      : other->used;
        held |= (other->alive && other->cap > other->used);
    }

    cap = ncr_max(cap, ncr_max(fact, used));
    need = fact + ask->want;

    if (ask->want && need > cap) {

        if (a->others_cap + need <= ask->amount) {
            cap = need;

        } else if (!slots && !held && fact == used
                   && a->others_used + used < ask->amount)
        {
            cap = need;
            a->flags |= NCR_SHARE_FLAG_OVER;

        } else if (!slots && a->others_used + used >= ask->amount) {
            a->denied = NCR_SHARE_IS_FULL;

        } else {
            a->denied = NCR_SHARE_IS_BUSY;
            ncr_test_server.shorts++;
        }
    }

    base = need;

    if ((ask->flags & NCR_SHARE_FLAG_SLACK) && !a->denied
        && !(a->flags & NCR_SHARE_FLAG_OVER)
        && a->others_cap + base < ask->amount)
    {
        target = base + (ask->amount - a->others_cap - base)
                        / (4 * NCR_TEST_NODES);
        cap = ncr_max(cap, target);
    }

    seat->set = 1;
    seat->cap = cap;
    seat->used = used;
    seat->seq = ask->seq;
    seat->resets = ncr_test_server.resets;

    a->cap = cap;
    a->used = used;
    a->resets = ncr_test_server.resets;
}


static void
ncr_test_node_begin(ncr_test_node_t *n, uint64_t amount, ncr_uint_t slots)
{
    uint64_t  used;

    /* what was used is in the ledger */

    used = n->counter.used;

    memset(n, 0, sizeof(ncr_test_node_t));

    n->counter.used = used;

    if (!slots) {
        n->counter.start = NCR_TEST_START;
        n->counter.end = NCR_TEST_END;
    }

    ncr_share_init(&n->share, 7, slots);
    ncr_share_sync(&n->share, &n->counter);

    n->share.amount = amount;
}


static void
ncr_test_begin(uint64_t amount, ncr_uint_t slots)
{
    ncr_uint_t  i;

    memset(&ncr_test_server, 0, sizeof(ncr_test_server));
    memset(ncr_test_nodes, 0, sizeof(ncr_test_nodes));

    ncr_test_tick = 1000000;

    for (i = 0; i < NCR_TEST_NODES; i++) {
        ncr_test_node_begin(&ncr_test_nodes[i], amount, slots);
        ncr_test_server.seats[i].alive = 1;
    }
}


static void
ncr_test_ask(ncr_uint_t i, uint64_t want)
{
    ncr_test_node_t  *n;

    n = &ncr_test_nodes[i];

    if (ncr_share_asked(&n->share, ncr_test_tick) || n->nasks == 2) {
        return;
    }

    ncr_share_ask(&n->share, &n->counter, want, ++ncr_test_seq, ncr_test_tick,
                  ncr_test_tick + 200, &n->asks[n->nasks++]);
}


/* Redis gets one of them, the answer may be lost */

static void
ncr_test_deliver(ncr_uint_t i, ncr_uint_t lossy)
{
    uint64_t            was;
    ncr_uint_t          k;
    ncr_share_ask_t     ask;
    ncr_test_node_t    *n;
    ncr_share_answer_t  a;

    n = &ncr_test_nodes[i];

    if (n->nasks == 0) {
        return;
    }

    k = ncr_test_random(n->nasks);

    ask = n->asks[k];

    if (k == 0) {
        n->asks[0] = n->asks[1];
    }

    n->nasks--;

    if (lossy && ncr_test_random(8) == 0) {
        ncr_share_failed(&n->share, ask.seq, ncr_test_tick);
        return;
    }

    ncr_test_serve(i, &ask, &a);

    if (lossy && ncr_test_random(8) == 0) {
        ncr_share_failed(&n->share, ask.seq, ncr_test_tick);
        return;
    }

    (void) ncr_share_take(&n->share, &n->counter, &a, ask.seq, ncr_test_tick,
                          &was);
}


/* a request comes; 1: it goes on */

static ncr_uint_t
ncr_test_request(ncr_uint_t i, uint64_t want, ncr_uint_t up)
{
    ncr_uint_t        k;
    ncr_share_e       e;
    ncr_test_node_t  *n;

    n = &ncr_test_nodes[i];

    for (k = 0; k < NCR_TEST_UNDER && n->wants[k]; k++) { /* void */ }

    if (k == NCR_TEST_UNDER) {
        return 0;
    }

    e = up ? ncr_share_judge(&n->share, &n->counter, want, ncr_test_tick)
           : ncr_share_alone(&n->share, &n->counter, want, NCR_TEST_NODES);

    if (e == NCR_SHARE_OK) {
        n->wants[k] = want;
        n->counter.reserved += want;
        return 1;
    }

    if (e == NCR_SHARE_ASK) {
        ncr_test_ask(i, want);
    }

    return 0;
}


static void
ncr_test_end(ncr_uint_t i, ncr_uint_t k, ncr_uint_t slots)
{
    ncr_test_node_t  *n;

    n = &ncr_test_nodes[i];

    if (n->wants[k] == 0) {
        return;
    }

    n->counter.reserved -= n->wants[k];

    if (!slots) {
        n->counter.used += ncr_test_random(n->wants[k] + 1);
    }

    n->wants[k] = 0;
}


static void
ncr_test_beat(ncr_uint_t i)
{
    ncr_test_node_t  *n;

    n = &ncr_test_nodes[i];

    if (ncr_share_due(&n->share, &n->counter, ncr_test_tick)) {
        ncr_test_ask(i, 0);
    }
}


static uint64_t
ncr_test_used(ncr_uint_t slots)
{
    uint64_t    used;
    ncr_uint_t  i;

    used = 0;

    for (i = 0; i < NCR_TEST_NODES; i++) {
        used += slots ? ncr_test_nodes[i].counter.reserved
                      : ncr_test_nodes[i].counter.used;
    }

    return used;
}


/* kills: what a dead node has not told, may be used by others, too */

static uint64_t
ncr_test_run(uint64_t amount, uint64_t most, ncr_uint_t slots,
    ncr_uint_t steps, ncr_uint_t kills, uint64_t *untold)
{
    uint64_t          worst, used;
    ncr_uint_t        i, k, j;
    ncr_test_node_t  *n;

    ncr_test_begin(amount, slots);

    worst = 0;
    *untold = 0;

    for (j = 0; j < steps; j++) {

        i = ncr_test_random(NCR_TEST_NODES);
        k = ncr_test_random(NCR_TEST_UNDER);
        n = &ncr_test_nodes[i];

        ncr_test_tick += (ncr_msec_t) ncr_test_random(20);

        if (!ncr_test_server.seats[i].alive) {

            if (ncr_test_random(50) == 0) {
                ncr_test_server.seats[i].alive = 1;
                ncr_test_node_begin(n, amount, slots);
            }

            continue;
        }

        switch (ncr_test_random(kills ? 201 : 200) / 40) {

        case 0:
        case 1:
            (void) ncr_test_request(i, 1 + ncr_test_random(most), 1);
            break;

        case 2:
            ncr_test_end(i, k, slots);
            break;

        case 3:
            ncr_test_deliver(i, 1);
            break;

        case 4:
            if (ncr_test_random(4) == 0 && ncr_test_server.shorts) {
                ncr_test_server.shorts = 0;
                n->share.wanted = ncr_test_tick + NCR_SHARE_WANTED;
            }

            ncr_test_beat(i);
            break;

        case 5:

            if (!slots) {
                *untold += n->counter.used
                           - ncr_min(ncr_test_server.seats[i].used,
                                     n->counter.used);
            }

            n->counter.reserved = 0;
            n->nasks = 0;
            memset(n->wants, 0, sizeof(n->wants));
            ncr_test_server.seats[i].alive = 0;
            break;
        }

        used = ncr_test_used(slots);
        worst = ncr_max(worst, used);
    }

    return worst;
}


static void
ncr_test_random_runs(void)
{
    uint64_t    amount, most, worst, untold;
    ncr_uint_t  i, over, dead, slots, used;

    over = 0;
    dead = 0;
    slots = 0;
    used = 0;

    for (i = 0; i < 400; i++) {
        amount = 1 + ncr_test_random(5000);
        most = 1 + ncr_test_random(200);

        worst = ncr_test_run(amount, most, 0, 4000, 0, &untold);
        over += (worst > amount + most);

        /* and all of it can be used, if there are enough requests */

        used += (amount > 100 * most || worst * 10 >= amount * 9);

        worst = ncr_test_run(amount, most, 0, 4000, 1, &untold);
        dead += (worst > amount + most + untold);

        worst = ncr_test_run(1 + amount % 12, 1, 1, 4000, 0, &untold);
        slots += (worst > 1 + amount % 12);
    }

    ncr_test(over == 0, "three nodes never use more than one request over");
    ncr_test(used == 400, "and what there is can be used by whoever wants it");
    ncr_test(dead == 0, "of a node that dies, what it has not told comes over");
    ncr_test(slots == 0, "no more requests at once than there are slots");
}


/* from some moment on nobody is asked */

static void
ncr_test_away(void)
{
    uint64_t    amount, most, bound;
    ncr_uint_t  i, j, k, even, within, step;

    even = 0;
    within = 0;

    for (i = 0; i < 300; i++) {

        amount = 100 + ncr_test_random(5000);
        most = 1 + ncr_test_random(50);

        ncr_test_begin(amount, 0);

        for (step = 0; step < 300; step++) {
            j = ncr_test_random(NCR_TEST_NODES);
            ncr_test_tick += 5;
            (void) ncr_test_request(j, 1 + ncr_test_random(most), 1);
            ncr_test_deliver(j, 0);
            ncr_test_end(j, ncr_test_random(NCR_TEST_UNDER), 0);
        }

        /* half of the runs: all have just heard of all, twice as what the
         * first ones hear is changed by the last ones */

        for (j = 0; i % 2 && j < 2 * NCR_TEST_NODES; j++) {
            k = j % NCR_TEST_NODES;
            ncr_test_nodes[k].share.anew = 1;
            ncr_test_nodes[k].share.wanted = ncr_test_tick + 1000;
            ncr_test_ask(k, 0);
            ncr_test_deliver(k, 0);
        }

        bound = 0;

        for (j = 0; j < NCR_TEST_NODES; j++) {
            bound += ncr_share_allowance(&ncr_test_nodes[j].share,
                                         NCR_TEST_NODES);
        }

        if (i % 2) {
            even += (bound > amount + NCR_TEST_NODES + most);
        }

        for (step = 0; step < 3000; step++) {
            j = ncr_test_random(NCR_TEST_NODES);
            (void) ncr_test_request(j, 1 + ncr_test_random(most), 0);
            ncr_test_end(j, ncr_test_random(NCR_TEST_UNDER), 0);
        }

        within += (ncr_test_used(0) > bound + NCR_TEST_NODES * most);
    }

    ncr_test(even == 0, "alone: parts of what was left are the limit together");
    ncr_test(within == 0, "alone: a node uses its part, and one request more");
}


static void
ncr_test_single(void)
{
    ncr_share_t     *s;
    ncr_counter_t   *c;

    ncr_test_begin(100, 0);

    s = &ncr_test_nodes[0].share;
    c = &ncr_test_nodes[0].counter;

    ncr_test(!ncr_test_request(0, 5, 1), "the first request must ask");
    ncr_test(ncr_share_asked(s, ncr_test_tick), "it does");
    ncr_test(!ncr_test_request(0, 5, 1) && ncr_test_nodes[0].nasks == 1,
             "nobody else asks meanwhile");
    ncr_test(!ncr_share_asked(s, ncr_test_tick + 200),
             "but when no answer can come any more");

    ncr_test_deliver(0, 0);

    ncr_test(s->cap == 5 + 95 / 12, "a slice comes with it");
    ncr_test(ncr_test_request(0, 5, 1) && ncr_test_request(0, 7, 1),
             "what fits into it asks nobody");
    ncr_test(ncr_test_nodes[0].nasks == 0, "nobody");

    ncr_test(ncr_share_due(s, c, ncr_test_tick) == NCR_SHARE_URGENT,
             "a slice that is used up is asked for before it is missed");

    ncr_test_end(0, 0, 0);
    ncr_test_end(0, 1, 0);
    ncr_test(ncr_share_due(s, c, ncr_test_tick) != NCR_SHARE_NOTHING,
             "what was used is told");

    ncr_test_beat(0);
    ncr_test_deliver(0, 0);
    ncr_test(s->told == c->used, "as it is");

    ncr_test_tick += NCR_SHARE_IDLE;
    ncr_test(s->cap > c->used, "a share that is not used");
    ncr_test_beat(0);
    ncr_test(s->cap == c->used, "is given back, before that is told");
    ncr_test_deliver(0, 0);
    ncr_test(ncr_test_server.seats[0].cap == c->used, "and is told");
    ncr_test(ncr_share_quiet(s, c), "then there is silence");
    ncr_test(ncr_share_due(s, c, ncr_test_tick + 100000)
             == NCR_SHARE_NOTHING, "for as long as it is");
}


static void
ncr_test_others(void)
{
    ncr_share_t  *a, *b;

    /* one node has all of it */

    ncr_test_begin(10, 0);

    a = &ncr_test_nodes[0].share;
    b = &ncr_test_nodes[1].share;

    (void) ncr_test_request(0, 10, 1);
    ncr_test_deliver(0, 0);
    ncr_test(ncr_test_request(0, 4, 1), "one node has reserved a part of 10");

    (void) ncr_test_request(1, 5, 1);
    ncr_test_deliver(1, 0);
    ncr_test(ncr_share_judge(b, &ncr_test_nodes[1].counter, 5, ncr_test_tick)
             == NCR_SHARE_SHORT, "another one is short of it");
    ncr_test(ncr_test_server.shorts == 1, "which is told to all");

    a->wanted = ncr_test_tick + NCR_SHARE_WANTED;
    ncr_test(ncr_share_due(a, &ncr_test_nodes[0].counter, ncr_test_tick)
             == NCR_SHARE_URGENT, "who has it");
    ncr_test_beat(0);
    ncr_test_deliver(0, 0);
    ncr_test(a->cap == 4, "gives back what it does not need");

    b->denied = 0;
    (void) ncr_test_request(1, 5, 1);
    ncr_test_deliver(1, 0);
    ncr_test(ncr_test_request(1, 5, 1), "and the other one has it");

    /* a want that is larger than all that is left */

    ncr_test_begin(10, 0);
    (void) ncr_test_request(2, 1000, 1);
    ncr_test_deliver(2, 0);
    ncr_test(ncr_test_request(2, 1000, 1),
             "a limit smaller than the estimate admits one request");
    (void) ncr_test_request(1, 1, 1);
    ncr_test_deliver(1, 0);
    ncr_test(!ncr_test_request(1, 1, 1), "one in all nodes");

    ncr_test_nodes[2].counter.reserved = 0;
    ncr_test_nodes[2].counter.used = 3;
    ncr_test_nodes[2].wants[0] = 0;
    ncr_test(!ncr_test_request(2, 500, 1),
             "what it had is not there for the next one");

    ncr_test_deliver(2, 0);
    ncr_test_nodes[2].counter.used = 10;
    ncr_test_nodes[2].share.anew = 1;
    ncr_test_ask(2, 0);
    ncr_test_deliver(2, 0);
    ncr_test_nodes[1].share.denied = 0;
    (void) ncr_test_request(1, 1, 1);
    ncr_test_deliver(1, 0);
    ncr_test(ncr_share_judge(&ncr_test_nodes[1].share,
                             &ncr_test_nodes[1].counter, 1, ncr_test_tick)
             == NCR_SHARE_USED_UP, "what others have used up is used up");
}


static void
ncr_test_restart(void)
{
    ncr_test_node_t  *n;

    ncr_test_begin(100, 0);

    n = &ncr_test_nodes[0];

    (void) ncr_test_request(0, 30, 1);
    ncr_test_deliver(0, 0);
    (void) ncr_test_request(0, 30, 1);
    n->counter.reserved = 0;
    n->counter.used = 30;
    ncr_test_beat(0);
    ncr_test_deliver(0, 0);

    /* with its ledger */

    ncr_test_node_begin(n, 100, 0);
    (void) ncr_test_request(0, 1, 1);
    ncr_test_deliver(0, 0);
    ncr_test(n->share.told == 30 && n->share.base == 0,
             "a node that comes back tells what it has used");

    /* and without */

    n->counter.used = 0;
    ncr_test_node_begin(n, 100, 0);
    (void) ncr_test_request(0, 1, 1);
    ncr_test_deliver(0, 0);
    ncr_test(n->share.base == 30, "what it has forgotten is known to others");

    /* an operator begins anew */

    n->share.reset = 1;
    n->share.base = 0;
    ncr_test_nodes[1].counter.used = 20;
    ncr_test_ask(1, 0);
    ncr_test_deliver(1, 0);
    ncr_test_ask(0, 0);
    ncr_test_deliver(0, 0);
    ncr_test(!n->share.reset && n->share.resets == 1, "a reset is told once");

    ncr_test_ask(1, 0);
    ncr_test_deliver(1, 0);
    ncr_test(ncr_test_nodes[1].counter.used == 0, "and is one in all nodes");

    ncr_test_nodes[1].counter.used = 6;
    ncr_test_ask(1, 0);
    ncr_test_deliver(1, 0);
    ncr_test_node_begin(&ncr_test_nodes[1], 100, 0);
    ncr_test_ask(1, 0);
    ncr_test_deliver(1, 0);
    ncr_test(ncr_test_nodes[1].counter.used == 6,
             "who begins after it keeps what was used since then");

    ncr_test_nodes[2].counter.used = 9;
    ncr_test_ask(2, 0);
    ncr_test_deliver(2, 0);
    ncr_test(ncr_test_nodes[2].counter.used == 0,
             "whoever was away then, hears of it");
}


static void
ncr_test_windows(void)
{
    uint64_t             was;
    ncr_share_t          s;
    ncr_counter_t        c;
    ncr_share_ask_t      ask;
    ncr_share_answer_t   a;

    memset(&c, 0, sizeof(c));
    memset(&a, 0, sizeof(a));

    c.start = 5000;
    c.end = 9000;
    c.used = 4;

    ncr_share_init(&s, 1, 0);
    ncr_share_sync(&s, &c);
    s.amount = 100;

    ncr_share_ask(&s, &c, 1, 50, 1000, 2000, &ask);
    a.start = 3000;
    a.end = 7000;
    a.cap = 20;
    a.used = 4;
    a.seq = 50;

    ncr_test(ncr_share_take(&s, &c, &a, 50, 1000, &was) == NCR_SHARE_TAKEN
             && c.end == 7000 && c.start == 5000 && c.used == 4,
             "a window ends when the one that was begun first ends");
    ncr_test(s.start == 3000 && s.cap == 20, "which is the one that is shared");

    ncr_share_ask(&s, &c, 1, 51, 1000, 2000, &ask);
    ncr_test(ask.start == 3000 && ask.end == 7000, "it is told as such");

    c.start = 7000;
    c.end = 11000;
    c.used = 0;
    a.seq = 51;
    ncr_share_sync(&s, &c);
    ncr_test(s.cap == 0 && s.others_cap == 0, "the next window has no share");
    ncr_test(ncr_share_take(&s, &c, &a, 51, 1000, &was) == NCR_SHARE_IGNORED
             || s.cap == 0, "an answer of the old one is none of the new one");

    c.used = 3;
    ncr_share_ask(&s, &c, 1, 52, 1000, 2000, &ask);
    a.start = 11000;
    a.end = 15000;
    ncr_test(ncr_share_take(&s, &c, &a, 52, 1000, &was) == NCR_SHARE_MOVED
             && c.start == 11000 && c.end == 15000 && c.used == 0,
             "others are in the next window already: so is this node");

    c.end = INT64_MAX;
    c.start = 1;
    ncr_share_sync(&s, &c);
    ncr_share_ask(&s, &c, 1, 53, 1000, 2000, &ask);
    ncr_test(ask.end == 0, "a window without an end has none");
}


static void
ncr_test_texts(void)
{
    int64_t             n[NCR_SHARE_NUMBERS] = {
        9, 8, 7, 1000, 2000, 1, 6, 0, 77, 1
    };
    size_t              len;
    uint64_t            id;
    ncr_str_t           joe = ncr_string("joe"), moe = ncr_string("moe");
    ncr_char_t          buf[NCR_SHARE_TEXT];
    ncr_share_ask_t     ask;
    ncr_share_answer_t  a;

    memset(&ask, 0, sizeof(ask));
    ask.start = 1;
    ask.amount = UINT64_C(9000000000000000);
    ask.resets = -1;

    len = ncr_share_print(&ask, buf);
    ncr_test(len == strlen("1 0 9000000000000000 0 0 0 0 0 0 -1")
             && memcmp(buf, "1 0 9000000000000000 0 0 0 0 0 0 -1", len) == 0,
             "a question as it is written");

    memset(&ask, 0xff, sizeof(ask));
    ask.resets = INT64_MAX;
    ncr_test(ncr_share_print(&ask, buf) <= NCR_SHARE_TEXT, "has its bound");

    ncr_test(ncr_share_read(&a, n) == NCR_OK && a.cap == 9 && a.seq == 77,
             "an answer");
    n[2] = -1;
    ncr_test(ncr_share_read(&a, n) == NCR_BAD, "nothing is less than nothing");
    n[2] = INT64_MAX;
    ncr_test(ncr_share_read(&a, n) == NCR_BAD, "nor more than there can be");
    n[2] = 7;
    n[4] = 500;
    ncr_test(ncr_share_read(&a, n) == NCR_BAD, "a window ends after its start");
    n[4] = 0;
    n[5] = 9;
    ncr_test(ncr_share_read(&a, n) == NCR_BAD, "an answer that there is not");

    id = ncr_share_id(NCR_SCOPE_KEY, &joe, 5);
    ncr_test(id == ncr_share_id(NCR_SCOPE_KEY, &joe, 5), "ids are of names");
    ncr_test(id != ncr_share_id(NCR_SCOPE_KEY, &moe, 5)
             && id != ncr_share_id(NCR_SCOPE_USER, &joe, 5)
             && id != ncr_share_id(NCR_SCOPE_KEY, &joe, 6),
             "and of scopes, and of limits");
}


static void
ncr_test_shown(void)
{
    ncr_share_t    s;
    ncr_counter_t  c;

    memset(&c, 0, sizeof(c));
    c.start = 1;
    c.end = INT64_MAX;
    c.used = 3;

    ncr_share_init(&s, 1, 0);
    ncr_share_sync(&s, &c);
    s.base = 2;
    s.others_used = 10;

    ncr_share_shown(&s, &c);
    ncr_test(c.used == 15, "shown is what all have used");

    ncr_share_init(&s, 1, 1);
    s.others_used = 2;
    c.reserved = 1;
    ncr_share_shown(&s, &c);
    ncr_test(c.reserved == 3, "and the slots of all");
}


int
main(void)
{
    ncr_test_single();
    ncr_test_others();
    ncr_test_restart();
    ncr_test_windows();
    ncr_test_texts();
    ncr_test_shown();
    ncr_test_random_runs();
    ncr_test_away();

    return ncr_test_done();
}
