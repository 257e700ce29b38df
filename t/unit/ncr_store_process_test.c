
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Several processes at one file, some of them killed; and many accounts. */


#include "ncr_store_test.h"

#include <poll.h>


#define NCR_TEST_WRITERS   2
#define NCR_TEST_CHANGES   100
#define NCR_TEST_KILLS     40
#define NCR_TEST_ACCOUNTS  2000


/* raises the number in an account's settings by one, as often as it takes */

static ncr_int_t
ncr_test_raise(ncr_store_t *store, const char *name)
{
    char                 settings[32];
    uint64_t             version;
    ncr_int_t            rc;
    ncr_store_account_t  row, found;

    do {
        rc = ncr_store_find(store, name, &found);

        if (rc != NCR_OK) {
            return rc;
        }

        snprintf(settings, sizeof(settings), "%d",
                 (int) strtol(found.settings, NULL, 10) + 1);

        version = found.version;
        ncr_store_row_free(&found);

        memset(&row, 0, sizeof(row));
        snprintf(row.name, sizeof(row.name), "%s", name);
        row.settings = settings;

        rc = ncr_store_put(store, &row, &version, 1);

    } while (rc == NCR_DECLINED);

    return rc;
}


static void
ncr_test_writer(void)
{
    int           i;
    ncr_store_t  *store;

    store = ncr_test_open();

    if (store == NULL) {
        _exit(1);
    }

    for (i = 0; i < NCR_TEST_CHANGES; i++) {
        if (ncr_test_raise(store, "counter") != NCR_OK) {
            printf("# %s\n", ncr_store_error(store));
            fflush(stdout);
            _exit(2);
        }
    }

    ncr_store_close(store);
    _exit(0);
}


typedef struct {
    uint64_t    last;
    int         value;
    ncr_uint_t  seen;
    ncr_uint_t  backwards;
} ncr_test_reader_t;


static ncr_int_t
ncr_test_reader(void *data, ncr_store_account_t *row)
{
    int                 value;
    ncr_test_reader_t  *reader = data;

    value = (int) strtol(row->settings, NULL, 10);

    reader->seen++;
    reader->backwards += (row->seq <= reader->last || value < reader->value);
    reader->last = row->seq;
    reader->value = value;

    return NCR_OK;
}


/* the parent reads on, and must end with what was written last */

static void
ncr_test_writers(void)
{
    int                   i, left, rc, status;
    pid_t                 pid[NCR_TEST_WRITERS];
    uint64_t              seq, version;
    ncr_store_t          *store;
    ncr_test_reader_t     reader;
    ncr_store_account_t   row;

    store = ncr_test_open();

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "counter");
    row.settings = (char *) "0";
    version = 0;
    (void) ncr_store_put(store, &row, &version, 1);
    ncr_store_close(store);

    fflush(stdout);

    for (i = 0; i < NCR_TEST_WRITERS; i++) {
        pid[i] = fork();

        if (pid[i] == 0) {
            ncr_test_writer();
        }
    }

    store = ncr_test_open();
    memset(&reader, 0, sizeof(reader));
    seq = 0;
    rc = 0;
    left = NCR_TEST_WRITERS;

    while (left) {

        for (i = 0; i < NCR_TEST_WRITERS; i++) {
            if (pid[i] > 0 && waitpid(pid[i], &status, WNOHANG) == pid[i]) {
                rc |= !WIFEXITED(status) || WEXITSTATUS(status);
                pid[i] = 0;
                left--;
            }
        }

        if (ncr_store_changed(store) == NCR_OK
            && ncr_store_load(store, &seq, ncr_test_reader, &reader) != NCR_OK)
        {
            printf("# %s\n", ncr_store_error(store));
            rc = 1;
        }

        (void) usleep(500);
    }

    ncr_test(rc == 0, "two processes write, a third one reads");
    ncr_test(reader.backwards == 0 && reader.seen > 0,
             "nothing goes backwards");

    if (ncr_store_changed(store) == NCR_OK) {
        (void) ncr_store_load(store, &seq, ncr_test_reader, &reader);
    }

    ncr_test(reader.value == NCR_TEST_WRITERS * NCR_TEST_CHANGES,
             "no change is lost, and the last one is seen");
    ncr_test(seq == NCR_TEST_WRITERS * NCR_TEST_CHANGES + 1,
             "one number for each change");
    ncr_test(ncr_test_intact(ncr_test_path), "intact");

    printf("# %d changes, %d loads\n", NCR_TEST_WRITERS * NCR_TEST_CHANGES,
           (int) reader.seen);

    ncr_store_close(store);
    ncr_test_clean();
}


