
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Which of the eligible accounts takes a request.  Pure: candidates are
 * copies made under the zone's lock, the choice is a function of them.
 */


#ifndef _NCR_POLICY_H_INCLUDED_
#define _NCR_POLICY_H_INCLUDED_


#include "ncr_base.h"


typedef struct {
    ncr_uint_t    account;              /* the caller's number for it */
    int32_t       priority;             /* higher is tried first */
    uint32_t      weight;               /* >= 1 */
    uint32_t      inflight;
    uint32_t      max;                  /* max_concurrency, 0 = no limit */
    ncr_msec_t    used;                 /* last pick, 0 = never */
    uint64_t      order;                /* count of picks by round robin */
    ncr_msec_t    reset;                /* soonest window reset, 0 = unknown */
} ncr_candidate_t;


typedef ncr_uint_t (*ncr_policy_pt)(ncr_candidate_t *c, ncr_uint_t n,
    uint64_t turn, uint32_t random);

typedef struct {
    ncr_str_t        name;
    ncr_policy_pt    pick;
} ncr_policy_t;


/* "least-load", "round-robin", "least-recently-used", "weighted",
 * "soonest-reset"; NULL if there is none of that name */
ncr_policy_t *ncr_policy_find(ncr_str_t *name);

/*
 * Index of the one chosen among those of the highest priority; n >= 1.  turn
 * counts the picks of this pool (round-robin, and ties of the others).  The
 * array may be reordered.
 */
ncr_uint_t ncr_policy_pick(ncr_policy_t *policy, ncr_candidate_t *c,
    ncr_uint_t n, uint64_t turn, uint32_t random);


#endif /* _NCR_POLICY_H_INCLUDED_ */
