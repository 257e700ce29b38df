
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_tz.c"
#include "ncr_test.h"

#include <stdio.h>


#define NCR_TEST_HOUR  3600


static ncr_char_t  ncr_test_buf[65536];


static ncr_char_t *
ncr_test_put(ncr_char_t *p, int64_t value, size_t wide)
{
    size_t  i;

    for (i = 0; i < wide; i++) {
        p[i] = (ncr_char_t) ((uint64_t) value >> (8 * (wide - 1 - i)));
    }

    return p + wide;
}


/* a header of version 2: leap seconds, times, types and characters */

static ncr_char_t *
ncr_test_header(ncr_char_t *p, int leaps, int times, int types, int chars)
{
    memset(p, 0, NCR_TZ_HEADER);
    memcpy(p, "TZif2", 5);

    (void) ncr_test_put(p + 28, leaps, 4);
    (void) ncr_test_put(p + 32, times, 4);
    (void) ncr_test_put(p + 36, types, 4);
    (void) ncr_test_put(p + 40, chars, 4);

    return p + NCR_TZ_HEADER;
}


/* a zone that has nothing but a footer; its only type is of UTC */

static ncr_tz_t *
ncr_test_footer(const char *footer)
{
    ncr_str_t    file;
    ncr_tz_t    *tz;
    ncr_char_t  *p;
    ncr_uint_t   i;

    p = ncr_test_buf;

    for (i = 0; i < 2; i++) {
        p = ncr_test_header(p, 0, 0, 1, 4);
        memset(p, 0, 6);
        memcpy(p + 6, "UTC", 4);
        p += 10;
    }

    file.data = ncr_test_buf;
    file.len = (size_t) (p - ncr_test_buf) + strlen(footer) + 2;

    *p++ = '\n';
    memcpy(p, footer, strlen(footer));
    p[strlen(footer)] = '\n';

    return ncr_tz_read(&tz, &file) == NCR_OK ? tz : NULL;
}


/* a file of the system, if it is there */

static ncr_tz_t *
ncr_test_system(const char *name)
{
    char        path[256];
    FILE       *f;
    ncr_tz_t   *tz;
    ncr_str_t   file;

    snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);

    f = fopen(path, "rb");

    if (f == NULL) {
        printf("# no %s: not tried\n", path);
        return NULL;
    }

    file.data = ncr_test_buf;
    file.len = fread(ncr_test_buf, 1, sizeof(ncr_test_buf), f);
    fclose(f);

    ncr_test(ncr_tz_read(&tz, &file) == NCR_OK, path);

    return tz;
}


static int64_t
ncr_test_utc(int year, int month, int day, int hour, int minute)
{
    return ncr_tz_time(ncr_tz_utc(), year, month, day, hour, minute, 0);
}


/* the span around a time of UTC, in seconds after "start", which is UTC */

static int
ncr_test_span(ncr_tz_t *tz, ncr_span_e span, int weekday, int hour,
    int64_t t, int64_t start, int64_t hours)
{
    ncr_msec_t  from, until;

    ncr_tz_span(tz, span, (ncr_uint_t) weekday, (ncr_uint_t) hour, t, &from,
                &until);

    if (from != start || until != start + hours * NCR_TEST_HOUR * 1000) {
        printf("# %lld to %lld, %lld h\n", (long long) from / 1000,
               (long long) until / 1000,
               (long long) (until - from) / 1000 / NCR_TEST_HOUR);
        return 0;
    }

    return 1;
}


