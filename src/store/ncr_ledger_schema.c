
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The schema of the ledger, by versions; as in ncr_store_schema.c, a step is
 * never changed once it was released.
 */


#include "ncr_ledger_int.h"


#define NCR_LEDGER_SUMS_TABLE(name)                                           \
    "CREATE TABLE " name " ("                                                 \
    " start INTEGER NOT NULL,"                                                \
    " until INTEGER NOT NULL,"                                                \
    " dim INTEGER NOT NULL,"                                                  \
    " requests INTEGER NOT NULL,"                                             \
    " failed INTEGER NOT NULL,"                                               \
    " refused INTEGER NOT NULL,"                                              \
    " unpriced INTEGER NOT NULL,"                                             \
    " estimated INTEGER NOT NULL,"                                            \
    " input INTEGER NOT NULL,"                                                \
    " output INTEGER NOT NULL,"                                               \
    " cache_read INTEGER NOT NULL,"                                           \
    " cache_write INTEGER NOT NULL,"                                          \
    " cache_write_5m INTEGER NOT NULL,"                                       \
    " cache_write_1h INTEGER NOT NULL,"                                       \
    " thinking INTEGER NOT NULL,"                                             \
    " web_searches INTEGER NOT NULL,"                                         \
    " web_fetches INTEGER NOT NULL,"                                          \
    " cost INTEGER NOT NULL,"                                                 \
    " rated INTEGER NOT NULL,"                                                \
    " duration INTEGER NOT NULL,"                                             \
    " ttft INTEGER NOT NULL,"                                                 \
    " nttft INTEGER NOT NULL,"                                                \
    " PRIMARY KEY (start, until, dim)"                                        \
    ") WITHOUT ROWID;"


static ncr_int_t ncr_ledger_fill(ncr_ledger_t *ledger);
static ncr_int_t ncr_ledger_steps_run(ncr_ledger_t *ledger, int version);
static ncr_int_t ncr_ledger_pragma(ncr_ledger_t *ledger, const char *sql,
    int *value);


/*
 * What is asked for by time stands together: that is the key of the sums.
 * Words of rows are numbers of "names"; of what comes from clients, and may
 * be anything, rows have the text, which goes with them.
 */

