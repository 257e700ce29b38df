
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A sealed value: a byte of format, a nonce, as many bytes as the text has,
 * a tag.  AES-256-GCM of NIST SP 800-38D with random nonces of 96 bits: its
 * bound of 2^32 values under one key is out of reach for what is sealed here.
 */


#include "ncr_seal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>
#include <stdio.h>


#define NCR_SEAL_FORMAT    1
#define NCR_SEAL_MAX       (64 * 1024 * 1024)

/* RFC 7914, 2: 128 * N * r bytes, and as much again to be on the safe side */
#define NCR_SEAL_SCRYPT_N       (1 << 15)
#define NCR_SEAL_SCRYPT_R       8
#define NCR_SEAL_SCRYPT_P       1
#define NCR_SEAL_SCRYPT_MEMORY  (64 * 1024 * 1024)

/* a random key has nearly as many different bytes as it has bytes */
#define NCR_SEAL_KEY_BYTES  12


static ncr_int_t ncr_seal_aad(EVP_CIPHER_CTX *ctx, ncr_char_t format,
    ncr_seal_place_t *place);
static ncr_int_t ncr_seal_decrypt(EVP_CIPHER_CTX *ctx, const ncr_char_t *key,
    ncr_seal_place_t *place, ncr_str_t *sealed, ncr_char_t *out);
static const char *ncr_seal_key_line(ncr_str_t *line, ncr_char_t *key);
static int ncr_seal_hex(ncr_char_t ch);
static const char *ncr_seal_key_weak(const ncr_char_t *key);


ncr_int_t
ncr_seal(const ncr_char_t *key, ncr_seal_place_t *place, ncr_str_t *plain,
    ncr_char_t *out)
{
    int              n, m;
    ncr_int_t        rc;
    ncr_char_t      *nonce, *text, *tag;
    EVP_CIPHER_CTX  *ctx;

    if (plain->len > NCR_SEAL_MAX) {
        return NCR_ERROR;
    }

    out[0] = NCR_SEAL_FORMAT;
    nonce = out + 1;
    text = nonce + NCR_SEAL_NONCE;
    tag = text + plain->len;

    if (RAND_bytes(nonce, NCR_SEAL_NONCE) != 1) {
        return NCR_ERROR;
    }

    ctx = EVP_CIPHER_CTX_new();

    if (ctx == NULL) {
        return NCR_ERROR;
    }

    rc = NCR_ERROR;

    /* 96 bits of nonce and 128 of tag are GCM's defaults */

    if (EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1
        || ncr_seal_aad(ctx, out[0], place) != NCR_OK)
    {
        goto done;
    }

    n = 0;

    if (plain->len
        && EVP_EncryptUpdate(ctx, text, &n, plain->data, (int) plain->len)
           != 1)
    {
        goto done;
    }

    if (EVP_EncryptFinal_ex(ctx, text + n, &m) != 1
        || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, NCR_SEAL_TAG, tag)
           != 1)
    {
        goto done;
    }

    rc = NCR_OK;

done:

    EVP_CIPHER_CTX_free(ctx);

    return rc;
}


ncr_int_t
ncr_seal_open(const ncr_char_t *key, ncr_seal_place_t *place,
    ncr_str_t *sealed, ncr_char_t *out)
{
    ncr_int_t        rc;
    EVP_CIPHER_CTX  *ctx;

    if (sealed->len < NCR_SEAL_EXTRA
        || sealed->len - NCR_SEAL_EXTRA > NCR_SEAL_MAX
        || sealed->data[0] != NCR_SEAL_FORMAT)
    {
        return NCR_BAD;
    }

    ctx = EVP_CIPHER_CTX_new();

    if (ctx == NULL) {
        return NCR_ERROR;
    }

    rc = ncr_seal_decrypt(ctx, key, place, sealed, out);

    EVP_CIPHER_CTX_free(ctx);

    if (rc != NCR_OK) {

        /* what is not authentic is not to be seen */

        OPENSSL_cleanse(out, sealed->len - NCR_SEAL_EXTRA);

        /* or the next TLS connection of this thread would stumble over it */

        ERR_clear_error();
    }

    return rc;
}


static ncr_int_t
ncr_seal_decrypt(EVP_CIPHER_CTX *ctx, const ncr_char_t *key,
    ncr_seal_place_t *place, ncr_str_t *sealed, ncr_char_t *out)
{
    int          n, m;
    size_t       len;
    ncr_char_t  *nonce, *text, tag[NCR_SEAL_TAG];

    len = sealed->len - NCR_SEAL_EXTRA;
    nonce = sealed->data + 1;
    text = nonce + NCR_SEAL_NONCE;

    memcpy(tag, text + len, NCR_SEAL_TAG);

    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1
        || ncr_seal_aad(ctx, sealed->data[0], place) != NCR_OK)
    {
        return NCR_ERROR;
    }

    n = 0;

    if (len && EVP_DecryptUpdate(ctx, out, &n, text, (int) len) != 1) {
        return NCR_ERROR;
    }

    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, NCR_SEAL_TAG, tag)
        != 1)
    {
        return NCR_ERROR;
    }

    return (EVP_DecryptFinal_ex(ctx, out + n, &m) == 1) ? NCR_OK : NCR_BAD;
}


/*
 * The names go with their NUL, which none of them can contain: ("ab", "c")
 * and ("a", "bc") are different places.
 */

