
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Who may log in.  The key of a second factor is sealed, as hex. */


#include "ncr_store_int.h"
#include "ncr_store_person.h"
#include "ncr_hash.h"


#define NCR_STORE_TOTP  (2 * NCR_TOTP_KEY + 1)


static ncr_int_t ncr_store_person_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_person_t *person);
static ncr_int_t ncr_store_person_totp(ncr_store_t *store,
    sqlite3_stmt *stmt, ncr_store_person_t *person);
static ncr_int_t ncr_store_person_get(ncr_store_t *store,
    ncr_store_sql_e sql, const char *text, ncr_store_person_t *person);
static ncr_int_t ncr_store_person_look(ncr_store_t *store,
    ncr_store_sql_e sql, const char *text, ncr_store_person_t *person);
static ncr_int_t ncr_store_person_change(ncr_store_t *store,
    ncr_store_person_t *person, uint64_t version, const ncr_char_t *keep,
    ncr_msec_t now);
static ncr_int_t ncr_store_person_external_free(ncr_store_t *store,
    ncr_store_person_t *person);
static ncr_int_t ncr_store_person_sessions(ncr_store_t *store,
    ncr_store_person_t *was, ncr_store_person_t *person,
    const ncr_char_t *keep);
static ncr_int_t ncr_store_person_admins(ncr_store_t *store,
    ncr_store_person_t *person);
static ncr_int_t ncr_store_person_write(ncr_store_t *store,
    ncr_store_person_t *person);


ncr_int_t
ncr_store_person_find(ncr_store_t *store, const char *name,
    ncr_store_person_t *person)
{
    return ncr_store_person_look(store, NCR_STORE_SQL_PERSON, name, person);
}


ncr_int_t
ncr_store_person_external(ncr_store_t *store, const char *external,
    ncr_store_person_t *person)
{
    if (external[0] == '\0') {
        memset(person, 0, sizeof(ncr_store_person_t));
        return NCR_DECLINED;
    }

    return ncr_store_person_look(store, NCR_STORE_SQL_PERSON_EXTERNAL,
                                 external, person);
}


static ncr_int_t
ncr_store_person_look(ncr_store_t *store, ncr_store_sql_e sql,
    const char *text, ncr_store_person_t *person)
{
    ncr_int_t  rc;

    memset(person, 0, sizeof(ncr_store_person_t));

    if (store->older) {
        return NCR_DECLINED;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_person_get(store, sql, text, person);

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_people(ncr_store_t *store, const char *after,
    ncr_store_person_pt handler, void *data)
{
    int                  err;
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_store_person_t   person;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_PEOPLE);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_text(stmt, 1, after, -1, SQLITE_STATIC);

    do {
        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
            break;
        }

        rc = ncr_store_person_row(store, stmt, &person);

        if (rc == NCR_OK) {
            rc = handler(data, &person);
        }

    } while (rc == NCR_OK);

    ncr_seal_forget(&person, sizeof(person));

    return ncr_store_read_end(store, rc == NCR_DONE ? NCR_OK : rc);
}


/* in a transaction of the caller's */

static ncr_int_t
ncr_store_person_get(ncr_store_t *store, ncr_store_sql_e sql,
    const char *text, ncr_store_person_t *person)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(person, 0, sizeof(ncr_store_person_t));

    rc = ncr_store_one(store, sql, text, &stmt);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_person_row(store, stmt, person);

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_store_person_name(ncr_store_t *store, const char *name,
    ncr_store_person_t *person)
{
    return ncr_store_person_get(store, NCR_STORE_SQL_PERSON, name, person);
}


static ncr_int_t
ncr_store_person_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_person_t *person)
{
    int  role;

    memset(person, 0, sizeof(ncr_store_person_t));

    ncr_store_text(stmt, 0, person->name, sizeof(person->name));
    person->version = (uint64_t) sqlite3_column_int64(stmt, 1);
    role = sqlite3_column_int(stmt, 2);
    person->enabled = sqlite3_column_int(stmt, 3) != 0;
    ncr_store_text(stmt, 4, person->password, sizeof(person->password));
    person->must_change = sqlite3_column_int(stmt, 5) != 0;
    ncr_store_text(stmt, 6, person->external, sizeof(person->external));
    person->totp_step = (uint64_t) sqlite3_column_int64(stmt, 8);
    person->created = sqlite3_column_int64(stmt, 9);
    person->updated = sqlite3_column_int64(stmt, 10);
    person->login = sqlite3_column_int64(stmt, 11);

    /* what is no role is none */

    if (role >= NCR_ROLE_USER && role <= NCR_ROLE_ADMIN) {
        person->role = (ncr_role_e) role;
    }

    if (person->name[0] == '\0') {
        return ncr_store_say(store, "is corrupt: a person has no name");
    }

    if (sqlite3_column_type(stmt, 7) == SQLITE_NULL) {
        return NCR_OK;
    }

    return ncr_store_person_totp(store, stmt, person);
}


