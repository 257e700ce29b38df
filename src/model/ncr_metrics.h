
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Histograms with fixed bounds, and the text that Prometheus reads: format
 * 0.0.4, or OpenMetrics 1.0.  A histogram has no pointers and may lie in
 * shared memory; who adds to one has a lock.
 */


#ifndef _NCR_METRICS_H_INCLUDED_
#define _NCR_METRICS_H_INCLUDED_


#include "ncr_model.h"
#include "ncr_out.h"


#define NCR_METRICS_BOUNDS   16


/* the count is that of the buckets, so it cannot contradict them */

typedef struct {
    uint64_t             sum;
    uint64_t             buckets[NCR_METRICS_BOUNDS + 1];
} ncr_histogram_t;


typedef struct {
    uint64_t             bound;         /* the largest value that is in it */
    const char          *le;            /* the same as it is written */
} ncr_bound_t;


typedef struct {
    ncr_uint_t           n;
    ncr_uint_t           digits;        /* values are in 10^-digits */
    const ncr_bound_t   *bounds;        /* ascending */
} ncr_scale_t;


/* the bounds of OpenTelemetry's GenAI conventions, where it has some */
extern const ncr_scale_t  ncr_scale_tokens;
extern const ncr_scale_t  ncr_scale_duration;       /* ms */
extern const ncr_scale_t  ncr_scale_first_token;    /* ms */
extern const ncr_scale_t  ncr_scale_per_token;      /* us */
extern const ncr_scale_t  ncr_scale_own;            /* ns; ours */


void ncr_histogram_add(ncr_histogram_t *h, const ncr_scale_t *scale,
    uint64_t value);

/* h += more */
void ncr_histogram_merge(ncr_histogram_t *h, const ncr_histogram_t *more);


/* what the value of a label has at most, before it is escaped */
#define NCR_METRICS_VALUE    96

#define NCR_METRICS_LABELS   1536

/* no line is longer */
#define NCR_METRICS_LINE     2048


typedef struct ncr_metrics_s  ncr_metrics_t;

struct ncr_metrics_s {
    ncr_out_t            out;
    ncr_uint_t           open;          /* OpenMetrics */

    /* called when a line might not fit any more: another, larger than a line,
     * or overflow; NULL: there is just one buffer */
    void               (*more)(ncr_metrics_t *m);
    void                *data;

    /* private */

    const char          *name;          /* of the family */
    size_t               len;
    ncr_char_t           labels[NCR_METRICS_LABELS];
};


/* HELP and TYPE; name as samples have it, "_total" and all */
void ncr_metrics_family(ncr_metrics_t *m, const char *name, const char *type,
    const char *help);

/*
 * Labels of samples to come.  A value is cut to NCR_METRICS_VALUE bytes;
 * control characters, and bytes that are no UTF-8, become question marks.
 */
void ncr_metrics_label(ncr_metrics_t *m, const char *name, ncr_str_t *value);
void ncr_metrics_label_text(ncr_metrics_t *m, const char *name,
    const char *value);

/* one sample of 10^-digits; the labels are gone behind it */
void ncr_metrics_value(ncr_metrics_t *m, uint64_t value, ncr_uint_t digits);

/* buckets, sum and count; the labels are gone behind them */
void ncr_metrics_histogram(ncr_metrics_t *m, const ncr_scale_t *scale,
    const ncr_histogram_t *h);

/* the end of all, where the format has one */
void ncr_metrics_end(ncr_metrics_t *m);


#endif /* _NCR_METRICS_H_INCLUDED_ */
