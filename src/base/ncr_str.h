
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Slices: comparing, finding, numbers and times.  ASCII only; none of these
 * needs a terminating NUL and none allocates.
 */


#ifndef _NCR_STR_H_INCLUDED_
#define _NCR_STR_H_INCLUDED_


#include "ncr_base.h"


/* 1 if equal; these two are asked for each header, so a literal's length is
 * to be known to the compiler */

static inline ncr_uint_t
ncr_str_eq(ncr_str_t *s, const char *text)
{
    size_t  len;

    len = strlen(text);

    return s->len == len && (len == 0 || memcmp(s->data, text, len) == 0);
}


static inline ncr_uint_t
ncr_str_prefix(ncr_str_t *s, const char *prefix)
{
    size_t  len;

    len = strlen(prefix);

    return s->len >= len && (len == 0 || memcmp(s->data, prefix, len) == 0);
}


/* len bytes with letters in lower case; dst may be src */
void ncr_str_lowcase(ncr_char_t *dst, const ncr_char_t *src, size_t len);

/* the same, whatever the case of letters */
ncr_uint_t ncr_str_caseeq(ncr_str_t *s, const char *text);

/* 1 if text (lower case) occurs in s, whatever the case of s */
ncr_uint_t ncr_str_contains(ncr_str_t *s, const char *text);

/* "*" any run of characters, "?" one; case of letters ignored; linear time */
ncr_uint_t ncr_str_glob(ncr_str_t *pattern, ncr_str_t *s);

/* NCR_OK or NCR_BAD: not a decimal number, or over INT64_MAX */
ncr_int_t ncr_str_int(ncr_str_t *s, int64_t *value);

/*
 * A decimal fraction such as "0.69" or "1" in 1/10000, rounded; NCR_BAD
 * when it is none.  Capped at INT32_MAX.
 */
ncr_int_t ncr_str_fraction(ncr_str_t *s, int32_t *value);

/*
 * Milliseconds since the epoch of Unix seconds ("1795262400"), an RFC 3339
 * time ("2026-11-21T15:00:00Z", "...00.25+01:00") or an HTTP date (IMF, RFC
 * 850, asctime); NCR_BAD otherwise.
 */
ncr_int_t ncr_str_time(ncr_str_t *s, ncr_msec_t *value);

/* RFC 3339 in UTC, "2026-11-21T15:00:00Z": 20 bytes and a NUL into buf */
#define NCR_STR_RFC3339  sizeof("2026-11-21T15:00:00Z")
void ncr_str_rfc3339(char *buf, ncr_msec_t t);

/* decimal digits, at most 20 and no NUL; returns the end of them */
ncr_char_t *ncr_str_decimal(ncr_char_t *dst, uint64_t n);

/* copies at most size - 1 bytes and a NUL */
void ncr_str_copy(char *dst, size_t size, ncr_str_t *src);


#endif /* _NCR_STR_H_INCLUDED_ */
