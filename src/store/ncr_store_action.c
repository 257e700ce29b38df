
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The trail.  Each row's hash is of all its members and the hash before it;
 * the newest one's is in "meta", too, so that the end cannot be cut off
 * without that being changed as well.  This shows what was changed by
 * accident or by hand; who may write the file can make a chain that fits.
 */


#include "ncr_store_int.h"
#include "ncr_store_person.h"
#include "ncr_hash.h"
#include "ncr_str.h"


#define NCR_STORE_CHAIN       "actions"
#define NCR_STORE_CHAIN_TEXT  (20 + 1 + 65)
#define NCR_STORE_HASH        (2 * NCR_SHA256_LEN)


static ncr_int_t ncr_store_action_last(ncr_store_t *store,
    ncr_store_chain_t *last);
static ncr_int_t ncr_store_action_write(ncr_store_t *store,
    ncr_store_action_t *action);
static ncr_int_t ncr_store_action_mark(ncr_store_t *store,
    ncr_store_action_t *action);
static ncr_int_t ncr_store_action_hash(ncr_store_t *store, const char *before,
    ncr_store_action_t *action, char *hash);
static char *ncr_store_action_column(sqlite3_stmt *stmt, int column);
static void ncr_store_action_row(sqlite3_stmt *stmt,
    ncr_store_action_t *action);
static ncr_uint_t ncr_store_action_wanted(ncr_store_action_t *action,
    ncr_msec_t from, ncr_msec_t until, const char *who, const char *path);
static ncr_int_t ncr_store_action_chain(ncr_store_t *store,
    sqlite3_stmt *stmt, ncr_store_chain_t *chain, ncr_uint_t max);
static ncr_int_t ncr_store_action_end(ncr_store_t *store,
    ncr_store_chain_t *chain);


ncr_int_t
ncr_store_action_add(ncr_store_t *store, ncr_store_action_t *action)
{
    ncr_int_t          rc;
    ncr_store_chain_t  last;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_action_last(store, &last);

    if (rc == NCR_OK) {
        action->number = last.number + 1;

        rc = ncr_store_action_hash(store, last.hash, action, action->hash);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_action_write(store, action);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_action_mark(store, action);
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_action_last(ncr_store_t *store, ncr_store_chain_t *last)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(last, 0, sizeof(ncr_store_chain_t));

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ACTION_LAST);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        last->number = (uint64_t) sqlite3_column_int64(stmt, 0);
        ncr_store_text(stmt, 1, last->hash, sizeof(last->hash));
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = NCR_OK;
        break;

    default:
        rc = ncr_store_fail(store);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


static ncr_int_t
ncr_store_action_write(ncr_store_t *store, ncr_store_action_t *action)
{
    ncr_uint_t     i, rc;
    sqlite3_stmt  *stmt;

    const char  *texts[] = { action->who, action->role, action->address,
                             action->method, action->path };

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ACTION_PUT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) action->number);
    sqlite3_bind_int64(stmt, 2, action->time);

    rc = 0;

    for (i = 0; i < 5; i++) {
        rc |= (ncr_uint_t) sqlite3_bind_text(stmt, (int) i + 3,
                                             texts[i] ? texts[i] : "", -1,
                                             SQLITE_STATIC);
    }

    sqlite3_bind_int64(stmt, 8, (sqlite3_int64) action->status);

    rc |= (ncr_uint_t) sqlite3_bind_text(stmt, 9, action->before
                                                  ? action->before : "",
                                         -1, SQLITE_STATIC);
    rc |= (ncr_uint_t) sqlite3_bind_text(stmt, 10, action->after
                                                   ? action->after : "",
                                         -1, SQLITE_STATIC);

    sqlite3_bind_text(stmt, 11, action->hash, -1, SQLITE_STATIC);

    return rc ? ncr_store_fail(store) : ncr_store_run(store, stmt);
}


static ncr_int_t
ncr_store_action_mark(ncr_store_t *store, ncr_store_action_t *action)
{
    char           text[NCR_STORE_CHAIN_TEXT];
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_META_PUT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    snprintf(text, sizeof(text), "%llu %s",
             (unsigned long long) action->number, action->hash);

    sqlite3_bind_text(stmt, 1, NCR_STORE_CHAIN, -1, SQLITE_STATIC);
    sqlite3_bind_blob(stmt, 2, text, (int) strlen(text), SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


/* each text with its NUL, so that none can take from its neighbour */

static ncr_int_t
ncr_store_action_hash(ncr_store_t *store, const char *before,
    ncr_store_action_t *action, char *hash)
{
    char          numbers[96];
    size_t        i;
    ncr_char_t    digest[NCR_SHA256_LEN];
    ncr_sha256_t  ctx;

    const char  *texts[] = { before, numbers, action->who, action->role,
                             action->address, action->method, action->path,
                             action->before, action->after };

    if (ncr_sha256_create(&ctx) != NCR_OK) {
        return ncr_store_say(store, "cannot be written: out of memory");
    }

    snprintf(numbers, sizeof(numbers), "%llu %lld %llu",
             (unsigned long long) action->number, (long long) action->time,
             (unsigned long long) action->status);

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        if (texts[i]) {
            ncr_sha256_update(&ctx, texts[i], strlen(texts[i]));
        }

        ncr_sha256_update(&ctx, "", 1);
    }

    ncr_sha256_final(&ctx, digest);
    ncr_sha256_free(&ctx);

    ncr_hash_hex((ncr_char_t *) hash, digest, sizeof(digest));
    hash[NCR_STORE_HASH] = '\0';

    return NCR_OK;
}


ncr_int_t
ncr_store_actions(ncr_store_t *store, uint64_t *below, ncr_msec_t from,
    ncr_msec_t until, const char *who, const char *path, ncr_uint_t rows,
    ncr_store_action_pt handler, void *data)
{
    int                  err;
    ncr_int_t            rc;
    ncr_uint_t           n;
    sqlite3_stmt        *stmt;
    ncr_store_action_t   action;

    if (store->older) {
        return NCR_OK;
    }

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ACTIONS);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (*below == 0 || *below > INT64_MAX)
                                ? INT64_MAX : (sqlite3_int64) *below);

    n = 0;

    do {
        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
            break;
        }

        if (rows && n++ == rows) {
            rc = NCR_AGAIN;
            break;
        }

        ncr_store_action_row(stmt, &action);

        *below = action.number;

        if (ncr_store_action_wanted(&action, from, until, who, path)) {
            rc = handler(data, &action);
        }

    } while (rc == NCR_OK);

    return ncr_store_read_end(store, rc == NCR_DONE ? NCR_OK : rc);
}


