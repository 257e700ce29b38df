
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request comes in: route, key, then its body, which is scanned while it
 * arrives and goes on unchanged.
 */


#include "ngx_http_claude_relay_settings.h"
#include "ngx_http_claude_relay_audit.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_socket.h"

#include <time.h>


/* "retry-after" while usage cannot be recorded, seconds */
#define NGX_HTTP_CLAUDE_RELAY_FULL_WAIT  5

/* and in a maintenance */
#define NGX_HTTP_CLAUDE_RELAY_CLOSED_WAIT  30


static ngx_int_t ngx_http_claude_relay_arrival(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_claude_relay_unseen(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_refuse(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *message);
static ngx_int_t ngx_http_claude_relay_allow(ngx_http_request_t *r,
    ngx_uint_t methods, ngx_str_t *allow);
static ngx_int_t ngx_http_claude_relay_closed(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char *message);
static ngx_int_t ngx_http_claude_relay_unrecorded(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_http_claude_relay_ctx_t *ngx_http_claude_relay_create_ctx(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_request_id(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_scan_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_body_handler(ngx_http_request_t *r);
static void ngx_http_claude_relay_scan_late(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_scan_told(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_request_t *req);
static ngx_int_t ngx_http_claude_relay_scan_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_scan_none(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_scan_permit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_end(void *data);
static void ngx_http_claude_relay_cleanup(void *data);


uint64_t
ngx_http_claude_relay_clock(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


ngx_int_t
ngx_http_claude_relay_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_str_t                          *h;
    const char                         *closed;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ngx_http_claude_relay_visiting(r)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"claude_relay_token_location\" leads into a location "
                      "that relays");
        return NGX_HTTP_NOT_FOUND;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ctx = ngx_http_claude_relay_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_claude_relay_route(r, &ctx->route);

    if (rc == NGX_DECLINED) {
        return ngx_http_claude_relay_refuse(r, ctx, NGX_HTTP_NOT_FOUND,
                                            "no such path on this relay");
    }

    if (rc == NGX_HTTP_NOT_ALLOWED) {
        return ngx_http_claude_relay_refuse(r, ctx, NGX_HTTP_NOT_ALLOWED,
                                       "method not allowed for this path");
    }

    ctx->only = *ncr(&ctx->route.platform);
    ctx->model = ctx->route.model;

    if (ctx->route.op == NCR_OP_SELF
        && rlcf->keys == NGX_HTTP_CLAUDE_RELAY_KEYS_OFF)
    {
        return ngx_http_claude_relay_refuse(r, ctx, NGX_HTTP_NOT_FOUND,
                                            "there are no keys here");
    }

    if (r->method == NGX_HTTP_OPTIONS
        || ctx->route.op == NCR_OP_PROBE
        || ctx->route.op == NCR_OP_TELEMETRY)
    {
        return ngx_http_claude_relay_local(r, ctx);
    }

    if (ngx_http_claude_relay_auth(r, ctx) != NGX_OK) {
        ctx->error = (ctx->refused.status == NGX_HTTP_FORBIDDEN)
                     ? NCR_CLASS_FORBIDDEN
                     : (ctx->refused.status == NGX_HTTP_SERVICE_UNAVAILABLE)
                     ? NCR_CLASS_SERVER : NCR_CLASS_AUTH;

        if (ctx->refused.status == 0) {
            (void) ngx_atomic_fetch_add(&rmcf->zone->refused, 1);
        }

        return ngx_http_claude_relay_refuse(r, ctx,
                            ctx->refused.status ? ctx->refused.status
                                                : NGX_HTTP_UNAUTHORIZED,
                            ctx->why);
    }

    (void) ngx_atomic_fetch_add(&rmcf->zone->requests, 1);

    if (ctx->route.op == NCR_OP_SELF) {
        return ngx_http_claude_relay_self(r, ctx);
    }

    if (ctx->route.op == NCR_OP_MODELS) {
        rc = ngx_http_discard_request_body(r);
        return (rc == NGX_OK) ? ngx_http_claude_relay_models(r, ctx) : rc;
    }

    if (ctx->route.op == NCR_OP_PROFILES) {
        rc = ngx_http_discard_request_body(r);
        return (rc == NGX_OK) ? ngx_http_claude_relay_inference(r, ctx) : rc;
    }

    closed = ngx_http_claude_relay_maintenance(rmcf, r->pool);

    if (closed) {
        return ngx_http_claude_relay_closed(r, ctx, closed);
    }

    if (!ngx_http_claude_relay_ledger_ready(rmcf)) {
        return ngx_http_claude_relay_unrecorded(r, ctx);
    }

    if (ctx->key && (ctx->key->models.len || ctx->key->denied.len)
        && ngx_http_claude_relay_unseen(r, ctx))
    {
        ctx->error = NCR_CLASS_FORBIDDEN;
        ctx->refused.status = NGX_HTTP_FORBIDDEN;

        return ngx_http_claude_relay_refuse(r, ctx, NGX_HTTP_FORBIDDEN,
                            "this API key is for certain models, it may not "
                            "create batches");
    }

    rc = ngx_http_claude_relay_arrival(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    h = ctx->meant[NGX_HTTP_CLAUDE_RELAY_APP];
    ctx->background = (h && ncr_str_eq(ncr(h), "cli-bg"));
    ctx->head = (r->method == NGX_HTTP_HEAD);

    if (rlcf->audit) {
        ngx_http_claude_relay_audit_start(r, ctx);
    }

    if (ngx_http_claude_relay_scan_start(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_claude_relay_live_start(ctx);

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_claude_relay_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* what it is sent in, and as; NGX_DECLINED: it is taken */

static ngx_int_t
ngx_http_claude_relay_arrival(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                          rc;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (ctx->route.op == NCR_OP_SOCKET
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        return ngx_http_claude_relay_refuse(r, ctx, NGX_HTTP_BAD_REQUEST,
                            "a WebSocket is asked for without a body");
    }

    if (ctx->route.op == NCR_OP_SOCKET
        && !ngx_http_claude_relay_socket_offered(ctx))
    {
        return ngx_http_claude_relay_socket_refused(r, ctx);
    }

    if (rlcf->max_body && r->headers_in.content_length_n > rlcf->max_body) {
        ctx->error = NCR_CLASS_CLIENT;
        return ngx_http_claude_relay_refuse(r, ctx,
                            NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                            "the request body is larger than this relay takes");
    }

    rc = ngx_http_claude_relay_decode_init(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_claude_relay_refuse(r, ctx,
                            NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                            "the request body has a content encoding that "
                            "this relay cannot read: use zstd, gzip, deflate "
                            "or none");
    }

    return NGX_DECLINED;
}


/* may it ask for models that are not looked at? */

static ngx_uint_t
ngx_http_claude_relay_unseen(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    if (r->method != NGX_HTTP_POST) {
        return 0;
    }

    if (ctx->route.op == NCR_OP_BATCHES) {
        return ctx->route.id.len == 0;
    }

    return ctx->route.op == NCR_OP_GEMINI
           && ctx->route.model.len == 0
           && !ncr_str_prefix(ncr(&ctx->route.path), "/v1beta/files");
}


static ngx_int_t
ngx_http_claude_relay_refuse(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *message)
{
    ngx_int_t  rc;
    ngx_str_t  allow;

    /* nobody shall be asked to send what is not wanted */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (status == NGX_HTTP_NOT_ALLOWED) {

        if (ngx_http_claude_relay_allow(r, ctx->route.methods, &allow)
            != NGX_OK
            || ngx_http_claude_relay_add_header(r, "Allow", &allow) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* RFC 9110, 15.5.16 */

    if (status == NGX_HTTP_UNSUPPORTED_MEDIA_TYPE) {
        ngx_str_set(&allow, "zstd, gzip, deflate");

        if (ngx_http_claude_relay_add_header(r, "Accept-Encoding", &allow)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->error == NCR_CLASS_OK) {
        ctx->error = NCR_CLASS_CLIENT;
    }

    /* it is over soon */

    return ngx_http_claude_relay_error(r, ctx, status, message,
                          (ctx->refused.status == NGX_HTTP_SERVICE_UNAVAILABLE)
                          ? 1 : -1);
}


static ngx_int_t
ngx_http_claude_relay_allow(ngx_http_request_t *r, ngx_uint_t methods,
    ngx_str_t *allow)
{
    u_char      *p;
    ngx_uint_t   i;

    static struct {
        ngx_uint_t   method;
        const char  *name;
    }  names[] = {
        { NGX_HTTP_GET, "GET" },
        { NGX_HTTP_HEAD, "HEAD" },
        { NGX_HTTP_POST, "POST" },
        { NGX_HTTP_PATCH, "PATCH" },
        { NGX_HTTP_DELETE, "DELETE" },
        { 0, NULL }
    };

    p = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, PATCH, DELETE, "));
    if (p == NULL) {
        return NGX_ERROR;
    }

    allow->data = p;

    for (i = 0; names[i].name; i++) {
        if (methods & names[i].method) {
            p = ngx_sprintf(p, "%s, ", names[i].name);
        }
    }

    allow->len = p - allow->data - 2;

    return NGX_OK;
}


/* by the operator's settings */

static ngx_int_t
ngx_http_claude_relay_closed(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char *message)
{
    ngx_int_t  rc;

    ctx->booked = 1;
    ctx->error = NCR_CLASS_SERVER;
    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                       message,
                                       NGX_HTTP_CLAUDE_RELAY_CLOSED_WAIT);
}


/* what room there is left is for the records of others */

static ngx_int_t
ngx_http_claude_relay_unrecorded(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                           rc;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    (void) ngx_atomic_fetch_add(&rmcf->zone->usage_refused, 1);

    ctx->booked = 1;
    ctx->error = NCR_CLASS_SERVER;
    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                       "usage cannot be recorded at the "
                                       "moment, so nothing is relayed",
                                       NGX_HTTP_CLAUDE_RELAY_FULL_WAIT);
}


/* made by the handler, or by the first variable that is asked for */

ngx_http_claude_relay_ctx_t *
ngx_http_claude_relay_get_ctx(ngx_http_request_t *r)
{
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx) {
        return ctx;
    }

    ctx = ngx_http_claude_relay_create_ctx(r);

    if (ctx == NULL
        || ngx_http_claude_relay_headers(r, ctx) != NGX_OK
        || ngx_http_claude_relay_query(r, ctx) != NGX_OK)
    {
        return NULL;
    }

    return ctx;
}


static ngx_http_claude_relay_ctx_t *
ngx_http_claude_relay_create_ctx(ngx_http_request_t *r)
{
    ngx_http_cleanup_t           *end;
    ngx_pool_cleanup_t           *cln;
    ngx_http_claude_relay_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    end = ngx_http_cleanup_add(r, 0);
    if (end == NULL) {
        return NULL;
    }

    ctx = ngx_http_claude_relay_ctx(r->connection->log);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->started = ngx_current_msec;
    ctx->began = ngx_http_claude_relay_now();
    ctx->max_tokens = -1;
    ctx->ev.handler = ngx_http_claude_relay_resume;
    ctx->ev.data = ctx;
    ctx->ev.log = r->connection->log;

    cln->handler = ngx_http_claude_relay_cleanup;
    cln->data = ctx;

    end->handler = ngx_http_claude_relay_end;
    end->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_claude_relay_module);

    ngx_http_claude_relay_roster_hold(ctx);

    if (ngx_http_claude_relay_request_id(r, ctx) != NGX_OK) {
        return NULL;
    }

    return ctx;
}


/* unique, not secret: a worker's random start and a count */

static ngx_int_t
ngx_http_claude_relay_request_id(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    static u_char     seed[12];
    static uint32_t   count;
    static ngx_pid_t  pid;

    u_char  *p;

    if (pid != ngx_pid) {

        if (RAND_bytes(seed, sizeof(seed)) != 1) {
            return NGX_ERROR;
        }

        pid = ngx_pid;
    }

    p = ngx_pnalloc(r->pool, 2 * sizeof(seed) + 8);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->request_id.data = p;
    ctx->request_id.len = 2 * sizeof(seed) + 8;

    p = ngx_hex_dump(p, seed, sizeof(seed));
    ngx_sprintf(p, "%08xD", ++count);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_scan_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                         hash;
    const ncr_codec_t                 *codec;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (!ncr_op_is(ctx->route.op, NCR_OP_SCANNED)) {
        return NGX_OK;
    }

    ctx->reader = ngx_http_claude_relay_reader(r->connection->log);
    if (ctx->reader == NULL) {
        return NGX_ERROR;
    }

    ctx->scan = &ctx->reader->scan;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    /* the prefix is hashed only if nothing better can come */

    hash = rlcf->sticky_ttl
           && ctx->meant[NGX_HTTP_CLAUDE_RELAY_SESSION_CLAUDE] == NULL;

    codec = ngx_http_claude_relay_codec(ctx);

    codec->request_init(&ctx->scan->told,
                        hash ? &ctx->reader->plain : NULL,
                        hash ? &ctx->reader->cached : NULL, ctx->route.op);

    ctx->scan->told.turns = (ctx->pool->turns != 0);

    /* that of the path holds, unless the body names one */

    ctx->scan->told.model = *ncr(&ctx->route.model);

    if (rlcf->profile.block.len
        && codec->dialect == NCR_DIALECT_ANTHROPIC)
    {
        ctx->scan->anthropic.leading = ncr(&rlcf->profile.system);
    }

    return NGX_OK;
}


/* sees each piece of the body once, in order, freed of its framing */

ngx_int_t
ngx_http_claude_relay_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    size_t                             n;
    ngx_buf_t                         *b;
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (ctx == NULL || ctx->request_id.len == 0 || ctx->own_reply) {

        /* another module reads it; the length grows with each chunk */

        return (rlcf->enable && rlcf->max_body
                && r->headers_in.content_length_n > rlcf->max_body)
               ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : NGX_OK;
    }

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (!ngx_buf_in_memory(b)) {
            continue;
        }

        n = b->last - b->pos;
        ctx->body_length += n;

        if (rlcf->max_body && ctx->body_length > rlcf->max_body) {
            ctx->error = NCR_CLASS_CLIENT;
            return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        }

        if (ctx->capture) {
            ngx_http_claude_relay_audit_request(ctx, b->pos, n);
        }

        /* what is broken is read to its end, so the connection lives on */

        if (n && ctx->scan && !ctx->scan_failed
            && ngx_http_claude_relay_codec(ctx)->request_feed(
                                         &ctx->scan->told, b->pos, n)
               != NCR_OK)
        {
            ctx->scan_failed = 1;
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    ctx->own_from = ngx_http_claude_relay_clock();

    if (ngx_http_claude_relay_decode_failed(ctx)) {
        ctx->error = NCR_CLASS_CLIENT;

        rc = ngx_http_claude_relay_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                            "the request body cannot be decoded as its "
                            "content encoding says", -1);

        ngx_http_finalize_request(r, rc);
        return;
    }

    rc = ngx_http_claude_relay_scan_end(r, ctx);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc == NGX_DONE ? NGX_OK : rc);
        return;
    }

    if (ctx->route.id.len) {
        ngx_http_claude_relay_id_key(ctx, &ctx->route.id);
        ctx->has_id = 1;
    }

    ngx_http_claude_relay_live_body(ctx);

    ngx_http_claude_relay_start(r, ctx);
}


/*
 * Another module, such as mirror, has read the body before the handler was
 * called; the filter saw nothing of it.
 */

static void
ngx_http_claude_relay_scan_late(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char       buf[16384];
    off_t        pos;
    ssize_t      n;
    ngx_buf_t   *b;
    ngx_chain_t  one, *cl;

    if (r->request_body == NULL) {
        return;
    }

    one.next = NULL;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            one.buf = b;
            (void) ngx_http_claude_relay_body_filter(r, &one);
            continue;
        }

        for (pos = b->file_pos; pos < b->file_last; pos += n) {

            n = ngx_read_file(b->file, buf,
                              ngx_min((off_t) sizeof(buf),
                                      b->file_last - pos), pos);

            if (n > 0 && ctx->capture) {
                ngx_http_claude_relay_audit_request(ctx, buf, n);
            }

            if (n <= 0
                || ngx_http_claude_relay_codec(ctx)->request_feed(
                                               &ctx->scan->told, buf, n)
                   != NCR_OK)
            {
                ctx->scan_failed = 1;
                return;
            }
        }
    }
}


/* NGX_OK: go on; else what finalizes the request: the answer is out */

static ngx_int_t
ngx_http_claude_relay_scan_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    char                               buf[256];
    ngx_int_t                          rc;
    ngx_str_t                          id;
    ncr_str_t                          text;
    ncr_request_t                     *req;
    const ncr_codec_t                 *codec;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (ctx->scan == NULL) {
        return ngx_http_claude_relay_scan_none(r, ctx);
    }

    if (ctx->body_length == 0) {
        ngx_http_claude_relay_scan_late(r, ctx);
    }

    req = &ctx->scan->told;
    codec = ngx_http_claude_relay_codec(ctx);

    if (ctx->scan_failed || codec->request_final(req) != NCR_OK) {

        ctx->error = NCR_CLASS_CLIENT;

        text = codec->request_error(req, buf, sizeof(buf) - 1);
        buf[text.len] = '\0';

        rc = ngx_http_claude_relay_error(r, ctx, NGX_HTTP_BAD_REQUEST, buf,
                                         -1);

        return (rc == NGX_OK) ? NGX_DONE : rc;
    }

    if (ngx_http_claude_relay_scan_told(r, ctx, req) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_claude_relay_scan_permit(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->warmup && ctx->route.op == NCR_OP_MESSAGES) {

        rc = ngx_http_claude_relay_warmup(r, ctx, req->stream);

        if (rc != NGX_DECLINED) {
            return (rc == NGX_OK) ? NGX_DONE : rc;
        }
    }


    rc = ngx_http_claude_relay_map(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        ctx->error = NCR_CLASS_CLIENT;

        rc = ngx_http_claude_relay_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                             "duplicate key \"effort\" in output_config", -1);

        return (rc == NGX_OK) ? NGX_DONE : rc;
    }

    ngx_http_claude_relay_session(r, ctx);

    /* a thread goes on where its last message was made */

    ctx->thread = req->thread;

    if (req->previous[0]) {
        id.data = (u_char *) req->previous;
        id.len = ngx_strlen(id.data);

        ngx_http_claude_relay_id_key(ctx, &id);
        ctx->has_id = 1;
    }

    ngx_http_claude_relay_reader_give(ctx->reader);
    ctx->reader = NULL;
    ctx->scan = NULL;

    return NGX_OK;
}


/* a body that is not looked at: its model is that of the path, if any */

static ngx_int_t
ngx_http_claude_relay_scan_none(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->model.len) {
        rc = ngx_http_claude_relay_scan_permit(r, ctx);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ctx->wanted = ctx->model;
    ngx_http_claude_relay_session(r, ctx);

    return NGX_OK;
}


/* as scan_end() */

static ngx_int_t
ngx_http_claude_relay_scan_permit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t    rc;
    const char  *why;

    rc = ngx_http_claude_relay_permit_model(r, ctx, &why);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->error = NCR_CLASS_FORBIDDEN;
    ctx->refused.status = NGX_HTTP_FORBIDDEN;

    rc = ngx_http_claude_relay_error(r, ctx, NGX_HTTP_FORBIDDEN, why, -1);

    return (rc == NGX_OK) ? NGX_DONE : rc;
}


/* what outlasts the reader */

static ngx_int_t
ngx_http_claude_relay_scan_told(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_request_t *req)
{
    size_t      size;
    ngx_uint_t  last;

    /* a model in the path is what is asked for, whatever the body says */

    if (ctx->route.model.len == 0) {
        ctx->model.len = req->model.len;
        ctx->model.data = ngx_pstrdup(r->pool, (ngx_str_t *) &req->model);

        if (ctx->model.data == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_http_claude_relay_map_named(ctx, &ctx->model);

    if (req->members) {
        ctx->lists = ngx_max(req->lists, 1);
        last = ctx->lists - 1;

        size = last * sizeof(ncr_members_t)
               + offsetof(ncr_members_t, member)
               + req->members[last].n * sizeof(ncr_member_t);

        ctx->members = ngx_palloc(r->pool, size);
        if (ctx->members == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ctx->members, req->members, size);
    }

    ctx->max_tokens = req->max_tokens;
    ctx->stream_asked = req->stream;
    ctx->user_turn = (ncr_op_is(ctx->route.op, NCR_OP_BILLED)
                      && req->user && !req->result);

    if (ctx->route.dialect == NCR_DIALECT_ANTHROPIC) {
        ctx->system = ctx->scan->anthropic.system;
    }

    return NGX_OK;
}


/* lets go of everything that outlives a callback; safe to call twice */

void
ngx_http_claude_relay_forget(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_unwait(ctx);
    ngx_http_claude_relay_leave(ctx);
    ngx_http_claude_relay_dial_cancel(&ctx->dial);
    ngx_http_claude_relay_socket_end(ctx);

    if (ctx->look) {
        ngx_http_claude_relay_fleet_forget(ctx);
    }

    if (ctx->beat.timer_set) {
        ngx_del_timer(&ctx->beat);
    }

    ngx_http_claude_relay_release(ctx);
}


/* the request is over, its pool is there still; before it is logged */

static void
ngx_http_claude_relay_end(void *data)
{
    ngx_http_claude_relay_ctx_t  *ctx = data;

    ngx_http_claude_relay_forget(ctx);
    ngx_http_claude_relay_book(ctx);
    ngx_http_claude_relay_metrics_bytes(ctx->request);

    if (ctx->record) {
        ngx_http_claude_relay_audit_end(ctx);
    }

    ngx_http_claude_relay_live_end(ctx);
}


static void
ngx_http_claude_relay_cleanup(void *data)
{
    ngx_http_claude_relay_ctx_t  *ctx = data;

    ngx_http_claude_relay_main_conf_t  *rmcf;

    ngx_http_claude_relay_forget(ctx);

    ngx_http_claude_relay_unreserve(ctx);

    if (ctx->roster) {
        rmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_claude_relay_module);
        ngx_http_claude_relay_roster_release(rmcf, ctx->roster);
        ctx->roster = NULL;
    }

    if (ctx->reader) {
        ngx_http_claude_relay_reader_give(ctx->reader);
    }

    if (ctx->ready) {

        /* made, and never handed over */

        ngx_destroy_pool(ctx->ready->pool);
        ngx_close_connection(ctx->ready);
    }

    ngx_http_claude_relay_live_end(ctx);
    ngx_http_claude_relay_ctx_give(ctx);
}
