
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_json.c"
#include "ncr_test.h"


#define NCR_TEST_INPUT   (64 * 1024)
#define NCR_TEST_LOG     (64 * 1024)


typedef struct {
    char         log[NCR_TEST_LOG];
    size_t       len;
    ncr_uint_t   stop_after;
    ncr_uint_t   tokens;
    ncr_int_t    stop_rc;
    size_t       text_len;              /* of the last text */
    ncr_uint_t   escaped;
    ncr_uint_t   cut;
    ncr_uint_t   show;                  /* bytes of a text in the log */
    uint64_t     start;
    uint64_t     end;
} ncr_test_log_t;


typedef struct {
    const char  *text;
    const char  *log;
} ncr_test_good_t;


typedef struct {
    const char  *text;
    const char  *error;
    uint64_t     offset;
} ncr_test_bad_t;


static ncr_json_t      ncr_test_json;
static ncr_test_log_t  ncr_test_log, ncr_test_other;
static ncr_uint_t      ncr_test_report;
static ncr_uint_t      ncr_test_depth;
static ncr_uint_t      ncr_test_runs;

/* chunks lie at the end, where a sanitizer sees who reads beyond them */
static ncr_char_t      ncr_test_chunk[NCR_TEST_INPUT];
static ncr_char_t      ncr_test_input[NCR_TEST_INPUT];
static ncr_char_t      ncr_test_keep[NCR_JSON_TEXT];


static ncr_test_good_t  ncr_test_good[] = {

    { "{}", "{0(0,1) }0(1,2) " },
    { " [ ] ", "[0(1,2) ]0(3,4) " },
    { "true", "t0(0,4) " },
    { "false\n", "f0(0,5) " },
    { "\t\r\n null", "z0(4,8) " },
    { "0", "n0(0,1)0 " },
    { "-0.0e-00", "n0(0,8)-0.0e-00 " },
    { "12345678901234567890 ", "n0(0,20)12345678901234567890 " },
    { "1.25E+10", "n0(0,8)1.25E+10 " },
    { "\"\"", "s0(0,2) " },
    { "\"a b\"", "s0(0,5)a b " },
    { "\"\\\"\\\\\"", "s0(0,6)\\\"\\\\! " },
    { "\"mod\\u0065l\"", "s0(0,12)mod\\u0065l! " },
    { "\"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\"",
      "s0(0,11)\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80 " },
    { "\"\x7F\"", "s0(0,3)\x7F " },
    { "[1,-2]", "[0(0,1) n1(1,2)1 n1(3,5)-2 ]0(5,6) " },
    { "{\"a\":1}", "{0(0,1) k1(1,4)a n1(5,6)1 }0(6,7) " },
    { "{ \"a\" : [ true , { \"b\" : null } ] , \"\" : 0.5 }",
      "{0(0,1) k1(2,5)a [1(8,9) t2(10,14) {2(17,18) k3(19,22)b z3(25,29) "
      "}2(30,31) ]1(32,33) k1(36,38) n1(41,44)0.5 }0(45,46) " },
    { "[[[]],{},\"x\"]",
      "[0(0,1) [1(1,2) [2(2,3) ]2(3,4) ]1(4,5) {1(6,7) }1(7,8) s1(9,12)x "
      "]0(12,13) " },
    { "{\"a\":1,\"a\":2}",
      "{0(0,1) k1(1,4)a n1(5,6)1 k1(7,10)a n1(11,12)2 }0(12,13) " },
    { "[0,10,0.1,1e1,1e-1]",
      "[0(0,1) n1(1,2)0 n1(3,5)10 n1(6,9)0.1 n1(10,13)1e1 n1(14,18)1e-1 "
      "]0(18,19) " }
};


