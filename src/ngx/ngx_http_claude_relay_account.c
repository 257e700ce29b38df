
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The block "claude_relay_account name { ... }" of nginx.conf. */


#include "ngx_http_claude_relay.h"


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
static char *ngx_http_claude_relay_account_set_proxy(ngx_conf_t *cf,
    void *field, void *arg);
static char *ngx_http_claude_relay_account_check(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a);
static char *ngx_http_claude_relay_account_proof(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a);
static char *ngx_http_claude_relay_account_target(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_account_addrs(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a);
static ngx_http_claude_relay_pool_t *ngx_http_claude_relay_pool(
    ngx_conf_t *cf, ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name);


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

    { ngx_string("models"), ngx_http_claude_relay_set_globs,
      ngx_http_claude_relay_offset(models), NULL, 1 },

    { ngx_string("proxy"), ngx_http_claude_relay_account_set_proxy,
      ngx_http_claude_relay_offset(proxy), NULL, 0 },

    { ngx_string("enabled"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(enabled), NULL, 0 },

    { ngx_string("sanitize_errors"), ngx_http_claude_relay_set_switch,
      ngx_http_claude_relay_offset(sanitize), NULL, 0 },

    { ngx_null_string, NULL, 0, NULL, 0 }
};


static ngx_conf_enum_t  ngx_http_claude_relay_credentials[] = {
    { ngx_string("auto"), NCR_CREDENTIAL_AUTO },
    { ngx_string("x-api-key"), NCR_CREDENTIAL_X_API_KEY },
    { ngx_string("bearer"), NCR_CREDENTIAL_BEARER },
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

    a->name = value[1];
    a->index = i;
    a->priority = NGX_CONF_UNSET;
    a->weight = NGX_CONF_UNSET;
    a->max_concurrency = NGX_CONF_UNSET;
    a->enabled = NGX_CONF_UNSET;
    a->sanitize = NGX_CONF_UNSET;
    a->proxy = NGX_CONF_UNSET_PTR;
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

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in account \"%V\"",
                       &value[0], &a->name);

    return NGX_CONF_ERROR;
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


/* env:NAME, file:PATH or the secret itself; never shown in a message */

char *
ngx_http_claude_relay_secret(ngx_conf_t *cf, ngx_str_t *value,
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

    for (n = 0; n < (ssize_t) name.len; n++) {
        if (name.data[n] <= ' ' || name.data[n] >= 0x7f) {
            return "has a secret with blanks or unprintable characters";
        }
    }

    secret->len = name.len;
    secret->data = ngx_pstrdup(cf->pool, &name);

    ngx_explicit_memzero(buf, sizeof(buf));

    return secret->data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_claude_relay_account_check(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a)
{
    char        *kind;
    ngx_uint_t   token;

    if (a->platform == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"platform\" in account \"%V\"", &a->name);
        return NGX_CONF_ERROR;
    }

    kind = a->platform->token ? ngx_http_claude_relay_access_token
                              : ngx_http_claude_relay_api_key;

    if (a->secret.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no \"%s\" in account \"%V\"",
                           kind, &a->name);
        return NGX_CONF_ERROR;
    }

    token = (a->proof.data == (u_char *) ngx_http_claude_relay_access_token);

    if (token != a->platform->token) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "platform \"%V\" of account \"%V\" takes \"%s\"",
                           (ngx_str_t *) &a->platform->name, &a->name, kind);
        return NGX_CONF_ERROR;
    }

    if (a->pool.data == NULL) {
        ngx_str_set(&a->pool, "default");
    }

    ngx_conf_init_value(a->priority, 100);
    ngx_conf_init_value(a->weight, 1);
    ngx_conf_init_value(a->max_concurrency, 0);
    ngx_conf_init_value(a->enabled, 1);
    ngx_conf_init_value(a->sanitize, 0);

    if (ngx_http_claude_relay_account_target(cf, a) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_account_proof(cf, a);
}


/* the header line that shows the credential (anthropic.md K.2) */

