
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_sse.c"
#include "ncr_test.h"


#define NCR_TEST_INPUT   (16 * 1024)
#define NCR_TEST_LOG     (64 * 1024)


typedef struct {
    char         log[NCR_TEST_LOG];
    size_t       len;
    ncr_uint_t   want;                  /* 0: only names with a "w" */
    ncr_uint_t   stop_after;
    ncr_uint_t   events;
    ncr_uint_t   inside;                /* payloads not copied */
    size_t       payload;               /* length of the last one */
    ncr_uint_t   cut;
} ncr_test_log_t;


typedef struct {
    const char  *name;
    const char  *text;
    const char  *log;
    int          boundary;
} ncr_test_row_t;


static ncr_sse_t       ncr_test_sse;
static ncr_test_log_t  ncr_test_log, ncr_test_other;
static ncr_char_t      ncr_test_buf[256];
static size_t          ncr_test_size;
static size_t          ncr_test_nparts;

/* chunks lie at the end, where a sanitizer sees who reads beyond them */
static ncr_char_t      ncr_test_chunk[NCR_TEST_INPUT];
static ncr_char_t      ncr_test_input[NCR_TEST_INPUT];


/* "?name|head" is a question, "!name|payload" an event */

static ncr_test_row_t  ncr_test_rows[] = {

    { "nothing", "", "", 1 },

    { "an event", "event: ping\ndata: {}\n\n",
      "?ping|{} !ping|{} ", 1 },

    { "no event line", "data: x\n\n", "?|x !|x ", 1 },

    { "CRLF", "event: a\r\ndata: x\r\n\r\ndata: y\r\n\r\n",
      "?a|x !a|x ?|y !|y ", 1 },

    { "CR", "event: a\rdata: x\r\rdata: y\r\r",
      "?a|x !a|x ?|y !|y ", 1 },

    { "mixed ends", "event: a\rdata: x\n\r\ndata: y\r\n\n",
      "?a|x !a|x ?|y !|y ", 1 },

    { "no space after the colon", "event:a\ndata:x\n\n",
      "?a|x !a|x ", 1 },

    { "one space of two is data", "data:  x \n\n", "?| x  !| x  ", 1 },

    { "data lines are joined", "data: a\ndata: b\ndata:\ndata: c\n\n",
      "?|a !|a\nb\n\nc ", 1 },

    { "data without a colon", "data\n\n", "?| !| ", 1 },

    { "data without a colon, twice", "data\ndata\n\n", "?| !|\n ", 1 },

    { "empty data", "data:\n\n", "?| !| ", 1 },

    { "empty data, then more", "data:\ndata: x\n\n", "?| !|\nx ", 1 },

    { "an event without data", "event: a\n\ndata: x\n\n",
      "?|x !|x ", 1 },

    { "the last event line counts", "event: a\nevent: b\ndata: x\n\n",
      "?b|x !b|x ", 1 },

    { "an event line after the data", "data: x\nevent: late\n\n",
      "?|x !late|x ", 1 },

    { "an empty event line", "event: a\nevent\ndata: x\n\n",
      "?|x !|x ", 1 },

    { "comments", ": hi\n\n:\n:data: z\ndata: x\n: in\n\n:end\n",
      "?|x !|x ", 1 },

    { "id, retry and others", "id: 7\nretry: 10\nfoo: bar\nbaz\ndata: x\n\n",
      "?|x !|x ", 1 },

    { "near misses", "dat: a\ndatax: b\n data: c\nData: d\neventx: e\n"
      "even: f\ndata : g\nd\ne\ndataevent: h\ndata: x\n\n",
      "?|x !|x ", 1 },

    { "a byte order mark", "\xEF\xBB\xBF" "data: x\n\n",
      "?|x !|x ", 1 },

    { "a byte order mark alone", "\xEF\xBB\xBF", "", 1 },

    { "half a byte order mark", "\xEF\xBB" "data: x\n\ndata: y\n\n",
      "?|y !|y ", 1 },

    { "half a byte order mark and a line end", "\xEF\ndata: y\n\n",
      "?|y !|y ", 1 },

    { "a late byte order mark", "\n\xEF\xBB\xBF" "data: x\n\ndata: y\n\n",
      "?|y !|y ", 1 },

    { "blank lines", "\n\n\r\r\n\ndata: x\n\n\n\n", "?|x !|x ", 1 },

    { "unfinished", "data: x\n\ndata: y\n", "?|x !|x ?|y ", 0 },

    { "unfinished line", "data: x\n\ndata: y", "?|x !|x ", 0 },

    { "unfinished event line", "event: a", "", 0 },

    { "a field is no boundary", "id: 1\n", "", 0 },

    { "a comment is one after its line", ": x", "", 0 },

    { "a head of 47, 48 and 49",
      "data: 0123456789012345678901234567890123456789abcdefg\n\n"
      "data: 0123456789012345678901234567890123456789abcdefgh\n\n"
      "data: 0123456789012345678901234567890123456789abcdefghi\n\n",
      "?|0123456789012345678901234567890123456789abcdefg "
      "!|0123456789012345678901234567890123456789abcdefg "
      "?|0123456789012345678901234567890123456789abcdefgh "
      "!|0123456789012345678901234567890123456789abcdefgh "
      "?|0123456789012345678901234567890123456789abcdefgh "
      "!|0123456789012345678901234567890123456789abcdefghi ", 1 },

    { "a long name is cut",
      "event: 0123456789012345678901234567890123456789"
      "012345678901234567890123456789\ndata: x\n\n",
      "?0123456789012345678901234567890123456789012345678901234567890123|x "
      "!0123456789012345678901234567890123456789012345678901234567890123|x ",
      1 }
};


