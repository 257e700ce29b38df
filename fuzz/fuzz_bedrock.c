
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Payloads of AWS's frames as events: the input is the payload of a frame, or
 * with an odd byte in its middle, an event that is put into one.  Whole and in
 * pieces the same must come out, held or not, and it must be one event.
 */


#include "../src/platform/ncr_bedrock_events.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   4096
#define NCR_FUZZ_FRAME   (4 * NCR_FUZZ_INPUT)
#define NCR_FUZZ_MADE    (4 * NCR_FUZZ_INPUT)


static ncr_bedrock_events_t  ncr_fuzz_ev;
static ncr_char_t            ncr_fuzz_held[NCR_FUZZ_FRAME];
static ncr_char_t            ncr_fuzz_frame[NCR_FUZZ_FRAME];
static ncr_char_t            ncr_fuzz_payload[NCR_FUZZ_FRAME];
static ncr_char_t            ncr_fuzz_made[2][NCR_FUZZ_MADE];


static ncr_int_t
ncr_fuzz_write(void *data, ncr_char_t *p, size_t len)
{
    ncr_out_bytes(data, p, len);

    return NCR_OK;
}


static ncr_int_t
ncr_fuzz_run(ncr_out_t *out, size_t n, size_t room, uint32_t seed)
{
    size_t       len;
    ncr_int_t    rc;
    ncr_char_t  *p, *copy;

    rc = NCR_OK;

    ncr_bedrock_events_init(&ncr_fuzz_ev, ncr_fuzz_held, room,
                            ncr_fuzz_write, out);

    for (p = ncr_fuzz_frame; n && rc == NCR_OK; p += len, n -= len) {
        seed = seed * 1103515245 + 12345;
        len = seed ? 1 + (seed >> 16) % ((seed & 0x100) ? 4 : 200) : n;
        len = ncr_min(len, n);

        /* in memory of its own, where a sanitizer sees who overreads */

        copy = malloc(len);
        ncr_fuzz_check(copy != NULL);
        memcpy(copy, p, len);
        rc = ncr_bedrock_events_feed(&ncr_fuzz_ev, copy, len);
        free(copy);
    }

    return rc;
}


/* lines of one event, and a blank one behind them */

static void
ncr_fuzz_event(ncr_out_t *out)
{
    size_t       len, lines;
    ncr_char_t  *p, *end;

    lines = 0;

    for (p = out->start; p < out->last; p = end + 1) {
        end = memchr(p, '\n', (size_t) (out->last - p));
        ncr_fuzz_check(end != NULL);

        len = (size_t) (end - p);
        ncr_fuzz_check(memchr(p, '\r', len) == NULL);

        if (len == 0) {
            ncr_fuzz_check(end + 1 == out->last && lines);
            return;
        }

        ncr_fuzz_check((len >= 6 && memcmp(p, "data: ", 6) == 0)
                       || (len >= 7 && memcmp(p, "event: ", 7) == 0));
        lines++;
    }

    ncr_fuzz_check(lines == 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       begin, n;
    ncr_int_t    rc, again;
    ncr_out_t    frame, whole, parts;
    ncr_str_t    value, payload;
    ncr_char_t  *p;

    if (size < 2 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    p = ncr_fuzz_payload;

    if (data[size / 2] & 1) {
        memcpy(p, "{\"p\":\"\\\"\",\"bytes\":\"", 19);
        p = ncr_bedrock_base64(p + 19, data, size);
        memcpy(p, "\"}", 2);
        p += 2;

    } else {
        memcpy(p, data, size);
        p += size;
    }

    payload.data = ncr_fuzz_payload;
    payload.len = (size_t) (p - ncr_fuzz_payload);

    ncr_out_init(&frame, ncr_fuzz_frame, sizeof(ncr_fuzz_frame));
    begin = ncr_eventstream_begin(&frame);
    ncr_str_set(&value, "event");
    ncr_eventstream_string(&frame, ":message-type", &value);
    ncr_str_set(&value, "chunk");
    ncr_eventstream_string(&frame, ":event-type", &value);
    ncr_eventstream_end(&frame, begin, &payload);

    n = (size_t) (frame.last - frame.start);

    ncr_out_init(&whole, ncr_fuzz_made[0], NCR_FUZZ_MADE);
    rc = ncr_fuzz_run(&whole, n, NCR_FUZZ_FRAME, 0);

    ncr_out_init(&parts, ncr_fuzz_made[1], NCR_FUZZ_MADE);
    again = ncr_fuzz_run(&parts, n, NCR_FUZZ_FRAME, data[0] * 977u + 1);

    ncr_fuzz_check(rc == again && !whole.overflow && !parts.overflow);
    ncr_fuzz_check(whole.last - whole.start == parts.last - parts.start);
    ncr_fuzz_check(memcmp(whole.start, parts.start,
                          (size_t) (whole.last - whole.start)) == 0);
    ncr_fuzz_check(rc == NCR_OK || whole.last == whole.start);
    ncr_fuzz_event(&whole);

    /* with little room it goes out as it comes */

    ncr_out_init(&parts, ncr_fuzz_made[1], NCR_FUZZ_MADE);
    again = ncr_fuzz_run(&parts, n, NCR_BEDROCK_LEAD + 2 + 60,
                         data[0] * 977u + 1);

    ncr_fuzz_check(rc == again);

    if (rc == NCR_OK) {
        ncr_fuzz_event(&parts);
    }

    return 0;
}
