
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The Gemini API: generateContent, its stream as events and as an array,
 * countTokens, embeddings, models and files.
 */


#include "sandbox.h"


#define SBX_GEMINI_MODEL  128
#define SBX_GEMINI_DIMS   4
#define SBX_GEMINI_TYPE   "{\"@type\":\"type.googleapis.com/google.rpc."


typedef enum {
    SBX_GEMINI_OTHER = 0,
    SBX_GEMINI_GENERATE,
    SBX_GEMINI_STREAM,
    SBX_GEMINI_COUNT,
    SBX_GEMINI_EMBED,
    SBX_GEMINI_EMBEDS
} sbx_gemini_e;


typedef struct {
    const char       *verb;
    sbx_gemini_e      what;
} sbx_gemini_verb_t;


static const sbx_gemini_verb_t  sbx_gemini_verbs[] = {
    { ":generateContent", SBX_GEMINI_GENERATE },
    { ":streamGenerateContent", SBX_GEMINI_STREAM },
    { ":countTokens", SBX_GEMINI_COUNT },
    { ":embedContent", SBX_GEMINI_EMBED },
    { ":batchEmbedContents", SBX_GEMINI_EMBEDS },
    { NULL, SBX_GEMINI_OTHER }
};


typedef struct {
    int               status;
    const char       *name;
    const char       *message;
} sbx_gemini_error_t;


static const sbx_gemini_error_t  sbx_gemini_errors[] = {
    { 400, "INVALID_ARGUMENT", "Request contains an invalid argument." },
    { 401, "UNAUTHENTICATED", "Request had invalid authentication "
           "credentials." },
    { 403, "PERMISSION_DENIED", "The caller does not have permission" },
    { 404, "NOT_FOUND", "Requested entity was not found." },
    { 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check "
           "quota)." },
    { 499, "CANCELLED", "The operation was cancelled." },
    { 500, "INTERNAL", "An internal error has occurred." },
    { 503, "UNAVAILABLE", "The model is overloaded. Please try again "
           "later." },
    { 504, "DEADLINE_EXCEEDED", "The request timed out." },
    { 0, NULL, NULL }
};


static const char  *sbx_gemini_words[] = {
    "Gemini ", "of ", "the ", "sandbox ", "says ", "\xe4\xb8\x96\xe7\x95\x8c "
};

static const char  *sbx_gemini_names[] = {
    "gemini-3.1-pro-preview", "gemini-2.5-pro", "gemini-2.5-flash",
    "gemini-embedding-001"
};

#define SBX_GEMINI_NAMES                                                      \
    (sizeof(sbx_gemini_names) / sizeof(sbx_gemini_names[0]))


static int
sbx_gemini_ends(sbx_str_t *s, const char *end)
{
    size_t  n;

    n = strlen(end);

    return s->len >= n && memcmp(s->data + s->len - n, end, n) == 0;
}


static int
sbx_gemini_arg(sbx_str_t *args, const char *name, const char *is)
{
    int        found;
    sbx_buf_t  v;

    memset(&v, 0, sizeof(v));

    found = (sbx_arg(args, name, &v) == SBX_OK
             && (is == NULL
                 || (v.len == strlen(is) && memcmp(v.data, is, v.len) == 0)));

    free(v.data);

    return found;
}


/* in an array, where an array is what a client waits for */

