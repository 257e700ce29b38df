
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * OpenAI's API, and Azure's forms of it: others.md A and B.  Streams are in
 * openai_stream.c.
 */


#include "sandbox.h"
#include "openai.h"


#define SBX_OPENAI_KEPT  256


typedef struct {
    int               status;
    const char       *type;
    const char       *code;
    const char       *message;
} sbx_openai_error_t;


static const sbx_openai_error_t  sbx_openai_errors[] = {
    { 400, "invalid_request_error", NULL, "sandbox: invalid request" },
    { 401, "invalid_request_error", "invalid_api_key",
      "Incorrect API key provided" },
    { 403, "permission_error", NULL, "You are not allowed to do that" },
    { 404, "invalid_request_error", NULL, "Not found" },
    { 429, "requests", "rate_limit_exceeded",
      "Rate limit reached for the sandbox on requests per min (RPM)" },
    { 500, "server_error", NULL,
      "The server had an error while processing your request" },
    { 503, "server_error", "server_is_overloaded",
      "Our servers are currently overloaded" },
    { 0, NULL, NULL, NULL }
};


/* responses that are stored, of the credential that made them */

typedef struct {
    uint64_t          id;
    sbx_cred_t       *cred;
    char              model[128];
} sbx_openai_kept_t;


static sbx_openai_kept_t  sbx_openai_kept[SBX_OPENAI_KEPT];
static unsigned           sbx_openai_nkept;


static const char  *sbx_openai_names[] = {
    "/chat/completions", "/responses", "/embeddings", "/completions",
    "/images/generations", "/moderations", "/audio/transcriptions", NULL
};


/* the rest of them belongs to the other dialect, unless the key says so */

static const char  *sbx_openai_shared[] = {
    "/v1/models", "/v1/files", "/openai/models", "/v4/models", NULL
};


static void
sbx_openai_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    int  left;

    sbx_lit(b, "x-request-id: req_sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\r\nopenai-processing-ms: 7\r\n"
               "openai-version: 2020-10-01\r\n");

    if (c->req.cred) {
        sbx_lit(b, "openai-organization: org-");
        sbx_put_hex(b, c->req.cred->hash, 12);
        sbx_lit(b, "\r\n");
    }

    if (sbx_openai_is_azure(c)) {
        sbx_lit(b, "apim-request-id: 5a4db0c5\r\nx-ms-region: Sandbox\r\n");
    }

    if (c->act.flags & SBX_F_NOWINDOW) {
        return;
    }

    left = (c->rep.status == 429) ? 0 : 4999;

    sbx_putf(b, "x-ratelimit-limit-requests: 5000\r\n"
             "x-ratelimit-limit-tokens: 2000000\r\n"
             "x-ratelimit-remaining-requests: %d\r\n"
             "x-ratelimit-remaining-tokens: %d\r\n"
             "x-ratelimit-reset-requests: %s\r\n"
             "x-ratelimit-reset-tokens: 30ms\r\n",
             left, left * 400, left ? "12ms" : "1m2s");
}


void
sbx_openai_error_json(sbx_conn_t *c, sbx_buf_t *b, const char *type,
    const char *code, const char *message)
{
    sbx_lit(b, "{\"error\":{\"message\":\"");
    sbx_put_json(b, message, strlen(message));
    sbx_putf(b, "\",\"type\":\"%s\",\"param\":null,\"code\":", type);

    if (code) {
        sbx_putf(b, "\"%s\"}}", code);

    } else {
        sbx_lit(b, "null}}");
    }
}


