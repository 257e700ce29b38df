
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Counters of limits in the zone, and the tickets that have something of
 * them.  A worker may die between any two stores: what is reserved is then
 * counted anew from the tickets of the living.  So a ticket hangs on its
 * worker's row before it is counted anywhere, and leaves it after that; what
 * it names is held before it is named.
 */


#include "ngx_http_claude_relay_shares.h"


/* of a zone, a bucket */
#define NGX_HTTP_CLAUDE_RELAY_BUCKET   1024

/* of the zone, new counters leave this part to requests under way */
#define NGX_HTTP_CLAUDE_RELAY_RESERVE  32


static ngx_http_claude_relay_counter_t **ngx_http_claude_relay_bucket(
    ngx_http_claude_relay_zone_t *zone, uint64_t id);
static void ngx_http_claude_relay_bucket_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t **bucket, ncr_msec_t now);
static ngx_http_claude_relay_ticket_t *ngx_http_claude_relay_ticket_new_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t n);
static void ngx_http_claude_relay_ticket_add_locked(
    ngx_http_claude_relay_ticket_t *ticket,
    ngx_http_claude_relay_counter_t *counter, uint64_t amount);
static void ngx_http_claude_relay_place_leave_locked(
    ngx_http_claude_relay_ticket_t *ticket);


/* the larger the zone, the more buckets; a counter for each has room */

ngx_int_t
ngx_http_claude_relay_counters_create(ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                         size;
    ngx_uint_t                     n;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;
    size = rmcf->shm_zone->shm.size / NGX_HTTP_CLAUDE_RELAY_BUCKET;

    for (n = 64; n * 2 <= size; n *= 2) { /* void */ }

    zone->counters = ngx_slab_calloc(rmcf->shpool, n * sizeof(void *));

    if (zone->counters == NULL) {
        return NGX_ERROR;
    }

    zone->counters_mask = n - 1;

    return NGX_OK;
}


static ngx_http_claude_relay_counter_t **
ngx_http_claude_relay_bucket(ngx_http_claude_relay_zone_t *zone, uint64_t id)
{
    return &zone->counters[id & zone->counters_mask];
}


ngx_http_claude_relay_counter_t *
ngx_http_claude_relay_counter_find_locked(ngx_http_claude_relay_zone_t *zone,
    uint64_t id)
{
    ngx_http_claude_relay_counter_t  *c;

    c = *ngx_http_claude_relay_bucket(zone, id);

    while (c && c->counter.id != id) {
        c = c->next;
    }

    return c;
}


/* made ones are new to the hash: then something may go that is old */

ngx_http_claude_relay_counter_t *
ngx_http_claude_relay_counter_get_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t id, ngx_uint_t *made)
{
    ngx_http_claude_relay_counter_t   *c, **bucket;

    c = ngx_http_claude_relay_counter_find_locked(rmcf->zone, id);

    if (c) {
        return c;
    }

    /* a limit is worth more than any old session */

    if (!ngx_http_claude_relay_room_locked(rmcf,
                 ngx_max(rmcf->shm_zone->shm.size
                         / NGX_HTTP_CLAUDE_RELAY_RESERVE, 4 * ngx_pagesize)))
    {
        return NULL;
    }

    c = ngx_http_claude_relay_alloc_locked(rmcf,
                                     sizeof(ngx_http_claude_relay_counter_t),
                                     NGX_MAX_UINT32_VALUE);
    if (c == NULL) {
        return NULL;
    }

    bucket = ngx_http_claude_relay_bucket(rmcf->zone, id);

    c->counter.id = id;
    c->next = *bucket;

    ngx_memory_barrier();

    *bucket = c;

    (*made)++;

    return c;
}


/* twice as many buckets as counters are new, so a zone drains */

void
ngx_http_claude_relay_counters_tidy_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t made, ncr_msec_t now)
{
    ngx_uint_t                     n;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    for (n = 2 * made; n; n--) {
        ngx_http_claude_relay_bucket_sweep_locked(rmcf,
              &zone->counters[zone->counters_hand++ & zone->counters_mask],
              now);
    }
}


