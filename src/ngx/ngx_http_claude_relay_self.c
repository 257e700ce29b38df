
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a key is told about itself (FEATURES F005): what it may do, its limits
 * and what is left of them.  No account is asked and nothing is counted; of
 * others only the limits that they share with this key are told, those of its
 * user and its group.
 */


#include "ngx_http_claude_relay_self.h"
#include "ngx_http_claude_relay_shares.h"

#include <cjson/cJSON.h>


/* a limit of the key or of an owner, and its counter as it is now */

typedef struct {
    ncr_scope_e                        scope;
    ncr_key_t                         *owner;
    ncr_limit_t                       *limit;
    ncr_counter_t                      counter;
} ngx_http_claude_relay_budget_t;


typedef struct {
    ngx_http_claude_relay_ctx_t       *ctx;
    ncr_msec_t                         now;
    cJSON                             *settings;    /* or NULL */
    ngx_http_claude_relay_totals_t    *totals;      /* or NULL */
    ncr_store_object_t                 row;     /* if it is of the store */
    ncr_msec_t                         used;    /* the last time, or 0 */
    ngx_uint_t                         n;
    ngx_http_claude_relay_budget_t     budgets[3 * NCR_KEY_LIMITS];
} ngx_http_claude_relay_self_t;


static ngx_int_t ngx_http_claude_relay_self_look(
    ngx_http_claude_relay_self_t *self);
static void ngx_http_claude_relay_self_budgets_locked(
    ngx_http_claude_relay_self_t *self,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *owner);
static cJSON *ngx_http_claude_relay_self_me(
    ngx_http_claude_relay_self_t *self);
static cJSON *ngx_http_claude_relay_self_info(
    ngx_http_claude_relay_self_t *self);
static cJSON *ngx_http_claude_relay_self_usage(
    ngx_http_claude_relay_self_t *self);
static cJSON *ngx_http_claude_relay_self_organization(
    ngx_http_claude_relay_self_t *self);
static void ngx_http_claude_relay_self_sums(
    ngx_http_claude_relay_self_t *self, cJSON *json);
static void ngx_http_claude_relay_self_ledger(
    ngx_http_claude_relay_self_t *self, cJSON *json);
static void ngx_http_claude_relay_self_limits(
    ngx_http_claude_relay_self_t *self, cJSON *json);
static cJSON *ngx_http_claude_relay_self_limit(
    ngx_http_claude_relay_budget_t *b);
static uint64_t ngx_http_claude_relay_self_left(
    ngx_http_claude_relay_budget_t *b);
static void ngx_http_claude_relay_self_remaining(
    ngx_http_claude_relay_self_t *self, cJSON *json, const char *name);
static void ngx_http_claude_relay_self_id(ngx_http_claude_relay_self_t *self,
    const char *prefix, cJSON *json);
static void ngx_http_claude_relay_self_amount(cJSON *json, const char *name,
    ncr_limit_t *limit, uint64_t amount);
static void ngx_http_claude_relay_self_text(cJSON *json, const char *name,
    ncr_key_t *key, ncr_slice_t slice);
static void ngx_http_claude_relay_self_time(cJSON *json, const char *name,
    ncr_msec_t t);


static const char *const  ngx_http_claude_relay_self_scopes[] = {
    "key", "user", "group"
};

/* settings that a key is told; where its requests go is the operator's */

static const char *const  ngx_http_claude_relay_self_members[] = {
    "description", "tags", "permissions", "valid_for", "models",
    "models_denied", "clients", "addresses", "map", "rates", NULL
};

static ngx_str_t  ngx_http_claude_relay_self_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_self(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->key == NULL) {
        ctx->error = NCR_CLASS_AUTH;
        return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_UNAUTHORIZED,
                                           "no API key", -1);
    }

    if (ncr_str_eq(ncr(&ctx->route.path), "/v1/usage")
        && ngx_http_claude_relay_self_totals(r, ctx) == NGX_DONE)
    {
        return NGX_DONE;
    }

    return ngx_http_claude_relay_self_answer(r, NULL);
}