static void
ncr_test_note(ncr_test_log_t *log, char kind, ncr_str_t *name,
    ncr_str_t *text)
{
    int  n;

    n = snprintf(log->log + log->len, NCR_TEST_LOG - log->len,
                 "%c%.*s|%.*s ", kind, (int) name->len,
                 name->len ? (char *) name->data : "", (int) text->len,
                 text->len ? (char *) text->data : "");

    log->len = ncr_min(log->len + (size_t) n, NCR_TEST_LOG - 1);
}


static ncr_uint_t
ncr_test_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    ncr_test_log_t  *log;

    log = sse->data;
    ncr_test_note(log, '?', name, head);

    if (name->len && memchr(name->data, 'z', name->len)) {
        return NCR_SSE_NEVER;
    }

    return log->want || (name->len && memchr(name->data, 'w', name->len));
}


static ncr_int_t
ncr_test_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_test_log_t  *log;

    log = sse->data;
    ncr_test_note(log, '!', name, payload);

    log->payload = payload->len;
    log->cut = sse->cut;

    if (payload->data >= ncr_test_chunk
        && payload->data < ncr_test_chunk + NCR_TEST_INPUT)
    {
        log->inside++;
    }

    return (++log->events == log->stop_after) ? NCR_DONE : NCR_OK;
}


static void
ncr_test_begin(ncr_test_log_t *log)
{
    memset(log, 0, sizeof(ncr_test_log_t));
    log->want = 1;

    ncr_sse_init(&ncr_test_sse);

    ncr_test_sse.data = log;
    ncr_test_sse.want = ncr_test_want;
    ncr_test_sse.event = ncr_test_event;
    ncr_test_sse.buf = ncr_test_buf + sizeof(ncr_test_buf) - ncr_test_size;
    ncr_test_sse.size = ncr_test_size;
}


/* the chunk is spoilt after it was fed: nobody may look at it again */

static ncr_int_t
ncr_test_feed(const void *p, size_t len)
{
    ncr_int_t    rc;
    ncr_char_t  *chunk;

    chunk = ncr_test_chunk + NCR_TEST_INPUT - len;

    memcpy(chunk, p, len);
    rc = ncr_sse_feed(&ncr_test_sse, chunk, len);
    memset(chunk, 0xAA, len);

    return rc;
}


static ncr_int_t
ncr_test_text(const char *text)
{
    return ncr_test_feed(text, strlen(text));
}


