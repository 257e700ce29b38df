
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The directive "claude_relay_redis". */


#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_accounts.h"
#include "ncr_redis.h"
#include "ncr_seal.h"


#define NGX_HTTP_CLAUDE_RELAY_REDIS_PORT  6379


typedef struct {
    const char                        *name;
    const char                      *(*set)(ngx_conf_t *cf,
                                  ngx_http_claude_relay_redis_conf_t *conf,
                                  ngx_str_t *value, size_t offset);
    size_t                             offset;
} ngx_http_claude_relay_redis_param_t;


static const char *ngx_http_claude_relay_redis_server(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value);
static const char *ngx_http_claude_relay_redis_param(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *name,
    ngx_str_t *value);
static const char *ngx_http_claude_relay_redis_set_str(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_secret(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_file(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_number(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_time(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_away(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_set_verify(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value,
    size_t offset);
static const char *ngx_http_claude_relay_redis_finish(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf);
static const char *ngx_http_claude_relay_redis_node(ngx_str_t *node);
static const char *ngx_http_claude_relay_redis_places(
    ngx_http_claude_relay_redis_conf_t *conf);
static ngx_int_t ngx_http_claude_relay_redis_ssl(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_redis_derive(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *key,
    const char *what, u_char *digest);


#define ngx_http_claude_relay_redis_at(field)                                 \
    offsetof(ngx_http_claude_relay_redis_conf_t, field)


static ngx_http_claude_relay_redis_param_t
                                       ngx_http_claude_relay_redis_params[] = {

    { "user", ngx_http_claude_relay_redis_set_str,
      ngx_http_claude_relay_redis_at(user) },
    { "password", ngx_http_claude_relay_redis_set_secret,
      ngx_http_claude_relay_redis_at(password) },
    { "db", ngx_http_claude_relay_redis_set_number,
      ngx_http_claude_relay_redis_at(db) },
    { "prefix", ngx_http_claude_relay_redis_set_str,
      ngx_http_claude_relay_redis_at(prefix) },
    { "node", ngx_http_claude_relay_redis_set_str,
      ngx_http_claude_relay_redis_at(node) },
    { "nodes", ngx_http_claude_relay_redis_set_number,
      ngx_http_claude_relay_redis_at(nodes) },
    { "connect_timeout", ngx_http_claude_relay_redis_set_time,
      ngx_http_claude_relay_redis_at(connect_timeout) },
    { "timeout", ngx_http_claude_relay_redis_set_time,
      ngx_http_claude_relay_redis_at(timeout) },
    { "command_timeout", ngx_http_claude_relay_redis_set_time,
      ngx_http_claude_relay_redis_at(command_timeout) },
    { "lease", ngx_http_claude_relay_redis_set_time,
      ngx_http_claude_relay_redis_at(lease) },
    { "sentinel", ngx_http_claude_relay_redis_set_str,
      ngx_http_claude_relay_redis_at(sentinel) },
    { "sentinel_user", ngx_http_claude_relay_redis_set_str,
      ngx_http_claude_relay_redis_at(sentinel_user) },
    { "sentinel_password", ngx_http_claude_relay_redis_set_secret,
      ngx_http_claude_relay_redis_at(sentinel_password) },
    { "trusted_certificate", ngx_http_claude_relay_redis_set_file,
      ngx_http_claude_relay_redis_at(trusted) },
    { "verify", ngx_http_claude_relay_redis_set_verify, 0 },
    { "secret", ngx_http_claude_relay_redis_set_file,
      ngx_http_claude_relay_redis_at(secret_file) },
    { "away_refresh", ngx_http_claude_relay_redis_set_away, 0 },

    { NULL, NULL, 0 }
};


char *
ngx_http_claude_relay_set_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    u_char                              *p, *last;
    ngx_str_t                           *value, name, s;
    ngx_uint_t                           i, j;
    const char                          *wrong;
    ngx_http_claude_relay_redis_conf_t  *rc;

    if (rmcf->redis) {
        return "is duplicate";
    }

    rc = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_redis_conf_t));

    if (rc == NULL
        || ngx_array_init(&rc->servers, cf->pool, 2,
                          sizeof(ngx_http_claude_relay_target_t *))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rc->nodes = 1;
    rc->connect_timeout = 1000;
    rc->timeout = 50;
    rc->command_timeout = 1000;
    rc->lease = 10000;
    rc->ssl_verify = NGX_CONF_UNSET;
    rc->away = NGX_HTTP_CLAUDE_RELAY_AWAY_HOLDER;

    ngx_str_set(&rc->prefix, "{claude-relay}:");

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        last = value[i].data + value[i].len;
        p = ngx_strlchr(value[i].data, last, '=');

        if (ncr_str_eq(ncr(&value[i]), "cluster")) {
            rc->cluster = 1;
            wrong = NULL;

        } else if (ncr_str_eq(ncr(&value[i]), "tls")) {
            rc->tls = 1;
            wrong = NULL;

        } else if (p == NULL || ncr_str_prefix(ncr(&value[i]), "unix:")) {
            wrong = ngx_http_claude_relay_redis_server(cf, rc, &value[i]);

        } else {
            name.data = value[i].data;
            name.len = p - name.data;

            s.data = p + 1;
            s.len = last - s.data;

            wrong = ngx_http_claude_relay_redis_param(cf, rc, &name, &s);

            for (j = 1; j < i; j++) {
                if (value[j].len > name.len
                    && ngx_strncmp(value[j].data, name.data, name.len + 1)
                       == 0)
                {
                    wrong = "is duplicate";
                }
            }
        }

        if (wrong == NGX_CONF_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (wrong) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameter \"%V\" %s", &value[i], wrong);
            return NGX_CONF_ERROR;
        }
    }

    wrong = ngx_http_claude_relay_redis_finish(cf, rc);

    if (wrong) {
        return (char *) wrong;
    }

    rmcf->redis = rc;

    return NGX_CONF_OK;
}


static const char *
ngx_http_claude_relay_redis_server(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value)
{
    ngx_url_t                         u;
    ngx_http_claude_relay_target_t   *t, **server;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *value;
    u.default_port = NGX_HTTP_CLAUDE_RELAY_REDIS_PORT;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return u.err ? u.err : "is no address";
    }

    if (u.uri.len) {
        return "is no address of host and port, and no parameter";
    }

    t = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_target_t));
    server = ngx_array_push(&conf->servers);

    if (t == NULL || server == NULL) {
        return NGX_CONF_ERROR;
    }

    *server = t;

    ngx_queue_init(&t->idle);
    ngx_str_set(&t->name, "redis");

    t->addrs = u.addrs;
    t->naddrs = u.naddrs;
    t->literal = (u.naddrs != 0);

    /* an IPv6 address, without its brackets */

    if (u.host.len > 2 && u.host.data[0] == '[') {
        u.host.data++;
        u.host.len -= 2;
    }

    if (u.family == AF_UNIX) {
        t->host = *value;

    } else if (!ncr_redis_host(ncr(&u.host))) {
        return "has no name of a host";

    } else {
        t->host = u.host;
        t->port = u.port;
    }

    if (t->host.len >= NCR_REDIS_HOST) {
        return "is too long";
    }

    t->sni.len = t->host.len;
    t->sni.data = ngx_pnalloc(cf->pool, t->sni.len + 1);

    if (t->sni.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(t->sni.data, t->host.data, t->host.len + 1);

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_param(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_http_claude_relay_redis_param_t  *param;

    if (value->len == 0) {
        return "has no value";
    }

    for (param = ngx_http_claude_relay_redis_params; param->name; param++) {
        if (ncr_str_eq(ncr(name), param->name)) {
            return param->set(cf, conf, value, param->offset);
        }
    }

    return "is none";
}


/* visible characters; these are parts of keys, or of commands */

static const char *
ngx_http_claude_relay_redis_set_str(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    size_t  i;

    if (value->len > 64) {
        return "must have 64 characters at most";
    }

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] >= 0x7f) {
            return "must be of visible ASCII characters";
        }
    }

    *(ngx_str_t *) (void *) ((u_char *) conf + offset) = *value;

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_set_secret(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    ngx_str_t  *secret;

    if (!ncr_str_prefix(ncr(value), "env:")
        && !ncr_str_prefix(ncr(value), "file:"))
    {
        /* it may be one: it is not shown */

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"claude_relay_redis\" takes passwords from "
                           "\"env:NAME\" or \"file:path\"");
        return NGX_CONF_ERROR;
    }

    secret = (ngx_str_t *) (void *) ((u_char *) conf + offset);

    if (ngx_http_claude_relay_secret_text(cf, value, secret) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return secret->len ? NULL : "has an empty password";
}


