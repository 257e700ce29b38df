
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The file of the audit log: made, opened, set aside; statements, errors. */


#include "ncr_audit_int.h"


/* "ncra" (application_id) */
#define NCR_AUDIT_APPLICATION  0x6e637261
#define NCR_AUDIT_VERSION      1


static int ncr_audit_lock(ncr_audit_t *audit);
static ncr_int_t ncr_audit_open_file(ncr_audit_t *audit);
static ncr_int_t ncr_audit_connect(ncr_audit_t *audit);
static ncr_int_t ncr_audit_schema(ncr_audit_t *audit, ncr_uint_t empty);
static ncr_int_t ncr_audit_pragma(ncr_audit_t *audit, const char *sql,
    int64_t *value);
static ncr_int_t ncr_audit_make(ncr_audit_t *audit);
static ncr_int_t ncr_audit_set_aside(ncr_audit_t *audit);
static void ncr_audit_disconnect(ncr_audit_t *audit);


static const char *const  ncr_audit_sqls[NCR_AUDIT_SQL_N] = {

    "BEGIN IMMEDIATE",

    "COMMIT",

    "INSERT INTO entries (bytes, " NCR_AUDIT_COLUMNS ", request_headers,"
    " response_headers, request, response) VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
    " ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,"
    " ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32)",

    "SELECT number, bytes FROM entries ORDER BY number LIMIT ?1",

    "SELECT number, bytes FROM entries WHERE time < ?2 ORDER BY time LIMIT ?1",

    "DELETE FROM entries WHERE number = ?1",

    "SELECT " NCR_AUDIT_COLUMNS ", request_headers, response_headers,"
    " request, response FROM entries WHERE number = ?1",

    "PRAGMA page_count",

    "PRAGMA freelist_count",

    "SELECT ifnull(min(number), 0), ifnull(max(number), 0),"
    " ifnull((SELECT time FROM entries ORDER BY number LIMIT 1), 0)"
    " FROM entries"
};


/* large texts stand last, so that a search does not walk through them */

static const char  ncr_audit_tables[] =

    "CREATE TABLE entries ("
    "    number           INTEGER PRIMARY KEY AUTOINCREMENT,"
    "    bytes            INTEGER NOT NULL,"
    "    time             INTEGER NOT NULL,"
    "    flags            INTEGER NOT NULL,"
    "    status           INTEGER NOT NULL,"
    "    duration         INTEGER NOT NULL,"
    "    ttft             INTEGER NOT NULL,"
    "    attempts         INTEGER NOT NULL,"
    "    input            INTEGER NOT NULL,"
    "    output           INTEGER NOT NULL,"
    "    cache_read       INTEGER NOT NULL,"
    "    cache_write      INTEGER NOT NULL,"
    "    cost             INTEGER NOT NULL,"
    "    request_size     INTEGER NOT NULL,"
    "    response_size    INTEGER NOT NULL,"
    "    id               TEXT NOT NULL,"
    "    provider_id      TEXT NOT NULL,"
    "    key              TEXT NOT NULL,"
    "    user             TEXT NOT NULL,"
    "    account          TEXT NOT NULL,"
    "    platform         TEXT NOT NULL,"
    "    class            TEXT NOT NULL,"
    "    op               TEXT NOT NULL,"
    "    model            TEXT NOT NULL,"
    "    served           TEXT NOT NULL,"
    "    method           TEXT NOT NULL,"
    "    uri              TEXT NOT NULL,"
    "    address          TEXT NOT NULL,"
    "    trail            TEXT NOT NULL,"
    "    request_headers  BLOB,"
    "    response_headers BLOB,"
    "    request          BLOB,"
    "    response         BLOB"
    ");"

    "CREATE INDEX entries_time ON entries (time);"
    "CREATE INDEX entries_id ON entries (id);"
    "CREATE INDEX entries_provider ON entries (provider_id);"
    "CREATE INDEX entries_key ON entries (key);"
    "CREATE INDEX entries_account ON entries (account);"
    "CREATE INDEX entries_status ON entries (status);";


ncr_int_t
ncr_audit_open(ncr_audit_options_t *options, ncr_audit_t **result,
    ncr_uint_t *broken, char *error)
{
    int           fd;
    ncr_int_t     rc;
    ncr_audit_t  *audit;

    *result = NULL;
    *broken = 0;

    audit = calloc(1, sizeof(ncr_audit_t));

    if (audit == NULL) {
        snprintf(error, NCR_AUDIT_ERROR, "out of memory");
        return NCR_ERROR;
    }

    audit->pid = getpid();
    audit->busy = options->busy;
    audit->disk = options->disk;
    audit->keep = options->keep;

    snprintf(audit->path, sizeof(audit->path), "%s", options->path);

    /* one at a time makes the file, or sets it aside */

    fd = ncr_audit_lock(audit);

    if (fd == -1) {
        rc = NCR_ERROR;

    } else {
        rc = ncr_audit_open_file(audit);

        if (rc == NCR_BAD) {
            ncr_audit_disconnect(audit);
            rc = ncr_audit_set_aside(audit);

            if (rc == NCR_OK) {
                *broken = 1;
                rc = ncr_audit_open_file(audit);
            }
        }

        (void) close(fd);
    }

    if (rc != NCR_OK) {
        memcpy(error, audit->error, NCR_AUDIT_ERROR);
        ncr_audit_close(audit);

        return NCR_ERROR;
    }

    *result = audit;

    return NCR_OK;
}


