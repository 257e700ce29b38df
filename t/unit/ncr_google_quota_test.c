
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_google_quota.c"
#include "ncr_test.h"

#include <stdio.h>
#include <stdlib.h>


/* 2026-11-27T00:00:00Z */
#define NCR_TEST_NOW     ((ncr_msec_t) 1795737600 * 1000)

#define NCR_TEST_TYPE    "{\"@type\":\"type.googleapis.com/google.rpc."


static ncr_reply_t         ncr_test_reply;
static ncr_limits_t        ncr_test_limits;
static ncr_google_error_t  ncr_test_e;
static ncr_verdict_t       ncr_test_v;


static ncr_google_error_t *
ncr_test_read(ncr_uint_t status, const char *body)
{
    static char  *copy;

    /* memory of its own, so that a sanitizer sees who reads beyond it */

    free(copy);
    copy = malloc(strlen(body) + 1);
    strcpy(copy, body);

    memset(&ncr_test_reply, 0, sizeof(ncr_test_reply));
    ncr_limits_reset(&ncr_test_limits);

    ncr_test_reply.kind = NCR_REPLY_HTTP;
    ncr_test_reply.status = status;
    ncr_test_reply.limits = &ncr_test_limits;
    ncr_test_reply.now = NCR_TEST_NOW;
    ncr_test_reply.body.data = (ncr_char_t *) copy;
    ncr_test_reply.body.len = strlen(copy);
    ncr_str_set(&ncr_test_reply.family, "2.5-pro");

    ncr_google_read(&ncr_test_e, &ncr_test_reply);

    return &ncr_test_e;
}


static ncr_verdict_t *
ncr_test_judge(ncr_uint_t status, const char *body)
{
    ncr_rests_t  rests;

    ncr_rests_default(&rests);

    (void) ncr_test_read(status, body);

    memset(&ncr_test_v, 0xA5, sizeof(ncr_test_v));
    ncr_google_classify(&ncr_test_reply, &rests, &ncr_test_v);

    return &ncr_test_v;
}


static void
ncr_test_durations(void)
{
    size_t     i;
    ncr_str_t  s;

    static const struct {
        const char  *text;
        ncr_msec_t   ms;
    } t[] = {
        { "34.074824224s", 34075 }, { "900ms", 900 }, { "1h2m3s", 3723000 },
        { "0s", 0 }, { "3s.", 3000 }, { "0.0001s", 1 }, { "1.5h", 5400000 },
        { "2m", 120000 }, { "12s, then", 12000 }, { "1s2", 1000 },
        { "", -1 }, { "s", -1 }, { "5", -1 }, { "5 s", -1 }, { "-5s", -1 },
        { "5d", -1 }, { ".5s", -1 }, { "5.", -1 },
        { "99999999999999999999999s", NCR_GOOGLE_LONGEST },
        { "99999999999999999999999h9999999h", NCR_GOOGLE_LONGEST }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        s.data = (ncr_char_t *) t[i].text;
        s.len = strlen(t[i].text);

        ncr_test(ncr_google_duration(&s) == t[i].ms, t[i].text);
    }
}


static ncr_uint_t
ncr_test_midnight_is(const char *now, const char *midnight)
{
    ncr_str_t   s;
    ncr_msec_t  t, expected;

    s.data = (ncr_char_t *) now;
    s.len = strlen(now);
    (void) ncr_str_time(&s, &t);

    s.data = (ncr_char_t *) midnight;
    s.len = strlen(midnight);
    (void) ncr_str_time(&s, &expected);

    return ncr_google_midnight(t) == expected;
}


static void
ncr_test_midnight(void)
{
    ncr_test(ncr_test_midnight_is("2026-11-27T00:00:00Z",
                                  "2026-11-27T08:00:00Z"),
             "midnight of Los Angeles in winter");
    ncr_test(ncr_test_midnight_is("2026-11-27T08:00:00Z",
                                  "2026-11-28T08:00:00Z"),
             "the next one, at midnight");
    ncr_test(ncr_test_midnight_is("2026-07-01T12:00:00Z",
                                  "2026-07-02T07:00:00Z"),
             "in summer");
    ncr_test(ncr_test_midnight_is("2026-03-08T09:00:00Z",
                                  "2026-03-09T07:00:00Z"),
             "on the day when the clock goes forth");
    ncr_test(ncr_test_midnight_is("2026-11-01T07:30:00Z",
                                  "2026-11-02T08:00:00Z"),
             "on the day when it goes back");
}


/* the same as the machine's own file says, if it has one */

