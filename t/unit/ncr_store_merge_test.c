
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Three files that tell each other what has changed: whatever the order in
 * which changes arrive, all have the same rows in the end.
 */


#include "ncr_store_test.h"


#define NCR_TEST_FILES  3
#define NCR_TEST_ROWS   16


/* what was told: rows as they were then */

typedef struct {
    char                 type;          /* 'a', 't', 'o' */
    ncr_store_account_t  account;
    ncr_store_object_t   object;
} ncr_test_told_t;


static char         *ncr_test_paths[NCR_TEST_FILES];
static ncr_store_t  *ncr_test_files[NCR_TEST_FILES];


static ncr_store_t *
ncr_test_file(ncr_uint_t i)
{
    ncr_store_t          *store;
    ncr_store_options_t   options;
    static char           paths[NCR_TEST_FILES][160];

    snprintf(paths[i], sizeof(paths[i]), "%s/%d.db", ncr_test_dir, (int) i);
    ncr_test_paths[i] = paths[i];

    ncr_test_options(&options, i == 1 ? NCR_TEST_OTHER_KEY : NCR_TEST_KEY);
    options.path = paths[i];

    if (ncr_store_open(&options, &store, ncr_test_error) != NCR_OK) {
        printf("# %s\n", ncr_test_error);
        exit(1);
    }

    ncr_test_files[i] = store;

    return store;
}


static void
ncr_test_files_open(void)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_TEST_FILES; i++) {
        (void) ncr_test_file(i);
    }
}


static void
ncr_test_files_close(void)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_TEST_FILES; i++) {
        ncr_store_close(ncr_test_files[i]);
    }

    ncr_test_clean();
}


static ncr_int_t
ncr_test_account(ncr_store_t *store, const char *name, const char *secret,
    ncr_msec_t now)
{
    char                 settings[64];
    uint64_t             version;
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "%s", name);
    snprintf(settings, sizeof(settings), "{\"s\":\"%s\"}", secret);

    row.settings = settings;
    row.secret = (char *) (uintptr_t) secret;
    version = UINT64_MAX;

    return ncr_store_put(store, &row, &version, now);
}


static ncr_int_t
ncr_test_login(ncr_store_t *store, const char *name, const char *access,
    ncr_msec_t granted, uint64_t fence)
{
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "%s", name);

    row.access = (char *) (uintptr_t) access;
    row.refresh = (char *) (uintptr_t) "r";
    row.granted = granted;
    row.fence = fence;
    row.holder = (char *) (uintptr_t) (fence ? "node" : NULL);

    return ncr_store_tokens(store, &row, UINT64_MAX, granted);
}


static ncr_int_t
ncr_test_object(ncr_store_t *store, const char *name, const char *data,
    int digest, ncr_msec_t now)
{
    uint64_t            version;
    ncr_store_object_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.kind, sizeof(row.kind), "key");
    snprintf(row.name, sizeof(row.name), "%s", name);

    row.data = (char *) (uintptr_t) data;

    if (digest) {
        row.has_digest = 1;
        memset(row.digest, digest, 32);
        snprintf(row.prefix, sizeof(row.prefix), "cr_%d", digest);
    }

    version = UINT64_MAX;

    return ncr_store_object_put(store, &row, &version, now);
}


static ncr_int_t
ncr_test_object_remove(ncr_store_t *store, const char *name, ncr_msec_t now)
{
    uint64_t  seq;

    return ncr_store_object_remove(store, "key", name, UINT64_MAX, now, &seq);
}


static void
ncr_test_tell(ncr_test_told_t *told, ncr_store_t *store, char type,
    const char *name)
{
    memset(told, 0, sizeof(ncr_test_told_t));
    told->type = type;

    if (type == 'o') {
        (void) ncr_store_object_last(store, "key", name, &told->object);

    } else {
        (void) ncr_store_last(store, name, &told->account);
    }
}


static ncr_int_t
ncr_test_hear(ncr_store_t *store, ncr_test_told_t *told)
{
    switch (told->type) {

    case 'a':
        return ncr_store_merge_account(store, &told->account);

    case 't':
        return ncr_store_merge_tokens(store, &told->account);

    default:
        return ncr_store_merge_object(store, &told->object);
    }
}


static void
ncr_test_forget(ncr_test_told_t *told, ncr_uint_t n)
{
    while (n--) {
        ncr_store_row_free(&told[n].account);
        ncr_store_object_free(&told[n].object);
    }
}


