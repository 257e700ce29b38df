
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_password.h"
#include "ncr_base64.h"
#include "ncr_hash.h"
#include "ncr_str.h"

/* SHA1(): an HMAC of 8 bytes needs no context that must be made first */

#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <stdio.h>


/* RFC 7914, 2: 128 * N * r bytes, and as much again to be on the safe side */
#define NCR_PASSWORD_LOG_N      15
#define NCR_PASSWORD_R          8
#define NCR_PASSWORD_P          1
#define NCR_PASSWORD_MEMORY     (64 * 1024 * 1024)

#define NCR_PASSWORD_HASH       32
#define NCR_PASSWORD_HEAD       "scrypt$15$8$1$"

/* fewer different characters than that are no password */
#define NCR_PASSWORD_DIFFERENT  5
/* of digits alone, as many as three words have bits */
#define NCR_PASSWORD_DIGITS     16

/* RFC 6238, 4: X and the time step; RFC 4226, 5.3: Digit */
#define NCR_TOTP_SECONDS        30
#define NCR_TOTP_DIGITS         6
#define NCR_TOTP_MODULO         1000000
#define NCR_TOTP_BLOCK          64


static ncr_int_t ncr_password_scrypt(ncr_str_t *password,
    const ncr_char_t *salt, ncr_char_t *hash);
static ncr_int_t ncr_password_parse(const char *text, ncr_char_t *salt,
    ncr_char_t *hash);
static ncr_int_t ncr_password_decode(const char *text, size_t len,
    ncr_char_t *dst, size_t size);
static ncr_uint_t ncr_password_few(ncr_str_t *password);
static ncr_uint_t ncr_password_steps(ncr_str_t *password);
static ncr_uint_t ncr_password_letters(ncr_str_t *text, ncr_char_t *dst);
static void ncr_totp_hmac(const ncr_char_t *key, uint64_t step,
    ncr_char_t *digest);


/* what is left of many a password if its digits and signs are taken off */

static const char  *ncr_password_words[] = {
    "password", "passwort", "passphrase", "admin", "administrator", "root",
    "changeme", "letmein", "welcome", "iloveyou", "secret", "qwerty",
    "qwertyuiop", "qwertz", "qwertzuiop", "asdfghjkl", "claude",
    "clauderelay", "relay", NULL
};


ncr_int_t
ncr_password_hash(ncr_str_t *password, const ncr_char_t *salt, char *text)
{
    char        *p;
    ncr_char_t   hash[NCR_PASSWORD_HASH];

    text[0] = '\0';

    if (password->len > NCR_PASSWORD_MAX
        || ncr_password_scrypt(password, salt, hash) != NCR_OK)
    {
        return NCR_ERROR;
    }

    memcpy(text, NCR_PASSWORD_HEAD, sizeof(NCR_PASSWORD_HEAD) - 1);
    p = text + sizeof(NCR_PASSWORD_HEAD) - 1;

    p = ncr_base64url(p, salt, NCR_PASSWORD_SALT);
    *p++ = '$';
    p = ncr_base64url(p, hash, sizeof(hash));
    *p = '\0';

    OPENSSL_cleanse(hash, sizeof(hash));

    return NCR_OK;
}


ncr_int_t
ncr_password_check(const char *text, ncr_str_t *password)
{
    ncr_int_t   rc;
    ncr_str_t   tried;
    ncr_uint_t  equal;
    ncr_char_t  salt[NCR_PASSWORD_SALT], hash[NCR_PASSWORD_HASH],
                found[NCR_PASSWORD_HASH];

    rc = ncr_password_parse(text, salt, hash);

    /* what cannot be it costs as much: nobody learns who has a password */

    tried.data = password->data;
    tried.len = ncr_min(password->len, NCR_PASSWORD_MAX);

    if (tried.len != password->len) {
        rc = NCR_BAD;
    }

    if (ncr_password_scrypt(&tried, salt, found) != NCR_OK) {
        return NCR_ERROR;
    }

    equal = ncr_hash_equal(hash, found, sizeof(hash));

    OPENSSL_cleanse(hash, sizeof(hash));
    OPENSSL_cleanse(found, sizeof(found));

    return (rc == NCR_OK && equal) ? NCR_OK : NCR_DECLINED;
}


