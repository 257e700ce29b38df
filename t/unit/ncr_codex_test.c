
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_codex_input.c"
#include "../../src/platform/ncr_codex_limits.c"
#include "../../src/platform/ncr_codex_usage.c"
#include "../../src/platform/ncr_codex_verdict.c"
#include "../../src/platform/ncr_codex_way.c"
#include "ncr_way_test.h"


#define NCR_TEST_NOW   ((ncr_msec_t) 1795262400 * 1000)     /* 12:00 UTC */


static void
ncr_test_headers(ncr_limits_t *limits, const char *p)
{
    ncr_str_t  name, value;

    ncr_limits_reset(limits);

    while ((p = ncr_test_line(p, &name, &value)) != NULL) {

        /* a blank */

        value.data++;
        value.len--;

        ncr_codex_limits(limits, &name, &value, NCR_TEST_NOW);
    }
}


/* "5h=1250@7200 7d=5000": utilization, seconds from now, "!": rejected */

static void
ncr_test_told(ncr_limits_t *limits, char *buf, size_t size)
{
    int           n;
    ncr_uint_t    i;
    ncr_window_t *w;

    n = 0;
    buf[0] = '\0';

    for (i = 0; i < limits->nwindows; i++) {
        w = &limits->windows[i];

        n += snprintf(buf + n, size - (size_t) n, "%s%s=%d", i ? " " : "",
                      w->name, (int) w->utilization);

        if (w->reset) {
            n += snprintf(buf + n, size - (size_t) n, "@%d",
                          (int) ((w->reset - NCR_TEST_NOW) / 1000));
        }

        if (w->status == NCR_WINDOW_REJECTED) {
            n += snprintf(buf + n, size - (size_t) n, "!");
        }
    }
}


static void
ncr_test_windows(const char *headers, const char *wanted, const char *name)
{
    char          told[512];
    ncr_limits_t  limits;

    ncr_test_headers(&limits, headers);
    ncr_test_told(&limits, told, sizeof(told));

    ncr_test(strcmp(told, wanted) == 0, name);

    if (strcmp(told, wanted) != 0) {
        printf("# \"%s\", not \"%s\"\n", told, wanted);
    }
}


static void
ncr_test_limits(void)
{
    ncr_limits_t  limits;

    ncr_test_windows("x-codex-primary-used-percent: 12.5\n"
                     "x-codex-primary-window-minutes: 300\n"
                     "x-codex-primary-reset-at: 1795264400\n"
                     "x-codex-secondary-used-percent: 50\n"
                     "x-codex-secondary-window-minutes: 10080\n"
                     "x-codex-secondary-reset-at: 1795263400\n",
                     "5h=1250@2000 7d=5000@1000", "F101: windows");

    ncr_test_windows("x-codex-primary-used-percent: 12.5\n"
                     "x-codex-secondary-used-percent: 100.0\n"
                     "x-codex-secondary-reset-at: 1795263400\n"
                     "x-codex-secondary-window-minutes: 299\n"
                     "x-codex-primary-window-minutes: 10079\n"
                     "x-codex-primary-reset-after-seconds: 2000\n",
                     "7d=1250@2000 5h=10000@1000!",
                     "I41: by their minutes, in any order");

    ncr_test_windows("x-codex-primary-used-percent: 3\n"
                     "x-codex-secondary-used-percent: 4\n",
                     "5h=300 7d=400", "without minutes");

    ncr_test_windows("x-codex-primary-window-minutes: 43200\n"
                     "x-codex-primary-used-percent: 3\n"
                     "x-codex-secondary-window-minutes: 60\n"
                     "x-codex-secondary-used-percent: 4\n",
                     "30d=300 1h=400", "other lengths");

    ncr_test_windows("x-codex-bengalfox-primary-used-percent: 7\n"
                     "x-codex-primary-used-percent: 8\n"
                     "x-codex-bengalfox-primary-window-minutes: 10080\n"
                     "x-codex-a-very-long-family-secondary-used-percent: 9\n",
                     "7d_bengalfox=700 5h=800 7d_a-very-long-=900",
                     "F101: families");

    ncr_test_windows("x-codex-primary-used-percent: much\n"
                     "x-codex-primary-used-percent: -3\n"
                     "x-codex-primary-window-minutes: 0\n"
                     "x-codex-primary-reset-at: 0\n"
                     "x-codex-primary-reset-after-seconds: 99999999999999\n"
                     "x-codex-primary-over-secondary-limit-percent: 3\n"
                     "x-codex-credits-balance: 3\n"
                     "x-codex-turn-state: primary-used-percent\n"
                     "x-codex-\n" ":\n", "", "nonsense");

    ncr_test_headers(&limits, "retry-after: 3\nx-should-retry: false\n");

    ncr_test(limits.retry_after == 3000 && limits.should_retry == 0,
             "what all platforms have");
}


