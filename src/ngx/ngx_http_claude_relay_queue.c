
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Requests that wait for a limit, because what is under way may leave room:
 * in order, one queue for each counter, over all workers.  Only the first of
 * a queue looks for room; when it has found it, the next one is woken.
 */


#include "ngx_http_claude_relay_limit.h"


/* waits that are older than this say nothing of now, ms */
#define NGX_HTTP_CLAUDE_RELAY_RECENT   300000

/* with fewer of them nothing can be said */
#define NGX_HTTP_CLAUDE_RELAY_SAMPLES  10

/* seconds: come again, when there was no place, or not in time */
#define NGX_HTTP_CLAUDE_RELAY_SOON     5
#define NGX_HTTP_CLAUDE_RELAY_LATER    30


static ngx_int_t ngx_http_claude_relay_no_place_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claim);
static ngx_msec_t ngx_http_claude_relay_long_wait_locked(
    ngx_http_claude_relay_zone_t *zone);
static time_t ngx_http_claude_relay_come_again_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);
static uint64_t ngx_http_claude_relay_queuer(ngx_http_claude_relay_ctx_t *ctx);


ngx_int_t
ngx_http_claude_relay_queue_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claim)
{
    ngx_http_claude_relay_ticket_t  *old;

    old = ctx->place;

    if (old == NULL) {

        if (ngx_http_claude_relay_no_place_locked(ctx, rmcf, claim)) {
            return NGX_DECLINED;
        }

        ctx->place_from = ngx_current_msec;

    } else if (ngx_http_claude_relay_late(ctx)) {
        ctx->refused.queue = NGX_HTTP_CLAUDE_RELAY_QUEUE_LATE;
        ctx->refused.waiting = (ngx_uint_t) (ngx_current_msec
                                             - ctx->place_from);
        ctx->refused.retry_after =
                              ngx_http_claude_relay_come_again_locked(rmcf);
        return NGX_DECLINED;

    } else if (old->reserves[0].counter == claim->counter) {
        return NGX_AGAIN;
    }

    /* another limit has no room now: behind those who wait for that one */

    ctx->place = ngx_http_claude_relay_place_locked(rmcf, claim->counter,
                                          ngx_http_claude_relay_queuer(ctx));
    if (old) {
        ngx_http_claude_relay_ticket_free_locked(rmcf, old);
    }

    return ctx->place ? NGX_AGAIN : NGX_ERROR;
}


/* a key has so many places with each counter; that is all of its bound */

static ngx_int_t
ngx_http_claude_relay_no_place_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claim)
{
    uint64_t                           owner, places;
    ngx_uint_t                         n;
    ngx_http_claude_relay_ticket_t    *t;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    owner = ngx_http_claude_relay_queuer(ctx);
    places = rlcf->queue;
    n = 0;

    if (claim->limit->unit == NCR_UNIT_CONCURRENCY) {
        places = ngx_max(places, ngx_min(claim->limit->amount, 1000000)
                                 * rlcf->queue_multiplier / 10000);
    }

    for (t = claim->counter->waiters; t; t = t->behind) {
        n += (t->owner == owner);
    }

    ctx->refused.waiting = n;
    ctx->refused.places = (ngx_uint_t) places;

    if (n >= places) {
        ctx->refused.queue = NGX_HTTP_CLAUDE_RELAY_QUEUE_FULL;
        ctx->refused.retry_after =
                              ngx_http_claude_relay_come_again_locked(rmcf);
        return 1;
    }

    if (rlcf->queue_overload && 2 * n > places
        && ngx_http_claude_relay_long_wait_locked(rmcf->zone)
           >= rlcf->queue_wait / 10 * 8)
    {
        ctx->refused.queue = NGX_HTTP_CLAUDE_RELAY_QUEUE_CROWDED;
        ctx->refused.retry_after = NGX_HTTP_CLAUDE_RELAY_LATER;
        return 1;
    }

    return 0;
}


/* nine of ten recent waits were not longer; 0 if there are too few of them */

