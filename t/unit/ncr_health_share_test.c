
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_health_share.c"
#include "ncr_test.h"

#include <stdio.h>


#define NCR_TEST_NOW  ((ncr_msec_t) 1795262400 * 1000)


static ncr_str_t  ncr_test_opus = ncr_string("opus");
static ncr_str_t  ncr_test_none = ncr_string("");
static uint32_t   ncr_test_seed = 7;


static uint32_t
ncr_test_random(uint32_t n)
{
    ncr_test_seed = ncr_test_seed * 1664525 + 1013904223;

    return (ncr_test_seed >> 8) % n;
}


static void
ncr_test_fails(ncr_health_t *h, ncr_class_e class, ncr_rest_e rest,
    ncr_msec_t ms, ncr_uint_t family, ncr_msec_t now)
{
    ncr_verdict_t  v;

    memset(&v, 0, sizeof(v));

    v.fault = NCR_FAULT_ACCOUNT;
    v.class = class;
    v.rest = rest;
    v.base = ms;
    v.max = 8 * ms;
    v.until = now + ms;
    v.family = (family != 0);

    (void) ncr_health_verdict(h, &v, 429, family ? &ncr_test_opus
                                                 : &ncr_test_none,
                              now, now, 0);
}


static void
ncr_test_limits(ncr_health_t *h, const char *name, int32_t utilization,
    ncr_msec_t reset, ncr_msec_t now)
{
    ncr_str_t     s;
    ncr_limits_t  l;

    memset(&l, 0, sizeof(l));

    s = ncr_test_s(name);
    ncr_str_copy(l.windows[0].name, NCR_WINDOW_LEN, &s);
    l.windows[0].status = NCR_WINDOW_ALLOWED;
    l.windows[0].utilization = utilization;
    l.windows[0].reset = reset;
    l.nwindows = 1;

    ncr_health_limits(h, &l, now);
}


/* what "from" knows comes to h, as a text */

static ncr_int_t
ncr_test_tell(ncr_health_t *h, ncr_health_t *from, ncr_msec_t now)
{
    ncr_out_t           out;
    ncr_int_t           rc;
    ncr_str_t           text;
    ncr_char_t          buf[NCR_HEALTH_SHARE];
    ncr_health_share_t  s, own;

    ncr_health_share_get(&s, from, now);

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_health_share_write(&out, &s);

    text.data = buf;
    text.len = (size_t) (out.last - out.start);

    rc = ncr_health_share_read(&s, &text, now);

    if (rc != NCR_OK || out.overflow) {
        return NCR_BAD;
    }

    ncr_health_share_get(&own, h, now);
    ncr_health_share_merge(&own, &s, now);
    (void) ncr_health_share_put(&own, h, now);

    return NCR_OK;
}


static ncr_eligible_e
ncr_test_eligible(ncr_health_t *h, ncr_msec_t now)
{
    return ncr_health_eligible(h, &ncr_test_opus, now, NULL);
}


