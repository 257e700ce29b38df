
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An account, wherever it was written: its fields are checked, and what
 * follows from them is made.
 */


#include "ngx_http_claude_relay.h"


static uint64_t ngx_http_claude_relay_account_owner(
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_account_kind(
    ngx_http_claude_relay_account_t *a, u_char *error);
static ngx_int_t ngx_http_claude_relay_account_params(
    ngx_http_claude_relay_account_t *a, u_char *error);
static ngx_int_t ngx_http_claude_relay_account_base(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_account_target(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, u_char *error);
static ngx_int_t ngx_http_claude_relay_account_proof(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_account_lines(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_addresses(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *t, ngx_str_t *host, ngx_uint_t resolve,
    ngx_str_t *warning);


void
ngx_http_claude_relay_account_init(ngx_http_claude_relay_account_t *a)
{
    ngx_memzero(a, sizeof(ngx_http_claude_relay_account_t));

    a->priority = NGX_CONF_UNSET;
    a->weight = NGX_CONF_UNSET;
    a->max_concurrency = NGX_CONF_UNSET;
    a->enabled = NGX_CONF_UNSET;
    a->schedulable = NGX_CONF_UNSET;
    a->sanitize = NGX_CONF_UNSET;
    a->dedicated = NGX_CONF_UNSET_UINT;
    a->protect = NGX_CONF_UNSET;
    a->proxy = NGX_CONF_UNSET_PTR;
    a->turns.gap = 200;
    a->turns.wait = 60000;
}


ngx_int_t
ngx_http_claude_relay_account_finish(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, u_char *error)
{
    if (ngx_http_claude_relay_account_kind(a, error) != NGX_OK
        || ngx_http_claude_relay_account_params(a, error) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (a->pool.data == NULL) {
        ngx_str_set(&a->pool, "default");
    }

    ngx_conf_init_value(a->priority, 100);
    ngx_conf_init_value(a->weight, 1);
    ngx_conf_init_value(a->max_concurrency, 0);
    ngx_conf_init_value(a->enabled, 1);
    ngx_conf_init_value(a->schedulable, 1);
    ngx_conf_init_value(a->sanitize, 0);
    ngx_conf_init_uint_value(a->dedicated, 0);
    ngx_conf_init_value(a->protect, 1);

    a->owner = ngx_http_claude_relay_account_owner(a);

    if (ngx_http_claude_relay_account_target(pool, a, error) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (a->token) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_account_proof(pool, a) != NGX_OK) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no memory for account \"%V\"%Z", &a->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what fits into a path, a log and a zone */

ngx_uint_t
ngx_http_claude_relay_valid_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len >= NGX_HTTP_CLAUDE_RELAY_NAME_LEN
        || ncr_str_eq(ncr(name), ".") || ncr_str_eq(ncr(name), ".."))
    {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-')
        {
            return 0;
        }
    }

    return 1;
}


/* NULL, or what is wrong with it; the name is copied */

const char *
ngx_http_claude_relay_account_group_add(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ngx_str_t *name)
{
    ngx_str_t  *group;

    if (!ngx_http_claude_relay_valid_name(name)
        || name->len >= NGX_HTTP_CLAUDE_RELAY_NAME_LEN
                        - (sizeof(NGX_HTTP_CLAUDE_RELAY_GROUP) - 1))
    {
        return "must have names of 1 to 57 of the characters "
               "A-Z a-z 0-9 . _ -";
    }

    if (ngx_http_claude_relay_in_group(a, name)) {
        return "has a name twice";
    }

    if (a->groups == NULL) {
        a->groups = ngx_array_create(pool, 2, sizeof(ngx_str_t));
        if (a->groups == NULL) {
            return "found no memory";
        }
    }

    if (a->groups->nelts == NGX_HTTP_CLAUDE_RELAY_GROUPS) {
        return "has more than 16 names";
    }

    group = ngx_array_push(a->groups);
    if (group == NULL) {
        return "found no memory";
    }

    group->len = name->len;
    group->data = ngx_pstrdup(pool, name);

    return group->data ? NULL : "found no memory";
}


ngx_uint_t
ngx_http_claude_relay_in_group(ngx_http_claude_relay_account_t *a,
    ngx_str_t *name)
{
    ngx_str_t   *group;
    ngx_uint_t   i;

    if (a->groups == NULL) {
        return 0;
    }

    group = a->groups->elts;

    for (i = 0; i < a->groups->nelts; i++) {
        if (group[i].len == name->len
            && ngx_memcmp(group[i].data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Whose counters these are: the same after a restart, too.  Ids of the store
 * are small, so a name of nginx.conf is never one of them.
 */

static uint64_t
ngx_http_claude_relay_account_owner(ngx_http_claude_relay_account_t *a)
{
    size_t    n;
    uint64_t  hash;

    if (a->own) {
        return a->id;
    }

    hash = 0xcbf29ce484222325;                  /* FNV-1a */

    for (n = 0; n < a->name.len; n++) {
        hash = (hash ^ a->name.data[n]) * 0x100000001b3;
    }

    return hash | (uint64_t) 1 << 63;
}


/* has it the credential that its platform takes? */

static ngx_int_t
ngx_http_claude_relay_account_kind(ngx_http_claude_relay_account_t *a,
    u_char *error)
{
    const char  *kind;

    if (a->platform == NULL) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no \"platform\" in account \"%V\"%Z", &a->name);
        return NGX_ERROR;
    }

    kind = a->platform->token ? "access_token" : "api_key";

    if (a->secret.len == 0 && !a->token) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no \"%s\" in account \"%V\"%Z", kind, &a->name);
        return NGX_ERROR;
    }

    if (a->token && !a->platform->token) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "platform \"%V\" of account \"%V\" takes "
                            "\"%s\"%Z", (ngx_str_t *) &a->platform->name,
                            &a->name, kind);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ncr_str_t *
ngx_http_claude_relay_account_param(ngx_http_claude_relay_account_t *a,
    ngx_str_t *name)
{
    ngx_uint_t          i;
    const ncr_param_t  *p;

    if (a->platform == NULL || a->platform->params == NULL) {
        return NULL;
    }

    p = a->platform->params;

    for (i = 0; p[i].name.len; i++) {
        if (p[i].name.len == name->len
            && ngx_memcmp(p[i].name.data, name->data, name->len) == 0)
        {
            return &a->params[i];
        }
    }

    return NULL;
}


const char *
ngx_http_claude_relay_account_set_param(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ncr_str_t *param, ngx_str_t *value)
{
    size_t              n;
    const char         *wrong;
    const ncr_param_t  *p;

    p = &a->platform->params[param - a->params];

    /* they become parts of paths and headers */

    for (n = 0; n < value->len; n++) {
        if (value->data[n] < ' ' || value->data[n] == 0x7f) {
            return "has control characters";
        }
    }

    if (value->len > 1024) {
        return "is too long";
    }

    wrong = (p->check && value->len) ? p->check(ncr(value)) : NULL;

    if (wrong) {
        return wrong;
    }

    param->len = value->len;
    param->data = ngx_pstrdup(pool, value);

    return param->data ? NULL : "found no memory";
}


/* those that were not written have their defaults */

static ngx_int_t
ngx_http_claude_relay_account_params(ngx_http_claude_relay_account_t *a,
    u_char *error)
{
    ngx_uint_t          i;
    const ncr_param_t  *p;

    p = a->platform->params;

    for (i = 0; p && p[i].name.len; i++) {

        if (a->params[i].data == NULL) {
            a->params[i] = p[i].value;
        }

        if (p[i].required && a->params[i].len == 0) {
            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "no \"%V\" in account \"%V\"%Z",
                                (ngx_str_t *) &p[i].name, &a->name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the header line that shows the credential (anthropic.md K.2) */

static ngx_int_t
ngx_http_claude_relay_account_proof(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a)
{
    u_char            *p;
    ngx_str_t          name;
    ncr_credential_e   credential;

    if (a->platform->proof && a->credential == NCR_CREDENTIAL_AUTO) {
        return ngx_http_claude_relay_account_lines(pool, a);
    }

    credential = a->credential;

    if (credential == NCR_CREDENTIAL_AUTO) {
        credential = a->platform->credential(ncr(&a->secret));
    }

    switch (credential) {

    case NCR_CREDENTIAL_BEARER:
        ngx_str_set(&name, "Authorization: Bearer ");
        break;

    case NCR_CREDENTIAL_API_KEY:
        ngx_str_set(&name, "api-key: ");
        break;

    case NCR_CREDENTIAL_GOOGLE:
        ngx_str_set(&name, "x-goog-api-key: ");
        break;

    default:
        ngx_str_set(&name, "x-api-key: ");
        break;
    }

    a->proof.len = name.len + a->secret.len + 2;

    a->proof.data = ngx_pnalloc(pool, a->proof.len);
    if (a->proof.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(a->proof.data, name.data, name.len);
    p = ngx_cpymem(p, a->secret.data, a->secret.len);
    *p++ = CR; *p++ = LF;

    return NGX_OK;
}


/* of a platform that has a way of its own */

static ngx_int_t
ngx_http_claude_relay_account_lines(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a)
{
    size_t     size;
    ncr_out_t  out;
    ncr_str_t  none;

    size = NGX_HTTP_CLAUDE_RELAY_PROOF + a->secret.len;

    a->proof.data = ngx_pnalloc(pool, size);
    if (a->proof.data == NULL) {
        return NGX_ERROR;
    }

    ncr_str_set(&none, "");

    ncr_out_init(&out, a->proof.data, size);
    a->platform->proof(&out, ncr(&a->secret), a->params, &none);

    a->proof.len = out.last - out.start;

    return out.overflow ? NGX_ERROR : NGX_OK;
}


/* a platform's own, by its fields if it has one for them */

static ngx_int_t
ngx_http_claude_relay_account_base(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a)
{
    u_char     buf[1024];
    ngx_str_t  base;

    if (a->platform->base == NULL) {
        a->base_url = ngx_http_claude_relay_str(&a->platform->base_url);
        return NGX_OK;
    }

    *ncr(&base) = a->platform->base(a->params, buf, sizeof(buf));

    a->base_url.len = base.len;
    a->base_url.data = base.len ? ngx_pstrdup(pool, &base)
                                : (u_char *) "";

    return a->base_url.data ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_account_target(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, u_char *error)
{
    ngx_str_t    shown;
    const char  *wrong;

    if (a->base_url.data == NULL
        && ngx_http_claude_relay_account_base(pool, a) != NGX_OK)
    {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no memory for account \"%V\"%Z", &a->name);
        return NGX_ERROR;
    }

    if (a->base_url.len == 0) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no \"base_url\" in account \"%V\"%Z", &a->name);
        return NGX_ERROR;
    }

    wrong = ncr_url_parse(ncr(&a->base_url), &a->url);

    if (wrong == NULL && a->url.model && !a->platform->templates) {
        wrong = "this platform takes no template";
    }

    if (wrong) {
        shown = a->base_url;

        if (ngx_strlchr(shown.data, shown.data + shown.len, '@')) {

            /* it has a password, perhaps */

            ngx_str_set(&shown, "...@...");
        }

        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "invalid base_url \"%V\" in account \"%V\": %s%Z",
                            &shown, &a->name, wrong);
        return NGX_ERROR;
    }

    a->host.data = ngx_pnalloc(pool, a->url.host.len + 1 + NGX_INT_T_LEN);

    if (a->host.data == NULL
        || ngx_http_claude_relay_target_make(pool, &a->target, &a->url)
           != NGX_OK)
    {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "no memory for account \"%V\"%Z", &a->name);
        return NGX_ERROR;
    }

    a->target.name = a->name;

    a->host.len = a->url.default_port
                  ? (size_t) (ngx_sprintf(a->host.data, "%V",
                                          (ngx_str_t *) &a->url.host)
                              - a->host.data)
                  : (size_t) (ngx_sprintf(a->host.data, "%V:%ui",
                                          (ngx_str_t *) &a->url.host,
                                          a->url.port)
                              - a->host.data);

    return NGX_OK;
}


/* where a URL leads; its addresses are another matter */

ngx_int_t
ngx_http_claude_relay_target_make(ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *t, ncr_url_t *url)
{
    t->tls = url->tls;
    t->port = (in_port_t) url->port;
    t->host = ngx_http_claude_relay_str(&url->host);

    if (t->host.data[0] == '[') {
        t->host.data++;
        t->host.len -= 2;
        t->literal = 1;
    }

    t->sni.len = t->host.len;
    t->sni.data = ngx_pnalloc(pool, t->host.len + 1);

    if (t->sni.data == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(t->sni.data, t->host.data, t->host.len);
    t->sni.data[t->sni.len] = '\0';

    if (ngx_inet_addr(t->host.data, t->host.len) != INADDR_NONE) {
        t->literal = 1;
    }

    return ngx_http_claude_relay_target_init(pool, t);
}


/*
 * The way to a target, when all of the configuration is known: through a
 * proxy, which then looks up its name, or to addresses.  warning: why none is
 * known, which is no failure: they are looked up when they are needed.
 */

ngx_int_t
ngx_http_claude_relay_target_way(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_pool_t *pool, ngx_http_claude_relay_target_t *t, ncr_url_t *url,
    ngx_http_claude_relay_proxy_t *proxy, ngx_uint_t resolve,
    ngx_str_t *warning)
{
    const char  *error;

    ngx_str_null(warning);

    t->proxy = proxy;

    if (proxy == NULL) {
        return ngx_http_claude_relay_addresses(rmcf, pool, t,
                                               (ngx_str_t *) &url->host,
                                               resolve, warning);
    }

    if (resolve && !proxy->asked) {

        proxy->asked = 1;

        if (ngx_http_claude_relay_proxy_resolve(pool, proxy, &error)
            != NGX_OK)
        {
            warning->data = (u_char *) error;
            warning->len = ngx_strlen(error);
        }
    }

    return NGX_OK;
}


/* many accounts have one host: it is looked up once in a configuration */

static ngx_int_t
ngx_http_claude_relay_addresses(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_pool_t *pool, ngx_http_claude_relay_target_t *t, ngx_str_t *host,
    ngx_uint_t resolve, ngx_str_t *warning)
{
    ngx_url_t                      u;
    ngx_uint_t                     i;
    ngx_http_claude_relay_host_t  *known;

    known = rmcf->hosts.elts;

    for (i = 0; i < rmcf->hosts.nelts; i++) {

        if (known[i].port == t->port
            && known[i].name.len == host->len
            && ngx_strncasecmp(known[i].name.data, host->data, host->len) == 0)
        {
            t->addrs = known[i].addrs;
            t->naddrs = known[i].naddrs;
            *warning = known[i].warning;
            return NGX_OK;
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *host;
    u.default_port = t->port;
    u.no_resolve = !resolve && !t->literal;

    /* a configuration's addresses live as long as it does */

    if (ngx_parse_url(resolve ? rmcf->hosts.pool : pool, &u) != NGX_OK) {
        u.naddrs = 0;
        warning->data = (u_char *) (u.err ? u.err
                                          : "could not parse the host");
        warning->len = ngx_strlen(warning->data);
    }

    t->addrs = u.addrs;
    t->naddrs = u.naddrs;

    if (!resolve) {
        return NGX_OK;
    }

    known = ngx_array_push(&rmcf->hosts);
    if (known == NULL) {
        return NGX_ERROR;
    }

    known->name.len = host->len;
    known->name.data = ngx_pstrdup(rmcf->hosts.pool, host);
    known->port = t->port;
    known->addrs = u.addrs;
    known->naddrs = u.naddrs;
    known->warning = *warning;

    return known->name.data ? NGX_OK : NGX_ERROR;
}


/*
 * Seconds or milliseconds since the epoch, or RFC 3339; milliseconds are
 * above 10^11 (anthropic.md A.4).
 */

ngx_int_t
ngx_http_claude_relay_instant(ngx_str_t *text, ncr_msec_t *t)
{
    int64_t     n;
    ncr_msec_t  parsed;

    if (ncr_str_int(ncr(text), &n) == NCR_OK) {

        if (n <= 0 || n > INT64_MAX / 1000) {
            return NGX_ERROR;
        }

        *t = (n > 100000000000LL) ? n : n * 1000;

        return NGX_OK;
    }

    if (ncr_str_time(ncr(text), &parsed) != NCR_OK || parsed <= 0) {
        return NGX_ERROR;
    }

    *t = parsed;

    return NGX_OK;
}


ngx_uint_t
ngx_http_claude_relay_serves(ngx_http_claude_relay_account_t *a, ncr_op_e op,
    ngx_str_t *model)
{
    return a->enabled && ngx_http_claude_relay_offers(a, op, model);
}


/* would serve it, were it enabled */

ngx_uint_t
ngx_http_claude_relay_offers(ngx_http_claude_relay_account_t *a, ncr_op_e op,
    ngx_str_t *model)
{
    ngx_str_t   *glob;
    ngx_uint_t   i;

    if (!(a->platform->ops & ncr_op_bit(op))
        || (op == NCR_OP_SOCKET && !ngx_http_claude_relay_socket_able(a)))
    {
        return 0;
    }

    if (model->len == 0) {
        return 1;
    }

    if (a->models == NULL && a->model_map == NULL) {

        /* what an operator writes counts more than what is known of a plan */

        return ncr_plan_serves(a->plan, ncr(model));
    }

    if (ngx_http_claude_relay_mapped(a->model_map, model)) {
        return 1;
    }

    if (a->models == NULL) {
        return 0;
    }

    glob = a->models->elts;

    for (i = 0; i < a->models->nelts; i++) {
        if (ncr_str_glob(ncr(&glob[i]), ncr(model))) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_claude_relay_open_to(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a)
{
    return !a->dedicated
           || a == ctx->preferred
           || (ctx->grouped.len
               && ngx_http_claude_relay_in_group(a, &ctx->grouped));
}