static void
ncr_test_usage(const char *body, const char *wanted, const char *plan,
    const char *name)
{
    char           told[512], meta[NCR_OAUTH_META];
    ncr_int_t      rc;
    ncr_str_t      text;
    ncr_limits_t   limits;

    text = ncr_test_s(body);
    meta[0] = '\0';

    rc = ncr_codex_usage(&text, &limits, meta, NCR_TEST_NOW);

    ncr_test_told(&limits, told, sizeof(told));

    ncr_test(rc == (wanted ? NCR_OK : NCR_BAD)
             && strcmp(told, wanted ? wanted : "") == 0
             && strcmp(meta, plan) == 0, name);

    if (wanted && strcmp(told, wanted) != 0) {
        printf("# \"%s\", not \"%s\", %s\n", told, wanted, meta);
    }
}


/* "limited 7000 r": class, rest, flags as in ncr_platform_test.c, b: bare */

static void
ncr_test_verdict(ncr_int_t status, const char *headers, const char *body,
    const char *wanted, const char *name)
{
    int            n;
    char           told[128];
    ncr_reply_t    reply;
    ncr_limits_t   limits;
    ncr_verdict_t  v;

    memset(&reply, 0, sizeof(reply));
    ncr_test_headers(&limits, headers);
    reply.limits = &limits;

    ncr_test_judge(ncr_codex_classify, &reply, status, body, &v);

    n = snprintf(told, sizeof(told), "%s %d%s%s%s%s", ncr_class_name(v.class),
                 (v.rest == NCR_REST_UNTIL)
                 ? (int) ((v.until - NCR_TEST_NOW) / 1000)
                 : (v.rest == NCR_REST_NONE) ? 0 : (int) (v.base / 1000),
                 v.retry ? " r" : "", v.same ? "s" : "",
                 v.refresh ? "t" : "", v.bare ? "b" : "");

    ncr_test(n > 0 && strcmp(told, wanted) == 0, name);

    if (strcmp(told, wanted) != 0) {
        printf("# \"%s\", not \"%s\"\n", told, wanted);
    }
}


#define NCR_TEST_EVENT(type)                                                  \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"m\"}}"


