
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The JSON scanner: whole against random chunks, and against cJSON.  What we
 * accept, cJSON must accept and see the same keys in; what it accepts we
 * must, too, where it is not laxer than the grammar.
 */


#include "../src/base/ncr_json.c"
#include "ncr_fuzz.h"

#include <cjson/cJSON.h>


#define NCR_FUZZ_INPUT   (64 * 1024)


typedef struct {
    uint64_t    tokens;                 /* a hash over all */
    uint64_t    keys;                   /* over the unescaped ones of depth 1 */
    ncr_uint_t  n;                      /* keys, or items if an array */
    ncr_uint_t  object;
    ncr_uint_t  skip;                   /* cJSON will see it otherwise */
} ncr_fuzz_t;


static ncr_json_t  ncr_fuzz_json;
static ncr_char_t  ncr_fuzz_chunk[NCR_FUZZ_INPUT];
static ncr_char_t  ncr_fuzz_text[NCR_FUZZ_INPUT];
static ncr_char_t  ncr_fuzz_keep[NCR_JSON_TEXT];


static void
ncr_fuzz_unescape(ncr_json_t *json, ncr_fuzz_t *fuzz, ncr_json_token_e token)
{
    ncr_str_t    s;
    ncr_char_t  *p;

    s.data = ncr_fuzz_text;

    if (ncr_json_unescape(&s, &json->text) != NCR_OK) {

        /* a cut must not make a good text bad, so it was bad before */

        fuzz->skip = 1;
        return;
    }

    ncr_fuzz_check(s.len <= json->text.len);

    if (!json->escaped) {
        ncr_fuzz_check(s.len == json->text.len);

    } else if (memchr(s.data, 0, s.len)) {
        fuzz->skip = 1;

    } else {

        /* cJSON refuses lone surrogates */

        for (p = s.data; p + 2 < s.data + s.len; p++) {
            if (memcmp(p, "\xEF\xBF\xBD", 3) == 0) {
                fuzz->skip = 1;
            }
        }
    }

    if (token == NCR_JSON_KEY && json->depth == 1) {
        fuzz->keys++;
        ncr_fuzz_hash(&fuzz->keys, s.data, s.len);
    }
}


static ncr_int_t
ncr_fuzz_token(ncr_json_t *json, ncr_json_token_e token)
{
    uint64_t     fact[4];
    ncr_fuzz_t  *fuzz;

    fuzz = json->data;

    fact[0] = (uint64_t) token;
    fact[1] = json->depth;
    fact[2] = json->start;
    fact[3] = json->end;

    ncr_fuzz_check(json->end > json->start);

    ncr_fuzz_hash(&fuzz->tokens, fact, sizeof(fact));

    /* what a cut may spare */
    ncr_fuzz_hash(&fuzz->tokens, json->text.data,
                  ncr_min(json->text.len, NCR_JSON_TEXT - 12));

    if (json->depth == 0 && json->start == json->end - 1) {
        fuzz->object = (token == NCR_JSON_OBJECT_END);
    }

    if (json->depth == 1
        && (token == NCR_JSON_KEY || token == NCR_JSON_OBJECT
            || token == NCR_JSON_ARRAY || token >= NCR_JSON_STRING))
    {
        fuzz->n++;
    }

    if (token == NCR_JSON_NUMBER) {

        /* cJSON reads no more than 63 bytes of it */

        if (json->text.len > 60) {
            fuzz->skip = 1;
        }

    } else if (token == NCR_JSON_KEY || token == NCR_JSON_STRING) {
        ncr_fuzz_unescape(json, fuzz, token);
    }

    return NCR_OK;
}


static void
ncr_fuzz_init(ncr_fuzz_t *fuzz, uint32_t seed)
{
    memset(fuzz, 0, sizeof(ncr_fuzz_t));
    ncr_json_init(&ncr_fuzz_json);

    ncr_fuzz_json.keep = ncr_fuzz_keep;
    ncr_fuzz_json.size = NCR_JSON_TEXT;

    ncr_fuzz_json.data = fuzz;
    ncr_fuzz_json.token = ncr_fuzz_token;
    ncr_fuzz_json.report = (seed & 0x80) ? seed & 3 : NCR_JSON_MAX_DEPTH;
}


