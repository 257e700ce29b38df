
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The record of one request, as it goes through the ring into the ledger.
 * Packed it has no holes and no pointers; texts of an unpacked one are slices
 * of what it was unpacked from.
 */


#ifndef _NCR_RECORD_H_INCLUDED_
#define _NCR_RECORD_H_INCLUDED_


#include "ncr_model.h"


#define NCR_RECORD_CHARGES   24
#define NCR_RECORD_MAX       4096       /* bytes, packed */


/* what a counter of a limit was charged with (see ncr_limit.h) */

typedef struct {
    uint64_t      counter;
    ncr_msec_t    start;                /* of its window */
    ncr_msec_t    end;                  /* INT64_MAX: never */
    int64_t       amount;
} ncr_charge_t;


typedef enum {
    NCR_RECORD_REQUEST = 0,
    NCR_RECORD_CHARGE                   /* only charges: a reset by hand */
} ncr_record_kind_e;


/* flags */
#define NCR_RECORD_STREAM     0x01
#define NCR_RECORD_ESTIMATED  0x02      /* the answer broke: tokens are a
                                           lower bound */
#define NCR_RECORD_UNPRICED   0x04      /* no price for a model: cost is that
                                           of the others */
#define NCR_RECORD_REFUSED    0x08      /* by a limit or restriction of ours */
#define NCR_RECORD_SHADOW     0x10      /* a shadow limit would have refused */


typedef struct {
    ncr_record_kind_e  kind;
    ncr_msec_t    time;                 /* the request came, wall clock */
    uint64_t      key_id;               /* 0 = no key */
    uint64_t      owner;                /* user's or group's id, or 0 */

    ncr_str_t     id;                   /* the relay's */
    ncr_str_t     provider_id;          /* "request-id" of the answer */
    ncr_str_t     key;                  /* names */
    ncr_str_t     user;
    ncr_str_t     group;
    ncr_str_t     account;
    ncr_str_t     platform;
    ncr_str_t     dialect;
    ncr_str_t     op;
    ncr_str_t     model;                /* asked for */
    ncr_str_t     served;
    ncr_str_t     stop;
    ncr_str_t     class;                /* of the error, or "ok" */
    ncr_str_t     client;               /* User-Agent's product and version */
    ncr_str_t     session;              /* hash, hex */
    ncr_str_t     sticky;               /* "hit", "miss", "moved", "" */
    ncr_str_t     price;                /* version of the table */
    ncr_str_t     trail;                /* of attempts, as the variable */

    uint32_t      status;
    uint32_t      attempts;
    uint32_t      duration;             /* ms */
    uint32_t      ttft;                 /* ms; UINT32_MAX: none */
    uint32_t      own;                  /* us */
    uint32_t      flags;
    uint32_t      tier;                 /* ncr_tier_e */
    uint32_t      permille;             /* see ncr_bill_t */
    uint32_t      rate;                 /* the key's, permille; 0 is 1000 */

    ncr_usage_t   usage;                /* of all parts */
    uint64_t      cost;                 /* micro-dollars */
    uint64_t      rated;                /* the same by the key's rates */

    ncr_uint_t    nparts;               /* more than one: by model */
    ncr_part_t    parts[NCR_PARTS];
    ncr_uint_t    ncharges;
    ncr_charge_t  charges[NCR_RECORD_CHARGES];
} ncr_record_t;


/* texts that are too long are cut; returns the length, at most size, which
 * is NCR_RECORD_MAX or more */
size_t ncr_record_pack(ncr_char_t *dst, size_t size, ncr_record_t *rec);

/* NCR_OK or NCR_BAD */
ncr_int_t ncr_record_unpack(ncr_record_t *rec, ncr_str_t *packed);

/* the same of rec->parts alone, at most so many bytes */
#define NCR_RECORD_PARTS_MAX  1024
size_t ncr_record_pack_parts(ncr_char_t *dst, size_t size, ncr_record_t *rec);
ncr_int_t ncr_record_unpack_parts(ncr_record_t *rec, ncr_str_t *packed);


#endif /* _NCR_RECORD_H_INCLUDED_ */