static char *
ngx_http_claude_relay_account_proof(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a)
{
    u_char            *p;
    ngx_str_t          name;
    ncr_credential_e   credential;

    credential = a->credential;

    if (credential == NCR_CREDENTIAL_AUTO) {
        credential = a->platform->credential(ncr(&a->secret));
    }

    if (credential == NCR_CREDENTIAL_BEARER) {
        ngx_str_set(&name, "Authorization: Bearer ");

    } else {
        ngx_str_set(&name, "x-api-key: ");
    }

    a->proof.len = name.len + a->secret.len + 2;

    a->proof.data = ngx_pnalloc(cf->pool, a->proof.len);
    if (a->proof.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(a->proof.data, name.data, name.len);
    p = ngx_cpymem(p, a->secret.data, a->secret.len);
    *p++ = CR; *p++ = LF;

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_account_target(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a)
{
    const char                      *error;
    ngx_http_claude_relay_target_t  *t;

    if (a->base_url.data == NULL) {
        a->base_url = ngx_http_claude_relay_str(&a->platform->base_url);
    }

    if (a->base_url.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"base_url\" in account \"%V\"", &a->name);
        return NGX_CONF_ERROR;
    }

    error = ncr_url_parse(ncr(&a->base_url), &a->url);

    if (error) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid base_url \"%V\" in account \"%V\": %s",
                           &a->base_url, &a->name, error);
        return NGX_CONF_ERROR;
    }

    t = &a->target;

    t->name = a->name;
    t->tls = a->url.tls;
    t->port = (in_port_t) a->url.port;
    t->host = ngx_http_claude_relay_str(&a->url.host);

    if (t->host.data[0] == '[') {
        t->host.data++;
        t->host.len -= 2;
        t->literal = 1;
    }

    t->sni.len = t->host.len;
    t->sni.data = ngx_pnalloc(cf->pool, t->host.len + 1);
    a->host.data = ngx_pnalloc(cf->pool, a->url.host.len + 1 + NGX_INT_T_LEN);

    if (t->sni.data == NULL || a->host.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(t->sni.data, t->host.data, t->host.len);
    t->sni.data[t->sni.len] = '\0';

    a->host.len = a->url.default_port
                  ? (size_t) (ngx_sprintf(a->host.data, "%V",
                                          (ngx_str_t *) &a->url.host)
                              - a->host.data)
                  : (size_t) (ngx_sprintf(a->host.data, "%V:%ui",
                                          (ngx_str_t *) &a->url.host,
                                          a->url.port)
                              - a->host.data);

    if (ngx_inet_addr(t->host.data, t->host.len) != INADDR_NONE) {
        t->literal = 1;
    }

    return (ngx_http_claude_relay_target_init(cf, t) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/*
 * The addresses to connect to, as they are known now: the proxy's if there
 * is one, which then looks up the target's name.  One that is not known is a
 * warning: a resolver, if there is one, may know it later.
 */

static void
ngx_http_claude_relay_account_addrs(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a)
{
    ngx_url_t                        u;
    const char                      *error;
    ngx_http_claude_relay_proxy_t   *p;
    ngx_http_claude_relay_target_t  *t;

    t = &a->target;
    p = a->proxy;

    t->proxy = p;

    if (p) {

        if (!p->asked
            && ngx_http_claude_relay_proxy_resolve(cf->pool, p, &error)
               != NGX_OK)
        {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "%s in proxy \"%V\" of account \"%V\" in %s:%ui",
                          error, &p->name, &a->name, a->file, a->line);
        }

        p->asked = 1;

        return;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = ngx_http_claude_relay_str(&a->url.host);
    u.default_port = t->port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "%s in base_url \"%V\" of account \"%V\" in %s:%ui",
                      u.err ? u.err : "could not parse the host",
                      &a->base_url, &a->name, a->file, a->line);
        return;
    }

    t->addrs = u.addrs;
    t->naddrs = u.naddrs;
}


static ngx_http_claude_relay_pool_t *
ngx_http_claude_relay_pool(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *pool;

    pool = rmcf->pools.elts;

    for (i = 0; i < rmcf->pools.nelts; i++) {
        if (pool[i].name.len == name->len
            && ngx_strncmp(pool[i].name.data, name->data, name->len) == 0)
        {
            return &pool[i];
        }
    }

    pool = ngx_array_push(&rmcf->pools);
    if (pool == NULL) {
        return NULL;
    }

    pool->name = *name;

    if (ngx_array_init(&pool->accounts, cf->pool, 4,
                       sizeof(ngx_http_claude_relay_account_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return pool;
}


/* after parsing: the accounts fall into their pools */

char *
ngx_http_claude_relay_accounts_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_pool_t      *pool;
    ngx_http_claude_relay_account_t  **a, **slot;

    a = rmcf->accounts.elts;

    for (i = 0; i < rmcf->accounts.nelts; i++) {

        pool = ngx_http_claude_relay_pool(cf, rmcf, &a[i]->pool);
        if (pool == NULL) {
            return NGX_CONF_ERROR;
        }

        slot = ngx_array_push(&pool->accounts);
        if (slot == NULL) {
            return NGX_CONF_ERROR;
        }

        *slot = a[i];

        ngx_conf_init_ptr_value(a[i]->proxy, rmcf->proxy);
        ngx_http_claude_relay_account_addrs(cf, a[i]);
    }

    return NGX_CONF_OK;
}
