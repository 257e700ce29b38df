
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Networks as operators write them, against inet_pton(); what a client says
 * it is; and records of whatever texts, which hold what was put in.
 */


#include "../src/pool/ncr_key.c"
#include "../src/pool/ncr_key_cidr.c"
#include "../src/pool/ncr_key_client.c"
#include "ncr_fuzz.h"

#include <arpa/inet.h>


/* the same texts are addresses, and of the same value */

static void
ncr_fuzz_cidr(ncr_str_t *s)
{
    int             family, ok;
    char            text[128];
    size_t          i;
    ncr_char_t      cidr[NCR_KEY_CIDR], want[16];

    ok = (ncr_key_cidr(s, cidr) == NCR_OK);

    if (ok) {
        ncr_fuzz_check(cidr[16] <= 128);

        for (i = cidr[16]; i < 128; i++) {
            ncr_fuzz_check(!(cidr[i / 8] & (0x80 >> (i % 8))));
        }
    }

    if (s->len >= sizeof(text) || memchr(s->data, '/', s->len)
        || memchr(s->data, '\0', s->len))
    {
        return;
    }

    memcpy(text, s->data, s->len);
    text[s->len] = '\0';

    family = memchr(text, ':', s->len) ? AF_INET6 : AF_INET;

    memset(want, 0, 16);

    if (family == AF_INET) {
        want[10] = 0xff;
        want[11] = 0xff;
    }

    ncr_fuzz_check(ok == (inet_pton(family, text,
                                    family == AF_INET ? want + 12 : want)
                          == 1));
    ncr_fuzz_check(!ok || memcmp(cidr, want, 16) == 0);
}


static void
ncr_fuzz_signs(ncr_str_t *s)
{
    size_t           i;
    ncr_str_t       *field;
    ncr_key_signs_t  signs;

    memset(&signs, 0, sizeof(signs));

    ncr_fuzz_check(ncr_key_recognize(&signs) == 0);

    /* a byte for each field: how much of what is left is its */

    field = &signs.path;

    for (i = 0; i < sizeof(signs) / sizeof(ncr_str_t); i++) {

        if (s->len == 0) {
            break;
        }

        field[i].data = s->data + 1;
        field[i].len = ncr_min((size_t) s->data[0], s->len - 1);

        s->data += 1 + field[i].len;
        s->len -= 1 + field[i].len;
    }

    ncr_fuzz_check(ncr_key_recognize(&signs) < 16);
}


static void
ncr_fuzz_record(ncr_str_t *s)
{
    uint32_t         pos;
    ncr_str_t        item, got, all;
    ncr_key_room_t  *room;
    ncr_key_build_t  b;

    room = malloc(sizeof(ncr_key_room_t));

    ncr_key_begin(&b, room->buf, NCR_SCOPE_KEY);

    all = *s;

    while (s->len) {
        item.data = s->data + 1;
        item.len = ncr_min((size_t) s->data[0] * 8, s->len - 1);

        ncr_key_add(&b, &b.key->models, &item);

        s->data += 1 + item.len;
        s->len -= 1 + item.len;
    }

    ncr_key_put(&b, &b.key->name, &all);

    if (ncr_key_end(&b) == NCR_OK) {

        got = ncr_key_text(b.key, b.key->name);
        ncr_fuzz_check(got.len == all.len
                       && (got.len == 0
                           || memcmp(got.data, all.data, got.len) == 0));

        pos = 0;
        *s = all;

        while (ncr_key_next(b.key, b.key->models, &pos, &got) == NCR_OK) {
            ncr_fuzz_check(s->len && got.len == ncr_min((size_t) s->data[0] * 8,
                                                        s->len - 1));
            ncr_fuzz_check(memcmp(got.data, s->data + 1, got.len) == 0);
            s->data += 1 + got.len;
            s->len -= 1 + got.len;
        }

        ncr_fuzz_check(s->len == 0);

        (void) ncr_key_check_model(b.key, &all);
        (void) ncr_key_rate(b.key, &all);
    }

    free(room);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t    s;
    ncr_char_t  *copy;

    if (size < 1) {
        return 0;
    }

    copy = malloc(size);
    memcpy(copy, data, size);

    s.data = copy + 1;
    s.len = size - 1;

    switch (copy[0] % 3) {

    case 0:
        ncr_fuzz_cidr(&s);
        break;

    case 1:
        ncr_fuzz_signs(&s);
        break;

    default:
        ncr_fuzz_record(&s);
        break;
    }

    free(copy);

    return 0;
}
