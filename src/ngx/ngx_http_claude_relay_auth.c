
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The relay's own keys.  A credential may be shown in any of five places
 * (FEATURES F023); a client may show the same one twice, never two.
 */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_fleet.h"


#define NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MAX  512


static ngx_int_t ngx_http_claude_relay_authorize(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why);
static ngx_int_t ngx_http_claude_relay_identify(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *digest);
static ncr_key_t *ngx_http_claude_relay_owned_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_str_t *name);
static ngx_int_t ngx_http_claude_relay_keep_key(ngx_http_request_t *r,
    ncr_key_t *key, ncr_key_t **kept);
static ngx_int_t ngx_http_claude_relay_credential(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *found, const char **why);
static void ngx_http_claude_relay_credential_value(ngx_table_elt_t *h,
    ngx_str_t *value);


/*
 * NGX_OK, with the key in ctx->key if there is one; NGX_ERROR: ctx->why is
 * the message for the client, of status 401 if ctx->refused has no other.
 * The answer is kept: a variable may have asked before the handler does.
 */

ngx_int_t
ngx_http_claude_relay_auth(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    if (!ctx->authorized) {
        ctx->authorized = 1;

        if (ngx_http_claude_relay_authorize(r, ctx, &ctx->why) == NGX_OK) {
            ctx->why = NULL;
            (void) ngx_http_claude_relay_permit(r, ctx);
        }
    }

    return ctx->why ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_authorize(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why)
{
    ngx_int_t                           rc;
    ngx_str_t                           secret;
    u_char                              digest[NCR_SHA256_LEN];
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    if (rlcf->keys == NGX_HTTP_CLAUDE_RELAY_KEYS_OFF) {
        return NGX_OK;
    }

    secret = ctx->args_key;

    rc = ngx_http_claude_relay_credential(r, ctx, &secret, why);

    if (rc == NGX_DECLINED) {

        if (rlcf->keys == NGX_HTTP_CLAUDE_RELAY_KEYS_OPTIONAL) {
            return NGX_OK;
        }

        *why = "no API key: send one as \"x-api-key\" or as "
               "\"Authorization: Bearer\"";
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    *why = "invalid API key";

    if (secret.len < NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MIN
        || secret.len > NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MAX)
    {
        return NGX_ERROR;
    }

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, secret.data, secret.len);
    ncr_sha256_final(&rmcf->sha, digest);

    rc = ngx_http_claude_relay_identify(r, ctx, digest);

    if (rc == NGX_ERROR) {
        ctx->refused.status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        *why = "internal error";

    } else if (rc == NGX_DECLINED
               && ngx_http_claude_relay_fleet_unready(rmcf))
    {
        ctx->refused.status = NGX_HTTP_SERVICE_UNAVAILABLE;
        *why = "the keys of the fleet are not here yet, try again soon";
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


/*
 * The key of a secret, its user and its group: nginx.conf's own ones, or
 * copies of the zone's.  NGX_DECLINED: there is no such key.
 */

static ngx_int_t
ngx_http_claude_relay_identify(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *digest)
{
    ncr_str_t                           name;
    ncr_key_t                          *key, *user, *group;
    ngx_http_claude_relay_key_t        *conf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    conf = ngx_http_claude_relay_key_conf_digest(rmcf, digest);
    key = conf ? conf->key : NULL;

    if (key == NULL && rmcf->subjects == NULL) {
        return NGX_DECLINED;
    }

    if (key && key->user.len == 0 && key->group.len == 0) {
        ctx->key = key;
        return NGX_OK;
    }

    user = NULL;
    group = NULL;

    /* of the store's, each stays as it was found until the next of its kind
     * is looked for */

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (key == NULL) {
        key = ngx_http_claude_relay_subject_by_digest_locked(rmcf, digest);

        /* the first use of what then is valid for a time comes later; to ask
         * about itself is none */

        if (key && ctx->route.op != NCR_OP_SELF
            && (key->valid_for == 0 || key->activated))
        {
            (void) ngx_http_claude_relay_subject_used_locked(rmcf, key,
                                              ngx_http_claude_relay_now());
        }
    }

    if (key) {
        name = ncr_key_text(key, key->user);
        user = ngx_http_claude_relay_owned_locked(rmcf, NCR_SCOPE_USER,
                                                  &name);

        /* its own group, or its user's */

        name = (key->group.len || user == NULL)
               ? ncr_key_text(key, key->group)
               : ncr_key_text(user, user->group);

        group = ngx_http_claude_relay_owned_locked(rmcf, NCR_SCOPE_GROUP,
                                                   &name);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (key == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_claude_relay_keep_key(r, key, &ctx->key) != NGX_OK
        || ngx_http_claude_relay_keep_key(r, user, &ctx->user) != NGX_OK
        || ngx_http_claude_relay_keep_key(r, group, &ctx->group) != NGX_OK)
    {
        ctx->key = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ncr_key_t *
ngx_http_claude_relay_owned_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope, ncr_str_t *name)
{
    ngx_http_claude_relay_key_t  *conf;

    if (name->len == 0) {
        return NULL;
    }

    conf = ngx_http_claude_relay_key_conf(rmcf, scope, name);

    return conf ? conf->key
                : ngx_http_claude_relay_subject_by_name_locked(rmcf, scope,
                                                               name);
}


/* nginx.conf's lives as long as the request's configuration */

static ngx_int_t
ngx_http_claude_relay_keep_key(ngx_http_request_t *r, ncr_key_t *key,
    ncr_key_t **kept)
{
    *kept = key;

    if (key == NULL || key->conf) {
        return NGX_OK;
    }

    *kept = ngx_palloc(r->pool, key->size);

    if (*kept == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(*kept, key, key->size);

    return NGX_OK;
}


/* NGX_OK; NGX_DECLINED: none; NGX_ERROR: contradiction or malformed */

static ngx_int_t
ngx_http_claude_relay_credential(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *found, const char **why)
{
    u_char           *fate;
    ngx_str_t         value;
    ngx_uint_t        i, malformed;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;
    fate = ctx->fates;
    malformed = 0;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (*fate++ != NGX_HTTP_CLAUDE_RELAY_CREDENTIAL) {
            continue;
        }

        ngx_http_claude_relay_credential_value(&h[i], &value);

        if (value.len == 0) {
            malformed = 1;
            continue;
        }

        if (found->len
            && (found->len != value.len
                || !ncr_hash_equal(found->data, value.data, value.len)))
        {
            *why = "more than one API key was sent, and they differ";
            return NGX_ERROR;
        }

        *found = value;
    }

    if (found->len == 0) {
        *why = "malformed API key: it must be sent as \"x-api-key\" or as "
               "\"Authorization: Bearer\"";
        return malformed ? NGX_ERROR : NGX_DECLINED;
    }

    return NGX_OK;
}


/* "Authorization" shows its key as a bearer's, or none */

static void
ngx_http_claude_relay_credential_value(ngx_table_elt_t *h, ngx_str_t *value)
{
    *value = h->value;

    if (h->lowcase_key[0] == 'x' || h->key.len == sizeof("api-key") - 1) {
        return;
    }

    if (h->value.len < 7
        || ngx_strncasecmp(h->value.data, (u_char *) "bearer ", 7) != 0)
    {
        value->len = 0;
        return;
    }

    value->data += 7;
    value->len -= 7;

    while (value->len && *value->data == ' ') {
        value->data++;
        value->len--;
    }
}
