
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What it costs to make an event of a frame of AWS's: us of CPU for each of a
 * stream's deltas, read as they come from a connection.
 */


#include "ncr_bedrock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>


#define BENCH_EVENTS   20000
#define BENCH_READ     16384


static size_t  bench_bytes;


static ncr_int_t
bench_write(void *data, ncr_char_t *p, size_t len)
{
    (void) data;
    (void) p;

    bench_bytes += len;

    return NCR_OK;
}


static void
bench_frame(ncr_out_t *out)
{
    size_t       begin;
    ncr_str_t    value, payload;
    ncr_char_t   buf[512], *p;

    static const char  event[] =
        "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\" and what is said of it\"}}";

    p = buf + sprintf((char *) buf, "{\"bytes\":\"");
    p = ncr_bedrock_base64(p, (const ncr_char_t *) event, sizeof(event) - 1);
    p += sprintf((char *) p, "\",\"p\":\"abcdefghijklmnop\"}");

    payload.data = buf;
    payload.len = (size_t) (p - buf);

    begin = ncr_eventstream_begin(out);
    ncr_str_set(&value, "chunk");
    ncr_eventstream_string(out, ":event-type", &value);
    ncr_str_set(&value, "application/json");
    ncr_eventstream_string(out, ":content-type", &value);
    ncr_str_set(&value, "event");
    ncr_eventstream_string(out, ":message-type", &value);
    ncr_eventstream_end(out, begin, &payload);
}


int
main(void)
{
    size_t                 i, n, size;
    ncr_out_t              out;
    ncr_char_t            *p;
    struct timespec        from, to;

    static ncr_char_t            held[16384];
    static ncr_bedrock_events_t  ev;

    size = BENCH_EVENTS * 512;
    p = malloc(size);

    if (p == NULL) {
        return 1;
    }

    ncr_out_init(&out, p, size);

    for (i = 0; i < BENCH_EVENTS; i++) {
        bench_frame(&out);
    }

    size = (size_t) (out.last - out.start);

    ncr_bedrock_events_init(&ev, held, sizeof(held), bench_write, NULL);

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);

    for (i = 0; i < size; i += n) {
        n = size - i < BENCH_READ ? size - i : BENCH_READ;

        if (ncr_bedrock_events_feed(&ev, p + i, n) != NCR_OK) {
            return 1;
        }
    }

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);

    printf("us=%.3f\n", ((double) (to.tv_sec - from.tv_sec) * 1e6
                         + (double) (to.tv_nsec - from.tv_nsec) / 1e3)
                        / BENCH_EVENTS);

    free(p);

    return bench_bytes == 0 || ev.es.messages != BENCH_EVENTS;
}
