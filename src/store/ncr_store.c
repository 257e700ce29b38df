
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The handle: opening and closing, transactions, what has changed, messages.
 *
 * Writers of all processes are serialised by flock() on a file beside the
 * store: SQLite's own waiting sleeps and starves.  After each commit the log
 * is written back and truncated, while that lock is still held; so a file
 * that is copied, moved away or replaced takes everything along, and a log
 * that stays behind cannot be replayed into another file.
 */


#include "ncr_store_int.h"


#define NCR_STORE_COLUMNS                                                     \
    "id, seq, name, conf, removed, version, settings, secret, proxy, "        \
    "created, updated, tokens, access, refresh, expires, granted, scopes, "   \
    "meta, pending, failed, reason, fence, holder"

#define NCR_STORE_HOOK                                                        \
    "name, version, kind, enabled, url, secret, settings, state, created, "   \
    "updated"

#define NCR_STORE_OBJECT                                                      \
    "id, seq, kind, name, removed, version, digest, data, created, updated, " \
    "activated, prefix"

#define NCR_STORE_PERSON                                                      \
    "name, version, role, enabled, password, change, external, totp, step, "  \
    "created, updated, login"

#define NCR_STORE_SESSION                                                     \
    "digest, person, name, csrf, role, created, used, expires, idle, "        \
    "address, agent"

#define NCR_STORE_ACTION                                                      \
    "number, time, who, role, address, method, path, status, before, after, " \
    "hash"


