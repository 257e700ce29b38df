
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Files that are not as they should be, and what is done with them. */


#include "ncr_store_test.h"


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *name, const char *secret)
{
    uint64_t             version;
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "%s", name);
    row.settings = (char *) "{}";
    row.secret = (char *) secret;
    version = UINT64_MAX;

    return ncr_store_put(store, &row, &version, 1000);
}


static ncr_uint_t
ncr_test_has(ncr_store_t *store, const char *name, const char *secret)
{
    ncr_uint_t           same;
    ncr_store_account_t  row;

    if (ncr_store_find(store, name, &row) != NCR_OK) {
        return 0;
    }

    same = strcmp(row.secret, secret) == 0;

    ncr_store_row_free(&row);

    return same;
}


static size_t
ncr_test_read(const char *path, char *buf, size_t size)
{
    FILE    *file;
    size_t   n;

    file = fopen(path, "r");

    if (file == NULL) {
        return 0;
    }

    n = fread(buf, 1, size, file);
    fclose(file);

    return n;
}


static void
ncr_test_write(const char *path, const char *buf, size_t len)
{
    FILE  *file;

    file = fopen(path, "w");
    (void) !fwrite(buf, 1, len, file);
    fclose(file);
}


static char  ncr_test_before[1024 * 1024];
static char  ncr_test_after[1024 * 1024];


static ncr_uint_t
ncr_test_untouched(size_t len)
{
    return ncr_test_read(ncr_test_path, ncr_test_after,
                         sizeof(ncr_test_after)) == len
           && memcmp(ncr_test_before, ncr_test_after, len) == 0;
}


static void
ncr_test_foreign(void)
{
    char          path[256];
    size_t        len;
    ncr_int_t     rc;
    ncr_store_t  *store;

    (void) ncr_test_sql(ncr_test_path, "PRAGMA journal_mode = WAL;"
                        "CREATE TABLE t (a); INSERT INTO t VALUES (1);"
                        "PRAGMA user_version = 1");

    len = ncr_test_read(ncr_test_path, ncr_test_before,
                        sizeof(ncr_test_before));

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && store == NULL
             && strstr(ncr_test_error, "not a store of this module"),
             "another program's database");
    ncr_test(ncr_test_untouched(len), "is left as it is");

    snprintf(path, sizeof(path), "%s-wal", ncr_test_path);
    ncr_test(access(path, F_OK) == -1, "and no log is made beside it");
    snprintf(path, sizeof(path), "%s-lock", ncr_test_path);
    ncr_test(access(path, F_OK) == -1, "nor a lock");

    (void) ncr_test_sql(ncr_test_path, "PRAGMA journal_mode = DELETE");
    len = ncr_test_read(ncr_test_path, ncr_test_before,
                        sizeof(ncr_test_before));
    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && ncr_test_untouched(len),
             "the same without a log");
    ncr_test_clean();

    len = (size_t) snprintf(ncr_test_before, sizeof(ncr_test_before),
                            "this is no database, but a text that somebody"
                            " wrote and would like to keep\n");
    ncr_test_write(ncr_test_path, ncr_test_before, len);
    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && strstr(ncr_test_error, "not a"),
             "a text");
    ncr_test(ncr_test_untouched(len), "is left as it is, too");
    ncr_test_clean();
}


