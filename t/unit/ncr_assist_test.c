
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_assist_quota.c"
#include "../../src/platform/ncr_assist_verdict.c"
#include "ncr_test.h"


/* 2026-11-27T00:00:00Z */
#define NCR_TEST_NOW     ((ncr_msec_t) 1795737600 * 1000)

#define NCR_TEST_INFO(reason)                                                 \
    ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","  \
    "\"reason\":\"" reason "\",\"metadata\":{\"quotaResetDelay\":"            \
    "\"1h0m0s\"}}]"


typedef struct {
    const char   *name;
    ncr_uint_t    status;
    const char   *error;                /* behind its code */
    ncr_fault_e   fault;
    ncr_class_e   class;
    ncr_rest_e    rest;
    unsigned      retry:1;
    unsigned      refresh:1;
    unsigned      family:1;
} ncr_test_row_t;


static ncr_test_row_t  ncr_test_rows[] = {

    { "F015: 401", 401, "\"message\":\"Request had invalid authentication "
      "credentials.\",\"status\":\"UNAUTHENTICATED\"",
      NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH, NCR_REST_FOR, 1, 1, 0 },

    { "QUOTA_EXHAUSTED", 429, "\"message\":\"x\",\"status\":"
      "\"RESOURCE_EXHAUSTED\"" NCR_TEST_INFO("QUOTA_EXHAUSTED"),
      NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED, NCR_REST_UNTIL, 1, 0, 1 },

    { "MODEL_CAPACITY_EXHAUSTED", 429, "\"message\":\"No capacity\",\"status\""
      ":\"RESOURCE_EXHAUSTED\"" NCR_TEST_INFO("MODEL_CAPACITY_EXHAUSTED"),
      NCR_FAULT_MODEL, NCR_CLASS_OVERLOADED, NCR_REST_FOR, 1, 0, 1 },

    { "INSUFFICIENT_G1_CREDITS_BALANCE", 429, "\"message\":\"x\",\"status\":"
      "\"RESOURCE_EXHAUSTED\""
      NCR_TEST_INFO("INSUFFICIENT_G1_CREDITS_BALANCE"),
      NCR_FAULT_ACCOUNT, NCR_CLASS_BILLING, NCR_REST_FOR, 1, 0, 0 },

    { "VALIDATION_REQUIRED", 403, "\"message\":\"Verify your account\","
      "\"status\":\"PERMISSION_DENIED\"" NCR_TEST_INFO("VALIDATION_REQUIRED"),
      NCR_FAULT_ACCOUNT, NCR_CLASS_DISABLED, NCR_REST_FOR, 1, 0, 0 },

    { "a client that is served no longer", 403, "\"message\":\"This client is "
      "no longer supported for Gemini Code Assist for individuals. To "
      "continue, migrate to Antigravity\",\"status\":\"PERMISSION_DENIED\"",
      NCR_FAULT_ACCOUNT, NCR_CLASS_DISABLED, NCR_REST_FOR, 1, 0, 0 },

    { "F083: a version that is too old", 400, "\"message\":\"This version of "
      "Antigravity is no longer supported. Please update.\",\"status\":"
      "\"INVALID_ARGUMENT\"",
      NCR_FAULT_ACCOUNT, NCR_CLASS_FORBIDDEN, NCR_REST_FOR, 1, 0, 0 },

    { "F083: with another status", 503, "\"message\":\"This version of "
      "Antigravity is no longer supported.\",\"status\":\"UNAVAILABLE\"",
      NCR_FAULT_ACCOUNT, NCR_CLASS_FORBIDDEN, NCR_REST_FOR, 1, 0, 0 },

    { "a request that is wrong", 400, "\"message\":\"x\",\"status\":"
      "\"INVALID_ARGUMENT\"",
      NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, NCR_REST_NONE, 0, 0, 0 },

    { NULL, 0, NULL, 0, 0, 0, 0, 0, 0 }
};


static void
ncr_test_verdicts(void)
{
    char             body[1024];
    ncr_rests_t      rests;
    ncr_reply_t      reply;
    ncr_limits_t     limits;
    ncr_verdict_t    v;
    ncr_test_row_t  *row;

    ncr_rests_default(&rests);
    ncr_limits_reset(&limits);

    for (row = ncr_test_rows; row->name; row++) {

        memset(&reply, 0, sizeof(reply));

        reply.kind = NCR_REPLY_HTTP;
        reply.status = row->status;
        reply.limits = &limits;
        reply.now = NCR_TEST_NOW;
        ncr_str_set(&reply.family, "2.5-pro");

        sprintf(body, "{\"error\":{\"code\":%d,%s}}", (int) row->status,
                row->error);

        reply.body.data = (ncr_char_t *) body;
        reply.body.len = strlen(body);

        memset(&v, 0xA5, sizeof(v));
        ncr_assist_classify(&reply, &rests, &v);

        ncr_test(v.fault == row->fault && v.class == row->class
                 && v.rest == row->rest && v.retry == row->retry
                 && v.refresh == row->refresh && v.family == row->family,
                 row->name);
    }

    memset(&reply, 0, sizeof(reply));
    reply.kind = NCR_REPLY_RESET;
    reply.limits = &limits;

    ncr_assist_classify(&reply, &rests, &v);
    ncr_test(v.class == NCR_CLASS_NETWORK && v.retry, "no answer at all");
}


