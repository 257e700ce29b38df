
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The table of requests under way.  A request takes a slot that its worker
 * has kept from one before it, so there is no lock on its way; only a page of
 * slots is got under one.  A zone that is short of memory, or has enough of
 * these pages, lists no more: that is counted, and harms nobody.
 */


#include "ngx_http_claude_relay_live.h"


/* these pages are no more than this share of the zone */
#define NGX_HTTP_CLAUDE_RELAY_LIVE_SHARE  8

/* sessions that go for a page, at most; there are 32 in one */
#define NGX_HTTP_CLAUDE_RELAY_LIVE_EVICT  128

/* when there was no room, it is asked for again after this, ms */
#define NGX_HTTP_CLAUDE_RELAY_LIVE_AGAIN  1000

/* a slot that is written whenever it is looked at is left out */
#define NGX_HTTP_CLAUDE_RELAY_LIVE_LOOKS  8


static ngx_http_claude_relay_live_t *ngx_http_claude_relay_live_page(
    ngx_http_claude_relay_main_conf_t *rmcf);
static ngx_uint_t ngx_http_claude_relay_live_full_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_live_address(
    ngx_http_claude_relay_live_t *live, ngx_connection_t *c);
static uint8_t ngx_http_claude_relay_live_text(u_char *dst, size_t size,
    ncr_str_t *text);
static ngx_uint_t ngx_http_claude_relay_live_slot(
    ngx_http_claude_relay_live_t *slot, ngx_http_claude_relay_live_t *copy);
static ngx_http_claude_relay_live_t *ngx_http_claude_relay_live_find_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy);


/* this worker's */

static ngx_http_claude_relay_live_t       *ngx_http_claude_relay_live_free;
static ngx_http_claude_relay_live_page_t  *ngx_http_claude_relay_live_last;
static ngx_msec_t                          ngx_http_claude_relay_live_retry;
static ngx_uint_t                          ngx_http_claude_relay_live_denied;
static ngx_atomic_uint_t                   ngx_http_claude_relay_live_count;
static ngx_atomic_uint_t                   ngx_http_claude_relay_live_kills;


#define ngx_http_claude_relay_live_begin(live)                                \
    (live)->seq++;                                                            \
    ngx_memory_barrier()

#define ngx_http_claude_relay_live_done(live)                                 \
    ngx_memory_barrier();                                                     \
    (live)->seq++


void
ngx_http_claude_relay_live_init(void)
{
    ngx_http_claude_relay_live_free = NULL;
    ngx_http_claude_relay_live_last = NULL;
    ngx_http_claude_relay_live_denied = 0;
}


void
ngx_http_claude_relay_live_start(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t                           text;
    ngx_http_claude_relay_live_t       *live;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    live = ngx_http_claude_relay_live_free;

    if (live == NULL) {

        rmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_claude_relay_module);

        live = ngx_http_claude_relay_live_page(rmcf);

        if (live == NULL) {
            (void) ngx_atomic_fetch_add(&rmcf->zone->unlisted, 1);
            return;
        }
    }

    ngx_http_claude_relay_live_free = live->next;

    ngx_http_claude_relay_live_begin(live);

    live->ended = 0;
    live->number = ++ngx_http_claude_relay_live_count;
    live->ctx = ctx;
    live->started = ctx->began;
    live->first = 0;
    live->bytes = 0;
    live->account = 0;
    live->state = NGX_HTTP_CLAUDE_RELAY_LIVE_BODY;
    live->op = (uint8_t) ctx->route.op;
    live->stream = 0;
    live->ntries = 0;
    live->model_len = 0;
    live->key_len = 0;
    live->user_len = 0;

    ngx_memcpy(live->id, ctx->request_id.data,
               ngx_min(ctx->request_id.len, NGX_HTTP_CLAUDE_RELAY_LIVE_ID));

    if (ctx->key) {
        text = ncr_key_text(ctx->key, ctx->key->name);
        live->key_len = ngx_http_claude_relay_live_text(live->key,
                                                  sizeof(live->key), &text);
    }

    if (ctx->user) {
        text = ncr_key_text(ctx->user, ctx->user->name);
        live->user_len = ngx_http_claude_relay_live_text(live->user,
                                                  sizeof(live->user), &text);
    }

    live->pool_len = ngx_http_claude_relay_live_text(live->pool,
                                                     sizeof(live->pool),
                                                     ncr(&ctx->pool->name));

    ngx_http_claude_relay_live_address(live, ctx->request->connection);

    ngx_http_claude_relay_live_done(live);

    ctx->live = live;
}


/* another page of slots on this worker's row; the first of them, or NULL */