static void
sbx_gemini_put_error(sbx_conn_t *c, sbx_buf_t *b, int status,
    const char *name, const char *message, const char *reason)
{
    sbx_act_t  *a;

    a = &c->act;

    sbx_putf(b, "{\"error\":{\"code\":%d,\"message\":\"", status);
    sbx_put_json(b, message, strlen(message));
    sbx_putf(b, "\",\"status\":\"%s\"", name);

    if (reason || a->quota_id || a->retry_delay || a->retry_after >= 0) {
        sbx_lit(b, ",\"details\":[");

        if (reason) {
            sbx_putf(b, SBX_GEMINI_TYPE "ErrorInfo\",\"reason\":\"%s\","
                     "\"domain\":\"googleapis.com\"}", reason);
        }

        if (a->quota_id) {
            sbx_putf(b, "%s" SBX_GEMINI_TYPE "QuotaFailure\",\"violations\":"
                     "[{\"quotaMetric\":\"generate_requests\",\"quotaId\":"
                     "\"%s\"}]}", reason ? "," : "", a->quota_id);
        }

        if (a->retry_delay || a->retry_after >= 0) {
            sbx_puts(b, (reason || a->quota_id) ? "," : "");
            sbx_lit(b, SBX_GEMINI_TYPE "RetryInfo\",\"retryDelay\":\"");

            if (a->retry_delay) {
                sbx_puts(b, a->retry_delay);

            } else {
                sbx_putf(b, "%lds", a->retry_after);
            }

            sbx_lit(b, "\"}");
        }

        sbx_lit(b, "]");
    }

    sbx_lit(b, "}}");
}


static void
sbx_gemini_fail(sbx_conn_t *c, int status, const char *message,
    const char *reason)
{
    int                        array;
    const char                *name;
    const sbx_gemini_error_t  *e;

    for (e = sbx_gemini_errors; e->status && e->status != status; e++) {
        /* void */
    }

    name = c->act.type ? c->act.type : e->name ? e->name : "UNKNOWN";
    message = message ? message : e->message ? e->message : "sandbox error";

    c->text.len = 0;

    if (c->act.flags & SBX_F_HTML) {
        sbx_putf(&c->text, "<html><title>Error %d</title></html>", status);
        sbx_reply_start(c, status, "text/html; charset=UTF-8");
        return;
    }

    array = sbx_gemini_ends(&c->req.path, ":streamGenerateContent")
            && !sbx_gemini_arg(&c->req.args, "alt", "sse");

    sbx_puts(&c->text, array ? "[" : "");
    sbx_gemini_put_error(c, &c->text, status, name, message, reason);
    sbx_puts(&c->text, array ? "]\n" : "\n");

    sbx_reply_start(c, status, "application/json; charset=UTF-8");
}


static long
sbx_gemini_output(sbx_conn_t *c)
{
    return c->act.output >= 0 ? c->act.output
           : c->ask.tool ? 20 : c->act.events;
}


/* the counts of "input", "cache-read" and "output" of the commands */

static void
sbx_gemini_usage(sbx_conn_t *c, sbx_buf_t *b, int last)
{
    long        prompt, output, thoughts;
    sbx_act_t  *a;

    a = &c->act;

    if (a->flags & SBX_F_NO_USAGE) {
        return;
    }

    prompt = a->input + a->cache_read;
    output = sbx_gemini_output(c);
    thoughts = (a->flags & SBX_F_THINKING) ? 14 : 0;

    sbx_putf(b, ",\"usageMetadata\":{\"promptTokenCount\":%ld", prompt);

    if (last) {
        sbx_putf(b, ",\"candidatesTokenCount\":%ld", output);
    }

    sbx_putf(b, ",\"totalTokenCount\":%ld",
             prompt + (last ? output + thoughts : 0));

    if (a->cache_read) {
        sbx_putf(b, ",\"cachedContentTokenCount\":%ld", a->cache_read);
    }

    sbx_putf(b, ",\"promptTokensDetails\":[{\"modality\":\"TEXT\","
             "\"tokenCount\":%ld}]", prompt);

    if (last && thoughts) {
        sbx_putf(b, ",\"thoughtsTokenCount\":%ld", thoughts);
    }

    sbx_lit(b, "}");
}


static void
sbx_gemini_open(sbx_buf_t *b)
{
    sbx_lit(b, "{\"candidates\":[{\"content\":{\"parts\":[");
}