static void
sbx_openai_error(sbx_conn_t *c, int status, const char *code,
    const char *message)
{
    const char                *type;
    const sbx_openai_error_t  *e;

    for (e = sbx_openai_errors; e->status && e->status != status; e++) {
        /* void */
    }

    type = e->type;

    if (message == NULL) {
        message = e->message ? e->message : "sandbox error";
        code = e->code;
    }

    if (type == NULL) {
        type = status < 500 ? "invalid_request_error" : "server_error";
    }

    if (c->act.type) {
        type = c->act.type;
        code = NULL;
    }

    if (c->act.code) {
        code = c->act.code;
    }

    c->text.len = 0;

    if (c->act.flags & SBX_F_HTML) {
        sbx_putf(&c->text, "<html><body>%d</body></html>\n", status);
        sbx_reply_start(c, status, "text/html; charset=UTF-8");

    } else {
        sbx_openai_error_json(c, &c->text, type, code, message);
        sbx_reply_start(c, status, "application/json");
    }

    c->rep.headers = sbx_openai_headers;
}


static void
sbx_openai_json(sbx_conn_t *c)
{
    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_openai_headers;
}


int
sbx_openai_is_azure(sbx_conn_t *c)
{
    return memmem(c->req.path.data, c->req.path.len, "/openai/", 8) != NULL;
}


/* what the body asks for */

static int
sbx_openai_ask(sbx_conn_t *c, sbx_openai_ask_t *o)
{
    int          rc;
    sbx_str_t    body, key, value, usage;
    const char  *pos;

    memset(o, 0, sizeof(sbx_openai_ask_t));

    c->ask.model.len = 0;
    c->ask.stream = 0;

    body = c->req.body;
    pos = NULL;

    if (body.len == 0) {
        return SBX_ERROR;
    }

    while ((rc = sbx_json_each(&body, &pos, &key, &value)) == SBX_OK) {

        if (sbx_is(&key, "stream")) {
            c->ask.stream = (value.data[0] == 't');

        } else if (sbx_is(&key, "model")) {
            if (value.len > 2 && value.len < 256 && value.data[0] == '"') {
                c->ask.model.data = value.data + 1;
                c->ask.model.len = value.len - 2;
            }

        } else if (sbx_is(&key, "stream_options")) {
            o->usage = (sbx_json_get(&value, "include_usage", &usage)
                        == SBX_OK && usage.data[0] == 't');

        } else if (sbx_is(&key, "messages")) {
            o->messages = value;

        } else if (sbx_is(&key, "input")) {
            o->input = value;

        } else if (sbx_is(&key, "previous_response_id")) {
            o->previous = value;

        } else if (sbx_is(&key, "store")) {
            o->unstored = (value.data[0] == 'f');

        } else if (sbx_is(&key, "encoding_format")) {
            o->base64 = sbx_is(&value, "\"base64\"");
        }
    }

    if (rc == SBX_ERROR && (c->tail == NULL || pos == NULL)) {
        return SBX_ERROR;
    }

    if (c->tail && c->ask.model.len == 0) {
        c->ask.model.data = "sandbox-model";
        c->ask.model.len = 13;
    }

    /* Azure's dated form has it in the path */

    if (c->ask.model.len == 0) {
        pos = memmem(c->req.path.data, c->req.path.len, "/deployments/", 13);

        if (pos) {
            c->ask.model.data = pos + 13;

            while (c->ask.model.data[c->ask.model.len] != '/') {
                c->ask.model.len++;
            }
        }
    }

    if (c->act.model) {
        c->ask.model.data = c->act.model;
        c->ask.model.len = strlen(c->act.model);
    }

    return SBX_OK;
}


static sbx_openai_kept_t *
sbx_openai_find(sbx_conn_t *c, const char *p, size_t n)
{
    int       i;
    char      text[32];
    uint64_t  id;

    if (n <= 9 || n - 9 >= sizeof(text) || memcmp(p, "resp_0sbx", 9) != 0) {
        return NULL;
    }

    memcpy(text, p + 9, n - 9);
    text[n - 9] = '\0';
    id = strtoull(text, NULL, 16);

    for (i = 0; i < SBX_OPENAI_KEPT; i++) {
        if (sbx_openai_kept[i].id == id && sbx_openai_kept[i].cred
            && sbx_openai_kept[i].cred == c->req.cred)
        {
            return &sbx_openai_kept[i];
        }
    }

    return NULL;
}


