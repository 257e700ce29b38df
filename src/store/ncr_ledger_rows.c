
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* One row for each record: written, read, and found by number. */


#include "ncr_ledger_int.h"


/* in the column "flags" only: no answer has told a model */
#define NCR_LEDGER_NOT_SERVED  0x10000

/* more dimensions than that are not looked up one by one */
#define NCR_LEDGER_MERGE       256


typedef struct {
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t  *query;
    char                *wanted;        /* NULL: all */
    ncr_uint_t           limit;
    int64_t              low;           /* both exclusive */
    int64_t              high;
    int64_t             *numbers;
    ncr_uint_t           n;
    ncr_uint_t           alloc;
} ncr_ledger_search_t;


static ncr_uint_t ncr_ledger_same_text(ncr_str_t *a, ncr_str_t *b);
static void ncr_ledger_bind_text(sqlite3_stmt *stmt, int column,
    ncr_str_t *s);
static ncr_str_t ncr_ledger_column(sqlite3_stmt *stmt, int column);
static ncr_int_t ncr_ledger_bounds(ncr_ledger_search_t *s);
static ncr_int_t ncr_ledger_search(ncr_ledger_search_t *s);
static ncr_int_t ncr_ledger_search_dims(ncr_ledger_search_t *s);
static ncr_int_t ncr_ledger_scan(ncr_ledger_search_t *s,
    sqlite3_stmt *stmt);
static ncr_int_t ncr_ledger_found(ncr_ledger_search_t *s, int64_t number);
static ncr_int_t ncr_ledger_give(ncr_ledger_search_t *s,
    ncr_ledger_row_pt handler, void *data);
static int ncr_ledger_rising(const void *a, const void *b);
static int ncr_ledger_falling(const void *a, const void *b);


ncr_int_t
ncr_ledger_row_put(ncr_ledger_t *ledger, int64_t number, int64_t dim,
    ncr_record_t *rec)
{
    int            i, flags;
    int64_t        words[6];
    size_t         len;
    ncr_str_t      model, part;
    ncr_char_t     parts[NCR_RECORD_PARTS_MAX];
    sqlite3_stmt  *stmt;

    words[0] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->op);
    words[1] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->dialect);
    words[2] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->stop);
    words[3] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->class);
    words[4] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->sticky);
    words[5] = ncr_ledger_name(ledger, NCR_LEDGER_WORD, &rec->price);

    for (i = 0; i < 6; i++) {
        if (words[i] == -1) {
            return NCR_ERROR;
        }
    }

    model = ncr_ledger_text(ledger,
                      ncr_ledger_dim_of(ledger, dim)->name[NCR_LEDGER_SERVED]);

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_ROW_PUT);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    flags = (int) (rec->flags & 0xffff);

    if (rec->served.len == 0) {
        flags |= NCR_LEDGER_NOT_SERVED;
    }

    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_int64(stmt, 2, rec->time);
    sqlite3_bind_int64(stmt, 3, dim);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64) rec->key_id);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64) rec->owner);
    sqlite3_bind_text(stmt, 6, rec->id.len ? (char *) rec->id.data : "",
                      (int) rec->id.len, SQLITE_STATIC);
    ncr_ledger_bind_text(stmt, 7, &rec->provider_id);
    sqlite3_bind_int64(stmt, 8, words[0]);
    sqlite3_bind_int64(stmt, 9, words[1]);

    /* what the dimension tells already is not written again */

    if (!ncr_ledger_same_text(&rec->model, &model)) {
        sqlite3_bind_text(stmt, 10, rec->model.len ? (char *) rec->model.data
                                                   : "",
                          (int) rec->model.len, SQLITE_STATIC);
    }

    sqlite3_bind_int64(stmt, 11, words[2]);
    sqlite3_bind_int64(stmt, 12, words[3]);
    ncr_ledger_bind_text(stmt, 13, &rec->client);
    ncr_ledger_bind_text(stmt, 14, &rec->session);
    sqlite3_bind_int64(stmt, 15, words[4]);
    sqlite3_bind_int64(stmt, 16, words[5]);
    ncr_ledger_bind_text(stmt, 17, &rec->trail);
    sqlite3_bind_int64(stmt, 18, rec->status);
    sqlite3_bind_int64(stmt, 19, rec->attempts);
    sqlite3_bind_int64(stmt, 20, rec->duration);

    if (rec->ttft != UINT32_MAX) {
        sqlite3_bind_int64(stmt, 21, rec->ttft);
    }

    sqlite3_bind_int64(stmt, 22, rec->own);
    sqlite3_bind_int64(stmt, 23, flags);
    sqlite3_bind_int64(stmt, 24, rec->tier);
    sqlite3_bind_int64(stmt, 25, rec->permille);
    sqlite3_bind_int64(stmt, 26, rec->rate);
    sqlite3_bind_int64(stmt, 27, (sqlite3_int64) rec->usage.input);
    sqlite3_bind_int64(stmt, 28, (sqlite3_int64) rec->usage.output);
    sqlite3_bind_int64(stmt, 29, (sqlite3_int64) rec->usage.cache_read);
    sqlite3_bind_int64(stmt, 30, (sqlite3_int64) rec->usage.cache_write);
    sqlite3_bind_int64(stmt, 31, (sqlite3_int64) rec->usage.cache_write_5m);
    sqlite3_bind_int64(stmt, 32, (sqlite3_int64) rec->usage.cache_write_1h);
    sqlite3_bind_int64(stmt, 33, (sqlite3_int64) rec->usage.thinking);
    sqlite3_bind_int64(stmt, 34, (sqlite3_int64) rec->usage.web_searches);
    sqlite3_bind_int64(stmt, 35, (sqlite3_int64) rec->usage.web_fetches);
    sqlite3_bind_int64(stmt, 36, (sqlite3_int64) rec->cost);
    sqlite3_bind_int64(stmt, 37, (sqlite3_int64) rec->rated);
    sqlite3_bind_int64(stmt, 38, (sqlite3_int64) rec->nparts);

    part.data = (ncr_char_t *) rec->parts[0].model;
    part.len = strlen(rec->parts[0].model);

    if (rec->nparts > 1
        || (rec->nparts == 1
            && (!ncr_ledger_same_text(&part, &model)
                || memcmp(&rec->usage, &rec->parts[0].usage,
                          sizeof(ncr_usage_t))
                   != 0)))
    {
        len = ncr_record_pack_parts(parts, sizeof(parts), rec);
        sqlite3_bind_blob(stmt, 39, parts, (int) len, SQLITE_STATIC);
    }

    return ncr_ledger_run(ledger, stmt);
}


