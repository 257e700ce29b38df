
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request is admitted by all limits that count it, or by none: what it may
 * use at most is reserved, and what it has used is charged in the end.
 */


#include "ngx_http_claude_relay_shares.h"
#include "ngx_http_claude_relay_settings.h"


/*
 * A token of English has four bytes, of code three; JSON and base64 come in
 * addition.  What is reserved shall not be too little.
 */
#define NGX_HTTP_CLAUDE_RELAY_TOKEN_BYTES  3

/* output, of a request that does not tell, and of one that exaggerates */
#define NGX_HTTP_CLAUDE_RELAY_OUTPUT       8192
#define NGX_HTTP_CLAUDE_RELAY_MAX_OUTPUT   1000000

/* the same is told in the log this often, ms */
#define NGX_HTTP_CLAUDE_RELAY_TELL         60000


typedef struct {
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_claude_relay_claim_t      *claim;      /* that refuses */
    ncr_admits_e                        admits;
    ncr_msec_t                          now;
    ngx_uint_t                          queue;      /* one may wait */
    ngx_uint_t                          ring;       /* a place is free */
    ngx_uint_t                          alone;      /* Redis is not asked */
    ngx_uint_t                          late;       /* it was, in vain */
    ngx_uint_t                          asks;       /* there will be an
                                                     * answer */
} ngx_http_claude_relay_admission_t;


static ngx_int_t ngx_http_claude_relay_claims(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_unpriced(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_claims_of(ngx_http_claude_relay_ctx_t *ctx,
    ncr_scope_e scope, ncr_key_t *key);
static ngx_uint_t ngx_http_claude_relay_has(ncr_limit_t *own, ngx_uint_t n,
    ncr_limit_t *limit);
static void ngx_http_claude_relay_claim(ngx_http_claude_relay_ctx_t *ctx,
    ncr_scope_e scope, uint64_t owner, ncr_str_t *name, ncr_limit_t *limit);
static ngx_uint_t ngx_http_claude_relay_counts(
    ngx_http_claude_relay_ctx_t *ctx, ncr_limit_t *limit);
static ngx_uint_t ngx_http_claude_relay_rate_most(
    ngx_http_claude_relay_ctx_t *ctx);
static ngx_int_t ngx_http_claude_relay_admit_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_admission_t *ad);
static void ngx_http_claude_relay_admit_fleet(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_admission_t *ad);
static ngx_int_t ngx_http_claude_relay_judge_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_admission_t *ad);
static ncr_admits_e ngx_http_claude_relay_judge_shared_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_admission_t *ad,
    ngx_http_claude_relay_claim_t *claim);
static void ngx_http_claude_relay_tell_shadows(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_refuse_status(
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *message);
static void ngx_http_claude_relay_charge_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_counter_t *counter,
    ncr_limit_t *limit, uint64_t amount, ncr_record_t *rec);
static void ngx_http_claude_relay_charge_apart_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec);
static void ngx_http_claude_relay_charge_account_locked(
    ngx_http_claude_relay_ctx_t *ctx, ncr_amounts_t *used, ncr_record_t *rec);
static ncr_admits_e ngx_http_claude_relay_account_share_locked(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_account_t *a,
    ncr_limit_t *limit, ngx_uint_t mode, ncr_msec_t now,
    ncr_counter_t *counter);


