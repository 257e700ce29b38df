
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Names, looked up as the system does it (/etc/hosts and all that), where
 * nobody has configured a "resolver" and nothing was known at start: accounts
 * of the store come while nginx runs.  getaddrinfo() waits, so it is called
 * in a thread of its own, which is detached and hands back what it has found;
 * each worker remembers it for a while.
 *
 * A thread touches its task and nothing else but what is under the mutex.  A
 * worker does not wait for one when it leaves: whoever comes too late finds
 * "leaving", and frees its task itself.
 */


#include "ngx_http_claude_relay.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/eventfd.h>


/* how long an answer is good for, ms */
#define NGX_HTTP_CLAUDE_RELAY_LOOKUP_HIT      60000
#define NGX_HTTP_CLAUDE_RELAY_LOOKUP_MISS     5000

/* of a worker at a time; other names wait */
#define NGX_HTTP_CLAUDE_RELAY_LOOKUP_THREADS  8

/* of a name; any more are left out */
#define NGX_HTTP_CLAUDE_RELAY_LOOKUP_ADDRS    32


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LOOKUP_PENDING = 0,   /* no thread is free */
    NGX_HTTP_CLAUDE_RELAY_LOOKUP_RUNNING,
    NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE
} ngx_http_claude_relay_lookup_state_e;


struct ngx_http_claude_relay_lookup_name_s {
    ngx_str_node_t                     sn;
    ngx_queue_t                        queue;   /* of that state */
    ngx_queue_t                        waiters;
    ngx_uint_t                         family;
    ngx_msec_t                         expires;
    ngx_resolver_addr_t               *addrs;   /* one allocation */
    ngx_uint_t                         naddrs;
    const char                        *error;   /* there is none: why */
    ngx_http_claude_relay_lookup_state_e  state;
};


typedef struct {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_lookup_name_t *name;  /* the loop's */
    int                                family;
    int                                rc;
    struct addrinfo                   *list;
    char                              *host;
} ngx_http_claude_relay_lookup_task_t;


static ngx_int_t ngx_http_claude_relay_lookup_init(void);
static void ngx_http_claude_relay_lookup_pin(void);
static ngx_http_claude_relay_lookup_name_t *ngx_http_claude_relay_lookup_find(
    ngx_str_t *host, ngx_uint_t family);
static ngx_uint_t ngx_http_claude_relay_lookup_old(
    ngx_http_claude_relay_lookup_name_t *name);
static void ngx_http_claude_relay_lookup_sweep(void);
static void ngx_http_claude_relay_lookup_forget(
    ngx_http_claude_relay_lookup_name_t *name);
static void ngx_http_claude_relay_lookup_go(
    ngx_http_claude_relay_lookup_name_t *name);
static ngx_int_t ngx_http_claude_relay_lookup_thread(
    ngx_http_claude_relay_lookup_task_t *task);
static void *ngx_http_claude_relay_lookup_run(void *data);
static void ngx_http_claude_relay_lookup_free(
    ngx_http_claude_relay_lookup_task_t *task);
static void ngx_http_claude_relay_lookup_bell(ngx_event_t *ev);
static void ngx_http_claude_relay_lookup_take(
    ngx_http_claude_relay_lookup_task_t *task);
static ngx_int_t ngx_http_claude_relay_lookup_addrs(
    ngx_http_claude_relay_lookup_name_t *name, struct addrinfo *list);
static void ngx_http_claude_relay_lookup_tell(
    ngx_http_claude_relay_lookup_name_t *name);


/* shared with the threads */

static pthread_mutex_t    ngx_http_claude_relay_lookup_mutex =
                                                    PTHREAD_MUTEX_INITIALIZER;
static ngx_queue_t        ngx_http_claude_relay_lookup_ended;
static ngx_uint_t         ngx_http_claude_relay_lookup_leaving;
static int                ngx_http_claude_relay_lookup_fd = -1;

/* the loop's own */

static ngx_uint_t         ngx_http_claude_relay_lookup_ready;
static ngx_uint_t         ngx_http_claude_relay_lookup_threads;
static ngx_connection_t  *ngx_http_claude_relay_lookup_connection;
static ngx_rbtree_t       ngx_http_claude_relay_lookup_tree;
static ngx_rbtree_node_t  ngx_http_claude_relay_lookup_sentinel;
static ngx_queue_t        ngx_http_claude_relay_lookup_pending;
static ngx_queue_t        ngx_http_claude_relay_lookup_running;
static ngx_queue_t        ngx_http_claude_relay_lookup_done;


