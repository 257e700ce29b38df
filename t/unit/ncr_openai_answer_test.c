
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_openai_answer.c"
#include "../../src/codec/ncr_openai_error.c"
#include "../../src/codec/ncr_openai_codec.c"
#include "ncr_golden.h"


static ncr_openai_answer_t  ncr_test_a;


static const ncr_golden_t  ncr_golden = {
    "openai", &ncr_codec_openai, &ncr_test_a.told, sizeof(ncr_test_a), NULL,
    NCR_OP_RESPONSES
};


/* the tables are in the order of lengths, and each name is found */

static void
ncr_test_words(void)
{
    size_t             len, bad;
    ncr_str_t          s;
    ncr_char_t         other[64];
    const ncr_name_t  *name;

    bad = 0;

    for (name = ncr_openai_keys; name->name.data; name++) {
        s = name->name;
        bad += (ncr_name_lookup(ncr_openai_keys, &s, 100) != name->value);
        bad += (name[1].name.len < name->name.len);
    }

    for (name = ncr_openai_events; name->name.data; name++) {
        s = name->name;
        bad += (ncr_openai_event(&s) != name->value);
        bad += (name[1].name.len < name->name.len);
    }

    memset(other, 'e', sizeof(other));
    s.data = other;

    for (len = 0; len <= sizeof(other); len++) {
        s.len = len;

        bad += (ncr_name_lookup(ncr_openai_keys, &s, 100) != 100);
        bad += (ncr_openai_event(&s) != NCR_OPENAI_EV_OTHER);
    }

    ncr_test(bad == 0, "words are found");
}


static const ncr_golden_body_t  ncr_test_bodies[] = {

    { "F170: a body of Chat",
      "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,"
      "\"model\":\"gpt-5.5\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
      "\"assistant\",\"content\":\"{\\\"usage\\\":1}\",\"finish_reason\":"
      "\"no\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
      "\"completion_tokens\":5,\"total_tokens\":14,\"prompt_tokens_details\":{"
      "\"cached_tokens\":4}},\"service_tier\":\"flex\"}",
      "state=complete\nid=chatcmpl-1\nmodel=gpt-5.5\nstop_reason=stop\n"
      "input=5\ncache_read=4\noutput=5\nservice_tier=flex\n" },

    { "F170: a body of Responses",
      "{\"usage\":{\"output_tokens_details\":{\"reasoning_tokens\":3,"
      "\"cached_tokens\":99},\"output_tokens\":5,\"input_tokens\":9,"
      "\"input_tokens_details\":{\"reasoning_tokens\":99,\"cached_tokens\":4}},"
      "\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\","
      "\"error\":null,\"model\":\"gpt-5.5\",\"output\":[{\"id\":\"msg_9\","
      "\"model\":\"no\",\"status\":\"x\"}]}",
      "state=complete\nid=resp_1\nmodel=gpt-5.5\nstop_reason=completed\n"
      "input=5\ncache_read=4\noutput=5\nthinking=3\n" },

    { "an incomplete one",
      "{\"id\":\"resp_1\",\"status\":\"incomplete\",\"incomplete_details\":{"
      "\"reason\":\"content_filter\"},\"error\":null}",
      "state=complete\nstop_reason=content_filter\nhas_usage=0\n" },

    { "a failed one",
      "{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":"
      "\"server_error\",\"message\":\"m\"},\"usage\":null}",
      "state=failed\nerror_type=server_error\nerror_message=m\n" },

    { "F012: a compaction",
      "{\"id\":\"resp_c\",\"object\":\"response.compaction\",\"output\":[{"
      "\"type\":\"compaction\",\"encrypted_content\":\"gAAAA\"}],"
      "\"created_at\":1,\"usage\":{\"input_tokens\":50,\"output_tokens\":6,"
      "\"total_tokens\":56}}",
      "state=complete\nid=resp_c\ninput=50\noutput=6\nmodel=\n"
      "part=asked:50/6/0/0/0/0\n" },

    { "embeddings",
      "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
      "\"embedding\":[0.1,-2e-5,{\"usage\":{\"prompt_tokens\":4}}]}],\"model\":"
      "\"text-embedding-3-small\",\"usage\":{\"prompt_tokens\":8,"
      "\"total_tokens\":8}}",
      "state=complete\nmodel=text-embedding-3-small\ninput=8\noutput=0\n" },

    { "counted tokens are not used",
      "{\"object\":\"response.input_tokens\",\"input_tokens\":11}",
      "state=complete\nhas_usage=0\ninput=0\n" },

    { "an error", "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":"
      "null,\"code\":\"c\"}}", "state=failed\nerror_type=c\n" },

    { "a detail alone", "{\"detail\":\"no \\\"x\\\"\"}",
      "state=failed\nerror_message=no \"x\"\n" },

    { "a body that is cut", "{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":9",
      "state=started\nid=resp_1\n" },

    { "no JSON", "<html>", "state=nothing\n" },

    { NULL, NULL, NULL }
};


