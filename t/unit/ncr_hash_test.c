
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_hash.c"
#include "ncr_test.h"


static ncr_sha256_t  ncr_test_ctx;
static ncr_char_t    ncr_test_digest[NCR_SHA256_LEN];


static int
ncr_test_hex(const char *hex)
{
    ncr_char_t  buf[2 * NCR_SHA256_LEN];

    ncr_hash_hex(buf, ncr_test_digest, NCR_SHA256_LEN);

    return memcmp(buf, hex, sizeof(buf)) == 0;
}


static void
ncr_test_sha256(void)
{
    int         i;
    ncr_char_t  buf[1000];

    ncr_sha256_init(&ncr_test_ctx);
    ncr_sha256_final(&ncr_test_ctx, ncr_test_digest);
    ncr_test(ncr_test_hex("e3b0c44298fc1c149afbf4c8996fb924"
                          "27ae41e4649b934ca495991b7852b855"),
             "sha256 of nothing");

    ncr_sha256_init(&ncr_test_ctx);
    ncr_sha256_update(&ncr_test_ctx, "a", 1);
    ncr_sha256_update(&ncr_test_ctx, "", 0);
    ncr_sha256_update(&ncr_test_ctx, "bc", 2);
    ncr_sha256_final(&ncr_test_ctx, ncr_test_digest);
    ncr_test(ncr_test_hex("ba7816bf8f01cfea414140de5dae2223"
                          "b00361a396177a9cb410ff61f20015ad"),
             "sha256 of abc");

    memset(buf, 'a', sizeof(buf));
    ncr_sha256_init(&ncr_test_ctx);

    for (i = 0; i < 1000; i++) {
        ncr_sha256_update(&ncr_test_ctx, buf, sizeof(buf));
    }

    ncr_sha256_final(&ncr_test_ctx, ncr_test_digest);
    ncr_test(ncr_test_hex("cdc76e5c9914fb9281a1c7e284d73e67"
                          "f1809a48a497200e046d39ccc7112cd0"),
             "sha256 of a million of a");

    /* init forgets what was not finished */

    ncr_sha256_init(&ncr_test_ctx);
    ncr_sha256_update(&ncr_test_ctx, "x", 1);
    ncr_sha256_init(&ncr_test_ctx);
    ncr_sha256_final(&ncr_test_ctx, ncr_test_digest);
    ncr_test(ncr_test_hex("e3b0c44298fc1c149afbf4c8996fb924"
                          "27ae41e4649b934ca495991b7852b855"),
             "sha256 begun anew");
}


/* RFC 4231 */

static void
ncr_test_hmac(void)
{
    ncr_str_t   key, parts[3];
    ncr_char_t  buf[131];

    memset(buf, 0x0B, 20);
    key.data = buf;
    key.len = 20;
    ncr_str_set(&parts[0], "Hi There");

    ncr_hmac_sha256(&ncr_test_ctx, &key, parts, 1, ncr_test_digest);
    ncr_test(ncr_test_hex("b0344c61d8db38535ca8afceaf0bf12b"
                          "881dc200c9833da726e9376c2e32cff7"), "hmac 1");

    ncr_str_set(&key, "Jefe");
    ncr_str_set(&parts[0], "what do ya ");
    ncr_str_null(&parts[1]);
    ncr_str_set(&parts[2], "want for nothing?");

    ncr_hmac_sha256(&ncr_test_ctx, &key, parts, 3, ncr_test_digest);
    ncr_test(ncr_test_hex("5bdcc146bf60754e6a042426089575c7"
                          "5a003f089d2739839dec58b964ec3843"),
             "hmac 2, in parts");

    memset(buf, 0xAA, 131);
    key.data = buf;
    key.len = 131;
    ncr_str_set(&parts[0], "Test Using Larger Than Block-Size Key - "
                           "Hash Key First");

    ncr_hmac_sha256(&ncr_test_ctx, &key, parts, 1, ncr_test_digest);
    ncr_test(ncr_test_hex("60e431591ee0b67f0d8a26aacbf5b77f"
                          "8e0bc6213728c5140546040f0ee37f54"),
             "hmac 6, a long key");

    ncr_str_null(&key);

    ncr_hmac_sha256(&ncr_test_ctx, &key, NULL, 0, ncr_test_digest);
    ncr_test(ncr_test_hex("b613679a0814d9ec772f95d778c35fc5"
                          "ff1697c493715653c6c712144292c5ad"),
             "hmac of nothing");
}


int
main(void)
{
    ncr_sha256_t  other;

    ncr_test(ncr_sha256_create(&ncr_test_ctx) == NCR_OK, "create");
    ncr_test(ncr_sha256_create(&other) == NCR_OK, "create another");

    ncr_test_sha256();
    ncr_test_hmac();

    ncr_test(ncr_hash_equal("abc", "abc", 3), "equal");
    ncr_test(!ncr_hash_equal("abc", "abd", 3), "not equal");
    ncr_test(ncr_hash_equal("abc", "abd", 2), "equal so far");
    ncr_test(ncr_hash_equal("", "", 0), "equal: nothing");

    ncr_sha256_free(&ncr_test_ctx);
    ncr_sha256_free(&ncr_test_ctx);
    ncr_sha256_free(&other);
    ncr_test(ncr_test_ctx.state == NULL, "free, twice");

    return ncr_test_done();
}
