
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * ChatGPT's back end for the Codex CLI: others.md A6, A9 to A13.  It insists
 * on its constraints, and windows come in the unusual order.
 */


#include "sandbox.h"


#define SBX_CODEX_SEALED  "gAAAAsandbox"


enum {
    SBX_CODEX_CREATED = 0,
    SBX_CODEX_IN_PROGRESS,
    SBX_CODEX_REASONING,
    SBX_CODEX_ITEM,
    SBX_CODEX_PART,
    SBX_CODEX_DELTA,
    SBX_CODEX_TEXT_DONE,
    SBX_CODEX_PART_DONE,
    SBX_CODEX_ITEM_DONE,
    SBX_CODEX_COMPLETED
};


typedef struct {
    const char       *type;
    const char       *prefix;
} sbx_codex_prefix_t;


static const char  *sbx_codex_refused[] = {
    "max_output_tokens", "temperature", "top_p", "user", "truncation",
    "previous_response_id", "prompt_cache_retention", "safety_identifier",
    "metadata", "generate", NULL
};

static const char  *sbx_codex_refused_compact[] = {
    "stream", "store", "include", "tool_choice", NULL
};

static const sbx_codex_prefix_t  sbx_codex_prefixes[] = {
    { "\"message\"", "\"msg_" },
    { "\"reasoning\"", "\"rs_" },
    { "\"function_call\"", "\"fc_" },
    { NULL, NULL }
};


static int
sbx_codex_header(sbx_conn_t *c, const char *name, sbx_str_t *v)
{
    size_t       n;
    const char  *p, *end, *eol;

    n = strlen(name);
    p = c->in;
    end = c->in + c->req.head_len;

    while (p < end) {
        eol = memchr(p, '\n', (size_t) (end - p));
        if (eol == NULL) {
            break;
        }

        if ((size_t) (eol - p) > n && strncasecmp(p, name, n) == 0
            && p[n] == ':')
        {
            p += n + 1;
            while (*p == ' ') {
                p++;
            }

            v->data = p;
            v->len = (size_t) (eol - p);

            if (v->len && p[v->len - 1] == '\r') {
                v->len--;
            }

            return SBX_OK;
        }

        p = eol + 1;
    }

    v->len = 0;

    return SBX_DECLINED;
}


static int
sbx_codex_has_session(sbx_conn_t *c)
{
    sbx_str_t  v;

    return sbx_codex_header(c, "session_id", &v) == SBX_OK
           || sbx_codex_header(c, "session-id", &v) == SBX_OK;
}


static void
sbx_codex_put_window(sbx_buf_t *b, const char *place, const char *percent,
    long minutes, time_t reset)
{
    sbx_putf(b, "x-codex-%s-used-percent: %s\r\n"
             "x-codex-%s-window-minutes: %ld\r\n"
             "x-codex-%s-reset-at: %lld\r\n",
             place, percent, place, minutes, place, (long long) reset);
}


static void
sbx_codex_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    const char  *u;

    sbx_lit(b, "x-request-id: req_codex");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\r\nx-codex-turn-state: state-of-the-turn\r\n"
               "openai-model: sandbox\r\n");

    if (c->act.flags & SBX_F_NOWINDOW) {
        return;
    }

    u = c->act.unified;

    sbx_codex_put_window(b, "primary",
                         (u && strcmp(u, "7d") == 0) ? "100.0"
                         : c->act.util_7d ? c->act.util_7d : "42.5", 10080,
                         u ? sbx_time + c->act.reset
                           : (sbx_time / 604800 + 1) * 604800);
    sbx_codex_put_window(b, "secondary",
                         (u && strcmp(u, "5h") == 0) ? "100.0"
                         : c->act.util_5h ? c->act.util_5h : "11.0", 300,
                         u ? sbx_time + c->act.reset
                           : (sbx_time / 18000 + 1) * 18000);
}


/* {"detail":"text"}, or an error with a type or a code if it has one */

