
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Limits and their counters.  A limit says how much of a unit may be used in
 * a window; a counter has what was used in the window it is in, and what is
 * reserved by requests under way.  The time is an argument; who calls these
 * has a lock.
 */


#ifndef _NCR_LIMIT_H_INCLUDED_
#define _NCR_LIMIT_H_INCLUDED_


#include "ncr_model.h"
#include "ncr_tz.h"
#include "ncr_record.h"


typedef enum {
    NCR_UNIT_REQUESTS = 0,
    NCR_UNIT_INPUT,                     /* uncached, cache reads and writes */
    NCR_UNIT_OUTPUT,
    NCR_UNIT_TOKENS,                    /* both of them */
    NCR_UNIT_COST,                      /* micro-dollars, rated */
    NCR_UNIT_CONCURRENCY,               /* requests under way; no window */
    NCR_UNITS
} ncr_unit_e;


#define NCR_LIMIT_MODELS  64

/* a row; fixed size, no pointers, may lie in shared memory */

typedef struct {
    uint64_t      amount;
    ncr_msec_t    length;               /* of NCR_SPAN_FREE, ms */
    uint64_t      identity;             /* of all but amount and shadow */
    uint8_t       unit;
    uint8_t       span;
    uint8_t       weekday;              /* 1 = Monday, of a week */
    uint8_t       hour;                 /* of day, week, month */
    uint8_t       shadow;               /* told, never enforced */
    char          models[NCR_LIMIT_MODELS];     /* a glob; "": all */
} ncr_limit_t;


/*
 * Text: UNIT:AMOUNT[/WINDOW] and options after blanks.  UNIT: requests, input,
 * output, tokens, cost, concurrency; AMOUNT: a number, with k or m (10^3,
 * 10^6), of dollars for cost, with up to six decimals; WINDOW: minute, hour,
 * 5h, day, week, month, total, or a number with s, m, h, d, of which 5h is
 * one; options: models=GLOB, reset=[mon..sun,]HH, shadow.  "cost:5/day",
 * "cost:100/week models=*opus* reset=mon,04".  NCR_BAD: *error is a constant
 * text.
 */
ncr_int_t ncr_limit_parse(ncr_limit_t *limit, ncr_str_t *text,
    const char **error);

/* the same text again, as short as it can be; at most size with its NUL */
#define NCR_LIMIT_TEXT   160
size_t ncr_limit_print(ncr_limit_t *limit, char *dst, size_t size);

/* "cost", "day" or "5h"; buf for free spans */
const char *ncr_limit_unit(ncr_unit_e unit);
const char *ncr_limit_window(ncr_limit_t *limit, char *buf, size_t size);

/* does it count a request of this model (asked for)? */
ncr_uint_t ncr_limit_matches(ncr_limit_t *limit, ncr_str_t *model);


typedef struct {
    uint64_t      id;                   /* see ncr_limit_counter() */
    ncr_msec_t    start;                /* of the window; 0 = none yet */
    ncr_msec_t    end;                  /* INT64_MAX: never */
    uint64_t      used;
    uint64_t      reserved;             /* by requests under way */
} ncr_counter_t;


/* whose limit it is; names of the wire and of the store */

typedef enum {
    NCR_SCOPE_KEY = 0,
    NCR_SCOPE_USER,
    NCR_SCOPE_GROUP,
    NCR_SCOPE_ACCOUNT,
    NCR_SCOPE_MODEL                     /* everybody's together */
} ncr_scope_e;

/* the counter's id: never 0, the same for ever for the same three */
uint64_t ncr_limit_counter(ncr_scope_e scope, uint64_t owner,
    ncr_limit_t *limit);

/* the window at now: a new one empties "used"; a clock that was set back
 * keeps the window it is in */
void ncr_counter_roll(ncr_counter_t *counter, ncr_limit_t *limit,
    const ncr_tz_t *tz, ncr_msec_t now);

typedef enum {
    NCR_ADMITS = 0,
    NCR_ADMITS_BUSY,                    /* what is under way may leave room */
    NCR_ADMITS_FULL                     /* until counter->end */
} ncr_admits_e;

/*
 * May "want" be reserved?  A counter that is not used up and of which nothing
 * is reserved admits whatever comes, so that a limit smaller than the
 * estimate of a single request does not stop everything: at most one request
 * over.  The counter was rolled to now.
 */
ncr_admits_e ncr_counter_admits(ncr_counter_t *counter, ncr_limit_t *limit,
    uint64_t want);

/* of the units, what a request wants at most, or has used in the end */
typedef struct {
    uint64_t      unit[NCR_UNITS];
} ncr_amounts_t;


#endif /* _NCR_LIMIT_H_INCLUDED_ */
