
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a failure means: DESIGN 5, anthropic.md C.3, D.3, K.3.  This is the
 * judgement that all platforms share; theirs refine it.
 */


#include "ncr_verdict.h"
#include "ncr_str.h"


/* a server's word for a wait without a window is not taken for days */
#define NCR_VERDICT_WAIT_MAX   ((ncr_msec_t) 86400 * 1000)

/* retry-after up to this is a throttle, above it a limit (C.3, case 7) */
#define NCR_VERDICT_THROTTLE   60000


typedef struct {
    const char   *text;
    ncr_class_e   class;
} ncr_verdict_text_t;


static void ncr_verdict_http(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v, ncr_uint_t status);
static ncr_uint_t ncr_verdict_by_text(ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_verdict_401(ncr_reply_text_t *text, ncr_rests_t *rests,
    ncr_verdict_t *v);
static void ncr_verdict_403(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v);
static void ncr_verdict_429(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v);
static ncr_uint_t ncr_verdict_entitlement(ncr_reply_text_t *text);
static void ncr_verdict_limited(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);
static void ncr_verdict_throttled(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);
static void ncr_verdict_capped(ncr_reply_text_t *text, ncr_rests_t *rests,
    ncr_verdict_t *v);
static void ncr_verdict_server(ncr_rests_t *rests, ncr_verdict_t *v,
    ncr_fault_e fault, ncr_class_e class);
static void ncr_verdict_overloaded(ncr_rests_t *rests, ncr_verdict_t *v);
static ncr_uint_t ncr_verdict_family_window(ncr_window_t *w);
static ncr_uint_t ncr_verdict_family_claim(ncr_limits_t *limits);
static ncr_uint_t ncr_verdict_account_rejected(ncr_limits_t *limits);
static ncr_msec_t ncr_verdict_date(ncr_str_t *s);


static const char  *ncr_class_names[NCR_CLASSES] = {
    "ok",
    "client",
    "policy",
    "auth",
    "forbidden",
    "edge",
    "disabled",
    "billing",
    "capped",
    "limited",
    "model-limited",
    "entitlement",
    "throttled",
    "overloaded",
    "server",
    "network",
    "tls",
    "timeout",
    "protocol",
    "broken",
    "aborted"
};


/* D.3: what an account's own failure says, with a 400, a 401 or a 403 */

static ncr_verdict_text_t  ncr_verdict_texts[] = {
    { "organization has been disabled", NCR_CLASS_DISABLED },
    { "authentication is currently not allowed", NCR_CLASS_DISABLED },
    { "oauth_org_not_allowed", NCR_CLASS_DISABLED },
    { "has disabled api key authentication", NCR_CLASS_DISABLED },
    { "credit balance is too low", NCR_CLASS_BILLING },
    { "you have reached your specified", NCR_CLASS_CAPPED },
    { "you have reached your api usage limits", NCR_CLASS_CAPPED },
    { "workspace api usage limits", NCR_CLASS_CAPPED },
    { "only authorized for use with claude code", NCR_CLASS_POLICY },
    { "third-party apps now draw from", NCR_CLASS_POLICY },
    { "content filter", NCR_CLASS_POLICY },
    { NULL, NCR_CLASS_OK }
};


const char *
ncr_class_name(ncr_class_e class)
{
    return ((ncr_uint_t) class < NCR_CLASSES) ? ncr_class_names[class]
                                              : "unknown";
}


void
ncr_rests_default(ncr_rests_t *rests)
{
    rests->unauthorized = 1800 * 1000;
    rests->forbidden = 1800 * 1000;
    rests->edge = 60 * 1000;
    rests->disabled = 86400 * 1000;
    rests->billing = 3600 * 1000;
    rests->limited = 3600 * 1000;
    rests->throttled = 3 * 1000;
    rests->overloaded = 10 * 1000;
    rests->overloaded_max = 60 * 1000;
    rests->server = 1000;
    rests->server_max = 60 * 1000;
}


void
ncr_verdict_set(ncr_verdict_t *v, ncr_fault_e fault, ncr_class_e class,
    ncr_uint_t retry)
{
    memset(v, 0, sizeof(ncr_verdict_t));

    v->fault = fault;
    v->class = class;
    v->rest = NCR_REST_NONE;
    v->retry = (retry != 0);
}


void
ncr_verdict_for(ncr_verdict_t *v, ncr_msec_t ms)
{
    if (ms > 0) {
        v->rest = NCR_REST_FOR;
        v->base = ms;
        v->max = ms;
    }
}


void
ncr_verdict_default(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t        status;
    ncr_reply_text_t  text;

    switch (reply->kind) {

    case NCR_REPLY_HTTP:
    case NCR_REPLY_STREAM_ERROR:
        break;

    case NCR_REPLY_CONNECT:
    case NCR_REPLY_RESET:
        ncr_verdict_server(rests, v, NCR_FAULT_NETWORK, NCR_CLASS_NETWORK);
        return;

    case NCR_REPLY_TLS:
        ncr_verdict_server(rests, v, NCR_FAULT_NETWORK, NCR_CLASS_TLS);
        return;

    case NCR_REPLY_TIMEOUT:
        ncr_verdict_server(rests, v, NCR_FAULT_NETWORK, NCR_CLASS_TIMEOUT);
        return;

    case NCR_REPLY_GARBAGE:
        ncr_verdict_server(rests, v, NCR_FAULT_NETWORK, NCR_CLASS_PROTOCOL);
        return;
    }

    ncr_reply_read(&text, reply);
    status = ncr_reply_status(reply, &text);

    if (status >= 200 && status < 300) {
        ncr_verdict_set(v, NCR_FAULT_NONE, NCR_CLASS_OK, 0);
        return;
    }

    ncr_verdict_http(reply, &text, rests, v, status);
}


static void
ncr_verdict_http(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v, ncr_uint_t status)
{
    /* no API redirects: this is something in front of it */

    if (status < 400) {
        ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_EDGE, 1);
        ncr_verdict_for(v, rests->edge);
        return;
    }

    /* the dead account before the ordinary failure (SEEDS 3.21) */

    if ((status == 400 || status == 401 || status == 403)
        && ncr_verdict_by_text(text, rests, v))
    {
        return;
    }

    switch (status) {

    case 401:
        ncr_verdict_401(text, rests, v);
        return;

    case 402:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_BILLING, 1);
        ncr_verdict_for(v, rests->billing);
        return;

    case 403:
        ncr_verdict_403(reply, text, rests, v);
        return;

    case 429:
        ncr_verdict_429(reply, text, rests, v);
        return;

    case 529:
        ncr_verdict_overloaded(rests, v);
        return;

    default:
        break;
    }

    if (status >= 500) {

        if (ncr_str_eq(&text->type, "overloaded_error")) {
            ncr_verdict_overloaded(rests, v);
            return;
        }

        ncr_verdict_server(rests, v, NCR_FAULT_PLATFORM, NCR_CLASS_SERVER);
        return;
    }

    /* 404, 408, 409, 413, 422 too: the client knows what to do with them */

    ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_CLIENT, 0);
}