static ncr_test_bad_t  ncr_test_bad[] = {

    { "", "unexpected end", 0 },
    { "  ", "unexpected end", 2 },
    { "{", "unexpected end", 1 },
    { "[1,", "unexpected end", 3 },
    { "{\"a\"", "unexpected end", 4 },
    { "\"abc", "unexpected end", 4 },
    { "\"abc\\\"", "unexpected end", 6 },
    { "\"\xE4\xB8", "unexpected end", 3 },
    { "tru", "unexpected end", 3 },
    { "-", "unexpected end", 1 },
    { "1.", "unexpected end", 2 },
    { "1e", "unexpected end", 2 },
    { "1e+", "unexpected end", 3 },
    { "[1", "unexpected end", 2 },
    { "\xEF\xBB\xBF{}", "unexpected character", 0 },
    { "}", "unexpected character", 0 },
    { "[}", "unexpected character", 1 },
    { "{]", "unexpected character", 1 },
    { "[1}", "unexpected character", 2 },
    { "{\"a\":1]", "unexpected character", 6 },
    { "[1,]", "unexpected character", 3 },
    { "[,1]", "unexpected character", 1 },
    { "[1 2]", "unexpected character", 3 },
    { "{\"a\":1,}", "unexpected character", 7 },
    { "{\"a\" 1}", "unexpected character", 5 },
    { "{\"a\":}", "unexpected character", 5 },
    { "{a:1}", "unexpected character", 1 },
    { "{1:1}", "unexpected character", 1 },
    { "{'a':1}", "unexpected character", 1 },
    { "01", "unexpected character", 1 },
    { "-a", "unexpected character", 1 },
    { "+1", "unexpected character", 0 },
    { ".5", "unexpected character", 0 },
    { "1.e1", "unexpected character", 2 },
    { "1e1.5", "unexpected character", 3 },
    { "0x10", "unexpected character", 1 },
    { "NaN", "unexpected character", 0 },
    { "nul1", "unexpected character", 3 },
    { "truee", "unexpected character", 4 },
    { "TRUE", "unexpected character", 0 },
    { "{} {}", "unexpected character", 3 },
    { "1 2", "unexpected character", 2 },
    { "\"a\"\"b\"", "unexpected character", 3 },
    { "// x\n1", "unexpected character", 0 },
    { "[\v1]", "unexpected character", 1 },
    { "[\xC2\xA0]", "unexpected character", 1 },
    { "\"a\nb\"", "control character in a string", 2 },
    { "\"\x1F\"", "control character in a string", 1 },
    { "\"\\\n\"", "control character in a string", 2 },
    { "{\"a\tb\":1}", "control character in a string", 3 },
    { "\"\x80\"", "invalid UTF-8", 1 },
    { "\"\xC3\"", "invalid UTF-8", 2 },
    { "\"\xC0\x80\"", "invalid UTF-8", 1 },
    { "\"\xED\xA0\x80\"", "invalid UTF-8", 2 },
    { "\"\xE4\xB8\x01\"", "invalid UTF-8", 3 },
    { "\"\xF4\x90\x80\x80\"", "invalid UTF-8", 2 },
    { "\"\xFF\"", "invalid UTF-8", 1 },
    { "\xC3\xA9", "unexpected character", 0 }
};


static ncr_int_t
ncr_test_token(ncr_json_t *json, ncr_json_token_e token)
{
    int              n;
    size_t           len;
    ncr_test_log_t  *log;

    log = json->data;
    len = ncr_min(json->text.len, log->show);

    n = snprintf(log->log + log->len, NCR_TEST_LOG - log->len,
                 "%c%d(%lu,%lu)%.*s%s%s ", "{}[]ksntfz"[token],
                 (int) json->depth, (unsigned long) json->start,
                 (unsigned long) json->end, (int) len,
                 len ? (char *) json->text.data : "",
                 json->escaped ? "!" : "", json->cut ? "~" : "");

    log->len = ncr_min(log->len + (size_t) n, NCR_TEST_LOG - 1);
    log->text_len = json->text.len;
    log->escaped = json->escaped;
    log->cut = json->cut;
    log->start = json->start;
    log->end = json->end;

    return (++log->tokens == log->stop_after) ? log->stop_rc : NCR_OK;
}


static void
ncr_test_begin(ncr_test_log_t *log)
{
    memset(log, 0, sizeof(ncr_test_log_t));
    log->show = 200;

    ncr_json_init(&ncr_test_json);

    ncr_test_json.keep = ncr_test_keep;
    ncr_test_json.size = NCR_JSON_TEXT;

    ncr_test_json.data = log;
    ncr_test_json.token = ncr_test_token;
    ncr_test_json.report = ncr_test_report;

    /* each other time as if the machine had no AVX2 */

    if (++ncr_test_runs & 1) {
        ncr_test_json.avx2 = 0;
    }

    if (ncr_test_depth) {
        ncr_test_json.max_depth = ncr_test_depth;
    }
}


