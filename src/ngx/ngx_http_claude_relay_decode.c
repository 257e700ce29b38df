
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Bodies that clients have compressed (others.md A10: Codex, with zstd) are
 * made plain as they arrive: they must be read, may be edited, and not every
 * upstream takes them.  What nginx would keep in memory is kept in memory,
 * the rest goes to a temporary file.
 */


#include "ngx_http_claude_relay.h"

#include <zlib.h>
#include <zstd.h>


#define NGX_HTTP_CLAUDE_RELAY_DECODE_BUF     65536

/* the largest window, log 2: what RFC 8878, 3.1.1.1.2, wants of everybody */
#define NGX_HTTP_CLAUDE_RELAY_DECODE_WINDOW  23


struct ngx_http_claude_relay_decode_s {
    ZSTD_DCtx         *zstd;            /* NULL: gzip or deflate */
    z_stream           z;
    ngx_chain_t       *held;            /* plain, in memory */
    ngx_chain_t      **last;
    ngx_chain_t       *free;
    ngx_buf_t         *buf;             /* the last of held, or NULL */
    size_t             size;            /* of held */
    ngx_temp_file_t   *file;
    unsigned           begun:1;
    unsigned           whole:1;         /* between two members, or frames */
    unsigned           failed:1;
};


static ngx_int_t ngx_http_claude_relay_decode_named(ngx_http_request_t *r,
    ngx_str_t **encoding);
static ngx_int_t ngx_http_claude_relay_decode_make(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d, ngx_uint_t zstd);
static ngx_int_t ngx_http_claude_relay_decode_piece(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d, u_char *p, u_char *last);
static size_t ngx_http_claude_relay_decode_zstd(
    ngx_http_claude_relay_decode_t *d, u_char **p, u_char *last);
static size_t ngx_http_claude_relay_decode_zlib(
    ngx_http_claude_relay_decode_t *d, u_char **p, u_char *last);
static ngx_int_t ngx_http_claude_relay_decode_room(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d);
static ngx_int_t ngx_http_claude_relay_decode_spill(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d);
static ngx_int_t ngx_http_claude_relay_decode_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t **out);
static void ngx_http_claude_relay_decode_cleanup(void *data);
static voidpf ngx_http_claude_relay_decode_alloc(voidpf opaque, uInt items,
    uInt size);
static void ngx_http_claude_relay_decode_free(voidpf opaque, voidpf p);


/* NGX_DECLINED: nothing that is known here */

ngx_int_t
ngx_http_claude_relay_decode_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                       *encoding;
    ngx_uint_t                       zstd;
    ngx_pool_cleanup_t              *cln;
    ngx_http_claude_relay_decode_t  *d;

    if (ctx->meant[NGX_HTTP_CLAUDE_RELAY_CODING] == NULL) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_decode_named(r, &encoding) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (encoding == NULL) {
        return NGX_OK;
    }

    zstd = ncr_str_caseeq(ncr(encoding), "zstd");

    if (!zstd
        && !ncr_str_caseeq(ncr(encoding), "gzip")
        && !ncr_str_caseeq(ncr(encoding), "x-gzip")
        && !ncr_str_caseeq(ncr(encoding), "deflate"))
    {
        return NGX_DECLINED;
    }

    if (r->request_body) {

        /* another module has read it already, past the filter */

        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_claude_relay_decode_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    d = cln->data;
    ngx_memzero(d, sizeof(ngx_http_claude_relay_decode_t));

    d->last = &d->held;

    if (ngx_http_claude_relay_decode_make(r, d, zstd) != NGX_OK) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_claude_relay_decode_cleanup;

    ctx->decode = d;

    return NGX_OK;
}


/* the one coding there is, NULL for none; NGX_DECLINED: there are several */

