
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_health.h"
#include "ncr_str.h"


/* windows end for everybody in the same second (anthropic.md C.3, case 4) */
#define NCR_HEALTH_WINDOW_JITTER_MIN  1000
#define NCR_HEALTH_WINDOW_JITTER_MAX  30000

/* a reset further away than the longest window there is, is nonsense */
#define NCR_HEALTH_LONGEST  ((ncr_msec_t) 35 * 86400 * 1000)


static ncr_msec_t ncr_health_end(ncr_health_t *h, ncr_verdict_t *v,
    ncr_msec_t now, uint32_t random);
static ncr_msec_t ncr_health_backoff(ncr_health_t *h, ncr_verdict_t *v);
static ncr_uint_t ncr_health_window(ncr_verdict_t *v);
static ncr_msec_t ncr_health_family_verdict(ncr_health_t *h,
    ncr_str_t *family, ncr_msec_t end, ncr_msec_t now);
static ncr_family_rest_t *ncr_health_family(ncr_health_t *h,
    ncr_str_t *family);
static ncr_uint_t ncr_health_window_set(ncr_health_t *h, ncr_window_t *w);


ncr_eligible_e
ncr_health_eligible(ncr_health_t *h, ncr_str_t *family, ncr_msec_t now,
    ncr_msec_t *until)
{
    ncr_msec_t          end;
    ncr_family_rest_t  *rest;

    rest = ncr_health_family(h, family);
    end = (rest != NULL && rest->until > now) ? rest->until : 0;

    if (until) {
        *until = ncr_max(end, (h->until > now) ? h->until : 0);
    }

    if (h->until > now) {
        return NCR_RESTING;
    }

    if (end) {
        return NCR_RESTING_FAMILY;
    }

    if (h->half_open) {
        return h->probing ? NCR_PROBED : NCR_ELIGIBLE_PROBE;
    }

    return NCR_ELIGIBLE;
}


ncr_msec_t
ncr_health_verdict(ncr_health_t *h, ncr_verdict_t *v, ncr_uint_t status,
    ncr_str_t *family, ncr_msec_t started, ncr_msec_t now, uint32_t random)
{
    ncr_msec_t  end;

    switch (v->fault) {

    case NCR_FAULT_NONE:
    case NCR_FAULT_CLIENT:
        return 0;

    case NCR_FAULT_ACCOUNT:
    case NCR_FAULT_MODEL:
    case NCR_FAULT_PLATFORM:
    case NCR_FAULT_NETWORK:
        break;
    }

    h->errors++;
    h->last_error = v->class;
    h->last_error_at = now;
    h->last_status = status;

    if (v->rest == NCR_REST_NONE) {
        return 0;
    }

    if (v->family) {
        end = ncr_health_end(h, v, now, random);
        return ncr_health_family_verdict(h, family, end, now);
    }

    /*
     * Requests that were in flight together fail together: they are one
     * failure, or a burst would jump to the longest back-off at once.
     */

    if (!ncr_health_window(v) && v->class != NCR_CLASS_THROTTLED
        && (h->fails == 0 || started >= h->failed_at))
    {
        h->fails++;
        h->failed_at = now;
    }

    end = ncr_health_end(h, v, now, random);

    /* a fresh short rest does not shorten a long one */

    if (end <= now || (h->until > now && end <= h->until)) {
        return 0;
    }

    h->until = end;
    h->since = now;
    h->edits++;
    h->why = v->class;
    h->window = (ncr_health_window(v) != 0);

    /* a throttle of seconds tells nothing about the account (C.3, case 8) */

    if (v->class != NCR_CLASS_THROTTLED || h->fails > 0) {
        h->half_open = 1;
    }

    return end;
}


void
ncr_health_success(ncr_health_t *h, ncr_str_t *family, ncr_msec_t started,
    ncr_msec_t now)
{
    h->success_at = now;
    h->proved = ncr_max(h->proved, started);

    if (h->failed_at < started && h->fails) {
        h->fails = 0;
        h->edits++;
    }

    if (h->since >= started || h->until == NCR_HEALTH_FOREVER) {
        return;
    }

    if (h->window && h->until > now) {
        return;
    }

    if (h->until || h->half_open) {
        h->edits++;
    }

    h->until = 0;
    h->half_open = 0;
    h->window = 0;
}


void
ncr_health_limits(ncr_health_t *h, ncr_limits_t *limits, ncr_msec_t now)
{
    ncr_uint_t  i, n;

    n = 0;

    for (i = 0; i < h->nwindows; i++) {

        if (h->windows[i].reset && h->windows[i].reset <= now) {
            continue;
        }

        if (i != n) {
            h->windows[n] = h->windows[i];
        }

        n++;
    }

    h->nwindows = n;

    if (limits->nwindows) {
        h->windows_at = now;
    }

    for (i = 0; i < limits->nwindows; i++) {

        if (limits->windows[i].reset && limits->windows[i].reset <= now) {
            continue;
        }

        if (ncr_health_window_set(h, &limits->windows[i])) {
            h->edits++;
        }
    }
}


void
ncr_health_clear(ncr_health_t *h)
{
    h->until = 0;
    h->fails = 0;
    h->failed_at = 0;
    h->probing = 0;
    h->half_open = 0;
    h->window = 0;

    memset(h->families, 0, sizeof(h->families));
}


void
ncr_health_reset(ncr_health_t *h, ncr_msec_t now)
{
    ncr_health_clear(h);

    h->cleared = ncr_max(h->cleared, now);
    h->edits++;
}