/* the chunk is spoilt after it was fed: nobody may look at it again */

static ncr_int_t
ncr_test_feed(const void *p, size_t len)
{
    ncr_int_t    rc;
    ncr_char_t  *chunk;

    chunk = ncr_test_chunk + NCR_TEST_INPUT - len;

    memcpy(chunk, p, len);
    rc = ncr_json_feed(&ncr_test_json, chunk, len);
    memset(chunk, 0xAA, len);

    return rc;
}


static ncr_int_t
ncr_test_run(ncr_test_log_t *log, const void *p, size_t len, size_t first,
    size_t chunk)
{
    size_t             n;
    ncr_int_t          rc;
    const ncr_char_t  *q;

    ncr_test_begin(log);

    for (q = p, n = first; len; q += n, len -= n, n = chunk) {
        n = ncr_min(n, len);
        rc = ncr_test_feed(q, n);

        if (rc != NCR_OK && rc != NCR_AGAIN) {
            break;
        }
    }

    return ncr_json_final(&ncr_test_json);
}


/* all ways to cut the input give the same tokens and the same error */

static int
ncr_test_same(const void *p, size_t len)
{
    size_t       i;
    uint64_t     offset;
    ncr_int_t    rc;
    const char  *error;

    rc = ncr_test_run(&ncr_test_log, p, len, len, len);
    error = ncr_test_json.error;
    offset = ncr_test_json.offset;

    for (i = 0; i <= len + 3; i++) {

        /* bytes one, two and three at a time, then a cut at each offset */

        if (rc != ncr_test_run(&ncr_test_other, p, len,
                               (i < 3) ? i + 1 : i - 3,
                               (i < 3) ? i + 1 : len)
            || error != ncr_test_json.error
            || (error && offset != ncr_test_json.offset)
            || ncr_test_other.len != ncr_test_log.len
            || memcmp(ncr_test_other.log, ncr_test_log.log,
                      ncr_test_log.len))
        {
            printf("# chunking %d: %s\n", (int) i, ncr_test_other.log);
            return 0;
        }
    }

    return 1;
}


static void
ncr_test_tables(void)
{
    char         name[200];
    size_t       i, len;
    ncr_int_t    rc;
    const char  *text;

    ncr_test_report = NCR_JSON_MAX_DEPTH;

    for (i = 0; i < sizeof(ncr_test_good) / sizeof(ncr_test_good[0]); i++) {
        text = ncr_test_good[i].text;
        len = strlen(text);

        rc = ncr_test_run(&ncr_test_log, text, len, len, len);
        (void) snprintf(name, sizeof(name), "good %d", (int) i);

        ncr_test(rc == NCR_OK
                 && strcmp(ncr_test_log.log, ncr_test_good[i].log) == 0
                 && ncr_test_same(text, len), name);
    }

    for (i = 0; i < sizeof(ncr_test_bad) / sizeof(ncr_test_bad[0]); i++) {
        text = ncr_test_bad[i].text;
        len = strlen(text);

        rc = ncr_test_run(&ncr_test_log, text, len, len, len);
        (void) snprintf(name, sizeof(name), "bad %d: %s", (int) i,
                        ncr_test_bad[i].error);

        ncr_test(rc == NCR_BAD
                 && strcmp(ncr_test_json.error, ncr_test_bad[i].error) == 0
                 && ncr_test_json.offset == ncr_test_bad[i].offset
                 && ncr_test_same(text, len), name);
    }
}


static void
ncr_test_nul(void)
{
    ncr_int_t  rc;

    rc = ncr_test_run(&ncr_test_log, "\"a\0b\"", 5, 5, 5);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == 2
             && ncr_test_same("\"a\0b\"", 5), "NUL in a string");

    rc = ncr_test_run(&ncr_test_log, "[1\0]", 4, 4, 4);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == 2
             && ncr_test_same("[1\0]", 4), "NUL in an array");

    rc = ncr_test_run(&ncr_test_log, "{}\0", 3, 3, 3);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == 2, "NUL at the end");
}


