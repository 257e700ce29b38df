
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What each node has used, told to Redis: the sums of its own ledger by day
 * and key, as they are and not what was added, so that nothing is counted
 * twice.  The books themselves stay where they are.
 */


#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_fleet_usage.h"
#include "ngx_http_claude_relay_ledger.h"


/* between two questions to the ledger; after one that it did not answer, ms */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS         5000
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_AGAIN   60000

/* a day is told for so long after its end, ms */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_AFTER   ((ncr_msec_t) 600 * 1000)

/* days that are compared by a new agent, and after Redis was away */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_DAYS    32

/* rows in one call, two arguments each */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_BATCH   200

/* s; of a day's sums, since they were told last: 400 days */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_EXPIRE  "34560000"


/* made in the ledger's thread */

typedef struct {
    uint64_t                           hash;    /* of all below */
    ngx_str_t                          key;
    ngx_str_t                          value;
    char                               day[NGX_HTTP_CLAUDE_RELAY_DAY + 1];
} ngx_http_claude_relay_total_t;


typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_question_t   question;
    ngx_http_claude_relay_ask_t        ask;
    ngx_pool_t                        *pool;    /* of what is told now */
    ngx_array_t                        rows;    /* ..._total_t */
    ngx_uint_t                         row;     /* the next one */
    ngx_array_t                        told;    /* hashes, sorted */
    ngx_msec_t                         next;    /* question, not before */
    ncr_msec_t                         drained; /* as of that */
    ncr_msec_t                         from;    /* of the question */
    unsigned                           asking:1;    /* the ledger */
    unsigned                           all:1;   /* days, next time */
    unsigned                           stale:1; /* what is under way is not
                                                   wanted any more */
    unsigned                           agent:1;
} ngx_http_claude_relay_fleet_usage_t;


static void ngx_http_claude_relay_fleet_usage_begin(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_usage_end(void);
static void ngx_http_claude_relay_fleet_usage_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_usage_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed);
static ncr_msec_t ngx_http_claude_relay_fleet_usage_from(
    ngx_http_claude_relay_fleet_usage_t *fu);
static void ngx_http_claude_relay_fleet_usage_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_fleet_usage_sum(void *data,
    ncr_ledger_sum_t *sum);
