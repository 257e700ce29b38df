
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Passwords of people and codes of their second factor.  Pure: random bytes
 * are arguments.
 */


#ifndef _NCR_PASSWORD_H_INCLUDED_
#define _NCR_PASSWORD_H_INCLUDED_


#include "ncr_base.h"


#define NCR_PASSWORD_TEXT   160         /* of a hash, with its NUL */
#define NCR_PASSWORD_SALT   16
#define NCR_PASSWORD_MIN    10          /* characters */
#define NCR_PASSWORD_MAX    256         /* bytes */

#define NCR_TOTP_KEY        20
#define NCR_TOTP_BASE32     33          /* of a key, with its NUL */


/*
 * scrypt (RFC 7914), N = 2^15, r = 8, p = 1: some 32 MB and 100 ms, so never
 * on an event loop.  text: "scrypt$15$8$1$salt$hash", base64url.
 */
ncr_int_t ncr_password_hash(ncr_str_t *password, const ncr_char_t *salt,
    char *text);

/*
 * NCR_OK: it is this password; NCR_DECLINED.  text "" or what is no hash
 * takes as long as a wrong password.
 */
ncr_int_t ncr_password_check(const char *text, ncr_str_t *password);

/* NULL, or why it is no good: too short, too long, the user's name... */
const char *ncr_password_weak(ncr_str_t *password, ncr_str_t *name);


/*
 * RFC 6238: HMAC-SHA-1, 30 seconds, 6 digits.  check(): the code of the
 * present step or of a neighbour that is later than last; sets *step, which
 * becomes the next last, so that no code is taken twice.
 */
void ncr_totp_code(const ncr_char_t *key, uint64_t step, char *code);
ncr_int_t ncr_totp_check(const ncr_char_t *key, ncr_str_t *code,
    ncr_msec_t now, uint64_t last, uint64_t *step);
void ncr_totp_base32(const ncr_char_t *key, char *text);


#endif /* _NCR_PASSWORD_H_INCLUDED_ */
