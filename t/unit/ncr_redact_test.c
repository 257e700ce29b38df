
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_redact.c"

#include "ncr_test.h"

#include <stdlib.h>
#include <time.h>


/* an exact copy, so that the sanitizers see what is read beyond it */

static ncr_uint_t
ncr_test_with(ncr_redact_t *redact, ncr_str_t *known, ncr_uint_t nknown,
    const char *text, ncr_uint_t cut, const char *expected)
{
    size_t       len, n;
    ncr_char_t  *p;
    ncr_uint_t   ok;

    len = strlen(text);
    p = malloc(len + !len);
    memcpy(p, text, len);

    n = ncr_redact(redact, known, nknown, p, len, cut);

    ok = (n <= len && n == strlen(expected) && memcmp(p, expected, n) == 0);

    if (!ok) {
        printf("# \"%.*s\" instead of \"%s\"\n", (int) n, (char *) p,
               expected);
    }

    free(p);

    return ok;
}


static ncr_uint_t
ncr_test_is(const char *text, const char *expected)
{
    ncr_redact_t  redact;

    memset(&redact, 0, sizeof(ncr_redact_t));

    return ncr_test_with(&redact, NULL, 0, text, 0, expected);
}


static ncr_uint_t
ncr_test_cut(const char *text, const char *expected)
{
    ncr_redact_t  redact;

    memset(&redact, 0, sizeof(ncr_redact_t));

    return ncr_test_with(&redact, NULL, 0, text, 1, expected);
}


static ncr_uint_t
ncr_test_same(const char *text)
{
    return ncr_test_is(text, text);
}


static void
ncr_test_shapes(void)
{
    char        text[256], expected[256];
    ncr_uint_t  i;

    static const char  *secrets[] = {
        "sk-ant-oat01-Zq9xv", "sk-ant-one-000001",
        "sk-proj-Zq9xv12345678901",
        "cr_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "AIzaSyZq9xv0123456789abcdef-_0123456789",
        "ya29.a0Zq9xv-01234567",
        "1//0gZq9xv0123456789012345",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Zq9xv-_x",
        "AKIAZQ9XV01234567890", "ASIAZQ9XV01234567890",
        "ghp_Zq9xv0123456789012345", "github_pat_11Zq9xv_0123456789",
        "glpat-Zq9xv-0123456789012", "xoxb-1234-Zq9xv"
    };

    static const char  *around[][2] = {
        { "", "" }, { "a ", " b" }, { "{\"text\":\"", "\"}" },
        { "\\n", "\\n" }, { "{\\\"a\\\":\\\"", "\\\"}" },
        { "?x=1&y=", "&z=2" }, { "KEY_", "" }, { "%20", "%20" },
        { "(", ")" }, { "\xc3\xa9", "\xc3\xa9" }, { "\\u0020 ", "," },
        { "data: ", "\n\n" }, { "'", "'" }, { "<", ">" }
    };

    for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        size_t  k;

        for (k = 0; k < sizeof(around) / sizeof(around[0]); k++) {
            snprintf(text, sizeof(text), "%s%s%s", around[k][0], secrets[i],
                     around[k][1]);
            snprintf(expected, sizeof(expected), "%s[redacted]%s",
                     around[k][0], around[k][1]);

            ncr_test(ncr_test_is(text, expected), text);
        }
    }

    ncr_test(ncr_test_same(""), "nothing");
    ncr_test(ncr_test_same("the task-list-is-here-0123456789"), "task-");
    ncr_test(ncr_test_same("sk-short"), "too short for one");
    ncr_test(ncr_test_same("cr_lf cr_abc"), "cr_ of a text");
    ncr_test(ncr_test_same("AKIA is a prefix"), "a prefix alone");
    ncr_test(ncr_test_is("sk-ant-abcd,sk-ant-efgh",
                         "[redacted],[redacted]"), "one after the other");

    ncr_test(ncr_test_is("Authorization: Bearer abcDEF1234",
                         "Authorization: Bearer [redacted]"), "bearer");
    ncr_test(ncr_test_is("curl -H \"authorization: bearer  abc-DEF-1\"",
                         "curl -H \"authorization: bearer  ***\""),
             "bearer, short");
    ncr_test(ncr_test_is("BASIC dXNlcjpwYXNz", "BASIC [redacted]"), "basic");
    ncr_test(ncr_test_same("bearer authentication, basic knowledge."),
             "prose");
    ncr_test(ncr_test_same("Bearer "), "bearer of nothing");

    ncr_test(ncr_test_is("http://user:hunter2hunter2@proxy:3128/",
                         "http://user:[redacted]@proxy:3128/"), "userinfo");
    ncr_test(ncr_test_is("socks5://u:p@h", "socks5://u:*@h"),
             "userinfo, short");
    ncr_test(ncr_test_same("http://localhost:8080/a@b"), "a port");
    ncr_test(ncr_test_same("see http://[::1]:80 me@example.org"), "an address");

    ncr_test(ncr_test_is("a\n-----BEGIN RSA PRIVATE KEY-----\nZq9\nxv==\n"
                         "-----END RSA PRIVATE KEY-----\nb",
                         "a\n[redacted]\nb"), "a private key");
    ncr_test(ncr_test_is("{\"k\":\"-----BEGIN PRIVATE KEY-----\\nZq9\\nxv\"}",
                         "{\"k\":\"[redacted]\"}"), "one without an end");
    ncr_test(ncr_test_is("\\\"-----BEGIN PRIVATE KEY-----\\\\nZq9\\\"",
                         "\\\"[redacted]\\\""), "one in a string in a string");
    ncr_test(ncr_test_same("-----BEGIN CERTIFICATE-----\nZq9\n"),
             "a certificate");
}


