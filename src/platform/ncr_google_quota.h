
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What Google's errors say, of the plain API and of Code Assist alike:
 * others.md C4.  Private to this floor.
 */


#ifndef _NCR_GOOGLE_QUOTA_H_INCLUDED_
#define _NCR_GOOGLE_QUOTA_H_INCLUDED_


#include "ncr_verdict.h"


/* ErrorInfo.reason */

typedef enum {
    NCR_GOOGLE_NONE = 0,                /* there was no ErrorInfo */
    NCR_GOOGLE_OTHER,
    NCR_GOOGLE_RATE_LIMIT,              /* RATE_LIMIT_EXCEEDED */
    NCR_GOOGLE_QUOTA,                   /* QUOTA_EXHAUSTED */
    NCR_GOOGLE_CAPACITY,                /* MODEL_CAPACITY_EXHAUSTED */
    NCR_GOOGLE_CREDITS,                 /* INSUFFICIENT_G1_CREDITS_BALANCE */
    NCR_GOOGLE_VALIDATION,              /* VALIDATION_REQUIRED */
    NCR_GOOGLE_POLICY,                  /* SECURITY_POLICY_VIOLATED */
    NCR_GOOGLE_KEY,                     /* API_KEY_INVALID and the like */
    NCR_GOOGLE_DISABLED,                /* SERVICE_DISABLED and the like */
    NCR_GOOGLE_BILLING                  /* BILLING_DISABLED */
} ncr_google_reason_e;


/* slices point into the reply's body, with the escapes that they have */

typedef struct {
    ncr_uint_t           status;        /* of an event: by its name */
    ncr_str_t            name;          /* "RESOURCE_EXHAUSTED" */
    ncr_str_t            message;
    ncr_str_t            link;          /* of google.rpc.Help, or "" */
    ncr_google_reason_e  reason;
    ncr_msec_t           delay;         /* told as a duration; -1: not told */
    ncr_msec_t           until;         /* told as a time; 0: not told */
    unsigned             json:1;        /* it is an error of Google's */
    unsigned             per_day:1;
    unsigned             per_minute:1;
    unsigned             no_quota:1;    /* "limit: 0": it never had any */
} ncr_google_error_t;


/* an object, or an array of one, maybe cut */
void ncr_google_read(ncr_google_error_t *e, ncr_reply_t *reply);

/*
 * When it may be asked again, by C4's order: RetryInfo, quotaResetDelay,
 * quotaResetTimeStamp, the message, the next day in Los Angeles, a minute;
 * 0: nothing of that was told.
 */
ncr_msec_t ncr_google_reset(ncr_google_error_t *e, ncr_msec_t now);

/* "34.07s", "900ms", "1h2m3s", and whatever follows, in ms; -1: it is none */
ncr_msec_t ncr_google_duration(ncr_str_t *text);

/* the next midnight in America/Los_Angeles, when daily quotas begin anew */
ncr_msec_t ncr_google_midnight(ncr_msec_t now);

/* the judgement of an error that is Google's; all others by the default one */
void ncr_google_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);


#endif /* _NCR_GOOGLE_QUOTA_H_INCLUDED_ */