static const char  *ncr_store_sqls[NCR_STORE_SQL_N] = {

    "BEGIN",

    "BEGIN IMMEDIATE",

    "COMMIT",

    "PRAGMA data_version",

    "SELECT value FROM meta WHERE name = ?1",

    "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",

    "UPDATE counters SET value = max(value + ?2, ?3) WHERE name = ?1"
    " RETURNING value",

    "SELECT " NCR_STORE_COLUMNS " FROM accounts WHERE seq > ?1 ORDER BY seq",

    "SELECT " NCR_STORE_COLUMNS " FROM accounts"
    " WHERE name = ?1 AND removed = 0",

    "SELECT " NCR_STORE_COLUMNS " FROM accounts WHERE id = ?1",

    "SELECT " NCR_STORE_COLUMNS " FROM accounts WHERE id > ?1"
    " ORDER BY id LIMIT 1",

    "SELECT " NCR_STORE_COLUMNS " FROM accounts"
    " WHERE name = ?1 AND removed = 1 ORDER BY version DESC, id DESC LIMIT 1",

    /* not OR REPLACE, which would also replace another row of that name */

    "INSERT INTO accounts (" NCR_STORE_COLUMNS ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
    " ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)"
    " ON CONFLICT (id) DO UPDATE SET"
    " seq = ?2, name = ?3, conf = ?4, removed = ?5, version = ?6,"
    " settings = ?7, secret = ?8, proxy = ?9, created = ?10, updated = ?11,"
    " tokens = ?12, access = ?13, refresh = ?14, expires = ?15,"
    " granted = ?16, scopes = ?17, meta = ?18, pending = ?19, failed = ?20,"
    " reason = ?21, fence = ?22, holder = ?23",

    "SELECT id, data, expires FROM logins WHERE id = ?1",

    "SELECT id, data, expires FROM logins WHERE id > ?1 ORDER BY id LIMIT 1",

    "INSERT OR REPLACE INTO logins (id, data, expires) VALUES (?1, ?2, ?3)",

    "DELETE FROM logins WHERE id = ?1",

    "DELETE FROM logins WHERE expires <= ?1",

    "SELECT " NCR_STORE_PERSON " FROM people WHERE name = ?1",

    "SELECT " NCR_STORE_PERSON " FROM people"
    " WHERE external = ?1 AND external <> ''",

    "SELECT " NCR_STORE_PERSON " FROM people"
    " WHERE name > ?1 AND totp IS NOT NULL ORDER BY name LIMIT 1",

    "SELECT 1 FROM people WHERE role = ?1 AND enabled = 1 AND name <> ?2"
    " LIMIT 1",

    "INSERT OR REPLACE INTO people (" NCR_STORE_PERSON ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",

    "DELETE FROM people WHERE name = ?1",

    "UPDATE people SET login = ?3, step = max(step, ?2)"
    " WHERE name = ?1 AND (?2 = 0 OR step < ?2)",

    "SELECT " NCR_STORE_PERSON " FROM people WHERE name > ?1 ORDER BY name",

    "SELECT " NCR_STORE_SESSION " FROM sessions WHERE digest = ?1",

    "SELECT " NCR_STORE_SESSION " FROM sessions ORDER BY created DESC",

    "SELECT " NCR_STORE_SESSION " FROM sessions WHERE person = ?1"
    " ORDER BY created DESC",

    /* not OR REPLACE, which would also replace another token of that name */

    "INSERT INTO sessions (" NCR_STORE_SESSION ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",

    "UPDATE sessions SET used = ?2 WHERE digest = ?1",

    "DELETE FROM sessions WHERE (expires <> 0 AND expires <= ?1)"
    " OR (idle <> 0 AND used + idle <= ?1)",

    "DELETE FROM sessions WHERE digest = ?1",

    "DELETE FROM sessions WHERE person = ?1 AND digest IS NOT ?2"
    " AND (?3 OR name = '')",

    "DELETE FROM sessions WHERE person = ?1 AND name = ?2",

    "SELECT number, hash FROM actions ORDER BY number DESC LIMIT 1",

    "INSERT INTO actions (" NCR_STORE_ACTION ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",

    "SELECT " NCR_STORE_ACTION " FROM actions WHERE number < ?1"
    " ORDER BY number DESC",

    "SELECT " NCR_STORE_ACTION " FROM actions WHERE number > ?1"
    " ORDER BY number",

    "SELECT " NCR_STORE_OBJECT " FROM objects WHERE seq > ?1 ORDER BY seq",

    "SELECT " NCR_STORE_OBJECT " FROM objects"
    " WHERE kind = ?1 AND name > ?2 AND removed = 0 ORDER BY name",

    "SELECT " NCR_STORE_OBJECT " FROM objects"
    " WHERE kind = ?1 AND name = ?2 AND removed = 0",

    "SELECT " NCR_STORE_OBJECT " FROM objects WHERE id = ?1",

    "SELECT 1 FROM objects WHERE digest = ?1 AND id <> ?2",

    "SELECT " NCR_STORE_OBJECT " FROM objects"
    " WHERE kind = ?1 AND name = ?2 AND removed = 1"
    " ORDER BY version DESC, id DESC LIMIT 1",

    "INSERT INTO objects (" NCR_STORE_OBJECT ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    " ON CONFLICT (id) DO UPDATE SET"
    " seq = ?2, kind = ?3, name = ?4, removed = ?5, version = ?6,"
    " digest = ?7, data = ?8, created = ?9, updated = ?10, activated = ?11,"
    " prefix = ?12",

    "SELECT " NCR_STORE_HOOK " FROM hooks ORDER BY name",

    "SELECT " NCR_STORE_HOOK " FROM hooks WHERE name = ?1",

    "SELECT " NCR_STORE_HOOK " FROM hooks WHERE name > ?1"
    " ORDER BY name LIMIT 1",

    "INSERT OR REPLACE INTO hooks (" NCR_STORE_HOOK ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",

    "DELETE FROM hooks WHERE name = ?1",

    "UPDATE hooks SET state = ?2 WHERE name = ?1",

    "SELECT id, hook, event, created, attempts, next FROM deliveries"
    " WHERE id IN (SELECT min(id) FROM deliveries WHERE next <= ?1"
    " GROUP BY hook) ORDER BY id",

    "SELECT min(next) FROM deliveries WHERE next > ?1",

    "INSERT INTO deliveries (hook, event, created, attempts, next)"
    " SELECT ?1, ?2, ?3, 0, ?3 FROM hooks WHERE name = ?1",

    "UPDATE deliveries SET attempts = ?2, next = ?3 WHERE id = ?1",

    "DELETE FROM deliveries WHERE id = ?1",

    "DELETE FROM deliveries WHERE hook = ?1 AND id <= (SELECT id"
    " FROM deliveries WHERE hook = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",

    "DELETE FROM deliveries WHERE hook = ?1",

    "SELECT key, since, told, ended, data FROM alerts"
    " ORDER BY ended <> 0, ended DESC, since, key",

    "INSERT OR REPLACE INTO alerts (key, since, told, ended, data) VALUES"
    " (?1, ?2, ?3, ?4, ?5)",

    "DELETE FROM alerts WHERE ended <> 0 AND key NOT IN (SELECT key"
    " FROM alerts WHERE ended <> 0 ORDER BY ended DESC, key LIMIT ?1)",
    "SELECT count(*) FROM objects WHERE kind = ?1 AND removed = 0"
    " AND instr(data, ?2) > 0 AND instr(data, ?3) > 0"
    " AND instr(data, ?4) = 0",

    "SELECT " NCR_STORE_OBJECT " FROM objects"
    " WHERE digest = ?1 AND kind = ?2 AND removed = 0"
};


