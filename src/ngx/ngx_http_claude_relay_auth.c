
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


static ngx_int_t ngx_http_claude_relay_credential(ngx_http_request_t *r,
    ngx_str_t *found, const char **why);
static ngx_uint_t ngx_http_claude_relay_credential_header(ngx_table_elt_t *h,
    ngx_str_t *value);
static void ngx_http_claude_relay_query_key(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *found);


ngx_int_t
ngx_http_claude_relay_auth(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why)
{
    ngx_int_t                           rc;
    ngx_str_t                           secret, query;
    ngx_uint_t                          i;
    u_char                              digest[NCR_SHA256_LEN];
    ngx_http_claude_relay_key_t        *key;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ngx_str_null(&query);
    ngx_http_claude_relay_query_key(r, ctx, &query);

    if (rlcf->keys == NGX_HTTP_CLAUDE_RELAY_KEYS_OFF) {
        return NGX_OK;
    }

    secret = query;

    rc = ngx_http_claude_relay_credential(r, &secret, why);

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
            ctx->key = &key[i];
        }
    }

    return ctx->key ? NGX_OK : NGX_ERROR;
}


/* NGX_OK; NGX_DECLINED: none; NGX_ERROR: contradiction or malformed */

static ngx_int_t
ngx_http_claude_relay_credential(ngx_http_request_t *r, ngx_str_t *found,
    const char **why)
{
    ngx_str_t         value;
    ngx_uint_t        i, malformed;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;
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

        if (!ngx_http_claude_relay_credential_header(&h[i], &value)) {
            continue;
        }

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


/* 1 if it is a header of credentials; value is empty if it has none */

static ngx_uint_t
ngx_http_claude_relay_credential_header(ngx_table_elt_t *h, ngx_str_t *value)
{
    ngx_str_t  key;

    key.data = h->lowcase_key;
    key.len = h->key.len;

    *value = h->value;

    if (ncr_str_eq(ncr(&key), "x-api-key")
        || ncr_str_eq(ncr(&key), "x-goog-api-key")
        || ncr_str_eq(ncr(&key), "api-key"))
    {
        return 1;
    }

    if (!ncr_str_eq(ncr(&key), "authorization")) {
        return 0;
    }

    if (h->value.len < 7
        || ngx_strncasecmp(h->value.data, (u_char *) "bearer ", 7) != 0)
    {
        value->len = 0;
        return 1;
    }

    value->data += 7;
    value->len -= 7;

    while (value->len && *value->data == ' ') {
        value->data++;
        value->len--;
    }

    return 1;
}


/*
 * "?key=" is taken out of the query and overwritten where it stands, in the
 * request line that all logs and variables point to.
 */

static void
ngx_http_claude_relay_query_key(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *found)
{
    u_char  *p, *last, *start, *end, *dst, *copy;

    ctx->args = r->args;

    if (r->args.len < 4 || ngx_strlcasestrn(r->args.data,
                                            r->args.data + r->args.len,
                                            (u_char *) "key=", 3)
                           == NULL)
    {
        return;
    }

    copy = ngx_pnalloc(r->pool, r->args.len * 2);
    if (copy == NULL) {
        ngx_str_null(&ctx->args);
        return;
    }

    p = r->args.data;
    last = p + r->args.len;
    dst = copy;

    while (p < last) {

        start = p;

        while (p < last && *p != '&') {
            p++;
        }

        end = p;

        if (p < last) {
            p++;
        }

        if (end - start >= 4 && ngx_strncmp(start, "key=", 4) == 0) {

            start += 4;

            if (found->data == NULL) {
                found->data = copy + r->args.len;
                found->len = end - start;
                ngx_memcpy(found->data, start, end - start);
            }

            ngx_memset(start, '*', end - start);
            continue;
        }

        if (dst != copy) {
            *dst++ = '&';
        }

        dst = ngx_cpymem(dst, start, end - start);
    }

    ctx->args.data = copy;
    ctx->args.len = dst - copy;
}