ngx_int_t
ngx_http_claude_relay_admit(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t                           rc;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_admission_t   ad;

    if (ctx->refused.status) {
        return NGX_DECLINED;
    }

    if (!ctx->claimed) {
        rc = ngx_http_claude_relay_claims(ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ctx->nclaims == 0) {
        ctx->admitted = 1;
        return NGX_OK;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    ad.rmcf = ngx_http_get_module_main_conf(ctx->request,
                                            ngx_http_claude_relay_module);
    ad.now = ngx_http_claude_relay_now();
    ad.queue = (rlcf->queue != 0);
    ad.claim = NULL;
    ad.admits = NCR_ADMITS;
    ad.ring = 0;

    if (ad.rmcf->redis) {
        ngx_http_claude_relay_admit_fleet(ctx, &ad);
    }

    ngx_shmtx_lock(&ad.rmcf->shpool->mutex);

    rc = ngx_http_claude_relay_admit_locked(ctx, &ad);

    ngx_shmtx_unlock(&ad.rmcf->shpool->mutex);

    if (ad.rmcf->redis) {
        ngx_http_claude_relay_shares_flush(ad.rmcf);
    }

    /* who stood behind may be the next one */

    if (ad.ring) {
        ngx_http_claude_relay_ring(ad.rmcf->zone);
    }

    if (ctx->shadowed) {
        ngx_http_claude_relay_tell_shadows(ctx);
    }

    if (rc == NGX_OK) {
        ctx->admitted = 1;
        return NGX_OK;
    }

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "no room in zone \"%V\" to count a request",
                      &ad.rmcf->shm_zone->shm.name);

        ctx->error = NCR_CLASS_SERVER;
        ngx_http_claude_relay_refuse_status(ctx,
                             NGX_HTTP_SERVICE_UNAVAILABLE,
                             "the relay has no memory to count this request");
        return NGX_DECLINED;
    }

    if (rc == NGX_DECLINED && ctx->refused.status == 0) {
        ngx_http_claude_relay_refuse_claim(ctx, ad.claim, ad.admits);
    }

    return rc;
}


/* who waits on a connection of many turns is not waited for */

static void
ngx_http_claude_relay_admit_fleet(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_admission_t *ad)
{
    ad->asks = 0;
    ad->alone = !ngx_http_claude_relay_fleet_up(ad->rmcf);

    ad->late = ctx->route.op == NCR_OP_SOCKET
               || (ctx->share_until
                   && (ngx_msec_int_t) (ctx->share_until - ngx_current_msec)
                      <= 0);
}


/*
 * NGX_OK: it is admitted; NGX_AGAIN: it has a place in a queue, or waits for
 * Redis; NGX_DECLINED; NGX_ERROR: the zone is full.
 */

static ngx_int_t
ngx_http_claude_relay_admit_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_admission_t *ad)
{
    ngx_int_t                        rc;
    ngx_http_claude_relay_ticket_t  *place;

    place = ctx->place;

    if (place && !ngx_http_claude_relay_late(ctx)
        && ngx_http_claude_relay_behind_locked(ctx))
    {
        return NGX_AGAIN;
    }

    rc = ngx_http_claude_relay_judge_locked(ctx, ad);

    if (rc == NGX_ERROR
        && ngx_http_claude_relay_counters_sweep_locked(ad->rmcf, ad->now)
           == NGX_OK)
    {
        rc = ngx_http_claude_relay_judge_locked(ctx, ad);
    }

    if (rc == NGX_DECLINED && ad->admits == NCR_ADMITS_BUSY
        && ad->rmcf->redis && ad->asks && place == NULL)
    {
        if (ctx->share_until == 0) {
            ctx->share_until = ngx_current_msec + ad->rmcf->redis->timeout;
        }

        return NGX_AGAIN;
    }

    if (rc == NGX_DECLINED && ad->admits == NCR_ADMITS_BUSY && ad->queue) {
        rc = ngx_http_claude_relay_queue_locked(ctx, ad->rmcf, ad->claim);
    }

    if (rc != NGX_AGAIN && ctx->place) {
        ngx_http_claude_relay_served_locked(ctx, ad->rmcf);
    }

    ad->ring = (ctx->place != place && place);

    return rc;
}


/* all of it, or nothing */

