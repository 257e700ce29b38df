
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The relay's own keys.  A credential may be shown in any of five places
 * (FEATURES F023); a client may show the same one twice, never two.
 */


#include "ngx_http_claude_relay.h"


#define NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_CREDENTIAL_MAX  512


static ngx_int_t ngx_http_claude_relay_authorize(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why);
static ngx_int_t ngx_http_claude_relay_credential(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *found, const char **why);
static void ngx_http_claude_relay_credential_value(ngx_table_elt_t *h,
    ngx_str_t *value);


/*
 * NGX_OK, with the key in ctx->key if there is one; NGX_ERROR: ctx->why is
 * the message for the client.  The answer is kept: a variable may have asked
 * before the handler does.
 */

ngx_int_t
ngx_http_claude_relay_auth(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    if (!ctx->authorized) {
        ctx->authorized = 1;

        if (ngx_http_claude_relay_authorize(r, ctx, &ctx->why) == NGX_OK) {
            ctx->why = NULL;
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
    ngx_uint_t                          i;
    u_char                              digest[NCR_SHA256_LEN];
    ngx_http_claude_relay_key_t        *key;
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

    /* no early end: the time must not tell which key came close */

    key = rmcf->keys.elts;

    for (i = 0; i < rmcf->keys.nelts; i++) {
        if (ncr_hash_equal(key[i].digest, digest, NCR_SHA256_LEN)) {
            ctx->key = key[i].key;
        }
    }

    return ctx->key ? NGX_OK : NGX_ERROR;
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
