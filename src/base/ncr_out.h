
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Append-only output into the caller's buffer.  It fails sticky: append
 * freely, then ask out->overflow once.
 */


#ifndef _NCR_OUT_H_INCLUDED_
#define _NCR_OUT_H_INCLUDED_


#include "ncr_base.h"


typedef struct {
    ncr_char_t  *start;
    ncr_char_t  *last;
    ncr_char_t  *end;
    unsigned     overflow:1;
} ncr_out_t;


void ncr_out_init(ncr_out_t *out, ncr_char_t *buf, size_t size);
void ncr_out_bytes(ncr_out_t *out, const void *p, size_t len);
void ncr_out_str(ncr_out_t *out, ncr_str_t *s);
void ncr_out_text(ncr_out_t *out, const char *text);
void ncr_out_int(ncr_out_t *out, int64_t n);

/*
 * The inside of a JSON string: quotes, backslashes and control characters
 * escaped, U+2028 and U+2029 too (some clients split lines there), bytes
 * that are no UTF-8 replaced by U+FFFD.
 */
void ncr_out_json(ncr_out_t *out, ncr_str_t *s);

/* quotes and all */
void ncr_out_json_string(ncr_out_t *out, ncr_str_t *s);


#endif /* _NCR_OUT_H_INCLUDED_ */
