
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is counted, and where.  Names that come from outside get a row of
 * their own as long as there are some, all others share the first one: a
 * model must have been served by an upstream, and one that has no price must
 * leave half of the rows to those that do.
 */


#include "ngx_http_claude_relay_metrics.h"
#include "ngx_http_claude_relay_settings.h"


/* models take no more than this share of the zone */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_SHARE  16

/* sessions that go for a row, at most; there are 32 in a page */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_EVICT  64

/* rows that a worker finds without a search */
#define NGX_HTTP_CLAUDE_RELAY_METRICS_KNOWN  32


typedef struct {
    const ncr_prices_t                *prices;  /* NULL: free */
    ncr_char_t                        *platform;
    size_t                             asked;   /* lengths */
    size_t                             served;
    ngx_uint_t                         row;
    u_char                             names[
                                     2 * NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
} ngx_http_claude_relay_metrics_known_t;


static ngx_int_t ngx_http_claude_relay_metrics_keys_zone(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_metrics_request(
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t op, ngx_uint_t status,
    ngx_uint_t stream);
static ngx_uint_t ngx_http_claude_relay_metrics_op(ncr_op_e op);
static void ngx_http_claude_relay_metrics_refused(
    ngx_http_claude_relay_metrics_t *m, ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_metrics_limits_locked(
    ngx_http_claude_relay_metrics_t *m, ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_metrics_tokens_locked(uint64_t *tokens,
    ncr_usage_t *usage);
static void ngx_http_claude_relay_metrics_parts_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec);
static void ngx_http_claude_relay_metrics_served_locked(
    ngx_http_claude_relay_metrics_model_t *row, ncr_record_t *rec);
static ngx_http_claude_relay_metrics_model_t *
    ngx_http_claude_relay_metrics_model_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec,
    ncr_str_t *served);
static ngx_uint_t ngx_http_claude_relay_metrics_row_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec,
    ncr_str_t *served);
static ngx_uint_t ngx_http_claude_relay_metrics_name(char *dst,
    const ncr_prices_t *prices, ncr_str_t *model, ncr_msec_t time);
static void ngx_http_claude_relay_metrics_key_locked(
    ngx_http_claude_relay_metrics_keys_t *keys, ncr_record_t *rec);


static ngx_http_claude_relay_metrics_known_t
    ngx_http_claude_relay_metrics_known[NGX_HTTP_CLAUDE_RELAY_METRICS_KNOWN];


ngx_int_t
ngx_http_claude_relay_metrics_zone(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    ngx_int_t                         rc;
    ngx_uint_t                        n;
    ngx_http_claude_relay_zone_t     *zone;
    ngx_http_claude_relay_metrics_t  *m;

    zone = rmcf->zone;
    rc = NGX_OK;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (zone->metrics == NULL) {

        n = rmcf->shm_zone->shm.size / NGX_HTTP_CLAUDE_RELAY_METRICS_SHARE
            / sizeof(ngx_http_claude_relay_metrics_model_t);
        n = ngx_min(n, NGX_HTTP_CLAUDE_RELAY_METRICS_MODELS);

        m = ngx_slab_calloc_locked(rmcf->shpool,
                                   sizeof(ngx_http_claude_relay_metrics_t));

        if (m) {
            m->models[0] = ngx_slab_calloc_locked(rmcf->shpool,
                              sizeof(ngx_http_claude_relay_metrics_model_t));
        }

        if (m && m->models[0]) {
            m->max = n;
            m->n = 1;

            (void) ngx_cpystrn((u_char *) m->models[0]->platform,
                               (u_char *) "(other)",
                               sizeof(m->models[0]->platform));
            (void) ngx_cpystrn((u_char *) m->models[0]->asked,
                               (u_char *) "(other)",
                               NGX_HTTP_CLAUDE_RELAY_METRICS_NAME);
            (void) ngx_cpystrn((u_char *) m->models[0]->served,
                               (u_char *) "(other)",
                               NGX_HTTP_CLAUDE_RELAY_METRICS_NAME);

            zone->metrics = m;

        } else {
            rc = NGX_ERROR;
        }
    }

    if (rc == NGX_OK && rmcf->metrics_keys
        && (zone->metrics->keys == NULL
            || zone->metrics->keys->max < rmcf->metrics_keys))
    {
        rc = ngx_http_claude_relay_metrics_keys_zone(rmcf);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no room for metrics%s in zone \"%V\", make it larger",
                      zone->metrics ? " of so many keys" : "",
                      &rmcf->shm_zone->shm.name);
    }

    return rc;
}


