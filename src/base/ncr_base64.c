
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_base64.h"


char *
ncr_base64url(char *dst, const ncr_char_t *src, size_t len)
{
    size_t    i, n;
    uint32_t  bits;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    while (len) {
        n = ncr_min(len, 3);

        bits = (uint32_t) src[0] << 16;

        if (n > 1) {
            bits |= (uint32_t) src[1] << 8;
        }

        if (n > 2) {
            bits |= src[2];
        }

        for (i = 0; i <= n; i++) {
            *dst++ = digits[bits >> 18 & 63];
            bits <<= 6;
        }

        src += n;
        len -= n;
    }

    return dst;
}
