
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Webhooks, what is to be sent to them, and alerts. */


#include "ncr_store_int.h"
#include "ncr_store_hook.h"


static ncr_int_t ncr_store_hook_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_hook_t *hook);
static ncr_int_t ncr_store_hook_one(ncr_store_t *store, ncr_store_sql_e sql,
    const char *name, ncr_store_hook_t *hook);
static ncr_int_t ncr_store_hook_put_row(ncr_store_t *store,
    ncr_store_hook_t *hook, uint64_t version, ncr_msec_t now,
    ncr_store_hook_t *cur);
static ncr_int_t ncr_store_hook_write(ncr_store_t *store,
    ncr_store_hook_t *hook);
static ncr_int_t ncr_store_hook_says(ncr_store_t *store, const char *text);
static ncr_int_t ncr_store_by_name(ncr_store_t *store, ncr_store_sql_e sql,
    const char *name);
static ncr_int_t ncr_store_set_state(ncr_store_t *store, const char *name,
    const char *state);
static ncr_int_t ncr_store_delivery_next(ncr_store_t *store, ncr_msec_t due,
    ncr_msec_t *next);
static ncr_int_t ncr_store_delivery_over(ncr_store_t *store,
    sqlite3_stmt *stmt, const char *hook, const char *state);
static ncr_int_t ncr_store_delivery_add(ncr_store_t *store,
    ncr_store_delivery_t *delivery, ncr_msec_t now);
static ncr_int_t ncr_store_alert_write(ncr_store_t *store,
    ncr_store_alert_t *alert);
static ncr_int_t ncr_store_alert_trim(ncr_store_t *store);


/* the row that stmt stands on, with texts of its own */

static ncr_int_t
ncr_store_hook_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_hook_t *hook)
{
    size_t             kind, name;
    ncr_int_t          rc;
    const void        *p;
    ncr_seal_place_t   place;

    memset(hook, 0, sizeof(ncr_store_hook_t));

    p = sqlite3_column_text(stmt, 0);
    name = (size_t) sqlite3_column_bytes(stmt, 0);

    if (p && name < NCR_STORE_NAME) {
        memcpy(hook->name, p, name);
    }

    p = sqlite3_column_text(stmt, 2);
    kind = (size_t) sqlite3_column_bytes(stmt, 2);

    if (p && kind < NCR_STORE_KIND) {
        memcpy(hook->kind, p, kind);
    }

    if (hook->name[0] == '\0' || hook->kind[0] == '\0') {
        return ncr_store_say(store, "is corrupt: a hook has no name");
    }

    hook->version = (uint64_t) sqlite3_column_int64(stmt, 1);
    hook->enabled = sqlite3_column_int(stmt, 3) != 0;
    hook->created = sqlite3_column_int64(stmt, 8);
    hook->updated = sqlite3_column_int64(stmt, 9);

    place.table = "hooks";
    place.row = hook->name;
    place.column = "url";

    rc = ncr_store_unseal(store, stmt, 4, &place, &hook->url);

    if (rc == NCR_OK) {
        place.column = "secret";
        rc = ncr_store_unseal(store, stmt, 5, &place, &hook->secret);
    }

    if (rc == NCR_OK) {
        p = sqlite3_column_text(stmt, 6);
        hook->settings = ncr_store_dup(p, p ? strlen(p) : 0);

        p = sqlite3_column_text(stmt, 7);
        hook->state = ncr_store_dup(p, p ? strlen(p) : 0);

        if (hook->settings == NULL || hook->state == NULL) {
            rc = ncr_store_say(store, "cannot be read: out of memory");
        }
    }

    if (rc != NCR_OK) {
        ncr_store_hook_free(hook);
    }

    return rc;
}


static ncr_int_t
ncr_store_hook_one(ncr_store_t *store, ncr_store_sql_e sql, const char *name,
    ncr_store_hook_t *hook)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    memset(hook, 0, sizeof(ncr_store_hook_t));

    rc = ncr_store_one(store, sql, name, &stmt);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_hook_row(store, stmt, hook);

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_store_hook_find(ncr_store_t *store, const char *name,
    ncr_store_hook_t *hook)
{
    ncr_int_t  rc;

    memset(hook, 0, sizeof(ncr_store_hook_t));

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_hook_one(store, NCR_STORE_SQL_HOOK, name, hook);

    return ncr_store_read_end(store, rc);
}


