
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_test.h"
#include "../../src/pool/ncr_card.c"


static void
ncr_test_is(const char *text, const char *code)
{
    ncr_str_t   s;
    ncr_char_t  dst[NCR_CARD_CODE + 1];

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    memset(dst, 0, sizeof(dst));

    if (code == NULL) {
        ncr_test(ncr_card_read(dst, &s) == NCR_BAD, text);
        return;
    }

    ncr_test(ncr_card_read(dst, &s) == NCR_OK
             && strcmp((char *) dst, code) == 0, text);
}


int
main(void)
{
    ncr_str_t   s;
    ncr_uint_t  i, ok;
    ncr_char_t  random[NCR_CARD_RANDOM], code[NCR_CARD_CODE + 1];
    ncr_char_t  again[NCR_CARD_CODE + 1];

    memset(code, 0, sizeof(code));
    memset(again, 0, sizeof(again));

    for (i = 0; i < NCR_CARD_RANDOM; i++) {
        random[i] = (ncr_char_t) (i * 37);
    }

    ncr_card_code(code, random);
    ncr_test(strcmp((char *) code, "CC_AFLR_W38D_JPUZ") == 0, "a code");

    s.data = code;
    s.len = NCR_CARD_CODE;
    ok = 1;

    for (i = 0; i < 256; i++) {
        memset(random, (int) i, sizeof(random));
        ncr_card_code(code, random);
        ok &= (ncr_card_read(again, &s) == NCR_OK
               && memcmp(code, again, NCR_CARD_CODE) == 0);
    }

    ncr_test(ok, "each code is read as it was printed");

    ncr_test_is("CC_AFLR_W38E_KQV2", "CC_AFLR_W38E_KQV2");
    ncr_test_is("cc-aflr-w38e-kqv2", "CC_AFLR_W38E_KQV2");
    ncr_test_is(" AFLR W38E KQV2 ", "CC_AFLR_W38E_KQV2");
    ncr_test_is("CCCCCCCCCCCCCC", "CC_CCCC_CCCC_CCCC");
    ncr_test_is("CCCCCCCCCCCC", "CC_CCCC_CCCC_CCCC");
    ncr_test_is("", NULL);
    ncr_test_is("CC_AFLR_W38E_KQV", NULL);
    ncr_test_is("CC_AFLR_W38E_KQV2A", NULL);
    ncr_test_is("DC_AFLR_W38E_KQV2", NULL);
    ncr_test_is("CC_AFLR_W38E_KQV0", NULL);
    ncr_test_is("CC_AFLR_W38E_KQVI", NULL);
    ncr_test_is("CC_AFLR_W38E_KQV\"", NULL);

    return ncr_test_done();
}
