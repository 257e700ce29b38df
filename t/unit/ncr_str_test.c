
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_str.c"
#include "ncr_test.h"


/* in a buffer of its exact length, so that a sanitizer sees who overreads */

static ncr_str_t *
ncr_test_e(const char *text)
{
    static ncr_str_t   s[2];
    static ncr_uint_t  n;
    static ncr_char_t  buf[2][256];

    n = !n;
    s[n].len = strlen(text);
    s[n].data = buf[n] + sizeof(buf[n]) - s[n].len;
    memcpy(s[n].data, text, s[n].len);

    return &s[n];
}


/* each byte at each place of each length, and nothing behind it */

static void
ncr_test_lowcase(void)
{
    size_t       i, len, at;
    ncr_char_t   src[24], dst[24], want;
    ncr_uint_t   c, good, inside, same;

    good = 1;
    inside = 1;
    same = 1;

    for (len = 0; len < sizeof(src); len++) {

        for (at = 0; at < len; at++) {

            for (c = 0; c < 256; c++) {

                memset(src, 'Q', sizeof(src));
                memset(dst, '#', sizeof(dst));
                src[at] = (ncr_char_t) c;

                ncr_str_lowcase(dst, src, len);

                for (i = 0; i < len; i++) {
                    want = (i != at) ? 'q'
                           : (c >= 'A' && c <= 'Z') ? (ncr_char_t) (c + 32)
                           : (ncr_char_t) c;

                    good &= (dst[i] == want);
                }

                inside &= (dst[len] == '#');

                ncr_str_lowcase(src, src, len);
                same &= (memcmp(src, dst, len) == 0 && src[len] == 'Q');
            }
        }
    }

    ncr_test(good, "lowcase: as it is defined");
    ncr_test(inside, "lowcase: not a byte more");
    ncr_test(same, "lowcase: in place");
}


static void
ncr_test_decimal(void)
{
    ncr_char_t  *p, buf[24];

    p = ncr_str_decimal(buf, 0);
    ncr_test(p == buf + 1 && buf[0] == '0', "decimal: 0");

    p = ncr_str_decimal(buf, 1090);
    ncr_test(p == buf + 4 && memcmp(buf, "1090", 4) == 0, "decimal");

    memset(buf, '#', sizeof(buf));
    p = ncr_str_decimal(buf, UINT64_MAX);
    ncr_test(p == buf + 20 && memcmp(buf, "18446744073709551615#", 21) == 0,
             "decimal: the longest");
}


static void
ncr_test_compare(void)
{
    ncr_str_t  null = ncr_null_string;

    ncr_test(ncr_str_eq(ncr_test_e("abc"), "abc"), "eq");
    ncr_test(!ncr_str_eq(ncr_test_e("abc"), "abd"), "eq: another");
    ncr_test(!ncr_str_eq(ncr_test_e("abc"), "ab"), "eq: shorter");
    ncr_test(!ncr_str_eq(ncr_test_e("ab"), "abc"), "eq: longer");
    ncr_test(ncr_str_eq(&null, ""), "eq: null");

    ncr_test(ncr_str_caseeq(ncr_test_e("aBc-1"), "AbC-1"), "caseeq");
    ncr_test(!ncr_str_caseeq(ncr_test_e("a@"), "a`"), "caseeq: no letters");
    ncr_test(!ncr_str_caseeq(ncr_test_e("abc"), "ab"), "caseeq: shorter");
    ncr_test(ncr_str_caseeq(&null, ""), "caseeq: null");

    ncr_test(ncr_str_prefix(ncr_test_e("claude-x"), "claude-"), "prefix");
    ncr_test(!ncr_str_prefix(ncr_test_e("clau"), "claude"),
             "prefix: too short");
    ncr_test(!ncr_str_prefix(ncr_test_e("Claude"), "claude"),
             "prefix: another case");
    ncr_test(ncr_str_prefix(&null, ""), "prefix: null");

    ncr_test(ncr_str_contains(ncr_test_e("Your Credit Balance"), "credit"),
             "contains");
    ncr_test(ncr_str_contains(ncr_test_e("aaab"), "aab"),
             "contains: at the end");
    ncr_test(!ncr_str_contains(ncr_test_e("cred"), "credit"),
             "contains: too short");
    ncr_test(!ncr_str_contains(ncr_test_e("cre dit"), "credit"),
             "contains: not");
    ncr_test(ncr_str_contains(&null, ""), "contains: null");
    ncr_test(!ncr_str_contains(&null, "a"), "contains: not in null");
}


