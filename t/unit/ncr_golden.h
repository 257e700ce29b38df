
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Golden answers of a codec: t/golden/NAME/CASE.sse is a stream, CASE.json a
 * body, CASE.expect what it says: lines "key=value", as many as the case is
 * about.  Each is read whole, byte by byte, and in two chunks cut at every
 * offset.  Include it once, behind the codec, and define ncr_golden.
 */


#ifndef _NCR_GOLDEN_H_INCLUDED_
#define _NCR_GOLDEN_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_out.h"
#include "ncr_test.h"

#include <dirent.h>
#include <stdlib.h>


#define NCR_GOLDEN_TOLD   4096
#define NCR_GOLDEN_FILE   (256 * 1024)
#define NCR_GOLDEN_FILES  256


typedef struct {
    const char         *name;           /* below t/golden */
    const ncr_codec_t  *codec;
    ncr_answer_t       *answer;         /* the head of the codec's reader */
    size_t              size;           /* of that reader */
    const void         *lender;
    ncr_op_e            op;
} ncr_golden_t;


typedef struct {
    const char         *name;
    const char         *body;
    const char         *expect;
} ncr_golden_body_t;


typedef void (*ncr_golden_feed_pt)(ncr_answer_t *a, ncr_char_t *p,
    size_t len);


static const ncr_golden_t  ncr_golden;


static void
ncr_golden_line(ncr_out_t *out, const char *key, const char *text)
{
    ncr_out_text(out, key);
    ncr_out_text(out, "=");

    for ( /* void */ ; *text; text++) {

        if (*text == '\n' || *text == '\\') {
            ncr_out_text(out, (*text == '\n') ? "\\n" : "\\\\");

        } else {
            ncr_out_bytes(out, text, 1);
        }
    }

    ncr_out_text(out, "\n");
}


static void
ncr_golden_number(ncr_out_t *out, const char *key, uint64_t n)
{
    ncr_out_text(out, key);
    ncr_out_text(out, "=");
    ncr_out_int(out, (int64_t) n);
    ncr_out_text(out, "\n");
}


/* "part=model:input/output/cache_read/5m/1h/searches", sorted as they come */

static void
ncr_golden_parts(ncr_out_t *out)
{
    char         line[1024];
    ncr_str_t    asked;
    ncr_part_t   parts[NCR_PARTS];
    ncr_uint_t   i, n;

    ncr_str_set(&asked, "asked");

    n = ncr_golden.codec->parts(ncr_golden.answer, &asked, parts);

    ncr_golden_number(out, "parts", n);

    for (i = 0; i < n; i++) {
        snprintf(line, sizeof(line), "%s:%d/%d/%d/%d/%d/%d", parts[i].model,
                 (int) parts[i].usage.input, (int) parts[i].usage.output,
                 (int) parts[i].usage.cache_read,
                 (int) parts[i].usage.cache_write_5m,
                 (int) parts[i].usage.cache_write_1h,
                 (int) parts[i].usage.web_searches);

        ncr_golden_line(out, "part", line);
    }
}


static void
ncr_golden_told(char *p)
{
    ncr_out_t      out;
    ncr_usage_t   *u;
    ncr_answer_t  *a;

    static const char  *states[] = {
        "nothing", "started", "complete", "failed"
    };

    a = ncr_golden.answer;
    u = &a->usage;

    ncr_out_init(&out, (ncr_char_t *) p, NCR_GOLDEN_TOLD);

    ncr_golden_line(&out, "state", states[a->state]);
    ncr_golden_line(&out, "id", a->id);
    ncr_golden_line(&out, "model", a->model);
    ncr_golden_line(&out, "stop_reason", a->stop_reason);
    ncr_golden_line(&out, "service_tier", a->service_tier);
    ncr_golden_line(&out, "speed", a->speed);
    ncr_golden_line(&out, "inference_geo", a->inference_geo);
    ncr_golden_line(&out, "error_type", a->error_type);
    ncr_golden_line(&out, "error_message", a->error_message);
    ncr_golden_number(&out, "messages", a->messages);
    ncr_golden_number(&out, "has_usage", a->has_usage);
    ncr_golden_number(&out, "input", u->input);
    ncr_golden_number(&out, "output", u->output);
    ncr_golden_number(&out, "cache_read", u->cache_read);
    ncr_golden_number(&out, "cache_write", u->cache_write);
    ncr_golden_number(&out, "cache_write_5m", u->cache_write_5m);
    ncr_golden_number(&out, "cache_write_1h", u->cache_write_1h);
    ncr_golden_number(&out, "thinking", u->thinking);
    ncr_golden_number(&out, "web_searches", u->web_searches);
    ncr_golden_number(&out, "web_fetches", u->web_fetches);
    ncr_golden_number(&out, "pinged", a->pinged);
    ncr_golden_number(&out, "boundary", ncr_golden.codec->boundary(a));
    ncr_golden_parts(&out);
    ncr_out_bytes(&out, "", 1);
}


