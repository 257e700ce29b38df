
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_anthropic_answer.c"
#include "ncr_golden.h"


static ncr_anthropic_answer_t  ncr_test_a;


static ncr_anthropic_reader_t *
ncr_test_take(void)
{
    return malloc(sizeof(ncr_anthropic_reader_t));
}


static void
ncr_test_give(ncr_anthropic_reader_t *reader)
{
    free(reader);
}


static ncr_anthropic_bill_t *
ncr_test_take_bill(void)
{
    return malloc(sizeof(ncr_anthropic_bill_t));
}


static void
ncr_test_give_bill(ncr_anthropic_bill_t *bill)
{
    free(bill);
}


static const ncr_anthropic_lender_t  ncr_test_lender = {
    ncr_test_take, ncr_test_give, ncr_test_take_bill, ncr_test_give_bill
};


static const ncr_golden_t  ncr_golden = {
    "anthropic", &ncr_codec_anthropic, &ncr_test_a.told, sizeof(ncr_test_a),
    &ncr_test_lender, NCR_OP_MESSAGES
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

    for (name = ncr_anthropic_words; name->name.data; name++) {
        s = name->name;
        bad += (ncr_anthropic_word(&s) != name->value);
        bad += (name[1].name.len < name->name.len);
    }

    for (name = ncr_anthropic_events; name->name.data; name++) {
        s = name->name;
        bad += (ncr_name_lookup(ncr_anthropic_events, &s, 100) != name->value);
        bad += (name[1].name.len < name->name.len);
    }

    memset(other, 'e', sizeof(other));
    s.data = other;

    for (len = 0; len <= sizeof(other); len++) {
        s.len = len;

        bad += (ncr_anthropic_word(&s) != NCR_ANTHROPIC_K_NONE);
        bad += (ncr_name_lookup(ncr_anthropic_events, &s, 100) != 100);
    }

    ncr_test(bad == 0, "words are found");
}


/* when a stream is seen to have begun */

static void
ncr_test_started(void)
{
    size_t       i;
    const char  *p;

    static const struct {
        const char             *text;
        ncr_answer_state_e   state;
    } rows[] = {
        { "event: message_start\ndata: {\"type\":\"message_start\",\"message\""
          ":{\"id\":\"msg_0123456789\"", NCR_ANSWER_STARTED },
        { "event: content_block_delta\ndata: {\"type\":\"x\"}\n",
          NCR_ANSWER_STARTED },
        { "data:{\"type\":\"message_start\"}\n", NCR_ANSWER_STARTED },
        { "data:{ \"type\" : \"message_start\"}\n", NCR_ANSWER_STARTED },
        { "event: new\ndata: {\"type\":\"new\"}\n", NCR_ANSWER_STARTED },
        { "event: ping\ndata: {\"type\":\"ping\"}\n\n",
          NCR_ANSWER_NOTHING },
        { "data:{\"type\":\"ping\"}\n\n", NCR_ANSWER_NOTHING },
        { "event: error\ndata: {\"type\":\"error\"}\n",
          NCR_ANSWER_NOTHING },
        { "event: message_start\n", NCR_ANSWER_NOTHING },
        { "event: message_start\n\n", NCR_ANSWER_NOTHING },
        { "data: \n\n", NCR_ANSWER_NOTHING },
        { "", NCR_ANSWER_NOTHING }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        p = rows[i].text;

        ncr_golden_begin();
        ncr_golden_piece(ncr_codec_anthropic.stream_feed, p, strlen(p));

        ncr_test(ncr_test_a.told.state == rows[i].state, "begun or not");

        if (ncr_test_a.told.state != rows[i].state) {
            printf("# row %d: %d\n", (int) i, (int) ncr_test_a.told.state);
        }
    }
}


