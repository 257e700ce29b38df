
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Lists of accounts, and of their groups. */


#include "ngx_http_claude_relay_api.h"


#define NGX_HTTP_CLAUDE_RELAY_LIST_MAX  1000


/* words of a query; those up to SEARCH are members of a "filter", too */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LIST_POOL = 0,
    NGX_HTTP_CLAUDE_RELAY_LIST_PLATFORM,
    NGX_HTTP_CLAUDE_RELAY_LIST_STATE,
    NGX_HTTP_CLAUDE_RELAY_LIST_GROUP,
    NGX_HTTP_CLAUDE_RELAY_LIST_TYPE,
    NGX_HTTP_CLAUDE_RELAY_LIST_SEARCH,
    NGX_HTTP_CLAUDE_RELAY_LIST_SORT,
    NGX_HTTP_CLAUDE_RELAY_LIST_ORDER,
    NGX_HTTP_CLAUDE_RELAY_LIST_LIMIT,
    NGX_HTTP_CLAUDE_RELAY_LIST_PAGE,
    NGX_HTTP_CLAUDE_RELAY_LIST_WORDS
} ngx_http_claude_relay_list_e;


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_SORT_NONE = 0,    /* as they were written */
    NGX_HTTP_CLAUDE_RELAY_SORT_NAME,
    NGX_HTTP_CLAUDE_RELAY_SORT_PLATFORM,
    NGX_HTTP_CLAUDE_RELAY_SORT_POOL,
    NGX_HTTP_CLAUDE_RELAY_SORT_PRIORITY,
    NGX_HTTP_CLAUDE_RELAY_SORT_STATE,
    NGX_HTTP_CLAUDE_RELAY_SORT_REQUESTS,
    NGX_HTTP_CLAUDE_RELAY_SORT_ERRORS,
    NGX_HTTP_CLAUDE_RELAY_SORT_IN_FLIGHT,
    NGX_HTTP_CLAUDE_RELAY_SORT_LAST_ERROR
} ngx_http_claude_relay_sort_e;


typedef struct {
    ngx_http_claude_relay_account_t   *account;
    ngx_str_t                          text;    /* what it is sorted by */
    int64_t                            number;
    ngx_uint_t                         place;
    ngx_uint_t                         down;
} ngx_http_claude_relay_listed_t;


static ngx_int_t ngx_http_claude_relay_list_filter(
    ngx_http_claude_relay_call_t *call, ngx_str_t *words,
    ngx_http_claude_relay_filter_t *filter);
static ngx_int_t ngx_http_claude_relay_list_number(
    ngx_http_claude_relay_call_t *call, ngx_str_t *word, const char *name,
    ngx_uint_t most, ngx_uint_t *n);
static ngx_int_t ngx_http_claude_relay_list_sort(
    ngx_http_claude_relay_call_t *call, ngx_str_t *words,
    ngx_http_claude_relay_sort_e *sort, ngx_uint_t *down);
static void ngx_http_claude_relay_list_key(
    ngx_http_claude_relay_listed_t *item, ngx_http_claude_relay_view_t *view,
    ngx_http_claude_relay_sort_e sort);
static int ngx_libc_cdecl ngx_http_claude_relay_list_compare(const void *one,
    const void *two);
static ngx_uint_t ngx_http_claude_relay_filter_is(ngx_str_t *want,
    ngx_str_t *have);
