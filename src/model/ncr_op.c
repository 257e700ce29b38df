
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_op.h"


const ncr_op_traits_t  ncr_ops[NCR_OPS] = {

    [NCR_OP_MESSAGES] = { ncr_string("messages"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_COUNT_TOKENS] = { ncr_string("count_tokens"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_SCANNED | NCR_OP_FREE },

    [NCR_OP_MODELS] = { ncr_string("models"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LOCAL },

    [NCR_OP_BATCHES] = { ncr_string("batches"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LISTS },

    [NCR_OP_FILES] = { ncr_string("files"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LISTS },

    [NCR_OP_PROBE] = { ncr_string("probe"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LOCAL },

    [NCR_OP_TELEMETRY] = { ncr_string("telemetry"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LOCAL },

    [NCR_OP_SELF] = { ncr_string("self"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_LOCAL },

    [NCR_OP_CHAT] = { ncr_string("chat"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_RESPONSES] = { ncr_string("responses"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_COMPACT] = { ncr_string("compact"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_INPUT_TOKENS] = { ncr_string("input_tokens"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_FREE },

    [NCR_OP_RESPONSE] = { ncr_string("response"), NCR_DIALECT_OPENAI,
      0 },

    [NCR_OP_SOCKET] = { ncr_string("socket"), NCR_DIALECT_OPENAI,
      NCR_OP_BILLED },

    [NCR_OP_EMBEDDINGS] = { ncr_string("embeddings"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_COMPLETIONS] = { ncr_string("completions"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_IMAGES] = { ncr_string("images"), NCR_DIALECT_OPENAI,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_OPENAI] = { ncr_string("openai"), NCR_DIALECT_OPENAI,
      NCR_OP_LISTS },

    [NCR_OP_CODEX] = { ncr_string("codex"), NCR_DIALECT_OPENAI,
      NCR_OP_FREE },

    [NCR_OP_GENERATE] = { ncr_string("generate"), NCR_DIALECT_GEMINI,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_STREAM_GENERATE] = { ncr_string("stream_generate"),
      NCR_DIALECT_GEMINI,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_GEMINI_COUNT] = { ncr_string("gemini_count"), NCR_DIALECT_GEMINI,
      NCR_OP_SCANNED | NCR_OP_FREE },

    [NCR_OP_GEMINI_EMBED] = { ncr_string("gemini_embed"), NCR_DIALECT_GEMINI,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_GEMINI] = { ncr_string("gemini"), NCR_DIALECT_GEMINI,
      NCR_OP_LISTS },

    [NCR_OP_ASSIST] = { ncr_string("assist"), NCR_DIALECT_GEMINI,
      NCR_OP_FREE },

    [NCR_OP_INVOKE] = { ncr_string("invoke"), NCR_DIALECT_BEDROCK,
      NCR_OP_SCANNED | NCR_OP_BILLED },

    [NCR_OP_INVOKE_STREAM] = { ncr_string("invoke_stream"), NCR_DIALECT_BEDROCK,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS },

    [NCR_OP_INVOKE_COUNT] = { ncr_string("invoke_count"), NCR_DIALECT_BEDROCK,
      NCR_OP_FREE },

    [NCR_OP_PROFILES] = { ncr_string("profiles"), NCR_DIALECT_BEDROCK,
      NCR_OP_LOCAL },

    [NCR_OP_PREDICT] = { ncr_string("predict"), NCR_DIALECT_ANTHROPIC,
      NCR_OP_SCANNED | NCR_OP_BILLED | NCR_OP_EVENTS }
};


ncr_str_t
ncr_dialect_name(ncr_dialect_e dialect)
{
    ncr_str_t  name;

    switch (dialect) {

    case NCR_DIALECT_OPENAI:
        ncr_str_set(&name, "openai");
        break;

    case NCR_DIALECT_GEMINI:
        ncr_str_set(&name, "gemini");
        break;

    case NCR_DIALECT_BEDROCK:
        ncr_str_set(&name, "bedrock");
        break;

    default:
        ncr_str_set(&name, "anthropic");
        break;
    }

    return name;
}