static ncr_int_t
ncr_seal_aad(EVP_CIPHER_CTX *ctx, ncr_char_t format, ncr_seal_place_t *place)
{
    int          n;
    size_t       len;
    ncr_uint_t   i;
    const char  *parts[3];

    parts[0] = place->table;
    parts[1] = place->row;
    parts[2] = place->column;

    if (EVP_CipherUpdate(ctx, NULL, &n, &format, 1) != 1) {
        return NCR_ERROR;
    }

    for (i = 0; i < 3; i++) {
        len = strlen(parts[i]) + 1;

        if (len > INT_MAX
            || EVP_CipherUpdate(ctx, NULL, &n,
                                (const ncr_char_t *) parts[i], (int) len)
               != 1)
        {
            return NCR_ERROR;
        }
    }

    return NCR_OK;
}


const char *
ncr_seal_key_parse(ncr_str_t *text, ncr_char_t *key)
{
    ncr_str_t    line;
    ncr_uint_t   found;
    const char  *err;
    ncr_char_t  *p, *last;

    p = text->data;
    last = text->len ? p + text->len : p;
    found = 0;
    err = NULL;

    while (p < last && err == NULL) {

        line.data = p;

        while (p < last && *p != '\n') {
            p++;
        }

        line.len = (size_t) (p - line.data);

        if (p < last) {
            p++;
        }

        while (line.len && (line.data[0] == ' ' || line.data[0] == '\t')) {
            line.data++;
            line.len--;
        }

        while (line.len && (line.data[line.len - 1] == ' '
                            || line.data[line.len - 1] == '\t'
                            || line.data[line.len - 1] == '\r'))
        {
            line.len--;
        }

        if (line.len == 0 || line.data[0] == '#') {
            continue;
        }

        if (found++) {
            err = "it has more than one key";
            break;
        }

        err = ncr_seal_key_line(&line, key);
    }

    if (err == NULL) {
        err = found ? ncr_seal_key_weak(key) : "it has no key";
    }

    if (err) {
        OPENSSL_cleanse(key, NCR_SEAL_KEY);
    }

    return err;
}


static const char *
ncr_seal_key_line(ncr_str_t *line, ncr_char_t *key)
{
    int     high, low;
    size_t  i;

    if (line->len != 2 * NCR_SEAL_KEY) {
        return "its key is not a line of 64 hexadecimal digits";
    }

    for (i = 0; i < NCR_SEAL_KEY; i++) {
        high = ncr_seal_hex(line->data[2 * i]);
        low = ncr_seal_hex(line->data[2 * i + 1]);

        if (high < 0 || low < 0) {
            return "its key is not a line of 64 hexadecimal digits";
        }

        key[i] = (ncr_char_t) (high << 4 | low);
    }

    return NULL;
}


static int
ncr_seal_hex(ncr_char_t ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}


/*
 * Keys that people type and examples show.  None of these happens to a random
 * key more often than once in 2^45.
 */

static const char *
ncr_seal_key_weak(const ncr_char_t *key)
{
    size_t      i, steps, prints, periods, bytes;
    ncr_char_t  seen[256];

    steps = 0;
    prints = 0;
    periods = 0;
    bytes = 0;

    memset(seen, 0, sizeof(seen));

    for (i = 0; i < NCR_SEAL_KEY; i++) {
        bytes += !seen[key[i]];
        seen[key[i]] = 1;

        prints += (key[i] >= 0x20 && key[i] < 0x7f);

        if (i >= NCR_SEAL_KEY / 2) {
            periods += (key[i] == key[i - NCR_SEAL_KEY / 2]);
        }

        if (i >= 2) {
            steps += ((ncr_char_t) (key[i] - key[i - 1])
                      == (ncr_char_t) (key[1] - key[0]));
        }
    }

    if (steps == NCR_SEAL_KEY - 2 || periods == NCR_SEAL_KEY / 2) {
        return "its key is a default one, not a random one";
    }

    if (prints == NCR_SEAL_KEY) {
        return "its key is a text, not a random one";
    }

    if (bytes < NCR_SEAL_KEY_BYTES) {
        return "its key is not a random one";
    }

    return NULL;
}


ncr_int_t
ncr_seal_key_text(ncr_char_t *key, char *text, size_t size)
{
    int     n;
    size_t  i;

    if (size < NCR_SEAL_KEY_TEXT
        || ncr_seal_random(key, NCR_SEAL_KEY) != NCR_OK)
    {
        return NCR_ERROR;
    }

    n = snprintf(text, size,
                 "# The key of a claude_relay_store.  Whoever has both has its"
                 " tokens;\n"
                 "# without the key they are lost.  Keep a copy, but not with"
                 " the store's.\n");

    for (i = 0; i < NCR_SEAL_KEY; i++) {
        n += snprintf(text + n, size - (size_t) n, "%02x", key[i]);
    }

    text[n++] = '\n';
    text[n] = '\0';

    return NCR_OK;
}


ncr_int_t
ncr_seal_key_scrypt(ncr_str_t *passphrase, const ncr_char_t *salt,
    ncr_char_t *key)
{
    if (passphrase->len == 0
        || EVP_PBE_scrypt((const char *) passphrase->data, passphrase->len,
                          salt, NCR_SEAL_SALT, NCR_SEAL_SCRYPT_N,
                          NCR_SEAL_SCRYPT_R, NCR_SEAL_SCRYPT_P,
                          NCR_SEAL_SCRYPT_MEMORY, key, NCR_SEAL_KEY)
           != 1)
    {
        ERR_clear_error();
        return NCR_ERROR;
    }

    return NCR_OK;
}


ncr_int_t
ncr_seal_random(ncr_char_t *p, size_t len)
{
    if (len > INT_MAX || RAND_bytes(p, (int) len) != 1) {
        return NCR_ERROR;
    }

    return NCR_OK;
}


void
ncr_seal_forget(void *p, size_t len)
{
    if (p && len) {
        OPENSSL_cleanse(p, len);
    }
}