static ngx_int_t
ngx_http_claude_relay_judge_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_admission_t *ad)
{
    ngx_uint_t                        i, made;
    ncr_admits_e                      admits;
    ngx_http_claude_relay_claim_t    *claim;
    ngx_http_claude_relay_counter_t  *c;

    made = 0;

    for (i = 0; i < ctx->nclaims; i++) {

        claim = &ctx->claims[i];

        c = ngx_http_claude_relay_counter_get_locked(ad->rmcf, claim->id,
                                                     &made);
        if (c == NULL) {
            return NGX_ERROR;
        }

        claim->counter = c;

        ngx_http_claude_relay_counter_roll_locked(ad->rmcf, &c->counter,
                                                  claim->limit, ad->now);

        claim->seen = c->counter;

        if (ad->rmcf->redis) {
            admits = ngx_http_claude_relay_judge_shared_locked(ctx, ad,
                                                               claim);

        } else {
            admits = ncr_counter_admits(&c->counter, claim->limit,
                                        claim->want);
        }

        if (claim->limit->shadow) {
            claim->shadowed = (admits != NCR_ADMITS);
            ctx->shadowed |= claim->shadowed;

            claim->warn = claim->shadowed
                          && (c->warned == 0 || c->warned > ad->now
                              || ad->now - c->warned
                                 >= NGX_HTTP_CLAUDE_RELAY_TELL);

            if (claim->warn) {
                c->warned = ad->now;
            }

            continue;
        }

        /* who comes now comes after those who wait */

        if (admits == NCR_ADMITS && c->waiters && ad->queue
            && ctx->place == NULL)
        {
            admits = NCR_ADMITS_BUSY;
        }

        if (admits > ad->admits
            || (admits == NCR_ADMITS_FULL
                && claim->seen.end > ad->claim->seen.end))
        {
            ad->admits = admits;
            ad->claim = claim;
        }
    }

    if (ad->admits == NCR_ADMITS) {

        ctx->ticket = ngx_http_claude_relay_ticket_locked(ad->rmcf,
                                                  ctx->claims, ctx->nclaims);
        if (ctx->ticket == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < ctx->nclaims; i++) {
            ctx->claims[i].seen.reserved += ctx->claims[i].want;
        }
    }

    if (made) {
        ngx_http_claude_relay_counters_tidy_locked(ad->rmcf, made, ad->now);
    }

    return (ad->admits == NCR_ADMITS) ? NGX_OK : NGX_DECLINED;
}


/*
 * The same where other nodes have a part in it.  An answer of Redis is waited
 * for for a while; so are others that have more than they need, unless there
 * is a queue.
 */

static ncr_admits_e
ngx_http_claude_relay_judge_shared_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_admission_t *ad,
    ngx_http_claude_relay_claim_t *claim)
{
    ncr_share_e                     e;
    ngx_http_claude_relay_share_t  *sh;

    sh = ngx_http_claude_relay_share_limit_locked(ad->rmcf, claim->counter,
                            claim->fleet,
                            claim->limit->unit == NCR_UNIT_CONCURRENCY, NULL);

    if (sh == NULL) {
        return ncr_counter_admits(&claim->counter->counter, claim->limit,
                                  claim->want);
    }

    if (claim->limit->shadow) {

        /* what others have is as old as it is */

        sh->share.amount = claim->limit->amount;

        ngx_http_claude_relay_share_shown_locked(ad->rmcf, claim->counter,
                                                 &claim->seen);

        return ncr_counter_admits(&claim->seen, claim->limit, claim->want);
    }

    e = ngx_http_claude_relay_share_judge_locked(ad->rmcf, sh,
                                                 claim->limit->amount,
                                                 claim->want,
                              ad->alone ? NGX_HTTP_CLAUDE_RELAY_SHARE_ALONE
                                        : NGX_HTTP_CLAUDE_RELAY_SHARE_ASKS,
                                                 0);

    if (e == NCR_SHARE_ASK && ad->late && ctx->place == NULL) {

        e = ngx_http_claude_relay_share_judge_locked(ad->rmcf, sh,
                                                     claim->limit->amount,
                                                     claim->want,
                                           (ctx->route.op == NCR_OP_SOCKET)
                                           ? NGX_HTTP_CLAUDE_RELAY_SHARE_HASTE
                                           : NGX_HTTP_CLAUDE_RELAY_SHARE_LATE,
                                                 ctx->share_until
                                                 - ad->rmcf->redis->timeout);
    }

    if (e == NCR_SHARE_ASK
        || (e == NCR_SHARE_SHORT && !ad->alone && !ad->late && !ad->queue))
    {
        ad->asks = 1;
    }

    ngx_http_claude_relay_share_shown_locked(ad->rmcf, claim->counter,
                                             &claim->seen);

    switch (e) {

    case NCR_SHARE_OK:
        return NCR_ADMITS;

    case NCR_SHARE_USED_UP:
        return NCR_ADMITS_FULL;

    default:
        return NCR_ADMITS_BUSY;
    }
}