static void
sbx_openai_keep(sbx_conn_t *c)
{
    size_t              n;
    sbx_openai_kept_t  *kept;

    kept = &sbx_openai_kept[sbx_openai_nkept++ % SBX_OPENAI_KEPT];

    kept->id = c->req.id;
    kept->cred = c->req.cred;

    n = c->ask.model.len < sizeof(kept->model) ? c->ask.model.len
                                               : sizeof(kept->model) - 1;
    memcpy(kept->model, c->ask.model.data, n);
    kept->model[n] = '\0';
}


void
sbx_openai_forget(void)
{
    memset(sbx_openai_kept, 0, sizeof(sbx_openai_kept));
}


static void
sbx_openai_stored(sbx_conn_t *c, sbx_str_t *rest)
{
    int                 del, cancel, items;
    size_t              n;
    const char         *p;
    sbx_openai_kept_t  *kept;

    p = memchr(rest->data, '/', rest->len);
    n = p ? (size_t) (p - rest->data) : rest->len;

    kept = sbx_openai_find(c, rest->data, n);

    if (kept == NULL) {
        sbx_openai_error(c, 404, NULL, "Response with this id not found.");
        return;
    }

    del = sbx_is(&c->req.method, "DELETE");
    cancel = p && rest->len - n == 7 && memcmp(p, "/cancel", 7) == 0;
    items = p && rest->len - n == 12 && memcmp(p, "/input_items", 12) == 0;

    if (items) {
        sbx_lit(&c->text, "{\"object\":\"list\",\"data\":[],\"has_more\":"
                          "false,\"first_id\":null,\"last_id\":null}");

    } else if (del) {
        sbx_lit(&c->text, "{\"id\":\"");
        sbx_put(&c->text, rest->data, n);
        sbx_lit(&c->text, "\",\"object\":\"response\",\"deleted\":true}");
        kept->cred = NULL;

    } else {
        sbx_lit(&c->text, "{\"id\":\"");
        sbx_put(&c->text, rest->data, n);
        sbx_putf(&c->text, "\",\"object\":\"response\",\"status\":\"%s\","
                 "\"error\":null,\"incomplete_details\":null,\"model\":\"%s\","
                 "\"output\":[],\"usage\":{\"input_tokens\":1,"
                 "\"output_tokens\":1,\"total_tokens\":2}}",
                 cancel ? "cancelled" : "completed", kept->model);
    }

    sbx_openai_json(c);
}


static void
sbx_openai_responses(sbx_conn_t *c, sbx_str_t *rest)
{
    sbx_openai_ask_t  o;

    if (sbx_is(rest, "/input_tokens")) {
        sbx_putf(&c->text, "{\"object\":\"response.input_tokens\","
                 "\"input_tokens\":%lld}", (long long) c->req.received / 4);
        sbx_openai_json(c);
        return;
    }

    if (rest->len > 1 && !sbx_is(rest, "/compact")) {
        rest->data++;
        rest->len--;
        sbx_openai_stored(c, rest);
        return;
    }

    if (!sbx_is(&c->req.method, "POST")) {
        sbx_openai_error(c, 405, NULL, "Not allowed to do that here");
        return;
    }

    if (sbx_openai_ask(c, &o) != SBX_OK) {
        sbx_openai_error(c, 400, NULL, "We could not parse the JSON body");
        return;
    }

    if (o.previous.len > 2
        && sbx_openai_find(c, o.previous.data + 1, o.previous.len - 2)
           == NULL)
    {
        sbx_openai_error(c, 400, "previous_response_not_found",
                         "Previous response was not found.");
        return;
    }

    if (rest->len) {
        sbx_openai_compaction(c, &c->text);
        sbx_openai_json(c);
        return;
    }

    if (!o.unstored) {
        sbx_openai_keep(c);
    }

    if (c->ask.stream) {
        sbx_reply_start(c, 200, "text/event-stream; charset=utf-8");
        c->rep.headers = sbx_openai_headers;
        c->rep.next = sbx_responses_next;
        return;
    }

    sbx_responses_body(c, &c->text);
    sbx_openai_json(c);
}


