
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Secrets at rest: AES-256-GCM under a data key, which is itself sealed under
 * the operator's key.  A sealed value is bound to its place (table, row,
 * column), so that one cannot be moved to another row.
 */


#ifndef _NCR_SEAL_H_INCLUDED_
#define _NCR_SEAL_H_INCLUDED_


#include "ncr_base.h"


#define NCR_SEAL_KEY      32
#define NCR_SEAL_SALT     16

/* what a sealed value has beyond its text: format, nonce, tag */
#define NCR_SEAL_NONCE    12
#define NCR_SEAL_TAG      16
#define NCR_SEAL_EXTRA    (1 + NCR_SEAL_NONCE + NCR_SEAL_TAG)


/* where a value lies; is authenticated, not stored */

typedef struct {
    const char  *table;
    const char  *row;
    const char  *column;
} ncr_seal_place_t;


/*
 * plain into out, which has room for plain->len + NCR_SEAL_EXTRA bytes; the
 * nonce is random.  NCR_OK, or NCR_ERROR if there is no randomness.
 */
ncr_int_t ncr_seal(const ncr_char_t *key, ncr_seal_place_t *place,
    ncr_str_t *plain, ncr_char_t *out);

/*
 * The way back: sealed->len - NCR_SEAL_EXTRA bytes into out.  NCR_BAD: too
 * short, of another format, another key, another place, or changed.
 */
ncr_int_t ncr_seal_open(const ncr_char_t *key, ncr_seal_place_t *place,
    ncr_str_t *sealed, ncr_char_t *out);

/*
 * The contents of a key file: a line of 64 hex digits, as written by
 * ncr_seal_key_text(); blanks and lines that begin with "#" are passed over.
 * NULL, or what is wrong with it; a key of equal bytes and other defaults
 * ("changeme...", 00 01 02 ...) are refused.
 */
const char *ncr_seal_key_parse(ncr_str_t *text, ncr_char_t *key);

/* a fresh key and its file's text (a comment and 64 digits), NUL terminated */
#define NCR_SEAL_KEY_TEXT  256
ncr_int_t ncr_seal_key_text(ncr_char_t *key, char *text, size_t size);

/* scrypt (RFC 7914), N = 2^15, r = 8, p = 1: some 32 MB and 100 ms */
ncr_int_t ncr_seal_key_scrypt(ncr_str_t *passphrase, const ncr_char_t *salt,
    ncr_char_t *key);

/* len random bytes */
ncr_int_t ncr_seal_random(ncr_char_t *p, size_t len);

/* overwrites, whatever the compiler thinks of it */
void ncr_seal_forget(void *p, size_t len);


#endif /* _NCR_SEAL_H_INCLUDED_ */
