
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The location of the admin API: its directives, and what belongs to it. */


#include "ngx_http_claude_relay_admin.h"


static ngx_int_t ngx_http_claude_relay_admin_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_admin_headers(ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_admin_path(
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *uri, ngx_str_t *path);
static char *ngx_http_claude_relay_admin_prefix(ngx_str_t *prefix);
static ngx_int_t ngx_http_claude_relay_admin_time(ngx_str_t *value,
    const char *name, ngx_msec_t *ms);


/* claude_relay_admin; in a location */

char *
ngx_http_claude_relay_set_admin(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_admin_t      *admin;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    if (clcf->handler) {
        return "is duplicate, or conflicts with another handler";
    }

    if (clcf->named || clcf->exact_match
#if (NGX_PCRE)
        || clcf->regex
#endif
        )
    {
        return "needs a location with a prefix, such as \"/admin/\"";
    }

    admin = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_admin_t));
    if (admin == NULL) {
        return NGX_CONF_ERROR;
    }

    admin->prefix = clcf->name;

    rlcf->admin = admin;
    rlcf->file = cf->conf_file->file.name.data;
    rlcf->line = cf->conf_file->line;

    rmcf->admin.locations++;

    clcf->handler = ngx_http_claude_relay_admin_handler;

    return ngx_http_claude_relay_admin_prefix(&admin->prefix);
}


/* it is the path of a cookie, and compared by browsers as it is sent */

static char *
ngx_http_claude_relay_admin_prefix(ngx_str_t *prefix)
{
    u_char      c;
    ngx_uint_t  i;

    for (i = 0; i < prefix->len; i++) {
        c = prefix->data[i];

        if (c <= ' ' || c >= 0x7f || c == ';' || c == '%' || c == '"'
            || c == '\\')
        {
            return "needs a location whose prefix is of visible ASCII "
                   "characters without \";\", \"%\", quotes and backslashes";
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_claude_relay_admin_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev)
{
    const char                         *needs;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    ngx_conf_merge_uint_value(conf->admin_secure, prev->admin_secure,
                              NGX_HTTP_CLAUDE_RELAY_SECURE_AUTO);

    ngx_conf_merge_ptr_value(conf->admin_user, prev->admin_user, NULL);
    ngx_conf_merge_ptr_value(conf->admin_role, prev->admin_role, NULL);

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" in such a location are parts of it */

    if (conf->admin == NULL && prev->admin && clcf->noname
        && clcf->handler == NULL)
    {
        conf->admin = prev->admin;
        clcf->handler = ngx_http_claude_relay_admin_handler;
        clcf->client_max_body_size = 0;
        return NGX_CONF_OK;
    }

    if (conf->admin == NULL) {
        return NGX_CONF_OK;
    }

    needs = (rmcf->shm_zone == NULL) ? "claude_relay_zone"
            : (rmcf->store == NULL) ? "claude_relay_store" : NULL;

    if (needs) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_admin\" needs \"%s\" in %s:%ui", needs,
                      conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    conf->admin->secure = conf->admin_secure;

    ngx_http_claude_relay_admin_vouch(conf);

    /* what is too large for a way is refused by it, in its own words */

    clcf->client_max_body_size = 0;

    return NGX_CONF_OK;
}


/* claude_relay_admin_cookie secure=on|off|auto */

char *
ngx_http_claude_relay_set_admin_cookie(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    static const char  *words[] = {
        "secure=off", "secure=on", "secure=auto"
    };

    if (rlcf->admin_secure != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 0; i < 3; i++) {
        if (ncr_str_eq(ncr(&value[1]), words[i])) {
            rlcf->admin_secure = i;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[1]);

    return NGX_CONF_ERROR;
}


/* claude_relay_admin_login [failures=N] [window=time] [session=time]
 * [idle=time] */

char *
ngx_http_claude_relay_set_admin_login(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_int_t                              n;
    ngx_str_t                             *value, s;
    ngx_uint_t                             i;
    ngx_http_claude_relay_admin_conf_t    *admin;

    admin = &rmcf->admin;

    if (admin->set) {
        return "is duplicate";
    }

    admin->set = 1;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_prefix(ncr(&s), "failures=")) {
            s.data += 9;
            s.len -= 9;

            n = ngx_atoi(s.data, s.len);

            if (n < 1 || n > 1000) {
                goto invalid;
            }

            admin->failures = n;
            continue;
        }

        if (ngx_http_claude_relay_admin_time(&s, "window=", &admin->window)
            == NGX_OK
            || ngx_http_claude_relay_admin_time(&s, "session=",
                                                &admin->session)
               == NGX_OK
            || ngx_http_claude_relay_admin_time(&s, "idle=", &admin->idle)
               == NGX_OK)
        {
            continue;
        }

        goto invalid;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[i]);

    return NGX_CONF_ERROR;
}


/* NGX_DECLINED: it is not this one, or no such time */

static ngx_int_t
ngx_http_claude_relay_admin_time(ngx_str_t *value, const char *name,
    ngx_msec_t *ms)
{
    ngx_int_t  n;
    ngx_str_t  s;

    if (!ncr_str_prefix(ncr(value), name)) {
        return NGX_DECLINED;
    }

    s.data = value->data + ngx_strlen(name);
    s.len = value->len - ngx_strlen(name);

    n = ngx_parse_time(&s, 0);

    if (n == NGX_ERROR || n < 1000) {
        return NGX_DECLINED;
    }

    *ms = n;

    return NGX_OK;
}


/* claude_relay_admin_password_file path */

char *
ngx_http_claude_relay_set_admin_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t  *value;

    if (rmcf->admin.file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has an empty path";
    }

    rmcf->admin.file = value[1];

    return (ngx_conf_full_name(cf->cycle, &rmcf->admin.file, 0) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_admin_handler(ngx_http_request_t *r)
{
    ngx_str_t                          path;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (ngx_http_claude_relay_admin_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ngx_http_claude_relay_admin_path(rlcf->admin, &r->uri, &path)) {
        return ngx_http_claude_relay_refuse(r, NGX_HTTP_NOT_FOUND, NULL,
                                            "there is no such path", -1);
    }

    return ngx_http_claude_relay_admin_enter(r, rlcf->admin, &path);
}


static ngx_int_t
ngx_http_claude_relay_admin_headers(ngx_http_request_t *r)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        const char  *value;
    } headers[] = {
        { "Content-Security-Policy",
          "default-src 'none'; frame-ancestors 'none'" },
        { "X-Frame-Options", "DENY" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { NULL, NULL }
    };

    for (i = 0; headers[i].name; i++) {
        value.data = (u_char *) headers[i].value;
        value.len = ngx_strlen(value.data);

        if (ngx_http_claude_relay_add_header(r, headers[i].name, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* nginx has undone escapes, "." and ".." before it chose the location */

static ngx_uint_t
ngx_http_claude_relay_admin_path(ngx_http_claude_relay_admin_t *admin,
    ngx_str_t *uri, ngx_str_t *path)
{
    size_t  len;

    len = admin->prefix.len;

    if (uri->len < len) {
        return 0;
    }

    if (len && admin->prefix.data[len - 1] == '/') {
        len--;
    }

    path->data = uri->data + len;
    path->len = uri->len - len;

    if (!ncr_str_prefix(ncr(path), "/api/v1/")) {
        return 0;
    }

    path->data += sizeof("/api") - 1;
    path->len -= sizeof("/api") - 1;

    return 1;
}
