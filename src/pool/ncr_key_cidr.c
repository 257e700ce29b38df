
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Networks as an operator writes them: RFC 4291, 2.2 for addresses of IPv6,
 * four decimal numbers without leading zeros for those of IPv4, "/" and a
 * length behind either.
 */


#include "ncr_key.h"


/* of an address without "::"; bytes of one are 16 */
#define NCR_KEY_NO_GAP  17


static ncr_int_t ncr_key_ipv4(ncr_char_t *p, ncr_char_t *last,
    ncr_char_t *dst);
static ncr_int_t ncr_key_ipv6(ncr_char_t *p, ncr_char_t *last,
    ncr_char_t *dst);
static ncr_int_t ncr_key_number(ncr_char_t *p, ncr_char_t *last,
    ncr_uint_t max, ncr_uint_t *n);
static ncr_int_t ncr_key_digit(ncr_char_t c);
static ncr_char_t *ncr_key_until(ncr_char_t *p, ncr_char_t *last,
    ncr_char_t c);


ncr_int_t
ncr_key_cidr(ncr_str_t *text, ncr_char_t *dst)
{
    ncr_int_t    rc;
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

        rc = ncr_key_ipv4(p, slash, dst + 12);

    } else {
        rc = ncr_key_ipv6(p, slash, dst);
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
ncr_key_ipv4(ncr_char_t *p, ncr_char_t *last, ncr_char_t *dst)
{
    ncr_char_t  *dot;
    ncr_uint_t   i, n;

    for (i = 0; i < 4; i++) {

        dot = ncr_key_until(p, last, '.');

        if ((i == 3) != (dot == last)
            || ncr_key_number(p, dot, 255, &n) != NCR_OK)
        {
            return NCR_BAD;
        }

        dst[i] = (ncr_char_t) n;
        p = dot + 1;
    }

    return NCR_OK;
}


/* groups from the front; those behind "::" are moved to the end then */

static ncr_int_t
ncr_key_ipv6(ncr_char_t *p, ncr_char_t *last, ncr_char_t *dst)
{
    ncr_int_t    digit;
    ncr_char_t  *q, *end;
    ncr_uint_t   n, gap, group;

    n = 0;
    gap = NCR_KEY_NO_GAP;

    if (last - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }

    while (p < last) {

        end = ncr_key_until(p, last, ':');

        if (end == last && ncr_key_until(p, end, '.') != end) {

            if (n > 12 || ncr_key_ipv4(p, end, dst + n) != NCR_OK) {
                return NCR_BAD;
            }

            n += 4;
            break;
        }

        if (end == p || end - p > 4 || n == 16) {
            return NCR_BAD;
        }

        group = 0;

        for (q = p; q < end; q++) {

            digit = ncr_key_digit(*q);

            if (digit < 0) {
                return NCR_BAD;
            }

            group = group * 16 + (ncr_uint_t) digit;
        }

        dst[n++] = (ncr_char_t) (group >> 8);
        dst[n++] = (ncr_char_t) (group & 0xff);

        if (end == last) {
            break;
        }

        p = end + 1;

        if (p == last) {
            return NCR_BAD;             /* a colon alone at the end */
        }

        if (*p == ':') {

            if (gap != NCR_KEY_NO_GAP) {
                return NCR_BAD;
            }

            gap = n;
            p++;
        }
    }

    if (gap == NCR_KEY_NO_GAP) {
        return (n == 16) ? NCR_OK : NCR_BAD;
    }

    /* "::" stands for one group at least */

    if (n > 14) {
        return NCR_BAD;
    }

    memmove(dst + 16 - (n - gap), dst + gap, n - gap);
    memset(dst + gap, 0, 16 - n);

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


static ncr_int_t
ncr_key_digit(ncr_char_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


static ncr_char_t *
ncr_key_until(ncr_char_t *p, ncr_char_t *last, ncr_char_t c)
{
    while (p < last && *p != c) {
        p++;
    }

    return p;
}