/* another table, larger, with what the old one has */

static ngx_int_t
ngx_http_claude_relay_metrics_keys_zone(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                                 size;
    ngx_uint_t                             i, j, n;
    ngx_http_claude_relay_metrics_keys_t  *keys, *old;

    for (n = 64; n < 2 * rmcf->metrics_keys; n <<= 1) { /* void */ }

    size = sizeof(ngx_http_claude_relay_metrics_keys_t)
           + (rmcf->metrics_keys + 1)
             * sizeof(ngx_http_claude_relay_metrics_key_t);

    /* pages in a row are needed: some more sessions than fit may have to go,
     * but not all of them for a table that is larger than the zone */

    keys = ngx_http_claude_relay_alloc_locked(rmcf,
                              size + n * sizeof(uint32_t),
                              4 * size / sizeof(ngx_http_claude_relay_bond_t));
    if (keys == NULL) {
        return NGX_ERROR;
    }

    old = rmcf->zone->metrics->keys;

    keys->max = rmcf->metrics_keys + 1;
    keys->n = 1;
    keys->mask = n - 1;
    keys->slots = (uint32_t *) ((u_char *) keys + size);

    (void) ngx_cpystrn((u_char *) keys->keys[0].name, (u_char *) "(other)",
                       NGX_HTTP_CLAUDE_RELAY_METRICS_NAME);

    if (old) {
        keys->n = old->n;

        ngx_memcpy(keys->keys, old->keys,
                   old->n * sizeof(ngx_http_claude_relay_metrics_key_t));

        for (i = 1; i < keys->n; i++) {
            j = keys->keys[i].hash & keys->mask;

            while (keys->slots[j]) {
                j = (j + 1) & keys->mask;
            }

            keys->slots[j] = (uint32_t) i;
        }
    }

    rmcf->zone->metrics->keys = keys;

    if (old) {
        ngx_slab_free_locked(rmcf->shpool, old);
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_metrics_locked(ngx_http_claude_relay_ctx_t *ctx,
    ncr_record_t *rec)
{
    ngx_uint_t                          op, stream;
    ngx_http_claude_relay_tally_t      *tally;
    ngx_http_claude_relay_metrics_t    *m;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    m = rmcf->zone->metrics;

    op = ngx_http_claude_relay_metrics_op(ctx->route.op);
    stream = (rec->flags & NCR_RECORD_STREAM) ? 1 : 0;

    ngx_http_claude_relay_metrics_request(ctx, op, rec->status, stream);

    m->outcomes[ctx->error]++;

    if (ctx->error == NCR_CLASS_ABORTED) {
        m->aborts[ctx->committed]++;
    }

    m->sticky[ctx->sticky]++;

    if (ctx->sticky == NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED) {
        m->moves[ctx->moved]++;
    }

    if (rec->flags & (NCR_RECORD_REFUSED|NCR_RECORD_SHADOW)) {
        ngx_http_claude_relay_metrics_limits_locked(m, ctx);
    }

    ncr_histogram_add(&m->durations[op][stream], &ncr_scale_duration,
                      rec->duration);

    if (ctx->own_ns) {
        ncr_histogram_add(&m->own, &ncr_scale_own, ctx->own_ns);
    }

    if (m->keys && rec->key.len) {
        ngx_http_claude_relay_metrics_key_locked(m->keys, rec);
    }

    if (!ctx->committed) {
        return;
    }

    tally = &ctx->account->node->tally;
    tally->requests++;

    if (rec->nparts == 0) {
        return;
    }

    tally->cost += rec->cost;
    ngx_http_claude_relay_metrics_tokens_locked(tally->tokens, &rec->usage);

    if (rec->flags & NCR_RECORD_ESTIMATED) {
        m->estimated++;
    }

    ngx_http_claude_relay_metrics_parts_locked(rmcf, rec);
}


void
ngx_http_claude_relay_metrics_local(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                          op;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    /* by what a key may do: not everybody gets as far as a record */

    ngx_http_claude_relay_metrics_refused(rmcf->zone->metrics, ctx);

    op = ngx_http_claude_relay_metrics_op(ctx->route.op);

    /* no route, and a preflight: no operation has been asked for */

    if (ctx->request->method == NGX_HTTP_OPTIONS
        || (!ctx->authorized
            && op != NCR_OP_PROBE
            && op != NCR_OP_TELEMETRY
            && op != NCR_OP_SELF))
    {
        op = NGX_HTTP_CLAUDE_RELAY_METRICS_OPS - 1;
    }

    ngx_http_claude_relay_metrics_request(ctx, op,
                   ngx_http_claude_relay_final_status(ctx->request), 0);
}


static void
ngx_http_claude_relay_metrics_request(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t op, ngx_uint_t status, ngx_uint_t stream)
{
    ngx_uint_t                          code;
    ngx_http_claude_relay_metrics_t    *m;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    m = rmcf->zone->metrics;

    code = status / 100;

    if (code >= NGX_HTTP_CLAUDE_RELAY_METRICS_CODES) {
        code = 0;
    }

    (void) ngx_atomic_fetch_add(&m->requests[op][code][stream], 1);
}


static ngx_uint_t
ngx_http_claude_relay_metrics_op(ncr_op_e op)
{
    return ngx_min((ngx_uint_t) op, NGX_HTTP_CLAUDE_RELAY_METRICS_OPS - 1);
}


static void
ngx_http_claude_relay_metrics_refused(ngx_http_claude_relay_metrics_t *m,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t  scope, unit;

    if (ctx->refused.status == 0) {
        return;
    }

    scope = ngx_min((ngx_uint_t) ctx->refused.scope,
                    NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES - 1);

    unit = (ctx->refused.admits != NCR_ADMITS)
           ? ngx_min((ngx_uint_t) ctx->refused.limit.unit, NCR_UNITS)
           : NCR_UNITS;

    (void) ngx_atomic_fetch_add(&m->refusals[scope][unit], 1);
}


static void
ngx_http_claude_relay_metrics_limits_locked(
    ngx_http_claude_relay_metrics_t *m, ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_claim_t  *claim;

    if (ctx->refused.status) {
        ngx_http_claude_relay_metrics_refused(m, ctx);
        m->queues[ctx->refused.queue]++;
    }

    if (!ctx->shadowed) {
        return;
    }

    m->shadowed++;

    for (i = 0; i < ctx->nclaims; i++) {

        claim = &ctx->claims[i];

        if (claim->shadowed) {
            m->shadows[claim->scope][claim->limit->unit]++;
        }
    }
}


static void
ngx_http_claude_relay_metrics_tokens_locked(uint64_t *tokens,
    ncr_usage_t *usage)
{
    uint64_t  hour;

    /* the split of writes is not always told; five minutes are usual */

    hour = ngx_min(usage->cache_write_1h, usage->cache_write);

    tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_INPUT] += usage->input;
    tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_OUTPUT] += usage->output;
    tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_READ] += usage->cache_read;
    tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_5M] += usage->cache_write - hour;
    tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_1H] += hour;
}


