
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The first party's API with the access token of a subscription. */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_oauth_credential(ncr_str_t *secret);
static void ncr_platform_oauth_classify(ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);


static ncr_str_t  ncr_platform_oauth_beta = ncr_string("oauth-2025-04-20");


/* batches and files are for API keys only (anthropic.md F.4) */

ncr_platform_t  ncr_platform_oauth = {
    .name = ncr_string("claude-oauth"),
    .base_url = ncr_string("https://api.anthropic.com"),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS),
    .token = 1,
    .profile = 1,
    .credential = ncr_platform_oauth_credential,
    .beta = &ncr_platform_oauth_beta,
    .classify = ncr_platform_oauth_classify,
    .oauth = &ncr_oauth_claude,
    .provider = "anthropic"
};


static ncr_credential_e
ncr_platform_oauth_credential(ncr_str_t *secret)
{
    return NCR_CREDENTIAL_BEARER;
}


static void
ncr_platform_oauth_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_reply_text_t  text;

    ncr_verdict_default(reply, rests, v);

    if (v->class != NCR_CLASS_AUTH || v->fault != NCR_FAULT_ACCOUNT) {
        return;
    }

    ncr_reply_read(&text, reply);

    if (ncr_reply_says(&text, "authentication is currently not supported")) {

        /*
         * The beta was missing, so that the API did not look at the token:
         * no other account fares better and none is to blame (D.3).
         */

        ncr_verdict_set(v, NCR_FAULT_CLIENT, NCR_CLASS_AUTH, 0);
        return;
    }

    v->refresh = 1;
}
