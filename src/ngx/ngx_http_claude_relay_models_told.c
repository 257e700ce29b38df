
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Lists of models in the words of who asks (others.md G4): OpenAI's, Codex',
 * which has "client_version" in the query, and Gemini's.  What is known of
 * models is told of those that an account of the pool serves, and so is each
 * name that an account's own directives tell.
 */


#include "ngx_http_claude_relay_models.h"


/* whose accounts have a model, if their directives do not say so */

#define NGX_HTTP_CLAUDE_RELAY_OF_OPENAI   0x01
#define NGX_HTTP_CLAUDE_RELAY_OF_CODEX    0x02
#define NGX_HTTP_CLAUDE_RELAY_OF_GEMINI   0x04
#define NGX_HTTP_CLAUDE_RELAY_OF_ASSIST   0x08
#define NGX_HTTP_CLAUDE_RELAY_EMBEDS      0x10

#define NGX_HTTP_CLAUDE_RELAY_OF_BOTH                                         \
    (NGX_HTTP_CLAUDE_RELAY_OF_OPENAI|NGX_HTTP_CLAUDE_RELAY_OF_CODEX)
#define NGX_HTTP_CLAUDE_RELAY_OF_GOOGLE                                       \
    (NGX_HTTP_CLAUDE_RELAY_OF_GEMINI|NGX_HTTP_CLAUDE_RELAY_OF_ASSIST)


#define NGX_HTTP_CLAUDE_RELAY_TOLD_MAX    512
#define NGX_HTTP_CLAUDE_RELAY_TOLD_SIZE   1024    /* of one, less its names */


typedef struct {
    ngx_str_t     id;
    ngx_str_t     display;
    ngx_uint_t    created;              /* seconds; 0: nobody knows */
    ngx_uint_t    context;              /* tokens; 0: the same */
    ngx_uint_t    output;
    ngx_uint_t    of;
} ngx_http_claude_relay_told_t;


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_TOLD_OPENAI = 0,
    NGX_HTTP_CLAUDE_RELAY_TOLD_CODEX,
    NGX_HTTP_CLAUDE_RELAY_TOLD_GEMINI
} ngx_http_claude_relay_tongue_e;


typedef struct {
    ngx_http_request_t                *request;
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_http_claude_relay_loc_conf_t  *rlcf;
    ngx_http_claude_relay_tongue_e     tongue;
    ngx_uint_t                         n;
    ngx_http_claude_relay_told_t       list[NGX_HTTP_CLAUDE_RELAY_TOLD_MAX];
} ngx_http_claude_relay_tale_t;


typedef void (*ngx_http_claude_relay_tell_pt)(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i);