/*
 * Tokens go to the models that made them.  The cost is known of all together;
 * of several models each but the first is billed again, so that the sum is
 * that of the records.
 */

static void
ngx_http_claude_relay_metrics_parts_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec)
{
    uint64_t                                cost, left;
    ncr_int_t                               rc;
    ncr_str_t                               name;
    ncr_bill_t                              bill;
    ngx_uint_t                              i;
    ngx_http_claude_relay_metrics_model_t  *row;

    row = ngx_http_claude_relay_metrics_model_locked(rmcf, rec,
                                                     &rec->served);

    ngx_http_claude_relay_metrics_served_locked(row, rec);

    if (rec->nparts == 1) {
        row->cost += rec->cost;
        row->unpriced += (rec->flags & NCR_RECORD_UNPRICED) ? 1 : 0;
        ngx_http_claude_relay_metrics_tokens_locked(row->tokens, &rec->usage);
        return;
    }

    bill.time = rec->time;
    bill.tier = rec->tier;
    bill.permille = rec->permille;
    bill.nparts = 1;
    bill.rows = NULL;

    left = rec->cost;

    for (i = rec->nparts; i-- > 0; /* void */ ) {

        name.data = (u_char *) rec->parts[i].model;
        name.len = ngx_strlen(name.data);

        row = ngx_http_claude_relay_metrics_model_locked(rmcf, rec, &name);

        bill.parts = &rec->parts[i];
        rc = ncr_price_bill(rmcf->prices, &bill, &cost);

        cost = (i == 0) ? left : ngx_min(cost, left);
        left -= cost;

        row->cost += cost;
        row->unpriced += (rc != NCR_OK);

        ngx_http_claude_relay_metrics_tokens_locked(row->tokens,
                                                    &rec->parts[i].usage);
    }
}


