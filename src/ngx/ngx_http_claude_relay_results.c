
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * "results_url" of a message batch is an absolute URL of the provider
 * (anthropic.md F.4).  A client that follows it would go past the relay and
 * show the relay's key to the provider, so scheme and host are exchanged for
 * those by which the client came.  This is the only edit of an answer.
 */


#include "ngx_http_claude_relay.h"


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_RESULTS_KEY = 0,      /* looking for the name */
    NGX_HTTP_CLAUDE_RELAY_RESULTS_COLON,
    NGX_HTTP_CLAUDE_RELAY_RESULTS_VALUE,
    NGX_HTTP_CLAUDE_RELAY_RESULTS_FIRST,        /* of the string */
    NGX_HTTP_CLAUDE_RELAY_RESULTS_DROP          /* up to the path */
} ngx_http_claude_relay_results_e;


struct ngx_http_claude_relay_results_s {
    ngx_http_claude_relay_results_e    state;
    ngx_uint_t                         matched;
    ngx_uint_t                         slashes;
    ngx_str_t                          base;
};


static ngx_uint_t ngx_http_claude_relay_results_step(
    ngx_http_claude_relay_results_t *s, u_char ch);
static ngx_int_t ngx_http_claude_relay_results_out(ngx_http_request_t *r,
    u_char *p, u_char *last, ngx_chain_t ***ll);


static u_char  ngx_http_claude_relay_results_name[] = "\"results_url\"";


ngx_int_t
ngx_http_claude_relay_results_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    u_char                           *p;
    ngx_str_t                         scheme, *host;
    ngx_http_claude_relay_results_t  *s;

    if (r->headers_in.host == NULL) {
        return NGX_OK;
    }

    host = &r->headers_in.host->value;

    ngx_str_set(&scheme, "http://");

#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(&scheme, "https://");
    }
#endif

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_results_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    s->base.len = scheme.len + host->len + ctx->route.prefix.len;

    s->base.data = ngx_pnalloc(r->pool, s->base.len);
    if (s->base.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(s->base.data, scheme.data, scheme.len);
    p = ngx_cpymem(p, host->data, host->len);
    ngx_memcpy(p, ctx->route.prefix.data, ctx->route.prefix.len);

    ctx->results = s;

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_results_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, u_char *last,
    ngx_chain_t ***ll)
{
    u_char                           *start;
    ngx_uint_t                        dropping;
    ngx_http_claude_relay_results_t  *s;

    s = ctx->results;
    start = p;

    for ( /* void */ ; p < last; p++) {

        dropping = (s->state == NGX_HTTP_CLAUDE_RELAY_RESULTS_DROP);

        if (!ngx_http_claude_relay_results_step(s, *p)) {
            continue;
        }

        if (!dropping) {

            /* what stood before, and our own in place of what is dropped */

            if (ngx_http_claude_relay_results_out(r, start, p, ll) != NGX_OK
                || ngx_http_claude_relay_results_out(r, s->base.data,
                                       s->base.data + s->base.len, ll)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else {
            start = p;
        }
    }

    if (s->state == NGX_HTTP_CLAUDE_RELAY_RESULTS_DROP) {
        return NGX_OK;
    }

    return ngx_http_claude_relay_results_out(r, start, last, ll);
}


/* 1 when dropping begins with this byte, or ends before it */

static ngx_uint_t
ngx_http_claude_relay_results_step(ngx_http_claude_relay_results_t *s,
    u_char ch)
{
    switch (s->state) {

    case NGX_HTTP_CLAUDE_RELAY_RESULTS_KEY:

        if (ch != ngx_http_claude_relay_results_name[s->matched]) {
            s->matched = (ch == '"');
            return 0;
        }

        if (++s->matched == sizeof(ngx_http_claude_relay_results_name) - 1) {
            s->matched = 0;
            s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_COLON;
        }

        return 0;

    case NGX_HTTP_CLAUDE_RELAY_RESULTS_COLON:
    case NGX_HTTP_CLAUDE_RELAY_RESULTS_VALUE:

        if (ch == ' ' || ch == '\t' || ch == CR || ch == LF) {
            return 0;
        }

        if (ch == ':' && s->state == NGX_HTTP_CLAUDE_RELAY_RESULTS_COLON) {
            s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_VALUE;

        } else if (ch == '"'
                   && s->state == NGX_HTTP_CLAUDE_RELAY_RESULTS_VALUE)
        {
            s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_FIRST;

        } else {
            s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_KEY;
        }

        return 0;

    case NGX_HTTP_CLAUDE_RELAY_RESULTS_FIRST:

        if (ch != 'h') {
            s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_KEY;
            return 0;
        }

        s->slashes = 0;
        s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_DROP;
        return 1;

    case NGX_HTTP_CLAUDE_RELAY_RESULTS_DROP:

        if (ch != '"' && (ch != '/' || ++s->slashes < 3)) {
            return 0;
        }

        s->state = NGX_HTTP_CLAUDE_RELAY_RESULTS_KEY;
        return 1;
    }

    return 0;
}


static ngx_int_t
ngx_http_claude_relay_results_out(ngx_http_request_t *r, u_char *p,
    u_char *last, ngx_chain_t ***ll)
{
    ngx_buf_t  *b;

    if (p == last) {
        return NGX_OK;
    }

    b = ngx_http_claude_relay_filter_buf(r, ll);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = p;
    b->last = last;

    return NGX_OK;
}
