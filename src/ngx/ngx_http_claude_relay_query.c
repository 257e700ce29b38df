
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Some clients show their key as "?key=".  It is a secret: it is taken out
 * of what goes upstream, and overwritten in the request line and in the URI,
 * to which all logs and variables point.
 */


#include "ngx_http_claude_relay.h"


static u_char *ngx_http_claude_relay_query_part(u_char *p, u_char *last);
static void ngx_http_claude_relay_query_mask(ngx_str_t *s);


ngx_int_t
ngx_http_claude_relay_query(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char  *p, *last, *end, *dst, *copy;

    ctx->args = r->args;

    if (r->args.len < 4
        || ngx_strlcasestrn(r->args.data, r->args.data + r->args.len,
                            (u_char *) "key=", 4 - 1)
           == NULL)
    {
        return NGX_OK;
    }

    copy = ngx_pnalloc(r->pool, 2 * r->args.len);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    p = r->args.data;
    last = p + r->args.len;
    dst = copy;

    while (p < last) {

        end = ngx_http_claude_relay_query_part(p, last);

        if (end - p >= 4 && ngx_strncmp(p, "key=", 4) == 0) {

            if (ctx->args_key.data == NULL) {
                ctx->args_key.data = copy + r->args.len;
                ctx->args_key.len = end - p - 4;
                ngx_memcpy(ctx->args_key.data, p + 4, end - p - 4);
            }

        } else {
            if (dst != copy) {
                *dst++ = '&';
            }

            dst = ngx_cpymem(dst, p, end - p);
        }

        p = end + 1;
    }

    ctx->args.data = copy;
    ctx->args.len = dst - copy;

    if (ctx->args_key.len) {
        p = ctx->args_key.data;
        dst = p;

        ngx_unescape_uri(&dst, &p, ctx->args_key.len, 0);

        ctx->args_key.len = dst - ctx->args_key.data;
    }

    /* with HTTP/2 these are three copies, else one */

    ngx_http_claude_relay_query_mask(&r->args);
    ngx_http_claude_relay_query_mask(&r->unparsed_uri);
    ngx_http_claude_relay_query_mask(&r->request_line);

    return NGX_OK;
}


static u_char *
ngx_http_claude_relay_query_part(u_char *p, u_char *last)
{
    while (p < last && *p != '&') {
        p++;
    }

    return p;
}


static void
ngx_http_claude_relay_query_mask(ngx_str_t *s)
{
    u_char  *p, *last, prev;

    p = s->data;
    last = p + s->len;
    prev = '&';

    while (last - p > 4) {

        if ((prev != '&' && prev != '?') || ngx_strncmp(p, "key=", 4) != 0) {
            prev = *p++;
            continue;
        }

        for (p += 4; p < last && *p != '&' && *p != ' '; p++) {
            *p = '*';
        }

        prev = '*';
    }
}
