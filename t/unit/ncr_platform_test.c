
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_beta.c"
#include "../../src/platform/ncr_limits.c"
#include "../../src/platform/ncr_platform.c"
#include "../../src/platform/ncr_platform_anthropic.c"
#include "../../src/platform/ncr_platform_console.c"
#include "../../src/platform/ncr_platform_oauth.c"
#include "../../src/platform/ncr_reply.c"
#include "../../src/platform/ncr_url.c"
#include "../../src/platform/ncr_verdict.c"
#include "ncr_way_test.h"


#define NCR_TEST_NOW   ((ncr_msec_t) 1795262400 * 1000)     /* 12:00 UTC */

#define NCR_TEST_ERROR(type, message)                                         \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\""     \
    message "\"},\"request_id\":\"req_1\"}"

#define U  "anthropic-ratelimit-unified-"


typedef struct {
    const char  *name;
    const char  *platform;              /* NULL: all of them */
    int          status;                /* negative: -ncr_reply_kind_e */
    const char  *headers;               /* "name: value\n" */
    const char  *body;
    const char  *verdict;
} ncr_test_row_t;


/*
 * A verdict is told as fault, class, rest in seconds ("+" for a back-off,
 * "@" for a date, seconds after NCR_TEST_NOW), and flags: f family, r retry,
 * s same, t refresh (of the token).
 */