void
ncr_store_hook_free(ncr_store_hook_t *hook)
{
    ncr_store_drop(&hook->url);
    ncr_store_drop(&hook->secret);
    ncr_store_drop(&hook->settings);
    ncr_store_drop(&hook->state);
}


void
ncr_store_hook_text(char **text, const char *value)
{
    char  *copy;

    copy = ncr_store_dup(value, strlen(value));

    if (copy) {
        ncr_store_drop(text);
        *text = copy;
    }
}


ncr_int_t
ncr_store_hooks(ncr_store_t *store, ncr_store_hook_pt handler, void *data)
{
    int                err;
    ncr_int_t          rc;
    sqlite3_stmt      *stmt;
    ncr_store_hook_t   hook;

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_HOOKS);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    err = sqlite3_step(stmt);

    while (rc == NCR_OK && err == SQLITE_ROW) {

        rc = ncr_store_hook_row(store, stmt, &hook);

        if (rc == NCR_OK) {
            rc = handler(data, &hook);
            ncr_store_hook_free(&hook);
        }

        if (rc == NCR_OK) {
            err = sqlite3_step(stmt);
        }
    }

    if (rc == NCR_OK && err != SQLITE_DONE) {
        rc = ncr_store_fail(store);
    }

    sqlite3_reset(stmt);

    return ncr_store_read_end(store, (rc == NCR_DONE) ? NCR_OK : rc);
}


ncr_int_t
ncr_store_hook_put(ncr_store_t *store, ncr_store_hook_t *hook,
    uint64_t *version, ncr_msec_t now)
{
    ncr_int_t         rc;
    ncr_store_hook_t  cur;

    rc = ncr_store_name(store, hook->name);

    if (rc == NCR_OK) {
        rc = ncr_store_write(store);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_hook_put_row(store, hook, *version, now, &cur);

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK) {
        *version = cur.version;
        hook->version = cur.version;
        hook->created = cur.created;
        hook->updated = cur.updated;
    }

    ncr_store_hook_free(&cur);

    return rc;
}


static ncr_int_t
ncr_store_hook_put_row(ncr_store_t *store, ncr_store_hook_t *hook,
    uint64_t version, ncr_msec_t now, ncr_store_hook_t *cur)
{
    ncr_int_t  rc;

    rc = ncr_store_hook_one(store, NCR_STORE_SQL_HOOK, hook->name, cur);

    if (rc == NCR_OK && version != UINT64_MAX && version != cur->version) {
        return ncr_store_hook_says(store, version
                                          ? "has another version of the hook"
                                          : "has a hook of this name");
    }

    if (rc == NCR_DECLINED) {

        if (version != 0 && version != UINT64_MAX) {
            return ncr_store_hook_says(store, "has no hook of this name");
        }

        /* the last one of this name has left nothing behind */

        memcpy(cur->name, hook->name, NCR_STORE_NAME);

        cur->created = now;
        cur->version = (uint64_t) now;

        if (ncr_store_row_set(store, &cur->url, "") != NCR_OK
            || ncr_store_row_set(store, &cur->secret, "") != NCR_OK
            || ncr_store_row_set(store, &cur->settings, "{}") != NCR_OK
            || ncr_store_row_set(store, &cur->state, "") != NCR_OK)
        {
            return NCR_ERROR;
        }

        rc = NCR_OK;
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_set(store, &cur->url, hook->url);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_set(store, &cur->secret, hook->secret);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_set(store, &cur->settings, hook->settings);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    memcpy(cur->kind, hook->kind, NCR_STORE_KIND);

    cur->enabled = hook->enabled;
    cur->updated = now;
    cur->version++;

    return ncr_store_hook_write(store, cur);
}


static ncr_int_t
ncr_store_hook_write(ncr_store_t *store, ncr_store_hook_t *hook)
{
    ncr_int_t          rc;
    sqlite3_stmt      *stmt;
    ncr_seal_place_t   place;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_HOOK_WRITE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, hook->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) hook->version);
    sqlite3_bind_text(stmt, 3, hook->kind, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 4, hook->enabled);
    sqlite3_bind_text(stmt, 7, hook->settings, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 8, hook->state, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 9, hook->created);
    sqlite3_bind_int64(stmt, 10, hook->updated);

    place.table = "hooks";
    place.row = hook->name;
    place.column = "url";

    rc = ncr_store_seal(store, stmt, 5, &place, hook->url);

    if (rc == NCR_OK) {
        place.column = "secret";
        rc = ncr_store_seal(store, stmt, 6, &place, hook->secret);
    }

    return (rc == NCR_OK) ? ncr_store_run(store, stmt) : rc;
}


