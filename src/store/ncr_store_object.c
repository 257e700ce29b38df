
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Keys, users, groups, limits.  Nothing here is sealed: of a key there is a
 * digest only.
 */


#include "ncr_store_int.h"


static ncr_int_t ncr_store_object_each(ncr_store_t *store, sqlite3_stmt *stmt,
    uint64_t *seq, ncr_store_object_pt handler, void *data);
static ncr_int_t ncr_store_object_own(ncr_store_t *store,
    sqlite3_stmt *stmt, ncr_store_object_t *row);
static ncr_int_t ncr_store_object_named(ncr_store_t *store,
    ncr_store_sql_e sql, const char *kind, const char *name,
    ncr_store_object_t *row);
static ncr_int_t ncr_store_object_id(ncr_store_t *store, uint64_t id,
    ncr_store_object_t *row);
static ncr_int_t ncr_store_object_new(ncr_store_t *store,
    ncr_store_object_t *row, ncr_msec_t now, ncr_store_object_t *cur);
static ncr_int_t ncr_store_object_put_row(ncr_store_t *store,
    ncr_store_object_t *row, uint64_t version, ncr_msec_t now,
    ncr_store_object_t *cur);
static ncr_int_t ncr_store_object_remove_row(ncr_store_t *store,
    const char *kind, const char *name, uint64_t version, ncr_msec_t now,
    ncr_store_object_t *cur);
static ncr_int_t ncr_store_object_bound(ncr_store_t *store,
    ncr_store_bound_t *bound);
static ncr_int_t ncr_store_object_restore_row(ncr_store_t *store,
    ncr_store_object_t *row);
static ncr_int_t ncr_store_object_restore_id(ncr_store_t *store,
    ncr_store_object_t *row, ncr_store_object_t *cur);
static ncr_int_t ncr_store_object_says(ncr_store_t *store, const char *what,
    const char *kind);


ncr_int_t
ncr_store_objects(ncr_store_t *store, uint64_t *seq,
    ncr_store_object_pt handler, void *data)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECTS);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) *seq);

    rc = ncr_store_object_each(store, stmt, seq, handler, data);

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_object_list(ncr_store_t *store, const char *kind,
    const char *after, ncr_store_object_pt handler, void *data)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_LIST);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, after, -1, SQLITE_STATIC);

    rc = ncr_store_object_each(store, stmt, NULL, handler, data);

    return ncr_store_read_end(store, rc == NCR_DONE ? NCR_OK : rc);
}


ncr_int_t
ncr_store_object_pick(ncr_store_t *store, const uint64_t *ids, size_t n,
    ncr_store_object_pt handler, void *data)
{
    size_t               i;
    ncr_int_t            rc;
    ncr_store_object_t   row;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    for (i = 0; i < n && rc == NCR_OK; i++) {

        rc = ncr_store_object_id(store, ids[i], &row);

        if (rc == NCR_OK && !row.removed) {
            rc = handler(data, &row);
        }

        ncr_store_object_free(&row);

        if (rc == NCR_DECLINED) {
            rc = NCR_OK;
        }
    }

    return ncr_store_read_end(store, rc == NCR_DONE ? NCR_OK : rc);
}


static ncr_int_t
ncr_store_object_each(ncr_store_t *store, sqlite3_stmt *stmt, uint64_t *seq,
    ncr_store_object_pt handler, void *data)
{
    int                 err;
    ncr_int_t           rc;
    ncr_store_object_t  row;

    for ( ;; ) {

        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            return (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
        }

        rc = ncr_store_object_row(store, stmt, &row);

        if (rc == NCR_OK) {
            rc = handler(data, &row);
        }

        if (rc != NCR_OK) {
            return rc;
        }

        if (seq) {
            *seq = row.seq;
        }
    }
}


/* its text is SQLite's, until the next step */

