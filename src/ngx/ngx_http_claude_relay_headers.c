
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The client's headers are looked at once: each gets its fate, what shall
 * become of it upstream, and those that mean something to the relay are
 * remembered by what they mean.  Rules: anthropic.md B.1 to B.5.
 */


#include "ngx_http_claude_relay.h"


typedef struct {
    ngx_str_t                         name;
    ngx_http_claude_relay_fate_e      fate;
    ngx_http_claude_relay_meaning_e   meaning;
} ngx_http_claude_relay_header_t;


static ngx_http_claude_relay_fate_e ngx_http_claude_relay_fate(
    ngx_str_t *name);
static void ngx_http_claude_relay_hop(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);


#define ngx_http_claude_relay_dropped(name)                                   \
    { ngx_string(name), NGX_HTTP_CLAUDE_RELAY_DROP,                           \
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING }

#define ngx_http_claude_relay_read(name, meaning)                             \
    { ngx_string(name), NGX_HTTP_CLAUDE_RELAY_PASS,                           \
      NGX_HTTP_CLAUDE_RELAY_##meaning }


static ngx_http_claude_relay_header_t  ngx_http_claude_relay_headers_in[] = {

    { ngx_string("host"), NGX_HTTP_CLAUDE_RELAY_HOST,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("content-length"), NGX_HTTP_CLAUDE_RELAY_LENGTH,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("transfer-encoding"), NGX_HTTP_CLAUDE_RELAY_LENGTH,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    /* what is sent is plain: decode.c */

    { ngx_string("content-encoding"), NGX_HTTP_CLAUDE_RELAY_DROP,
      NGX_HTTP_CLAUDE_RELAY_CODING },

    { ngx_string("accept-encoding"), NGX_HTTP_CLAUDE_RELAY_ENCODING,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("anthropic-beta"), NGX_HTTP_CLAUDE_RELAY_BETA,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("anthropic-version"), NGX_HTTP_CLAUDE_RELAY_API_VERSION,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },

    { ngx_string("authorization"), NGX_HTTP_CLAUDE_RELAY_CREDENTIAL,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("x-api-key"), NGX_HTTP_CLAUDE_RELAY_CREDENTIAL,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("x-goog-api-key"), NGX_HTTP_CLAUDE_RELAY_CREDENTIAL,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },
    { ngx_string("api-key"), NGX_HTTP_CLAUDE_RELAY_CREDENTIAL,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING },

    /* about the client's hop */

    { ngx_string("connection"), NGX_HTTP_CLAUDE_RELAY_DROP,
      NGX_HTTP_CLAUDE_RELAY_CONNECTION },

    ngx_http_claude_relay_dropped("keep-alive"),
    ngx_http_claude_relay_dropped("proxy-connection"),
    ngx_http_claude_relay_dropped("proxy-authorization"),
    ngx_http_claude_relay_dropped("te"),
    ngx_http_claude_relay_dropped("trailer"),
    ngx_http_claude_relay_dropped("upgrade"),
    ngx_http_claude_relay_dropped("expect"),
    ngx_http_claude_relay_dropped("http2-settings"),

    /* about the client, or a 401 upstream */

    { ngx_string("origin"), NGX_HTTP_CLAUDE_RELAY_DROP,
      NGX_HTTP_CLAUDE_RELAY_ORIGIN },

    ngx_http_claude_relay_dropped("cookie"),
    ngx_http_claude_relay_dropped("referer"),
    ngx_http_claude_relay_dropped("via"),
    ngx_http_claude_relay_dropped("forwarded"),
    ngx_http_claude_relay_dropped("x-real-ip"),
    ngx_http_claude_relay_dropped("true-client-ip"),
    ngx_http_claude_relay_dropped("cdn-loop"),
    ngx_http_claude_relay_dropped("x-client-ip"),
    ngx_http_claude_relay_dropped("x-cluster-client-ip"),

    /* read on their way */

    ngx_http_claude_relay_read("x-app", APP),
    ngx_http_claude_relay_read("access-control-request-headers",
                               REQUEST_HEADERS),
    ngx_http_claude_relay_read("x-claude-code-session-id", SESSION_CLAUDE),
    ngx_http_claude_relay_read("session-id", SESSION),
    ngx_http_claude_relay_read("session_id", SESSION),
    ngx_http_claude_relay_read("x-session-id", SESSION),
    ngx_http_claude_relay_read("x-claude-session-id", SESSION),
    ngx_http_claude_relay_read("x-session-affinity", SESSION),
    ngx_http_claude_relay_read("conversation-id", SESSION),
    ngx_http_claude_relay_read("conversation_id", SESSION),
    ngx_http_claude_relay_read("x-conversation-id", SESSION),
    ngx_http_claude_relay_read("thread-id", THREAD),
    ngx_http_claude_relay_read("thread_id", THREAD),

    { ngx_null_string, NGX_HTTP_CLAUDE_RELAY_PASS,
      NGX_HTTP_CLAUDE_RELAY_NO_MEANING }
};


/* the table as a hash, made once for each configuration */

char *
ngx_http_claude_relay_headers_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_array_t                      names;
    ngx_hash_key_t                  *key;
    ngx_hash_init_t                  hash;
    ngx_http_claude_relay_header_t  *h;

    if (ngx_array_init(&names, cf->temp_pool, 64, sizeof(ngx_hash_key_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (h = ngx_http_claude_relay_headers_in; h->name.len; h++) {

        key = ngx_array_push(&names);
        if (key == NULL) {
            return NGX_CONF_ERROR;
        }

        key->key = h->name;
        key->key_hash = ngx_hash_key_lc(h->name.data, h->name.len);
        key->value = h;
    }

    hash.hash = &rmcf->headers;
    hash.key = ngx_hash_key_lc;
    hash.max_size = 512;
    hash.bucket_size = ngx_align(64, ngx_cacheline_size);
    hash.name = "claude_relay_request_headers_hash";
    hash.pool = cf->pool;
    hash.temp_pool = NULL;

    if (ngx_hash_init(&hash, names.elts, names.nelts) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_claude_relay_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char                             *fate;
    ngx_str_t                           name;
    ngx_uint_t                          i, n, hop;
    ngx_list_part_t                    *part;
    ngx_table_elt_t                    *h;
    ngx_http_claude_relay_header_t     *known;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    fate = ngx_pnalloc(r->pool, n + 1);
    if (fate == NULL) {
        return NGX_ERROR;
    }

    ctx->fates = fate;
    hop = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            known = ngx_hash_find(&rmcf->headers, h[i].hash, h[i].lowcase_key,
                                  h[i].key.len);

            if (known == NULL) {
                name.data = h[i].lowcase_key;
                name.len = h[i].key.len;

                *fate++ = ngx_http_claude_relay_fate(&name);
                continue;
            }

            *fate++ = known->fate;

            if (known->meaning == NGX_HTTP_CLAUDE_RELAY_CONNECTION) {
                hop |= ngx_http_claude_relay_names_hop(&h[i].value);
                continue;
            }

            /* the first of several counts */

            if (known->meaning != NGX_HTTP_CLAUDE_RELAY_NO_MEANING
                && h[i].value.len
                && ctx->meant[known->meaning] == NULL)
            {
                ctx->meant[known->meaning] = &h[i].value;
            }
        }
    }

    if (hop) {
        ngx_http_claude_relay_hop(r, ctx);
    }

    return NGX_OK;
}


/* headers that "Connection" names are of the client's hop too */

static void
ngx_http_claude_relay_hop(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char           *fate;
    ngx_uint_t        i, j;
    ngx_list_part_t  *part, *other;
    ngx_table_elt_t  *h, *c;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        c = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (c[i].key.len != sizeof("connection") - 1
                || ngx_memcmp(c[i].lowcase_key, "connection",
                              sizeof("connection") - 1) != 0)
            {
                continue;
            }

            fate = ctx->fates;

            for (other = &r->headers_in.headers.part;
                 other;
                 other = other->next)
            {
                h = other->elts;

                for (j = 0; j < other->nelts; j++, fate++) {

                    if (*fate == NGX_HTTP_CLAUDE_RELAY_PASS
                        && ngx_http_claude_relay_named(&c[i].value, &h[j].key))
                    {
                        *fate = NGX_HTTP_CLAUDE_RELAY_DROP;
                    }
                }
            }
        }
    }
}


/* may a client profile have this header, or is it the relay's? */

ngx_uint_t
ngx_http_claude_relay_profilable(ngx_str_t *lowcase)
{
    ngx_http_claude_relay_header_t  *h;

    for (h = ngx_http_claude_relay_headers_in; h->name.len; h++) {

        if (h->name.len != lowcase->len
            || ngx_memcmp(h->name.data, lowcase->data, lowcase->len) != 0)
        {
            continue;
        }

        /* those that are read mean a session, but for x-app */

        return h->fate == NGX_HTTP_CLAUDE_RELAY_API_VERSION
               || h->meaning == NGX_HTTP_CLAUDE_RELAY_APP;
    }

    return ngx_http_claude_relay_fate(lowcase) == NGX_HTTP_CLAUDE_RELAY_PASS;
}


/* names that are not in the table */

static ngx_http_claude_relay_fate_e
ngx_http_claude_relay_fate(ngx_str_t *name)
{
    if (ncr_str_prefix(ncr(name), "x-forwarded-")
        || ncr_str_prefix(ncr(name), "cf-")
        || ncr_str_prefix(ncr(name), "x-accel-"))
    {
        return NGX_HTTP_CLAUDE_RELAY_DROP;
    }

    return NGX_HTTP_CLAUDE_RELAY_PASS;
}


/* may this value of "Connection" name other headers? */

ngx_uint_t
ngx_http_claude_relay_names_hop(ngx_str_t *connection)
{
    return !ncr_str_caseeq(ncr(connection), "keep-alive")
           && !ncr_str_caseeq(ncr(connection), "close");
}


ngx_uint_t
ngx_http_claude_relay_named(ngx_str_t *list, ngx_str_t *name)
{
    u_char  *p, *last, *end;

    p = list->data;
    last = p + list->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        end = p;

        while (end < last && *end != ',' && *end != ' ' && *end != '\t') {
            end++;
        }

        if ((size_t) (end - p) == name->len
            && ngx_strncasecmp(p, name->data, name->len) == 0)
        {
            return 1;
        }

        p = end;
    }

    return 0;
}
