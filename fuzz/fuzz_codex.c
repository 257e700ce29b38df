
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What comes from ChatGPT's back end, and the input that is made fit for it.
 * The first byte says which reader is fed, the second one in which pieces.
 */


#include "ncr_codex.h"
#include "ncr_json.h"
#include "ncr_oauth_text.h"
#include "ncr_fuzz.h"


typedef struct {
    size_t       len;
    ncr_char_t  *data;
    size_t       size;
} ncr_fuzz_out_t;


static ncr_int_t
ncr_fuzz_write(void *data, ncr_char_t *p, size_t len)
{
    ncr_fuzz_out_t *out = data;

    if (out->size - out->len < len) {
        return NCR_ERROR;
    }

    memcpy(out->data + out->len, p, len);
    out->len += len;

    return NCR_OK;
}


/* the whole is JSON, if it is said to be whole, and the same in any pieces */

static void
ncr_fuzz_fold(const uint8_t *data, size_t size, size_t piece,
    ncr_fuzz_out_t *out, ncr_int_t *rc)
{
    void        *state;
    size_t       n;
    ncr_str_t    type, client;
    ncr_char_t  *p;

    ncr_str_set(&type, "text/event-stream");

    state = malloc(ncr_codex_translation.needs(NCR_OP_RESPONSES, &type,
                                               &client));
    if (state == NULL) {
        abort();
    }

    ncr_codex_translation.init(state, NCR_OP_RESPONSES, &type);

    *rc = NCR_OK;

    for ( /* void */ ; size && *rc == NCR_OK; size -= n, data += n) {

        n = ncr_min(size, piece);

        p = malloc(n);
        if (p == NULL) {
            abort();
        }

        memcpy(p, data, n);
        *rc = ncr_codex_translation.feed(state, p, n, ncr_fuzz_write, out);
        free(p);
    }

    if (*rc == NCR_OK) {
        *rc = ncr_codex_translation.end(state, ncr_fuzz_write, out);
    }

    free(state);
}


static void
ncr_fuzz_stream(const uint8_t *data, size_t size, size_t piece)
{
    ncr_int_t       rc[2];
    ncr_json_t      json;
    ncr_uint_t      i;
    ncr_fuzz_out_t  out[2];

    for (i = 0; i < 2; i++) {
        out[i].len = 0;
        out[i].size = 4 * size + 64;
        out[i].data = malloc(out[i].size);

        if (out[i].data == NULL) {
            abort();
        }

        ncr_fuzz_fold(data, size, i ? piece : size, &out[i], &rc[i]);
    }

    if (rc[0] == NCR_OK) {
        ncr_json_init(&json);

        if (ncr_json_feed(&json, out[0].data, out[0].len) != NCR_OK) {
            abort();
        }
    }

    /* names of members may be too long for pieces */

    if (rc[0] == NCR_OK && rc[1] == NCR_OK
        && (out[0].len != out[1].len
            || memcmp(out[0].data, out[1].data, out[0].len) != 0))
    {
        abort();
    }

    free(out[0].data);
    free(out[1].data);
}


static void
ncr_fuzz_input(ncr_str_t *text)
{
    size_t       len;
    ncr_json_t   json;
    ncr_uint_t   how;
    ncr_char_t  *buf;

    buf = malloc(text->len + !text->len);
    if (buf == NULL) {
        abort();
    }

    ncr_json_init(&json);

    for (how = 0; text->len && how < 4; how++) {

        if (ncr_codex_input(text, how & 1, how & 2, buf, &len) != NCR_OK) {
            continue;
        }

        ncr_json_init(&json);

        if (len > text->len || ncr_json_feed(&json, buf, len) != NCR_OK) {
            abort();
        }
    }

    free(buf);
}


static void
ncr_fuzz_failure(ncr_str_t *text, ncr_uint_t status)
{
    char           meta[NCR_OAUTH_META];
    ncr_out_t      out;
    ncr_json_t     json;
    ncr_char_t    *buf;
    ncr_reply_t    reply;
    ncr_rests_t    rests;
    ncr_limits_t   limits;
    ncr_verdict_t  v;

    memset(&reply, 0, sizeof(reply));

    ncr_limits_reset(&limits);
    ncr_rests_default(&rests);

    reply.status = 400 + status;
    reply.body = *text;
    reply.limits = &limits;

    ncr_codex_classify(&reply, &rests, &v);

    buf = malloc(6 * text->len + 1024);
    if (buf == NULL) {
        abort();
    }

    ncr_out_init(&out, buf, 6 * text->len + 1024);
    ncr_codex_translation.error(NCR_OP_RESPONSES, &reply, &out,
                                &reply.status);

    ncr_json_init(&json);

    if (out.overflow
        || (out.last != out.start
            && ncr_json_feed(&json, out.start,
                             (size_t) (out.last - out.start)) != NCR_OK))
    {
        abort();
    }

    free(buf);

    meta[0] = '\0';
    (void) ncr_codex_usage(text, &limits, meta, 1795262400000);
}


static void
ncr_fuzz_headers(ncr_str_t *text)
{
    ncr_str_t     name, value;
    ncr_char_t   *p, *last, *colon, *end;
    ncr_limits_t  limits;

    ncr_limits_reset(&limits);

    last = text->data + text->len;

    for (p = text->data; p < last; p = end + 1) {

        end = memchr(p, '\n', (size_t) (last - p));
        if (end == NULL) {
            break;
        }

        colon = memchr(p, ':', (size_t) (end - p));
        if (colon == NULL) {
            continue;
        }

        name.data = p;
        name.len = (size_t) (colon - p);
        value.data = colon + 1;
        value.len = (size_t) (end - value.data);

        ncr_codex_limits(&limits, &name, &value, 1795262400000);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t    text;
    ncr_char_t  *p;

    if (size < 3) {
        return 0;
    }

    text.len = size - 2;
    p = malloc(text.len);

    if (p == NULL) {
        abort();
    }

    memcpy(p, data + 2, text.len);
    text.data = p;

    switch (data[0] % 4) {

    case 0:
        ncr_fuzz_stream(p, text.len, (size_t) data[1] + 1);
        break;

    case 1:
        ncr_fuzz_input(&text);
        break;

    case 2:
        ncr_fuzz_failure(&text, data[1]);
        break;

    default:
        ncr_fuzz_headers(&text);
        break;
    }

    free(p);

    return 0;
}
