
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_limit.h"
#include "ngx_http_claude_relay_ledger.h"
#include "ngx_http_claude_relay_fetch.h"
#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_audit.h"
#include "ngx_http_claude_relay_passwords.h"
#include "ngx_http_claude_relay_feed.h"
#include "ngx_http_claude_relay_shares.h"
#include "ngx_http_claude_relay_live.h"
#include "ngx_http_claude_relay_work.h"

#include <sys/eventfd.h>


/* dead workers are looked for this often, ms */
#define NGX_HTTP_CLAUDE_RELAY_REAP      250

/* ids outlive sessions: results of a batch are kept 29 days (F.4) */
#define NGX_HTTP_CLAUDE_RELAY_MAX_IDS   65536


static ngx_int_t ngx_http_claude_relay_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_claude_relay_zone_create(ngx_shm_zone_t *shm_zone,
    ngx_http_claude_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_claude_relay_zone_nodes(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);
static void ngx_http_claude_relay_node_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node);
static void ngx_http_claude_relay_zone_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_bond_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static void ngx_http_claude_relay_row_drop_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_row_t *row);
static void ngx_http_claude_relay_recount_locked(
    ngx_http_claude_relay_zone_t *zone, ngx_pid_t gone);
static void ngx_http_claude_relay_reap(ngx_event_t *ev);
static void ngx_http_claude_relay_doorbell_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_doorbell_init(ngx_cycle_t *cycle);


ngx_queue_t  ngx_http_claude_relay_waiters;

/*
 * One eventfd, made before the fork and inherited by all workers; each adds
 * it edge-triggered and never reads it, so one write() wakes them all, the
 * old workers of a reload too.
 */
static int                ngx_http_claude_relay_doorbell = -1;
static ngx_connection_t  *ngx_http_claude_relay_doorbell_connection;

static ngx_event_t        ngx_http_claude_relay_reaper;

/* debug builds read the fd of whatever a timer's data points to */
static ngx_connection_t   ngx_http_claude_relay_dummy;


