
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The model that is sent, where it is another than the one asked for: by the
 * location, by the settings where the location says nothing, by the key's
 * slots (DESIGN 7) and by the account (FEATURES F080).
 * Permissions, limits and records go by what was asked; the body is changed
 * in these places only, anew for each attempt.
 */


#include "ngx_http_claude_relay_settings.h"


static void ngx_http_claude_relay_slot(ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_map_spelled(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_map_quote(ngx_pool_t *pool,
    ncr_str_t *text, ncr_str_t *quoted);


/* what the first pattern that matches makes of it; NULL if none does */

ngx_str_t *
ngx_http_claude_relay_mapped(ngx_array_t *map, ngx_str_t *model)
{
    ngx_uint_t                    i;
    ngx_http_claude_relay_map_t  *m;

    if (map == NULL || model->len == 0) {
        return NULL;
    }

    m = map->elts;

    for (i = 0; i < map->nelts; i++) {
        if (ncr_str_glob(ncr(&m[i].from), ncr(model))) {
            return &m[i].to;
        }
    }

    return NULL;
}


/*
 * A model "NAME,MODEL" of a platform that is for such models alone: it is a
 * MODEL, wanted of that platform (FEATURES F081).  All that judges models, the
 * key's lists above all, sees no NAME.  Where the path has named a platform,
 * none is looked for.
 */

void
ngx_http_claude_relay_map_named(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *model)
{
    u_char           *p, *last;
    ncr_str_t        *name;
    ncr_platform_t  **platform;

    if (ctx->route.platform.len || ctx->routed) {
        return;
    }

    p = ngx_strlchr(model->data, model->data + model->len, ',');

    if (p == NULL) {
        return;
    }

    for (platform = ncr_platforms; *platform; platform++) {
        name = &(*platform)->name;

        if ((*platform)->by_name
            && (size_t) (p - model->data) == name->len
            && ngx_strncasecmp(model->data, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (*platform == NULL) {
        return;
    }

    last = model->data + model->len;

    do {
        p++;
    } while (p < last && *p == ' ');

    if (p == last) {
        return;
    }

    model->data = p;
    model->len = last - p;

    ctx->only = (*platform)->name;
    ctx->routed = 1;
}


/* once the body was read: what is wanted, of whichever account */

ngx_int_t
ngx_http_claude_relay_map(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                           rc;
    ngx_str_t                          *to;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);
    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ctx->model_start = ctx->scan->told.model_start;
    ctx->model_end = ctx->scan->told.model_end;

    if (ctx->route.dialect == NCR_DIALECT_ANTHROPIC) {
        ctx->config = ctx->scan->anthropic.config;
    }

    to = ngx_http_claude_relay_mapped(rlcf->map, &ctx->model);

    ctx->wanted = to ? *to : ctx->model;

    if (to == NULL) {
        rc = ngx_http_claude_relay_setting_map(rmcf, r->pool, &ctx->model,
                                               &ctx->wanted);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    ngx_http_claude_relay_map_named(ctx, &ctx->wanted);

    /* who names a platform has said more than the key's slots do */

    if (ctx->key && !ctx->routed) {
        ngx_http_claude_relay_slot(ctx);
    }

    ctx->wanted_family = ncr_model_family(ncr(&ctx->wanted));
    ctx->family = ctx->wanted_family;
    ctx->sent = ctx->wanted;

    /* which of two efforts would hold is the upstream's secret */

    return (ctx->effort.len && ctx->config.again) ? NGX_DECLINED : NGX_OK;
}


static void
ngx_http_claude_relay_slot(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_int_t        n;
    ncr_str_t        model;
    ncr_key_slot_t  *slot;

    /* few keys have any: no search in the model's name for the others */

    for (n = 0; n < NCR_SLOTS; n++) {
        slot = &ctx->key->slots[n];

        if (slot->platform.len || slot->model.len || slot->effort.len) {
            break;
        }
    }

    if (n == NCR_SLOTS) {
        return;
    }

    n = ncr_key_slot(ncr(&ctx->wanted));

    if (n < 0) {
        return;
    }

    slot = &ctx->key->slots[n];

    if (slot->platform.len) {
        ctx->only = ncr_key_text(ctx->key, slot->platform);
    }

    model = ncr_key_text(ctx->key, slot->model);

    if (model.len) {
        ctx->wanted = ngx_http_claude_relay_str(&model);
    }

    /* counting tokens, nobody thinks */

    if (ctx->route.op == NCR_OP_MESSAGES) {
        ctx->effort = ncr_key_text(ctx->key, slot->effort);
    }
}


/* may this request go to that platform, by its key's slot? */

ngx_uint_t
ngx_http_claude_relay_slotted(ngx_http_claude_relay_ctx_t *ctx,
    ncr_platform_t *platform)
{
    if (ctx->only.len == 0) {
        return !platform->by_name;
    }

    return ctx->only.len == platform->name.len
           && ngx_strncasecmp(ctx->only.data, platform->name.data,
                              ctx->only.len)
              == 0;
}


/* the family of what this account would be sent: its rests are by family */

ncr_str_t
ngx_http_claude_relay_family(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a)
{
    ngx_str_t  *to;

    to = ngx_http_claude_relay_mapped(a->model_map, &ctx->wanted);

    return to ? ncr_model_family(ncr(to)) : ctx->wanted_family;
}


/* the account is chosen */

void
ngx_http_claude_relay_map_account(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t  *to;

    to = ngx_http_claude_relay_mapped(ctx->account->model_map, &ctx->wanted);

    ctx->sent = to ? *to : ctx->wanted;
    ctx->family = to ? ncr_model_family(ncr(to)) : ctx->wanted_family;
}


/* adds to the edits of this attempt, and puts all of them in order */

ngx_int_t
ngx_http_claude_relay_map_edits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t    text;
    ncr_edit_t  *edit;

    if (ctx->effort.len && ctx->route.dialect == NCR_DIALECT_ANTHROPIC) {

        if (ngx_http_claude_relay_map_quote(r->pool, &ctx->effort, &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ctx->nedits += ncr_anthropic_effort(&ctx->config, &text,
                                            ctx->edits + ctx->nedits);
    }

    /* a model that stays is not even spelled in another way; that of a path
     * is written there */

    if (ctx->model_end && !ngx_http_claude_relay_map_spelled(ctx)) {
        if (ngx_http_claude_relay_map_quote(r->pool, ncr(&ctx->sent), &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        edit = &ctx->edits[ctx->nedits++];

        edit->offset = ctx->model_start;
        edit->remove = ctx->model_end - ctx->model_start;
        edit->insert = text;
    }

    ncr_edit_sort(ctx->edits, ctx->nedits);

    return NGX_OK;
}


/* is what is sent what stands in the body? */

static ngx_int_t
ngx_http_claude_relay_map_spelled(ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->routed) {
        return 0;
    }

    return ctx->sent.len == ctx->model.len
           && (ctx->sent.data == ctx->model.data
               || ngx_memcmp(ctx->sent.data, ctx->model.data, ctx->sent.len)
                  == 0);
}


static ngx_int_t
ngx_http_claude_relay_map_quote(ngx_pool_t *pool, ncr_str_t *text,
    ncr_str_t *quoted)
{
    size_t      size;
    ncr_out_t   out;

    /* "\u0000" is the longest that a byte becomes */

    size = 6 * text->len + 2;

    quoted->data = ngx_pnalloc(pool, size);
    if (quoted->data == NULL) {
        return NGX_ERROR;
    }

    ncr_out_init(&out, quoted->data, size);
    ncr_out_json_string(&out, text);

    quoted->len = out.last - out.start;

    return NGX_OK;
}


/* NULL, or what is wrong with it */

const char *
ngx_http_claude_relay_map_add(ngx_pool_t *pool, ngx_array_t **map,
    ngx_str_t *from, ngx_str_t *to)
{
    ngx_uint_t                    i;
    ngx_http_claude_relay_map_t  *m;

    if (from->len == 0 || to->len == 0) {
        return "has an empty name";
    }

    if (from->len >= NCR_MODEL_LEN || to->len >= NCR_MODEL_LEN) {
        return "has a name that is too long";
    }

    for (i = 0; i < to->len; i++) {
        if (to->data[i] < 0x20 || to->data[i] == 0x7f) {
            return "has control characters";
        }
    }

    if (*map == NULL) {
        *map = ngx_array_create(pool, 4, sizeof(ngx_http_claude_relay_map_t));
        if (*map == NULL) {
            return "found no memory";
        }
    }

    m = (*map)->elts;

    for (i = 0; i < (*map)->nelts; i++) {
        if (m[i].from.len == from->len
            && ngx_strncasecmp(m[i].from.data, from->data, from->len) == 0)
        {
            return "has a pattern twice";
        }
    }

    if ((*map)->nelts == NGX_HTTP_CLAUDE_RELAY_MAPS) {
        return "has too many patterns";
    }

    m = ngx_array_push(*map);
    if (m == NULL) {
        return "found no memory";
    }

    m->from = *from;
    m->to = *to;

    return NULL;
}


/* claude_relay_map FROM TO */

char *
ngx_http_claude_relay_set_map(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t   *value;
    const char  *wrong;

    if (rlcf->map == NGX_CONF_UNSET_PTR) {
        rlcf->map = NULL;
    }

    value = cf->args->elts;

    wrong = ngx_http_claude_relay_map_add(cf->pool, &rlcf->map, &value[1],
                                          &value[2]);
    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" %s", &value[0],
                           wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
