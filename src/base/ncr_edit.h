
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Edits of a text that passes by in pieces: at an offset of the untouched
 * text some bytes are left out and others put in.  A list of edits is in
 * the order of offsets and none begins inside of what another leaves out;
 * several at one offset are made in their order.
 */


#ifndef _NCR_EDIT_H_INCLUDED_
#define _NCR_EDIT_H_INCLUDED_


#include "ncr_base.h"


typedef struct {
    uint64_t     offset;
    uint64_t     remove;
    ncr_str_t    insert;
} ncr_edit_t;


/* into the order of offsets; those at one offset stay in theirs */
void ncr_edit_sort(ncr_edit_t *edits, ncr_uint_t n);


#endif /* _NCR_EDIT_H_INCLUDED_ */