static ngx_int_t
ngx_http_claude_relay_decode_named(ngx_http_request_t *r,
    ngx_str_t **encoding)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    *encoding = NULL;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("content-encoding") - 1
                || ngx_memcmp(h[i].lowcase_key, "content-encoding",
                              sizeof("content-encoding") - 1) != 0
                || h[i].value.len == 0
                || ncr_str_caseeq(ncr(&h[i].value), "identity"))
            {
                continue;
            }

            if (*encoding) {
                return NGX_DECLINED;
            }

            *encoding = &h[i].value;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_decode_make(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d, ngx_uint_t zstd)
{
    if (!zstd) {
        d->z.zalloc = ngx_http_claude_relay_decode_alloc;
        d->z.zfree = ngx_http_claude_relay_decode_free;
        d->z.opaque = r->pool;

        /* either format, by its own header */

        return (inflateInit2(&d->z, MAX_WBITS + 32) == Z_OK) ? NGX_OK
                                                             : NGX_ERROR;
    }

    d->zstd = ZSTD_createDCtx();

    if (d->zstd == NULL) {
        return NGX_ERROR;
    }

    if (ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                                        NGX_HTTP_CLAUDE_RELAY_DECODE_WINDOW)))
    {
        ZSTD_freeDCtx(d->zstd);
        d->zstd = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Takes all of in; out is what goes on to nginx, all of it with the last
 * piece, nothing before.  Else a status.
 */

ngx_int_t
ngx_http_claude_relay_decode(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t *in, ngx_chain_t **out)
{
    ngx_buf_t  *b;
    ngx_int_t   rc;

    *out = NULL;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            rc = ngx_http_claude_relay_decode_piece(r, ctx->decode, b->pos,
                                                    b->last);
            if (rc != NGX_OK) {
                return rc;
            }

            b->pos = b->last;
        }

        if (b->last_buf) {
            return ngx_http_claude_relay_decode_end(r, ctx, out);
        }
    }

    return NGX_OK;
}


/* was the body no good? */

ngx_uint_t
ngx_http_claude_relay_decode_failed(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->decode && ctx->decode->failed;
}


