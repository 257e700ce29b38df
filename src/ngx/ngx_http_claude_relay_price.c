
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a request may cost at most, and the price of what it has used.  A
 * table is searched for a model once a minute in each worker: requests have
 * few models, and prices change at the beginning of a minute.
 */


#include "ngx_http_claude_relay_limit.h"
#include "ngx_http_claude_relay_settings.h"
#include "ncr_price_top.h"


#define NGX_HTTP_CLAUDE_RELAY_TOPS  64


typedef struct {
    const ncr_prices_t   *prices;
    ncr_msec_t            minute;
    size_t                len;
    u_char                model[NCR_MODEL_LEN];
    ncr_price_top_t       top;
} ngx_http_claude_relay_top_t;


static ngx_http_claude_relay_top_t
                         ngx_http_claude_relay_tops[NGX_HTTP_CLAUDE_RELAY_TOPS];


/* the same for what an answer costs */

typedef struct {
    const ncr_prices_t   *prices;
    ncr_msec_t            minute;
    ncr_tier_e            tier;
    char                  model[NCR_MODEL_LEN];
    const ncr_price_t    *row;
} ngx_http_claude_relay_priced_t;


static ngx_http_claude_relay_priced_t
                       ngx_http_claude_relay_priced[NGX_HTTP_CLAUDE_RELAY_TOPS];


/* as ncr_price_find(); model is cut to NCR_MODEL_LEN by whoever has it */

const ncr_price_t *
ngx_http_claude_relay_price(const ncr_prices_t *prices, const char *model,
    ncr_tier_e tier, ncr_msec_t time)
{
    size_t                           len;
    uint32_t                         hash;
    ncr_str_t                        name;
    ngx_http_claude_relay_priced_t  *p;

    len = ngx_strlen(model);
    hash = (uint32_t) ngx_hash_key((u_char *) model, len) + (uint32_t) tier;
    p = &ngx_http_claude_relay_priced[hash % NGX_HTTP_CLAUDE_RELAY_TOPS];

    if (p->prices != prices || p->minute != time / 60000 || p->tier != tier
        || ngx_memcmp(p->model, model, len + 1) != 0)
    {
        name.data = (u_char *) model;
        name.len = len;

        p->row = ncr_price_find(prices, &name, tier, time);

        p->prices = prices;
        p->minute = time / 60000;
        p->tier = tier;
        ngx_memcpy(p->model, model, len + 1);
    }

    return p->row;
}


/* NGX_DECLINED: nobody knows */

ngx_int_t
ngx_http_claude_relay_cost_most(ngx_http_claude_relay_ctx_t *ctx,
    uint64_t input, uint64_t output, uint64_t *cost)
{
    size_t                              len;
    uint32_t                            hash;
    ncr_msec_t                          minute;
    ncr_price_top_t                     once;
    ngx_http_claude_relay_top_t        *t;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    len = ctx->wanted.len;
    minute = ctx->began / 60000;

    if (len > NCR_MODEL_LEN) {
        ncr_price_top(&once, rmcf->prices, ncr(&ctx->wanted), ctx->began);
        *cost = ncr_price_top_cost(&once, input, output);

        return once.n ? NGX_OK : NGX_DECLINED;
    }

    hash = (uint32_t) ngx_hash_key(ctx->wanted.data, len);
    t = &ngx_http_claude_relay_tops[hash % NGX_HTTP_CLAUDE_RELAY_TOPS];

    if (t->prices != rmcf->prices || t->minute != minute || t->len != len
        || ngx_memcmp(t->model, ctx->wanted.data, len) != 0)
    {
        ncr_price_top(&t->top, rmcf->prices, ncr(&ctx->wanted), ctx->began);

        t->prices = rmcf->prices;
        t->minute = minute;
        t->len = len;
        ngx_memcpy(t->model, ctx->wanted.data, len);
    }

    *cost = ncr_price_top_cost(&t->top, input, output);

    return t->top.n ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_claude_relay_prices_forget(void)
{
    ngx_memzero(ngx_http_claude_relay_tops,
                sizeof(ngx_http_claude_relay_tops));
    ngx_memzero(ngx_http_claude_relay_priced,
                sizeof(ngx_http_claude_relay_priced));
}