static ncr_int_t ncr_store_open_file(ncr_store_t *store,
    ncr_store_options_t *options);
static ncr_int_t ncr_store_find_file(ncr_store_t *store,
    ncr_store_options_t *options, ncr_uint_t make);
static ncr_int_t ncr_store_connect(ncr_store_t *store);
static ncr_int_t ncr_store_wal(ncr_store_t *store);
static ncr_int_t ncr_store_intact(ncr_store_t *store);
static ncr_int_t ncr_store_says(ncr_store_t *store, const char *pragma,
    const char *word, const char *otherwise);
static ncr_int_t ncr_store_check(ncr_store_t *store);
static ncr_int_t ncr_store_gone(ncr_store_t *store);
static ncr_int_t ncr_store_batch_one(ncr_store_t *store, ncr_int_t rc);
static void ncr_store_rollback(ncr_store_t *store);
static void ncr_store_checkpoint(ncr_store_t *store);
static void ncr_store_reset(ncr_store_t *store);
static void ncr_store_explain(ncr_store_t *store, int err);


ncr_int_t
ncr_store_open(ncr_store_options_t *options, ncr_store_t **result,
    char *error)
{
    ncr_int_t     rc;
    ncr_store_t  *store;

    *result = NULL;
    error[0] = '\0';

    store = calloc(1, sizeof(ncr_store_t));

    if (store == NULL) {
        snprintf(error, NCR_STORE_ERROR, "out of memory");
        return NCR_ERROR;
    }

    store->lock = -1;
    store->pid = getpid();
    store->busy = ncr_max(options->busy, 0);
    store->readonly = options->readonly;
    store->create = options->create && !options->readonly;
    store->changed = 1;
    store->path = ncr_store_dup(options->path,
                                options->path ? strlen(options->path) : 0);

    if (store->path == NULL) {
        rc = ncr_store_say(store, "cannot be opened: out of memory");

    } else {
        rc = ncr_store_open_file(store, options);
    }

    if (rc != NCR_OK) {
        memcpy(error, store->error, NCR_STORE_ERROR);
        ncr_store_close(store);

        return (rc == NCR_STORE_KEY) ? rc : NCR_ERROR;
    }

    *result = store;

    return NCR_OK;
}


