
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_way.h"


void
ncr_way_line(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    if (value->len == 0) {
        return;
    }

    ncr_out_text(out, name);
    ncr_out_text(out, ": ");
    ncr_out_str(out, value);
    ncr_out_text(out, "\r\n");
}
