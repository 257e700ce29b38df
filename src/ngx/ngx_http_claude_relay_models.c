
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /v1/models and /v1/models/{id}, answered here: the built-in list or
 * the configured one, as far as an account of the pool serves it
 * (anthropic.md F.3).
 */


#include "ngx_http_claude_relay_models.h"


#define NGX_HTTP_CLAUDE_RELAY_MODELS_LIMIT  20
#define NGX_HTTP_CLAUDE_RELAY_MODELS_MAX    1000
#define NGX_HTTP_CLAUDE_RELAY_MODEL_SIZE    768


static ngx_int_t ngx_http_claude_relay_models_list(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_model_t **list,
    ngx_uint_t n);
static void ngx_http_claude_relay_model_json(ncr_out_t *out,
    ngx_http_claude_relay_model_t *m);
static ngx_int_t ngx_http_claude_relay_models_range(ngx_http_request_t *r,
    ngx_http_claude_relay_model_t **list, ngx_uint_t n, ngx_uint_t *first,
    ngx_uint_t *last);
static ngx_int_t ngx_http_claude_relay_arg(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);


/* newest first, as the API lists them; limits from anthropic.md H */

static ngx_http_claude_relay_model_t  ngx_http_claude_relay_known_models[] = {

    { ngx_string("claude-haiku-5-5"), ngx_string("Claude Haiku 5.5"),
      ngx_string("2026-10-07T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-sonnet-5-5"), ngx_string("Claude Sonnet 5.5"),
      ngx_string("2026-10-07T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-opus-5-5"), ngx_string("Claude Opus 5.5"),
      ngx_string("2026-09-22T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-fable-5-1"), ngx_string("Claude Fable 5.1"),
      ngx_string("2026-08-31T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-opus-5"), ngx_string("Claude Opus 5"),
      ngx_string("2026-07-24T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-sonnet-5"), ngx_string("Claude Sonnet 5"),
      ngx_string("2026-06-30T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-fable-5"), ngx_string("Claude Fable 5"),
      ngx_string("2026-06-09T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-opus-4-8"), ngx_string("Claude Opus 4.8"),
      ngx_string("2026-05-28T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-opus-4-7"), ngx_string("Claude Opus 4.7"),
      ngx_string("2026-04-14T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-sonnet-4-6"), ngx_string("Claude Sonnet 4.6"),
      ngx_string("2026-02-17T00:00:00Z"), 200000, 64000 },

    { ngx_string("claude-opus-4-6"), ngx_string("Claude Opus 4.6"),
      ngx_string("2026-02-04T00:00:00Z"), 1000000, 128000 },

    { ngx_string("claude-opus-4-5-20251101"), ngx_string("Claude Opus 4.5"),
      ngx_string("2025-11-24T00:00:00Z"), 200000, 64000 },

    { ngx_string("claude-haiku-4-5-20251001"), ngx_string("Claude Haiku 4.5"),
      ngx_string("2025-10-15T00:00:00Z"), 200000, 64000 },

    { ngx_string("claude-sonnet-4-5-20250929"),
      ngx_string("Claude Sonnet 4.5"),
      ngx_string("2025-09-29T00:00:00Z"), 200000, 64000 }
};

#define NGX_HTTP_CLAUDE_RELAY_KNOWN                                           \
    (sizeof(ngx_http_claude_relay_known_models)                               \
     / sizeof(ngx_http_claude_relay_model_t))

static ngx_str_t  ngx_http_claude_relay_models_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_models(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    char                                buf[NCR_MODEL_LEN + 64];
    u_char                             *p;
    ncr_out_t                           out;
    ngx_str_t                           body;
    ngx_uint_t                          i, n;
    ngx_http_claude_relay_model_t     **list;

    if (ctx->route.dialect != NCR_DIALECT_ANTHROPIC) {
        return ngx_http_claude_relay_models_told(r, ctx);
    }

    n = ngx_http_claude_relay_models_served(r, &list);

    if (list == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->route.id.len == 0) {
        return ngx_http_claude_relay_models_list(r, ctx, list, n);
    }

    for (i = 0; i < n; i++) {

        if (list[i]->id.len != ctx->route.id.len
            || ngx_strncmp(list[i]->id.data, ctx->route.id.data,
                           list[i]->id.len)
               != 0)
        {
            continue;
        }

        p = ngx_pnalloc(r->pool, NGX_HTTP_CLAUDE_RELAY_MODEL_SIZE);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ncr_out_init(&out, p, NGX_HTTP_CLAUDE_RELAY_MODEL_SIZE);
        ngx_http_claude_relay_model_json(&out, list[i]);

        body.data = p;
        body.len = out.last - p;

        return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                                  &ngx_http_claude_relay_models_type, &body);
    }

    body = ctx->route.id;
    body.len = ngx_min(body.len, NCR_MODEL_LEN);

    ngx_snprintf((u_char *) buf, sizeof(buf), "model: %V%Z", &body);

    ctx->error = NCR_CLASS_CLIENT;

    return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_NOT_FOUND, buf, -1);
}


