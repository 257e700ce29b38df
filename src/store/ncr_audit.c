
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * One table.  Workers write to it in turn, each a batch in one transaction;
 * what the budget needs is deleted before, in transactions of their own, so
 * that the write-ahead log stays small.  It is written back after each of
 * them, and pages that are not used go back to the disk bit by bit.
 */


#include "ncr_audit_int.h"

#include <zlib.h>


/* what a piece of deletion may be */
#define NCR_AUDIT_ROWS         128
#define NCR_AUDIT_BYTES        (1024 * 1024)
#define NCR_AUDIT_VACUUM       256      /* pages */

/* room that the trees of a batch may need besides its rows */
#define NCR_AUDIT_SPARE        (64 * 1024)

/* shorter texts are kept as they are */
#define NCR_AUDIT_PLAIN        512


/* texts as they go into a row; buf may be NULL */

typedef struct {
    ncr_str_t      text[NCR_AUDIT_TEXTS];
    ncr_char_t    *buf[NCR_AUDIT_TEXTS];
    int64_t        bytes;
    ncr_uint_t     dropped;
} ncr_audit_pack_t;


static ncr_int_t ncr_audit_begin(ncr_audit_t *audit);
static ncr_int_t ncr_audit_end(ncr_audit_t *audit, ncr_int_t rc);
static void ncr_audit_checkpoint(ncr_audit_t *audit);
static ncr_int_t ncr_audit_put_packed(ncr_audit_t *audit,
    ncr_audit_entry_t *entries, ncr_audit_pack_t *packs, ncr_uint_t n,
    int64_t need);
static ncr_int_t ncr_audit_over(ncr_audit_t *audit, int64_t need,
    int64_t *over);
static ncr_int_t ncr_audit_delete(ncr_audit_t *audit, sqlite3_stmt *stmt,
    int64_t bytes);
static ncr_int_t ncr_audit_pack(ncr_audit_t *audit, ncr_audit_entry_t *e,
    ncr_audit_pack_t *pack);
static ncr_int_t ncr_audit_pack_text(ncr_audit_pack_t *pack, ncr_uint_t i,
    ncr_str_t *text);
static void ncr_audit_pack_free(ncr_audit_pack_t *pack, ncr_uint_t n);
static ncr_int_t ncr_audit_insert(ncr_audit_t *audit, ncr_audit_entry_t *e,
    ncr_audit_pack_t *pack);
static ncr_int_t ncr_audit_vacuum(ncr_audit_t *audit);
static ncr_int_t ncr_audit_count(ncr_audit_t *audit, ncr_audit_sql_e sql,
    int64_t *value);


ncr_uint_t
ncr_audit_sampled(ncr_str_t *id, ncr_uint_t share)
{
    size_t    i;
    uint64_t  h;

    /* FNV-1a, and a last mix: ids differ in their last digits only */

    h = 14695981039346656037u;

    for (i = 0; i < id->len; i++) {
        h = (h ^ id->data[i]) * 1099511628211u;
    }

    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;

    return h % 10000 < share;
}


static ncr_int_t
ncr_audit_begin(ncr_audit_t *audit)
{
    ncr_int_t  rc;

    rc = ncr_audit_here(audit);

    if (rc != NCR_OK) {
        return rc;
    }

    return ncr_audit_run(audit, ncr_audit_stmt(audit, NCR_AUDIT_SQL_BEGIN));
}


static ncr_int_t
ncr_audit_end(ncr_audit_t *audit, ncr_int_t rc)
{
    ncr_uint_t  i;

    if (rc == NCR_OK) {
        rc = ncr_audit_run(audit, ncr_audit_stmt(audit,
                                                 NCR_AUDIT_SQL_COMMIT));
    }

    for (i = 0; i < NCR_AUDIT_SQL_N; i++) {
        if (audit->stmts[i]) {
            sqlite3_reset(audit->stmts[i]);
        }
    }

    if (!sqlite3_get_autocommit(audit->db)) {
        (void) sqlite3_exec(audit->db, "ROLLBACK", NULL, NULL, NULL);
    }

    ncr_audit_checkpoint(audit);

    return rc;
}


