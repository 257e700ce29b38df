
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What ncr_json.c knows of blocks of bytes; for nobody else.  All that is
 * known of strings comes from comparisons that give masks.
 */


#ifndef _NCR_JSON_BLOCK_H_INCLUDED_
#define _NCR_JSON_BLOCK_H_INCLUDED_


#include "ncr_base.h"

#if defined(__SSE2__) && !defined(NCR_JSON_PORTABLE)
#include <emmintrin.h>
#define NCR_JSON_SSE2     1
#else
#define NCR_JSON_SSE2     0
#endif

/* asked for at run time, so that one build serves all machines */

#if (NCR_JSON_SSE2)
#include <immintrin.h>
#define NCR_JSON_AVX2     1
#else
#define NCR_JSON_AVX2     0
#endif


#define NCR_JSON_BLOCK    64


/* a block is 64 bytes; a mask has a bit for each, the first byte lowest */

typedef struct {
#if (NCR_JSON_SSE2)
    __m128i   v[4];
#else
    uint64_t  v[8];
#endif
} ncr_json_block_t;


#if (NCR_JSON_SSE2)

static inline void
ncr_json_load(ncr_json_block_t *b, const ncr_char_t *p)
{
    b->v[0] = _mm_loadu_si128((const __m128i *) p);
    b->v[1] = _mm_loadu_si128((const __m128i *) (p + 16));
    b->v[2] = _mm_loadu_si128((const __m128i *) (p + 32));
    b->v[3] = _mm_loadu_si128((const __m128i *) (p + 48));
}


static inline uint64_t
ncr_json_mask(__m128i v0, __m128i v1, __m128i v2, __m128i v3)
{
    uint32_t  low, high;

    low = (uint32_t) _mm_movemask_epi8(v0)
          | (uint32_t) _mm_movemask_epi8(v1) << 16;
    high = (uint32_t) _mm_movemask_epi8(v2)
           | (uint32_t) _mm_movemask_epi8(v3) << 16;

    return low | (uint64_t) high << 32;
}


static inline uint64_t
ncr_json_equal(const ncr_json_block_t *b, int c)
{
    __m128i  x;

    x = _mm_set1_epi8((char) c);

    return ncr_json_mask(_mm_cmpeq_epi8(b->v[0], x),
                         _mm_cmpeq_epi8(b->v[1], x),
                         _mm_cmpeq_epi8(b->v[2], x),
                         _mm_cmpeq_epi8(b->v[3], x));
}


/* bytes compared as signed: the non-ASCII ones are the lowest */

static inline uint64_t
ncr_json_less(const ncr_json_block_t *b, int c)
{
    __m128i  x;

    x = _mm_set1_epi8((char) c);

    return ncr_json_mask(_mm_cmplt_epi8(b->v[0], x),
                         _mm_cmplt_epi8(b->v[1], x),
                         _mm_cmplt_epi8(b->v[2], x),
                         _mm_cmplt_epi8(b->v[3], x));
}

#else

#define NCR_JSON_ONES     0x0101010101010101ULL
#define NCR_JSON_HIGHS    0x8080808080808080ULL


static inline void
ncr_json_load(ncr_json_block_t *b, const ncr_char_t *p)
{
    ncr_uint_t  i;

    for (i = 0; i < 8; i++, p += 8) {
        b->v[i] = (uint64_t) p[0] | (uint64_t) p[1] << 8
                  | (uint64_t) p[2] << 16 | (uint64_t) p[3] << 24
                  | (uint64_t) p[4] << 32 | (uint64_t) p[5] << 40
                  | (uint64_t) p[6] << 48 | (uint64_t) p[7] << 56;
    }
}


/* gathers the high bits of eight bytes */

static inline uint64_t
ncr_json_gather(uint64_t x)
{
    return (((x & NCR_JSON_HIGHS) >> 7) * 0x0102040810204080ULL) >> 56;
}


static inline uint64_t
ncr_json_equal(const ncr_json_block_t *b, int c)
{
    uint64_t    x, y, mask;
    ncr_uint_t  i;

    mask = 0;
    y = NCR_JSON_ONES * (ncr_char_t) c;

    for (i = 0; i < 8; i++) {
        x = b->v[i] ^ y;
        x |= (x & ~NCR_JSON_HIGHS) + ~NCR_JSON_HIGHS;
        mask |= ncr_json_gather(~x) << (i * 8);
    }

    return mask;
}