static void
ngx_http_claude_relay_tell_shadows(ngx_http_claude_relay_ctx_t *ctx)
{
    char                            text[NCR_LIMIT_TEXT];
    ngx_str_t                       name;
    ngx_uint_t                      i;
    ngx_http_claude_relay_claim_t  *claim;

    static const char  *scopes[] = {
        "key", "user", "group", "account", "everybody"
    };

    for (i = 0; i < ctx->nclaims; i++) {

        claim = &ctx->claims[i];

        if (!claim->warn) {
            continue;
        }

        claim->warn = 0;

        (void) ncr_limit_print(claim->limit, text, sizeof(text));

        ngx_http_claude_relay_claim_owner(ctx, claim, &name);

        ngx_log_error(NGX_LOG_WARN, ctx->request->connection->log, 0,
                      "limit \"%s\" of %s \"%V\" would refuse the request",
                      text, scopes[claim->scope], &name);
    }
}


static void
ngx_http_claude_relay_refuse_status(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, const char *message)
{
    ctx->refused.status = status;
    ctx->refused.retry_after = -1;
    ctx->refused.message.data = (u_char *) message;
    ctx->refused.message.len = ngx_strlen(message);
}


/* once: which limits count this request, and how much it wants of them */

static ngx_int_t
ngx_http_claude_relay_claims(ngx_http_claude_relay_ctx_t *ctx)
{
    uint64_t                            owner;
    ncr_str_t                           name;
    ngx_uint_t                          i, n, everybody;
    ncr_limit_t                        *limit, *own;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    ctx->claimed = 1;

    /* counting costs nothing, and thirty of them come at once (F.2) */

    if (ncr_op_is(ctx->route.op, NCR_OP_FREE)) {
        return NGX_OK;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ngx_http_claude_relay_everybody(rmcf, &everybody) != NGX_OK) {
        goto failed;
    }

    n = (ctx->key ? ctx->key->nlimits : 0)
        + (ctx->user ? ctx->user->nlimits : 0)
        + (ctx->group ? ctx->group->nlimits : 0)
        + rmcf->limits[NCR_SCOPE_KEY].nelts
        + rmcf->limits[NCR_SCOPE_USER].nelts
        + rmcf->limits[NCR_SCOPE_GROUP].nelts
        + rmcf->limits[NCR_SCOPE_MODEL].nelts
        + everybody;

    if (n == 0) {
        return NGX_OK;
    }

    ctx->claims = ngx_palloc(ctx->request->pool,
                             n * sizeof(ngx_http_claude_relay_claim_t));

    if (ctx->claims == NULL) {
        goto failed;
    }

    ngx_http_claude_relay_claims_of(ctx, NCR_SCOPE_KEY, ctx->key);

    if (ctx->user) {
        ngx_http_claude_relay_claims_of(ctx, NCR_SCOPE_USER, ctx->user);
    }

    if (ctx->group) {
        ngx_http_claude_relay_claims_of(ctx, NCR_SCOPE_GROUP, ctx->group);
    }

    limit = rmcf->limits[NCR_SCOPE_MODEL].elts;

    for (i = 0; i < rmcf->limits[NCR_SCOPE_MODEL].nelts; i++) {
        ngx_http_claude_relay_claim(ctx, NCR_SCOPE_MODEL, 0, NULL, &limit[i]);
    }

    for (i = 0; i < everybody; i++) {

        limit = ngx_http_claude_relay_everybody_limit(i, &owner, &name);

        if (!ngx_http_claude_relay_counts(ctx, limit)) {
            continue;
        }

        /* the worker's copy does not last as long as a request */

        own = ngx_palloc(ctx->request->pool, sizeof(ncr_limit_t));
        if (own == NULL) {
            goto failed;
        }

        *own = *limit;
        ngx_http_claude_relay_claim(ctx, NCR_SCOPE_MODEL, owner, &name, own);
    }

    return ctx->unpriced ? ngx_http_claude_relay_unpriced(ctx) : NGX_OK;

failed:

    ngx_http_claude_relay_refuse_status(ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                             "the relay has no memory to count this request");
    return NGX_DECLINED;
}


/* a limit of its cost cannot count it */

