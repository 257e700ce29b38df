
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * One refresh in the whole fleet.  A lock of Redis says which node is at it,
 * and who asks for the lock hears of newer tokens in the same answer.  It has
 * a fence, the time of Redis when it was taken, never twice the same and never
 * less than before: tokens carry it, so that of two sets of one version the
 * one of the later lock is the newer one, whoever was late.
 *
 * A lock belongs to a node and its zone (its "boot"): which of its processes
 * is at it the zone knows, and the lock of a file.  If that node is gone, or
 * has begun anew, the lock is nobody's.
 */


#include "ngx_http_claude_relay_fleet_rows.h"
#include "ngx_http_claude_relay_refresh.h"


/* a lock ends by itself after this long, unless it is renewed, ms */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_LOCK   90000
#define NGX_HTTP_CLAUDE_RELAY_FLEET_RENEW  (NGX_HTTP_CLAUDE_RELAY_FLEET_LOCK  \
                                            / 3)

/* without Redis tokens are refreshed this long before their end, ms: not
 * with the first chance, as Redis may be back by then */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_AHEAD  60000

/* of a row of tokens, in Redis */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_ROW    (256 * 1024)


static void ngx_http_claude_relay_fleet_lock_ask(
    ngx_http_claude_relay_fleet_lock_t *lock);
static ngx_uint_t ngx_http_claude_relay_fleet_lock_have(
    ngx_http_claude_relay_fleet_lock_t *lock, ncr_store_order_t *order);