static ncr_test_row_t  ncr_test_rows[] = {

    { "200", NULL, 200, "", "{}", "none ok 0" },

    /* DESIGN 5, first row */

    { "400 ordinary", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "max_tokens: required"),
      "client client 0" },
    { "400 prompt too long", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error",
                     "prompt is too long: 210000 tokens > 200000 maximum"),
      "client client 0" },
    { "400 max_tokens over the context", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error",
                     "input length and `max_tokens` exceed context limit"),
      "client client 0" },
    { "400 signature", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "messages.1.content.0: "
                     "Invalid `signature` in `thinking` block"),
      "client client 0" },
    { "400 without a body", NULL, 400, "", "", "client client 0" },
    { "404", NULL, 404, "", NCR_TEST_ERROR("not_found_error", "model: x"),
      "client client 0" },
    { "408", NULL, 408, "", "", "client client 0" },
    { "409", NULL, 409, "", "", "client client 0" },
    { "413 of the edge", NULL, 413, "content-type: text/html\n",
      "<html>too large</html>", "client client 0" },
    { "422", NULL, 422, "", "{}", "client client 0" },

    /* account's 400 */

    { "400 organisation disabled", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error",
                     "This organization has been disabled."),
      "account disabled 86400 r" },
    { "400 credit too low", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "Your credit balance is too "
                     "low to access the Anthropic API. Please go to Plans"),
      "account billing 3600 r" },
    { "400 capped, with a date", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "You have reached your "
                     "specified API usage limits. You will regain access on "
                     "2026-12-01 at 00:00 UTC."),
      "account capped @820800 r" },
    { "400 workspace capped, without a date", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "You have reached your "
                     "specified workspace API usage limits."),
      "account capped 3600 r" },
    { "400 key type disabled", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "Your organization has disabled"
                     " API key authentication"),
      "account disabled 86400 r" },
    { "400 policy: only for Claude Code", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "This credential is only "
                     "authorized for use with Claude Code and cannot be used "
                     "for other API requests."),
      "client policy 0" },
    { "400 policy: third-party apps", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "Third-party apps now draw from "
                     "your extra usage, not your plan limits. Add more"),
      "client policy 0" },

    /* who may say so */

    { "an echoed field name blames nobody", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "organization has been "
                     "disabled: Extra inputs are not permitted"),
      "client client 0" },
    { "an echoed header value blames nobody", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "Unexpected value(s) `account "
                     "is disabled` for the `anthropic-beta` header"),
      "client client 0" },
    { "an echoed tool name blames nobody", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "Tool 'credit balance is too "
                     "low' not found in provided tools"),
      "client client 0" },
    { "a quoted text blames nobody", NULL, 400, "",
      NCR_TEST_ERROR("invalid_request_error", "bad value \\\"This organization"
                     " has been disabled\\\""),
      "client client 0" },
    { "a text outside of the message blames nobody", NULL, 400, "",
      "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"},"
      "\"prompt\":\"This organization has been disabled.\"}",
      "client client 0" },
    { "a body that is no JSON is read as it is", NULL, 400, "",
      "This Organization has been disabled.", "account disabled 86400 r" },
    { "a cut body too", NULL, 400, "",
      "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
      "\"message\":\"This organization has been disabled. Plea",
      "account disabled 86400 r" },
    { "what was cut before the message is read as it is", NULL, 400, "",
      "{\"type\":\"error\",\"error\":{\"type\":\"organization has been "
      "disabled", "account disabled 86400 r" },
    { "other shapes: error is a string", NULL, 400, "",
      "{\"error\":\"Your credit balance is too low\"}",
      "account billing 3600 r" },
    { "other shapes: message at the top", NULL, 400, "",
      "{\"message\":\"Your credit balance is too low\"}",
      "account billing 3600 r" },
    { "not with another status", NULL, 404, "",
      "{\"message\":\"Your credit balance is too low\"}",
      "client client 0" },

    /* D.3, last paragraph */

    { "console: account disabled", "console", 400, "",
      NCR_TEST_ERROR("x", "The account has been disabled"),
      "account disabled 86400 r" },
    { "console: account is disabled", "console", 400, "",
      NCR_TEST_ERROR("x", "account is disabled"),
      "account disabled 86400 r" },
    { "console: no account supporting", "console", 400, "",
      NCR_TEST_ERROR("x", "No account supporting model m"),
      "account forbidden 1800 r" },
    { "console: account not found", "console", 400, "",
      "{\"error\":\"Account not found\"}", "account forbidden 1800 r" },
    { "console: invalid account", "console", 400, "", "Invalid account",
      "account forbidden 1800 r" },
    { "console: too many active sessions", "console", 400, "",
      NCR_TEST_ERROR("x", "Too many active sessions"),
      "account forbidden 1800 r" },
    { "console: not with 404", "console", 404, "",
      NCR_TEST_ERROR("x", "account not found"), "client client 0" },
    { "anthropic: such texts are the client's", "anthropic", 400, "",
      NCR_TEST_ERROR("x", "account not found"), "client client 0" },

    /* 401 */

    { "401 key dead", "anthropic", 401, "",
      NCR_TEST_ERROR("authentication_error", "invalid x-api-key"),
      "account auth 1800 r" },
    { "401 console", "console", 401, "", "no", "account auth 1800 r" },
    { "401 token: invalid bearer", "claude-oauth", 401, "",
      NCR_TEST_ERROR("authentication_error", "Invalid bearer token"),
      "account auth 1800 rt" },
    { "401 token: expired", "claude-oauth", 401, "",
      NCR_TEST_ERROR("authentication_error", "OAuth token has expired."),
      "account auth 1800 rt" },
    { "401 token: revoked", "claude-oauth", 401, "",
      NCR_TEST_ERROR("authentication_error", "OAuth token has been revoked."),
      "account auth 1800 rt" },
    { "401 token: credentials", "claude-oauth", 401, "",
      NCR_TEST_ERROR("authentication_error",
                     "Invalid authentication credentials"),
      "account auth 1800 rt" },
    { "401 token: the beta is missing", "claude-oauth", 401, "",
      NCR_TEST_ERROR("authentication_error",
                     "OAuth authentication is currently not supported."),
      "client auth 0" },
    { "401 key: a token where a key belongs", "anthropic", 401, "",
      NCR_TEST_ERROR("authentication_error",
                     "OAuth authentication is currently not supported."),
      "account auth 1800 r" },
    { "401 organisation, the text of 2025", "claude-oauth", 401,
      "x-should-retry: false\n",
      NCR_TEST_ERROR("authentication_error", "OAuth authentication is "
                     "currently not allowed for this organization."),
      "account disabled 86400 r" },
    { "401 CORS", NULL, 401, "",
      NCR_TEST_ERROR("authentication_error", "CORS requests are not allowed "
                     "for this Organization"), "client auth 0" },

    /* 402, 403, 3xx */

    { "402", NULL, 402, "", NCR_TEST_ERROR("billing_error", "pay"),
      "account billing 3600 r" },
    { "403 permission", NULL, 403, "",
      NCR_TEST_ERROR("permission_error", "no"), "account forbidden 1800 r" },
    { "403 organisation", NULL, 403, "",
      NCR_TEST_ERROR("permission_error", "OAuth authentication is currently "
                     "not allowed for this organization."),
      "account disabled 86400 r" },
    { "403 by its code", NULL, 403, "",
      "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\","
      "\"message\":\"no\",\"details\":{\"error_code\":"
      "\"oauth_org_not_allowed\"}}}", "account disabled 86400 r" },
    { "403 scope of the profile", NULL, 403, "",
      NCR_TEST_ERROR("permission_error", "OAuth token does not meet scope "
                     "requirement: user:profile"), "account forbidden 0 r" },
    { "403 key type disabled", NULL, 403, "",
      NCR_TEST_ERROR("permission_error", "Your organization has disabled API "
                     "key authentication"), "account disabled 86400 r" },
    { "403 HTML", NULL, 403, "content-type: text/html\n",
      " <html><h1>Forbidden</h1>", "platform edge 60 r" },
    { "403 nothing", NULL, 403, "", "", "platform edge 60 r" },
    { "403 an empty JSON", NULL, 403, "content-type: application/json\n", "",
      "account forbidden 1800 r" },
    { "302 HTML", NULL, 302, "content-type: text/html\n", "<html>",
      "platform edge 60 r" },

    /* 429, C.3 */

    { "429 case 1: extra usage", NULL, 429, "retry-after: 5\n",
      NCR_TEST_ERROR("rate_limit_error",
                     "Extra usage is required for long context requests."),
      "client entitlement 0" },
    { "429 case 1: usage credits", NULL, 429, U "5h-status: allowed\n",
      NCR_TEST_ERROR("rate_limit_error",
                     "Usage credits are required for long context requests."),
      "client entitlement 0" },
    { "429 case 1: out of extra usage, and rejected", NULL, 429,
      U "status: rejected\n" U "reset: 1795266000\n",
      NCR_TEST_ERROR("rate_limit_error", "You're out of extra usage. Add"),
      "account limited @3600 r" },
    { "429 case 2: fast mode", NULL, 429, "",
      NCR_TEST_ERROR("rate_limit_error",
                     "Usage credits are required for fast mode"),
      "client entitlement 0" },
    { "429 case 2: fast rejected", NULL, 429, "",
      NCR_TEST_ERROR("rate_limit_error", "Fast request rejected: x"),
      "client entitlement 0" },
    { "429 case 3: spend limit", NULL, 429, "",
      "{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"You have "
      "reached your API usage limits: 2026-11-22 at 00:00 UTC\",\"details\":"
      "{\"error_code\":\"enforced_spend_limit_reached\"}}}",
      "account capped @43200 r" },
    { "429 case 3: without a date", NULL, 429, "",
      "{\"error\":{\"message\":\"no\",\"details\":{\"error_code\":"
      "\"enforced_spend_limit_reached\"}}}", "account capped 3600 r" },
    { "429 case 4: 5h", NULL, 429,
      U "status: rejected\n" U "reset: 1795263000\n"
      U "5h-status: rejected\n" U "5h-reset: 1795264400\n"
      U "7d-status: allowed\n" U "7d-reset: 1795999999\n",
      NCR_TEST_ERROR("rate_limit_error", "This request would exceed your "
                     "account's rate limit. Please try again later."),
      "account limited @2000 r" },
    { "429 case 4: 7d, longer than 5h", NULL, 429,
      U "5h-status: rejected\n" U "5h-reset: 1795264400\n"
      U "7d-status: rejected\n" U "7d-reset: 1795272400\n",
      "", "account limited @10000 r" },
    { "429 case 4: retry-after is longer", NULL, 429,
      U "5h-status: rejected\n" U "5h-reset: 1795262500\n"
      "retry-after: 500\n", "", "account limited @500 r" },
    { "429 case 4: by the status", NULL, 429, U "status: rejected\n",
      "", "account limited 3600 r" },
    { "429 case 4: a reset alone", NULL, 429, U "reset: 1795262460\n"
      U "overage-reset: 1795999999\n", "", "account limited @60 r" },
    { "429 case 4 with a family's window", NULL, 429,
      U "5h-status: rejected\n" U "5h-reset: 1795262500\n"
      U "7d_opus-status: rejected\n" U "7d_opus-reset: 1795772400\n",
      "", "account limited @100 r" },
    { "429 case 5: 7d_opus", NULL, 429,
      U "status: rejected\n" U "5h-status: allowed\n" U "7d-status: allowed\n"
      U "5h-reset: 1795262500\n"
      U "7d_opus-status: rejected\n" U "7d_opus-reset: 1795272400\n",
      "", "model model-limited @10000 fr" },
    { "429 case 5: 7d_oi", NULL, 429,
      U "5h-status: allowed\n" U "7d-status: allowed_warning\n"
      U "7d_oi-status: rejected\n" U "7d_oi-reset: 1795262430\n"
      U "overage-status: rejected\n" U "overage-reset: 1795999999\n",
      "", "model model-limited @30 fr" },
    { "429 case 6: by the claim", NULL, 429,
      U "status: rejected\n" U "reset: 1795262430\n"
      U "5h-status: allowed\n" U "7d-status: allowed\n"
      U "representative-claim: seven_day_sonnet\n",
      "", "model model-limited @30 fr" },
    { "429 the claim of the whole week is the account's", NULL, 429,
      U "status: rejected\n" U "reset: 1795262430\n"
      U "representative-claim: seven_day\n",
      "", "account limited @30 r" },
    { "429 overage rejected is no limit", NULL, 429,
      U "status: allowed\n" U "5h-status: allowed\n"
      U "overage-status: rejected\n", "", "account throttled 3 rs" },
    { "429 case 7", NULL, 429, "retry-after: 17\n",
      NCR_TEST_ERROR("rate_limit_error", "slow down"),
      "account throttled 17 rs" },
    { "429 case 7: milliseconds", NULL, 429,
      "retry-after-ms: 1000\nretry-after: 2\n", "",
      "account throttled 1 rs" },
    { "429 case 7: do not retry", NULL, 429,
      "retry-after: 17\nx-should-retry: false\n", "",
      "account throttled 17 r" },
    { "429 longer than a throttle", NULL, 429, "retry-after: 600\n", "",
      "account limited 600 r" },
    { "429 days without a window", NULL, 429, "retry-after: 600000\n", "",
      "account limited 86400 r" },
    { "429 case 8", NULL, 429, "", "", "account throttled 3 rs" },
    { "429 an empty bucket of a key", NULL, 429,
      "anthropic-ratelimit-requests-remaining: 0\n"
      "anthropic-ratelimit-requests-reset: 2026-11-21T12:00:20Z\n"
      "anthropic-ratelimit-tokens-remaining: 5\n"
      "anthropic-ratelimit-tokens-reset: 2026-11-21T12:00:50Z\n", "",
      "account throttled @20 rs" },
    { "429 case 9: background", NULL, 429,
      "x-test: background\n" U "5h-status: rejected\n", "",
      "account limited 0 r" },
    { "429 case 9: background throttle", NULL, 429,
      "x-test: background\n", "", "account throttled 0 rs" },

    /* servers */

    { "529", NULL, 529, "", NCR_TEST_ERROR("overloaded_error", "Overloaded"),
      "platform overloaded +10-60 rs" },
    { "529 HTML", NULL, 529, "", "<html>", "platform overloaded +10-60 rs" },
    { "503 overloaded", NULL, 503, "",
      NCR_TEST_ERROR("overloaded_error", "Overloaded"),
      "platform overloaded +10-60 rs" },
    { "500", NULL, 500, "", NCR_TEST_ERROR("api_error", "no"),
      "platform server +1-60 rs" },
    { "502 HTML", NULL, 502, "", "<html>", "platform server +1-60 rs" },
    { "504", NULL, 504, "", "", "platform server +1-60 rs" },
    { "520", NULL, 520, "", "", "platform server +1-60 rs" },

    /* events */

    { "stream: overloaded", NULL, -NCR_REPLY_STREAM_ERROR, "",
      NCR_TEST_ERROR("overloaded_error", "Overloaded"),
      "platform overloaded +10-60 rs" },
    { "stream: api", NULL, -NCR_REPLY_STREAM_ERROR, "",
      NCR_TEST_ERROR("api_error", "x"), "platform server +1-60 rs" },
    { "stream: rate limit", NULL, -NCR_REPLY_STREAM_ERROR,
      U "5h-status: rejected\n" U "5h-reset: 1795264400\n",
      NCR_TEST_ERROR("rate_limit_error", "x"), "account limited @2000 r" },
    { "stream: request", NULL, -NCR_REPLY_STREAM_ERROR, "",
      NCR_TEST_ERROR("invalid_request_error", "x"), "client client 0" },
    { "stream: unknown", NULL, -NCR_REPLY_STREAM_ERROR, "",
      NCR_TEST_ERROR("new_error", "x"), "platform server +1-60 rs" },

    /* networks */

    { "connect", NULL, -NCR_REPLY_CONNECT, "", "",
      "network network +1-60 rs" },
    { "TLS", NULL, -NCR_REPLY_TLS, "", "", "network tls +1-60 rs" },
    { "reset", NULL, -NCR_REPLY_RESET, "", "", "network network +1-60 rs" },
    { "timeout", NULL, -NCR_REPLY_TIMEOUT, "", "",
      "network timeout +1-60 rs" },
    { "garbage", NULL, -NCR_REPLY_GARBAGE, "", "",
      "network protocol +1-60 rs" }
};


