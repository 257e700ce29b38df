
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of requests in OpenAI's dialect: in random chunks as in one.  And
 * what edits of members make of a body: read by cJSON it lacks what was
 * removed, has what was added, and is what it was in everything else.
 */


#include "../src/codec/ncr_openai_request.c"
#include "../src/codec/ncr_openai_member.c"
#include "../src/codec/ncr_members.c"
#include "../src/base/ncr_edit.c"

#include <cjson/cJSON.h>
#include <stdlib.h>


#define NCR_FUZZ_INPUT  (64 * 1024)


static ncr_sha256_t          ncr_fuzz_plain;
static ncr_openai_request_t  ncr_fuzz_whole, ncr_fuzz_parts;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
ncr_fuzz_check(int cond)
{
    if (!cond) {
        abort();
    }
}


static ncr_int_t
ncr_fuzz_run(ncr_openai_request_t *req, const uint8_t *data, size_t size,
    uint32_t seed, ncr_op_e op, ncr_uint_t whole)
{
    size_t       n;
    ncr_int_t    rc;
    ncr_char_t  *p;

    memset(req, 0xA5, sizeof(ncr_openai_request_t));

    ncr_openai_request_init(req, &ncr_fuzz_plain, op);
    rc = NCR_OK;

    while (size && rc == NCR_OK) {
        seed = seed * 1103515245 + 12345;

        n = (seed >> 16) % ((seed & 0x100) ? 5 : 120);
        n = whole ? size : ncr_min(n, size);

        /* of its own, where a sanitizer sees who keeps a pointer */

        p = malloc(n + !n);
        memcpy(p, data, n);
        rc = ncr_openai_request_feed(req, p, n);
        free(p);

        data += n;
        size -= n;
    }

    return (rc == NCR_OK) ? ncr_openai_request_final(req) : rc;
}


static size_t
ncr_fuzz_edit(char *text, const uint8_t *data, size_t size, ncr_edit_t *edits,
    ncr_uint_t n)
{
    char        *p;
    size_t       pos;
    ncr_uint_t   i;

    p = text;
    pos = 0;

    for (i = 0; i < n; i++) {

        ncr_fuzz_check(edits[i].offset >= pos
                       && edits[i].offset + edits[i].remove <= size);

        memcpy(p, data + pos, edits[i].offset - pos);
        p += edits[i].offset - pos;

        if (edits[i].insert.len) {
            memcpy(p, edits[i].insert.data, edits[i].insert.len);
            p += edits[i].insert.len;
        }

        pos = edits[i].offset + edits[i].remove;
    }

    memcpy(p, data + pos, size - pos);

    return (size_t) (p - text) + size - pos;
}