ngx_int_t
ngx_http_claude_relay_self_answer(ngx_http_request_t *r,
    ngx_http_claude_relay_totals_t *totals)
{
    char                          *text;
    cJSON                         *json;
    ncr_str_t                     *path;
    ngx_str_t                      body;
    ngx_http_claude_relay_ctx_t   *ctx;
    ngx_http_claude_relay_self_t   self;

    ctx = ngx_http_get_module_ctx(r, ngx_http_claude_relay_module);
    path = ncr(&ctx->route.path);

    ngx_memzero(&self, offsetof(ngx_http_claude_relay_self_t, budgets));

    self.ctx = ctx;
    self.now = ngx_http_claude_relay_now();
    self.totals = totals;

    if (ngx_http_claude_relay_self_look(&self) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ncr_str_eq(path, "/v1/me")) {
        json = ngx_http_claude_relay_self_me(&self);

    } else if (ncr_str_eq(path, "/v1/key-info")) {
        json = ngx_http_claude_relay_self_info(&self);

    } else if (ncr_str_eq(path, "/v1/usage")) {
        json = ngx_http_claude_relay_self_usage(&self);

    } else {
        json = ngx_http_claude_relay_self_organization(&self);
    }

    text = cJSON_PrintUnformatted(json);

    cJSON_Delete(json);
    cJSON_Delete(self.settings);

    if (text == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = ngx_strlen(text);
    body.data = ngx_pnalloc(r->pool, body.len);

    if (body.data) {
        ngx_memcpy(body.data, text, body.len);
    }

    cJSON_free(text);

    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_claude_relay_send(r, NGX_HTTP_OK,
                                      &ngx_http_claude_relay_self_type, &body);
}


/* everything that is known, at one moment */

static ngx_int_t
ngx_http_claude_relay_self_look(ngx_http_claude_relay_self_t *self)
{
    ngx_int_t                           rc;
    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_key_t        *conf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    ctx = self->ctx;
    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_self_budgets_locked(self, rmcf, ctx->key);
    ngx_http_claude_relay_self_budgets_locked(self, rmcf, ctx->user);
    ngx_http_claude_relay_self_budgets_locked(self, rmcf, ctx->group);

    if (!ctx->key->conf) {
        rc = ngx_http_claude_relay_subject_about_locked(rmcf, ctx->key,
                                                        &self->row,
                                                        &self->used);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        self->settings = cJSON_Parse(self->row.data);
        ngx_free(self->row.data);
        self->row.data = NULL;
        return NGX_OK;
    }

    conf = ngx_http_claude_relay_key_conf_digest(rmcf, ctx->key->digest);

    if (conf && conf->settings.len) {
        self->settings = cJSON_ParseWithLength((char *) conf->settings.data,
                                               conf->settings.len);
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_self_budgets_locked(ngx_http_claude_relay_self_t *self,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *owner)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_whose_t    whose;
    ngx_http_claude_relay_budget_t  *b;

    if (owner == NULL) {
        return;
    }

    for (i = 0; i < owner->nlimits; i++) {
        b = &self->budgets[self->n++];

        b->scope = owner->scope;
        b->owner = owner;
        b->limit = &owner->limits[i];

        whose.scope = b->scope;
        whose.owner = ncr_key_text(owner, owner->name);
        whose.limit = b->limit;

        ngx_http_claude_relay_share_look_locked(rmcf, &whose, owner->id);
        ngx_http_claude_relay_counter_locked(rmcf, b->scope, owner->id,
                                             b->limit, self->now,
                                             &b->counter);
    }
}


/* clients that ask who is logged in want a user */

static cJSON *
ngx_http_claude_relay_self_me(ngx_http_claude_relay_self_t *self)
{
    cJSON      *json;
    ncr_key_t  *key;

    key = self->ctx->key;
    json = cJSON_CreateObject();

    ngx_http_claude_relay_self_id(self, "user_", json);
    (void) cJSON_AddStringToObject(json, "type", "user");
    ngx_http_claude_relay_self_text(json, "display_name", key, key->name);
    ngx_http_claude_relay_self_text(json, "user", key, key->user);
    ngx_http_claude_relay_self_text(json, "group", key, key->group);
    ngx_http_claude_relay_self_time(json, "created_at", key->created);

    return json;
}


static cJSON *
ngx_http_claude_relay_self_info(ngx_http_claude_relay_self_t *self)
{
    cJSON              *json, *info, *item;
    ncr_key_t          *key;
    const char *const  *name;

    key = self->ctx->key;

    json = cJSON_CreateObject();
    info = cJSON_AddObjectToObject(json, "keyInfo");

    ngx_http_claude_relay_self_id(self, "", info);
    ngx_http_claude_relay_self_text(info, "name", key, key->name);

    if (self->row.prefix[0]) {
        (void) cJSON_AddStringToObject(info, "prefix", self->row.prefix);
    }

    (void) cJSON_AddStringToObject(info, "source",
                                   key->conf ? "nginx.conf" : "store");
    (void) cJSON_AddBoolToObject(info, "enabled", key->enabled);
    ngx_http_claude_relay_self_text(info, "user", key, key->user);
    ngx_http_claude_relay_self_text(info, "group", key, key->group);

    for (name = ngx_http_claude_relay_self_members; *name; name++) {

        item = cJSON_GetObjectItemCaseSensitive(self->settings, *name);

        if (item) {
            (void) cJSON_AddItemToObject(info, *name,
                                         cJSON_Duplicate(item, 1));
        }
    }

    ngx_http_claude_relay_self_time(info, "created_at", key->created);
    ngx_http_claude_relay_self_time(info, "updated_at", self->row.updated);
    ngx_http_claude_relay_self_time(info, "activated_at", key->activated);
    ngx_http_claude_relay_self_time(info, "expires_at", ncr_key_ends(key));
    ngx_http_claude_relay_self_time(info, "last_used_at", self->used);

    ngx_http_claude_relay_self_limits(self, info);
    ngx_http_claude_relay_self_time(json, "timestamp", self->now);

    return json;
}


/* what programs show as a balance: dollars that are left */

static cJSON *
ngx_http_claude_relay_self_usage(ngx_http_claude_relay_self_t *self)
{
    cJSON      *json;
    ncr_key_t  *key;

    key = self->ctx->key;
    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "isValid", 1);
    ngx_http_claude_relay_self_text(json, "name", key, key->name);
    ngx_http_claude_relay_self_remaining(self, json, "remaining");
    (void) cJSON_AddStringToObject(json, "unit", "USD");
    ngx_http_claude_relay_self_sums(self, json);
    ngx_http_claude_relay_self_ledger(self, json);
    ngx_http_claude_relay_self_limits(self, json);
    ngx_http_claude_relay_self_time(json, "expires_at", ncr_key_ends(key));
    ngx_http_claude_relay_self_time(json, "timestamp", self->now);

    return json;
}


static cJSON *
ngx_http_claude_relay_self_organization(ngx_http_claude_relay_self_t *self)
{
    cJSON  *json, *data, *item;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "object", "usage");

    data = cJSON_AddArrayToObject(json, "data");
    item = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(item, "type", "credit_balance");
    ngx_http_claude_relay_self_remaining(self, item, "credit_balance");
    (void) cJSON_AddItemToArray(data, item);

    ngx_http_claude_relay_self_limits(self, json);

    return json;
}


