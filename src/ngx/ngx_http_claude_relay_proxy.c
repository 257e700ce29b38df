
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Egress proxies: what is written about them, and where they are. */


#include "ngx_http_claude_relay.h"


static ngx_int_t ngx_http_claude_relay_proxy_literal(ngx_pool_t *pool,
    ngx_http_claude_relay_proxy_t *p);


/*
 * Of a URL; "off" makes NULL.  No names are looked up, so a worker may call
 * it, too; error never holds a part of the URL, which has a password.
 */

ngx_int_t
ngx_http_claude_relay_proxy_make(ngx_pool_t *pool, ngx_str_t *url,
    ngx_http_claude_relay_proxy_t **proxy, const char **error)
{
    u_char                         *buf;
    ngx_str_t                       text;
    ngx_http_claude_relay_proxy_t  *p;

    *proxy = NULL;
    *error = NULL;

    if (ncr_str_eq(ncr(url), "off")) {
        return NGX_OK;
    }

    p = ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_proxy_t));
    text.len = url->len;
    text.data = ngx_pstrdup(pool, url);
    buf = ngx_pnalloc(pool, url->len);

    if (p == NULL || text.data == NULL || buf == NULL) {
        *error = "no memory for a proxy";
        return NGX_ERROR;
    }

    *error = ncr_proxy_url_parse(ncr(&text), buf, &p->url);

    if (*error) {
        return NGX_ERROR;
    }

    p->host = ngx_http_claude_relay_str(&p->url.host);

    p->name.data = ngx_pnalloc(pool, p->host.len + sizeof("[]:65535"));

    if (p->name.data == NULL
        || ngx_http_claude_relay_proxy_literal(pool, p) != NGX_OK)
    {
        *error = "no memory for a proxy";
        return NGX_ERROR;
    }

    p->name.len = ngx_sprintf(p->name.data,
                              ngx_strlchr(p->host.data,
                                          p->host.data + p->host.len, ':')
                              ? "[%V]:%ui" : "%V:%ui",
                              &p->host, (ngx_uint_t) p->url.port)
                  - p->name.data;

    *proxy = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_proxy_literal(ngx_pool_t *pool,
    ngx_http_claude_relay_proxy_t *p)
{
    u_char      *text;
    ngx_int_t    rc;
    ngx_addr_t  *addr;

    addr = ngx_pcalloc(pool, sizeof(ngx_addr_t));
    text = ngx_pnalloc(pool, NGX_SOCKADDR_STRLEN);

    if (addr == NULL || text == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_parse_addr(pool, addr, p->host.data, p->host.len);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    ngx_inet_set_port(addr->sockaddr, (in_port_t) p->url.port);

    addr->name.data = text;
    addr->name.len = ngx_sock_ntop(addr->sockaddr, addr->socklen, text,
                                   NGX_SOCKADDR_STRLEN, 1);

    p->literal = 1;
    p->addrs = addr;
    p->naddrs = 1;

    return NGX_OK;
}


/* asks the system, and waits for it: not in a worker */

ngx_int_t
ngx_http_claude_relay_proxy_resolve(ngx_pool_t *pool,
    ngx_http_claude_relay_proxy_t *proxy, const char **error)
{
    ngx_url_t  u;

    *error = NULL;

    if (proxy->naddrs) {
        return NGX_OK;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = proxy->host;
    u.default_port = (in_port_t) proxy->url.port;

    if (ngx_parse_url(pool, &u) != NGX_OK) {
        *error = u.err ? u.err : "could not parse the host";
        return NGX_ERROR;
    }

    proxy->addrs = u.addrs;
    proxy->naddrs = u.naddrs;

    return NGX_OK;
}


/* a value of nginx.conf, which may be env:NAME or file:PATH */

char *
ngx_http_claude_relay_proxy_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_claude_relay_proxy_t **proxy, ngx_str_t *account)
{
    char        *rv;
    ngx_str_t    url;
    const char  *error;

    rv = ngx_http_claude_relay_secret(cf, value, &url);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_http_claude_relay_proxy_make(cf->pool, &url, proxy, &error)
        == NGX_OK)
    {
        return NGX_CONF_OK;
    }

    if (account) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid proxy of account \"%V\": %s", account,
                           error);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid proxy: %s", error);
    }

    return NGX_CONF_ERROR;
}


/* off | URL; what accounts have that name no proxy of their own */

char *
ngx_http_claude_relay_set_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t  *value;

    if (rmcf->proxy != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    return ngx_http_claude_relay_proxy_value(cf, &value[1], &rmcf->proxy,
                                             NULL);
}