static void
ncr_test_fields(void)
{
    ncr_test(ncr_test_is("{\"password\":\"Zq9xv-long-one\",\"b\":1}",
                         "{\"password\":\"[redacted]\",\"b\":1}"), "a member");
    ncr_test(ncr_test_is("{ \"apiKey\" :\n\t\"abc\" }",
                         "{ \"apiKey\" :\n\t\"***\" }"), "with spaces");
    ncr_test(ncr_test_is("{\"access_token\":\"a\",\"refresh_token\":\"\"}",
                         "{\"access_token\":\"*\",\"refresh_token\":\"\"}"),
             "short ones");
    ncr_test(ncr_test_is("{\"DB_PASSWORD\":\"a\\\"bcdefghijk\\\\\"}",
                         "{\"DB_PASSWORD\":\"[redacted]\"}"), "escapes");
    ncr_test(ncr_test_is("{\"cookie\":[\"Zq9xv=0123\", \"b=12345678901\"],"
                         "\"x\":[\"y\"]}",
                         "{\"cookie\":[\"[redacted]\", \"[redacted]\"],"
                         "\"x\":[\"y\"]}"), "a list");
    ncr_test(ncr_test_is("{\"t\":\"{\\\"client_secret\\\": \\\"Zq9xv\\\\\\\"0"
                         "123456\\\"}\"}",
                         "{\"t\":\"{\\\"client_secret\\\": \\\"[redacted]\\\"}"
                         "\"}"), "in a string");
    ncr_test(ncr_test_is("\\\\\\\"secret\\\\\\\":\\\\\\\"Zq9xv012345\\\\\\\"}",
                         "\\\\\\\"secret\\\\\\\":\\\\\\\"[redacted]\\\\\\\"}"),
             "two strings deep");
    ncr_test(ncr_test_is("{\"a\":\"{\\\"secret\\\":\\\"Zq9xv0123456\"}",
                         "{\"a\":\"{\\\"secret\\\":\\\"[redacted]\"}"),
             "a string in it that does not end");
    ncr_test(ncr_test_same("{\"password\":12345,\"x\":\"password\"}"),
             "no string");
    ncr_test(ncr_test_same("{\"max_tokens\":100,\"keyboard\":\"qwerty\"}"),
             "other names");
    ncr_test(ncr_test_same("{\"password\"}"), "no value");
    ncr_test(ncr_test_is("{\"password\":null,\"secret\":\"Zq9xv01234\"}",
                         "{\"password\":null,\"secret\":\"[redacted]\"}"),
             "null before another");
    ncr_test(ncr_test_is("/v1/x?a=1&access_token=Zq9xv012345&b=2",
                         "/v1/x?a=1&access_token=[redacted]&b=2"), "a query");
    ncr_test(ncr_test_is("ANTHROPIC_API_KEY=Zq9xv012345 run",
                         "ANTHROPIC_API_KEY=[redacted] run"), "a variable");
    ncr_test(ncr_test_is("x-api-key: Zq9xv012345\r\n",
                         "x-api-key: [redacted]\r\n"), "a header");
    ncr_test(ncr_test_same("the password: it is told later"), "prose");
}


static void
ncr_test_cuts(void)
{
    ncr_test(ncr_test_cut("{\"text\":\"sk-ant-a", "{\"text\":\"***"),
             "cut: a token");
    ncr_test(ncr_test_cut("ghp_Zq9xv01", "[redacted]"), "cut: a shape");
    ncr_test(ncr_test_cut("{\"password\":\"Zq9xv012345",
                          "{\"password\":\"[redacted]"), "cut: a member");
    ncr_test(ncr_test_cut("{\"password\":\"Zq9xv012345\\",
                          "{\"password\":\"[redacted]"), "cut: an escape");
    ncr_test(ncr_test_cut("Bearer Zq9", "Bearer ***"), "cut: bearer");
    ncr_test(ncr_test_cut("http://u:Zq9", "http://u:***"), "cut: userinfo");
    ncr_test(ncr_test_cut("-----BEGIN PRIVATE KEY-----\nZq9", "[redacted]"),
             "cut: a private key");
    ncr_test(ncr_test_same("ghp_Zq9xv01"), "not cut: it is none");
}


