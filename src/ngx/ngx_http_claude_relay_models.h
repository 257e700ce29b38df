
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_MODELS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_MODELS_H_INCLUDED_


#include "ngx_http_claude_relay.h"


/* lists in other words than the first party's: OpenAI's, Codex', Gemini's */
ngx_int_t ngx_http_claude_relay_models_told(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);


#endif /* _NGX_HTTP_CLAUDE_RELAY_MODELS_H_INCLUDED_ */
