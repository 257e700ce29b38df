
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Limits and failures in OpenAI's dialect: others.md A8, A12, B. */


#include "ncr_openai_way.h"
#include "ncr_str.h"


#define NCR_OPENAI_RATE       "x-ratelimit-"

/* a wait that a message tells is not taken for more; over a minute it is no
 * throttle any more but a limit */
#define NCR_OPENAI_WAIT_MAX   ((ncr_msec_t) 86400 * 1000)
#define NCR_OPENAI_THROTTLE   60000

/* of one number: no sum of them overflows */
#define NCR_OPENAI_DIGITS     10


/* a failure: which code, of which kind */

typedef struct {
    const char   *code;
    ncr_class_e   class;
} ncr_openai_code_t;


static const ncr_openai_code_t *ncr_openai_code(ncr_str_t *code);
static void ncr_openai_class(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v, ncr_class_e class);
static void ncr_openai_like(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v, ncr_uint_t status);
static void ncr_openai_wait(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_verdict_t *v);
static ncr_int_t ncr_openai_told_wait(ncr_str_t *message, ncr_msec_t *ms);
static ncr_int_t ncr_openai_behind(ncr_str_t *message, const char *text,
    ncr_str_t *rest);


/* NCR_CLASS_MODEL_LIMITED: of this model on this account */

static const ncr_openai_code_t  ncr_openai_codes[] = {
    { "insufficient_quota", NCR_CLASS_BILLING },
    { "billing_not_active", NCR_CLASS_BILLING },
    { "billing_hard_limit_reached", NCR_CLASS_CAPPED },
    { "account_deactivated", NCR_CLASS_DISABLED },
    { "access_terminated", NCR_CLASS_DISABLED },
    { "invalid_api_key", NCR_CLASS_AUTH },
    { "invalid_authentication", NCR_CLASS_AUTH },
    { "model_not_found", NCR_CLASS_MODEL_LIMITED },
    { "DeploymentNotFound", NCR_CLASS_MODEL_LIMITED },
    { "rate_limit_exceeded", NCR_CLASS_THROTTLED },
    { "RateLimitReached", NCR_CLASS_THROTTLED },
    { "too_many_requests", NCR_CLASS_THROTTLED },
    { "tokens", NCR_CLASS_THROTTLED },
    { "requests", NCR_CLASS_THROTTLED },
    { "server_is_overloaded", NCR_CLASS_OVERLOADED },
    { "slow_down", NCR_CLASS_OVERLOADED },
    { "server_error", NCR_CLASS_SERVER },
    { "vector_store_timeout", NCR_CLASS_SERVER },
    { "context_length_exceeded", NCR_CLASS_CLIENT },
    { "invalid_prompt", NCR_CLASS_CLIENT },
    { "invalid_encrypted_content", NCR_CLASS_CLIENT },
    { "previous_response_not_found", NCR_CLASS_CLIENT },
    { "unsupported_parameter", NCR_CLASS_CLIENT },
    { "content_filter", NCR_CLASS_CLIENT },
    { "content_policy_violation", NCR_CLASS_CLIENT },
    { "data_residency_mismatch", NCR_CLASS_CLIENT },
    { "bio_policy", NCR_CLASS_CLIENT },
    { "cyber_policy", NCR_CLASS_CLIENT },
    { "invalid_image", NCR_CLASS_CLIENT },
    { "invalid_image_format", NCR_CLASS_CLIENT },
    { "invalid_base64_image", NCR_CLASS_CLIENT },
    { "invalid_image_url", NCR_CLASS_CLIENT },
    { "image_too_large", NCR_CLASS_CLIENT },
    { "image_too_small", NCR_CLASS_CLIENT },
    { "image_parse_error", NCR_CLASS_CLIENT },
    { "image_content_policy_violation", NCR_CLASS_CLIENT },
    { "invalid_image_mode", NCR_CLASS_CLIENT },
    { "image_file_too_large", NCR_CLASS_CLIENT },
    { "unsupported_image_media_type", NCR_CLASS_CLIENT },
    { "empty_image_file", NCR_CLASS_CLIENT },
    { "failed_to_download_image", NCR_CLASS_CLIENT },
    { "image_file_not_found", NCR_CLASS_CLIENT },
    { NULL, NCR_CLASS_OK }
};


/* what it says where no code does */

