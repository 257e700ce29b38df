
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * From the ring into the books.  Sums and counters of a batch are added up
 * in memory first, so that a batch costs a row for each record and few
 * others; the ring's position is written in the same transaction.
 */


#include "ncr_ledger_int.h"


/* a row of one of the sums */

typedef struct {
    int64_t              level;
    int64_t              start;
    int64_t              until;
    int64_t              dim;
    ncr_ledger_values_t  values;
} ncr_ledger_sum_row_t;


typedef struct {
    int64_t              id;
    ncr_msec_t           start;
    ncr_msec_t           end;
    int64_t              used;
    unsigned             set:1;
} ncr_ledger_count_t;


typedef struct {
    ncr_ledger_t        *ledger;
    ncr_ledger_hash_t    sums;
    ncr_ledger_hash_t    counts;
    int64_t              number;        /* of the last row */
    ncr_msec_t           time;          /* of the newest record */
    uint64_t             lost;

    ncr_msec_t           day_start;     /* of the last record */
    ncr_msec_t           day_end;
} ncr_ledger_batch_t;


static ncr_int_t ncr_ledger_drain_piece(ncr_ledger_t *ledger,
    ncr_ring_t *ring, ncr_uint_t max, ncr_uint_t *n, uint64_t *pos,
    uint64_t *lost);
static ncr_int_t ncr_ledger_take(ncr_ledger_batch_t *b, ncr_str_t *data);
static ncr_int_t ncr_ledger_take_row(ncr_ledger_batch_t *b,
    ncr_record_t *rec);
static void ncr_ledger_bound(ncr_record_t *rec);
static ncr_int_t ncr_ledger_add(ncr_ledger_batch_t *b,
    ncr_ledger_level_e level, ncr_msec_t start, ncr_msec_t until,
    int64_t dim, ncr_record_t *rec);
static ncr_int_t ncr_ledger_charge(ncr_ledger_batch_t *b,
    ncr_charge_t *charge);
static void ncr_ledger_count(ncr_ledger_count_t *c, ncr_msec_t start,
    ncr_msec_t end, int64_t amount);
static ncr_int_t ncr_ledger_flush(ncr_ledger_batch_t *b);
static ncr_int_t ncr_ledger_flush_sum(ncr_ledger_t *ledger,
    ncr_ledger_sum_row_t *row);
static ncr_int_t ncr_ledger_flush_count(ncr_ledger_t *ledger,
    ncr_ledger_count_t *c);
static ncr_int_t ncr_ledger_position(ncr_ledger_t *ledger, uint64_t ring,
    int64_t *seq);
static ncr_int_t ncr_ledger_position_put(ncr_ledger_t *ledger, uint64_t ring,
    uint64_t seq, ncr_msec_t used);


