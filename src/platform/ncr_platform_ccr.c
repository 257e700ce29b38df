
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A router: another base URL that speaks the dialect, for models that name it,
 * "ccr,MODEL", and for no others (SEEDS 1.4, "ccr account").
 */


#include "ncr_verdict.h"


ncr_platform_t  ncr_platform_ccr = {
    .name = ncr_string("ccr"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS),
    .by_name = 1,
    .credential = ncr_platform_key_credential,
    .classify = ncr_platform_console_classify,
    .provider = "anthropic"
};