static void
ncr_test_run(ncr_test_log_t *log, const char *text, size_t len, size_t first,
    size_t chunk)
{
    size_t  n;

    ncr_test_begin(log);

    for (n = first; len; text += n, len -= n, n = chunk) {
        n = ncr_min(n, len);
        (void) ncr_test_feed(text, n);
    }
}


static int
ncr_test_same(const char *text, size_t len)
{
    size_t    i;
    uint64_t  events;

    ncr_test_run(&ncr_test_log, text, len, len, len);
    events = ncr_test_sse.events;

    for (i = 0; i <= len + 3; i++) {

        /* bytes one, two and three at a time, then a cut at each offset */

        ncr_test_run(&ncr_test_other, text, len, (i < 3) ? i + 1 : i - 3,
                     (i < 3) ? i + 1 : len);

        if (strcmp(ncr_test_other.log, ncr_test_log.log) != 0
            || ncr_test_sse.events != events)
        {
            printf("# chunking %d: %s\n", (int) i, ncr_test_other.log);
            return 0;
        }
    }

    return 1;
}


static void
ncr_test_row(ncr_test_row_t *row)
{
    int     boundary, ok;
    size_t  len;

    len = strlen(row->text);

    ncr_test_run(&ncr_test_log, row->text, len, len, len);
    boundary = (int) ncr_sse_boundary(&ncr_test_sse);

    ok = (strcmp(ncr_test_log.log, row->log) == 0
          && boundary == row->boundary);

    if (!ok) {
        printf("# %d %s\n", boundary, ncr_test_log.log);
    }

    ncr_test(ok && ncr_test_same(row->text, len)
             && (int) ncr_sse_boundary(&ncr_test_sse) == boundary,
             row->name);
}


static void
ncr_test_table(void)
{
    size_t  i;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        ncr_test_row(&ncr_test_rows[i]);
    }
}


static void
ncr_test_wanting(void)
{
    static const char  text[] = "event: a\ndata: 1\ndata: 2\n\n"
                                "event: w\ndata: 3\n\n"
                                "data: 4\nevent: w\n\n"
                                "event: no\n\n"
                                "event: w\ndata: 5\n\n";

    ncr_test_begin(&ncr_test_log);
    ncr_test_log.want = 0;

    ncr_test(ncr_test_text(text) == NCR_OK
             && strcmp(ncr_test_log.log,
                       "?a|1 ?w|3 !w|3 ?|4 ?w|5 !w|5 ") == 0,
             "unwanted events are skipped");

    ncr_test(ncr_test_sse.events == 4, "events are counted");
    ncr_test(ncr_test_log.inside == 2, "lines in a chunk are not copied");

    ncr_test_begin(&ncr_test_log);
    ncr_test_sse.want = NULL;
    ncr_test_sse.event = NULL;
    ncr_test(ncr_test_text(text) == NCR_OK && ncr_test_sse.events == 4,
             "only counting");

    ncr_test_begin(&ncr_test_log);
    ncr_test_log.stop_after = 1;

    ncr_test(ncr_test_text("data: 1\n\ndata: 2\n\n") == NCR_DONE
             && ncr_test_log.events == 1
             && ncr_sse_boundary(&ncr_test_sse), "event() stops the feed");

    ncr_test(ncr_test_text("data: 3\n\n") == NCR_OK
             && strcmp(ncr_test_log.log, "?|1 !|1 ?|3 !|3 ") == 0,
             "and the next feed goes on");

    ncr_test(ncr_sse_feed(&ncr_test_sse, NULL, 0) == NCR_OK,
             "an empty chunk");
}


/* names with a "z" are never wanted, and the last such is asked for once */