/* the zone is full; NGX_DECLINED: a moment ago that was of no use */

ngx_int_t
ngx_http_claude_relay_counters_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_msec_t now)
{
    static ngx_msec_t  swept;

    if (swept && ngx_current_msec - swept < 1000) {
        return NGX_DECLINED;
    }

    swept = ngx_current_msec;

    ngx_http_claude_relay_counters_tidy_locked(rmcf,
                                 rmcf->zone->counters_mask / 2 + 1, now);

    return NGX_OK;
}


/* counters whose window is over tell nothing, unless somebody has reserved */

static void
ngx_http_claude_relay_bucket_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t **bucket, ncr_msec_t now)
{
    ngx_http_claude_relay_counter_t  *c;

    while ((c = *bucket)) {

        if (c->refs || c->waiters || c->counter.end > now
            || ngx_http_claude_relay_share_held_locked(rmcf, c->share))
        {
            bucket = &c->next;
            continue;
        }

        ngx_http_claude_relay_share_free_locked(rmcf, &c->share);

        *bucket = c->next;

        ngx_memory_barrier();

        ngx_slab_free_locked(rmcf->shpool, c);
    }
}


/* what has no window is left as it is: it tells nothing when it is let go */

void
ngx_http_claude_relay_counter_roll_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter,
    ncr_limit_t *limit, ncr_msec_t now)
{
    if (limit->unit != NCR_UNIT_CONCURRENCY) {
        ncr_counter_roll(counter, limit, rmcf->tz, now);
    }
}


/* the zone has the newer one, if it has it */

ngx_int_t
ngx_http_claude_relay_counter_set_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter)
{
    ngx_uint_t                        made;
    ngx_http_claude_relay_counter_t  *c;

    made = 0;

    c = ngx_http_claude_relay_counter_get_locked(rmcf, counter->id, &made);

    if (c == NULL) {
        return NGX_ERROR;
    }

    if (c->counter.start == 0) {
        c->counter.used = counter->used;
        c->counter.end = counter->end;
        c->counter.start = counter->start;
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_counter_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope, uint64_t owner, ncr_limit_t *limit, ncr_msec_t now,
    ncr_counter_t *counter)
{
    uint64_t                          id;
    ngx_http_claude_relay_counter_t  *c;

    id = ncr_limit_counter(scope, owner, limit);

    c = ngx_http_claude_relay_counter_find_locked(rmcf->zone, id);

    if (c) {
        *counter = c->counter;

    } else {
        ngx_memzero(counter, sizeof(ncr_counter_t));
        counter->id = id;
    }

    /* a copy begins a window; the counter itself does so with its first use */

    ncr_counter_roll(counter, limit, rmcf->tz, now);

    ngx_http_claude_relay_share_shown_locked(rmcf, c, counter);
}


ngx_http_claude_relay_ticket_t *
ngx_http_claude_relay_ticket_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claims, ngx_uint_t n)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_ticket_t  *ticket;

    ticket = ngx_http_claude_relay_ticket_new_locked(rmcf, n);

    if (ticket) {
        for (i = 0; i < n; i++) {
            ngx_http_claude_relay_ticket_add_locked(ticket, claims[i].counter,
                                                    claims[i].want);
        }
    }

    return ticket;
}


/* empty, and on the row of this worker */

static ngx_http_claude_relay_ticket_t *
ngx_http_claude_relay_ticket_new_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t n)
{
    ngx_http_claude_relay_ticket_t  *ticket;

    ticket = ngx_http_claude_relay_alloc_locked(rmcf,
                             sizeof(ngx_http_claude_relay_ticket_t)
                             + n * sizeof(ngx_http_claude_relay_reserve_t),
                             NGX_MAX_UINT32_VALUE);

    if (ticket) {
        ngx_memory_barrier();
        ngx_queue_insert_tail(&rmcf->zone->rows[ngx_process_slot].tickets,
                              &ticket->queue);
        ngx_memory_barrier();
    }

    return ticket;
}