static ncr_uint_t
ncr_store_action_wanted(ncr_store_action_t *action, ncr_msec_t from,
    ncr_msec_t until, const char *who, const char *path)
{
    return (from == 0 || action->time >= from)
           && (until == 0 || action->time < until)
           && (who == NULL || strncmp(action->who, who, strlen(who)) == 0)
           && (path == NULL || strncmp(action->path, path, strlen(path)) == 0);
}


/* texts are SQLite's, until the next step */

static void
ncr_store_action_row(sqlite3_stmt *stmt, ncr_store_action_t *action)
{
    memset(action, 0, sizeof(ncr_store_action_t));

    action->number = (uint64_t) sqlite3_column_int64(stmt, 0);
    action->time = sqlite3_column_int64(stmt, 1);
    action->who = ncr_store_action_column(stmt, 2);
    action->role = ncr_store_action_column(stmt, 3);
    action->address = ncr_store_action_column(stmt, 4);
    action->method = ncr_store_action_column(stmt, 5);
    action->path = ncr_store_action_column(stmt, 6);
    action->status = (ncr_uint_t) sqlite3_column_int64(stmt, 7);
    action->before = ncr_store_action_column(stmt, 8);
    action->after = ncr_store_action_column(stmt, 9);

    ncr_store_text(stmt, 10, action->hash, sizeof(action->hash));
}


static char *
ncr_store_action_column(sqlite3_stmt *stmt, int column)
{
    const void  *p;

    p = sqlite3_column_text(stmt, column);

    return (char *) (uintptr_t) (p ? p : "");
}


ncr_int_t
ncr_store_actions_check(ncr_store_t *store, uint64_t *number)
{
    ncr_int_t          rc;
    ncr_store_chain_t  chain;

    memset(&chain, 0, sizeof(chain));

    rc = ncr_store_actions_check_some(store, &chain, 0);

    *number = chain.number;

    return rc;
}


ncr_int_t
ncr_store_actions_check_some(ncr_store_t *store, ncr_store_chain_t *chain,
    ncr_uint_t max)
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

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ACTIONS_UP);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) chain->number);

    rc = ncr_store_action_chain(store, stmt, chain, max);

    if (rc == NCR_OK) {
        rc = ncr_store_action_end(store, chain);
    }

    return ncr_store_read_end(store, rc);
}


static ncr_int_t
ncr_store_action_chain(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_chain_t *chain, ncr_uint_t max)
{
    int                  err;
    char                 hash[NCR_STORE_HASH + 1];
    ncr_int_t            rc;
    ncr_uint_t           n;
    ncr_store_action_t   action;

    for (n = 0; max == 0 || n < max; n++) {

        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            return (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
        }

        ncr_store_action_row(stmt, &action);

        chain->number++;

        if (action.number != chain->number) {
            return NCR_DECLINED;
        }

        rc = ncr_store_action_hash(store, chain->hash, &action, hash);

        if (rc != NCR_OK) {
            return rc;
        }

        if (strcmp(hash, action.hash) != 0) {
            return NCR_DECLINED;
        }

        memcpy(chain->hash, hash, sizeof(hash));
    }

    return NCR_AGAIN;
}


/* what was written last is the last that is there */

static ncr_int_t
ncr_store_action_end(ncr_store_t *store, ncr_store_chain_t *chain)
{
    int            len;
    char           text[NCR_STORE_CHAIN_TEXT];
    ncr_int_t      rc;
    const void    *p;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_META);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, NCR_STORE_CHAIN, -1, SQLITE_STATIC);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        snprintf(text, sizeof(text), "%llu %s",
                 (unsigned long long) chain->number, chain->hash);

        p = sqlite3_column_blob(stmt, 0);
        len = sqlite3_column_bytes(stmt, 0);

        rc = (p && (size_t) len == strlen(text) && memcmp(p, text, (size_t) len)
                                                   == 0)
             ? NCR_OK : NCR_DECLINED;
        break;

    case SQLITE_DONE:
        rc = chain->number ? NCR_DECLINED : NCR_OK;
        break;

    default:
        rc = ncr_store_fail(store);
        break;
    }

    sqlite3_reset(stmt);

    if (rc == NCR_DECLINED) {
        chain->number++;
    }

    return rc;
}