char *
ngx_http_claude_relay_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    u_char      *p;
    ssize_t      size;
    ngx_str_t   *value, name, s;

    if (rmcf->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    p = (u_char *) ngx_strchr(value[1].data, ':');

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\", it must be \"name:size\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - value[1].data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (256 * 1024)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small, 256k is the least",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    rmcf->shm_zone = ngx_shared_memory_add(cf, &name, size,
                                           &ngx_http_claude_relay_module);
    if (rmcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (rmcf->shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already in use", &name);
        return NGX_CONF_ERROR;
    }

    rmcf->shm_zone->init = ngx_http_claude_relay_zone_init;
    rmcf->shm_zone->data = rmcf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_claude_relay_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_claude_relay_main_conf_t  *old = data;

    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = shm_zone->data;
    rmcf->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old || shm_zone->shm.exists) {

        rmcf->zone = rmcf->shpool->data;

        if (rmcf->zone == NULL
            || rmcf->zone->layout != NGX_HTTP_CLAUDE_RELAY_LAYOUT
            || rmcf->zone->size != sizeof(ngx_http_claude_relay_zone_t))
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "zone \"%V\" was laid out by another version of "
                          "the module, restart nginx or rename the zone",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

    } else if (ngx_http_claude_relay_zone_create(shm_zone, rmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_metrics_zone(rmcf, shm_zone->shm.log)
        != NGX_OK
        || ngx_http_claude_relay_guards_zone(rmcf, shm_zone->shm.log)
           != NGX_OK
        || ngx_http_claude_relay_fleet_zone(rmcf, shm_zone->shm.log) != NGX_OK
        || ngx_http_claude_relay_zone_nodes(rmcf, shm_zone->shm.log)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_usage_start(rmcf, old, shm_zone->shm.log);
}


static ngx_int_t
ngx_http_claude_relay_zone_create(ngx_shm_zone_t *shm_zone,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                         len;
    ngx_uint_t                     i;
    ngx_http_claude_relay_zone_t  *zone;

    zone = ngx_slab_calloc(rmcf->shpool, sizeof(ngx_http_claude_relay_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in claude relay zone \"\"") + shm_zone->shm.name.len;

    rmcf->shpool->log_ctx = ngx_slab_alloc(rmcf->shpool, len);
    if (rmcf->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(rmcf->shpool->log_ctx, " in claude relay zone \"%V\"%Z",
                &shm_zone->shm.name);

    /* a full zone evicts, it has nothing to complain about */
    rmcf->shpool->log_nomem = 0;

    zone->layout = NGX_HTTP_CLAUDE_RELAY_LAYOUT;
    zone->size = sizeof(ngx_http_claude_relay_zone_t);
    zone->born = ngx_http_claude_relay_now();

    if (RAND_bytes(zone->secret, sizeof(zone->secret)) != 1) {
        return NGX_ERROR;
    }

    ngx_queue_init(&zone->nodes);
    ngx_queue_init(&zone->notes);
    ngx_rbtree_init(&zone->names, &zone->names_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_queue_init(&zone->sessions);
    ngx_queue_init(&zone->ids);

    ngx_rbtree_init(&zone->bonds, &zone->sentinel,
                    ngx_http_claude_relay_bond_insert);

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        ngx_queue_init(&zone->rows[i].leases);
        ngx_queue_init(&zone->rows[i].tickets);
    }

    rmcf->zone = zone;

    if (ngx_http_claude_relay_counters_create(rmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    rmcf->shpool->data = zone;

    return NGX_OK;
}


/*
 * Every account of this configuration gets its node, an old one by its name.
 * Nodes that no living worker's configuration names are freed.
 */

static ngx_int_t
ngx_http_claude_relay_zone_nodes(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_node_t      *node;
    ngx_http_claude_relay_account_t  **a;

    a = rmcf->roster->accounts.elts;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    rmcf->zone->generation++;

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {

        node = ngx_http_claude_relay_node_locked(rmcf, &a[i]->name);

        if (node == NULL) {
            ngx_shmtx_unlock(&rmcf->shpool->mutex);
            ngx_log_error(NGX_LOG_EMERG, log, 0,
                          "no room for account \"%V\" in zone \"%V\"",
                          &a[i]->name, &rmcf->shm_zone->shm.name);
            return NGX_ERROR;
        }

        a[i]->node = node;

        if (!a[i]->protect) {

            /* one that may not rest is not left in the rest that it is in */

            ncr_health_clear(&node->health);
        }
    }

    ngx_http_claude_relay_zone_sweep_locked(rmcf);

    if (ngx_http_claude_relay_subjects_locked(rmcf) != NGX_OK) {
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no room for the keys of the store in zone \"%V\"",
                      &rmcf->shm_zone->shm.name);
        return NGX_ERROR;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return ngx_http_claude_relay_store_publish(rmcf, log);
}


/* found by its name, or made; NULL: the zone is full */

ngx_http_claude_relay_node_t *
ngx_http_claude_relay_node_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *name)
{
    uint32_t                       hash;
    ngx_http_claude_relay_zone_t  *zone;
    ngx_http_claude_relay_node_t  *node;

    zone = rmcf->zone;
    hash = ngx_crc32_long(name->data, name->len);

    node = (ngx_http_claude_relay_node_t *)
               ngx_str_rbtree_lookup(&zone->names, name, hash);

    if (node == NULL) {

        node = ngx_http_claude_relay_alloc_locked(rmcf,
                                  sizeof(ngx_http_claude_relay_node_t),
                                  NGX_MAX_UINT32_VALUE);
        if (node == NULL) {
            return NULL;
        }

        ngx_memcpy(node->name, name->data, name->len);

        node->sn.node.key = hash;
        node->sn.str.len = name->len;
        node->sn.str.data = node->name;
        node->number = ++zone->numbers;

        ngx_rbtree_insert(&zone->names, &node->sn.node);
        ngx_queue_insert_tail(&zone->nodes, &node->queue);
    }

    node->generation = zone->generation;

    return node;
}


static void
ngx_http_claude_relay_node_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node)
{
    ngx_queue_remove(&node->queue);
    ngx_rbtree_delete(&rmcf->zone->names, &node->sn.node);

    if (node->tokens) {
        ngx_http_claude_relay_tokens_free_locked(rmcf, node->tokens);
    }

    ngx_http_claude_relay_notes_free_locked(rmcf, &node->failures);
    ngx_http_claude_relay_notes_free_locked(rmcf, &node->tests);
    ngx_http_claude_relay_share_node_free_locked(rmcf, node);

    ngx_slab_free_locked(rmcf->shpool, node);
}


/* accounts that were removed, and that no worker has in a roster any more */

void
ngx_http_claude_relay_nodes_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    uint64_t                       oldest;
    ngx_uint_t                     i;
    ngx_queue_t                   *q, *next;
    ngx_http_claude_relay_zone_t  *zone;
    ngx_http_claude_relay_node_t  *node;

    zone = rmcf->zone;
    oldest = UINT64_MAX;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (zone->rows[i].pid && zone->rows[i].seq < oldest) {
            oldest = zone->rows[i].seq;
        }
    }

    for (q = ngx_queue_head(&zone->nodes);
         q != ngx_queue_sentinel(&zone->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_http_claude_relay_node_t, queue);

        if (node->removed && node->removed <= oldest && node->inflight == 0) {
            ngx_http_claude_relay_node_free_locked(rmcf, node);
        }
    }
}


static void
ngx_http_claude_relay_zone_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                     i, oldest;
    ngx_queue_t                   *q, *next;
    ngx_http_claude_relay_zone_t  *zone;
    ngx_http_claude_relay_node_t  *node;

    zone = rmcf->zone;

    /* the master that is just now running the configuration may fail later
     * in this reload, so the generation before it is alive in any case */

    oldest = zone->generation - 1;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (zone->rows[i].pid && zone->rows[i].generation < oldest) {
            oldest = zone->rows[i].generation;
        }
    }

    for (q = ngx_queue_head(&zone->nodes);
         q != ngx_queue_sentinel(&zone->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_http_claude_relay_node_t, queue);

        if (node->generation < oldest && node->inflight == 0) {
            ngx_http_claude_relay_node_free_locked(rmcf, node);
        }
    }
}


