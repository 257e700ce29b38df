
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_edit.h"


void
ncr_edit_sort(ncr_edit_t *edits, ncr_uint_t n)
{
    ncr_edit_t  edit;
    ncr_uint_t  i, j;

    /* there are a handful, most of them in order */

    for (i = 1; i < n; i++) {

        edit = edits[i];

        for (j = i; j > 0 && edits[j - 1].offset > edit.offset; j--) {
            edits[j] = edits[j - 1];
        }

        edits[j] = edit;
    }
}
