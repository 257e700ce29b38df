
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include <stdlib.h>

#include "../../src/base/ncr_base.h"


/* the memory as it is after each store: a writer may be killed there */

static void ncr_test_stored(void *ring);

#define NCR_RING_STORED(ring)  ncr_test_stored(ring)

#include "../../src/base/ncr_ring.c"

#include "ncr_test.h"


#define NCR_TEST_SIZE    NCR_RING_MIN
#define NCR_TEST_COPIES  8


static void        *ncr_test_copies[NCR_TEST_COPIES];
static ncr_uint_t   ncr_test_ncopies;
static ncr_uint_t   ncr_test_watch;


static void
ncr_test_stored(void *ring)
{
    if (ncr_test_watch && ncr_test_ncopies < NCR_TEST_COPIES) {
        memcpy(ncr_test_copies[ncr_test_ncopies++], ring, NCR_TEST_SIZE);
    }
}


static ncr_ring_t *
ncr_test_ring(uint64_t id)
{
    ncr_ring_t  *ring;

    ring = malloc(NCR_TEST_SIZE);
    memset(ring, 0xa5, NCR_TEST_SIZE);
    ncr_ring_init(ring, NCR_TEST_SIZE, id);

    return ring;
}


/* a record that tells what it is: n, then bytes made of it */

static size_t
ncr_test_fill(ncr_char_t *buf, uint32_t n, size_t len)
{
    size_t  i;

    len = ncr_max(len, sizeof(n));
    memcpy(buf, &n, sizeof(n));

    for (i = sizeof(n); i < len; i++) {
        buf[i] = (ncr_char_t) (n * 7 + i);
    }

    return len;
}


static uint64_t
ncr_test_put(ncr_ring_t *ring, uint32_t n, size_t len)
{
    ncr_char_t  buf[2 * NCR_TEST_SIZE];

    len = ncr_test_fill(buf, n, len);

    return ncr_ring_put(ring, buf, len);
}


/* reads all; 1 if they are the records from n on, in their order */

static ncr_uint_t
ncr_test_read(ncr_ring_t *ring, uint32_t *n, uint64_t *last)
{
    uint64_t    pos, seq;
    ncr_int_t   rc;
    ncr_str_t   data;
    ncr_char_t  buf[2 * NCR_TEST_SIZE];

    pos = ring->tail;

    for ( ;; ) {

        rc = ncr_ring_next(ring, &pos, &seq, &data);

        if (rc != NCR_OK) {
            break;
        }

        (void) ncr_test_fill(buf, *n, data.len);

        if (seq <= *last || data.len < sizeof(uint32_t)
            || memcmp(buf, data.data, data.len) != 0)
        {
            return 0;
        }

        *last = seq;
        (*n)++;

        ncr_ring_drained(ring, pos);
    }

    return rc == NCR_DECLINED;
}


static void
ncr_test_simple(void)
{
    uint32_t     n;
    uint64_t     pos, seq, last;
    ncr_str_t    data;
    ncr_ring_t  *ring;

    ring = ncr_test_ring(77);
    pos = 0;

    ncr_test(ncr_ring_check(ring, NCR_TEST_SIZE) == NCR_OK, "empty: sound");
    ncr_test(ncr_ring_next(ring, &pos, &seq, &data) == NCR_DECLINED,
             "empty: nothing");
    ncr_test(ncr_ring_room(ring) == NCR_TEST_SIZE - sizeof(ncr_ring_t),
             "empty: all of it is room");

    ncr_test(ncr_ring_put(ring, "hello", 5) == 1, "the first is 1");
    ncr_test(ncr_ring_put(ring, "", 0) == 2, "one without bytes");

    ncr_test(ncr_ring_next(ring, &pos, &seq, &data) == NCR_OK && seq == 1
             && ncr_test_str(data, "hello"), "it is read");
    ncr_test(ncr_ring_next(ring, &pos, &seq, &data) == NCR_OK && seq == 2
             && data.len == 0, "and the other one");
    ncr_test(ncr_ring_next(ring, &pos, &seq, &data) == NCR_DECLINED,
             "no more");

    pos = ring->tail;
    ncr_test(ncr_ring_next(ring, &pos, &seq, &data) == NCR_OK && seq == 1,
             "what was read is there until it is drained");

    ncr_ring_drained(ring, ring->head);
    ncr_test(ncr_ring_room(ring) == ring->size, "drained: room again");

    n = 0;
    last = 2;
    (void) ncr_test_put(ring, 0, 100);
    ncr_test(ncr_test_read(ring, &n, &last) && last == 3 && n == 1,
             "numbers go on");

    free(ring);
}