/*
 * Zeroed memory; in a full zone up to evict of the oldest sessions go for
 * it.  NULL if that does not help.
 */

void *
ngx_http_claude_relay_alloc_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    size_t size, ngx_uint_t evict)
{
    void                          *p;
    ngx_queue_t                   *q;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    for ( ;; ) {

        p = ngx_slab_calloc_locked(rmcf->shpool, size);

        if (p) {
            return p;
        }

        if (ngx_http_claude_relay_notes_evict_locked(rmcf)) {
            continue;
        }

        if (evict-- == 0 || ngx_queue_empty(&zone->sessions)) {
            return NULL;
        }

        q = ngx_queue_last(&zone->sessions);

        ngx_http_claude_relay_bond_free_locked(rmcf,
                     ngx_queue_data(q, ngx_http_claude_relay_bond_t, queue));
        zone->nsessions--;
        zone->evicted++;
    }
}


/*
 * Are so many bytes left in whole pages?  Sessions go for it, the oldest
 * first.  What stays for long asks for this, and leaves the last part of a
 * zone to requests under way, which need little, but must have it.
 */

ngx_uint_t
ngx_http_claude_relay_room_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    size_t size)
{
    ngx_queue_t                   *q;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    while (rmcf->shpool->pfree * ngx_pagesize <= size) {

        if (ngx_http_claude_relay_notes_evict_locked(rmcf)) {
            continue;
        }

        if (ngx_queue_empty(&zone->sessions)) {
            return 0;
        }

        q = ngx_queue_last(&zone->sessions);

        ngx_http_claude_relay_bond_free_locked(rmcf,
                     ngx_queue_data(q, ngx_http_claude_relay_bond_t, queue));
        zone->nsessions--;
        zone->evicted++;
    }

    return 1;
}


