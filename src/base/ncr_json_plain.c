
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_json_plain.h"


static size_t ncr_json_plain_cut(ncr_char_t *p, size_t len);


ncr_int_t
ncr_json_plain_copy(ncr_json_t *json, ncr_str_t *dst)
{
    size_t      max;
    ncr_int_t   rc;
    ncr_str_t   text;
    ncr_uint_t  cut;

    text = json->text;
    cut = json->cut;

    max = ncr_json_plain_max(json);

    if (text.len > max) {
        text.len = ncr_json_plain_cut(text.data, max);
        cut = 1;
    }

    if (!json->escaped) {
        *dst = text;
        rc = NCR_OK;

    } else {
        rc = ncr_json_unescape(dst, &text);

        if (rc != NCR_OK) {
            dst->len = 0;
            return NCR_BAD;
        }
    }

    return cut ? NCR_DECLINED : rc;
}


/* what of len bytes ends with neither half an escape nor half a character */

static size_t
ncr_json_plain_cut(ncr_char_t *p, size_t len)
{
    size_t  i, n;

    for (i = 0; i < len; i += n) {

        if (p[i] == '\\') {
            n = (i + 1 < len && p[i + 1] == 'u') ? 6 : 2;

        } else {
            n = (p[i] < 0xC0) ? 1 : (p[i] < 0xE0) ? 2 : (p[i] < 0xF0) ? 3 : 4;
        }

        if (i + n > len) {
            return i;
        }
    }

    return i;
}
