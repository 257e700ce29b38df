
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of the store, told to other nodes and heard of them, in the agent.
 *
 * For each row it knows which state of it Redis has.  What the store has that
 * is newer is told, what Redis has that is newer is fetched; both go through
 * the store's thread, in batches, one of each kind at a time.  A message names
 * a row.  Whoever has missed some asks for what has changed since; and at the
 * begin, after a repair and every five minutes all is compared, by versions.
 */


#include "ngx_http_claude_relay_fleet_rows.h"


/* after a failure */
#define NGX_HTTP_CLAUDE_RELAY_AGAIN     1000


static void ngx_http_claude_relay_rows_begin(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_rows_end(void);
static void ngx_http_claude_relay_rows_changed(const char *name,
    uint64_t version, uint64_t seq);
static void ngx_http_claude_relay_rows_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_rows_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static void ngx_http_claude_relay_rows_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed);
static void ngx_http_claude_relay_rows_finish(void);
static void ngx_http_claude_relay_rows_looked(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rows_enquire(void);
static void ngx_http_claude_relay_rows_info(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_rows = {
    "r",
    ngx_http_claude_relay_rows_begin,
    ngx_http_claude_relay_rows_end,
    ngx_http_claude_relay_rows_beat,
    ngx_http_claude_relay_rows_message,
    ngx_http_claude_relay_rows_repair
};


/* may Redis be the record?  Has it a file of what it was told, and does it
 * keep what has no end */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_rows_info_text = {
    "info",

    "redis.call('EXISTS', KEYS[1])\n"
    "local p = redis.call('INFO', 'persistence')\n"
    "local m = redis.call('INFO', 'memory')\n"
    "return {string.match(p, 'aof_enabled:(%d)') or '0',\n"
    "        string.match(m, 'maxmemory:(%d+)') or '0',\n"
    "        string.match(m, 'maxmemory_policy:([%w-]+)') or ''}\n",

    ""
};


ngx_http_claude_relay_rows_state_t  ngx_http_claude_relay_the_rows;


static void
ngx_http_claude_relay_rows_begin(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                           number;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    /* jobs of an earlier agency of this worker may be out */

    number = r->number + 1;

    ngx_memzero(r, sizeof(ngx_http_claude_relay_rows_state_t));

    r->rmcf = rmcf;
    r->number = number;

    ngx_rbtree_init(&r->tree, &r->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&r->all);
    ngx_queue_init(&r->soon);
    ngx_queue_init(&r->later);
    ngx_queue_init(&r->now);
    ngx_queue_init(&r->in[0]);
    ngx_queue_init(&r->in[1]);
    ngx_queue_init(&r->in[2]);
    ngx_queue_init(&r->fetching);

    r->wanted = 1;
    r->enquire = 1;
    r->active = (rmcf->store != NULL && rmcf->redis->keyed);
}


static void
ngx_http_claude_relay_rows_end(void)
{
    ngx_queue_t                         *q;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    ngx_http_claude_relay_redis_forget(&r->put);
    ngx_http_claude_relay_redis_forget(&r->list);
    ngx_http_claude_relay_redis_forget(&r->fetch);
    ngx_http_claude_relay_redis_forget(&r->info);

    if (r->telling) {
        ngx_http_claude_relay_batch_free(r->telling);
        r->telling = NULL;
    }

    while (r->rmcf && !ngx_queue_empty(&r->all)) {
        q = ngx_queue_head(&r->all);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_http_claude_relay_known_t, all));
    }

    r->active = 0;
    r->number++;
}


