
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The reader of answers, as a stream and as a body: in chunks as in one. */


#include "../src/codec/ncr_anthropic_answer.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT  (64 * 1024)


static ncr_anthropic_answer_t  ncr_fuzz_whole, ncr_fuzz_parts;


static ncr_anthropic_reader_t *
ncr_fuzz_take(void)
{
    return malloc(sizeof(ncr_anthropic_reader_t));
}


static void
ncr_fuzz_give(ncr_anthropic_reader_t *reader)
{
    free(reader);
}


static ncr_anthropic_bill_t *
ncr_fuzz_take_bill(void)
{
    return malloc(sizeof(ncr_anthropic_bill_t));
}


static void
ncr_fuzz_give_bill(ncr_anthropic_bill_t *bill)
{
    free(bill);
}


static const ncr_anthropic_lender_t  ncr_fuzz_lender = {
    ncr_fuzz_take, ncr_fuzz_give, ncr_fuzz_take_bill, ncr_fuzz_give_bill
};


static void
ncr_fuzz_run(ncr_anthropic_answer_t *a, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t body, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p;

    memset(a, 0xA5, sizeof(ncr_anthropic_answer_t));
    ncr_anthropic_answer_init(a, &ncr_fuzz_lender);

    while (size) {
        n = ncr_fuzz_cut(&seed, size, whole);

        /* of its own, where a sanitizer sees who keeps a pointer */

        p = malloc(n + !n);
        memcpy(p, data, n);

        if (body) {
            ncr_anthropic_body_feed(a, p, n);

        } else {
            ncr_anthropic_stream_feed(a, p, n);
        }

        free(p);

        data += n;
        size -= n;
    }
}


/* the same of both, and not more than was told */

static void
ncr_fuzz_bills(ncr_anthropic_answer_t *w, ncr_anthropic_answer_t *p)
{
    ncr_str_t    asked;
    ncr_part_t   one[NCR_PARTS], two[NCR_PARTS];
    ncr_uint_t   i, n;
    ncr_usage_t  sum;

    ncr_str_set(&asked, "asked");

    n = ncr_anthropic_parts(w, &asked, one);

    ncr_fuzz_check(n == ncr_anthropic_parts(p, &asked, two)
                   && n <= NCR_PARTS && (n != 0) == w->told.has_usage);

    memset(&sum, 0, sizeof(sum));

    for (i = 0; i < n; i++) {
        ncr_fuzz_check(strcmp(one[i].model, two[i].model) == 0
                       && one[i].model[0] != '\0'
                       && memcmp(&one[i].usage, &two[i].usage,
                                 sizeof(sum)) == 0);
        ncr_anthropic_sum(&sum, &one[i].usage);
    }

    if (strcmp(w->told.stop_reason, "refusal") == 0) {
        ncr_fuzz_check(sum.input <= w->told.usage.input
                       && sum.output <= w->told.usage.output);

    } else {
        ncr_fuzz_check(memcmp(&sum, &w->told.usage, sizeof(sum)) == 0);
    }
}


static void
ncr_fuzz_compare(const uint8_t *data, size_t size, ncr_uint_t body)
{
    uint32_t                 seed;
    ncr_usage_t             *u;
    ncr_anthropic_answer_t  *w, *p;

    w = &ncr_fuzz_whole;
    p = &ncr_fuzz_parts;
    seed = ncr_fuzz_seed(data, size);

    ncr_fuzz_run(w, data, size, seed, body, 1);
    ncr_fuzz_run(p, data, size, seed, body, 0);

    ncr_fuzz_check(w->told.state == p->told.state
                   && w->told.messages == p->told.messages
                   && w->told.has_usage == p->told.has_usage);
    ncr_fuzz_check(memcmp(&w->told.usage, &p->told.usage,
                          sizeof(w->told.usage)) == 0);
    ncr_fuzz_check(strcmp(w->told.model, p->told.model) == 0
                   && strcmp(w->told.id, p->told.id) == 0
                   && strcmp(w->told.stop_reason, p->told.stop_reason) == 0
                   && strcmp(w->told.service_tier, p->told.service_tier) == 0
                   && strcmp(w->told.speed, p->told.speed) == 0
                   && strcmp(w->told.error_type, p->told.error_type) == 0
                   && strcmp(w->told.error_message,
                             p->told.error_message) == 0);
    ncr_fuzz_check(ncr_anthropic_boundary(w) == ncr_anthropic_boundary(p));

    ncr_fuzz_check(strcmp(w->told.inference_geo, p->told.inference_geo) == 0);
    ncr_fuzz_bills(w, p);

    u = &w->told.usage;

    ncr_fuzz_check(u->cache_write == u->cache_write_5m + u->cache_write_1h);
    ncr_fuzz_check(w->told.has_usage || (u->input == 0 && u->output == 0));

    ncr_anthropic_answer_done(w);
    ncr_anthropic_answer_done(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    ncr_fuzz_compare(data, size, 0);
    ncr_fuzz_compare(data, size, 1);

    return 0;
}
