
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of this floor share; nobody else includes it. */


#ifndef _NCR_STORE_INT_H_INCLUDED_
#define _NCR_STORE_INT_H_INCLUDED_


/* F_OFD_SETLK, flock(), realpath() */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS  64
#endif


#include "ncr_store.h"

#include <sys/types.h>
#include <sys/stat.h>
#include <sys/file.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>


/* "ncrs", in the header of the file (application_id) */
#define NCR_STORE_APPLICATION  0x6e637273

#define NCR_STORE_SEALED_KEY   (NCR_SEAL_KEY + NCR_SEAL_EXTRA)

/* of a text or sealed value; SQLite refuses what is larger */
#define NCR_STORE_TEXT         (4 * 1024 * 1024)

/* of a path that is shown in a message: its end */
#define NCR_STORE_SHOWN        128


typedef enum {
    NCR_STORE_SQL_BEGIN = 0,
    NCR_STORE_SQL_BEGIN_WRITE,
    NCR_STORE_SQL_COMMIT,
    NCR_STORE_SQL_DATA_VERSION,
    NCR_STORE_SQL_META,
    NCR_STORE_SQL_META_PUT,
    NCR_STORE_SQL_COUNT,
    NCR_STORE_SQL_LOAD,
    NCR_STORE_SQL_BY_NAME,
    NCR_STORE_SQL_BY_ID,
    NCR_STORE_SQL_AFTER_ID,
    NCR_STORE_SQL_TOMBSTONE,
    NCR_STORE_SQL_WRITE,
    NCR_STORE_SQL_LOGIN,
    NCR_STORE_SQL_LOGIN_AFTER,
    NCR_STORE_SQL_LOGIN_PUT,
    NCR_STORE_SQL_LOGIN_DELETE,
    NCR_STORE_SQL_LOGIN_EXPIRE,
    NCR_STORE_SQL_PERSON,
    NCR_STORE_SQL_PERSON_EXTERNAL,
    NCR_STORE_SQL_PERSON_AFTER,
    NCR_STORE_SQL_PERSON_ADMIN,
    NCR_STORE_SQL_PERSON_WRITE,
    NCR_STORE_SQL_PERSON_DELETE,
    NCR_STORE_SQL_PERSON_LOGIN,
    NCR_STORE_SQL_PEOPLE,
    NCR_STORE_SQL_SESSION,
    NCR_STORE_SQL_SESSIONS,
    NCR_STORE_SQL_SESSIONS_OF,
    NCR_STORE_SQL_SESSION_PUT,
    NCR_STORE_SQL_SESSION_NOTE,
    NCR_STORE_SQL_SESSION_EXPIRE,
    NCR_STORE_SQL_SESSION_END,
    NCR_STORE_SQL_SESSION_END_ALL,
    NCR_STORE_SQL_TOKEN_END,
    NCR_STORE_SQL_ACTION_LAST,
    NCR_STORE_SQL_ACTION_PUT,
    NCR_STORE_SQL_ACTIONS,
    NCR_STORE_SQL_ACTIONS_UP,
    NCR_STORE_SQL_OBJECTS,
    NCR_STORE_SQL_OBJECT_LIST,
    NCR_STORE_SQL_OBJECT_NAME,
    NCR_STORE_SQL_OBJECT_ID,
    NCR_STORE_SQL_OBJECT_DIGEST,
    NCR_STORE_SQL_OBJECT_TOMBSTONE,
    NCR_STORE_SQL_OBJECT_WRITE,

    /* ncr_store_hook.c */

    NCR_STORE_SQL_HOOKS,
    NCR_STORE_SQL_HOOK,
    NCR_STORE_SQL_HOOK_AFTER,
    NCR_STORE_SQL_HOOK_WRITE,
    NCR_STORE_SQL_HOOK_REMOVE,
    NCR_STORE_SQL_HOOK_STATE,
    NCR_STORE_SQL_DELIVERIES,
    NCR_STORE_SQL_DELIVERY_NEXT,
    NCR_STORE_SQL_DELIVERY_ADD,
    NCR_STORE_SQL_DELIVERY_AGAIN,
    NCR_STORE_SQL_DELIVERY_END,
    NCR_STORE_SQL_DELIVERY_TRIM,
    NCR_STORE_SQL_DELIVERY_REMOVE,
    NCR_STORE_SQL_ALERTS,
    NCR_STORE_SQL_ALERT_WRITE,
    NCR_STORE_SQL_ALERT_TRIM,
    NCR_STORE_SQL_OBJECT_COUNT,
    NCR_STORE_SQL_OBJECT_BY_DIGEST,
    NCR_STORE_SQL_N
} ncr_store_sql_e;


