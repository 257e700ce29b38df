
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Shares of limits and slots in the zone.  A worker may die between any two
 * stores: a share is first its owner's, and found by others afterwards; table
 * and lists can be made anew of the owners.  What is asked is put together
 * under the lock, and goes out without it, as one command.
 */


#include "ngx_http_claude_relay_shares.h"


typedef struct {
    uint64_t                           id;
    uint64_t                           seq;
} ngx_http_claude_relay_asked_t;


/* what is on its way; kept for the next one */

typedef struct ngx_http_claude_relay_taking_s  ngx_http_claude_relay_taking_t;

struct ngx_http_claude_relay_taking_s {
    ngx_http_claude_relay_ask_t        ask;
    ngx_http_claude_relay_taking_t    *next;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_uint_t                         n;
    ngx_http_claude_relay_asked_t  asked[NGX_HTTP_CLAUDE_RELAY_SHARES_MAX];
};


static ngx_http_claude_relay_share_t **ngx_http_claude_relay_share_bucket(
    ngx_http_claude_relay_fleet_t *fleet, uint64_t id);
static ngx_http_claude_relay_share_t *ngx_http_claude_relay_share_get_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t **place, uint64_t id, ngx_uint_t slots,
    ngx_http_claude_relay_counter_t *c, ngx_http_claude_relay_node_t *node);
static ngx_http_claude_relay_share_t *ngx_http_claude_relay_share_whose_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t id);
static void ngx_http_claude_relay_share_link_locked(
    ngx_http_claude_relay_fleet_t *fleet, ngx_http_claude_relay_share_t *sh);
static void ngx_http_claude_relay_share_unlist_locked(
    ngx_http_claude_relay_share_t **list, ngx_http_claude_relay_share_t *sh);
static void ngx_http_claude_relay_shares_send(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_taking_t *t);
static ngx_int_t ngx_http_claude_relay_shares_room(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_shares_answer(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_shares_read(redisReply *reply,
    ngx_uint_t i, ncr_share_answer_t *a);
static ngx_uint_t ngx_http_claude_relay_shares_apply_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_asked_t *asked, ncr_share_answer_t *a);
static void ngx_http_claude_relay_shares_failed(
    ngx_http_claude_relay_taking_t *t);
static ngx_uint_t ngx_http_claude_relay_share_zeroed_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter,
    uint64_t was);


/* put together under the lock, of this worker */

static ncr_share_ask_t   ngx_http_claude_relay_asks
                                          [NGX_HTTP_CLAUDE_RELAY_SHARES_MAX];
static ngx_uint_t        ngx_http_claude_relay_nasks;

static ngx_http_claude_relay_taking_t  *ngx_http_claude_relay_takings;

/* texts of a command */
static u_char           *ngx_http_claude_relay_take_keys;
static u_char           *ngx_http_claude_relay_take_texts;
static ngx_str_t         ngx_http_claude_relay_take_args
                                     [2 * NGX_HTTP_CLAUDE_RELAY_SHARES_MAX + 5];


ngx_int_t
ngx_http_claude_relay_shares_zone(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_t *fleet)
{
    ngx_uint_t  n;

    n = rmcf->zone->counters_mask + 1;

    fleet->shares = ngx_slab_calloc(rmcf->shpool, n * sizeof(void *));

    if (fleet->shares == NULL) {
        return NGX_ERROR;
    }

    fleet->shares_mask = n - 1;

    return NGX_OK;
}


static ngx_http_claude_relay_share_t **
ngx_http_claude_relay_share_bucket(ngx_http_claude_relay_fleet_t *fleet,
    uint64_t id)
{
    return &fleet->shares[id & fleet->shares_mask];
}


ngx_http_claude_relay_share_t *
ngx_http_claude_relay_share_find_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t id)
{
    ngx_http_claude_relay_share_t  *sh;

    sh = *ngx_http_claude_relay_share_bucket(rmcf->zone->fleet, id);

    while (sh && sh->share.id != id) {
        sh = sh->next;
    }

    return sh;
}


/* a key that got another name has another limit in the fleet */