ngx_http_claude_relay_known_t *
ngx_http_claude_relay_rows_known(ngx_str_t *name, ngx_uint_t make)
{
    uint32_t                             hash;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    hash = ngx_crc32_long(name->data, name->len);

    known = (ngx_http_claude_relay_known_t *)
                ngx_str_rbtree_lookup(&r->tree, name, hash);

    if (known || !make) {
        return known;
    }

    known = ngx_calloc(sizeof(ngx_http_claude_relay_known_t) + name->len,
                       ngx_cycle->log);
    if (known == NULL) {

        /* it is found when all is compared */

        r->wanted = 1;
        return NULL;
    }

    known->sn.node.key = hash;
    known->sn.str.len = name->len;
    known->sn.str.data = (u_char *) (known + 1);

    ngx_memcpy(known->sn.str.data, name->data, name->len);

    ngx_rbtree_insert(&r->tree, &known->sn.node);
    ngx_queue_insert_tail(&r->all, &known->all);

    return known;
}


/* rows that the store has had changed, on their way into the zone */

void
ngx_http_claude_relay_fleet_changed(ngx_queue_t *accounts,
    ngx_queue_t *objects)
{
    char                                 name[NCR_STORE_ROW];
    ngx_queue_t                         *q;
    ncr_store_object_t                  *object;
    ncr_store_account_t                 *row;
    ngx_http_claude_relay_object_t      *found;
    ngx_http_claude_relay_stored_t      *stored;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (!r->active) {
        return;
    }

    for (q = ngx_queue_head(accounts);
         q != ngx_queue_sentinel(accounts);
         q = ngx_queue_next(q))
    {
        stored = ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue);
        row = &stored->row;

        (void) ngx_snprintf((u_char *) name, sizeof(name), "a/%s%Z",
                            row->name);

        if (!row->conf) {
            ngx_http_claude_relay_rows_changed(name, row->version, row->seq);
        }

        name[0] = 't';

        if (row->tokens && !(row->conf && row->removed)) {
            ngx_http_claude_relay_rows_changed(name, row->tokens, row->seq);
        }

        r->seen = ngx_max(r->seen, row->seq);
    }

    for (q = ngx_queue_head(objects);
         q != ngx_queue_sentinel(objects);
         q = ngx_queue_next(q))
    {
        found = ngx_queue_data(q, ngx_http_claude_relay_object_t, queue);
        object = &found->row;

        if (ncr_store_shared(object->kind)) {
            (void) ngx_snprintf((u_char *) name, sizeof(name), "o/%s/%s%Z",
                                object->kind, object->name);

            ngx_http_claude_relay_rows_changed(name, object->version,
                                               object->seq);
        }

        r->seen = ngx_max(r->seen, object->seq);
    }

    ngx_http_claude_relay_rows_work();
}


static void
ngx_http_claude_relay_rows_changed(const char *name, uint64_t version,
    uint64_t seq)
{
    ngx_str_t                       s;
    ngx_http_claude_relay_known_t  *known;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    known = ngx_http_claude_relay_rows_known(&s, 1);

    /* of the same version it may be another one; who reads it will see */

    if (known && known->redis.version <= version) {
        ngx_http_claude_relay_rows_soon(known, seq);
    }
}


void
ngx_http_claude_relay_rows_soon(ngx_http_claude_relay_known_t *known,
    uint64_t seq)
{
    ngx_queue_t                         *q;
    ngx_http_claude_relay_known_t       *other;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (known->where == NGX_HTTP_CLAUDE_RELAY_OUT_NOW) {
        known->changed = 1;
        known->seq = known->soon ? ngx_min(known->seq, seq) : seq;
        known->soon = 1;
        return;
    }

    if (known->where == NGX_HTTP_CLAUDE_RELAY_OUT_SOON) {

        /* it keeps its place, and is told as it is then */

        return;
    }

    if (known->where == NGX_HTTP_CLAUDE_RELAY_OUT_LATER) {
        ngx_queue_remove(&known->out);
    }

    known->where = NGX_HTTP_CLAUDE_RELAY_OUT_SOON;
    known->seq = seq;

    /* in the order of seq: most are the last ones */

    for (q = ngx_queue_last(&r->soon);
         q != ngx_queue_sentinel(&r->soon);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_http_claude_relay_known_t, out);

        if (other->seq <= seq) {
            break;
        }
    }

    ngx_queue_insert_after(q, &known->out);
}


