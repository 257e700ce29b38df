
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_health.c"
#include "ncr_test.h"


static ncr_health_t  ncr_test_h;
static ncr_str_t     ncr_test_opus = ncr_string("opus");
static ncr_str_t     ncr_test_haiku = ncr_string("haiku");
static ncr_str_t     ncr_test_none = ncr_string("");


static ncr_health_t *
ncr_test_new(void)
{
    memset(&ncr_test_h, 0, sizeof(ncr_test_h));

    return &ncr_test_h;
}


static ncr_verdict_t *
ncr_test_verdict(ncr_fault_e fault, ncr_class_e class, ncr_rest_e rest,
    ncr_msec_t ms)
{
    static ncr_verdict_t  v;

    memset(&v, 0, sizeof(v));

    v.fault = fault;
    v.class = class;
    v.rest = rest;
    v.base = ms;
    v.max = (ms < NCR_HEALTH_LONGEST) ? 8 * ms : ms;
    v.until = ms;

    return &v;
}


static ncr_verdict_t *
ncr_test_server(ncr_msec_t ms)
{
    return ncr_test_verdict(NCR_FAULT_PLATFORM, NCR_CLASS_SERVER,
                            NCR_REST_BACKOFF, ms);
}


static ncr_eligible_e
ncr_test_eligible(ncr_msec_t now)
{
    return ncr_health_eligible(&ncr_test_h, &ncr_test_opus, now, NULL);
}


static ncr_msec_t
ncr_test_falls(ncr_verdict_t *v, ncr_msec_t started, ncr_msec_t now)
{
    return ncr_health_verdict(&ncr_test_h, v, 500, &ncr_test_opus, started,
                              now, 0);
}


static void
ncr_test_rest(void)
{
    ncr_msec_t     until;
    ncr_health_t  *h;

    h = ncr_test_new();

    ncr_test(ncr_test_eligible(1) == NCR_ELIGIBLE, "a fresh account serves");

    until = ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                                            NCR_CLASS_AUTH, NCR_REST_FOR,
                                            1000), 10, 20);

    ncr_test(until == 1020 && h->until == 1020 && h->since == 20,
             "a verdict sets a rest and tells its end");
    ncr_test(h->why == NCR_CLASS_AUTH && h->last_error == NCR_CLASS_AUTH
             && h->last_error_at == 20 && h->last_status == 500
             && h->errors == 1, "and why");

    until = 7;

    ncr_test(ncr_health_eligible(h, &ncr_test_opus, 1019, &until)
             == NCR_RESTING && until == 1020, "it rests to the end");

    ncr_test(ncr_health_eligible(h, &ncr_test_opus, 1020, &until)
             == NCR_ELIGIBLE_PROBE && until == 0, "then one may probe");

    h->probing = 1;

    ncr_test(ncr_test_eligible(1021) == NCR_PROBED,
             "while another probes nobody else may");

    h->probing = 0;

    ncr_test(ncr_test_eligible(9999) == NCR_ELIGIBLE_PROBE,
             "a probe without a result lets the next one probe");

    ncr_health_success(h, &ncr_test_opus, 1021, 1100);

    ncr_test(ncr_test_eligible(1101) == NCR_ELIGIBLE && h->fails == 0
             && h->success_at == 1100, "a success ends it");
}


