
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Questions to the ledger.  The words of a query are looked at in the loop,
 * all else in the ledger's thread: zones are files, and dates depend on them.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_usage_text.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS      200
#define NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS_MAX  1000
#define NGX_HTTP_CLAUDE_RELAY_USAGE_SUMS      1000
#define NGX_HTTP_CLAUDE_RELAY_USAGE_SUMS_MAX  10000
#define NGX_HTTP_CLAUDE_RELAY_USAGE_TOP       5
#define NGX_HTTP_CLAUDE_RELAY_USAGE_TOP_MAX   100

/* "realtime" rates are of this time, ms */
#define NGX_HTTP_CLAUDE_RELAY_USAGE_REALTIME  ((ncr_msec_t) 5 * 60 * 1000)

#define NGX_HTTP_CLAUDE_RELAY_TZ_PATH         "/usr/share/zoneinfo/"
#define NGX_HTTP_CLAUDE_RELAY_TZ_SIZE         (256 * 1024)


/* words of a query; indexes of a call's texts */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_ASK_FROM = 0,
    NGX_HTTP_CLAUDE_RELAY_ASK_UNTIL,
    NGX_HTTP_CLAUDE_RELAY_ASK_SINCE,
    NGX_HTTP_CLAUDE_RELAY_ASK_TZ,
    NGX_HTTP_CLAUDE_RELAY_ASK_KEY,
    NGX_HTTP_CLAUDE_RELAY_ASK_USER,
    NGX_HTTP_CLAUDE_RELAY_ASK_GROUP,
    NGX_HTTP_CLAUDE_RELAY_ASK_ACCOUNT,
    NGX_HTTP_CLAUDE_RELAY_ASK_PLATFORM,
    NGX_HTTP_CLAUDE_RELAY_ASK_MODEL,
    NGX_HTTP_CLAUDE_RELAY_ASK_STATUS,
    NGX_HTTP_CLAUDE_RELAY_ASK_FORMAT,
    NGX_HTTP_CLAUDE_RELAY_ASK_LIMIT,
    NGX_HTTP_CLAUDE_RELAY_ASK_AFTER,
    NGX_HTTP_CLAUDE_RELAY_ASK_ORDER,
    NGX_HTTP_CLAUDE_RELAY_ASK_BY,
    NGX_HTTP_CLAUDE_RELAY_ASK_ID,
    NGX_HTTP_CLAUDE_RELAY_ASK_OF,
    NGX_HTTP_CLAUDE_RELAY_ASKS
} ngx_http_claude_relay_ask_e;

