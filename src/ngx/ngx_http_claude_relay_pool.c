
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who takes the request: sessions, eligibility, policy and leases, under the
 * zone's lock; and what an attempt taught about its account.
 */


#include "ngx_http_claude_relay_shares.h"
#include "ngx_http_claude_relay_feed.h"
#include "ngx_http_claude_relay_fleet.h"


/* candidates looked at in one pick; more accounts than this in one pool are
 * taken by turns */
#define NGX_HTTP_CLAUDE_RELAY_CANDIDATES  256


typedef struct {
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ncr_msec_t                          now;
    ngx_uint_t                          n;
    ngx_uint_t                          full;       /* eligible, no slot */
    ngx_uint_t                          probed;
    ncr_candidate_t                     list[NGX_HTTP_CLAUDE_RELAY_CANDIDATES];
} ngx_http_claude_relay_choice_t;


static uint32_t ngx_http_claude_relay_random(void);
static void ngx_http_claude_relay_choice(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch);
static ngx_int_t ngx_http_claude_relay_pick_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch);
static ngx_uint_t ngx_http_claude_relay_unknown_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch);
static ngx_int_t ngx_http_claude_relay_propose_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_uint_t unknown);
static ngx_http_claude_relay_account_t *ngx_http_claude_relay_best_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch);
static ngx_int_t ngx_http_claude_relay_pick_this_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a);
static ngx_uint_t ngx_http_claude_relay_free_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_pick_bond_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_bond_t *bond);
static void ngx_http_claude_relay_collect_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch);
static ngx_int_t ngx_http_claude_relay_candidate_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a, ngx_uint_t *guarded);
static void ngx_http_claude_relay_later(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a, ncr_msec_t until, ncr_class_e why);
static ngx_int_t ngx_http_claude_relay_take_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a, ncr_eligible_e e);
static ngx_uint_t ngx_http_claude_relay_allowed(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a);
static ngx_uint_t ngx_http_claude_relay_full(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a);
static ngx_uint_t ngx_http_claude_relay_guarded(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_choice_t *ch,
    ngx_http_claude_relay_account_t *a, ncr_msec_t *reset);
static void ngx_http_claude_relay_failure(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_msec_t now, ngx_http_claude_relay_note_t *note);
static ncr_msec_t ngx_http_claude_relay_soonest_reset(ncr_health_t *h,
    ncr_msec_t now);


/* below every priority that can be written */
#define NGX_HTTP_CLAUDE_RELAY_LAST  10000000

/* above every one, and below what is last of those */
#define NGX_HTTP_CLAUDE_RELAY_FIRST  3000000


ncr_msec_t
ngx_http_claude_relay_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (ncr_msec_t) tp->sec * 1000 + tp->msec;
}


/* all 32 bits: ngx_random() has 31 of them */

static uint32_t
ngx_http_claude_relay_random(void)
{
    return ((uint32_t) ngx_random() << 16) ^ (uint32_t) ngx_random();
}


/*
 * NGX_OK: ctx->account is leased.  NGX_AGAIN: a slot may come free, or a
 * probe may end, wait.  NGX_DECLINED: nobody; ctx->refusal tells why and
 * ctx->soonest when, 0 if time does not help.  NGX_DONE: ctx->unknown is not
 * known here, but perhaps to another node.
 */

ngx_int_t
ngx_http_claude_relay_pick(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_http_claude_relay_choice_t   ch;

    ngx_http_claude_relay_choice(ctx, &ch);

    ngx_shmtx_lock(&ch.rmcf->shpool->mutex);

    rc = ngx_http_claude_relay_pick_locked(ctx, &ch);

    ngx_shmtx_unlock(&ch.rmcf->shpool->mutex);

    if (ch.rmcf->redis) {
        ngx_http_claude_relay_shares_flush(ch.rmcf);
    }

    return rc;
}


