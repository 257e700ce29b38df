
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is done with accounts. */


#include "ncr_store_int.h"


static ncr_int_t ncr_store_put_row(ncr_store_t *store,
    ncr_store_account_t *row, uint64_t version, ncr_msec_t now,
    ncr_store_account_t *cur);
static ncr_int_t ncr_store_put_new(ncr_store_t *store, const char *name,
    ncr_msec_t now, ncr_store_account_t *cur);
static ncr_int_t ncr_store_tokens_row(ncr_store_t *store,
    ncr_store_account_t *row, uint64_t have, ncr_store_account_t *cur);
static ncr_int_t ncr_store_restore_row(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_restore_new(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_restore_merge(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_restore_settings(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_restore_tokens(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);


ncr_int_t
ncr_store_load(ncr_store_t *store, uint64_t *seq, ncr_store_row_pt handler,
    void *data)
{
    int                   err;
    ncr_int_t             rc;
    sqlite3_stmt         *stmt;
    ncr_store_account_t   row;

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_LOAD);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) *seq);

    for ( ;; ) {

        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);
            break;
        }

        rc = ncr_store_row(store, stmt, &row);

        if (rc != NCR_OK) {
            break;
        }

        rc = handler(data, &row);

        if (rc == NCR_OK) {
            *seq = row.seq;
        }

        ncr_store_row_free(&row);

        if (rc != NCR_OK) {
            break;
        }
    }

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_find(ncr_store_t *store, const char *name, ncr_store_account_t *row)
{
    ncr_int_t  rc;

    memset(row, 0, sizeof(ncr_store_account_t));

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, row);

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_put(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t *version, ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_put_row(store, row, *version, now, &cur);

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK) {
        *version = cur.version;
        row->id = cur.id;
        row->seq = cur.seq;
        row->version = cur.version;
    }

    ncr_store_row_free(&cur);

    return rc;
}


static ncr_int_t
ncr_store_put_row(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t version, ncr_msec_t now, ncr_store_account_t *cur)
{
    ncr_int_t  rc;

    rc = ncr_store_row_name(store, row->name, cur);

    if (rc == NCR_OK) {

        /* for one of nginx.conf, what the relay notes down about it */

        if (cur->conf && !row->conf) {
            (void) ncr_store_say(store, "cannot have an account of this name:"
                                 " it is one of nginx.conf");
            return NCR_DECLINED;
        }

        if (version != UINT64_MAX && version != cur->version) {
            (void) ncr_store_say(store, version
                                 ? "has another version of the account"
                                 : "has an account of this name");
            return NCR_DECLINED;
        }

    } else if (rc == NCR_DECLINED) {

        if (version != 0 && version != UINT64_MAX) {
            (void) ncr_store_say(store, "has no account of this name");
            return NCR_DECLINED;
        }

        rc = ncr_store_put_new(store, row->name, now, cur);
    }

    if (rc != NCR_OK) {
        return rc;
    }

    if (ncr_store_row_set(store, &cur->settings, row->settings) != NCR_OK
        || ncr_store_row_set(store, &cur->secret, row->secret) != NCR_OK
        || ncr_store_row_set(store, &cur->proxy, row->proxy) != NCR_OK)
    {
        return NCR_ERROR;
    }

    cur->version++;
    cur->updated = now;

    return ncr_store_row_save(store, cur, 0);
}


/*
 * The versions go on from where a removed account of this name has left them:
 * whoever still has that one's must not be taken for up to date.
 */

static ncr_int_t
ncr_store_put_new(ncr_store_t *store, const char *name, ncr_msec_t now,
    ncr_store_account_t *cur)
{
    uint64_t   version, tokens;
    ncr_int_t  rc;

    rc = ncr_store_row_removed(store, name, cur);

    version = cur->version;
    tokens = cur->tokens;

    ncr_store_row_free(cur);

    if (rc != NCR_OK && rc != NCR_DECLINED) {
        return rc;
    }

    ncr_store_row_new(cur, name);

    cur->created = now;
    cur->version = version;
    cur->tokens = tokens;

    return ncr_store_count(store, "id", 1, 0, &cur->id);
}


