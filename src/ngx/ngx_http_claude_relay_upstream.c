
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Attempts.  Each is a run of the stock ngx_http_upstream over a connection
 * that the connector has made ready.  Between two of them, and while a slot
 * or a connection is waited for, the request is parked: a live upstream on
 * an inert descriptor, so that nginx goes on watching the client.  nginx
 * comes back to us through ngx_http_upstream_next(), which asks the peer for
 * a connection; a posted event then starts the next attempt afresh.
 */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_live.h"

#include <sys/eventfd.h>


static void ngx_http_claude_relay_attempt(ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_choose(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_msec_int_t ngx_http_claude_relay_slot_patience(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_claude_relay_worth_waiting(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_connect(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_connected(void *data, ngx_int_t rc);
static void ngx_http_claude_relay_dial_failed(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_token_failed(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_park(ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_launch(ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_mark(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t **marks);
static void ngx_http_claude_relay_give_up(ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_claude_relay_peer_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_claude_relay_peer_park(ngx_peer_connection_t *pc,
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_peer_free(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static void ngx_http_claude_relay_peer_failed(ngx_peer_connection_t *pc,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_reinit(ngx_http_request_t *r);
static void ngx_http_claude_relay_abort(ngx_http_request_t *r);
static void ngx_http_claude_relay_finalize(ngx_http_request_t *r,
    ngx_int_t rc);
static void ngx_http_claude_relay_sum_up(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_parked_handler(ngx_event_t *ev);
static ssize_t ngx_http_claude_relay_parked_recv(ngx_connection_t *c,
    u_char *buf, size_t size);


/* the stock machinery asks it for one thing: who makes peers */

static ngx_http_upstream_srv_conf_t  ngx_http_claude_relay_us = {
    .peer = { .init_upstream = NULL,
              .init = ngx_http_claude_relay_peer_init }
};

static ngx_str_t  ngx_http_claude_relay_parked = ngx_string("parked");
static struct sockaddr  ngx_http_claude_relay_nowhere;


/* for the upstream field of a location's configuration */

ngx_http_upstream_srv_conf_t *
ngx_http_claude_relay_upstream(void)
{
    return &ngx_http_claude_relay_us;
}


void
ngx_http_claude_relay_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    if (ngx_array_init(&ctx->attempts, r->pool, 1,
                       sizeof(ngx_http_claude_relay_attempt_t))
        != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_claude_relay_attempt(ctx);
}


/* picks, connects and launches; or parks until one of these can go on */

static void
ngx_http_claude_relay_attempt(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t  rc;

    for ( ;; ) {

        rc = ngx_http_claude_relay_choose(ctx);

        if (rc == NGX_DECLINED) {
            ngx_http_claude_relay_give_up(ctx);
            return;
        }

        if (rc == NGX_AGAIN) {
            ngx_http_claude_relay_park(ctx);
            return;
        }

        rc = ngx_http_claude_relay_token(ctx);

        if (rc == NGX_AGAIN) {
            ngx_http_claude_relay_park(ctx);
            return;
        }

        ctx->token_until = 0;

        if (rc == NGX_DECLINED) {
            ngx_http_claude_relay_token_failed(ctx);

            if (!ctx->decided) {
                ngx_http_claude_relay_give_up(ctx);
                return;
            }

            continue;
        }

        rc = ngx_http_claude_relay_connect(ctx);

        if (rc == NGX_OK) {
            ngx_http_claude_relay_launch(ctx);
            return;
        }

        if (rc == NGX_AGAIN) {
            ngx_http_claude_relay_park(ctx);
            return;
        }

        ngx_http_claude_relay_dial_failed(ctx);

        if (!ctx->decided) {
            ngx_http_claude_relay_give_up(ctx);
            return;
        }
    }
}


/* NGX_OK: an account is leased; NGX_AGAIN: a timer is set; NGX_DECLINED */

static ngx_int_t
ngx_http_claude_relay_choose(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                          rc;
    ncr_msec_t                         delay;
    ngx_msec_int_t                     left;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    ngx_http_claude_relay_unwait(ctx);

    if (ctx->lease) {
        return NGX_OK;
    }

    if (ctx->look && ngx_http_claude_relay_fleet_lookup(ctx) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    /* of a WebSocket, each turn is admitted */

    if (!ctx->admitted && ctx->route.op != NCR_OP_SOCKET) {

        rc = ngx_http_claude_relay_admit(ctx);

        if (rc == NGX_AGAIN) {
            ngx_http_claude_relay_live_state(ctx,
                                           NGX_HTTP_CLAUDE_RELAY_LIVE_QUEUED);
            left = ctx->place
                   ? (ngx_msec_int_t) ngx_http_claude_relay_patience(ctx)
                   : (ngx_msec_int_t) (ctx->share_until - ngx_current_msec);

            left = ngx_max(left, 0) + 1;

            ngx_http_claude_relay_wait(ctx, (ngx_msec_t)
                           ngx_min(left, NGX_HTTP_CLAUDE_RELAY_SLOT_POLL));
            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            return NGX_DECLINED;
        }

        ngx_http_claude_relay_live_state(ctx,
                                         NGX_HTTP_CLAUDE_RELAY_LIVE_WAITING);
    }

again:

    rc = ngx_http_claude_relay_pick(ctx);

    if (rc == NGX_DONE) {

        if (ngx_http_claude_relay_fleet_lookup(ctx) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        goto again;
    }

    if (rc == NGX_OK) {
        ctx->wait_until = 0;
        ctx->turn_until = 0;
        ctx->slots_until = 0;
        ctx->slots_asked = 0;
        return NGX_OK;
    }

    if (rc == NGX_AGAIN) {

        left = ngx_http_claude_relay_slot_patience(ctx);

        if (ctx->slots_until) {

            /* other nodes are asked, which is no wait for a slot */

            left = (ngx_msec_int_t) (ctx->slots_until - ngx_current_msec);
            left = ngx_max(left, 0) + 1;
        }

        if (left > 0) {
            left = ngx_min(left, NGX_HTTP_CLAUDE_RELAY_SLOT_POLL);

            if (ctx->turn_delay) {
                left = ngx_min(left, (ngx_msec_int_t) ctx->turn_delay);
            }

            ngx_http_claude_relay_wait(ctx, (ngx_msec_t) left);
            return NGX_AGAIN;
        }

        if (!ctx->waited) {

            /* the session's own account had its time: any other one then */

            ctx->waited = 1;
            goto again;
        }

        return NGX_DECLINED;
    }

    if (!ngx_http_claude_relay_worth_waiting(ctx)) {
        return NGX_DECLINED;
    }

    if (ctx->retry_until == 0) {
        ctx->retry_until = ngx_current_msec + rlcf->retry_wait;
    }

    delay = ctx->soonest - ngx_http_claude_relay_now();

    ngx_http_claude_relay_wait(ctx, (ngx_msec_t) ngx_max(delay, 1));

    return NGX_AGAIN;
}


/* how much longer a slot is waited for, or a turn, which takes its time */

static ngx_msec_int_t
ngx_http_claude_relay_slot_patience(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_msec_t                        *until, wait;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (ctx->turn_wait) {
        until = &ctx->turn_until;
        wait = ctx->turn_wait;

    } else {
        rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                            ngx_http_claude_relay_module);
        until = &ctx->wait_until;
        wait = rlcf->sticky_wait;
    }

    if (*until == 0) {
        *until = ngx_current_msec + wait;
    }

    return (ngx_msec_int_t) (*until - ngx_current_msec);
}


/* is somebody back within what is left of claude_relay_retry_wait? */

static ngx_uint_t
ngx_http_claude_relay_worth_waiting(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_msec_t                         left;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (ctx->soonest == 0) {
        return 0;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    left = ctx->retry_until
           ? (ncr_msec_t) (ngx_msec_int_t) (ctx->retry_until
                                            - ngx_current_msec)
           : (ncr_msec_t) rlcf->retry_wait;

    return ctx->soonest - ngx_http_claude_relay_now() <= left;
}


static ngx_int_t
ngx_http_claude_relay_connect(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                          rc;
    ngx_uint_t                         fresh;
    ngx_http_request_t                *r;
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_claude_relay_dial_t      *dial;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    /* a kept connection that was dead is the same attempt still */

    fresh = ctx->stale;
    ctx->stale = 0;

    if (!fresh) {
        ctx->nattempts++;
        ctx->attempt_at = ngx_current_msec;
        ctx->attempt_wall = ngx_http_claude_relay_now();
    }

    ctx->judged = 0;
    ctx->decided = 0;
    ctx->saved_now = 0;
    ctx->headers_done = 0;

    ngx_http_claude_relay_live_account(ctx);

    dial = &ctx->dial;

    dial->target = &ctx->account->target;
    dial->rmcf = ngx_http_get_module_main_conf(r,
                                               ngx_http_claude_relay_module);
    dial->resolver = (clcf->resolver && clcf->resolver->connections.nelts)
                     ? clcf->resolver : NULL;

    /* a dead resolver must leave time for the addresses known at start */
    dial->resolver_timeout = ngx_min(clcf->resolver_timeout,
                                     rlcf->connect_timeout / 2);

    dial->timeout = rlcf->connect_timeout;
    dial->log = r->connection->log;
    dial->handler = ngx_http_claude_relay_connected;
    dial->data = ctx;

    r->connection->log->action = "connecting to upstream";

    rc = ngx_http_claude_relay_dial(dial, fresh);

    if (rc == NGX_OK) {
        ctx->ready = dial->connection;
    }

    return rc;
}


static void
ngx_http_claude_relay_connected(void *data, ngx_int_t rc)
{
    ngx_http_claude_relay_ctx_t  *ctx = data;

    ngx_connection_t  *c;

    c = ctx->request->connection;

    ctx->own_from = ngx_http_claude_relay_clock();

    if (rc == NGX_OK) {
        ctx->ready = ctx->dial.connection;
        ngx_http_claude_relay_launch(ctx);

    } else {
        ngx_http_claude_relay_dial_failed(ctx);

        if (ctx->decided) {
            ngx_http_claude_relay_attempt(ctx);

        } else {
            ngx_http_claude_relay_give_up(ctx);
        }
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_claude_relay_dial_failed(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_limits_reset(&ctx->limits);

    ctx->stale = 0;

    ngx_http_claude_relay_judge(ctx->request, ctx, ctx->dial.failure);

    (void) ngx_http_claude_relay_decide(ctx, 0);
}


/* its tokens are no good, and no refresh has helped: nobody was asked */

static void
ngx_http_claude_relay_token_failed(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_limits_reset(&ctx->limits);

    ctx->stale = 0;
    ctx->saved_now = 0;
    ctx->attempt_at = ngx_current_msec;
    ctx->attempt_wall = ngx_http_claude_relay_now();

    ngx_memzero(&ctx->verdict, sizeof(ncr_verdict_t));

    ctx->verdict.fault = NCR_FAULT_ACCOUNT;
    ctx->verdict.class = NCR_CLASS_AUTH;
    ctx->verdict.rest = NCR_REST_NONE;
    ctx->verdict.retry = 1;
    ctx->judged = 1;

    (void) ngx_http_claude_relay_decide(ctx, 0);
}


/*
 * The verdict is there.  It falls on the account, the trail gets its entry;
 * NGX_OK: another attempt follows, its account may be leased already;
 * NGX_DECLINED: this outcome is the client's.
 */

ngx_int_t
ngx_http_claude_relay_decide(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status)
{
    ngx_int_t                          rc;
    ncr_msec_t                         until;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    ctx->decided = 0;
    ctx->error = ctx->verdict.class;

    if (ctx->verdict.bare && !ctx->bare && ctx->lease) {

        /* the same account, once with less of the client's words */

        ngx_http_claude_relay_trail(ctx, status, ctx->verdict.class);

        ctx->bare = 1;
        ctx->decided = 1;

        return NGX_OK;
    }

    if (!ctx->verdict.retry) {

        /* the client's own: the answer's end will write the trail */

        return NGX_DECLINED;
    }

    ngx_http_claude_relay_trail(ctx, status, ctx->verdict.class);

    if (ctx->verdict.refresh && ctx->lease
        && !ngx_http_claude_relay_marked(ctx->refreshed, ctx->account)
        && ngx_http_claude_relay_token_refused(ctx) == NGX_OK
        && ngx_http_claude_relay_mark(ctx, &ctx->refreshed) == NGX_OK)
    {
        /* the same account, its slot is ours still, once with a new token */

        ctx->decided = 1;

        return NGX_OK;
    }

    until = ngx_http_claude_relay_failed(ctx, status);

    /* one that rests for a moment may be asked again, after all others */

    if (ngx_http_claude_relay_mark(ctx, (ctx->verdict.same && until)
                                        ? &ctx->failed : &ctx->tried)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    if (ctx->nattempts >= rlcf->tries
        || (rlcf->tries_timeout
            && ngx_current_msec - ctx->started >= rlcf->tries_timeout))
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_claude_relay_pick(ctx);

    if (rc == NGX_DECLINED && !ngx_http_claude_relay_worth_waiting(ctx)) {
        return NGX_DECLINED;
    }

    ctx->decided = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_mark(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t **marks)
{
    ngx_uint_t  n, bits;

    bits = 8 * sizeof(ngx_uint_t);

    if (*marks == NULL) {
        n = (ctx->roster->nindex + bits - 1) / bits;

        *marks = ngx_pcalloc(ctx->request->pool, n * sizeof(ngx_uint_t));
        if (*marks == NULL) {
            return NGX_ERROR;
        }
    }

    n = ctx->account->index;
    (*marks)[n / bits] |= (ngx_uint_t) 1 << (n % bits);

    return NGX_OK;
}


void
ngx_http_claude_relay_trail(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_class_e class)
{
    ngx_http_claude_relay_attempt_t  *a;

    ngx_http_claude_relay_metrics_attempt(ctx->account, class);
    ngx_http_claude_relay_live_try(ctx, status, class);

    a = ngx_array_push(&ctx->attempts);

    if (a == NULL) {
        return;
    }

    a->account = ctx->account->name;
    a->status = status;
    a->class = class;
    a->ms = ngx_current_msec - ctx->attempt_at;
}


/* an upstream without a peer: nginx watches the client, and we may wait */

static void
ngx_http_claude_relay_park(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_own_time(ctx);

    if (ctx->parked) {
        return;
    }

    ctx->ready = NULL;
    ngx_http_claude_relay_launch(ctx);
}


static void
ngx_http_claude_relay_launch(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_request_t                *r;
    ngx_http_upstream_t               *u;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (ctx->beat.timer_set) {
        ngx_del_timer(&ctx->beat);
    }

    /* closes the upstream of the last attempt, or the parked one */

    ctx->relaunching = 1;

    if (ngx_http_upstream_create(r) != NGX_OK) {
        ctx->relaunching = 0;
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx->relaunching = 0;
    ctx->parked = 0;

    u = r->upstream;

    ngx_str_set(&u->schema, "relay://");
    u->output.tag = (ngx_buf_tag_t) &ngx_http_claude_relay_module;

    u->conf = (ctx->route.op == NCR_OP_RESPONSES) ? &rlcf->wide
                                                  : &rlcf->upstream;
    u->buffering = 0;

    u->create_request = ngx_http_claude_relay_create_request;
    u->reinit_request = ngx_http_claude_relay_reinit;
    u->process_header = ngx_http_claude_relay_process;
    ctx->step = ngx_http_claude_relay_process_status;
    u->abort_request = ngx_http_claude_relay_abort;
    u->finalize_request = ngx_http_claude_relay_finalize;

    u->input_filter_init = ngx_http_claude_relay_filter_start;
    u->input_filter = ngx_http_claude_relay_filter;
    u->input_filter_ctx = r;

    u->accel = 1;

    r->state = 0;
    ngx_memzero(&ctx->status, sizeof(ngx_http_status_t));
    ctx->nheaders = 0;
    ctx->headers_done = 0;
    ctx->peek_end = 0;
    ctx->npeek_body = 0;

    ngx_http_claude_relay_own_time(ctx);

    ngx_http_upstream_init(r);
}


/* the relay's own part ends here, or begins to wait for somebody */

void
ngx_http_claude_relay_own_time(ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->own_from) {
        ctx->own_ns += ngx_http_claude_relay_clock() - ctx->own_from;
        ctx->own_from = 0;
    }
}


/* a posted event or a timer: what was waited for may be there */

void
ngx_http_claude_relay_resume(ngx_event_t *ev)
{
    ngx_uint_t                    status;
    ngx_connection_t             *c;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->request->connection;

    ctx->own_from = ngx_http_claude_relay_clock();

    if (ctx->settled) {
        ngx_http_claude_relay_give_up(ctx);

    } else if (ctx->judged && !ctx->decided) {

        status = ctx->saved_now ? ctx->saved.status : 0;

        if (ngx_http_claude_relay_decide(ctx, status) == NGX_OK) {
            ngx_http_claude_relay_attempt(ctx);

        } else {
            ngx_http_claude_relay_give_up(ctx);
        }

    } else {
        ngx_http_claude_relay_attempt(ctx);
    }

    ngx_http_run_posted_requests(c);
}


/*
 * No account is left, or none is allowed any more: the best answer that an
 * upstream gave, else one of our own.
 */

static void
ngx_http_claude_relay_give_up(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    u = r->upstream;

    ngx_http_claude_relay_forget(ctx);
    ngx_http_claude_relay_unreserve(ctx);

    if (u && u->cleanup) {
        ctx->relaunching = 1;
        r->main->count++;
        (*u->cleanup)(r);
        ctx->relaunching = 0;
        ctx->parked = 0;
    }

    ctx->finished = 1;

    if (ctx->route.op == NCR_OP_SOCKET && !ctx->killed) {

        /* over HTTP it hears what is the matter, if that fails as well */

        rc = ngx_http_claude_relay_socket_refused(r, ctx);

    } else if (ctx->saved.set && !ctx->saved.cut && !ctx->saved.sanitize
               && !ctx->killed)
    {
        rc = ngx_http_claude_relay_send_saved(r, ctx);

    } else {
        rc = ngx_http_claude_relay_refusal(r, ctx);
    }

    ngx_http_finalize_request(r, rc);
}


/*
 * An operator has had enough of it; called from the event loop.  No account
 * is blamed: its lease goes back without a verdict.
 */

void
ngx_http_claude_relay_kill(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    c = r->connection;

    ctx->killed = 1;

    if (!ctx->finished && !ctx->committed) {

        ctx->error = NCR_CLASS_ABORTED;

        if (ctx->lease) {
            ngx_http_claude_relay_trail(ctx, 0, NCR_CLASS_ABORTED);
        }

        ngx_http_claude_relay_give_up(ctx);
        ngx_http_run_posted_requests(c);
        return;
    }

    rc = NGX_ERROR;

    if (!ctx->finished) {

        if (!ctx->completed) {
            ctx->error = NCR_CLASS_ABORTED;
        }

        ngx_http_claude_relay_complete(ctx);

        /* an event in the dialect, if one fits here; else the answer is cut:
         * never a clean end */

        if (r->headers_out.content_length_n == -1
            && ngx_http_claude_relay_broken(r, ctx,
                                            NGX_HTTP_SERVICE_UNAVAILABLE)
               == NGX_OK)
        {
            rc = NGX_OK;
        }

        ctx->finished = 1;
        ngx_http_claude_relay_forget(ctx);

        u = r->upstream;

        if (u->cleanup) {
            r->main->count++;
            (*u->cleanup)(r);
        }
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_claude_relay_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    u->peer.data = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    u->peer.get = ngx_http_claude_relay_peer_get;
    u->peer.free = ngx_http_claude_relay_peer_free;
    u->peer.tries = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_claude_relay_ctx_t *ctx = data;

    if (ctx->ready == NULL) {
        return ngx_http_claude_relay_peer_park(pc, ctx);
    }

    pc->connection = ctx->ready;
    ctx->ready = NULL;
    ctx->attempt_account = ctx->account;

    ngx_http_claude_relay_live_state(ctx, NGX_HTTP_CLAUDE_RELAY_LIVE_SENT);

    pc->cached = ctx->dial.cached;
    pc->sockaddr = &ngx_http_claude_relay_nowhere;
    pc->socklen = sizeof(struct sockaddr);
    pc->name = &ctx->account->name;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_claude_relay_peer_park(ngx_peer_connection_t *pc,
    ngx_http_claude_relay_ctx_t *ctx)
{
    int                fd;
    ngx_connection_t  *c;

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, pc->log, ngx_errno, "eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, pc->log);

    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->log = pc->log;
    c->read->log = pc->log;
    c->write->log = pc->log;
    c->read->handler = ngx_http_claude_relay_parked_handler;
    c->write->handler = ngx_http_claude_relay_parked_handler;
    c->recv = ngx_http_claude_relay_parked_recv;
    c->send = ngx_http_claude_relay_parked_recv;

    pc->connection = c;
    pc->cached = 0;
    pc->sockaddr = &ngx_http_claude_relay_nowhere;
    pc->socklen = sizeof(struct sockaddr);
    pc->name = &ngx_http_claude_relay_parked;

    if (!ctx->parked) {
        ctx->parked = 1;

        /* we came by ngx_http_upstream_next(): the attempt has failed */

        if (ctx->judged || ctx->stale) {
            ngx_post_event(&ctx->ev, &ngx_posted_events);
        }
    }

    return NGX_AGAIN;
}


/* FAILED from ngx_http_upstream_next(), 0 when the upstream is finalized */

static void
ngx_http_claude_relay_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_claude_relay_ctx_t *ctx = data;

    ngx_http_upstream_t                *u;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->parked || pc->connection == NULL) {
        return;
    }

    if (ctx->beat.timer_set) {
        ngx_del_timer(&ctx->beat);
    }

    u = ctx->request->upstream;

    if (state & NGX_PEER_FAILED) {

        if (!ctx->judged) {
            ngx_http_claude_relay_peer_failed(pc, ctx);
        }

        if (!ctx->peek_end) {
            return;
        }
    }

    if (!u->keepalive || !u->request_body_sent) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ngx_http_claude_relay_keep(rmcf, &ctx->attempt_account->target,
                                   pc->connection)
        == NGX_OK)
    {
        pc->connection = NULL;
    }
}


/* a failure that nginx saw first: reset, close, time-out, too big a header */

static void
ngx_http_claude_relay_peer_failed(ngx_peer_connection_t *pc,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_reply_kind_e      kind;
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    u = r->upstream;
    c = pc->connection;

    ctx->saved_now = 0;

    if (ctx->headers_done && u->headers_in.status_n >= 300) {

        /* an error whose body ended with the connection, or never did */

        if (!u->headers_in.chunked && u->headers_in.content_length_n == -1
            && c->read->eof)
        {
            ctx->peek_end = 1;
        }

        ngx_http_claude_relay_judge(r, ctx, NCR_REPLY_HTTP);
        ngx_http_claude_relay_save(r, ctx);
        ctx->saved_now = 1;
        return;
    }

    if (pc->cached && u->buffer.last == u->buffer.start
        && !c->read->timedout && !ctx->stale)
    {
        /*
         * A kept connection that the upstream had closed meanwhile: nobody's
         * fault, and the request was not read.
         */

        ctx->stale = 1;
        return;
    }

    if (c->read->timedout || c->write->timedout) {
        kind = NCR_REPLY_TIMEOUT;

    } else if (u->buffer.start && u->buffer.last == u->buffer.end) {
        kind = NCR_REPLY_GARBAGE;

    } else {
        kind = NCR_REPLY_RESET;
    }

    ngx_http_claude_relay_judge(r, ctx, kind);
}


static ngx_int_t
ngx_http_claude_relay_reinit(ngx_http_request_t *r)
{
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    ctx->step = ngx_http_claude_relay_process_status;
    r->state = 0;

    return NGX_OK;
}


static void
ngx_http_claude_relay_abort(ngx_http_request_t *r)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "claude relay abort: called by nobody");
}


/* NGX_DONE comes with each new attempt, and when a request is terminated */

static void
ngx_http_claude_relay_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_uint_t                    broken;
    ngx_http_claude_relay_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);

    if (ctx->relaunching || ctx->finished) {
        return;
    }

    broken = 0;

    ctx->finished = 1;

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || (rc == NGX_DONE && !ctx->committed)
        || r->connection->error)
    {
        ctx->error = NCR_CLASS_ABORTED;

    } else if (ctx->committed && rc != 0 && rc != NGX_DONE) {
        ctx->error = NCR_CLASS_BROKEN;
        broken = 1;
    }

    if (ctx->committed && rc == 0) {
        ngx_http_claude_relay_translate_late(r, ctx);
    }

    if (ctx->committed) {
        ngx_http_claude_relay_complete(ctx);

    } else {
        ngx_http_claude_relay_sum_up(r, ctx);
    }

    if (broken) {
        (void) ngx_http_claude_relay_broken(r, ctx, rc);
    }

    ngx_http_claude_relay_forget(ctx);
}


static void
ngx_http_claude_relay_sum_up(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->committed) {
        ngx_http_claude_relay_finish(r, ctx);
    }

    if (ctx->account && (ctx->committed || ctx->lease)
        && !(ctx->judged && ctx->verdict.retry))
    {
        ngx_http_claude_relay_trail(ctx,
                        ctx->committed ? r->upstream->headers_in.status_n : 0,
                        ctx->error);
    }
}


/*
 * All of the answer is here, and about to go out, or nothing more will come.
 * It is booked now: a client that has it may be back with its next request at
 * once, and must find what this one had reserved, and what it has used.
 */

void
ngx_http_claude_relay_complete(ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->completed) {
        return;
    }

    ctx->completed = 1;

    ngx_http_claude_relay_sum_up(ctx->request, ctx);
    ngx_http_claude_relay_book(ctx);
}


static void
ngx_http_claude_relay_parked_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0, "claude relay parked");
}


static ssize_t
ngx_http_claude_relay_parked_recv(ngx_connection_t *c, u_char *buf,
    size_t size)
{
    return NGX_AGAIN;
}
