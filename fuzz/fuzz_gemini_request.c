
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request's body: whole and cut at a place that the input chooses it says
 * the same, members lie where they should, and nothing is read beyond it.
 */


#include "ncr_gemini.h"
#include "ncr_fuzz_request.h"


static ncr_sha256_t          fuzz_sha;
static ncr_gemini_request_t  fuzz_req[2];


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

    ncr_fuzz_check(members->n <= NCR_MEMBERS);
    ncr_fuzz_check(members->open && data[members->open - 1] == '{');
    ncr_fuzz_check(members->close < size && data[members->close] == '}');

    for (i = 0; i < members->n; i++) {
        m = &members->member[i];

        ncr_fuzz_check(m->name < NCR_GEMINI_NAMES);
        ncr_fuzz_check(m->key >= last && data[m->key] == '"');
        ncr_fuzz_check(m->start > m->key && m->end > m->start);
        ncr_fuzz_check(m->end <= members->close);

        last = m->end;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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

    rc = ncr_fuzz_read(&ncr_codec_gemini, &a->told, data, size, 0, 1);

    ncr_gemini_request_init(b, &fuzz_sha, 1);

    other = ncr_fuzz_feed(&ncr_codec_gemini, &b->told, data, cut);

    if (other == NCR_OK) {
        other = ncr_fuzz_read(&ncr_codec_gemini, &b->told, data + cut,
                              size - cut, 0, 1);
    }

    ncr_fuzz_check(rc == other);
    ncr_fuzz_compare(&ncr_codec_gemini, &a->told, &b->told, rc, data, size);

    if (rc != NCR_OK) {
        return 0;
    }

    fuzz_members(a, NCR_GEMINI_BODY, data, size);

    if (a->told.lists == NCR_GEMINI_LISTS) {
        fuzz_members(a, NCR_GEMINI_INNER, data, size);
    }

    return 0;
}