/*
 * A writer tells of each change that was acknowledged by a byte in a pipe;
 * then it is killed somewhere, and all that it told of must be there.
 */

static void
ncr_test_victim(int fd)
{
    ncr_int_t     rc;
    ncr_store_t  *store;

    store = ncr_test_open();

    if (store == NULL) {
        _exit(1);
    }

    for ( ;; ) {
        rc = ncr_test_raise(store, "counter");

        if (rc != NCR_OK) {
            printf("# %s\n", ncr_store_error(store));
            fflush(stdout);
            _exit(2);
        }

        if (write(fd, "x", 1) != 1) {
            _exit(3);
        }
    }
}


static int
ncr_test_counter(void)
{
    int                   value;
    ncr_store_t          *store;
    ncr_store_account_t   row;

    store = ncr_test_open();

    if (store == NULL || ncr_store_find(store, "counter", &row) != NCR_OK) {
        ncr_store_close(store);
        return -1;
    }

    value = (int) strtol(row.settings, NULL, 10);

    ncr_store_row_free(&row);
    ncr_store_close(store);

    return value;
}


static void
ncr_test_kills(void)
{
    int                   i, k, n, told, value, bad, status, fd[2];
    char                  buf[4096];
    pid_t                 pid[NCR_TEST_WRITERS];
    uint64_t              version;
    ncr_store_t          *store;
    ncr_store_account_t   row;

    store = ncr_test_open();
    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "counter");
    row.settings = (char *) "0";
    version = 0;
    (void) ncr_store_put(store, &row, &version, 1);
    ncr_store_close(store);

    bad = 0;
    told = 0;
    value = 0;

    srand((unsigned) getpid());
    fflush(stdout);

    for (i = 0; i < NCR_TEST_KILLS; i++) {

        (void) !pipe(fd);

        for (k = 0; k < NCR_TEST_WRITERS; k++) {
            pid[k] = fork();

            if (pid[k] == 0) {
                (void) close(fd[0]);
                ncr_test_victim(fd[1]);
            }
        }

        (void) close(fd[1]);

        /* from the first change on, or its opening would be all one sees */

        n = (int) read(fd[0], buf, 1);
        told += ncr_max(n, 0);

        (void) usleep((useconds_t) (rand() % 25000));

        for (k = 0; k < NCR_TEST_WRITERS; k++) {
            (void) kill(pid[k], SIGKILL);

            /* one that had an error of its own was not killed */

            if (waitpid(pid[k], &status, 0) != pid[k] || !WIFSIGNALED(status))
            {
                bad++;
            }
        }

        while ((n = (int) read(fd[0], buf, sizeof(buf))) > 0) {
            told += n;
        }

        (void) close(fd[0]);

        /* changes may be there that they did not come to tell of */

        value = ncr_test_counter();

        if (value < told || value > told + NCR_TEST_WRITERS * (i + 1)
            || !ncr_test_intact(ncr_test_path))
        {
            printf("# round %d: %d told, %d found\n", i, told, value);
            bad++;
        }
    }

    ncr_test(bad == 0, "what was acknowledged survives the writers' death");
    ncr_test(told >= NCR_TEST_KILLS, "each round has written");

    printf("# %d deaths, %d changes told of, %d found\n",
           NCR_TEST_KILLS * NCR_TEST_WRITERS, told, value);

    ncr_test_clean();
}


/*
 * The file is deleted again and again.  Each process has an account of its
 * own, remembers what was acknowledged, and writes it back to the file that
 * comes next, which any of them makes.
 */

static void
ncr_test_survivor(int n, int until, int result)
{
    int                   i;
    char                  settings[32], text[32];
    uint64_t              version;
    ncr_int_t             rc;
    ncr_store_t          *store;
    struct pollfd         end;
    ncr_store_account_t   row, kept;

    (void) alarm(120);

    end.fd = until;
    end.events = POLLIN;

    memset(&kept, 0, sizeof(kept));
    snprintf(kept.name, sizeof(kept.name), "survivor-%d", n);
    kept.settings = settings;
    kept.secret = settings;
    settings[0] = '\0';

    store = NULL;
    i = 0;

    while (i < NCR_TEST_CHANGES || poll(&end, 1, 0) == 0) {

        if (store == NULL) {
            store = ncr_test_open();

            /* deleted while it was being opened */

            if (store == NULL) {
                continue;
            }

            if (kept.version
                && ncr_store_restore(store, &kept, 1) != NCR_OK)
            {
                ncr_store_close(store);
                store = NULL;
                continue;
            }
        }

        row = kept;
        row.settings = text;
        row.secret = text;
        snprintf(text, sizeof(text), "%d", i + 1);
        version = kept.version;

        rc = ncr_store_put(store, &row, &version, 1);

        if (rc == NCR_OK) {
            memcpy(settings, text, sizeof(text));
            kept.version = version;
            kept.id = row.id;
            kept.seq = row.seq;
            i++;
            continue;
        }

        if (rc != NCR_STORE_GONE) {
            printf("# %d: %s\n", (int) rc, ncr_store_error(store));
            fflush(stdout);
            _exit(1);
        }

        ncr_store_close(store);
        store = NULL;
    }

    /* the last one may be lost to a file that nobody has looked at since */

    while (store == NULL || ncr_store_restore(store, &kept, 1) != NCR_OK) {
        ncr_store_close(store);
        store = ncr_test_open();
    }

    ncr_store_close(store);
    _exit(write(result, &i, sizeof(i)) != sizeof(i));
}


