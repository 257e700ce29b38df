
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_test.h"


typedef struct {
    ncr_uint_t   rows;
    ncr_uint_t   removed;
    uint64_t     last;
    ncr_uint_t   ordered;
    char         names[256];
    ncr_uint_t   stop;
} ncr_test_seen_t;


static ncr_int_t
ncr_test_handler(void *data, ncr_store_object_t *row)
{
    size_t            n;
    ncr_test_seen_t  *seen = data;

    seen->rows++;
    seen->removed += row->removed;
    seen->ordered += (row->seq > seen->last);
    seen->last = row->seq;

    n = strlen(seen->names);
    snprintf(seen->names + n, sizeof(seen->names) - n, "%s ", row->name);

    return (seen->rows == seen->stop) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_account(void *data, ncr_store_account_t *row)
{
    ncr_uint_t  *rows = data;

    (*rows)++;

    return NCR_OK;
}


static void
ncr_test_row(ncr_store_object_t *row, const char *kind, const char *name,
    const char *data, int digest)
{
    memset(row, 0, sizeof(ncr_store_object_t));

    snprintf(row->kind, sizeof(row->kind), "%s", kind);
    snprintf(row->name, sizeof(row->name), "%s", name);

    row->data = (char *) (uintptr_t) data;

    if (digest) {
        row->has_digest = 1;
        snprintf(row->prefix, sizeof(row->prefix), "cr_%d", digest);
        memset(row->digest, digest, 32);
    }
}


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *kind, const char *name,
    const char *data, int digest, uint64_t version)
{
    ncr_store_object_t  row;

    ncr_test_row(&row, kind, name, data, digest);

    return ncr_store_object_put(store, &row, &version, 1000);
}


static ncr_uint_t
ncr_test_load(ncr_store_t *store, uint64_t *seq, ncr_test_seen_t *seen)
{
    memset(seen, 0, sizeof(ncr_test_seen_t));

    if (ncr_store_objects(store, seq, ncr_test_handler, seen) != NCR_OK
        || seen->ordered != seen->rows)
    {
        return 9999;
    }

    return seen->rows;
}


