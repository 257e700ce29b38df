
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Droid's requests; private to this floor. */


#ifndef _NCR_DROID_H_INCLUDED_
#define _NCR_DROID_H_INCLUDED_


#include "ncr_way.h"


/* the fields of its accounts, in their order */

typedef enum {
    NCR_DROID_USER_AGENT = 0,
    NCR_DROID_CLIENT,
    NCR_DROID_PROVIDER,
    NCR_DROID_SYSTEM
} ncr_droid_param_e;


ncr_int_t ncr_droid_way(ncr_way_t *way);


#endif /* _NCR_DROID_H_INCLUDED_ */
