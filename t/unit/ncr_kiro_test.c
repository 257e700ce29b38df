
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Kiro: what it has used, what its failures mean, its headers. */


#include "../../src/platform/ncr_kiro_usage.c"
#include "../../src/platform/ncr_platform_kiro.c"
#include "ncr_way_test.h"

#include <stdio.h>


#define NCR_TEST_NOW   ((ncr_msec_t) 1795262400 * 1000)     /* 2026-11-21 */
#define NCR_TEST_NEXT  ((ncr_msec_t) 1796083200 * 1000)     /* 2026-12-01 */


typedef struct {
    const char  *name;
    ncr_uint_t   status;
    const char  *body;
    const char  *verdict;
} ncr_test_row_t;


typedef struct {
    const char  *name;
    const char  *body;
    const char  *told;                  /* "name util reset status; " */
    const char  *meta;
} ncr_test_usage_t;


static ncr_test_row_t  ncr_test_rows[] = {

    { "400: a request that is malformed", 400,
      "{\"__type\":\"com.amazon.aws.codewhisperer#ValidationException\","
      "\"message\":\"Improperly formed request.\",\"reason\":null}",
      "client client none" },
    { "400: too long", 400,
      "{\"message\":\"Input is too long.\","
      "\"reason\":\"CONTENT_LENGTH_EXCEEDS_THRESHOLD\"}",
      "client client none" },
    { "401", 401, "{\"message\":\"Unauthorized\"}",
      "account auth for 1800 retry refresh" },
    { "403: the token", 403,
      "{\"message\":\"The bearer token included in the request is invalid.\","
      "\"reason\":null}", "account auth for 1800 retry refresh" },
    { "403: an expired token", 403,
      "{\"message\":\"The security token included in the request is "
      "expired\"}", "account auth for 1800 retry refresh" },
    { "403: suspended, by reason", 403,
      "{\"__type\":\"AccessDeniedException\",\"message\":\"x\","
      "\"reason\":\"TEMPORARILY_SUSPENDED\"}",
      "account disabled for 86400 retry" },
    { "403: suspended, by its text", 403,
      "{\"message\":\"Your User ID is temporarily suspended.\"}",
      "account disabled for 86400 retry" },
    { "403: anything else", 403, "{\"message\":\"no access\"}",
      "account forbidden for 1800 retry" },
    { "402: the month is used up", 402,
      "{\"message\":\"You have reached the limit.\","
      "\"reason\":\"MONTHLY_REQUEST_COUNT\"}",
      "account limited until 820800 retry" },
    { "400: the quota", 400,
      "{\"__type\":\"com.amazon.aws.codewhisperer"
      "#ServiceQuotaExceededException\",\"message\":\"quota\"}",
      "account limited until 820800 retry" },
    { "429: the month is used up", 429,
      "{\"__type\":\"ThrottlingException\",\"message\":\"x\","
      "\"reason\":\"MONTHLY_REQUEST_COUNT\"}",
      "account limited until 820800 retry" },
    { "429: no capacity", 429,
      "{\"__type\":\"ThrottlingException\",\"message\":\"I am experiencing "
      "high traffic\",\"reason\":\"INSUFFICIENT_MODEL_CAPACITY\"}",
      "platform overloaded backoff 10 retry same" },
    { "429: without a reason", 429,
      "{\"__type\":\"ThrottlingException\",\"message\":\"Too many requests\","
      "\"reason\":null}", "account throttled for 3 retry same" },
    { "500", 500, "{\"__type\":\"InternalServerException\",\"message\":"
      "\"Encountered unexpectedly high load\"}",
      "platform server backoff 1 retry same" },
    { "503", 503, "", "platform server backoff 1 retry same" },
    { "a reason that is deeper is none", 429,
      "{\"message\":\"x\",\"a\":{\"reason\":\"MONTHLY_REQUEST_COUNT\"}}",
      "account throttled for 3 retry same" },
    { "nor is one of what is no JSON", 429, "MONTHLY_REQUEST_COUNT",
      "account throttled for 3 retry same" },
    { "nor one of a 500", 500, "{\"reason\":\"MONTHLY_REQUEST_COUNT\"}",
      "platform server backoff 1 retry same" }
};


