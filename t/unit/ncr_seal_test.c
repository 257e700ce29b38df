
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_seal.c"

#include "ncr_test.h"


/* key, nonce and names as below, by another program than ours */

#define NCR_TEST_KEPT                                                         \
    "018f1e2d3c4b5a69788796a5b4116f5281eeb2691800d14fab7941ec01f5872c86c3"

/* by another program, N = 2^15, r = 8, p = 1 */

#define NCR_TEST_SCRYPT                                                       \
    "f6b71517e0d9f2e53beeacf71ffbf6f7e9f683c73cefb00e0915d242f0bf7ecd"


static ncr_char_t        ncr_test_key[NCR_SEAL_KEY];
static ncr_seal_place_t  ncr_test_place = { "accounts", "7", "refresh" };


static void
ncr_test_hex(ncr_char_t *dst, const char *hex)
{
    size_t  i;

    for (i = 0; hex[2 * i]; i++) {
        dst[i] = (ncr_char_t) (ncr_seal_hex((ncr_char_t) hex[2 * i]) << 4
                               | ncr_seal_hex((ncr_char_t) hex[2 * i + 1]));
    }
}


static ncr_int_t
ncr_test_open(const ncr_char_t *key, const char *table, const char *row,
    const char *column, ncr_str_t *sealed)
{
    ncr_char_t        out[256];
    ncr_seal_place_t  place;

    place.table = table;
    place.row = row;
    place.column = column;

    return ncr_seal_open(key, &place, sealed, out);
}


static void
ncr_test_round(void)
{
    size_t       i;
    ncr_str_t    plain, sealed, empty;
    ncr_uint_t   bad;
    ncr_char_t   buf[128], again[128], out[128], other[NCR_SEAL_KEY];

    ncr_str_set(&plain, "sk-ant-ort01-a secret");

    sealed.data = buf;
    sealed.len = plain.len + NCR_SEAL_EXTRA;

    ncr_test(ncr_seal(ncr_test_key, &ncr_test_place, &plain, buf) == NCR_OK,
             "seal");
    ncr_test(ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out)
             == NCR_OK
             && memcmp(out, plain.data, plain.len) == 0, "and open");

    ncr_test(ncr_seal(ncr_test_key, &ncr_test_place, &plain, again) == NCR_OK
             && memcmp(buf + 1, again + 1, NCR_SEAL_NONCE) != 0
             && memcmp(buf + 1 + NCR_SEAL_NONCE, again + 1 + NCR_SEAL_NONCE,
                       plain.len) != 0, "another nonce each time");

    memcpy(other, ncr_test_key, sizeof(other));
    other[31] ^= 1;

    ncr_test(ncr_test_open(other, "accounts", "7", "refresh", &sealed)
             == NCR_BAD, "another key");

    /* places */

    ncr_test(ncr_test_open(ncr_test_key, "accounts", "7", "refresh", &sealed)
             == NCR_OK, "its place");
    ncr_test(ncr_test_open(ncr_test_key, "logins", "7", "refresh", &sealed)
             == NCR_BAD, "another table");
    ncr_test(ncr_test_open(ncr_test_key, "accounts", "8", "refresh", &sealed)
             == NCR_BAD, "another row");
    ncr_test(ncr_test_open(ncr_test_key, "accounts", "7", "access", &sealed)
             == NCR_BAD, "another column");
    ncr_test(ncr_test_open(ncr_test_key, "accounts7", "", "refresh", &sealed)
             == NCR_BAD, "the row's name in that of the table");
    ncr_test(ncr_test_open(ncr_test_key, "accounts", "7refresh", "", &sealed)
             == NCR_BAD, "the column's name in that of the row");
    ncr_test(ncr_test_open(ncr_test_key, "", "accounts7", "refresh", &sealed)
             == NCR_BAD, "the table's name in that of the row");

    /* each bit counts: format, nonce, text, tag */

    bad = 0;

    for (i = 0; i < 8 * sealed.len; i++) {
        buf[i / 8] ^= (ncr_char_t) (1 << i % 8);
        bad += (ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out)
                == NCR_BAD);
        buf[i / 8] ^= (ncr_char_t) (1 << i % 8);
    }

    ncr_test(bad == 8 * sealed.len, "any changed bit");

    memset(out, 'x', sizeof(out));
    buf[sealed.len - 1] ^= 1;
    (void) ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out);
    buf[sealed.len - 1] ^= 1;

    ncr_test(memcmp(out, plain.data, plain.len) != 0,
             "nothing of what is not authentic is left");
    ncr_test(ERR_peek_error() == 0, "no error is left for others");

    bad = 0;

    for (i = 0; i < plain.len + NCR_SEAL_EXTRA; i++) {
        sealed.len = i;
        bad += (ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out)
                == NCR_BAD);
    }

    ncr_test(bad == plain.len + NCR_SEAL_EXTRA, "cut anywhere");

    /* nothing is something, too */

    ncr_str_null(&empty);
    sealed.len = NCR_SEAL_EXTRA;

    ncr_test(ncr_seal(ncr_test_key, &ncr_test_place, &empty, buf) == NCR_OK
             && ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out)
                == NCR_OK, "an empty text");

    buf[NCR_SEAL_EXTRA - 1] ^= 1;

    ncr_test(ncr_seal_open(ncr_test_key, &ncr_test_place, &sealed, out)
             == NCR_BAD, "an empty text, changed");

    empty.len = (size_t) NCR_SEAL_MAX + 1;

    ncr_test(ncr_seal(ncr_test_key, &ncr_test_place, &empty, buf)
             == NCR_ERROR, "a text that is too long");
}


