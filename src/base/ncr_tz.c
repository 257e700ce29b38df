
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_tz.h"

#include <stdlib.h>


#define NCR_TZ_DAY       86400

/* years 1 to 9999: what is outside is not told by any clock */
#define NCR_TZ_FIRST     INT64_C(-62135596800)
#define NCR_TZ_LAST      INT64_C(253402300799)

/* RFC 8536, 3.2: an offset is between -25 and 26 hours, both excluded */
#define NCR_TZ_FARTHEST  93600

#define NCR_TZ_HEADER    44

/* of files of today the largest has 240 transitions and 27 leap seconds */
#define NCR_TZ_MOST      8192


typedef struct {
    int64_t      at;                    /* seconds, POSIX */
    int32_t      offset;                /* from then on */
} ncr_tz_change_t;


/* a run of moments with one offset: from <= t < until, seconds */

typedef struct {
    int64_t      from;
    int64_t      until;
    int32_t      offset;
} ncr_tz_run_t;


/* a day of the year as POSIX has it, and when */

typedef struct {
    char         kind;                  /* 'M', 'J', 'N': with February 29 */
    int          month;
    int          week;                  /* 5 = the last */
    int          day;                   /* of the week, 0 = Sunday; or of the
                                           year */
    int32_t      time;                  /* seconds of the local clock */
} ncr_tz_rule_t;


struct ncr_tz_s {
    ncr_uint_t        n;
    int32_t           first;            /* before all changes */

    unsigned          footer:1;         /* what is below holds from "after" */
    unsigned          dst:1;
    int64_t           after;
    int32_t           std_offset;
    int32_t           dst_offset;
    ncr_tz_rule_t     begin;
    ncr_tz_rule_t     end;

    ncr_tz_change_t   changes[];
};


/* a block of a file: what is where */

typedef struct {
    ncr_char_t       *times;
    ncr_char_t       *kinds;
    ncr_char_t       *types;
    ncr_char_t       *leaps;
    ncr_char_t       *end;
    size_t            wide;             /* of a time, 4 or 8 */
    uint32_t          ntimes;
    uint32_t          ntypes;
    uint32_t          nleaps;
} ncr_tz_block_t;


static ncr_int_t ncr_tz_block(ncr_tz_block_t *b, ncr_char_t *p,
    ncr_char_t *last, size_t wide);
static ncr_int_t ncr_tz_fill(ncr_tz_t *tz, ncr_tz_block_t *b);
static ncr_int_t ncr_tz_type(ncr_tz_block_t *b, uint32_t i, int32_t *offset);
static int64_t ncr_tz_leap(ncr_tz_block_t *b, int64_t t);
static int64_t ncr_tz_int(ncr_char_t *p, size_t wide);
static ncr_int_t ncr_tz_footer(ncr_tz_t *tz, ncr_char_t *p, ncr_char_t *last);
static ncr_int_t ncr_tz_word(ncr_char_t **p, ncr_char_t *last);
static ncr_int_t ncr_tz_clock(ncr_char_t **p, ncr_char_t *last, int most,
    int32_t *seconds);
static ncr_int_t ncr_tz_rule(ncr_tz_rule_t *rule, ncr_char_t **p,
    ncr_char_t *last);
static ncr_int_t ncr_tz_number_of(ncr_char_t **p, ncr_char_t *last, int least,
    int most, int *value);
static ncr_uint_t ncr_tz_skip(ncr_char_t **p, ncr_char_t *last, char c);
static int64_t ncr_tz_rule_at(const ncr_tz_rule_t *rule, int64_t year);
static void ncr_tz_run_footer(const ncr_tz_t *tz, int64_t t,
    ncr_tz_run_t *run);
static void ncr_tz_run(const ncr_tz_t *tz, int64_t t, ncr_tz_run_t *run);
static int64_t ncr_tz_moment(const ncr_tz_t *tz, int64_t local);
static int64_t ncr_tz_begin(const ncr_tz_t *tz, ncr_span_e span,
    ncr_uint_t weekday, ncr_uint_t hour, int64_t n);
static int64_t ncr_tz_nth(ncr_span_e span, ncr_uint_t weekday,
    ncr_uint_t hour, int64_t local);
static int64_t ncr_tz_days(int64_t year, int64_t month, int64_t day);
static int64_t ncr_tz_month(int64_t days);
static int64_t ncr_tz_floor(int64_t a, int64_t b);


/* no changes: UTC */

static const ncr_tz_t  ncr_tz_utc_zone;


const ncr_tz_t *
ncr_tz_utc(void)
{
    return &ncr_tz_utc_zone;
}


