
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_work.h"
#include "ngx_http_claude_relay_thread.h"


#define NGX_HTTP_CLAUDE_RELAY_WORK_SLEEP  3600000


static ngx_msec_t ngx_http_claude_relay_work_idle(void *data);
static void ngx_http_claude_relay_work_run(void *data, ngx_queue_t *q);
static void ngx_http_claude_relay_work_close(void *data);
static ngx_uint_t ngx_http_claude_relay_work_done(void *data,
    ngx_queue_t *q);


static ngx_http_claude_relay_thread_t  ngx_http_claude_relay_work_thread;
static ngx_uint_t                      ngx_http_claude_relay_work_over;


ngx_int_t
ngx_http_claude_relay_work_post(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_thread_t  *t;

    t = &ngx_http_claude_relay_work_thread;

    job->rc = NCR_ERROR;
    job->error[0] = '\0';

    if (!t->running) {

        if (ngx_http_claude_relay_work_over) {
            return NGX_ERROR;
        }

        t->work = ngx_http_claude_relay_work_idle;
        t->run = ngx_http_claude_relay_work_run;
        t->close = ngx_http_claude_relay_work_close;
        t->done = ngx_http_claude_relay_work_done;

        if (ngx_http_claude_relay_thread_start(t, (ngx_cycle_t *) ngx_cycle)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_claude_relay_thread_post(t, &job->queue);
}


void
ngx_http_claude_relay_work_exit_process(void)
{
    ngx_http_claude_relay_work_over = 1;

    ngx_http_claude_relay_thread_stop(&ngx_http_claude_relay_work_thread);
}


static ngx_msec_t
ngx_http_claude_relay_work_idle(void *data)
{
    return ngx_http_claude_relay_thread_clock()
           + NGX_HTTP_CLAUDE_RELAY_WORK_SLEEP;
}


static void
ngx_http_claude_relay_work_run(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    job->run(NULL, job);
}


static void
ngx_http_claude_relay_work_close(void *data)
{
}


static ngx_uint_t
ngx_http_claude_relay_work_done(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_job_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_job_t, queue);

    job->done(job);

    return 1;
}
