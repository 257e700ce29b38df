
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Method and path to operation: a table for each dialect (DESIGN 4,
 * anthropic.md F, others.md G1), and where other relays have mounted it.
 */


#include "ngx_http_claude_relay.h"


typedef struct {
    ngx_str_t     path;
    ngx_uint_t    below;                /* anything after "path/" too */
    ngx_uint_t    methods;
    ncr_op_e      op;
} ngx_http_claude_relay_path_t;


/* where a dialect is mounted; a platform: for accounts of it alone */

typedef struct {
    ngx_str_t     path;
    ngx_str_t     platform;
} ngx_http_claude_relay_prefix_t;


typedef struct {
    ngx_http_claude_relay_prefix_t  *prefixes;
    ngx_int_t                      (*find)(ngx_http_request_t *r,
                                           ngx_str_t *path,
                                        ngx_http_claude_relay_route_t *route);
} ngx_http_claude_relay_mount_t;


static ngx_int_t ngx_http_claude_relay_route_path(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
static ngx_int_t ngx_http_claude_relay_route_mount(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_mount_t *mount,
    ngx_http_claude_relay_route_t *route);
static ngx_uint_t ngx_http_claude_relay_route_model(ngx_str_t *model);
static ngx_int_t ngx_http_claude_relay_route_anthropic(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
static ngx_int_t ngx_http_claude_relay_route_openai(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
static ngx_int_t ngx_http_claude_relay_route_rows(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_path_t *row,
    ngx_http_claude_relay_route_t *route);
static ngx_int_t ngx_http_claude_relay_route_row(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_path_t *row,
    ngx_http_claude_relay_route_t *route);
static ngx_inline ngx_uint_t ngx_http_claude_relay_route_begins(
    ngx_str_t *path, ngx_str_t *with);


/* where other relays have mounted this API; clients are set up for them */

static ngx_http_claude_relay_prefix_t  ngx_http_claude_relay_prefixes[] = {
    { ngx_string(""), ngx_null_string },
    { ngx_string("/api"), ngx_null_string },
    { ngx_string("/claude"), ngx_null_string },
    { ngx_string("/anthropic"), ngx_null_string },
    { ngx_string("/proxy"), ngx_null_string },
    { ngx_string("/droid/claude"), ngx_string("droid") },
    { ngx_null_string, ngx_null_string }
};


static ngx_http_claude_relay_prefix_t
                                     ngx_http_claude_relay_prefixes_openai[] = {
    { ngx_string(""), ngx_null_string },
    { ngx_string("/openai"), ngx_null_string },
    { ngx_string("/v1beta/openai"), ngx_string("gemini") },
    { ngx_string("/gemini/v1beta/openai"), ngx_string("gemini") },
    { ngx_string("/azure/openai"), ngx_string("azure") },
    { ngx_string("/azure"), ngx_string("azure") },
    { ngx_string("/droid/openai"), ngx_string("droid") },
    { ngx_string("/droid/comm"), ngx_string("droid") },
    { ngx_string("/backend-api/codex"), ngx_string("codex") },
    { ngx_string("/backend-api"), ngx_string("codex") },
    { ngx_null_string, ngx_null_string }
};


static ngx_http_claude_relay_prefix_t
                                     ngx_http_claude_relay_prefixes_gemini[] = {
    { ngx_string(""), ngx_null_string },
    { ngx_string("/gemini"), ngx_null_string },
    { ngx_null_string, ngx_null_string }
};


static ngx_http_claude_relay_prefix_t
                                    ngx_http_claude_relay_prefixes_bedrock[] = {
    { ngx_string(""), ngx_null_string },
    { ngx_string("/bedrock"), ngx_null_string },
    { ngx_null_string, ngx_null_string }
};


static ngx_http_claude_relay_prefix_t
                                     ngx_http_claude_relay_prefixes_vertex[] = {
    { ngx_string(""), ngx_string("vertex") },
    { ngx_string("/vertex"), ngx_string("vertex") },
    { ngx_null_string, ngx_null_string }
};


/* the first that knows a path has it */

static ngx_http_claude_relay_mount_t  ngx_http_claude_relay_mounts[] = {

    { ngx_http_claude_relay_prefixes,
      ngx_http_claude_relay_route_anthropic },

    { ngx_http_claude_relay_prefixes_openai,
      ngx_http_claude_relay_route_openai },

    { ngx_http_claude_relay_prefixes_gemini,
      ngx_http_claude_relay_route_gemini },

    { ngx_http_claude_relay_prefixes_bedrock,
      ngx_http_claude_relay_route_bedrock },

    { ngx_http_claude_relay_prefixes_vertex,
      ngx_http_claude_relay_route_vertex },

    { NULL, NULL }
};


#define NGX_HTTP_CLAUDE_RELAY_GET   (NGX_HTTP_GET|NGX_HTTP_HEAD)
#define NGX_HTTP_CLAUDE_RELAY_ANY                                             \
    (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST|NGX_HTTP_DELETE)


static ngx_http_claude_relay_path_t  ngx_http_claude_relay_rows[] = {

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


/* some clients leave "/v1" out (others.md G1) */

static ngx_http_claude_relay_path_t  ngx_http_claude_relay_rows_openai[] = {

    { ngx_string("/v1/chat/completions"), 0, NGX_HTTP_POST, NCR_OP_CHAT },

    { ngx_string("/chat/completions"), 0, NGX_HTTP_POST, NCR_OP_CHAT },

    { ngx_string("/v1/chat/completions"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_RESPONSE },

    { ngx_string("/v1/responses/compact"), 0, NGX_HTTP_POST, NCR_OP_COMPACT },

    { ngx_string("/responses/compact"), 0, NGX_HTTP_POST, NCR_OP_COMPACT },

    { ngx_string("/v1/responses/input_tokens"), 0, NGX_HTTP_POST,
      NCR_OP_INPUT_TOKENS },

    { ngx_string("/responses/input_tokens"), 0, NGX_HTTP_POST,
      NCR_OP_INPUT_TOKENS },

    { ngx_string("/v1/responses"), 0, NGX_HTTP_GET|NGX_HTTP_POST,
      NCR_OP_RESPONSES },

    { ngx_string("/responses"), 0, NGX_HTTP_GET|NGX_HTTP_POST,
      NCR_OP_RESPONSES },

    { ngx_string("/v1/responses"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_RESPONSE },

    { ngx_string("/responses"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_RESPONSE },

    { ngx_string("/v1/embeddings"), 0, NGX_HTTP_POST, NCR_OP_EMBEDDINGS },

    { ngx_string("/embeddings"), 0, NGX_HTTP_POST, NCR_OP_EMBEDDINGS },

    { ngx_string("/v1/completions"), 0, NGX_HTTP_POST, NCR_OP_COMPLETIONS },

    { ngx_string("/completions"), 0, NGX_HTTP_POST, NCR_OP_COMPLETIONS },

    { ngx_string("/v1/images/generations"), 0, NGX_HTTP_POST,
      NCR_OP_IMAGES },

    { ngx_string("/images/generations"), 0, NGX_HTTP_POST, NCR_OP_IMAGES },

    { ngx_string("/v1/images"), 1, NGX_HTTP_POST, NCR_OP_OPENAI },

    { ngx_string("/v1/models"), 1, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_MODELS },

    { ngx_string("/models"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_MODELS },

    { ngx_string("/wham"), 1, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_CODEX },

    { ngx_string("/v1/files"), 1, NGX_HTTP_CLAUDE_RELAY_ANY, NCR_OP_OPENAI },

    { ngx_string("/v1/batches"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/uploads"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/audio"), 1, NGX_HTTP_CLAUDE_RELAY_ANY, NCR_OP_OPENAI },

    { ngx_string("/v1/moderations"), 0, NGX_HTTP_POST, NCR_OP_OPENAI },

    { ngx_string("/v1/conversations"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/vector_stores"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/containers"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/assistants"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/threads"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/fine_tuning"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/evals"), 1, NGX_HTTP_CLAUDE_RELAY_ANY, NCR_OP_OPENAI },

    { ngx_string("/v1/videos"), 1, NGX_HTTP_CLAUDE_RELAY_ANY,
      NCR_OP_OPENAI },

    { ngx_string("/v1/realtime"), 1, NGX_HTTP_POST, NCR_OP_OPENAI },

    { ngx_string("/audio"), 1, NGX_HTTP_POST, NCR_OP_OPENAI },

    { ngx_string("/health"), 0, NGX_HTTP_CLAUDE_RELAY_GET, NCR_OP_PROBE },

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
    ngx_int_t                       rc, best;
    ngx_http_claude_relay_mount_t  *mount;
    ngx_http_claude_relay_route_t   first;

    best = NGX_DECLINED;
    ngx_memzero(&first, sizeof(ngx_http_claude_relay_route_t));

    for (mount = ngx_http_claude_relay_mounts; mount->find; mount++) {

        rc = ngx_http_claude_relay_route_mount(r, path, mount, route);

        if (rc == NGX_OK) {
            return rc;
        }

        /* another dialect may know the path with this method */

        if (rc == NGX_HTTP_NOT_ALLOWED && best == NGX_DECLINED) {
            best = rc;
            first = *route;
        }
    }

    if (best != NGX_DECLINED) {
        *route = first;
    }

    return best;
}


static ngx_int_t
ngx_http_claude_relay_route_mount(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_mount_t *mount,
    ngx_http_claude_relay_route_t *route)
{
    ngx_int_t                        rc;
    ngx_str_t                        rest;
    ngx_http_claude_relay_prefix_t  *prefix;

    for (prefix = mount->prefixes; prefix->path.data; prefix++) {

        rest = *path;

        if (prefix->path.len) {

            if (path->len <= prefix->path.len
                || !ngx_http_claude_relay_route_begins(path, &prefix->path)
                || path->data[prefix->path.len] != '/')
            {
                continue;
            }

            rest.data += prefix->path.len;
            rest.len -= prefix->path.len;
        }

        ngx_str_null(&route->id);
        ngx_str_null(&route->model);
        route->also = 0;

        rc = mount->find(r, &rest, route);

        if (rc == NGX_DECLINED
            || !ngx_http_claude_relay_route_model(&route->model))
        {
            continue;
        }

        route->platform = prefix->platform;
        route->dialect = ncr_ops[route->op].dialect;
        route->path = rest;
        route->prefix.data = r->uri.data;
        route->prefix.len = rest.data - r->uri.data;

        if (route->op == NCR_OP_MODELS) {
            route->dialect = ngx_http_claude_relay_models_dialect(r, route,
                                 mount->find
                                 == ngx_http_claude_relay_route_openai);
        }

        return rc;
    }

    return NGX_DECLINED;
}


/* a model in a path is no other one than those of bodies */

static ngx_uint_t
ngx_http_claude_relay_route_model(ngx_str_t *model)
{
    size_t  i;

    for (i = 0; i < model->len; i++) {
        if (model->data[i] < 0x20 || model->data[i] == 0x7f) {
            return 0;
        }
    }

    return model->len < NCR_MODEL_LEN;
}


static ngx_int_t
ngx_http_claude_relay_route_anthropic(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    return ngx_http_claude_relay_route_rows(r, path,
                                            ngx_http_claude_relay_rows, route);
}


static ngx_int_t
ngx_http_claude_relay_route_openai(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_route_t *route)
{
    ngx_int_t   rc;
    ngx_str_t   rest, deployment;

    /* tolerated: "/v1" twice, a slash at the end (others.md G1) */

    if (ncr_str_prefix(ncr(path), "/v1/v1/")) {
        path->data += sizeof("/v1") - 1;
        path->len -= sizeof("/v1") - 1;
    }

    if (path->len > 1 && path->data[path->len - 1] == '/') {
        path->len--;
    }

    if (!ncr_str_prefix(ncr(path), "/deployments/")) {
        return ngx_http_claude_relay_route_rows(r, path,
                                    ngx_http_claude_relay_rows_openai, route);
    }

    /* of Azure's SDKs: "/deployments/{deployment}/chat/completions" (B) */

    deployment.data = path->data + sizeof("/deployments/") - 1;
    deployment.len = path->len - (sizeof("/deployments/") - 1);

    rest.data = ngx_strlchr(deployment.data, path->data + path->len, '/');

    if (rest.data == NULL || rest.data == deployment.data) {
        return NGX_DECLINED;
    }

    rest.len = path->data + path->len - rest.data;
    deployment.len = rest.data - deployment.data;

    rc = ngx_http_claude_relay_route_rows(r, &rest,
                                    ngx_http_claude_relay_rows_openai, route);

    if (rc == NGX_OK) {
        route->model = deployment;
    }

    return rc;
}


static ngx_int_t
ngx_http_claude_relay_route_rows(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_path_t *row, ngx_http_claude_relay_route_t *route)
{
    ngx_int_t  rc;

    for ( /* void */ ; row->path.len; row++) {

        if (!ngx_http_claude_relay_route_begins(path, &row->path)) {
            continue;
        }

        rc = ngx_http_claude_relay_route_row(r, path, row, route);

        if (rc != NGX_DECLINED) {
            return rc;
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
    ngx_http_claude_relay_path_t *row, ngx_http_claude_relay_route_t *route)
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

    if (row->op == NCR_OP_RESPONSES) {

        /* over a WebSocket, or with POST (others.md A7) */

        if (ngx_http_claude_relay_socket_asked(r)) {
            route->op = NCR_OP_SOCKET;
            return NGX_OK;
        }

        route->methods = NGX_HTTP_POST;
    }

    if (!(r->method & (route->methods|NGX_HTTP_OPTIONS))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    return NGX_OK;
}
