
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_test.h"


typedef struct {
    ncr_uint_t  rows;
    ncr_uint_t  removed;
    uint64_t    last;
    ncr_uint_t  ordered;
    ncr_uint_t  stop;                   /* after so many */
} ncr_test_load_t;


static ncr_int_t
ncr_test_handler(void *data, ncr_store_account_t *row)
{
    ncr_test_load_t  *load = data;

    if (load->stop && load->rows == load->stop) {
        return NCR_AGAIN;
    }

    load->rows++;
    load->removed += row->removed;
    load->ordered += (row->seq > load->last);
    load->last = row->seq;

    return NCR_OK;
}


static ncr_uint_t
ncr_test_load(ncr_store_t *store, uint64_t *seq)
{
    ncr_test_load_t  load;

    memset(&load, 0, sizeof(load));

    if (ncr_store_load(store, seq, ncr_test_handler, &load) != NCR_OK
        || load.ordered != load.rows)
    {
        return 9999;
    }

    return load.rows;
}


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *name, const char *settings,
    const char *secret, uint64_t version)
{
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "%s", name);
    row.settings = (char *) settings;
    row.secret = (char *) secret;

    return ncr_store_put(store, &row, &version, 1000);
}


static ncr_int_t
ncr_test_tokens(ncr_store_t *store, const char *name, const char *access,
    const char *refresh, uint64_t have)
{
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "%s", name);
    row.access = (char *) access;
    row.refresh = (char *) refresh;
    row.expires = 50000;

    return ncr_store_tokens(store, &row, have, 2000);
}


/* 1 if text is anywhere in the file or its log */

static ncr_uint_t
ncr_test_contains(const void *text, size_t len)
{
    char         path[256];
    FILE        *file;
    size_t       n, i;
    ncr_uint_t   k, found;

    static char         buf[8 * 1024 * 1024];
    static const char  *suffixes[] = { "", "-wal" };

    found = 0;

    for (k = 0; k < 2; k++) {
        snprintf(path, sizeof(path), "%s%s", ncr_test_path, suffixes[k]);

        file = fopen(path, "r");

        if (file == NULL) {
            continue;
        }

        n = fread(buf, 1, sizeof(buf), file);
        fclose(file);

        for (i = 0; i + len <= n; i++) {
            found |= (memcmp(buf + i, text, len) == 0);
        }
    }

    return found;
}


/* size and bytes of a file, so that "untouched" can be seen */

static uint64_t
ncr_test_sum(const char *path)
{
    int        ch;
    FILE      *file;
    uint64_t   sum;

    file = fopen(path, "r");

    if (file == NULL) {
        return 0;
    }

    sum = 14695981039346656037ull;

    while ((ch = fgetc(file)) != EOF) {
        sum = (sum ^ (uint64_t) ch) * 1099511628211ull;
    }

    fclose(file);

    return sum;
}


static ncr_uint_t
ncr_test_mode(const char *suffix, uid_t uid)
{
    char         path[256];
    struct stat  st;

    snprintf(path, sizeof(path), "%s%s", ncr_test_path, suffix);

    if (stat(path, &st) == -1) {
        printf("# %s: %s\n", path, strerror(errno));
        return 0;
    }

    if ((st.st_mode & 07777) != 0600 || st.st_uid != uid) {
        printf("# %s: %o, of %d\n", path, st.st_mode & 07777,
               (int) st.st_uid);
        return 0;
    }

    return 1;
}


