
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Tokens in the zone: what the store has is published there, and from there
 * each worker makes the line that shows the credential.  A request with a
 * valid token costs two comparisons, no lock.
 */


#include "ngx_http_claude_relay_refresh.h"
#include "ngx_http_claude_relay_redis.h"


/* how long a request waits for somebody's refresh, ms */
#define NGX_HTTP_CLAUDE_RELAY_PATIENCE   60000


static ngx_http_claude_relay_tokens_t *ngx_http_claude_relay_tokens_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_account_t *row,
    uint64_t tie);
static uint64_t ngx_http_claude_relay_tie(ncr_store_account_t *row);
static void ngx_http_claude_relay_publish_tokens_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node,
    ngx_http_claude_relay_tokens_t *tokens);
static void ngx_http_claude_relay_node_anew_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node);


ngx_int_t
ngx_http_claude_relay_publish(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node, ncr_store_account_t *row,
    ngx_uint_t again)
{
    uint64_t                         tie;
    ngx_int_t                        rc;
    ngx_str_t                        name;
    ngx_http_claude_relay_tokens_t  *tokens;

    name.data = (u_char *) row->name;
    name.len = ngx_strlen(row->name);

    rc = NGX_OK;
    tie = ngx_http_claude_relay_tie(row);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (node == NULL) {
        node = (ngx_http_claude_relay_node_t *)
                   ngx_str_rbtree_lookup(&rmcf->zone->names, &name,
                                         ngx_crc32_long(name.data, name.len));
        if (node == NULL) {
            goto done;
        }
    }

    if (node->id != row->id) {

        if (row->removed) {
            goto done;
        }

        if (node->id) {

            /* another account of this name */

            ngx_http_claude_relay_node_anew_locked(rmcf, node);
        }

        node->id = row->id;
    }

    if (row->seq < node->seq && !again) {
        goto done;
    }

    node->seq = row->seq;
    node->removed = row->removed ? row->seq : 0;

    if (row->tokens < node->version) {
        rc = row->removed ? NGX_OK : NGX_DECLINED;
        goto done;
    }

    /* two nodes may have made tokens of one version: the store has chosen */

    if (row->tokens > node->version
        || (row->tokens && node->tokens && node->tokens->tie != tie))
    {
        tokens = ngx_http_claude_relay_tokens_locked(rmcf, row, tie);

        if (tokens == NULL) {
            rc = NGX_ERROR;
            goto done;
        }

        ngx_http_claude_relay_publish_tokens_locked(rmcf, node, tokens);
    }

    if (row->failed && node->login == 0) {
        node->login = row->failed;
        (void) ngx_cpystrn((u_char *) node->reason, (u_char *) row->reason,
                           sizeof(node->reason));

    } else if (row->failed == 0) {
        node->login = 0;
    }

done:

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return rc;
}


/* tells apart tokens of one version, whatever was found out about them */

static uint64_t
ngx_http_claude_relay_tie(ncr_store_account_t *row)
{
    ncr_store_order_t    order;
    ncr_store_account_t  good;

    good = *row;
    good.failed = 0;

    ncr_store_tokens_order(&good, &order);

    return order.tie;
}


static ngx_http_claude_relay_tokens_t *
ngx_http_claude_relay_tokens_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_store_account_t *row, uint64_t tie)
{
    u_char                          *p;
    size_t                           access, refresh, scopes, holder;
    ngx_str_t                       *node;
    ngx_http_claude_relay_tokens_t  *tokens;

    access = ngx_strlen(row->access);
    refresh = ngx_strlen(row->refresh);
    scopes = ngx_strlen(row->scopes);
    holder = ngx_strlen(row->holder);

    tokens = ngx_http_claude_relay_alloc_locked(rmcf,
                                 sizeof(ngx_http_claude_relay_tokens_t)
                                 + access + refresh + scopes + holder,
                                 NGX_MAX_UINT32_VALUE);
    if (tokens == NULL) {
        return NULL;
    }

    tokens->version = row->tokens;
    tokens->tie = tie;
    tokens->fence = row->fence;
    tokens->expires = row->expires;
    tokens->granted = row->granted;
    tokens->access = (uint32_t) access;
    tokens->refresh = (uint32_t) refresh;
    tokens->scopes = (uint32_t) scopes;
    tokens->holder = (uint32_t) holder;

    node = rmcf->redis ? &rmcf->redis->node : NULL;

    tokens->own = (holder == 0
                   || (node && node->len == holder
                       && ngx_memcmp(node->data, row->holder, holder) == 0));

    p = ngx_cpymem(tokens->data, row->access, access);
    p = ngx_cpymem(p, row->refresh, refresh);
    p = ngx_cpymem(p, row->scopes, scopes);
    (void) ngx_cpymem(p, row->holder, holder);

    return tokens;
}