static void
ncr_test_long(void)
{
    char    whole[NCR_GOLDEN_TOLD], other[NCR_GOLDEN_TOLD];
    char   *text;
    size_t  i, n, len;

    text = malloc(256 * 1024);

    /* events of any length are read to their ends */

    n = (size_t) sprintf(text, "event: message_start\ndata: {\"type\":"
                         "\"message_start\",\"message\":{\"id\":\"msg_1\","
                         "\"model\":\"m\",\"usage\":{\"input_tokens\":7},"
                         "\"diagnostics\":\"");

    memset(text + n, 'x', 100 * 1024);
    n += 100 * 1024;
    n += (size_t) sprintf(text + n, "\",\"usage\":{\"output_tokens\":2}}}\n\n"
                          "data: {\"type\":\"message_delta\",\"usage\":{"
                          "\"iterations\":[");

    for (i = 0; i < 100; i++) {
        n += (size_t) sprintf(text + n, "%s{\"type\":\"message\","
                              "\"input_tokens\":%d,\"output_tokens\":3}",
                              i ? "," : "", (int) i);
    }

    n += (size_t) sprintf(text + n, "]}}\n\n");
    n += (size_t) sprintf(text + n, "data: {\"type\":\"content_block_start\","
                          "\"index\":0,\"content_block\":{\"type\":"
                          "\"fallback\",\"to\":{\"model\":\"f\"}}}\n\n");

    ncr_golden_whole(ncr_codec_anthropic.stream_feed, text, n, whole);

    ncr_test(strcmp(ncr_test_a.told.id, "msg_1") == 0
             && strcmp(ncr_test_a.told.model, "f") == 0
             && ncr_test_a.told.usage.input == 4950
             && ncr_test_a.told.usage.output == 300
             && ncr_anthropic_boundary(&ncr_test_a),
             "long events");

    ncr_golden_begin();

    for (i = 0; i < n; i += len) {
        len = ncr_min(1000, n - i);
        ncr_golden_piece(ncr_codec_anthropic.stream_feed, text + i, len);
    }

    ncr_golden_told(other);

    ncr_test(strcmp(whole, other) == 0, "the same in pieces");

    /* longer than the names kept */

    n = (size_t) sprintf(text, "{\"id\":\"");
    memset(text + n, 'i', 3000);
    n += 3000;
    n += (size_t) sprintf(text + n, "\",\"model\":\"");
    memset(text + n, 'm', 3000);
    n += 3000;
    n += (size_t) sprintf(text + n, "\",\"stop_reason\":\"end_turn\"}");

    ncr_golden_whole(ncr_codec_anthropic.body_feed, text, n, whole);

    ncr_test(strlen(ncr_test_a.told.id) == NCR_ANTHROPIC_ID - 1
             && strlen(ncr_test_a.told.model) == NCR_MODEL_LEN - 1,
             "long names are cut");
    ncr_test(ncr_golden_cut(ncr_codec_anthropic.body_feed, text, n, whole),
             "the same in pieces");

    free(text);
}


