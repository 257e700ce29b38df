
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A row as a structure and back.  Whoever changes one reads it, changes the
 * structure and writes all of it; its secrets are sealed anew each time.
 */


#include "ncr_store_int.h"


typedef struct {
    int          column;                /* as in NCR_STORE_COLUMNS, from 0 */
    const char  *name;
    size_t       offset;
} ncr_store_member_t;


#define NCR_STORE_COLUMN_ID       0
#define NCR_STORE_COLUMN_NAME     2
#define NCR_STORE_COLUMN_CONF     3
#define NCR_STORE_COLUMN_REMOVED  4

#define ncr_store_at(row, member, type)                                       \
    (*(type *) (void *) ((char *) (row) + (member)->offset))

#define ncr_store_column(n, name)                                             \
    { n, #name, offsetof(ncr_store_account_t, name) }


static const ncr_store_member_t  ncr_store_texts[] = {
    ncr_store_column(6, settings),
    ncr_store_column(16, scopes),
    ncr_store_column(17, meta),
    ncr_store_column(20, reason),
    ncr_store_column(22, holder)
};

static const ncr_store_member_t  ncr_store_secrets[] = {
    ncr_store_column(7, secret),
    ncr_store_column(8, proxy),
    ncr_store_column(12, access),
    ncr_store_column(13, refresh)
};

/* SQLite has no unsigned numbers; none of these comes near to the limit */

static const ncr_store_member_t  ncr_store_numbers[] = {
    ncr_store_column(0, id),
    ncr_store_column(1, seq),
    ncr_store_column(5, version),
    ncr_store_column(9, created),
    ncr_store_column(10, updated),
    ncr_store_column(11, tokens),
    ncr_store_column(14, expires),
    ncr_store_column(15, granted),
    ncr_store_column(18, pending),
    ncr_store_column(19, failed),
    ncr_store_column(21, fence)
};

#define NCR_STORE_TEXTS    5
#define NCR_STORE_SECRETS  4
#define NCR_STORE_NUMBERS  11


static ncr_int_t ncr_store_row_named(ncr_store_t *store, ncr_store_sql_e sql,
    const char *name, ncr_store_account_t *row);
static ncr_int_t ncr_store_row_one(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_account_t *row);
static void ncr_store_row_place(ncr_seal_place_t *place, char *id,
    uint64_t number);


ncr_int_t
ncr_store_row(ncr_store_t *store, sqlite3_stmt *stmt, ncr_store_account_t *row)
{
    char                       id[NCR_STORE_ID];
    char                     **text;
    size_t                     len;
    ncr_uint_t                 i;
    const void                *p;
    ncr_seal_place_t           place;
    const ncr_store_member_t  *m;

    memset(row, 0, sizeof(ncr_store_account_t));

    for (i = 0; i < NCR_STORE_NUMBERS; i++) {
        m = &ncr_store_numbers[i];
        ncr_store_at(row, m, int64_t) = sqlite3_column_int64(stmt, m->column);
    }

    row->conf = sqlite3_column_int(stmt, NCR_STORE_COLUMN_CONF) != 0;
    row->removed = sqlite3_column_int(stmt, NCR_STORE_COLUMN_REMOVED) != 0;

    p = sqlite3_column_text(stmt, NCR_STORE_COLUMN_NAME);
    len = (size_t) sqlite3_column_bytes(stmt, NCR_STORE_COLUMN_NAME);

    if (p == NULL || len == 0 || len >= NCR_STORE_NAME) {
        return ncr_store_say(store, "is corrupt: an account has no name");
    }

    memcpy(row->name, p, len);

    for (i = 0; i < NCR_STORE_TEXTS; i++) {
        m = &ncr_store_texts[i];
        text = &ncr_store_at(row, m, char *);

        p = sqlite3_column_text(stmt, m->column);
        len = (size_t) sqlite3_column_bytes(stmt, m->column);

        *text = ncr_store_dup(p, p ? len : 0);

        if (*text == NULL) {
            ncr_store_row_free(row);
            return ncr_store_say(store, "cannot be read: out of memory");
        }
    }

    ncr_store_row_place(&place, id, row->id);

    for (i = 0; i < NCR_STORE_SECRETS; i++) {
        m = &ncr_store_secrets[i];
        place.column = m->name;

        if (ncr_store_unseal(store, stmt, m->column, &place,
                             &ncr_store_at(row, m, char *))
            != NCR_OK)
        {
            ncr_store_row_free(row);
            return NCR_ERROR;
        }
    }

    return NCR_OK;
}


static void
ncr_store_row_place(ncr_seal_place_t *place, char *id, uint64_t number)
{
    snprintf(id, NCR_STORE_ID, "%llu", (unsigned long long) number);

    place->table = "accounts";
    place->row = id;
    place->column = "";
}


ncr_int_t
ncr_store_row_name(ncr_store_t *store, const char *name,
    ncr_store_account_t *row)
{
    return ncr_store_row_named(store, NCR_STORE_SQL_BY_NAME, name, row);
}


ncr_int_t
ncr_store_row_removed(ncr_store_t *store, const char *name,
    ncr_store_account_t *row)
{
    return ncr_store_row_named(store, NCR_STORE_SQL_TOMBSTONE, name, row);
}


static ncr_int_t
ncr_store_row_named(ncr_store_t *store, ncr_store_sql_e sql, const char *name,
    ncr_store_account_t *row)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(row, 0, sizeof(ncr_store_account_t));

    rc = ncr_store_name(store, name);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, sql);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);

    return ncr_store_row_one(store, stmt, row);
}


