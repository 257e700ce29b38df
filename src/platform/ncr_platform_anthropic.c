
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The first party's API with an API key. */


#include "ncr_verdict.h"


ncr_platform_t  ncr_platform_anthropic = {
    .name = ncr_string("anthropic"),
    .base_url = ncr_string("https://api.anthropic.com"),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_BATCHES)
           | ncr_op_bit(NCR_OP_FILES),
    .credential = ncr_platform_key_credential,
    .classify = ncr_verdict_default,
    .provider = "anthropic"
};
