
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a platform sends in place of what the client sent: its functions are
 * asked for each attempt, and what they say is put together with the edits
 * that are made for everybody.
 */


#include "ngx_http_claude_relay.h"


/* of the request's target, beside what the client's is made of */
#define NGX_HTTP_CLAUDE_RELAY_WAY_TARGET  4096
#define NGX_HTTP_CLAUDE_RELAY_WAY_LINES   8192
#define NGX_HTTP_CLAUDE_RELAY_WAY_TEXT    8192


typedef struct {
    ncr_way_t                          way;     /* first: it stands for both */
    ngx_http_claude_relay_ctx_t       *ctx;
    ncr_str_t                          body;
} ngx_http_claude_relay_way_data_t;


static ngx_int_t ngx_http_claude_relay_way_given(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_way_t *way);
static ngx_int_t ngx_http_claude_relay_way_room(ngx_pool_t *pool,
    ncr_out_t *out, size_t size);
static ngx_int_t ngx_http_claude_relay_way_edits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_claude_relay_way_covers(ncr_way_t *way,
    ncr_edit_t *edit);
static ncr_str_t ngx_http_claude_relay_way_header(ncr_way_t *way,
    const char *name);
static ncr_str_t ngx_http_claude_relay_way_body(ncr_way_t *way);
static void *ngx_http_claude_relay_way_alloc(ncr_way_t *way, size_t size);


/* NGX_DECLINED: refused, by ctx->way->status and error */

ngx_int_t
ngx_http_claude_relay_way_make(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_int_t   rc;
    ncr_way_t  *way;

    ctx->way = NULL;

    if (ctx->account->platform->way == NULL) {
        return NGX_OK;
    }

    way = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_way_data_t));
    if (way == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_way_given(r, ctx, way) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->way = way;

    rc = ctx->account->platform->way(way);

    if (rc == NCR_BAD) {
        return NGX_DECLINED;
    }

    if (rc != NCR_OK || way->target.overflow || way->lines.overflow
        || way->text.overflow)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_way_edits(r, ctx);
}


static ngx_int_t
ngx_http_claude_relay_way_given(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_way_t *way)
{
    ngx_str_t                         session;
    ngx_http_claude_relay_account_t  *a;

    a = ctx->account;

    ((ngx_http_claude_relay_way_data_t *) way)->ctx = ctx;

    ngx_str_null(&session);
    ngx_http_claude_relay_text_session(ctx, &session);

    way->op = ctx->route.op;
    way->dialect = ctx->route.dialect;
    way->method = *ncr(&r->method_name);
    way->path = *ncr(&ctx->route.path);
    way->args = *ncr(&ctx->args);
    way->id = *ncr(&ctx->route.id);
    way->model = *ncr(&ctx->sent);
    way->asked = *ncr(&ctx->model);
    way->session = *ncr(&session);
    way->base = a->url.path;
    way->host = *ncr(&a->host);
    way->params = a->params;
    way->members = ctx->members;
    way->lists = ctx->lists;
    way->length = (uint64_t) ngx_max(r->headers_in.content_length_n, 0);
    way->now = ngx_http_claude_relay_now();
    way->stream = ctx->stream_asked;
    way->moved = (ctx->sticky == NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED);
    way->bare = ctx->bare;

    if (!a->token) {
        way->secret = *ncr(&a->secret);
    }

    if (a->info) {
        way->meta = *ncr(&a->info->meta);
    }

    way->header = ngx_http_claude_relay_way_header;
    way->body = ngx_http_claude_relay_way_body;
    way->alloc = ngx_http_claude_relay_way_alloc;
    way->data = ctx;

    if (RAND_bytes(way->random, sizeof(way->random)) != 1) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_way_room(r->pool, &way->target,
                                       NGX_HTTP_CLAUDE_RELAY_WAY_TARGET
                                       + a->url.path.len
                                       + 3 * ctx->route.path.len
                                       + ctx->args.len)
        != NGX_OK
        || ngx_http_claude_relay_way_room(r->pool, &way->lines,
                                          NGX_HTTP_CLAUDE_RELAY_WAY_LINES)
           != NGX_OK
        || ngx_http_claude_relay_way_room(r->pool, &way->text,
                                          NGX_HTTP_CLAUDE_RELAY_WAY_TEXT)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_way_room(ngx_pool_t *pool, ncr_out_t *out, size_t size)
{
    u_char  *p;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ncr_out_init(out, p, size);

    return NGX_OK;
}


/* the platform's edits among those of everybody, in order */

static ngx_int_t
ngx_http_claude_relay_way_edits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_way_t   *way;
    ngx_uint_t   i, n;
    ncr_edit_t  *edits;

    way = ctx->way;

    if (way->nedits == 0) {
        return NGX_OK;
    }

    edits = ngx_palloc(r->pool,
                       (ctx->nedits + way->nedits) * sizeof(ncr_edit_t));
    if (edits == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (i = 0; i < ctx->nedits; i++) {
        if (!ngx_http_claude_relay_way_covers(way, &ctx->edit[i])) {
            edits[n++] = ctx->edit[i];
        }
    }

    ngx_memcpy(edits + n, way->edits, way->nedits * sizeof(ncr_edit_t));

    ctx->edit = edits;
    ctx->nedits = n + way->nedits;

    ncr_edit_sort(ctx->edit, ctx->nedits);

    return NGX_OK;
}


/* of what the platform takes out, nobody else edits anything */

static ngx_uint_t
ngx_http_claude_relay_way_covers(ncr_way_t *way, ncr_edit_t *edit)
{
    ngx_uint_t   i;
    ncr_edit_t  *own;

    for (i = 0; i < way->nedits; i++) {
        own = &way->edits[i];

        /* what is put in front of it stays */

        if (edit->offset + (edit->remove ? 1 : 0) > own->offset
            && edit->offset < own->offset + own->remove
            && edit->offset + edit->remove <= own->offset + own->remove)
        {
            return 1;
        }
    }

    return 0;
}


static ncr_str_t
ngx_http_claude_relay_way_header(ncr_way_t *way, const char *name)
{
    size_t                        len;
    ncr_str_t                     value;
    ngx_uint_t                    i;
    ngx_list_part_t              *part;
    ngx_table_elt_t              *h;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = way->data;
    len = ngx_strlen(name);

    for (part = &ctx->request->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len
                && ngx_memcmp(h[i].lowcase_key, name, len) == 0)
            {
                return *ncr(&h[i].value);
            }
        }
    }

    ncr_str_set(&value, "");

    return value;
}


