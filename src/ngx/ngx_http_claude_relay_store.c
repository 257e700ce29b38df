
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The thread that talks to the store.  SQLite is never opened before the fork
 * and never used on the loop.
 */


#include "ngx_http_claude_relay_store.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_thread.h"


/* changes of others are looked for this often, ms; broken stores tried */
#define NGX_HTTP_CLAUDE_RELAY_LOOK   1000

/* so many objects are put in place before others have their turn */
#define NGX_HTTP_CLAUDE_RELAY_STEP   256

/* how long other writers may hold the file, ms */
#define NGX_HTTP_CLAUDE_RELAY_BUSY   5000


typedef struct {
    ngx_http_claude_relay_thread_t     thread;
    int                                locks;
    ngx_atomic_uint_t                  changes; /* of the zone, seen */
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_queue_t                        applying;    /* jobs of ..._rows_t */
    ngx_event_t                        step;

    /* the thread's own */

    ncr_store_t                       *store;
    uint64_t                           seq;
    uint64_t                           objects; /* their seq, of */
    uint64_t                           file;    /* this one */
    ngx_uint_t                         key_number;
    ngx_uint_t                         gone;    /* asked for a memory */
    char                               error[NCR_STORE_ERROR];
} ngx_http_claude_relay_keeper_t;


/* rows for the loop, or for a store that has lost its file */

typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_queue_t                        rows;    /* ..._stored_t */
    uint64_t                           seq;
    ngx_queue_t                        objects; /* ..._object_t */
    ngx_http_claude_relay_since_t      since;
    ncr_store_object_t                *lost;    /* what a file had */
    ngx_uint_t                         nlost;
    ngx_uint_t                         again;
    ngx_uint_t                         failed;  /* the store, as of now */
    char                               error[NCR_STORE_ERROR];
} ngx_http_claude_relay_rows_t;


static ngx_msec_t ngx_http_claude_relay_keeper_work(void *data);
static void ngx_http_claude_relay_keeper_close(void *data);
static void ngx_http_claude_relay_keeper_run(void *data, ngx_queue_t *q);
static void ngx_http_claude_relay_keeper_look(
    ngx_http_claude_relay_keeper_t *t);
static ngx_int_t ngx_http_claude_relay_keeper_open(
    ngx_http_claude_relay_keeper_t *t, ngx_uint_t create);
static void ngx_http_claude_relay_keeper_state(
    ngx_http_claude_relay_keeper_t *t, const char *error);
static void ngx_http_claude_relay_keeper_load(
    ngx_http_claude_relay_keeper_t *t, ngx_uint_t again);
static void ngx_http_claude_relay_keeper_lost(
    ngx_http_claude_relay_keeper_t *t);
static ncr_int_t ngx_http_claude_relay_keeper_row(void *data,
    ncr_store_account_t *row);
static ngx_int_t ngx_http_claude_relay_keeper_objects(
    ngx_http_claude_relay_keeper_t *t, ngx_http_claude_relay_rows_t *rows);
static ncr_int_t ngx_http_claude_relay_keeper_object(void *data,
    ncr_store_object_t *row);
static ngx_http_claude_relay_rows_t *ngx_http_claude_relay_rows(void);
static void ngx_http_claude_relay_rows_free(
    ngx_http_claude_relay_rows_t *rows);
