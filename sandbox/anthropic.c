
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"

#include <time.h>


typedef struct {
    int               status;
    const char       *type;
    const char       *message;
} sbx_anthropic_error_t;


static const sbx_anthropic_error_t  sbx_anthropic_errors[] = {
    { 400, "invalid_request_error", "sandbox: invalid request" },
    { 401, "authentication_error", "invalid x-api-key" },
    { 402, "billing_error", "Your credit balance is too low to access the "
           "Anthropic API. Please go to Plans & Billing to upgrade or "
           "purchase credits." },
    { 403, "permission_error", "Your API key does not have permission to use "
           "the specified resource." },
    { 404, "not_found_error", "Not found" },
    { 408, "timeout_error", "Request timeout" },
    { 409, "conflict_error", "Conflict" },
    { 413, "request_too_large", "Request exceeds the maximum size" },
    { 429, "rate_limit_error", "This request would exceed your account's "
           "rate limit. Please try again later." },
    { 500, "api_error", "Internal server error" },
    { 502, "api_error", "Bad gateway" },
    { 503, "api_error", "Service unavailable" },
    { 504, "timeout_error", "Request timed out" },
    { 529, "overloaded_error", "Overloaded" },
    { 0, NULL, NULL }
};


typedef struct {
    const char       *window;
    const char       *claim;
} sbx_window_t;


static const sbx_window_t  sbx_windows[] = {
    { "5h", "five_hour" },
    { "7d", "seven_day" },
    { "7d_opus", "seven_day_opus" },
    { "7d_sonnet", "seven_day_sonnet" },
    { "7d_oi", "seven_day_overage_included" },
    { NULL, NULL }
};


static void
sbx_put_time(sbx_buf_t *b, const char *name, time_t t)
{
    char       text[32];
    struct tm  tm;

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    sbx_putf(b, "anthropic-ratelimit-%s-reset: %s\r\n", name, text);
}


static void
sbx_ratelimit_key(sbx_buf_t *b, int exhausted)
{
    time_t  reset;

    reset = (sbx_time / 60 + 1) * 60;

    sbx_putf(b, "anthropic-ratelimit-requests-limit: 4000\r\n"
             "anthropic-ratelimit-requests-remaining: %d\r\n",
             exhausted ? 0 : 3999);
    sbx_put_time(b, "requests", reset);

    sbx_putf(b, "anthropic-ratelimit-tokens-limit: 480000\r\n"
             "anthropic-ratelimit-tokens-remaining: %d\r\n",
             exhausted ? 0 : 479000);
    sbx_put_time(b, "tokens", reset);

    sbx_putf(b, "anthropic-ratelimit-input-tokens-limit: 400000\r\n"
             "anthropic-ratelimit-input-tokens-remaining: %d\r\n",
             exhausted ? 0 : 399000);
    sbx_put_time(b, "input-tokens", reset);

    sbx_putf(b, "anthropic-ratelimit-output-tokens-limit: 80000\r\n"
             "anthropic-ratelimit-output-tokens-remaining: %d\r\n",
             exhausted ? 0 : 80000);
    sbx_put_time(b, "output-tokens", reset);
}


static void
sbx_put_window(sbx_buf_t *b, const char *name, const char *status,
    time_t reset, const char *util)
{
    sbx_putf(b, "anthropic-ratelimit-unified-%s-status: %s\r\n"
             "anthropic-ratelimit-unified-%s-reset: %lld\r\n"
             "anthropic-ratelimit-unified-%s-utilization: %s\r\n",
             name, status, name, (long long) reset, name, util);
}


static const char *
sbx_util_status(const char *util)
{
    return util && atof(util) >= 0.75 ? "allowed_warning" : "allowed";
}