static ncr_int_t
ncr_fuzz_run(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t whole)
{
    size_t       n;
    ncr_char_t  *p;

    ncr_fuzz_init(fuzz, seed);

    if (!whole) {
        ncr_fuzz_json.avx2 &= seed >> 6 & 1;
    }

    while (size) {
        seed = seed * 1103515245 + 12345;

        n = (seed >> 16) % ((seed & 0x100) ? 5 : 200);
        n = whole ? size : ncr_min(n, size);

        /* at the end, where a sanitizer sees who reads beyond it */

        p = ncr_fuzz_chunk + NCR_FUZZ_INPUT - n;
        memcpy(p, data, n);
        (void) ncr_json_feed(&ncr_fuzz_json, p, n);
        memset(p, 0xAA, n);

        data += n;
        size -= n;
    }

    return ncr_json_final(&ncr_fuzz_json);
}


static void
ncr_fuzz_cjson(ncr_fuzz_t *fuzz, const uint8_t *data, size_t size,
    ncr_int_t rc)
{
    size_t       i;
    cJSON       *root, *item;
    uint64_t     keys;
    const char  *end;
    ncr_uint_t   strict;

    root = cJSON_ParseWithLengthOpts((const char *) data, size, &end, 0);

    if (rc == NCR_OK && !fuzz->skip) {
        ncr_fuzz_check(root != NULL);

        for (i = (size_t) (end - (const char *) data); i < size; i++) {
            ncr_fuzz_check(strchr(" \t\r\n", data[i]) && data[i]);
        }

        keys = 0;

        if (cJSON_IsObject(root) || cJSON_IsArray(root)) {
            item = root->child;

            for (i = 0; item != NULL; item = item->next, i++) {
                if (item->string != NULL) {
                    keys++;
                    ncr_fuzz_hash(&keys, item->string,
                                  strlen(item->string));
                }
            }

            if (fuzz->object) {
                ncr_fuzz_check(fuzz->n >= i && keys == fuzz->keys);

            } else {
                ncr_fuzz_check(fuzz->n == i && keys == 0);
            }
        }
    }

    if (rc == NCR_BAD && root != NULL
        && strcmp(ncr_fuzz_json.error, "nesting too deep") != 0)
    {
        /*
         * cJSON takes any byte up to 32 for white space, reads 01 and 1.,
         * control characters in strings, and bytes that are no UTF-8
         */

        strict = 1;

        for (i = 0; i < size; i++) {
            if (data[i] < ' ' || data[i] > '~' || strchr("0123456789+-.",
                                                         data[i]))
            {
                strict = 0;
            }
        }

        i = (size_t) (end - (const char *) data);

        while (i < size && data[i] == ' ') {
            i++;
        }

        ncr_fuzz_check(!strict || i < size);
    }

    cJSON_Delete(root);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t     seed;
    uint64_t     offset;
    ncr_int_t    rc;
    ncr_fuzz_t   fuzz, other;
    const char  *error;

    /* the seed of the chunks is taken from the end, so that texts stay texts */

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    seed = ncr_fuzz_seed(data, size);

    rc = ncr_fuzz_run(&fuzz, data, size, seed, 1);
    error = ncr_fuzz_json.error;
    offset = ncr_fuzz_json.offset;

    if (ncr_fuzz_json.report == NCR_JSON_MAX_DEPTH) {
        ncr_fuzz_cjson(&fuzz, data, size, rc);
    }

    ncr_fuzz_check(rc == NCR_OK || (rc == NCR_BAD && offset <= size));

    ncr_fuzz_check(ncr_fuzz_run(&other, data, size, seed, 0) == rc);
    ncr_fuzz_check(ncr_fuzz_json.error == error
                   && ncr_fuzz_json.offset == offset
                   && fuzz.tokens == other.tokens && fuzz.n == other.n);

    return 0;
}
