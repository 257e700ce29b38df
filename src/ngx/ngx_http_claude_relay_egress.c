
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Where the module may be sent by somebody who is no operator of the machine:
 * what came by the API or lies in the store names public addresses only.  A
 * URL is looked at when it is given, and each address again when it is about
 * to be connected to, which is what counts: a name may mean something else by
 * then.  nginx.conf is the operator's word, and is not asked.
 *
 * What a proxy connects to is the proxy's: only hosts that need not be looked
 * up are asked then.
 */


#include "ngx_http_claude_relay.h"
#include "ncr_address.h"


static const char *ngx_http_claude_relay_egress_url(ngx_str_t *text,
    ncr_url_t *url);
static ngx_uint_t ngx_http_claude_relay_egress_same(
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_account_t *b);


ngx_int_t
ngx_http_claude_relay_guard_host(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *host, u_char *error)
{
    ncr_address_e  class;

    if (rmcf->allow_private) {
        return NGX_OK;
    }

    class = ncr_address_host(ncr(host));

    if (ncr_address_allowed(class)) {
        return NGX_OK;
    }

    (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                        "\"%*s\" is %s, which only nginx.conf can allow: "
                        "claude_relay_allow_private_upstreams%Z",
                        ngx_min(host->len, (size_t) 255), host->data,
                        ncr_address_text(class));

    return NGX_ERROR;
}


/* any URL of http or https; what it is besides is up to who uses it */

ngx_int_t
ngx_http_claude_relay_guard_url(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *text, u_char *error)
{
    ncr_url_t    url;
    const char  *wrong;

    wrong = ngx_http_claude_relay_egress_url(text, &url);

    if (wrong) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR, "%s%Z",
                            wrong);
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_guard_host(rmcf, (ngx_str_t *) &url.host,
                                            error);
}


/* scheme and authority; "\", which some take for "/", is in neither */

static const char *
ngx_http_claude_relay_egress_url(ngx_str_t *text, ncr_url_t *url)
{
    u_char     *p, *last;
    ncr_str_t   base;

    last = text->data + text->len;

    p = ngx_strlcasestrn(text->data, last, (u_char *) "://", 3 - 1);

    if (p == NULL) {
        return "URL is neither https:// nor http://";
    }

    for (p += 3; p < last && *p != '/' && *p != '?' && *p != '#'; p++) {
        /* void */
    }

    base.data = text->data;
    base.len = p - text->data;

    return ncr_url_parse(&base, url);
}


/*
 * An account as it would be, before it is stored; have is what it is now, or
 * NULL.  What was there before may stay, so that it can be switched off or
 * described: it is not connected to anyway.
 */

ngx_int_t
ngx_http_claude_relay_guard_account(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_http_claude_relay_account_t *have,
    u_char *error)
{
    u_char       wrong[NGX_HTTP_CLAUDE_RELAY_ERROR];
    const char  *what;

    if (have && have->own && ngx_http_claude_relay_egress_same(a, have)) {
        return NGX_OK;
    }

    if (a->target.guarded
        && ngx_http_claude_relay_guard_host(rmcf, &a->target.host, wrong)
           != NGX_OK)
    {
        what = "base_url";

    } else if (a->proxy && a->proxy->guarded
               && ngx_http_claude_relay_guard_host(rmcf, &a->proxy->host,
                                                   wrong)
                  != NGX_OK)
    {
        what = "proxy";

    } else {
        return NGX_OK;
    }

    (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR - 1,
                        "%s of account \"%V\": %s%Z", what, &a->name, wrong);

    error[NGX_HTTP_CLAUDE_RELAY_ERROR - 1] = '\0';

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_claude_relay_egress_same(ngx_http_claude_relay_account_t *a,
    ngx_http_claude_relay_account_t *b)
{
    return a->base_url.len == b->base_url.len
           && a->proxy_url.len == b->proxy_url.len
           && ngx_memcmp(a->base_url.data, b->base_url.data, a->base_url.len)
              == 0
           && (a->proxy_url.len == 0
               || ngx_memcmp(a->proxy_url.data, b->proxy_url.data,
                             a->proxy_url.len)
                  == 0);
}


/* of those whose addresses are asked; what is no address at all is none */

ncr_address_e
ngx_http_claude_relay_guard_addr(struct sockaddr *sa)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sa->sa_family) {

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        return ncr_address_ipv4((u_char *) &sin->sin_addr);

#if (NGX_HAVE_INET6)

    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        return ncr_address_ipv6(sin6->sin6_addr.s6_addr);

#endif

    default:
        return NCR_ADDRESS_INVALID;
    }
}