ncr_int_t
ncr_store_remove(ncr_store_t *store, const char *name, uint64_t version,
    ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, &cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");

    } else if (rc == NCR_OK && version != UINT64_MAX
               && version != cur.version)
    {
        (void) ncr_store_say(store, "has another version of the account");
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        ncr_store_row_bury(&cur);

        cur.version++;
        cur.tokens += (cur.tokens != 0);
        cur.updated = now;

        rc = ncr_store_row_save(store, &cur, 0);
    }

    ncr_store_row_free(&cur);

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_adopt(ncr_store_t *store, const char *name, uint64_t *id,
    ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    /* at each start but the first there is nothing to write */

    rc = ncr_store_find(store, name, &cur);

    if (rc == NCR_DECLINED) {

        rc = ncr_store_write(store);

        if (rc != NCR_OK) {
            return rc;
        }

        rc = ncr_store_row_name(store, name, &cur);

        if (rc == NCR_DECLINED) {
            rc = ncr_store_put_new(store, name, now, &cur);

            if (rc == NCR_OK) {
                cur.conf = 1;
                cur.updated = now;

                rc = ncr_store_row_save(store, &cur, 0);
            }
        }

        rc = ncr_store_write_end(store, rc);
    }

    if (rc == NCR_OK) {

        if (cur.conf) {
            *id = cur.id;

        } else {
            (void) ncr_store_say(store, "has an account of its own of this"
                                 " name");
            rc = NCR_DECLINED;
        }
    }

    ncr_store_row_free(&cur);

    return rc;
}


ncr_int_t
ncr_store_tokens(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t have, ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_tokens_row(store, row, have, &cur);

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK) {
        row->id = cur.id;
        row->seq = cur.seq;
        row->tokens = cur.tokens;
    }

    ncr_store_row_free(&cur);

    return rc;
}


static ncr_int_t
ncr_store_tokens_row(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t have, ncr_store_account_t *cur)
{
    ncr_int_t  rc;

    rc = ncr_store_row_name(store, row->name, cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");
    }

    if (rc != NCR_OK) {
        return rc;
    }

    if (have != UINT64_MAX && have != cur->tokens) {
        (void) ncr_store_say(store, "has other tokens of the account");
        return NCR_DECLINED;
    }

    if (ncr_store_row_set(store, &cur->access, row->access) != NCR_OK
        || ncr_store_row_set(store, &cur->refresh, row->refresh) != NCR_OK
        || ncr_store_row_set(store, &cur->scopes, row->scopes) != NCR_OK
        || ncr_store_row_set(store, &cur->meta, row->meta) != NCR_OK
        || ncr_store_row_set(store, &cur->reason, "") != NCR_OK
        || ncr_store_row_set(store, &cur->holder,
                             row->holder ? row->holder : "")
           != NCR_OK)
    {
        return NCR_ERROR;
    }

    cur->tokens++;
    cur->fence = row->fence;
    cur->expires = row->expires;
    cur->pending = 0;
    cur->failed = 0;

    if (row->granted) {
        cur->granted = row->granted;
    }

    return ncr_store_row_save(store, cur, 0);
}


ncr_int_t
ncr_store_begin(ncr_store_t *store, const char *name, uint64_t have,
    ncr_store_account_t *row, ncr_msec_t now)
{
    ncr_int_t   rc;
    ncr_msec_t  before;

    memset(row, 0, sizeof(ncr_store_account_t));

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, row);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");

    } else if (rc == NCR_OK && have != UINT64_MAX && row->tokens > have) {
        rc = NCR_DONE;
    }

    before = row->pending;

    if (rc == NCR_OK) {
        row->pending = now;
        rc = ncr_store_row_save(store, row, 0);
    }

    row->pending = before;

    rc = ncr_store_write_end(store, rc);

    if (rc != NCR_OK && rc != NCR_DONE) {
        ncr_store_row_free(row);
    }

    return rc;
}


ncr_int_t
ncr_store_failed(ncr_store_t *store, const char *name, uint64_t have,
    const char *reason, ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, &cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");

    } else if (rc == NCR_OK && have != UINT64_MAX && have != cur.tokens) {
        (void) ncr_store_say(store, "has other tokens of the account");
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        cur.pending = 0;

        if (reason) {
            cur.failed = now;
            rc = ncr_store_row_set(store, &cur.reason, reason);
        }
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_save(store, &cur, 0);
    }

    ncr_store_row_free(&cur);

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_meta(ncr_store_t *store, const char *name, const char *meta,
    ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, &cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_set(store, &cur.meta, meta);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_row_save(store, &cur, 0);
    }

    ncr_store_row_free(&cur);

    return ncr_store_write_end(store, rc);
}


