
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Method and path to operation: one table, DESIGN 4 and anthropic.md F. */


#include "ngx_http_claude_relay.h"


typedef struct {
    ngx_str_t     path;
    ngx_uint_t    below;                /* anything after "path/" too */
    ngx_uint_t    methods;
    ncr_op_e      op;
} ngx_http_claude_relay_way_t;


static ngx_int_t ngx_http_claude_relay_route_path(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
static ngx_int_t ngx_http_claude_relay_route_row(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_way_t *row,
    ngx_http_claude_relay_route_t *route);
static ngx_inline ngx_uint_t ngx_http_claude_relay_route_begins(
    ngx_str_t *path, ngx_str_t *with);


/* where other relays have mounted this API; clients are set up for them */

static ngx_str_t  ngx_http_claude_relay_prefixes[] = {
    ngx_string("/api"),
    ngx_string("/claude"),
    ngx_string("/anthropic"),
    ngx_string("/proxy"),
    ngx_null_string
};


#define NGX_HTTP_CLAUDE_RELAY_GET   (NGX_HTTP_GET|NGX_HTTP_HEAD)
#define NGX_HTTP_CLAUDE_RELAY_ANY                                             \
    (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST|NGX_HTTP_DELETE)


static ngx_http_claude_relay_way_t  ngx_http_claude_relay_rows[] = {

    { ngx_string("/v1/messages"), 0, NGX_HTTP_POST, NCR_OP_MESSAGES },

    { ngx_string("/v1/messages/count_tokens"), 0, NGX_HTTP_POST,
      NCR_OP_COUNT_TOKENS },

    { ngx_string("/v1/messages/batches"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_BATCHES },

    { ngx_string("/v1/files"), 1, NGX_HTTP_CLAUDE_RELAY_ANY, NCR_OP_FILES },

    { ngx_string("/v1/models"), 1, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_MODELS },

    { ngx_string("/v1/me"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_SELF },

    { ngx_string("/v1/usage"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_SELF },

    { ngx_string("/v1/key-info"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_SELF },

    { ngx_string("/v1/organizations"), 1, NGX_HTTP_CLAUDE_RELAY_GET,
      NCR_OP_SELF },

    { ngx_string("/api/hello"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_PROBE },

    { ngx_string("/"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_PROBE },

    { ngx_string("/api/event_logging/batch"), 0, NGX_HTTP_POST,
      NCR_OP_TELEMETRY },

    { ngx_string("/api/event_logging/v2/batch"), 0, NGX_HTTP_POST,
      NCR_OP_TELEMETRY },

    { ngx_string("/api/claude_code/metrics"), 0, NGX_HTTP_POST,
      NCR_OP_TELEMETRY },

    { ngx_string("/api/claude_cli/bootstrap"), 0, NGX_HTTP_CLAUDE_RELAY_GET,
      NCR_OP_TELEMETRY },

    { ngx_string("/api/claude_code/policy_limits"), 0,
      NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_TELEMETRY },

    { ngx_string("/api/claude_code/organizations/metrics_enabled"), 0,
      NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_TELEMETRY },

    { ngx_null_string, 0, 0, 0 }
};


/*
 * NGX_OK; NGX_DECLINED: no such path; NGX_HTTP_NOT_ALLOWED: the path is
 * there, not with this method (route->methods tells which).  In a location
 * of its own, "/relay/", paths are looked for below it too.
 */

ngx_int_t
ngx_http_claude_relay_route(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route)
{
    ngx_int_t                  rc;
    ngx_str_t                  path;
    ngx_http_core_loc_conf_t  *clcf;

    path = r->uri;

    rc = ngx_http_claude_relay_route_path(r, &path, route);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->name.len < 2
        || clcf->name.len > path.len
        || clcf->name.data[0] != '/'
        || ngx_strncmp(clcf->name.data, path.data, clcf->name.len) != 0)
    {
        return NGX_DECLINED;
    }

    path.data += clcf->name.len;
    path.len -= clcf->name.len;

    if (path.data[-1] == '/') {
        path.data--;
        path.len++;
    }

    if (path.len == 0 || path.data[0] != '/') {
        return NGX_DECLINED;
    }

    return ngx_http_claude_relay_route_path(r, &path, route);
}


static ngx_int_t
ngx_http_claude_relay_route_path(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    ngx_int_t                     rc;
    ngx_str_t                    *prefix, rest;
    ngx_http_claude_relay_way_t  *row;

    for (row = ngx_http_claude_relay_rows; row->path.len; row++) {

        if (!ngx_http_claude_relay_route_begins(path, &row->path)) {
            continue;
        }

        rc = ngx_http_claude_relay_route_row(r, path, row, route);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    for (prefix = ngx_http_claude_relay_prefixes; prefix->len; prefix++) {

        if (path->len <= prefix->len
            || !ngx_http_claude_relay_route_begins(path, prefix)
            || path->data[prefix->len] != '/')
        {
            continue;
        }

        rest.data = path->data + prefix->len;
        rest.len = path->len - prefix->len;

        for (row = ngx_http_claude_relay_rows; row->path.len; row++) {

            if (!ngx_http_claude_relay_route_begins(&rest, &row->path)) {
                continue;
            }

            rc = ngx_http_claude_relay_route_row(r, &rest, row, route);

            if (rc != NGX_DECLINED) {
                return rc;
            }
        }
    }

    return NGX_DECLINED;
}


/* all begin with "/" and many with "/v1/", so the last character is first */

static ngx_inline ngx_uint_t
ngx_http_claude_relay_route_begins(ngx_str_t *path, ngx_str_t *with)
{
    return path->len >= with->len
           && path->data[with->len - 1] == with->data[with->len - 1]
           && ngx_memcmp(path->data, with->data, with->len) == 0;
}


/* the path begins with that of the row */

static ngx_int_t
ngx_http_claude_relay_route_row(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_way_t *row, ngx_http_claude_relay_route_t *route)
{
    u_char  *p, *last;

    p = path->data + row->path.len;
    last = path->data + path->len;

    ngx_str_null(&route->id);

    if (p != last) {

        if (!row->below || *p != '/') {
            return NGX_DECLINED;
        }

        p++;
        route->id.data = p;

        while (p != last && *p != '/') {
            p++;
        }

        route->id.len = p - route->id.data;
    }

    /* of what lies below "organizations", there is the usage of each */

    if (row->op == NCR_OP_SELF && row->below
        && (route->id.len == 0
            || last - p != sizeof("/usage") - 1
            || ngx_memcmp(p, "/usage", sizeof("/usage") - 1) != 0))
    {
        return NGX_DECLINED;
    }

    route->op = row->op;
    route->methods = row->methods;
    route->path = *path;
    route->prefix.data = r->uri.data;
    route->prefix.len = path->data - r->uri.data;

    if (!(r->method & (row->methods|NGX_HTTP_OPTIONS))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    return NGX_OK;
}
