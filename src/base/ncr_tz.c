
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_tz.h"


#define NCR_TZ_DAY       86400

/* years 1 to 9999: what is outside is not told by any clock */
#define NCR_TZ_FIRST     INT64_C(-62135596800)
#define NCR_TZ_LAST      INT64_C(253402300799)

/* more than any offset from UTC */
#define NCR_TZ_FARTHEST  93600


/* a run of moments with one offset: from <= t < until, seconds */

typedef struct {
    int64_t      from;
    int64_t      until;
    int32_t      offset;
} ncr_tz_run_t;


struct ncr_tz_s {
    ncr_uint_t    n;
    int32_t       first;                /* before all transitions */
};


static void ncr_tz_run(const ncr_tz_t *tz, int64_t t, ncr_tz_run_t *run);
static int64_t ncr_tz_moment(const ncr_tz_t *tz, int64_t local);
static int64_t ncr_tz_begin(const ncr_tz_t *tz, ncr_span_e span,
    ncr_uint_t weekday, ncr_uint_t hour, int64_t n);
static int64_t ncr_tz_number(ncr_span_e span, ncr_uint_t weekday,
    ncr_uint_t hour, int64_t local);
static int64_t ncr_tz_days(int64_t year, int64_t month, int64_t day);
static int64_t ncr_tz_month(int64_t days);
static int64_t ncr_tz_floor(int64_t a, int64_t b);


static const ncr_tz_t  ncr_tz_utc_zone;


const ncr_tz_t *
ncr_tz_utc(void)
{
    return &ncr_tz_utc_zone;
}


static void
ncr_tz_run(const ncr_tz_t *tz, int64_t t, ncr_tz_run_t *run)
{
    (void) t;

    run->from = INT64_MIN;
    run->until = INT64_MAX;
    run->offset = tz->first;
}


int32_t
ncr_tz_offset(const ncr_tz_t *tz, ncr_msec_t t)
{
    ncr_tz_run_t  run;

    ncr_tz_run(tz, ncr_tz_floor(t, 1000), &run);

    return run.offset;
}


/*
 * The first moment whose local time is not before "local": of a time that
 * exists twice the first one, of one that does not the end of the gap.
 */

static int64_t
ncr_tz_moment(const ncr_tz_t *tz, int64_t local)
{
    int64_t       t;
    ncr_tz_run_t  run;

    t = local - NCR_TZ_FARTHEST;

    for ( ;; ) {
        ncr_tz_run(tz, t, &run);

        t = ncr_max(local - run.offset, run.from);

        if (t < run.until) {
            return t;
        }

        t = run.until;
    }
}


void
ncr_tz_span(const ncr_tz_t *tz, ncr_span_e span, ncr_uint_t weekday,
    ncr_uint_t hour, ncr_msec_t msec, ncr_msec_t *start, ncr_msec_t *end)
{
    int64_t       t, n, from, until, length;
    ncr_tz_run_t  run;

    t = ncr_tz_floor(msec, 1000);
    t = ncr_max(t, NCR_TZ_FIRST);
    t = ncr_min(t, NCR_TZ_LAST);

    ncr_tz_run(tz, t, &run);

    if (span == NCR_SPAN_MINUTE || span == NCR_SPAN_HOUR) {

        /* not longer than they are called, so the hour that is there twice is
         * two of them */

        length = (span == NCR_SPAN_HOUR) ? 3600 : 60;

        from = ncr_tz_floor(t + run.offset, length) * length - run.offset;
        until = ncr_min(from + length, run.until);
        from = ncr_max(from, run.from);

    } else {
        n = ncr_tz_number(span, weekday, hour, t + run.offset);

        from = ncr_tz_begin(tz, span, weekday, hour, n);
        until = ncr_tz_begin(tz, span, weekday, hour, n + 1);

        /* a clock that went back over midnight shows the day before again,
         * and one that went forth may have left out a day */

        while (t >= until) {
            from = until;
            until = ncr_tz_begin(tz, span, weekday, hour, ++n + 1);
        }

        while (t < from) {
            until = from;
            from = ncr_tz_begin(tz, span, weekday, hour, --n);
        }
    }

    *start = from * 1000;
    *end = until * 1000;
}


/* days, weeks and months have numbers; this is the moment when one begins */

static int64_t
ncr_tz_begin(const ncr_tz_t *tz, ncr_span_e span, ncr_uint_t weekday,
    ncr_uint_t hour, int64_t n)
{
    int64_t  days, year;

    switch (span) {

    case NCR_SPAN_WEEK:
        /* 1970-01-01 was a Thursday */
        days = n * 7 - 3 + (int64_t) weekday - 1;
        break;

    case NCR_SPAN_MONTH:
        year = ncr_tz_floor(n, 12);
        days = ncr_tz_days(year, n - year * 12 + 1, 1);
        break;

    default:
        days = n;
        break;
    }

    return ncr_tz_moment(tz, days * NCR_TZ_DAY + (int64_t) hour * 3600);
}


/* of the one that a local time is in */

static int64_t
ncr_tz_number(ncr_span_e span, ncr_uint_t weekday, ncr_uint_t hour,
    int64_t local)
{
    int64_t  days;

    days = ncr_tz_floor(local - (int64_t) hour * 3600, NCR_TZ_DAY);

    switch (span) {

    case NCR_SPAN_WEEK:
        return ncr_tz_floor(days + 3 - ((int64_t) weekday - 1), 7);

    case NCR_SPAN_MONTH:
        return ncr_tz_month(days);

    default:
        return days;
    }
}


ncr_msec_t
ncr_tz_time(const ncr_tz_t *tz, int year, int month, int day, int hour,
    int minute, int second)
{
    int64_t  local;

    local = ncr_tz_days(year, month, day) * NCR_TZ_DAY + hour * 3600
            + minute * 60 + second;

    return ncr_tz_moment(tz, local) * 1000;
}


/*
 * Days since the epoch, of the proleptic Gregorian calendar: years that begin
 * in March have the leap day as their last, and 153 days are the five months
 * from March on; 719468 is the number of 1970-01-01.
 */

static int64_t
ncr_tz_days(int64_t year, int64_t month, int64_t day)
{
    int64_t  era;

    year -= (month < 3);
    era = ncr_tz_floor(year, 400);
    year -= era * 400;
    month += (month < 3) ? 9 : -3;

    return era * 146097 + year * 365 + year / 4 - year / 100
           + (month * 153 + 2) / 5 + day - 1 - 719468;
}


/* year * 12 + month, from 0, of a day: the inverse of the above */

static int64_t
ncr_tz_month(int64_t days)
{
    int64_t  era, year, month;

    days += 719468;
    era = ncr_tz_floor(days, 146097);
    days -= era * 146097;

    year = (days - days / 1460 + days / 36524 - days / 146096) / 365;
    days -= year * 365 + year / 4 - year / 100;
    month = (days * 5 + 2) / 153;

    return (era * 400 + year) * 12 + month + 2;
}


static int64_t
ncr_tz_floor(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}
