
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is sent upstream: the client's headers in their order, each by its
 * fate, and the body as it came, unless the client profile or a map of models
 * says otherwise.
 */


#include "ngx_http_claude_relay.h"


/* what has been written of the things that must be there */

typedef struct {
    unsigned  credential:1;
    unsigned  host:1;
    unsigned  length:1;
    unsigned  beta:1;
    unsigned  version:1;
} ngx_http_claude_relay_written_t;


static ngx_int_t ngx_http_claude_relay_request_made(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t **body);
static ngx_uint_t ngx_http_claude_relay_dropped(
    ngx_http_claude_relay_ctx_t *ctx, ngx_table_elt_t *h);
static size_t ngx_http_claude_relay_request_size(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static u_char *ngx_http_claude_relay_request_line(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p);
static u_char *ngx_http_claude_relay_request_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p);
static u_char *ngx_http_claude_relay_request_header(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, ngx_table_elt_t *h,
    ngx_http_claude_relay_fate_e fate, ngx_http_claude_relay_written_t *w);
static u_char *ngx_http_claude_relay_request_rest(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    ngx_http_claude_relay_written_t *w);
static ngx_str_t *ngx_http_claude_relay_request_host(
    ngx_http_claude_relay_ctx_t *ctx);
static u_char *ngx_http_claude_relay_request_beta(
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, ngx_table_elt_t *h,
    ngx_http_claude_relay_written_t *w);
static ngx_uint_t ngx_http_claude_relay_has_length(ngx_http_request_t *r);
static u_char *ngx_http_claude_relay_request_length(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p);
static ngx_table_elt_t *ngx_http_claude_relay_beta_target(
    ngx_http_claude_relay_ctx_t *ctx, ncr_str_t *beta);


static ngx_str_t  ngx_http_claude_relay_version_line =
    ngx_string("anthropic-version: 2023-06-01" CRLF);
static ngx_str_t  ngx_http_claude_relay_upgrade_lines =
    ngx_string("Connection: Upgrade" CRLF "Upgrade: websocket" CRLF);
static ngx_str_t  ngx_http_claude_relay_beta_name =
    ngx_string("anthropic-beta: ");


ngx_int_t
ngx_http_claude_relay_create_request(ngx_http_request_t *r)
{
    u_char                       *p;
    ngx_buf_t                    *b;
    ngx_chain_t                  *cl, *body;
    ngx_http_upstream_t          *u;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u = r->upstream;

    if (ctx->ready == NULL) {

        /* parked: there is nobody to send anything to */

        return NGX_OK;
    }

    if (ngx_http_claude_relay_request_made(r, ctx, &body) != NGX_OK) {
        return NGX_ERROR;
    }

    b = ngx_create_temp_buf(r->pool,
                            ngx_http_claude_relay_request_size(r, ctx));
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    /* which tokens this attempt shows: a refusal falls on them */
    ctx->token_version = ctx->account->proof_version;

    p = ngx_http_claude_relay_request_line(r, ctx, b->last);
    p = ngx_http_claude_relay_request_headers(r, ctx, p);

    *p++ = CR; *p++ = LF;

    b->last = p;

    cl->buf = b;
    cl->next = body;

    u->request_bufs = cl;

    while (cl->next) {
        cl = cl->next;
    }

    cl->buf->flush = 1;

    return NGX_OK;
}


/* all that decides what will be sent: the head is written by it */

