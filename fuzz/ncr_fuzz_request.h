
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Readers of requests: what they tell must not depend on how a body is cut,
 * and edits must lie in order and inside of it.
 */


#ifndef _NCR_FUZZ_REQUEST_H_INCLUDED_
#define _NCR_FUZZ_REQUEST_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_fuzz.h"

#include <cjson/cJSON.h>


#define NCR_FUZZ_INPUT  (64 * 1024)


/* of its own, where a sanitizer sees who keeps a pointer */

static ncr_int_t
ncr_fuzz_feed(const ncr_codec_t *codec, ncr_request_t *req,
    const uint8_t *data, size_t size)
{
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = malloc(size + !size);
    memcpy(p, data, size);
    rc = codec->request_feed(req, p, size);
    free(p);

    return rc;
}


/* req: after its init */

static inline ncr_int_t
ncr_fuzz_read(const ncr_codec_t *codec, ncr_request_t *req,
    const uint8_t *data, size_t size, uint32_t seed, ncr_uint_t whole)
{
    size_t     n;
    ncr_int_t  rc;

    rc = NCR_OK;

    while (size && rc == NCR_OK) {
        n = ncr_fuzz_cut(&seed, size, whole);
        rc = ncr_fuzz_feed(codec, req, data, n);

        data += n;
        size -= n;
    }

    return (rc == NCR_OK) ? codec->request_final(req) : rc;
}


static inline ncr_uint_t
ncr_fuzz_equal(ncr_str_t *a, ncr_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


/* both were read, or both were refused, for the same reason */

static inline void
ncr_fuzz_compare(const ncr_codec_t *codec, ncr_request_t *w, ncr_request_t *p,
    ncr_int_t rc, const uint8_t *data, size_t size)
{
    char       a[300], b[300];
    ncr_str_t  s, t;

    if (rc != NCR_OK) {
        ncr_fuzz_check(rc == NCR_BAD);

        s = codec->request_error(w, a, sizeof(a));
        t = codec->request_error(p, b, sizeof(b));

        ncr_fuzz_check(s.len && ncr_fuzz_equal(&s, &t));
        return;
    }

    ncr_fuzz_check(ncr_fuzz_equal(&w->model, &p->model)
                   && w->model.len < NCR_MODEL_LEN);
    ncr_fuzz_check(w->model_start == p->model_start
                   && w->model_end == p->model_end
                   && w->model_end <= size);
    ncr_fuzz_check(w->model_end == 0
                   || (data[w->model_start] == '"'
                       && data[w->model_end - 1] == '"'));
    ncr_fuzz_check(w->max_tokens == p->max_tokens
                   && w->stream == p->stream);
    ncr_fuzz_check(ncr_fuzz_equal(&w->session, &p->session));
    ncr_fuzz_check(w->hashed == p->hashed
                   && (!w->hashed
                       || memcmp(w->digest, p->digest, NCR_SHA256_LEN)
                          == 0));
}


/* the length of text, which has room for what is inserted */

static inline size_t
ncr_fuzz_edit(char *text, const uint8_t *data, size_t size, ncr_edit_t *edits,
    ncr_uint_t n)
{
    char        *p;
    size_t       pos;
    ncr_uint_t   i;

    p = text;
    pos = 0;

    for (i = 0; i < n; i++) {

        ncr_fuzz_check(edits[i].offset >= pos
                       && edits[i].offset + edits[i].remove <= size);

        memcpy(p, data + pos, edits[i].offset - pos);
        p += edits[i].offset - pos;

        if (edits[i].insert.len) {
            memcpy(p, edits[i].insert.data, edits[i].insert.len);
            p += edits[i].insert.len;
        }

        pos = edits[i].offset + edits[i].remove;
    }

    memcpy(p, data + pos, size - pos);

    return (size_t) (p - text) + size - pos;
}


/* NULL if it is none, or one with a NUL: cJSON's strings end with the first */

static inline cJSON *
ncr_fuzz_parse(const uint8_t *data, size_t size)
{
    size_t  i;

    for (i = 0; i + 4 < size; i++) {
        if (memcmp(data + i, "u0000", 5) == 0) {
            return NULL;
        }
    }

    return cJSON_ParseWithLength((const char *) data, size);
}


#endif /* _NCR_FUZZ_REQUEST_H_INCLUDED_ */
