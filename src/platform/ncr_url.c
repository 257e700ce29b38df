
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Base URLs: anthropic.md K.1.  An operator may name the host, a prefix, or
 * the prefix with "/v1" or "/v1/messages" after it; the path is the same.
 */


#include "ncr_platform.h"
#include "ncr_str.h"


#define NCR_URL_HOST_LEN  255


static const char *ncr_url_host(ncr_str_t *host);
static const char *ncr_url_port(ncr_str_t *text, ncr_url_t *url);
static void ncr_url_path(ncr_str_t *path);
static ncr_uint_t ncr_url_template(ncr_url_t *url);


const char *
ncr_url_parse(ncr_str_t *text, ncr_url_t *url)
{
    size_t       i;
    ncr_str_t    authority, scheme;
    const char  *err;

    memset(url, 0, sizeof(ncr_url_t));

    for (i = 0; i < text->len; i++) {

        if (text->data[i] <= ' ' || text->data[i] >= 0x7f) {
            return "invalid character in URL";
        }

        switch (text->data[i]) {

        case '?':
            return "URL has a query";

        case '#':
            return "URL has a fragment";

        case '\\':
        case '"':
        case '<':
        case '>':
        case '^':
        case '`':
        case '|':
            return "invalid character in URL";

        default:
            break;
        }
    }

    scheme.data = text->data;
    scheme.len = 0;

    while (scheme.len < text->len && text->data[scheme.len] != ':') {
        scheme.len++;
    }

    if (ncr_str_caseeq(&scheme, "https")) {
        url->tls = 1;
        url->port = 443;

    } else if (ncr_str_caseeq(&scheme, "http")) {
        url->port = 80;

    } else {
        return "URL is neither https:// nor http://";
    }

    if (text->len - scheme.len < 3
        || memcmp(text->data + scheme.len, "://", 3) != 0)
    {
        return "URL is neither https:// nor http://";
    }

    authority.data = text->data + scheme.len + 3;
    authority.len = 0;

    i = scheme.len + 3;

    while (i < text->len && text->data[i] != '/') {
        authority.len++;
        i++;
    }

    err = ncr_url_authority(&authority, url);

    if (err) {
        return err;
    }

    url->path.data = text->data + i;
    url->path.len = text->len - i;

    ncr_url_path(&url->path);

    return ncr_url_template(url) ? NULL : "invalid character in URL";
}


/*
 * Braces are there for "{model}" and "{action}" only, once each and in this
 * order; 0: they are not.
 */

static ncr_uint_t
ncr_url_template(ncr_url_t *url)
{
    size_t       i;
    ncr_str_t    rest;
    ncr_uint_t   n;

    static const char  *names[] = { "{model}", "{action}" };

    n = 0;

    for (i = 0; i < url->path.len; i++) {

        if (url->path.data[i] != '{' && url->path.data[i] != '}') {
            continue;
        }

        rest.data = url->path.data + i;
        rest.len = url->path.len - i;

        if (n == 2 || !ncr_str_prefix(&rest, names[n])) {
            return 0;
        }

        i += strlen(names[n++]) - 1;
    }

    url->model = (n == 2);

    return n != 1;
}


const char *
ncr_url_authority(ncr_str_t *s, ncr_url_t *url)
{
    ncr_str_t    port;
    ncr_char_t  *p, *last;

    p = s->data;
    last = p + s->len;

    if (s->len && memchr(p, '@', s->len) != NULL) {
        return "URL has user information";
    }

    if (p < last && *p == '[') {

        while (p < last && *p != ']') {
            p++;
        }

        if (p == last) {
            return "invalid host in URL";
        }

        p++;

    } else {
        while (p < last && *p != ':') {
            p++;
        }
    }

    url->host.data = s->data;
    url->host.len = (size_t) (p - s->data);
    url->default_port = 1;

    if (p < last) {

        if (*p != ':') {
            return "invalid host in URL";
        }

        port.data = p + 1;
        port.len = (size_t) (last - p - 1);

        if (ncr_url_port(&port, url) != NULL) {
            return "invalid port in URL";
        }
    }

    return ncr_url_host(&url->host);
}


static const char *
ncr_url_host(ncr_str_t *host)
{
    size_t       i, colons;
    ncr_char_t   c;
    ncr_uint_t   ip6;

    if (host->len == 0) {
        return "no host in URL";
    }

    if (host->len > NCR_URL_HOST_LEN) {
        return "host in URL is too long";
    }

    ip6 = (host->data[0] == '[');
    colons = 0;

    for (i = ip6; i < host->len - ip6; i++) {
        c = host->data[i];

        if (c == '.' || (c >= '0' && c <= '9')) {
            continue;
        }

        if (c == ':' && ip6) {
            colons++;
            continue;
        }

        c |= 0x20;

        if (c >= 'a' && c <= (ip6 ? 'f' : 'z')) {
            continue;
        }

        if (!ip6 && (host->data[i] == '-' || host->data[i] == '_')) {
            continue;
        }

        return "invalid host in URL";
    }

    if (ip6 ? colons < 2 : host->data[0] == '.') {
        return "invalid host in URL";
    }

    return NULL;
}


static const char *
ncr_url_port(ncr_str_t *text, ncr_url_t *url)
{
    size_t      i;
    ncr_uint_t  port;

    port = 0;

    if (text->len == 0 || text->len > sizeof("65535") - 1) {
        return "invalid";
    }

    for (i = 0; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return "invalid";
        }

        port = port * 10 + (ncr_uint_t) (text->data[i] - '0');
    }

    if (port == 0 || port > 65535) {
        return "invalid";
    }

    url->default_port = (port == url->port);
    url->port = port;

    return NULL;
}


static void
ncr_url_path(ncr_str_t *path)
{
    ncr_uint_t  i;

    static ncr_str_t  ends[] = {
        ncr_string("/v1"),
        ncr_string("/v1/messages"),
        ncr_string("/v1/messages/count_tokens")
    };

    while (path->len && path->data[path->len - 1] == '/') {
        path->len--;
    }

    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {

        if (path->len >= ends[i].len
            && memcmp(path->data + path->len - ends[i].len, ends[i].data,
                      ends[i].len)
               == 0)
        {
            path->len -= ends[i].len;
            break;
        }
    }

    while (path->len && path->data[path->len - 1] == '/') {
        path->len--;
    }
}
