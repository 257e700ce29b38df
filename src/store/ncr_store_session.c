
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What people are logged in by: sessions, and tokens, which have a name. */


#include "ncr_store_int.h"
#include "ncr_store_person.h"


/* how often a use is written down, ms */
#define NCR_STORE_SESSION_NOTE  60000


static void ncr_store_session_row(sqlite3_stmt *stmt,
    ncr_store_session_t *session);
static ncr_int_t ncr_store_session_get(ncr_store_t *store,
    const ncr_char_t *digest, ncr_store_session_t *session);
static ncr_uint_t ncr_store_session_over(ncr_store_session_t *session,
    ncr_msec_t now);
static ncr_int_t ncr_store_session_room(ncr_store_t *store,
    ncr_store_session_t *session, ncr_uint_t max, ncr_msec_t now);
static ncr_int_t ncr_store_session_write(ncr_store_t *store,
    ncr_store_session_t *session);
static ncr_int_t ncr_store_session_note(ncr_store_t *store,
    const ncr_char_t *digest, ncr_msec_t now);
static ncr_int_t ncr_store_session_delete(ncr_store_t *store,
    sqlite3_stmt *stmt);


ncr_int_t
ncr_store_session_put(ncr_store_t *store, ncr_store_session_t *session,
    ncr_uint_t max, ncr_msec_t now)
{
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_store_person_t   person;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_person_name(store, session->person, &person);

    if (rc == NCR_DECLINED || (rc == NCR_OK && !person.enabled)) {
        (void) ncr_store_say(store, "has no person of this name who is"
                             " enabled");
        rc = NCR_DECLINED;
    }

    ncr_seal_forget(&person, sizeof(person));

    if (rc == NCR_OK) {
        stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_EXPIRE);

        if (stmt) {
            sqlite3_bind_int64(stmt, 1, now);
            rc = ncr_store_run(store, stmt);

        } else {
            rc = ncr_store_fail(store);
        }
    }

    if (rc == NCR_OK) {
        rc = ncr_store_session_room(store, session, max, now);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_session_write(store, session);
    }

    return ncr_store_write_end(store, rc);
}


/* there are no old ones any more */

