
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Records go into the ring under the zone's lock, and out of it in a thread
 * of one worker at a time, that with the drainer's lock.  That lock is beside
 * the store, so that it is one for all who have this ledger, and the kernel's
 * to release.
 */


#include "ngx_http_claude_relay_ledger.h"
#include "ngx_http_claude_relay_thread.h"


/* byte of the file "-lease"; ids of accounts will never be so large */
#define NGX_HTTP_CLAUDE_RELAY_DRAINER   ((uint64_t) INT64_MAX - 16)

/* ms: between two drains; a look if nobody rings; after a failure */
#define NGX_HTTP_CLAUDE_RELAY_DRAIN     200
#define NGX_HTTP_CLAUDE_RELAY_IDLE      1000

#define NGX_HTTP_CLAUDE_RELAY_LEFTOVERS 10000
#define NGX_HTTP_CLAUDE_RELAY_EXPIRE    60000

/* how long a question, or a worker that leaves, waits for another drainer */
#define NGX_HTTP_CLAUDE_RELAY_PATIENCE  2000

/* records in one transaction, and transactions before anything else */
#define NGX_HTTP_CLAUDE_RELAY_BATCH     500
#define NGX_HTTP_CLAUDE_RELAY_BATCHES   16

#define NGX_HTTP_CLAUDE_RELAY_BUSY      5000


typedef struct {
    ngx_http_claude_relay_thread_t     thread;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_atomic_t                       idle;    /* it wants to be woken */

    /* the thread's own */

    ncr_ledger_t                      *ledger;
    int                                locks;
    ngx_msec_t                         drained; /* last */
    ngx_msec_t                         leftovers;   /* when it is due */
    ngx_msec_t                         expire;
    char                               error[NCR_LEDGER_ERROR];
} ngx_http_claude_relay_books_t;


/* from the thread: the ledger is in trouble, or not any more */

typedef struct {
    ngx_http_claude_relay_question_t   question;    /* without a run() */
    char                               error[NCR_LEDGER_ERROR];
    ngx_uint_t                         left;    /* records of leftovers */
} ngx_http_claude_relay_news_t;


static ngx_msec_t ngx_http_claude_relay_ledger_work(void *data);
static void ngx_http_claude_relay_ledger_run(void *data, ngx_queue_t *q);
static void ngx_http_claude_relay_ledger_close(void *data);
static ngx_uint_t ngx_http_claude_relay_ledger_done(void *data,
    ngx_queue_t *q);
static ngx_uint_t ngx_http_claude_relay_ledger_empty(
    ngx_http_claude_relay_books_t *t);
static ngx_int_t ngx_http_claude_relay_ledger_open(
    ngx_http_claude_relay_books_t *t);
static ncr_int_t ngx_http_claude_relay_ledger_lock(
    ngx_http_claude_relay_books_t *t);
static ncr_int_t ngx_http_claude_relay_ledger_drain(
    ngx_http_claude_relay_books_t *t, uint64_t head, ngx_uint_t batches);
static ncr_int_t ngx_http_claude_relay_ledger_due(
    ngx_http_claude_relay_books_t *t, ngx_msec_t now);
static void ngx_http_claude_relay_ledger_now(
    ngx_http_claude_relay_books_t *t);
static void ngx_http_claude_relay_ledger_failed(
    ngx_http_claude_relay_books_t *t);
static void ngx_http_claude_relay_ledger_state(
    ngx_http_claude_relay_books_t *t, const char *error, ngx_uint_t left);
static void ngx_http_claude_relay_ledger_news(
    ngx_http_claude_relay_question_t *q);
static ncr_msec_t ngx_http_claude_relay_ledger_wall(void);


static ngx_http_claude_relay_books_t  ngx_http_claude_relay_books;