static void
ncr_test_nesting(void)
{
    size_t       i;
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = ncr_test_input;
    ncr_test_report = 0;

    for (i = 0; i < 10000; i++) {
        p[i] = '[';
        p[20000 - 1 - i] = ']';
    }

    rc = ncr_test_run(&ncr_test_log, p, 20000, 20000, 20000);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == NCR_JSON_MAX_DEPTH
             && strcmp(ncr_test_json.error, "nesting too deep") == 0,
             "nesting of 10000");

    rc = ncr_test_run(&ncr_test_log, p, 20000, 1, 1);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == NCR_JSON_MAX_DEPTH,
             "nesting of 10000, byte by byte");

    rc = ncr_test_run(&ncr_test_log, p + 10000 - NCR_JSON_MAX_DEPTH,
                      2 * NCR_JSON_MAX_DEPTH, 100, 100);
    ncr_test(rc == NCR_OK && ncr_test_log.tokens == 2,
             "nesting as deep as allowed");

    ncr_test_depth = 3;
    rc = ncr_test_run(&ncr_test_log, "[[[]]]", 6, 6, 6);
    ncr_test(rc == NCR_OK, "the caller's ceiling reached");

    rc = ncr_test_run(&ncr_test_log, "[[{\"a\":[]}]]", 12, 12, 12);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == 7,
             "the caller's ceiling passed");

    ncr_test_depth = 100000;
    rc = ncr_test_run(&ncr_test_log, p, 20000, 20000, 20000);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == NCR_JSON_MAX_DEPTH,
             "a ceiling over the highest is the highest");

    ncr_test_depth = 0;

    /* objects and arrays in turn over the words of the stack */

    for (i = 0; i < 200; i++) {
        memcpy(p + i * 6, "[{\"a\":", 6);
        memcpy(p + 1200 + 1 + i * 2, "}]", 2);
    }

    p[1200] = '1';

    rc = ncr_test_run(&ncr_test_log, p, 1601, 1601, 1601);
    ncr_test(rc == NCR_OK && ncr_test_same(p, 1601), "objects in arrays");

    p[1301] = ']';
    rc = ncr_test_run(&ncr_test_log, p, 1601, 1601, 1601);
    ncr_test(rc == NCR_BAD && ncr_test_json.offset == 1301,
             "objects in arrays, one closed by the wrong bracket");
}


static void
ncr_test_reporting(void)
{
    ncr_int_t    rc;
    const char  *text;

    text = "{\"a\":{\"b\":[1]},\"c\":\"d\"}";

    ncr_test_report = 0;
    (void) ncr_test_run(&ncr_test_log, text, 23, 23, 23);
    ncr_test(strcmp(ncr_test_log.log, "{0(0,1) }0(22,23) ") == 0,
             "depth 0 reported");

    ncr_test_report = 1;
    (void) ncr_test_run(&ncr_test_log, text, 23, 23, 23);
    ncr_test(strcmp(ncr_test_log.log, "{0(0,1) k1(1,4)a {1(5,6) }1(13,14) "
                    "k1(15,18)c s1(19,22)d }0(22,23) ") == 0
             && ncr_test_same(text, 23), "depth 1 reported");

    ncr_test_begin(&ncr_test_log);
    ncr_test_log.stop_after = 2;
    ncr_test_log.stop_rc = NCR_DONE;

    rc = ncr_test_feed(text, 23);
    ncr_test(rc == NCR_DONE && ncr_test_log.tokens == 2, "token() stops");

    ncr_test(ncr_test_feed("x", 1) == NCR_DONE
             && ncr_json_final(&ncr_test_json) == NCR_DONE
             && ncr_test_log.tokens == 2, "and it stays so");

    ncr_test_begin(&ncr_test_log);
    ncr_test_log.stop_after = 1;
    ncr_test_log.stop_rc = NCR_DECLINED;

    rc = ncr_test_feed("12", 2);
    ncr_test(rc == NCR_AGAIN
             && ncr_json_final(&ncr_test_json) == NCR_DECLINED,
             "token() stops at the end");

    ncr_test_begin(&ncr_test_log);
    ncr_test_json.token = NULL;
    ncr_test(ncr_test_feed(text, 23) == NCR_OK, "nobody to report to");

    ncr_test_begin(&ncr_test_log);
    ncr_test(ncr_json_feed(&ncr_test_json, NULL, 0) == NCR_AGAIN
             && ncr_test_feed("{}", 2) == NCR_OK
             && ncr_json_feed(&ncr_test_json, NULL, 0) == NCR_OK
             && ncr_test_feed(" \n", 2) == NCR_OK
             && ncr_test_feed(",", 1) == NCR_BAD
             && ncr_test_json.offset == 4, "results of feed()");

    ncr_test_begin(&ncr_test_log);
    ncr_test(ncr_test_feed("\"abc", 4) == NCR_AGAIN
             && ncr_test_feed("d\"", 2) == NCR_OK
             && ncr_test_log.start == 0 && ncr_test_log.end == 6
             && ncr_test_log.text_len == 4 && !ncr_test_log.cut,
             "a span over two chunks");

    ncr_test_begin(&ncr_test_log);
    ncr_test_json.keep = NULL;
    ncr_test_json.size = 0;
    ncr_test(ncr_test_feed("[\"abc", 5) == NCR_AGAIN
             && ncr_test_feed("d\"", 2) == NCR_AGAIN
             && ncr_test_log.start == 1 && ncr_test_log.end == 7
             && ncr_test_log.text_len == 0 && ncr_test_log.cut
             && ncr_test_feed(",\"abc\"]", 7) == NCR_OK
             && strstr(ncr_test_log.log, "s1(8,13)abc ]"),
             "no room for what a chunk cuts, and none needed");
}


