
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Parts of the reader of a request's body; private to this codec. */


#ifndef _NCR_ANTHROPIC_MEMBER_H_INCLUDED_
#define _NCR_ANTHROPIC_MEMBER_H_INCLUDED_


#include "ncr_anthropic.h"


ncr_anthropic_member_e ncr_anthropic_member(ncr_str_t *name);

/* its key, req->top, was read; and its value, or the end of it */
void ncr_anthropic_member_place(ncr_anthropic_request_t *req);
void ncr_anthropic_member_span(ncr_anthropic_request_t *req,
    ncr_json_token_e token);


#endif /* _NCR_ANTHROPIC_MEMBER_H_INCLUDED_ */
