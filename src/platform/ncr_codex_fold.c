
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A stream for a client that wants none (others.md A12): its items go out as
 * they are done, for the last event's "output" may be empty, and the members
 * of the last event's response behind them.  So nothing is kept but the state
 * of the readers, however long the answer is.
 */


#include "ncr_codex.h"
#include "ncr_json.h"
#include "ncr_sse.h"
#include "ncr_str.h"


#define NCR_CODEX_TYPE  "{\"type\":\""

#define ncr_codex_fold_out(f, text)                                           \
    ncr_codex_fold_bytes(f, (ncr_char_t *) text, sizeof(text) - 1)


typedef enum {
    NCR_CODEX_NO_EVENT = 0,
    NCR_CODEX_ITEM,
    NCR_CODEX_LAST,
    NCR_CODEX_ERROR
} ncr_codex_event_e;


typedef struct {
    ncr_sse_t           sse;
    ncr_json_t          json;           /* of the event at hand */
    ncr_codex_event_e   event;
    ncr_uint_t          items;          /* written */
    ncr_translate_pt    write;
    void               *data;
    ncr_int_t           rc;

    ncr_char_t         *chunk;          /* being read, and its offset */
    uint64_t            base;
    uint64_t            from;           /* what is copied begins here */
    unsigned            member:1;       /* the one that is looked for */
    unsigned            copy:1;
    unsigned            seen:1;         /* it was there */
    unsigned            opened:1;       /* "{" is out */
    unsigned            done:1;

    ncr_char_t          keep[64];
} ncr_codex_fold_t;


static size_t ncr_codex_fold_needs(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type);
static void ncr_codex_fold_init(void *state, ncr_op_e op, ncr_str_t *model);
static ncr_int_t ncr_codex_fold_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data);
static ncr_int_t ncr_codex_fold_end(void *state, ncr_translate_pt write,
    void *data);
static ncr_uint_t ncr_codex_fold_want(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *head);
static ncr_codex_event_e ncr_codex_fold_event_of(ncr_str_t *name);
static void ncr_codex_fold_part(ncr_sse_t *sse, ncr_char_t *p, size_t len);
static ncr_int_t ncr_codex_fold_event(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *payload);
static ncr_int_t ncr_codex_fold_token(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_codex_fold_item(ncr_codex_fold_t *f, ncr_json_token_e token);
static void ncr_codex_fold_last(ncr_codex_fold_t *f, ncr_json_token_e token);
static void ncr_codex_fold_copy(ncr_codex_fold_t *f);
static void ncr_codex_fold_paste(ncr_codex_fold_t *f, uint64_t end);
static void ncr_codex_fold_bytes(ncr_codex_fold_t *f, ncr_char_t *p,
    size_t len);
static void ncr_codex_error(ncr_op_e op, ncr_reply_t *reply, ncr_out_t *out,
    ncr_uint_t *status);
static const char *ncr_codex_error_type(ncr_uint_t status);


const ncr_translation_t  ncr_codex_translation = {
    .needs = ncr_codex_fold_needs,
    .init = ncr_codex_fold_init,
    .feed = ncr_codex_fold_feed,
    .end = ncr_codex_fold_end,
    .error = ncr_codex_error,
    .fold = 1
};


static size_t
ncr_codex_fold_needs(ncr_op_e op, ncr_str_t *content_type, ncr_str_t *type)
{
    if (op != NCR_OP_RESPONSES
        || !ncr_str_contains(content_type, "text/event-stream"))
    {
        return 0;
    }

    ncr_str_set(type, "application/json");

    return sizeof(ncr_codex_fold_t);
}


static void
ncr_codex_fold_init(void *state, ncr_op_e op, ncr_str_t *model)
{
    ncr_codex_fold_t *f = state;

    (void) op;
    (void) model;

    memset(f, 0, sizeof(ncr_codex_fold_t));

    ncr_sse_init(&f->sse);

    f->sse.data = f;
    f->sse.want = ncr_codex_fold_want;
    f->sse.event = ncr_codex_fold_event;
    f->sse.part = ncr_codex_fold_part;
}


static ncr_int_t
ncr_codex_fold_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data)
{
    ncr_codex_fold_t *f = state;

    f->write = write;
    f->data = data;

    (void) ncr_sse_feed(&f->sse, p, len);

    return f->rc;
}


