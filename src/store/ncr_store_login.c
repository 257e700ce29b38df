
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Logins that are under way. */


#include "ncr_store_int.h"
#include "ncr_hash.h"


static ncr_int_t ncr_store_login_get(ncr_store_t *store, ncr_store_sql_e sql,
    const char *after, char *id, char **data, ncr_msec_t *expires);
static ncr_int_t ncr_store_login_write(ncr_store_t *store, const char *id,
    const char *data, ncr_msec_t expires);
static ncr_int_t ncr_store_login_delete(ncr_store_t *store, const char *id);
static ncr_uint_t ncr_store_login_valid(const char *id);


ncr_int_t
ncr_store_login_put(ncr_store_t *store, char *id, const char *data,
    ncr_msec_t expires, ncr_msec_t now)
{
    ncr_int_t      rc;
    ncr_char_t     random[(NCR_STORE_LOGIN - 1) / 2];
    sqlite3_stmt  *stmt;

    id[0] = '\0';

    if (ncr_seal_random(random, sizeof(random)) != NCR_OK) {
        return ncr_store_say(store, "cannot be written: no random numbers");
    }

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_LOGIN_EXPIRE);

    if (stmt) {
        sqlite3_bind_int64(stmt, 1, now);
        rc = ncr_store_run(store, stmt);

    } else {
        rc = ncr_store_fail(store);
    }

    ncr_hash_hex((ncr_char_t *) id, random, sizeof(random));
    id[NCR_STORE_LOGIN - 1] = '\0';

    if (rc == NCR_OK) {
        rc = ncr_store_login_write(store, id, data, expires);
    }

    rc = ncr_store_write_end(store, rc);

    if (rc != NCR_OK) {
        id[0] = '\0';
    }

    return rc;
}


ncr_int_t
ncr_store_login_change(ncr_store_t *store, const char *id, const char *data,
    ncr_msec_t now)
{
    char        *old, found[NCR_STORE_LOGIN];
    ncr_int_t    rc;
    ncr_msec_t   expires;

    if (!ncr_store_login_valid(id)) {
        return NCR_DECLINED;
    }

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_login_get(store, NCR_STORE_SQL_LOGIN, id, found, &old,
                             &expires);

    if (rc == NCR_OK) {
        ncr_store_drop(&old);

        rc = (expires <= now) ? NCR_DECLINED
                              : ncr_store_login_write(store, id, data,
                                                      expires);
    }

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_login_keep(ncr_store_t *store, const char *id, char **data,
    ncr_msec_t now)
{
    char        found[NCR_STORE_LOGIN];
    ncr_int_t   rc;
    ncr_msec_t  expires;

    *data = NULL;

    if (!ncr_store_login_valid(id)) {
        return NCR_DECLINED;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_login_get(store, NCR_STORE_SQL_LOGIN, id, found, data,
                             &expires);

    if (rc == NCR_OK && expires <= now) {
        ncr_store_drop(data);
        rc = NCR_DECLINED;
    }

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_login_take(ncr_store_t *store, const char *id, char **data,
    ncr_msec_t now)
{
    char        found[NCR_STORE_LOGIN];
    ncr_int_t   rc;
    ncr_msec_t  expires;

    *data = NULL;

    if (!ncr_store_login_valid(id)) {
        return NCR_DECLINED;
    }

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_login_get(store, NCR_STORE_SQL_LOGIN, id, found, data,
                             &expires);

    if (rc == NCR_OK) {
        rc = ncr_store_login_delete(store, id);
    }

    /* it is nobody else's before anybody has it */

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK && expires <= now) {
        rc = NCR_DECLINED;
    }

    if (rc != NCR_OK) {
        ncr_store_drop(data);
    }

    return rc;
}


void
ncr_store_login_free(char *data)
{
    ncr_store_drop(&data);
}


ncr_int_t
ncr_store_login_reseal(ncr_store_t *store, const ncr_char_t *old)
{
    char        *data;
    char         id[NCR_STORE_LOGIN], after[NCR_STORE_LOGIN];
    ncr_int_t    rc;
    ncr_char_t   key[NCR_SEAL_KEY];
    ncr_msec_t   expires;

    memcpy(key, store->key, sizeof(key));

    after[0] = '\0';

    do {
        memcpy(store->key, old, sizeof(key));

        rc = ncr_store_login_get(store, NCR_STORE_SQL_LOGIN_AFTER, after, id,
                                 &data, &expires);

        memcpy(store->key, key, sizeof(key));

        if (rc == NCR_OK) {
            rc = ncr_store_login_write(store, id, data, expires);

            ncr_store_drop(&data);
            memcpy(after, id, sizeof(after));
        }

    } while (rc == NCR_OK);

    ncr_seal_forget(key, sizeof(key));

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


static ncr_int_t
ncr_store_login_get(ncr_store_t *store, ncr_store_sql_e sql,
    const char *after, char *id, char **data, ncr_msec_t *expires)
{
    ncr_int_t          rc;
    const void        *p;
    sqlite3_stmt      *stmt;
    ncr_seal_place_t   place;

    *data = NULL;
    *expires = 0;

    stmt = ncr_store_stmt(store, sql);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, after, -1, SQLITE_STATIC);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        p = sqlite3_column_text(stmt, 0);

        if (p == NULL
            || sqlite3_column_bytes(stmt, 0) != NCR_STORE_LOGIN - 1)
        {
            rc = ncr_store_say(store, "is corrupt: a login has no id");
            break;
        }

        memcpy(id, p, NCR_STORE_LOGIN);

        place.table = "logins";
        place.row = id;
        place.column = "data";

        *expires = sqlite3_column_int64(stmt, 2);

        rc = ncr_store_unseal(store, stmt, 1, &place, data);
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


static ncr_int_t
ncr_store_login_write(ncr_store_t *store, const char *id, const char *data,
    ncr_msec_t expires)
{
    ncr_int_t          rc;
    sqlite3_stmt      *stmt;
    ncr_seal_place_t   place;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_LOGIN_PUT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    place.table = "logins";
    place.row = id;
    place.column = "data";

    sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, expires);

    rc = ncr_store_seal(store, stmt, 2, &place, data);

    return (rc == NCR_OK) ? ncr_store_run(store, stmt) : rc;
}


static ncr_int_t
ncr_store_login_delete(ncr_store_t *store, const char *id)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_LOGIN_DELETE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


/* it comes from a client: only what login_put() makes is looked up */

static ncr_uint_t
ncr_store_login_valid(const char *id)
{
    size_t  i;

    for (i = 0; i < NCR_STORE_LOGIN - 1; i++) {
        if ((id[i] < '0' || id[i] > '9') && (id[i] < 'a' || id[i] > 'f')) {
            return 0;
        }
    }

    return id[i] == '\0';
}