static void
ncr_test_calendar(void)
{
    int64_t           t;
    ncr_tz_t         *utc;

    utc = (ncr_tz_t *) (uintptr_t) ncr_tz_utc();

    ncr_test(ncr_tz_offset(utc, 0) == 0, "UTC");
    ncr_test(ncr_test_utc(1970, 1, 1, 0, 0) == 0
             && ncr_test_utc(2026, 11, 21, 12, 0)
                == INT64_C(1795262400) * 1000
             && ncr_test_utc(1969, 12, 31, 23, 59) == -60000, "a date");

    ncr_test(ncr_test_span(utc, NCR_SPAN_MONTH, 1, 0,
                           ncr_test_utc(2028, 2, 29, 23, 59),
                           ncr_test_utc(2028, 2, 1, 0, 0), 29 * 24),
             "February of a leap year");
    ncr_test(ncr_test_span(utc, NCR_SPAN_MONTH, 1, 0,
                           ncr_test_utc(2100, 2, 28, 23, 59),
                           ncr_test_utc(2100, 2, 1, 0, 0), 28 * 24),
             "2100 is none");
    ncr_test(ncr_test_span(utc, NCR_SPAN_MONTH, 1, 4,
                           ncr_test_utc(2027, 1, 1, 3, 59),
                           ncr_test_utc(2026, 12, 1, 4, 0), 31 * 24),
             "a month that begins at 4, over the end of a year");
    ncr_test(ncr_test_span(utc, NCR_SPAN_DAY, 1, 23,
                           ncr_test_utc(2026, 3, 1, 22, 59),
                           ncr_test_utc(2026, 2, 28, 23, 0), 24),
             "a day that begins at 23, over the end of a month");

    /* 2026-11-21 is a Saturday */

    t = ncr_test_utc(2026, 11, 21, 12, 0);

    ncr_test(ncr_test_span(utc, NCR_SPAN_WEEK, 1, 0, t,
                           ncr_test_utc(2026, 11, 16, 0, 0), 168),
             "a week from Monday on");
    ncr_test(ncr_test_span(utc, NCR_SPAN_WEEK, 6, 12, t,
                           ncr_test_utc(2026, 11, 21, 12, 0), 168),
             "one that begins at this moment");
    ncr_test(ncr_test_span(utc, NCR_SPAN_WEEK, 6, 13, t,
                           ncr_test_utc(2026, 11, 14, 13, 0), 168),
             "one that ends in an hour");
    ncr_test(ncr_test_span(utc, NCR_SPAN_WEEK, 7, 0, t,
                           ncr_test_utc(2026, 11, 15, 0, 0), 168),
             "one from Sunday on");
    ncr_test(ncr_test_span(utc, NCR_SPAN_HOUR, 1, 0, t + 3599999, t, 1),
             "an hour");
    ncr_test(ncr_test_span(utc, NCR_SPAN_DAY, 1, 0, -1, -86400000, 24),
             "before the epoch");
}


/* rules of Berlin; changes at 01:00 UTC, 2026-03-29 and 2026-10-25 */

static void
ncr_test_berlin(ncr_tz_t *tz)
{
    if (tz == NULL) {
        return;
    }

    ncr_test(ncr_tz_offset(tz, ncr_test_utc(2026, 3, 29, 0, 59)) == 3600
             && ncr_tz_offset(tz, ncr_test_utc(2026, 3, 29, 1, 0)) == 7200
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 25, 0, 59)) == 7200
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 25, 1, 0)) == 3600,
             "Berlin: two changes");
    ncr_test(ncr_tz_offset(tz, ncr_test_utc(2126, 7, 1, 0, 0)) == 7200
             && ncr_tz_offset(tz, ncr_test_utc(2126, 12, 1, 0, 0)) == 3600,
             "Berlin: in a hundred years");

    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                           ncr_test_utc(2026, 3, 29, 12, 0),
                           ncr_test_utc(2026, 3, 28, 23, 0), 23),
             "Berlin: a day of 23 hours");
    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                           ncr_test_utc(2026, 10, 25, 22, 59),
                           ncr_test_utc(2026, 10, 24, 22, 0), 25),
             "Berlin: a day of 25 hours");
    ncr_test(ncr_test_span(tz, NCR_SPAN_MONTH, 1, 0,
                           ncr_test_utc(2026, 10, 31, 22, 59),
                           ncr_test_utc(2026, 9, 30, 22, 0), 31 * 24 + 1),
             "Berlin: October");
    ncr_test(ncr_test_span(tz, NCR_SPAN_WEEK, 1, 4,
                           ncr_test_utc(2026, 3, 28, 12, 0),
                           ncr_test_utc(2026, 3, 23, 3, 0), 167),
             "Berlin: a week of 167 hours");

    /* 02:00 to 03:00 is not there in March and there twice in October */

    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 2,
                           ncr_test_utc(2026, 3, 29, 1, 0),
                           ncr_test_utc(2026, 3, 29, 1, 0), 23),
             "Berlin: a day begins in the gap");
    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 2,
                           ncr_test_utc(2026, 3, 29, 0, 59),
                           ncr_test_utc(2026, 3, 28, 1, 0), 24),
             "Berlin: the one before it");
    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 2,
                           ncr_test_utc(2026, 10, 25, 1, 30),
                           ncr_test_utc(2026, 10, 25, 0, 0), 25),
             "Berlin: at the first of two");

    ncr_test(ncr_test_span(tz, NCR_SPAN_HOUR, 1, 0,
                           ncr_test_utc(2026, 10, 25, 0, 30),
                           ncr_test_utc(2026, 10, 25, 0, 0), 1)
             && ncr_test_span(tz, NCR_SPAN_HOUR, 1, 0,
                              ncr_test_utc(2026, 10, 25, 1, 30),
                              ncr_test_utc(2026, 10, 25, 1, 0), 1),
             "Berlin: an hour that is there twice is two");
    ncr_test(ncr_tz_time(tz, 2026, 3, 29, 2, 30, 0)
             == ncr_test_utc(2026, 3, 29, 1, 0)
             && ncr_tz_time(tz, 2026, 10, 25, 2, 30, 0)
                == ncr_test_utc(2026, 10, 25, 0, 30),
             "Berlin: times in the gap and the overlap");

    ncr_tz_free(tz);
}


