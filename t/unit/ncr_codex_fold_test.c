
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_codex_fold.c"
#include "ncr_test.h"

#include <stdlib.h>


typedef struct {
    ncr_uint_t   n;
    char         text[8192];
} ncr_test_out_t;


#define E(type, rest)                                                         \
    "event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":1"     \
    rest "}\n\n"

#define NCR_TEST_BEGIN                                                        \
    E("response.created", ",\"response\":{\"id\":\"r\",\"output\":[]}")       \
    E("response.in_progress", ",\"response\":{\"id\":\"r\",\"output\":[]}")

#define NCR_TEST_END(output)                                                  \
    E("response.completed", ",\"response\":{\"id\":\"r\",\"output\":" output  \
      ",\"status\":\"completed\",\"usage\":{\"input_tokens\":3}}")


static ncr_int_t
ncr_test_write(void *data, ncr_char_t *p, size_t len)
{
    ncr_test_out_t *out = data;

    if (out->n + len >= sizeof(out->text)) {
        return NCR_ERROR;
    }

    memcpy(out->text + out->n, p, len);
    out->n += len;
    out->text[out->n] = '\0';

    return NCR_OK;
}


/* fed in pieces of n bytes, each in memory of its own */

static ncr_int_t
ncr_test_fold(const char *text, size_t n, ncr_test_out_t *out)
{
    size_t             len, k;
    ncr_int_t          rc;
    ncr_str_t          model;
    ncr_char_t        *p;
    ncr_codex_fold_t   f;

    out->n = 0;
    out->text[0] = '\0';
    ncr_str_set(&model, "m");

    ncr_codex_translation.init(&f, NCR_OP_RESPONSES, &model);

    rc = NCR_OK;

    for (len = strlen(text); len && rc == NCR_OK; len -= k, text += k) {
        k = ncr_min(n, len);

        p = malloc(k);
        memcpy(p, text, k);
        rc = ncr_codex_translation.feed(&f, p, k, ncr_test_write, out);
        free(p);
    }

    if (rc == NCR_OK) {
        rc = ncr_codex_translation.end(&f, ncr_test_write, out);
    }

    return rc;
}


static void
ncr_test_same(const char *text, const char *wanted, const char *name)
{
    size_t           n;
    ncr_uint_t       same;
    ncr_test_out_t   out;

    same = 1;

    for (n = 1; n <= strlen(text); n++) {
        if (ncr_test_fold(text, n, &out) != NCR_OK
            || strcmp(out.text, wanted) != 0)
        {
            printf("# %d: %s\n", (int) n, out.text);
            same = 0;
            break;
        }
    }

    ncr_test(same, name);
}


static void
ncr_test_bad(const char *text, const char *name)
{
    size_t           n;
    ncr_uint_t       bad;
    ncr_test_out_t   out;

    bad = 1;

    for (n = 1; n <= strlen(text); n++) {
        bad &= (ncr_test_fold(text, n, &out) == NCR_BAD);
    }

    ncr_test(bad, name);
}


static void
ncr_test_error(ncr_uint_t status, const char *body, const char *wanted,
    const char *name)
{
    ncr_out_t    out;
    ncr_char_t   buf[512];
    ncr_reply_t  reply;

    memset(&reply, 0, sizeof(reply));
    memset(buf, 0, sizeof(buf));

    reply.body.data = (ncr_char_t *) body;
    reply.body.len = strlen(body);
    reply.status = status;

    ncr_out_init(&out, buf, sizeof(buf) - 1);
    ncr_codex_translation.error(NCR_OP_RESPONSES, &reply, &out, &status);

    ncr_test(strcmp((char *) buf, wanted) == 0, name);

    if (strcmp((char *) buf, wanted) != 0) {
        printf("# %s\n", (char *) buf);
    }
}