static void
ncr_test_corrupt(void)
{
    size_t                len, i;
    ncr_int_t             rc;
    ncr_uint_t            bad;
    ncr_store_t          *store;
    ncr_store_options_t   options;

    store = ncr_test_open();

    for (i = 0; i < 200; i++) {
        char  name[16];

        snprintf(name, sizeof(name), "a%d", (int) i);
        (void) ncr_test_put(store, name, "a secret of the account");
    }

    ncr_store_close(store);

    len = ncr_test_read(ncr_test_path, ncr_test_before,
                        sizeof(ncr_test_before));
    ncr_test(len > 8 * 4096, "a file of some pages, its log written back");

    /* cut */

    ncr_test_write(ncr_test_path, ncr_test_before, len / 2);
    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && strstr(ncr_test_error, "corrupt"),
             "cut in half");
    ncr_store_close(store);

    ncr_test_write(ncr_test_path, ncr_test_before, 50);
    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR, "cut within the header");
    ncr_store_close(store);

    ncr_test_options(&options, NCR_TEST_KEY);
    options.create = 0;
    ncr_test_write(ncr_test_path, "", 0);
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "not a store"),
             "empty, and nothing is made of it");

    /* pages overwritten: whatever it is, it is said, and not crashed on */

    bad = 0;

    for (i = 1; i < len / 4096; i++) {
        memcpy(ncr_test_after, ncr_test_before, len);
        memset(ncr_test_after + i * 4096, 0x5a, 4096);
        ncr_test_write(ncr_test_path, ncr_test_after, len);

        store = ncr_test_open_key(NCR_TEST_KEY, &rc);
        bad += (rc != NCR_OK && ncr_test_error[0]);
        ncr_store_close(store);
    }

    ncr_test(bad == len / 4096 - 1, "any page overwritten");

    /* it goes bad while it is open */

    ncr_test_write(ncr_test_path, ncr_test_before, len);
    store = ncr_test_open();

    memset(ncr_test_after, 0x5a, 4096);

    for (i = 1; i < len / 4096; i++) {
        int  fd;

        /* the store's own process must not close a descriptor of the file */

        if (fork() == 0) {
            fd = open(ncr_test_path, O_WRONLY);
            (void) !pwrite(fd, ncr_test_after, 4096, (off_t) (i * 4096));
            _exit(0);
        }

        (void) wait(NULL);
    }

    (void) ncr_test_sql(ncr_test_path, "PRAGMA user_version = 1");

    ncr_test(ncr_test_put(store, "new", "x") == NCR_ERROR
             && strstr(ncr_store_error(store), "corrupt"),
             "gone bad while it was open");
    ncr_test(strstr(ncr_store_error(store), "secret") == NULL,
             "the message has no secret");
    ncr_store_close(store);
    ncr_test_clean();
}


/* versions of a schema that does not exist yet */

static ncr_store_step_t  ncr_test_steps[] = {
    { NULL },
    { NULL },
    { NULL },
    { NULL },
    { "ALTER TABLE accounts ADD COLUMN note TEXT NOT NULL DEFAULT 'none';"
      "CREATE TABLE extra (a INTEGER)" },
    { "INSERT INTO extra VALUES (42)" },
    { "INSERT INTO extra VALUES (43); CREATE TABLE extra (b INTEGER)" }
};


