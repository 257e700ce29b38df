
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * WebSocket frames: whole and in random pieces, which must tell the same; and
 * what was read, written and read once more.
 */


#include "../src/base/ncr_ws.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)


typedef struct {
    uint64_t    hash;
    ncr_uint_t  messages;
    ncr_uint_t  code;
    size_t      len;                    /* of what is told, as frames */
} ncr_fuzz_t;


static ncr_ws_t    ncr_fuzz_ws;
static ncr_char_t  ncr_fuzz_chunk[NCR_FUZZ_INPUT];
static ncr_char_t  ncr_fuzz_out[8 * NCR_FUZZ_INPUT];
static ncr_char_t  ncr_fuzz_copy[8 * NCR_FUZZ_INPUT];


/* all that was told before a fault; out: the same in frames of one's own */

static void
ncr_fuzz_feed(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size,
    ncr_uint_t masked, uint64_t max, ncr_uint_t seed, ncr_char_t *out)
{
    size_t           n, start, room;
    uint64_t         total;
    ncr_char_t      *p, *last;
    ncr_ws_event_e   event;

    memset(fuzz, 0, sizeof(ncr_fuzz_t));
    ncr_ws_init(&ncr_fuzz_ws);

    ncr_fuzz_ws.masked = masked ? 1 : 0;
    ncr_fuzz_ws.max = max;

    total = 0;
    start = 0;

    while (size) {

        seed = seed * 1103515245 + 12345;
        n = seed ? 1 + (seed >> 16) % 40 : size;
        n = ncr_min(n, size);

        /* at the end, where a sanitizer sees who reads beyond */

        last = ncr_fuzz_chunk + NCR_FUZZ_INPUT;
        p = last - n;
        memcpy(p, data, n);

        do {
            room = (size_t) (last - p);
            event = ncr_ws_next(&ncr_fuzz_ws, &p, last);

            ncr_fuzz_check((size_t) (last - p) <= room);

            switch (event) {

            case NCR_WS_DATA:

                if (total == 0) {
                    start = fuzz->len;
                    fuzz->len += NCR_WS_HEAD;
                }

                total += ncr_fuzz_ws.data.len;
                ncr_fuzz_check(max == 0 || total <= max);
                ncr_fuzz_hash(&fuzz->hash, ncr_fuzz_ws.data.data,
                              ncr_fuzz_ws.data.len);

                if (out) {
                    memcpy(out + fuzz->len, ncr_fuzz_ws.data.data,
                           ncr_fuzz_ws.data.len);
                }

                fuzz->len += ncr_fuzz_ws.data.len;
                break;

            case NCR_WS_MESSAGE:
                ncr_fuzz_hash(&fuzz->hash, "m", 1);
                fuzz->messages++;

                if (out) {

                    if (total == 0) {
                        start = fuzz->len;
                        fuzz->len += NCR_WS_HEAD;
                    }

                    room = ncr_ws_head(out + start, ncr_fuzz_ws.opcode, total,
                                       NULL);
                    memmove(out + start + room, out + start + NCR_WS_HEAD,
                            (size_t) total);
                    fuzz->len = start + room + (size_t) total;
                }

                total = 0;
                break;

            case NCR_WS_FRAME:
                ncr_fuzz_check(ncr_fuzz_ws.ncontrol <= NCR_WS_CONTROL);
                break;

            case NCR_WS_BAD:
                ncr_fuzz_check(ncr_fuzz_ws.error != NULL);
                fuzz->code = ncr_fuzz_ws.code;
                break;

            case NCR_WS_MORE:
                ncr_fuzz_check(p == last);
                break;
            }

        } while (event != NCR_WS_MORE);

        data += n;
        size -= n;
    }

    if (total) {
        fuzz->len = start;              /* the last one is not whole */
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t     max;
    ncr_uint_t   masked, seed;
    ncr_fuzz_t   whole, pieces, again;

    if (size < 3 || size - 3 > NCR_FUZZ_INPUT) {
        return 0;
    }

    masked = data[0] & 1;
    max = (data[0] & 2) ? data[1] : 0;
    seed = data[2];
    data += 3;
    size -= 3;

    ncr_fuzz_feed(&whole, data, size, masked, max, 0, ncr_fuzz_out);
    ncr_fuzz_feed(&pieces, data, size, masked, max, seed | 1, NULL);

    /* of a text that is none more or less is told before it is known */

    ncr_fuzz_check(whole.messages == pieces.messages);
    ncr_fuzz_check(whole.code == pieces.code);
    ncr_fuzz_check(whole.code == NCR_WS_INVALID || whole.hash == pieces.hash);

    memcpy(ncr_fuzz_copy, ncr_fuzz_out, whole.len);

    if (whole.len <= NCR_FUZZ_INPUT) {
        ncr_fuzz_feed(&again, ncr_fuzz_copy, whole.len, 0, max, seed | 1,
                      NULL);
        ncr_fuzz_check(again.messages == whole.messages && again.code == 0);
    }

    return 0;
}
