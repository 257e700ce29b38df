
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who tries passwords is slowed down.  A table of fixed size in memory that
 * the caller provides (shared, under its lock): failures by address and by
 * name, forgotten as time passes.  What does not fit pushes out what is
 * oldest; there is nothing to be freed.
 */


#ifndef _NCR_GUARD_H_INCLUDED_
#define _NCR_GUARD_H_INCLUDED_


#include "ncr_base.h"


#define NCR_GUARD_ROWS      256


typedef struct {
    uint64_t      key;                  /* hash of what is counted, 0: free */
    ncr_msec_t    first;                /* of the window */
    ncr_msec_t    last;
    uint32_t      failures;
} ncr_guard_row_t;

typedef struct {
    ncr_guard_row_t  rows[NCR_GUARD_ROWS];
} ncr_guard_t;

typedef struct {
    ncr_uint_t    failures;             /* that are free */
    ncr_msec_t    window;               /* they are counted in, ms */
    ncr_msec_t    pause;                /* when there are more: at least */
    ncr_msec_t    longest;              /* doubled with each up to this */
} ncr_guard_rule_t;


/* 0: may try; else ms to wait */
ncr_msec_t ncr_guard_wait(ncr_guard_t *guard, ncr_guard_rule_t *rule,
    uint64_t key, ncr_msec_t now);
void ncr_guard_failed(ncr_guard_t *guard, ncr_guard_rule_t *rule,
    uint64_t key, ncr_msec_t now);
void ncr_guard_passed(ncr_guard_t *guard, uint64_t key);


#endif /* _NCR_GUARD_H_INCLUDED_ */