void
ncr_ledger_row_read(ncr_ledger_t *ledger, sqlite3_stmt *stmt,
    ncr_record_t *rec)
{
    ncr_str_t                packed;
    const ncr_ledger_dim_t  *dim;

    memset(rec, 0, sizeof(ncr_record_t));

    dim = ncr_ledger_dim_of(ledger, sqlite3_column_int64(stmt, 2));

    rec->kind = NCR_RECORD_REQUEST;
    rec->time = sqlite3_column_int64(stmt, 1);
    rec->key_id = (uint64_t) sqlite3_column_int64(stmt, 3);
    rec->owner = (uint64_t) sqlite3_column_int64(stmt, 4);

    rec->key = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_KEY]);
    rec->user = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_USER]);
    rec->group = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_GROUP]);
    rec->account = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_ACCOUNT]);
    rec->platform = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_PLATFORM]);
    rec->served = ncr_ledger_text(ledger, dim->name[NCR_LEDGER_SERVED]);

    rec->id = ncr_ledger_column(stmt, 5);
    rec->provider_id = ncr_ledger_column(stmt, 6);
    rec->op = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 7));
    rec->dialect = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 8));
    rec->model = (sqlite3_column_type(stmt, 9) == SQLITE_NULL)
                 ? rec->served : ncr_ledger_column(stmt, 9);
    rec->stop = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 10));
    rec->class = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 11));
    rec->client = ncr_ledger_column(stmt, 12);
    rec->session = ncr_ledger_column(stmt, 13);
    rec->sticky = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 14));
    rec->price = ncr_ledger_text(ledger, sqlite3_column_int64(stmt, 15));
    rec->trail = ncr_ledger_column(stmt, 16);

    rec->status = (uint32_t) sqlite3_column_int64(stmt, 17);
    rec->attempts = (uint32_t) sqlite3_column_int64(stmt, 18);
    rec->duration = (uint32_t) sqlite3_column_int64(stmt, 19);
    rec->ttft = (sqlite3_column_type(stmt, 20) == SQLITE_NULL)
                ? UINT32_MAX : (uint32_t) sqlite3_column_int64(stmt, 20);
    rec->own = (uint32_t) sqlite3_column_int64(stmt, 21);
    rec->flags = (uint32_t) sqlite3_column_int64(stmt, 22);
    rec->tier = (uint32_t) sqlite3_column_int64(stmt, 23);
    rec->permille = (uint32_t) sqlite3_column_int64(stmt, 24);
    rec->rate = (uint32_t) sqlite3_column_int64(stmt, 25);

    rec->usage.input = (uint64_t) sqlite3_column_int64(stmt, 26);
    rec->usage.output = (uint64_t) sqlite3_column_int64(stmt, 27);
    rec->usage.cache_read = (uint64_t) sqlite3_column_int64(stmt, 28);
    rec->usage.cache_write = (uint64_t) sqlite3_column_int64(stmt, 29);
    rec->usage.cache_write_5m = (uint64_t) sqlite3_column_int64(stmt, 30);
    rec->usage.cache_write_1h = (uint64_t) sqlite3_column_int64(stmt, 31);
    rec->usage.thinking = (uint64_t) sqlite3_column_int64(stmt, 32);
    rec->usage.web_searches = (uint64_t) sqlite3_column_int64(stmt, 33);
    rec->usage.web_fetches = (uint64_t) sqlite3_column_int64(stmt, 34);
    rec->cost = (uint64_t) sqlite3_column_int64(stmt, 35);
    rec->rated = (uint64_t) sqlite3_column_int64(stmt, 36);

    if (sqlite3_column_type(stmt, 38) != SQLITE_NULL) {
        packed.data = (ncr_char_t *) (uintptr_t) sqlite3_column_blob(stmt, 38);
        packed.len = (size_t) sqlite3_column_bytes(stmt, 38);

        (void) ncr_record_unpack_parts(rec, &packed);

    } else if (sqlite3_column_int64(stmt, 37) == 1) {
        rec->nparts = 1;
        rec->parts[0].usage = rec->usage;

        memcpy(rec->parts[0].model, rec->served.data,
               ncr_min(rec->served.len, NCR_MODEL_LEN - 1));
    }

    if (rec->flags & NCR_LEDGER_NOT_SERVED) {
        rec->flags &= ~(uint32_t) NCR_LEDGER_NOT_SERVED;
        rec->served.len = 0;
    }
}