struct ncr_store_s {
    sqlite3       *db;
    sqlite3_stmt  *stmts[NCR_STORE_SQL_N];

    char          *path;                /* as it was given */
    char          *real;                /* the same without symbolic links */
    char          *lock_path;
    int            lock;                /* descriptor, or -1 */
    int            busy;                /* ms */

    pid_t          pid;
    dev_t          dev;                 /* of the file that is open */
    ino_t          ino;
    int64_t        seen;                /* data_version */

    unsigned       readonly:1;
    unsigned       create:1;
    unsigned       locked:1;
    unsigned       changed:1;           /* by this handle, or never asked */
    unsigned       batch:1;             /* writes are parts of one */
    unsigned       older:1;             /* read, in a schema without objects */

    ncr_char_t     key[NCR_SEAL_KEY];   /* the data key */
    ncr_char_t     sealed[NCR_STORE_SEALED_KEY];  /* as it lies in the file */

    char           error[NCR_STORE_ERROR];
};


/* ncr_store.c */

/* the message of store->db's last error; returns NCR_ERROR, or _GONE */
ncr_int_t ncr_store_fail(ncr_store_t *store);

/* a message of our own: 'database "path" text' */
ncr_int_t ncr_store_say(ncr_store_t *store, const char *text);

ncr_int_t ncr_store_say_errno(ncr_store_t *store, const char *text);

/* what an error of SQLite means; text has NCR_STORE_ERROR bytes */
const char *ncr_store_words(sqlite3 *db, int err, char *text);

/* the end of a path that is too long for a message */
const char *ncr_store_shown(const char *path, char *buf);

/* a cached statement, reset, without bindings; NULL after an error */
sqlite3_stmt *ncr_store_stmt(ncr_store_t *store, ncr_store_sql_e sql);

/*
 * A statement of one parameter, on its row: NCR_OK, and the caller resets it
 * when the row was read; NCR_DECLINED: there is no row.
 */
ncr_int_t ncr_store_one(ncr_store_t *store, ncr_store_sql_e sql,
    const char *text, sqlite3_stmt **stmt);

/* runs it to its end; NCR_OK or what ncr_store_fail() returns */
ncr_int_t ncr_store_run(ncr_store_t *store, sqlite3_stmt *stmt);
ncr_int_t ncr_store_exec(ncr_store_t *store, const char *sql);

/* of the counter name: at least floor, raised by step */
ncr_int_t ncr_store_count(ncr_store_t *store, const char *name,
    uint64_t step, uint64_t floor, uint64_t *value);

/*
 * A transaction.  Begun only if the file is still the one at the path and
 * sealed as this handle knows it.  The end of a write commits if rc is
 * NCR_OK, else rolls back and returns rc; what it returns is the result.
 */
ncr_int_t ncr_store_read(ncr_store_t *store);
ncr_int_t ncr_store_read_end(ncr_store_t *store, ncr_int_t rc);
ncr_int_t ncr_store_write(ncr_store_t *store);
ncr_int_t ncr_store_write_end(ncr_store_t *store, ncr_int_t rc);

/* a copy with its NUL, or NULL */
char *ncr_store_dup(const void *p, size_t len);

/* overwrites and frees a text; NULL is fine */
void ncr_store_drop(char **text);


/* ncr_store_lock.c */

/* malloc()ed: without symbolic links, even before it exists; and a file
 * beside it */
char *ncr_store_real(const char *path);
char *ncr_store_concat(const char *path, const char *suffix);

/* store->real, ->lock_path from ->path */
ncr_int_t ncr_store_paths(ncr_store_t *store);

/* for all who write; bounded by store->busy, what is left of it in *left */
ncr_int_t ncr_store_flock(ncr_store_t *store, int *left);
void ncr_store_funlock(ncr_store_t *store);

/*
 * A file beside the store, of mode 0600 whatever the umask; made if it is not
 * there, and then given to the owner of its directory.  Descriptor, or -1 and
 * errno.
 */
int ncr_store_beside(const char *path, int flags);
ncr_int_t ncr_store_give(int fd, const char *path);

/* 1 if the path still leads to the file that is open */
ncr_uint_t ncr_store_same(ncr_store_t *store);


/* ncr_store_schema.c */

typedef struct {
    const char  *sql;
} ncr_store_step_t;

/* step i leads from version i to i + 1 */
extern const ncr_store_step_t  ncr_store_steps[];
extern const int  ncr_store_version;

/* makes a new file in place, under the lock */
ncr_int_t ncr_store_make(ncr_store_t *store, ncr_store_options_t *options);

/* NCR_OK if there is a file, and it is one of ours; it is only looked at */
ncr_int_t ncr_store_probe(ncr_store_t *store);