static ncr_int_t
ncr_store_open_file(ncr_store_t *store, ncr_store_options_t *options)
{
    int        left, version;
    ncr_int_t  rc;

    rc = ncr_store_paths(store);

    if (rc != NCR_OK) {
        return rc;
    }

    /* beside a file that is not ours no lock is made */

    rc = ncr_store_find_file(store, options, 0);

    if (rc != NCR_OK) {
        return rc;
    }

    if (!store->readonly) {

        /*
         * Who holds the lock has seen that the file is the one at the path,
         * and leaves no log behind: what is opened now is not mixed up with
         * the last words to a file that was here before.
         */

        rc = ncr_store_flock(store, &left);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    rc = ncr_store_find_file(store, options, 1);

    if (rc == NCR_OK) {
        rc = ncr_store_connect(store);
    }

    ncr_store_funlock(store);

    if (rc != NCR_OK) {
        return rc;
    }

    /* up to here, and until the key fits, the file is only looked at */

    rc = ncr_store_schema(store, ncr_store_version, &version);

    if (rc == NCR_OK) {
        rc = ncr_store_key_open(store, options);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_wal(store);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_intact(store);
    }

    if (rc != NCR_OK || version == ncr_store_version) {
        return rc;
    }

    if (store->readonly) {

        /* accounts are as they were; nothing else was there */

        store->older = 1;

        return (version < 4)
               ? ncr_store_exec(store, "CREATE TEMP VIEW accounts AS"
                                " SELECT *, 0 AS fence, '' AS holder"
                                " FROM main.accounts")
               : NCR_OK;
    }

    return ncr_store_migrate(store, ncr_store_steps, ncr_store_version);
}


static ncr_int_t
ncr_store_find_file(ncr_store_t *store, ncr_store_options_t *options,
    ncr_uint_t make)
{
    ncr_int_t    rc;
    struct stat  st;

    if (stat(store->path, &st) == -1) {

        if (errno != ENOENT || !store->create) {
            return ncr_store_say_errno(store, "cannot be opened");
        }

        /* a link that leads nowhere is not to be replaced by a file */

        if (lstat(store->path, &st) == 0) {
            return ncr_store_say(store, "is a symbolic link to nothing");
        }

        st.st_size = 0;

    } else if (!S_ISREG(st.st_mode)) {
        return ncr_store_say(store, "is not a regular file");
    }

    if (st.st_size == 0 && store->create) {

        if (!make) {
            return NCR_OK;
        }

        rc = ncr_store_make(store, options);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return ncr_store_probe(store);
}


static ncr_int_t
ncr_store_connect(ncr_store_t *store)
{
    int            flags, moved;
    ncr_int_t      rc;
    struct stat    st;

    flags = store->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= SQLITE_OPEN_NOMUTEX|SQLITE_OPEN_NOFOLLOW;

    if (sqlite3_open_v2(store->real, &store->db, flags, NULL) != SQLITE_OK) {
        return ncr_store_fail(store);
    }

    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, store->busy);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, NCR_STORE_TEXT + 1024);

    /*
     * The last one to close would write the log back and delete it by its
     * name, which may be that of another file's log by then.
     */

    sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);

    rc = ncr_store_exec(store, "PRAGMA synchronous = FULL;"
                               "PRAGMA foreign_keys = ON;"
                               "PRAGMA secure_delete = ON;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA wal_autocheckpoint = 0");

    if (rc != NCR_OK) {
        return rc;
    }

    /* SQLite goes on with less if the file may not be written */

    if (!store->readonly && sqlite3_db_readonly(store->db, "main") == 1) {
        return ncr_store_say(store, "is read-only");
    }

    moved = 1;

    if (stat(store->path, &st) == -1
        || sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED,
                                &moved)
           != SQLITE_OK
        || moved)
    {
        return ncr_store_say(store, "was replaced while it was opened");
    }

    store->dev = st.st_dev;
    store->ino = st.st_ino;

    return NCR_OK;
}


static ncr_int_t
ncr_store_wal(ncr_store_t *store)
{
    if (store->readonly) {
        return NCR_OK;
    }

    return ncr_store_says(store, "PRAGMA journal_mode = WAL", "wal",
                          "cannot have a write-ahead log here");
}


/*
 * A few milliseconds for some thousand accounts, and all of them are about to
 * be read anyway.
 */

static ncr_int_t
ncr_store_intact(ncr_store_t *store)
{
    return ncr_store_says(store, "PRAGMA quick_check(1)", "ok",
                          "is corrupt; restore it from a backup");
}


/* a pragma whose answer must be this word */

static ncr_int_t
ncr_store_says(ncr_store_t *store, const char *pragma, const char *word,
    const char *otherwise)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(store->db, pragma, -1, &stmt, NULL) != SQLITE_OK) {
        return ncr_store_fail(store);
    }

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        rc = ncr_store_fail(store);

    } else if (sqlite3_stricmp((const char *) sqlite3_column_text(stmt, 0),
                               word)
               != 0)
    {
        rc = ncr_store_say(store, otherwise);

    } else {
        rc = NCR_OK;
    }

    sqlite3_finalize(stmt);

    return rc;
}


