
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


/*
 * A row of the store: a key, a user, a group, or limits of models; nginx.conf's
 * are with the worker.  The record is packed, and the row's JSON lies behind
 * it, so that a store that has lost its file can have it back.
 */

struct ngx_http_claude_relay_subject_s {
    ngx_http_claude_relay_subject_t   *by_id;       /* next of the bucket */
    ngx_http_claude_relay_subject_t   *by_name;
    ngx_http_claude_relay_subject_t   *by_digest;
    u_char                            *rest;        /* of the JSON, or NULL */
    uint64_t                           id;
    uint64_t                           seq;
    uint64_t                           version;
    ncr_msec_t                         updated;
    ncr_msec_t                         activated;   /* first use, or 0 */
    ncr_msec_t                         used;        /* last use, or 0 */
    u_char                             digest[NCR_SHA256_LEN];
    char                               prefix[NCR_STORE_PREFIX];
    uint8_t                            scope;       /* ncr_scope_e */
    unsigned                           has_digest:1;
    unsigned                           deleted:1;   /* and not counted */
    uint16_t                           name;        /* lengths */
    uint16_t                           record;
    uint16_t                           head;        /* of the JSON in here */
    uint32_t                           tail;        /* and in rest */
    u_char                             data[];      /* name, record, JSON */
};


/*
 * The subjects of one store.  Each worker has one of these; after a reload
 * with another store there are two of them, until the old workers are gone.
 * All can be made anew of "ids": if a worker died while it was changing
 * something, "dirty" is set, and the next one who changes something, or finds
 * the worker dead, does so.
 */

struct ngx_http_claude_relay_subjects_s {
    ngx_http_claude_relay_subjects_t  *next;
    uint32_t                           store;       /* hash of its path */
    ngx_uint_t                         generation;  /* last that took them */
    ngx_uint_t                         dirty;
    uint64_t                           seq;         /* all up to it is here */
    uint64_t                           file;        /* whose seq that is */
    ngx_uint_t                         mask;        /* of the tables */
    ngx_uint_t                         n[NCR_SCOPE_MODEL + 1];
    ngx_http_claude_relay_subject_t   *models;      /* by their by_digest */
    ngx_http_claude_relay_subject_t  **ids;
    ngx_http_claude_relay_subject_t  **names;
    ngx_http_claude_relay_subject_t  **digests;
    ngx_http_claude_relay_subject_t   *buckets[];
};


/*
 * A counter in the zone; it stays while a ticket has something of it, or its
 * window is not over.  Lists are linked by one pointer each, so that a worker
 * that dies leaves no list half-way.
 */

struct ngx_http_claude_relay_counter_s {
    ngx_http_claude_relay_counter_t   *next;    /* of the bucket */
    ngx_http_claude_relay_ticket_t    *waiters; /* the first is the next */
    ngx_uint_t                         refs;    /* tickets */
    ncr_counter_t                      counter;
    ncr_msec_t                         warned;  /* of a shadow limit, last */
    ngx_http_claude_relay_share_t     *share;   /* NULL: nobody else's */
};


/*
 * What one request has reserved, or its place in the queue of one counter;
 * hangs on its worker's row, as leases do.
 */

typedef struct {
    ngx_http_claude_relay_counter_t   *counter;
    uint64_t                           amount;
} ngx_http_claude_relay_reserve_t;

struct ngx_http_claude_relay_ticket_s {
    ngx_queue_t                        queue;   /* of the worker's row */
    ngx_http_claude_relay_ticket_t    *behind;  /* who waits after it */
    uint64_t                           owner;   /* the key that waits */
    uint32_t                           waits;
    uint32_t                           n;
    ngx_http_claude_relay_reserve_t    reserves[];
};


/*
 * subject.c; all with the lock held.  What is found is a copy, which is good
 * until the next one of the same scope is looked for; NULL if there is none,
 * or no store.
 */

ncr_key_t *ngx_http_claude_relay_subject_by_digest_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *digest);
ncr_key_t *ngx_http_claude_relay_subject_by_name_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_str_t *name);

/* a key was used: when; its first use begins "valid_for".  NGX_OK: this was
 * the first one, and key->activated is set: without the lock,
 * ngx_http_claude_relay_activated() then tells the store */
ngx_int_t ngx_http_claude_relay_subject_used_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key, ncr_msec_t now);

/* when it was used, ms or 0; NGX_DECLINED: there is no such subject */
ngx_int_t ngx_http_claude_relay_subject_times_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    ncr_msec_t *activated, ncr_msec_t *used);

/*
 * When keys were used: those of up to max buckets from *bucket on, which is
 * moved; it is behind the mask when there are no more.  Returns how many.
 */

typedef struct {
    uint64_t                           id;
    ncr_msec_t                         used;
} ngx_http_claude_relay_use_t;

ngx_uint_t ngx_http_claude_relay_subject_uses_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *bucket,
    ngx_http_claude_relay_use_t *uses, ngx_uint_t max);

/* the name of one, of the store or of nginx.conf, into NCR_KEY_NAME bytes; its
 * length, 0: there is none */
