
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* A ring's memory out of a file that may be anything, and its records. */


#include "../src/base/ncr_ring.c"
#include "../src/model/ncr_record.c"
#include "ncr_fuzz.h"


/* what can be read can be written, and is read again */

static void
ncr_fuzz_record(ncr_str_t *packed)
{
    size_t        len;
    ncr_str_t     again;
    ncr_char_t    buf[NCR_RECORD_MAX];
    ncr_record_t  rec, other;

    if (ncr_record_unpack(&rec, packed) != NCR_OK) {
        return;
    }

    ncr_fuzz_check(rec.nparts <= NCR_PARTS
                   && rec.ncharges <= NCR_RECORD_CHARGES);

    len = ncr_record_pack(buf, sizeof(buf), &rec);
    ncr_fuzz_check(len != 0 && len <= sizeof(buf));

    again.data = buf;
    again.len = len;
    ncr_fuzz_check(ncr_record_unpack(&other, &again) == NCR_OK);
    ncr_fuzz_check(other.nparts == rec.nparts && other.cost == rec.cost
                   && other.ncharges == rec.ncharges);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       len;
    uint64_t     pos, seq, last;
    ncr_int_t    rc;
    ncr_str_t    s;
    ncr_char_t  *copy;
    ncr_ring_t  *ring;

    copy = malloc(size + 1);
    memcpy(copy, data, size);
    s.data = copy;
    s.len = size;
    ncr_fuzz_record(&s);
    free(copy);

    /* the header as it comes, or with what a checksum guards made right */

    len = NCR_RING_MIN;
    ring = calloc(1, len);

    memcpy(ring, data, ncr_min(size, len));

    if (size && (data[0] & 1)) {
        ring->magic = NCR_RING_MAGIC;
        ring->id |= 1;
        ring->size = (len - sizeof(ncr_ring_t)) & ~(uint64_t) 15;
        ring->tail %= 1024 * 1024;
        ring->head = ring->tail + ring->head % (ring->size + 1);
        ring->tail &= ~(uint64_t) 15;
        ring->head &= ~(uint64_t) 15;
    }

    if (ncr_ring_check(ring, len) == NCR_OK) {

        pos = ring->tail;
        last = 0;

        while ((rc = ncr_ring_next(ring, &pos, &seq, &s)) == NCR_OK) {
            ncr_fuzz_check(seq > last && s.data >= ring->data
                           && s.data + s.len <= (ncr_char_t *) ring + len);
            last = seq;
        }

        ncr_fuzz_check(rc == NCR_DECLINED);

        if (ncr_ring_put(ring, data, ncr_min(size, 4000))) {
            ncr_fuzz_check(ncr_ring_next(ring, &pos, &seq, &s) == NCR_OK
                           && s.len == ncr_min(size, 4000)
                           && memcmp(s.data, data, s.len) == 0);
        }
    }

    free(ring);

    return 0;
}