static void
ncr_test_operator(void)
{
    ncr_str_t     name, known[2];
    ncr_char_t    buf[NCR_REDACT_FIELD];
    ncr_redact_t  redact;

    ncr_str_t  tokens[] = { ncr_string("acme_"), ncr_string("tok-") };
    ncr_str_t  fields[] = { ncr_string("licence") };

    redact.tokens = tokens;
    redact.ntokens = 2;
    redact.fields = fields;
    redact.nfields = 1;

    ncr_test(ncr_test_with(&redact, NULL, 0, "a acme_Zq9xv01 tok-Zq9 b", 0,
                           "a [redacted] *** b"), "token: two");
    ncr_test(ncr_test_with(&redact, NULL, 0, "macme_Zq9xv01", 0,
                           "macme_Zq9xv01"), "token: within a word");
    ncr_test(ncr_test_with(&redact, NULL, 0, "acm", 0, "acm"),
             "token: shorter than it");
    ncr_test(ncr_test_with(&redact, NULL, 0, "{\"Lic_ence\":\"Zq9xv012345\"}",
                           0, "{\"Lic_ence\":\"[redacted]\"}"), "field");

    ncr_str_set(&known[0], "alice-secret-0001");
    ncr_str_set(&known[1], "short");

    ncr_test(ncr_test_with(&redact, known, 2, "no \"alice-secret-0001\" short",
                           0, "no \"[redacted]\" short"), "known");
    ncr_test(ncr_test_with(&redact, known, 2, "is alice-secret-00", 1,
                           "is [redacted]"), "known, cut");
    ncr_test(ncr_test_with(&redact, known, 2, "is alice-secret-00", 0,
                           "is alice-secret-00"), "a part of it");

    name.data = buf;
    ncr_str_set(&known[0], "X-API_Key");
    ncr_test(ncr_redact_field(&name, &known[0]) == NCR_OK
             && ncr_test_str(name, "xapikey"), "a field's name");
    ncr_str_set(&known[0], "a b");
    ncr_test(ncr_redact_field(&name, &known[0]) == NCR_BAD, "not a name");
    ncr_str_set(&known[0], "_-_");
    ncr_test(ncr_redact_field(&name, &known[0]) == NCR_BAD, "an empty name");
    ncr_str_set(&known[0], "01234567890123456789012345678901234567890123456789"
                           "012345678901234");
    ncr_test(ncr_redact_field(&name, &known[0]) == NCR_BAD, "too long a name");

    ncr_str_set(&known[0], "Set-Cookie");
    ncr_test(ncr_redact_secret(&redact, &known[0]), "secret: a header");
    ncr_str_set(&known[0], "LICENCE");
    ncr_test(ncr_redact_secret(&redact, &known[0]), "secret: the operator's");
    ncr_str_set(&known[0], "content-type");
    ncr_test(!ncr_redact_secret(&redact, &known[0]), "secret: no");
}


/* what an attacker would repeat: 4 MB of it must not take 10 times what 400 KB
 * take, squared it would be 100 times; with a floor against noise */

static void
ncr_test_linear(void)
{
    size_t         i, k, len;
    double         ms[2];
    clock_t        start;
    ncr_str_t      known;
    ncr_char_t    *p;
    ncr_redact_t   redact;

    static const char  *texts[] = {
        "\"", "\\", "\\\"", "\"password\":", "\"password\":[", "sk-ant",
        "a-", "://a:", "bearer ", "-----BEGIN PRIVATE KEY-----", " ", "aaaa-",
        "\"secret\":\\\\\"", "-----BEGIN A", "%20", "\"secret\" \\n"
    };

    memset(&redact, 0, sizeof(ncr_redact_t));
    ncr_str_set(&known, "a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-a-b");

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        for (k = 0; k < 2; k++) {
            size_t  n, at;

            len = k ? 4000000 : 400000;
            n = strlen(texts[i]);
            p = malloc(len);

            for (at = 0; at < len; at++) {
                p[at] = (ncr_char_t) texts[i][at % n];
            }

            start = clock();
            (void) ncr_redact(&redact, &known, 1, p, len, 1);
            ms[k] = (double) (clock() - start) * 1000 / CLOCKS_PER_SEC;

            free(p);
        }

        printf("# %.0f ms, %.0f ms\n", ms[0], ms[1]);
        ncr_test(ms[1] < 40 * ms[0] + 100, texts[i]);
    }
}


int
main(void)
{
    ncr_test_shapes();
    ncr_test_fields();
    ncr_test_cuts();
    ncr_test_operator();
    ncr_test_linear();

    return ncr_test_done();
}