static void
ncr_test_zone(void)
{
    int          days;
    FILE        *f;
    ncr_str_t    file;
    ncr_tz_t    *tz;
    ncr_uint_t   ok;
    ncr_msec_t   t, start, end;

    static ncr_char_t  buf[65536];

    f = fopen("/usr/share/zoneinfo/America/Los_Angeles", "rb");

    if (f == NULL) {
        printf("# no tzdata here\n");
        return;
    }

    file.data = buf;
    file.len = fread(buf, 1, sizeof(buf), f);
    fclose(f);

    if (ncr_tz_read(&tz, &file) != NCR_OK) {
        ncr_test(0, "tzdata is read");
        return;
    }

    for (days = 0, ok = 1; days < 4000; days++) {
        t = NCR_TEST_NOW + (ncr_msec_t) days * 21 * 3600 * 1000;

        ncr_tz_span(tz, NCR_SPAN_DAY, 1, 0, t, &start, &end);
        ok &= (ncr_google_midnight(t) == end);
    }

    ncr_tz_free(tz);

    ncr_test(ok, "ten years of midnights are those of tzdata");
}


static void
ncr_test_order(void)
{
    ncr_google_error_t  *e;

    e = ncr_test_read(429, "{\"error\":{\"code\":429,\"message\":\"Quota. "
        "Please retry in 9s.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":"
        "[" NCR_TEST_TYPE "QuotaFailure\",\"violations\":[{\"quotaMetric\":"
        "\"m\",\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel\","
        "\"quotaDimensions\":{\"model\":\"g\"},\"quotaValue\":\"50\"}]},"
        NCR_TEST_TYPE "ErrorInfo\",\"reason\":\"QUOTA_EXHAUSTED\","
        "\"metadata\":{\"quotaResetDelay\":\"5m\",\"quotaResetTimeStamp\":"
        "\"2026-11-27T01:00:00Z\"}},"
        NCR_TEST_TYPE "RetryInfo\",\"retryDelay\":\"34.07s\"}]}}");

    ncr_test(e->json && e->per_day && e->reason == NCR_GOOGLE_QUOTA
             && ncr_test_str(e->name, "RESOURCE_EXHAUSTED"),
             "all that a limit may tell");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 34070,
             "others.md I 35: RetryInfo comes first");

    e = ncr_test_read(429, "{\"error\":{\"message\":\"reset after 3s\","
        "\"details\":[" NCR_TEST_TYPE "ErrorInfo\",\"metadata\":"
        "{\"quotaResetTimeStamp\":\"2026-11-27T01:00:00Z\","
        "\"quotaResetDelay\":\"900ms\"}}]}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 900,
             "then quotaResetDelay");

    e = ncr_test_read(429, "{\"error\":{\"message\":\"reset after 3s\","
        "\"details\":[" NCR_TEST_TYPE "ErrorInfo\",\"metadata\":"
        "{\"quotaResetTimeStamp\":\"2026-11-27T01:00:00Z\"}}]}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 3600000,
             "then quotaResetTimeStamp");

    e = ncr_test_read(429, "[{\"error\":{\"message\":\"Your quota will reset "
        "after 1h2m3s.\",\"details\":[" NCR_TEST_TYPE "QuotaFailure\","
        "\"violations\":[{\"quotaId\":\"RequestsPerDay\"}]}]}}]");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 3723000,
             "others.md I 35: then the message, here of an array");

    e = ncr_test_read(429, "{\"error\":{\"message\":\"after all, after 3 "
        "times, after 7s\"}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 7000,
             "the word may have been said before");

    e = ncr_test_read(429, "{\"error\":{\"message\":\"x\",\"details\":["
        NCR_TEST_TYPE "QuotaFailure\",\"violations\":[{\"quotaId\":"
        "\"RequestsPerMinutePerModel\"},{\"quotaId\":\"RequestsPerDay\"}]}"
        "]}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW)
             == NCR_TEST_NOW + (8 * 3600 + 300) * 1000,
             "then a day, which is longer than a minute");

    e = ncr_test_read(429, "{\"error\":{\"message\":\"x\",\"details\":["
        NCR_TEST_TYPE "ErrorInfo\",\"reason\":\"RATE_LIMIT_EXCEEDED\","
        "\"metadata\":{\"quota_limit\":\"RequestsPerMinute\"}}]}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == NCR_TEST_NOW + 60000
             && e->reason == NCR_GOOGLE_RATE_LIMIT, "then a minute");

    e = ncr_test_read(429, "{\"error\":{\"code\":429,\"message\":\"Resource "
        "has been exhausted (e.g. check quota).\"}}");

    ncr_test(ncr_google_reset(e, NCR_TEST_NOW) == 0, "and then nothing");
}


