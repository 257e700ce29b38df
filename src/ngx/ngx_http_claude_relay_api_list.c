
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Lists of keys, users, groups and limits; those of nginx.conf stand among
 * those of the store.  The store's thread picks and sorts (of each row a few
 * numbers are kept), reads the rows of the page and writes the text; the loop
 * looks up in between what only the zone knows, in small pieces.
 */


#include "ngx_http_claude_relay_api_keys.h"
#include "ngx_http_claude_relay_ledger.h"


#define NGX_HTTP_CLAUDE_RELAY_PAGE        100
#define NGX_HTTP_CLAUDE_RELAY_PAGE_MAX    1000
#define NGX_HTTP_CLAUDE_RELAY_PAGES_MAX   1000000

/* under one hold of the lock; so many holds without a break */
#define NGX_HTTP_CLAUDE_RELAY_LOOKS       256
#define NGX_HTTP_CLAUDE_RELAY_HOLDS       16

/* "cost" and "requests" are of so long */
#define NGX_HTTP_CLAUDE_RELAY_LIST_SPENT  (30 * NGX_HTTP_CLAUDE_RELAY_DAY)


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_SORT_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_SORT_CREATED,
    NGX_HTTP_CLAUDE_RELAY_SORT_UPDATED,
    NGX_HTTP_CLAUDE_RELAY_SORT_ACTIVATED,
    NGX_HTTP_CLAUDE_RELAY_SORT_USED,
    NGX_HTTP_CLAUDE_RELAY_SORT_COST,
    NGX_HTTP_CLAUDE_RELAY_SORT_REQUESTS
} ngx_http_claude_relay_sort_e;


typedef struct {
    char                               name[NCR_STORE_NAME];
    uint64_t                           id;
    int64_t                            value;   /* what it is sorted by */
    ngx_http_claude_relay_key_t       *conf;
} ngx_http_claude_relay_hit_t;


/* one of the page; a row without data has gone in between */

typedef struct {
    ncr_store_object_t                 row;
    ngx_http_claude_relay_times_t      times;
} ngx_http_claude_relay_entry_t;


typedef struct {
    char                               name[NCR_STORE_NAME];
    int64_t                            value;
} ngx_http_claude_relay_spent_t;


typedef struct {
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_kind_t      *kind;
    ngx_http_claude_relay_query_t      query;
    ngx_http_claude_relay_sort_e       sort;
    ngx_uint_t                         desc;
    ngx_uint_t                         csv;
    size_t                             max;
    size_t                             page;    /* 1...; 0: by "after" */

    ngx_http_claude_relay_hit_t       *hits;
    size_t                             n;       /* = "total" */
    size_t                             room;
    size_t                             first;   /* of the page, */
    size_t                             last;    /* behind it */
    ngx_http_claude_relay_entry_t     *entries; /* from first on */
    size_t                             nentries;
    size_t                             picked;  /* how far they are read */

    ngx_uint_t                         bucket;  /* of the zone */
    ngx_http_claude_relay_use_t       *uses;
    size_t                             nuses;
    size_t                             room_uses;

    ngx_http_claude_relay_spent_t     *spent;   /* by name */
    size_t                             nspent;
    size_t                             room_spent;
    ngx_http_claude_relay_question_t   question;

    ngx_uint_t                         lost;    /* "after" is not there */
    ngx_http_claude_relay_list_text_t  text;
} ngx_http_claude_relay_list_t;


static ngx_int_t ngx_http_claude_relay_list_query(
    ngx_http_claude_relay_list_t *list);
static ngx_int_t ngx_http_claude_relay_list_number(
    ngx_http_claude_relay_list_t *list, ngx_str_t *value, const char *name,
    int64_t max, size_t *number);