static ncr_uint_t
ncr_verdict_by_text(ncr_reply_text_t *text, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_verdict_text_t  *t;

    for (t = ncr_verdict_texts; t->text; t++) {
        if (ncr_reply_says(text, t->text)) {
            break;
        }
    }

    if (t->text == NULL) {
        return 0;
    }

    if (t->class == NCR_CLASS_POLICY) {

        /* the terms are those of every account: no rotation around them */

        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_POLICY, 0);
        return 1;
    }

    if (t->class == NCR_CLASS_CAPPED) {
        ncr_verdict_capped(text, rests, v);
        return 1;
    }

    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, t->class, 1);
    ncr_verdict_for(v, (t->class == NCR_CLASS_BILLING) ? rests->billing
                                                       : rests->disabled);

    return 1;
}


static void
ncr_verdict_401(ncr_reply_text_t *text, ncr_rests_t *rests, ncr_verdict_t *v)
{
    if (ncr_reply_says(text, "cors requests are not allowed")) {

        /* an Origin went through: every account would say the same */

        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_AUTH, 0);
        return;
    }

    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH, 1);
    ncr_verdict_for(v, rests->unauthorized);
}


static void
ncr_verdict_403(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t  json;

    json = text->json
           || (reply->body.len == 0
               && ncr_str_contains(&reply->content_type, "json"));

    if (!json) {

        /* a filter in front of the API, which did not see the account */

        ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_EDGE, 1);
        ncr_verdict_for(v, rests->edge);
        return;
    }

    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_FORBIDDEN, 1);

    /* it may not read the profile, which no request needs */

    if (!ncr_reply_says(text, "scope requirement: user:profile")) {
        ncr_verdict_for(v, rests->forbidden);
    }
}


