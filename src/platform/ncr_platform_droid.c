
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Factory's Droid (anthropic.md J): three routes, each another dialect, with
 * an access token of a login or an API key "fk-...".
 */


#include "ncr_verdict.h"
#include "ncr_droid.h"
#include "ncr_str.h"


static ncr_credential_e ncr_platform_droid_credential(ncr_str_t *secret);
static void ncr_platform_droid_classify(ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);
static const char *ncr_platform_droid_switch(ncr_str_t *value);


/* J.3, J.4; in the order of ncr_droid_param_e */

static const ncr_param_t  ncr_platform_droid_params[] = {
    { ncr_string("user_agent"), ncr_string(""), 0, NULL },
    { ncr_string("factory_client"), ncr_string(""), 0, NULL },
    { ncr_string("api_provider"), ncr_string(""), 0, NULL },
    { ncr_string("system_prompt"), ncr_string("off"), 0,
      ncr_platform_droid_switch },
    { ncr_string(""), ncr_string(""), 0, NULL }
};


ncr_platform_t  ncr_platform_droid = {
    .name = ncr_string("droid"),
    .base_url = ncr_string("https://api.factory.ai"),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_CHAT)
           | ncr_op_bit(NCR_OP_RESPONSES),
    .token = 1,
    .key = 1,
    .credential = ncr_platform_droid_credential,
    .classify = ncr_platform_droid_classify,
    .oauth = &ncr_oauth_droid,
    .provider = "factory",
    .params = ncr_platform_droid_params,
    .way = ncr_droid_way
};


static ncr_credential_e
ncr_platform_droid_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


/*
 * Which of an account's keys is dead is told by 401, 402 and 403 alone (J.4):
 * any other 4xx is about the request.
 */

static void
ncr_platform_droid_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_verdict_default(reply, rests, v);

    if (v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT) {
        v->refresh = 1;
    }
}


static const char *
ncr_platform_droid_switch(ncr_str_t *value)
{
    return (ncr_str_eq(value, "on") || ncr_str_eq(value, "off"))
           ? NULL : "must be \"on\" or \"off\"";
}