static ncr_int_t
ncr_store_hook_says(ncr_store_t *store, const char *text)
{
    (void) ncr_store_say(store, text);

    return NCR_DECLINED;
}


ncr_int_t
ncr_store_hook_remove(ncr_store_t *store, const char *name, uint64_t version)
{
    ncr_int_t         rc;
    ncr_store_hook_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_hook_one(store, NCR_STORE_SQL_HOOK, name, &cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no hook of this name");

    } else if (rc == NCR_OK && version != UINT64_MAX
               && version != cur.version)
    {
        rc = ncr_store_hook_says(store, "has another version of the hook");
    }

    if (rc == NCR_OK) {
        rc = ncr_store_by_name(store, NCR_STORE_SQL_HOOK_REMOVE, name);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_by_name(store, NCR_STORE_SQL_DELIVERY_REMOVE, name);
    }

    ncr_store_hook_free(&cur);

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_by_name(ncr_store_t *store, ncr_store_sql_e sql, const char *name)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, sql);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


ncr_int_t
ncr_store_hook_state(ncr_store_t *store, const char *name, const char *state)
{
    ncr_int_t  rc;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    return ncr_store_write_end(store, ncr_store_set_state(store, name, state));
}


static ncr_int_t
ncr_store_set_state(ncr_store_t *store, const char *name, const char *state)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_HOOK_STATE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, state, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


/* each is read under the old key and written under the new one */

ncr_int_t
ncr_store_hook_reseal(ncr_store_t *store, const ncr_char_t *old)
{
    char              after[NCR_STORE_NAME];
    ncr_int_t         rc;
    ncr_char_t        key[NCR_SEAL_KEY];
    ncr_store_hook_t  hook;

    memcpy(key, store->key, sizeof(key));

    after[0] = '\0';

    do {
        memcpy(store->key, old, sizeof(key));

        rc = ncr_store_hook_one(store, NCR_STORE_SQL_HOOK_AFTER, after, &hook);

        memcpy(store->key, key, sizeof(key));

        if (rc == NCR_OK) {
            rc = ncr_store_hook_write(store, &hook);

            memcpy(after, hook.name, sizeof(after));
            ncr_store_hook_free(&hook);
        }

    } while (rc == NCR_OK);

    ncr_seal_forget(key, sizeof(key));

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


ncr_int_t
ncr_store_deliveries(ncr_store_t *store, ncr_msec_t due,
    ncr_store_delivery_pt handler, void *data, ncr_msec_t *next)
{
    int                    err;
    size_t                 len;
    ncr_int_t              rc;
    const void            *p;
    sqlite3_stmt          *stmt;
    ncr_store_delivery_t   delivery;

    *next = 0;

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERIES);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, due);

    err = SQLITE_DONE;

    while (rc == NCR_OK && (err = sqlite3_step(stmt)) == SQLITE_ROW) {

        memset(&delivery, 0, sizeof(ncr_store_delivery_t));

        p = sqlite3_column_text(stmt, 1);
        len = (size_t) sqlite3_column_bytes(stmt, 1);

        if (p && len < NCR_STORE_NAME) {
            memcpy(delivery.hook, p, len);
        }

        delivery.id = (uint64_t) sqlite3_column_int64(stmt, 0);
        delivery.event = (char *) (uintptr_t) sqlite3_column_text(stmt, 2);
        delivery.created = sqlite3_column_int64(stmt, 3);
        delivery.attempts = (ncr_uint_t) sqlite3_column_int64(stmt, 4);
        delivery.next = sqlite3_column_int64(stmt, 5);

        rc = delivery.event
             ? handler(data, &delivery)
             : ncr_store_say(store, "cannot be read: out of memory");
    }

    if (rc == NCR_OK && err != SQLITE_DONE) {
        rc = ncr_store_fail(store);
    }

    sqlite3_reset(stmt);

    if (rc == NCR_OK || rc == NCR_DONE) {
        rc = ncr_store_delivery_next(store, due, next);
    }

    return ncr_store_read_end(store, rc);
}


