
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * When tokens are refreshed though nobody waits for them, and what becomes of
 * an account whose tokens are dead.
 */


#include "ngx_http_claude_relay_refresh.h"


/* accounts are looked through this often, ms */
#define NGX_HTTP_CLAUDE_RELAY_TICK       1000

/* between two refreshes that nobody waits for, ms */
#define NGX_HTTP_CLAUDE_RELAY_LEAST      10000

/* refreshes of a worker that nobody waits for, at a time */
#define NGX_HTTP_CLAUDE_RELAY_AT_ONCE    4


static void ngx_http_claude_relay_refresh_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_claude_relay_refresh_due(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now);
static ncr_msec_t ngx_http_claude_relay_ahead(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_login_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_done(
    ngx_http_claude_relay_job_t *job);


static ngx_event_t       ngx_http_claude_relay_refresher;

/* debug builds read the fd of whatever a timer's data points to */
static ngx_connection_t  ngx_http_claude_relay_nothing;


void
ngx_http_claude_relay_refresh_ticks(ngx_cycle_t *cycle)
{
    ngx_event_t  *ev;

    ngx_http_claude_relay_nothing.fd = (ngx_socket_t) -1;

    ev = &ngx_http_claude_relay_refresher;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_claude_relay_refresh_tick;
    ev->log = cycle->log;
    ev->data = &ngx_http_claude_relay_nothing;
    ev->cancelable = 1;

    /* workers take turns */

    ngx_add_timer(ev, 50 + (ngx_msec_t) (ngx_random() % 500));
}


static void
ngx_http_claude_relay_refresh_tick(ngx_event_t *ev)
{
    ncr_msec_t                          now;
    ngx_uint_t                          i, n;
    ngx_http_claude_relay_roster_t     *roster;
    ngx_http_claude_relay_account_t   **a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    static ngx_uint_t  first;

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        return;
    }

    rmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_claude_relay_module);
    roster = rmcf->roster;
    roster->refs++;

    a = roster->accounts.elts;
    n = roster->accounts.nelts;
    now = ngx_http_claude_relay_now();

    for (i = 0; i < n; i++) {

        if (ngx_http_claude_relay_refreshing()
            >= NGX_HTTP_CLAUDE_RELAY_AT_ONCE)
        {
            break;
        }

        if (ngx_http_claude_relay_refresh_due(rmcf, a[(first + i) % n], now)) {
            (void) ngx_http_claude_relay_refresh(rmcf, a[(first + i) % n],
                                                 NULL);
        }
    }

    first += i;

    ngx_http_claude_relay_learn_tick(rmcf, roster);
    ngx_http_claude_relay_usage_tick(rmcf, roster);

    ngx_http_claude_relay_roster_release(rmcf, roster);

    ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_TICK);
}


/* without the lock: it is looked at again with it */

static ngx_uint_t
ngx_http_claude_relay_refresh_due(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    ngx_http_claude_relay_node_t  *node;

    if (!a->token || !a->enabled || a->id == 0
        || (a->valid_until && a->valid_until <= now))
    {
        return 0;
    }

    node = a->node;

    if (node->version == 0 || node->login || node->removed) {
        return 0;
    }

    if (node->rejected != node->version
        && (node->expires == 0
            || node->expires - now > ngx_http_claude_relay_ahead(rmcf, a)))
    {
        return 0;
    }

    /* a server that gives out what has ended already is not to be besieged */

    if (node->refreshed && now >= node->refreshed
        && now - node->refreshed < NGX_HTTP_CLAUDE_RELAY_LEAST)
    {
        return 0;
    }

    return node->retry_at == 0
           || (ngx_msec_int_t) (node->retry_at - ngx_current_msec) <= 0;
}


/* of a token that lives for less than twice the time ahead: half its life */

static ncr_msec_t
ngx_http_claude_relay_ahead(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    ncr_msec_t                     ahead;
    ngx_http_claude_relay_node_t  *node;

    node = a->node;
    ahead = (ncr_msec_t) rmcf->refresh_ahead;

    if (a->platform->oauth) {
        ahead = ngx_max(ahead, a->platform->oauth->ahead);
    }

    if (node->refreshed && node->expires > node->refreshed) {
        ahead = ngx_min(ahead, (node->expires - node->refreshed) / 2);
    }

    return ahead;
}


/* an account whose tokens are dead: the store knows it, and then the zone */

typedef struct {
    ngx_http_claude_relay_job_t        job;
    char                               name[NCR_STORE_NAME];
    char                               reason[NGX_HTTP_CLAUDE_RELAY_REASON];
    uint64_t                           have;
    ncr_msec_t                         now;
} ngx_http_claude_relay_dead_t;


void
ngx_http_claude_relay_needs_login(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, uint64_t have, const char *reason)
{
    ngx_http_claude_relay_node_t  *node;
    ngx_http_claude_relay_dead_t  *dead;

    node = a->node;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (node->login || node->version != have) {
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
        return;
    }

    node->login = ngx_http_claude_relay_now();
    (void) ngx_cpystrn((u_char *) node->reason, (u_char *) reason,
                       sizeof(node->reason));

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "account \"%V\" needs a login: %s", &a->name, reason);

    dead = ngx_calloc(sizeof(ngx_http_claude_relay_dead_t), ngx_cycle->log);
    if (dead == NULL) {
        return;
    }

    (void) ngx_cpystrn((u_char *) dead->name, a->name.data,
                       ngx_min(sizeof(dead->name), a->name.len + 1));
    (void) ngx_cpystrn((u_char *) dead->reason, (u_char *) reason,
                       sizeof(dead->reason));

    dead->have = have;
    dead->now = ngx_http_claude_relay_now();
    dead->job.data = dead;
    dead->job.run = ngx_http_claude_relay_login_run;
    dead->job.done = ngx_http_claude_relay_login_done;

    if (ngx_http_claude_relay_store_post(&dead->job) != NGX_OK) {
        ngx_free(dead);
    }
}


static void
ngx_http_claude_relay_login_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_dead_t *dead = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                 ncr_store_failed(store, dead->name, dead->have, dead->reason,
                                  dead->now));
}


static void
ngx_http_claude_relay_login_done(ngx_http_claude_relay_job_t *job)
{
    if (job->rc != NCR_OK && job->rc != NCR_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "store: %s", job->error);
    }

    ngx_http_claude_relay_store_touched();
    ngx_free(job->data);
}