/*
 * NGX_OK: w->addrs are there until the loop goes on; NGX_AGAIN: w->handler
 * will be called once, with addresses or w->error; NGX_DECLINED: w->error.
 */

ngx_int_t
ngx_http_claude_relay_lookup(ngx_http_claude_relay_lookup_t *w,
    ngx_str_t *host, ngx_uint_t family)
{
    ngx_http_claude_relay_lookup_name_t  *name;

    w->name = NULL;
    w->addrs = NULL;
    w->naddrs = 0;
    w->error = "no memory";

    if (ngx_http_claude_relay_lookup_init() != NGX_OK) {
        return NGX_DECLINED;
    }

    name = ngx_http_claude_relay_lookup_find(host, family);

    if (name == NULL) {
        return NGX_DECLINED;
    }

    if (name->state == NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE) {
        w->addrs = name->addrs;
        w->naddrs = name->naddrs;
        w->error = name->error;

        return w->error ? NGX_DECLINED : NGX_OK;
    }

    w->name = name;
    ngx_queue_insert_tail(&name->waiters, &w->queue);

    return NGX_AGAIN;
}


void
ngx_http_claude_relay_lookup_cancel(ngx_http_claude_relay_lookup_t *w)
{
    ngx_http_claude_relay_lookup_name_t  *name;

    name = w->name;

    if (name == NULL) {
        return;
    }

    w->name = NULL;
    ngx_queue_remove(&w->queue);

    /* one that runs cannot be stopped, and is good for those who come */

    if (name->state == NGX_HTTP_CLAUDE_RELAY_LOOKUP_PENDING
        && ngx_queue_empty(&name->waiters))
    {
        ngx_http_claude_relay_lookup_forget(name);
    }
}


/* the worker leaves; who waits is not told */

void
ngx_http_claude_relay_lookup_exit(void)
{
    ngx_uint_t                            i;
    ngx_queue_t                          *q, *queues[3];
    ngx_http_claude_relay_lookup_name_t  *name;
    ngx_http_claude_relay_lookup_task_t  *task;

    if (!ngx_http_claude_relay_lookup_ready) {
        return;
    }

    ngx_http_claude_relay_lookup_ready = 0;

    (void) pthread_mutex_lock(&ngx_http_claude_relay_lookup_mutex);

    ngx_http_claude_relay_lookup_leaving = 1;

    (void) pthread_mutex_unlock(&ngx_http_claude_relay_lookup_mutex);

    while (!ngx_queue_empty(&ngx_http_claude_relay_lookup_ended)) {

        q = ngx_queue_head(&ngx_http_claude_relay_lookup_ended);
        ngx_queue_remove(q);

        task = ngx_queue_data(q, ngx_http_claude_relay_lookup_task_t, queue);
        ngx_http_claude_relay_lookup_free(task);
    }

    queues[0] = &ngx_http_claude_relay_lookup_pending;
    queues[1] = &ngx_http_claude_relay_lookup_running;
    queues[2] = &ngx_http_claude_relay_lookup_done;

    for (i = 0; i < 3; i++) {

        while (!ngx_queue_empty(queues[i])) {

            name = ngx_queue_data(ngx_queue_head(queues[i]),
                                  ngx_http_claude_relay_lookup_name_t, queue);
            ngx_http_claude_relay_lookup_forget(name);
        }
    }

    ngx_free_connection(ngx_http_claude_relay_lookup_connection);
    (void) close(ngx_http_claude_relay_lookup_fd);
}


static ngx_int_t
ngx_http_claude_relay_lookup_init(void)
{
    int                fd;
    ngx_event_t       *rev;
    ngx_connection_t  *c;

    if (ngx_http_claude_relay_lookup_ready) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_lookup_leaving) {
        return NGX_ERROR;
    }

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "eventfd() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);

    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    rev = c->read;
    rev->log = ngx_cycle->log;
    rev->handler = ngx_http_claude_relay_lookup_bell;

    /* not a socket to be closed, or waited for, when the worker leaves */
    rev->channel = 1;
    c->write->channel = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        (void) close(fd);
        return NGX_ERROR;
    }

    ngx_http_claude_relay_lookup_fd = fd;
    ngx_http_claude_relay_lookup_connection = c;

    ngx_queue_init(&ngx_http_claude_relay_lookup_ended);
    ngx_queue_init(&ngx_http_claude_relay_lookup_pending);
    ngx_queue_init(&ngx_http_claude_relay_lookup_running);
    ngx_queue_init(&ngx_http_claude_relay_lookup_done);

    ngx_rbtree_init(&ngx_http_claude_relay_lookup_tree,
                    &ngx_http_claude_relay_lookup_sentinel,
                    ngx_str_rbtree_insert_value);

    ngx_http_claude_relay_lookup_pin();

    ngx_http_claude_relay_lookup_ready = 1;

    return NGX_OK;
}