static void
ncr_test_create(void)
{
    int                   fd;
    char                  link_path[256];
    mode_t                mask;
    uid_t                 uid;
    ncr_store_t          *store;
    ncr_store_options_t   options;

    ncr_test_options(&options, NCR_TEST_KEY);
    options.create = 0;

    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && store == NULL && strstr(ncr_test_error, "No such file")
             && strstr(ncr_test_error, ncr_test_path),
             "no file, and none is made");
    ncr_test(!ncr_test_mode("-lock", 0) && errno == ENOENT,
             "nor a lock beside it");

    options.create = 1;
    options.path = "/tmp/ncr_store_nowhere/at/all";
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "No such file"), "no directory");

    options.path = ncr_test_dir;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "not a regular file"), "a directory");

    options.path = "";
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR,
             "no path");

    options.path = NULL;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR,
             "NULL for a path");

    snprintf(link_path, sizeof(link_path), "%s/link", ncr_test_dir);
    (void) !symlink("nowhere", link_path);
    options.path = link_path;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "symbolic link"),
             "a link that leads nowhere");
    (void) unlink(link_path);

    /* the umask does not matter, in either direction */

    uid = geteuid() ? geteuid() : NCR_TEST_NOBODY;

    if (geteuid() == 0) {
        (void) !chown(ncr_test_dir, NCR_TEST_NOBODY, NCR_TEST_NOBODY);
    }

    mask = umask(0);
    store = ncr_test_open();
    ncr_test(store && ncr_test_put(store, "a", "{}", "s", 0) == NCR_OK,
             "made, with a umask of 0");
    fd = ncr_store_lock_open(ncr_test_path);
    ncr_test(ncr_test_mode("", uid) && ncr_test_mode("-lock", uid)
             && ncr_test_mode("-wal", uid) && ncr_test_mode("-shm", uid)
             && ncr_test_mode("-lease", uid),
             "all files are for the directory's owner alone");
    ncr_store_close(store);
    close(fd);
    ncr_test_clean();

    umask(0777);
    store = ncr_test_open();
    ncr_test(store && ncr_test_put(store, "a", "{}", "s", 0) == NCR_OK,
             "made, with a umask of 0777");
    fd = ncr_store_lock_open(ncr_test_path);
    ncr_test(ncr_test_mode("", uid) && ncr_test_mode("-lock", uid)
             && ncr_test_mode("-wal", uid) && ncr_test_mode("-shm", uid)
             && ncr_test_mode("-lease", uid), "the same modes");
    umask(mask);
    ncr_store_close(store);
    close(fd);

    /* through a link: the same file, the same locks */

    (void) !symlink("store.db", link_path);
    ncr_test_options(&options, NCR_TEST_KEY);
    options.path = link_path;
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK
             && strcmp(store->lock_path + strlen(store->lock_path) - 13,
                       "store.db-lock") == 0, "opened through a link");
    ncr_test(ncr_store_changed(store) == NCR_OK
             && ncr_store_changed(store) == NCR_DECLINED, "and is itself");
    ncr_store_close(store);

    ncr_test(ncr_test_value(ncr_test_path, "PRAGMA application_id")
             == NCR_STORE_APPLICATION
             && ncr_test_value(ncr_test_path, "PRAGMA user_version") == 4,
             "says what it is");

    ncr_store_close(NULL);
    ncr_test_clean();

    /* a log without its file is not replayed into a new one */

    snprintf(link_path, sizeof(link_path), "%s-wal", ncr_test_path);
    fd = open(link_path, O_CREAT|O_WRONLY, 0600);
    (void) !write(fd, "left over", 9);
    close(fd);

    store = ncr_test_open();
    ncr_test(store && !ncr_test_contains("left over", 9),
             "an old log is thrown away");
    ncr_store_close(store);

    /* an empty file, as touch(1) makes one */

    ncr_test_clean();
    close(open(ncr_test_path, O_CREAT|O_WRONLY, 0644));

    store = ncr_test_open();
    ncr_test(store && ncr_test_mode("", uid), "an empty file is filled");
    ncr_store_close(store);

    /* a link in place of the lock: as if www-data wanted root's files */

    ncr_test_clean();
    snprintf(link_path, sizeof(link_path), "%s-lock", ncr_test_path);
    (void) !symlink("/tmp/ncr_store_victim", link_path);
    store = ncr_test_open_key(NCR_TEST_KEY, NULL);
    ncr_test(store == NULL && access("/tmp/ncr_store_victim", F_OK) == -1,
             "a link in place of the lock is not followed");
    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_keys(void)
{
    uint64_t              sum;
    ncr_int_t             rc;
    ncr_store_t          *store;
    ncr_store_options_t   options;

    store = ncr_test_open();
    (void) ncr_test_put(store, "a", "{}", "sk-secret", 0);
    ncr_store_close(store);

    sum = ncr_test_sum(ncr_test_path);

    store = ncr_test_open_key(NCR_TEST_OTHER_KEY, &rc);
    ncr_test(rc == NCR_STORE_KEY && store == NULL
             && strstr(ncr_test_error, "another key"), "another key");
    ncr_test(strstr(ncr_test_error, NCR_TEST_OTHER_KEY) == NULL
             && strstr(ncr_test_error, ncr_test_path),
             "its message names the file, and no key");

    store = ncr_test_open_key("00000000000000000000000000000000"
                              "00000000000000000000000000000000", &rc);
    ncr_test(rc == NCR_ERROR && strstr(ncr_test_error, "default"),
             "a default key");

    store = ncr_test_open_key("changeme", &rc);
    ncr_test(rc == NCR_ERROR && strstr(ncr_test_error, "hexadecimal")
             && !strstr(ncr_test_error, "changeme"), "no key at all");

    ncr_test_options(&options, "");
    ncr_str_null(&options.key);
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "needs a key file"), "neither");

    ncr_str_set(&options.passphrase, "correct horse");
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_STORE_KEY
             && strstr(ncr_test_error, "key file"), "a passphrase instead");

    ncr_test(ncr_test_sum(ncr_test_path) == sum,
             "the file was not touched by any of these");

    store = ncr_test_open();
    ncr_test(store != NULL, "the right key");
    ncr_store_close(store);
    ncr_test_clean();

    /* passphrases */

    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK
             && ncr_test_put(store, "a", "{}", "s", 0) == NCR_OK,
             "made with a passphrase");
    ncr_store_close(store);

    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_OK,
             "opened with it");
    ncr_store_close(store);

    ncr_str_set(&options.passphrase, "correct horses");
    ncr_test(ncr_store_open(&options, &store, ncr_test_error)
             == NCR_STORE_KEY && !strstr(ncr_test_error, "horse"),
             "another passphrase");

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_STORE_KEY && strstr(ncr_test_error, "passphrase"),
             "a key file instead");

    ncr_str_set(&options.passphrase, "correct horse");
    (void) ncr_test_sql(ncr_test_path, "UPDATE meta SET value = (SELECT value"
                        " FROM meta WHERE name = 'key') WHERE name = 'check'");
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR,
             "a damaged check");
    (void) ncr_test_sql(ncr_test_path,
                        "DELETE FROM meta WHERE name = 'key'");
    ncr_test(ncr_store_open(&options, &store, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "corrupt"), "a key that is missing");

    ncr_test_clean();
}


