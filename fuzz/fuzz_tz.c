
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Files of time zones; a span has its moment in it. */


#include "../src/base/ncr_tz.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  (INT64_C(1795262400) * 1000)


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_tz_t     *tz;
    ncr_str_t     file;
    ncr_uint_t    i, span;
    ncr_msec_t    t, start, end;

    file.len = size;
    file.data = malloc(size + !size);
    memcpy(file.data, data, size);

    if (ncr_tz_read(&tz, &file) == NCR_OK) {

        for (i = 0; i < 8; i++) {
            t = NCR_FUZZ_NOW + (ncr_msec_t) i * 40 * 86400 * 1000;

            for (span = 0; span <= NCR_SPAN_MONTH; span++) {
                ncr_tz_span(tz, (ncr_span_e) span, i % 7 + 1, i * 3, t, &start,
                            &end);

                if (start > t || t >= end) {
                    abort();
                }
            }
        }

        ncr_tz_free(tz);
    }

    free(file.data);

    return 0;
}
