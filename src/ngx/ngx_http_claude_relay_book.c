
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The end of a request, as the books see it: what it cost, its record, and
 * that it is counted once wherever something is counted.
 */


#include "ngx_http_claude_relay_socket.h"
#include "ngx_http_claude_relay_feed.h"


static ngx_uint_t ngx_http_claude_relay_bookable(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_record(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec);
static void ngx_http_claude_relay_record_texts(
    ngx_http_claude_relay_ctx_t *ctx, ncr_record_t *rec);
static void ngx_http_claude_relay_record_answer(
    ngx_http_claude_relay_ctx_t *ctx, ncr_record_t *rec);
static void ngx_http_claude_relay_amounts(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec, ncr_amounts_t *used);
static ncr_tier_e ngx_http_claude_relay_tier(ncr_answer_t *a);
static ngx_uint_t ngx_http_claude_relay_permille(ncr_answer_t *a,
    ncr_part_t *part);


void
ngx_http_claude_relay_bill(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_bill_t                          b;
    ngx_uint_t                          i;
    const ncr_price_t                  *rows[NCR_PARTS];
    ncr_answer_t                       *a;
    ngx_http_claude_relay_bill_t       *bill;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ctx->bill == NULL) {
        ctx->bill = ngx_palloc(ctx->request->pool,
                               sizeof(ngx_http_claude_relay_bill_t));
        if (ctx->bill == NULL) {
            return;
        }
    }

    bill = ctx->bill;
    ngx_memzero(bill, sizeof(ngx_http_claude_relay_bill_t));

    bill->permille = 1000;

    if (!ctx->committed || !ncr_op_is(ctx->route.op, NCR_OP_BILLED)) {
        return;
    }

    a = ctx->answer;

    bill->nparts = ctx->codec->parts(a, ncr(&ctx->sent), bill->parts);
    bill->estimated = (bill->nparts && a->state != NCR_ANSWER_COMPLETE);
    bill->tier = ngx_http_claude_relay_tier(a);

    for (i = 0; i < bill->nparts; i++) {
        ncr_usage_add(&bill->usage, &bill->parts[i].usage);

        rows[i] = ngx_http_claude_relay_price(rmcf->prices,
                                              bill->parts[i].model,
                                              bill->tier, ctx->began);

        bill->permille = ngx_max(bill->permille,
                                 ngx_http_claude_relay_permille(a,
                                                        &bill->parts[i]));
    }

    b.time = ctx->began;
    b.tier = bill->tier;
    b.permille = bill->permille;
    b.parts = bill->parts;
    b.nparts = bill->nparts;
    b.rows = rows;

    bill->priced = (ncr_price_bill(rmcf->prices, &b, &bill->cost) == NCR_OK);
    bill->rated = bill->cost;
    bill->rate = 1000;

    if (ctx->account) {
        bill->rate = ngx_http_claude_relay_rate(ctx, ctx->account->platform);
        bill->rated = bill->cost * bill->rate / 1000;
    }
}


static ncr_tier_e
ngx_http_claude_relay_tier(ncr_answer_t *a)
{
    if (ngx_strcmp(a->speed, "fast") == 0) {
        return NCR_TIER_FAST;
    }

    if (ngx_strcmp(a->service_tier, "priority") == 0) {
        return NCR_TIER_PRIORITY;
    }

    if (ngx_strcmp(a->service_tier, "flex") == 0) {
        return NCR_TIER_FLEX;
    }

    if (ngx_strcmp(a->service_tier, "batch") == 0) {
        return NCR_TIER_BATCH;
    }

    return NCR_TIER_STANDARD;
}


static ngx_uint_t
ngx_http_claude_relay_permille(ncr_answer_t *a, ncr_part_t *part)
{
    ncr_str_t  geo, model;

    geo.data = (u_char *) a->inference_geo;
    geo.len = ngx_strlen(a->inference_geo);

    model.data = (u_char *) part->model;
    model.len = ngx_strlen(part->model);

    return ncr_price_permille(&model, &geo);
}


void
ngx_http_claude_relay_book(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_record_t                        rec;
    ncr_amounts_t                       used;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->booked) {
        return;
    }

    ctx->booked = 1;

    if (!ngx_http_claude_relay_bookable(ctx)) {
        ngx_http_claude_relay_metrics_local(ctx);
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_http_claude_relay_record(ctx, &rec);
    ngx_http_claude_relay_amounts(ctx, &rec, &used);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_settle_locked(ctx, &used, &rec);
    (void) ngx_http_claude_relay_ledger_put_locked(rmcf, &rec);
    ngx_http_claude_relay_metrics_locked(ctx, &rec);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ledger_wake();
    ngx_http_claude_relay_audit(ctx, &rec);

    if (ngx_http_claude_relay_feed_wanted(rmcf->zone)) {
        ngx_http_claude_relay_feed_request(rmcf, &rec);
    }

    /* what was reserved is free again */

    ngx_http_claude_relay_ring(rmcf->zone);
}


/* a flood of wrong keys is counted, and fills no books */

static ngx_uint_t
ngx_http_claude_relay_bookable(ngx_http_claude_relay_ctx_t *ctx)
{
    return ctx->authorized && !ctx->why
           && !ncr_op_is(ctx->route.op, NCR_OP_LOCAL);
}


ngx_uint_t
ngx_http_claude_relay_final_status(ngx_http_request_t *r)
{
    ngx_uint_t  status;

    status = r->err_status ? r->err_status : r->headers_out.status;

    return status ? status : NGX_HTTP_CLIENT_CLOSED_REQUEST;
}


