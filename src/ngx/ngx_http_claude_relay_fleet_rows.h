
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of the store that all nodes of a fleet have: accounts, their tokens,
 * keys, users, groups, limits, settings.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FLEET_ROWS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FLEET_ROWS_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ncr_wire.h"


/* all is compared this often, ms; Redis' settings are looked at as often, or,
 * while they are not as they must be, more often */
#define NGX_HTTP_CLAUDE_RELAY_COMPARE   300000
#define NGX_HTTP_CLAUDE_RELAY_ENQUIRE   10000

/* of what is told or fetched at a time, and of what is compared */
#define NGX_HTTP_CLAUDE_RELAY_BATCH   200
#define NGX_HTTP_CLAUDE_RELAY_SCAN    512


typedef struct {
    char                               name[NCR_STORE_ROW];
    ncr_store_order_t                  order;
    char                              *text;    /* malloc()ed, or NULL */
    size_t                             len;
    uint64_t                           seq;
    ncr_int_t                          rc;
    unsigned                           removed:1;
    unsigned                           tried:1;
    char                               error[NCR_STORE_ERROR];
} ngx_http_claude_relay_item_t;


/* some rows on their way through the store's thread */

typedef struct {
    ngx_http_claude_relay_job_t        job;
    u_char                            *key;
    char                               node[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    ngx_uint_t                         number;  /* of whose agency it is */
    ngx_uint_t                         n;
    ngx_uint_t                         max;
    ngx_uint_t                         objects; /* a scan: of these, */
    uint64_t                           seq;     /* from here, and to there */
    ngx_uint_t                         last;    /* there are no more */
    ngx_http_claude_relay_item_t       items[1];
} ngx_http_claude_relay_batch_t;


/* fleet_batch.c */

ngx_http_claude_relay_batch_t *ngx_http_claude_relay_batch(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t max,
    ngx_http_claude_relay_run_pt run, ngx_http_claude_relay_done_pt done);
void ngx_http_claude_relay_batch_free(ngx_http_claude_relay_batch_t *batch);

/* run() of jobs: texts of items by their names, NCR_DECLINED in rc of what
 * there is nothing of; rows of items into the store, by their texts; a page
 * of names and orders of all rows; nothing */

void ngx_http_claude_relay_batch_read(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
void ngx_http_claude_relay_batch_merge(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
void ngx_http_claude_relay_batch_scan(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
void ngx_http_claude_relay_batch_look(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE = 0,
    NGX_HTTP_CLAUDE_RELAY_ROWS_LIST,        /* what Redis has */
    NGX_HTTP_CLAUDE_RELAY_ROWS_SCAN         /* what the store has */
} ngx_http_claude_relay_rows_e;


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_OUT_NO = 0,
    NGX_HTTP_CLAUDE_RELAY_OUT_SOON,         /* changed just now */
    NGX_HTTP_CLAUDE_RELAY_OUT_LATER,        /* found by comparing */
    NGX_HTTP_CLAUDE_RELAY_OUT_NOW           /* under way */
} ngx_http_claude_relay_out_e;


/* a row by its name, which is behind this */

typedef struct {
    ngx_str_node_t                     sn;
    ngx_queue_t                        all;
    ngx_queue_t                        out;
    ngx_queue_t                        in;
    ncr_store_order_t                  redis;   /* version 0: has none */
    ncr_store_order_t                  bad;     /* what was complained of */
    uint64_t                           seq;     /* of the store, to be told */
    ngx_uint_t                         listed;  /* the comparison's number */
    ngx_uint_t                         scanned;
    ngx_http_claude_relay_out_e        where;
    unsigned                           fetch:2; /* 1: queued, 2: under way */
    unsigned                           changed:1;   /* while it is told */
    unsigned                           named:1; /* while it is fetched */
    unsigned                           soon:1;  /* of what is under way */
} ngx_http_claude_relay_known_t;


typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_uint_t                         number;  /* of this agency */
    ngx_rbtree_t                       tree;
    ngx_rbtree_node_t                  sentinel;
    ngx_queue_t                        all;
    ngx_queue_t                        soon;    /* to be told, by seq */
    ngx_queue_t                        later;
    ngx_queue_t                        now;     /* being told */
    ngx_queue_t                        in[3];   /* accounts, objects, tokens */
    ngx_queue_t                        fetching;
    ngx_queue_t                       *walk;    /* NULL: not under way */

    ngx_http_claude_relay_ask_t        put;
    ngx_http_claude_relay_ask_t        list;
    ngx_http_claude_relay_ask_t        fetch;
    ngx_http_claude_relay_ask_t        info;
    ngx_http_claude_relay_batch_t     *telling; /* texts that were sent */

    ngx_http_claude_relay_rows_e       stage;
    ngx_uint_t                         compare; /* its number */
    uint64_t                           since;   /* of the list */
    uint64_t                           until;   /* it had begun then */
    uint64_t                           seen;    /* seq of the store */
    uint64_t                           scan;    /* seq of the scan */
    ngx_msec_t                         compared;
    ngx_msec_t                         enquired;
    ngx_msec_t                         retry;   /* not before that */
    ngx_uint_t                         complaints;

    unsigned                           active:1;
    unsigned                           wanted:1;    /* compare all */
    unsigned                           full:1;  /* that is what is done */
    unsigned                           objects:1;   /* they are scanned */
    unsigned                           missed:1;    /* list what changed */
    unsigned                           once:1;  /* all was compared */
    unsigned                           reading:1;   /* jobs */
    unsigned                           merging:1;
    unsigned                           scanning:1;
    unsigned                           looking:2;
    unsigned                           waits:1; /* with "retry" */
    unsigned                           enquire:1;
    unsigned                           refused:1;   /* told of in the log */
    unsigned                           unfit:1;
} ngx_http_claude_relay_rows_state_t;


extern ngx_http_claude_relay_rows_state_t  ngx_http_claude_relay_the_rows;


/* fleet_rows.c */

/* make: if there is none; NULL: there is none, or no memory */

ngx_http_claude_relay_known_t *ngx_http_claude_relay_rows_known(
    ngx_str_t *name, ngx_uint_t make);

/* it is to be told: behind those that have changed before it, or when there is
 * nothing more urgent; it is to be fetched */

void ngx_http_claude_relay_rows_soon(
    ngx_http_claude_relay_known_t *known, uint64_t seq);
void ngx_http_claude_relay_rows_later(
    ngx_http_claude_relay_known_t *known);
void ngx_http_claude_relay_rows_in(
    ngx_http_claude_relay_known_t *known);

/* whatever can be done now, and not for a while */

void ngx_http_claude_relay_rows_work(void);
void ngx_http_claude_relay_rows_failed(void);

/* 1: no answer, or none that can be used */
ngx_uint_t ngx_http_claude_relay_rows_bad(redisReply *reply,
    const char *what);


/* fleet_rows_out.c */

/* of rows by their texts: keys "rows", "rv", "v" and "bus"; the node, and
 * pairs of names and texts */
extern ngx_http_claude_relay_script_t  ngx_http_claude_relay_rows_put_text;

void ngx_http_claude_relay_rows_tell(void);

/* up to which change of the store Redis has all of them */
void ngx_http_claude_relay_rows_publish(void);


/* fleet_rows_in.c */

void ngx_http_claude_relay_rows_compare(void);
void ngx_http_claude_relay_rows_fetch(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FLEET_ROWS_H_INCLUDED_ */