ncr_int_t
ncr_ledger_drain(ncr_ledger_t *ledger, ncr_ring_t *ring, ncr_uint_t max,
    ncr_uint_t *n)
{
    uint64_t   pos, lost;
    ncr_int_t  rc;

    *n = 0;
    lost = 0;
    pos = ring->tail;

    rc = ncr_ledger_write(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_ledger_drain_piece(ledger, ring, max, n, &pos, &lost);
    rc = ncr_ledger_write_end(ledger, rc);

    if (rc == NCR_OK) {
        ncr_ring_drained(ring, pos);

        if (lost) {
            (void) __atomic_fetch_add(&ring->lost, lost, __ATOMIC_RELAXED);
        }

    } else {
        *n = 0;
    }

    return rc;
}


static ncr_int_t
ncr_ledger_drain_piece(ncr_ledger_t *ledger, ncr_ring_t *ring,
    ncr_uint_t max, ncr_uint_t *n, uint64_t *pos, uint64_t *lost)
{
    int64_t             last, number;
    uint64_t            seq, at;
    ncr_int_t           rc, next;
    ncr_str_t           data;
    ncr_ledger_batch_t  b;

    number = 0;

    rc = ncr_ledger_position(ledger, ring->id, &last);

    if (rc == NCR_OK) {
        rc = ncr_ledger_meta(ledger, "number", &number);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    memset(&b, 0, sizeof(ncr_ledger_batch_t));

    b.ledger = ledger;
    b.number = number;

    ncr_ledger_hash_init(&b.sums, sizeof(ncr_ledger_sum_row_t), 4);
    ncr_ledger_hash_init(&b.counts, sizeof(ncr_ledger_count_t), 1);

    seq = (uint64_t) last;

    while (*n < max) {

        next = ncr_ring_next(ring, pos, &at, &data);

        if (next == NCR_DECLINED) {
            break;
        }

        if (next == NCR_BAD) {

            /* the memory was damaged; nobody can tell where one begins */

            b.lost++;
            *pos = ring->head;
            break;
        }

        if (at <= (uint64_t) last) {
            continue;
        }

        rc = ncr_ledger_take(&b, &data);

        if (rc != NCR_OK) {
            break;
        }

        seq = at;
        (*n)++;
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_flush(&b);
    }

    if (rc == NCR_OK && b.number != number) {
        rc = ncr_ledger_meta_put(ledger, "number", b.number);
    }

    if (rc == NCR_OK && seq != (uint64_t) last) {
        rc = ncr_ledger_position_put(ledger, ring->id, seq, b.time);
    }

    *lost = b.lost;

    ncr_ledger_hash_free(&b.sums);
    ncr_ledger_hash_free(&b.counts);

    return rc;
}


static ncr_int_t
ncr_ledger_take(ncr_ledger_batch_t *b, ncr_str_t *data)
{
    ncr_int_t     rc;
    ncr_uint_t    i;
    ncr_record_t  rec;

    if (ncr_record_unpack(&rec, data) != NCR_OK
        || rec.time < 0 || rec.time >= NCR_LEDGER_EVER)
    {
        b->lost++;
        return NCR_OK;
    }

    ncr_ledger_bound(&rec);

    b->time = ncr_max(b->time, rec.time);

    if (rec.kind == NCR_RECORD_REQUEST) {

        rc = ncr_ledger_take_row(b, &rec);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    for (i = 0; i < rec.ncharges; i++) {

        rc = ncr_ledger_charge(b, &rec.charges[i]);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_take_row(ncr_ledger_batch_t *b, ncr_record_t *rec)
{
    int64_t     dim;
    ncr_int_t   rc;
    ncr_msec_t  start;

    dim = ncr_ledger_dim(b->ledger, rec);

    if (dim == -1) {
        return NCR_ERROR;
    }

    rc = ncr_ledger_row_put(b->ledger, ++b->number, dim, rec);

    if (rc == NCR_OK) {
        start = rec->time - rec->time % NCR_LEDGER_MINUTE;
        rc = ncr_ledger_add(b, NCR_LEDGER_MINUTES, start,
                            start + NCR_LEDGER_MINUTE, dim, rec);
    }

    if (rc == NCR_OK) {
        start = rec->time - rec->time % NCR_LEDGER_HOUR;
        rc = ncr_ledger_add(b, NCR_LEDGER_HOURS, start,
                            start + NCR_LEDGER_HOUR, dim, rec);
    }

    if (rc == NCR_OK) {

        if (rec->time < b->day_start || rec->time >= b->day_end) {
            ncr_tz_span(b->ledger->tz, NCR_SPAN_DAY, 1, 0, rec->time,
                        &b->day_start, &b->day_end);
        }

        rc = ncr_ledger_add(b, NCR_LEDGER_DAYS, b->day_start, b->day_end, dim,
                            rec);
    }

    return rc;
}


static void
ncr_ledger_bound(ncr_record_t *rec)
{
    ncr_usage_t  *u;

    u = &rec->usage;

    u->input = ncr_min(u->input, NCR_LEDGER_TOKENS);
    u->output = ncr_min(u->output, NCR_LEDGER_TOKENS);
    u->cache_read = ncr_min(u->cache_read, NCR_LEDGER_TOKENS);
    u->cache_write = ncr_min(u->cache_write, NCR_LEDGER_TOKENS);
    u->cache_write_5m = ncr_min(u->cache_write_5m, NCR_LEDGER_TOKENS);
    u->cache_write_1h = ncr_min(u->cache_write_1h, NCR_LEDGER_TOKENS);
    u->thinking = ncr_min(u->thinking, NCR_LEDGER_TOKENS);
    u->web_searches = ncr_min(u->web_searches, NCR_LEDGER_TOKENS);
    u->web_fetches = ncr_min(u->web_fetches, NCR_LEDGER_TOKENS);

    rec->cost = ncr_min(rec->cost, NCR_LEDGER_MONEY);
    rec->rated = ncr_min(rec->rated, NCR_LEDGER_MONEY);
}


static ncr_int_t
ncr_ledger_add(ncr_ledger_batch_t *b, ncr_ledger_level_e level,
    ncr_msec_t start, ncr_msec_t until, int64_t dim, ncr_record_t *rec)
{
    int64_t                key[4], *n;
    ncr_usage_t           *u;
    ncr_ledger_sum_row_t  *row;

    key[0] = level;
    key[1] = start;
    key[2] = until;
    key[3] = dim;

    row = ncr_ledger_hash_get(&b->sums, key);

    if (row == NULL) {
        return ncr_ledger_say(b->ledger, "cannot be written: out of memory");
    }

    n = row->values.n;
    u = &rec->usage;

    n[0]++;
    n[1] += (rec->status >= 400);
    n[2] += (rec->flags & NCR_RECORD_REFUSED) != 0;
    n[3] += (rec->flags & NCR_RECORD_UNPRICED) != 0;
    n[4] += (rec->flags & NCR_RECORD_ESTIMATED) != 0;
    n[5] += (int64_t) u->input;
    n[6] += (int64_t) u->output;
    n[7] += (int64_t) u->cache_read;
    n[8] += (int64_t) u->cache_write;
    n[9] += (int64_t) u->cache_write_5m;
    n[10] += (int64_t) u->cache_write_1h;
    n[11] += (int64_t) u->thinking;
    n[12] += (int64_t) u->web_searches;
    n[13] += (int64_t) u->web_fetches;
    n[14] += (int64_t) rec->cost;
    n[15] += (int64_t) rec->rated;
    n[16] += rec->duration;

    if (rec->ttft != UINT32_MAX) {
        n[17] += rec->ttft;
        n[18]++;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_charge(ncr_ledger_batch_t *b, ncr_charge_t *charge)
{
    int64_t              key;
    ncr_ledger_count_t  *c;

    key = (int64_t) charge->counter;

    c = ncr_ledger_hash_find(&b->counts, &key);

    if (c == NULL) {

        c = ncr_ledger_hash_get(&b->counts, &key);

        if (c == NULL) {
            return ncr_ledger_say(b->ledger, "cannot be written: out of"
                                  " memory");
        }
    }

    ncr_ledger_count(c, charge->start, charge->end, charge->amount);

    return NCR_OK;
}


/* a window that is over stays over, whoever comes late with it */

static void
ncr_ledger_count(ncr_ledger_count_t *c, ncr_msec_t start, ncr_msec_t end,
    int64_t amount)
{
    if (c->set && start < c->start) {
        return;
    }

    if (!c->set || start > c->start) {
        c->set = 1;
        c->start = start;
        c->used = 0;
    }

    c->end = end;

    if (amount > 0 && c->used > INT64_MAX - amount) {
        c->used = INT64_MAX;

    } else if (amount < 0 && c->used < INT64_MIN - amount) {
        c->used = INT64_MIN;

    } else {
        c->used += amount;
    }
}


static ncr_int_t
ncr_ledger_flush(ncr_ledger_batch_t *b)
{
    ncr_int_t   rc;
    ncr_uint_t  i;

    for (i = 0; i < b->sums.n; i++) {

        rc = ncr_ledger_flush_sum(b->ledger,
                                  ncr_ledger_hash_entry(&b->sums, i));

        if (rc != NCR_OK) {
            return rc;
        }
    }

    for (i = 0; i < b->counts.n; i++) {

        rc = ncr_ledger_flush_count(b->ledger,
                                    ncr_ledger_hash_entry(&b->counts, i));

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_flush_sum(ncr_ledger_t *ledger, ncr_ledger_sum_row_t *row)
{
    int            i;
    sqlite3_stmt  *stmt;

    static const ncr_ledger_sql_e  sqls[] = {
        NCR_LEDGER_SQL_MINUTE_PUT,
        NCR_LEDGER_SQL_HOUR_PUT,
        NCR_LEDGER_SQL_DAY_PUT
    };

    stmt = ncr_ledger_stmt(ledger, sqls[row->level]);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, row->start);
    sqlite3_bind_int64(stmt, 2, row->until);
    sqlite3_bind_int64(stmt, 3, row->dim);

    for (i = 0; i < NCR_LEDGER_NSUMS; i++) {
        sqlite3_bind_int64(stmt, i + 4, row->values.n[i]);
    }

    return ncr_ledger_run(ledger, stmt);
}


static ncr_int_t
ncr_ledger_flush_count(ncr_ledger_t *ledger, ncr_ledger_count_t *c)
{
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_ledger_count_t   sum;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_COUNTER);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, c->id);

    memset(&sum, 0, sizeof(ncr_ledger_count_t));

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        sum.set = 1;
        sum.start = sqlite3_column_int64(stmt, 0);
        sum.end = sqlite3_column_int64(stmt, 1);
        sum.used = sqlite3_column_int64(stmt, 2);
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = NCR_OK;
        break;

    default:
        rc = ncr_ledger_fail(ledger);
        break;
    }

    sqlite3_reset(stmt);

    if (rc != NCR_OK) {
        return rc;
    }

    ncr_ledger_count(&sum, c->start, c->end, c->used);

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_COUNTER_PUT);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, c->id);
    sqlite3_bind_int64(stmt, 2, sum.start);
    sqlite3_bind_int64(stmt, 3, sum.end);
    sqlite3_bind_int64(stmt, 4, ncr_max(sum.used, 0));

    return ncr_ledger_run(ledger, stmt);
}


static ncr_int_t
ncr_ledger_position(ncr_ledger_t *ledger, uint64_t ring, int64_t *seq)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_RING);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ring);

    *seq = 0;
    rc = ncr_ledger_number(ledger, stmt, seq);

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


static ncr_int_t
ncr_ledger_position_put(ncr_ledger_t *ledger, uint64_t ring, uint64_t seq,
    ncr_msec_t used)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_RING_PUT);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ring);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) seq);
    sqlite3_bind_int64(stmt, 3, used);

    return ncr_ledger_run(ledger, stmt);
}


ncr_int_t
ncr_ledger_counters(ncr_ledger_t *ledger, ncr_msec_t now,
    ncr_ledger_counter_pt handler, void *data)
{
    int             err;
    ncr_int_t       rc;
    sqlite3_stmt   *stmt;
    ncr_counter_t   counter;

    rc = ncr_ledger_read(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_COUNTERS);

    if (stmt == NULL) {
        return ncr_ledger_read_end(ledger, ncr_ledger_fail(ledger));
    }

    sqlite3_bind_int64(stmt, 1, now);

    while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {

        counter.id = (uint64_t) sqlite3_column_int64(stmt, 0);
        counter.start = sqlite3_column_int64(stmt, 1);
        counter.end = sqlite3_column_int64(stmt, 2);
        counter.used = (uint64_t) sqlite3_column_int64(stmt, 3);
        counter.reserved = 0;

        rc = handler(data, &counter);

        if (rc != NCR_OK) {
            return ncr_ledger_read_end(ledger, rc);
        }
    }

    rc = (err == SQLITE_DONE) ? NCR_OK : ncr_ledger_fail(ledger);

    return ncr_ledger_read_end(ledger, rc);
}