ncr_uint_t
ncr_tz_name(ncr_str_t *name)
{
    size_t       i;
    ncr_char_t   c, prev;

    if (name->len == 0 || name->len > 64) {
        return 0;
    }

    prev = '/';

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (c == '/') {

            if (prev == '/') {
                return 0;
            }

        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {

            /* a part begins with a letter, so there is no ".." */

            if (prev == '/' || !((c >= '0' && c <= '9') || c == '_'
                                 || c == '-' || c == '+'))
            {
                return 0;
            }
        }

        prev = c;
    }

    return prev != '/';
}


ncr_int_t
ncr_tz_read(ncr_tz_t **result, ncr_str_t *file)
{
    ncr_int_t        rc;
    ncr_tz_t        *tz;
    ncr_char_t      *last;
    ncr_tz_block_t   b;

    if (file->len < NCR_TZ_HEADER || memcmp(file->data, "TZif", 4) != 0) {
        return NCR_BAD;
    }

    last = file->data + file->len;

    if (ncr_tz_block(&b, file->data, last, 4) != NCR_OK) {
        return NCR_BAD;
    }

    /* since version 2 there is all of it again, in wide numbers */

    if (file->data[4] >= '2'
        && ncr_tz_block(&b, b.end, last, 8) != NCR_OK)
    {
        return NCR_BAD;
    }

    tz = calloc(1, sizeof(ncr_tz_t) + b.ntimes * sizeof(ncr_tz_change_t));

    if (tz == NULL) {
        return NCR_ERROR;
    }

    rc = ncr_tz_fill(tz, &b);

    if (rc == NCR_OK && b.wide == 8) {
        rc = ncr_tz_footer(tz, b.end, last);
    }

    if (rc != NCR_OK) {
        free(tz);
        return rc;
    }

    *result = tz;

    return NCR_OK;
}


void
ncr_tz_free(ncr_tz_t *tz)
{
    free(tz);
}


/* RFC 8536, 3.1: six counts, and what they count in another order */

static ncr_int_t
ncr_tz_block(ncr_tz_block_t *b, ncr_char_t *p, ncr_char_t *last, size_t wide)
{
    size_t       len;
    uint32_t     count[6];
    ncr_uint_t   i;

    if (last - p < NCR_TZ_HEADER || memcmp(p, "TZif", 4) != 0) {
        return NCR_BAD;
    }

    for (i = 0; i < 6; i++) {
        count[i] = (uint32_t) ncr_tz_int(p + 20 + i * 4, 4);

        if (count[i] > NCR_TZ_MOST) {
            return NCR_BAD;
        }
    }

    b->wide = wide;
    b->nleaps = count[2];
    b->ntimes = count[3];
    b->ntypes = count[4];

    b->times = p + NCR_TZ_HEADER;

    len = b->ntimes * wide + b->ntimes + b->ntypes * 6 + count[5]
          + b->nleaps * (wide + 4) + count[1] + count[0];

    if (len > (size_t) (last - b->times) || b->ntypes == 0) {
        return NCR_BAD;
    }

    b->kinds = b->times + b->ntimes * wide;
    b->types = b->kinds + b->ntimes;
    b->leaps = b->types + b->ntypes * 6 + count[5];
    b->end = b->times + len;

    return NCR_OK;
}


/* changes of other things than the offset are left out */