#define ngx_http_claude_relay_ask_bit(n)                                      \
    ((ngx_uint_t) 1 << NGX_HTTP_CLAUDE_RELAY_ASK_ ## n)

/* those that all take, less ... */
#define NGX_HTTP_CLAUDE_RELAY_ASK_ALL                                         \
    (ngx_http_claude_relay_ask_bit(FORMAT)                                    \
     |ngx_http_claude_relay_ask_bit(LIMIT))

#define NGX_HTTP_CLAUDE_RELAY_ASK_FILTERS                                     \
    (ngx_http_claude_relay_ask_bit(FROM)                                      \
     |ngx_http_claude_relay_ask_bit(UNTIL)                                    \
     |ngx_http_claude_relay_ask_bit(SINCE)                                    \
     |ngx_http_claude_relay_ask_bit(TZ)                                       \
     |ngx_http_claude_relay_ask_bit(KEY)                                      \
     |ngx_http_claude_relay_ask_bit(USER)                                     \
     |ngx_http_claude_relay_ask_bit(GROUP)                                    \
     |ngx_http_claude_relay_ask_bit(ACCOUNT)                                  \
     |ngx_http_claude_relay_ask_bit(PLATFORM)                                 \
     |ngx_http_claude_relay_ask_bit(MODEL)                                    \
     |ngx_http_claude_relay_ask_bit(STATUS))


typedef struct {
    ngx_http_claude_relay_question_t   question;
    ngx_http_claude_relay_call_t      *call;
    ngx_str_t                          text[NGX_HTTP_CLAUDE_RELAY_ASKS];
    ncr_ledger_query_t                 query;
    const char                        *by[3];
    ncr_tz_t                          *tz;      /* to be freed */
    ncr_msec_t                         now;
    uint64_t                           last;    /* row that was written */
    ngx_uint_t                         n;       /* written */
    ngx_http_claude_relay_usage_text_t out;
    ngx_str_t                          next;
    ngx_uint_t                         events;
    ncr_ledger_sum_t                   sum;     /* of a total */
} ngx_http_claude_relay_asked_t;


static ngx_http_claude_relay_asked_t *ngx_http_claude_relay_asked(
    ngx_http_claude_relay_call_t *call, ngx_uint_t takes, ngx_uint_t limit,
    ngx_uint_t most);
static ngx_int_t ngx_http_claude_relay_ask_words(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_asked_t *asked,
    ngx_uint_t takes);
static ngx_int_t ngx_http_claude_relay_ask_numbers(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_asked_t *asked,
    ngx_uint_t limit, ngx_uint_t most);
static ngx_int_t ngx_http_claude_relay_ask_by(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_asked_t *asked);
static ngx_int_t ngx_http_claude_relay_ask_order(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_asked_t *asked);
static ngx_uint_t ngx_http_claude_relay_ask_csv(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_ask(ngx_http_claude_relay_asked_t *asked,
    void (*run)(ncr_ledger_t *ledger, ngx_http_claude_relay_question_t *q));
static void ngx_http_claude_relay_ask_free(void *data);
static void ngx_http_claude_relay_ask_done(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_ask_answer(
    ngx_http_claude_relay_call_t *call);

/* in the thread */

static ngx_int_t ngx_http_claude_relay_ask_time(
    ngx_http_claude_relay_asked_t *asked);
static ngx_int_t ngx_http_claude_relay_ask_zone(
    ngx_http_claude_relay_asked_t *asked);
static ngx_int_t ngx_http_claude_relay_ask_moment(
    ngx_http_claude_relay_asked_t *asked, ngx_http_claude_relay_ask_e word,
    ncr_msec_t *t);
static ngx_int_t ngx_http_claude_relay_ask_since(
    ngx_http_claude_relay_asked_t *asked);
static void ngx_http_claude_relay_ask_bad(
    ngx_http_claude_relay_asked_t *asked, const char *error);
static void ngx_http_claude_relay_ask_span(
    ngx_http_claude_relay_asked_t *asked);
static void ngx_http_claude_relay_sums_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_sums_sum(void *data,
    ncr_ledger_sum_t *sum);
static ncr_int_t ngx_http_claude_relay_sums_total(void *data,
    ncr_ledger_sum_t *sum);
static ncr_int_t ngx_http_claude_relay_sums_rates(ncr_ledger_t *ledger,
    ngx_http_claude_relay_asked_t *asked);
static ncr_int_t ngx_http_claude_relay_sums_rate(ncr_ledger_t *ledger,
    ngx_http_claude_relay_asked_t *asked, const char *name, ncr_msec_t from,
    ncr_msec_t until);
static void ngx_http_claude_relay_rows_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_rows_row(void *data, uint64_t number,
    ncr_record_t *rec);


static const char  *ngx_http_claude_relay_ask_names[] = {
    "from", "until", "since", "tz", "key", "user", "group", "account",
    "platform", "model", "status", "format", "limit", "after", "order", "by",
    "id", "of"
};


/* in the order of ncr_ledger_by_e */

static const char  *ngx_http_claude_relay_ask_bys[] = {
    "total", "key", "user", "group", "account", "platform", "model",
    "status", "minute", "hour", "day", "week", "month", NULL
};


static ngx_str_t  ngx_http_claude_relay_ask_json =
    ngx_string("application/json");
static ngx_str_t  ngx_http_claude_relay_ask_csv_type =
    ngx_string("text/csv; charset=utf-8");


void
ngx_http_claude_relay_api_usage(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_asked_t  *asked;

    asked = ngx_http_claude_relay_asked(call, NGX_HTTP_CLAUDE_RELAY_ASK_ALL
                                        |NGX_HTTP_CLAUDE_RELAY_ASK_FILTERS
                                        |ngx_http_claude_relay_ask_bit(AFTER)
                                        |ngx_http_claude_relay_ask_bit(ORDER)
                                        |ngx_http_claude_relay_ask_bit(BY),
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_SUMS,
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_SUMS_MAX);
    if (asked == NULL) {
        return;
    }

    asked->query.skip = (ngx_uint_t) asked->query.after;

    if (ngx_http_claude_relay_ask_by(call, asked) != NGX_OK
        || ngx_http_claude_relay_ask_order(call, asked) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_ask(asked, ngx_http_claude_relay_sums_run);
}


/* leaderboards: sums by one thing, the largest first */

void
ngx_http_claude_relay_api_usage_top(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                      *of;
    ngx_http_claude_relay_asked_t  *asked;

    asked = ngx_http_claude_relay_asked(call, NGX_HTTP_CLAUDE_RELAY_ASK_ALL
                                        |NGX_HTTP_CLAUDE_RELAY_ASK_FILTERS
                                        |ngx_http_claude_relay_ask_bit(ORDER)
                                        |ngx_http_claude_relay_ask_bit(OF),
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_TOP,
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_TOP_MAX);
    if (asked == NULL) {
        return;
    }

    of = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_OF];

    if (of->data == NULL || ncr_str_eq(ncr(of), "users")) {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY], "user");

    } else if (ncr_str_eq(ncr(of), "keys")) {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY], "key");

    } else if (ncr_str_eq(ncr(of), "models")) {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY], "model");

    } else if (ncr_str_eq(ncr(of), "groups")) {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY], "group");

    } else if (ncr_str_eq(ncr(of), "accounts")) {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY], "account");

    } else {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"of\" must be \"users\", \"keys\", "
                                         "\"models\", \"groups\" or "
                                         "\"accounts\"");
        return;
    }

    if (asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_SINCE].data == NULL
        && asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_FROM].data == NULL)
    {
        ngx_str_set(&asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_SINCE], "day");
    }

    asked->query.order = 1;

    if (ngx_http_claude_relay_ask_by(call, asked) != NGX_OK
        || ngx_http_claude_relay_ask_order(call, asked) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_ask(asked, ngx_http_claude_relay_sums_run);
}


