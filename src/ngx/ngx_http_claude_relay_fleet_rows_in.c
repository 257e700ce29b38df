
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of other nodes: which ones Redis has, by their versions, and those that
 * are newer than what is here.
 */


#include "ngx_http_claude_relay_fleet_rows.h"


/* rows of a page of a list */
#define NGX_HTTP_CLAUDE_RELAY_PAGE      1000
#define NGX_HTTP_CLAUDE_RELAY_PAGE_TEXT "1000"

/* entries that are looked at in one turn of the loop */
#define NGX_HTTP_CLAUDE_RELAY_WALK      4096


static void ngx_http_claude_relay_rows_page(void);
static void ngx_http_claude_relay_rows_listed(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_rows_note(redisReply **e);
static void ngx_http_claude_relay_rows_walk(void);
static void ngx_http_claude_relay_rows_scan(void);
static void ngx_http_claude_relay_rows_scanned(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_fetched(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_rows_take(
    ngx_http_claude_relay_batch_t *batch, redisReply *reply);
static void ngx_http_claude_relay_rows_merged(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_result(
    ngx_http_claude_relay_known_t *known, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_rows_unfetched(ngx_uint_t again);


/* what has changed since then: name, number, version and tie of each */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_rows_list_text = {
    "list",

    "local all = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1],\n"
    "                       '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])\n"
    "local out = {}\n"
    "for i = 1, #all, 2 do\n"
    "    local row = redis.call('HGET', KEYS[1], all[i])\n"
    "    out[#out + 1] = all[i]\n"
    "    out[#out + 1] = string.format('%.0f', all[i + 1])\n"
    "    out[#out + 1] = row and string.match(row, '^%d+ %d+ ') or ''\n"
    "end\n"
    "return out\n",

    ""
};


void
ngx_http_claude_relay_rows_compare(void)
{
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (r->stage == NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE) {

        if (ngx_current_msec - r->compared > NGX_HTTP_CLAUDE_RELAY_COMPARE) {
            r->wanted = r->once ? 1 : r->wanted;
        }

        if (r->wanted) {
            r->compare++;
            r->full = 1;
            r->since = 0;
            r->wanted = 0;

        } else if (r->once && (r->missed || fleet->latest > fleet->v)) {
            r->full = 0;
            r->since = fleet->v;

        } else {
            return;
        }

        r->missed = 0;
        r->until = fleet->latest;
        r->stage = NGX_HTTP_CLAUDE_RELAY_ROWS_LIST;
    }

    if (r->stage == NGX_HTTP_CLAUDE_RELAY_ROWS_LIST) {
        ngx_http_claude_relay_rows_page();
        return;
    }

    if (r->walk) {
        ngx_http_claude_relay_rows_walk();

    } else {
        ngx_http_claude_relay_rows_scan();
    }
}


static void
ngx_http_claude_relay_rows_page(void)
{
    u_char                               keys[2]
                                             [NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                               since[NGX_INT64_LEN];
    ngx_str_t                            args[4];
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (r->list.sent) {
        return;
    }

    args[0] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[0], "rows", NULL);
    args[1] = ngx_http_claude_relay_fleet_key(r->rmcf, keys[1], "rv", NULL);

    args[2].data = since;
    args[2].len = ngx_sprintf(since, "%uL", r->since) - since;

    ngx_str_set(&args[3], NGX_HTTP_CLAUDE_RELAY_PAGE_TEXT);

    r->list.handler = ngx_http_claude_relay_rows_listed;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(r->rmcf),
                                         &r->list,
                                        &ngx_http_claude_relay_rows_list_text,
                                         2, args, 4)
        != NGX_OK)
    {
        ngx_http_claude_relay_rows_failed();
    }
}


static void
ngx_http_claude_relay_rows_listed(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    size_t                               i;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (ngx_http_claude_relay_rows_bad(reply, "listed")) {
        return;
    }

    for (i = 0; i + 3 <= reply->elements; i += 3) {

        if (ngx_http_claude_relay_rows_note(&reply->element[i]) != NGX_OK) {

            /* nor would it be better the next time */

            r->stage = NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE;
            r->compared = ngx_current_msec;
            ngx_http_claude_relay_rows_failed();
            return;
        }
    }

    if (reply->elements < 3 * NGX_HTTP_CLAUDE_RELAY_PAGE) {

        /* numbers without rows are of rows that have changed again */

        fleet->v = ngx_max(fleet->v, ngx_max(r->since, r->until));

        r->scan = 0;
        r->objects = 0;
        r->walk = r->full ? ngx_queue_head(&r->all) : NULL;
        r->stage = r->full ? NGX_HTTP_CLAUDE_RELAY_ROWS_SCAN
                           : NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE;
    }

    ngx_http_claude_relay_rows_work();
}


/* a row of a list: name, number, "VERSION TIE " */

static ngx_int_t
ngx_http_claude_relay_rows_note(redisReply **e)
{
    ngx_int_t                            v;
    ngx_str_t                            name, text;
    ncr_str_t                            rest;
    ncr_wire_t                           wire;
    ncr_store_order_t                    order;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (e[0]->type != REDIS_REPLY_STRING || e[1]->type != REDIS_REPLY_STRING
        || e[2]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    v = ngx_atoi((u_char *) e[1]->str, e[1]->len);

    if (v < 0) {
        return NGX_ERROR;
    }

    r->since = ngx_max(r->since, (uint64_t) v);

    name.data = (u_char *) e[0]->str;
    name.len = e[0]->len;
    text.data = (u_char *) e[2]->str;
    text.len = e[2]->len;

    /* no text: a number without a row */

    order.version = 0;
    order.tie = 0;

    if (ncr_wire_name(&wire, ncr(&name)) != NCR_OK
        || (text.len && ncr_wire_order(ncr(&text), &order, &rest) != NCR_OK))
    {
        if (r->complaints++ == 0) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "Redis has a row of the fleet that this node does "
                          "not know what to make of; such rows are passed "
                          "over");
        }

        return NGX_OK;
    }

    known = ngx_http_claude_relay_rows_known(&name, 1);

    if (known == NULL) {
        return NGX_OK;
    }

    if (!r->full) {

        if (ncr_wire_newer(&order, &known->redis)) {
            ngx_http_claude_relay_rows_in(known);

        } else if (ncr_wire_newer(&known->redis, &order)) {

            /* it has lost the last change */

            ngx_http_claude_relay_rows_later(known);
        }
    }

    known->redis = order;
    known->listed = r->compare;

    return NGX_OK;
}


/*
 * Before the scan, what was not listed is not there; behind it, what was not
 * scanned is to be fetched.
 */

static void
ngx_http_claude_relay_rows_walk(void)
{
    ngx_uint_t                           n, last;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    last = (r->scan == UINT64_MAX);

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_WALK; n++) {

        if (r->walk == ngx_queue_sentinel(&r->all)) {
            r->walk = NULL;
            break;
        }

        known = ngx_queue_data(r->walk, ngx_http_claude_relay_known_t, all);
        r->walk = ngx_queue_next(r->walk);

        if (!last) {

            if (known->listed != r->compare) {
                known->redis.version = 0;
                known->redis.tie = 0;
            }

        } else if (known->scanned != r->compare && known->redis.version) {
            ngx_http_claude_relay_rows_in(known);
        }
    }

    if (r->walk) {
        return;
    }

    if (last) {
        r->stage = NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE;
        r->compared = ngx_current_msec;
        r->once = 1;

        ngx_http_claude_relay_rows_publish();
        ngx_http_claude_relay_rows_fetch();
        return;
    }

    ngx_http_claude_relay_rows_scan();
}


static void
ngx_http_claude_relay_rows_scan(void)
{
    ngx_http_claude_relay_batch_t       *batch;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (r->scanning) {
        return;
    }

    batch = ngx_http_claude_relay_batch(r->rmcf, NGX_HTTP_CLAUDE_RELAY_SCAN,
                                        ngx_http_claude_relay_batch_scan,
                                        ngx_http_claude_relay_rows_scanned);
    if (batch == NULL) {
        ngx_http_claude_relay_rows_failed();
        return;
    }

    batch->number = r->number;
    batch->objects = r->objects;
    batch->seq = r->scan;

    if (ngx_http_claude_relay_store_post(&batch->job) != NGX_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    r->scanning = 1;
}


static void
ngx_http_claude_relay_rows_scanned(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t *batch = job->data;

    ngx_str_t                            name;
    ngx_uint_t                           i;
    ngx_http_claude_relay_item_t        *item;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (batch->number != r->number || !r->active) {
        ngx_http_claude_relay_batch_free(batch);
        return;
    }

    r->scanning = 0;

    if (job->rc != NCR_OK || r->stage != NGX_HTTP_CLAUDE_RELAY_ROWS_SCAN
        || r->walk || batch->objects != r->objects)
    {
        /* the store, or another comparison has begun meanwhile */

        if (job->rc != NCR_OK) {
            ngx_http_claude_relay_rows_failed();
        }

        ngx_http_claude_relay_batch_free(batch);
        return;
    }

    for (i = 0; i < batch->n; i++) {
        item = &batch->items[i];

        name.data = (u_char *) item->name;
        name.len = ngx_strlen(item->name);

        known = ngx_http_claude_relay_rows_known(&name, 1);

        if (known == NULL) {
            continue;
        }

        known->scanned = r->compare;

        if (ncr_wire_newer(&item->order, &known->redis)) {
            ngx_http_claude_relay_rows_later(known);

        } else if (ncr_wire_newer(&known->redis, &item->order)
                   && !(item->name[0] == 't' && item->removed))
        {
            ngx_http_claude_relay_rows_in(known);
        }
    }

    r->scan = batch->seq;
    r->seen = ngx_max(r->seen, batch->seq);

    if (batch->last) {

        if (r->objects) {
            r->scan = UINT64_MAX;
            r->walk = ngx_queue_head(&r->all);

        } else {
            r->scan = 0;
            r->objects = 1;
        }
    }

    ngx_http_claude_relay_batch_free(batch);
    ngx_http_claude_relay_rows_work();
}


void
ngx_http_claude_relay_rows_fetch(void)
{
    u_char                               key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_str_t                            args[2 + NGX_HTTP_CLAUDE_RELAY_BATCH];
    ngx_uint_t                           i, n;
    ngx_queue_t                         *q;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (r->fetch.sent || r->merging) {
        return;
    }

    n = 2;

    for (i = 0; i < 3; i++) {

        while (!ngx_queue_empty(&r->in[i])
               && n < 2 + NGX_HTTP_CLAUDE_RELAY_BATCH)
        {
            q = ngx_queue_head(&r->in[i]);
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&r->fetching, q);

            known = ngx_queue_data(q, ngx_http_claude_relay_known_t, in);
            known->fetch = 2;
            known->named = 0;

            args[n++] = known->sn.str;
        }
    }

    if (n == 2) {
        return;
    }

    ngx_str_set(&args[0], "HMGET");
    args[1] = ngx_http_claude_relay_fleet_key(r->rmcf, key, "rows", NULL);

    r->fetch.handler = ngx_http_claude_relay_rows_fetched;

    if (ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis(r->rmcf),
                                         &r->fetch, args, n)
        != NGX_OK)
    {
        ngx_http_claude_relay_rows_unfetched(1);
        ngx_http_claude_relay_rows_failed();
    }
}


