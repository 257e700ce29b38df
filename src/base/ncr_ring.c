
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_ring.h"


/* "ncrring1" */
#define NCR_RING_MAGIC   0x31676e6972726371ULL

/* the rest up to the end of data[] is not used: a record is in one piece */
#define NCR_RING_PAD     UINT32_MAX

/* a test looks at the memory after each store that matters */

#ifndef NCR_RING_STORED
#define NCR_RING_STORED(ring)
#endif

#define ncr_ring_align(n)   (((n) + 15) & ~(uint64_t) 15)

#define ncr_ring_get(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ncr_ring_set(p, n)  __atomic_store_n(p, n, __ATOMIC_RELEASE)


/* in front of each record; both begin at multiples of 16 */

typedef struct {
    uint32_t      len;
    uint32_t      sum;                  /* of all else, and of the data */
    uint64_t      seq;
} ncr_ring_record_t;


static void ncr_ring_write(ncr_ring_t *ring, uint64_t pos, uint64_t seq,
    uint32_t len, const void *data);
static uint32_t ncr_ring_sum(ncr_ring_t *ring, ncr_ring_record_t *h,
    const void *data, size_t len);
static uint64_t ncr_ring_mix(uint64_t sum, uint64_t word);
static ncr_int_t ncr_ring_read(ncr_ring_t *ring, uint64_t *pos,
    uint64_t head, uint64_t *seq, ncr_str_t *data);


void
ncr_ring_init(ncr_ring_t *ring, size_t size, uint64_t id)
{
    memset(ring, 0, sizeof(ncr_ring_t));

    ring->id = id;
    ring->size = (size - sizeof(ncr_ring_t)) & ~(uint64_t) 15;

    /* who finds half of it finds none */

    ncr_ring_set(&ring->magic, NCR_RING_MAGIC);
}


ncr_int_t
ncr_ring_check(ncr_ring_t *ring, size_t size)
{
    uint64_t   head, tail, pos, seq, last;
    ncr_int_t  rc;
    ncr_str_t  data;

    if (size < NCR_RING_MIN
        || ring->magic != NCR_RING_MAGIC
        || ring->id == 0
        || ring->size != ((size - sizeof(ncr_ring_t)) & ~(uint64_t) 15))
    {
        return NCR_BAD;
    }

    head = ncr_ring_get(&ring->head);
    tail = ncr_ring_get(&ring->tail);

    if (((head | tail) & 15) || tail > head || head - tail > ring->size) {
        return NCR_BAD;
    }

    pos = tail;
    last = 0;

    for ( ;; ) {

        rc = ncr_ring_next(ring, &pos, &seq, &data);

        if (rc != NCR_OK || seq <= last) {
            break;
        }

        last = seq;
        tail = pos;
    }

    if (rc != NCR_DECLINED) {
        (void) __atomic_fetch_add(&ring->lost, 1, __ATOMIC_RELAXED);
        ncr_ring_set(&ring->head, tail);
    }

    if (ring->seq < last) {
        ncr_ring_set(&ring->seq, last);
    }

    return NCR_OK;
}


uint64_t
ncr_ring_put(ncr_ring_t *ring, const void *data, size_t len)
{
    uint64_t  head, used, need, left, seq;

    head = ring->head;
    used = head - ncr_ring_get(&ring->tail);
    left = ring->size - head % ring->size;
    need = sizeof(ncr_ring_record_t) + ncr_ring_align(len);

    if (need > left) {
        need += left;
    }

    if (used > ring->size || need > ring->size - used) {
        (void) __atomic_fetch_add(&ring->lost, 1, __ATOMIC_RELAXED);
        return 0;
    }

    seq = ring->seq + 1;

    if (need > left) {
        ncr_ring_write(ring, head, 0, NCR_RING_PAD, NULL);
        NCR_RING_STORED(ring);
        ncr_ring_write(ring, head + left, seq, (uint32_t) len, data);

    } else {
        ncr_ring_write(ring, head, seq, (uint32_t) len, data);
    }

    NCR_RING_STORED(ring);

    /*
     * The number first: who is killed between the two leaves a gap, and not
     * a number that another record would get once more.
     */

    ncr_ring_set(&ring->seq, seq);
    NCR_RING_STORED(ring);

    ncr_ring_set(&ring->head, head + need);
    NCR_RING_STORED(ring);

    return seq;
}


