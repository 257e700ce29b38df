
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The ledger in one piece, a directory to try it in, records to put there. */


#ifndef _NCR_LEDGER_TEST_H_INCLUDED_
#define _NCR_LEDGER_TEST_H_INCLUDED_


#include "../../src/store/ncr_ledger.c"
#include "../../src/store/ncr_ledger_drain.c"
#include "../../src/store/ncr_ledger_keep.c"
#include "../../src/store/ncr_ledger_names.c"
#include "../../src/store/ncr_ledger_rows.c"
#include "../../src/store/ncr_ledger_schema.c"
#include "../../src/store/ncr_ledger_sums.c"

#include "ncr_test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>


#define NCR_TEST_RING  (1024 * 1024)

/* 2026-11-21T15:00:00Z */
#define NCR_TEST_NOW   ((ncr_msec_t) 1795273200 * 1000)


static char         ncr_test_dir[64];
static char         ncr_test_path[128];
static char         ncr_test_error[NCR_LEDGER_ERROR];
static ncr_ring_t  *ncr_test_ring;


static inline void
ncr_test_set(ncr_str_t *s, const char *text)
{
    s->data = (ncr_char_t *) (uintptr_t) text;
    s->len = strlen(text);
}


static inline void
ncr_test_begin(void)
{
    snprintf(ncr_test_dir, sizeof(ncr_test_dir), "/tmp/ncr_ledger_XXXXXX");

    if (mkdtemp(ncr_test_dir) == NULL) {
        perror("mkdtemp()");
        exit(1);
    }

    snprintf(ncr_test_path, sizeof(ncr_test_path), "%s/relay.db-usage",
             ncr_test_dir);

    ncr_test_ring = mmap(NULL, NCR_TEST_RING, PROT_READ|PROT_WRITE,
                         MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (ncr_test_ring == MAP_FAILED) {
        perror("mmap()");
        exit(1);
    }

    ncr_ring_init(ncr_test_ring, NCR_TEST_RING, 4711);
}


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
    (void) munmap(ncr_test_ring, NCR_TEST_RING);
}


static inline ncr_ledger_t *
ncr_test_open(const ncr_tz_t *tz)
{
    ncr_ledger_t          *ledger;
    ncr_ledger_options_t   options;

    memset(&options, 0, sizeof(options));

    options.path = ncr_test_path;
    options.tz = tz;
    options.busy = 100;
    options.create = 1;

    if (ncr_ledger_open(&options, &ledger, ncr_test_error) != NCR_OK) {
        printf("# %s\n", ncr_test_error);
        return NULL;
    }

    return ledger;
}


static inline ncr_tz_t *
ncr_test_zone(const char *name)
{
    FILE        *file;
    char         path[256];
    ncr_tz_t    *tz;
    ncr_str_t    text;
    ncr_char_t   buf[65536];

    snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);

    file = fopen(path, "rb");

    if (file == NULL) {
        printf("Bail out! no %s\n", path);
        exit(1);
    }

    text.data = buf;
    text.len = fread(buf, 1, sizeof(buf), file);
    fclose(file);

    if (ncr_tz_read(&tz, &text) != NCR_OK) {
        printf("Bail out! %s cannot be read\n", path);
        exit(1);
    }

    return tz;
}


static inline uint64_t
ncr_test_put(ncr_record_t *rec)
{
    size_t      len;
    ncr_char_t  buf[NCR_RECORD_MAX];

    len = ncr_record_pack(buf, sizeof(buf), rec);

    return ncr_ring_put(ncr_test_ring, buf, len);
}


static inline ncr_uint_t
ncr_test_drain(ncr_ledger_t *ledger)
{
    ncr_uint_t  n, all;

    all = 0;

    do {
        if (ncr_ledger_drain(ledger, ncr_test_ring, 500, &n) != NCR_OK) {
            printf("# %s\n", ncr_ledger_error(ledger));
            return UINTPTR_MAX;
        }

        all += n;

    } while (n);

    return all;
}


/* a number of a query of its own */

static inline int64_t
ncr_test_ask(ncr_ledger_t *ledger, const char *sql)
{
    int64_t        n;
    sqlite3_stmt  *stmt;

    n = -1;

    if (sqlite3_prepare_v2(ledger->db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        printf("# %s\n", sqlite3_errmsg(ledger->db));
        return -1;
    }

    if (sqlite3_step(stmt) == SQLITE_ROW) {
        n = sqlite3_column_int64(stmt, 0);
    }

    sqlite3_finalize(stmt);

    return n;
}


static inline void
ncr_test_record(ncr_record_t *rec, ncr_msec_t time)
{
    memset(rec, 0, sizeof(ncr_record_t));

    rec->time = time;
    rec->key_id = 7;
    rec->owner = 8;

    ncr_test_set(&rec->id, "5f2c7d1e9a8b4c3d5f2c7d1e9a8b4c3d");
    ncr_test_set(&rec->key, "alice");
    ncr_test_set(&rec->user, "alice@example.com");
    ncr_test_set(&rec->account, "max-1");
    ncr_test_set(&rec->platform, "claude");
    ncr_test_set(&rec->dialect, "anthropic");
    ncr_test_set(&rec->op, "messages");
    ncr_test_set(&rec->model, "claude-opus-4-8");
    ncr_test_set(&rec->served, "claude-opus-4-8");
    ncr_test_set(&rec->class, "ok");

    rec->status = 200;
    rec->attempts = 1;
    rec->duration = 1000;
    rec->ttft = 200;
    rec->permille = 1000;
    rec->usage.input = 10;
    rec->usage.output = 20;
    rec->cost = 1500;
    rec->rated = 1500;
    rec->nparts = 1;
    rec->parts[0].usage = rec->usage;
    strcpy(rec->parts[0].model, "claude-opus-4-8");
}


#endif /* _NCR_LEDGER_TEST_H_INCLUDED_ */