static void
ncr_test_objects(void)
{
    uint64_t             seq, version, id, last;
    ncr_uint_t           accounts;
    ncr_store_t         *store, *other;
    ncr_test_seen_t      seen;
    ncr_store_object_t   row, found;
    ncr_store_account_t  account;

    store = ncr_test_open();
    other = ncr_test_open();

    seq = 0;
    ncr_test(ncr_test_load(store, &seq, &seen) == 0 && seq == 0,
             "nothing yet");
    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_DECLINED,
             "find: nothing");

    ncr_test_row(&row, "key", "a", "{\"x\":1}", 1);
    version = 7;
    ncr_test(ncr_store_object_put(store, &row, &version, 1000) == NCR_DECLINED
             && strstr(ncr_store_error(store), "has no key of this name"),
             "put: a version of what is not there");
    version = 0;
    ncr_test(ncr_store_object_put(store, &row, &version, 1000) == NCR_OK
             && version == 1 && row.id == 1 && row.seq == 1
             && row.created == 1000, "put: new");
    version = 0;
    ncr_test(ncr_store_object_put(store, &row, &version, 1000) == NCR_DECLINED
             && strstr(ncr_store_error(store), "has a key of this name"),
             "put: not new");

    id = row.id;

    ncr_test(ncr_store_object_find(other, "key", "a", &found) == NCR_OK
             && strcmp(found.data, "{\"x\":1}") == 0 && found.has_digest
             && found.digest[0] == 1 && found.digest[31] == 1
             && strcmp(found.prefix, "cr_1") == 0
             && found.version == 1 && found.created == 1000
             && found.activated == 0 && !found.removed, "found by another");
    ncr_store_object_free(&found);

    ncr_test(ncr_store_object_find(store, "user", "a", &found)
             == NCR_DECLINED, "find: of another kind");
    ncr_test(ncr_test_put(store, "user", "a", "{}", 0, 0) == NCR_OK,
             "the same name in another kind");

    ncr_test_row(&row, "key", "a", "{\"x\":2}", 0);
    version = 1;
    ncr_test(ncr_store_object_put(store, &row, &version, 2000) == NCR_OK
             && version == 2 && row.id == id && row.created == 1000
             && row.updated == 2000, "put: this version");
    version = 1;
    ncr_test(ncr_store_object_put(store, &row, &version, 2000) == NCR_DECLINED
             && strstr(ncr_store_error(store), "another version of the key"),
             "put: an older version");

    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && strcmp(found.data, "{\"x\":2}") == 0 && found.has_digest
             && found.digest[7] == 1, "the digest was kept");
    ncr_store_object_free(&found);

    ncr_test(ncr_test_put(store, "key", "b", "{}", 1, 0) == NCR_DECLINED
             && strstr(ncr_store_error(store), "has a key with this secret"),
             "put: the secret of another key");
    ncr_test(ncr_test_put(store, "key", "b", "{}", 2, 0) == NCR_OK,
             "put: a secret of its own");
    ncr_test(ncr_test_put(store, "key", "b", NULL, 1, UINT64_MAX)
             == NCR_DECLINED, "change: the secret of another key");
    ncr_test(ncr_test_put(store, "key", "b", NULL, 3, UINT64_MAX) == NCR_OK
             && ncr_test_put(store, "key", "c", "{}", 2, 0) == NCR_OK,
             "the secret that it had is free");

    /* accounts and objects share the count, not the rows */

    memset(&account, 0, sizeof(account));
    snprintf(account.name, sizeof(account.name), "a");
    account.settings = (char *) (uintptr_t) "{}";
    version = 0;
    (void) ncr_store_put(store, &account, &version, 1);

    seq = 0;
    accounts = 0;
    ncr_test(ncr_test_load(other, &seq, &seen) == 4, "load: all");
    ncr_test(ncr_store_load(other, &seq, ncr_test_account, &accounts)
             == NCR_OK && accounts == 1 && seq > seen.last,
             "the account has come later");

    ncr_test(ncr_store_object_remove(store, "key", "a", 1, 3000, &last)
             == NCR_DECLINED, "remove: another version");
    ncr_test(ncr_store_object_remove(store, "key", "nobody", UINT64_MAX, 3000,
                                     &last)
             == NCR_DECLINED, "remove: nothing");
    ncr_test(ncr_store_object_remove(store, "key", "a", 2, 3000, &last)
                == NCR_OK
             && ncr_store_object_find(store, "key", "a", &found)
                == NCR_DECLINED, "remove");
    ncr_test(ncr_test_load(other, &seq, &seen) == 1 && seen.removed == 1,
             "load: a tombstone");
    ncr_test(ncr_test_value(ncr_test_path, "SELECT count(*) FROM objects"
                            " WHERE removed = 1 AND (digest IS NOT NULL"
                            " OR data <> '')") == 0, "with nothing in it");

    ncr_test_row(&row, "key", "a", "{}", 1);
    version = 0;
    ncr_test(ncr_store_object_put(store, &row, &version, 4000) == NCR_OK
             && row.id != id && version == 4,
             "made anew: another id, and a version nobody has seen");

    ncr_test(ncr_test_put(store, "key", "", "{}", 0, 0) == NCR_ERROR,
             "put: no name");

    memset(&seen, 0, sizeof(seen));
    ncr_test(ncr_store_object_list(store, "key", "", ncr_test_handler, &seen)
             == NCR_OK && strcmp(seen.names, "a b c ") == 0, "list");
    memset(&seen, 0, sizeof(seen));
    seen.stop = 1;
    ncr_test(ncr_store_object_list(store, "key", "a", ncr_test_handler, &seen)
             == NCR_OK && strcmp(seen.names, "b ") == 0,
             "list: one after a name");
    memset(&seen, 0, sizeof(seen));
    ncr_test(ncr_store_object_list(store, "key", "c", ncr_test_handler, &seen)
             == NCR_OK && seen.rows == 0, "list: after the last one");

    ncr_test(ncr_store_changed(other) == NCR_OK
             && ncr_store_changed(other) == NCR_DECLINED, "not changed");
    (void) ncr_test_put(store, "group", "g", "{}", 0, 0);
    ncr_test(ncr_store_changed(other) == NCR_OK, "changed");

    ncr_store_close(store);
    ncr_store_close(other);
    ncr_test_clean();
}


