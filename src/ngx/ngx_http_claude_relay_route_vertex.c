
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Vertex's paths of Claude (clients.md, "Vertex"):
 * "/v1/projects/P/locations/L/publishers/anthropic/models/M:streamRawPredict".
 * The project and the location are the client's words: an account has its own.
 */


#include "ngx_http_claude_relay.h"


static ngx_int_t ngx_http_claude_relay_route_segment(u_char **p, u_char *last);


ngx_int_t
ngx_http_claude_relay_route_vertex(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    u_char     *p, *last, *colon;
    ngx_str_t   rest, verb;

    static ngx_str_t  locations = ngx_string("locations/");
    static ngx_str_t  models = ngx_string("publishers/anthropic/models/");

    rest = *path;

    if (ncr_str_prefix(ncr(&rest), "/v1/")) {
        rest.data += sizeof("/v1") - 1;
        rest.len -= sizeof("/v1") - 1;
    }

    if (!ncr_str_prefix(ncr(&rest), "/projects/")) {
        return NGX_DECLINED;
    }

    p = rest.data + sizeof("/projects/") - 1;
    last = rest.data + rest.len;

    if (ngx_http_claude_relay_route_segment(&p, last) != NGX_OK
        || (size_t) (last - p) <= locations.len
        || ngx_memcmp(p, locations.data, locations.len) != 0)
    {
        return NGX_DECLINED;
    }

    p += locations.len;

    if (ngx_http_claude_relay_route_segment(&p, last) != NGX_OK
        || (size_t) (last - p) <= models.len
        || ngx_memcmp(p, models.data, models.len) != 0)
    {
        return NGX_DECLINED;
    }

    p += models.len;

    for (colon = last; colon > p && *colon != ':'; colon--) { /* void */ }

    if (colon == p) {
        return NGX_DECLINED;
    }

    verb.data = colon + 1;
    verb.len = last - verb.data;

    if (!ncr_str_eq(ncr(&verb), "rawPredict")
        && !ncr_str_eq(ncr(&verb), "streamRawPredict"))
    {
        return NGX_DECLINED;
    }

    route->op = NCR_OP_PREDICT;
    route->model.data = p;
    route->model.len = colon - p;
    route->methods = NGX_HTTP_POST;

    /* the model whose tokens are counted is in the body */

    if (ncr_str_eq(ncr(&route->model), "count-tokens")) {
        route->op = NCR_OP_COUNT_TOKENS;
        ngx_str_null(&route->model);
    }

    return (r->method & (NGX_HTTP_POST|NGX_HTTP_OPTIONS))
           ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
}


/* passes over one, and the slash behind it */

static ngx_int_t
ngx_http_claude_relay_route_segment(u_char **p, u_char *last)
{
    u_char  *s;

    s = ngx_strlchr(*p, last, '/');

    if (s == NULL || s == *p) {
        return NGX_DECLINED;
    }

    *p = s + 1;

    return NGX_OK;
}
