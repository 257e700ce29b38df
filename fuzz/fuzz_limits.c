
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Headers of limits, anthropic-beta and families: "name: value\n"... */


#include "../src/platform/ncr_beta.c"
#include "../src/platform/ncr_limits.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  ((ncr_msec_t) 1795262400 * 1000)


static void
ncr_fuzz_limits(ncr_limits_t *l)
{
    ncr_uint_t  i, j;

    ncr_fuzz_check(l->nwindows <= NCR_WINDOWS);
    ncr_fuzz_check(l->retry_after >= -1
                   && l->retry_after <= NCR_LIMITS_LONGEST);
    ncr_fuzz_check((l->retry_after == -1) == (l->retry_at == 0));
    ncr_fuzz_check(l->should_retry >= -1 && l->should_retry <= 1);
    ncr_fuzz_check(l->unified || (l->nwindows == 0 && l->reset == 0));
    ncr_fuzz_check(memchr(l->claim, '\0', sizeof(l->claim)) != NULL);

    for (i = 0; i < l->nwindows; i++) {
        ncr_fuzz_check(l->windows[i].name[0] != '\0'
                       && memchr(l->windows[i].name, '\0', NCR_WINDOW_LEN)
                          != NULL
                       && l->windows[i].utilization >= -1
                       && l->windows[i].reset >= 0);

        for (j = 0; j < i; j++) {
            ncr_fuzz_check(strcmp(l->windows[i].name, l->windows[j].name)
                           != 0);
        }
    }
}


/* the merged list has the element, and merging it again changes nothing */

static void
ncr_fuzz_beta(ncr_str_t *value)
{
    ncr_str_t    beta, merged, again;
    ncr_char_t  *buf, *other;

    ncr_str_set(&beta, "oauth-2025-04-20");

    buf = malloc(value->len + beta.len + 2);
    merged = ncr_beta_merge(value, &beta, buf);

    ncr_fuzz_check(merged.len == value->len
                   || merged.len == value->len + beta.len + 1
                   || merged.len == beta.len);

    other = malloc(merged.len + beta.len + 2);
    again = ncr_beta_merge(&merged, &beta, other);

    ncr_fuzz_check(again.data == merged.data && again.len == merged.len);

    free(other);
    free(buf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t       name, value;
    ncr_char_t     *p, *last, *end, *colon;
    ncr_limits_t    limits;

    if (size > 16 * 1024) {
        return 0;
    }

    ncr_limits_reset(&limits);

    last = (ncr_char_t *) (uintptr_t) data + size;

    for (p = (ncr_char_t *) (uintptr_t) data; p < last; p = end + 1) {
        end = memchr(p, '\n', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        colon = memchr(p, ':', (size_t) (end - p));

        if (colon == NULL) {
            continue;
        }

        name.len = (size_t) (colon - p);
        name.data = malloc(name.len + !name.len);
        memcpy(name.data, p, name.len);

        value.len = (size_t) (end - colon - 1);
        value.data = malloc(value.len + !value.len);
        memcpy(value.data, colon + 1, value.len);

        ncr_limits_header(&limits, &name, &value, NCR_FUZZ_NOW);
        ncr_fuzz_limits(&limits);
        ncr_fuzz_beta(&value);
        (void) ncr_model_family(&value);

        free(name.data);
        free(value.data);
    }

    return 0;
}
