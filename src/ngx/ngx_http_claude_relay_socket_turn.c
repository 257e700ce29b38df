
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Turns of a WebSocket: each response.create (others.md A7) is what a request
 * is over HTTP.  It is permitted, admitted by limits, and booked when its
 * answer has ended; the handshake is none of that.
 */


#include "ngx_http_claude_relay_socket.h"
#include "ngx_http_claude_relay_shares.h"


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_SOCKET_UNKNOWN = 0,
    NGX_HTTP_CLAUDE_RELAY_SOCKET_CREATE,
    NGX_HTTP_CLAUDE_RELAY_SOCKET_ASIDE      /* makes no answer */
} ngx_http_claude_relay_socket_kind_e;


/* a message is refused: what the client hears, and maybe the end */

typedef struct {
    ngx_uint_t                          status;
    const char                         *message;
    ngx_uint_t                          close;      /* a code, or 0 */
} ngx_http_claude_relay_socket_no_t;


static ngx_http_claude_relay_socket_kind_e ngx_http_claude_relay_socket_kind(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req);
static ncr_str_t ngx_http_claude_relay_socket_member(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req, ncr_uint_t name);
static ngx_int_t ngx_http_claude_relay_socket_create(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req);
static ngx_int_t ngx_http_claude_relay_socket_pools(
    ngx_http_claude_relay_socket_t *s);
static void ngx_http_claude_relay_socket_cleanup(void *data);
static ngx_int_t ngx_http_claude_relay_socket_permit(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req,
    ngx_http_claude_relay_socket_no_t *no);
static ngx_int_t ngx_http_claude_relay_socket_anew(
    ngx_http_claude_relay_ctx_t *ctx, ncr_request_t *req, size_t len);
static ngx_int_t ngx_http_claude_relay_socket_key(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_socket_no_t *no);
static ngx_int_t ngx_http_claude_relay_socket_admit(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_socket_no_t *no);
static ngx_int_t ngx_http_claude_relay_socket_send(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req);
static ngx_int_t ngx_http_claude_relay_socket_error(
    ngx_http_claude_relay_socket_t *s, ncr_request_t *req, ngx_uint_t status,
    const char *code, const char *message);
static ngx_int_t ngx_http_claude_relay_socket_turn_end(
    ngx_http_claude_relay_socket_t *s);
static ngx_uint_t ngx_http_claude_relay_socket_status(ncr_class_e class);
static void ngx_http_claude_relay_socket_book(
    ngx_http_claude_relay_socket_t *s);


/* texts that a client may send at any time */

static const char  *ngx_http_claude_relay_socket_asides[] = {
    "\"response.cancel\"", "\"response.processed\"", NULL
};


ngx_int_t
ngx_http_claude_relay_socket_message(ngx_http_claude_relay_socket_t *s)
{
    char                          buf[256];
    ngx_int_t                     rc;
    ncr_str_t                     text;
    ncr_request_t                *req;
    const ncr_codec_t            *codec;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;
    codec = ngx_http_claude_relay_codec(ctx);

    ctx->reader = ngx_http_claude_relay_reader(
                                            ctx->request->connection->log);
    if (ctx->reader == NULL) {
        return NGX_ERROR;
    }

    ctx->scan = &ctx->reader->scan;
    req = &ctx->scan->told;

    codec->request_init(req, NULL, NULL, NCR_OP_RESPONSES);

    if (codec->request_feed(req, s->message.pos,
                            s->message.last - s->message.pos)
        != NCR_OK
        || codec->request_final(req) != NCR_OK)
    {
        text = codec->request_error(req, buf, sizeof(buf) - 1);
        buf[text.len] = '\0';

        rc = ngx_http_claude_relay_socket_error(s, NULL, NGX_HTTP_BAD_REQUEST,
                                                NULL, buf);
        goto done;
    }

    switch (ngx_http_claude_relay_socket_kind(s, req)) {

    case NGX_HTTP_CLAUDE_RELAY_SOCKET_CREATE:
        rc = ngx_http_claude_relay_socket_create(s, req);
        break;

    case NGX_HTTP_CLAUDE_RELAY_SOCKET_ASIDE:
        rc = ngx_http_claude_relay_socket_pass(s, NCR_WS_TEXT, s->message.pos,
                                         s->message.last - s->message.pos);
        break;

    case NGX_HTTP_CLAUDE_RELAY_SOCKET_UNKNOWN:
    default:
        rc = ngx_http_claude_relay_socket_error(s, req, NGX_HTTP_BAD_REQUEST,
                                         NULL, "type: response.create, "
                                         "response.cancel or "
                                         "response.processed");
        break;
    }

done:

    ngx_http_claude_relay_reader_give(ctx->reader);
    ctx->reader = NULL;
    ctx->scan = NULL;

    return rc;
}


