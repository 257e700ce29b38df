
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Answers of Redis: frames are the same however they are cut, and within
 * their bounds; redirections, errors and lines of INFO stay within their text.
 */


#include "../src/base/ncr_redis.c"
#include "ncr_fuzz.h"


static void
ncr_fuzz_frames(const uint8_t *data, size_t size, ncr_uint_t whole,
    ncr_redis_frame_t *frame, ncr_uint_t *replies, size_t *used)
{
    size_t    i, n;
    uint32_t  seed;

    memset(frame, 0, sizeof(ncr_redis_frame_t));

    *replies = 0;
    *used = 0;

    seed = ncr_fuzz_seed(data, size);

    for (i = 0; i < size; i += n) {

        n = ncr_fuzz_cut(&seed, size - i, whole);

        if (ncr_redis_frame(frame, data + i, n, replies) != NCR_OK) {
            ncr_fuzz_check(frame->wrong != NULL);
            return;
        }

        ncr_fuzz_check(frame->wrong == NULL);
        ncr_fuzz_check(frame->depth <= NCR_REDIS_DEPTH);
        ncr_fuzz_check(frame->size <= NCR_REDIS_REPLY);

        *used = i + n;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char               shown[64];
    size_t             a_used, b_used;
    ncr_str_t          text, value, secret;
    ncr_uint_t         a_replies, b_replies;
    ncr_redis_frame_t  a, b;
    ncr_redis_place_t  place;

    if (size == 0) {
        return 0;
    }

    ncr_fuzz_frames(data, size, 1, &a, &a_replies, &a_used);
    ncr_fuzz_frames(data, size, 0, &b, &b_replies, &b_used);

    ncr_fuzz_check((a.wrong == NULL) == (b.wrong == NULL));
    ncr_fuzz_check(a_replies == b_replies);
    ncr_fuzz_check(a.state == b.state && a.depth == b.depth
                   && a.size == b.size);

    /* a heap's copy has guards */

    text.len = size;
    text.data = malloc(size);
    memcpy(text.data, data, size);

    if (ncr_redis_moved(&text, &place) == NCR_OK) {
        ncr_fuzz_check(place.port > 0 && place.port < 65536);
        ncr_fuzz_check(strlen(place.host) < NCR_REDIS_HOST);
    }

    (void) ncr_redis_error_text(ncr_redis_error(&text));

    if (ncr_redis_info(&text, "aof_enabled", &value) == NCR_OK) {
        ncr_fuzz_check(value.data >= text.data
                       && value.data + value.len <= text.data + text.len);
    }

    secret.data = text.data;
    secret.len = ncr_min(size, 6);

    ncr_fuzz_check(!ncr_redis_shown(shown, sizeof(shown), &text, &secret));

    secret.len = 0;

    ncr_fuzz_check(ncr_redis_shown(shown, sizeof(shown), &text, &secret));
    ncr_fuzz_check(strlen(shown) == ncr_min(size, sizeof(shown) - 1));

    free(text.data);

    return 0;
}
