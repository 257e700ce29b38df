
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * t/golden/openai/CASE.sse is a stream, CASE.expect what it says: lines
 * "key=value", as many as the case is about.  Each stream is read whole, byte
 * by byte, and in two chunks cut at every offset.
 */


#include "../../src/codec/ncr_openai_answer.c"
#include "../../src/codec/ncr_openai_error.c"
#include "../../src/codec/ncr_openai_codec.c"
#include "ncr_out.h"
#include "ncr_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>


#define NCR_TEST_TOLD  4096


typedef void (*ncr_test_feed_pt)(ncr_openai_answer_t *a, ncr_char_t *p,
    size_t len);


static ncr_openai_answer_t  ncr_test_a;


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

    n = ncr_answer_part(&ncr_test_a.told, &asked, parts);

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
    ncr_openai_answer_t  *a;

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
    ncr_test_number(&out, "boundary", ncr_codec_openai.boundary(&a->told));
    ncr_test_parts(&out);
    ncr_out_bytes(&out, "", 1);
}


static void
ncr_test_begin(void)
{
    /* the glue's memory comes as it is */

    memset(&ncr_test_a, 0xA5, sizeof(ncr_test_a));
    ncr_openai_answer_init(&ncr_test_a, NCR_OP_RESPONSES);
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
    snprintf(dir, sizeof(dir), "%s/t/golden/openai", root ? root : ".");

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

        ncr_test_whole(ncr_openai_stream_feed, text, len, told);

        snprintf(label, sizeof(label), "golden %s", names[i]);
        ncr_test(expect && ncr_test_expected(expect, told, names[i]), label);

        snprintf(label, sizeof(label), "golden %s, in pieces", names[i]);
        ncr_test(ncr_test_cut(ncr_openai_stream_feed, text, len, told),
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


typedef struct {
    const char  *name;
    const char  *body;
    const char  *expect;
} ncr_test_body_t;


static ncr_test_body_t  ncr_test_bodies[] = {

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

    { "no JSON", "<html>", "state=nothing\n" }
};


static void
ncr_test_body(void)
{
    char              told[NCR_TEST_TOLD], name[128], expect[1024];
    size_t            i, len;
    ncr_test_body_t  *row;

    for (i = 0; i < sizeof(ncr_test_bodies) / sizeof(ncr_test_bodies[0]); i++)
    {
        row = &ncr_test_bodies[i];
        len = strlen(row->body);

        ncr_test_whole(ncr_openai_body_feed, row->body, len, told);

        snprintf(expect, sizeof(expect), "%s", row->expect);
        ncr_test(ncr_test_expected(expect, told, row->name), row->name);

        snprintf(name, sizeof(name), "%s, in pieces", row->name);
        ncr_test(ncr_test_cut(ncr_openai_body_feed, row->body, len, told),
                 name);
    }
}


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

    ncr_test_begin();
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
    char        told[NCR_TEST_TOLD];
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

    ncr_test_whole(ncr_openai_stream_feed, events, sizeof(events) - 1, told);

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

    ncr_test_whole(ncr_openai_stream_feed, (char *) buf,
                   (size_t) (out.last - out.start), told);
    ncr_test(ncr_test_a.told.state == NCR_ANSWER_FAILED
             && strcmp(ncr_test_a.told.error_type, "timeout") == 0,
             "an event of ours is read");
}


int
main(void)
{
    ncr_test_golden();
    ncr_test_words();
    ncr_test_body();
    ncr_test_events();
    ncr_test_errors();

    return ncr_test_done();
}