void
ncr_store_close(ncr_store_t *store)
{
    ncr_uint_t  i;

    if (store == NULL) {
        return;
    }

    ncr_store_funlock(store);

    for (i = 0; i < NCR_STORE_SQL_N; i++) {
        sqlite3_finalize(store->stmts[i]);
    }

    (void) sqlite3_close(store->db);

    if (store->lock != -1) {
        (void) close(store->lock);
    }

    free(store->path);
    free(store->real);
    free(store->lock_path);

    ncr_seal_forget(store, sizeof(ncr_store_t));
    free(store);
}


const char *
ncr_store_error(ncr_store_t *store)
{
    return store->error;
}


uint64_t
ncr_store_file(ncr_store_t *store)
{
    return (uint64_t) store->ino * 0x9e3779b97f4a7c15ull
           ^ (uint64_t) store->dev;
}


ncr_int_t
ncr_store_changed(ncr_store_t *store)
{
    int64_t        version;
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_check(store);

    if (rc != NCR_OK) {
        return rc;
    }

    sqlite3_busy_timeout(store->db, store->busy);

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_DATA_VERSION);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    if (sqlite3_step(stmt) != SQLITE_ROW) {
        rc = ncr_store_fail(store);
        sqlite3_reset(stmt);
        return rc;
    }

    version = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);

    if (version == store->seen && !store->changed) {
        return NCR_DECLINED;
    }

    store->seen = version;
    store->changed = 0;

    return NCR_OK;
}


ncr_int_t
ncr_store_read(ncr_store_t *store)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_store_check(store);

    if (rc != NCR_OK) {
        return rc;
    }

    sqlite3_busy_timeout(store->db, store->busy);

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_BEGIN);

    rc = stmt ? ncr_store_run(store, stmt) : ncr_store_fail(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_key_same(store);

    if (rc != NCR_OK) {
        ncr_store_rollback(store);
    }

    return rc;
}


ncr_int_t
ncr_store_read_end(ncr_store_t *store, ncr_int_t rc)
{
    ncr_store_rollback(store);

    return rc;
}


ncr_int_t
ncr_store_write(ncr_store_t *store)
{
    int            left;
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (store->batch) {
        return ncr_store_exec(store, "SAVEPOINT one");
    }

    if (store->readonly) {
        return ncr_store_say(store, "was opened for reading only");
    }

    rc = ncr_store_check(store);

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_flock(store, &left);

    if (rc != NCR_OK) {
        return rc;
    }

    /*
     * Writes are rare, and what they acknowledge must be found in the file: its
     * pages are read anew, so that one that has gone bad is noticed before
     * anything depends on it.
     */

    (void) sqlite3_db_release_memory(store->db);

    /* others than us, such as sqlite3(1), do not know of the lock */

    sqlite3_busy_timeout(store->db, left);

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_BEGIN_WRITE);

    rc = stmt ? ncr_store_run(store, stmt) : ncr_store_fail(store);

    if (rc == NCR_OK) {
        rc = ncr_store_key_same(store);
    }

    if (rc != NCR_OK) {
        ncr_store_rollback(store);
        ncr_store_funlock(store);
    }

    return rc;
}


ncr_int_t
ncr_store_write_end(ncr_store_t *store, ncr_int_t rc)
{
    sqlite3_stmt  *stmt;

    if (store->batch) {
        return ncr_store_batch_one(store, rc);
    }

    if (rc == NCR_OK && !ncr_store_same(store)) {
        rc = ncr_store_gone(store);
    }

    if (rc == NCR_OK) {
        ncr_store_reset(store);

        stmt = ncr_store_stmt(store, NCR_STORE_SQL_COMMIT);

        rc = stmt ? ncr_store_run(store, stmt) : ncr_store_fail(store);
    }

    if (rc == NCR_OK) {
        store->changed = 1;

        ncr_store_checkpoint(store);

        /* it may have been replaced while we committed */

        if (!ncr_store_same(store)) {
            rc = ncr_store_gone(store);
        }
    }

    ncr_store_rollback(store);
    ncr_store_funlock(store);

    return rc;
}