static ncr_int_t
ncr_store_session_room(ncr_store_t *store, ncr_store_session_t *session,
    ncr_uint_t max, ncr_msec_t now)
{
    int                   err;
    ncr_int_t             rc;
    ncr_uint_t            n, token;
    sqlite3_stmt         *stmt;
    ncr_store_session_t   row, oldest;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSIONS_OF);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, session->person, -1, SQLITE_STATIC);

    token = session->name[0] != '\0';
    n = 0;

    for ( ;; ) {

        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
            break;
        }

        ncr_store_session_row(stmt, &row);

        if ((row.name[0] != '\0') != token) {
            continue;
        }

        if (token && strcmp(row.name, session->name) == 0) {
            (void) ncr_store_say(store, "has a token of this name");
            rc = NCR_DECLINED;
            break;
        }

        /* newest first */
        oldest = row;
        n++;
    }

    sqlite3_reset(stmt);

    if (rc != NCR_OK || max == 0 || n < max) {
        return rc;
    }

    if (token) {
        (void) ncr_store_say(store, "has as many tokens of this person as"
                             " there may be");
        return NCR_DECLINED;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_END);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_blob(stmt, 1, oldest.digest, 32, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


static ncr_int_t
ncr_store_session_write(ncr_store_t *store, ncr_store_session_t *session)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_PUT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_blob(stmt, 1, session->digest, 32, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, session->person, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, session->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, session->csrf, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 5, session->role);
    sqlite3_bind_int64(stmt, 6, session->created);
    sqlite3_bind_int64(stmt, 7, session->used);
    sqlite3_bind_int64(stmt, 8, session->expires);
    sqlite3_bind_int64(stmt, 9, session->idle);
    sqlite3_bind_text(stmt, 10, session->address, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 11, session->agent, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


ncr_int_t
ncr_store_session_use(ncr_store_t *store, const ncr_char_t *digest,
    ncr_store_session_t *session, ncr_store_person_t *person, ncr_msec_t now)
{
    ncr_int_t  rc;

    memset(session, 0, sizeof(ncr_store_session_t));
    memset(person, 0, sizeof(ncr_store_person_t));

    if (store->older) {
        return NCR_DECLINED;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_session_get(store, digest, session);

    if (rc == NCR_OK && ncr_store_session_over(session, now)) {
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_name(store, session->person, person);
    }

    if (rc == NCR_OK && !person->enabled) {
        rc = NCR_DECLINED;
    }

    rc = ncr_store_read_end(store, rc);

    if (rc != NCR_OK) {
        ncr_seal_forget(session, sizeof(ncr_store_session_t));
        ncr_seal_forget(person, sizeof(ncr_store_person_t));
        return rc;
    }

    session->role = ncr_min(session->role, person->role);

    /* nobody is locked out by a disk that is full */

    if (now - session->used >= NCR_STORE_SESSION_NOTE
        && ncr_store_session_note(store, digest, now) == NCR_OK)
    {
        session->used = now;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_store_session_note(ncr_store_t *store, const ncr_char_t *digest,
    ncr_msec_t now)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_NOTE);

    if (stmt) {
        sqlite3_bind_blob(stmt, 1, digest, 32, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 2, now);
        rc = ncr_store_run(store, stmt);

    } else {
        rc = ncr_store_fail(store);
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_session_get(ncr_store_t *store, const ncr_char_t *digest,
    ncr_store_session_t *session)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_blob(stmt, 1, digest, 32, SQLITE_STATIC);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        ncr_store_session_row(stmt, session);
        rc = NCR_OK;
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


static ncr_uint_t
ncr_store_session_over(ncr_store_session_t *session, ncr_msec_t now)
{
    return (session->expires && session->expires <= now)
           || (session->idle && session->used + session->idle <= now);
}


static void
ncr_store_session_row(sqlite3_stmt *stmt, ncr_store_session_t *session)
{
    int          role;
    const void  *p;

    memset(session, 0, sizeof(ncr_store_session_t));

    p = sqlite3_column_blob(stmt, 0);

    if (p && sqlite3_column_bytes(stmt, 0) == sizeof(session->digest)) {
        memcpy(session->digest, p, sizeof(session->digest));
    }

    ncr_store_text(stmt, 1, session->person, sizeof(session->person));
    ncr_store_text(stmt, 2, session->name, sizeof(session->name));
    ncr_store_text(stmt, 3, session->csrf, sizeof(session->csrf));
    role = sqlite3_column_int(stmt, 4);
    session->created = sqlite3_column_int64(stmt, 5);
    session->used = sqlite3_column_int64(stmt, 6);
    session->expires = sqlite3_column_int64(stmt, 7);
    session->idle = sqlite3_column_int64(stmt, 8);
    ncr_store_text(stmt, 9, session->address, sizeof(session->address));
    ncr_store_text(stmt, 10, session->agent, sizeof(session->agent));

    if (role >= NCR_ROLE_USER && role <= NCR_ROLE_ADMIN) {
        session->role = (ncr_role_e) role;
    }
}


ncr_int_t
ncr_store_sessions(ncr_store_t *store, const char *person,
    ncr_store_session_pt handler, void *data)
{
    int                   err;
    ncr_int_t             rc;
    sqlite3_stmt         *stmt;
    ncr_store_session_t   session;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, person ? NCR_STORE_SQL_SESSIONS_OF
                                        : NCR_STORE_SQL_SESSIONS);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    if (person) {
        sqlite3_bind_text(stmt, 1, person, -1, SQLITE_STATIC);
    }

    do {
        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
            break;
        }

        ncr_store_session_row(stmt, &session);

        rc = handler(data, &session);

    } while (rc == NCR_OK);

    return ncr_store_read_end(store, rc == NCR_DONE ? NCR_OK : rc);
}


ncr_int_t
ncr_store_session_end(ncr_store_t *store, const ncr_char_t *digest)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_END);

    if (stmt) {
        sqlite3_bind_blob(stmt, 1, digest, 32, SQLITE_STATIC);
    }

    return ncr_store_session_delete(store, stmt);
}


ncr_int_t
ncr_store_session_end_all(ncr_store_t *store, const char *person,
    const ncr_char_t *keep)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_SESSION_END_ALL);

    if (stmt) {
        sqlite3_bind_text(stmt, 1, person, -1, SQLITE_STATIC);

        if (keep) {
            sqlite3_bind_blob(stmt, 2, keep, 32, SQLITE_STATIC);
        }

        sqlite3_bind_int(stmt, 3, 0);
    }

    return ncr_store_session_delete(store, stmt);
}


ncr_int_t
ncr_store_token_end(ncr_store_t *store, const char *person, const char *name)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (name[0] == '\0') {
        return NCR_DECLINED;
    }

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_TOKEN_END);

    if (stmt) {
        sqlite3_bind_text(stmt, 1, person, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    }

    return ncr_store_session_delete(store, stmt);
}


/* and the end of the transaction; NCR_DECLINED: nothing was there */

static ncr_int_t
ncr_store_session_delete(ncr_store_t *store, sqlite3_stmt *stmt)
{
    ncr_int_t  rc;

    rc = stmt ? ncr_store_run(store, stmt) : ncr_store_fail(store);

    if (rc == NCR_OK && sqlite3_changes(store->db) == 0) {
        (void) ncr_store_say(store, "has no such session");
        rc = NCR_DECLINED;
    }

    return ncr_store_write_end(store, rc);
}
