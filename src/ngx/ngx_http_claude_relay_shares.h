
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Limits and slots that all nodes of a fleet have together: what lies in the
 * zone of them, and how a request asks for more.  All of it is there with
 * claude_relay_redis only.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_SHARES_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_SHARES_H_INCLUDED_


#include "ngx_http_claude_relay_limit.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ncr_share.h"


/* in one command */
#define NGX_HTTP_CLAUDE_RELAY_SHARES_MAX  256


/*
 * Belongs to a counter, or to an account's node, which has a pointer to it.
 * Found by its id in the fleet; those that have something to say are in one
 * of two lists.
 */

struct ngx_http_claude_relay_share_s {
    ngx_http_claude_relay_share_t     *next;        /* of the bucket */
    ngx_http_claude_relay_share_t     *behind;      /* of the list */
    ngx_http_claude_relay_counter_t   *counter;     /* NULL: slots of node */
    ngx_http_claude_relay_node_t      *node;        /* of an account */
    uint64_t                           want;        /* of a request of node */
    unsigned                           listed:1;
    unsigned                           glance:1;    /* nobody has used it */
    ncr_share_t                        share;
};


/* whose limit it is, and which */

typedef struct {
    ncr_scope_e                        scope;
    ncr_str_t                          owner;       /* name, or "" */
    ncr_limit_t                       *limit;
} ngx_http_claude_relay_whose_t;


/* shares.c; in the master: the table */
ngx_int_t ngx_http_claude_relay_shares_zone(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_t *fleet);

/* all with the lock held */

/*
 * May "want" of a limit be reserved?  NCR_SHARE_ASK: Redis must be asked.  It
 * is, and what is asked goes out with ngx_http_claude_relay_shares_flush(),
 * without the lock; or who looks only sees that.  LATE: there was time for an
 * answer since a moment; where none came, the node decides by what it knows, as
 * it does when it is alone.  HASTE: the same, at once.
 */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_SHARE_ASKS = 0,
    NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS,
    NGX_HTTP_CLAUDE_RELAY_SHARE_LATE,
    NGX_HTTP_CLAUDE_RELAY_SHARE_HASTE,
    NGX_HTTP_CLAUDE_RELAY_SHARE_ALONE
} ngx_http_claude_relay_share_mode_e;

ncr_share_e ngx_http_claude_relay_share_judge_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh, uint64_t amount, uint64_t want,
    ngx_http_claude_relay_share_mode_e mode, ngx_msec_t since);

/* the share of a limit's counter, or of an account's slots; made, if need be;
 * node: of an account's limit, or NULL.  NULL: the zone is full */
ngx_http_claude_relay_share_t *ngx_http_claude_relay_share_limit_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *c, uint64_t id, ngx_uint_t slots,
    ngx_http_claude_relay_node_t *node);
ngx_http_claude_relay_share_t *ngx_http_claude_relay_share_slots_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);

/* it may have something to say */
void ngx_http_claude_relay_share_list_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh);

/* what it is about at this moment, in a counter of the caller's */
void ngx_http_claude_relay_share_counter_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh, ncr_counter_t *counter);

/* to the next flush; NGX_BUSY: something is asked already, or too much */
ngx_int_t ngx_http_claude_relay_share_ask_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh, ncr_counter_t *counter, uint64_t want);

/* an operator has set a limit to nothing: in all nodes */
void ngx_http_claude_relay_share_reset_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t id);

/* a counter stays, as there is something to be given back of it */
ngx_uint_t ngx_http_claude_relay_share_held_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh);

/* a counter, or a node, goes; *place is NULL then, and may be so before */
void ngx_http_claude_relay_share_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t **place);
void ngx_http_claude_relay_share_node_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node);

/* a worker has died: table and lists are made anew of who has a share */
void ngx_http_claude_relay_shares_recount_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);

ngx_http_claude_relay_share_t *ngx_http_claude_relay_share_find_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t id);

/* a limit is shown: what others have used is asked for, to be known the next
 * time.  Nothing without Redis */
void ngx_http_claude_relay_share_look_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_whose_t *whose, uint64_t owner);

/* a counter as it is shown: with what others have used.  c may be NULL */
void ngx_http_claude_relay_share_shown_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *c, ncr_counter_t *counter);


/* of a pick, in ctx->fleet_mode */
void ngx_http_claude_relay_share_mode(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf);

/* limit.c: of an account's limits and slots, what is needed is asked for */
ngx_int_t ngx_http_claude_relay_account_asks_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t *a,
    ncr_msec_t now);

/* of its slots only */
ncr_share_e ngx_http_claude_relay_share_account_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a,
    ngx_http_claude_relay_share_mode_e mode, ngx_msec_t since);


/* without the lock: what was asked goes out */
void ngx_http_claude_relay_shares_flush(
    ngx_http_claude_relay_main_conf_t *rmcf);


/* fleet_shares.c */
extern ngx_http_claude_relay_script_t  ngx_http_claude_relay_take;


#endif /* _NGX_HTTP_CLAUDE_RELAY_SHARES_H_INCLUDED_ */