static const ncr_openai_code_t  ncr_openai_texts[] = {
    { "exceeded your current quota", NCR_CLASS_BILLING },
    { "model is at capacity", NCR_CLASS_OVERLOADED },
    { "currently overloaded", NCR_CLASS_OVERLOADED },
    { NULL, NCR_CLASS_OK }
};


void
ncr_openai_classify(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_reply_text_t          text;
    const ncr_openai_code_t  *c, *t;

    if ((reply->kind != NCR_REPLY_HTTP
         && reply->kind != NCR_REPLY_STREAM_ERROR)
        || (reply->kind == NCR_REPLY_HTTP && reply->status < 400))
    {
        ncr_verdict_default(reply, rests, v);
        return;
    }

    ncr_reply_read(&text, reply);

    c = ncr_openai_code(&text.code);

    if (c == NULL) {
        c = ncr_openai_code(&text.type);
    }

    /* a limit of the minute, that this request alone is over */

    if (ncr_reply_says(&text, "request too large for")
        && (c == NULL || c->class == NCR_CLASS_THROTTLED))
    {
        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_CLIENT, 1);
        return;
    }

    if (c == NULL || c->class == NCR_CLASS_SERVER
        || c->class == NCR_CLASS_THROTTLED)
    {
        for (t = ncr_openai_texts; t->code; t++) {
            if (ncr_reply_says(&text, t->code)) {
                c = t;
                break;
            }
        }
    }

    if (c == NULL) {
        ncr_verdict_default(reply, rests, v);

    } else {
        ncr_openai_class(reply, rests, v, c->class);
    }

    if (v->class == NCR_CLASS_THROTTLED) {
        ncr_openai_wait(reply, &text, v);
    }
}


static const ncr_openai_code_t *
ncr_openai_code(ncr_str_t *code)
{
    const ncr_openai_code_t  *c;

    if (code->len == 0) {
        return NULL;
    }

    for (c = ncr_openai_codes; c->code; c++) {
        if (ncr_str_eq(code, c->code)) {
            return c;
        }
    }

    return NULL;
}


static void
ncr_openai_class(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v,
    ncr_class_e class)
{
    switch (class) {

    case NCR_CLASS_CLIENT:
        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, 0);
        break;

    case NCR_CLASS_MODEL_LIMITED:

        /* another account may have it; this one has all its others */

        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_CLIENT, 1);
        break;

    case NCR_CLASS_DISABLED:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_DISABLED, 1);
        ncr_verdict_for(v, rests->disabled);
        break;

    case NCR_CLASS_CAPPED:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_CAPPED, 1);
        ncr_verdict_for(v, rests->billing);
        break;

    case NCR_CLASS_AUTH:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH, 1);
        ncr_verdict_for(v, rests->unauthorized);
        break;

    case NCR_CLASS_BILLING:
        ncr_openai_like(reply, rests, v, 402);
        break;

    case NCR_CLASS_THROTTLED:
        ncr_openai_like(reply, rests, v, 429);
        break;

    case NCR_CLASS_OVERLOADED:
        ncr_openai_like(reply, rests, v, 529);
        break;

    default:
        ncr_openai_like(reply, rests, v, 500);
        break;
    }
}


/* what it is by its code, whatever its status */

static void
ncr_openai_like(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v,
    ncr_uint_t status)
{
    ncr_reply_t  like;

    like = *reply;

    like.kind = NCR_REPLY_HTTP;
    like.status = status;
    ncr_str_null(&like.body);

    ncr_verdict_default(&like, rests, v);
}


/* "Please try again in 11.054s", unless a header has told it */

static void
ncr_openai_wait(ncr_reply_t *reply, ncr_reply_text_t *text, ncr_verdict_t *v)
{
    ncr_msec_t  ms;

    if (reply->limits->retry_after >= 0
        || ncr_openai_told_wait(&text->message, &ms) != NCR_OK)
    {
        return;
    }

    if (ms > NCR_OPENAI_THROTTLE) {
        v->class = NCR_CLASS_LIMITED;
        v->same = 0;
    }

    ncr_verdict_for(v, ncr_max(1, ncr_min(ms, NCR_OPENAI_WAIT_MAX)));
}