static void
ngx_http_claude_relay_bond_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t             **p;
    ngx_http_claude_relay_bond_t   *a, *b;

    for ( ;; ) {

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            a = (ngx_http_claude_relay_bond_t *) node;
            b = (ngx_http_claude_relay_bond_t *) temp;

            p = (ngx_memcmp(a->key, b->key, sizeof(a->key)) < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


/* keys are digests, their first bytes spread well enough */

static ngx_rbtree_key_t
ngx_http_claude_relay_bond_hash(u_char *key)
{
    ngx_rbtree_key_t  hash;

    ngx_memcpy(&hash, key, sizeof(hash));

    return hash;
}


ngx_http_claude_relay_bond_t *
ngx_http_claude_relay_bond_locked(ngx_http_claude_relay_zone_t *zone,
    u_char *key, ncr_msec_t now)
{
    ngx_int_t                      rc;
    ngx_rbtree_key_t               hash;
    ngx_rbtree_node_t             *node;
    ngx_http_claude_relay_bond_t  *bond;

    hash = ngx_http_claude_relay_bond_hash(key);
    node = zone->bonds.root;

    while (node != &zone->sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        bond = (ngx_http_claude_relay_bond_t *) node;

        rc = ngx_memcmp(key, bond->key, sizeof(bond->key));

        if (rc == 0) {
            return (bond->expires > now) ? bond : NULL;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


ngx_http_claude_relay_bond_t *
ngx_http_claude_relay_bond_after_locked(ngx_http_claude_relay_zone_t *zone,
    u_char *key)
{
    ngx_uint_t                     greater;
    ngx_rbtree_key_t               hash;
    ngx_rbtree_node_t             *node, *best;
    ngx_http_claude_relay_bond_t  *bond;

    hash = key ? ngx_http_claude_relay_bond_hash(key) : 0;
    node = zone->bonds.root;
    best = NULL;

    while (node != &zone->sentinel) {

        bond = (ngx_http_claude_relay_bond_t *) node;

        greater = key == NULL || node->key > hash
                  || (node->key == hash
                      && ngx_memcmp(bond->key, key, sizeof(bond->key)) > 0);

        if (greater) {
            best = node;
            node = node->left;

        } else {
            node = node->right;
        }
    }

    return (ngx_http_claude_relay_bond_t *) best;
}


void
ngx_http_claude_relay_bond_free_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_bond_t *bond)
{
    ngx_queue_remove(&bond->queue);
    ngx_rbtree_delete(&rmcf->zone->bonds, &bond->node);
    ngx_slab_free_locked(rmcf->shpool, bond);
}


/* makes or renews a bond; a full zone forgets the oldest, or this one: then
 * it is NULL */

ngx_http_claude_relay_bond_t *
ngx_http_claude_relay_bond_set_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_queue_t *list, u_char *key, ngx_uint_t account, uint64_t owner,
    ncr_msec_t now, ncr_msec_t ttl)
{
    ngx_uint_t                     i, *n;
    ngx_queue_t                   *q;
    ngx_http_claude_relay_bond_t  *bond, *old;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;
    n = (list == &zone->sessions) ? &zone->nsessions : &zone->nids;

    /* an expired one is found with the time set back */
    bond = ngx_http_claude_relay_bond_locked(zone, key, 0);

    if (bond) {
        ngx_queue_remove(&bond->queue);

    } else {

        /* two of the oldest go if their time has come, so a zone drains */

        for (i = 0; i < 2 && !ngx_queue_empty(list); i++) {
            q = ngx_queue_last(list);
            old = ngx_queue_data(q, ngx_http_claude_relay_bond_t, queue);

            if (old->expires > now
                && !(list == &zone->ids
                     && *n >= NGX_HTTP_CLAUDE_RELAY_MAX_IDS))
            {
                break;
            }

            ngx_http_claude_relay_bond_free_locked(rmcf, old);
            (*n)--;
        }

        bond = ngx_http_claude_relay_alloc_locked(rmcf,
                                sizeof(ngx_http_claude_relay_bond_t), 32);
        if (bond == NULL) {
            return NULL;
        }

        ngx_memcpy(bond->key, key, sizeof(bond->key));
        bond->node.key = ngx_http_claude_relay_bond_hash(key);
        ngx_rbtree_insert(&zone->bonds, &bond->node);
        (*n)++;
    }

    /* what had expired is another session now */

    if (bond->expires <= now) {
        bond->created = now;
        bond->moved = 0;
        bond->moves = 0;
    }

    bond->session = (list == &zone->sessions);
    bond->account = account;
    bond->owner = owner;
    bond->expires = now + ttl;
    bond->renewed = now;

    ngx_queue_insert_head(list, &bond->queue);

    return bond;
}


ngx_http_claude_relay_lease_t *
ngx_http_claude_relay_lease_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node, ngx_uint_t slot, ngx_uint_t probe)
{
    ngx_http_claude_relay_zone_t   *zone;
    ngx_http_claude_relay_lease_t  *lease;

    zone = rmcf->zone;

    /* a request in flight is worth more than any old session */

    lease = ngx_http_claude_relay_alloc_locked(rmcf,
                                 sizeof(ngx_http_claude_relay_lease_t),
                                 NGX_MAX_UINT32_VALUE);
    if (lease == NULL) {
        return NULL;
    }

    lease->node = node;
    lease->slot = slot;
    lease->probe = probe;

    ngx_queue_insert_tail(&zone->rows[ngx_process_slot].leases, &lease->queue);

    node->inflight += slot;

    if (probe) {
        node->health.probing = 1;
    }

    return lease;
}


void
ngx_http_claude_relay_lease_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_lease_t *lease)
{
    ngx_queue_remove(&lease->queue);

    lease->node->inflight -= ngx_min(lease->slot, lease->node->inflight);

    if (lease->probe) {
        lease->node->health.probing = 0;
    }

    (void) ngx_http_claude_relay_turn_end_locked(lease);

    ngx_slab_free_locked(rmcf->shpool, lease);
}


/*
 * The leases of a worker that is no more.  It may have died half-way through
 * a change of its list: a lease is zeroed before it is linked, so a list that
 * was left open ends with NULL.  All counts are then made anew from the lists
 * of the others.
 */

static void
ngx_http_claude_relay_row_drop_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_row_t *row)
{
    ngx_pid_t                      gone;
    ngx_queue_t                   *q, *next;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    (void) ngx_atomic_fetch_add(&zone->waiting, -row->waiting);

    gone = row->pid;
    row->pid = 0;
    row->waiting = 0;
    row->subjects = NULL;

    q = ngx_queue_head(&row->leases);

    while (q && q != ngx_queue_sentinel(&row->leases)) {
        next = ngx_queue_next(q);
        ngx_slab_free_locked(rmcf->shpool,
                 ngx_queue_data(q, ngx_http_claude_relay_lease_t, queue));
        q = next;
    }

    ngx_queue_init(&row->leases);

    ngx_http_claude_relay_live_drop_locked(rmcf, row);
    ngx_http_claude_relay_recount_locked(zone, gone);

    if (ngx_http_claude_relay_tickets_drop_locked(rmcf, row) == NGX_OK) {
        ngx_http_claude_relay_counters_recount_locked(rmcf);
    }

    ngx_http_claude_relay_shares_recount_locked(rmcf);
    ngx_http_claude_relay_subjects_sweep_locked(rmcf);
}


