
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_verdict.h"
#include "ncr_str.h"


ncr_platform_t  *ncr_platforms[] = {
    &ncr_platform_anthropic,
    &ncr_platform_oauth,
    &ncr_platform_console,
    &ncr_platform_ccr,
    &ncr_platform_droid,
    &ncr_platform_kiro,
    &ncr_platform_vertex,
    &ncr_platform_foundry,
    &ncr_platform_codex,
    &ncr_platform_bedrock,
    &ncr_platform_bedrock_mantle,
    &ncr_platform_claude_aws,
    &ncr_platform_openai,
    &ncr_platform_azure,
    &ncr_platform_code_assist,
    &ncr_platform_antigravity,
    &ncr_platform_gemini,
    NULL
};


ncr_platform_t *
ncr_platform_find(ncr_str_t *name)
{
    ncr_platform_t  **p;

    for (p = ncr_platforms; *p; p++) {
        if (ncr_str_eq(name, (char *) (*p)->name.data)) {
            return *p;
        }
    }

    return NULL;
}


/* anthropic.md K.2; a token that stands where a key belongs is still one */

ncr_credential_e
ncr_platform_key_credential(ncr_str_t *secret)
{
    if (ncr_str_prefix(secret, "sk-ant-oat")) {
        return NCR_CREDENTIAL_BEARER;
    }

    return ncr_str_prefix(secret, "sk-ant-") ? NCR_CREDENTIAL_X_API_KEY
                                             : NCR_CREDENTIAL_BEARER;
}
