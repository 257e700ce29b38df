
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The platforms openai and azure: where a request goes, what becomes of its
 * body, what limits and failures mean.
 */


#include "../../src/platform/ncr_openai_way.c"
#include "../../src/platform/ncr_openai_verdict.c"
#include "../../src/platform/ncr_platform_openai.c"
#include "../../src/platform/ncr_platform_azure.c"
#include "ncr_way_test.h"

#include <cjson/cJSON.h>


#define NOW  ((ncr_msec_t) 1795000000000)


static ncr_openai_request_t  ncr_test_req;


/* params: as many as are told, the rest have their defaults */

static ncr_int_t
ncr_test_ask(ncr_platform_t *platform, ncr_op_e op, const char *base,
    const char *path, const char *args, const char *body, const char *model,
    const char *one, const char *two, const char *three)
{
    ncr_int_t    rc;
    ncr_uint_t   i;
    ncr_way_t   *way;
    const char  *told[3];

    ncr_test_body = ncr_test_s(body ? body : "");
    way = ncr_test_way_of(op, base, path);

    told[0] = one;
    told[1] = two;
    told[2] = three;

    for (i = 0; platform->params[i].name.len; i++) {
        ncr_test_params[i] = platform->params[i].value;

        if (i < 3 && told[i]) {
            ncr_test_params[i] = ncr_test_s(told[i]);
        }
    }

    if (body) {
        ncr_openai_request_init(&ncr_test_req, NULL, op);
        ncr_str_set(&ncr_test_req.told.model, "of the path");

        if (ncr_openai_request_feed(&ncr_test_req, (ncr_char_t *) body,
                                    strlen(body))
            != NCR_OK
            || ncr_openai_request_final(&ncr_test_req) != NCR_OK)
        {
            return NCR_BAD;
        }

        way->members = &ncr_test_req.members;
        way->stream = ncr_test_req.told.stream;
    }

    way->dialect = NCR_DIALECT_OPENAI;
    way->args = ncr_test_s(args);
    way->model = ncr_test_s(model);
    way->asked = way->model;

    rc = platform->way(way);

    return (rc == NCR_OK && !way->target.overflow) ? NCR_OK : NCR_ERROR;
}


#define ncr_test_openai(op, base, path, args)                                 \
    (ncr_test_ask(&ncr_platform_openai, op, base, path, args, NULL, "m",      \
                  NULL, NULL, NULL)                                           \
     == NCR_OK ? (char *) ncr_test_target : "failed")


static void
ncr_test_paths(void)
{
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "", "/v1/chat/completions",
                                    ""), "") == 0,
             "F086: a path goes as it came");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "/x", "/chat/completions",
                                    ""), "/x/v1/chat/completions") == 0,
             "F086: without \"/v1\"");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "",
                                    "/v1/v1/chat/completions", ""),
                    "/v1/chat/completions") == 0, "F086: with two");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "/api/paas/v4",
                                    "/v1/chat/completions", "a=b"),
                    "/api/paas/v4/chat/completions?a=b") == 0,
             "F086: a base with a version of its own");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "/v1beta/openai",
                                    "/v1/chat/completions", ""),
                    "/v1beta/openai/chat/completions") == 0,
             "F086: a base with a version in the middle");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "/vault", "/responses", ""),
                    "/vault/v1/responses") == 0, "F086: and with none");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "",
                                    "/deployments/d/chat/completions",
                                    "api-version=2024-10-21&x=1"),
                    "/v1/chat/completions?x=1") == 0,
             "F086: a client of Azure at an account of OpenAI");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_OPENAI, "/b/v2",
                                    "/v1/files/a b%/content", ""),
                    "/b/v2/files/a%20b%25/content") == 0,
             "F086: what was unescaped is escaped");
    ncr_test(strcmp(ncr_test_openai(NCR_OP_CHAT, "", "/v1", ""),
                    "/v1/v1") == 0, "F086: nothing but a version");
}


