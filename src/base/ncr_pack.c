
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_pack.h"


/* fewer zeroes than that cost less among the bytes */
#define NCR_PACK_RUN  3


size_t
ncr_pack(ncr_char_t *dst, const ncr_char_t *src, size_t len)
{
    size_t       i, n, zeroes;
    ncr_char_t  *p;

    p = dst;
    i = 0;

    while (i < len) {

        for (zeroes = 0; i < len && zeroes < 255 && src[i] == 0; zeroes++) {
            i++;
        }

        for (n = 0; i + n < len && n < 255; n++) {

            if (src[i + n] == 0
                && (len - i - n <= NCR_PACK_RUN
                    || (src[i + n + 1] == 0 && src[i + n + 2] == 0)))
            {
                break;
            }
        }

        *p++ = (ncr_char_t) zeroes;
        *p++ = (ncr_char_t) n;

        memcpy(p, src + i, n);

        p += n;
        i += n;
    }

    return (size_t) (p - dst);
}


ncr_int_t
ncr_unpack(ncr_char_t *dst, size_t len, const ncr_char_t *src, size_t size)
{
    size_t             zeroes, n;
    const ncr_char_t  *end;

    end = src + size;

    while (end - src >= 2) {

        zeroes = *src++;
        n = *src++;

        if (zeroes + n > len || n > (size_t) (end - src)) {
            return NCR_BAD;
        }

        memset(dst, 0, zeroes);
        memcpy(dst + zeroes, src, n);

        dst += zeroes + n;
        len -= zeroes + n;
        src += n;
    }

    return (len == 0 && src == end) ? NCR_OK : NCR_BAD;
}