static void
sbx_ratelimit_unified(sbx_buf_t *b, const sbx_act_t *a)
{
    int                  i, bad, seen;
    time_t               reset, main_reset;
    const char          *status, *overall, *claim, *util;
    const sbx_window_t  *w;

    overall = "allowed";
    claim = "five_hour";
    main_reset = 0;
    seen = 0;

    for (i = 0; sbx_windows[i].window; i++) {
        w = &sbx_windows[i];
        bad = a->unified && strcmp(a->unified, w->window) == 0;

        if (i > 1 && !bad) {
            continue;
        }

        reset = i ? (sbx_time / 604800 + 1) * 604800
                  : (sbx_time / 18000 + 1) * 18000;
        util = i ? (a->util_7d ? a->util_7d : "0.42")
                 : (a->util_5h ? a->util_5h : "0.11");
        status = sbx_util_status(util);

        if (i == 0) {
            main_reset = reset;
        }

        if (strcmp(status, "allowed") != 0 && !bad) {
            if (!seen) {
                overall = status;
                claim = w->claim;
                main_reset = reset;
            }

            sbx_putf(b, "anthropic-ratelimit-unified-%s-surpassed-threshold: "
                     "0.75\r\n", w->window);
        }

        if (bad) {
            seen = 1;
            reset = sbx_time + a->reset;
            overall = status = "rejected";
            claim = w->claim;
            main_reset = reset;
            util = "1.0";
        }

        sbx_put_window(b, w->window, status, reset, util);
    }

    sbx_putf(b, "anthropic-ratelimit-unified-status: %s\r\n"
             "anthropic-ratelimit-unified-reset: %lld\r\n"
             "anthropic-ratelimit-unified-representative-claim: %s\r\n"
             "anthropic-ratelimit-unified-fallback-percentage: 0.5\r\n"
             "anthropic-ratelimit-unified-overage-status: rejected\r\n"
             "anthropic-ratelimit-unified-overage-disabled-reason: "
             "org_level_disabled\r\n",
             overall, (long long) main_reset, claim);
}


static void
sbx_ratelimit(sbx_conn_t *c, sbx_buf_t *b)
{
    int         oauth;
    sbx_act_t  *a;

    static time_t     last[2];
    static sbx_buf_t  cache[2];

    a = &c->act;
    oauth = c->req.cred->oauth;

    if (a->unified || (oauth && (a->util_5h || a->util_7d))) {
        sbx_ratelimit_unified(b, a);
        return;
    }

    if (!oauth && c->rep.status == 429) {
        sbx_ratelimit_key(b, 1);
        return;
    }

    if (last[oauth] != sbx_time) {
        last[oauth] = sbx_time;
        cache[oauth].len = 0;

        if (oauth) {
            sbx_ratelimit_unified(&cache[oauth], &sbx_act_default);

        } else {
            sbx_ratelimit_key(&cache[oauth], 0);
        }
    }

    sbx_put(b, cache[oauth].data, cache[oauth].len);
}


static void
sbx_put_request_id(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "req_011CSbx");
    sbx_put_hex(b, c->req.id, 13);
}


static void
sbx_anthropic_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    int  status;

    sbx_lit(b, "request-id: ");
    sbx_put_request_id(c, b);
    sbx_lit(b, "\r\n");

    if (c->req.cred) {
        sbx_put(b, c->req.cred->org, c->req.cred->org_len);

    } else {
        sbx_lit(b, "anthropic-organization-id: "
                   "5a4db0c5-0000-4000-8000-000000000000\r\n");
    }

    status = c->rep.status;

    if (c->req.cred && !(c->act.flags & SBX_F_NOWINDOW)
        && (status == 200 || status == 429 || c->act.unified))
    {
        sbx_ratelimit(c, b);
    }
}


static void
sbx_html(sbx_conn_t *c, int status)
{
    sbx_putf(&c->text, "<html>\r\n<head><title>%d error</title></head>\r\n"
             "<body>\r\n<center><h1>%d error</h1></center>\r\n"
             "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
             status, status);

    sbx_reply_start(c, status, "text/html; charset=UTF-8");
}


