
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The block "claude_relay_account name { ... }" of nginx.conf. */


#include "ngx_http_claude_relay_limit.h"


typedef char *(*ngx_http_claude_relay_set_pt)(ngx_conf_t *cf, void *field,
    void *arg);


typedef struct {
    ngx_str_t                      name;
    ngx_http_claude_relay_set_pt   set;
    size_t                         offset;
    void                          *arg;
    ngx_uint_t                     many;    /* takes one or more values */
} ngx_http_claude_relay_field_t;


static char *ngx_http_claude_relay_account_field(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_claude_relay_set_platform(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_secret(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_word(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_number(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_switch(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_credential(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_globs(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_model_map(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_turns(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_account_limit(ngx_conf_t *cf,
    void *field, void *arg);
static char *ngx_http_claude_relay_set_type(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_groups(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_account_own(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a, ngx_str_t *value);
static char *ngx_http_claude_relay_account_check(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a);
static char *ngx_http_claude_relay_account_set_proxy(ngx_conf_t *cf,
    void *field, void *arg);
static char *ngx_http_claude_relay_set_token(ngx_conf_t *cf, void *field,
    void *arg);
static char *ngx_http_claude_relay_set_time(ngx_conf_t *cf, void *field,
    void *arg);


static ngx_int_t  ngx_http_claude_relay_priorities[] = { -1000000, 1000000 };
static ngx_int_t  ngx_http_claude_relay_weights[] = { 1, 1000000 };
static ngx_int_t  ngx_http_claude_relay_slots[] = { 0, 1000000 };

static char  ngx_http_claude_relay_api_key[] = "api_key";
static char  ngx_http_claude_relay_access_token[] = "access_token";


#define ngx_http_claude_relay_offset(field)                                   \
    offsetof(ngx_http_claude_relay_account_t, field)


static ngx_http_claude_relay_field_t  ngx_http_claude_relay_fields[] = {

    { ngx_string("platform"), ngx_http_claude_relay_set_platform,
      ngx_http_claude_relay_offset(platform), NULL, 0 },

    { ngx_string("api_key"), ngx_http_claude_relay_set_secret,
      ngx_http_claude_relay_offset(secret),
      ngx_http_claude_relay_api_key, 0 },

    { ngx_string("access_token"), ngx_http_claude_relay_set_secret,
      ngx_http_claude_relay_offset(secret),
      ngx_http_claude_relay_access_token, 0 },

    { ngx_string("refresh_token"), ngx_http_claude_relay_set_token,
      ngx_http_claude_relay_offset(refresh_token), NULL, 0 },

    { ngx_string("expires"), ngx_http_claude_relay_set_time,
      ngx_http_claude_relay_offset(expires), NULL, 0 },

    { ngx_string("valid_until"), ngx_http_claude_relay_set_time,
      ngx_http_claude_relay_offset(valid_until), NULL, 0 },

    { ngx_string("description"), ngx_http_claude_relay_set_word,
      ngx_http_claude_relay_offset(description), NULL, 0 },

    { ngx_string("base_url"), ngx_http_claude_relay_set_word,
      ngx_http_claude_relay_offset(base_url), NULL, 0 },

    { ngx_string("pool"), ngx_http_claude_relay_set_word,
      ngx_http_claude_relay_offset(pool), NULL, 0 },

    { ngx_string("credential"), ngx_http_claude_relay_set_credential,
      ngx_http_claude_relay_offset(credential), NULL, 0 },

    { ngx_string("priority"), ngx_http_claude_relay_set_number,
      ngx_http_claude_relay_offset(priority),
      ngx_http_claude_relay_priorities, 0 },

    { ngx_string("weight"), ngx_http_claude_relay_set_number,
      ngx_http_claude_relay_offset(weight),
      ngx_http_claude_relay_weights, 0 },

    { ngx_string("max_concurrency"), ngx_http_claude_relay_set_number,
      ngx_http_claude_relay_offset(max_concurrency),
      ngx_http_claude_relay_slots, 0 },

    { ngx_string("limit"), ngx_http_claude_relay_set_account_limit,
      ngx_http_claude_relay_offset(limits), NULL, 1 },

    { ngx_string("models"), ngx_http_claude_relay_set_globs,
      ngx_http_claude_relay_offset(models), NULL, 1 },

    { ngx_string("model_map"), ngx_http_claude_relay_set_model_map,
      ngx_http_claude_relay_offset(model_map), NULL, 1 },

    { ngx_string("user_message_queue"), ngx_http_claude_relay_set_turns,
      ngx_http_claude_relay_offset(turns), NULL, 1 },

    { ngx_string("proxy"), ngx_http_claude_relay_account_set_proxy,
      ngx_http_claude_relay_offset(proxy), NULL, 0 },

    { ngx_string("enabled"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(enabled), NULL, 0 },

    { ngx_string("schedulable"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(schedulable), NULL, 0 },

    { ngx_string("sanitize_errors"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(sanitize), NULL, 0 },

    { ngx_string("type"), ngx_http_claude_relay_set_type,
      ngx_http_claude_relay_offset(dedicated), NULL, 0 },

    { ngx_string("groups"), ngx_http_claude_relay_set_groups,
      ngx_http_claude_relay_offset(groups), NULL, 1 },

    { ngx_string("auto_protect"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(protect), NULL, 0 },

    { ngx_null_string, NULL, 0, NULL, 0 }
};


static ngx_conf_enum_t  ngx_http_claude_relay_credentials[] = {
    { ngx_string("auto"), NCR_CREDENTIAL_AUTO },
    { ngx_string("x-api-key"), NCR_CREDENTIAL_X_API_KEY },
    { ngx_string("bearer"), NCR_CREDENTIAL_BEARER },
    { ngx_string("api-key"), NCR_CREDENTIAL_API_KEY },
    { ngx_string("x-goog-api-key"), NCR_CREDENTIAL_GOOGLE },
    { ngx_null_string, 0 }
};


char *
ngx_http_claude_relay_account(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf = conf;

    char                              *rv;
    ngx_str_t                         *value;
    ngx_conf_t                         save;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t   *a, **ap;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len >= NGX_HTTP_CLAUDE_RELAY_NAME_LEN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "account name must have 1 to %d characters",
                           NGX_HTTP_CLAUDE_RELAY_NAME_LEN - 1);
        return NGX_CONF_ERROR;
    }

    ap = rmcf->accounts.elts;

    for (i = 0; i < rmcf->accounts.nelts; i++) {
        if (ap[i]->name.len == value[1].len
            && ngx_strncmp(ap[i]->name.data, value[1].data, value[1].len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate account \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    a = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_account_t));
    ap = ngx_array_push(&rmcf->accounts);

    if (a == NULL || ap == NULL) {
        return NGX_CONF_ERROR;
    }

    *ap = a;

    ngx_http_claude_relay_account_init(a);

    a->name = value[1];
    a->file = cf->conf_file->file.name.data;
    a->line = cf->conf_file->line;

    save = *cf;
    cf->handler = ngx_http_claude_relay_account_field;
    cf->handler_conf = (void *) a;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_claude_relay_account_check(cf, a);
}


static char *
ngx_http_claude_relay_account_field(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf)
{
    ngx_http_claude_relay_account_t  *a = conf;

    char                           *rv;
    ngx_str_t                      *value;
    ngx_http_claude_relay_field_t  *f;

    value = cf->args->elts;

    for (f = ngx_http_claude_relay_fields; f->name.len; f++) {

        if (f->name.len != value[0].len
            || ngx_strncmp(f->name.data, value[0].data, value[0].len) != 0)
        {
            continue;
        }

        if (cf->args->nelts < 2 || (cf->args->nelts > 2 && !f->many)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\"",
                               &value[0]);
            return NGX_CONF_ERROR;
        }

        rv = f->set(cf, (u_char *) a + f->offset, f->arg);

        if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
            return rv;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" in account \"%V\" %s",
                           &value[0], &a->name, rv);
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_account_own(cf, a, value);
}


/* a field of its platform, which must be known by now */

static char *
ngx_http_claude_relay_account_own(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a, ngx_str_t *value)
{
    ncr_str_t   *param;
    const char  *wrong;

    param = ngx_http_claude_relay_account_param(a, &value[0]);

    if (param == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in account \"%V\"%s",
                           &value[0], &a->name,
                           (a->platform == NULL
                            && ngx_http_claude_relay_is_setting(
                                                  (char *) value[0].data))
                           ? ", its \"platform\" must stand above it" : "");
        return NGX_CONF_ERROR;
    }

    wrong = (cf->args->nelts != 2) ? "has an invalid number of arguments"
            : param->data ? "is duplicate"
            : ngx_http_claude_relay_account_set_param(cf->pool, a, param,
                                                      &value[1]);
    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" in account \"%V\" %s",
                           &value[0], &a->name, wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_platform(ngx_conf_t *cf, void *field, void *arg)
{
    ncr_platform_t  **platform = field;

    ngx_str_t  *value;

    if (*platform) {
        return "is duplicate";
    }

    value = cf->args->elts;

    *platform = ncr_platform_find(ncr(&value[1]));

    if (*platform == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown platform \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_secret(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_str_t  *secret = field;
    char       *kind = arg;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_http_claude_relay_account_t  *a;

    if (secret->data) {
        return "is duplicate, an account has one api_key or access_token";
    }

    value = cf->args->elts;

    rv = ngx_http_claude_relay_secret(cf, &value[1], secret);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* which of the two was written is checked when the platform is known */

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) secret - ngx_http_claude_relay_offset(secret));

    a->proof.data = (u_char *) kind;

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_token(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_str_t  *token = field;

    ngx_str_t  *value;

    if (token->data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    return ngx_http_claude_relay_secret(cf, &value[1], token);
}


static char *
ngx_http_claude_relay_set_time(ngx_conf_t *cf, void *field, void *arg)
{
    ncr_msec_t  *t = field;

    ngx_str_t  *value;

    if (*t) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_claude_relay_instant(&value[1], t) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"%V\", it must be seconds "
                           "since the epoch or like 2027-01-31T00:00:00Z",
                           &value[1], &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_word(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_str_t  *word = field;

    ngx_str_t  *value;

    if (word->data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "is empty";
    }

    *word = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_number(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_int_t  *number = field;
    ngx_int_t  *range = arg;

    ngx_int_t   n;
    ngx_str_t  *value, s;
    ngx_uint_t  minus;

    if (*number != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;
    s = value[1];

    minus = (s.len > 1 && s.data[0] == '-' && range[0] < 0);

    if (minus) {
        s.data++;
        s.len--;
    }

    n = ngx_atoi(s.data, s.len);

    if (n != NGX_ERROR && minus) {
        n = -n;
    }

    if ((n == NGX_ERROR && !minus) || n < range[0] || n > range[1]) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\", it must be a number "
                           "from %i to %i", &value[1], range[0], range[1]);
        return NGX_CONF_ERROR;
    }

    *number = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_switch(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_flag_t  *flag = field;

    ngx_str_t  *value;

    if (*flag != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ncr_str_caseeq(ncr(&value[1]), "on")) {
        *flag = 1;
        return NGX_CONF_OK;
    }

    if (ncr_str_caseeq(ncr(&value[1]), "off")) {
        *flag = 0;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\" in \"%V\", "
                       "it must be \"on\" or \"off\"", &value[1], &value[0]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_claude_relay_set_credential(ngx_conf_t *cf, void *field, void *arg)
{
    ncr_credential_e  *credential = field;

    ngx_str_t                        *value;
    ngx_conf_enum_t                  *e;
    ngx_http_claude_relay_account_t  *a;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field - ngx_http_claude_relay_offset(credential));

    if (a->credential_set) {
        return "is duplicate";
    }

    a->credential_set = 1;

    value = cf->args->elts;

    for (e = ngx_http_claude_relay_credentials; e->name.len; e++) {
        if (ncr_str_caseeq(ncr(&value[1]), (char *) e->name.data)) {
            *credential = e->value;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\", it must be "
                       "\"auto\", \"x-api-key\" or \"bearer\"", &value[1]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_claude_relay_set_globs(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_array_t  **globs = field;

    ngx_str_t   *value, *glob;
    ngx_uint_t   i;

    if (*globs == NULL) {
        *globs = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
        if (*globs == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return "has an empty pattern";
        }

        glob = ngx_array_push(*globs);
        if (glob == NULL) {
            return NGX_CONF_ERROR;
        }

        *glob = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_type(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_uint_t  *dedicated = field;

    ngx_str_t  *value;

    if (*dedicated != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ncr_str_caseeq(ncr(&value[1]), "shared")) {
        *dedicated = 0;
        return NGX_CONF_OK;
    }

    if (ncr_str_caseeq(ncr(&value[1]), "dedicated")) {
        *dedicated = 1;
        return NGX_CONF_OK;
    }

    return "must be \"shared\" or \"dedicated\"";
}


static char *
ngx_http_claude_relay_set_groups(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_str_t                        *value;
    ngx_uint_t                        i;
    const char                       *wrong;
    ngx_http_claude_relay_account_t  *a;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field - ngx_http_claude_relay_offset(groups));

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        wrong = ngx_http_claude_relay_account_group_add(cf->pool, a,
                                                        &value[i]);
        if (wrong) {
            return (char *) wrong;
        }
    }

    return NGX_CONF_OK;
}


/* may be repeated */

static char *
ngx_http_claude_relay_set_account_limit(ngx_conf_t *cf, void *field,
    void *arg)
{
    ncr_str_t                         text;
    const char                       *wrong;
    ngx_http_claude_relay_account_t  *a;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field - ngx_http_claude_relay_offset(limits));

    if (ngx_http_claude_relay_limit_args(cf, 1, &text, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    wrong = ngx_http_claude_relay_account_limit_add(cf->pool, a, &text);

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid limit \"%V\" in account \"%V\": %s",
                           (ngx_str_t *) &text, &a->name, wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_set_model_map(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_array_t  **map = field;

    ngx_str_t   *value;
    const char  *wrong;

    if (cf->args->nelts != 3) {
        return "must have a pattern and a name";
    }

    value = cf->args->elts;

    wrong = ngx_http_claude_relay_map_add(cf->pool, map, &value[1],
                                          &value[2]);
    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" %s", &value[0],
                           wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* on|off [gap=time] [wait=time] */

static char *
ngx_http_claude_relay_set_turns(ngx_conf_t *cf, void *field, void *arg)
{
    ngx_http_claude_relay_turns_t  *turns = field;

    ngx_int_t    ms;
    ngx_str_t   *value, s;
    ngx_uint_t   i;
    ngx_msec_t  *time;

    if (turns->set) {
        return "is duplicate";
    }

    turns->set = 1;

    value = cf->args->elts;

    if (ncr_str_caseeq(ncr(&value[1]), "on")) {
        turns->on = 1;

    } else if (!ncr_str_caseeq(ncr(&value[1]), "off")) {
        return "must be \"on\" or \"off\"";
    }

    for (i = 2; i < cf->args->nelts; i++) {

        s = value[i];

        if (ncr_str_prefix(ncr(&s), "gap=")) {
            time = &turns->gap;
            s.data += sizeof("gap=") - 1;
            s.len -= sizeof("gap=") - 1;

        } else if (ncr_str_prefix(ncr(&s), "wait=")) {
            time = &turns->wait;
            s.data += sizeof("wait=") - 1;
            s.len -= sizeof("wait=") - 1;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        ms = ngx_parse_time(&s, 0);

        if (ms == NGX_ERROR || ms > NGX_HTTP_CLAUDE_RELAY_TURN_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid time in \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        *time = (ngx_msec_t) ms;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_account_set_proxy(ngx_conf_t *cf, void *field,
    void *arg)
{
    ngx_http_claude_relay_proxy_t  **proxy = field;

    ngx_str_t                        *value;
    ngx_http_claude_relay_account_t  *a;

    if (*proxy != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field - ngx_http_claude_relay_offset(proxy));

    return ngx_http_claude_relay_proxy_value(cf, &value[1], proxy, &a->name);
}


/* env:NAME, file:PATH or the secret itself, NUL terminated; never shown */

char *
ngx_http_claude_relay_secret(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *secret)
{
    char    *rv;
    size_t   n;

    rv = ngx_http_claude_relay_secret_text(cf, value, secret);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (n = 0; n < secret->len; n++) {
        if (secret->data[n] <= ' ' || secret->data[n] >= 0x7f) {
            return "has a secret with blanks or unprintable characters";
        }
    }

    return NGX_CONF_OK;
}


/* the same, of any characters */

char *
ngx_http_claude_relay_secret_text(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *secret)
{
    char       *env;
    ssize_t     n;
    ngx_str_t   name;
    ngx_file_t  file;
    u_char      buf[8192];

    if (ncr_str_prefix(ncr(value), "env:")) {

        env = getenv((char *) value->data + 4);

        if (env == NULL || *env == '\0') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "environment variable \"%s\" is not set",
                               value->data + 4);
            return NGX_CONF_ERROR;
        }

        name.data = (u_char *) env;
        name.len = ngx_strlen(env);

    } else if (ncr_str_prefix(ncr(value), "file:")) {

        ngx_memzero(&file, sizeof(ngx_file_t));

        file.name.data = value->data + 5;
        file.name.len = value->len - 5;
        file.log = cf->log;

        if (ngx_conf_full_name(cf->cycle, &file.name, 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        file.fd = ngx_open_file(file.name.data, NGX_FILE_RDONLY,
                                NGX_FILE_OPEN, 0);

        if (file.fd == NGX_INVALID_FILE) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               ngx_open_file_n " \"%V\" failed", &file.name);
            return NGX_CONF_ERROR;
        }

        n = ngx_read_file(&file, buf, sizeof(buf), 0);

        (void) ngx_close_file(file.fd);

        if (n == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == '\r'
                         || buf[n - 1] == ' '))
        {
            n--;
        }

        name.data = buf;
        name.len = n;

    } else {
        name = *value;
    }

    if (name.len == 0 || name.len >= sizeof(buf)) {
        return "has no usable secret";
    }

    secret->len = name.len;
    secret->data = ngx_pnalloc(cf->pool, name.len + 1);

    if (secret->data) {
        (void) ngx_cpystrn(secret->data, name.data, name.len + 1);
    }

    ngx_explicit_memzero(buf, sizeof(buf));

    return secret->data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* tokens of a claude_relay_store are looked for when all is parsed */

static char *
ngx_http_claude_relay_account_check(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a)
{
    u_char      error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_uint_t  token;

    token = (a->proof.data == (u_char *) ngx_http_claude_relay_access_token);

    if (a->platform && a->platform->key && a->refresh_token.len == 0
        && a->expires == 0)
    {
        token = a->platform->token;     /* a key may stand in its place */
    }

    if (a->platform
        && ((a->secret.len && token != a->platform->token)
            || (!a->platform->token && (a->refresh_token.len || a->expires))))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "platform \"%V\" of account \"%V\" takes \"%s\"",
                           (ngx_str_t *) &a->platform->name, &a->name,
                           a->platform->token
                               ? ngx_http_claude_relay_access_token
                               : ngx_http_claude_relay_api_key);
        return NGX_CONF_ERROR;
    }

    ngx_str_null(&a->proof);

    /* "claude_relay_store" may stand below; see roster.c for what is then */

    a->token = (a->platform && a->platform->token
                && (a->secret.len == 0 || a->refresh_token.len || a->expires));

    if (ngx_http_claude_relay_account_finish(cf->pool, a, error)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", error);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