#define ncr_test_azure(op, base, path, args, body, model, form, version)      \
    (ncr_test_ask(&ncr_platform_azure, op, base, path, args, body, model,     \
                  "res", form, version)                                       \
     == NCR_OK ? (char *) ncr_test_target : "failed")

#define CHAT  "/v1/chat/completions"


static void
ncr_test_forms(void)
{
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "", CHAT, "", NULL, "m",
                                   NULL, NULL),
                    "/openai/v1/chat/completions") == 0,
             "F087: auto is v1");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "", CHAT, "", NULL, "m",
                                   NULL, "2025-01-01-preview"),
                    "/openai/deployments/m/chat/completions"
                    "?api-version=2025-01-01-preview") == 0,
             "F087: auto with a version is dated");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "", CHAT, "x=1", NULL,
                                   "my dep/1", "dated", NULL),
                    "/openai/deployments/my%20dep%2F1/chat/completions"
                    "?x=1&api-version=2024-10-21") == 0,
             "F087: dated, with a deployment that is free text");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "",
                                   "/deployments/d/chat/completions",
                                   "api-version=2024-02-01", NULL, "d",
                                   "dated", NULL),
                    "/openai/deployments/d/chat/completions"
                    "?api-version=2024-02-01") == 0,
             "F022: the version of a client");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "",
                                   "/deployments/d/chat/completions",
                                   "api-version=2024-02-01%26", NULL, "d",
                                   "dated", NULL),
                    "/openai/deployments/d/chat/completions"
                    "?api-version=2024-10-21") == 0,
             "F022: which is none");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "",
                                   "/deployments/d/chat/completions",
                                   "api-version=2024-02-01", NULL, "e",
                                   "v1", NULL),
                    "/openai/v1/chat/completions") == 0,
             "F022: a dated client at a v1 account");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_RESPONSES, "", "/v1/responses", "",
                                   NULL, "m", "dated", NULL),
                    "/openai/responses?api-version=2025-04-01-preview") == 0,
             "F087: a response has no deployment in its path");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_OPENAI, "",
                                   "/v1/audio/transcriptions", "", NULL, "",
                                   "dated", "2024-06-01"),
                    "/openai/deployments//audio/transcriptions"
                    "?api-version=2024-06-01") == 0,
             "F087: audio without a model");
    ncr_test(strcmp(ncr_test_azure(NCR_OP_CHAT, "/gw/openai", CHAT, "", NULL,
                                   "m", "v1", NULL),
                    "/gw/openai/v1/chat/completions") == 0,
             "F087: a base up to \"/openai\"");
}


