
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_out.c"
#include "ncr_test.h"


static ncr_char_t  ncr_test_buf[512];
static ncr_char_t  ncr_test_in[64];
static ncr_out_t   ncr_test_out;


static void
ncr_test_begin(size_t size)
{
    ncr_out_init(&ncr_test_out, ncr_test_buf + sizeof(ncr_test_buf) - size,
                 size);
}


static int
ncr_test_is(const char *text)
{
    ncr_str_t  s;

    s.data = ncr_test_out.start;
    s.len = (size_t) (ncr_test_out.last - ncr_test_out.start);

    return !ncr_test_out.overflow && ncr_test_str(s, text);
}


static void
ncr_test_append(void)
{
    ncr_str_t  s = ncr_string("str");
    ncr_str_t  null = ncr_null_string;

    ncr_test_begin(100);
    ncr_test(ncr_test_is(""), "nothing");

    ncr_out_bytes(&ncr_test_out, "bytes", 5);
    ncr_out_text(&ncr_test_out, " text ");
    ncr_out_str(&ncr_test_out, &s);
    ncr_out_str(&ncr_test_out, &null);
    ncr_out_bytes(&ncr_test_out, NULL, 0);
    ncr_test(ncr_test_is("bytes text str"), "bytes, text and str");

    ncr_test_begin(100);
    ncr_out_int(&ncr_test_out, 0);
    ncr_out_text(&ncr_test_out, " ");
    ncr_out_int(&ncr_test_out, -17);
    ncr_out_text(&ncr_test_out, " ");
    ncr_out_int(&ncr_test_out, INT64_MAX);
    ncr_out_text(&ncr_test_out, " ");
    ncr_out_int(&ncr_test_out, INT64_MIN);
    ncr_test(ncr_test_is("0 -17 9223372036854775807 -9223372036854775808"),
             "int");
}


static void
ncr_test_overflow(void)
{
    ncr_char_t  *last;

    ncr_test_begin(4);
    ncr_out_text(&ncr_test_out, "abcd");
    ncr_test(ncr_test_is("abcd"), "just fits");

    ncr_out_bytes(&ncr_test_out, "", 0);
    ncr_test(!ncr_test_out.overflow, "nothing more fits");

    ncr_out_text(&ncr_test_out, "e");
    ncr_test(ncr_test_out.overflow, "overflow");

    ncr_test_begin(4);
    ncr_out_text(&ncr_test_out, "abc");
    ncr_out_text(&ncr_test_out, "de");
    last = ncr_test_out.last;
    ncr_out_text(&ncr_test_out, "f");
    ncr_out_int(&ncr_test_out, 1);

    ncr_test(ncr_test_out.overflow && ncr_test_out.last == last,
             "overflow is sticky");

    ncr_test_begin(0);
    ncr_out_int(&ncr_test_out, 1);
    ncr_test(ncr_test_out.overflow, "no room at all");
}


static void
ncr_test_json(void)
{
    char       name[32];
    size_t     i, len, size, full;
    ncr_str_t  s;

    static const struct {
        const char  *text;
        const char  *json;
    } rows[] = {
        { "", "" },
        { "plain text", "plain text" },
        { "a\"b\\c/d", "a\\\"b\\\\c/d" },
        { "\b\f\n\r\t", "\\b\\f\\n\\r\\t" },
        { "\x01\x1F\x7F", "\\u0001\\u001f\x7F" },
        { "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80",
          "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80" },
        { "x\xE2\x80\xA8y\xE2\x80\xA9z", "x\\u2028y\\u2029z" },
        { "\xE2\x80\xA7\xE2\x80\xAA\xE2\x81\xA8",
          "\xE2\x80\xA7\xE2\x80\xAA\xE2\x81\xA8" },
        { "a\x80z", "a\xEF\xBF\xBDz" },
        { "\xC3", "\xEF\xBF\xBD" },
        { "\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xE4\xB8", "\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xE4\xB8z", "\xEF\xBF\xBD\xEF\xBF\xBDz" },
        { "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80" },
        { "\xE0\x9F\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xE0\xA0\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF",
          "\xE0\xA0\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF" },
        { "\xF0\x8F\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xF4\x90", "\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xF5\xFF", "\xEF\xBF\xBD\xEF\xBF\xBD" },
        { "\xF0\x9F\x98z", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        len = strlen(rows[i].text);
        s.len = len;
        s.data = ncr_test_in + sizeof(ncr_test_in) - len;
        memcpy(s.data, rows[i].text, len);

        ncr_test_begin(200);
        ncr_out_json(&ncr_test_out, &s);

        (void) snprintf(name, sizeof(name), "json %d", (int) i);
        ncr_test(ncr_test_is(rows[i].json), name);

        /* each smaller buffer overflows, and only that */

        full = strlen(rows[i].json);

        for (size = 0; size < full; size++) {
            ncr_test_begin(size);
            ncr_out_json(&ncr_test_out, &s);

            if (!ncr_test_out.overflow) {
                break;
            }
        }

        (void) snprintf(name, sizeof(name), "json %d: no room", (int) i);
        ncr_test(size == full, name);
    }

    s.data = ncr_test_in;
    s.len = 3;
    memcpy(ncr_test_in, "a\0b", 3);

    ncr_test_begin(200);
    ncr_out_json_string(&ncr_test_out, &s);
    ncr_test(ncr_test_is("\"a\\u0000b\""), "json string");

    ncr_str_null(&s);
    ncr_test_begin(200);
    ncr_out_json_string(&ncr_test_out, &s);
    ncr_test(ncr_test_is("\"\""), "json string: null");
}


int
main(void)
{
    ncr_test_append();
    ncr_test_overflow();
    ncr_test_json();

    return ncr_test_done();
}
