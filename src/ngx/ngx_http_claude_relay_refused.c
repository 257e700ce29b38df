
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is said of limits: refusals, headers, variables, and the view of an
 * account.  Nobody hears the name of another one.
 */


#include "ngx_http_claude_relay_shares.h"


/* a client that hears of a wait this long shall not try again, s */
#define NGX_HTTP_CLAUDE_RELAY_POINTLESS  60

#define NGX_HTTP_CLAUDE_RELAY_SAID       512
#define NGX_HTTP_CLAUDE_RELAY_AMOUNT     32


typedef struct {
    const char   *name;
    ncr_unit_e    unit;
    ngx_uint_t    openai;               /* has a name there, too */
} ngx_http_claude_relay_told_t;


static void ngx_http_claude_relay_refuse_busy(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_claim_t *claim,
    u_char *buf);
static void ngx_http_claude_relay_refuse_full(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_claim_t *claim,
    u_char *buf);
static void ngx_http_claude_relay_amount(ncr_unit_e unit, uint64_t amount,
    char *buf);
static const char *ngx_http_claude_relay_window_text(ncr_limit_t *limit,
    char *buf, size_t size);
static uint64_t ngx_http_claude_relay_left(
    ngx_http_claude_relay_claim_t *claim);
static ngx_int_t ngx_http_claude_relay_tell(ngx_http_request_t *r,
    ngx_http_claude_relay_told_t *told, ngx_http_claude_relay_claim_t *claim,
    ncr_msec_t now);
static ngx_int_t ngx_http_claude_relay_tell_header(ngx_http_request_t *r,
    const char *format, const char *unit, ngx_str_t *value);
