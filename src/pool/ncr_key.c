
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_key.h"


void
ncr_key_begin(ncr_key_build_t *b, ncr_char_t *buf, ncr_scope_e scope)
{
    b->buf = buf;
    b->key = (ncr_key_t *) (void *) buf;
    b->size = sizeof(ncr_key_t);
    b->overflow = 0;

    memset(b->key, 0, sizeof(ncr_key_t));

    b->key->scope = (uint8_t) scope;
}


void
ncr_key_put(ncr_key_build_t *b, ncr_slice_t *slice, ncr_str_t *text)
{
    if (text->len > NCR_KEY_MAX - b->size) {
        b->overflow = 1;
        return;
    }

    slice->offset = (uint32_t) b->size;
    slice->len = (uint32_t) text->len;

    memcpy(b->buf + b->size, text->data, text->len);
    b->size += text->len;
}


ncr_int_t
ncr_key_end(ncr_key_build_t *b)
{
    b->key->size = (uint32_t) b->size;

    return b->overflow ? NCR_DECLINED : NCR_OK;
}


ncr_uint_t
ncr_key_rate(const ncr_key_t *key, ncr_str_t *platform)
{
    return 1000;
}
