
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Base URLs: what is accepted can be put into a request as it is. */


#include "../src/platform/ncr_url.c"
#include "ncr_fuzz.h"

#include <stdio.h>


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int         n;
    char        again[4096];
    size_t      i;
    ncr_str_t   s, t;
    ncr_url_t   a, b;

    if (size > 2048) {
        return 0;
    }

    s.len = size;
    s.data = malloc(size + !size);

    if (size) {
        memcpy(s.data, data, size);
    }

    if (ncr_url_parse(&s, &a) != NULL) {
        free(s.data);
        return 0;
    }

    ncr_fuzz_check(a.host.len > 0 && a.host.len <= 255);
    ncr_fuzz_check(a.port > 0 && a.port <= 65535);
    ncr_fuzz_check(a.host.data > s.data
                   && a.host.data + a.host.len <= s.data + s.len
                   && a.path.data >= a.host.data + a.host.len
                   && a.path.data + a.path.len <= s.data + s.len);
    ncr_fuzz_check(a.path.len == 0
                   || (a.path.data[0] == '/'
                       && a.path.data[a.path.len - 1] != '/'));

    for (i = 0; i < s.len; i++) {
        ncr_fuzz_check(s.data[i] > ' ' && s.data[i] < 0x7f
                       && s.data[i] != '?' && s.data[i] != '#');
    }

    /* written anew it means the same; "/v1" may have hidden another one */

    n = snprintf(again, sizeof(again), "%s://%.*s:%u%.*s/v1",
                 a.tls ? "https" : "http", (int) a.host.len,
                 (char *) a.host.data, (unsigned) a.port, (int) a.path.len,
                 a.path.len ? (char *) a.path.data : "");

    t.data = (ncr_char_t *) again;
    t.len = (size_t) n;

    ncr_fuzz_check(ncr_url_parse(&t, &b) == NULL);
    ncr_fuzz_check(a.port == b.port && a.tls == b.tls
                   && a.default_port == b.default_port
                   && a.host.len == b.host.len && a.path.len == b.path.len);

    free(s.data);

    return 0;
}
