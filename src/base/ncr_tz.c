
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_tz.h"


struct ncr_tz_s {
    ncr_uint_t    n;
};


static const ncr_tz_t  ncr_tz_utc_zone;


const ncr_tz_t *
ncr_tz_utc(void)
{
    return &ncr_tz_utc_zone;
}