/* messages of a WebSocket: each is an event, in pieces as they may come */

static void
ncr_test_events(void)
{
    size_t       i, n;
    const char  *p;

    static const char  *events[] = {
        "{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}",
        "{\"type\":\"response.output_text.delta\",\"delta\":\"x\"}",
        "{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\","
        "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}",
        NULL
    };

    ncr_golden_begin();
    ncr_openai_event_end(&ncr_test_a);

    for (n = 0; events[n]; n++) {

        for (p = events[n]; *p; p += i) {
            i = ncr_min(strlen(p), 7);
            ncr_openai_event_feed(&ncr_test_a, (ncr_char_t *) p, i);
        }

        ncr_openai_event_end(&ncr_test_a);

        ncr_test(ncr_test_a.told.state
                 == (n == 0 ? NCR_ANSWER_NOTHING
                            : n == 1 ? NCR_ANSWER_STARTED
                                     : NCR_ANSWER_COMPLETE),
                 "events without a stream");
    }

    ncr_test(ncr_test_a.told.usage.input == 3
             && ncr_test_a.told.usage.output == 2, "and their usage");
}


static ncr_uint_t
ncr_test_wrote(ncr_out_t *out, const char *text)
{
    return !out->overflow && (size_t) (out->last - out->start) == strlen(text)
           && memcmp(out->start, text, strlen(text)) == 0;
}


static void
ncr_test_errors(void)
{
    char        told[NCR_GOLDEN_TOLD];
    ncr_out_t   out;
    ncr_str_t   message, id;
    ncr_char_t  buf[512];

    static const char  events[] =
        "event: response.created\ndata: {}\n\n"
        "event: response.output_text.delta\ndata: {}\n\n";

    ncr_str_set(&message, "no \"such\"");
    ncr_str_set(&id, "req_1");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_codec_openai.error(&out, 404, &message, &id);

    ncr_test(ncr_test_wrote(&out,
             "{\"error\":{\"message\":\"no \\\"such\\\"\",\"type\":"
             "\"invalid_request_error\",\"param\":null,\"code\":null}}"),
             "an error of ours");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_codec_openai.error(&out, 429, &message, &id);

    ncr_test(ncr_test_wrote(&out,
             "{\"error\":{\"message\":\"no \\\"such\\\"\",\"type\":"
             "\"rate_limit_error\",\"param\":null,\"code\":"
             "\"rate_limit_exceeded\"}}"), "a limit of ours");

    ncr_golden_whole(ncr_codec_openai.stream_feed, events,
                     sizeof(events) - 1, told);

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_codec_openai.error_event(&ncr_test_a.told, &out, 500, &message, &id);

    ncr_test(ncr_test_wrote(&out,
             "event: error\ndata: {\"type\":\"error\",\"code\":"
             "\"server_error\",\"message\":\"no \\\"such\\\"\",\"param\":null,"
             "\"sequence_number\":2}\n\n"), "an event of Responses");

    ncr_test_a.op = NCR_OP_CHAT;

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_codec_openai.error_event(&ncr_test_a.told, &out, 504, &message, &id);

    ncr_test(ncr_test_wrote(&out,
             "data: {\"error\":{\"message\":\"no \\\"such\\\"\",\"type\":"
             "\"server_error\",\"param\":null,\"code\":\"timeout\"}}\n\n"),
             "an event of Chat");

    /* they are read as errors */

    ncr_golden_whole(ncr_codec_openai.stream_feed, (char *) buf,
                   (size_t) (out.last - out.start), told);
    ncr_test(ncr_test_a.told.state == NCR_ANSWER_FAILED
             && strcmp(ncr_test_a.told.error_type, "timeout") == 0,
             "an event of ours is read");
}


int
main(void)
{
    ncr_golden_files();
    ncr_test_words();
    ncr_golden_bodies(ncr_test_bodies, "");
    ncr_test_events();
    ncr_test_errors();

    return ncr_test_done();
}