static ncr_int_t
ncr_store_person_totp(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_person_t *person)
{
    char              *text;
    size_t             i;
    ncr_int_t          rc;
    unsigned           byte;
    ncr_seal_place_t   place;

    place.table = "people";
    place.row = person->name;
    place.column = "totp";

    rc = ncr_store_unseal(store, stmt, 7, &place, &text);

    if (rc != NCR_OK) {
        return rc;
    }

    if (strlen(text) != NCR_STORE_TOTP - 1) {
        rc = ncr_store_say(store, "is corrupt: a person's second factor");
    }

    for (i = 0; i < NCR_TOTP_KEY && rc == NCR_OK; i++) {

        if (sscanf(text + 2 * i, "%2x", &byte) != 1) {
            rc = ncr_store_say(store, "is corrupt: a person's second factor");
        }

        person->totp[i] = (ncr_char_t) byte;
    }

    person->has_totp = (rc == NCR_OK);

    ncr_store_drop(&text);

    return rc;
}


void
ncr_store_text(sqlite3_stmt *stmt, int column, char *dst, size_t size)
{
    size_t       len;
    const void  *p;

    p = sqlite3_column_text(stmt, column);
    len = (size_t) sqlite3_column_bytes(stmt, column);

    if (p == NULL || len >= size) {
        len = 0;
    }

    if (len) {
        memcpy(dst, p, len);
    }

    dst[len] = '\0';
}


ncr_int_t
ncr_store_person_put(ncr_store_t *store, ncr_store_person_t *person,
    uint64_t *version, const ncr_char_t *keep, ncr_msec_t now)
{
    ncr_int_t           rc;
    ncr_store_person_t  was;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    was = *person;

    rc = ncr_store_person_change(store, person, *version, keep, now);

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK) {
        *version = person->version;

    } else {
        *person = was;
    }

    ncr_seal_forget(&was, sizeof(was));

    return rc;
}


static ncr_int_t
ncr_store_person_change(ncr_store_t *store, ncr_store_person_t *person,
    uint64_t version, const ncr_char_t *keep, ncr_msec_t now)
{
    ncr_int_t           rc;
    ncr_store_person_t  cur;

    rc = ncr_store_name(store, person->name);

    if (rc != NCR_OK) {
        return rc;
    }

    if (person->role < NCR_ROLE_USER || person->role > NCR_ROLE_ADMIN) {
        return ncr_store_say(store, "has no place for a person without a"
                             " role");
    }

    rc = ncr_store_person_name(store, person->name, &cur);

    if (rc == NCR_OK && version != UINT64_MAX && version != cur.version) {
        (void) ncr_store_say(store, version ? "has another version of the"
                                              " person of this name"
                                            : "has a person of this name");
        rc = NCR_DECLINED;

    } else if (rc == NCR_DECLINED && (version == 0 || version == UINT64_MAX)) {
        memset(&cur, 0, sizeof(ncr_store_person_t));
        person->created = now;
        rc = NCR_OK;

    } else if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no person of this name");

    } else if (rc == NCR_OK) {
        person->created = cur.created;
        person->login = ncr_max(person->login, cur.login);
    }

    if (rc == NCR_OK && !(person->role == NCR_ROLE_ADMIN && person->enabled)) {
        rc = ncr_store_person_admins(store, &cur);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_external_free(store, person);
    }

    /* never that of another person who had this name */

    if (rc == NCR_OK) {
        rc = ncr_store_count(store, "seq", 1, 0, &person->version);
    }

    person->updated = now;

    if (rc == NCR_OK) {
        rc = ncr_store_person_write(store, person);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_sessions(store, &cur, person, keep);
    }

    ncr_seal_forget(&cur, sizeof(cur));

    return rc;
}


static ncr_int_t
ncr_store_person_external_free(ncr_store_t *store, ncr_store_person_t *person)
{
    ncr_int_t           rc;
    ncr_store_person_t  other;

    if (person->external[0] == '\0') {
        return NCR_OK;
    }

    rc = ncr_store_person_get(store, NCR_STORE_SQL_PERSON_EXTERNAL,
                              person->external, &other);

    if (rc == NCR_OK && strcmp(other.name, person->name) != 0) {
        (void) ncr_store_say(store, "has another person with this external"
                             " login");
        rc = NCR_DECLINED;

    } else if (rc == NCR_DECLINED) {
        rc = NCR_OK;
    }

    ncr_seal_forget(&other, sizeof(other));

    return rc;
}


/* NCR_DECLINED: who stops to be an admin is the last one */