size_t ngx_http_claude_relay_subject_text_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    u_char *name);

/* limits of models, for everybody: the enabled records of scope MODEL, one
 * after the other; *pos is NULL at first */
ncr_key_t *ngx_http_claude_relay_global_limits_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subject_t **pos);

/* all of a bucket of ids, one after the other: *pos is NULL at first, and after
 * the last.  NULL, too, for one that cannot be read */
ncr_key_t *ngx_http_claude_relay_subject_of_bucket_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t bucket,
    ngx_http_claude_relay_subject_t **pos);

/*
 * key (copied) takes the place of one with the same id, and of another one
 * with its name, if its seq is newer.  row has what the store needs to be
 * told if it loses its file.  NGX_DECLINED: it is not newer; NGX_ABORT: of an
 * older version; NGX_ERROR: no room, and what was there is gone.
 */
ngx_int_t ngx_http_claude_relay_subject_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_store_object_t *row);
void ngx_http_claude_relay_subject_remove_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    uint64_t seq);

/* a row with its own texts, as it was put; NGX_ERROR: no memory */
ngx_int_t ngx_http_claude_relay_subject_row_locked(
    ngx_http_claude_relay_subject_t *subject, ncr_store_object_t *row);

/* the row of a key, with its own texts, and when it was used last, or 0;
 * NGX_DECLINED: it is not there any more */
ngx_int_t ngx_http_claude_relay_subject_about_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_store_object_t *row, ncr_msec_t *used);

/* "key" and NCR_SCOPE_KEY; NULL, or -1, for what is none */
const char *ngx_http_claude_relay_kind(ncr_scope_e scope);
ngx_int_t ngx_http_claude_relay_scope(const char *kind);

/* rmcf->subjects: those of this store's path, made if they are not there */
ngx_int_t ngx_http_claude_relay_subjects_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* the store's file is another one: its seqs count from now on */
void ngx_http_claude_relay_subjects_anew_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t file);

/* a worker has come, or died: what nobody has any more goes, what was left
 * half-way is made good */
void ngx_http_claude_relay_subjects_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);


/* objects.c: the store's row of it has this first use, as soon as can be */
void ngx_http_claude_relay_activated(uint64_t id, ncr_msec_t at);


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

/* permille of prices: the key's and everybody's */
ngx_uint_t ngx_http_claude_relay_rate(ngx_http_claude_relay_ctx_t *ctx,
    ncr_platform_t *platform);

/* the answer of ctx->refused, in the caller's dialect */
ngx_int_t ngx_http_claude_relay_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* without an answer: what was reserved goes back before the client hears */
void ngx_http_claude_relay_unreserve(ngx_http_claude_relay_ctx_t *ctx);

/* of an account: may it take this request; *until if not, 0 = not known */
ngx_uint_t ngx_http_claude_relay_account_admits_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t *a,
    ncr_msec_t now, ncr_msec_t *until);

/* charges what was used, to the key's side and to the account that served,
 * into rec, and gives the rest back; safe without a ticket */
void ngx_http_claude_relay_settle_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_amounts_t *used, ncr_record_t *rec);

/* limit_conf.c */

char *ngx_http_claude_relay_set_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_queue(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
const char *ngx_http_claude_relay_account_limit_add(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ncr_str_t *text);


/* queue.c: a client leaves; how long one may wait still */
void ngx_http_claude_relay_leave(ngx_http_claude_relay_ctx_t *ctx);
ngx_msec_t ngx_http_claude_relay_patience(ngx_http_claude_relay_ctx_t *ctx);

/* refused.c: limits of ours instead of the upstream's, if they are wanted */
ngx_int_t ngx_http_claude_relay_limit_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* "key:cost/day": the limit that refused, or was nearest to; the shadow that
 * would have refused */
void ngx_http_claude_relay_text_limit(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t shadow, ngx_str_t *s);

/* JSON array: limits of an account, and what of them is used; so much for
 * each at most */
#define NGX_HTTP_CLAUDE_RELAY_VIEW_LIMIT  1280

void ngx_http_claude_relay_view_limits(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now);

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


/* price.c: the row that holds for a model, as ncr_price_find() */
const ncr_price_t *ngx_http_claude_relay_price(const ncr_prices_t *prices,
    const char *model, ncr_tier_e tier, ncr_msec_t time);


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

/* what was put is to be written; without the lock */
void ngx_http_claude_relay_ledger_wake(void);

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

/* an attempt is over; without the lock, as all of the following */
void ngx_http_claude_relay_metrics_attempt(
    ngx_http_claude_relay_account_t *a, ncr_class_e class);

/* when the last byte is out: that is after the record */
void ngx_http_claude_relay_metrics_bytes(ngx_http_request_t *r);

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


/* money.c: texts for variables, nothing where there is nothing to tell */

char *ngx_http_claude_relay_set_timezone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_prices(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

void ngx_http_claude_relay_text_cost(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s);
void ngx_http_claude_relay_text_price(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s);


#endif /* _NGX_HTTP_CLAUDE_RELAY_BOOKS_H_INCLUDED_ */
