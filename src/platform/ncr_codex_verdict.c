
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What failures of this back end mean: {"detail":"text"} as often as
 * {"error":{}} (others.md A12), limits with their end in the body (A13), and
 * codes of failures inside of a 200 (A5).
 */


#include "ncr_codex.h"
#include "ncr_verdict.h"
#include "ncr_json.h"
#include "ncr_str.h"


typedef enum {
    NCR_CODEX_KEY_OTHER = 0,
    NCR_CODEX_KEY_ERROR,
    NCR_CODEX_KEY_DETAIL,
    NCR_CODEX_KEY_TYPE,
    NCR_CODEX_KEY_CODE,
    NCR_CODEX_KEY_MESSAGE,
    NCR_CODEX_KEY_RESETS_AT,
    NCR_CODEX_KEY_RESETS_IN
} ncr_codex_key_e;


typedef struct {
    ncr_codex_words_t  *words;
    ncr_str_t           body;
    ncr_codex_key_e     top;
    ncr_codex_key_e     key;
} ncr_codex_reader_t;


typedef struct {
    const char         *code;
    ncr_class_e         class;
} ncr_codex_code_t;


static ncr_int_t ncr_codex_token(ncr_json_t *json, ncr_json_token_e token);
static ncr_codex_key_e ncr_codex_key(ncr_str_t *name);
static void ncr_codex_text(ncr_codex_reader_t *r, ncr_uint_t depth,
    ncr_str_t *value);
static void ncr_codex_number(ncr_codex_reader_t *r, ncr_str_t *value);
static ncr_class_e ncr_codex_class(ncr_codex_words_t *words);
static void ncr_codex_limited(ncr_codex_words_t *words, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_codex_overloaded(ncr_rests_t *rests, ncr_verdict_t *v);


/* NCR_CLASS_OK stands for what has no entry */

static const ncr_codex_code_t  ncr_codex_codes[] = {
    { "usage_limit_reached", NCR_CLASS_LIMITED },
    { "usage_not_included", NCR_CLASS_DISABLED },
    { "insufficient_quota", NCR_CLASS_BILLING },
    { "rate_limit_exceeded", NCR_CLASS_THROTTLED },
    { "server_is_overloaded", NCR_CLASS_OVERLOADED },
    { "slow_down", NCR_CLASS_OVERLOADED },
    { "context_length_exceeded", NCR_CLASS_CLIENT },
    { "invalid_prompt", NCR_CLASS_CLIENT },
    { "invalid_request_error", NCR_CLASS_CLIENT },
    { "cyber_policy", NCR_CLASS_POLICY },
    { "bio_policy", NCR_CLASS_POLICY },
    { NULL, NCR_CLASS_OK }
};


void
ncr_codex_words(ncr_codex_words_t *words, ncr_str_t *body)
{
    ncr_json_t          json;
    ncr_codex_reader_t  r;

    memset(words, 0, sizeof(ncr_codex_words_t));
    memset(&r, 0, sizeof(ncr_codex_reader_t));

    r.words = words;
    r.body = *body;

    ncr_json_init(&json);

    json.data = &r;
    json.token = ncr_codex_token;
    json.report = 2;

    /* a body that is cut has told what it told */

    if (ncr_json_feed(&json, body->data, body->len) == NCR_BAD) {
        memset(words, 0, sizeof(ncr_codex_words_t));
    }
}


static ncr_int_t
ncr_codex_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_str_t            value;
    ncr_codex_reader_t  *r;

    r = json->data;

    switch (token) {

    case NCR_JSON_KEY:
        r->key = ncr_codex_key(&json->text);

        if (json->depth == 1) {
            r->top = r->key;
        }

        break;

    case NCR_JSON_OBJECT:

        if (json->depth == 0) {
            r->words->json = 1;

        } else if (json->depth == 1 && r->top == NCR_CODEX_KEY_ERROR) {
            r->words->error = 1;
        }

        break;

    case NCR_JSON_STRING:
        value.data = r->body.data + json->start + 1;
        value.len = (size_t) (json->end - json->start - 2);

        ncr_codex_text(r, json->depth, &value);
        break;

    case NCR_JSON_NUMBER:

        if (json->depth == 2) {
            ncr_codex_number(r, &json->text);
        }

        break;

    default:
        break;
    }

    return NCR_OK;
}


static ncr_codex_key_e
ncr_codex_key(ncr_str_t *name)
{
    ncr_uint_t  i;

    static const struct {
        const char       *name;
        ncr_codex_key_e   key;
    } keys[] = {
        { "error", NCR_CODEX_KEY_ERROR },
        { "detail", NCR_CODEX_KEY_DETAIL },
        { "type", NCR_CODEX_KEY_TYPE },
        { "code", NCR_CODEX_KEY_CODE },
        { "message", NCR_CODEX_KEY_MESSAGE },
        { "resets_at", NCR_CODEX_KEY_RESETS_AT },
        { "resets_in_seconds", NCR_CODEX_KEY_RESETS_IN }
    };

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (ncr_str_eq(name, keys[i].name)) {
            return keys[i].key;
        }
    }

    return NCR_CODEX_KEY_OTHER;
}