static const char *
ngx_http_claude_relay_redis_set_file(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    ngx_str_t  *file;

    file = (ngx_str_t *) (void *) ((u_char *) conf + offset);
    *file = *value;

    return (ngx_conf_full_name(cf->cycle, file, 1) == NGX_OK)
           ? NULL : NGX_CONF_ERROR;
}


static const char *
ngx_http_claude_relay_redis_set_number(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (offset == ngx_http_claude_relay_redis_at(nodes)) {

        if (n < 1 || n > 1000) {
            return "must be a number from 1 to 1000";
        }

    } else if (n < 0 || n > 65535) {
        return "must be a number from 0 to 65535";
    }

    *(ngx_uint_t *) (void *) ((u_char *) conf + offset) = n;

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_set_time(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    ngx_int_t  ms;

    ms = ngx_parse_time(value, 0);

    if (ms == NGX_ERROR) {
        return "has an invalid time";
    }

    if (offset == ngx_http_claude_relay_redis_at(lease)) {

        if (ms < 1000 || ms > 600000) {
            return "must be from 1s to 10m";
        }

    } else if (ms < 1 || ms > 60000) {
        return "must be from 1ms to 1m";
    }

    *(ngx_msec_t *) (void *) ((u_char *) conf + offset) = ms;

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_set_away(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    if (ncr_str_eq(ncr(value), "holder")) {
        conf->away = NGX_HTTP_CLAUDE_RELAY_AWAY_HOLDER;

    } else if (ncr_str_eq(ncr(value), "never")) {
        conf->away = NGX_HTTP_CLAUDE_RELAY_AWAY_NEVER;

    } else if (ncr_str_eq(ncr(value), "any")) {
        conf->away = NGX_HTTP_CLAUDE_RELAY_AWAY_ANY;

    } else {
        return "must be \"holder\", \"never\" or \"any\"";
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_set_verify(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf, ngx_str_t *value, size_t offset)
{
    if (ncr_str_eq(ncr(value), "on")) {
        conf->ssl_verify = 1;

    } else if (ncr_str_eq(ncr(value), "off")) {
        conf->ssl_verify = 0;

    } else {
        return "must be \"on\" or \"off\"";
    }

    return NULL;
}


/* what parameters mean to each other */

static const char *
ngx_http_claude_relay_redis_finish(ngx_conf_t *cf,
    ngx_http_claude_relay_redis_conf_t *conf)
{
    const char  *wrong;

    if (conf->servers.nelts == 0) {
        return "has no address of a server";
    }

    if (conf->user.len && conf->password.len == 0) {
        return "has \"user=\" without \"password=\"";
    }

    if (conf->sentinel_user.len && conf->sentinel_password.len == 0) {
        return "has \"sentinel_user=\" without \"sentinel_password=\"";
    }

    if (conf->sentinel_password.len && conf->sentinel.len == 0) {
        return "has \"sentinel_password=\" without \"sentinel=\"";
    }

    if (!conf->tls && (conf->trusted.len || conf->ssl_verify != NGX_CONF_UNSET))
    {
        return "has \"trusted_certificate=\" or \"verify=\" without \"tls\"";
    }

    ngx_conf_init_value(conf->ssl_verify, 1);

    if (conf->cluster && conf->sentinel.len) {
        return "takes \"cluster\" or \"sentinel=\", not both";
    }

    if (conf->cluster && conf->db) {
        return "has \"db=\", but a cluster has one database only";
    }

    if (conf->command_timeout < conf->timeout) {
        return "has a \"command_timeout=\" that is less than \"timeout=\"";
    }

    if (conf->node.len == 0) {
        conf->node = cf->cycle->hostname;
        wrong = ngx_http_claude_relay_redis_node(&conf->node);

        if (wrong) {
            return "needs \"node=\": the machine's name cannot be used";
        }
    }

    wrong = ngx_http_claude_relay_redis_node(&conf->node);

    return wrong ? wrong : ngx_http_claude_relay_redis_places(conf);
}


static const char *
ngx_http_claude_relay_redis_node(ngx_str_t *node)
{
    size_t  i;
    u_char  ch;

    if (node->len == 0
        || node->len >= NGX_HTTP_CLAUDE_RELAY_PEER_NAME)
    {
        return "has a \"node=\" that is too long, 63 characters are allowed";
    }

    for (i = 0; i < node->len; i++) {

        ch = node->data[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && !(ch >= '0' && ch <= '9')
            && ch != '.' && ch != '_' && ch != '-')
        {
            return "has a \"node=\" of other characters than letters, digits, "
                   "\".\", \"_\" and \"-\"";
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_redis_places(ngx_http_claude_relay_redis_conf_t *conf)
{
    u_char                           *open, *close, *last;
    ngx_uint_t                        i;
    ngx_http_claude_relay_target_t  **t;

    t = conf->servers.elts;

    for (i = 0; i < conf->servers.nelts; i++) {

        if (t[i]->port == 0 && (conf->tls || conf->cluster
                                || conf->sentinel.len))
        {
            return "has a unix socket, which is not for \"tls\", \"cluster\" "
                   "and \"sentinel=\"";
        }

        t[i]->tls = conf->tls;
    }

    if (!conf->cluster) {
        return NULL;
    }

    /* all keys are in one slot, that of what is between braces */

    last = conf->prefix.data + conf->prefix.len;
    open = ngx_strlchr(conf->prefix.data, last, '{');
    close = open ? ngx_strlchr(open, last, '}') : NULL;

    return (close && close > open + 1)
           ? NULL : "needs a \"prefix=\" with braces, such as \"{relay}:\", "
                    "for a cluster";
}


char *
ngx_http_claude_relay_redis_init_conf(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    u_char                               bytes[NCR_SEAL_KEY];
    ngx_str_t                            key, text;
    ngx_http_claude_relay_redis_conf_t  *conf;

    conf = rmcf->redis;

    if (conf == NULL || ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    if (rmcf->shm_zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_redis\" needs \"claude_relay_zone\"");
        return NGX_CONF_ERROR;
    }

    if (conf->tls && ngx_http_claude_relay_redis_ssl(cf, rmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_str_null(&text);

    if (conf->secret_file.len) {

        if (ngx_http_claude_relay_key_read(cf, "the fleet's key",
                                           &conf->secret_file, &text)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

    } else if (rmcf->store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_redis\" needs \"secret=\", or a "
                      "\"claude_relay_store\" whose key it can use");
        return NGX_CONF_ERROR;

    } else if (rmcf->store->key_file.len) {
        text = rmcf->store->key;

        if (text.len == 0) {

            /* a test, and it is not made yet */
            return NGX_CONF_OK;
        }
    }

    /* of a file only the key counts, not how it is written */

    if (text.len) {

        if (ncr_seal_key_parse(ncr(&text), bytes)) {
            return NGX_CONF_ERROR;
        }

        key.data = bytes;
        key.len = sizeof(bytes);

    } else {
        key = rmcf->store->passphrase;
    }

    ngx_http_claude_relay_redis_derive(rmcf, &key, "claude-relay fleet rows",
                                       conf->rows_key);
    ngx_http_claude_relay_redis_derive(rmcf, &key,
                                       "claude-relay fleet sessions",
                                       conf->sessions_key);
    ncr_seal_forget(bytes, sizeof(bytes));

    if (conf->secret_file.len) {
        ncr_seal_forget(text.data, text.len);
    }

    conf->keyed = 1;

    return NGX_CONF_OK;
}


static void
ngx_http_claude_relay_redis_derive(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *key, const char *what, u_char *digest)
{
    ncr_str_t  part;

    part.data = (u_char *) what;
    part.len = ngx_strlen(what);

    ncr_hmac_sha256(&rmcf->sha, ncr(key), &part, 1, digest);
}


/* trust in Redis is not trust in an upstream: a context of its own */

static ngx_int_t
ngx_http_claude_relay_redis_ssl(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                            i;
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_target_t      **t;
    ngx_http_claude_relay_redis_conf_t   *conf;

    conf = rmcf->redis;

    conf->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (conf->ssl == NULL) {
        return NGX_ERROR;
    }

    conf->ssl->log = cf->log;

    if (ngx_ssl_create(conf->ssl, rmcf->ssl_protocols, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(conf->ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = conf->ssl;

    t = conf->servers.elts;

    for (i = 0; i < conf->servers.nelts; i++) {
        t[i]->ssl = conf->ssl;
        t[i]->unverified = !conf->ssl_verify;
    }

    if (!conf->ssl_verify) {
        return NGX_OK;
    }

    if (conf->trusted.len == 0
        && ngx_http_claude_relay_ssl_bundle(&conf->trusted) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no bundle of trusted certificates was found, set "
                      "\"trusted_certificate=\" of \"claude_relay_redis\"");
        return NGX_ERROR;
    }

    return ngx_ssl_trusted_certificate(cf, conf->ssl, &conf->trusted,
                                       rmcf->ssl_verify_depth);
}
