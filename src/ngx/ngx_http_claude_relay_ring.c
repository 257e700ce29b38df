
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Files of rings.  Whoever makes a zone makes a ring for it, under a name
 * with the ring's number; so those who put into it share the zone's mutex,
 * and two masters, of an upgrade or of two instances, have a ring each.  The
 * kernel knows who lives: a descriptor with a shared flock() is inherited by
 * the workers, not over exec(), and when nobody has it any more, an exclusive
 * one can be had.
 *
 * The directory may be everybody's, as /dev/shm is: a name that is new has a
 * random number in it and is made with O_EXCL, and a file that is found must
 * belong to the workers' user, and to nobody else.
 */


#include "ngx_http_claude_relay_ledger.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <dirent.h>


#define NGX_HTTP_CLAUDE_RELAY_RING_DIGITS  16

/* no ring is larger */
#define NGX_HTTP_CLAUDE_RELAY_RING_MAX     (1024 * 1024 * 1024)

/* records in one transaction */
#define NGX_HTTP_CLAUDE_RELAY_RING_BATCH   1000


static ngx_int_t ngx_http_claude_relay_ring_file(
    ngx_http_claude_relay_ring_t *ring,
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *prefix,
    uint64_t *id);
static ncr_int_t ngx_http_claude_relay_ring_look(
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *prefix,
    ncr_ledger_t *ledger, ngx_uint_t *n);
static ngx_uint_t ngx_http_claude_relay_ring_same(int fd, const char *path);
static ngx_int_t ngx_http_claude_relay_ring_found(const char *path,
    ngx_http_claude_relay_usage_conf_t *usage,
    ngx_http_claude_relay_ring_t *ring);
static ncr_int_t ngx_http_claude_relay_ring_drain(
    ngx_http_claude_relay_ring_t *ring, ncr_ledger_t *ledger, ngx_uint_t *n);


ngx_http_claude_relay_ring_t *
ngx_http_claude_relay_ring_make(ngx_http_claude_relay_usage_conf_t *usage,
    ngx_str_t *file, char *error)
{
    void                          *p;
    size_t                         len;
    uint64_t                       id;
    ngx_int_t                      rc;
    ngx_err_t                      err;
    ngx_uint_t                     tries;
    ngx_http_claude_relay_ring_t  *ring;

    len = file->len + 1 + NGX_HTTP_CLAUDE_RELAY_RING_DIGITS + 1;

    ring = ngx_calloc(sizeof(ngx_http_claude_relay_ring_t) + len,
                      ngx_cycle->log);
    if (ring == NULL) {
        (void) ngx_cpystrn((u_char *) error, (u_char *) "out of memory",
                           NCR_LEDGER_ERROR);
        return NULL;
    }

    ring->path = (char *) (ring + 1);
    ring->size = usage->size;
    ring->refs = 1;

    id = 0;
    rc = NGX_AGAIN;

    for (tries = 0; tries < 100; tries++) {

        rc = ngx_http_claude_relay_ring_file(ring, usage, file, &id);

        if (rc != NGX_AGAIN) {
            break;
        }
    }

    p = MAP_FAILED;

    if (rc == NGX_OK) {
        p = mmap(NULL, ring->size, PROT_READ|PROT_WRITE, MAP_SHARED, ring->fd,
                 0);
    }

    if (p != MAP_FAILED) {
        ring->ring = p;
        ncr_ring_init(ring->ring, ring->size, id);

        return ring;
    }

    err = ngx_errno;

    if (rc == NGX_OK) {
        (void) unlink(ring->path);
        (void) close(ring->fd);
    }

    *ngx_snprintf((u_char *) error, NCR_LEDGER_ERROR - 1,
                  "the ring \"%s\" of %uz bytes cannot be made: %s",
                  ring->path, ring->size, strerror(err)) = '\0';

    ngx_free(ring);
    ngx_set_errno(err);

    return NULL;
}


/* NGX_AGAIN: somebody has taken it for a leftover, or that name is taken */