static void
sbx_codex_error(sbx_conn_t *c, int status, const char *type,
    const char *code, const char *message)
{
    sbx_buf_t  *b;

    b = &c->text;
    b->len = 0;

    if (c->act.flags & SBX_F_HTML) {
        sbx_putf(b, "<html><body>%d</body></html>\n", status);
        sbx_reply_start(c, status, "text/html; charset=UTF-8");
        return;
    }

    if (type == NULL && code == NULL) {
        sbx_lit(b, "{\"detail\":\"");
        sbx_put_json(b, message, strlen(message));
        sbx_lit(b, "\"}");

    } else {
        sbx_lit(b, "{\"error\":{\"message\":\"");
        sbx_put_json(b, message, strlen(message));
        sbx_putf(b, "\",\"type\":\"%s\",\"param\":null,\"code\":",
                 type ? type : "invalid_request_error");

        if (code) {
            sbx_putf(b, "\"%s\"", code);

        } else {
            sbx_lit(b, "null");
        }

        if (type && strcmp(type, "usage_limit_reached") == 0) {
            sbx_putf(b, ",\"plan_type\":\"plus\",\"resets_at\":%lld,"
                     "\"resets_in_seconds\":%ld",
                     (long long) sbx_time + c->act.reset, c->act.reset);
        }

        sbx_lit(b, "}}");
    }

    sbx_reply_start(c, status, "application/json");
    c->rep.headers = sbx_codex_headers;
}


static void
sbx_codex_bad(sbx_conn_t *c, const char *what, const char *name)
{
    char  text[256];

    snprintf(text, sizeof(text), "%s%s", what, name ? name : "");
    sbx_codex_error(c, 400, NULL, NULL, text);
}


static void
sbx_codex_put_sealed(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, SBX_CODEX_SEALED);
    sbx_put_hex(b, c->req.cred->hash, 16);
}


/* what an account has encrypted, it alone can read */

static int
sbx_codex_own(sbx_conn_t *c, sbx_str_t *value)
{
    int        rc;
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));

    sbx_lit(&b, "\"");
    sbx_codex_put_sealed(c, &b);
    sbx_lit(&b, "\"");

    rc = (b.len == value->len && memcmp(b.data, value->data, b.len) == 0);

    free(b.data);

    return rc;
}


static int
sbx_codex_item(sbx_conn_t *c, sbx_str_t *item)
{
    sbx_str_t                  type, id, sealed;
    const sbx_codex_prefix_t  *p;

    if (sbx_json_get(item, "type", &type) != SBX_OK) {
        type.data = "\"message\"";
        type.len = sizeof("\"message\"") - 1;
    }

    if (sbx_json_get(item, "encrypted_content", &sealed) == SBX_OK
        && sealed.data[0] == '"' && !sbx_codex_own(c, &sealed))
    {
        sbx_codex_error(c, 400, "invalid_request_error",
                        "invalid_encrypted_content",
                        "The encrypted content could not be verified.");
        return SBX_ERROR;
    }

    if (sbx_json_get(item, "id", &id) != SBX_OK) {
        return SBX_OK;
    }

    for (p = sbx_codex_prefixes; p->type; p++) {
        if (strlen(p->type) == type.len
            && memcmp(p->type, type.data, type.len) == 0
            && (id.len < strlen(p->prefix)
                || memcmp(p->prefix, id.data, strlen(p->prefix)) != 0))
        {
            sbx_codex_bad(c, "Invalid 'input[].id'", NULL);
            return SBX_ERROR;
        }
    }

    return SBX_OK;
}


static int
sbx_codex_input(sbx_conn_t *c, sbx_str_t *input)
{
    sbx_str_t    item;
    const char  *pos;

    if (input->data == NULL || input->data[0] != '[') {
        sbx_codex_bad(c, "Input must be a list", NULL);
        return SBX_ERROR;
    }

    pos = NULL;

    while (sbx_json_item(input, &pos, &item) == SBX_OK) {
        if (item.data[0] == '{' && sbx_codex_item(c, &item) != SBX_OK) {
            return SBX_ERROR;
        }
    }

    return SBX_OK;
}