static void
ngx_http_claude_relay_choice(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ch->rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    ch->rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    ch->now = ngx_http_claude_relay_now();
    ch->n = 0;
    ch->full = 0;
    ch->probed = 0;

    ctx->soonest = 0;
    ctx->soonest_any = 0;
    ctx->turn_wait = 0;
    ctx->turn_delay = 0;
    ctx->refusal = NCR_CLASS_OK;

    if (ch->rmcf->redis) {
        ngx_http_claude_relay_share_mode(ctx, ch->rmcf);
    }
}


/* no pick: only when somebody may be back, for an answer of our own */

void
ngx_http_claude_relay_outlook(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_class_e                      refusal;
    ngx_http_claude_relay_choice_t   ch;

    refusal = ctx->refusal;

    ngx_http_claude_relay_choice(ctx, &ch);

    ngx_shmtx_lock(&ch.rmcf->shpool->mutex);

    ngx_http_claude_relay_collect_locked(ctx, &ch);

    ngx_shmtx_unlock(&ch.rmcf->shpool->mutex);

    if (refusal != NCR_CLASS_OK) {
        ctx->refusal = refusal;
    }
}


static ngx_int_t
ngx_http_claude_relay_pick_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch)
{
    ngx_int_t                         rc;
    ncr_str_t                         family;
    ngx_uint_t                        unknown;
    ncr_eligible_e                    e;
    ngx_http_claude_relay_bond_t     *bond;
    ngx_http_claude_relay_zone_t     *zone;
    ngx_http_claude_relay_account_t  *a;

    zone = ch->rmcf->zone;
    unknown = ngx_http_claude_relay_unknown_locked(ctx, ch);

    if (unknown & NGX_HTTP_CLAUDE_RELAY_LOOK_ID) {
        return ngx_http_claude_relay_propose_locked(ctx, ch, unknown);
    }

    if (ctx->has_id) {

        bond = ngx_http_claude_relay_bond_locked(zone, ctx->id_key, ch->now);

        if (ctx->foreign
            || (bond && bond->owner
                && bond->owner != ngx_http_claude_relay_owner(ctx)))
        {
            /* another key's: to this one it does not exist */

            if (ctx->route.id.len) {
                ctx->foreign = 1;
                return NGX_DECLINED;
            }

            bond = NULL;
        }

        if (bond) {
            ctx->sticky = NGX_HTTP_CLAUDE_RELAY_STICKY_HIT;

            rc = ngx_http_claude_relay_pick_bond_locked(ctx, ch, bond);

            /*
             * A batch or a file is of no use to any other account.  A thread
             * is: its client hears that it is not found, and replays it.
             */

            if (rc != NGX_DONE
                && (rc != NGX_DECLINED || ctx->route.id.len))
            {
                return rc;
            }
        }
    }

    rc = ctx->bound ? NGX_DECLINED
                    : ngx_http_claude_relay_pick_this_locked(ctx, ch,
                                                             ctx->preferred);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        return rc;
    }

    if (unknown) {
        return ngx_http_claude_relay_propose_locked(ctx, ch, unknown);
    }

    if (ctx->has_session && !ctx->route.id.len) {

        bond = ngx_http_claude_relay_bond_locked(zone, ctx->session, ch->now);

        if (bond) {
            if (ctx->sticky == NGX_HTTP_CLAUDE_RELAY_STICKY_NONE) {
                ctx->sticky = NGX_HTTP_CLAUDE_RELAY_STICKY_HIT;
            }

            rc = ngx_http_claude_relay_pick_bond_locked(ctx, ch, bond);

            if (rc == NGX_OK || rc == NGX_AGAIN) {
                return rc;
            }

            if (ch->rlcf->sticky_strict) {
                ctx->strict = 1;
                return NGX_DECLINED;
            }

            ctx->sticky = NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED;
            ctx->moved = ctx->refusal;

        } else if (ctx->sticky == NGX_HTTP_CLAUDE_RELAY_STICKY_NONE) {
            ctx->sticky = NGX_HTTP_CLAUDE_RELAY_STICKY_MISS;

            /* what other nodes have been told */

            rc = ngx_http_claude_relay_pick_this_locked(ctx, ch,
                                                        ctx->proposed);

            if (rc == NGX_OK || rc == NGX_AGAIN) {
                return rc;
            }
        }
    }

    a = ngx_http_claude_relay_best_locked(ctx, ch);

    if (a) {
        family = ngx_http_claude_relay_family(ctx, a);

        e = ncr_health_eligible(&a->node->health, &family, ch->now, NULL);

        return ngx_http_claude_relay_take_locked(ctx, ch, a, e);
    }

    if (ch->full || ch->probed) {
        ctx->refusal = ch->full ? NCR_CLASS_THROTTLED : ctx->refusal;
        return NGX_AGAIN;
    }

    return NGX_DECLINED;
}