void
sbx_anthropic_error(sbx_conn_t *c, int status, const char *type,
    const char *message)
{
    sbx_buf_t                    *b;
    const sbx_anthropic_error_t  *e;

    for (e = sbx_anthropic_errors; e->status && e->status != status; e++) {
        /* void */
    }

    if (type == NULL) {
        type = e->type ? e->type
                       : status < 500 ? "invalid_request_error" : "api_error";
    }

    if (message == NULL) {
        message = e->message ? e->message : "sandbox error";
    }

    b = &c->text;
    b->len = 0;

    if (c->act.flags & SBX_F_HTML) {
        sbx_html(c, status);
        c->rep.headers = sbx_anthropic_headers;
        return;
    }

    sbx_lit(b, "{\"type\":\"error\",\"error\":{\"type\":\"");
    sbx_put_json(b, type, strlen(type));
    sbx_lit(b, "\",\"message\":\"");
    sbx_put_json(b, message, strlen(message));
    sbx_lit(b, "\"");

    if (c->act.code) {
        sbx_lit(b, ",\"details\":{\"error_code\":\"");
        sbx_put_json(b, c->act.code, strlen(c->act.code));
        sbx_lit(b, "\"}");
    }

    sbx_lit(b, "},\"request_id\":\"");
    sbx_put_request_id(c, b);
    sbx_lit(b, "\"}");

    sbx_reply_start(c, status, "application/json");
    c->rep.headers = sbx_anthropic_headers;
}


/* sends c->text */

void
sbx_anthropic_json(sbx_conn_t *c)
{
    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_anthropic_headers;
}


static int
sbx_anthropic_credential(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (r->cred == NULL || r->auth == SBX_AUTH_OTHER) {
        sbx_anthropic_error(c, 401, NULL, "x-api-key header is required");
        return SBX_ERROR;
    }

    if (r->origin.len) {
        sbx_anthropic_error(c, 401, NULL, "CORS requests are not allowed for "
                            "this Organization because of its settings.");
        return SBX_ERROR;
    }

    if (r->xkey.len >= 10 && memcmp(r->xkey.data, "sk-ant-oat", 10) == 0) {
        sbx_anthropic_error(c, 401, NULL, "invalid x-api-key");
        return SBX_ERROR;
    }

    if (r->bearer.len >= 10 && memcmp(r->bearer.data, "sk-ant-oat", 10) == 0
        && (r->beta.len == 0
            || memmem(r->beta.data, r->beta.len, "oauth-2025-04-20", 16)
               == NULL))
    {
        sbx_anthropic_error(c, 401, NULL,
                            "OAuth authentication is currently not "
                            "supported.");
        return SBX_ERROR;
    }

    return sbx_oauth_access(c);
}


/* what the commands of this request want instead of an answer */

static int
sbx_anthropic_command(sbx_conn_t *c)
{
    char        text[128];
    sbx_act_t  *a;

    a = &c->act;

    if (a->bad) {
        snprintf(text, sizeof(text), "sandbox: unknown or bad command \"%s\"",
                 a->bad);
        memset(&a->flags, 0, sizeof(a->flags));
        sbx_anthropic_error(c, 400, NULL, text);
        return SBX_ERROR;
    }

    if (a->unified) {
        if (a->status == 0) {
            a->status = 429;
        }

        if (a->retry_after == -1) {
            a->retry_after = a->reset;
        }
    }

    if (a->status) {
        sbx_anthropic_error(c, (int) a->status, a->type, a->message);
        return SBX_ERROR;
    }

    return SBX_OK;
}


static int
sbx_is_true(sbx_str_t *v)
{
    return v->len == 4 && memcmp(v->data, "true", 4) == 0;
}


/* the text after the last "#tool ": a name and an object */

static void
sbx_ask_tool(sbx_ask_t *ask, sbx_buf_t *text)
{
    size_t       n;
    const char  *p, *q, *end, *found;

    p = text->data;
    end = p + text->len;
    found = NULL;

    while (p && p < end) {
        p = memmem(p, (size_t) (end - p), "#tool ", 6);
        if (p) {
            p += 6;
            found = p;
        }
    }

    if (found == NULL) {
        return;
    }

    for (p = found; p < end && *p > ' ' && *p != '"' && *p != '{'; p++) {
        /* void */
    }

    n = (size_t) (p - found);

    if (n == 0 || n > 128) {
        return;
    }

    ask->tool = 1;
    sbx_put(&ask->tool_name, found, n);

    p = sbx_json_ws(p, end);
    q = (p < end && *p == '{') ? sbx_json_skip(p, end) : NULL;

    if (q) {
        sbx_put(&ask->tool_input, p, (size_t) (q - p));

    } else {
        sbx_lit(&ask->tool_input, "{}");
    }
}


