
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a key allows: it, its user and its group must be enabled and the key
 * not be over; the service, the client, the address and the model must be
 * among those of the key.  The store's are read from the zone for each
 * request, so that what was revoked is of no use any more.
 */


#include "ngx_http_claude_relay_books.h"


static ngx_int_t ngx_http_claude_relay_refuse_key(
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *why);
static ngx_int_t ngx_http_claude_relay_permit_key(
    ngx_http_claude_relay_ctx_t *ctx, ncr_key_why_e why);
static ngx_int_t ngx_http_claude_relay_permit_owner(
    ngx_http_claude_relay_ctx_t *ctx, ncr_key_t *owner, ncr_scope_e scope,
    ncr_key_request_t *req);
static ngx_int_t ngx_http_claude_relay_permit_clients(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_key_request_t *req);
static uint32_t ngx_http_claude_relay_permit_service(
    ngx_http_claude_relay_route_t *route);
static void ngx_http_claude_relay_permit_request(ngx_http_request_t *r,
    ngx_uint_t clients, ncr_key_request_t *req);
static void ngx_http_claude_relay_permit_address(ngx_http_request_t *r,
    u_char *address);
static uint32_t ngx_http_claude_relay_permit_signs(ngx_http_request_t *r,
    ncr_str_t *agent);
static ngx_int_t ngx_http_claude_relay_permit_pool(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_permit_account(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *name, ngx_uint_t fallback);
static ngx_int_t ngx_http_claude_relay_permit_group(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *name, ngx_uint_t fallback);
static ngx_int_t ngx_http_claude_relay_permit_join(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t **first,
    ngx_uint_t n, ngx_uint_t others);
static void ngx_http_claude_relay_permit_first(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_msec_t now);


/* NGX_ERROR: ctx->why and ctx->refused.status tell the client why not */

ngx_int_t
ngx_http_claude_relay_permit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_key_t                         *key;
    ncr_key_why_e                      why;
    ncr_key_request_t                  req;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    key = ctx->key;

    if (key == NULL && rlcf->clients == NULL) {
        return NGX_OK;
    }

    ngx_http_claude_relay_permit_request(r, (key && key->clients)
                                            || (rlcf->clients
                                                && rlcf->clients->clients),
                                         &req);

    req.service = ngx_http_claude_relay_permit_service(&ctx->route);

    why = NCR_KEY_OK;

    if (key) {
        why = ncr_key_check(key, &req);

        if (why == NCR_KEY_DISABLED || why == NCR_KEY_EXPIRED) {
            return ngx_http_claude_relay_permit_key(ctx, why);
        }

        if (ngx_http_claude_relay_permit_owner(ctx, ctx->user, NCR_SCOPE_USER,
                                               &req)
            != NGX_OK
            || ngx_http_claude_relay_permit_owner(ctx, ctx->group,
                                                  NCR_SCOPE_GROUP, &req)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_claude_relay_permit_clients(r, ctx, &req) != NGX_OK) {
        return NGX_ERROR;
    }

    if (key == NULL) {
        return NGX_OK;
    }

    if (why != NCR_KEY_OK) {
        return ngx_http_claude_relay_permit_key(ctx, why);
    }

    if (key->valid_for && key->activated == 0
        && ctx->route.op != NCR_OP_SELF)
    {
        ngx_http_claude_relay_permit_first(r, ctx, req.now);
    }

    return ngx_http_claude_relay_permit_pool(r, ctx);
}


static ngx_int_t
ngx_http_claude_relay_refuse_key(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, const char *why)
{
    ctx->why = why;
    ctx->refused.status = status;
    ctx->refused.retry_after = -1;

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_permit_key(ngx_http_claude_relay_ctx_t *ctx,
    ncr_key_why_e why)
{
    switch (why) {

    case NCR_KEY_DISABLED:
        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_UNAUTHORIZED,
                                                "API key is disabled");

    case NCR_KEY_EXPIRED:
        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_UNAUTHORIZED,
                                                "API key has expired");

    case NCR_KEY_SERVICE:
        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_FORBIDDEN,
                      "this API key has no permission to use this service");

    case NCR_KEY_CLIENT:
        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_FORBIDDEN,
                      "client not allowed: this API key is for other clients");

    case NCR_KEY_ADDRESS:
        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_FORBIDDEN,
                      "address not allowed: this API key may not be used from "
                      "here");

    case NCR_KEY_MODEL:
    case NCR_KEY_OK:
    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_claude_relay_permit_owner(ngx_http_claude_relay_ctx_t *ctx,
    ncr_key_t *owner, ncr_scope_e scope, ncr_key_request_t *req)
{
    ngx_uint_t  named, user;

    user = (scope == NCR_SCOPE_USER);

    if (owner) {

        if (ncr_key_check(owner, req) == NCR_KEY_OK) {
            return NGX_OK;
        }

        return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_UNAUTHORIZED,
                         user ? "the user of this API key is disabled"
                              : "the group of this API key is disabled");
    }

    named = user ? ctx->key->user.len
                 : (ctx->key->group.len
                    || (ctx->user && ctx->user->group.len));

    if (!named) {
        return NGX_OK;
    }

    /* what would have to be counted with it has no place */

    return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_UNAUTHORIZED,
                         user ? "the user of this API key does not exist"
                              : "the group of this API key does not exist");
}


