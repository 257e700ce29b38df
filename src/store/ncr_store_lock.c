
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Files beside the store and the locks on them: "-lock", taken by whoever
 * writes, and "-lease", a byte for each account.  All of these die with their
 * process.
 *
 * These files are opened by root in directories that may belong to somebody
 * else: a link is not followed, and only what was made here is given away.
 */


#include "ncr_store_int.h"


#define NCR_STORE_LOCK_PAUSE  1000000   /* ns */


static size_t ncr_store_directory(const char *path, char *dir, size_t size);
static ncr_int_t ncr_store_lock_file(ncr_store_t *store);
static int64_t ncr_store_clock(void);
static struct flock ncr_store_lease(short type, uint64_t id);


ncr_int_t
ncr_store_paths(ncr_store_t *store)
{
    if (store->path[0] == '\0') {
        return ncr_store_say(store, "has no path");
    }

    store->real = ncr_store_real(store->path);

    if (store->real == NULL) {
        return ncr_store_say_errno(store, "cannot be opened");
    }

    store->lock_path = ncr_store_concat(store->real, "-lock");

    if (store->lock_path == NULL) {
        return ncr_store_say(store, "cannot be opened: out of memory");
    }

    return NCR_OK;
}


/* two ways to one file must lead to the same lock, even before it exists */

char *
ncr_store_real(const char *path)
{
    char        *real, *dir;
    char         buf[4096];
    size_t       len;
    const char  *base;

    real = realpath(path, NULL);

    if (real || errno != ENOENT) {
        return real;
    }

    len = ncr_store_directory(path, buf, sizeof(buf));

    if (len == 0) {
        errno = ENAMETOOLONG;
        return NULL;
    }

    base = strrchr(path, '/');
    base = base ? base + 1 : path;

    if (base[0] == '\0') {
        errno = EISDIR;
        return NULL;
    }

    dir = realpath(buf, NULL);

    if (dir == NULL) {
        return NULL;
    }

    len = strlen(dir) + strlen(base) + 2;
    real = malloc(len);

    if (real) {
        snprintf(real, len, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, base);
    }

    free(dir);

    return real;
}


char *
ncr_store_concat(const char *path, const char *suffix)
{
    char    *text;
    size_t   len;

    len = strlen(path) + strlen(suffix) + 1;
    text = malloc(len);

    if (text) {
        snprintf(text, len, "%s%s", path, suffix);
    }

    return text;
}


/* its length, 0 if there is no room for it */

static size_t
ncr_store_directory(const char *path, char *dir, size_t size)
{
    size_t       len;
    const char  *slash;

    slash = strrchr(path, '/');

    if (slash == NULL) {
        path = ".";
        len = 1;

    } else {
        len = (slash == path) ? 1 : (size_t) (slash - path);
    }

    if (len >= size) {
        return 0;
    }

    memcpy(dir, path, len);
    dir[len] = '\0';

    return len;
}


int
ncr_store_beside(const char *path, int flags)
{
    int          fd, err, tries;
    struct stat  st;

    flags |= O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK;

    for (tries = 0; tries < 100; tries++) {

        fd = open(path, flags);

        if (fd != -1) {

            if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
                return fd;
            }

            (void) close(fd);
            errno = EINVAL;

            return -1;
        }

        if (errno != ENOENT) {
            return -1;
        }

        fd = open(path, flags|O_CREAT|O_EXCL, 0600);

        if (fd != -1) {

            if (ncr_store_give(fd, path) == NCR_OK) {
                return fd;
            }

            err = errno;
            (void) close(fd);
            (void) unlink(path);
            errno = err;

            return -1;
        }

        if (errno != EEXIST) {
            return -1;
        }
    }

    return -1;
}


ncr_int_t
ncr_store_give(int fd, const char *path)
{
    char         dir[4096];
    struct stat  st;

    if (fchmod(fd, 0600) == -1) {
        return NCR_ERROR;
    }

    if (geteuid() != 0) {
        return NCR_OK;
    }

    if (ncr_store_directory(path, dir, sizeof(dir)) == 0) {
        errno = ENAMETOOLONG;
        return NCR_ERROR;
    }

    if (stat(dir, &st) == -1 || fchown(fd, st.st_uid, st.st_gid) == -1) {
        return NCR_ERROR;
    }

    return NCR_OK;
}