/* lengths of all kinds, round and round */

static void
ncr_test_wrap(void)
{
    size_t       len;
    uint32_t     n, i, read;
    uint64_t     last;
    ncr_uint_t   bad;
    ncr_ring_t  *ring;

    ring = ncr_test_ring(1);
    read = 0;
    last = 0;
    bad = 0;
    n = 0;

    while (ring->head < 40 * (uint64_t) NCR_TEST_SIZE) {

        for (i = 0; i < 1 + n % 9; i++) {
            len = (n * 2654435761u) % 4000;
            bad += (ncr_test_put(ring, n, len) == 0);
            n++;
        }

        bad += (ncr_ring_check(ring, NCR_TEST_SIZE) != NCR_OK);
        bad += !ncr_test_read(ring, &read, &last);
        bad += (read != n);
    }

    ncr_test(bad == 0 && ring->lost == 0,
             "round and round: each record, once, in order");
    ncr_test(last == n, "no number was left out");

    free(ring);
}


static void
ncr_test_full(void)
{
    size_t       room;
    uint32_t     n, read;
    uint64_t     head, last;
    ncr_ring_t  *ring;

    ring = ncr_test_ring(1);
    read = 0;
    last = 0;

    for (n = 0; ncr_test_put(ring, n, 1000); n++) { /* void */ }

    ncr_test(ring->lost == 1 && n == ring->size / 1024,
             "full: told and counted");
    ncr_test(ncr_ring_check(ring, NCR_TEST_SIZE) == NCR_OK && ring->lost == 1,
             "full is sound");

    head = ring->head;
    (void) ncr_test_put(ring, n, 1000);
    ncr_test(ring->head == head && ring->lost == 2, "nothing is overwritten");

    room = ncr_ring_room(ring);

    if (room >= 32) {
        ncr_test(ncr_test_put(ring, n, room - 16) == n + 1,
                 "what fits exactly does");
        n++;
    }

    ncr_test(ncr_ring_room(ring) == 0, "no room at all");
    ncr_test(ncr_test_read(ring, &read, &last) && read == n,
             "all of it is there");
    ncr_test(ncr_test_put(ring, n, 1000) == n + 1, "and there is room again");

    ncr_test(ncr_test_put(ring, n, NCR_TEST_SIZE) == 0,
             "one that is larger than the ring");

    free(ring);
}


/* killed after any store: the new record is there or not, all others are */