static ncr_test_usage_t  ncr_test_usages[] = {

    { "a month of credits",
      "{\"limits\":[],\"nextDateReset\":1.7960832E9,\"daysUntilReset\":9,"
      "\"usageBreakdownList\":[{\"resourceType\":\"CREDIT\","
      "\"currentUsage\":12,\"currentUsageWithPrecision\":12.5,"
      "\"usageLimit\":50,\"usageLimitWithPrecision\":50.0,"
      "\"nextDateReset\":1.7960832E9}],\"subscriptionInfo\":{\"type\":"
      "\"Q_DEVELOPER_STANDALONE_PRO_PLUS\",\"subscriptionTitle\":"
      "\"KIRO PRO+\"},\"userInfo\":{\"email\":\"a@b.example\","
      "\"userId\":\"x\"}}",
      "credit 2500 820800 1; ",
      "{\"email\":\"a@b.example\",\"plan\":\"pro_plus\",\"tier\":\"KIRO PRO+\""
      "}" },
    { "whole numbers, the list's own reset",
      "{\"nextDateReset\":1796083200,\"usageBreakdownList\":["
      "{\"resourceType\":\"AGENTIC_REQUEST\",\"currentUsage\":1000,"
      "\"usageLimit\":1000},{\"resourceType\":\"VIBE\",\"currentUsage\":0,"
      "\"usageLimit\":3,\"nextDateReset\":1795262500}],"
      "\"subscriptionInfo\":{\"type\":\"Q_DEVELOPER_STANDALONE_FREE\"}}",
      "agentic_request 10000 820800 3; vibe 0 100 1; ",
      "{\"plan\":\"free\"}" },
    { "more than the limit is paid for",
      "{\"usageBreakdownList\":[{\"resourceType\":\"CREDIT\","
      "\"currentUsage\":60,\"usageLimit\":50}],"
      "\"overageConfiguration\":{\"overageStatus\":\"ENABLED\"},"
      "\"subscriptionInfo\":{\"type\":\"Q_DEVELOPER_STANDALONE_POWER\"}}",
      "credit 12000 -1795262400 2; ", "{\"plan\":\"power\"}" },
    { "the same kind twice counts once",
      "{\"usageBreakdownList\":[{\"resourceType\":\"CREDIT\","
      "\"currentUsage\":1,\"usageLimit\":4},{\"resourceType\":\"credit\","
      "\"currentUsage\":2,\"usageLimit\":4}]}",
      "credit 2500 -1795262400 1; ", "" },
    { "nothing used, nothing told", "{\"usageBreakdownList\":[]}", "", "" },
    { "no limit, no window",
      "{\"usageBreakdownList\":[{\"resourceType\":\"CREDIT\","
      "\"currentUsage\":1,\"usageLimit\":0},{\"resourceType\":\"SPEC\","
      "\"currentUsage\":-1,\"usageLimit\":4},{\"resourceType\":\"A,B=C\","
      "\"currentUsage\":1,\"usageLimit\":4},{\"resourceType\":"
      "\"A_NAME_THAT_IS_TOO_LONG\",\"currentUsage\":1,\"usageLimit\":4},"
      "{\"resourceType\":5,\"currentUsage\":1,\"usageLimit\":4},7,null]}",
      "", "" },
    { "numbers that are none",
      "{\"nextDateReset\":1e300,\"usageBreakdownList\":[{\"resourceType\":"
      "\"CREDIT\",\"currentUsage\":1e300,\"usageLimit\":1e-300},"
      "{\"resourceType\":\"VIBE\",\"currentUsage\":\"1\",\"usageLimit\":1},"
      "{\"resourceType\":\"SPEC\",\"currentUsage\":1,\"usageLimit\":2,"
      "\"nextDateReset\":-5}]}",
      "spec 5000 -1795262400 1; ", "" },
    { "a reset in years is none",
      "{\"nextDateReset\":1895262400,\"usageBreakdownList\":[{"
      "\"resourceType\":\"CREDIT\",\"currentUsage\":1,\"usageLimit\":2}]}",
      "credit 5000 -1795262400 1; ", "" }
};