static void
ncr_test_activate(void)
{
    uint64_t             version, last;
    ncr_store_t         *store;
    ncr_store_object_t   row, found;

    store = ncr_test_open();

    ncr_test_row(&row, "key", "a", "{}", 1);
    version = 0;
    (void) ncr_store_object_put(store, &row, &version, 1000);

    ncr_test(ncr_store_object_activate(store, row.id, 5000) == NCR_OK
             && ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.activated == 5000 && found.version == 1
             && found.seq > row.seq && found.updated == 1000, "first use");
    ncr_store_object_free(&found);
    ncr_test(ncr_store_object_activate(store, row.id, 6000) == NCR_DECLINED,
             "there is one first use");
    ncr_test(ncr_store_object_activate(store, 99, 6000) == NCR_DECLINED,
             "of nothing");

    version = UINT64_MAX;
    row.activated = 7000;
    ncr_test(ncr_store_object_put(store, &row, &version, 1000) == NCR_OK
             && ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.activated == 7000, "set by hand");
    ncr_store_object_free(&found);

    (void) ncr_store_object_remove(store, "key", "a", UINT64_MAX, 1, &last);
    ncr_test(ncr_store_object_activate(store, row.id, 6000) == NCR_DECLINED,
             "of one that is gone");

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_batch(void)
{
    size_t               which;
    uint64_t             ids[4];
    ncr_store_t         *store;
    ncr_test_seen_t      seen;
    ncr_store_bound_t    bound;
    ncr_store_object_t   rows[3], found;

    store = ncr_test_open();

    ncr_test_row(&rows[0], "key", "a", "{\"user\":\"u\"}", 1);
    ncr_test_row(&rows[1], "key", "b", "{\"user\":\"u\"}", 2);
    ncr_test_row(&rows[2], "key", "c", "{\"user\":\"u\"}", 1);

    ncr_test(ncr_store_objects_put(store, rows, 3, NULL, 1000, &which)
             == NCR_DECLINED && which == 2
             && strstr(ncr_store_error(store), "has a key with this secret"),
             "many: one that does not hold");
    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_DECLINED,
             "many: then there is none of them");

    bound.kind = "key";
    bound.part = "\"user\":\"u\"";
    bound.also = "\"made\":1";
    bound.without = "\"gone\"";
    bound.max = 1;

    ncr_test_row(&rows[0], "key", "a", "{\"made\":1,\"user\":\"u\"}", 1);
    ncr_test_row(&rows[1], "key", "b", "{\"made\":1,\"user\":\"u\"}", 2);

    ncr_test(ncr_store_objects_put(store, rows, 2, &bound, 1000, &which)
             == NCR_DECLINED && which == 2, "many: more than there may be");

    ncr_test_row(&rows[0], "key", "a", "{\"made\":1,\"user\":\"u\"}", 1);
    ncr_test_row(&rows[1], "key", "b",
                 "{\"made\":1,\"user\":\"u\",\"gone\":1}", 2);
    ncr_test_row(&rows[2], "key", "c", "{\"user\":\"u\"}", 3);

    ncr_test(ncr_store_objects_put(store, rows, 3, &bound, 1000, &which)
             == NCR_OK && rows[2].id == rows[0].id + 2
             && rows[2].seq == rows[0].seq + 2 && rows[1].version == 1
             && strcmp(rows[1].prefix, "cr_2") == 0, "many: all of them");

    ids[0] = rows[2].id;
    ids[1] = 4711;
    ids[2] = rows[0].id;
    ids[3] = rows[1].id;

    ncr_test_row(&rows[0], "key", "a", "{}", 0);
    rows[0].version = 1;
    ncr_test_row(&rows[1], "key", "b", NULL, 0);
    rows[1].version = 2;
    rows[1].removed = 1;

    ncr_test(ncr_store_objects_put(store, rows, 2, NULL, 2000, &which)
             == NCR_DECLINED && which == 1
             && strstr(ncr_store_error(store), "another version"),
             "many: another version");
    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.version == 1, "many: nothing was changed");
    ncr_store_object_free(&found);

    ncr_test_row(&rows[0], "key", "a", "{}", 0);
    rows[0].version = 1;
    ncr_test_row(&rows[1], "key", "b", NULL, 0);
    rows[1].version = 1;
    rows[1].removed = 1;

    ncr_test(ncr_store_objects_put(store, rows, 2, NULL, 2000, &which)
             == NCR_OK && rows[0].version == 2 && rows[0].created == 1000
             && strcmp(rows[0].prefix, "cr_1") == 0,
             "many: one is changed, one is removed");

    memset(&seen, 0, sizeof(seen));
    ncr_test(ncr_store_object_pick(store, ids, 4, ncr_test_handler, &seen)
             == NCR_OK && strcmp(seen.names, "c a ") == 0,
             "pick: in the order of the ids");

    memset(rows[0].digest, 3, 32);
    ncr_test(ncr_store_object_digest(store, "key", rows[0].digest, &found)
             == NCR_OK && strcmp(found.name, "c") == 0, "found by its digest");
    ncr_store_object_free(&found);
    ncr_test(ncr_store_object_digest(store, "card", rows[0].digest, &found)
             == NCR_DECLINED, "digest: of another kind");
    memset(rows[0].digest, 2, 32);
    ncr_test(ncr_store_object_digest(store, "key", rows[0].digest, &found)
             == NCR_DECLINED, "digest: of one that was removed");

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_restore(void)
{
    uint64_t             version, last;
    ncr_store_t         *store;
    ncr_store_object_t   rows[4], found;

    store = ncr_test_open();

    ncr_test_row(&rows[0], "key", "a", "{\"n\":1}", 1);
    rows[0].id = 5;
    rows[0].seq = 40;
    rows[0].version = 3;
    rows[0].created = 100;
    rows[0].updated = 200;
    rows[0].activated = 300;
    ncr_test_row(&rows[1], "user", "u", "{}", 0);
    rows[1].id = 6;
    rows[1].seq = 41;
    rows[1].version = 1;

    ncr_test(ncr_store_object_restore(store, rows, 2) == NCR_OK
             && ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.id == 5 && found.version == 3 && found.seq > 40
             && found.created == 100 && found.updated == 200
             && found.activated == 300 && found.digest[3] == 1
             && strcmp(found.data, "{\"n\":1}") == 0,
             "restore: into a new file");
    ncr_store_object_free(&found);
    ncr_test(ncr_store_object_find(store, "user", "u", &found) == NCR_OK
             && found.id == 6 && !found.has_digest, "and the other row");
    ncr_store_object_free(&found);

    ncr_test_row(&rows[2], "key", "b", "{}", 2);
    version = 0;
    ncr_test(ncr_store_object_put(store, &rows[2], &version, 1) == NCR_OK
             && rows[2].id == 7, "ids go on after those");

    /* what the file has newer stays */

    rows[0].version = 2;
    rows[0].data = (char *) (uintptr_t) "{\"n\":0}";
    (void) ncr_store_object_restore(store, rows, 1);
    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.version == 3 && strcmp(found.data, "{\"n\":1}") == 0,
             "restore: older than the file");
    ncr_store_object_free(&found);

    rows[0].version = 9;
    (void) ncr_store_object_restore(store, rows, 1);
    ncr_test(ncr_store_object_find(store, "key", "a", &found) == NCR_OK
             && found.version == 9 && strcmp(found.data, "{\"n\":0}") == 0,
             "restore: newer than the file");
    ncr_store_object_free(&found);

    (void) ncr_store_object_remove(store, "key", "a", UINT64_MAX, 1, &last);
    ncr_test(ncr_store_object_restore(store, rows, 1) == NCR_OK
             && ncr_store_object_find(store, "key", "a", &found)
                == NCR_DECLINED, "restore: what was removed since");

    ncr_test_row(&rows[3], "key", "c", "{}", 4);
    rows[3].id = 7;
    rows[3].version = 1;
    ncr_test(ncr_store_object_restore(store, &rows[3], 1) == NCR_OK
             && ncr_store_object_find(store, "key", "c", &found) == NCR_OK
             && found.id == 8, "restore: the id is another one's by now");
    ncr_store_object_free(&found);

    ncr_test_row(&rows[3], "key", "d", "{}", 4);
    rows[3].id = 50;
    rows[3].version = 1;
    ncr_test(ncr_store_object_restore(store, &rows[3], 1) == NCR_OK
             && ncr_store_object_find(store, "key", "d", &found)
                == NCR_DECLINED, "restore: the secret is another one's");

    /* one that has the secret of another, which gives it up further on */

    ncr_test_row(&rows[0], "key", "e", "{}", 4);
    rows[0].id = 60;
    rows[0].version = 1;
    ncr_test_row(&rows[1], "key", "c", "{}", 9);
    rows[1].id = 8;
    rows[1].version = 7;
    ncr_test(ncr_store_object_restore(store, rows, 2) == NCR_OK
             && ncr_store_object_find(store, "key", "e", &found) == NCR_OK
             && found.digest[0] == 4, "restore: a secret that was passed on");
    ncr_store_object_free(&found);

    ncr_store_close(store);
    ncr_test_clean();
}