static ncr_int_t
ncr_store_delivery_next(ncr_store_t *store, ncr_msec_t due, ncr_msec_t *next)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERY_NEXT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int64(stmt, 1, due);

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        return ncr_store_fail(store);
    }

    /* NULL, if there is none, is 0 */

    *next = sqlite3_column_int64(stmt, 0);

    sqlite3_reset(stmt);

    return NCR_OK;
}


ncr_int_t
ncr_store_delivery_again(ncr_store_t *store, uint64_t id, ncr_uint_t attempts,
    ncr_msec_t next, const char *hook, const char *state)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERY_AGAIN);

    if (stmt == NULL) {
        return ncr_store_write_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) id);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) attempts);
    sqlite3_bind_int64(stmt, 3, next);

    return ncr_store_delivery_over(store, stmt, hook, state);
}


ncr_int_t
ncr_store_delivery_end(ncr_store_t *store, uint64_t id, const char *hook,
    const char *state)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERY_END);

    if (stmt == NULL) {
        return ncr_store_write_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) id);

    return ncr_store_delivery_over(store, stmt, hook, state);
}


static ncr_int_t
ncr_store_delivery_over(ncr_store_t *store, sqlite3_stmt *stmt,
    const char *hook, const char *state)
{
    ncr_int_t  rc;

    rc = ncr_store_run(store, stmt);

    if (rc == NCR_OK && state) {
        rc = ncr_store_set_state(store, hook, state);
    }

    return ncr_store_write_end(store, rc);
}


/* to a hook that is there */

static ncr_int_t
ncr_store_delivery_add(ncr_store_t *store, ncr_store_delivery_t *delivery,
    ncr_msec_t now)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERY_ADD);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, delivery->hook, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, delivery->event, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, now);

    rc = ncr_store_run(store, stmt);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DELIVERY_TRIM);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, delivery->hook, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 2, NCR_STORE_DELIVERIES);

    return ncr_store_run(store, stmt);
}


ncr_int_t
ncr_store_alerts(ncr_store_t *store, ncr_store_alert_pt handler, void *data)
{
    int                 err;
    ncr_int_t           rc;
    sqlite3_stmt       *stmt;
    ncr_store_alert_t   alert;

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ALERTS);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    err = SQLITE_DONE;

    while (rc == NCR_OK && (err = sqlite3_step(stmt)) == SQLITE_ROW) {

        alert.key = (char *) (uintptr_t) sqlite3_column_text(stmt, 0);
        alert.since = sqlite3_column_int64(stmt, 1);
        alert.told = sqlite3_column_int64(stmt, 2);
        alert.ended = sqlite3_column_int64(stmt, 3);
        alert.data = (char *) (uintptr_t) sqlite3_column_text(stmt, 4);

        rc = (alert.key && alert.data)
             ? handler(data, &alert)
             : ncr_store_say(store, "cannot be read: out of memory");
    }

    if (rc == NCR_OK && err != SQLITE_DONE) {
        rc = ncr_store_fail(store);
    }

    sqlite3_reset(stmt);

    return ncr_store_read_end(store, (rc == NCR_DONE) ? NCR_OK : rc);
}


ncr_int_t
ncr_store_tell(ncr_store_t *store, ncr_store_alert_t *alerts, size_t nalerts,
    ncr_store_delivery_t *deliveries, size_t ndeliveries, ncr_msec_t now)
{
    size_t     i;
    ncr_int_t  rc;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    for (i = 0; rc == NCR_OK && i < nalerts; i++) {
        rc = ncr_store_alert_write(store, &alerts[i]);
    }

    if (rc == NCR_OK && nalerts) {
        rc = ncr_store_alert_trim(store);
    }

    for (i = 0; rc == NCR_OK && i < ndeliveries; i++) {
        rc = ncr_store_delivery_add(store, &deliveries[i], now);
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_alert_write(ncr_store_t *store, ncr_store_alert_t *alert)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ALERT_WRITE);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, alert->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, alert->since);
    sqlite3_bind_int64(stmt, 3, alert->told);
    sqlite3_bind_int64(stmt, 4, alert->ended);
    sqlite3_bind_text(stmt, 5, alert->data, -1, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


static ncr_int_t
ncr_store_alert_trim(ncr_store_t *store)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_ALERT_TRIM);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_int(stmt, 1, NCR_STORE_ALERTS);

    return ncr_store_run(store, stmt);
}
