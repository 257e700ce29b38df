
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an account has gone through: its rests, its windows, its failures.
 * The struct lies in shared memory; every function is called with the zone's
 * lock held, does no more than arithmetic, and takes the time and a random
 * number as arguments.
 */


#ifndef _NCR_HEALTH_H_INCLUDED_
#define _NCR_HEALTH_H_INCLUDED_


#include "ncr_model.h"


#define NCR_HEALTH_FAMILIES  8
#define NCR_HEALTH_FOREVER   INT64_MAX


typedef struct {
    char          name[NCR_FAMILY_LEN]; /* "" = free */
    ncr_msec_t    until;
    ncr_msec_t    since;                /* when that verdict fell */
} ncr_family_rest_t;


typedef struct {
    ncr_msec_t         until;           /* 0 = not resting */
    ncr_msec_t         since;           /* when that verdict fell */
    ncr_class_e        why;             /* of the current or last rest */
    ncr_class_e        last_error;      /* NCR_CLASS_OK if there was none */
    ncr_msec_t         last_error_at;
    ncr_uint_t         last_status;
    ncr_uint_t         fails;           /* in a row, for the back-off */
    ncr_uint_t         probing;         /* probes in flight: the caller's */
    ncr_msec_t         success_at;
    ncr_family_rest_t  families[NCR_HEALTH_FAMILIES];
    ncr_uint_t         nwindows;
    ncr_window_t       windows[NCR_WINDOWS];
    ncr_msec_t         windows_at;      /* when they were told last */
    uint64_t           requests;
    uint64_t           errors;
    uint64_t           edits;           /* of what others should know */

    /* what has ended rests, so that it can end those of other nodes */

    ncr_msec_t         proved;          /* start of the latest success */
    ncr_msec_t         cleared;         /* by an operator */
    ncr_msec_t         renewed;         /* another credential */

    /* private */

    ncr_msec_t         failed_at;       /* when fails was raised */
    unsigned           half_open:1;     /* no success since the rest */
    unsigned           window:1;        /* the rest is a quota's */
} ncr_health_t;


typedef enum {
    NCR_ELIGIBLE = 0,
    NCR_ELIGIBLE_PROBE,                 /* take it, and set probing */
    NCR_RESTING,
    NCR_RESTING_FAMILY,
    NCR_PROBED                          /* half-open, another one probes */
} ncr_eligible_e;


/*
 * *until (may be NULL) gets the end of the rest when it is resting, else 0.
 * The caller keeps "probing": only it knows when a probe is over that ended
 * in neither a verdict nor a success.
 */
ncr_eligible_e ncr_health_eligible(ncr_health_t *h, ncr_str_t *family,
    ncr_msec_t now, ncr_msec_t *until);

/*
 * A verdict on an attempt that was started at "started".  random is any
 * number; jitter is up to a tenth of a rest, 1 to 30 s for windows.  Faults
 * of the client or of nobody change nothing.  A rest is never shortened;
 * failures of attempts that were in flight together are one for the back-off.
 * Returns the end of the rest it set, 0 if none.
 */
ncr_msec_t ncr_health_verdict(ncr_health_t *h, ncr_verdict_t *v,
    ncr_uint_t status, ncr_str_t *family, ncr_msec_t started, ncr_msec_t now,
    uint32_t random);

/*
 * A success ends rests whose verdict fell before this attempt was started,
 * never a fresher one (a race that other relays lose), and never a window's.
 */
void ncr_health_success(ncr_health_t *h, ncr_str_t *family,
    ncr_msec_t started, ncr_msec_t now);

/* newest windows win; those not told are kept until their reset is past */
void ncr_health_limits(ncr_health_t *h, ncr_limits_t *limits, ncr_msec_t now);

/* no rest is left, on this node */
void ncr_health_clear(ncr_health_t *h);

/* the same by an operator, who means all nodes */
void ncr_health_reset(ncr_health_t *h, ncr_msec_t now);

/* another credential: a rest for the old one's sake is over */
void ncr_health_renewed(ncr_health_t *h, ncr_msec_t now);


#endif /* _NCR_HEALTH_H_INCLUDED_ */