/*
 * What another node may know and this one does not.  A thread's id is not
 * needed where its session has a name: that is known, and belongs to the same
 * account.
 */

static ngx_uint_t
ngx_http_claude_relay_unknown_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch)
{
    ngx_uint_t                     unknown;
    ngx_http_claude_relay_zone_t  *zone;

    if (ch->rmcf->redis == NULL || ctx->looked || ctx->bound) {
        return 0;
    }

    zone = ch->rmcf->zone;
    unknown = 0;

    if (ctx->has_session && !ctx->route.id.len
        && ngx_http_claude_relay_bond_locked(zone, ctx->session, ch->now)
           == NULL)
    {
        unknown |= NGX_HTTP_CLAUDE_RELAY_LOOK_SESSION;
    }

    if (ctx->has_id) {

        if (ngx_http_claude_relay_bond_locked(zone, ctx->id_key, ch->now)) {
            return 0;
        }

        if (unknown || !ctx->has_session || ctx->hashed || ctx->route.id.len) {
            unknown |= NGX_HTTP_CLAUDE_RELAY_LOOK_ID;
        }
    }

    return unknown;
}


/* whom it would be: that is told with the question, and holds if nobody else
 * has said anything */

static ngx_int_t
ngx_http_claude_relay_propose_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_uint_t unknown)
{
    ngx_http_claude_relay_account_t  *a;

    a = NULL;

    if (unknown & NGX_HTTP_CLAUDE_RELAY_LOOK_SESSION) {

        a = ctx->preferred;

        if (a == NULL || !ngx_http_claude_relay_free_locked(ctx, ch, a)) {
            a = ngx_http_claude_relay_best_locked(ctx, ch);
        }
    }

    /* who asks meanwhile shall propose another one */

    if (a) {
        ctx->proposed_was = a->node->used;
        a->node->used = (ncr_msec_t) ++ch->rmcf->zone->turn;
        ctx->proposed_at = a->node->used;
    }

    ctx->proposed = a;
    ctx->unknown = unknown;

    return NGX_DONE;
}


/* by the policy; NULL: nobody */

static ngx_http_claude_relay_account_t *
ngx_http_claude_relay_best_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    ngx_http_claude_relay_collect_locked(ctx, ch);

    if (ch->n == 0) {
        return NULL;
    }

    i = ncr_policy_pick(ch->rlcf->policy, ch->list, ch->n,
                        ch->rmcf->zone->turn, ngx_http_claude_relay_random());

    a = ctx->pool->accounts.elts;

    return a[ch->list[i].account];
}


/* the account of a key that may have others, too, or one that was proposed:
 * at once, or not now */

static ngx_int_t
ngx_http_claude_relay_pick_this_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a)
{
    ncr_str_t       family;
    ncr_eligible_e  e;

    if (a == NULL || !ngx_http_claude_relay_free_locked(ctx, ch, a)) {
        return NGX_DECLINED;
    }

    family = ngx_http_claude_relay_family(ctx, a);

    e = ncr_health_eligible(&a->node->health, &family, ch->now, NULL);

    return ngx_http_claude_relay_take_locked(ctx, ch, a, e);
}


