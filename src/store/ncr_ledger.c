
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The handle: opening and closing, transactions, messages.
 *
 * "synchronous" is NORMAL: a transaction is in the log when its function
 * returns, and a process may be killed then; only a machine that loses its
 * power may take the last transactions back, whole ones, and the ring, which
 * lies in memory, is lost then anyway.
 */


#include "ncr_ledger_int.h"


#define NCR_LEDGER_UPSERT(table, key)                                         \
    "INSERT INTO " table " (" key ", " NCR_LEDGER_SUMS ") VALUES"             \
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"     \
    " ?16, ?17, ?18, ?19, ?20, ?21, ?22) ON CONFLICT DO UPDATE SET"           \
    " requests = requests + excluded.requests,"                               \
    " failed = failed + excluded.failed,"                                     \
    " refused = refused + excluded.refused,"                                  \
    " unpriced = unpriced + excluded.unpriced,"                               \
    " estimated = estimated + excluded.estimated,"                            \
    " input = input + excluded.input,"                                        \
    " output = output + excluded.output,"                                     \
    " cache_read = cache_read + excluded.cache_read,"                         \
    " cache_write = cache_write + excluded.cache_write,"                      \
    " cache_write_5m = cache_write_5m + excluded.cache_write_5m,"             \
    " cache_write_1h = cache_write_1h + excluded.cache_write_1h,"             \
    " thinking = thinking + excluded.thinking,"                               \
    " web_searches = web_searches + excluded.web_searches,"                   \
    " web_fetches = web_fetches + excluded.web_fetches,"                      \
    " cost = cost + excluded.cost,"                                           \
    " rated = rated + excluded.rated,"                                        \
    " duration = duration + excluded.duration,"                               \
    " ttft = ttft + excluded.ttft,"                                           \
    " nttft = nttft + excluded.nttft"

/* ?3 has the end of a day, which the others do not tell */
#define NCR_LEDGER_RERATED(table, key)                                        \
    "UPDATE " table " SET cost = cost + ?4, rated = rated + ?5,"              \
    " unpriced = unpriced + ?6 WHERE " key

#define NCR_LEDGER_OLDEST(table, what, column)                                \
    "DELETE FROM " table " WHERE (" what ") IN"                               \
    " (SELECT " what " FROM " table " WHERE " column " < ?1"                  \
    " ORDER BY " column " LIMIT ?2)"