static void
ngx_http_claude_relay_recount_locked(ngx_http_claude_relay_zone_t *zone,
    ngx_pid_t gone)
{
    ngx_uint_t                      i;
    ngx_queue_t                    *q;
    ngx_http_claude_relay_row_t    *row;
    ngx_http_claude_relay_node_t   *node;
    ngx_http_claude_relay_lease_t  *lease;

    for (q = ngx_queue_head(&zone->nodes);
         q != ngx_queue_sentinel(&zone->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_claude_relay_node_t, queue);
        node->inflight = 0;
        node->turns = 0;
        node->health.probing = 0;

        /* a refresh that died with its worker is anybody's */

        if (node->refresher
            && (node->refresher == gone
                || (kill(node->refresher, 0) == -1 && ngx_errno == ESRCH)))
        {
            node->refresher = 0;
        }
    }

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        row = &zone->rows[i];

        for (q = ngx_queue_head(&row->leases);
             q && q != ngx_queue_sentinel(&row->leases);
             q = ngx_queue_next(q))
        {
            lease = ngx_queue_data(q, ngx_http_claude_relay_lease_t, queue);
            lease->node->inflight += lease->slot;
            lease->node->turns |= lease->turn;

            if (lease->probe) {
                lease->node->health.probing = 1;
            }
        }
    }
}


static void
ngx_http_claude_relay_reap(ngx_event_t *ev)
{
    ngx_uint_t                          i, dropped;
    ngx_http_claude_relay_zone_t       *zone;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_claude_relay_module);
    zone = rmcf->zone;
    dropped = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        if (zone->rows[i].pid == 0
            || kill(zone->rows[i].pid, 0) == 0
            || ngx_errno != ESRCH)
        {
            continue;
        }

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        if (zone->rows[i].pid && kill(zone->rows[i].pid, 0) == -1) {
            ngx_http_claude_relay_row_drop_locked(rmcf, &zone->rows[i]);
            dropped = 1;
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);
    }

    if (dropped) {
        ngx_http_claude_relay_ring(zone);
    }

    /* should a ring have been missed */
    ngx_http_claude_relay_live_rung(rmcf);

    if (!ngx_exiting && !ngx_terminate && !ngx_quit) {
        ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_REAP);
    }
}


void
ngx_http_claude_relay_ring(ngx_http_claude_relay_zone_t *zone)
{
    if (zone->waiting) {
        ngx_http_claude_relay_ring_all();
    }
}


void
ngx_http_claude_relay_ring_all(void)
{
    uint64_t  one;

    one = 1;

    /* a counter at its ceiling has woken everybody already */
    (void) !write(ngx_http_claude_relay_doorbell, &one, sizeof(one));
}


