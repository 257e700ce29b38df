
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What stands in the query of a call. */


#include "ngx_http_claude_relay_api.h"
#include "ncr_uri.h"


ngx_int_t
ngx_http_claude_relay_call_query(ngx_http_claude_relay_call_t *call,
    const char *const *names, ngx_str_t *values)
{
    u_char      *p, *buf, *end, *equal;
    size_t       len;
    ncr_str_t    value;
    ngx_str_t    arg;
    ngx_uint_t   i;

    for (i = 0; names[i]; i++) {
        ngx_str_null(&values[i]);
    }

    p = call->args.data;

    while (ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK) {

        end = arg.data + arg.len;
        equal = ngx_strlchr(arg.data, end, '=');
        len = (equal ? equal : end) - arg.data;

        for (i = 0; names[i]; i++) {
            if (ngx_strlen(names[i]) == len
                && ngx_memcmp(names[i], arg.data, len) == 0)
            {
                break;
            }
        }

        if (names[i] == NULL || equal == NULL || values[i].data) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "the query has \"%*s\", which is "
                                             "not asked for here, or twice",
                                             ngx_min(len, 64), arg.data);
            return NGX_ERROR;
        }

        value.data = equal + 1;
        value.len = end - value.data;

        buf = ngx_pnalloc(call->pool, value.len + 1);

        if (buf == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }

        if (ncr_uri_unescape(&value, buf) != NCR_OK) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"%s\" has a broken escape",
                                             names[i]);
            return NGX_ERROR;
        }

        values[i] = ngx_http_claude_relay_str(&value);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_pair(ngx_http_claude_relay_call_t *call, u_char **p,
    ngx_str_t *name, ngx_str_t *value)
{
    u_char     *end, *equals;
    ncr_str_t   text;
    ngx_str_t   arg;

    do {
        if (ngx_http_claude_relay_call_arg(call, p, &arg) != NGX_OK) {
            return NGX_DONE;
        }
    } while (arg.len == 0);

    end = arg.data + arg.len;
    equals = ngx_strlchr(arg.data, end, '=');

    name->data = arg.data;
    name->len = (equals ? equals : end) - arg.data;

    text.data = equals ? equals + 1 : end;
    text.len = end - text.data;

    value->data = ngx_pnalloc(call->pool, text.len + 1);

    if (value->data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    if (ncr_uri_unescape(&text, value->data) != NCR_OK) {
        return NGX_DECLINED;
    }

    value->len = text.len;
    ngx_memmove(value->data, text.data, text.len);
    value->data[value->len] = '\0';

    return (ngx_strlen(value->data) == value->len) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_claude_relay_call_limit(ngx_http_claude_relay_call_t *call,
    ngx_str_t *value, ngx_int_t usual, ngx_int_t most)
{
    int64_t  n;

    if (value->data == NULL) {
        return usual;
    }

    if (ncr_str_int(ncr(value), &n) == NCR_OK && n >= 1 && n <= most) {
        return (ngx_int_t) n;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"limit\" must be a number from 1 to "
                                     "%i", most);
    return NGX_ERROR;
}


ngx_int_t
ngx_http_claude_relay_call_no_args(ngx_http_claude_relay_call_t *call)
{
    static const char *const  names[] = { NULL };

    return ngx_http_claude_relay_call_query(call, names, NULL);
}