static ncr_int_t
ncr_openai_told_wait(ncr_str_t *message, ncr_msec_t *ms)
{
    size_t      i;
    ncr_str_t   rest, wait;

    if (ncr_openai_behind(message, "try again in ", &rest) != NCR_OK
        && ncr_openai_behind(message, "retry after ", &rest) != NCR_OK)
    {
        return NCR_DECLINED;
    }

    for (i = 0; i < rest.len; i++) {

        if (!(rest.data[i] >= '0' && rest.data[i] <= '9')
            && rest.data[i] != '.' && rest.data[i] != 'h'
            && rest.data[i] != 'm' && rest.data[i] != 's')
        {
            break;
        }
    }

    /* a full stop behind it */

    while (i && rest.data[i - 1] == '.') {
        i--;
    }

    wait.data = rest.data;
    wait.len = i;

    return ncr_openai_duration(&wait, ms);
}


/* what follows the text (lower case) in the message, whatever its case */

static ncr_int_t
ncr_openai_behind(ncr_str_t *message, const char *text, ncr_str_t *rest)
{
    size_t     i, len;
    ncr_str_t  s;

    len = strlen(text);

    for (i = 0; i + len <= message->len; i++) {
        s.data = message->data + i;
        s.len = len;

        if (ncr_str_caseeq(&s, text)) {
            rest->data = message->data + i + len;
            rest->len = message->len - i - len;
            return NCR_OK;
        }
    }

    return NCR_DECLINED;
}


ncr_int_t
ncr_openai_duration(ncr_str_t *s, ncr_msec_t *ms)
{
    size_t      i, from;
    int32_t     fraction;
    int64_t     whole, unit;
    ncr_str_t   number;
    ncr_msec_t  sum;

    sum = 0;

    if (s->len == 0 || s->len > 32) {
        return NCR_BAD;
    }

    for (i = 0; i < s->len; /* void */ ) {

        from = i;

        while (i < s->len && ((s->data[i] >= '0' && s->data[i] <= '9')
                              || s->data[i] == '.'))
        {
            i++;
        }

        number.data = s->data + from;
        number.len = i - from;

        if (i == s->len) {

            /* seconds, if nothing stands before them */

            unit = from ? 0 : 1000;

        } else if (s->data[i] == 'h') {
            unit = 3600 * 1000;
            i++;

        } else if (s->data[i] == 'm' && i + 1 < s->len
                   && s->data[i + 1] == 's')
        {
            unit = 1;
            i += 2;

        } else if (s->data[i] == 'm') {
            unit = 60 * 1000;
            i++;

        } else if (s->data[i] == 's') {
            unit = 1000;
            i++;

        } else {
            unit = 0;
        }

        if (unit == 0 || number.len > NCR_OPENAI_DIGITS) {
            return NCR_BAD;
        }

        if (ncr_str_int(&number, &whole) == NCR_OK) {

            sum += whole * unit;

        } else if (ncr_str_fraction(&number, &fraction) == NCR_OK
                   && fraction >= 0)
        {
            sum += (int64_t) fraction * unit / 10000;

        } else {
            return NCR_BAD;
        }
    }

    *ms = sum;

    return NCR_OK;
}


void
ncr_openai_limits(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value,
    ncr_msec_t now)
{
    int64_t        n;
    ncr_str_t      what;
    ncr_uint_t     remaining;
    ncr_msec_t     ms;
    ncr_bucket_t  *bucket;

    if (!ncr_str_prefix(name, NCR_OPENAI_RATE)) {
        ncr_limits_header(limits, name, value, now);
        return;
    }

    what.data = name->data + sizeof(NCR_OPENAI_RATE) - 1;
    what.len = name->len - (sizeof(NCR_OPENAI_RATE) - 1);

    remaining = ncr_str_prefix(&what, "remaining-");

    if (!remaining && !ncr_str_prefix(&what, "reset-")) {
        return;
    }

    n = remaining ? sizeof("remaining-") - 1 : sizeof("reset-") - 1;

    what.data += n;
    what.len -= (size_t) n;

    if (ncr_str_eq(&what, "requests")) {
        bucket = &limits->buckets[0];

    } else if (ncr_str_eq(&what, "tokens")) {
        bucket = &limits->buckets[1];

    } else {
        return;
    }

    if (remaining) {

        /* Azure sends -1 for what it does not know (A8) */

        if (ncr_str_int(value, &n) == NCR_OK && n >= 0) {
            bucket->remaining = n;
        }

    } else if (ncr_openai_duration(value, &ms) == NCR_OK) {
        bucket->reset = now + ms;
    }
}