static ngx_int_t
ngx_http_claude_relay_unpriced(ngx_http_claude_relay_ctx_t *ctx)
{
    static ngx_msec_t  told;

    size_t                              n;
    u_char                              model[64];
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ngx_http_claude_relay_unpriced_refused(rmcf)) {
        ctx->error = NCR_CLASS_CLIENT;
        ngx_http_claude_relay_refuse_status(ctx, NGX_HTTP_FORBIDDEN,
                             "the relay knows no price of this model, and a "
                             "limit of its cost applies");
        return NGX_DECLINED;
    }

    if (told && ngx_current_msec - told < NGX_HTTP_CLAUDE_RELAY_TELL) {
        return NGX_OK;
    }

    told = ngx_current_msec;

    /* it is the client's text, and may have anything in it */

    for (n = 0; n < ctx->model.len && n < sizeof(model); n++) {
        model[n] = (ctx->model.data[n] > ' ' && ctx->model.data[n] < 0x7f)
                   ? ctx->model.data[n] : '?';
    }

    ngx_log_error(NGX_LOG_WARN, ctx->request->connection->log, 0,
                  "model \"%*s\" has no price, limits of its cost do not "
                  "count it", n, model);

    return NGX_OK;
}


/* its own, and those that all of its kind have; requests without a key are
 * one key together */

static void
ngx_http_claude_relay_claims_of(ngx_http_claude_relay_ctx_t *ctx,
    ncr_scope_e scope, ncr_key_t *key)
{
    uint64_t                            owner;
    ncr_str_t                           name;
    ngx_uint_t                          i;
    ncr_limit_t                        *limit;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    owner = key ? key->id : 0;
    ncr_str_null(&name);

    if (key) {
        name = ncr_key_text(key, key->name);
    }

    for (i = 0; key && i < key->nlimits; i++) {
        ngx_http_claude_relay_claim(ctx, scope, owner, &name,
                                    &key->limits[i]);
    }

    limit = rmcf->limits[scope].elts;

    for (i = 0; i < rmcf->limits[scope].nelts; i++) {
        if (key == NULL
            || !ngx_http_claude_relay_has(key->limits, key->nlimits,
                                          &limit[i]))
        {
            ngx_http_claude_relay_claim(ctx, scope, owner, &name, &limit[i]);
        }
    }
}


/* the same limit with an amount of its own: that is the one that counts */

static ngx_uint_t
ngx_http_claude_relay_has(ncr_limit_t *own, ngx_uint_t n, ncr_limit_t *limit)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (own[i].identity == limit->identity) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_claim(ngx_http_claude_relay_ctx_t *ctx,
    ncr_scope_e scope, uint64_t owner, ncr_str_t *name, ncr_limit_t *limit)
{
    ncr_str_t                           none;
    ngx_http_claude_relay_claim_t      *claim;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (!ngx_http_claude_relay_counts(ctx, limit)) {
        return;
    }

    claim = &ctx->claims[ctx->nclaims++];

    claim->limit = limit;
    claim->counter = NULL;
    claim->scope = scope;
    claim->id = ncr_limit_counter(scope, owner, limit);
    claim->fleet = 0;
    claim->want = ngx_http_claude_relay_wants(ctx)->unit[limit->unit];
    claim->shadowed = 0;
    claim->warn = 0;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    if (rmcf->redis) {
        ncr_str_null(&none);
        claim->fleet = ncr_share_id(scope, name ? name : &none,
                                    limit->identity);
    }

    if (limit->unit == NCR_UNIT_COST && !limit->shadow
        && ncr_op_is(ctx->route.op, NCR_OP_BILLED))
    {
        ctx->unpriced = !ctx->priced;
    }
}


/*
 * A batch is counted as a request; what it costs is not known, but nobody
 * makes one whose budget is used up.  All else about batches and files goes
 * on: results are paid for.
 */

static ngx_uint_t
ngx_http_claude_relay_counts(ngx_http_claude_relay_ctx_t *ctx,
    ncr_limit_t *limit)
{
    if (!ncr_op_is(ctx->route.op, NCR_OP_BILLED)
        && (limit->unit == NCR_UNIT_CONCURRENCY
            || (limit->unit != NCR_UNIT_REQUESTS
                && (ctx->route.op != NCR_OP_BATCHES
                    || ctx->request->method != NGX_HTTP_POST))))
    {
        return 0;
    }

    return ncr_limit_matches(limit, ncr(&ctx->model));
}


