
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_plan.h"
#include "ncr_str.h"


/* a number of more digits is a date, as in "claude-opus-4-20250514" */
#define NCR_PLAN_DIGITS  2


static ncr_uint_t ncr_plan_opus(ncr_str_t *model, ncr_uint_t *version);
static ncr_char_t *ncr_plan_number(ncr_char_t *p, ncr_char_t *last,
    ncr_uint_t *n);


ncr_plan_e
ncr_plan(ncr_str_t *name)
{
    ncr_str_t  s;

    s = *name;

    if (ncr_str_prefix(&s, "claude_")) {
        s.data += sizeof("claude_") - 1;
        s.len -= sizeof("claude_") - 1;
    }

    if (ncr_str_caseeq(&s, "free")) {
        return NCR_PLAN_FREE;
    }

    if (ncr_str_caseeq(&s, "pro")) {
        return NCR_PLAN_PRO;
    }

    return NCR_PLAN_ANY;
}


ncr_uint_t
ncr_plan_serves(ncr_plan_e plan, ncr_str_t *model)
{
    ncr_uint_t  version;

    version = 0;

    if (plan == NCR_PLAN_ANY || !ncr_str_contains(model, "opus")) {
        return 1;
    }

    if (plan == NCR_PLAN_FREE) {
        return 0;
    }

    return !ncr_plan_opus(model, &version) || version >= 405;
}


/*
 * "claude-opus-4-5-20251101" is 405, "claude-3-opus-20240229" is 300; 0: it
 * has no version
 */

static ncr_uint_t
ncr_plan_opus(ncr_str_t *model, ncr_uint_t *version)
{
    size_t       i;
    ncr_char_t  *p, *last;
    ncr_uint_t   n, minor;

    last = model->data + model->len;

    for (i = 0; i < model->len; i++) {

        p = model->data + i;

        if (p[0] != '-') {
            continue;
        }

        /* the first number of one or two digits is the version's */

        p = ncr_plan_number(p + 1, last, &n);

        if (p == NULL) {
            continue;
        }

        minor = 0;

        if (p < last && (*p == '-' || *p == '.')) {
            (void) ncr_plan_number(p + 1, last, &minor);
        }

        *version = n * 100 + minor;

        return 1;
    }

    return 0;
}


/* NULL: this is none, or a date */

static ncr_char_t *
ncr_plan_number(ncr_char_t *p, ncr_char_t *last, ncr_uint_t *n)
{
    ncr_char_t  *start;

    start = p;
    *n = 0;

    while (p < last && *p >= '0' && *p <= '9') {

        if (p - start == NCR_PLAN_DIGITS) {
            *n = 0;
            return NULL;
        }

        *n = *n * 10 + (ncr_uint_t) (*p++ - '0');
    }

    return (p == start) ? NULL : p;
}
