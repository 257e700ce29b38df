
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * t/golden/gemini/CASE.sse is a stream, CASE.json a body, CASE.expect what
 * it says: lines "key=value", as many as the case is about.  Each is read
 * whole, byte by byte, and in two chunks cut at every offset.
 */


#include "../../src/codec/ncr_gemini_answer.c"
#include "ncr_out.h"
#include "ncr_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>


#define NCR_TEST_TOLD  4096
#define NCR_TEST_FILE  (256 * 1024)


typedef void (*ncr_test_feed_pt)(ncr_gemini_answer_t *a, ncr_char_t *p,
    size_t len);


static ncr_gemini_answer_t  ncr_test_a;


static void
ncr_test_line(ncr_out_t *out, const char *key, const char *text)
{
    ncr_out_text(out, key);
    ncr_out_text(out, "=");

    for ( /* void */ ; *text; text++) {
        ncr_out_bytes(out, (*text == '\n') ? "\\n" : text,
                      (*text == '\n') ? 2 : 1);
    }

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


static void
ncr_test_parts(ncr_out_t *out)
{
    char        line[256];
    ncr_str_t   asked;
    ncr_part_t  part;
    ncr_uint_t  n;

    ncr_str_set(&asked, "asked");

    n = ncr_answer_part(&ncr_test_a.told, &asked, &part);

    ncr_test_number(out, "parts", n);

    if (n) {
        snprintf(line, sizeof(line), "%s:%d/%d/%d", part.model,
                 (int) part.usage.input, (int) part.usage.output,
                 (int) part.usage.cache_read);

        ncr_test_line(out, "part", line);
    }
}


static void
ncr_test_told(char *p)
{
    ncr_out_t      out;
    ncr_usage_t   *u;
    ncr_answer_t  *a;

    static const char  *states[] = {
        "nothing", "started", "complete", "failed"
    };

    a = &ncr_test_a.told;
    u = &a->usage;

    ncr_out_init(&out, (ncr_char_t *) p, NCR_TEST_TOLD);

    ncr_test_line(&out, "state", states[a->state]);
    ncr_test_line(&out, "id", a->id);
    ncr_test_line(&out, "model", a->model);
    ncr_test_line(&out, "stop_reason", a->stop_reason);
    ncr_test_line(&out, "error_type", a->error_type);
    ncr_test_line(&out, "error_message", a->error_message);
    ncr_test_number(&out, "has_usage", a->has_usage);
    ncr_test_number(&out, "input", u->input);
    ncr_test_number(&out, "output", u->output);
    ncr_test_number(&out, "cache_read", u->cache_read);
    ncr_test_number(&out, "thinking", u->thinking);
    ncr_test_number(&out, "pinged", a->pinged);
    ncr_test_number(&out, "boundary", ncr_gemini_boundary(&ncr_test_a));
    ncr_test_parts(&out);
    ncr_out_bytes(&out, "", 1);
}


static void
ncr_test_begin(void)
{
    /* the glue's memory comes as it is */

    memset(&ncr_test_a, 0xA5, sizeof(ncr_test_a));
    ncr_gemini_answer_init(&ncr_test_a);
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

    text = malloc(NCR_TEST_FILE);
    *len = fread(text, 1, NCR_TEST_FILE - 1, file);
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


static void
ncr_test_case(const char *dir, char *file)
{
    char              told[NCR_TEST_TOLD], label[300];
    char             *text, *expect, *dot;
    size_t            len, elen;
    ncr_test_feed_pt  feed;

    dot = strrchr(file, '.');
    feed = strcmp(dot, ".sse") ? ncr_gemini_body_feed
                               : ncr_gemini_stream_feed;

    text = ncr_test_read(dir, file, &len);
    *dot = '\0';

    snprintf(label, sizeof(label), "%s.expect", file);
    expect = ncr_test_read(dir, label, &elen);

    ncr_test_whole(feed, text, len, told);

    snprintf(label, sizeof(label), "golden %s", file);
    ncr_test(expect && ncr_test_expected(expect, told, file), label);

    snprintf(label, sizeof(label), "golden %s, in pieces", file);
    ncr_test(ncr_test_cut(feed, text, len, told), label);

    free(text);
    free(expect);
}


static int
ncr_test_name_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


static void
ncr_test_golden(void)
{
    char            dir[512];
    char           *names[256], *dot;
    size_t          i, n;
    DIR            *d;
    const char     *root;
    struct dirent  *entry;

    root = getenv("CR_ROOT");
    snprintf(dir, sizeof(dir), "%s/t/golden/gemini", root ? root : ".");

    n = 0;
    d = opendir(dir);

    while (d && n < 256 && (entry = readdir(d)) != NULL) {
        dot = strrchr(entry->d_name, '.');

        if (dot && (strcmp(dot, ".sse") == 0 || strcmp(dot, ".json") == 0)) {
            names[n++] = strdup(entry->d_name);
        }
    }

    ncr_test(n >= 40, "golden streams are there");

    if (d) {
        closedir(d);
    }

    qsort(names, n, sizeof(char *), ncr_test_name_cmp);

    for (i = 0; i < n; i++) {
        ncr_test_case(dir, names[i]);
        free(names[i]);
    }
}


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

    ncr_test_begin();
    ncr_test_piece(ncr_gemini_stream_feed, (char *) buf,
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

    ncr_test_begin();
    ncr_test_piece(ncr_gemini_stream_feed, head, strlen(head));

    for (i = 0; i < n; i += 65536) {
        ncr_test_piece(ncr_gemini_stream_feed, text + i, 65536);
    }

    ncr_test_piece(ncr_gemini_stream_feed, tail, strlen(tail));

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
    ncr_test_golden();
    ncr_test_errors();
    ncr_test_long();
    ncr_test_words();

    return ncr_test_done();
}
