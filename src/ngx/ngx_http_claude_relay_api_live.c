
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Requests under way: which there are, who has how many, and their end. */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_live.h"


#define NGX_HTTP_CLAUDE_RELAY_LIST      100
#define NGX_HTTP_CLAUDE_RELAY_LIST_MAX  1000

/* a worker ends a request at the next turn of its loop; this long is waited
 * for it, ms */
#define NGX_HTTP_CLAUDE_RELAY_END_WAIT  1000
#define NGX_HTTP_CLAUDE_RELAY_END_STEP  5

/* waits for a limit that are older say nothing of now, ms */
#define NGX_HTTP_CLAUDE_RELAY_LATELY    300000


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_FILTER_KEY = 0,
    NGX_HTTP_CLAUDE_RELAY_FILTER_USER,
    NGX_HTTP_CLAUDE_RELAY_FILTER_ACCOUNT,
    NGX_HTTP_CLAUDE_RELAY_FILTER_MODEL,
    NGX_HTTP_CLAUDE_RELAY_FILTER_STATE,
    NGX_HTTP_CLAUDE_RELAY_FILTER_LIMIT,
    NGX_HTTP_CLAUDE_RELAY_FILTERS
} ngx_http_claude_relay_filter_e;


typedef struct {
    ngx_str_t                          filter[NGX_HTTP_CLAUDE_RELAY_FILTERS];
    ngx_int_t                          state;       /* -1: any */
    uint32_t                           account;     /* 0: any */
    ngx_uint_t                         limit;
    ngx_array_t                        list;        /* of ..._live_t */
    ngx_msec_t                         until;
    cJSON                             *ids;         /* of what was ended */
} ngx_http_claude_relay_lives_t;


