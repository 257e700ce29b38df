
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Gemini's paths (others.md C1, C6): "/v1beta/models/{model}:{method}", where
 * a model may have slashes, and "/v1internal:{method}", or
 * "/v1internal/{operation}".
 */


#include "ngx_http_claude_relay.h"


typedef struct {
    ngx_str_t     name;
    ncr_op_e      op;
} ngx_http_claude_relay_verb_t;


static ngx_int_t ngx_http_claude_relay_route_verb(ngx_http_request_t *r,
    ngx_str_t *verb, ngx_http_claude_relay_route_t *route, ncr_op_e other);


static ngx_http_claude_relay_verb_t  ngx_http_claude_relay_verbs[] = {
    { ngx_string("generateContent"), NCR_OP_GENERATE },
    { ngx_string("streamGenerateContent"), NCR_OP_STREAM_GENERATE },
    { ngx_string("countTokens"), NCR_OP_GEMINI_COUNT },
    { ngx_string("embedContent"), NCR_OP_GEMINI_EMBED },
    { ngx_string("batchEmbedContents"), NCR_OP_GEMINI_EMBED },
    { ngx_null_string, 0 }
};


ngx_int_t
ngx_http_claude_relay_route_gemini(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    u_char     *p, *last;
    ngx_str_t   verb, rest;

    if (ncr_str_prefix(ncr(path), "/v1internal:")) {
        verb.data = path->data + sizeof("/v1internal:") - 1;
        verb.len = path->len - (sizeof("/v1internal:") - 1);

        /* what is generated in the envelope, not everybody serves */

        route->also = NCR_OP_ASSIST;

        return ngx_http_claude_relay_route_verb(r, &verb, route,
                                                NCR_OP_ASSIST);
    }

    if (ncr_str_prefix(ncr(path), "/v1internal/")) {

        /* an operation that is under way, such as an onboarding */

        route->op = NCR_OP_ASSIST;
        route->methods = NGX_HTTP_GET|NGX_HTTP_HEAD;

        return (r->method & (route->methods|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    if (ncr_str_prefix(ncr(path), "/v1beta/")) {
        rest.data = path->data + sizeof("/v1beta") - 1;
        rest.len = path->len - (sizeof("/v1beta") - 1);

    } else if (ncr_str_prefix(ncr(path), "/v1/models/")) {
        rest.data = path->data + sizeof("/v1") - 1;
        rest.len = path->len - (sizeof("/v1") - 1);

    } else {
        return NGX_DECLINED;
    }

    if (!ncr_str_prefix(ncr(&rest), "/models")) {
        route->op = NCR_OP_GEMINI;
        route->methods = NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST
                         |NGX_HTTP_DELETE|NGX_HTTP_PATCH;

        return (r->method & (route->methods|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    p = rest.data + sizeof("/models") - 1;
    last = rest.data + rest.len;

    if (p == last || last - p == 1) {
        route->op = NCR_OP_MODELS;
        route->methods = NGX_HTTP_GET|NGX_HTTP_HEAD;

        return (r->method & (route->methods|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    if (*p++ != '/') {
        return NGX_DECLINED;
    }

    route->id.data = p;
    route->id.len = last - p;

    for (verb.data = last; verb.data > p && verb.data[-1] != ':';
         verb.data--) { /* void */ }

    if (verb.data == p) {
        route->op = NCR_OP_MODELS;
        route->methods = NGX_HTTP_GET|NGX_HTTP_HEAD;

        return (r->method & (route->methods|NGX_HTTP_OPTIONS))
               ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
    }

    verb.len = last - verb.data;

    route->model.data = p;
    route->model.len = verb.data - 1 - p;
    ngx_str_null(&route->id);

    return ngx_http_claude_relay_route_verb(r, &verb, route, NCR_OP_GEMINI);
}


static ngx_int_t
ngx_http_claude_relay_route_verb(ngx_http_request_t *r, ngx_str_t *verb,
    ngx_http_claude_relay_route_t *route, ncr_op_e other)
{
    ngx_http_claude_relay_verb_t  *v;

    route->op = other;

    for (v = ngx_http_claude_relay_verbs; v->name.len; v++) {
        if (v->name.len == verb->len
            && ngx_memcmp(v->name.data, verb->data, verb->len) == 0)
        {
            route->op = v->op;
            break;
        }
    }

    /* Code Assist has some that only ask */

    route->methods = (route->op == NCR_OP_ASSIST)
                     ? NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST
                     : NGX_HTTP_POST;

    return (r->method & (route->methods|NGX_HTTP_OPTIONS))
           ? NGX_OK : NGX_HTTP_NOT_ALLOWED;
}