static void
ngx_http_claude_relay_record(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_memzero(rec, sizeof(ncr_record_t));

    rec->kind = NCR_RECORD_REQUEST;
    rec->time = ctx->began;
    rec->status = (uint32_t) (ctx->socket
                              ? ctx->socket->status
                              : ngx_http_claude_relay_final_status(r));
    rec->attempts = (uint32_t) ctx->nattempts;
    rec->duration = (uint32_t) (ngx_current_msec - ctx->started);
    rec->ttft = ctx->has_ttft ? (uint32_t) ctx->ttft : UINT32_MAX;
    rec->own = (uint32_t) (ctx->own_ns / 1000);

    if (ctx->refused.status) {
        rec->flags |= NCR_RECORD_REFUSED;
    }

    if (ctx->shadowed) {
        rec->flags |= NCR_RECORD_SHADOW;
    }

    ngx_http_claude_relay_record_texts(ctx, rec);
    ngx_http_claude_relay_record_answer(ctx, rec);

    if (ctx->local) {
        ncr_str_set(&rec->platform, "local");
        ncr_str_set(&rec->stop, "end_turn");
        rec->flags |= (ctx->stream && !ctx->fold) ? NCR_RECORD_STREAM : 0;
    }

    if (ctx->killed && rec->stop.len == 0) {
        ncr_str_set(&rec->stop, "operator");
    }
}


static void
ngx_http_claude_relay_record_texts(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    ngx_str_t            s;
    ngx_table_elt_t     *agent;
    ngx_http_request_t  *r;

    r = ctx->request;

    rec->id = *ncr(&ctx->request_id);
    rec->op = ncr_ops[ctx->route.op].name;
    rec->model = *ncr(&ctx->model);

    rec->dialect = ncr_dialect_name(ctx->route.dialect);

    if (ctx->key) {
        rec->key_id = ctx->key->id;
        rec->key = ncr_key_text(ctx->key, ctx->key->name);
    }

    if (ctx->user) {
        rec->owner = ctx->user->id;
        rec->user = ncr_key_text(ctx->user, ctx->user->name);
    }

    if (ctx->group) {
        rec->owner = rec->owner ? rec->owner : ctx->group->id;
        rec->group = ncr_key_text(ctx->group, ctx->group->name);
    }

    if (ctx->account) {
        rec->account = *ncr(&ctx->account->name);
        rec->platform = ctx->account->platform->name;
    }

    agent = r->headers_in.user_agent;

    if (agent) {
        rec->client = *ncr(&agent->value);

        /* the product and its version; comments are of no use in sums */

        for (s.len = 0; s.len < rec->client.len; s.len++) {
            if (rec->client.data[s.len] == ' ') {
                rec->client.len = s.len;
                break;
            }
        }
    }

    ngx_str_null(&s);
    ngx_http_claude_relay_text_session(ctx, &s);
    rec->session = *ncr(&s);

    ngx_str_null(&s);
    ngx_http_claude_relay_text_sticky(ctx, &s);
    rec->sticky = *ncr(&s);

    ngx_str_null(&s);
    ngx_http_claude_relay_text_trail(ctx, &s);
    rec->trail = *ncr(&s);

    rec->class.data = (u_char *) ncr_class_name(ctx->error);
    rec->class.len = ngx_strlen(rec->class.data);
}


static void
ngx_http_claude_relay_record_answer(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    ncr_answer_t                       *a;
    ngx_http_claude_relay_bill_t       *bill;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (!ctx->committed) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    a = ctx->answer;

    if (ctx->stream && !ctx->fold) {
        rec->flags |= NCR_RECORD_STREAM;
    }

    rec->served.data = (u_char *) a->model;
    rec->served.len = ngx_strlen(a->model);
    rec->stop.data = (u_char *) a->stop_reason;
    rec->stop.len = ngx_strlen(a->stop_reason);

    if (ctx->provider_id) {
        rec->provider_id = *ncr(&ctx->provider_id->value);
    }

    ngx_http_claude_relay_bill(ctx);

    bill = ctx->bill;

    if (bill == NULL || bill->nparts == 0) {
        return;
    }

    if (bill->estimated) {
        rec->flags |= NCR_RECORD_ESTIMATED;
    }

    if (!bill->priced) {
        rec->flags |= NCR_RECORD_UNPRICED;
    }

    rec->tier = bill->tier;
    rec->permille = (uint32_t) bill->permille;
    rec->usage = bill->usage;
    rec->cost = bill->cost;
    rec->rated = bill->rated;
    rec->rate = (uint32_t) bill->rate;
    rec->price.data = (u_char *) rmcf->prices->version;
    rec->price.len = ngx_strlen(rmcf->prices->version);
    rec->nparts = bill->nparts;

    ngx_memcpy(rec->parts, bill->parts, bill->nparts * sizeof(ncr_part_t));
}


/* nothing that came to nothing is charged: not even as a request */

static void
ngx_http_claude_relay_amounts(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec, ncr_amounts_t *used)
{
    ngx_memzero(used, sizeof(ncr_amounts_t));

    used->unit[NCR_UNIT_REQUESTS] = (rec->status < 400);
    used->unit[NCR_UNIT_INPUT] = rec->usage.input + rec->usage.cache_read
                                 + rec->usage.cache_write;
    used->unit[NCR_UNIT_OUTPUT] = rec->usage.output;
    used->unit[NCR_UNIT_TOKENS] = used->unit[NCR_UNIT_INPUT]
                                  + used->unit[NCR_UNIT_OUTPUT];
    used->unit[NCR_UNIT_COST] = rec->rated;
}