static void
sbx_ask_result(sbx_ask_t *ask, sbx_str_t *block)
{
    sbx_str_t    content, item, text;
    const char  *pos;

    ask->has_quote = 1;
    ask->quote.len = 0;

    if (sbx_json_get(block, "content", &content) != SBX_OK) {
        return;
    }

    if (content.data[0] == '"') {
        sbx_json_string(&content, &ask->quote);
        return;
    }

    pos = NULL;

    while (sbx_json_item(&content, &pos, &item) == SBX_OK) {
        if (sbx_json_get(&item, "text", &text) == SBX_OK) {
            sbx_json_string(&text, &ask->quote);
        }
    }
}


static void
sbx_ask_content(sbx_ask_t *ask, sbx_str_t *content)
{
    sbx_buf_t    text;
    sbx_str_t    block, type, value;
    const char  *pos;

    memset(&text, 0, sizeof(text));
    pos = NULL;

    if (content->data[0] == '"') {
        sbx_json_string(content, &text);
    }

    while (sbx_json_item(content, &pos, &block) == SBX_OK) {

        if (sbx_json_get(&block, "type", &type) != SBX_OK) {
            continue;
        }

        if (sbx_is(&type, "\"tool_result\"")) {
            sbx_ask_result(ask, &block);

        } else if (sbx_is(&type, "\"text\"")
                   && sbx_json_get(&block, "text", &value) == SBX_OK)
        {
            sbx_json_string(&value, &text);
            sbx_lit(&text, "\n");
        }
    }

    if (!ask->has_quote) {
        sbx_ask_tool(ask, &text);
    }

    free(text.data);
}


static void
sbx_ask_messages(sbx_ask_t *ask, sbx_str_t *messages)
{
    sbx_str_t    item, role, content;
    const char  *pos;

    pos = NULL;
    content.len = 0;

    while (sbx_json_item(messages, &pos, &item) == SBX_OK) {

        if (sbx_json_get(&item, "role", &role) != SBX_OK
            || !sbx_is(&role, "\"user\""))
        {
            continue;
        }

        if (sbx_json_get(&item, "content", &content) != SBX_OK) {
            content.len = 0;
        }
    }

    if (content.len) {
        sbx_ask_content(ask, &content);
    }
}


/* a body which is too long to be kept ends with the interesting things */

static void
sbx_ask_tail(sbx_conn_t *c)
{
    sbx_ask_t  *ask;

    ask = &c->ask;

    if (c->tail
        && (memmem(c->tail, SBX_TAIL_MAX, "\"stream\":true", 13)
            || memmem(c->tail, SBX_TAIL_MAX, "\"stream\": true", 14)))
    {
        ask->stream = 1;
    }

    if (c->tail && ask->model.len == 0) {
        ask->model.data = "sandbox-model";
        ask->model.len = 13;
    }
}


int
sbx_ask(sbx_conn_t *c)
{
    int          rc;
    sbx_ask_t   *ask;
    sbx_str_t    body, key, value, messages;
    const char  *pos;
    unsigned     tools;

    ask = &c->ask;
    body = c->req.body;
    pos = NULL;
    tools = 0;

    ask->model.len = 0;
    ask->quote.len = 0;
    ask->tool_name.len = 0;
    ask->tool_input.len = 0;
    ask->stream = 0;
    ask->tool = 0;
    ask->has_quote = 0;
    messages.len = 0;

    if (body.len == 0) {
        return SBX_ERROR;
    }

    while ((rc = sbx_json_each(&body, &pos, &key, &value)) == SBX_OK) {

        if (sbx_is(&key, "stream")) {
            ask->stream = sbx_is_true(&value);

        } else if (sbx_is(&key, "model")) {
            if (value.len > 2 && value.len < 256 && value.data[0] == '"') {
                ask->model.data = value.data + 1;
                ask->model.len = value.len - 2;
            }

        } else if (sbx_is(&key, "messages")) {
            messages = value;

        } else if (sbx_is(&key, "tools")) {
            tools = value.len > 2;
        }
    }

    if (rc == SBX_ERROR && (c->tail == NULL || pos == NULL)) {
        return SBX_ERROR;
    }

    sbx_ask_tail(c);

    if (tools && messages.len) {
        sbx_ask_messages(ask, &messages);
    }

    return SBX_OK;
}