static void
ncr_test_backoff(void)
{
    ncr_health_t  *h;

    h = ncr_test_new();

    ncr_test(ncr_test_falls(ncr_test_server(1000), 0, 10) == 1010,
             "back-off: first step");
    ncr_test(ncr_test_falls(ncr_test_server(1000), 1010, 2000) == 4000,
             "back-off: a failed probe doubles it");
    ncr_test(ncr_test_falls(ncr_test_server(1000), 4000, 4000) == 8000
             && ncr_test_falls(ncr_test_server(1000), 8000, 8000) == 16000
             && ncr_test_falls(ncr_test_server(1000), 16000, 16000) == 24000
             && ncr_test_falls(ncr_test_server(1000), 24000, 24000) == 32000,
             "back-off: up to the maximum");

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_server(1000), 1, 100);
    (void) ncr_test_falls(ncr_test_server(1000), 2, 100);
    (void) ncr_test_falls(ncr_test_server(1000), 3, 101);

    ncr_test(h->fails == 1 && h->until == 1101 && h->errors == 3,
             "back-off: what was in flight together is one failure");

    h = ncr_test_new();

    ncr_test(ncr_health_verdict(h, ncr_test_server(1000), 500,
                                &ncr_test_opus, 0, 0, UINT32_MAX) <= 1100,
             "back-off: jitter is a tenth at most");

    h = ncr_test_new();
    h->fails = (ncr_uint_t) -2;

    ncr_test(ncr_test_falls(ncr_test_verdict(NCR_FAULT_NETWORK,
                                NCR_CLASS_NETWORK, NCR_REST_BACKOFF,
                                INT64_MAX / 4), 0, 0)
             <= NCR_HEALTH_LONGEST + NCR_HEALTH_LONGEST / 10,
             "back-off: nothing overflows");

    h = ncr_test_new();

    ncr_test(ncr_test_falls(ncr_test_server(0), 0, 10) == 0 && h->until == 0
             && h->errors == 1, "back-off: 0 is never");
}


static void
ncr_test_races(void)
{
    ncr_health_t  *h;

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_server(1000), 50, 100);

    ncr_health_success(h, &ncr_test_opus, 90, 150);

    ncr_test(ncr_test_eligible(151) == NCR_RESTING && h->fails == 1,
             "an older attempt's success clears nothing");

    ncr_health_success(h, &ncr_test_opus, 100, 150);

    ncr_test(ncr_test_eligible(151) == NCR_RESTING,
             "nor one of the same millisecond");
    ncr_test(ncr_test_eligible(1100) == NCR_ELIGIBLE_PROBE,
             "the probe is still asked for");

    ncr_health_success(h, &ncr_test_opus, 101, 1150);

    ncr_test(ncr_test_eligible(151) == NCR_ELIGIBLE, "a newer one does");

    /* a limit, then a failure of an older attempt */

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                          NCR_CLASS_LIMITED, NCR_REST_UNTIL, 900000), 5, 10);

    ncr_test(ncr_test_falls(ncr_test_server(1000), 6, 20) == 0
             && h->until == 901000 && h->why == NCR_CLASS_LIMITED
             && h->last_error == NCR_CLASS_SERVER,
             "a shorter rest does not shorten a longer one");

    ncr_health_success(h, &ncr_test_opus, 30, 40);

    ncr_test(ncr_test_eligible(900999) == NCR_RESTING,
             "a success does not open a window");
    ncr_test(ncr_test_eligible(901000) == NCR_ELIGIBLE_PROBE,
             "its end does, for one first");

    ncr_health_success(h, &ncr_test_opus, 901001, 901002);

    ncr_test(ncr_test_eligible(901003) == NCR_ELIGIBLE, "then for all");

    /* the other way round */

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_server(1000), 6, 20);
    (void) ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                          NCR_CLASS_LIMITED, NCR_REST_UNTIL, 900000), 5, 30);

    ncr_test(h->until == 901000 && h->since == 30,
             "a longer rest replaces a shorter one");
}