static void
ncr_test_verdicts(void)
{
    char             told[128];
    size_t           i;
    ncr_reply_t      reply;
    ncr_limits_t     limits;
    ncr_verdict_t    v;
    ncr_test_row_t  *row;

    static const char  *faults[] = {
        "none", "client", "account", "model", "platform", "network"
    };

    static const char  *kinds[] = { "none", "until", "for", "backoff" };

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_row_t); i++) {
        row = &ncr_test_rows[i];

        memset(&reply, 0, sizeof(reply));
        ncr_limits_reset(&limits);

        reply.limits = &limits;
        reply.now = NCR_TEST_NOW;

        ncr_test_judge(ncr_platform_kiro.classify, &reply,
                       (ncr_int_t) row->status, row->body, &v);

        snprintf(told, sizeof(told), "%s %s %s", faults[v.fault],
                 ncr_class_name(v.class), kinds[v.rest]);

        if (v.rest != NCR_REST_NONE) {
            snprintf(told + strlen(told), sizeof(told) - strlen(told), " %d",
                     (int) ((v.rest == NCR_REST_UNTIL
                             ? v.until - NCR_TEST_NOW : v.base) / 1000));
        }

        snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s%s",
                 v.retry ? " retry" : "", v.same ? " same" : "",
                 v.refresh ? " refresh" : "");

        ncr_test(strcmp(told, row->verdict) == 0, row->name);

        if (strcmp(told, row->verdict) != 0) {
            printf("# \"%s\", not \"%s\"\n", told, row->verdict);
        }
    }

    reply.now = 0;

    ncr_test_judge(ncr_platform_kiro.classify, &reply, 402,
                   "{\"reason\":\"MONTHLY_REQUEST_COUNT\"}", &v);

    ncr_test(v.class == NCR_CLASS_LIMITED && v.rest == NCR_REST_FOR,
             "without a clock it is a rest of some time");
}


static void
ncr_test_usage(void)
{
    char               told[512], meta[NCR_OAUTH_META];
    size_t             i, n;
    ncr_int_t          rc;
    ncr_str_t          body;
    ncr_uint_t         k;
    ncr_limits_t       limits;
    ncr_test_usage_t  *row;

    static const char  *bad[] = {
        "", "{", "[]", "{}", "{\"usageBreakdownList\":{}}",
        "{\"usageBreakdownList\":null}", "<html>"
    };

    for (i = 0; i < sizeof(ncr_test_usages) / sizeof(ncr_test_usage_t); i++) {
        row = &ncr_test_usages[i];

        body.data = (ncr_char_t *) row->body;
        body.len = strlen(row->body);

        rc = ncr_kiro_usage_read(&body, &limits, meta, NCR_TEST_NOW);

        n = 0;
        told[0] = '\0';

        for (k = 0; k < limits.nwindows; k++) {
            n += (size_t) snprintf(told + n, sizeof(told) - n,
                                   "%s %d %d %d; ", limits.windows[k].name,
                                   (int) limits.windows[k].utilization,
                                   (int) ((limits.windows[k].reset
                                           - NCR_TEST_NOW) / 1000),
                                   (int) limits.windows[k].status);
        }

        ncr_test(rc == NCR_OK && strcmp(told, row->told) == 0, row->name);
        ncr_test(strcmp(meta, row->meta) == 0, "its facts");

        if (strcmp(told, row->told) != 0 || strcmp(meta, row->meta) != 0) {
            printf("# \"%s\" %s\n", told, meta);
        }
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        body.data = (ncr_char_t *) bad[i];
        body.len = strlen(bad[i]);

        ncr_test(ncr_kiro_usage_read(&body, &limits, meta, NCR_TEST_NOW)
                 == NCR_BAD && limits.nwindows == 0 && meta[0] == '\0',
                 "what is no such answer");
    }
}


