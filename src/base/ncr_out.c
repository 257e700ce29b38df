
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_out.h"


static size_t ncr_out_utf8(ncr_char_t *p, size_t len);
static void ncr_out_escape(ncr_out_t *out, ncr_char_t c);


void
ncr_out_init(ncr_out_t *out, ncr_char_t *buf, size_t size)
{
    out->start = buf;
    out->last = buf;
    out->end = buf + size;
    out->overflow = 0;
}


void
ncr_out_bytes(ncr_out_t *out, const void *p, size_t len)
{
    if (out->overflow || len > (size_t) (out->end - out->last)) {
        out->overflow = 1;
        return;
    }

    if (len) {
        memcpy(out->last, p, len);
        out->last += len;
    }
}


void
ncr_out_str(ncr_out_t *out, ncr_str_t *s)
{
    ncr_out_bytes(out, s->data, s->len);
}


void
ncr_out_text(ncr_out_t *out, const char *text)
{
    ncr_out_bytes(out, text, strlen(text));
}


void
ncr_out_int(ncr_out_t *out, int64_t n)
{
    uint64_t     v;
    ncr_char_t  *p, buf[sizeof("-9223372036854775808")];

    v = (n < 0) ? ~(uint64_t) n + 1 : (uint64_t) n;
    p = buf + sizeof(buf);

    do {
        *--p = (ncr_char_t) ('0' + v % 10);
        v /= 10;
    } while (v);

    if (n < 0) {
        *--p = '-';
    }

    ncr_out_bytes(out, p, (size_t) (buf + sizeof(buf) - p));
}


void
ncr_out_json(ncr_out_t *out, ncr_str_t *s)
{
    size_t       n;
    ncr_char_t  *p, *from, *last;

    if (s->len == 0) {
        return;
    }

    p = s->data;
    from = p;
    last = p + s->len;

    /* what needs no escape is copied run by run */

    while (p < last) {

        if (*p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\') {
            p++;
            continue;
        }

        n = 1;

        if (*p >= 0x80) {
            n = ncr_out_utf8(p, (size_t) (last - p));

            if (n && !(n == 3 && p[0] == 0xE2 && p[1] == 0x80
                       && (p[2] & 0xFE) == 0xA8))
            {
                p += n;
                continue;
            }
        }

        ncr_out_bytes(out, from, (size_t) (p - from));

        if (n == 0) {
            ncr_out_bytes(out, "\xEF\xBF\xBD", 3);
            n = 1;

        } else if (n == 3) {
            ncr_out_text(out, (p[2] == 0xA8) ? "\\u2028" : "\\u2029");

        } else {
            ncr_out_escape(out, *p);
        }

        p += n;
        from = p;
    }

    ncr_out_bytes(out, from, (size_t) (p - from));
}


void
ncr_out_json_string(ncr_out_t *out, ncr_str_t *s)
{
    ncr_out_bytes(out, "\"", 1);
    ncr_out_json(out, s);
    ncr_out_bytes(out, "\"", 1);
}


/* the length of the character at p, 0 if it is none; *p is not ASCII */

static size_t
ncr_out_utf8(ncr_char_t *p, size_t len)
{
    size_t      i, n;
    ncr_char_t  low, high;

    low = 0x80;
    high = 0xBF;

    if (p[0] < 0xC2 || p[0] > 0xF4) {
        return 0;
    }

    n = (p[0] < 0xE0) ? 2 : (p[0] < 0xF0) ? 3 : 4;

    if (len < n) {
        return 0;
    }

    /* overlong, surrogates, over U+10FFFF */

    switch (p[0]) {

    case 0xE0:
        low = 0xA0;
        break;

    case 0xED:
        high = 0x9F;
        break;

    case 0xF0:
        low = 0x90;
        break;

    case 0xF4:
        high = 0x8F;
        break;

    default:
        break;
    }

    if (p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }

    return n;
}


static void
ncr_out_escape(ncr_out_t *out, ncr_char_t c)
{
    char         buf[6];
    const char  *s;

    static const char  from[] = "\"\\\b\f\n\r\t";
    static const char  to[] = "\"\\bfnrt";
    static const char  hex[] = "0123456789abcdef";

    buf[0] = '\\';
    s = memchr(from, c, sizeof(from) - 1);

    if (s != NULL) {
        buf[1] = to[s - from];
        ncr_out_bytes(out, buf, 2);
        return;
    }

    buf[1] = 'u';
    buf[2] = '0';
    buf[3] = '0';
    buf[4] = hex[c >> 4];
    buf[5] = hex[c & 15];

    ncr_out_bytes(out, buf, 6);
}
