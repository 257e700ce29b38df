
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Upstreams are asked for plain answers.  Where one compresses all the same,
 * its bytes go on as they are, and a copy is inflated for the scanner.
 */


#include "ngx_http_claude_relay.h"

#include <zlib.h>


/* an answer that grows beyond this is not looked at any further */
#define NGX_HTTP_CLAUDE_RELAY_INFLATE_MAX  (64 * 1024 * 1024)


struct ngx_http_claude_relay_inflate_s {
    z_stream    z;
    size_t      total;
    unsigned    done:1;
};


static voidpf ngx_http_claude_relay_inflate_alloc(voidpf opaque, uInt items,
    uInt size);
static void ngx_http_claude_relay_inflate_free(voidpf opaque, voidpf p);


ngx_int_t
ngx_http_claude_relay_inflate_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *encoding)
{
    ngx_http_claude_relay_inflate_t  *f;

    ctx->inflate = NULL;

    if (!ncr_str_caseeq(ncr(encoding), "gzip")
        && !ncr_str_caseeq(ncr(encoding), "x-gzip")
        && !ncr_str_caseeq(ncr(encoding), "deflate"))
    {
        return NGX_DECLINED;
    }

    f = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_inflate_t));
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->z.zalloc = ngx_http_claude_relay_inflate_alloc;
    f->z.zfree = ngx_http_claude_relay_inflate_free;
    f->z.opaque = r->pool;

    /* either format, by its own header */

    if (inflateInit2(&f->z, MAX_WBITS + 32) != Z_OK) {
        return NGX_ERROR;
    }

    ctx->inflate = f;

    return NGX_OK;
}


/* shows the plain bytes to the scanner; what cannot be read is passed over */

void
ngx_http_claude_relay_inflate(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n)
{
    int                               rc;
    size_t                            len;
    u_char                            buf[4096];
    ngx_http_claude_relay_inflate_t  *f;

    f = ctx->inflate;

    if (f->done) {
        return;
    }

    f->z.next_in = p;
    f->z.avail_in = (uInt) n;

    do {
        f->z.next_out = buf;
        f->z.avail_out = sizeof(buf);

        rc = inflate(&f->z, Z_SYNC_FLUSH);

        len = sizeof(buf) - f->z.avail_out;
        f->total += len;

        if (len) {
            ngx_http_claude_relay_scan(ctx, buf, len);
        }

        if ((rc != Z_OK && rc != Z_BUF_ERROR)
            || f->total > NGX_HTTP_CLAUDE_RELAY_INFLATE_MAX)
        {
            f->done = 1;
            return;
        }

    } while (f->z.avail_in || f->z.avail_out == 0);
}


static voidpf
ngx_http_claude_relay_inflate_alloc(voidpf opaque, uInt items, uInt size)
{
    return ngx_palloc(opaque, (size_t) items * size);
}


/* what is large goes back at once, the rest with the request's pool */

static void
ngx_http_claude_relay_inflate_free(voidpf opaque, voidpf p)
{
    (void) ngx_pfree(opaque, p);
}
