
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Response headers that tell limits: anthropic.md C.1, C.2, D.2. */


#include "ncr_platform.h"
#include "ncr_str.h"


#define NCR_LIMITS_PREFIX   "anthropic-ratelimit-"
#define NCR_LIMITS_UNIFIED  "unified-"

/* a wait of more than this is taken for this */
#define NCR_LIMITS_LONGEST  ((int64_t) 35 * 86400 * 1000)


static void ncr_limits_retry_after(ncr_limits_t *limits, ncr_str_t *value,
    ncr_msec_t now);
static void ncr_limits_retry_after_ms(ncr_limits_t *limits, ncr_str_t *value,
    ncr_msec_t now);
static void ncr_limits_wait(ncr_limits_t *limits, int64_t ms, ncr_msec_t now);
static void ncr_limits_unified(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value);
static void ncr_limits_bucket(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value);
static ncr_window_t *ncr_limits_window(ncr_limits_t *limits,
    ncr_str_t *name);
static ncr_window_status_e ncr_limits_status(ncr_str_t *value);
static inline ncr_uint_t ncr_limits_suffix(ncr_str_t *name,
    const char *suffix);
static void ncr_limits_trim(ncr_str_t *s);


static ncr_str_t  ncr_limits_buckets[NCR_BUCKETS] = {
    ncr_string("requests"),
    ncr_string("tokens"),
    ncr_string("input-tokens"),
    ncr_string("output-tokens")
};


static ncr_str_t  ncr_model_families[] = {
    ncr_string("opus"),
    ncr_string("sonnet"),
    ncr_string("haiku"),
    ncr_string("fable"),
    ncr_string("mythos")
};


void
ncr_limits_reset(ncr_limits_t *limits)
{
    ncr_uint_t  i;

    memset(limits, 0, sizeof(ncr_limits_t));

    limits->retry_after = -1;
    limits->should_retry = -1;

    for (i = 0; i < NCR_BUCKETS; i++) {
        limits->buckets[i].remaining = -1;
    }
}


void
ncr_limits_header(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value,
    ncr_msec_t now)
{
    ncr_str_t  n, v;

    /* most headers are none of these */

    if (name->len < sizeof("retry-after") - 1
        || (*name->data != 'a' && *name->data != 'r' && *name->data != 'x'))
    {
        return;
    }

    v = *value;
    ncr_limits_trim(&v);

    if (ncr_str_eq(name, "retry-after")) {
        ncr_limits_retry_after(limits, &v, now);
        return;
    }

    if (ncr_str_eq(name, "retry-after-ms")) {
        ncr_limits_retry_after_ms(limits, &v, now);
        return;
    }

    if (ncr_str_eq(name, "x-should-retry")) {

        if (ncr_str_caseeq(&v, "true")) {
            limits->should_retry = 1;

        } else if (ncr_str_caseeq(&v, "false")) {
            limits->should_retry = 0;
        }

        return;
    }

    if (!ncr_str_prefix(name, NCR_LIMITS_PREFIX)) {
        return;
    }

    n.data = name->data + sizeof(NCR_LIMITS_PREFIX) - 1;
    n.len = name->len - (sizeof(NCR_LIMITS_PREFIX) - 1);

    if (ncr_str_prefix(&n, NCR_LIMITS_UNIFIED)) {
        n.data += sizeof(NCR_LIMITS_UNIFIED) - 1;
        n.len -= sizeof(NCR_LIMITS_UNIFIED) - 1;

        ncr_limits_unified(limits, &n, &v);
        return;
    }

    ncr_limits_bucket(limits, &n, &v);
}


/* seconds, a fraction of them, or a date */

static void
ncr_limits_retry_after(ncr_limits_t *limits, ncr_str_t *value,
    ncr_msec_t now)
{
    int32_t     fraction;
    int64_t     seconds;
    ncr_msec_t  date;

    if (limits->retry_ms) {
        return;
    }

    if (ncr_str_int(value, &seconds) == NCR_OK) {

        if (seconds >= 0) {
            seconds = ncr_min(seconds, NCR_LIMITS_LONGEST / 1000);
            ncr_limits_wait(limits, seconds * 1000, now);
        }

        return;
    }

    if (ncr_str_fraction(value, &fraction) == NCR_OK) {

        if (fraction >= 0) {
            ncr_limits_wait(limits, (int64_t) fraction / 10, now);
        }

        return;
    }

    if (ncr_str_time(value, &date) == NCR_OK) {
        ncr_limits_wait(limits, (date > now) ? date - now : 0, now);
    }
}


/* finer than retry-after, whichever comes first (D.2) */

static void
ncr_limits_retry_after_ms(ncr_limits_t *limits, ncr_str_t *value,
    ncr_msec_t now)
{
    int32_t  fraction;
    int64_t  ms;

    if (ncr_str_int(value, &ms) != NCR_OK) {

        if (ncr_str_fraction(value, &fraction) != NCR_OK) {
            return;
        }

        ms = fraction / 10000;
    }

    if (ms >= 0) {
        limits->retry_ms = 1;
        ncr_limits_wait(limits, ms, now);
    }
}


static void
ncr_limits_wait(ncr_limits_t *limits, int64_t ms, ncr_msec_t now)
{
    limits->retry_after = ncr_min(ms, NCR_LIMITS_LONGEST);
    limits->retry_at = now + limits->retry_after;
}


