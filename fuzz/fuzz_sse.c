
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of server-sent events: whole, in random chunks, and against a
 * plain reader that has the whole text before it.
 */


#include "../src/base/ncr_sse.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)
#define NCR_FUZZ_SIZE    100


typedef struct {
    uint64_t    hash;
    ncr_uint_t  asked;
    ncr_uint_t  events;
    ncr_uint_t  seed;
} ncr_fuzz_t;


static ncr_sse_t   ncr_fuzz_sse;
static ncr_char_t  ncr_fuzz_buf[NCR_FUZZ_SIZE];
static ncr_char_t  ncr_fuzz_chunk[NCR_FUZZ_INPUT];
static ncr_char_t  ncr_fuzz_data[NCR_FUZZ_INPUT + 1];


static void
ncr_fuzz_mix(ncr_fuzz_t *fuzz, const void *p, size_t len)
{
    ncr_fuzz_hash(&fuzz->hash, p, len);

    fuzz->hash = (fuzz->hash ^ 0x100) * 0x100000001b3ULL;
}


/* never wanted: short names with an "a"; the other reader does not forget */

static ncr_uint_t
ncr_fuzz_wanted(ncr_fuzz_t *fuzz, ncr_str_t *name, ncr_str_t *head)
{
    ncr_fuzz_check(name->len <= NCR_SSE_NAME && head->len <= NCR_SSE_HEAD);

    if (name->len && name->len < NCR_SSE_NAME
        && memchr(name->data, 'a', name->len))
    {
        return NCR_SSE_NEVER;
    }

    ncr_fuzz_mix(fuzz, name->data, name->len);
    ncr_fuzz_mix(fuzz, head->data, head->len);

    return (++fuzz->asked + fuzz->seed) % 3 != 0;
}


static void
ncr_fuzz_take(ncr_fuzz_t *fuzz, ncr_str_t *name, ncr_str_t *payload)
{
    fuzz->events++;

    ncr_fuzz_mix(fuzz, name->data, name->len);

    /* longer only if it was not copied */
    ncr_fuzz_mix(fuzz, payload->data, ncr_min(payload->len, NCR_FUZZ_SIZE));
}


static ncr_uint_t
ncr_fuzz_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    return ncr_fuzz_wanted(sse->data, name, head);
}


static ncr_int_t
ncr_fuzz_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_fuzz_check(!sse->cut || payload->len == NCR_FUZZ_SIZE);
    ncr_fuzz_take(sse->data, name, payload);

    return NCR_OK;
}


static void
ncr_fuzz_run(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p;

    memset(fuzz, 0, sizeof(ncr_fuzz_t));
    fuzz->seed = seed % 3;

    ncr_sse_init(&ncr_fuzz_sse);

    ncr_fuzz_sse.data = fuzz;
    ncr_fuzz_sse.want = ncr_fuzz_want;
    ncr_fuzz_sse.event = ncr_fuzz_event;
    ncr_fuzz_sse.buf = ncr_fuzz_buf;
    ncr_fuzz_sse.size = NCR_FUZZ_SIZE;

    while (size) {
        n = ncr_fuzz_cut(&seed, size, whole);

        /* at the end, where a sanitizer sees who reads beyond it */

        p = ncr_fuzz_chunk + NCR_FUZZ_INPUT - n;
        memcpy(p, data, n);
        ncr_fuzz_check(ncr_sse_feed(&ncr_fuzz_sse, p, n) == NCR_OK);
        memset(p, 0xAA, n);

        data += n;
        size -= n;
    }
}


/* a line, its end included; the last one may have none */

static size_t
ncr_fuzz_line(const uint8_t *p, size_t size, size_t *end)
{
    size_t  n;

    for (n = 0; n < size && p[n] != '\n' && p[n] != '\r'; n++) {
        /* void */
    }

    *end = (n == size) ? 0 : (p[n] == '\r' && n + 1 < size
                              && p[n + 1] == '\n') ? 2 : 1;
    return n;
}


static ncr_uint_t
ncr_fuzz_plain(ncr_fuzz_t *fuzz, const uint8_t *p, size_t size, uint32_t seed)
{
    size_t      n, end, skip;
    ncr_str_t   name, head, all;
    ncr_char_t  namebuf[NCR_SSE_NAME];
    ncr_uint_t  lines, wanted, pending;

    memset(fuzz, 0, sizeof(ncr_fuzz_t));
    fuzz->seed = seed % 3;

    if (size >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0) {
        p += 3;
        size -= 3;
    }

    name.data = namebuf;
    name.len = 0;
    all.data = ncr_fuzz_data;
    all.len = 0;
    lines = 0;
    wanted = 0;
    pending = 0;

    for ( /* void */ ; size; p += n + end, size -= n + end) {

        n = ncr_fuzz_line(p, size, &end);

        if (n == 0) {
            if (lines && wanted) {
                ncr_fuzz_take(fuzz, &name, &all);
            }

            name.len = 0;
            all.len = 0;
            lines = 0;
            pending = 0;

            continue;
        }

        pending |= (p[0] != ':');

        if (n >= 4 && memcmp(p, "data", 4) == 0 && (n == 4 || p[4] == ':')) {
            skip = (n == 4) ? 4 : (n > 5 && p[5] == ' ') ? 6 : 5;

            if (lines) {
                all.data[all.len++] = '\n';
            }

            memcpy(all.data + all.len, p + skip, n - skip);
            all.len += n - skip;

            if (lines == 0 && (end || all.len >= NCR_SSE_HEAD)) {
                head.data = all.data;
                head.len = ncr_min(all.len, NCR_SSE_HEAD);
                wanted = (ncr_fuzz_wanted(fuzz, &name, &head)
                          == NCR_SSE_YES);
            }

            lines++;

        } else if (n >= 5 && memcmp(p, "event", 5) == 0
                   && (n == 5 || p[5] == ':'))
        {
            skip = (n == 5) ? 5 : (n > 6 && p[6] == ' ') ? 7 : 6;

            name.len = ncr_min(n - skip, NCR_SSE_NAME);
            memcpy(name.data, p + skip, name.len);
        }

        if (end == 0) {
            return 0;
        }
    }

    return !pending;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t    seed;
    ncr_fuzz_t  whole, parts, plain;
    uint64_t    events;
    ncr_uint_t  boundary;

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    seed = ncr_fuzz_seed(data, size);

    boundary = ncr_fuzz_plain(&plain, data, size, seed);

    ncr_fuzz_run(&whole, data, size, seed, 1);
    ncr_fuzz_check(whole.hash == plain.hash && whole.events == plain.events
                   && whole.asked == plain.asked);
    ncr_fuzz_check(ncr_sse_boundary(&ncr_fuzz_sse) == boundary);
    events = ncr_fuzz_sse.events;

    ncr_fuzz_run(&parts, data, size, seed, 0);
    ncr_fuzz_check(parts.hash == plain.hash && parts.events == plain.events
                   && parts.asked == plain.asked);
    ncr_fuzz_check(ncr_fuzz_sse.events == events);
    ncr_fuzz_check(ncr_sse_boundary(&ncr_fuzz_sse) == boundary);

    return 0;
}