static void ngx_http_claude_relay_restore(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_restored(ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_step(ngx_event_t *ev);
static void ngx_http_claude_relay_rows_apply(
    ngx_http_claude_relay_rows_t *rows);
static void ngx_http_claude_relay_state_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_lost_done(
    ngx_http_claude_relay_job_t *job);
static ngx_uint_t ngx_http_claude_relay_keeper_done(void *data,
    ngx_queue_t *q);


static ngx_http_claude_relay_keeper_t  ngx_http_claude_relay_store_thread;


ngx_int_t
ngx_http_claude_relay_store_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_rows_t    *rows;
    ngx_http_claude_relay_keeper_t  *t;

    if (rmcf->store == NULL) {
        return NGX_OK;
    }

    t = &ngx_http_claude_relay_store_thread;
    ngx_memzero(t, sizeof(ngx_http_claude_relay_keeper_t));

    t->rmcf = rmcf;
    t->seq = rmcf->roster->seq;
    t->objects = rmcf->store->seq;
    t->file = rmcf->store->file;
    t->changes = rmcf->zone->changes;
    t->key_number = 0;

    ngx_queue_init(&t->applying);

    /* debug builds read an fd of what an event has: this one is none */

    t->step.data = t;
    t->step.log = cycle->log;
    t->step.handler = ngx_http_claude_relay_rows_step;

    t->thread.data = t;
    t->thread.work = ngx_http_claude_relay_keeper_work;
    t->thread.run = ngx_http_claude_relay_keeper_run;
    t->thread.close = ngx_http_claude_relay_keeper_close;
    t->thread.done = ngx_http_claude_relay_keeper_done;

    t->locks = ncr_store_lock_open((char *) rmcf->store->path.data);

    if (t->locks == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "locks of the store \"%V\" cannot be opened, tokens "
                      "will not be refreshed by this worker",
                      &rmcf->store->path);
    }

    if (ngx_http_claude_relay_thread_start(&t->thread, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rmcf->store->older) {

        rows = ngx_http_claude_relay_rows();

        if (rows) {
            ngx_http_claude_relay_lost_done(&rows->job);
        }
    }

    return ngx_http_claude_relay_refresh_init(cycle, rmcf);
}


/* what was posted is done before the worker is gone */

void
ngx_http_claude_relay_store_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    if (!t->thread.running) {
        return;
    }

    ngx_http_claude_relay_refresh_exit(rmcf);
    ngx_http_claude_relay_thread_stop(&t->thread);

    if (t->locks != -1) {
        (void) close(t->locks);
    }
}


ngx_int_t
ngx_http_claude_relay_store_post(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    job->rc = NCR_ERROR;
    job->error[0] = '\0';

    return ngx_http_claude_relay_thread_post(&t->thread, &job->queue);
}


void
ngx_http_claude_relay_job_rc(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job, ncr_int_t rc)
{
    job->rc = rc;

    if (rc != NCR_OK) {
        (void) ngx_cpystrn((u_char *) job->error,
                           (u_char *) ncr_store_error(store),
                           sizeof(job->error));
    }
}


void
ngx_http_claude_relay_store_touched(void)
{
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    if (t->thread.running) {
        (void) ngx_atomic_fetch_add(&t->rmcf->zone->changes, 1);
        ngx_http_claude_relay_ring_all();
    }
}


/* the doorbell rang; is it about the store? */

void
ngx_http_claude_relay_store_rung(void)
{
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    if (!t->thread.running || t->changes == t->rmcf->zone->changes) {
        return;
    }

    t->changes = t->rmcf->zone->changes;

    ngx_http_claude_relay_thread_wake(&t->thread);
}


