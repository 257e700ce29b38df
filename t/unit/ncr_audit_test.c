
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/store/ncr_audit.c"
#include "../../src/store/ncr_audit_file.c"
#include "../../src/store/ncr_audit_search.c"

#include "ncr_str.h"
#include "ncr_test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>


static char      ncr_test_dir[64];
static char      ncr_test_path[128];
static char      ncr_test_error[NCR_AUDIT_ERROR];
static uint64_t  ncr_test_seed = 1;


static void
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


static ncr_audit_t *
ncr_test_open(int64_t disk, ncr_msec_t keep, ncr_uint_t *broken)
{
    ncr_uint_t            b;
    ncr_audit_t          *audit;
    ncr_audit_options_t   options;

    memset(&options, 0, sizeof(options));

    options.path = ncr_test_path;
    options.busy = 2000;
    options.disk = disk;
    options.keep = keep;

    if (ncr_audit_open(&options, &audit, broken ? broken : &b, ncr_test_error)
        != NCR_OK)
    {
        printf("# %s\n", ncr_test_error);
        return NULL;
    }

    return audit;
}


/* a text that no zlib makes smaller */

static ncr_str_t
ncr_test_noise(size_t len)
{
    size_t     i;
    ncr_str_t  text;

    text.data = malloc(len + 1);
    text.len = len;

    for (i = 0; i < len; i++) {
        ncr_test_seed = ncr_test_seed * 6364136223846793005u
                        + 1442695040888963407u;
        text.data[i] = (ncr_char_t) (ncr_test_seed >> 56);
    }

    return text;
}


static void
ncr_test_entry(ncr_audit_entry_t *e, const char *id, const char *key,
    ncr_uint_t status, ncr_msec_t time)
{
    memset(e, 0, sizeof(ncr_audit_entry_t));

    e->id.data = (ncr_char_t *) id;
    e->id.len = strlen(id);
    e->key.data = (ncr_char_t *) key;
    e->key.len = strlen(key);
    e->status = status;
    e->time = time;

    ncr_str_set(&e->provider_id, "req_x");
    ncr_str_set(&e->account, "one");
    ncr_str_set(&e->user, "bob");
    ncr_str_set(&e->request_headers, "Host: a\n");
}


typedef struct {
    ncr_uint_t  n;
    uint64_t    first;
    uint64_t    last;
    ncr_str_t   request;                /* copies of the last one's */
    ncr_str_t   response;
    ncr_uint_t  flags;
    uint64_t    size;
    char        id[64];
} ncr_test_found_t;


static ncr_int_t
ncr_test_handler(void *data, ncr_audit_entry_t *e)
{
    ncr_test_found_t  *f = data;

    f->first = f->n ? f->first : e->number;
    f->last = e->number;
    f->flags = e->flags;
    f->size = e->request_size;
    f->n++;

    ncr_str_copy(f->id, sizeof(f->id), &e->id);

    free(f->request.data);
    free(f->response.data);

    f->request.data = malloc(e->request.len + 1);
    f->request.len = e->request.len;
    memcpy(f->request.data, e->request.len ? e->request.data
                                           : (ncr_char_t *) "",
           e->request.len);

    f->response.data = malloc(e->response.len + 1);
    f->response.len = e->response.len;
    memcpy(f->response.data, e->response.len ? e->response.data
                                             : (ncr_char_t *) "",
           e->response.len);

    return NCR_OK;
}


static ncr_uint_t
ncr_test_search(ncr_audit_t *audit, ncr_audit_query_t *q, ncr_test_found_t *f)
{
    free(f->request.data);
    free(f->response.data);
    memset(f, 0, sizeof(ncr_test_found_t));

    if (q->limit == 0) {
        q->limit = 100;
    }

    if (ncr_audit_search(audit, q, 5000, ncr_test_handler, f) != NCR_OK) {
        printf("# %s\n", ncr_audit_error(audit));
        return 9999;
    }

    return f->n;
}


static ncr_uint_t
ncr_test_all(ncr_audit_t *audit, ncr_test_found_t *f)
{
    ncr_audit_query_t  q;

    memset(&q, 0, sizeof(q));
    q.limit = 100000;

    return ncr_test_search(audit, &q, f);
}