static ncr_uint_t
ncr_ledger_same_text(ncr_str_t *a, ncr_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


static void
ncr_ledger_bind_text(sqlite3_stmt *stmt, int column, ncr_str_t *s)
{
    if (s->len) {
        sqlite3_bind_text(stmt, column, (char *) s->data, (int) s->len,
                          SQLITE_STATIC);
    }
}


static ncr_str_t
ncr_ledger_column(sqlite3_stmt *stmt, int column)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) sqlite3_column_text(stmt, column);
    s.len = (size_t) sqlite3_column_bytes(stmt, column);

    if (s.data == NULL) {
        ncr_str_set(&s, "");
    }

    return s;
}


ncr_int_t
ncr_ledger_filter(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    char **wanted, ncr_uint_t *n)
{
    ncr_str_t                name, pattern;
    ncr_uint_t               i, k, ok;
    const char              *want[NCR_LEDGER_DIMS];
    const ncr_ledger_dim_t  *dim;

    *wanted = NULL;
    *n = ledger->dims.n;

    want[NCR_LEDGER_KEY] = q->key;
    want[NCR_LEDGER_USER] = q->user;
    want[NCR_LEDGER_GROUP] = q->group;
    want[NCR_LEDGER_ACCOUNT] = q->account;
    want[NCR_LEDGER_PLATFORM] = q->platform;
    want[NCR_LEDGER_SERVED] = q->model;

    for (k = 0; k < NCR_LEDGER_DIMS && want[k] == NULL; k++) { /* void */ }

    if (k == NCR_LEDGER_DIMS) {
        return NCR_OK;
    }

    *wanted = calloc(ledger->dims.n + 1, 1);

    if (*wanted == NULL) {
        return ncr_ledger_say(ledger, "cannot be read: out of memory");
    }

    *n = 0;

    for (i = 1; i <= ledger->dims.n; i++) {

        dim = ncr_ledger_dim_of(ledger, (int64_t) i);
        ok = 1;

        for (k = 0; k < NCR_LEDGER_DIMS && ok; k++) {

            if (want[k] == NULL) {
                continue;
            }

            name = ncr_ledger_text(ledger, dim->name[k]);

            pattern.data = (ncr_char_t *) (uintptr_t) want[k];
            pattern.len = strlen(want[k]);

            ok = (k == NCR_LEDGER_SERVED) ? ncr_str_glob(&pattern, &name)
                                          : ncr_ledger_same_text(&pattern,
                                                                 &name);
        }

        (*wanted)[i] = (char) ok;
        *n += ok;
    }

    return NCR_OK;
}