static void
ncr_test_accounts(void)
{
    char                  name[NCR_STORE_NAME + 1];
    uint64_t              seq, version, id, old;
    ncr_store_t          *store;
    ncr_store_account_t   row, found;

    store = ncr_test_open();
    seq = 0;

    ncr_test(ncr_test_load(store, &seq) == 0 && seq == 0, "nothing to load");
    ncr_test(ncr_store_find(store, "work", &found) == NCR_DECLINED,
             "nothing to find");
    ncr_store_row_free(&found);

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "work");
    row.settings = (char *) "{\"weight\":2}";
    row.secret = (char *) "sk-1";
    row.proxy = (char *) "http://u:p@proxy:3128";

    version = 7;
    ncr_test(ncr_store_put(store, &row, &version, 1000) == NCR_DECLINED,
             "put: it should be there");

    version = 0;
    ncr_test(ncr_store_put(store, &row, &version, 1000) == NCR_OK
             && version == 1 && row.id == 1 && row.seq == 1, "put: new");

    version = 0;
    ncr_test(ncr_store_put(store, &row, &version, 1000) == NCR_DECLINED,
             "put: it should be new");

    ncr_test(ncr_store_find(store, "work", &found) == NCR_OK
             && strcmp(found.settings, "{\"weight\":2}") == 0
             && strcmp(found.secret, "sk-1") == 0
             && strcmp(found.proxy, "http://u:p@proxy:3128") == 0
             && strcmp(found.access, "") == 0 && strcmp(found.meta, "") == 0
             && found.created == 1000 && found.updated == 1000
             && found.tokens == 0 && !found.conf && !found.removed
             && found.version == 1, "found");
    ncr_store_row_free(&found);
    ncr_store_row_free(&found);
    ncr_test(found.secret == NULL, "freed, twice");

    row.settings = NULL;
    row.secret = (char *) "sk-2";
    row.proxy = (char *) "";
    version = 1;
    ncr_test(ncr_store_put(store, &row, &version, 2000) == NCR_OK
             && version == 2 && row.id == 1 && row.seq == 2,
             "put: this version");
    version = 1;
    ncr_test(ncr_store_put(store, &row, &version, 2000) == NCR_DECLINED,
             "put: an older version");
    version = UINT64_MAX;
    ncr_test(ncr_store_put(store, &row, &version, 2000) == NCR_OK
             && version == 3, "put: whatever is there");

    ncr_test(ncr_store_find(store, "work", &found) == NCR_OK
             && strcmp(found.settings, "{\"weight\":2}") == 0
             && strcmp(found.secret, "sk-2") == 0
             && strcmp(found.proxy, "") == 0 && found.created == 1000
             && found.updated == 2000, "what was NULL is as it was");
    ncr_store_row_free(&found);

    /* accounts of nginx.conf */

    ncr_test(ncr_store_adopt(store, "conf", &id, 3000) == NCR_OK && id == 2,
             "adopt");
    old = id;
    ncr_test(ncr_store_adopt(store, "conf", &id, 3000) == NCR_OK && id == old,
             "adopt again: the same");
    ncr_test(ncr_store_adopt(store, "work", &id, 3000) == NCR_DECLINED
             && strstr(ncr_store_error(store), ncr_test_path),
             "adopt: it is one of the store");
    version = UINT64_MAX;
    snprintf(row.name, sizeof(row.name), "conf");
    ncr_test(ncr_store_put(store, &row, &version, 3000) == NCR_DECLINED
             && strstr(ncr_store_error(store), "nginx.conf"),
             "put: it is one of nginx.conf");

    /* changes since */

    ncr_test(ncr_test_load(store, &seq) == 2 && seq == 4, "load");
    ncr_test(ncr_test_load(store, &seq) == 0 && seq == 4, "nothing new");

    ncr_test(ncr_store_remove(store, "work", 1, 4000) == NCR_DECLINED,
             "remove: another version");
    ncr_test(ncr_store_remove(store, "none", 1, 4000) == NCR_DECLINED,
             "remove: none");
    ncr_test(ncr_store_remove(store, "work", 3, 4000) == NCR_OK, "remove");
    ncr_test(ncr_test_load(store, &seq) == 1 && seq == 5,
             "a tombstone is loaded");
    ncr_test(ncr_store_find(store, "work", &found) == NCR_DECLINED,
             "and not found");
    ncr_test(ncr_store_remove(store, "work", UINT64_MAX, 4000)
             == NCR_DECLINED, "remove: none any more");
    ncr_test(ncr_test_value(ncr_test_path, "SELECT count(*) FROM accounts"
                            " WHERE removed AND secret IS NULL AND proxy IS"
                            " NULL AND settings = ''") == 1,
             "it has no secrets");

    snprintf(row.name, sizeof(row.name), "work");
    row.settings = (char *) "{}";
    version = 0;
    ncr_test(ncr_store_put(store, &row, &version, 5000) == NCR_OK
             && row.id == 3 && version == 5,
             "made anew: another id, and a version nobody has seen");

    /* names */

    memset(name, 'n', sizeof(name));
    name[NCR_STORE_NAME - 1] = '\0';
    ncr_test(ncr_test_put(store, name, "{}", "s", 0) == NCR_OK,
             "a name of 63 bytes");
    memset(row.name, 'n', sizeof(row.name));
    version = 0;
    ncr_test(ncr_store_put(store, &row, &version, 1) == NCR_ERROR,
             "a name of 64 bytes");
    ncr_test(ncr_store_find(store, "", &found) == NCR_ERROR, "no name");
    ncr_test(ncr_test_put(store, "x', 1); --", "{}", "s", 0) == NCR_OK
             && ncr_store_find(store, "x', 1); --", &found) == NCR_OK,
             "a name that looks like SQL");
    ncr_store_row_free(&found);

    ncr_store_close(store);
}