static void
ncr_test_rows(void)
{
    ncr_uint_t           i;
    struct stat          st;
    ncr_audit_t         *audit;
    ncr_test_found_t     f;
    ncr_audit_query_t    q;
    ncr_audit_entry_t    e[4];
    ncr_audit_state_t    state;

    memset(&f, 0, sizeof(f));

    audit = ncr_test_open(0, 0, NULL);
    ncr_test(audit != NULL, "made");
    ncr_test(stat(ncr_test_path, &st) == 0 && (st.st_mode & 07777) == 0600,
             "0600");
    ncr_test(ncr_test_all(audit, &f) == 0, "empty");
    ncr_test(ncr_audit_state(audit, &state) == NCR_OK && state.entries == 0,
             "state of nothing");

    ncr_test_entry(&e[0], "id-1", "alice", 200, 1000);
    ncr_test_entry(&e[1], "id-2", "bob", 429, 2000);
    ncr_test_entry(&e[2], "id-3", "alice", 529, 3000);
    ncr_test_entry(&e[3], "id-4", "alice", 404, 4000);

    e[0].request = ncr_test_noise(5000);
    e[0].response.len = 20000;
    e[0].response.data = malloc(20000);
    memset(e[0].response.data, 'r', 20000);
    e[0].flags = NCR_AUDIT_SAMPLED|NCR_AUDIT_STREAM;
    e[0].request_size = 5000;
    ncr_str_set(&e[1].request, "short");
    ncr_str_set(&e[3].provider_id, "req_other");

    ncr_test(ncr_audit_put(audit, e, 4) == NCR_OK, "four at once");

    memset(&q, 0, sizeof(q));
    ncr_test(ncr_test_search(audit, &q, &f) == 4 && f.first == 4 && f.last == 1,
             "all, the newest first");

    q.ascending = 1;
    q.after = 2;
    ncr_test(ncr_test_search(audit, &q, &f) == 2 && f.first == 3 && f.last == 4,
             "after a number");

    memset(&q, 0, sizeof(q));
    q.before = 3;
    q.limit = 1;
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.last == 2,
             "before a number, one");

    memset(&q, 0, sizeof(q));
    q.key = "alice";
    ncr_test(ncr_test_search(audit, &q, &f) == 3, "by key");
    q.status = 4;
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.last == 4,
             "by key and class of status");

    memset(&q, 0, sizeof(q));
    q.status = 529;
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.last == 3, "by status");

    memset(&q, 0, sizeof(q));
    q.from = 2000;
    q.until = 4000;
    ncr_test(ncr_test_search(audit, &q, &f) == 2 && f.first == 3 && f.last == 2,
             "by time");

    memset(&q, 0, sizeof(q));
    q.account = "two";
    ncr_test(ncr_test_search(audit, &q, &f) == 0, "by another account");
    q.account = "one";
    q.user = "bob";
    ncr_test(ncr_test_search(audit, &q, &f) == 4, "by account and user");

    memset(&q, 0, sizeof(q));
    q.id = "req_other";
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.last == 4,
             "by the provider's id");
    q.id = "id-1' OR '1";
    ncr_test(ncr_test_search(audit, &q, &f) == 0, "an id is no SQL");

    q.id = "id-1";
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.request.len == 0,
             "by id, without texts");
    q.texts = 1;
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.request.len == 5000
             && memcmp(f.request.data, e[0].request.data, 5000) == 0,
             "a body that cannot be made smaller");
    ncr_test(f.response.len == 20000
             && memcmp(f.response.data, e[0].response.data, 20000) == 0,
             "a body that can");
    ncr_test(f.flags == (NCR_AUDIT_SAMPLED|NCR_AUDIT_STREAM)
             && f.size == 5000, "numbers");

    memset(&q, 0, sizeof(q));
    q.number = 2;
    q.texts = 1;
    ncr_test(ncr_test_search(audit, &q, &f) == 1
             && ncr_test_str(f.request, "short"), "by number");

    ncr_test(ncr_audit_state(audit, &state) == NCR_OK && state.entries == 4
             && state.first == 1 && state.last == 4 && state.oldest == 1000
             && state.bytes > 4096, "state");

    q.number = 0;
    q.limit = 100;
    ncr_test(ncr_audit_search(audit, &q, 5000, ncr_test_handler, &f) == NCR_OK,
             "a search");

    free(e[0].request.data);
    free(e[0].response.data);

    /* numbers are not used twice, even if all of them have gone */

    ncr_audit_close(audit);
    audit = ncr_test_open(0, 10, NULL);

    for (i = 0; i < 10 && ncr_audit_tidy(audit, 1000000) == NCR_AGAIN; i++) {
        /* void */
    }

    ncr_test(ncr_test_all(audit, &f) == 0, "all are too old");
    ncr_test_entry(&e[0], "id-5", "alice", 200, 5000000);
    (void) ncr_audit_put(audit, e, 1);
    ncr_test(ncr_test_all(audit, &f) == 1 && f.last == 5, "the next number");

    ncr_audit_close(audit);
    free(f.request.data);
    free(f.response.data);
    ncr_test_clean();
}


