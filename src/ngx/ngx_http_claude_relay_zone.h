
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What lies in shared memory.  One mutex, the slab pool's: it is the only
 * lock that nginx releases when a worker dies.  A worker may die between any
 * two stores, so nothing is counted that cannot be counted again: slots in
 * use are the leases that hang on the rows of living workers.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ZONE_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ZONE_H_INCLUDED_


#include "ngx_http_claude_relay.h"


/* raised whenever a structure of this file changes its shape */
#define NGX_HTTP_CLAUDE_RELAY_LAYOUT  2


/* an account's part that all workers share; found by name after a reload */

struct ngx_http_claude_relay_node_s {
    ngx_queue_t                        queue;
    u_char                             name[NGX_HTTP_CLAUDE_RELAY_NAME_LEN];
    size_t                             len;
    ngx_uint_t                         generation;  /* last that named it */
    ngx_uint_t                         number;      /* never reused */
    ngx_uint_t                         inflight;
    ncr_msec_t                         used;        /* the zone's turn */
    uint64_t                           picks;
    ncr_health_t                       health;
};


/* one slot of an account, held by one request of one worker */

struct ngx_http_claude_relay_lease_s {
    ngx_queue_t                        queue;       /* of the worker's row */
    ngx_http_claude_relay_node_t      *node;
    ngx_uint_t                         slot;        /* 1 if it takes one */
    ngx_uint_t                         probe;
};


typedef struct {
    ngx_pid_t                          pid;
    ngx_uint_t                         generation;
    ngx_atomic_t                       waiting;     /* share of the zone */
    ngx_queue_t                        leases;
} ngx_http_claude_relay_row_t;


/* a session or an id (batch, file) and the account it belongs to */

typedef struct {
    ngx_rbtree_node_t                  node;
    ngx_queue_t                        queue;
    u_char                             key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         account;     /* node's number */
    uint64_t                           owner;       /* key of an id, or 0 */
    ncr_msec_t                         expires;
    ncr_msec_t                         renewed;
} ngx_http_claude_relay_bond_t;


struct ngx_http_claude_relay_zone_s {
    ngx_uint_t                         layout;
    ngx_uint_t                         size;
    ngx_uint_t                         generation;
    ngx_uint_t                         numbers;
    ncr_msec_t                         born;
    u_char                             secret[32];

    ngx_queue_t                        nodes;

    ngx_rbtree_t                       bonds;
    ngx_rbtree_node_t                  sentinel;
    ngx_queue_t                        sessions;    /* newest first */
    ngx_queue_t                        ids;
    ngx_uint_t                         nsessions;
    ngx_uint_t                         nids;
    ngx_uint_t                         evicted;

    ngx_atomic_t                       waiting;     /* requests for a slot */
    uint64_t                           turn;

    ngx_atomic_t                       requests;
    ngx_atomic_t                       refused;     /* credentials */

    ngx_http_claude_relay_row_t        rows[NGX_MAX_PROCESSES];
};


/* all of these with the lock held */

ngx_http_claude_relay_bond_t *ngx_http_claude_relay_bond_locked(
    ngx_http_claude_relay_zone_t *zone, u_char *key, ncr_msec_t now);
void ngx_http_claude_relay_bond_set_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_queue_t *list, u_char *key,
    ngx_uint_t account, uint64_t owner, ncr_msec_t now, ncr_msec_t ttl);
void ngx_http_claude_relay_bond_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_bond_t *bond);
ngx_http_claude_relay_lease_t *ngx_http_claude_relay_lease_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node, ngx_uint_t slot, ngx_uint_t probe);
void ngx_http_claude_relay_lease_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_lease_t *lease);

/* every worker looks after its waiting requests */
void ngx_http_claude_relay_ring(ngx_http_claude_relay_zone_t *zone);

/* requests of this worker that wait for a slot */
extern ngx_queue_t  ngx_http_claude_relay_waiters;


#endif /* _NGX_HTTP_CLAUDE_RELAY_ZONE_H_INCLUDED_ */