static ngx_http_claude_relay_share_t *
ngx_http_claude_relay_share_get_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t **place, uint64_t id, ngx_uint_t slots,
    ngx_http_claude_relay_counter_t *c, ngx_http_claude_relay_node_t *node)
{
    ngx_http_claude_relay_share_t  *sh;

    sh = *place;

    if (sh && sh->share.id == id) {
        return sh;
    }

    if (sh) {
        ngx_http_claude_relay_share_free_locked(rmcf, place);
    }

    sh = ngx_http_claude_relay_alloc_locked(rmcf,
                                        sizeof(ngx_http_claude_relay_share_t),
                                        NGX_MAX_UINT32_VALUE);
    if (sh == NULL) {
        return NULL;
    }

    ncr_share_init(&sh->share, id, slots);

    sh->counter = c;
    sh->node = node;
    sh->want = (c == NULL);

    ngx_memory_barrier();

    *place = sh;

    ngx_http_claude_relay_share_link_locked(rmcf->zone->fleet, sh);

    return sh;
}


static void
ngx_http_claude_relay_share_link_locked(ngx_http_claude_relay_fleet_t *fleet,
    ngx_http_claude_relay_share_t *sh)
{
    ngx_http_claude_relay_share_t  **bucket;

    bucket = ngx_http_claude_relay_share_bucket(fleet, sh->share.id);

    sh->next = *bucket;

    ngx_memory_barrier();

    *bucket = sh;
}


ngx_http_claude_relay_share_t *
ngx_http_claude_relay_share_limit_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *c, uint64_t id, ngx_uint_t slots,
    ngx_http_claude_relay_node_t *node)
{
    ngx_http_claude_relay_share_t  *sh;

    sh = ngx_http_claude_relay_share_get_locked(rmcf, &c->share, id, slots, c,
                                                node);
    if (sh) {
        sh->node = node;
    }

    return sh;
}


/* a limit of the same name has an identity, slots have none */

ngx_http_claude_relay_share_t *
ngx_http_claude_relay_share_slots_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    uint64_t  id;

    /* its name is the node's, and that does not change */

    if (a->node->share) {
        return a->node->share;
    }

    id = ncr_share_id(NCR_SCOPE_ACCOUNT, ncr(&a->name), 0);

    return ngx_http_claude_relay_share_get_locked(rmcf, &a->node->share, id, 1,
                                                  NULL, a->node);
}


void
ngx_http_claude_relay_share_list_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh)
{
    ngx_http_claude_relay_fleet_t  *fleet;

    if (sh->listed) {
        return;
    }

    fleet = rmcf->zone->fleet;

    sh->listed = 1;
    sh->behind = fleet->dirty;

    ngx_memory_barrier();

    fleet->dirty = sh;
}


void
ngx_http_claude_relay_share_counter_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh,
    ncr_counter_t *counter)
{
    if (sh->counter) {
        *counter = sh->counter->counter;

    } else {
        ngx_memzero(counter, sizeof(ncr_counter_t));
        counter->end = INT64_MAX;
    }

    if (sh->node) {

        /* requests under way are taken to be as large as the last one */

        counter->reserved = ngx_min(sh->want, NCR_SHARE_MOST / 65536)
                            * sh->node->inflight;
    }

    ncr_share_sync(&sh->share, counter);
}


ncr_share_e
ngx_http_claude_relay_share_judge_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh,
    uint64_t amount, uint64_t want, ngx_http_claude_relay_share_mode_e mode,
    ngx_msec_t since)
{
    ncr_share_e     e;
    ncr_msec_t      tick;
    ncr_counter_t   counter;

    tick = (ncr_msec_t) ngx_current_msec;

    if (sh->node) {
        sh->want = want;
    }

    sh->glance = 0;
    sh->share.amount = amount;

    ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);
    ngx_http_claude_relay_share_list_locked(rmcf, sh);

    if (mode != NGX_HTTP_CLAUDE_RELAY_SHARE_ALONE
        && tick >= sh->share.failed)
    {
        e = ncr_share_judge(&sh->share, &counter, want, tick);

        if (e != NCR_SHARE_ASK || mode == NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS) {
            return e;
        }

        if (mode == NGX_HTTP_CLAUDE_RELAY_SHARE_ASKS) {

            if (ngx_http_claude_relay_share_ask_locked(rmcf, sh, &counter,
                                                       want)
                == NGX_OK)
            {
                (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->stats.grants,
                                            1);
            }

            return NCR_SHARE_ASK;
        }

        /* others have all of it, by what was heard just now, or last */

        if (sh->share.answered
            && ((mode == NGX_HTTP_CLAUDE_RELAY_SHARE_LATE
                 && sh->share.answered >= (ncr_msec_t) since)
                || sh->share.cap + sh->share.others_cap >= amount))
        {
            return NCR_SHARE_SHORT;
        }
    }

    sh->share.busy = tick;

    return ncr_share_alone(&sh->share, &counter, want,
                           rmcf->zone->fleet->nodes);
}