/* C.3, its cases in order; 9 stands above 4 to 8, which are complete */

static void
ncr_verdict_429(ncr_reply_t *reply, ncr_reply_text_t *text,
    ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t     i, family;
    ncr_limits_t  *limits;

    limits = reply->limits;

    if (ncr_verdict_entitlement(text)
        && limits->status != NCR_WINDOW_REJECTED
        && !ncr_verdict_account_rejected(limits))
    {
        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_ENTITLEMENT, 0);
        return;
    }

    if (ncr_reply_says(text, "enforced_spend_limit_reached")
        || ncr_reply_says(text, "you have reached your api usage limits"))
    {
        ncr_verdict_capped(text, rests, v);
        return;
    }

    family = ncr_verdict_family_claim(limits);

    for (i = 0; i < limits->nwindows; i++) {
        if (limits->windows[i].status == NCR_WINDOW_REJECTED
            && ncr_verdict_family_window(&limits->windows[i]))
        {
            family = 1;
        }
    }

    if (ncr_verdict_account_rejected(limits)) {
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_LIMITED, 1);
        ncr_verdict_limited(reply, rests, v);

    } else if (family) {
        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_MODEL_LIMITED, 1);
        ncr_verdict_limited(reply, rests, v);

        v->family = 1;

        if (reply->family.len == 0) {
            v->rest = NCR_REST_NONE;
        }

    } else if (limits->status == NCR_WINDOW_REJECTED
               || (limits->unified && limits->status == NCR_WINDOW_UNKNOWN
                   && limits->reset))
    {
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_LIMITED, 1);
        ncr_verdict_limited(reply, rests, v);

    } else {
        ncr_verdict_throttled(reply, rests, v);
    }

    if (reply->background) {

        /* maybe a client's probe of its own quota */

        v->rest = NCR_REST_NONE;
        v->family = 0;
    }
}


/* cases 1 and 2: asked for more than the plan has, whatever the account */

static ncr_uint_t
ncr_verdict_entitlement(ncr_reply_text_t *text)
{
    if (ncr_reply_mentions(text, "extra usage")
        || ncr_reply_mentions(text, "fast request rejected"))
    {
        return 1;
    }

    if (!ncr_reply_mentions(text, "usage credits")) {
        return 0;
    }

    return ncr_reply_mentions(text, "long context")
           || ncr_reply_mentions(text, "1m")
           || ncr_reply_mentions(text, "fast");
}


/* cases 4 to 6: until the last of what was told */

static void
ncr_verdict_limited(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t     i, family;
    ncr_msec_t     until;
    ncr_window_t  *w;
    ncr_limits_t  *limits;

    limits = reply->limits;
    until = limits->retry_at;
    family = (v->class == NCR_CLASS_MODEL_LIMITED);

    for (i = 0; i < limits->nwindows; i++) {
        w = &limits->windows[i];

        if (w->status != NCR_WINDOW_REJECTED
            || strcmp(w->name, "overage") == 0)
        {
            continue;
        }

        /* a family's week does not keep the whole account waiting */

        if (ncr_verdict_family_window(w) == family) {
            until = ncr_max(until, w->reset);
        }
    }

    /*
     * The representative window is the rejected one, unless a family's
     * limit comes with the reset of the account's five hours.
     */

    if (!family || ncr_verdict_family_claim(limits) || until == 0) {
        until = ncr_max(until, limits->reset);
    }

    if (until) {
        v->rest = NCR_REST_UNTIL;
        v->until = until;
        return;
    }

    ncr_verdict_for(v, rests->limited);
}