static void
ncr_test_headers(ncr_limits_t *limits, ncr_reply_t *reply, const char *p)
{
    ncr_str_t  name, value;

    ncr_limits_reset(limits);

    while ((p = ncr_test_line(p, &name, &value)) != NULL) {

        if (ncr_str_eq(&name, "content-type")) {
            reply->content_type = value;

        } else if (ncr_str_eq(&name, "x-test")) {
            reply->background = 1;

        } else {
            ncr_limits_header(limits, &name, &value, NCR_TEST_NOW);
        }
    }
}


static void
ncr_test_told(ncr_verdict_t *v, char *buf, size_t size)
{
    int   n;
    char  rest[64];

    static const char  *faults[] = {
        "none", "client", "account", "model", "platform", "network"
    };

    switch (v->rest) {

    case NCR_REST_NONE:
        strcpy(rest, "0");
        break;

    case NCR_REST_UNTIL:
        snprintf(rest, sizeof(rest), "@%d",
                 (int) ((v->until - NCR_TEST_NOW) / 1000));
        break;

    case NCR_REST_FOR:
        snprintf(rest, sizeof(rest), "%d", (int) (v->base / 1000));
        break;

    case NCR_REST_BACKOFF:
        snprintf(rest, sizeof(rest), "+%d-%d", (int) (v->base / 1000),
                 (int) (v->max / 1000));
        break;

    case NCR_REST_LOGIN:
        strcpy(rest, "login");
        break;
    }

    n = snprintf(buf, size, "%s %s %s %s%s%s%s", faults[v->fault],
                 ncr_class_name(v->class), rest, v->family ? "f" : "",
                 v->retry ? "r" : "", v->same ? "s" : "",
                 v->refresh ? "t" : "");

    if (n > 0 && buf[n - 1] == ' ') {
        buf[n - 1] = '\0';
    }
}


