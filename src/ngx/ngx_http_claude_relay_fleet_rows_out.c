
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of the store that are told to other nodes: what has changed, in its
 * order, and what a comparison has found.
 */


#include "ngx_http_claude_relay_fleet_rows.h"


static void ngx_http_claude_relay_rows_read(ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_send(
    ngx_http_claude_relay_batch_t *batch);
static void ngx_http_claude_relay_rows_put(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static void ngx_http_claude_relay_rows_acked(
    ngx_http_claude_relay_known_t *known, ngx_http_claude_relay_item_t *item,
    redisReply *reply);
static void ngx_http_claude_relay_rows_told(ngx_uint_t done);


/*
 * Names and texts of rows: each takes the place of what is there if it is
 * newer.  Of each is told the number of its change, 0 if it is there already,
 * or what is newer.  A number is larger than all that were given, whatever
 * was lost.
 */

ngx_http_claude_relay_script_t  ngx_http_claude_relay_rows_put_text = {
    "put",

    "local function newer(a, b)\n"
    "    if #a ~= #b then return #a > #b end\n"
    "    return a > b\n"
    "end\n"
    "local top = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')\n"
    "if top[2] and tonumber(top[2])\n"
    "             > (tonumber(redis.call('GET', KEYS[3]) or '0') or 0) then\n"
    "    redis.call('SET', KEYS[3], string.format('%.0f', top[2]))\n"
    "end\n"
    "local out = {}\n"
    "for i = 2, #ARGV, 2 do\n"
    "    local name, text = ARGV[i], ARGV[i + 1]\n"
    "    local v, t = string.match(text, '^(%d+) (%d+) ')\n"
    "    local old = redis.call('HGET', KEYS[1], name)\n"
    "    local ov, ot\n"
    "    if old then ov, ot = string.match(old, '^(%d+) (%d+) ') end\n"
    "    if ov and (newer(ov, v) or (ov == v and newer(ot, t))) then\n"
    "        out[#out + 1] = ov .. ' ' .. ot\n"
    "    elseif ov == v and ot == t\n"
    "           and redis.call('ZSCORE', KEYS[2], name) then\n"
    "        out[#out + 1] = '0'\n"
    "    else\n"
    "        local n = string.format('%d', redis.call('INCR', KEYS[3]))\n"
    "        redis.call('HSET', KEYS[1], name, text)\n"
    "        redis.call('ZADD', KEYS[2], n, name)\n"
    "        redis.call('PUBLISH', KEYS[4],\n"
    "                   ARGV[1] .. ' r ' .. n .. ' ' .. name)\n"
    "        out[#out + 1] = n\n"
    "    end\n"
    "end\n"
    "return out\n",

    ""
};


void
ngx_http_claude_relay_rows_tell(void)
{
    ngx_queue_t                         *q;
    ngx_http_claude_relay_item_t        *item;
    ngx_http_claude_relay_batch_t       *batch;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (r->reading || r->put.sent
        || (ngx_queue_empty(&r->soon) && ngx_queue_empty(&r->later)))
    {
        return;
    }

    batch = ngx_http_claude_relay_batch(r->rmcf, NGX_HTTP_CLAUDE_RELAY_BATCH,
                                        ngx_http_claude_relay_batch_read,
                                        ngx_http_claude_relay_rows_read);
    if (batch == NULL) {
        ngx_http_claude_relay_rows_failed();
        return;
    }

    batch->number = r->number;

    while (batch->n < batch->max) {

        q = !ngx_queue_empty(&r->soon) ? ngx_queue_head(&r->soon)
                                       : ngx_queue_head(&r->later);

        if (ngx_queue_empty(&r->soon) && ngx_queue_empty(&r->later)) {
            break;
        }

        ngx_queue_remove(q);

        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, out);

        known->soon = (known->where == NGX_HTTP_CLAUDE_RELAY_OUT_SOON);
        known->where = NGX_HTTP_CLAUDE_RELAY_OUT_NOW;
        known->changed = 0;

        ngx_queue_insert_tail(&r->now, q);

        item = &batch->items[batch->n++];

        ngx_memcpy(item->name, known->sn.str.data, known->sn.str.len);
    }

    if (ngx_http_claude_relay_store_post(&batch->job) != NGX_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_told(0);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    r->reading = 1;
}


static void
ngx_http_claude_relay_rows_read(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t       *batch = job->data;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (batch->number != r->number || !r->active) {
        ngx_http_claude_relay_batch_free(batch);
        return;
    }

    r->reading = 0;

    if (job->rc != NCR_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_told(0);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    ngx_http_claude_relay_rows_send(batch);
}


/* what Redis has already is left out */

static void
ngx_http_claude_relay_rows_send(ngx_http_claude_relay_batch_t *batch)
{
    u_char                               keys[4]
                                             [NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_str_t                            args[5 + 2
                                              * NGX_HTTP_CLAUDE_RELAY_BATCH];
    ngx_str_t                            name;
    ngx_uint_t                           i, n;
    ngx_http_claude_relay_item_t        *item;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    n = 5;

    for (i = 0; i < batch->n; i++) {
        item = &batch->items[i];

        name.data = (u_char *) item->name;
        name.len = ngx_strlen(item->name);

        known = ngx_http_claude_relay_rows_known(&name, 0);

        if (item->rc == NCR_BAD) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "row \"%s\" cannot be told to the fleet: %s",
                          item->name, item->error);
        }

        if (known == NULL || item->rc != NCR_OK
            || !ncr_wire_newer(&item->order, &known->redis))
        {
            item->rc = NCR_DECLINED;
            continue;
        }

        args[n++] = name;
        args[n].data = (u_char *) item->text;
        args[n++].len = item->len;
    }

    if (n == 5) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_told(1);
        ngx_http_claude_relay_rows_work();
        return;
    }

    args[0] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[0], "rows", NULL);
    args[1] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[1], "rv", NULL);
    args[2] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[2], "v", NULL);
    args[3] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[3], "bus", NULL);
    args[4] = r->rmcf->redis->node;

    r->put.handler = ngx_http_claude_relay_rows_put;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(r->rmcf),
                                         &r->put,
                                         &ngx_http_claude_relay_rows_put_text,
                                         4, args, n)
        != NGX_OK)
    {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_told(0);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    r->telling = batch;
}


