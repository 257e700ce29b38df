
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * t/golden/anthropic/CASE.sse is a stream, CASE.expect what it says: lines
 * "key=value", as many as the case is about.  Each stream is read whole, byte
 * by byte, and in two chunks cut at every offset.
 */


#include "../../src/codec/ncr_anthropic_answer.c"
#include "ncr_out.h"
#include "ncr_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>


#define NCR_TEST_TOLD  4096


typedef void (*ncr_test_feed_pt)(ncr_anthropic_answer_t *a, ncr_char_t *p,
    size_t len);


static ncr_anthropic_answer_t  ncr_test_a;


static char *
ncr_test_escape(char *to, const char *p)
{
    for ( /* void */ ; *p; p++) {

        if (*p == '\n' || *p == '\\') {
            *to++ = '\\';
            *to++ = (*p == '\n') ? 'n' : '\\';

        } else {
            *to++ = *p;
        }
    }

    *to = '\0';

    return to;
}


static void
ncr_test_line(ncr_out_t *out, const char *key, const char *text)
{
    ncr_out_text(out, key);
    ncr_out_text(out, "=");
    ncr_out_text(out, text);
    ncr_out_text(out, "\n");
}


static void
ncr_test_number(ncr_out_t *out, const char *key, uint64_t n)
{
    ncr_out_text(out, key);
    ncr_out_text(out, "=");
    ncr_out_int(out, (int64_t) n);
    ncr_out_text(out, "\n");
}


/* "part=model:input/output/cache_read/5m/1h/searches", sorted as they come */

static void
ncr_test_parts(ncr_out_t *out)
{
    char         line[1024];
    ncr_str_t    asked;
    ncr_part_t   parts[NCR_PARTS];
    ncr_uint_t   i, n;

    ncr_str_set(&asked, "asked");

    n = ncr_anthropic_parts(&ncr_test_a, &asked, parts);

    ncr_test_number(out, "parts", n);

    for (i = 0; i < n; i++) {
        snprintf(line, sizeof(line), "%s:%d/%d/%d/%d/%d/%d", parts[i].model,
                 (int) parts[i].usage.input, (int) parts[i].usage.output,
                 (int) parts[i].usage.cache_read,
                 (int) parts[i].usage.cache_write_5m,
                 (int) parts[i].usage.cache_write_1h,
                 (int) parts[i].usage.web_searches);

        ncr_test_line(out, "part", line);
    }
}


static void
ncr_test_told(char *p)
{
    char                     message[512];
    ncr_out_t                out;
    ncr_usage_t             *u;
    ncr_anthropic_answer_t  *a;

    static const char  *states[] = {
        "nothing", "started", "complete", "failed"
    };

    a = &ncr_test_a;
    u = &a->told.usage;

    (void) ncr_test_escape(message, a->told.error_message);

    ncr_out_init(&out, (ncr_char_t *) p, NCR_TEST_TOLD);

    ncr_test_line(&out, "state", states[a->told.state]);
    ncr_test_line(&out, "id", a->told.id);
    ncr_test_line(&out, "model", a->told.model);
    ncr_test_line(&out, "stop_reason", a->told.stop_reason);
    ncr_test_line(&out, "service_tier", a->told.service_tier);
    ncr_test_line(&out, "speed", a->told.speed);
    ncr_test_line(&out, "inference_geo", a->told.inference_geo);
    ncr_test_line(&out, "error_type", a->told.error_type);
    ncr_test_line(&out, "error_message", message);
    ncr_test_number(&out, "messages", a->told.messages);
    ncr_test_number(&out, "has_usage", a->told.has_usage);
    ncr_test_number(&out, "input", u->input);
    ncr_test_number(&out, "output", u->output);
    ncr_test_number(&out, "cache_read", u->cache_read);
    ncr_test_number(&out, "cache_write", u->cache_write);
    ncr_test_number(&out, "cache_write_5m", u->cache_write_5m);
    ncr_test_number(&out, "cache_write_1h", u->cache_write_1h);
    ncr_test_number(&out, "thinking", u->thinking);
    ncr_test_number(&out, "web_searches", u->web_searches);
    ncr_test_number(&out, "web_fetches", u->web_fetches);
    ncr_test_number(&out, "pinged", a->told.pinged);
    ncr_test_number(&out, "boundary", ncr_anthropic_boundary(a));
    ncr_test_parts(&out);
    ncr_out_bytes(&out, "", 1);
}


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