static void
ncr_test_verdict(ncr_test_row_t *row, ncr_platform_t *platform)
{
    char           told[128], name[128];
    ncr_reply_t    reply;
    ncr_limits_t   limits;
    ncr_verdict_t  v;

    memset(&reply, 0, sizeof(reply));
    ncr_test_headers(&limits, &reply, row->headers);

    reply.limits = &limits;
    reply.family = ncr_test_s("opus");

    ncr_test_judge(platform->classify, &reply, row->status, row->body, &v);

    ncr_test_told(&v, told, sizeof(told));

    /* what a token's platform adds */

    snprintf(name, sizeof(name), "%s: %s", (char *) platform->name.data,
             row->name);

    ncr_test(strcmp(told, row->verdict) == 0, name);

    if (strcmp(told, row->verdict) != 0) {
        printf("# \"%s\", not \"%s\"\n", told, row->verdict);
    }
}


/* a row without a platform is for all that speak with Anthropic's words */

static void
ncr_test_verdicts(void)
{
    size_t           i;
    ncr_platform_t  **p;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        for (p = ncr_platforms; *p; p++) {

            if (ncr_test_rows[i].platform
                ? strcmp((char *) (*p)->name.data, ncr_test_rows[i].platform)
                  == 0
                : strcmp((*p)->provider, "anthropic") == 0)
            {
                ncr_test_verdict(&ncr_test_rows[i], *p);
            }
        }
    }
}