ncr_int_t
ncr_ledger_rows(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    ncr_ledger_row_pt handler, void *data)
{
    ncr_int_t            rc;
    ncr_uint_t           n;
    sqlite3_stmt        *stmt;
    ncr_ledger_search_t  s;

    memset(&s, 0, sizeof(ncr_ledger_search_t));

    s.ledger = ledger;
    s.query = q;
    s.limit = q->limit ? q->limit : 100;

    rc = ncr_ledger_read(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_ledger_filter(ledger, q, &s.wanted, &n);

    if (rc == NCR_OK && n) {

        rc = ncr_ledger_bounds(&s);

        if (rc == NCR_OK && q->id) {

            stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_ID_ROWS);

            if (stmt) {
                sqlite3_bind_text(stmt, 1, q->id, -1, SQLITE_STATIC);
            }

            rc = ncr_ledger_scan(&s, stmt);

        } else if (rc == NCR_OK && s.wanted && n <= NCR_LEDGER_MERGE) {
            rc = ncr_ledger_search_dims(&s);

        } else if (rc == NCR_OK) {
            rc = ncr_ledger_search(&s);
        }
    }

    if (rc == NCR_DECLINED) {
        rc = NCR_OK;
    }

    if (rc == NCR_OK && s.n) {
        rc = ncr_ledger_give(&s, handler, data);
    }

    free(s.wanted);
    free(s.numbers);

    return ncr_ledger_read_end(ledger, rc);
}


/* NCR_DECLINED: there is nothing at that time */