static int
ncr_audit_lock(ncr_audit_t *audit)
{
    int              fd;
    char             path[NCR_AUDIT_PATH + 8];
    int64_t          deadline;
    struct timespec  pause;

    snprintf(path, sizeof(path), "%s-lock", audit->path);

    fd = ncr_store_beside(path, O_RDONLY);

    if (fd == -1) {
        (void) ncr_audit_say(audit, strerror(errno));
        return -1;
    }

    deadline = ncr_audit_clock() + audit->busy;

    while (flock(fd, LOCK_EX|LOCK_NB) == -1) {

        if (ncr_audit_clock() >= deadline) {
            (void) ncr_audit_say(audit, "another process is opening it");
            (void) close(fd);
            return -1;
        }

        pause.tv_sec = 0;
        pause.tv_nsec = 1000000;

        (void) nanosleep(&pause, NULL);
    }

    return fd;
}


static ncr_int_t
ncr_audit_open_file(ncr_audit_t *audit)
{
    int          fd;
    ncr_int_t    rc;
    ncr_uint_t   empty;
    struct stat  st;

    empty = 0;

    if (stat(audit->path, &st) == -1) {

        if (errno != ENOENT) {
            return ncr_audit_say(audit, strerror(errno));
        }

        st.st_size = 0;

    } else if (!S_ISREG(st.st_mode)) {
        return ncr_audit_say(audit, "it is not a regular file");
    }

    if (st.st_size == 0) {

        /* nobody has it open, so closing it takes no lock away */

        fd = ncr_store_beside(audit->path, O_RDWR);

        if (fd == -1) {
            return ncr_audit_say(audit, strerror(errno));
        }

        (void) close(fd);
        empty = 1;
    }

    rc = ncr_audit_connect(audit);

    return (rc == NCR_OK) ? ncr_audit_schema(audit, empty) : rc;
}


static ncr_int_t
ncr_audit_connect(ncr_audit_t *audit)
{
    if (sqlite3_open_v2(audit->path, &audit->db,
                        SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX, NULL)
        != SQLITE_OK)
    {
        return ncr_audit_fail(audit);
    }

    sqlite3_extended_result_codes(audit->db, 1);
    sqlite3_busy_timeout(audit->db, audit->busy);
    sqlite3_limit(audit->db, SQLITE_LIMIT_LENGTH,
                  NCR_AUDIT_TEXTS * (NCR_AUDIT_TEXT + 1024));

    sqlite3_db_config(audit->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(audit->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);

    return NCR_OK;
}


static ncr_int_t
ncr_audit_schema(ncr_audit_t *audit, ncr_uint_t empty)
{
    char       sql[64];
    int64_t    id, version;
    ncr_int_t  rc;

    if (!empty) {

        /* whose file is it?  another's is not even called broken */

        if (ncr_audit_pragma(audit, "PRAGMA application_id", &id) != NCR_OK
            || ncr_audit_pragma(audit, "PRAGMA user_version", &version)
               != NCR_OK)
        {
            return NCR_ERROR;
        }

        if (id != NCR_AUDIT_APPLICATION) {
            return ncr_audit_say(audit, "it is not an audit log, and is left"
                                        " as it is");
        }

        if (version > NCR_AUDIT_VERSION) {
            return ncr_audit_say(audit, "it was made by a newer version of the"
                                        " module");
        }
    }

    /* what was deleted shall be gone */

    rc = ncr_audit_exec(audit, "PRAGMA synchronous = NORMAL;"
                               "PRAGMA secure_delete = ON;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA wal_autocheckpoint = 0");

    if (rc == NCR_OK && empty) {
        rc = ncr_audit_make(audit);
    }

    if (rc == NCR_OK) {
        rc = ncr_audit_exec(audit, "PRAGMA journal_mode = WAL;"
                                   "SELECT max(number), min(number),"
                                   " max(time) FROM entries");
    }

    if (rc == NCR_OK && audit->disk) {

        /* a last resort: not even a mistake of ours makes it grow further */

        snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %lld",
                 (long long) (audit->disk / NCR_AUDIT_PAGE));

        rc = ncr_audit_exec(audit, sql);
    }

    return rc;
}


/* these two are read without the rest of the schema */

static ncr_int_t
ncr_audit_pragma(ncr_audit_t *audit, const char *sql, int64_t *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(audit->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return ncr_audit_fail(audit);
    }

    if (sqlite3_step(stmt) == SQLITE_ROW) {
        *value = sqlite3_column_int64(stmt, 0);
        rc = NCR_OK;

    } else {
        rc = ncr_audit_fail(audit);
    }

    sqlite3_finalize(stmt);

    return rc;
}