/* what is not known is not sent: it might make an answer that nobody counts,
 * and an escape in a type is there to hide it */

static ngx_http_claude_relay_socket_kind_e
ngx_http_claude_relay_socket_kind(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req)
{
    ncr_str_t    type;
    const char  **aside;

    type = ngx_http_claude_relay_socket_member(s, req, NCR_OPENAI_TYPE);

    if (ncr_str_eq(&type, "\"response.create\"")) {
        return NGX_HTTP_CLAUDE_RELAY_SOCKET_CREATE;
    }

    for (aside = ngx_http_claude_relay_socket_asides; *aside; aside++) {
        if (ncr_str_eq(&type, *aside)) {
            return NGX_HTTP_CLAUDE_RELAY_SOCKET_ASIDE;
        }
    }

    return NGX_HTTP_CLAUDE_RELAY_SOCKET_UNKNOWN;
}


/* its value as it was written; "" if there is none */

static ncr_str_t
ngx_http_claude_relay_socket_member(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req, ncr_uint_t name)
{
    ncr_str_t      value;
    ncr_member_t  *member;

    member = req ? ncr_members_find(req->members, name) : NULL;

    if (member == NULL) {
        ncr_str_set(&value, "");
        return value;
    }

    value.data = s->message.pos + member->start;
    value.len = (size_t) (member->end - member->start);

    return value;
}


