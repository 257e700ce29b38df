
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Days, weeks and months of a time zone, by the files of tzdata (RFC 8536,
 * versions 1 to 4).  Pure: whoever wants a zone reads the file.
 */


#ifndef _NCR_TZ_H_INCLUDED_
#define _NCR_TZ_H_INCLUDED_


#include "ncr_base.h"


typedef struct ncr_tz_s  ncr_tz_t;


/* UTC; never freed */
const ncr_tz_t *ncr_tz_utc(void);

/* a name as "Europe/Berlin" that is safe as the end of a path */
ncr_uint_t ncr_tz_name(ncr_str_t *name);

/* allocates with malloc(); NCR_BAD: not such a file */
ncr_int_t ncr_tz_read(ncr_tz_t **tz, ncr_str_t *file);
void ncr_tz_free(ncr_tz_t *tz);

/* seconds east of UTC at that moment */
int32_t ncr_tz_offset(const ncr_tz_t *tz, ncr_msec_t t);


typedef enum {
    NCR_SPAN_MINUTE = 0,
    NCR_SPAN_HOUR,
    NCR_SPAN_DAY,
    NCR_SPAN_WEEK,
    NCR_SPAN_MONTH,
    NCR_SPAN_TOTAL,                     /* for ever */
    NCR_SPAN_FREE                       /* of a length, from its first use */
} ncr_span_e;


/*
 * The span (MINUTE to MONTH) around t: *start <= t < *end.  A day begins at
 * "hour" of the local clock (0 to 23), a week on "weekday" (1 = Monday to 7)
 * at that hour, a month on its first day at that hour.  A local time that does
 * not exist is the first moment after the gap; one that exists twice is the
 * first of them.  Days have 23 to 25 hours.
 */
void ncr_tz_span(const ncr_tz_t *tz, ncr_span_e span, ncr_uint_t weekday,
    ncr_uint_t hour, ncr_msec_t t, ncr_msec_t *start, ncr_msec_t *end);

/* local midnight of year, month (1..12), day (1..31), or the like */
ncr_msec_t ncr_tz_time(const ncr_tz_t *tz, int year, int month, int day,
    int hour, int minute, int second);


#endif /* _NCR_TZ_H_INCLUDED_ */
