
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an operator pastes: the first byte is the room there is.  A code that
 * is taken is visible ASCII and lies in the text or in the buffer; a message
 * can be shown on a terminal.
 */


#include "../src/base/ncr_uri.c"
#include "../src/platform/ncr_oauth_paste.c"
#include "ncr_fuzz.h"


static void
ncr_fuzz_slice(ncr_str_t *s, ncr_str_t *text, ncr_char_t *buf, size_t room)
{
    size_t  i;

    if (s->len == 0) {
        return;
    }

    ncr_fuzz_check((s->data >= text->data
                    && s->data + s->len <= text->data + text->len)
                   || (s->data >= buf && s->data + s->len <= buf + room));

    for (i = 0; i < s->len; i++) {
        ncr_fuzz_check(s->data[i] > ' ' && s->data[i] < 0x7f);
    }
}


/* what is escaped comes back as it was */

static void
ncr_fuzz_escape(ncr_str_t *text)
{
    size_t       size;
    ncr_str_t    s;
    ncr_out_t    out;
    ncr_char_t  *escaped, *plain;

    size = text->len * 3;

    escaped = malloc(size + !size);
    plain = malloc(size + !size);

    ncr_out_init(&out, escaped, size);
    ncr_uri_escape(&out, text);
    ncr_fuzz_check(!out.overflow);

    s.data = escaped;
    s.len = (size_t) (out.last - escaped);

    ncr_fuzz_check(ncr_uri_unescape(&s, plain) == NCR_OK);
    ncr_fuzz_check(s.len == text->len
                   && (s.len == 0 || memcmp(s.data, text->data, s.len) == 0));

    free(plain);
    free(escaped);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       i, room;
    ncr_str_t    text, code, state;
    const char  *err;
    ncr_char_t  *buf;

    if (size < 1 || size > 10 * 1024) {
        return 0;
    }

    text.len = size - 1;
    text.data = malloc(size);

    if (text.len) {
        memcpy(text.data, data + 1, text.len);
    }

    room = (data[0] & 0x80) ? data[0] & 0x7f : text.len + 1024;
    buf = malloc(room + !room);

    err = ncr_oauth_paste(&text, buf, room, &code, &state);

    if (err == NULL) {
        ncr_fuzz_check(code.len != 0);
        ncr_fuzz_slice(&code, &text, buf, room);
        ncr_fuzz_slice(&state, &text, buf, room);

    } else {
        ncr_fuzz_check(code.len == 0 && state.len == 0 && *err != '\0');

        for (i = 0; err[i]; i++) {
            ncr_fuzz_check(err[i] >= ' ' && err[i] < 0x7f);
        }
    }

    ncr_fuzz_escape(&text);

    free(buf);
    free(text.data);

    return 0;
}