static ngx_msec_t
ngx_http_claude_relay_long_wait_locked(ngx_http_claude_relay_zone_t *zone)
{
    ngx_msec_t                      w, sorted[NGX_HTTP_CLAUDE_RELAY_WAITS];
    ngx_uint_t                      i, j, n;
    ngx_http_claude_relay_waits_t  *waits;

    waits = &zone->waits;
    n = 0;

    for (i = 0; i < ngx_min(waits->n, NGX_HTTP_CLAUDE_RELAY_WAITS); i++) {

        if (ngx_current_msec - waits->at[i] > NGX_HTTP_CLAUDE_RELAY_RECENT) {
            continue;
        }

        w = waits->wait[i];

        for (j = n++; j && sorted[j - 1] > w; j--) {
            sorted[j] = sorted[j - 1];
        }

        sorted[j] = w;
    }

    return (n < NGX_HTTP_CLAUDE_RELAY_SAMPLES) ? 0 : sorted[(n * 9 - 1) / 10];
}


/* in seconds: as long as most have waited */

static time_t
ngx_http_claude_relay_come_again_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_msec_t  s;

    s = (ngx_http_claude_relay_long_wait_locked(rmcf->zone) + 999) / 1000;

    s = ngx_max(s, NGX_HTTP_CLAUDE_RELAY_SOON);

    return (time_t) ngx_min(s, NGX_HTTP_CLAUDE_RELAY_LATER);
}


static uint64_t
ngx_http_claude_relay_queuer(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->key ? ctx->key->id : 0;
}


ngx_uint_t
ngx_http_claude_relay_behind_locked(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->place->reserves[0].counter->waiters != ctx->place;
}


ngx_msec_t
ngx_http_claude_relay_patience(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_msec_int_t                     left;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    left = (ngx_msec_int_t) (ctx->place_from + rlcf->queue_wait
                             - ngx_current_msec);

    return (left > 0) ? (ngx_msec_t) left : 0;
}


ngx_uint_t
ngx_http_claude_relay_late(ngx_http_claude_relay_ctx_t *ctx)
{
    return ngx_http_claude_relay_patience(ctx) == 0;
}


void
ngx_http_claude_relay_served_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_waits_t  *waits;

    waits = &rmcf->zone->waits;

    i = waits->n++ % NGX_HTTP_CLAUDE_RELAY_WAITS;

    waits->at[i] = ngx_current_msec;
    waits->wait[i] = ngx_current_msec - ctx->place_from;

    ngx_http_claude_relay_ticket_free_locked(rmcf, ctx->place);
    ctx->place = NULL;
}


/* nobody waits for it any more: that says nothing of how long one waits */

void
ngx_http_claude_relay_leave(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->place == NULL) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ticket_free_locked(rmcf, ctx->place);
    ctx->place = NULL;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ring(rmcf->zone);
}


/*
 * ctx->ev fires after timeout at the latest, and whenever a slot came free
 * in any worker.
 */

void
ngx_http_claude_relay_wait(ngx_http_claude_relay_ctx_t *ctx,
    ngx_msec_t timeout)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (!ctx->in_queue) {
        ctx->in_queue = 1;
        ngx_queue_insert_tail(&ngx_http_claude_relay_waiters, &ctx->waiting);
        (void) ngx_atomic_fetch_add(&rmcf->zone->waiting, 1);
        (void) ngx_atomic_fetch_add(
                              &rmcf->zone->rows[ngx_process_slot].waiting, 1);
    }

    ngx_add_timer(&ctx->ev, timeout);
}


void
ngx_http_claude_relay_unwait(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->ev.timer_set) {
        ngx_del_timer(&ctx->ev);
    }

    if (ctx->ev.posted) {
        ngx_delete_posted_event(&ctx->ev);
    }

    if (ctx->in_queue) {
        rmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_claude_relay_module);

        ctx->in_queue = 0;
        ngx_queue_remove(&ctx->waiting);
        (void) ngx_atomic_fetch_add(&rmcf->zone->waiting, -1);
        (void) ngx_atomic_fetch_add(
                             &rmcf->zone->rows[ngx_process_slot].waiting, -1);
    }
}