/* all that counts of a row, as a text: no id, no seq */

static void
ncr_test_state(ncr_store_t *store, char type, const char *name, char *text,
    size_t size)
{
    ncr_test_told_t  now;

    ncr_test_tell(&now, store, type, name);

    if (type == 'o') {
        snprintf(text, size, "%d v%d %s %d %s u%d a%d", now.object.removed,
                 (int) now.object.version, now.object.data,
                 now.object.has_digest ? now.object.digest[7] : 0,
                 now.object.prefix, (int) now.object.updated,
                 (int) now.object.activated);

    } else {
        snprintf(text, size, "%d v%d %s %s u%d / v%d %s %s g%d f%d",
                 now.account.removed, (int) now.account.version,
                 now.account.settings ? now.account.settings : "",
                 now.account.secret ? now.account.secret : "",
                 (int) now.account.updated, (int) now.account.tokens,
                 now.account.access ? now.account.access : "",
                 now.account.refresh ? now.account.refresh : "",
                 (int) now.account.granted, now.account.failed != 0);
    }

    ncr_test_forget(&now, 1);
}


/*
 * The order in which a file hears of what was told: the number of a
 * permutation.  What cannot be taken in now is heard again later.
 */

static void
ncr_test_hear_all(ncr_store_t *store, ncr_test_told_t *told, ncr_uint_t n,
    ncr_uint_t order)
{
    ncr_uint_t  i, left, which, again, todo[NCR_TEST_ROWS];

    for (again = 0; again < 2; again++) {

        for (i = 0; i < n; i++) {
            todo[i] = i;
        }

        which = order;

        for (left = n; left; left--) {
            i = which % left;
            which /= left;

            (void) ncr_test_hear(store, &told[todo[i]]);

            todo[i] = todo[left - 1];
        }
    }
}


/*
 * All three hear all that was told in each order, and then tell what they
 * have; in each order the same must come out.
 */

static void
ncr_test_orders(const char *what, char type, const char *name,
    void (*edit)(ncr_uint_t i, ncr_test_told_t *told), ncr_uint_t n)
{
    char             first[512], text[512];
    ncr_uint_t       i, j, order, orders, differ, apart;
    ncr_test_told_t  told[NCR_TEST_ROWS], more[2 * NCR_TEST_FILES];

    orders = 1;
    differ = 0;
    apart = 0;
    first[0] = '\0';

    for (i = 2; i <= n; i++) {
        orders *= i;
    }

    for (order = 0; order < orders; order++) {

        ncr_test_files_open();

        for (i = 0; i < n; i++) {
            edit(i, &told[i]);
        }

        for (i = 0; i < NCR_TEST_FILES; i++) {
            ncr_test_hear_all(ncr_test_files[i], told, n,
                              (order * (i + 1)) % orders);
        }

        /* what a merge has made is told, too */

        for (i = 0; i < NCR_TEST_FILES; i++) {
            ncr_test_tell(&more[2 * i], ncr_test_files[i], type, name);
            ncr_test_tell(&more[2 * i + 1], ncr_test_files[i],
                          type == 'a' ? 't' : type, name);
        }

        for (i = 0; i < NCR_TEST_FILES; i++) {
            for (j = 0; j < 2 * NCR_TEST_FILES; j++) {
                (void) ncr_test_hear(ncr_test_files[i], &more[j]);
            }

            ncr_test_state(ncr_test_files[i], type, name, text, sizeof(text));

            if (first[0] == '\0') {
                memcpy(first, text, sizeof(first));
                printf("# %s: %s\n", what, first);
            }

            if (strcmp(first, text) != 0) {
                printf("# order %d, file %d: %s\n", (int) order, (int) i,
                       text);
                differ++;
            }

            for (j = 0; j < n; j++) {
                apart += (ncr_test_hear(ncr_test_files[i], &told[j])
                          == NCR_OK);
            }
        }

        ncr_test_forget(told, n);
        ncr_test_forget(more, 2 * NCR_TEST_FILES);
        ncr_test_files_close();
    }

    ncr_test(differ == 0, what);
    ncr_test(apart == 0, "and nothing of it is news any more");
}


/* the same key changed in all three of them, at once or not */

