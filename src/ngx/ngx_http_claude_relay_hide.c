
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Headers of answers that are not passed on. */


#include "ngx_http_claude_relay.h"


/* what an upstream says for its own hop, or would say for the operator */

static ngx_str_t  ngx_http_claude_relay_hide_headers[] = {
    ngx_string("Server"),
    ngx_string("X-Powered-By"),
    ngx_string("Set-Cookie"),
    ngx_string("Alt-Svc"),
    ngx_string("Strict-Transport-Security"),
    ngx_string("Public-Key-Pins"),
    ngx_string("Access-Control-Allow-Origin"),
    ngx_string("Upgrade"),
    ngx_string("Trailer"),
    ngx_string("Proxy-Authenticate"),
    ngx_string("Proxy-Connection"),
    ngx_string("X-Accel-Expires"),
    ngx_string("X-Accel-Redirect"),
    ngx_string("X-Accel-Limit-Rate"),
    ngx_string("X-Accel-Buffering"),
    ngx_string("X-Accel-Charset"),
    ngx_null_string
};


/* the same, where the relay tells of limits of its own in their place */

static ngx_str_t  ngx_http_claude_relay_hide_limits[] = {
    ngx_string("anthropic-ratelimit-requests-limit"),
    ngx_string("anthropic-ratelimit-requests-remaining"),
    ngx_string("anthropic-ratelimit-requests-reset"),
    ngx_string("anthropic-ratelimit-tokens-limit"),
    ngx_string("anthropic-ratelimit-tokens-remaining"),
    ngx_string("anthropic-ratelimit-tokens-reset"),
    ngx_string("anthropic-ratelimit-input-tokens-limit"),
    ngx_string("anthropic-ratelimit-input-tokens-remaining"),
    ngx_string("anthropic-ratelimit-input-tokens-reset"),
    ngx_string("anthropic-ratelimit-output-tokens-limit"),
    ngx_string("anthropic-ratelimit-output-tokens-remaining"),
    ngx_string("anthropic-ratelimit-output-tokens-reset"),
    ngx_string("x-ratelimit-limit-requests"),
    ngx_string("x-ratelimit-remaining-requests"),
    ngx_string("x-ratelimit-reset-requests"),
    ngx_string("x-ratelimit-limit-tokens"),
    ngx_string("x-ratelimit-remaining-tokens"),
    ngx_string("x-ratelimit-reset-tokens"),
    ngx_null_string
};


/* a hash is inherited where the list is the same */

ngx_int_t
ngx_http_claude_relay_merge_hide(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev)
{
    ngx_str_t                 *name, *hide;
    ngx_uint_t                 n;
    ngx_hash_init_t            hash;
    ngx_http_upstream_conf_t   other, *outer;

    static ngx_str_t  all[(sizeof(ngx_http_claude_relay_hide_headers)
                           + sizeof(ngx_http_claude_relay_hide_limits))
                          / sizeof(ngx_str_t)];

    hash.max_size = 512;
    hash.bucket_size = ngx_align(64, ngx_cacheline_size);
    hash.name = "claude_relay_headers_hash";

    outer = &prev->upstream;
    hide = ngx_http_claude_relay_hide_headers;

    if (conf->limit_headers == NGX_CONF_UNSET) {
        conf->limit_headers = (prev->limit_headers == 1);
    }

    if (conf->limit_headers != (prev->limit_headers == 1)) {
        ngx_memzero(&other, sizeof(ngx_http_upstream_conf_t));

        other.hide_headers = NGX_CONF_UNSET_PTR;
        other.pass_headers = NGX_CONF_UNSET_PTR;
        outer = &other;
    }

    if (conf->limit_headers) {

        n = 0;

        for (name = hide; name->len; name++) {
            all[n++] = *name;
        }

        for (name = ngx_http_claude_relay_hide_limits; name->len; name++) {
            all[n++] = *name;
        }

        hide = all;
    }

    return ngx_http_upstream_hide_headers_hash(cf, &conf->upstream, outer,
                                               hide, &hash);
}
