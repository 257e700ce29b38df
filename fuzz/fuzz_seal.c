
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What comes from files: key files, and sealed values.  Only what was sealed
 * here can be opened; a key that is accepted means what its digits say.
 */


#include "../src/base/ncr_seal.c"
#include "ncr_fuzz.h"


static void
ncr_fuzz_key(ncr_str_t *text)
{
    char        again[2 * NCR_SEAL_KEY + 1];
    size_t      i;
    ncr_str_t   s;
    ncr_char_t  key[NCR_SEAL_KEY], other[NCR_SEAL_KEY];

    if (ncr_seal_key_parse(text, key) != NULL) {

        for (i = 0; i < NCR_SEAL_KEY; i++) {
            ncr_fuzz_check(key[i] == 0);
        }

        return;
    }

    for (i = 0; i < NCR_SEAL_KEY; i++) {
        snprintf(again + 2 * i, 3, "%02x", key[i]);
    }

    s.data = (ncr_char_t *) again;
    s.len = 2 * NCR_SEAL_KEY;

    ncr_fuzz_check(ncr_seal_key_parse(&s, other) == NULL);
    ncr_fuzz_check(memcmp(key, other, sizeof(key)) == 0);
}


/* the input as it is, and a value of ours that the input was mixed into */

static void
ncr_fuzz_sealed(ncr_str_t *input)
{
    size_t            i, n;
    ncr_str_t         plain, sealed;
    ncr_char_t       *out, *buf;
    ncr_uint_t        changed;
    ncr_seal_place_t  place = { "accounts", "1", "secret" };

    static const ncr_char_t  key[NCR_SEAL_KEY] = { 1, 2, 4, 8, 16, 32 };

    out = malloc(input->len + 1);

    ncr_fuzz_check(ncr_seal_open(key, &place, input, out) == NCR_BAD);

    free(out);

    n = input->len / 2;
    plain.data = input->data;
    plain.len = n;

    buf = malloc(n + NCR_SEAL_EXTRA);
    out = malloc(n + 1);

    ncr_fuzz_check(ncr_seal(key, &place, &plain, buf) == NCR_OK);

    sealed.data = buf;
    sealed.len = n + NCR_SEAL_EXTRA;

    ncr_fuzz_check(ncr_seal_open(key, &place, &sealed, out) == NCR_OK);
    ncr_fuzz_check(n == 0 || memcmp(out, plain.data, n) == 0);

    changed = 0;

    for (i = 0; i < sealed.len && n + i < input->len; i++) {
        changed |= (input->data[n + i] != 0);
        buf[i] ^= input->data[n + i];
    }

    ncr_fuzz_check(ncr_seal_open(key, &place, &sealed, out)
                   == (changed ? NCR_BAD : NCR_OK));

    free(buf);
    free(out);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t  s;

    if (size > 4096) {
        return 0;
    }

    s.len = size;
    s.data = malloc(size + !size);

    if (size) {
        memcpy(s.data, data, size);
    }

    ncr_fuzz_key(&s);
    ncr_fuzz_sealed(&s);

    free(s.data);

    return 0;
}