static const char  *ncr_ledger_sqls[NCR_LEDGER_SQL_N] = {

    "BEGIN",

    "BEGIN IMMEDIATE",

    "COMMIT",

    "SELECT value FROM meta WHERE name = ?1",

    "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",

    "SELECT seq FROM rings WHERE id = ?1",

    "INSERT OR REPLACE INTO rings (id, seq, used) VALUES (?1, ?2, ?3)",

    "SELECT id, kind, text FROM names WHERE id > ?1 ORDER BY id",

    "INSERT INTO names (id, kind, text) VALUES (?1, ?2, ?3)",

    "SELECT id, key, user, grp, account, platform, model FROM dims"
    " WHERE id > ?1 ORDER BY id",

    "INSERT INTO dims (id, key, user, grp, account, platform, model) VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7)",

    "INSERT INTO rows (" NCR_LEDGER_ROW ") VALUES"
    " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,"
    " ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29,"
    " ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39)",

    NCR_LEDGER_UPSERT("minutes", "start, until, dim"),

    NCR_LEDGER_UPSERT("hours", "start, until, dim"),

    NCR_LEDGER_UPSERT("days", "start, until, dim"),

    "SELECT start, dim, " NCR_LEDGER_SUMS " FROM minutes"
    " WHERE start >= ?1 AND start < ?2 ORDER BY start",

    "SELECT start, dim, " NCR_LEDGER_SUMS " FROM hours"
    " WHERE start >= ?1 AND start < ?2 ORDER BY start",

    "SELECT start, dim, " NCR_LEDGER_SUMS " FROM days"
    " WHERE start >= ?1 AND start < ?2 ORDER BY start",

    "SELECT time, dim, 1, status >= 400, (flags >> 3) & 1, (flags >> 2) & 1,"
    " (flags >> 1) & 1, input, output, cache_read, cache_write,"
    " cache_write_5m, cache_write_1h, thinking, web_searches, web_fetches,"
    " cost, rated, duration, coalesce(ttft, 0), ttft IS NOT NULL, status"
    " FROM rows WHERE time >= ?1 AND time < ?2 ORDER BY time",

    "SELECT start, until FROM days WHERE (start, until) > (?1, ?2)"
    " ORDER BY start, until LIMIT 1",

    "SELECT min(coalesce((SELECT min(time) FROM rows), 1 << 48),"
    " coalesce((SELECT min(start) FROM minutes), 1 << 48),"
    " coalesce((SELECT min(start) FROM hours), 1 << 48),"
    " coalesce((SELECT min(start) FROM days), 1 << 48)),"
    " max(coalesce((SELECT max(time) FROM rows), 0),"
    " coalesce((SELECT max(start) FROM hours), 0),"
    " coalesce((SELECT max(start) FROM days), 0))",

    "SELECT start, until, used FROM counters WHERE id = ?1",

    "INSERT OR REPLACE INTO counters (id, start, until, used) VALUES"
    " (?1, ?2, ?3, ?4)",

    "SELECT id, start, until, used FROM counters WHERE until > ?1",

    "SELECT " NCR_LEDGER_ROW " FROM rows WHERE number = ?1",

    "SELECT min(number), max(number) FROM rows"
    " WHERE time >= ?1 AND time < ?2",

    "SELECT number, dim, time, status FROM rows WHERE id = ?1",

    "SELECT number, dim, time, status FROM rows WHERE dim = ?3"
    " AND number > ?1 AND number < ?2 ORDER BY number DESC",

    "SELECT number, dim, time, status FROM rows WHERE dim = ?3"
    " AND number > ?1 AND number < ?2 ORDER BY number",

    "SELECT number, dim, time, status FROM rows"
    " WHERE number > ?1 AND number < ?2 ORDER BY number DESC",

    "SELECT number, dim, time, status FROM rows"
    " WHERE number > ?1 AND number < ?2 ORDER BY number",

    "SELECT number, dim, time, status FROM rows INDEXED BY rows_failed"
    " WHERE status >= 400 AND number > ?1 AND number < ?2"
    " ORDER BY number DESC",

    "SELECT number, dim, time, status FROM rows INDEXED BY rows_failed"
    " WHERE status >= 400 AND number > ?1 AND number < ?2"
    " ORDER BY number",

    "SELECT " NCR_LEDGER_ROW " FROM rows WHERE number > ?1 AND number <= ?2"
    " AND time >= ?3 AND time < ?4 ORDER BY number LIMIT ?5",

    "UPDATE rows SET cost = ?2, rated = ?3, flags = flags + 4 * ?4, price = ?5"
    " WHERE number = ?1",

    NCR_LEDGER_RERATED("minutes", "start = ?1 AND dim = ?2 AND ?3"),

    NCR_LEDGER_RERATED("hours", "start = ?1 AND dim = ?2 AND ?3"),

    NCR_LEDGER_RERATED("days", "start = ?1 AND until = ?3 AND dim = ?2"),

    NCR_LEDGER_RERATED("days", "dim = ?2 AND start = (SELECT start FROM days"
    " WHERE dim = ?2 AND start > ?3 - 93600000 AND start <= ?3"
    " AND until > ?3 ORDER BY start LIMIT 1) AND until > ?3 AND ?1"),

    NCR_LEDGER_OLDEST("rows", "number", "time"),

    NCR_LEDGER_OLDEST("minutes", "start, until, dim", "start"),

    NCR_LEDGER_OLDEST("hours", "start, until, dim", "start"),

    NCR_LEDGER_OLDEST("days", "start, until, dim", "start"),

    "DELETE FROM counters WHERE id IN"
    " (SELECT id FROM counters WHERE until < ?1 LIMIT ?2)",

    "DELETE FROM rings WHERE id IN"
    " (SELECT id FROM rings WHERE used < ?1 LIMIT ?2)"
};


const char *const  ncr_ledger_levels[NCR_LEDGER_LEVELS] = {
    "minutes", "hours", "days", "rows"
};