void
ngx_http_claude_relay_api_usage_rows(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                      *order;
    ngx_http_claude_relay_asked_t  *asked;

    asked = ngx_http_claude_relay_asked(call, NGX_HTTP_CLAUDE_RELAY_ASK_ALL
                                        |NGX_HTTP_CLAUDE_RELAY_ASK_FILTERS
                                        |ngx_http_claude_relay_ask_bit(AFTER)
                                        |ngx_http_claude_relay_ask_bit(ORDER)
                                        |ngx_http_claude_relay_ask_bit(ID),
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS,
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS_MAX);
    if (asked == NULL) {
        return;
    }

    order = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_ORDER];

    if (order->data && ncr_str_eq(ncr(order), "oldest")) {
        asked->query.ascending = 1;

    } else if (order->data && !ncr_str_eq(ncr(order), "newest")) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"order\" must be \"newest\" or "
                                         "\"oldest\"");
        return;
    }

    ngx_http_claude_relay_ask(asked, ngx_http_claude_relay_rows_run);
}


/* all of them in the order of their numbers: whoever goes on with the last
 * number misses none */

void
ngx_http_claude_relay_api_usage_events(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_asked_t  *asked;

    asked = ngx_http_claude_relay_asked(call, NGX_HTTP_CLAUDE_RELAY_ASK_ALL
                                        |ngx_http_claude_relay_ask_bit(AFTER),
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS_MAX,
                                        NGX_HTTP_CLAUDE_RELAY_USAGE_ROWS_MAX);
    if (asked == NULL) {
        return;
    }

    asked->query.ascending = 1;
    asked->events = 1;

    ngx_http_claude_relay_ask(asked, ngx_http_claude_relay_rows_run);
}


/* NULL: the call has ended */

