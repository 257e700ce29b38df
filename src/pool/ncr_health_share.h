
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The part of an account's health that other nodes should know: its rest,
 * rests of families, windows; and what has ended rests.  As a text, and what
 * comes of two of them.  Merging is commutative, and again the same changes
 * nothing, so it does not matter who hears what when, or twice.
 *
 * Who waits for a login (NCR_HEALTH_FOREVER) is told by tokens, not here.
 */


#ifndef _NCR_HEALTH_SHARE_H_INCLUDED_
#define _NCR_HEALTH_SHARE_H_INCLUDED_


#include "ncr_health.h"
#include "ncr_out.h"


/* the longest text */
#define NCR_HEALTH_SHARE  2048


typedef struct {
    ncr_msec_t         since;           /* 0: there was no rest */
    ncr_msec_t         until;           /* 0: it is over */
    ncr_class_e        why;
    unsigned           half_open:1;
    unsigned           window:1;
} ncr_health_share_rest_t;


typedef struct {
    ncr_health_share_rest_t  rest;
    ncr_msec_t               failed_at;
    ncr_uint_t               fails;

    ncr_msec_t               proved;
    ncr_msec_t               success_at;
    ncr_msec_t               cleared;
    ncr_msec_t               renewed;

    ncr_uint_t               nfamilies; /* by name */
    ncr_family_rest_t        families[NCR_HEALTH_FAMILIES];

    ncr_msec_t               windows_at;
    ncr_uint_t               nwindows;  /* by name */
    ncr_window_t             windows[NCR_WINDOWS];
} ncr_health_share_t;


/* what of h is not over at now */
void ncr_health_share_get(ncr_health_share_t *s, ncr_health_t *h,
    ncr_msec_t now);

/*
 * h becomes what s says: what was made of h by get() and merge() under the
 * same lock.  1: it has rested until now, and perhaps does not any more.
 */
ncr_uint_t ncr_health_share_put(ncr_health_share_t *s, ncr_health_t *h,
    ncr_msec_t now);

/* into "to", which may be any of both; both as of now */
void ncr_health_share_merge(ncr_health_share_t *to, ncr_health_share_t *from,
    ncr_msec_t now);

/*
 * Whether two say the same: of rests with what ended them, and of windows.
 * 0: nothing.  When a success was does not count if it has ended nothing.
 */
uint64_t ncr_health_share_rests(ncr_health_share_t *s);
uint64_t ncr_health_share_windows(ncr_health_share_t *s);

/* by a clock that is delta ahead */
void ncr_health_share_shift(ncr_health_share_t *s, ncr_msec_t delta);

/* NCR_HEALTH_SHARE bytes are enough */
void ncr_health_share_write(ncr_out_t *out, ncr_health_share_t *s);

/* NCR_BAD: it is none, or tells of a time that is not yet */
ncr_int_t ncr_health_share_read(ncr_health_share_t *s, ncr_str_t *text,
    ncr_msec_t now);


#endif /* _NCR_HEALTH_SHARE_H_INCLUDED_ */
