
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_codec.h"


ncr_uint_t
ncr_answer_part(ncr_answer_t *a, ncr_str_t *asked, ncr_part_t *parts)
{
    size_t  len;

    if (!a->has_usage) {
        return 0;
    }

    memset(parts, 0, sizeof(ncr_part_t));

    if (a->model[0]) {
        memcpy(parts->model, a->model, sizeof(parts->model));

    } else {
        len = ncr_min(asked->len, sizeof(parts->model) - 1);
        memcpy(parts->model, asked->data, len);
    }

    parts->usage = a->usage;

    return 1;
}
