
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Sums of a time.  It is cut into pieces, each told by the coarsest sums that
 * can: days as they were kept, if a piece has all of one; hours; minutes; the
 * rows for what is left.  A sum that goes over a border, of the query's time
 * or of one of its days, is not used, but the finer ones inside of it; unless
 * these are gone: then it counts where it begins, and the answer says so.
 */


#include "ncr_ledger_int.h"

#include <stdio.h>


/* days of two zones overlap, and one is never longer; ms */
#define NCR_LEDGER_DAY     (26 * NCR_LEDGER_HOUR)

/* "2026-11-21T15:00:00+01:00" */
#define NCR_LEDGER_TIME    40

#define NCR_LEDGER_STEPS   4000000


typedef struct {
    int64_t              key[2];
    ncr_ledger_values_t  values;
    const char          *name[2];       /* NULL: a time */
    int64_t              order;
} ncr_ledger_group_t;


typedef struct {
    ncr_msec_t           from;
    ncr_msec_t           until;
} ncr_ledger_piece_t;


typedef struct {
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t  *query;
    const ncr_tz_t      *tz;
    char                *wanted;        /* NULL: all */
    ncr_ledger_hash_t    groups;
    ncr_msec_t           kept[NCR_LEDGER_LEVELS];
    ncr_ledger_piece_t   next[NCR_LEDGER_LEVELS];   /* to be read */
    ncr_ledger_piece_t   span[2];       /* of "by", around the last time */
    ncr_uint_t           steps;
    unsigned             rows:1;        /* only these can tell it */
} ncr_ledger_sums_t;


static ncr_int_t ncr_ledger_sums_read(ncr_ledger_sums_t *s);
static ncr_int_t ncr_ledger_extent(ncr_ledger_sums_t *s, ncr_msec_t *from,
    ncr_msec_t *until);
static ncr_int_t ncr_ledger_days(ncr_ledger_sums_t *s, ncr_msec_t from,
    ncr_msec_t until);
static ncr_int_t ncr_ledger_day_next(ncr_ledger_sums_t *s, ncr_msec_t *start,
    ncr_msec_t *until);
static ncr_int_t ncr_ledger_even(ncr_ledger_sums_t *s,
    ncr_ledger_level_e level, ncr_msec_t from, ncr_msec_t until);
static ncr_int_t ncr_ledger_finer(ncr_ledger_sums_t *s,
    ncr_ledger_level_e level, ncr_msec_t from, ncr_msec_t until);
static ncr_uint_t ncr_ledger_finer_kept(ncr_ledger_sums_t *s,
    ncr_ledger_level_e level, ncr_msec_t t);
static ncr_int_t ncr_ledger_piece(ncr_ledger_sums_t *s,
    ncr_ledger_level_e level, ncr_msec_t from, ncr_msec_t until);
static ncr_int_t ncr_ledger_piece_read(ncr_ledger_sums_t *s,
    ncr_ledger_level_e level);
static ncr_int_t ncr_ledger_sum_add(ncr_ledger_sums_t *s,
    sqlite3_stmt *stmt);
static ncr_span_e ncr_ledger_by_span(ncr_ledger_by_e by);
static ncr_ledger_piece_t *ncr_ledger_by_around(ncr_ledger_sums_t *s,
    ncr_uint_t i, ncr_msec_t t);
static ncr_msec_t ncr_ledger_border(ncr_ledger_sums_t *s, ncr_msec_t t);
static ncr_int_t ncr_ledger_sums_give(ncr_ledger_sums_t *s,
    ncr_ledger_sum_pt handler, void *data);
static void ncr_ledger_group_name(ncr_ledger_sums_t *s,
    ncr_ledger_group_t *group, char text[2][8]);
static int ncr_ledger_group_cmp(const void *a, const void *b);
static void ncr_ledger_time(const ncr_tz_t *tz, ncr_msec_t t, char *dst);