static ngx_http_claude_relay_asked_t *
ngx_http_claude_relay_asked(ngx_http_claude_relay_call_t *call,
    ngx_uint_t takes, ngx_uint_t limit, ngx_uint_t most)
{
    ngx_str_t                      *text;
    ngx_pool_cleanup_t             *cln;
    ngx_http_claude_relay_asked_t  *asked;

    asked = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_asked_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (asked == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_ask_free;
    cln->data = asked;

    asked->call = call;
    asked->now = ngx_http_claude_relay_now();
    call->data = asked;

    if (ngx_http_claude_relay_ask_words(call, asked, takes) != NGX_OK
        || ngx_http_claude_relay_ask_numbers(call, asked, limit, most)
           != NGX_OK)
    {
        return NULL;
    }

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_FORMAT];

    if (text->data == NULL) {
        asked->out.csv = ngx_http_claude_relay_ask_csv(call);

    } else if (ncr_str_eq(ncr(text), "csv")) {
        asked->out.csv = 1;

    } else if (!ncr_str_eq(ncr(text), "json")) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"format\" must be \"json\" or "
                                         "\"csv\"");
        return NULL;
    }

    text = asked->text;

    if (ngx_http_claude_relay_call_own(call,
                                       &text[NGX_HTTP_CLAUDE_RELAY_ASK_USER])
        != NGX_OK)
    {
        return NULL;
    }

    asked->query.key = (char *) text[NGX_HTTP_CLAUDE_RELAY_ASK_KEY].data;
    asked->query.user = (char *) text[NGX_HTTP_CLAUDE_RELAY_ASK_USER].data;
    asked->query.group = (char *) text[NGX_HTTP_CLAUDE_RELAY_ASK_GROUP].data;
    asked->query.account = (char *)
                           text[NGX_HTTP_CLAUDE_RELAY_ASK_ACCOUNT].data;
    asked->query.platform = (char *)
                            text[NGX_HTTP_CLAUDE_RELAY_ASK_PLATFORM].data;
    asked->query.model = (char *) text[NGX_HTTP_CLAUDE_RELAY_ASK_MODEL].data;
    asked->query.id = (char *) text[NGX_HTTP_CLAUDE_RELAY_ASK_ID].data;

    return asked;
}


static ngx_int_t
ngx_http_claude_relay_ask_words(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_asked_t *asked, ngx_uint_t takes)
{
    u_char      *p, *end, *equal, *buf;
    size_t       len;
    ngx_str_t    arg;
    ncr_str_t    value;
    ngx_uint_t   i;

    p = call->args.data;

    while (ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK) {

        end = arg.data + arg.len;
        equal = ngx_strlchr(arg.data, end, '=');
        len = (equal ? equal : end) - arg.data;

        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_ASKS; i++) {
            if ((takes & ((ngx_uint_t) 1 << i))
                && ngx_strlen(ngx_http_claude_relay_ask_names[i]) == len
                && ngx_memcmp(ngx_http_claude_relay_ask_names[i], arg.data,
                              len)
                   == 0)
            {
                break;
            }
        }

        if (i == NGX_HTTP_CLAUDE_RELAY_ASKS || equal == NULL) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "the query has \"%*s\", which is "
                                             "not asked for here",
                                             ngx_min(len, 64), arg.data);
            return NGX_ERROR;
        }

        value.data = equal + 1;
        value.len = end - value.data;

        buf = ngx_pnalloc(call->pool, value.len + 1);

        if (buf == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }

        if (asked->text[i].data
            || ncr_uri_unescape(&value, buf) != NCR_OK
            || memchr(value.data, '\0', value.len))
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"%*s\" of the query is "
                                             "repeated, or badly escaped",
                                             len, arg.data);
            return NGX_ERROR;
        }

        ngx_memmove(buf, value.data, value.len);
        buf[value.len] = '\0';

        asked->text[i].data = buf;
        asked->text[i].len = value.len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_ask_numbers(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_asked_t *asked, ngx_uint_t limit, ngx_uint_t most)
{
    int64_t    n;
    ngx_str_t  status, *text;

    asked->query.limit = limit;

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_LIMIT];

    if (text->data) {
        if (ncr_str_int(ncr(text), &n) != NCR_OK || n < 1
            || n > (int64_t) most)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"limit\" must be a number from "
                                             "1 to %ui", most);
            return NGX_ERROR;
        }

        asked->query.limit = (ngx_uint_t) n;
    }

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_AFTER];

    if (text->data) {
        if (ncr_str_int(ncr(text), &n) != NCR_OK || n < 0) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"after\" must be a number, as "
                                             "\"next\" of an answer");
            return NGX_ERROR;
        }

        asked->query.after = (uint64_t) n;
    }

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_STATUS];

    if (text->data) {

        /* "4xx" is 4 */

        status = *text;

        if (status.len == 3 && status.data[1] == 'x'
            && status.data[2] == 'x')
        {
            status.len = 1;
        }

        if (ncr_str_int(ncr(&status), &n) != NCR_OK
            || (status.len != 1 && status.len != 3) || n < 1)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"status\" must be such as "
                                             "\"429\" or \"4xx\"");
            return NGX_ERROR;
        }

        asked->query.status = (ngx_uint_t) n;
    }

    return NGX_OK;
}


