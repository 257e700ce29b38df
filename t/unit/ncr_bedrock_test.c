
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_bedrock_events.c"
#include "../../src/platform/ncr_bedrock_model.c"
#include "../../src/platform/ncr_bedrock_answer.c"
#include "ncr_test.h"
#include "ncr_frames.h"

#include <stdlib.h>


#define NCR_TEST_ROOM  (512 * 1024)


static ncr_char_t            ncr_test_buf[16 * 1024];
static ncr_out_t             ncr_test_made;
static ncr_char_t           *ncr_test_text;
static ncr_bedrock_events_t  ncr_test_ev;


static ncr_int_t
ncr_test_write(void *data, ncr_char_t *p, size_t len)
{
    ncr_out_bytes(data, p, len);

    return NCR_OK;
}


static void
ncr_test_begin(size_t size)
{
    ncr_out_init(&ncr_test_made, ncr_test_text, NCR_TEST_ROOM);
    ncr_bedrock_events_init(&ncr_test_ev, ncr_test_buf, size, ncr_test_write,
                            &ncr_test_made);
}


static ncr_int_t
ncr_test_feed(ncr_char_t *p, size_t len, size_t step)
{
    size_t      n;
    ncr_int_t   rc;
    ncr_char_t  *copy;

    rc = NCR_OK;

    for ( /* void */ ; len && rc == NCR_OK; p += n, len -= n) {
        n = ncr_min(step, len);
        copy = malloc(n);
        memcpy(copy, p, n);
        rc = ncr_bedrock_events_feed(&ncr_test_ev, copy, n);
        free(copy);
    }

    return rc;
}


static ncr_uint_t
ncr_test_is(const char *text)
{
    return !ncr_test_made.overflow
           && (size_t) (ncr_test_made.last - ncr_test_made.start)
              == strlen(text)
           && memcmp(ncr_test_made.start, text, strlen(text)) == 0;
}


/* a frame whose payload is text */

static size_t
ncr_test_frame(ncr_char_t *buf, size_t size, const char *type,
    const char *text, size_t len)
{
    size_t     begin;
    ncr_out_t  out;
    ncr_str_t  value;

    ncr_out_init(&out, buf, size);
    begin = ncr_eventstream_begin(&out);

    value.data = (ncr_char_t *) type;
    value.len = strlen(type);
    ncr_eventstream_string(&out, ":event-type", &value);

    ncr_str_set(&value, "event");
    ncr_eventstream_string(&out, ":message-type", &value);

    value.data = (ncr_char_t *) text;
    value.len = len;
    ncr_eventstream_end(&out, begin, &value);

    return out.overflow ? 0 : (size_t) (out.last - out.start);
}


/* the payload of a chunk of an event */

static size_t
ncr_test_chunk(ncr_char_t *buf, const char *event, const char *before,
    const char *behind)
{
    ncr_char_t  *p;

    p = buf + sprintf((char *) buf, "{%s\"bytes\":\"", before);
    p = ncr_bedrock_base64(p, (const ncr_char_t *) event, strlen(event));
    p += sprintf((char *) p, "\"%s}", behind);

    return (size_t) (p - buf);
}


static ncr_int_t
ncr_test_event(const char *event, const char *before, const char *behind,
    size_t step)
{
    size_t       n;
    ncr_int_t    rc;
    ncr_char_t  *payload, *frame;

    payload = malloc(2 * strlen(event) + 256);
    frame = malloc(2 * strlen(event) + 512);

    n = ncr_test_chunk(payload, event, before, behind);
    n = ncr_test_frame(frame, 2 * strlen(event) + 512, "chunk",
                       (char *) payload, n);

    rc = ncr_test_feed(frame, n, step);

    free(payload);
    free(frame);

    return rc;
}


#define NCR_TEST_DELTA                                                        \
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"      \
    "\"text_delta\",\"text\":\"Hi\"}}"

#define NCR_TEST_F1                                                           \
    "event: content_block_delta\ndata: " NCR_TEST_DELTA "\n\n"

#define NCR_TEST_F3                                                           \
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"            \
    "\"rate_limit_error\",\"message\":\"Too many requests, please wait "      \
    "before trying again.\"}}\n\n"


