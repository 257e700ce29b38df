
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The schema, by versions.  A step is never changed once it was released; a
 * change is another step.  "meta" stays as it is in all versions: it is read
 * before a file is migrated.
 */


#include "ncr_store_int.h"


static ncr_int_t ncr_store_fill(ncr_store_t *store,
    ncr_store_options_t *options);
static ncr_int_t ncr_store_steps_run(ncr_store_t *store,
    const ncr_store_step_t *steps, int version, int last);
static ncr_int_t ncr_store_pragma(ncr_store_t *store, const char *sql,
    int *value);
static char *ncr_store_uri(const char *path);
static ncr_int_t ncr_store_sync_directory(ncr_store_t *store);


const ncr_store_step_t  ncr_store_steps[] = {

    { "CREATE TABLE meta ("
      "    name      TEXT PRIMARY KEY NOT NULL,"
      "    value     BLOB NOT NULL"
      ") WITHOUT ROWID;"

      "CREATE TABLE counters ("
      "    name      TEXT PRIMARY KEY NOT NULL,"
      "    value     INTEGER NOT NULL"
      ") WITHOUT ROWID;"

      "INSERT INTO counters VALUES ('seq', 0), ('id', 0);"

      "CREATE TABLE accounts ("
      "    id        INTEGER PRIMARY KEY,"
      "    seq       INTEGER NOT NULL,"
      "    name      TEXT NOT NULL,"
      "    conf      INTEGER NOT NULL,"
      "    removed   INTEGER NOT NULL,"
      "    version   INTEGER NOT NULL,"
      "    settings  TEXT NOT NULL,"
      "    secret    BLOB,"
      "    proxy     BLOB,"
      "    created   INTEGER NOT NULL,"
      "    updated   INTEGER NOT NULL,"
      "    tokens    INTEGER NOT NULL,"
      "    access    BLOB,"
      "    refresh   BLOB,"
      "    expires   INTEGER NOT NULL,"
      "    granted   INTEGER NOT NULL,"
      "    scopes    TEXT NOT NULL,"
      "    meta      TEXT NOT NULL,"
      "    pending   INTEGER NOT NULL,"
      "    failed    INTEGER NOT NULL,"
      "    reason    TEXT NOT NULL"
      ");"

      "CREATE UNIQUE INDEX accounts_name ON accounts (name)"
      "    WHERE removed = 0;"
      "CREATE INDEX accounts_removed ON accounts (name) WHERE removed = 1;"
      "CREATE INDEX accounts_seq ON accounts (seq);"

      "CREATE TABLE logins ("
      "    id        TEXT PRIMARY KEY NOT NULL,"
      "    data      BLOB NOT NULL,"
      "    expires   INTEGER NOT NULL"
      ") WITHOUT ROWID;" },

    { "INSERT INTO counters VALUES ('object', 0);"

      "CREATE TABLE objects ("
      "    id        INTEGER PRIMARY KEY,"
      "    seq       INTEGER NOT NULL,"
      "    kind      TEXT NOT NULL,"
      "    name      TEXT NOT NULL,"
      "    removed   INTEGER NOT NULL,"
      "    version   INTEGER NOT NULL,"
      "    digest    BLOB,"
      "    data      TEXT NOT NULL,"
      "    created   INTEGER NOT NULL,"
      "    updated   INTEGER NOT NULL,"
      "    activated INTEGER NOT NULL,"
      "    prefix    TEXT NOT NULL"
      ");"

      "CREATE UNIQUE INDEX objects_name ON objects (kind, name)"
      "    WHERE removed = 0;"
      "CREATE INDEX objects_removed ON objects (kind, name)"
      "    WHERE removed = 1;"
      "CREATE UNIQUE INDEX objects_digest ON objects (digest)"
      "    WHERE digest IS NOT NULL;"
      "CREATE INDEX objects_seq ON objects (seq);" },

    { "CREATE TABLE people ("
      "    name      TEXT PRIMARY KEY NOT NULL,"
      "    version   INTEGER NOT NULL,"
      "    role      INTEGER NOT NULL,"
      "    enabled   INTEGER NOT NULL,"
      "    password  TEXT NOT NULL,"
      "    change    INTEGER NOT NULL,"
      "    external  TEXT NOT NULL,"
      "    totp      BLOB,"
      "    step      INTEGER NOT NULL,"
      "    created   INTEGER NOT NULL,"
      "    updated   INTEGER NOT NULL,"
      "    login     INTEGER NOT NULL"
      ") WITHOUT ROWID;"

      "CREATE UNIQUE INDEX people_external ON people (external)"
      "    WHERE external <> '';"

      "CREATE TABLE sessions ("
      "    digest    BLOB PRIMARY KEY NOT NULL,"
      "    person    TEXT NOT NULL,"
      "    name      TEXT NOT NULL,"
      "    csrf      TEXT NOT NULL,"
      "    role      INTEGER NOT NULL,"
      "    created   INTEGER NOT NULL,"
      "    used      INTEGER NOT NULL,"
      "    expires   INTEGER NOT NULL,"
      "    idle      INTEGER NOT NULL,"
      "    address   TEXT NOT NULL,"
      "    agent     TEXT NOT NULL"
      ") WITHOUT ROWID;"

      "CREATE INDEX sessions_person ON sessions (person, created);"
      "CREATE UNIQUE INDEX sessions_name ON sessions (person, name)"
      "    WHERE name <> '';"

      "CREATE TABLE actions ("
      "    number    INTEGER PRIMARY KEY,"
      "    time      INTEGER NOT NULL,"
      "    who       TEXT NOT NULL,"
      "    role      TEXT NOT NULL,"
      "    address   TEXT NOT NULL,"
      "    method    TEXT NOT NULL,"
      "    path      TEXT NOT NULL,"
      "    status    INTEGER NOT NULL,"
      "    before    TEXT NOT NULL,"
      "    after     TEXT NOT NULL,"
      "    hash      TEXT NOT NULL"
      ");"

      "CREATE TABLE hooks ("
      "    name      TEXT PRIMARY KEY NOT NULL,"
      "    version   INTEGER NOT NULL,"
      "    kind      TEXT NOT NULL,"
      "    enabled   INTEGER NOT NULL,"
      "    url       BLOB,"
      "    secret    BLOB,"
      "    settings  TEXT NOT NULL,"
      "    state     TEXT NOT NULL,"
      "    created   INTEGER NOT NULL,"
      "    updated   INTEGER NOT NULL"
      ") WITHOUT ROWID;"

      "CREATE TABLE deliveries ("
      "    id        INTEGER PRIMARY KEY AUTOINCREMENT,"
      "    hook      TEXT NOT NULL,"
      "    event     TEXT NOT NULL,"
      "    created   INTEGER NOT NULL,"
      "    attempts  INTEGER NOT NULL,"
      "    next      INTEGER NOT NULL"
      ");"

      "CREATE INDEX deliveries_next ON deliveries (next);"

      "CREATE TABLE alerts ("
      "    key       TEXT PRIMARY KEY NOT NULL,"
      "    since     INTEGER NOT NULL,"
      "    told      INTEGER NOT NULL,"
      "    ended     INTEGER NOT NULL,"
      "    data      TEXT NOT NULL"
      ") WITHOUT ROWID;" },

    { "ALTER TABLE accounts ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;"
      "ALTER TABLE accounts ADD COLUMN holder TEXT NOT NULL DEFAULT '';" }
};


