
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A node's share of a limit that several nodes have together.  The node has a
 * cap: of this limit it may have used and reserved so much without asking
 * anybody.  Somebody who knows the caps of all nodes raises it, so that they
 * are never more than the limit together.  What is told is what is so, not
 * what has changed, so it may be told twice.
 *
 * Times are of a clock that never jumps, but for those of windows.
 */


#ifndef _NCR_SHARE_H_INCLUDED_
#define _NCR_SHARE_H_INCLUDED_


#include "ncr_limit.h"


/* more than this is no limit: it must be a number for a script, too */
#define NCR_SHARE_MOST    UINT64_C(9000000000000000)

/* ms: an idle share is given back; what others have used is asked for, if
 * anybody wants to know; who was denied asks again, for slots and for what is
 * used up; others are in need; there was no answer */
#define NCR_SHARE_IDLE    10000
#define NCR_SHARE_OLD     5000
#define NCR_SHARE_BUSY    100
#define NCR_SHARE_FULL    1000
#define NCR_SHARE_WANTED  1000
#define NCR_SHARE_FAILED  500


/* fixed size, no pointers, lies in shared memory */

typedef struct {
    uint64_t      id;                   /* in the fleet */
    uint64_t      amount;
    ncr_msec_t    begun;                /* the counter's window this is of */
    ncr_msec_t    start;                /* the same, as all have it */
    ncr_msec_t    end;                  /* 0: never */
    uint64_t      cap;
    uint64_t      others_cap;           /* with what they have used */
    uint64_t      others_used;
    uint64_t      base;                 /* own, that others remember */
    uint64_t      slice;                /* of the cap, was not asked for */
    uint64_t      told;                 /* own, as it is known to others */
    uint64_t      telling;
    uint64_t      need;                 /* of what is asked for */
    uint64_t      denied_need;
    uint64_t      seq;                  /* of what is asked; 0: nothing */
    int64_t       resets;               /* by operators; -1: not known */
    ncr_msec_t    asked;                /* no answer comes after that */
    ncr_msec_t    answered;             /* last, or 0 */
    ncr_msec_t    denied;               /* until then */
    ncr_msec_t    wanted;               /* by others, until then */
    ncr_msec_t    failed;               /* nobody is asked, until then */
    ncr_msec_t    busy;                 /* used last */
    ncr_msec_t    looked;               /* shown last */
    uint8_t       slots;                /* requests at once, no window */
    uint8_t       over;                 /* the one request over; 2:
                                         * it has been taken */
    uint8_t       reset;                /* by an operator, to be told */
    uint8_t       anew;                 /* all of it is to be told */
} ncr_share_t;


/* of names, not of ids; never 0 */
uint64_t ncr_share_id(ncr_scope_e scope, ncr_str_t *owner, uint64_t identity);

void ncr_share_init(ncr_share_t *s, uint64_t id, ncr_uint_t slots);

/* the counter has another window than the share: nothing is granted of it */
void ncr_share_sync(ncr_share_t *s, ncr_counter_t *c);


typedef enum {
    NCR_SHARE_OK = 0,
    NCR_SHARE_ASK,                      /* for more */
    NCR_SHARE_SHORT,                    /* others have it, as yet */
    NCR_SHARE_USED_UP
} ncr_share_e;

/* may it be reserved? c was rolled and synced; its "reserved" is the node's */
ncr_share_e ncr_share_judge(ncr_share_t *s, ncr_counter_t *c, uint64_t want,
    ncr_msec_t tick);

/* the same while nobody can be asked: never NCR_SHARE_ASK */
ncr_share_e ncr_share_alone(ncr_share_t *s, ncr_counter_t *c, uint64_t want,
    ncr_uint_t nodes);

/* what the node may have in all while it is alone */
uint64_t ncr_share_allowance(ncr_share_t *s, ncr_uint_t nodes);


/* a question: what is so, and what is wanted */

#define NCR_SHARE_FLAG_SLACK  1         /* more than that is welcome */
#define NCR_SHARE_FLAG_RESET  2
#define NCR_SHARE_FLAG_SLOTS  4

typedef struct {
    uint64_t      id;
    ncr_msec_t    start;
    ncr_msec_t    end;                  /* 0: never */
    uint64_t      amount;
    ncr_uint_t    flags;
    uint64_t      used;
    uint64_t      cap;
    uint64_t      fact;                 /* used and reserved */
    uint64_t      want;                 /* beside that */
    uint64_t      seq;
    int64_t       resets;
} ncr_share_ask_t;

typedef enum {
    NCR_SHARE_NOTHING = 0,
    NCR_SHARE_TELL,                     /* with the next beat */
    NCR_SHARE_URGENT
} ncr_share_due_e;

/* has it something to say? */
ncr_share_due_e ncr_share_due(ncr_share_t *s, ncr_counter_t *c,
    ncr_msec_t tick);

/* it need not be looked at before it is used again */
ncr_uint_t ncr_share_quiet(ncr_share_t *s, ncr_counter_t *c);

/* is something asked already? */
ncr_uint_t ncr_share_asked(ncr_share_t *s, ncr_msec_t tick);

void ncr_share_ask(ncr_share_t *s, ncr_counter_t *c, uint64_t want,
    uint64_t seq, ncr_msec_t tick, ncr_msec_t until, ncr_share_ask_t *ask);

/* there is no answer: for a moment nobody is asked again */
void ncr_share_failed(ncr_share_t *s, uint64_t seq, ncr_msec_t tick);

/* text of a question; returns its length, at most NCR_SHARE_TEXT */
#define NCR_SHARE_TEXT  224
size_t ncr_share_print(ncr_share_ask_t *ask, ncr_char_t *buf);


/* the answer, in this order */

#define NCR_SHARE_NUMBERS     10

#define NCR_SHARE_IS_BUSY     1         /* of "denied" */
#define NCR_SHARE_IS_FULL     2
#define NCR_SHARE_IS_STALE    3

#define NCR_SHARE_FLAG_OVER   1         /* of "flags" */
#define NCR_SHARE_FLAG_ZERO   2

typedef struct {
    uint64_t      cap;
    uint64_t      others_cap;
    uint64_t      others_used;
    ncr_msec_t    start;
    ncr_msec_t    end;
    ncr_uint_t    denied;
    uint64_t      used;
    int64_t       resets;
    uint64_t      seq;                  /* the last that was heeded */
    ncr_uint_t    flags;
} ncr_share_answer_t;

/* NCR_BAD: it makes no sense */
ncr_int_t ncr_share_read(ncr_share_answer_t *a, const int64_t *n);

typedef enum {
    NCR_SHARE_IGNORED = 0,              /* too late */
    NCR_SHARE_TAKEN,
    NCR_SHARE_STALE,                    /* ask again, with a higher seq */
    NCR_SHARE_MOVED,                    /* c has a new window */
    NCR_SHARE_RESET                     /* c->used is 0, *was what it was */
} ncr_share_taken_e;

ncr_share_taken_e ncr_share_take(ncr_share_t *s, ncr_counter_t *c,
    ncr_share_answer_t *a, uint64_t seq, ncr_msec_t tick, uint64_t *was);

/* as it is shown: with what others have */
void ncr_share_shown(ncr_share_t *s, ncr_counter_t *c);


#endif /* _NCR_SHARE_H_INCLUDED_ */