/* by=key,model: two of them at most */

static ngx_int_t
ngx_http_claude_relay_ask_by(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_asked_t *asked)
{
    u_char      *p, *end, *last;
    ngx_str_t    word, *text;
    ngx_uint_t   i, n;

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_BY];

    n = 0;
    last = text->data + text->len;

    for (p = text->data; p && p <= last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');
        end = end ? end : last;

        word.data = p;
        word.len = end - p;

        /* "total" is what it is without */

        for (i = 1; ngx_http_claude_relay_ask_bys[i]; i++) {
            if (ncr_str_eq(ncr(&word), ngx_http_claude_relay_ask_bys[i])) {
                break;
            }
        }

        if (n == 2 || ngx_http_claude_relay_ask_bys[i] == NULL) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                           "\"by\" must be one or two, with a comma between, "
                           "of key, user, group, account, platform, model, "
                           "status, minute, hour, day, week, month");
            return NGX_ERROR;
        }

        asked->by[n] = ngx_http_claude_relay_ask_bys[i];
        asked->query.by[n++] = (ncr_ledger_by_e) i;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_ask_order(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_asked_t *asked)
{
    ngx_str_t   *text;
    ngx_uint_t   i;

    static const char  *orders[] = { "name", "cost", "requests", "tokens" };

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_ORDER];

    if (text->data == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < 4; i++) {
        if (ncr_str_eq(ncr(text), orders[i])) {
            asked->query.order = i & 3;
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"order\" must be \"name\", \"cost\", "
                                     "\"requests\" or \"tokens\"");

    return NGX_ERROR;
}


/* "Accept: text/csv" */

static ngx_uint_t
ngx_http_claude_relay_ask_csv(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &call->request->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == 6
            && ngx_strncasecmp(h[i].key.data, (u_char *) "accept", 6) == 0)
        {
            return ncr_str_contains(ncr(&h[i].value), "text/csv");
        }
    }
}


static void
ngx_http_claude_relay_ask(ngx_http_claude_relay_asked_t *asked,
    void (*run)(ncr_ledger_t *ledger, ngx_http_claude_relay_question_t *q))
{
    ngx_http_claude_relay_call_t  *call;

    call = asked->call;
    call->next = ngx_http_claude_relay_ask_answer;

    asked->question.run = run;
    asked->question.done = ngx_http_claude_relay_ask_done;
    asked->question.data = asked;
    asked->question.fresh = 1;

    switch (ngx_http_claude_relay_ledger_ask(&asked->question)) {

    case NGX_OK:
        return;

    case NGX_DECLINED:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no usage is kept: "
                                         "\"claude_relay_usage\" is off");
        return;

    default:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "this worker is leaving");
        return;
    }
}


static void
ngx_http_claude_relay_ask_free(void *data)
{
    ngx_http_claude_relay_asked_t *asked = data;

    if (asked->out.data) {
        ngx_free(asked->out.data);
    }

    if (asked->tz) {
        ncr_tz_free(asked->tz);
    }
}


static void
ngx_http_claude_relay_ask_done(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_asked_t *asked = q->data;

    asked->call->next(asked->call);
}


static void
ngx_http_claude_relay_ask_answer(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                       text;
    ngx_http_claude_relay_asked_t  *asked;

    asked = call->data;

    switch (asked->question.rc) {

    case NCR_OK:
        break;

    case NCR_BAD:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", asked->question.error);
        return;

    case NCR_DECLINED:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "that would be more than %d sums: "
                                         "ask for less time, or coarser",
                                         NCR_LEDGER_GROUPS);
        return;

    default:
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "usage: %s",
                                         asked->question.error);
        return;
    }

    if (asked->out.failed) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    text.data = asked->out.data;
    text.len = asked->out.len;

    ngx_http_claude_relay_call_text_answer(call, asked->out.csv
                                        ? &ngx_http_claude_relay_ask_csv_type
                                        : &ngx_http_claude_relay_ask_json,
                                        &text, &asked->next);
}