/* all of it in memory; what lies in a file is read once */

static ncr_str_t
ngx_http_claude_relay_way_body(ncr_way_t *way)
{
    size_t                             size;
    u_char                            *p;
    ssize_t                            n;
    ngx_buf_t                         *b;
    ngx_chain_t                       *cl;
    ngx_http_request_t                *r;
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_http_claude_relay_way_data_t  *data;

    data = (ngx_http_claude_relay_way_data_t *) way;
    ctx = data->ctx;
    r = ctx->request;

    if (data->body.data || r->request_body == NULL) {
        return data->body;
    }

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return data->body;
    }

    data->body.data = p;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {
            continue;
        }

        n = ngx_read_file(b->file, p, b->file_last - b->file_pos,
                          b->file_pos);

        if (n != (ssize_t) (b->file_last - b->file_pos)) {
            data->body.data = NULL;
            return data->body;
        }

        p += n;
    }

    data->body.len = p - data->body.data;

    return data->body;
}


static void *
ngx_http_claude_relay_way_alloc(ncr_way_t *way, size_t size)
{
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = way->data;

    return ngx_pnalloc(ctx->request->pool, size);
}


/* the body is as it will be sent: a signature covers it */

ngx_int_t
ngx_http_claude_relay_way_sign(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t *body)
{
    off_t                               pos;
    u_char                              buf[16384], digest[NCR_SHA256_LEN];
    ssize_t                             n;
    ngx_buf_t                          *b;
    ncr_int_t                           rc;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->way == NULL || ctx->account->platform->sign == NULL) {
        return NGX_OK;
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ncr_sha256_init(&rmcf->sha);

    for ( /* void */ ; body; body = body->next) {
        b = body->buf;

        if (ngx_buf_in_memory(b)) {
            ncr_sha256_update(&rmcf->sha, b->pos, b->last - b->pos);
            continue;
        }

        if (!b->in_file) {
            continue;
        }

        for (pos = b->file_pos; pos < b->file_last; pos += n) {

            n = ngx_read_file(b->file, buf,
                              ngx_min((off_t) sizeof(buf),
                                      b->file_last - pos), pos);
            if (n <= 0) {
                return NGX_ERROR;
            }

            ncr_sha256_update(&rmcf->sha, buf, n);
        }
    }

    ncr_sha256_final(&rmcf->sha, digest);

    rc = ctx->account->platform->sign(ctx->way, digest);

    if (rc == NCR_BAD) {
        return NGX_DECLINED;
    }

    return (rc == NCR_OK && !ctx->way->lines.overflow) ? NGX_OK : NGX_ERROR;
}