static void
ncr_test_glob(void)
{
    char       name[256], stars[128], as[128];
    size_t     i;
    ncr_str_t  null = ncr_null_string;

    static const struct {
        const char  *pattern;
        const char  *s;
        ncr_uint_t   match;
    } rows[] = {
        { "", "", 1 },
        { "", "a", 0 },
        { "*", "", 1 },
        { "**", "abc", 1 },
        { "?", "", 0 },
        { "?", "a", 1 },
        { "claude-*", "claude-opus-4-1", 1 },
        { "claude-*", "claude-", 1 },
        { "claude-*", "claude", 0 },
        { "CLAUDE-*", "Claude-x", 1 },
        { "*opus*", "claude-opus-4", 1 },
        { "*opus*", "claude-sonnet", 0 },
        { "*-4", "claude-4-4", 1 },
        { "*-4", "claude-4-5", 0 },
        { "a*b*c", "a-b-c-b-c", 1 },
        { "a*b*c", "a-c-b", 0 },
        { "gpt-?", "gpt-5", 1 },
        { "gpt-?", "gpt-51", 0 },
        { "*?", "", 0 },
        { "*?", "x", 1 },
        { "?*?", "xy", 1 },
        { "?*?", "x", 0 },
        { "a", "b", 0 },
        { "abc", "ab", 0 },
        { "a?c*", "abcd", 1 },
        { "*ab", "aab", 1 },
        { "*a*a*a", "aa", 0 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void) snprintf(name, sizeof(name), "glob: '%s' of '%s'",
                        rows[i].pattern, rows[i].s);
        ncr_test(ncr_str_glob(ncr_test_e(rows[i].pattern),
                              ncr_test_e(rows[i].s)) == rows[i].match, name);
    }

    ncr_test(ncr_str_glob(&null, &null), "glob: null");

    for (i = 0; i < 126; i += 2) {
        memcpy(stars + i, "*a", 2);
        memcpy(as + i, "aa", 2);
    }

    stars[126] = 'b';
    stars[127] = '\0';
    as[126] = '\0';

    ncr_test(!ncr_str_glob(ncr_test_e(stars), ncr_test_e(as)),
             "glob: many stars end soon");
}


