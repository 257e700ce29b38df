
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_http.c"
#include "ncr_test.h"


#define NCR_TEST_INPUT   (64 * 1024)
#define NCR_TEST_HEAD    1024
#define NCR_TEST_LOG     2048

#define NCR_TEST_OK      "HTTP/1.1 200 OK\r\n"
#define NCR_TEST_CHUNKS  NCR_TEST_OK "Transfer-Encoding: chunked\r\n\r\n"


/*
 * log: the status once the head is complete, or "-"; headers; the body; how
 * it ended: "keep" or "close", with "+N" for N bytes left over, "eof" if it
 * took the end of the connection, "cut" if that came too early, or what is
 * invalid.
 */

typedef struct {
    const char  *name;
    const char  *text;
    const char  *log;
    unsigned     head;
} ncr_test_row_t;


typedef struct {
    char         headers[NCR_TEST_LOG];
    size_t       nheaders;
    char         body[NCR_TEST_LOG];
    size_t       nbody;
    size_t       bytes;                 /* of the body */
    size_t       stop;                  /* body() fails then */
    int          terminated;
} ncr_test_log_t;


static ncr_http_t      ncr_test_http;
static ncr_test_log_t  ncr_test_log;
static ncr_char_t      ncr_test_head[NCR_TEST_HEAD];
static size_t          ncr_test_size = NCR_TEST_HEAD;

/* pieces lie at the end, where a sanitizer sees who reads beyond them */
static ncr_char_t      ncr_test_piece[NCR_TEST_INPUT];
static char            ncr_test_text[NCR_TEST_INPUT];
static char            ncr_test_result[3 * NCR_TEST_LOG];