/* what the key itself has used in the windows of its limits, all models */

static void
ngx_http_claude_relay_self_sums(ngx_http_claude_relay_self_t *self,
    cJSON *json)
{
    char                             buf[32];
    cJSON                           *usage, *window;
    ngx_uint_t                       i;
    const char                      *name, *unit;
    ngx_http_claude_relay_budget_t  *b;

    usage = cJSON_AddObjectToObject(json, "usage");

    for (i = 0; i < self->n; i++) {

        b = &self->budgets[i];

        if (b->scope != NCR_SCOPE_KEY || b->limit->models[0]
            || b->limit->unit == NCR_UNIT_CONCURRENCY)
        {
            continue;
        }

        name = ncr_limit_window(b->limit, buf, sizeof(buf));
        unit = ncr_limit_unit(b->limit->unit);

        window = cJSON_GetObjectItemCaseSensitive(usage, name);

        if (window == NULL) {
            window = cJSON_AddObjectToObject(usage, name);
        }

        if (cJSON_GetObjectItemCaseSensitive(window, unit) == NULL) {
            ngx_http_claude_relay_self_amount(window, unit, b->limit,
                                              b->counter.used);
        }
    }
}


/* by the ledger, whatever limits there are; null if it was not asked */

static void
ngx_http_claude_relay_self_ledger(ngx_http_claude_relay_self_t *self,
    cJSON *json)
{
    cJSON             *totals, *item;
    ngx_uint_t         i;
    ncr_usage_t       *u;
    ncr_ledger_sum_t  *sum;

    static const char *const  names[NGX_HTTP_CLAUDE_RELAY_TOTALS] = {
        "today", "month", "total"
    };

    if (self->totals == NULL) {
        (void) cJSON_AddNullToObject(json, "totals");
        return;
    }

    totals = cJSON_AddObjectToObject(json, "totals");

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TOTALS; i++) {

        sum = &self->totals->sums[i];
        u = &sum->usage;

        item = cJSON_AddObjectToObject(totals, names[i]);

        (void) cJSON_AddNumberToObject(item, "requests",
                                       (double) sum->requests);
        (void) cJSON_AddNumberToObject(item, "input_tokens",
                                       (double) u->input);
        (void) cJSON_AddNumberToObject(item, "output_tokens",
                                       (double) u->output);
        (void) cJSON_AddNumberToObject(item, "cache_read_tokens",
                                       (double) u->cache_read);
        (void) cJSON_AddNumberToObject(item, "cache_write_tokens",
                                       (double) u->cache_write);
        (void) cJSON_AddNumberToObject(item, "cost",
                                       (double) sum->cost / 1000000);
    }
}


static void
ngx_http_claude_relay_self_limits(ngx_http_claude_relay_self_t *self,
    cJSON *json)
{
    cJSON       *limits;
    ngx_uint_t   i;

    limits = cJSON_AddArrayToObject(json, "limits");

    for (i = 0; i < self->n; i++) {
        (void) cJSON_AddItemToArray(limits,
                       ngx_http_claude_relay_self_limit(&self->budgets[i]));
    }
}