ngx_int_t
ngx_http_claude_relay_store_lock(uint64_t id)
{
    ncr_int_t                        rc;
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    rc = (t->locks == -1) ? NCR_ERROR : ncr_store_lock(t->locks, id);

    if (rc == NCR_ERROR) {

        /* the file was deleted, perhaps with the store's, or never there */

        if (t->locks != -1) {
            (void) close(t->locks);
        }

        t->locks = ncr_store_lock_open((char *) t->rmcf->store->path.data);

        rc = (t->locks == -1) ? NCR_ERROR : ncr_store_lock(t->locks, id);
    }

    return (rc == NCR_OK) ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_claude_relay_store_unlock(uint64_t id)
{
    ncr_store_unlock(ngx_http_claude_relay_store_thread.locks, id);
}


static ngx_msec_t
ngx_http_claude_relay_keeper_work(void *data)
{
    ngx_http_claude_relay_keeper_look(data);

    return ngx_http_claude_relay_thread_clock() + NGX_HTTP_CLAUDE_RELAY_LOOK;
}


static void
ngx_http_claude_relay_keeper_close(void *data)
{
    ngx_http_claude_relay_keeper_t *t = data;

    ncr_store_close(t->store);
    t->store = NULL;
}


static void
ngx_http_claude_relay_keeper_run(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_keeper_t *t = data;

    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    if (job->run == ngx_http_claude_relay_restore) {

        /* a new file, or an old one that came back */

        ncr_store_close(t->store);
        t->store = NULL;
        t->gone = 0;

        (void) ngx_http_claude_relay_keeper_open(t, 1);
    }

    if (t->store == NULL) {
        (void) ngx_http_claude_relay_keeper_open(t, 0);
    }

    if (t->store == NULL) {
        job->rc = NCR_ERROR;
        (void) ngx_cpystrn((u_char *) job->error, (u_char *) t->error,
                           sizeof(job->error));

    } else {
        job->run(t->store, job);

        if (job->rc == NCR_STORE_KEY) {

            /* another worker has given it a new key, which the zone has */

            ncr_store_close(t->store);
            t->store = NULL;

            if (ngx_http_claude_relay_keeper_open(t, 0) == NGX_OK) {
                job->run(t->store, job);
            }
        }

        if (job->rc == NCR_STORE_GONE) {
            ngx_http_claude_relay_keeper_lost(t);

        } else if (job->rc == NCR_ERROR && t->store) {

            /* opened anew, it is looked at as a whole */

            ngx_http_claude_relay_keeper_state(t, ncr_store_error(t->store));
            ncr_store_close(t->store);
            t->store = NULL;

        } else if (job->run == ngx_http_claude_relay_restore
                   && job->rc == NCR_OK)
        {
            ngx_http_claude_relay_keeper_load(t, 1);
        }
    }
}


/* has anybody changed something? */

static void
ngx_http_claude_relay_keeper_look(ngx_http_claude_relay_keeper_t *t)
{
    ncr_int_t  rc;

    if (t->store == NULL
        && ngx_http_claude_relay_keeper_open(t, 0) != NGX_OK)
    {
        return;
    }

    rc = ncr_store_changed(t->store);

    switch (rc) {

    case NCR_OK:
        ngx_http_claude_relay_keeper_load(t, 0);
        break;

    case NCR_DECLINED:
        ngx_http_claude_relay_keeper_state(t, "");
        break;

    case NCR_STORE_GONE:
        ngx_http_claude_relay_keeper_lost(t);
        break;

    default:
        ngx_http_claude_relay_keeper_state(t, ncr_store_error(t->store));
        ncr_store_close(t->store);
        t->store = NULL;
        break;
    }
}


static ngx_int_t
ngx_http_claude_relay_keeper_open(ngx_http_claude_relay_keeper_t *t,
    ngx_uint_t create)
{
    char                               error[NCR_STORE_ERROR];
    char                               key[2 * NCR_SEAL_KEY];
    ncr_int_t                          rc;
    ncr_store_options_t                options;
    ngx_http_claude_relay_zone_t      *zone;
    ngx_http_claude_relay_main_conf_t *rmcf;

    rmcf = t->rmcf;
    zone = rmcf->zone;

    ngx_memzero(&options, sizeof(ncr_store_options_t));

    options.path = (char *) rmcf->store->path.data;
    options.key = *ncr(&rmcf->store->key);
    options.passphrase = *ncr(&rmcf->store->passphrase);
    options.busy = NGX_HTTP_CLAUDE_RELAY_BUSY;
    options.create = create;

    if (zone->key_number) {

        /* the key was changed while nginx runs */

        ncr_hash_hex((u_char *) key, zone->key, NCR_SEAL_KEY);
        options.key.data = (u_char *) key;
        options.key.len = sizeof(key);
    }

    error[0] = '\0';

    rc = ncr_store_open(&options, &t->store, error);

    if (rc == NCR_STORE_KEY && zone->key_number) {

        /* or was it changed back? */

        options.key = *ncr(&rmcf->store->key);
        rc = ncr_store_open(&options, &t->store, error);
    }

    ngx_explicit_memzero(key, sizeof(key));

    if (rc == NCR_OK) {
        ngx_http_claude_relay_keeper_state(t, "");
        return NGX_OK;
    }

    t->store = NULL;

    ngx_http_claude_relay_keeper_state(t, error);

    if (!create && access(options.path, F_OK) == -1) {
        ngx_http_claude_relay_keeper_lost(t);
    }

    return NGX_ERROR;
}


/* tells the loop of troubles, and of their end, once each */

static void
ngx_http_claude_relay_keeper_state(ngx_http_claude_relay_keeper_t *t,
    const char *error)
{
    ngx_http_claude_relay_rows_t  *rows;

    if (ngx_strcmp(t->error, error) == 0) {
        return;
    }

    rows = ngx_http_claude_relay_rows();
    if (rows == NULL) {
        return;
    }

    (void) ngx_cpystrn((u_char *) t->error, (u_char *) error,
                       sizeof(t->error));
    (void) ngx_cpystrn((u_char *) rows->error, (u_char *) error,
                       sizeof(rows->error));

    rows->failed = (error[0] != '\0');
    rows->job.done = ngx_http_claude_relay_state_done;

    ngx_http_claude_relay_thread_give(&t->thread, &rows->job.queue);
}


static void
ngx_http_claude_relay_keeper_load(ngx_http_claude_relay_keeper_t *t,
    ngx_uint_t again)
{
    ncr_int_t                      rc;
    ngx_http_claude_relay_rows_t  *rows;

    rows = ngx_http_claude_relay_rows();
    if (rows == NULL) {
        return;
    }

    rows->job.done = ngx_http_claude_relay_rows_done;
    rows->again = again;
    rows->seq = again ? 0 : t->seq;

    rc = ncr_store_load(t->store, &rows->seq,
                        ngx_http_claude_relay_keeper_row, rows);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_keeper_objects(t, rows);
    }

    if (rc != NCR_OK) {
        ngx_http_claude_relay_rows_free(rows);
        ngx_http_claude_relay_keeper_state(t, ncr_store_error(t->store));
        ncr_store_close(t->store);
        t->store = NULL;
        return;
    }

    ngx_http_claude_relay_keeper_state(t, "");

    t->seq = rows->seq;

    ngx_http_claude_relay_thread_give(&t->thread, &rows->job.queue);
}