static void
sbx_openai_chat(sbx_conn_t *c, int text)
{
    sbx_openai_ask_t  o;

    if (sbx_openai_ask(c, &o) != SBX_OK) {
        sbx_openai_error(c, 400, NULL, "We could not parse the JSON body");
        return;
    }

    if (c->ask.model.len == 0) {
        sbx_openai_error(c, 400, NULL, "you must provide a model parameter");
        return;
    }

    if (!text && o.messages.len == 0 && c->tail == NULL) {
        sbx_openai_error(c, 400, "missing_required_parameter",
                         "Missing required parameter: 'messages'.");
        return;
    }

    /* read again by whoever generates */

    c->rep.gen.index = 0;

    if (c->ask.stream) {
        sbx_reply_start(c, 200, "text/event-stream; charset=utf-8");
        c->rep.headers = sbx_openai_headers;
        c->rep.next = text ? sbx_completions_next : sbx_chat_next;
        c->rep.gen.index = o.usage;
        return;
    }

    sbx_chat_body(c, &c->text, text);
    sbx_openai_json(c);
}


static void
sbx_openai_embeddings(sbx_conn_t *c)
{
    int               i;
    sbx_buf_t        *b;
    sbx_str_t         item;
    const char       *pos;
    sbx_openai_ask_t  o;

    if (sbx_openai_ask(c, &o) != SBX_OK || o.input.len == 0) {
        sbx_openai_error(c, 400, NULL, "'$.input' is invalid.");
        return;
    }

    b = &c->text;
    pos = NULL;
    i = 0;

    sbx_lit(b, "{\"object\":\"list\",\"data\":[");

    do {
        if (o.input.data[0] == '[' && sbx_json_item(&o.input, &pos, &item)
                                      != SBX_OK)
        {
            break;
        }

        sbx_putf(b, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":"
                 "%s}", i ? "," : "", i,
                 o.base64 ? "\"zczMPc3MTD6amZk+\"" : "[0.1,0.2,0.3]");
        i++;

    } while (o.input.data[0] == '[');

    sbx_lit(b, "],\"model\":\"");
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_putf(b, "\",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld}}",
             c->act.input, c->act.input);

    sbx_openai_json(c);
}


static void
sbx_openai_images(sbx_conn_t *c)
{
    sbx_openai_ask_t  o;

    if (sbx_openai_ask(c, &o) != SBX_OK) {
        sbx_openai_error(c, 400, NULL, "We could not parse the JSON body");
        return;
    }

    sbx_putf(&c->text, "{\"created\":1790000000,\"data\":[{\"b64_json\":"
             "\"iVBORw0KGgo=\"}],\"usage\":{\"input_tokens\":%ld,"
             "\"input_tokens_details\":{\"text_tokens\":%ld,\"image_tokens\":"
             "0},\"output_tokens\":1056,\"total_tokens\":%ld}}",
             c->act.input, c->act.input, c->act.input + 1056);

    sbx_openai_json(c);
}


static void
sbx_openai_models(sbx_conn_t *c, sbx_str_t *rest)
{
    const char  **m;

    static const char  *models[] = {
        "gpt-5.5", "gpt-5.4-mini", "text-embedding-3-small", NULL
    };

    if (rest->len > 1) {
        sbx_lit(&c->text, "{\"id\":\"");
        sbx_put(&c->text, rest->data + 1, rest->len - 1);
        sbx_lit(&c->text, "\",\"object\":\"model\",\"created\":1790000000,"
                          "\"owned_by\":\"sandbox\"}");
        sbx_openai_json(c);
        return;
    }

    sbx_lit(&c->text, "{\"object\":\"list\",\"data\":[");

    for (m = models; *m; m++) {
        sbx_putf(&c->text, "%s{\"id\":\"%s\",\"object\":\"model\","
                 "\"created\":1790000000,\"owned_by\":\"sandbox\"}",
                 (m == models) ? "" : ",", *m);
    }

    sbx_lit(&c->text, "]}");
    sbx_openai_json(c);
}