static void
ncr_test_rests(void)
{
    ncr_msec_t    now, until;
    ncr_health_t  a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    now = NCR_TEST_NOW;

    ncr_test_fails(&a, NCR_CLASS_OVERLOADED, NCR_REST_BACKOFF, 30000, 0, now);

    ncr_test(a.edits == 1, "a rest is an edit");
    ncr_test(ncr_test_tell(&b, &a, now + 5) == NCR_OK
             && ncr_test_eligible(&b, now + 10) == NCR_RESTING,
             "another node rests it, too");

    (void) ncr_health_eligible(&b, &ncr_test_none, now + 10, &until);

    ncr_test(until == a.until && b.why == NCR_CLASS_OVERLOADED
             && b.since == a.since && b.fails == 1,
             "as long, for the same reason, at the same step");

    ncr_test(ncr_test_eligible(&b, a.until + 1) == NCR_ELIGIBLE_PROBE,
             "and lets one try first when it is over");

    ncr_health_success(&b, &ncr_test_none, a.until + 1, a.until + 100);

    ncr_test(b.edits == 2, "a success that ends a rest is an edit");

    ncr_health_success(&b, &ncr_test_none, a.until + 2, a.until + 101);

    ncr_test(b.edits == 2, "the next one is none");

    now = a.until + 200;

    ncr_test(ncr_test_tell(&a, &b, now) == NCR_OK && a.fails == 0
             && ncr_test_eligible(&a, now) == NCR_ELIGIBLE,
             "what has ended it there ends it here");

    ncr_test_fails(&a, NCR_CLASS_OVERLOADED, NCR_REST_BACKOFF, 30000, 0,
                   now + 10);
    (void) ncr_test_tell(&a, &b, now + 20);

    ncr_test(ncr_test_eligible(&a, now + 20) == NCR_RESTING,
             "an older success ends no newer rest");

    ncr_health_success(&b, &ncr_test_none, now + 11, now + 40);
    (void) ncr_test_tell(&b, &a, now + 50);

    ncr_test(ncr_test_eligible(&b, now + 50) == NCR_ELIGIBLE,
             "a rest that is heard of after a later success is over");
}


static void
ncr_test_quota(void)
{
    ncr_msec_t    now;
    ncr_health_t  a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    now = NCR_TEST_NOW;

    ncr_test_fails(&a, NCR_CLASS_LIMITED, NCR_REST_UNTIL, 3600000, 0, now);
    ncr_test_fails(&b, NCR_CLASS_SERVER, NCR_REST_FOR, 5000, 0, now + 3);
    (void) ncr_test_tell(&b, &a, now + 10);
    (void) ncr_test_tell(&a, &b, now + 10);

    ncr_test(b.until == a.until && b.until > now + 3600000,
             "a short rest does not take the place of a quota's");

    ncr_health_success(&b, &ncr_test_none, now + 20, now + 30);
    (void) ncr_test_tell(&a, &b, now + 40);

    ncr_test(ncr_test_eligible(&a, now + 40) == NCR_RESTING,
             "no success ends a quota's rest");

    ncr_health_reset(&b, now + 50);
    (void) ncr_test_tell(&a, &b, now + 60);

    ncr_test(ncr_test_eligible(&a, now + 60) == NCR_ELIGIBLE
             && a.cleared == now + 50, "an operator's reset does");

    memset(&b, 0, sizeof(b));
    ncr_test_fails(&b, NCR_CLASS_LIMITED, NCR_REST_UNTIL, 3600000, 0, now);
    (void) ncr_test_tell(&a, &b, now + 70);

    ncr_test(ncr_test_eligible(&a, now + 70) == NCR_ELIGIBLE,
             "and it does so for who tells late");

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    ncr_test_fails(&a, NCR_CLASS_AUTH, NCR_REST_FOR, 3600000, 0, now);
    (void) ncr_test_tell(&b, &a, now + 10);
    ncr_health_renewed(&b, now + 20);
    (void) ncr_test_tell(&a, &b, now + 30);

    ncr_test(ncr_test_eligible(&a, now + 30) == NCR_ELIGIBLE,
             "a rest for a credential's sake ends with it");

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    ncr_test_fails(&a, NCR_CLASS_AUTH, NCR_REST_LOGIN, 0, 0, now);
    (void) ncr_test_tell(&b, &a, now + 10);
    (void) ncr_test_tell(&a, &b, now + 10);

    ncr_test(ncr_test_eligible(&b, now + 20) == NCR_ELIGIBLE
             && ncr_test_eligible(&a, now + 20) == NCR_RESTING,
             "who needs a login stays so, and tells nobody by this");

    ncr_health_reset(&b, now + 20);
    (void) ncr_test_tell(&a, &b, now + 30);

    ncr_test(ncr_test_eligible(&a, now + 30) == NCR_ELIGIBLE,
             "but a reset is for all");
}