static void
ngx_http_claude_relay_rows_put(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    size_t                               n;
    ngx_str_t                            name;
    ngx_uint_t                           i;
    ngx_http_claude_relay_item_t        *item;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_batch_t       *batch;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    batch = r->telling;
    r->telling = NULL;

    if (ngx_http_claude_relay_rows_bad(reply, "told")) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_told(0);
        return;
    }

    for (i = 0, n = 0; i < batch->n; i++) {
        item = &batch->items[i];

        if (item->rc != NCR_OK || n == reply->elements) {
            continue;
        }

        name.data = (u_char *) item->name;
        name.len = ngx_strlen(item->name);

        known = ngx_http_claude_relay_rows_known(&name, 0);

        if (known) {
            ngx_http_claude_relay_rows_acked(known, item, reply->element[n]);
        }

        n++;
    }

    ngx_http_claude_relay_batch_free(batch);
    ngx_http_claude_relay_rows_told(1);
    ngx_http_claude_relay_rows_work();
}


static void
ngx_http_claude_relay_rows_acked(ngx_http_claude_relay_known_t *known,
    ngx_http_claude_relay_item_t *item, redisReply *reply)
{
    u_char                               text[64];
    ngx_int_t                            v;
    ncr_str_t                            s, rest;
    ncr_store_order_t                    order;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (reply->type != REDIS_REPLY_STRING || reply->len > sizeof(text) - 2) {
        return;
    }

    v = ngx_atoi((u_char *) reply->str, reply->len);

    if (v >= 0) {
        known->redis = item->order;
        known->listed = r->compare;

        if (v) {
            (void) ngx_atomic_fetch_add(&fleet->stats.rows_told, 1);
        }

        if ((uint64_t) v == fleet->v + 1) {
            fleet->v = (uint64_t) v;
        }

        return;
    }

    /* somebody was faster */

    s.data = text;
    s.len = ngx_sprintf(text, "%*s ", (size_t) reply->len, reply->str) - text;

    if (ncr_wire_order(&s, &order, &rest) == NCR_OK) {
        known->redis = order;
        ngx_http_claude_relay_rows_in(known);
    }
}


/* what was under way is done, or is to be done again */

static void
ngx_http_claude_relay_rows_told(ngx_uint_t done)
{
    ngx_queue_t                         *q;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    /* backwards, so that those of "soon" find their place at once */

    while (!ngx_queue_empty(&r->now)) {

        q = ngx_queue_last(&r->now);
        ngx_queue_remove(q);

        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, out);
        known->where = NGX_HTTP_CLAUDE_RELAY_OUT_NO;

        if (done && !known->changed) {
            known->soon = 0;

        } else if (!known->soon) {
            ngx_http_claude_relay_rows_later(known);

        } else if (!known->changed) {

            /* it was among the first ones */

            known->where = NGX_HTTP_CLAUDE_RELAY_OUT_SOON;
            ngx_queue_insert_head(&r->soon, &known->out);

        } else {
            ngx_http_claude_relay_rows_soon(known, known->seq);
        }
    }

    ngx_http_claude_relay_rows_publish();
}


/* up to which change of the store Redis has all of them */

void
ngx_http_claude_relay_rows_publish(void)
{
    uint64_t                             seq;
    ngx_queue_t                         *q;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (!r->once || !ngx_queue_empty(&r->later)) {
        return;
    }

    seq = r->seen;

    if (!ngx_queue_empty(&r->soon)) {
        q = ngx_queue_head(&r->soon);
        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, out);
        seq = ngx_min(seq, known->seq - 1);
    }

    for (q = ngx_queue_head(&r->now);
         q != ngx_queue_sentinel(&r->now);
         q = ngx_queue_next(q))
    {
        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, out);

        if (known->soon) {
            seq = ngx_min(seq, known->seq - 1);
        }
    }

    if (seq > fleet->acked) {
        fleet->acked = (ngx_atomic_uint_t) seq;
    }
}