static void
sbx_gemini_close(sbx_conn_t *c, sbx_buf_t *b, int last)
{
    sbx_lit(b, "],\"role\":\"model\"}");

    if (last) {
        sbx_putf(b, ",\"finishReason\":\"%s\"",
                 c->act.stop ? c->act.stop : "STOP");
    }

    sbx_lit(b, ",\"index\":0}]");
    sbx_gemini_usage(c, b, last);
    sbx_lit(b, ",\"modelVersion\":\"");

    if (c->act.model) {
        sbx_puts(b, c->act.model);

    } else {
        sbx_put_json(b, c->ask.model.data, c->ask.model.len);
    }

    sbx_lit(b, "\",\"responseId\":\"sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\"}");
}


static void
sbx_gemini_text(sbx_conn_t *c, sbx_buf_t *b, long i)
{
    long         n;
    const char  *word;

    sbx_lit(b, "{\"text\":\"");

    for (n = 0; n < c->act.size; n++) {
        sbx_put(b, &"The quick brown fox. "[n % 21], 1);
    }

    if (c->act.size == 0) {
        word = sbx_gemini_words[i % 6];
        sbx_puts(b, word);
    }

    sbx_lit(b, "\"}");
}


static void
sbx_gemini_call(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "{\"functionCall\":{\"name\":\"");
    sbx_put_json(b, c->ask.tool_name.data, c->ask.tool_name.len);
    sbx_lit(b, "\",\"args\":");
    sbx_put(b, c->ask.tool_input.data, c->ask.tool_input.len);
    sbx_lit(b, "},\"thoughtSignature\":\"c2lnbmF0dXJl\"}");
}


static void
sbx_gemini_thought(sbx_buf_t *b)
{
    sbx_lit(b, "{\"text\":\"thought \",\"thought\":true}");
}


/* all of it in one object */

static void
sbx_gemini_whole(sbx_conn_t *c, sbx_buf_t *b)
{
    long  i;

    sbx_gemini_open(b);

    if (c->act.flags & SBX_F_THINKING) {
        sbx_gemini_thought(b);
        sbx_lit(b, ",");
    }

    if (c->ask.tool) {
        sbx_gemini_call(c, b);

    } else {
        for (i = 0; i < c->act.events; i++) {
            sbx_puts(b, i ? "," : "");
            sbx_gemini_text(c, b, i);
        }
    }

    sbx_gemini_close(c, b, 1);
}


/* what is around a chunk */

static void
sbx_gemini_before(sbx_conn_t *c, sbx_buf_t *b)
{
    const char  *eol;

    if (!c->ask.stream) {
        sbx_puts(b, c->rep.gen.index ? ",\r\n" : "[");
        c->rep.gen.index = 1;
        return;
    }

    eol = (c->act.flags & SBX_F_CRLF) ? "\r\n" : "\n";

    if (c->act.flags & SBX_F_COMMENTS) {
        sbx_lit(b, ": sandbox comment");
        sbx_puts(b, eol);
        sbx_puts(b, eol);
    }

    sbx_puts(b, (c->act.flags & SBX_F_NOSPACE) ? "data:" : "data: ");
}


static void
sbx_gemini_after(sbx_conn_t *c, sbx_buf_t *b, int last)
{
    if (!c->ask.stream) {
        sbx_puts(b, last ? "]" : "");
        return;
    }

    sbx_puts(b, (c->act.flags & SBX_F_CRLF) ? "\r\n\r\n" : "\n\n");
}


static void
sbx_gemini_event_error(sbx_conn_t *c, sbx_buf_t *b, const char *name)
{
    const char                *message;
    const sbx_gemini_error_t  *e;

    for (e = sbx_gemini_errors; e->status && strcmp(e->name, name); e++) {
        /* void */
    }

    message = c->act.message ? c->act.message
              : e->message ? e->message : "sandbox error";

    sbx_gemini_before(c, b);
    sbx_gemini_put_error(c, b, e->status ? e->status : 500, name, message,
                         c->act.code);
    sbx_gemini_after(c, b, 1);
}


/* the next chunk of a stream: a unit of reply.c */

