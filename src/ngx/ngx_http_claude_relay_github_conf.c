
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_github.h"


/* of a client secret */
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_SECRET  512


static char *ngx_http_claude_relay_github_word(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *word);
static char *ngx_http_claude_relay_github_file(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *path);
static char *ngx_http_claude_relay_github_allow(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *list);
static ngx_uint_t ngx_http_claude_relay_github_name(ngx_str_t *name);
static char *ngx_http_claude_relay_github_url(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *url);


/* claude_relay_admin_github client_id=ID secret=FILE [allow=...] [role=...]
 * [url=...] [api=...] */

char *
ngx_http_claude_relay_set_github(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_claude_relay_github_t  *gh;

    if (rmcf->github) {
        return "is duplicate";
    }

    gh = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_github_t));

    if (gh == NULL
        || ngx_array_init(&gh->logins, cf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&gh->orgs, cf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    gh->role = NCR_ROLE_USER;
    ngx_str_set(&gh->url, "https://github.com");
    ngx_str_set(&gh->api, "https://api.github.com");

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_claude_relay_github_word(cf, gh, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (gh->client_id.len == 0 || gh->secret.len == 0) {
        return "needs \"client_id=\" and \"secret=\"";
    }

    rmcf->github = gh;

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_github_word(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *word)
{
    u_char     *p;
    ngx_str_t   s;

    p = ngx_strlchr(word->data, word->data + word->len, '=');

    if (p == NULL) {
        goto invalid;
    }

    s.data = p + 1;
    s.len = word->data + word->len - s.data;

    if (s.len == 0) {
        goto invalid;
    }

    if (ncr_str_prefix(ncr(word), "client_id=")) {
        gh->client_id = s;
        return NGX_CONF_OK;
    }

    if (ncr_str_prefix(ncr(word), "secret=")) {
        return ngx_http_claude_relay_github_file(cf, gh, &s);
    }

    if (ncr_str_prefix(ncr(word), "allow=")) {
        return ngx_http_claude_relay_github_allow(cf, gh, &s);
    }

    if (ncr_str_prefix(ncr(word), "url=")) {
        return ngx_http_claude_relay_github_url(cf, &s, &gh->url);
    }

    if (ncr_str_prefix(ncr(word), "api=")) {
        return ngx_http_claude_relay_github_url(cf, &s, &gh->api);
    }

    if (ncr_str_prefix(ncr(word), "role=")) {
        gh->role = ncr_role(ncr(&s));

        if (gh->role != NCR_ROLE_NONE) {
            return NGX_CONF_OK;
        }
    }

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", word);

    return NGX_CONF_ERROR;
}


/* its first line; the secret itself is in no message */

static char *
ngx_http_claude_relay_github_file(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *path)
{
    size_t      i;
    u_char      buf[NGX_HTTP_CLAUDE_RELAY_GITHUB_SECRET];
    ssize_t     n;
    ngx_file_t  file;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *path;
    file.log = cf->log;
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(&file, buf, sizeof(buf), 0);

    (void) ngx_close_file(file.fd);

    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < (size_t) n && buf[i] > ' ' && buf[i] < 0x7f; i++) {
        /* void */
    }

    if (i == 0 || i == sizeof(buf) || (i < (size_t) n && buf[i] != '\n'
                                       && buf[i] != '\r'))
    {
        ngx_explicit_memzero(buf, sizeof(buf));
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" has no client secret in its first line",
                           path);
        return NGX_CONF_ERROR;
    }

    gh->secret.len = i;
    gh->secret.data = ngx_pnalloc(cf->pool, i);

    if (gh->secret.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(gh->secret.data, buf, i);
    ngx_explicit_memzero(buf, sizeof(buf));

    return NGX_CONF_OK;
}


/* "alice,bob,org:example" */

static char *
ngx_http_claude_relay_github_allow(ngx_conf_t *cf,
    ngx_http_claude_relay_github_t *gh, ngx_str_t *list)
{
    u_char       *p, *last, *end;
    ngx_str_t     name, *s;
    ngx_array_t  *a;

    last = list->data + list->len;

    for (p = list->data; p <= last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        end = end ? end : last;

        name.data = p;
        name.len = end - p;

        a = &gh->logins;

        if (ncr_str_prefix(ncr(&name), "org:")) {
            name.data += 4;
            name.len -= 4;
            a = &gh->orgs;
        }

        if (!ngx_http_claude_relay_github_name(&name)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid name \"%V\" in \"allow=%V\"", &name,
                               list);
            return NGX_CONF_ERROR;
        }

        s = ngx_array_push(a);
        if (s == NULL) {
            return NGX_CONF_ERROR;
        }

        *s = name;
    }

    return NGX_CONF_OK;
}


/* it goes into a path; enterprises have "_" in names, too */

static ngx_uint_t
ngx_http_claude_relay_github_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len >= NCR_STORE_NAME) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '-' && c != '_')
        {
            return 0;
        }
    }

    return 1;
}


static char *
ngx_http_claude_relay_github_url(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *url)
{
    ncr_url_t    parts;
    ngx_str_t    path;
    ngx_uint_t   i;
    const char  *wrong;

    wrong = ngx_http_claude_relay_url(value, &parts, &path);

    for (i = 0; wrong == NULL && i < path.len; i++) {
        if (path.data[i] <= ' ' || path.data[i] >= 0x7f
            || path.data[i] == '?' || path.data[i] == '#')
        {
            wrong = "there must be no query";
        }
    }

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\": %s",
                           value, wrong);
        return NGX_CONF_ERROR;
    }

    *url = *value;

    while (url->len && url->data[url->len - 1] == '/') {
        url->len--;
    }

    return NGX_CONF_OK;
}