void
ngx_http_claude_relay_share_mode(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ctx->fleet_mode = NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS;

    if (!ngx_http_claude_relay_fleet_up(rmcf)) {
        ctx->fleet_mode = NGX_HTTP_CLAUDE_RELAY_SHARE_ALONE;
        ctx->slots_until = 0;

    } else if (ctx->slots_until
               && (ngx_msec_int_t) (ctx->slots_until - ngx_current_msec) <= 0)
    {
        /* this time, nobody is asked */

        ctx->fleet_mode = NGX_HTTP_CLAUDE_RELAY_SHARE_LATE;
        ctx->slots_since = ctx->slots_until - rmcf->redis->timeout;
        ctx->slots_until = 0;
    }
}


ncr_share_e
ngx_http_claude_relay_share_account_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a,
    ngx_http_claude_relay_share_mode_e mode, ngx_msec_t since)
{
    ngx_http_claude_relay_share_t  *sh;

    if (a->node->inflight >= (ngx_uint_t) a->max_concurrency) {
        return NCR_SHARE_SHORT;
    }

    sh = ngx_http_claude_relay_share_slots_locked(rmcf, a);

    if (sh == NULL) {
        return NCR_SHARE_OK;
    }

    /* there may be many of them to be looked at */

    if (mode == NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS
        && a->node->inflight < sh->share.cap)
    {
        return NCR_SHARE_OK;
    }

    return ngx_http_claude_relay_share_judge_locked(rmcf, sh,
                                                    a->max_concurrency, 1,
                                                    mode, since);
}


ngx_int_t
ngx_http_claude_relay_share_ask_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh,
    ncr_counter_t *counter, uint64_t want)
{
    uint64_t                        seq;
    ncr_msec_t                      tick, until;
    ngx_http_claude_relay_fleet_t  *fleet;

    tick = (ncr_msec_t) ngx_current_msec;

    if (ncr_share_asked(&sh->share, tick)
        || ngx_http_claude_relay_nasks == NGX_HTTP_CLAUDE_RELAY_SHARES_MAX)
    {
        return NGX_BUSY;
    }

    /* the clock, as a node's first one must follow those of its last life */

    fleet = rmcf->zone->fleet;

    seq = ngx_max(fleet->seq + 1, (uint64_t) ngx_http_claude_relay_now());
    fleet->seq = seq;

    /* whoever is killed meanwhile keeps nobody from asking for longer */

    until = tick + (ncr_msec_t) rmcf->redis->command_timeout + 100;

    ncr_share_ask(&sh->share, counter, want, seq, tick, until,
                  &ngx_http_claude_relay_asks[ngx_http_claude_relay_nasks++]);

    return NGX_OK;
}


/* the share of a limit that perhaps no request has asked for here */

static ngx_http_claude_relay_share_t *
ngx_http_claude_relay_share_whose_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t id)
{
    ncr_limit_t                      *limit;
    ncr_msec_t                        now;
    ngx_uint_t                        made, over;
    ncr_counter_t                     counter;
    ngx_http_claude_relay_share_t    *sh;
    ngx_http_claude_relay_counter_t  *c;

    limit = whose->limit;
    now = ngx_http_claude_relay_now();
    made = 0;

    c = ngx_http_claude_relay_counter_get_locked(rmcf, id, &made);

    if (c == NULL) {
        return NULL;
    }

    over = (c->counter.start == 0 || c->counter.end <= now);

    ngx_http_claude_relay_counter_roll_locked(rmcf, &c->counter, limit, now);

    sh = ngx_http_claude_relay_share_limit_locked(rmcf, c,
                                     ncr_share_id(whose->scope, &whose->owner,
                                                  limit->identity),
                                     limit->unit == NCR_UNIT_CONCURRENCY,
                                     c->share ? c->share->node : NULL);
    if (sh) {

        /* a window of a length of its own begins with its first use */

        sh->glance = sh->glance || (over && limit->span == NCR_SPAN_FREE);
        sh->share.amount = limit->amount;

        ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);
        ngx_http_claude_relay_share_list_locked(rmcf, sh);
    }

    return sh;
}


void
ngx_http_claude_relay_share_look_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t owner)
{
    ngx_http_claude_relay_share_t  *sh;

    if (rmcf->redis == NULL) {
        return;
    }

    sh = ngx_http_claude_relay_share_whose_locked(rmcf, whose,
                       ncr_limit_counter(whose->scope, owner, whose->limit));
    if (sh) {
        sh->share.looked = (ncr_msec_t) ngx_current_msec;
    }
}