static void
ncr_test_edit_key(ncr_uint_t i, ncr_test_told_t *told)
{
    ncr_store_t  *store;

    store = ncr_test_files[i % NCR_TEST_FILES];

    switch (i) {

    case 0:
        (void) ncr_test_object(store, "k", "{\"by\":0}", 1, 1000);
        break;

    case 1:
        (void) ncr_test_object(store, "k", "{\"by\":1}", 2, 1000);
        break;

    case 2:
        (void) ncr_test_object(store, "k", "{\"by\":2}", 3, 900);
        (void) ncr_test_object(store, "k", "{\"by\":22}", 0, 1100);
        break;

    default:
        (void) ncr_test_object(store, "k", "{\"by\":3}", 0, 1100);
        break;
    }

    ncr_test_tell(told, store, 'o', "k");
}


/* removed here, changed there */

static void
ncr_test_edit_removed(ncr_uint_t i, ncr_test_told_t *told)
{
    ncr_test_told_t  first;

    if (i == 0) {
        (void) ncr_test_object(ncr_test_files[0], "k", "{}", 1, 1000);
        ncr_test_tell(&first, ncr_test_files[0], 'o', "k");
        (void) ncr_test_hear(ncr_test_files[1], &first);
        (void) ncr_test_hear(ncr_test_files[2], &first);
        ncr_test_forget(&first, 1);
    }

    switch (i) {

    case 0:
        (void) ncr_test_object_remove(ncr_test_files[0], "k", 2000);
        break;

    case 1:
        (void) ncr_test_object(ncr_test_files[1], "k", "{\"x\":1}", 0, 2000);
        break;

    case 2:
        (void) ncr_store_object_activate(ncr_test_files[2], 1, 1500);
        break;

    default:

        /* and made anew where it was removed */

        (void) ncr_test_object(ncr_test_files[0], "k", "{\"n\":1}", 1, 3000);
        break;
    }

    ncr_test_tell(told, ncr_test_files[i % NCR_TEST_FILES], 'o', "k");
}


static void
ncr_test_edit_account(ncr_uint_t i, ncr_test_told_t *told)
{
    ncr_store_t      *store;
    ncr_test_told_t   first[2];

    if (i == 0) {
        (void) ncr_test_account(ncr_test_files[0], "a", "s0", 1000);
        (void) ncr_test_login(ncr_test_files[0], "a", "at0", 1000, 0);

        ncr_test_tell(&first[0], ncr_test_files[0], 'a', "a");
        ncr_test_tell(&first[1], ncr_test_files[0], 't', "a");
        ncr_test_hear_all(ncr_test_files[1], first, 2, 0);
        ncr_test_hear_all(ncr_test_files[2], first, 2, 1);
        ncr_test_forget(first, 2);
    }

    store = ncr_test_files[i % NCR_TEST_FILES];

    switch (i) {

    case 0:
        (void) ncr_test_account(store, "a", "s1", 2000);
        ncr_test_tell(told, store, 'a', "a");
        break;

    case 1:
        (void) ncr_test_login(store, "a", "at1", 2000, 7);
        ncr_test_tell(told, store, 't', "a");
        break;

    case 2:
        (void) ncr_test_login(store, "a", "at2", 1900, 0);
        ncr_test_tell(told, store, 't', "a");
        break;

    default:
        (void) ncr_store_failed(store, "a", UINT64_MAX, "gone", 2100);
        ncr_test_tell(told, store, 't', "a");
        break;
    }
}


/* an account that is removed, and made anew by another one */

static void
ncr_test_edit_anew(ncr_uint_t i, ncr_test_told_t *told)
{
    ncr_store_t      *store;
    ncr_test_told_t   first[2];

    store = ncr_test_files[0];

    switch (i) {

    case 0:
        (void) ncr_test_account(store, "a", "s0", 1000);
        (void) ncr_test_login(store, "a", "at0", 1000, 0);

        ncr_test_tell(&first[0], store, 'a', "a");
        ncr_test_tell(&first[1], store, 't', "a");
        ncr_test_hear_all(ncr_test_files[1], first, 2, 0);
        ncr_test_hear_all(ncr_test_files[2], first, 2, 0);
        ncr_test_forget(first, 2);

        (void) ncr_store_remove(store, "a", UINT64_MAX, 2000);
        ncr_test_tell(told, store, 'a', "a");
        break;

    case 1:
        ncr_test_tell(told, store, 't', "a");
        break;

    case 2:
        (void) ncr_test_account(store, "a", "s1", 3000);
        ncr_test_tell(told, store, 'a', "a");
        break;

    default:
        (void) ncr_test_login(store, "a", "at1", 3000, 0);
        ncr_test_tell(told, store, 't', "a");
        break;
    }
}


