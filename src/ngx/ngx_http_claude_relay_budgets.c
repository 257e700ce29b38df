
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Limits that are nearly used: of accounts, of keys, users and groups, and of
 * everybody's by model; those of the store bucket by bucket.
 */


#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_shares.h"


/* buckets of keys, and keys of nginx.conf, of one step */
#define NGX_HTTP_CLAUDE_RELAY_BUCKETS  16

/* limits that a step finds nearly used */
#define NGX_HTTP_CLAUDE_RELAY_NEAR     128

/* what is used in less is no budget, ms: it comes and goes */
#define NGX_HTTP_CLAUDE_RELAY_BUDGET   3600000


/* a limit that may be at a threshold: a copy, which outlives the lock */

typedef struct {
    ncr_scope_e                        scope;
    char                               name[NCR_KEY_NAME];
    ncr_limit_t                        limit;
    ncr_counter_t                      counter;
} ngx_http_claude_relay_near_t;


static ngx_uint_t ngx_http_claude_relay_pass_conf(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static ngx_uint_t ngx_http_claude_relay_pass_keys(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static void ngx_http_claude_relay_near_key_locked(
    ngx_http_claude_relay_teller_t *t, ncr_key_t *key, ncr_msec_t now);
static void ngx_http_claude_relay_near_locked(
    ngx_http_claude_relay_teller_t *t, ncr_scope_e scope, uint64_t owner,
    ncr_str_t *name, ncr_limit_t *limit, ncr_msec_t now);
static void ngx_http_claude_relay_see_near(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now);
static uint32_t ngx_http_claude_relay_used(ncr_limit_t *limit,
    ncr_counter_t *counter);
static void ngx_http_claude_relay_amount(u_char *buf, size_t size,
    ncr_limit_t *limit, uint64_t amount);


static ngx_http_claude_relay_near_t
                     ngx_http_claude_relay_nears[NGX_HTTP_CLAUDE_RELAY_NEAR];
static ngx_uint_t  ngx_http_claude_relay_nnears;


void
ngx_http_claude_relay_pass_account_limits(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    ngx_uint_t    i;
    ncr_limit_t  *limit;

    if (t->conf->budget.n == 0
        || (a->nlimits == 0
            && t->rmcf->limits[NCR_SCOPE_ACCOUNT].nelts == 0))
    {
        return;
    }

    ngx_shmtx_lock(&t->rmcf->shpool->mutex);

    for (i = 0;
         (limit = ngx_http_claude_relay_account_limit(t->rmcf, a, i));
         i++)
    {
        ngx_http_claude_relay_near_locked(t, NCR_SCOPE_ACCOUNT, a->owner,
                                          ncr(&a->name), limit, now);
    }

    ngx_shmtx_unlock(&t->rmcf->shpool->mutex);

    ngx_http_claude_relay_see_near(t, now);
}


ngx_uint_t
ngx_http_claude_relay_pass_limits(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    return ngx_http_claude_relay_pass_conf(t, now)
           || ngx_http_claude_relay_pass_keys(t, now);
}


/* keys, users and groups of nginx.conf, and what everybody has by model; 1:
 * there are more */

static ngx_uint_t
ngx_http_claude_relay_pass_conf(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ncr_str_t                           name;
    ngx_uint_t                          i;
    ncr_limit_t                        *limit;
    ngx_array_t                        *keys;
    ngx_http_claude_relay_key_t        *key;
    ngx_http_claude_relay_pass_t       *pass;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = t->rmcf;
    pass = &t->pass;

    if (pass->scope > NCR_SCOPE_GROUP) {
        return 0;
    }

    keys = (pass->scope == NCR_SCOPE_KEY) ? &rmcf->keys
           : (pass->scope == NCR_SCOPE_USER) ? &rmcf->users : &rmcf->groups;
    key = keys->elts;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_BUCKETS; i++) {

        if (pass->key == keys->nelts) {
            break;
        }

        ngx_http_claude_relay_near_key_locked(t, key[pass->key++].key, now);
    }

    if (pass->key == keys->nelts) {
        pass->key = 0;
        pass->scope++;

        if (pass->scope > NCR_SCOPE_GROUP) {

            ncr_str_set(&name, "nginx.conf");
            limit = rmcf->limits[NCR_SCOPE_MODEL].elts;

            for (i = 0; i < rmcf->limits[NCR_SCOPE_MODEL].nelts; i++) {
                ngx_http_claude_relay_near_locked(t, NCR_SCOPE_MODEL, 0,
                                                  &name, &limit[i], now);
            }
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_see_near(t, now);

    return 1;
}


/* the same of the store, by buckets; 1: there are more */

static ngx_uint_t
ngx_http_claude_relay_pass_keys(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ncr_key_t                          *key;
    ngx_uint_t                          i;
    ngx_http_claude_relay_pass_t       *pass;
    ngx_http_claude_relay_subject_t    *pos;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = t->rmcf;
    pass = &t->pass;

    if (pass->subjects == NULL || pass->bucket > pass->mask) {
        return 0;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (rmcf->subjects != pass->subjects
        || rmcf->subjects->mask != pass->mask)
    {
        /* other tables: the next pass goes through them */

        pass->subjects = NULL;

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        ncr_alert_keep(t->alerts, NCR_ALERT_BUDGET, "");
        return 0;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_BUCKETS; i++) {

        if (pass->bucket > pass->mask
            || ngx_http_claude_relay_nnears
               > NGX_HTTP_CLAUDE_RELAY_NEAR - NCR_KEY_LIMITS)
        {
            break;
        }

        pos = NULL;

        do {
            key = ngx_http_claude_relay_subject_of_bucket_locked(rmcf,
                                                           pass->bucket, &pos);
            if (key) {
                ngx_http_claude_relay_near_key_locked(t, key, now);
            }

        } while (pos);

        pass->bucket++;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_see_near(t, now);

    return 1;
}


/* its own limits, and those that all of its kind have */

static void
ngx_http_claude_relay_near_key_locked(ngx_http_claude_relay_teller_t *t,
    ncr_key_t *key, ncr_msec_t now)
{
    ncr_str_t     name;
    ngx_uint_t    i, j;
    ncr_limit_t  *limit;

    if (!key->enabled || key->scope > NCR_SCOPE_MODEL) {
        return;
    }

    name = ncr_key_text(key, key->name);

    for (i = 0; i < key->nlimits; i++) {
        ngx_http_claude_relay_near_locked(t, key->scope, key->id, &name,
                                          &key->limits[i], now);
    }

    if (key->scope == NCR_SCOPE_MODEL) {
        return;
    }

    limit = t->rmcf->limits[key->scope].elts;

    for (i = 0; i < t->rmcf->limits[key->scope].nelts; i++) {

        for (j = 0; j < key->nlimits; j++) {
            if (key->limits[j].identity == limit[i].identity) {
                break;
            }
        }

        if (j == key->nlimits) {
            ngx_http_claude_relay_near_locked(t, key->scope, key->id, &name,
                                              &limit[i], now);
        }
    }
}


static void
ngx_http_claude_relay_near_locked(ngx_http_claude_relay_teller_t *t,
    ncr_scope_e scope, uint64_t owner, ncr_str_t *name, ncr_limit_t *limit,
    ncr_msec_t now)
{
    uint64_t                          id;
    ncr_counter_t                     all;
    ngx_http_claude_relay_near_t     *near;
    ngx_http_claude_relay_counter_t  *c;

    if (limit->unit == NCR_UNIT_CONCURRENCY || limit->amount == 0
        || ngx_http_claude_relay_nnears == NGX_HTTP_CLAUDE_RELAY_NEAR)
    {
        return;
    }

    /* what nobody has used yet has no counter */

    id = ncr_limit_counter(scope, owner, limit);
    c = ngx_http_claude_relay_counter_find_locked(t->rmcf->zone, id);

    if (c) {
        all = c->counter;

        /* with what others have used, as far as it is known */

        if (c->share) {
            ncr_share_shown(&c->share->share, &all);
        }
    }

    if (c == NULL || c->counter.end <= now
        || c->counter.end - c->counter.start < NGX_HTTP_CLAUDE_RELAY_BUDGET
        || ngx_http_claude_relay_used(limit, &all)
           + NGX_HTTP_CLAUDE_RELAY_BELOW < t->conf->budget.at[0])
    {
        return;
    }

    near = &ngx_http_claude_relay_nears[ngx_http_claude_relay_nnears++];

    near->scope = scope;
    near->limit = *limit;
    near->counter = all;

    ncr_str_copy(near->name, sizeof(near->name), name);
}


static void
ngx_http_claude_relay_see_near(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    char                           text[NCR_LIMIT_TEXT];
    char                           reset[NCR_STR_RFC3339];
    u_char                         subject[NCR_ALERT_SUBJECT], used[32];
    u_char                         title[NCR_ALERT_TITLE], amount[32];
    ngx_uint_t                     i, percent;
    const char                    *values[4], *kind;
    ncr_alert_t                   *a;
    ncr_alert_sample_t             sample;
    ngx_http_claude_relay_near_t  *near;

    static const char *const  names[] = { "of", "limit", "used", "reset",
                                          NULL };

    for (i = 0; i < ngx_http_claude_relay_nnears; i++) {

        near = &ngx_http_claude_relay_nears[i];

        kind = (near->scope == NCR_SCOPE_ACCOUNT)
               ? "account" : ngx_http_claude_relay_kind(near->scope);

        (void) ncr_limit_print(&near->limit, text, sizeof(text));
        (void) ngx_snprintf(subject, sizeof(subject), "%s/%s/%s%Z", kind,
                            near->name, text);
        subject[sizeof(subject) - 1] = '\0';

        ngx_memzero(&sample, sizeof(ncr_alert_sample_t));

        sample.kind = NCR_ALERT_BUDGET;
        sample.subject = (char *) subject;
        sample.value = ngx_http_claude_relay_used(&near->limit,
                                                  &near->counter);
        sample.steps = &t->conf->budget;
        sample.margin = NGX_HTTP_CLAUDE_RELAY_BELOW;

        a = ncr_alert_sample(t->alerts, &sample, now);
        if (a == NULL) {
            continue;
        }

        percent = sample.value / 100;

        ngx_http_claude_relay_amount(used, sizeof(used), &near->limit,
                                     near->counter.used);
        ngx_http_claude_relay_amount(amount, sizeof(amount), &near->limit,
                                     near->limit.amount);

        if (near->counter.end == INT64_MAX) {
            (void) ngx_cpystrn((u_char *) reset, (u_char *) "never",
                               sizeof(reset));

        } else {
            ncr_str_rfc3339(reset, near->counter.end);
        }

        values[0] = near->name;
        values[1] = text;
        values[2] = (char *) used;
        values[3] = reset;

        (void) ngx_snprintf(title, sizeof(title),
                            "Limit %s of %s %s is used by %ui%%%Z", text,
                            kind, near->name, percent);
        title[sizeof(title) - 1] = '\0';

        ngx_http_claude_relay_say(a, (a->observed == t->conf->budget.n)
                                     ? NCR_ALERT_CRITICAL : NCR_ALERT_WARNING,
                                  (char *) title,
                                  "%s of %s are used; it begins anew: %s.%s",
                                  used, amount, reset,
                                  near->limit.shadow
                                  ? " It is a shadow limit: nobody is refused."
                                  : "");
        ngx_http_claude_relay_say_fields(a, names, values);
    }

    ngx_http_claude_relay_nnears = 0;
}


/* in 1/10000 */

static uint32_t
ngx_http_claude_relay_used(ncr_limit_t *limit, ncr_counter_t *counter)
{
    double  share;

    share = (double) counter->used * 10000 / (double) limit->amount;

    return (share > 1000000) ? 1000000 : (uint32_t) share;
}


static void
ngx_http_claude_relay_amount(u_char *buf, size_t size, ncr_limit_t *limit,
    uint64_t amount)
{
    if (limit->unit == NCR_UNIT_COST) {
        (void) ngx_snprintf(buf, size, "$%uL.%02uL%Z", amount / 1000000,
                            amount / 10000 % 100);

    } else {
        (void) ngx_snprintf(buf, size, "%uL%Z", amount);
    }
}
