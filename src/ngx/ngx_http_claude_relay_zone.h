
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
#include "ncr_store.h"


/* raised whenever a structure of this file changes its shape */
#define NGX_HTTP_CLAUDE_RELAY_LAYOUT  7


/* why something failed, for operators; never holds a secret */
#define NGX_HTTP_CLAUDE_RELAY_REASON  160


/*
 * The tokens of an account; another set is another block, and one store of a
 * pointer puts it in place.
 */

typedef struct {
    uint64_t                           version;     /* the store's */
    uint64_t                           tie;         /* of two of a version */
    uint64_t                           fence;
    ncr_msec_t                         expires;     /* 0 = not known */
    ncr_msec_t                         granted;
    uint32_t                           access;      /* lengths */
    uint32_t                           refresh;
    uint32_t                           scopes;
    uint32_t                           holder;
    unsigned                           own:1;       /* made by this node */
    u_char                             data[];
} ngx_http_claude_relay_tokens_t;


/*
 * The last failures of an account, or its last tests.  A ring is made with
 * the first note, and goes before anything else when the zone is full.
 */

#define NGX_HTTP_CLAUDE_RELAY_NOTES  16

typedef struct {
    ncr_msec_t                         at;
    uint32_t                           class;       /* ncr_class_e */
    uint32_t                           status;      /* 0: there was none */
    uint32_t                           ms;
    char                               id[36];      /* the request's, or "" */
    char                               text[NGX_HTTP_CLAUDE_RELAY_REASON];
} ngx_http_claude_relay_note_t;

typedef struct ngx_http_claude_relay_notes_s  ngx_http_claude_relay_notes_t;

struct ngx_http_claude_relay_notes_s {
    ngx_queue_t                        queue;       /* of zone->notes */
    ngx_http_claude_relay_notes_t    **place;       /* of the node */
    uint64_t                           n;           /* ever */
    ngx_http_claude_relay_note_t       note[NGX_HTTP_CLAUDE_RELAY_NOTES];
};


/* kinds of tokens: they add up, so those of thinking are no kind */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_TALLY_INPUT = 0,
    NGX_HTTP_CLAUDE_RELAY_TALLY_OUTPUT,
    NGX_HTTP_CLAUDE_RELAY_TALLY_READ,
    NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_5M,
    NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_1H,
    NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS
} ngx_http_claude_relay_tally_token_e;


/* what an account has done, for the metrics; it only grows */

typedef struct {
    ngx_atomic_t                       attempts[NCR_CLASSES];
    uint64_t                           requests;    /* that it answered */
    uint64_t                           cost;        /* micro-dollars */
    uint64_t                  tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS];
} ngx_http_claude_relay_tally_t;


/* what other nodes of a fleet know of an account's health: see
 * fleet_health.c; edits is what was looked at, the other two what was said */

typedef struct {
    uint64_t                           edits;
    uint64_t                           rests;
    uint64_t                           windows;
    ncr_msec_t                         stamp;       /* by Redis' clock */
    ngx_uint_t                         asked;       /* Redis, of this one */
} ngx_http_claude_relay_shared_t;


/*
 * An account's part that all workers share; found by name after a reload.
 * What stands under "tokens" is true for accounts that live by them.
 */

struct ngx_http_claude_relay_node_s {
    ngx_str_node_t                     sn;          /* of zone->names */
    ngx_queue_t                        queue;
    u_char                             name[NGX_HTTP_CLAUDE_RELAY_NAME_LEN];
    ngx_uint_t                         generation;  /* last that named it */
    ngx_uint_t                         number;      /* never reused */
    ngx_uint_t                         inflight;
    ngx_uint_t                         turns;       /* 1: one has its turn */
    ngx_msec_t                         turn_at;     /* the next one's */
    ncr_msec_t                         used;        /* the zone's turn */
    uint64_t                           picks;
    ncr_health_t                       health;
    ngx_http_claude_relay_shared_t     shared;

    /* the store's row, as it was applied last */

    uint64_t                           id;
    uint64_t                           seq;
    uint64_t                           removed;     /* seq of a tombstone */

    /* tokens; version, tie and expires are read without the lock */

    ngx_http_claude_relay_tokens_t    *tokens;
    ngx_atomic_t                       version;     /* 0 = none */
    ngx_atomic_t                       tie;         /* the same with a fleet */
    ncr_msec_t                         expires;
    uint64_t                           rejected;    /* version of a 401 */
    ncr_msec_t                         login;       /* needs one since then */
    char                               reason[NGX_HTTP_CLAUDE_RELAY_REASON];

    /* the refresh; ms of ngx_current_msec */

    ngx_pid_t                          refresher;   /* 0 = nobody */
    ngx_msec_t                         deadline;    /* of its lease */
    ngx_msec_t                         retry_at;    /* 0 = at any time */
    ngx_uint_t                         fails;       /* in a row */
    uint64_t                           refreshes;
    ncr_msec_t                         refreshed;   /* by the wall clock */
    char                               failure[NGX_HTTP_CLAUDE_RELAY_REASON];

