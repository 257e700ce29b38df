
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The header anthropic-beta: anthropic.md B.4, the merge rule. */


#include "ncr_platform.h"
#include "ncr_out.h"
#include "ncr_str.h"


static ncr_uint_t ncr_beta_next(ncr_char_t **p, ncr_char_t *last,
    ncr_str_t *element);


ncr_str_t
ncr_beta_merge(ncr_str_t *value, ncr_str_t *beta, ncr_char_t *buf)
{
    ncr_str_t    element, merged;
    ncr_out_t    out;
    ncr_char_t  *p, *after, *last;
    ncr_uint_t   any;

    p = value->data;
    last = (value->len != 0) ? p + value->len : p;
    after = NULL;
    any = 0;

    while (ncr_beta_next(&p, last, &element)) {

        if (element.len == 0) {
            continue;
        }

        any = 1;

        if (element.len == beta->len
            && memcmp(element.data, beta->data, beta->len) == 0)
        {
            return *value;
        }

        if (after == NULL && ncr_str_eq(&element, NCR_BETA_CLAUDE_CODE)) {
            after = element.data + element.len;
        }
    }

    ncr_out_init(&out, buf, value->len + beta->len + 2);

    if (after != NULL) {
        ncr_out_bytes(&out, value->data, (size_t) (after - value->data));
        ncr_out_bytes(&out, ",", 1);
        ncr_out_str(&out, beta);
        ncr_out_bytes(&out, after, (size_t) (last - after));

    } else {
        ncr_out_str(&out, beta);

        if (any) {
            ncr_out_bytes(&out, ",", 1);
            ncr_out_str(&out, value);
        }
    }

    merged.data = out.start;
    merged.len = (size_t) (out.last - out.start);

    return merged;
}


ncr_str_t
ncr_beta_union(ncr_str_t *value, ncr_str_t *list, ncr_char_t *buf)
{
    ncr_str_t    element, merged;
    ncr_out_t    out;
    ncr_char_t  *p, *last;
    ncr_uint_t   any;

    ncr_out_init(&out, buf, value->len + list->len + 2);
    ncr_out_str(&out, value);

    p = value->data;
    last = (value->len != 0) ? p + value->len : p;

    for (any = 0; !any && ncr_beta_next(&p, last, &element); /* void */ ) {
        any = (element.len != 0);
    }

    /* a list without elements is none */

    if (!any) {
        out.last = out.start;
    }

    p = list->data;
    last = (list->len != 0) ? p + list->len : p;

    while (ncr_beta_next(&p, last, &element)) {

        merged.data = out.start;
        merged.len = (size_t) (out.last - out.start);

        if (element.len == 0 || ncr_beta_has(&merged, &element)) {
            continue;
        }

        if (merged.len) {
            ncr_out_bytes(&out, ",", 1);
        }

        ncr_out_str(&out, &element);
    }

    merged.data = out.start;
    merged.len = (size_t) (out.last - out.start);

    return merged;
}


ncr_uint_t
ncr_beta_has(ncr_str_t *value, ncr_str_t *beta)
{
    ncr_str_t    element;
    ncr_char_t  *p, *last;

    p = value->data;
    last = (value->len != 0) ? p + value->len : p;

    while (ncr_beta_next(&p, last, &element)) {
        if (element.len == beta->len
            && memcmp(element.data, beta->data, beta->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* the next element without the white space around it */

static ncr_uint_t
ncr_beta_next(ncr_char_t **p, ncr_char_t *last, ncr_str_t *element)
{
    ncr_char_t  *start, *end;

    start = *p;

    if (start == NULL || start >= last) {
        return 0;
    }

    for (end = start; end < last && *end != ','; end++) { /* void */ }

    *p = (end < last) ? end + 1 : end;

    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }

    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    element->data = start;
    element->len = (size_t) (end - start);

    return 1;
}