static ncr_int_t
ncr_store_person_admins(ncr_store_t *store, ncr_store_person_t *person)
{
    int            err;
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (person->role != NCR_ROLE_ADMIN || !person->enabled) {
        return NCR_OK;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_PERSON_ADMIN);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int(stmt, 1, NCR_ROLE_ADMIN);
    sqlite3_bind_text(stmt, 2, person->name, -1, SQLITE_STATIC);

    err = sqlite3_step(stmt);

    if (err == SQLITE_ROW) {
        rc = NCR_OK;

    } else if (err == SQLITE_DONE) {
        (void) ncr_store_say(store, "has no other admin who is enabled");
        rc = NCR_DECLINED;

    } else {
        rc = ncr_store_fail(store);
    }

    sqlite3_reset(stmt);

    return rc;
}


/* what a person was let in with before */

static ncr_int_t
ncr_store_person_sessions(ncr_store_t *store, ncr_store_person_t *was,
    ncr_store_person_t *person, const ncr_char_t *keep)
{
    ncr_uint_t     all;
    sqlite3_stmt  *stmt;

    all = !person->enabled || person->role != was->role;

    if (!all && strcmp(person->password, was->password) == 0) {
        return NCR_OK;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_END_ALL);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, person->name, -1, SQLITE_STATIC);

    if (keep) {
        sqlite3_bind_blob(stmt, 2, keep, 32, SQLITE_STATIC);
    }

    sqlite3_bind_int(stmt, 3, all);

    return ncr_store_run(store, stmt);
}


static ncr_int_t
ncr_store_person_write(ncr_store_t *store, ncr_store_person_t *person)
{
    char               hex[NCR_STORE_TOTP];
    ncr_int_t          rc;
    sqlite3_stmt      *stmt;
    ncr_seal_place_t   place;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_PERSON_WRITE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    hex[0] = '\0';

    if (person->has_totp) {
        ncr_hash_hex((ncr_char_t *) hex, person->totp, NCR_TOTP_KEY);
        hex[NCR_STORE_TOTP - 1] = '\0';
    }

    place.table = "people";
    place.row = person->name;
    place.column = "totp";

    sqlite3_bind_text(stmt, 1, person->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) person->version);
    sqlite3_bind_int(stmt, 3, person->role);
    sqlite3_bind_int(stmt, 4, person->enabled);
    sqlite3_bind_text(stmt, 5, person->password, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 6, person->must_change);
    sqlite3_bind_text(stmt, 7, person->external, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 9, (sqlite3_int64) person->totp_step);
    sqlite3_bind_int64(stmt, 10, person->created);
    sqlite3_bind_int64(stmt, 11, person->updated);
    sqlite3_bind_int64(stmt, 12, person->login);

    rc = ncr_store_seal(store, stmt, 8, &place, hex);

    ncr_seal_forget(hex, sizeof(hex));

    return (rc == NCR_OK) ? ncr_store_run(store, stmt) : rc;
}


ncr_int_t
ncr_store_person_remove(ncr_store_t *store, const char *name,
    uint64_t version, ncr_msec_t now)
{
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_store_person_t   cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_person_name(store, name, &cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no person of this name");

    } else if (rc == NCR_OK && version != UINT64_MAX
               && version != cur.version)
    {
        (void) ncr_store_say(store, "has another version of the person of"
                             " this name");
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_admins(store, &cur);
    }

    if (rc == NCR_OK) {
        cur.enabled = 0;
        rc = ncr_store_person_sessions(store, &cur, &cur, NULL);
    }

    ncr_seal_forget(&cur, sizeof(cur));

    if (rc == NCR_OK) {
        stmt = ncr_store_stmt(store, NCR_STORE_SQL_PERSON_DELETE);

        if (stmt) {
            sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
            rc = ncr_store_run(store, stmt);

        } else {
            rc = ncr_store_fail(store);
        }
    }

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_person_login(ncr_store_t *store, const char *name, uint64_t step,
    ncr_msec_t now)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_PERSON_LOGIN);

    if (stmt == NULL) {
        return ncr_store_write_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) step);
    sqlite3_bind_int64(stmt, 3, now);

    rc = ncr_store_run(store, stmt);

    if (rc == NCR_OK && sqlite3_changes(store->db) == 0) {
        (void) ncr_store_say(store, "has no such person, or has seen this"
                             " code");
        rc = NCR_DECLINED;
    }

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_person_reseal(ncr_store_t *store, const ncr_char_t *old)
{
    char                 after[NCR_STORE_NAME];
    ncr_int_t            rc;
    ncr_char_t           key[NCR_SEAL_KEY];
    ncr_store_person_t   person;

    memcpy(key, store->key, sizeof(key));

    after[0] = '\0';

    do {
        memcpy(store->key, old, sizeof(key));

        rc = ncr_store_person_get(store, NCR_STORE_SQL_PERSON_AFTER, after,
                                  &person);

        memcpy(store->key, key, sizeof(key));

        if (rc == NCR_OK) {
            rc = ncr_store_person_write(store, &person);
            memcpy(after, person.name, sizeof(after));
        }

    } while (rc == NCR_OK);

    ncr_seal_forget(key, sizeof(key));
    ncr_seal_forget(&person, sizeof(person));

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}
