
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* ChatGPT's back end for the Codex CLI, with a subscription (others.md A9). */


#include "ncr_codex.h"
#include "ncr_oauth_text.h"
#include "ncr_str.h"
#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_codex_credential(ncr_str_t *secret);
static void ncr_platform_codex_proof(ncr_out_t *out, ncr_str_t *secret,
    ncr_str_t *params, ncr_str_t *meta);
static const char *ncr_platform_codex_visible(ncr_str_t *value);
static const char *ncr_platform_codex_switch(ncr_str_t *value);


/* the order is known to ncr_codex_way.c */

typedef enum {
    NCR_PLATFORM_CODEX_ACCOUNT_ID = 3,
    NCR_PLATFORM_CODEX_FEDRAMP
} ncr_platform_codex_param_e;


/*
 * What is said of clients that this back end does not know: models have a
 * least version of the client, which rises (A12), so it can be configured.
 */

static const ncr_param_t  ncr_platform_codex_params[] = {
    { ncr_string("client_version"), ncr_string(""), 0,
      ncr_platform_codex_visible },
    { ncr_string("originator"), ncr_string(""), 0,
      ncr_platform_codex_visible },
    { ncr_string("user_agent"), ncr_string(""), 0, NULL },
    { ncr_string("account_id"), ncr_string(""), 0,
      ncr_platform_codex_visible },
    { ncr_string("fedramp"), ncr_string(""), 0,
      ncr_platform_codex_switch },
    { ncr_string("websocket"), ncr_string("off"), 0,
      ncr_platform_codex_switch },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_codex = {
    .name = ncr_string("codex"),
    .base_url = ncr_string("https://chatgpt.com/backend-api/codex"),
    .ops = ncr_op_bit(NCR_OP_RESPONSES)
           | ncr_op_bit(NCR_OP_COMPACT)
           | ncr_op_bit(NCR_OP_CODEX)
           | ncr_op_bit(NCR_OP_SOCKET)
           | ncr_op_bit(NCR_OP_MODELS),
    .token = 1,
    .credential = ncr_platform_codex_credential,
    .classify = ncr_codex_classify,
    .oauth = &ncr_oauth_codex,
    .provider = "openai",
    .params = ncr_platform_codex_params,
    .proof = ncr_platform_codex_proof,
    .way = ncr_codex_way,
    .translation = &ncr_codex_translation,
    .limits = ncr_codex_limits
};


static ncr_credential_e
ncr_platform_codex_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


/* A10; what an operator wrote stands above what the login told */

static void
ncr_platform_codex_proof(ncr_out_t *out, ncr_str_t *secret,
    ncr_str_t *params, ncr_str_t *meta)
{
    cJSON       *json;
    ncr_str_t    id;
    ncr_uint_t   fedramp;

    json = meta->len ? ncr_oauth_json(meta) : NULL;

    id = params[NCR_PLATFORM_CODEX_ACCOUNT_ID];

    if (id.len == 0) {
        id = ncr_oauth_string(json, "chatgpt_account_id");
    }

    fedramp = ncr_str_eq(&params[NCR_PLATFORM_CODEX_FEDRAMP], "on")
              || (params[NCR_PLATFORM_CODEX_FEDRAMP].len == 0
                  && cJSON_IsTrue(ncr_oauth_member(json, "fedramp")));

    ncr_out_text(out, "Authorization: Bearer ");
    ncr_out_str(out, secret);
    ncr_out_text(out, "\r\n");

    if (id.len && ncr_oauth_visible(&id)) {
        ncr_way_line(out, "ChatGPT-Account-ID", &id);
    }

    if (fedramp) {
        ncr_out_text(out, "X-OpenAI-Fedramp: true\r\n");
    }

    cJSON_Delete(json);
}


static const char *
ncr_platform_codex_visible(ncr_str_t *value)
{
    return ncr_oauth_visible(value) ? NULL
                                    : "must be of visible ASCII characters";
}


static const char *
ncr_platform_codex_switch(ncr_str_t *value)
{
    return (ncr_str_eq(value, "on") || ncr_str_eq(value, "off"))
           ? NULL : "must be \"on\" or \"off\"";
}