static void
ncr_test_provider(void)
{
    uint64_t              id;
    ncr_store_t          *store;
    ncr_store_account_t   row, found;

    store = ncr_test_open();
    (void) ncr_store_adopt(store, "oauth", &id, 1);

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "oauth");
    row.access = (char *) "at-1";
    row.refresh = (char *) "rt-1";
    row.expires = 5000;
    row.granted = 100;
    row.scopes = (char *) "user:inference";
    row.meta = (char *) "{\"email\":\"a@b\"}";

    ncr_test(ncr_store_tokens(store, &row, 3, 100) == NCR_DECLINED,
             "tokens: of another version");
    ncr_test(ncr_store_tokens(store, &row, 0, 100) == NCR_OK
             && row.tokens == 1 && row.id == id && row.seq, "tokens: first");

    ncr_test(ncr_store_begin(store, "oauth", 1, &found, 200) == NCR_OK
             && found.pending == 0 && strcmp(found.refresh, "rt-1") == 0
             && found.tokens == 1, "begin");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_begin(store, "oauth", 1, &found, 300) == NCR_OK
             && found.pending == 200, "begin: an earlier one never ended");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_find(store, "oauth", &found) == NCR_OK
             && found.pending == 300, "it is written");
    ncr_store_row_free(&found);

    ncr_test(ncr_store_begin(store, "oauth", 0, &found, 400) == NCR_DONE
             && strcmp(found.access, "at-1") == 0,
             "begin: there are newer ones");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_find(store, "oauth", &found) == NCR_OK
             && found.pending == 300, "nothing was written");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_begin(store, "none", 0, &found, 400) == NCR_DECLINED,
             "begin: no such account");

    ncr_test(ncr_store_failed(store, "oauth", 0, "x", 500) == NCR_DECLINED,
             "failed: of another version");
    ncr_test(ncr_store_failed(store, "oauth", 1, NULL, 500) == NCR_OK
             && ncr_store_find(store, "oauth", &found) == NCR_OK
             && found.pending == 0 && found.failed == 0
             && strcmp(found.refresh, "rt-1") == 0, "failed in passing");
    ncr_store_row_free(&found);

    ncr_test(ncr_store_failed(store, "oauth", 1, "invalid_grant", 600)
             == NCR_OK
             && ncr_store_find(store, "oauth", &found) == NCR_OK
             && found.failed == 600
             && strcmp(found.reason, "invalid_grant") == 0
             && found.tokens == 1, "failed for good");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_failed(store, "none", 1, NULL, 1) == NCR_DECLINED,
             "failed: no such account");

    (void) ncr_store_begin(store, "oauth", 1, &found, 700);
    ncr_store_row_free(&found);

    row.access = (char *) "at-2";
    row.refresh = NULL;
    row.scopes = NULL;
    row.meta = NULL;
    row.granted = 0;
    row.expires = 9000;

    ncr_test(ncr_store_tokens(store, &row, 1, 800) == NCR_OK
             && row.tokens == 2
             && ncr_store_find(store, "oauth", &found) == NCR_OK
             && strcmp(found.access, "at-2") == 0
             && strcmp(found.refresh, "rt-1") == 0
             && strcmp(found.scopes, "user:inference") == 0
             && strcmp(found.meta, "{\"email\":\"a@b\"}") == 0
             && found.granted == 100 && found.expires == 9000
             && found.pending == 0 && found.failed == 0
             && found.reason[0] == '\0', "tokens: what is NULL stays");
    ncr_store_row_free(&found);

    row.refresh = (char *) "";
    ncr_test(ncr_store_tokens(store, &row, UINT64_MAX, 900) == NCR_OK
             && row.tokens == 3
             && ncr_store_find(store, "oauth", &found) == NCR_OK
             && found.refresh[0] == '\0', "tokens: a setup token has none");
    ncr_store_row_free(&found);

    snprintf(row.name, sizeof(row.name), "none");
    ncr_test(ncr_store_tokens(store, &row, UINT64_MAX, 900) == NCR_DECLINED,
             "tokens: no such account");

    ncr_test(ncr_store_meta(store, "oauth", "{\"plan\":\"max\"}", 1000)
             == NCR_OK
             && ncr_store_find(store, "oauth", &found) == NCR_OK
             && strcmp(found.meta, "{\"plan\":\"max\"}") == 0
             && found.tokens == 3, "meta");
    ncr_store_row_free(&found);
    ncr_test(ncr_store_meta(store, "none", "{}", 1) == NCR_DECLINED,
             "meta: no such account");

    ncr_store_close(store);
}


