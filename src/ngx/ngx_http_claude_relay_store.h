
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The store behind the event loop: a thread in each worker runs jobs on it,
 * watches it for changes of others, and hands both back to the loop.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_STORE_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_STORE_H_INCLUDED_


#include "ngx_http_claude_relay_zone.h"


/* a row as it was read; its texts are its own */

typedef struct {
    ngx_queue_t                        queue;
    ncr_store_account_t                row;
} ngx_http_claude_relay_stored_t;


/* a key, a user, a group or a limit as it was read, and what it means */

typedef struct {
    ngx_queue_t                        queue;
    ncr_store_object_t                 row;     /* its text is behind this */
    ngx_int_t                          scope;   /* -1: of a later version */
    ncr_key_t                         *key;     /* NULL: not made yet, or */
    char                              *error;   /* this is why */
    ngx_http_claude_relay_setting_t   *setting; /* of that kind */
    ngx_int_t                          rc;      /* of putting it in place */
} ngx_http_claude_relay_object_t;


/* what objects are read from, and since when */

typedef struct {
    uint64_t                           file;    /* see ncr_store_file() */
    uint64_t                           from;    /* seq, 0: all there is */
    ngx_uint_t                         older;   /* the zone has newer ones */
} ngx_http_claude_relay_since_t;


typedef struct ngx_http_claude_relay_job_s  ngx_http_claude_relay_job_t;

/* in the thread; sets job->rc, and job->error with it */
typedef void (*ngx_http_claude_relay_run_pt)(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);

/* in the loop, once */
typedef void (*ngx_http_claude_relay_done_pt)(
    ngx_http_claude_relay_job_t *job);


struct ngx_http_claude_relay_job_s {
    ngx_queue_t                        queue;
    ngx_http_claude_relay_run_pt       run;
    ngx_http_claude_relay_done_pt      done;
    void                              *data;
    ncr_int_t                          rc;      /* of ncr_store_... */
    char                               error[NCR_STORE_ERROR];
};


/*
 * The job is the caller's, and must stay until done() is called; it is called
 * always, with rc NCR_ERROR if the store cannot be opened (run() was not
 * called then).  NGX_ERROR: there is no store, or this worker leaves.
 */
ngx_int_t ngx_http_claude_relay_store_post(ngx_http_claude_relay_job_t *job);

/* sets rc, and error after a failure; for run() */
void ngx_http_claude_relay_job_rc(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job, ncr_int_t rc);

/* what was read of it is still being put in place */
ngx_uint_t ngx_http_claude_relay_store_applying(void);

/* this worker changed the store: all workers look into it, soon */
void ngx_http_claude_relay_store_touched(void);

/* a lock of an account that all processes on this store share */
ngx_int_t ngx_http_claude_relay_store_lock(uint64_t id);
void ngx_http_claude_relay_store_unlock(uint64_t id);

/* a C string of its own; what is in a row is given back with that */
char *ngx_http_claude_relay_dup(const void *data, size_t len);

/* a copy with its own texts, and its end */
ngx_http_claude_relay_stored_t *ngx_http_claude_relay_stored(
    ncr_store_account_t *row);
void ngx_http_claude_relay_stored_free(
    ngx_http_claude_relay_stored_t *stored);


/*
 * objects.c.  apply: into the zone, in the order of their seq; they are freed.
 * NGX_AGAIN: that were "most" (0: no matter how many), there are more.
 * since->older tells if the zone has newer ones.  read: makes the record;
 * apply does so, too, but a thread has the time.  remember: all rows of the
 * zone; the texts and the array are to be freed.
 */

ngx_http_claude_relay_object_t *ngx_http_claude_relay_object(
    ncr_store_object_t *row);
void ngx_http_claude_relay_object_read(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object);
void ngx_http_claude_relay_object_free(
    ngx_http_claude_relay_object_t *object);
void ngx_http_claude_relay_objects_free(ngx_queue_t *objects);
ngx_int_t ngx_http_claude_relay_objects_apply(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_queue_t *objects,
    ngx_http_claude_relay_since_t *since, ngx_uint_t most, ngx_log_t *log);
ncr_store_object_t *ngx_http_claude_relay_objects_remember(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *n);


/* roster.c */

ngx_int_t ngx_http_claude_relay_roster_apply(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_queue_t *rows, uint64_t seq,
    ngx_conf_t *cf);
ngx_http_claude_relay_account_t *ngx_http_claude_relay_account_make(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_account_t *row,
    u_char *error);
void ngx_http_claude_relay_account_destroy(
    ngx_http_claude_relay_account_t *a);
ngx_int_t ngx_http_claude_relay_account_info(
    ngx_http_claude_relay_account_t *a, ncr_store_account_t *row);

/*
 * tokens.c.  publish: what the store has goes into the zone, if it is newer;
 * NGX_DECLINED: the zone's tokens are newer than the store's; NGX_ERROR: no
 * room.  again: the store's file is another one, its seqs are, too.
 */

void ngx_http_claude_relay_node_anew(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node);
ngx_int_t ngx_http_claude_relay_publish(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node, ncr_store_account_t *row,
    ngx_uint_t again);

/* what a worker knows of an account's row; NULL: nothing, or no memory */
ngx_http_claude_relay_stored_t *ngx_http_claude_relay_remember(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);


#endif /* _NGX_HTTP_CLAUDE_RELAY_STORE_H_INCLUDED_ */