static void
ncr_test_numbers(void)
{
    size_t     i;
    int32_t    fraction;
    int64_t    value;
    ncr_str_t  null = ncr_null_string;
    ncr_int_t  rc;

    static const struct {
        const char  *text;
        ncr_int_t    rc;
        int64_t      value;
    } ints[] = {
        { "0", NCR_OK, 0 },
        { "007", NCR_OK, 7 },
        { "9223372036854775807", NCR_OK, INT64_MAX },
        { "9223372036854775808", NCR_BAD, 0 },
        { "99999999999999999999", NCR_BAD, 0 },
        { "-1", NCR_BAD, 0 },
        { "+1", NCR_BAD, 0 },
        { " 1", NCR_BAD, 0 },
        { "1 ", NCR_BAD, 0 },
        { "1.0", NCR_BAD, 0 },
        { "0x1", NCR_BAD, 0 }
    };

    static const struct {
        const char  *text;
        ncr_int_t    rc;
        int32_t      value;
    } fractions[] = {
        { "0", NCR_OK, 0 },
        { "1", NCR_OK, 10000 },
        { "0.69", NCR_OK, 6900 },
        { "1.0", NCR_OK, 10000 },
        { "0.12344", NCR_OK, 1234 },
        { "0.12345", NCR_OK, 1235 },
        { "0.123449999999999", NCR_OK, 1234 },
        { "0.99996", NCR_OK, 10000 },
        { "0.00004", NCR_OK, 0 },
        { "12.5", NCR_OK, 125000 },
        { "214748.3647", NCR_OK, INT32_MAX },
        { "214748.36475", NCR_OK, INT32_MAX },
        { "214749", NCR_OK, INT32_MAX },
        { "99999999999999999999999.9", NCR_OK, INT32_MAX },
        { "0.00000000000000000000000000000000001", NCR_OK, 0 },
        { ".5", NCR_BAD, -1 },
        { "5.", NCR_BAD, -1 },
        { ".", NCR_BAD, -1 },
        { "-0.5", NCR_BAD, -1 },
        { "0.5%", NCR_BAD, -1 },
        { "0.123456x", NCR_BAD, -1 },
        { "0.5.5", NCR_BAD, -1 },
        { "1e3", NCR_BAD, -1 },
        { "NaN", NCR_BAD, -1 }
    };

    for (i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        value = 0;
        rc = ncr_str_int(ncr_test_e(ints[i].text), &value);
        ncr_test(rc == ints[i].rc && value == ints[i].value, ints[i].text);
    }

    ncr_test(ncr_str_int(&null, &value) == NCR_BAD, "int: null");

    for (i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
        fraction = -1;
        rc = ncr_str_fraction(ncr_test_e(fractions[i].text), &fraction);
        ncr_test(rc == fractions[i].rc && fraction == fractions[i].value,
                 fractions[i].text);
    }

    ncr_test(ncr_str_fraction(&null, &fraction) == NCR_BAD,
             "fraction: null");
}


static void
ncr_test_times(void)
{
    size_t      i;
    ncr_str_t   null = ncr_null_string;
    ncr_int_t   rc;
    ncr_msec_t  value;

    static const struct {
        const char  *text;
        ncr_msec_t   value;
    } good[] = {
        { "0", 0 },
        { "1795262400", INT64_C(1795262400000) },
        { "253402300799", INT64_C(253402300799000) },
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-11-21T12:00:00Z", INT64_C(1795262400000) },
        { "2026-11-21t12:00:00z", INT64_C(1795262400000) },
        { "2026-11-21 12:00:00Z", INT64_C(1795262400000) },
        { "2026-11-21T13:30:00.25+01:30", INT64_C(1795262400250) },
        { "2026-11-21T11:00:00-01:00", INT64_C(1795262400000) },
        { "2026-11-21T12:00:00.123456789Z", INT64_C(1795262400123) },
        { "2026-11-21T12:00:00+00:00", INT64_C(1795262400000) },
        { "2024-02-29T23:59:59Z", INT64_C(1709251199000) },
        { "2000-02-29T00:00:00Z", INT64_C(951782400000) },
        { "1969-12-31T23:59:59Z", INT64_C(-1000) },
        { "9999-12-31T23:59:59Z", INT64_C(253402300799000) },
        { "0000-01-01T00:00:00Z", INT64_C(-62167219200000) },
        { "2016-12-31T23:59:60Z", INT64_C(1483228800000) },
        { "Sun, 06 Nov 1994 08:49:37 GMT", INT64_C(784111777000) },
        { "Sunday, 06-Nov-94 08:49:37 GMT", INT64_C(784111777000) },
        { "Sun Nov  6 08:49:37 1994", INT64_C(784111777000) },
        { "Wed Nov 16 08:49:37 1994", INT64_C(784975777000) },
        { "sun, 06 nov 1994 08:49:37 GMT", INT64_C(784111777000) },
        { "Saturday, 21-Nov-26 12:00:00 GMT", INT64_C(1795262400000) },
        { "Thursday, 01-Jan-70 00:00:00 GMT", 0 }
    };

    static const char *const  bad[] = {
        "", " ", "soon", "-1", "253402300800", "1795262400000", "1795262400s",
        "99999999999999999999",
        "2026-11-21", "2026-11-21T12:00:00", "2026-11-21T12:00Z",
        "2026-13-21T12:00:00Z", "2026-00-21T12:00:00Z",
        "2026-11-31T12:00:00Z", "2026-11-00T12:00:00Z",
        "2026-02-29T12:00:00Z", "1900-02-29T12:00:00Z",
        "2026-11-21T24:00:00Z", "2026-11-21T12:60:00Z",
        "2026-11-21T12:00:61Z", "2026-11-21T12:00:00.Z",
        "2026-11-21T12:00:00.5", "2026-11-21T12:00:00+1:00",
        "2026-11-21T12:00:00+0100", "2026-11-21T12:00:00+24:00",
        "2026-11-21T12:00:00+01:60", "2026-11-21T12:00:00Z ",
        "2026-11-21X12:00:00Z", "2026/11/21T12:00:00Z",
        "2026-11-2aT12:00:00Z", "2026-11-21T12:00:00ZZ",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 PST",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sund, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37", "Sun Nov 6 08:49:37 1994",
        "Sun Nov    08:49:37 1994", "Sun Nov  0 08:49:37 1994",
        "Sun", "Sun,", "Sunday", "Sunday,"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        value = 1;
        rc = ncr_str_time(ncr_test_e(good[i].text), &value);
        ncr_test(rc == NCR_OK && value == good[i].value, good[i].text);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ncr_test(ncr_str_time(ncr_test_e(bad[i]), &value) == NCR_BAD, bad[i]);
    }

    ncr_test(ncr_str_time(&null, &value) == NCR_BAD, "time: null");
}