static ngx_http_claude_relay_live_t *
ngx_http_claude_relay_live_page(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_live_page_t  *page;

    if (ngx_http_claude_relay_live_denied
        && (ngx_msec_int_t) (ngx_http_claude_relay_live_retry
                             - ngx_current_msec)
           > 0)
    {
        return NULL;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    page = NULL;

    if (!ngx_http_claude_relay_live_full_locked(rmcf)) {
        page = ngx_http_claude_relay_alloc_locked(rmcf,
                                            NGX_HTTP_CLAUDE_RELAY_LIVE_PAGE,
                                            NGX_HTTP_CLAUDE_RELAY_LIVE_EVICT);
    }

    if (page) {

        /* zeroed by now, and behind all others: where one stands in the list
         * does not change for those that walk it in steps */

        if (ngx_http_claude_relay_live_last) {
            ngx_http_claude_relay_live_last->next = page;

        } else {
            rmcf->zone->rows[ngx_process_slot].live = page;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_live_denied = (page == NULL);

    if (page == NULL) {
        ngx_http_claude_relay_live_retry = ngx_current_msec
                                           + NGX_HTTP_CLAUDE_RELAY_LIVE_AGAIN;
        return NULL;
    }

    ngx_http_claude_relay_live_last = page;

    for (i = 1; i < NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS; i++) {
        page->slots[i - 1].next = &page->slots[i];
    }

    return &page->slots[0];
}


/* they are counted each time, so nothing must be mended after a crash */

static ngx_uint_t
ngx_http_claude_relay_live_full_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                              size;
    ngx_uint_t                          i;
    ngx_http_claude_relay_live_page_t  *page;

    size = NGX_HTTP_CLAUDE_RELAY_LIVE_PAGE;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        for (page = rmcf->zone->rows[i].live; page; page = page->next) {
            size += NGX_HTTP_CLAUDE_RELAY_LIVE_PAGE;
        }
    }

    return size > rmcf->shm_zone->shm.size / NGX_HTTP_CLAUDE_RELAY_LIVE_SHARE;
}


static void
ngx_http_claude_relay_live_address(ngx_http_claude_relay_live_t *live,
    ngx_connection_t *c)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (c->sockaddr->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) c->sockaddr;
        live->family = AF_INET;
        ngx_memcpy(live->address, &sin->sin_addr, 4);
        break;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) c->sockaddr;
        live->family = AF_INET6;
        ngx_memcpy(live->address, &sin6->sin6_addr, 16);
        break;
#endif

    default:
        live->family = 0;
        break;
    }
}


static uint8_t
ngx_http_claude_relay_live_text(u_char *dst, size_t size, ncr_str_t *text)
{
    size_t  len;

    len = ngx_min(text->len, size);
    ngx_memcpy(dst, text->data, len);

    return (uint8_t) len;
}


/* it is read: what it asks for is known */

void
ngx_http_claude_relay_live_body(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_live_t  *live;

    live = ctx->live;

    if (live == NULL) {
        return;
    }

    ngx_http_claude_relay_live_begin(live);

    live->state = NGX_HTTP_CLAUDE_RELAY_LIVE_WAITING;
    live->stream = ctx->stream_asked;
    live->model_len = ngx_http_claude_relay_live_text(live->model,
                                                      sizeof(live->model),
                                                      ncr(&ctx->model));
    ngx_http_claude_relay_live_done(live);
}


void
ngx_http_claude_relay_live_account(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_live_t  *live;

    live = ctx->live;

    if (live == NULL) {
        return;
    }

    ngx_http_claude_relay_live_begin(live);

    live->state = NGX_HTTP_CLAUDE_RELAY_LIVE_CONNECTING;
    live->account = (uint32_t) ctx->account->node->number;

    ngx_http_claude_relay_live_done(live);
}


void
ngx_http_claude_relay_live_answer(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_live_t  *live;

    live = ctx->live;

    if (live == NULL) {
        return;
    }

    ngx_http_claude_relay_live_begin(live);

    live->state = NGX_HTTP_CLAUDE_RELAY_LIVE_ANSWERING;
    live->stream = (ctx->stream && !ctx->fold);
    live->first = ngx_http_claude_relay_now();

    ngx_http_claude_relay_live_done(live);
}


void
ngx_http_claude_relay_live_try(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_class_e class)
{
    ngx_http_claude_relay_live_t      *live;
    ngx_http_claude_relay_live_try_t  *try;

    live = ctx->live;

    if (live == NULL) {
        return;
    }

    ngx_http_claude_relay_live_begin(live);

    if (live->ntries < NGX_HTTP_CLAUDE_RELAY_LIVE_TRIES) {
        try = &live->tries[live->ntries];
        try->account = (uint32_t) ctx->account->node->number;
        try->ms = (uint32_t) (ngx_current_msec - ctx->attempt_at);
        try->status = (uint16_t) status;
        try->class = (uint16_t) class;
    }

    if (live->ntries < UINT8_MAX) {
        live->ntries++;
    }

    /* what comes next may be a wait */

    if (!ctx->committed) {
        live->state = NGX_HTTP_CLAUDE_RELAY_LIVE_WAITING;
    }

    ngx_http_claude_relay_live_done(live);
}


