
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is too old goes; what was priced by another table is priced anew. */


#include "ncr_ledger_int.h"


/* rows of each kind that are deleted at once */
#define NCR_LEDGER_EXPIRE   2000

/* windows that are over, and rings that nobody has any more; ms */
#define NCR_LEDGER_OVER     ((ncr_msec_t) 24 * NCR_LEDGER_HOUR)
#define NCR_LEDGER_UNUSED   ((ncr_msec_t) 90 * 24 * NCR_LEDGER_HOUR)


typedef struct {
    ncr_ledger_t         *ledger;
    const ncr_prices_t   *prices;
    ncr_ledger_rerate_t  *job;
    int64_t               version;
} ncr_ledger_rating_t;


static ncr_int_t ncr_ledger_expire_level(ncr_ledger_t *ledger,
    ncr_ledger_level_e level, ncr_msec_t before, ncr_uint_t *more);
static ncr_int_t ncr_ledger_delete(ncr_ledger_t *ledger, ncr_ledger_sql_e sql,
    ncr_msec_t before, ncr_uint_t *more);
static ncr_int_t ncr_ledger_rerate_begin(ncr_ledger_t *ledger,
    ncr_ledger_rerate_t *job);
static ncr_int_t ncr_ledger_rerate_piece(ncr_ledger_rating_t *r,
    ncr_uint_t max, ncr_uint_t *n);
static ncr_int_t ncr_ledger_rerate_row(ncr_ledger_rating_t *r,
    int64_t number, int64_t dim, ncr_record_t *rec);
static ncr_int_t ncr_ledger_rerate_sums(ncr_ledger_t *ledger, int64_t dim,
    ncr_msec_t time, int64_t *delta);
static ncr_int_t ncr_ledger_rerate_sum(ncr_ledger_t *ledger,
    ncr_ledger_sql_e sql, ncr_msec_t start, int64_t dim, ncr_msec_t until,
    int64_t *delta);


ncr_int_t
ncr_ledger_expire(ncr_ledger_t *ledger, ncr_ledger_keep_t *keep,
    ncr_msec_t now)
{
    ncr_int_t   rc;
    ncr_uint_t  i, more;
    ncr_msec_t  ms[NCR_LEDGER_LEVELS];

    ms[NCR_LEDGER_ROWS] = keep->rows;
    ms[NCR_LEDGER_MINUTES] = keep->minutes;
    ms[NCR_LEDGER_HOURS] = keep->hours;
    ms[NCR_LEDGER_DAYS] = keep->days;

    rc = ncr_ledger_write(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    more = 0;

    for (i = 0; i < NCR_LEDGER_LEVELS && rc == NCR_OK; i++) {
        if (ms[i] && ms[i] < now) {
            rc = ncr_ledger_expire_level(ledger, (ncr_ledger_level_e) i,
                                         now - ms[i], &more);
        }
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_delete(ledger, NCR_LEDGER_SQL_EXPIRE_COUNTERS,
                               now - NCR_LEDGER_OVER, &more);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_delete(ledger, NCR_LEDGER_SQL_EXPIRE_RINGS,
                               now - NCR_LEDGER_UNUSED, &more);
    }

    rc = ncr_ledger_write_end(ledger, rc);

    return (rc == NCR_OK && more) ? NCR_AGAIN : rc;
}


/* from the first piece on nobody counts on what is going to be deleted */

static ncr_int_t
ncr_ledger_expire_level(ncr_ledger_t *ledger, ncr_ledger_level_e level,
    ncr_msec_t before, ncr_uint_t *more)
{
    ncr_int_t   rc;
    ncr_msec_t  kept, start, end;

    static const ncr_ledger_sql_e  sqls[] = {
        NCR_LEDGER_SQL_EXPIRE_MINUTES,
        NCR_LEDGER_SQL_EXPIRE_HOURS,
        NCR_LEDGER_SQL_EXPIRE_DAYS,
        NCR_LEDGER_SQL_EXPIRE_ROWS
    };

    switch (level) {

    case NCR_LEDGER_MINUTES:
        before -= before % NCR_LEDGER_MINUTE;
        break;

    case NCR_LEDGER_HOURS:
        before -= before % NCR_LEDGER_HOUR;
        break;

    case NCR_LEDGER_DAYS:
        ncr_tz_span(ledger->tz, NCR_SPAN_DAY, 1, 0, before, &start, &end);
        before = start;
        break;

    default:
        break;
    }

    rc = ncr_ledger_meta(ledger, ncr_ledger_levels[level], &kept);

    if (rc == NCR_OK && before > kept) {
        rc = ncr_ledger_meta_put(ledger, ncr_ledger_levels[level], before);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_delete(ledger, sqls[level], before, more);
    }

    return rc;
}


static ncr_int_t
ncr_ledger_delete(ncr_ledger_t *ledger, ncr_ledger_sql_e sql,
    ncr_msec_t before, ncr_uint_t *more)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, sql);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, before);
    sqlite3_bind_int64(stmt, 2, NCR_LEDGER_EXPIRE);

    rc = ncr_ledger_run(ledger, stmt);

    if (rc == NCR_OK && sqlite3_changes(ledger->db) == NCR_LEDGER_EXPIRE) {
        *more = 1;
    }

    return rc;
}


