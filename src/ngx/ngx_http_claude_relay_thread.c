
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_thread.h"

#include <sys/eventfd.h>


/* the timer that holds a worker while its jobs are out, ms; set again */
#define NGX_HTTP_CLAUDE_RELAY_HOLD   60000


static void *ngx_http_claude_relay_thread_main(void *data);
static void ngx_http_claude_relay_thread_unpin(pthread_t id);
static void ngx_http_claude_relay_bell_handler(ngx_event_t *ev);
static void ngx_http_claude_relay_hold_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_bell_init(
    ngx_http_claude_relay_thread_t *t, ngx_cycle_t *cycle);


#if (NGX_HAVE_SCHED_SETAFFINITY)
static cpu_set_t  ngx_http_claude_relay_thread_cpus;
#endif


ngx_int_t
ngx_http_claude_relay_thread_start(ngx_http_claude_relay_thread_t *t,
    ngx_cycle_t *cycle)
{
    int                 err;
    sigset_t            all, old;
    pthread_condattr_t  attr;

    ngx_queue_init(&t->jobs);
    ngx_queue_init(&t->out);

    if (ngx_http_claude_relay_bell_init(t, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    (void) pthread_mutex_init(&t->mutex, NULL);
    (void) pthread_condattr_init(&attr);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&t->cond, &attr);
    (void) pthread_condattr_destroy(&attr);

    /* signals are the loop's */

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);

    err = pthread_create(&t->id, NULL, ngx_http_claude_relay_thread_main, t);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (err) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, err,
                      "pthread_create() failed");
        return NGX_ERROR;
    }

    ngx_http_claude_relay_thread_unpin(t->id);

    t->running = 1;

    return NGX_OK;
}


/* before the fork: where nginx may run at all */

void
ngx_http_claude_relay_thread_init_module(void)
{
#if (NGX_HAVE_SCHED_SETAFFINITY)

    if (sched_getaffinity(0, sizeof(cpu_set_t),
                          &ngx_http_claude_relay_thread_cpus)
        == -1)
    {
        CPU_ZERO(&ngx_http_claude_relay_thread_cpus);
    }

#endif
}


/* a core that "worker_cpu_affinity" gives to a worker is for its loop */

static void
ngx_http_claude_relay_thread_unpin(pthread_t id)
{
#if (NGX_HAVE_SCHED_SETAFFINITY)

    if (CPU_COUNT(&ngx_http_claude_relay_thread_cpus)) {
        (void) pthread_setaffinity_np(id, sizeof(cpu_set_t),
                                      &ngx_http_claude_relay_thread_cpus);
    }

#endif
}


void
ngx_http_claude_relay_thread_stop(ngx_http_claude_relay_thread_t *t)
{
    if (!t->running) {
        return;
    }

    t->leaving = 1;

    (void) pthread_mutex_lock(&t->mutex);
    t->quit = 1;
    (void) pthread_cond_signal(&t->cond);
    (void) pthread_mutex_unlock(&t->mutex);

    (void) pthread_join(t->id, NULL);

    t->running = 0;

    ngx_http_claude_relay_bell_handler(t->bell->read);

    if (t->hold.timer_set) {
        ngx_del_timer(&t->hold);
    }

    (void) pthread_cond_destroy(&t->cond);
    (void) pthread_mutex_destroy(&t->mutex);

    ngx_free_connection(t->bell);
    (void) close(t->fd);
}


