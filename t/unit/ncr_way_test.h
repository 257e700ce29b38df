
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* A way to be filled, the body that goes it, and replies to be judged. */


#ifndef _NCR_WAY_TEST_H_INCLUDED_
#define _NCR_WAY_TEST_H_INCLUDED_


#include "ncr_platform.h"
#include "ncr_test.h"

#include <stdlib.h>


#define NCR_TEST_ROOM  8192


typedef void (*ncr_test_classify_pt)(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *verdict);


static ncr_way_t   ncr_test_way;
static ncr_str_t   ncr_test_params[NCR_PARAMS];
static ncr_str_t   ncr_test_body;
static ncr_char_t  ncr_test_target[NCR_TEST_ROOM];
static ncr_char_t  ncr_test_lines[NCR_TEST_ROOM];
static ncr_char_t  ncr_test_text[NCR_TEST_ROOM];


static ncr_str_t
ncr_test_whole(ncr_way_t *way)
{
    return ncr_test_body;
}


/* an empty way with room, but for a NUL behind each; params stay */

static inline ncr_way_t *
ncr_test_way_of(ncr_op_e op, const char *base, const char *path)
{
    ncr_way_t  *way;

    way = &ncr_test_way;
    memset(way, 0, sizeof(ncr_way_t));

    way->op = op;
    way->base = ncr_test_s(base);
    way->path = ncr_test_s(path);
    way->params = ncr_test_params;
    way->length = ncr_test_body.len;
    way->body = ncr_test_whole;

    memset(ncr_test_target, 0, NCR_TEST_ROOM);
    memset(ncr_test_lines, 0, NCR_TEST_ROOM);
    memset(ncr_test_text, 0, NCR_TEST_ROOM);

    ncr_out_init(&way->target, ncr_test_target, NCR_TEST_ROOM - 1);
    ncr_out_init(&way->lines, ncr_test_lines, NCR_TEST_ROOM - 1);
    ncr_out_init(&way->text, ncr_test_text, NCR_TEST_ROOM - 1);

    return way;
}


/* the body as the way edits it */

static inline const char *
ncr_test_edited(void)
{
    char        *p;
    uint64_t     pos;
    ncr_uint_t   i;
    ncr_edit_t  *e;

    static char  text[65536];

    ncr_edit_sort(ncr_test_way.edits, ncr_test_way.nedits);

    p = text;
    pos = 0;

    for (i = 0; i < ncr_test_way.nedits; i++) {
        e = &ncr_test_way.edits[i];

        if (e->offset < pos || e->offset + e->remove > ncr_test_body.len) {
            abort();
        }

        memcpy(p, ncr_test_body.data + pos, e->offset - pos);
        p += e->offset - pos;

        if (e->insert.len) {
            memcpy(p, e->insert.data, e->insert.len);
            p += e->insert.len;
        }

        pos = e->offset + e->remove;
    }

    memcpy(p, ncr_test_body.data + pos, ncr_test_body.len - pos);
    p[ncr_test_body.len - pos] = '\0';

    return text;
}


/* the header of a line "name:value\n"; the next line, NULL at the end */

static inline const char *
ncr_test_line(const char *p, ncr_str_t *name, ncr_str_t *value)
{
    const char  *colon, *end;

    if (*p == '\0') {
        return NULL;
    }

    colon = strchr(p, ':');
    end = strchr(p, '\n');

    name->data = (ncr_char_t *) p;
    name->len = (size_t) (colon - p);
    value->data = (ncr_char_t *) colon + 1;
    value->len = (size_t) (end - colon - 1);

    return end + 1;
}


/*
 * status: 0 for an error in a stream, negative for -ncr_reply_kind_e.  What
 * else the reply says is the caller's.
 */

static inline void
ncr_test_judge(ncr_test_classify_pt classify, ncr_reply_t *reply,
    ncr_int_t status, const char *body, ncr_verdict_t *v)
{
    ncr_rests_t  rests;

    ncr_rests_default(&rests);

    reply->kind = (status > 0) ? NCR_REPLY_HTTP
                  : (status == 0) ? NCR_REPLY_STREAM_ERROR
                                  : (ncr_reply_kind_e) -status;
    reply->status = (status > 0) ? (ncr_uint_t) status : 200;

    /* of its own, so that a sanitizer sees who reads beyond it */

    reply->body.len = strlen(body);
    reply->body.data = malloc(reply->body.len + !reply->body.len);
    memcpy(reply->body.data, body, reply->body.len);

    memset(v, 0xA5, sizeof(ncr_verdict_t));
    classify(reply, &rests, v);

    free(reply->body.data);
    ncr_str_null(&reply->body);
}


#endif /* _NCR_WAY_TEST_H_INCLUDED_ */