ncr_int_t
ncr_ledger_sums(ncr_ledger_t *ledger, ncr_ledger_query_t *q,
    ncr_ledger_sum_pt handler, void *data)
{
    ncr_int_t          rc;
    ncr_uint_t         n;
    ncr_ledger_sums_t  s;

    memset(&s, 0, sizeof(ncr_ledger_sums_t));

    s.ledger = ledger;
    s.query = q;
    s.tz = q->tz ? q->tz : ledger->tz;
    s.rows = (q->status || q->by[0] == NCR_BY_STATUS
              || q->by[1] == NCR_BY_STATUS);

    q->groups = 0;
    q->approximate = 0;

    ncr_ledger_hash_init(&s.groups, sizeof(ncr_ledger_group_t), 2);

    rc = ncr_ledger_read(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_ledger_filter(ledger, q, &s.wanted, &n);

    if (rc == NCR_OK && n) {
        rc = ncr_ledger_sums_read(&s);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_sums_give(&s, handler, data);
    }

    free(s.wanted);
    ncr_ledger_hash_free(&s.groups);

    return ncr_ledger_read_end(ledger, rc);
}


static ncr_int_t
ncr_ledger_sums_read(ncr_ledger_sums_t *s)
{
    ncr_int_t   rc;
    ncr_uint_t  i;
    ncr_msec_t  from, until;

    from = 0;
    until = 0;

    rc = ncr_ledger_kept(s->ledger, s->kept);

    if (rc == NCR_OK) {
        rc = ncr_ledger_extent(s, &from, &until);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    from = ncr_max(from, s->query->from);

    if (s->query->until) {
        until = ncr_min(until, s->query->until);
    }

    if (from >= until) {
        return NCR_OK;
    }

    rc = s->rows ? ncr_ledger_piece(s, NCR_LEDGER_ROWS, from, until)
                 : ncr_ledger_days(s, from, until);

    for (i = 0; i < NCR_LEDGER_LEVELS && rc == NCR_OK; i++) {
        rc = ncr_ledger_piece_read(s, (ncr_ledger_level_e) i);
    }

    return rc;
}


/* from the first to behind the last, of all that is kept */

static ncr_int_t
ncr_ledger_extent(ncr_ledger_sums_t *s, ncr_msec_t *from, ncr_msec_t *until)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    *from = 0;
    *until = 0;

    stmt = ncr_ledger_stmt(s->ledger, NCR_LEDGER_SQL_EXTENT);

    if (stmt == NULL || sqlite3_step(stmt) != SQLITE_ROW) {
        rc = ncr_ledger_fail(s->ledger);

    } else {

        /* the end of the last day is the end of all: sums go up to there */

        *from = sqlite3_column_int64(stmt, 0);
        *until = sqlite3_column_int64(stmt, 1) + NCR_LEDGER_DAY;
        rc = NCR_OK;
    }

    if (stmt) {
        sqlite3_reset(stmt);
    }

    return rc;
}


/*
 * Days that overlap are those of two zones: the ledger's was changed.  They
 * are used together, or none of them.
 */

static ncr_int_t
ncr_ledger_days(ncr_ledger_sums_t *s, ncr_msec_t from, ncr_msec_t until)
{
    ncr_int_t   rc;
    ncr_uint_t  good, last;
    ncr_msec_t  pos, start, end, first, behind;

    pos = from;
    last = 0;
    start = from - NCR_LEDGER_DAY;
    end = 0;

    first = 0;
    behind = 0;
    good = 0;

    while (!last) {

        rc = ncr_ledger_day_next(s, &start, &end);

        if (rc == NCR_ERROR) {
            return rc;
        }

        last = (rc == NCR_DECLINED || start >= until);

        if (!last && start < behind) {
            good = good && end <= ncr_ledger_border(s, start);
            behind = ncr_max(behind, end);
            continue;
        }

        /* what was collected up to here */

        if (behind > pos && first < until) {

            good = good && first >= from && behind <= until
                   && first >= s->kept[NCR_LEDGER_DAYS];

            if (!good && first >= from
                && first >= s->kept[NCR_LEDGER_DAYS]
                && !ncr_ledger_finer_kept(s, NCR_LEDGER_DAYS, first))
            {
                s->query->approximate = 1;
                good = 1;
            }

            if (good) {
                rc = ncr_ledger_even(s, NCR_LEDGER_HOURS, pos, first);

                if (rc == NCR_OK) {
                    rc = ncr_ledger_piece(s, NCR_LEDGER_DAYS, first, behind);
                }

                if (rc != NCR_OK) {
                    return rc;
                }

                pos = behind;
            }
        }

        first = start;
        behind = end;
        good = (!last && end <= ncr_ledger_border(s, start));
    }

    return ncr_ledger_even(s, NCR_LEDGER_HOURS, pos, until);
}


static ncr_int_t
ncr_ledger_day_next(ncr_ledger_sums_t *s, ncr_msec_t *start,
    ncr_msec_t *until)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(s->ledger, NCR_LEDGER_SQL_DAY_NEXT);

    if (stmt == NULL) {
        return ncr_ledger_fail(s->ledger);
    }

    sqlite3_bind_int64(stmt, 1, *start);
    sqlite3_bind_int64(stmt, 2, *until);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        *start = sqlite3_column_int64(stmt, 0);
        *until = sqlite3_column_int64(stmt, 1);
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = NCR_DECLINED;
        break;

    default:
        rc = ncr_ledger_fail(s->ledger);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


/* hours or minutes: those that lie between two borders */

static ncr_int_t
ncr_ledger_even(ncr_ledger_sums_t *s, ncr_ledger_level_e level,
    ncr_msec_t from, ncr_msec_t until)
{
    ncr_int_t   rc;
    ncr_msec_t  size, pos, border, first, behind;

    size = (level == NCR_LEDGER_HOURS) ? NCR_LEDGER_HOUR : NCR_LEDGER_MINUTE;

    for (pos = from; pos < until; pos = border) {

        if (s->steps++ > NCR_LEDGER_STEPS) {
            return NCR_DECLINED;
        }

        border = ncr_min(ncr_ledger_border(s, pos), until);

        first = ncr_max(pos, s->kept[level]);
        first += (size - first % size) % size;
        behind = border - border % size;

        if (behind < border && behind >= from && behind >= s->kept[level]
            && border < until
            && !ncr_ledger_finer_kept(s, level, behind))
        {
            /* the one that goes over the border, too */

            s->query->approximate = 1;
            behind += size;
            border = ncr_min(behind, until);
        }

        if (first >= behind) {
            rc = ncr_ledger_finer(s, level, pos, border);

        } else {
            rc = ncr_ledger_finer(s, level, pos, first);

            if (rc == NCR_OK) {
                rc = ncr_ledger_piece(s, level, first, behind);
            }

            if (rc == NCR_OK) {
                rc = ncr_ledger_finer(s, level, behind, border);
            }
        }

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_finer(ncr_ledger_sums_t *s, ncr_ledger_level_e level,
    ncr_msec_t from, ncr_msec_t until)
{
    if (from >= until) {
        return NCR_OK;
    }

    return (level == NCR_LEDGER_HOURS)
           ? ncr_ledger_even(s, NCR_LEDGER_MINUTES, from, until)
           : ncr_ledger_piece(s, NCR_LEDGER_ROWS, from, until);
}


static ncr_uint_t
ncr_ledger_finer_kept(ncr_ledger_sums_t *s, ncr_ledger_level_e level,
    ncr_msec_t t)
{
    return s->kept[NCR_LEDGER_ROWS] <= t
           || (level != NCR_LEDGER_MINUTES
               && s->kept[NCR_LEDGER_MINUTES] <= t)
           || (level == NCR_LEDGER_DAYS && s->kept[NCR_LEDGER_HOURS] <= t);
}


/* neighbours are read at once */

static ncr_int_t
ncr_ledger_piece(ncr_ledger_sums_t *s, ncr_ledger_level_e level,
    ncr_msec_t from, ncr_msec_t until)
{
    ncr_int_t            rc;
    ncr_ledger_piece_t  *next;

    next = &s->next[level];

    if (level == NCR_LEDGER_ROWS && from < s->kept[level]) {
        s->query->approximate = 1;
    }

    if (next->until == from && next->until > next->from) {
        next->until = until;
        return NCR_OK;
    }

    rc = ncr_ledger_piece_read(s, level);

    next->from = from;
    next->until = until;

    return rc;
}


static ncr_int_t
ncr_ledger_piece_read(ncr_ledger_sums_t *s, ncr_ledger_level_e level)
{
    int                  err;
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_ledger_piece_t  *next;

    static const ncr_ledger_sql_e  sqls[] = {
        NCR_LEDGER_SQL_MINUTES,
        NCR_LEDGER_SQL_HOURS,
        NCR_LEDGER_SQL_DAYS,
        NCR_LEDGER_SQL_ROWS_SUM
    };

    next = &s->next[level];

    if (next->from >= next->until) {
        return NCR_OK;
    }

    stmt = ncr_ledger_stmt(s->ledger, sqls[level]);

    if (stmt == NULL) {
        return ncr_ledger_fail(s->ledger);
    }

    sqlite3_bind_int64(stmt, 1, next->from);
    sqlite3_bind_int64(stmt, 2, next->until);

    next->until = next->from;
    rc = NCR_OK;

    while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {

        rc = ncr_ledger_sum_add(s, stmt);

        if (rc != NCR_OK) {
            break;
        }
    }

    sqlite3_reset(stmt);

    return (rc == NCR_OK && err != SQLITE_DONE) ? ncr_ledger_fail(s->ledger)
                                                : rc;
}


/* columns: time, dimension, the values; rows have their status behind */

static ncr_int_t
ncr_ledger_sum_add(ncr_ledger_sums_t *s, sqlite3_stmt *stmt)
{
    int                      i;
    int64_t                  status, key[2];
    ncr_uint_t               id;
    ncr_ledger_query_t      *q;
    ncr_ledger_group_t      *group;
    const ncr_ledger_dim_t  *dim;

    q = s->query;
    id = (ncr_uint_t) sqlite3_column_int64(stmt, 1);

    if (s->wanted && (id < 1 || id > s->ledger->dims.n || !s->wanted[id])) {
        return NCR_OK;
    }

    dim = ncr_ledger_dim_of(s->ledger, (int64_t) id);
    status = s->rows ? sqlite3_column_int64(stmt, NCR_LEDGER_NSUMS + 2) : 0;

    if (q->status && status != (int64_t) q->status
        && status / 100 != (int64_t) q->status)
    {
        return NCR_OK;
    }

    for (i = 0; i < 2; i++) {

        switch (q->by[i]) {

        case NCR_BY_TOTAL:
            key[i] = 0;
            break;

        case NCR_BY_KEY:
        case NCR_BY_USER:
        case NCR_BY_GROUP:
        case NCR_BY_ACCOUNT:
        case NCR_BY_PLATFORM:
        case NCR_BY_MODEL:
            key[i] = dim->name[q->by[i] - NCR_BY_KEY];
            break;

        case NCR_BY_STATUS:
            key[i] = status;
            break;

        default:
            key[i] = ncr_ledger_by_around(s, (ncr_uint_t) i,
                                        sqlite3_column_int64(stmt, 0))->from;
            break;
        }
    }

    group = ncr_ledger_hash_get(&s->groups, key);

    if (group == NULL) {
        return ncr_ledger_say(s->ledger, "cannot be read: out of memory");
    }

    if (s->groups.n > NCR_LEDGER_GROUPS) {
        return NCR_DECLINED;
    }

    for (i = 0; i < NCR_LEDGER_NSUMS; i++) {
        group->values.n[i] += sqlite3_column_int64(stmt, i + 2);
    }

    return NCR_OK;
}


/* NCR_SPAN_TOTAL: it is not of time */

static ncr_span_e
ncr_ledger_by_span(ncr_ledger_by_e by)
{
    switch (by) {

    case NCR_BY_MINUTE:
        return NCR_SPAN_MINUTE;

    case NCR_BY_HOUR:
        return NCR_SPAN_HOUR;

    case NCR_BY_DAY:
        return NCR_SPAN_DAY;

    case NCR_BY_WEEK:
        return NCR_SPAN_WEEK;

    case NCR_BY_MONTH:
        return NCR_SPAN_MONTH;

    default:
        return NCR_SPAN_TOTAL;
    }
}


static ncr_ledger_piece_t *
ncr_ledger_by_around(ncr_ledger_sums_t *s, ncr_uint_t i, ncr_msec_t t)
{
    ncr_ledger_piece_t  *span;

    span = &s->span[i];

    if (t < span->from || t >= span->until) {
        ncr_tz_span(s->tz, ncr_ledger_by_span(s->query->by[i]), 1, 0, t,
                    &span->from, &span->until);
    }

    return span;
}


/* the next one after t at which "by" goes on to another time */

static ncr_msec_t
ncr_ledger_border(ncr_ledger_sums_t *s, ncr_msec_t t)
{
    ncr_uint_t  i;
    ncr_msec_t  border;

    border = NCR_LEDGER_EVER;

    for (i = 0; i < 2; i++) {
        if (ncr_ledger_by_span(s->query->by[i]) != NCR_SPAN_TOTAL) {
            border = ncr_min(border, ncr_ledger_by_around(s, i, t)->until);
        }
    }

    return border;
}


static ncr_int_t
ncr_ledger_sums_give(ncr_ledger_sums_t *s, ncr_ledger_sum_pt handler,
    void *data)
{
    char                 text[2][8], time[2][NCR_LEDGER_TIME];
    int64_t             *n;
    ncr_int_t            rc;
    ncr_uint_t           i, k, last;
    ncr_ledger_sum_t     sum;
    ncr_ledger_query_t  *q;
    ncr_ledger_group_t  *group;

    q = s->query;
    q->groups = s->groups.n;

    for (i = 0; i < s->groups.n; i++) {
        ncr_ledger_group_name(s, ncr_ledger_hash_entry(&s->groups, i), text);
    }

    if (s->groups.n) {
        qsort(s->groups.entries, s->groups.n, sizeof(ncr_ledger_group_t),
              ncr_ledger_group_cmp);
    }

    last = ncr_min(s->groups.n, q->skip + (q->limit ? q->limit : 100));

    for (i = q->skip; i < last; i++) {

        group = ncr_ledger_hash_entry(&s->groups, i);

        memset(&sum, 0, sizeof(ncr_ledger_sum_t));

        ncr_ledger_group_name(s, group, text);

        for (k = 0; k < 2; k++) {

            sum.name[k] = group->name[k];

            if (sum.name[k] == NULL) {
                ncr_ledger_time(s->tz, group->key[k], time[k]);
                sum.name[k] = time[k];
            }
        }

        n = group->values.n;

        sum.requests = (uint64_t) n[0];
        sum.failed = (uint64_t) n[1];
        sum.refused = (uint64_t) n[2];
        sum.unpriced = (uint64_t) ncr_max(n[3], 0);
        sum.estimated = (uint64_t) n[4];
        sum.usage.input = (uint64_t) n[5];
        sum.usage.output = (uint64_t) n[6];
        sum.usage.cache_read = (uint64_t) n[7];
        sum.usage.cache_write = (uint64_t) n[8];
        sum.usage.cache_write_5m = (uint64_t) n[9];
        sum.usage.cache_write_1h = (uint64_t) n[10];
        sum.usage.thinking = (uint64_t) n[11];
        sum.usage.web_searches = (uint64_t) n[12];
        sum.usage.web_fetches = (uint64_t) n[13];
        sum.cost = (uint64_t) ncr_max(n[14], 0);
        sum.rated = (uint64_t) ncr_max(n[15], 0);
        sum.duration = (uint64_t) n[16];
        sum.ttft = (uint64_t) n[17];
        sum.nttft = (uint64_t) n[18];

        rc = handler(data, &sum);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


/* names, and what is sorted by; text: of a status */

static void
ncr_ledger_group_name(ncr_ledger_sums_t *s, ncr_ledger_group_t *group,
    char text[2][8])
{
    int64_t     *n;
    ncr_uint_t   i;

    for (i = 0; i < 2; i++) {

        switch (s->query->by[i]) {

        case NCR_BY_TOTAL:
            group->name[i] = "";
            break;

        case NCR_BY_STATUS:
            snprintf(text[i], sizeof(text[i]), "%d",
                     (int) (group->key[i] % 1000));
            group->name[i] = text[i];
            break;

        default:

            if (ncr_ledger_by_span(s->query->by[i]) != NCR_SPAN_TOTAL) {
                group->name[i] = NULL;

            } else {
                group->name[i] = (const char *)
                                 ncr_ledger_text(s->ledger,
                                                 group->key[i]).data;
            }

            break;
        }
    }

    n = group->values.n;

    switch (s->query->order) {

    case 1:
        group->order = n[14];
        break;

    case 2:
        group->order = n[0];
        break;

    case 3:
        group->order = n[5] + n[6] + n[7] + n[8];
        break;

    default:
        group->order = 0;
        break;
    }
}


static int
ncr_ledger_group_cmp(const void *a, const void *b)
{
    int                        rc;
    ncr_uint_t                 i;
    const ncr_ledger_group_t  *one, *two;

    one = a;
    two = b;

    if (one->order != two->order) {
        return (one->order < two->order) ? 1 : -1;
    }

    for (i = 0; i < 2; i++) {

        if (one->name[i] && two->name[i]) {
            rc = strcmp(one->name[i], two->name[i]);

            if (rc) {
                return rc;
            }
        }

        if (one->key[i] != two->key[i]) {
            return (one->key[i] > two->key[i]) ? 1 : -1;
        }
    }

    return 0;
}


/* by the zone's clock at that moment */

static void
ncr_ledger_time(const ncr_tz_t *tz, ncr_msec_t t, char *dst)
{
    char     text[NCR_STR_RFC3339];
    int32_t  offset;

    offset = ncr_tz_offset(tz, t);

    ncr_str_rfc3339(text, t + (ncr_msec_t) offset * 1000);

    if (offset == 0) {
        snprintf(dst, NCR_LEDGER_TIME, "%s", text);
        return;
    }

    snprintf(dst, NCR_LEDGER_TIME, "%.19s%c%02d:%02d", text,
             offset < 0 ? '-' : '+', (offset < 0 ? -offset : offset) / 3600,
             (offset < 0 ? -offset : offset) / 60 % 60);
}
