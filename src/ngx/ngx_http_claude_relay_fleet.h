
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Several nodes, one pool.  A node is an nginx with its zone and its store;
 * those that have one Redis and one prefix are a fleet.  One worker of a node
 * speaks for it: it tells and hears what changes, in beats and on a channel.
 * Any worker may ask for what a request must know.
 *
 * Names cross the wire, never numbers of one node; what is told is absolute,
 * so that it may be told twice.  See docs/fleet.md.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FLEET_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FLEET_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"
#include "ngx_http_claude_relay_redis.h"


/* nodes that are remembered by name */
#define NGX_HTTP_CLAUDE_RELAY_PEERS      64
#define NGX_HTTP_CLAUDE_RELAY_PEER_NAME  64
#define NGX_HTTP_CLAUDE_RELAY_PEER_TEXT  256

/* who refreshes tokens while Redis is away; redis_conf->away */
#define NGX_HTTP_CLAUDE_RELAY_AWAY_HOLDER  0    /* who has made them */
#define NGX_HTTP_CLAUDE_RELAY_AWAY_NEVER   1
#define NGX_HTTP_CLAUDE_RELAY_AWAY_ANY     2


typedef struct {
    char                               name[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    char                               text[NGX_HTTP_CLAUDE_RELAY_PEER_TEXT];
    char                               boot[17];    /* of its zone, hex */
    ncr_msec_t                         deadline;    /* by Redis' clock */
    unsigned                           alive:1;
} ngx_http_claude_relay_peer_t;


/* for the metrics; only grow */

typedef struct {
    ngx_atomic_t                       commands;
    ngx_atomic_t                       failures;    /* no answer */
    ngx_atomic_t                       errors;      /* error replies */
    ngx_atomic_t                       connects;
    ngx_atomic_t                       lookups;     /* of sessions and ids */
    ngx_atomic_t                       found;       /* elsewhere */
    ngx_atomic_t                       late;        /* went on without */
    ngx_atomic_t                       grants;      /* asked for a request */
    ngx_atomic_t                       shorts;      /* and refused */
    ngx_atomic_t                       rows_told;
    ngx_atomic_t                       rows_heard;
    ngx_atomic_t                       beats;
    ngx_atomic_t                       repairs;
} ngx_http_claude_relay_fleet_stats_t;


/* in the zone; NULL without claude_relay_redis */

struct ngx_http_claude_relay_fleet_s {
    char                               boot[17];    /* this zone's, hex */
    ngx_pid_t                          agent;       /* 0: nobody speaks */
    ngx_msec_t                         deadline;    /* of its lease */

    /* as the agent sees it */

    ngx_atomic_t                       state;   /* ..._redis_e */
    ncr_msec_t                         since;   /* of that */
    ncr_msec_t                         back;    /* when it was last there
                                                 * again, slow or not */
    ncr_msec_t                         heard;   /* last beat answered, wall */
    ncr_msec_t                         skew;    /* Redis' clock less ours */
    ngx_atomic_t                       nodes;   /* alive, with this one; last
                                                 * known, at least 1 */
    char                               epoch[33];
    uint64_t                           v;       /* of rows, seen: rows.c's */
    uint64_t                           latest;  /* the same, as Redis told */
    ngx_atomic_t                       synced;  /* 1: all rows were seen once */
    ngx_uint_t                         durable; /* Redis has an AOF */
    ngx_atomic_t                       acked;   /* seq of this store: Redis
                                                 * has all changes up to it */
    char                               error[NGX_HTTP_CLAUDE_RELAY_REASON];
    ngx_atomic_t                       twin;    /* another node has this
                                                 * one's name */
    ngx_atomic_t                       repair;  /* raised: by an operator */

    ngx_atomic_t                       urgent;  /* raised: beat at once */

    /* see shares.h */

    ngx_http_claude_relay_share_t    **shares;  /* buckets */
    ngx_uint_t                         shares_mask;
    ngx_http_claude_relay_share_t     *dirty;   /* looked at next */
    ngx_http_claude_relay_share_t     *later;   /* and in the next round */
    uint64_t                           seq;     /* of shares, monotonic */

    /* what events have told last, see feed_fleet.c; names of those that are
     * there */

    ngx_uint_t                         told_state;  /* 0: nothing */
    ngx_uint_t                         ntold;
    char                         told_names[NGX_HTTP_CLAUDE_RELAY_PEERS]
                                           [NGX_HTTP_CLAUDE_RELAY_PEER_NAME];

    ngx_uint_t                         npeers;
    ngx_http_claude_relay_peer_t       peers[NGX_HTTP_CLAUDE_RELAY_PEERS];

    ngx_http_claude_relay_fleet_stats_t  stats;
};


/* fleet.c */

ngx_int_t ngx_http_claude_relay_fleet_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_fleet_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* in the master: its part of the zone */
ngx_int_t ngx_http_claude_relay_fleet_zone(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);

/* this worker speaks for the node */
ngx_uint_t ngx_http_claude_relay_fleet_agent(void);

/* the doorbell rang */
void ngx_http_claude_relay_fleet_rung(void);

/* from any worker: compare and tell everything anew, soon */
void ngx_http_claude_relay_fleet_repair(
    ngx_http_claude_relay_main_conf_t *rmcf);

/*
 * May a request wait for Redis?  1: it is up, by what this worker and the
 * agent know.  0: go on with what the zone has.
 */
ngx_uint_t ngx_http_claude_relay_fleet_up(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* from any worker: something changed that others should know now */
void ngx_http_claude_relay_fleet_urgent(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* a key of Redis: prefix, kind ("s:") and name (NULL: none), into buf; what
 * does not fit is cut off */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_KEY  320
ngx_str_t ngx_http_claude_relay_fleet_key(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *buf, const char *kind,
    ngx_str_t *name);

/* from any worker, nobody waits: "NODE KIND ARGS" to all others */
void ngx_http_claude_relay_fleet_tell(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *kind,
    ngx_str_t *args);


/*
 * What has a part in the agent's work.  Each is called in the agent only; a
 * part makes calls of its own with ngx_http_claude_relay_redis_call(), and
 * knows by itself what is under way.
 */

typedef struct {
    const char                        *kind;    /* of messages; NULL: none */

    /* this worker has become the agent, or stops to be it */
    void (*begin)(ngx_http_claude_relay_main_conf_t *rmcf);
    void (*end)(void);

    /* five times a second, and at once when something is urgent, while Redis
     * is up */
    void (*beat)(ngx_http_claude_relay_main_conf_t *rmcf);

    /* a message of another node: args without its kind */
    void (*message)(ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);

    /* Redis is there again, or is another one: tell all, hear all.  flushed:
     * it knows nothing of what was told before */
    void (*repair)(ngx_http_claude_relay_main_conf_t *rmcf,
                   ngx_uint_t flushed);
} ngx_http_claude_relay_fleet_part_t;

/* each has a row in fleet.c: fleet_shares.c (w, f), fleet_health.c (h),
 * fleet_rows.c (r), fleet_sessions.c (m, x), fleet_usage.c */
extern ngx_http_claude_relay_fleet_part_t
    ngx_http_claude_relay_fleet_shares,
    ngx_http_claude_relay_fleet_freed,
    ngx_http_claude_relay_fleet_health,
    ngx_http_claude_relay_fleet_rows,
    ngx_http_claude_relay_fleet_moves,
    ngx_http_claude_relay_fleet_ends,
    ngx_http_claude_relay_fleet_usage;


/* fleet_rows.c: in the loop of any worker: what its thread has found in the
 * store, queues of ..._stored_t and ..._object_t */
void ngx_http_claude_relay_fleet_changed(ngx_queue_t *accounts,
    ngx_queue_t *objects);


/*
 * fleet_record.c: "claude_relay_store redis".  unready: 1: what the record has
 * is not all here.  record: NULL, or why nothing can be changed now.  Without
 * it 0 and NULL.
 */
ngx_uint_t ngx_http_claude_relay_fleet_unready(
    ngx_http_claude_relay_main_conf_t *rmcf);
const char *ngx_http_claude_relay_fleet_record(
    ngx_http_claude_relay_main_conf_t *rmcf);


/* fleet_sessions.c */

/* bits of ctx->unknown: what this node does not know */
#define NGX_HTTP_CLAUDE_RELAY_LOOK_SESSION  1
#define NGX_HTTP_CLAUDE_RELAY_LOOK_ID       2

/* sessions that are ended by one call */
#define NGX_HTTP_CLAUDE_RELAY_ENDED  64

/*
 * Before an account is picked: does another node know where this session, or
 * this id, belongs?  NGX_OK: go on (the zone knows now what there is to
 * know); NGX_AGAIN: ctx waits, and is woken.  Asks once for a request.
 */
ngx_int_t ngx_http_claude_relay_fleet_lookup(ngx_http_claude_relay_ctx_t *ctx);

/* nobody waits for its answer any more; called where it ends */
void ngx_http_claude_relay_fleet_forget(ngx_http_claude_relay_ctx_t *ctx);

/* its session's bond in the zone is ctx->account, made, renewed or moved; its
 * object (ctx->id_key) was made.  Nobody waits */
void ngx_http_claude_relay_fleet_session(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t moved);
void ngx_http_claude_relay_fleet_id(ngx_http_claude_relay_ctx_t *ctx);

/* an operator has ended n sessions (NGX_HTTP_CLAUDE_RELAY_ENDED at most) whose
 * keys follow each other, and others are told of each; or all of an account,
 * which they are told at the end, as they may have some that are not here */
void ngx_http_claude_relay_fleet_ended(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *keys, ngx_uint_t n,
    ngx_uint_t told);
void ngx_http_claude_relay_fleet_cleared(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *account);


/* fleet_lock.c: one refresh in the fleet */

typedef struct ngx_http_claude_relay_fleet_lock_s
                                        ngx_http_claude_relay_fleet_lock_t;

/*
 * rc NGX_OK: this node has it, and no newer tokens are known; NGX_DONE: there
 * were newer ones, which are in the store now; NGX_BUSY: another node has it,
 * or may have it: ask again; NGX_DECLINED: Redis is away, and this node may
 * not refresh then; NGX_ERROR: there are newer ones that it cannot have.
 * "error" has a text of the last two.
 */
typedef void (*ngx_http_claude_relay_fleet_lock_pt)(void *data, ngx_int_t rc);

struct ngx_http_claude_relay_fleet_lock_s {
    ngx_event_t                        told;    /* the handler is called */
    ngx_event_t                        renew;
    ngx_http_claude_relay_ask_t        ask;
    ngx_http_claude_relay_job_t        job;     /* newer tokens */
    ngx_str_t                          row;     /* as Redis has told them */
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_fleet_lock_pt  handler;
    void                              *data;
    ngx_int_t                          rc;
    uint64_t                           fence;   /* 0: without Redis */
    char                               error[NGX_HTTP_CLAUDE_RELAY_REASON];
    unsigned                           held:1;
    unsigned                           look:1;  /* at the tokens only */
};

/*
 * rmcf, account, handler and data are the caller's, all else is zero at
 * first.  The handler is called from the loop, once, never within; nothing
 * else may be asked until then.
 */
void ngx_http_claude_relay_fleet_lock(
    ngx_http_claude_relay_fleet_lock_t *lock);

/* the same, but nothing is locked: NGX_OK tells that there are no newer ones,
 * and NGX_DECLINED that nobody knows */
void ngx_http_claude_relay_fleet_lock_look(
    ngx_http_claude_relay_fleet_lock_t *lock);

/* all nodes shall have these tokens; before unlock(), which goes behind it */
void ngx_http_claude_relay_fleet_lock_tell(
    ngx_http_claude_relay_fleet_lock_t *lock, ncr_store_account_t *row);

/* gives it back, if it is held and still this one's */
void ngx_http_claude_relay_fleet_unlock(
    ngx_http_claude_relay_fleet_lock_t *lock);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FLEET_H_INCLUDED_ */