static ncr_int_t ncr_ledger_open_file(ncr_ledger_t *ledger,
    ncr_ledger_options_t *options);
static ncr_int_t ncr_ledger_connect(ncr_ledger_t *ledger,
    ncr_ledger_options_t *options);
static ncr_int_t ncr_ledger_check(ncr_ledger_t *ledger);
static ncr_uint_t ncr_ledger_same(ncr_ledger_t *ledger);
static ncr_int_t ncr_ledger_begin(ncr_ledger_t *ledger,
    ncr_ledger_sql_e sql);
static void ncr_ledger_rollback(ncr_ledger_t *ledger);
static void ncr_ledger_reset(ncr_ledger_t *ledger);


ncr_int_t
ncr_ledger_open(ncr_ledger_options_t *options, ncr_ledger_t **result,
    char *error)
{
    ncr_int_t      rc;
    ncr_ledger_t  *ledger;

    *result = NULL;
    error[0] = '\0';

    ledger = calloc(1, sizeof(ncr_ledger_t));

    if (ledger == NULL) {
        snprintf(error, NCR_LEDGER_ERROR, "out of memory");
        return NCR_ERROR;
    }

    ledger->pid = getpid();
    ledger->tz = options->tz ? options->tz : ncr_tz_utc();
    ledger->readonly = options->readonly;

    ncr_ledger_hash_init(&ledger->names, sizeof(ncr_ledger_name_t), 3);
    ncr_ledger_hash_init(&ledger->dims, sizeof(ncr_ledger_dim_t),
                         NCR_LEDGER_DIMS);

    ledger->path = ncr_store_dup(options->path, strlen(options->path));

    if (ledger->path == NULL) {
        rc = ncr_ledger_say(ledger, "cannot be opened: out of memory");

    } else {
        rc = ncr_ledger_open_file(ledger, options);
    }

    if (rc != NCR_OK) {
        memcpy(error, ledger->error, NCR_LEDGER_ERROR);
        ncr_ledger_close(ledger);

        return NCR_ERROR;
    }

    *result = ledger;

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_open_file(ncr_ledger_t *ledger, ncr_ledger_options_t *options)
{
    char         text[NCR_STORE_ERROR];
    ncr_int_t    rc;
    struct stat  st;

    ledger->real = ncr_store_real(ledger->path);

    if (ledger->real == NULL) {
        snprintf(text, sizeof(text), "cannot be opened: %s", strerror(errno));
        return ncr_ledger_say(ledger, text);
    }

    if (stat(ledger->real, &st) == -1) {

        if (errno != ENOENT || !options->create || options->readonly) {
            snprintf(text, sizeof(text), "cannot be opened: %s",
                     strerror(errno));
            return ncr_ledger_say(ledger, text);
        }

        if (lstat(ledger->path, &st) == 0) {
            return ncr_ledger_say(ledger, "is a symbolic link to nothing");
        }

        rc = ncr_ledger_make(ledger);

        if (rc != NCR_OK) {
            return rc;
        }

    } else if (!S_ISREG(st.st_mode)) {
        return ncr_ledger_say(ledger, "is not a regular file");
    }

    rc = ncr_ledger_probe(ledger);

    if (rc == NCR_OK) {
        rc = ncr_ledger_connect(ledger, options);
    }

    if (rc == NCR_OK) {
        rc = ncr_ledger_migrate(ledger);
    }

    return rc;
}


static ncr_int_t
ncr_ledger_connect(ncr_ledger_t *ledger, ncr_ledger_options_t *options)
{
    int          flags, moved;
    ncr_int_t    rc;
    struct stat  st;

    flags = ledger->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= SQLITE_OPEN_NOMUTEX|SQLITE_OPEN_NOFOLLOW;

    if (sqlite3_open_v2(ledger->real, &ledger->db, flags, NULL) != SQLITE_OK) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_extended_result_codes(ledger->db, 1);
    sqlite3_busy_timeout(ledger->db, ncr_max(options->busy, 0));
    sqlite3_limit(ledger->db, SQLITE_LIMIT_LENGTH, NCR_STORE_TEXT);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);

    rc = ncr_ledger_exec(ledger, "PRAGMA synchronous = NORMAL;"
                                 "PRAGMA cell_size_check = ON;"
                                 "PRAGMA temp_store = MEMORY;"
                                 "PRAGMA mmap_size = 0;"
                                 "PRAGMA cache_size = -8192");

    if (rc == NCR_OK && !ledger->readonly) {

        if (sqlite3_db_readonly(ledger->db, "main") == 1) {
            return ncr_ledger_say(ledger, "is read-only");
        }

        rc = ncr_ledger_exec(ledger, "PRAGMA journal_mode = WAL;"
                                     "PRAGMA journal_size_limit = 16777216");
    }

    if (rc != NCR_OK) {
        return rc;
    }

    moved = 1;

    if (stat(ledger->real, &st) == -1
        || sqlite3_file_control(ledger->db, "main", SQLITE_FCNTL_HAS_MOVED,
                                &moved)
           != SQLITE_OK
        || moved)
    {
        return ncr_ledger_say(ledger, "was replaced while it was opened");
    }

    ledger->dev = st.st_dev;
    ledger->ino = st.st_ino;

    return NCR_OK;
}