static void
ncr_test_verdicts(void)
{
    ncr_test_verdict(200, "", "", "ok 0", "200");
    ncr_test_verdict(429, "", "{\"error\":{\"type\":\"usage_limit_reached\","
                     "\"message\":\"The usage limit has been reached\","
                     "\"plan_type\":\"plus\",\"resets_at\":1795269400,"
                     "\"resets_in_seconds\":7001}}",
                     "limited 7000 r", "A13: a limit, and its end");
    ncr_test_verdict(429, "", "{\"error\":{\"type\":\"usage_limit_reached\","
                     "\"resets_in_seconds\":60}}",
                     "limited 60 r", "A13: or how long it lasts");
    ncr_test_verdict(429, "x-codex-primary-used-percent: 100\n"
                     "x-codex-primary-reset-at: 1795264400\n",
                     "{\"error\":{\"type\":\"usage_limit_reached\"}}",
                     "limited 2000 r", "A13: or as the window says");
    ncr_test_verdict(429, "", "{\"error\":{\"type\":\"usage_limit_reached\"}}",
                     "limited 3600 r", "A13: or as configured");
    ncr_test_verdict(429, "x-codex-primary-used-percent: 100\n"
                     "x-codex-primary-reset-at: 1795264400\n", "",
                     "limited 2000 r", "a window that is full");
    ncr_test_verdict(429, "", "{\"error\":{\"type\":\"usage_not_included\"}}",
                     "disabled 86400 r", "A13: no Codex in this plan");
    ncr_test_verdict(429, "", "{\"detail\":\"Too many requests\"}",
                     "throttled 3 rs", "any other 429");
    ncr_test_verdict(401, "", "{\"detail\":\"Unauthorized\"}",
                     "auth 1800 rt", "a refreshed token may help");
    ncr_test_verdict(403, "", "<html>", "edge 60 r", "an edge");
    ncr_test_verdict(400, "", "{\"detail\":\"Unsupported parameter: x\"}",
                     "client 0", "A12: the client's");
    ncr_test_verdict(400, "", "{\"detail\":\"The 'm' model is not supported "
                     "when using Codex with a ChatGPT account.\"}",
                     "entitlement 0 r", "A12: not on this plan");
    ncr_test_verdict(400, "", "{\"detail\":\"The 'm' model requires a newer "
                     "version of Codex\"}", "client 0", "A12: too old");
    ncr_test_verdict(503, "", "{\"detail\":\"Selected model is at capacity. "
                     "Please try\"}", "overloaded 10 rs", "A12: at capacity");
    ncr_test_verdict(400, "", "{\"detail\":\"The 'selected model is at "
                     "capacity' model is unknown\"}", "client 0",
                     "what the client has named, blames nobody");
    ncr_test_verdict(400, "", "{\"detail\":\"'usage_limit_reached'\"}",
                     "client 0", "nor here");
    ncr_test_verdict(400, "", "{\"error\":{\"type\":\"invalid_request_error\","
                     "\"code\":\"invalid_encrypted_content\"}}",
                     "client 0b", "I42: once more, without");
    ncr_test_verdict(429, "", "{\"error\":{\"type\":\"usage_limit_reached\","
                     "\"resets_at\":1795269400,\"mess",
                     "limited 7000 r", "a body that is cut");

    ncr_test_verdict(0, "", NCR_TEST_EVENT("usage_limit_reached"),
                     "limited 3600 r", "I6: a limit in a 200");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("server_is_overloaded"),
                     "overloaded 10 rs", "I6: overloaded");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("rate_limit_exceeded"),
                     "throttled 3 rs", "I6: throttled");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("insufficient_quota"),
                     "billing 3600 r", "I6: no quota");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("context_length_exceeded"),
                     "client 0", "I6: the client's");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("cyber_policy"),
                     "policy 0", "I6: against the terms");
    ncr_test_verdict(0, "", NCR_TEST_EVENT("server_error"),
                     "server 1 rs", "I6: any other");
}


/* wanted NULL: unchanged */

static void
ncr_test_input(const char *input, ncr_uint_t bare, ncr_uint_t ids,
    const char *wanted, const char *name)
{
    size_t       len;
    ncr_int_t    rc;
    ncr_str_t    text;
    ncr_char_t  *in, *out;

    text.len = strlen(input);

    in = malloc(text.len);
    out = malloc(text.len);

    memcpy(in, input, text.len);
    text.data = in;
    len = 0;

    rc = ncr_codex_input(&text, bare, ids, out, &len);

    ncr_test(wanted ? (rc == NCR_OK && len == strlen(wanted)
                       && memcmp(out, wanted, len) == 0)
                    : rc == NCR_DECLINED, name);

    if (wanted && (rc != NCR_OK || len != strlen(wanted)
                   || memcmp(out, wanted, len) != 0))
    {
        printf("# %d: %.*s\n", (int) rc, (int) len, out);
    }

    free(in);
    free(out);
}


