
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What makes two requests one session: the ladder of anthropic.md G.1.  The
 * key is a hash under a secret, the zone's or the fleet's, over the relay key,
 * the pool and the session, so sessions of two keys never meet and nobody can
 * read one.  (The hash is never shown whole, so a secret in front is as good
 * as an HMAC.)
 */


#include "ngx_http_claude_relay_zone.h"
#include "ngx_http_claude_relay_fleet.h"


static void ngx_http_claude_relay_derive(ngx_http_claude_relay_ctx_t *ctx,
    const char *kind, ngx_str_t *value, u_char *key);


void
ngx_http_claude_relay_session(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                          value, *h;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->sticky_ttl == 0) {
        return;
    }

    h = ctx->meant[NGX_HTTP_CLAUDE_RELAY_SESSION_CLAUDE];

    if (h) {
        value = *h;
        goto found;
    }

    if (ctx->scan && ctx->scan->told.strong) {
        value = ngx_http_claude_relay_str(&ctx->scan->told.session);
        goto found;
    }

    h = ctx->meant[NGX_HTTP_CLAUDE_RELAY_SESSION];

    /* others.md A15 */

    if (h == NULL) {
        h = ctx->meant[NGX_HTTP_CLAUDE_RELAY_THREAD];
    }

    if (h) {
        value = *h;
        goto found;
    }

    if (ctx->scan && ctx->scan->told.session.len) {
        value = ngx_http_claude_relay_str(&ctx->scan->told.session);
        goto found;
    }

    if (ctx->scan && ctx->scan->told.hashed) {
        value.data = ctx->scan->told.digest;
        value.len = NCR_SHA256_LEN;

        ngx_http_claude_relay_derive(ctx, "prefix", &value, ctx->session);
        ctx->has_session = 1;
        ctx->hashed = 1;
        return;
    }

    /* one key's batches and files keep together, so that lists are whole */

    if (ncr_op_is(ctx->route.op, NCR_OP_LISTS)) {
        ngx_str_set(&value, "");
        ngx_http_claude_relay_derive(ctx, "objects", &value, ctx->session);
        ctx->has_session = 1;
    }

    return;

found:

    ngx_http_claude_relay_derive(ctx, "session", &value, ctx->session);
    ctx->has_session = 1;
}


void
ngx_http_claude_relay_id_key(ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *id)
{
    ngx_http_claude_relay_derive(ctx, "id", id, ctx->id_key);
}


/* whose batch, file or thread it is; 0 without keys */

uint64_t
ngx_http_claude_relay_owner(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->key ? ctx->key->id : 0;
}


/* a batch or a file lives with the account that made it */

void
ngx_http_claude_relay_bind_id(ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *id)
{
    ncr_msec_t                          now;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->account == NULL || id->len == 0) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_http_claude_relay_id_key(ctx, id);

    now = ngx_http_claude_relay_now();

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    (void) ngx_http_claude_relay_bond_set_locked(rmcf, &rmcf->zone->ids,
                                          ctx->id_key,
                                          ctx->account->node->number,
                                          ngx_http_claude_relay_owner(ctx),
                                          now, NGX_HTTP_CLAUDE_RELAY_ID_TTL);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (rmcf->redis) {
        ngx_http_claude_relay_fleet_id(ctx);
    }
}


static void
ngx_http_claude_relay_derive(ngx_http_claude_relay_ctx_t *ctx,
    const char *kind, ngx_str_t *value, u_char *key)
{
    u_char                              digest[NCR_SHA256_LEN];
    ncr_str_t                           name;
    ncr_sha256_t                       *sha;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    sha = &rmcf->sha;

    ncr_sha256_init(sha);

    if (rmcf->redis) {
        ncr_sha256_update(sha, rmcf->redis->sessions_key,
                          sizeof(rmcf->redis->sessions_key));

    } else {
        ncr_sha256_update(sha, rmcf->zone->secret,
                          sizeof(rmcf->zone->secret));
    }

    /* the NULs keep the parts apart */

    ncr_sha256_update(sha, kind, ngx_strlen(kind) + 1);

    /* ids are unique by themselves, and know their owner */

    if (ctx->key && ngx_strcmp(kind, "id") != 0) {
        name = ncr_key_text(ctx->key, ctx->key->name);
        ncr_sha256_update(sha, name.data, name.len);
    }

    ncr_sha256_update(sha, "", 1);
    ncr_sha256_update(sha, rlcf->pool_name.data, rlcf->pool_name.len);
    ncr_sha256_update(sha, "", 1);
    ncr_sha256_update(sha, value->data, value->len);
    ncr_sha256_final(sha, digest);

    ngx_memcpy(key, digest, NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
}