int
main(void)
{
    ncr_str_t  type, client;

    ncr_test_same(
        NCR_TEST_BEGIN
        E("response.output_item.added", ",\"item\":{\"id\":\"no\"}")
        E("response.output_item.done", ",\"output_index\":0,\"item\":"
          "{\"id\":\"a\",\"content\":[{\"text\":\"\\\"x\\\" {\"}]}")
        E("response.output_text.delta", ",\"delta\":\"x\"")
        E("response.output_item.done", ",\"item\":{\"id\":\"b\"}"
          ",\"output_index\":1")
        NCR_TEST_END("[]"),
        "{\"output\":[{\"id\":\"a\",\"content\":[{\"text\":\"\\\"x\\\" {\"}]}"
        ",{\"id\":\"b\"}],\"id\":\"r\",\"status\":\"completed\","
        "\"usage\":{\"input_tokens\":3}}",
        "I9: output of items, cut anywhere");

    ncr_test_same(NCR_TEST_BEGIN NCR_TEST_END("[{\"id\":\"c\"}]"),
        "{\"id\":\"r\",\"output\":[{\"id\":\"c\"}],\"status\":\"completed\","
        "\"usage\":{\"input_tokens\":3}}",
        "output of the last event, if there were no items");

    ncr_test_same(NCR_TEST_BEGIN
        E("response.output_item.done", ",\"item\":{\"id\":\"a\"}")
        NCR_TEST_END("[{\"id\":\"a\"}]")
        E("response.output_item.done", ",\"item\":{\"id\":\"z\"}"),
        "{\"output\":[{\"id\":\"a\"}],\"id\":\"r\",\"status\":\"completed\","
        "\"usage\":{\"input_tokens\":3}}",
        "never twice, and nothing after the end");

    ncr_test_same(
        "data: {\"type\":\"response.output_item.done\",\"item\":{}}\r\n\r\n"
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":"
        "\"failed\",\"error\":{\"code\":\"x\"}}}\r\n\r\n",
        "{\"output\":[{}],\"status\":\"failed\",\"error\":{\"code\":\"x\"}}",
        "events without names");

    ncr_test_same(E("response.incomplete", ",\"response\":{}"), "{}",
                  "a response of nothing");

    ncr_test_bad(NCR_TEST_BEGIN, "I8: no last event");
    ncr_test_bad(NCR_TEST_BEGIN E("error", ",\"code\":\"x\""),
                 "I7: an error");
    ncr_test_bad(E("response.completed", ""), "no response");
    ncr_test_bad(E("response.output_item.done", ",\"item\":7"),
                 "no item");
    ncr_test_bad("event: response.completed\ndata: {\"response\":{]}\n\n",
                 "no JSON");

    ncr_str_set(&type, "text/event-stream; charset=utf-8");
    ncr_str_null(&client);

    ncr_test(ncr_codex_translation.needs(NCR_OP_RESPONSES, &type, &client)
             == sizeof(ncr_codex_fold_t)
             && ncr_str_eq(&client, "application/json"), "a stream needs it");
    ncr_test(ncr_codex_translation.needs(NCR_OP_COMPACT, &type, &client) == 0,
             "not of a compaction");

    ncr_str_set(&type, "application/json");
    ncr_test(ncr_codex_translation.needs(NCR_OP_RESPONSES, &type, &client)
             == 0, "nor JSON");

    ncr_test_error(400, "{\"detail\":\"Unsupported \\\"x\\\"\"}",
        "{\"error\":{\"message\":\"Unsupported \\\"x\\\"\",\"type\":"
        "\"invalid_request_error\",\"param\":null,\"code\":null}}",
        "I40: a detail is an error");
    ncr_test_error(429, "{\"detail\":{\"code\":\"c\",\"message\":\"m\"}}",
        "{\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\","
        "\"param\":null,\"code\":\"c\"}}",
        "I40: one with a code");
    ncr_test_error(402, "{\"detail\":{\"code\":\"c\"}}",
        "{\"error\":{\"message\":\"c\",\"type\":\"invalid_request_error\","
        "\"param\":null,\"code\":\"c\"}}",
        "I40: or a code alone");
    ncr_test_error(429, "{\"error\":{\"type\":\"usage_limit_reached\"}}", "",
                   "an error stays as it is");
    ncr_test_error(502, "<html>", "", "what is no JSON, too");
    ncr_test_error(500, "{\"detail\":[]}", "", "and what tells nothing");
    ncr_test_error(500, "{\"detail\":", "", "cut");

    return ncr_test_done();
}