static ngx_uint_t ngx_http_claude_relay_state(const char *state);
static void ngx_http_claude_relay_show_states(cJSON *json, ngx_uint_t *n);
static void ngx_http_claude_relay_api_account_groups(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_account_group(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_pool_t *group,
    ncr_msec_t now);


/* in the order of ngx_http_claude_relay_list_e */

static const char *const  ngx_http_claude_relay_list_names[] = {
    "pool", "platform", "state", "group", "type", "search", "sort", "order",
    "limit", "page", NULL
};

/* in the order of ngx_http_claude_relay_sort_e */

static const char  *ngx_http_claude_relay_sorts[] = {
    "", "name", "platform", "pool", "priority", "state", "requests", "errors",
    "in_flight", "last_error", NULL
};

#define NGX_HTTP_CLAUDE_RELAY_STATES  4

static const char  *ngx_http_claude_relay_states[] = {
    "ok", "resting", "needs-login", "disabled"
};

static const char  *ngx_http_claude_relay_state_names[] = {
    "ok", "resting", "needs_login", "disabled"
};


ngx_http_claude_relay_way_t  ngx_http_claude_relay_account_ways[] = {

    { NGX_HTTP_GET, "/v1/account-groups",
      ngx_http_claude_relay_api_account_groups,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


void
ngx_http_claude_relay_api_list(ngx_http_claude_relay_call_t *call)
{
    cJSON                             *json, *list;
    ngx_str_t                          words[NGX_HTTP_CLAUDE_RELAY_LIST_WORDS];
    ncr_msec_t                         now;
    ngx_uint_t                         i, n, total, limit, page, down, state;
    ngx_uint_t                         states[NGX_HTTP_CLAUDE_RELAY_STATES];
    ngx_http_claude_relay_sort_e       sort;
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_filter_t     filter;
    ngx_http_claude_relay_listed_t    *item;
    ngx_http_claude_relay_account_t  **a;

    limit = NGX_HTTP_CLAUDE_RELAY_LIST_MAX;
    page = 1;

    if (ngx_http_claude_relay_call_query(call,
                                    ngx_http_claude_relay_list_names, words)
        != NGX_OK
        || ngx_http_claude_relay_list_filter(call, words, &filter) != NGX_OK
        || ngx_http_claude_relay_list_sort(call, words, &sort, &down)
           != NGX_OK
        || ngx_http_claude_relay_list_number(call,
                         &words[NGX_HTTP_CLAUDE_RELAY_LIST_LIMIT], "limit",
                         NGX_HTTP_CLAUDE_RELAY_LIST_MAX, &limit)
           != NGX_OK
        || ngx_http_claude_relay_list_number(call,
                         &words[NGX_HTTP_CLAUDE_RELAY_LIST_PAGE], "page",
                         1000000, &page)
           != NGX_OK)
    {
        return;
    }

    a = call->roster->accounts.elts;
    n = call->roster->accounts.nelts;

    item = ngx_palloc(call->pool,
                      (n + 1) * sizeof(ngx_http_claude_relay_listed_t));

    if (item == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    now = ngx_http_claude_relay_now();
    total = 0;
    ngx_memzero(states, sizeof(states));

    for (i = 0; i < n; i++) {

        if (!ngx_http_claude_relay_filter_matches(&filter, a[i])) {
            continue;
        }

        ngx_http_claude_relay_view(call->rmcf, a[i], now, &view);

        state = ngx_http_claude_relay_state(view.state);
        states[state]++;

        if (filter.state.data && !ncr_str_eq(ncr(&filter.state), view.state)) {
            continue;
        }

        item[total].account = a[i];
        item[total].place = i;
        item[total].down = down;
        ngx_http_claude_relay_list_key(&item[total], &view, sort);
        total++;
    }

    if (total && (sort != NGX_HTTP_CLAUDE_RELAY_SORT_NONE || down)) {
        ngx_qsort(item, total, sizeof(ngx_http_claude_relay_listed_t),
                  ngx_http_claude_relay_list_compare);
    }

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "accounts");

    for (i = (page - 1) * limit; i < total && i < page * limit; i++) {
        ngx_http_claude_relay_view(call->rmcf, item[i].account, now, &view);
        (void) cJSON_AddItemToArray(list,
                                ngx_http_claude_relay_show_account(&view, now));
    }

    (void) cJSON_AddNumberToObject(json, "total", (double) total);
    (void) cJSON_AddNumberToObject(json, "page", (double) page);
    (void) cJSON_AddNumberToObject(json, "pages",
                                   (double) ((total + limit - 1) / limit));

    ngx_http_claude_relay_show_states(json, states);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* words up to SEARCH, whose letters become small ones */

static ngx_int_t
ngx_http_claude_relay_list_filter(ngx_http_claude_relay_call_t *call,
    ngx_str_t *words, ngx_http_claude_relay_filter_t *filter)
{
    ngx_str_t  *type, *search;

    filter->pool = words[NGX_HTTP_CLAUDE_RELAY_LIST_POOL];
    filter->platform = words[NGX_HTTP_CLAUDE_RELAY_LIST_PLATFORM];
    filter->state = words[NGX_HTTP_CLAUDE_RELAY_LIST_STATE];
    filter->group = words[NGX_HTTP_CLAUDE_RELAY_LIST_GROUP];
    filter->type = words[NGX_HTTP_CLAUDE_RELAY_LIST_TYPE];

    /* with a NUL */

    search = &words[NGX_HTTP_CLAUDE_RELAY_LIST_SEARCH];

    filter->search.len = search->len;
    filter->search.data = ngx_pnalloc(call->pool, search->len + 1);

    if (filter->search.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    ngx_strlow(filter->search.data, search->data, search->len);
    filter->search.data[search->len] = '\0';

    type = &filter->type;

    if (type->data && !ncr_str_eq(ncr(type), "shared")
        && !ncr_str_eq(ncr(type), "dedicated"))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"type\" must be \"shared\" or "
                                         "\"dedicated\"");
        return NGX_ERROR;
    }

    if (filter->state.data
        && !ncr_str_eq(ncr(&filter->state), "ok")
        && !ncr_str_eq(ncr(&filter->state), "resting")
        && !ncr_str_eq(ncr(&filter->state), "needs-login")
        && !ncr_str_eq(ncr(&filter->state), "disabled"))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"state\" must be \"ok\", "
                                         "\"resting\", \"needs-login\" or "
                                         "\"disabled\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_filter_json(ngx_http_claude_relay_call_t *call,
    cJSON *json, ngx_http_claude_relay_filter_t *filter)
{
    cJSON       *item;
    ngx_str_t    words[NGX_HTTP_CLAUDE_RELAY_LIST_WORDS];
    ngx_uint_t   i;

    ngx_memzero(words, sizeof(words));

    if (!cJSON_IsObject(json)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"filter\" must be an object");
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(item, json) {

        for (i = 0; i <= NGX_HTTP_CLAUDE_RELAY_LIST_SEARCH; i++) {
            if (ngx_strcmp(item->string, ngx_http_claude_relay_list_names[i])
                == 0)
            {
                break;
            }
        }

        if (i > NGX_HTTP_CLAUDE_RELAY_LIST_SEARCH || !cJSON_IsString(item)
            || words[i].data)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                              "\"filter\" takes \"pool\", \"platform\", "
                              "\"state\", \"group\", \"type\" and "
                              "\"search\", which are strings");
            return NGX_ERROR;
        }

        words[i].data = (u_char *) item->valuestring;
        words[i].len = ngx_strlen(item->valuestring);
    }

    return ngx_http_claude_relay_list_filter(call, words, filter);
}


ngx_uint_t
ngx_http_claude_relay_filter_matches(ngx_http_claude_relay_filter_t *filter,
    ngx_http_claude_relay_account_t *a)
{
    ngx_str_t  platform;

    platform = ngx_http_claude_relay_str(&a->platform->name);

    if (!ngx_http_claude_relay_filter_is(&filter->pool, &a->pool)
        || !ngx_http_claude_relay_filter_is(&filter->platform, &platform)
        || (filter->group.data
            && !ngx_http_claude_relay_in_group(a, &filter->group))
        || (filter->type.data
            && ncr_str_eq(ncr(&filter->type), "dedicated") != a->dedicated))
    {
        return 0;
    }

    return filter->search.len == 0
           || ncr_str_contains(ncr(&a->name), (char *) filter->search.data)
           || ncr_str_contains(ncr(&a->description),
                               (char *) filter->search.data);
}


static ngx_uint_t
ngx_http_claude_relay_filter_is(ngx_str_t *want, ngx_str_t *have)
{
    return want->data == NULL
           || (want->len == have->len
               && ngx_memcmp(want->data, have->data, want->len) == 0);
}


static ngx_int_t
ngx_http_claude_relay_list_number(ngx_http_claude_relay_call_t *call,
    ngx_str_t *word, const char *name, ngx_uint_t most, ngx_uint_t *n)
{
    int64_t  value;

    if (word->data == NULL) {
        return NGX_OK;
    }

    if (ncr_str_int(ncr(word), &value) != NCR_OK || value < 1
        || value > (int64_t) most)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"%s\" must be 1 to %ui", name,
                                         most);
        return NGX_ERROR;
    }

    *n = (ngx_uint_t) value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_list_sort(ngx_http_claude_relay_call_t *call,
    ngx_str_t *words, ngx_http_claude_relay_sort_e *sort, ngx_uint_t *down)
{
    ngx_str_t   *word;
    ngx_uint_t   i;

    *sort = NGX_HTTP_CLAUDE_RELAY_SORT_NONE;
    *down = 0;

    word = &words[NGX_HTTP_CLAUDE_RELAY_LIST_SORT];

    if (word->data) {

        for (i = 1; ngx_http_claude_relay_sorts[i]; i++) {
            if (ncr_str_eq(ncr(word), ngx_http_claude_relay_sorts[i])) {
                break;
            }
        }

        if (ngx_http_claude_relay_sorts[i] == NULL) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                              "\"sort\" must be \"name\", \"platform\", "
                              "\"pool\", \"priority\", \"state\", "
                              "\"requests\", \"errors\", \"in_flight\" or "
                              "\"last_error\"");
            return NGX_ERROR;
        }

        *sort = (ngx_http_claude_relay_sort_e) i;
    }

    word = &words[NGX_HTTP_CLAUDE_RELAY_LIST_ORDER];

    if (word->data == NULL || ncr_str_eq(ncr(word), "asc")) {
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(word), "desc")) {
        *down = 1;
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"order\" must be \"asc\" or \"desc\"");

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_list_key(ngx_http_claude_relay_listed_t *item,
    ngx_http_claude_relay_view_t *view, ngx_http_claude_relay_sort_e sort)
{
    ncr_health_t                     *h;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;
    h = &view->node.health;

    ngx_str_null(&item->text);
    item->number = 0;

    switch (sort) {

    case NGX_HTTP_CLAUDE_RELAY_SORT_NONE:
        item->number = (int64_t) item->place;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_NAME:
        item->text = a->name;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_PLATFORM:
        item->text = ngx_http_claude_relay_str(&a->platform->name);
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_POOL:
        item->text = a->pool;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_PRIORITY:
        item->number = a->priority;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_STATE:
        item->number = (int64_t) ngx_http_claude_relay_state(view->state);
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_REQUESTS:
        item->number = (int64_t) h->requests;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_ERRORS:
        item->number = (int64_t) h->errors;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_IN_FLIGHT:
        item->number = (int64_t) view->node.inflight;
        break;

    case NGX_HTTP_CLAUDE_RELAY_SORT_LAST_ERROR:
        item->number = h->last_error_at;
        break;
    }
}