void
ncr_ledger_close(ncr_ledger_t *ledger)
{
    ncr_uint_t  i;

    if (ledger == NULL) {
        return;
    }

    for (i = 0; i < NCR_LEDGER_SQL_N; i++) {
        sqlite3_finalize(ledger->stmts[i]);
    }

    (void) sqlite3_close(ledger->db);

    ncr_ledger_names_free(ledger);

    free(ledger->path);
    free(ledger->real);
    free(ledger);
}


const char *
ncr_ledger_error(ncr_ledger_t *ledger)
{
    return ledger->error;
}


ncr_int_t
ncr_ledger_read(ncr_ledger_t *ledger)
{
    return ncr_ledger_begin(ledger, NCR_LEDGER_SQL_BEGIN);
}


ncr_int_t
ncr_ledger_read_end(ncr_ledger_t *ledger, ncr_int_t rc)
{
    ncr_ledger_rollback(ledger);

    return rc;
}


ncr_int_t
ncr_ledger_write(ncr_ledger_t *ledger)
{
    if (ledger->readonly) {
        return ncr_ledger_say(ledger, "was opened for reading only");
    }

    return ncr_ledger_begin(ledger, NCR_LEDGER_SQL_BEGIN_WRITE);
}


static ncr_int_t
ncr_ledger_begin(ncr_ledger_t *ledger, ncr_ledger_sql_e sql)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    rc = ncr_ledger_check(ledger);

    if (rc != NCR_OK) {
        return rc;
    }

    stmt = ncr_ledger_stmt(ledger, sql);

    rc = stmt ? ncr_ledger_run(ledger, stmt) : ncr_ledger_fail(ledger);

    if (rc == NCR_OK) {
        rc = ncr_ledger_names_load(ledger);
    }

    ledger->nnames = ledger->names.n;
    ledger->ndims = ledger->dims.n;

    if (rc != NCR_OK) {
        ncr_ledger_rollback(ledger);
    }

    return rc;
}


ncr_int_t
ncr_ledger_write_end(ncr_ledger_t *ledger, ncr_int_t rc)
{
    sqlite3_stmt  *stmt;

    /* nothing is told to be kept in a file that nobody will find */

    if (rc == NCR_OK) {
        rc = ncr_ledger_check(ledger);
    }

    if (rc == NCR_OK) {
        ncr_ledger_reset(ledger);

        stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_COMMIT);

        rc = stmt ? ncr_ledger_run(ledger, stmt) : ncr_ledger_fail(ledger);
    }

    if (rc == NCR_OK) {
        return ncr_ledger_check(ledger);
    }

    ncr_ledger_names_cut(ledger, ledger->nnames, ledger->ndims);
    ncr_ledger_rollback(ledger);

    return rc;
}


static ncr_int_t
ncr_ledger_check(ncr_ledger_t *ledger)
{
    if (ledger->pid != getpid()) {
        return ncr_ledger_say(ledger, "was opened by another process, before"
                              " a fork");
    }

    if (!ncr_ledger_same(ledger)) {
        return ncr_ledger_say(ledger, "was deleted or replaced");
    }

    return NCR_OK;
}


