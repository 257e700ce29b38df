
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of the ledger share; nobody else includes it. */


#ifndef _NCR_LEDGER_INT_H_INCLUDED_
#define _NCR_LEDGER_INT_H_INCLUDED_


#include "ncr_store_int.h"
#include "ncr_ledger.h"
#include "ncr_str.h"


/* "ncru", in the header of the file (application_id) */
#define NCR_LEDGER_APPLICATION  0x6e637275

/* ms */
#define NCR_LEDGER_MINUTE  ((ncr_msec_t) 60 * 1000)
#define NCR_LEDGER_HOUR    ((ncr_msec_t) 60 * NCR_LEDGER_MINUTE)

/* the end of all time; sums up to it stay within 64 bits */
#define NCR_LEDGER_EVER    ((ncr_msec_t) 1 << 48)

/* what a single record may have at most: more is nonsense, and would make
 * sums run over */
#define NCR_LEDGER_TOKENS  ((uint64_t) 1000000000000)
#define NCR_LEDGER_MONEY   ((uint64_t) 1000000000000000)


/*
 * Where a record is counted.  Days are those of the ledger's zone, so their
 * ends are kept with them; minutes and hours are of UTC.
 */

typedef enum {
    NCR_LEDGER_MINUTES = 0,
    NCR_LEDGER_HOURS,
    NCR_LEDGER_DAYS,
    NCR_LEDGER_ROWS,                    /* each for itself */
    NCR_LEDGER_LEVELS
} ncr_ledger_level_e;


/* columns of sums, in the order of ncr_ledger_values_t */
#define NCR_LEDGER_SUMS                                                       \
    "requests, failed, refused, unpriced, estimated, input, output,"          \
    " cache_read, cache_write, cache_write_5m, cache_write_1h, thinking,"     \
    " web_searches, web_fetches, cost, rated, duration, ttft, nttft"
#define NCR_LEDGER_NSUMS  19


typedef struct {
    int64_t       n[NCR_LEDGER_NSUMS];
} ncr_ledger_values_t;


/* entries of one size that begin with their key, "keys" numbers */

typedef struct {
    size_t        size;
    ncr_uint_t    keys;
    char         *entries;
    ncr_uint_t    n;
    ncr_uint_t    alloc;
    uint32_t     *slots;                /* index + 1; 0 = free */
    ncr_uint_t    nslots;               /* a power of two */
} ncr_ledger_hash_t;

void ncr_ledger_hash_init(ncr_ledger_hash_t *h, size_t size,
    ncr_uint_t keys);
void ncr_ledger_hash_free(ncr_ledger_hash_t *h);

/* the entry of this key, or NULL */
void *ncr_ledger_hash_find(ncr_ledger_hash_t *h, const int64_t *key);

/* the same, but made, zero but for its key; NULL: no memory */
void *ncr_ledger_hash_get(ncr_ledger_hash_t *h, const int64_t *key);

/* takes back those that were made since there were n */
void ncr_ledger_hash_cut(ncr_ledger_hash_t *h, ncr_uint_t n);

#define ncr_ledger_hash_entry(h, i)                                           \
    ((void *) ((h)->entries + (size_t) (i) * (h)->size))


/*
 * Names and dimensions have ids from 1 without gaps; the id is the place in
 * the cache.  Rows of both are never changed, so a cache is only to be
 * completed.  0: no name.
 */

typedef enum {
    NCR_LEDGER_WORD = 0,                /* of ours: an operation, a class */
    NCR_LEDGER_NAME,                    /* a key, user, group, account */
    NCR_LEDGER_MODEL,                   /* somebody else's, so bounded */
    NCR_LEDGER_KINDS
} ncr_ledger_kind_e;

typedef struct {
    int64_t       kind;                 /* key of the hash: kind, hash, n */
    int64_t       hash;
    int64_t       n;                    /* of those with the same hash */
    char         *text;
    size_t        len;
} ncr_ledger_name_t;


