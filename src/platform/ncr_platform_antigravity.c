
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Code Assist's other client (others.md C7): another envelope, another host,
 * more models.
 */


#include "ncr_assist.h"


/* the version is refused once it is too old, and that moves by the month */

static ncr_param_t  ncr_platform_antigravity_params[] = {
    { ncr_string("project"), ncr_string(""), 0, ncr_assist_check_project },
    { ncr_string("client_version"), ncr_string(""), 0,
      ncr_assist_check_word },
    { ncr_string("client_os"), ncr_string("darwin/arm64"), 0,
      ncr_assist_check_word },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_antigravity = {
    .name = ncr_string("antigravity"),
    .base_url = ncr_string("https://daily-cloudcode-pa.googleapis.com"),
    .ops = ncr_op_bit(NCR_OP_GENERATE)
           | ncr_op_bit(NCR_OP_STREAM_GENERATE)
           | ncr_op_bit(NCR_OP_GEMINI_COUNT)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_ASSIST),
    .token = 1,
    .credential = ncr_assist_credential,
    .classify = ncr_assist_classify,
    .oauth = &ncr_oauth_antigravity,
    .provider = "gcp.gemini",
    .probe = ncr_string("/v1internal:getCodeAssistGlobalUserSetting"),
    .params = ncr_platform_antigravity_params,
    .way = ncr_antigravity_way
};