ncr_int_t
ncr_ledger_rerate(ncr_ledger_t *ledger, const ncr_prices_t *prices,
    ncr_ledger_rerate_t *job, ncr_uint_t max)
{
    ncr_int_t            rc;
    ncr_str_t            version;
    ncr_uint_t           n;
    ncr_ledger_rating_t  r;
    ncr_ledger_rerate_t  before;

    before = *job;

    rc = ncr_ledger_write(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    n = 0;

    if (job->row == 0) {
        rc = ncr_ledger_rerate_begin(ledger, job);
    }

    if (rc == NCR_OK && job->row < job->last) {

        version.data = (ncr_char_t *) (uintptr_t) prices->version;
        version.len = strlen(prices->version);

        r.ledger = ledger;
        r.prices = prices;
        r.job = job;
        r.version = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &version);

        rc = (r.version == -1) ? NCR_ERROR
                               : ncr_ledger_rerate_piece(&r, max, &n);
    }

    rc = ncr_ledger_write_end(ledger, rc);

    if (rc != NCR_OK) {
        *job = before;
        return rc;
    }

    return (n == max) ? NCR_AGAIN : NCR_OK;
}


/* what comes in later has the new prices already */

static ncr_int_t
ncr_ledger_rerate_begin(ncr_ledger_t *ledger, ncr_ledger_rerate_t *job)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_ROW_NUMBERS);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, job->from);
    sqlite3_bind_int64(stmt, 2, job->until ? job->until : NCR_LEDGER_EVER);

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        return ncr_ledger_fail(ledger);
    }

    job->last = 0;

    if (sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
        job->row = (uint64_t) sqlite3_column_int64(stmt, 0) - 1;
        job->last = (uint64_t) sqlite3_column_int64(stmt, 1);
    }

    sqlite3_reset(stmt);

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_rerate_piece(ncr_ledger_rating_t *r, ncr_uint_t max,
    ncr_uint_t *n)
{
    int                   err;
    int64_t               number, dim;
    ncr_int_t             rc;
    ncr_record_t          rec;
    sqlite3_stmt         *stmt;
    ncr_ledger_rerate_t  *job;

    job = r->job;
    stmt = ncr_ledger_stmt(r->ledger, NCR_LEDGER_SQL_RERATE);

    if (stmt == NULL) {
        return ncr_ledger_fail(r->ledger);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) job->row);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) job->last);
    sqlite3_bind_int64(stmt, 3, job->from);
    sqlite3_bind_int64(stmt, 4, job->until ? job->until : NCR_LEDGER_EVER);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64) max);

    while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {

        number = sqlite3_column_int64(stmt, 0);
        dim = sqlite3_column_int64(stmt, 2);

        ncr_ledger_row_read(r->ledger, stmt, &rec);

        rc = ncr_ledger_rerate_row(r, number, dim, &rec);

        if (rc != NCR_OK) {
            sqlite3_reset(stmt);
            return rc;
        }

        job->row = (uint64_t) number;
        job->rows++;
        (*n)++;
    }

    sqlite3_reset(stmt);

    return (err == SQLITE_DONE) ? NCR_OK : ncr_ledger_fail(r->ledger);
}