static void
ncr_test_long_text(void)
{
    size_t       i, bad;
    ncr_str_t    s;
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = ncr_test_input;
    ncr_test_report = 1;

    p[0] = '"';
    memset(p + 1, 'x', 5000);
    p[5001] = '"';

    rc = ncr_test_run(&ncr_test_log, p, 5002, 5002, 5002);
    ncr_test(rc == NCR_OK && ncr_test_log.text_len == 5000
             && !ncr_test_log.cut, "a long text within a chunk is whole");

    rc = ncr_test_run(&ncr_test_log, p, 5002, 3, 5002);
    ncr_test(rc == NCR_OK && ncr_test_log.text_len == NCR_JSON_TEXT
             && ncr_test_log.cut && ncr_test_log.end == 5002,
             "a long text over chunks is cut");

    rc = ncr_test_run(&ncr_test_log, p, 5002, 5001, 1);
    ncr_test(rc == NCR_OK && ncr_test_log.text_len == NCR_JSON_TEXT
             && ncr_test_log.cut, "a long text without its quote is cut");

    p[1 + NCR_JSON_TEXT] = '"';
    rc = ncr_test_run(&ncr_test_log, p, NCR_JSON_TEXT + 2, 1, 7);
    ncr_test(rc == NCR_OK && ncr_test_log.text_len == NCR_JSON_TEXT
             && !ncr_test_log.cut, "a text that just fits");

    /* escapes and characters at all positions around the cut */

    for (bad = 0, i = 0; i < 14; i++) {
        memset(p + 1, 'x', 2000);
        memcpy(p + 1 + NCR_JSON_TEXT - i, "\\u00e9\xF0\x9F\x98\x80\\\\", 12);
        p[2001] = '"';

        rc = ncr_test_run(&ncr_test_log, p, 2002, 5, 64);

        s.data = ncr_test_json.keep;
        s.len = ncr_test_log.text_len;

        if (rc != NCR_OK || !ncr_test_log.cut || !ncr_test_log.escaped
            || s.len + 6 <= NCR_JSON_TEXT
            || ncr_json_unescape(&s, &s) != NCR_OK
            || (s.len && (s.data[s.len - 1] & 0xC0) == 0xC0))
        {
            bad++;
        }
    }

    ncr_test(bad == 0, "a cut spares escapes and characters");

    p[0] = '[';
    memset(p + 1, '7', 3000);
    p[3001] = ']';
    rc = ncr_test_run(&ncr_test_log, p, 3002, 100, 100);
    ncr_test(rc == NCR_OK && ncr_test_log.tokens == 3, "a long number");
}


