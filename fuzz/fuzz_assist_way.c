
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Requests to Code Assist: whatever a client sends, edits lie within the body
 * and in order, and of JSON they make JSON.
 */


#include "../src/platform/ncr_assist_way.c"
#include "../src/platform/ncr_assist_envelope.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_INPUT   (16 * 1024)


static ncr_gemini_request_t  ncr_fuzz_req;
static ncr_way_t             ncr_fuzz_way;
static ncr_str_t             ncr_fuzz_body, ncr_fuzz_params[3];
static ncr_json_t            ncr_fuzz_json;
static ncr_char_t            ncr_fuzz_target[1024], ncr_fuzz_lines[1024],
                             ncr_fuzz_text[8192];


static ncr_str_t
ncr_fuzz_whole(ncr_way_t *way)
{
    return ncr_fuzz_body;
}


static void
ncr_fuzz_given(const uint8_t *data, uint8_t how)
{
    ncr_way_t  *way;

    static const ncr_op_e  ops[] = {
        NCR_OP_GENERATE, NCR_OP_STREAM_GENERATE, NCR_OP_GEMINI_COUNT,
        NCR_OP_ASSIST
    };

    way = &ncr_fuzz_way;
    memset(way, 0, sizeof(ncr_way_t));
    memcpy(way->random, data, sizeof(way->random));

    ncr_str_set(&ncr_fuzz_params[0], "project");
    ncr_str_set(&ncr_fuzz_params[1], "1.2.3");
    ncr_str_set(&ncr_fuzz_params[2], "os/arch");

    way->op = ops[how & 3];
    ncr_str_set(&way->model, "gemini-3-pro-preview");
    way->asked = way->model;
    ncr_str_set(&way->base, "");
    ncr_str_set(&way->args, "alt=sse");
    ncr_str_set(&way->session, "0123456789abcdef0123");

    if (way->op == NCR_OP_ASSIST) {
        ncr_str_set(&way->path, "/v1internal:retrieveUserQuota");

    } else if (how & 4) {
        ncr_str_set(&way->path, "/v1internal:generateContent");

    } else {
        ncr_str_set(&way->path, "/v1beta/models/m:generateContent");
    }

    way->params = ncr_fuzz_params;
    way->length = ncr_fuzz_body.len;
    way->body = ncr_fuzz_whole;

    ncr_out_init(&way->target, ncr_fuzz_target, sizeof(ncr_fuzz_target));
    ncr_out_init(&way->lines, ncr_fuzz_lines, sizeof(ncr_fuzz_lines));
    ncr_out_init(&way->text, ncr_fuzz_text, sizeof(ncr_fuzz_text));
}


/* the edited body is fed as it would be sent */

static void
ncr_fuzz_sent(void)
{
    uint64_t     pos;
    ncr_uint_t   i;
    ncr_edit_t  *e;

    ncr_fuzz_check(ncr_fuzz_way.nedits <= NCR_WAY_EDITS);
    ncr_fuzz_check(!ncr_fuzz_way.text.overflow);

    ncr_edit_sort(ncr_fuzz_way.edits, ncr_fuzz_way.nedits);
    ncr_json_init(&ncr_fuzz_json);

    pos = 0;

    for (i = 0; i < ncr_fuzz_way.nedits; i++) {
        e = &ncr_fuzz_way.edits[i];

        ncr_fuzz_check(e->offset >= pos
                       && e->offset + e->remove <= ncr_fuzz_body.len);

        (void) ncr_json_feed(&ncr_fuzz_json, ncr_fuzz_body.data + pos,
                             (size_t) (e->offset - pos));
        (void) ncr_json_feed(&ncr_fuzz_json, e->insert.data, e->insert.len);

        pos = e->offset + e->remove;
    }

    (void) ncr_json_feed(&ncr_fuzz_json, ncr_fuzz_body.data + pos,
                         (size_t) (ncr_fuzz_body.len - pos));

    ncr_fuzz_check(ncr_json_final(&ncr_fuzz_json) == NCR_OK);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_int_t     rc;
    uint8_t       how;
    ncr_char_t   *copy;

    if (size < 17 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    how = data[16];

    /* of its own, where a sanitizer sees who reads beyond it */

    ncr_fuzz_body.len = size - 17;
    copy = malloc(ncr_fuzz_body.len + 1);
    memcpy(copy, data + 17, ncr_fuzz_body.len);
    ncr_fuzz_body.data = copy;

    ncr_fuzz_given(data, how);

    if (ncr_fuzz_way.op != NCR_OP_ASSIST) {

        ncr_gemini_request_init(&ncr_fuzz_req, NULL, 0);

        if (ncr_gemini_request_feed(&ncr_fuzz_req, copy, ncr_fuzz_body.len)
            != NCR_OK
            || ncr_gemini_request_final(&ncr_fuzz_req) != NCR_OK)
        {
            free(copy);
            return 0;
        }

        ncr_fuzz_way.members = ncr_fuzz_req.told.members;
        ncr_fuzz_way.lists = ncr_fuzz_req.told.lists;
    }

    rc = (how & 8) ? ncr_antigravity_way(&ncr_fuzz_way)
                   : ncr_assist_way(&ncr_fuzz_way);

    if (rc == NCR_OK && ncr_fuzz_body.len) {
        ncr_fuzz_sent();
    }

    free(copy);

    return 0;
}
