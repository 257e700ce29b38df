
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Codecs by dialect: the one place that knows which there are. */


#include "ngx_http_claude_relay.h"
#include "ncr_bedrock.h"


static const ncr_codec_t  *ngx_http_claude_relay_codecs[NCR_DIALECTS] = {
    [NCR_DIALECT_ANTHROPIC] = &ncr_codec_anthropic,
    [NCR_DIALECT_OPENAI] = &ncr_codec_openai,
    [NCR_DIALECT_GEMINI] = &ncr_codec_gemini,
    [NCR_DIALECT_BEDROCK] = &ncr_codec_bedrock
};


const ncr_codec_t *
ngx_http_claude_relay_codec(ngx_http_claude_relay_ctx_t *ctx)
{
    return ngx_http_claude_relay_codecs[ctx->route.dialect];
}


/* the answer of another attempt is read from its beginning */

void
ngx_http_claude_relay_answer_anew(ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->codec) {
        ctx->codec->answer_done(ctx->answer);
    }

    ctx->codec = ngx_http_claude_relay_codec(ctx);
    ctx->codec->answer_init(ctx->answer, &ngx_http_claude_relay_lender,
                            ctx->route.op);
}
