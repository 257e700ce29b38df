
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Takes secrets out of a text that is to be kept: what has the shape of a
 * token, members of JSON and of queries by their names, and strings that the
 * caller knows.  No regular expressions: each byte is looked at a bounded
 * number of times, whatever an attacker writes.
 *
 * It is a filter for texts, not a parser: JSON inside of a JSON string is
 * seen, too, to any depth.  What it does not see: a secret in pieces (the
 * deltas of a stream), names or tokens written with \u escapes, base64 of
 * something, and a shape that nobody told it of.
 */


#ifndef _NCR_REDACT_H_INCLUDED_
#define _NCR_REDACT_H_INCLUDED_


#include "ncr_base.h"


#define NCR_REDACTED       "[redacted]"

#define NCR_REDACT_FIELD   64           /* of a name, at most */
#define NCR_REDACT_TOKEN   3            /* of a prefix, at least */
#define NCR_REDACT_KNOWN   8            /* of a known string, at least */


/* what the operator adds; may be all zero */

typedef struct {
    ncr_str_t   *tokens;                /* a word that begins so */
    ncr_uint_t   ntokens;
    ncr_str_t   *fields;                /* as ncr_redact_field() made them */
    ncr_uint_t   nfields;
} ncr_redact_t;


/*
 * A field's name as it is compared: "api_key", "Api-Key" and "apiKey" are
 * one.  dst has NCR_REDACT_FIELD bytes; NCR_BAD: too long, or of other than
 * letters, digits, "_", "-" and ".".
 */
ncr_int_t ncr_redact_field(ncr_str_t *dst, ncr_str_t *name);

/* is the value of this name a secret; built-in names and the operator's */
ncr_uint_t ncr_redact_secret(ncr_redact_t *redact, ncr_str_t *name);

/*
 * In place; returns the new length, which is never more than it was.  known:
 * strings to be taken out wherever a word may begin; those shorter than
 * NCR_REDACT_KNOWN are passed over.  cut: the text does not end where it
 * ended, so what may be the begin of a secret there is one.
 */
size_t ncr_redact(ncr_redact_t *redact, ncr_str_t *known, ncr_uint_t nknown,
    ncr_char_t *p, size_t len, ncr_uint_t cut);


#endif /* _NCR_REDACT_H_INCLUDED_ */