static inline uint64_t
ncr_json_less(const ncr_json_block_t *b, int c)
{
    uint64_t    x, y, d, mask;
    ncr_uint_t  i;

    mask = 0;
    y = (NCR_JSON_ONES * (ncr_char_t) c) ^ NCR_JSON_HIGHS;

    for (i = 0; i < 8; i++) {
        x = b->v[i] ^ NCR_JSON_HIGHS;
        d = (x | NCR_JSON_HIGHS) - (y & ~NCR_JSON_HIGHS);
        x = (~x & y) | (~(x ^ y) & ~d);
        mask |= ncr_json_gather(x) << (i * 8);
    }

    return mask;
}

#endif


/* the number of the lowest bit of a mask that is not 0 */

static inline size_t
ncr_json_lowest(uint64_t mask)
{
    return (size_t) __builtin_ctzll(mask);
}


/*
 * The bytes that a backslash escapes.  A run of backslashes escapes its
 * every second byte and, if it is odd, the byte after it; subtracting lets
 * the borrow run through all runs at once, so that no escape costs a branch
 * (the arithmetic is that of simdjson).  *carry is the bit of the block's
 * first byte if the byte before escapes it, and comes out as 0 or 1 for the
 * next block.
 */

static inline uint64_t
ncr_json_escaped(uint64_t slash, uint64_t *carry)
{
    uint64_t        first, codes, escaped;
    const uint64_t  odd = 0xAAAAAAAAAAAAAAAAULL;

    first = slash & ~*carry;
    codes = (((first << 1) | odd) - first) ^ odd;
    escaped = codes ^ (slash | *carry);

    *carry = (codes & slash) >> 63;

    return escaped;
}


/*
 * The closing quote of a short and plain string: its beginning is looked at
 * 16 bytes at a time, as long as there are more than 16 before last.  *p is
 * moved over what is plain; NULL: the rest needs a closer look.
 */

static inline ncr_char_t *
ncr_json_short(ncr_char_t **p, ncr_char_t *last)
{
    ncr_char_t  *q, *end;

#if (NCR_JSON_SSE2)

    __m128i      v, special;
    uint32_t     quote, before;

    q = *p;
    end = q + NCR_JSON_BLOCK;

    for ( /* void */ ; last - q > 16 && q < end; q += 16) {

        v = _mm_loadu_si128((const __m128i *) q);

        quote = (uint32_t) _mm_movemask_epi8(
                               _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));

        /* signed: a control or non-ASCII byte is below the space */

        special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                               _mm_cmplt_epi8(v, _mm_set1_epi8(' ')));

        /* the bytes before the first quote, all if there is none */

        before = (quote & (0 - quote)) - 1;

        if ((uint32_t) _mm_movemask_epi8(special) & before) {
            break;
        }

        if (quote) {
            return q + __builtin_ctz(quote);
        }
    }

#else

    q = *p;
    end = q + 16;

    if (last - q > 16) {

        while (q < end && *q >= ' ' && *q < 0x80 && *q != '\\') {

            if (*q == '"') {
                return q;
            }

            q++;
        }
    }

#endif

    *p = q;

    return NULL;
}


#if (NCR_JSON_AVX2)

/*
 * Passes over the blocks of a long string that are plain: ASCII, escapes
 * allowed, without its end.  It is the loop of ncr_json_string() in half as
 * many instructions.
 */

__attribute__((target("avx2,bmi")))
static ncr_char_t *
ncr_json_plain(ncr_char_t *p, ncr_char_t *last, uint64_t *carry,
    uint64_t *seen)
{
    __m256i   a, b, slashes, quotes, space;
    uint64_t  slash, quote, next;

    slashes = _mm256_set1_epi8('\\');
    quotes = _mm256_set1_epi8('"');
    space = _mm256_set1_epi8(' ');

    while (last - p >= NCR_JSON_BLOCK) {

        a = _mm256_loadu_si256((const __m256i *) p);
        b = _mm256_loadu_si256((const __m256i *) (p + 32));

        slash = (uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, slashes))
                | (uint64_t) (uint32_t) _mm256_movemask_epi8(
                                  _mm256_cmpeq_epi8(b, slashes)) << 32;
        quote = (uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, quotes))
                | (uint64_t) (uint32_t) _mm256_movemask_epi8(
                                  _mm256_cmpeq_epi8(b, quotes)) << 32;

        /* signed: a control or non-ASCII byte is below the space */

        a = _mm256_cmpgt_epi8(space, _mm256_min_epi8(a, b));

        next = *carry;
        quote &= ~ncr_json_escaped(slash, &next);

        if (quote | (uint32_t) _mm256_movemask_epi8(a)) {
            break;
        }

        *carry = next;
        *seen |= slash;
        p += NCR_JSON_BLOCK;
    }

    return p;
}

#endif


#endif /* _NCR_JSON_BLOCK_H_INCLUDED_ */