static void
ncr_test_never(void)
{
    ncr_reply_t    reply;
    ncr_rests_t    rests;
    ncr_limits_t   limits;
    ncr_uint_t     i, all;
    ncr_verdict_t  v;

    static const ncr_uint_t  statuses[] = { 401, 402, 403, 429, 500, 529 };

    memset(&rests, 0, sizeof(rests));
    memset(&reply, 0, sizeof(reply));

    ncr_limits_reset(&limits);
    reply.limits = &limits;
    reply.family = ncr_test_s("");
    all = 1;

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        reply.status = statuses[i];
        ncr_verdict_default(&reply, &rests, &v);
        all &= (v.rest == NCR_REST_NONE && v.retry);
    }

    ncr_test(all, "rests of 0 are none");

    ncr_rests_default(&rests);
    reply.status = 429;
    strcpy(limits.claim, "seven_day_opus");
    limits.unified = 1;
    limits.status = NCR_WINDOW_REJECTED;

    ncr_verdict_default(&reply, &rests, &v);

    ncr_test(v.class == NCR_CLASS_MODEL_LIMITED && v.rest == NCR_REST_NONE
             && v.retry, "no family, no rest for it");
    ncr_test(strcmp(ncr_class_name(NCR_CLASSES), "unknown") == 0
             && strcmp(ncr_class_name(NCR_CLASS_ABORTED), "aborted") == 0,
             "classes have names");
}


static void
ncr_test_platforms(void)
{
    ncr_str_t        s;
    ncr_platform_t  *p;

    s = ncr_test_s("claude-oauth");
    p = ncr_platform_find(&s);

    ncr_test(p == &ncr_platform_oauth && p->token && p->profile
             && ncr_str_eq(p->beta, "oauth-2025-04-20"), "claude-oauth");
    ncr_test((p->ops & 1 << NCR_OP_MESSAGES)
             && (p->ops & 1 << NCR_OP_COUNT_TOKENS)
             && !(p->ops & 1 << NCR_OP_BATCHES)
             && !(p->ops & 1 << NCR_OP_FILES),
             "claude-oauth has no batches and no files");

    s = ncr_test_s("sk-ant-api03-x");
    ncr_test(p->credential(&s) == NCR_CREDENTIAL_BEARER,
             "claude-oauth shows a bearer");

    ncr_test(p->oauth != NULL
             && ncr_str_eq(&p->oauth->token_url,
                           "https://platform.claude.com/v1/oauth/token")
             && ncr_str_eq(&p->oauth->redirect_uri, "https://platform.claude"
                           ".com/oauth/code/callback")
             && ncr_str_contains(&p->oauth->scope, "user:profile")
             && ncr_str_eq(&p->oauth->setup_scope, "user:inference")
             && ncr_str_eq(&p->oauth->usage_path, "/api/oauth/usage"),
             "claude-oauth has logins");

    s = ncr_test_s("console");
    p = ncr_platform_find(&s);

    ncr_test(p == &ncr_platform_console && p->base_url.len == 0 && !p->token
             && !p->profile,
             "console has no base URL of its own");

    s = ncr_test_s("anthropic");
    p = ncr_platform_find(&s);

    ncr_test(p == &ncr_platform_anthropic && p->beta == NULL
             && !p->profile && p->oauth == NULL, "anthropic");

    s = ncr_test_s("sk-ant-api03-x");
    ncr_test(p->credential(&s) == NCR_CREDENTIAL_X_API_KEY,
             "a key is shown as x-api-key");

    s = ncr_test_s("sk-ant-oat01-x");
    ncr_test(p->credential(&s) == NCR_CREDENTIAL_BEARER,
             "a token is not");

    s = ncr_test_s("cr_x");
    ncr_test(p->credential(&s) == NCR_CREDENTIAL_BEARER,
             "nor is another relay's key");

    s = ncr_test_s("claude");
    ncr_test(ncr_platform_find(&s) == NULL, "no such platform");
}