static const ncr_golden_body_t  ncr_test_bodies[] = {
    { "a message",
      "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\","
      "\"model\":\"claude-opus-4-5\",\"content\":[{\"type\":\"text\","
      "\"text\":\"Hi\",\"usage\":{\"input_tokens\":99}}],\"stop_reason\":"
      "\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":58,"
      "\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":11,"
      "\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,"
      "\"ephemeral_1h_input_tokens\":20},\"output_tokens\":8,"
      "\"output_tokens_details\":{\"thinking_tokens\":3},"
      "\"server_tool_use\":{\"web_search_requests\":2,"
      "\"web_fetch_requests\":1},\"service_tier\":\"standard\","
      "\"speed\":\"fast\",\"inference_geo\":\"us\"}}",
      "inference_geo=us\nparts=1\npart=claude-opus-4-5:58/8/11/10/20/2\n"
      "state=complete\nid=msg_1\nmodel=claude-opus-4-5\nspeed=fast\n"
      "stop_reason=tool_use\nservice_tier=standard\nhas_usage=1\ninput=58\n"
      "output=8\ncache_read=11\ncache_write=30\ncache_write_5m=10\n"
      "cache_write_1h=20\nthinking=3\nweb_searches=2\nweb_fetches=1\n" },
    { "a message with iterations",
      "{\"usage\":{\"iterations\":[{\"type\":\"message\",\"input_tokens\":50,"
      "\"output_tokens\":0},{\"type\":\"fallback_message\",\"input_tokens\":"
      "50,\"output_tokens\":4}],\"input_tokens\":50,\"output_tokens\":4},"
      "\"stop_reason\":\"end_turn\"}",
      "state=complete\ninput=50\noutput=4\nparts=1\n"
      "part=asked:50/4/0/0/0/0\n" },
    { "a refusal without content",
      "{\"model\":\"m\",\"content\":[],\"stop_reason\":\"refusal\",\"usage\":"
      "{\"input_tokens\":50,\"output_tokens\":3}}",
      "input=50\noutput=3\nparts=1\npart=m:0/0/0/0/0/0\n" },
    { "a refusal with content",
      "{\"model\":\"m\",\"stop_reason\":\"refusal\",\"usage\":{"
      "\"input_tokens\":50,\"output_tokens\":3},\"content\":[{\"type\":"
      "\"text\",\"text\":\"\"}]}",
      "input=50\nparts=1\npart=m:50/3/0/0/0/0\n" },
    { "an answer without content that is no refusal",
      "{\"model\":\"m\",\"content\":[],\"stop_reason\":\"end_turn\","
      "\"usage\":{\"input_tokens\":50,\"output_tokens\":3}}",
      "parts=1\npart=m:50/3/0/0/0/0\n" },
    { "all were refused",
      "{\"model\":\"b\",\"stop_reason\":\"refusal\",\"content\":[{\"type\":"
      "\"fallback\"}],\"usage\":{\"input_tokens\":60,\"output_tokens\":0,"
      "\"iterations\":[{\"type\":\"message\",\"model\":\"a\","
      "\"input_tokens\":50,\"output_tokens\":0},{\"type\":"
      "\"fallback_message\",\"model\":\"b\",\"input_tokens\":60,"
      "\"output_tokens\":0}]}}",
      "input=60\nparts=1\npart=b:0/0/0/0/0/0\n" },
    { "refused after output, an advisor, a compaction, searches",
      "{\"model\":\"b\",\"content\":[{}],\"stop_reason\":\"end_turn\","
      "\"usage\":{\"input_tokens\":60,\"output_tokens\":9,"
      "\"server_tool_use\":{\"web_search_requests\":3},"
      "\"iterations\":[{\"type\":\"compaction\",\"input_tokens\":7,"
      "\"output_tokens\":2},{\"type\":\"message\",\"model\":\"a\","
      "\"input_tokens\":50,\"output_tokens\":1},{\"output_tokens\":9,"
      "\"cache_creation_input_tokens\":30,\"cache_creation\":{"
      "\"ephemeral_1h_input_tokens\":20},\"server_tool_use\":{"
      "\"web_search_requests\":3},"
      "\"input_tokens\":60,\"model\":\"b\",\"type\":\"fallback_message\"},"
      "{\"type\":\"advisor_message\",\"model\":\"a\",\"input_tokens\":5,"
      "\"cache_read_input_tokens\":4,\"output_tokens\":0}]}}",
      "input=122\noutput=12\nparts=3\npart=asked:7/2/0/0/0/0\n"
      "part=a:55/1/4/0/0/0\npart=b:60/9/0/10/20/3\n" },
    { "five models",
      "{\"model\":\"a\",\"usage\":{\"iterations\":["
      "{\"model\":\"a\",\"input_tokens\":1,\"output_tokens\":1},"
      "{\"model\":\"b\",\"input_tokens\":2,\"output_tokens\":1},"
      "{\"model\":\"c\",\"input_tokens\":4,\"output_tokens\":1},"
      "{\"model\":\"d\",\"input_tokens\":8,\"output_tokens\":1},"
      "{\"model\":\"e\",\"input_tokens\":16,\"output_tokens\":1},"
      "{\"model\":\"b\",\"input_tokens\":32,\"output_tokens\":1}]}}",
      "parts=4\npart=a:1/1/0/0/0/0\npart=b:34/2/0/0/0/0\n"
      "part=c:4/1/0/0/0/0\npart=d:24/2/0/0/0/0\n" },
    { "a count of tokens is not billed", "{\"input_tokens\":1234}",
      "state=complete\nhas_usage=0\ninput=0\nparts=0\n" },
    { "members told twice",
      "{\"id\":\"msg_1\",\"model\":\"m\",\"stop_reason\":\"x\",\"usage\":"
      "{\"service_tier\":\"a\",\"iterations\":[{\"input_tokens\":1}],"
      "\"iterations\":[],\"service_tier\":\"\",\"input_tokens\":5},"
      "\"model\":\"\",\"stop_reason\":\"\",\"id\":\"msg_2\"}",
      "state=complete\nid=msg_2\nmodel=\nstop_reason=\nservice_tier=\n"
      "has_usage=1\ninput=5\n" },
    { "an error",
      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
      "\"message\":\"Overloaded\",\"details\":{\"type\":\"x\"}},"
      "\"request_id\":\"req_1\"}",
      "state=failed\nerror_type=overloaded_error\n"
      "error_message=Overloaded\n" },
    { "a batch", " {\"id\":\"msgbatch_1\",\"type\":\"message_batch\"}\n",
      "state=complete\nid=msgbatch_1\n" },
    { "a cut message", "{\"id\":\"msg_1\",\"usage\":{\"output_tokens\":8,",
      "state=started\nid=msg_1\noutput=8\n" },
    { "error null is none", "{\"error\":null}", "state=complete\n" },
    { "no JSON", "<html>", "state=nothing\n" },
    { "nothing", "", "state=nothing\n" },
    { "an array", "[{\"id\":\"x\"}]", "state=complete\nid=\n" },
    { NULL, NULL, NULL }
};


