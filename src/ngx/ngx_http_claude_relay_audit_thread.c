
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The thread of each worker that keeps the audit log: it inflates, redacts,
 * writes, expires and searches.  Entries come through a queue of bounded
 * size; what does not fit is dropped, counted, and told once a minute: nothing
 * ever waits for this thread.
 */


#include "ngx_http_claude_relay_audit.h"
#include "ngx_http_claude_relay_thread.h"

#include <zlib.h>


/* of one transaction */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_BATCH   64
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_BYTES   (1024 * 1024)

/* ms: what is too old is looked for; a file that cannot be opened is tried */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_TIDY    30000
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_RETRY   1000
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_BUSY    5000

/* ms between two messages of the same trouble */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_SILENCE 60000


typedef struct {
    ngx_http_claude_relay_thread_t     thread;

    /* under the mutex, which is not the thread's */

    pthread_mutex_t                    mutex;
    ngx_queue_t                        kept;
    size_t                             bytes;   /* in it, or in work */
    uint64_t                           written;
    uint64_t                           lost;    /* could not be written */
    ngx_uint_t                         told;    /* something for the log */
    ngx_uint_t                         broken;
    ngx_uint_t                         reported;    /* it is on its way */
    char                               error[NCR_AUDIT_ERROR];

    /* the loop's */

    uint64_t                           dropped; /* not told yet */
    ngx_msec_t                         said;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_uint_t                         has_said;

    /* the thread's own; the report is of what stands under the mutex */

    ngx_http_claude_relay_job_t        report;
    ncr_audit_t                       *db;
    ngx_msec_t                         next_tidy;
    ngx_msec_t                         next_open;
    char                               why[NCR_AUDIT_ERROR];
} ngx_http_claude_relay_audit_thread_t;


static ngx_msec_t ngx_http_claude_relay_audit_work(void *data);
static void ngx_http_claude_relay_audit_run(void *data, ngx_queue_t *q);
static void ngx_http_claude_relay_audit_end_thread(void *data);
static ngx_uint_t ngx_http_claude_relay_audit_done(void *data,
    ngx_queue_t *q);
static ngx_int_t ngx_http_claude_relay_audit_take(
    ngx_http_claude_relay_audit_thread_t *t, ngx_queue_t *batch);
static void ngx_http_claude_relay_audit_write(
    ngx_http_claude_relay_audit_thread_t *t, ngx_queue_t *batch);
static void ngx_http_claude_relay_audit_written(
    ngx_http_claude_relay_audit_thread_t *t, ngx_uint_t n, size_t bytes,
    ncr_int_t rc);
static ngx_msec_t ngx_http_claude_relay_audit_tidy(
    ngx_http_claude_relay_audit_thread_t *t);
static ngx_int_t ngx_http_claude_relay_audit_open(
    ngx_http_claude_relay_audit_thread_t *t);
static void ngx_http_claude_relay_audit_close(
    ngx_http_claude_relay_audit_thread_t *t);
static void ngx_http_claude_relay_audit_prepare(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept);
static ngx_uint_t ngx_http_claude_relay_audit_body(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_copy_t *copy,
    ngx_uint_t encoded, ncr_str_t *text);
static ngx_int_t ngx_http_claude_relay_audit_plain(
    ngx_http_claude_relay_copy_t *copy);
static void ngx_http_claude_relay_audit_redact(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept, ncr_str_t *text, ngx_uint_t cut);
static void ngx_http_claude_relay_audit_say(
    ngx_http_claude_relay_audit_thread_t *t, const char *why,
    ngx_uint_t now);
static void ngx_http_claude_relay_audit_report(
    ngx_http_claude_relay_audit_thread_t *t);
static void ngx_http_claude_relay_audit_reported(
    ngx_http_claude_relay_audit_thread_t *t);


static ngx_http_claude_relay_audit_thread_t  ngx_http_claude_relay_auditor;


ngx_int_t
ngx_http_claude_relay_audit_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_audit_thread_t  *t;

    /* a log that nothing is written to any more can still be read */

    if (rmcf->audit == NULL || rmcf->audit->path.len == 0) {
        return NGX_OK;
    }

    t = &ngx_http_claude_relay_auditor;
    ngx_memzero(t, sizeof(ngx_http_claude_relay_audit_thread_t));

    t->rmcf = rmcf;

    ngx_queue_init(&t->kept);

    (void) pthread_mutex_init(&t->mutex, NULL);

    t->thread.data = t;
    t->thread.work = ngx_http_claude_relay_audit_work;
    t->thread.run = ngx_http_claude_relay_audit_run;
    t->thread.close = ngx_http_claude_relay_audit_end_thread;
    t->thread.done = ngx_http_claude_relay_audit_done;

    return ngx_http_claude_relay_thread_start(&t->thread, cycle);
}