static ncr_window_t *
ncr_test_window(ncr_limits_t *limits, const char *name)
{
    ncr_uint_t  i;

    for (i = 0; i < limits->nwindows; i++) {
        if (strcmp(limits->windows[i].name, name) == 0) {
            return &limits->windows[i];
        }
    }

    return NULL;
}


static void
ncr_test_quota(void)
{
    char           meta[NCR_OAUTH_META];
    ncr_str_t      body;
    ncr_limits_t   limits;
    ncr_window_t  *w;

    ncr_str_set(&body, "{\"models\":{"
                "\"claude-sonnet-4-6\":{\"quotaInfo\":{\"remainingFraction\":"
                "0.25,\"resetTime\":\"2026-11-27T05:00:00Z\"}},"
                "\"claude-sonnet-4-6-x\":{\"quotaInfo\":{\"remainingFraction\""
                ":0.5,\"resetTime\":\"2026-11-27T06:00:00Z\"}},"
                "\"claude-opus-4-6-thinking\":{\"quotaInfo\":{\"resetTime\":"
                "\"2026-11-27T05:00:00Z\"}},"
                "\"claude-haiku\":{\"quotaInfo\":{\"remainingFraction\":7}},"
                "\"claude-fable\":{\"displayName\":\"x\"},\"other\":1}}");

    ncr_test(ncr_antigravity_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_OK && limits.nwindows == 2, "F083: quotas");

    w = ncr_test_window(&limits, "sonnet");
    ncr_test(w && w->utilization == 7500 && w->status == NCR_WINDOW_ALLOWED
             && w->reset == NCR_TEST_NOW + 5 * 3600 * 1000,
             "F083: of two models the worse");

    w = ncr_test_window(&limits, "opus");
    ncr_test(w && w->utilization == 10000
             && w->status == NCR_WINDOW_REJECTED, "F083: a zero is not told");

    ncr_str_set(&body, "{\"buckets\":[{\"modelId\":\"claude-sonnet\","
                "\"tokenType\":\"REQUESTS\",\"remainingFraction\":0.9},1,{},"
                "{\"modelId\":\"claude-sonnet\",\"remainingFraction\":0,"
                "\"resetTime\":\"2027-11-27T05:00:00Z\"}]}");

    ncr_test(ncr_assist_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_OK && limits.nwindows == 1, "F015: quotas");

    w = ncr_test_window(&limits, "sonnet");
    ncr_test(w && w->utilization == 10000 && w->reset == 0,
             "F015: a time that cannot be");

    ncr_str_set(&body, "{\"buckets\":[]}");
    ncr_test(ncr_assist_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_OK && limits.nwindows == 0, "F015: none");

    ncr_str_set(&body, "{\"buckets\":["
                "{\"modelId\":\"gemini-1\",\"remainingFraction\":0.1},"
                "{\"modelId\":\"gemini-2\",\"remainingFraction\":0.2},"
                "{\"modelId\":\"gemini-3\",\"remainingFraction\":0.3},"
                "{\"modelId\":\"gemini-4\",\"remainingFraction\":0.4},"
                "{\"modelId\":\"gemini-5\",\"remainingFraction\":0.5},"
                "{\"modelId\":\"gemini-6\",\"remainingFraction\":0.6},"
                "{\"modelId\":\"gemini-7\",\"remainingFraction\":0.7},"
                "{\"modelId\":\"gemini-8\",\"remainingFraction\":0.8},"
                "{\"modelId\":\"gemini-9\",\"remainingFraction\":0},"
                "{\"modelId\":\"gemini-10\",\"remainingFraction\":1}]}");
    ncr_test(ncr_assist_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_OK && limits.nwindows == NCR_WINDOWS
             && ncr_test_window(&limits, "9") != NULL
             && ncr_test_window(&limits, "8") == NULL
             && ncr_test_window(&limits, "10") == NULL,
             "F015: more models than windows");

    ncr_str_set(&body, "{\"error\":{}}");
    ncr_test(ncr_assist_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_BAD, "F015: something else");
    ncr_test(ncr_antigravity_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_BAD, "F083: something else");

    ncr_str_set(&body, "[");
    ncr_test(ncr_assist_usage_read(&body, &limits, meta, NCR_TEST_NOW)
             == NCR_BAD, "F015: no JSON");
}


int
main(void)
{
    ncr_test_verdicts();
    ncr_test_quota();

    return ncr_test_done();
}