ncr_int_t
ncr_store_restore(ncr_store_t *store, ncr_store_account_t *row,
    ncr_msec_t now)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_restore_row(store, row, &cur);

    /* NCR_DONE: what is in the file is as good, or better */

    rc = ncr_store_write_end(store, rc);

    if (rc == NCR_OK || rc == NCR_DONE) {
        row->id = cur.id;
        row->seq = cur.seq;
        rc = NCR_OK;
    }

    ncr_store_row_free(&cur);

    return rc;
}


static ncr_int_t
ncr_store_restore_row(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    ncr_int_t  rc;

    rc = ncr_store_row_name(store, row->name, cur);

    if (rc == NCR_OK) {

        if (!row->removed) {
            return ncr_store_restore_merge(store, row, cur);
        }

        /* another account of this name, or this one, changed since */

        if (cur->id != row->id || cur->version >= row->version) {
            return NCR_DONE;
        }

        ncr_store_row_bury(cur);

        cur->version = row->version;
        cur->updated = row->updated;

        return ncr_store_row_save(store, cur, row->seq + 1);
    }

    if (rc != NCR_DECLINED) {
        return rc;
    }

    rc = ncr_store_row_id(store, NCR_STORE_SQL_BY_ID, row->id, cur);

    if (rc == NCR_OK && cur->removed && strcmp(cur->name, row->name) == 0) {

        /* it was removed after this process had heard of it */

        return NCR_DONE;
    }

    if (rc == NCR_OK) {

        /* the id is another account's by now */

        ncr_store_row_free(cur);
        ncr_store_row_new(cur, row->name);

        rc = ncr_store_count(store, "id", 1, 0, &cur->id);

    } else if (rc == NCR_DECLINED) {
        ncr_store_row_new(cur, row->name);

        rc = ncr_store_count(store, "id", row->id == 0, row->id, &cur->id);

        if (row->id) {
            cur->id = row->id;
        }
    }

    return (rc == NCR_OK) ? ncr_store_restore_new(store, row, cur) : rc;
}


static ncr_int_t
ncr_store_restore_new(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    cur->conf = row->conf;

    if (ncr_store_restore_settings(store, row, cur) != NCR_OK
        || ncr_store_restore_tokens(store, row, cur) != NCR_OK)
    {
        return NCR_ERROR;
    }

    if (row->removed) {
        ncr_store_row_bury(cur);
    }

    return ncr_store_row_save(store, cur, row->seq + 1);
}


/* the two parts are independent of each other */

static ncr_int_t
ncr_store_restore_merge(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    ncr_uint_t  changed;

    changed = 0;

    if (row->version > cur->version && !cur->conf && !row->conf) {

        if (ncr_store_restore_settings(store, row, cur) != NCR_OK) {
            return NCR_ERROR;
        }

        changed = 1;
    }

    if (row->tokens > cur->tokens) {

        if (ncr_store_restore_tokens(store, row, cur) != NCR_OK) {
            return NCR_ERROR;
        }

        changed = 1;
    }

    return changed ? ncr_store_row_save(store, cur, row->seq + 1) : NCR_DONE;
}


static ncr_int_t
ncr_store_restore_settings(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    cur->version = row->version;
    cur->created = row->created;
    cur->updated = row->updated;

    if (ncr_store_row_set(store, &cur->settings, row->settings) != NCR_OK
        || ncr_store_row_set(store, &cur->secret, row->secret) != NCR_OK)
    {
        return NCR_ERROR;
    }

    return ncr_store_row_set(store, &cur->proxy, row->proxy);
}


static ncr_int_t
ncr_store_restore_tokens(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    cur->tokens = row->tokens;
    cur->expires = row->expires;
    cur->granted = row->granted;
    cur->pending = row->pending;
    cur->failed = row->failed;
    cur->fence = row->fence;

    if (ncr_store_row_set(store, &cur->access, row->access) != NCR_OK
        || ncr_store_row_set(store, &cur->holder, row->holder) != NCR_OK
        || ncr_store_row_set(store, &cur->refresh, row->refresh) != NCR_OK
        || ncr_store_row_set(store, &cur->scopes, row->scopes) != NCR_OK
        || ncr_store_row_set(store, &cur->meta, row->meta) != NCR_OK)
    {
        return NCR_ERROR;
    }

    return ncr_store_row_set(store, &cur->reason, row->reason);
}