static void
ncr_test_rfc3339(void)
{
    char        buf[NCR_STR_RFC3339];
    size_t      bad;
    ncr_str_t   s;
    ncr_msec_t  t, value;

    ncr_str_rfc3339(buf, INT64_C(1795262400999));
    ncr_test(strcmp(buf, "2026-11-21T12:00:00Z") == 0, "rfc3339");

    ncr_str_rfc3339(buf, -1);
    ncr_test(strcmp(buf, "1969-12-31T23:59:59Z") == 0,
             "rfc3339: before the epoch");

    ncr_str_rfc3339(buf, INT64_MAX);
    ncr_test(strcmp(buf, "9999-12-31T23:59:59Z") == 0,
             "rfc3339: after the last year");

    ncr_str_rfc3339(buf, INT64_MIN);
    ncr_test(strcmp(buf, "0000-01-01T00:00:00Z") == 0,
             "rfc3339: before the first year");

    /* forth and back, each day of ten thousand years and some seconds */

    s.data = (ncr_char_t *) buf;
    s.len = NCR_STR_RFC3339 - 1;
    bad = 0;

    for (t = INT64_C(-62167219200); t <= INT64_C(253402300799); t += 86399) {
        ncr_str_rfc3339(buf, t * 1000);
        bad += (ncr_str_time(&s, &value) != NCR_OK || value != t * 1000);
    }

    ncr_test(bad == 0, "rfc3339: forth and back");
}


static void
ncr_test_copy(void)
{
    char       buf[4];
    ncr_str_t  null = ncr_null_string;

    ncr_str_copy(buf, sizeof(buf), ncr_test_e("ab"));
    ncr_test(strcmp(buf, "ab") == 0, "copy");

    ncr_str_copy(buf, sizeof(buf), ncr_test_e("abcdef"));
    ncr_test(strcmp(buf, "abc") == 0, "copy: cut");

    ncr_str_copy(buf, 1, ncr_test_e("abc"));
    ncr_test(strcmp(buf, "") == 0, "copy: room for the NUL only");

    buf[0] = 'x';
    ncr_str_copy(buf, 0, ncr_test_e("abc"));
    ncr_test(buf[0] == 'x', "copy: no room");

    ncr_str_copy(buf, sizeof(buf), &null);
    ncr_test(strcmp(buf, "") == 0, "copy: null");
}


int
main(void)
{
    ncr_test_lowcase();
    ncr_test_decimal();
    ncr_test_compare();
    ncr_test_glob();
    ncr_test_numbers();
    ncr_test_times();
    ncr_test_rfc3339();
    ncr_test_copy();

    return ncr_test_done();
}
