
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Limits as they are configured: claude_relay_limit, _rate, _queue. */


#include "ngx_http_claude_relay_limit.h"


#define NGX_HTTP_CLAUDE_RELAY_QUEUE_MAX  1000000


static ngx_int_t ngx_http_claude_relay_scope_of(ngx_str_t *value,
    ngx_uint_t *scope);


static ngx_conf_enum_t  ngx_http_claude_relay_per[] = {
    { ngx_string("per=key"), NCR_SCOPE_KEY },
    { ngx_string("per=user"), NCR_SCOPE_USER },
    { ngx_string("per=group"), NCR_SCOPE_GROUP },
    { ngx_string("per=account"), NCR_SCOPE_ACCOUNT },
    { ngx_string("per=model"), NCR_SCOPE_MODEL },
    { ngx_null_string, 0 }
};


/* the arguments from "first" on as one text, but for "per=..." */

ngx_int_t
ngx_http_claude_relay_limit_args(ngx_conf_t *cf, ngx_uint_t first,
    ncr_str_t *text, ngx_uint_t *scope)
{
    u_char      *p;
    size_t       size;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    size = 0;

    for (i = first; i < cf->args->nelts; i++) {
        size += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = first; i < cf->args->nelts; i++) {

        if (scope && ncr_str_prefix(ncr(&value[i]), "per=")) {

            if (ngx_http_claude_relay_scope_of(&value[i], scope) != NGX_OK) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid parameter \"%V\"", &value[i]);
                return NGX_ERROR;
            }

            continue;
        }

        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ' ';
    }

    text->len = p - text->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_scope_of(ngx_str_t *value, ngx_uint_t *scope)
{
    ngx_conf_enum_t  *e;

    for (e = ngx_http_claude_relay_per; e->name.len; e++) {
        if (ncr_str_eq(ncr(value), (char *) e->name.data)) {
            *scope = e->value;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


/* UNIT:AMOUNT[/WINDOW] [option ...] [per=key|user|group|account|model] */

char *
ngx_http_claude_relay_set_limit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    ncr_str_t     text;
    ngx_uint_t    i, scope;
    ncr_limit_t   limit, *have;
    const char   *error;
    ngx_array_t  *limits;

    scope = NCR_SCOPE_MODEL;

    if (ngx_http_claude_relay_limit_args(cf, 1, &text, &scope) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ncr_limit_parse(&limit, &text, &error) != NCR_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid limit \"%V\": %s", (ngx_str_t *) &text,
                           error);
        return NGX_CONF_ERROR;
    }

    limits = &rmcf->limits[scope];
    have = limits->elts;

    for (i = 0; i < limits->nelts; i++) {
        if (have[i].identity == limit.identity) {
            return "is there with another amount";
        }
    }

    if (limits->nelts == NGX_HTTP_CLAUDE_RELAY_LIMITS) {
        return "is there too often";
    }

    if (limits->elts == NULL
        && ngx_array_init(limits, cf->pool, NGX_HTTP_CLAUDE_RELAY_LIMITS,
                          sizeof(ncr_limit_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    have = ngx_array_push(limits);
    *have = limit;

    return NGX_CONF_OK;
}


/* NULL, or what is wrong */

const char *
ngx_http_claude_relay_account_limit_add(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ncr_str_t *text)
{
    ngx_uint_t    i;
    ncr_limit_t   limit;
    const char   *error;

    if (ncr_limit_parse(&limit, text, &error) != NCR_OK) {
        return error;
    }

    for (i = 0; i < a->nlimits; i++) {
        if (a->limits[i].identity == limit.identity) {
            return "it is there with another amount";
        }
    }

    if (a->nlimits == NGX_HTTP_CLAUDE_RELAY_LIMITS) {
        return "there are too many";
    }

    if (a->limits == NULL) {
        a->limits = ngx_palloc(pool, NGX_HTTP_CLAUDE_RELAY_LIMITS
                                     * sizeof(ncr_limit_t));
        if (a->limits == NULL) {
            return "no memory";
        }
    }

    a->limits[a->nlimits++] = limit;

    return NULL;
}


/* platform factor */

char *
ngx_http_claude_relay_set_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    int32_t                        n;
    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ncr_platform_t                *platform;
    ngx_http_claude_relay_rate_t  *rate;

    value = cf->args->elts;

    platform = ncr_platform_find(ncr(&value[1]));

    if (platform == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown platform \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ncr_str_fraction(ncr(&value[2]), &n) != NCR_OK || n > 1000000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid rate \"%V\", it must be a number from 0 "
                           "to 100", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (rmcf->rates.elts == NULL
        && ngx_array_init(&rmcf->rates, cf->pool, 4,
                          sizeof(ngx_http_claude_relay_rate_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rate = rmcf->rates.elts;

    for (i = 0; i < rmcf->rates.nelts; i++) {
        if (rate[i].platform == platform) {
            return "is duplicate";
        }
    }

    rate = ngx_array_push(&rmcf->rates);
    if (rate == NULL) {
        return NGX_CONF_ERROR;
    }

    rate->platform = platform;
    rate->permille = (ngx_uint_t) (n + 5) / 10;

    return NGX_CONF_OK;
}


/* off | places [multiplier=number] [wait=time] [overload=on|off] */

char *
ngx_http_claude_relay_set_queue(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t  *rlcf = conf;

    int32_t      m;
    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (rlcf->queue != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    rlcf->queue = 0;
    rlcf->queue_multiplier = 10000;
    rlcf->queue_wait = 10000;
    rlcf->queue_overload = 1;

    if (ncr_str_eq(ncr(&value[1]), "off")) {
        return (cf->args->nelts == 2) ? NGX_CONF_OK
                                      : "has parameters beside \"off\"";
    }

    n = ngx_atoi(value[1].data, value[1].len);

    if (n < 1 || n > NGX_HTTP_CLAUDE_RELAY_QUEUE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\", it must be \"off\" or from "
                           "1 to %d", &value[1],
                           NGX_HTTP_CLAUDE_RELAY_QUEUE_MAX);
        return NGX_CONF_ERROR;
    }

    rlcf->queue = (ngx_uint_t) n;

    for (i = 2; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_prefix(ncr(&s), "multiplier=")) {
            s.data += 11;
            s.len -= 11;

            if (ncr_str_fraction(ncr(&s), &m) != NCR_OK || m > 10000000) {
                goto invalid;
            }

            rlcf->queue_multiplier = (ngx_uint_t) m;
            continue;
        }

        if (ncr_str_prefix(ncr(&s), "wait=")) {
            s.data += 5;
            s.len -= 5;

            rlcf->queue_wait = ngx_parse_time(&s, 0);

            if (rlcf->queue_wait == (ngx_msec_t) NGX_ERROR
                || rlcf->queue_wait == 0)
            {
                goto invalid;
            }

            continue;
        }

        if (ncr_str_eq(ncr(&s), "overload=on")) {
            rlcf->queue_overload = 1;
            continue;
        }

        if (ncr_str_eq(ncr(&s), "overload=off")) {
            rlcf->queue_overload = 0;
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