static void
ncr_test_inputs(void)
{
    ncr_test_input("[]", 1, 1, NULL, "nothing");
    ncr_test_input("[ {\"type\":\"message\",\"id\":\"msg_1\"} , 7, [1,[2]],"
                   "\"reasoning\", {\"id\":\"x\",\"type\":\"new\"},"
                   "{\"type\":\"reasoning\",\"id\":\"rs_1\","
                   "\"encrypted_content\":\"gAAAAx\"}]", 0, 1, NULL,
                   "nothing has to go");
    ncr_test_input("[{\"id\":\"a\",\"type\":\"message\"}]", 0, 1,
                   "[{\"type\":\"message\"}]", "an id in front");
    ncr_test_input("[{ \"type\" : \"message\" , \"id\" : \"a\" }, 1 ]", 0, 1,
                   "[{ \"type\" : \"message\" },1]", "at the end");
    ncr_test_input("[{\"role\":\"user\",\"id\":\"a\",\"content\":\"x\"}]", 0,
                   1, "[{\"role\":\"user\",\"content\":\"x\"}]",
                   "in the middle, of a message without a type");
    ncr_test_input("[{\"id\":\"a\"}]", 0, 1, "[{}]", "alone");
    ncr_test_input("[{\"id\":\"fc_1\",\"type\":\"function_call\"},"
                   "{\"id\":\"call_1\",\"type\":\"function_call\"},"
                   "{\"id\":\"ctc_1\",\"type\":\"custom_tool_call\"},"
                   "{\"id\":\"ctco_1\",\"type\":\"custom_tool_call_output\"}]",
                   0, 1,
                   "[{\"id\":\"fc_1\",\"type\":\"function_call\"},"
                   "{\"type\":\"function_call\"},"
                   "{\"id\":\"ctc_1\",\"type\":\"custom_tool_call\"},"
                   "{\"id\":\"ctco_1\",\"type\":\"custom_tool_call_output\"}]",
                   "by their kinds");
    ncr_test_input("[{\"id\":\"a\",\"type\":\"message\"}]", 1, 0, NULL,
                   "ids that are left alone");
    ncr_test_input("[{\"type\":\"reasoning\",\"encrypted_content\":\"sig\"},"
                   "{\"type\":\"message\"},{\"type\":\"reasoning\","
                   "\"encrypted_content\":\"gAAAAx\",\"id\":\"rs_1\"}]", 0, 1,
                   "[{\"type\":\"message\"},{\"type\":\"reasoning\","
                   "\"encrypted_content\":\"gAAAAx\",\"id\":\"rs_1\"}]",
                   "reasoning of others");
    ncr_test_input("[{\"type\":\"reasoning\"},{\"type\":\"message\"},"
                   "{\"encrypted_content\":\"gAAAAx\","
                   "\"type\":\"reasoning\"}]", 1, 0,
                   "[{\"type\":\"message\"}]", "I42: all reasoning");
    ncr_test_input("[{\"type\":\"reasoning\"}]", 1, 0, "[]", "and no other");
    ncr_test_input("[{\"content\":[{\"type\":\"reasoning\",\"id\":\"x\"}],"
                   "\"type\":\"message\"}]", 1, 1, NULL,
                   "what lies deeper is no item");
}


/* a way of one header, NULL: none */

typedef struct {
    const char   *name;
    const char   *value;
} ncr_test_header_t;


static ncr_test_header_t  ncr_test_sent[4];


static ncr_str_t
ncr_test_header(ncr_way_t *way, const char *name)
{
    ncr_uint_t  i;

    (void) way;

    for (i = 0; i < 4 && ncr_test_sent[i].name; i++) {
        if (strcmp(ncr_test_sent[i].name, name) == 0) {
            return ncr_test_s(ncr_test_sent[i].value);
        }
    }

    return ncr_test_s("");
}