static void ngx_http_claude_relay_fleet_usage_done(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_fleet_usage_tell(
    ngx_http_claude_relay_fleet_usage_t *fu);
static ngx_uint_t ngx_http_claude_relay_fleet_usage_told(
    ngx_http_claude_relay_fleet_usage_t *fu, uint64_t hash);
static void ngx_http_claude_relay_fleet_usage_answer(
    ngx_http_claude_relay_ask_t *ask, redisReply *reply);
static void ngx_http_claude_relay_fleet_usage_all_told(
    ngx_http_claude_relay_fleet_usage_t *fu);
static void ngx_http_claude_relay_fleet_usage_forget(
    ngx_http_claude_relay_fleet_usage_t *fu);
static void ngx_http_claude_relay_fleet_usage_over(
    ngx_http_claude_relay_fleet_usage_t *fu);
static int ngx_libc_cdecl ngx_http_claude_relay_fleet_usage_compare(
    const void *one, const void *two);
static uint64_t ngx_http_claude_relay_fleet_usage_hash(
    ngx_http_claude_relay_total_t *row);


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_usage = {
    NULL,
    ngx_http_claude_relay_fleet_usage_begin,
    ngx_http_claude_relay_fleet_usage_end,
    ngx_http_claude_relay_fleet_usage_beat,
    NULL,
    ngx_http_claude_relay_fleet_usage_repair
};


static ngx_http_claude_relay_script_t  ngx_http_claude_relay_totals_script = {
    "usage",

    "for i = 2, #ARGV, 2 do\n"
    "    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])\n"
    "end\n"
    "redis.call('EXPIRE', KEYS[1], ARGV[1])\n"
    "return 1\n",

    ""
};


static ngx_http_claude_relay_fleet_usage_t  ngx_http_claude_relay_totals;


static void
ngx_http_claude_relay_fleet_usage_begin(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_usage_t  *fu;

    fu = &ngx_http_claude_relay_totals;

    fu->rmcf = rmcf;
    fu->agent = 1;
    fu->all = 1;
    fu->drained = 0;
    fu->next = ngx_current_msec;

    fu->ask.handler = ngx_http_claude_relay_fleet_usage_answer;
    fu->ask.data = fu;
}


/* the thread brings what it was asked, and then it is thrown away */

static void
ngx_http_claude_relay_fleet_usage_end(void)
{
    ngx_http_claude_relay_fleet_usage_t  *fu;

    fu = &ngx_http_claude_relay_totals;

    fu->agent = 0;

    ngx_http_claude_relay_redis_forget(&fu->ask);
    ngx_http_claude_relay_fleet_usage_forget(fu);

    if (fu->asking) {
        fu->stale = 1;

    } else {
        ngx_http_claude_relay_fleet_usage_over(fu);
    }
}


static void
ngx_http_claude_relay_fleet_usage_beat(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_usage_t  *fu;

    fu = &ngx_http_claude_relay_totals;

    if (fu->asking || fu->pool || rmcf->ring == NULL
        || (ngx_msec_int_t) (ngx_current_msec - fu->next) < 0
        || (!fu->all && fu->drained == rmcf->zone->usage_drained))
    {
        return;
    }

    fu->next = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_TOTALS;

    fu->pool = ngx_create_pool(4096, ngx_cycle->log);
    if (fu->pool == NULL) {
        return;
    }

    if (ngx_array_init(&fu->rows, fu->pool, 16,
                       sizeof(ngx_http_claude_relay_total_t))
        != NGX_OK)
    {
        ngx_http_claude_relay_fleet_usage_over(fu);
        return;
    }

    fu->drained = rmcf->zone->usage_drained;
    fu->from = ngx_http_claude_relay_fleet_usage_from(fu);
    fu->row = 0;

    ngx_memzero(&fu->question, sizeof(ngx_http_claude_relay_question_t));

    fu->question.run = ngx_http_claude_relay_fleet_usage_run;
    fu->question.done = ngx_http_claude_relay_fleet_usage_done;
    fu->question.data = fu;

    if (ngx_http_claude_relay_ledger_ask(&fu->question) != NGX_OK) {
        ngx_http_claude_relay_fleet_usage_over(fu);
        return;
    }

    fu->asking = 1;
    fu->stale = 0;
}


static void
ngx_http_claude_relay_fleet_usage_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed)
{
    ngx_http_claude_relay_fleet_usage_t  *fu;

    fu = &ngx_http_claude_relay_totals;
    fu->all = 1;

    /* what is being told now was perhaps told to the one before */

    if (flushed) {
        fu->stale = 1;
        ngx_http_claude_relay_fleet_usage_forget(fu);
    }
}


/* where the first day begins, in the zone of the ledger's days */

static ncr_msec_t
ngx_http_claude_relay_fleet_usage_from(
    ngx_http_claude_relay_fleet_usage_t *fu)
{
    ncr_msec_t  now, back, from, end;

    now = ngx_http_claude_relay_now();

    back = fu->all ? (ncr_msec_t) (NGX_HTTP_CLAUDE_RELAY_TOTALS_DAYS - 1)
                     * 86400 * 1000
                   : NGX_HTTP_CLAUDE_RELAY_TOTALS_AFTER;

    ncr_tz_span(fu->rmcf->tz, NCR_SPAN_DAY, 1, 0, now - back, &from, &end);

    return from;
}


/* in the thread; the pool is its own until the question is done */

static void
ngx_http_claude_relay_fleet_usage_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_fleet_usage_t *fu = q->data;

    ncr_ledger_query_t  query;

    ngx_memzero(&query, sizeof(ncr_ledger_query_t));

    query.from = fu->from;
    query.by[0] = NCR_BY_DAY;
    query.by[1] = NCR_BY_KEY;
    query.limit = NCR_LEDGER_GROUPS;

    q->rc = ncr_ledger_sums(ledger, &query,
                            ngx_http_claude_relay_fleet_usage_sum, fu);

    if (q->rc != NCR_OK) {
        (void) ngx_cpystrn((u_char *) q->error,
                           (u_char *) ncr_ledger_error(ledger),
                           NCR_LEDGER_ERROR);
    }
}