static void ngx_http_claude_relay_api_requests(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_request_show(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_request_end(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_request_ended(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_concurrency(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_release(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_released(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_lives_t *ngx_http_claude_relay_lives(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_lives_filter(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_lives_t *lives);
static ngx_int_t ngx_http_claude_relay_lives_gather(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_lives_t *lives);
static ngx_uint_t ngx_http_claude_relay_lives_match(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_lives_t *lives,
    ngx_http_claude_relay_live_t *live);
static ngx_uint_t ngx_http_claude_relay_lives_text(ngx_str_t *filter,
    u_char *text, size_t len);
static ngx_http_claude_relay_live_t *ngx_http_claude_relay_lives_find(
    ngx_http_claude_relay_call_t *call);
static ngx_uint_t ngx_http_claude_relay_lives_left(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_lives_t *lives);
static ngx_http_claude_relay_account_t *ngx_http_claude_relay_lives_account(
    ngx_http_claude_relay_call_t *call, uint32_t number);
static cJSON *ngx_http_claude_relay_show_live(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_live_t *live);
static cJSON *ngx_http_claude_relay_show_tries(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_live_t *live);
static void ngx_http_claude_relay_show_address(cJSON *json,
    ngx_http_claude_relay_live_t *live);
static void ngx_http_claude_relay_show_slots(
    ngx_http_claude_relay_call_t *call, cJSON *list);
static void ngx_http_claude_relay_show_sums(
    ngx_http_claude_relay_lives_t *lives, cJSON *list, const char *name,
    size_t text, size_t len);
static void ngx_http_claude_relay_show_waits(
    ngx_http_claude_relay_call_t *call, cJSON *json);
static int ngx_libc_cdecl ngx_http_claude_relay_live_older(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_http_claude_relay_live_longer(const void *one,
    const void *two);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_live_ways[] = {

    { NGX_HTTP_GET, "/v1/requests", ngx_http_claude_relay_api_requests,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/requests/*", ngx_http_claude_relay_api_request_show,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/requests/*", ngx_http_claude_relay_api_request_end,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/concurrency", ngx_http_claude_relay_api_concurrency,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/concurrency/release",
      ngx_http_claude_relay_api_release, NCR_ROLE_OPERATOR, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static const char *const  ngx_http_claude_relay_live_filters[] = {
    "key", "user", "account", "model", "state", "limit", NULL
};

static const char *const  ngx_http_claude_relay_live_states[] = {
    "body", "queued", "waiting", "connecting", "first-byte", "answering"
};


static void
ngx_http_claude_relay_api_requests(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json, *list;
    ngx_uint_t                      i;
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    lives = ngx_http_claude_relay_lives(call);

    if (lives == NULL
        || ngx_http_claude_relay_lives_filter(call, lives) != NGX_OK
        || ngx_http_claude_relay_lives_gather(call, lives) != NGX_OK)
    {
        return;
    }

    live = lives->list.elts;

    ngx_qsort(live, lives->list.nelts, sizeof(ngx_http_claude_relay_live_t),
              ngx_http_claude_relay_live_older);

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "requests");

    for (i = 0; i < lives->list.nelts && i < lives->limit; i++) {
        (void) cJSON_AddItemToArray(list,
                               ngx_http_claude_relay_show_live(call, &live[i]));
    }

    (void) cJSON_AddNumberToObject(json, "total",
                                   (double) lives->list.nelts);
    (void) cJSON_AddNumberToObject(json, "unlisted",
                                   (double) call->rmcf->zone->unlisted);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_api_request_show(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_live_t  *live;

    live = ngx_http_claude_relay_lives_find(call);

    if (live) {
        ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                            ngx_http_claude_relay_show_live(call, live), 0);
    }
}


static void
ngx_http_claude_relay_api_request_end(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    /* whoever sees everything but may change nothing */

    if (call->caller.role == NCR_ROLE_VIEWER) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "this takes the role \"operator\"");
        return;
    }

    live = ngx_http_claude_relay_lives_find(call);

    if (live == NULL) {
        return;
    }

    lives = call->data;

    if (ngx_http_claude_relay_live_mark(call->rmcf, live) == NGX_OK) {
        ngx_http_claude_relay_live_ring(call->rmcf);

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "control: request %*s was ended by %V",
                      (size_t) NGX_HTTP_CLAUDE_RELAY_LIVE_ID, live->id,
                      &call->caller.who);
    }

    lives->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_END_WAIT;

    ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_END_STEP,
                                     ngx_http_claude_relay_api_request_ended);
}


static void
ngx_http_claude_relay_api_request_ended(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json;
    ngx_uint_t                      left;
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    lives = call->data;
    live = lives->list.elts;

    left = ngx_http_claude_relay_lives_left(call, lives);

    if (left && (ngx_msec_int_t) (lives->until - ngx_current_msec) > 0) {
        ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_END_STEP,
                                     ngx_http_claude_relay_api_request_ended);
        return;
    }

    json = ngx_http_claude_relay_show_live(call, live);

    (void) cJSON_AddBoolToObject(json, "ended", left == 0);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_api_concurrency(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json, *waits;
    ngx_str_t                       none[1];
    ngx_http_claude_relay_lives_t  *lives;

    static const char *const  names[] = { NULL };

    lives = ngx_http_claude_relay_lives(call);

    if (lives == NULL
        || ngx_http_claude_relay_call_query(call, names, none) != NGX_OK
        || ngx_http_claude_relay_lives_gather(call, lives) != NGX_OK)
    {
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(json, "requests",
                                   (double) lives->list.nelts);
    (void) cJSON_AddNumberToObject(json, "waiting",
                                   (double) call->rmcf->zone->waiting);
    (void) cJSON_AddNumberToObject(json, "unlisted",
                                   (double) call->rmcf->zone->unlisted);

    ngx_http_claude_relay_show_slots(call,
                                 cJSON_AddArrayToObject(json, "accounts"));

    ngx_http_claude_relay_show_sums(lives,
                                cJSON_AddArrayToObject(json, "keys"), "key",
                                offsetof(ngx_http_claude_relay_live_t, key),
                                offsetof(ngx_http_claude_relay_live_t,
                                         key_len));
    ngx_http_claude_relay_show_sums(lives,
                                cJSON_AddArrayToObject(json, "users"), "user",
                                offsetof(ngx_http_claude_relay_live_t, user),
                                offsetof(ngx_http_claude_relay_live_t,
                                         user_len));
    ngx_http_claude_relay_show_sums(lives,
                                cJSON_AddArrayToObject(json, "pools"), "pool",
                                offsetof(ngx_http_claude_relay_live_t, pool),
                                offsetof(ngx_http_claude_relay_live_t,
                                         pool_len));

    waits = cJSON_AddObjectToObject(json, "waits");
    ngx_http_claude_relay_show_waits(call, waits);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/*
 * A slot is what a request has: it is counted from the leases of living
 * workers, so there is none to be freed but by the end of its request.
 */

static void
ngx_http_claude_relay_api_release(ngx_http_claude_relay_call_t *call)
{
    char                           *text;
    cJSON                          *values[3];
    ngx_uint_t                      i, n;
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    static const char *const  names[] = { "key", "user", "account", NULL };

    lives = ngx_http_claude_relay_lives(call);

    if (lives == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    n = 0;

    for (i = 0; i < 3; i++) {

        if (ngx_http_claude_relay_call_text(call, values[i], names[i],
                                            NGX_HTTP_CLAUDE_RELAY_NAME_LEN - 1,
                                            &text)
            != NGX_OK)
        {
            return;
        }

        if (text) {
            lives->filter[i].data = (u_char *) text;
            lives->filter[i].len = ngx_strlen(text);
            n++;
        }
    }

    if (n == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                             "\"account\", \"key\" or \"user\" is missing");
        return;
    }

    if (ngx_http_claude_relay_lives_filter(call, lives) != NGX_OK
        || ngx_http_claude_relay_lives_gather(call, lives) != NGX_OK)
    {
        return;
    }

    live = lives->list.elts;

    for (i = 0; i < lives->list.nelts; i++) {
        (void) ngx_http_claude_relay_live_mark(call->rmcf, &live[i]);
    }

    ngx_http_claude_relay_live_ring(call->rmcf);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "control: %ui requests were ended by %V",
                  lives->list.nelts, &call->caller.who);

    lives->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_END_WAIT;

    ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_END_STEP,
                                     ngx_http_claude_relay_api_released);
}


static void
ngx_http_claude_relay_api_released(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json, *list;
    ngx_str_t                       id;
    ngx_uint_t                      i, left;
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    lives = call->data;

    left = ngx_http_claude_relay_lives_left(call, lives);

    if (left && (ngx_msec_int_t) (lives->until - ngx_current_msec) > 0) {
        ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_END_STEP,
                                         ngx_http_claude_relay_api_released);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(json, "ended",
                                   (double) (lives->list.nelts - left));
    (void) cJSON_AddNumberToObject(json, "left", (double) left);

    list = cJSON_AddArrayToObject(json, "requests");
    live = lives->list.elts;

    for (i = 0; i < lives->list.nelts && i < NGX_HTTP_CLAUDE_RELAY_LIST_MAX;
         i++)
    {
        id.data = live[i].id;
        id.len = NGX_HTTP_CLAUDE_RELAY_LIVE_ID;

        (void) cJSON_AddItemToArray(list,
                                    ngx_http_claude_relay_json_str(&id));
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static ngx_http_claude_relay_lives_t *
ngx_http_claude_relay_lives(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_lives_t  *lives;

    lives = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_lives_t));

    if (lives == NULL
        || ngx_array_init(&lives->list, call->pool,
                          2 * NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS,
                          sizeof(ngx_http_claude_relay_live_t))
           != NGX_OK)
    {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    lives->state = -1;
    lives->limit = NGX_HTTP_CLAUDE_RELAY_LIST;

    call->data = lives;

    return lives;
}


/* of the query, or of a body, whose members are in place already */

static ngx_int_t
ngx_http_claude_relay_lives_filter(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_lives_t *lives)
{
    ngx_int_t                         n;
    ngx_str_t                        *filter;
    ngx_uint_t                        i;
    ngx_http_claude_relay_account_t  *a;

    filter = lives->filter;

    if (call->way->method == NGX_HTTP_GET
        && ngx_http_claude_relay_call_query(call,
                                  ngx_http_claude_relay_live_filters, filter)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (filter[NGX_HTTP_CLAUDE_RELAY_FILTER_STATE].data) {

        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_LIVE_STATES; i++) {
            if (ncr_str_eq(ncr(&filter[NGX_HTTP_CLAUDE_RELAY_FILTER_STATE]),
                           ngx_http_claude_relay_live_states[i]))
            {
                lives->state = i;
            }
        }

        if (lives->state == -1) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                             "\"state\" must be \"body\", \"queued\", "
                             "\"waiting\", \"connecting\", \"first-byte\" or "
                             "\"answering\"");
            return NGX_ERROR;
        }
    }

    n = ngx_http_claude_relay_call_limit(call,
                                &filter[NGX_HTTP_CLAUDE_RELAY_FILTER_LIMIT],
                                NGX_HTTP_CLAUDE_RELAY_LIST,
                                NGX_HTTP_CLAUDE_RELAY_LIST_MAX);
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    lives->limit = n;

    if (call->own.len && filter[NGX_HTTP_CLAUDE_RELAY_FILTER_USER].data
        && (filter[NGX_HTTP_CLAUDE_RELAY_FILTER_USER].len != call->own.len
            || ngx_memcmp(filter[NGX_HTTP_CLAUDE_RELAY_FILTER_USER].data,
                          call->own.data, call->own.len)
               != 0))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "these are another user's");
        return NGX_ERROR;
    }

    if (filter[NGX_HTTP_CLAUDE_RELAY_FILTER_ACCOUNT].data) {

        a = ngx_http_claude_relay_roster_find(call->roster,
                               &filter[NGX_HTTP_CLAUDE_RELAY_FILTER_ACCOUNT]);
        if (a == NULL) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                             "there is no account \"%V\"",
                             &filter[NGX_HTTP_CLAUDE_RELAY_FILTER_ACCOUNT]);
            return NGX_ERROR;
        }

        lives->account = (uint32_t) a->node->number;
    }

    return NGX_OK;
}


/* page by page: the zone's lock is held for one of them */

static ngx_int_t
ngx_http_claude_relay_lives_gather(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_lives_t *lives)
{
    ngx_uint_t                      i, n, row, page;
    ngx_http_claude_relay_live_t   *to,
                                slots[NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS];

    row = 0;
    page = 0;

    while (ngx_http_claude_relay_live_copy(call->rmcf, &row, &page, slots, &n)
           == NGX_OK)
    {
        for (i = 0; i < n; i++) {

            if (!ngx_http_claude_relay_lives_match(call, lives, &slots[i])) {
                continue;
            }

            to = ngx_array_push(&lives->list);

            if (to == NULL) {
                ngx_http_claude_relay_call_memory(call);
                return NGX_ERROR;
            }

            *to = slots[i];
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_claude_relay_lives_match(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_lives_t *lives, ngx_http_claude_relay_live_t *live)
{
    ngx_str_t  model, *filter;

    filter = lives->filter;

    if (call->own.len
        && !ngx_http_claude_relay_lives_text(&call->own, live->user,
                                             live->user_len))
    {
        return 0;
    }

    /* of a long name the beginning is kept */

    model = filter[NGX_HTTP_CLAUDE_RELAY_FILTER_MODEL];
    model.len = ngx_min(model.len, sizeof(live->model));

    return ngx_http_claude_relay_lives_text(
                                    &filter[NGX_HTTP_CLAUDE_RELAY_FILTER_KEY],
                                    live->key, live->key_len)
           && ngx_http_claude_relay_lives_text(
                                   &filter[NGX_HTTP_CLAUDE_RELAY_FILTER_USER],
                                   live->user, live->user_len)
           && ngx_http_claude_relay_lives_text(&model, live->model,
                                               live->model_len)
           && (lives->account == 0 || lives->account == live->account)
           && (lives->state == -1 || lives->state == live->state);
}


static ngx_uint_t
ngx_http_claude_relay_lives_text(ngx_str_t *filter, u_char *text, size_t len)
{
    return filter->data == NULL
           || (filter->len == len && ngx_memcmp(filter->data, text, len) == 0);
}


/* that of call->name, alone in the list; NULL: the call has ended */

static ngx_http_claude_relay_live_t *
ngx_http_claude_relay_lives_find(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                       none[1];
    ngx_uint_t                      i, found;
    ngx_http_claude_relay_live_t   *live;
    ngx_http_claude_relay_lives_t  *lives;

    static const char *const  names[] = { NULL };

    lives = ngx_http_claude_relay_lives(call);

    if (lives == NULL
        || ngx_http_claude_relay_call_query(call, names, none) != NGX_OK
        || ngx_http_claude_relay_lives_gather(call, lives) != NGX_OK)
    {
        return NULL;
    }

    live = lives->list.elts;
    found = 0;

    for (i = 0; i < lives->list.nelts; i++) {
        if (call->name.len == NGX_HTTP_CLAUDE_RELAY_LIVE_ID
            && ngx_memcmp(call->name.data, live[i].id, call->name.len) == 0)
        {
            live[0] = live[i];
            found = 1;
            break;
        }
    }

    lives->list.nelts = found;

    if (!found) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no such request now");
        return NULL;
    }

    return live;
}


/* of those in the list */

static ngx_uint_t
ngx_http_claude_relay_lives_left(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_lives_t *lives)
{
    ngx_uint_t                     i, n;
    ngx_http_claude_relay_live_t  *live;

    live = lives->list.elts;
    n = 0;

    for (i = 0; i < lives->list.nelts; i++) {
        n += ngx_http_claude_relay_live_there(call->rmcf, &live[i]);
    }

    return n;
}


static ngx_http_claude_relay_account_t *
ngx_http_claude_relay_lives_account(ngx_http_claude_relay_call_t *call,
    uint32_t number)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = call->roster->accounts.elts;

    for (i = 0; number && i < call->roster->accounts.nelts; i++) {
        if ((uint32_t) a[i]->node->number == number) {
            return a[i];
        }
    }

    return NULL;
}


static cJSON *
ngx_http_claude_relay_show_live(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_live_t *live)
{
    cJSON                            *json;
    ngx_str_t                         s;
    ncr_msec_t                        now;
    ngx_http_claude_relay_account_t  *a;

    json = cJSON_CreateObject();
    now = ngx_http_claude_relay_now();
    a = ngx_http_claude_relay_lives_account(call, live->account);

    s.data = live->id;
    s.len = NGX_HTTP_CLAUDE_RELAY_LIVE_ID;
    ngx_http_claude_relay_show_str(json, "id", &s);

    (void) cJSON_AddStringToObject(json, "state",
                              ngx_http_claude_relay_live_states[live->state]);
    (void) cJSON_AddStringToObject(json, "op",
                                   (char *) ncr_ops[live->op].name.data);

    s.data = live->key;
    s.len = live->key_len;
    ngx_http_claude_relay_show_str(json, "key", &s);

    s.data = live->user;
    s.len = live->user_len;
    ngx_http_claude_relay_show_str(json, "user", &s);

    s.data = live->pool;
    s.len = live->pool_len;
    ngx_http_claude_relay_show_str(json, "pool", &s);

    if (a) {
        ngx_http_claude_relay_show_str(json, "account", &a->name);
        s = ngx_http_claude_relay_str(&a->platform->name);
        ngx_http_claude_relay_show_str(json, "platform", &s);

    } else {
        (void) cJSON_AddNullToObject(json, "account");
        (void) cJSON_AddNullToObject(json, "platform");
    }

    s.data = live->model;
    s.len = live->model_len;
    ngx_http_claude_relay_show_str(json, "model", &s);

    (void) cJSON_AddBoolToObject(json, "stream", live->stream);
    ngx_http_claude_relay_show_address(json, live);
    ngx_http_claude_relay_show_time(json, "started", live->started);

    (void) cJSON_AddNumberToObject(json, "age_ms",
                            (double) ngx_max(now - live->started, 0));

    if (live->first) {
        (void) cJSON_AddNumberToObject(json, "ttft_ms",
                            (double) ngx_max(live->first - live->started, 0));

    } else {
        (void) cJSON_AddNullToObject(json, "ttft_ms");
    }

    (void) cJSON_AddNumberToObject(json, "bytes", (double) live->bytes);
    (void) cJSON_AddItemToObject(json, "attempts",
                                ngx_http_claude_relay_show_tries(call, live));

    return json;
}


static cJSON *
ngx_http_claude_relay_show_tries(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_live_t *live)
{
    cJSON                             *list, *json;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t   *a;
    ngx_http_claude_relay_live_try_t  *try;

    list = cJSON_CreateArray();

    for (i = 0;
         i < live->ntries && i < NGX_HTTP_CLAUDE_RELAY_LIVE_TRIES;
         i++)
    {
        try = &live->tries[i];
        json = cJSON_CreateObject();
        a = ngx_http_claude_relay_lives_account(call, try->account);

        if (a) {
            ngx_http_claude_relay_show_str(json, "account", &a->name);

        } else {
            (void) cJSON_AddNullToObject(json, "account");
        }

        (void) cJSON_AddNumberToObject(json, "status", try->status);
        (void) cJSON_AddStringToObject(json, "class",
                                       ncr_class_name(try->class));
        (void) cJSON_AddNumberToObject(json, "ms", try->ms);

        (void) cJSON_AddItemToArray(list, json);
    }

    return list;
}


static void
ngx_http_claude_relay_show_address(cJSON *json,
    ngx_http_claude_relay_live_t *live)
{
    u_char     text[NGX_INET6_ADDRSTRLEN];
    ngx_str_t  s;

    if (live->family == 0) {
        (void) cJSON_AddNullToObject(json, "address");
        return;
    }

    s.data = text;
    s.len = ngx_inet_ntop(live->family, live->address, text, sizeof(text));

    ngx_http_claude_relay_show_str(json, "address", &s);
}


static void
ngx_http_claude_relay_show_slots(ngx_http_claude_relay_call_t *call,
    cJSON *list)
{
    cJSON                             *json;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {
        json = cJSON_CreateObject();

        ngx_http_claude_relay_show_str(json, "account", &a[i]->name);
        ngx_http_claude_relay_show_str(json, "pool", &a[i]->pool);

        (void) cJSON_AddNumberToObject(json, "in_flight",
                                       (double) a[i]->node->inflight);
        (void) cJSON_AddNumberToObject(json, "max_concurrency",
                                       (double) a[i]->max_concurrency);

        (void) cJSON_AddItemToArray(list, json);
    }
}


/* how many requests there are of each name, and in which states */

static void
ngx_http_claude_relay_show_sums(ngx_http_claude_relay_lives_t *lives,
    cJSON *list, const char *name, size_t text, size_t len)
{
    cJSON                         *json, **sums;
    u_char                        *p;
    ngx_str_t                      s;
    ngx_uint_t                     i, j, k, *n;
    ngx_http_claude_relay_live_t  *live;

    /* requests, and those of each state, for each name found so far */

    n = ngx_pcalloc(lives->list.pool, (lives->list.nelts + 1)
                           * (NGX_HTTP_CLAUDE_RELAY_LIVE_STATES + 1)
                           * sizeof(ngx_uint_t));
    sums = ngx_pcalloc(lives->list.pool, (lives->list.nelts + 1)
                                         * sizeof(cJSON *));

    if (n == NULL || sums == NULL) {
        return;
    }

    live = lives->list.elts;

    for (i = 0; i < lives->list.nelts; i++) {

        p = (u_char *) &live[i];

        s.data = p + text;
        s.len = p[len];

        if (s.len == 0) {
            continue;
        }

        /* the first one of the name has its numbers */

        for (j = 0; j < i; j++) {
            p = (u_char *) &live[j];

            if (p[len] == s.len && ngx_memcmp(p + text, s.data, s.len) == 0) {
                break;
            }
        }

        if (j == i) {
            sums[j] = cJSON_CreateObject();
            ngx_http_claude_relay_show_str(sums[j], name, &s);
        }

        k = j * (NGX_HTTP_CLAUDE_RELAY_LIVE_STATES + 1);

        n[k + NGX_HTTP_CLAUDE_RELAY_LIVE_STATES]++;
        n[k + live[i].state]++;
    }

    for (i = 0; i < lives->list.nelts; i++) {

        json = sums[i];

        if (json == NULL) {
            continue;
        }

        k = i * (NGX_HTTP_CLAUDE_RELAY_LIVE_STATES + 1);

        (void) cJSON_AddNumberToObject(json, "requests",
                         (double) n[k + NGX_HTTP_CLAUDE_RELAY_LIVE_STATES]);
        (void) cJSON_AddNumberToObject(json, "queued",
                         (double) n[k + NGX_HTTP_CLAUDE_RELAY_LIVE_QUEUED]);
        (void) cJSON_AddNumberToObject(json, "waiting",
                         (double) n[k + NGX_HTTP_CLAUDE_RELAY_LIVE_WAITING]);
        (void) cJSON_AddNumberToObject(json, "answering",
                         (double) n[k
                                    + NGX_HTTP_CLAUDE_RELAY_LIVE_ANSWERING]);

        (void) cJSON_AddItemToArray(list, json);
    }
}


/* waits for limits that have room again, lately */

static void
ngx_http_claude_relay_show_waits(ngx_http_claude_relay_call_t *call,
    cJSON *json)
{
    ngx_msec_t                         sorted[NGX_HTTP_CLAUDE_RELAY_WAITS];
    ngx_uint_t                         i, n;
    ngx_http_claude_relay_waits_t      waits;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);
    waits = call->rmcf->zone->waits;
    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    n = 0;

    for (i = 0; i < ngx_min(waits.n, NGX_HTTP_CLAUDE_RELAY_WAITS); i++) {
        if (ngx_current_msec - waits.at[i] <= NGX_HTTP_CLAUDE_RELAY_LATELY) {
            sorted[n++] = waits.wait[i];
        }
    }

    ngx_qsort(sorted, n, sizeof(ngx_msec_t),
              ngx_http_claude_relay_live_longer);

    (void) cJSON_AddNumberToObject(json, "samples", (double) n);

    if (n == 0) {
        (void) cJSON_AddNullToObject(json, "p50_ms");
        (void) cJSON_AddNullToObject(json, "p90_ms");
        (void) cJSON_AddNullToObject(json, "p99_ms");
        return;
    }

    (void) cJSON_AddNumberToObject(json, "p50_ms",
                                   (double) sorted[(n * 50 - 1) / 100]);
    (void) cJSON_AddNumberToObject(json, "p90_ms",
                                   (double) sorted[(n * 90 - 1) / 100]);
    (void) cJSON_AddNumberToObject(json, "p99_ms",
                                   (double) sorted[(n * 99 - 1) / 100]);
}


static int ngx_libc_cdecl
ngx_http_claude_relay_live_older(const void *one, const void *two)
{
    const ngx_http_claude_relay_live_t *a = one;
    const ngx_http_claude_relay_live_t *b = two;

    if (a->started != b->started) {
        return (a->started < b->started) ? -1 : 1;
    }

    return ngx_memcmp(a->id, b->id, sizeof(a->id));
}


static int ngx_libc_cdecl
ngx_http_claude_relay_live_longer(const void *one, const void *two)
{
    const ngx_msec_t *a = one;
    const ngx_msec_t *b = two;

    return (*a > *b) - (*a < *b);
}