static void
ncr_test_new_york(ncr_tz_t *tz)
{
    if (tz == NULL) {
        return;
    }

    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                           ncr_test_utc(2026, 3, 8, 12, 0),
                           ncr_test_utc(2026, 3, 8, 5, 0), 23)
             && ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                              ncr_test_utc(2026, 11, 2, 4, 59),
                              ncr_test_utc(2026, 11, 1, 4, 0), 25),
             "New York: 23 and 25 hours");

    ncr_tz_free(tz);
}


/* half an hour of summer time, from 02:00 to 02:30, from 02:00 to 01:30 */

static void
ncr_test_lord_howe(ncr_tz_t *tz)
{
    ncr_msec_t  start, end;

    if (tz == NULL) {
        return;
    }

    ncr_test(ncr_tz_offset(tz, ncr_test_utc(2026, 7, 1, 0, 0)) == 37800
             && ncr_tz_offset(tz, ncr_test_utc(2027, 1, 1, 0, 0)) == 39600,
             "Lord Howe: 10:30 and 11:00");

    ncr_tz_span(tz, NCR_SPAN_DAY, 1, 0, ncr_test_utc(2026, 4, 5, 0, 0),
                &start, &end);

    ncr_test(start == ncr_test_utc(2026, 4, 4, 13, 0)
             && end - start == 24 * 3600000 + 1800000,
             "Lord Howe: a day of 24.5 hours");

    ncr_tz_span(tz, NCR_SPAN_HOUR, 1, 0, ncr_test_utc(2026, 4, 4, 15, 10),
                &start, &end);

    ncr_test(start == ncr_test_utc(2026, 4, 4, 15, 0)
             && end == ncr_test_utc(2026, 4, 4, 15, 30),
             "Lord Howe: what is left of an hour");

    ncr_tz_free(tz);
}


static void
ncr_test_kolkata(ncr_tz_t *tz)
{
    if (tz == NULL) {
        return;
    }

    ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                           ncr_test_utc(2026, 11, 21, 18, 30),
                           ncr_test_utc(2026, 11, 21, 18, 30), 24)
             && ncr_test_span(tz, NCR_SPAN_HOUR, 1, 0,
                              ncr_test_utc(2026, 11, 21, 12, 29),
                              ncr_test_utc(2026, 11, 21, 11, 30), 1),
             "Kolkata: days and hours begin at half past");

    ncr_tz_free(tz);
}


static void
ncr_test_system_zones(void)
{
    ncr_tz_t  *tz;

    ncr_test_berlin(ncr_test_system("Europe/Berlin"));
    ncr_test_new_york(ncr_test_system("America/New_York"));
    ncr_test_lord_howe(ncr_test_system("Australia/Lord_Howe"));
    ncr_test_kolkata(ncr_test_system("Asia/Kolkata"));

    tz = ncr_test_system("right/Europe/Berlin");

    if (tz) {
        ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                               ncr_test_utc(2025, 10, 26, 22, 59),
                               ncr_test_utc(2025, 10, 25, 22, 0), 25),
                 "a file with leap seconds is corrected");
        ncr_tz_free(tz);
    }

    /* there was no 2011-12-30 */

    tz = ncr_test_system("Pacific/Apia");

    if (tz) {
        ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                               ncr_test_utc(2011, 12, 30, 9, 59),
                               ncr_test_utc(2011, 12, 29, 10, 0), 24)
                 && ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                                  ncr_test_utc(2011, 12, 30, 10, 0),
                                  ncr_test_utc(2011, 12, 30, 10, 0), 24),
                 "Apia: a day is left out");
        ncr_tz_free(tz);
    }

    /* went from 00:01 to 23:01 of the day before */

    tz = ncr_test_system("America/St_Johns");

    if (tz) {
        ncr_test(ncr_test_span(tz, NCR_SPAN_DAY, 1, 0,
                               ncr_test_utc(2006, 10, 29, 2, 45),
                               ncr_test_utc(2006, 10, 29, 2, 30), 25),
                 "St. John's: a midnight that is there twice");
        ncr_tz_free(tz);
    }
}