static ncr_int_t
ngx_http_claude_relay_fleet_usage_sum(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_fleet_usage_t *fu = data;

    size_t                          len;
    u_char                          buf[NGX_HTTP_CLAUDE_RELAY_TOTAL];
    ngx_http_claude_relay_total_t  *row;

    /* "2026-11-21T..." in the zone of the day */

    if (ngx_strlen(sum->name[0]) < sizeof("2026-11-21") - 1) {
        return NCR_OK;
    }

    row = ngx_array_push(&fu->rows);
    if (row == NULL) {
        return NCR_ERROR;
    }

    ngx_sprintf((u_char *) row->day, "%*s%*s%*s%Z", (size_t) 4, sum->name[0],
                (size_t) 2, sum->name[0] + 5, (size_t) 2, sum->name[0] + 8);

    len = ngx_snprintf(buf, sizeof(buf), "%uL %uL %uL %uL %uL %uL",
                       sum->requests, sum->usage.input, sum->usage.output,
                       sum->usage.cache_read, sum->usage.cache_write,
                       sum->cost)
          - buf;

    row->key.len = ngx_strlen(sum->name[1]);
    row->key.data = ngx_pnalloc(fu->pool, row->key.len + len);

    if (row->key.data == NULL) {
        return NCR_ERROR;
    }

    row->value.len = len;
    row->value.data = ngx_cpymem(row->key.data, sum->name[1], row->key.len);
    ngx_memcpy(row->value.data, buf, len);

    row->hash = ngx_http_claude_relay_fleet_usage_hash(row);

    return NCR_OK;
}


static void
ngx_http_claude_relay_fleet_usage_done(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_fleet_usage_t *fu = q->data;

    fu->asking = 0;

    if (q->rc == NCR_OK && !fu->stale && fu->agent) {
        fu->all = 0;
        ngx_http_claude_relay_fleet_usage_tell(fu);
        return;
    }

    if (!fu->stale && fu->agent) {

        /* if those were too many days, today's are left to be told */

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the fleet is not told what was used: %s",
                      q->rc == NCR_DECLINED ? "there is too much of it"
                                            : q->error);

        fu->all = (fu->all && q->rc != NCR_DECLINED);
        fu->next = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_TOTALS_AGAIN;
    }

    fu->drained = 0;
    ngx_http_claude_relay_fleet_usage_over(fu);
}


/* the next ones of one day; those that were told are passed over */

static void
ngx_http_claude_relay_fleet_usage_tell(
    ngx_http_claude_relay_fleet_usage_t *fu)
{
    u_char                          buf[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                         *p;
    ngx_str_t                      *args, node, day;
    ngx_uint_t                      n;
    ngx_pool_t                     *pool;
    ngx_http_claude_relay_total_t  *row, *first;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    args = pool ? ngx_palloc(pool, (2 + 2 * NGX_HTTP_CLAUDE_RELAY_TOTALS_BATCH)
                                   * sizeof(ngx_str_t))
                : NULL;

    if (args == NULL) {
        goto failed;
    }

    row = fu->rows.elts;
    node = fu->rmcf->redis->node;
    first = NULL;
    n = 2;

    for ( /* void */ ; fu->row < fu->rows.nelts; fu->row++) {

        if (ngx_http_claude_relay_fleet_usage_told(fu, row[fu->row].hash)) {
            continue;
        }

        if (first == NULL) {
            first = &row[fu->row];
        }

        if (ngx_strcmp(first->day, row[fu->row].day) != 0
            || n == 2 + 2 * NGX_HTTP_CLAUDE_RELAY_TOTALS_BATCH)
        {
            break;
        }

        args[n].len = node.len + 1 + row[fu->row].key.len;
        args[n].data = ngx_pnalloc(pool, args[n].len);

        if (args[n].data == NULL) {
            goto failed;
        }

        p = ngx_cpymem(args[n].data, node.data, node.len);
        *p++ = '\t';
        ngx_memcpy(p, row[fu->row].key.data, row[fu->row].key.len);

        args[n + 1] = row[fu->row].value;
        n += 2;
    }

    if (first == NULL) {
        ngx_destroy_pool(pool);
        ngx_http_claude_relay_fleet_usage_all_told(fu);
        return;
    }

    day.data = (u_char *) first->day;
    day.len = NGX_HTTP_CLAUDE_RELAY_DAY;

    args[0] = ngx_http_claude_relay_fleet_key(fu->rmcf, buf, "u:", &day);
    ngx_str_set(&args[1], NGX_HTTP_CLAUDE_RELAY_TOTALS_EXPIRE);

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(fu->rmcf),
                                         &fu->ask,
                                         &ngx_http_claude_relay_totals_script,
                                         1, args, n)
        == NGX_OK)
    {
        ngx_destroy_pool(pool);
        return;
    }