/* claude_relay_clients of the location */

static ngx_int_t
ngx_http_claude_relay_permit_clients(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_key_request_t *req)
{
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->clients == NULL
        || ncr_key_check(rlcf->clients, req) == NCR_KEY_OK)
    {
        return NGX_OK;
    }

    return ngx_http_claude_relay_refuse_key(ctx, NGX_HTTP_FORBIDDEN,
                                     (const char *) rlcf->clients_words.data);
}


/* by the route, whoever will answer (FEATURES F046) */

static uint32_t
ngx_http_claude_relay_permit_service(ngx_http_claude_relay_route_t *route)
{
    if (route->op == NCR_OP_SELF) {
        return UINT32_MAX;
    }

    if (ncr_str_eq(ncr(&route->platform), "droid")) {
        return NCR_SERVICE_DROID;
    }

    switch (route->dialect) {

    case NCR_DIALECT_OPENAI:
        return NCR_SERVICE_OPENAI;

    case NCR_DIALECT_GEMINI:
        return NCR_SERVICE_GEMINI;

    default: /* Bedrock's is another way to Claude */
        return NCR_SERVICE_CLAUDE;
    }
}


static void
ngx_http_claude_relay_permit_request(ngx_http_request_t *r,
    ngx_uint_t clients, ncr_key_request_t *req)
{
    req->now = ngx_http_claude_relay_now();
    req->service = 0;

    ncr_str_null(&req->agent);

    if (r->headers_in.user_agent) {
        req->agent = *ncr(&r->headers_in.user_agent->value);
    }

    ngx_http_claude_relay_permit_address(r, req->address);

    req->client = clients
                  ? ngx_http_claude_relay_permit_signs(r, &req->agent) : 0;
}


/* as the connection has it, or as ngx_http_realip_module has put it there */

static void
ngx_http_claude_relay_permit_address(ngx_http_request_t *r, u_char *address)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    ngx_memzero(address, 16);

    switch (r->connection->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) r->connection->sockaddr;
        ngx_memcpy(address, &sin6->sin6_addr, 16);
        break;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) r->connection->sockaddr;
        address[10] = 0xff;
        address[11] = 0xff;
        ngx_memcpy(address + 12, &sin->sin_addr, 4);
        break;

    default: /* a socket of this machine, and no network */
        break;
    }
}