static void
ncr_test_limit_zero(void)
{
    size_t  i;

    static const struct {
        const char  *message;
        ncr_uint_t   none;
    } t[] = {
        { "Quota exceeded, limit: 0", 1 },
        { "Quota exceeded, limit: 0, model: g\\nPlease retry in 5s", 1 },
        { "LIMIT: 0.", 1 },
        { "limit: 50, limit: 0", 1 },
        { "limit: 0.5", 0 },
        { "limit: 05", 0 },
        { "limit: 10", 0 },
        { "no limit", 0 }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        char  body[256];

        snprintf(body, sizeof(body), "{\"error\":{\"message\":\"%s\"}}",
                 t[i].message);

        ncr_test(ncr_test_read(429, body)->no_quota == t[i].none,
                 t[i].message);
    }
}


static void
ncr_test_cut(void)
{
    char                 body[1024];
    size_t               i, n;
    ncr_uint_t           ok;
    ncr_google_error_t  *e;

    static const char  whole[] =
        "[{\"error\":{\"code\":429,\"message\":\"wait\",\"status\":"
        "\"RESOURCE_EXHAUSTED\",\"details\":[" NCR_TEST_TYPE
        "RetryInfo\",\"retryDelay\":\"5s\"}," NCR_TEST_TYPE
        "Help\",\"links\":[{\"description\":\"d\",\"url\":"
        "\"https://example.com/a\"},{\"url\":\"https://example.com/b\"}]}]}}]";

    n = strlen(whole);

    for (i = 0, ok = 1; i <= n; i++) {
        memcpy(body, whole, i);
        body[i] = '\0';

        e = ncr_test_read(429, body);
        ok &= (e->delay == -1 || e->delay == 5000);
    }

    ncr_test(ok, "a body that is cut, at every byte");

    e = ncr_test_read(429, whole);
    ncr_test(e->delay == 5000
             && ncr_test_str(e->link, "https://example.com/a"),
             "the first link of Help");

    ncr_test(!ncr_test_read(429, "<html>too many</html>")->json
             && !ncr_test_read(429, "")->json
             && !ncr_test_read(429, "{\"error\":\"text\"}")->json,
             "what is no error of Google's");
}