static void
ncr_test_loads(void)
{
    uint64_t              seq;
    ncr_store_t          *store, *other;
    ncr_test_load_t       load;
    ncr_store_account_t   row;

    store = ncr_test_open();
    other = ncr_test_open();

    (void) ncr_test_put(store, "stop", "{}", "s", UINT64_MAX);
    seq = 0;
    memset(&load, 0, sizeof(load));
    load.stop = 1;

    ncr_test(ncr_store_load(store, &seq, ncr_test_handler, &load) == NCR_AGAIN
             && load.rows == 1 && seq == load.last,
             "load: stopped by its handler");
    ncr_test(ncr_test_load(store, &seq) > 0, "load: goes on from there");

    ncr_test(ncr_store_changed(other) == NCR_OK, "changed: at first");
    ncr_test(ncr_store_changed(other) == NCR_DECLINED, "changed: no");
    (void) ncr_test_put(store, "stop", "{\"a\":1}", NULL, UINT64_MAX);
    ncr_test(ncr_store_changed(other) == NCR_OK, "changed: by another");
    ncr_test(ncr_store_changed(other) == NCR_DECLINED, "changed: not again");
    (void) ncr_test_put(other, "stop", "{\"a\":2}", NULL, UINT64_MAX);
    ncr_test(ncr_store_changed(other) == NCR_OK, "changed: by itself");
    ncr_test(ncr_store_changed(other) == NCR_DECLINED, "changed: told once");

    ncr_test(ncr_test_load(store, &seq) == 1
             && ncr_store_find(store, "stop", &row) == NCR_OK
             && strcmp(row.settings, "{\"a\":2}") == 0,
             "the other's change is loaded");
    ncr_store_row_free(&row);

    ncr_store_close(store);
    ncr_store_close(other);
    ncr_test_clean();
}