static void
ncr_test_limits(void)
{
    ncr_reply_t   reply;
    ncr_limits_t  l;

    ncr_test_headers(&l, &reply,
        U "status: allowed_warning\n" U "reset: 1795262400\n"
        U "representative-claim: five_hour\n" U "fallback: available\n"
        U "fallback-percentage: 0.5\n" U "5h-status: allowed\n"
        U "5h-reset: 1795262400\n" U "5h-utilization: 0.11\n"
        U "7d_oi-utilization: 1.02\n" U "7d_oi-status: rejected\n"
        U "5h-surpassed-threshold: 0.75\n" U "upgrade-paths: overage\n"
        U "overage-disabled-reason: org_level_disabled\n"
        U "overage-status: disabled\n" U "grace-5h-utilization: 0.2\n"
        U "slow-status: x\n" U "-status: x\n"
        U "a-window-of-a-name-too-long-status: rejected\n"
        "x-should-retry: true\nretry-after: 2.5\n");

    ncr_test(l.unified && l.status == NCR_WINDOW_WARNING
             && l.reset == NCR_TEST_NOW
             && strcmp(l.claim, "five_hour") == 0, "unified headers");
    ncr_test(l.nwindows == 3 && strcmp(l.windows[0].name, "5h") == 0
             && l.windows[0].status == NCR_WINDOW_ALLOWED
             && l.windows[0].reset == NCR_TEST_NOW
             && l.windows[0].utilization == 1100, "a window");
    ncr_test(strcmp(l.windows[1].name, "7d_oi") == 0
             && l.windows[1].utilization == 10200
             && l.windows[1].reset == 0
             && l.windows[1].status == NCR_WINDOW_REJECTED,
             "another, which is over its limit");
    ncr_test(strcmp(l.windows[2].name, "overage") == 0
             && l.windows[2].status == NCR_WINDOW_UNKNOWN
             && l.windows[2].utilization == -1, "a status of no meaning");
    ncr_test(l.should_retry == 1 && l.retry_after == 2500
             && l.retry_at == NCR_TEST_NOW + 2500, "retry-after: 2.5");

    ncr_test_headers(&l, &reply, "retry-after: Sat, 21 Nov 2026 12:00:30 GMT\n"
                     "x-should-retry: maybe\n");

    ncr_test(l.retry_after == 30000 && l.should_retry == -1 && !l.unified,
             "retry-after: a date");

    ncr_test_headers(&l, &reply, "retry-after: Sat, 21 Nov 2026 11:00:30 GMT\n"
                     );

    ncr_test(l.retry_after == 0, "retry-after: a date that is past");

    ncr_test_headers(&l, &reply, "retry-after: soon\n" U "5h-reset: soon\n"
                     U "5h-utilization: much\n" U "status:\n"
                     "anthropic-ratelimit-: \n"
                     "anthropic-ratelimit-tokens-reset: x\n");

    ncr_test(l.retry_after == -1 && l.nwindows == 0
             && l.status == NCR_WINDOW_UNKNOWN, "nonsense is passed over");

    ncr_test_headers(&l, &reply, "retry-after: 99999999999999999\n");

    ncr_test(l.retry_after == NCR_LIMITS_LONGEST, "retry-after has an end");

    ncr_test_headers(&l, &reply, "retry-after: 9\nretry-after-ms: 700\n");

    ncr_test(l.retry_after == 700, "retry-after-ms is better");

    ncr_test_headers(&l, &reply, U "a-status: rejected\n"
        U "b-status: rejected\n" U "c-status: rejected\n"
        U "d-status: rejected\n" U "e-status: rejected\n"
        U "f-status: rejected\n" U "g-status: rejected\n"
        U "h-status: rejected\n" U "i-status: rejected\n"
        U "j-status: rejected\n" U "a-utilization: 1\n");

    ncr_test(l.nwindows == NCR_WINDOWS && l.windows[0].utilization == 10000,
             "windows have an end");
}


