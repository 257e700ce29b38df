
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Factory's API (anthropic.md J): what is special about its paths, headers and
 * bodies is insisted on, the dialects behind them are those of others.
 */


#include "sandbox.h"


typedef struct {
    const char       *path;
    const char       *own;           /* the path in its dialect */
    const char       *provider;      /* what it may be, by commas */
} sbx_droid_route_t;


static const sbx_droid_route_t  sbx_droid_routes[] = {
    { "/api/llm/a/v1/messages", "/v1/messages",
      ",anthropic,bedrock_anthropic," },
    { "/api/llm/o/v1/responses", "/v1/responses", ",openai,azure_openai," },
    { "/api/llm/o/v1/chat/completions", "/v1/chat/completions",
      ",google,anthropic,azure_openai,fireworks,baseten," },
    { NULL, NULL, NULL }
};


/* a header of the request at hand, "" if there is none */

static sbx_str_t
sbx_droid_header(sbx_conn_t *c, const char *name)
{
    size_t       n;
    sbx_str_t    value;
    const char  *p, *end, *line;

    n = strlen(name);
    p = c->in;
    end = c->in + c->req.head_len;

    value.data = "";
    value.len = 0;

    while (p < end) {
        line = memchr(p, '\n', (size_t) (end - p));
        if (line == NULL) {
            break;
        }

        if ((size_t) (line - p) > n && strncasecmp(p, name, n) == 0
            && p[n] == ':')
        {
            for (p += n + 1; p < line && *p == ' '; p++) { /* void */ }

            value.data = p;
            value.len = (size_t) (line - p);

            if (value.len && value.data[value.len - 1] == '\r') {
                value.len--;
            }

            break;
        }

        p = line + 1;
    }

    return value;
}


static int
sbx_droid_provider(const sbx_droid_route_t *route, sbx_str_t *value)
{
    char  word[64];

    if (value->len == 0 || value->len > sizeof(word) - 3) {
        return 0;
    }

    snprintf(word, sizeof(word), ",%.*s,", (int) value->len, value->data);

    return strstr(route->provider, word) != NULL;
}


/* what is wrong with it, or NULL */

static const char *
sbx_droid_wrong(sbx_conn_t *c, const sbx_droid_route_t *route)
{
    sbx_str_t  v, w;

    v = sbx_droid_header(c, "x-factory-client");
    if (v.len == 0) {
        return "x-factory-client is missing";
    }

    v = sbx_droid_header(c, "x-session-id");
    if (v.len == 0) {
        return "x-session-id is missing";
    }

    v = sbx_droid_header(c, "x-api-provider");
    if (!sbx_droid_provider(route, &v)) {
        return "x-api-provider is of another route";
    }

    if (strcmp(route->own, "/v1/messages") != 0) {
        return NULL;
    }

    v = sbx_droid_header(c, "x-api-key");
    if (!sbx_is(&v, "placeholder")) {
        return "x-api-key is not a placeholder";
    }

    if (sbx_json_get(&c->req.body, "metadata", &v) == SBX_OK) {
        return "metadata: Extra inputs are not permitted";
    }

    if (sbx_json_get(&c->req.body, "temperature", &v) == SBX_OK
        && sbx_json_get(&c->req.body, "top_p", &w) == SBX_OK)
    {
        return "temperature and top_p cannot both be specified";
    }

    v = sbx_droid_header(c, "anthropic-version");

    return v.len ? NULL : "anthropic-version is missing";
}


int
sbx_droid(sbx_conn_t *c)
{
    sbx_req_t                *r;
    const char               *wrong;
    const sbx_droid_route_t  *route;

    r = &c->req;

    for (route = sbx_droid_routes; route->path; route++) {
        if (r->path.len == strlen(route->path)
            && memcmp(r->path.data, route->path, r->path.len) == 0)
        {
            break;
        }
    }

    if (route->path == NULL) {
        return SBX_DECLINED;
    }

    if (r->bearer.len == 0) {
        sbx_anthropic_error(c, 401, NULL, "Unauthorized");
        return SBX_OK;
    }

    wrong = sbx_droid_wrong(c, route);

    if (wrong) {
        sbx_anthropic_error(c, 400, NULL, wrong);
        return SBX_OK;
    }

    /* another dialect's turn is next */

    r->path.data = route->own;
    r->path.len = strlen(route->own);

    return SBX_DECLINED;
}
