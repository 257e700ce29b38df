
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The books: every record of the ring, once; sums of them; counters of
 * limits.  A database of its own beside the store's ("relay.db-usage"), so
 * that tokens never wait for it.  Blocks; for threads and the master only.
 * What it fills is allocated with malloc().
 */


#ifndef _NCR_LEDGER_H_INCLUDED_
#define _NCR_LEDGER_H_INCLUDED_


#include "ncr_record.h"
#include "ncr_limit.h"
#include "ncr_price.h"
#include "ncr_ring.h"


#define NCR_LEDGER_ERROR   256


typedef struct ncr_ledger_s  ncr_ledger_t;


typedef struct {
    const char      *path;              /* of the ledger itself */
    const ncr_tz_t  *tz;                /* of days */
    int              busy;              /* ms to wait for other writers */
    unsigned         create:1;
    unsigned         readonly:1;
} ncr_ledger_options_t;


/* NCR_OK or NCR_ERROR with a message; files are of mode 0600, as those of
 * the store; older schemas are migrated */
ncr_int_t ncr_ledger_open(ncr_ledger_options_t *options,
    ncr_ledger_t **ledger, char *error);
void ncr_ledger_close(ncr_ledger_t *ledger);
const char *ncr_ledger_error(ncr_ledger_t *ledger);


/*
 * What is in the ring goes into the books, with the ring's id and the last
 * number in the same transaction, then the ring's tail is moved.  A record
 * that is there already, because a drainer was killed in between, is passed
 * over.  *n: records that were taken; at most "max" in one transaction.
 * Needs a lock against other drainers (see ncr_store_lock()).
 */
ncr_int_t ncr_ledger_drain(ncr_ledger_t *ledger, ncr_ring_t *ring,
    ncr_uint_t max, ncr_uint_t *n);


/* counters whose window is not over at now; stops if handler does not return
 * NCR_OK */
typedef ncr_int_t (*ncr_ledger_counter_pt)(void *data,
    ncr_counter_t *counter);
ncr_int_t ncr_ledger_counters(ncr_ledger_t *ledger, ncr_msec_t now,
    ncr_ledger_counter_pt handler, void *data);


/* ms; 0 = for ever */

typedef struct {
    ncr_msec_t    rows;
    ncr_msec_t    minutes;
    ncr_msec_t    hours;
    ncr_msec_t    days;
} ncr_ledger_keep_t;

/* deletes what is older, a bounded piece; NCR_AGAIN: there is more */
ncr_int_t ncr_ledger_expire(ncr_ledger_t *ledger, ncr_ledger_keep_t *keep,
    ncr_msec_t now);


/*
 * Costs of a period anew by this table; sums are brought into line.  A piece
 * of at most max rows from *row on; NCR_AGAIN: call it again.
 */

typedef struct {
    ncr_msec_t    from;
    ncr_msec_t    until;
    uint64_t      row;                  /* 0 at first */
    uint64_t      last;                 /* set by the first piece */
    uint64_t      rows;                 /* looked at */
    uint64_t      changed;
    uint64_t      unpriced;
    int64_t       difference;           /* micro-dollars */
} ncr_ledger_rerate_t;

ncr_int_t ncr_ledger_rerate(ncr_ledger_t *ledger, const ncr_prices_t *prices,
    ncr_ledger_rerate_t *job, ncr_uint_t max);


/* questions */

typedef enum {
    NCR_BY_TOTAL = 0,
    NCR_BY_KEY,
    NCR_BY_USER,
    NCR_BY_GROUP,
    NCR_BY_ACCOUNT,
    NCR_BY_PLATFORM,
    NCR_BY_MODEL,                       /* as served, or asked for */
    NCR_BY_STATUS,
    NCR_BY_MINUTE,                      /* of time, in the query's zone */
    NCR_BY_HOUR,
    NCR_BY_DAY,
    NCR_BY_WEEK,
    NCR_BY_MONTH
} ncr_ledger_by_e;


typedef struct {
    ncr_msec_t       from;              /* inclusive; 0 = the beginning */
    ncr_msec_t       until;             /* exclusive; 0 = the end */
    const ncr_tz_t  *tz;                /* NULL: the ledger's */
    const char      *key;               /* names, or NULL */
    const char      *user;
    const char      *group;
    const char      *account;
    const char      *platform;
    const char      *model;
    const char      *id;                /* rows only: the relay's id */
    ncr_uint_t       status;            /* 0 = any; 4 = 4xx, 429 = 429 */

    ncr_ledger_by_e  by[2];             /* sums: TOTAL ends it */
    unsigned         order:2;           /* sums: 0 name, 1 cost, 2 requests,
                                           3 tokens; largest first */
    unsigned         ascending:1;       /* rows: oldest first */
    uint64_t         after;             /* rows: number to go on from */
    ncr_uint_t       skip;              /* sums: so many first ones */
    ncr_uint_t       limit;             /* 0 = 100 */

    /* told by sums */

    ncr_uint_t       groups;            /* how many there are */
    unsigned         approximate:1;     /* what would tell the borders is
                                           not kept any more */
} ncr_ledger_query_t;

/* more are not added up at once */
#define NCR_LEDGER_GROUPS  100000


typedef struct {
    const char   *name[2];              /* of "by"; RFC 3339 of a time */
    uint64_t      requests;
    uint64_t      failed;               /* status 400 and more */
    uint64_t      refused;
    uint64_t      unpriced;
    uint64_t      estimated;
    ncr_usage_t   usage;
    uint64_t      cost;                 /* micro-dollars */
    uint64_t      rated;
    uint64_t      duration;             /* sums, ms */
    uint64_t      ttft;
    uint64_t      nttft;                /* of how many */
} ncr_ledger_sum_t;

typedef ncr_int_t (*ncr_ledger_sum_pt)(void *data, ncr_ledger_sum_t *sum);
typedef ncr_int_t (*ncr_ledger_row_pt)(void *data, uint64_t number,
    ncr_record_t *rec);

/*
 * From the sums where these can tell it, else from the rows that are kept.
 * "model" of a query is a glob.  NCR_DECLINED: more than NCR_LEDGER_GROUPS.
 */
ncr_int_t ncr_ledger_sums(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    ncr_ledger_sum_pt handler, void *data);
ncr_int_t ncr_ledger_rows(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    ncr_ledger_row_pt handler, void *data);


#endif /* _NCR_LEDGER_H_INCLUDED_ */
