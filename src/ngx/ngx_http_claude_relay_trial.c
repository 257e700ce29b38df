
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A message of our own to an account whose platform has a way of its own, for
 * an operator's test: what a client's would become on that way.
 */


#include "ngx_http_claude_relay_refresh.h"


#define NGX_HTTP_CLAUDE_RELAY_TRIAL_LINES  8192
#define NGX_HTTP_CLAUDE_RELAY_TRIAL_TEXT   8192


typedef struct {
    ncr_way_t                        way;       /* first: it stands for both */
    ngx_pool_t                      *pool;
    ncr_str_t                        body;
    ncr_anthropic_request_t          reader;
} ngx_http_claude_relay_trial_t;


static ngx_int_t ngx_http_claude_relay_trial_given(
    ngx_http_claude_relay_trial_t *t, ngx_http_claude_relay_account_t *a,
    ncr_op_e op, ngx_str_t *body);
static ngx_int_t ngx_http_claude_relay_trial_body(
    ngx_http_claude_relay_trial_t *t, ngx_str_t *body);
static ngx_int_t ngx_http_claude_relay_trial_sign(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_trial_t *t,
    ngx_http_claude_relay_account_t *a, ngx_str_t *body);
static ngx_int_t ngx_http_claude_relay_trial_head(
    ngx_http_claude_relay_fetch_t *f, ngx_http_claude_relay_trial_t *t,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_trial_room(ngx_pool_t *pool,
    ncr_out_t *out, size_t size);
static ncr_str_t ngx_http_claude_relay_trial_header(ncr_way_t *way,
    const char *name);
static ncr_str_t ngx_http_claude_relay_trial_whole(ncr_way_t *way);
static void *ngx_http_claude_relay_trial_alloc(ncr_way_t *way, size_t size);


/* body is one of the Messages API; NULL: it cannot be made */

ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_trial(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_op_e op, ngx_str_t *body)
{
    ngx_http_claude_relay_trial_t  *t;
    ngx_http_claude_relay_fetch_t  *f;

    if (a->token && ngx_http_claude_relay_proof(rmcf, a) != NGX_OK) {
        return NULL;
    }

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);
    if (f == NULL) {
        return NULL;
    }

    f->rmcf = rmcf;
    f->target = &a->target;
    f->resolver = ngx_http_claude_relay_resolver();

    t = ngx_pcalloc(f->pool, sizeof(ngx_http_claude_relay_trial_t));

    if (t == NULL) {
        goto failed;
    }

    t->pool = f->pool;

    if (ngx_http_claude_relay_trial_given(t, a, op, body) != NGX_OK
        || a->platform->way(&t->way) != NCR_OK
        || t->way.text.overflow || t->way.target.overflow
        || ngx_http_claude_relay_trial_body(t, &f->body) != NGX_OK
        || ngx_http_claude_relay_trial_sign(rmcf, t, a, &f->body) != NGX_OK
        || t->way.lines.overflow
        || ngx_http_claude_relay_trial_head(f, t, a) != NGX_OK)
    {
        goto failed;
    }

    return f;

failed:

    ngx_http_claude_relay_fetch_destroy(f);

    return NULL;
}


static ngx_int_t
ngx_http_claude_relay_trial_given(ngx_http_claude_relay_trial_t *t,
    ngx_http_claude_relay_account_t *a, ncr_op_e op, ngx_str_t *body)
{
    ncr_way_t  *way;

    /* the caller's goes before the answer comes */

    t->body.len = body->len;
    t->body.data = ngx_pstrdup(t->pool, body);

    if (t->body.data == NULL) {
        return NGX_ERROR;
    }

    ncr_codec_anthropic.request_init(&t->reader.told, NULL, NULL, op);

    if (ncr_codec_anthropic.request_feed(&t->reader.told, t->body.data,
                                         t->body.len)
        != NCR_OK
        || ncr_codec_anthropic.request_final(&t->reader.told) != NCR_OK)
    {
        return NGX_ERROR;
    }

    way = &t->way;

    way->op = op;
    way->dialect = NCR_DIALECT_ANTHROPIC;
    way->model = t->reader.told.model;
    way->asked = way->model;
    way->base = a->url.path;
    way->host = *ncr(&a->host);
    way->params = a->params;
    way->members = t->reader.told.members;
    way->length = t->body.len;
    way->now = ngx_http_claude_relay_now();
    way->header = ngx_http_claude_relay_trial_header;
    way->body = ngx_http_claude_relay_trial_whole;
    way->alloc = ngx_http_claude_relay_trial_alloc;

    ncr_str_set(&way->method, "POST");

    if (op == NCR_OP_COUNT_TOKENS) {
        ncr_str_set(&way->path, "/v1/messages/count_tokens");

    } else {
        ncr_str_set(&way->path, "/v1/messages");
    }

    if (!a->token) {
        way->secret = *ncr(&a->secret);
    }

    if (a->info) {
        way->meta = *ncr(&a->info->meta);
    }

    if (RAND_bytes(way->random, sizeof(way->random)) != 1) {
        return NGX_ERROR;
    }

    return (ngx_http_claude_relay_trial_room(t->pool, &way->target,
                                   NGX_HTTP_CLAUDE_RELAY_TRIAL_LINES)
            == NGX_OK
            && ngx_http_claude_relay_trial_room(t->pool, &way->lines,
                                        NGX_HTTP_CLAUDE_RELAY_TRIAL_LINES)
               == NGX_OK
            && ngx_http_claude_relay_trial_room(t->pool, &way->text,
                                        NGX_HTTP_CLAUDE_RELAY_TRIAL_TEXT)
               == NGX_OK)
           ? NGX_OK : NGX_ERROR;
}


