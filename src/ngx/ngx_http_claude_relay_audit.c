
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is captured of a request for the audit log.  Bodies are copied as they
 * pass by, up to the sizes of the location, so that a body in a file need not
 * be read back; headers are copied at the end.  Secrets by a header's name are
 * left out here, all other work on it is the thread's.
 */


#include "ngx_http_claude_relay_audit.h"


#define NGX_HTTP_CLAUDE_RELAY_COPY_MIN  4096


static void ngx_http_claude_relay_copy(ngx_http_claude_relay_copy_t *copy,
    u_char *p, size_t n);
static void ngx_http_claude_relay_audit_cleanup(void *data);
static ngx_http_claude_relay_kept_t *ngx_http_claude_relay_kept(
    ngx_http_claude_relay_ctx_t *ctx, ncr_record_t *rec);
static void ngx_http_claude_relay_kept_texts(
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec);
static void ngx_http_claude_relay_kept_numbers(
    ngx_http_claude_relay_kept_t *kept, ncr_record_t *rec);
static void ngx_http_claude_relay_kept_capture(
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_kept_known(
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_kept_account(
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_kept_secret(
    ngx_http_claude_relay_kept_t *kept, ngx_str_t *value);
static void ngx_http_claude_relay_kept_part(
    ngx_http_claude_relay_kept_t *kept, ncr_str_t *part);
static void ngx_http_claude_relay_kept_text(
    ngx_http_claude_relay_kept_t *kept, ncr_str_t *dst, ncr_str_t *src);
static size_t ngx_http_claude_relay_kept_headers(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_list_part_t *part,
    u_char **last);


/* the request goes on: what of it may be kept? */

void
ngx_http_claude_relay_audit_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_pool_cleanup_t                 *cln;
    ngx_http_claude_relay_capture_t    *capture;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_audit_loc_t  *audit;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    audit = rlcf->audit;

    if (r != r->main || ctx->capture
        || (!audit->errors
            && !ncr_audit_sampled(ncr(&ctx->request_id), audit->share)))
    {
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_claude_relay_capture_t));
    if (cln == NULL) {
        return;
    }

    capture = cln->data;
    ngx_memzero(capture, sizeof(ngx_http_claude_relay_capture_t));

    cln->handler = ngx_http_claude_relay_audit_cleanup;

    capture->request.max = audit->body;
    capture->response.max = audit->response;

    ctx->capture = capture;
}


/* what was not handed over */

static void
ngx_http_claude_relay_audit_cleanup(void *data)
{
    ngx_http_claude_relay_capture_t *capture = data;

    if (capture->request.data) {
        ngx_explicit_memzero(capture->request.data, capture->request.len);
        ngx_free(capture->request.data);
    }

    if (capture->response.data) {
        ngx_explicit_memzero(capture->response.data, capture->response.len);
        ngx_free(capture->response.data);
    }
}


void
ngx_http_claude_relay_audit_request(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, size_t n)
{
    ngx_http_claude_relay_copy(&ctx->capture->request, p, n);
}


void
ngx_http_claude_relay_audit_response(ngx_http_claude_relay_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            ngx_http_claude_relay_copy(&ctx->capture->response, b->pos,
                                       b->last - b->pos);
        }
    }
}


/* not of the request's pool: a stream must not make that grow */

static void
ngx_http_claude_relay_copy(ngx_http_claude_relay_copy_t *copy, u_char *p,
    size_t n)
{
    size_t   size;
    u_char  *data;

    copy->total += n;

    n = ngx_min(n, copy->max - copy->len);

    if (n == 0) {
        return;
    }

    if (n > copy->size - copy->len) {

        size = ngx_max(copy->size * 2, copy->len + n);
        size = ngx_max(size, NGX_HTTP_CLAUDE_RELAY_COPY_MIN);
        size = ngx_min(size, copy->max);

        data = ngx_alloc(size, ngx_cycle->log);

        if (data == NULL) {

            /* what comes later would not follow on it */

            copy->max = copy->len;
            return;
        }

        if (copy->data) {
            ngx_memcpy(data, copy->data, copy->len);
            ngx_explicit_memzero(copy->data, copy->len);
            ngx_free(copy->data);
        }

        copy->data = data;
        copy->size = size;
    }

    ngx_memcpy(copy->data + copy->len, p, n);
    copy->len += n;
}


/*
 * The request is recorded, which may be before its last bytes have passed: the
 * record waits for these.  Its texts live as long as the request.
 */

void
ngx_http_claude_relay_audit(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    ngx_http_request_t                *r;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->audit == NULL || r != r->main) {
        return;
    }

    ctx->record = ngx_palloc(r->pool, sizeof(ncr_record_t));

    if (ctx->record) {
        *ctx->record = *rec;
    }
}


/* the request is over */

