
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The servers that accounts log in at: the directive "claude_relay_oauth",
 * and requests to them.
 */


#include "ngx_http_claude_relay_refresh.h"


typedef struct {
    ncr_platform_t                    *platform;
    ncr_oauth_t                        oauth;
} ngx_http_claude_relay_oauth_conf_t;


static const char *ngx_http_claude_relay_oauth_url(ncr_str_t *text);


static ngx_str_t  ngx_http_claude_relay_oauth_names[] = {
    ngx_string("authorize_url="),
    ngx_string("token_url="),
    ngx_string("client_id="),
    ngx_string("redirect_uri="),
    ngx_string("loopback_uri="),
    ngx_string("scope="),
    ngx_string("client_secret="),
    ngx_string("device_url="),
    ngx_string("poll_url="),
    ngx_string("verify_url="),
    ngx_string("info_url="),
    ngx_string("refresh_url="),
    ngx_string("register_url="),
    ngx_string("device_redirect="),
    ngx_null_string
};

static size_t  ngx_http_claude_relay_oauth_offsets[] = {
    offsetof(ncr_oauth_t, authorize_url),
    offsetof(ncr_oauth_t, token_url),
    offsetof(ncr_oauth_t, client_id),
    offsetof(ncr_oauth_t, redirect_uri),
    offsetof(ncr_oauth_t, loopback_uri),
    offsetof(ncr_oauth_t, scope),
    offsetof(ncr_oauth_t, client_secret),
    offsetof(ncr_oauth_t, device_url),
    offsetof(ncr_oauth_t, poll_url),
    offsetof(ncr_oauth_t, verify_url),
    offsetof(ncr_oauth_t, info_url),
    offsetof(ncr_oauth_t, refresh_url),
    offsetof(ncr_oauth_t, register_url),
    offsetof(ncr_oauth_t, device_redirect)
};

/* those of them that the relay asks itself */

static size_t  ngx_http_claude_relay_oauth_asked[] = {
    offsetof(ncr_oauth_t, token_url),
    offsetof(ncr_oauth_t, device_url),
    offsetof(ncr_oauth_t, poll_url),
    offsetof(ncr_oauth_t, info_url),
    offsetof(ncr_oauth_t, refresh_url),
    offsetof(ncr_oauth_t, register_url)
};


ngx_int_t
ngx_http_claude_relay_oauths_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    return ngx_array_init(&rmcf->oauths, cf->pool, 1,
                          sizeof(ngx_http_claude_relay_oauth_conf_t));
}


/* claude_relay_oauth platform name=value ...; */