/* names are different, so no two are equal */

static int ngx_libc_cdecl
ngx_http_claude_relay_list_compare(const void *one, const void *two)
{
    const ngx_http_claude_relay_listed_t *a = one;
    const ngx_http_claude_relay_listed_t *b = two;

    int     rc;
    size_t  len;

    if (a->number != b->number) {
        rc = (a->number < b->number) ? -1 : 1;

    } else {
        len = ngx_min(a->text.len, b->text.len);
        rc = len ? ngx_memcmp(a->text.data, b->text.data, len) : 0;

        if (rc == 0 && a->text.len != b->text.len) {
            rc = (a->text.len < b->text.len) ? -1 : 1;
        }
    }

    if (rc) {
        return a->down ? -rc : rc;
    }

    return (a->place < b->place) ? -1 : 1;
}


static ngx_uint_t
ngx_http_claude_relay_state(const char *state)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_STATES - 1; i++) {
        if (ngx_strcmp(state, ngx_http_claude_relay_states[i]) == 0) {
            break;
        }
    }

    return i;
}


static void
ngx_http_claude_relay_show_states(cJSON *json, ngx_uint_t *n)
{
    cJSON       *states;
    ngx_uint_t   i;

    states = cJSON_AddObjectToObject(json, "states");

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_STATES; i++) {
        (void) cJSON_AddNumberToObject(states,
                                       ngx_http_claude_relay_state_names[i],
                                       (double) n[i]);
    }
}