ncr_int_t
ncr_store_object_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_object_t *row)
{
    size_t       kind, name;
    const void  *p;

    memset(row, 0, sizeof(ncr_store_object_t));

    row->id = (uint64_t) sqlite3_column_int64(stmt, 0);
    row->seq = (uint64_t) sqlite3_column_int64(stmt, 1);
    row->removed = sqlite3_column_int(stmt, 4) != 0;
    row->version = (uint64_t) sqlite3_column_int64(stmt, 5);
    row->created = sqlite3_column_int64(stmt, 8);
    row->updated = sqlite3_column_int64(stmt, 9);
    row->activated = sqlite3_column_int64(stmt, 10);

    p = sqlite3_column_text(stmt, 2);
    kind = (size_t) sqlite3_column_bytes(stmt, 2);

    if (p && kind < NCR_STORE_KIND) {
        memcpy(row->kind, p, kind);
    }

    p = sqlite3_column_text(stmt, 3);
    name = (size_t) sqlite3_column_bytes(stmt, 3);

    if (p && name < NCR_STORE_NAME) {
        memcpy(row->name, p, name);
    }

    if (row->kind[0] == '\0' || row->name[0] == '\0') {
        return ncr_store_say(store, "is corrupt: an object has no name");
    }

    /* a digest that is none is no way in */

    p = sqlite3_column_blob(stmt, 6);

    if (p && sqlite3_column_bytes(stmt, 6) == sizeof(row->digest)) {
        memcpy(row->digest, p, sizeof(row->digest));
        row->has_digest = 1;
    }

    p = sqlite3_column_text(stmt, 11);
    name = (size_t) sqlite3_column_bytes(stmt, 11);

    if (p && name < NCR_STORE_PREFIX) {
        memcpy(row->prefix, p, name);
    }

    row->data = (char *) (uintptr_t) sqlite3_column_text(stmt, 7);

    if (row->data == NULL) {
        return ncr_store_say(store, "cannot be read: out of memory");
    }

    return NCR_OK;
}


/* the statement's only row, with a text of its own */

static ncr_int_t
ncr_store_object_own(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_object_t *row)
{
    ncr_int_t  rc;

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        rc = ncr_store_object_row(store, stmt, row);

        if (rc == NCR_OK) {
            row->data = ncr_store_dup(row->data, strlen(row->data));

            if (row->data == NULL) {
                rc = ncr_store_say(store, "cannot be read: out of memory");
            }

        } else {
            row->data = NULL;
        }

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
ncr_store_object_name(ncr_store_t *store, const char *kind, const char *name,
    ncr_store_object_t *row)
{
    return ncr_store_object_named(store, NCR_STORE_SQL_OBJECT_NAME, kind,
                                  name, row);
}


ncr_int_t
ncr_store_object_removed(ncr_store_t *store, const char *kind,
    const char *name, ncr_store_object_t *row)
{
    return ncr_store_object_named(store, NCR_STORE_SQL_OBJECT_TOMBSTONE, kind,
                                  name, row);
}


static ncr_int_t
ncr_store_object_named(ncr_store_t *store, ncr_store_sql_e sql,
    const char *kind, const char *name, ncr_store_object_t *row)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(row, 0, sizeof(ncr_store_object_t));

    rc = ncr_store_name(store, name);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, sql);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);

    return ncr_store_object_own(store, stmt, row);
}


static ncr_int_t
ncr_store_object_id(ncr_store_t *store, uint64_t id, ncr_store_object_t *row)
{
    sqlite3_stmt  *stmt;

    memset(row, 0, sizeof(ncr_store_object_t));

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_ID);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) id);

    return ncr_store_object_own(store, stmt, row);
}


/* NCR_OK: no other row has it; NCR_DECLINED: one has */

ncr_int_t
ncr_store_object_free_digest(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t id)
{
    int            err;
    sqlite3_stmt  *stmt;

    if (!row->has_digest) {
        return NCR_OK;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_DIGEST);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_blob(stmt, 1, row->digest, 32, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) id);

    err = sqlite3_step(stmt);

    if (err != SQLITE_ROW && err != SQLITE_DONE) {
        return ncr_store_fail(store);
    }

    sqlite3_reset(stmt);

    return (err == SQLITE_DONE) ? NCR_OK : NCR_DECLINED;
}


ncr_int_t
ncr_store_object_find(ncr_store_t *store, const char *kind, const char *name,
    ncr_store_object_t *row)
{
    ncr_int_t  rc;

    memset(row, 0, sizeof(ncr_store_object_t));

    if (store->older) {
        return NCR_DECLINED;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_name(store, kind, name, row);

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_object_digest(ncr_store_t *store, const char *kind,
    const ncr_char_t *digest, ncr_store_object_t *row)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(row, 0, sizeof(ncr_store_object_t));

    if (store->older) {
        return NCR_DECLINED;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_BY_DIGEST);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_blob(stmt, 1, digest, 32, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, kind, -1, SQLITE_STATIC);

    rc = ncr_store_object_own(store, stmt, row);

    return ncr_store_read_end(store, rc);
}


void
ncr_store_object_free(ncr_store_object_t *row)
{
    free(row->data);

    memset(row, 0, sizeof(ncr_store_object_t));
}


ncr_int_t
ncr_store_object_put(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t *version, ncr_msec_t now)
{
    ncr_int_t           rc;
    ncr_store_object_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_put_row(store, row, *version, now, &cur);

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK) {
        *version = cur.version;
        row->id = cur.id;
        row->seq = cur.seq;
        row->version = cur.version;
        row->created = cur.created;
        row->updated = cur.updated;
        row->activated = cur.activated;
    }

    ncr_store_object_free(&cur);

    return rc;
}


