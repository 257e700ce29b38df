
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The way of records: from a request into the ring, from there into the
 * ledger; and questions to the ledger.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_LEDGER_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_LEDGER_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"


/* claude_relay_usage, as configured */

struct ngx_http_claude_relay_usage_conf_s {
    ngx_flag_t                         on;      /* unset: if there is a store */
    size_t                             size;    /* of the ring */
    ngx_str_t                          file;    /* its path, less its number */
    ngx_str_t                          beside;  /* where it may be as well */
    ngx_uint_t                         written; /* file is the operator's */
    ncr_ledger_keep_t                  keep;
    ngx_uint_t                         drop;    /* full: rather than refuse */
    ngx_str_t                          path;    /* of the ledger; with a NUL */
    uid_t                              uid;     /* of the workers */
    u_char                            *conf;    /* where it was written */
    ngx_uint_t                         line;
};


/*
 * ring.c.  The file of a ring belongs to one zone; its descriptor, with a
 * shared lock, is inherited by all who have the zone.  As long as one of them
 * lives nobody else touches it; then it is a leftover.
 */

struct ngx_http_claude_relay_ring_s {
    ncr_ring_t                        *ring;
    size_t                             size;    /* of the memory */
    int                                fd;
    ngx_uint_t                         refs;    /* configurations */
    ngx_uint_t                         used;    /* workers may have it */
    char                              *path;
};

/* NULL: error has a message, and ngx_errno is set */
ngx_http_claude_relay_ring_t *ngx_http_claude_relay_ring_make(
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *file, char *error);
void ngx_http_claude_relay_ring_close(ngx_http_claude_relay_ring_t *ring);

/* nothing is in it, and nobody else has it: it goes */
void ngx_http_claude_relay_ring_remove(ngx_http_claude_relay_ring_t *ring);

/*
 * Leftovers of this store go into the ledger, and then away.  *n: records.
 * NCR_ERROR: see the ledger's error.  Without a ledger those go that are
 * empty.
 */
ncr_int_t ngx_http_claude_relay_ring_leftovers(
    ngx_http_claude_relay_usage_conf_t *usage, ncr_ledger_t *ledger,
    ngx_uint_t *n);


/* ledger_conf.c */

char *ngx_http_claude_relay_set_usage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_usage_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);

/* the zone is there; old: the configuration it comes from, or NULL */
ngx_int_t ngx_http_claude_relay_usage_start(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_main_conf_t *old, ngx_log_t *log);

/* the configuration is accepted; the master ends */
void ngx_http_claude_relay_usage_accepted(ngx_cycle_t *cycle);
void ngx_http_claude_relay_usage_exit_master(ngx_cycle_t *cycle);


/* ledger.c: the thread */

ngx_int_t ngx_http_claude_relay_ledger_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_ledger_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf);


typedef struct ngx_http_claude_relay_question_s
                                             ngx_http_claude_relay_question_t;

struct ngx_http_claude_relay_question_s {
    ngx_queue_t                        queue;

    /* in the thread; sets rc.  It was drained before if "fresh" */
    void                             (*run)(ncr_ledger_t *ledger,
                                        ngx_http_claude_relay_question_t *q);

    /* in the loop, always, once */
    void                             (*done)(
                                        ngx_http_claude_relay_question_t *q);
    void                              *data;
    ncr_int_t                          rc;
    unsigned                           fresh:1;
    char                               error[NCR_LEDGER_ERROR];
};

/* NGX_DECLINED: no usage is kept; NGX_ERROR: this worker leaves */
ngx_int_t ngx_http_claude_relay_ledger_ask(
    ngx_http_claude_relay_question_t *q);


#endif /* _NGX_HTTP_CLAUDE_RELAY_LEDGER_H_INCLUDED_ */