static void
ncr_test_logins(void)
{
    char          id[NCR_STORE_LOGIN], other[NCR_STORE_LOGIN];
    char         *data;
    ncr_store_t  *store, *second;

    store = ncr_test_open();
    second = ncr_test_open();

    ncr_test(ncr_store_login_put(store, id, "{\"verifier\":\"v3r1f13r\"}",
                                 2000, 1000) == NCR_OK && strlen(id) == 32,
             "a login");
    ncr_test(ncr_store_login_put(store, other, "{}", 2000, 1000) == NCR_OK
             && strcmp(id, other) != 0, "another one");
    ncr_test(!ncr_test_contains("v3r1f13r", 8), "is sealed");

    ncr_test(ncr_store_login_keep(second, id, &data, 1500) == NCR_OK
             && strcmp(data, "{\"verifier\":\"v3r1f13r\"}") == 0, "kept");
    ncr_store_login_free(data);

    ncr_test(ncr_store_login_change(store, id, "{\"next\":\"ch4ng3d\"}", 1500)
             == NCR_OK
             && ncr_store_login_keep(second, id, &data, 1999) == NCR_OK
             && strcmp(data, "{\"next\":\"ch4ng3d\"}") == 0
             && !ncr_test_contains("ch4ng3d", 7), "changed, and sealed");
    ncr_store_login_free(data);
    ncr_test(ncr_store_login_change(second, id,
                                    "{\"verifier\":\"v3r1f13r\"}", 1500)
             == NCR_OK
             && ncr_store_login_change(second, id, "{}", 2000) == NCR_DECLINED
             && ncr_store_login_change(second, "x", "{}", 1) == NCR_DECLINED,
             "not one that has expired, or is not there");

    ncr_test(ncr_store_login_take(second, id, &data, 1500) == NCR_OK
             && strcmp(data, "{\"verifier\":\"v3r1f13r\"}") == 0, "taken");
    ncr_store_login_free(data);
    ncr_test(ncr_store_login_take(store, id, &data, 1500) == NCR_DECLINED
             && data == NULL, "once");
    ncr_test(ncr_store_login_keep(store, id, &data, 1500) == NCR_DECLINED,
             "not even to look at");

    ncr_test(ncr_store_login_keep(store, other, &data, 2000) == NCR_DECLINED
             && ncr_store_login_take(store, other, &data, 2000)
                == NCR_DECLINED && data == NULL, "expired");

    ncr_test(ncr_store_login_keep(store, "", &data, 1) == NCR_DECLINED
             && ncr_store_login_keep(store, "x", &data, 1) == NCR_DECLINED
             && ncr_store_login_keep(store, "../../../../../../../../../../etc",
                                     &data, 1) == NCR_DECLINED
             && ncr_store_login_take(store, "0123456789abcdef0123456789abcdef0",
                                     &data, 1) == NCR_DECLINED,
             "no id");

    (void) ncr_store_login_put(store, id, "{}", 2000, 1000);
    (void) ncr_store_login_put(store, other, "{}", 9000, 3000);
    ncr_test(ncr_test_value(ncr_test_path, "SELECT count(*) FROM logins")
             == 1, "expired ones are swept");
    ncr_store_login_free(NULL);

    ncr_store_close(store);
    ncr_store_close(second);
    ncr_test_clean();
}


