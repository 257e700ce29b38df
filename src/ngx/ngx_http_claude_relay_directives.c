
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The setters of directives whose values are more than a slot. */


#include "ngx_http_claude_relay.h"


static char *ngx_http_claude_relay_number_timeout(ngx_conf_t *cf,
    ngx_uint_t least, ngx_uint_t *number, ngx_msec_t *timeout);


char *
ngx_http_claude_relay_set_platforms(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t        *value;
    ngx_uint_t        i;
    ncr_platform_t  **platform;

    if (rlcf->platforms != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ncr_str_eq(ncr(&value[1]), "all")) {
        rlcf->platforms = NULL;
        return NGX_CONF_OK;
    }

    rlcf->platforms = ngx_array_create(cf->pool, 4, sizeof(ncr_platform_t *));
    if (rlcf->platforms == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        platform = ngx_array_push(rlcf->platforms);
        if (platform == NULL) {
            return NGX_CONF_ERROR;
        }

        *platform = ncr_platform_find(ncr(&value[i]));

        if (*platform == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown platform \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_claude_relay_set_policy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t  *value;

    if (rlcf->policy != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    rlcf->policy = ncr_policy_find(ncr(&value[1]));

    if (rlcf->policy == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown policy \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* off | [ttl=time] [renew=time] [wait=time] [strict] */

char *
ngx_http_claude_relay_set_sticky(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (rlcf->sticky_strict != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    /* what is not written has its default, whatever stands further out */

    rlcf->sticky_ttl = 3600;
    rlcf->sticky_renew = 300;
    rlcf->sticky_wait = 5000;
    rlcf->sticky_strict = 0;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_eq(ncr(&s), "off") && cf->args->nelts == 2) {
            rlcf->sticky_ttl = 0;
            continue;
        }

        if (ncr_str_eq(ncr(&s), "strict")) {
            rlcf->sticky_strict = 1;
            continue;
        }

        if (ncr_str_prefix(ncr(&s), "ttl=")) {
            s.data += 4;
            s.len -= 4;

            rlcf->sticky_ttl = ngx_parse_time(&s, 1);

            if (rlcf->sticky_ttl == (time_t) NGX_ERROR
                || rlcf->sticky_ttl == 0)
            {
                goto invalid;
            }

            continue;
        }

        if (ncr_str_prefix(ncr(&s), "renew=")) {
            s.data += 6;
            s.len -= 6;

            rlcf->sticky_renew = ngx_parse_time(&s, 1);

            if (rlcf->sticky_renew == (time_t) NGX_ERROR) {
                goto invalid;
            }

            continue;
        }

        if (ncr_str_prefix(ncr(&s), "wait=")) {
            s.data += 5;
            s.len -= 5;

            rlcf->sticky_wait = ngx_parse_time(&s, 0);

            if (rlcf->sticky_wait == (ngx_msec_t) NGX_ERROR) {
                goto invalid;
            }

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


/* number [timeout=time] */

static char *
ngx_http_claude_relay_number_timeout(ngx_conf_t *cf, ngx_uint_t least,
    ngx_uint_t *number, ngx_msec_t *timeout)
{
    ngx_int_t   n;
    ngx_str_t  *value, s;

    if (*number != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || (ngx_uint_t) n < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid number \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    *number = (ngx_uint_t) n;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    s = value[2];

    if (ncr_str_prefix(ncr(&s), "timeout=")) {
        s.data += 8;
        s.len -= 8;

        *timeout = ngx_parse_time(&s, 0);

        if (*timeout != (ngx_msec_t) NGX_ERROR) {
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[2]);

    return NGX_CONF_ERROR;
}


char *
ngx_http_claude_relay_set_tries(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    /* what is not written has its default, whatever stands further out */

    if (rlcf->tries == NGX_CONF_UNSET_UINT) {
        rlcf->tries_timeout = 900000;
    }

    return ngx_http_claude_relay_number_timeout(cf, 1, &rlcf->tries,
                                                &rlcf->tries_timeout);
}


char *
ngx_http_claude_relay_set_heartbeat(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ncr_str_eq(ncr(&value[1]), "off")) {

        if (rlcf->heartbeat != NGX_CONF_UNSET_MSEC) {
            return "is duplicate";
        }

        rlcf->heartbeat = 0;
        return NGX_CONF_OK;
    }

    cmd->offset = offsetof(ngx_http_claude_relay_loc_conf_t, heartbeat);

    return ngx_conf_set_msec_slot(cf, cmd, conf);
}


char *
ngx_http_claude_relay_set_keepalive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    return ngx_http_claude_relay_number_timeout(cf, 0, &rmcf->keepalive,
                                                &rmcf->keepalive_timeout);
}


/* class=time ...; how long an account rests after what */

char *
ngx_http_claude_relay_set_rest(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    u_char      *p;
    ngx_int_t    ms;
    ngx_str_t   *value, name, s;
    ngx_uint_t   i, j;

    static const struct {
        const char  *name;
        size_t       offset;
    } rests[] = {
        { "unauthorized", offsetof(ncr_rests_t, unauthorized) },
        { "forbidden", offsetof(ncr_rests_t, forbidden) },
        { "edge", offsetof(ncr_rests_t, edge) },
        { "disabled", offsetof(ncr_rests_t, disabled) },
        { "billing", offsetof(ncr_rests_t, billing) },
        { "limited", offsetof(ncr_rests_t, limited) },
        { "throttled", offsetof(ncr_rests_t, throttled) },
        { "overloaded", offsetof(ncr_rests_t, overloaded) },
        { "overloaded_max", offsetof(ncr_rests_t, overloaded_max) },
        { "server", offsetof(ncr_rests_t, server) },
        { "server_max", offsetof(ncr_rests_t, server_max) },
        { NULL, 0 }
    };

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p == NULL) {
            goto invalid;
        }

        name.data = value[i].data;
        name.len = p - value[i].data;

        s.data = p + 1;
        s.len = value[i].len - name.len - 1;

        ms = ngx_parse_time(&s, 0);

        if (ms == NGX_ERROR) {
            goto invalid;
        }

        for (j = 0; rests[j].name; j++) {
            if (ncr_str_eq(ncr(&name), rests[j].name)) {
                break;
            }
        }

        if (rests[j].name == NULL) {
            goto invalid;
        }

        *(ncr_msec_t *) ((u_char *) &rmcf->rests + rests[j].offset) = ms;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[i]);

    return NGX_CONF_ERROR;
}


/* off | a fraction such as 0.995 */

char *
ngx_http_claude_relay_set_quota_guard(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    int32_t     fraction;
    ngx_str_t  *value;

    if (rmcf->quota_guard != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ncr_str_eq(ncr(&value[1]), "off")) {
        rmcf->quota_guard = 0;
        return NGX_CONF_OK;
    }

    if (ncr_str_fraction(ncr(&value[1]), &fraction) != NCR_OK
        || fraction <= 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\", it must be \"off\" or a "
                           "fraction such as 0.995", &value[1]);
        return NGX_CONF_ERROR;
    }

    rmcf->quota_guard = fraction;

    if (cf->args->nelts == 3) {

        if (!ncr_str_eq(ncr(&value[2]), "strict")) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"%V\"",
                               &value[2], &value[0]);
            return NGX_CONF_ERROR;
        }

        rmcf->quota_strict = 1;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_claude_relay_set_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t   *value, *origin;
    ngx_uint_t   i;

    if (rlcf->cors != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ncr_str_eq(ncr(&value[1]), "off")) {
        rlcf->cors = NULL;
        return NGX_CONF_OK;
    }

    rlcf->cors = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (rlcf->cors == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        origin = ngx_array_push(rlcf->cors);
        if (origin == NULL) {
            return NGX_CONF_ERROR;
        }

        *origin = value[i];
    }

    return NGX_CONF_OK;
}


/* ahead=time timeout=time: when tokens are refreshed, and for how long */

char *
ngx_http_claude_relay_set_refresh(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t   *value, s;
    ngx_msec_t  *field, ms;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_prefix(ncr(&s), "ahead=")) {
            s.data += 6;
            s.len -= 6;
            field = &rmcf->refresh_ahead;

        } else if (ncr_str_prefix(ncr(&s), "timeout=")) {
            s.data += 8;
            s.len -= 8;
            field = &rmcf->token_timeout;

        } else {
            goto invalid;
        }

        if (*field != NGX_CONF_UNSET_MSEC) {
            return "is duplicate";
        }

        ms = ngx_parse_time(&s, 0);

        if (ms == (ngx_msec_t) NGX_ERROR || ms == 0) {
            goto invalid;
        }

        /* a lease lasts 90 seconds, with two writes of the store in it */

        if (field == &rmcf->token_timeout && ms > 60000) {
            return "has a timeout of more than 60s";
        }

        *field = ms;
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[i]);

    return NGX_CONF_ERROR;
}


/* off | /uri[?args] */

char *
ngx_http_claude_relay_set_token_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    u_char     *p, *last;
    ngx_str_t  *value, *uri;

    if (rlcf->token_uri.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    uri = &value[1];

    rlcf->token_uri.data = uri->data;

    if (ncr_str_eq(ncr(uri), "off")) {
        return NGX_CONF_OK;
    }

    if (uri->len == 0 || uri->data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not the URI of a location of this "
                           "server, which begins with \"/\"", uri);
        return NGX_CONF_ERROR;
    }

    last = uri->data + uri->len;
    p = ngx_strlchr(uri->data, last, '?');

    if (p) {
        rlcf->token_args.data = p + 1;
        rlcf->token_args.len = last - p - 1;
        last = p;
    }

    rlcf->token_uri.len = last - uri->data;

    return NGX_CONF_OK;
}