static ncr_test_row_t  ncr_test_nevers[] = {

    { "asked for once",
      "event: z\ndata: 1\n\nevent: z\ndata: 2\n\nevent: z\ndata: 3\n\n"
      "event: a\ndata: 4\n\nevent: z\ndata: 5\n\n",
      "?z|1 ?a|4 !a|4 ", 1 },

    { "the last name counts",
      "event: z\ndata: 1\n\nevent: zz\ndata: 2\n\nevent: z\ndata: 3\n\n"
      "event: z\ndata: 4\n\nevent: zz\ndata: 5\n\n",
      "?z|1 ?zz|2 ?z|3 ?zz|5 ", 1 },

    { "longer and shorter names",
      "event: az\ndata: 1\n\nevent: azb\ndata: 2\n\n"
      "event: a\ndata: 3\n\nevent: azb\ndata: 4\n\n",
      "?az|1 ?azb|2 ?a|3 !a|3 ", 1 },

    { "CRLF, of names never wanted",
      "event: z\r\ndata: 1\r\n\r\nevent: z\r\ndata: 2\r\n\r\n"
      "event: a\r\ndata: 3\r\n\r\nevent: z\r\ndata: 2\r\n\r\n",
      "?z|1 ?a|3 !a|3 ", 1 },

    { "CR, of names never wanted",
      "event: z\rdata: 1\r\revent: z\rdata: 2\r\revent: a\rdata: 3\r\r",
      "?z|1 ?a|3 !a|3 ", 1 },

    { "a CR ends the data",
      "event: z\ndata: 1\n\n"
      "event: z\ndata: 2\rdata: 3\n\n"
      "event: z\ndata: 4\revent: a\n\n"
      "event: z\ndata: 5\r\rdata: 6\n\n"
      "event: z\ndata: 7\r\n\n"
      "event: z\ndata: 8\r\n\r\n"
      "event: z\ndata: 9\n\n"
      "event: z\ndata: a\n\r\n"
      "event: z\ndata: b\r\n\n"
      "data: c\n\n",
      "?z|1 ?|6 !|6 ?|c !|c ", 1 },

    { "more than one line of data",
      "event: z\ndata: 1\n\nevent: z\ndata: 2\ndata: 3\n\n"
      "event: z\ndata: 4\nevent: a\n\ndata: 5\n\n"
      "event: z\ndata: 6\n: c\n\nevent: z\ndata: 7\nid: 1\n\n",
      "?z|1 ?|5 !|5 ", 1 },

    { "without a space",
      "event: z\ndata: 1\n\nevent:z\ndata: 2\n\nevent: z\ndata:3\n\n"
      "event:z\ndata:4\n\nevent: z\ndata:\n\nevent: z\ndata\n\n"
      "event:  z\ndata: 5\n\nevent: z \ndata: 6\n\n",
      "?z|1 ? z|5 ?z |6 ", 1 },

    { "after a field of the same event",
      "event: z\ndata: 1\n\nid: 1\nevent: z\ndata: 2\n\n"
      "event: a\nevent: z\ndata: 3\n\ndata: 4\nevent: z\ndata: 5\n\n"
      "event: z\nevent: a\ndata: 6\n\n",
      "?z|1 ?|4 !z|4\n5 ?a|6 !a|6 ", 1 },

    { "after comments and blank lines",
      "event: z\ndata: 1\n\n: c\nevent: z\ndata: 2\n\n\n\n"
      "event: z\ndata: 3\n\n\r\nevent: z\ndata: 4\n\n\revent: a\n\n"
      "data: 5\n\n",
      "?z|1 ?|5 !|5 ", 1 },

    { "no data at all",
      "event: z\ndata: 1\n\nevent: z\n\nevent: z\ndatax: 2\n\n"
      "event: z\ndata: 3\n\ndata: 4\n\n",
      "?z|1 ?|4 !|4 ", 1 },

    { "unfinished, of a name never wanted",
      "event: z\ndata: 1\n\nevent: z\ndata: 2\n", "?z|1 ", 0 },

    { "unfinished data, of a name never wanted",
      "event: z\ndata: 1\n\nevent: z\ndata: 2", "?z|1 ", 0 },

    { "a name that is cut is asked for",
      "event: z123456789012345678901234567890123456789"
      "01234567890123456789012\ndata: 1\n\n"
      "event: z123456789012345678901234567890123456789"
      "01234567890123456789012\ndata: 2\n\n"
      "event: z123456789012345678901234567890123456789"
      "012345678901234567890123456789\ndata: 3\n\n"
      "event: z123456789012345678901234567890123456789"
      "012345678901234567890123456789\ndata: 4\n\n",
      "?z12345678901234567890123456789012345678901234567890123456789012|1 "
      "?z123456789012345678901234567890123456789012345678901234567890123|3 "
      "?z123456789012345678901234567890123456789012345678901234567890123|4 ",
      1 }
};