static void
ncr_test_sealed(void)
{
    char                  id[NCR_STORE_LOGIN], other[NCR_STORE_LOGIN];
    char                 *data, *second;
    uint64_t              seq;
    ncr_store_t          *store;
    ncr_test_load_t       load;
    ncr_store_account_t   row;

    store = ncr_test_open();

    (void) ncr_test_put(store, "a", "{\"s3tt1ng\":1}", "s3cr3t-a", 0);
    (void) ncr_test_put(store, "b", "{}", "s3cr3t-b", 0);
    (void) ncr_test_tokens(store, "a", "t0k3n-a", "r3fr3sh-a", 0);
    (void) ncr_test_tokens(store, "b", "t0k3n-b", "r3fr3sh-b", 0);
    (void) ncr_store_login_put(store, id, "{\"l0g1n\":1}", 9000, 1);
    (void) ncr_store_login_put(store, other, "{\"l0g1n\":2}", 9000, 1);

    ncr_test(ncr_test_contains("s3tt1ng", 7), "settings can be read");
    ncr_test(!ncr_test_contains("s3cr3t", 6) && !ncr_test_contains("t0k3n", 5)
             && !ncr_test_contains("r3fr3sh", 7)
             && !ncr_test_contains("l0g1n", 5), "secrets cannot");
    ncr_test(!ncr_test_contains(store->key, NCR_SEAL_KEY),
             "nor can the data key");

    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET refresh = (SELECT"
                        " refresh FROM accounts WHERE name = 'b')"
                        " WHERE name = 'a'");
    ncr_test(ncr_store_find(store, "a", &row) == NCR_ERROR
             && strstr(ncr_store_error(store), "\"refresh\" of row 1"),
             "a secret of another row");

    seq = 0;
    memset(&load, 0, sizeof(load));
    ncr_test(ncr_store_load(store, &seq, ncr_test_handler, &load) == NCR_ERROR
             && strstr(ncr_store_error(store), "changed or moved"),
             "is not loaded");
    ncr_test(ncr_test_tokens(store, "a", "x", "y", UINT64_MAX) == NCR_ERROR,
             "nor written over");

    ncr_test(ncr_store_find(store, "b", &row) == NCR_OK, "others are fine");
    ncr_store_row_free(&row);

    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET refresh = access"
                        " WHERE name = 'b'");
    ncr_test(ncr_store_find(store, "b", &row) == NCR_ERROR,
             "a secret of another column");
    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET refresh = NULL,"
                        " access = zeroblob(40) WHERE name = 'b'");
    ncr_test(ncr_store_find(store, "b", &row) == NCR_ERROR, "zeros");
    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET refresh = NULL,"
                        " access = 'text' WHERE name = 'b'");
    ncr_test(ncr_store_find(store, "b", &row) == NCR_ERROR, "a text");
    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET access = NULL,"
                        " name = '' WHERE name = 'b'");
    seq = 2;
    ncr_test(ncr_store_load(store, &seq, ncr_test_handler, &load)
             == NCR_ERROR, "a row without a name");

    (void) ncr_test_sql(ncr_test_path, "UPDATE logins SET data = (SELECT data"
                        " FROM logins ORDER BY id LIMIT 1)");
    ncr_test((ncr_store_login_keep(store, id, &data, 1) == NCR_ERROR)
             + (ncr_store_login_keep(store, other, &second, 1) == NCR_ERROR)
             == 1, "a login of another id");
    ncr_store_login_free(data);
    ncr_store_login_free(second);

    ncr_store_close(store);
    ncr_test_clean();
}


static ncr_int_t
ncr_test_rekey_to(ncr_store_t *store, const char *key)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) key;
    s.len = strlen(key);

    return ncr_store_rekey(store, &s, NULL);
}