static ngx_int_t
ngx_http_claude_relay_request_made(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t **body)
{
    ngx_int_t     rc;
    ngx_chain_t  **ll;

    if (ngx_http_claude_relay_profile(r, ctx) != NGX_OK
        || ngx_http_claude_relay_map_edits(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->edit = ctx->edits;

    rc = ngx_http_claude_relay_way_make(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    *body = NULL;
    ll = body;

    /* an attempt moves the positions of what it sends, so each has copies */

    if (ngx_http_claude_relay_splice(r->pool, r->upstream->request_bufs,
                                     ctx->edit, ctx->nedits, &ll)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_way_sign(r, ctx, *body);
}


/* an upper bound */

static size_t
ngx_http_claude_relay_request_size(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    size_t                            size;
    ngx_uint_t                        i;
    ngx_list_part_t                  *part;
    ngx_table_elt_t                  *h;
    ngx_http_claude_relay_account_t  *a;

    a = ctx->account;

    size = r->method_name.len + 1
           + a->url.path.len + 3 * ctx->route.path.len + 1 + ctx->args.len
           + sizeof(" HTTP/1.1" CRLF) - 1
           + sizeof("Host: " CRLF) - 1 + a->host.len
           + a->proof.len
           + sizeof("Content-Length: " CRLF) - 1 + NGX_OFF_T_LEN
           + ngx_http_claude_relay_version_line.len
           + ngx_http_claude_relay_upgrade_lines.len
           + ngx_http_claude_relay_beta_name.len + 2
           + (a->platform->beta ? 2 * a->platform->beta->len + 4 : 0)
           + ctx->profile_size
           + sizeof(CRLF) - 1;

    if (ctx->way) {
        size += ctx->way->host_sent.len
                + (ctx->way->target.last - ctx->way->target.start)
                + (ctx->way->lines.last - ctx->way->lines.start);
    }

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        size += h[i].key.len + 2 + h[i].value.len + 2
                + sizeof("identity") - 1;
    }

    return size;
}


static u_char *
ngx_http_claude_relay_request_line(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p)
{
    ngx_str_t  *path;

    path = &ctx->route.path;

    p = ngx_cpymem(p, r->method_name.data, r->method_name.len);
    *p++ = ' ';

    if (ctx->way && ctx->way->target.last != ctx->way->target.start) {
        p = ngx_cpymem(p, ctx->way->target.start,
                       ctx->way->target.last - ctx->way->target.start);

        return ngx_cpymem(p, " HTTP/1.1" CRLF, sizeof(" HTTP/1.1" CRLF) - 1);
    }

    p = ngx_cpymem(p, ctx->account->url.path.data, ctx->account->url.path.len);

    /* the path was unescaped and freed of dots; it is escaped anew */

    p = (u_char *) ngx_escape_uri(p, path->data, path->len, NGX_ESCAPE_URI);

    if (ctx->args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, ctx->args.data, ctx->args.len);
    }

    if (ctx->profile == NGX_HTTP_CLAUDE_RELAY_PROFILE_APPLIED) {
        p = ngx_http_claude_relay_profile_args(ctx, p);
    }

    return ngx_cpymem(p, " HTTP/1.1" CRLF, sizeof(" HTTP/1.1" CRLF) - 1);
}


static u_char *
ngx_http_claude_relay_request_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p)
{
    u_char                           *fate;
    ngx_uint_t                        i;
    ngx_list_part_t                  *part;
    ngx_table_elt_t                  *h;
    ngx_http_claude_relay_written_t   w;

    fate = ctx->fates;

    ngx_memzero(&w, sizeof(ngx_http_claude_relay_written_t));

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        p = ngx_http_claude_relay_request_header(r, ctx, p, &h[i], *fate++,
                                                 &w);
    }

    return ngx_http_claude_relay_request_rest(r, ctx, p, &w);
}