typedef enum {
    NCR_LEDGER_KEY = 0,
    NCR_LEDGER_USER,
    NCR_LEDGER_GROUP,
    NCR_LEDGER_ACCOUNT,
    NCR_LEDGER_PLATFORM,
    NCR_LEDGER_SERVED,
    NCR_LEDGER_DIMS
} ncr_ledger_dim_e;

typedef struct {
    int64_t       name[NCR_LEDGER_DIMS];
} ncr_ledger_dim_t;


typedef enum {
    NCR_LEDGER_SQL_BEGIN = 0,
    NCR_LEDGER_SQL_BEGIN_WRITE,
    NCR_LEDGER_SQL_COMMIT,
    NCR_LEDGER_SQL_META,
    NCR_LEDGER_SQL_META_PUT,
    NCR_LEDGER_SQL_RING,
    NCR_LEDGER_SQL_RING_PUT,
    NCR_LEDGER_SQL_NAMES,
    NCR_LEDGER_SQL_NAME_PUT,
    NCR_LEDGER_SQL_DIMS,
    NCR_LEDGER_SQL_DIM_PUT,
    NCR_LEDGER_SQL_ROW_PUT,
    NCR_LEDGER_SQL_MINUTE_PUT,
    NCR_LEDGER_SQL_HOUR_PUT,
    NCR_LEDGER_SQL_DAY_PUT,
    NCR_LEDGER_SQL_MINUTES,
    NCR_LEDGER_SQL_HOURS,
    NCR_LEDGER_SQL_DAYS,
    NCR_LEDGER_SQL_ROWS_SUM,
    NCR_LEDGER_SQL_DAY_NEXT,
    NCR_LEDGER_SQL_EXTENT,
    NCR_LEDGER_SQL_COUNTER,
    NCR_LEDGER_SQL_COUNTER_PUT,
    NCR_LEDGER_SQL_COUNTERS,
    NCR_LEDGER_SQL_ROW,
    NCR_LEDGER_SQL_ROW_NUMBERS,
    NCR_LEDGER_SQL_ID_ROWS,
    NCR_LEDGER_SQL_DIM_ROWS,
    NCR_LEDGER_SQL_DIM_ROWS_UP,
    NCR_LEDGER_SQL_SCAN,
    NCR_LEDGER_SQL_SCAN_UP,
    NCR_LEDGER_SQL_FAILED,
    NCR_LEDGER_SQL_FAILED_UP,
    NCR_LEDGER_SQL_RERATE,
    NCR_LEDGER_SQL_RERATE_PUT,
    NCR_LEDGER_SQL_MINUTE_RERATE,
    NCR_LEDGER_SQL_HOUR_RERATE,
    NCR_LEDGER_SQL_DAY_RERATE,
    NCR_LEDGER_SQL_DAY_RERATE_OTHER,
    NCR_LEDGER_SQL_EXPIRE_ROWS,
    NCR_LEDGER_SQL_EXPIRE_MINUTES,
    NCR_LEDGER_SQL_EXPIRE_HOURS,
    NCR_LEDGER_SQL_EXPIRE_DAYS,
    NCR_LEDGER_SQL_EXPIRE_COUNTERS,
    NCR_LEDGER_SQL_EXPIRE_RINGS,
    NCR_LEDGER_SQL_N
} ncr_ledger_sql_e;


struct ncr_ledger_s {
    sqlite3            *db;
    sqlite3_stmt       *stmts[NCR_LEDGER_SQL_N];

    char               *path;           /* as it was given */
    char               *real;
    const ncr_tz_t     *tz;
    pid_t               pid;
    dev_t               dev;
    ino_t               ino;

    ncr_ledger_hash_t   names;
    ncr_ledger_hash_t   dims;
    ncr_uint_t          nnames;         /* before this transaction */
    ncr_uint_t          ndims;
    ncr_uint_t          kinds[NCR_LEDGER_KINDS];

    unsigned            readonly:1;

    char                error[NCR_LEDGER_ERROR];
};


/* ncr_ledger.c */