static void
ncr_test_bodies(void)
{
    ncr_test(ncr_test_ask(&ncr_platform_azure, NCR_OP_CHAT, "",
                          "/deployments/d/chat/completions", "",
                          "{\"messages\":[]}", "dep \"1\"", NULL, "v1", NULL)
             == NCR_OK
             && strcmp(ncr_test_edited(), "{\"messages\":[],\"model\":"
                       "\"dep \\\"1\\\"\"}") == 0,
             "F022: the model of a path comes into the body");
    ncr_test(ncr_test_ask(&ncr_platform_azure, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"azure/gpt-5\",\"messages\":[]}",
                          "azure/gpt-5", NULL, "v1", NULL) == NCR_OK
             && strcmp(ncr_test_edited(),
                       "{\"model\":\"gpt-5\",\"messages\":[]}") == 0,
             "F087: \"azure/\" is no part of a deployment");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"m\",\"stream\":true}", "m", NULL,
                          NULL, NULL) == NCR_OK
             && strcmp(ncr_test_edited(), "{\"model\":\"m\",\"stream\":true,"
                       "\"stream_options\":{\"include_usage\":true}}") == 0,
             "a stream tells its usage");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"stream\":true,\"stream_options\":{}}", "m",
                          NULL, NULL, NULL) == NCR_OK
             && strcmp(ncr_test_edited(),
                       "{\"stream\":true,\"stream_options\":{"
                       "\"include_usage\":true},\"model\":\"m\"}") == 0,
             "empty options, and a model that is not there");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"m\",\"stream_options\": {\"include_"
                          "obfuscation\":false},\"stream\":true}", "m", NULL,
                          NULL, NULL) == NCR_OK
             && strcmp(ncr_test_edited(),
                       "{\"model\":\"m\",\"stream_options\": {\"include_"
                       "usage\":true,\"include_obfuscation\":false},"
                       "\"stream\":true}") == 0, "other options");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"m\",\"stream_options\":null,"
                          "\"stream\":true}", "m", NULL, NULL, NULL)
             == NCR_OK
             && strcmp(ncr_test_edited(),
                       "{\"model\":\"m\",\"stream_options\":{\"include_"
                       "usage\":true},\"stream\":true}") == 0,
             "options that are null");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"m\",\"stream\":true,\"stream_options"
                          "\":{\"include_usage\":false}}", "m", NULL, NULL,
                          NULL) == NCR_OK && ncr_test_way.nedits == 0,
             "who has decided is left alone");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          "{\"model\":\"m\",\"stream\":false}", "m", NULL,
                          NULL, NULL) == NCR_OK && ncr_test_way.nedits == 0,
             "so is who wants no stream");
    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_RESPONSES, "",
                          "/v1/responses", "",
                          "{\"model\":\"m\",\"stream\":true}", "m", NULL,
                          NULL, NULL) == NCR_OK && ncr_test_way.nedits == 0,
             "a response tells it anyway");

    ncr_test_params[NCR_PLATFORM_OPENAI_ORGANIZATION] =
        ncr_test_s("org-1");
    ncr_test_params[NCR_PLATFORM_OPENAI_PROJECT] = ncr_test_s("proj-1");

    {
        ncr_out_t  out;
        ncr_str_t  secret, none;

        ncr_str_set(&secret, "sk-1");
        ncr_str_set(&none, "");

        ncr_out_init(&out, ncr_test_text, sizeof(ncr_test_text));
        ncr_platform_openai.proof(&out, &secret, ncr_test_params, &none);
        ncr_out_bytes(&out, "", 1);

        ncr_test(strcmp((char *) ncr_test_text,
                        "Authorization: Bearer sk-1\r\n"
                        "OpenAI-Organization: org-1\r\n"
                        "OpenAI-Project: proj-1\r\n") == 0,
                 "F086: a key with organization and project");

        ncr_str_set(&secret, "eyJ0");
        ncr_test(ncr_platform_azure.credential(&secret)
                 == NCR_CREDENTIAL_BEARER, "F087: a token of Entra");

        ncr_str_set(&secret, "0123");
        ncr_test(ncr_platform_azure.credential(&secret)
                 == NCR_CREDENTIAL_API_KEY, "F087: a key");
    }

    ncr_test(ncr_test_ask(&ncr_platform_openai, NCR_OP_CHAT, "", CHAT, "",
                          NULL, "m", NULL, NULL, "ua/1") == NCR_OK
             && strcmp((char *) ncr_test_lines, "User-Agent: ua/1\r\n") == 0
             && ncr_test_way.drop[2] != NULL, "F086: a user agent of its own");
}


