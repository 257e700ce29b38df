
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_assist_unwrap.c"
#include "ncr_test.h"

#include <stdlib.h>


typedef struct {
    const char         *name;
    ncr_assist_form_e   form;
    const char         *in;
    const char         *out;
    ncr_int_t           rc;
} ncr_test_row_t;


static char          ncr_test_out[4096];
static size_t        ncr_test_len;
static ncr_uint_t    ncr_test_full;


static ncr_test_row_t  ncr_test_rows[] = {

    { "F015: a body", NCR_ASSIST_BODY,
      "{\"response\":{\"candidates\":[ 1,\"\\u00e9}\"]} ,\"traceId\":\"t\"}",
      "{\"candidates\":[ 1,\"\\u00e9}\"]}", NCR_OK },

    { "the trace comes first", NCR_ASSIST_BODY,
      "{\"traceId\":\"t\", \"response\": {\"a\":{\"response\":{}}}}\n",
      "{\"a\":{\"response\":{}}}", NCR_OK },

    { "a name inside of other members", NCR_ASSIST_BODY,
      "{\"x\":{\"response\":{\"no\":1}},\"y\":[{\"response\":{}}],"
      "\"response\":{\"yes\":1}}",
      "{\"yes\":1}", NCR_OK },

    { "twice: the first one", NCR_ASSIST_BODY,
      "{\"response\":{\"a\":1},\"response\":{\"b\":2}}",
      "{\"a\":1}", NCR_OK },

    { "null, then none", NCR_ASSIST_BODY,
      "{\"response\":null,\"x\":{\"c\":1}}", "{}", NCR_OK },

    { "no response", NCR_ASSIST_BODY, "{\"traceId\":\"t\"}", "{}", NCR_OK },

    { "an error in a 200", NCR_ASSIST_BODY, "{\"error\":{\"code\":429}}",
      "{\"error\":{\"code\":429}}", NCR_OK },

    { "a body that is cut", NCR_ASSIST_BODY, "{\"response\":{\"a\":1",
      "{\"a\":1", NCR_BAD },

    { "a body that is none", NCR_ASSIST_BODY, "<html>", "", NCR_BAD },

    { "an empty body", NCR_ASSIST_BODY, "", "", NCR_BAD },

    { "F015: events", NCR_ASSIST_EVENTS,
      "data: {\"response\":{\"a\":1},\"traceId\":\"t\"}\n\n"
      "data: {\"response\": {\"b\": \"x\\n\"}}\n\n",
      "data: {\"a\":1}\n\ndata: {\"b\": \"x\\n\"}\n\n", NCR_OK },

    { "CRLF, no space, no last blank line", NCR_ASSIST_EVENTS,
      "data:{\"response\":{\"a\":1}}\r\n\r\ndata:{\"response\":{}}",
      "data: {\"a\":1}\n\ndata: {}\n\n", NCR_OK },

    { "CR", NCR_ASSIST_EVENTS,
      "data: {\"response\":{\"a\":1}}\r\rdata: {\"response\":{}}\r\r",
      "data: {\"a\":1}\n\ndata: {}\n\n", NCR_OK },

    { "data on several lines", NCR_ASSIST_EVENTS,
      "data: {\ndata: \"response\": {\ndata:   \"a\": 1\r\ndata: }}\n\n",
      "data: {\ndata:   \"a\": 1\ndata: }\n\n", NCR_OK },

    { "other lines are of no use", NCR_ASSIST_EVENTS,
      ": hello\n\nevent: x\nid: 1\ndat: 1\ndatum\n"
      "data: {\"response\":{}}\nretry: 1\n\n",
      "data: {}\n\n", NCR_OK },

    { "credits alone are no event", NCR_ASSIST_EVENTS,
      "data: {\"response\":{\"a\":1}}\n\n"
      "data: {\"remainingCredits\":[{\"creditAmount\":\"5\"}]}\n\n",
      "data: {\"a\":1}\n\n", NCR_OK },

    { "an error event", NCR_ASSIST_EVENTS,
      "data: {\"response\":{}}\n\ndata: {\"error\":{\"code\":503}}\n\n",
      "data: {}\n\ndata: {\"error\":{\"code\":503}}\n\n", NCR_OK },

    { "an error in an array of one", NCR_ASSIST_EVENTS,
      "data: [{\"error\":{\"code\":503}}]\n\n",
      "data: {\"error\":{\"code\":503}}\n\n", NCR_OK },

    { "a stream that is cut in an event", NCR_ASSIST_EVENTS,
      "data: {\"response\":{\"a\":1", "data: {\"a\":1", NCR_BAD },

    { "an event that is cut by a blank line", NCR_ASSIST_EVENTS,
      "data: {\"response\":{\"a\":1\n\ndata: {\"response\":{}}\n\n",
      "data: {\"a\":1", NCR_BAD },

    { "an event that is no JSON", NCR_ASSIST_EVENTS, "data: [DONE]\n\n", "",
      NCR_BAD },

    { "no event", NCR_ASSIST_EVENTS, "", "", NCR_OK },

    { "F015: an array of events", NCR_ASSIST_ARRAY,
      "data: {\"response\":{\"a\":1}}\n\ndata: {\"response\":{\"b\":2}}\n\n"
      "data: {\"error\":{\"code\":500}}\n\n",
      "[{\"a\":1},\r\n{\"b\":2},\r\n{\"error\":{\"code\":500}}]", NCR_OK },

    { "an array of one, of several lines", NCR_ASSIST_ARRAY,
      "data: {\"response\":{\ndata: \"a\":1}}\n\n", "[{\n\"a\":1}]",
      NCR_OK },

    { "an array of none", NCR_ASSIST_ARRAY, "", "[]", NCR_OK },

    { NULL, 0, NULL, NULL, 0 }
};