/* what is in the queue is written before the worker is gone */

void
ngx_http_claude_relay_audit_exit_process(void)
{
    ngx_http_claude_relay_audit_thread_t  *t;

    t = &ngx_http_claude_relay_auditor;

    if (!t->thread.running) {
        return;
    }

    ngx_http_claude_relay_thread_stop(&t->thread);

    if (t->dropped) {
        ngx_http_claude_relay_audit_say(t, "the worker has left", 1);
    }

    (void) pthread_mutex_destroy(&t->mutex);
}


void
ngx_http_claude_relay_audit_put(ngx_http_claude_relay_kept_t *kept)
{
    ngx_uint_t                             full;
    ngx_http_claude_relay_audit_thread_t  *t;

    t = &ngx_http_claude_relay_auditor;

    if (!t->thread.running || t->thread.leaving) {
        ngx_http_claude_relay_audit_free(kept);
        return;
    }

    (void) pthread_mutex_lock(&t->mutex);

    full = (t->bytes && t->bytes + kept->size > t->rmcf->audit->buffer);

    if (!full) {
        t->bytes += kept->size;
        ngx_queue_insert_tail(&t->kept, &kept->queue);
    }

    (void) pthread_mutex_unlock(&t->mutex);

    if (!full) {
        ngx_http_claude_relay_thread_wake(&t->thread);
        return;
    }

    ngx_http_claude_relay_audit_free(kept);

    t->dropped++;
    (void) ngx_atomic_fetch_add(&t->rmcf->zone->audit_dropped, 1);

    ngx_http_claude_relay_audit_say(t, "the disk cannot follow, \"buffer=\" "
                                       "is full", 0);
}


void
ngx_http_claude_relay_audit_free(ngx_http_claude_relay_kept_t *kept)
{
    ngx_uint_t  i;

    for (i = 0; i < kept->nknown; i++) {
        ngx_explicit_memzero(kept->known[i].data, kept->known[i].len);
        ngx_free(kept->known[i].data);
    }

    if (kept->request.data) {
        ngx_explicit_memzero(kept->request.data, kept->request.size);
        ngx_free(kept->request.data);
    }

    if (kept->response.data) {
        ngx_explicit_memzero(kept->response.data, kept->response.size);
        ngx_free(kept->response.data);
    }

    ngx_explicit_memzero(kept->data, kept->last - kept->data);
    ngx_free(kept);
}


ngx_int_t
ngx_http_claude_relay_audit_post(ngx_http_claude_relay_job_t *job)
{
    job->rc = NCR_ERROR;
    job->error[0] = '\0';

    return ngx_http_claude_relay_thread_post(
                      &ngx_http_claude_relay_auditor.thread, &job->queue);
}


ncr_audit_t *
ngx_http_claude_relay_audit_db(void)
{
    return ngx_http_claude_relay_auditor.db;
}


/* one batch at a time: who asks comes in between */

static ngx_msec_t
ngx_http_claude_relay_audit_work(void *data)
{
    ngx_http_claude_relay_audit_thread_t *t = data;

    ngx_msec_t   now;
    ngx_queue_t  batch;

    now = ngx_http_claude_relay_thread_clock();

    if ((ngx_msec_int_t) (t->next_tidy - now) <= 0) {
        t->next_tidy = now + ngx_http_claude_relay_audit_tidy(t);
    }

    if (ngx_http_claude_relay_audit_take(t, &batch) != NGX_OK) {
        return t->next_tidy;
    }

    ngx_http_claude_relay_audit_write(t, &batch);

    return now;
}


static void
ngx_http_claude_relay_audit_end_thread(void *data)
{
    ngx_http_claude_relay_audit_thread_t *t = data;

    ngx_queue_t  batch;

    while (ngx_http_claude_relay_audit_take(t, &batch) == NGX_OK) {
        ngx_http_claude_relay_audit_write(t, &batch);
    }

    ngx_http_claude_relay_audit_close(t);
}