static int
sbx_gemini_next(sbx_conn_t *c, sbx_buf_t *b)
{
    int         last;
    sbx_gen_t  *g;

    g = &c->rep.gen;

    if (g->error) {
        sbx_gemini_event_error(c, b, c->act.type ? c->act.type
                                                 : "UNAVAILABLE");
        return SBX_END;
    }

    if (g->phase == 0 && c->act.error_first) {
        sbx_gemini_event_error(c, b, c->act.error_first);
        return SBX_END;
    }

    sbx_gemini_before(c, b);

    if (g->phase == 0 && (c->act.flags & SBX_F_NO_CONTENT)) {
        sbx_lit(b, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}");
        sbx_gemini_usage(c, b, 0);
        sbx_lit(b, "}");
        sbx_gemini_after(c, b, 1);
        return SBX_END;
    }

    sbx_gemini_open(b);

    if (g->phase == 0 && (c->act.flags & SBX_F_THINKING)) {
        sbx_gemini_thought(b);
        sbx_gemini_close(c, b, 0);
        sbx_gemini_after(c, b, 0);
        g->phase = 1;
        g->opened = 1;
        return SBX_OK;
    }

    g->phase = 1;
    g->opened = 1;

    last = (g->i >= c->act.events || c->ask.tool);

    if (c->ask.tool) {
        sbx_gemini_call(c, b);

    } else if (last) {
        sbx_lit(b, "{\"text\":\"\"}");

    } else {
        sbx_gemini_text(c, b, g->i);
        g->deltas++;
        g->paced = 1;
    }

    sbx_gemini_close(c, b, last);
    sbx_gemini_after(c, b, last);

    g->i++;

    return last ? SBX_END : SBX_OK;
}


/* "#tool NAME {...}" anywhere in the body: a call of it */

static void
sbx_gemini_tool(sbx_conn_t *c)
{
    const char  *p, *q, *end;

    c->ask.tool = 0;
    c->ask.tool_name.len = 0;
    c->ask.tool_input.len = 0;

    if (c->req.body.len == 0) {
        return;
    }

    p = memmem(c->req.body.data, c->req.body.len, "#tool ", 6);

    /* what it has returned is in the body then */

    if (p == NULL
        || memmem(c->req.body.data, c->req.body.len, "functionResponse", 16))
    {
        return;
    }

    end = c->req.body.data + c->req.body.len;
    p += 6;

    for (q = p; q < end && *q > ' ' && *q != '"' && *q != '\\'; q++) {
        /* void */
    }

    c->ask.tool = 1;
    sbx_put(&c->ask.tool_name, p, (size_t) (q - p));
    sbx_lit(&c->ask.tool_input, "{}");
}


static int
sbx_gemini_body(sbx_conn_t *c, const char *key, sbx_str_t *value)
{
    sbx_str_t  body;

    body = c->req.body;

    return (body.len == 0 || body.data[0] != '{')
           ? SBX_ERROR : sbx_json_get(&body, key, value);
}


static void
sbx_gemini_json(sbx_conn_t *c)
{
    sbx_reply_start(c, 200, "application/json; charset=UTF-8");
}


static void
sbx_gemini_values(sbx_buf_t *b)
{
    int  i;

    sbx_lit(b, "{\"values\":[");

    for (i = 0; i < SBX_GEMINI_DIMS; i++) {
        sbx_putf(b, "%s0.0%d", i ? "," : "", i + 1);
    }

    sbx_lit(b, "]}");
}