static void
ncr_test_vectors(void)
{
    size_t       step;
    ncr_int_t    rc;
    ncr_char_t  *last;
    ncr_uint_t   ok;

    ok = 1;

    for (step = 1; step < 240; step++) {
        ncr_test_begin(sizeof(ncr_test_buf));
        rc = ncr_test_feed(ncr_frame_chunk, sizeof(ncr_frame_chunk), step);
        ok &= rc == NCR_OK && ncr_test_is(NCR_TEST_F1);
    }

    ncr_test(ok, "F082: F1 as an event, in pieces of each size");

    ncr_test_begin(sizeof(ncr_test_buf));
    rc = ncr_test_feed(ncr_frame_stop, sizeof(ncr_frame_stop), 1000);
    ncr_test(rc == NCR_OK
             && ncr_test_is("event: message_stop\ndata: {\"type\":"
                            "\"message_stop\"}\n\n"),
             "F082: F2 without its metrics");

    last = ncr_test_made.last;
    rc = ncr_test_feed(ncr_frame_exception, sizeof(ncr_frame_exception), 9);
    ncr_test_made.start = last;
    ncr_test(rc == NCR_OK && ncr_test_is(NCR_TEST_F3),
             "F082: F3 as an error");

    rc = ncr_test_feed(ncr_frame_chunk, sizeof(ncr_frame_chunk), 9);
    ncr_test(rc == NCR_OK && ncr_test_is(NCR_TEST_F3),
             "nothing follows an error");
}


static void
ncr_test_payloads(void)
{
    size_t       n;
    ncr_char_t   frame[256];
    ncr_uint_t   i, ok;

    static const char *const  bad[] = {
        "", "{}", "[]", "{\"bytes\":1}", "{\"bytes\":null}",
        "{\"bytes\":\"a\"}", "{\"bytes\":\"e30*\"}", "{\"bytes\":\"e30=e\"}",
        "{\"bytes\":\"e30=\"", "{\"bytes\":\"e30=\"}x",
        "{\"bytes\":\"e30=\",\"bytes\":\"e30=\"}", "{\"bytes\"",
        "{\"bytes\":\"e30=\n\"}", "nonsense", "{\"p\":\"e30=\"}"
    };

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event(NCR_TEST_DELTA, "\"p\":\"abc\", ", "", 1)
             == NCR_OK && ncr_test_is(NCR_TEST_F1),
             "padding in front");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event(NCR_TEST_DELTA,
                            "\"x\":{\"bytes\":\"}\\\"\",\"y\":[1,{}]},"
                            "\"n\":-1.5 , ",
                            ",\"z\":[true,\"]\"],\"t\":null", 3)
             == NCR_OK && ncr_test_is(NCR_TEST_F1),
             "other members are passed over");

    ok = 1;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        n = ncr_test_frame(frame, sizeof(frame), "chunk", bad[i],
                           strlen(bad[i]));
        ncr_test_begin(sizeof(ncr_test_buf));
        ok &= n && ncr_test_feed(frame, n, 500) == NCR_BAD
              && ncr_test_is("");

        if (!ok) {
            printf("# %s\n", bad[i]);
            break;
        }
    }

    ncr_test(ok, "payloads that cannot be read");

    n = ncr_test_frame(frame, sizeof(frame), "initial-response", "{}", 2);
    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_feed(frame, n, 500) == NCR_OK && ncr_test_is(""),
             "an event of another type is none");
}


static void
ncr_test_events(void)
{
    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("{\"index\":0,\"type\":\"content_block_stop\"}",
                            "", "", 500) == NCR_OK
             && ncr_test_is("event: content_block_stop\ndata: {\"index\":0,"
                            "\"type\":\"content_block_stop\"}\n\n"),
             "its type is found where it is");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("{\n \"type\":\r\n\"message_stop\"}", "", "", 500)
             == NCR_OK
             && ncr_test_is("event: message_stop\ndata: {  \"type\":  "
                            "\"message_stop\"}\n\n"),
             "lines of an event become one");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("{\"type\":\"a\\nevent: b\"}", "", "", 500)
             == NCR_OK
             && ncr_test_is("data: {\"type\":\"a\\nevent: b\"}\n\n"),
             "a type that is no name names nothing");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("{\"amazon-bedrock-invocationMetrics\":{\"a\":1},"
                            "\"type\":\"message_stop\"}", "", "", 500)
             == NCR_OK
             && ncr_test_is("event: message_stop\ndata: {\"type\":"
                            "\"message_stop\"}\n\n"),
             "metrics in front");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("{\"type\":\"message_stop\",\"amazon-bedrock-"
                            "invocationMetrics\":{\"a\":[1]},\"b\":2}",
                            "", "", 500)
             == NCR_OK
             && ncr_test_is("event: message_stop\ndata: {\"type\":"
                            "\"message_stop\",\"b\":2}\n\n"),
             "metrics between two members");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_event("[1]", "", "", 500) == NCR_OK
             && ncr_test_is("data: [1]\n\n"), "what is no object");
}