static void
ncr_test_deletions(void)
{
    int                   i, k, rc, deleted, good, until[2];
    int                   value[NCR_TEST_WRITERS];
    int                   result[NCR_TEST_WRITERS][2];
    char                  name[32];
    pid_t                 pid[NCR_TEST_WRITERS];
    ncr_store_t          *store;
    ncr_store_account_t   row;

    (void) !pipe(until);
    fflush(stdout);

    for (i = 0; i < NCR_TEST_WRITERS; i++) {
        (void) !pipe(result[i]);

        pid[i] = fork();

        if (pid[i] == 0) {
            (void) close(until[1]);
            ncr_test_survivor(i, until[0], result[i][1]);
        }
    }

    deleted = 0;

    for (k = 0; k < 2000 && deleted < 10; k++) {
        (void) usleep(10000);
        deleted += (unlink(ncr_test_path) == 0);
    }

    /* nobody would restore the account of one that has left */

    (void) close(until[1]);

    rc = 0;

    for (i = 0; i < NCR_TEST_WRITERS; i++) {
        value[i] = -1;
        rc |= ncr_test_wait(pid[i]);
        (void) !read(result[i][0], &value[i], sizeof(value[i]));
        (void) close(result[i][0]);
        (void) close(result[i][1]);
    }

    (void) close(until[0]);

    ncr_test(rc == 0, "the file is deleted again and again");

    store = ncr_test_open();
    good = 0;

    for (i = 0; i < NCR_TEST_WRITERS && store; i++) {
        snprintf(name, sizeof(name), "survivor-%d", i);

        if (ncr_store_find(store, name, &row) == NCR_OK) {
            good += (strtol(row.settings, NULL, 10) == value[i]
                     && strtol(row.secret, NULL, 10) == value[i]);
            ncr_store_row_free(&row);
        }
    }

    ncr_test(good == NCR_TEST_WRITERS, "nothing that was acknowledged is lost");
    ncr_test(deleted == 10 && ncr_test_intact(ncr_test_path), "intact");

    printf("# deleted %d times\n", deleted);

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_locks(void)
{
    int       fd, other, p[2];
    char      ch;
    pid_t     pid;
    uint64_t  id;

    static uint64_t  ids[] = { 1, 2, 1000000, INT64_MAX - 1 };

    fd = ncr_store_lock_open(ncr_test_path);
    other = ncr_store_lock_open(ncr_test_path);

    ncr_test(fd != -1 && other != -1, "the file of leases");

    for (id = 0; id < 4; id++) {
        if (ncr_store_lock(fd, ids[id]) != NCR_OK
            || ncr_store_lock(other, ids[id]) != NCR_DECLINED)
        {
            break;
        }
    }

    ncr_test(id == 4, "one has each lock, the other does not");
    ncr_test(ncr_store_lock(other, 3) == NCR_OK, "but the other's lock");
    ncr_store_unlock(fd, 2);
    ncr_test(ncr_store_lock(other, 2) == NCR_OK
             && ncr_store_lock(other, 1) == NCR_DECLINED, "given back");
    ncr_test(ncr_store_lock(fd, UINT64_MAX) == NCR_ERROR, "no such id");
    ncr_store_unlock(fd, UINT64_MAX);

    (void) close(other);
    ncr_test(ncr_store_lock(fd, 3) == NCR_OK
             && ncr_store_lock(fd, 2) == NCR_OK, "closed");

    /* killed */

    (void) !pipe(p);
    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        other = ncr_store_lock_open(ncr_test_path);
        ch = (ncr_store_lock(other, 50) == NCR_OK
              && ncr_store_lock(other, 1) == NCR_DECLINED) ? 'y' : 'n';
        (void) !write(p[1], &ch, 1);
        (void) pause();
        _exit(0);
    }

    ch = '-';
    (void) !read(p[0], &ch, 1);
    ncr_test(ch == 'y', "in another process");
    ncr_test(ncr_store_lock(fd, 50) == NCR_DECLINED, "held by it");
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    ncr_test(ncr_store_lock(fd, 50) == NCR_OK, "and dead with it");

    (void) close(p[0]);
    (void) close(p[1]);

    /* swept away */

    ncr_test_clean();
    ncr_test(ncr_store_lock(fd, 7) == NCR_ERROR && errno == ESTALE,
             "a file that was deleted locks nothing");
    (void) close(fd);

    ncr_test(ncr_store_lock_open("/tmp/ncr_store_nowhere/store.db") == -1
             && errno == ENOENT, "no directory");
    ncr_test_clean();
}