static void ngx_http_claude_relay_fleet_lock_heard(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static void ngx_http_claude_relay_fleet_lock_got(
    ngx_http_claude_relay_fleet_lock_t *lock, redisReply *fence);
static void ngx_http_claude_relay_fleet_lock_newer(
    ngx_http_claude_relay_fleet_lock_t *lock, redisReply *row);
static void ngx_http_claude_relay_fleet_lock_merge(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_fleet_lock_merged(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_fleet_lock_away(
    ngx_http_claude_relay_fleet_lock_t *lock);
static ngx_int_t ngx_http_claude_relay_fleet_lock_alone(
    ngx_http_claude_relay_fleet_lock_t *lock, const char **why);
static void ngx_http_claude_relay_fleet_lock_tell_rc(
    ngx_http_claude_relay_fleet_lock_t *lock, ngx_int_t rc, const char *error);
static void ngx_http_claude_relay_fleet_lock_told(ngx_event_t *ev);
static void ngx_http_claude_relay_fleet_lock_renew(ngx_event_t *ev);
static ngx_str_t ngx_http_claude_relay_fleet_lock_row(
    ngx_http_claude_relay_fleet_lock_t *lock, u_char *buf);
static void ngx_http_claude_relay_fleet_lock_own(
    ngx_http_claude_relay_fleet_lock_t *lock,
    ngx_http_claude_relay_script_t *script);


/*
 * KEYS: the lock, the fence, nodes, rows.  ARGV: node, its boot, how long, the
 * row's name, its version and tie as they are here, how long a node is there
 * that was not heard, and whether the lock is wanted.  What comes back: 1 and
 * the fence; 0 and who has it; 2 and a newer row.
 *
 * Versions and ties have more digits than Lua's numbers.
 */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_lock_take = {
    "lock",

    "local function above(a, b)\n"
    "    if #a ~= #b then return #a > #b end\n"
    "    return a > b\n"
    "end\n"
    "local row = redis.call('HGET', KEYS[4], ARGV[4])\n"
    "if row then\n"
    "    local v, t = string.match(row, '^(%d+) (%d+) ')\n"
    "    if v and (above(v, ARGV[5])\n"
    "              or (v == ARGV[5] and above(t, ARGV[6]))) then\n"
    "        return {2, '', row}\n"
    "    end\n"
    "end\n"
    "if ARGV[8] == '0' then return {0, '', ''} end\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local held = redis.call('GET', KEYS[1])\n"
    "if held then\n"
    "    local node, boot, since = string.match(held,\n"
    "                                           '^(%S+) (%S+) (%d+)$')\n"
    "    if node and node ~= ARGV[1] then\n"
    "        local gone = tonumber(since) + ARGV[7] < now\n"
    "        local there = redis.call('HGET', KEYS[3], node)\n"
    "        if there then\n"
    "            local d, b = string.match(there, '^(%d+) (%S+)')\n"
    "            if d then gone = tonumber(d) < now or b ~= boot end\n"
    "        end\n"
    "        if not gone then return {0, node, ''} end\n"
    "    end\n"
    "end\n"
    "local fence = now\n"
    "local last = tonumber(redis.call('GET', KEYS[2]))\n"
    "if last and last >= fence then fence = last + 1 end\n"
    "fence = string.format('%.0f', fence)\n"
    "redis.call('SET', KEYS[2], fence)\n"
    "redis.call('SET', KEYS[1],\n"
    "           ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. fence, 'PX', ARGV[3])\n"
    "return {1, fence, ''}\n",

    ""
};


/* KEYS: the lock.  ARGV: what it says if it is still this one's, how long */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_lock_extend = {
    "extend",

    "if redis.call('GET', KEYS[1]) == ARGV[1] then\n"
    "    return redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "end\n"
    "return 0\n",

    ""
};


static ngx_http_claude_relay_script_t  ngx_http_claude_relay_lock_give = {
    "unlock",

    "if redis.call('GET', KEYS[1]) == ARGV[1] then\n"
    "    return redis.call('DEL', KEYS[1])\n"
    "end\n"
    "return 0\n",

    ""
};


void
ngx_http_claude_relay_fleet_lock(ngx_http_claude_relay_fleet_lock_t *lock)
{
    lock->look = 0;
    lock->fence = 0;

    ngx_http_claude_relay_fleet_lock_ask(lock);
}


void
ngx_http_claude_relay_fleet_lock_look(ngx_http_claude_relay_fleet_lock_t *lock)
{
    lock->look = 1;

    ngx_http_claude_relay_fleet_lock_ask(lock);
}


static void
ngx_http_claude_relay_fleet_lock_ask(ngx_http_claude_relay_fleet_lock_t *lock)
{
    u_char                              key[4][NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                              number[4][NGX_INT64_LEN];
    u_char                              name[NCR_STORE_ROW];
    ngx_str_t                           argv[12];
    ngx_uint_t                          wanted;
    ncr_store_order_t                   order;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = lock->rmcf;

    lock->error[0] = '\0';

    wanted = ngx_http_claude_relay_fleet_lock_have(lock, &order);

    argv[0] = ngx_http_claude_relay_fleet_key(rmcf, key[0], "l:",
                                              &lock->account->name);
    argv[1] = ngx_http_claude_relay_fleet_key(rmcf, key[1], "fence", NULL);
    argv[2] = ngx_http_claude_relay_fleet_key(rmcf, key[2], "nodes", NULL);
    argv[3] = ngx_http_claude_relay_fleet_key(rmcf, key[3], "rows", NULL);

    argv[4] = rmcf->redis->node;

    argv[5].data = (u_char *) rmcf->zone->fleet->boot;
    argv[5].len = ngx_strlen(argv[5].data);

    argv[6].data = number[0];
    argv[6].len = ngx_sprintf(number[0], "%d",
                              NGX_HTTP_CLAUDE_RELAY_FLEET_LOCK)
                  - number[0];

    argv[7] = ngx_http_claude_relay_fleet_lock_row(lock, name);

    argv[8].data = number[1];
    argv[8].len = ngx_sprintf(number[1], "%uL", order.version) - number[1];

    argv[9].data = number[2];
    argv[9].len = ngx_sprintf(number[2], "%uL", order.tie) - number[2];

    argv[10].data = number[3];
    argv[10].len = ngx_sprintf(number[3], "%M", rmcf->redis->lease)
                   - number[3];

    if (wanted && !lock->look) {
        ngx_str_set(&argv[11], "1");

    } else {
        ngx_str_set(&argv[11], "0");
    }

    lock->ask.handler = ngx_http_claude_relay_fleet_lock_heard;
    lock->ask.data = lock;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                         &lock->ask,
                                         &ngx_http_claude_relay_lock_take, 4,
                                         argv, 12)
        != NGX_OK)
    {
        ngx_http_claude_relay_fleet_lock_away(lock);
    }
}


/*
 * What is known here.  Tokens that another node has made may have been
 * refreshed by it while Redis was away, and it has a moment to say so: until
 * then the lock is not wanted.
 */

static ngx_uint_t
ngx_http_claude_relay_fleet_lock_have(ngx_http_claude_relay_fleet_lock_t *lock,
    ncr_store_order_t *order)
{
    ngx_uint_t                          own;
    ncr_msec_t                          now;
    ngx_http_claude_relay_fleet_t      *fleet;
    ngx_http_claude_relay_tokens_t     *tokens;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = lock->rmcf;
    now = ngx_http_claude_relay_now();

    own = 0;
    order->version = 0;
    order->tie = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    tokens = lock->account->node->tokens;

    if (tokens) {
        own = tokens->own;
        order->version = tokens->version;
        order->tie = tokens->tie;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    fleet = rmcf->zone->fleet;

    return own || (fleet->state != NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN
                   && now - fleet->back >= (ncr_msec_t) rmcf->redis->lease);
}


static void
ngx_http_claude_relay_fleet_lock_heard(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_fleet_lock_t *lock = ask->data;

    redisReply  **e;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        ngx_http_claude_relay_fleet_lock_away(lock);
        return;
    }

    e = reply->element;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3
        || e[0]->type != REDIS_REPLY_INTEGER
        || e[1]->type != REDIS_REPLY_STRING
        || e[2]->type != REDIS_REPLY_STRING)
    {
        goto invalid;
    }

    switch (e[0]->integer) {

    case 0:
        ngx_http_claude_relay_fleet_lock_tell_rc(lock,
                                           lock->look ? NGX_OK : NGX_BUSY, "");
        return;

    case 1:
        ngx_http_claude_relay_fleet_lock_got(lock, e[1]);
        return;

    case 2:
        ngx_http_claude_relay_fleet_lock_newer(lock, e[2]);
        return;
    }

invalid:

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "Redis has answered the lock of account \"%V\" with "
                  "something else", &lock->account->name);

    ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_ERROR,
                                       "an answer of Redis makes no sense");
}


