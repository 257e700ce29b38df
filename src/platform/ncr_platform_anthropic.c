
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The first party's API with an API key. */


#include "ncr_verdict.h"


ncr_platform_t  ncr_platform_anthropic = {
    ncr_string("anthropic"),
    ncr_string("https://api.anthropic.com"),
    1 << NCR_OP_MESSAGES
    | 1 << NCR_OP_COUNT_TOKENS
    | 1 << NCR_OP_MODELS
    | 1 << NCR_OP_BATCHES
    | 1 << NCR_OP_FILES,
    0,
    0,
    ncr_platform_key_credential,
    NULL,
    ncr_verdict_default,
    NULL,
    "anthropic"
};