void
ngx_http_claude_relay_share_reset_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t id)
{
    ncr_share_t                    *s;
    ngx_http_claude_relay_share_t  *sh;

    if (whose->limit->unit == NCR_UNIT_CONCURRENCY) {
        return;
    }

    sh = ngx_http_claude_relay_share_whose_locked(rmcf, whose, id);

    if (sh == NULL) {
        return;
    }

    s = &sh->share;

    s->base = 0;
    s->cap = 0;
    s->others_cap -= ngx_min(s->others_cap, s->others_used);
    s->others_used = 0;
    s->denied = 0;
    s->reset = 1;
}


/* slots have no window that would be over; while nobody hears of it, it is
 * not worth the room */

ngx_uint_t
ngx_http_claude_relay_share_held_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh)
{
    return sh && sh->share.slots && sh->share.cap && rmcf->redis
           && rmcf->zone->fleet->state == NGX_HTTP_CLAUDE_RELAY_REDIS_UP;
}


static void
ngx_http_claude_relay_share_unlist_locked(
    ngx_http_claude_relay_share_t **list, ngx_http_claude_relay_share_t *sh)
{
    while (*list) {

        if (*list == sh) {
            *list = sh->behind;
            return;
        }

        list = &(*list)->behind;
    }
}


void
ngx_http_claude_relay_share_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t **place)
{
    ngx_http_claude_relay_fleet_t   *fleet;
    ngx_http_claude_relay_share_t   *sh, **p;

    sh = *place;

    if (sh == NULL) {
        return;
    }

    fleet = rmcf->zone->fleet;

    p = ngx_http_claude_relay_share_bucket(fleet, sh->share.id);

    while (*p) {

        if (*p == sh) {
            *p = sh->next;
            break;
        }

        p = &(*p)->next;
    }

    if (sh->listed) {
        ngx_http_claude_relay_share_unlist_locked(&fleet->dirty, sh);
        ngx_http_claude_relay_share_unlist_locked(&fleet->later, sh);
    }

    ngx_memory_barrier();

    *place = NULL;

    ngx_slab_free_locked(rmcf->shpool, sh);
}


/* limits of the account may outlive it */

void
ngx_http_claude_relay_share_node_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_share_t   *sh;
    ngx_http_claude_relay_fleet_t   *fleet;

    fleet = rmcf->zone->fleet;

    if (fleet == NULL) {
        return;
    }

    ngx_http_claude_relay_share_free_locked(rmcf, &node->share);

    for (i = 0; i <= fleet->shares_mask; i++) {
        for (sh = fleet->shares[i]; sh; sh = sh->next) {
            if (sh->node == node) {
                sh->node = NULL;
            }
        }
    }
}


void
ngx_http_claude_relay_shares_recount_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                        i;
    ngx_queue_t                      *q;
    ngx_http_claude_relay_node_t     *node;
    ngx_http_claude_relay_zone_t     *zone;
    ngx_http_claude_relay_fleet_t    *fleet;
    ngx_http_claude_relay_counter_t  *c;

    zone = rmcf->zone;
    fleet = zone->fleet;

    if (fleet == NULL) {
        return;
    }

    fleet->dirty = NULL;
    fleet->later = NULL;

    ngx_memzero(fleet->shares, (fleet->shares_mask + 1) * sizeof(void *));

    for (i = 0; i <= zone->counters_mask; i++) {
        for (c = zone->counters[i]; c; c = c->next) {
            if (c->share) {
                c->share->listed = 0;
                ngx_http_claude_relay_share_link_locked(fleet, c->share);
                ngx_http_claude_relay_share_list_locked(rmcf, c->share);
            }
        }
    }

    for (q = ngx_queue_head(&zone->nodes);
         q != ngx_queue_sentinel(&zone->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_claude_relay_node_t, queue);

        if (node->share) {
            node->share->listed = 0;
            ngx_http_claude_relay_share_link_locked(fleet, node->share);
            ngx_http_claude_relay_share_list_locked(rmcf, node->share);
        }
    }
}


void
ngx_http_claude_relay_share_shown_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *c, ncr_counter_t *counter)
{
    if (c == NULL || c->share == NULL || rmcf->redis == NULL) {
        return;
    }

    ncr_share_shown(&c->share->share, counter);

    c->share->share.looked = (ncr_msec_t) ngx_current_msec;

    ngx_http_claude_relay_share_list_locked(rmcf, c->share);
}