const int  ncr_store_version = sizeof(ncr_store_steps)
                               / sizeof(ncr_store_steps[0]);


/*
 * A new file is written under another name and appears whole, or not at all.
 * The caller has the lock.
 */

ncr_int_t
ncr_store_make(ncr_store_t *store, ncr_store_options_t *options)
{
    int           fd;
    char         *path, *old;
    size_t        len, i;
    ncr_int_t     rc;

    static const char  *stale[] = { "-wal", "-shm", "-journal" };

    len = strlen(store->real) + sizeof("-journal");
    path = malloc(len);
    old = malloc(len);

    rc = NCR_ERROR;
    fd = -1;

    if (path == NULL || old == NULL) {
        (void) ncr_store_say(store, "cannot be made: out of memory");
        goto done;
    }

    snprintf(path, len, "%s-new", store->real);

    if (unlink(path) == -1 && errno != ENOENT) {
        (void) ncr_store_say_errno(store, "cannot be made");
        goto done;
    }

    fd = ncr_store_beside(path, O_RDWR);

    if (fd == -1) {
        (void) ncr_store_say_errno(store, "cannot be made");
        goto done;
    }

    if (sqlite3_open_v2(path, &store->db,
                        SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX
                        |SQLITE_OPEN_NOFOLLOW, NULL)
        != SQLITE_OK)
    {
        rc = ncr_store_fail(store);

    } else {
        sqlite3_extended_result_codes(store->db, 1);
        rc = ncr_store_fill(store, options);
    }

    for (i = 0; i < NCR_STORE_SQL_N; i++) {
        sqlite3_finalize(store->stmts[i]);
        store->stmts[i] = NULL;
    }

    (void) sqlite3_close(store->db);
    store->db = NULL;

    if (rc != NCR_OK) {
        goto done;
    }

    /* the log of a file that is gone would be replayed into this one */

    for (i = 0; i < 3; i++) {
        snprintf(old, len, "%s%s", store->real, stale[i]);
        (void) unlink(old);
    }

    if (fsync(fd) == -1 || rename(path, store->real) == -1) {
        rc = ncr_store_say_errno(store, "cannot be made");
        goto done;
    }

    rc = ncr_store_sync_directory(store);

done:

    if (fd != -1) {
        (void) close(fd);

        if (rc != NCR_OK) {
            (void) unlink(path);
        }
    }

    free(path);
    free(old);

    return rc;
}