/* from here on in the thread */

static ngx_int_t
ngx_http_claude_relay_ask_time(ngx_http_claude_relay_asked_t *asked)
{
    ncr_ledger_query_t  *query;

    query = &asked->query;

    if (ngx_http_claude_relay_ask_zone(asked) != NGX_OK
        || ngx_http_claude_relay_ask_moment(asked,
                                            NGX_HTTP_CLAUDE_RELAY_ASK_FROM,
                                            &query->from)
           != NGX_OK
        || ngx_http_claude_relay_ask_moment(asked,
                                            NGX_HTTP_CLAUDE_RELAY_ASK_UNTIL,
                                            &query->until)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_ask_since(asked);
}


static ngx_int_t
ngx_http_claude_relay_ask_zone(ngx_http_claude_relay_asked_t *asked)
{
    int         fd;
    char        path[NGX_MAX_PATH];
    u_char     *buf;
    ssize_t     n;
    ngx_str_t  *name, file;

    name = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_TZ];
    asked->query.tz = asked->call->rmcf->tz;

    if (name->data == NULL) {
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(name), "UTC")) {
        asked->query.tz = ncr_tz_utc();
        return NGX_OK;
    }

    buf = NULL;
    n = -1;

    if (ncr_tz_name(ncr(name))) {

        *ngx_snprintf((u_char *) path, sizeof(path) - 1, "%s%V",
                      NGX_HTTP_CLAUDE_RELAY_TZ_PATH, name) = '\0';

        fd = open(path, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

        if (fd != -1) {

            buf = ngx_alloc(NGX_HTTP_CLAUDE_RELAY_TZ_SIZE, ngx_cycle->log);

            if (buf) {
                n = read(fd, buf, NGX_HTTP_CLAUDE_RELAY_TZ_SIZE);
            }

            (void) close(fd);
        }
    }

    if (n > 0) {
        file.data = buf;
        file.len = n;

        if (ncr_tz_read(&asked->tz, ncr(&file)) == NCR_OK) {
            asked->query.tz = asked->tz;
        }
    }

    if (buf) {
        ngx_free(buf);
    }

    if (asked->tz == NULL) {
        ngx_http_claude_relay_ask_bad(asked, "\"tz\" must be the name of a "
                                      "time zone, such as \"Europe/Berlin\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* a time, or a date, which is when it begins in the zone */

static ngx_int_t
ngx_http_claude_relay_ask_moment(ngx_http_claude_relay_asked_t *asked,
    ngx_http_claude_relay_ask_e word, ncr_msec_t *t)
{
    u_char      date[sizeof("2026-11-21T00:00:00Z")];
    ncr_str_t   midnight;
    ngx_str_t  *text;

    text = &asked->text[word];

    if (text->data == NULL
        || (ncr_str_time(ncr(text), t) == NCR_OK && *t > 0))
    {
        return NGX_OK;
    }

    if (text->len == sizeof("2026-11-21") - 1) {

        midnight.data = date;
        midnight.len = ngx_sprintf(date, "%VT00:00:00Z", text) - date;

        if (ncr_str_time(&midnight, t) == NCR_OK && *t > 0) {
            *t = ncr_tz_time(asked->query.tz,
                             (int) ngx_atoi(text->data, 4),
                             (int) ngx_atoi(text->data + 5, 2),
                             (int) ngx_atoi(text->data + 8, 2), 0, 0, 0);
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_ask_bad(asked,
                          word == NGX_HTTP_CLAUDE_RELAY_ASK_FROM
                          ? "\"from\" must be a date or a time, such as "
                            "\"2026-11-21\" or \"2026-11-21T15:00:00Z\""
                          : "\"until\" must be a date or a time, such as "
                            "\"2026-11-21\" or \"2026-11-21T15:00:00Z\"");
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_ask_since(ngx_http_claude_relay_asked_t *asked)
{
    ngx_int_t    n;
    ngx_str_t   *text;
    ncr_msec_t   end;
    ncr_span_e   span;

    text = &asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_SINCE];

    if (text->data == NULL) {
        return NGX_OK;
    }

    if (asked->text[NGX_HTTP_CLAUDE_RELAY_ASK_FROM].data) {
        ngx_http_claude_relay_ask_bad(asked, "it is \"from\" or \"since\", "
                                      "not both");
        return NGX_ERROR;
    }

    if (ncr_str_eq(ncr(text), "day")) {
        span = NCR_SPAN_DAY;

    } else if (ncr_str_eq(ncr(text), "week")) {
        span = NCR_SPAN_WEEK;

    } else if (ncr_str_eq(ncr(text), "month")) {
        span = NCR_SPAN_MONTH;

    } else {
        n = ngx_parse_time(text, 1);

        if (n == NGX_ERROR || n == 0) {
            ngx_http_claude_relay_ask_bad(asked, "\"since\" must be a time "
                                          "such as \"7d\" or \"12h\", or "
                                          "\"day\", \"week\" or \"month\"");
            return NGX_ERROR;
        }

        asked->query.from = ngx_max(asked->now - (ncr_msec_t) n * 1000, 1);

        return NGX_OK;
    }

    ncr_tz_span(asked->query.tz, span, 1, 0, asked->now, &asked->query.from,
                &end);

    return NGX_OK;
}


static void
ngx_http_claude_relay_ask_bad(ngx_http_claude_relay_asked_t *asked,
    const char *error)
{
    asked->question.rc = NCR_BAD;

    (void) ngx_cpystrn((u_char *) asked->question.error, (u_char *) error,
                       NCR_LEDGER_ERROR);
}


/* "from":...,"until":... */

static void
ngx_http_claude_relay_ask_span(ngx_http_claude_relay_asked_t *asked)
{
    char                 from[NCR_STR_RFC3339], until[NCR_STR_RFC3339];
    ncr_ledger_query_t  *query;

    query = &asked->query;

    ncr_str_rfc3339(from, query->from);
    ncr_str_rfc3339(until, query->until);

    ngx_http_claude_relay_usage_text(&asked->out,
                            query->from ? "\"from\":\"%s\"" : "\"from\":null",
                            from);
    ngx_http_claude_relay_usage_text(&asked->out,
                                     query->until ? ",\"until\":\"%s\""
                                                  : ",\"until\":null",
                                     until);
}


static void
ngx_http_claude_relay_sums_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_asked_t *asked = q->data;

    ngx_uint_t                           last;
    ncr_ledger_query_t                  *query;
    ngx_http_claude_relay_usage_text_t  *out;

    out = &asked->out;
    query = &asked->query;

    if (ngx_http_claude_relay_ask_time(asked) != NGX_OK) {
        return;
    }

    if (out->csv) {
        ngx_http_claude_relay_usage_sum_head(out, asked->by);

    } else {
        ngx_http_claude_relay_usage_text(out, "{");
        ngx_http_claude_relay_ask_span(asked);
        ngx_http_claude_relay_usage_text(out, ",\"sums\":[");
    }

    q->rc = ncr_ledger_sums(ledger, query, ngx_http_claude_relay_sums_sum,
                            asked);

    if (q->rc != NCR_OK) {
        return;
    }

    last = query->skip + asked->n;

    if (asked->n && last < query->groups) {
        asked->next.data = ngx_pnalloc(asked->call->pool, NGX_INT64_LEN);

        if (asked->next.data) {
            asked->next.len = ngx_sprintf(asked->next.data, "%ui", last)
                              - asked->next.data;
        }
    }

    if (out->csv) {
        return;
    }

    ngx_http_claude_relay_usage_text(out, "],\"groups\":%ui,"
                                     "\"approximate\":%s,\"next\":%V",
                                     query->groups,
                                     query->approximate ? "true" : "false",
                                     &asked->next);

    if (asked->next.len == 0) {
        ngx_http_claude_relay_usage_text(out, "null");
    }

    q->rc = ngx_http_claude_relay_sums_rates(ledger, asked);

    ngx_http_claude_relay_usage_text(out, "}");
}


static ncr_int_t
ngx_http_claude_relay_sums_sum(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_asked_t *asked = data;

    if (asked->n++ && !asked->out.csv) {
        ngx_http_claude_relay_usage_text(&asked->out, ",");
    }

    ngx_http_claude_relay_usage_sum(&asked->out, asked->by, sum);

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_sums_total(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_asked_t *asked = data;

    asked->sum = *sum;

    return NCR_OK;
}


/* requests and tokens a minute: just now, and of the time asked for */

static ncr_int_t
ngx_http_claude_relay_sums_rates(ncr_ledger_t *ledger,
    ngx_http_claude_relay_asked_t *asked)
{
    ncr_int_t   rc;
    ncr_msec_t  from, until;

    from = asked->query.from;
    until = asked->query.until ? ngx_min(asked->query.until, asked->now)
                               : asked->now;

    ngx_http_claude_relay_usage_text(&asked->out, ",\"rates\":{");

    rc = ngx_http_claude_relay_sums_rate(ledger, asked, "now",
                       asked->now - NGX_HTTP_CLAUDE_RELAY_USAGE_REALTIME,
                       asked->now);

    if (rc == NCR_OK && from && from < until) {
        ngx_http_claude_relay_usage_text(&asked->out, ",");
        rc = ngx_http_claude_relay_sums_rate(ledger, asked, "mean", from,
                                             until);
    }

    ngx_http_claude_relay_usage_text(&asked->out, "}");

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_sums_rate(ncr_ledger_t *ledger,
    ngx_http_claude_relay_asked_t *asked, const char *name, ncr_msec_t from,
    ncr_msec_t until)
{
    uint64_t             rpm, tokens;
    ncr_int_t            rc;
    ncr_msec_t           length;
    ncr_ledger_query_t   query;

    query = asked->query;
    query.from = from;
    query.until = until + 1;
    query.by[0] = NCR_BY_TOTAL;
    query.by[1] = NCR_BY_TOTAL;
    query.skip = 0;

    ngx_memzero(&asked->sum, sizeof(ncr_ledger_sum_t));

    rc = ncr_ledger_sums(ledger, &query, ngx_http_claude_relay_sums_total,
                         asked);

    tokens = asked->sum.usage.input + asked->sum.usage.output
             + asked->sum.usage.cache_read + asked->sum.usage.cache_write;

    length = ngx_max(until - from, 1);
    rpm = asked->sum.requests * 6000000 / (uint64_t) length;

    ngx_http_claude_relay_usage_text(&asked->out,
                     "\"%s\":{\"seconds\":%L,\"requests\":%uL,\"tokens\":%uL,"
                     "\"rpm\":%uL.%02uL,\"tpm\":%uL}", name,
                     length / 1000, asked->sum.requests, tokens, rpm / 100,
                     rpm % 100,
                     (uint64_t) ((double) tokens * 60000 / (double) length));

    return rc;
}


static void
ngx_http_claude_relay_rows_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_asked_t *asked = q->data;

    ncr_ledger_query_t                  *query;
    ngx_http_claude_relay_usage_text_t  *out;

    out = &asked->out;
    query = &asked->query;

    if (ngx_http_claude_relay_ask_time(asked) != NGX_OK) {
        return;
    }

    if (out->csv) {
        ngx_http_claude_relay_usage_row_head(out);

    } else {
        ngx_http_claude_relay_usage_text(out, asked->events ? "{\"events\":["
                                                            : "{\"rows\":[");
    }

    asked->last = query->after;

    q->rc = ncr_ledger_rows(ledger, query, ngx_http_claude_relay_rows_row,
                            asked);

    if (q->rc != NCR_OK) {
        return;
    }

    if (asked->events || asked->n == query->limit) {
        asked->next.data = ngx_pnalloc(asked->call->pool, NGX_INT64_LEN);

        if (asked->next.data) {
            asked->next.len = ngx_sprintf(asked->next.data, "%uL",
                                          asked->last)
                              - asked->next.data;
        }
    }

    if (!out->csv) {
        ngx_http_claude_relay_usage_text(out, asked->next.len
                                              ? "],\"next\":%V}"
                                              : "],\"next\":null}",
                                         &asked->next);
    }
}


static ncr_int_t
ngx_http_claude_relay_rows_row(void *data, uint64_t number,
    ncr_record_t *rec)
{
    ngx_http_claude_relay_asked_t *asked = data;

    if (asked->n++ && !asked->out.csv) {
        ngx_http_claude_relay_usage_text(&asked->out, ",");
    }

    asked->last = number;

    ngx_http_claude_relay_usage_row(&asked->out, number, rec);

    return NCR_OK;
}