static int
ncr_test_utf8_ok(const ncr_char_t *p, size_t len)
{
    size_t    i, k, n;
    uint32_t  c;

    for (i = 0; i < len; i += n) {
        c = p[i];

        if (c < 0x80) {
            n = 1;
            continue;
        }

        n = (c >= 0xF0) ? 4 : (c >= 0xE0) ? 3 : 2;

        if (c < 0xC2 || c > 0xF4 || i + n > len) {
            return 0;
        }

        c &= (n == 4) ? 0x07 : (n == 3) ? 0x0F : 0x1F;

        for (k = 1; k < n; k++) {
            if ((p[i + k] & 0xC0) != 0x80) {
                return 0;
            }

            c = c << 6 | (p[i + k] & 0x3F);
        }

        if ((n == 3 && (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF)))
            || (n == 4 && (c < 0x10000 || c > 0x10FFFF)))
        {
            return 0;
        }
    }

    return 1;
}


/* the scanner and a plain validator agree, wherever in a block it lies */

static int
ncr_test_utf8_agree(const ncr_char_t *seq, size_t len, size_t pad, size_t cut)
{
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = ncr_test_input;

    p[0] = '"';
    memset(p + 1, 'a', pad);
    memcpy(p + 1 + pad, seq, len);
    memset(p + 1 + pad + len, 'a', 70);
    p[1 + pad + len + 70] = '"';

    rc = ncr_test_run(&ncr_test_log, p, pad + len + 72, cut, 64);

    return rc == (ncr_test_utf8_ok(seq, len) ? NCR_OK : NCR_BAD);
}


static void
ncr_test_utf8(void)
{
    size_t      i, pad, cut, bad;
    ncr_char_t  s[4];
    ncr_uint_t  a, b, c;

    static const struct {
        const char  *text;
        size_t       len;
    } rows[] = {
        { "\xC2\x80", 2 }, { "\xDF\xBF", 2 }, { "\xE0\xA0\x80", 3 },
        { "\xED\x9F\xBF", 3 }, { "\xEE\x80\x80", 3 }, { "\xEF\xBF\xBF", 3 },
        { "\xF0\x90\x80\x80", 4 }, { "\xF4\x8F\xBF\xBF", 4 },
        { "\xE0\x9F\xBF", 3 }, { "\xED\xA0\x80", 3 }, { "\xC1\xBF", 2 },
        { "\xF0\x8F\xBF\xBF", 4 }, { "\xF4\x90\x80\x80", 4 }, { "\x80", 1 },
        { "\xE4\xB8", 2 }, { "\xF0\x9F\x98", 3 }, { "\xC3\xC3", 2 },
        { "\xE4\xB8\xAD\xAD", 4 }, { "\xF5\x80\x80\x80", 4 }
    };

    ncr_test_report = 0;

    for (bad = 0, a = 0x80; a < 0x100; a++) {
        for (b = 0; b < 0x100; b++) {
            s[0] = (ncr_char_t) a;
            s[1] = (ncr_char_t) b;

            if (b >= ' ' && b != '"' && b != '\\') {
                bad += !ncr_test_utf8_agree(s, 2, (a + b) % 70, 200);
            }
        }
    }

    ncr_test(bad == 0, "UTF-8: all pairs");

    for (bad = 0, a = 0xE0; a < 0x100; a++) {
        for (b = 0x7E; b < 0xC2; b++) {
            for (c = 0x7F; c < 0xC2; c += 0x41 - (c & 1) * 0x40) {
                s[0] = (ncr_char_t) a;
                s[1] = (ncr_char_t) b;
                s[2] = (ncr_char_t) c;
                s[3] = (ncr_char_t) (c ^ (a & 1));

                bad += !ncr_test_utf8_agree(s, 3, (a + b + c) % 130, 200);
                bad += !ncr_test_utf8_agree(s, 4, (a + b + c) % 130, 200);
            }
        }
    }

    ncr_test(bad == 0, "UTF-8: threes and fours");

    for (bad = 0, i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(s, rows[i].text, rows[i].len);

        for (pad = 0; pad < 70; pad++) {
            for (cut = 0; cut < pad + 6; cut++) {
                bad += !ncr_test_utf8_agree(s, rows[i].len, pad, cut);
            }
        }
    }

    ncr_test(bad == 0, "UTF-8: at all offsets, cut at all offsets");

    ncr_test(ncr_test_same("[\"\xE4\xB8\xAD\xF0\x9F\x98\x80\xC3\xA9\"]", 13),
             "UTF-8: split characters");

    ncr_test(ncr_test_run(&ncr_test_log, "\"\\\xC3\xA9\"", 5, 5, 5)
             == NCR_OK, "UTF-8: after a backslash");
}