void
ngx_http_claude_relay_rows_later(ngx_http_claude_relay_known_t *known)
{
    if (known->where == NGX_HTTP_CLAUDE_RELAY_OUT_NO) {
        known->where = NGX_HTTP_CLAUDE_RELAY_OUT_LATER;
        ngx_queue_insert_tail(&ngx_http_claude_relay_the_rows.later,
                              &known->out);
    }
}


/* tokens need their account first */

void
ngx_http_claude_relay_rows_in(ngx_http_claude_relay_known_t *known)
{
    ngx_uint_t                           which;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (known->fetch == 2) {

        /* once more, behind what is under way */

        known->named = 1;
        return;
    }

    if (known->fetch == 0) {
        which = (known->sn.str.data[0] == 'a') ? 0
                : (known->sn.str.data[0] == 'o') ? 1 : 2;

        known->fetch = 1;
        ngx_queue_insert_tail(&r->in[which], &known->in);
    }
}


static void
ngx_http_claude_relay_rows_beat(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_rows_work();
}


static void
ngx_http_claude_relay_rows_repair(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t flushed)
{
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    r->wanted = 1;
    r->enquire = 1;

    if (flushed) {
        rmcf->zone->fleet->v = 0;
    }

    /* what is under way is not a comparison with what is there now */

    if (r->stage != NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE) {
        ngx_http_claude_relay_redis_forget(&r->list);
        r->list.sent = NULL;
        r->walk = NULL;
        r->stage = NGX_HTTP_CLAUDE_RELAY_ROWS_IDLE;
    }
}


/* "V ROW" */

static void
ngx_http_claude_relay_rows_message(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *args)
{
    u_char                              *p;
    ngx_int_t                            v;
    ngx_str_t                            name;
    ncr_wire_t                           wire;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_known_t       *known;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = rmcf->zone->fleet;

    if (!r->active) {
        return;
    }

    p = ngx_strlchr(args->data, args->data + args->len, ' ');
    v = p ? ngx_atoi(args->data, p - args->data) : NGX_ERROR;

    if (v <= 0) {
        return;
    }

    name.data = p + 1;
    name.len = args->data + args->len - name.data;

    if (ncr_wire_name(&wire, ncr(&name)) != NCR_OK) {

        /* of a later version of the module; its number counts */

        known = NULL;

    } else {
        known = ngx_http_claude_relay_rows_known(&name, 1);
    }

    if ((uint64_t) v == fleet->v + 1) {
        fleet->v = (uint64_t) v;

    } else if ((uint64_t) v > fleet->v) {
        r->missed = 1;
    }

    if (known) {
        ngx_http_claude_relay_rows_in(known);
    }

    ngx_http_claude_relay_rows_work();
}


/* whatever can be done now */

void
ngx_http_claude_relay_rows_work(void)
{
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (!r->active || !ngx_http_claude_relay_fleet_up(r->rmcf)) {
        return;
    }

    if (r->waits) {

        if ((ngx_msec_int_t) (r->retry - ngx_current_msec) > 0) {
            return;
        }

        r->waits = 0;
    }

    ngx_http_claude_relay_rows_enquire();
    ngx_http_claude_relay_rows_fetch();
    ngx_http_claude_relay_rows_tell();
    ngx_http_claude_relay_rows_compare();
    ngx_http_claude_relay_rows_finish();
}


void
ngx_http_claude_relay_rows_failed(void)
{
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    r->waits = 1;
    r->retry = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_AGAIN;
}


/* 1: no answer, or none that can be used */

ngx_uint_t
ngx_http_claude_relay_rows_bad(redisReply *reply, const char *what)
{
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (reply && reply->type == REDIS_REPLY_ARRAY) {
        r->refused = 0;
        return 0;
    }

    ngx_http_claude_relay_rows_failed();

    if (reply && !r->refused) {
        r->refused = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "rows of the fleet cannot be %s: %s", what,
                      reply->type == REDIS_REPLY_ERROR ? reply->str
                                          : "an answer that makes no sense");
    }

    return 1;
}