static void
ncr_test_schema(void)
{
    int                   version;
    size_t                len;
    ncr_int_t             rc;
    ncr_store_t          *store, *other;
    ncr_store_options_t   options;

    store = ncr_test_open();
    other = ncr_test_open();

    (void) ncr_test_put(store, "a", "s-a");

    ncr_test(ncr_store_migrate(store, ncr_test_steps, 4) == NCR_OK
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 4,
             "migrate: up to date");

    ncr_test(ncr_store_migrate(store, ncr_test_steps, 7) == NCR_ERROR
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 4
             && ncr_test_value(ncr_test_path, "SELECT count(*) FROM"
                               " sqlite_schema WHERE name = 'extra'") == 0,
             "migrate: a step fails, nothing is done");

    ncr_test(ncr_store_migrate(store, ncr_test_steps, 6) == NCR_OK
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 6
             && ncr_test_value(ncr_test_path, "SELECT a FROM extra") == 42,
             "migrate: two steps");
    ncr_test(ncr_test_value(ncr_test_path, "SELECT note = 'none' FROM"
                            " accounts") == 1
             && ncr_test_has(store, "a", "s-a"), "rows are kept");
    ncr_test(ncr_store_migrate(other, ncr_test_steps, 6) == NCR_OK
             && ncr_test_value(ncr_test_path, "SELECT count(*) FROM extra")
                == 1, "migrate: another process was faster");
    ncr_test(ncr_test_has(other, "a", "s-a")
             && ncr_test_put(other, "b", "s-b") == NCR_OK,
             "a handle of the older version goes on");

    ncr_store_close(store);
    ncr_store_close(other);

    len = ncr_test_read(ncr_test_path, ncr_test_before,
                        sizeof(ncr_test_before));

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && store == NULL
             && strstr(ncr_test_error, "schema of version 6")
             && strstr(ncr_test_error, "up to 4"), "a newer schema");
    ncr_test(ncr_test_untouched(len), "is not touched");

    (void) ncr_test_sql(ncr_test_path, "PRAGMA user_version = 0");
    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_ERROR && store == NULL, "none at all");
    ncr_test_clean();

    /* an older one is for those who may write */

    store = ncr_test_open();
    ncr_test(ncr_store_schema(store, 0, &version) == NCR_ERROR,
             "asked by an older module");
    ncr_store_close(store);

    ncr_test_options(&options, NCR_TEST_KEY);
    options.readonly = 1;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK
             && ncr_store_migrate(store, ncr_test_steps, 4) == NCR_ERROR,
             "not migrated by a reader");
    ncr_store_close(store);
    ncr_test_clean();
}


/* what a process without root's powers sees */

static int
ncr_test_as_nobody(void (*f)(void))
{
    int    rc;
    pid_t  pid;

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        ncr_test_failures = 0;

        if (geteuid() == 0
            && (setgid(NCR_TEST_NOBODY) == -1
                || setuid(NCR_TEST_NOBODY) == -1))
        {
            _exit(2);
        }

        f();
        fflush(stdout);
        _exit(ncr_test_failures != 0);
    }

    rc = ncr_test_wait(pid);

    return rc;
}


#define ncr_test_say(cond)                                                    \
    do {                                                                      \
        if (!(cond)) {                                                        \
            ncr_test_failures++;                                              \
            printf("# %s:%d: %s (%s)\n", __FILE__, __LINE__, #cond,           \
                   ncr_test_error);                                           \
        }                                                                     \
    } while (0)


static void
ncr_test_readonly_file(void)
{
    ncr_int_t     rc;
    ncr_store_t  *store;

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test_say(rc == NCR_ERROR && store == NULL
                 && strstr(ncr_test_error, "is read-only"));
}


static void
ncr_test_readonly_look(void)
{
    ncr_store_t          *store;
    ncr_store_options_t   options;

    ncr_test_options(&options, NCR_TEST_KEY);
    options.readonly = 1;

    ncr_test_say(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK);
    ncr_test_say(store && ncr_test_has(store, "a", "s-a"));
    ncr_store_close(store);
}


static void
ncr_test_readonly_directory(void)
{
    ncr_int_t     rc;
    ncr_store_t  *store;

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test_say(rc == NCR_ERROR && store == NULL
                 && strstr(ncr_test_error, "Permission denied"));
}


static void
ncr_test_readonly_worker(void)
{
    int           fd;
    ncr_store_t  *store;

    store = ncr_test_open();
    ncr_test_say(store != NULL);
    ncr_test_say(store && ncr_test_has(store, "a", "s-a"));
    ncr_test_say(store && ncr_test_put(store, "worker", "s-w") == NCR_OK);

    fd = ncr_store_lock_open(ncr_test_path);
    ncr_test_say(fd != -1 && ncr_store_lock(fd, 1) == NCR_OK);

    ncr_store_close(store);
}