static void
ncr_test_families(void)
{
    ncr_msec_t    now;
    ncr_health_t  a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    now = NCR_TEST_NOW;

    ncr_test_fails(&a, NCR_CLASS_MODEL_LIMITED, NCR_REST_UNTIL, 60000, 1,
                   now);
    (void) ncr_test_tell(&b, &a, now + 10);

    ncr_test(ncr_test_eligible(&b, now + 20) == NCR_RESTING_FAMILY
             && ncr_health_eligible(&b, &ncr_test_none, now + 20, NULL)
                == NCR_ELIGIBLE, "a family rests alone");

    ncr_health_reset(&b, now + 30);
    (void) ncr_test_tell(&a, &b, now + 40);

    ncr_test(ncr_test_eligible(&a, now + 40) == NCR_ELIGIBLE,
             "until it is reset");
}


static void
ncr_test_windows(void)
{
    uint64_t            before;
    ncr_msec_t          now;
    ncr_health_t        a, b;
    ncr_health_share_t  s;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    now = NCR_TEST_NOW;

    ncr_test_limits(&a, "5h", 6900, now + 60000, now);
    ncr_test_limits(&a, "7d", 100, now + 90000, now);
    ncr_test_limits(&b, "5h", 6800, now + 60000, now - 10);
    ncr_test_limits(&b, "7d_opus", 5, now + 90000, now - 10);
    (void) ncr_test_tell(&b, &a, now + 10);
    (void) ncr_test_tell(&a, &b, now + 10);

    ncr_test(a.nwindows == 3 && b.nwindows == 3
             && strcmp(a.windows[0].name, "5h") == 0
             && a.windows[0].utilization == 6900
             && b.windows[0].utilization == 6900,
             "windows: the newest hold, what they do not name stays");

    ncr_health_share_get(&s, &a, now + 10);
    before = ncr_health_share_windows(&s);

    ncr_test_limits(&a, "5h", 6900, now + 60000, now + 20);
    ncr_health_share_get(&s, &a, now + 20);

    ncr_test(before == ncr_health_share_windows(&s) && a.edits == 2,
             "windows: the same once more is nothing to tell");

    ncr_test_limits(&a, "5h", 7000, now + 60000, now + 30);
    ncr_health_share_get(&s, &a, now + 30);

    ncr_test(before != ncr_health_share_windows(&s) && a.edits == 3
             && ncr_health_share_rests(&s) == 0,
             "windows: another number is, and it is no rest");

    (void) ncr_test_tell(&b, &a, now + 70000);

    ncr_test(b.nwindows == 2, "windows: one that is over is not kept");
}


/* any: of names, times and states */