ncr_int_t
ncr_store_row_id(ncr_store_t *store, ncr_store_sql_e sql, uint64_t id,
    ncr_store_account_t *row)
{
    sqlite3_stmt  *stmt;

    memset(row, 0, sizeof(ncr_store_account_t));

    stmt = ncr_store_stmt(store, sql);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) id);

    return ncr_store_row_one(store, stmt, row);
}


/* the statement's only row */

static ncr_int_t
ncr_store_row_one(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_account_t *row)
{
    ncr_int_t  rc;

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        rc = ncr_store_row(store, stmt, row);
        break;

    case SQLITE_DONE:
        rc = NCR_DECLINED;
        break;

    default:
        rc = ncr_store_fail(store);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_store_row_write(ncr_store_t *store, ncr_store_account_t *row)
{
    char                       id[NCR_STORE_ID];
    const char                *text;
    ncr_int_t                  rc;
    ncr_uint_t                 i;
    sqlite3_stmt              *stmt;
    ncr_seal_place_t           place;
    const ncr_store_member_t  *m;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_WRITE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    for (i = 0; i < NCR_STORE_NUMBERS; i++) {
        m = &ncr_store_numbers[i];
        sqlite3_bind_int64(stmt, m->column + 1,
                           ncr_store_at(row, m, int64_t));
    }

    sqlite3_bind_int(stmt, NCR_STORE_COLUMN_CONF + 1, row->conf);
    sqlite3_bind_int(stmt, NCR_STORE_COLUMN_REMOVED + 1, row->removed);
    sqlite3_bind_text(stmt, NCR_STORE_COLUMN_NAME + 1, row->name, -1,
                      SQLITE_STATIC);

    for (i = 0; i < NCR_STORE_TEXTS; i++) {
        m = &ncr_store_texts[i];
        text = ncr_store_at(row, m, char *);

        if (sqlite3_bind_text(stmt, m->column + 1, text ? text : "", -1,
                              SQLITE_STATIC)
            != SQLITE_OK)
        {
            return ncr_store_fail(store);
        }
    }

    ncr_store_row_place(&place, id, row->id);

    for (i = 0; i < NCR_STORE_SECRETS; i++) {
        m = &ncr_store_secrets[i];
        place.column = m->name;

        rc = ncr_store_seal(store, stmt, m->column + 1, &place,
                            ncr_store_at(row, m, char *));

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return ncr_store_run(store, stmt);
}


ncr_int_t
ncr_store_row_save(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t floor)
{
    ncr_int_t  rc;

    rc = ncr_store_count(store, "seq", 1, floor, &row->seq);

    return (rc == NCR_OK) ? ncr_store_row_write(store, row) : rc;
}


void
ncr_store_row_new(ncr_store_account_t *row, const char *name)
{
    memset(row, 0, sizeof(ncr_store_account_t));
    memcpy(row->name, name, strlen(name));
}


ncr_int_t
ncr_store_row_set(ncr_store_t *store, char **text, const char *value)
{
    char  *copy;

    if (value == NULL) {
        return NCR_OK;
    }

    copy = ncr_store_dup(value, strlen(value));

    if (copy == NULL) {
        return ncr_store_say(store, "cannot be written: out of memory");
    }

    ncr_store_drop(text);
    *text = copy;

    return NCR_OK;
}


void
ncr_store_row_bury(ncr_store_account_t *row)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_STORE_TEXTS; i++) {
        ncr_store_drop(&ncr_store_at(row, &ncr_store_texts[i], char *));
    }

    for (i = 0; i < NCR_STORE_SECRETS; i++) {
        ncr_store_drop(&ncr_store_at(row, &ncr_store_secrets[i], char *));
    }

    row->removed = 1;
    row->expires = 0;
    row->granted = 0;
    row->pending = 0;
    row->failed = 0;
    row->fence = 0;
}


void
ncr_store_row_free(ncr_store_account_t *row)
{
    ncr_store_row_bury(row);

    memset(row, 0, sizeof(ncr_store_account_t));
}


/* what names may look like is the caller's; this is what fits into a row */

ncr_int_t
ncr_store_name(ncr_store_t *store, const char *name)
{
    if (name[0] == '\0' || memchr(name, '\0', NCR_STORE_NAME) == NULL) {
        return ncr_store_say(store, "has no place for an account whose name"
                             " is empty or longer than 63 bytes");
    }

    return NCR_OK;
}
