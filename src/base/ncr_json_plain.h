
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* A token's text, as readers of requests and answers want it. */


#ifndef _NCR_JSON_PLAIN_H_INCLUDED_
#define _NCR_JSON_PLAIN_H_INCLUDED_


#include "ncr_json.h"


/*
 * The token's text without its escapes: where it lies if it has none, else
 * in dst->data, which is to have room for NCR_JSON_TEXT bytes.  It is the
 * same however the input was cut into chunks.
 * NCR_DECLINED: longer than the scanner's room, dst is its beginning;
 * NCR_BAD: an escape that is none.
 */
static inline ncr_int_t ncr_json_plain(ncr_json_t *json, ncr_str_t *dst);

/* the same for a text that is long or escaped, which few are */
ncr_int_t ncr_json_plain_copy(ncr_json_t *json, ncr_str_t *dst);


/* the longest text; what lies within one chunk the scanner never cuts */

static inline size_t
ncr_json_plain_max(ncr_json_t *json)
{
    return json->size ? json->size : NCR_JSON_TEXT;
}


static inline ncr_int_t
ncr_json_plain(ncr_json_t *json, ncr_str_t *dst)
{
    if (json->escaped || json->cut
        || json->text.len > ncr_json_plain_max(json))
    {
        return ncr_json_plain_copy(json, dst);
    }

    *dst = json->text;

    return NCR_OK;
}


#endif /* _NCR_JSON_PLAIN_H_INCLUDED_ */