ncr_int_t ncr_ledger_fail(ncr_ledger_t *ledger);
ncr_int_t ncr_ledger_say(ncr_ledger_t *ledger, const char *text);
sqlite3_stmt *ncr_ledger_stmt(ncr_ledger_t *ledger, ncr_ledger_sql_e sql);
ncr_int_t ncr_ledger_run(ncr_ledger_t *ledger, sqlite3_stmt *stmt);
ncr_int_t ncr_ledger_exec(ncr_ledger_t *ledger, const char *sql);

/* NCR_OK: *value; NCR_DECLINED: there is none */
ncr_int_t ncr_ledger_number(ncr_ledger_t *ledger, sqlite3_stmt *stmt,
    int64_t *value);
ncr_int_t ncr_ledger_meta(ncr_ledger_t *ledger, const char *name,
    int64_t *value);
ncr_int_t ncr_ledger_meta_put(ncr_ledger_t *ledger, const char *name,
    int64_t value);

/* up to when what is older is gone, by level */
ncr_int_t ncr_ledger_kept(ncr_ledger_t *ledger, ncr_msec_t *kept);
extern const char *const  ncr_ledger_levels[];

/* as those of the store; with the caches complete */
ncr_int_t ncr_ledger_read(ncr_ledger_t *ledger);
ncr_int_t ncr_ledger_read_end(ncr_ledger_t *ledger, ncr_int_t rc);
ncr_int_t ncr_ledger_write(ncr_ledger_t *ledger);
ncr_int_t ncr_ledger_write_end(ncr_ledger_t *ledger, ncr_int_t rc);


/* ncr_ledger_schema.c */

extern const int  ncr_ledger_version;

ncr_int_t ncr_ledger_make(ncr_ledger_t *ledger);
ncr_int_t ncr_ledger_probe(ncr_ledger_t *ledger);
ncr_int_t ncr_ledger_migrate(ncr_ledger_t *ledger);


/* ncr_ledger_names.c */

ncr_int_t ncr_ledger_names_load(ncr_ledger_t *ledger);
void ncr_ledger_names_cut(ncr_ledger_t *ledger, ncr_uint_t nnames,
    ncr_uint_t ndims);
void ncr_ledger_names_free(ncr_ledger_t *ledger);

/* its id, made in the transaction that is open; -1: see the error */
int64_t ncr_ledger_name(ncr_ledger_t *ledger, ncr_ledger_kind_e kind,
    ncr_str_t *text);
int64_t ncr_ledger_dim(ncr_ledger_t *ledger, ncr_record_t *rec);

/* the text of an id, "" for 0 and for what is not known */
ncr_str_t ncr_ledger_text(ncr_ledger_t *ledger, int64_t id);
const ncr_ledger_dim_t *ncr_ledger_dim_of(ncr_ledger_t *ledger, int64_t id);


/* ncr_ledger_rows.c */

/* columns of a row as ncr_ledger_row_read() wants them */
#define NCR_LEDGER_ROW                                                        \
    "number, time, dim, key_id, owner, id, provider_id, op, dialect, model,"  \
    " stop, class, client, session, sticky, price, trail, status, attempts,"  \
    " duration, ttft, own, flags, tier, permille, rate, input, output,"       \
    " cache_read, cache_write, cache_write_5m, cache_write_1h, thinking,"     \
    " web_searches, web_fetches, cost, rated, nparts, parts"
#define NCR_LEDGER_NROW  39

ncr_int_t ncr_ledger_row_put(ncr_ledger_t *ledger, int64_t number,
    int64_t dim, ncr_record_t *rec);
void ncr_ledger_row_read(ncr_ledger_t *ledger, sqlite3_stmt *stmt,
    ncr_record_t *rec);

/* which dimensions a query is about: a byte each, malloc()ed, by id */
ncr_int_t ncr_ledger_filter(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    char **wanted, ncr_uint_t *n);


#endif /* _NCR_LEDGER_INT_H_INCLUDED_ */