static void
ncr_test_fields(void)
{
    ncr_str_t   base, s;
    ncr_char_t  buf[256];

    ncr_test_params[0] = ncr_test_s("my-res");
    base = ncr_platform_azure.base(ncr_test_params, buf, sizeof(buf));

    ncr_test(ncr_test_str(base, "https://my-res.openai.azure.com"),
             "F087: a resource is a place");

    ncr_str_null(&ncr_test_params[0]);
    base = ncr_platform_azure.base(ncr_test_params, buf, sizeof(buf));

    ncr_test(base.len == 0, "F087: none is none");

    s = ncr_test_s("evil.example/");
    ncr_test(ncr_platform_azure_check_resource(&s) != NULL,
             "F087: no name of a resource");
    s = ncr_test_s("a-1");
    ncr_test(ncr_platform_azure_check_resource(&s) == NULL,
             "F087: a name of a resource");
    s = ncr_test_s("2024-10-21&x");
    ncr_test(ncr_platform_azure_check_version(&s) != NULL,
             "F087: no version");
    s = ncr_test_s("new");
    ncr_test(ncr_platform_azure_check_form(&s) != NULL, "F087: no form");
    s = ncr_test_s("yes");
    ncr_test(ncr_openai_check_switch(&s) != NULL, "neither on nor off");
}


typedef struct {
    const char  *text;
    int64_t      ms;                    /* -1: none */
} ncr_test_duration_t;


static ncr_test_duration_t  ncr_test_durations[] = {
    { "12ms", 12 }, { "1s", 1000 }, { "6m0s", 360000 },
    { "1h2m3s", 3723000 }, { "11.054s", 11054 }, { "1.5h", 5400000 },
    { "900ms", 900 }, { "59.999s", 59999 }, { "0s", 0 }, { "7", 7000 },
    { "2m", 120000 }, { "", -1 }, { "s", -1 }, { "-1s", -1 }, { "1x", -1 },
    { "1s2", -1 }, { ".", -1 }, { "1..2s", -1 },
    { "99999999999999999999s", -1 }, { "1d", -1 }
};


static void
ncr_test_limits(void)
{
    size_t        i;
    ncr_str_t     name, value;
    ncr_int_t     rc;
    ncr_msec_t    ms;
    ncr_limits_t  limits;

    for (i = 0;
         i < sizeof(ncr_test_durations) / sizeof(ncr_test_durations[0]);
         i++)
    {
        value = ncr_test_s(ncr_test_durations[i].text);
        ms = -1;
        rc = ncr_openai_duration(&value, &ms);

        if (rc != NCR_OK) {
            ms = -1;
        }

        ncr_test(ms == ncr_test_durations[i].ms, "a duration");

        if (ms != ncr_test_durations[i].ms) {
            printf("# \"%s\" %d\n", ncr_test_durations[i].text, (int) ms);
        }
    }

#define ncr_test_header(f, n, v)                                              \
    name = ncr_test_s(n); value = ncr_test_s(v);                      \
    f(&limits, &name, &value, NOW)

    ncr_limits_reset(&limits);

    ncr_test_header(ncr_openai_limits, "x-ratelimit-limit-requests", "100");
    ncr_test_header(ncr_openai_limits, "x-ratelimit-remaining-requests", "0");
    ncr_test_header(ncr_openai_limits, "x-ratelimit-reset-requests", "6m0s");
    ncr_test_header(ncr_openai_limits, "x-ratelimit-remaining-tokens", "41");
    ncr_test_header(ncr_openai_limits, "x-ratelimit-reset-tokens", "12ms");
    ncr_test_header(ncr_openai_limits, "x-ratelimit-remaining-images", "0");
    ncr_test_header(ncr_openai_limits, "retry-after-ms", "1500");
    ncr_test_header(ncr_openai_limits, "retry-after", "9");

    ncr_test(limits.buckets[0].remaining == 0
             && limits.buckets[0].reset == NOW + 360000
             && limits.buckets[1].remaining == 41
             && limits.buckets[1].reset == NOW + 12
             && limits.buckets[2].remaining == -1, "rates of an answer");
    ncr_test(limits.retry_after == 1500, "milliseconds win over seconds");

    ncr_limits_reset(&limits);

    ncr_test_header(ncr_platform_azure.limits,
                    "x-ratelimit-remaining-requests", "-1");
    ncr_test_header(ncr_platform_azure.limits, "x-ratelimit-remaining-tokens",
                    "0");

    ncr_test(limits.buckets[0].remaining == -1
             && limits.buckets[1].remaining == -1,
             "F087: what Azure does not know");
}


