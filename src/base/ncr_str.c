
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_str.h"


#define NCR_STR_MAX_SECONDS  INT64_C(253402300799)  /* the end of 9999 */

#define NCR_STR_ONES         UINT64_C(0x0101010101010101)
#define NCR_STR_HIGHS        UINT64_C(0x8080808080808080)


/* a point in time, field by field; month is 1..12 */

typedef struct {
    uint32_t  year;
    uint32_t  month;
    uint32_t  day;
    uint32_t  hour;
    uint32_t  minute;
    uint32_t  second;
} ncr_str_civil_t;


static ncr_char_t ncr_str_lower(ncr_char_t c);
static inline void ncr_str_lowcase8(ncr_char_t *dst, const ncr_char_t *src);
static ncr_int_t ncr_str_utc(ncr_str_t *s, ncr_msec_t *value);
static inline uint32_t ncr_str_two(ncr_char_t *p, ncr_uint_t *bad);
static ncr_int_t ncr_str_rfc3339_time(ncr_str_t *s, ncr_msec_t *value);
static ncr_int_t ncr_str_zone(ncr_char_t *p, size_t len, int32_t *minutes);
static ncr_int_t ncr_str_http_time(ncr_str_t *s, ncr_msec_t *value);
static ncr_int_t ncr_str_template(ncr_str_civil_t *t, ncr_char_t *p,
    size_t len, const char *template);
static uint32_t *ncr_str_field(ncr_str_civil_t *t, char c);
static ncr_int_t ncr_str_month(ncr_char_t *p, uint32_t *month);
static size_t ncr_str_weekday(ncr_char_t *p, size_t len);
static ncr_int_t ncr_str_seconds(ncr_str_civil_t *t, int64_t *seconds);


static const char  ncr_str_months[] = "janfebmaraprmayjunjulaugsepoctnovdec";

static const char *const  ncr_str_weekdays[] = {
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday",
    "saturday"
};


static ncr_char_t
ncr_str_lower(ncr_char_t c)
{
    return (ncr_char_t) ((c >= 'A' && c <= 'Z') ? c | 0x20 : c);
}


/* names of headers are long and many, so eight bytes are done at a time */

void
ncr_str_lowcase(ncr_char_t *dst, const ncr_char_t *src, size_t len)
{
    size_t  i;

    if (len < 8) {

        for (i = 0; i < len; i++) {
            dst[i] = ncr_str_lower(src[i]);
        }

        return;
    }

    for (i = 0; i < len - 8; i += 8) {
        ncr_str_lowcase8(dst + i, src + i);
    }

    /* the last eight, of which some may be done already */

    ncr_str_lowcase8(dst + len - 8, src + len - 8);
}


/*
 * The high bit of each byte becomes that of an upper case letter: it is set
 * by adding where the other seven bits are not less than 'A', and again
 * where they are more than 'Z'.
 */

static inline void
ncr_str_lowcase8(ncr_char_t *dst, const ncr_char_t *src)
{
    uint64_t  x, low, upper;

    memcpy(&x, src, 8);

    low = x & ~NCR_STR_HIGHS;
    upper = (low + NCR_STR_ONES * (0x80 - 'A'))
            & ~(low + NCR_STR_ONES * (0x7f - 'Z'))
            & ~x & NCR_STR_HIGHS;

    /* 0x20 makes a letter lower case */

    x |= upper >> 2;

    memcpy(dst, &x, 8);
}


ncr_uint_t
ncr_str_caseeq(ncr_str_t *s, const char *text)
{
    size_t  i;

    if (s->len != strlen(text)) {
        return 0;
    }

    /* most are as they are usually written */

    if (s->len && memcmp(s->data, text, s->len) == 0) {
        return 1;
    }

    for (i = 0; i < s->len; i++) {
        if (ncr_str_lower(s->data[i]) != ncr_str_lower((ncr_char_t) text[i])) {
            return 0;
        }
    }

    return 1;
}


ncr_uint_t
ncr_str_contains(ncr_str_t *s, const char *text)
{
    size_t  i, n, len;

    len = strlen(text);

    if (len == 0) {
        return 1;
    }

    for (i = 0; i + len <= s->len; i++) {

        if ((s->data[i] | 0x20) != (text[0] | 0x20)) {
            continue;
        }

        for (n = 0; n < len; n++) {
            if (ncr_str_lower(s->data[i + n]) != (ncr_char_t) text[n]) {
                break;
            }
        }

        if (n == len) {
            return 1;
        }
    }

    return 0;
}


/*
 * Only the last "*" is ever tried again: what an earlier one could take, the
 * last one can take as well.
 */