static uint32_t
ngx_http_claude_relay_permit_signs(ngx_http_request_t *r, ncr_str_t *agent)
{
    ncr_str_t        *value, name;
    ngx_uint_t        i;
    ncr_key_signs_t   signs;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(&signs, sizeof(ncr_key_signs_t));

    signs.path = *ncr(&r->uri);
    signs.agent = *agent;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            name.data = h[i].lowcase_key;
            name.len = h[i].key.len;

            if (ncr_str_eq(&name, "x-app")) {
                value = &signs.app;

            } else if (ncr_str_eq(&name, "anthropic-beta")) {
                value = &signs.beta;

            } else if (ncr_str_eq(&name, "anthropic-version")) {
                value = &signs.version;

            } else if (ncr_str_eq(&name, "originator")) {
                value = &signs.originator;

            } else if (ncr_str_eq(&name, "session_id")) {
                value = &signs.session;

            } else if (ncr_str_eq(&name, "x-factory-client")) {
                value = &signs.factory;

            } else {
                continue;
            }

            if (value->len == 0) {
                *value = *ncr(&h[i].value);
            }
        }
    }

    return ncr_key_recognize(&signs);
}


/* its time begins now: in the zone at once, in the store soon */

static void
ngx_http_claude_relay_permit_first(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_msec_t now)
{
    ngx_int_t                           rc;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    rc = ngx_http_claude_relay_subject_used_locked(rmcf, ctx->key, now);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (rc == NGX_OK) {
        ngx_http_claude_relay_activated(ctx->key->id, now);
    }
}


/* the key's pool, and its account, in the place of the location's */

static ngx_int_t
ngx_http_claude_relay_permit_pool(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t                      name;
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *pool;

    static ngx_http_claude_relay_pool_t  none;

    name = ncr_key_text(ctx->key, ctx->key->pool);

    if (name.len) {
        pool = ctx->roster->pools.elts;
        ctx->pool = &none;

        for (i = 0; i < ctx->roster->pools.nelts; i++) {
            if (pool[i].name.len == name.len
                && ngx_memcmp(pool[i].name.data, name.data, name.len) == 0)
            {
                ctx->pool = &pool[i];
                break;
            }
        }
    }

    name = ncr_key_text(ctx->key, ctx->key->account);

    if (name.len == 0) {
        return NGX_OK;
    }

    if (ncr_str_prefix(&name, NGX_HTTP_CLAUDE_RELAY_GROUP)) {
        name.data += sizeof(NGX_HTTP_CLAUDE_RELAY_GROUP) - 1;
        name.len -= sizeof(NGX_HTTP_CLAUDE_RELAY_GROUP) - 1;

        return ngx_http_claude_relay_permit_group(r, ctx, (ngx_str_t *) &name,
                                                  ctx->key->fallback);
    }

    return ngx_http_claude_relay_permit_account(r, ctx,
                                                (ngx_str_t *) &name,
                                                ctx->key->fallback);
}


/*
 * A pool of the account alone, wherever it is; or, if it is only preferred,
 * of it and those of the pool.
 */

static ngx_int_t
ngx_http_claude_relay_permit_account(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *name, ngx_uint_t fallback)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t   *a, **own;

    own = ctx->pool->accounts.elts;

    a = ngx_http_claude_relay_roster_find(ctx->roster, name);

    ctx->preferred = a;
    ctx->bound = !fallback;

    if (fallback) {

        if (a == NULL) {
            return NGX_OK;
        }

        for (i = 0; i < ctx->pool->accounts.nelts; i++) {
            if (own[i] == a) {
                return NGX_OK;
            }
        }
    }

    return ngx_http_claude_relay_permit_join(r, ctx, &a, a ? 1 : 0, fallback);
}


/* the accounts of a group, wherever they are; others come after all of them */

static ngx_int_t
ngx_http_claude_relay_permit_group(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *name, ngx_uint_t fallback)
{
    ngx_http_claude_relay_pool_t  *group;

    ctx->grouped = *name;
    ctx->bound = !fallback;

    group = ngx_http_claude_relay_roster_group(ctx->roster, name);

    if (group == NULL) {
        return ngx_http_claude_relay_permit_join(r, ctx, NULL, 0, fallback);
    }

    if (!fallback) {
        ctx->pool = group;
        return NGX_OK;
    }

    ctx->nfirst = group->accounts.nelts;

    return ngx_http_claude_relay_permit_join(r, ctx, group->accounts.elts,
                                             group->accounts.nelts, 1);
}


/* a pool of these n, and of those of the present one that are not among them
 * if others may serve, too */