static void
ngx_http_claude_relay_ticket_add_locked(ngx_http_claude_relay_ticket_t *ticket,
    ngx_http_claude_relay_counter_t *counter, uint64_t amount)
{
    ngx_http_claude_relay_reserve_t  *reserve;

    counter->refs++;
    counter->counter.reserved += amount;

    reserve = &ticket->reserves[ticket->n];

    reserve->counter = counter;
    reserve->amount = amount;

    ngx_memory_barrier();

    ticket->n++;
}


ngx_http_claude_relay_ticket_t *
ngx_http_claude_relay_place_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *counter, uint64_t owner)
{
    ngx_http_claude_relay_ticket_t  *ticket, **last;

    ticket = ngx_http_claude_relay_ticket_new_locked(rmcf, 1);

    if (ticket == NULL) {
        return NULL;
    }

    ticket->owner = owner;
    ticket->waits = 1;

    ngx_http_claude_relay_ticket_add_locked(ticket, counter, 0);

    ngx_memory_barrier();

    for (last = &counter->waiters; *last; last = &(*last)->behind) {
        /* void */
    }

    *last = ticket;

    return ticket;
}


static void
ngx_http_claude_relay_place_leave_locked(
    ngx_http_claude_relay_ticket_t *ticket)
{
    ngx_http_claude_relay_ticket_t  **p;

    if (!ticket->waits || ticket->n == 0) {
        return;
    }

    for (p = &ticket->reserves[0].counter->waiters; *p; p = &(*p)->behind) {

        if (*p == ticket) {
            *p = ticket->behind;
            break;
        }
    }

    ngx_memory_barrier();
}


void
ngx_http_claude_relay_ticket_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_ticket_t *ticket)
{
    ncr_counter_t                    *counter;
    ngx_http_claude_relay_reserve_t  *reserve;

    ngx_http_claude_relay_place_leave_locked(ticket);

    while (ticket->n) {

        reserve = &ticket->reserves[--ticket->n];

        ngx_memory_barrier();

        counter = &reserve->counter->counter;
        counter->reserved -= ngx_min(counter->reserved, reserve->amount);

        reserve->counter->refs -= (reserve->counter->refs != 0);
    }

    ngx_memory_barrier();

    ngx_queue_remove(&ticket->queue);
    ngx_slab_free_locked(rmcf->shpool, ticket);
}


ngx_int_t
ngx_http_claude_relay_tickets_drop_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_row_t *row)
{
    ngx_int_t                        rc;
    ngx_queue_t                     *q, *next;
    ngx_http_claude_relay_ticket_t  *ticket;

    rc = NGX_DECLINED;

    /* zeroed before it was linked: a list that was left open ends with NULL */

    q = ngx_queue_head(&row->tickets);

    while (q && q != ngx_queue_sentinel(&row->tickets)) {
        next = ngx_queue_next(q);

        ticket = ngx_queue_data(q, ngx_http_claude_relay_ticket_t, queue);

        ngx_http_claude_relay_place_leave_locked(ticket);
        ngx_slab_free_locked(rmcf->shpool, ticket);

        q = next;
        rc = NGX_OK;
    }

    ngx_queue_init(&row->tickets);

    return rc;
}


void
ngx_http_claude_relay_counters_recount_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                        i, n;
    ngx_queue_t                      *q;
    ngx_http_claude_relay_row_t      *row;
    ngx_http_claude_relay_zone_t     *zone;
    ngx_http_claude_relay_ticket_t   *ticket;
    ngx_http_claude_relay_counter_t  *c;

    zone = rmcf->zone;

    for (i = 0; i <= zone->counters_mask; i++) {
        for (c = zone->counters[i]; c; c = c->next) {
            c->refs = 0;
            c->counter.reserved = 0;
        }
    }

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        row = &zone->rows[i];

        for (q = ngx_queue_head(&row->tickets);
             q && q != ngx_queue_sentinel(&row->tickets);
             q = ngx_queue_next(q))
        {
            ticket = ngx_queue_data(q, ngx_http_claude_relay_ticket_t, queue);

            for (n = 0; n < ticket->n; n++) {
                c = ticket->reserves[n].counter;
                c->refs++;
                c->counter.reserved += ticket->reserves[n].amount;
            }
        }
    }
}