ngx_int_t
ngx_http_claude_relay_ledger_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec)
{
    size_t   len;
    u_char   buf[NCR_RECORD_MAX];

    if (rmcf->ring == NULL) {
        return NGX_OK;
    }

    len = ncr_record_pack(buf, sizeof(buf), rec);

    if (len == 0 || ncr_ring_put(rmcf->ring, buf, len) == 0) {
        rmcf->zone->usage_lost++;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_ledger_wake(void)
{
    ngx_http_claude_relay_books_t  *t;

    t = &ngx_http_claude_relay_books;

    if (t->idle) {
        t->idle = 0;
        ngx_http_claude_relay_thread_wake(&t->thread);
    }
}


/* requests under way will need room, too */

ngx_uint_t
ngx_http_claude_relay_ledger_ready(ngx_http_claude_relay_main_conf_t *rmcf)
{
    return rmcf->ring == NULL || rmcf->usage->drop
           || ncr_ring_room(rmcf->ring) >= rmcf->ring->size / 8;
}


ngx_int_t
ngx_http_claude_relay_ledger_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_msec_t                      now;
    ngx_http_claude_relay_books_t  *t;

    if (rmcf->ring == NULL) {
        return NGX_OK;
    }

    t = &ngx_http_claude_relay_books;
    ngx_memzero(t, sizeof(ngx_http_claude_relay_books_t));

    now = ngx_http_claude_relay_thread_clock();

    t->rmcf = rmcf;
    t->locks = -1;
    t->drained = now - NGX_HTTP_CLAUDE_RELAY_DRAIN;
    t->leftovers = now + NGX_HTTP_CLAUDE_RELAY_DRAIN;
    t->expire = now + NGX_HTTP_CLAUDE_RELAY_IDLE;

    t->thread.data = t;
    t->thread.work = ngx_http_claude_relay_ledger_work;
    t->thread.run = ngx_http_claude_relay_ledger_run;
    t->thread.close = ngx_http_claude_relay_ledger_close;
    t->thread.done = ngx_http_claude_relay_ledger_done;

    return ngx_http_claude_relay_thread_start(&t->thread, cycle);
}


void
ngx_http_claude_relay_ledger_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_books.idle = 0;

    ngx_http_claude_relay_thread_stop(&ngx_http_claude_relay_books.thread);
}


ngx_int_t
ngx_http_claude_relay_ledger_ask(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_books_t  *t;

    t = &ngx_http_claude_relay_books;

    if (t->rmcf == NULL) {
        return NGX_DECLINED;
    }

    q->rc = NCR_ERROR;
    q->error[0] = '\0';

    return ngx_http_claude_relay_thread_post(&t->thread, &q->queue);
}


static ngx_msec_t
ngx_http_claude_relay_ledger_work(void *data)
{
    ngx_http_claude_relay_books_t *t = data;

    ncr_int_t   rc;
    ngx_uint_t  due;
    ngx_msec_t  now;

    now = ngx_http_claude_relay_thread_clock();

    due = (ngx_msec_int_t) (now - t->leftovers) >= 0
          || (ngx_msec_int_t) (now - t->expire) >= 0;

    if (!due && ngx_http_claude_relay_ledger_empty(t)) {

        t->idle = 1;
        ngx_memory_barrier();

        if (ngx_http_claude_relay_ledger_empty(t)) {
            return now + NGX_HTTP_CLAUDE_RELAY_IDLE;
        }
    }

    t->idle = 0;

    /* a batch is collected first */

    if (now - t->drained < NGX_HTTP_CLAUDE_RELAY_DRAIN) {
        return t->drained + NGX_HTTP_CLAUDE_RELAY_DRAIN;
    }

    if (ngx_http_claude_relay_ledger_open(t) != NGX_OK) {
        return now + NGX_HTTP_CLAUDE_RELAY_IDLE;
    }

    t->drained = now;

    if (ngx_http_claude_relay_ledger_lock(t) != NCR_OK) {

        /* somebody else is at it */
        return now + NGX_HTTP_CLAUDE_RELAY_DRAIN;
    }

    rc = ngx_http_claude_relay_ledger_drain(t, t->rmcf->ring->head,
                                            NGX_HTTP_CLAUDE_RELAY_BATCHES);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_ledger_due(t, now);
    }

    ncr_store_unlock(t->locks, NGX_HTTP_CLAUDE_RELAY_DRAINER);

    if (rc == NCR_ERROR) {
        ngx_http_claude_relay_ledger_failed(t);
        return now + NGX_HTTP_CLAUDE_RELAY_IDLE;
    }

    ngx_http_claude_relay_ledger_state(t, "", 0);

    return (rc == NCR_AGAIN) ? now : now + NGX_HTTP_CLAUDE_RELAY_DRAIN;
}


static ngx_uint_t
ngx_http_claude_relay_ledger_empty(ngx_http_claude_relay_books_t *t)
{
    return t->rmcf->ring->head == t->rmcf->ring->tail;
}