/* NGX_DECLINED: there is nothing to be written */

static ngx_int_t
ngx_http_claude_relay_audit_take(ngx_http_claude_relay_audit_thread_t *t,
    ngx_queue_t *batch)
{
    size_t                         bytes;
    ngx_uint_t                     n;
    ngx_queue_t                   *q;
    ngx_http_claude_relay_kept_t  *kept;

    ngx_queue_init(batch);

    bytes = 0;

    (void) pthread_mutex_lock(&t->mutex);

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_AUDIT_BATCH
                && bytes < NGX_HTTP_CLAUDE_RELAY_AUDIT_BYTES
                && !ngx_queue_empty(&t->kept); n++)
    {
        q = ngx_queue_head(&t->kept);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(batch, q);

        kept = ngx_queue_data(q, ngx_http_claude_relay_kept_t, queue);
        bytes += kept->size;
    }

    (void) pthread_mutex_unlock(&t->mutex);

    return n ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_claude_relay_audit_run(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_audit_thread_t *t = data;

    ngx_uint_t                    tries;
    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    for (tries = 0; tries < 2; tries++) {

        if (ngx_http_claude_relay_audit_open(t) != NGX_OK) {
            job->rc = NCR_ERROR;
            (void) ngx_cpystrn((u_char *) job->error, (u_char *) t->why,
                               sizeof(job->error));
            break;
        }

        job->run(NULL, job);

        if (job->rc != NCR_DECLINED && job->rc != NCR_BAD) {
            break;
        }

        /* another file is there, or will be */

        ngx_http_claude_relay_audit_close(t);
    }
}


static void
ngx_http_claude_relay_audit_write(ngx_http_claude_relay_audit_thread_t *t,
    ngx_queue_t *batch)
{
    size_t                         bytes;
    ncr_int_t                      rc;
    ngx_uint_t                     n, tries;
    ngx_queue_t                   *q;
    ncr_audit_entry_t              entries[NGX_HTTP_CLAUDE_RELAY_AUDIT_BATCH];
    ngx_http_claude_relay_kept_t  *kept;

    n = 0;
    bytes = 0;

    for (q = ngx_queue_head(batch);
         q != ngx_queue_sentinel(batch);
         q = ngx_queue_next(q))
    {
        kept = ngx_queue_data(q, ngx_http_claude_relay_kept_t, queue);

        ngx_http_claude_relay_audit_prepare(&t->rmcf->audit->redact, kept);

        bytes += kept->size;
        entries[n++] = kept->entry;
    }

    rc = NCR_ERROR;

    for (tries = 0; tries < 2; tries++) {

        if (ngx_http_claude_relay_audit_open(t) != NGX_OK) {
            break;
        }

        rc = ncr_audit_put(t->db, entries, n);

        if (rc == NCR_OK) {
            break;
        }

        (void) ngx_cpystrn((u_char *) t->why,
                           (u_char *) ncr_audit_error(t->db),
                           sizeof(t->why));

        if (rc != NCR_DECLINED && rc != NCR_BAD) {
            break;
        }

        ngx_http_claude_relay_audit_close(t);
    }

    while (!ngx_queue_empty(batch)) {
        q = ngx_queue_head(batch);
        ngx_queue_remove(q);
        ngx_http_claude_relay_audit_free(
                     ngx_queue_data(q, ngx_http_claude_relay_kept_t, queue));
    }

    ngx_http_claude_relay_audit_written(t, n, bytes, rc);
}


static void
ngx_http_claude_relay_audit_written(ngx_http_claude_relay_audit_thread_t *t,
    ngx_uint_t n, size_t bytes, ncr_int_t rc)
{
    (void) pthread_mutex_lock(&t->mutex);

    t->bytes -= bytes;

    if (rc == NCR_OK) {
        t->written += n;

    } else {
        t->lost += n;
        (void) ngx_cpystrn((u_char *) t->error, (u_char *) t->why,
                           sizeof(t->error));
    }

    (void) pthread_mutex_unlock(&t->mutex);

    ngx_http_claude_relay_audit_report(t);
}


/* ms until the next time */

