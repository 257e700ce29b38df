
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Accounts of ChatGPT, for Codex (others.md A9). */


#include "ncr_verdict.h"


static ncr_credential_e ncr_platform_codex_credential(ncr_str_t *secret);


ncr_platform_t  ncr_platform_codex = {
    .name = ncr_string("codex"),
    .base_url = ncr_string("https://chatgpt.com/backend-api/codex"),
    .token = 1,
    .credential = ncr_platform_codex_credential,
    .classify = ncr_verdict_default,
    .oauth = &ncr_oauth_codex,
    .provider = "openai"
};


static ncr_credential_e
ncr_platform_codex_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}