ncr_amounts_t *
ngx_http_claude_relay_wants(ngx_http_claude_relay_ctx_t *ctx)
{
    off_t           bytes;
    uint64_t        cost, input, output;
    ncr_amounts_t  *wants;

    wants = &ctx->wants;

    if (wants->unit[NCR_UNIT_REQUESTS]) {
        return wants;
    }

    wants->unit[NCR_UNIT_REQUESTS] = 1;
    wants->unit[NCR_UNIT_CONCURRENCY] = 1;

    if (!ncr_op_is(ctx->route.op, NCR_OP_BILLED)) {
        return wants;
    }

    /* what another module has read was not seen in full */

    bytes = ngx_max(ctx->body_length,
                    ctx->request->headers_in.content_length_n);

    input = ((uint64_t) bytes
             + NGX_HTTP_CLAUDE_RELAY_TOKEN_BYTES - 1)
            / NGX_HTTP_CLAUDE_RELAY_TOKEN_BYTES;

    output = (ctx->max_tokens < 0)
             ? NGX_HTTP_CLAUDE_RELAY_OUTPUT
             : (uint64_t) ngx_min(ctx->max_tokens,
                                  NGX_HTTP_CLAUDE_RELAY_MAX_OUTPUT);

    wants->unit[NCR_UNIT_INPUT] = input;
    wants->unit[NCR_UNIT_OUTPUT] = output;
    wants->unit[NCR_UNIT_TOKENS] = input + output;

    if (ngx_http_claude_relay_cost_most(ctx, input, output, &cost) == NGX_OK) {
        ctx->priced = 1;
        wants->unit[NCR_UNIT_COST] =
                          cost * ngx_http_claude_relay_rate_most(ctx) / 1000;
    }

    return wants;
}


/* it is not known yet which of the pool's platforms it will be */

static ngx_uint_t
ngx_http_claude_relay_rate_most(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                          i, rate, most;
    ncr_platform_t                     *last;
    ngx_http_claude_relay_account_t   **a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (rmcf->rates.nelts == 0
        && (ctx->key == NULL || ctx->key->rates.len == 0))
    {
        return 1000;
    }

    a = ctx->pool->accounts.elts;
    last = NULL;
    most = 0;

    for (i = 0; i < ctx->pool->accounts.nelts; i++) {

        if (a[i]->platform == last) {
            continue;
        }

        last = a[i]->platform;
        rate = ngx_http_claude_relay_rate(ctx, last);
        most = ngx_max(most, rate);
    }

    return most;
}


ngx_uint_t
ngx_http_claude_relay_rate(ngx_http_claude_relay_ctx_t *ctx,
    ncr_platform_t *platform)
{
    ngx_uint_t                          i, rate;
    ngx_http_claude_relay_rate_t       *rates;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    rate = ctx->key ? ncr_key_rate(ctx->key, &platform->name) : 1000;
    rates = rmcf->rates.elts;

    for (i = 0; i < rmcf->rates.nelts; i++) {
        if (rates[i].platform == platform) {
            return rate * rates[i].permille / 1000;
        }
    }

    return rate;
}


void
ngx_http_claude_relay_settle_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_amounts_t *used, ncr_record_t *rec)
{
    uint64_t                            amount;
    ngx_uint_t                          i;
    ngx_http_claude_relay_claim_t      *claim;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ctx->ticket) {

        for (i = 0; i < ctx->nclaims; i++) {

            claim = &ctx->claims[i];
            amount = used->unit[claim->limit->unit];

            if (amount && claim->limit->unit != NCR_UNIT_CONCURRENCY) {
                ngx_http_claude_relay_charge_locked(rmcf,
                                         &claim->counter->counter,
                                         claim->limit, amount, rec);

                if (rmcf->redis && claim->counter->share) {
                    ngx_http_claude_relay_share_list_locked(rmcf,
                                                       claim->counter->share);
                }
            }
        }

        ngx_http_claude_relay_ticket_free_locked(rmcf, ctx->ticket);
        ctx->ticket = NULL;
    }

    if (ctx->account && !ncr_op_is(ctx->route.op, NCR_OP_FREE)) {
        ngx_http_claude_relay_charge_account_locked(ctx, used, rec);
    }
}


void
ngx_http_claude_relay_unreserve(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->ticket == NULL) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ticket_free_locked(rmcf, ctx->ticket);
    ctx->ticket = NULL;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_ring(rmcf->zone);
}


/* a request that began in one window may end in the next, and is its */