static ngx_msec_t
ngx_http_claude_relay_audit_tidy(ngx_http_claude_relay_audit_thread_t *t)
{
    ncr_int_t        rc;
    struct timespec  ts;

    if (ngx_http_claude_relay_audit_open(t) != NGX_OK) {
        return NGX_HTTP_CLAUDE_RELAY_AUDIT_TIDY;
    }

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    rc = ncr_audit_tidy(t->db, (ncr_msec_t) ts.tv_sec * 1000);

    switch (rc) {

    case NCR_AGAIN:

        /* entries come first */
        return 10;

    case NCR_DECLINED:
    case NCR_BAD:
        ngx_http_claude_relay_audit_close(t);
        return NGX_HTTP_CLAUDE_RELAY_AUDIT_RETRY;

    default:
        return NGX_HTTP_CLAUDE_RELAY_AUDIT_TIDY;
    }
}


static ngx_int_t
ngx_http_claude_relay_audit_open(ngx_http_claude_relay_audit_thread_t *t)
{
    ncr_uint_t                           broken;
    ncr_audit_options_t                  options;
    ngx_http_claude_relay_audit_conf_t  *acf;

    if (t->db) {
        return NGX_OK;
    }

    if (t->next_open
        && (ngx_msec_int_t) (t->next_open
                             - ngx_http_claude_relay_thread_clock())
           > 0)
    {
        return NGX_ERROR;
    }

    acf = t->rmcf->audit;

    options.path = (char *) acf->path.data;
    options.busy = NGX_HTTP_CLAUDE_RELAY_AUDIT_BUSY;
    options.disk = acf->disk;
    options.keep = (ncr_msec_t) acf->keep * 1000;

    if (ncr_audit_open(&options, &t->db, &broken, t->why) == NCR_OK) {
        t->next_open = 0;

        if (broken) {
            (void) pthread_mutex_lock(&t->mutex);
            t->broken = 1;
            (void) pthread_mutex_unlock(&t->mutex);

            ngx_http_claude_relay_audit_report(t);
        }

        return NGX_OK;
    }

    t->db = NULL;
    t->next_open = ngx_http_claude_relay_thread_clock()
                   + NGX_HTTP_CLAUDE_RELAY_AUDIT_RETRY;

    (void) pthread_mutex_lock(&t->mutex);
    t->told = 1;
    (void) ngx_cpystrn((u_char *) t->error, (u_char *) t->why,
                       sizeof(t->error));
    (void) pthread_mutex_unlock(&t->mutex);

    ngx_http_claude_relay_audit_report(t);

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_audit_close(ngx_http_claude_relay_audit_thread_t *t)
{
    ncr_audit_close(t->db);
    t->db = NULL;
}


/* in the thread: what is kept is plain, redacted, and says what it is */

static void
ngx_http_claude_relay_audit_prepare(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept)
{
    ncr_audit_entry_t  *e;

    e = &kept->entry;

    ngx_http_claude_relay_audit_redact(redact, kept, &e->uri, 0);
    ngx_http_claude_relay_audit_redact(redact, kept, &e->model, 0);
    ngx_http_claude_relay_audit_redact(redact, kept, &e->served, 0);
    ngx_http_claude_relay_audit_redact(redact, kept, &e->request_headers, 0);
    ngx_http_claude_relay_audit_redact(redact, kept, &e->response_headers, 0);

    if (ngx_http_claude_relay_audit_body(redact, kept, &kept->request,
                                         kept->request_encoded, &e->request))
    {
        e->flags |= NCR_AUDIT_REQUEST;
    }

    if (ngx_http_claude_relay_audit_body(redact, kept, &kept->response,
                                         kept->response_encoded,
                                         &e->response))
    {
        e->flags |= NCR_AUDIT_RESPONSE;
    }
}


/* 1: it is not all of it */

static ngx_uint_t
ngx_http_claude_relay_audit_body(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept, ngx_http_claude_relay_copy_t *copy,
    ngx_uint_t encoded, ncr_str_t *text)
{
    ngx_uint_t  cut;

    cut = (copy->total > copy->len);

    if (copy->len == 0) {
        return cut;
    }

    if (encoded
        || (copy->len > 2 && copy->data[0] == 0x1f && copy->data[1] == 0x8b))
    {
        switch (ngx_http_claude_relay_audit_plain(copy)) {

        case NGX_OK:
            kept->entry.flags |= NCR_AUDIT_DECODED;
            break;

        case NGX_AGAIN:
            kept->entry.flags |= NCR_AUDIT_DECODED;
            cut = 1;
            break;

        default:

            /* nobody could tell what secrets are in it */

            kept->entry.flags |= NCR_AUDIT_ENCODED;
            return 1;
        }
    }

    text->data = copy->data;
    text->len = copy->len;

    ngx_http_claude_relay_audit_redact(redact, kept, text, cut);

    return cut;
}


/* gzip or zlib, up to the copy's bound; NGX_AGAIN: not all of it */

static ngx_int_t
ngx_http_claude_relay_audit_plain(ngx_http_claude_relay_copy_t *copy)
{
    int        rc;
    u_char    *p;
    z_stream   zs;

    p = ngx_alloc(copy->max, ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&zs, sizeof(z_stream));

    zs.next_in = copy->data;
    zs.avail_in = (uInt) copy->len;
    zs.next_out = p;
    zs.avail_out = (uInt) copy->max;

    if (inflateInit2(&zs, MAX_WBITS + 32) != Z_OK) {
        ngx_free(p);
        return NGX_ERROR;
    }

    rc = inflate(&zs, Z_SYNC_FLUSH);

    (void) inflateEnd(&zs);

    if ((rc != Z_STREAM_END && rc != Z_OK && rc != Z_BUF_ERROR)
        || zs.total_out == 0)
    {
        ngx_free(p);
        return NGX_ERROR;
    }

    ngx_explicit_memzero(copy->data, copy->len);
    ngx_free(copy->data);

    copy->data = p;
    copy->len = zs.total_out;
    copy->size = copy->max;

    return (rc == Z_STREAM_END) ? NGX_OK : NGX_AGAIN;
}


static void
ngx_http_claude_relay_audit_redact(ncr_redact_t *redact,
    ngx_http_claude_relay_kept_t *kept, ncr_str_t *text, ngx_uint_t cut)
{
    text->len = ncr_redact(redact, kept->known, kept->nknown, text->data,
                           text->len, cut);
}


/* in the loop: once a minute, and the first time at once */

static void
ngx_http_claude_relay_audit_say(ngx_http_claude_relay_audit_thread_t *t,
    const char *why, ngx_uint_t now)
{
    if (t->has_said && !now
        && ngx_current_msec - t->said < NGX_HTTP_CLAUDE_RELAY_AUDIT_SILENCE)
    {
        return;
    }

    t->has_said = 1;
    t->said = ngx_current_msec;

    if (t->dropped) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "audit log: %uL entries were dropped: %s", t->dropped,
                      why);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "audit log: %s", why);
    }

    t->dropped = 0;
}


