
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of answers in OpenAI's dialect, as a stream, as a body and as
 * events of their own: in chunks as in one.
 */


#include "../src/codec/ncr_openai_answer.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT  (64 * 1024)


static ncr_openai_answer_t  ncr_fuzz_whole, ncr_fuzz_parts;

static void (*const ncr_fuzz_feeds[])(ncr_openai_answer_t *a, ncr_char_t *p,
    size_t len) =
{
    ncr_openai_stream_feed, ncr_openai_body_feed, ncr_openai_event_feed
};


static void
ncr_fuzz_run(ncr_openai_answer_t *a, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t how, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p;

    memset(a, 0xA5, sizeof(ncr_openai_answer_t));
    ncr_openai_answer_init(a, NCR_OP_RESPONSES);

    while (size) {
        n = ncr_fuzz_cut(&seed, size, whole);

        /* of its own, where a sanitizer sees who keeps a pointer */

        p = malloc(n + !n);
        memcpy(p, data, n);
        ncr_fuzz_feeds[how](a, p, n);
        free(p);

        data += n;
        size -= n;
    }

    if (how == 2) {
        ncr_openai_event_end(a);
    }
}


static void
ncr_fuzz_compare(const uint8_t *data, size_t size, ncr_uint_t how)
{
    uint32_t       seed;
    ncr_answer_t  *w, *p;

    seed = ncr_fuzz_seed(data, size);

    ncr_fuzz_run(&ncr_fuzz_whole, data, size, seed, how, 1);
    ncr_fuzz_run(&ncr_fuzz_parts, data, size, seed, how, 0);

    w = &ncr_fuzz_whole.told;
    p = &ncr_fuzz_parts.told;

    ncr_fuzz_check(w->state == p->state && w->messages == p->messages
                   && w->has_usage == p->has_usage
                   && w->pinged == p->pinged);
    ncr_fuzz_check(memcmp(&w->usage, &p->usage, sizeof(w->usage)) == 0);
    ncr_fuzz_check(strcmp(w->model, p->model) == 0
                   && strcmp(w->id, p->id) == 0
                   && strcmp(w->stop_reason, p->stop_reason) == 0
                   && strcmp(w->service_tier, p->service_tier) == 0
                   && strcmp(w->error_type, p->error_type) == 0
                   && strcmp(w->error_message, p->error_message) == 0);
    ncr_fuzz_check(ncr_sse_boundary(&ncr_fuzz_whole.sse)
                   == ncr_sse_boundary(&ncr_fuzz_parts.sse));
    ncr_fuzz_check(w->usage.cache_write
                   == w->usage.cache_write_5m + w->usage.cache_write_1h
                   && w->usage.thinking <= w->usage.output
                   && (w->has_usage || w->usage.input == 0));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_uint_t  how;

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    for (how = 0; how < 3; how++) {
        ncr_fuzz_compare(data, size, how);
    }

    return 0;
}
