
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Networks as an operator writes them: RFC 4291, 2.2 for addresses of IPv6,
 * four decimal numbers without leading zeros for those of IPv4, "/" and a
 * length behind either.
 */


#include "ncr_key.h"
#include "ncr_address.h"


/* of an address without "::"; bytes of one are 16 */


static ncr_int_t ncr_key_number(ncr_char_t *p, ncr_char_t *last,
    ncr_uint_t max, ncr_uint_t *n);
static ncr_char_t *ncr_key_until(ncr_char_t *p, ncr_char_t *last,
    ncr_char_t c);


ncr_int_t
ncr_key_cidr(ncr_str_t *text, ncr_char_t *dst)
{
    ncr_int_t    rc;
    ncr_str_t    address;
    ncr_char_t  *p, *last, *slash;
    ncr_uint_t   v4, n, i;

    p = text->data;
    last = p + text->len;

    if (text->len == 0) {
        return NCR_BAD;
    }

    slash = ncr_key_until(p, last, '/');
    v4 = (ncr_key_until(p, slash, ':') == slash);

    memset(dst, 0, NCR_KEY_CIDR);

    if (v4) {
        dst[10] = 0xff;
        dst[11] = 0xff;

        rc = ncr_address_quad(p, slash, dst + 12);

    } else {
        address.data = p;
        address.len = (size_t) (slash - p);

        rc = ncr_address_pton6(&address, dst);
    }

    if (rc != NCR_OK) {
        return NCR_BAD;
    }

    n = v4 ? 32 : 128;

    if (slash != last
        && ncr_key_number(slash + 1, last, n, &n) != NCR_OK)
    {
        return NCR_BAD;
    }

    n += v4 ? 96 : 0;

    for (i = 0; i < 16; i++) {

        if (n <= 8 * i) {
            dst[i] = 0;

        } else if (n < 8 * i + 8) {
            dst[i] &= (ncr_char_t) (0xff << (8 * i + 8 - n));
        }
    }

    dst[16] = (ncr_char_t) n;

    return NCR_OK;
}


static ncr_int_t
ncr_key_number(ncr_char_t *p, ncr_char_t *last, ncr_uint_t max,
    ncr_uint_t *n)
{
    ncr_uint_t  value;

    if (p == last || last - p > 3 || (last - p > 1 && *p == '0')) {
        return NCR_BAD;
    }

    value = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return NCR_BAD;
        }

        value = value * 10 + (ncr_uint_t) (*p - '0');
    }

    if (value > max) {
        return NCR_BAD;
    }

    *n = value;

    return NCR_OK;
}


static ncr_char_t *
ncr_key_until(ncr_char_t *p, ncr_char_t *last, ncr_char_t c)
{
    while (p < last && *p != c) {
        p++;
    }

    return p;
}