static void
ncr_test_readonly(void)
{
    size_t                len;
    ncr_store_t          *store;
    ncr_store_options_t   options;

    /* a master that is root makes it, a worker that is not uses it */

    if (geteuid() == 0) {
        (void) !chown(ncr_test_dir, NCR_TEST_NOBODY, NCR_TEST_NOBODY);
    }

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");
    ncr_store_close(store);

    ncr_test(ncr_test_as_nobody(ncr_test_readonly_worker) == 0,
             "made by root, used by the directory's owner");

    store = ncr_test_open();
    ncr_test(ncr_test_has(store, "worker", "s-w")
             && ncr_test_put(store, "root", "s-r") == NCR_OK,
             "and by root again");

    /* the log that root made anew is the worker's, too */

    ncr_test(ncr_test_as_nobody(ncr_test_readonly_worker) == 0,
             "both at once");
    ncr_store_close(store);

    /* to look at */

    len = ncr_test_read(ncr_test_path, ncr_test_before,
                        sizeof(ncr_test_before));

    ncr_test_options(&options, NCR_TEST_KEY);
    options.readonly = 1;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK
             && ncr_test_has(store, "a", "s-a"), "opened for a look");
    ncr_test(ncr_test_put(store, "x", "s") == NCR_ERROR
             && strstr(ncr_store_error(store), "for reading"),
             "and not written");
    ncr_store_close(store);
    ncr_test(ncr_test_untouched(len), "nothing was changed");

    options.path = "/tmp/ncr_store_nowhere.db";
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR,
             "a look at nothing");

    (void) chmod(ncr_test_path, 0400);
    ncr_test(ncr_test_as_nobody(ncr_test_readonly_file) == 0,
             "a file that cannot be written");
    ncr_test(ncr_test_as_nobody(ncr_test_readonly_look) == 0,
             "but looked at");
    (void) chmod(ncr_test_path, 0600);

    ncr_test_clean();

    (void) chmod(ncr_test_dir, 0555);
    ncr_test(ncr_test_as_nobody(ncr_test_readonly_directory) == 0,
             "a directory that cannot be written");
    (void) chmod(ncr_test_dir, 0700);

    /* while it is open */

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");
    (void) ncr_store_exec(store, "PRAGMA query_only = 1");
    ncr_test(ncr_test_put(store, "b", "s-b") == NCR_ERROR
             && strstr(ncr_store_error(store), "is read-only")
             && strstr(ncr_store_error(store), ncr_test_path),
             "cannot be written any more");
    ncr_test(ncr_test_has(store, "a", "s-a"), "but is read");
    (void) ncr_store_exec(store, "PRAGMA query_only = 0");
    ncr_test(ncr_test_put(store, "b", "s-b") == NCR_OK, "is writable again");

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_full(void)
{
    char          *text;
    ncr_store_t   *store;

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");

    text = malloc(200001);
    memset(text, 'x', 200000);
    text[200000] = '\0';

    (void) ncr_store_exec(store, "PRAGMA max_page_count = 20");

    ncr_test(ncr_test_put(store, "big", text) == NCR_ERROR
             && strstr(ncr_store_error(store), "disk is full")
             && strstr(ncr_store_error(store), ncr_test_path), "full");
    ncr_test(ncr_test_put(store, "a", text) == NCR_ERROR,
             "full, in place of another");
    ncr_test(ncr_test_has(store, "a", "s-a") && !ncr_test_has(store, "big",
             text), "what was there is there, and no more");
    ncr_test(ncr_test_put(store, "small", "s") == NCR_OK,
             "what fits is written");

    (void) ncr_store_exec(store, "PRAGMA max_page_count = 2000");
    ncr_test(ncr_test_put(store, "big", text) == NCR_OK, "room again");

    free(text);

    text = malloc(NCR_STORE_TEXT + 2000);
    memset(text, 'x', NCR_STORE_TEXT + 1999);
    text[NCR_STORE_TEXT + 1999] = '\0';

    ncr_test(ncr_test_put(store, "huge", text) == NCR_ERROR
             && strstr(ncr_store_error(store), "too big"), "too long a text");

    free(text);

    ncr_store_close(store);
    ncr_test(ncr_test_intact(ncr_test_path), "intact");
    ncr_test_clean();
}