static ncr_int_t
ncr_store_object_put_row(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t version, ncr_msec_t now, ncr_store_object_t *cur)
{
    char       *data;
    ncr_int_t   rc;

    rc = ncr_store_object_name(store, row->kind, row->name, cur);

    if (rc == NCR_OK && version != UINT64_MAX && version != cur->version) {
        (void) ncr_store_object_says(store, version ? "has another version of"
                                                      " the"
                                                    : "has a", row->kind);
        return NCR_DECLINED;
    }

    if (rc == NCR_DECLINED) {

        if (version != 0 && version != UINT64_MAX) {
            (void) ncr_store_object_says(store, "has no", row->kind);
            return NCR_DECLINED;
        }

        rc = ncr_store_object_new(store, row, now, cur);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_object_free_digest(store, row, cur->id);

        if (rc == NCR_DECLINED) {
            (void) ncr_store_say(store, "has a key with this secret");
        }
    }

    if (rc != NCR_OK) {
        return rc;
    }

    if (row->data) {
        data = ncr_store_dup(row->data, strlen(row->data));

        if (data == NULL) {
            return ncr_store_say(store, "cannot be written: out of memory");
        }

        free(cur->data);
        cur->data = data;
    }

    if (row->has_digest) {
        memcpy(cur->digest, row->digest, 32);
        memcpy(cur->prefix, row->prefix, NCR_STORE_PREFIX);
        cur->has_digest = 1;
    }

    if (row->activated) {
        cur->activated = row->activated;
    }

    cur->version++;
    cur->updated = now;

    return ncr_store_object_save(store, cur, 0);
}


/* the version goes on where a removed one of this name has left it */

static ncr_int_t
ncr_store_object_new(ncr_store_t *store, ncr_store_object_t *row,
    ncr_msec_t now, ncr_store_object_t *cur)
{
    uint64_t   version;
    ncr_int_t  rc;

    rc = ncr_store_object_removed(store, row->kind, row->name, cur);

    version = cur->version;

    ncr_store_object_free(cur);

    if (rc != NCR_OK && rc != NCR_DECLINED) {
        return rc;
    }

    memcpy(cur->kind, row->kind, NCR_STORE_KIND);
    memcpy(cur->name, row->name, strlen(row->name));

    cur->created = now;
    cur->version = version;

    return ncr_store_count(store, "object", 1, 0, &cur->id);
}


ncr_int_t
ncr_store_objects_put(ncr_store_t *store, ncr_store_object_t *rows, size_t n,
    ncr_store_bound_t *bound, ncr_msec_t now, size_t *which)
{
    size_t               i;
    ncr_int_t            rc;
    ncr_store_object_t  *row, cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    for (i = 0; i < n && rc == NCR_OK; i++) {

        row = &rows[i];
        *which = i;

        rc = row->removed
             ? ncr_store_object_remove_row(store, row->kind, row->name,
                                           row->version, now, &cur)
             : ncr_store_object_put_row(store, row, row->version, now, &cur);

        row->id = cur.id;
        row->seq = cur.seq;
        row->version = cur.version;
        row->created = cur.created;
        row->updated = cur.updated;
        row->activated = cur.activated;

        memcpy(row->prefix, cur.prefix, NCR_STORE_PREFIX);

        ncr_store_object_free(&cur);
    }

    if (rc == NCR_OK && bound) {
        *which = n;
        rc = ncr_store_object_bound(store, bound);
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_object_bound(ncr_store_t *store, ncr_store_bound_t *bound)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_COUNT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, bound->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, bound->part, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, bound->also, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, bound->without, -1, SQLITE_STATIC);

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        return ncr_store_fail(store);
    }

    rc = ((uint64_t) sqlite3_column_int64(stmt, 0) <= bound->max)
         ? NCR_OK : NCR_DECLINED;

    sqlite3_reset(stmt);

    if (rc != NCR_OK) {
        (void) ncr_store_say(store, "has as many of them as there may be");
    }

    return rc;
}


