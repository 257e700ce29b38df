
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Records of fixed structures are zeroes for the most part.  Packed, a run of
 * them is one byte: pairs of how many zeroes come, and how many bytes after
 * them, and these bytes.
 */


#ifndef _NCR_PACK_H_INCLUDED_
#define _NCR_PACK_H_INCLUDED_


#include "ncr_base.h"


/* the most that len bytes may take */
#define ncr_pack_bound(len)  ((len) + 2 * ((len) / 255 + 2))

/* bytes written to dst, which has room for the most of it */
size_t ncr_pack(ncr_char_t *dst, const ncr_char_t *src, size_t len);

/* NCR_OK: dst has exactly len bytes; NCR_BAD: src is something else */
ncr_int_t ncr_unpack(ncr_char_t *dst, size_t len, const ncr_char_t *src,
    size_t size);


#endif /* _NCR_PACK_H_INCLUDED_ */