static ncr_int_t
ncr_codex_fold_end(void *state, ncr_translate_pt write, void *data)
{
    ncr_codex_fold_t *f = state;

    (void) write;
    (void) data;

    return f->done ? NCR_OK : NCR_BAD;
}


static ncr_uint_t
ncr_codex_fold_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    ncr_str_t          type;
    ncr_codex_fold_t  *f;

    f = sse->data;

    if (f->done) {
        return NCR_SSE_NO;
    }

    type = *name;

    if (name->len == 0 && ncr_str_prefix(head, NCR_CODEX_TYPE)) {
        type.data = head->data + sizeof(NCR_CODEX_TYPE) - 1;
        type.len = head->len - (sizeof(NCR_CODEX_TYPE) - 1);
    }

    f->event = ncr_codex_fold_event_of(&type);

    if (f->event == NCR_CODEX_NO_EVENT) {
        return name->len ? NCR_SSE_NEVER : NCR_SSE_NO;
    }

    f->base = 0;
    f->member = 0;
    f->copy = 0;
    f->seen = 0;

    ncr_json_begin(&f->json, f, ncr_codex_fold_token, 2,
                   f->keep, sizeof(f->keep));

    return NCR_SSE_YES;
}


/* name may be followed by what stands behind it in the data */

static ncr_codex_event_e
ncr_codex_fold_event_of(ncr_str_t *name)
{
    size_t      n;
    ncr_uint_t  i;

    static const struct {
        const char         *name;
        ncr_codex_event_e   event;
    } events[] = {
        { "response.output_item.done", NCR_CODEX_ITEM },
        { "response.completed", NCR_CODEX_LAST },
        { "response.incomplete", NCR_CODEX_LAST },
        { "response.failed", NCR_CODEX_LAST },
        { "error", NCR_CODEX_ERROR }
    };

    for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {

        n = strlen(events[i].name);

        if (ncr_str_prefix(name, events[i].name)
            && (name->len == n || name->data[n] == '"'))
        {
            return events[i].event;
        }
    }

    return NCR_CODEX_NO_EVENT;
}


static void
ncr_codex_fold_part(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    ncr_codex_fold_t  *f;

    f = sse->data;

    if (f->rc != NCR_OK || f->event == NCR_CODEX_ERROR) {
        return;
    }

    f->chunk = p;

    if (ncr_json_feed(&f->json, p, len) == NCR_BAD) {
        f->rc = NCR_BAD;
        return;
    }

    if (f->copy) {
        ncr_codex_fold_paste(f, f->base + len);
    }

    f->base += len;
}


/* the end of an event */

static ncr_int_t
ncr_codex_fold_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_codex_fold_t  *f;

    (void) name;

    f = sse->data;

    /* one that lies in a chunk as a whole */

    if (payload->len) {
        ncr_codex_fold_part(sse, payload->data, payload->len);
    }

    if (f->rc != NCR_OK) {
        return f->rc;
    }

    if (f->event == NCR_CODEX_ERROR || !f->seen
        || ncr_json_final(&f->json) != NCR_OK)
    {
        f->rc = NCR_BAD;
        return f->rc;
    }

    if (f->event == NCR_CODEX_LAST) {

        if (!f->opened) {
            ncr_codex_fold_out(f, "{");
        }

        ncr_codex_fold_out(f, "}");
        f->done = 1;
    }

    return f->rc;
}


static ncr_int_t
ncr_codex_fold_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_codex_fold_t  *f;

    f = json->data;

    if (token == NCR_JSON_KEY && json->depth == 1) {
        f->member = ncr_str_eq(&json->text, (f->event == NCR_CODEX_ITEM)
                                            ? "item" : "response");
        return NCR_OK;
    }

    if (!f->member) {
        return NCR_OK;
    }

    if (f->event == NCR_CODEX_ITEM) {
        ncr_codex_fold_item(f, token);

    } else {
        ncr_codex_fold_last(f, token);
    }

    return NCR_OK;
}


