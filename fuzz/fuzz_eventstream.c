
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of AWS event streams: whole and in random chunks it must see the
 * same.  Where a byte is odd, checksums are put right, so that what lies
 * behind them is reached.
 */


#include "../src/base/ncr_eventstream.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)


typedef struct {
    uint64_t    hash;
    uint64_t    paid;                   /* bytes of payload of a message */
    ncr_uint_t  heads;
    ncr_int_t   rc;
    ncr_uint_t  boundary;
    uint64_t    messages;
} ncr_fuzz_t;


static ncr_eventstream_t  ncr_fuzz_es;
static ncr_char_t         ncr_fuzz_chunk[NCR_FUZZ_INPUT];
static ncr_char_t         ncr_fuzz_data[NCR_FUZZ_INPUT];


static ncr_int_t
ncr_fuzz_head(ncr_eventstream_t *es)
{
    ncr_fuzz_t  *fuzz;

    fuzz = es->data;
    fuzz->heads++;
    fuzz->paid = 0;

    ncr_fuzz_hash(&fuzz->hash, es->message_type, strlen(es->message_type));
    ncr_fuzz_hash(&fuzz->hash, es->error_message, strlen(es->error_message));

    return NCR_OK;
}


static ncr_int_t
ncr_fuzz_payload(ncr_eventstream_t *es, ncr_char_t *p, size_t len)
{
    ncr_fuzz_t  *fuzz;

    fuzz = es->data;
    fuzz->paid += len;
    ncr_fuzz_hash(&fuzz->hash, p, len);

    return NCR_OK;
}


static ncr_int_t
ncr_fuzz_message(ncr_eventstream_t *es)
{
    ncr_fuzz_t  *fuzz;

    fuzz = es->data;
    ncr_fuzz_check(fuzz->paid == es->size);
    ncr_fuzz_hash(&fuzz->hash, "m", 1);

    return NCR_OK;
}


static ncr_int_t
ncr_fuzz_header(ncr_eventstream_t *es, ncr_str_t *name, ncr_uint_t type,
    ncr_str_t *value)
{
    ncr_fuzz_t  *fuzz;

    fuzz = es->data;

    ncr_fuzz_check(name->len <= NCR_EVENTSTREAM_NAME
                   && value->len <= NCR_EVENTSTREAM_TEXT
                   && type < NCR_EVENTSTREAM_TYPES);

    ncr_fuzz_hash(&fuzz->hash, name->data, name->len);
    ncr_fuzz_hash(&fuzz->hash, value->data, value->len);

    return NCR_OK;
}


/* checksums by the lengths as they are */

static void
ncr_fuzz_right(ncr_char_t *p, size_t size)
{
    uint32_t  total;

    while (size >= 12) {
        p[0] = 0;
        p[1] = 0;
        p[4] = 0;
        p[5] = 0;

        ncr_eventstream_put(p + 8, (uint32_t) crc32(0, p, 8));
        total = ncr_eventstream_int(p);

        if (total < NCR_EVENTSTREAM_FRAME || total > size) {
            return;
        }

        ncr_eventstream_put(p + total - 4,
                            (uint32_t) crc32(0, p, (uInt) total - 4));
        p += total;
        size -= total;
    }
}


static void
ncr_fuzz_run(ncr_fuzz_t *fuzz, size_t size, uint32_t seed, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p, *data;

    memset(fuzz, 0, sizeof(ncr_fuzz_t));
    ncr_eventstream_init(&ncr_fuzz_es);

    ncr_fuzz_es.data = fuzz;
    ncr_fuzz_es.head = ncr_fuzz_head;
    ncr_fuzz_es.payload = ncr_fuzz_payload;
    ncr_fuzz_es.message = ncr_fuzz_message;
    ncr_fuzz_es.header = ncr_fuzz_header;

    data = ncr_fuzz_data;

    while (size) {
        n = ncr_fuzz_cut(&seed, size, whole);

        /* at the end, where a sanitizer sees who reads beyond it */

        p = ncr_fuzz_chunk + NCR_FUZZ_INPUT - n;
        memcpy(p, data, n);
        fuzz->rc = ncr_eventstream_feed(&ncr_fuzz_es, p, n);
        memset(p, 0xAA, n);

        data += n;
        size -= n;
    }

    fuzz->boundary = ncr_eventstream_boundary(&ncr_fuzz_es);
    fuzz->messages = ncr_fuzz_es.messages;

    ncr_fuzz_check(fuzz->rc == NCR_OK
                   || (fuzz->rc == NCR_BAD && ncr_fuzz_es.error));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t    seed;
    ncr_fuzz_t  whole, parts;

    if (size < 2 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    seed = ncr_fuzz_seed(data, size);

    memcpy(ncr_fuzz_data, data, size);

    if (data[size / 2] & 1) {
        ncr_fuzz_right(ncr_fuzz_data, size);
    }

    ncr_fuzz_run(&whole, size, seed, 1);
    ncr_fuzz_run(&parts, size, seed, 0);

    ncr_fuzz_check(whole.rc == parts.rc && whole.heads == parts.heads
                   && whole.messages == parts.messages
                   && whole.boundary == parts.boundary);

    /* the hash of a payload does not know its pieces, but a broken message
     * may show more or less of it */

    ncr_fuzz_check(whole.rc != NCR_OK || whole.hash == parts.hash);

    return 0;
}