static ngx_int_t
ngx_http_claude_relay_ring_file(ngx_http_claude_relay_ring_t *ring,
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *prefix,
    uint64_t *id)
{
    int  fd, err;

    do {
        if (RAND_bytes((u_char *) id, sizeof(uint64_t)) != 1) {
            ngx_set_errno(NGX_EINVAL);
            return NGX_ERROR;
        }

    } while (*id == 0);

    (void) ngx_sprintf((u_char *) ring->path, "%V.%016xL%Z", prefix, *id);

    fd = open(ring->path, O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600);

    if (fd == -1) {
        return (ngx_errno == NGX_EEXIST) ? NGX_AGAIN : NGX_ERROR;
    }

    if (fchmod(fd, 0600) == -1
        || (geteuid() == 0 && fchown(fd, usage->uid, -1) == -1)
        || flock(fd, LOCK_SH) == -1)
    {
        err = ngx_errno;

    } else if (!ngx_http_claude_relay_ring_same(fd, ring->path)) {
        (void) close(fd);
        return NGX_AGAIN;

    } else {

        /* memory that is not there would be a SIGBUS of a worker */

        err = posix_fallocate(fd, 0, (off_t) ring->size);

        if (err == 0) {
            ring->fd = fd;
            return NGX_OK;
        }
    }

    (void) unlink(ring->path);
    (void) close(fd);

    ngx_set_errno(err);

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_claude_relay_ring_same(int fd, const char *path)
{
    struct stat  here, there;

    return fstat(fd, &here) == 0 && lstat(path, &there) == 0
           && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}


void
ngx_http_claude_relay_ring_close(ngx_http_claude_relay_ring_t *ring)
{
    if (--ring->refs) {
        return;
    }

    if (!ring->used) {

        /* of a configuration that was not accepted */

        (void) unlink(ring->path);
    }

    (void) munmap(ring->ring, ring->size);
    (void) close(ring->fd);

    ngx_free(ring);
}


void
ngx_http_claude_relay_ring_remove(ngx_http_claude_relay_ring_t *ring)
{
    if (ring->ring->head == ring->ring->tail
        && ngx_http_claude_relay_ring_same(ring->fd, ring->path))
    {
        (void) unlink(ring->path);
    }
}


ncr_int_t
ngx_http_claude_relay_ring_leftovers(
    ngx_http_claude_relay_usage_conf_t *usage, ncr_ledger_t *ledger,
    ngx_uint_t *n)
{
    ncr_int_t  rc;

    *n = 0;

    rc = ngx_http_claude_relay_ring_look(usage, &usage->file, ledger, n);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_ring_look(usage, &usage->beside, ledger,
                                             n);
    }

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_ring_look(ngx_http_claude_relay_usage_conf_t *usage,
    ngx_str_t *prefix, ncr_ledger_t *ledger, ngx_uint_t *n)
{
    DIR                           *dir;
    char                          *base, path[NGX_MAX_PATH + 1];
    size_t                         len;
    ncr_int_t                      rc;
    ngx_uint_t                     full;
    struct dirent                 *entry;
    ngx_http_claude_relay_ring_t   ring;

    /* the path is absolute; what a name must begin with, its dot too */

    base = strrchr((char *) prefix->data, '/') + 1;
    len = ngx_strlen(base);

    if (prefix->len + 2 + NGX_HTTP_CLAUDE_RELAY_RING_DIGITS
        > sizeof(path))
    {
        return NCR_OK;
    }

    (void) ngx_cpystrn((u_char *) path, prefix->data,
                       base - (char *) prefix->data + 1);

    dir = opendir(path);

    if (dir == NULL) {
        return NCR_OK;
    }

    rc = NCR_OK;

    while (rc == NCR_OK && (entry = readdir(dir)) != NULL) {

        if (ngx_strncmp(entry->d_name, base, len) != 0
            || entry->d_name[len] != '.'
            || ngx_strlen(entry->d_name)
               != len + 1 + NGX_HTTP_CLAUDE_RELAY_RING_DIGITS)
        {
            continue;
        }

        (void) ngx_sprintf((u_char *) path + (base - (char *) prefix->data),
                           "%s%Z", entry->d_name);

        if (ngx_http_claude_relay_ring_found(path, usage, &ring) != NGX_OK) {
            continue;
        }

        full = 0;

        if (ring.ring) {

            if (ledger) {
                rc = ngx_http_claude_relay_ring_drain(&ring, ledger, n);
            }

            full = (ring.ring->head != ring.ring->tail);

            (void) munmap(ring.ring, ring.size);
        }

        if (!full && ngx_http_claude_relay_ring_same(ring.fd, path)) {
            (void) unlink(path);
        }

        (void) close(ring.fd);
    }

    (void) closedir(dir);

    return rc;
}


/* NGX_OK: nobody has it; ring NULL: and there is nothing in it to be read */

static ngx_int_t
ngx_http_claude_relay_ring_found(const char *path,
    ngx_http_claude_relay_usage_conf_t *usage,
    ngx_http_claude_relay_ring_t *ring)
{
    void         *p;
    struct stat   st;

    ring->ring = NULL;
    ring->fd = open(path, O_RDWR|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (ring->fd == -1) {
        return NGX_DECLINED;
    }

    if (fstat(ring->fd, &st) == -1
        || !S_ISREG(st.st_mode)
        || st.st_uid != usage->uid
        || (st.st_mode & 0077)
        || st.st_nlink != 1
        || flock(ring->fd, LOCK_EX|LOCK_NB) == -1)
    {
        (void) close(ring->fd);
        return NGX_DECLINED;
    }

    if (st.st_size < NCR_RING_MIN
        || st.st_size > NGX_HTTP_CLAUDE_RELAY_RING_MAX)
    {
        /* whoever made it was killed before it was one */
        return NGX_OK;
    }

    ring->size = (size_t) st.st_size;

    p = mmap(NULL, ring->size, PROT_READ|PROT_WRITE, MAP_SHARED, ring->fd, 0);

    if (p == MAP_FAILED) {
        (void) close(ring->fd);
        return NGX_DECLINED;
    }

    if (ncr_ring_check(p, ring->size) != NCR_OK) {
        (void) munmap(p, ring->size);
        return NGX_OK;
    }

    ring->ring = p;

    return NGX_OK;
}


static ncr_int_t
ngx_http_claude_relay_ring_drain(ngx_http_claude_relay_ring_t *ring,
    ncr_ledger_t *ledger, ngx_uint_t *n)
{
    ncr_int_t   rc;
    ncr_uint_t  taken;

    while (ring->ring->head != ring->ring->tail) {

        rc = ncr_ledger_drain(ledger, ring->ring,
                              NGX_HTTP_CLAUDE_RELAY_RING_BATCH, &taken);

        if (rc != NCR_OK) {
            return rc;
        }

        *n += taken;
    }

    return NCR_OK;
}
