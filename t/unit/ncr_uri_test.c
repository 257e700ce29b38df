
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_base64.c"
#include "../../src/base/ncr_uri.c"
#include "ncr_test.h"

#include <stdlib.h>


/* in memory of its exact length, so that a sanitizer sees who overreads */

static ncr_str_t
ncr_test_exact(const char *text)
{
    ncr_str_t  s;

    s.len = strlen(text);
    s.data = malloc(s.len + !s.len);
    memcpy(s.data, text, s.len);

    return s;
}


static ncr_uint_t
ncr_test_base64_is(const char *text, const char *encoded)
{
    char       *buf, *end;
    ncr_str_t   s;
    ncr_uint_t  ok;

    s = ncr_test_exact(text);
    buf = malloc(ncr_base64url_len(s.len) + !s.len);
    end = ncr_base64url(buf, s.data, s.len);

    ok = (size_t) (end - buf) == strlen(encoded)
         && (size_t) (end - buf) == ncr_base64url_len(s.len)
         && memcmp(buf, encoded, strlen(encoded)) == 0;

    free(buf);
    free(s.data);

    return ok;
}


static void
ncr_test_base64(void)
{
    /* RFC 4648, section 10, without the padding */

    ncr_test(ncr_test_base64_is("", ""), "base64url: nothing");
    ncr_test(ncr_test_base64_is("f", "Zg"), "base64url: f");
    ncr_test(ncr_test_base64_is("fo", "Zm8"), "base64url: fo");
    ncr_test(ncr_test_base64_is("foo", "Zm9v"), "base64url: foo");
    ncr_test(ncr_test_base64_is("foob", "Zm9vYg"), "base64url: foob");
    ncr_test(ncr_test_base64_is("fooba", "Zm9vYmE"), "base64url: fooba");
    ncr_test(ncr_test_base64_is("foobar", "Zm9vYmFy"), "base64url: foobar");
    ncr_test(ncr_test_base64_is("\xfb\xff\xbf", "-_-_"),
             "base64url: the alphabet of URLs");
}


static ncr_uint_t
ncr_test_escape_is(const char *text, const char *escaped)
{
    ncr_str_t   s;
    ncr_out_t   out;
    ncr_uint_t  ok;
    ncr_char_t  buf[128];

    s = ncr_test_exact(text);
    ncr_out_init(&out, buf, sizeof(buf));
    ncr_uri_escape(&out, &s);

    ok = !out.overflow && (size_t) (out.last - buf) == strlen(escaped)
         && memcmp(buf, escaped, strlen(escaped)) == 0;

    free(s.data);

    return ok;
}


/* NULL: it must be refused */

static ncr_uint_t
ncr_test_unescape_is(const char *text, const char *plain)
{
    ncr_str_t    s, v;
    ncr_int_t    rc;
    ncr_uint_t   ok;
    ncr_char_t  *buf;

    s = ncr_test_exact(text);
    buf = malloc(s.len + !s.len);
    v = s;

    rc = ncr_uri_unescape(&v, buf);

    ok = (plain == NULL) ? rc == NCR_BAD
                         : rc == NCR_OK && ncr_test_str(v, plain);

    free(buf);
    free(s.data);

    return ok;
}


static ncr_uint_t
ncr_test_arg_is(const char *query, const char *name, const char *value)
{
    ncr_str_t   s, v;
    ncr_int_t   rc;
    ncr_uint_t  ok;

    s = ncr_test_exact(query);
    rc = ncr_uri_arg(&s, name, &v);

    ok = (value == NULL) ? rc == NCR_DECLINED
                         : rc == NCR_OK && ncr_test_str(v, value);

    free(s.data);

    return ok;
}


static void
ncr_test_uri(void)
{
    ncr_str_t  null = ncr_null_string;

    ncr_test(ncr_test_escape_is("", ""), "escape: nothing");
    ncr_test(ncr_test_escape_is("aZ09-._~", "aZ09-._~"), "escape: unreserved");
    ncr_test(ncr_test_escape_is("a b:/?#&=+%", "a%20b%3A%2F%3F%23%26%3D%2B%25"),
             "escape: reserved");
    ncr_test(ncr_test_escape_is("@[`{\x01\xff", "%40%5B%60%7B%01%FF"),
             "escape: around the letters");

    ncr_test(ncr_test_unescape_is("", ""), "unescape: nothing");
    ncr_test(ncr_test_unescape_is("abc", "abc"), "unescape: plain");
    ncr_test(ncr_test_unescape_is("a%20b+c%2Bd%2f", "a b c+d/"), "unescape");
    ncr_test(ncr_test_unescape_is("%", NULL), "unescape: cut at once");
    ncr_test(ncr_test_unescape_is("a%4", NULL), "unescape: cut");
    ncr_test(ncr_test_unescape_is("a%4g", NULL), "unescape: no digit");
    ncr_test(ncr_test_unescape_is("%+1", NULL), "unescape: a sign");

    ncr_test(ncr_test_arg_is("a=1&b=2", "a", "1"), "arg: first");
    ncr_test(ncr_test_arg_is("a=1&b=2", "b", "2"), "arg: last");
    ncr_test(ncr_test_arg_is("ab=1&b=2&b=3", "b", "2"), "arg: twice");
    ncr_test(ncr_test_arg_is("a=&b=2", "a", ""), "arg: empty");
    ncr_test(ncr_test_arg_is("&&a=1&", "a", "1"), "arg: empty elements");
    ncr_test(ncr_test_arg_is("a=1", "b", NULL), "arg: none");
    ncr_test(ncr_test_arg_is("a&ab=", "a", NULL), "arg: without a value");
    ncr_test(ncr_test_arg_is("", "a", NULL), "arg: nothing");
    ncr_test(ncr_uri_arg(&null, "a", &null) == NCR_DECLINED, "arg: null");
}


int
main(void)
{
    ncr_test_base64();
    ncr_test_uri();

    return ncr_test_done();
}
