
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_alert.c"

#include "ncr_test.h"

#include <stdlib.h>


#define NCR_TEST_HOUR  3600000


static ncr_alerts_t       ncr_test_alerts;
static ncr_alert_steps_t  ncr_test_steps = { 2, { 8000, 9500 } };

static char               ncr_test_said[1024];


static void
ncr_test_begin(ncr_msec_t remind, ncr_msec_t clear, ncr_msec_t calm,
    ncr_uint_t storm)
{
    ncr_alert_rules_t  rules;

    rules.remind = remind;
    rules.clear = clear;
    rules.calm = calm;
    rules.storm = storm;

    ncr_alert_init(&ncr_test_alerts, &rules);
}


/* all that is told at a time: "+subject", "=" still, "-" over, "*" folded */

static const char *
ncr_test_tell(ncr_msec_t now)
{
    size_t            n;
    ncr_alert_tell_t  tell;

    ncr_test_said[0] = '\0';

    ncr_alert_rewind(&ncr_test_alerts);

    while (ncr_alert_next(&ncr_test_alerts, now, &tell) == NCR_OK) {
        n = strlen(ncr_test_said);

        if (n < sizeof(ncr_test_said) - 200) {
            snprintf(ncr_test_said + n, sizeof(ncr_test_said) - n, "%s%c%s",
                     tell.folded ? "*" : "", "+=-"[tell.what],
                     tell.alert->subject);
        }
    }

    return ncr_test_said;
}


/* a round of one subject */

static const char *
ncr_test_see(ncr_alert_kind_e kind, const char *subject, uint32_t value,
    ncr_alert_steps_t *steps, ncr_msec_t hold, ncr_msec_t now)
{
    ncr_alert_sample_t  sample;

    sample.kind = kind;
    sample.subject = subject;
    sample.value = value;
    sample.steps = steps;
    sample.margin = 200;
    sample.hold = hold;
    sample.since = 0;

    ncr_alert_begin(&ncr_test_alerts, kind);

    if (subject[0]) {
        (void) ncr_alert_sample(&ncr_test_alerts, &sample, now);
    }

    ncr_alert_end(&ncr_test_alerts, kind, now);

    return ncr_test_tell(now);
}


#define ncr_test_is(text, want)                                               \
    (strcmp(text, want) == 0                                                  \
     || (printf("# \"%s\" instead of \"%s\"\n", ncr_test_said, want), 0))


static void
ncr_test_once(void)
{
    ncr_alert_t        *row;
    ncr_alert_sample_t  sample;

    ncr_test_begin(24 * NCR_TEST_HOUR, 10000, 60000, 20);

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 0, NULL,
                                      0, 1000), "")
             && ncr_test_alerts.n == 0, "nothing");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1, NULL,
                                      0, 2000), "+account/a"), "told at once");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1, NULL,
                                      0, 3000), ""), "and once");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1, NULL,
                                      0, 2000 + 24 * NCR_TEST_HOUR - 1), ""),
             "for a day");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1, NULL,
                                      0, 2000 + 24 * NCR_TEST_HOUR),
                         "=account/a"), "then it is told again");

    row = &ncr_test_alerts.rows[0];

    ncr_test(strcmp(row->key, "needs-login/account/a") == 0
             && row->since == 2000 && row->told == 2000 + 24 * NCR_TEST_HOUR
             && row->step == 1, "since when");

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0,
                                      100000000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0,
                                         100009999), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0,
                                         100010000), "-account/a"),
             "over, when it has been so for long enough");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1, NULL,
                                      0, 100011000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_LOGIN, "account/a", 1,
                                         NULL, 0, 100070000), "+account/a"),
             "on again: not at once");

    (void) ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0, 200000000);
    (void) ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0, 200010000);
    (void) ncr_test_see(NCR_ALERT_LOGIN, "", 0, NULL, 0, 200090000);
    ncr_test(ncr_test_alerts.rows[0].key[0] == '\0', "forgotten");

    /* one that comes and goes */

    ncr_test_begin(0, 10000, 60000, 20);

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                      1000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 0, NULL, 5000,
                                         3000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                         5000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                         9999), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                         10000), "+p"), "held down");
    ncr_test(ncr_test_alerts.rows[0].since == 5000, "since it was so");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 0, NULL, 5000,
                                      11000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                         15000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 0, NULL, 5000,
                                         22000), ""), "nor is a moment told");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_POOL, "p", 1, NULL, 5000,
                                      1000000000), ""), "no reminder");

    /* known since */

    ncr_test_begin(0, 0, 0, 0);

    sample.kind = NCR_ALERT_RESTING;
    sample.subject = "account/b";
    sample.value = 1;
    sample.steps = NULL;
    sample.margin = 0;
    sample.hold = 600000;
    sample.since = 1000;

    ncr_alert_begin(&ncr_test_alerts, NCR_ALERT_RESTING);
    ncr_test(ncr_alert_sample(&ncr_test_alerts, &sample, 601000) != NULL
             && ncr_test_is(ncr_test_tell(601000), "+account/b"),
             "it was so before anybody looked");
    sample.value = 0;
    ncr_test(ncr_alert_sample(&ncr_test_alerts, &sample, 602000) == NULL,
             "what is over keeps its words");
}