static int64_t
ncr_test_bytes(void)
{
    return ncr_audit_size(ncr_test_path, "")
           + ncr_audit_size(ncr_test_path, "-wal");
}


static void
ncr_test_budget(void)
{
    char                 id[32];
    int64_t              most, bytes;
    ncr_uint_t           i, k, ok;
    ncr_audit_t         *audit;
    ncr_test_found_t     f;
    ncr_audit_entry_t    e[8];
    ncr_audit_query_t    q;

    memset(&f, 0, sizeof(f));

    /* 60 MB through a budget of 4 MB */

    audit = ncr_test_open(4 * 1024 * 1024, 0, NULL);
    most = 0;
    ok = 1;

    for (i = 0; i < 200; i++) {

        for (k = 0; k < 8; k++) {
            snprintf(id, sizeof(id), "id");
            ncr_test_entry(&e[k], "id", "alice", 200, (ncr_msec_t) (i + 1));
            e[k].request = ncr_test_noise(k == 7 ? 200000 : 15000 * k);
        }

        ok &= (ncr_audit_put(audit, e, 8) == NCR_OK);

        for (k = 0; k < 8; k++) {
            free(e[k].request.data);
        }

        bytes = ncr_test_bytes();
        most = ncr_max(most, bytes);
    }

    printf("# %lld bytes at most\n", (long long) most);
    ncr_test(ok, "budget: all are taken");
    ncr_test(most <= 4 * 1024 * 1024 + 256 * 1024, "budget: held");
    ncr_test(most > 3 * 1024 * 1024, "budget: and used");
    ncr_test(ncr_test_all(audit, &f) > 40 && f.first == 1600,
             "budget: the newest are there");
    ncr_test(f.last == 1600 - f.n + 1, "budget: the oldest have gone");

    /* one that is too large for it */

    ncr_test_entry(&e[0], "large", "alice", 200, 1000);
    e[0].request = ncr_test_noise(700000);
    ncr_test(ncr_audit_put(audit, e, 1) == NCR_OK, "budget: one too large");
    free(e[0].request.data);

    memset(&q, 0, sizeof(q));
    q.id = "large";
    q.texts = 1;
    ncr_test(ncr_test_search(audit, &q, &f) == 1 && f.request.len == 0
             && (f.flags & NCR_AUDIT_DROPPED), "budget: without its body");

    /* a smaller budget: the disk gets its share back */

    ncr_audit_close(audit);
    audit = ncr_test_open(2 * 1024 * 1024, 0, NULL);

    for (i = 0; i < 1000 && ncr_audit_tidy(audit, 1) == NCR_AGAIN; i++) {
        /* void */
    }

    ncr_test(i < 1000 && ncr_test_bytes() <= 2 * 1024 * 1024,
             "budget: smaller, in pieces");
    ncr_test(ncr_test_all(audit, &f) > 5 && f.first == 1601,
             "budget: smaller, the newest are there");

    /* and by age */

    ncr_audit_close(audit);
    audit = ncr_test_open(2 * 1024 * 1024, 100, NULL);

    for (i = 0; i < 1000 && ncr_audit_tidy(audit, 1050) == NCR_AGAIN; i++) {
        /* void */
    }

    ncr_test(ncr_test_all(audit, &f) == 1 && f.first == 1601,
             "age: what is too old has gone");
    ncr_test(ncr_test_bytes() < 1300 * 1024, "age: and its room, too");

    ncr_audit_close(audit);
    free(f.request.data);
    free(f.response.data);
    ncr_test_clean();
}


/* deleted texts are not left in free pages */

static void
ncr_test_gone(void)
{
    FILE                *file;
    size_t               n, i;
    ncr_uint_t           found;
    ncr_audit_t         *audit;
    ncr_audit_entry_t    e;

    static char  buf[1024 * 1024];

    audit = ncr_test_open(0, 10, NULL);
    ncr_test_entry(&e, "id", "alice", 200, 1);
    ncr_str_set(&e.request, "Zq9xv-this-is-to-go");
    (void) ncr_audit_put(audit, &e, 1);
    ncr_test_entry(&e, "id", "alice", 200, 1000);
    (void) ncr_audit_put(audit, &e, 1);
    (void) ncr_audit_tidy(audit, 1005);

    file = fopen(ncr_test_path, "r");
    n = fread(buf, 1, sizeof(buf), file);
    fclose(file);

    found = 0;

    for (i = 0; i + 19 <= n; i++) {
        found |= (memcmp(buf + i, "Zq9xv-this-is-to-go", 19) == 0);
    }

    ncr_test(n > 0 && !found, "what was deleted is not in the file");

    ncr_audit_close(audit);
    ncr_test_clean();
}


