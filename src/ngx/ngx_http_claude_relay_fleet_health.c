
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rests and windows of accounts over all nodes.  A hash of Redis has, for each
 * account, "STAMP TEXT": what somebody has made of all that was known to it,
 * and when.  Whoever hears more than it knew, or knows more than it has heard,
 * is done when both are the same; ncr_health_share.c has the rules.
 *
 * What was told or heard last is in the node of the account, so that another
 * agent goes on with it.
 */


#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_accounts.h"
#include "ngx_http_claude_relay_feed.h"
#include "ncr_health_share.h"
#include "ncr_str.h"
#include "ncr_uri.h"


/* accounts in one call, four arguments each */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_BATCH  100

/* windows alone are told no more often, ms */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_WINDOWS  1000

/* after a call that failed; between two looks for accounts that are new here,
 * ms */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_AGAIN  1000

/* clocks that have moved by less have not moved, ms */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_SKEW  50

/* a stamp further ahead than that is nobody's, ms */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_AHEAD  300000

/* what nobody has touched for so long is over: no rest is longer; ms */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_TTL  "3456000000"

/* an account's name, percent-encoded */
#define NGX_HTTP_CLAUDE_RELAY_HEALTH_NAME  (3 * NGX_HTTP_CLAUDE_RELAY_NAME_LEN)


typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_ask_t        tell;
    ngx_http_claude_relay_ask_t        pull;
    ngx_http_claude_relay_roster_t    *roster;  /* seen, not used */
    ngx_msec_t                         again;   /* not before */
    ngx_msec_t                         looked;  /* for new accounts */
    ngx_msec_t                         windows; /* told alone, last */
    ncr_msec_t                         skew;
    unsigned                           wanted:1;    /* a pull */
    unsigned                           late:1;  /* "again" counts */
} ngx_http_claude_relay_fleet_health_t;


/* one call of the script that tells */

typedef struct {
    ngx_pool_t                        *pool;
    ngx_str_t                         *args;
    ngx_uint_t                         nargs;
    ngx_uint_t                         naccounts;
    ngx_uint_t                         wait;    /* windows alone do */
    ngx_uint_t                         alone;   /* there were such */
    ncr_msec_t                         now;
} ngx_http_claude_relay_health_batch_t;


static void ngx_http_claude_relay_fleet_health_begin(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_health_end(void);
static void ngx_http_claude_relay_fleet_health_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_health_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static void ngx_http_claude_relay_fleet_health_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed);
static void ngx_http_claude_relay_fleet_health_clock(
    ngx_http_claude_relay_fleet_health_t *fh);
static void ngx_http_claude_relay_fleet_health_roster(
    ngx_http_claude_relay_fleet_health_t *fh);
static void ngx_http_claude_relay_fleet_health_failed(
    ngx_http_claude_relay_fleet_health_t *fh);
static void ngx_http_claude_relay_fleet_health_tell(
    ngx_http_claude_relay_fleet_health_t *fh);