/* of a batch; what has failed is undone alone, unless the file is broken */

static ncr_int_t
ncr_store_batch_one(ncr_store_t *store, ncr_int_t rc)
{
    char       error[NCR_STORE_ERROR];
    ncr_int_t  undone;

    ncr_store_reset(store);

    if (rc == NCR_OK) {
        return ncr_store_exec(store, "RELEASE one");
    }

    memcpy(error, store->error, sizeof(error));

    undone = ncr_store_exec(store, "ROLLBACK TO one; RELEASE one");

    if (undone != NCR_OK) {
        return undone;
    }

    memcpy(store->error, error, sizeof(error));

    return rc;
}


ncr_int_t
ncr_store_batch(ncr_store_t *store)
{
    ncr_int_t  rc;

    rc = ncr_store_write(store);

    store->batch = (rc == NCR_OK);

    return rc;
}


ncr_int_t
ncr_store_batch_end(ncr_store_t *store, ncr_int_t rc)
{
    store->batch = 0;

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_check(ncr_store_t *store)
{
    if (store->pid != getpid()) {
        return ncr_store_say(store, "was opened by another process, before"
                             " a fork");
    }

    return ncr_store_same(store) ? NCR_OK : ncr_store_gone(store);
}


static ncr_int_t
ncr_store_gone(ncr_store_t *store)
{
    (void) ncr_store_say(store, "was deleted or replaced");

    return NCR_STORE_GONE;
}


static void
ncr_store_rollback(ncr_store_t *store)
{
    ncr_store_reset(store);

    /* SQLite may have done so by itself, if the disk is full */

    if (!sqlite3_get_autocommit(store->db)) {
        (void) sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
}


/*
 * Best effort: what was committed is safe in the log.  If somebody reads just
 * now, the next one truncates it.
 */

static void
ncr_store_checkpoint(ncr_store_t *store)
{
    sqlite3_busy_timeout(store->db, 0);

    (void) sqlite3_wal_checkpoint_v2(store->db, NULL,
                                     SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}


/* a statement that was not reset holds its transaction open */

static void
ncr_store_reset(ncr_store_t *store)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_STORE_SQL_N; i++) {
        if (store->stmts[i]) {
            sqlite3_reset(store->stmts[i]);
            sqlite3_clear_bindings(store->stmts[i]);
        }
    }
}


sqlite3_stmt *
ncr_store_stmt(ncr_store_t *store, ncr_store_sql_e sql)
{
    sqlite3_stmt  **stmt;

    stmt = &store->stmts[sql];

    if (*stmt == NULL) {

        if (sqlite3_prepare_v3(store->db, ncr_store_sqls[sql], -1,
                               SQLITE_PREPARE_PERSISTENT, stmt, NULL)
            != SQLITE_OK)
        {
            return NULL;
        }

        return *stmt;
    }

    sqlite3_reset(*stmt);
    sqlite3_clear_bindings(*stmt);

    return *stmt;
}


ncr_int_t
ncr_store_one(ncr_store_t *store, ncr_store_sql_e sql, const char *text,
    sqlite3_stmt **stmt)
{
    int        step;
    ncr_int_t  rc;

    *stmt = ncr_store_stmt(store, sql);

    if (*stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(*stmt, 1, text, -1, SQLITE_STATIC);

    step = sqlite3_step(*stmt);

    if (step == SQLITE_ROW) {
        return NCR_OK;
    }

    rc = (step == SQLITE_DONE) ? NCR_DECLINED : ncr_store_fail(store);

    sqlite3_reset(*stmt);

    return rc;
}


ncr_int_t
ncr_store_run(ncr_store_t *store, sqlite3_stmt *stmt)
{
    int        err;
    ncr_int_t  rc;

    do {
        err = sqlite3_step(stmt);
    } while (err == SQLITE_ROW);

    rc = (err == SQLITE_DONE) ? NCR_OK : ncr_store_fail(store);

    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);

    return rc;
}


ncr_int_t
ncr_store_exec(ncr_store_t *store, const char *sql)
{
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ncr_store_fail(store);
    }

    return NCR_OK;
}