ncr_uint_t
ncr_str_glob(ncr_str_t *pattern, ncr_str_t *s)
{
    size_t      i, n, star, from;
    ncr_char_t  c;

    i = 0;
    n = 0;
    from = 0;
    star = pattern->len;

    while (i < s->len) {

        c = (n < pattern->len) ? pattern->data[n] : '\0';

        if (n < pattern->len && c == '*') {
            star = n++;
            from = i;

        } else if (n < pattern->len
                   && (c == '?'
                       || ncr_str_lower(c) == ncr_str_lower(s->data[i])))
        {
            n++;
            i++;

        } else if (star < pattern->len) {
            n = star + 1;
            i = ++from;

        } else {
            return 0;
        }
    }

    while (n < pattern->len && pattern->data[n] == '*') {
        n++;
    }

    return n == pattern->len;
}


ncr_int_t
ncr_str_int(ncr_str_t *s, int64_t *value)
{
    size_t   i;
    int64_t  v, digit;

    if (s->len == 0) {
        return NCR_BAD;
    }

    v = 0;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] < '0' || s->data[i] > '9') {
            return NCR_BAD;
        }

        digit = s->data[i] - '0';

        if (i > 17 && v > (INT64_MAX - digit) / 10) {
            return NCR_BAD;
        }

        v = v * 10 + digit;
    }

    *value = v;

    return NCR_OK;
}


ncr_int_t
ncr_str_fraction(ncr_str_t *s, int32_t *value)
{
    size_t       i, whole;
    int64_t      v;
    ncr_char_t   c;
    ncr_uint_t   digits;

    v = 0;
    digits = 0;

    for (i = 0; i < s->len && s->data[i] != '.'; i++) {
        c = s->data[i];

        if (c < '0' || c > '9') {
            return NCR_BAD;
        }

        v = ncr_min(v * 10 + (c - '0'), INT32_MAX);
    }

    whole = i;

    if (whole == 0 || whole + 1 == s->len) {
        return NCR_BAD;
    }

    /* five digits after the point, the last one to round by */

    for (i = whole + 1; i < s->len || digits < 5; i++) {
        c = (i < s->len) ? s->data[i] : '0';

        if (c < '0' || c > '9') {
            return NCR_BAD;
        }

        if (digits < 5) {
            v = v * 10 + (c - '0');
            digits++;
        }
    }

    v = (v + 5) / 10;

    *value = (int32_t) ncr_min(v, INT32_MAX);

    return NCR_OK;
}


ncr_int_t
ncr_str_time(ncr_str_t *s, ncr_msec_t *value)
{
    int64_t  seconds;

    if (ncr_str_utc(s, value) == NCR_OK) {
        return NCR_OK;
    }

    if (ncr_str_int(s, &seconds) == NCR_OK) {

        if (seconds > NCR_STR_MAX_SECONDS) {
            return NCR_BAD;
        }

        *value = seconds * 1000;

        return NCR_OK;
    }

    if (s->len && s->data[0] >= '0' && s->data[0] <= '9') {
        return ncr_str_rfc3339_time(s, value);
    }

    return ncr_str_http_time(s, value);
}


/* the form of nearly all of them, "2026-11-21T15:00:00Z" */

static ncr_int_t
ncr_str_utc(ncr_str_t *s, ncr_msec_t *value)
{
    int64_t           seconds;
    ncr_uint_t        bad;
    ncr_char_t       *p;
    ncr_str_civil_t   t;

    p = s->data;

    if (s->len != 20 || p[4] != '-' || p[7] != '-' || p[10] != 'T'
        || p[13] != ':' || p[16] != ':' || p[19] != 'Z')
    {
        return NCR_DECLINED;
    }

    bad = 0;

    t.year = ncr_str_two(p, &bad) * 100 + ncr_str_two(p + 2, &bad);
    t.month = ncr_str_two(p + 5, &bad);
    t.day = ncr_str_two(p + 8, &bad);
    t.hour = ncr_str_two(p + 11, &bad);
    t.minute = ncr_str_two(p + 14, &bad);
    t.second = ncr_str_two(p + 17, &bad);

    if (bad || ncr_str_seconds(&t, &seconds) != NCR_OK) {
        return NCR_BAD;
    }

    *value = seconds * 1000;

    return NCR_OK;
}


/* two digits; *bad is set if they are none */

static inline uint32_t
ncr_str_two(ncr_char_t *p, ncr_uint_t *bad)
{
    uint32_t  tens, ones;

    tens = (uint32_t) p[0] - '0';
    ones = (uint32_t) p[1] - '0';

    *bad |= (tens > 9) | (ones > 9);

    return tens * 10 + ones;
}


