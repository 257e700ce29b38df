
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_uri.h"
#include "ncr_str.h"


static ncr_int_t ncr_uri_digit(ncr_char_t c);


void
ncr_uri_escape(ncr_out_t *out, ncr_str_t *s)
{
    size_t      i;
    char        escape[3];
    ncr_char_t  c;

    static const char  hex[] = "0123456789ABCDEF";

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if ((c >= '0' && c <= '9')
            || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            || c == '-' || c == '.' || c == '_' || c == '~')
        {
            ncr_out_bytes(out, &c, 1);
            continue;
        }

        escape[0] = '%';
        escape[1] = hex[c >> 4];
        escape[2] = hex[c & 15];

        ncr_out_bytes(out, escape, 3);
    }
}


ncr_int_t
ncr_uri_unescape(ncr_str_t *value, ncr_char_t *buf)
{
    size_t      i, n;
    ncr_int_t   high, low;
    ncr_char_t  c;

    if (value->len == 0
        || (memchr(value->data, '%', value->len) == NULL
            && memchr(value->data, '+', value->len) == NULL))
    {
        return NCR_OK;
    }

    n = 0;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c == '+') {
            c = ' ';

        } else if (c == '%') {

            if (value->len - i < 3) {
                return NCR_BAD;
            }

            high = ncr_uri_digit(value->data[i + 1]);
            low = ncr_uri_digit(value->data[i + 2]);

            if (high < 0 || low < 0) {
                return NCR_BAD;
            }

            c = (ncr_char_t) (high << 4 | low);
            i += 2;
        }

        buf[n++] = c;
    }

    value->data = buf;
    value->len = n;

    return NCR_OK;
}


static ncr_int_t
ncr_uri_digit(ncr_char_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : NCR_BAD;
}


ncr_int_t
ncr_uri_arg(ncr_str_t *query, const char *name, ncr_str_t *value)
{
    size_t       len;
    ncr_str_t    arg;
    ncr_char_t  *p, *end, *last;

    if (query->len == 0) {
        return NCR_DECLINED;
    }

    len = strlen(name);
    last = query->data + query->len;

    for (p = query->data; p < last; p = end + 1) {
        end = memchr(p, '&', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        arg.data = p;
        arg.len = (size_t) (end - p);

        if (arg.len > len && arg.data[len] == '='
            && ncr_str_prefix(&arg, name))
        {
            value->data = p + len + 1;
            value->len = arg.len - len - 1;

            return NCR_OK;
        }

        if (end == last) {
            break;
        }
    }

    return NCR_DECLINED;
}