ncr_int_t
ncr_store_count(ncr_store_t *store, const char *name, uint64_t step,
    uint64_t floor, uint64_t *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_COUNT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, (sqlite3_int64) step);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64) floor);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        *value = (uint64_t) sqlite3_column_int64(stmt, 0);
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = ncr_store_say(store, "is corrupt: a counter is missing");
        break;

    default:
        rc = ncr_store_fail(store);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_store_fail(ncr_store_t *store)
{
    int  err;

    if (store->db == NULL) {
        return ncr_store_say(store, "cannot be opened: out of memory");
    }

    err = sqlite3_extended_errcode(store->db);

    if (err == SQLITE_READONLY_DBMOVED
        || (store->ino && !ncr_store_same(store)))
    {
        return ncr_store_gone(store);
    }

    ncr_store_explain(store, err);

    return NCR_ERROR;
}


static void
ncr_store_explain(ncr_store_t *store, int err)
{
    char  text[NCR_STORE_ERROR];

    (void) ncr_store_say(store, ncr_store_words(store->db, err, text));
}


/*
 * SQLite's own messages name columns and constraints at most; all values are
 * bound.
 */

const char *
ncr_store_words(sqlite3 *db, int err, char *text)
{
    int  sys;

    sys = sqlite3_system_errno(db);

    switch (err & 0xff) {

    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return "is busy: somebody else is writing to it";

    case SQLITE_FULL:
        return "cannot be written: the disk is full";

    case SQLITE_READONLY:
        return "is read-only";

    case SQLITE_CORRUPT:
        return "is corrupt; restore it from a backup";

    case SQLITE_NOTADB:
        return "is not a database";

    case SQLITE_NOMEM:
        return "cannot be used: out of memory";

    case SQLITE_IOERR:

        if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG) {
            return "cannot be written: the disk is full";
        }

        if (sys == EROFS) {
            return "is read-only";
        }

        break;

    default:
        break;
    }

    if (sys && ((err & 0xff) == SQLITE_IOERR
                || (err & 0xff) == SQLITE_CANTOPEN))
    {
        snprintf(text, NCR_STORE_ERROR, "cannot be %s: %s",
                 (err & 0xff) == SQLITE_IOERR ? "used" : "opened",
                 strerror(sys));

    } else {
        snprintf(text, NCR_STORE_ERROR, "cannot be used: %s",
                 sqlite3_errmsg(db));
    }

    return text;
}


ncr_int_t
ncr_store_say(ncr_store_t *store, const char *text)
{
    int   n;
    char  shown[NCR_STORE_SHOWN];

    n = snprintf(store->error, NCR_STORE_ERROR, "database \"%s\" ",
                 ncr_store_shown(store->path ? store->path : "", shown));

    snprintf(store->error + n, NCR_STORE_ERROR - (size_t) n, "%s", text);

    return NCR_ERROR;
}


ncr_int_t
ncr_store_say_errno(ncr_store_t *store, const char *text)
{
    char  buf[NCR_STORE_ERROR];

    snprintf(buf, sizeof(buf), "%s: %s", text, strerror(errno));

    return ncr_store_say(store, buf);
}


const char *
ncr_store_shown(const char *path, char *buf)
{
    size_t  len;

    len = strlen(path);

    if (len < NCR_STORE_SHOWN) {
        memcpy(buf, path, len + 1);

    } else {
        memcpy(buf, "...", 3);
        memcpy(buf + 3, path + len - (NCR_STORE_SHOWN - 4),
               NCR_STORE_SHOWN - 3);
    }

    return buf;
}


char *
ncr_store_dup(const void *p, size_t len)
{
    char  *copy;

    copy = malloc(len + 1);

    if (copy) {
        if (len) {
            memcpy(copy, p, len);
        }

        copy[len] = '\0';
    }

    return copy;
}


void
ncr_store_drop(char **text)
{
    if (*text) {
        ncr_seal_forget(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}