static void
ncr_test_any(ncr_health_share_t *s)
{
    char               name[NCR_WINDOW_LEN];
    ncr_str_t          text;
    ncr_uint_t         i;
    ncr_window_t       w;
    ncr_family_rest_t  rest;

    memset(s, 0, sizeof(ncr_health_share_t));

    if (ncr_test_random(4)) {
        s->rest.since = NCR_TEST_NOW - 20 + ncr_test_random(10);
        s->rest.until = NCR_TEST_NOW - 5 + ncr_test_random(10);
        s->rest.why = ncr_test_random(2) ? NCR_CLASS_AUTH : NCR_CLASS_LIMITED;
        s->rest.half_open = ncr_test_random(2) & 1;
        s->rest.window = ncr_test_random(2) & 1;
    }

    if (ncr_test_random(2)) {
        s->failed_at = NCR_TEST_NOW - 20 + ncr_test_random(10);
        s->fails = 1 + ncr_test_random(3);
    }

    s->proved = ncr_test_random(2) ? 0 : NCR_TEST_NOW - 25
                                         + ncr_test_random(15);
    s->success_at = s->proved ? s->proved + ncr_test_random(10) : 0;
    s->cleared = ncr_test_random(4) ? 0 : NCR_TEST_NOW - 25
                                          + ncr_test_random(15);
    s->renewed = ncr_test_random(3) ? 0 : NCR_TEST_NOW - 25
                                          + ncr_test_random(15);

    for (i = ncr_test_random(9); i; i--) {
        memset(&rest, 0, sizeof(rest));
        snprintf(name, sizeof(name), "f %d", (int) ncr_test_random(12));
        text = ncr_test_s(name);
        ncr_str_copy(rest.name, sizeof(rest.name), &text);
        rest.until = NCR_TEST_NOW + 1 + ncr_test_random(3);
        rest.since = NCR_TEST_NOW - 20 + ncr_test_random(10);
        ncr_health_share_family(s, &rest);
    }

    for (i = ncr_test_random(9); i; i--) {
        memset(&w, 0, sizeof(w));
        snprintf(name, sizeof(name), "w%%%d", (int) ncr_test_random(12));
        text = ncr_test_s(name);
        ncr_str_copy(w.name, sizeof(w.name), &text);
        w.status = (ncr_window_status_e) ncr_test_random(4);
        w.utilization = (int32_t) ncr_test_random(4) - 1;
        w.reset = ncr_test_random(3) ? NCR_TEST_NOW + 1 + ncr_test_random(2)
                                     : 0;
        ncr_health_share_window(s, &w);
        s->windows_at = NCR_TEST_NOW - ncr_test_random(3);
    }

    ncr_health_share_settle(s);
}


static ncr_uint_t
ncr_test_same(ncr_health_share_t *a, ncr_health_share_t *b)
{
    ncr_out_t   one, other;
    ncr_char_t  buf[NCR_HEALTH_SHARE], buf2[NCR_HEALTH_SHARE];

    ncr_out_init(&one, buf, sizeof(buf));
    ncr_health_share_write(&one, a);

    ncr_out_init(&other, buf2, sizeof(buf2));
    ncr_health_share_write(&other, b);

    return !one.overflow && !other.overflow
           && one.last - buf == other.last - buf2
           && memcmp(buf, buf2, (size_t) (one.last - buf)) == 0;
}


static void
ncr_test_laws(void)
{
    ncr_out_t           out;
    ncr_str_t           text;
    ncr_char_t          buf[NCR_HEALTH_SHARE];
    ncr_uint_t          i, order, again, whole, told;
    ncr_health_share_t  a, b, ab, ba, c, same;

    order = again = whole = told = 0;

    for (i = 0; i < 20000; i++) {

        ncr_test_any(&a);
        ncr_test_any(&b);

        ab = a;
        ncr_health_share_merge(&ab, &b, NCR_TEST_NOW);

        ba = b;
        ncr_health_share_merge(&ba, &a, NCR_TEST_NOW);

        order += ncr_test_same(&ab, &ba);
        told += (ncr_health_share_rests(&ab) == ncr_health_share_rests(&ba)
                 && ncr_health_share_windows(&ab)
                    == ncr_health_share_windows(&ba));

        c = ab;
        ncr_health_share_merge(&c, &ab, NCR_TEST_NOW);
        ncr_health_share_merge(&c, &c, NCR_TEST_NOW);
        ncr_health_share_merge(&c, &b, NCR_TEST_NOW);

        again += ncr_test_same(&c, &ab);

        ncr_out_init(&out, buf, sizeof(buf));
        ncr_health_share_write(&out, &ab);

        text.data = buf;
        text.len = (size_t) (out.last - buf);

        whole += (ncr_health_share_read(&same, &text, NCR_TEST_NOW) == NCR_OK
                  && ncr_test_same(&same, &ab));
    }

    ncr_test(order == i, "it does not matter who hears whom");
    ncr_test(told == i, "both know that they know the same");
    ncr_test(again == i, "the same again changes nothing");
    ncr_test(whole == i, "a text has all of it");
}