/*
 * nginx unloads its modules just before a worker's exit(), and a thread may
 * come back right then: this one stays where it is.  There is nothing to be
 * done if it is linked in.
 */

static void
ngx_http_claude_relay_lookup_pin(void)
{
    Dl_info  info;

    if (dladdr(&ngx_http_claude_relay_module, &info) && info.dli_fname) {
        (void) dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD|RTLD_NODELETE);
    }
}


/* what is known of a name, or is about to be */

static ngx_http_claude_relay_lookup_name_t *
ngx_http_claude_relay_lookup_find(ngx_str_t *host, ngx_uint_t family)
{
    u_char                                buf[NGX_MAXHOSTNAMELEN];
    uint32_t                              hash;
    ngx_str_t                             key;
    ngx_http_claude_relay_lookup_name_t  *name;

    if (host->len > sizeof(buf)) {
        return NULL;
    }

    ngx_strlow(buf, host->data, host->len);

    key.data = buf;
    key.len = host->len;
    hash = ngx_crc32_long(key.data, key.len);

    ngx_http_claude_relay_lookup_sweep();

    name = (ngx_http_claude_relay_lookup_name_t *)
               ngx_str_rbtree_lookup(&ngx_http_claude_relay_lookup_tree, &key,
                                     hash);
    if (name) {

        if (!ngx_http_claude_relay_lookup_old(name)) {
            return name;
        }

        ngx_http_claude_relay_lookup_forget(name);
    }

    /* getaddrinfo() gets it from here: a NUL stands behind it */

    name = ngx_calloc(sizeof(ngx_http_claude_relay_lookup_name_t)
                      + key.len + 1, ngx_cycle->log);
    if (name == NULL) {
        return NULL;
    }

    name->sn.node.key = hash;
    name->sn.str.len = key.len;
    name->sn.str.data = (u_char *) name
                        + sizeof(ngx_http_claude_relay_lookup_name_t);
    ngx_memcpy(name->sn.str.data, key.data, key.len);

    name->family = family;

    ngx_queue_init(&name->waiters);
    ngx_rbtree_insert(&ngx_http_claude_relay_lookup_tree, &name->sn.node);

    ngx_http_claude_relay_lookup_go(name);

    return name;
}


static ngx_uint_t
ngx_http_claude_relay_lookup_old(ngx_http_claude_relay_lookup_name_t *name)
{
    return name->state == NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE
           && (ngx_msec_int_t) (name->expires - ngx_current_msec) <= 0;
}


/* names that nobody asks for any more go, a few at a time */

static void
ngx_http_claude_relay_lookup_sweep(void)
{
    ngx_uint_t                            i;
    ngx_queue_t                          *q, *next;
    ngx_http_claude_relay_lookup_name_t  *name;

    q = ngx_queue_head(&ngx_http_claude_relay_lookup_done);

    for (i = 0; i < 16; i++) {

        if (q == ngx_queue_sentinel(&ngx_http_claude_relay_lookup_done)) {
            return;
        }

        next = ngx_queue_next(q);
        name = ngx_queue_data(q, ngx_http_claude_relay_lookup_name_t, queue);

        if (ngx_http_claude_relay_lookup_old(name)) {
            ngx_http_claude_relay_lookup_forget(name);
        }

        q = next;
    }
}


static void
ngx_http_claude_relay_lookup_forget(ngx_http_claude_relay_lookup_name_t *name)
{
    ngx_queue_t                     *q;
    ngx_http_claude_relay_lookup_t  *w;

    while (!ngx_queue_empty(&name->waiters)) {

        q = ngx_queue_head(&name->waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_http_claude_relay_lookup_t, queue);
        w->name = NULL;
    }

    ngx_queue_remove(&name->queue);
    ngx_rbtree_delete(&ngx_http_claude_relay_lookup_tree, &name->sn.node);

    if (name->addrs) {
        ngx_free(name->addrs);
    }

    ngx_free(name);
}