/* the request as a whole, with the model that its answer named */

static void
ngx_http_claude_relay_metrics_served_locked(
    ngx_http_claude_relay_metrics_model_t *row, ncr_record_t *rec)
{
    row->requests++;

    ncr_histogram_add(&row->input, &ncr_scale_tokens,
                      rec->usage.input + rec->usage.cache_read
                      + rec->usage.cache_write);
    ncr_histogram_add(&row->output, &ncr_scale_tokens, rec->usage.output);
    ncr_histogram_add(&row->duration, &ncr_scale_duration, rec->duration);

    if (!(rec->flags & NCR_RECORD_STREAM) || rec->ttft == UINT32_MAX) {
        return;
    }

    ncr_histogram_add(&row->first_token, &ncr_scale_first_token, rec->ttft);

    if (rec->usage.output > 1 && rec->duration >= rec->ttft) {
        ncr_histogram_add(&row->per_token, &ncr_scale_per_token,
                          (uint64_t) (rec->duration - rec->ttft) * 1000
                          / (rec->usage.output - 1));
    }
}


static ngx_http_claude_relay_metrics_model_t *
ngx_http_claude_relay_metrics_model_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec,
    ncr_str_t *served)
{
    ncr_str_t                              *asked;
    ngx_uint_t                              row;
    ngx_http_claude_relay_metrics_t        *m;
    ngx_http_claude_relay_metrics_known_t  *k;

    m = rmcf->zone->metrics;
    asked = &rec->model;

    if (asked->len > NGX_HTTP_CLAUDE_RELAY_METRICS_NAME
        || served->len > NGX_HTTP_CLAUDE_RELAY_METRICS_NAME)
    {
        row = ngx_http_claude_relay_metrics_row_locked(rmcf, rec, served);
        return m->models[row];
    }

    k = &ngx_http_claude_relay_metrics_known[
                      ((uint32_t) ngx_hash_key(served->data, served->len)
                       + (uintptr_t) rec->platform.data / 16)
                      % NGX_HTTP_CLAUDE_RELAY_METRICS_KNOWN];

    if (k->prices == rmcf->prices
        && k->platform == rec->platform.data
        && k->served == served->len
        && k->asked == asked->len
        && ngx_memcmp(k->names, served->data, served->len) == 0
        && ngx_memcmp(k->names + NGX_HTTP_CLAUDE_RELAY_METRICS_NAME,
                      asked->data, asked->len) == 0)
    {
        return m->models[k->row];
    }

    row = ngx_http_claude_relay_metrics_row_locked(rmcf, rec, served);

    if (row == 0) {
        return m->models[0];
    }

    k->prices = rmcf->prices;
    k->platform = rec->platform.data;
    k->served = served->len;
    k->asked = asked->len;
    k->row = row;

    ngx_memcpy(k->names, served->data, served->len);
    ngx_memcpy(k->names + NGX_HTTP_CLAUDE_RELAY_METRICS_NAME, asked->data,
               asked->len);

    return m->models[row];
}


/* rows are never taken away, so a worker may remember where one is; the
 * first is a good answer for now if the zone is full */