static void
ncr_test_write(size_t at, const char *text)
{
    FILE  *file;

    file = fopen(ncr_test_path, "r+");

    if (file == NULL) {
        file = fopen(ncr_test_path, "w");
    }

    (void) fseek(file, (long) at, SEEK_SET);
    fputs(text, file);
    fclose(file);
}


static void
ncr_test_trouble(void)
{
    int                   i;
    char                  path[256];
    sqlite3              *db;
    ncr_int_t             rc;
    ncr_uint_t            broken;
    ncr_audit_t          *audit, *other;
    ncr_test_found_t      f;
    ncr_audit_entry_t     e;

    memset(&f, 0, sizeof(f));
    ncr_test_entry(&e, "id", "alice", 200, 1000);

    /* another's files */

    ncr_test_write(0, "this is my diary, leave it alone");
    ncr_test(ncr_test_open(0, 0, NULL) == NULL, "no database: refused");

    unlink(ncr_test_path);
    sqlite3_open(ncr_test_path, &db);
    sqlite3_exec(db, "CREATE TABLE t (a)", NULL, NULL, NULL);
    sqlite3_close(db);
    ncr_test(ncr_test_open(0, 0, NULL) == NULL
             && strstr(ncr_test_error, "is not an audit log"),
             "another database: refused");

    ncr_test_clean();

    (void) mkdir(ncr_test_path, 0700);
    ncr_test(ncr_test_open(0, 0, NULL) == NULL, "a directory: refused");
    (void) rmdir(ncr_test_path);

    /* one of ours, broken */

    audit = ncr_test_open(0, 0, NULL);
    (void) ncr_audit_put(audit, &e, 1);
    ncr_audit_close(audit);

    for (i = 4096 - 100; i > 110; i -= 16) {
        ncr_test_write((size_t) i, "BROKEN BROKEN");
    }

    audit = ncr_test_open(0, 0, &broken);
    ncr_test(audit != NULL && broken, "broken: another one is made");
    ncr_test(audit && ncr_audit_put(audit, &e, 1) == NCR_OK
             && ncr_test_all(audit, &f) == 1, "broken: and used");
    snprintf(path, sizeof(path), "%s-broken", ncr_test_path);
    ncr_test(access(path, F_OK) == 0, "broken: the old one is set aside");

    /* while it is open: deleted, replaced */

    unlink(ncr_test_path);
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_DECLINED
             && strstr(ncr_audit_error(audit), "deleted"), "deleted: told");
    ncr_audit_close(audit);
    audit = ncr_test_open(0, 0, &broken);
    ncr_test(audit && !broken && ncr_audit_put(audit, &e, 1) == NCR_OK,
             "deleted: another one is made");

    /* full, as SQLite tells it of a disk */

    (void) ncr_audit_exec(audit, "PRAGMA max_page_count = 60");
    e.request = ncr_test_noise(400000);
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_ERROR
             && strstr(ncr_audit_error(audit), "full"), "full: told");
    ncr_test(ncr_test_all(audit, &f) == 1, "full: what was there is there");
    (void) ncr_audit_exec(audit, "PRAGMA max_page_count = 6000");
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_OK
             && ncr_test_all(audit, &f) == 2, "full: room again");
    free(e.request.data);
    ncr_str_null(&e.request);

    /* busy */

    sqlite3_open(ncr_test_path, &db);
    sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    audit->busy = 50;
    sqlite3_busy_timeout(audit->db, 50);
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_ERROR
             && strstr(ncr_audit_error(audit), "locked"), "busy: told");
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_OK, "busy: no more");

    /* a reader keeps the log from being written back, and no more */

    sqlite3_exec(db, "BEGIN; SELECT count(*) FROM entries", NULL, NULL, NULL);
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_OK,
             "a reader: in nobody's way");
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);

    /* an entry that lies */

    sqlite3_exec(db, "UPDATE entries SET request = x'01ffffff7f00'", NULL,
                 NULL, NULL);
    sqlite3_close(db);
    rc = NCR_OK;

    {
        ncr_audit_query_t  q;

        memset(&q, 0, sizeof(q));
        q.limit = 10;
        q.texts = 1;
        rc = ncr_audit_search(audit, &q, 5000, ncr_test_handler, &f);
    }

    ncr_test(rc == NCR_BAD, "a length that lies");

    /* opened twice, in two processes */

    other = NULL;

    if (fork() == 0) {
        other = ncr_test_open(0, 0, NULL);
        _exit(other && ncr_audit_put(other, &e, 1) == NCR_OK ? 0 : 1);
    }

    (void) wait(&i);
    ncr_test(i == 0, "another process writes, too");
    ncr_test(ncr_test_all(audit, &f) == 5, "and all see it");

    audit->pid++;
    ncr_test(ncr_audit_put(audit, &e, 1) == NCR_ERROR, "not after a fork");
    audit->pid--;

    ncr_audit_close(audit);
    free(f.request.data);
    free(f.response.data);
    ncr_test_clean();
}


