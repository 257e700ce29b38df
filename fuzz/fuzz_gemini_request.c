
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request's body: whole and cut at a place that the input chooses it says
 * the same, members lie where they should, and nothing is read beyond it.
 */


#include "ncr_gemini.h"

#include <stdlib.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ncr_sha256_t          fuzz_sha;
static ncr_gemini_request_t  fuzz_req[2];


static void
fuzz_check(int ok)
{
    if (!ok) {
        abort();
    }
}


static ncr_int_t
fuzz_feed(ncr_gemini_request_t *req, const uint8_t *data, size_t size)
{
    ncr_int_t    rc;
    ncr_char_t  *p;

    p = malloc(size + !size);
    fuzz_check(p != NULL);

    if (size) {
        memcpy(p, data, size);
    }

    rc = ncr_gemini_request_feed(req, p, size);

    free(p);

    return rc;
}


static void
fuzz_members(ncr_gemini_request_t *req, ncr_uint_t list, const uint8_t *data,
    size_t size)
{
    uint64_t        last;
    ncr_uint_t      i;
    ncr_member_t   *m;
    ncr_members_t  *members;

    members = &req->members[list];
    last = members->open;

    fuzz_check(members->n <= NCR_MEMBERS);
    fuzz_check(members->open && data[members->open - 1] == '{');
    fuzz_check(members->close < size && data[members->close] == '}');

    for (i = 0; i < members->n; i++) {
        m = &members->member[i];

        fuzz_check(m->name < NCR_GEMINI_NAMES);
        fuzz_check(m->key >= last && data[m->key] == '"');
        fuzz_check(m->start > m->key && m->end > m->start);
        fuzz_check(m->end <= members->close);

        last = m->end;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                   buf[256];
    size_t                 cut;
    ncr_int_t              rc, other;
    ncr_gemini_request_t  *a, *b;

    if (size < 2) {
        return 0;
    }

    if (fuzz_sha.state == NULL
        && ncr_sha256_create(&fuzz_sha) != NCR_OK)
    {
        return 0;
    }

    cut = ((size_t) data[0] << 8 | data[1]) % size;
    data += 2;
    size -= 2;
    cut = ncr_min(cut, size);

    a = &fuzz_req[0];
    b = &fuzz_req[1];

    ncr_gemini_request_init(a, &fuzz_sha, 1);

    rc = fuzz_feed(a, data, size);
    rc = (rc == NCR_OK) ? ncr_gemini_request_final(a) : rc;

    ncr_gemini_request_init(b, &fuzz_sha, 1);

    other = fuzz_feed(b, data, cut);
    other = (other == NCR_OK) ? fuzz_feed(b, data + cut, size - cut) : other;
    other = (other == NCR_OK) ? ncr_gemini_request_final(b) : other;

    fuzz_check(rc == other);

    if (rc != NCR_OK) {
        fuzz_check(ncr_gemini_request_error(a, buf, sizeof(buf)).len != 0);
        return 0;
    }

    fuzz_members(a, NCR_GEMINI_BODY, data, size);

    if (a->told.lists == NCR_GEMINI_LISTS) {
        fuzz_members(a, NCR_GEMINI_INNER, data, size);
    }

    fuzz_check(a->told.model.len == b->told.model.len);
    fuzz_check(a->told.model.len == 0
               || memcmp(a->told.model.data, b->told.model.data,
                         a->told.model.len) == 0);
    fuzz_check(a->told.model_start == b->told.model_start);
    fuzz_check(a->told.max_tokens == b->told.max_tokens);
    fuzz_check(a->told.session.len == b->told.session.len);
    fuzz_check(a->told.session.len == 0
               || memcmp(a->told.session.data, b->told.session.data,
                         a->told.session.len) == 0);
    fuzz_check(a->told.hashed == b->told.hashed);
    fuzz_check(!a->told.hashed
               || memcmp(a->told.digest, b->told.digest, NCR_SHA256_LEN)
                  == 0);

    return 0;
}