static ncr_int_t
ncr_ledger_bounds(ncr_ledger_search_t *s)
{
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_ledger_query_t  *q;

    q = s->query;

    s->low = -1;
    s->high = INT64_MAX;

    if (q->from > 0 || q->until) {

        stmt = ncr_ledger_stmt(s->ledger, NCR_LEDGER_SQL_ROW_NUMBERS);

        if (stmt == NULL) {
            return ncr_ledger_fail(s->ledger);
        }

        sqlite3_bind_int64(stmt, 1, q->from);
        sqlite3_bind_int64(stmt, 2, q->until ? q->until : NCR_LEDGER_EVER);

        if (sqlite3_step(stmt) != SQLITE_ROW) {
            rc = ncr_ledger_fail(s->ledger);

        } else if (sqlite3_column_type(stmt, 0) == SQLITE_NULL) {
            rc = NCR_DECLINED;

        } else {
            s->low = sqlite3_column_int64(stmt, 0) - 1;
            s->high = sqlite3_column_int64(stmt, 1) + 1;
            rc = NCR_OK;
        }

        sqlite3_reset(stmt);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    if (q->after && q->after < INT64_MAX) {

        if (q->ascending) {
            s->low = ncr_max(s->low, (int64_t) q->after);

        } else {
            s->high = ncr_min(s->high, (int64_t) q->after);
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_search(ncr_ledger_search_t *s)
{
    ncr_uint_t         failed;
    sqlite3_stmt      *stmt;
    ncr_ledger_sql_e   sql;

    failed = (s->query->status >= 400
              || (s->query->status >= 4 && s->query->status < 10));

    if (s->query->ascending) {
        sql = failed ? NCR_LEDGER_SQL_FAILED_UP : NCR_LEDGER_SQL_SCAN_UP;

    } else {
        sql = failed ? NCR_LEDGER_SQL_FAILED : NCR_LEDGER_SQL_SCAN;
    }

    stmt = ncr_ledger_stmt(s->ledger, sql);

    if (stmt) {
        sqlite3_bind_int64(stmt, 1, s->low);
        sqlite3_bind_int64(stmt, 2, s->high);
    }

    return ncr_ledger_scan(s, stmt);
}


/* the nearest of each, and of these the nearest */

static ncr_int_t
ncr_ledger_search_dims(ncr_ledger_search_t *s)
{
    ncr_int_t      rc;
    ncr_uint_t     i, limit;
    sqlite3_stmt  *stmt;

    limit = s->limit;

    for (i = 1; i <= s->ledger->dims.n; i++) {

        if (!s->wanted[i]) {
            continue;
        }

        stmt = ncr_ledger_stmt(s->ledger, s->query->ascending
                                          ? NCR_LEDGER_SQL_DIM_ROWS_UP
                                          : NCR_LEDGER_SQL_DIM_ROWS);

        if (stmt) {
            sqlite3_bind_int64(stmt, 1, s->low);
            sqlite3_bind_int64(stmt, 2, s->high);
            sqlite3_bind_int64(stmt, 3, (sqlite3_int64) i);
        }

        s->limit = s->n + limit;
        rc = ncr_ledger_scan(s, stmt);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    s->limit = limit;

    if (s->n) {
        qsort(s->numbers, s->n, sizeof(int64_t),
              s->query->ascending ? ncr_ledger_rising : ncr_ledger_falling);
    }

    s->n = ncr_min(s->n, limit);

    return NCR_OK;
}


/* number, dim, time, status */

static ncr_int_t
ncr_ledger_scan(ncr_ledger_search_t *s, sqlite3_stmt *stmt)
{
    int                  err;
    int64_t              dim, status, number;
    ncr_int_t            rc;
    ncr_msec_t           time, until;
    ncr_ledger_query_t  *q;

    if (stmt == NULL) {
        return ncr_ledger_fail(s->ledger);
    }

    q = s->query;
    until = q->until ? q->until : NCR_LEDGER_EVER;
    err = SQLITE_DONE;

    while (s->n < s->limit && (err = sqlite3_step(stmt)) == SQLITE_ROW) {

        number = sqlite3_column_int64(stmt, 0);
        dim = sqlite3_column_int64(stmt, 1);
        time = sqlite3_column_int64(stmt, 2);
        status = sqlite3_column_int64(stmt, 3);

        if (time < q->from || time >= until
            || number <= s->low || number >= s->high
            || (s->wanted && (dim < 1 || (uint64_t) dim > s->ledger->dims.n
                              || !s->wanted[dim]))
            || (q->status && status != (int64_t) q->status
                && status / 100 != (int64_t) q->status))
        {
            continue;
        }

        rc = ncr_ledger_found(s, number);

        if (rc != NCR_OK) {
            sqlite3_reset(stmt);
            return rc;
        }
    }

    sqlite3_reset(stmt);

    return (err == SQLITE_ROW || err == SQLITE_DONE)
           ? NCR_OK : ncr_ledger_fail(s->ledger);
}


static ncr_int_t
ncr_ledger_found(ncr_ledger_search_t *s, int64_t number)
{
    int64_t     *numbers;
    ncr_uint_t   alloc;

    if (s->n == s->alloc) {

        alloc = s->alloc ? 2 * s->alloc : 256;
        numbers = malloc(alloc * sizeof(int64_t));

        if (numbers == NULL) {
            return ncr_ledger_say(s->ledger, "cannot be read: out of memory");
        }

        if (s->n) {
            memcpy(numbers, s->numbers, s->n * sizeof(int64_t));
        }

        free(s->numbers);

        s->numbers = numbers;
        s->alloc = alloc;
    }

    s->numbers[s->n++] = number;

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_give(ncr_ledger_search_t *s, ncr_ledger_row_pt handler,
    void *data)
{
    ncr_int_t      rc;
    ncr_uint_t     i;
    ncr_record_t   rec;
    sqlite3_stmt  *stmt;

    for (i = 0; i < s->n; i++) {

        stmt = ncr_ledger_stmt(s->ledger, NCR_LEDGER_SQL_ROW);

        if (stmt == NULL) {
            return ncr_ledger_fail(s->ledger);
        }

        sqlite3_bind_int64(stmt, 1, s->numbers[i]);

        if (sqlite3_step(stmt) != SQLITE_ROW) {
            return ncr_ledger_fail(s->ledger);
        }

        ncr_ledger_row_read(s->ledger, stmt, &rec);

        rc = handler(data, (uint64_t) s->numbers[i], &rec);

        sqlite3_reset(stmt);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static int
ncr_ledger_rising(const void *a, const void *b)
{
    int64_t  one, two;

    memcpy(&one, a, sizeof(int64_t));
    memcpy(&two, b, sizeof(int64_t));

    return (one > two) - (one < two);
}


static int
ncr_ledger_falling(const void *a, const void *b)
{
    return ncr_ledger_rising(b, a);
}
