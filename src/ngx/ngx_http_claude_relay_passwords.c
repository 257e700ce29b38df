
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_passwords.h"
#include "ngx_http_claude_relay_thread.h"
#include "ncr_seal.h"

#include <sys/resource.h>
#include <sys/syscall.h>


/* it has nothing to do without a job, ms */
#define NGX_HTTP_CLAUDE_RELAY_PASSWORDS_LOOK  3600000

/* requests come first */
#define NGX_HTTP_CLAUDE_RELAY_PASSWORDS_NICE  10


static ngx_int_t ngx_http_claude_relay_password_post(
    ngx_http_claude_relay_password_t *job, ngx_str_t *password);
static ngx_int_t ngx_http_claude_relay_passwords_start(void);
static ngx_msec_t ngx_http_claude_relay_passwords_work(void *data);
static void ngx_http_claude_relay_passwords_run(void *data, ngx_queue_t *q);
static void ngx_http_claude_relay_passwords_close(void *data);
static ngx_uint_t ngx_http_claude_relay_passwords_done(void *data,
    ngx_queue_t *q);


static ngx_http_claude_relay_thread_t  ngx_http_claude_relay_passwords;


ngx_int_t
ngx_http_claude_relay_password_check(ngx_http_claude_relay_password_t *job,
    ngx_str_t *password)
{
    job->hash = 0;

    return ngx_http_claude_relay_password_post(job, password);
}


ngx_int_t
ngx_http_claude_relay_password_hash(ngx_http_claude_relay_password_t *job,
    ngx_str_t *password)
{
    job->hash = 1;

    return ngx_http_claude_relay_password_post(job, password);
}


static ngx_int_t
ngx_http_claude_relay_password_post(ngx_http_claude_relay_password_t *job,
    ngx_str_t *password)
{
    ngx_http_claude_relay_thread_t  *t;

    t = &ngx_http_claude_relay_passwords;

    if (!t->running && ngx_http_claude_relay_passwords_start() != NGX_OK) {
        return NGX_ERROR;
    }

    if (t->posted >= NGX_HTTP_CLAUDE_RELAY_PASSWORDS) {
        return NGX_BUSY;
    }

    /* what is too long is so after it was cut, too */

    job->len = ngx_min(password->len, sizeof(job->password));
    ngx_memcpy(job->password, password->data, job->len);

    if (ngx_http_claude_relay_thread_post(t, &job->queue) != NGX_OK) {
        ngx_explicit_memzero(job->password, sizeof(job->password));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_passwords_start(void)
{
    ngx_http_claude_relay_thread_t  *t;

    t = &ngx_http_claude_relay_passwords;

    if (t->leaving) {
        return NGX_ERROR;
    }

    ngx_memzero(t, sizeof(ngx_http_claude_relay_thread_t));

    t->data = t;
    t->work = ngx_http_claude_relay_passwords_work;
    t->run = ngx_http_claude_relay_passwords_run;
    t->close = ngx_http_claude_relay_passwords_close;
    t->done = ngx_http_claude_relay_passwords_done;

    return ngx_http_claude_relay_thread_start(t, (ngx_cycle_t *) ngx_cycle);
}


void
ngx_http_claude_relay_passwords_exit_process(void)
{
    ngx_http_claude_relay_thread_stop(&ngx_http_claude_relay_passwords);

    /* what ends now may want another one */

    ngx_http_claude_relay_passwords.leaving = 1;
}


/* in the thread */

static ngx_msec_t
ngx_http_claude_relay_passwords_work(void *data)
{
    return ngx_http_claude_relay_thread_clock()
           + NGX_HTTP_CLAUDE_RELAY_PASSWORDS_LOOK;
}


static void
ngx_http_claude_relay_passwords_run(void *data, ngx_queue_t *q)
{
    ncr_str_t                          password;
    ncr_char_t                         salt[NCR_PASSWORD_SALT];
    ngx_http_claude_relay_password_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_password_t, queue);

    /* on Linux a thread has a priority of its own */

    (void) setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid),
                       NGX_HTTP_CLAUDE_RELAY_PASSWORDS_NICE);

    password.data = job->password;
    password.len = job->len;

    if (!job->hash) {
        job->rc = ncr_password_check(job->text, &password);

    } else if (ncr_seal_random(salt, sizeof(salt)) == NCR_OK) {
        job->rc = ncr_password_hash(&password, salt, job->text);

    } else {
        job->rc = NCR_ERROR;
    }

    ngx_explicit_memzero(job->password, sizeof(job->password));
}


static void
ngx_http_claude_relay_passwords_close(void *data)
{
}


/* in the loop */

static ngx_uint_t
ngx_http_claude_relay_passwords_done(void *data, ngx_queue_t *q)
{
    ngx_http_claude_relay_password_t  *job;

    job = ngx_queue_data(q, ngx_http_claude_relay_password_t, queue);

    job->handler(job);

    return 1;
}