static void
sbx_gemini_embed(sbx_conn_t *c, sbx_gemini_e what)
{
    int          n;
    sbx_str_t    list, item;
    const char  *pos;

    if (what == SBX_GEMINI_EMBED) {
        sbx_lit(&c->text, "{\"embedding\":");
        sbx_gemini_values(&c->text);
        sbx_putf(&c->text, ",\"usageMetadata\":{\"promptTokenCount\":%ld}}",
                 c->act.input);
        sbx_gemini_json(c);
        return;
    }

    sbx_lit(&c->text, "{\"embeddings\":[");

    n = 0;
    pos = NULL;

    if (sbx_gemini_body(c, "requests", &list) == SBX_OK) {
        while (sbx_json_item(&list, &pos, &item) == SBX_OK) {
            sbx_puts(&c->text, n ? "," : "");
            n = 1;
            sbx_gemini_values(&c->text);
        }
    }

    sbx_lit(&c->text, "]}");
    sbx_gemini_json(c);
}


static void
sbx_gemini_method(sbx_conn_t *c, sbx_gemini_e what)
{
    sbx_str_t  value;

    if (!sbx_is(&c->req.method, "POST")) {
        sbx_gemini_fail(c, 404, NULL, NULL);
        return;
    }

    switch (what) {

    case SBX_GEMINI_COUNT:
        sbx_putf(&c->text, "{\"totalTokens\":%ld,\"promptTokensDetails\":"
                 "[{\"modality\":\"TEXT\",\"tokenCount\":%ld}]}",
                 c->act.input, c->act.input);
        sbx_gemini_json(c);
        return;

    case SBX_GEMINI_EMBED:
    case SBX_GEMINI_EMBEDS:
        sbx_gemini_embed(c, what);
        return;

    default:
        break;
    }

    if (sbx_gemini_body(c, "contents", &value) != SBX_OK) {
        sbx_gemini_fail(c, 400, "* GenerateContentRequest.contents: contents "
                        "is not specified", NULL);
        return;
    }

    sbx_gemini_tool(c);

    if (what == SBX_GEMINI_GENERATE) {
        sbx_gemini_whole(c, &c->text);
        sbx_gemini_json(c);
        return;
    }

    c->ask.stream = sbx_gemini_arg(&c->req.args, "alt", "sse");

    sbx_reply_start(c, 200, c->ask.stream
                            ? "text/event-stream"
                            : "application/json; charset=UTF-8");
    c->rep.next = sbx_gemini_next;
}


static void
sbx_gemini_put_model(sbx_buf_t *b, const char *name)
{
    sbx_putf(b, "{\"name\":\"models/%s\",\"version\":\"001\","
             "\"displayName\":\"%s\",\"inputTokenLimit\":1048576,"
             "\"outputTokenLimit\":65536,\"supportedGenerationMethods\":"
             "[\"generateContent\",\"countTokens\"]}", name, name);
}


static void
sbx_gemini_models(sbx_conn_t *c, sbx_str_t *rest)
{
    size_t  i;

    if (rest->len == 0) {
        sbx_lit(&c->text, "{\"models\":[");

        for (i = 0; i < SBX_GEMINI_NAMES; i++) {
            sbx_puts(&c->text, i ? "," : "");
            sbx_gemini_put_model(&c->text, sbx_gemini_names[i]);
        }

        sbx_lit(&c->text, "]}");
        sbx_gemini_json(c);
        return;
    }

    for (i = 0; i < SBX_GEMINI_NAMES; i++) {

        if (rest->len == strlen(sbx_gemini_names[i]) + 1
            && memcmp(rest->data + 1, sbx_gemini_names[i], rest->len - 1) == 0)
        {
            sbx_gemini_put_model(&c->text, sbx_gemini_names[i]);
            sbx_gemini_json(c);
            return;
        }
    }

    sbx_gemini_fail(c, 404, NULL, NULL);
}


static void
sbx_gemini_files(sbx_conn_t *c, sbx_str_t *rest)
{
    sbx_buf_t  *b;

    b = &c->text;

    if (sbx_is(&c->req.method, "DELETE")) {
        sbx_lit(b, "{}");

    } else if (sbx_is(&c->req.method, "POST")) {
        sbx_lit(b, "{\"file\":{\"name\":\"files/sbx");
        sbx_put_hex(b, c->req.id, 6);
        sbx_lit(b, "\",\"state\":\"ACTIVE\"}}");

    } else if (rest->len) {
        sbx_lit(b, "{\"name\":\"files");
        sbx_put_json(b, rest->data, rest->len);
        sbx_lit(b, "\",\"state\":\"ACTIVE\"}");

    } else {
        sbx_lit(b, "{\"files\":[]}");
    }

    sbx_gemini_json(c);
}