static u_char *
ngx_http_claude_relay_request_header(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, ngx_table_elt_t *h,
    ngx_http_claude_relay_fate_e fate, ngx_http_claude_relay_written_t *w)
{
    ngx_str_t   value;
    ngx_uint_t  applied;

    if (ctx->way && ctx->way->drop && ngx_http_claude_relay_dropped(ctx, h)) {
        return p;
    }

    /* frames of extensions could not be read on their way */

    if (ctx->route.op == NCR_OP_SOCKET
        && ncr_str_caseeq(ncr(&h->key), "sec-websocket-extensions"))
    {
        return p;
    }

    value = h->value;
    applied = (ctx->profile == NGX_HTTP_CLAUDE_RELAY_PROFILE_APPLIED);

    switch (fate) {

    case NGX_HTTP_CLAUDE_RELAY_DROP:
        return p;

    case NGX_HTTP_CLAUDE_RELAY_CREDENTIAL:

        if (w->credential) {
            return p;
        }

        w->credential = 1;
        return ngx_cpymem(p, ctx->account->proof.data,
                          ctx->account->proof.len);

    case NGX_HTTP_CLAUDE_RELAY_HOST:

        if (w->host) {
            return p;
        }

        w->host = 1;
        value = *ngx_http_claude_relay_request_host(ctx);
        break;

    case NGX_HTTP_CLAUDE_RELAY_LENGTH:

        if (w->length || !ngx_http_claude_relay_has_length(r)) {
            return p;
        }

        w->length = 1;
        return ngx_http_claude_relay_request_length(r, ctx, p);

    case NGX_HTTP_CLAUDE_RELAY_ENCODING:

        /* the answer must be readable on its way (B.1) */

        ngx_str_set(&value, "identity");
        break;

    case NGX_HTTP_CLAUDE_RELAY_BETA:

        if (!applied) {
            return ngx_http_claude_relay_request_beta(ctx, p, h, w);
        }

        if (w->beta) {
            return p;
        }

        w->beta = 1;
        value = ctx->betas;
        break;

    case NGX_HTTP_CLAUDE_RELAY_API_VERSION:
    case NGX_HTTP_CLAUDE_RELAY_PASS:

        if (applied && ngx_http_claude_relay_profile_has(r, h)) {
            return p;
        }

        if (fate == NGX_HTTP_CLAUDE_RELAY_API_VERSION) {
            w->version = 1;
        }

        break;
    }

    p = ngx_cpymem(p, h->key.data, h->key.len);
    *p++ = ':'; *p++ = ' ';
    p = ngx_cpymem(p, value.data, value.len);
    *p++ = CR; *p++ = LF;

    return p;
}


/* what the client did not send and the upstream needs */

static u_char *
ngx_http_claude_relay_request_rest(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    ngx_http_claude_relay_written_t *w)
{
    ngx_str_t                         beta, *host;
    ngx_uint_t                        version;
    ngx_http_claude_relay_account_t  *a;

    a = ctx->account;
    ngx_str_null(&beta);

    if (ctx->profile == NGX_HTTP_CLAUDE_RELAY_PROFILE_APPLIED) {
        p = ngx_http_claude_relay_profile_headers(r, ctx, p, &version);

        w->version |= version;
        beta = ctx->betas;

    } else if (a->platform->beta) {
        beta = ngx_http_claude_relay_str(a->platform->beta);
    }

    if (!w->host) {
        host = ngx_http_claude_relay_request_host(ctx);

        p = ngx_cpymem(p, "Host: ", sizeof("Host: ") - 1);
        p = ngx_cpymem(p, host->data, host->len);
        *p++ = CR; *p++ = LF;
    }

    if (!w->credential) {
        p = ngx_cpymem(p, a->proof.data, a->proof.len);
    }

    if (ctx->route.op == NCR_OP_SOCKET) {
        p = ngx_cpymem(p, ngx_http_claude_relay_upgrade_lines.data,
                       ngx_http_claude_relay_upgrade_lines.len);
    }

    if (ctx->way) {
        p = ngx_cpymem(p, ctx->way->lines.start,
                       ctx->way->lines.last - ctx->way->lines.start);

    } else if (!w->version
               && ctx->route.dialect == NCR_DIALECT_ANTHROPIC)
    {
        p = ngx_cpymem(p, ngx_http_claude_relay_version_line.data,
                       ngx_http_claude_relay_version_line.len);
    }

    if (beta.len && !w->beta) {
        p = ngx_cpymem(p, ngx_http_claude_relay_beta_name.data,
                       ngx_http_claude_relay_beta_name.len);
        p = ngx_cpymem(p, beta.data, beta.len);
        *p++ = CR; *p++ = LF;
    }

    if (!w->length && ngx_http_claude_relay_has_length(r)) {
        p = ngx_http_claude_relay_request_length(r, ctx, p);
    }

    return p;
}