static void
sbx_messages(sbx_conn_t *c)
{
    if (sbx_ask(c) != SBX_OK) {
        sbx_anthropic_error(c, 400, NULL,
                            "The request body is not valid JSON");
        return;
    }

    if (c->req.model.len) {
        c->ask.model = c->req.model;
    }

    if (c->ask.model.len == 0) {
        sbx_anthropic_error(c, 400, NULL, "model: Field required");
        return;
    }

    if (c->act.model) {
        c->ask.model.data = c->act.model;
        c->ask.model.len = strlen(c->act.model);
    }

    if (c->ask.stream) {
        sbx_reply_start(c, 200, "text/event-stream; charset=utf-8");
        c->rep.headers = sbx_anthropic_headers;
        c->rep.next = sbx_anthropic_next;
        return;
    }

    sbx_anthropic_message(c, &c->text);
    sbx_anthropic_json(c);
}


static void
sbx_count_tokens(sbx_conn_t *c)
{
    if (c->act.flags & SBX_F_COUNT404) {
        sbx_anthropic_error(c, 404, NULL, NULL);
        return;
    }

    sbx_lit(&c->text, "{\"input_tokens\":");
    sbx_putn(&c->text, (c->req.received + 3) / 4);
    sbx_lit(&c->text, "}");

    sbx_anthropic_json(c);
}


static int
sbx_prefix(sbx_str_t *s, const char *prefix)
{
    size_t  n;

    n = strlen(prefix);

    if (s->len < n || memcmp(s->data, prefix, n) != 0) {
        return 0;
    }

    if (s->len > n && s->data[n] != '/') {
        return 0;
    }

    s->data += n;
    s->len -= n;

    return 1;
}


/* the part after the last "/v1/" */

static int
sbx_v1(sbx_str_t *path, sbx_str_t *rest)
{
    const char  *p, *end;

    end = path->data + path->len;
    rest->data = NULL;

    for (p = path->data; end - p >= 4; p++) {
        p = memmem(p, (size_t) (end - p), "/v1/", 4);
        if (p == NULL) {
            break;
        }
        rest->data = p + 4;
    }

    if (rest->data == NULL) {
        return SBX_DECLINED;
    }

    rest->len = (size_t) (end - rest->data);

    return SBX_OK;
}


static int
sbx_anthropic_hello(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (r->path.len < 10
        || memcmp(r->path.data + r->path.len - 10, "/api/hello", 10) != 0
        || !(r->head || sbx_is(&r->method, "GET")))
    {
        return SBX_DECLINED;
    }

    sbx_lit(&c->text, "{\"message\":\"hello\"}");
    sbx_anthropic_json(c);

    return SBX_OK;
}


int
sbx_anthropic(sbx_conn_t *c)
{
    int        post, (*handler)(sbx_conn_t *c, sbx_str_t *rest);
    sbx_str_t  rest;

    if (sbx_anthropic_hello(c) == SBX_OK) {
        return SBX_OK;
    }

    if (sbx_v1(&c->req.path, &rest) != SBX_OK) {
        return SBX_DECLINED;
    }

    post = sbx_is(&c->req.method, "POST");
    handler = NULL;

    if (sbx_prefix(&rest, "messages/batches")) {
        handler = sbx_anthropic_batches;

    } else if (sbx_prefix(&rest, "files")) {
        handler = sbx_anthropic_files;

    } else if (sbx_prefix(&rest, "models")) {
        handler = sbx_anthropic_models;

    } else if (!post
               || (!sbx_is(&rest, "messages")
                   && !sbx_is(&rest, "messages/count_tokens")))
    {
        return SBX_DECLINED;
    }

    if (sbx_anthropic_credential(c) != SBX_OK
        || sbx_anthropic_command(c) != SBX_OK)
    {
        return SBX_OK;
    }

    if (handler) {
        if (handler(c, &rest) != SBX_OK) {
            sbx_anthropic_error(c, 404, NULL, NULL);
        }

    } else if (sbx_is(&rest, "messages")) {
        sbx_messages(c);

    } else {
        sbx_count_tokens(c);
    }

    return SBX_OK;
}