void
ngx_http_claude_relay_live_end(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_live_t  *live;

    live = ctx->live;

    if (live == NULL) {
        return;
    }

    ctx->live = NULL;

    live->number = 0;
    live->ctx = NULL;
    live->next = ngx_http_claude_relay_live_free;

    ngx_http_claude_relay_live_free = live;
}


void
ngx_http_claude_relay_live_rung(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_live_t       *live;
    ngx_http_claude_relay_live_page_t  *page;

    if (ngx_http_claude_relay_live_kills == rmcf->zone->kills) {
        return;
    }

    ngx_http_claude_relay_live_kills = rmcf->zone->kills;

    ngx_memory_barrier();

    /* the list is this worker's, and only grows */

    for (page = rmcf->zone->rows[ngx_process_slot].live;
         page;
         page = page->next)
    {
        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS; i++) {

            live = &page->slots[i];

            if (live->ended == 0 || live->ended != live->number
                || live->ctx == NULL)
            {
                continue;
            }

            live->ended = 0;

            ngx_http_claude_relay_kill(live->ctx);
        }
    }
}


/* a page leaves the list before it is freed: who dies here loses it, at most */

void
ngx_http_claude_relay_live_drop_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_row_t *row)
{
    ngx_http_claude_relay_live_page_t  *page;

    while (row->live) {
        page = row->live;
        row->live = page->next;
        ngx_slab_free_locked(rmcf->shpool, page);
    }
}


ngx_int_t
ngx_http_claude_relay_live_copy(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t *row, ngx_uint_t *page, ngx_http_claude_relay_live_t *slots,
    ngx_uint_t *n)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_live_page_t  *p;

    *n = 0;

    for ( ;; ) {

        /* most rows are nobody's: no lock for these */

        while (*row < NGX_MAX_PROCESSES
               && rmcf->zone->rows[*row].live == NULL)
        {
            (*row)++;
            *page = 0;
        }

        if (*row == NGX_MAX_PROCESSES) {
            return NGX_DONE;
        }

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        p = rmcf->zone->rows[*row].live;

        for (i = 0; p && i < *page; i++) {
            p = p->next;
        }

        if (p) {
            break;
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        (*row)++;
        *page = 0;
    }

    (*page)++;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS; i++) {
        if (ngx_http_claude_relay_live_slot(&p->slots[i], &slots[*n])) {
            slots[*n].ended = *row;
            (*n)++;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return NGX_OK;
}


/* its worker may write at any time, or have died while it did */

static ngx_uint_t
ngx_http_claude_relay_live_slot(ngx_http_claude_relay_live_t *slot,
    ngx_http_claude_relay_live_t *copy)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  seq;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_LIVE_LOOKS; i++) {

        seq = slot->seq;

        if (slot->number == 0) {
            return 0;
        }

        if (seq & 1) {
            ngx_cpu_pause();
            continue;
        }

        ngx_memory_barrier();

        *copy = *slot;

        ngx_memory_barrier();

        if (slot->seq == seq) {
            return copy->number != 0;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_claude_relay_live_mark(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy)
{
    ngx_http_claude_relay_live_t  *live;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    live = ngx_http_claude_relay_live_find_locked(rmcf, copy);

    if (live) {
        live->ended = copy->number;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return live ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_claude_relay_live_there(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy)
{
    ngx_uint_t  there;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    there = (ngx_http_claude_relay_live_find_locked(rmcf, copy) != NULL);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return there;
}


/* the number is of one worker, the id of one request */

static ngx_http_claude_relay_live_t *
ngx_http_claude_relay_live_find_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_live_page_t  *page;

    for (page = rmcf->zone->rows[copy->ended].live; page; page = page->next) {

        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS; i++) {

            if (page->slots[i].number == copy->number
                && ngx_memcmp(page->slots[i].id, copy->id,
                              NGX_HTTP_CLAUDE_RELAY_LIVE_ID)
                   == 0)
            {
                return &page->slots[i];
            }
        }
    }

    return NULL;
}


void
ngx_http_claude_relay_live_ring(ngx_http_claude_relay_main_conf_t *rmcf)
{
    (void) ngx_atomic_fetch_add(&rmcf->zone->kills, 1);

    ngx_http_claude_relay_ring_all();
}