failed:

    if (pool) {
        ngx_destroy_pool(pool);
    }

    ngx_http_claude_relay_fleet_usage_forget(fu);
    ngx_http_claude_relay_fleet_usage_over(fu);
}


static ngx_uint_t
ngx_http_claude_relay_fleet_usage_told(
    ngx_http_claude_relay_fleet_usage_t *fu, uint64_t hash)
{
    return fu->told.nelts
           && bsearch(&hash, fu->told.elts, fu->told.nelts, sizeof(uint64_t),
                      ngx_http_claude_relay_fleet_usage_compare)
              != NULL;
}


static void
ngx_http_claude_relay_fleet_usage_answer(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_fleet_usage_t *fu = ask->data;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR || fu->stale) {
        ngx_http_claude_relay_fleet_usage_forget(fu);
        ngx_http_claude_relay_fleet_usage_over(fu);
        return;
    }

    ngx_http_claude_relay_fleet_usage_tell(fu);
}


/* Redis has all of these: only what differs from them is told next time */

static void
ngx_http_claude_relay_fleet_usage_all_told(
    ngx_http_claude_relay_fleet_usage_t *fu)
{
    uint64_t                       *hash;
    ngx_uint_t                      i, n;
    ngx_http_claude_relay_total_t  *row;

    n = fu->rows.nelts;
    row = fu->rows.elts;

    if (fu->told.elts) {
        ngx_free(fu->told.elts);
        fu->told.elts = NULL;
    }

    fu->told.nelts = 0;

    hash = n ? ngx_alloc(n * sizeof(uint64_t), ngx_cycle->log) : NULL;

    if (hash) {

        for (i = 0; i < n; i++) {
            hash[i] = row[i].hash;
        }

        ngx_qsort(hash, n, sizeof(uint64_t),
                  ngx_http_claude_relay_fleet_usage_compare);

        fu->told.elts = hash;
        fu->told.nelts = n;
    }

    ngx_http_claude_relay_fleet_usage_over(fu);
}


/* it is not known what Redis has: all is told, from the first day on */

static void
ngx_http_claude_relay_fleet_usage_forget(
    ngx_http_claude_relay_fleet_usage_t *fu)
{
    if (fu->told.elts) {
        ngx_free(fu->told.elts);
        fu->told.elts = NULL;
    }

    fu->told.nelts = 0;
    fu->all = 1;
}


static void
ngx_http_claude_relay_fleet_usage_over(
    ngx_http_claude_relay_fleet_usage_t *fu)
{
    if (fu->pool) {
        ngx_destroy_pool(fu->pool);
        fu->pool = NULL;
    }
}


static int ngx_libc_cdecl
ngx_http_claude_relay_fleet_usage_compare(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(uint64_t *) one;
    b = *(uint64_t *) two;

    return (a > b) - (a < b);
}


/* FNV-1a, with a byte between the parts that is in none of them */

static uint64_t
ngx_http_claude_relay_fleet_usage_hash(ngx_http_claude_relay_total_t *row)
{
    uint64_t    hash;
    ngx_str_t   part[3];
    ngx_uint_t  i, k;

    part[0].data = (u_char *) row->day;
    part[0].len = NGX_HTTP_CLAUDE_RELAY_DAY;
    part[1] = row->key;
    part[2] = row->value;

    hash = 0xcbf29ce484222325u;

    for (i = 0; i < 3; i++) {

        for (k = 0; k < part[i].len; k++) {
            hash = (hash ^ part[i].data[k]) * 0x100000001b3u;
        }

        hash = (hash ^ 0xff) * 0x100000001b3u;
    }

    return hash;
}