static ngx_int_t
ngx_http_claude_relay_keeper_objects(ngx_http_claude_relay_keeper_t *t,
    ngx_http_claude_relay_rows_t *rows)
{
    uint64_t      seq;
    ncr_int_t     rc;
    ngx_queue_t  *q;

    rows->since.file = ncr_store_file(t->store);
    rows->since.from = (rows->again || rows->since.file != t->file)
                       ? 0 : t->objects;
    seq = rows->since.from;

    rc = ncr_store_objects(t->store, &seq,
                           ngx_http_claude_relay_keeper_object, rows);

    if (rc != NCR_OK) {
        return rc;
    }

    for (q = ngx_queue_head(&rows->objects);
         q != ngx_queue_sentinel(&rows->objects);
         q = ngx_queue_next(q))
    {
        ngx_http_claude_relay_object_read(t->rmcf,
                     ngx_queue_data(q, ngx_http_claude_relay_object_t, queue));
    }

    t->file = rows->since.file;
    t->objects = seq;

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_keeper_object(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_rows_t *rows = data;

    ngx_http_claude_relay_object_t  *object;

    object = ngx_http_claude_relay_object(row);
    if (object == NULL) {
        return NCR_ERROR;
    }

    ngx_queue_insert_tail(&rows->objects, &object->queue);

    return NCR_OK;
}


/* the loop shall say what it remembers, so that a new file can have it */

static void
ngx_http_claude_relay_keeper_lost(ngx_http_claude_relay_keeper_t *t)
{
    ngx_http_claude_relay_rows_t  *rows;

    if (t->gone) {
        return;
    }

    rows = ngx_http_claude_relay_rows();
    if (rows == NULL) {
        return;
    }

    t->gone = 1;
    rows->job.done = ngx_http_claude_relay_lost_done;

    ngx_http_claude_relay_thread_give(&t->thread, &rows->job.queue);
}


static ncr_int_t
ngx_http_claude_relay_keeper_row(void *data, ncr_store_account_t *row)
{
    ngx_http_claude_relay_rows_t *rows = data;

    ngx_http_claude_relay_stored_t  *stored;

    stored = ngx_http_claude_relay_stored(row);
    if (stored == NULL) {
        return NCR_ERROR;
    }

    ngx_queue_insert_tail(&rows->rows, &stored->queue);

    return NCR_OK;
}


static ngx_http_claude_relay_rows_t *
ngx_http_claude_relay_rows(void)
{
    ngx_http_claude_relay_rows_t  *rows;

    rows = ngx_calloc(sizeof(ngx_http_claude_relay_rows_t), ngx_cycle->log);

    if (rows) {
        ngx_queue_init(&rows->rows);
        ngx_queue_init(&rows->objects);
        rows->job.data = rows;
    }

    return rows;
}


static void
ngx_http_claude_relay_rows_free(ngx_http_claude_relay_rows_t *rows)
{
    ngx_uint_t    i;
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&rows->rows)) {
        q = ngx_queue_head(&rows->rows);
        ngx_queue_remove(q);
        ngx_http_claude_relay_stored_free(
                     ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue));
    }

    ngx_http_claude_relay_objects_free(&rows->objects);

    for (i = 0; i < rows->nlost; i++) {
        ncr_store_object_free(&rows->lost[i]);
    }

    if (rows->lost) {
        ngx_free(rows->lost);
    }

    ngx_free(rows);
}


