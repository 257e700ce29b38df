
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Redaction: a secret of a known shape does not survive, wherever in
 * whatever text it stands; a text never grows.
 */


#include "../src/base/ncr_redact.c"
#include "ncr_fuzz.h"


static const char *const  ncr_fuzz_secrets[] = {
    "sk-ant-api03-Zq9xvKw7", "sk-Zq9xvKw7Zq9xvKw7",
    "cr_5a7e91c05a7e91c05a7e91c0", "AIzaZq9xvKw7Zq9xvKw7Zq9xv",
    "ya29.Zq9xvKw7", "eyJZq9xvKw7Zq9xvKw7Zq9xvKw7", "AKIAZQ9XVKW7ZQ9X",
    "ghp_Zq9xvKw7Zq9xvKw7", "xoxb-Zq9xvKw7", "acme_Zq9xvKw7",
    "Zq9xvKw7-known-secret"
};


static int
ncr_fuzz_has(const ncr_char_t *p, size_t len, const char *text)
{
    size_t  i, n;

    n = strlen(text);

    for (i = 0; i + n <= len; i++) {
        if (memcmp(p + i, text, n) == 0) {
            return 1;
        }
    }

    return 0;
}


static size_t
ncr_fuzz_redact(ncr_char_t *p, size_t len, ncr_uint_t cut)
{
    ncr_redact_t  redact;

    ncr_str_t  known = ncr_string("Zq9xvKw7-known-secret");
    ncr_str_t  token = ncr_string("acme_");
    ncr_str_t  field = ncr_string("licence");

    redact.tokens = &token;
    redact.ntokens = 1;
    redact.fields = &field;
    redact.nfields = 1;

    return ncr_redact(&redact, &known, 1, p, len, cut);
}


/* between two spaces, somewhere in the text */

static void
ncr_fuzz_planted(const uint8_t *data, size_t size, uint8_t which, size_t at)
{
    size_t       n, len;
    const char  *secret;
    ncr_char_t  *p;

    secret = ncr_fuzz_secrets[which % (sizeof(ncr_fuzz_secrets)
                                       / sizeof(ncr_fuzz_secrets[0]))];
    n = strlen(secret);
    at = ncr_min(at, size);
    len = size + n + 2;

    if (ncr_fuzz_has(data, size, "Kw7") || ncr_fuzz_has(data, size, "KW7")
        || ncr_fuzz_has(data, size, "5a7e91c0"))
    {
        return;
    }

    p = malloc(len);
    memcpy(p, data, at);
    p[at] = ' ';
    memcpy(p + at + 1, secret, n);
    p[at + 1 + n] = ' ';
    memcpy(p + at + n + 2, data + at, size - at);

    len = ncr_fuzz_redact(p, len, which & 0x80);

    ncr_fuzz_check(len <= size + n + 2);
    ncr_fuzz_check(!ncr_fuzz_has(p, len, "Kw7"));
    ncr_fuzz_check(!ncr_fuzz_has(p, len, "KW7"));
    ncr_fuzz_check(!ncr_fuzz_has(p, len, "5a7e91c0"));

    free(p);
}


/* the first member of an object, and the rest of it whatever it may be */

static void
ncr_fuzz_member(const uint8_t *data, size_t size)
{
    size_t       len;
    ncr_char_t  *p;

    static const char  head[] = "{\"api_key\":\"Zq9xv\\\"Kw7\",";

    if (ncr_fuzz_has(data, size, "Kw7")) {
        return;
    }

    len = sizeof(head) - 1 + size;
    p = malloc(len);

    memcpy(p, head, sizeof(head) - 1);
    memcpy(p + sizeof(head) - 1, data, size);

    len = ncr_fuzz_redact(p, len, 0);

    ncr_fuzz_check(!ncr_fuzz_has(p, len, "Kw7"));
    ncr_fuzz_check(ncr_fuzz_has(p, len, "{\"api_key\":\"[redacted]\","));

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       len;
    ncr_char_t  *p;

    if (size < 3 || size > 65536) {
        return 0;
    }

    p = malloc(size);
    memcpy(p, data, size);

    len = ncr_fuzz_redact(p, size, 0);
    ncr_fuzz_check(len <= size);
    free(p);

    ncr_fuzz_planted(data + 3, size - 3, data[0],
                     (size_t) data[1] + 256 * (size_t) data[2]);
    ncr_fuzz_member(data + 3, size - 3);

    return 0;
}
