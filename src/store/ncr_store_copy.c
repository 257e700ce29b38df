
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_int.h"


/* ms: writers commit in less; a checkpoint may take this long */
#define NCR_STORE_COPY_BUSY  5000


ncr_int_t
ncr_store_copy(const char *path, const char *copy, char *error)
{
    int            err;
    char           text[NCR_STORE_ERROR];
    sqlite3       *db;
    sqlite3_stmt  *stmt;

    stmt = NULL;

    err = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);

    if (err == SQLITE_OK) {
        sqlite3_busy_timeout(db, NCR_STORE_COPY_BUSY);
        err = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL);
    }

    if (err == SQLITE_OK) {
        sqlite3_bind_text(stmt, 1, copy, -1, SQLITE_STATIC);
        err = sqlite3_step(stmt);
        err = (err == SQLITE_DONE) ? SQLITE_OK : err;
    }

    if (err != SQLITE_OK) {
        (void) snprintf(error, NCR_STORE_ERROR, "the database %.128s",
                        ncr_store_words(db, err, text));
    }

    sqlite3_finalize(stmt);
    sqlite3_close(db);

    return (err == SQLITE_OK) ? NCR_OK : NCR_ERROR;
}