static ngx_uint_t
ngx_http_claude_relay_free_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t  guarded;

    return !ngx_http_claude_relay_marked(ctx->failed, a)
           && ngx_http_claude_relay_candidate_locked(ctx, ch, a, &guarded)
              == NGX_OK
           && !guarded;
}


/*
 * The account a session or an id belongs to.  NGX_DECLINED: it may not or
 * cannot take this request; NGX_DONE: it is not in this configuration.
 */

static ngx_int_t
ngx_http_claude_relay_pick_bond_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_bond_t *bond)
{
    ncr_str_t                          family;
    ngx_uint_t                         i, admits;
    ncr_msec_t                         until, reset;
    ncr_eligible_e                     e;
    ngx_http_claude_relay_token_e      token;
    ngx_http_claude_relay_account_t  **a;

    a = ctx->pool->accounts.elts;

    for (i = 0; i < ctx->pool->accounts.nelts; i++) {
        if (a[i]->node->number == bond->account) {
            break;
        }
    }

    if (i == ctx->pool->accounts.nelts
        || !ngx_http_claude_relay_allowed(ctx, ch, a[i]))
    {
        ctx->refusal = NCR_CLASS_DISABLED;
        return NGX_DONE;
    }

    if (ngx_http_claude_relay_marked(ctx->tried, a[i])
        || ngx_http_claude_relay_marked(ctx->failed, a[i]))
    {
        ctx->refusal = a[i]->node->health.last_error;
        return NGX_DECLINED;
    }

    until = 0;
    family = ngx_http_claude_relay_family(ctx, a[i]);

    e = ncr_health_eligible(&a[i]->node->health, &family, ch->now, &until);

    if (e == NCR_RESTING || e == NCR_RESTING_FAMILY) {
        ctx->refusal = (e == NCR_RESTING) ? a[i]->node->health.why
                                          : NCR_CLASS_MODEL_LIMITED;
        ctx->soonest = until;
        return NGX_DECLINED;
    }

    token = ngx_http_claude_relay_token_locked(a[i], ch->now, &until);

    if (token != NGX_HTTP_CLAUDE_RELAY_TOKEN_OK) {
        ctx->refusal = NCR_CLASS_AUTH;
        ctx->soonest = (token == NGX_HTTP_CLAUDE_RELAY_TOKEN_LATER) ? until
                                                                    : 0;
        return NGX_DECLINED;
    }

    admits = ngx_http_claude_relay_account_admits_locked(ctx, a[i], ch->now,
                                                         &until);

    if (!admits && until) {
        ctx->refusal = NCR_CLASS_LIMITED;
        ctx->soonest = (until == INT64_MAX) ? 0 : until;
        return NGX_DECLINED;
    }

    if (ngx_http_claude_relay_guarded(ctx, ch, a[i], &reset)) {

        /* it may be taken all the same, if there is no other; not if that
         * is strict */

        ctx->refusal = NCR_CLASS_LIMITED;
        ctx->soonest = ch->rmcf->quota_strict ? reset : 0;
        return NGX_DECLINED;
    }

    if (e == NCR_PROBED || !admits
        || ngx_http_claude_relay_full(ctx, ch, a[i])
        || ngx_http_claude_relay_turn_waits_locked(ctx, a[i]))
    {

        ctx->refusal = (e == NCR_PROBED) ? a[i]->node->health.why
                                         : NCR_CLASS_THROTTLED;

        /* a slot of the own account is worth a wait: its cache is there */

        return ctx->waited ? NGX_DECLINED : NGX_AGAIN;
    }

    return ngx_http_claude_relay_take_locked(ctx, ch, a[i], e);
}