static ngx_int_t
ngx_http_claude_relay_models_list(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_model_t **list,
    ngx_uint_t n)
{
    size_t      size;
    u_char     *p;
    ncr_out_t   out;
    ngx_str_t   body, value;
    ngx_uint_t  i, first, last, back;

    if (ngx_http_claude_relay_models_range(r, list, n, &first, &last)
        != NGX_OK)
    {
        ctx->error = NCR_CLASS_CLIENT;
        return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                      "limit must be 1 to 1000, and after_id and before_id "
                      "ids of this list", -1);
    }

    /* going backwards, "more" lies before the page */

    back = (ngx_http_claude_relay_arg(r, "before_id", &value) == NGX_OK);

    size = (last - first + 1) * NGX_HTTP_CLAUDE_RELAY_MODEL_SIZE;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ncr_out_init(&out, p, size);
    ncr_out_text(&out, "{\"data\":[");

    for (i = first; i < last; i++) {
        if (i > first) {
            ncr_out_text(&out, ",");
        }

        ngx_http_claude_relay_model_json(&out, list[i]);
    }

    ncr_out_text(&out, "],\"has_more\":");
    ncr_out_text(&out, (back ? first > 0 : last < n) ? "true" : "false");
    ncr_out_text(&out, ",\"first_id\":");

    if (first < last) {
        ncr_out_json_string(&out, ncr(&list[first]->id));
        ncr_out_text(&out, ",\"last_id\":");
        ncr_out_json_string(&out, ncr(&list[last - 1]->id));

    } else {
        ncr_out_text(&out, "null,\"last_id\":null");
    }

    ncr_out_text(&out, "}");

    if (out.overflow) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = out.last - p;

    return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                                  &ngx_http_claude_relay_models_type, &body);
}


/* those that an account of the pool serves; NULL: no memory for the list */

ngx_uint_t
ngx_http_claude_relay_models_served(ngx_http_request_t *r,
    ngx_http_claude_relay_model_t ***served)
{
    ngx_str_t                          *id;
    ngx_uint_t                          i, j, n, all;
    ngx_http_claude_relay_model_t      *m, **list;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_account_t   **a;
    ngx_http_claude_relay_loc_conf_t   *rlcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (rlcf->models) {
        m = rlcf->models->elts;
        all = rlcf->models->nelts;

    } else {
        m = ngx_http_claude_relay_known_models;
        all = NGX_HTTP_CLAUDE_RELAY_KNOWN;
    }

    list = ngx_palloc(r->pool,
                      (all + 1) * sizeof(ngx_http_claude_relay_model_t *));
    *served = list;

    if (list == NULL) {
        return 0;
    }

    a = ctx->pool->accounts.elts;
    n = 0;

    for (i = 0; i < all; i++) {

        if (ctx->key
            && ncr_key_check_model(ctx->key, ncr(&m[i].id)) != NCR_KEY_OK)
        {
            continue;
        }

        id = ngx_http_claude_relay_mapped(rlcf->map, &m[i].id);

        if (id == NULL) {
            id = &m[i].id;
        }

        for (j = 0; j < ctx->pool->accounts.nelts; j++) {
            if (ngx_http_claude_relay_open_to(ctx, a[j])
                && ngx_http_claude_relay_slotted(ctx, a[j]->platform)
                && ngx_http_claude_relay_serves(a[j], NCR_OP_MESSAGES, id))
            {
                list[n++] = &m[i];
                break;
            }
        }
    }

    return n;
}


/* one that costs little, for a test; "": none of those it serves is known */

ngx_str_t
ngx_http_claude_relay_small_model(ngx_http_claude_relay_account_t *a)
{
    ngx_str_t   *id, *glob, none;
    ngx_uint_t   i, haiku;

    for (haiku = 1; /* void */ ; haiku--) {

        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_KNOWN; i++) {

            id = &ngx_http_claude_relay_known_models[i].id;

            if (ngx_http_claude_relay_offers(a, NCR_OP_MESSAGES, id)
                && (!haiku || ncr_str_contains(ncr(id), "haiku")))
            {
                return *id;
            }
        }

        if (haiku == 0) {
            break;
        }
    }

    /* a pattern may be a name */

    if (a->models) {
        glob = a->models->elts;

        for (i = 0; i < a->models->nelts; i++) {
            if (ngx_strlchr(glob[i].data, glob[i].data + glob[i].len, '*')
                == NULL
                && ngx_strlchr(glob[i].data, glob[i].data + glob[i].len, '?')
                   == NULL)
            {
                return glob[i];
            }
        }
    }

    ngx_str_null(&none);

    return none;
}