static void
ncr_test_busy(void)
{
    int                   left;
    int64_t               start;
    sqlite3              *db;
    ncr_int_t             rc;
    ncr_store_t          *store, *other;
    ncr_store_options_t   options;

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");

    ncr_test_options(&options, NCR_TEST_KEY);
    options.busy = 100;
    rc = ncr_store_open(&options, &other, ncr_test_error);

    ncr_test(rc == NCR_OK && ncr_store_flock(store, &left) == NCR_OK,
             "one has the lock");

    start = ncr_store_clock();
    ncr_test(ncr_test_put(other, "b", "s-b") == NCR_ERROR
             && strstr(ncr_store_error(other), "is busy"), "others are told");
    ncr_test(ncr_store_clock() - start >= 100, "after the time they give it");
    ncr_test(ncr_test_has(other, "a", "s-a"), "and can read");

    ncr_store_close(other);
    rc = ncr_store_open(&options, &other, ncr_test_error);
    ncr_test(rc == NCR_ERROR && strstr(ncr_test_error, "is busy"),
             "nobody opens it meanwhile");

    ncr_store_funlock(store);
    rc = ncr_store_open(&options, &other, ncr_test_error);
    ncr_test(rc == NCR_OK && ncr_test_put(other, "b", "s-b") == NCR_OK,
             "the lock is free again");

    /* who does not know of the lock */

    (void) sqlite3_open(ncr_test_path, &db);
    (void) sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    ncr_test(ncr_test_put(other, "c", "s-c") == NCR_ERROR
             && strstr(ncr_store_error(other), "is busy"),
             "another program is writing");

    (void) sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    ncr_test(ncr_test_put(other, "c", "s-c") == NCR_OK, "and is done");

    /* and who reads for long */

    (void) sqlite3_exec(db, "BEGIN; SELECT * FROM accounts", NULL, NULL,
                        NULL);
    ncr_test(ncr_test_put(other, "d", "s-d") == NCR_OK
             && ncr_test_has(store, "d", "s-d"), "a reader stops nobody");
    sqlite3_close(db);

    /* a lock file that somebody swept away */

    (void) unlink(store->lock_path);
    ncr_test(ncr_test_put(store, "e", "s-e") == NCR_OK
             && access(store->lock_path, F_OK) == 0,
             "the lock is made anew");
    ncr_test(ncr_store_flock(store, &left) == NCR_OK
             && ncr_test_put(other, "f", "s-f") == NCR_ERROR,
             "and all use the new one");
    ncr_store_funlock(store);

    ncr_store_close(store);
    ncr_store_close(other);
    ncr_test_clean();
}