static void
ngx_http_claude_relay_collect_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch)
{
    ngx_uint_t                         i, j, n, guarded;
    ncr_candidate_t                   *c;
    ngx_http_claude_relay_node_t      *node;
    ngx_http_claude_relay_account_t  **a;

    a = ctx->pool->accounts.elts;
    n = ctx->pool->accounts.nelts;

    if (n == 0) {

        /* accounts of the store may come and go; that is no matter of models */

        ctx->refusal = NCR_CLASS_DISABLED;
    }

    /* pools larger than the table start at another place each time */

    j = (n > NGX_HTTP_CLAUDE_RELAY_CANDIDATES) ? ch->rmcf->zone->turn % n : 0;

    for (i = 0; i < n && ch->n < NGX_HTTP_CLAUDE_RELAY_CANDIDATES; i++, j++) {

        if (j == n) {
            j = 0;
        }

        if (ngx_http_claude_relay_candidate_locked(ctx, ch, a[j], &guarded)
            != NGX_OK)
        {
            continue;
        }

        node = a[j]->node;

        c = &ch->list[ch->n++];

        c->account = j;
        c->priority = (int32_t) a[j]->priority;

        if (j < ctx->nfirst) {
            c->priority += NGX_HTTP_CLAUDE_RELAY_FIRST;
        }

        /* before those that have failed, after all others */

        if (guarded) {
            c->priority -= NGX_HTTP_CLAUDE_RELAY_LAST;
        }

        if (ngx_http_claude_relay_marked(ctx->failed, a[j])) {
            c->priority -= 2 * NGX_HTTP_CLAUDE_RELAY_LAST;
        }

        c->weight = (uint32_t) a[j]->weight;
        c->inflight = (uint32_t) node->inflight;
        c->max = (uint32_t) a[j]->max_concurrency;
        c->used = node->used;
        c->order = node->picks;
        c->reset = ngx_http_claude_relay_soonest_reset(&node->health, ch->now);
    }
}


/* NGX_OK: it may take the request; else ctx and ch know why not, and when */