static ngx_int_t ngx_http_claude_relay_fleet_health_add(
    ngx_http_claude_relay_fleet_health_t *fh,
    ngx_http_claude_relay_health_batch_t *batch,
    ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_fleet_health_put(
    ngx_http_claude_relay_health_batch_t *batch,
    ngx_http_claude_relay_account_t *a, ncr_health_share_t *share,
    ncr_msec_t stamp);
static void ngx_http_claude_relay_fleet_health_told(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static void ngx_http_claude_relay_fleet_health_forget(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_health_pull(
    ngx_http_claude_relay_fleet_health_t *fh);
static void ngx_http_claude_relay_fleet_health_pulled(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static void ngx_http_claude_relay_fleet_health_rows(
    ngx_http_claude_relay_fleet_health_t *fh, redisReply *reply);
static int ngx_libc_cdecl ngx_http_claude_relay_fleet_health_compare(
    const void *one, const void *two);
static void ngx_http_claude_relay_fleet_health_heard(
    ngx_http_claude_relay_fleet_health_t *fh,
    ngx_http_claude_relay_account_t *a, ngx_str_t *value, ngx_uint_t stored);
static ngx_uint_t ngx_http_claude_relay_fleet_health_merge_locked(
    ngx_http_claude_relay_node_t *node, ncr_health_share_t *heard,
    ncr_health_share_t *was, ncr_health_share_t *is, ncr_msec_t now,
    ngx_uint_t stored);
static ngx_int_t ngx_http_claude_relay_fleet_health_split(ngx_str_t *text,
    ngx_str_t *word);


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_health = {
    "h",
    ngx_http_claude_relay_fleet_health_begin,
    ngx_http_claude_relay_fleet_health_end,
    ngx_http_claude_relay_fleet_health_beat,
    ngx_http_claude_relay_fleet_health_message,
    ngx_http_claude_relay_fleet_health_repair
};


static ngx_http_claude_relay_script_t  ngx_http_claude_relay_health_script = {
    "health",

    "for i = 4, #ARGV, 4 do\n"
    "    local was = redis.call('HGET', KEYS[1], ARGV[i])\n"
    "    was = was and tonumber(string.match(was, '^%d+')) or 0\n"
    "    local row = ARGV[i + 2] .. ' ' .. ARGV[i + 3]\n"
    "    if tonumber(ARGV[i + 2]) > was then\n"
    "        redis.call('HSET', KEYS[1], ARGV[i], row)\n"
    "    end\n"
    "    redis.call('PUBLISH', ARGV[1], ARGV[2] .. ' h ' .. ARGV[i + 1] ..\n"
    "               ' ' .. row)\n"
    "end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[3])\n"
    "return 1\n",

    ""
};


static ngx_http_claude_relay_fleet_health_t
                                             ngx_http_claude_relay_fleet_rests;


static void
ngx_http_claude_relay_fleet_health_begin(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_health_t  *fh;

    fh = &ngx_http_claude_relay_fleet_rests;
    ngx_memzero(fh, sizeof(ngx_http_claude_relay_fleet_health_t));

    fh->rmcf = rmcf;
    fh->wanted = 1;
    fh->looked = ngx_current_msec;
    fh->windows = ngx_current_msec - NGX_HTTP_CLAUDE_RELAY_HEALTH_WINDOWS;

    fh->tell.handler = ngx_http_claude_relay_fleet_health_told;
    fh->tell.data = fh;
    fh->pull.handler = ngx_http_claude_relay_fleet_health_pulled;
    fh->pull.data = fh;
}


static void
ngx_http_claude_relay_fleet_health_end(void)
{
    ngx_http_claude_relay_fleet_health_t  *fh;

    fh = &ngx_http_claude_relay_fleet_rests;

    ngx_http_claude_relay_redis_forget(&fh->tell);
    ngx_http_claude_relay_redis_forget(&fh->pull);
}


/* who knows what there is tells what differs, so it is asked for first */

static void
ngx_http_claude_relay_fleet_health_beat(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_health_t  *fh;

    fh = &ngx_http_claude_relay_fleet_rests;

    if (fh->late && (ngx_msec_int_t) (ngx_current_msec - fh->again) < 0) {
        return;
    }

    fh->late = 0;

    ngx_http_claude_relay_fleet_health_clock(fh);
    ngx_http_claude_relay_fleet_health_roster(fh);

    if (fh->pull.sent) {
        return;
    }

    if (fh->wanted) {
        ngx_http_claude_relay_fleet_health_pull(fh);
        return;
    }

    if (fh->tell.sent == NULL) {
        ngx_http_claude_relay_fleet_health_tell(fh);
    }
}


static void
ngx_http_claude_relay_fleet_health_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed)
{
    ngx_http_claude_relay_fleet_rests.wanted = 1;
    ngx_http_claude_relay_fleet_rests.late = 0;
}


/* as measured it is a little different each time, and times would be, too */

static void
ngx_http_claude_relay_fleet_health_clock(
    ngx_http_claude_relay_fleet_health_t *fh)
{
    ncr_msec_t  skew;

    skew = fh->rmcf->zone->fleet->skew;

    if (ngx_abs(skew - fh->skew) > NGX_HTTP_CLAUDE_RELAY_HEALTH_SKEW) {
        fh->skew = skew;
    }
}


/* an account that is new here may rest already */

static void
ngx_http_claude_relay_fleet_health_roster(
    ngx_http_claude_relay_fleet_health_t *fh)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_account_t  **a;

    roster = fh->rmcf->roster;

    if (roster == fh->roster
        || ngx_current_msec - fh->looked < NGX_HTTP_CLAUDE_RELAY_HEALTH_AGAIN)
    {
        return;
    }

    fh->roster = roster;
    fh->looked = ngx_current_msec;

    a = roster->accounts.elts;

    for (i = 0; i < roster->accounts.nelts; i++) {
        if (a[i]->node && !a[i]->node->shared.asked) {
            fh->wanted = 1;
            return;
        }
    }
}


static void
ngx_http_claude_relay_fleet_health_failed(
    ngx_http_claude_relay_fleet_health_t *fh)
{
    fh->late = 1;
    fh->again = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_HEALTH_AGAIN;
}


static void
ngx_http_claude_relay_fleet_health_tell(
    ngx_http_claude_relay_fleet_health_t *fh)
{
    u_char                                 bus[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY],
                                           key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_int_t                              rc;
    ngx_uint_t                             i;
    ngx_http_claude_relay_account_t      **a;
    ngx_http_claude_relay_main_conf_t     *rmcf;
    ngx_http_claude_relay_health_batch_t   batch;

    rmcf = fh->rmcf;
    a = rmcf->roster->accounts.elts;

    ngx_memzero(&batch, sizeof(ngx_http_claude_relay_health_batch_t));

    batch.now = ngx_http_claude_relay_now();
    batch.wait = (ngx_current_msec - fh->windows
                  < NGX_HTTP_CLAUDE_RELAY_HEALTH_WINDOWS);

    rc = NGX_OK;

    for (i = 0; i < rmcf->roster->accounts.nelts && rc == NGX_OK; i++) {

        /* a glance without the lock; nothing to tell for most of the time */

        if (a[i]->node == NULL
            || a[i]->node->health.edits == a[i]->node->shared.edits)
        {
            continue;
        }

        if (batch.naccounts == NGX_HTTP_CLAUDE_RELAY_HEALTH_BATCH) {
            break;
        }

        rc = ngx_http_claude_relay_fleet_health_add(fh, &batch, a[i]);
    }

    if (batch.naccounts && rc == NGX_OK) {

        batch.args[0] = ngx_http_claude_relay_fleet_key(rmcf, key, "health",
                                                        NULL);
        batch.args[1] = ngx_http_claude_relay_fleet_key(rmcf, bus, "bus",
                                                        NULL);
        batch.args[2] = rmcf->redis->node;
        ngx_str_set(&batch.args[3], NGX_HTTP_CLAUDE_RELAY_HEALTH_TTL);

        rc = ngx_http_claude_relay_redis_call(
                                      ngx_http_claude_relay_redis(rmcf),
                                      &fh->tell,
                                      &ngx_http_claude_relay_health_script, 1,
                                      batch.args, batch.nargs);
    }

    if (batch.alone) {
        fh->windows = ngx_current_msec;
    }

    if (batch.pool) {
        ngx_destroy_pool(batch.pool);
    }

    if (rc != NGX_OK) {
        ngx_http_claude_relay_fleet_health_forget(rmcf);
        ngx_http_claude_relay_fleet_health_failed(fh);
    }
}


/* NGX_ERROR: no memory */

static ngx_int_t
ngx_http_claude_relay_fleet_health_add(
    ngx_http_claude_relay_fleet_health_t *fh,
    ngx_http_claude_relay_health_batch_t *batch,
    ngx_http_claude_relay_account_t *a)
{
    uint64_t                       rests, windows;
    ncr_msec_t                     stamp;
    ngx_uint_t                     tell;
    ncr_health_share_t             share;
    ngx_http_claude_relay_node_t  *node;

    node = a->node;
    stamp = batch->now + fh->skew;

    ngx_shmtx_lock(&fh->rmcf->shpool->mutex);

    ncr_health_share_get(&share, &node->health, batch->now);

    rests = ncr_health_share_rests(&share);
    windows = ncr_health_share_windows(&share);

    tell = (rests != node->shared.rests || windows != node->shared.windows);

    if (tell && rests == node->shared.rests) {

        if (batch->wait) {
            ngx_shmtx_unlock(&fh->rmcf->shpool->mutex);
            return NGX_OK;
        }

        batch->alone = 1;
    }

    node->shared.edits = node->health.edits;

    if (tell) {
        stamp = ngx_max(stamp, node->shared.stamp + 1);

        node->shared.rests = rests;
        node->shared.windows = windows;
        node->shared.stamp = stamp;
    }

    ngx_shmtx_unlock(&fh->rmcf->shpool->mutex);

    if (!tell) {
        return NGX_OK;
    }

    ncr_health_share_shift(&share, fh->skew);

    return ngx_http_claude_relay_fleet_health_put(batch, a, &share, stamp);
}


static ngx_int_t
ngx_http_claude_relay_fleet_health_put(
    ngx_http_claude_relay_health_batch_t *batch,
    ngx_http_claude_relay_account_t *a, ncr_health_share_t *share,
    ncr_msec_t stamp)
{
    u_char      buf[NCR_HEALTH_SHARE];
    ncr_out_t   out;
    ngx_str_t  *arg, name;

    if (batch->pool == NULL) {

        batch->pool = ngx_create_pool(8192, ngx_cycle->log);
        if (batch->pool == NULL) {
            return NGX_ERROR;
        }

        batch->args = ngx_palloc(batch->pool,
                                 (4 + 4 * NGX_HTTP_CLAUDE_RELAY_HEALTH_BATCH)
                                 * sizeof(ngx_str_t));
        if (batch->args == NULL) {
            return NGX_ERROR;
        }

        batch->nargs = 4;
    }

    arg = &batch->args[batch->nargs];

    /* a roster may go before the call does, but not before it is copied */

    arg[0] = a->name;

    name.data = ngx_pnalloc(batch->pool, NGX_HTTP_CLAUDE_RELAY_HEALTH_NAME);
    arg[2].data = ngx_pnalloc(batch->pool, NGX_INT64_LEN);

    if (name.data == NULL || arg[2].data == NULL) {
        return NGX_ERROR;
    }

    ncr_out_init(&out, name.data, NGX_HTTP_CLAUDE_RELAY_HEALTH_NAME);
    ncr_uri_escape(&out, ncr(&a->name));

    arg[1].data = name.data;
    arg[1].len = out.last - out.start;
    arg[2].len = ngx_sprintf(arg[2].data, "%L", (int64_t) stamp)
                 - arg[2].data;

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_health_share_write(&out, share);

    arg[3].len = out.last - out.start;
    arg[3].data = ngx_pnalloc(batch->pool, arg[3].len);

    if (arg[3].data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(arg[3].data, buf, arg[3].len);

    batch->nargs += 4;
    batch->naccounts++;

    return NGX_OK;
}


static void
ngx_http_claude_relay_fleet_health_told(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_fleet_health_t *fh = ask->data;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        ngx_http_claude_relay_fleet_health_forget(fh->rmcf);
        ngx_http_claude_relay_fleet_health_failed(fh);
    }
}


/* whether it has arrived is not known: all is told again, if there is any */

static void
ngx_http_claude_relay_fleet_health_forget(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = rmcf->roster->accounts.elts;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {
        if (a[i]->node) {
            a[i]->node->shared.edits = a[i]->node->health.edits - 1;
            a[i]->node->shared.rests = 0;
            a[i]->node->shared.windows = 0;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);
}


static void
ngx_http_claude_relay_fleet_health_pull(
    ngx_http_claude_relay_fleet_health_t *fh)
{
    u_char     key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_str_t  args[2];

    ngx_str_set(&args[0], "HGETALL");
    args[1] = ngx_http_claude_relay_fleet_key(fh->rmcf, key, "health", NULL);

    if (ngx_http_claude_relay_redis_send(
                                    ngx_http_claude_relay_redis(fh->rmcf),
                                    &fh->pull, args, 2)
        != NGX_OK)
    {
        ngx_http_claude_relay_fleet_health_failed(fh);
        return;
    }

    fh->wanted = 0;
}


static void
ngx_http_claude_relay_fleet_health_pulled(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_fleet_health_t *fh = ask->data;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        fh->wanted = 1;
        ngx_http_claude_relay_fleet_health_failed(fh);
        return;
    }

    /* what is not among it will be told */

    ngx_http_claude_relay_fleet_health_forget(fh->rmcf);
    ngx_http_claude_relay_fleet_health_rows(fh, reply);
}


static void
ngx_http_claude_relay_fleet_health_rows(
    ngx_http_claude_relay_fleet_health_t *fh, redisReply *reply)
{
    size_t                              i;
    ngx_str_t                           name, value;
    ngx_uint_t                          n;
    redisReply                        **e;
    ngx_http_claude_relay_account_t    *key, *kp, **a, **found;
    ngx_http_claude_relay_roster_t     *roster;

    roster = fh->rmcf->roster;
    n = roster->accounts.nelts;

    if (n == 0) {
        return;
    }

    a = ngx_alloc(n * sizeof(ngx_http_claude_relay_account_t *),
                  ngx_cycle->log);
    key = ngx_calloc(sizeof(ngx_http_claude_relay_account_t), ngx_cycle->log);

    if (a == NULL || key == NULL) {
        goto done;
    }

    ngx_memcpy(a, roster->accounts.elts,
               n * sizeof(ngx_http_claude_relay_account_t *));

    ngx_qsort(a, n, sizeof(ngx_http_claude_relay_account_t *),
              ngx_http_claude_relay_fleet_health_compare);

    kp = key;
    e = reply->element;

    for (i = 0; i + 1 < reply->elements; i += 2) {

        if (e[i]->type != REDIS_REPLY_STRING
            || e[i + 1]->type != REDIS_REPLY_STRING)
        {
            continue;
        }

        name.data = (u_char *) e[i]->str;
        name.len = e[i]->len;
        key->name = name;

        found = bsearch(&kp, a, n, sizeof(ngx_http_claude_relay_account_t *),
                        ngx_http_claude_relay_fleet_health_compare);

        if (found == NULL) {
            continue;
        }

        value.data = (u_char *) e[i + 1]->str;
        value.len = e[i + 1]->len;

        ngx_http_claude_relay_fleet_health_heard(fh, *found, &value, 1);
    }

    for (i = 0; i < n; i++) {
        if (a[i]->node) {
            a[i]->node->shared.asked = 1;
        }
    }

done:

    if (a) {
        ngx_free(a);
    }

    if (key) {
        ngx_free(key);
    }
}


static int ngx_libc_cdecl
ngx_http_claude_relay_fleet_health_compare(const void *one, const void *two)
{
    ngx_http_claude_relay_account_t  *a, *b;

    a = *(ngx_http_claude_relay_account_t **) one;
    b = *(ngx_http_claude_relay_account_t **) two;

    return (int) ngx_memn2cmp(a->name.data, b->name.data, a->name.len,
                              b->name.len);
}


/* "ACCOUNT STAMP TEXT" */

static void
ngx_http_claude_relay_fleet_health_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args)
{
    u_char                            buf[NGX_HTTP_CLAUDE_RELAY_HEALTH_NAME];
    ngx_str_t                         text, name;
    ngx_http_claude_relay_account_t  *a;

    text = *args;

    if (ngx_http_claude_relay_fleet_health_split(&text, &name) != NGX_OK
        || name.len > sizeof(buf)
        || ncr_uri_unescape(ncr(&name), buf) != NCR_OK)
    {
        return;
    }

    a = ngx_http_claude_relay_roster_find(rmcf->roster, &name);

    if (a) {
        ngx_http_claude_relay_fleet_health_heard(
                        &ngx_http_claude_relay_fleet_rests, a, &text, 0);
    }
}


/* "STAMP TEXT"; stored: it is all that Redis has, not what somebody says */

static void
ngx_http_claude_relay_fleet_health_heard(
    ngx_http_claude_relay_fleet_health_t *fh,
    ngx_http_claude_relay_account_t *a, ngx_str_t *value, ngx_uint_t stored)
{
    int64_t                             stamp;
    ngx_str_t                           text, word;
    ncr_msec_t                          now;
    ngx_uint_t                          rested;
    ncr_health_share_t                  heard, was, is;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = fh->rmcf;
    text = *value;
    now = ngx_http_claude_relay_now();

    if (a->node == NULL
        || ngx_http_claude_relay_fleet_health_split(&text, &word) != NGX_OK
        || ncr_str_int(ncr(&word), &stamp) != NCR_OK
        || stamp > now + fh->skew + NGX_HTTP_CLAUDE_RELAY_HEALTH_AHEAD
        || ncr_health_share_read(&heard, ncr(&text), now + fh->skew)
           != NCR_OK)
    {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "what Redis tells of account \"%V\" is not understood",
                      &a->name);
        return;
    }

    ncr_health_share_shift(&heard, -fh->skew);

    if (!a->protect) {

        /* it never rests, so it takes windows only */

        ngx_memzero(&heard.rest, sizeof(ncr_health_share_rest_t));
        heard.fails = 0;
        heard.failed_at = 0;
        heard.nfamilies = 0;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    rested = ngx_http_claude_relay_fleet_health_merge_locked(a->node, &heard,
                                                        &was, &is, now,
                                                        stored);

    a->node->shared.stamp = ngx_max(a->node->shared.stamp, stamp);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (ncr_health_share_rests(&was) == ncr_health_share_rests(&is)) {
        return;
    }

    if (is.rest.until > now && was.rest.until <= now) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "account \"%V\" rests: %s, as another node tells",
                      &a->name, ncr_class_name(is.rest.why));
    }

    ngx_http_claude_relay_feed_account(rmcf, a);

    if (rested) {
        ngx_http_claude_relay_ring(rmcf->zone);
    }
}