static void
ncr_test_refused(void)
{
    char             text[512];
    uint64_t         id;
    ncr_store_t     *a, *b;
    ncr_test_told_t  told[2];

    ncr_test_files_open();

    a = ncr_test_files[0];
    b = ncr_test_files[1];

    /* two keys of one secret */

    (void) ncr_test_object(a, "k1", "{}", 5, 1000);
    (void) ncr_test_object(b, "k2", "{}", 5, 1000);
    (void) ncr_test_object(b, "k3", "{}", 6, 1000);
    ncr_test_tell(&told[0], b, 'o', "k2");
    ncr_test_tell(&told[1], b, 'o', "k3");

    ncr_test(ncr_test_hear(a, &told[0]) == NCR_BAD
             && strstr(ncr_store_error(a), "has a key with this secret"),
             "a secret that another key has is refused");
    ncr_test_state(a, 'o', "k2", text, sizeof(text));
    ncr_test(strncmp(text, "0 v0", 4) == 0, "and nothing is made");

    ncr_test(ncr_store_batch(a) == NCR_OK
             && ncr_test_hear(a, &told[0]) == NCR_BAD
             && ncr_test_hear(a, &told[1]) == NCR_OK
             && ncr_store_batch_end(a, NCR_OK) == NCR_OK,
             "among others, these are taken");
    ncr_test_state(a, 'o', "k3", text, sizeof(text));
    ncr_test(strstr(text, "v1 {} 6 cr_6") != NULL, "with their secrets");
    ncr_test_forget(told, 2);

    /* one that has given its secret away */

    (void) ncr_test_object(a, "k1", "{}", 7, 2000);
    ncr_test_tell(&told[0], b, 'o', "k2");
    ncr_test(ncr_test_hear(a, &told[0]) == NCR_OK, "a secret that is free");
    ncr_test_forget(told, 1);

    /* accounts of nginx.conf */

    (void) ncr_store_adopt(a, "c", &id, 1000);
    (void) ncr_test_account(b, "c", "s", 1000);
    (void) ncr_test_login(b, "c", "at", 1000, 0);
    ncr_test_tell(&told[0], b, 'a', "c");
    ncr_test_tell(&told[1], b, 't', "c");

    ncr_test(ncr_test_hear(a, &told[0]) == NCR_BAD
             && strstr(ncr_store_error(a), "it is one of nginx.conf"),
             "an account of nginx.conf is not replaced");
    ncr_test(ncr_test_hear(a, &told[1]) == NCR_BAD
             && strstr(ncr_store_error(a), "is one of nginx.conf here"),
             "and has its own tokens");
    ncr_test_state(a, 'a', "c", text, sizeof(text));
    ncr_test(strncmp(text, "0 v0   u1000 / v0", 17) == 0, "as it was");
    ncr_test_forget(told, 2);

    (void) ncr_test_login(a, "c", "at2", 2000, 0);
    ncr_test_tell(&told[0], a, 't', "c");
    ncr_test(ncr_test_hear(b, &told[0]) == NCR_BAD
             && strstr(ncr_store_error(b), "of another nginx.conf"),
             "nor does the store's have those of nginx.conf");
    (void) ncr_store_adopt(ncr_test_files[2], "c", &id, 1000);
    ncr_test(ncr_test_hear(ncr_test_files[2], &told[0]) == NCR_OK,
             "two blocks of nginx.conf have the same");
    ncr_test_forget(told, 1);

    ncr_test_tell(&told[0], a, 't', "c");
    told[0].account.conf = 0;
    snprintf(told[0].account.name, NCR_STORE_NAME, "nobody");
    ncr_test(ncr_test_hear(b, &told[0]) == NCR_DECLINED,
             "tokens of no account");
    ncr_test_forget(told, 1);

    ncr_test_files_close();
}


