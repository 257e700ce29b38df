
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Bodies that may need no model, and models that may be Opus: whatever comes,
 * it ends, and an answer to it is one JSON text.
 */


#include "ncr_anthropic_local.h"
#include "ncr_json.h"
#include "ncr_plan.h"
#include "ncr_fuzz.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_out_t              out;
    ncr_str_t              body, id;
    ncr_char_t             buf[NCR_ANTHROPIC_LOCAL_ANSWER];
    ncr_json_t             json;
    ncr_uint_t             prefilled;
    ncr_anthropic_local_e  kind;

    body.data = (ncr_char_t *) (uintptr_t) data;
    body.len = size;

    (void) ncr_plan_serves(ncr_plan(&body), &body);
    (void) ncr_plan_serves(NCR_PLAN_PRO, &body);

    kind = ncr_anthropic_local(&body, &prefilled);

    if (kind == NCR_ANTHROPIC_LOCAL_NONE) {
        return 0;
    }

    ncr_str_set(&id, "0");

    body.len = ncr_min(body.len, 127);

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_anthropic_local_answer(&out, kind, prefilled, 0, &id, &body);

    ncr_json_init(&json);
    json.max_depth = NCR_JSON_MAX_DEPTH;

    if (out.overflow
        || ncr_json_feed(&json, buf, (size_t) (out.last - buf)) != NCR_OK
        || ncr_json_final(&json) != NCR_OK)
    {
        abort();
    }

    return 0;
}