static ncr_int_t
ncr_store_fill(ncr_store_t *store, ncr_store_options_t *options)
{
    char       sql[64];
    ncr_int_t  rc;

    /* no journal: it is not the store until it is renamed */

    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d",
             NCR_STORE_APPLICATION);

    rc = ncr_store_exec(store, "PRAGMA journal_mode = OFF;"
                               "PRAGMA synchronous = OFF;"
                               "PRAGMA temp_store = MEMORY;"
                               "BEGIN IMMEDIATE");

    if (rc == NCR_OK) {
        rc = ncr_store_exec(store, sql);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_steps_run(store, ncr_store_steps, 0,
                                 ncr_store_version);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_key_make(store, &options->key, &options->passphrase);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_exec(store, "COMMIT");
    }

    return rc;
}


static ncr_int_t
ncr_store_steps_run(ncr_store_t *store, const ncr_store_step_t *steps,
    int version, int last)
{
    char       sql[64];
    ncr_int_t  rc;

    while (version < last) {

        rc = ncr_store_exec(store, steps[version].sql);

        if (rc != NCR_OK) {
            return rc;
        }

        version++;
    }

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);

    return ncr_store_exec(store, sql);
}


ncr_int_t
ncr_store_probe(ncr_store_t *store)
{
    int       rc;
    char      text[NCR_STORE_ERROR];
    uint32_t  id;

    rc = ncr_store_peek(&store->db, store->real, &id);

    if (rc != SQLITE_OK) {
        (void) ncr_store_say(store, ncr_store_words(store->db, rc, text));
    }

    (void) sqlite3_close(store->db);
    store->db = NULL;

    if (rc != SQLITE_OK) {
        return NCR_ERROR;
    }

    if (id != NCR_STORE_APPLICATION) {
        return ncr_store_say(store, "is not a store of this module, and is"
                             " left as it is");
    }

    return NCR_OK;
}


/*
 * Nobody's locks are taken and no log is looked at ("immutable"), so that a
 * file that is not ours stays as it is.  SQLite opens it, not we: to close a
 * descriptor of our own would drop the locks of other handles of the process.
 * And no page is read as such: after a kill amidst a checkpoint the header
 * may know more pages than the file has, which is no damage, as the log has
 * them, but a damage to who does not look at the log.
 */

