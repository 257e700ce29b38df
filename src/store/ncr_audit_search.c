
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Searches of the audit log. */


#include "ncr_audit_int.h"

#include <zlib.h>


static int ncr_audit_progress(void *data);
static sqlite3_stmt *ncr_audit_select(ncr_audit_t *audit,
    ncr_audit_query_t *q);
static ncr_uint_t ncr_audit_condition(ncr_out_t *out, ncr_uint_t set,
    const char *sql);
static ncr_int_t ncr_audit_give(ncr_audit_t *audit, ncr_audit_query_t *q,
    uint64_t number, ncr_audit_entry_pt handler, void *data);
static ncr_int_t ncr_audit_unpack(ncr_audit_t *audit, sqlite3_stmt *stmt,
    int column, ncr_str_t *text, ncr_char_t **buf);
static int64_t ncr_audit_size(const char *path, const char *suffix);


/* numbers first, so that a sort has nothing to carry; then one after another */

ncr_int_t
ncr_audit_search(ncr_audit_t *audit, ncr_audit_query_t *q, int ms,
    ncr_audit_entry_pt handler, void *data)
{
    int            err;
    uint64_t      *numbers;
    ncr_int_t      rc;
    ncr_uint_t     i, n;
    sqlite3_stmt  *stmt;

    rc = ncr_audit_here(audit);

    if (rc != NCR_OK) {
        return rc;
    }

    numbers = malloc((q->limit + 1) * sizeof(uint64_t));

    if (numbers == NULL) {
        return ncr_audit_say(audit, "out of memory");
    }

    audit->deadline = ncr_audit_clock() + ms;
    sqlite3_progress_handler(audit->db, 1000, ncr_audit_progress, audit);

    stmt = ncr_audit_select(audit, q);
    n = 0;

    if (stmt == NULL) {
        rc = ncr_audit_fail(audit);

    } else {

        do {
            err = sqlite3_step(stmt);

            if (err == SQLITE_ROW && n < q->limit) {
                numbers[n++] = (uint64_t) sqlite3_column_int64(stmt, 0);
            }

        } while (err == SQLITE_ROW);

        if (err != SQLITE_DONE) {
            rc = ncr_audit_fail(audit);

            if ((err & 0xff) == SQLITE_INTERRUPT) {
                (void) ncr_audit_say(audit, "the search took too long");
                rc = NCR_AGAIN;
            }
        }

        sqlite3_finalize(stmt);
    }

    sqlite3_progress_handler(audit->db, 0, NULL, NULL);

    for (i = 0; i < n && rc == NCR_OK; i++) {
        rc = ncr_audit_give(audit, q, numbers[i], handler, data);
    }

    free(numbers);

    return rc;
}


static int
ncr_audit_progress(void *data)
{
    ncr_audit_t  *audit = data;

    return ncr_audit_clock() > audit->deadline;
}


static sqlite3_stmt *
ncr_audit_select(ncr_audit_t *audit, ncr_audit_query_t *q)
{
    ncr_out_t      out;
    ncr_char_t     sql[1024];
    ncr_uint_t     low, high;
    sqlite3_stmt  *stmt;

    ncr_out_init(&out, sql, sizeof(sql) - 1);
    ncr_out_text(&out, "SELECT number FROM entries WHERE 1");

    (void) (ncr_audit_condition(&out, q->id != NULL,
                                " AND (id = ?1 OR provider_id = ?1)")
            + ncr_audit_condition(&out, q->key != NULL, " AND key = ?2")
            + ncr_audit_condition(&out, q->user != NULL, " AND user = ?3")
            + ncr_audit_condition(&out, q->account != NULL,
                                  " AND account = ?4")
            + ncr_audit_condition(&out, q->status != 0,
                                  " AND status BETWEEN ?5 AND ?6")
            + ncr_audit_condition(&out, q->from != 0, " AND time >= ?7")
            + ncr_audit_condition(&out, q->until != 0, " AND time < ?8")
            + ncr_audit_condition(&out, q->number != 0, " AND number = ?9")
            + ncr_audit_condition(&out, q->after != 0, " AND number > ?10")
            + ncr_audit_condition(&out, q->before != 0, " AND number < ?11"));

    ncr_out_text(&out, q->ascending ? " ORDER BY number LIMIT ?12"
                                    : " ORDER BY number DESC LIMIT ?12");
    *out.last = '\0';

    if (sqlite3_prepare_v2(audit->db, (char *) sql, -1, &stmt, NULL)
        != SQLITE_OK)
    {
        return NULL;
    }

    low = (q->status < 10) ? q->status * 100 : q->status;
    high = (q->status < 10) ? low + 99 : low;

    /* those that are not in the text fail, and do no harm */

    sqlite3_bind_text(stmt, 1, q->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, q->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, q->user, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, q->account, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 5, (int64_t) low);
    sqlite3_bind_int64(stmt, 6, (int64_t) high);
    sqlite3_bind_int64(stmt, 7, q->from);
    sqlite3_bind_int64(stmt, 8, q->until);
    sqlite3_bind_int64(stmt, 9, (int64_t) q->number);
    sqlite3_bind_int64(stmt, 10, (int64_t) q->after);
    sqlite3_bind_int64(stmt, 11, (int64_t) q->before);
    sqlite3_bind_int64(stmt, 12, (int64_t) q->limit);

    return stmt;
}


static ncr_uint_t
ncr_audit_condition(ncr_out_t *out, ncr_uint_t set, const char *sql)
{
    if (set) {
        ncr_out_text(out, sql);
    }

    return set;
}