static void
ncr_test_clock(void)
{
    ncr_health_t        h;
    ncr_health_share_t  s;

    memset(&h, 0, sizeof(h));
    ncr_test_fails(&h, NCR_CLASS_SERVER, NCR_REST_FOR, 5000, 0, NCR_TEST_NOW);
    ncr_test_limits(&h, "5h", 1, NCR_TEST_NOW + 60000, NCR_TEST_NOW);

    ncr_health_share_get(&s, &h, NCR_TEST_NOW);
    ncr_health_share_shift(&s, 1000);

    ncr_test(s.rest.since == h.since + 1000 && s.rest.until == h.until + 1000
             && s.windows_at == NCR_TEST_NOW + 1000 && s.proved == 0
             && s.windows[0].reset == NCR_TEST_NOW + 60000,
             "another clock moves what was seen, not what a platform told");
}


static void
ncr_test_texts(void)
{
    ncr_str_t           text;
    ncr_uint_t          i;
    ncr_health_share_t  s;

    static const char *const  bad[] = {
        "",
        "1",
        "2,0,0,0,0,0,0,0,0,0,0,0",
        "1,0,0,0,0,0,0,0,0,0,0",
        "1,0,0,0,0,0,0,0,0,0,0,0,0",
        "1,0,0,0,0,0,0,0,0,0,0,0;",
        "1,0,0,0,0,0,0,0,0,0,0,0;x",
        "1,0,0,0,0,0,0,0,0,0,0,-1",
        "1,0,9,0,0,0,0,0,0,0,0,0",
        "1,0,0,0,1,0,0,0,0,0,0,0",
        "1,0,0,99,0,0,0,0,0,0,0,0",
        "1,0,0,0,4,0,0,0,0,0,0,0",
        "1,0,0,0,0,0,1,0,0,0,0,0",
        "1,0,0,0,0,5,65,0,0,0,0,0",
        "1,0,0,0,0,0,0,0,0,9223372036854775807,0,0",
        "1,0,0,0,0,0,0,1895262400000,0,0,0,0",
        "1,9,9223372036854775807,0,0,0,0,0,0,0,0,0",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,,9,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,a,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,a,9,9,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,a%00b,9,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,%zz,9,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,a,9,9;f,a,8,8",
        "1,0,0,0,0,0,0,0,0,0,0,0;f,abcdefghijklmnop,9,9",
        "1,0,0,0,0,0,0,0,0,0,0,0;w,5h,1,1,9",
        "1,0,0,0,0,0,0,0,0,0,0,9;w,5h,4,1,9",
        "1,0,0,0,0,0,0,0,0,0,0,9;w,5h,1,2147483649,9",
        "1,0,0,0,0,0,0,0,0,0,0,9;w,5h,1,1,9223372036854775807",
        "1,0,0,0,0,0,0,0,0,0,0,9;w,5h,1,1,9;w,5h,1,1,9",
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text = ncr_test_s(bad[i]);
        ncr_test(ncr_health_share_read(&s, &text, NCR_TEST_NOW) == NCR_BAD,
                 bad[i]);
    }

    text = ncr_test_s("1,9,8,7,3,5,64,0,0,0,0,9;f,a%20b,9,9;w,5h,3,0,0");

    ncr_test(ncr_health_share_read(&s, &text, NCR_TEST_NOW) == NCR_OK
             && s.rest.since == 9 && s.rest.until == 8
             && s.rest.why == (ncr_class_e) 7 && s.rest.half_open
             && s.rest.window && s.fails == 64 && s.failed_at == 5
             && s.nfamilies == 1
             && strcmp(s.families[0].name, "a b") == 0
             && s.nwindows == 1 && s.windows[0].utilization == -1
             && s.windows[0].status == NCR_WINDOW_REJECTED,
             "a text that is one");
}


int
main(void)
{
    ncr_test_rests();
    ncr_test_quota();
    ncr_test_families();
    ncr_test_windows();
    ncr_test_laws();
    ncr_test_clock();
    ncr_test_texts();

    return ncr_test_done();
}