static ncr_int_t
ncr_str_rfc3339_time(ncr_str_t *s, ncr_msec_t *value)
{
    size_t            i, len;
    int32_t           zone;
    int64_t           seconds, msec, unit;
    ncr_char_t       *p;
    ncr_str_civil_t   t;

    p = s->data;
    len = s->len;

    if (len < 20 || (p[10] != 'T' && p[10] != 't' && p[10] != ' ')) {
        return NCR_BAD;
    }

    if (ncr_str_template(&t, p, 10, "YYYY-OO-DD") != NCR_OK
        || ncr_str_template(&t, p + 11, 8, "hh:mm:ss") != NCR_OK
        || ncr_str_seconds(&t, &seconds) != NCR_OK)
    {
        return NCR_BAD;
    }

    i = 19;
    msec = 0;

    if (p[i] == '.') {
        unit = 100;

        for (i++; i < len && p[i] >= '0' && p[i] <= '9'; i++) {
            msec += (p[i] - '0') * unit;
            unit /= 10;
        }

        if (i == 20) {
            return NCR_BAD;
        }
    }

    if (ncr_str_zone(p + i, len - i, &zone) != NCR_OK) {
        return NCR_BAD;
    }

    *value = (seconds - (int64_t) zone * 60) * 1000 + msec;

    return NCR_OK;
}


static ncr_int_t
ncr_str_zone(ncr_char_t *p, size_t len, int32_t *minutes)
{
    ncr_str_civil_t  t;

    *minutes = 0;

    if (len == 1 && (p[0] == 'Z' || p[0] == 'z')) {
        return NCR_OK;
    }

    if (len != 6 || (p[0] != '+' && p[0] != '-')
        || ncr_str_template(&t, p + 1, 5, "hh:mm") != NCR_OK
        || t.hour > 23 || t.minute > 59)
    {
        return NCR_BAD;
    }

    *minutes = (int32_t) (t.hour * 60 + t.minute);

    if (p[0] == '-') {
        *minutes = -*minutes;
    }

    return NCR_OK;
}


/* the three forms of RFC 9110, told apart by their length and commas */

static ncr_int_t
ncr_str_http_time(ncr_str_t *s, ncr_msec_t *value)
{
    size_t            n, len;
    int64_t           seconds;
    ncr_int_t         rc;
    ncr_char_t       *p;
    ncr_str_civil_t   t;

    n = ncr_str_weekday(s->data, s->len);

    if (n == 0) {
        return NCR_BAD;
    }

    p = s->data + n;
    len = s->len - n;

    if (n == 3 && len > 0 && p[0] == ',') {
        rc = ncr_str_template(&t, p, len, ", DD NNN YYYY hh:mm:ss GMT");

    } else if (n == 3) {
        rc = ncr_str_template(&t, p, len, " NNN _D hh:mm:ss YYYY");

    } else {
        rc = ncr_str_template(&t, p, len, ", DD-NNN-yy hh:mm:ss GMT");
    }

    if (rc != NCR_OK || ncr_str_seconds(&t, &seconds) != NCR_OK) {
        return NCR_BAD;
    }

    *value = seconds * 1000;

    return NCR_OK;
}


/*
 * Y, y, O (the month), D, h, m and s are digits of their field, "_" is a
 * digit of the day or a space, NNN is a month by name, and anything else is
 * itself.
 */

static ncr_int_t
ncr_str_template(ncr_str_civil_t *t, ncr_char_t *p, size_t len,
    const char *template)
{
    char       c;
    size_t     i;
    uint32_t  *field;

    if (strlen(template) != len) {
        return NCR_BAD;
    }

    for (i = 0; i < len; i++) {
        c = template[i];

        if (c == 'N') {
            if (ncr_str_month(p + i, &t->month) != NCR_OK) {
                return NCR_BAD;
            }

            i += 2;
            continue;
        }

        field = ncr_str_field(t, c);

        if (field == NULL || (c == '_' && p[i] == ' ')) {

            if (field != NULL) {
                *field = 0;

            } else if (p[i] != (ncr_char_t) c) {
                return NCR_BAD;
            }

            continue;
        }

        if (p[i] < '0' || p[i] > '9') {
            return NCR_BAD;
        }

        if (i == 0 || ncr_str_field(t, template[i - 1]) != field) {
            *field = 0;
        }

        *field = *field * 10 + (uint32_t) (p[i] - '0');

        /* two digits of a year: the rule of nginx */

        if (c == 'y' && template[i - 1] == 'y') {
            *field += (*field < 70) ? 2000 : 1900;
        }
    }

    return NCR_OK;
}


static uint32_t *
ncr_str_field(ncr_str_civil_t *t, char c)
{
    switch (c) {

    case 'Y':
    case 'y':
        return &t->year;

    case 'O':
        return &t->month;

    case 'D':
    case '_':
        return &t->day;

    case 'h':
        return &t->hour;

    case 'm':
        return &t->minute;

    case 's':
        return &t->second;

    default:
        return NULL;
    }
}


