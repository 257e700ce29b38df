
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Kiro, Amazon Q Developer (others.md D).  Its accounts log in, are refreshed
 * and tell what they have used; none serves a request yet, as that takes a
 * conversion.
 */


#include "ncr_verdict.h"
#include "ncr_kiro.h"
#include "ncr_json.h"
#include "ncr_str.h"


/* the words of an error of AWS (D5) */

typedef struct {
    ncr_str_t    body;
    ncr_str_t   *value;                 /* of the key at hand, or NULL */
    ncr_str_t    type;                  /* "ThrottlingException" */
    ncr_str_t    reason;
    ncr_str_t    message;
} ncr_kiro_words_t;


static ncr_credential_e ncr_platform_kiro_credential(ncr_str_t *secret);
static ncr_str_t ncr_platform_kiro_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static const char *ncr_platform_kiro_region(ncr_str_t *value);
static const char *ncr_platform_kiro_optout(ncr_str_t *value);
static void ncr_platform_kiro_classify(ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_platform_kiro_exhausted(ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_platform_kiro_words(ncr_str_t *body, ncr_kiro_words_t *words);
static ncr_int_t ncr_platform_kiro_token(ncr_json_t *json,
    ncr_json_token_e token);


/* D2; in the order of ncr_kiro_param_e */

static const ncr_param_t  ncr_platform_kiro_params[] = {
    { ncr_string("region"), ncr_string("us-east-1"), 1,
      ncr_platform_kiro_region },
    { ncr_string("start_url"), ncr_string(""), 0, NULL },
    { ncr_string("kiro_version"), ncr_string(""), 0, NULL },
    { ncr_string("machine_id"), ncr_string(""), 0, NULL },
    { ncr_string("os"), ncr_string("linux#6.8.0"), 0, NULL },
    { ncr_string("node_version"), ncr_string("22.21.1"), 0, NULL },
    { ncr_string("agent_mode"), ncr_string("vibe"), 0, NULL },
    { ncr_string("optout"), ncr_string("true"), 0,
      ncr_platform_kiro_optout },
    { ncr_string(""), ncr_string(""), 0, NULL }
};


ncr_platform_t  ncr_platform_kiro = {
    .name = ncr_string("kiro"),
    .base_url = ncr_string(""),
    .token = 1,
    .credential = ncr_platform_kiro_credential,
    .classify = ncr_platform_kiro_classify,
    .oauth = &ncr_oauth_kiro,
    .provider = "aws.kiro",
    .probe = ncr_string("/getUsageLimits?origin=AI_EDITOR"
                        "&resourceType=AGENTIC_REQUEST"),
    .params = ncr_platform_kiro_params,
    .base = ncr_platform_kiro_base
};


static ncr_credential_e
ncr_platform_kiro_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


static ncr_str_t
ncr_platform_kiro_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    ncr_out_t  out;
    ncr_str_t  url;

    ncr_out_init(&out, buf, size);
    ncr_out_text(&out, "https://q.");
    ncr_out_str(&out, &params[NCR_KIRO_REGION]);
    ncr_out_text(&out, ".amazonaws.com");

    url.data = out.start;
    url.len = out.overflow ? 0 : (size_t) (out.last - out.start);

    return url;
}


/* it becomes part of a host's name, which a token is sent to */

static const char *
ncr_platform_kiro_region(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-') {
            break;
        }
    }

    return (i == value->len && i <= 32) ? NULL
                                        : "must be a region, \"us-east-1\"";
}


static const char *
ncr_platform_kiro_optout(ncr_str_t *value)
{
    return (ncr_str_eq(value, "true") || ncr_str_eq(value, "false"))
           ? NULL : "must be \"true\" or \"false\"";
}


/* D5 */

static void
ncr_platform_kiro_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_kiro_words_t  words;

    ncr_verdict_default(reply, rests, v);

    if (reply->kind != NCR_REPLY_HTTP || reply->status < 400) {
        return;
    }

    ncr_platform_kiro_words(&reply->body, &words);

    switch (reply->status) {

    case 401:
    case 403:

        if (ncr_str_contains(&words.reason, "temporarily_suspended")
            || ncr_str_contains(&words.message, "suspended"))
        {
            ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_DISABLED, 1);
            ncr_verdict_for(v, rests->disabled);
            return;
        }

        if (ncr_str_contains(&words.message, "bearer token")
            || ncr_str_contains(&words.message, "expired"))
        {
            ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH, 1);
            ncr_verdict_for(v, rests->unauthorized);
        }

        if (v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT) {
            v->refresh = 1;
        }

        return;

    case 429:

        if (ncr_str_eq(&words.reason, "INSUFFICIENT_MODEL_CAPACITY")) {

            /* of the place, whoever asks */

            ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_OVERLOADED, 1);

            v->same = 1;

            if (rests->overloaded > 0) {
                v->rest = NCR_REST_BACKOFF;
                v->base = rests->overloaded;
                v->max = ncr_max(rests->overloaded, rests->overloaded_max);
            }

            return;
        }

        break;

    default:
        break;
    }

    if (reply->status < 500
        && (ncr_str_eq(&words.reason, "MONTHLY_REQUEST_COUNT")
            || ncr_str_eq(&words.type, "ServiceQuotaExceededException")))
    {
        ncr_platform_kiro_exhausted(reply, rests, v);
    }
}


/* until "nextDateReset", the first of the next month */

static void
ncr_platform_kiro_exhausted(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_LIMITED, 1);

    if (reply->now) {
        v->rest = NCR_REST_UNTIL;
        v->until = ncr_kiro_month(reply->now);
        return;
    }

    ncr_verdict_for(v, rests->limited);
}


static void
ncr_platform_kiro_words(ncr_str_t *body, ncr_kiro_words_t *words)
{
    size_t       i;
    ncr_json_t   json;

    memset(words, 0, sizeof(ncr_kiro_words_t));

    words->body = *body;

    ncr_json_init(&json);

    json.data = words;
    json.token = ncr_platform_kiro_token;
    json.report = 1;

    if (ncr_json_feed(&json, body->data, body->len) == NCR_BAD) {
        memset(words, 0, sizeof(ncr_kiro_words_t));
        return;
    }

    /* "com.amazon.aws.codewhisperer#ThrottlingException" */

    for (i = words->type.len; i > 0; i--) {

        if (words->type.data[i - 1] == '#') {
            words->type.data += i;
            words->type.len -= i;
            break;
        }
    }
}


static ncr_int_t
ncr_platform_kiro_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_kiro_words_t  *words;

    words = json->data;

    if (json->depth != 1) {
        return NCR_OK;
    }

    if (token == NCR_JSON_KEY) {
        words->value = ncr_str_eq(&json->text, "__type") ? &words->type
                       : ncr_str_eq(&json->text, "reason") ? &words->reason
                       : (ncr_str_eq(&json->text, "message")
                          || ncr_str_eq(&json->text, "Message"))
                         ? &words->message : NULL;

        return NCR_OK;
    }

    if (token == NCR_JSON_STRING && words->value) {
        words->value->data = words->body.data + json->start + 1;
        words->value->len = (size_t) (json->end - json->start - 2);
    }

    words->value = NULL;

    return NCR_OK;
}
