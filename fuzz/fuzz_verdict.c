
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Verdicts on any reply: "platform kind status\nheaders\n\nbody".  Whatever
 * was replied, the verdict is one that health can act upon.
 */


#include "ncr_health.h"
#include "../src/platform/ncr_reply.c"
#include "../src/platform/ncr_verdict.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  ((ncr_msec_t) 1795262400 * 1000)


static ncr_str_t
ncr_fuzz_line(ncr_char_t **p, ncr_char_t *last)
{
    ncr_str_t  s;

    s.data = *p;

    while (*p < last && **p != '\n') {
        (*p)++;
    }

    s.len = (size_t) (*p - s.data);

    if (*p < last) {
        (*p)++;
    }

    return s;
}


static void
ncr_fuzz_verdict(ncr_reply_t *reply, ncr_verdict_t *v)
{
    ncr_msec_t    until;
    ncr_health_t  h;

    memset(&h, 0, sizeof(h));

    ncr_fuzz_check((ncr_uint_t) v->class < NCR_CLASSES
                   && v->fault <= NCR_FAULT_NETWORK
                   && v->rest <= NCR_REST_LOGIN);

    /* a fault of the client's is passed on, and costs the account nothing */

    if (v->fault == NCR_FAULT_CLIENT || v->fault == NCR_FAULT_NONE) {
        ncr_fuzz_check(!v->retry && v->rest == NCR_REST_NONE);
    }

    ncr_fuzz_check(v->rest != NCR_REST_FOR || v->base > 0);
    ncr_fuzz_check(v->rest != NCR_REST_BACKOFF
                   || (v->base > 0 && v->max >= v->base));
    ncr_fuzz_check(v->rest != NCR_REST_UNTIL || v->until > 0);
    ncr_fuzz_check(!v->family || v->fault == NCR_FAULT_MODEL);

    until = ncr_health_verdict(&h, v, reply->status, &reply->family,
                               NCR_FUZZ_NOW - 10, NCR_FUZZ_NOW, 12345);

    ncr_fuzz_check(until == 0 || until > NCR_FUZZ_NOW);
    ncr_fuzz_check(until == h.until || v->family);

    ncr_health_limits(&h, reply->limits, NCR_FUZZ_NOW);
    ncr_health_success(&h, &reply->family, NCR_FUZZ_NOW + 1,
                       NCR_FUZZ_NOW + 2);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t         line, name, value;
    ncr_char_t       *copy, *p, *last, *colon;
    ncr_reply_t       reply;
    ncr_rests_t       rests;
    ncr_uint_t        n;
    ncr_limits_t      limits;
    ncr_verdict_t     v;
    ncr_platform_t  **platform;

    if (size < 4) {
        return 0;
    }

    memset(&reply, 0, sizeof(reply));

    ncr_rests_default(&rests);
    ncr_limits_reset(&limits);

    copy = malloc(size);
    memcpy(copy, data, size);

    p = copy;
    last = copy + size;

    n = p[0];
    reply.kind = (ncr_reply_kind_e) (p[1] % 7);
    reply.status = (ncr_uint_t) ((p[2] % 5 + 1) * 100 + p[3] % 60);
    reply.background = (n & 0x80) ? 1 : 0;
    reply.limits = &limits;

    ncr_str_set(&reply.family, "opus");

    if (n & 0x40) {
        reply.family.len = 0;
    }

    p += 4;

    for ( ;; ) {
        line = ncr_fuzz_line(&p, last);

        if (line.len == 0) {
            break;
        }

        colon = memchr(line.data, ':', line.len);

        if (colon == NULL) {
            reply.content_type = line;
            continue;
        }

        name.data = line.data;
        name.len = (size_t) (colon - line.data);
        value.data = colon + 1;
        value.len = line.len - name.len - 1;

        ncr_limits_header(&limits, &name, &value, NCR_FUZZ_NOW);
    }

    /* of its own, where a sanitizer sees who reads beyond it */

    reply.body.len = (size_t) (last - p);
    reply.body.data = malloc(reply.body.len + 1);
    memcpy(reply.body.data, p, reply.body.len);
    reply.body.data = realloc(reply.body.data,
                              reply.body.len + !reply.body.len);

    for (platform = ncr_platforms; *platform; platform++) {
        memset(&v, 0xA5, sizeof(v));
        (*platform)->classify(&reply, &rests, &v);
        ncr_fuzz_verdict(&reply, &v);
    }

    free(reply.body.data);
    free(copy);

    return 0;
}