static void
ncr_test_rekey(void)
{
    char                  id[NCR_STORE_LOGIN];
    char                 *data;
    uint64_t              seq;
    ncr_int_t             rc;
    ncr_str_t             pass;
    ncr_char_t            old[NCR_STORE_SEALED_KEY];
    ncr_store_t          *store, *other;
    ncr_test_load_t       load;
    ncr_store_account_t   row;

    store = ncr_test_open();
    other = ncr_test_open();

    (void) ncr_test_put(store, "a", "{}", "s-a", 0);
    (void) ncr_test_put(store, "b", "{}", "s-b", 0);
    (void) ncr_test_put(store, "gone", "{}", "s-c", 0);
    (void) ncr_store_remove(store, "gone", UINT64_MAX, 1);
    (void) ncr_test_tokens(store, "a", "at", "rt", 0);
    (void) ncr_store_login_put(store, id, "{\"v\":1}", 9000, 1);

    ncr_test(ncr_test_rekey_to(store, "nonsense") == NCR_ERROR
             && ncr_store_find(store, "a", &row) == NCR_OK,
             "rekey: with something that is no key");
    ncr_store_row_free(&row);

    memcpy(old, store->sealed, sizeof(old));

    ncr_test(ncr_test_rekey_to(store, NCR_TEST_OTHER_KEY) == NCR_OK, "rekey");
    ncr_test(!ncr_test_contains(old, sizeof(old)),
             "the old data key is nowhere in the file");
    ncr_test(ncr_store_find(store, "a", &row) == NCR_OK
             && strcmp(row.refresh, "rt") == 0
             && strcmp(row.secret, "s-a") == 0, "the handle goes on");
    ncr_store_row_free(&row);
    ncr_test(ncr_store_login_keep(store, id, &data, 1) == NCR_OK
             && strcmp(data, "{\"v\":1}") == 0, "logins, too");
    ncr_store_login_free(data);

    ncr_test(ncr_store_changed(other) == NCR_OK, "others see a change");
    seq = 0;
    memset(&load, 0, sizeof(load));
    ncr_test(ncr_store_find(other, "a", &row) == NCR_STORE_KEY
             && ncr_store_load(other, &seq, ncr_test_handler, &load)
                == NCR_STORE_KEY
             && ncr_test_put(other, "a", "{}", "x", UINT64_MAX)
                == NCR_STORE_KEY
             && ncr_test_tokens(other, "a", "x", "x", UINT64_MAX)
                == NCR_STORE_KEY
             && ncr_store_login_take(other, id, &data, 1) == NCR_STORE_KEY
             && ncr_test_rekey_to(other, NCR_TEST_KEY) == NCR_STORE_KEY,
             "and can do nothing any more");
    ncr_store_close(other);

    other = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_STORE_KEY && other == NULL, "the old key is refused");

    other = ncr_test_open_key(NCR_TEST_OTHER_KEY, &rc);
    ncr_test(rc == NCR_OK
             && ncr_store_find(other, "b", &row) == NCR_OK
             && strcmp(row.secret, "s-b") == 0, "the new one is good");
    ncr_store_row_free(&row);
    ncr_store_close(other);

    /* a secret that cannot be read stops it, with nothing changed */

    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET secret = access"
                        " WHERE name = 'a'");
    ncr_test(ncr_test_rekey_to(store, NCR_TEST_KEY) == NCR_ERROR
             && ncr_store_find(store, "b", &row) == NCR_OK,
             "rekey: a damaged secret");
    ncr_store_row_free(&row);
    (void) ncr_test_sql(ncr_test_path, "UPDATE accounts SET secret = NULL"
                        " WHERE name = 'a'");

    ncr_str_set(&pass, "a passphrase");
    ncr_test(ncr_store_rekey(store, NULL, &pass) == NCR_OK
             && ncr_store_find(store, "b", &row) == NCR_OK,
             "rekey: to a passphrase");
    ncr_store_row_free(&row);

    other = ncr_test_open_key(NCR_TEST_OTHER_KEY, &rc);
    ncr_test(rc == NCR_STORE_KEY && strstr(ncr_test_error, "passphrase"),
             "which is then needed");

    ncr_test(ncr_test_rekey_to(store, NCR_TEST_KEY) == NCR_OK, "and back");
    ncr_test(ncr_store_rekey(store, NULL, NULL) == NCR_ERROR,
             "rekey: to nothing");
    ncr_store_close(store);

    store = ncr_test_open();
    ncr_test(store != NULL, "opened with the first key again");
    ncr_store_close(store);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_create();
    ncr_test_keys();
    ncr_test_accounts();
    ncr_test_provider();
    ncr_test_loads();
    ncr_test_logins();
    ncr_test_sealed();
    ncr_test_rekey();

    ncr_test_end();

    return ncr_test_done();
}