void
ngx_http_claude_relay_shares_flush(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_taking_t  *t;

    if (ngx_http_claude_relay_nasks == 0) {
        return;
    }

    t = ngx_http_claude_relay_takings;

    if (t) {
        ngx_http_claude_relay_takings = t->next;

    } else {
        t = ngx_pcalloc(ngx_cycle->pool,
                        sizeof(ngx_http_claude_relay_taking_t));

        if (t == NULL) {
            ngx_http_claude_relay_nasks = 0;
            return;
        }
    }

    t->rmcf = rmcf;
    t->n = ngx_http_claude_relay_nasks;

    for (i = 0; i < t->n; i++) {
        t->asked[i].id = ngx_http_claude_relay_asks[i].id;
        t->asked[i].seq = ngx_http_claude_relay_asks[i].seq;
    }

    ngx_http_claude_relay_shares_send(rmcf, t);

    ngx_http_claude_relay_nasks = 0;
}


static void
ngx_http_claude_relay_shares_send(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_taking_t *t)
{
    u_char            nodes_key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char            bus[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char            lease[NGX_INT64_LEN], nodes[NGX_INT64_LEN], hex[16];
    u_char           *p;
    ngx_str_t        *arg, id;
    ngx_uint_t        i;
    ncr_share_ask_t  *ask;

    if (ngx_http_claude_relay_shares_room(rmcf) != NGX_OK) {
        ngx_http_claude_relay_shares_failed(t);
        return;
    }

    arg = ngx_http_claude_relay_take_args;

    *arg++ = ngx_http_claude_relay_fleet_key(rmcf, nodes_key, "nodes", NULL);

    id.data = hex;
    id.len = sizeof(hex);

    for (i = 0; i < t->n; i++) {
        (void) ngx_sprintf(hex, "%016xL", t->asked[i].id);

        p = ngx_http_claude_relay_take_keys
            + i * NGX_HTTP_CLAUDE_RELAY_FLEET_KEY;

        *arg++ = ngx_http_claude_relay_fleet_key(rmcf, p, "c:", &id);
    }

    *arg++ = rmcf->redis->node;
    *arg++ = ngx_http_claude_relay_fleet_key(rmcf, bus, "bus", NULL);

    arg->data = lease;
    arg->len = ngx_sprintf(lease, "%M", rmcf->redis->lease) - lease;
    arg++;

    arg->data = nodes;
    arg->len = ngx_sprintf(nodes, "%uA", rmcf->zone->fleet->nodes) - nodes;
    arg++;

    for (i = 0; i < t->n; i++) {
        ask = &ngx_http_claude_relay_asks[i];

        arg->data = ngx_http_claude_relay_take_texts + i * NCR_SHARE_TEXT;
        arg->len = ncr_share_print(ask, arg->data);
        arg++;
    }

    t->ask.handler = ngx_http_claude_relay_shares_answer;
    t->ask.data = t;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                          &t->ask, &ngx_http_claude_relay_take, t->n + 1,
                          ngx_http_claude_relay_take_args,
                          arg - ngx_http_claude_relay_take_args)
        != NGX_OK)
    {
        ngx_http_claude_relay_shares_failed(t);
    }
}