static ncr_int_t
ncr_audit_give(ncr_audit_t *audit, ncr_audit_query_t *q, uint64_t number,
    ncr_audit_entry_pt handler, void *data)
{
    int                 i, err, column;
    int64_t             n[NCR_AUDIT_NUMBERS];
    ncr_int_t           rc;
    ncr_str_t          *words[NCR_AUDIT_WORDS], *texts[NCR_AUDIT_TEXTS];
    ncr_char_t         *bufs[NCR_AUDIT_TEXTS];
    sqlite3_stmt       *stmt;
    ncr_audit_entry_t   e;

    stmt = ncr_audit_stmt(audit, NCR_AUDIT_SQL_GET);

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    sqlite3_bind_int64(stmt, 1, (int64_t) number);

    err = sqlite3_step(stmt);

    if (err != SQLITE_ROW) {

        /* it may have gone since it was found */

        rc = (err == SQLITE_DONE) ? NCR_OK : ncr_audit_fail(audit);
        sqlite3_reset(stmt);

        return rc;
    }

    memset(&e, 0, sizeof(ncr_audit_entry_t));
    memset(bufs, 0, sizeof(bufs));

    for (i = 0; i < NCR_AUDIT_NUMBERS; i++) {
        n[i] = sqlite3_column_int64(stmt, i);
    }

    e.number = number;
    e.time = n[0];
    e.flags = (ncr_uint_t) n[1];
    e.status = (ncr_uint_t) n[2];
    e.duration = (uint64_t) n[3];
    e.ttft = n[4];
    e.attempts = (uint64_t) n[5];
    e.input = (uint64_t) n[6];
    e.output = (uint64_t) n[7];
    e.cache_read = (uint64_t) n[8];
    e.cache_write = (uint64_t) n[9];
    e.cost = (uint64_t) n[10];
    e.request_size = (uint64_t) n[11];
    e.response_size = (uint64_t) n[12];

    column = NCR_AUDIT_NUMBERS;
    ncr_audit_words(&e, words);

    for (i = 0; i < NCR_AUDIT_WORDS; i++, column++) {
        words[i]->data = (ncr_char_t *)
                        (uintptr_t) sqlite3_column_text(stmt, column);
        words[i]->len = (size_t) sqlite3_column_bytes(stmt, column);
    }

    rc = NCR_OK;
    ncr_audit_texts(&e, texts);

    for (i = 0; q->texts && i < NCR_AUDIT_TEXTS && rc == NCR_OK; i++) {
        rc = ncr_audit_unpack(audit, stmt, column++, texts[i], &bufs[i]);
    }

    if (rc == NCR_OK) {
        rc = handler(data, &e);
    }

    for (i = 0; i < NCR_AUDIT_TEXTS; i++) {
        free(bufs[i]);
    }

    sqlite3_reset(stmt);

    return rc;
}


static ncr_int_t
ncr_audit_unpack(ncr_audit_t *audit, sqlite3_stmt *stmt, int column,
    ncr_str_t *text, ncr_char_t **buf)
{
    size_t       len;
    uLongf       n;
    ncr_char_t  *p;

    p = (ncr_char_t *) (uintptr_t) sqlite3_column_blob(stmt, column);
    len = (size_t) sqlite3_column_bytes(stmt, column);

    if (len == 0) {
        return NCR_OK;
    }

    if (p[0] == 0) {
        text->data = p + 1;
        text->len = len - 1;

        return NCR_OK;
    }

    n = (len < 5) ? 0 : ((uLongf) p[1] | ((uLongf) p[2] << 8)
                         | ((uLongf) p[3] << 16) | ((uLongf) p[4] << 24));

    if (p[0] != 1 || n == 0 || n > NCR_AUDIT_TEXT) {
        (void) ncr_audit_say(audit, "an entry is broken");
        return NCR_BAD;
    }

    *buf = malloc(n);

    if (*buf == NULL) {
        return ncr_audit_say(audit, "out of memory");
    }

    if (uncompress(*buf, &n, p + 5, (uLong) (len - 5)) != Z_OK) {
        (void) ncr_audit_say(audit, "an entry is broken");
        return NCR_BAD;
    }

    text->data = *buf;
    text->len = (size_t) n;

    return NCR_OK;
}


ncr_int_t
ncr_audit_state(ncr_audit_t *audit, ncr_audit_state_t *state)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(state, 0, sizeof(ncr_audit_state_t));

    stmt = ncr_audit_stmt(audit, NCR_AUDIT_SQL_ENDS);

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        rc = ncr_audit_fail(audit);
        sqlite3_reset(stmt);

        return rc;
    }

    state->first = (uint64_t) sqlite3_column_int64(stmt, 0);
    state->last = (uint64_t) sqlite3_column_int64(stmt, 1);
    state->oldest = sqlite3_column_int64(stmt, 2);
    state->entries = state->last ? state->last - state->first + 1 : 0;

    sqlite3_reset(stmt);

    state->bytes = ncr_audit_size(audit->path, "")
                   + ncr_audit_size(audit->path, "-wal");

    return NCR_OK;
}


static int64_t
ncr_audit_size(const char *path, const char *suffix)
{
    char         name[NCR_AUDIT_PATH + 8];
    struct stat  st;

    snprintf(name, sizeof(name), "%s%s", path, suffix);

    return (stat(name, &st) == 0) ? (int64_t) st.st_size : 0;
}
