
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Parts of the reader of a request's body; private to this codec. */


#ifndef _NCR_ANTHROPIC_MEMBER_H_INCLUDED_
#define _NCR_ANTHROPIC_MEMBER_H_INCLUDED_


#include "ncr_anthropic.h"


ncr_anthropic_member_e ncr_anthropic_member(ncr_str_t *name);


#endif /* _NCR_ANTHROPIC_MEMBER_H_INCLUDED_ */