static void
ncr_test_backslashes(void)
{
    size_t       n, pad, len, bad, cut;
    ncr_char_t  *p;

    p = ncr_test_input;
    ncr_test_report = 0;

    for (bad = 0, n = 0; n < 135; n++) {
        for (pad = 0; pad < 66; pad++) {

            /* a quote after n backslashes, then one that surely closes */

            p[0] = '"';
            memset(p + 1, 'a', pad);
            memset(p + 1 + pad, '\\', n);
            len = 1 + pad + n;
            p[len++] = '"';

            if (n & 1) {
                p[len++] = '"';
            }

            for (cut = 1; cut < len; cut += 13) {
                bad += (ncr_test_run(&ncr_test_log, p, len, cut, len)
                        != NCR_OK);
                bad += (ncr_test_run(&ncr_test_log, p, len - 1, cut, len)
                        != NCR_BAD);
            }
        }
    }

    ncr_test(bad == 0, "runs of backslashes");

    for (n = 0; n < 250; n++) {
        memcpy(p + 1 + n * 4, "\\n\\\"", 4);
    }

    p[1001] = '"';
    ncr_test_report = 1;

    ncr_test(ncr_test_run(&ncr_test_log, p, 1002, 1002, 1) == NCR_OK
             && ncr_test_log.escaped, "dense escapes");

    ncr_test_report = 0;
    ncr_test(ncr_test_same(p, 1002), "dense escapes, cut at all offsets");
}


/* one odd thing at each place of a long string */

static void
ncr_test_long_string(void)
{
    size_t       i, n, row, bad;
    ncr_int_t    rc;
    ncr_char_t  *p;

    static const struct {
        const char  *text;
        ncr_int_t    rc;
    } rows[] = {
        { "a", NCR_OK },
        { "\\\"", NCR_OK },
        { "\\\\\\\\", NCR_OK },
        { "\xE4\xB8\xAD", NCR_OK },
        { "\t", NCR_BAD },
        { "\xE4\xB8", NCR_BAD },
        { "\xFF", NCR_BAD },
        { "\"", NCR_BAD }
    };

    p = ncr_test_input;
    ncr_test_report = 0;

    for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        n = strlen(rows[row].text);

        for (bad = 0, i = 1; i < 600; i++) {
            memset(p, 'x', 620);
            p[0] = '"';
            memcpy(p + i, rows[row].text, n);
            p[619] = '"';

            rc = ncr_test_run(&ncr_test_log, p, 620, 620, 1);
            bad += (rc != rows[row].rc);

            rc = ncr_test_run(&ncr_test_log, p, 620, 620, 1);
            bad += (rc != rows[row].rc);

            rc = ncr_test_run(&ncr_test_log, p, 620, 250, 370);
            bad += (rc != rows[row].rc);

            rc = ncr_test_run(&ncr_test_log, p, 620, 250, 370);
            bad += (rc != rows[row].rc);
        }

        ncr_test(bad == 0, "a long string with one odd thing");
    }
}


static void
ncr_test_big(void)
{
    size_t       n, i;
    ncr_char_t  *p;

    p = ncr_test_input;
    ncr_test_report = 2;

    n = (size_t) sprintf((char *) p, "{\"model\":\"claude\",\"messages\":[");

    for (i = 0; i < 12; i++) {
        n += (size_t) sprintf((char *) p + n, "%s{\"role\": \"user\",\n"
                              "\"content\":\"%0*d\\n\\\"\xC3\xA9\\\\\"}",
                              i ? "," : "", (int) i * 11, (int) i);
    }

    n += (size_t) sprintf((char *) p + n, "],\"max_tokens\":1e3}");

    ncr_test(ncr_test_run(&ncr_test_log, p, n, n, n) == NCR_OK,
             "a request");
    ncr_test(ncr_test_same(p, n), "a request, cut at all offsets");
}