static void
ncr_limits_unified(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value)
{
    int32_t        fraction;
    ncr_str_t      window;
    ncr_msec_t     reset;
    ncr_window_t  *w;

    limits->unified = 1;

    if (ncr_str_eq(name, "status")) {
        limits->status = ncr_limits_status(value);
        return;
    }

    if (ncr_str_eq(name, "reset")) {
        if (ncr_str_time(value, &reset) == NCR_OK && reset > 0) {
            limits->reset = reset;
        }

        return;
    }

    if (ncr_str_eq(name, "representative-claim")) {
        ncr_str_copy(limits->claim, sizeof(limits->claim), value);
        return;
    }

    /* "grace-5h-utilization", "slow-status" are about no window */

    if (ncr_str_prefix(name, "grace-") || ncr_str_prefix(name, "slow-")) {
        return;
    }

    window = *name;

    if (ncr_limits_suffix(&window, "-status")) {
        w = ncr_limits_window(limits, &window);

        if (w != NULL) {
            w->status = ncr_limits_status(value);
        }

    } else if (ncr_limits_suffix(&window, "-reset")) {

        if (ncr_str_time(value, &reset) != NCR_OK || reset <= 0) {
            return;
        }

        w = ncr_limits_window(limits, &window);

        if (w != NULL) {
            w->reset = reset;
        }

    } else if (ncr_limits_suffix(&window, "-utilization")) {

        if (ncr_str_fraction(value, &fraction) != NCR_OK || fraction < 0) {
            return;
        }

        w = ncr_limits_window(limits, &window);

        if (w != NULL) {
            w->utilization = fraction;
        }
    }
}


/* "requests-remaining", "input-tokens-reset" of an API key */

static void
ncr_limits_bucket(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value)
{
    int64_t      remaining;
    ncr_str_t    bucket;
    ncr_uint_t   i, left;
    ncr_msec_t   reset;

    bucket = *name;
    left = ncr_limits_suffix(&bucket, "-remaining");

    if (!left && !ncr_limits_suffix(&bucket, "-reset")) {
        return;
    }

    for (i = 0; i < NCR_BUCKETS; i++) {

        if (bucket.len == ncr_limits_buckets[i].len
            && memcmp(bucket.data, ncr_limits_buckets[i].data, bucket.len)
               == 0)
        {
            break;
        }
    }

    if (i == NCR_BUCKETS) {
        return;
    }

    if (left) {
        if (ncr_str_int(value, &remaining) == NCR_OK) {
            limits->buckets[i].remaining = remaining;
        }

    } else if (ncr_str_time(value, &reset) == NCR_OK) {
        limits->buckets[i].reset = reset;
    }
}


/* NULL: no room, or a name that is longer than any known, or none */

static ncr_window_t *
ncr_limits_window(ncr_limits_t *limits, ncr_str_t *name)
{
    ncr_uint_t     i;
    ncr_window_t  *w;

    if (name->len == 0 || name->len >= NCR_WINDOW_LEN) {
        return NULL;
    }

    for (i = 0; i < name->len; i++) {
        if (name->data[i] <= ' ' || name->data[i] >= 0x7f) {
            return NULL;
        }
    }

    for (i = 0; i < limits->nwindows; i++) {
        if (ncr_str_eq(name, limits->windows[i].name)) {
            return &limits->windows[i];
        }
    }

    if (limits->nwindows == NCR_WINDOWS) {
        return NULL;
    }

    w = &limits->windows[limits->nwindows++];

    ncr_str_copy(w->name, sizeof(w->name), name);
    w->status = NCR_WINDOW_UNKNOWN;
    w->utilization = -1;
    w->reset = 0;

    return w;
}


static ncr_window_status_e
ncr_limits_status(ncr_str_t *value)
{
    if (ncr_str_caseeq(value, "allowed")) {
        return NCR_WINDOW_ALLOWED;
    }

    if (ncr_str_caseeq(value, "allowed_warning")) {
        return NCR_WINDOW_WARNING;
    }

    return ncr_str_caseeq(value, "rejected") ? NCR_WINDOW_REJECTED
                                             : NCR_WINDOW_UNKNOWN;
}


/* 1: name ended with it, and does no longer */

static inline ncr_uint_t
ncr_limits_suffix(ncr_str_t *name, const char *suffix)
{
    size_t  len;

    len = strlen(suffix);

    if (name->len <= len
        || memcmp(name->data + name->len - len, suffix, len) != 0)
    {
        return 0;
    }

    name->len -= len;

    return 1;
}


static void
ncr_limits_trim(ncr_str_t *s)
{
    while (s->len && (s->data[0] == ' ' || s->data[0] == '\t')) {
        s->data++;
        s->len--;
    }

    while (s->len
           && (s->data[s->len - 1] == ' ' || s->data[s->len - 1] == '\t'))
    {
        s->len--;
    }
}


ncr_str_t
ncr_model_family(ncr_str_t *model)
{
    ncr_str_t   none;
    ncr_uint_t  i;

    for (i = 0;
         i < sizeof(ncr_model_families) / sizeof(ncr_model_families[0]);
         i++)
    {
        if (ncr_str_contains(model, (char *) ncr_model_families[i].data)) {
            return ncr_model_families[i];
        }
    }

    /* of Google's, each model has quotas of its own (others.md C4) */

    if (ncr_str_prefix(model, "gemini-") || ncr_str_prefix(model, "gemma-")) {
        none.data = model->data + sizeof("gemma-") - 1
                    + (model->data[3] == 'i');
        none.len = ncr_min((size_t) (model->data + model->len - none.data),
                           NCR_FAMILY_LEN - 1);
        return none;
    }

    ncr_str_set(&none, "");

    return none;
}
