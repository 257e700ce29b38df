
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A thread of a worker's, for what blocks: it has a queue of jobs, and an
 * eventfd back to the loop.  Nothing of the loop's is touched in it: what
 * goes over is copied.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_THREAD_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_THREAD_H_INCLUDED_


#include "ngx_http_claude_relay.h"

#include <pthread.h>


typedef struct {
    void                              *data;

    /*
     * In the thread.  work: from time to time; returns when it wants to be
     * called next, ms of ..._thread_clock().  run: a job.  close: the last.
     */

    ngx_msec_t                       (*work)(void *data);
    void                             (*run)(void *data, ngx_queue_t *job);
    void                             (*close)(void *data);

    /* in the loop: a job that was run, or what was given; 1 if it is a job
     * that somebody has posted */

    ngx_uint_t                       (*done)(void *data, ngx_queue_t *job);

    /* private */

    pthread_t                          id;
    pthread_mutex_t                    mutex;
    pthread_cond_t                     cond;
    ngx_queue_t                        jobs;    /* under the mutex */
    ngx_queue_t                        out;     /* under the mutex */
    ngx_uint_t                         quit;    /* under the mutex */
    ngx_uint_t                         look;    /* under the mutex */
    ngx_connection_t                  *bell;
    ngx_event_t                        hold;    /* set while jobs are out */
    ngx_uint_t                         posted;  /* that are not done yet */
    int                                fd;
    unsigned                           running:1;
    unsigned                           leaving:1;
} ngx_http_claude_relay_thread_t;


ngx_int_t ngx_http_claude_relay_thread_start(
    ngx_http_claude_relay_thread_t *t, ngx_cycle_t *cycle);

/* what was posted is done before it returns; nothing can be posted after */
void ngx_http_claude_relay_thread_stop(ngx_http_claude_relay_thread_t *t);

/* the job stays the caller's; NGX_ERROR: there is no thread, or it leaves */
ngx_int_t ngx_http_claude_relay_thread_post(
    ngx_http_claude_relay_thread_t *t, ngx_queue_t *job);

/* work() shall be called now */
void ngx_http_claude_relay_thread_wake(ngx_http_claude_relay_thread_t *t);

/* from the thread to the loop */
void ngx_http_claude_relay_thread_give(ngx_http_claude_relay_thread_t *t,
    ngx_queue_t *job);

ngx_msec_t ngx_http_claude_relay_thread_clock(void);

/* in the master, before workers are made */
void ngx_http_claude_relay_thread_init_module(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_THREAD_H_INCLUDED_ */