static void
ncr_test_months(void)
{
    size_t      i;
    char        text[NCR_STR_RFC3339];
    ncr_str_t   s;
    ncr_msec_t  now;

    static const char  *rows[][2] = {
        { "2026-11-21T15:00:00Z", "2026-12-01T00:00:00Z" },
        { "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z" },
        { "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z" },
        { "2027-02-28T12:00:00Z", "2027-03-01T00:00:00Z" },
        { "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z" },
        { "2028-03-01T00:00:00Z", "2028-04-01T00:00:00Z" },
        { "2099-12-01T00:00:00Z", "2100-01-01T00:00:00Z" },
        { "2100-02-28T23:00:00Z", "2100-03-01T00:00:00Z" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        s.data = (ncr_char_t *) rows[i][0];
        s.len = strlen(rows[i][0]);

        if (ncr_str_time(&s, &now) != NCR_OK) {
            now = 0;
        }

        ncr_str_rfc3339(text, ncr_kiro_month(now));

        ncr_test(strcmp(text, rows[i][1]) == 0, rows[i][0]);
    }
}


static void
ncr_test_fields(void)
{
    size_t             i;
    char               url[256], lines[1024], body[64];
    ncr_str_t          s, params[NCR_PARAMS];
    ncr_char_t         buf[64];
    ncr_oauth_talk_t   talk;

    static const char  *regions[] = {
        "us-east-1.example.com/", "US-EAST-1", "a/b", "a b", "x@y",
        "a-region-whose-name-is-longer-than-32"
    };

    for (i = 0; ncr_platform_kiro_params[i].name.len; i++) {
        params[i] = ncr_platform_kiro_params[i].value;
    }

    s = ncr_platform_kiro.base(params, buf, sizeof(buf));
    ncr_test(ncr_test_str(s, "https://q.us-east-1.amazonaws.com"),
             "where it is");

    s = ncr_platform_kiro.base(params, buf, 8);
    ncr_test(s.len == 0, "nowhere without room");

    for (i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
        s.data = (ncr_char_t *) regions[i];
        s.len = strlen(regions[i]);
        ncr_test(ncr_platform_kiro_region(&s) != NULL, regions[i]);
    }

    ncr_str_set(&s, "eu-central-1");
    ncr_test(ncr_platform_kiro_region(&s) == NULL, "a region");

    memset(&talk, 0, sizeof(talk));

    ncr_str_set(&params[NCR_KIRO_MACHINE], "abc");
    ncr_str_set(&talk.meta, "{\"profile_arn\":\"arn:aws:x/y\"}");

    talk.params = params;
    ncr_out_init(&talk.url, (ncr_char_t *) url, sizeof(url));
    ncr_out_init(&talk.lines, (ncr_char_t *) lines, sizeof(lines) - 1);
    ncr_out_init(&talk.body, (ncr_char_t *) body, sizeof(body));

    ncr_test(ncr_kiro_usage(&talk) == NCR_OK && talk.api && talk.no_body
             && strcmp(talk.method, "GET") == 0, "the usage poll");

    s.data = talk.url.start;
    s.len = (size_t) (talk.url.last - talk.url.start);
    ncr_test(ncr_test_str(s, "/getUsageLimits?isEmailRequired=true"
                          "&origin=AI_EDITOR&resourceType=AGENTIC_REQUEST"
                          "&profileArn=arn%3Aaws%3Ax%2Fy"), "its path");

    *talk.lines.last = '\0';
    ncr_test(strstr(lines, "KiroIDE") == NULL
             && strstr(lines, "x-amzn-kiro-agent-mode: vibe\r\n") != NULL,
             "it is nobody's client unless that is written");

    ncr_str_set(&params[NCR_KIRO_VERSION], "0.11.63");
    ncr_out_init(&talk.url, (ncr_char_t *) url, sizeof(url));
    ncr_out_init(&talk.lines, (ncr_char_t *) lines, sizeof(lines) - 1);
    (void) ncr_kiro_usage(&talk);

    *talk.lines.last = '\0';
    ncr_test(strstr(lines, "\r\nx-amz-user-agent: aws-sdk-js/1.0.34 "
                    "KiroIDE-0.11.63-abc\r\n") != NULL
             && strstr(lines, "x-amzn-kiro-agent-mode: vibe\r\n") != NULL
             && strstr(lines, "x-amzn-codewhisperer-optout: true\r\n") != NULL
             && strstr(lines, " os/linux#6.8.0 lang/js md/nodejs#22.21.1 api/"
                       "codewhispererruntime#1.0.0 m/E KiroIDE-0.11.63-abc"
                       "\r\n") != NULL, "its headers");

    ncr_out_init(&talk.url, (ncr_char_t *) url, 10);
    ncr_test(ncr_kiro_usage(&talk) == NCR_ERROR, "not without room");
}


int
main(void)
{
    ncr_test_verdicts();
    ncr_test_usage();
    ncr_test_months();
    ncr_test_fields();

    return ncr_test_done();
}