static void
ncr_codex_fold_item(ncr_codex_fold_t *f, ncr_json_token_e token)
{
    if (f->json.depth != 1) {
        return;
    }

    if (token == NCR_JSON_OBJECT && !f->seen) {
        f->seen = 1;

        if (f->items++) {
            ncr_codex_fold_out(f, ",");

        } else {
            ncr_codex_fold_out(f, "{\"output\":[");
        }

        f->opened = 1;

        ncr_codex_fold_copy(f);

    } else if (token == NCR_JSON_OBJECT_END && f->copy) {
        ncr_codex_fold_paste(f, f->json.end);
        f->copy = 0;
    }
}


static void
ncr_codex_fold_last(ncr_codex_fold_t *f, ncr_json_token_e token)
{
    if (f->json.depth == 1) {

        if (token == NCR_JSON_OBJECT && !f->seen) {
            f->seen = 1;

            if (f->items) {
                ncr_codex_fold_out(f, "]");
            }
        }

        return;
    }

    if (f->json.depth != 2) {
        return;
    }

    switch (token) {

    case NCR_JSON_KEY:

        if (f->items && ncr_str_eq(&f->json.text, "output")) {
            break;
        }

        if (f->opened) {
            ncr_codex_fold_out(f, ",");

        } else {
            ncr_codex_fold_out(f, "{");
        }

        f->opened = 1;

        ncr_codex_fold_copy(f);
        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        break;

    default:

        if (f->copy) {
            ncr_codex_fold_paste(f, f->json.end);
            f->copy = 0;
        }
    }
}


/* a token that spans chunks began in one before: keep has what was in it */

static void
ncr_codex_fold_copy(ncr_codex_fold_t *f)
{
    f->copy = 1;
    f->from = f->json.start;

    if (f->from < f->base) {
        ncr_codex_fold_out(f, "\"");
        ncr_codex_fold_bytes(f, f->json.text.data, f->json.text.len);
        ncr_codex_fold_out(f, "\"");

        f->from = f->json.end;

        if (f->json.cut) {
            f->rc = NCR_BAD;
        }
    }
}


static void
ncr_codex_fold_paste(ncr_codex_fold_t *f, uint64_t end)
{
    uint64_t  from;

    from = ncr_max(f->from, f->base);

    if (end > from) {
        ncr_codex_fold_bytes(f, f->chunk + (from - f->base),
                             (size_t) (end - from));
    }
}


static void
ncr_codex_fold_bytes(ncr_codex_fold_t *f, ncr_char_t *p, size_t len)
{
    if (f->rc == NCR_OK && f->write(f->data, p, len) != NCR_OK) {
        f->rc = NCR_ERROR;
    }
}


/* A12: {"detail":"text"} is nothing that a client of the API knows (A8) */

static void
ncr_codex_error(ncr_op_e op, ncr_reply_t *reply, ncr_out_t *out,
    ncr_uint_t *status)
{
    ncr_str_t          *message;
    ncr_codex_words_t   words;

    (void) op;

    ncr_codex_words(&words, &reply->body);

    if (!words.json || words.error) {
        return;
    }

    message = words.detail.len ? &words.detail : &words.message;

    if (message->len == 0 && words.code.len == 0) {
        return;
    }

    /* they are insides of JSON strings, and stay so */

    ncr_out_text(out, "{\"error\":{\"message\":\"");
    ncr_out_str(out, message->len ? message : &words.code);
    ncr_out_text(out, "\",\"type\":\"");

    if (words.type.len) {
        ncr_out_str(out, &words.type);

    } else {
        ncr_out_text(out, ncr_codex_error_type(*status));
    }

    ncr_out_text(out, "\",\"param\":null,\"code\":");

    if (words.code.len) {
        ncr_out_text(out, "\"");
        ncr_out_str(out, &words.code);
        ncr_out_text(out, "\"}}");

    } else {
        ncr_out_text(out, "null}}");
    }
}


static const char *
ncr_codex_error_type(ncr_uint_t status)
{
    switch (status) {

    case 401:
        return "authentication_error";

    case 403:
        return "permission_error";

    case 404:
        return "not_found_error";

    case 429:
        return "rate_limit_error";

    default:
        return (status >= 500) ? "server_error" : "invalid_request_error";
    }
}