/* the writer's lock dies with its process, too */

static void
ncr_test_flock(void)
{
    int           left, p[2];
    char          ch;
    pid_t         pid;
    ncr_store_t  *store;

    (void) !pipe(p);
    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        store = ncr_test_open();
        ch = (store && ncr_store_write(store) == NCR_OK) ? 'y' : 'n';
        (void) !write(p[1], &ch, 1);
        (void) pause();
        _exit(0);
    }

    ch = '-';
    (void) !read(p[0], &ch, 1);
    ncr_test(ch == 'y', "another process is in the middle of a change");
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);

    store = ncr_test_open();
    ncr_test(store && ncr_store_flock(store, &left) == NCR_OK && left > 0,
             "is killed, and its lock is free");
    ncr_store_funlock(store);

    /* over a fork a handle is of no use */

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        _exit(ncr_store_changed(store) == NCR_ERROR
              && strstr(ncr_store_error(store), "before a fork") ? 0 : 1);
    }

    ncr_test(ncr_test_wait(pid) == 0, "a handle is not carried over a fork");

    ncr_store_close(store);
    (void) close(p[0]);
    (void) close(p[1]);
    ncr_test_clean();
}


static ncr_int_t
ncr_test_nothing(void *data, ncr_store_account_t *row)
{
    *(int *) data += (strlen(row->access) == 108);

    return NCR_OK;
}


static void
ncr_test_many(void)
{
    int                   i, n;
    char                  token[109], settings[513];
    int64_t               start, took;
    uint64_t              seq;
    ncr_int_t             rc;
    ncr_store_t          *store;
    ncr_store_account_t   row;

    store = ncr_test_open();

    memset(token, 't', 108);
    token[108] = '\0';
    memset(settings, 's', 512);
    settings[512] = '\0';

    memset(&row, 0, sizeof(row));
    row.settings = settings;
    row.secret = (char *) "";
    row.proxy = (char *) "http://user:password@proxy:3128";
    row.access = token;
    row.refresh = token;
    row.scopes = (char *) "user:inference user:profile";
    row.meta = (char *) "{\"email\":\"somebody@example.com\"}";
    row.reason = (char *) "";

    /* in one transaction, to be quick */

    rc = ncr_store_write(store);

    for (i = 0; i < NCR_TEST_ACCOUNTS && rc == NCR_OK; i++) {
        snprintf(row.name, sizeof(row.name), "account-%d", i);
        row.id = (uint64_t) i + 1;
        rc = ncr_store_row_save(store, &row, 0);
    }

    rc = ncr_store_write_end(store, rc);
    ncr_store_close(store);

    ncr_test(rc == NCR_OK, "many accounts");

    n = 0;
    seq = 0;
    start = ncr_store_clock();

    store = ncr_test_open();
    took = ncr_store_clock() - start;

    rc = store ? ncr_store_load(store, &seq, ncr_test_nothing, &n)
               : NCR_ERROR;

    ncr_test(rc == NCR_OK && n == NCR_TEST_ACCOUNTS
             && seq == NCR_TEST_ACCOUNTS, "are loaded");

    printf("# %d accounts: opened in %d ms, loaded in %d ms\n",
           NCR_TEST_ACCOUNTS, (int) took,
           (int) (ncr_store_clock() - start - took));

    ncr_test(ncr_store_clock() - start < 5000, "in little time");

    start = ncr_store_clock();

    for (i = 0, n = 0; i < 1000; i++) {
        n += (ncr_store_changed(store) == NCR_DECLINED);
    }

    printf("# to ask whether something has changed: %d us\n",
           (int) (ncr_store_clock() - start));

    ncr_test(n >= 999, "nothing has changed, a thousand times");

    ncr_store_close(store);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_writers();
    ncr_test_kills();
    ncr_test_deletions();
    ncr_test_locks();
    ncr_test_flock();
    ncr_test_many();

    ncr_test_end();

    return ncr_test_done();
}