static ngx_uint_t
ngx_http_claude_relay_metrics_row_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec,
    ncr_str_t *served)
{
    char                                    s[
                                         NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
    char                                    a[
                                         NGX_HTTP_CLAUDE_RELAY_METRICS_NAME];
    char                                    platform[32];
    ngx_uint_t                              i, priced;
    ngx_http_claude_relay_metrics_t        *m;
    ngx_http_claude_relay_metrics_model_t  *row;

    m = rmcf->zone->metrics;

    if (served->len == 0) {
        return 0;
    }

    ncr_str_copy(platform, sizeof(platform), &rec->platform);

    priced = ngx_http_claude_relay_metrics_name(s, rmcf->prices, served,
                                                rec->time);

    /* what a client writes counts only if the price table knows it */

    if (!ngx_http_claude_relay_metrics_name(a, rmcf->prices, &rec->model,
                                            rec->time)
        && ngx_strcmp(a, s) != 0)
    {
        (void) ngx_cpystrn((u_char *) a, (u_char *) "(other)", sizeof(a));
    }

    for (i = 1; i < m->n; i++) {
        row = m->models[i];

        if (ngx_strcmp(row->served, s) == 0
            && ngx_strcmp(row->asked, a) == 0
            && ngx_strcmp(row->platform, platform) == 0)
        {
            return i;
        }
    }

    if (m->n == m->max || (!priced && m->unpriced >= m->max / 2)) {
        return 0;
    }

    row = ngx_http_claude_relay_alloc_locked(rmcf,
                             sizeof(ngx_http_claude_relay_metrics_model_t),
                             NGX_HTTP_CLAUDE_RELAY_METRICS_EVICT);
    if (row == NULL) {
        return 0;
    }

    ngx_memcpy(row->served, s, sizeof(s));
    ngx_memcpy(row->asked, a, sizeof(a));
    ngx_memcpy(row->platform, platform, sizeof(platform));

    m->models[i] = row;
    m->unpriced += !priced;
    m->n = i + 1;

    return i;
}


/* 1: as the price table spells it; else 0, and as it is, cut */

static ngx_uint_t
ngx_http_claude_relay_metrics_name(char *dst, const ncr_prices_t *prices,
    ncr_str_t *model, ncr_msec_t time)
{
    ncr_str_t           name;
    const ncr_price_t  *price;

    price = model->len ? ncr_price_find(prices, model, NCR_TIER_STANDARD,
                                        time)
                       : NULL;

    if (price) {
        name.data = (u_char *) price->model;
        name.len = ngx_strlen(price->model);
        model = &name;
    }

    ngx_memzero(dst, NGX_HTTP_CLAUDE_RELAY_METRICS_NAME);
    ncr_str_copy(dst, NGX_HTTP_CLAUDE_RELAY_METRICS_NAME, model);

    return price != NULL;
}


static void
ngx_http_claude_relay_metrics_key_locked(
    ngx_http_claude_relay_metrics_keys_t *keys, ncr_record_t *rec)
{
    uint32_t                              hash;
    ncr_str_t                             name;
    ngx_uint_t                            i, slot;
    ngx_http_claude_relay_metrics_key_t  *key;

    /* by name: two series of one name would be none */

    name = rec->key;
    name.len = ngx_min(name.len, NGX_HTTP_CLAUDE_RELAY_METRICS_NAME - 1);

    hash = (uint32_t) ngx_hash_key(name.data, name.len);

    for (slot = hash & keys->mask;
         keys->slots[slot];
         slot = (slot + 1) & keys->mask)
    {
        key = &keys->keys[keys->slots[slot]];

        if (key->hash == hash && ncr_str_eq(&name, key->name)) {
            break;
        }
    }

    i = keys->slots[slot];

    if (i == 0 && keys->n < keys->max) {
        i = keys->n;

        keys->keys[i].hash = hash;
        ncr_str_copy(keys->keys[i].name, NGX_HTTP_CLAUDE_RELAY_METRICS_NAME,
                     &name);

        keys->n = i + 1;
        keys->slots[slot] = (uint32_t) i;
    }

    key = &keys->keys[i];

    key->requests++;
    key->refused += (rec->flags & NCR_RECORD_REFUSED) ? 1 : 0;
    key->cost += rec->rated;

    ngx_http_claude_relay_metrics_tokens_locked(key->tokens, &rec->usage);
}


void
ngx_http_claude_relay_metrics_bytes(ngx_http_request_t *r)
{
    ngx_http_claude_relay_metrics_t    *m;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    m = rmcf->zone->metrics;

    (void) ngx_atomic_fetch_add(&m->received, r->request_length);
    (void) ngx_atomic_fetch_add(&m->sent, r->connection->sent);
}


void
ngx_http_claude_relay_metrics_attempt(ngx_http_claude_relay_account_t *a,
    ncr_class_e class)
{
    (void) ngx_atomic_fetch_add(&a->node->tally.attempts[class], 1);
}


void
ngx_http_claude_relay_metrics_heartbeat(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    (void) ngx_atomic_fetch_add(&rmcf->zone->metrics->heartbeats, 1);
}


void
ngx_http_claude_relay_metrics_refresh(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_refresh_result_e result)
{
    (void) ngx_atomic_fetch_add(&rmcf->zone->metrics->refreshes[result], 1);
}


void
ngx_http_claude_relay_metrics_forget(void)
{
    ngx_memzero(ngx_http_claude_relay_metrics_known,
                sizeof(ngx_http_claude_relay_metrics_known));
}
