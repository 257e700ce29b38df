
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of HTTP answers: whole and in random pieces it must see the
 * same, within its bounds.  The first byte seeds the pieces, and tells
 * whether it was a HEAD and how much room there is.
 */


#include "../src/base/ncr_http.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)
#define NCR_FUZZ_HEAD    2048


typedef struct {
    uint64_t    headers;                /* hashes */
    uint64_t    body;
    size_t      bytes;
    size_t      used;
    ncr_uint_t  count;
    ncr_uint_t  status;
    ncr_int_t   rc;
    ncr_int_t   eof;
    unsigned    keep;
} ncr_fuzz_t;


static ncr_int_t
ncr_fuzz_header(ncr_http_t *http, ncr_str_t *name, ncr_str_t *value)
{
    size_t       i;
    ncr_fuzz_t  *fuzz;

    fuzz = http->data;

    ncr_fuzz_check(http->status >= 200 && http->status <= 599);
    ncr_fuzz_check(name->data >= http->buf
                   && name->data + name->len < value->data
                   && value->data + value->len < http->buf + http->size);
    ncr_fuzz_check(name->len > 0
                   && strlen((char *) name->data) == name->len
                   && strlen((char *) value->data) == value->len);

    for (i = 0; i < name->len; i++) {
        ncr_fuzz_check(name->data[i] > ' ' && name->data[i] < 0x7f
                       && name->data[i] != ':'
                       && (name->data[i] < 'A' || name->data[i] > 'Z'));
    }

    for (i = 0; i < value->len; i++) {
        ncr_fuzz_check(value->data[i] != '\r' && value->data[i] != '\n');
    }

    ncr_fuzz_hash(&fuzz->headers, name->data, name->len + 1);
    ncr_fuzz_hash(&fuzz->headers, value->data, value->len + 1);

    ncr_fuzz_check(++fuzz->count <= NCR_HTTP_HEADERS);

    return NCR_OK;
}


static ncr_int_t
ncr_fuzz_body(ncr_http_t *http, ncr_char_t *p, size_t len)
{
    ncr_fuzz_t  *fuzz;

    fuzz = http->data;

    ncr_fuzz_check(http->head_done && len > 0);

    fuzz->bytes += len;
    ncr_fuzz_hash(&fuzz->body, p, len);

    return NCR_OK;
}


static void
ncr_fuzz_run(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size, uint8_t how,
    uint32_t seed)
{
    size_t       n, used;
    ncr_char_t  *p, *buf;
    ncr_http_t   http;

    memset(fuzz, 0, sizeof(ncr_fuzz_t));

    ncr_http_init(&http);

    http.data = fuzz;
    http.header = ncr_fuzz_header;
    http.body = ncr_fuzz_body;
    http.head = how & 1;
    http.size = (how & 2) ? NCR_FUZZ_HEAD : 64;

    buf = malloc(http.size);
    http.buf = buf;

    fuzz->rc = NCR_AGAIN;

    while (size && fuzz->rc == NCR_AGAIN) {

        n = size;

        if (seed) {
            seed = seed * 1103515245 + 12345;
            n = ncr_min(size, 1 + (seed >> 16) % ((how & 4) ? 3 : 40));
        }

        p = malloc(n);
        memcpy(p, data, n);

        fuzz->rc = ncr_http_feed(&http, p, n, &used);

        free(p);

        ncr_fuzz_check(used <= n && (fuzz->rc != NCR_AGAIN || used == n));

        fuzz->used += used;
        data += used;
        size -= used;
    }

    fuzz->eof = ncr_http_eof(&http);
    fuzz->status = http.head_done ? http.status : 0;
    fuzz->keep = http.keep;

    ncr_fuzz_check(fuzz->rc == NCR_AGAIN
                   ? fuzz->eof == NCR_DONE || fuzz->eof == NCR_DECLINED
                   : fuzz->eof == fuzz->rc);
    ncr_fuzz_check(fuzz->rc != NCR_BAD || http.what != NULL);
    ncr_fuzz_check(!fuzz->keep || fuzz->rc == NCR_DONE);
    ncr_fuzz_check(fuzz->eof != NCR_DONE || http.head_done);
    ncr_fuzz_check(fuzz->bytes <= fuzz->used);

    free(buf);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t     how;
    ncr_fuzz_t  whole, pieces;

    if (size == 0 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    how = *data++;
    size--;

    ncr_fuzz_run(&whole, data, size, how, 0);
    ncr_fuzz_run(&pieces, data, size, how, how + 1);

    /* in what is invalid, it may be found earlier or later in its line */

    if (whole.rc == NCR_BAD) {
        whole.used = pieces.used;
    }

    ncr_fuzz_check(whole.rc == pieces.rc && whole.eof == pieces.eof
                   && whole.used == pieces.used
                   && whole.status == pieces.status
                   && whole.count == pieces.count
                   && whole.headers == pieces.headers
                   && whole.bytes == pieces.bytes
                   && whole.body == pieces.body
                   && whole.keep == pieces.keep);

    return 0;
}