static int
sbx_codex_allowed(sbx_conn_t *c, sbx_str_t *key, const char **names)
{
    for ( /* void */ ; *names; names++) {
        if (strlen(*names) == key->len
            && memcmp(*names, key->data, key->len) == 0)
        {
            sbx_codex_bad(c, "Unsupported parameter: ", *names);
            return SBX_ERROR;
        }
    }

    return SBX_OK;
}


/* A12 */

static int
sbx_codex_check(sbx_conn_t *c, int compact)
{
    int          rc, stream, store;
    sbx_str_t    body, key, value, input;
    const char  *pos;

    body = c->req.body;
    pos = NULL;
    stream = store = 0;
    input.data = NULL;
    c->ask.model.len = 0;

    while ((rc = sbx_json_each(&body, &pos, &key, &value)) == SBX_OK) {

        if (sbx_codex_allowed(c, &key, sbx_codex_refused) != SBX_OK
            || (compact && sbx_codex_allowed(c, &key,
                                             sbx_codex_refused_compact)
                           != SBX_OK))
        {
            return SBX_ERROR;
        }

        if (sbx_is(&key, "stream")) {
            stream = sbx_is(&value, "true");

        } else if (sbx_is(&key, "store")) {
            store = sbx_is(&value, "false");

        } else if (sbx_is(&key, "instructions") && value.data[0] != '"') {
            sbx_codex_bad(c, "Instructions are not valid", NULL);
            return SBX_ERROR;

        } else if (sbx_is(&key, "stream_options")
                   && (value.data[0] != '{'
                       || memmem(value.data, value.len, "include_", 8)))
        {
            sbx_codex_bad(c, "Unsupported parameter: ", "stream_options");
            return SBX_ERROR;

        } else if (sbx_is(&key, "input")) {
            input = value;

        } else if (sbx_is(&key, "model") && value.len > 2
                   && value.len < 256 && value.data[0] == '"')
        {
            c->ask.model.data = value.data + 1;
            c->ask.model.len = value.len - 2;
        }
    }

    if (rc == SBX_ERROR || c->ask.model.len == 0) {
        sbx_codex_bad(c, "Invalid request body", NULL);
        return SBX_ERROR;
    }

    if (!compact && !stream) {
        sbx_codex_bad(c, "Stream must be set to true", NULL);
        return SBX_ERROR;
    }

    if (!compact && !store) {
        sbx_codex_bad(c, "Store must be set to false", NULL);
        return SBX_ERROR;
    }

    return sbx_codex_input(c, &input);
}


/* A12: a model that wants a client of 0.153 at least, and one of no plan */

static int
sbx_codex_model(sbx_conn_t *c)
{
    int        minor;
    char       text[160];
    sbx_str_t  v;

    if (sbx_is(&c->ask.model, "gpt-6-astra")) {

        minor = (sbx_codex_header(c, "version", &v) == SBX_OK && v.len > 2
                 && memcmp(v.data, "0.", 2) == 0) ? atoi(v.data + 2) : 0;

        if (minor < 153) {
            sbx_codex_bad(c, "The 'gpt-6-astra' model requires a newer "
                          "version of Codex. Please upgrade", NULL);
            return SBX_ERROR;
        }
    }

    if (sbx_is(&c->ask.model, "gpt-none")) {
        snprintf(text, sizeof(text), "The 'gpt-none' model is not supported "
                 "when using Codex with a ChatGPT account.");
        sbx_codex_bad(c, text, NULL);
        return SBX_ERROR;
    }

    return SBX_OK;
}


static void
sbx_codex_event(sbx_conn_t *c, sbx_buf_t *b, const char *name)
{
    sbx_putf(b, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%ld",
             name, name, (long) c->rep.gen.index++);
}


static void
sbx_codex_event_end(sbx_buf_t *b)
{
    sbx_lit(b, "}\n\n");
}