static cJSON *
ngx_http_claude_relay_self_limit(ngx_http_claude_relay_budget_t *b)
{
    char          buf[NCR_LIMIT_TEXT];
    cJSON        *json;
    ncr_msec_t    end;
    ncr_limit_t  *limit;

    limit = b->limit;
    json = cJSON_CreateObject();

    (void) ncr_limit_print(limit, buf, sizeof(buf));
    (void) cJSON_AddStringToObject(json, "limit", buf);
    (void) cJSON_AddStringToObject(json, "scope",
                               ngx_http_claude_relay_self_scopes[b->scope]);
    ngx_http_claude_relay_self_text(json, "owner", b->owner, b->owner->name);
    (void) cJSON_AddStringToObject(json, "unit", ncr_limit_unit(limit->unit));

    if (limit->unit != NCR_UNIT_CONCURRENCY) {
        (void) cJSON_AddStringToObject(json, "window",
                                   ncr_limit_window(limit, buf, sizeof(buf)));
    }

    if (limit->models[0]) {
        (void) cJSON_AddStringToObject(json, "models", limit->models);
    }

    ngx_http_claude_relay_self_amount(json, "amount", limit, limit->amount);
    ngx_http_claude_relay_self_amount(json, "used", limit, b->counter.used);
    ngx_http_claude_relay_self_amount(json, "reserved", limit,
                                      b->counter.reserved);
    ngx_http_claude_relay_self_amount(json, "remaining", limit,
                                      ngx_http_claude_relay_self_left(b));

    /* a window of a length of its own begins with its first use */

    end = (limit->unit == NCR_UNIT_CONCURRENCY
           || b->counter.end == INT64_MAX
           || (limit->span == NCR_SPAN_FREE && b->counter.used == 0
               && b->counter.reserved == 0))
          ? 0 : b->counter.end;

    ngx_http_claude_relay_self_time(json, "resets_at", end);
    (void) cJSON_AddBoolToObject(json, "shadow", limit->shadow);

    return json;
}


static uint64_t
ngx_http_claude_relay_self_left(ngx_http_claude_relay_budget_t *b)
{
    uint64_t  taken;

    taken = b->counter.used + b->counter.reserved;

    return b->limit->amount - ngx_min(taken, b->limit->amount);
}


/* the least of all that hold for every model; null: there is no such limit */

static void
ngx_http_claude_relay_self_remaining(ngx_http_claude_relay_self_t *self,
    cJSON *json, const char *name)
{
    uint64_t                         left;
    ngx_uint_t                       i;
    ngx_http_claude_relay_budget_t  *b, *least;

    least = NULL;
    left = 0;

    for (i = 0; i < self->n; i++) {

        b = &self->budgets[i];

        if (b->limit->unit != NCR_UNIT_COST || b->limit->shadow
            || b->limit->models[0])
        {
            continue;
        }

        if (least == NULL || ngx_http_claude_relay_self_left(b) < left) {
            least = b;
            left = ngx_http_claude_relay_self_left(b);
        }
    }

    if (least == NULL) {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    ngx_http_claude_relay_self_amount(json, name, least->limit, left);
}


/* that of $claude_relay_key_id, so that an operator finds it */

static void
ngx_http_claude_relay_self_id(ngx_http_claude_relay_self_t *self,
    const char *prefix, cJSON *json)
{
    u_char   buf[32];
    u_char  *p;

    p = ngx_cpymem(buf, prefix, ngx_strlen(prefix));
    ncr_hash_hex(p, self->ctx->key->digest, 8);
    p[16] = '\0';

    (void) cJSON_AddStringToObject(json, "id", (char *) buf);
}


/* dollars, or a count */

static void
ngx_http_claude_relay_self_amount(cJSON *json, const char *name,
    ncr_limit_t *limit, uint64_t amount)
{
    double  n;

    n = (double) amount;

    if (limit->unit == NCR_UNIT_COST) {
        n /= 1000000;
    }

    (void) cJSON_AddNumberToObject(json, name, n);
}


static void
ngx_http_claude_relay_self_text(cJSON *json, const char *name,
    ncr_key_t *key, ncr_slice_t slice)
{
    char       buf[NCR_KEY_NAME];
    ncr_str_t  text;

    text = ncr_key_text(key, slice);

    if (text.len == 0) {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    ncr_str_copy(buf, sizeof(buf), &text);

    (void) cJSON_AddStringToObject(json, name, buf);
}


static void
ngx_http_claude_relay_self_time(cJSON *json, const char *name, ncr_msec_t t)
{
    char  buf[NCR_STR_RFC3339];

    if (t == 0) {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    ncr_str_rfc3339(buf, t);

    (void) cJSON_AddStringToObject(json, name, buf);
}