static void
ncr_test_windows(void)
{
    ncr_health_t  *h;

    h = ncr_test_new();

    ncr_test(ncr_health_verdict(h, ncr_test_verdict(NCR_FAULT_ACCOUNT,
                 NCR_CLASS_LIMITED, NCR_REST_UNTIL, 50000), 429,
                 &ncr_test_opus, 0, 10, UINT32_MAX) <= 80000
             && h->until >= 51000, "windows: jitter of 1 to 30 seconds");

    h = ncr_test_new();

    ncr_test(ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                 NCR_CLASS_LIMITED, NCR_REST_UNTIL, 100), 5, 5000) == 6000,
             "windows: a reset that is past leaves the jitter");

    h = ncr_test_new();

    ncr_test(ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                 NCR_CLASS_LIMITED, NCR_REST_UNTIL, INT64_MAX), 0, 10)
             == 10 + NCR_HEALTH_LONGEST + 1000,
             "windows: no reset is further than the longest window");

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT,
                          NCR_CLASS_THROTTLED, NCR_REST_FOR, 3000), 0, 10);

    ncr_test(ncr_test_eligible(3009) == NCR_RESTING
             && ncr_test_eligible(3010) == NCR_ELIGIBLE && h->fails == 0,
             "a throttle ends without a probe and is no failure");

    h = ncr_test_new();

    (void) ncr_test_falls(ncr_test_verdict(NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH,
                          NCR_REST_LOGIN, 0), 0, 10);

    ncr_test(h->until == NCR_HEALTH_FOREVER
             && ncr_test_eligible(INT64_MAX - 1) == NCR_RESTING,
             "needs login: for ever");

    ncr_health_success(h, &ncr_test_opus, 20, 30);
    (void) ncr_test_falls(ncr_test_server(1000), 20, 30);

    ncr_test(h->until == NCR_HEALTH_FOREVER, "needs login: whatever comes");

    ncr_health_clear(h);

    ncr_test(ncr_test_eligible(31) == NCR_ELIGIBLE,
             "needs login: until cleared");
}


static void
ncr_test_families(void)
{
    char            name[2];
    ncr_str_t       s;
    ncr_msec_t      until;
    ncr_uint_t      i;
    ncr_health_t   *h;
    ncr_verdict_t  *v;

    h = ncr_test_new();

    v = ncr_test_verdict(NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED,
                         NCR_REST_UNTIL, 50000);
    v->family = 1;

    ncr_test(ncr_test_falls(v, 0, 10) == 51000 && h->until == 0,
             "family: the account itself does not rest");

    ncr_test(ncr_health_eligible(h, &ncr_test_opus, 20, &until)
             == NCR_RESTING_FAMILY && until == 51000, "family: its own does");
    ncr_test(ncr_health_eligible(h, &ncr_test_haiku, 20, &until)
             == NCR_ELIGIBLE && until == 0, "family: others are served");
    ncr_test(ncr_health_eligible(h, &ncr_test_none, 20, NULL)
             == NCR_ELIGIBLE, "family: so are models without one");

    v->until = 100;

    ncr_test(ncr_test_falls(v, 0, 20) == 0
             && ncr_health_eligible(h, &ncr_test_opus, 49000, NULL)
                == NCR_RESTING_FAMILY, "family: never shortened");

    ncr_health_success(h, &ncr_test_opus, 30, 40);

    ncr_test(ncr_test_eligible(50) == NCR_RESTING_FAMILY,
             "family: a success does not end it");
    ncr_test(ncr_test_eligible(51000) == NCR_ELIGIBLE,
             "family: its end does");

    /* with the account's own rest */

    (void) ncr_test_falls(ncr_test_server(1000), 60, 70);

    ncr_test(ncr_health_eligible(h, &ncr_test_opus, 80, &until)
             == NCR_RESTING && until == 51000,
             "family: the later end counts when both rest");

    v = ncr_test_verdict(NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED,
                         NCR_REST_UNTIL, 60000);
    v->family = 1;

    ncr_test(ncr_health_verdict(h, v, 429, &ncr_test_none, 0, 20, 0) == 0,
             "family: no rest for a model without one");

    for (i = 0; i < 12; i++) {
        name[0] = (char) ('a' + i);
        s.data = (ncr_char_t *) name;
        s.len = 1;

        v->until = (ncr_msec_t) (100000 + i);
        (void) ncr_health_verdict(h, v, 429, &s, 0, 90000, 0);
    }

    ncr_test(ncr_health_eligible(h, &s, 90001, NULL) == NCR_RESTING_FAMILY,
             "family: when there are too many the newest has a place");

    ncr_health_clear(h);

    ncr_test(ncr_health_eligible(h, &s, 90001, NULL) == NCR_ELIGIBLE,
             "family: cleared");
}