ncr_int_t
ncr_store_object_remove(ncr_store_t *store, const char *kind,
    const char *name, uint64_t version, ncr_msec_t now, uint64_t *seq)
{
    ncr_int_t           rc;
    ncr_store_object_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_remove_row(store, kind, name, version, now, &cur);

    *seq = cur.seq;

    ncr_store_object_free(&cur);

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_object_remove_row(ncr_store_t *store, const char *kind,
    const char *name, uint64_t version, ncr_msec_t now,
    ncr_store_object_t *cur)
{
    ncr_int_t  rc;

    rc = ncr_store_object_name(store, kind, name, cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_object_says(store, "has no", kind);

    } else if (rc == NCR_OK && version != UINT64_MAX
               && version != cur->version)
    {
        (void) ncr_store_object_says(store, "has another version of the",
                                     kind);
        rc = NCR_DECLINED;
    }

    if (rc != NCR_OK) {
        return rc;
    }

    free(cur->data);

    cur->data = NULL;
    cur->has_digest = 0;
    cur->prefix[0] = '\0';
    cur->removed = 1;
    cur->activated = 0;
    cur->version++;
    cur->updated = now;

    return ncr_store_object_save(store, cur, 0);
}


ncr_int_t
ncr_store_object_activate(ncr_store_t *store, uint64_t id, ncr_msec_t at)
{
    ncr_int_t           rc;
    ncr_store_object_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_id(store, id, &cur);

    if (rc == NCR_OK && (cur.removed || cur.activated)) {
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        cur.activated = at;
        rc = ncr_store_object_save(store, &cur, 0);
    }

    ncr_store_object_free(&cur);

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_object_restore(ncr_store_t *store, ncr_store_object_t *rows,
    size_t n)
{
    size_t      i;
    ncr_int_t   rc;
    ncr_uint_t  again;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    /* twice: what had the secret of another one may have given it back */

    for (again = 0; again < 2; again++) {
        for (i = 0; i < n && rc == NCR_OK; i++) {
            rc = ncr_store_object_restore_row(store, &rows[i]);
        }
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_object_restore_row(ncr_store_t *store, ncr_store_object_t *row)
{
    ncr_int_t           rc;
    ncr_store_object_t  cur, new;

    rc = ncr_store_object_name(store, row->kind, row->name, &cur);

    if (rc == NCR_OK) {

        if (cur.version >= row->version
            && (cur.id != row->id || cur.activated || row->activated == 0))
        {
            goto done;
        }

        if (cur.version >= row->version) {

            /* the file knows all but the first use */

            cur.activated = row->activated;
            rc = ncr_store_object_save(store, &cur, row->seq + 1);
            goto done;
        }

    } else if (rc == NCR_DECLINED) {
        rc = ncr_store_object_restore_id(store, row, &cur);
    }

    if (rc != NCR_OK) {
        goto done;
    }

    /* a secret that is another key's by now is that one's */

    rc = ncr_store_object_free_digest(store, row, cur.id);

    if (rc == NCR_OK) {
        new = *row;
        new.id = cur.id;

        rc = ncr_store_object_save(store, &new, row->seq + 1);
    }

done:

    ncr_store_object_free(&cur);

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


/* cur->id: its own, or another one if the file has given that away */

static ncr_int_t
ncr_store_object_restore_id(ncr_store_t *store, ncr_store_object_t *row,
    ncr_store_object_t *cur)
{
    uint64_t   last;
    ncr_int_t  rc;

    rc = ncr_store_object_id(store, row->id, cur);

    if (rc == NCR_OK) {

        /* removed after this process had heard of it? */

        if (cur->removed && strcmp(cur->name, row->name) == 0
            && strcmp(cur->kind, row->kind) == 0)
        {
            return NCR_DECLINED;
        }

        return ncr_store_count(store, "object", 1, 0, &cur->id);
    }

    if (rc != NCR_DECLINED) {
        return rc;
    }

    cur->id = row->id;

    return ncr_store_count(store, "object", 0, row->id, &last);
}


ncr_int_t
ncr_store_object_save(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t floor)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_count(store, "seq", 1, floor, &row->seq);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_OBJECT_WRITE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) row->id);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) row->seq);
    sqlite3_bind_text(stmt, 3, row->kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 5, row->removed);
    sqlite3_bind_int64(stmt, 6, (sqlite3_int64) row->version);

    if (row->has_digest) {
        sqlite3_bind_blob(stmt, 7, row->digest, 32, SQLITE_STATIC);
    }

    if (sqlite3_bind_text(stmt, 8, row->data ? row->data : "", -1,
                          SQLITE_STATIC)
        != SQLITE_OK)
    {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 9, row->created);
    sqlite3_bind_int64(stmt, 10, row->updated);
    sqlite3_bind_int64(stmt, 11, row->activated);
    sqlite3_bind_text(stmt, 12, row->prefix, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


static ncr_int_t
ncr_store_object_says(ncr_store_t *store, const char *what, const char *kind)
{
    char  text[NCR_STORE_ERROR];

    snprintf(text, sizeof(text), "%s %s of this name", what, kind);

    return ncr_store_say(store, text);
}
