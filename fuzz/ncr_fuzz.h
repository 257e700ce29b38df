
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What fuzz targets have in common. */


#ifndef _NCR_FUZZ_H_INCLUDED_
#define _NCR_FUZZ_H_INCLUDED_


#include "ncr_base.h"

#include <stdlib.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static inline void
ncr_fuzz_check(int cond)
{
    if (!cond) {
        abort();
    }
}


static inline void
ncr_fuzz_hash(uint64_t *hash, const void *p, size_t len)
{
    const ncr_char_t  *q;

    for (q = p; len; len--) {
        *hash = (*hash ^ *q++) * 0x100000001b3ULL;
    }
}


/* chosen by the input, of one byte or more */

static inline uint32_t
ncr_fuzz_seed(const uint8_t *data, size_t size)
{
    return data[size - 1] * 2654435761u + (uint32_t) size;
}


/* the length of the next chunk of those that are left */

static inline size_t
ncr_fuzz_cut(uint32_t *seed, size_t size, ncr_uint_t whole)
{
    size_t  n;

    *seed = *seed * 1103515245 + 12345;

    n = (*seed >> 16) % ((*seed & 0x100) ? 5 : 120);

    return whole ? size : ncr_min(n, size);
}


#endif /* _NCR_FUZZ_H_INCLUDED_ */