    /* quota by the usage endpoint */

    ngx_msec_t                         usage_at;    /* not before */
    ngx_msec_t                         learn_at;    /* the same, learn.c */

    /* the last test */

    ncr_msec_t                         tested;
    ngx_uint_t                         test_status;
    ngx_msec_t                         test_ms;

    ngx_http_claude_relay_notes_t     *failures;    /* or NULL, both */
    ngx_http_claude_relay_notes_t     *tests;

    /* of events */

    ngx_uint_t                         told;        /* state, 0: none */
    uint64_t                           told_refreshes;

    ngx_http_claude_relay_tally_t      tally;

    ngx_http_claude_relay_share_t     *share;   /* of slots; NULL: none */
};


/* one slot of an account, held by one request of one worker */

struct ngx_http_claude_relay_lease_s {
    ngx_queue_t                        queue;       /* of the worker's row */
    ngx_http_claude_relay_node_t      *node;
    ngx_uint_t                         slot;        /* 1 if it takes one */
    ngx_uint_t                         probe;
    ngx_uint_t                         turn;        /* 1 until it has begun */
    ngx_msec_t                         gap;         /* after it */
};


typedef struct {
    ngx_pid_t                          pid;
    ngx_uint_t                         generation;
    uint64_t                           seq;         /* of its oldest roster */
    ngx_atomic_t                       waiting;     /* share of the zone */
    ngx_queue_t                        leases;
    ngx_queue_t                        tickets;
    ngx_http_claude_relay_subjects_t  *subjects;    /* of its store */
    ngx_http_claude_relay_live_page_t *live;        /* see live.h */
} ngx_http_claude_relay_row_t;


/* how long requests have waited for a limit, lately; ms */
#define NGX_HTTP_CLAUDE_RELAY_WAITS  64

typedef struct {
    ngx_uint_t                         n;           /* ever */
    ngx_msec_t                         at[NGX_HTTP_CLAUDE_RELAY_WAITS];
    ngx_msec_t                         wait[NGX_HTTP_CLAUDE_RELAY_WAITS];
} ngx_http_claude_relay_waits_t;


/* a session or an id (batch, file) and the account it belongs to */

typedef struct {
    ngx_rbtree_node_t                  node;
    ngx_queue_t                        queue;
    u_char                             key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         account;     /* node's number */
    uint64_t                           owner;       /* key of an id, or 0 */
    ncr_msec_t                         expires;
    ncr_msec_t                         renewed;
    ncr_msec_t                         created;
    ncr_msec_t                         moved;       /* last, or 0 */
    uint32_t                           moves;
    uint8_t                            why;         /* class of the last one */
    uint8_t                            session;     /* 0: of an id */
} ngx_http_claude_relay_bond_t;


/* of batches, files and threads, ms */
#define NGX_HTTP_CLAUDE_RELAY_ID_TTL  ((ncr_msec_t) 30 * 86400 * 1000)

/* session.c: whose they are, of ctx->key; 0 without keys */
uint64_t ngx_http_claude_relay_owner(ngx_http_claude_relay_ctx_t *ctx);


struct ngx_http_claude_relay_zone_s {
    ngx_uint_t                         layout;
    ngx_uint_t                         size;
    ngx_uint_t                         generation;
    ngx_uint_t                         numbers;
    ncr_msec_t                         born;
    u_char                             secret[32];

    ngx_queue_t                        nodes;
    ngx_queue_t                        notes;       /* newest first */
    ngx_rbtree_t                       names;
    ngx_rbtree_node_t                  names_sentinel;

    ngx_rbtree_t                       bonds;
    ngx_rbtree_node_t                  sentinel;
    ngx_queue_t                        sessions;    /* newest first */
    ngx_queue_t                        ids;
    ngx_uint_t                         nsessions;
    ngx_uint_t                         nids;
    ngx_uint_t                         evicted;

    ngx_http_claude_relay_metrics_t   *metrics;

    ngx_atomic_t                       waiting;     /* requests for a slot */
    uint64_t                           turn;

    ngx_http_claude_relay_counter_t  **counters;    /* buckets of limits */
    ngx_uint_t                         counters_mask;
    ngx_uint_t                         counters_hand;   /* looked at next */
    ngx_http_claude_relay_waits_t      waits;

    ngx_atomic_t                       requests;
    ngx_atomic_t                       refused;     /* credentials */
    ngx_atomic_t                       audited;     /* entries written */
    ngx_atomic_t                       audit_dropped;

    ngx_atomic_t                       kills;       /* of requests, rung */
    ngx_atomic_t                       unlisted;    /* requests: no room */

    /* events; ms of ngx_current_msec, see feed.h */