static ngx_int_t
ngx_http_claude_relay_shares_room(ngx_http_claude_relay_main_conf_t *rmcf)
{
    if (ngx_http_claude_relay_take_texts) {
        return NGX_OK;
    }

    ngx_http_claude_relay_take_keys = ngx_palloc(ngx_cycle->pool,
                                   NGX_HTTP_CLAUDE_RELAY_SHARES_MAX
                                   * NGX_HTTP_CLAUDE_RELAY_FLEET_KEY);

    if (ngx_http_claude_relay_take_keys == NULL) {
        return NGX_ERROR;
    }

    ngx_http_claude_relay_take_texts = ngx_palloc(ngx_cycle->pool,
                                              NGX_HTTP_CLAUDE_RELAY_SHARES_MAX
                                              * NCR_SHARE_TEXT);

    return ngx_http_claude_relay_take_texts ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_claude_relay_shares_answer(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_taking_t *t = ask->data;

    ngx_uint_t                          i, zeroed;
    ncr_share_answer_t                  a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = t->rmcf;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != t->n * NCR_SHARE_NUMBERS)
    {
        if (reply && reply->type == REDIS_REPLY_ERROR) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "Redis has not counted a limit: %s", reply->str);
        }

        ngx_http_claude_relay_shares_failed(t);
        return;
    }

    zeroed = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    for (i = 0; i < t->n; i++) {

        if (ngx_http_claude_relay_shares_read(reply, i, &a) == NGX_OK) {
            zeroed |= ngx_http_claude_relay_shares_apply_locked(rmcf,
                                                           &t->asked[i], &a);
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    t->next = ngx_http_claude_relay_takings;
    ngx_http_claude_relay_takings = t;

    if (zeroed) {
        ngx_http_claude_relay_ledger_wake();
    }

    ngx_http_claude_relay_ring(rmcf->zone);
}


static ngx_int_t
ngx_http_claude_relay_shares_read(redisReply *reply, ngx_uint_t i,
    ncr_share_answer_t *a)
{
    int64_t       n[NCR_SHARE_NUMBERS];
    ngx_uint_t    j;
    redisReply  **e;

    e = reply->element + i * NCR_SHARE_NUMBERS;

    for (j = 0; j < NCR_SHARE_NUMBERS; j++) {

        if (e[j]->type != REDIS_REPLY_INTEGER) {
            return NGX_ERROR;
        }

        n[j] = e[j]->integer;
    }

    return (ncr_share_read(a, n) == NCR_OK) ? NGX_OK : NGX_ERROR;
}


/* 1: the ledger has to hear of it */

static ngx_uint_t
ngx_http_claude_relay_shares_apply_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_asked_t *asked, ncr_share_answer_t *a)
{
    uint64_t                        was;
    ncr_counter_t                   counter, before;
    ncr_share_taken_e               taken;
    ngx_http_claude_relay_share_t  *sh;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    sh = ngx_http_claude_relay_share_find_locked(rmcf, asked->id);

    if (sh == NULL) {
        return 0;
    }

    ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);

    before = counter;

    taken = ncr_share_take(&sh->share, &counter, a, asked->seq,
                           (ncr_msec_t) ngx_current_msec, &was);

    ngx_http_claude_relay_share_list_locked(rmcf, sh);

    if (a->denied == NCR_SHARE_IS_BUSY || a->denied == NCR_SHARE_IS_FULL) {
        (void) ngx_atomic_fetch_add(&fleet->stats.shorts, 1);
    }

    switch (taken) {

    case NCR_SHARE_IGNORED:
        return 0;

    case NCR_SHARE_STALE:
        fleet->seq = ngx_max(fleet->seq, ngx_min(a->seq, NCR_SHARE_MOST / 2));
        return 0;

    default:
        break;
    }

    if (sh->counter == NULL || sh->share.slots) {
        return 0;
    }

    if (sh->glance) {
        sh->glance = 0;

        if (a->others_used == 0 && counter.used == 0 && sh->share.base == 0
            && counter.reserved == 0)
        {
            counter.start = 0;
            counter.end = 0;
        }
    }

    sh->counter->counter.used = counter.used;
    sh->counter->counter.end = counter.end;
    sh->counter->counter.start = counter.start;

    return (taken == NCR_SHARE_RESET)
           ? ngx_http_claude_relay_share_zeroed_locked(rmcf, &before, was)
           : 0;
}


/* an operator has reset it at another node */

static ngx_uint_t
ngx_http_claude_relay_share_zeroed_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter,
    uint64_t was)
{
    ncr_record_t   rec;
    ncr_charge_t  *charge;

    if (was == 0) {
        return 0;
    }

    ngx_memzero(&rec, sizeof(ncr_record_t));

    rec.kind = NCR_RECORD_CHARGE;
    rec.time = ngx_http_claude_relay_now();
    rec.ncharges = 1;

    charge = &rec.charges[0];

    charge->counter = counter->id;
    charge->start = counter->start;
    charge->end = counter->end;
    charge->amount = - (int64_t) was;

    return ngx_http_claude_relay_ledger_put_locked(rmcf, &rec) == NGX_OK;
}


static void
ngx_http_claude_relay_shares_failed(ngx_http_claude_relay_taking_t *t)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_share_t      *sh;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = t->rmcf;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    for (i = 0; i < t->n; i++) {

        sh = ngx_http_claude_relay_share_find_locked(rmcf, t->asked[i].id);

        if (sh) {
            ncr_share_failed(&sh->share, t->asked[i].seq,
                             (ncr_msec_t) ngx_current_msec);

            ngx_http_claude_relay_share_list_locked(rmcf, sh);
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    t->next = ngx_http_claude_relay_takings;
    ngx_http_claude_relay_takings = t;

    ngx_http_claude_relay_ring(rmcf->zone);
}
