
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rosters: which accounts there are, and in which pools.  The first one is
 * made with the configuration, of its blocks and of what the store has then;
 * a worker makes the others as the store changes.  Accounts that did not
 * change go on from one roster to the next.
 */


#include "ngx_http_claude_relay_store.h"

#include <cjson/cJSON.h>


static ngx_http_claude_relay_pool_t *ngx_http_claude_relay_roster_pool(
    ngx_array_t *pools, ngx_pool_t *pool, ngx_str_t *name);
static ngx_http_claude_relay_pool_t *ngx_http_claude_relay_pool_find(
    ngx_array_t *pools, ngx_str_t *name);
static ngx_int_t ngx_http_claude_relay_roster_join(ngx_array_t *pools,
    ngx_pool_t *p, ngx_str_t *name, ngx_http_claude_relay_account_t *a);
static ncr_plan_e ngx_http_claude_relay_account_plan(
    ngx_http_claude_relay_info_t *info);
static ngx_int_t ngx_http_claude_relay_roster_add(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster, ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_index(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);
static ngx_http_claude_relay_roster_t *ngx_http_claude_relay_roster_create(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_roster_free(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster);
static void ngx_http_claude_relay_roster_cleanup(void *data);
static void ngx_http_claude_relay_account_free(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_roster_row(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *old, ncr_store_account_t *row,
    ngx_array_t *changed, ngx_log_t *log);
static ngx_http_claude_relay_account_t *ngx_http_claude_relay_account_row(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_account_t *row,
    ngx_log_t *log);
static ngx_int_t ngx_http_claude_relay_copy(ngx_pool_t *pool, ngx_str_t *to,
    const char *text);
static ngx_uint_t ngx_http_claude_relay_replaced(ngx_array_t *changed,
    ngx_str_t *name);


/* an account that a change makes, or takes away (account NULL) */

typedef struct {
    ngx_str_t                          name;
    ngx_http_claude_relay_account_t   *account;
} ngx_http_claude_relay_change_t;


/* after parsing, before locations are merged: they look their pools up */

char *
ngx_http_claude_relay_roster_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_str_t                          warning;
    ngx_uint_t                         i;
    ngx_pool_cleanup_t                *cln;
    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_account_t  **a;

    roster = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_roster_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (roster == NULL || cln == NULL
        || ngx_array_init(&roster->accounts, cf->pool,
                          ngx_max(rmcf->accounts.nelts, 1),
                          sizeof(ngx_http_claude_relay_account_t *))
           != NGX_OK
        || ngx_array_init(&roster->pools, cf->pool, 2,
                          sizeof(ngx_http_claude_relay_pool_t))
           != NGX_OK
        || ngx_array_init(&roster->groups, cf->pool, 2,
                          sizeof(ngx_http_claude_relay_pool_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_queue_init(&rmcf->rosters);
    ngx_queue_insert_tail(&rmcf->rosters, &roster->queue);

    rmcf->roster = roster;

    cln->handler = ngx_http_claude_relay_roster_cleanup;
    cln->data = rmcf;

    a = rmcf->accounts.elts;

    for (i = 0; i < rmcf->accounts.nelts; i++) {

        ngx_conf_init_ptr_value(a[i]->proxy, rmcf->proxy);

        if (ngx_http_claude_relay_roster_add(rmcf, roster, cf->pool, a[i])
            != NGX_OK
            || ngx_http_claude_relay_target_way(rmcf, cf->pool, &a[i]->target,
                                                &a[i]->url, a[i]->proxy, 1,
                                                &warning)
               != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        if (warning.len) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "%V in %s \"%V\" of account \"%V\" in %s:%ui",
                          &warning, a[i]->proxy ? "proxy" : "base_url",
                          a[i]->proxy ? &a[i]->proxy->name : &a[i]->base_url,
                          &a[i]->name, a[i]->file, a[i]->line);
        }
    }

    return ngx_http_claude_relay_store_load(cf, rmcf);
}


/* the place of a pool in every roster, NGX_DECLINED: no account is in it */

ngx_int_t
ngx_http_claude_relay_pool_index(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name)
{
    ngx_uint_t                     n;
    ngx_http_claude_relay_pool_t  *pool;

    n = rmcf->roster->pools.nelts;

    pool = ngx_http_claude_relay_roster_pool(&rmcf->roster->pools, cf->pool,
                                             name);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (rmcf->store == NULL && rmcf->roster->pools.nelts > n) {
        return NGX_DECLINED;
    }

    /* of a new one, accounts may come later */

    return pool
           - (ngx_http_claude_relay_pool_t *) rmcf->roster->pools.elts;
}


static ngx_http_claude_relay_pool_t *
ngx_http_claude_relay_roster_pool(ngx_array_t *pools, ngx_pool_t *p,
    ngx_str_t *name)
{
    ngx_http_claude_relay_pool_t  *pool;

    pool = ngx_http_claude_relay_pool_find(pools, name);

    if (pool) {
        return pool;
    }

    pool = ngx_array_push(pools);
    if (pool == NULL) {
        return NULL;
    }

    pool->turns = 0;
    pool->name.len = name->len;
    pool->name.data = ngx_pstrdup(p, name);

    if (pool->name.data == NULL
        || ngx_array_init(&pool->accounts, p, 4,
                          sizeof(ngx_http_claude_relay_account_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return pool;
}


static ngx_http_claude_relay_pool_t *
ngx_http_claude_relay_pool_find(ngx_array_t *pools, ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *pool;

    pool = pools->elts;

    for (i = 0; i < pools->nelts; i++) {
        if (pool[i].name.len == name->len
            && ngx_strncmp(pool[i].name.data, name->data, name->len) == 0)
        {
            return &pool[i];
        }
    }

    return NULL;
}


ngx_http_claude_relay_pool_t *
ngx_http_claude_relay_roster_group(ngx_http_claude_relay_roster_t *roster,
    ngx_str_t *name)
{
    return ngx_http_claude_relay_pool_find(&roster->groups, name);
}


static ngx_int_t
ngx_http_claude_relay_roster_add(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster, ngx_pool_t *p,
    ngx_http_claude_relay_account_t *a)
{
    ngx_str_t                         *group;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **slot;

    if (a->refs == 0 && ngx_http_claude_relay_index(rmcf, a) != NGX_OK) {
        return NGX_ERROR;
    }

    slot = ngx_array_push(&roster->accounts);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    *slot = a;
    a->refs++;

    if (ngx_http_claude_relay_roster_join(&roster->pools, p, &a->pool, a)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    group = a->groups ? a->groups->elts : NULL;

    for (i = 0; a->groups && i < a->groups->nelts; i++) {
        if (ngx_http_claude_relay_roster_join(&roster->groups, p, &group[i],
                                              a)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    roster->nindex = ngx_max(roster->nindex, a->index + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_roster_join(ngx_array_t *pools, ngx_pool_t *p,
    ngx_str_t *name, ngx_http_claude_relay_account_t *a)
{
    ngx_http_claude_relay_pool_t      *pool;
    ngx_http_claude_relay_account_t  **slot;

    pool = ngx_http_claude_relay_roster_pool(pools, p, name);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    slot = ngx_array_push(&pool->accounts);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    *slot = a;
    pool->turns |= a->turns.on;

    return NGX_OK;
}


/* small numbers, each of one living account: bits in a request are few */

static ngx_int_t
ngx_http_claude_relay_index(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t  *n;

    if (rmcf->free_index.nelts) {
        n = rmcf->free_index.elts;
        a->index = n[--rmcf->free_index.nelts];
        return NGX_OK;
    }

    a->index = rmcf->nindex++;

    return NGX_OK;
}


/* an empty one with the pools of the newest, in their order */

static ngx_http_claude_relay_roster_t *
ngx_http_claude_relay_roster_create(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                       i;
    ngx_pool_t                      *p;
    ngx_http_claude_relay_pool_t    *pool;
    ngx_http_claude_relay_roster_t  *old, *roster;

    old = rmcf->roster;

    p = ngx_create_pool(4096, rmcf->log);
    if (p == NULL) {
        return NULL;
    }

    roster = ngx_pcalloc(p, sizeof(ngx_http_claude_relay_roster_t));

    if (roster == NULL
        || ngx_array_init(&roster->accounts, p, old->accounts.nelts + 8,
                          sizeof(ngx_http_claude_relay_account_t *))
           != NGX_OK
        || ngx_array_init(&roster->pools, p, old->pools.nelts + 1,
                          sizeof(ngx_http_claude_relay_pool_t))
           != NGX_OK
        || ngx_array_init(&roster->groups, p, old->groups.nelts + 1,
                          sizeof(ngx_http_claude_relay_pool_t))
           != NGX_OK)
    {
        ngx_destroy_pool(p);
        return NULL;
    }

    roster->own = p;

    pool = old->pools.elts;

    for (i = 0; i < old->pools.nelts; i++) {
        if (ngx_http_claude_relay_roster_pool(&roster->pools, p, &pool[i].name)
            == NULL)
        {
            ngx_destroy_pool(p);
            return NULL;
        }
    }

    return roster;
}


void
ngx_http_claude_relay_roster_hold(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_pool_t       *pool;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    ctx->roster = rmcf->roster;
    ctx->roster->refs++;

    pool = ctx->roster->pools.elts;
    ctx->pool = &pool[rlcf->pool];
}


void
ngx_http_claude_relay_roster_release(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster)
{
    roster->refs--;

    if (roster->refs == 0 && roster != rmcf->roster) {
        ngx_http_claude_relay_roster_free(rmcf, roster);
    }
}


static void
ngx_http_claude_relay_roster_free(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster)
{
    ngx_uint_t                         i;
    ngx_queue_t                       *q;
    ngx_http_claude_relay_account_t  **a;

    a = roster->accounts.elts;

    for (i = 0; i < roster->accounts.nelts; i++) {
        if (--a[i]->refs == 0) {
            ngx_http_claude_relay_account_free(rmcf, a[i]);
        }
    }

    roster->accounts.nelts = 0;

    ngx_queue_remove(&roster->queue);

    if (roster->own) {
        ngx_destroy_pool(roster->own);
    }

    /* nodes of removed accounts wait for this */

    if (rmcf->zone && !ngx_queue_empty(&rmcf->rosters)) {
        q = ngx_queue_head(&rmcf->rosters);
        roster = ngx_queue_data(q, ngx_http_claude_relay_roster_t, queue);
        rmcf->zone->rows[ngx_process_slot].seq = roster->seq;
    }
}


/* with its configuration, all that hangs on it goes */

static void
ngx_http_claude_relay_roster_cleanup(void *data)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = data;

    ngx_queue_t                     *q;
    ngx_http_claude_relay_roster_t  *roster;

    rmcf->zone = NULL;

    while (!ngx_queue_empty(&rmcf->rosters)) {
        q = ngx_queue_head(&rmcf->rosters);
        roster = ngx_queue_data(q, ngx_http_claude_relay_roster_t, queue);
        ngx_http_claude_relay_roster_free(rmcf, roster);
    }
}


static void
ngx_http_claude_relay_account_free(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t  *n;

    n = ngx_array_push(&rmcf->free_index);
    if (n) {
        *n = a->index;
    }

    ngx_http_claude_relay_account_destroy(a);
}


/*
 * A roster that the account is in; the caller's own may be an old one.  While
 * it is held, neither the account nor its node in the zone goes away.
 */

ngx_http_claude_relay_roster_t *
ngx_http_claude_relay_roster_of(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t                         i;
    ngx_queue_t                       *q;
    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_account_t  **list;

    for (q = ngx_queue_last(&rmcf->rosters);
         q != ngx_queue_sentinel(&rmcf->rosters);
         q = ngx_queue_prev(q))
    {
        roster = ngx_queue_data(q, ngx_http_claude_relay_roster_t, queue);
        list = roster->accounts.elts;

        for (i = 0; i < roster->accounts.nelts; i++) {
            if (list[i] == a) {
                return roster;
            }
        }
    }

    return rmcf->roster;
}


ngx_http_claude_relay_account_t *
ngx_http_claude_relay_roster_find(ngx_http_claude_relay_roster_t *roster,
    ngx_str_t *name)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = roster->accounts.elts;

    for (i = 0; i < roster->accounts.nelts; i++) {
        if (a[i]->name.len == name->len
            && ngx_memcmp(a[i]->name.data, name->data, name->len) == 0)
        {
            return a[i];
        }
    }

    return NULL;
}


/*
 * Rows of the store become accounts.  In a configuration (cf) they join its
 * roster; in a worker a new roster is made if any of them is new, changed or
 * gone.  What cannot be used is logged and left out.
 */

ngx_int_t
ngx_http_claude_relay_roster_apply(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_queue_t *rows, uint64_t seq, ngx_conf_t *cf)
{
    ngx_log_t                        *log;
    ngx_uint_t                        i;
    ngx_pool_t                       *temp;
    ngx_queue_t                      *q;
    ngx_array_t                       changed;
    ngx_http_claude_relay_stored_t   *stored;
    ngx_http_claude_relay_change_t   *ch;
    ngx_http_claude_relay_roster_t   *old, *roster;
    ngx_http_claude_relay_account_t  **a;

    log = cf ? cf->log : ngx_cycle->log;
    old = rmcf->roster;

    temp = ngx_create_pool(4096, log);

    if (temp == NULL
        || ngx_array_init(&changed, temp, 16,
                          sizeof(ngx_http_claude_relay_change_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    roster = NULL;

    for (q = ngx_queue_head(rows);
         q != ngx_queue_sentinel(rows);
         q = ngx_queue_next(q))
    {
        stored = ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue);

        if (ngx_http_claude_relay_roster_row(rmcf, old, &stored->row,
                                             &changed, log)
            != NGX_OK)
        {
            goto failed;
        }
    }

    ch = changed.elts;

    if (cf) {

        for (i = 0; i < changed.nelts; i++) {
            if (ch[i].account
                && ngx_http_claude_relay_roster_add(rmcf, old, cf->pool,
                                                    ch[i].account)
                   != NGX_OK)
            {
                goto failed;
            }
        }

        old->seq = seq;
        ngx_destroy_pool(temp);

        return NGX_OK;
    }

    if (changed.nelts == 0) {
        old->seq = seq;

        if (ngx_queue_head(&rmcf->rosters) == &old->queue) {
            rmcf->zone->rows[ngx_process_slot].seq = seq;
        }

        ngx_destroy_pool(temp);

        return NGX_OK;
    }

    roster = ngx_http_claude_relay_roster_create(rmcf);
    if (roster == NULL) {
        goto failed;
    }

    ngx_queue_insert_tail(&rmcf->rosters, &roster->queue);

    a = old->accounts.elts;

    for (i = 0; i < old->accounts.nelts; i++) {

        if (!ngx_http_claude_relay_replaced(&changed, &a[i]->name)
            && ngx_http_claude_relay_roster_add(rmcf, roster, roster->own,
                                                a[i])
               != NGX_OK)
        {
            goto failed;
        }
    }

    for (i = 0; i < changed.nelts; i++) {
        if (ch[i].account
            && ngx_http_claude_relay_roster_add(rmcf, roster, roster->own,
                                                ch[i].account)
               != NGX_OK)
        {
            goto failed;
        }
    }

    roster->seq = seq;
    rmcf->roster = roster;

    if (old->refs == 0) {
        ngx_http_claude_relay_roster_free(rmcf, old);
    }

    ngx_destroy_pool(temp);

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "no memory for the accounts of the store");

    if (roster) {
        ngx_http_claude_relay_roster_free(rmcf, roster);
    }

    ngx_destroy_pool(temp);

    return NGX_ERROR;
}


/* one row: a change of the roster, or what a worker knows besides */

static ngx_int_t
ngx_http_claude_relay_roster_row(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *old, ncr_store_account_t *row,
    ngx_array_t *changed, ngx_log_t *log)
{
    ngx_str_t                         name;
    ngx_http_claude_relay_change_t   *ch;
    ngx_http_claude_relay_account_t  *a, *have;

    name.data = (u_char *) row->name;
    name.len = ngx_strlen(row->name);

    have = ngx_http_claude_relay_roster_find(old, &name);

    if (have && have->own == NULL) {

        /* a block of nginx.conf: only what the provider told is in the row */

        if (!row->conf && !row->removed) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "account \"%V\" of the store is not used, nginx.conf "
                          "has one of this name", &name);
            return NGX_OK;
        }

        have->id = row->id;
        have->version = row->version;

        return ngx_http_claude_relay_account_info(have, row);
    }

    if (row->conf) {

        /* of another configuration */

        return NGX_OK;
    }

    if (have && !row->removed && have->id == row->id
        && have->version == row->version)
    {
        return ngx_http_claude_relay_account_info(have, row);
    }

    if (have == NULL && row->removed) {
        return NGX_OK;
    }

    a = NULL;

    if (!row->removed) {
        a = ngx_http_claude_relay_account_row(rmcf, row, log);

        if (a == NULL) {

            /* said why; an older version of it serves no longer, either */

            if (have == NULL) {
                return NGX_OK;
            }
        }
    }

    ch = ngx_array_push(changed);
    if (ch == NULL) {
        return NGX_ERROR;
    }

    ch->name = name;
    ch->account = a;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_claude_relay_replaced(ngx_array_t *changed, ngx_str_t *name)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_change_t  *ch;

    ch = changed->elts;

    for (i = 0; i < changed->nelts; i++) {
        if (ch[i].name.len == name->len
            && ngx_memcmp(ch[i].name.data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* an account of the store; NULL if it is of no use, which is logged */

static ngx_http_claude_relay_account_t *
ngx_http_claude_relay_account_row(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_store_account_t *row, ngx_log_t *log)
{
    u_char                            error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_http_claude_relay_account_t  *a;

    a = ngx_http_claude_relay_account_make(rmcf, row, error);

    if (a == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "%s; it is not used", error);
        return NULL;
    }

    if (rmcf->zone == NULL) {
        return a;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    a->node = ngx_http_claude_relay_node_locked(rmcf, &a->name);

    if (a->node && !a->protect) {

        /* one that may not rest is not left in the rest that it is in */

        ncr_health_clear(&a->node->health);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (a->node == NULL) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "no room for account \"%V\" in zone \"%V\"; it is not "
                      "used", &a->name, &rmcf->shm_zone->shm.name);
        ngx_http_claude_relay_account_destroy(a);
        return NULL;
    }

    return a;
}


/* one that is in no roster */

void
ngx_http_claude_relay_account_destroy(ngx_http_claude_relay_account_t *a)
{
    if (a->proof_buf) {
        ngx_explicit_memzero(a->proof_buf, a->proof.len);
        ngx_free(a->proof_buf);
        a->proof_buf = NULL;
    }

    if (a->info) {
        ngx_free(a->info);
        a->info = NULL;
    }

    if (a->own == NULL) {
        return;
    }

    ngx_http_claude_relay_target_close(&a->target);

    if (a->secret.len) {
        ngx_explicit_memzero(a->secret.data, a->secret.len);
        ngx_explicit_memzero(a->proof.data, a->token ? 0 : a->proof.len);
    }

    ngx_destroy_pool(a->own);
}


/* of a row, in a pool of its own, without a node; NULL: see error */

ngx_http_claude_relay_account_t *
ngx_http_claude_relay_account_make(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_store_account_t *row, u_char *error)
{
    ngx_str_t                         warning;
    ngx_pool_t                       *pool;
    const char                       *wrong;
    ngx_http_claude_relay_account_t  *a;

    (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                        "no memory for account \"%s\"%Z", row->name);

    /* the log of the cycle that is being made: the old one's goes before */

    pool = ngx_create_pool(1024, rmcf->log);
    if (pool == NULL) {
        return NULL;
    }

    a = ngx_palloc(pool, sizeof(ngx_http_claude_relay_account_t));
    if (a == NULL) {
        goto failed;
    }

    ngx_http_claude_relay_account_init(a);

    a->own = pool;
    a->id = row->id;
    a->version = row->version;

    if (ngx_http_claude_relay_copy(pool, &a->name, row->name) != NGX_OK
        || ngx_http_claude_relay_copy(pool, &a->settings, row->settings)
           != NGX_OK
        || ngx_http_claude_relay_copy(pool, &a->secret, row->secret) != NGX_OK
        || ngx_http_claude_relay_copy(pool, &a->proxy_url, row->proxy)
           != NGX_OK)
    {
        goto failed;
    }

    if (ngx_http_claude_relay_account_json(pool, a, &a->settings, error)
        != NGX_OK)
    {
        goto failed;
    }

    a->token = (a->platform && a->platform->token
                && !(a->platform->key && a->secret.len));

    /* where a platform is by itself is the module's word, not the store's */
    a->target.guarded = (a->base_url.data != NULL);

    if (ngx_http_claude_relay_account_finish(pool, a, error) != NGX_OK) {
        goto failed;
    }

    a->proxy = rmcf->proxy;

    if (a->proxy_url.len
        && ngx_http_claude_relay_proxy_make(pool, &a->proxy_url, &a->proxy,
                                            &wrong)
           != NGX_OK)
    {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "invalid proxy of account \"%V\": %s%Z", &a->name,
                            wrong);
        goto failed;
    }

    if (a->proxy_url.len && a->proxy) {
        a->proxy->guarded = 1;
    }

    if (ngx_http_claude_relay_target_way(rmcf, pool, &a->target, &a->url,
                                         a->proxy, 0, &warning)
        != NGX_OK
        || ngx_http_claude_relay_account_info(a, row) != NGX_OK)
    {
        goto failed;
    }

    return a;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_claude_relay_copy(ngx_pool_t *pool, ngx_str_t *to, const char *text)
{
    to->len = ngx_strlen(text);
    to->data = ngx_pnalloc(pool, to->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(to->data, (u_char *) text, to->len + 1);

    return NGX_OK;
}


/* meta and scopes as the row has them now */

ngx_int_t
ngx_http_claude_relay_account_info(ngx_http_claude_relay_account_t *a,
    ncr_store_account_t *row)
{
    size_t                         meta, scopes;
    ngx_http_claude_relay_info_t  *info;

    meta = ngx_strlen(row->meta);
    scopes = ngx_strlen(row->scopes);

    if (a->info
        && a->info->meta.len == meta && a->info->scopes.len == scopes
        && ngx_memcmp(a->info->meta.data, row->meta, meta) == 0
        && ngx_memcmp(a->info->scopes.data, row->scopes, scopes) == 0)
    {
        return NGX_OK;
    }

    info = ngx_alloc(sizeof(ngx_http_claude_relay_info_t) + meta + scopes,
                     ngx_cycle->log);
    if (info == NULL) {
        return NGX_ERROR;
    }

    info->meta.len = meta;
    info->meta.data = (u_char *) (info + 1);
    info->scopes.len = scopes;
    info->scopes.data = info->meta.data + meta;

    ngx_memcpy(info->meta.data, row->meta, meta);
    ngx_memcpy(info->scopes.data, row->scopes, scopes);

    if (a->info) {
        ngx_free(a->info);
    }

    a->info = info;
    a->plan = ngx_http_claude_relay_account_plan(info);

    return NGX_OK;
}


static ncr_plan_e
ngx_http_claude_relay_account_plan(ngx_http_claude_relay_info_t *info)
{
    cJSON       *json, *name;
    ncr_str_t    s;
    ncr_plan_e   plan;

    if (info->meta.len == 0) {
        return NCR_PLAN_ANY;
    }

    json = cJSON_ParseWithLength((char *) info->meta.data, info->meta.len);
    name = cJSON_GetObjectItemCaseSensitive(json, "plan");
    plan = NCR_PLAN_ANY;

    if (cJSON_IsString(name)) {
        s.data = (u_char *) name->valuestring;
        s.len = ngx_strlen(name->valuestring);
        plan = ncr_plan(&s);
    }

    cJSON_Delete(json);

    return plan;
}
