
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
#include "ncr_fuzz_request.h"


static ncr_sha256_t          ncr_fuzz_plain;
static ncr_openai_request_t  ncr_fuzz_whole, ncr_fuzz_parts;


static ncr_int_t
ncr_fuzz_run(ncr_openai_request_t *req, const uint8_t *data, size_t size,
    uint32_t seed, ncr_op_e op, ncr_uint_t whole)
{
    memset(req, 0xA5, sizeof(ncr_openai_request_t));

    ncr_openai_request_init(req, &ncr_fuzz_plain, op);

    return ncr_fuzz_read(&ncr_codec_openai, &req->told, data, size, seed,
                         whole);
}


static void
ncr_fuzz_members(ncr_members_t *members, const uint8_t *data, size_t size,
    uint64_t mask)
{
    char          *text;
    cJSON         *a, *b, *item, *next;
    size_t         len;
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

    a = ncr_fuzz_parse(data, size);

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
    uint32_t               seed;
    uint64_t               mask;
    ncr_op_e               op;
    ncr_int_t              rc;
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
    seed = ncr_fuzz_seed(data, size);
    op = ops[seed % 4];

    rc = ncr_fuzz_run(w, data, size, seed, op, 1);

    ncr_fuzz_check(ncr_fuzz_run(p, data, size, seed, op, 0) == rc);

    ncr_fuzz_compare(&ncr_codec_openai, &w->told, &p->told, rc, data, size);

    if (rc != NCR_OK) {
        return 0;
    }

    ncr_fuzz_check(w->told.thread == p->told.thread
                   && strcmp(w->told.previous, p->told.previous) == 0);
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
