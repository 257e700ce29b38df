
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of other nodes: a name, a text, and what is in a blob that can be
 * opened.  What is taken for a row can be written, and is the same then.
 */


#include "../src/store/ncr_wire.c"
#include "ncr_fuzz.h"


static const ncr_char_t  ncr_fuzz_key[NCR_SEAL_KEY] = { 1, 2, 4, 8, 16 };


/* as it is, and nothing that was not sealed here can be opened */

static void
ncr_fuzz_outside(ncr_str_t *name, ncr_str_t *text)
{
    ncr_str_t           blob;
    ncr_wire_t          wire;
    const char         *why;
    ncr_store_order_t   order;

    ncr_fuzz_check(ncr_wire_read(ncr_fuzz_key, name, text, &wire, &why)
                   == NCR_BAD);
    ncr_fuzz_check(why != NULL);
    ncr_wire_free(&wire);

    if (ncr_wire_order(text, &order, &blob) == NCR_OK) {
        ncr_fuzz_check(order.version <= INT64_MAX && order.tie <= INT64_MAX);
        ncr_fuzz_check(blob.len <= text->len);
    }
}


static void
ncr_fuzz_inside(ncr_str_t *name, ncr_str_t *json)
{
    char         *copy, *text;
    size_t        len;
    ncr_str_t     s;
    ncr_wire_t    wire, again;
    const char   *why;

    if (ncr_wire_name(&wire, name) != NCR_OK) {
        return;
    }

    copy = malloc(json->len + 1);
    memcpy(copy, json->data, json->len);
    copy[json->len] = '\0';

    if (ncr_wire_parse(&wire, copy) == NULL) {

        text = ncr_wire_write(ncr_fuzz_key, &wire, "node", &len);
        ncr_fuzz_check(text != NULL);

        s.data = (ncr_char_t *) text;
        s.len = len;

        ncr_fuzz_check(ncr_wire_read(ncr_fuzz_key, name, &s, &again, &why)
                       == NCR_OK);
        ncr_fuzz_check(!ncr_wire_newer(&again.order, &wire.order)
                       && !ncr_wire_newer(&wire.order, &again.order));

        ncr_wire_free(&again);
        free(text);
    }

    ncr_wire_free(&wire);
    free(copy);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_char_t  *p;
    ncr_str_t    name, text;

    if (size > 65536) {
        return 0;
    }

    p = malloc(size + 1);
    memcpy(p, data, size);

    for (name.len = 0; name.len < size && p[name.len] != '\n'; name.len++) {
        /* void */
    }

    name.data = p;
    text.data = p + ncr_min(name.len + 1, size);
    text.len = size - (size_t) (text.data - p);

    ncr_fuzz_outside(&name, &text);
    ncr_fuzz_inside(&name, &text);

    free(p);

    return 0;
}