static void
ncr_test_never(void)
{
    size_t    i, k, n, len, bad;
    uint64_t  events;
    char     *p;

    static const char  *const pieces[] = {
        "event: z\n", "data: 1", "\n", "\r", "event: a", "data:", "\n\n"
    };

    for (i = 0; i < sizeof(ncr_test_nevers) / sizeof(ncr_test_nevers[0]); i++)
    {
        ncr_test_row(&ncr_test_nevers[i]);
    }

    /* passed over as a whole, at the end of a chunk and before it */

    p = (char *) ncr_test_input;
    len = 0;

    for (i = 0; i < 40; i++) {
        len += (size_t) snprintf(p + len, NCR_TEST_INPUT - len,
                                 "event: z\ndata: %*d\n\n", (int) i, 7);
    }

    ncr_test(ncr_test_same(p, len) && ncr_test_sse.events == 40
             && strcmp(ncr_test_log.log, "?z|7 ") == 0,
             "many events that are never wanted");

    ncr_test_begin(&ncr_test_log);

    ncr_test(ncr_test_text("event: z\ndata: 1\n\n") == NCR_OK
             && ncr_test_text("event: z\ndata: 2\n\n") == NCR_OK
             && ncr_sse_boundary(&ncr_test_sse)
             && ncr_test_text("\n") == NCR_OK
             && ncr_test_text("event: z\ndata: 3\n") == NCR_OK
             && !ncr_sse_boundary(&ncr_test_sse)
             && ncr_test_text("\n") == NCR_OK
             && ncr_sse_boundary(&ncr_test_sse)
             && ncr_test_sse.events == 3, "boundaries of what is never wanted");

    /*
     * All texts of six pieces: at once, and byte by byte, which never finds
     * an event that is whole.
     */

    for (bad = 0, n = 0; n < 7 * 7 * 7 * 7 * 7 * 7; n++) {

        len = (size_t) snprintf(p, NCR_TEST_INPUT, "event: z\ndata: 1\n\n");

        for (i = 0, k = n; i < 6; i++, k /= 7) {
            len += (size_t) snprintf(p + len, NCR_TEST_INPUT - len, "%s",
                                     pieces[k % 7]);
        }

        ncr_test_run(&ncr_test_log, p, len, len, len);
        events = ncr_test_sse.events;
        k = ncr_sse_boundary(&ncr_test_sse);

        ncr_test_run(&ncr_test_other, p, len, 1, 1);

        bad += (strcmp(ncr_test_other.log, ncr_test_log.log) != 0
                || ncr_test_sse.events != events
                || ncr_sse_boundary(&ncr_test_sse) != k);
    }

    ncr_test(bad == 0, "whole as byte by byte");
}


static void
ncr_test_limits(void)
{
    size_t  i, n, bad;
    char   *p;

    p = (char *) ncr_test_input;

    for (i = 0; i < 1000; i++) {
        p[i] = (char) ('a' + i % 26);
    }

    memcpy(p, "data: ", 6);
    memcpy(p + 1000, "\n\n", 2);

    ncr_test_run(&ncr_test_log, p, 1002, 1002, 1);
    ncr_test(ncr_test_log.payload == 994 && !ncr_test_log.cut
             && ncr_test_log.inside == 1,
             "a line in a chunk may be longer than the buffer");

    ncr_test_run(&ncr_test_log, p, 1002, 1001, 1);
    ncr_test(ncr_test_log.payload == ncr_test_size && ncr_test_log.cut,
             "else it is cut");

    for (bad = 0, i = 1; i < 1001; i++) {
        ncr_test_run(&ncr_test_log, p, 1002, i, 17);

        bad += (ncr_test_log.payload != ncr_test_size
                || !ncr_test_log.cut
                || memcmp(ncr_test_sse.buf, p + 6, ncr_test_size) != 0);
    }

    ncr_test(bad == 0, "cut alike at all offsets");

    ncr_test(ncr_test_text("data: y\n\n") == NCR_OK && !ncr_test_log.cut
             && ncr_test_log.payload == 1, "the next event is not cut");

    for (bad = 0, n = ncr_test_size + 3; n > ncr_test_size - 3; n--) {
        memcpy(p + 6 + n, "\n\n", 2);
        ncr_test_run(&ncr_test_log, p, n + 8, 9, 5);

        bad += (ncr_test_log.cut != (n > ncr_test_size)
                || ncr_test_log.payload != ncr_min(n, ncr_test_size));
    }

    ncr_test(bad == 0, "payloads about as long as the buffer");

    n = ncr_test_size;
    ncr_test_size = 0;

    ncr_test_run(&ncr_test_log, "data: a\ndata: b\n\n", 17, 17, 17);
    ncr_test(ncr_test_log.cut && ncr_test_log.payload == 0
             && ncr_test_log.events == 1, "no buffer");

    ncr_test_run(&ncr_test_log, "data: a\n\n", 9, 9, 9);
    ncr_test(!ncr_test_log.cut && ncr_test_log.payload == 1,
             "no buffer needed");

    ncr_test_size = n;
}