static void
ncr_fuzz_members(ncr_members_t *members, const uint8_t *data, size_t size,
    uint64_t mask)
{
    char          *text;
    cJSON         *a, *b, *item, *next;
    size_t         i, len;
    ncr_str_t      added, name;
    ncr_edit_t     edits[NCR_MEMBERS + 4];
    ncr_uint_t     n;

    ncr_str_set(&added, "\"\\u0001fuzz\":[{}]");

    n = ncr_members_remove(members, mask, edits);
    n += ncr_members_add(members, mask, &added, edits + n);

    ncr_fuzz_check(n <= NCR_MEMBERS + 2);
    ncr_edit_sort(edits, n);

    text = malloc(size + 256);
    len = ncr_fuzz_edit(text, data, size, edits, n);

    /* cJSON's strings end with the first NUL */

    for (i = 0; i + 4 < size && memcmp(data + i, "u0000", 5) != 0; i++) {
        /* void */
    }

    a = (i + 4 < size) ? NULL
                       : cJSON_ParseWithLength((const char *) data, size);

    if (a != NULL) {

        b = cJSON_ParseWithLength(text, len);
        ncr_fuzz_check(cJSON_IsObject(b));

        item = cJSON_DetachItemFromObjectCaseSensitive(b, "\001fuzz");
        ncr_fuzz_check(cJSON_IsArray(item));
        cJSON_Delete(item);

        for (item = a->child; item; item = next) {
            next = item->next;

            name.data = (ncr_char_t *) item->string;
            name.len = strlen(item->string);

            n = ncr_openai_member(&name);

            if (n && (mask >> n & 1)) {
                ncr_fuzz_check(cJSON_GetObjectItemCaseSensitive(b,
                                                      item->string)
                               == NULL);

                cJSON_Delete(cJSON_DetachItemViaPointer(a, item));
            }
        }

        ncr_fuzz_check(cJSON_Compare(a, b, 1)
                       || cJSON_GetArraySize(a) == cJSON_GetArraySize(b));

        cJSON_Delete(a);
        cJSON_Delete(b);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                   a[300], b[300];
    uint32_t               seed;
    uint64_t               mask;
    ncr_op_e               op;
    ncr_int_t              rc;
    ncr_str_t              s, t;
    ncr_openai_request_t  *w, *p;

    static const ncr_op_e  ops[] = {
        NCR_OP_CHAT, NCR_OP_RESPONSES, NCR_OP_COMPACT, NCR_OP_EMBEDDINGS
    };

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    if (ncr_fuzz_plain.state == NULL) {
        ncr_fuzz_check(ncr_sha256_create(&ncr_fuzz_plain) == NCR_OK);
    }

    w = &ncr_fuzz_whole;
    p = &ncr_fuzz_parts;
    seed = data[size - 1] * 2654435761u + (uint32_t) size;
    op = ops[seed % 4];

    rc = ncr_fuzz_run(w, data, size, seed, op, 1);

    ncr_fuzz_check(ncr_fuzz_run(p, data, size, seed, op, 0) == rc);

    if (rc != NCR_OK) {
        ncr_fuzz_check(rc == NCR_BAD);

        s = ncr_openai_request_error(w, a, sizeof(a));
        t = ncr_openai_request_error(p, b, sizeof(b));

        ncr_fuzz_check(s.len && s.len == t.len
                       && memcmp(s.data, t.data, s.len) == 0);
        return 0;
    }

    ncr_fuzz_check(w->told.model.len == p->told.model.len
                   && w->told.model.len < NCR_MODEL_LEN
                   && (w->told.model.len == 0
                       || memcmp(w->told.model.data, p->told.model.data,
                                 w->told.model.len)
                          == 0));
    ncr_fuzz_check(w->told.model_end == 0
                   || (data[w->told.model_start] == '"'
                       && data[w->told.model_end - 1] == '"'));
    ncr_fuzz_check(w->told.max_tokens == p->told.max_tokens
                   && w->told.stream == p->told.stream
                   && w->told.thread == p->told.thread
                   && strcmp(w->told.previous, p->told.previous) == 0);
    ncr_fuzz_check(w->told.session.len == p->told.session.len
                   && (w->told.session.len == 0
                       || memcmp(w->told.session.data, p->told.session.data,
                                 w->told.session.len)
                          == 0));
    ncr_fuzz_check(w->told.hashed == p->told.hashed
                   && (!w->told.hashed
                       || memcmp(w->told.digest, p->told.digest,
                                 NCR_SHA256_LEN)
                          == 0));
    ncr_fuzz_check(w->members.n == p->members.n
                   && w->members.open == p->members.open
                   && w->members.close == p->members.close
                   && memcmp(w->members.member, p->members.member,
                             w->members.n * sizeof(ncr_member_t))
                      == 0);

    mask = ((uint64_t) seed << 32 | seed * 40503u) | 2;

    ncr_fuzz_members(&w->members, data, size, mask);
    ncr_fuzz_members(&w->members, data, size, 0);
    ncr_fuzz_members(&w->members, data, size, ~(uint64_t) 1);

    return 0;
}