static ngx_uint_t ngx_http_claude_relay_told_claude(ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_told_under(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route);
static ngx_str_t *ngx_http_claude_relay_told_header(ngx_http_request_t *r,
    const char *name);
static void ngx_http_claude_relay_told_list(
    ngx_http_claude_relay_tale_t *tale);
static void ngx_http_claude_relay_told_account(
    ngx_http_claude_relay_tale_t *tale, ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_told_add(ngx_http_claude_relay_tale_t *tale,
    ngx_http_claude_relay_told_t *m);
static ngx_uint_t ngx_http_claude_relay_told_served(
    ngx_http_claude_relay_tale_t *tale, ngx_http_claude_relay_account_t *a,
    ngx_http_claude_relay_told_t *m);
static ngx_uint_t ngx_http_claude_relay_told_of(ncr_platform_t *platform);
static ngx_uint_t ngx_http_claude_relay_told_known(ngx_str_t *id);
static ngx_uint_t ngx_http_claude_relay_told_plain(ngx_str_t *name);
static size_t ngx_http_claude_relay_told_size(
    ngx_http_claude_relay_told_t *m);
static ngx_int_t ngx_http_claude_relay_told_one(
    ngx_http_claude_relay_tale_t *tale);
static ngx_int_t ngx_http_claude_relay_told_all(
    ngx_http_claude_relay_tale_t *tale);
static ngx_int_t ngx_http_claude_relay_told_page(
    ngx_http_claude_relay_tale_t *tale, ngx_uint_t *first, ngx_uint_t *last);
static void ngx_http_claude_relay_told_openai(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i);
static void ngx_http_claude_relay_told_codex(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i);
static void ngx_http_claude_relay_told_gemini(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i);


#define told(id, name, created, context, output, of)                          \
    { ngx_string(id), ngx_string(name), created, context, output,             \
      NGX_HTTP_CLAUDE_RELAY_ ## of }


/* newest first; limits as prices/others.csv has them */

static ngx_http_claude_relay_told_t  ngx_http_claude_relay_told_models[] = {
    told("gpt-6.1-sol", "GPT-6.1 Sol", 1792713600, 1050000, 128000, OF_BOTH),
    told("gpt-6-sol", "GPT-6 Sol", 1789776000, 1050000, 128000, OF_BOTH),
    told("gpt-6-luna", "GPT-6 Luna", 1789776000, 1050000, 128000, OF_BOTH),
    told("gpt-6-astra", "GPT-6 Astra", 1789084800, 1050000, 128000, OF_BOTH),
    told("gpt-5.6-sol", "GPT-5.6 Sol", 1782864000, 1050000, 128000, OF_BOTH),
    told("gpt-5.6-terra", "GPT-5.6 Terra", 1782864000, 1050000, 128000,
         OF_BOTH),
    told("gpt-5.6-luna", "GPT-5.6 Luna", 1782864000, 1050000, 128000,
         OF_BOTH),
    told("gpt-5.5", "GPT-5.5", 1776902400, 1050000, 128000, OF_BOTH),
    told("gpt-5.4", "GPT-5.4", 1772668800, 1050000, 128000, OF_BOTH),
    told("gpt-5.4-mini", "GPT-5.4 mini", 1772668800, 272000, 128000, OF_BOTH),
    told("gpt-5.4-nano", "GPT-5.4 nano", 1772668800, 272000, 128000,
         OF_OPENAI),
    told("gpt-5.3-codex", "GPT-5.3 Codex", 1770249600, 272000, 128000,
         OF_OPENAI),
    told("gpt-5.3-codex-spark", "GPT-5.3 Codex Spark", 1770854400, 272000,
         128000, OF_CODEX),
    told("gpt-5.2", "GPT-5.2", 1765411200, 272000, 128000, OF_OPENAI),
    told("gpt-5.1", "GPT-5.1", 1762905600, 272000, 128000, OF_OPENAI),
    told("gpt-5", "GPT-5", 1754524800, 272000, 128000, OF_OPENAI),
    told("gpt-5-mini", "GPT-5 mini", 1754524800, 272000, 128000, OF_OPENAI),
    told("gpt-5-nano", "GPT-5 nano", 1754524800, 272000, 128000, OF_OPENAI),
    told("gpt-4.1", "GPT-4.1", 1744588800, 1047576, 32768, OF_OPENAI),
    told("gpt-4.1-mini", "GPT-4.1 mini", 1744588800, 1047576, 32768,
         OF_OPENAI),
    told("o3", "o3", 1744761600, 200000, 100000, OF_OPENAI),
    told("o4-mini", "o4-mini", 1744761600, 200000, 100000, OF_OPENAI),
    told("gpt-4o", "GPT-4o", 1715558400, 128000, 16384, OF_OPENAI),
    told("gpt-4o-mini", "GPT-4o mini", 1721260800, 128000, 16384, OF_OPENAI),
    told("text-embedding-3-large", "text-embedding-3-large", 1706140800, 8191,
         0, OF_OPENAI|NGX_HTTP_CLAUDE_RELAY_EMBEDS),
    told("text-embedding-3-small", "text-embedding-3-small", 1706140800, 8191,
         0, OF_OPENAI|NGX_HTTP_CLAUDE_RELAY_EMBEDS),

    told("gemini-3.8-flash", "Gemini 3.8 Flash", 0, 1048576, 65536,
         OF_GOOGLE),
    told("gemini-3.7-flash", "Gemini 3.7 Flash", 0, 1048576, 65536,
         OF_GOOGLE),
    told("gemini-3.5-flash", "Gemini 3.5 Flash", 0, 1048576, 65535,
         OF_GEMINI),
    told("gemini-3.5-flash-lite", "Gemini 3.5 Flash-Lite", 0, 1048576, 65536,
         OF_GEMINI),
    told("gemini-3.1-pro-preview", "Gemini 3.1 Pro", 0, 1048576, 65536,
         OF_GOOGLE),
    told("gemini-3-pro-preview", "Gemini 3 Pro", 0, 1048576, 65535,
         OF_GOOGLE),
    told("gemini-3-flash-preview", "Gemini 3 Flash", 0, 1048576, 65535,
         OF_GOOGLE),
    told("gemini-2.5-pro", "Gemini 2.5 Pro", 0, 1048576, 65535, OF_GOOGLE),
    told("gemini-2.5-flash", "Gemini 2.5 Flash", 0, 1048576, 65535,
         OF_GOOGLE),
    told("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 0, 1048576, 65535,
         OF_GOOGLE),
    told("gemini-embedding-001", "Gemini Embedding", 0, 2048, 0,
         OF_GEMINI|NGX_HTTP_CLAUDE_RELAY_EMBEDS)
};

#define NGX_HTTP_CLAUDE_RELAY_TOLD                                            \
    (sizeof(ngx_http_claude_relay_told_models)                                \
     / sizeof(ngx_http_claude_relay_told_t))


static ngx_str_t  ngx_http_claude_relay_told_type =
    ngx_string("application/json");


ncr_dialect_e
ngx_http_claude_relay_models_dialect(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route, ngx_uint_t openai)
{
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) "client_version",
                     sizeof("client_version") - 1, &value)
        == NGX_OK)
    {
        return NCR_DIALECT_OPENAI;
    }

    if (openai) {
        return NCR_DIALECT_OPENAI;
    }

    if (ncr_str_prefix(ncr(&route->path), "/v1beta/")
        || ncr_ops[route->op].dialect == NCR_DIALECT_GEMINI)
    {
        return NCR_DIALECT_GEMINI;
    }

    return (ngx_http_claude_relay_told_under(r, route)
            || ngx_http_claude_relay_told_claude(r))
           ? NCR_DIALECT_ANTHROPIC : NCR_DIALECT_OPENAI;
}