static void
ncr_test_footers(void)
{
    ncr_tz_t    *tz;
    ncr_uint_t   i;

    static const char *const  bad[] = {
        "C", "CET", "CET-", "CET-25", "CET-1:60", "CET-1CEST",
        "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,M3.5,M10.5.0", "CET-1CEST,J0,J300", "CET-1CEST,J366,J3",
        "CET-1CEST,366,3", "CET-1CEST,M3.5.0/168,M10.5.0",
        "CET-1CEST,M3.5.0,M10.5.0/3x", "<+01-1", "CET-1CEST,,", "CET-1,"
    };

    ncr_test_berlin(ncr_test_footer("CET-1CEST,M3.5.0,M10.5.0/3"));
    ncr_test_new_york(ncr_test_footer("EST5EDT,M3.2.0,M11.1.0"));
    ncr_test_lord_howe(ncr_test_footer("<+1030>-10:30<+11>-11,M10.1.0,"
                                       "M4.1.0"));
    ncr_test_kolkata(ncr_test_footer("IST-5:30"));

    tz = ncr_test_footer("XXX3EDT4,0/0,J365/23");

    ncr_test(tz && ncr_tz_offset(tz, ncr_test_utc(2027, 1, 1, 3, 0))
                   == -4 * 3600
             && ncr_tz_offset(tz, ncr_test_utc(2027, 1, 1, 2, 59))
                == -4 * 3600
             && ncr_tz_offset(tz, ncr_test_utc(2027, 7, 1, 0, 0))
                == -4 * 3600, "summer time for ever");
    ncr_tz_free(tz);

    /* Dublin's winter is the exception */

    tz = ncr_test_footer("IST-1GMT0,M10.5.0,M3.5.0/1");

    ncr_test(tz && ncr_tz_offset(tz, ncr_test_utc(2026, 12, 1, 0, 0)) == 0
             && ncr_tz_offset(tz, ncr_test_utc(2026, 7, 1, 0, 0)) == 3600
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 25, 0, 59)) == 3600
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 25, 1, 0)) == 0,
             "negative summer time");
    ncr_tz_free(tz);

    /* Julian days leave out February 29, plain ones count it */

    tz = ncr_test_footer("AAA0BBB,J60/0,300/0");

    ncr_test(tz && ncr_tz_offset(tz, ncr_test_utc(2028, 2, 29, 23, 59)) == 0
             && ncr_tz_offset(tz, ncr_test_utc(2028, 3, 1, 0, 0)) == 3600
             && ncr_tz_offset(tz, ncr_test_utc(2028, 10, 26, 22, 59)) == 3600
             && ncr_tz_offset(tz, ncr_test_utc(2028, 10, 26, 23, 0)) == 0,
             "days of the year");
    ncr_tz_free(tz);

    /* Godthab, Jerusalem: times before the day and long after it */

    tz = ncr_test_footer("<-03>3<-02>,M3.5.0/-2,M10.4.4/50");

    ncr_test(tz && ncr_tz_offset(tz, ncr_test_utc(2026, 3, 29, 0, 59))
                   == -10800
             && ncr_tz_offset(tz, ncr_test_utc(2026, 3, 29, 1, 0)) == -7200
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 24, 3, 59))
                == -7200
             && ncr_tz_offset(tz, ncr_test_utc(2026, 10, 24, 4, 0))
                == -10800, "times of version 3");
    ncr_tz_free(tz);

    tz = ncr_test_footer("");
    ncr_test(tz && ncr_tz_offset(tz, 0) == 0, "an empty footer");
    ncr_tz_free(tz);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ncr_test(ncr_test_footer(bad[i]) == NULL, bad[i]);
    }
}


/* one change and one leap second before it, in a file of version 2 */