/* if somebody reads just now, the next one does it */

static void
ncr_audit_checkpoint(ncr_audit_t *audit)
{
    sqlite3_busy_timeout(audit->db, 0);

    (void) sqlite3_wal_checkpoint_v2(audit->db, NULL,
                                     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    sqlite3_busy_timeout(audit->db, audit->busy);
}


ncr_int_t
ncr_audit_put(ncr_audit_t *audit, ncr_audit_entry_t *entries, ncr_uint_t n)
{
    int64_t            need;
    ncr_int_t          rc;
    ncr_uint_t         i;
    ncr_audit_pack_t  *packs;

    packs = calloc(n, sizeof(ncr_audit_pack_t));

    if (packs == NULL) {
        return ncr_audit_say(audit, "out of memory");
    }

    need = 0;
    rc = NCR_OK;

    for (i = 0; i < n && rc == NCR_OK; i++) {
        rc = ncr_audit_pack(audit, &entries[i], &packs[i]);
        need += packs[i].bytes;
    }

    if (rc == NCR_OK) {
        rc = ncr_audit_put_packed(audit, entries, packs, n, need);
    }

    ncr_audit_pack_free(packs, n);

    return rc;
}


static ncr_int_t
ncr_audit_put_packed(ncr_audit_t *audit, ncr_audit_entry_t *entries,
    ncr_audit_pack_t *packs, ncr_uint_t n, int64_t need)
{
    int64_t     over;
    ncr_int_t   rc;
    ncr_uint_t  i;

    for ( ;; ) {
        rc = ncr_audit_begin(audit);

        if (rc != NCR_OK) {
            return rc;
        }

        rc = ncr_audit_over(audit, need + NCR_AUDIT_SPARE, &over);

        if (rc != NCR_OK || over <= 0) {
            break;
        }

        rc = ncr_audit_delete(audit,
                              ncr_audit_stmt(audit, NCR_AUDIT_SQL_OLDEST),
                              ncr_min(over, NCR_AUDIT_BYTES));

        if (rc == NCR_DONE) {

            /* nothing is left to delete, so it must be tried */

            rc = NCR_OK;
            break;
        }

        rc = ncr_audit_end(audit, rc);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    for (i = 0; i < n && rc == NCR_OK; i++) {
        rc = ncr_audit_insert(audit, &entries[i], &packs[i]);
    }

    return ncr_audit_end(audit, rc);
}


/* what there would be too much of, with so many bytes more */

static ncr_int_t
ncr_audit_over(ncr_audit_t *audit, int64_t need, int64_t *over)
{
    int64_t    pages, unused;
    ncr_int_t  rc;

    *over = 0;
    unused = 0;

    if (audit->disk == 0) {
        return NCR_OK;
    }

    rc = ncr_audit_count(audit, NCR_AUDIT_SQL_PAGES, &pages);

    if (rc == NCR_OK) {
        rc = ncr_audit_count(audit, NCR_AUDIT_SQL_FREE, &unused);
    }

    if (rc == NCR_OK) {
        *over = (pages - unused) * NCR_AUDIT_PAGE + need - audit->disk;
    }

    return rc;
}


/* rows of stmt, until so many bytes are free; NCR_DONE: there were none */

static ncr_int_t
ncr_audit_delete(ncr_audit_t *audit, sqlite3_stmt *stmt, int64_t bytes)
{
    int            rc;
    int64_t        numbers[NCR_AUDIT_ROWS];
    ncr_uint_t     i, n;
    sqlite3_stmt  *one;

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    sqlite3_bind_int(stmt, 1, NCR_AUDIT_ROWS);

    for (n = 0; n < NCR_AUDIT_ROWS && bytes > 0; n++) {

        rc = sqlite3_step(stmt);

        if (rc == SQLITE_DONE) {
            break;
        }

        if (rc != SQLITE_ROW) {
            return ncr_audit_fail(audit);
        }

        numbers[n] = sqlite3_column_int64(stmt, 0);
        bytes -= sqlite3_column_int64(stmt, 1);
    }

    sqlite3_reset(stmt);

    for (i = 0; i < n; i++) {
        one = ncr_audit_stmt(audit, NCR_AUDIT_SQL_DELETE);

        if (one == NULL) {
            return ncr_audit_fail(audit);
        }

        sqlite3_bind_int64(one, 1, numbers[i]);

        if (ncr_audit_run(audit, one) != NCR_OK) {
            return ncr_audit_fail(audit);
        }
    }

    return n ? NCR_OK : NCR_DONE;
}


static ncr_int_t
ncr_audit_pack(ncr_audit_t *audit, ncr_audit_entry_t *e,
    ncr_audit_pack_t *pack)
{
    ncr_int_t   rc;
    ncr_str_t  *words[NCR_AUDIT_WORDS], *texts[NCR_AUDIT_TEXTS];
    ncr_uint_t  i;

    ncr_audit_words(e, words);
    ncr_audit_texts(e, texts);

    /* a row's own, its indexes, and half a page for where it does not fit */

    pack->bytes = 3072;

    for (i = 0; i < NCR_AUDIT_WORDS; i++) {
        pack->bytes += 2 * (int64_t) words[i]->len;
    }

    rc = NCR_OK;

    for (i = 0; i < NCR_AUDIT_TEXTS && rc == NCR_OK; i++) {
        rc = ncr_audit_pack_text(pack, i, texts[i]);
    }

    if (rc != NCR_OK) {
        return ncr_audit_say(audit, "out of memory");
    }

    if (audit->disk && pack->bytes > audit->disk / 8) {

        /* one entry is not worth all the others */

        for (i = 2; i < NCR_AUDIT_TEXTS; i++) {
            pack->bytes -= (int64_t) pack->text[i].len;
            pack->dropped |= (pack->text[i].len != 0);
            pack->text[i].len = 0;
        }
    }

    return NCR_OK;
}


/* a byte that tells the form: 0 and the text, or 1, its length and zlib's */

static ncr_int_t
ncr_audit_pack_text(ncr_audit_pack_t *pack, ncr_uint_t i, ncr_str_t *text)
{
    size_t       len;
    uLongf       n;
    ncr_char_t  *p;

    if (text->len == 0) {
        return NCR_OK;
    }

    len = ncr_min(text->len, NCR_AUDIT_TEXT);
    n = compressBound((uLong) len);

    p = malloc(5 + ncr_max((size_t) n, len));

    if (p == NULL) {
        return NCR_ERROR;
    }

    pack->buf[i] = p;
    pack->text[i].data = p;

    if (len > NCR_AUDIT_PLAIN
        && compress2(p + 5, &n, text->data, (uLong) len, 1) == Z_OK
        && n < len)
    {
        p[0] = 1;
        p[1] = (ncr_char_t) (len & 0xff);
        p[2] = (ncr_char_t) ((len >> 8) & 0xff);
        p[3] = (ncr_char_t) ((len >> 16) & 0xff);
        p[4] = (ncr_char_t) (len >> 24);

        pack->text[i].len = 5 + (size_t) n;

    } else {
        p[0] = 0;
        memcpy(p + 1, text->data, len);

        pack->text[i].len = 1 + len;
    }

    pack->bytes += (int64_t) pack->text[i].len;

    return NCR_OK;
}


static void
ncr_audit_pack_free(ncr_audit_pack_t *packs, ncr_uint_t n)
{
    ncr_uint_t  i, k;

    for (i = 0; i < n; i++) {
        for (k = 0; k < NCR_AUDIT_TEXTS; k++) {
            free(packs[i].buf[k]);
        }
    }

    free(packs);
}


static ncr_int_t
ncr_audit_insert(ncr_audit_t *audit, ncr_audit_entry_t *e,
    ncr_audit_pack_t *pack)
{
    int            i, column;
    ncr_str_t     *words[NCR_AUDIT_WORDS];
    sqlite3_stmt  *stmt;

    int64_t  numbers[NCR_AUDIT_NUMBERS] = {
        e->time,
        (int64_t) (e->flags | (pack->dropped ? NCR_AUDIT_DROPPED : 0)),
        (int64_t) e->status, (int64_t) e->duration, e->ttft,
        (int64_t) e->attempts, (int64_t) e->input, (int64_t) e->output,
        (int64_t) e->cache_read, (int64_t) e->cache_write, (int64_t) e->cost,
        (int64_t) e->request_size, (int64_t) e->response_size
    };

    stmt = ncr_audit_stmt(audit, NCR_AUDIT_SQL_INSERT);

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    sqlite3_bind_int64(stmt, 1, pack->bytes);
    column = 2;

    for (i = 0; i < NCR_AUDIT_NUMBERS; i++) {
        sqlite3_bind_int64(stmt, column++, numbers[i]);
    }

    ncr_audit_words(e, words);

    for (i = 0; i < NCR_AUDIT_WORDS; i++) {
        sqlite3_bind_text(stmt, column++,
                          words[i]->len ? (char *) words[i]->data : "",
                          (int) words[i]->len, SQLITE_STATIC);
    }

    for (i = 0; i < NCR_AUDIT_TEXTS; i++, column++) {

        if (pack->text[i].len) {
            sqlite3_bind_blob(stmt, column, pack->text[i].data,
                              (int) pack->text[i].len, SQLITE_STATIC);
        }
    }

    return ncr_audit_run(audit, stmt);
}


ncr_int_t
ncr_audit_tidy(ncr_audit_t *audit, ncr_msec_t now)
{
    int64_t        over;
    ncr_int_t      rc;
    ncr_uint_t     again;
    sqlite3_stmt  *stmt;

    rc = ncr_audit_begin(audit);

    if (rc != NCR_OK) {
        return rc;
    }

    again = 0;
    over = 0;

    if (audit->keep) {
        stmt = ncr_audit_stmt(audit, NCR_AUDIT_SQL_EXPIRED);

        if (stmt) {
            sqlite3_bind_int64(stmt, 2, now - audit->keep);
        }

        rc = ncr_audit_delete(audit, stmt, NCR_AUDIT_BYTES);
        again = (rc == NCR_OK);
        rc = (rc == NCR_DONE) ? NCR_OK : rc;
    }

    if (rc == NCR_OK) {
        rc = ncr_audit_over(audit, 0, &over);
    }

    if (rc == NCR_OK && over > 0) {

        /* the budget was larger before */

        rc = ncr_audit_delete(audit,
                              ncr_audit_stmt(audit, NCR_AUDIT_SQL_OLDEST),
                              ncr_min(over, NCR_AUDIT_BYTES));
        again |= (rc == NCR_OK);
        rc = (rc == NCR_DONE) ? NCR_OK : rc;
    }

    rc = ncr_audit_end(audit, rc);

    if (rc == NCR_OK) {
        rc = ncr_audit_vacuum(audit);
    }

    return (rc == NCR_OK && again) ? NCR_AGAIN : rc;
}


/* some free pages are kept: the next entries want them */

static ncr_int_t
ncr_audit_vacuum(ncr_audit_t *audit)
{
    char       sql[64];
    int64_t    pages, unused;
    ncr_int_t  rc;

    unused = 0;

    rc = ncr_audit_count(audit, NCR_AUDIT_SQL_PAGES, &pages);

    if (rc == NCR_OK) {
        rc = ncr_audit_count(audit, NCR_AUDIT_SQL_FREE, &unused);
    }

    if (rc != NCR_OK || unused == 0) {
        return rc;
    }

    if ((audit->disk == 0 || pages * NCR_AUDIT_PAGE <= audit->disk)
        && (unused < NCR_AUDIT_VACUUM || unused < pages / 4))
    {
        return NCR_OK;
    }

    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)",
             NCR_AUDIT_VACUUM);

    rc = ncr_audit_exec(audit, sql);

    ncr_audit_checkpoint(audit);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


static ncr_int_t
ncr_audit_count(ncr_audit_t *audit, ncr_audit_sql_e sql, int64_t *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    *value = 0;

    stmt = ncr_audit_stmt(audit, sql);

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    if (sqlite3_step(stmt) == SQLITE_ROW) {
        *value = sqlite3_column_int64(stmt, 0);
        rc = NCR_OK;

    } else {
        rc = ncr_audit_fail(audit);
    }

    sqlite3_reset(stmt);

    return rc;
}