static ncr_int_t
ncr_audit_make(ncr_audit_t *audit)
{
    char       sql[128];
    ncr_int_t  rc;

    snprintf(sql, sizeof(sql), "PRAGMA page_size = %d;"
             "PRAGMA auto_vacuum = INCREMENTAL;"
             "BEGIN IMMEDIATE", NCR_AUDIT_PAGE);

    rc = ncr_audit_exec(audit, sql);

    if (rc == NCR_OK) {
        rc = ncr_audit_exec(audit, ncr_audit_tables);
    }

    if (rc == NCR_OK) {
        snprintf(sql, sizeof(sql), "PRAGMA application_id = %d;"
                 "PRAGMA user_version = %d;"
                 "COMMIT", NCR_AUDIT_APPLICATION, NCR_AUDIT_VERSION);

        rc = ncr_audit_exec(audit, sql);
    }

    return rc;
}


/* its log must not be replayed into the next one */

static ncr_int_t
ncr_audit_set_aside(ncr_audit_t *audit)
{
    char    path[NCR_AUDIT_PATH + 8];
    size_t  i;

    static const char  *suffixes[] = { "-wal", "-shm", "-journal" };

    snprintf(path, sizeof(path), "%s-broken", audit->path);

    if (rename(audit->path, path) == -1) {
        return ncr_audit_say(audit, strerror(errno));
    }

    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", audit->path, suffixes[i]);
        (void) unlink(path);
    }

    return NCR_OK;
}


static void
ncr_audit_disconnect(ncr_audit_t *audit)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_AUDIT_SQL_N; i++) {
        sqlite3_finalize(audit->stmts[i]);
        audit->stmts[i] = NULL;
    }

    (void) sqlite3_close(audit->db);
    audit->db = NULL;
}


void
ncr_audit_close(ncr_audit_t *audit)
{
    if (audit == NULL) {
        return;
    }

    ncr_audit_disconnect(audit);
    free(audit);
}


const char *
ncr_audit_error(ncr_audit_t *audit)
{
    return audit->error;
}


/* the file at the path is the one that is open */

ncr_int_t
ncr_audit_here(ncr_audit_t *audit)
{
    int  moved;

    if (audit->pid != getpid()) {
        return ncr_audit_say(audit, "it was opened before a fork");
    }

    moved = 1;

    if (sqlite3_file_control(audit->db, "main", SQLITE_FCNTL_HAS_MOVED,
                             &moved)
        != SQLITE_OK || moved)
    {
        (void) ncr_audit_say(audit, "it was deleted or replaced");
        return NCR_DECLINED;
    }

    return NCR_OK;
}


sqlite3_stmt *
ncr_audit_stmt(ncr_audit_t *audit, ncr_audit_sql_e sql)
{
    sqlite3_stmt  *stmt;

    stmt = audit->stmts[sql];

    if (stmt) {
        sqlite3_reset(stmt);
        sqlite3_clear_bindings(stmt);

        return stmt;
    }

    if (sqlite3_prepare_v3(audit->db, ncr_audit_sqls[sql], -1,
                           SQLITE_PREPARE_PERSISTENT, &stmt, NULL)
        != SQLITE_OK)
    {
        return NULL;
    }

    audit->stmts[sql] = stmt;

    return stmt;
}


ncr_int_t
ncr_audit_run(ncr_audit_t *audit, sqlite3_stmt *stmt)
{
    int  rc;

    if (stmt == NULL) {
        return ncr_audit_fail(audit);
    }

    do {
        rc = sqlite3_step(stmt);
    } while (rc == SQLITE_ROW);

    if (rc != SQLITE_DONE) {
        return ncr_audit_fail(audit);
    }

    sqlite3_reset(stmt);

    return NCR_OK;
}


ncr_int_t
ncr_audit_exec(ncr_audit_t *audit, const char *sql)
{
    if (sqlite3_exec(audit->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ncr_audit_fail(audit);
    }

    return NCR_OK;
}


/* NCR_BAD: the file is broken */

ncr_int_t
ncr_audit_fail(ncr_audit_t *audit)
{
    int  rc;

    if (audit->db == NULL) {
        return ncr_audit_say(audit, "out of memory");
    }

    rc = sqlite3_errcode(audit->db) & 0xff;

    (void) ncr_audit_say(audit, sqlite3_errmsg(audit->db));

    return (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB) ? NCR_BAD : NCR_ERROR;
}


ncr_int_t
ncr_audit_say(ncr_audit_t *audit, const char *text)
{
    char  shown[NCR_STORE_SHOWN + 8];

    snprintf(audit->error, NCR_AUDIT_ERROR, "\"%s\": %s",
             ncr_store_shown(audit->path, shown), text);

    return NCR_ERROR;
}


int64_t
ncr_audit_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