static void
ncr_test_families(void)
{
    size_t     i;
    ncr_str_t  s, f;

    static const char  *rows[][2] = {
        { "claude-opus-4-8", "opus" },
        { "claude-3-5-sonnet-20241022", "sonnet" },
        { "Claude-Haiku-4-5", "haiku" },
        { "claude-fable-5", "fable" },
        { "anthropic.claude-mythos-5-v1:0", "mythos" },
        { "gemini-2.5-pro", "2.5-pro" },
        { "gemini-3.1-flash-lite-preview", "3.1-flash-lite-" },
        { "gemma-3-27b-it", "3-27b-it" },
        { "gemini", "" },
        { "gpt-5", "" },
        { "", "" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        s = ncr_test_s(rows[i][0]);
        f = ncr_model_family(&s);
        ncr_test(ncr_test_str(f, rows[i][1]), rows[i][0]);
    }
}


static void
ncr_test_betas(void)
{
    size_t       i;
    ncr_str_t    value, beta, merged;
    ncr_char_t  *buf;

    static const char  *rows[][2] = {
        { "", "oauth-2025-04-20" },
        { " , ", "oauth-2025-04-20" },
        { "a", "oauth-2025-04-20,a" },
        { "oauth-2025-04-20", "oauth-2025-04-20" },
        { "a, oauth-2025-04-20 ,a", "a, oauth-2025-04-20 ,a" },
        { "claude-code-20250219", "claude-code-20250219,oauth-2025-04-20" },
        { "claude-code-20250219,a,b",
          "claude-code-20250219,oauth-2025-04-20,a,b" },
        { "a, claude-code-20250219 , b",
          "a, claude-code-20250219,oauth-2025-04-20 , b" },
        { "x-oauth-2025-04-20,claude-code-20250219-x",
          "oauth-2025-04-20,x-oauth-2025-04-20,claude-code-20250219-x" },
        { "claude-code-20250219,oauth-2025-04-20,b,b",
          "claude-code-20250219,oauth-2025-04-20,b,b" },
        { "claude-code-20250219,claude-code-20250219",
          "claude-code-20250219,oauth-2025-04-20,claude-code-20250219" }
    };

    beta = ncr_test_s("oauth-2025-04-20");

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        value = ncr_test_s(rows[i][0]);

        buf = malloc(value.len + beta.len + 2);
        merged = ncr_beta_merge(&value, &beta, buf);

        ncr_test(ncr_test_str(merged, rows[i][1]), rows[i][0]);

        free(buf);
    }

    ncr_str_null(&value);
    buf = malloc(beta.len + 2);
    merged = ncr_beta_merge(&value, &beta, buf);

    ncr_test(ncr_test_str(merged, "oauth-2025-04-20"), "no header at all");

    free(buf);
}