static void
ncr_test_boundary(void)
{
    const char  *p;

    p = ": x\n\nevent: ping\ndata: {}\n\n";

    ncr_golden_begin();

    ncr_test(ncr_anthropic_boundary(&ncr_test_a), "boundary: at the start");

    ncr_golden_piece(ncr_codec_anthropic.stream_feed, p, strlen(p));
    ncr_test(ncr_anthropic_boundary(&ncr_test_a), "boundary: after an event");

    ncr_golden_piece(ncr_codec_anthropic.stream_feed, "event", 5);
    ncr_test(!ncr_anthropic_boundary(&ncr_test_a), "boundary: not in a line");

    ncr_golden_piece(ncr_codec_anthropic.stream_feed, ": x\n", 4);
    ncr_test(!ncr_anthropic_boundary(&ncr_test_a),
             "boundary: not between the lines of an event");
}


static void
ncr_test_errors(void)
{
    size_t      i;
    ncr_out_t   out;
    ncr_str_t   message, id;
    ncr_char_t  buf[256];

    static const struct {
        ncr_uint_t   status;
        const char  *type;
    } rows[] = {
        { 400, "invalid_request_error" }, { 401, "authentication_error" },
        { 402, "billing_error" }, { 403, "permission_error" },
        { 404, "not_found_error" }, { 405, "invalid_request_error" },
        { 409, "conflict_error" }, { 413, "request_too_large" },
        { 429, "rate_limit_error" }, { 500, "api_error" },
        { 502, "api_error" }, { 503, "api_error" },
        { 504, "timeout_error" }, { 529, "overloaded_error" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ncr_test(strcmp(ncr_anthropic_error_type(rows[i].status),
                        rows[i].type) == 0, rows[i].type);
    }

    ncr_str_set(&message, "no \"luck\"\n");
    ncr_str_set(&id, "req_1");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_anthropic_error(&out, 429, &message, &id);
    *out.last = '\0';

    ncr_test(strcmp((char *) buf, "{\"type\":\"error\",\"error\":{\"type\":"
                    "\"rate_limit_error\",\"message\":\"no \\\"luck\\\"\\n\"}"
                    ",\"request_id\":\"req_1\"}") == 0, "an error of our own");
}


static void
ncr_test_own_event(void)
{
    char        told[NCR_GOLDEN_TOLD];
    ncr_out_t   out;
    ncr_str_t   message, none;
    ncr_char_t  buf[256];

    ncr_str_set(&message, "no \"luck\"");
    ncr_str_set(&none, "");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_anthropic_error_event(&out, 500, &message, &none);

    ncr_golden_whole(ncr_codec_anthropic.stream_feed, (char *) buf,
                   (size_t) (out.last - buf), told);

    ncr_test(ncr_test_a.told.state == NCR_ANSWER_FAILED
             && strcmp(ncr_test_a.told.error_type, "api_error") == 0
             && strcmp(ncr_test_a.told.error_message, "no \"luck\"") == 0
             && ncr_anthropic_boundary(&ncr_test_a),
             "our own error event is read as one");

    ncr_out_init(&out, buf, 20);
    ncr_anthropic_error(&out, 500, &message, &none);

    ncr_test(out.overflow, "an error that does not fit is told");
}


int
main(void)
{
    ncr_test_words();
    ncr_golden_files();
    ncr_test_started();
    ncr_test_long();
    ncr_golden_bodies(ncr_test_bodies, "body: ");
    ncr_test_boundary();
    ncr_test_errors();
    ncr_test_own_event();

    return ncr_test_done();
}
