
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


ncr_int_t
ncr_base64url_decode(ncr_char_t *dst, size_t *n, const char *src, size_t len)
{
    char         c;
    size_t       i;
    uint32_t     bits, value;
    ncr_char_t  *p;

    if (len % 4 == 1) {
        return NCR_BAD;
    }

    p = dst;
    bits = 0;

    for (i = 0; i < len; i++) {
        c = src[i];

        if (c >= 'A' && c <= 'Z') {
            value = (uint32_t) (c - 'A');

        } else if (c >= 'a' && c <= 'z') {
            value = (uint32_t) (c - 'a') + 26;

        } else if (c >= '0' && c <= '9') {
            value = (uint32_t) (c - '0') + 52;

        } else if (c == '-' || c == '_') {
            value = (c == '-') ? 62 : 63;

        } else {
            return NCR_BAD;
        }

        bits = (bits << 6 | value) & 0xffffff;

        switch (i % 4) {

        case 1:
            *p++ = (ncr_char_t) (bits >> 4);
            break;

        case 2:
            *p++ = (ncr_char_t) (bits >> 2);
            break;

        case 3:
            *p++ = (ncr_char_t) bits;
            break;

        default:
            break;
        }
    }

    /* bits that are left over say nothing */

    if ((len % 4 == 2 && (bits & 0xf)) || (len % 4 == 3 && (bits & 0x3))) {
        return NCR_BAD;
    }

    *n = (size_t) (p - dst);

    return NCR_OK;
}
