
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An answer, as a stream and as a body: whole and cut at a place that the
 * input chooses it says the same.
 */


#include "ncr_gemini.h"
#include "ncr_fuzz.h"


static ncr_gemini_answer_t  fuzz_answer[2];


static void
fuzz_feed(ncr_gemini_answer_t *a, ncr_uint_t body, const uint8_t *data,
    size_t size)
{
    ncr_char_t  *p;

    p = malloc(size + !size);
    ncr_fuzz_check(p != NULL);

    if (size) {
        memcpy(p, data, size);
    }

    if (body) {
        ncr_gemini_body_feed(a, p, size);

    } else {
        ncr_gemini_stream_feed(a, p, size);
    }

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t               cut;
    ncr_uint_t           body;
    ncr_answer_t        *ta, *tb;
    ncr_gemini_answer_t  *a, *b;

    if (size < 3) {
        return 0;
    }

    body = data[0] & 1;
    cut = (size_t) data[1] << 8 | data[2];

    data += 3;
    size -= 3;
    cut = size ? cut % size : 0;

    a = &fuzz_answer[0];
    b = &fuzz_answer[1];
    ta = &a->told;
    tb = &b->told;

    ncr_gemini_answer_init(a);
    fuzz_feed(a, body, data, size);

    ncr_gemini_answer_init(b);
    fuzz_feed(b, body, data, cut);
    fuzz_feed(b, body, data + cut, size - cut);

    ncr_fuzz_check(ta->state == tb->state);
    ncr_fuzz_check(ta->has_usage == tb->has_usage);
    ncr_fuzz_check(memcmp(&ta->usage, &tb->usage, sizeof(ta->usage)) == 0);
    ncr_fuzz_check(strcmp(ta->model, tb->model) == 0);
    ncr_fuzz_check(strcmp(ta->id, tb->id) == 0);
    ncr_fuzz_check(strcmp(ta->stop_reason, tb->stop_reason) == 0);
    ncr_fuzz_check(strcmp(ta->error_type, tb->error_type) == 0);
    ncr_fuzz_check(strcmp(ta->error_message, tb->error_message) == 0);
    ncr_fuzz_check(ncr_gemini_boundary(a) == ncr_gemini_boundary(b));

    return 0;
}