    ngx_http_claude_relay_feed_t      *feed;        /* NULL: none yet */
    ngx_atomic_t                       watched;     /* until then */
    ngx_msec_t                         polled;
    ngx_msec_t                         feed_rung;

    ngx_atomic_t                       changes;     /* of the store, rung */
    uint32_t                           store;       /* hash of its path */
    ngx_http_claude_relay_subjects_t  *subjects;        /* newest first */
    ngx_uint_t                         store_failed;    /* 1 while it is so */
    ncr_msec_t                         store_since;
    char                               store_error[NCR_STORE_ERROR];

    /* the ledger */

    uint64_t                           usage_lost;  /* found no room */
    ngx_atomic_t                       usage_refused;   /* for want of it */
    ncr_msec_t                         usage_drained;   /* all of it, last */
    ngx_uint_t                         usage_failed;    /* 1 while it is so */
    ncr_msec_t                         usage_since;
    char                               usage_error[NCR_STORE_ERROR];

    ngx_http_claude_relay_guards_t    *guards;  /* NULL: nobody logs in */
    ngx_http_claude_relay_fleet_t     *fleet;   /* NULL: no Redis */

    /* the worker that tells of alerts; ms of ngx_current_msec */

    ngx_pid_t                          alerter;     /* 0 = nobody */
    ngx_msec_t                         alert_deadline;  /* of its lease */

    ngx_uint_t                         key_number;  /* of a new store key */
    u_char                             key[NCR_SEAL_KEY];

    ngx_http_claude_relay_row_t        rows[NGX_MAX_PROCESSES];
};


/* all of these with the lock held */

ngx_http_claude_relay_bond_t *ngx_http_claude_relay_bond_locked(
    ngx_http_claude_relay_zone_t *zone, u_char *key, ncr_msec_t now);

/* the one with the next key in the tree, of whatever age; key NULL: the first
 * one; NULL: there is none */
ngx_http_claude_relay_bond_t *ngx_http_claude_relay_bond_after_locked(
    ngx_http_claude_relay_zone_t *zone, u_char *key);
ngx_http_claude_relay_bond_t *ngx_http_claude_relay_bond_set_locked(
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

/* turn.c */

ngx_uint_t ngx_http_claude_relay_turn_waits_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t *a);
void ngx_http_claude_relay_turn_take_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a);
ngx_uint_t ngx_http_claude_relay_turn_end_locked(
    ngx_http_claude_relay_lease_t *lease);

void ngx_http_claude_relay_tokens_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_tokens_t *tokens);
ngx_http_claude_relay_node_t *ngx_http_claude_relay_node_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name);
void ngx_http_claude_relay_nodes_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);
void *ngx_http_claude_relay_alloc_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, size_t size, ngx_uint_t evict);

ngx_uint_t ngx_http_claude_relay_room_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, size_t size);

/* notes.c: place is the node's */

void ngx_http_claude_relay_note_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place,
    ngx_http_claude_relay_note_t *note);
void ngx_http_claude_relay_notes_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place);

/* 1: the oldest ring went, there is more room */
ngx_uint_t ngx_http_claude_relay_notes_evict_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* without the lock: others' words, less what is a secret of the account's */
void ngx_http_claude_relay_note_words(ngx_http_claude_relay_account_t *a,
    char *dst, size_t size, ngx_str_t *text);

/* every worker looks after its waiting requests, if there are any */
void ngx_http_claude_relay_ring(ngx_http_claude_relay_zone_t *zone);

/* the same, and looks into the store if zone->changes has moved */
void ngx_http_claude_relay_ring_all(void);

/*
 * health.c: what is known of an account at a moment.  The node is a copy,
 * its pointers lead nowhere.
 */

typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_node_t       node;
    const char                        *state;
    const char                        *why;     /* NULL: ok, or disabled */
    ncr_msec_t                         until;   /* 0: not told, or never */
    const char                        *reason;  /* why it needs a login */

    /* of tokens, if the account lives by them */

    uint64_t                           version; /* 0 = it has none */
    ncr_msec_t                         expires;
    ncr_msec_t                         granted;
    ncr_msec_t                         retry_at;
    unsigned                           refreshable:1;
} ngx_http_claude_relay_view_t;

void ngx_http_claude_relay_view(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now,
    ngx_http_claude_relay_view_t *view);

/* JSON objects; what these take at most */
#define NGX_HTTP_CLAUDE_RELAY_VIEW_SIZE  4096

void ngx_http_claude_relay_view_windows(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
void ngx_http_claude_relay_view_families(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
void ngx_http_claude_relay_view_token(ncr_out_t *out,
    ngx_http_claude_relay_view_t *view, ngx_str_t *scopes);

/* requests of this worker that wait for a slot */
extern ngx_queue_t  ngx_http_claude_relay_waiters;


#endif /* _NGX_HTTP_CLAUDE_RELAY_ZONE_H_INCLUDED_ */