static void
ncr_golden_begin(void)
{
    static ncr_uint_t  before;

    if (before) {
        ncr_golden.codec->answer_done(ncr_golden.answer);
    }

    before = 1;

    /* the glue's memory comes as it is */

    memset(ncr_golden.answer, 0xA5, ncr_golden.size);
    ncr_golden.codec->answer_init(ncr_golden.answer, ncr_golden.lender,
                                  ncr_golden.op);
}


/* a chunk of its own, so that a sanitizer sees who keeps a pointer */

static void
ncr_golden_piece(ncr_golden_feed_pt feed, const char *text, size_t len)
{
    ncr_char_t  *p;

    p = malloc(len + !len);
    memcpy(p, text, len);

    feed(ncr_golden.answer, p, len);

    memset(p, 0xA5, len);
    free(p);
}


static void
ncr_golden_whole(ncr_golden_feed_pt feed, const char *text, size_t len,
    char *told)
{
    ncr_golden_begin();
    ncr_golden_piece(feed, text, len);
    ncr_golden_told(told);
}


/* 1 if every way to cut it tells the same */

static ncr_uint_t
ncr_golden_cut(ncr_golden_feed_pt feed, const char *text, size_t len,
    const char *told)
{
    char        other[NCR_GOLDEN_TOLD];
    size_t      i;
    ncr_uint_t  same;

    ncr_golden_begin();

    for (i = 0; i < len; i++) {
        ncr_golden_piece(feed, text + i, 1);
    }

    ncr_golden_told(other);
    same = (strcmp(told, other) == 0);

    for (i = 0; i <= len; i++) {
        ncr_golden_begin();
        ncr_golden_piece(feed, text, i);
        ncr_golden_piece(feed, text + i, len - i);
        ncr_golden_told(other);

        same &= (strcmp(told, other) == 0);
    }

    return same;
}


/* each expected line is among those told */

static ncr_uint_t
ncr_golden_expected(const char *expect, const char *told, const char *name)
{
    char         line[1024];
    ncr_uint_t   ok, n;
    const char  *p, *end;

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


/* two tests: what it tells, and that it tells the same in pieces */

static void
ncr_golden_test(ncr_golden_feed_pt feed, const char *text, size_t len,
    const char *expect, const char *kind, const char *name)
{
    char  told[NCR_GOLDEN_TOLD], label[512];

    ncr_golden_whole(feed, text, len, told);

    snprintf(label, sizeof(label), "%s%s", kind, name);
    ncr_test(expect && ncr_golden_expected(expect, told, name), label);

    snprintf(label, sizeof(label), "%s%s, in pieces", kind, name);
    ncr_test(ncr_golden_cut(feed, text, len, told), label);
}


/* bodies up to one without a name */

static inline void
ncr_golden_bodies(const ncr_golden_body_t *row, const char *kind)
{
    for ( /* void */ ; row->name; row++) {
        ncr_golden_test(ncr_golden.codec->body_feed, row->body,
                        strlen(row->body), row->expect, kind, row->name);
    }
}


static char *
ncr_golden_read(const char *dir, const char *name, size_t *len)
{
    char   path[1024];
    char  *text;
    FILE  *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    file = fopen(path, "rb");

    if (file == NULL) {
        return NULL;
    }

    text = malloc(NCR_GOLDEN_FILE);
    *len = fread(text, 1, NCR_GOLDEN_FILE - 1, file);
    text[*len] = '\0';

    fclose(file);

    return text;
}


static int
ncr_golden_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}


static void
ncr_golden_file(const char *dir, char *name)
{
    char                label[512];
    char               *text, *expect, *dot;
    size_t              len, elen;
    ncr_golden_feed_pt  feed;

    dot = strrchr(name, '.');
    feed = (strcmp(dot, ".sse") == 0) ? ncr_golden.codec->stream_feed
                                      : ncr_golden.codec->body_feed;

    text = ncr_golden_read(dir, name, &len);
    *dot = '\0';

    snprintf(label, sizeof(label), "%s.expect", name);
    expect = ncr_golden_read(dir, label, &elen);

    ncr_golden_test(feed, text, len, expect, "golden ", name);

    free(text);
    free(expect);
}


static void
ncr_golden_files(void)
{
    char            dir[512];
    char           *names[NCR_GOLDEN_FILES], *dot;
    size_t          i, n;
    DIR            *d;
    const char     *root;
    struct dirent  *entry;

    root = getenv("CR_ROOT");
    snprintf(dir, sizeof(dir), "%s/t/golden/%s", root ? root : ".",
             ncr_golden.name);

    n = 0;
    d = opendir(dir);

    while (d && n < NCR_GOLDEN_FILES && (entry = readdir(d)) != NULL) {
        dot = strrchr(entry->d_name, '.');

        if (dot && (strcmp(dot, ".sse") == 0 || strcmp(dot, ".json") == 0)) {
            names[n++] = strdup(entry->d_name);
        }
    }

    ncr_test(n >= 40, "golden streams are there");

    if (d) {
        closedir(d);
    }

    qsort(names, n, sizeof(char *), ncr_golden_cmp);

    for (i = 0; i < n; i++) {
        ncr_golden_file(dir, names[i]);
        free(names[i]);
    }
}


#endif /* _NCR_GOLDEN_H_INCLUDED_ */