/* what does not fit is not held */

static void
ncr_test_long(void)
{
    size_t       len, at;
    ncr_int_t    rc;
    ncr_uint_t   ok;
    ncr_char_t   *last;
    char        *event, *text;

    event = malloc(NCR_TEST_ROOM);
    text = malloc(NCR_TEST_ROOM);
    ok = 1;

    for (len = 900; len < 1100; len++) {
        at = (size_t) sprintf(event, "{\"type\":\"content_block_delta\","
                                     "\"x\":\"");
        memset(event + at, 'x', len);
        strcpy(event + at + len, "\"}");

        sprintf(text, "event: content_block_delta\ndata: %s\n\n", event);

        ncr_test_begin(NCR_BEDROCK_LEAD + 1002);
        rc = ncr_test_event(event, "", "", 700);
        ok &= rc == NCR_OK && ncr_test_is(text);
    }

    ncr_test(ok, "events about the length of what is held");

    memset(event, ' ', 100000);
    memcpy(event, "{\"x\":[1],\"y\":{\"type\":\"no\"},", 27);
    strcpy(event + 100000, "\"type\":\"message_delta\"}");
    sprintf(text, "data: %s\nevent: message_delta\n\n", event);

    ncr_test_begin(NCR_BEDROCK_LEAD + 1002);
    rc = ncr_test_event(event, "", "", 333);
    ncr_test(rc == NCR_OK && ncr_test_is(text),
             "a type that comes late is told late");

    ncr_test_begin(NCR_BEDROCK_LEAD + 1002);
    (void) ncr_test_event(event, "", "", 333);
    last = ncr_test_made.last;
    rc = ncr_test_feed(ncr_frame_chunk, sizeof(ncr_frame_chunk), 500);
    ncr_test_made.start = last;
    ncr_test(rc == NCR_OK && ncr_test_is(NCR_TEST_F1),
             "the one behind it is as any other");

    free(event);
    free(text);
}


static void
ncr_test_broken(void)
{
    size_t      i;
    ncr_uint_t  ok;
    ncr_char_t  frame[sizeof(ncr_frame_chunk)];

    ok = 1;

    for (i = 0; i < sizeof(frame); i++) {
        memcpy(frame, ncr_frame_chunk, sizeof(frame));
        frame[i] ^= 1;

        ncr_test_begin(sizeof(ncr_test_buf));
        ok &= ncr_test_feed(frame, sizeof(frame), 500) == NCR_BAD
              && ncr_test_is("");
    }

    ncr_test(ok, "of a broken frame nothing goes out");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test(ncr_test_feed(ncr_frame_empty, sizeof(ncr_frame_empty), 5)
             == NCR_OK && ncr_test_is(""), "of an empty one neither");
}


static void
ncr_test_exceptions(void)
{
    size_t      begin, i;
    ncr_out_t   out;
    ncr_str_t   value, payload;
    ncr_uint_t  ok;
    ncr_char_t  buf[512];

    static const struct {
        const char  *name;
        const char  *type;
    } rows[] = {
        { "throttlingException", "rate_limit_error" },
        { "serviceUnavailableException", "overloaded_error" },
        { "internalServerException", "api_error" },
        { "modelTimeoutException", "timeout_error" },
        { "modelStreamErrorException", "api_error" },
        { "modelErrorException", "api_error" },
        { "validationException", "invalid_request_error" },
        { "accessDeniedException", "permission_error" },
        { "resourceNotFoundException", "not_found_error" },
        { "serviceQuotaExceededException", "invalid_request_error" },
        { "modelNotReadyException", "overloaded_error" },
        { "somethingElse", "api_error" }
    };

    ok = 1;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char  text[256];

        ncr_out_init(&out, buf, sizeof(buf));
        begin = ncr_eventstream_begin(&out);
        value.data = (ncr_char_t *) rows[i].name;
        value.len = strlen(rows[i].name);
        ncr_eventstream_string(&out, ":exception-type", &value);
        ncr_str_set(&value, "exception");
        ncr_eventstream_string(&out, ":message-type", &value);
        ncr_str_set(&payload, "{\"message\":\"a \\\"b\\\"\\u00e9\"}");
        ncr_eventstream_end(&out, begin, &payload);

        ncr_test_begin(sizeof(ncr_test_buf));
        ok &= ncr_test_feed(buf, (size_t) (out.last - buf), 7) == NCR_OK;

        snprintf(text, sizeof(text), "event: error\ndata: {\"type\":\"error\""
                 ",\"error\":{\"type\":\"%s\",\"message\":\"a \\\"b\\\"\xc3"
                 "\xa9\"}}\n\n", rows[i].type);
        ok &= ncr_test_is(text);
    }

    ncr_test(ok, "I.6: exceptions, each as its type");

    ncr_out_init(&out, buf, sizeof(buf));
    begin = ncr_eventstream_begin(&out);
    ncr_str_set(&value, "error");
    ncr_eventstream_string(&out, ":message-type", &value);
    ncr_str_set(&value, "InternalError");
    ncr_eventstream_string(&out, ":error-code", &value);
    ncr_str_set(&value, "it broke");
    ncr_eventstream_string(&out, ":error-message", &value);
    ncr_str_set(&payload, "");
    ncr_eventstream_end(&out, begin, &payload);

    ncr_test_begin(sizeof(ncr_test_buf));
    (void) ncr_test_feed(buf, (size_t) (out.last - buf), 7);
    ncr_test(ncr_test_is("event: error\ndata: {\"type\":\"error\",\"error\":"
                         "{\"type\":\"api_error\",\"message\":\"it broke\"}}"
                         "\n\n"), "an error that has no model");
}