typedef struct {
    const char  *name;
    ncr_uint_t   status;                /* 0: an error in a stream */
    const char  *body;
    const char  *told;
} ncr_test_row_t;


#define E(type, code, message)                                                \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type                \
    "\",\"param\":null,\"code\":\"" code "\"}}"


static ncr_test_row_t  ncr_test_rows[] = {

    { "insufficient_quota", 429, E("insufficient_quota", "insufficient_quota",
      "You exceeded your current quota, please check your plan"),
      "account billing retry for 3600000" },
    { "the same in words alone", 429, "{\"error\":{\"message\":\"You exceeded "
      "your current quota\",\"type\":\"requests\"}}",
      "account billing retry for 3600000" },
    { "a wait in the text", 429, E("tokens", "rate_limit_exceeded",
      "Rate limit reached for gpt-5.5 in organization org-1 on tokens per min "
      "(TPM): Limit 30000, Used 28000. Please try again in 11.054s. Visit"),
      "account throttled retry for 11054" },
    { "of milliseconds", 429, E("requests", "rate_limit_exceeded",
      "Please try again in 28ms."), "account throttled retry for 28" },
    { "of a day", 429, E("requests", "rate_limit_exceeded",
      "on requests per day (RPD): Please try again in 7m12s."),
      "account limited retry for 432000" },
    { "F087: Azure's words", 429, "{\"error\":{\"code\":\"RateLimitReached\","
      "\"message\":\"Requests have exceeded the token rate limit. Please retry "
      "after 6 seconds.\"}}", "account throttled retry for 6000" },
    { "without any", 429, E("requests", "rate_limit_exceeded", "x"),
      "account throttled retry for 3000" },
    { "a request that is over it alone", 429, E("tokens",
      "rate_limit_exceeded", "Request too large for gpt-5.5 in organization "
      "org-1 on tokens per min (TPM): Limit 30000, Requested 90000."),
      "model client retry" },
    { "a model that is not there", 404, E("invalid_request_error",
      "model_not_found", "The model `x` does not exist or you do not have "
      "access to it."), "model client retry" },
    { "a project without it", 403, E("invalid_request_error",
      "model_not_found", "Project `p` does not have access to model `x`"),
      "model client retry" },
    { "F087: no deployment", 404, "{\"error\":{\"code\":\"DeploymentNotFound"
      "\",\"message\":\"The API deployment for this resource does not "
      "exist.\"}}", "model client retry" },
    { "a long context", 400, E("invalid_request_error",
      "context_length_exceeded", "Your input exceeds the context window"),
      "client client" },
    { "an ordinary 400", 400, "{\"error\":{\"message\":\"Unknown parameter: "
      "'x'.\",\"type\":\"invalid_request_error\",\"param\":\"x\",\"code\":"
      "\"unknown_parameter\"}}", "client client" },
    { "a dead key", 401, E("invalid_request_error", "invalid_api_key",
      "Incorrect API key provided: sk-***"),
      "account auth retry for 1800000" },
    { "F087: a dead key", 401, "{\"error\":{\"code\":\"401\",\"message\":"
      "\"Access denied due to invalid subscription key\"}}",
      "account auth retry for 1800000" },
    { "a dead account", 401, E("invalid_request_error", "account_deactivated",
      "x"), "account disabled retry for 86400000" },
    { "a limit of money", 400, E("billing_limit_error",
      "billing_hard_limit_reached", "Billing hard limit has been reached"),
      "account capped retry for 3600000" },
    { "a country", 403, E("request_forbidden",
      "unsupported_country_region_territory", "Country not supported"),
      "account forbidden retry for 1800000" },
    { "overloaded", 503, E("server_error", "server_is_overloaded", "x"),
      "platform overloaded retry backoff 10000" },
    { "slow down", 503, E("service_unavailable_error", "slow_down", "x"),
      "platform overloaded retry backoff 10000" },
    { "at capacity", 400, "{\"detail\":\"Selected model is at capacity. Please "
      "try a different model.\"}", "platform overloaded retry backoff 10000" },
    { "a server's error", 500, E("server_error", "", "The server had an error"),
      "platform server retry backoff 1000" },
    { "no JSON", 502, "<html>", "platform server retry backoff 1000" },
    { "F087: a filter", 400, "{\"error\":{\"code\":\"content_filter\","
      "\"message\":\"The response was filtered\",\"innererror\":{\"code\":"
      "\"ResponsibleAIPolicyViolation\"}}}", "client client" },
    { "an edge", 403, "<html>", "platform edge retry for 60000" },

    { "6: a failed response", 0,
      "{\"error\":{\"type\":\"server_is_overloaded\",\"message\":\"m\"}}",
      "platform overloaded retry backoff 10000" },
    { "6: of a limit", 0, "{\"error\":{\"type\":\"rate_limit_exceeded\","
      "\"message\":\"Please try again in 2s\"}}",
      "account throttled retry for 2000" },
    { "6: of the client", 0, "{\"error\":{\"type\":\"invalid_prompt\","
      "\"message\":\"m\"}}", "client client" },
    { "52: an error in a stream", 0, "{\"error\":{\"type\":\"server_error\","
      "\"message\":\"m\"}}", "platform server retry backoff 1000" },
    { "52: of a kind that nobody knows", 0, "{\"error\":{\"type\":\"\","
      "\"message\":\"m\"}}", "platform server retry backoff 1000" },

    /* who quotes a client must not be believed */

    { "a quotation", 400, "{\"error\":{\"message\":\"Invalid value: 'exceeded "
      "your current quota'\",\"type\":\"invalid_request_error\"}}",
      "client client" }
};