static ncr_int_t
ncr_password_scrypt(ncr_str_t *password, const ncr_char_t *salt,
    ncr_char_t *hash)
{
    const char  *p;

    p = password->len ? (const char *) password->data : "";

    if (EVP_PBE_scrypt(p, password->len, salt, NCR_PASSWORD_SALT,
                       (uint64_t) 1 << NCR_PASSWORD_LOG_N, NCR_PASSWORD_R,
                       NCR_PASSWORD_P, NCR_PASSWORD_MEMORY, hash,
                       NCR_PASSWORD_HASH)
        != 1)
    {
        ERR_clear_error();
        return NCR_ERROR;
    }

    return NCR_OK;
}


/* zeros, if it is no hash */

static ncr_int_t
ncr_password_parse(const char *text, ncr_char_t *salt, ncr_char_t *hash)
{
    const char  *dollar;

    memset(salt, 0, NCR_PASSWORD_SALT);
    memset(hash, 0, NCR_PASSWORD_HASH);

    if (strncmp(text, NCR_PASSWORD_HEAD, sizeof(NCR_PASSWORD_HEAD) - 1) != 0) {
        return NCR_BAD;
    }

    text += sizeof(NCR_PASSWORD_HEAD) - 1;
    dollar = strchr(text, '$');

    if (dollar == NULL
        || ncr_password_decode(text, (size_t) (dollar - text), salt,
                               NCR_PASSWORD_SALT)
           != NCR_OK)
    {
        return NCR_BAD;
    }

    return ncr_password_decode(dollar + 1, strlen(dollar + 1), hash,
                               NCR_PASSWORD_HASH);
}


/* base64url of size bytes exactly */

static ncr_int_t
ncr_password_decode(const char *text, size_t len, ncr_char_t *dst,
    size_t size)
{
    size_t       i, n;
    uint32_t     bits;
    const char  *at;

    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789-_";

    if (len != ncr_base64url_len(size)) {
        return NCR_BAD;
    }

    bits = 0;
    n = 0;

    for (i = 0; i < len; i++) {
        at = strchr(alphabet, text[i]);

        if (at == NULL) {
            return NCR_BAD;
        }

        bits = bits << 6 | (uint32_t) (at - alphabet);

        /* 6 * (i + 1) bits so far, 8 * n of them taken */

        if (6 * (i + 1) >= 8 * (n + 1) && n < size) {
            dst[n] = (ncr_char_t) (bits >> (6 * (i + 1) - 8 * (n + 1)));
            n++;
        }
    }

    return NCR_OK;
}


const char *
ncr_password_weak(ncr_str_t *password, ncr_str_t *name)
{
    size_t       i, chars, digits;
    ncr_str_t    letters, own;
    ncr_char_t   a[NCR_PASSWORD_MAX], b[NCR_PASSWORD_MAX];
    const char **word;

    if (password->len > NCR_PASSWORD_MAX) {
        return "it is longer than 256 bytes";
    }

    chars = 0;
    digits = 0;

    for (i = 0; i < password->len; i++) {

        if (password->data[i] < 0x20 || password->data[i] == 0x7f) {
            return "it has a control character";
        }

        /* what goes on within a character of UTF-8 does not count */

        chars += (password->data[i] & 0xc0) != 0x80;
        digits += (password->data[i] >= '0' && password->data[i] <= '9');
    }

    if (chars < NCR_PASSWORD_MIN) {
        return "it is shorter than 10 characters";
    }

    if (ncr_password_few(password)) {
        return "it has too few different characters";
    }

    if (ncr_password_steps(password)) {
        return "it is a sequence";
    }

    if (digits == password->len && digits < NCR_PASSWORD_DIGITS) {
        return "it has digits only, and fewer than 16";
    }

    letters.data = a;
    letters.len = ncr_password_letters(password, a);
    own.data = b;
    own.len = (name->len <= sizeof(b)) ? ncr_password_letters(name, b) : 0;

    if (own.len && own.len == letters.len && memcmp(a, b, own.len) == 0) {
        return "it is the name";
    }

    for (word = ncr_password_words; *word; word++) {
        if (ncr_str_eq(&letters, *word)) {
            return "it is one that everybody tries";
        }
    }

    return NULL;
}


static ncr_uint_t
ncr_password_few(ncr_str_t *password)
{
    size_t      i;
    ncr_uint_t  n;
    ncr_char_t  seen[256];

    memset(seen, 0, sizeof(seen));
    n = 0;

    for (i = 0; i < password->len; i++) {
        n += !seen[password->data[i]];
        seen[password->data[i]] = 1;
    }

    return n < NCR_PASSWORD_DIFFERENT;
}