static void
ncr_test_ask(ncr_op_e op, const char *base, const char *path,
    const char *target, const char *lines, const char *name)
{
    ncr_int_t   rc;
    ncr_way_t  *way;

    way = ncr_test_way_of(op, base, path);

    ncr_test_params[NCR_CODEX_CLIENT_VERSION] = ncr_test_s("0.170.0");
    ncr_test_params[NCR_CODEX_ORIGINATOR] = ncr_test_s("codex_cli_rs");

    way->session = ncr_test_s("0123456789abcdef");
    way->header = ncr_test_header;

    rc = ncr_codex_way(way);

    if (target == NULL) {
        ncr_test(rc == NCR_BAD && way->status == 404, name);
        return;
    }

    ncr_test(rc == NCR_OK && strcmp((char *) ncr_test_target, target) == 0
             && strcmp((char *) ncr_test_lines, lines) == 0, name);

    if (strcmp((char *) ncr_test_lines, lines) != 0
        || strcmp((char *) ncr_test_target, target) != 0)
    {
        printf("# %s\n# %s\n", ncr_test_target, ncr_test_lines);
    }
}


static void
ncr_test_ways(void)
{
    ncr_test_sent[0].name = "user-agent";
    ncr_test_sent[0].value = "codex_exec/0.169.0 (x) y";
    ncr_test_sent[1].name = "accept";
    ncr_test_sent[1].value = "text/event-stream";

    ncr_test_ask(NCR_OP_RESPONSES, "/backend-api/codex", "/v1/responses",
                 "/backend-api/codex/responses", "version: 0.169.0\r\n",
                 "A10: the client's own version");

    ncr_test_sent[1].name = "version";
    ncr_test_sent[1].value = "0.1.0";

    ncr_test_ask(NCR_OP_RESPONSES, "", "/v1/responses", "/responses",
                 "Accept: text/event-stream\r\n", "A10: told by itself");

    ncr_test_sent[0].value = "OpenAI/Python";

    ncr_test_ask(NCR_OP_COMPACT, "/x", "/v1/responses/compact",
                 "/x/responses/compact",
                 "User-Agent: codex_cli_rs/0.170.0 (Linux; x86_64) unknown\r\n"
                 "originator: codex_cli_rs\r\nversion: 0.170.0\r\n"
                 "session_id: 01234567-9abc-4f01-8456-89abcdef0123\r\n",
                 "A10: a client that it does not know");

    ncr_test_sent[1].name = "session-id";

    ncr_test_ask(NCR_OP_CODEX, "/backend-api/codex", "/wham/usage",
                 "/backend-api/wham/usage",
                 "User-Agent: codex_cli_rs/0.170.0 (Linux; x86_64) unknown\r\n"
                 "originator: codex_cli_rs\r\nversion: 0.170.0\r\n",
                 "A13: usage");
    ncr_test_ask(NCR_OP_CODEX, "/backend-api/codex", "/wham/profiles/me",
                 NULL, NULL, "A13: no other neighbour");

    memset(ncr_test_sent, 0, sizeof(ncr_test_sent));
}


int
main(void)
{
    ncr_test_limits();

    ncr_test_usage("{\"plan_type\":\"plus\",\"rate_limit\":{\"allowed\":true,"
                   "\"primary_window\":{\"used_percent\":12.5,"
                   "\"limit_window_seconds\":604800,"
                   "\"reset_after_seconds\":60,\"reset_at\":1795264400},"
                   "\"secondary_window\":{\"used_percent\":100,"
                   "\"limit_window_seconds\":18000,"
                   "\"reset_after_seconds\":60}},"
                   "\"additional_rate_limits\":[{\"metered_feature\":\"fox\","
                   "\"rate_limit\":{\"primary_window\":{\"used_percent\":1,"
                   "\"limit_window_seconds\":604800}}},{},7]}",
                   "7d=1250@2000 5h=10000@60! 7d_fox=100",
                   "{\"plan\":\"plus\"}", "A13: wham/usage");
    ncr_test_usage("{\"rate_limit\":{\"primary_window\":null,"
                   "\"secondary_window\":{\"used_percent\":\"x\"}}}", "", "",
                   "A13: without windows");
    ncr_test_usage("{\"rate_limit\":null}", NULL, "", "A13: not such a one");
    ncr_test_usage("<html>", NULL, "", "A13: nor this");

    ncr_test_verdicts();
    ncr_test_inputs();
    ncr_test_ways();

    return ncr_test_done();
}
