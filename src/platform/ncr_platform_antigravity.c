
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Accounts of Antigravity (others.md C7). */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_antigravity_credential(ncr_str_t *secret);


ncr_platform_t  ncr_platform_antigravity = {
    .name = ncr_string("antigravity"),
    .base_url = ncr_string("https://daily-cloudcode-pa.googleapis.com"),
    .token = 1,
    .credential = ncr_platform_antigravity_credential,
    .classify = ncr_verdict_default,
    .oauth = &ncr_oauth_antigravity,
    .provider = "google"
};


static ncr_credential_e
ncr_platform_antigravity_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}