ncr_uint_t
ncr_store_same(ncr_store_t *store)
{
    struct stat  st;

    return stat(store->path, &st) == 0 && st.st_dev == store->dev
           && st.st_ino == store->ino;
}


/*
 * Polled, because flock() that waits has no time limit, and its interruption
 * by a signal is not for a thread of a server.  A holder is done in about a
 * millisecond.
 */

ncr_int_t
ncr_store_flock(ncr_store_t *store, int *left)
{
    int64_t          now, deadline;
    ncr_int_t        rc;
    struct timespec  pause;

    deadline = ncr_store_clock() + store->busy;

    for ( ;; ) {

        rc = ncr_store_lock_file(store);

        if (rc == NCR_ERROR) {
            return rc;
        }

        now = ncr_store_clock();

        if (rc == NCR_OK) {
            store->locked = 1;
            *left = (int) ncr_max(deadline - now, 0);

            return NCR_OK;
        }

        if (now >= deadline) {
            return ncr_store_say(store, "is busy: another process is writing"
                                 " to it");
        }

        pause.tv_sec = 0;
        pause.tv_nsec = NCR_STORE_LOCK_PAUSE;

        (void) nanosleep(&pause, NULL);
    }
}


/* NCR_OK, NCR_DECLINED: somebody else's, or NCR_ERROR */

static ncr_int_t
ncr_store_lock_file(ncr_store_t *store)
{
    struct stat  here, there;

    if (store->lock == -1) {

        store->lock = ncr_store_beside(store->lock_path, O_RDONLY);

        if (store->lock == -1) {

            if (errno == EROFS) {
                return ncr_store_say(store, "is read-only");
            }

            return ncr_store_say_errno(store, "cannot be locked: \"-lock\""
                                       " beside it");
        }
    }

    if (flock(store->lock, LOCK_EX|LOCK_NB) == -1) {

        if (errno == EWOULDBLOCK || errno == EINTR) {
            return NCR_DECLINED;
        }

        return ncr_store_say_errno(store, "cannot be locked");
    }

    /* who holds a file that was deleted, holds nothing */

    if (fstat(store->lock, &here) == 0
        && lstat(store->lock_path, &there) == 0
        && here.st_dev == there.st_dev && here.st_ino == there.st_ino)
    {
        return NCR_OK;
    }

    (void) close(store->lock);
    store->lock = -1;

    return NCR_DECLINED;
}


void
ncr_store_funlock(ncr_store_t *store)
{
    if (store->locked) {
        (void) flock(store->lock, LOCK_UN);
        store->locked = 0;
    }
}


static int64_t
ncr_store_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


int
ncr_store_lock_open(const char *path)
{
    int    fd, err;
    char  *real, *lease;

    real = ncr_store_real(path);

    if (real == NULL) {
        return -1;
    }

    lease = ncr_store_concat(real, "-lease");
    free(real);

    if (lease == NULL) {
        errno = ENOMEM;
        return -1;
    }

    fd = ncr_store_beside(lease, O_RDWR);

    err = errno;
    free(lease);
    errno = err;

    return fd;
}


ncr_int_t
ncr_store_lock(int fd, uint64_t id)
{
    struct stat   st;
    struct flock  fl;

    if (id > INT64_MAX - 1) {
        errno = EINVAL;
        return NCR_ERROR;
    }

    /* others have made another one by now */

    if (fstat(fd, &st) == -1) {
        return NCR_ERROR;
    }

    if (st.st_nlink == 0) {
        errno = ESTALE;
        return NCR_ERROR;
    }

    fl = ncr_store_lease(F_WRLCK, id);

    if (fcntl(fd, F_OFD_SETLK, &fl) == 0) {
        return NCR_OK;
    }

    return (errno == EAGAIN || errno == EACCES) ? NCR_DECLINED : NCR_ERROR;
}


void
ncr_store_unlock(int fd, uint64_t id)
{
    struct flock  fl;

    if (id <= INT64_MAX - 1) {
        fl = ncr_store_lease(F_UNLCK, id);

        (void) fcntl(fd, F_OFD_SETLK, &fl);
    }
}


/* l_pid must be 0 for locks of an open file description: fcntl(2) */

static struct flock
ncr_store_lease(short type, uint64_t id)
{
    struct flock  fl;

    memset(&fl, 0, sizeof(struct flock));

    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    fl.l_start = (off_t) id;
    fl.l_len = 1;

    return fl;
}