static void
ngx_http_claude_relay_fleet_lock_got(ngx_http_claude_relay_fleet_lock_t *lock,
    redisReply *fence)
{
    ngx_int_t  n;

    n = ngx_atoi((u_char *) fence->str, fence->len);

    if (n <= 0) {
        ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_ERROR,
                                       "an answer of Redis makes no sense");
        return;
    }

    lock->fence = (uint64_t) n;
    lock->held = 1;

    lock->renew.handler = ngx_http_claude_relay_fleet_lock_renew;
    lock->renew.data = lock;
    lock->renew.log = ngx_cycle->log;
    lock->renew.cancelable = 1;

    ngx_add_timer(&lock->renew, NGX_HTTP_CLAUDE_RELAY_FLEET_RENEW);

    ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_OK, "");
}


static void
ngx_http_claude_relay_fleet_lock_newer(
    ngx_http_claude_relay_fleet_lock_t *lock, redisReply *row)
{
    if (row->len > NGX_HTTP_CLAUDE_RELAY_FLEET_ROW) {
        ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_ERROR,
                           "the tokens of another node are too large a row");
        return;
    }

    lock->row.data = (u_char *) ngx_http_claude_relay_dup(row->str, row->len);
    lock->row.len = row->len;

    lock->job.data = lock;
    lock->job.run = ngx_http_claude_relay_fleet_lock_merge;
    lock->job.done = ngx_http_claude_relay_fleet_lock_merged;

    if (lock->row.data == NULL
        || ngx_http_claude_relay_store_post(&lock->job) != NGX_OK)
    {
        if (lock->row.data) {
            ngx_free(lock->row.data);
            lock->row.data = NULL;
        }

        ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_ERROR,
                           "the tokens of another node cannot be stored");
    }
}


