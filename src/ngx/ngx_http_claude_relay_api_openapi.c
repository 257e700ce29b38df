
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The description of the API, as it was compiled in. */


#include "ngx_http_claude_relay_api.h"


static void ngx_http_claude_relay_api_openapi(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_openapi_ways[] = {

    { NGX_HTTP_GET, "/v1/openapi.json", ngx_http_claude_relay_api_openapi,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static ngx_str_t  ngx_http_claude_relay_openapi_type =
    ngx_string("application/json");


static void
ngx_http_claude_relay_api_openapi(ngx_http_claude_relay_call_t *call)
{
    u_char      *p;
    ngx_str_t    text, next;
    ngx_uint_t   i;

    static const char  *const names[] = { NULL };

    if (ngx_http_claude_relay_call_query(call, names, NULL) != NGX_OK) {
        return;
    }

    text.len = 0;

    for (i = 0; ngx_http_claude_relay_openapi[i].len; i++) {
        text.len += ngx_http_claude_relay_openapi[i].len;
    }

    text.data = ngx_pnalloc(call->pool, text.len);

    if (text.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    p = text.data;

    for (i = 0; ngx_http_claude_relay_openapi[i].len; i++) {
        p = ngx_cpymem(p, ngx_http_claude_relay_openapi[i].data,
                       ngx_http_claude_relay_openapi[i].len);
    }

    ngx_str_null(&next);

    ngx_http_claude_relay_call_text_answer(call,
                                     &ngx_http_claude_relay_openapi_type,
                                     &text, &next);
}
