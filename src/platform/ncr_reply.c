
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The words of a failure, found in its body (anthropic.md D.1): normally
 * {"type":"error","error":{"type","message","details":{"error_code"}}}, but
 * other relays write {"error":"text"} or {"message":"text"}, an edge writes
 * HTML, and any of them may be cut.
 */


#include "ncr_verdict.h"
#include "ncr_json.h"
#include "ncr_str.h"


typedef enum {
    NCR_REPLY_KEY_OTHER = 0,
    NCR_REPLY_KEY_ERROR,
    NCR_REPLY_KEY_TYPE,
    NCR_REPLY_KEY_MESSAGE,
    NCR_REPLY_KEY_DETAILS,
    NCR_REPLY_KEY_CODE
} ncr_reply_key_e;


typedef struct {
    ncr_reply_text_t  *text;
    ncr_str_t          body;
    ncr_reply_key_e    path[4];         /* by depth */
    uint64_t           message;         /* its key ended here, 0: not in it */
    unsigned           inner:1;         /* error.message was seen */
} ncr_reply_reader_t;


static ncr_int_t ncr_reply_token(ncr_json_t *json, ncr_json_token_e token);
static ncr_reply_key_e ncr_reply_key(ncr_str_t *name);
static void ncr_reply_value(ncr_reply_reader_t *r, ncr_uint_t depth,
    ncr_str_t *value);
static void ncr_reply_cut(ncr_reply_reader_t *r);
static ncr_uint_t ncr_reply_is_object(ncr_str_t *body);
static size_t ncr_reply_own_words(ncr_str_t *message);


void
ncr_reply_read(ncr_reply_text_t *text, ncr_reply_t *reply)
{
    ncr_json_t          json;
    ncr_reply_reader_t  r;

    memset(text, 0, sizeof(ncr_reply_text_t));
    memset(&r, 0, sizeof(ncr_reply_reader_t));

    text->body = reply->body;

    if (!ncr_reply_is_object(&reply->body)) {
        return;
    }

    r.text = text;
    r.body = reply->body;

    ncr_json_init(&json);

    json.data = &r;
    json.token = ncr_reply_token;
    json.report = 3;

    switch (ncr_json_feed(&json, reply->body.data, reply->body.len)) {

    case NCR_OK:
        text->json = 1;
        text->whole = 1;
        break;

    case NCR_AGAIN:
        text->json = 1;
        ncr_reply_cut(&r);
        break;

    default:
        ncr_str_null(&text->type);
        ncr_str_null(&text->message);
        ncr_str_null(&text->code);
        break;
    }
}


ncr_str_t
ncr_reply_message(ncr_str_t *body)
{
    ncr_reply_t       reply;
    ncr_reply_text_t  text;

    memset(&reply, 0, sizeof(ncr_reply_t));

    reply.body = *body;

    ncr_reply_read(&text, &reply);

    return text.json ? text.message : *body;
}


ncr_uint_t
ncr_reply_says(ncr_reply_text_t *text, const char *what)
{
    ncr_str_t  s;

    if (text->message.len == 0) {
        return ncr_reply_mentions(text, what);
    }

    if (ncr_str_contains(&text->code, what)) {
        return 1;
    }

    /* "<a field of the client's>: Extra inputs are not permitted" */

    if (ncr_str_contains(&text->message, "not permitted")) {
        return 0;
    }

    s.data = text->message.data;
    s.len = ncr_reply_own_words(&text->message);

    return ncr_str_contains(&s, what);
}


ncr_uint_t
ncr_reply_mentions(ncr_reply_text_t *text, const char *what)
{
    if (ncr_str_contains(&text->code, what)) {
        return 1;
    }

    if (text->message.len) {
        return ncr_str_contains(&text->message, what);
    }

    return !text->whole && ncr_str_contains(&text->body, what);
}


ncr_uint_t
ncr_reply_status(ncr_reply_t *reply, ncr_reply_text_t *text)
{
    ncr_uint_t  i;

    static const struct {
        const char  *type;
        ncr_uint_t   status;
    } types[] = {
        { "overloaded_error", 529 },
        { "rate_limit_error", 429 },
        { "api_error", 500 },
        { "timeout_error", 504 },
        { "invalid_request_error", 400 },
        { "authentication_error", 401 },
        { "billing_error", 402 },
        { "permission_error", 403 },
        { "not_found_error", 404 },
        { "conflict_error", 409 },
        { "request_too_large", 413 }
    };

    if (reply->kind == NCR_REPLY_HTTP) {
        return reply->status;
    }

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (ncr_str_eq(&text->type, types[i].type)) {
            return types[i].status;
        }
    }

    return 500;
}