static void
ncr_codex_text(ncr_codex_reader_t *r, ncr_uint_t depth, ncr_str_t *value)
{
    ncr_codex_words_t  *words;

    words = r->words;

    if (depth == 1) {

        if (r->top == NCR_CODEX_KEY_DETAIL) {
            words->detail = *value;
        }

        return;
    }

    if (depth != 2 || (r->top != NCR_CODEX_KEY_ERROR
                       && r->top != NCR_CODEX_KEY_DETAIL))
    {
        return;
    }

    switch (r->key) {

    case NCR_CODEX_KEY_TYPE:
        words->type = *value;
        break;

    case NCR_CODEX_KEY_CODE:
        words->code = *value;
        break;

    case NCR_CODEX_KEY_MESSAGE:
        words->message = *value;
        break;

    default:
        break;
    }
}


static void
ncr_codex_number(ncr_codex_reader_t *r, ncr_str_t *value)
{
    int64_t  n;

    if (r->top != NCR_CODEX_KEY_ERROR
        || ncr_json_int(value, &n) != NCR_OK
        || n <= 0 || n > INT64_MAX / 1000)
    {
        return;
    }

    if (r->key == NCR_CODEX_KEY_RESETS_AT) {
        r->words->resets_at = n * 1000;

    } else if (r->key == NCR_CODEX_KEY_RESETS_IN) {
        r->words->resets_in = n * 1000;
    }
}


void
ncr_codex_classify(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_class_e        class;
    ncr_reply_text_t   text;
    ncr_codex_words_t  words;

    ncr_verdict_default(reply, rests, v);

    if ((reply->kind != NCR_REPLY_HTTP
         && reply->kind != NCR_REPLY_STREAM_ERROR)
        || v->class == NCR_CLASS_OK)
    {
        return;
    }

    ncr_codex_words(&words, &reply->body);
    ncr_reply_read(&text, reply);

    if (ncr_str_eq(&words.code, "invalid_encrypted_content")
        || ncr_str_eq(&words.type, "invalid_encrypted_content"))
    {
        /* another account's reasoning (A12): once more without it */

        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, 0);
        v->bare = 1;
        return;
    }

    if (ncr_reply_says(&text, "model is at capacity")) {
        ncr_codex_overloaded(rests, v);
        return;
    }

    if (ncr_reply_mentions(&text, "model is not supported when using codex")) {

        /* another account's plan may have it; this one is as good as ever,
         * and the model's name is the client's */

        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_ENTITLEMENT, 1);
        return;
    }

    class = ncr_codex_class(&words);

    switch (class) {

    case NCR_CLASS_LIMITED:
        ncr_codex_limited(&words, reply, rests, v);
        break;

    case NCR_CLASS_DISABLED:

        /* its plan has no Codex: until an operator changes that (A13) */

        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, class, 1);
        ncr_verdict_for(v, rests->disabled);
        break;

    case NCR_CLASS_BILLING:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, class, 1);
        ncr_verdict_for(v, rests->billing);
        break;

    case NCR_CLASS_THROTTLED:

        if (v->class != NCR_CLASS_THROTTLED && v->class != NCR_CLASS_LIMITED) {
            ncr_verdict_set(v, NCR_FAULT_ACCOUNT, class, 1);
            ncr_verdict_for(v, rests->throttled);
            v->same = 1;
        }

        break;

    case NCR_CLASS_OVERLOADED:
        ncr_codex_overloaded(rests, v);
        break;

    case NCR_CLASS_CLIENT:
    case NCR_CLASS_POLICY:

        if (reply->kind == NCR_REPLY_STREAM_ERROR) {
            ncr_verdict_set(v, NCR_FAULT_CLIENT, class, 0);
        }

        break;

    default:
        break;
    }

    if (v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT) {
        v->refresh = 1;
    }
}


/* by code and type, which are the back end's own, never by what it quotes */

static ncr_class_e
ncr_codex_class(ncr_codex_words_t *words)
{
    const ncr_codex_code_t  *c;

    for (c = ncr_codex_codes; c->code; c++) {
        if (ncr_str_eq(&words->code, c->code)
            || ncr_str_eq(&words->type, c->code))
        {
            break;
        }
    }

    return c->class;
}


/* A13: to the end that the body tells, or that of the window that is full */

static void
ncr_codex_limited(ncr_codex_words_t *words, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t     i;
    ncr_msec_t     until;
    ncr_limits_t  *limits;

    limits = reply->limits;
    until = words->resets_at;

    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_LIMITED, 1);

    if (until == 0 && words->resets_in) {
        ncr_verdict_for(v, words->resets_in);
        return;
    }

    for (i = 0; words->resets_at == 0 && i < limits->nwindows; i++) {
        if (limits->windows[i].status == NCR_WINDOW_REJECTED
            && (strcmp(limits->windows[i].name, "5h") == 0
                || strcmp(limits->windows[i].name, "7d") == 0))
        {
            until = ncr_max(until, limits->windows[i].reset);
        }
    }

    if (until == 0) {
        until = limits->retry_at;
    }

    if (until) {
        v->rest = NCR_REST_UNTIL;
        v->until = until;
        return;
    }

    ncr_verdict_for(v, rests->limited);
}


static void
ncr_codex_overloaded(ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_OVERLOADED, 1);

    v->same = 1;

    if (rests->overloaded > 0) {
        v->rest = NCR_REST_BACKOFF;
        v->base = rests->overloaded;
        v->max = ncr_max(rests->overloaded, rests->overloaded_max);
    }
}