void
ngx_http_claude_relay_tokens_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_tokens_t *tokens)
{
    ngx_explicit_memzero(tokens->data,
                         tokens->access + tokens->refresh + tokens->scopes
                         + tokens->holder);
    ngx_slab_free_locked(rmcf->shpool, tokens);
}


/* a worker may die between any two of these stores: each leaves sense */

static void
ngx_http_claude_relay_publish_tokens_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node,
    ngx_http_claude_relay_tokens_t *tokens)
{
    ngx_http_claude_relay_tokens_t  *old;

    old = node->tokens;

    node->tokens = tokens;
    ngx_memory_barrier();
    node->expires = tokens->expires;
    ngx_memory_barrier();
    node->version = (ngx_atomic_uint_t) tokens->version;
    node->tie = (ngx_atomic_uint_t) tokens->tie;

    if (old && old->version == tokens->version) {
        node->rejected = 0;
    }

    node->login = 0;
    node->reason[0] = '\0';
    node->fails = 0;
    node->retry_at = 0;
    node->failure[0] = '\0';
    /* what a dead token was told is over */

    ncr_health_renewed(&node->health, ngx_http_claude_relay_now());

    if (old) {
        ngx_http_claude_relay_tokens_free_locked(rmcf, old);
    }
}


static void
ngx_http_claude_relay_node_anew_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node)
{
    ngx_http_claude_relay_tokens_t  *old;

    old = node->tokens;

    node->version = 0;
    node->tie = 0;
    node->tokens = NULL;
    node->expires = 0;
    node->rejected = 0;
    node->login = 0;
    node->reason[0] = '\0';
    node->seq = 0;
    node->removed = 0;
    node->retry_at = 0;
    node->fails = 0;
    node->failure[0] = '\0';
    node->refreshes = 0;
    node->refreshed = 0;
    node->usage_at = 0;
    node->learn_at = 0;
    node->tested = 0;

    ngx_memzero(&node->health, sizeof(ncr_health_t));
    ngx_memzero(&node->shared, sizeof(ngx_http_claude_relay_shared_t));

    if (old) {
        ngx_http_claude_relay_tokens_free_locked(rmcf, old);
    }
}


void
ngx_http_claude_relay_node_anew(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_node_t *node)
{
    ngx_shmtx_lock(&rmcf->shpool->mutex);
    ngx_http_claude_relay_node_anew_locked(rmcf, node);
    ngx_shmtx_unlock(&rmcf->shpool->mutex);
}


/* a C string of its own, of a slice */

char *
ngx_http_claude_relay_dup(const void *data, size_t len)
{
    char  *p;

    p = ngx_alloc(len + 1, ngx_cycle->log);

    if (p) {
        (void) ngx_cpystrn((u_char *) p, (u_char *) data, len + 1);
    }

    return p;
}