static void
ngx_http_claude_relay_model_json(ncr_out_t *out,
    ngx_http_claude_relay_model_t *m)
{
    ncr_out_text(out, "{\"type\":\"model\",\"id\":");
    ncr_out_json_string(out, ncr(&m->id));
    ncr_out_text(out, ",\"display_name\":");
    ncr_out_json_string(out, ncr(&m->display));
    ncr_out_text(out, ",\"created_at\":");
    ncr_out_json_string(out, ncr(&m->created));

    if (m->context) {
        ncr_out_text(out, ",\"max_input_tokens\":");
        ncr_out_int(out, (int64_t) m->context);
    }

    if (m->output) {
        ncr_out_text(out, ",\"max_tokens\":");
        ncr_out_int(out, (int64_t) m->output);
    }

    ncr_out_text(out, "}");
}


/* limit, after_id and before_id to the places [first, last) */

static ngx_int_t
ngx_http_claude_relay_models_range(ngx_http_request_t *r,
    ngx_http_claude_relay_model_t **list, ngx_uint_t n, ngx_uint_t *first,
    ngx_uint_t *last)
{
    ngx_int_t   limit;
    ngx_str_t   value;
    ngx_uint_t  i, before;

    limit = NGX_HTTP_CLAUDE_RELAY_MODELS_LIMIT;

    if (ngx_http_claude_relay_arg(r, "limit", &value) == NGX_OK) {

        limit = ngx_atoi(value.data, value.len);

        if (limit == NGX_ERROR || limit == 0
            || limit > NGX_HTTP_CLAUDE_RELAY_MODELS_MAX)
        {
            return NGX_ERROR;
        }
    }

    *first = 0;
    *last = n;

    for (before = 0; before < 2; before++) {

        if (ngx_http_claude_relay_arg(r, before ? "before_id" : "after_id",
                                      &value)
            != NGX_OK)
        {
            continue;
        }

        for (i = 0; i < n; i++) {
            if (list[i]->id.len == value.len
                && ngx_strncmp(list[i]->id.data, value.data, value.len) == 0)
            {
                break;
            }
        }

        if (i == n) {
            return NGX_ERROR;
        }

        if (before) {
            *last = i;
            *first = ngx_max(*first, (*last > (ngx_uint_t) limit)
                                     ? *last - (ngx_uint_t) limit : 0);

        } else {
            *first = i + 1;
        }
    }

    *last = ngx_min(*last, *first + (ngx_uint_t) limit);
    *last = ngx_max(*last, *first);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_arg(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    return ngx_http_arg(r, (u_char *) name, ngx_strlen(name), value);
}


/* claude_relay_models id[=display name] ...; replaces the built-in list */

char *
ngx_http_claude_relay_set_models(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t  *rlcf = conf;

    u_char                         *p;
    ngx_str_t                      *value;
    ngx_uint_t                      i, j;
    ngx_http_claude_relay_model_t  *m;

    if (rlcf->models == NGX_CONF_UNSET_PTR) {
        rlcf->models = ngx_array_create(cf->pool, 8,
                                      sizeof(ngx_http_claude_relay_model_t));
        if (rlcf->models == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        m = ngx_array_push(rlcf->models);
        if (m == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(m, sizeof(ngx_http_claude_relay_model_t));

        m->id = value[i];
        m->display = value[i];
        ngx_str_set(&m->created, "1970-01-01T00:00:00Z");

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p) {
            m->id.len = p - value[i].data;
            m->display.data = p + 1;
            m->display.len = value[i].len - m->id.len - 1;
        }

        if (m->id.len == 0 || m->id.len >= NCR_MODEL_LEN
            || m->display.len == 0 || m->display.len > 200)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid model \"%V\"",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        /* what is known of it otherwise is known here too */

        for (j = 0; j < NGX_HTTP_CLAUDE_RELAY_KNOWN; j++) {

            if (m->id.len != ngx_http_claude_relay_known_models[j].id.len
                || ngx_strncmp(m->id.data,
                               ngx_http_claude_relay_known_models[j].id.data,
                               m->id.len)
                   != 0)
            {
                continue;
            }

            m->created = ngx_http_claude_relay_known_models[j].created;
            m->context = ngx_http_claude_relay_known_models[j].context;
            m->output = ngx_http_claude_relay_known_models[j].output;

            if (p == NULL) {
                m->display = ngx_http_claude_relay_known_models[j].display;
            }
        }
    }

    return NGX_CONF_OK;
}
