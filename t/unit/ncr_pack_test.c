
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_pack.c"

#include "ncr_test.h"


static ncr_char_t  ncr_test_out[ncr_pack_bound(4096)];
static ncr_char_t  ncr_test_back[4096];


static ncr_int_t
ncr_test_round(const ncr_char_t *src, size_t len, size_t *size)
{
    *size = ncr_pack(ncr_test_out, src, len);

    if (*size > ncr_pack_bound(len)) {
        return 0;
    }

    memset(ncr_test_back, 0xa5, sizeof(ncr_test_back));

    return ncr_unpack(ncr_test_back, len, ncr_test_out, *size) == NCR_OK
           && (len == 0 || memcmp(ncr_test_back, src, len) == 0)
           && ncr_test_back[len] == 0xa5;
}


int
main(void)
{
    size_t      i, j, len, size;
    uint32_t    seed;
    ncr_char_t  src[2048];
    ncr_uint_t  fine;

    memset(src, 0, sizeof(src));

    ncr_test(ncr_test_round(src, 0, &size) && size == 0, "nothing");
    ncr_test(ncr_test_round(src, 1024, &size) && size == 10, "zeroes");

    memset(src, 7, sizeof(src));

    ncr_test(ncr_test_round(src, 1024, &size) && size == 1034, "no zeroes");

    memset(src, 0, sizeof(src));
    src[100] = 1;
    src[101] = 2;

    ncr_test(ncr_test_round(src, 300, &size) && size == 6,
             "two bytes among zeroes");

    fine = 1;
    seed = 1;

    for (i = 0; i < 20000; i++) {

        len = i % 700;

        for (j = 0; j < len; j++) {
            seed = seed * 1103515245 + 12345;
            src[j] = (seed >> 16) % (2 + i % 7)
                     ? 0 : (ncr_char_t) (seed >> 20);
        }

        fine = fine && ncr_test_round(src, len, &size);
    }

    ncr_test(fine, "whatever there is, is the same again");

    size = ncr_pack(ncr_test_out, src, 600);

    ncr_test(ncr_unpack(ncr_test_back, 599, ncr_test_out, size) == NCR_BAD
             && ncr_unpack(ncr_test_back, 601, ncr_test_out, size) == NCR_BAD,
             "another length");

    fine = 1;

    for (i = 0; i < size; i++) {
        fine = fine && ncr_unpack(ncr_test_back, 600, ncr_test_out, i)
                       == NCR_BAD;
    }

    ncr_test(fine, "cut off anywhere");

    return ncr_test_done();
}