static ngx_int_t
ngx_http_claude_relay_decode_piece(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d, u_char *p, u_char *last)
{
    size_t       n, room;
    ngx_buf_t    b;
    ngx_int_t    rc;
    ngx_chain_t  one;

    if (p == last) {
        return NGX_OK;
    }

    d->begun = 1;

    ngx_memzero(&b, sizeof(ngx_buf_t));

    b.temporary = 1;
    one.buf = &b;
    one.next = NULL;

    /* what is broken is read to its end, so the connection lives on */

    while (!d->failed) {

        if (ngx_http_claude_relay_decode_room(r, d) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        room = d->buf->end - d->buf->last;

        n = d->zstd ? ngx_http_claude_relay_decode_zstd(d, &p, last)
                    : ngx_http_claude_relay_decode_zlib(d, &p, last);

        b.pos = d->buf->last;
        d->buf->last += n;
        d->size += n;
        b.last = d->buf->last;

        /* looks at it, and counts it: a bomb ends here */

        rc = ngx_http_claude_relay_body_filter(r, &one);

        if (rc != NGX_OK) {
            return rc;
        }

        if (p == last && (n < room || d->whole)) {
            break;
        }
    }

    return NGX_OK;
}


/* how much was made of some of the bytes at *p, at the end of the buffer */

static size_t
ngx_http_claude_relay_decode_zstd(ngx_http_claude_relay_decode_t *d,
    u_char **p, u_char *last)
{
    size_t          rc;
    ZSTD_inBuffer   in;
    ZSTD_outBuffer  out;

    in.src = *p;
    in.size = last - *p;
    in.pos = 0;

    out.dst = d->buf->last;
    out.size = d->buf->end - d->buf->last;
    out.pos = 0;

    rc = ZSTD_decompressStream(d->zstd, &out, &in);

    *p += in.pos;

    if (ZSTD_isError(rc)) {
        d->failed = 1;
        return 0;
    }

    d->whole = (rc == 0);

    return out.pos;
}


static size_t
ngx_http_claude_relay_decode_zlib(ngx_http_claude_relay_decode_t *d,
    u_char **p, u_char *last)
{
    int  rc;

    if (d->whole) {

        /* another member: RFC 1952, 2.2 */

        d->whole = 0;

        if (inflateReset(&d->z) != Z_OK) {
            d->failed = 1;
            return 0;
        }
    }

    d->z.next_in = *p;
    d->z.avail_in = (uInt) (last - *p);
    d->z.next_out = d->buf->last;
    d->z.avail_out = (uInt) (d->buf->end - d->buf->last);

    rc = inflate(&d->z, Z_NO_FLUSH);

    *p = d->z.next_in;

    if (rc == Z_STREAM_END) {
        d->whole = 1;

    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        d->failed = 1;
        return 0;
    }

    return d->z.next_out - d->buf->last;
}


/* room in d->buf; what is too much for memory goes to the file first */

static ngx_int_t
ngx_http_claude_relay_decode_room(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d)
{
    ngx_chain_t               *cl;
    ngx_http_core_loc_conf_t  *clcf;

    if (d->buf && d->buf->last != d->buf->end) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (d->size && d->size >= clcf->client_body_buffer_size
        && ngx_http_claude_relay_decode_spill(r, d) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cl = d->free;

    if (cl) {
        d->free = cl->next;

    } else {
        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        cl->buf = ngx_create_temp_buf(r->pool,
                                      NGX_HTTP_CLAUDE_RELAY_DECODE_BUF);
        if (cl->buf == NULL) {
            return NGX_ERROR;
        }
    }

    cl->next = NULL;

    *d->last = cl;
    d->last = &cl->next;
    d->buf = cl->buf;

    return NGX_OK;
}


/* as nginx does it with bodies; the file has no name and ends with the pool */

static ngx_int_t
ngx_http_claude_relay_decode_spill(ngx_http_request_t *r,
    ngx_http_claude_relay_decode_t *d)
{
    ssize_t                    n;
    ngx_chain_t               *cl;
    ngx_temp_file_t           *tf;
    ngx_http_core_loc_conf_t  *clcf;

    tf = d->file;

    if (tf == NULL) {
        tf = ngx_pcalloc(r->pool, sizeof(ngx_temp_file_t));
        if (tf == NULL) {
            return NGX_ERROR;
        }

        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        tf->file.fd = NGX_INVALID_FILE;
        tf->file.log = r->connection->log;
        tf->path = clcf->client_body_temp_path;
        tf->pool = r->pool;
        tf->warn = "a client request body is buffered to a temporary file";
        tf->log_level = r->request_body_file_log_level;

        d->file = tf;
    }

    if (d->size == 0) {
        return NGX_OK;
    }

    n = ngx_write_chain_to_temp_file(tf, d->held);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    tf->offset += n;

    for (cl = d->held; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->start;
        cl->buf->last = cl->buf->start;
    }

    *d->last = d->free;
    d->free = d->held;

    d->held = NULL;
    d->last = &d->held;
    d->buf = NULL;
    d->size = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_decode_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t **out)
{
    ngx_buf_t                       *b;
    ngx_chain_t                     *cl;
    ngx_http_claude_relay_decode_t  *d;

    d = ctx->decode;

    ngx_http_claude_relay_decode_cleanup(d);

    if (d->begun && !d->whole) {
        d->failed = 1;
    }

    /* from here on it is a body of that length */

    r->headers_in.content_length_n = ctx->body_length;

    cl = ngx_alloc_chain_link(r->pool);
    b = ngx_calloc_buf(r->pool);

    if (cl == NULL || b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    *out = cl;

    if (d->failed) {
        return NGX_OK;
    }

    if (d->file == NULL) {
        *d->last = cl;
        *out = d->held;
        return NGX_OK;
    }

    if (ngx_http_claude_relay_decode_spill(r, d) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->in_file = 1;
    b->file_last = d->file->offset;
    b->file = &d->file->file;

    return NGX_OK;
}


/* also when the client leaves in the middle of it */

static void
ngx_http_claude_relay_decode_cleanup(void *data)
{
    ngx_http_claude_relay_decode_t *d = data;

    if (d->zstd) {
        ZSTD_freeDCtx(d->zstd);
        d->zstd = NULL;

    } else {
        (void) inflateEnd(&d->z);
    }
}


static voidpf
ngx_http_claude_relay_decode_alloc(voidpf opaque, uInt items, uInt size)
{
    return ngx_palloc(opaque, (size_t) items * size);
}


static void
ngx_http_claude_relay_decode_free(voidpf opaque, voidpf p)
{
    (void) ngx_pfree(opaque, p);
}
