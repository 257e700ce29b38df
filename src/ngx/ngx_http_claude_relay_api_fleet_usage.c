
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /v1/fleet/usage: what all nodes have told of what they have used, added
 * up.  Read from Redis day by day, in pieces, so that neither it nor this
 * worker stops for anybody.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_fleet_usage.h"
#include "ncr_tz.h"


/* days of one question, and rows of an answer */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_DAYS    93
#define NGX_HTTP_CLAUDE_RELAY_FLEET_ROWS    1000
#define NGX_HTTP_CLAUDE_RELAY_FLEET_MOST    10000

/* fields that are read and sums that are made, at most */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_FIELDS  500000
#define NGX_HTTP_CLAUDE_RELAY_FLEET_GROUPS  100000

/* fields of one piece, about */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_PIECE   "500"

/* of a node and a key; longer ones are nobody's */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_FIELD   512

#define NGX_HTTP_CLAUDE_RELAY_DAY_MS        ((ncr_msec_t) 86400 * 1000)


/* in the order of what ..._fleet_usage.h says of a value */

enum {
    NGX_HTTP_CLAUDE_RELAY_FLEET_REQUESTS = 0,
    NGX_HTTP_CLAUDE_RELAY_FLEET_INPUT,
    NGX_HTTP_CLAUDE_RELAY_FLEET_OUTPUT,
    NGX_HTTP_CLAUDE_RELAY_FLEET_READ,
    NGX_HTTP_CLAUDE_RELAY_FLEET_WRITE,
    NGX_HTTP_CLAUDE_RELAY_FLEET_COST
};


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_FLEET_BY_KEY = 0,
    NGX_HTTP_CLAUDE_RELAY_FLEET_BY_NODE,
    NGX_HTTP_CLAUDE_RELAY_FLEET_BY_DAY
} ngx_http_claude_relay_fleet_by_e;


typedef struct {
    ngx_str_node_t                     sn;      /* its name */
    uint64_t                           n[NGX_HTTP_CLAUDE_RELAY_NUMBERS];
} ngx_http_claude_relay_fleet_sum_t;


typedef struct {
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_ask_t        ask;
    ngx_uint_t                         by;
    ncr_msec_t                         from;    /* midnights of UTC */
    ncr_msec_t                         to;      /* inclusive */
    ncr_msec_t                         day;     /* that is read */
    ngx_int_t                          limit;
    ngx_str_t                          cursor;
    u_char                             buf[NGX_INT64_LEN + 1];

    /* a piece may have what another one had, too */

    ngx_pool_t                        *pool;    /* of the day */
    ngx_rbtree_t                       seen;    /* hashes of fields */
    ngx_rbtree_node_t                  seen_sentinel;

    ngx_rbtree_t                       sums;
    ngx_rbtree_node_t                  sentinel;
    ngx_uint_t                         nsums;
    ngx_uint_t                         nfields;
    uint64_t                           total[NGX_HTTP_CLAUDE_RELAY_NUMBERS];
} ngx_http_claude_relay_fleet_asked_t;