static ncr_uint_t
ncr_test_id(const char *model, const char *prefix, const char *id)
{
    ncr_out_t   out;
    ncr_str_t   m, p;
    ncr_char_t  buf[1024];

    m.data = (ncr_char_t *) model;
    m.len = strlen(model);
    p.data = (ncr_char_t *) prefix;
    p.len = strlen(prefix);

    ncr_out_init(&out, buf, sizeof(buf));

    if (ncr_bedrock_id(&out, &m, &p) != NCR_OK) {
        return id == NULL;
    }

    if (id == NULL || (size_t) (out.last - buf) != strlen(id)
        || memcmp(buf, id, strlen(id)) != 0)
    {
        printf("# %.*s\n", (int) (out.last - buf), buf);
        return 0;
    }

    return 1;
}


static ncr_uint_t
ncr_test_bare(const char *id, const char *bare)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) id;
    s.len = strlen(id);
    s = ncr_bedrock_bare(&s);

    return ncr_test_str(s, bare);
}


static void
ncr_test_models(void)
{
    ncr_test(ncr_test_id("claude-opus-4-6", "global",
                         "global.anthropic.claude-opus-4-6-v1")
             && ncr_test_id("claude-opus-4-6-20260205", "global",
                            "global.anthropic.claude-opus-4-6-v1")
             && ncr_test_id("claude-sonnet-4-6", "us",
                            "us.anthropic.claude-sonnet-4-6")
             && ncr_test_id("claude-sonnet-4-5", "eu",
                            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0")
             && ncr_test_id("claude-sonnet-4-5-20250929", "none",
                            "anthropic.claude-sonnet-4-5-20250929-v1:0")
             && ncr_test_id("claude-haiku-4-5", "us",
                            "us.anthropic.claude-haiku-4-5-20251001-v1:0")
             && ncr_test_id("claude-opus-4-1-20250805", "us",
                            "us.anthropic.claude-opus-4-1-20250805-v1:0")
             && ncr_test_id("claude-sonnet-4", "apac",
                            "apac.anthropic.claude-sonnet-4-20250514-v1:0")
             && ncr_test_id("claude-3-5-haiku-latest", "us",
                            "us.anthropic.claude-3-5-haiku-20241022-v1:0")
             && ncr_test_id("claude-3-5-sonnet-20240620", "none",
                            "anthropic.claude-3-5-sonnet-20240620-v1:0")
             && ncr_test_id("claude-opus-4-8", "jp",
                            "jp.anthropic.claude-opus-4-8")
             && ncr_test_id("claude-haiku-5-5", "us-gov",
                            "us-gov.anthropic.claude-haiku-5-5"),
             "F082: I.3, names as ids");

    ncr_test(ncr_test_id("us.anthropic.claude-sonnet-4-6", "eu",
                         "us.anthropic.claude-sonnet-4-6")
             && ncr_test_id("amazon.nova-pro-v1:0", "eu",
                            "amazon.nova-pro-v1:0")
             && ncr_test_id("arn:aws:bedrock:us-east-1:1:inference-profile/x",
                            "eu", "arn:aws:bedrock:us-east-1:1:"
                                  "inference-profile/x"),
             "an id stays");

    ncr_test(ncr_test_id("", "us", NULL) && ncr_test_id(".", "us", NULL)
             && ncr_test_id("..", "us", NULL)
             && ncr_test_id("a b", "us", NULL)
             && ncr_test_id("a\r\nb", "us", NULL)
             && ncr_test_id("\xc3\xa9", "us", NULL),
             "names that are no part of a path");

    ncr_test(ncr_test_bare("us.anthropic.claude-opus-5-5", "claude-opus-5-5")
             && ncr_test_bare("anthropic.claude-opus-4-6-v1",
                              "claude-opus-4-6")
             && ncr_test_bare("global.anthropic.claude-sonnet-4-5-20250929-"
                              "v1:0", "claude-sonnet-4-5-20250929")
             && ncr_test_bare("anthropic.claude-3-sonnet-20240229-v1:0:200k",
                              "claude-3-sonnet-20240229")
             && ncr_test_bare("arn:aws:bedrock:us-east-1:1:inference-profile/"
                              "eu.anthropic.claude-opus-4-8",
                              "claude-opus-4-8")
             && ncr_test_bare("amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0")
             && ncr_test_bare("claude-opus-5", "claude-opus-5")
             && ncr_test_bare("anthropic.", "anthropic."),
             "F082: the models of ids");
}


static void
ncr_test_error(void)
{
    ncr_out_t     out;
    ncr_reply_t   reply;
    ncr_uint_t    status;
    ncr_char_t    buf[512];
    ncr_limits_t  limits;

    memset(&reply, 0, sizeof(ncr_reply_t));
    memset(&limits, 0, sizeof(ncr_limits_t));

    reply.limits = &limits;
    reply.status = 429;
    strcpy(limits.claim, "ModelNotReadyException");
    ncr_str_set(&reply.body, "{\"message\":\"wait\\n\"}");

    ncr_out_init(&out, buf, sizeof(buf));
    status = reply.status;
    ncr_bedrock_translation.error(NCR_OP_MESSAGES, &reply, &out, &status);
    *out.last = '\0';
    ncr_test(status == 529
             && strcmp((char *) buf,
                       "{\"type\":\"error\",\"error\":{\"type\":"
                       "\"overloaded_error\",\"message\":\"wait\\n\"}}") == 0,
             "I.6: an error by the name of its class");

    limits.claim[0] = '\0';
    reply.status = 424;
    status = 424;
    ncr_str_set(&reply.body, "<html>");
    ncr_out_init(&out, buf, sizeof(buf));
    ncr_bedrock_translation.error(NCR_OP_MESSAGES, &reply, &out, &status);
    ncr_test(status == 500 && out.last > out.start, "or by its status");

    ncr_out_init(&out, buf, sizeof(buf));
    status = 424;
    ncr_bedrock_translation.error(NCR_OP_INVOKE, &reply, &out, &status);
    ncr_test(status == 424 && out.last == out.start,
             "a client of Bedrock's gets it as it came");
}


static void
ncr_test_counts(void)
{
    size_t      size;
    void       *state;
    ncr_str_t   type, client;

    ncr_str_set(&type, "application/json");
    size = ncr_bedrock_translation.needs(NCR_OP_COUNT_TOKENS, &type, &client);
    state = malloc(size);

    ncr_out_init(&ncr_test_made, ncr_test_text, NCR_TEST_ROOM);
    ncr_bedrock_translation.init(state, NCR_OP_COUNT_TOKENS, &type);
    ncr_test(ncr_bedrock_translation.feed(state, (ncr_char_t *)
                                          "{\"inputTo", 9, ncr_test_write,
                                          &ncr_test_made) == NCR_OK
             && ncr_bedrock_translation.feed(state, (ncr_char_t *)
                                             "kens\":42}", 9, ncr_test_write,
                                             &ncr_test_made) == NCR_OK
             && ncr_bedrock_translation.end(state, ncr_test_write,
                                            &ncr_test_made) == NCR_OK
             && ncr_test_is("{\"input_tokens\":42}"), "a count of tokens");
    free(state);

    ncr_test(ncr_bedrock_translation.needs(NCR_OP_MESSAGES, &type, &client)
             == 0
             && ncr_bedrock_translation.needs(NCR_OP_INVOKE_STREAM, &type,
                                              &client) == 0,
             "a message is one already");
}


int
main(void)
{
    ncr_test_text = malloc(NCR_TEST_ROOM);

    ncr_test_vectors();
    ncr_test_payloads();
    ncr_test_events();
    ncr_test_long();
    ncr_test_broken();
    ncr_test_exceptions();
    ncr_test_models();
    ncr_test_error();
    ncr_test_counts();

    free(ncr_test_text);

    return ncr_test_done();
}