static ncr_uint_t
ncr_ledger_same(ncr_ledger_t *ledger)
{
    struct stat  st;

    return stat(ledger->real, &st) == 0 && st.st_dev == ledger->dev
           && st.st_ino == ledger->ino;
}


static void
ncr_ledger_rollback(ncr_ledger_t *ledger)
{
    ncr_ledger_reset(ledger);

    /* SQLite may have done so by itself, if the disk is full */

    if (!sqlite3_get_autocommit(ledger->db)) {
        (void) sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
    }
}


/* a statement that was not reset holds its transaction open */

static void
ncr_ledger_reset(ncr_ledger_t *ledger)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_LEDGER_SQL_N; i++) {
        if (ledger->stmts[i]) {
            sqlite3_reset(ledger->stmts[i]);
            sqlite3_clear_bindings(ledger->stmts[i]);
        }
    }
}


sqlite3_stmt *
ncr_ledger_stmt(ncr_ledger_t *ledger, ncr_ledger_sql_e sql)
{
    sqlite3_stmt  **stmt;

    stmt = &ledger->stmts[sql];

    if (*stmt == NULL) {

        if (sqlite3_prepare_v3(ledger->db, ncr_ledger_sqls[sql], -1,
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
ncr_ledger_run(ncr_ledger_t *ledger, sqlite3_stmt *stmt)
{
    int        err;
    ncr_int_t  rc;

    do {
        err = sqlite3_step(stmt);
    } while (err == SQLITE_ROW);

    rc = (err == SQLITE_DONE) ? NCR_OK : ncr_ledger_fail(ledger);

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_ledger_exec(ncr_ledger_t *ledger, const char *sql)
{
    if (sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ncr_ledger_fail(ledger);
    }

    return NCR_OK;
}


ncr_int_t
ncr_ledger_number(ncr_ledger_t *ledger, sqlite3_stmt *stmt, int64_t *value)
{
    ncr_int_t  rc;

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        *value = sqlite3_column_int64(stmt, 0);
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = NCR_DECLINED;
        break;

    default:
        rc = ncr_ledger_fail(ledger);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


ncr_int_t
ncr_ledger_meta(ncr_ledger_t *ledger, const char *name, int64_t *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_META);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);

    rc = ncr_ledger_number(ledger, stmt, value);

    if (rc == NCR_DECLINED) {
        *value = 0;
        return NCR_OK;
    }

    return rc;
}


ncr_int_t
ncr_ledger_meta_put(ncr_ledger_t *ledger, const char *name, int64_t value)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_META_PUT);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, value);

    return ncr_ledger_run(ledger, stmt);
}


ncr_int_t
ncr_ledger_kept(ncr_ledger_t *ledger, ncr_msec_t *kept)
{
    ncr_int_t   rc;
    ncr_uint_t  i;

    for (i = 0; i < NCR_LEDGER_LEVELS; i++) {

        rc = ncr_ledger_meta(ledger, ncr_ledger_levels[i], &kept[i]);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


ncr_int_t
ncr_ledger_fail(ncr_ledger_t *ledger)
{
    int   err;
    char  text[NCR_STORE_ERROR];

    if (ledger->db == NULL) {
        return ncr_ledger_say(ledger, "cannot be opened: out of memory");
    }

    err = sqlite3_extended_errcode(ledger->db);

    if (err == SQLITE_READONLY_DBMOVED
        || (ledger->ino && !ncr_ledger_same(ledger)))
    {
        return ncr_ledger_say(ledger, "was deleted or replaced");
    }

    return ncr_ledger_say(ledger, ncr_store_words(ledger->db, err, text));
}


ncr_int_t
ncr_ledger_say(ncr_ledger_t *ledger, const char *text)
{
    int   n;
    char  shown[NCR_STORE_SHOWN];

    n = snprintf(ledger->error, NCR_LEDGER_ERROR, "ledger \"%s\" ",
                 ncr_store_shown(ledger->path ? ledger->path : "", shown));

    snprintf(ledger->error + n, NCR_LEDGER_ERROR - (size_t) n, "%s", text);

    return NCR_ERROR;
}