static ncr_int_t
ncr_str_month(ncr_char_t *p, uint32_t *month)
{
    uint32_t     i;
    const char  *name;

    for (i = 0; i < 12; i++) {
        name = &ncr_str_months[i * 3];

        if (ncr_str_lower(p[0]) == (ncr_char_t) name[0]
            && ncr_str_lower(p[1]) == (ncr_char_t) name[1]
            && ncr_str_lower(p[2]) == (ncr_char_t) name[2])
        {
            *month = i + 1;
            return NCR_OK;
        }
    }

    return NCR_BAD;
}


/* the length of the name of a day, whole or three letters, or 0 */

static size_t
ncr_str_weekday(ncr_char_t *p, size_t len)
{
    size_t       n, whole;
    ncr_uint_t   i;
    const char  *name;

    for (i = 0; i < 7; i++) {
        name = ncr_str_weekdays[i];
        whole = strlen(name);

        for (n = 0; n < len && n < whole; n++) {
            if (ncr_str_lower(p[n]) != (ncr_char_t) name[n]) {
                break;
            }
        }

        if (n == 3 || n == whole) {
            return n;
        }
    }

    return 0;
}


/*
 * Days since the epoch by counting years from March, so that the leap day
 * is the last of its year: 153 days are the five months from March on, 306
 * days those from March to December, 719468 those from 0000-03-01 to 1970.
 */

static ncr_int_t
ncr_str_seconds(ncr_str_civil_t *t, int64_t *seconds)
{
    int64_t   year, month, days;
    uint32_t  max;

    if (t->month < 1 || t->month > 12 || t->day < 1 || t->hour > 23
        || t->minute > 59 || t->second > 60)
    {
        return NCR_BAD;
    }

    max = 30 + ((t->month + t->month / 8) & 1);

    if (t->month == 2) {
        max = (t->year % 4 == 0 && (t->year % 100 || t->year % 400 == 0))
              ? 29 : 28;
    }

    if (t->day > max) {
        return NCR_BAD;
    }

    year = (int64_t) t->year;
    month = (int64_t) t->month - 3;

    if (month < 0) {
        month += 12;
        year--;
    }

    /* from 0000-03-01 of the 400 years before, lest it be negative */

    year += 400;

    days = year * 365 + year / 4 - year / 100 + year / 400 - 146097
           + (month * 153 + 2) / 5 + (int64_t) t->day - 1 - 719468;

    *seconds = days * 86400 + (int64_t) (t->hour * 3600 + t->minute * 60
                                         + t->second);

    return NCR_OK;
}


void
ncr_str_rfc3339(char *buf, ncr_msec_t t)
{
    size_t       i;
    int64_t      seconds, days, rest, era, year, month, day, value[6];
    const char  *unit;

    static const char  from[] = "YYYY-OO-DDThh:mm:ssZ";
    static const char  units[] = "YODhms";

    seconds = t / 1000 - (t % 1000 < 0);
    seconds = ncr_min(seconds, NCR_STR_MAX_SECONDS);
    seconds = ncr_max(seconds, INT64_C(-62167219200));   /* 0000-01-01 */

    /* days from 0000-03-01 of the 400 years before, never negative */

    days = seconds / 86400 - (seconds % 86400 < 0);
    rest = seconds - days * 86400;
    days += 719468 + 146097;

    era = days / 146097;
    days %= 146097;

    year = (days - days / 1460 + days / 36524 - days / 146096) / 365;
    days -= year * 365 + year / 4 - year / 100;
    month = (days * 5 + 2) / 153;
    day = days - (month * 153 + 2) / 5 + 1;

    year += (era - 1) * 400 + (month >= 10);
    month += (month < 10) ? 3 : -9;

    value[0] = year;
    value[1] = month;
    value[2] = day;
    value[3] = rest / 3600;
    value[4] = rest / 60 % 60;
    value[5] = rest % 60;

    memcpy(buf, from, sizeof(from));

    /* backwards, so that the last digit comes first */

    for (i = sizeof(from) - 1; i-- > 0; /* void */ ) {
        unit = strchr(units, from[i]);

        if (unit != NULL) {
            buf[i] = (char) ('0' + value[unit - units] % 10);
            value[unit - units] /= 10;
        }
    }
}


ncr_char_t *
ncr_str_decimal(ncr_char_t *dst, uint64_t n)
{
    size_t       len;
    ncr_char_t  *p, buf[20];

    p = buf + sizeof(buf);

    do {
        *--p = (ncr_char_t) ('0' + n % 10);
        n /= 10;
    } while (n);

    len = (size_t) (buf + sizeof(buf) - p);
    memcpy(dst, p, len);

    return dst + len;
}


void
ncr_str_copy(char *dst, size_t size, ncr_str_t *src)
{
    size_t  n;

    if (size == 0) {
        return;
    }

    n = ncr_min(src->len, size - 1);

    if (n) {
        memcpy(dst, src->data, n);
    }

    dst[n] = '\0';
}