static ncr_int_t
ncr_test_write(void *data, ncr_char_t *p, size_t len)
{
    if (ncr_test_full) {
        return NCR_ERROR;
    }

    if (len > sizeof(ncr_test_out) - ncr_test_len) {
        abort();
    }

    memcpy(ncr_test_out + ncr_test_len, p, len);
    ncr_test_len += len;

    return NCR_OK;
}


/* in two pieces, the second one byte by byte if each is set */

static ncr_int_t
ncr_test_run(ncr_test_row_t *row, size_t cut, ncr_uint_t each)
{
    size_t                n, len;
    ncr_int_t             rc;
    ncr_char_t           *piece;
    ncr_assist_unwrap_t   u;

    ncr_test_len = 0;
    len = strlen(row->in);

    ncr_assist_unwrap_init(&u, row->form);

    rc = NCR_OK;

    for (n = 0; n < len && rc == NCR_OK; n += cut, cut = each ? 1 : len - n) {

        /* of its own, where a sanitizer sees who reads beyond it */

        cut = ncr_min(cut, len - n);
        piece = malloc(cut ? cut : 1);
        memcpy(piece, row->in + n, cut);
        rc = ncr_assist_unwrap_feed(&u, piece, cut, ncr_test_write, NULL);
        free(piece);
    }

    if (rc == NCR_OK) {
        rc = ncr_assist_unwrap_end(&u, ncr_test_write, NULL);
    }

    return rc;
}


static ncr_uint_t
ncr_test_same(ncr_test_row_t *row, size_t cut, ncr_uint_t each)
{
    if (ncr_test_run(row, cut, each) != row->rc) {
        return 0;
    }

    /* of what is broken, more may have been written before */

    return ncr_test_len == strlen(row->out)
           && memcmp(ncr_test_out, row->out, ncr_test_len) == 0;
}


int
main(void)
{
    size_t                n;
    ncr_uint_t            same;
    ncr_test_row_t       *row;

    for (row = ncr_test_rows; row->name; row++) {

        same = ncr_test_same(row, strlen(row->in), 0);
        ncr_test(same, row->name);

        if (!same) {
            printf("# %.*s\n", (int) ncr_test_len, ncr_test_out);
        }

        for (n = 0; n < strlen(row->in); n++) {
            same &= ncr_test_same(row, n, 0);
            same &= ncr_test_same(row, n, 1);
        }

        ncr_test(same, "cut anywhere it is the same");
    }

    ncr_test_full = 1;

    ncr_test(ncr_test_run(&ncr_test_rows[0], 10, 0) == NCR_ERROR,
             "no memory for a body");

    for (row = ncr_test_rows; row->form != NCR_ASSIST_EVENTS; row++) {
        /* void */
    }

    ncr_test(ncr_test_run(row, 30, 0) == NCR_ERROR, "no memory for an event");

    return ncr_test_done();
}
