
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Alerts and webhooks.  One worker of all looks for what an operator is to be
 * told (alerts.c, conditions.c) and tells it (hooks.c); nothing of it is on
 * the way of a request.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ALERTS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ALERTS_H_INCLUDED_


#include "ngx_http_claude_relay_metrics.h"
#include "ngx_http_claude_relay_refresh.h"
#include "ncr_alert.h"
#include "ncr_notify.h"
#include "ncr_store_hook.h"

#include <cjson/cJSON.h>


/* of hooks */
#define NGX_HTTP_CLAUDE_RELAY_HOOKS      64

/* of an event, as JSON */
#define NGX_HTTP_CLAUDE_RELAY_EVENT      8192

/* what an operator is told that is no alert of ncr_alert.h */
#define NGX_HTTP_CLAUDE_RELAY_HOOK_STORM  NCR_ALERT_KINDS
#define NGX_HTTP_CLAUDE_RELAY_HOOK_ALL                                        \
    ((1u << (NCR_ALERT_KINDS + 1)) - 1)

/* a measure must be so much below a threshold to be so, 1/10000 */
#define NGX_HTTP_CLAUDE_RELAY_BELOW      200

/* errors of the last five minutes, by samples */
#define NGX_HTTP_CLAUDE_RELAY_SURGE      60
#define NGX_HTTP_CLAUDE_RELAY_SURGE_MS   300000


struct ngx_http_claude_relay_alerts_conf_s {
    ncr_alert_rules_t                  rules;
    ncr_alert_steps_t                  quota;   /* n 0: off */
    ncr_alert_steps_t                  budget;
    ngx_msec_t                         resting; /* 0: off */
    ngx_uint_t                         errors;  /* 1/10000, 0: off */
    ngx_uint_t                         min;     /* failed requests */
    ngx_msec_t                         hold;
    ngx_msec_t                         interval;
    ngx_str_t                          service;
    unsigned                           off:1;
    unsigned                           set:1;
};


/* a hook as it was read; its texts are its own */

typedef struct {
    ngx_queue_t                        queue;
    ncr_store_hook_t                   row;

    /* of its settings */

    uint32_t                           types;   /* a bit each */
    uint32_t                           levels;
    ngx_uint_t                         resolved;
    ngx_uint_t                         limit;   /* a minute, 0: any */
    char                               chat[64];
    char                               thread[24];

    /* of who tells it something */

    ngx_msec_t                         minute;
    ngx_uint_t                         count;   /* in that minute */
    ngx_uint_t                         dropped; /* over the limit, ever */
} ngx_http_claude_relay_hook_t;


/* something to be told, at least once */

typedef struct {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_job_t        job;
    uint64_t                           id;      /* 0: the store failed */
    char                               hook[NCR_STORE_NAME];
    char                              *event;
    ngx_uint_t                         attempts;
    ncr_msec_t                         next;
    ngx_http_claude_relay_fetch_t     *fetch;
    ncr_notify_kind_e                  kind;
    char                              *state;   /* of the hook, after it */
    unsigned                           told:1;  /* or given up */
    unsigned                           tried:1; /* the store is to know */
    unsigned                           posted:1;    /* the job is out */
} ngx_http_claude_relay_delivery_t;


/* a row that the store does not have yet */

typedef struct {
    ngx_queue_t                        queue;
    ncr_store_alert_t                  row;
} ngx_http_claude_relay_noted_t;


typedef struct {
    ngx_msec_t                         at;
    uint64_t                           requests;
    uint64_t                           failed;
} ngx_http_claude_relay_surge_t;


/* a number that only grows, and when it grew last */

typedef struct {
    uint64_t                           n;
    uint64_t                           more;    /* since it was calm */
    ncr_msec_t                         at;      /* 0: not yet */
} ngx_http_claude_relay_grown_t;


typedef struct {
    ngx_uint_t                         accounts;
    ngx_uint_t                         serving;
} ngx_http_claude_relay_pool_state_t;


/* one look at everything, a few accounts and keys at a time */

typedef struct {
    ngx_http_claude_relay_roster_t    *roster;  /* held; NULL: none */
    ngx_http_claude_relay_pool_state_t  *pools;
    ngx_http_claude_relay_subjects_t  *subjects;
    ngx_uint_t                         account; /* the next one */
    ngx_uint_t                         scope;   /* of nginx.conf */
    ngx_uint_t                         key;
    ngx_uint_t                         bucket;
    ngx_uint_t                         mask;
} ngx_http_claude_relay_pass_t;


/* what the worker has that tells; NULL in all others */

typedef struct {
    ngx_uint_t                         serial;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_alerts_conf_t *conf;  /* that is "own" */
    ngx_http_claude_relay_alerts_conf_t  own;   /* with the settings' */
    uint32_t                           settings;    /* their hash */
    ncr_alerts_t                      *alerts;
    ngx_http_claude_relay_pass_t       pass;
    ngx_msec_t                         passed;  /* when the last one began */

    ngx_http_claude_relay_surge_t      surge[NGX_HTTP_CLAUDE_RELAY_SURGE];
    ngx_uint_t                         nsurge;
    ngx_http_claude_relay_grown_t      lost;
    ngx_http_claude_relay_grown_t      dropped;

    ngx_queue_t                        hooks;   /* ..._hook_t, as read last */
    ngx_queue_t                        noted;   /* ..._noted_t */
    ngx_queue_t                        untold;  /* ..._delivery_t, new */
    ngx_queue_t                        deliveries;  /* ..._delivery_t */

    ncr_msec_t                         due;     /* of a delivery; 0: none */
    ngx_msec_t                         looked;
    ngx_uint_t                         events;  /* for their ids */
    unsigned                           loaded:1;
    unsigned                           loading:1;
    unsigned                           looking:1;
    unsigned                           saving:1;
    unsigned                           again:1; /* look at once */
    unsigned                           warned:1;
} ngx_http_claude_relay_teller_t;