/* from the thread: the loop shall look at what stands under the mutex */

static void
ngx_http_claude_relay_audit_report(ngx_http_claude_relay_audit_thread_t *t)
{
    ngx_uint_t  reported;

    (void) pthread_mutex_lock(&t->mutex);
    reported = t->reported;
    t->reported = 1;
    (void) pthread_mutex_unlock(&t->mutex);

    if (!reported) {
        ngx_http_claude_relay_thread_give(&t->thread, &t->report.queue);
    }
}


static ngx_uint_t
ngx_http_claude_relay_audit_done(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_audit_thread_t *t = data;

    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    if (job == &t->report) {
        ngx_http_claude_relay_audit_reported(t);
        return 0;
    }

    job->done(job);

    return 1;
}


static void
ngx_http_claude_relay_audit_reported(ngx_http_claude_relay_audit_thread_t *t)
{
    char        error[NCR_AUDIT_ERROR];
    uint64_t    written, lost;
    ngx_uint_t  told, broken;

    (void) pthread_mutex_lock(&t->mutex);

    written = t->written;
    lost = t->lost;
    told = t->told;
    broken = t->broken;
    ngx_memcpy(error, t->error, sizeof(error));

    t->written = 0;
    t->lost = 0;
    t->told = 0;
    t->broken = 0;
    t->reported = 0;

    (void) pthread_mutex_unlock(&t->mutex);

    (void) ngx_atomic_fetch_add(&t->rmcf->zone->audited, written);
    (void) ngx_atomic_fetch_add(&t->rmcf->zone->audit_dropped, lost);

    t->dropped += lost;

    if (lost || told) {
        ngx_http_claude_relay_audit_say(t, error, 0);
    }

    if (broken) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "audit log: \"%V\" was broken and is set aside as "
                      "\"%V-broken\"", &t->rmcf->audit->path,
                      &t->rmcf->audit->path);
    }
}
