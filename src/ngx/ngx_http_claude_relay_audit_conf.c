
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Directives of the audit log. */


#include "ngx_http_claude_relay_audit.h"


/* of a body; the thread holds a few of them */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_BODY   (8 * 1024 * 1024)

#define NGX_HTTP_CLAUDE_RELAY_AUDIT_PATTERNS  64


static ngx_uint_t ngx_http_claude_relay_audit_param(ngx_str_t *value,
    const char *name, ngx_str_t *text);
static ngx_int_t ngx_http_claude_relay_audit_share(ngx_str_t *text);


static ngx_http_claude_relay_audit_conf_t *
ngx_http_claude_relay_audit_conf(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_audit_conf_t  *acf;

    if (rmcf->audit) {
        return rmcf->audit;
    }

    acf = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_audit_conf_t));

    if (acf == NULL
        || ngx_array_init(&acf->tokens, cf->pool, 4, sizeof(ncr_str_t))
           != NGX_OK
        || ngx_array_init(&acf->fields, cf->pool, 4, sizeof(ncr_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    acf->keep = 7 * 86400;
    acf->disk = 1024 * 1024 * 1024;
    acf->buffer = 8 * 1024 * 1024;

    rmcf->audit = acf;

    return acf;
}


/* claude_relay_audit_log path [keep=time] [disk=size] [buffer=size]; */

char *
ngx_http_claude_relay_set_audit_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    off_t                                disk;
    ssize_t                              buffer;
    ngx_str_t                           *value, s;
    ngx_uint_t                           i;
    ngx_http_claude_relay_audit_conf_t  *acf;

    acf = ngx_http_claude_relay_audit_conf(cf, rmcf);
    if (acf == NULL) {
        return NGX_CONF_ERROR;
    }

    if (acf->path.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "has an empty path";
    }

    acf->path = value[1];

    if (ngx_conf_full_name(cf->cycle, &acf->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_claude_relay_audit_param(&value[i], "keep=", &s)) {

            acf->keep = ngx_parse_time(&s, 1);

            if (acf->keep != (time_t) NGX_ERROR) {
                continue;
            }

        } else if (ngx_http_claude_relay_audit_param(&value[i], "disk=", &s)) {

            disk = ngx_parse_offset(&s);

            if (disk == NGX_ERROR || (disk && disk < NCR_AUDIT_DISK)) {
                return "needs 1m of \"disk=\" at least, or 0 for no bound";
            }

            acf->disk = disk;
            continue;

        } else if (ngx_http_claude_relay_audit_param(&value[i], "buffer=",
                                                     &s))
        {
            buffer = ngx_parse_size(&s);

            if (buffer == NGX_ERROR || buffer < 64 * 1024) {
                return "needs 64k of \"buffer=\" at least";
            }

            acf->buffer = buffer;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* claude_relay_audit_redact token prefix | field name; */

char *
ngx_http_claude_relay_set_audit_redact(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t                           *value;
    ncr_str_t                           *s;
    ngx_array_t                         *list;
    ngx_http_claude_relay_audit_conf_t  *acf;

    acf = ngx_http_claude_relay_audit_conf(cf, rmcf);
    if (acf == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ncr_str_eq(ncr(&value[1]), "token")) {
        list = &acf->tokens;

    } else if (ncr_str_eq(ncr(&value[1]), "field")) {
        list = &acf->fields;

    } else {
        return "takes \"token\" and the beginning of a word, or \"field\" and "
               "a name";
    }

    if (list->nelts == NGX_HTTP_CLAUDE_RELAY_AUDIT_PATTERNS) {
        return "is repeated more than 64 times";
    }

    s = ngx_array_push(list);
    if (s == NULL) {
        return NGX_CONF_ERROR;
    }

    if (list == &acf->tokens) {

        if (value[2].len < NCR_REDACT_TOKEN) {
            return "needs 3 characters of a token at least";
        }

        *s = *ncr(&value[2]);

        acf->redact.tokens = list->elts;
        acf->redact.ntokens = list->nelts;

        return NGX_CONF_OK;
    }

    s->data = ngx_pnalloc(cf->pool, NCR_REDACT_FIELD);
    if (s->data == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ncr_redact_field(s, ncr(&value[2])) != NCR_OK) {
        return "needs a name of letters, digits, \"_\", \"-\" and \".\", of 64 "
               "characters at most";
    }

    acf->redact.fields = list->elts;
    acf->redact.nfields = list->nelts;

    return NGX_CONF_OK;
}


/*
 * claude_relay_audit off | on [sample=percent] [body=size] [response=size]
 *                             [errors=on|off];
 */

char *
ngx_http_claude_relay_set_audit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ssize_t                              size;
    ngx_str_t                           *value, s;
    ngx_uint_t                           i;
    ngx_http_claude_relay_audit_loc_t   *audit;
    ngx_http_claude_relay_main_conf_t   *rmcf;
    ngx_http_claude_relay_audit_conf_t  *acf;

    if (rlcf->audit != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ncr_str_eq(ncr(&value[1]), "off") && cf->args->nelts == 2) {
        rlcf->audit = NULL;
        return NGX_CONF_OK;
    }

    if (!ncr_str_eq(ncr(&value[1]), "on")) {
        return "is \"off\", or \"on\" and its parameters";
    }

    rmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_claude_relay_module);

    acf = ngx_http_claude_relay_audit_conf(cf, rmcf);
    audit = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_audit_loc_t));

    if (acf == NULL || audit == NULL) {
        return NGX_CONF_ERROR;
    }

    acf->on = 1;
    acf->file = cf->conf_file->file.name.data;
    acf->line = cf->conf_file->line;

    audit->share = 10000;
    audit->errors = 1;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_claude_relay_audit_param(&value[i], "sample=", &s)) {

            size = ngx_http_claude_relay_audit_share(&s);

            if (size == NGX_ERROR) {
                return "needs \"sample=\" from 0% to 100%";
            }

            audit->share = size;
            continue;
        }

        if (ngx_http_claude_relay_audit_param(&value[i], "errors=", &s)
            && (ncr_str_eq(ncr(&s), "on") || ncr_str_eq(ncr(&s), "off")))
        {
            audit->errors = (s.len == 2);
            continue;
        }

        if (ngx_http_claude_relay_audit_param(&value[i], "body=", &s)
            || ngx_http_claude_relay_audit_param(&value[i], "response=", &s))
        {
            size = ngx_parse_size(&s);

            if (size == NGX_ERROR || size > NGX_HTTP_CLAUDE_RELAY_AUDIT_BODY) {
                return "takes 8m of a body at most";
            }

            if (value[i].data[0] == 'b') {
                audit->body = size;

            } else {
                audit->response = size;
            }

            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    rlcf->audit = audit;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_claude_relay_audit_param(ngx_str_t *value, const char *name,
    ngx_str_t *text)
{
    if (!ncr_str_prefix(ncr(value), name)) {
        return 0;
    }

    text->data = value->data + ngx_strlen(name);
    text->len = value->len - ngx_strlen(name);

    return text->len != 0;
}


/* "10%" or "0.5%" in 1/10000 */

static ngx_int_t
ngx_http_claude_relay_audit_share(ngx_str_t *text)
{
    ngx_int_t  n;

    if (text->len < 2 || text->data[text->len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atofp(text->data, text->len - 1, 2);

    return (n >= 0 && n <= 10000) ? n : NGX_ERROR;
}


/* all is read: where is it, and is there a place for it? */

char *
ngx_http_claude_relay_audit_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    u_char                              *p;
    ngx_http_claude_relay_audit_conf_t  *acf;

    acf = rmcf->audit;

    if (acf == NULL) {
        return NGX_CONF_OK;
    }

    if (acf->on && acf->path.len == 0) {

        if (rmcf->store == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"claude_relay_audit\" needs "
                          "\"claude_relay_audit_log\" or "
                          "\"claude_relay_store\" in %s:%ui",
                          acf->file, acf->line);
            return NGX_CONF_ERROR;
        }

        acf->path.len = rmcf->store->path.len + sizeof("-audit") - 1;

        p = ngx_pnalloc(cf->pool, acf->path.len + 1);
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        acf->path.data = p;

        p = ngx_cpymem(p, rmcf->store->path.data, rmcf->store->path.len);
        (void) ngx_cpymem(p, "-audit", sizeof("-audit"));
    }

    if (rmcf->store && acf->path.len == rmcf->store->path.len
        && ngx_strncmp(acf->path.data, rmcf->store->path.data, acf->path.len)
           == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_audit_log\" is the file of "
                      "\"claude_relay_store\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
