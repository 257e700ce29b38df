
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* SHA-256 over libcrypto; a context is reused, so a hash allocates nothing. */


#ifndef _NCR_HASH_H_INCLUDED_
#define _NCR_HASH_H_INCLUDED_


#include "ncr_base.h"


#define NCR_SHA256_LEN  32


typedef struct {
    void  *state;                       /* SHA256_CTX */
} ncr_sha256_t;


/* NCR_OK or NCR_ERROR; ncr_sha256_free() releases what create() made */
ncr_int_t ncr_sha256_create(ncr_sha256_t *ctx);
void ncr_sha256_free(ncr_sha256_t *ctx);

void ncr_sha256_init(ncr_sha256_t *ctx);
void ncr_sha256_update(ncr_sha256_t *ctx, const void *p, size_t len);
void ncr_sha256_final(ncr_sha256_t *ctx, ncr_char_t *digest);

/* HMAC (RFC 2104) over a list of parts; key of any length */
void ncr_hmac_sha256(ncr_sha256_t *ctx, ncr_str_t *key, ncr_str_t *parts,
    ncr_uint_t n, ncr_char_t *digest);

/* 1 if equal, in time that depends on len only */
ncr_uint_t ncr_hash_equal(const void *a, const void *b, size_t len);

/* lower case, 2 * len bytes, no NUL */
void ncr_hash_hex(ncr_char_t *dst, const ncr_char_t *src, size_t len);


#endif /* _NCR_HASH_H_INCLUDED_ */