static void
ngx_http_claude_relay_charge_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_counter_t *counter, ncr_limit_t *limit, uint64_t amount,
    ncr_record_t *rec)
{
    ncr_charge_t  *charge;

    ngx_http_claude_relay_counter_roll_locked(rmcf, counter, limit,
                                              ngx_http_claude_relay_now());

    /* nobody uses so much; what an upstream tells must not wrap all the same */

    amount = ngx_min(amount, (uint64_t) INT64_MAX / 2 - counter->used);

    counter->used += amount;

    if (rec->ncharges == NCR_RECORD_CHARGES) {
        ngx_http_claude_relay_charge_apart_locked(rmcf, rec);
    }

    charge = &rec->charges[rec->ncharges++];

    charge->counter = counter->id;
    charge->start = counter->start;
    charge->end = counter->end;
    charge->amount = (int64_t) amount;
}


/* more limits than a record has room for: another one takes what is there */

static void
ngx_http_claude_relay_charge_apart_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec)
{
    ncr_record_t  apart;

    ngx_memzero(&apart, sizeof(ncr_record_t));

    apart.kind = NCR_RECORD_CHARGE;
    apart.time = rec->time;
    apart.id = rec->id;
    apart.ncharges = rec->ncharges;

    ngx_memcpy(apart.charges, rec->charges, sizeof(apart.charges));

    (void) ngx_http_claude_relay_ledger_put_locked(rmcf, &apart);

    rec->ncharges = 0;
}


/* what an account is billed with, whatever a key's rate is */

static void
ngx_http_claude_relay_charge_account_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_amounts_t *used, ncr_record_t *rec)
{
    uint64_t                            amount, id;
    ngx_uint_t                          i, made;
    ncr_limit_t                        *limit;
    ngx_http_claude_relay_share_t      *sh;
    ngx_http_claude_relay_counter_t    *c;
    ngx_http_claude_relay_account_t    *a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    a = ctx->account;
    made = 0;

    for (i = 0; (limit = ngx_http_claude_relay_account_limit(rmcf, a, i)); i++)
    {
        amount = (limit->unit == NCR_UNIT_COST) ? rec->cost
                                                : used->unit[limit->unit];

        if (amount == 0 || limit->unit == NCR_UNIT_CONCURRENCY
            || !ncr_limit_matches(limit, ncr(&ctx->model)))
        {
            continue;
        }

        id = ncr_limit_counter(NCR_SCOPE_ACCOUNT, a->owner, limit);

        c = ngx_http_claude_relay_counter_get_locked(rmcf, id, &made);

        if (c == NULL) {

            /* the next request is refused, for the same reason */

            continue;
        }

        ngx_http_claude_relay_charge_locked(rmcf, &c->counter, limit, amount,
                                            rec);

        if (rmcf->redis) {
            sh = ngx_http_claude_relay_share_limit_locked(rmcf, c,
                                  ncr_share_id(NCR_SCOPE_ACCOUNT,
                                               ncr(&a->name),
                                               limit->identity),
                                  0, a->node);
            if (sh) {
                sh->share.amount = limit->amount;
                ngx_http_claude_relay_share_list_locked(rmcf, sh);
            }
        }
    }
}


/* the i-th of an account: its own come first, and take the place of those
 * that all have; NULL after the last */

ncr_limit_t *
ngx_http_claude_relay_account_limit(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t i)
{
    ncr_limit_t  *limit;
    ngx_uint_t    j;

    if (i < a->nlimits) {
        return &a->limits[i];
    }

    i -= a->nlimits;
    limit = rmcf->limits[NCR_SCOPE_ACCOUNT].elts;

    for (j = 0; j < rmcf->limits[NCR_SCOPE_ACCOUNT].nelts; j++) {

        if (ngx_http_claude_relay_has(a->limits, a->nlimits, &limit[j])) {
            continue;
        }

        if (i-- == 0) {
            return &limit[j];
        }
    }

    return NULL;
}


/*
 * Requests under way at an account are taken to be as large as this one; they
 * may have been reserved for by others, before they had an account.
 */