static void
ncr_test_begin(void)
{
    static ncr_uint_t  before;

    /* the glue's memory comes as it is */

    if (before) {
        ncr_anthropic_answer_done(&ncr_test_a);
    }

    before = 1;

    memset(&ncr_test_a, 0xA5, sizeof(ncr_test_a));
    ncr_anthropic_answer_init(&ncr_test_a, &ncr_test_lender);
}


/* a chunk of its own, so that a sanitizer sees who keeps a pointer */

static void
ncr_test_piece(ncr_test_feed_pt feed, const char *text, size_t len)
{
    ncr_char_t  *p;

    p = malloc(len + !len);
    memcpy(p, text, len);

    feed(&ncr_test_a, p, len);

    memset(p, 0xA5, len);
    free(p);
}


static void
ncr_test_whole(ncr_test_feed_pt feed, const char *text, size_t len,
    char *told)
{
    ncr_test_begin();
    ncr_test_piece(feed, text, len);
    ncr_test_told(told);
}


/* 1 if every way to cut it tells the same */

static ncr_uint_t
ncr_test_cut(ncr_test_feed_pt feed, const char *text, size_t len,
    const char *told)
{
    char        other[NCR_TEST_TOLD];
    size_t      i;
    ncr_uint_t  same;

    ncr_test_begin();

    for (i = 0; i < len; i++) {
        ncr_test_piece(feed, text + i, 1);
    }

    ncr_test_told(other);
    same = (strcmp(told, other) == 0);

    for (i = 0; i <= len; i++) {
        ncr_test_begin();
        ncr_test_piece(feed, text, i);
        ncr_test_piece(feed, text + i, len - i);
        ncr_test_told(other);

        same &= (strcmp(told, other) == 0);
    }

    return same;
}


static char *
ncr_test_read(const char *dir, const char *name, size_t *len)
{
    char   path[1024];
    char  *text;
    FILE  *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    file = fopen(path, "rb");

    if (file == NULL) {
        return NULL;
    }

    text = malloc(256 * 1024);
    *len = fread(text, 1, 256 * 1024 - 1, file);
    text[*len] = '\0';

    fclose(file);

    return text;
}


/* each expected line is among those told */

static ncr_uint_t
ncr_test_expected(char *expect, const char *told, const char *name)
{
    char        line[1024];
    char       *p, *end;
    ncr_uint_t  ok, n;

    ok = 1;
    n = 0;

    for (p = expect; *p; p = end + 1) {
        end = strchr(p, '\n');

        if (end == NULL) {
            return 0;
        }

        snprintf(line, sizeof(line), "\n%.*s\n", (int) (end - p), p);
        n++;

        if (strncmp(told, line + 1, strlen(line + 1)) != 0
            && strstr(told, line) == NULL)
        {
            printf("# %s: not%s", name, line);
            ok = 0;
        }
    }

    return ok && n > 0;
}


static int
ncr_test_name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


static void
ncr_test_golden(void)
{
    char            dir[512], told[NCR_TEST_TOLD], label[256];
    char           *names[256], *dot, *text, *expect;
    size_t          i, n, len, elen;
    DIR            *d;
    const char     *root;
    struct dirent  *entry;

    root = getenv("CR_ROOT");
    snprintf(dir, sizeof(dir), "%s/t/golden/anthropic", root ? root : ".");

    n = 0;
    d = opendir(dir);

    while (d && n < 256 && (entry = readdir(d)) != NULL) {
        dot = strrchr(entry->d_name, '.');

        if (dot && strcmp(dot, ".sse") == 0) {
            names[n++] = strdup(entry->d_name);
        }
    }

    ncr_test(n >= 40, "golden streams are there");

    if (d) {
        closedir(d);
    }

    qsort(names, n, sizeof(char *), ncr_test_name_cmp);

    for (i = 0; i < n; i++) {
        text = ncr_test_read(dir, names[i], &len);

        strcpy(strrchr(names[i], '.'), "");
        snprintf(label, sizeof(label), "%s.expect", names[i]);
        expect = ncr_test_read(dir, label, &elen);

        ncr_test_whole(ncr_anthropic_stream_feed, text, len, told);

        snprintf(label, sizeof(label), "golden %s", names[i]);
        ncr_test(expect && ncr_test_expected(expect, told, names[i]), label);

        snprintf(label, sizeof(label), "golden %s, in pieces", names[i]);
        ncr_test(ncr_test_cut(ncr_anthropic_stream_feed, text, len, told),
                 label);

        free(text);
        free(expect);
        free(names[i]);
    }
}


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

        ncr_test_begin();
        ncr_test_piece(ncr_anthropic_stream_feed, p, strlen(p));

        ncr_test(ncr_test_a.told.state == rows[i].state, "begun or not");

        if (ncr_test_a.told.state != rows[i].state) {
            printf("# row %d: %d\n", (int) i, (int) ncr_test_a.told.state);
        }
    }
}