static void
ncr_test_versions(void)
{
    ncr_store_t          *store;
    ncr_store_order_t     one, two;
    ncr_store_object_t    object;
    ncr_store_account_t   row;

    store = ncr_test_file(0);

    (void) ncr_test_account(store, "a", "s", 1000);
    (void) ncr_test_login(store, "a", "at", 1000, 0);
    (void) ncr_store_last(store, "a", &row);
    ncr_store_account_order(&row, &one);
    ncr_test(row.tokens == 1 && one.version == 1, "a new account");
    ncr_store_row_free(&row);

    (void) ncr_store_remove(store, "a", UINT64_MAX, 1000);
    (void) ncr_store_last(store, "a", &row);
    ncr_store_account_order(&row, &two);
    ncr_test(row.removed && two.version == 2 && row.tokens == 2,
             "a removal is newer, of both parts");
    ncr_store_row_free(&row);

    (void) ncr_test_account(store, "a", "s", 1000);
    (void) ncr_store_last(store, "a", &row);
    ncr_test(!row.removed && row.version == 3 && row.tokens == 2
             && ncr_store_bare(&row), "made anew: the versions go on");
    ncr_store_row_free(&row);

    (void) ncr_test_login(store, "a", "at", 1000, 9);
    (void) ncr_store_last(store, "a", &row);
    ncr_test(row.tokens == 3 && row.fence == 9
             && strcmp(row.holder, "node") == 0, "tokens of a fence");
    ncr_store_tokens_order(&row, &one);
    row.failed = 1;
    ncr_store_tokens_order(&row, &two);
    ncr_test(two.tie > one.tie, "their failure is newer");
    row.failed = 0;
    row.fence = 0;
    ncr_store_tokens_order(&row, &two);
    ncr_test(two.tie > one.tie, "a login is newer than a refresh");
    row.granted = INT64_MAX;
    ncr_store_tokens_order(&row, &one);
    row.access[0] = row.refresh[0] = '\0';
    ncr_store_tokens_order(&row, &two);
    ncr_test(two.tie > one.tie && one.tie < (uint64_t) 1 << 63,
             "and none at all are the last word");
    ncr_store_row_free(&row);

    (void) ncr_test_object(store, "k", "{}", 1, 1000);
    (void) ncr_store_object_last(store, "key", "k", &object);
    ncr_store_object_order(&object, &one);
    object.activated = 500;
    ncr_store_object_order(&object, &two);
    ncr_test(two.tie > one.tie, "a first use is newer");
    object.activated = 0;
    object.removed = 1;
    ncr_store_object_order(&object, &two);
    ncr_test(two.tie > one.tie, "a removal of the same moment, too");
    ncr_store_object_free(&object);

    ncr_test(ncr_store_object_last(store, "key", "x", &object)
             == NCR_DECLINED
             && ncr_store_last(store, "x", &row) == NCR_DECLINED,
             "what never was");

    ncr_store_close(store);
    ncr_test_clean();
}


typedef struct {
    char        names[512];
    ncr_uint_t  n;
    ncr_uint_t  removed;
} ncr_test_scan_t;


static ncr_int_t
ncr_test_entry(void *data, ncr_store_entry_t *entry)
{
    size_t            n;
    ncr_test_scan_t  *scan = data;

    n = strlen(scan->names);
    snprintf(scan->names + n, sizeof(scan->names) - n, "%s:%d ", entry->name,
             (int) entry->order.version);

    scan->n++;
    scan->removed += entry->removed;

    return NCR_OK;
}


static void
ncr_test_scan(void)
{
    uint64_t          seq, id;
    ncr_int_t         rc;
    ncr_store_t      *store;
    ncr_test_scan_t   scan;

    store = ncr_test_file(0);

    (void) ncr_test_account(store, "a", "s", 1000);
    (void) ncr_store_remove(store, "a", UINT64_MAX, 1000);
    (void) ncr_test_account(store, "a", "s", 1000);
    (void) ncr_test_login(store, "a", "at", 1000, 0);
    (void) ncr_test_account(store, "b", "s", 1000);
    (void) ncr_test_login(store, "b", "at", 1000, 0);
    (void) ncr_store_remove(store, "b", UINT64_MAX, 1000);
    (void) ncr_store_adopt(store, "c", &id, 1000);
    (void) ncr_store_adopt(store, "d", &id, 1000);
    (void) ncr_test_login(store, "d", "at", 1000, 0);
    (void) ncr_store_remove(store, "c", UINT64_MAX, 1000);

    (void) ncr_test_object(store, "k", "{}", 1, 1000);
    (void) ncr_test_object_remove(store, "k", 1000);
    (void) ncr_test_object(store, "k", "{}", 1, 1000);
    (void) ncr_test_object(store, "l", "{}", 0, 1000);
    (void) ncr_test_object_remove(store, "l", 1000);

    memset(&scan, 0, sizeof(scan));
    seq = 0;

    do {
        rc = ncr_store_scan(store, 0, &seq, 2, ncr_test_entry, &scan);
    } while (rc == NCR_OK);

    ncr_test(rc == NCR_DONE
             && strcmp(scan.names, "a/a:3 t/a:1 a/b:2 t/b:2 t/d:1 ") == 0
             && scan.removed == 2, "accounts, in pages");
    printf("# %s\n", scan.names);

    memset(&scan, 0, sizeof(scan));
    seq = 0;

    ncr_test(ncr_store_scan(store, 1, &seq, 100, ncr_test_entry, &scan)
             == NCR_DONE
             && strcmp(scan.names, "o/key/k:3 o/key/l:2 ") == 0
             && scan.removed == 1, "objects");
    printf("# %s\n", scan.names);

    ncr_store_close(store);
    ncr_test_clean();
}


