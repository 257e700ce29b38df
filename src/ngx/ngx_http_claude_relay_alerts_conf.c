
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The directive "claude_relay_alerts". */


#include "ngx_http_claude_relay_alerts.h"


static const char *ngx_http_claude_relay_alerts_value(
    ngx_http_claude_relay_alerts_conf_t *ac, ngx_str_t *name,
    ngx_str_t *value);
static const char *ngx_http_claude_relay_alerts_steps(ngx_str_t *value,
    ncr_alert_steps_t *steps);
static ngx_int_t ngx_http_claude_relay_alerts_share(ncr_str_t *s,
    ngx_uint_t *share);


#define NGX_HTTP_CLAUDE_RELAY_DAY  ((ncr_msec_t) 86400 * 1000)


ngx_int_t
ngx_http_claude_relay_alerts_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_alerts_conf_t  *ac;

    ac = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_alerts_conf_t));
    if (ac == NULL) {
        return NGX_ERROR;
    }

    ac->rules.remind = NGX_HTTP_CLAUDE_RELAY_DAY;
    ac->rules.clear = 30000;
    ac->rules.calm = 600000;
    ac->rules.storm = 20;

    ac->quota.n = 2;
    ac->quota.at[0] = 8000;
    ac->quota.at[1] = 9500;

    ac->budget.n = 2;
    ac->budget.at[0] = 8000;
    ac->budget.at[1] = 10000;

    ac->resting = 600000;
    ac->errors = 2000;
    ac->min = 20;
    ac->hold = 30000;
    ac->interval = 5000;

    ngx_str_set(&ac->service, "claude-relay");

    rmcf->alerts = ac;

    return NGX_OK;
}


/* off, or what is not as usual */

char *
ngx_http_claude_relay_set_alerts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    u_char                               *p, *last;
    ngx_str_t                            *value, name, s;
    ngx_uint_t                            i, j;
    const char                           *wrong;
    ngx_http_claude_relay_alerts_conf_t  *ac;

    ac = rmcf->alerts;

    if (ac->set) {
        return "is duplicate";
    }

    ac->set = 1;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ncr_str_eq(ncr(&value[1]), "off")) {
        ac->off = 1;
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        last = value[i].data + value[i].len;
        p = ngx_strlchr(value[i].data, last, '=');

        wrong = "is none";

        if (p) {
            name.data = value[i].data;
            name.len = p - name.data;

            s.data = p + 1;
            s.len = last - s.data;

            wrong = ngx_http_claude_relay_alerts_value(ac, &name, &s);

            for (j = 1; j < i; j++) {
                if (value[j].len > name.len
                    && ngx_strncmp(value[j].data, name.data, name.len + 1)
                       == 0)
                {
                    wrong = "is duplicate";
                }
            }
        }

        if (wrong) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameter \"%V\" %s", &value[i], wrong);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