static void
ncr_test_long(void)
{
    char    whole[NCR_TEST_TOLD], other[NCR_TEST_TOLD];
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

    ncr_test_whole(ncr_anthropic_stream_feed, text, n, whole);

    ncr_test(strcmp(ncr_test_a.told.id, "msg_1") == 0
             && strcmp(ncr_test_a.told.model, "f") == 0
             && ncr_test_a.told.usage.input == 4950
             && ncr_test_a.told.usage.output == 300
             && ncr_anthropic_boundary(&ncr_test_a),
             "long events");

    ncr_test_begin();

    for (i = 0; i < n; i += len) {
        len = ncr_min(1000, n - i);
        ncr_test_piece(ncr_anthropic_stream_feed, text + i, len);
    }

    ncr_test_told(other);

    ncr_test(strcmp(whole, other) == 0, "the same in pieces");

    /* longer than the names kept */

    n = (size_t) sprintf(text, "{\"id\":\"");
    memset(text + n, 'i', 3000);
    n += 3000;
    n += (size_t) sprintf(text + n, "\",\"model\":\"");
    memset(text + n, 'm', 3000);
    n += 3000;
    n += (size_t) sprintf(text + n, "\",\"stop_reason\":\"end_turn\"}");

    ncr_test_whole(ncr_anthropic_body_feed, text, n, whole);

    ncr_test(strlen(ncr_test_a.told.id) == NCR_ANTHROPIC_ID - 1
             && strlen(ncr_test_a.told.model) == NCR_MODEL_LEN - 1,
             "long names are cut");
    ncr_test(ncr_test_cut(ncr_anthropic_body_feed, text, n, whole),
             "the same in pieces");

    free(text);
}


typedef struct {
    const char  *name;
    const char  *body;
    const char  *expect;
} ncr_test_body_t;


static ncr_test_body_t  ncr_test_bodies[] = {
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
    { "an array", "[{\"id\":\"x\"}]", "state=complete\nid=\n" }
};


static void
ncr_test_body(void)
{
    char              told[NCR_TEST_TOLD], label[256], expect[1024];
    size_t            i, len;
    ncr_test_body_t  *row;

    for (i = 0; i < sizeof(ncr_test_bodies) / sizeof(ncr_test_bodies[0]);
         i++)
    {
        row = &ncr_test_bodies[i];
        len = strlen(row->body);

        ncr_test_whole(ncr_anthropic_body_feed, row->body, len, told);

        snprintf(label, sizeof(label), "body: %s", row->name);
        strcpy(expect, row->expect);
        ncr_test(ncr_test_expected(expect, told, row->name), label);

        snprintf(label, sizeof(label), "body: %s, in pieces", row->name);
        ncr_test(ncr_test_cut(ncr_anthropic_body_feed, row->body, len, told),
                 label);
    }
}


static void
ncr_test_boundary(void)
{
    const char  *p;

    p = ": x\n\nevent: ping\ndata: {}\n\n";

    ncr_test_begin();

    ncr_test(ncr_anthropic_boundary(&ncr_test_a), "boundary: at the start");

    ncr_test_piece(ncr_anthropic_stream_feed, p, strlen(p));
    ncr_test(ncr_anthropic_boundary(&ncr_test_a), "boundary: after an event");

    ncr_test_piece(ncr_anthropic_stream_feed, "event", 5);
    ncr_test(!ncr_anthropic_boundary(&ncr_test_a), "boundary: not in a line");

    ncr_test_piece(ncr_anthropic_stream_feed, ": x\n", 4);
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
    char        told[NCR_TEST_TOLD];
    ncr_out_t   out;
    ncr_str_t   message, none;
    ncr_char_t  buf[256];

    ncr_str_set(&message, "no \"luck\"");
    ncr_str_set(&none, "");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_anthropic_error_event(&out, 500, &message, &none);

    ncr_test_whole(ncr_anthropic_stream_feed, (char *) buf,
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
    ncr_test_golden();
    ncr_test_started();
    ncr_test_long();
    ncr_test_body();
    ncr_test_boundary();
    ncr_test_errors();
    ncr_test_own_event();

    return ncr_test_done();
}
