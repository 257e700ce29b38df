
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Parts of the request's reader; private to this floor. */


#ifndef _NCR_ANTHROPIC_TURN_H_INCLUDED_
#define _NCR_ANTHROPIC_TURN_H_INCLUDED_


#include "ncr_anthropic.h"


void ncr_anthropic_turn(ncr_anthropic_request_t *req, ncr_json_token_e token);
void ncr_anthropic_config(ncr_anthropic_request_t *req,
    ncr_json_token_e token);
void ncr_anthropic_config_member(ncr_anthropic_request_t *req,
    ncr_json_token_e token);


#endif /* _NCR_ANTHROPIC_TURN_H_INCLUDED_ */