static void
ncr_test_verdicts(void)
{
    char             told[256];
    size_t           i;
    ncr_reply_t      reply;
    ncr_limits_t     limits;
    ncr_verdict_t    v;
    ncr_test_row_t  *row;

    static const char  *faults[] = {
        "none", "client", "account", "model", "platform", "network"
    };

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        row = &ncr_test_rows[i];

        memset(&reply, 0, sizeof(reply));
        ncr_limits_reset(&limits);

        reply.limits = &limits;

        ncr_test_judge(ncr_openai_classify, &reply, (ncr_int_t) row->status,
                       row->body, &v);

        snprintf(told, sizeof(told), "%s %s%s", faults[v.fault],
                 ncr_class_name(v.class), v.retry ? " retry" : "");

        if (v.rest == NCR_REST_FOR || v.rest == NCR_REST_BACKOFF) {
            snprintf(told + strlen(told), sizeof(told) - strlen(told),
                     " %s %d", (v.rest == NCR_REST_FOR) ? "for" : "backoff",
                     (int) v.base);
        }

        ncr_test(strcmp(told, row->told) == 0, row->name);

        if (strcmp(told, row->told) != 0) {
            printf("# \"%s\"\n", told);
        }
    }

    memset(&reply, 0, sizeof(reply));
    reply.limits = &limits;
    limits.retry_after = 1500;

    ncr_test_judge(ncr_openai_classify, &reply, 429,
                   E("requests", "rate_limit_exceeded",
                     "Please try again in 28s."), &v);
    ncr_test(v.rest == NCR_REST_FOR && v.base == 1500,
             "a header wins over the text");

    ncr_test_judge(ncr_openai_classify, &reply, -NCR_REPLY_CONNECT, "", &v);
    ncr_test(v.class == NCR_CLASS_NETWORK, "no connection");
}


int
main(void)
{
    ncr_test_paths();
    ncr_test_forms();
    ncr_test_bodies();
    ncr_test_fields();
    ncr_test_limits();
    ncr_test_verdicts();

    return ncr_test_done();
}
