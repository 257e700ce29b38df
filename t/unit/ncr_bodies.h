
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Bodies of requests, read by a codec: whole, byte by byte, and cut at every
 * offset.  Include it once, behind the codec, and define ncr_bodies.
 */


#ifndef _NCR_BODIES_H_INCLUDED_
#define _NCR_BODIES_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_test.h"

#include <stdlib.h>


#define NCR_BODIES_TOLD  4096
#define NCR_BODIES_HASH  9              /* " 01234567" */


typedef struct {
    const ncr_codec_t  *codec;
    ncr_request_t      *req;            /* the head of the codec's reader */
    size_t              size;           /* of that reader */

    /* how is the test's own */
    void              (*init)(ncr_uint_t how);

    /* what a body that was read says; NULL if ncr_bodies_all() is not used */
    void              (*told)(char *buf, size_t size);
} ncr_bodies_t;


static const ncr_bodies_t  ncr_bodies;


/* a chunk of its own, so that a sanitizer sees who keeps a pointer */

static ncr_int_t
ncr_bodies_feed(const char *body, size_t len)
{
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = malloc(len + !len);
    memcpy(p, body, len);

    rc = ncr_bodies.codec->request_feed(ncr_bodies.req, p, len);

    memset(p, 0xA5, len);
    free(p);

    return rc;
}


/* as many bytes as cut, then as many as step at a time */

static ncr_int_t
ncr_bodies_read(const char *body, size_t len, size_t cut, size_t step,
    ncr_uint_t how)
{
    size_t     i, n;
    ncr_int_t  rc;

    memset(ncr_bodies.req, 0xA5, ncr_bodies.size);
    ncr_bodies.init(how);

    rc = ncr_bodies_feed(body, cut);

    for (i = cut; rc == NCR_OK && i < len; i += n) {
        n = ncr_min(step, len - i);
        rc = ncr_bodies_feed(body + i, n);
    }

    return (rc == NCR_OK) ? ncr_bodies.codec->request_final(ncr_bodies.req)
                          : rc;
}


/* "! error", or what the test tells, and the hash if there is one */

static inline void
ncr_bodies_told(ncr_int_t rc, char *buf, size_t size)
{
    char            error[256];
    size_t          n;
    ncr_str_t       s;
    ncr_request_t  *req;

    req = ncr_bodies.req;

    if (rc != NCR_OK) {
        s = ncr_bodies.codec->request_error(req, error, sizeof(error));
        snprintf(buf, size, "! %.*s", (int) s.len, (char *) s.data);
        return;
    }

    ncr_bodies.told(buf, size);

    n = strlen(buf);

    if (req->hashed) {
        snprintf(buf + n, size - n, " %02x%02x%02x%02x", req->digest[0],
                 req->digest[1], req->digest[2], req->digest[3]);
    }
}


/* told is what whole reading tells; 1 if all other ways tell the same */

static inline ncr_uint_t
ncr_bodies_all(const char *body, size_t len, ncr_uint_t how, char *told,
    size_t size)
{
    char        other[NCR_BODIES_TOLD];
    size_t      cut;
    ncr_uint_t  same;

    ncr_bodies_told(ncr_bodies_read(body, len, len, 1, how), told, size);

    ncr_bodies_told(ncr_bodies_read(body, len, 0, 1, how), other,
                    sizeof(other));
    same = (strcmp(told, other) == 0);

    for (cut = 0; cut < len; cut += (len > 4096) ? 97 : 1) {
        ncr_bodies_told(ncr_bodies_read(body, len, cut, len, how), other,
                        sizeof(other));
        same &= (strcmp(told, other) == 0);
    }

    return same;
}


/* two tests: what is told begins with wanted, and is the same in pieces */

static inline void
ncr_bodies_test(const char *name, const char *body, ncr_uint_t how,
    const char *wanted)
{
    char        told[NCR_BODIES_TOLD], label[256];
    size_t      n;
    ncr_uint_t  same;

    same = ncr_bodies_all(body, strlen(body), how, told, sizeof(told));
    n = strlen(wanted);

    ncr_test(strncmp(told, wanted, n) == 0
             && (told[n] == '\0' || told[n] == ' '), name);

    if (strncmp(told, wanted, n) != 0) {
        printf("# \"%s\"\n", told);
    }

    snprintf(label, sizeof(label), "%s, in pieces", name);
    ncr_test(same, label);
}


/* the hash alone, "" if there is none */

static inline const char *
ncr_bodies_hash(const char *body, ncr_uint_t how)
{
    char        *p;
    ncr_uint_t   same;

    static char  told[8][NCR_BODIES_TOLD];
    static int   n;

    n = (n + 1) % 8;
    p = told[n];

    same = ncr_bodies_all(body, strlen(body), how, p, NCR_BODIES_TOLD);

    if (!same || *p == '!') {
        return "differs in pieces";
    }

    p += strlen(p);

    return ncr_bodies.req->hashed ? p - NCR_BODIES_HASH : p;
}


#endif /* _NCR_BODIES_H_INCLUDED_ */