/* what was sealed once must be readable by all later versions */

static void
ncr_test_kept(void)
{
    ncr_str_t         sealed;
    ncr_char_t        key[NCR_SEAL_KEY], buf[NCR_SEAL_EXTRA + 5], out[5];
    ncr_seal_place_t  place = { "meta", "key", "value" };

    ncr_test_hex(key, "f3c1a90b5d7e2240886fe1934ab7cd0e"
                      "915f3320b8e47a66d10c5ef2987ab413");
    ncr_test_hex(buf, NCR_TEST_KEPT);

    sealed.data = buf;
    sealed.len = sizeof(buf);

    ncr_test(ncr_seal_open(key, &place, &sealed, out) == NCR_OK
             && memcmp(out, "hello", 5) == 0, "a value sealed long ago");
}


static const char *
ncr_test_parse(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    return ncr_seal_key_parse(&s, ncr_test_key);
}


#define NCR_TEST_KEY                                                          \
    "f3c1a90b5d7e2240886fe1934ab7cd0e915f3320b8e47a66d10c5ef2987ab413"


static void
ncr_test_keys(void)
{
    char        text[NCR_SEAL_KEY_TEXT], other[NCR_SEAL_KEY_TEXT];
    size_t      i;
    ncr_uint_t  clean;
    ncr_char_t  key[NCR_SEAL_KEY];

    ncr_test(ncr_seal_key_text(key, text, sizeof(text)) == NCR_OK,
             "a fresh key");
    ncr_test(ncr_test_parse(text) == NULL
             && memcmp(key, ncr_test_key, sizeof(key)) == 0, "read back");
    ncr_test(ncr_seal_key_text(key, other, sizeof(other)) == NCR_OK
             && strcmp(text, other) != 0, "another one");
    ncr_test(ncr_seal_key_text(key, text, sizeof(text) - 1) == NCR_ERROR,
             "no room");

    ncr_test(ncr_test_parse(NCR_TEST_KEY) == NULL, "digits only");
    ncr_test(ncr_test_key[0] == 0xf3 && ncr_test_key[31] == 0x13,
             "are these bytes");
    ncr_test(ncr_test_parse("\n \t\r\n# a note\n  " NCR_TEST_KEY
                            " \r\n\n# end") == NULL, "blanks and comments");
    ncr_test(ncr_test_parse("F3C1A90B5D7E2240886FE1934AB7CD0E"
                            "915F3320B8E47A66D10C5EF2987AB413") == NULL
             && ncr_test_key[0] == 0xf3, "capitals");

    ncr_test(ncr_test_parse("") != NULL, "empty");
    ncr_test(ncr_test_parse("\n\n") != NULL, "blank");
    ncr_test(ncr_test_parse("# " NCR_TEST_KEY "\n") != NULL,
             "a comment only");
    ncr_test(ncr_test_parse("changeme") != NULL, "a word");
    ncr_test(ncr_test_parse(NCR_TEST_KEY "0") != NULL, "65 digits");
    ncr_test(ncr_test_parse(&NCR_TEST_KEY[1]) != NULL, "63 digits");
    ncr_test(ncr_test_parse("g3c1a90b5d7e2240886fe1934ab7cd0e"
                            "915f3320b8e47a66d10c5ef2987ab413") != NULL,
             "not a digit");
    ncr_test(ncr_test_parse("f3c1a90b5d7e2240886fe1934ab7cd0e "
                            "15f3320b8e47a66d10c5ef2987ab413") != NULL,
             "a blank between");
    ncr_test(ncr_test_parse(NCR_TEST_KEY "\n" NCR_TEST_KEY "\n") != NULL,
             "two keys");

    clean = 1;

    for (i = 0; i < NCR_SEAL_KEY; i++) {
        clean &= (ncr_test_key[i] == 0);
    }

    ncr_test(clean, "of a key that was refused nothing is left");

    ncr_test(ncr_test_parse("00000000000000000000000000000000"
                            "00000000000000000000000000000000") != NULL,
             "zeros");
    ncr_test(ncr_test_parse("abababababababababababababababab"
                            "abababababababababababababababab") != NULL,
             "equal bytes");
    ncr_test(ncr_test_parse("000102030405060708090a0b0c0d0e0f"
                            "101112131415161718191a1b1c1d1e1f") != NULL,
             "00 01 02");
    ncr_test(ncr_test_parse("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"
                            "efeeedecebeae9e8e7e6e5e4e3e2e1e0") != NULL,
             "ff fe fd");
    ncr_test(ncr_test_parse("0123456789abcdef0123456789abcdef"
                            "0123456789abcdef0123456789abcdef") != NULL,
             "0123456789abcdef, again and again");
    ncr_test(ncr_test_parse("6368616e67656d656368616e67656d65"
                            "6368616e67656d656368616e67656d65") != NULL,
             "changeme in hexadecimal");
    ncr_test(ncr_test_parse("706c65617365206368616e6765207468"
                            "6973206b6579206265666f7265207573") != NULL,
             "a text in hexadecimal");
    ncr_test(ncr_test_parse("00000000000000000000000000000000"
                            "00000000000000000000000000000001") != NULL,
             "nearly zeros");
}


