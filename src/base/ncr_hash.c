
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_hash.h"

/*
 * The functions of the algorithm itself, which OpenSSL 3 would have replaced
 * by EVP: that costs more to begin and to end with than a short text does to
 * hash, and three of them are hashed for each request.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/crypto.h>
#include <openssl/sha.h>


#define NCR_SHA256_BLOCK  64


ncr_int_t
ncr_sha256_create(ncr_sha256_t *ctx)
{
    ctx->state = OPENSSL_malloc(sizeof(SHA256_CTX));

    if (ctx->state == NULL) {
        return NCR_ERROR;
    }

    ncr_sha256_init(ctx);

    return NCR_OK;
}


/* what was hashed may have been a secret */

void
ncr_sha256_free(ncr_sha256_t *ctx)
{
    OPENSSL_clear_free(ctx->state, sizeof(SHA256_CTX));
    ctx->state = NULL;
}


/* none of these can fail */

void
ncr_sha256_init(ncr_sha256_t *ctx)
{
    (void) SHA256_Init(ctx->state);
}


void
ncr_sha256_update(ncr_sha256_t *ctx, const void *p, size_t len)
{
    (void) SHA256_Update(ctx->state, p, len);
}


void
ncr_sha256_final(ncr_sha256_t *ctx, ncr_char_t *digest)
{
    (void) SHA256_Final(digest, ctx->state);
}


void
ncr_hmac_sha256(ncr_sha256_t *ctx, ncr_str_t *key, ncr_str_t *parts,
    ncr_uint_t n, ncr_char_t *digest)
{
    ncr_uint_t  i;
    ncr_char_t  pad[NCR_SHA256_BLOCK], inner[NCR_SHA256_LEN];

    memset(pad, 0, sizeof(pad));

    if (key->len > sizeof(pad)) {
        ncr_sha256_init(ctx);
        ncr_sha256_update(ctx, key->data, key->len);
        ncr_sha256_final(ctx, pad);

    } else if (key->len) {
        memcpy(pad, key->data, key->len);
    }

    for (i = 0; i < sizeof(pad); i++) {
        pad[i] ^= 0x36;
    }

    ncr_sha256_init(ctx);
    ncr_sha256_update(ctx, pad, sizeof(pad));

    for (i = 0; i < n; i++) {
        ncr_sha256_update(ctx, parts[i].data, parts[i].len);
    }

    ncr_sha256_final(ctx, inner);

    for (i = 0; i < sizeof(pad); i++) {
        pad[i] ^= 0x36 ^ 0x5C;
    }

    ncr_sha256_init(ctx);
    ncr_sha256_update(ctx, pad, sizeof(pad));
    ncr_sha256_update(ctx, inner, sizeof(inner));
    ncr_sha256_final(ctx, digest);

    /* whoever knows them can sign */

    OPENSSL_cleanse(pad, sizeof(pad));
    OPENSSL_cleanse(inner, sizeof(inner));
}


ncr_uint_t
ncr_hash_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}


void
ncr_hash_hex(ncr_char_t *dst, const ncr_char_t *src, size_t len)
{
    size_t  i;

    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < len; i++) {
        *dst++ = (ncr_char_t) hex[src[i] >> 4];
        *dst++ = (ncr_char_t) hex[src[i] & 15];
    }
}