static int
sbx_openai_credential(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (r->cred == NULL) {
        sbx_openai_error(c, 401, NULL, "You didn't provide an API key.");
        return SBX_ERROR;
    }

    /* Google has this API, too, and a header of its own for keys */

    if (r->otherkey.len && !sbx_openai_is_azure(c)
        && memmem(r->path.data, r->path.len, "/v1beta/openai/", 15) == NULL)
    {
        sbx_openai_error(c, 401, NULL, "You didn't provide an API key.");
        return SBX_ERROR;
    }

    return SBX_OK;
}


static int
sbx_openai_command(sbx_conn_t *c)
{
    char        text[128];
    sbx_act_t  *a;

    a = &c->act;

    if (a->bad) {
        snprintf(text, sizeof(text), "sandbox: unknown or bad command \"%s\"",
                 a->bad);
        a->flags = 0;
        sbx_openai_error(c, 400, NULL, text);
        return SBX_ERROR;
    }

    if (a->status) {
        sbx_openai_error(c, (int) a->status, NULL, a->message);
        return SBX_ERROR;
    }

    return SBX_OK;
}


/* which of the names is in the path, and what follows */

static int
sbx_openai_path(sbx_conn_t *c, const char **name, sbx_str_t *rest)
{
    size_t        n;
    sbx_req_t    *r;
    const char   *p, **list;

    r = &c->req;

    if (memmem(r->path.data, r->path.len, "/backend-api/", 13)) {
        return SBX_DECLINED;
    }

    list = sbx_openai_names;

    for ( ;; ) {

        for ( /* void */ ; *list; list++) {
            n = strlen(*list);
            p = memmem(r->path.data, r->path.len, *list, n);

            if (p && (p + n == r->path.data + r->path.len || p[n] == '/')) {
                *name = *list;
                rest->data = p + n;
                rest->len = (size_t) (r->path.data + r->path.len - p) - n;
                return SBX_OK;
            }
        }

        if (list != sbx_openai_names
                    + sizeof(sbx_openai_names) / sizeof(char *) - 1)
        {
            return SBX_DECLINED;
        }

        if (!sbx_openai_is_azure(c)
            && (r->bearer.len < 3 || memcmp(r->bearer.data, "sk-", 3) != 0
                || (r->bearer.len > 6
                    && memcmp(r->bearer.data, "sk-ant-", 7) == 0)))
        {
            return SBX_DECLINED;
        }

        list = sbx_openai_shared;
    }
}


int
sbx_openai(sbx_conn_t *c)
{
    sbx_str_t    rest;
    const char  *name;

    name = NULL;

    if (sbx_openai_path(c, &name, &rest) != SBX_OK) {
        return SBX_DECLINED;
    }

    if (sbx_openai_credential(c) != SBX_OK
        || sbx_openai_command(c) != SBX_OK)
    {
        return SBX_OK;
    }

    if (strcmp(name, "/chat/completions") == 0) {
        sbx_openai_chat(c, 0);

    } else if (strcmp(name, "/completions") == 0) {
        sbx_openai_chat(c, 1);

    } else if (strcmp(name, "/responses") == 0) {
        sbx_openai_responses(c, &rest);

    } else if (strcmp(name, "/embeddings") == 0) {
        sbx_openai_embeddings(c);

    } else if (strcmp(name, "/images/generations") == 0) {
        sbx_openai_images(c);

    } else if (strstr(name, "models")) {
        sbx_openai_models(c, &rest);

    } else {
        sbx_lit(&c->text, "{\"object\":\"sandbox\",\"id\":\"obj_0sbx");
        sbx_put_hex(&c->text, c->req.id, 13);
        sbx_lit(&c->text, "\"}");
        sbx_openai_json(c);
    }

    return SBX_OK;
}