static void
ncr_test_scrypt(void)
{
    ncr_str_t   pass;
    ncr_char_t  salt[NCR_SEAL_SALT], a[NCR_SEAL_KEY], b[NCR_SEAL_KEY];

    ncr_test_hex(a, NCR_TEST_SCRYPT);

    memcpy(salt, "0123456789abcdef", NCR_SEAL_SALT);
    ncr_str_set(&pass, "correct horse battery staple");

    ncr_test(ncr_seal_key_scrypt(&pass, salt, b) == NCR_OK
             && memcmp(a, b, sizeof(a)) == 0, "scrypt, a known value");

    salt[0] ^= 1;

    ncr_test(ncr_seal_key_scrypt(&pass, salt, b) == NCR_OK
             && memcmp(a, b, sizeof(a)) != 0, "scrypt, another salt");

    pass.len = 0;

    ncr_test(ncr_seal_key_scrypt(&pass, salt, b) == NCR_ERROR,
             "scrypt, no passphrase");
}


int
main(void)
{
    ncr_char_t  a[32], b[32];

    ncr_test(ncr_seal_random(ncr_test_key, sizeof(ncr_test_key)) == NCR_OK,
             "random");

    ncr_test_round();
    ncr_test_kept();
    ncr_test_keys();
    ncr_test_scrypt();

    ncr_test(ncr_seal_random(a, 32) == NCR_OK
             && ncr_seal_random(b, 32) == NCR_OK && memcmp(a, b, 32) != 0,
             "random bytes differ");

    memset(b, 0, sizeof(b));
    ncr_seal_forget(a, sizeof(a));
    ncr_seal_forget(NULL, 0);

    ncr_test(memcmp(a, b, sizeof(a)) == 0, "forgotten");

    return ncr_test_done();
}