/* all edits in one piece of memory */

static ngx_int_t
ngx_http_claude_relay_trial_body(ngx_http_claude_relay_trial_t *t,
    ngx_str_t *body)
{
    size_t       size;
    u_char      *p;
    uint64_t     done;
    ncr_way_t   *way;
    ngx_uint_t   i;

    way = &t->way;
    size = t->body.len;

    for (i = 0; i < way->nedits; i++) {
        size += way->edits[i].insert.len;
    }

    p = ngx_pnalloc(t->pool, size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    done = 0;

    ncr_edit_sort(way->edits, way->nedits);

    for (i = 0; i < way->nedits; i++) {

        if (way->edits[i].offset < done
            || way->edits[i].offset + way->edits[i].remove > t->body.len)
        {
            return NGX_ERROR;
        }

        p = ngx_cpymem(p, t->body.data + done, way->edits[i].offset - done);

        if (way->edits[i].insert.len) {
            p = ngx_cpymem(p, way->edits[i].insert.data,
                           way->edits[i].insert.len);
        }

        done = way->edits[i].offset + way->edits[i].remove;
    }

    p = ngx_cpymem(p, t->body.data + done, t->body.len - done);

    body->len = p - body->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_trial_sign(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_trial_t *t, ngx_http_claude_relay_account_t *a,
    ngx_str_t *body)
{
    u_char  digest[NCR_SHA256_LEN];

    if (a->platform->sign == NULL) {
        return NGX_OK;
    }

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, body->data, body->len);
    ncr_sha256_final(&rmcf->sha, digest);

    return (a->platform->sign(&t->way, digest) == NCR_OK) ? NGX_OK
                                                          : NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_trial_head(ngx_http_claude_relay_fetch_t *f,
    ngx_http_claude_relay_trial_t *t, ngx_http_claude_relay_account_t *a)
{
    ncr_out_t   head;
    ncr_str_t   s, lines;
    ncr_way_t  *way;

    way = &t->way;

    if (ngx_http_claude_relay_trial_room(f->pool, &head,
                             1024 + a->url.path.len + a->host.len
                             + way->host_sent.len + a->proof.len
                             + (way->target.last - way->target.start)
                             + (way->lines.last - way->lines.start))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    s.data = way->target.start;
    s.len = way->target.last - way->target.start;

    ncr_out_text(&head, "POST ");

    if (s.len == 0) {
        ncr_out_str(&head, &way->base);
        s = way->path;
    }

    ncr_out_str(&head, &s);
    ncr_out_text(&head, " HTTP/1.1" CRLF "Host: ");
    ncr_out_str(&head, way->host_sent.len ? &way->host_sent : &way->host);
    ncr_out_text(&head, CRLF);
    ncr_out_str(&head, ncr(&a->proof));

    lines.data = way->lines.start;
    lines.len = way->lines.last - way->lines.start;

    ncr_out_str(&head, &lines);

    if (!ncr_str_contains(&lines, "user-agent: ")) {
        ncr_out_text(&head, "User-Agent: claude-relay/"
                     NGX_HTTP_CLAUDE_RELAY_VERSION CRLF);
    }

    ncr_out_text(&head, "Accept: application/json" CRLF
                 "Content-Type: application/json" CRLF "Content-Length: ");
    ncr_out_int(&head, (int64_t) f->body.len);
    ncr_out_text(&head, CRLF);

    f->head.data = head.start;
    f->head.len = head.last - head.start;

    return head.overflow ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_trial_room(ngx_pool_t *pool, ncr_out_t *out,
    size_t size)
{
    u_char  *p;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ncr_out_init(out, p, size);

    return NGX_OK;
}


static ncr_str_t
ngx_http_claude_relay_trial_header(ncr_way_t *way, const char *name)
{
    ncr_str_t  value;

    ncr_str_set(&value, "");

    return value;
}


static ncr_str_t
ngx_http_claude_relay_trial_whole(ncr_way_t *way)
{
    return ((ngx_http_claude_relay_trial_t *) way)->body;
}


static void *
ngx_http_claude_relay_trial_alloc(ncr_way_t *way, size_t size)
{
    return ngx_pnalloc(((ngx_http_claude_relay_trial_t *) way)->pool, size);
}
