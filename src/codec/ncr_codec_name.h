
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Names that mean something, and their numbers. */


#ifndef _NCR_CODEC_NAME_H_INCLUDED_
#define _NCR_CODEC_NAME_H_INCLUDED_


#include "ncr_base.h"


/* a table of them is in the order of their lengths, with an end */

typedef struct {
    ncr_str_t    name;
    ncr_uint_t   value;
} ncr_name_t;

#define ncr_name_end  { { (size_t) -1, NULL }, 0 }


/* the number of one, or none; names may begin behind those too short */

static inline ncr_uint_t
ncr_name_lookup(const ncr_name_t *names, ncr_str_t *s, ncr_uint_t none)
{
    while (names->name.len < s->len) {
        names++;
    }

    for ( /* void */ ; names->name.len == s->len; names++) {

        if (*names->name.data == *s->data
            && memcmp(names->name.data, s->data, s->len) == 0)
        {
            return names->value;
        }
    }

    return none;
}


#endif /* _NCR_CODEC_NAME_H_INCLUDED_ */
