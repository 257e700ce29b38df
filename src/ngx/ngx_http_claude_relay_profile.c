
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The client profile: the headers, betas and leading block of system that a
 * place with a client of its own expects (anthropic.md B.2, B.4, B.7), for
 * requests that come from another client, where the operator has switched it
 * on.  Nothing but these is changed, and no value of them is known here: they
 * are the configuration's.
 */


#include "ngx_http_claude_relay.h"


static ngx_uint_t ngx_http_claude_relay_genuine(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_profile_merge_betas(
    ngx_http_request_t *r, ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *list);
static ngx_uint_t ngx_http_claude_relay_profile_queried(ngx_str_t *args);
static char *ngx_http_claude_relay_profile_op(ngx_conf_t *cf,
    ngx_str_t *value, ngx_uint_t *ops);
static ngx_uint_t ngx_http_claude_relay_profile_token(ngx_str_t *s,
    u_char also);
static char *ngx_http_claude_relay_profile_block(ngx_conf_t *cf,
    ngx_http_claude_relay_profile_t *profile);


/* anthropic.md B.7 */

#define NGX_HTTP_CLAUDE_RELAY_IDENTITY                                        \
    "You are Claude Code, Anthropic's official CLI for Claude."


static ngx_str_t  ngx_http_claude_relay_profile_kinds[] = {
    ngx_string("messages"),
    ngx_string("count_tokens"),
    ngx_string("haiku")
};


/*
 * Decides for the attempt that is about to be made, by its account: another
 * one of the same request may be decided otherwise.
 */

ngx_int_t
ngx_http_claude_relay_profile(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                                i, kind;
    ngx_http_claude_relay_loc_conf_t         *rlcf;
    ngx_http_claude_relay_profile_t          *profile;
    ngx_http_claude_relay_profile_header_t   *h;

    ctx->profile = NGX_HTTP_CLAUDE_RELAY_PROFILE_OFF;
    ctx->profile_size = 0;
    ctx->nedits = 0;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    profile = &rlcf->profile;

    if (!profile->on
        || !ctx->account->platform->profile
        || (ctx->route.op != NCR_OP_MESSAGES
            && ctx->route.op != NCR_OP_COUNT_TOKENS))
    {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_genuine(r, ctx)) {
        ctx->profile = NGX_HTTP_CLAUDE_RELAY_PROFILE_GENUINE;
        return NGX_OK;
    }

    ctx->profile = NGX_HTTP_CLAUDE_RELAY_PROFILE_APPLIED;

    /* helper calls on the small model name fewer betas (B.4) */

    kind = (ctx->route.op == NCR_OP_COUNT_TOKENS)
           ? NGX_HTTP_CLAUDE_RELAY_BETAS_COUNT_TOKENS
           : ncr_str_eq(&ctx->family, "haiku")
             ? NGX_HTTP_CLAUDE_RELAY_BETAS_HAIKU
             : NGX_HTTP_CLAUDE_RELAY_BETAS_MESSAGES;

    if (ngx_http_claude_relay_profile_merge_betas(r, ctx,
                                                  &profile->betas[kind])
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (profile->block.len) {
        ctx->nedits = ncr_anthropic_lead(&ctx->system, ncr(&profile->block),
                                         ctx->edits);
    }

    ctx->profile_size = sizeof("&beta=true") - 1
                        + sizeof("anthropic-beta: " CRLF) - 1
                        + ctx->betas.len;

    h = profile->headers->elts;

    for (i = 0; i < profile->headers->nelts; i++) {
        ctx->profile_size += h[i].name.len + 2 + h[i].value.len + 2;
    }

    return NGX_OK;
}


/*
 * B.6: by what every request of Claude Code has, also those without a prompt
 * of its own.  Whoever sends both headers wants to be taken for it, and gets
 * what it would get: nothing is changed.
 */

static ngx_uint_t
ngx_http_claude_relay_genuine(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t        *app;
    ngx_table_elt_t  *agent;

    app = ctx->meant[NGX_HTTP_CLAUDE_RELAY_APP];
    agent = r->headers_in.user_agent;

    return app && agent
           && (ncr_str_eq(ncr(app), "cli") || ncr_str_eq(ncr(app), "cli-bg"))
           && ncr_str_prefix(ncr(&agent->value), "claude-cli/");
}


/* several headers of the client are one list */

static ngx_int_t
ngx_http_claude_relay_profile_merge_betas(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *list)
{
    size_t            size;
    u_char           *fate, *p;
    ncr_str_t        *beta, merged;
    ngx_str_t         value;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    beta = ctx->account->platform->beta;
    size = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            size += h[i].value.len + 1;
        }
    }

    /* each list in the room of its own */

    value.data = ngx_pnalloc(r->pool,
                             3 * size + 2 * (list->len + 2)
                             + (beta ? beta->len + 2 : 0));
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = value.data;
    fate = ctx->fates;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (*fate++ != NGX_HTTP_CLAUDE_RELAY_BETA
                || h[i].value.len == 0)
            {
                continue;
            }

            if (p != value.data) {
                *p++ = ',';
            }

            p = ngx_cpymem(p, h[i].value.data, h[i].value.len);
        }
    }

    value.len = p - value.data;

    merged = ncr_beta_union(ncr(&value), ncr(list), p);

    if (beta) {
        merged = ncr_beta_merge(&merged, beta, merged.data + merged.len);
    }

    ctx->betas = ngx_http_claude_relay_str(&merged);

    return NGX_OK;
}


