
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"

#include <stdarg.h>


void
sbx_reserve(sbx_buf_t *b, size_t n)
{
    size_t  size;

    if (b->size - b->len >= n) {
        return;
    }

    size = b->size ? b->size : 1024;

    while (size - b->len < n) {
        size *= 2;
    }

    b->data = realloc(b->data, size);
    if (b->data == NULL) {
        abort();
    }

    b->size = size;
}


void
sbx_put(sbx_buf_t *b, const char *p, size_t n)
{
    if (n == 0) {
        return;
    }

    sbx_reserve(b, n);
    memcpy(b->data + b->len, p, n);
    b->len += n;
}


void
sbx_putn(sbx_buf_t *b, int64_t n)
{
    char       *p, t[24];
    uint64_t    v;

    p = t + sizeof(t);
    v = n < 0 ? 0 - (uint64_t) n : (uint64_t) n;

    do {
        *--p = (char) ('0' + v % 10);
        v /= 10;
    } while (v);

    if (n < 0) {
        *--p = '-';
    }

    sbx_put(b, p, (size_t) (t + sizeof(t) - p));
}


void
sbx_putf(sbx_buf_t *b, const char *fmt, ...)
{
    int      n;
    va_list  args;

    sbx_reserve(b, 512);

    va_start(args, fmt);
    n = vsnprintf(b->data + b->len, b->size - b->len, fmt, args);
    va_end(args);

    if ((size_t) n >= b->size - b->len) {
        sbx_reserve(b, (size_t) n + 1);

        va_start(args, fmt);
        n = vsnprintf(b->data + b->len, b->size - b->len, fmt, args);
        va_end(args);
    }

    b->len += (size_t) n;
}


void
sbx_put_hex(sbx_buf_t *b, uint64_t v, int digits)
{
    int   i;
    char  t[16];

    for (i = digits - 1; i >= 0; i--) {
        t[i] = "0123456789abcdef"[v & 15];
        v >>= 4;
    }

    sbx_put(b, t, (size_t) digits);
}


/* length of the valid UTF-8 sequence at p or 0 */

static size_t
sbx_utf8(const unsigned char *p, size_t n)
{
    size_t    i, len;
    uint32_t  v, min;

    if (p[0] >= 0xc2 && p[0] < 0xe0) {
        len = 2;
        min = 0x80;
        v = p[0] & 0x1f;

    } else if (p[0] >= 0xe0 && p[0] < 0xf0) {
        len = 3;
        min = 0x800;
        v = p[0] & 0x0f;

    } else if (p[0] >= 0xf0 && p[0] < 0xf5) {
        len = 4;
        min = 0x10000;
        v = p[0] & 0x07;

    } else {
        return 0;
    }

    if (len > n) {
        return 0;
    }

    for (i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        v = (v << 6) | (p[i] & 0x3f);
    }

    if (v < min || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) {
        return 0;
    }

    return len;
}


/* valid UTF-8 goes through, any other byte becomes \u00XX */

void
sbx_put_json(sbx_buf_t *b, const char *s, size_t n)
{
    size_t                len, run;
    const unsigned char  *p, *end;

    p = (const unsigned char *) s;
    end = p + n;

    while (p < end) {
        run = 0;

        while (p + run < end && p[run] >= 0x20 && p[run] < 0x7f
               && p[run] != '"' && p[run] != '\\')
        {
            run++;
        }

        sbx_put(b, (const char *) p, run);
        p += run;

        if (p == end) {
            break;
        }

        len = (*p >= 0x80) ? sbx_utf8(p, (size_t) (end - p)) : 0;

        if (len) {
            sbx_put(b, (const char *) p, len);
            p += len;
            continue;
        }

        switch (*p) {

        case '"':
            sbx_lit(b, "\\\"");
            break;

        case '\\':
            sbx_lit(b, "\\\\");
            break;

        case '\n':
            sbx_lit(b, "\\n");
            break;

        case '\r':
            sbx_lit(b, "\\r");
            break;

        case '\t':
            sbx_lit(b, "\\t");
            break;

        default:
            sbx_lit(b, "\\u");
            sbx_put_hex(b, *p, 4);
        }

        p++;
    }
}


/* empties a buffer and gives its memory back if it has grown over "keep" */

void
sbx_buf_done(sbx_buf_t *b, size_t keep)
{
    b->len = 0;

    if (b->size > keep) {
        free(b->data);
        b->data = NULL;
        b->size = 0;
    }
}


static int
sbx_hex(int c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


size_t
sbx_unescape_uri(char *p, size_t n)
{
    size_t  i, k;

    for (i = 0, k = 0; i < n; i++, k++) {

        if (p[i] == '%' && i + 2 < n && sbx_hex(p[i + 1]) >= 0
            && sbx_hex(p[i + 2]) >= 0)
        {
            p[k] = (char) (sbx_hex(p[i + 1]) * 16 + sbx_hex(p[i + 2]));
            i += 2;
            continue;
        }

        p[k] = p[i];
    }

    return k;
}


/* appends the decoded value of a query argument and a final zero */

int
sbx_arg(sbx_str_t *args, const char *name, sbx_buf_t *value)
{
    size_t       n, start;
    const char  *p, *end, *amp;

    if (args->len == 0) {
        return SBX_DECLINED;
    }

    n = strlen(name);
    p = args->data;
    end = p + args->len;

    while (p < end) {
        amp = memchr(p, '&', (size_t) (end - p));
        if (amp == NULL) {
            amp = end;
        }

        if ((size_t) (amp - p) > n && memcmp(p, name, n) == 0 && p[n] == '=') {
            p += n + 1;
            start = value->len;
            sbx_put(value, p, (size_t) (amp - p));
            value->len = start;
            if (amp > p) {
                value->len += sbx_unescape_uri(value->data + start,
                                               (size_t) (amp - p));
            }
            sbx_put(value, "", 1);
            value->len--;
            return SBX_OK;
        }

        p = amp + 1;
    }

    return SBX_DECLINED;
}


uint64_t
sbx_hash(const char *p, size_t n, uint64_t h)
{
    size_t    i;
    uint64_t  w;

    h ^= 0xcbf29ce484222325ULL + n;

    for (i = 0; i + 8 <= n; i += 8) {
        memcpy(&w, p + i, 8);
        h = (h ^ w) * 0x9fb21c651e98df25ULL;
        h ^= h >> 32;
    }

    for ( /* void */ ; i < n; i++) {
        h = (h ^ (unsigned char) p[i]) * 0x100000001b3ULL;
    }

    return h ^ (h >> 29);
}