static void
sbx_codex_put_usage(sbx_conn_t *c, sbx_buf_t *b)
{
    long  input;

    input = c->act.input + c->act.cache_read;

    sbx_putf(b, "{\"input_tokens\":%ld,\"input_tokens_details\":"
             "{\"cached_tokens\":%ld},\"output_tokens\":%ld,"
             "\"output_tokens_details\":{\"reasoning_tokens\":1},"
             "\"total_tokens\":%ld}",
             input, sbx_codex_has_session(c) ? c->act.cache_read : 0,
             c->act.events + 1, input + c->act.events + 1);
}


static void
sbx_codex_put_response(sbx_conn_t *c, sbx_buf_t *b, const char *status)
{
    sbx_lit(b, ",\"response\":{\"id\":\"resp_sandbox");
    sbx_put_hex(b, c->req.id, 8);
    sbx_putf(b, "\",\"object\":\"response\",\"created_at\":%lld,"
             "\"status\":\"%s\",\"model\":\"", (long long) sbx_time, status);
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_lit(b, "\",\"incomplete_details\":null,\"instructions\":null,"
               "\"metadata\":{},\"parallel_tool_calls\":true,"
               "\"temperature\":1.0,\"tool_choice\":\"auto\",\"tools\":[],"
               "\"top_p\":1.0,\"output\":[]");
}


static void
sbx_codex_failed(sbx_conn_t *c, sbx_buf_t *b, const char *code)
{
    const char  *message;

    message = c->act.message ? c->act.message : "sandbox: it has failed";

    sbx_codex_event(c, b, "response.failed");
    sbx_codex_put_response(c, b, "failed");
    sbx_putf(b, ",\"error\":{\"code\":\"%s\",\"message\":\"", code);
    sbx_put_json(b, message, strlen(message));
    sbx_lit(b, "\"},\"usage\":null}");
    sbx_codex_event_end(b);
}


static void
sbx_codex_put_text(sbx_conn_t *c, sbx_buf_t *b, long from, long n)
{
    for ( /* void */ ; n; n--, from++) {
        sbx_putf(b, "word%ld ", from);
    }

    (void) c;
}


static void
sbx_codex_put_item(sbx_conn_t *c, sbx_buf_t *b, int done)
{
    sbx_lit(b, "{\"id\":\"msg_sandbox");
    sbx_put_hex(b, c->req.id, 8);
    sbx_putf(b, "\",\"type\":\"message\",\"status\":\"%s\","
             "\"role\":\"assistant\",\"content\":[",
             done ? "completed" : "in_progress");

    if (done) {
        sbx_lit(b, "{\"type\":\"output_text\",\"annotations\":[],"
                   "\"text\":\"");
        sbx_codex_put_text(c, b, 0, c->act.events);
        sbx_lit(b, "\"}");
    }

    sbx_lit(b, "]}");
}


static void
sbx_codex_put_place(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, ",\"item_id\":\"msg_sandbox");
    sbx_put_hex(b, c->req.id, 8);
    sbx_lit(b, "\",\"output_index\":1,\"content_index\":0");
}


/* the item of reasoning comes whole */

static void
sbx_codex_reasoning(sbx_conn_t *c, sbx_buf_t *b)
{
    int  i;

    for (i = 0; i < 2; i++) {
        sbx_codex_event(c, b, i ? "response.output_item.done"
                                : "response.output_item.added");
        sbx_lit(b, ",\"output_index\":0,\"item\":{\"id\":\"rs_sandbox");
        sbx_put_hex(b, c->req.id, 8);
        sbx_lit(b, "\",\"type\":\"reasoning\",\"summary\":[],"
                   "\"encrypted_content\":\"");
        sbx_codex_put_sealed(c, b);
        sbx_lit(b, "\"}");
        sbx_codex_event_end(b);
    }
}