void
ngx_http_claude_relay_audit_end(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                          sampled, failed;
    ngx_http_claude_relay_kept_t       *kept;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_audit_loc_t  *audit;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);
    audit = rlcf->audit;

    if (audit == NULL) {
        return;
    }

    sampled = ncr_audit_sampled(ncr(&ctx->request_id), audit->share);
    failed = (ctx->record->status >= 400 || ctx->error != NCR_CLASS_OK);

    if (!sampled && !(failed && audit->errors)) {
        return;
    }

    kept = ngx_http_claude_relay_kept(ctx, ctx->record);
    if (kept == NULL) {
        return;
    }

    ctx->record = NULL;

    if (sampled) {
        kept->entry.flags |= NCR_AUDIT_SAMPLED;
    }

    ngx_http_claude_relay_audit_put(kept);
}


static ngx_http_claude_relay_kept_t *
ngx_http_claude_relay_kept(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    u_char                             *p;
    size_t                              size;
    ngx_str_t                           type;
    ngx_http_request_t                 *r;
    ngx_http_claude_relay_kept_t       *kept;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    r = ctx->request;
    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    type = r->headers_out.content_type;

    size = rec->id.len + rec->provider_id.len + rec->key.len + rec->user.len
           + rec->account.len + rec->platform.len + rec->class.len
           + rec->op.len + rec->model.len + rec->served.len + rec->trail.len
           + r->method_name.len + r->unparsed_uri.len
           + r->connection->addr_text.len
           + sizeof("Content-Type: \n") + type.len
           + ngx_http_claude_relay_kept_headers(rmcf,
                                             &r->headers_in.headers.part, NULL)
           + ngx_http_claude_relay_kept_headers(rmcf,
                                           &r->headers_out.headers.part, NULL);

    size += sizeof(ngx_http_claude_relay_kept_t);

    kept = ngx_alloc(size, r->connection->log);
    if (kept == NULL) {
        return NULL;
    }

    ngx_memzero(kept, sizeof(ngx_http_claude_relay_kept_t));

    kept->size = size;
    kept->last = kept->data;

    ngx_http_claude_relay_kept_numbers(kept, rec);
    ngx_http_claude_relay_kept_texts(kept, ctx, rec);

    kept->entry.request_headers.data = kept->last;

    (void) ngx_http_claude_relay_kept_headers(rmcf,
                                              &r->headers_in.headers.part,
                                              &kept->last);

    kept->entry.request_headers.len = kept->last
                                      - kept->entry.request_headers.data;

    p = kept->last;
    kept->entry.response_headers.data = p;

    if (type.len) {
        p = ngx_sprintf(p, "Content-Type: %V\n", &type);
    }

    kept->last = p;

    (void) ngx_http_claude_relay_kept_headers(rmcf,
                                              &r->headers_out.headers.part,
                                              &kept->last);

    kept->entry.response_headers.len = kept->last
                                       - kept->entry.response_headers.data;

    ngx_http_claude_relay_kept_capture(kept, ctx);
    ngx_http_claude_relay_kept_known(kept, ctx);

    return kept;
}


static void
ngx_http_claude_relay_kept_texts(ngx_http_claude_relay_kept_t *kept,
    ngx_http_claude_relay_ctx_t *ctx, ncr_record_t *rec)
{
    ncr_audit_entry_t   *e;
    ngx_http_request_t  *r;

    e = &kept->entry;
    r = ctx->request;

    ngx_http_claude_relay_kept_text(kept, &e->id, &rec->id);
    ngx_http_claude_relay_kept_text(kept, &e->provider_id, &rec->provider_id);
    ngx_http_claude_relay_kept_text(kept, &e->key, &rec->key);
    ngx_http_claude_relay_kept_text(kept, &e->user, &rec->user);
    ngx_http_claude_relay_kept_text(kept, &e->account, &rec->account);
    ngx_http_claude_relay_kept_text(kept, &e->platform, &rec->platform);
    ngx_http_claude_relay_kept_text(kept, &e->class, &rec->class);
    ngx_http_claude_relay_kept_text(kept, &e->op, &rec->op);
    ngx_http_claude_relay_kept_text(kept, &e->model, &rec->model);
    ngx_http_claude_relay_kept_text(kept, &e->served, &rec->served);
    ngx_http_claude_relay_kept_text(kept, &e->trail, &rec->trail);
    ngx_http_claude_relay_kept_text(kept, &e->method, ncr(&r->method_name));

    /* "?key=" was overwritten in it (query.c) */

    ngx_http_claude_relay_kept_text(kept, &e->uri, ncr(&r->unparsed_uri));
    ngx_http_claude_relay_kept_text(kept, &e->address,
                                    ncr(&r->connection->addr_text));
}


static void
ngx_http_claude_relay_kept_numbers(ngx_http_claude_relay_kept_t *kept,
    ncr_record_t *rec)
{
    ncr_audit_entry_t  *e;

    e = &kept->entry;

    e->time = rec->time;
    e->status = rec->status;
    e->duration = rec->duration;
    e->ttft = (rec->ttft == UINT32_MAX) ? -1 : (int64_t) rec->ttft;
    e->attempts = rec->attempts;
    e->input = rec->usage.input;
    e->output = rec->usage.output;
    e->cache_read = rec->usage.cache_read;
    e->cache_write = rec->usage.cache_write;
    e->cost = rec->cost;

    if (rec->flags & NCR_RECORD_STREAM) {
        e->flags |= NCR_AUDIT_STREAM;
    }

    if (rec->flags & NCR_RECORD_ESTIMATED) {
        e->flags |= NCR_AUDIT_ESTIMATED;
    }

    if (rec->flags & NCR_RECORD_UNPRICED) {
        e->flags |= NCR_AUDIT_UNPRICED;
    }
}


