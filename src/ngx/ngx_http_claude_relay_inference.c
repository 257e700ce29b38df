
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /inference-profiles, answered here for clients of Bedrock's dialect
 * (clients.md, Claude Code): the models that an account of the pool serves,
 * as AWS's ListInferenceProfiles would tell of them.
 */


#include "ngx_http_claude_relay.h"
#include "ncr_bedrock.h"


#define NGX_HTTP_CLAUDE_RELAY_INFERENCE  1024


static void ngx_http_claude_relay_inference_json(ncr_out_t *out,
    ngx_http_claude_relay_model_t *m);


static ngx_str_t  ngx_http_claude_relay_inference_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_inference(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    size_t                           size;
    u_char                          *p;
    ncr_out_t                        out;
    ngx_str_t                        body;
    ngx_uint_t                       i, n;
    ngx_http_claude_relay_model_t  **list;

    n = ngx_http_claude_relay_models_served(r, &list);

    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    size = (n + 1) * NGX_HTTP_CLAUDE_RELAY_INFERENCE;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ncr_out_init(&out, p, size);
    ncr_out_text(&out, "{\"inferenceProfileSummaries\":[");

    for (i = 0; i < n; i++) {

        if (i) {
            ncr_out_text(&out, ",");
        }

        ngx_http_claude_relay_inference_json(&out, list[i]);
    }

    ncr_out_text(&out, "]}");

    if (out.overflow) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = out.last - p;

    return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                               &ngx_http_claude_relay_inference_type, &body);
}


/* which profile an account has is its own affair: any id finds one */

static void
ngx_http_claude_relay_inference_json(ncr_out_t *out,
    ngx_http_claude_relay_model_t *m)
{
    u_char     buf[NCR_BEDROCK_ID];
    ncr_out_t  name;
    ncr_str_t  id, prefix;

    ncr_str_set(&prefix, "global");
    ncr_out_init(&name, buf, sizeof(buf));

    if (ncr_bedrock_id(&name, ncr(&m->id), &prefix) != NCR_OK) {
        name.last = name.start;
    }

    id.data = buf;
    id.len = name.last - name.start;

    ncr_out_text(out, "{\"inferenceProfileId\":");
    ncr_out_json_string(out, &id);
    ncr_out_text(out, ",\"inferenceProfileName\":");
    ncr_out_json_string(out, ncr(&m->display));
    ncr_out_text(out, ",\"status\":\"ACTIVE\",\"type\":\"SYSTEM_DEFINED\","
                      "\"models\":[{\"modelArn\":"
                      "\"arn:aws:bedrock:::foundation-model/");
    id = ncr_bedrock_foundation(&id);
    ncr_out_json(out, &id);
    ncr_out_text(out, "\"}]}");
}