static void ngx_http_claude_relay_duration(ncr_msec_t ms, ngx_str_t *s);
static ngx_http_claude_relay_claim_t *ngx_http_claude_relay_nearest(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_view_amount(ncr_out_t *out,
    ncr_unit_e unit, uint64_t amount);


static const char  *ngx_http_claude_relay_unit_names[] = {
    "request", "input token", "output token", "token", "cost", "concurrency"
};

static const char  *ngx_http_claude_relay_whose[] = {
    "this key", "this key's user", "this key's group", "the account",
    "this relay"
};

static const char  *ngx_http_claude_relay_scopes[] = {
    "key", "user", "group", "account", "model"
};


static ngx_http_claude_relay_told_t  ngx_http_claude_relay_tolds[] = {
    { "requests", NCR_UNIT_REQUESTS, 1 },
    { "tokens", NCR_UNIT_TOKENS, 1 },
    { "input-tokens", NCR_UNIT_INPUT, 0 },
    { "output-tokens", NCR_UNIT_OUTPUT, 0 },
    { NULL, NCR_UNIT_REQUESTS, 0 }
};


void
ngx_http_claude_relay_claim_owner(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, ngx_str_t *name)
{
    ncr_key_t  *key;
    ncr_str_t   text;

    ngx_str_null(name);

    switch (claim->scope) {

    case NCR_SCOPE_KEY:
        key = ctx->key;
        break;

    case NCR_SCOPE_USER:
        key = ctx->user;
        break;

    case NCR_SCOPE_GROUP:
        key = ctx->group;
        break;

    default:
        key = NULL;
        break;
    }

    if (key) {
        text = ncr_key_text(key, key->name);
        *name = ngx_http_claude_relay_str(&text);
    }
}


void
ngx_http_claude_relay_refuse_claim(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, ncr_admits_e admits)
{
    u_char                           *buf;
    ngx_str_t                         name;
    ngx_http_claude_relay_refused_t  *refused;

    static u_char  unsaid[] = "a limit of this relay is reached";

    refused = &ctx->refused;

    refused->status = NGX_HTTP_TOO_MANY_REQUESTS;
    refused->scope = claim->scope;
    refused->limit = *claim->limit;
    refused->counter = claim->seen;
    refused->admits = admits;

    ngx_http_claude_relay_claim_owner(ctx, claim, &name);
    refused->owner = *ncr(&name);

    ctx->error = (admits == NCR_ADMITS_FULL) ? NCR_CLASS_LIMITED
                                             : NCR_CLASS_THROTTLED;

    buf = ngx_pnalloc(ctx->request->pool, NGX_HTTP_CLAUDE_RELAY_SAID);

    if (buf == NULL) {
        ngx_str_set(&refused->message, unsaid);
        refused->retry_after = 1;
        return;
    }

    if (admits == NCR_ADMITS_FULL) {
        ngx_http_claude_relay_refuse_full(ctx, claim, buf);

    } else {
        ngx_http_claude_relay_refuse_busy(ctx, claim, buf);
    }

    refused->message.data = buf;
    refused->message.len = ngx_strlen(buf);
}


/* what the others of a group have used is not everybody's business */

static void
ngx_http_claude_relay_refuse_full(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, u_char *buf)
{
    char          amount[NGX_HTTP_CLAUDE_RELAY_AMOUNT],
                  used[NGX_HTTP_CLAUDE_RELAY_AMOUNT],
                  window[64], until[NCR_STR_RFC3339];
    u_char       *p, *last;
    ncr_msec_t    wait;
    ncr_limit_t  *limit;

    limit = claim->limit;

    ngx_http_claude_relay_amount(limit->unit, limit->amount, amount);
    ngx_http_claude_relay_amount(limit->unit, claim->seen.used, used);

    last = buf + NGX_HTTP_CLAUDE_RELAY_SAID - 1;

    p = ngx_snprintf(buf, last - buf, "the %s limit of %s is used up: ",
                     ngx_http_claude_relay_unit_names[limit->unit],
                     ngx_http_claude_relay_whose[claim->scope]);

    if (claim->scope == NCR_SCOPE_KEY || claim->scope == NCR_SCOPE_USER) {
        p = ngx_snprintf(p, last - p, "%s of ", used);
    }

    p = ngx_snprintf(p, last - p, "%s %s", amount,
                     ngx_http_claude_relay_window_text(limit, window,
                                                       sizeof(window)));

    if (limit->models[0]) {
        p = ngx_snprintf(p, last - p, " for models %s", limit->models);
    }

    if (claim->seen.end == INT64_MAX) {
        ctx->refused.retry_after = -1;

    } else {
        wait = claim->seen.end - ngx_http_claude_relay_now();
        wait = ngx_max(wait, 1);

        ctx->refused.retry_after = (time_t) ((wait + 999) / 1000);

        ncr_str_rfc3339(until, claim->seen.end);
        p = ngx_snprintf(p, last - p, ", until %s", until);
    }

    *p = '\0';
}


static void
ngx_http_claude_relay_refuse_busy(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_claim_t *claim, u_char *buf)
{
    char                              amount[NGX_HTTP_CLAUDE_RELAY_AMOUNT],
                                      window[64];
    u_char                           *p, *last;
    ncr_limit_t                      *limit;
    ngx_http_claude_relay_refused_t  *refused;

    limit = claim->limit;
    refused = &ctx->refused;

    ngx_http_claude_relay_amount(limit->unit, limit->amount, amount);

    last = buf + NGX_HTTP_CLAUDE_RELAY_SAID - 1;

    if (limit->unit == NCR_UNIT_CONCURRENCY) {
        p = ngx_snprintf(buf, last - buf, "the concurrency limit of %s is "
                         "reached: %s at once",
                         ngx_http_claude_relay_whose[claim->scope], amount);

    } else {
        p = ngx_snprintf(buf, last - buf, "requests under way may use up the "
                         "%s limit of %s: %s %s",
                         ngx_http_claude_relay_unit_names[limit->unit],
                         ngx_http_claude_relay_whose[claim->scope], amount,
                         ngx_http_claude_relay_window_text(limit, window,
                                                           sizeof(window)));
    }

    if (limit->models[0]) {
        p = ngx_snprintf(p, last - p, " for models %s", limit->models);
    }

    switch (refused->queue) {

    case NGX_HTTP_CLAUDE_RELAY_QUEUE_OFF:

        /* slots come free at any time; what is reserved, when it is used */

        refused->retry_after = (limit->unit == NCR_UNIT_CONCURRENCY) ? 1 : 5;
        break;

    case NGX_HTTP_CLAUDE_RELAY_QUEUE_FULL:
        p = ngx_snprintf(p, last - p, ", and the queue is full: %ui of %ui "
                         "wait", refused->waiting, refused->places);
        break;

    case NGX_HTTP_CLAUDE_RELAY_QUEUE_CROWDED:
        p = ngx_snprintf(p, last - p, ", and waits are too long now: %ui of "
                         "%ui wait", refused->waiting, refused->places);
        break;

    case NGX_HTTP_CLAUDE_RELAY_QUEUE_LATE:
        p = ngx_snprintf(p, last - p, ", and %ui ms in the queue were not "
                         "enough", refused->waiting);
        break;
    }

    *p = '\0';
}


/* dollars for money, with cents at least */

static void
ngx_http_claude_relay_amount(ncr_unit_e unit, uint64_t amount, char *buf)
{
    u_char  *p;

    if (unit != NCR_UNIT_COST) {
        p = ncr_str_decimal((u_char *) buf, amount);
        *p = '\0';
        return;
    }

    p = ngx_sprintf((u_char *) buf, "$%uL.%06uL", amount / 1000000,
                    amount % 1000000);

    while (p[-1] == '0' && p[-3] != '.') {
        p--;
    }

    *p = '\0';
}


static const char *
ngx_http_claude_relay_window_text(ncr_limit_t *limit, char *buf, size_t size)
{
    char    name[32];
    u_char  *p;

    if (limit->span == NCR_SPAN_TOTAL) {
        return "in total";
    }

    p = ngx_snprintf((u_char *) buf, size - 1, "per %s",
                     ncr_limit_window(limit, name, sizeof(name)));
    *p = '\0';

    return buf;
}


ngx_int_t
ngx_http_claude_relay_refused(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t                         value;
    ngx_http_claude_relay_refused_t  *refused;

    refused = &ctx->refused;

    /* error() says it of other statuses itself */

    if (refused->status == NGX_HTTP_TOO_MANY_REQUESTS) {

        if (refused->retry_after < 0
            || refused->retry_after >= NGX_HTTP_CLAUDE_RELAY_POINTLESS)
        {
            ngx_str_set(&value, "false");

        } else {
            ngx_str_set(&value, "true");
        }

        if (ngx_http_claude_relay_add_header(r, "x-should-retry", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_claude_relay_error(r, ctx, refused->status,
                                       (char *) refused->message.data,
                                       refused->retry_after);
}


static uint64_t
ngx_http_claude_relay_left(ngx_http_claude_relay_claim_t *claim)
{
    uint64_t  taken;

    taken = claim->seen.used + claim->seen.reserved;

    return (taken < claim->limit->amount) ? claim->limit->amount - taken : 0;
}


/* of each unit the limit of which the least is left */

ngx_int_t
ngx_http_claude_relay_limit_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_msec_t                      now;
    ngx_uint_t                      i;
    ngx_http_claude_relay_told_t   *told;
    ngx_http_claude_relay_claim_t  *claim, *tightest;

    now = ngx_http_claude_relay_now();

    for (told = ngx_http_claude_relay_tolds; told->name; told++) {

        tightest = NULL;

        for (i = 0; i < ctx->nclaims; i++) {

            claim = &ctx->claims[i];

            if (claim->limit->unit == told->unit && !claim->limit->shadow
                && claim->counter
                && (tightest == NULL
                    || ngx_http_claude_relay_left(claim)
                       < ngx_http_claude_relay_left(tightest)))
            {
                tightest = claim;
            }
        }

        if (tightest
            && ngx_http_claude_relay_tell(r, told, tightest, now) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_tell(ngx_http_request_t *r,
    ngx_http_claude_relay_told_t *told, ngx_http_claude_relay_claim_t *claim,
    ncr_msec_t now)
{
    u_char      *p;
    ngx_str_t    limit, left, reset, after;

    p = ngx_pnalloc(r->pool, 4 * NGX_INT64_LEN + 16 + NCR_STR_RFC3339);
    if (p == NULL) {
        return NGX_ERROR;
    }

    limit.data = p;
    p = ncr_str_decimal(p, claim->limit->amount);
    limit.len = p - limit.data;

    left.data = p;
    p = ncr_str_decimal(p, ngx_http_claude_relay_left(claim));
    left.len = p - left.data;

    ngx_str_null(&reset);
    after.data = p;
    after.len = 0;

    if (claim->seen.end != INT64_MAX) {
        ngx_http_claude_relay_duration(claim->seen.end - now, &after);

        reset.data = p + after.len;
        ncr_str_rfc3339((char *) reset.data, claim->seen.end);
        reset.len = NCR_STR_RFC3339 - 1;
    }

    if (ngx_http_claude_relay_tell_header(r, "anthropic-ratelimit-%s-limit",
                                          told->name, &limit)
        != NGX_OK
        || ngx_http_claude_relay_tell_header(r,
                     "anthropic-ratelimit-%s-remaining", told->name, &left)
           != NGX_OK
        || (reset.len
            && ngx_http_claude_relay_tell_header(r,
                         "anthropic-ratelimit-%s-reset", told->name, &reset)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (!told->openai) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_tell_header(r, "x-ratelimit-limit-%s",
                                          told->name, &limit)
        != NGX_OK
        || ngx_http_claude_relay_tell_header(r, "x-ratelimit-remaining-%s",
                                             told->name, &left)
           != NGX_OK
        || (after.len
            && ngx_http_claude_relay_tell_header(r, "x-ratelimit-reset-%s",
                                                 told->name, &after)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_tell_header(ngx_http_request_t *r, const char *format,
    const char *unit, ngx_str_t *value)
{
    u_char  *name, *last;
    size_t   size;

    size = ngx_strlen(format) + ngx_strlen(unit);

    name = ngx_pnalloc(r->pool, size);
    if (name == NULL) {
        return NGX_ERROR;
    }

    last = ngx_snprintf(name, size - 1, format, unit);
    *last = '\0';

    return ngx_http_claude_relay_add_header(r, (char *) name, value);
}


/* "1s", "6m0s", "26h0m0s" */

static void
ngx_http_claude_relay_duration(ncr_msec_t ms, ngx_str_t *s)
{
    u_char    *p;
    uint64_t   n;

    n = (uint64_t) ((ngx_max(ms, 0) + 999) / 1000);
    p = s->data;

    if (n >= 3600) {
        p = ncr_str_decimal(p, n / 3600);
        *p++ = 'h';
    }

    if (n >= 60) {
        p = ncr_str_decimal(p, n % 3600 / 60);
        *p++ = 'm';
    }

    p = ncr_str_decimal(p, n % 60);
    *p++ = 's';

    s->len = p - s->data;
}


/* the one of which the largest share is taken */

static ngx_http_claude_relay_claim_t *
ngx_http_claude_relay_nearest(ngx_http_claude_relay_ctx_t *ctx)
{
    double                          share, most;
    ngx_uint_t                      i;
    ngx_http_claude_relay_claim_t  *claim, *nearest;

    nearest = NULL;
    most = -1;

    for (i = 0; i < ctx->nclaims; i++) {

        claim = &ctx->claims[i];

        if (claim->limit->shadow || claim->counter == NULL) {
            continue;
        }

        share = ((double) claim->seen.used + (double) claim->seen.reserved)
                / (double) claim->limit->amount;

        if (share > most) {
            most = share;
            nearest = claim;
        }
    }

    return nearest;
}


void
ngx_http_claude_relay_text_limit(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t shadow, ngx_str_t *s)
{
    char                            buf[32];
    ngx_uint_t                      i;
    ncr_scope_e                     scope;
    ncr_limit_t                    *limit;
    const char                     *window;
    ngx_http_claude_relay_claim_t  *claim;

    limit = NULL;
    scope = NCR_SCOPE_KEY;

    if (shadow) {

        for (i = 0; i < ctx->nclaims; i++) {
            if (ctx->shadowed && ctx->claims[i].shadowed) {
                limit = ctx->claims[i].limit;
                scope = ctx->claims[i].scope;
                break;
            }
        }

    } else if (ctx->refused.limit.amount) {
        limit = &ctx->refused.limit;
        scope = ctx->refused.scope;

    } else {
        claim = ngx_http_claude_relay_nearest(ctx);

        if (claim) {
            limit = claim->limit;
            scope = claim->scope;
        }
    }

    if (limit == NULL) {
        return;
    }

    s->data = ngx_pnalloc(ctx->request->pool, 64);

    if (s->data) {
        window = ncr_limit_window(limit, buf, sizeof(buf));

        s->len = ngx_snprintf(s->data, 64, "%s:%s%s%s",
                              ngx_http_claude_relay_scopes[scope],
                              ncr_limit_unit(limit->unit),
                              *window ? "/" : "", window)
                 - s->data;
    }
}


void
ngx_http_claude_relay_view_limits(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    char           text[NCR_LIMIT_TEXT];
    ncr_str_t      name;
    ngx_uint_t     i;
    ncr_limit_t   *limit;
    ncr_counter_t  counter;

    ngx_http_claude_relay_whose_t  whose;

    ncr_out_text(out, "[");

    for (i = 0; (limit = ngx_http_claude_relay_account_limit(rmcf, a, i)); i++)
    {
        ngx_shmtx_lock(&rmcf->shpool->mutex);

        whose.scope = NCR_SCOPE_ACCOUNT;
        whose.owner = *ncr(&a->name);
        whose.limit = limit;

        ngx_http_claude_relay_share_look_locked(rmcf, &whose, a->owner);
        ngx_http_claude_relay_counter_locked(rmcf, NCR_SCOPE_ACCOUNT,
                                             a->owner, limit, now, &counter);

        if (limit->unit == NCR_UNIT_CONCURRENCY) {

            /* what the counter has reserved is that of other nodes */

            counter.used = a->node->inflight + counter.reserved;
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        name.data = (u_char *) text;
        name.len = ncr_limit_print(limit, text, sizeof(text));

        ncr_out_text(out, i ? ",{\"limit\":" : "{\"limit\":");
        ncr_out_json_string(out, &name);
        ncr_out_text(out, ",\"unit\":\"");
        ncr_out_text(out, ncr_limit_unit(limit->unit));
        ncr_out_text(out, "\",\"amount\":");
        ngx_http_claude_relay_view_amount(out, limit->unit, limit->amount);
        ncr_out_text(out, ",\"used\":");
        ngx_http_claude_relay_view_amount(out, limit->unit, counter.used);

        if (counter.end != INT64_MAX) {
            ncr_str_rfc3339(text, counter.end);
            ncr_out_text(out, ",\"reset\":\"");
            ncr_out_text(out, text);
            ncr_out_text(out, "\"");
        }

        ncr_out_text(out, "}");
    }

    ncr_out_text(out, "]");
}


/* dollars for money: a number all the same */

static void
ngx_http_claude_relay_view_amount(ncr_out_t *out, ncr_unit_e unit,
    uint64_t amount)
{
    char  buf[NGX_HTTP_CLAUDE_RELAY_AMOUNT];

    ngx_http_claude_relay_amount(unit, amount, buf);

    ncr_out_text(out, buf + (buf[0] == '$'));
}