static void
ncr_test_killed(void)
{
    uint32_t     n, i, read;
    uint64_t     last;
    ncr_uint_t   bad, stores, old, pads;
    ncr_ring_t  *ring, *copy;

    ring = ncr_test_ring(9);

    for (i = 0; i < NCR_TEST_COPIES; i++) {
        ncr_test_copies[i] = malloc(NCR_TEST_SIZE);
    }

    bad = 0;
    pads = 0;
    stores = 0;
    last = 0;
    read = 0;

    for (n = 0; n < 400; n++) {

        ncr_test_watch = 1;
        ncr_test_ncopies = 0;
        bad += (ncr_test_put(ring, n, 16 + n * 37 % 1500) == 0);
        ncr_test_watch = 0;

        stores += ncr_test_ncopies;
        pads += (ncr_test_ncopies == 5);

        for (i = 0; i < ncr_test_ncopies; i++) {

            uint32_t  from;
            uint64_t  seen;

            copy = ncr_test_copies[i];

            bad += (ncr_ring_check(copy, NCR_TEST_SIZE) != NCR_OK);
            bad += (copy->lost != 0);

            from = read;
            seen = last;
            bad += !ncr_test_read(copy, &from, &seen);

            old = (i < ncr_test_ncopies - 1);
            bad += (from != n + !old);

            /* whoever goes on with it gets a number nobody has had */

            bad += (ncr_test_put(copy, from, 300) <= seen);
            bad += (copy->seq <= seen);
            bad += !ncr_test_read(copy, &from, &seen);
            bad += (from != n + !old + 1);
        }

        if (n % 5 == 4) {
            bad += !ncr_test_read(ring, &read, &last);
        }
    }

    ncr_test(stores > 4 * 400 && pads > 2, "killed: it was looked at");
    ncr_test(bad == 0, "killed after any store: all or nothing of it");

    for (i = 0; i < NCR_TEST_COPIES; i++) {
        free(ncr_test_copies[i]);
    }

    free(ring);
}


/* a file may have been written by anybody, or by a bad disk */

static void
ncr_test_broken(void)
{
    size_t       at;
    uint32_t     n, i, read;
    uint64_t     last, pos, seq;
    ncr_str_t    data;
    ncr_uint_t   bad;
    ncr_ring_t  *ring, *copy;

    ring = ncr_test_ring(5);
    copy = malloc(NCR_TEST_SIZE);
    bad = 0;

    for (n = 0; n < 20; n++) {
        (void) ncr_test_put(ring, n, 500);
    }

    for (at = 0; at < 20 * 528; at += 13) {

        memcpy(copy, ring, NCR_TEST_SIZE);
        copy->data[at] ^= 0x10;

        bad += (ncr_ring_check(copy, NCR_TEST_SIZE) != NCR_OK);

        read = 0;
        last = 0;
        bad += !ncr_test_read(copy, &read, &last);

        /* bytes that only fill up are of no record */

        bad += (read != at / 528
                && !(at % 528 >= 516 && read == n && copy->lost == 0));
        bad += (read < n && copy->lost != 1);
        bad += (ncr_test_put(copy, 0, 10) != 21);
    }

    ncr_test(bad == 0, "a byte changed: up to the record before it");

    for (i = 0; i < 4; i++) {

        memcpy(copy, ring, NCR_TEST_SIZE);

        switch (i) {
        case 0:
            copy->head += 16 * 1024 * 1024;
            break;

        case 1:
            copy->tail = copy->head + 16;
            break;

        case 2:
            copy->head += 8;
            break;

        default:
            copy->magic ^= 1;
            break;
        }

        ncr_test(ncr_ring_check(copy, NCR_TEST_SIZE) == NCR_BAD,
                 "no ring: head, tail, odd, magic");
    }

    memcpy(copy, ring, NCR_TEST_SIZE);
    ncr_test(ncr_ring_check(copy, NCR_TEST_SIZE + 64) == NCR_BAD,
             "another size");
    ncr_test(ncr_ring_check(copy, 64) == NCR_BAD, "too small");

    pos = copy->head + 16;
    ncr_test(ncr_ring_next(copy, &pos, &seq, &data) == NCR_BAD,
             "read behind the head");

    /* what another ring has left behind is not taken for its own */

    copy->id++;
    read = 0;
    last = 0;
    (void) ncr_ring_check(copy, NCR_TEST_SIZE);
    ncr_test(ncr_test_read(copy, &read, &last) && read == 0,
             "records of another ring");

    free(copy);
    free(ring);
}


int
main(void)
{
    ncr_test_simple();
    ncr_test_wrap();
    ncr_test_full();
    ncr_test_killed();
    ncr_test_broken();

    return ncr_test_done();
}
