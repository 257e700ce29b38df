
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The store in one piece, and a directory to try it in. */


#ifndef _NCR_STORE_TEST_H_INCLUDED_
#define _NCR_STORE_TEST_H_INCLUDED_


#include "../../src/store/ncr_store.c"
#include "../../src/store/ncr_store_account.c"
#include "../../src/store/ncr_store_action.c"
#include "../../src/store/ncr_store_hook.c"
#include "../../src/store/ncr_store_key.c"
#include "../../src/store/ncr_store_lock.c"
#include "../../src/store/ncr_store_login.c"
#include "../../src/store/ncr_store_merge.c"
#include "../../src/store/ncr_store_object.c"
#include "../../src/store/ncr_store_person.c"
#include "../../src/store/ncr_store_rows.c"
#include "../../src/store/ncr_store_schema.c"
#include "../../src/store/ncr_store_session.c"

#include "ncr_test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>


#define NCR_TEST_KEY                                                          \
    "f3c1a90b5d7e2240886fe1934ab7cd0e915f3320b8e47a66d10c5ef2987ab413"
#define NCR_TEST_OTHER_KEY                                                    \
    "0b8c37d2f1946ae57cde10935fb82746d8a30f6bc915e47280deb34f6179ca52"

#define NCR_TEST_NOBODY  65534


static char  ncr_test_dir[64];
static char  ncr_test_path[128];
static char  ncr_test_error[NCR_STORE_ERROR];


static inline void
ncr_test_begin(void)
{
    snprintf(ncr_test_dir, sizeof(ncr_test_dir), "/tmp/ncr_store_XXXXXX");

    if (mkdtemp(ncr_test_dir) == NULL) {
        perror("mkdtemp()");
        exit(1);
    }

    snprintf(ncr_test_path, sizeof(ncr_test_path), "%s/store.db",
             ncr_test_dir);
}


/* removes all that lies there */

static inline void
ncr_test_clean(void)
{
    DIR            *dir;
    char            path[512];
    struct dirent  *entry;

    dir = opendir(ncr_test_dir);

    if (dir == NULL) {
        return;
    }

    while ((entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", ncr_test_dir, entry->d_name);
        (void) unlink(path);
    }

    (void) closedir(dir);
}


static inline void
ncr_test_end(void)
{
    ncr_test_clean();
    (void) rmdir(ncr_test_dir);
}


static inline void
ncr_test_options(ncr_store_options_t *options, const char *key)
{
    memset(options, 0, sizeof(ncr_store_options_t));

    options->path = ncr_test_path;
    options->key.data = (ncr_char_t *) key;
    options->key.len = strlen(key);
    options->busy = 5000;
    options->create = 1;
}


static inline ncr_store_t *
ncr_test_open_key(const char *key, ncr_int_t *rc)
{
    ncr_int_t             err;
    ncr_store_t          *store;
    ncr_store_options_t   options;

    ncr_test_options(&options, key);

    err = ncr_store_open(&options, &store, ncr_test_error);

    if (rc) {
        *rc = err;

    } else if (err != NCR_OK) {
        printf("# %s\n", ncr_test_error);
    }

    return store;
}


static inline ncr_store_t *
ncr_test_open(void)
{
    return ncr_test_open_key(NCR_TEST_KEY, NULL);
}


/* an SQLite connection that knows nothing of the store's rules */

static inline int
ncr_test_sql(const char *path, const char *sql)
{
    int       rc;
    sqlite3  *db;

    rc = sqlite3_open(path, &db);

    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    }

    if (rc != SQLITE_OK) {
        printf("# %s: %s\n", sql, sqlite3_errmsg(db));
    }

    sqlite3_close(db);

    return rc;
}


static inline int
ncr_test_value(const char *path, const char *sql)
{
    int            value;
    sqlite3       *db;
    sqlite3_stmt  *stmt;

    value = -1;
    stmt = NULL;

    if (sqlite3_open(path, &db) == SQLITE_OK
        && sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK
        && sqlite3_step(stmt) == SQLITE_ROW)
    {
        value = sqlite3_column_int(stmt, 0);
    }

    sqlite3_finalize(stmt);
    sqlite3_close(db);

    return value;
}


static inline int
ncr_test_intact(const char *path)
{
    int            ok;
    sqlite3       *db;
    sqlite3_stmt  *stmt;

    ok = 0;
    stmt = NULL;

    if (sqlite3_open(path, &db) == SQLITE_OK
        && sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL)
           == SQLITE_OK
        && sqlite3_step(stmt) == SQLITE_ROW)
    {
        ok = strcmp((const char *) sqlite3_column_text(stmt, 0), "ok") == 0;
    }

    sqlite3_finalize(stmt);
    sqlite3_close(db);

    return ok;
}


/* exit code of a child that had nothing to complain about is 0 */

static inline int
ncr_test_wait(pid_t pid)
{
    int  status;

    if (pid == -1 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }

    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}


#endif /* _NCR_STORE_TEST_H_INCLUDED_ */
