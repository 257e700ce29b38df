
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who may use how much, and who has: subjects (keys, users, groups) and the
 * counters of their limits lie in the zone; what a request has used is
 * settled, recorded and counted once, when it ends.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_BOOKS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_BOOKS_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"
#include "ncr_ledger.h"


/* a key, a user or a group of the store; nginx.conf's are with the worker */

typedef struct ngx_http_claude_relay_subject_s
                                              ngx_http_claude_relay_subject_t;

struct ngx_http_claude_relay_subject_s {
    ngx_http_claude_relay_subject_t   *next;    /* of the bucket */
    uint64_t                           hash;
    ncr_key_t                          key;     /* and its texts */
};


/* a counter in the zone; it stays while a ticket has something of it */

typedef struct ngx_http_claude_relay_counter_s
                                              ngx_http_claude_relay_counter_t;

struct ngx_http_claude_relay_counter_s {
    ngx_http_claude_relay_counter_t   *next;    /* of the bucket */
    ngx_queue_t                        queue;   /* least used first */
    ngx_uint_t                         refs;    /* tickets */
    ncr_counter_t                      counter;
};


/* what one request has reserved; hangs on its worker's row, as leases do */

typedef struct {
    ngx_http_claude_relay_counter_t   *counter;
    ncr_limit_t                        limit;
    uint64_t                           amount;
} ngx_http_claude_relay_reserve_t;

struct ngx_http_claude_relay_ticket_s {
    ngx_queue_t                        queue;   /* of the worker's row */
    ngx_uint_t                         n;
    ngx_http_claude_relay_reserve_t    reserves[];
};


/* subject.c; all with the lock held */

ncr_key_t *ngx_http_claude_relay_subject_by_digest_locked(
    ngx_http_claude_relay_zone_t *zone, u_char *digest);
ncr_key_t *ngx_http_claude_relay_subject_by_name_locked(
    ngx_http_claude_relay_zone_t *zone, ncr_scope_e scope, ncr_str_t *name);

/* key (copied) takes the place of one with the same id, if its seq is newer;
 * NGX_DECLINED: it is not; NGX_ERROR: no room */
ngx_int_t ngx_http_claude_relay_subject_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key);
void ngx_http_claude_relay_subject_remove_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    uint64_t seq);


/*
 * key_json.c: the record of a JSON object, as docs/keys.md has it; NGX_ERROR:
 * error (NGX_HTTP_CLAUDE_RELAY_ERROR bytes) has a message without secrets.
 * Neither id, seq nor digest are in it.
 */
ngx_int_t ngx_http_claude_relay_key_json(ncr_key_build_t *build,
    ncr_scope_e scope, ngx_str_t *name, ngx_str_t *text, u_char *error);


/*
 * limit.c.  admit: reserves for key, user, group and model; before the first
 * pick, once.  NGX_OK: ctx->admitted; NGX_AGAIN: wait, and ask again;
 * NGX_DECLINED: ctx->refused tells the answer.
 */

ngx_int_t ngx_http_claude_relay_admit(ngx_http_claude_relay_ctx_t *ctx);

/* the answer of ctx->refused, in the caller's dialect */
ngx_int_t ngx_http_claude_relay_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* of an account: may it take this request; *until if not, 0 = not known */
ngx_uint_t ngx_http_claude_relay_account_admits_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t *a,
    ncr_msec_t now, ncr_msec_t *until);

/* charges what was used, to the key's side and to the account that served,
 * into rec, and gives the rest back; safe without a ticket */
void ngx_http_claude_relay_settle_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_amounts_t *used, ncr_record_t *rec);

void ngx_http_claude_relay_ticket_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_ticket_t *ticket);

/* a worker has died: reserves and refs are what living tickets have */
void ngx_http_claude_relay_counters_recount_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* at start: as the ledger has it */
ngx_int_t ngx_http_claude_relay_counter_set_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter);

/* the counter of a limit as it is at now (a copy; zero if there is none) */
void ngx_http_claude_relay_counter_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    uint64_t owner, ncr_limit_t *limit, ncr_msec_t now,
    ncr_counter_t *counter);


/* book.c */

/* tokens, tier, cost of the answer so far, into ctx->bill */
void ngx_http_claude_relay_bill(ngx_http_claude_relay_ctx_t *ctx);

/* of the answer, as it is logged; 499: the client has not waited for it */
ngx_uint_t ngx_http_claude_relay_final_status(ngx_http_request_t *r);

/* once, at the end: settle, record, count */
void ngx_http_claude_relay_book(ngx_http_claude_relay_ctx_t *ctx);


/*
 * ledger.c: rmcf->ring and the thread that empties it.  put: NGX_DECLINED:
 * no room, the record is lost (and counted).
 */

ngx_int_t ngx_http_claude_relay_ledger_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec);

/* 0 while the ring has too little room left for another request */
ngx_uint_t ngx_http_claude_relay_ledger_ready(
    ngx_http_claude_relay_main_conf_t *rmcf);


/*
 * metrics.c.  zone: makes the counters of a new zone, and what the
 * configuration wants more of in an old one.
 */

ngx_int_t ngx_http_claude_relay_metrics_zone(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);

/* with the lock held, once for each record, as it was recorded */
void ngx_http_claude_relay_metrics_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec);

/* instead, for a request that has no record */
void ngx_http_claude_relay_metrics_local(ngx_http_claude_relay_ctx_t *ctx);

/* a shadow limit would have refused a request; with the lock held */
void ngx_http_claude_relay_metrics_shadowed_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_unit_e unit);

/* an attempt is over; without the lock, as all of the following */
void ngx_http_claude_relay_metrics_attempt(
    ngx_http_claude_relay_account_t *a, ncr_class_e class);

void ngx_http_claude_relay_metrics_heartbeat(
    ngx_http_claude_relay_main_conf_t *rmcf);

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_REFRESH_OK = 0,
    NGX_HTTP_CLAUDE_RELAY_REFRESH_FAILED,       /* it is tried again */
    NGX_HTTP_CLAUDE_RELAY_REFRESH_LOGIN,        /* it needs one */
    NGX_HTTP_CLAUDE_RELAY_REFRESH_SUPERSEDED,   /* by a login, or others */
    NGX_HTTP_CLAUDE_RELAY_REFRESH_RESULTS
} ngx_http_claude_relay_refresh_result_e;

void ngx_http_claude_relay_metrics_refresh(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_refresh_result_e result);


/* audit.c: without the lock, after the record was made */

void ngx_http_claude_relay_audit(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec);


#endif /* _NGX_HTTP_CLAUDE_RELAY_BOOKS_H_INCLUDED_ */