static ncr_str_t
ncr_test_file(int64_t at, int kind, int64_t offset)
{
    ncr_str_t    file;
    ncr_char_t  *p;
    ncr_uint_t   i;

    p = ncr_test_buf;

    for (i = 4; i <= 8; i += 4) {
        p = ncr_test_header(p, 1, 1, 2, 4);
        p = ncr_test_put(p, at, i);
        *p++ = (ncr_char_t) kind;

        p = ncr_test_put(p, 0, 6);
        p = ncr_test_put(p, offset, 4);
        p = ncr_test_put(p, 0, 2);

        memcpy(p, "AAA", 4);
        p = ncr_test_put(p + 4, 1000, i);
        p = ncr_test_put(p, 27, 4);
    }

    memcpy(p, "\n\n", 2);

    file.data = ncr_test_buf;
    file.len = (size_t) (p + 2 - ncr_test_buf);

    return file;
}


static void
ncr_test_files(void)
{
    size_t       len;
    ncr_tz_t    *tz;
    ncr_str_t    file;
    ncr_uint_t   good, i;

    file = ncr_test_file(2027, 1, 3600);

    ncr_test(ncr_tz_read(&tz, &file) == NCR_OK
             && ncr_tz_offset(tz, 1999999) == 0
             && ncr_tz_offset(tz, 2000000) == 3600,
             "a change in a file that counts leap seconds");
    ncr_tz_free(tz);

    good = 1;

    for (len = 0; len < file.len; len++) {
        ncr_str_t   cut;
        ncr_char_t  copy[512];

        memcpy(copy, file.data, len);
        cut.data = copy;
        cut.len = len;
        good &= (ncr_tz_read(&tz, &cut) == NCR_BAD);
    }

    ncr_test(good, "a file that is cut anywhere");

    /* version 1: the first block is all */

    file.data[4] = '\0';
    ncr_test(ncr_tz_read(&tz, &file) == NCR_OK
             && ncr_tz_offset(tz, 2000000) == 3600, "version 1");
    ncr_tz_free(tz);

    file = ncr_test_file(0, 2, 3600);
    ncr_test(ncr_tz_read(&tz, &file) == NCR_BAD, "a type that is not there");

    file = ncr_test_file(0, 1, 93600);
    ncr_test(ncr_tz_read(&tz, &file) == NCR_BAD, "an offset of 26 hours");

    file = ncr_test_file(0, 1, INT32_MIN);
    ncr_test(ncr_tz_read(&tz, &file) == NCR_BAD, "one that has no negative");

    file = ncr_test_file(0, 1, 3600);
    file.data[32] = 0x7f;
    ncr_test(ncr_tz_read(&tz, &file) == NCR_BAD, "too many changes");

    file = ncr_test_file(0, 1, 3600);
    (void) ncr_test_put(file.data + 36, 0, 4);
    ncr_test(ncr_tz_read(&tz, &file) == NCR_BAD, "no types");

    file = ncr_test_file(INT64_MIN, 1, 3600);
    good = (ncr_tz_read(&tz, &file) == NCR_OK);

    for (i = 0; good && i <= NCR_SPAN_MONTH; i++) {
        ncr_msec_t  start, end;

        ncr_tz_span(tz, (ncr_span_e) i, 7, 23, INT64_MIN, &start, &end);
        good &= (start < end);
        ncr_tz_span(tz, (ncr_span_e) i, 7, 23, INT64_MAX, &start, &end);
        good &= (start < end);
    }

    ncr_test(good, "the beginning and the end of time");
    ncr_tz_free(tz);
}


static void
ncr_test_names(void)
{
    ncr_str_t    s;
    ncr_uint_t   i;

    static const char *const  good[] = {
        "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+1",
        "America/Port-au-Prince", "EST5EDT", "right/Europe/Berlin"
    };

    static const char *const  bad[] = {
        "", "/", "/etc/passwd", "Europe/", "../passwd", "Europe/../x", ".",
        "Europe//Berlin", "a.b", "Europe/Ber lin", "-x", "a\n", "Z\xc3\xbc",
        "A234567890123456789012345678901234567890123456789012345678901234X"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s.data = (ncr_char_t *) (uintptr_t) good[i];
        s.len = strlen(good[i]);
        ncr_test(ncr_tz_name(&s), good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.data = (ncr_char_t *) (uintptr_t) bad[i];
        s.len = strlen(bad[i]);
        ncr_test(!ncr_tz_name(&s), "not a name");
    }
}


int
main(void)
{
    ncr_test_calendar();
    ncr_test_system_zones();
    ncr_test_footers();
    ncr_test_files();
    ncr_test_names();

    return ncr_test_done();
}
