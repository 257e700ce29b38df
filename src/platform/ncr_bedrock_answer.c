
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Answers of Bedrock's runtime for clients of the Messages API. */


#include "ncr_bedrock.h"
#include "ncr_anthropic.h"
#include "ncr_str.h"
#include "ncr_verdict.h"


/* an event up to this is held until its checksum was seen */
#define NCR_BEDROCK_EVENT    (16 * 1024)
#define NCR_BEDROCK_COUNT    512


typedef struct {
    ncr_op_e              op;           /* first, in each */
    ncr_bedrock_events_t  events;
    ncr_char_t            buf[NCR_BEDROCK_EVENT];
} ncr_bedrock_stream_t;


/* of a body that counts tokens */

typedef struct {
    ncr_op_e              op;
    size_t                len;
    ncr_uint_t            inner;
    int64_t               tokens;
    ncr_char_t            buf[NCR_BEDROCK_COUNT];
} ncr_bedrock_count_t;


static size_t ncr_bedrock_needs(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type);
static void ncr_bedrock_init(void *state, ncr_op_e op, ncr_str_t *model);
static ncr_int_t ncr_bedrock_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data);
static ncr_int_t ncr_bedrock_end(void *state, ncr_translate_pt write,
    void *data);
static ncr_int_t ncr_bedrock_token(ncr_json_t *json, ncr_json_token_e token);
static void ncr_bedrock_translate_error(ncr_op_e op, ncr_reply_t *reply,
    ncr_out_t *out, ncr_uint_t *status);
static ncr_uint_t ncr_bedrock_error_status(ncr_reply_t *reply);


const ncr_translation_t  ncr_bedrock_translation = {
    .needs = ncr_bedrock_needs,
    .init = ncr_bedrock_init,
    .feed = ncr_bedrock_feed,
    .end = ncr_bedrock_end,
    .error = ncr_bedrock_translate_error
};


static size_t
ncr_bedrock_needs(ncr_op_e op, ncr_str_t *content_type, ncr_str_t *type)
{
    if (op == NCR_OP_MESSAGES
        && ncr_str_contains(content_type, "application/vnd.amazon"))
    {
        ncr_str_set(type, "text/event-stream; charset=utf-8");
        return sizeof(ncr_bedrock_stream_t);
    }

    if (op == NCR_OP_COUNT_TOKENS) {
        ncr_str_set(type, "application/json");
        return sizeof(ncr_bedrock_count_t);
    }

    return 0;
}


static void
ncr_bedrock_init(void *state, ncr_op_e op, ncr_str_t *model)
{
    ncr_bedrock_count_t   *c;
    ncr_bedrock_stream_t  *s;

    (void) model;

    if (op == NCR_OP_COUNT_TOKENS) {
        c = state;
        c->op = op;
        c->len = 0;
        return;
    }

    s = state;
    s->op = op;

    ncr_bedrock_events_init(&s->events, s->buf, sizeof(s->buf), NULL, NULL);
}


static ncr_int_t
ncr_bedrock_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data)
{
    ncr_bedrock_count_t   *c;
    ncr_bedrock_stream_t  *s;

    if (*(ncr_op_e *) state == NCR_OP_COUNT_TOKENS) {
        c = state;

        if (len > sizeof(c->buf) - c->len) {
            return NCR_BAD;
        }

        memcpy(c->buf + c->len, p, len);
        c->len += len;

        return NCR_OK;
    }

    s = state;
    s->events.write = write;
    s->events.data = data;

    return ncr_bedrock_events_feed(&s->events, p, len);
}


/* {"inputTokens":N} (I.2) */

static ncr_int_t
ncr_bedrock_end(void *state, ncr_translate_pt write, void *data)
{
    ncr_out_t             out;
    ncr_json_t            json;
    ncr_char_t            buf[64];
    ncr_bedrock_count_t  *c;

    if (*(ncr_op_e *) state != NCR_OP_COUNT_TOKENS) {
        return NCR_OK;
    }

    c = state;
    c->tokens = -1;
    c->inner = 0;

    ncr_json_init(&json);
    json.data = c;
    json.token = ncr_bedrock_token;
    json.report = 1;

    (void) ncr_json_feed(&json, c->buf, c->len);

    ncr_out_init(&out, buf, sizeof(buf));

    if (c->tokens < 0) {

        /* nothing that could be counted with */

        return write(data, c->buf, c->len);
    }

    ncr_out_text(&out, "{\"input_tokens\":");
    ncr_out_int(&out, c->tokens);
    ncr_out_text(&out, "}");

    return write(data, buf, (size_t) (out.last - out.start));
}


static ncr_int_t
ncr_bedrock_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_bedrock_count_t  *c;

    c = json->data;

    if (token == NCR_JSON_KEY) {
        c->inner = ncr_str_eq(&json->text, "inputTokens");

    } else if (token == NCR_JSON_NUMBER && c->inner
               && ncr_json_int(&json->text, &c->tokens) != NCR_OK)
    {
        c->tokens = -1;
    }

    return NCR_OK;
}


/* {"message":"..."} in the first party's form (D.1, I.6) */

static void
ncr_bedrock_translate_error(ncr_op_e op, ncr_reply_t *reply, ncr_out_t *out,
    ncr_uint_t *status)
{
    ncr_str_t         message, none;
    ncr_reply_text_t  text;
    ncr_char_t        buf[2048];

    if (op != NCR_OP_MESSAGES && op != NCR_OP_COUNT_TOKENS) {
        return;
    }

    ncr_reply_read(&text, reply);

    if (text.json && text.type.len) {

        /* it is already */

        return;
    }

    message.data = buf;
    message.len = ncr_min(text.message.len, sizeof(buf));

    if (message.len) {
        memcpy(buf, text.message.data, message.len);
    }

    if (ncr_json_unescape(&message, &message) != NCR_OK || message.len == 0) {
        ncr_str_set(&message, "the upstream gave no reason");
    }

    ncr_str_set(&none, "");

    *status = ncr_bedrock_error_status(reply);
    ncr_anthropic_error(out, *status, &message, &none);
}


static ncr_uint_t
ncr_bedrock_error_status(ncr_reply_t *reply)
{
    ncr_str_t   name;
    ncr_uint_t  status;

    name.data = (ncr_char_t *) reply->limits->claim;
    name.len = strlen(reply->limits->claim);

    status = ncr_bedrock_exception(&name);

    if (status) {
        return status;
    }

    switch (reply->status) {

    case 408:
        return 504;

    case 424:
        return 500;

    case 503:
        return 529;

    default:
        return reply->status;
    }
}