static void
ngx_http_claude_relay_doorbell_handler(ngx_event_t *ev)
{
    ngx_queue_t                        *q;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    for (q = ngx_queue_head(&ngx_http_claude_relay_waiters);
         q != ngx_queue_sentinel(&ngx_http_claude_relay_waiters);
         q = ngx_queue_next(q))
    {
        ctx = ngx_queue_data(q, ngx_http_claude_relay_ctx_t, waiting);

        if (!ctx->ev.posted) {
            ngx_post_event(&ctx->ev, &ngx_posted_events);
        }
    }

    ngx_http_claude_relay_store_rung();

    rmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_claude_relay_module);

    ngx_http_claude_relay_live_rung(rmcf);
    ngx_http_claude_relay_feed_rung(rmcf);
    ngx_http_claude_relay_fleet_rung();
}


/* the doorbell hangs before the workers come; a reload keeps it */

ngx_int_t
ngx_http_claude_relay_zone_init_module(ngx_cycle_t *cycle)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf == NULL || rmcf->shm_zone == NULL
        || ngx_http_claude_relay_doorbell != -1)
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_doorbell = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (ngx_http_claude_relay_doorbell == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "eventfd() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_doorbell_init(ngx_cycle_t *cycle)
{
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    c = ngx_get_connection(ngx_http_claude_relay_doorbell, cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    rev = c->read;
    rev->log = cycle->log;
    rev->handler = ngx_http_claude_relay_doorbell_handler;

    /* not a socket to be closed, or waited for, when the worker leaves */
    rev->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT) == NGX_ERROR) {
        ngx_free_connection(c);
        return NGX_ERROR;
    }

    ngx_http_claude_relay_doorbell_connection = c;

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_zone_init_process(ngx_cycle_t *cycle)
{
    ngx_event_t                        *ev;
    ngx_http_claude_relay_row_t        *row;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    ngx_queue_init(&ngx_http_claude_relay_waiters);

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf == NULL || rmcf->zone == NULL) {
        return NGX_OK;
    }

    /* the slot may have been a dead worker's */

    row = &rmcf->zone->rows[ngx_process_slot];

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (row->pid || !ngx_queue_empty(&row->leases)
        || !ngx_queue_empty(&row->tickets) || row->live)
    {
        ngx_http_claude_relay_row_drop_locked(rmcf, row);
    }

    row->pid = ngx_pid;
    row->generation = rmcf->zone->generation;
    row->seq = rmcf->roster->seq;
    row->subjects = rmcf->subjects;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_live_init();

    if (ngx_http_claude_relay_doorbell_init(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_claude_relay_dummy.fd = (ngx_socket_t) -1;

    ev = &ngx_http_claude_relay_reaper;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_claude_relay_reap;
    ev->log = cycle->log;
    ev->data = &ngx_http_claude_relay_dummy;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_REAP);

    if (ngx_http_claude_relay_audit_init_process(cycle, rmcf) != NGX_OK
        || ngx_http_claude_relay_store_init_process(cycle, rmcf) != NGX_OK
        || ngx_http_claude_relay_alerts_init_process(cycle, rmcf) != NGX_OK
        || ngx_http_claude_relay_fleet_init_process(cycle, rmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_ledger_init_process(cycle, rmcf);
}


void
ngx_http_claude_relay_zone_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf == NULL || rmcf->zone == NULL) {
        return;
    }

    ngx_http_claude_relay_alerts_exit_process();
    /* what it hands back may go on in the store */
    ngx_http_claude_relay_passwords_exit_process();

    ngx_http_claude_relay_work_exit_process();
    ngx_http_claude_relay_store_exit_process(rmcf);
    ngx_http_claude_relay_ledger_exit_process(rmcf);

    /* a refresh that has just ended is told */
    ngx_http_claude_relay_fleet_exit_process(rmcf);

    ngx_http_claude_relay_audit_exit_process();
    ngx_http_claude_relay_fetch_exit();
    ngx_http_claude_relay_idle_close_all(rmcf);
    ngx_http_claude_relay_lookup_exit();

    /* other workers are the ones to keep them for */
    rmcf->subjects = NULL;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_row_drop_locked(rmcf,
                                    &rmcf->zone->rows[ngx_process_slot]);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (ngx_http_claude_relay_doorbell_connection) {
        ngx_free_connection(ngx_http_claude_relay_doorbell_connection);
        ngx_http_claude_relay_doorbell_connection = NULL;
    }
}