static void
ngx_http_claude_relay_rows_fetched(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_batch_t       *batch;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (ngx_http_claude_relay_rows_bad(reply, "fetched")) {
        ngx_http_claude_relay_rows_unfetched(1);
        return;
    }

    batch = ngx_http_claude_relay_batch(r->rmcf, NGX_HTTP_CLAUDE_RELAY_BATCH,
                                        ngx_http_claude_relay_batch_merge,
                                        ngx_http_claude_relay_rows_merged);
    if (batch == NULL) {
        ngx_http_claude_relay_rows_unfetched(1);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    batch->number = r->number;

    if (ngx_http_claude_relay_rows_take(batch, reply) != NGX_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_unfetched(1);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    if (batch->n == 0) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_unfetched(0);
        ngx_http_claude_relay_rows_work();
        return;
    }

    if (ngx_http_claude_relay_store_post(&batch->job) != NGX_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_unfetched(1);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    r->merging = 1;
}


/* texts, in the order of what was asked for */

static ngx_int_t
ngx_http_claude_relay_rows_take(ngx_http_claude_relay_batch_t *batch,
    redisReply *reply)
{
    size_t                               i;
    redisReply                          *e;
    ngx_queue_t                         *q;
    ngx_http_claude_relay_item_t        *item;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    q = ngx_queue_head(&r->fetching);

    for (i = 0; i < reply->elements; i++) {

        if (q == ngx_queue_sentinel(&r->fetching)) {
            break;
        }

        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, in);
        q = ngx_queue_next(q);
        e = reply->element[i];

        if (e->type != REDIS_REPLY_STRING) {
            known->redis.version = 0;
            known->redis.tie = 0;
            continue;
        }

        item = &batch->items[batch->n];

        item->len = e->len;
        item->text = ngx_alloc(e->len + 1, ngx_cycle->log);

        if (item->text == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(item->text, e->str, e->len);
        ngx_memcpy(item->name, known->sn.str.data, known->sn.str.len);

        batch->n++;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_rows_merged(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t *batch = job->data;

    ngx_str_t                            name;
    ngx_uint_t                           i, changed;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    changed = 0;

    for (i = 0; i < batch->n && job->rc == NCR_OK; i++) {
        changed += (batch->items[i].rc == NCR_OK);
    }

    if (changed) {
        ngx_http_claude_relay_store_touched();
    }

    if (batch->number != r->number || !r->active) {
        ngx_http_claude_relay_batch_free(batch);
        return;
    }

    r->merging = 0;

    if (job->rc != NCR_OK) {
        ngx_http_claude_relay_batch_free(batch);
        ngx_http_claude_relay_rows_unfetched(1);
        ngx_http_claude_relay_rows_failed();
        return;
    }

    (void) ngx_atomic_fetch_add(&r->rmcf->zone->fleet->stats.rows_heard,
                                changed);

    for (i = 0; i < batch->n; i++) {
        name.data = (u_char *) batch->items[i].name;
        name.len = ngx_strlen(batch->items[i].name);

        known = ngx_http_claude_relay_rows_known(&name, 0);

        if (known) {
            ngx_http_claude_relay_rows_result(known, &batch->items[i]);
        }
    }

    ngx_http_claude_relay_batch_free(batch);
    ngx_http_claude_relay_rows_unfetched(0);
    ngx_http_claude_relay_rows_work();
}


static void
ngx_http_claude_relay_rows_result(ngx_http_claude_relay_known_t *known,
    ngx_http_claude_relay_item_t *item)
{
    u_char                               tokens[NCR_STORE_ROW];
    ngx_str_t                            name;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    known->redis = item->order;
    known->listed = r->compare;

    switch (item->rc) {

    case NCR_OK:

        if (item->name[0] != 'a') {
            return;
        }

        /* its tokens may have come before it, for nobody */

        name.data = tokens;
        name.len = known->sn.str.len;

        ngx_memcpy(tokens, known->sn.str.data, name.len);
        tokens[0] = 't';

        known = ngx_http_claude_relay_rows_known(&name, 0);

        if (known && known->redis.version) {
            ngx_http_claude_relay_rows_in(known);
        }

        return;

    case NCR_BAD:

        if (known->bad.version != item->order.version
            || known->bad.tie != item->order.tie)
        {
            known->bad = item->order;
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "row \"%s\" of the fleet is not used: %s",
                          item->name, item->error);
        }

        return;

    default:

        /* what is here is as new, or newer, and then the others lack it */

        ngx_http_claude_relay_rows_later(known);
    }
}


static void
ngx_http_claude_relay_rows_unfetched(ngx_uint_t again)
{
    ngx_queue_t                         *q;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    while (!ngx_queue_empty(&r->fetching)) {
        q = ngx_queue_head(&r->fetching);
        ngx_queue_remove(q);

        known = ngx_queue_data(q, ngx_http_claude_relay_known_t, in);
        known->fetch = 0;

        if (again || known->named) {
            ngx_http_claude_relay_rows_in(known);
        }
    }
}