/* into a thread, or to wait for one; its queue is free */

static void
ngx_http_claude_relay_lookup_go(ngx_http_claude_relay_lookup_name_t *name)
{
    size_t                                len;
    ngx_http_claude_relay_lookup_task_t  *task;

    if (ngx_http_claude_relay_lookup_threads
        >= NGX_HTTP_CLAUDE_RELAY_LOOKUP_THREADS)
    {
        name->state = NGX_HTTP_CLAUDE_RELAY_LOOKUP_PENDING;
        ngx_queue_insert_tail(&ngx_http_claude_relay_lookup_pending,
                              &name->queue);
        return;
    }

    len = name->sn.str.len + 1;

    task = ngx_calloc(sizeof(ngx_http_claude_relay_lookup_task_t) + len,
                      ngx_cycle->log);
    if (task) {
        task->name = name;
        task->family = (int) name->family;
        task->host = (char *) task
                     + sizeof(ngx_http_claude_relay_lookup_task_t);
        ngx_memcpy(task->host, name->sn.str.data, len);

        if (ngx_http_claude_relay_lookup_thread(task) == NGX_OK) {
            ngx_http_claude_relay_lookup_threads++;

            name->state = NGX_HTTP_CLAUDE_RELAY_LOOKUP_RUNNING;
            ngx_queue_insert_tail(&ngx_http_claude_relay_lookup_running,
                                  &name->queue);
            return;
        }

        ngx_free(task);
    }

    name->error = "no thread for it";
    name->expires = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LOOKUP_MISS;
    name->state = NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE;
    ngx_queue_insert_tail(&ngx_http_claude_relay_lookup_done, &name->queue);
}


static ngx_int_t
ngx_http_claude_relay_lookup_thread(ngx_http_claude_relay_lookup_task_t *task)
{
    int             err;
    sigset_t        all, old;
    pthread_t       id;
    pthread_attr_t  attr;

    err = pthread_attr_init(&attr);

    if (err) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, err,
                      "pthread_attr_init() failed");
        return NGX_ERROR;
    }

    (void) pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);

    /* signals are the loop's */

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);

    err = pthread_create(&id, &attr, ngx_http_claude_relay_lookup_run, task);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void) pthread_attr_destroy(&attr);

    if (err) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, err,
                      "pthread_create() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void *
ngx_http_claude_relay_lookup_run(void *data)
{
    ngx_http_claude_relay_lookup_task_t *task = data;

    uint64_t         one;
    ngx_uint_t       late;
    struct addrinfo  hints;

    ngx_memzero(&hints, sizeof(struct addrinfo));

    hints.ai_family = task->family;
    hints.ai_socktype = SOCK_STREAM;

#ifdef AI_ADDRCONFIG

    /* a family that was asked for is not to be argued with */

    if (task->family == AF_UNSPEC) {
        hints.ai_flags = AI_ADDRCONFIG;
    }

#endif

    task->rc = getaddrinfo(task->host, NULL, &hints, &task->list);

    one = 1;

    (void) pthread_mutex_lock(&ngx_http_claude_relay_lookup_mutex);

    late = ngx_http_claude_relay_lookup_leaving;

    if (!late) {
        ngx_queue_insert_tail(&ngx_http_claude_relay_lookup_ended,
                              &task->queue);
        (void) !write(ngx_http_claude_relay_lookup_fd, &one, sizeof(one));
    }

    (void) pthread_mutex_unlock(&ngx_http_claude_relay_lookup_mutex);

    if (late) {
        ngx_http_claude_relay_lookup_free(task);
    }

    return NULL;
}


static void
ngx_http_claude_relay_lookup_free(ngx_http_claude_relay_lookup_task_t *task)
{
    if (task->rc == 0 && task->list) {
        freeaddrinfo(task->list);
    }

    ngx_free(task);
}


