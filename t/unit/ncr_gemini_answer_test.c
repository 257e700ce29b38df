
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_gemini_answer.c"
#include "ncr_golden.h"


static ncr_gemini_answer_t  ncr_test_a;


static const ncr_golden_t  ncr_golden = {
    "gemini", &ncr_codec_gemini, &ncr_test_a.told, sizeof(ncr_test_a), NULL,
    NCR_OP_GENERATE
};


static void
ncr_test_errors(void)
{
    size_t        i;
    ncr_char_t    buf[512];
    ncr_out_t     out;
    ncr_str_t     message, id, name;

    static const struct {
        ncr_uint_t   status;
        const char  *name;
    } names[] = {
        { 400, "INVALID_ARGUMENT" }, { 401, "UNAUTHENTICATED" },
        { 403, "PERMISSION_DENIED" }, { 404, "NOT_FOUND" },
        { 429, "RESOURCE_EXHAUSTED" }, { 499, "CANCELLED" },
        { 500, "INTERNAL" }, { 503, "UNAVAILABLE" },
        { 504, "DEADLINE_EXCEEDED" }
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        name.data = (ncr_char_t *) names[i].name;
        name.len = strlen(names[i].name);

        ncr_test(strcmp(ncr_gemini_status_name(names[i].status),
                        names[i].name) == 0
                 && ncr_gemini_status(&name) == names[i].status,
                 names[i].name);
    }

    ncr_str_set(&name, "rate_limit_error");
    ncr_test(ncr_gemini_status(&name) == 0, "another dialect's name");

    ncr_test(strcmp(ncr_gemini_status_name(413), "INVALID_ARGUMENT") == 0
             && strcmp(ncr_gemini_status_name(529), "UNAVAILABLE") == 0
             && strcmp(ncr_gemini_status_name(599), "INTERNAL") == 0,
             "statuses that Google has no name for");

    ncr_str_set(&message, "say \"no\"");
    ncr_str_set(&id, "");
    ncr_out_init(&out, buf, sizeof(buf));
    ncr_gemini_error(&out, 429, &message, &id);
    *out.last = '\0';

    ncr_test(strcmp((char *) buf, "{\"error\":{\"code\":429,\"message\":"
                    "\"say \\\"no\\\"\",\"status\":\"RESOURCE_EXHAUSTED\"}}")
             == 0, "an error of our own");

    ncr_str_set(&id, "abc");
    ncr_out_init(&out, buf, sizeof(buf));
    ncr_gemini_error_event(&out, 504, &message, &id);
    *out.last = '\0';

    ncr_test(strcmp((char *) buf, "data: {\"error\":{\"code\":504,\"message\":"
                    "\"say \\\"no\\\"\",\"status\":\"DEADLINE_EXCEEDED\","
                    "\"details\":[{\"@type\":\"type.googleapis.com/"
                    "google.rpc.RequestInfo\",\"requestId\":\"abc\"}]}}\n\n")
             == 0, "an event of our own");

    /* and it is read as what it is */

    ncr_golden_begin();
    ncr_golden_piece(ncr_codec_gemini.stream_feed, (char *) buf,
                   (size_t) (out.last - out.start));

    ncr_test(ncr_test_a.told.state == NCR_ANSWER_FAILED
             && strcmp(ncr_test_a.told.error_type, "DEADLINE_EXCEEDED") == 0,
             "it is read as an error");
}


/* an image is one line of megabytes, of which nothing is kept */

static void
ncr_test_long(void)
{
    size_t        i, n;
    char         *text;
    const char   *head, *tail;

    head = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":"
           "{\"mimeType\":\"image/png\",\"data\":\"";
    tail = "\"}}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":"
           "{\"promptTokenCount\":3,\"candidatesTokenCount\":1290}}\n\n";

    n = 1024 * 1024;
    text = malloc(n);
    memset(text, 'A', n);

    ncr_golden_begin();
    ncr_golden_piece(ncr_codec_gemini.stream_feed, head, strlen(head));

    for (i = 0; i < n; i += 65536) {
        ncr_golden_piece(ncr_codec_gemini.stream_feed, text + i, 65536);
    }

    ncr_golden_piece(ncr_codec_gemini.stream_feed, tail, strlen(tail));

    ncr_test(ncr_test_a.told.state == NCR_ANSWER_COMPLETE
             && ncr_test_a.told.usage.output == 1290,
             "an event of a megabyte");

    free(text);
}


/* the table is in the order of lengths, and each name is found */

static void
ncr_test_words(void)
{
    size_t             bad;
    ncr_str_t          s;
    const ncr_name_t  *name;

    bad = 0;

    for (name = ncr_gemini_words; name->name.data; name++) {
        s = name->name;
        bad += (ncr_name_lookup(ncr_gemini_words, &s, 100) != name->value);
        bad += (name[1].name.len < name->name.len);
    }

    ncr_test(bad == 0, "words are found");
}


int
main(void)
{
    ncr_golden_files();
    ncr_test_errors();
    ncr_test_long();
    ncr_test_words();

    return ncr_test_done();
}
