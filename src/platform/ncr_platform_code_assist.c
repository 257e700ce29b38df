
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Gemini by a Google login, as the Gemini CLI uses it (others.md C6): for its
 * own clients, and for those of the Gemini API.
 */


#include "ncr_assist.h"


static ncr_param_t  ncr_platform_code_assist_params[] = {
    { ncr_string("project"), ncr_string(""), 0, ncr_assist_check_project },
    { ncr_string("client_version"), ncr_string(""), 0,
      ncr_assist_check_word },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_code_assist = {
    .name = ncr_string("code-assist"),
    .base_url = ncr_string("https://cloudcode-pa.googleapis.com"),
    .ops = ncr_op_bit(NCR_OP_GENERATE)
           | ncr_op_bit(NCR_OP_STREAM_GENERATE)
           | ncr_op_bit(NCR_OP_GEMINI_COUNT)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_ASSIST),
    .token = 1,
    .credential = ncr_assist_credential,
    .classify = ncr_assist_classify,
    .oauth = &ncr_oauth_code_assist,
    .provider = "gcp.gemini",
    .probe = ncr_string("/v1internal:getCodeAssistGlobalUserSetting"),
    .params = ncr_platform_code_assist_params,
    .way = ncr_assist_way
};
