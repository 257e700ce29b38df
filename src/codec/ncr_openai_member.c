
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Names of a request's top-level members: others.md A2, A4, A7. */


#include "ncr_openai.h"
#include "ncr_codec_name.h"


static const ncr_name_t  ncr_openai_members[] = {
    { ncr_string("text"), NCR_OPENAI_TEXT },
    { ncr_string("type"), NCR_OPENAI_TYPE },
    { ncr_string("user"), NCR_OPENAI_USER },
    { ncr_string("input"), NCR_OPENAI_INPUT },
    { ncr_string("model"), NCR_OPENAI_MODEL },
    { ncr_string("store"), NCR_OPENAI_STORE },
    { ncr_string("tools"), NCR_OPENAI_TOOLS },
    { ncr_string("top_p"), NCR_OPENAI_TOP_P },
    { ncr_string("prompt"), NCR_OPENAI_PROMPT },
    { ncr_string("stream"), NCR_OPENAI_STREAM },
    { ncr_string("include"), NCR_OPENAI_INCLUDE },
    { ncr_string("generate"), NCR_OPENAI_GENERATE },
    { ncr_string("messages"), NCR_OPENAI_MESSAGES },
    { ncr_string("metadata"), NCR_OPENAI_METADATA },
    { ncr_string("reasoning"), NCR_OPENAI_REASONING },
    { ncr_string("stream_id"), NCR_OPENAI_STREAM_ID },
    { ncr_string("background"), NCR_OPENAI_BACKGROUND },
    { ncr_string("max_tokens"), NCR_OPENAI_MAX_TOKENS },
    { ncr_string("moderation"), NCR_OPENAI_MODERATION },
    { ncr_string("session_id"), NCR_OPENAI_SESSION_ID },
    { ncr_string("truncation"), NCR_OPENAI_TRUNCATION },
    { ncr_string("temperature"), NCR_OPENAI_TEMPERATURE },
    { ncr_string("tool_choice"), NCR_OPENAI_TOOL_CHOICE },
    { ncr_string("conversation"), NCR_OPENAI_CONVERSATION },
    { ncr_string("instructions"), NCR_OPENAI_INSTRUCTIONS },
    { ncr_string("service_tier"), NCR_OPENAI_SERVICE_TIER },
    { ncr_string("top_logprobs"), NCR_OPENAI_TOP_LOGPROBS },
    { ncr_string("max_tool_calls"), NCR_OPENAI_MAX_TOOL_CALLS },
    { ncr_string("stream_options"), NCR_OPENAI_STREAM_OPTIONS },
    { ncr_string("client_metadata"), NCR_OPENAI_CLIENT_METADATA },
    { ncr_string("conversation_id"), NCR_OPENAI_CONVERSATION_ID },
    { ncr_string("prompt_cache_key"), NCR_OPENAI_PROMPT_CACHE_KEY },
    { ncr_string("reasoning_effort"), NCR_OPENAI_REASONING_EFFORT },
    { ncr_string("max_output_tokens"), NCR_OPENAI_MAX_OUTPUT_TOKENS },
    { ncr_string("safety_identifier"), NCR_OPENAI_SAFETY_IDENTIFIER },
    { ncr_string("context_management"), NCR_OPENAI_CONTEXT_MANAGEMENT },
    { ncr_string("parallel_tool_calls"), NCR_OPENAI_PARALLEL_TOOL_CALLS },
    { ncr_string("previous_response_id"), NCR_OPENAI_PREVIOUS_RESPONSE_ID },
    { ncr_string("prompt_cache_options"), NCR_OPENAI_PROMPT_CACHE_OPTIONS },
    { ncr_string("max_completion_tokens"), NCR_OPENAI_MAX_COMPLETION_TOKENS },
    { ncr_string("prompt_cache_retention"),
      NCR_OPENAI_PROMPT_CACHE_RETENTION },
    ncr_name_end
};


ncr_openai_member_e
ncr_openai_member(ncr_str_t *name)
{
    return (ncr_openai_member_e) ncr_name_lookup(ncr_openai_members, name,
                                                 NCR_OPENAI_OTHER);
}
