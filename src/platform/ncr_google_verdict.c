
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a failure of Google's means: others.md C4.  Quotas are those of an
 * account and a model, so that is what rests.
 */


#include "ncr_google_quota.h"
#include "ncr_str.h"


/* a wait up to this is waited for, above that it is of another kind, ms */
#define NCR_GOOGLE_BRIEF       ((ncr_msec_t) 3 * 1000)
#define NCR_GOOGLE_EXHAUSTED   ((ncr_msec_t) 300 * 1000)

/* where a limit tells no time (C4, 7), ms */
#define NCR_GOOGLE_SOME_TIME   ((ncr_msec_t) 30 * 1000)


typedef struct {
    const char   *text;
    ncr_class_e   class;
} ncr_google_text_t;


static void ncr_google_client(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_google_account(ncr_rests_t *rests, ncr_verdict_t *v,
    ncr_class_e class);
static ncr_uint_t ncr_google_texts(ncr_google_error_t *e,
    ncr_google_text_t *t, ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_google_limited(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_google_family(ncr_reply_t *reply, ncr_verdict_t *v);
static void ncr_google_overloaded(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);


/* with a 400: what is not the request's fault */

static ncr_google_text_t  ncr_google_400[] = {
    { "api key not valid", NCR_CLASS_AUTH },
    { "api key expired", NCR_CLASS_AUTH },
    { "api key not found", NCR_CLASS_AUTH },
    { "user location is not supported", NCR_CLASS_FORBIDDEN },
    { "free tier is not available", NCR_CLASS_BILLING },
    { NULL, NCR_CLASS_OK }
};


/* with a 403: what is told as an account's and is a client's, or the reverse */

static ncr_google_text_t  ncr_google_403[] = {
    { "or it may not exist", NCR_CLASS_CLIENT },
    { "cachedcontent not found", NCR_CLASS_CLIENT },
    { "has been suspended", NCR_CLASS_DISABLED },
    { "reported as leaked", NCR_CLASS_DISABLED },
    { "it is disabled", NCR_CLASS_DISABLED },
    { NULL, NCR_CLASS_OK }
};


void
ncr_google_classify(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_reply_t         as;
    ncr_google_error_t  e;

    if (reply->kind != NCR_REPLY_HTTP
        && reply->kind != NCR_REPLY_STREAM_ERROR)
    {
        ncr_verdict_default(reply, rests, v);
        return;
    }

    ncr_google_read(&e, reply);

    if (!e.json || e.status < 400) {
        ncr_verdict_default(reply, rests, v);
        return;
    }

    switch (e.status) {

    case 400:
    case 401:
    case 403:
        ncr_google_client(&e, reply, rests, v);
        return;

    case 429:
        ncr_google_limited(&e, reply, rests, v);
        return;

    case 503:
        ncr_google_overloaded(&e, reply, rests, v);
        return;

    default:
        break;
    }

    /* nothing in the words of the others is for Google's */

    as = *reply;
    as.kind = NCR_REPLY_HTTP;
    as.status = (e.status == 499) ? 500 : e.status;
    ncr_str_null(&as.body);

    ncr_verdict_default(&as, rests, v);
}


static void
ncr_google_client(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    switch (e->reason) {

    case NCR_GOOGLE_KEY:
        ncr_google_account(rests, v, NCR_CLASS_AUTH);
        return;

    case NCR_GOOGLE_DISABLED:

    /* somebody must go through a page of Google's first (C4, Help) */

    case NCR_GOOGLE_VALIDATION:
        ncr_google_account(rests, v, NCR_CLASS_DISABLED);
        return;

    case NCR_GOOGLE_BILLING:
    case NCR_GOOGLE_CREDITS:
        ncr_google_account(rests, v, NCR_CLASS_BILLING);
        return;

    default:
        break;
    }

    if (e->status == 401) {
        ncr_google_account(rests, v, NCR_CLASS_AUTH);
        return;
    }

    if (e->status == 403) {
        if (!ncr_google_texts(e, ncr_google_403, rests, v)) {
            ncr_google_account(rests, v, NCR_CLASS_FORBIDDEN);
        }

        return;
    }

    if (!ncr_google_texts(e, ncr_google_400, rests, v)) {
        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, 0);
    }
}


static void
ncr_google_account(ncr_rests_t *rests, ncr_verdict_t *v, ncr_class_e class)
{
    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, class, 1);

    ncr_verdict_for(v, (class == NCR_CLASS_AUTH) ? rests->unauthorized
                       : (class == NCR_CLASS_BILLING) ? rests->billing
                       : (class == NCR_CLASS_DISABLED) ? rests->disabled
                       : rests->forbidden);
}


static ncr_uint_t
ncr_google_texts(ncr_google_error_t *e, ncr_google_text_t *t,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    for ( /* void */ ; t->text; t++) {

        if (!ncr_str_contains(&e->message, t->text)) {
            continue;
        }

        if (t->class == NCR_CLASS_CLIENT) {
            ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, 0);

        } else {
            ncr_google_account(rests, v, t->class);
        }

        return 1;
    }

    return 0;
}


