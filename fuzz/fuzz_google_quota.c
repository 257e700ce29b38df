
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An error of Google's: what is found in it lies in it, waits are in bounds,
 * and the verdict is one that the pool can act on.
 */


#include "ncr_google_quota.h"
#include "ncr_fuzz.h"


/* 2026-11-27T00:00:00Z, and what no wait is longer than */
#define FUZZ_NOW      ((ncr_msec_t) 1795737600 * 1000)
#define FUZZ_LONGEST  ((ncr_msec_t) 35 * 86400 * 1000)


static void
fuzz_inside(ncr_str_t *s, ncr_str_t *body)
{
    ncr_fuzz_check(s->len == 0
                   || (s->data >= body->data
                       && s->data + s->len <= body->data + body->len));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_char_t          *p;
    ncr_reply_t          reply;
    ncr_rests_t          rests;
    ncr_limits_t         limits;
    ncr_verdict_t        v;
    ncr_google_error_t   e;

    static const ncr_uint_t  statuses[] = { 400, 401, 403, 404, 429, 503 };

    if (size < 1) {
        return 0;
    }

    p = malloc(size);
    ncr_fuzz_check(p != NULL);

    memcpy(p, data + 1, size - 1);

    memset(&reply, 0, sizeof(reply));
    ncr_limits_reset(&limits);
    ncr_rests_default(&rests);

    reply.kind = (data[0] & 0x80) ? NCR_REPLY_STREAM_ERROR : NCR_REPLY_HTTP;
    reply.status = statuses[(data[0] & 0x3f) % 6];
    reply.now = FUZZ_NOW;
    reply.limits = &limits;
    reply.body.data = p;
    reply.body.len = size - 1;

    if (data[0] & 0x40) {
        ncr_str_set(&reply.family, "2.5-pro");
    }

    ncr_google_read(&e, &reply);

    fuzz_inside(&e.name, &reply.body);
    fuzz_inside(&e.message, &reply.body);
    fuzz_inside(&e.link, &reply.body);
    ncr_fuzz_check(e.delay >= -1 && e.delay <= FUZZ_LONGEST);
    ncr_fuzz_check(ncr_google_reset(&e, FUZZ_NOW) >= 0);

    memset(&v, 0xA5, sizeof(v));
    ncr_google_classify(&reply, &rests, &v);

    ncr_fuzz_check(v.class > NCR_CLASS_OK && v.class < NCR_CLASSES);
    ncr_fuzz_check(v.rest != NCR_REST_FOR || v.base > 0);
    ncr_fuzz_check(v.rest != NCR_REST_UNTIL || v.until > 0);
    ncr_fuzz_check(!v.family || reply.family.len);

    free(p);

    return 0;
}
