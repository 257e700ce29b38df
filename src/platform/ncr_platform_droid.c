
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Accounts of Factory's Droid (anthropic.md J). */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_droid_credential(ncr_str_t *secret);


ncr_platform_t  ncr_platform_droid = {
    .name = ncr_string("droid"),
    .base_url = ncr_string("https://api.factory.ai"),
    .token = 1,
    .credential = ncr_platform_droid_credential,
    .classify = ncr_verdict_default,
    .oauth = &ncr_oauth_droid,
    .provider = "factory",
    .key = 1
};


static ncr_credential_e
ncr_platform_droid_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}
