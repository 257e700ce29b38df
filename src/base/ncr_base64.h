
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Base64 with the alphabet for URLs, unpadded (RFC 4648, section 5). */


#ifndef _NCR_BASE64_H_INCLUDED_
#define _NCR_BASE64_H_INCLUDED_


#include "ncr_base.h"


/* without a NUL */
#define ncr_base64url_len(len)  (((len) * 4 + 2) / 3)

/* dst has room for that much; returns its end, writes no NUL */
char *ncr_base64url(char *dst, const ncr_char_t *src, size_t len);

/*
 * The way back: dst has room for len * 3 / 4 bytes, *n becomes how many there
 * are.  NCR_BAD: it is not such a text.
 */
ncr_int_t ncr_base64url_decode(ncr_char_t *dst, size_t *n, const char *src,
    size_t len);


#endif /* _NCR_BASE64_H_INCLUDED_ */