static void
ncr_test_unescape(void)
{
    size_t      i;
    ncr_str_t   s, d;
    ncr_char_t  buf[64];

    static const char *const  good[][2] = {
        { "", "" },
        { "abc", "abc" },
        { "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
        { "mod\\u0065l", "model" },
        { "\\u00e9\\u00E9", "\xC3\xA9\xC3\xA9" },
        { "\\u4e2D-", "\xE4\xB8\xAD-" },
        { "x\\ud83d\\ude00y", "x\xF0\x9F\x98\x80y" },
        { "\\ud83d", "\xEF\xBF\xBD" },
        { "\\ude00z", "\xEF\xBF\xBDz" },
        { "\\ud83d\\u0041", "\xEF\xBF\xBD" "A" },
        { "\\ud83d\\ud83d\\ude00", "\xEF\xBF\xBD\xF0\x9F\x98\x80" },
        { "\\udbff\\udfff", "\xF4\x8F\xBF\xBF" }
    };

    static const char *const  bad[] = {
        "\\", "a\\x", "\\u", "\\u12", "\\u12g4", "\\u 123", "\\U0041",
        "\\ud83d\\u12", "\\ud83d\\"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s.len = strlen(good[i][0]);
        s.data = buf;
        memcpy(buf, good[i][0], s.len + 1);
        d.data = buf;

        ncr_test(ncr_json_unescape(&d, &s) == NCR_OK
                 && ncr_test_str(d, good[i][1]), good[i][0]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.len = strlen(bad[i]);
        s.data = buf;
        memcpy(buf, bad[i], s.len + 1);
        d.data = buf;

        ncr_test(ncr_json_unescape(&d, &s) == NCR_BAD, bad[i]);
    }

    s.len = 6;
    memcpy(buf, "\\u0000", 6);
    ncr_test(ncr_json_unescape(&d, &s) == NCR_OK && d.len == 1
             && buf[0] == 0, "an escaped NUL");
}


static void
ncr_test_int(void)
{
    size_t     i;
    int64_t    value;
    ncr_str_t  s;
    ncr_int_t  rc;

    static const struct {
        const char  *text;
        ncr_int_t    rc;
        int64_t      value;
    } rows[] = {
        { "0", NCR_OK, 0 },
        { "-0", NCR_OK, 0 },
        { "32000", NCR_OK, 32000 },
        { "-1", NCR_OK, -1 },
        { "9223372036854775807", NCR_OK, INT64_MAX },
        { "-9223372036854775808", NCR_OK, INT64_MIN },
        { "9223372036854775808", NCR_BAD, 0 },
        { "-9223372036854775809", NCR_BAD, 0 },
        { "99999999999999999999999", NCR_BAD, 0 },
        { "18446744073709551616", NCR_BAD, 0 },
        { "1.0", NCR_DECLINED, 0 },
        { "1e3", NCR_DECLINED, 0 },
        { "99999999999999999999999.5", NCR_DECLINED, 0 },
        { "", NCR_DECLINED, 0 },
        { "-", NCR_DECLINED, 0 }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        value = 0;
        s.len = strlen(rows[i].text);
        memcpy(ncr_test_input, rows[i].text, s.len + 1);
        s.data = ncr_test_input;

        rc = ncr_json_int(&s, &value);
        ncr_test(rc == rows[i].rc && value == rows[i].value, rows[i].text);
    }
}


/* the two comparisons that all the rest stands on */

static void
ncr_test_masks(void)
{
    int               c, i, bad;
    uint64_t          equal, less;
    ncr_json_block_t  b;

    for (bad = 0, c = -128; c < 128; c++) {
        equal = 0;
        less = 0;

        for (i = 0; i < 64; i++) {
            ncr_test_input[i] = (ncr_char_t) (c + (i * 37) % 7 - 3);

            equal |= (uint64_t) (ncr_test_input[i] == (ncr_char_t) c) << i;
            less |= (uint64_t) ((signed char) ncr_test_input[i] < c) << i;
        }

        ncr_json_load(&b, ncr_test_input);

        bad += (ncr_json_equal(&b, c) != equal);
        bad += (ncr_json_less(&b, c) != less);
    }

    ncr_test(bad == 0, "masks of blocks");
}


int
main(void)
{
    ncr_test_masks();
    ncr_test_tables();
    ncr_test_nul();
    ncr_test_nesting();
    ncr_test_reporting();
    ncr_test_long_text();
    ncr_test_utf8();
    ncr_test_backslashes();
    ncr_test_long_string();
    ncr_test_big();
    ncr_test_unescape();
    ncr_test_int();

    return ncr_test_done();
}