static char *
ngx_http_claude_relay_text(const char *text)
{
    return ngx_http_claude_relay_dup(text ? text : "",
                                     text ? ngx_strlen(text) : 0);
}


ngx_http_claude_relay_stored_t *
ngx_http_claude_relay_stored(ncr_store_account_t *row)
{
    ncr_store_account_t             *to;
    ngx_http_claude_relay_stored_t  *stored;

    stored = ngx_alloc(sizeof(ngx_http_claude_relay_stored_t), ngx_cycle->log);
    if (stored == NULL) {
        return NULL;
    }

    to = &stored->row;
    *to = *row;

    to->settings = ngx_http_claude_relay_text(row->settings);
    to->secret = ngx_http_claude_relay_text(row->secret);
    to->proxy = ngx_http_claude_relay_text(row->proxy);
    to->access = ngx_http_claude_relay_text(row->access);
    to->refresh = ngx_http_claude_relay_text(row->refresh);
    to->scopes = ngx_http_claude_relay_text(row->scopes);
    to->meta = ngx_http_claude_relay_text(row->meta);
    to->reason = ngx_http_claude_relay_text(row->reason);
    to->holder = ngx_http_claude_relay_text(row->holder);

    if (to->settings && to->secret && to->proxy && to->access && to->refresh
        && to->scopes && to->meta && to->reason && to->holder)
    {
        return stored;
    }

    ngx_http_claude_relay_stored_free(stored);

    return NULL;
}


void
ngx_http_claude_relay_stored_free(ngx_http_claude_relay_stored_t *stored)
{
    ncr_store_row_free(&stored->row);
    ngx_free(stored);
}


/* in the thread, on a store that was opened anew for it */

static void
ngx_http_claude_relay_restore(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_rows_t *rows = job->data;

    ncr_int_t                        rc;
    ncr_msec_t                       now;
    ngx_queue_t                     *q;
    struct timespec                  ts;
    ngx_http_claude_relay_stored_t  *stored;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    now = (ncr_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;

    for (q = ngx_queue_head(&rows->rows);
         q != ngx_queue_sentinel(&rows->rows);
         q = ngx_queue_next(q))
    {
        stored = ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue);

        rc = ncr_store_restore(store, &stored->row, now);

        if (rc != NCR_OK && rc != NCR_DECLINED) {
            ngx_http_claude_relay_job_rc(store, job, rc);
            return;
        }
    }

    if (rows->nlost) {
        ngx_http_claude_relay_job_rc(store, job,
                         ncr_store_object_restore(store, rows->lost,
                                                  rows->nlost));
        return;
    }

    job->rc = NCR_OK;
}


static void
ngx_http_claude_relay_restored(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_rows_t *rows = job->data;

    if (job->rc == NCR_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the file of the store was replaced or deleted; what "
                      "this worker remembers is in it again");
        ngx_http_claude_relay_store_touched();

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the store cannot be written anew: %s", job->error);
    }

    ngx_http_claude_relay_rows_free(rows);
}


/*
 * Rows of the store, in the loop: one job after the other, as their seqs go
 * on, and of many objects some at a time.
 */

static void
ngx_http_claude_relay_rows_done(ngx_http_claude_relay_job_t *job)
{
    ngx_uint_t                       idle;
    ngx_http_claude_relay_rows_t    *rows = job->data;
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    ngx_http_claude_relay_fleet_changed(&rows->rows, &rows->objects);

    idle = ngx_queue_empty(&t->applying);

    ngx_queue_insert_tail(&t->applying, &job->queue);

    if (idle) {
        ngx_http_claude_relay_rows_step(&t->step);
    }
}


static void
ngx_http_claude_relay_rows_step(ngx_event_t *ev)
{
    ngx_queue_t                     *q;
    ngx_http_claude_relay_job_t     *job;
    ngx_http_claude_relay_rows_t    *rows;
    ngx_http_claude_relay_keeper_t  *t;

    t = &ngx_http_claude_relay_store_thread;

    while (!ngx_queue_empty(&t->applying)) {

        q = ngx_queue_head(&t->applying);
        job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);
        rows = job->data;

        if (ngx_http_claude_relay_objects_apply(t->rmcf, &rows->objects,
                                                &rows->since,
                                                NGX_HTTP_CLAUDE_RELAY_STEP,
                                                ngx_cycle->log)
            == NGX_AGAIN)
        {
            ngx_post_event(&t->step, &ngx_posted_next_events);
            return;
        }

        ngx_queue_remove(q);

        ngx_http_claude_relay_rows_apply(rows);
    }
}


