
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The block "claude_relay_key name { secret ...; }" of nginx.conf.  Only the
 * SHA-256 of a secret is kept.
 */


#include "ngx_http_claude_relay.h"


/* keys shorter or longer than this are refused unread (FEATURES F023) */
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MAX  512


static char *ngx_http_claude_relay_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_key_t *key);
static char *ngx_http_claude_relay_key_field(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);


char *
ngx_http_claude_relay_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_conf_t                    save;
    ngx_uint_t                    i, n;
    ngx_http_claude_relay_key_t  *key;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len >= NGX_HTTP_CLAUDE_RELAY_NAME_LEN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "key name must have 1 to %d characters",
                           NGX_HTTP_CLAUDE_RELAY_NAME_LEN - 1);
        return NGX_CONF_ERROR;
    }

    key = rmcf->keys.elts;
    n = rmcf->keys.nelts;

    for (i = 0; i < n; i++) {
        if (key[i].name.len == value[1].len
            && ngx_strncmp(key[i].name.data, value[1].data, value[1].len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate key \"%V\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    key = ngx_array_push(&rmcf->keys);
    if (key == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(key, sizeof(ngx_http_claude_relay_key_t));

    key->name = value[1];
    key->file = cf->conf_file->file.name.data;
    key->line = cf->conf_file->line;

    save = *cf;
    cf->handler = ngx_http_claude_relay_key_field;
    cf->handler_conf = (void *) rmcf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    key = rmcf->keys.elts;
    key += n;

    if (!key->has_secret) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no \"secret\" in key \"%V\"",
                           &key->name);
        return NGX_CONF_ERROR;
    }

    key = rmcf->keys.elts;

    for (i = 0; i < n; i++) {
        if (ncr_hash_equal(key[i].digest, key[n].digest, NCR_SHA256_LEN)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "keys \"%V\" and \"%V\" have the same secret",
                               &key[i].name, &key[n].name);
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_claude_relay_key_make(cf, &key[n]);
}


static char *
ngx_http_claude_relay_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_key_t *key)
{
    u_char           buf[NCR_KEY_MAX];
    ncr_key_build_t  b;

    ncr_key_begin(&b, buf, NCR_SCOPE_KEY);
    ncr_key_put(&b, &b.key->name, ncr(&key->name));

    if (ncr_key_end(&b) != NCR_OK) {
        return "is too large";
    }

    b.key->conf = 1;
    b.key->enabled = 1;
    ngx_memcpy(b.key->digest, key->digest, NCR_SHA256_LEN);

    key->key = ngx_palloc(cf->pool, b.key->size);
    if (key->key == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(key->key, b.key, b.key->size);

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_key_field(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    char                         *rv;
    ngx_str_t                    *value, secret;
    ngx_http_claude_relay_key_t  *key;

    key = rmcf->keys.elts;
    key += rmcf->keys.nelts - 1;

    value = cf->args->elts;

    if (!ncr_str_eq(ncr(&value[0]), "secret")) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in key \"%V\"",
                           &value[0], &key->name);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"secret\"");
        return NGX_CONF_ERROR;
    }

    if (key->has_secret) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"secret\" in key \"%V\" is duplicate",
                           &key->name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_secret(cf, &value[1], &secret);

    if (rv != NGX_CONF_OK) {
        if (rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "key \"%V\" %s",
                               &key->name, rv);
        }

        return NGX_CONF_ERROR;
    }

    if (secret.len < NGX_HTTP_CLAUDE_RELAY_SECRET_MIN
        || secret.len > NGX_HTTP_CLAUDE_RELAY_SECRET_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the secret of key \"%V\" must have %d to %d "
                           "characters", &key->name,
                           NGX_HTTP_CLAUDE_RELAY_SECRET_MIN,
                           NGX_HTTP_CLAUDE_RELAY_SECRET_MAX);
        return NGX_CONF_ERROR;
    }

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, secret.data, secret.len);
    ncr_sha256_final(&rmcf->sha, key->digest);

    ngx_explicit_memzero(secret.data, secret.len);

    key->has_secret = 1;

    return NGX_CONF_OK;
}
