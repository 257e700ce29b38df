
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Bedrock's paths (anthropic.md I.2): "/model/{id}/invoke" and the like, where
 * an id may be an ARN with slashes, and "/inference-profiles".
 */


#include "ngx_http_claude_relay.h"
#include "ncr_bedrock.h"


typedef struct {
    ngx_str_t     name;
    ncr_op_e      op;
} ngx_http_claude_relay_invoke_t;


static ngx_http_claude_relay_invoke_t  ngx_http_claude_relay_invokes[] = {
    { ngx_string("/invoke"), NCR_OP_INVOKE },
    { ngx_string("/invoke-with-response-stream"), NCR_OP_INVOKE_STREAM },
    { ngx_string("/count-tokens"), NCR_OP_INVOKE_COUNT },
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_http_claude_relay_route_bedrock(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    u_char                          *p, *last;
    ncr_str_t                        bare;
    ngx_http_claude_relay_invoke_t  *v;

    if (ncr_str_eq(ncr(path), "/inference-profiles")) {
        route->op = NCR_OP_PROFILES;
        route->methods = NGX_HTTP_GET|NGX_HTTP_HEAD;

        return (r->method & (route->methods|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    if (!ncr_str_prefix(ncr(path), "/model/")) {
        return NGX_DECLINED;
    }

    p = path->data + sizeof("/model/") - 1;
    last = path->data + path->len;

    for (v = ngx_http_claude_relay_invokes; v->name.len; v++) {

        if ((size_t) (last - p) <= v->name.len
            || ngx_memcmp(last - v->name.len, v->name.data, v->name.len) != 0)
        {
            continue;
        }

        route->op = v->op;
        route->model.data = p;
        route->model.len = last - v->name.len - p;

        /* permissions, prices and maps know a model by its own name */

        bare = ncr_bedrock_bare(ncr(&route->model));
        route->model = ngx_http_claude_relay_str(&bare);
        route->methods = NGX_HTTP_POST;

        return (r->method & (NGX_HTTP_POST|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    return NGX_DECLINED;
}