/* who is known for a client of Messages */

static ngx_uint_t
ngx_http_claude_relay_told_claude(ngx_http_request_t *r)
{
    ngx_str_t  *agent;

    if (ngx_http_claude_relay_told_header(r, "anthropic-version")
        || ngx_http_claude_relay_told_header(r, "x-api-key"))
    {
        return 1;
    }

    if (r->headers_in.user_agent == NULL) {
        return 0;
    }

    agent = &r->headers_in.user_agent->value;

    return ncr_str_contains(ncr(agent), "claude-cli")
           || ncr_str_contains(ncr(agent), "anthropic");
}


/* a path that only clients of Messages are set up for */

static ngx_uint_t
ngx_http_claude_relay_told_under(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route)
{
    size_t       len;
    ngx_uint_t   i;

    static const char  *ends[] = { "/api", "/claude", "/anthropic", "/proxy" };

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        len = ngx_strlen(ends[i]);

        if (route->prefix.len >= len
            && ngx_memcmp(route->prefix.data + route->prefix.len - len,
                          ends[i], len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_str_t *
ngx_http_claude_relay_told_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len
                && ngx_memcmp(h[i].lowcase_key, name, len) == 0)
            {
                return &h[i].value;
            }
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_claude_relay_models_told(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                      value;
    ngx_http_claude_relay_tale_t  *tale;

    tale = ngx_palloc(r->pool, sizeof(ngx_http_claude_relay_tale_t));
    if (tale == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    tale->request = r;
    tale->ctx = ctx;
    tale->rlcf = ngx_http_get_module_loc_conf(r,
                                              ngx_http_claude_relay_module);
    tale->n = 0;

    tale->tongue = (ctx->route.dialect == NCR_DIALECT_GEMINI)
                   ? NGX_HTTP_CLAUDE_RELAY_TOLD_GEMINI
                   : (ngx_http_arg(r, (u_char *) "client_version",
                                   sizeof("client_version") - 1, &value)
                      == NGX_OK)
                     ? NGX_HTTP_CLAUDE_RELAY_TOLD_CODEX
                     : NGX_HTTP_CLAUDE_RELAY_TOLD_OPENAI;

    ngx_http_claude_relay_told_list(tale);

    return ctx->route.id.len ? ngx_http_claude_relay_told_one(tale)
                             : ngx_http_claude_relay_told_all(tale);
}


/* the operator's list, or what is known and what accounts tell */

static void
ngx_http_claude_relay_told_list(ngx_http_claude_relay_tale_t *tale)
{
    ngx_uint_t                         i, j;
    ngx_http_claude_relay_told_t       m;
    ngx_http_claude_relay_model_t     *model;
    ngx_http_claude_relay_account_t  **a;

    a = tale->ctx->pool->accounts.elts;

    if (tale->rlcf->models) {

        model = tale->rlcf->models->elts;

        for (i = 0; i < tale->rlcf->models->nelts; i++) {

            ngx_memzero(&m, sizeof(ngx_http_claude_relay_told_t));

            m.id = model[i].id;
            m.display = model[i].display;
            m.of = ngx_http_claude_relay_told_known(&m.id);

            for (j = 0; j < tale->ctx->pool->accounts.nelts; j++) {
                if (ngx_http_claude_relay_told_served(tale, a[j], &m)) {
                    ngx_http_claude_relay_told_add(tale, &m);
                    break;
                }
            }
        }

        return;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TOLD; i++) {

        for (j = 0; j < tale->ctx->pool->accounts.nelts; j++) {
            if (ngx_http_claude_relay_told_served(tale, a[j],
                                    &ngx_http_claude_relay_told_models[i]))
            {
                ngx_http_claude_relay_told_add(tale,
                                      &ngx_http_claude_relay_told_models[i]);
                break;
            }
        }
    }

    for (j = 0; j < tale->ctx->pool->accounts.nelts; j++) {
        ngx_http_claude_relay_told_account(tale, a[j]);
    }
}


/* names, not patterns, that its directives tell */

static void
ngx_http_claude_relay_told_account(ngx_http_claude_relay_tale_t *tale,
    ngx_http_claude_relay_account_t *a)
{
    ngx_str_t                     *glob;
    ngx_uint_t                     i;
    ngx_http_claude_relay_map_t   *map;
    ngx_http_claude_relay_told_t   m;

    ngx_memzero(&m, sizeof(ngx_http_claude_relay_told_t));

    glob = a->models ? a->models->elts : NULL;

    for (i = 0; a->models && i < a->models->nelts; i++) {
        m.id = glob[i];
        m.display = glob[i];

        if (ngx_http_claude_relay_told_plain(&m.id)
            && ngx_http_claude_relay_told_served(tale, a, &m))
        {
            ngx_http_claude_relay_told_add(tale, &m);
        }
    }

    map = a->model_map ? a->model_map->elts : NULL;

    for (i = 0; a->model_map && i < a->model_map->nelts; i++) {
        m.id = map[i].from;
        m.display = map[i].from;

        if (ngx_http_claude_relay_told_plain(&m.id)
            && ngx_http_claude_relay_told_served(tale, a, &m))
        {
            ngx_http_claude_relay_told_add(tale, &m);
        }
    }
}


/* once, and to whom may ask for it */

static void
ngx_http_claude_relay_told_add(ngx_http_claude_relay_tale_t *tale,
    ngx_http_claude_relay_told_t *m)
{
    ngx_uint_t  i;

    if (tale->n == NGX_HTTP_CLAUDE_RELAY_TOLD_MAX
        || m->id.len >= NCR_MODEL_LEN
        || (tale->ctx->key
            && ncr_key_check_model(tale->ctx->key, ncr(&m->id))
               != NCR_KEY_OK))
    {
        return;
    }

    for (i = 0; i < tale->n; i++) {
        if (tale->list[i].id.len == m->id.len
            && ngx_memcmp(tale->list[i].id.data, m->id.data, m->id.len) == 0)
        {
            return;
        }
    }

    tale->list[tale->n++] = *m;
}


static ngx_uint_t
ngx_http_claude_relay_told_served(ngx_http_claude_relay_tale_t *tale,
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_told_t *m)
{
    ngx_str_t   *id;
    ngx_uint_t   i, n;
    ncr_op_e     ops[2];

    n = 1;

    if (tale->tongue == NGX_HTTP_CLAUDE_RELAY_TOLD_GEMINI) {
        ops[0] = (m->of & NGX_HTTP_CLAUDE_RELAY_EMBEDS) ? NCR_OP_GEMINI_EMBED
                                                        : NCR_OP_GENERATE;

    } else if (m->of & NGX_HTTP_CLAUDE_RELAY_EMBEDS) {
        ops[0] = NCR_OP_EMBEDDINGS;

    } else {
        ops[0] = NCR_OP_RESPONSES;

        if (tale->tongue == NGX_HTTP_CLAUDE_RELAY_TOLD_OPENAI) {
            ops[n++] = NCR_OP_CHAT;
        }
    }

    id = ngx_http_claude_relay_mapped(tale->rlcf->map, &m->id);

    if (id == NULL) {
        id = &m->id;
    }

    /* who says nothing serves what its platform is known for */

    if ((a->models == NULL && a->model_map == NULL
         && !(ngx_http_claude_relay_told_of(a->platform) & m->of))
        || !ngx_http_claude_relay_open_to(tale->ctx, a)
        || !ngx_http_claude_relay_slotted(tale->ctx, a->platform))
    {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (ngx_http_claude_relay_serves(a, ops[i], id)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_claude_relay_told_of(ncr_platform_t *platform)
{
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        ngx_uint_t   of;
    } platforms[] = {
        { "openai", NGX_HTTP_CLAUDE_RELAY_OF_OPENAI },
        { "codex", NGX_HTTP_CLAUDE_RELAY_OF_CODEX },
        { "gemini", NGX_HTTP_CLAUDE_RELAY_OF_GEMINI },
        { "code-assist", NGX_HTTP_CLAUDE_RELAY_OF_ASSIST },
        { "antigravity", NGX_HTTP_CLAUDE_RELAY_OF_ASSIST }
    };

    for (i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++) {
        if (ncr_str_eq(&platform->name, platforms[i].name)) {
            return platforms[i].of;
        }
    }

    return 0;
}


/* whose a model is that an operator has listed; of an unknown one anybody's */

static ngx_uint_t
ngx_http_claude_relay_told_known(ngx_str_t *id)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_told_t  *m;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TOLD; i++) {
        m = &ngx_http_claude_relay_told_models[i];

        if (m->id.len == id->len
            && ngx_memcmp(m->id.data, id->data, id->len) == 0)
        {
            return m->of;
        }
    }

    return ncr_model_family(ncr(id)).len
           ? 0 : (NGX_HTTP_CLAUDE_RELAY_OF_BOTH
                  |NGX_HTTP_CLAUDE_RELAY_OF_GOOGLE);
}


static ngx_uint_t
ngx_http_claude_relay_told_plain(ngx_str_t *name)
{
    u_char  *last;

    last = name->data + name->len;

    return ngx_strlchr(name->data, last, '*') == NULL
           && ngx_strlchr(name->data, last, '?') == NULL;
}


/* "\u0000" is the longest that a byte becomes */

static size_t
ngx_http_claude_relay_told_size(ngx_http_claude_relay_told_t *m)
{
    return NGX_HTTP_CLAUDE_RELAY_TOLD_SIZE + 6 * (m->id.len + m->display.len);
}


static ngx_http_claude_relay_tell_pt  ngx_http_claude_relay_tellers[] = {
    ngx_http_claude_relay_told_openai,
    ngx_http_claude_relay_told_codex,
    ngx_http_claude_relay_told_gemini
};


static ngx_int_t
ngx_http_claude_relay_told_one(ngx_http_claude_relay_tale_t *tale)
{
    char         buf[NCR_MODEL_LEN + 64];
    size_t       size;
    u_char      *p;
    ncr_out_t    out;
    ngx_str_t    body, *id;
    ngx_uint_t   i;

    id = &tale->ctx->route.id;

    for (i = 0; i < tale->n; i++) {

        if (tale->list[i].id.len != id->len
            || ngx_memcmp(tale->list[i].id.data, id->data, id->len) != 0)
        {
            continue;
        }

        size = ngx_http_claude_relay_told_size(&tale->list[i]);

        p = ngx_pnalloc(tale->request->pool, size);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ncr_out_init(&out, p, size);

        ngx_http_claude_relay_tellers[tale->tongue](&out, &tale->list[i], i);

        body.data = p;
        body.len = out.last - p;

        return ngx_http_claude_relay_send(tale->request, NGX_HTTP_OK,
                                  &ngx_http_claude_relay_told_type, &body);
    }

    body = *id;
    body.len = ngx_min(body.len, NCR_MODEL_LEN);

    ngx_snprintf((u_char *) buf, sizeof(buf), "model: %V%Z", &body);

    tale->ctx->error = NCR_CLASS_CLIENT;

    return ngx_http_claude_relay_error(tale->request, tale->ctx,
                                       NGX_HTTP_NOT_FOUND, buf, -1);
}


static ngx_int_t
ngx_http_claude_relay_told_all(ngx_http_claude_relay_tale_t *tale)
{
    size_t      size;
    u_char     *p;
    ncr_out_t   out;
    ngx_str_t   body, tag;
    ngx_uint_t  i, first, last;

    if (ngx_http_claude_relay_told_page(tale, &first, &last) != NGX_OK) {
        tale->ctx->error = NCR_CLASS_CLIENT;

        return ngx_http_claude_relay_error(tale->request, tale->ctx,
                                   NGX_HTTP_BAD_REQUEST,
                                   "pageSize must be 1 to 1000, and pageToken "
                                   "one of this list", -1);
    }

    size = NGX_HTTP_CLAUDE_RELAY_TOLD_SIZE;

    for (i = first; i < last; i++) {
        size += ngx_http_claude_relay_told_size(&tale->list[i]);
    }

    p = ngx_pnalloc(tale->request->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ncr_out_init(&out, p, size);

    ncr_out_text(&out, (tale->tongue == NGX_HTTP_CLAUDE_RELAY_TOLD_OPENAI)
                       ? "{\"object\":\"list\",\"data\":["
                       : "{\"models\":[");

    for (i = first; i < last; i++) {

        if (i > first) {
            ncr_out_text(&out, ",");
        }

        ngx_http_claude_relay_tellers[tale->tongue](&out, &tale->list[i], i);
    }

    ncr_out_text(&out, "]");

    if (last < tale->n) {
        ncr_out_text(&out, ",\"nextPageToken\":\"");
        ncr_out_int(&out, (int64_t) last);
        ncr_out_text(&out, "\"");
    }

    ncr_out_text(&out, "}");

    if (out.overflow) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = out.last - p;

    if (tale->tongue == NGX_HTTP_CLAUDE_RELAY_TOLD_CODEX) {

        tag.data = ngx_pnalloc(tale->request->pool, sizeof("\"01234567\""));
        if (tag.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        tag.len = ngx_sprintf(tag.data, "\"%08xD\"",
                              ngx_crc32_long(body.data, body.len))
                  - tag.data;

        if (ngx_http_claude_relay_add_header(tale->request, "ETag", &tag)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_claude_relay_send(tale->request, NGX_HTTP_OK,
                                  &ngx_http_claude_relay_told_type, &body);
}


/* pageSize and pageToken of Gemini (C1); all of it for others */

static ngx_int_t
ngx_http_claude_relay_told_page(ngx_http_claude_relay_tale_t *tale,
    ngx_uint_t *first, ngx_uint_t *last)
{
    ngx_int_t   n;
    ngx_str_t   value;

    *first = 0;
    *last = tale->n;

    if (tale->tongue != NGX_HTTP_CLAUDE_RELAY_TOLD_GEMINI) {
        return NGX_OK;
    }

    if (ngx_http_arg(tale->request, (u_char *) "pageToken",
                     sizeof("pageToken") - 1, &value)
        == NGX_OK && value.len)
    {
        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || (ngx_uint_t) n > tale->n) {
            return NGX_ERROR;
        }

        *first = n;
    }

    if (ngx_http_arg(tale->request, (u_char *) "pageSize",
                     sizeof("pageSize") - 1, &value)
        == NGX_OK && value.len)
    {
        n = ngx_atoi(value.data, value.len);

        if (n == NGX_ERROR || n == 0 || n > 1000) {
            return NGX_ERROR;
        }

        *last = ngx_min(*last, *first + (ngx_uint_t) n);
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_told_openai(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i)
{
    ncr_out_text(out, "{\"id\":");
    ncr_out_json_string(out, ncr(&m->id));
    ncr_out_text(out, ",\"object\":\"model\",\"created\":");
    ncr_out_int(out, (int64_t) m->created);
    ncr_out_text(out, ",\"owned_by\":\"");
    ncr_out_text(out, m->created ? "openai" : "relay");
    ncr_out_text(out, "\"}");
}


/*
 * The keys of A9.  Instructions are not among them: those that Codex has for
 * a model are better than any that could be told here.
 */

static void
ngx_http_claude_relay_told_codex(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i)
{
    ncr_out_text(out, "{\"slug\":");
    ncr_out_json_string(out, ncr(&m->id));
    ncr_out_text(out, ",\"display_name\":");
    ncr_out_json_string(out, ncr(&m->display));
    ncr_out_text(out, ",\"description\":null,\"default_reasoning_level\":"
                      "\"medium\",\"supported_reasoning_levels\":["
                      "{\"effort\":\"low\",\"description\":\"low\"},"
                      "{\"effort\":\"medium\",\"description\":\"medium\"},"
                      "{\"effort\":\"high\",\"description\":\"high\"}],"
                      "\"shell_type\":\"shell_command\",\"visibility\":"
                      "\"list\",\"supported_in_api\":true,\"priority\":");
    ncr_out_int(out, (int64_t) i);
    ncr_out_text(out, ",\"upgrade\":null,\"support_verbosity\":false,"
                      "\"default_verbosity\":null,\"apply_patch_tool_type\":"
                      "\"freeform\",\"input_modalities\":[\"text\",\"image\"],"
                      "\"truncation_policy\":{\"mode\":\"tokens\",\"limit\":"
                      "10000},\"supports_parallel_tool_calls\":true,"
                      "\"supports_reasoning_summaries\":true,"
                      "\"context_window\":");

    if (m->context) {
        ncr_out_int(out, (int64_t) m->context);

    } else {
        ncr_out_text(out, "null");
    }

    ncr_out_text(out, ",\"experimental_supported_tools\":[]}");
}


static void
ngx_http_claude_relay_told_gemini(ncr_out_t *out,
    ngx_http_claude_relay_told_t *m, ngx_uint_t i)
{
    ncr_out_text(out, "{\"name\":\"models/");
    ncr_out_json(out, ncr(&m->id));
    ncr_out_text(out, "\",\"version\":\"001\",\"displayName\":");
    ncr_out_json_string(out, ncr(&m->display));

    if (m->context) {
        ncr_out_text(out, ",\"inputTokenLimit\":");
        ncr_out_int(out, (int64_t) m->context);
    }

    if (m->output) {
        ncr_out_text(out, ",\"outputTokenLimit\":");
        ncr_out_int(out, (int64_t) m->output);
    }

    ncr_out_text(out, ",\"supportedGenerationMethods\":[");
    ncr_out_text(out, (m->of & NGX_HTTP_CLAUDE_RELAY_EMBEDS)
                      ? "\"embedContent\""
                      : "\"generateContent\",\"countTokens\"");
    ncr_out_text(out, "]}");
}