static void
ncr_test_unions(void)
{
    size_t       i;
    ncr_str_t    value, list, merged;
    ncr_char_t  *buf;

    static const char  *rows[][3] = {
        { "", "", "" },
        { "", "a,b", "a,b" },
        { "a,b", "", "a,b" },
        { "c, a", "a,b", "c, a,b" },
        { "b,a,b", "a,b", "b,a,b" },
        { "z,y", "a, b ,a", "z,y,a,b" },
        { " , ", "a,,b", "a,b" },
        { "ab", "a,b", "ab,a,b" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        value = ncr_test_s(rows[i][0]);
        list = ncr_test_s(rows[i][1]);

        buf = malloc(value.len + list.len + 2);
        merged = ncr_beta_union(&value, &list, buf);

        ncr_test(ncr_test_str(merged, rows[i][2]), rows[i][2]);

        free(buf);
    }
}


typedef struct {
    const char  *text;
    const char  *host;                  /* NULL: refused */
    ncr_uint_t   port;
    const char  *path;
    unsigned     tls;
    unsigned     default_port;
} ncr_test_url_t;


static ncr_test_url_t  ncr_test_url_rows[] = {
    { "https://a.example/", "a.example", 443, "", 1, 1 },
    { "https://a.example", "a.example", 443, "", 1, 1 },
    { "https://a.example/anthropic", "a.example", 443, "/anthropic", 1, 1 },
    { "https://a.example/v1/", "a.example", 443, "", 1, 1 },
    { "https://a.example/v1", "a.example", 443, "", 1, 1 },
    { "https://a.example/api/v1/messages/", "a.example", 443, "/api", 1, 1 },
    { "https://a.example/v1/messages", "a.example", 443, "", 1, 1 },
    { "https://a.example/p/v1/messages/count_tokens", "a.example", 443, "/p",
      1, 1 },
    { "https://a.example/v12", "a.example", 443, "/v12", 1, 1 },
    { "https://a.example/xv1", "a.example", 443, "/xv1", 1, 1 },
    { "https://a.example/v1/v1", "a.example", 443, "/v1", 1, 1 },
    { "https://a.example//p//", "a.example", 443, "//p", 1, 1 },
    { "HTTP://A.example:8080/x", "A.example", 8080, "/x", 0, 0 },
    { "http://127.0.0.1", "127.0.0.1", 80, "", 0, 1 },
    { "http://127.0.0.1:443", "127.0.0.1", 443, "", 0, 0 },
    { "https://h:443/", "h", 443, "", 1, 1 },
    { "https://h:65535", "h", 65535, "", 1, 0 },
    { "https://[::1]:8443/p", "[::1]", 8443, "/p", 1, 0 },
    { "https://[2001:db8::1.2.3.4]", "[2001:db8::1.2.3.4]", 443, "", 1, 1 },
    { "https://a_b-c.example/p@q", "a_b-c.example", 443, "/p@q", 1, 1 },

    { "https://a.example/p/{model}:{action}", "a.example", 443,
      "/p/{model}:{action}", 1, 1 },
    { "https://a.example/{model}/v1/{action}/x", "a.example", 443,
      "/{model}/v1/{action}/x", 1, 1 },

    { "https://a.example/{model}", NULL, 0, NULL, 0, 0 },
    { "https://a.example/{action}/{model}", NULL, 0, NULL, 0, 0 },
    { "https://a.example/{model}{action}{model}", NULL, 0, NULL, 0, 0 },
    { "https://a.example/{x}{action}", NULL, 0, NULL, 0, 0 },
    { "https://a.example/{model}{action}}", NULL, 0, NULL, 0, 0 },
    { "https://{model}{action}/", NULL, 0, NULL, 0, 0 },
    { "https://a.example:{model}{action}", NULL, 0, NULL, 0, 0 },
    { "", NULL, 0, NULL, 0, 0 },
    { "a.example", NULL, 0, NULL, 0, 0 },
    { "https:", NULL, 0, NULL, 0, 0 },
    { "https:/", NULL, 0, NULL, 0, 0 },
    { "https://", NULL, 0, NULL, 0, 0 },
    { "https:///p", NULL, 0, NULL, 0, 0 },
    { "https:a.example", NULL, 0, NULL, 0, 0 },
    { "ftp://a.example", NULL, 0, NULL, 0, 0 },
    { "httpss://a.example", NULL, 0, NULL, 0, 0 },
    { "https://u@a.example", NULL, 0, NULL, 0, 0 },
    { "https://u:p@a.example/", NULL, 0, NULL, 0, 0 },
    { "https://a.example/?x", NULL, 0, NULL, 0, 0 },
    { "https://a.example?x", NULL, 0, NULL, 0, 0 },
    { "https://a.example/#x", NULL, 0, NULL, 0, 0 },
    { "https://a.example:", NULL, 0, NULL, 0, 0 },
    { "https://a.example:0", NULL, 0, NULL, 0, 0 },
    { "https://a.example:65536", NULL, 0, NULL, 0, 0 },
    { "https://a.example:000443", NULL, 0, NULL, 0, 0 },
    { "https://a.example:4x3", NULL, 0, NULL, 0, 0 },
    { "https://a.example:1:2", NULL, 0, NULL, 0, 0 },
    { "https://:443", NULL, 0, NULL, 0, 0 },
    { "https://.example", NULL, 0, NULL, 0, 0 },
    { "https://a b", NULL, 0, NULL, 0, 0 },
    { "https://a.example/ ", NULL, 0, NULL, 0, 0 },
    { " https://a.example/", NULL, 0, NULL, 0, 0 },
    { "https://a.example/\r\nx: y", NULL, 0, NULL, 0, 0 },
    { "https://a.example/\x7f", NULL, 0, NULL, 0, 0 },
    { "https://a.example/\xc3\xa9", NULL, 0, NULL, 0, 0 },
    { "https://a\\b", NULL, 0, NULL, 0, 0 },
    { "https://a%2eb", NULL, 0, NULL, 0, 0 },
    { "https://[::1", NULL, 0, NULL, 0, 0 },
    { "https://[]", NULL, 0, NULL, 0, 0 },
    { "https://[:]", NULL, 0, NULL, 0, 0 },
    { "https://[::1]x", NULL, 0, NULL, 0, 0 },
    { "https://[::g]", NULL, 0, NULL, 0, 0 },
    { "https://[fe80::1%25eth0]", NULL, 0, NULL, 0, 0 },
    { "https://[", NULL, 0, NULL, 0, 0 }
};


static void
ncr_test_urls(void)
{
    char             name[128];
    size_t           i;
    ncr_str_t        s;
    ncr_url_t        url;
    const char      *err;
    ncr_test_url_t  *row;

    for (i = 0;
         i < sizeof(ncr_test_url_rows) / sizeof(ncr_test_url_rows[0]);
         i++)
    {
        row = &ncr_test_url_rows[i];

        s.len = strlen(row->text);
        s.data = malloc(s.len + !s.len);
        memcpy(s.data, row->text, s.len);

        err = ncr_url_parse(&s, &url);

        if (row->host == NULL) {
            snprintf(name, sizeof(name), "URL %d is refused: %s", (int) i,
                     err ? err : "not at all");
            ncr_test(err != NULL, name);

        } else {
            ncr_test(err == NULL && ncr_test_str(url.host, row->host)
                     && ncr_test_str(url.path, row->path)
                     && url.port == row->port && url.tls == row->tls
                     && url.default_port == row->default_port, row->text);
        }

        free(s.data);
    }
}


int
main(void)
{
    ncr_test_verdicts();
    ncr_test_never();
    ncr_test_platforms();
    ncr_test_limits();
    ncr_test_families();
    ncr_test_betas();
    ncr_test_unions();
    ncr_test_urls();

    return ncr_test_done();
}