static ncr_int_t
ncr_ledger_rerate_row(ncr_ledger_rating_t *r, int64_t number, int64_t dim,
    ncr_record_t *rec)
{
    int64_t         delta[3];
    uint64_t        cost, rated;
    uint32_t        flags;
    ncr_int_t       rc;
    ncr_str_t       version;
    ncr_bill_t      bill;
    sqlite3_stmt   *stmt;

    if (rec->nparts == 0) {
        return NCR_OK;
    }

    bill.time = rec->time;
    bill.tier = (ncr_tier_e) rec->tier;
    bill.permille = rec->permille;
    bill.parts = rec->parts;
    bill.nparts = rec->nparts;
    bill.rows = NULL;

    flags = rec->flags & ~(uint32_t) NCR_RECORD_UNPRICED;

    if (ncr_price_bill(r->prices, &bill, &cost) != NCR_OK) {
        flags |= NCR_RECORD_UNPRICED;
        r->job->unpriced++;
    }

    cost = ncr_min(cost, NCR_LEDGER_MONEY);
    rated = ncr_min(cost * (rec->rate ? rec->rate : 1000) / 1000,
                    NCR_LEDGER_MONEY);

    version.data = (ncr_char_t *) (uintptr_t) r->prices->version;
    version.len = strlen(r->prices->version);

    if (cost == rec->cost && rated == rec->rated && flags == rec->flags
        && rec->price.len == version.len
        && memcmp(rec->price.data, version.data, version.len) == 0)
    {
        return NCR_OK;
    }

    delta[0] = (int64_t) cost - (int64_t) rec->cost;
    delta[1] = (int64_t) rated - (int64_t) rec->rated;
    delta[2] = (int64_t) ((flags & NCR_RECORD_UNPRICED) != 0)
               - (int64_t) ((rec->flags & NCR_RECORD_UNPRICED) != 0);

    stmt = ncr_ledger_stmt(r->ledger, NCR_LEDGER_SQL_RERATE_PUT);

    if (stmt == NULL) {
        return ncr_ledger_fail(r->ledger);
    }

    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) cost);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) rated);
    sqlite3_bind_int64(stmt, 4, delta[2]);
    sqlite3_bind_int64(stmt, 5, r->version);

    rc = ncr_ledger_run(r->ledger, stmt);

    if (rc != NCR_OK || (delta[0] == 0 && delta[1] == 0 && delta[2] == 0)) {
        return rc;
    }

    r->job->changed++;
    r->job->difference += delta[0];

    return ncr_ledger_rerate_sums(r->ledger, dim, rec->time, delta);
}


/* sums that were deleted are not there to be changed */

static ncr_int_t
ncr_ledger_rerate_sums(ncr_ledger_t *ledger, int64_t dim, ncr_msec_t time,
    int64_t *delta)
{
    ncr_int_t   rc;
    ncr_msec_t  start, end;

    start = time - time % NCR_LEDGER_MINUTE;
    rc = ncr_ledger_rerate_sum(ledger, NCR_LEDGER_SQL_MINUTE_RERATE, start,
                               dim, start + NCR_LEDGER_MINUTE, delta);

    if (rc == NCR_OK) {
        start = time - time % NCR_LEDGER_HOUR;
        rc = ncr_ledger_rerate_sum(ledger, NCR_LEDGER_SQL_HOUR_RERATE, start,
                                   dim, start + NCR_LEDGER_HOUR, delta);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    ncr_tz_span(ledger->tz, NCR_SPAN_DAY, 1, 0, time, &start, &end);

    rc = ncr_ledger_rerate_sum(ledger, NCR_LEDGER_SQL_DAY_RERATE, start, dim,
                               end, delta);

    if (rc == NCR_OK && sqlite3_changes(ledger->db) == 0) {

        /* the day of another zone, which was the ledger's then */

        rc = ncr_ledger_rerate_sum(ledger, NCR_LEDGER_SQL_DAY_RERATE_OTHER, 1,
                                   dim, time, delta);
    }

    return rc;
}


static ncr_int_t
ncr_ledger_rerate_sum(ncr_ledger_t *ledger, ncr_ledger_sql_e sql,
    ncr_msec_t start, int64_t dim, ncr_msec_t until, int64_t *delta)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, sql);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, start);
    sqlite3_bind_int64(stmt, 2, dim);
    sqlite3_bind_int64(stmt, 3, until);
    sqlite3_bind_int64(stmt, 4, delta[0]);
    sqlite3_bind_int64(stmt, 5, delta[1]);
    sqlite3_bind_int64(stmt, 6, delta[2]);

    return ncr_ledger_run(ledger, stmt);
}