/* a file as version 1 of the schema has left it */

static void
ncr_test_migrate(void)
{
    uint64_t              seq;
    ncr_int_t             rc;
    ncr_store_t          *store;
    ncr_test_seen_t       seen;
    ncr_store_object_t    found;
    ncr_store_account_t   account;
    ncr_store_options_t   options;

    store = ncr_test_open();
    memset(&account, 0, sizeof(account));
    snprintf(account.name, sizeof(account.name), "old");
    account.settings = (char *) (uintptr_t) "{\"a\":1}";
    account.secret = (char *) (uintptr_t) "s";
    seq = 0;
    (void) ncr_store_put(store, &account, &seq, 1);
    ncr_store_close(store);

    (void) ncr_test_sql(ncr_test_path, "DROP TABLE objects;"
                        "DROP TABLE people; DROP TABLE sessions;"
                        "DROP TABLE actions; DROP TABLE hooks;"
                        "DROP TABLE deliveries; DROP TABLE alerts;"
                        "ALTER TABLE accounts DROP COLUMN fence;"
                        "ALTER TABLE accounts DROP COLUMN holder;"
                        "DELETE FROM counters WHERE name = 'object';"
                        "PRAGMA user_version = 1");

    ncr_test_options(&options, NCR_TEST_KEY);
    options.readonly = 1;
    rc = ncr_store_open(&options, &store, ncr_test_error);
    ncr_test(rc == NCR_OK
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 1,
             "older schema: a look changes nothing");
    seq = 0;
    ncr_test(ncr_store_find(store, "old", &account) == NCR_OK
             && strcmp(account.secret, "s") == 0
             && ncr_test_load(store, &seq, &seen) == 0
             && ncr_store_object_find(store, "key", "a", &found)
                == NCR_DECLINED
             && ncr_store_object_list(store, "key", "", ncr_test_handler,
                                      &seen) == NCR_OK && seen.rows == 0,
             "and there are no objects");
    ncr_store_row_free(&account);
    ncr_store_close(store);

    store = ncr_test_open();
    ncr_test(store
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 4,
             "older schema: migrated");
    ncr_test(ncr_store_find(store, "old", &account) == NCR_OK
             && strcmp(account.secret, "s") == 0
             && strcmp(account.settings, "{\"a\":1}") == 0,
             "accounts are kept");
    ncr_store_row_free(&account);
    ncr_test(ncr_test_put(store, "key", "a", "{}", 1, 0) == NCR_OK,
             "and there may be keys");

    (void) ncr_test_sql(ncr_test_path, "UPDATE objects SET name = ''");
    seq = 0;
    memset(&seen, 0, sizeof(seen));
    ncr_test(ncr_store_objects(store, &seq, ncr_test_handler, &seen)
             == NCR_ERROR && strstr(ncr_store_error(store), "no name"),
             "a row without a name");
    (void) ncr_test_sql(ncr_test_path, "UPDATE objects SET name = 'a',"
                        " digest = x'00'");
    ncr_test(ncr_store_objects(store, &seq, ncr_test_handler, &seen)
             == NCR_OK && ncr_store_object_find(store, "key", "a", &found)
                          == NCR_OK && !found.has_digest,
             "a digest that is none");
    ncr_store_object_free(&found);

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_many(void)
{
    char                 name[32];
    size_t               i;
    uint64_t             seq;
    ncr_store_t         *store;
    ncr_test_seen_t      seen;
    ncr_store_object_t  *rows;

    static char  data[] = "{\"user\":\"alice\",\"limits\":[\"cost:5/day\"]}";

    store = ncr_test_open();
    rows = calloc(20000, sizeof(ncr_store_object_t));

    for (i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "key-%05d", (int) i);
        ncr_test_row(&rows[i], "key", name, data, 1);
        memcpy(rows[i].digest, &i, sizeof(i));
        rows[i].id = i + 1;
        rows[i].seq = i + 1;
        rows[i].version = 1;
    }

    ncr_test(ncr_store_object_restore(store, rows, 20000) == NCR_OK,
             "twenty thousand rows in one transaction");
    seq = 0;
    ncr_test(ncr_test_load(store, &seq, &seen) == 20000, "are read again");

    free(rows);
    ncr_store_close(store);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_objects();
    ncr_test_activate();
    ncr_test_batch();
    ncr_test_restore();
    ncr_test_migrate();
    ncr_test_many();

    ncr_test_end();

    return ncr_test_done();
}
