
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of other files.  Several nodes have the same rows, each in a file of
 * its own, and a row that was changed in two of them at once must become the
 * same in both, in whatever order they hear of each other: of two states of
 * a row the newer one stays.  Ids and seqs are of one file and do not count;
 * names identify.
 */


#include "ncr_store_int.h"


/* below the time or fence of a tie: what is there, so that two states of one
 * millisecond are told apart */
#define NCR_STORE_TIE_BITS    20
#define NCR_STORE_TIE_LAST    ((1u << NCR_STORE_TIE_BITS) - 1)
#define NCR_STORE_TIE_FLAG    (1u << (NCR_STORE_TIE_BITS - 1))

/* of what has no tokens any more: after all that had some */
#define NCR_STORE_TIE_NONE    ((uint64_t) 1 << 62)


static uint64_t ncr_store_tie(ncr_msec_t base, uint64_t bits);
static void ncr_store_mix(uint64_t *h, const void *p, size_t len);
static void ncr_store_mix_text(uint64_t *h, const char *text);
static uint64_t ncr_store_mixed(uint64_t h);
static ncr_uint_t ncr_store_later(ncr_store_order_t *a, ncr_store_order_t *b);
static ncr_int_t ncr_store_merge_account_row(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_merge_account_new(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur, ncr_uint_t live);
static ncr_int_t ncr_store_merge_tokens_row(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_merge_tokens_set(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_account_t *cur);
static ncr_int_t ncr_store_merge_object_row(ncr_store_t *store,
    ncr_store_object_t *row);
static ncr_int_t ncr_store_merge_object_id(ncr_store_t *store,
    ncr_store_object_t *row, ncr_store_object_t *cur, ncr_uint_t live,
    uint64_t *id);
static ncr_int_t ncr_store_scan_account(ncr_store_t *store,
    ncr_store_account_t *row, ncr_store_entry_pt handler, void *data);
static ncr_int_t ncr_store_scan_object(ncr_store_t *store,
    ncr_store_object_t *row, ncr_store_entry_pt handler, void *data);


static uint64_t
ncr_store_tie(ncr_msec_t base, uint64_t bits)
{
    uint64_t  high;

    /* what does not fit was not made by a clock or a counter of ours */

    high = (base > 0) ? (uint64_t) base : 0;
    high = ncr_min(high, (uint64_t) 1 << 41);

    return high << NCR_STORE_TIE_BITS | bits;
}


/* FNV-1a: nobody is kept from anything by it */

static void
ncr_store_mix(uint64_t *h, const void *p, size_t len)
{
    size_t             i;
    const ncr_char_t  *s = p;

    for (i = 0; i < len; i++) {
        *h = (*h ^ s[i]) * 0x100000001b3ull;
    }
}


static void
ncr_store_mix_text(uint64_t *h, const char *text)
{
    /* with its NUL, so that texts do not run into each other */

    ncr_store_mix(h, text ? text : "", text ? strlen(text) + 1 : 1);
}


/* never NCR_STORE_TIE_LAST, nor with the flag */

static uint64_t
ncr_store_mixed(uint64_t h)
{
    return (h ^ h >> 20 ^ h >> 40) & (NCR_STORE_TIE_FLAG - 1);
}


void
ncr_store_account_order(ncr_store_account_t *row, ncr_store_order_t *order)
{
    uint64_t  h;

    order->version = row->version;

    if (row->removed) {
        order->tie = ncr_store_tie(row->updated, NCR_STORE_TIE_LAST);
        return;
    }

    h = 0xcbf29ce484222325ull;

    ncr_store_mix_text(&h, row->settings);
    ncr_store_mix_text(&h, row->secret);
    ncr_store_mix_text(&h, row->proxy);

    order->tie = ncr_store_tie(row->updated, ncr_store_mixed(h));
}


/*
 * Of a refresh its fence counts, of a login its time, which is larger: who
 * logs in while somebody refreshes has the last word.  A failure is newer
 * than the tokens that it is about.
 */

void
ncr_store_tokens_order(ncr_store_account_t *row, ncr_store_order_t *order)
{
    uint64_t  h;

    order->version = row->tokens;

    if (ncr_store_bare(row)) {
        order->tie = NCR_STORE_TIE_NONE;
        return;
    }

    h = 0xcbf29ce484222325ull;

    ncr_store_mix_text(&h, row->access);
    ncr_store_mix_text(&h, row->refresh);

    h = ncr_store_mixed(h) | (row->failed ? NCR_STORE_TIE_FLAG : 0);

    order->tie = ncr_store_tie(row->fence ? (ncr_msec_t) row->fence
                                          : row->granted, h);
}


ncr_uint_t
ncr_store_bare(ncr_store_account_t *row)
{
    return (row->access == NULL || row->access[0] == '\0')
           && (row->refresh == NULL || row->refresh[0] == '\0');
}


/* the first use of a key has no version, but is newer than none */

void
ncr_store_object_order(ncr_store_object_t *row, ncr_store_order_t *order)
{
    uint64_t  h;

    order->version = row->version;

    if (row->removed) {
        order->tie = ncr_store_tie(row->updated, NCR_STORE_TIE_LAST);
        return;
    }

    h = 0xcbf29ce484222325ull;

    ncr_store_mix_text(&h, row->data);
    ncr_store_mix_text(&h, row->prefix);

    if (row->has_digest) {
        ncr_store_mix(&h, row->digest, sizeof(row->digest));
    }

    h = ncr_store_mixed(h) | (row->activated ? NCR_STORE_TIE_FLAG : 0);

    order->tie = ncr_store_tie(ncr_max(row->updated, row->activated), h);
}


static ncr_uint_t
ncr_store_later(ncr_store_order_t *a, ncr_store_order_t *b)
{
    return a->version > b->version
           || (a->version == b->version && a->tie > b->tie);
}


ncr_int_t
ncr_store_merge_account(ncr_store_t *store, ncr_store_account_t *row)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_merge_account_row(store, row, &cur);

    ncr_store_row_free(&cur);

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_merge_account_row(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    ncr_int_t          rc;
    ncr_uint_t         live, same;
    ncr_store_order_t  mine, other;

    rc = ncr_store_row_name(store, row->name, cur);
    live = (rc == NCR_OK);

    if (live && cur->conf) {
        (void) ncr_store_say(store, "cannot have an account of this name: it"
                             " is one of nginx.conf");
        return NCR_BAD;
    }

    if (rc == NCR_DECLINED) {
        rc = ncr_store_row_removed(store, row->name, cur);

        if (rc == NCR_OK && cur->conf) {

            /* a block that is gone was never a row of others */

            ncr_store_row_free(cur);
            rc = NCR_DECLINED;
        }
    }

    if (rc != NCR_OK && rc != NCR_DECLINED) {
        return rc;
    }

    if (rc == NCR_OK) {
        ncr_store_account_order(cur, &mine);
        ncr_store_account_order(row, &other);

        if (!ncr_store_later(&other, &mine)) {
            return NCR_DECLINED;
        }
    }

    /* what is remembered of a file that was lost does not know its age */

    same = live && (cur->created == row->created || cur->created == 0
                    || row->created == 0);

    if ((row->removed && cur->id == 0) || (!row->removed && !same)) {
        rc = ncr_store_merge_account_new(store, row, cur, live);

    } else {
        rc = NCR_OK;
    }

    if (rc != NCR_OK) {
        return rc;
    }

    cur->version = row->version;
    cur->updated = row->updated;

    if (row->created) {
        cur->created = row->created;
    }

    if (row->removed) {

        /* tokens that came before it may be those of the next account */

        ncr_store_row_bury(cur);
        cur->tokens = row->tokens;

    } else if (ncr_store_row_set(store, &cur->settings, row->settings)
               != NCR_OK
               || ncr_store_row_set(store, &cur->secret, row->secret)
                  != NCR_OK
               || ncr_store_row_set(store, &cur->proxy, row->proxy) != NCR_OK)
    {
        return NCR_ERROR;
    }

    return ncr_store_row_save(store, cur, 0);
}


/*
 * Another account than the one that was here: it has another id, and what is
 * counted for the old one is not its.  Tokens stay, which may be those of the
 * new one already; if they are not, newer ones are on their way.
 */

static ncr_int_t
ncr_store_merge_account_new(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur, ncr_uint_t live)
{
    ncr_int_t            rc;
    ncr_store_account_t  old;

    if (live) {
        ncr_store_row_new(&old, cur->name);

        old.id = cur->id;
        old.version = cur->version;
        old.tokens = cur->tokens;
        old.created = cur->created;
        old.updated = cur->updated;
        old.removed = 1;

        rc = ncr_store_row_save(store, &old, 0);

        if (rc != NCR_OK) {
            return rc;
        }

    } else {
        old.tokens = cur->tokens;

        ncr_store_row_free(cur);
        ncr_store_row_new(cur, row->name);

        cur->tokens = old.tokens;
    }

    return ncr_store_count(store, "id", 1, 0, &cur->id);
}


ncr_int_t
ncr_store_merge_tokens(ncr_store_t *store, ncr_store_account_t *row)
{
    ncr_int_t            rc;
    ncr_store_account_t  cur;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_merge_tokens_row(store, row, &cur);

    ncr_store_row_free(&cur);

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_merge_tokens_row(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    ncr_int_t          rc;
    ncr_store_order_t  mine, other;

    rc = ncr_store_row_name(store, row->name, cur);

    if (rc == NCR_DECLINED) {
        (void) ncr_store_say(store, "has no account of this name");
    }

    if (rc != NCR_OK) {
        return rc;
    }

    if (cur->conf != row->conf) {
        (void) ncr_store_say(store, cur->conf
                             ? "cannot have these tokens: the account is one"
                               " of nginx.conf here"
                             : "cannot have these tokens: they are of an"
                               " account of another nginx.conf");
        return NCR_BAD;
    }

    ncr_store_tokens_order(cur, &mine);
    ncr_store_tokens_order(row, &other);

    if (!ncr_store_later(&other, &mine)) {
        return NCR_DECLINED;
    }

    return ncr_store_merge_tokens_set(store, row, cur);
}


static ncr_int_t
ncr_store_merge_tokens_set(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_account_t *cur)
{
    const char  *reason;
    ncr_uint_t   lost;

    lost = ncr_store_bare(row) && !ncr_store_bare(cur);
    reason = lost ? "its tokens were removed by another node" : row->reason;

    if (ncr_store_row_set(store, &cur->access, row->access) != NCR_OK
        || ncr_store_row_set(store, &cur->refresh, row->refresh) != NCR_OK
        || ncr_store_row_set(store, &cur->scopes, row->scopes) != NCR_OK
        || ncr_store_row_set(store, &cur->meta, row->meta) != NCR_OK
        || ncr_store_row_set(store, &cur->reason, reason) != NCR_OK
        || ncr_store_row_set(store, &cur->holder, row->holder) != NCR_OK)
    {
        return NCR_ERROR;
    }

    /* which tokens of nginx.conf they began with, or they are taken anew */

    if (cur->conf
        && ncr_store_row_set(store, &cur->settings, row->settings) != NCR_OK)
    {
        return NCR_ERROR;
    }

    cur->tokens = row->tokens;
    cur->fence = row->fence;
    cur->expires = row->expires;
    cur->granted = row->granted;
    cur->pending = 0;
    cur->failed = row->failed;

    if (lost && cur->failed == 0) {
        cur->failed = ncr_max(cur->updated, 1);
    }

    return ncr_store_row_save(store, cur, 0);
}


ncr_int_t
ncr_store_merge_object(ncr_store_t *store, ncr_store_object_t *row)
{
    ncr_int_t  rc;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    return ncr_store_write_end(store,
                               ncr_store_merge_object_row(store, row));
}


static ncr_int_t
ncr_store_merge_object_row(ncr_store_t *store, ncr_store_object_t *row)
{
    ncr_int_t           rc;
    ncr_uint_t          live;
    ncr_store_order_t   mine, other;
    ncr_store_object_t  cur, new;

    rc = ncr_store_object_name(store, row->kind, row->name, &cur);
    live = (rc == NCR_OK);

    if (rc == NCR_DECLINED) {
        rc = ncr_store_object_removed(store, row->kind, row->name, &cur);
    }

    if (rc == NCR_OK) {
        ncr_store_object_order(&cur, &mine);
        ncr_store_object_order(row, &other);

        rc = ncr_store_later(&other, &mine) ? NCR_OK : NCR_DONE;

    } else if (rc == NCR_DECLINED) {
        rc = NCR_OK;
    }

    new = *row;

    if (rc == NCR_OK) {
        rc = ncr_store_merge_object_id(store, row, &cur, live, &new.id);
    }

    if (rc == NCR_OK && !row->removed) {
        rc = ncr_store_object_free_digest(store, row, new.id);

        if (rc == NCR_DECLINED) {
            (void) ncr_store_say(store, "has a key with this secret");
            rc = NCR_BAD;
        }
    }

    if (rc == NCR_OK) {

        if (new.removed) {
            new.data = NULL;
            new.has_digest = 0;
            new.prefix[0] = '\0';
            new.activated = 0;

        } else if (live && new.id == cur.id && new.activated == 0) {

            /* who has changed it did not know of its first use yet */

            new.activated = cur.activated;
        }

        rc = ncr_store_object_save(store, &new, 0);
    }

    ncr_store_object_free(&cur);

    return (rc == NCR_DONE) ? NCR_DECLINED : rc;
}


/* as with accounts: what was removed and made anew is another one */

static ncr_int_t
ncr_store_merge_object_id(ncr_store_t *store, ncr_store_object_t *row,
    ncr_store_object_t *cur, ncr_uint_t live, uint64_t *id)
{
    ncr_int_t           rc;
    ncr_store_object_t  old;

    if (cur->id && (row->removed
                    || (live && (cur->created == row->created
                                 || cur->created == 0
                                 || row->created == 0))))
    {
        *id = cur->id;
        return NCR_OK;
    }

    if (live) {
        old = *cur;
        old.data = NULL;
        old.has_digest = 0;
        old.prefix[0] = '\0';
        old.activated = 0;
        old.removed = 1;

        rc = ncr_store_object_save(store, &old, 0);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return ncr_store_count(store, "object", 1, 0, id);
}


/* a card is worth something once, where it was made */

ncr_uint_t
ncr_store_shared(const char *kind)
{
    size_t  i;

    static const char *const  kinds[] = {
        "key", "user", "group", "limit", "setting"
    };

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


ncr_int_t
ncr_store_last(ncr_store_t *store, const char *name, ncr_store_account_t *row)
{
    ncr_int_t  rc;

    memset(row, 0, sizeof(ncr_store_account_t));

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_row_name(store, name, row);

    if (rc == NCR_DECLINED) {
        rc = ncr_store_row_removed(store, name, row);
    }

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_object_last(ncr_store_t *store, const char *kind, const char *name,
    ncr_store_object_t *row)
{
    ncr_int_t  rc;

    memset(row, 0, sizeof(ncr_store_object_t));

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_name(store, kind, name, row);

    if (rc == NCR_DECLINED) {
        rc = ncr_store_object_removed(store, kind, name, row);
    }

    return ncr_store_read_end(store, rc);
}


ncr_int_t
ncr_store_scan(ncr_store_t *store, ncr_uint_t objects, uint64_t *seq,
    size_t max, ncr_store_entry_pt handler, void *data)
{
    int                  err;
    ncr_int_t            rc;
    sqlite3_stmt        *stmt;
    ncr_store_object_t   object;
    ncr_store_account_t  row;

    rc = ncr_store_read(store);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_store_stmt(store, objects ? NCR_STORE_SQL_OBJECTS
                                         : NCR_STORE_SQL_LOAD);

    if (stmt == NULL) {
        return ncr_store_read_end(store, ncr_store_fail(store));
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) *seq);

    for ( ;; ) {

        if (max-- == 0) {
            rc = NCR_OK;
            break;
        }

        err = sqlite3_step(stmt);

        if (err != SQLITE_ROW) {
            rc = (err == SQLITE_DONE) ? NCR_DONE : ncr_store_fail(store);
            break;
        }

        if (objects) {
            rc = ncr_store_object_row(store, stmt, &object);

            if (rc == NCR_OK) {
                rc = ncr_store_scan_object(store, &object, handler, data);
                *seq = object.seq;
            }

        } else {
            rc = ncr_store_row(store, stmt, &row);

            if (rc == NCR_OK) {
                rc = ncr_store_scan_account(store, &row, handler, data);
                *seq = row.seq;
                ncr_store_row_free(&row);
            }
        }

        if (rc != NCR_OK) {
            break;
        }
    }

    return ncr_store_read_end(store, rc);
}


/* a tombstone in front of another row of its name is nobody's state */

static ncr_int_t
ncr_store_scan_account(ncr_store_t *store, ncr_store_account_t *row,
    ncr_store_entry_pt handler, void *data)
{
    ncr_int_t            rc;
    ncr_uint_t           last;
    ncr_store_entry_t    entry;
    ncr_store_account_t  cur;

    if (row->removed) {

        if (row->conf) {
            return NCR_OK;
        }

        rc = ncr_store_row_name(store, row->name, &cur);

        if (rc == NCR_DECLINED) {
            rc = ncr_store_row_removed(store, row->name, &cur);
        }

        last = (cur.id == row->id);

        ncr_store_row_free(&cur);

        if (rc != NCR_OK || !last) {
            return rc;
        }
    }

    memset(&entry, 0, sizeof(ncr_store_entry_t));

    entry.seq = row->seq;
    entry.removed = row->removed;

    rc = NCR_OK;

    if (!row->conf) {
        ncr_store_account_order(row, &entry.order);
        snprintf(entry.name, sizeof(entry.name), "a/%s", row->name);

        rc = handler(data, &entry);
    }

    if (rc == NCR_OK && row->tokens) {
        ncr_store_tokens_order(row, &entry.order);
        snprintf(entry.name, sizeof(entry.name), "t/%s", row->name);

        rc = handler(data, &entry);
    }

    return rc;
}


static ncr_int_t
ncr_store_scan_object(ncr_store_t *store, ncr_store_object_t *row,
    ncr_store_entry_pt handler, void *data)
{
    ncr_int_t           rc;
    ncr_uint_t          last;
    ncr_store_entry_t   entry;
    ncr_store_object_t  cur;

    if (!ncr_store_shared(row->kind)) {
        return NCR_OK;
    }

    if (row->removed) {
        rc = ncr_store_object_name(store, row->kind, row->name, &cur);

        if (rc == NCR_DECLINED) {
            rc = ncr_store_object_removed(store, row->kind, row->name, &cur);
        }

        last = (cur.id == row->id);

        ncr_store_object_free(&cur);

        if (rc != NCR_OK || !last) {
            return rc;
        }
    }

    memset(&entry, 0, sizeof(ncr_store_entry_t));

    entry.seq = row->seq;
    entry.removed = row->removed;

    ncr_store_object_order(row, &entry.order);
    snprintf(entry.name, sizeof(entry.name), "o/%s/%s", row->kind, row->name);

    return handler(data, &entry);
}
