
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Answers freed of Code Assist's envelope: whole, and in random chunks. */


#include "../src/platform/ncr_assist_unwrap.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)


typedef struct {
    ncr_char_t  text[4 * NCR_FUZZ_INPUT];
    size_t      len;
    ncr_int_t   rc;
} ncr_fuzz_t;


static ncr_fuzz_t            ncr_fuzz_whole, ncr_fuzz_parts;
static ncr_char_t            ncr_fuzz_chunk[NCR_FUZZ_INPUT];
static ncr_assist_unwrap_t   ncr_fuzz_unwrap;


/* what is added to an event is less than what made it one */

static ncr_int_t
ncr_fuzz_write(void *data, ncr_char_t *p, size_t len)
{
    ncr_fuzz_t  *fuzz = data;

    ncr_fuzz_check(len <= sizeof(fuzz->text) - fuzz->len);

    memcpy(fuzz->text + fuzz->len, p, len);
    fuzz->len += len;

    return NCR_OK;
}


static void
ncr_fuzz_run(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size,
    ncr_assist_form_e form, uint32_t seed, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p;

    fuzz->len = 0;
    fuzz->rc = NCR_OK;

    ncr_assist_unwrap_init(&ncr_fuzz_unwrap, form);

    while (size && fuzz->rc == NCR_OK) {
        n = ncr_fuzz_cut(&seed, size, whole);

        /* at the end, where a sanitizer sees who reads beyond it */

        p = ncr_fuzz_chunk + NCR_FUZZ_INPUT - n;
        memcpy(p, data, n);

        fuzz->rc = ncr_assist_unwrap_feed(&ncr_fuzz_unwrap, p, n,
                                          ncr_fuzz_write, fuzz);
        memset(p, 0xAA, n);

        data += n;
        size -= n;
    }

    if (fuzz->rc == NCR_OK) {
        fuzz->rc = ncr_assist_unwrap_end(&ncr_fuzz_unwrap, ncr_fuzz_write,
                                         fuzz);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t           seed;
    ncr_assist_form_e  form;

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    seed = ncr_fuzz_seed(data, size);
    form = (ncr_assist_form_e) (data[size - 1] % 3);

    ncr_fuzz_run(&ncr_fuzz_whole, data, size, form, seed, 1);
    ncr_fuzz_run(&ncr_fuzz_parts, data, size, form, seed, 0);

    ncr_fuzz_check(ncr_fuzz_whole.rc == ncr_fuzz_parts.rc);

    if (ncr_fuzz_whole.rc == NCR_OK) {
        ncr_fuzz_check(ncr_fuzz_whole.len == ncr_fuzz_parts.len
                       && memcmp(ncr_fuzz_whole.text, ncr_fuzz_parts.text,
                                 ncr_fuzz_whole.len) == 0);
    }

    return 0;
}