/*
 * The application_id of a file, without touching it; 0 if it is empty.  A
 * result of SQLite's; *db is for its words, and to be closed.
 */
int ncr_store_peek(sqlite3 **db, const char *real, uint32_t *id);

/* refuses newer versions */
ncr_int_t ncr_store_schema(ncr_store_t *store, int last, int *version);

/* in one transaction, under the lock; the version is asked again there */
ncr_int_t ncr_store_migrate(ncr_store_t *store, const ncr_store_step_t *steps,
    int last);


/* ncr_store_key.c */

/* a new data key under the operator's, in a transaction of the caller's */
ncr_int_t ncr_store_key_make(ncr_store_t *store, ncr_str_t *key,
    ncr_str_t *passphrase);

/* store->key from the file: NCR_OK, NCR_STORE_KEY or NCR_ERROR */
ncr_int_t ncr_store_key_open(ncr_store_t *store, ncr_store_options_t *options);

/* NCR_OK, or NCR_STORE_KEY if somebody has changed it since */
ncr_int_t ncr_store_key_same(ncr_store_t *store);

/* a blob for column of stmt; an empty text is NULL, and so is NULL */
ncr_int_t ncr_store_seal(ncr_store_t *store, sqlite3_stmt *stmt, int column,
    ncr_seal_place_t *place, const char *text);

/* the way back; *text is "" if the column is NULL */
ncr_int_t ncr_store_unseal(ncr_store_t *store, sqlite3_stmt *stmt, int column,
    ncr_seal_place_t *place, char **text);


/* ncr_store_rows.c */

/* what a decimal id needs */
#define NCR_STORE_ID  24

/* the row that stmt stands on */
ncr_int_t ncr_store_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_account_t *row);

/* the live one, in a transaction of the caller's; or NCR_DECLINED */
ncr_int_t ncr_store_row_name(ncr_store_t *store, const char *name,
    ncr_store_account_t *row);

/* the last one that was removed, in the same way */
ncr_int_t ncr_store_row_removed(ncr_store_t *store, const char *name,
    ncr_store_account_t *row);

/* any, a tombstone too */
ncr_int_t ncr_store_row_id(ncr_store_t *store, ncr_store_sql_e sql,
    uint64_t id, ncr_store_account_t *row);

/* all of the row, secrets sealed, without raising seq */
ncr_int_t ncr_store_row_write(ncr_store_t *store, ncr_store_account_t *row);

/* the same with the next seq */
ncr_int_t ncr_store_row_save(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t floor);

/* a new one of this name, all of it empty */
void ncr_store_row_new(ncr_store_account_t *row, const char *name);

/* another text in place of this one; NULL leaves it */
ncr_int_t ncr_store_row_set(ncr_store_t *store, char **text,
    const char *value);

/* what makes a row a tombstone */
void ncr_store_row_bury(ncr_store_account_t *row);

/* NCR_OK, or an error: it does not fit */
ncr_int_t ncr_store_name(ncr_store_t *store, const char *name);


/* ncr_store_object.c; the same of objects */

ncr_int_t ncr_store_object_name(ncr_store_t *store, const char *kind,
    const char *name, ncr_store_object_t *row);
ncr_int_t ncr_store_object_removed(ncr_store_t *store, const char *kind,
    const char *name, ncr_store_object_t *row);

/* the row that stmt stands on; its text is SQLite's, until the next step */
ncr_int_t ncr_store_object_row(ncr_store_t *store, sqlite3_stmt *stmt,
    ncr_store_object_t *row);

/* NCR_OK: no other row has its digest; NCR_DECLINED: one has */
ncr_int_t ncr_store_object_free_digest(ncr_store_t *store,
    ncr_store_object_t *row, uint64_t id);

/* all of the row, with the next seq */
ncr_int_t ncr_store_object_save(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t floor);


/* ncr_store_login.c */

ncr_int_t ncr_store_login_reseal(ncr_store_t *store, const ncr_char_t *old);


/* ncr_store_person.c */

struct ncr_store_person_s;

/* one, in a transaction of the caller's; or NCR_DECLINED */
ncr_int_t ncr_store_person_name(ncr_store_t *store, const char *name,
    struct ncr_store_person_s *person);

ncr_int_t ncr_store_person_reseal(ncr_store_t *store, const ncr_char_t *old);

/* a text of a row; "" if it does not fit, and so was not written by us */
void ncr_store_text(sqlite3_stmt *stmt, int column, char *dst, size_t size);


/* ncr_store_hook.c */

ncr_int_t ncr_store_hook_reseal(ncr_store_t *store, const ncr_char_t *old);


#endif /* _NCR_STORE_INT_H_INCLUDED_ */