static ngx_int_t
ngx_http_claude_relay_socket_create(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req)
{
    ngx_int_t                           rc;
    ncr_str_t                           generate;
    ngx_pool_t                         *pool;
    ngx_http_request_t                 *r;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_socket_no_t   no;

    ctx = s->ctx;
    r = ctx->request;

    if (s->turn && !s->warm) {
        return ngx_http_claude_relay_socket_error(s, req,
                              NGX_HTTP_BAD_REQUEST,
                              "websocket_stream_limit_reached",
                              "one response at a time on a connection");
    }

    if (s->turn && ngx_http_claude_relay_socket_turn_end(s) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_socket_pools(s) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what a turn makes goes with it: there may be thousands of them */

    pool = r->pool;
    r->pool = s->pool;

    rc = ngx_http_claude_relay_socket_permit(s, req, &no);

    r->pool = pool;

    if (rc == NGX_OK) {

        generate = ngx_http_claude_relay_socket_member(s, req,
                                                       NCR_OPENAI_GENERATE);

        s->turn = 1;
        s->warm = ncr_str_eq(&generate, "false");
        s->status = NGX_HTTP_OK;
        s->refusals = 0;

        ctx->thread = req->thread;

        ngx_http_claude_relay_answer_anew(ctx);
        ngx_http_claude_relay_live_body(ctx);
        ngx_http_claude_relay_live_answer(ctx);

        return ngx_http_claude_relay_socket_send(s, req);
    }

    if (rc != NGX_DECLINED) {
        return NGX_ERROR;
    }

    s->status = no.status;
    ctx->refused.status = no.status;

    if (ctx->error == NCR_CLASS_OK) {
        ctx->error = NCR_CLASS_CLIENT;
    }

    ngx_http_claude_relay_answer_anew(ctx);
    ngx_http_claude_relay_socket_book(s);

    if (ngx_http_claude_relay_socket_error(s, req, no.status, NULL,
                                           no.message)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return no.close ? ngx_http_claude_relay_socket_close(s, no.close,
                                                         no.message)
                    : NGX_OK;
}


/* another pool for this turn; that of the one before may be in use until the
 * key was found anew */

static ngx_int_t
ngx_http_claude_relay_socket_pools(ngx_http_claude_relay_socket_t *s)
{
    ngx_pool_t          *pool;
    ngx_pool_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = s->ctx->request;

    if (s->pool == NULL) {
        cln = ngx_pool_cleanup_add(r->pool, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_claude_relay_socket_cleanup;
        cln->data = s;
    }

    pool = ngx_create_pool(4096, r->connection->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (s->last_pool) {
        ngx_destroy_pool(s->last_pool);
    }

    s->last_pool = s->pool;
    s->pool = pool;

    return NGX_OK;
}


static void
ngx_http_claude_relay_socket_cleanup(void *data)
{
    ngx_http_claude_relay_socket_t *s = data;

    if (s->last_pool) {
        ngx_destroy_pool(s->last_pool);
    }

    if (s->pool) {
        ngx_destroy_pool(s->pool);
    }
}


/* all that is asked of a request over HTTP, for the account that is leased;
 * NGX_DECLINED: no tells why */

static ngx_int_t
ngx_http_claude_relay_socket_permit(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req, ngx_http_claude_relay_socket_no_t *no)
{
    ngx_int_t                     rc;
    ngx_http_request_t           *r;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;
    r = ctx->request;

    no->close = 0;

    if (ngx_http_claude_relay_socket_anew(ctx, req,
                                          s->message.last - s->message.pos)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_claude_relay_socket_key(ctx, no);

    if (rc != NGX_OK) {
        return rc;
    }

    /* nobody has the last ones any more */

    if (s->refusals++ == NGX_HTTP_CLAUDE_RELAY_SOCKET_REFUSALS) {
        no->close = NCR_WS_POLICY;
    }

    no->status = NGX_HTTP_FORBIDDEN;

    rc = ngx_http_claude_relay_permit_model(r, ctx, &no->message);

    if (rc != NGX_OK) {
        ctx->error = NCR_CLASS_FORBIDDEN;
        return rc;
    }

    if (ngx_http_claude_relay_map(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_http_claude_relay_serves(ctx->account, NCR_OP_SOCKET,
                                      &ctx->wanted))
    {
        no->status = NGX_HTTP_NOT_FOUND;
        no->message = "the account of this connection does not serve this "
                      "model, open another one";
        return NGX_DECLINED;
    }

    ngx_http_claude_relay_map_account(ctx);

    return ngx_http_claude_relay_socket_admit(ctx, no);
}


/* as if nothing had been asked on this connection before */

static ngx_int_t
ngx_http_claude_relay_socket_anew(ngx_http_claude_relay_ctx_t *ctx,
    ncr_request_t *req, size_t len)
{
    ctx->began = ngx_http_claude_relay_now();
    ctx->started = ngx_current_msec;
    ctx->attempt_at = ngx_current_msec;
    ctx->attempt_wall = ctx->began;
    ctx->own_ns = 0;
    ctx->has_ttft = 0;

    ctx->error = NCR_CLASS_OK;
    ctx->booked = 0;
    ctx->judged = 0;
    ctx->bill = NULL;
    ctx->record = NULL;

    ctx->admitted = 0;
    ctx->claimed = 0;
    ctx->claims = NULL;
    ctx->nclaims = 0;
    ctx->priced = 0;
    ctx->unpriced = 0;
    ctx->shadowed = 0;
    ctx->share_until = 0;

    ngx_memzero(&ctx->wants, sizeof(ncr_amounts_t));
    ngx_memzero(&ctx->refused, sizeof(ngx_http_claude_relay_refused_t));

    ctx->stream = 1;
    ctx->stream_asked = 1;
    ctx->max_tokens = req->max_tokens;
    ctx->body_length = len;

    ctx->model.len = req->model.len;
    ctx->model.data = ngx_pstrdup(ctx->request->pool, (ngx_str_t *)
                                                      &req->model);

    return ctx->model.data ? NGX_OK : NGX_ERROR;
}


/* it may have been disabled, or changed, since it was shown */

static ngx_int_t
ngx_http_claude_relay_socket_key(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_socket_no_t *no)
{
    ncr_key_t                         *key;
    ngx_http_claude_relay_pool_t      *pool;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    pool = ctx->roster->pools.elts;
    key = ctx->key;

    ctx->pool = &pool[rlcf->pool];
    ctx->preferred = NULL;
    ctx->nfirst = 0;
    ctx->bound = 0;
    ctx->why = NULL;
    ctx->authorized = 0;
    ngx_str_null(&ctx->grouped);

    if (ngx_http_claude_relay_auth(ctx->request, ctx) == NGX_OK) {
        return NGX_OK;
    }

    if (ctx->key == NULL) {
        ctx->key = key;
    }

    ctx->error = NCR_CLASS_AUTH;

    no->status = ctx->refused.status ? ctx->refused.status
                                     : NGX_HTTP_UNAUTHORIZED;
    no->message = ctx->why;
    no->close = NCR_WS_POLICY;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_claude_relay_socket_admit(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_socket_no_t *no)
{
    ngx_int_t                           rc;
    ncr_msec_t                          until;
    ngx_uint_t                          admits;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rc = ngx_http_claude_relay_admit(ctx);

    if (rc == NGX_AGAIN) {

        /* over a connection, nobody stands in a queue */

        ngx_http_claude_relay_leave(ctx);

        ctx->error = NCR_CLASS_THROTTLED;
        no->status = NGX_HTTP_TOO_MANY_REQUESTS;
        no->message = "a limit of this relay is reached, try again";
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        no->status = ctx->refused.status;
        no->message = (const char *) ctx->refused.message.data;
        return NGX_DECLINED;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    until = 0;

    /* nobody is waited for: what is used is told, and then known to all */

    if (rmcf->redis) {
        ctx->fleet_mode = ngx_http_claude_relay_fleet_up(rmcf)
                          ? NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS
                          : NGX_HTTP_CLAUDE_RELAY_SHARE_ALONE;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    admits = ngx_http_claude_relay_account_admits_locked(ctx, ctx->account,
                                                         ctx->began, &until);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (admits || until == 0) {
        return NGX_OK;
    }

    ngx_http_claude_relay_unreserve(ctx);

    ctx->error = NCR_CLASS_LIMITED;
    no->status = NGX_HTTP_TOO_MANY_REQUESTS;
    no->message = "a limit of the account of this connection is used up, "
                  "open another one";
    no->close = NCR_WS_GOING_AWAY;

    return NGX_DECLINED;
}


/* as it came, but for the name of its model if that is another one there */

static ngx_int_t
ngx_http_claude_relay_socket_send(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req)
{
    u_char                       *p;
    size_t                        len, head, tail;
    ncr_out_t                     out;
    ngx_int_t                     rc;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;

    len = s->message.last - s->message.pos;

    if (req->model.len == 0
        || (ctx->sent.len == ctx->model.len
            && ngx_memcmp(ctx->sent.data, ctx->model.data, ctx->sent.len)
               == 0))
    {
        return ngx_http_claude_relay_socket_pass(s, NCR_WS_TEXT,
                                                 s->message.pos, len);
    }

    p = ngx_alloc(len + 6 * ctx->sent.len + 2, ctx->request->connection->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    head = (size_t) req->model_start;
    tail = (size_t) req->model_end;

    ncr_out_init(&out, ngx_cpymem(p, s->message.pos, head),
                 6 * ctx->sent.len + 2);
    ncr_out_json_string(&out, ncr(&ctx->sent));

    len = ngx_cpymem(out.last, s->message.pos + tail, len - tail) - p;

    rc = ngx_http_claude_relay_socket_pass(s, NCR_WS_TEXT, p, len);

    ngx_free(p);

    return rc;
}


/* {"type":"error","status","error":{},"stream_id"}: others.md A7 */

static ngx_int_t
ngx_http_claude_relay_socket_error(ngx_http_claude_relay_socket_t *s,
    ncr_request_t *req, ngx_uint_t status, const char *code,
    const char *message)
{
    u_char     *p, buf[NGX_HTTP_CLAUDE_RELAY_SOCKET_ERROR];
    ncr_out_t   out;
    ncr_str_t   text, id;

    ncr_out_init(&out, buf, sizeof(buf));

    ncr_out_text(&out, "{\"type\":\"error\",\"status\":");
    ncr_out_int(&out, status);

    id = ngx_http_claude_relay_socket_member(s, req, NCR_OPENAI_STREAM_ID);

    if (id.len > 2 && id.len <= 258 && id.data[0] == '"') {
        ncr_out_text(&out, ",\"stream_id\":");
        ncr_out_str(&out, &id);
    }

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    if (code) {
        ncr_out_text(&out, ",\"error\":{\"type\":\"invalid_request_error\","
                           "\"code\":\"");
        ncr_out_text(&out, code);
        ncr_out_text(&out, "\",\"param\":null,\"message\":");
        ncr_out_json_string(&out, &text);
        ncr_out_text(&out, "}}");

    } else {

        /* that of HTTP has the same member, and no other */

        p = out.last;
        ncr_openai_error(&out, status, &text);
        *p = ',';
    }

    if (out.overflow) {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_socket_say(s, buf, out.last - buf);
}


void
ngx_http_claude_relay_socket_event(ngx_http_claude_relay_socket_t *s,
    u_char *p, size_t len)
{
    ncr_openai_event_feed((ncr_openai_answer_t *) s->ctx->answer, p, len);
}


ngx_int_t
ngx_http_claude_relay_socket_event_end(ngx_http_claude_relay_socket_t *s)
{
    ncr_answer_t                 *a;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;
    a = ctx->answer;

    ncr_openai_event_end((ncr_openai_answer_t *) a);

    if (a->state != NCR_ANSWER_NOTHING && s->turn && !ctx->has_ttft) {
        ctx->ttft = ngx_current_msec - ctx->started;
        ctx->has_ttft = 1;
    }

    if (a->state != NCR_ANSWER_COMPLETE && a->state != NCR_ANSWER_FAILED) {
        return NGX_OK;
    }

    if (s->turn) {
        return ngx_http_claude_relay_socket_turn_end(s);
    }

    /* of a response that nobody has asked for */

    ngx_http_claude_relay_answer_anew(ctx);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_socket_turn_end(ngx_http_claude_relay_socket_t *s)
{
    ngx_int_t                     rc;
    ngx_str_t                     id;
    ncr_answer_t                 *a;
    ngx_uint_t                    again;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;
    a = ctx->answer;
    again = 0;

    if (a->state == NCR_ANSWER_FAILED) {

        ngx_http_claude_relay_judge(ctx->request, ctx,
                                    NCR_REPLY_STREAM_ERROR);
        ctx->judged = 0;
        ctx->error = (ctx->verdict.class == NCR_CLASS_OK)
                     ? NCR_CLASS_BROKEN : ctx->verdict.class;

        again = ctx->verdict.retry;
        s->status = ngx_http_claude_relay_socket_status(ctx->error);

    } else if (ctx->thread && a->id[0]) {

        /* what goes on from it over HTTP goes to its account */

        id.data = (u_char *) a->id;
        id.len = ngx_strlen(id.data);

        ngx_http_claude_relay_bind_id(ctx, &id);
    }

    s->turn = 0;

    ngx_http_claude_relay_socket_book(s);

    rc = NGX_OK;

    if (again) {

        /* its account rests; the client comes back, to another one */

        (void) ngx_http_claude_relay_failed(ctx, s->status);

        rc = ngx_http_claude_relay_socket_close(s, NCR_WS_GOING_AWAY,
                                   "the account of this connection failed");
    }

    ngx_http_claude_relay_answer_anew(ctx);

    return rc;
}


/* as the answer over HTTP would have had it */

static ngx_uint_t
ngx_http_claude_relay_socket_status(ncr_class_e class)
{
    switch (class) {

    case NCR_CLASS_CLIENT:
        return NGX_HTTP_BAD_REQUEST;

    case NCR_CLASS_LIMITED:
    case NCR_CLASS_MODEL_LIMITED:
    case NCR_CLASS_THROTTLED:
        return NGX_HTTP_TOO_MANY_REQUESTS;

    case NCR_CLASS_OVERLOADED:
        return 529;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


void
ngx_http_claude_relay_socket_turn_cut(ngx_http_claude_relay_socket_t *s)
{
    ngx_connection_t             *c;
    ngx_http_claude_relay_ctx_t  *ctx;

    if (!s->turn) {
        return;
    }

    s->turn = 0;
    ctx = s->ctx;
    c = ctx->request->connection;

    if (s->warm && ctx->answer->state == NCR_ANSWER_NOTHING) {

        /* it was not to make an answer, and did not */

    } else if (ctx->killed || c->error || c->read->eof) {
        ctx->error = NCR_CLASS_ABORTED;

    } else {
        ctx->error = NCR_CLASS_BROKEN;
    }

    ngx_http_claude_relay_socket_book(s);
}


static void
ngx_http_claude_relay_socket_book(ngx_http_claude_relay_socket_t *s)
{
    ngx_pool_t                   *pool;
    ngx_http_request_t           *r;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = s->ctx;
    r = ctx->request;

    pool = r->pool;
    r->pool = s->pool;

    ngx_http_claude_relay_book(ctx);

    r->pool = pool;

    if (ctx->record) {
        ngx_http_claude_relay_audit_end(ctx);
        ctx->record = NULL;
    }
}
