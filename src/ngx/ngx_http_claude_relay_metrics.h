
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Counters of the relay, in the zone: they survive workers and reloads.  All
 * only grow, each by one store of 64 bits; what is ngx_atomic_t is counted
 * without the lock, all else with it.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_METRICS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_METRICS_H_INCLUDED_


#include "ngx_http_claude_relay_limit.h"
#include "ncr_metrics.h"


/* operations, the last is all that is none */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_OPS     (NCR_OPS + 1)

/* classes of a status, 0 is what has none */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_CODES   6

/* the last unit: a refusal by something else than a limit */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES  (NCR_SCOPE_MODEL + 1)
#define NGX_HTTP_CLAUDE_RELAY_METRICS_UNITS   (NCR_UNITS + 1)

#define NGX_HTTP_CLAUDE_RELAY_METRICS_QUEUES                                  \
    (NGX_HTTP_CLAUDE_RELAY_QUEUE_LATE + 1)

/* rows of models in a zone of usual size, the first is that of the rest */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_MODELS  65

#define NGX_HTTP_CLAUDE_RELAY_METRICS_NAME    64

/* accounts and keys with series of their own, if not told otherwise */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_ACCOUNTS  256
#define NGX_HTTP_CLAUDE_RELAY_METRICS_KEYS      256
#define NGX_HTTP_CLAUDE_RELAY_METRICS_MOST      10000


/* where a model served, and what was asked for */

typedef struct {
    char                               platform[32];
    char                               asked[
                                         NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
    char                               served[
                                         NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
    uint64_t                           requests;
    uint64_t                           unpriced;
    uint64_t                           cost;    /* micro-dollars */
    uint64_t                  tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS];

    ncr_histogram_t                    input;
    ncr_histogram_t                    output;
    ncr_histogram_t                    duration;
    ncr_histogram_t                    first_token;
    ncr_histogram_t                    per_token;
} ngx_http_claude_relay_metrics_model_t;


typedef struct {
    uint32_t                           hash;    /* of the name */
    char                               name[
                                         NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
    uint64_t                           requests;
    uint64_t                           refused;
    uint64_t                           cost;    /* micro-dollars, rated */
    uint64_t                  tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS];
} ngx_http_claude_relay_metrics_key_t;


/* keys in the order in which they came, the first is that of the rest */

typedef struct {
    ngx_uint_t                         max;
    ngx_uint_t                         n;
    ngx_uint_t                         mask;
    uint32_t                          *slots;   /* by hash; 0 = free */
    ngx_http_claude_relay_metrics_key_t  keys[];
} ngx_http_claude_relay_metrics_keys_t;


struct ngx_http_claude_relay_metrics_s {

    /* without the lock */

    ngx_atomic_t              requests[NGX_HTTP_CLAUDE_RELAY_METRICS_OPS]
                                      [NGX_HTTP_CLAUDE_RELAY_METRICS_CODES]
                                      [2];
    ngx_atomic_t             refusals[NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES]
                                     [NGX_HTTP_CLAUDE_RELAY_METRICS_UNITS];
    ngx_atomic_t                       received;    /* bytes */
    ngx_atomic_t                       sent;
    ngx_atomic_t                       heartbeats;
    ngx_atomic_t    refreshes[NGX_HTTP_CLAUDE_RELAY_REFRESH_RESULTS];

    /* with it */

    uint64_t                           outcomes[NCR_CLASSES];
    uint64_t                           aborts[2];   /* the answer had begun */
    uint64_t                           estimated;
    uint64_t                           shadowed;    /* requests */
    uint64_t                           sticky[
                                     NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED + 1];
    uint64_t                           moves[NCR_CLASSES];
    uint64_t                  shadows[NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES]
                                     [NCR_UNITS];
    uint64_t                  queues[NGX_HTTP_CLAUDE_RELAY_METRICS_QUEUES];
    ncr_histogram_t           durations[NGX_HTTP_CLAUDE_RELAY_METRICS_OPS][2];
    ncr_histogram_t                    own;

    ngx_http_claude_relay_metrics_keys_t  *keys;    /* NULL: not wanted */

    ngx_uint_t                         max;     /* models */
    ngx_uint_t                         n;
    ngx_uint_t                         unpriced;    /* of these, no price */
    ngx_http_claude_relay_metrics_model_t
                             *models[NGX_HTTP_CLAUDE_RELAY_METRICS_MODELS];
};


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_METRICS_OK = 0,
    NGX_HTTP_CLAUDE_RELAY_METRICS_RESTING,
    NGX_HTTP_CLAUDE_RELAY_METRICS_LOGIN,
    NGX_HTTP_CLAUDE_RELAY_METRICS_DISABLED,
    NGX_HTTP_CLAUDE_RELAY_METRICS_STATES
} ngx_http_claude_relay_metrics_state_e;


typedef struct {
    ngx_str_t                          name;
    ngx_http_claude_relay_account_t   *account; /* NULL: the rest of them */
    ngx_uint_t                         state;
    const char                        *why;
    ncr_msec_t                         until;
    ncr_msec_t                         expires;
    ngx_uint_t                         inflight;
    ngx_http_claude_relay_tally_t      tally;
    ngx_uint_t                         nwindows;
    ncr_window_t                       windows[NCR_WINDOWS];
} ngx_http_claude_relay_metrics_account_t;


typedef struct {
    ncr_metrics_t                      m;
    ngx_http_request_t                *request;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_loc_conf_t  *rlcf;
    ncr_msec_t                         now;

    ngx_chain_t                       *chain;
    ngx_chain_t                      **last;
    off_t                              length;

    ngx_http_claude_relay_metrics_t   *metrics;     /* a copy */
    ngx_http_claude_relay_metrics_model_t  *models;
    ngx_uint_t                         workers;
    ngx_uint_t                         pages;
    ngx_uint_t                         pages_free;

    ngx_http_claude_relay_metrics_key_t  *keys;
    ngx_uint_t                         nkeys;

    ngx_http_claude_relay_metrics_account_t  *accounts;
    ngx_uint_t                         naccounts;
    ngx_uint_t                         inflight;
    ngx_uint_t              states[NGX_HTTP_CLAUDE_RELAY_METRICS_STATES];
} ngx_http_claude_relay_scrape_t;


/* metrics_text.c */

void ngx_http_claude_relay_metrics_text_relay(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_requests(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_times(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_limits(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_sessions(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_ring(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_models(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_tokens(ncr_metrics_t *m,
    const char *label1, const char *value1, const char *label2,
    const char *value2, uint64_t *tokens);
void ngx_http_claude_relay_metrics_text_ratio(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_genai(
    ngx_http_claude_relay_scrape_t *s);

/* metrics_accounts.c */

void ngx_http_claude_relay_metrics_text_accounts(
    ngx_http_claude_relay_scrape_t *s);
void ngx_http_claude_relay_metrics_text_keys(
    ngx_http_claude_relay_scrape_t *s);

extern const char  *ngx_http_claude_relay_metrics_tokens[];
extern const char  *ngx_http_claude_relay_metrics_states[];


#endif /* _NGX_HTTP_CLAUDE_RELAY_METRICS_H_INCLUDED_ */