/* is this header of the client one that the profile has? */

ngx_uint_t
ngx_http_claude_relay_profile_has(ngx_http_request_t *r,
    ngx_table_elt_t *header)
{
    ngx_uint_t                               i;
    ngx_http_claude_relay_loc_conf_t        *rlcf;
    ngx_http_claude_relay_profile_header_t  *h;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    h = rlcf->profile.headers->elts;

    for (i = 0; i < rlcf->profile.headers->nelts; i++) {

        if (h[i].name.len == header->key.len
            && ngx_memcmp(h[i].lowcase, header->lowcase_key, h[i].name.len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* *version: anthropic-version is among them */

u_char *
ngx_http_claude_relay_profile_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, ngx_uint_t *version)
{
    ngx_str_t                                name;
    ngx_uint_t                               i;
    ngx_http_claude_relay_loc_conf_t        *rlcf;
    ngx_http_claude_relay_profile_header_t  *h;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    h = rlcf->profile.headers->elts;
    *version = 0;

    for (i = 0; i < rlcf->profile.headers->nelts; i++) {

        if (h[i].value.len == 0 || !(h[i].ops & 1 << ctx->route.op)) {
            continue;
        }

        name.data = h[i].lowcase;
        name.len = h[i].name.len;

        *version |= ncr_str_eq(ncr(&name), "anthropic-version");

        p = ngx_cpymem(p, h[i].name.data, h[i].name.len);
        *p++ = ':'; *p++ = ' ';
        p = ngx_cpymem(p, h[i].value.data, h[i].value.len);
        *p++ = CR; *p++ = LF;
    }

    return p;
}


/* "beta=true", unless the client has said anything of it (B.1) */

u_char *
ngx_http_claude_relay_profile_args(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p)
{
    if (ngx_http_claude_relay_profile_queried(&ctx->args)) {
        return p;
    }

    *p++ = ctx->args.len ? '&' : '?';

    return ngx_cpymem(p, "beta=true", sizeof("beta=true") - 1);
}


static ngx_uint_t
ngx_http_claude_relay_profile_queried(ngx_str_t *args)
{
    u_char  *p, *last;
    size_t   n;

    n = sizeof("beta") - 1;
    p = args->data;
    last = p + args->len;

    while (p < last) {

        if ((size_t) (last - p) >= n
            && ngx_strncmp(p, "beta", n) == 0
            && (p + n == last || p[n] == '=' || p[n] == '&'))
        {
            return 1;
        }

        p = ngx_strlchr(p, last, '&');

        if (p == NULL) {
            break;
        }

        p++;
    }

    return 0;
}


/* name value [messages | count_tokens] */

char *
ngx_http_claude_relay_set_profile_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    char                                    *rc;
    ngx_str_t                               *value, s;
    ngx_uint_t                               i;
    ngx_http_claude_relay_profile_t         *profile;
    ngx_http_claude_relay_profile_header_t  *h;

    profile = &rlcf->profile;
    value = cf->args->elts;

    if (!ngx_http_claude_relay_profile_token(&value[1], '\0')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name of a header \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < value[2].len; i++) {
        if ((value[2].data[i] < 0x20 && value[2].data[i] != '\t')
            || value[2].data[i] == 0x7f)
        {
            return "has a control character in its value";
        }
    }

    if (profile->headers == NGX_CONF_UNSET_PTR) {
        profile->headers = ngx_array_create(cf->pool, 16,
                              sizeof(ngx_http_claude_relay_profile_header_t));
        if (profile->headers == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    s.len = value[1].len;
    s.data = ngx_pnalloc(cf->pool, s.len);
    if (s.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(s.data, value[1].data, s.len);

    if (!ngx_http_claude_relay_profilable(&s)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no header for a profile: it is the "
                           "relay's own or tells who asks", &value[1]);
        return NGX_CONF_ERROR;
    }

    h = profile->headers->elts;

    for (i = 0; i < profile->headers->nelts; i++) {
        if (h[i].name.len == s.len
            && ngx_memcmp(h[i].lowcase, s.data, s.len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate profile header \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    h = ngx_array_push(profile->headers);
    if (h == NULL) {
        return NGX_CONF_ERROR;
    }

    h->name = value[1];
    h->value = value[2];
    h->lowcase = s.data;
    h->ops = 1 << NCR_OP_MESSAGES | 1 << NCR_OP_COUNT_TOKENS;

    if (cf->args->nelts == 4) {
        rc = ngx_http_claude_relay_profile_op(cf, &value[3], &h->ops);
        if (rc != NGX_CONF_OK) {
            return rc;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_profile_op(ngx_conf_t *cf, ngx_str_t *value,
    ngx_uint_t *ops)
{
    if (ncr_str_eq(ncr(value), "messages")) {
        *ops = 1 << NCR_OP_MESSAGES;
        return NGX_CONF_OK;
    }

    if (ncr_str_eq(ncr(value), "count_tokens")) {
        *ops = 1 << NCR_OP_COUNT_TOKENS;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" is neither \"messages\" nor \"count_tokens\"",
                       value);

    return NGX_CONF_ERROR;
}


/* messages | count_tokens | haiku list ... */

char *
ngx_http_claude_relay_set_profile_betas(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    u_char      *p;
    size_t       len;
    ngx_str_t   *value, *betas;
    ngx_uint_t   i, kind;

    value = cf->args->elts;

    for (kind = 0; kind < NGX_HTTP_CLAUDE_RELAY_BETAS; kind++) {

        betas = &ngx_http_claude_relay_profile_kinds[kind];

        if (value[1].len == betas->len
            && ngx_strncmp(value[1].data, betas->data, betas->len) == 0)
        {
            break;
        }
    }

    if (kind == NGX_HTTP_CLAUDE_RELAY_BETAS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is none of \"messages\", \"count_tokens\" "
                           "and \"haiku\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    betas = &rlcf->profile.betas[kind];

    if (betas->data) {
        return "is duplicate";
    }

    len = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        if (!ngx_http_claude_relay_profile_token(&value[i], ',')) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid list of betas \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        len += value[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    betas->data = p;
    betas->len = len - 1;

    for (i = 2; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ',';
    }

    return NGX_CONF_OK;
}


/* RFC 9110, 5.6.2, and one character more, which separates */

static ngx_uint_t
ngx_http_claude_relay_profile_token(ngx_str_t *s, u_char also)
{
    u_char      c, prev;
    ngx_uint_t  i;

    prev = also;

    for (i = 0; i < s->len; i++) {

        c = s->data[i];

        if (also && c == also) {

            if (prev == also) {
                return 0;
            }

        } else if (!((c >= '0' && c <= '9')
                     || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                     || (c && ngx_strchr("!#$%&'*+-.^_`|~", c))))
        {
            return 0;
        }

        prev = c;
    }

    return s->len && (also == '\0' || prev != also);
}


char *
ngx_http_claude_relay_profile_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev)
{
    ngx_uint_t                        i;
    ngx_http_claude_relay_profile_t  *profile;

    profile = &conf->profile;

    ngx_conf_merge_uint_value(profile->on, prev->profile.on, 0);
    ngx_conf_merge_ptr_value(profile->headers, prev->profile.headers, NULL);
    ngx_conf_merge_str_value(profile->system, prev->profile.system,
                             NGX_HTTP_CLAUDE_RELAY_IDENTITY);

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_BETAS; i++) {
        ngx_conf_merge_str_value(profile->betas[i], prev->profile.betas[i],
                                 "");
    }

    if (!conf->enable || !profile->on) {
        return NGX_CONF_OK;
    }

    if (profile->headers == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_client_profile\" has no "
                      "\"claude_relay_profile_header\": include "
                      "conf/claude_code_profile.conf, for %s:%ui",
                      conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_profile_block(cf, profile);
}


char *
ngx_http_claude_relay_set_profile_system(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (rlcf->profile.system.data) {
        return "is duplicate";
    }

    if (value[1].len > NCR_ANTHROPIC_LEADING) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the text is longer than %d bytes",
                           NCR_ANTHROPIC_LEADING);
        return NGX_CONF_ERROR;
    }

    rlcf->profile.system = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_profile_block(ngx_conf_t *cf,
    ngx_http_claude_relay_profile_t *profile)
{
    size_t     size;
    ncr_out_t  out;

    if (profile->system.len == 0) {
        return NGX_CONF_OK;
    }

    /* a byte becomes six at most */

    size = sizeof("{\"type\":\"text\",\"text\":\"\"}")
           + 6 * profile->system.len;

    profile->block.data = ngx_pnalloc(cf->pool, size);
    if (profile->block.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ncr_out_init(&out, profile->block.data, size);
    ncr_out_text(&out, "{\"type\":\"text\",\"text\":");
    ncr_out_json_string(&out, ncr(&profile->system));
    ncr_out_text(&out, "}");

    if (out.overflow) {
        return NGX_CONF_ERROR;
    }

    profile->block.len = out.last - out.start;

    return NGX_CONF_OK;
}
