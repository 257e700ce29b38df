
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A queue of records in a piece of memory that outlives its processes.  Who
 * puts has a lock of its own; who reads needs none, and there is one of them.
 * A record is there for the reader with one store of 64 bits, so a writer
 * may be killed anywhere; every record has a checksum, for memory that comes
 * from a file.
 */


#ifndef _NCR_RING_H_INCLUDED_
#define _NCR_RING_H_INCLUDED_


#include "ncr_base.h"


#define NCR_RING_MIN   65536


typedef struct {
    uint64_t      magic;
    uint64_t      id;                   /* of this ring; random, not 0 */
    uint64_t      size;                 /* bytes of data[] */
    volatile uint64_t  head;            /* bytes ever written */
    volatile uint64_t  tail;            /* bytes ever read */
    volatile uint64_t  seq;             /* of the last record */
    volatile uint64_t  lost;            /* records that found no room */
    uint64_t      spare[9];
    ncr_char_t    data[];
} ncr_ring_t;


/* makes an empty ring of a memory of that size */
void ncr_ring_init(ncr_ring_t *ring, size_t size, uint64_t id);

/* NCR_OK: it is a ring of that size, sound up to its head, which is taken
 * back to the last whole record if it is not; NCR_BAD: it is none */
ncr_int_t ncr_ring_check(ncr_ring_t *ring, size_t size);

/* the record's number, from 1; 0: no room (and lost is raised) */
uint64_t ncr_ring_put(ncr_ring_t *ring, const void *data, size_t len);

/* free bytes, a record's own overhead not counted */
size_t ncr_ring_room(ncr_ring_t *ring);

/*
 * *pos: where to read, ring->tail at first; moved behind the record.  data
 * is a slice of the ring until the tail is set beyond it.  NCR_OK;
 * NCR_DECLINED: no more; NCR_BAD: broken, nothing can be read from here on.
 */
ncr_int_t ncr_ring_next(ncr_ring_t *ring, uint64_t *pos, uint64_t *seq,
    ncr_str_t *data);
void ncr_ring_drained(ncr_ring_t *ring, uint64_t pos);


#endif /* _NCR_RING_H_INCLUDED_ */