static ngx_uint_t
ngx_http_claude_relay_fleet_health_merge_locked(
    ngx_http_claude_relay_node_t *node, ncr_health_share_t *heard,
    ncr_health_share_t *was, ncr_health_share_t *is, ncr_msec_t now,
    ngx_uint_t stored)
{
    uint64_t    rests, windows;
    ngx_uint_t  rested, same;

    ncr_health_share_get(was, &node->health, now);

    *is = *was;
    ncr_health_share_merge(is, heard, now);
    rested = ncr_health_share_put(is, &node->health, now);

    rests = ncr_health_share_rests(is);
    windows = ncr_health_share_windows(is);

    /* as it is by now, like the other */

    ncr_health_share_merge(heard, heard, now);

    same = (rests == ncr_health_share_rests(heard)
            && windows == ncr_health_share_windows(heard));

    if (same) {
        node->shared.rests = rests;
        node->shared.windows = windows;
        node->shared.edits = node->health.edits;

    } else {

        /* others know less than this node does, which may have told it */

        node->health.edits++;

        if (stored) {
            node->shared.rests = 0;
            node->shared.windows = 0;
        }
    }

    return rested;
}


static ngx_int_t
ngx_http_claude_relay_fleet_health_split(ngx_str_t *text, ngx_str_t *word)
{
    u_char  *p;

    p = ngx_strlchr(text->data, text->data + text->len, ' ');

    if (p == NULL || p == text->data) {
        return NGX_DECLINED;
    }

    word->data = text->data;
    word->len = p - text->data;

    text->len -= word->len + 1;
    text->data = p + 1;

    return NGX_OK;
}