static void
ncr_test_thresholds(void)
{
    ncr_test_begin(0, 0, 0, 20);

#define see(value, now)                                                       \
    ncr_test_see(NCR_ALERT_QUOTA, "account/a/5h", value, &ncr_test_steps, 0,  \
                 now)

    ncr_test(ncr_test_is(see(7999, 1), "")
             && ncr_test_is(see(8000, 2), "+account/a/5h"), "the first step");
    ncr_test(ncr_test_is(see(7801, 3), "") && ncr_test_is(see(8100, 4), ""),
             "around it");
    ncr_test(ncr_test_is(see(9500, 5), "=account/a/5h")
             && ncr_test_alerts.rows[0].step == 2
             && ncr_test_alerts.rows[0].since == 2, "the second");
    ncr_test(ncr_test_is(see(9000, 6), "") && ncr_test_is(see(9600, 7), ""),
             "is told once");
    ncr_test(ncr_test_is(see(7800, 8), "")
             && ncr_test_is(see(7799, 9), "-account/a/5h"), "below");
    ncr_test(ncr_test_is(see(10000, 10), "+account/a/5h")
             && ncr_test_alerts.rows[0].step == 2, "a jump is one alert");

#undef see

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_BUDGET, "key/a", 9600,
                                      &ncr_test_steps, 0, 11), "+key/a")
             && ncr_test_is(ncr_test_see(NCR_ALERT_QUOTA, "", 0, NULL, 0, 12),
                            "-account/a/5h"),
             "kinds are rounds of their own");

    /* nothing is known of an account */

    ncr_test_begin(0, 0, 0, 20);

    (void) ncr_test_see(NCR_ALERT_QUOTA, "account/a/5h", 9000,
                        &ncr_test_steps, 0, 1);

    ncr_alert_begin(&ncr_test_alerts, NCR_ALERT_QUOTA);
    ncr_alert_keep(&ncr_test_alerts, NCR_ALERT_QUOTA, "account/a");
    ncr_alert_end(&ncr_test_alerts, NCR_ALERT_QUOTA, 2);
    ncr_test(ncr_test_is(ncr_test_tell(2), ""), "kept, as nothing is known");

    ncr_alert_begin(&ncr_test_alerts, NCR_ALERT_QUOTA);
    ncr_alert_keep(&ncr_test_alerts, NCR_ALERT_QUOTA, "account/aa");
    ncr_alert_keep(&ncr_test_alerts, NCR_ALERT_BUDGET, "");
    ncr_alert_end(&ncr_test_alerts, NCR_ALERT_QUOTA, 3);
    ncr_test(ncr_test_is(ncr_test_tell(3), "-account/a/5h"),
             "not what another one is called");
}


static void
ncr_test_restore(void)
{
    ncr_alert_t  *row;

    ncr_test_begin(24 * NCR_TEST_HOUR, 0, 0, 20);

    row = ncr_alert_restore(&ncr_test_alerts, NCR_ALERT_QUOTA, "account/a/5h",
                            1, 500, 1000);

    ncr_test(row && ncr_test_is(ncr_test_tell(2000), ""),
             "another process has told it");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_QUOTA, "account/a/5h", 9000,
                                      &ncr_test_steps, 0, 3000), "")
             && ncr_test_is(ncr_test_see(NCR_ALERT_QUOTA, "account/a/5h",
                                         9900, &ncr_test_steps, 0, 4000),
                            "=account/a/5h"), "up to this step");
    ncr_test(row->since == 500, "since then");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_QUOTA, "", 0, NULL, 0, 5000),
                         "-account/a/5h"), "over");

    /* the clock was set back */

    ncr_test_begin(24 * NCR_TEST_HOUR, 10000, 60000, 20);

    (void) ncr_test_see(NCR_ALERT_STORE, "store", 1, NULL, 0, 5000000);
    (void) ncr_test_see(NCR_ALERT_STORE, "store", 0, NULL, 0, 5000000);
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_STORE, "store", 0, NULL, 0,
                                      1000), "-store"),
             "a clock that was set back holds up nothing");
}