static ngx_int_t
ngx_http_claude_relay_permit_join(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t **first,
    ngx_uint_t n, ngx_uint_t others)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_pool_t      *pool;
    ngx_http_claude_relay_account_t  **a, **own;

    pool = ngx_palloc(r->pool, sizeof(ngx_http_claude_relay_pool_t));

    if (pool == NULL) {
        goto failed;
    }

    *pool = *ctx->pool;

    pool->accounts.pool = r->pool;
    pool->accounts.size = sizeof(ngx_http_claude_relay_account_t *);
    pool->accounts.nalloc = 1 + n + (others ? ctx->pool->accounts.nelts : 0);
    pool->accounts.elts = ngx_palloc(r->pool, pool->accounts.nalloc
                                              * pool->accounts.size);

    if (pool->accounts.elts == NULL) {
        goto failed;
    }

    a = pool->accounts.elts;

    for (i = 0; i < n; i++) {
        *a++ = first[i];
        pool->turns |= first[i]->turns.on;
    }

    own = ctx->pool->accounts.elts;

    for (i = 0; others && i < ctx->pool->accounts.nelts; i++) {
        if (ctx->grouped.len == 0
            || !ngx_http_claude_relay_in_group(own[i], &ctx->grouped))
        {
            *a++ = own[i];
        }
    }

    pool->accounts.nelts = a - (ngx_http_claude_relay_account_t **)
                                   pool->accounts.elts;

    ctx->pool = pool;

    return NGX_OK;

failed:

    return ngx_http_claude_relay_refuse_key(ctx,
                                            NGX_HTTP_INTERNAL_SERVER_ERROR,
                                            "internal error");
}


/* after the body was read; NGX_DECLINED: why is the text of a 403 */

ngx_int_t
ngx_http_claude_relay_permit_model(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why)
{
    u_char     *p;
    ncr_key_t  *key;

    key = ctx->key;

    if (key == NULL || (key->models.len == 0 && key->denied.len == 0)) {
        return NGX_OK;
    }

    if (ncr_key_check_model(key, ncr(&ctx->model)) == NCR_KEY_OK) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, ctx->model.len
                             + sizeof("this API key may not use the model "
                                      "\"\""));
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(p, "this API key may not use the model \"%V\"%Z",
                       &ctx->model);

    *why = (const char *) p;

    return NGX_DECLINED;
}


/* claude_relay_clients name | pattern ... | off */

char *
ngx_http_claude_relay_set_clients(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    size_t            len;
    u_char           *p;
    uint32_t          bit;
    ngx_str_t        *value;
    ngx_uint_t        i;
    ncr_key_room_t   *room;
    ncr_key_build_t   b;

    static char  words[] = "client_validation: This endpoint only accepts "
                           "requests from";

    if (rlcf->clients != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ncr_str_eq(ncr(&value[1]), "off")) {
        rlcf->clients = NULL;
        return NGX_CONF_OK;
    }

    room = ngx_palloc(cf->pool, sizeof(ncr_key_room_t));
    if (room == NULL) {
        return NGX_CONF_ERROR;
    }

    ncr_key_begin(&b, room->buf, NCR_SCOPE_KEY);

    b.key->enabled = 1;
    len = sizeof(words);

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0 || value[i].len > 255) {
            return "has a client of no or too many characters";
        }

        bit = ncr_key_client(ncr(&value[i]));

        if (bit) {
            b.key->clients |= bit;

        } else {
            ncr_key_add(&b, &b.key->agents, ncr(&value[i]));
        }

        len += 2 + value[i].len;
    }

    if (ncr_key_end(&b) != NCR_OK) {
        return "has too many clients";
    }

    rlcf->clients = b.key;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    rlcf->clients_words.data = p;

    p = ngx_cpymem(p, words, sizeof(words) - 1);

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_sprintf(p, "%s%V", (i == 1) ? " " : ", ", &value[i]);
    }

    *p = '\0';

    rlcf->clients_words.len = p - rlcf->clients_words.data;

    return NGX_CONF_OK;
}