ngx_uint_t
ngx_http_claude_relay_store_applying(void)
{
    return ngx_http_claude_relay_store_thread.thread.running
           && !ngx_queue_empty(&ngx_http_claude_relay_store_thread.applying);
}


static void
ngx_http_claude_relay_rows_apply(ngx_http_claude_relay_rows_t *rows)
{
    ngx_str_t                           name;
    ngx_uint_t                          older;
    ngx_queue_t                        *q;
    ncr_store_account_t                *row;
    ngx_http_claude_relay_stored_t     *stored;
    ngx_http_claude_relay_account_t    *a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_claude_relay_store_thread.rmcf;

    /* what cannot be restored is not tried again and again */

    older = rows->since.older && !rows->again;

    if (ngx_http_claude_relay_roster_apply(rmcf, &rows->rows, rows->seq, NULL)
        != NGX_OK)
    {
        ngx_http_claude_relay_rows_free(rows);
        return;
    }

    for (q = ngx_queue_head(&rows->rows);
         q != ngx_queue_sentinel(&rows->rows);
         q = ngx_queue_next(q))
    {
        stored = ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue);
        row = &stored->row;

        name.data = (u_char *) row->name;
        name.len = ngx_strlen(row->name);

        a = ngx_http_claude_relay_roster_find(rmcf->roster, &name);

        if (a && (a->own == NULL) != (row->conf == 1)) {
            continue;
        }

        if (a == NULL && !row->removed) {
            continue;
        }

        if (ngx_http_claude_relay_publish(rmcf, a ? a->node : NULL, row,
                                          rows->again)
            == NGX_DECLINED)
        {
            older = 1;
        }
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    ngx_http_claude_relay_nodes_sweep_locked(rmcf);
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ring(rmcf->zone);

    if (older) {

        /* an old copy was put in place of the file: ours is newer */

        ngx_http_claude_relay_lost_done(&rows->job);
        return;
    }

    ngx_http_claude_relay_rows_free(rows);
}


static void
ngx_http_claude_relay_state_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_rows_t *rows = job->data;

    ngx_http_claude_relay_zone_t  *zone;

    zone = ngx_http_claude_relay_store_thread.rmcf->zone;

    if (rows->failed) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "store: %s; serving from memory", rows->error);

    } else {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "the store is in order again");
    }

    ngx_shmtx_lock(&ngx_http_claude_relay_store_thread.rmcf->shpool->mutex);

    zone->store_failed = rows->failed;
    zone->store_since = ngx_http_claude_relay_now();
    (void) ngx_cpystrn((u_char *) zone->store_error, (u_char *) rows->error,
                       sizeof(zone->store_error));

    ngx_shmtx_unlock(&ngx_http_claude_relay_store_thread.rmcf->shpool->mutex);

    ngx_http_claude_relay_rows_free(rows);
}


/* all that this worker knows of the store's rows, for a file without them */

static void
ngx_http_claude_relay_lost_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_rows_t *rows = job->data;

    ngx_uint_t                          i;
    ngx_http_claude_relay_stored_t     *stored;
    ngx_http_claude_relay_account_t   **a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_claude_relay_store_thread.rmcf;

    ngx_http_claude_relay_rows_free(rows);

    rows = ngx_http_claude_relay_rows();
    if (rows == NULL) {
        return;
    }

    a = rmcf->roster->accounts.elts;

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {

        stored = ngx_http_claude_relay_remember(rmcf, a[i]);

        if (stored) {
            ngx_queue_insert_tail(&rows->rows, &stored->queue);
        }
    }

    rows->lost = ngx_http_claude_relay_objects_remember(rmcf, &rows->nlost);

    rows->job.run = ngx_http_claude_relay_restore;
    rows->job.done = ngx_http_claude_relay_restored;

    if (ngx_http_claude_relay_store_post(&rows->job) != NGX_OK) {
        ngx_http_claude_relay_rows_free(rows);
    }
}


static ngx_uint_t
ngx_http_claude_relay_keeper_done(void *data, ngx_queue_t *q)
{
    ngx_uint_t                    posted;
    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    /* the thread's own have nothing to run */
    posted = (job->run != NULL);

    job->done(job);

    return posted;
}