static int
sbx_codex_next(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    if (g->error) {
        sbx_codex_failed(c, b, c->act.code ? c->act.code
                                           : "server_is_overloaded");
        return SBX_END;
    }

    switch (g->phase) {

    case SBX_CODEX_CREATED:
        sbx_codex_event(c, b, "response.created");
        sbx_codex_put_response(c, b, "in_progress");
        sbx_lit(b, "}");
        break;

    case SBX_CODEX_IN_PROGRESS:
        sbx_codex_event(c, b, "response.in_progress");
        sbx_codex_put_response(c, b, "in_progress");
        sbx_lit(b, "}");
        break;

    case SBX_CODEX_REASONING:

        if (c->act.error_first) {
            sbx_codex_failed(c, b, c->act.error_first);
            return SBX_END;
        }

        sbx_codex_reasoning(c, b);
        g->phase++;
        return SBX_OK;

    case SBX_CODEX_ITEM:
        sbx_codex_event(c, b, "response.output_item.added");
        sbx_lit(b, ",\"output_index\":1,\"item\":");
        sbx_codex_put_item(c, b, 0);
        break;

    case SBX_CODEX_PART:
        sbx_codex_event(c, b, "response.content_part.added");
        sbx_codex_put_place(c, b);
        sbx_lit(b, ",\"part\":{\"type\":\"output_text\",\"annotations\":[],"
                   "\"text\":\"\"}");
        g->opened = 1;
        break;

    case SBX_CODEX_DELTA:

        if (g->i < c->act.events) {
            sbx_codex_event(c, b, "response.output_text.delta");
            sbx_codex_put_place(c, b);
            sbx_lit(b, ",\"delta\":\"");
            sbx_codex_put_text(c, b, g->i, 1);
            sbx_lit(b, "\"");
            sbx_codex_event_end(b);
            g->i++;
            g->deltas++;
            g->paced = 1;
            return SBX_OK;
        }

        g->phase++;

        /* fall through */

    case SBX_CODEX_TEXT_DONE:
        sbx_codex_event(c, b, "response.output_text.done");
        sbx_codex_put_place(c, b);
        sbx_lit(b, ",\"text\":\"");
        sbx_codex_put_text(c, b, 0, c->act.events);
        sbx_lit(b, "\"");
        break;

    case SBX_CODEX_PART_DONE:
        sbx_codex_event(c, b, "response.content_part.done");
        sbx_codex_put_place(c, b);
        sbx_lit(b, ",\"part\":{\"type\":\"output_text\",\"annotations\":[],"
                   "\"text\":\"");
        sbx_codex_put_text(c, b, 0, c->act.events);
        sbx_lit(b, "\"}");
        break;

    case SBX_CODEX_ITEM_DONE:
        sbx_codex_event(c, b, "response.output_item.done");
        sbx_lit(b, ",\"output_index\":1,\"item\":");
        sbx_codex_put_item(c, b, 1);
        break;

    default: /* SBX_CODEX_COMPLETED */
        sbx_codex_event(c, b, "response.completed");
        sbx_codex_put_response(c, b, "completed");
        sbx_lit(b, ",\"error\":null,\"usage\":");
        sbx_codex_put_usage(c, b);
        sbx_lit(b, "}");
        sbx_codex_event_end(b);
        return SBX_END;
    }

    sbx_codex_event_end(b);
    g->phase++;

    return SBX_OK;
}


static void
sbx_codex_responses(sbx_conn_t *c)
{
    if (sbx_codex_check(c, 0) != SBX_OK || sbx_codex_model(c) != SBX_OK) {
        return;
    }

    sbx_reply_start(c, 200, "text/event-stream; charset=utf-8");
    c->rep.headers = sbx_codex_headers;
    c->rep.next = sbx_codex_next;
}


static void
sbx_codex_compact(sbx_conn_t *c)
{
    sbx_buf_t  *b;

    if (sbx_codex_check(c, 1) != SBX_OK) {
        return;
    }

    b = &c->text;

    sbx_lit(b, "{\"id\":\"resp_compact");
    sbx_put_hex(b, c->req.id, 8);
    sbx_putf(b, "\",\"object\":\"response.compaction\",\"created_at\":%lld,"
             "\"output\":[{\"type\":\"compaction\",\"encrypted_content\":\"",
             (long long) sbx_time);
    sbx_codex_put_sealed(c, b);
    sbx_lit(b, "\"}],\"usage\":");
    sbx_codex_put_usage(c, b);
    sbx_lit(b, "}");

    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_codex_headers;
}