ngx_http_claude_relay_stored_t *
ngx_http_claude_relay_remember(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    u_char                          *p;
    ncr_store_account_t             *row;
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_stored_t  *stored;
    ngx_http_claude_relay_tokens_t  *tokens;

    if (a->id == 0) {
        return NULL;
    }

    stored = ngx_calloc(sizeof(ngx_http_claude_relay_stored_t), ngx_cycle->log);
    if (stored == NULL) {
        return NULL;
    }

    row = &stored->row;
    node = a->node;

    row->id = a->id;
    row->conf = (a->own == NULL);
    row->version = a->version;

    (void) ngx_cpystrn((u_char *) row->name, a->name.data,
                       ngx_min(sizeof(row->name), a->name.len + 1));

    row->settings = ngx_http_claude_relay_dup(a->settings.data,
                                              a->settings.len);
    row->secret = a->own
                  ? ngx_http_claude_relay_dup(a->secret.data, a->secret.len)
                  : ngx_http_claude_relay_dup("", 0);
    row->proxy = ngx_http_claude_relay_dup(a->proxy_url.data,
                                           a->own ? a->proxy_url.len : 0);
    row->meta = a->info ? ngx_http_claude_relay_dup(a->info->meta.data,
                                                    a->info->meta.len)
                        : ngx_http_claude_relay_dup("", 0);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    tokens = node->tokens;

    if (tokens) {
        row->tokens = tokens->version;
        row->fence = tokens->fence;
        row->expires = tokens->expires;
        row->granted = tokens->granted;
        row->failed = node->login;

        p = tokens->data;
        row->access = ngx_http_claude_relay_dup(p, tokens->access);
        p += tokens->access;
        row->refresh = ngx_http_claude_relay_dup(p, tokens->refresh);
        p += tokens->refresh;
        row->scopes = ngx_http_claude_relay_dup(p, tokens->scopes);
        p += tokens->scopes;
        row->holder = ngx_http_claude_relay_dup(p, tokens->holder);
        row->reason = ngx_http_claude_relay_dup(node->reason,
                                 node->login ? ngx_strlen(node->reason) : 0);

    } else {
        row->access = ngx_http_claude_relay_dup("", 0);
        row->refresh = ngx_http_claude_relay_dup("", 0);
        row->scopes = ngx_http_claude_relay_dup("", 0);
        row->reason = ngx_http_claude_relay_dup("", 0);
        row->holder = ngx_http_claude_relay_dup("", 0);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (row->settings && row->secret && row->proxy && row->meta
        && row->access && row->refresh && row->scopes && row->reason
        && row->holder)
    {
        return stored;
    }

    ngx_http_claude_relay_stored_free(stored);

    return NULL;
}


/*
 * May the account be asked with what it has, or with what a refresh will
 * bring?  With the lock held.  *until: when it may, if that is a matter of
 * time.
 */

ngx_http_claude_relay_token_e
ngx_http_claude_relay_token_locked(ngx_http_claude_relay_account_t *a,
    ncr_msec_t now, ncr_msec_t *until)
{
    ngx_http_claude_relay_node_t  *node;

    if (!a->token) {
        return NGX_HTTP_CLAUDE_RELAY_TOKEN_OK;
    }

    node = a->node;

    if (node->login || node->version == 0 || node->tokens == NULL) {
        return NGX_HTTP_CLAUDE_RELAY_TOKEN_NONE;
    }

    if ((node->expires == 0 || node->expires > now)
        && node->rejected != node->version)
    {
        return NGX_HTTP_CLAUDE_RELAY_TOKEN_OK;
    }

    if (node->tokens->refresh == 0) {
        return NGX_HTTP_CLAUDE_RELAY_TOKEN_NONE;
    }

    if (node->retry_at
        && (ngx_msec_int_t) (node->retry_at - ngx_current_msec) > 0)
    {
        *until = now + (ngx_msec_int_t) (node->retry_at - ngx_current_msec);
        return NGX_HTTP_CLAUDE_RELAY_TOKEN_LATER;
    }

    return NGX_HTTP_CLAUDE_RELAY_TOKEN_OK;
}


/*
 * The account of ctx is leased; can it be asked now?  NGX_AGAIN: a refresh is
 * under way, ctx waits for it; NGX_DECLINED: it failed.
 */

ngx_int_t
ngx_http_claude_relay_token(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_msec_t                          now, until;
    ngx_msec_int_t                      left;
    ngx_atomic_uint_t                   version;
    ngx_http_claude_relay_node_t       *node;
    ngx_http_claude_relay_token_e       state;
    ngx_http_claude_relay_account_t    *a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    a = ctx->account;

    if (!a->token) {
        return NGX_OK;
    }

    node = a->node;
    version = node->version;
    now = ngx_http_claude_relay_now();

    if (version && version == a->proof_version && node->tie == a->proof_tie
        && version != node->rejected
        && (node->expires == 0
            || node->expires - now > NGX_HTTP_CLAUDE_RELAY_MARGIN))
    {
        return NGX_OK;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (version && version != node->rejected
        && (node->expires == 0
            || node->expires - now > NGX_HTTP_CLAUDE_RELAY_MARGIN))
    {
        return ngx_http_claude_relay_proof(rmcf, a);
    }

    /* what a refresh has brought is good for what it is good for */

    if (ctx->token_until && version != ctx->token_from) {
        return (version != node->rejected && node->expires > now)
               ? ngx_http_claude_relay_proof(rmcf, a) : NGX_DECLINED;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    state = ngx_http_claude_relay_token_locked(a, now, &until);
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (state != NGX_HTTP_CLAUDE_RELAY_TOKEN_OK) {
        return NGX_DECLINED;
    }

    if (ctx->token_until == 0) {
        ctx->token_from = version;
        ctx->token_until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_PATIENCE;
    }

    left = (ngx_msec_int_t) (ctx->token_until - ngx_current_msec);

    if (left <= 0) {
        return NGX_DECLINED;
    }

    if (ngx_http_claude_relay_refresh(rmcf, a, ctx->request) == NGX_AGAIN) {
        ngx_http_claude_relay_wait(ctx, ngx_min(left, 250));
        return NGX_AGAIN;
    }

    /* no refresh is possible, but some seconds are left (F109) */

    return (node->version && node->version != node->rejected
            && node->expires > now)
           ? ngx_http_claude_relay_proof(rmcf, a) : NGX_DECLINED;
}


/* the line that shows the credential, as of the newest tokens */

ngx_int_t
ngx_http_claude_relay_proof(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    u_char                          *p;
    size_t                           len;
    ncr_out_t                        out;
    ncr_str_t                        access, meta;
    ngx_http_claude_relay_tokens_t  *tokens;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    tokens = a->node->tokens;

    if (tokens == NULL || tokens->access == 0) {
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
        return NGX_DECLINED;
    }

    if (tokens->version == a->proof_version && tokens->tie == a->proof_tie) {
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
        return NGX_OK;
    }

    len = NGX_HTTP_CLAUDE_RELAY_PROOF + tokens->access;

    p = ngx_alloc(len, ngx_cycle->log);

    if (p == NULL) {
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
        return NGX_DECLINED;
    }

    ncr_out_init(&out, p, len);

    access.data = tokens->data;
    access.len = tokens->access;

    if (a->platform->proof) {
        ncr_str_set(&meta, "");

        a->platform->proof(&out, &access, a->params,
                           a->info ? ncr(&a->info->meta) : &meta);

    } else {
        ncr_out_text(&out, "Authorization: Bearer ");
        ncr_out_str(&out, &access);
        ncr_out_text(&out, CRLF);
    }

    len = out.last - out.start;

    a->proof_version = (ngx_atomic_uint_t) tokens->version;
    a->proof_tie = (ngx_atomic_uint_t) tokens->tie;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (a->proof_buf) {
        ngx_explicit_memzero(a->proof_buf, a->proof.len);
        ngx_free(a->proof_buf);
    }

    a->proof_buf = p;
    a->proof.data = p;
    a->proof.len = len;

    return NGX_OK;
}


/*
 * The upstream refused the token that this request has shown.  NGX_OK: there
 * is a newer one, or a refresh may bring one, so the account may be asked
 * again; NGX_DECLINED: there is nothing to be refreshed.
 */

ngx_int_t
ngx_http_claude_relay_token_refused(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                           rc;
    ncr_msec_t                          until;
    ngx_http_claude_relay_node_t       *node;
    ngx_http_claude_relay_account_t    *a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    a = ctx->account;

    if (!a->token) {
        return NGX_DECLINED;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    node = a->node;
    rc = NGX_OK;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (node->version == ctx->token_version) {

        if (node->rejected != node->version) {
            node->rejected = node->version;

            /* what a back-off was for may be another thing */
            node->retry_at = 0;
        }
    }

    if (ngx_http_claude_relay_token_locked(a, ngx_http_claude_relay_now(),
                                           &until)
        != NGX_HTTP_CLAUDE_RELAY_TOKEN_OK)
    {
        rc = NGX_DECLINED;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (rc == NGX_DECLINED && node->tokens && node->tokens->refresh == 0) {

        /* a setup token: nothing but another login helps (A.6) */

        ngx_http_claude_relay_needs_login(rmcf, a, ctx->token_version,
                                          "the upstream refused its token, "
                                          "which cannot be refreshed");
    }

    return rc;
}