/* time|off; the endpoint does not like to be asked often (anthropic.md A.7) */

char *
ngx_http_claude_relay_set_usage_poll(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t   *value;
    ngx_msec_t   ms;

    if (rmcf->usage_poll != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ncr_str_eq(ncr(&value[1]), "off")) {
        rmcf->usage_poll = 0;
        return NGX_CONF_OK;
    }

    ms = ngx_parse_time(&value[1], 0);

    if (ms == (ngx_msec_t) NGX_ERROR) {
        return "has an invalid time";
    }

    if (ms < 600000) {
        return "must be 10m at least";
    }

    rmcf->usage_poll = ms;

    return NGX_CONF_OK;
}


char *
ngx_http_claude_relay_set_relay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_http_core_loc_conf_t            *clcf;
    ngx_http_claude_relay_srv_conf_t    *rscf;
    ngx_http_claude_relay_main_conf_t   *rmcf;
    ngx_http_claude_relay_route_conf_t  *route;

    if (rlcf->enable) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "conflicts with another handler of this location";
    }

    rscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_claude_relay_module);
    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    rlcf->enable = 1;
    rlcf->file = cf->conf_file->file.name.data;
    rlcf->line = cf->conf_file->line;

    rscf->relays++;
    rmcf->relays++;

    route = ngx_array_push(&rmcf->routes);
    if (route == NULL) {
        return NGX_CONF_ERROR;
    }

    route->name = clcf->name;
    route->conf = rlcf;
    route->server = ngx_http_conf_get_module_srv_conf(cf,
                                                      ngx_http_core_module);

    clcf->handler = ngx_http_claude_relay_handler;

    return NGX_CONF_OK;
}
