
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * When an operator is told of something.  Conditions are sampled from time to
 * time; here it is decided whether one is told, told again, or told to be
 * over.  One that comes and goes is told seldom, many at once are told as one.
 * Pure: the time is an argument, the memory is the caller's and bounded.
 */


#ifndef _NCR_ALERT_H_INCLUDED_
#define _NCR_ALERT_H_INCLUDED_


#include "ncr_model.h"


#define NCR_ALERT_ROWS      512
#define NCR_ALERT_SUBJECT   160         /* all with their NUL */
#define NCR_ALERT_KEY       176
#define NCR_ALERT_TITLE     160
#define NCR_ALERT_TEXT      400
#define NCR_ALERT_FIELDS    500
#define NCR_ALERT_STEPS     4


typedef enum {
    NCR_ALERT_LOGIN = 0,                /* an account needs a login */
    NCR_ALERT_RESTING,                  /* one rests for long */
    NCR_ALERT_QUOTA,                    /* a window of one is nearly used */
    NCR_ALERT_BUDGET,                   /* the same of a limit of ours */
    NCR_ALERT_ERRORS,                   /* many requests fail */
    NCR_ALERT_POOL,                     /* nobody serves */
    NCR_ALERT_STORE,
    NCR_ALERT_LEDGER,
    NCR_ALERT_AUDIT,
    NCR_ALERT_SECURITY,
    NCR_ALERT_FLEET,
    NCR_ALERT_KINDS
} ncr_alert_kind_e;

typedef enum {
    NCR_ALERT_INFO = 0,
    NCR_ALERT_WARNING,
    NCR_ALERT_CRITICAL,
    NCR_ALERT_LEVELS
} ncr_alert_level_e;


/* thresholds in 1/10000, ascending */

typedef struct {
    ncr_uint_t    n;
    uint32_t      at[NCR_ALERT_STEPS];
} ncr_alert_steps_t;


/* what is seen; of a condition without a measure, steps is NULL and value 0
 * or 1 */

typedef struct {
    ncr_alert_kind_e   kind;
    const char        *subject;         /* "account/one/5h" */
    uint32_t           value;           /* 1/10000 */
    ncr_alert_steps_t *steps;
    uint32_t           margin;          /* it is below again at so much less */
    ncr_msec_t         hold;            /* true for so long, before it counts */
    ncr_msec_t         since;           /* known to be true since, or 0 */
} ncr_alert_sample_t;


typedef struct {
    char          key[NCR_ALERT_KEY];   /* "quota/account/one/5h"; "": free */
    char          subject[NCR_ALERT_SUBJECT];
    uint32_t      hash;
    ncr_alert_kind_e   kind;

    /* the caller's words, as of the last sample */

    ncr_alert_level_e  level;
    char          title[NCR_ALERT_TITLE];
    char          text[NCR_ALERT_TEXT];
    char          fields[NCR_ALERT_FIELDS];     /* JSON object */

    ncr_uint_t    step;                 /* that was told; 0: it is not on */
    ncr_msec_t    since;                /* of that */
    ncr_msec_t    told;                 /* last; 0: never */
    ncr_msec_t    ended;                /* when it was told to be over */

    /* private */

    ncr_uint_t    observed;
    ncr_msec_t    rose;                 /* over what was told, 0: it is not */
    ncr_msec_t    fell;                 /* to nothing, 0: it has not */
    ncr_msec_t    hold;
    ncr_uint_t    round;
} ncr_alert_t;


typedef struct {
    ncr_msec_t    remind;               /* tell again; 0: never */
    ncr_msec_t    clear;                /* over for so long, then it is told */
    ncr_msec_t    calm;                 /* and on again only so long after */
    ncr_uint_t    storm;                /* a minute; more are told as one */
} ncr_alert_rules_t;


typedef struct {
    ncr_alert_rules_t  rules;

    ncr_uint_t    n;                    /* rows[] in use, and free ones */
    ncr_alert_t   rows[NCR_ALERT_ROWS];
    unsigned      full:1;               /* there was no room for one */

    /* private */

    ncr_uint_t    round[NCR_ALERT_KINDS];
    ncr_uint_t    pos;                  /* of ncr_alert_next() */
    ncr_msec_t    minute;               /* since then */
    ncr_uint_t    count;                /* were told */
    ncr_uint_t    summed;               /* and a summary */
    ncr_uint_t    folded[NCR_ALERT_KINDS];
} ncr_alerts_t;


typedef enum {
    NCR_ALERT_FIRING = 0,
    NCR_ALERT_AGAIN,                    /* it is still on, or has got worse */
    NCR_ALERT_RESOLVED
} ncr_alert_tell_e;

typedef struct {
    ncr_alert_t       *alert;
    ncr_alert_tell_e   what;
    ncr_uint_t         folded;          /* is in the sum: not by itself */
} ncr_alert_tell_t;


void ncr_alert_init(ncr_alerts_t *alerts, ncr_alert_rules_t *rules);

/* one that was told before, perhaps by another process; NULL: no room */
ncr_alert_t *ncr_alert_restore(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject, ncr_uint_t step, ncr_msec_t since, ncr_msec_t told);

/*
 * All of a kind: begin, a sample of each, end.  What was not sampled in
 * between is over.  A sample returns the alert if the caller is to say in
 * words what it is: it may be told.  NULL: it is none, or there is no room.
 */
void ncr_alert_begin(ncr_alerts_t *alerts, ncr_alert_kind_e kind);
ncr_alert_t *ncr_alert_sample(ncr_alerts_t *alerts,
    ncr_alert_sample_t *sample, ncr_msec_t now);
void ncr_alert_end(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    ncr_msec_t now);

/* nothing is known of a subject just now, or of any: "" */
void ncr_alert_keep(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject);

/* the next to be told, from the first on after rewind; NCR_DONE: no more */
void ncr_alert_rewind(ncr_alerts_t *alerts);
ncr_int_t ncr_alert_next(ncr_alerts_t *alerts, ncr_msec_t now,
    ncr_alert_tell_t *tell);

/* after the last one: how many were folded, by kind, if that is to be told
 * now; 0: no, or none */
ncr_uint_t ncr_alert_folded(ncr_alerts_t *alerts, ncr_msec_t now,
    ncr_uint_t *kinds);

/* -1: there is none of this name */
ncr_int_t ncr_alert_kind(ncr_str_t *name);
ncr_int_t ncr_alert_level(ncr_str_t *name);
const char *ncr_alert_kind_name(ncr_alert_kind_e kind);
const char *ncr_alert_level_name(ncr_alert_level_e level);


#endif /* _NCR_ALERT_H_INCLUDED_ */