static void
ngx_http_claude_relay_fleet_lock_merge(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_fleet_lock_t *lock = job->data;

    u_char       buf[NCR_STORE_ROW];
    ncr_int_t    rc;
    ngx_str_t    name;
    ncr_wire_t   wire;
    const char  *why;

    name = ngx_http_claude_relay_fleet_lock_row(lock, buf);

    rc = ncr_wire_read(lock->rmcf->redis->rows_key, ncr(&name),
                       ncr(&lock->row), &wire, &why);

    if (rc == NCR_OK) {
        ngx_http_claude_relay_job_rc(store, job, ncr_wire_merge(store, &wire));

    } else {
        job->rc = rc;
        (void) ngx_cpystrn((u_char *) job->error, (u_char *) why,
                           sizeof(job->error));
    }

    ncr_wire_free(&wire);
}


/* NCR_DECLINED: they came by another way in between */

static void
ngx_http_claude_relay_fleet_lock_merged(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_fleet_lock_t *lock = job->data;

    if (lock->row.data) {
        ngx_free(lock->row.data);
        lock->row.data = NULL;
    }

    if (job->rc == NCR_OK || job->rc == NCR_DECLINED) {
        ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_DONE, "");
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "another node has newer tokens of account \"%V\", which "
                  "cannot be had: %s", &lock->account->name, job->error);

    ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_ERROR,
                             "another node has newer tokens that are of no "
                             "use here");
}


/* Redis did not answer, or does nothing for us */

static void
ngx_http_claude_relay_fleet_lock_away(ngx_http_claude_relay_fleet_lock_t *lock)
{
    ngx_int_t    rc;
    const char  *why;

    if (lock->look) {
        ngx_http_claude_relay_fleet_lock_tell_rc(lock, NGX_DECLINED, "");
        return;
    }

    rc = ngx_http_claude_relay_fleet_lock_alone(lock, &why);

    ngx_http_claude_relay_fleet_lock_tell_rc(lock, rc, why);
}


/*
 * May this node refresh without asking anybody?  A lock that was taken in the
 * last moment may still be somebody's: for as long as a node is waited for,
 * nobody begins.  Who has not heard all rows since it was started does not
 * know whose tokens are the newest.
 */