static ncr_msec_t
ncr_health_end(ncr_health_t *h, ncr_verdict_t *v, ncr_msec_t now,
    uint32_t random)
{
    ncr_msec_t  rest, jitter;

    rest = 0;

    switch (v->rest) {

    case NCR_REST_NONE:
        return 0;

    case NCR_REST_LOGIN:
        return NCR_HEALTH_FOREVER;

    case NCR_REST_UNTIL:
        if (v->until <= 0) {
            return 0;
        }

        /* a reset that is past already: clocks differ, jitter remains */

        rest = (v->until > now) ? v->until - now : 0;
        break;

    case NCR_REST_FOR:
        rest = v->base;
        break;

    case NCR_REST_BACKOFF:
        rest = ncr_health_backoff(h, v);
        break;
    }

    if (rest <= 0 && v->rest != NCR_REST_UNTIL) {
        return 0;
    }

    rest = ncr_min(rest, NCR_HEALTH_LONGEST);

    if (v->rest == NCR_REST_UNTIL && ncr_health_window(v)) {
        jitter = NCR_HEALTH_WINDOW_JITTER_MIN
                 + (ncr_msec_t) (random % (NCR_HEALTH_WINDOW_JITTER_MAX
                                      - NCR_HEALTH_WINDOW_JITTER_MIN + 1));

    } else {
        jitter = (ncr_msec_t) random % (rest / 10 + 1);
    }

    return now + rest + jitter;
}


/* base * 2^(fails - 1), up to max */

static ncr_msec_t
ncr_health_backoff(ncr_health_t *h, ncr_verdict_t *v)
{
    ncr_msec_t  rest, max;
    ncr_uint_t  i;

    rest = v->base;
    max = (v->max > 0) ? ncr_min(v->max, NCR_HEALTH_LONGEST)
                       : NCR_HEALTH_LONGEST;

    for (i = 1; i < h->fails && rest < max; i++) {
        rest *= 2;
    }

    return ncr_min(rest, max);
}


/* quota, which comes back with time and not with a success */

static ncr_uint_t
ncr_health_window(ncr_verdict_t *v)
{
    return v->class == NCR_CLASS_LIMITED
           || v->class == NCR_CLASS_MODEL_LIMITED
           || v->class == NCR_CLASS_CAPPED;
}


static ncr_msec_t
ncr_health_family_verdict(ncr_health_t *h, ncr_str_t *family, ncr_msec_t end,
    ncr_msec_t now)
{
    ncr_uint_t          i;
    ncr_family_rest_t  *rest;

    if (end <= now || family->len == 0) {
        return 0;
    }

    rest = ncr_health_family(h, family);

    if (rest == NULL) {

        /* a free place, or that of the rest which ends first */

        rest = &h->families[0];

        for (i = 1; i < NCR_HEALTH_FAMILIES; i++) {
            if (h->families[i].until < rest->until) {
                rest = &h->families[i];
            }
        }

        ncr_str_copy(rest->name, sizeof(rest->name), family);
        rest->until = 0;
    }

    if (rest->until > now && end <= rest->until) {
        return 0;
    }

    rest->until = end;
    rest->since = now;
    h->edits++;

    return end;
}


static ncr_family_rest_t *
ncr_health_family(ncr_health_t *h, ncr_str_t *family)
{
    size_t              len;
    ncr_uint_t          i;
    ncr_family_rest_t  *rest;

    if (family == NULL || family->len == 0) {
        return NULL;
    }

    len = ncr_min(family->len, NCR_FAMILY_LEN - 1);

    for (i = 0; i < NCR_HEALTH_FAMILIES; i++) {
        rest = &h->families[i];

        if (rest->name[len] == '\0'
            && memcmp(rest->name, family->data, len) == 0)
        {
            return rest;
        }
    }

    return NULL;
}


/* 1: it tells something new */

static ncr_uint_t
ncr_health_window_set(ncr_health_t *h, ncr_window_t *w)
{
    ncr_uint_t     i;
    ncr_window_t  *to, old;

    to = NULL;

    for (i = 0; i < h->nwindows; i++) {
        if (strcmp(h->windows[i].name, w->name) == 0) {
            to = &h->windows[i];
            break;
        }
    }

    if (to != NULL) {

        old = *to;

        /* what this reply did not tell about the same window still holds */

        if (w->utilization >= 0
            || (w->reset && to->reset && w->reset != to->reset))
        {
            to->utilization = w->utilization;
        }

        if (w->status != NCR_WINDOW_UNKNOWN) {
            to->status = w->status;
        }

        if (w->reset) {
            to->reset = w->reset;
        }

        return to->utilization != old.utilization || to->reset != old.reset
               || to->status != old.status;
    }

    if (h->nwindows < NCR_WINDOWS) {
        h->windows[h->nwindows++] = *w;
        return 1;
    }

    to = &h->windows[0];

    for (i = 1; i < NCR_WINDOWS; i++) {
        if (h->windows[i].reset < to->reset) {
            to = &h->windows[i];
        }
    }

    *to = *w;

    return 1;
}


void
ncr_health_renewed(ncr_health_t *h, ncr_msec_t now)
{
    h->renewed = ncr_max(h->renewed, now);

    if (h->why != NCR_CLASS_AUTH || h->until == 0) {
        return;
    }

    h->until = 0;
    h->fails = 0;
    h->half_open = 0;
    h->edits++;
}
