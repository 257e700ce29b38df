
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The text of a limit: what is printed is parsed to the same. */


#include "../src/model/ncr_limit.c"
#include "ncr_fuzz.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char            buf[NCR_LIMIT_TEXT], again[NCR_LIMIT_TEXT];
    ncr_str_t       text;
    ncr_limit_t     limit, other;
    const char     *error;
    ncr_counter_t   counter;

    text.len = size;
    text.data = malloc(size + !size);
    memcpy(text.data, data, size);

    error = NULL;

    if (ncr_limit_parse(&limit, &text, &error) != NCR_OK) {

        if (error == NULL) {
            abort();
        }

        free(text.data);
        return 0;
    }

    free(text.data);

    text.len = ncr_limit_print(&limit, buf, sizeof(buf));
    text.data = (ncr_char_t *) buf;

    if (text.len >= sizeof(buf) - 1
        || ncr_limit_parse(&other, &text, &error) != NCR_OK
        || memcmp(&limit, &other, sizeof(ncr_limit_t)) != 0
        || ncr_limit_print(&other, again, sizeof(again)) != text.len
        || memcmp(buf, again, text.len) != 0)
    {
        abort();
    }

    (void) ncr_limit_matches(&limit, &text);

    memset(&counter, 0, sizeof(ncr_counter_t));
    ncr_counter_roll(&counter, &limit, ncr_tz_utc(),
                     INT64_C(1795262400) * 1000);

    if (counter.end <= INT64_C(1795262400) * 1000) {
        abort();
    }

    return 0;
}
