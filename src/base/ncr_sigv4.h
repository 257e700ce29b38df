
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* AWS's Signature Version 4 (anthropic.md I.4). */


#ifndef _NCR_SIGV4_H_INCLUDED_
#define _NCR_SIGV4_H_INCLUDED_


#include "ncr_hash.h"
#include "ncr_out.h"


#define NCR_SIGV4_HEADERS   16
#define NCR_SIGV4_KEYS      16
#define NCR_SIGV4_SECRET    252        /* longer ones are none */
#define NCR_SIGV4_DATE      sizeof("20261121T120000Z")


/*
 * Keys to sign with last for a day, a region and a service, and are dear to
 * make: some of them are kept, each beside a hash of all it was made of.
 */

typedef struct {
    ncr_uint_t      next;
    struct {
        ncr_char_t  from[NCR_SHA256_LEN];
        ncr_char_t  key[NCR_SHA256_LEN];
    } keys[NCR_SIGV4_KEYS];
} ncr_sigv4_cache_t;


typedef struct {
    ncr_str_t       name;               /* in lower case */
    ncr_str_t       value;
} ncr_sigv4_header_t;


typedef struct {
    ncr_str_t       method;
    ncr_str_t       path;               /* as it goes on the wire; no dot
                                           segments */
    ncr_str_t       query;              /* in its canonical form, or "" */
    ncr_str_t       id;                 /* of the access key */
    ncr_str_t       secret;
    ncr_str_t       region;
    ncr_str_t       service;
    const char     *date;               /* by ncr_sigv4_date() */
    ncr_uint_t      nheaders;
    ncr_sigv4_header_t  headers[NCR_SIGV4_HEADERS];     /* to be signed */
    ncr_char_t     *digest;             /* SHA-256 of the body */
} ncr_sigv4_t;


/* "20261121T120000Z" and a NUL into buf, of NCR_SIGV4_DATE bytes */
void ncr_sigv4_date(char *buf, ncr_msec_t now);

/*
 * Appends the value of Authorization to out.  The headers are sorted on the
 * way; cache was zeroed once, or is NULL.
 */
void ncr_sigv4_sign(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache,
    ncr_sha256_t *sha, ncr_out_t *out);

/* the steps, for who verifies: digest of the canonical request (I.4, 7), the
 * signature of it in lower-case hex (2 * NCR_SHA256_LEN bytes) */
void ncr_sigv4_request(ncr_sigv4_t *sig, ncr_sha256_t *sha,
    ncr_char_t *digest);
void ncr_sigv4_signature(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache,
    ncr_sha256_t *sha, ncr_char_t *hex);


#endif /* _NCR_SIGV4_H_INCLUDED_ */