static ngx_str_t *
ngx_http_claude_relay_request_host(ngx_http_claude_relay_ctx_t *ctx)
{
    return (ctx->way && ctx->way->host_sent.len)
           ? (ngx_str_t *) &ctx->way->host_sent : &ctx->account->host;
}


/* a header that its platform must not see */

static ngx_uint_t
ngx_http_claude_relay_dropped(ngx_http_claude_relay_ctx_t *ctx,
    ngx_table_elt_t *h)
{
    ncr_str_t           name;
    const char *const  *drop;

    name.data = h->lowcase_key;
    name.len = h->key.len;

    for (drop = ctx->way->drop; *drop; drop++) {
        if (ncr_str_eq(&name, *drop)) {
            return 1;
        }
    }

    return 0;
}


/* the client's list and order, and the one name the credential needs (B.4) */

static u_char *
ngx_http_claude_relay_request_beta(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, ngx_table_elt_t *h, ngx_http_claude_relay_written_t *w)
{
    ncr_str_t  *beta, merged;

    p = ngx_cpymem(p, h->key.data, h->key.len);
    *p++ = ':'; *p++ = ' ';

    beta = ctx->account->platform->beta;

    if (beta == NULL
        || h != ngx_http_claude_relay_beta_target(ctx, beta))
    {
        p = ngx_cpymem(p, h->value.data, h->value.len);

    } else {
        merged = ncr_beta_merge(ncr(&h->value), beta, p);

        if (merged.data != p) {
            ngx_memcpy(p, merged.data, merged.len);
        }

        p += merged.len;
    }

    w->beta = 1;

    *p++ = CR; *p++ = LF;

    return p;
}


/*
 * A client may send its betas in several headers, which are one list: the
 * header that gains the name is the one with claude-code's, else the first.
 * NULL if the name is there already.
 */

static ngx_table_elt_t *
ngx_http_claude_relay_beta_target(ngx_http_claude_relay_ctx_t *ctx,
    ncr_str_t *beta)
{
    u_char           *fate;
    ncr_str_t         claude_code;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *first, *target;

    ncr_str_set(&claude_code, NCR_BETA_CLAUDE_CODE);

    fate = ctx->fates;
    first = NULL;
    target = NULL;

    for (part = &ctx->request->headers_in.headers.part;
         part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (*fate++ != NGX_HTTP_CLAUDE_RELAY_BETA) {
                continue;
            }

            if (ncr_beta_has(ncr(&h[i].value), beta)) {
                return NULL;
            }

            if (first == NULL) {
                first = &h[i];
            }

            if (target == NULL
                && ncr_beta_has(ncr(&h[i].value), &claude_code))
            {
                target = &h[i];
            }
        }
    }

    return target ? target : first;
}


static ngx_uint_t
ngx_http_claude_relay_has_length(ngx_http_request_t *r)
{
    return r->headers_in.content_length_n > 0
           || (r->method == NGX_HTTP_POST
               && r->headers_in.content_length_n == 0);
}


static u_char *
ngx_http_claude_relay_request_length(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p)
{
    off_t  length;

    length = r->headers_in.content_length_n
             + ngx_http_claude_relay_splice_growth(ctx->edit, ctx->nedits);

    p = ngx_cpymem(p, "Content-Length: ", sizeof("Content-Length: ") - 1);
    p = ncr_str_decimal(p, length);
    *p++ = CR; *p++ = LF;

    return p;
}