ngx_int_t
ngx_http_claude_relay_thread_post(ngx_http_claude_relay_thread_t *t,
    ngx_queue_t *job)
{
    if (!t->running || t->leaving) {
        return NGX_ERROR;
    }

    (void) pthread_mutex_lock(&t->mutex);
    ngx_queue_insert_tail(&t->jobs, job);
    (void) pthread_cond_signal(&t->cond);
    (void) pthread_mutex_unlock(&t->mutex);

    /* who waits for it has no timer of its own, and would not be answered */

    t->posted++;

    if (!t->hold.timer_set) {
        ngx_add_timer(&t->hold, NGX_HTTP_CLAUDE_RELAY_HOLD);
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_hold_handler(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_HOLD);
}


void
ngx_http_claude_relay_thread_wake(ngx_http_claude_relay_thread_t *t)
{
    (void) pthread_mutex_lock(&t->mutex);
    t->look = 1;
    (void) pthread_cond_signal(&t->cond);
    (void) pthread_mutex_unlock(&t->mutex);
}


void
ngx_http_claude_relay_thread_give(ngx_http_claude_relay_thread_t *t,
    ngx_queue_t *job)
{
    uint64_t  one;

    (void) pthread_mutex_lock(&t->mutex);
    ngx_queue_insert_tail(&t->out, job);
    (void) pthread_mutex_unlock(&t->mutex);

    one = 1;

    (void) !write(t->fd, &one, sizeof(one));
}


ngx_msec_t
ngx_http_claude_relay_thread_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void *
ngx_http_claude_relay_thread_main(void *data)
{
    ngx_http_claude_relay_thread_t *t = data;

    ngx_msec_t        next;
    ngx_uint_t        look, quit;
    ngx_queue_t      *job;
    struct timespec   ts;

    next = 0;
    look = 1;

    for ( ;; ) {

        if (look || (ngx_msec_int_t) (next
                                      - ngx_http_claude_relay_thread_clock())
                    <= 0)
        {
            next = t->work(t->data);
        }

        job = NULL;

        (void) pthread_mutex_lock(&t->mutex);

        if (ngx_queue_empty(&t->jobs) && !t->quit && !t->look) {
            ts.tv_sec = next / 1000;
            ts.tv_nsec = (next % 1000) * 1000000;
            (void) pthread_cond_timedwait(&t->cond, &t->mutex, &ts);
        }

        if (!ngx_queue_empty(&t->jobs)) {
            job = ngx_queue_head(&t->jobs);
            ngx_queue_remove(job);
        }

        quit = t->quit;
        look = t->look;
        t->look = 0;

        (void) pthread_mutex_unlock(&t->mutex);

        if (job) {
            t->run(t->data, job);
            ngx_http_claude_relay_thread_give(t, job);

            /* what it has changed is seen at once */
            look = 1;
            continue;
        }

        if (quit) {
            break;
        }
    }

    t->close(t->data);

    return NULL;
}


static void
ngx_http_claude_relay_bell_handler(ngx_event_t *ev)
{
    uint64_t                         n;
    ngx_queue_t                     *job;
    ngx_http_claude_relay_thread_t  *t;

    t = ((ngx_connection_t *) ev->data)->data;

    (void) !read(t->fd, &n, sizeof(n));

    for ( ;; ) {

        job = NULL;

        (void) pthread_mutex_lock(&t->mutex);

        if (!ngx_queue_empty(&t->out)) {
            job = ngx_queue_head(&t->out);
            ngx_queue_remove(job);
        }

        (void) pthread_mutex_unlock(&t->mutex);

        if (job == NULL) {
            break;
        }

        if (t->done(t->data, job)) {
            t->posted--;
        }
    }

    if (t->posted == 0 && t->hold.timer_set) {
        ngx_del_timer(&t->hold);
    }
}


static ngx_int_t
ngx_http_claude_relay_bell_init(ngx_http_claude_relay_thread_t *t,
    ngx_cycle_t *cycle)
{
    ngx_event_t  *rev;

    t->fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (t->fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "eventfd() failed");
        return NGX_ERROR;
    }

    t->bell = ngx_get_connection(t->fd, cycle->log);

    if (t->bell == NULL) {
        (void) close(t->fd);
        return NGX_ERROR;
    }

    t->bell->data = t;

    rev = t->bell->read;
    rev->log = cycle->log;
    rev->handler = ngx_http_claude_relay_bell_handler;

    /* not a socket to be closed, or waited for, when the worker leaves */
    rev->channel = 1;
    t->bell->write->channel = 1;

    t->hold.handler = ngx_http_claude_relay_hold_handler;
    t->hold.data = t->bell;
    t->hold.log = cycle->log;

    return ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT);
}