static ncr_int_t
ncr_tz_fill(ncr_tz_t *tz, ncr_tz_block_t *b)
{
    int32_t            offset, before;
    int64_t            at;
    uint32_t           i;
    ncr_tz_change_t   *change;

    if (ncr_tz_type(b, 0, &tz->first) != NCR_OK) {
        return NCR_BAD;
    }

    before = tz->first;
    tz->after = INT64_MIN;

    for (i = 0; i < b->ntimes; i++) {
        at = ncr_tz_int(b->times + i * b->wide, b->wide);

        if (ncr_tz_type(b, b->kinds[i], &offset) != NCR_OK) {
            return NCR_BAD;
        }

        /* some begin with the Big Bang */

        at = ncr_max(at, NCR_TZ_FIRST * 2);
        at = ncr_min(at, NCR_TZ_LAST * 2);
        at -= ncr_tz_leap(b, at);

        if (at < tz->after) {
            return NCR_BAD;
        }

        tz->after = at;

        if (offset == before) {
            continue;
        }

        change = &tz->changes[tz->n++];
        change->at = at;
        change->offset = offset;

        before = offset;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_tz_type(ncr_tz_block_t *b, uint32_t i, int32_t *offset)
{
    if (i >= b->ntypes) {
        return NCR_BAD;
    }

    *offset = (int32_t) ncr_tz_int(b->types + i * 6, 4);

    return (*offset > -NCR_TZ_FARTHEST && *offset < NCR_TZ_FARTHEST)
           ? NCR_OK : NCR_BAD;
}


/* files under "right/" count leap seconds in their times; no clock does */

static int64_t
ncr_tz_leap(ncr_tz_block_t *b, int64_t t)
{
    int64_t       leap;
    uint32_t      i;
    ncr_char_t   *p;

    leap = 0;

    for (i = 0; i < b->nleaps; i++) {
        p = b->leaps + i * (b->wide + 4);

        if (ncr_tz_int(p, b->wide) > t) {
            break;
        }

        leap = ncr_tz_int(p + b->wide, 4);
    }

    return leap;
}


static int64_t
ncr_tz_int(ncr_char_t *p, size_t wide)
{
    size_t    i;
    uint64_t  v;

    v = (p[0] & 0x80) ? UINT64_MAX : 0;

    for (i = 0; i < wide; i++) {
        v = v << 8 | p[i];
    }

    return (int64_t) v;
}


/*
 * RFC 8536, 3.3: between two line feeds there is a TZ string of POSIX,
 * "CET-1CEST,M3.5.0,M10.5.0/3", or nothing: then nobody knows what follows
 * the last change.
 */

static ncr_int_t
ncr_tz_footer(ncr_tz_t *tz, ncr_char_t *p, ncr_char_t *last)
{
    int32_t      west;
    ncr_char_t  *end;

    if (p == last || *p != '\n') {
        return NCR_BAD;
    }

    p++;
    end = memchr(p, '\n', (size_t) (last - p));

    if (end == NULL) {
        return NCR_BAD;
    }

    if (p == end) {
        return NCR_OK;
    }

    if (ncr_tz_word(&p, end) != NCR_OK
        || ncr_tz_clock(&p, end, 24, &west) != NCR_OK)
    {
        return NCR_BAD;
    }

    tz->footer = 1;
    tz->std_offset = -west;

    if (p == end) {
        return NCR_OK;
    }

    if (ncr_tz_word(&p, end) != NCR_OK) {
        return NCR_BAD;
    }

    tz->dst = 1;
    tz->dst_offset = tz->std_offset + 3600;

    if (p < end && *p != ',') {

        if (ncr_tz_clock(&p, end, 24, &west) != NCR_OK) {
            return NCR_BAD;
        }

        tz->dst_offset = -west;
    }

    if (tz->dst_offset >= NCR_TZ_FARTHEST
        || ncr_tz_rule(&tz->begin, &p, end) != NCR_OK
        || ncr_tz_rule(&tz->end, &p, end) != NCR_OK)
    {
        return NCR_BAD;
    }

    return p == end ? NCR_OK : NCR_BAD;
}


/* "CEST" or "<+0330>" */

static ncr_int_t
ncr_tz_word(ncr_char_t **pos, ncr_char_t *last)
{
    ncr_char_t  *p, *begin;

    p = *pos;

    if (p < last && *p == '<') {
        p = memchr(p, '>', (size_t) (last - p));

        if (p == NULL) {
            return NCR_BAD;
        }

        *pos = p + 1;

        return NCR_OK;
    }

    begin = p;

    while (p < last && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
    {
        p++;
    }

    *pos = p;

    return (p - begin >= 3) ? NCR_OK : NCR_BAD;
}


/* [+-]hh[:mm[:ss]] */

static ncr_int_t
ncr_tz_clock(ncr_char_t **p, ncr_char_t *last, int most, int32_t *seconds)
{
    int          hours, minutes, rest;
    ncr_uint_t   minus;

    minus = ncr_tz_skip(p, last, '-');

    if (!minus) {
        (void) ncr_tz_skip(p, last, '+');
    }

    minutes = 0;
    rest = 0;

    if (ncr_tz_number_of(p, last, 0, most, &hours) != NCR_OK) {
        return NCR_BAD;
    }

    if (ncr_tz_skip(p, last, ':')) {

        if (ncr_tz_number_of(p, last, 0, 59, &minutes) != NCR_OK) {
            return NCR_BAD;
        }

        if (ncr_tz_skip(p, last, ':')
            && ncr_tz_number_of(p, last, 0, 59, &rest) != NCR_OK)
        {
            return NCR_BAD;
        }
    }

    *seconds = hours * 3600 + minutes * 60 + rest;

    if (minus) {
        *seconds = -*seconds;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_tz_rule(ncr_tz_rule_t *rule, ncr_char_t **p, ncr_char_t *last)
{
    ncr_int_t  rc;

    if (!ncr_tz_skip(p, last, ',')) {
        return NCR_BAD;
    }

    if (ncr_tz_skip(p, last, 'M')) {
        rule->kind = 'M';

        if (ncr_tz_number_of(p, last, 1, 12, &rule->month) != NCR_OK
            || !ncr_tz_skip(p, last, '.')
            || ncr_tz_number_of(p, last, 1, 5, &rule->week) != NCR_OK
            || !ncr_tz_skip(p, last, '.'))
        {
            return NCR_BAD;
        }

        rc = ncr_tz_number_of(p, last, 0, 6, &rule->day);

    } else if (ncr_tz_skip(p, last, 'J')) {
        rule->kind = 'J';
        rc = ncr_tz_number_of(p, last, 1, 365, &rule->day);

    } else {
        rule->kind = 'N';
        rc = ncr_tz_number_of(p, last, 0, 365, &rule->day);
    }

    if (rc != NCR_OK) {
        return NCR_BAD;
    }

    rule->time = 2 * 3600;

    /* 167 hours since version 3 */

    if (ncr_tz_skip(p, last, '/')) {
        return ncr_tz_clock(p, last, 167, &rule->time);
    }

    return NCR_OK;
}


static ncr_int_t
ncr_tz_number_of(ncr_char_t **pos, ncr_char_t *last, int least, int most,
    int *value)
{
    int          n;
    ncr_char_t  *p;

    n = 0;

    for (p = *pos; p < last && *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (*p - '0');

        if (n > most) {
            return NCR_BAD;
        }
    }

    if (p == *pos || n < least) {
        return NCR_BAD;
    }

    *pos = p;
    *value = n;

    return NCR_OK;
}


static ncr_uint_t
ncr_tz_skip(ncr_char_t **p, ncr_char_t *last, char c)
{
    if (*p < last && **p == (ncr_char_t) c) {
        (*p)++;
        return 1;
    }

    return 0;
}


/* seconds of the local clock, from the epoch */

static int64_t
ncr_tz_rule_at(const ncr_tz_rule_t *rule, int64_t year)
{
    int64_t  days, first, length;

    switch (rule->kind) {

    case 'M':
        first = ncr_tz_days(year, rule->month, 1);
        length = ncr_tz_days(year + rule->month / 12, rule->month % 12 + 1, 1)
                 - first;

        /* 1970-01-01 was a Thursday */

        days = (rule->day - (first + 4) % 7 + 14) % 7 + (rule->week - 1) * 7;

        if (days >= length) {
            days -= 7;
        }

        days += first;
        break;

    case 'J':
        first = ncr_tz_days(year, 1, 1);
        days = first + rule->day - 1;

        if (rule->day > 59 && ncr_tz_days(year, 3, 1) - first == 60) {
            days++;
        }

        break;

    default:
        days = ncr_tz_days(year, 1, 1) + rule->day;
        break;
    }

    return days * NCR_TZ_DAY + rule->time;
}


static void
ncr_tz_run(const ncr_tz_t *tz, int64_t t, ncr_tz_run_t *run)
{
    ncr_uint_t  low, high, mid;

    /* the first change after t */

    low = 0;
    high = tz->n;

    while (low < high) {
        mid = (low + high) / 2;

        if (tz->changes[mid].at <= t) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    run->from = low ? tz->changes[low - 1].at : INT64_MIN;
    run->until = (low < tz->n) ? tz->changes[low].at : INT64_MAX;
    run->offset = low ? tz->changes[low - 1].offset : tz->first;

    if (!tz->footer || low < tz->n) {
        return;
    }

    if (t >= tz->after) {
        run->from = ncr_max(run->from, tz->after);
        ncr_tz_run_footer(tz, t, run);

    } else {
        run->until = tz->after;
    }
}


/* what the rules of the footer say, which hold from run->from on */

static void
ncr_tz_run_footer(const ncr_tz_t *tz, int64_t t, ncr_tz_run_t *run)
{
    int64_t      year, y, begin, end, last;

    run->offset = tz->std_offset;

    if (!tz->dst) {
        return;
    }

    /*
     * The last change that is not after t, and the first one that is.  Times
     * of rules reach a week into the years beside theirs.
     */

    year = ncr_tz_floor(ncr_tz_month(ncr_tz_floor(t, NCR_TZ_DAY)), 12);
    last = INT64_MIN;

    for (y = year - 2; y <= year + 2; y++) {
        begin = ncr_tz_rule_at(&tz->begin, y) - tz->std_offset;
        end = ncr_tz_rule_at(&tz->end, y) - tz->dst_offset;

        if (end <= t && end > last) {
            last = end;
            run->offset = tz->std_offset;
        }

        /* where it ends as it begins, it lasts all the year */

        if (begin <= t && begin >= last) {
            last = begin;
            run->offset = tz->dst_offset;
        }

        if (begin > t) {
            run->until = ncr_min(run->until, begin);
        }

        if (end > t) {
            run->until = ncr_min(run->until, end);
        }
    }

    run->from = ncr_max(run->from, last);
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
        n = ncr_tz_nth(span, weekday, hour, t + run.offset);

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
ncr_tz_nth(ncr_span_e span, ncr_uint_t weekday, ncr_uint_t hour,
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