static ngx_int_t
ngx_http_claude_relay_ledger_open(ngx_http_claude_relay_books_t *t)
{
    char                  error[NCR_LEDGER_ERROR];
    ncr_ledger_options_t  options;

    if (t->ledger) {
        return NGX_OK;
    }

    ngx_memzero(&options, sizeof(ncr_ledger_options_t));

    options.path = (char *) t->rmcf->usage->path.data;
    options.tz = t->rmcf->tz;
    options.busy = NGX_HTTP_CLAUDE_RELAY_BUSY;
    options.create = 1;

    if (ncr_ledger_open(&options, &t->ledger, error) == NCR_OK) {
        return NGX_OK;
    }

    ngx_http_claude_relay_ledger_state(t, error, 0);

    return NGX_ERROR;
}


/* a file of locks that was deleted is made again, as by the store's thread */

static ncr_int_t
ngx_http_claude_relay_ledger_lock(ngx_http_claude_relay_books_t *t)
{
    ncr_int_t  rc;

    rc = (t->locks == -1) ? NCR_ERROR
                          : ncr_store_lock(t->locks,
                                           NGX_HTTP_CLAUDE_RELAY_DRAINER);

    if (rc != NCR_ERROR) {
        return rc;
    }

    if (t->locks != -1) {
        (void) close(t->locks);
    }

    t->locks = ncr_store_lock_open((char *) t->rmcf->store->path.data);

    if (t->locks != -1) {
        rc = ncr_store_lock(t->locks, NGX_HTTP_CLAUDE_RELAY_DRAINER);
    }

    if (rc == NCR_ERROR) {
        ngx_http_claude_relay_ledger_state(t, "the locks of the store cannot "
                                           "be opened", 0);
    }

    return rc;
}


/* up to head; NCR_AGAIN: not all of it yet */

