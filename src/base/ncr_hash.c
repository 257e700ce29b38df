
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>


#define NCR_SHA256_BLOCK  64


/*
 * Looked up once for the life of the process: a lookup by name costs more
 * than the hash of a short text.
 */

static const EVP_MD  *ncr_sha256_md;


ncr_int_t
ncr_sha256_create(ncr_sha256_t *ctx)
{
    ctx->md = NULL;

    if (ncr_sha256_md == NULL) {

#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)
        ncr_sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
        ncr_sha256_md = EVP_sha256();
#endif

        if (ncr_sha256_md == NULL) {
            return NCR_ERROR;
        }
    }

    ctx->md = EVP_MD_CTX_new();

    if (ctx->md == NULL) {
        return NCR_ERROR;
    }

    /* the first init allocates; it must not fail later */

    if (EVP_DigestInit_ex(ctx->md, ncr_sha256_md, NULL) != 1) {
        ncr_sha256_free(ctx);
        return NCR_ERROR;
    }

    return NCR_OK;
}


void
ncr_sha256_free(ncr_sha256_t *ctx)
{
    EVP_MD_CTX_free(ctx->md);
    ctx->md = NULL;
}


/*
 * In a context that was created these cannot fail; should libcrypto say so
 * nevertheless, there is nothing right to go on with.
 */

void
ncr_sha256_init(ncr_sha256_t *ctx)
{
    (void) EVP_DigestInit_ex(ctx->md, ncr_sha256_md, NULL);
}


void
ncr_sha256_update(ncr_sha256_t *ctx, const void *p, size_t len)
{
    (void) EVP_DigestUpdate(ctx->md, p, len);
}


void
ncr_sha256_final(ncr_sha256_t *ctx, ncr_char_t *digest)
{
    if (EVP_DigestFinal_ex(ctx->md, digest, NULL) != 1) {
        memset(digest, 0, NCR_SHA256_LEN);
    }
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
