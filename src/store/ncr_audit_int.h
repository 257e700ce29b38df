
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of the audit log share; nobody else includes it. */


#ifndef _NCR_AUDIT_INT_H_INCLUDED_
#define _NCR_AUDIT_INT_H_INCLUDED_


#include "ncr_store_int.h"
#include "ncr_audit.h"
#include "ncr_out.h"


#define NCR_AUDIT_PAGE     4096

#define NCR_AUDIT_TEXTS    4
#define NCR_AUDIT_PATH     4096


typedef enum {
    NCR_AUDIT_SQL_BEGIN = 0,
    NCR_AUDIT_SQL_COMMIT,
    NCR_AUDIT_SQL_INSERT,
    NCR_AUDIT_SQL_OLDEST,
    NCR_AUDIT_SQL_EXPIRED,
    NCR_AUDIT_SQL_DELETE,
    NCR_AUDIT_SQL_GET,
    NCR_AUDIT_SQL_PAGES,
    NCR_AUDIT_SQL_FREE,
    NCR_AUDIT_SQL_ENDS,
    NCR_AUDIT_SQL_N
} ncr_audit_sql_e;


struct ncr_audit_s {
    sqlite3       *db;
    sqlite3_stmt  *stmts[NCR_AUDIT_SQL_N];
    char           path[NCR_AUDIT_PATH];
    pid_t          pid;
    int            busy;
    int64_t        disk;
    ncr_msec_t     keep;
    int64_t        deadline;            /* of a search, ms */
    char           error[NCR_AUDIT_ERROR];
};


/* the order is that of ncr_audit_insert() and ncr_audit_give() */

#define NCR_AUDIT_COLUMNS                                                     \
    "time, flags, status, duration, ttft, attempts, input, output,"           \
    " cache_read, cache_write, cost, request_size, response_size,"            \
    " id, provider_id, key, user, account, platform, class, op, model,"       \
    " served, method, uri, address, trail"

#define NCR_AUDIT_NUMBERS  13
#define NCR_AUDIT_WORDS    14

static inline void
ncr_audit_words(ncr_audit_entry_t *e, ncr_str_t **words)
{
    words[0] = &e->id;
    words[1] = &e->provider_id;
    words[2] = &e->key;
    words[3] = &e->user;
    words[4] = &e->account;
    words[5] = &e->platform;
    words[6] = &e->class;
    words[7] = &e->op;
    words[8] = &e->model;
    words[9] = &e->served;
    words[10] = &e->method;
    words[11] = &e->uri;
    words[12] = &e->address;
    words[13] = &e->trail;
}


static inline void
ncr_audit_texts(ncr_audit_entry_t *e, ncr_str_t **texts)
{
    texts[0] = &e->request_headers;
    texts[1] = &e->response_headers;
    texts[2] = &e->request;
    texts[3] = &e->response;
}


/* ncr_audit_file.c */

/* NCR_OK, or NCR_DECLINED: the file at the path is another one */
ncr_int_t ncr_audit_here(ncr_audit_t *audit);

/* a cached statement, reset, without bindings; NULL after an error */
sqlite3_stmt *ncr_audit_stmt(ncr_audit_t *audit, ncr_audit_sql_e sql);

/* to its end; NULL is an error, too */
ncr_int_t ncr_audit_run(ncr_audit_t *audit, sqlite3_stmt *stmt);
ncr_int_t ncr_audit_exec(ncr_audit_t *audit, const char *sql);

/* what SQLite said last; NCR_BAD: the file is broken */
ncr_int_t ncr_audit_fail(ncr_audit_t *audit);

/* a message of our own; NCR_ERROR */
ncr_int_t ncr_audit_say(ncr_audit_t *audit, const char *text);

int64_t ncr_audit_clock(void);


#endif /* _NCR_AUDIT_INT_H_INCLUDED_ */
