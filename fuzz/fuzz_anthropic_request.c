
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The reader of request bodies: in random chunks as in one. */


#include "../src/codec/ncr_anthropic_request.c"

#include <stdlib.h>


#define NCR_FUZZ_INPUT  (64 * 1024)


static ncr_sha256_t             ncr_fuzz_plain, ncr_fuzz_cached;
static ncr_anthropic_request_t  ncr_fuzz_whole, ncr_fuzz_parts;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
ncr_fuzz_check(int cond)
{
    if (!cond) {
        abort();
    }
}


static ncr_int_t
ncr_fuzz_run(ncr_anthropic_request_t *req, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t whole)
{
    size_t       n;
    ncr_int_t    rc;
    ncr_char_t  *p;

    memset(req, 0xA5, sizeof(ncr_anthropic_request_t));

    ncr_anthropic_request_init(req, &ncr_fuzz_plain, &ncr_fuzz_cached,
                               seed & 1);
    rc = NCR_OK;

    while (size && rc == NCR_OK) {
        seed = seed * 1103515245 + 12345;

        n = (seed >> 16) % ((seed & 0x100) ? 5 : 120);
        n = whole ? size : ncr_min(n, size);

        /* of its own, where a sanitizer sees who keeps a pointer */

        p = malloc(n + !n);
        memcpy(p, data, n);
        rc = ncr_anthropic_request_feed(req, p, n);
        free(p);

        data += n;
        size -= n;
    }

    return (rc == NCR_OK) ? ncr_anthropic_request_final(req) : rc;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                      a[300], b[300];
    uint32_t                  seed;
    ncr_int_t                 rc;
    ncr_str_t                 s, t;
    ncr_anthropic_request_t  *w, *p;

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    if (ncr_fuzz_plain.md == NULL) {
        ncr_fuzz_check(ncr_sha256_create(&ncr_fuzz_plain) == NCR_OK
                       && ncr_sha256_create(&ncr_fuzz_cached) == NCR_OK);
    }

    w = &ncr_fuzz_whole;
    p = &ncr_fuzz_parts;
    seed = data[size - 1] * 2654435761u + (uint32_t) size;

    rc = ncr_fuzz_run(w, data, size, seed, 1);

    ncr_fuzz_check(ncr_fuzz_run(p, data, size, seed, 0) == rc);

    if (rc != NCR_OK) {
        ncr_fuzz_check(rc == NCR_BAD);

        s = ncr_anthropic_request_error(w, a, sizeof(a));
        t = ncr_anthropic_request_error(p, b, sizeof(b));

        ncr_fuzz_check(s.len && s.len == t.len
                       && memcmp(s.data, t.data, s.len) == 0);
        return 0;
    }

    ncr_fuzz_check(w->model.len == p->model.len
                   && w->model.len < NCR_MODEL_LEN
                   && (w->model.len == 0
                       || memcmp(w->model.data, p->model.data, w->model.len)
                          == 0));
    ncr_fuzz_check(w->model_start == p->model_start
                   && w->model_end == p->model_end && w->model_end <= size);
    ncr_fuzz_check(w->model_end == 0
                   || (data[w->model_start] == '"'
                       && data[w->model_end - 1] == '"'));
    ncr_fuzz_check(w->max_tokens == p->max_tokens && w->stream == p->stream
                   && w->has_user_id == p->has_user_id);
    ncr_fuzz_check(w->session.len == p->session.len
                   && w->session.len <= NCR_ANTHROPIC_SESSION
                   && (w->session.len == 0
                       || memcmp(w->session.data, p->session.data,
                                 w->session.len) == 0));
    ncr_fuzz_check(w->hashed == p->hashed
                   && (!w->hashed
                       || memcmp(w->digest, p->digest, NCR_SHA256_LEN) == 0));
    ncr_fuzz_check(!w->hashed || w->session.len == 0);

    return 0;
}