static void
ncr_ring_write(ncr_ring_t *ring, uint64_t pos, uint64_t seq, uint32_t len,
    const void *data)
{
    size_t              n;
    ncr_char_t         *p;
    ncr_ring_record_t   h;

    n = (len == NCR_RING_PAD) ? 0 : len;
    p = ring->data + pos % ring->size;

    h.len = len;
    h.seq = seq;
    h.sum = ncr_ring_sum(ring, &h, data, n);

    if (n) {
        memcpy(p + sizeof(ncr_ring_record_t), data, n);
        NCR_RING_STORED(ring);
    }

    memcpy(p, &h, sizeof(ncr_ring_record_t));
}


/*
 * What was not written, or half, must not look like a record; nobody forges
 * one.  Eight bytes at a time, as each request pays for it.
 */

static uint32_t
ncr_ring_sum(ncr_ring_t *ring, ncr_ring_record_t *h, const void *data,
    size_t len)
{
    uint64_t           sum, word;
    const ncr_char_t  *p;

    sum = ncr_ring_mix(ring->id, h->seq);
    sum = ncr_ring_mix(sum, h->len);

    for (p = data; len >= sizeof(word); p += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        sum = ncr_ring_mix(sum, word);
        len -= sizeof(word);
    }

    if (len) {
        word = 0;
        memcpy(&word, p, len);
        sum = ncr_ring_mix(sum, word);
    }

    return (uint32_t) (sum ^ sum >> 32);
}


static uint64_t
ncr_ring_mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);

    return sum ^ sum >> 29;
}


size_t
ncr_ring_room(ncr_ring_t *ring)
{
    uint64_t  used;

    used = ring->head - ncr_ring_get(&ring->tail);

    return (used > ring->size) ? 0 : (size_t) (ring->size - used);
}


ncr_int_t
ncr_ring_next(ncr_ring_t *ring, uint64_t *pos, uint64_t *seq,
    ncr_str_t *data)
{
    uint64_t   head;
    ncr_int_t  rc;

    head = ncr_ring_get(&ring->head);

    if ((*pos & 15) || *pos > head || head - *pos > ring->size) {
        return NCR_BAD;
    }

    do {
        if (*pos == head) {
            return NCR_DECLINED;
        }

        rc = ncr_ring_read(ring, pos, head, seq, data);

    } while (rc == NCR_AGAIN);

    return rc;
}


/* NCR_AGAIN: nothing was there up to the end of data[] */

static ncr_int_t
ncr_ring_read(ncr_ring_t *ring, uint64_t *pos, uint64_t head, uint64_t *seq,
    ncr_str_t *data)
{
    uint64_t            left;
    ncr_char_t         *p;
    ncr_ring_record_t   h;

    p = ring->data + *pos % ring->size;
    left = ncr_min(ring->size - *pos % ring->size, head - *pos);

    if (left < sizeof(ncr_ring_record_t)) {
        return NCR_BAD;
    }

    memcpy(&h, p, sizeof(ncr_ring_record_t));

    if (h.len == NCR_RING_PAD) {

        left = ring->size - *pos % ring->size;

        if (h.sum != ncr_ring_sum(ring, &h, NULL, 0) || left > head - *pos) {
            return NCR_BAD;
        }

        *pos += left;

        return NCR_AGAIN;
    }

    p += sizeof(ncr_ring_record_t);
    left -= sizeof(ncr_ring_record_t);

    if (h.len > left || ncr_ring_align((uint64_t) h.len) > left
        || h.seq == 0 || h.sum != ncr_ring_sum(ring, &h, p, h.len))
    {
        return NCR_BAD;
    }

    *pos += sizeof(ncr_ring_record_t) + ncr_ring_align((uint64_t) h.len);
    *seq = h.seq;

    data->data = p;
    data->len = h.len;

    return NCR_OK;
}


void
ncr_ring_drained(ncr_ring_t *ring, uint64_t pos)
{
    ncr_ring_set(&ring->tail, pos);
}