/* killed at any time, it is sound, and what was acknowledged is there */

static void
ncr_test_kills(void)
{
    int                  i, fds[2], status;
    pid_t                pid;
    uint64_t             n, told;
    sqlite3             *db;
    ncr_uint_t           ok, broken;
    ncr_audit_t         *audit;
    sqlite3_stmt        *stmt;
    ncr_test_found_t     f;
    ncr_audit_entry_t    e;

    memset(&f, 0, sizeof(f));
    ok = 1;

    for (i = 0; i < 20 && ok; i++) {

        if (pipe(fds) == -1) {
            break;
        }

        pid = fork();

        if (pid == 0) {
            (void) close(fds[0]);
            audit = ncr_test_open(2 * 1024 * 1024, 0, NULL);
            ncr_test_entry(&e, "id", "alice", 200, 1000);
            ncr_test_seed = (uint64_t) i + 1;
            e.request = ncr_test_noise(30000);

            for (n = 1; audit && ncr_audit_put(audit, &e, 1) == NCR_OK; n++) {
                (void) !write(fds[1], &n, sizeof(n));
            }

            _exit(1);
        }

        (void) close(fds[1]);

        for (n = 0; n < (uint64_t) (i % 7) * 20; n++) {
            if (read(fds[0], &told, sizeof(told)) <= 0) {
                break;
            }
        }

        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, &status, 0);
        (void) close(fds[0]);

        sqlite3_open(ncr_test_path, &db);
        stmt = NULL;
        ok = (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL)
              == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW
              && strcmp((char *) sqlite3_column_text(stmt, 0), "ok") == 0);
        sqlite3_finalize(stmt);
        sqlite3_close(db);
    }

    ncr_test(ok && i == 20, "kill -9: the file is sound");

    audit = ncr_test_open(2 * 1024 * 1024, 0, &broken);
    ncr_test(audit && !broken && ncr_test_all(audit, &f) > 20,
             "kill -9: and has its entries");

    ncr_audit_close(audit);
    free(f.request.data);
    free(f.response.data);
    ncr_test_clean();
}


static void
ncr_test_sampling(void)
{
    char        buf[40];
    ncr_str_t   id;
    ncr_uint_t  i, n, again;

    id.data = (ncr_char_t *) buf;
    n = 0;
    again = 0;

    for (i = 0; i < 10000; i++) {
        id.len = (size_t) snprintf(buf, sizeof(buf),
                                   "0123456789abcdef01234567%08x",
                                   (unsigned) i);
        n += ncr_audit_sampled(&id, 1000);
        again += (ncr_audit_sampled(&id, 1000)
                  && !ncr_audit_sampled(&id, 2000));
    }

    printf("# %u of 10000\n", (unsigned) n);
    ncr_test(n > 850 && n < 1150, "sampling: 10% of ids in a row");
    ncr_test(again == 0, "sampling: who is among 10% is among 20%");
    ncr_test(!ncr_audit_sampled(&id, 0) && ncr_audit_sampled(&id, 10000),
             "sampling: none and all");
}


int
main(void)
{
    snprintf(ncr_test_dir, sizeof(ncr_test_dir), "/tmp/ncr_audit_XXXXXX");

    if (mkdtemp(ncr_test_dir) == NULL) {
        return 1;
    }

    snprintf(ncr_test_path, sizeof(ncr_test_path), "%s/relay.db-audit",
             ncr_test_dir);

    ncr_test_sampling();
    ncr_test_rows();
    ncr_test_budget();
    ncr_test_gone();
    ncr_test_trouble();
    ncr_test_kills();

    ncr_test_clean();
    (void) rmdir(ncr_test_dir);

    return ncr_test_done();
}
