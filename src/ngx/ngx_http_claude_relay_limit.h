
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of limits share: claims, counters, places in a queue. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_LIMIT_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_LIMIT_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"


/* of an account, as of a key */
#define NGX_HTTP_CLAUDE_RELAY_LIMITS  NCR_KEY_LIMITS


/* a limit that counts this request, and what the request wants of it */

struct ngx_http_claude_relay_claim_s {
    ncr_limit_t                       *limit;
    ngx_http_claude_relay_counter_t   *counter;     /* held by the ticket */
    uint64_t                           id;
    uint64_t                           fleet;       /* id there, or 0 */
    uint64_t                           want;
    ncr_counter_t                      seen;        /* when it was admitted */
    ncr_scope_e                        scope;
    unsigned                           shadowed:1;  /* would refuse */
    unsigned                           warn:1;
};


/* counter.c; all with the lock held */

ngx_int_t ngx_http_claude_relay_counters_create(
    ngx_http_claude_relay_main_conf_t *rmcf);

ngx_http_claude_relay_counter_t *ngx_http_claude_relay_counter_find_locked(
    ngx_http_claude_relay_zone_t *zone, uint64_t id);

/* found, or made, which *made counts; NULL: the zone is full.  None goes
 * before one of the two below is called */
ngx_http_claude_relay_counter_t *ngx_http_claude_relay_counter_get_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t id, ngx_uint_t *made);

void ngx_http_claude_relay_counters_tidy_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t made, ncr_msec_t now);
ngx_int_t ngx_http_claude_relay_counters_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_msec_t now);

void ngx_http_claude_relay_counter_roll_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter,
    ncr_limit_t *limit, ncr_msec_t now);

/* what n claims want, all of it; NULL: the zone is full */
ngx_http_claude_relay_ticket_t *ngx_http_claude_relay_ticket_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claims, ngx_uint_t n);

/* a place behind all others that wait for this counter */
ngx_http_claude_relay_ticket_t *ngx_http_claude_relay_place_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_counter_t *counter, uint64_t owner);

/* those of a worker that is no more; NGX_OK: there were some */
ngx_int_t ngx_http_claude_relay_tickets_drop_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_row_t *row);


/*
 * queue.c.  NGX_AGAIN: it has a place; NGX_DECLINED: ctx->refused.queue tells
 * why there is none; NGX_ERROR: the zone is full.
 */

ngx_int_t ngx_http_claude_relay_queue_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_claim_t *claim);

/* is anybody in front of it? */
ngx_uint_t ngx_http_claude_relay_behind_locked(
    ngx_http_claude_relay_ctx_t *ctx);
ngx_uint_t ngx_http_claude_relay_late(ngx_http_claude_relay_ctx_t *ctx);

/* admitted, or refused: how long it has waited is kept */
void ngx_http_claude_relay_served_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf);


/* limit.c */

/* tokens and money, at most, of the request; made once */
ncr_amounts_t *ngx_http_claude_relay_wants(ngx_http_claude_relay_ctx_t *ctx);

ncr_limit_t *ngx_http_claude_relay_account_limit(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t i);


/* price.c: micro-dollars, at most; NGX_DECLINED: nobody knows */
ngx_int_t ngx_http_claude_relay_cost_most(ngx_http_claude_relay_ctx_t *ctx,
    uint64_t input, uint64_t output, uint64_t *cost);


/* limit_models.c: what the store has for everybody; good until it is asked
 * for again */
ngx_int_t ngx_http_claude_relay_everybody(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *n);
ncr_limit_t *ngx_http_claude_relay_everybody_limit(ngx_uint_t i,
    uint64_t *owner, ncr_str_t *name);


/* key_json.c: the text of a limit that is an object; buf has twice
 * NCR_LIMIT_TEXT; what is wrong, or NULL */
struct cJSON;
const char *ngx_http_claude_relay_limit_text(struct cJSON *object,
    u_char *buf, ncr_str_t *text);


/* limit_conf.c: arguments as one text; scope: NULL, or of "per=" */
ngx_int_t ngx_http_claude_relay_limit_args(ngx_conf_t *cf, ngx_uint_t first,
    ncr_str_t *text, ngx_uint_t *scope);


/* refused.c */

/* ctx->refused by this claim */
void ngx_http_claude_relay_refuse_claim(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, ncr_admits_e admits);

void ngx_http_claude_relay_claim_owner(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, ngx_str_t *name);


#endif /* _NGX_HTTP_CLAUDE_RELAY_LIMIT_H_INCLUDED_ */