static void
ncr_test_gone(void)
{
    char                  copy[160], id[NCR_STORE_LOGIN];
    char                 *data;
    uint64_t              seq, version;
    ncr_store_t          *store, *other;
    ncr_store_account_t   row;

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");
    (void) ncr_store_changed(store);

    snprintf(copy, sizeof(copy), "%s.copy", ncr_test_path);
    (void) rename(ncr_test_path, copy);

    seq = 0;
    version = UINT64_MAX;
    memset(&row, 0, sizeof(row));

    ncr_test(ncr_store_changed(store) == NCR_STORE_GONE
             && strstr(ncr_store_error(store), "deleted or replaced"),
             "moved away");
    ncr_test(ncr_test_put(store, "b", "s-b") == NCR_STORE_GONE, "put");
    ncr_test(ncr_store_find(store, "a", &row) == NCR_STORE_GONE, "find");
    ncr_test(ncr_store_load(store, &seq, NULL, NULL) == NCR_STORE_GONE,
             "load");
    ncr_test(ncr_store_begin(store, "a", 0, &row, 1) == NCR_STORE_GONE,
             "begin");
    ncr_test(ncr_store_remove(store, "a", version, 1) == NCR_STORE_GONE,
             "remove");
    ncr_test(ncr_store_login_put(store, id, "{}", 9, 1) == NCR_STORE_GONE
             && ncr_store_login_take(store, "0123456789abcdef0123456789abcdef",
                                     &data, 1) == NCR_STORE_GONE, "logins");

    /* what was moved away is whole */

    ncr_test(ncr_test_value(copy, "SELECT count(*) FROM accounts") == 1,
             "the file took everything along");

    /* another one in its place */

    other = ncr_test_open();
    ncr_test(other && ncr_test_put(other, "b", "s-b") == NCR_OK,
             "another file in its place");
    ncr_test(ncr_store_changed(store) == NCR_STORE_GONE
             && ncr_test_put(store, "a", "x") == NCR_STORE_GONE, "is not it");
    ncr_store_close(store);
    ncr_test(ncr_test_has(other, "b", "s-b")
             && ncr_test_put(other, "b", "s-b2") == NCR_OK
             && ncr_test_intact(ncr_test_path),
             "whoever closes the old one does no harm to the new");

    /* replaced, with the log of the old one still there */

    (void) rename(copy, ncr_test_path);
    ncr_test(ncr_store_changed(other) == NCR_STORE_GONE, "replaced");
    store = ncr_test_open();
    ncr_test(ncr_test_has(store, "a", "s-a") && !ncr_test_has(store, "b",
             "s-b2"), "the backup's contents, nothing else");
    ncr_test(ncr_test_put(store, "c", "s-c") == NCR_OK, "it can be written");
    ncr_store_close(other);
    ncr_test(ncr_test_has(store, "c", "s-c") && ncr_test_intact(ncr_test_path),
             "and is intact");

    /* in the middle of a change */

    ncr_test(ncr_store_write(store) == NCR_OK, "a change begins");
    ncr_store_row_new(&row, "lost");
    row.id = 77;
    ncr_test(ncr_store_row_save(store, &row, 0) == NCR_OK
             && unlink(ncr_test_path) == 0
             && ncr_store_write_end(store, NCR_OK) == NCR_STORE_GONE,
             "the file is deleted before its end");

    ncr_store_close(store);
    ncr_test_clean();
}


/* what ".backup" of sqlite3(1) does, while the store is in use */

static void
ncr_test_backup(void)
{
    int              rc;
    char             copy[160];
    sqlite3         *from, *to;
    ncr_store_t     *store;
    sqlite3_backup  *backup;

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "s-a");

    snprintf(copy, sizeof(copy), "%s.copy", ncr_test_path);

    (void) sqlite3_open(ncr_test_path, &from);
    (void) sqlite3_open(copy, &to);

    backup = sqlite3_backup_init(to, "main", from, "main");
    rc = sqlite3_backup_step(backup, -1);
    (void) sqlite3_backup_finish(backup);

    sqlite3_close(from);
    sqlite3_close(to);

    ncr_test(rc == SQLITE_DONE, "a backup");

    (void) ncr_test_put(store, "a", "s-a2");
    (void) rename(copy, ncr_test_path);

    ncr_test(ncr_test_put(store, "a", "s-a3") == NCR_STORE_GONE,
             "put back while the store is open");
    ncr_store_close(store);

    store = ncr_test_open();
    ncr_test(ncr_test_has(store, "a", "s-a")
             && ncr_test_put(store, "a", "s-a4") == NCR_OK
             && ncr_test_has(store, "a", "s-a4"), "and goes on from there");
    ncr_store_close(store);

    ncr_test(ncr_test_intact(ncr_test_path), "intact");
    ncr_test_clean();
}


static void
ncr_test_copy(ncr_store_account_t *row, const char *name, uint64_t id,
    uint64_t version, uint64_t tokens, const char *text)
{
    memset(row, 0, sizeof(ncr_store_account_t));

    snprintf(row->name, sizeof(row->name), "%s", name);

    row->id = id;
    row->seq = 500;
    row->version = version;
    row->tokens = tokens;
    row->settings = (char *) text;
    row->secret = (char *) text;
    row->proxy = (char *) "";
    row->access = (char *) text;
    row->refresh = (char *) text;
    row->scopes = (char *) "";
    row->meta = (char *) "";
    row->reason = (char *) "";
    row->expires = 77;
}