ngx_uint_t
ngx_http_claude_relay_account_admits_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now, ncr_msec_t *until)
{
    uint64_t                            want;
    ngx_uint_t                          i, rc;
    ncr_limit_t                        *limit;
    ncr_admits_e                        admits;
    ncr_counter_t                       counter;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ncr_op_is(ctx->route.op, NCR_OP_FREE)) {
        return 1;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    *until = 0;
    rc = 1;

    for (i = 0; (limit = ngx_http_claude_relay_account_limit(rmcf, a, i)); i++)
    {
        if (limit->shadow || !ngx_http_claude_relay_counts(ctx, limit)) {
            continue;
        }

        want = ngx_http_claude_relay_wants(ctx)->unit[limit->unit];

        if (rmcf->redis) {
            admits = ngx_http_claude_relay_account_share_locked(ctx, a, limit,
                            ctx->fleet_mode, now, &counter);

        } else {
            ngx_http_claude_relay_counter_locked(rmcf, NCR_SCOPE_ACCOUNT,
                                                 a->owner, limit, now,
                                                 &counter);

            counter.reserved = want * a->node->inflight;

            admits = ncr_counter_admits(&counter, limit, want);
        }

        switch (admits) {

        case NCR_ADMITS:
            break;

        case NCR_ADMITS_BUSY:
            rc = 0;
            break;

        case NCR_ADMITS_FULL:
            rc = 0;
            *until = ngx_max(*until, counter.end);
            break;
        }
    }

    return rc;
}


/*
 * The same where other nodes use the account, too: what would have to be asked
 * for is taken to be there, while accounts are looked at, and is asked for when
 * one of them is taken.
 */

static ncr_admits_e
ngx_http_claude_relay_account_share_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a, ncr_limit_t *limit, ngx_uint_t mode,
    ncr_msec_t now, ncr_counter_t *counter)
{
    uint64_t                            id, want;
    ngx_uint_t                          made;
    ncr_share_e                         e;
    ngx_http_claude_relay_share_t      *sh;
    ngx_http_claude_relay_counter_t    *c;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    id = ncr_limit_counter(NCR_SCOPE_ACCOUNT, a->owner, limit);
    want = ngx_http_claude_relay_wants(ctx)->unit[limit->unit];
    made = 0;

    c = ngx_http_claude_relay_counter_get_locked(rmcf, id, &made);

    if (c == NULL) {
        ngx_memzero(counter, sizeof(ncr_counter_t));
        return NCR_ADMITS;
    }

    ngx_http_claude_relay_counter_roll_locked(rmcf, &c->counter, limit, now);

    *counter = c->counter;

    sh = ngx_http_claude_relay_share_limit_locked(rmcf, c,
                                ncr_share_id(NCR_SCOPE_ACCOUNT, ncr(&a->name),
                                             limit->identity),
                                limit->unit == NCR_UNIT_CONCURRENCY, a->node);

    if (sh == NULL) {
        counter->reserved = want * a->node->inflight;
        return ncr_counter_admits(counter, limit, want);
    }

    e = ngx_http_claude_relay_share_judge_locked(rmcf, sh, limit->amount, want,
                                                 mode, ctx->slots_since);

    if (e == NCR_SHARE_OK
        || (e == NCR_SHARE_ASK && mode == NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS))
    {
        return NCR_ADMITS;
    }

    return (e == NCR_SHARE_USED_UP) ? NCR_ADMITS_FULL : NCR_ADMITS_BUSY;
}


ngx_int_t
ngx_http_claude_relay_account_asks_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    ngx_int_t                           rc;
    ngx_uint_t                          i;
    ncr_limit_t                        *limit;
    ncr_counter_t                       counter;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ctx->fleet_mode != NGX_HTTP_CLAUDE_RELAY_SHARE_LOOKS
        || ncr_op_is(ctx->route.op, NCR_OP_FREE))
    {
        return NGX_OK;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    rc = NGX_OK;

    if (a->max_concurrency
        && ngx_http_claude_relay_share_account_locked(rmcf, a,
                                           NGX_HTTP_CLAUDE_RELAY_SHARE_ASKS, 0)
           != NCR_SHARE_OK)
    {
        rc = NGX_AGAIN;
    }

    for (i = 0; (limit = ngx_http_claude_relay_account_limit(rmcf, a, i)); i++)
    {
        if (!limit->shadow && ngx_http_claude_relay_counts(ctx, limit)
            && ngx_http_claude_relay_account_share_locked(ctx, a, limit,
                              NGX_HTTP_CLAUDE_RELAY_SHARE_ASKS, now, &counter)
               != NCR_ADMITS)
        {
            rc = NGX_AGAIN;
        }
    }

    return rc;
}
