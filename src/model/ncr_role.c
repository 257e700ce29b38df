
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_role.h"
#include "ncr_str.h"


static const char  *ncr_roles[] = {
    "none", "user", "viewer", "operator", "admin"
};


ncr_role_e
ncr_role(ncr_str_t *name)
{
    ncr_uint_t  i;

    for (i = NCR_ROLE_USER; i <= NCR_ROLE_ADMIN; i++) {
        if (ncr_str_eq(name, ncr_roles[i])) {
            return (ncr_role_e) i;
        }
    }

    return NCR_ROLE_NONE;
}


const char *
ncr_role_name(ncr_role_e role)
{
    return ncr_roles[role];
}