static ncr_int_t
ngx_http_claude_relay_ledger_drain(ngx_http_claude_relay_books_t *t,
    uint64_t head, ngx_uint_t batches)
{
    ncr_int_t    rc;
    ncr_uint_t   n;
    ncr_ring_t  *ring;

    ring = t->rmcf->ring;

    while ((int64_t) (head - ring->tail) > 0) {

        if (batches-- == 0) {
            return NCR_AGAIN;
        }

        rc = ncr_ledger_drain(t->ledger, ring, NGX_HTTP_CLAUDE_RELAY_BATCH,
                              &n);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    t->rmcf->zone->usage_drained = ngx_http_claude_relay_ledger_wall();

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_ledger_due(ngx_http_claude_relay_books_t *t,
    ngx_msec_t now)
{
    ncr_int_t   rc;
    ngx_uint_t  n;

    if ((ngx_msec_int_t) (now - t->leftovers) >= 0) {

        rc = ngx_http_claude_relay_ring_leftovers(t->rmcf->usage, t->ledger,
                                                  &n);
        if (n) {
            ngx_http_claude_relay_ledger_state(t, t->error, n);
        }

        if (rc != NCR_OK) {
            return rc;
        }

        t->leftovers = now + NGX_HTTP_CLAUDE_RELAY_LEFTOVERS;
    }

    if ((ngx_msec_int_t) (now - t->expire) >= 0) {

        rc = ncr_ledger_expire(t->ledger, &t->rmcf->usage->keep,
                               ngx_http_claude_relay_ledger_wall());

        if (rc != NCR_OK && rc != NCR_AGAIN) {
            return rc;
        }

        t->expire = now + (rc == NCR_OK ? NGX_HTTP_CLAUDE_RELAY_EXPIRE
                                        : NGX_HTTP_CLAUDE_RELAY_DRAIN);
    }

    return NCR_OK;
}


/* as far as the ring is filled now, by whomever; for a while */

static void
ngx_http_claude_relay_ledger_now(ngx_http_claude_relay_books_t *t)
{
    uint64_t    head;
    ncr_int_t   rc;
    ngx_msec_t  until;

    head = t->rmcf->ring->head;
    until = ngx_http_claude_relay_thread_clock()
            + NGX_HTTP_CLAUDE_RELAY_PATIENCE;

    while ((int64_t) (head - t->rmcf->ring->tail) > 0) {

        if (ngx_http_claude_relay_ledger_open(t) != NGX_OK) {
            return;
        }

        if (ngx_http_claude_relay_ledger_lock(t) == NCR_OK) {

            rc = ngx_http_claude_relay_ledger_drain(t, head,
                                                    NGX_MAX_INT_T_VALUE);

            ncr_store_unlock(t->locks, NGX_HTTP_CLAUDE_RELAY_DRAINER);

            if (rc != NCR_OK) {
                ngx_http_claude_relay_ledger_failed(t);
                return;
            }

            continue;
        }

        if ((ngx_msec_int_t) (until - ngx_http_claude_relay_thread_clock())
            <= 0)
        {
            return;
        }

        ngx_msleep(5);
    }
}


static void
ngx_http_claude_relay_ledger_run(void *data, ngx_queue_t *queue)
{
    ngx_http_claude_relay_books_t *t = data;

    ngx_http_claude_relay_question_t  *q;

    q = ngx_queue_data(queue, ngx_http_claude_relay_question_t, queue);

    if (q->fresh) {
        ngx_http_claude_relay_ledger_now(t);
    }

    if (ngx_http_claude_relay_ledger_open(t) != NGX_OK) {
        (void) ngx_cpystrn((u_char *) q->error, (u_char *) t->error,
                           sizeof(q->error));
        return;
    }

    q->run(t->ledger, q);

    if (q->rc == NCR_ERROR) {

        if (q->error[0] == '\0') {
            (void) ngx_cpystrn((u_char *) q->error,
                               (u_char *) ncr_ledger_error(t->ledger),
                               sizeof(q->error));
        }

        ncr_ledger_close(t->ledger);
        t->ledger = NULL;
    }
}


static void
ngx_http_claude_relay_ledger_close(void *data)
{
    ngx_http_claude_relay_books_t *t = data;

    ngx_http_claude_relay_ledger_now(t);

    ncr_ledger_close(t->ledger);
    t->ledger = NULL;

    if (t->locks != -1) {
        (void) close(t->locks);
    }
}


/* a file that was deleted, or is full: it is opened anew */

static void
ngx_http_claude_relay_ledger_failed(ngx_http_claude_relay_books_t *t)
{
    ngx_http_claude_relay_ledger_state(t, ncr_ledger_error(t->ledger), 0);

    ncr_ledger_close(t->ledger);
    t->ledger = NULL;
}


/* tells the loop of troubles, and of their end, once each */

static void
ngx_http_claude_relay_ledger_state(ngx_http_claude_relay_books_t *t,
    const char *error, ngx_uint_t left)
{
    ngx_http_claude_relay_news_t  *news;

    if (left == 0 && ngx_strcmp(t->error, error) == 0) {
        return;
    }

    news = ngx_calloc(sizeof(ngx_http_claude_relay_news_t), ngx_cycle->log);
    if (news == NULL) {
        return;
    }

    if (error != t->error) {
        (void) ngx_cpystrn((u_char *) t->error, (u_char *) error,
                           sizeof(t->error));
    }

    ngx_memcpy(news->error, t->error, sizeof(news->error));
    news->left = left;
    news->question.data = news;
    news->question.done = ngx_http_claude_relay_ledger_news;

    ngx_http_claude_relay_thread_give(&t->thread, &news->question.queue);
}


static ngx_uint_t
ngx_http_claude_relay_ledger_done(void *data, ngx_queue_t *queue)
{
    ngx_uint_t                         posted;
    ngx_http_claude_relay_question_t  *q;

    q = ngx_queue_data(queue, ngx_http_claude_relay_question_t, queue);

    posted = (q->run != NULL);

    q->done(q);

    return posted;
}


static void
ngx_http_claude_relay_ledger_news(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_news_t *news = q->data;

    ngx_uint_t                          failed;
    ngx_http_claude_relay_zone_t       *zone;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_claude_relay_books.rmcf;
    zone = rmcf->zone;
    failed = (news->error[0] != '\0');

    if (news->left) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "usage: %ui records were left by others", news->left);
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (zone->usage_failed != failed) {
        zone->usage_failed = failed;
        zone->usage_since = ngx_http_claude_relay_now();
    }

    (void) ngx_cpystrn((u_char *) zone->usage_error, (u_char *) news->error,
                       sizeof(zone->usage_error));

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (failed) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "usage: %s; the ring keeps it", news->error);

    } else if (news->left == 0) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "usage can be written again");
    }

    ngx_free(news);
}


/* the loop's own time is the loop's */

static ncr_msec_t
ngx_http_claude_relay_ledger_wall(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (ncr_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
