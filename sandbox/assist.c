
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Code Assist (others.md C6), and to whoever calls himself so, Antigravity
 * (C7).  It takes no member that the real one has not; a token "ya29.NAME" or
 * "ya29.NAME.MORE" has the project "project-NAME".
 */


#include "sandbox.h"

#include <time.h>


typedef struct {
    int               status;
    const char       *name;
} sbx_assist_status_t;


typedef struct {
    const char       *name;
    int             (*handler)(sbx_conn_t *c, sbx_str_t *body);
} sbx_assist_method_t;


static int sbx_assist_generate(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_stream(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_count(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_load(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_onboard(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_quota(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_models(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_experiments(sbx_conn_t *c, sbx_str_t *body);
static int sbx_assist_empty(sbx_conn_t *c, sbx_str_t *body);


static const sbx_assist_status_t  sbx_assist_statuses[] = {
    { 400, "INVALID_ARGUMENT" },
    { 401, "UNAUTHENTICATED" },
    { 403, "PERMISSION_DENIED" },
    { 404, "NOT_FOUND" },
    { 429, "RESOURCE_EXHAUSTED" },
    { 499, "CANCELLED" },
    { 500, "INTERNAL" },
    { 503, "UNAVAILABLE" },
    { 504, "DEADLINE_EXCEEDED" },
    { 0, "UNKNOWN" }
};


static const sbx_assist_method_t  sbx_assist_methods[] = {
    { "generateContent", sbx_assist_generate },
    { "streamGenerateContent", sbx_assist_stream },
    { "countTokens", sbx_assist_count },
    { "loadCodeAssist", sbx_assist_load },
    { "onboardUser", sbx_assist_onboard },
    { "retrieveUserQuota", sbx_assist_quota },
    { "fetchAvailableModels", sbx_assist_models },
    { "listExperiments", sbx_assist_experiments },
    { "fetchAdminControls", sbx_assist_empty },
    { "getCodeAssistGlobalUserSetting", sbx_assist_empty },
    { "setCodeAssistGlobalUserSetting", sbx_assist_empty },
    { "recordCodeAssistMetrics", sbx_assist_empty },
    { "recordConversationOffered", sbx_assist_empty },
    { NULL, NULL }
};


static const char *const  sbx_assist_old[] = {
    "model", "project", "user_prompt_id", "request", "enabled_credit_types",
    NULL
};

static const char *const  sbx_assist_old_inner[] = {
    "contents", "systemInstruction", "cachedContent", "tools", "toolConfig",
    "labels", "safetySettings", "generationConfig", "session_id", NULL
};

static const char *const  sbx_assist_new[] = {
    "model", "project", "requestId", "userAgent", "requestType", "request",
    "enabledCreditTypes", NULL
};

static const char *const  sbx_assist_new_inner[] = {
    "contents", "systemInstruction", "tools", "toolConfig",
    "generationConfig", "sessionId", NULL
};


static void
sbx_assist_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "x-cloudaicompanion-trace-id: ");
    sbx_put_hex(b, c->req.id, 16);
    sbx_lit(b, "\r\nserver-timing: gfet4t7; dur=12\r\n");
}


static void
sbx_assist_json(sbx_conn_t *c, int status)
{
    sbx_reply_start(c, status, "application/json; charset=UTF-8");
    c->rep.headers = sbx_assist_headers;
}


/* {"error":...}, with the details that the commands name */

static void
sbx_assist_put_error(sbx_conn_t *c, sbx_buf_t *b, int status,
    const char *message)
{
    const sbx_assist_status_t  *s;

    for (s = sbx_assist_statuses; s->status && s->status != status; s++) {
        /* void */
    }

    sbx_putf(b, "{\"error\":{\"code\":%d,\"message\":\"", status);
    sbx_put_json(b, message, strlen(message));
    sbx_putf(b, "\",\"status\":\"%s\"", c->act.type ? c->act.type : s->name);

    if (c->act.code || c->act.retry_after > 0) {
        sbx_lit(b, ",\"details\":[");

        if (c->act.code) {
            sbx_putf(b, "{\"@type\":\"type.googleapis.com/google.rpc."
                     "ErrorInfo\",\"reason\":\"%s\",\"domain\":"
                     "\"cloudcode-pa.googleapis.com\",\"metadata\":{"
                     "\"uiMessage\":\"true\"", c->act.code);

            if (status == 429) {
                sbx_putf(b, ",\"quotaResetDelay\":\"%ld.5s\"", c->act.reset);
            }

            sbx_lit(b, "}}");
        }

        if (c->act.retry_after > 0) {
            sbx_putf(b, "%s{\"@type\":\"type.googleapis.com/google.rpc."
                     "RetryInfo\",\"retryDelay\":\"%ld.25s\"}",
                     c->act.code ? "," : "", c->act.retry_after);
            c->act.retry_after = -2;
        }

        sbx_lit(b, "]");
    }

    sbx_lit(b, "}}");
}


static int
sbx_assist_error(sbx_conn_t *c, int status, const char *message)
{
    c->text.len = 0;

    sbx_assist_put_error(c, &c->text, status, message);
    sbx_assist_json(c, status);

    return SBX_OK;
}


/* the user agent is the only thing that tells Antigravity */

static int
sbx_assist_agent(sbx_conn_t *c, sbx_str_t *agent)
{
    const char  *p, *end;

    static const char  name[] = "user-agent:";

    end = c->in + c->req.head_len;
    agent->len = 0;

    for (p = c->in; p + sizeof(name) < end; p++) {

        if (*p != '\n' || strncasecmp(p + 1, name, sizeof(name) - 1) != 0) {
            continue;
        }

        p += sizeof(name);

        while (p < end && *p == ' ') {
            p++;
        }

        agent->data = p;

        while (p < end && *p != '\r' && *p != '\n') {
            p++;
        }

        agent->len = (size_t) (p - agent->data);
        break;
    }

    return agent->len >= 12 && memcmp(agent->data, "antigravity/", 12) == 0;
}


static void
sbx_assist_project(sbx_conn_t *c, char *text, size_t size)
{
    size_t      n;
    sbx_str_t  *p;

    p = &c->req.bearer;

    if (p->len <= 5 || memcmp(p->data, "ya29.", 5) != 0) {
        snprintf(text, size, "sandbox-project");
        return;
    }

    for (n = 5; n < p->len && p->data[n] != '.'; n++) { /* void */ }

    snprintf(text, size, "project-%.*s", (int) (n - 5), p->data + 5);
}


/* the name of the first member that is not in the list */

static int
sbx_assist_unknown(sbx_conn_t *c, sbx_str_t *object, const char *const *names)
{
    int                 rc;
    char                text[256];
    sbx_str_t           key, value;
    const char         *pos;
    const char *const  *name;

    pos = NULL;

    while ((rc = sbx_json_each(object, &pos, &key, &value)) == SBX_OK) {

        for (name = names; *name; name++) {
            if (strlen(*name) == key.len
                && memcmp(*name, key.data, key.len) == 0)
            {
                break;
            }
        }

        if (*name == NULL) {
            snprintf(text, sizeof(text), "Invalid JSON payload received. "
                     "Unknown name \"%.*s\": Cannot find field.",
                     (int) (key.len > 64 ? 64 : key.len), key.data);
            return sbx_assist_error(c, 400, text);
        }
    }

    if (rc == SBX_ERROR) {
        return sbx_assist_error(c, 400, "Invalid JSON payload received.");
    }

    return SBX_DECLINED;
}


/* SBX_DECLINED: it is the account's */

static int
sbx_assist_own(sbx_conn_t *c, sbx_str_t *object, const char *name,
    int required)
{
    char       project[128], text[200];
    sbx_str_t  value;

    sbx_assist_project(c, project, sizeof(project));

    if (sbx_json_get(object, name, &value) != SBX_OK) {

        if (!required) {
            return SBX_DECLINED;
        }

        return sbx_assist_error(c, 400, "project is required");
    }

    if (value.len == strlen(project) + 2
        && memcmp(value.data + 1, project, value.len - 2) == 0)
    {
        return SBX_DECLINED;
    }

    snprintf(text, sizeof(text), "Permission denied on resource project %.*s.",
             (int) (value.len > 64 ? 64 : value.len), value.data);

    return sbx_assist_error(c, 403, text);
}


/* the text of a signed integer */

static int
sbx_assist_integer(sbx_str_t *value)
{
    size_t  i;

    if (value->len < 3 || value->len > 22 || value->data[0] != '"') {
        return 0;
    }

    for (i = 1 + (value->data[1] == '-'); i < value->len - 1; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            return 0;
        }
    }

    return 1;
}


static int
sbx_assist_modern(sbx_conn_t *c, sbx_str_t *agent, sbx_str_t *body,
    sbx_str_t *request)
{
    int        rc, version[2];
    char       text[64];
    sbx_str_t  value;

    rc = sbx_assist_unknown(c, body, sbx_assist_new);

    if (rc == SBX_DECLINED) {
        rc = sbx_assist_unknown(c, request, sbx_assist_new_inner);
    }

    if (rc != SBX_DECLINED) {
        return rc;
    }

    snprintf(text, sizeof(text), "%.*s", (int) agent->len, agent->data);

    if (sscanf(text, "antigravity/%d.%d.", &version[0], &version[1]) == 2
        && version[0] * 100 + version[1] < 209)
    {
        return sbx_assist_error(c, 400, "This version of Antigravity is no "
                                "longer supported. Please update.");
    }

    if (sbx_json_get(body, "requestId", &value) != SBX_OK
        || value.len != sizeof("\"agent-\"") - 1 + 36
        || sbx_json_get(body, "userAgent", &value) != SBX_OK
        || !sbx_is(&value, "\"antigravity\"")
        || sbx_json_get(body, "requestType", &value) != SBX_OK
        || sbx_json_get(request, "sessionId", &value) != SBX_OK
        || !sbx_assist_integer(&value))
    {
        return sbx_assist_error(c, 400, "Request contains an invalid "
                                "argument.");
    }

    return SBX_DECLINED;
}


/* SBX_DECLINED: what is asked may be answered */

static int
sbx_assist_envelope(sbx_conn_t *c, sbx_str_t *body)
{
    int        rc;
    sbx_str_t  request, agent, value;

    if (sbx_json_get(body, "request", &request) != SBX_OK
        || request.data[0] != '{')
    {
        return sbx_assist_error(c, 400, "request is required");
    }

    if (sbx_json_get(body, "model", &value) != SBX_OK || value.len < 3) {
        return sbx_assist_error(c, 400, "model is required");
    }

    c->ask.model.data = value.data + 1;
    c->ask.model.len = value.len - 2;

    rc = sbx_assist_own(c, body, "project", 1);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    if (sbx_assist_agent(c, &agent)) {
        rc = sbx_assist_modern(c, &agent, body, &request);

    } else {
        rc = sbx_assist_unknown(c, body, sbx_assist_old);

        if (rc == SBX_DECLINED) {
            rc = sbx_assist_unknown(c, &request, sbx_assist_old_inner);
        }
    }

    if (rc != SBX_DECLINED) {
        return rc;
    }

    if (sbx_json_get(&request, "contents", &value) != SBX_OK) {
        return sbx_assist_error(c, 400, "contents is not specified");
    }

    return SBX_DECLINED;
}


static void
sbx_assist_usage(sbx_conn_t *c, sbx_buf_t *b)
{
    long  output;

    output = c->act.output >= 0 ? c->act.output : 5;

    sbx_putf(b, "\"usageMetadata\": {\"promptTokenCount\":%ld,"
             "\"cachedContentTokenCount\":%ld,\"candidatesTokenCount\":%ld,"
             "\"thoughtsTokenCount\":3,\"totalTokenCount\":%ld},",
             c->act.input + c->act.cache_read, c->act.cache_read, output,
             c->act.input + c->act.cache_read + output + 3);
}


/* Google's JSON has spaces; some text that looks like an envelope */

static void
sbx_assist_response(sbx_conn_t *c, sbx_buf_t *b, const char *text, int last)
{
    sbx_lit(b, "{\"response\": {\"candidates\": [{\"content\":{\"role\":"
               "\"model\",\"parts\":[{\"text\":\"");
    sbx_put_json(b, text, strlen(text));
    sbx_lit(b, " {\\\"response\\\":\\u007b}\"}]}");

    if (last) {
        sbx_lit(b, ",\"finishReason\":\"STOP\"");
    }

    sbx_lit(b, "}],");

    if (!(c->act.flags & SBX_F_NO_USAGE)) {
        sbx_assist_usage(c, b);
    }

    sbx_lit(b, "\"modelVersion\":\"");
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_lit(b, "\",\"responseId\":\"r");
    sbx_put_hex(b, c->req.id, 8);
    sbx_lit(b, "\"},\"traceId\": \"");
    sbx_put_hex(b, c->req.id, 16);
    sbx_lit(b, "\"}");
}


static int
sbx_assist_generate(sbx_conn_t *c, sbx_str_t *body)
{
    int  rc;

    rc = sbx_assist_envelope(c, body);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    sbx_assist_response(c, &c->text, "all of it", 1);
    sbx_assist_json(c, 200);

    return SBX_OK;
}


/* an event, or an element of the array that is sent without alt=sse */

static int
sbx_assist_next(sbx_conn_t *c, sbx_buf_t *b)
{
    int         sse, rc;
    char        text[64];
    sbx_gen_t  *g;

    g = &c->rep.gen;
    sse = (g->index == 0);
    rc = SBX_OK;

    if (g->phase == 1) {
        sbx_lit(b, "]");
        return SBX_END;
    }

    sbx_puts(b, sse ? "data: " : g->i ? ",\r\n" : "[");

    if (g->error || (g->i == 0 && c->act.error_first)) {
        sbx_assist_put_error(c, b, 503, "The service is currently "
                             "unavailable.");
        g->phase = 1;
        rc = sse ? SBX_END : SBX_OK;

    } else {
        snprintf(text, sizeof(text), "word %ld", g->i);
        g->i++;

        sbx_assist_response(c, b, text, g->i >= c->act.events);

        if (g->i >= c->act.events) {
            g->phase = 1;
            rc = sse ? SBX_END : SBX_OK;
        }

        g->deltas++;
        g->opened = 1;
        g->paced = 1;
    }

    if (sse) {
        sbx_puts(b, (c->act.flags & SBX_F_CRLF) ? "\r\n\r\n" : "\n\n");
    }

    return rc;
}


static int
sbx_assist_stream(sbx_conn_t *c, sbx_str_t *body)
{
    int        rc, sse;
    sbx_buf_t  alt;

    rc = sbx_assist_envelope(c, body);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    memset(&alt, 0, sizeof(alt));

    sse = (sbx_arg(&c->req.args, "alt", &alt) == SBX_OK && alt.len == 3
           && memcmp(alt.data, "sse", 3) == 0);

    free(alt.data);

    sbx_reply_start(c, 200, sse ? "text/event-stream"
                                : "application/json; charset=UTF-8");
    c->rep.headers = sbx_assist_headers;
    c->rep.next = sbx_assist_next;
    c->rep.gen.index = !sse;

    return SBX_OK;
}


static int
sbx_assist_count(sbx_conn_t *c, sbx_str_t *body)
{
    int        rc;
    sbx_str_t  request, value;

    static const char *const  names[] = { "request", NULL };
    static const char *const  inner[] = { "model", "contents", NULL };

    rc = sbx_assist_unknown(c, body, names);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    if (sbx_json_get(body, "request", &request) != SBX_OK) {
        return sbx_assist_error(c, 400, "request is required");
    }

    rc = sbx_assist_unknown(c, &request, inner);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    if (sbx_json_get(&request, "model", &value) != SBX_OK
        || value.len < 9 || memcmp(value.data, "\"models/", 8) != 0
        || sbx_json_get(&request, "contents", &value) != SBX_OK
        || value.data[0] != '[')
    {
        return sbx_assist_error(c, 400, "Request contains an invalid "
                                "argument.");
    }

    sbx_putf(&c->text, "{\"totalTokens\": %ld}", (long) (value.len + 3) / 4);
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static int
sbx_assist_metadata(sbx_conn_t *c, sbx_str_t *body)
{
    int        rc;
    sbx_str_t  metadata;

    rc = sbx_assist_own(c, body, "cloudaicompanionProject", 0);

    if (rc == SBX_DECLINED
        && sbx_json_get(body, "metadata", &metadata) == SBX_OK)
    {
        rc = sbx_assist_own(c, &metadata, "duetProject", 0);
    }

    return rc;
}


/* commands: message makes an account that may use no tier */

static int
sbx_assist_load(sbx_conn_t *c, sbx_str_t *body)
{
    int   rc;
    char  project[128];

    rc = sbx_assist_metadata(c, body);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    if (c->act.message) {
        sbx_lit(&c->text, "{\"ineligibleTiers\":[{\"reasonCode\":"
                          "\"UNSUPPORTED_CLIENT\",\"reasonMessage\":\"");
        sbx_put_json(&c->text, c->act.message, strlen(c->act.message));
        sbx_lit(&c->text, "\",\"tierId\":\"free-tier\",\"tierName\":\"Free\"}"
                          "]}");
        sbx_assist_json(c, 200);
        return SBX_OK;
    }

    sbx_assist_project(c, project, sizeof(project));

    sbx_putf(&c->text, "{\"currentTier\":{\"id\":\"standard-tier\",\"name\":"
             "\"Standard\"},\"allowedTiers\":[{\"id\":\"standard-tier\","
             "\"isDefault\":true,\"userDefinedCloudaicompanionProject\":true"
             "}],\"cloudaicompanionProject\":\"%s\",\"paidTier\":{\"id\":"
             "\"standard-tier\",\"name\":\"Standard\"}}", project);
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static int
sbx_assist_onboard(sbx_conn_t *c, sbx_str_t *body)
{
    int   rc;
    char  project[128];

    rc = sbx_assist_metadata(c, body);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    sbx_assist_project(c, project, sizeof(project));

    sbx_putf(&c->text, "{\"name\":\"operations/onboard.1\",\"done\":true,"
             "\"response\":{\"cloudaicompanionProject\":{\"id\":\"%s\","
             "\"name\":\"%s\"}}}", project, project);
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static void
sbx_assist_put_time(sbx_buf_t *b, time_t t)
{
    char       text[32];
    struct tm  tm;

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    sbx_puts(b, text);
}


/* commands: util-5h is what is used of the pro models */

static int
sbx_assist_quota(sbx_conn_t *c, sbx_str_t *body)
{
    int          i, rc;
    double       used;

    static const char *const  models[] = {
        "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite",
        "gemini-3-pro-preview", NULL
    };

    rc = sbx_assist_own(c, body, "project", 1);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    sbx_lit(&c->text, "{\"buckets\":[");

    for (i = 0; models[i]; i++) {

        used = (strstr(models[i], "pro") && c->act.util_5h)
               ? atof(c->act.util_5h) : 0.25;

        sbx_putf(&c->text, "%s{\"resetTime\":\"", i ? "," : "");
        sbx_assist_put_time(&c->text, sbx_time + c->act.reset);
        sbx_putf(&c->text, "\",\"tokenType\":\"REQUESTS\",\"modelId\":\"%s\","
                 "\"remainingFraction\":%g}", models[i], 1 - used);
    }

    sbx_lit(&c->text, "]}");
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static int
sbx_assist_models(sbx_conn_t *c, sbx_str_t *body)
{
    int     i, rc;
    double  used;

    static const char *const  models[] = {
        "claude-sonnet-4-6", "claude-opus-4-6-thinking", "gemini-3-flash",
        "gemini-3.1-pro-high", "gpt-oss-120b-medium", NULL
    };

    rc = sbx_assist_own(c, body, "project", 1);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    used = c->act.util_5h ? atof(c->act.util_5h) : 0.5;

    sbx_lit(&c->text, "{\"models\":{");

    for (i = 0; models[i]; i++) {
        sbx_putf(&c->text, "%s\"%s\":{\"displayName\":\"%s\",\"quotaInfo\":{"
                 "\"remainingFraction\":%g,\"resetTime\":\"", i ? "," : "",
                 models[i], models[i], 1 - used);
        sbx_assist_put_time(&c->text, sbx_time + c->act.reset);
        sbx_lit(&c->text, "\"}}");
    }

    sbx_lit(&c->text, "}}");
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static int
sbx_assist_experiments(sbx_conn_t *c, sbx_str_t *body)
{
    int  rc;

    rc = sbx_assist_own(c, body, "project", 0);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    sbx_lit(&c->text, "{\"experimentIds\":[],\"flags\":[]}");
    sbx_assist_json(c, 200);

    return SBX_OK;
}


static int
sbx_assist_empty(sbx_conn_t *c, sbx_str_t *body)
{
    sbx_lit(&c->text, "{}");
    sbx_assist_json(c, 200);

    return SBX_OK;
}


/* SBX_DECLINED: nothing keeps it from being answered */

static int
sbx_assist_command(sbx_conn_t *c)
{
    char  text[128];

    if (c->req.auth != SBX_AUTH_BEARER) {
        return sbx_assist_error(c, 401, "Request had invalid authentication "
                                "credentials.");
    }

    if (c->act.bad) {
        snprintf(text, sizeof(text), "sandbox: unknown or bad command \"%s\"",
                 c->act.bad);
        return sbx_assist_error(c, 400, text);
    }

    if (c->act.status == 0) {
        return SBX_DECLINED;
    }

    if (c->act.flags & SBX_F_HTML) {
        sbx_lit(&c->text, "<html><title>Error</title></html>");
        sbx_reply_start(c, (int) c->act.status, "text/html");
        return SBX_OK;
    }

    return sbx_assist_error(c, (int) c->act.status,
                            c->act.message ? c->act.message
                                           : "sandbox: an error");
}


int
sbx_assist(sbx_conn_t *c)
{
    int                         rc;
    size_t                      n;
    sbx_str_t                   verb, body;
    const char                 *p, *end;
    const sbx_assist_method_t  *m;

    static const char  version[] = "/v1internal";

    n = sizeof(version) - 1;
    end = c->req.path.data + c->req.path.len;

    p = memmem(c->req.path.data, c->req.path.len, version, n);

    if (p == NULL || p + n == end || (p[n] != ':' && p[n] != '/')) {
        return SBX_DECLINED;
    }

    rc = sbx_assist_command(c);

    if (rc != SBX_DECLINED) {
        return rc;
    }

    verb.data = p + n + 1;
    verb.len = (size_t) (end - verb.data);

    if (p[n] == '/') {
        sbx_lit(&c->text, "{\"name\":\"");
        sbx_put_json(&c->text, verb.data, verb.len);
        sbx_lit(&c->text, "\",\"done\":true,\"response\":{}}");
        sbx_assist_json(c, 200);
        return SBX_OK;
    }

    body = c->req.body;

    if (body.len == 0) {
        body.data = "{}";
        body.len = 2;
    }

    for (m = sbx_assist_methods; m->name; m++) {
        if (strlen(m->name) == verb.len
            && memcmp(m->name, verb.data, verb.len) == 0)
        {
            return m->handler(c, &body);
        }
    }

    return sbx_assist_error(c, 404, "Requested entity was not found.");
}
