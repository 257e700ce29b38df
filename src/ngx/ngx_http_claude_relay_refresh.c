
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Token refresh: one at a time for each account, over all workers by a lease
 * in the zone, over all processes on the store by a lock that dies with its
 * process, over all nodes of a fleet by a lock of Redis.  The way of one is:
 * lease, lock, fleet's lock, a write to the store (which shows that it can be
 * written, and reads what others have put there), the token endpoint, the
 * store, the zone, and then whoever waits, and other nodes.  Nothing is used
 * before it is durable.
 *
 * A worker that is killed leaves a lease of a dead process and no lock; what
 * it had begun is written in the store.
 */


#include "ngx_http_claude_relay_refresh.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_books.h"


/* a lease lasts this long, unless its worker dies, ms */
#define NGX_HTTP_CLAUDE_RELAY_LEASE      90000

/* back-off of failed ones, ms */
#define NGX_HTTP_CLAUDE_RELAY_BACK_OFF   1000
#define NGX_HTTP_CLAUDE_RELAY_BACK_MAX   (5 * 60 * 1000)

/* a save is tried again this often, ms */
#define NGX_HTTP_CLAUDE_RELAY_SAVE       250

/* another node's refresh is looked at this often, and one that Redis must
 * allow is tried again, ms */
#define NGX_HTTP_CLAUDE_RELAY_BUSY       250
#define NGX_HTTP_CLAUDE_RELAY_AWAY       1000

/* what is on the wire when a worker must stop at once, ms; the master kills
 * what has not left after a second */
#define NGX_HTTP_CLAUDE_RELAY_LAST       800


typedef struct {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_job_t        job;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_roster_t    *roster;  /* held */
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_talk_t      *talk;
    ngx_http_claude_relay_place_t      place;   /* of who waits, if set */
    ngx_event_t                        again;   /* save; the fleet's lock */
    ngx_event_t                        hold;    /* an exiting worker */
    ngx_http_claude_relay_fleet_lock_t lock;
    char                               name[NCR_STORE_NAME];
    uint64_t                           have;    /* version to be replaced */
    ncr_msec_t                         now;
    ncr_store_account_t                row;     /* as the store had it */
    ncr_oauth_tokens_t                 tokens;  /* as they came */
    char                               reason[NGX_HTTP_CLAUDE_RELAY_REASON];
    ngx_msec_t                         started;
    unsigned                           has_row:1;
    unsigned                           waited:1;    /* somebody waits for it */
    unsigned                           uncertain:1; /* may have been used */
    unsigned                           complained:1;
} ngx_http_claude_relay_refresh_t;