static int
sbx_gemini_prefix(sbx_str_t *path, const char *text, sbx_str_t *rest)
{
    const char  *p;

    p = memmem(path->data, path->len, text, strlen(text));

    if (p == NULL) {
        return 0;
    }

    rest->data = p + strlen(text);
    rest->len = (size_t) (path->data + path->len - rest->data);

    return rest->len == 0 || rest->data[0] == '/';
}


/* one key, and where Google looks for it */

static int
sbx_gemini_credential(sbx_conn_t *c)
{
    if (sbx_gemini_arg(&c->req.args, "key", NULL)) {
        sbx_gemini_fail(c, 400, "sandbox: there is a key in the query", NULL);
        return SBX_ERROR;
    }

    if (c->req.cred == NULL) {
        sbx_gemini_fail(c, 403, "Method doesn't allow unregistered callers "
                        "(callers without established identity). Please use "
                        "API Key or other form of API consumer identity to "
                        "call this API.", NULL);
        return SBX_ERROR;
    }

    if (c->req.auth != SBX_AUTH_OTHER) {
        sbx_gemini_fail(c, 401, NULL, "ACCESS_TOKEN_TYPE_UNSUPPORTED");
        return SBX_ERROR;
    }

    if (c->act.bad) {
        c->act.flags = 0;
        sbx_gemini_fail(c, 400, "sandbox: unknown or bad command", NULL);
        return SBX_ERROR;
    }

    if (c->act.status) {
        sbx_gemini_fail(c, (int) c->act.status, c->act.message, c->act.code);
        return SBX_ERROR;
    }

    return SBX_OK;
}


/* of the path's model: what is between the last "/" and the verb */

static void
sbx_gemini_model(sbx_conn_t *c, const char *verb)
{
    const char  *p, *end;

    end = c->req.path.data + c->req.path.len - strlen(verb);

    for (p = end; p > c->req.path.data && p[-1] != '/'; p--) { /* void */ }

    c->ask.model.data = p;
    c->ask.model.len = (size_t) (end - p);

    if (c->ask.model.len > SBX_GEMINI_MODEL) {
        c->ask.model.len = SBX_GEMINI_MODEL;
    }
}


int
sbx_gemini(sbx_conn_t *c)
{
    sbx_str_t                 *path, rest;
    const sbx_gemini_verb_t   *v;

    path = &c->req.path;

    if (memmem(path->data, path->len, "/v1internal", 11)
        || memmem(path->data, path->len, "/openai/", 8))
    {
        return SBX_DECLINED;
    }

    for (v = sbx_gemini_verbs; v->verb; v++) {
        if (sbx_gemini_ends(path, v->verb)) {
            break;
        }
    }

    /* another dialect may be behind such a prefix */

    if (v->verb == NULL
        && (memmem(path->data, path->len, "/v1beta/", 8) == NULL
            || memmem(path->data, path->len, "/v1/", 4)))
    {
        return SBX_DECLINED;
    }

    if (sbx_gemini_credential(c) != SBX_OK) {
        return SBX_OK;
    }

    if (v->verb) {
        sbx_gemini_model(c, v->verb);
        sbx_gemini_method(c, v->what);

    } else if (sbx_gemini_prefix(path, "/v1beta/models", &rest)) {
        sbx_gemini_models(c, &rest);

    } else if (sbx_gemini_prefix(path, "/v1beta/files", &rest)) {
        sbx_gemini_files(c, &rest);

    } else {
        sbx_gemini_fail(c, 404, NULL, NULL);
    }

    return SBX_OK;
}