static const char *const  ncr_ledger_steps[] = {

    "CREATE TABLE meta ("
    " name TEXT PRIMARY KEY NOT NULL,"
    " value INTEGER NOT NULL"
    ") WITHOUT ROWID;"

    "CREATE TABLE rings ("
    " id INTEGER PRIMARY KEY,"
    " seq INTEGER NOT NULL,"
    " used INTEGER NOT NULL"
    ");"

    "CREATE TABLE names ("
    " id INTEGER PRIMARY KEY,"
    " kind INTEGER NOT NULL,"
    " text TEXT NOT NULL,"
    " UNIQUE (kind, text)"
    ");"

    "CREATE TABLE dims ("
    " id INTEGER PRIMARY KEY,"
    " key INTEGER NOT NULL,"
    " user INTEGER NOT NULL,"
    " grp INTEGER NOT NULL,"
    " account INTEGER NOT NULL,"
    " platform INTEGER NOT NULL,"
    " model INTEGER NOT NULL,"
    " UNIQUE (key, user, grp, account, platform, model)"
    ");"

    "CREATE TABLE rows ("
    " number INTEGER PRIMARY KEY,"
    " time INTEGER NOT NULL,"
    " dim INTEGER NOT NULL,"
    " key_id INTEGER NOT NULL,"
    " owner INTEGER NOT NULL,"
    " id TEXT NOT NULL,"
    " provider_id TEXT,"
    " op INTEGER NOT NULL,"
    " dialect INTEGER NOT NULL,"
    " model TEXT,"
    " stop INTEGER NOT NULL,"
    " class INTEGER NOT NULL,"
    " client TEXT,"
    " session TEXT,"
    " sticky INTEGER NOT NULL,"
    " price INTEGER NOT NULL,"
    " trail TEXT,"
    " status INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " duration INTEGER NOT NULL,"
    " ttft INTEGER,"
    " own INTEGER NOT NULL,"
    " flags INTEGER NOT NULL,"
    " tier INTEGER NOT NULL,"
    " permille INTEGER NOT NULL,"
    " rate INTEGER NOT NULL,"
    " input INTEGER NOT NULL,"
    " output INTEGER NOT NULL,"
    " cache_read INTEGER NOT NULL,"
    " cache_write INTEGER NOT NULL,"
    " cache_write_5m INTEGER NOT NULL,"
    " cache_write_1h INTEGER NOT NULL,"
    " thinking INTEGER NOT NULL,"
    " web_searches INTEGER NOT NULL,"
    " web_fetches INTEGER NOT NULL,"
    " cost INTEGER NOT NULL,"
    " rated INTEGER NOT NULL,"
    " nparts INTEGER NOT NULL,"
    " parts BLOB"
    ");"

    "CREATE INDEX rows_time ON rows (time);"
    "CREATE INDEX rows_dim ON rows (dim);"
    "CREATE INDEX rows_id ON rows (id);"
    "CREATE INDEX rows_failed ON rows (number) WHERE status >= 400;"

    NCR_LEDGER_SUMS_TABLE("minutes")
    NCR_LEDGER_SUMS_TABLE("hours")
    NCR_LEDGER_SUMS_TABLE("days")

    "CREATE TABLE counters ("
    " id INTEGER PRIMARY KEY,"
    " start INTEGER NOT NULL,"
    " until INTEGER NOT NULL,"
    " used INTEGER NOT NULL"
    ");"

    "CREATE INDEX counters_until ON counters (until);"
};


const int  ncr_ledger_version = sizeof(ncr_ledger_steps)
                                / sizeof(ncr_ledger_steps[0]);


/*
 * Made under another name, so that it appears whole.  Several processes may
 * do so at once: one makes it, and who comes later finds it there.
 */

ncr_int_t
ncr_ledger_make(ncr_ledger_t *ledger)
{
    int            fd;
    char          *path, *old, text[NCR_STORE_ERROR];
    size_t         i;
    ncr_int_t      rc;
    struct stat    here, there;

    static const char  *stale[] = { "-wal", "-shm", "-journal" };

    path = ncr_store_concat(ledger->real, "-new");

    if (path == NULL) {
        return ncr_ledger_say(ledger, "cannot be made: out of memory");
    }

    rc = NCR_ERROR;
    fd = ncr_store_beside(path, O_RDWR);

    if (fd == -1 || flock(fd, LOCK_EX) == -1 || fstat(fd, &here) == -1) {
        goto failed;
    }

    /* who was faster has taken it away meanwhile */

    if (stat(ledger->real, &there) == 0) {
        rc = NCR_OK;
        goto done;
    }

    if (lstat(path, &there) == -1 || here.st_ino != there.st_ino
        || ftruncate(fd, 0) == -1)
    {
        goto failed;
    }

    if (sqlite3_open_v2(path, &ledger->db,
                        SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX
                        |SQLITE_OPEN_NOFOLLOW, NULL)
        != SQLITE_OK)
    {
        rc = ncr_ledger_fail(ledger);

    } else {
        sqlite3_extended_result_codes(ledger->db, 1);
        rc = ncr_ledger_fill(ledger);
    }

    (void) sqlite3_close(ledger->db);
    ledger->db = NULL;

    if (rc != NCR_OK) {
        goto done;
    }

    /* the log of a file that is gone would be replayed into this one */

    for (i = 0; i < 3; i++) {

        old = ncr_store_concat(ledger->real, stale[i]);

        if (old) {
            (void) unlink(old);
            free(old);
        }
    }

    if (fsync(fd) == 0 && (link(path, ledger->real) == 0 || errno == EEXIST)) {
        (void) unlink(path);
        goto done;
    }

failed:

    snprintf(text, sizeof(text), "cannot be made: %s", strerror(errno));
    rc = ncr_ledger_say(ledger, text);

done:

    if (fd != -1) {
        (void) close(fd);
    }

    free(path);

    return rc;
}


