
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Names of a request's members. */


#include "ncr_anthropic_member.h"


typedef struct {
    ncr_str_t                text;
    ncr_anthropic_member_e   name;
} ncr_anthropic_name_t;


static const ncr_anthropic_name_t  ncr_anthropic_names[] = {
    { ncr_string("model"), NCR_ANTHROPIC_MODEL },
    { ncr_string("stream"), NCR_ANTHROPIC_STREAM },
    { ncr_string("max_tokens"), NCR_ANTHROPIC_MAX_TOKENS },
    { ncr_string("metadata"), NCR_ANTHROPIC_METADATA },
    { ncr_string("system"), NCR_ANTHROPIC_SYSTEM },
    { ncr_string("messages"), NCR_ANTHROPIC_MESSAGES },
    { ncr_string("thread"), NCR_ANTHROPIC_THREAD },
    { ncr_string("output_config"), NCR_ANTHROPIC_CONFIG },
    { ncr_string("session_id"), NCR_ANTHROPIC_SESSION_ID },
    { ncr_string("sessionId"), NCR_ANTHROPIC_SESSIONID },
    { ncr_string("prompt_cache_key"), NCR_ANTHROPIC_PROMPT_CACHE_KEY },
    { ncr_string("conversation"), NCR_ANTHROPIC_CONVERSATION },
    { ncr_string("conversation_id"), NCR_ANTHROPIC_CONVERSATION_ID },
    { ncr_string("thinking"), NCR_ANTHROPIC_M_THINKING },
    { ncr_string("temperature"), NCR_ANTHROPIC_M_TEMPERATURE },
    { ncr_string("top_p"), NCR_ANTHROPIC_M_TOP_P },
    { ncr_string("top_k"), NCR_ANTHROPIC_M_TOP_K },
    { ncr_string("tools"), NCR_ANTHROPIC_M_TOOLS },
    { ncr_string("tool_choice"), NCR_ANTHROPIC_M_TOOL_CHOICE },
    { ncr_string("stop_sequences"), NCR_ANTHROPIC_M_STOP_SEQUENCES },
    { ncr_string("anthropic_version"), NCR_ANTHROPIC_M_VERSION },
    { ncr_string("anthropic_beta"), NCR_ANTHROPIC_M_BETA },
    { ncr_string("service_tier"), NCR_ANTHROPIC_M_SERVICE_TIER },
    { ncr_string("context_management"), NCR_ANTHROPIC_M_CONTEXT_MANAGEMENT },
    { ncr_string("mcp_servers"), NCR_ANTHROPIC_M_MCP_SERVERS },
    { ncr_string("container"), NCR_ANTHROPIC_M_CONTAINER },
    { ncr_string("inference_geo"), NCR_ANTHROPIC_M_INFERENCE_GEO },
    { ncr_string("speed"), NCR_ANTHROPIC_M_SPEED },
    { ncr_string("fallbacks"), NCR_ANTHROPIC_M_FALLBACKS },
    { ncr_string("cache_control"), NCR_ANTHROPIC_M_CACHE_CONTROL },
    { ncr_string("output_format"), NCR_ANTHROPIC_M_OUTPUT_FORMAT },
    { ncr_string("diagnostics"), NCR_ANTHROPIC_M_DIAGNOSTICS },
    { ncr_string(""), NCR_ANTHROPIC_OTHER }
};


/* a name costs a comparison of lengths, unless it has that length */

ncr_anthropic_member_e
ncr_anthropic_member(ncr_str_t *name)
{
    const ncr_anthropic_name_t  *n;

    for (n = ncr_anthropic_names; n->text.len; n++) {
        if (n->text.len == name->len
            && memcmp(n->text.data, name->data, name->len) == 0)
        {
            return n->name;
        }
    }

    return NCR_ANTHROPIC_OTHER;
}