static void
ncr_test_verdicts(void)
{
    ncr_verdict_t  *v;

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "RetryInfo\",\"retryDelay\":\"2s\"}]}}");
    ncr_test(v->class == NCR_CLASS_THROTTLED && v->family && v->retry
             && v->same && v->rest == NCR_REST_FOR && v->base == 2000,
             "two seconds are waited for on the same account");

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "RetryInfo\",\"retryDelay\":\"20s\"}]}}");
    ncr_test(v->class == NCR_CLASS_THROTTLED && v->family && v->retry
             && !v->same && v->base == 20000, "twenty are not");

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "RetryInfo\",\"retryDelay\":\"301s\"}]}}");
    ncr_test(v->class == NCR_CLASS_MODEL_LIMITED && v->family
             && v->rest == NCR_REST_UNTIL
             && v->until == NCR_TEST_NOW + 301000,
             "more than five minutes are a quota");

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "QuotaFailure\",\"violations\":[{\"quotaId\":"
                       "\"RequestsPerDay\"}]}," NCR_TEST_TYPE
                       "RetryInfo\",\"retryDelay\":\"10s\"}]}}");
    ncr_test(v->class == NCR_CLASS_MODEL_LIMITED && v->family,
             "the quota of a day is one, whatever else is told");

    v = ncr_test_judge(429, "{\"error\":{\"message\":\"limit: 0\"}}");
    ncr_test(v->class == NCR_CLASS_MODEL_LIMITED && v->family && v->retry
             && v->rest == NCR_REST_FOR && v->base == 86400 * 1000,
             "an account without quota for the model");

    v = ncr_test_judge(429, "{\"error\":{\"message\":\"exhausted\"}}");
    ncr_test(v->class == NCR_CLASS_THROTTLED && v->base == 30000,
             "nothing told: half a minute");

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "ErrorInfo\",\"reason\":\"QUOTA_EXHAUSTED\"}]}}");
    ncr_test(v->class == NCR_CLASS_MODEL_LIMITED
             && v->rest == NCR_REST_FOR && v->base == 3600 * 1000,
             "a quota that tells no reset");

    v = ncr_test_judge(429, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "ErrorInfo\",\"reason\":"
                       "\"MODEL_CAPACITY_EXHAUSTED\"}]}}");
    ncr_test(v->class == NCR_CLASS_OVERLOADED && v->family
             && v->fault == NCR_FAULT_MODEL, "no machines for the model");

    v = ncr_test_judge(503, "{\"error\":{\"code\":503,\"message\":\"The "
                       "model is overloaded. Please try again later.\","
                       "\"status\":\"UNAVAILABLE\"}}");
    ncr_test(v->class == NCR_CLASS_OVERLOADED && v->same
             && v->rest == NCR_REST_BACKOFF, "503");

    v = ncr_test_judge(400, "{\"error\":{\"code\":400,\"message\":\"API key "
                       "not valid. Please pass a valid API key.\","
                       "\"status\":\"INVALID_ARGUMENT\",\"details\":["
                       NCR_TEST_TYPE "ErrorInfo\",\"reason\":"
                       "\"API_KEY_INVALID\",\"domain\":\"d\"}]}}");
    ncr_test(v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT
             && v->retry, "a key that is none, with a 400");

    v = ncr_test_judge(400, "{\"error\":{\"code\":400,\"message\":\"Unable "
                       "to submit request\",\"status\":"
                       "\"INVALID_ARGUMENT\"}}");
    ncr_test(v->class == NCR_CLASS_CLIENT && !v->retry, "any other 400");

    v = ncr_test_judge(403, "{\"error\":{\"code\":403,\"message\":\"You do "
                       "not have permission to access the File abc or it may "
                       "not exist.\",\"status\":\"PERMISSION_DENIED\"}}");
    ncr_test(v->class == NCR_CLASS_CLIENT && v->rest == NCR_REST_NONE,
             "a file that is not there is no account's fault");

    v = ncr_test_judge(403, "[{\"error\":{\"code\":403,\"message\":\"no\","
                       "\"status\":\"PERMISSION_DENIED\"}}]");
    ncr_test(v->class == NCR_CLASS_FORBIDDEN && v->retry,
             "403, in an array, is Google's and not an edge's");

    v = ncr_test_judge(403, "{\"error\":{\"details\":[" NCR_TEST_TYPE
                       "ErrorInfo\",\"reason\":\"CONSUMER_SUSPENDED\"}]}}");
    ncr_test(v->class == NCR_CLASS_DISABLED, "a suspended project");

    v = ncr_test_judge(403, "<html>blocked</html>");
    ncr_test(v->class == NCR_CLASS_EDGE, "a page is an edge's");

    v = ncr_test_judge(404, "{\"error\":{\"code\":404,\"status\":"
                       "\"NOT_FOUND\",\"message\":\"models/x is not "
                       "found\"}}");
    ncr_test(v->class == NCR_CLASS_CLIENT, "404");

    v = ncr_test_judge(500, "{\"error\":{\"code\":500,\"status\":"
                       "\"INTERNAL\"}}");
    ncr_test(v->class == NCR_CLASS_SERVER && v->retry, "500");

    v = ncr_test_judge(499, "{\"error\":{\"code\":499,\"status\":"
                       "\"CANCELLED\"}}");
    ncr_test(v->class == NCR_CLASS_SERVER && v->retry, "499");
}


/* an event's error is told by its name, and a model may have no family */

static void
ncr_test_events(void)
{
    ncr_rests_t     rests;
    ncr_verdict_t  *v;

    v = &ncr_test_v;
    ncr_rests_default(&rests);

    (void) ncr_test_read(200, "{\"type\":\"error\",\"error\":{\"type\":"
                         "\"RESOURCE_EXHAUSTED\",\"message\":\"Please retry "
                         "in 4s\"}}");
    ncr_test_reply.kind = NCR_REPLY_STREAM_ERROR;
    ncr_str_set(&ncr_test_reply.family, "");
    ncr_google_classify(&ncr_test_reply, &rests, v);

    ncr_test(v->class == NCR_CLASS_THROTTLED && !v->family
             && v->fault == NCR_FAULT_ACCOUNT && v->base == 4000,
             "an event that says RESOURCE_EXHAUSTED");

    (void) ncr_test_read(200, "{\"type\":\"error\",\"error\":{\"type\":"
                         "\"SOMETHING_NEW\",\"message\":\"m\"}}");
    ncr_test_reply.kind = NCR_REPLY_STREAM_ERROR;
    ncr_google_classify(&ncr_test_reply, &rests, v);

    ncr_test(v->class == NCR_CLASS_SERVER, "an event with another name");

    ncr_test_reply.kind = NCR_REPLY_TIMEOUT;
    ncr_google_classify(&ncr_test_reply, &rests, v);

    ncr_test(v->class == NCR_CLASS_TIMEOUT, "no answer at all");
}


int
main(void)
{
    ncr_test_durations();
    ncr_test_midnight();
    ncr_test_zone();
    ncr_test_order();
    ncr_test_limit_zero();
    ncr_test_cut();
    ncr_test_verdicts();
    ncr_test_events();

    return ncr_test_done();
}