static ncr_int_t
ncr_ledger_fill(ncr_ledger_t *ledger)
{
    char       sql[128];
    ncr_int_t  rc;

    /* no journal: it is not the ledger until it is linked */

    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d",
             NCR_LEDGER_APPLICATION);

    rc = ncr_ledger_exec(ledger, "PRAGMA journal_mode = OFF;"
                                 "PRAGMA synchronous = OFF;"
                                 "BEGIN IMMEDIATE");

    if (rc == NCR_OK) {
        rc = ncr_ledger_exec(ledger, sql);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_steps_run(ledger, 0);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_exec(ledger, "COMMIT");
    }

    return rc;
}


static ncr_int_t
ncr_ledger_steps_run(ncr_ledger_t *ledger, int version)
{
    char       sql[64];
    ncr_int_t  rc;

    while (version < ncr_ledger_version) {

        rc = ncr_ledger_exec(ledger, ncr_ledger_steps[version]);

        if (rc != NCR_OK) {
            return rc;
        }

        version++;
    }

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);

    return ncr_ledger_exec(ledger, sql);
}


ncr_int_t
ncr_ledger_probe(ncr_ledger_t *ledger)
{
    int       rc;
    char      text[NCR_STORE_ERROR];
    uint32_t  id;

    rc = ncr_store_peek(&ledger->db, ledger->real, &id);

    if (rc != SQLITE_OK) {
        (void) ncr_ledger_say(ledger, ncr_store_words(ledger->db, rc, text));
    }

    (void) sqlite3_close(ledger->db);
    ledger->db = NULL;

    if (rc != SQLITE_OK) {
        return NCR_ERROR;
    }

    if (id != NCR_LEDGER_APPLICATION) {
        return ncr_ledger_say(ledger, "is not a ledger of this module, and is"
                              " left as it is");
    }

    return NCR_OK;
}


ncr_int_t
ncr_ledger_migrate(ncr_ledger_t *ledger)
{
    int        version;
    char       text[NCR_STORE_ERROR];
    ncr_int_t  rc;

    version = 0;

    rc = ncr_ledger_pragma(ledger, "PRAGMA user_version", &version);

    if (rc != NCR_OK || version == ncr_ledger_version) {
        return rc;
    }

    if (version > ncr_ledger_version) {
        snprintf(text, sizeof(text), "has a schema of version %d, made by a"
                 " newer version of the module; this one knows up to %d",
                 version, ncr_ledger_version);

        return ncr_ledger_say(ledger, text);
    }

    if (version < 1) {
        return ncr_ledger_say(ledger, "is corrupt: it has no schema");
    }

    if (ledger->readonly) {
        return ncr_ledger_say(ledger, "has an older schema, which is brought"
                              " up to date by the next one who may write");
    }

    rc = ncr_ledger_exec(ledger, "BEGIN IMMEDIATE");

    /* another process may have been faster */

    if (rc == NCR_OK) {
        rc = ncr_ledger_pragma(ledger, "PRAGMA user_version", &version);
    }

    if (rc == NCR_OK && version < ncr_ledger_version) {
        rc = ncr_ledger_steps_run(ledger, version);
    }

    return ncr_ledger_write_end(ledger, rc);
}


static ncr_int_t
ncr_ledger_pragma(ncr_ledger_t *ledger, const char *sql, int *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(ledger->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return ncr_ledger_fail(ledger);
    }

    if (sqlite3_step(stmt) == SQLITE_ROW) {
        *value = sqlite3_column_int(stmt, 0);
        rc = NCR_OK;

    } else {
        rc = ncr_ledger_fail(ledger);
    }

    sqlite3_finalize(stmt);

    return rc;
}