static void
ngx_http_claude_relay_api_account_groups(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *json, *list;
    ncr_msec_t                     now;
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *group;

    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK) {
        return;
    }

    now = ngx_http_claude_relay_now();

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "groups");

    group = call->roster->groups.elts;

    for (i = 0; i < call->roster->groups.nelts; i++) {
        (void) cJSON_AddItemToArray(list,
                   ngx_http_claude_relay_show_account_group(call, &group[i],
                                                            now));
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_show_account_group(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_pool_t *group, ncr_msec_t now)
{
    cJSON                             *json, *list, *member;
    ngx_str_t                          platform;
    ngx_uint_t                         i;
    ngx_uint_t                         states[NGX_HTTP_CLAUDE_RELAY_STATES];
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_account_t  **a;

    ngx_memzero(states, sizeof(states));

    json = cJSON_CreateObject();
    ngx_http_claude_relay_show_str(json, "name", &group->name);
    list = cJSON_AddArrayToObject(json, "members");

    a = group->accounts.elts;

    for (i = 0; i < group->accounts.nelts; i++) {

        ngx_http_claude_relay_view(call->rmcf, a[i], now, &view);
        states[ngx_http_claude_relay_state(view.state)]++;

        platform = ngx_http_claude_relay_str(&a[i]->platform->name);

        member = cJSON_CreateObject();
        ngx_http_claude_relay_show_str(member, "name", &a[i]->name);
        ngx_http_claude_relay_show_str(member, "platform", &platform);
        ngx_http_claude_relay_show_str(member, "pool", &a[i]->pool);
        (void) cJSON_AddStringToObject(member, "type",
                                       a[i]->dedicated ? "dedicated"
                                                       : "shared");
        (void) cJSON_AddStringToObject(member, "state", view.state);

        if (view.why) {
            (void) cJSON_AddStringToObject(member, "why", view.why);
        }

        if (view.until) {
            ngx_http_claude_relay_show_time(member, "until", view.until);
        }

        (void) cJSON_AddItemToArray(list, member);
    }

    (void) cJSON_AddNumberToObject(json, "total",
                                   (double) group->accounts.nelts);

    ngx_http_claude_relay_show_states(json, states);

    return json;
}