static void ngx_http_claude_relay_api_fleet_usage(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_fleet_words(
    ngx_http_claude_relay_fleet_asked_t *asked);
static ngx_int_t ngx_http_claude_relay_fleet_date(ngx_str_t *text,
    ncr_msec_t *t);
static void ngx_http_claude_relay_fleet_free(void *data);
static void ngx_http_claude_relay_fleet_ask(
    ngx_http_claude_relay_fleet_asked_t *asked);
static void ngx_http_claude_relay_fleet_heard(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_fleet_piece(
    ngx_http_claude_relay_fleet_asked_t *asked, redisReply *fields);
static ngx_int_t ngx_http_claude_relay_fleet_seen(
    ngx_http_claude_relay_fleet_asked_t *asked, ngx_str_t *field);
static ngx_int_t ngx_http_claude_relay_fleet_add(
    ngx_http_claude_relay_fleet_asked_t *asked, ngx_str_t *field,
    ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_fleet_numbers(ngx_str_t *value,
    uint64_t *n);
static ngx_http_claude_relay_fleet_sum_t *ngx_http_claude_relay_fleet_sum(
    ngx_http_claude_relay_fleet_asked_t *asked, ngx_str_t *name);
static void ngx_http_claude_relay_fleet_away(
    ngx_http_claude_relay_fleet_asked_t *asked);
static void ngx_http_claude_relay_fleet_answer(
    ngx_http_claude_relay_fleet_asked_t *asked);
static void ngx_http_claude_relay_fleet_show(cJSON *json, uint64_t *n);
static int ngx_libc_cdecl ngx_http_claude_relay_fleet_by_cost(
    const void *one, const void *two);
static int ngx_libc_cdecl ngx_http_claude_relay_fleet_by_name(
    const void *one, const void *two);


static const char *const  ngx_http_claude_relay_fleet_bys[] = {
    "key", "node", "day", NULL
};


ngx_http_claude_relay_way_t  ngx_http_claude_relay_fleet_usage_ways[] = {

    { NGX_HTTP_GET, "/v1/fleet/usage", ngx_http_claude_relay_api_fleet_usage,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_fleet_usage(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_fleet_asked_t  *asked;

    asked = ngx_pcalloc(call->pool,
                        sizeof(ngx_http_claude_relay_fleet_asked_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (asked == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_fleet_free;
    cln->data = asked;

    asked->call = call;
    asked->ask.handler = ngx_http_claude_relay_fleet_heard;
    asked->ask.data = asked;

    ngx_rbtree_init(&asked->sums, &asked->sentinel,
                    ngx_str_rbtree_insert_value);

    if (ngx_http_claude_relay_fleet_words(asked) != NGX_OK) {
        return;
    }

    if (call->rmcf->redis == NULL) {

        /* no fleet, and nothing that one has used */

        ngx_http_claude_relay_fleet_answer(asked);
        return;
    }

    asked->day = asked->from;
    ngx_str_set(&asked->cursor, "0");

    ngx_http_claude_relay_fleet_ask(asked);
}


/* NGX_ERROR: the call has ended */

static ngx_int_t
ngx_http_claude_relay_fleet_words(ngx_http_claude_relay_fleet_asked_t *asked)
{
    ngx_int_t                      limit;
    ngx_str_t                      values[4];
    ncr_msec_t                     now;
    const char                    *wrong;
    ngx_http_claude_relay_call_t  *call;

    static const char *const  names[] = { "from", "to", "by", "limit", NULL };

    call = asked->call;

    if (ngx_http_claude_relay_call_query(call, names, values) != NGX_OK) {
        return NGX_ERROR;
    }

    limit = ngx_http_claude_relay_call_limit(call, &values[3],
                                           NGX_HTTP_CLAUDE_RELAY_FLEET_ROWS,
                                           NGX_HTTP_CLAUDE_RELAY_FLEET_MOST);
    if (limit == NGX_ERROR) {

        /* "asked" went with the call's pool */

        return NGX_ERROR;
    }

    asked->limit = limit;

    now = ngx_http_claude_relay_now();
    now += (ncr_msec_t) ncr_tz_offset(call->rmcf->tz, now) * 1000;

    asked->to = now - now % NGX_HTTP_CLAUDE_RELAY_DAY_MS;
    wrong = NULL;

    if (ngx_http_claude_relay_fleet_date(&values[1], &asked->to) != NGX_OK) {
        wrong = "\"to\" must be a date, such as \"2026-11-21\"";
    }

    asked->from = asked->to;

    if (ngx_http_claude_relay_fleet_date(&values[0], &asked->from) != NGX_OK) {
        wrong = "\"from\" must be a date, such as \"2026-11-21\"";

    } else if (asked->from > asked->to) {
        wrong = "\"from\" must not be later than \"to\"";

    } else if (asked->to - asked->from
               >= NGX_HTTP_CLAUDE_RELAY_FLEET_DAYS
                  * NGX_HTTP_CLAUDE_RELAY_DAY_MS)
    {
        wrong = "\"from\" and \"to\" must be less than 93 days apart";
    }

    if (values[2].data) {

        for (asked->by = 0; ngx_http_claude_relay_fleet_bys[asked->by];
             asked->by++)
        {
            if (ncr_str_eq(ncr(&values[2]),
                           ngx_http_claude_relay_fleet_bys[asked->by]))
            {
                break;
            }
        }

        if (ngx_http_claude_relay_fleet_bys[asked->by] == NULL) {
            wrong = "\"by\" must be \"key\", \"node\" or \"day\"";
        }
    }

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_fleet_date(ngx_str_t *text, ncr_msec_t *t)
{
    u_char     buf[sizeof("2026-11-21T00:00:00Z")];
    ngx_str_t  midnight;

    if (text->data == NULL) {
        return NGX_OK;
    }

    if (text->len != sizeof("2026-11-21") - 1) {
        return NGX_DECLINED;
    }

    midnight.data = buf;
    midnight.len = ngx_sprintf(buf, "%VT00:00:00Z", text) - buf;

    return (ncr_str_time(ncr(&midnight), t) == NCR_OK && *t > 0)
           ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_claude_relay_fleet_free(void *data)
{
    ngx_http_claude_relay_fleet_asked_t *asked = data;

    ngx_http_claude_relay_redis_forget(&asked->ask);

    if (asked->pool) {
        ngx_destroy_pool(asked->pool);
        asked->pool = NULL;
    }
}


/* the next piece of the day */

static void
ngx_http_claude_relay_fleet_ask(ngx_http_claude_relay_fleet_asked_t *asked)
{
    char                                date[NCR_STR_RFC3339];
    u_char                              key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                              day[NGX_HTTP_CLAUDE_RELAY_DAY + 1];
    ngx_str_t                           args[5], name;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = asked->call->rmcf;

    if (asked->pool == NULL) {

        asked->pool = ngx_create_pool(4096, ngx_cycle->log);
        if (asked->pool == NULL) {
            ngx_http_claude_relay_call_memory(asked->call);
            return;
        }

        ngx_rbtree_init(&asked->seen, &asked->seen_sentinel,
                        ngx_rbtree_insert_value);
    }

    ncr_str_rfc3339(date, asked->day);

    name.data = day;
    name.len = ngx_sprintf(day, "%*s%*s%*s", (size_t) 4, date, (size_t) 2,
                           date + 5, (size_t) 2, date + 8)
               - day;

    ngx_str_set(&args[0], "HSCAN");
    args[1] = ngx_http_claude_relay_fleet_key(rmcf, key, "u:", &name);
    args[2] = asked->cursor;
    ngx_str_set(&args[3], "COUNT");
    ngx_str_set(&args[4], NGX_HTTP_CLAUDE_RELAY_FLEET_PIECE);

    if (ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis(rmcf),
                                         &asked->ask, args, 5)
        != NGX_OK)
    {
        ngx_http_claude_relay_fleet_away(asked);
    }
}


static void
ngx_http_claude_relay_fleet_heard(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_fleet_asked_t *asked = ask->data;

    ngx_int_t    rc;
    redisReply  *cursor;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements != 2
        || reply->element[0]->type != REDIS_REPLY_STRING
        || reply->element[1]->type != REDIS_REPLY_ARRAY)
    {
        ngx_http_claude_relay_fleet_away(asked);
        return;
    }

    cursor = reply->element[0];

    if (cursor->len == 0 || cursor->len > sizeof(asked->buf)) {
        ngx_http_claude_relay_fleet_away(asked);
        return;
    }

    ngx_memcpy(asked->buf, cursor->str, cursor->len);
    asked->cursor.data = asked->buf;
    asked->cursor.len = cursor->len;

    rc = ngx_http_claude_relay_fleet_piece(asked, reply->element[1]);

    if (rc == NGX_DECLINED) {
        ngx_http_claude_relay_call_error(asked->call, NGX_HTTP_BAD_REQUEST,
                                         NULL, "that is too much to be added "
                                         "up at once, ask for fewer days");
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_memory(asked->call);
        return;
    }

    if (ncr_str_eq(ncr(&asked->cursor), "0")) {

        ngx_destroy_pool(asked->pool);
        asked->pool = NULL;

        asked->day += NGX_HTTP_CLAUDE_RELAY_DAY_MS;

        if (asked->day > asked->to) {
            ngx_http_claude_relay_fleet_answer(asked);
            return;
        }
    }

    ngx_http_claude_relay_fleet_ask(asked);
}


/* NGX_DECLINED: it is too much */

static ngx_int_t
ngx_http_claude_relay_fleet_piece(ngx_http_claude_relay_fleet_asked_t *asked,
    redisReply *fields)
{
    size_t        i;
    ngx_int_t     rc;
    ngx_str_t     field, value;
    redisReply  **e;

    e = fields->element;

    for (i = 0; i + 1 < fields->elements; i += 2) {

        if (e[i]->type != REDIS_REPLY_STRING
            || e[i + 1]->type != REDIS_REPLY_STRING
            || e[i]->len > NGX_HTTP_CLAUDE_RELAY_FLEET_FIELD)
        {
            continue;
        }

        field.data = (u_char *) e[i]->str;
        field.len = e[i]->len;
        value.data = (u_char *) e[i + 1]->str;
        value.len = e[i + 1]->len;

        if (asked->nfields++ == NGX_HTTP_CLAUDE_RELAY_FLEET_FIELDS) {
            return NGX_DECLINED;
        }

        rc = ngx_http_claude_relay_fleet_seen(asked, &field);

        if (rc == NGX_DONE) {
            continue;
        }

        if (rc == NGX_OK) {
            rc = ngx_http_claude_relay_fleet_add(asked, &field, &value);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* NGX_DONE: it was there before */

static ngx_int_t
ngx_http_claude_relay_fleet_seen(ngx_http_claude_relay_fleet_asked_t *asked,
    ngx_str_t *field)
{
    size_t              i;
    uint64_t            hash;
    ngx_rbtree_key_t    key;
    ngx_rbtree_node_t  *node;

    hash = 0xcbf29ce484222325u;

    for (i = 0; i < field->len; i++) {
        hash = (hash ^ field->data[i]) * 0x100000001b3u;
    }

    key = (ngx_rbtree_key_t) hash;
    node = asked->seen.root;

    while (node != &asked->seen_sentinel) {

        if (node->key == key) {
            return NGX_DONE;
        }

        node = (key < node->key) ? node->left : node->right;
    }

    node = ngx_palloc(asked->pool, sizeof(ngx_rbtree_node_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->key = key;
    ngx_rbtree_insert(&asked->seen, node);

    return NGX_OK;
}


/* "NODE\tKEY" */

static ngx_int_t
ngx_http_claude_relay_fleet_add(ngx_http_claude_relay_fleet_asked_t *asked,
    ngx_str_t *field, ngx_str_t *value)
{
    char                                date[NCR_STR_RFC3339];
    u_char                             *tab;
    uint64_t                            n[NGX_HTTP_CLAUDE_RELAY_NUMBERS];
    ngx_str_t                           name;
    ngx_uint_t                          i;
    ngx_http_claude_relay_fleet_sum_t  *sum;

    tab = ngx_strlchr(field->data, field->data + field->len, '\t');

    if (tab == NULL
        || ngx_http_claude_relay_fleet_numbers(value, n) != NGX_OK)
    {
        return NGX_OK;
    }

    switch (asked->by) {

    case NGX_HTTP_CLAUDE_RELAY_FLEET_BY_NODE:
        name.data = field->data;
        name.len = tab - field->data;
        break;

    case NGX_HTTP_CLAUDE_RELAY_FLEET_BY_DAY:
        ncr_str_rfc3339(date, asked->day);
        name.data = (u_char *) date;
        name.len = sizeof("2026-11-21") - 1;
        break;

    default:
        name.data = tab + 1;
        name.len = field->data + field->len - name.data;
        break;
    }

    sum = ngx_http_claude_relay_fleet_sum(asked, &name);

    if (sum == NULL) {
        return (asked->nsums == NGX_HTTP_CLAUDE_RELAY_FLEET_GROUPS)
               ? NGX_DECLINED : NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_NUMBERS; i++) {
        sum->n[i] += n[i];
        asked->total[i] += n[i];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_fleet_numbers(ngx_str_t *value, uint64_t *n)
{
    int64_t      number;
    u_char      *p, *last, *end;
    ncr_str_t    word;
    ngx_uint_t   i;

    p = value->data;
    last = p + value->len;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_NUMBERS; i++) {

        end = ngx_strlchr(p, last, ' ');

        if ((end == NULL) != (i == NGX_HTTP_CLAUDE_RELAY_NUMBERS - 1)) {
            return NGX_DECLINED;
        }

        word.data = p;
        word.len = (end ? end : last) - p;

        if (ncr_str_int(&word, &number) != NCR_OK) {
            return NGX_DECLINED;
        }

        n[i] = (uint64_t) number;
        p = end + 1;
    }

    return NGX_OK;
}


static ngx_http_claude_relay_fleet_sum_t *
ngx_http_claude_relay_fleet_sum(ngx_http_claude_relay_fleet_asked_t *asked,
    ngx_str_t *name)
{
    uint32_t                            hash;
    ngx_str_node_t                     *sn;
    ngx_http_claude_relay_fleet_sum_t  *sum;

    hash = ngx_crc32_long(name->data, name->len);
    sn = ngx_str_rbtree_lookup(&asked->sums, name, hash);

    if (sn) {
        return (ngx_http_claude_relay_fleet_sum_t *) sn;
    }

    if (asked->nsums == NGX_HTTP_CLAUDE_RELAY_FLEET_GROUPS) {
        return NULL;
    }

    sum = ngx_pcalloc(asked->call->pool,
                      sizeof(ngx_http_claude_relay_fleet_sum_t));

    if (sum == NULL
        || ngx_http_claude_relay_call_copy(asked->call->pool, &sum->sn.str,
                                           name)
           != NGX_OK)
    {
        return NULL;
    }

    sum->sn.node.key = hash;
    ngx_rbtree_insert(&asked->sums, &sum->sn.node);
    asked->nsums++;

    return sum;
}


static void
ngx_http_claude_relay_fleet_away(ngx_http_claude_relay_fleet_asked_t *asked)
{
    ngx_http_claude_relay_call_error(asked->call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     NULL, "Redis does not answer; each node "
                                     "has its own usage at \"/v1/usage\"");
}


static void
ngx_http_claude_relay_fleet_answer(ngx_http_claude_relay_fleet_asked_t *asked)
{
    char                                 date[NCR_STR_RFC3339];
    cJSON                               *json, *sums, *one;
    ngx_uint_t                           i, n;
    ngx_rbtree_node_t                   *node;
    ngx_http_claude_relay_fleet_sum_t  **all;

    all = ngx_palloc(asked->call->pool,
                     (asked->nsums + 1)
                     * sizeof(ngx_http_claude_relay_fleet_sum_t *));

    if (all == NULL) {
        ngx_http_claude_relay_call_memory(asked->call);
        return;
    }

    n = 0;

    if (asked->nsums) {

        for (node = ngx_rbtree_min(asked->sums.root, &asked->sentinel);
             node;
             node = ngx_rbtree_next(&asked->sums, node))
        {
            all[n++] = (ngx_http_claude_relay_fleet_sum_t *) node;
        }
    }

    ngx_qsort(all, n, sizeof(ngx_http_claude_relay_fleet_sum_t *),
              asked->by == NGX_HTTP_CLAUDE_RELAY_FLEET_BY_DAY
                  ? ngx_http_claude_relay_fleet_by_name
                  : ngx_http_claude_relay_fleet_by_cost);

    json = cJSON_CreateObject();

    ncr_str_rfc3339(date, asked->from);
    date[sizeof("2026-11-21") - 1] = '\0';
    (void) cJSON_AddStringToObject(json, "from", date);

    ncr_str_rfc3339(date, asked->to);
    date[sizeof("2026-11-21") - 1] = '\0';
    (void) cJSON_AddStringToObject(json, "to", date);

    sums = cJSON_AddArrayToObject(json, "sums");

    for (i = 0; i < n && i < (ngx_uint_t) asked->limit; i++) {

        one = cJSON_CreateObject();

        ngx_http_claude_relay_show_str(one,
                                   ngx_http_claude_relay_fleet_bys[asked->by],
                                   &all[i]->sn.str);
        ngx_http_claude_relay_fleet_show(one, all[i]->n);

        (void) cJSON_AddItemToArray(sums, one);
    }

    (void) cJSON_AddNumberToObject(json, "groups", (double) n);

    one = cJSON_AddObjectToObject(json, "total");
    ngx_http_claude_relay_fleet_show(one, asked->total);

    ngx_http_claude_relay_call_answer(asked->call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_fleet_show(cJSON *json, uint64_t *n)
{
    ngx_uint_t  i;

    static const char *const  names[] = {
        "requests", "input", "output", "cache_read", "cache_write"
    };

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_FLEET_COST; i++) {
        (void) cJSON_AddNumberToObject(json, names[i], (double) n[i]);
    }

    ngx_http_claude_relay_show_cost(json, "cost", "cost_micros",
                                    n[NGX_HTTP_CLAUDE_RELAY_FLEET_COST]);
}


/* the largest first */

static int ngx_libc_cdecl
ngx_http_claude_relay_fleet_by_cost(const void *one, const void *two)
{
    uint64_t                            x, y;
    ngx_uint_t                          i;
    ngx_http_claude_relay_fleet_sum_t  *a, *b;

    static const ngx_uint_t  order[] = {
        NGX_HTTP_CLAUDE_RELAY_FLEET_COST,
        NGX_HTTP_CLAUDE_RELAY_FLEET_REQUESTS
    };

    a = *(ngx_http_claude_relay_fleet_sum_t **) one;
    b = *(ngx_http_claude_relay_fleet_sum_t **) two;

    for (i = 0; i < 2; i++) {
        x = a->n[order[i]];
        y = b->n[order[i]];

        if (x != y) {
            return (x < y) ? 1 : -1;
        }
    }

    return ngx_http_claude_relay_fleet_by_name(one, two);
}


static int ngx_libc_cdecl
ngx_http_claude_relay_fleet_by_name(const void *one, const void *two)
{
    ngx_http_claude_relay_fleet_sum_t  *a, *b;

    a = *(ngx_http_claude_relay_fleet_sum_t **) one;
    b = *(ngx_http_claude_relay_fleet_sum_t **) two;

    return (int) ngx_memn2cmp(a->sn.str.data, b->sn.str.data, a->sn.str.len,
                              b->sn.str.len);
}