static void
ncr_test_storm(void)
{
    char                name[64];
    ncr_uint_t          i, kinds[NCR_ALERT_KINDS], plain, folded;
    ncr_alert_tell_t    tell;
    ncr_alert_sample_t  sample;

    ncr_test_begin(0, 0, 0, 20);

    sample.kind = NCR_ALERT_LOGIN;
    sample.value = 1;
    sample.steps = NULL;
    sample.margin = 0;
    sample.hold = 0;
    sample.since = 0;
    sample.subject = name;

    ncr_alert_begin(&ncr_test_alerts, NCR_ALERT_LOGIN);

    for (i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "account/%d", (int) i);
        (void) ncr_alert_sample(&ncr_test_alerts, &sample, 100000);
    }

    ncr_alert_end(&ncr_test_alerts, NCR_ALERT_LOGIN, 100000);

    ncr_test(ncr_test_alerts.n == NCR_ALERT_ROWS && ncr_test_alerts.full,
             "bounded");

    plain = 0;
    folded = 0;

    ncr_alert_rewind(&ncr_test_alerts);

    while (ncr_alert_next(&ncr_test_alerts, 100000, &tell) == NCR_OK) {
        plain += !tell.folded;
        folded += tell.folded;
    }

    ncr_test(plain == 20 && folded == NCR_ALERT_ROWS - 20, "a storm");
    ncr_test(ncr_alert_folded(&ncr_test_alerts, 100000, kinds) == folded
             && kinds[NCR_ALERT_LOGIN] == folded, "is told as one");
    ncr_test(ncr_alert_folded(&ncr_test_alerts, 100000, kinds) == 0
             && ncr_test_is(ncr_test_tell(130000), ""), "once");

    /* more of it in the same minute */

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_STORE, "store", 1, NULL, 0,
                                      140000), "")
             && ncr_alert_folded(&ncr_test_alerts, 140000, kinds) == 0,
             "no room");

    ncr_test_alerts.rows[7].key[0] = '\0';

    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_STORE, "store", 1, NULL, 0,
                                      140000), "*+store")
             && ncr_alert_folded(&ncr_test_alerts, 141000, kinds) == 0
             && ncr_alert_folded(&ncr_test_alerts, 160000, kinds) == 1
             && kinds[NCR_ALERT_STORE] == 1 && kinds[NCR_ALERT_LOGIN] == 0,
             "more of it is told when the minute is over");
    ncr_test(ncr_test_is(ncr_test_see(NCR_ALERT_STORE, "", 0, NULL, 0,
                                      170000), "-store"), "then all is calm");
}


static void
ncr_test_names(void)
{
    ncr_int_t  i, ok;
    ncr_str_t  s;

    for (i = 0, ok = 0; i < NCR_ALERT_KINDS; i++) {
        s.data = (ncr_char_t *) (uintptr_t)
                 ncr_alert_kind_name((ncr_alert_kind_e) i);
        s.len = strlen((char *) s.data);
        ok += (ncr_alert_kind(&s) == i);
    }

    ncr_test(ok == NCR_ALERT_KINDS, "kinds");

    for (i = 0, ok = 0; i < NCR_ALERT_LEVELS; i++) {
        s.data = (ncr_char_t *) (uintptr_t)
                 ncr_alert_level_name((ncr_alert_level_e) i);
        s.len = strlen((char *) s.data);
        ok += (ncr_alert_level(&s) == i);
    }

    s.len--;

    ncr_test(ok == NCR_ALERT_LEVELS && ncr_alert_level(&s) == -1
             && ncr_alert_kind(&s) == -1, "levels");
}


int
main(void)
{
    ncr_test_once();
    ncr_test_thresholds();
    ncr_test_restore();
    ncr_test_storm();
    ncr_test_names();

    return ncr_test_done();
}