static ncr_int_t
ncr_reply_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_str_t            value;
    ncr_reply_reader_t  *r;

    r = json->data;

    switch (token) {

    case NCR_JSON_KEY:
        r->path[json->depth] = ncr_reply_key(&json->text);
        r->message = 0;

        if (r->path[json->depth] == NCR_REPLY_KEY_MESSAGE
            || (json->depth == 1
                && r->path[1] == NCR_REPLY_KEY_ERROR))
        {
            r->message = json->end;
        }

        return NCR_OK;

    case NCR_JSON_STRING:
        value.data = r->body.data + json->start + 1;
        value.len = (size_t) (json->end - json->start - 2);

        ncr_reply_value(r, json->depth, &value);
        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:

        /* elements of an array have no key of their own */

        if (json->depth < 3) {
            r->path[json->depth + 1] = NCR_REPLY_KEY_OTHER;
        }

        break;

    case NCR_JSON_OBJECT_END:
    case NCR_JSON_ARRAY_END:
    case NCR_JSON_NUMBER:
    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
    case NCR_JSON_NULL:
        break;
    }

    r->message = 0;

    return NCR_OK;
}


static ncr_reply_key_e
ncr_reply_key(ncr_str_t *name)
{
    if (ncr_str_eq(name, "error")) {
        return NCR_REPLY_KEY_ERROR;
    }

    if (ncr_str_eq(name, "type")) {
        return NCR_REPLY_KEY_TYPE;
    }

    if (ncr_str_eq(name, "message") || ncr_str_eq(name, "detail")) {
        return NCR_REPLY_KEY_MESSAGE;
    }

    if (ncr_str_eq(name, "details")) {
        return NCR_REPLY_KEY_DETAILS;
    }

    /* the latter is OpenAI's (others.md A8) */

    return (ncr_str_eq(name, "error_code") || ncr_str_eq(name, "code"))
           ? NCR_REPLY_KEY_CODE : NCR_REPLY_KEY_OTHER;
}


static void
ncr_reply_value(ncr_reply_reader_t *r, ncr_uint_t depth, ncr_str_t *value)
{
    ncr_reply_key_e    key;
    ncr_reply_text_t  *text;

    text = r->text;
    key = r->path[depth];

    if (depth == 1) {

        if (key == NCR_REPLY_KEY_TYPE && text->type.len == 0
            && !ncr_str_eq(value, "error"))
        {
            text->type = *value;

        } else if ((key == NCR_REPLY_KEY_MESSAGE
                    || key == NCR_REPLY_KEY_ERROR) && !r->inner)
        {
            text->message = *value;
        }

        return;
    }

    if (r->path[1] != NCR_REPLY_KEY_ERROR) {
        return;
    }

    if (depth == 3) {
        if (r->path[2] == NCR_REPLY_KEY_DETAILS && key == NCR_REPLY_KEY_CODE) {
            text->code = *value;
        }

        return;
    }

    if (key == NCR_REPLY_KEY_TYPE) {
        text->type = *value;

    } else if (key == NCR_REPLY_KEY_MESSAGE) {
        text->message = *value;
        r->inner = 1;

    } else if (key == NCR_REPLY_KEY_CODE) {
        text->code = *value;
    }
}


/* the body ends within its message */

static void
ncr_reply_cut(ncr_reply_reader_t *r)
{
    ncr_char_t  *p, *last;

    if (r->message == 0 || r->inner) {
        return;
    }

    p = r->body.data + r->message;
    last = r->body.data + r->body.len;

    while (p < last && *p != '"') {
        p++;
    }

    if (p < last) {
        r->text->message.data = p + 1;
        r->text->message.len = (size_t) (last - p - 1);
    }
}


static ncr_uint_t
ncr_reply_is_object(ncr_str_t *body)
{
    size_t  i;

    for (i = 0; i < body->len; i++) {

        switch (body->data[i]) {

        case ' ':
        case '\t':
        case '\r':
        case '\n':
            continue;

        default:
            return body->data[i] == '{';
        }
    }

    return 0;
}


/* the length of what stands before the first quotation */

static size_t
ncr_reply_own_words(ncr_str_t *message)
{
    size_t       i;
    ncr_char_t  *p;

    p = message->data;

    for (i = 0; i < message->len; i++) {

        if (p[i] == '"' || p[i] == '`') {
            break;
        }

        /* "account's" quotes nobody */

        if (p[i] == '\'' && (i == 0 || p[i - 1] == ' ' || p[i - 1] == '(')) {
            break;
        }
    }

    return i;
}
