
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What makes two requests one session: the ladder of anthropic.md G.1.  The
 * key is an HMAC under the zone's secret over the relay key, the pool and
 * the session, so sessions of two keys never meet and nobody can read one.
 */


#include "ngx_http_claude_relay_zone.h"


static void ngx_http_claude_relay_derive(ngx_http_claude_relay_ctx_t *ctx,
    const char *kind, ngx_str_t *value, u_char *key);


/* in the order of the ladder; the first stands above all, the others below
 * what the body says (rows 1 and 4) */

static const char  *ngx_http_claude_relay_session_headers[] = {
    "session-id",
    "session_id",
    "x-session-id",
    "x-claude-session-id",
    "x-session-affinity",
    "conversation-id",
    "conversation_id",
    "x-conversation-id",
    NULL
};


/* 1 if the header that settles the matter is there */

ngx_uint_t
ngx_http_claude_relay_session_header(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_str_t  *h;

    h = ngx_http_claude_relay_find_header(r, "x-claude-code-session-id");

    if (h == NULL || h->len == 0) {
        return 0;
    }

    *value = *h;

    return 1;
}


void
ngx_http_claude_relay_session(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                          value, *h;
    const char                       **name;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->sticky_ttl == 0) {
        return;
    }

    if (ngx_http_claude_relay_session_header(r, &value)) {
        goto found;
    }

    if (ctx->scan && ctx->scan->has_user_id && ctx->scan->session.len) {
        value = ngx_http_claude_relay_str(&ctx->scan->session);
        goto found;
    }

    for (name = ngx_http_claude_relay_session_headers; *name; name++) {

        h = ngx_http_claude_relay_find_header(r, *name);

        if (h && h->len) {
            value = *h;
            goto found;
        }
    }

    if (ctx->scan && ctx->scan->session.len) {
        value = ngx_http_claude_relay_str(&ctx->scan->session);
        goto found;
    }

    if (ctx->scan && ctx->scan->hashed) {
        value.data = ctx->scan->digest;
        value.len = NCR_SHA256_LEN;

        ngx_http_claude_relay_derive(ctx, "prefix", &value, ctx->session);
        ctx->has_session = 1;
        return;
    }

    /* one key's batches and files keep together, so that lists are whole */

    if (ctx->route.op == NCR_OP_BATCHES || ctx->route.op == NCR_OP_FILES) {
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


static void
ngx_http_claude_relay_derive(ngx_http_claude_relay_ctx_t *ctx,
    const char *kind, ngx_str_t *value, u_char *key)
{
    u_char                              digest[NCR_SHA256_LEN];
    ncr_str_t                           secret, parts[6];
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    secret.data = rmcf->zone->secret;
    secret.len = sizeof(rmcf->zone->secret);

    /* the NULs keep the parts apart */

    parts[0].data = (u_char *) kind;
    parts[0].len = ngx_strlen(kind) + 1;

    if (ctx->key) {
        parts[1] = *ncr(&ctx->key->name);

    } else {
        ncr_str_null(&parts[1]);
    }

    parts[2].data = (u_char *) "";
    parts[2].len = 1;
    parts[3] = *ncr(&rlcf->pool_name);
    parts[4] = parts[2];
    parts[5] = *ncr(value);

    ncr_hmac_sha256(&rmcf->sha, &secret, parts, 6, digest);

    ngx_memcpy(key, digest, NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
}


/* the value of a request's header, NULL if there is none; name in lower case */

ngx_str_t *
ngx_http_claude_relay_find_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncmp(h[i].lowcase_key, name, len) == 0)
        {
            return &h[i].value;
        }
    }
}
