
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_ws.c"
#include "ncr_test.h"


#define NCR_TEST_INPUT  (128 * 1024)


/* "T" or "B" and data, "." at its end; "C<code>:reason", "P", "O"; "!code" */

typedef struct {
    const char  *name;
    ncr_uint_t   masked;
    uint64_t     max;
    const char  *bytes;
    size_t       len;
    const char  *log;
} ncr_test_row_t;


static ncr_ws_t    ncr_test_ws;
static ncr_char_t  ncr_test_chunk[NCR_TEST_INPUT];
static char        ncr_test_log[NCR_TEST_INPUT];
static size_t      ncr_test_nlog;


#define row(name, masked, max, bytes, log)                                    \
    { name, masked, max, bytes, sizeof(bytes) - 1, log }


static ncr_test_row_t  ncr_test_rows[] = {

    /* the examples of 5.7 */

    row("a text", 0, 0, "\x81\x05Hello", "THello. "),
    row("a masked text", 1, 0, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        "THello. "),
    row("a fragmented text", 0, 0, "\x01\x03Hel\x80\x02lo", "THello. "),
    row("a ping", 0, 0, "\x89\x05Hello", "P5:Hello "),
    row("a masked pong", 1, 0,
        "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "O5:Hello "),

    row("nothing", 0, 0, "", ""),
    row("an empty text", 0, 0, "\x81\x00", "T. "),
    row("two texts", 0, 0, "\x81\x01" "a\x81\x01" "b", "Ta. Tb. "),
    row("a binary", 0, 0, "\x82\x02\xff\xfe", "B\xff\xfe. "),
    row("empty fragments", 0, 0, "\x01\x00\x00\x00\x80\x01" "a", "Ta. "),
    row("a ping between fragments", 0, 0,
        "\x01\x01" "a\x89\x01x\x80\x01" "b", "TaP1:x b. "),
    row("a length of 126", 0, 0, "\x82\x7e\x00\x7e"
        "0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345",
        "B0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345. "),

    row("a close", 0, 0, "\x88\x00", "C1005: "),
    row("a close with a reason", 0, 0, "\x88\x05\x03\xe8" "bye",
        "C1000:bye "),
    row("nothing behind a close", 0, 0, "\x88\x02\x03\xe9\x81\x01" "a",
        "C1001: "),
    row("a private code", 0, 0, "\x88\x02\x0f\xa0", "C4000: "),
    row("a reason of two bytes a character", 0, 0,
        "\x88\x04\x03\xe8\xc3\xa4", "C1000:\xc3\xa4 "),

    /* 5.2, 5.4, 5.5 */

    row("not masked", 1, 0, "\x81\x05Hello", "!1002 "),
    row("masked", 0, 0, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        "!1002 "),
    row("RSV1", 0, 0, "\xc1\x00", "!1002 "),
    row("RSV2", 0, 0, "\xa1\x00", "!1002 "),
    row("RSV3", 0, 0, "\x91\x00", "!1002 "),
    row("opcode 3", 0, 0, "\x83\x00", "!1002 "),
    row("opcode 7", 0, 0, "\x87\x00", "!1002 "),
    row("opcode 11", 0, 0, "\x8b\x00", "!1002 "),
    row("opcode 15", 0, 0, "\x8f\x00", "!1002 "),
    row("a fragmented ping", 0, 0, "\x09\x00", "!1002 "),
    row("a fragmented close", 0, 0, "\x08\x00", "!1002 "),
    row("a ping of 126", 0, 0, "\x89\x7e\x00\x7e", "!1002 "),
    row("a continuation of nothing", 0, 0, "\x80\x01" "a", "!1002 "),
    row("another continuation", 0, 0, "\x81\x01" "a\x80\x01" "b",
        "Ta. !1002 "),
    row("a text in a text", 0, 0, "\x01\x01" "a\x81\x01" "b", "Ta!1002 "),
    row("a binary in a text", 0, 0, "\x01\x01" "a\x02\x01" "b", "Ta!1002 "),
    row("16 bits for a small length", 0, 0, "\x81\x7e\x00\x7d", "!1002 "),
    row("64 bits for a small length", 0, 0,
        "\x81\x7f\0\0\0\0\0\0\xff\xff", "!1002 "),
    row("the highest bit of a length", 0, 0,
        "\x81\x7f\x80\0\0\0\0\0\0\0", "!1002 "),
    row("half of a close code", 0, 0, "\x88\x01\x03", "!1002 "),
    row("close code 999", 0, 0, "\x88\x02\x03\xe7", "!1002 "),
    row("close code 1004", 0, 0, "\x88\x02\x03\xec", "!1002 "),
    row("close code 1005", 0, 0, "\x88\x02\x03\xed", "!1002 "),
    row("close code 1006", 0, 0, "\x88\x02\x03\xee", "!1002 "),
    row("close code 1015", 0, 0, "\x88\x02\x03\xf7", "!1002 "),
    row("close code 2999", 0, 0, "\x88\x02\x0b\xb7", "!1002 "),
    row("close code 5000", 0, 0, "\x88\x02\x13\x88", "!1002 "),
    row("nothing behind a fault", 0, 0, "\x83\x00\x81\x01" "a", "!1002 "),

    /* bounds */

    row("as large as allowed", 0, 5, "\x81\x05Hello", "THello. "),
    row("one byte too many", 0, 4, "\x81\x05Hello", "!1009 "),
    row("one byte too many in fragments", 0, 4, "\x01\x03Hel\x80\x02lo",
        "THel!1009 "),
    row("each message has its bound", 0, 3, "\x81\x03" "abc\x81\x03" "def",
        "Tabc. Tdef. "),
    row("huge", 0, 1000, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
        "!1009 "),
    row("control frames are no part of it", 0, 2,
        "\x01\x01" "a\x89\x03xyz\x80\x01" "b", "TaP3:xyz b. "),

    /* 8.1 */

    row("characters of 2, 3 and 4 bytes", 0, 0,
        "\x81\x09\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
        "T\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80. "),
    row("a character in two fragments", 0, 0,
        "\x01\x01\xc3\x80\x01\xa4", "T\xc3\xa4. "),
    row("with a ping inside of it", 0, 0,
        "\x01\x01\xc3\x89\x01x\x80\x01\xa4", "T\xc3P1:x \xa4. "),
    row("half of a character", 0, 0, "\x81\x01\xc3", "T\xc3!1007 "),
    row("a lone continuation byte", 0, 0, "\x81\x01\x80", "!1007 "),
    row("longer than it need be", 0, 0, "\x81\x02\xc0\x80", "!1007 "),
    row("longer than it need be, 3", 0, 0, "\x81\x03\xe0\x80\x80", NULL),
    row("a surrogate", 0, 0, "\x81\x03\xed\xa0\x80", NULL),
    row("beyond U+10FFFF", 0, 0, "\x81\x04\xf4\x90\x80\x80", NULL),
    row("0xff", 0, 0, "\x81\x01\xff", "!1007 "),
    row("a binary need be none", 0, 0, "\x82\x01\xff", "B\xff. "),
    row("a reason that is none", 0, 0, "\x88\x03\x03\xe8\xff", "!1007 "),
    row("half of a reason", 0, 0, "\x88\x03\x03\xe8\xc3", "!1007 ")
};


static void
ncr_test_write(const void *p, size_t len)
{
    memcpy(ncr_test_log + ncr_test_nlog, p, len);
    ncr_test_nlog += len;
    ncr_test_log[ncr_test_nlog] = '\0';
}


/* fed in pieces of n bytes at the end of a buffer, a log as rows have it */

static void
ncr_test_feed(ncr_uint_t masked, uint64_t max, const char *bytes, size_t len,
    size_t n)
{
    int              open;
    char             text[64];
    size_t           piece;
    ncr_char_t      *p, *last;
    ncr_ws_event_e   event;

    ncr_ws_init(&ncr_test_ws);
    ncr_test_ws.masked = masked ? 1 : 0;
    ncr_test_ws.max = max;

    ncr_test_nlog = 0;
    ncr_test_log[0] = '\0';
    open = 0;

    for ( /* void */ ; len; len -= piece, bytes += piece) {

        piece = ncr_min(n, len);
        last = ncr_test_chunk + NCR_TEST_INPUT;
        p = last - piece;
        memcpy(p, bytes, piece);

        do {
            event = ncr_ws_next(&ncr_test_ws, &p, last);

            if ((event == NCR_WS_DATA || event == NCR_WS_MESSAGE) && !open) {
                open = 1;
                ncr_test_write(ncr_test_ws.opcode == NCR_WS_TEXT ? "T" : "B",
                               1);
            }

            switch (event) {

            case NCR_WS_DATA:
                ncr_test_write(ncr_test_ws.data.data, ncr_test_ws.data.len);
                break;

            case NCR_WS_MESSAGE:
                ncr_test_write(". ", 2);
                open = 0;
                break;

            case NCR_WS_FRAME:

                if (ncr_test_ws.opcode == NCR_WS_CLOSE) {
                    ncr_test_write(text, (size_t) snprintf(text, sizeof(text),
                                        "C%d:", (int) ncr_test_ws.code));

                    if (ncr_test_ws.ncontrol > 2) {
                        ncr_test_write(ncr_test_ws.control + 2,
                                       ncr_test_ws.ncontrol - 2);
                    }

                } else {
                    ncr_test_write(text, (size_t) snprintf(text, sizeof(text),
                        "%c%d:", ncr_test_ws.opcode == NCR_WS_PING ? 'P' : 'O',
                        (int) ncr_test_ws.ncontrol));
                    ncr_test_write(ncr_test_ws.control, ncr_test_ws.ncontrol);
                }

                ncr_test_write(" ", 1);
                break;

            case NCR_WS_BAD:
                ncr_test_write(text, (size_t) snprintf(text, sizeof(text),
                               "!%d ", (int) ncr_test_ws.code));
                break;

            case NCR_WS_MORE:
                break;
            }

        } while (event != NCR_WS_MORE);
    }
}


static void
ncr_test_frames(void)
{
    char             name[128];
    size_t           i, n;
    ncr_test_row_t  *r;

    static size_t  pieces[] = { NCR_TEST_INPUT, 1, 2, 3, 7 };

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        r = &ncr_test_rows[i];

        for (n = 0; n < sizeof(pieces) / sizeof(pieces[0]); n++) {

            (void) snprintf(name, sizeof(name), "%s, by %d", r->name,
                            (int) pieces[n]);

            ncr_test_feed(r->masked, r->max, r->bytes, r->len, pieces[n]);

            if (r->log) {
                ncr_test(strcmp(ncr_test_log, r->log) == 0, name);

            } else {

                /* how much was told before depends on the pieces */

                ncr_test(strstr(ncr_test_log, "!1007 ") != NULL, name);
            }
        }
    }
}


