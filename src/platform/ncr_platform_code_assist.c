
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Accounts of Gemini Code Assist (others.md C6). */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_code_assist_credential(ncr_str_t *secret);


ncr_platform_t  ncr_platform_code_assist = {
    .name = ncr_string("code-assist"),
    .base_url = ncr_string("https://cloudcode-pa.googleapis.com"),
    .token = 1,
    .credential = ncr_platform_code_assist_credential,
    .classify = ncr_verdict_default,
    .oauth = &ncr_oauth_code_assist,
    .provider = "google"
};


static ncr_credential_e
ncr_platform_code_assist_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}
