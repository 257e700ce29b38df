
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Accounts of Kiro (others.md D). */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_kiro_credential(ncr_str_t *secret);


static const ncr_param_t  ncr_platform_kiro_params[] = {
    { ncr_string("region"), ncr_string("us-east-1"), 0, NULL },
    { ncr_string("start_url"), ncr_string(""), 0, NULL },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_kiro = {
    .name = ncr_string("kiro"),
    .base_url = ncr_string("https://q.us-east-1.amazonaws.com"),
    .token = 1,
    .credential = ncr_platform_kiro_credential,
    .classify = ncr_verdict_default,
    .oauth = &ncr_oauth_kiro,
    .provider = "aws.bedrock",
    .params = ncr_platform_kiro_params
};


static ncr_credential_e
ncr_platform_kiro_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}
