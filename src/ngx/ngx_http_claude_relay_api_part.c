
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Calls that are parts of another one: nobody but that one listens. */


#include "ngx_http_claude_relay_api.h"


void
ngx_http_claude_relay_call_part(ngx_http_claude_relay_call_t *whole,
    ngx_http_claude_relay_way_t *way, ngx_str_t *name, cJSON *body,
    ngx_http_claude_relay_part_pt ended, ngx_uint_t number)
{
    size_t                         len;
    const char                    *star;
    ngx_str_t                      text;
    ngx_http_claude_relay_call_t  *call;

    ngx_str_null(&text);

    call = ngx_http_claude_relay_call_create(whole->rmcf, NULL,
                                             &whole->caller);
    if (call == NULL) {
        cJSON_Delete(body);
        ended(whole, number, NGX_HTTP_SERVICE_UNAVAILABLE, &text);
        return;
    }

    call->way = way;
    call->body = body;
    call->whole = whole;
    call->ended = ended;
    call->number = number;

    star = ngx_strchr(way->path, '*');
    len = star - way->path;

    call->path.data = ngx_pnalloc(call->pool, ngx_strlen(way->path)
                                              + name->len);

    if (call->path.data == NULL
        || ngx_http_claude_relay_call_copy(call->pool, &call->name, name)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(call->pool, &call->item, &text)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(call->pool, &call->args, &text)
           != NGX_OK)
    {
        call->noted = 1;
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->path.len = ngx_sprintf(call->path.data, "%*s%V%s", len, way->path,
                                 name, star + 1)
                     - call->path.data;

    call->roster = call->rmcf->roster;
    call->roster->refs++;

    call->account = ngx_http_claude_relay_roster_find(call->roster,
                                                      &call->name);

    if (ngx_http_claude_relay_trail_before(call) == NGX_DECLINED) {
        ngx_http_claude_relay_call_run(call);
    }
}