/* taken bit by bit: the bits of an event are its data, or it was whole */

static void
ncr_test_part(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    memcpy(ncr_test_buf + ncr_test_nparts, p, len);
    ncr_test_nparts += len;
}


static ncr_int_t
ncr_test_part_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_str_t  s;

    s = *payload;

    if (ncr_test_nparts) {
        s.data = ncr_test_buf;
        s.len = ncr_test_nparts;
        ncr_test_log.cut |= (payload->len != 0);
    }

    ncr_test_note(&ncr_test_log, '!', name, &s);
    ncr_test_nparts = 0;

    return NCR_OK;
}


static void
ncr_test_parts(void)
{
    size_t  i, n, from, len, bad;

    static const char  text[] = "event: a\ndata: 123\ndata:\ndata: 4\r\n\r\n"
                                "event: z\ndata: 5\n\n"
                                "data: 0123456789012345678901234567890123456789"
                                "0123456789\n\ndata\n\n";
    static const char  want[] = "?a|123 !a|123\n\n4 ?z|5 "
                                "?|012345678901234567890123456789012345678901"
                                "234567 !|0123456789012345678901234567890123"
                                "4567890123456789 ?| !| ";

    len = sizeof(text) - 1;

    for (bad = 0, i = 1; i < 2 * len; i++) {

        ncr_test_begin(&ncr_test_log);
        ncr_test_sse.event = ncr_test_part_event;
        ncr_test_sse.part = ncr_test_part;
        ncr_test_sse.buf = NULL;
        ncr_test_sse.size = 0;
        ncr_test_nparts = 0;

        /* a cut at each offset, then chunks of each size */

        n = (i <= len) ? i : i - len;
        (void) ncr_test_feed(text, n);

        for (from = n; from < len; from += n) {
            n = ncr_min((i <= len) ? len : n, len - from);
            (void) ncr_test_feed(text + from, n);
        }

        bad += (strcmp(ncr_test_log.log, want) != 0 || ncr_test_log.cut);
    }

    ncr_test(bad == 0, "events taken bit by bit");
}


static void
ncr_test_boundaries(void)
{
    size_t  i, bad;

    static const char  text[] = "event: a\ndata: b\n\n: c\nid: 1\n\n\r\n:\n";
    static const char  want[] = "100000000000000000100010000001110";

    ncr_test_begin(&ncr_test_log);
    bad = 0;

    for (i = 0; i < sizeof(text) - 1; i++) {

        if (ncr_sse_boundary(&ncr_test_sse) != (ncr_uint_t) (want[i] - '0')) {
            printf("# offset %d\n", (int) i);
            bad++;
        }

        (void) ncr_test_feed(text + i, 1);
    }

    ncr_test(bad == 0, "boundaries");
}


int
main(void)
{
    ncr_test_size = 100;

    ncr_test_table();
    ncr_test_wanting();
    ncr_test_never();
    ncr_test_limits();
    ncr_test_parts();
    ncr_test_boundaries();

    return ncr_test_done();
}