static void
ngx_http_claude_relay_lookup_bell(ngx_event_t *ev)
{
    uint64_t                              n;
    ngx_queue_t                          *q;
    ngx_http_claude_relay_lookup_task_t  *task;

    (void) !read(ngx_http_claude_relay_lookup_fd, &n, sizeof(n));

    for ( ;; ) {

        task = NULL;

        (void) pthread_mutex_lock(&ngx_http_claude_relay_lookup_mutex);

        if (!ngx_queue_empty(&ngx_http_claude_relay_lookup_ended)) {
            q = ngx_queue_head(&ngx_http_claude_relay_lookup_ended);
            ngx_queue_remove(q);
            task = ngx_queue_data(q, ngx_http_claude_relay_lookup_task_t,
                                  queue);
        }

        (void) pthread_mutex_unlock(&ngx_http_claude_relay_lookup_mutex);

        if (task == NULL) {
            return;
        }

        ngx_http_claude_relay_lookup_take(task);
    }
}


/* a thread has ended: its name is known now, and the next one may go */

static void
ngx_http_claude_relay_lookup_take(ngx_http_claude_relay_lookup_task_t *task)
{
    ngx_queue_t                          *q;
    ngx_http_claude_relay_lookup_name_t  *name, *next;

    name = task->name;

    ngx_http_claude_relay_lookup_threads--;

    if (task->rc) {
        name->error = gai_strerror(task->rc);

    } else if (ngx_http_claude_relay_lookup_addrs(name, task->list)
               != NGX_OK)
    {
        name->error = "no memory";

    } else if (name->naddrs == 0) {
        name->error = "no address of a known family";
    }

    name->expires = ngx_current_msec
                    + (name->error ? NGX_HTTP_CLAUDE_RELAY_LOOKUP_MISS
                                   : NGX_HTTP_CLAUDE_RELAY_LOOKUP_HIT);
    name->state = NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE;

    ngx_queue_remove(&name->queue);
    ngx_queue_insert_tail(&ngx_http_claude_relay_lookup_done, &name->queue);

    ngx_http_claude_relay_lookup_free(task);

    if (!ngx_queue_empty(&ngx_http_claude_relay_lookup_pending)) {

        q = ngx_queue_head(&ngx_http_claude_relay_lookup_pending);
        ngx_queue_remove(q);

        next = ngx_queue_data(q, ngx_http_claude_relay_lookup_name_t, queue);

        ngx_http_claude_relay_lookup_go(next);

        if (next->state == NGX_HTTP_CLAUDE_RELAY_LOOKUP_DONE) {
            ngx_http_claude_relay_lookup_tell(next);
        }
    }

    ngx_http_claude_relay_lookup_tell(name);
}


static ngx_int_t
ngx_http_claude_relay_lookup_addrs(ngx_http_claude_relay_lookup_name_t *name,
    struct addrinfo *list)
{
    u_char           *p;
    size_t            size;
    ngx_uint_t        n;
    struct addrinfo  *ai;

    size = sizeof(ngx_resolver_addr_t) + sizeof(ngx_sockaddr_t);

    for (n = 0, ai = list; ai; ai = ai->ai_next) {
        n++;
    }

    n = ngx_min(n, NGX_HTTP_CLAUDE_RELAY_LOOKUP_ADDRS);

    if (n == 0) {
        return NGX_OK;
    }

    name->addrs = ngx_calloc(n * size, ngx_cycle->log);
    if (name->addrs == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) &name->addrs[n];

    for (ai = list; ai && name->naddrs < n; ai = ai->ai_next) {

        if ((ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
            || ai->ai_addrlen > sizeof(ngx_sockaddr_t))
        {
            continue;
        }

        ngx_memcpy(p, ai->ai_addr, ai->ai_addrlen);

        name->addrs[name->naddrs].sockaddr = (struct sockaddr *) p;
        name->addrs[name->naddrs].socklen = ai->ai_addrlen;
        name->naddrs++;

        p += sizeof(ngx_sockaddr_t);
    }

    return NGX_OK;
}


/* whoever is told may ask again, or cancel others that wait */

static void
ngx_http_claude_relay_lookup_tell(ngx_http_claude_relay_lookup_name_t *name)
{
    ngx_queue_t                     *q;
    ngx_http_claude_relay_lookup_t  *w;

    while (!ngx_queue_empty(&name->waiters)) {

        q = ngx_queue_head(&name->waiters);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_http_claude_relay_lookup_t, queue);

        w->name = NULL;
        w->addrs = name->addrs;
        w->naddrs = name->naddrs;
        w->error = name->error;

        w->handler(w->data);
    }
}