/* "abcdefghij", "9876543210", "1234567890" */

static ncr_uint_t
ncr_password_steps(ncr_str_t *password)
{
    size_t  i, up, down;

    up = 0;
    down = 0;

    for (i = 1; i < password->len; i++) {
        up += (password->data[i] == password->data[i - 1] + 1);
        down += (password->data[i] + 1 == password->data[i - 1]);
    }

    return ncr_max(up, down) + 2 >= password->len;
}


/* letters of ASCII in lower case, and what is none of ASCII */

static ncr_uint_t
ncr_password_letters(ncr_str_t *text, ncr_char_t *dst)
{
    size_t      i, n;
    ncr_char_t  ch;

    n = 0;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if (ch >= 'A' && ch <= 'Z') {
            ch |= 0x20;
        }

        if ((ch >= 'a' && ch <= 'z') || ch >= 0x80) {
            dst[n++] = ch;
        }
    }

    return n;
}


void
ncr_totp_code(const ncr_char_t *key, uint64_t step, char *code)
{
    size_t       i;
    uint32_t     n;
    ncr_char_t   digest[SHA_DIGEST_LENGTH], *p;

    ncr_totp_hmac(key, step, digest);

    /* RFC 4226, 5.3: dynamic truncation */

    p = digest + (digest[SHA_DIGEST_LENGTH - 1] & 0x0f);

    n = ((uint32_t) (p[0] & 0x7f) << 24 | (uint32_t) p[1] << 16
         | (uint32_t) p[2] << 8 | p[3])
        % NCR_TOTP_MODULO;

    for (i = NCR_TOTP_DIGITS; i > 0; i--) {
        code[i - 1] = (char) ('0' + n % 10);
        n /= 10;
    }

    code[NCR_TOTP_DIGITS] = '\0';
}


static void
ncr_totp_hmac(const ncr_char_t *key, uint64_t step, ncr_char_t *digest)
{
    size_t      i;
    ncr_char_t  inner[NCR_TOTP_BLOCK + 8],
                outer[NCR_TOTP_BLOCK + SHA_DIGEST_LENGTH];

    memset(inner, 0x36, NCR_TOTP_BLOCK);
    memset(outer, 0x5c, NCR_TOTP_BLOCK);

    for (i = 0; i < NCR_TOTP_KEY; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }

    for (i = 0; i < 8; i++) {
        inner[NCR_TOTP_BLOCK + i] = (ncr_char_t) (step >> (56 - 8 * i));
    }

    (void) SHA1(inner, sizeof(inner), outer + NCR_TOTP_BLOCK);
    (void) SHA1(outer, sizeof(outer), digest);

    OPENSSL_cleanse(inner, sizeof(inner));
    OPENSSL_cleanse(outer, sizeof(outer));
}


ncr_int_t
ncr_totp_check(const ncr_char_t *key, ncr_str_t *code, ncr_msec_t now,
    uint64_t last, uint64_t *step)
{
    char        text[NCR_TOTP_DIGITS + 1];
    uint64_t    present, s;
    ncr_int_t   rc;

    *step = 0;

    if (code->len != NCR_TOTP_DIGITS || now < 0) {
        return NCR_DECLINED;
    }

    present = (uint64_t) now / 1000 / NCR_TOTP_SECONDS;
    rc = NCR_DECLINED;

    for (s = present ? present - 1 : 0; s <= present + 1; s++) {

        ncr_totp_code(key, s, text);

        if (ncr_hash_equal(text, code->data, NCR_TOTP_DIGITS)
            && s > last && rc != NCR_OK)
        {
            *step = s;
            rc = NCR_OK;
        }
    }

    OPENSSL_cleanse(text, sizeof(text));

    return rc;
}


/* RFC 4648, 6: 160 bits are 32 characters, without padding */

void
ncr_totp_base32(const ncr_char_t *key, char *text)
{
    size_t    i, n;
    uint32_t  bits;

    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    bits = 0;
    n = 0;

    for (i = 0; i < NCR_TOTP_KEY; i++) {
        bits = (bits << 8 | key[i]) & 0xffff;

        /* 8 * (i + 1) bits so far, 5 * n of them written */

        while (8 * (i + 1) >= 5 * (n + 1)) {
            *text++ = alphabet[bits >> (8 * (i + 1) - 5 * (n + 1)) & 0x1f];
            n++;
        }
    }

    *text = '\0';
}