static void
sbx_codex_usage(sbx_conn_t *c)
{
    sbx_putf(&c->text, "{\"plan_type\":\"plus\",\"rate_limit\":{"
             "\"allowed\":true,\"limit_reached\":false,\"primary_window\":{"
             "\"used_percent\":%s,\"limit_window_seconds\":604800,"
             "\"reset_after_seconds\":1000,\"reset_at\":%lld},"
             "\"secondary_window\":{\"used_percent\":%s,"
             "\"limit_window_seconds\":18000,\"reset_after_seconds\":500,"
             "\"reset_at\":%lld}},\"credits\":null}",
             c->act.util_7d ? c->act.util_7d : "42.5",
             (long long) sbx_time + 1000,
             c->act.util_5h ? c->act.util_5h : "11",
             (long long) sbx_time + 500);

    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_codex_headers;
}


static void
sbx_codex_models(sbx_conn_t *c)
{
    sbx_lit(&c->text, "{\"models\":[{\"slug\":\"gpt-6-sol\","
            "\"display_name\":\"gpt-6-sol\",\"visibility\":\"list\"}]}");

    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_codex_headers;
}


static int
sbx_codex_ready(sbx_conn_t *c)
{
    char         text[160];
    sbx_act_t   *a;
    sbx_str_t    v;
    const char  *message;

    a = &c->act;

    if (c->req.cred == NULL || c->req.auth != SBX_AUTH_BEARER) {
        sbx_codex_error(c, 401, NULL, NULL, "Unauthorized");
        return SBX_ERROR;
    }

    if (sbx_codex_header(c, "chatgpt-account-id", &v) != SBX_OK) {
        sbx_codex_error(c, 401, NULL, NULL, "sandbox: whose account is it?");
        return SBX_ERROR;
    }

    if (sbx_oauth_access(c) != SBX_OK) {
        return SBX_ERROR;
    }

    if (a->bad) {
        snprintf(text, sizeof(text), "sandbox: unknown or bad command \"%s\"",
                 a->bad);
        sbx_codex_error(c, 400, NULL, NULL, text);
        return SBX_ERROR;
    }

    if (a->status == 0 && a->unified) {
        a->status = 429;

        if (a->type == NULL) {
            a->type = (char *) "usage_limit_reached";
        }
    }

    if (a->status) {
        message = a->message ? a->message
                  : a->type ? "The usage limit has been reached"
                            : "sandbox: refused";
        sbx_codex_error(c, (int) a->status, a->type, a->code, message);
        return SBX_ERROR;
    }

    return SBX_OK;
}


int
sbx_codex(sbx_conn_t *c)
{
    size_t       n;
    sbx_str_t    rest;
    const char  *p;

    static const char  root[] = "/backend-api/";

    n = sizeof(root) - 1;
    p = memmem(c->req.path.data, c->req.path.len, root, n);

    if (p == NULL) {
        return SBX_DECLINED;
    }

    rest.data = p + n;
    rest.len = c->req.path.len - (size_t) (rest.data - c->req.path.data);

    if (sbx_codex_ready(c) != SBX_OK) {
        return SBX_OK;
    }

    if (sbx_is(&rest, "codex/responses") && sbx_is(&c->req.method, "POST")) {
        sbx_codex_responses(c);

    } else if (sbx_is(&rest, "codex/responses/compact")
               && sbx_is(&c->req.method, "POST"))
    {
        sbx_codex_compact(c);

    } else if (sbx_is(&rest, "codex/models")) {
        sbx_codex_models(c);

    } else if (sbx_is(&rest, "wham/usage")) {
        sbx_codex_usage(c);

    } else {
        sbx_codex_error(c, 404, NULL, NULL, "Not Found");
    }

    return SBX_OK;
}