int
ncr_store_peek(sqlite3 **db, const char *real, uint32_t *id)
{
    int            rc;
    char          *uri;
    ncr_char_t     head[100];
    sqlite3_file  *file;

    *id = 0;
    *db = NULL;
    file = NULL;

    uri = ncr_store_uri(real);

    if (uri == NULL) {
        return SQLITE_NOMEM;
    }

    rc = sqlite3_open_v2(uri, db,
                         SQLITE_OPEN_READONLY|SQLITE_OPEN_URI
                         |SQLITE_OPEN_NOMUTEX, NULL);
    free(uri);

    if (rc == SQLITE_OK) {
        rc = sqlite3_file_control(*db, "main", SQLITE_FCNTL_FILE_POINTER,
                                  &file);
    }

    if (rc != SQLITE_OK) {
        return rc;
    }

    if (file == NULL || file->pMethods == NULL) {
        return SQLITE_CANTOPEN;
    }

    memset(head, 0, sizeof(head));

    /* what the file does not have is read as zeros */

    rc = file->pMethods->xRead(file, head, sizeof(head), 0);

    if (rc == SQLITE_IOERR_SHORT_READ && head[0] == '\0') {
        return SQLITE_OK;
    }

    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) {
        return rc;
    }

    if (memcmp(head, "SQLite format 3", 16) != 0) {
        return SQLITE_NOTADB;
    }

    *id = (uint32_t) head[68] << 24 | head[69] << 16 | head[70] << 8
          | head[71];

    return SQLITE_OK;
}


/* malloc()ed: "file:" and the path, only to be looked at */

static char *
ncr_store_uri(const char *path)
{
    char        *uri, *p;
    size_t       size;
    const char  *s;

    size = 3 * strlen(path) + sizeof("file:?immutable=1");
    uri = malloc(size);

    if (uri == NULL) {
        return NULL;
    }

    p = uri + snprintf(uri, size, "file:");

    for (s = path; *s; s++) {

        if (*s == '%' || *s == '?' || *s == '#') {
            p += snprintf(p, size - (size_t) (p - uri), "%%%02X", *s);

        } else {
            *p++ = *s;
        }
    }

    snprintf(p, size - (size_t) (p - uri), "?immutable=1");

    return uri;
}


ncr_int_t
ncr_store_schema(ncr_store_t *store, int last, int *version)
{
    char       text[NCR_STORE_ERROR];
    ncr_int_t  rc;

    rc = ncr_store_pragma(store, "PRAGMA user_version", version);

    if (rc != NCR_OK) {
        return rc;
    }

    if (*version > last) {
        snprintf(text, sizeof(text), "has a schema of version %d, made by a"
                 " newer version of the module; this one knows up to %d",
                 *version, last);

        return ncr_store_say(store, text);
    }

    if (*version < 1) {
        return ncr_store_say(store, "is corrupt: it has no schema");
    }

    return NCR_OK;
}


ncr_int_t
ncr_store_migrate(ncr_store_t *store, const ncr_store_step_t *steps, int last)
{
    int        version;
    ncr_int_t  rc;

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    /* another process may have been faster */

    rc = ncr_store_schema(store, last, &version);

    if (rc == NCR_OK && version < last) {
        rc = ncr_store_steps_run(store, steps, version, last);
    }

    return ncr_store_write_end(store, rc);
}


static ncr_int_t
ncr_store_pragma(ncr_store_t *store, const char *sql, int *value)
{
    ncr_int_t      rc;
    sqlite3_stmt  *stmt;

    if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        return ncr_store_fail(store);
    }

    if (sqlite3_step(stmt) == SQLITE_ROW) {
        *value = sqlite3_column_int(stmt, 0);
        rc = NCR_OK;

    } else {
        rc = ncr_store_fail(store);
    }

    sqlite3_finalize(stmt);

    return rc;
}


static ncr_int_t
ncr_store_sync_directory(ncr_store_t *store)
{
    int    fd, rc;
    char  *slash;

    /* "real" is absolute */

    slash = strrchr(store->real, '/');

    *slash = '\0';
    fd = open(slash == store->real ? "/" : store->real,
              O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    *slash = '/';

    if (fd == -1) {
        return ncr_store_say_errno(store, "cannot be made");
    }

    rc = fsync(fd);

    if (rc == -1) {
        (void) ncr_store_say_errno(store, "cannot be made");
    }

    (void) close(fd);

    return rc == 0 ? NCR_OK : NCR_ERROR;
}