static void
ncr_test_faults(void)
{
    ncr_health_t  *h;

    h = ncr_test_new();

    ncr_test(ncr_test_falls(ncr_test_verdict(NCR_FAULT_CLIENT,
                 NCR_CLASS_CLIENT, NCR_REST_FOR, 1000), 0, 10) == 0
             && ncr_test_falls(ncr_test_verdict(NCR_FAULT_NONE,
                 NCR_CLASS_ABORTED, NCR_REST_FOR, 1000), 0, 10) == 0
             && h->until == 0 && h->errors == 0
             && h->last_error == NCR_CLASS_OK,
             "faults of the client or of nobody change nothing");

    ncr_test(ncr_test_falls(ncr_test_verdict(NCR_FAULT_NETWORK,
                 NCR_CLASS_BROKEN, NCR_REST_NONE, 0), 0, 10) == 0
             && h->until == 0 && h->errors == 1
             && h->last_error == NCR_CLASS_BROKEN && h->fails == 0,
             "a failure without a rest is counted");
}


static void
ncr_test_limit(ncr_limits_t *l, const char *name, ncr_window_status_e status,
    int32_t utilization, ncr_msec_t reset)
{
    ncr_window_t  *w;

    w = &l->windows[l->nwindows++];

    strcpy(w->name, name);
    w->status = status;
    w->utilization = utilization;
    w->reset = reset;
}


static void
ncr_test_limits(void)
{
    char           name[8];
    ncr_uint_t     i;
    ncr_limits_t   l;
    ncr_health_t  *h;

    h = ncr_test_new();

    memset(&l, 0, sizeof(l));
    ncr_test_limit(&l, "5h", NCR_WINDOW_ALLOWED, 1100, 5000);
    ncr_test_limit(&l, "7d", NCR_WINDOW_WARNING, 9000, 70000);
    ncr_health_limits(h, &l, 1000);

    ncr_test(h->nwindows == 2 && h->windows[0].utilization == 1100,
             "limits: windows are kept");

    memset(&l, 0, sizeof(l));
    ncr_test_limit(&l, "5h", NCR_WINDOW_UNKNOWN, 1200, 0);
    ncr_health_limits(h, &l, 2000);

    ncr_test(h->nwindows == 2 && h->windows[0].utilization == 1200
             && h->windows[0].status == NCR_WINDOW_ALLOWED
             && h->windows[0].reset == 5000
             && h->windows[1].status == NCR_WINDOW_WARNING,
             "limits: newest wins, what is not told is kept");

    memset(&l, 0, sizeof(l));
    ncr_health_limits(h, &l, 5000);

    ncr_test(h->nwindows == 1 && strcmp(h->windows[0].name, "7d") == 0,
             "limits: until the reset is past");

    ncr_test_limit(&l, "5h", NCR_WINDOW_REJECTED, 10000, 5000);
    ncr_health_limits(h, &l, 5000);

    ncr_test(h->nwindows == 1, "limits: a window that is over is none");

    memset(&l, 0, sizeof(l));
    ncr_test_limit(&l, "7d", NCR_WINDOW_ALLOWED, -1, 140000);
    ncr_health_limits(h, &l, 6000);

    ncr_test(h->windows[0].utilization == -1,
             "limits: a new window does not inherit the use of the last");

    for (i = 0; i < 12; i++) {
        memset(&l, 0, sizeof(l));
        snprintf(name, sizeof(name), "w%d", (int) i);
        ncr_test_limit(&l, name, NCR_WINDOW_ALLOWED, 1,
                       (ncr_msec_t) (10000 + i));
        ncr_health_limits(h, &l, 6000);
    }

    ncr_test(h->nwindows == NCR_WINDOWS, "limits: no more than there is room");
}


int
main(void)
{
    ncr_test_rest();
    ncr_test_backoff();
    ncr_test_races();
    ncr_test_windows();
    ncr_test_families();
    ncr_test_faults();
    ncr_test_limits();

    return ncr_test_done();
}