static ngx_int_t
ngx_http_claude_relay_fleet_lock_alone(
    ngx_http_claude_relay_fleet_lock_t *lock, const char **why)
{
    ngx_uint_t                          own, rejected;
    ncr_msec_t                          now, expires;
    ngx_http_claude_relay_node_t       *node;
    ngx_http_claude_relay_fleet_t      *fleet;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    *why = "";
    rmcf = lock->rmcf;
    fleet = rmcf->zone->fleet;
    node = lock->account->node;
    now = ngx_http_claude_relay_now();

    if (rmcf->redis->away == NGX_HTTP_CLAUDE_RELAY_AWAY_ANY) {
        return NGX_OK;
    }

    if (rmcf->redis->away == NGX_HTTP_CLAUDE_RELAY_AWAY_NEVER) {
        *why = "Redis is away, and nobody refreshes without it";
        return NGX_DECLINED;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    own = node->tokens && node->tokens->own;
    expires = node->expires;
    rejected = (node->rejected == node->version);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (!own) {
        *why = "Redis is away, and another node has made the tokens";
        return NGX_DECLINED;
    }

    if (!fleet->synced) {
        *why = "Redis is away, and was not heard since this node was started";
        return NGX_DECLINED;
    }

    if (!rejected
        && (expires == 0
            || expires - now > NGX_HTTP_CLAUDE_RELAY_FLEET_AHEAD))
    {
        *why = "Redis is away, and the tokens are good for some time";
        return NGX_DECLINED;
    }

    if (fleet->state != NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN
        || now - fleet->since < (ncr_msec_t) rmcf->redis->lease)
    {
        return NGX_BUSY;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_fleet_lock_tell_rc(
    ngx_http_claude_relay_fleet_lock_t *lock, ngx_int_t rc, const char *error)
{
    lock->rc = rc;

    (void) ngx_cpystrn((u_char *) lock->error, (u_char *) error,
                       sizeof(lock->error));

    lock->told.handler = ngx_http_claude_relay_fleet_lock_told;
    lock->told.data = lock;
    lock->told.log = ngx_cycle->log;

    ngx_post_event(&lock->told, &ngx_posted_events);
}


static void
ngx_http_claude_relay_fleet_lock_told(ngx_event_t *ev)
{
    ngx_http_claude_relay_fleet_lock_t *lock = ev->data;

    lock->handler(lock->data, lock->rc);
}


/* the token endpoint takes its time, or the store does */

static void
ngx_http_claude_relay_fleet_lock_renew(ngx_event_t *ev)
{
    ngx_http_claude_relay_fleet_lock_t *lock = ev->data;

    ngx_http_claude_relay_fleet_lock_own(lock,
                                         &ngx_http_claude_relay_lock_extend);

    ngx_add_timer(&lock->renew, NGX_HTTP_CLAUDE_RELAY_FLEET_RENEW);
}


void
ngx_http_claude_relay_fleet_lock_tell(ngx_http_claude_relay_fleet_lock_t *lock,
    ncr_store_account_t *row)
{
    char                               *text;
    size_t                              len;
    u_char                              key[4][NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                              buf[NCR_STORE_ROW];
    ngx_str_t                           argv[7];
    ncr_wire_t                          wire;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = lock->rmcf;

    argv[5] = ngx_http_claude_relay_fleet_lock_row(lock, buf);

    if (ncr_wire_name(&wire, ncr(&argv[5])) != NCR_OK) {
        return;
    }

    /* its texts stay the caller's */

    wire.account = *row;
    ncr_store_tokens_order(row, &wire.order);

    text = ncr_wire_write(rmcf->redis->rows_key, &wire,
                          (char *) rmcf->redis->node.data, &len);
    if (text == NULL) {
        return;
    }

    argv[0] = ngx_http_claude_relay_fleet_key(rmcf, key[0], "rows", NULL);
    argv[1] = ngx_http_claude_relay_fleet_key(rmcf, key[1], "rv", NULL);
    argv[2] = ngx_http_claude_relay_fleet_key(rmcf, key[2], "v", NULL);
    argv[3] = ngx_http_claude_relay_fleet_key(rmcf, key[3], "bus", NULL);
    argv[4] = rmcf->redis->node;
    argv[6].data = (u_char *) text;
    argv[6].len = len;

    (void) ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                        NULL,
                                        &ngx_http_claude_relay_rows_put_text,
                                        4, argv, 7);
    ngx_free(text);
}


static ngx_str_t
ngx_http_claude_relay_fleet_lock_row(ngx_http_claude_relay_fleet_lock_t *lock,
    u_char *buf)
{
    ngx_str_t  name;

    name.data = buf;
    name.len = ngx_snprintf(buf, NCR_STORE_ROW, "t/%V", &lock->account->name)
               - buf;

    return name;
}


void
ngx_http_claude_relay_fleet_unlock(ngx_http_claude_relay_fleet_lock_t *lock)
{
    ngx_http_claude_relay_redis_forget(&lock->ask);

    if (lock->told.posted) {
        ngx_delete_posted_event(&lock->told);
    }

    if (lock->renew.timer_set) {
        ngx_del_timer(&lock->renew);
    }

    if (lock->held) {
        lock->held = 0;

        ngx_http_claude_relay_fleet_lock_own(lock,
                                            &ngx_http_claude_relay_lock_give);
    }
}


/* nobody waits for the answer: what was not heard ends by itself */

static void
ngx_http_claude_relay_fleet_lock_own(ngx_http_claude_relay_fleet_lock_t *lock,
    ngx_http_claude_relay_script_t *script)
{
    u_char                              key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                              number[NGX_INT64_LEN];
    u_char                              value[NGX_HTTP_CLAUDE_RELAY_PEER_NAME
                                              + 64];
    ngx_str_t                           argv[3];
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = lock->rmcf;

    argv[0] = ngx_http_claude_relay_fleet_key(rmcf, key, "l:",
                                              &lock->account->name);

    argv[1].data = value;
    argv[1].len = ngx_snprintf(value, sizeof(value), "%V %s %uL",
                               &rmcf->redis->node, rmcf->zone->fleet->boot,
                               lock->fence)
                  - value;

    argv[2].data = number;
    argv[2].len = ngx_sprintf(number, "%d", NGX_HTTP_CLAUDE_RELAY_FLEET_LOCK)
                  - number;

    (void) ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                            NULL, script, 1, argv, 3);
}