static void
ncr_google_limited(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_msec_t  until, wait;

    if (e->reason == NCR_GOOGLE_CAPACITY) {
        ncr_google_overloaded(e, reply, rests, v);
        return;
    }

    if (e->reason == NCR_GOOGLE_CREDITS) {
        ncr_google_account(rests, v, NCR_CLASS_BILLING);
        return;
    }

    if (e->no_quota) {

        /* it has no quota of that model, and waiting brings none */

        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED, 1);
        ncr_verdict_for(v, rests->disabled);
        ncr_google_family(reply, v);
        return;
    }

    until = ncr_google_reset(e, reply->now);
    wait = until ? until - reply->now : -1;

    if (until == 0 && reply->limits->retry_after >= 0) {
        wait = reply->limits->retry_after;
        until = reply->now + wait;
    }

    if (e->reason == NCR_GOOGLE_QUOTA || e->per_day
        || wait > NCR_GOOGLE_EXHAUSTED)
    {
        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED, 1);

        if (until) {
            v->rest = NCR_REST_UNTIL;
            v->until = until;

        } else {
            ncr_verdict_for(v, rests->limited);
        }

        ncr_google_family(reply, v);
        return;
    }

    ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_THROTTLED, 1);

    if (until) {
        v->same = (wait <= NCR_GOOGLE_BRIEF);
        ncr_verdict_for(v, ncr_max(wait, 1));

    } else if (rests->throttled) {
        ncr_verdict_for(v, ncr_max(rests->throttled, NCR_GOOGLE_SOME_TIME));
    }

    ncr_google_family(reply, v);
}


/* of a model without a family, the account rests as a whole */

static void
ncr_google_family(ncr_reply_t *reply, ncr_verdict_t *v)
{
    if (reply->family.len) {
        v->family = 1;
        return;
    }

    v->fault = NCR_FAULT_ACCOUNT;

    if (v->class == NCR_CLASS_MODEL_LIMITED) {
        v->class = NCR_CLASS_LIMITED;
    }
}


/* the model is out of machines: no account would fare better for long */

static void
ncr_google_overloaded(ncr_google_error_t *e, ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_OVERLOADED, 1);

    v->same = 1;

    if (rests->overloaded == 0) {
        return;
    }

    if (e->delay > 0) {
        ncr_verdict_for(v, ncr_min(e->delay, NCR_GOOGLE_EXHAUSTED));

    } else {
        v->rest = NCR_REST_BACKOFF;
        v->base = rests->overloaded;
        v->max = ncr_max(rests->overloaded, rests->overloaded_max);
    }

    if (reply->family.len) {
        v->fault = NCR_FAULT_MODEL;
        v->family = 1;
    }
}