/* the copies change hands */

static void
ngx_http_claude_relay_kept_capture(ngx_http_claude_relay_kept_t *kept,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                        i;
    ngx_list_part_t                  *part;
    ngx_table_elt_t                  *h;
    ngx_http_claude_relay_capture_t  *capture;

    capture = ctx->capture;

    if (capture == NULL) {
        return;
    }

    kept->request = capture->request;
    kept->response = capture->response;
    kept->size += kept->request.size + kept->response.size;

    ngx_memzero(&capture->request, sizeof(ngx_http_claude_relay_copy_t));
    ngx_memzero(&capture->response, sizeof(ngx_http_claude_relay_copy_t));

    ctx->capture = NULL;

    kept->entry.request_size = kept->request.total;
    kept->entry.response_size = kept->response.total;
    kept->response_encoded = (ctx->committed && ctx->encoded);

    for (part = &ctx->request->headers_in.headers.part; part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ncr_str_caseeq(ncr(&h[i].key), "content-encoding")) {
                kept->request_encoded = 1;
            }
        }
    }
}


/*
 * Whatever the client has shown as a secret, and what was shown upstream: it
 * may stand in a body, too, in whatever shape an operator gave it.
 */

static void
ngx_http_claude_relay_kept_known(ngx_http_claude_relay_kept_t *kept,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                          i;
    ngx_list_part_t                    *part;
    ngx_table_elt_t                    *h;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_http_claude_relay_kept_account(kept, ctx->account);
    ngx_http_claude_relay_kept_account(kept, ctx->attempt_account);
    ngx_http_claude_relay_kept_secret(kept, &ctx->args_key);

    for (part = &ctx->request->headers_in.headers.part; part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ncr_redact_secret(&rmcf->audit->redact, ncr(&h[i].key))) {
                ngx_http_claude_relay_kept_secret(kept, &h[i].value);
            }
        }
    }
}


static void
ngx_http_claude_relay_kept_account(ngx_http_claude_relay_kept_t *kept,
    ngx_http_claude_relay_account_t *a)
{
    if (a) {
        ngx_http_claude_relay_kept_secret(kept, &a->secret);
        ngx_http_claude_relay_kept_secret(kept, &a->proof);
    }
}


/* "Bearer x", "a=x; b=y": the parts, with and without a name */

static void
ngx_http_claude_relay_kept_secret(ngx_http_claude_relay_kept_t *kept,
    ngx_str_t *value)
{
    u_char     *p, *last;
    ncr_str_t   part;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        part.data = p;

        while (p < last && *p > ' ' && *p != ';' && *p != ',') {
            p++;
        }

        part.len = p - part.data;

        ngx_http_claude_relay_kept_part(kept, &part);

        while (part.len && *part.data != '=') {
            part.data++;
            part.len--;
        }

        if (part.len) {
            part.data++;
            part.len--;

            ngx_http_claude_relay_kept_part(kept, &part);
        }

        p++;
    }
}


static void
ngx_http_claude_relay_kept_part(ngx_http_claude_relay_kept_t *kept,
    ncr_str_t *part)
{
    ncr_str_t  *known;

    /* a header's name is none */

    if (part->len < NCR_REDACT_KNOWN
        || part->data[part->len - 1] == ':'
        || kept->nknown == NGX_HTTP_CLAUDE_RELAY_AUDIT_KNOWN)
    {
        return;
    }

    known = &kept->known[kept->nknown];

    known->data = ngx_alloc(part->len, ngx_cycle->log);
    if (known->data == NULL) {
        return;
    }

    ngx_memcpy(known->data, part->data, part->len);
    known->len = part->len;

    kept->nknown++;
}


static void
ngx_http_claude_relay_kept_text(ngx_http_claude_relay_kept_t *kept,
    ncr_str_t *dst, ncr_str_t *src)
{
    dst->len = src->len;
    dst->data = kept->last;

    if (src->len) {
        kept->last = ngx_cpymem(kept->last, src->data, src->len);
    }
}


/* "Name: value\n" each; their length, if last is NULL */

static size_t
ngx_http_claude_relay_kept_headers(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_list_part_t *part, u_char **last)
{
    size_t            len;
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    len = 0;

    for ( /* void */ ; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0) {
                continue;
            }

            value = h[i].value;

            if (ncr_redact_secret(&rmcf->audit->redact, ncr(&h[i].key))) {
                ngx_str_set(&value, NCR_REDACTED);
            }

            len += h[i].key.len + value.len + sizeof(": \n") - 1;

            if (last) {
                *last = ngx_sprintf(*last, "%V: %V\n", &h[i].key, &value);
            }
        }
    }

    return len;
}
