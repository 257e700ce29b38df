
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What somebody who has logged in may do; each has what those before it have.
 *
 * A user sees its own keys, their usage and their logs.  A viewer sees
 * everything but secrets.  An operator changes accounts, keys, users, groups
 * and limits, tests, and ends requests.  An admin decides who is what, and
 * takes secrets out (exports, webhooks, settings, another key).
 */


#ifndef _NCR_ROLE_H_INCLUDED_
#define _NCR_ROLE_H_INCLUDED_


#include "ncr_base.h"


typedef enum {
    NCR_ROLE_NONE = 0,
    NCR_ROLE_USER,
    NCR_ROLE_VIEWER,
    NCR_ROLE_OPERATOR,
    NCR_ROLE_ADMIN
} ncr_role_e;


/* "user"...; NCR_ROLE_NONE if it is none of them */
ncr_role_e ncr_role(ncr_str_t *name);
const char *ncr_role_name(ncr_role_e role);


#endif /* _NCR_ROLE_H_INCLUDED_ */