/* alerts_conf.c */

char *ngx_http_claude_relay_set_alerts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_claude_relay_alerts_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);

/* the same parameters as members of an object, each a text; what is wrong */
const char *ngx_http_claude_relay_alerts_object(
    ngx_http_claude_relay_alerts_conf_t *ac, cJSON *object);


/* alerts.c */

ngx_int_t ngx_http_claude_relay_alerts_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_alerts_exit_process(void);

/* the teller as it is now: a job may come back to a worker that is none */
ngx_http_claude_relay_teller_t *ngx_http_claude_relay_teller(void);
ngx_http_claude_relay_teller_t *ngx_http_claude_relay_teller_of(
    ngx_uint_t serial);
void ngx_http_claude_relay_deliveries_free(ngx_queue_t *deliveries);


/* teller.c: jobs, one of each at a time; they start when they are needed */

void ngx_http_claude_relay_load(ngx_http_claude_relay_teller_t *t);
void ngx_http_claude_relay_glance(ngx_http_claude_relay_teller_t *t);
void ngx_http_claude_relay_teller_save(ngx_http_claude_relay_teller_t *t);

/* takes data, in any case; NULL: no memory */
ngx_http_claude_relay_noted_t *ngx_http_claude_relay_noted(const char *key,
    char *data);

/* in place of what was noted of it before */
void ngx_http_claude_relay_noted_put(ngx_queue_t *noted,
    ngx_http_claude_relay_noted_t *n);
void ngx_http_claude_relay_noted_free(ngx_queue_t *noted);


/* conditions.c: NGX_AGAIN: some more of it; NGX_OK: all is seen */

void ngx_http_claude_relay_pass_begin(ngx_http_claude_relay_teller_t *t);
ngx_int_t ngx_http_claude_relay_pass_step(ngx_http_claude_relay_teller_t *t);
void ngx_http_claude_relay_pass_end(ngx_http_claude_relay_teller_t *t);


/* of what is so, or is not; NULL: nothing is to be said */
ncr_alert_t *ngx_http_claude_relay_see(ngx_http_claude_relay_teller_t *t,
    ncr_alert_kind_e kind, const char *subject, ngx_uint_t on,
    ncr_msec_t hold, ncr_msec_t since, ncr_msec_t now);


/* conditions_fleet.c */
void ngx_http_claude_relay_see_fleet(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now);


/* an alert in words; fields are names and values, names end with NULL */
void ngx_http_claude_relay_say(ncr_alert_t *a, ncr_alert_level_e level,
    const char *title, const char *fmt, ...);
void ngx_http_claude_relay_say_fields(ncr_alert_t *a,
    const char *const *names, const char *const *values);


/* budgets.c: limits of an account; some of all others, 1: there are more */

void ngx_http_claude_relay_pass_account_limits(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_account_t *a,
    ncr_msec_t now);
ngx_uint_t ngx_http_claude_relay_pass_limits(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);


/*
 * hooks.c.  hook: of a row, whose texts it takes; NULL: no memory.  check:
 * NULL, or what is wrong with it.  request: what is to be started, with its
 * handler to be set; NULL: see error (NGX_HTTP_CLAUDE_RELAY_ERROR bytes).
 */

ngx_http_claude_relay_hook_t *ngx_http_claude_relay_hook(
    ncr_store_hook_t *row);
void ngx_http_claude_relay_hook_free(ngx_http_claude_relay_hook_t *hook);
void ngx_http_claude_relay_hooks_free(ngx_queue_t *hooks);

/* of those that were read last; NULL: there is none */
ngx_http_claude_relay_hook_t *ngx_http_claude_relay_hook_find(
    ngx_http_claude_relay_teller_t *t, const char *name);
ngx_int_t ngx_http_claude_relay_hook_check(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, u_char *error);
const char *ngx_http_claude_relay_hook_settings(
    ngx_http_claude_relay_hook_t *hook, cJSON *settings);
ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_hook_request(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_hook_t *hook, ncr_notify_event_t *event,
    u_char *error);
void ngx_http_claude_relay_hook_result(ngx_http_claude_relay_fetch_t *f,
    ncr_notify_kind_e kind, ncr_notify_result_t *result);

/* JSON of a hook's state after a delivery; malloc()ed by cJSON, or NULL */
char *ngx_http_claude_relay_hook_state(const char *state,
    ncr_notify_result_t *result, ngx_uint_t status, ngx_uint_t given_up,
    ngx_uint_t dropped);

/* deliveries: new ones of an event to all whom it may concern; those that are
 * due are sent; what the store does not know is told to it */
void ngx_http_claude_relay_deliver(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event, ngx_uint_t type, ncr_alert_level_e level);
void ngx_http_claude_relay_deliveries(ngx_http_claude_relay_teller_t *t);
void ngx_http_claude_relay_delivery_free(
    ngx_http_claude_relay_delivery_t *d);


#endif /* _NGX_HTTP_CLAUDE_RELAY_ALERTS_H_INCLUDED_ */