static ncr_uint_t
ncr_test_is(ncr_store_t *store, const char *name, const char *settings,
    const char *access)
{
    ncr_uint_t           same;
    ncr_store_account_t  row;

    if (ncr_store_find(store, name, &row) != NCR_OK) {
        return 0;
    }

    same = strcmp(row.settings, settings) == 0
           && strcmp(row.secret, settings) == 0
           && strcmp(row.access, access) == 0
           && strcmp(row.refresh, access) == 0;

    ncr_store_row_free(&row);

    return same;
}


static void
ncr_test_restore(void)
{
    uint64_t              id, seq;
    ncr_store_t          *store;
    ncr_store_account_t   row;

    store = ncr_test_open();

    ncr_test_copy(&row, "work", 7, 3, 9, "new");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.id == 7
             && row.seq > 500 && ncr_test_is(store, "work", "new", "new"),
             "restore: missing; it keeps its id");

    seq = row.seq;
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.seq == seq,
             "restore: a second process has nothing to add");

    ncr_test_copy(&row, "work", 7, 2, 8, "old");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.seq == seq
             && ncr_test_is(store, "work", "new", "new"),
             "restore: older than the file");

    ncr_test_copy(&row, "work", 7, 4, 8, "newer");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.seq > seq
             && ncr_test_is(store, "work", "newer", "new"),
             "restore: newer settings, older tokens");

    ncr_test_copy(&row, "work", 7, 3, 10, "newest");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK
             && ncr_test_is(store, "work", "newer", "newest"),
             "restore: older settings, newer tokens");

    /* ids */

    ncr_test(ncr_test_put(store, "fresh", "s") == NCR_OK
             && ncr_store_find(store, "fresh", &row) == NCR_OK && row.id == 8,
             "ids go on behind what was restored");
    ncr_store_row_free(&row);

    ncr_test_copy(&row, "other", 8, 1, 1, "o");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.id == 9
             && ncr_test_is(store, "other", "o", "o"),
             "restore: its id is another account's by now");

    ncr_test_copy(&row, "noid", 0, 1, 1, "n");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.id == 10,
             "restore: without an id");

    /* accounts of nginx.conf may be adopted before */

    (void) ncr_store_adopt(store, "conf", &id, 1);
    ncr_test_copy(&row, "conf", 3, 0, 5, "c");
    row.conf = 1;
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK && row.id == id
             && ncr_test_is(store, "conf", "", "c"),
             "restore: tokens of an account of nginx.conf");

    /* tombstones */

    ncr_test_copy(&row, "work", 7, 9, 10, "");
    row.removed = 1;
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK
             && ncr_store_find(store, "work", &row) == NCR_DECLINED,
             "restore: it was removed");

    ncr_test_copy(&row, "work", 7, 4, 10, "again");
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK
             && ncr_store_find(store, "work", &row) == NCR_DECLINED,
             "restore: what was removed stays so");

    ncr_test_copy(&row, "dead", 20, 2, 1, "");
    row.removed = 1;
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK
             && ncr_test_value(ncr_test_path, "SELECT removed FROM accounts"
                               " WHERE id = 20") == 1,
             "restore: a tombstone that is missing");

    ncr_test_copy(&row, "fresh", 3, 99, 1, "");
    row.removed = 1;
    ncr_test(ncr_store_restore(store, &row, 1) == NCR_OK
             && ncr_test_has(store, "fresh", "s"),
             "restore: the tombstone of another account of this name");

    ncr_store_close(store);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_foreign();
    ncr_test_corrupt();
    ncr_test_schema();
    ncr_test_readonly();
    ncr_test_full();
    ncr_test_busy();
    ncr_test_gone();
    ncr_test_backup();
    ncr_test_restore();

    ncr_test_end();

    return ncr_test_done();
}