static ngx_int_t ngx_http_claude_relay_refresh_start(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t force,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_refresh_lease(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t force);
static ngx_int_t ngx_http_claude_relay_refresh_post(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_locked(void *data, ngx_int_t rc);
static void ngx_http_claude_relay_refresh_busy(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_busy_again(ngx_event_t *ev);
static void ngx_http_claude_relay_refresh_refused(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_had(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_find(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_found(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_begin(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_begun(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_send(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_answered(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_refresh_judge(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_looked(void *data, ngx_int_t rc);
static void ngx_http_claude_relay_refresh_record(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_save(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_saved(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_tell(
    ngx_http_claude_relay_refresh_t *f);
static void ngx_http_claude_relay_refresh_save_again(ngx_event_t *ev);
static void ngx_http_claude_relay_refresh_read(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_dead(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_clear(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_cleared(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_refresh_fail(
    ngx_http_claude_relay_refresh_t *f, ncr_msec_t after);
static ngx_uint_t ngx_http_claude_relay_refresh_held(void);
static void ngx_http_claude_relay_refresh_hold(ngx_event_t *ev);
static void ngx_http_claude_relay_refresh_end(
    ngx_http_claude_relay_refresh_t *f);


static ngx_queue_t       ngx_http_claude_relay_refreshes;
static ngx_uint_t        ngx_http_claude_relay_nrefreshes;
static ngx_connection_t  ngx_http_claude_relay_nobody;


ngx_int_t
ngx_http_claude_relay_refresh_init(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_queue_init(&ngx_http_claude_relay_refreshes);
    ngx_http_claude_relay_nrefreshes = 0;

    ngx_http_claude_relay_nobody.fd = (ngx_socket_t) -1;

    ngx_http_claude_relay_refresh_ticks(cycle);

    return NGX_OK;
}


/*
 * The worker goes now.  A refresh whose request is on the wire is worth a
 * moment: its answer would be lost, and with it the account.
 */

void
ngx_http_claude_relay_refresh_exit(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_msec_t                        until;
    ngx_queue_t                      *q;
    ngx_http_claude_relay_refresh_t  *f;

    until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LAST;

    while (ngx_http_claude_relay_refresh_held()
           && (ngx_msec_int_t) (until - ngx_current_msec) > 0)
    {
        ngx_process_events_and_timers((ngx_cycle_t *) ngx_cycle);
    }

    for (q = ngx_queue_head(&ngx_http_claude_relay_refreshes);
         q != ngx_queue_sentinel(&ngx_http_claude_relay_refreshes);
         q = ngx_queue_next(q))
    {
        f = ngx_queue_data(q, ngx_http_claude_relay_refresh_t, queue);

        if (f->hold.timer_set) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "the refresh of account \"%s\" was cut off by the "
                          "end of its worker", f->name);
        }
    }
}


/* what waits for another node has nothing to lose */

static ngx_uint_t
ngx_http_claude_relay_refresh_held(void)
{
    ngx_queue_t                      *q;
    ngx_http_claude_relay_refresh_t  *f;

    for (q = ngx_queue_head(&ngx_http_claude_relay_refreshes);
         q != ngx_queue_sentinel(&ngx_http_claude_relay_refreshes);
         q = ngx_queue_next(q))
    {
        f = ngx_queue_data(q, ngx_http_claude_relay_refresh_t, queue);

        if (f->hold.timer_set) {
            return 1;
        }
    }

    return 0;
}


/*
 * For a request.  NGX_AGAIN: one is under way, somebody's; NGX_DECLINED: none
 * is possible now.
 */

ngx_int_t
ngx_http_claude_relay_refresh(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_http_request_t *r)
{
    return ngx_http_claude_relay_refresh_start(rmcf, a, 0, r);
}


static ngx_int_t
ngx_http_claude_relay_refresh_start(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t force,
    ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_claude_relay_refresh_t  *f;

    rc = ngx_http_claude_relay_refresh_lease(rmcf, a, force);

    if (rc != NGX_OK) {
        return rc;
    }

    f = NULL;

    if (ngx_http_claude_relay_store_lock(a->id) != NGX_OK) {

        /* another nginx on this store is at it; what it gets will be seen */

        ngx_shmtx_lock(&rmcf->shpool->mutex);
        a->node->refresher = 0;
        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        return NGX_AGAIN;
    }

    f = ngx_calloc(sizeof(ngx_http_claude_relay_refresh_t), ngx_cycle->log);

    if (f == NULL) {
        goto failed;
    }

    f->rmcf = rmcf;
    f->account = a;
    f->now = ngx_http_claude_relay_now();
    f->started = ngx_current_msec;
    f->have = a->node->version;

    /* no location of nginx goes through an account's proxy */

    if (r && a->target.proxy == NULL) {
        ngx_http_claude_relay_place(&f->place, r);
    }

    (void) ngx_cpystrn((u_char *) f->name, a->name.data,
                       ngx_min(sizeof(f->name), a->name.len + 1));

    f->waited = (force || r);

    if (rmcf->redis == NULL
        && ngx_http_claude_relay_refresh_post(f) != NGX_OK)
    {
        goto failed;
    }

    /* whoever has asked may be gone before the answer comes */

    f->roster = ngx_http_claude_relay_roster_of(rmcf, a);
    f->roster->refs++;

    ngx_queue_insert_tail(&ngx_http_claude_relay_refreshes, &f->queue);
    ngx_http_claude_relay_nrefreshes++;

    if (rmcf->redis) {
        f->lock.rmcf = rmcf;
        f->lock.account = a;
        f->lock.data = f;
        f->lock.handler = ngx_http_claude_relay_refresh_locked;

        ngx_http_claude_relay_fleet_lock(&f->lock);
    }

    return NGX_AGAIN;

failed:

    ngx_http_claude_relay_store_unlock(a->id);

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    a->node->refresher = 0;
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (f) {
        ngx_free(f);
    }

    return NGX_DECLINED;
}


/* NGX_OK: this worker has it; NGX_AGAIN: another one; NGX_DECLINED: not now */

static ngx_int_t
ngx_http_claude_relay_refresh_lease(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t force)
{
    ngx_int_t                      rc;
    ngx_http_claude_relay_node_t  *node;

    node = a->node;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (node->refresher
        && (ngx_msec_int_t) (node->deadline - ngx_current_msec) > 0
        && (kill(node->refresher, 0) == 0 || ngx_errno != ESRCH))
    {
        rc = NGX_AGAIN;

    } else if (a->id == 0 || node->tokens == NULL
               || node->tokens->refresh == 0 || node->login)
    {
        rc = NGX_DECLINED;

    } else if (!force && node->retry_at
               && (ngx_msec_int_t) (node->retry_at - ngx_current_msec) > 0)
    {
        rc = NGX_DECLINED;

    } else {
        node->deadline = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LEASE;
        node->refresher = ngx_pid;
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return rc;
}


/* from here on an exiting worker stays for it */

static ngx_int_t
ngx_http_claude_relay_refresh_post(ngx_http_claude_relay_refresh_t *f)
{
    f->job.data = f;
    f->job.run = ngx_http_claude_relay_refresh_begin;
    f->job.done = ngx_http_claude_relay_refresh_begun;

    if (ngx_http_claude_relay_store_post(&f->job) != NGX_OK) {
        return NGX_ERROR;
    }

    f->hold.handler = ngx_http_claude_relay_refresh_hold;
    f->hold.data = &ngx_http_claude_relay_nobody;
    f->hold.log = ngx_cycle->log;

    ngx_add_timer(&f->hold, NGX_HTTP_CLAUDE_RELAY_LEASE);

    return NGX_OK;
}


static void
ngx_http_claude_relay_refresh_locked(void *data, ngx_int_t rc)
{
    ngx_http_claude_relay_refresh_t *f = data;

    switch (rc) {

    case NGX_OK:

        /* it may have taken some time */

        ngx_shmtx_lock(&f->rmcf->shpool->mutex);
        f->account->node->deadline = ngx_current_msec
                                     + NGX_HTTP_CLAUDE_RELAY_LEASE;
        ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

        if (ngx_http_claude_relay_refresh_post(f) != NGX_OK) {
            ngx_http_claude_relay_refresh_end(f);
        }

        return;

    case NGX_DONE:
        ngx_http_claude_relay_refresh_had(f);
        return;

    case NGX_BUSY:
        ngx_http_claude_relay_refresh_busy(f);
        return;

    case NGX_DECLINED:
        ngx_http_claude_relay_refresh_refused(f);
        return;

    default:
        (void) ngx_cpystrn((u_char *) f->reason, (u_char *) f->lock.error,
                           sizeof(f->reason));
        ngx_http_claude_relay_refresh_fail(f, 0);
        return;
    }
}


/*
 * Another node is at it.  What it gets comes by itself, or with the next
 * answer to who asks for the lock; of a node that is gone, the lock is free.
 */

static void
ngx_http_claude_relay_refresh_busy(ngx_http_claude_relay_refresh_t *f)
{
    /* what nobody waits for is due again in a second */

    if (!f->waited
        || ngx_current_msec - f->started >= NGX_HTTP_CLAUDE_RELAY_LEASE)
    {
        ngx_http_claude_relay_refresh_end(f);
        return;
    }

    f->again.handler = ngx_http_claude_relay_refresh_busy_again;
    f->again.data = f;
    f->again.log = ngx_cycle->log;
    f->again.cancelable = 1;

    ngx_add_timer(&f->again, NGX_HTTP_CLAUDE_RELAY_BUSY);
}


static void
ngx_http_claude_relay_refresh_busy_again(ngx_event_t *ev)
{
    ngx_http_claude_relay_node_t     *node;
    ngx_http_claude_relay_refresh_t  *f;

    f = ev->data;
    node = f->account->node;

    ev->cancelable = 0;

    if (node->version != f->have || node->login) {
        ngx_http_claude_relay_refresh_end(f);
        return;
    }

    ngx_http_claude_relay_fleet_lock(&f->lock);
}


/*
 * Redis is away.  No failure of the account's: it is tried again as soon as
 * that may help, and told once.
 */

static void
ngx_http_claude_relay_refresh_refused(ngx_http_claude_relay_refresh_t *f)
{
    ngx_uint_t                     told;
    ngx_http_claude_relay_node_t  *node;

    node = f->account->node;

    ngx_shmtx_lock(&f->rmcf->shpool->mutex);

    told = (ngx_strcmp(node->failure, f->lock.error) == 0);

    (void) ngx_cpystrn((u_char *) node->failure, (u_char *) f->lock.error,
                       sizeof(node->failure));

    /* who waits sees a change; the back-off does not grow of it */

    node->fails = (node->fails == 1) ? 2 : 1;
    node->retry_at = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_AWAY;

    if (node->retry_at == 0) {
        node->retry_at = 1;
    }

    ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

    if (!told) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "account \"%s\" is not refreshed: %s", f->name,
                      f->lock.error);
    }

    ngx_http_claude_relay_refresh_end(f);
}


/* another node has made newer tokens, and they are in the store */

static void
ngx_http_claude_relay_refresh_had(ngx_http_claude_relay_refresh_t *f)
{
    f->job.data = f;
    f->job.run = ngx_http_claude_relay_refresh_find;
    f->job.done = ngx_http_claude_relay_refresh_found;

    if (ngx_http_claude_relay_store_post(&f->job) != NGX_OK) {
        ngx_http_claude_relay_refresh_end(f);
    }
}


static void
ngx_http_claude_relay_refresh_find(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ncr_int_t  rc;

    if (f->has_row) {
        ncr_store_row_free(&f->row);
        f->has_row = 0;
    }

    rc = ncr_store_find(store, f->name, &f->row);

    ngx_http_claude_relay_job_rc(store, job, rc);

    f->has_row = (rc == NCR_OK);
}


static void
ngx_http_claude_relay_refresh_found(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    if (f->has_row) {
        (void) ngx_http_claude_relay_publish(f->rmcf, f->account->node,
                                             &f->row, 0);
    }

    ngx_http_claude_relay_refresh_end(f);
}


static void
ngx_http_claude_relay_refresh_begin(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ncr_int_t  rc;

    if (f->has_row) {
        ncr_store_row_free(&f->row);
        f->has_row = 0;
    }

    rc = ncr_store_begin(store, f->name, f->have, &f->row, f->now);

    ngx_http_claude_relay_job_rc(store, job, rc);

    f->has_row = (rc == NCR_OK || rc == NCR_DONE);
}


static void
ngx_http_claude_relay_refresh_begun(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    char  when[NCR_STR_RFC3339];

    if (job->rc == NCR_DONE) {

        /* somebody else was here first */

        (void) ngx_http_claude_relay_publish(f->rmcf, f->account->node,
                                             &f->row, 0);
        ngx_http_claude_relay_refresh_end(f);
        return;
    }

    if (job->rc != NCR_OK) {

        /* what cannot be kept is not asked for */

        (void) ngx_snprintf((u_char *) f->reason, sizeof(f->reason),
                            "store: %s%Z", (job->rc == NCR_DECLINED)
                                ? "the account is not there" : job->error);
        ngx_http_claude_relay_refresh_fail(f, 0);
        return;
    }

    if (f->row.failed || f->row.refresh[0] == '\0') {
        (void) ngx_http_claude_relay_publish(f->rmcf, f->account->node,
                                             &f->row, 0);
        ngx_http_claude_relay_refresh_end(f);
        return;
    }

    if (f->row.pending) {
        ncr_str_rfc3339(when, f->row.pending);
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "a refresh of account \"%s\" that was begun at %s never "
                      "ended; its token is tried once more", f->name, when);
        f->uncertain = 1;
    }

    f->have = f->row.tokens;

    ngx_http_claude_relay_refresh_send(f);
}


static void
ngx_http_claude_relay_refresh_send(ngx_http_claude_relay_refresh_t *f)
{
    ncr_oauth_t                    *oauth;
    const char                     *wrong;
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_fetch_t  *fetch;

    wrong = "the refresh could not be sent";

    if (ngx_terminate) {
        goto failed;
    }

    oauth = ngx_http_claude_relay_oauth(f->rmcf, f->account->platform);

    t = ngx_http_claude_relay_talk_create(f->rmcf, f->account, oauth);
    if (t == NULL) {
        goto failed;
    }

    f->talk = t;

    t->talk.refresh.data = (u_char *) f->row.refresh;
    t->talk.refresh.len = ngx_strlen(f->row.refresh);
    t->talk.scope.data = (u_char *) f->row.scopes;
    t->talk.scope.len = ngx_strlen(f->row.scopes);
    t->talk.meta.data = (u_char *) f->row.meta;
    t->talk.meta.len = ngx_strlen(f->row.meta);

    if (ncr_oauth_ask_refresh(&t->talk) != NCR_OK) {
        wrong = t->talk.error;
        goto failed;
    }

    fetch = ngx_http_claude_relay_talk_fetch(t);
    if (fetch == NULL) {
        goto failed;
    }

    /* it may rotate a token: an answer must be heard, whatever happens */

    fetch->important = 1;
    fetch->data = f;
    fetch->handler = ngx_http_claude_relay_refresh_answered;

    if (f->place.uri.len && oauth->place) {

        fetch->place = &f->place;

        if (ngx_http_claude_relay_fetch_start(fetch) == NGX_OK) {
            return;
        }

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the refresh of account \"%s\" could not be sent by "
                      "way of \"%V\", it is sent without", f->name,
                      &f->place.uri);

        fetch->place = NULL;
    }

    if (ngx_http_claude_relay_fetch_start(fetch) != NGX_OK) {
        goto failed;
    }

    return;

failed:

    (void) ngx_snprintf((u_char *) f->reason, sizeof(f->reason), "%s%Z",
                        wrong);
    ngx_http_claude_relay_refresh_fail(f, 0);
}


static void
ngx_http_claude_relay_refresh_answered(ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_refresh_t *f = fetch->data;

    ncr_oauth_t                   *oauth;
    ngx_http_claude_relay_talk_t  *t;

    t = f->talk;
    oauth = t->talk.oauth;

    ngx_http_claude_relay_token_answer(fetch, oauth, &f->tokens);

    if (f->tokens.result == NCR_OAUTH_OK && oauth->keep
        && oauth->keep(&t->talk, f->tokens.refresh, sizeof(f->tokens.refresh))
           != NCR_OK)
    {
        f->tokens.result = NCR_OAUTH_REFUSED;

        (void) ngx_cpystrn((u_char *) f->tokens.error,
                           (u_char *) t->talk.error, sizeof(f->tokens.error));
    }

    if (fetch->kind != NCR_REPLY_HTTP && fetch->sent) {

        /* it may have been read, and the old token be dead by now */

        f->uncertain = 1;
    }

    ngx_http_claude_relay_talk_destroy(t);
    f->talk = NULL;

    ngx_http_claude_relay_refresh_judge(f);
}


static void
ngx_http_claude_relay_refresh_judge(ngx_http_claude_relay_refresh_t *f)
{
    (void) ngx_cpystrn((u_char *) f->reason, (u_char *) f->tokens.error,
                       sizeof(f->reason));

    switch (f->tokens.result) {

    case NCR_OAUTH_OK:
        f->job.run = ngx_http_claude_relay_refresh_save;
        f->job.done = ngx_http_claude_relay_refresh_saved;
        break;

    case NCR_OAUTH_INVALID_GRANT:

        if (f->rmcf->redis) {

            /* has another node rotated it? */

            f->lock.handler = ngx_http_claude_relay_refresh_looked;
            ngx_http_claude_relay_fleet_lock_look(&f->lock);
            return;
        }

        f->job.run = ngx_http_claude_relay_refresh_read;
        f->job.done = ngx_http_claude_relay_refresh_dead;
        break;

    case NCR_OAUTH_TRANSIENT:
    case NCR_OAUTH_REFUSED:
    default:

        if (f->tokens.result == NCR_OAUTH_TRANSIENT && f->uncertain) {
            ngx_http_claude_relay_refresh_fail(f, f->tokens.retry_after);
            return;
        }

        f->job.run = ngx_http_claude_relay_refresh_clear;
        f->job.done = ngx_http_claude_relay_refresh_cleared;
        break;
    }

    ngx_http_claude_relay_refresh_record(f);
}


static void
ngx_http_claude_relay_refresh_looked(void *data, ngx_int_t rc)
{
    ngx_http_claude_relay_refresh_t *f = data;

    if (rc == NGX_DONE) {
        ngx_http_claude_relay_metrics_refresh(f->rmcf,
                                    NGX_HTTP_CLAUDE_RELAY_REFRESH_SUPERSEDED);
        ngx_http_claude_relay_refresh_had(f);
        return;
    }

    f->job.run = ngx_http_claude_relay_refresh_read;
    f->job.done = ngx_http_claude_relay_refresh_dead;

    ngx_http_claude_relay_refresh_record(f);
}


static void
ngx_http_claude_relay_refresh_record(ngx_http_claude_relay_refresh_t *f)
{
    if (ngx_http_claude_relay_store_post(&f->job) == NGX_OK) {
        return;
    }

    if (f->tokens.result == NCR_OAUTH_OK) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "account \"%s\" has new tokens that could not be "
                      "stored: its worker is gone", f->name);
    }

    ngx_http_claude_relay_refresh_fail(f, 0);
}


static void
ngx_http_claude_relay_refresh_save(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    char                 meta[NCR_OAUTH_META];
    ncr_int_t            rc;
    ngx_str_t            old;
    ncr_store_account_t  row;

    ngx_memzero(&row, sizeof(ncr_store_account_t));

    (void) ngx_cpystrn((u_char *) row.name, (u_char *) f->name,
                       sizeof(row.name));

    row.access = f->tokens.access;
    row.refresh = f->tokens.refresh[0] ? f->tokens.refresh : NULL;
    row.expires = f->tokens.expires;
    row.scopes = f->tokens.scope[0] ? f->tokens.scope : NULL;
    row.fence = f->lock.fence;

    if (f->rmcf->redis && row.fence == 0) {

        /* without a lock: the time, which fences are made of, too */

        row.fence = (uint64_t) ngx_max(f->now + f->rmcf->zone->fleet->skew,
                                       1);
    }

    /* whose it is, too: nobody has told that of imported tokens */

    if (f->has_row && f->tokens.meta[0]) {
        old.data = (u_char *) f->row.meta;
        old.len = ngx_strlen(old.data);

        ncr_oauth_meta(f->tokens.meta, ncr(&old), meta, sizeof(meta));
        row.meta = meta;
    }

    rc = ncr_store_tokens(store, &row, f->have, f->now);

    if (rc == NCR_OK) {
        ncr_store_row_free(&f->row);
        f->has_row = 0;

        rc = ncr_store_find(store, f->name, &f->row);
        f->has_row = (rc == NCR_OK);

        /* durable it is; others will load it if this cannot be read back */
        rc = NCR_OK;
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_refresh_saved(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ngx_http_claude_relay_node_t  *node;

    node = f->account->node;

    if (job->rc == NCR_DECLINED) {

        /* a login came in between; its tokens are the newer ones */

        ngx_http_claude_relay_metrics_refresh(f->rmcf,
                                    NGX_HTTP_CLAUDE_RELAY_REFRESH_SUPERSEDED);
        ngx_http_claude_relay_refresh_end(f);
        return;
    }

    if (job->rc != NCR_OK) {

        if (!f->complained) {
            f->complained = 1;
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                          "account \"%s\" has new tokens that cannot be "
                          "stored, they are kept in memory until they can: %s",
                          f->name, job->error);
        }

        ngx_shmtx_lock(&f->rmcf->shpool->mutex);
        node->deadline = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LEASE;
        ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

        f->again.handler = ngx_http_claude_relay_refresh_save_again;
        f->again.data = f;
        f->again.log = ngx_cycle->log;

        ngx_add_timer(&f->again, NGX_HTTP_CLAUDE_RELAY_SAVE);
        return;
    }

    if (f->has_row) {
        (void) ngx_http_claude_relay_publish(f->rmcf, node, &f->row, 0);
        ngx_http_claude_relay_refresh_tell(f);
    }

    ngx_shmtx_lock(&f->rmcf->shpool->mutex);
    node->refreshes++;
    node->refreshed = ngx_http_claude_relay_now();
    ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

    ngx_http_claude_relay_metrics_refresh(f->rmcf,
                                          NGX_HTTP_CLAUDE_RELAY_REFRESH_OK);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "account \"%s\" has new tokens, after %M ms", f->name,
                  ngx_current_msec - f->started);

    ngx_http_claude_relay_refresh_end(f);
}


/* other nodes: that the tokens are there, or that these are dead */

static void
ngx_http_claude_relay_refresh_tell(ngx_http_claude_relay_refresh_t *f)
{
    if (f->rmcf->redis && f->has_row) {
        ngx_http_claude_relay_fleet_lock_tell(&f->lock, &f->row);
    }
}


static void
ngx_http_claude_relay_refresh_save_again(ngx_event_t *ev)
{
    ngx_http_claude_relay_refresh_t *f;

    /* debug builds read an fd here: the struct is large enough */

    f = ev->data;

    if (ngx_http_claude_relay_store_post(&f->job) != NGX_OK) {
        ngx_http_claude_relay_refresh_fail(f, 0);
    }
}


/* "invalid_grant": has somebody rotated it? */

static void
ngx_http_claude_relay_refresh_read(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ncr_int_t            rc;
    ncr_store_account_t  row;

    rc = ncr_store_find(store, f->name, &row);

    if (rc == NCR_OK) {

        if (row.tokens != f->have || row.failed) {
            ncr_store_row_free(&f->row);
            f->row = row;
            job->rc = NCR_DONE;
            return;
        }

        ncr_store_row_free(&row);

        rc = ncr_store_failed(store, f->name, f->have, f->reason, f->now);

        if (rc == NCR_OK) {
            ncr_store_row_free(&f->row);
            f->has_row = 0;

            rc = ncr_store_find(store, f->name, &f->row);
            f->has_row = (rc == NCR_OK);
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_refresh_dead(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    if (job->rc != NCR_OK && job->rc != NCR_DONE) {
        ngx_http_claude_relay_refresh_fail(f, 0);
        return;
    }

    if (f->has_row) {
        (void) ngx_http_claude_relay_publish(f->rmcf, f->account->node,
                                             &f->row, 0);
    }

    ngx_http_claude_relay_metrics_refresh(f->rmcf,
                             (job->rc == NCR_OK)
                                 ? NGX_HTTP_CLAUDE_RELAY_REFRESH_LOGIN
                                 : NGX_HTTP_CLAUDE_RELAY_REFRESH_SUPERSEDED);

    if (job->rc == NCR_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "account \"%s\" needs a login: the token endpoint said "
                      "\"%s\"%s", f->name, f->reason,
                      f->uncertain ? " after a refresh that was cut off" : "");

        ngx_http_claude_relay_refresh_tell(f);
    }

    ngx_http_claude_relay_refresh_end(f);
}


/* the old token was not used, or not looked at */

static void
ngx_http_claude_relay_refresh_clear(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                ncr_store_failed(store, f->name, f->have, NULL, f->now));
}


static void
ngx_http_claude_relay_refresh_cleared(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_refresh_t *f = job->data;

    ngx_http_claude_relay_refresh_fail(f, f->tokens.retry_after);
}


/* for now: the old tokens do as long as they last; after: ms, or <= 0 */

static void
ngx_http_claude_relay_refresh_fail(ngx_http_claude_relay_refresh_t *f,
    ncr_msec_t after)
{
    ncr_msec_t                     delay;
    ngx_uint_t                     shift;
    ngx_http_claude_relay_node_t  *node;

    node = f->account->node;

    ngx_shmtx_lock(&f->rmcf->shpool->mutex);

    shift = ngx_min(node->fails, 12);
    node->fails++;

    delay = ngx_min((ncr_msec_t) NGX_HTTP_CLAUDE_RELAY_BACK_OFF << shift,
                    NGX_HTTP_CLAUDE_RELAY_BACK_MAX);
    delay += ngx_random() % (delay / 4 + 1);
    delay = ngx_max(delay, ngx_min(after, NGX_HTTP_CLAUDE_RELAY_BACK_MAX));

    node->retry_at = ngx_current_msec + (ngx_msec_t) delay;

    if (node->retry_at == 0) {
        node->retry_at = 1;
    }

    (void) ngx_cpystrn((u_char *) node->failure, (u_char *) f->reason,
                       sizeof(node->failure));

    ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

    ngx_http_claude_relay_metrics_refresh(f->rmcf,
                                        NGX_HTTP_CLAUDE_RELAY_REFRESH_FAILED);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "refresh of account \"%s\" failed: %s; tried again in %L ms",
                  f->name, f->reason, (int64_t) delay);

    ngx_http_claude_relay_refresh_end(f);
}


/* a worker that leaves stays for it: while a timer is set, it does */

static void
ngx_http_claude_relay_refresh_hold(ngx_event_t *ev)
{
    ngx_log_error(NGX_LOG_WARN, ev->log, 0, "a token refresh takes very long");
}


static void
ngx_http_claude_relay_refresh_end(ngx_http_claude_relay_refresh_t *f)
{
    if (f->rmcf->redis) {
        ngx_http_claude_relay_fleet_unlock(&f->lock);
    }

    if (f->again.timer_set) {
        ngx_del_timer(&f->again);
    }

    ngx_http_claude_relay_store_unlock(f->account->id);

    ngx_shmtx_lock(&f->rmcf->shpool->mutex);

    if (f->account->node->refresher == ngx_pid) {
        f->account->node->refresher = 0;
    }

    ngx_shmtx_unlock(&f->rmcf->shpool->mutex);

    if (f->hold.timer_set) {
        ngx_del_timer(&f->hold);
    }

    ngx_queue_remove(&f->queue);
    ngx_http_claude_relay_nrefreshes--;

    if (f->has_row) {
        ncr_store_row_free(&f->row);
    }

    if (f->talk) {
        ngx_http_claude_relay_talk_destroy(f->talk);
    }

    ngx_http_claude_relay_roster_release(f->rmcf, f->roster);

    ngx_explicit_memzero(&f->tokens, sizeof(ncr_oauth_tokens_t));
    ngx_free(f);

    /* whoever waited, in whatever worker, and the stores of all */

    ngx_http_claude_relay_store_touched();
}


/* by an operator: at once, whatever the back-off; NGX_AGAIN: under way */

ngx_int_t
ngx_http_claude_relay_refresh_now(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    return ngx_http_claude_relay_refresh_start(rmcf, a, 1, NULL);
}


ngx_uint_t
ngx_http_claude_relay_refreshing(void)
{
    return ngx_http_claude_relay_nrefreshes;
}