/* who was away while a key was removed and made anew has another one then */

static void
ncr_test_another(void)
{
    uint64_t             id;
    ncr_store_t         *a, *b;
    ncr_test_told_t      told;
    ncr_store_object_t   object;
    ncr_store_account_t  row;

    ncr_test_files_open();

    a = ncr_test_files[0];
    b = ncr_test_files[1];

    (void) ncr_test_object(a, "k", "{}", 1, 1000);
    ncr_test_tell(&told, a, 'o', "k");
    (void) ncr_test_hear(b, &told);
    ncr_test_forget(&told, 1);
    (void) ncr_store_object_last(b, "key", "k", &object);
    id = object.id;
    ncr_store_object_free(&object);

    (void) ncr_test_object(a, "k", "{\"x\":1}", 0, 1500);
    ncr_test_tell(&told, a, 'o', "k");
    (void) ncr_test_hear(b, &told);
    ncr_test_forget(&told, 1);
    (void) ncr_store_object_last(b, "key", "k", &object);
    ncr_test(object.id == id && strcmp(object.data, "{\"x\":1}") == 0,
             "a key that was changed is the same");
    ncr_store_object_free(&object);

    (void) ncr_test_object_remove(a, "k", 2000);
    (void) ncr_test_object(a, "k", "{}", 1, 3000);
    ncr_test_tell(&told, a, 'o', "k");
    ncr_test(ncr_test_hear(b, &told) == NCR_OK, "one of the same secret");
    ncr_test_forget(&told, 1);
    (void) ncr_store_object_last(b, "key", "k", &object);
    ncr_test(object.id != id && object.version == 4 && !object.removed,
             "that was made anew is another one");
    ncr_store_object_free(&object);

    (void) ncr_test_account(a, "a", "s", 1000);
    ncr_test_tell(&told, a, 'a', "a");
    (void) ncr_test_hear(b, &told);
    ncr_test_forget(&told, 1);
    (void) ncr_store_last(b, "a", &row);
    id = row.id;
    ncr_store_row_free(&row);

    (void) ncr_store_remove(a, "a", UINT64_MAX, 2000);
    (void) ncr_test_account(a, "a", "s2", 3000);
    ncr_test_tell(&told, a, 'a', "a");
    ncr_test(ncr_test_hear(b, &told) == NCR_OK, "the same of an account");
    ncr_test_forget(&told, 1);
    (void) ncr_store_last(b, "a", &row);
    ncr_test(row.id != id && row.version == 3 && !row.removed
             && strcmp(row.secret, "s2") == 0, "which has another id, too");
    ncr_store_row_free(&row);

    ncr_test_files_close();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_versions();
    ncr_test_scan();
    ncr_test_refused();
    ncr_test_another();

    ncr_test_orders("a key that is changed in three files", 'o', "k",
                    ncr_test_edit_key, 4);
    ncr_test_orders("a key that is removed, used, changed, made anew", 'o',
                    "k", ncr_test_edit_removed, 4);
    ncr_test_orders("an account: settings, a refresh, a login, a failure",
                    'a', "a", ncr_test_edit_account, 4);
    ncr_test_orders("an account that is removed and made anew", 'a', "a",
                    ncr_test_edit_anew, 4);

    ncr_test_end();

    return ncr_test_done();
}