static ncr_test_row_t  ncr_test_rows[] = {

    /* status lines */

    { "a length", NCR_TEST_OK "Content-Length: 2\r\n\r\nhi",
      "200 content-length=2;|hi|keep", 0 },

    { "no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
      "200 content-length=0;||keep", 0 },

    { "an empty reason", "HTTP/1.1 429 \r\nContent-Length: 0\r\n\r\n",
      "429 content-length=0;||keep", 0 },

    { "a reason in Latin 1",
      "HTTP/1.1 500 \xE4\tb\r\nContent-Length: 0\r\n\r\n",
      "500 content-length=0;||keep", 0 },

    { "a control character in the reason",
      "HTTP/1.1 200 a\001b\r\nContent-Length: 0\r\n\r\n",
      "- ||status line", 0 },

    { "a CR in the reason", "HTTP/1.1 200 a\rb\r\nContent-Length: 0\r\n\r\n",
      "- ||status line", 0 },

    { "HTTP/1.0 is not kept", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
      "200 content-length=1;|x|close", 0 },

    { "HTTP/1.0 with keep-alive is not kept",
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
      "200 connection=keep-alive;content-length=1;|x|close", 0 },

    { "HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "- ||status line", 0 },
    { "HTTP/1.x", "HTTP/1.x 200 OK\r\n\r\n", "- ||status line", 0 },
    { "HTTP/1.11", "HTTP/1.11 200 OK\r\n\r\n", "- ||status line", 0 },
    { "http/1.1", "http/1.1 200 OK\r\n\r\n", "- ||status line", 0 },
    { "HTTP/0.9", "<html>", "- ||status line", 0 },
    { "another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "- ||status line", 0 },
    { "a blank line first", "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "- ||status line", 0 },
    { "two spaces", "HTTP/1.1  200 OK\r\n\r\n", "- ||status line", 0 },
    { "a short status", "HTTP/1.1 20\r\n\r\n", "- ||status line", 0 },
    { "a long status", "HTTP/1.1 2000 OK\r\n\r\n", "- ||status line", 0 },
    { "a status of letters", "HTTP/1.1 2x0 OK\r\n\r\n",
      "- ||status line", 0 },
    { "status 099", "HTTP/1.1 099 No\r\n\r\n", "- ||status", 0 },
    { "status 600", "HTTP/1.1 600 No\r\n\r\n", "- ||status", 0 },
    { "status 101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
      "- ||status", 0 },

    /* headers */

    { "names in lower case, values trimmed",
      NCR_TEST_OK "X-Long-NAME!:\t  a b\t c \t \r\nE:\r\nF: \r\nG:g\r\n"
      "Content-Length:0\r\n\r\n",
      "200 x-long-name!=a b\t c;e=;f=;g=g;content-length=0;||keep", 0 },

    { "LF alone", "HTTP/1.1 200 OK\nA: b \nContent-Length: 1\n\nx",
      "200 a=b;content-length=1;|x|keep", 0 },

    { "the same name twice",
      NCR_TEST_OK "A: 1\r\na: 2\r\nContent-Length: 0\r\n\r\n",
      "200 a=1;a=2;content-length=0;||keep", 0 },

    { "no colon", NCR_TEST_OK "Foo\r\n\r\n", "- ||header", 0 },
    { "no name", NCR_TEST_OK ": foo\r\n\r\n", "- ||header", 0 },
    { "a space before the colon", NCR_TEST_OK "Foo : bar\r\n\r\n",
      "- ||header", 0 },
    { "a folded line", NCR_TEST_OK "Foo: bar\r\n baz\r\n\r\n",
      "- foo=bar;||header", 0 },
    { "a CR in a value", NCR_TEST_OK "Foo: b\rar\r\n\r\n", "- ||header", 0 },
    { "a control character in a value", NCR_TEST_OK "Foo: b\x7f\r\n\r\n",
      "- ||header", 0 },
    { "a name in UTF-8", NCR_TEST_OK "F\xC3\xB6: bar\r\n\r\n",
      "- ||header", 0 },

    /* where it ends */

    { "bytes behind it", NCR_TEST_OK "Content-Length: 2\r\n\r\nhiHTTP",
      "200 content-length=2;|hi|keep+4", 0 },

    { "until the end", NCR_TEST_OK "\r\nall of it", "200 |all of it|eof", 0 },
    { "until the end, nothing", NCR_TEST_OK "\r\n", "200 ||eof", 0 },

    { "cut in the status line", "HTTP/1.1 2", "- ||cut", 0 },
    { "cut in the header", NCR_TEST_OK "Content-Length: 2\r\n",
      "- content-length=2;||cut", 0 },
    { "cut in the body", NCR_TEST_OK "Content-Length: 3\r\n\r\nhi",
      "200 content-length=3;|hi|cut", 0 },
    { "nothing at all", "", "- ||cut", 0 },

    { "Connection: close",
      NCR_TEST_OK "Connection: foo , Close\r\nContent-Length: 0\r\n\r\n",
      "200 connection=foo , Close;content-length=0;||close", 0 },

    { "Connection: closed",
      NCR_TEST_OK "Connection: ,, closed,clos\r\nContent-Length: 0\r\n\r\n",
      "200 connection=,, closed,clos;content-length=0;||keep", 0 },

    { "HEAD", NCR_TEST_OK "Content-Length: 20\r\n\r\n",
      "200 content-length=20;||keep", 1 },
    { "HEAD without a length", NCR_TEST_OK "\r\n", "200 ||keep", 1 },
    { "HEAD, chunked", NCR_TEST_CHUNKS,
      "200 transfer-encoding=chunked;||keep", 1 },
    { "204", "HTTP/1.1 204 No\r\n\r\n", "204 ||keep", 0 },
    { "204 with a length", "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\nx",
      "204 content-length=1;||close+1", 0 },
    { "304 with a length", "HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n",
      "304 content-length=9;||keep", 0 },

    { "two lengths",
      NCR_TEST_OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
      "- content-length=2;||content-length", 0 },
    { "a list of lengths", NCR_TEST_OK "Content-Length: 2, 2\r\n\r\nhi",
      "- ||content-length", 0 },
    { "a negative length", NCR_TEST_OK "Content-Length: -2\r\n\r\n",
      "- ||content-length", 0 },
    { "a length with a plus", NCR_TEST_OK "Content-Length: +2\r\n\r\n",
      "- ||content-length", 0 },
    { "an empty length", NCR_TEST_OK "Content-Length: \r\n\r\n",
      "- ||content-length", 0 },
    { "a length in hex", NCR_TEST_OK "Content-Length: 0x2\r\n\r\n",
      "- ||content-length", 0 },
    { "a huge length",
      NCR_TEST_OK "Content-Length: 9223372036854775808\r\n\r\n",
      "- ||content-length", 0 },
    { "a long length",
      NCR_TEST_OK "Content-Length: 9223372036854775807\r\n\r\nx",
      "200 content-length=9223372036854775807;|x|cut", 0 },

    { "length and chunks", NCR_TEST_OK "Content-Length: 2\r\n"
      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "- content-length=2;transfer-encoding=chunked;|"
      "|header: a length and chunks", 0 },
    { "chunks of HTTP/1.0",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "- ||transfer-encoding", 0 },
    { "chunked twice", NCR_TEST_OK "Transfer-Encoding: chunked\r\n"
      "Transfer-Encoding: chunked\r\n\r\n",
      "- transfer-encoding=chunked;||transfer-encoding", 0 },
    { "gzip, chunked", NCR_TEST_OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
      "- ||transfer-encoding", 0 },
    { "identity", NCR_TEST_OK "Transfer-Encoding: identity\r\n\r\n",
      "- ||transfer-encoding", 0 },

    /* chunks */

    { "chunks",
      NCR_TEST_CHUNKS "3\r\nabc\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
      "200 transfer-encoding=chunked;|abc0123456789|keep", 0 },
    { "Chunked", NCR_TEST_OK "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
      "200 transfer-encoding=CHUNKED;||keep", 0 },
    { "chunks with LF alone", NCR_TEST_CHUNKS "A\n0123456789\n0 \n\n",
      "200 transfer-encoding=chunked;|0123456789|keep", 0 },
    { "trailers", NCR_TEST_CHUNKS "1\r\nx\r\n0\r\nContent-Length: 7\r\n"
      "Connection: close\r\n\r\nmore",
      "200 transfer-encoding=chunked;|x|keep+4", 0 },
    { "a bad trailer", NCR_TEST_CHUNKS "1\r\nx\r\n0\r\nfoo\r\n\r\n",
      "200 transfer-encoding=chunked;|x|header", 0 },
    { "chunks, cut", NCR_TEST_CHUNKS "1\r\nx\r\n",
      "200 transfer-encoding=chunked;|x|cut", 0 },
    { "chunks, cut before the last line", NCR_TEST_CHUNKS "1\r\nx\r\n0\r\n",
      "200 transfer-encoding=chunked;|x|cut", 0 },
    { "a chunk without a size", NCR_TEST_CHUNKS "\r\nx\r\n",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "a negative chunk", NCR_TEST_CHUNKS "-1\r\nx\r\n",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "a chunk of 0x1", NCR_TEST_CHUNKS "0x1\r\nx\r\n",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "a chunk that is longer", NCR_TEST_CHUNKS "1\r\nxy\r\n",
      "200 transfer-encoding=chunked;|x|chunk", 0 },
    { "a chunk with CR and no LF", NCR_TEST_CHUNKS "1\r\nx\ry",
      "200 transfer-encoding=chunked;|x|chunk", 0 },
    { "a size with CR and no LF", NCR_TEST_CHUNKS "1\rx",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "an extension with CR and no LF", NCR_TEST_CHUNKS "1;a\rb\r\nx",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "an extension with a control character",
      NCR_TEST_CHUNKS "1;a\001b\r\nx",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "the largest chunk", NCR_TEST_CHUNKS "7fffffffffffffff\r\nx",
      "200 transfer-encoding=chunked;|x|cut", 0 },
    { "a larger one", NCR_TEST_CHUNKS "8000000000000000\r\nx",
      "200 transfer-encoding=chunked;||chunk", 0 },
    { "a size that would wrap", NCR_TEST_CHUNKS "10000000000000001\r\nx",
      "200 transfer-encoding=chunked;||chunk", 0 },

    /* 1xx */

    { "interim answers", "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 103 Early\r\nLink: <x>\r\nContent-Length: 9\r\n"
      "Connection: close\r\nTransfer-Encoding: gzip\r\n\r\n"
      NCR_TEST_OK "A: b\r\nContent-Length: 1\r\n\r\nx",
      "200 a=b;content-length=1;|x|keep", 0 },
    { "an interim answer and nothing more", "HTTP/1.1 100 Continue\r\n\r\n",
      "- ||cut", 0 },
    { "garbage after an interim answer",
      "HTTP/1.1 100 Continue\r\n\r\n" "200 OK\r\n\r\n",
      "- ||status line", 0 }
};


static ncr_int_t
ncr_test_header(ncr_http_t *http, ncr_str_t *name, ncr_str_t *value)
{
    int              n;
    ncr_test_log_t  *log;

    log = http->data;

    n = snprintf(log->headers + log->nheaders, NCR_TEST_LOG - log->nheaders,
                 "%.*s=%.*s;", (int) name->len, (char *) name->data,
                 (int) value->len, (char *) value->data);

    log->nheaders = ncr_min(log->nheaders + (size_t) n, NCR_TEST_LOG - 1);

    if (name->data[name->len] || value->data[value->len]
        || strlen((char *) name->data) != name->len
        || strlen((char *) value->data) != value->len)
    {
        log->terminated = 0;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_test_body(ncr_http_t *http, ncr_char_t *p, size_t len)
{
    size_t           n;
    ncr_test_log_t  *log;

    log = http->data;

    n = ncr_min(len, NCR_TEST_LOG - 1 - log->nbody);
    memcpy(log->body + log->nbody, p, n);

    log->nbody += n;
    log->bytes += len;

    return (log->stop && log->bytes >= log->stop) ? NCR_ERROR : NCR_OK;
}


static void
ncr_test_begin(unsigned head)
{
    memset(&ncr_test_log, 0, sizeof(ncr_test_log_t));
    ncr_test_log.terminated = 1;

    ncr_http_init(&ncr_test_http);

    ncr_test_http.data = &ncr_test_log;
    ncr_test_http.header = ncr_test_header;
    ncr_test_http.body = ncr_test_body;
    ncr_test_http.buf = ncr_test_head + NCR_TEST_HEAD - ncr_test_size;
    ncr_test_http.size = ncr_test_size;
    ncr_test_http.head = head & 1;
}


/* the first piece, then all others; they are spoilt after they were fed */

static const char *
ncr_test_run(const char *text, size_t len, size_t first, size_t piece,
    unsigned head)
{
    char         end[64];
    size_t       n, used;
    ncr_int_t    rc;
    ncr_char_t  *p;

    ncr_test_begin(head);

    rc = NCR_AGAIN;

    for (n = first; len && rc == NCR_AGAIN; n = piece) {

        n = ncr_min(n, len);
        p = ncr_test_piece + NCR_TEST_INPUT - n;

        memcpy(p, text, n);
        rc = ncr_http_feed(&ncr_test_http, p, n, &used);
        memset(p, 0xAA, n);

        if (used > n || (rc == NCR_AGAIN && used != n)) {
            return "used";
        }

        text += used;
        len -= used;
    }

    switch (rc) {

    case NCR_DONE:
        n = (size_t) snprintf(end, sizeof(end), "%s",
                              ncr_test_http.keep ? "keep" : "close");

        if (len) {
            snprintf(end + n, sizeof(end) - n, "+%u", (unsigned) len);
        }

        break;

    case NCR_AGAIN:
        rc = ncr_http_eof(&ncr_test_http);
        snprintf(end, sizeof(end), "%s", (rc == NCR_DONE) ? "eof" : "cut");

        if (rc == NCR_DONE && ncr_test_http.keep) {
            return "kept after the end";
        }

        break;

    case NCR_BAD:
        snprintf(end, sizeof(end), "%s", ncr_test_http.what);
        break;

    default:
        snprintf(end, sizeof(end), "%d", (int) rc);
        break;
    }

    if (ncr_test_http.head_done) {
        snprintf(ncr_test_result, sizeof(ncr_test_result), "%d %s|%s|%s",
                 (int) ncr_test_http.status, ncr_test_log.headers,
                 ncr_test_log.body, end);

    } else {
        snprintf(ncr_test_result, sizeof(ncr_test_result), "- %s|%s|%s",
                 ncr_test_log.headers, ncr_test_log.body, end);
    }

    return ncr_test_log.terminated ? ncr_test_result : "no NUL";
}


static void
ncr_test_row(ncr_test_row_t *row)
{
    int          ok;
    size_t       i, len;
    const char  *result;

    len = strlen(row->text);
    ok = 1;

    /* whole; one, two and three bytes at a time; cut at each offset */

    for (i = 0; i < len + 4; i++) {

        result = (i == 0) ? ncr_test_run(row->text, len, len, len, row->head)
                 : (i < 4) ? ncr_test_run(row->text, len, i, i, row->head)
                 : ncr_test_run(row->text, len, i - 3, len, row->head);

        if (strcmp(result, row->log) != 0) {
            printf("# pieces %d: %s\n", (int) i, result);
            ok = 0;
            break;
        }
    }

    ncr_test(ok, row->name);
}


/* a text, n times another, a third; the answer's own bound is what counts */

static const char *
ncr_test_many(const char *before, const char *again, size_t n,
    const char *after)
{
    char    *p;
    size_t   len;

    p = ncr_test_text;

    len = strlen(before);
    memcpy(p, before, len);
    p += len;

    for (len = strlen(again); n; n--) {
        memcpy(p, again, len);
        p += len;
    }

    len = strlen(after);
    memcpy(p, after, len);
    p += len;

    len = (size_t) (p - ncr_test_text);

    return ncr_test_run(ncr_test_text, len, 700, 700, 0);
}


static int
ncr_test_ends(const char *result, const char *end)
{
    size_t  n, m;

    n = strlen(result);
    m = strlen(end);

    return n >= m && strcmp(result + n - m, end) == 0;
}


static void
ncr_test_bounds(void)
{
    size_t       n;
    const char  *result;

    result = ncr_test_many(NCR_TEST_OK "A: ", "a", NCR_TEST_HEAD, "\r\n\r\n");
    ncr_test(ncr_test_ends(result, "|header: it is too large"),
             "a header that is too large");

    result = ncr_test_many(NCR_TEST_OK "A: ", "a", 60000, "");
    ncr_test(ncr_test_ends(result, "|header: it is too large"),
             "a line without an end");

    result = ncr_test_many("HTTP/1.1 200 ", "a", 60000, "");
    ncr_test(ncr_test_ends(result, "|header: it is too large"),
             "a status line without an end");

    result = ncr_test_many("", "HTTP/1.1 100 Continue\r\n\r\n", 500, "");
    ncr_test(ncr_test_ends(result, "|header: it is too large"),
             "interim answers without an end");

    result = ncr_test_many(NCR_TEST_CHUNKS "0\r\n", "A: b\r\n", 1000,
                           "\r\n");
    ncr_test(ncr_test_ends(result, "|header: it is too large"),
             "trailers without an end");

    n = strlen(NCR_TEST_OK "A: \r\n\r\n");
    result = ncr_test_many(NCR_TEST_OK "A: ", "a", NCR_TEST_HEAD - n,
                           "\r\n\r\nx");
    ncr_test(ncr_test_ends(result, "|x|eof"), "a header that just fits");

    n = NCR_HTTP_HEADERS;
    result = ncr_test_many("HTTP/1.1 200\n", "A:\n", n, "\nx");
    ncr_test(ncr_test_ends(result, "|x|eof"), "many headers");

    result = ncr_test_many("HTTP/1.1 200\n", "A:\n", n + 1, "\nx");
    ncr_test(ncr_test_ends(result, "||header"), "too many headers");

    n = NCR_HTTP_CHUNK_LINE;
    result = ncr_test_many(NCR_TEST_CHUNKS, "0", n, "\r\n\r\n");
    ncr_test(ncr_test_ends(result, "||keep"), "a size with many zeros");

    result = ncr_test_many(NCR_TEST_CHUNKS, "0", n + 1, "\r\n\r\n");
    ncr_test(ncr_test_ends(result, "||chunk"), "a size with too many zeros");

    result = ncr_test_many(NCR_TEST_CHUNKS "1;", "a", n + 1, "\r\nx");
    ncr_test(ncr_test_ends(result, "||chunk"), "a long extension");

    result = ncr_test_many(NCR_TEST_CHUNKS, "1;aaaaaaaa\r\nx\r\n", 2000,
                           "0\r\n\r\n");
    ncr_test(ncr_test_ends(result, "x|keep") && ncr_test_log.bytes == 2000,
             "many chunks with an extension each");
}


static void
ncr_test_stops(void)
{
    size_t       used;
    ncr_int_t    rc, again;
    ncr_str_t    text = ncr_string(NCR_TEST_OK "Content-Length: 4\r\n\r\nabcd");
    ncr_str_t    one = ncr_string("HTTP/1.1 204 No\r\n\r\n");
    ncr_str_t    bad = ncr_string("220 ready\r\n");

    ncr_test_begin(0);
    ncr_test_log.stop = 4;

    rc = ncr_http_feed(&ncr_test_http, text.data, text.len, &used);
    again = ncr_http_feed(&ncr_test_http, text.data, text.len, &used);

    ncr_test(rc == NCR_ERROR && again == NCR_ERROR && used == 0
             && ncr_http_eof(&ncr_test_http) == NCR_ERROR,
             "a callback stops it for good");

    ncr_test_begin(0);

    rc = ncr_http_feed(&ncr_test_http, bad.data, bad.len, &used);
    again = ncr_http_feed(&ncr_test_http, one.data, one.len, &used);

    ncr_test(rc == NCR_BAD && again == NCR_BAD && used == 0
             && ncr_http_eof(&ncr_test_http) == NCR_BAD,
             "so does what is invalid");

    ncr_test_begin(0);

    rc = ncr_http_feed(&ncr_test_http, one.data, one.len, &used);
    again = ncr_http_feed(&ncr_test_http, one.data, one.len, &used);

    ncr_test(rc == NCR_DONE && again == NCR_DONE && used == 0
             && ncr_http_eof(&ncr_test_http) == NCR_DONE,
             "what follows an answer is not read");

    ncr_test_begin(0);
    ncr_test_http.header = NULL;

    rc = ncr_http_feed(&ncr_test_http, text.data, text.len, &used);

    ncr_test(rc == NCR_DONE && used == text.len,
             "nobody has to look at headers");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        ncr_test_row(&ncr_test_rows[i]);
    }

    ncr_test_bounds();
    ncr_test_stops();

    return ncr_test_done();
}