/* cases 7 and 8 */

static void
ncr_verdict_throttled(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_uint_t     i;
    ncr_msec_t     until;
    ncr_limits_t  *limits;

    limits = reply->limits;

    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_THROTTLED, 1);

    v->same = (limits->should_retry != 0);

    if (limits->retry_after >= 0) {

        if (limits->retry_after > NCR_VERDICT_THROTTLE) {
            v->class = NCR_CLASS_LIMITED;
            v->same = 0;
        }

        ncr_verdict_for(v, ncr_min(limits->retry_after,
                                   NCR_VERDICT_WAIT_MAX));
        return;
    }

    /* the buckets of an API key that are empty (C.1) */

    until = 0;

    for (i = 0; i < NCR_BUCKETS; i++) {
        if (limits->buckets[i].remaining == 0) {
            until = ncr_max(until, limits->buckets[i].reset);
        }
    }

    if (until) {
        v->rest = NCR_REST_UNTIL;
        v->until = until;
        return;
    }

    ncr_verdict_for(v, rests->throttled);
}


/* a spend limit: until the date in its text, else asked now and then */

static void
ncr_verdict_capped(ncr_reply_text_t *text, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_CAPPED, 1);

    v->until = ncr_verdict_date(text->message.len ? &text->message
                                                  : &text->body);
    if (v->until) {
        v->rest = NCR_REST_UNTIL;
        return;
    }

    ncr_verdict_for(v, rests->billing);
}


static void
ncr_verdict_server(ncr_rests_t *rests, ncr_verdict_t *v, ncr_fault_e fault,
    ncr_class_e class)
{
    ncr_verdict_set(v, fault, class, 1);

    v->same = 1;

    if (rests->server > 0) {
        v->rest = NCR_REST_BACKOFF;
        v->base = rests->server;
        v->max = ncr_max(rests->server, rests->server_max);
    }
}


static void
ncr_verdict_overloaded(ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_OVERLOADED, 1);

    v->same = 1;

    if (rests->overloaded > 0) {
        v->rest = NCR_REST_BACKOFF;
        v->base = rests->overloaded;
        v->max = ncr_max(rests->overloaded, rests->overloaded_max);
    }
}


/* "7d_opus", "7d_sonnet", "7d_oi" */

static ncr_uint_t
ncr_verdict_family_window(ncr_window_t *w)
{
    return strncmp(w->name, "7d_", 3) == 0;
}


/* "seven_day_opus", "seven_day_overage_included"; not "seven_day" */

static ncr_uint_t
ncr_verdict_family_claim(ncr_limits_t *limits)
{
    return strncmp(limits->claim, "seven_day_", 10) == 0;
}


static ncr_uint_t
ncr_verdict_account_rejected(ncr_limits_t *limits)
{
    ncr_uint_t  i;

    for (i = 0; i < limits->nwindows; i++) {

        if (limits->windows[i].status == NCR_WINDOW_REJECTED
            && (strcmp(limits->windows[i].name, "5h") == 0
                || strcmp(limits->windows[i].name, "7d") == 0))
        {
            return 1;
        }
    }

    return 0;
}


/* the first "2026-12-01" in a text, at 00:00 UTC; 0 if there is none */

static ncr_msec_t
ncr_verdict_date(ncr_str_t *s)
{
    char        date[sizeof("2026-12-01T00:00:00Z")];
    size_t      i, n;
    ncr_str_t   t;
    ncr_char_t  c;
    ncr_msec_t  time;

    static const char  form[] = "dddd-dd-dd";

    n = 0;

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (form[n] == 'd' ? (c >= '0' && c <= '9') : c == '-') {
            date[n++] = (char) c;

        } else {
            n = 0;
        }

        if (n < sizeof(form) - 1) {
            continue;
        }

        memcpy(date + n, "T00:00:00Z", sizeof("T00:00:00Z"));

        t.data = (ncr_char_t *) date;
        t.len = sizeof(date) - 1;

        if (ncr_str_time(&t, &time) == NCR_OK && time > 0) {
            return time;
        }

        n = 0;
    }

    return 0;
}