static ngx_int_t
ngx_http_claude_relay_candidate_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a,
    ngx_uint_t *guarded)
{
    ncr_str_t                       family;
    ncr_msec_t                      until;
    ngx_uint_t                      admits;
    ncr_eligible_e                  e;
    ngx_http_claude_relay_node_t   *node;
    ngx_http_claude_relay_token_e   token;

    if (!ngx_http_claude_relay_allowed(ctx, ch, a)) {

        if ((!a->enabled || (a->valid_until && a->valid_until <= ch->now))
            && ctx->refusal == NCR_CLASS_OK
            && ngx_http_claude_relay_open_to(ctx, a)
            && ngx_http_claude_relay_slotted(ctx, a->platform)
            && ngx_http_claude_relay_offers(a, ctx->route.op, &ctx->wanted))
        {
            ctx->refusal = NCR_CLASS_DISABLED;
        }

        return NGX_DECLINED;
    }

    node = a->node;
    until = 0;
    family = ngx_http_claude_relay_family(ctx, a);

    e = ncr_health_eligible(&node->health, &family, ch->now, &until);

    if (e == NCR_RESTING || e == NCR_RESTING_FAMILY) {

        ngx_http_claude_relay_later(ctx, a, until,
                                    (e == NCR_RESTING)
                                        ? node->health.why
                                        : NCR_CLASS_MODEL_LIMITED);
        return NGX_DECLINED;
    }

    if (ngx_http_claude_relay_marked(ctx->tried, a)) {
        return NGX_DECLINED;
    }

    if (e == NCR_PROBED) {
        ctx->refusal = node->health.why;
        ch->probed++;
        return NGX_DECLINED;
    }

    token = ngx_http_claude_relay_token_locked(a, ch->now, &until);

    if (token != NGX_HTTP_CLAUDE_RELAY_TOKEN_OK) {

        ngx_http_claude_relay_later(ctx, a,
                               (token == NGX_HTTP_CLAUDE_RELAY_TOKEN_LATER)
                                   ? until : NCR_HEALTH_FOREVER,
                               NCR_CLASS_AUTH);
        return NGX_DECLINED;
    }

    admits = ngx_http_claude_relay_account_admits_locked(ctx, a, ch->now,
                                                         &until);

    if (!admits && until) {
        ngx_http_claude_relay_later(ctx, a, until, NCR_CLASS_LIMITED);
        return NGX_DECLINED;
    }

    if (!admits || ngx_http_claude_relay_full(ctx, ch, a)) {
        ch->full++;
        return NGX_DECLINED;
    }

    if (!a->schedulable) {

        /* what lives here may stay, but nothing new is sent here */

        if (ctx->refusal == NCR_CLASS_OK) {
            ctx->refusal = NCR_CLASS_DISABLED;
        }

        return NGX_DECLINED;
    }

    if (ngx_http_claude_relay_turn_waits_locked(ctx, a)) {
        ch->full++;
        return NGX_DECLINED;
    }

    *guarded = ngx_http_claude_relay_guarded(ctx, ch, a, &until);

    if (*guarded && ch->rmcf->quota_strict) {
        ngx_http_claude_relay_later(ctx, a, until, NCR_CLASS_LIMITED);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* not now, and why; one that was tried already tells only when it is back */

static void
ngx_http_claude_relay_later(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a, ncr_msec_t until, ncr_class_e why)
{
    if (until != NCR_HEALTH_FOREVER
        && (ctx->soonest_any == 0 || until < ctx->soonest_any))
    {
        ctx->soonest_any = until;
    }

    if (ngx_http_claude_relay_marked(ctx->tried, a)) {
        return;
    }

    if (until != NCR_HEALTH_FOREVER
        && (ctx->soonest == 0 || until < ctx->soonest))
    {
        ctx->soonest = until;
    }

    ctx->refusal = why;
}


static ngx_int_t
ngx_http_claude_relay_take_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a,
    ncr_eligible_e e)
{
    if (ch->rmcf->redis
        && ngx_http_claude_relay_account_asks_locked(ctx, a, ch->now)
           != NGX_OK)
    {
        /* the first answer is waited for; for more than that, as for a slot */

        if (!ctx->slots_asked) {
            ctx->slots_asked = 1;
            ctx->slots_until = ngx_current_msec + ch->rmcf->redis->timeout;
        }

        ctx->refusal = NCR_CLASS_THROTTLED;
        return NGX_AGAIN;
    }

    /* Claude Code counts tokens thirty times at once; that takes no slots */

    ctx->lease = ngx_http_claude_relay_lease_locked(ch->rmcf, a->node,
                                     !ncr_op_is(ctx->route.op, NCR_OP_FREE),
                                     e == NCR_ELIGIBLE_PROBE);

    if (ctx->lease == NULL) {

        /* a zone too small for the requests in flight */

        ctx->refusal = NCR_CLASS_THROTTLED;
        return NGX_DECLINED;
    }

    /* a sequence, not a time: several picks share a millisecond */

    a->node->used = (ncr_msec_t) ++ch->rmcf->zone->turn;
    a->node->picks++;
    a->node->health.requests++;

    ctx->account = a;

    ngx_http_claude_relay_map_account(ctx);
    ngx_http_claude_relay_turn_take_locked(ctx, a);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_claude_relay_full(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a)
{
    ncr_share_e  e;

    if (a->max_concurrency == 0 || ncr_op_is(ctx->route.op, NCR_OP_FREE)) {
        return 0;
    }

    if (ch->rmcf->redis == NULL) {
        return a->node->inflight >= (ngx_uint_t) a->max_concurrency;
    }

    e = ngx_http_claude_relay_share_account_locked(ch->rmcf, a,
                                                   ctx->fleet_mode,
                                                   ctx->slots_since);

    return e != NCR_SHARE_OK && e != NCR_SHARE_ASK;
}


static ngx_uint_t
ngx_http_claude_relay_allowed(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t        i;
    ncr_platform_t  **platform;

    if (!ngx_http_claude_relay_serves(a, ctx->route.op, &ctx->wanted)
        || (ctx->route.also
            && !(a->platform->ops & ncr_op_bit(ctx->route.also)))
        || !ngx_http_claude_relay_open_to(ctx, a)
        || !ngx_http_claude_relay_slotted(ctx, a->platform)
        || ((a->platform->named & ncr_op_bit(ctx->route.op))
            && ctx->route.platform.len == 0)
        || (a->valid_until && a->valid_until <= ch->now))
    {
        return 0;
    }

    if (ch->rlcf->platforms == NULL) {
        return 1;
    }

    platform = ch->rlcf->platforms->elts;

    for (i = 0; i < ch->rlcf->platforms->nelts; i++) {
        if (platform[i] == a->platform) {
            return 1;
        }
    }

    return 0;
}


/*
 * A window of this account, or of the model's family, is as good as used up;
 * *reset: until then.
 */

static ngx_uint_t
ngx_http_claude_relay_guarded(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_choice_t *ch, ngx_http_claude_relay_account_t *a,
    ncr_msec_t *reset)
{
    ncr_str_t                      name, family;
    ncr_uint_t                     i;
    ncr_window_t                  *w;
    ngx_http_claude_relay_node_t  *node;

    if (ch->rmcf->quota_guard == 0) {
        return 0;
    }

    node = a->node;
    family = ngx_http_claude_relay_family(ctx, a);

    for (i = 0; i < node->health.nwindows; i++) {

        w = &node->health.windows[i];

        if (w->utilization < ch->rmcf->quota_guard || w->reset <= ch->now) {
            continue;
        }

        name.data = (u_char *) w->name;
        name.len = ngx_strlen(w->name);

        *reset = w->reset;

        if (ncr_str_eq(&name, "5h") || ncr_str_eq(&name, "7d")) {
            return 1;
        }

        /* "7d_opus" is about opus only; so is "opus" where quotas are by
         * model */

        if (ncr_str_prefix(&name, "7d_")) {
            name.data += 3;
            name.len -= 3;
        }

        if (family.len && name.len == family.len
            && ngx_memcmp(name.data, family.data, family.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ncr_msec_t
ngx_http_claude_relay_soonest_reset(ncr_health_t *h, ncr_msec_t now)
{
    ncr_msec_t  reset;
    ncr_uint_t  i;

    reset = 0;

    for (i = 0; i < h->nwindows; i++) {
        if (h->windows[i].reset > now
            && (reset == 0 || h->windows[i].reset < reset))
        {
            reset = h->windows[i].reset;
        }
    }

    return reset;
}


void
ngx_http_claude_relay_release(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->lease == NULL) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_lease_free_locked(rmcf, ctx->lease);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ctx->lease = NULL;

    ngx_http_claude_relay_ring(rmcf->zone);
}


/*
 * The attempt failed: its verdict falls on the account, its slot is free.
 * Returns the end of its rest, 0 if it does not rest.
 */

ncr_msec_t
ngx_http_claude_relay_failed(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status)
{
    ncr_msec_t                          now, until, rest;
    ncr_health_t                       *h;
    ngx_http_claude_relay_note_t        note;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    h = &ctx->account->node->health;
    now = ngx_http_claude_relay_now();

    /* asked again at once, though not by this request */

    if (!ctx->account->protect) {
        ctx->verdict.rest = NCR_REST_NONE;
        ctx->verdict.same = 0;
    }

    ngx_http_claude_relay_failure(ctx, status, now, &note);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (note.at) {
        ngx_http_claude_relay_note_locked(rmcf, &ctx->account->node->failures,
                                          &note);
    }

    /* what an auxiliary request is told marks nobody (C.3, case 9) */

    if (!ctx->background) {
        ncr_health_limits(h, &ctx->limits, now);
    }

    until = ncr_health_verdict(h, &ctx->verdict, status, &ctx->family,
                               ctx->attempt_wall, now,
                               ngx_http_claude_relay_random());

    rest = (h->until > now) ? h->until : 0;

    if (ctx->lease) {
        ngx_http_claude_relay_lease_free_locked(rmcf, ctx->lease);
        ctx->lease = NULL;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (until) {
        ngx_log_error(NGX_LOG_NOTICE, ctx->request->connection->log, 0,
                      "account \"%V\" rests%s: %s, status %ui%s",
                      &ctx->account->name,
                      ctx->verdict.family ? " for one model family" : "",
                      ncr_class_name(ctx->verdict.class), status,
                      (until == NCR_HEALTH_FOREVER)
                          ? ", until an operator acts" : "");

        ngx_http_claude_relay_feed_account(rmcf, ctx->account);
        ngx_http_claude_relay_fleet_urgent(rmcf);
    }

    ngx_http_claude_relay_ring(rmcf->zone);

    /* a rest that others have set, a little longer, will do as well */

    return until ? until : rest;
}


/* what operators are told of it; note->at 0: it was not the account's fault */

static void
ngx_http_claude_relay_failure(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_msec_t now, ngx_http_claude_relay_note_t *note)
{
    ncr_str_t  body;
    ngx_str_t  text;

    ngx_memzero(note, sizeof(ngx_http_claude_relay_note_t));

    if (ctx->verdict.fault == NCR_FAULT_NONE
        || ctx->verdict.fault == NCR_FAULT_CLIENT)
    {
        return;
    }

    note->at = now;
    note->class = ctx->verdict.class;
    note->status = (uint32_t) status;
    note->ms = (uint32_t) (ngx_current_msec - ctx->attempt_at);

    (void) ngx_cpystrn((u_char *) note->id, ctx->request_id.data,
                       ngx_min(sizeof(note->id), ctx->request_id.len + 1));

    ngx_str_null(&text);

    if (status && ctx->answer && ctx->answer->error_message[0]) {
        text.data = (u_char *) ctx->answer->error_message;
        text.len = ngx_strlen(text.data);

    } else if (status && ctx->peek_body && !ctx->encoded) {
        body.data = ctx->peek_body;
        body.len = ctx->npeek_body;
        body = ncr_reply_message(&body);
        text = ngx_http_claude_relay_str(&body);
    }

    ngx_http_claude_relay_note_words(ctx->account, note->text,
                                     sizeof(note->text), &text);
}


/* the answer is committed; the slot is kept until it is through */

void
ngx_http_claude_relay_succeeded(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status)
{
    ncr_msec_t                          now, ttl;
    ngx_uint_t                          turn, bound, moved;
    ncr_health_t                       *h;
    ngx_http_claude_relay_bond_t       *bond;
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_claude_relay_loc_conf_t   *rlcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    h = &ctx->account->node->health;
    now = ngx_http_claude_relay_now();
    ttl = (ncr_msec_t) rlcf->sticky_ttl * 1000;
    bound = 0;
    moved = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ncr_health_limits(h, &ctx->limits, now);

    if (status < 400) {
        ncr_health_success(h, &ctx->family, ctx->attempt_wall, now);

        if (ctx->has_session && !ctx->route.id.len) {

            bond = ngx_http_claude_relay_bond_locked(rmcf->zone, ctx->session,
                                                     now);

            moved = (bond
                     && bond->account != ctx->account->node->number);

            if (bond == NULL || moved
                || now - bond->renewed
                   >= (ncr_msec_t) rlcf->sticky_renew * 1000)
            {
                bond = ngx_http_claude_relay_bond_set_locked(rmcf,
                                     &rmcf->zone->sessions, ctx->session,
                                     ctx->account->node->number, 0, now, ttl);

                bound = 1;

                if (bond && moved) {
                    bond->moved = now;
                    bond->moves++;
                    bond->why = (uint8_t) ctx->moved;
                }
            }
        }
    }

    if (ctx->lease && ctx->lease->probe) {

        /* whatever it answered, it is awake: the probe need not last */

        ctx->lease->probe = 0;
        h->probing = 0;
    }

    turn = ngx_http_claude_relay_turn_end_locked(ctx->lease);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (bound && rmcf->redis) {
        ngx_http_claude_relay_fleet_session(ctx, moved);
    }

    if (turn) {
        ngx_http_claude_relay_ring(rmcf->zone);
    }
}