/*
 * All that Redis has was taken in: it is in force when the thread has looked
 * into the store, and what it has found then is in place.
 */

static void
ngx_http_claude_relay_rows_finish(void)
{
    ngx_http_claude_relay_batch_t       *batch;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (fleet->synced || !r->once || r->merging || r->fetch.sent
        || !ngx_queue_empty(&r->in[0]) || !ngx_queue_empty(&r->in[1])
        || !ngx_queue_empty(&r->in[2]) || r->looking == 1)
    {
        return;
    }

    if (r->looking == 3 && !ngx_http_claude_relay_store_applying()) {
        fleet->synced = 1;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "the fleet's accounts and keys are here");
        return;
    }

    if (r->looking == 3) {
        return;
    }

    batch = ngx_http_claude_relay_batch(r->rmcf, 0,
                                        ngx_http_claude_relay_batch_look,
                                        ngx_http_claude_relay_rows_looked);
    if (batch == NULL) {
        return;
    }

    batch->number = r->number;
    batch->seq = r->looking;

    if (ngx_http_claude_relay_store_post(&batch->job) != NGX_OK) {
        ngx_http_claude_relay_batch_free(batch);
        return;
    }

    r->looking = 1;
}


static void
ngx_http_claude_relay_rows_looked(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t       *batch = job->data;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    if (batch->number == r->number && r->active) {

        /* twice: what was seen behind the first one has arrived then */

        r->looking = (job->rc != NCR_OK) ? 0 : (batch->seq == 2) ? 3 : 2;

        ngx_http_claude_relay_rows_work();
    }

    ngx_http_claude_relay_batch_free(batch);
}


static void
ngx_http_claude_relay_rows_enquire(void)
{
    u_char                               key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_str_t                            args[1];
    ngx_msec_t                           ms;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;

    ms = r->rmcf->zone->fleet->durable || !r->rmcf->store->record
         ? NGX_HTTP_CLAUDE_RELAY_COMPARE : NGX_HTTP_CLAUDE_RELAY_ENQUIRE;

    if (r->info.sent
        || (!r->enquire && ngx_current_msec - r->enquired < ms))
    {
        return;
    }

    args[0] = ngx_http_claude_relay_fleet_key(r->rmcf, key, "rows", NULL);

    r->info.handler = ngx_http_claude_relay_rows_info;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(r->rmcf),
                                         &r->info,
                                        &ngx_http_claude_relay_rows_info_text,
                                         1, args, 1)
        == NGX_OK)
    {
        r->enquire = 0;
        r->enquired = ngx_current_msec;
    }
}


static void
ngx_http_claude_relay_rows_info(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    size_t                               i;
    const char                          *why;
    ngx_http_claude_relay_fleet_t       *fleet;
    ngx_http_claude_relay_rows_state_t  *r;

    r = &ngx_http_claude_relay_the_rows;
    fleet = r->rmcf->zone->fleet;

    if (reply == NULL) {
        r->enquire = 1;
        return;
    }

    why = NULL;

    if (reply->type == REDIS_REPLY_ERROR) {
        why = "it does not tell whether it has an append-only file "
              "(its user needs INFO)";

    } else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        why = "it does not tell whether it has an append-only file";

    } else {

        for (i = 0; i < 3; i++) {
            if (reply->element[i]->type != REDIS_REPLY_STRING) {
                return;
            }
        }

        if (ngx_strcmp(reply->element[0]->str, "1") != 0) {
            why = "it has no append-only file (\"appendonly yes\")";

        } else if (ngx_strcmp(reply->element[1]->str, "0") != 0
                   && ngx_strncmp(reply->element[2]->str, "allkeys", 7) == 0)
        {
            why = "it may drop any key when its memory is full "
                  "(\"maxmemory-policy\")";
        }
    }

    fleet->durable = (why == NULL);

    if (r->rmcf->store->record && why && !r->unfit) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis cannot be the record of accounts and keys: %s; "
                      "nothing is changed until it is", why);
    }

    r->unfit = (why != NULL);
}