const char *
ngx_http_claude_relay_alerts_object(ngx_http_claude_relay_alerts_conf_t *ac,
    cJSON *object)
{
    cJSON       *item;
    ngx_str_t    name, value;
    const char  *wrong;

    if (!cJSON_IsObject(object)) {
        return "must be an object";
    }

    cJSON_ArrayForEach(item, object) {

        if (!cJSON_IsString(item)) {
            return "takes texts, as the parameters of \"claude_relay_alerts\"";
        }

        name.data = (u_char *) item->string;
        name.len = ngx_strlen(name.data);
        value.data = (u_char *) item->valuestring;
        value.len = ngx_strlen(value.data);

        /* its text would have to stay */

        if (ncr_str_eq(ncr(&name), "service")) {
            return "has \"service\", which is said in nginx.conf";
        }

        wrong = ngx_http_claude_relay_alerts_value(ac, &name, &value);

        if (wrong) {
            return ngx_strcmp(wrong, "is none") == 0
                   ? "has a member that is no parameter of "
                     "\"claude_relay_alerts\"" : wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_alerts_value(ngx_http_claude_relay_alerts_conf_t *ac,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t    n;
    ngx_msec_t   ms;
    ngx_uint_t   off, i;
    ncr_msec_t  *wide;
    ngx_msec_t  *field;

    off = ncr_str_eq(ncr(value), "off");

    if (ncr_str_eq(ncr(name), "quota")) {
        return ngx_http_claude_relay_alerts_steps(value, &ac->quota);
    }

    if (ncr_str_eq(ncr(name), "budget")) {
        return ngx_http_claude_relay_alerts_steps(value, &ac->budget);
    }

    if (ncr_str_eq(ncr(name), "errors")) {

        if (off) {
            ac->errors = 0;
            return NULL;
        }

        return (ngx_http_claude_relay_alerts_share(ncr(value), &ac->errors)
                == NGX_OK && ac->errors <= 10000)
               ? NULL : "must be a share such as 20% or 0.2";
    }

    if (ncr_str_eq(ncr(name), "service")) {

        if (value->len == 0 || value->len > 64) {
            return "must have 1 to 64 characters";
        }

        for (i = 0; i < value->len; i++) {
            if (value->data[i] < ' ' || value->data[i] >= 0x7f) {
                return "must be of visible ASCII characters";
            }
        }

        ac->service = *value;
        return NULL;
    }

    if (ncr_str_eq(ncr(name), "min") || ncr_str_eq(ncr(name), "storm")) {

        n = ngx_atoi(value->data, value->len);

        if (n < 1 || n > 1000000) {
            return "must be a number from 1 on";
        }

        if (name->data[0] == 'm') {
            ac->min = n;

        } else {
            ac->rules.storm = n;
        }

        return NULL;
    }

    field = NULL;
    wide = NULL;

    if (ncr_str_eq(ncr(name), "resting")) {
        field = &ac->resting;

    } else if (ncr_str_eq(ncr(name), "remind")) {
        wide = &ac->rules.remind;

    } else if (ncr_str_eq(ncr(name), "calm")) {
        wide = &ac->rules.calm;

    } else if (ncr_str_eq(ncr(name), "hold")) {
        field = &ac->hold;

    } else if (ncr_str_eq(ncr(name), "interval")) {
        field = &ac->interval;

    } else {
        return "is none";
    }

    if (off && field != &ac->interval) {
        ms = 0;

    } else {
        ms = ngx_parse_time(value, 0);

        if (ms == (ngx_msec_t) NGX_ERROR) {
            return "has an invalid time";
        }
    }

    if (field == &ac->interval && (ms < 500 || ms > 600000)) {
        return "must be from 500ms to 10m";
    }

    if (wide) {
        *wide = (ncr_msec_t) ms;
        return NULL;
    }

    *field = ms;

    if (field == &ac->hold) {
        ac->rules.clear = (ncr_msec_t) ms;
    }

    return NULL;
}


/* "0.8,0.95", ascending */

static const char *
ngx_http_claude_relay_alerts_steps(ngx_str_t *value, ncr_alert_steps_t *steps)
{
    u_char      *p, *last, *end;
    ncr_str_t    s;
    ngx_uint_t   share, was;

    steps->n = 0;

    if (ncr_str_eq(ncr(value), "off")) {
        return NULL;
    }

    p = value->data;
    last = p + value->len;
    was = 0;

    for ( ;; ) {
        end = ngx_strlchr(p, last, ',');
        end = end ? end : last;

        s.data = p;
        s.len = end - p;

        if (steps->n == NCR_ALERT_STEPS
            || ngx_http_claude_relay_alerts_share(&s, &share) != NGX_OK
            || share <= was || share > 100000)
        {
            return "must be up to four ascending shares such as 0.8,0.95";
        }

        steps->at[steps->n++] = (uint32_t) share;
        was = share;

        if (end == last) {
            return NULL;
        }

        p = end + 1;
    }
}


/* "20%" or "0.2", in 1/10000 */

static ngx_int_t
ngx_http_claude_relay_alerts_share(ncr_str_t *s, ngx_uint_t *share)
{
    int32_t     n;
    ncr_str_t   text;
    ngx_uint_t  percent;

    text = *s;
    percent = (text.len && text.data[text.len - 1] == '%');
    text.len -= percent;

    if (ncr_str_fraction(&text, &n) != NCR_OK || n <= 0) {
        return NGX_ERROR;
    }

    *share = percent ? (ngx_uint_t) n / 100 : (ngx_uint_t) n;

    return *share ? NGX_OK : NGX_ERROR;
}