static ngx_int_t ngx_http_claude_relay_list_sort(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_uses(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_list_more_uses(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_ask(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_ask_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_list_sum(void *data,
    ncr_ledger_sum_t *sum);
static void ngx_http_claude_relay_list_ask_done(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_list_asked(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_list_select(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_list_select_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_list_row(void *data,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_list_conf(
    ngx_http_claude_relay_list_t *list);
static ncr_int_t ngx_http_claude_relay_list_hit(
    ngx_http_claude_relay_list_t *list, ncr_store_object_t *row,
    ngx_http_claude_relay_key_t *conf);
static int64_t ngx_http_claude_relay_list_value(
    ngx_http_claude_relay_list_t *list, ncr_store_object_t *row);
static void ngx_http_claude_relay_list_order(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_window(
    ngx_http_claude_relay_list_t *list);
static ncr_int_t ngx_http_claude_relay_list_pick(
    ngx_http_claude_relay_list_t *list, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_list_picked(void *data,
    ncr_store_object_t *row);
static void ngx_http_claude_relay_list_selected(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_list_write_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_list_write(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_list_clear(
    ngx_http_claude_relay_list_t *list);
static void ngx_http_claude_relay_list_free(void *data);
static int ngx_libc_cdecl ngx_http_claude_relay_list_by_name(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_http_claude_relay_list_by_value(
    const void *one, const void *two);
static int ngx_libc_cdecl ngx_http_claude_relay_list_by_id(const void *one,
    const void *two);


static ngx_str_t  ngx_http_claude_relay_list_json =
    ngx_string("application/json");

static ngx_str_t  ngx_http_claude_relay_list_csv =
    ngx_string("text/csv; charset=utf-8");


void
ngx_http_claude_relay_api_objects(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_list_t         *list;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return;
    }

    list = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_list_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (list == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_list_free;
    cln->data = list;

    list->call = call;
    list->kind = oc->kind;
    list->query.scope = oc->kind->scope;
    call->data = list;

    if (ngx_http_claude_relay_query_args(call, &list->query) != NGX_OK
        || ngx_http_claude_relay_list_query(list) != NGX_OK)
    {
        return;
    }

    switch (list->sort) {

    case NGX_HTTP_CLAUDE_RELAY_SORT_USED:
        ngx_http_claude_relay_list_uses(call);
        return;

    case NGX_HTTP_CLAUDE_RELAY_SORT_COST:
    case NGX_HTTP_CLAUDE_RELAY_SORT_REQUESTS:
        ngx_http_claude_relay_list_ask(list);
        return;

    default:
        ngx_http_claude_relay_list_select(call);
        return;
    }
}


static ngx_int_t
ngx_http_claude_relay_list_query(ngx_http_claude_relay_list_t *list)
{
    ngx_http_claude_relay_call_t   *call;
    ngx_http_claude_relay_query_t  *query;

    call = list->call;
    query = &list->query;

    list->max = NGX_HTTP_CLAUDE_RELAY_PAGE;

    if (ngx_http_claude_relay_list_number(list, &query->limit, "limit",
                                          NGX_HTTP_CLAUDE_RELAY_PAGE_MAX,
                                          &list->max)
        != NGX_OK
        || ngx_http_claude_relay_list_number(list, &query->page, "page",
                                             NGX_HTTP_CLAUDE_RELAY_PAGES_MAX,
                                             &list->page)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (query->after.len && !ngx_http_claude_relay_valid_name(&query->after)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"after\" must be a name");
        return NGX_ERROR;
    }

    if (query->after.len && list->page) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the query has both \"after\" and "
                                         "\"page\"");
        return NGX_ERROR;
    }

    list->csv = (query->format.data && query->format.data[0] == 'c');

    return ngx_http_claude_relay_list_sort(list);
}


static ngx_int_t
ngx_http_claude_relay_list_number(ngx_http_claude_relay_list_t *list,
    ngx_str_t *value, const char *name, int64_t max, size_t *number)
{
    int64_t  n;

    if (value->data == NULL) {
        return NGX_OK;
    }

    if (ncr_str_int(ncr(value), &n) != NCR_OK || n < 1 || n > max) {
        ngx_http_claude_relay_call_error(list->call, NGX_HTTP_BAD_REQUEST,
                                         NULL, "\"%s\" must be a number from "
                                         "1 to %L", name, max);
        return NGX_ERROR;
    }

    *number = (size_t) n;

    return NGX_OK;
}


/* times and amounts: the latest, the largest first, if not told otherwise */

static ngx_int_t
ngx_http_claude_relay_list_sort(ngx_http_claude_relay_list_t *list)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_query_t  *query;

    static const char *const  names[] = {
        "name", "created", "updated", "activated", "last_used", "cost",
        "requests", NULL
    };

    query = &list->query;

    for (i = 0; query->sort.data && names[i]; i++) {
        if (ncr_str_eq(ncr(&query->sort), names[i])) {
            break;
        }
    }

    if (names[i] == NULL
        || (i > NGX_HTTP_CLAUDE_RELAY_SORT_UPDATED
            && list->kind->scope != NCR_SCOPE_KEY))
    {
        ngx_http_claude_relay_call_error(list->call, NGX_HTTP_BAD_REQUEST,
                         NULL, "\"sort\" must be \"name\", \"created\"%s or "
                         "\"%s\"", (list->kind->scope == NCR_SCOPE_KEY)
                         ? ", \"updated\", \"activated\", \"last_used\", "
                           "\"cost\"" : "",
                         (list->kind->scope == NCR_SCOPE_KEY)
                         ? "requests" : "updated");
        return NGX_ERROR;
    }

    list->sort = i;
    list->desc = query->order.data
                 ? query->order.data[0] == 'd'
                 : i != NGX_HTTP_CLAUDE_RELAY_SORT_NAME;

    return NGX_OK;
}


/* when all of them were used last, in pieces */

static void
ngx_http_claude_relay_list_uses(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                         i, n;
    ngx_http_claude_relay_list_t      *list;
    ngx_http_claude_relay_subjects_t  *subjects;

    list = call->data;
    subjects = call->rmcf->subjects;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_HOLDS; i++) {

        if (subjects == NULL || list->bucket > subjects->mask) {

            if (list->nuses) {
                ngx_qsort(list->uses, list->nuses,
                          sizeof(ngx_http_claude_relay_use_t),
                          ngx_http_claude_relay_list_by_id);
            }

            ngx_http_claude_relay_list_select(call);
            return;
        }

        if (ngx_http_claude_relay_list_more_uses(list) != NGX_OK) {
            ngx_http_claude_relay_call_memory(call);
            return;
        }

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        n = ngx_http_claude_relay_subject_uses_locked(call->rmcf,
                                            &list->bucket,
                                            &list->uses[list->nuses],
                                            NGX_HTTP_CLAUDE_RELAY_LOOKS);
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

        list->nuses += n;
    }

    ngx_http_claude_relay_call_timer(call, 1,
                                     ngx_http_claude_relay_list_uses);
}


static ngx_int_t
ngx_http_claude_relay_list_more_uses(ngx_http_claude_relay_list_t *list)
{
    size_t                        room;
    ngx_http_claude_relay_use_t  *uses;

    if (list->nuses + NGX_HTTP_CLAUDE_RELAY_LOOKS <= list->room_uses) {
        return NGX_OK;
    }

    room = 2 * list->room_uses + 4 * NGX_HTTP_CLAUDE_RELAY_LOOKS;

    uses = ngx_alloc(room * sizeof(ngx_http_claude_relay_use_t),
                     ngx_cycle->log);
    if (uses == NULL) {
        return NGX_ERROR;
    }

    if (list->uses) {
        ngx_memcpy(uses, list->uses,
                   list->nuses * sizeof(ngx_http_claude_relay_use_t));
        ngx_free(list->uses);
    }

    list->uses = uses;
    list->room_uses = room;

    return NGX_OK;
}


/* what keys have spent is one question for all of them */

static void
ngx_http_claude_relay_list_ask(ngx_http_claude_relay_list_t *list)
{
    ngx_int_t                       rc;
    ngx_http_claude_relay_call_t   *call;

    call = list->call;

    list->question.run = ngx_http_claude_relay_list_ask_run;
    list->question.done = ngx_http_claude_relay_list_ask_done;
    list->question.data = list;
    list->question.fresh = 1;

    call->next = ngx_http_claude_relay_list_asked;
    call->now = ngx_http_claude_relay_now();

    rc = ngx_http_claude_relay_ledger_ask(&list->question);

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, (rc == NGX_DECLINED)
                                         ? "no usage is kept: "
                                           "\"claude_relay_usage\" is off"
                                         : "this worker is leaving");
    }
}


static void
ngx_http_claude_relay_list_ask_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_list_t *list = q->data;

    ncr_ledger_query_t  query;

    ngx_memzero(&query, sizeof(ncr_ledger_query_t));

    query.from = list->call->now - NGX_HTTP_CLAUDE_RELAY_LIST_SPENT;
    query.by[0] = NCR_BY_KEY;
    query.limit = NCR_LEDGER_GROUPS;

    q->rc = ncr_ledger_sums(ledger, &query, ngx_http_claude_relay_list_sum,
                            list);

    if (q->rc != NCR_OK) {
        (void) ngx_cpystrn((u_char *) q->error,
                           (u_char *) ncr_ledger_error(ledger),
                           sizeof(q->error));
    }

    if (list->nspent) {
        ngx_qsort(list->spent, list->nspent,
                  sizeof(ngx_http_claude_relay_spent_t),
                  ngx_http_claude_relay_list_by_name);
    }
}


static ncr_int_t
ngx_http_claude_relay_list_sum(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_list_t *list = data;

    size_t                          room;
    ngx_http_claude_relay_spent_t  *spent;

    if (sum->name[0] == NULL) {
        return NCR_OK;
    }

    if (list->nspent == list->room_spent) {
        room = list->room_spent ? 2 * list->room_spent : 64;

        spent = ngx_alloc(room * sizeof(ngx_http_claude_relay_spent_t),
                          ngx_cycle->log);
        if (spent == NULL) {
            return NCR_ERROR;
        }

        if (list->spent) {
            ngx_memcpy(spent, list->spent,
                       list->nspent * sizeof(ngx_http_claude_relay_spent_t));
            ngx_free(list->spent);
        }

        list->spent = spent;
        list->room_spent = room;
    }

    spent = &list->spent[list->nspent++];

    (void) ngx_cpystrn((u_char *) spent->name, (u_char *) sum->name[0],
                       sizeof(spent->name));

    spent->value = (int64_t) (list->sort == NGX_HTTP_CLAUDE_RELAY_SORT_COST
                              ? sum->cost : sum->requests);

    return NCR_OK;
}


static void
ngx_http_claude_relay_list_ask_done(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_list_t *list = q->data;

    list->call->next(list->call);
}


static void
ngx_http_claude_relay_list_asked(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_list_t  *list;

    list = call->data;

    if (list->question.rc != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "usage: %s",
                                         list->question.error);
        return;
    }

    ngx_http_claude_relay_list_select(call);
}


static void
ngx_http_claude_relay_list_select(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_list_t  *list;

    list = call->data;

    if (call->rmcf->store) {
        ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_list_select_run,
                                    ngx_http_claude_relay_list_selected);
        return;
    }

    /* blocks of nginx.conf alone, which are few */

    if (ngx_http_claude_relay_list_conf(list) != NCR_OK) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_list_order(list);
    ngx_http_claude_relay_list_window(list);
    ngx_http_claude_relay_list_write(list);

    call->job.rc = NCR_OK;
    ngx_http_claude_relay_list_done(call);
}


static void
ngx_http_claude_relay_list_select_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                      rc;
    ngx_http_claude_relay_list_t  *list;

    list = call->data;

    /* the store may have had to be opened anew for a second try */

    ngx_http_claude_relay_list_clear(list);

    rc = ncr_store_object_list(store, list->kind->name, "",
                               ngx_http_claude_relay_list_row, list);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_list_conf(list);
    }

    if (rc == NCR_OK) {
        ngx_http_claude_relay_list_order(list);
        ngx_http_claude_relay_list_window(list);

        rc = ngx_http_claude_relay_list_pick(list, store);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_list_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_list_t *list = data;

    ncr_str_t  name;

    if (!ngx_http_claude_relay_query_takes(&list->query, row, 0)) {
        return NCR_OK;
    }

    /* nginx.conf has the last word about a name */

    if (list->kind->scope != NCR_SCOPE_MODEL) {

        name.data = (u_char *) row->name;
        name.len = ngx_strlen(row->name);

        if (ngx_http_claude_relay_key_conf(list->call->rmcf,
                                           list->kind->scope, &name))
        {
            return NCR_OK;
        }
    }

    return ngx_http_claude_relay_list_hit(list, row, NULL);
}


static ncr_int_t
ngx_http_claude_relay_list_conf(ngx_http_claude_relay_list_t *list)
{
    ncr_int_t                     rc;
    ngx_uint_t                    i, takes;
    ngx_array_t                  *blocks;
    ncr_store_object_t            row;
    ngx_http_claude_relay_key_t  *block;

    blocks = ngx_http_claude_relay_kind_conf(list->call->rmcf,
                                             list->kind->scope);
    block = blocks->elts;

    for (i = 0; i < blocks->nelts; i++) {

        ngx_memzero(&row, sizeof(ncr_store_object_t));

        row.data = ngx_http_claude_relay_dup(block[i].settings.data,
                                             block[i].settings.len);
        if (row.data == NULL) {
            return NCR_ERROR;
        }

        (void) ngx_cpystrn((u_char *) row.name, block[i].name.data,
                           ngx_min(block[i].name.len + 1, NCR_STORE_NAME));

        rc = NCR_OK;
        takes = ngx_http_claude_relay_query_takes(&list->query, &row, 1);

        if (takes) {
            rc = ngx_http_claude_relay_list_hit(list, &row, &block[i]);
        }

        ngx_free(row.data);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_list_hit(ngx_http_claude_relay_list_t *list,
    ncr_store_object_t *row, ngx_http_claude_relay_key_t *conf)
{
    size_t                        room;
    ngx_http_claude_relay_hit_t  *hit, *hits;

    if (list->n == list->room) {
        room = list->room ? 2 * list->room : 64;

        hits = ngx_alloc(room * sizeof(ngx_http_claude_relay_hit_t),
                         ngx_cycle->log);
        if (hits == NULL) {
            return NCR_ERROR;
        }

        if (list->hits) {
            ngx_memcpy(hits, list->hits,
                       list->n * sizeof(ngx_http_claude_relay_hit_t));
            ngx_free(list->hits);
        }

        list->hits = hits;
        list->room = room;
    }

    hit = &list->hits[list->n++];

    ngx_memcpy(hit->name, row->name, NCR_STORE_NAME);
    hit->id = row->id;
    hit->value = ngx_http_claude_relay_list_value(list, row);
    hit->conf = conf;

    return NCR_OK;
}


static int64_t
ngx_http_claude_relay_list_value(ngx_http_claude_relay_list_t *list,
    ncr_store_object_t *row)
{
    ngx_http_claude_relay_use_t    use, *found;
    ngx_http_claude_relay_spent_t  spent, *sum;

    switch (list->sort) {

    case NGX_HTTP_CLAUDE_RELAY_SORT_CREATED:
        return row->created;

    case NGX_HTTP_CLAUDE_RELAY_SORT_UPDATED:
        return row->updated;

    case NGX_HTTP_CLAUDE_RELAY_SORT_ACTIVATED:
        return row->activated;

    case NGX_HTTP_CLAUDE_RELAY_SORT_USED:
        use.id = row->id;
        found = list->nuses
                ? bsearch(&use, list->uses, list->nuses,
                          sizeof(ngx_http_claude_relay_use_t),
                          ngx_http_claude_relay_list_by_id)
                : NULL;
        return found ? found->used : 0;

    case NGX_HTTP_CLAUDE_RELAY_SORT_COST:
    case NGX_HTTP_CLAUDE_RELAY_SORT_REQUESTS:
        ngx_memcpy(spent.name, row->name, NCR_STORE_NAME);
        sum = list->nspent
              ? bsearch(&spent, list->spent, list->nspent,
                        sizeof(ngx_http_claude_relay_spent_t),
                        ngx_http_claude_relay_list_by_name)
              : NULL;
        return sum ? sum->value : 0;

    default:
        return 0;
    }
}


static void
ngx_http_claude_relay_list_order(ngx_http_claude_relay_list_t *list)
{
    size_t                       i, j;
    ngx_http_claude_relay_hit_t  hit;

    if (list->n == 0) {
        return;
    }

    /* rows come by name; those of nginx.conf stand behind them */

    qsort(list->hits, list->n, sizeof(ngx_http_claude_relay_hit_t),
          ngx_http_claude_relay_list_by_value);

    for (i = 0, j = list->n - 1; list->desc && i < j; i++, j--) {
        hit = list->hits[i];
        list->hits[i] = list->hits[j];
        list->hits[j] = hit;
    }
}


static void
ngx_http_claude_relay_list_window(ngx_http_claude_relay_list_t *list)
{
    int     order;
    size_t  i;
    char   *after;

    list->first = 0;
    list->lost = 0;

    if (list->page) {
        list->first = ngx_min((list->page - 1) * list->max, list->n);

    } else if (list->query.after.len) {

        after = (char *) list->query.after.data;

        for (i = 0; i < list->n; i++) {
            order = ngx_strcmp(list->hits[i].name, after);

            if (list->sort != NGX_HTTP_CLAUDE_RELAY_SORT_NAME) {
                if (order == 0) {
                    break;
                }

            } else if (list->desc ? order < 0 : order > 0) {
                break;
            }
        }

        if (list->sort != NGX_HTTP_CLAUDE_RELAY_SORT_NAME) {
            list->lost = (i == list->n);
            i = ngx_min(i + 1, list->n);
        }

        list->first = i;
    }

    list->last = ngx_min(list->first + list->max, list->n);
}


static ncr_int_t
ngx_http_claude_relay_list_pick(ngx_http_claude_relay_list_t *list,
    ncr_store_t *store)
{
    size_t      i, n;
    uint64_t   *ids;
    ncr_int_t   rc;

    if (list->first == list->last) {
        return NCR_OK;
    }

    n = list->last - list->first;

    ids = ngx_alloc(n * sizeof(uint64_t), ngx_cycle->log);
    list->entries = ngx_calloc(n * sizeof(ngx_http_claude_relay_entry_t),
                               ngx_cycle->log);

    if (ids == NULL || list->entries == NULL) {
        if (ids) {
            ngx_free(ids);
        }

        return NCR_ERROR;
    }

    list->nentries = n;
    list->picked = 0;

    for (i = list->first, n = 0; i < list->last; i++) {
        if (list->hits[i].conf == NULL) {
            ids[n++] = list->hits[i].id;
        }
    }

    rc = ncr_store_object_pick(store, ids, n,
                               ngx_http_claude_relay_list_picked, list);

    ngx_free(ids);

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_list_picked(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_list_t *list = data;

    ngx_http_claude_relay_hit_t    *hit;
    ngx_http_claude_relay_entry_t  *entry;

    do {
        if (list->picked == list->nentries) {
            return NCR_OK;
        }

        hit = &list->hits[list->first + list->picked];
        entry = &list->entries[list->picked++];

    } while (hit->conf || hit->id != row->id);

    entry->row = *row;
    entry->row.data = ngx_http_claude_relay_dup(row->data,
                                                ngx_strlen(row->data));
    entry->times.activated = row->activated;

    return entry->row.data ? NCR_OK : NCR_ERROR;
}


static void
ngx_http_claude_relay_list_selected(ngx_http_claude_relay_call_t *call)
{
    size_t                          i, n;
    ngx_http_claude_relay_list_t   *list;
    ngx_http_claude_relay_entry_t  *entry;

    list = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (list->lost) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"after\" is in this list no "
                                         "longer: use \"page\"");
        return;
    }

    /* a page is small enough to be looked up in one go */

    for (i = 0; list->kind->scope == NCR_SCOPE_KEY && i < list->nentries; ) {

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);

        for (n = 0;
             i < list->nentries && n < NGX_HTTP_CLAUDE_RELAY_LOOKS;
             i++, n++)
        {
            entry = &list->entries[i];

            if (entry->row.data) {
                (void) ngx_http_claude_relay_subject_times_locked(call->rmcf,
                                              NCR_SCOPE_KEY, entry->row.id,
                                              &entry->times.activated,
                                              &entry->times.used);
            }
        }

        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_list_write_run,
                                    ngx_http_claude_relay_list_done);
}


static void
ngx_http_claude_relay_list_write_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_list_write(call->data);

    job->rc = NCR_OK;
}


static void
ngx_http_claude_relay_list_write(ngx_http_claude_relay_list_t *list)
{
    cJSON                              *json;
    u_char                              buf[NGX_INT64_LEN + 64];
    size_t                              i;
    ngx_uint_t                          n;
    ngx_http_claude_relay_key_t        *conf;
    ngx_http_claude_relay_entry_t      *entry;
    ngx_http_claude_relay_list_text_t  *text;

    text = &list->text;
    text->len = 0;
    n = 0;

    if (list->csv) {
        ngx_http_claude_relay_list_head(text, list->kind->scope);

    } else {
        ngx_http_claude_relay_list_put(text, buf,
                           ngx_sprintf(buf, "{\"%s\":[", list->kind->path)
                           - buf);
    }

    for (i = list->first; i < list->last; i++) {

        conf = list->hits[i].conf;
        entry = conf ? NULL : &list->entries[i - list->first];

        if (entry && entry->row.data == NULL) {
            continue;
        }

        json = ngx_http_claude_relay_show_row(list->kind,
                                              entry ? &entry->row : NULL,
                                              conf,
                                              entry ? &entry->times : NULL);

        if (list->csv) {
            ngx_http_claude_relay_list_line(text, list->kind->scope, json);
            continue;
        }

        if (n++) {
            ngx_http_claude_relay_list_put(text, ",", 1);
        }

        ngx_http_claude_relay_list_item(text, json);
    }

    if (list->csv) {
        return;
    }

    ngx_http_claude_relay_list_put(text, "],\"next\":", 9);

    /* a name needs no escapes */

    n = (list->last > list->first && list->last < list->n);

    ngx_http_claude_relay_list_put(text, buf,
                       ngx_sprintf(buf, n ? "\"" : "null") - buf);

    if (n) {
        ngx_http_claude_relay_list_put(text, list->hits[list->last - 1].name,
                          ngx_strlen(list->hits[list->last - 1].name));
        ngx_http_claude_relay_list_put(text, "\"", 1);
    }

    ngx_http_claude_relay_list_put(text, buf,
                       ngx_sprintf(buf, ",\"total\":%uz}", list->n) - buf);
}


static void
ngx_http_claude_relay_list_done(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                      body, next;
    ngx_http_claude_relay_list_t  *list;

    list = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (list->text.failed) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_str_null(&next);

    if (list->csv && list->last > list->first && list->last < list->n) {
        next.data = (u_char *) list->hits[list->last - 1].name;
        next.len = ngx_strlen(next.data);
    }

    body.data = list->text.data;
    body.len = list->text.len;

    ngx_http_claude_relay_call_text_answer(call, list->csv
                                           ? &ngx_http_claude_relay_list_csv
                                           : &ngx_http_claude_relay_list_json,
                                           &body, &next);
}


static void
ngx_http_claude_relay_list_clear(ngx_http_claude_relay_list_t *list)
{
    size_t  i;

    for (i = 0; i < list->nentries; i++) {
        ncr_store_object_free(&list->entries[i].row);
    }

    if (list->entries) {
        ngx_free(list->entries);
        list->entries = NULL;
    }

    list->nentries = 0;
    list->n = 0;
}


static void
ngx_http_claude_relay_list_free(void *data)
{
    ngx_http_claude_relay_list_t *list = data;

    ngx_http_claude_relay_list_clear(list);

    if (list->hits) {
        ngx_free(list->hits);
    }

    if (list->uses) {
        ngx_free(list->uses);
    }

    if (list->spent) {
        ngx_free(list->spent);
    }

    if (list->text.data) {
        ngx_free(list->text.data);
    }
}


static int ngx_libc_cdecl
ngx_http_claude_relay_list_by_name(const void *one, const void *two)
{
    const ngx_http_claude_relay_spent_t  *a = one;
    const ngx_http_claude_relay_spent_t  *b = two;

    return ngx_strcmp(a->name, b->name);
}


static int ngx_libc_cdecl
ngx_http_claude_relay_list_by_value(const void *one, const void *two)
{
    const ngx_http_claude_relay_hit_t  *a = one;
    const ngx_http_claude_relay_hit_t  *b = two;

    if (a->value != b->value) {
        return (a->value < b->value) ? -1 : 1;
    }

    return ngx_strcmp(a->name, b->name);
}


static int ngx_libc_cdecl
ngx_http_claude_relay_list_by_id(const void *one, const void *two)
{
    const ngx_http_claude_relay_use_t  *a = one;
    const ngx_http_claude_relay_use_t  *b = two;

    return (a->id < b->id) ? -1 : (a->id > b->id);
}