/* what is written here is read there */

static void
ncr_test_round(void)
{
    size_t       i, n, len, head;
    ncr_char_t  *p;

    static size_t      lengths[] = { 0, 1, 7, 8, 9, 125, 126, 127, 65535,
                                     65536, 100000 };
    static ncr_char_t  buf[NCR_TEST_INPUT], mask[4] = { 1, 0x80, 0xff, 7 };

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {

        len = lengths[i];

        head = ncr_ws_head(buf, NCR_WS_TEXT, len, mask);
        ncr_test(head <= NCR_WS_HEAD, "a head's length");

        for (n = 0; n < len; n++) {
            buf[head + n] = (ncr_char_t) ('a' + n % 26);
        }

        ncr_ws_mask(buf + head, len, mask);
        ncr_test_feed(1, len, (char *) buf, head + len, 1000);

        ncr_test(ncr_test_nlog == len + 3 && ncr_test_log[0] == 'T'
                 && (len == 0 || ncr_test_log[len] == (char) ('a' + (len - 1)
                                                              % 26)),
                 "a masked frame that was made here");

        head = ncr_ws_head(buf, NCR_WS_TEXT, len, NULL);
        memset(buf + head, 'x', len);
        ncr_test_feed(0, len, (char *) buf, head + len, 333);

        ncr_test(ncr_test_nlog == len + 3, "a frame that was made here");
        ncr_test(ncr_ws_boundary(&ncr_test_ws), "and behind it, a boundary");
    }

    n = ncr_ws_close(buf + 2, NCR_WS_POLICY, "no");
    ncr_test(ncr_ws_head(buf, NCR_WS_CLOSE, n, NULL) == 2, "a close's head");
    ncr_test_feed(0, 0, (char *) buf, n + 2, 100);
    ncr_test(strcmp(ncr_test_log, "C1008:no ") == 0, "a close");

    memset(buf, 'x', 1000);
    buf[1000] = '\0';
    p = buf + 2000;
    ncr_test(ncr_ws_close(p, 1000, (char *) buf) == NCR_WS_CONTROL,
             "a reason is cut");
}


static void
ncr_test_boundary(void)
{
    ncr_char_t  *p, *last;

    static ncr_char_t  bytes[] = "\x01\x01" "a\x80\x01" "b\x89\x00";

    ncr_ws_init(&ncr_test_ws);
    ncr_test(ncr_ws_boundary(&ncr_test_ws), "at the beginning");

    p = bytes;
    last = bytes + 1;
    (void) ncr_ws_next(&ncr_test_ws, &p, last);
    ncr_test(!ncr_ws_boundary(&ncr_test_ws), "not in a head");

    last = bytes + 3;
    (void) ncr_ws_next(&ncr_test_ws, &p, last);
    (void) ncr_ws_next(&ncr_test_ws, &p, last);
    ncr_test(!ncr_ws_boundary(&ncr_test_ws), "not between fragments");

    last = bytes + 6;
    (void) ncr_ws_next(&ncr_test_ws, &p, last);
    ncr_test(ncr_ws_next(&ncr_test_ws, &p, last) == NCR_WS_MESSAGE
             && ncr_ws_boundary(&ncr_test_ws), "behind a message");
}


int
main(void)
{
    ncr_test_frames();
    ncr_test_round();
    ncr_test_boundary();

    return ncr_test_done();
}
