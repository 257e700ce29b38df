
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_password.c"

#include "ncr_test.h"


/* by another program, the salt 00 01 ... 0f, N = 2^15, r = 8, p = 1 */

#define NCR_TEST_HASH                                                         \
    "scrypt$15$8$1$AAECAwQFBgcICQoLDA0ODw$"                                   \
    "xy6UCICz8Vv_P6JqOkkUD4DOmhxN0tXSe6sQAUBxupQ"

#define NCR_TEST_PASSWORD  "correct horse battery"


static ncr_str_t
ncr_test_text(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    return s;
}


static ncr_int_t
ncr_test_check(const char *hash, const char *password)
{
    ncr_str_t  s;

    s = ncr_test_text(password);

    return ncr_password_check(hash, &s);
}


static const char *
ncr_test_weak(const char *password, const char *name)
{
    ncr_str_t  s, n;

    s = ncr_test_text(password);
    n = ncr_test_text(name);

    return ncr_password_weak(&s, &n);
}


static void
ncr_test_hash(void)
{
    char        text[NCR_PASSWORD_TEXT], other[NCR_PASSWORD_TEXT];
    size_t      i;
    ncr_str_t   password;
    ncr_char_t  salt[NCR_PASSWORD_SALT], large[NCR_PASSWORD_MAX + 1];

    for (i = 0; i < sizeof(salt); i++) {
        salt[i] = (ncr_char_t) i;
    }

    password = ncr_test_text(NCR_TEST_PASSWORD);

    ncr_test(ncr_password_hash(&password, salt, text) == NCR_OK
             && strcmp(text, NCR_TEST_HASH) == 0, "as others hash it");

    salt[0] = 1;
    ncr_test(ncr_password_hash(&password, salt, other) == NCR_OK
             && strcmp(text, other) != 0, "another salt, another hash");
    ncr_test(ncr_test_check(text, NCR_TEST_PASSWORD) == NCR_OK
             && ncr_test_check(other, NCR_TEST_PASSWORD) == NCR_OK,
             "it is the password");
    ncr_test(ncr_test_check(text, "correct horse batterx") == NCR_DECLINED
             && ncr_test_check(text, "correct horse batter") == NCR_DECLINED
             && ncr_test_check(text, "") == NCR_DECLINED, "it is not");
    ncr_test(ncr_test_check("", "") == NCR_DECLINED
             && ncr_test_check("", NCR_TEST_PASSWORD) == NCR_DECLINED,
             "nobody's password");

    text[sizeof(NCR_PASSWORD_HEAD)] ^= 1;
    ncr_test(ncr_test_check(text, NCR_TEST_PASSWORD) == NCR_DECLINED,
             "a salt that was changed");
    text[sizeof(NCR_PASSWORD_HEAD)] ^= 1;

    text[strlen(text) - 1] = '\0';
    ncr_test(ncr_test_check(text, NCR_TEST_PASSWORD) == NCR_DECLINED,
             "a hash that was cut");
    ncr_test(ncr_test_check("scrypt$15$8$1$$", "") == NCR_DECLINED
             && ncr_test_check("scrypt$14$8$1$AAECAwQFBgcICQoLDA0ODw$", "")
                == NCR_DECLINED
             && ncr_test_check("scrypt$15$8$1$AAECAwQFBgcICQoLDA0OD!$AA", "")
                == NCR_DECLINED, "no hashes");

    /* zeros are what is compared to if there is no hash */

    memset(text, 'A', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    ncr_test(ncr_test_check(text, "") == NCR_DECLINED, "zeros");

    memset(large, 'x', sizeof(large));
    password.data = large;
    password.len = NCR_PASSWORD_MAX;
    ncr_test(ncr_password_hash(&password, salt, text) == NCR_OK
             && ncr_password_check(text, &password) == NCR_OK,
             "the longest one");
    password.len++;
    ncr_test(ncr_password_check(text, &password) == NCR_DECLINED
             && ncr_password_hash(&password, salt, text) == NCR_ERROR
             && text[0] == '\0', "is not cut");
}


static void
ncr_test_weakness(void)
{
    ncr_uint_t  i;

    static const char  *weak[] = {
        "", "short", "ninechars", "aaaaaaaaaaaa", "abababababab",
        "1234567890", "abcdefghijkl", "9876543210", "192837465",
        "1928374650", "password123", "P-a-s-s-w-o-r-d",
        "changeme2026", "Administrator1", "alice.smith1", "ALICE-SMITH-77",
        "good one\twith tab", "good one\nwith line",
        "claude-relay 2026"
    };

    static const char  *good[] = {
        "correct horse battery", "Tr0ub4dor&3x", "1928374650192837",
        "alice and the rabbit", "p\xc3\xa4ssw\xc3\xb6rter.7",
        "\xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd\xe6\xb8\xaf\xe5\x8c\xba\xe5\x8f"
        "\xb0\xe5\x9c\xba\xe9\x9d\x92\xe5\xb1\xb1\xe5\x8d\x97"
    };

    for (i = 0; i < sizeof(weak) / sizeof(weak[0]); i++) {
        ncr_test(ncr_test_weak(weak[i], "alice_smith") != NULL, "weak");
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ncr_test(ncr_test_weak(good[i], "alice_smith") == NULL, "good");
    }

    ncr_test(ncr_test_weak("\xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd\xe6\xb8\xaf",
                           "") != NULL, "bytes are not characters");
}


static void
ncr_test_totp(void)
{
    char        code[NCR_TOTP_DIGITS + 1], text[NCR_TOTP_BASE32];
    uint64_t    step;
    ncr_str_t   s;
    ncr_uint_t  i;

    static const ncr_char_t  *key = (ncr_char_t *) "12345678901234567890";

    /* RFC 6238, appendix B, the last six of its eight digits */

    static const struct {
        uint64_t     time;
        const char  *code;
    } vectors[] = {
        { 59, "287082" },
        { 1111111109, "081804" },
        { 1111111111, "050471" },
        { 1234567890, "005924" },
        { 2000000000, "279037" },
        { 20000000000, "353130" }
    };

    /* RFC 4226, appendix D */

    static const char  *counts[] = {
        "755224", "287082", "359152", "969429", "338314", "254676", "287922",
        "162583", "399871", "520489"
    };

    for (i = 0; i < 6; i++) {
        ncr_totp_code(key, vectors[i].time / 30, code);
        ncr_test(strcmp(code, vectors[i].code) == 0, "RFC 6238");
    }

    for (i = 0; i < 10; i++) {
        ncr_totp_code(key, i, code);
        ncr_test(strcmp(code, counts[i]) == 0, "RFC 4226");
    }

    ncr_totp_base32(key, text);
    ncr_test(strcmp(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ") == 0, "base32");

    s = ncr_test_text("081804");

    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111109 * 1000, 0, &step)
             == NCR_OK && step == 37037036, "the present step");
    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111111 * 1000, 0, &step)
             == NCR_OK && step == 37037036
             && ncr_totp_check(key, &s, (ncr_msec_t) 1111111060 * 1000, 0,
                               &step) == NCR_OK
             && step == 37037036, "and its neighbours");
    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111141 * 1000, 0, &step)
             == NCR_DECLINED && step == 0
             && ncr_totp_check(key, &s, (ncr_msec_t) 1111111049 * 1000, 0,
                               &step) == NCR_DECLINED, "no others");
    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111109 * 1000, 37037036,
                            &step) == NCR_DECLINED
             && ncr_totp_check(key, &s, (ncr_msec_t) 1111111109 * 1000,
                               37037035, &step) == NCR_OK,
             "no code twice");

    s = ncr_test_text("81804");
    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111109 * 1000, 0, &step)
             == NCR_DECLINED, "a digit is missing");
    s = ncr_test_text("0818040");
    ncr_test(ncr_totp_check(key, &s, (ncr_msec_t) 1111111109 * 1000, 0, &step)
             == NCR_DECLINED, "one too many");
    s = ncr_test_text("755224");
    ncr_test(ncr_totp_check(key, &s, 0, 0, &step) == NCR_DECLINED
             && ncr_totp_check(key, &s, -30001, 0, &step) == NCR_DECLINED,
             "at the beginning of time");
}


int
main(void)
{
    ncr_test_hash();
    ncr_test_weakness();
    ncr_test_totp();

    return ncr_test_done();
}