char *
ngx_http_claude_relay_set_oauth(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ncr_str_t                           *field;
    char                                *rv;
    ngx_str_t                           *value, *name, secret;
    ngx_uint_t                           i, j;
    const char                          *wrong;
    ncr_platform_t                      *platform;
    ngx_http_claude_relay_oauth_conf_t  *oc;

    value = cf->args->elts;

    platform = ncr_platform_find(ncr(&value[1]));

    if (platform == NULL || platform->oauth == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no platform with logins", &value[1]);
        return NGX_CONF_ERROR;
    }

    oc = rmcf->oauths.elts;

    for (i = 0; i < rmcf->oauths.nelts; i++) {
        if (oc[i].platform == platform) {
            return "is duplicate";
        }
    }

    oc = ngx_array_push(&rmcf->oauths);
    if (oc == NULL) {
        return NGX_CONF_ERROR;
    }

    oc->platform = platform;
    oc->oauth = *platform->oauth;

    for (i = 2; i < cf->args->nelts; i++) {

        name = ngx_http_claude_relay_oauth_names;

        for (j = 0; name[j].len; j++) {
            if (value[i].len > name[j].len
                && ngx_strncmp(value[i].data, name[j].data, name[j].len) == 0)
            {
                break;
            }
        }

        if (name[j].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        field = (ncr_str_t *) ((u_char *) &oc->oauth
                               + ngx_http_claude_relay_oauth_offsets[j]);

        field->data = value[i].data + name[j].len;
        field->len = value[i].len - name[j].len;

        if (field == &oc->oauth.client_secret) {
            secret = ngx_http_claude_relay_str(field);

            rv = ngx_http_claude_relay_secret(cf, &secret,
                                              (ngx_str_t *) field);
            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    for (i = 0;
         i < sizeof(ngx_http_claude_relay_oauth_asked) / sizeof(size_t);
         i++)
    {
        field = (ncr_str_t *) ((u_char *) &oc->oauth
                               + ngx_http_claude_relay_oauth_asked[i]);

        wrong = field->len ? ngx_http_claude_relay_oauth_url(field) : NULL;

        if (wrong) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\": %s",
                               (ngx_str_t *) field, wrong);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* an account's region may be a part of it */

static const char *
ngx_http_claude_relay_oauth_url(ncr_str_t *text)
{
    u_char            buf[1024];
    ncr_out_t         out;
    ncr_url_t         url;
    ngx_str_t         s, path;
    ncr_oauth_talk_t  talk;

    ngx_memzero(&talk, sizeof(ncr_oauth_talk_t));
    ncr_out_init(&out, buf, sizeof(buf));

    if (ncr_oauth_url(&talk, &out, text) != NCR_OK || out.overflow) {
        return "it is too long";
    }

    s.data = buf;
    s.len = out.last - out.start;

    return ngx_http_claude_relay_url(&s, &url, &path);
}


ncr_oauth_t *
ngx_http_claude_relay_oauth(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_platform_t *platform)
{
    ngx_uint_t                           i;
    ngx_http_claude_relay_oauth_conf_t  *oc;

    oc = rmcf->oauths.elts;

    for (i = 0; i < rmcf->oauths.nelts; i++) {
        if (oc[i].platform == platform) {
            return &oc[i].oauth;
        }
    }

    return platform->oauth;
}


const char *
ngx_http_claude_relay_url(ngx_str_t *text, ncr_url_t *url, ngx_str_t *path)
{
    u_char     *p, *last;
    ncr_str_t   base;

    last = text->data + text->len;

    p = ngx_strlcasestrn(text->data, last, (u_char *) "://", 3 - 1);

    if (p == NULL) {
        return "no scheme";
    }

    for (p += 3; p < last && *p != '/'; p++) { /* void */ }

    base.data = text->data;
    base.len = p - text->data;

    path->data = p;
    path->len = last - p;

    if (path->len == 0) {
        ngx_str_set(path, "/");
    }

    return ncr_url_parse(&base, url);
}


/* the one of http { }, if there is one: nobody's location is at hand */

ngx_resolver_t *
ngx_http_claude_relay_resolver(void)
{
    ngx_http_conf_ctx_t       *http;
    ngx_http_core_loc_conf_t  *clcf;

    http = (ngx_http_conf_ctx_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                                ngx_http_module);
    clcf = http->loc_conf[ngx_http_core_module.ctx_index];

    return (clcf->resolver && clcf->resolver->connections.nelts)
           ? clcf->resolver : NULL;
}


void
ngx_http_claude_relay_token_answer(ngx_http_claude_relay_fetch_t *f,
    ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens)
{
    if (f->kind == NCR_REPLY_HTTP && !f->cut) {
        ncr_oauth_answer_of(oauth, tokens, f->status, ncr(&f->content_type),
                            ncr(&f->retry_after), ncr(&f->answer),
                            ngx_http_claude_relay_now());
        return;
    }

    ngx_memzero(tokens, sizeof(ncr_oauth_tokens_t));

    tokens->result = NCR_OAUTH_TRANSIENT;
    tokens->retry_after = -1;

    (void) ngx_snprintf((u_char *) tokens->error, sizeof(tokens->error),
                        "%s%Z", f->cut ? "the answer is too long"
                                 : ngx_http_claude_relay_fetch_words(f));
}


const char *
ngx_http_claude_relay_fetch_failure(ncr_reply_kind_e kind)
{
    switch (kind) {

    case NCR_REPLY_CONNECT:
        return "no connection";

    case NCR_REPLY_TLS:
        return "TLS failed, or its certificate is not trusted";

    case NCR_REPLY_RESET:
        return "the connection was closed before an answer";

    case NCR_REPLY_TIMEOUT:
        return "no answer in time";

    case NCR_REPLY_GARBAGE:
        return "the answer is not HTTP";

    case NCR_REPLY_HTTP:
    case NCR_REPLY_STREAM_ERROR:
    default:
        return "an answer of no use";
    }
}


/* and why there is no connection, if that is known */

const char *
ngx_http_claude_relay_fetch_words(ngx_http_claude_relay_fetch_t *f)
{
    if (f->kind == NCR_REPLY_CONNECT && f->dial.refused) {
        return "its address is no public one, which only "
               "claude_relay_allow_private_upstreams allows";
    }

    return ngx_http_claude_relay_fetch_failure(f->kind);
}


ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_api_request(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, const char *method, ncr_str_t *path,
    ngx_str_t *body)
{
    u_char                         *p;
    ngx_http_claude_relay_fetch_t  *f;

    if (a->token && ngx_http_claude_relay_proof(rmcf, a) != NGX_OK) {
        return NULL;
    }

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);
    if (f == NULL) {
        return NULL;
    }

    f->rmcf = rmcf;
    f->target = &a->target;
    f->resolver = ngx_http_claude_relay_resolver();
    f->idempotent = (body == NULL);

    p = ngx_pnalloc(f->pool, 512 + a->url.path.len + path->len + a->host.len
                             + a->proof.len);
    if (p == NULL) {
        ngx_http_claude_relay_fetch_destroy(f);
        return NULL;
    }

    f->head.data = p;

    p = ngx_sprintf(p, "%s %V%V HTTP/1.1" CRLF "Host: %V" CRLF, method,
                    (ngx_str_t *) &a->url.path, (ngx_str_t *) path, &a->host);
    p = ngx_cpymem(p, a->proof.data, a->proof.len);
    p = ngx_sprintf(p, "anthropic-version: 2023-06-01" CRLF
                    "Accept: application/json" CRLF
                    "User-Agent: claude-relay/"
                    NGX_HTTP_CLAUDE_RELAY_VERSION CRLF);

    if (a->platform->beta) {
        p = ngx_sprintf(p, "anthropic-beta: %V" CRLF,
                        (ngx_str_t *) a->platform->beta);
    }

    if (body) {
        p = ngx_sprintf(p, "Content-Type: application/json" CRLF
                        "Content-Length: %uz" CRLF, body->len);
        f->body = *body;
    }

    f->head.len = p - f->head.data;

    return f;
}
