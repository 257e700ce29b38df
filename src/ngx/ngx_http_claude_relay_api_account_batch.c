
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The same for many accounts: each is a call of its own, with its own result,
 * and two of them are under way at a time.  And a test of everything, which
 * is a test of each account, and of what locations make of them.
 */


#include "ngx_http_claude_relay_api.h"


#define NGX_HTTP_CLAUDE_RELAY_BATCH     500
#define NGX_HTTP_CLAUDE_RELAY_AT_ONCE   2


typedef struct ngx_http_claude_relay_batch_s  ngx_http_claude_relay_batch_t;

typedef void (*ngx_http_claude_relay_batch_pt)(
    ngx_http_claude_relay_batch_t *batch);


typedef struct {
    ngx_str_t                          name;    /* with a NUL */
    cJSON                             *result;  /* of the list */
    ngx_http_claude_relay_way_t       *way;
    ngx_http_claude_relay_account_t   *account; /* of the call's roster */
    ngx_uint_t                         ok;
} ngx_http_claude_relay_batched_t;


struct ngx_http_claude_relay_batch_s {
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_batched_t   *item;
    ngx_uint_t                         n;
    ngx_uint_t                         next;
    ngx_uint_t                         running;
    ngx_uint_t                         failed;
    cJSON                             *settings;    /* of the call's body */
    cJSON                             *list;
    cJSON                             *routes;  /* of a test of everything */
    ngx_http_claude_relay_batch_pt     done;
    unsigned                           pumping:1;
    unsigned                           test:1;
};


typedef struct {
    const char                        *name;
    ngx_http_claude_relay_way_t       *way;
    const char                        *member;  /* of the body, or NULL */
    ngx_uint_t                         value;
} ngx_http_claude_relay_deed_t;


static void ngx_http_claude_relay_api_batch(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_test_all(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_batch_t *ngx_http_claude_relay_batch(
    ngx_http_claude_relay_call_t *call, ngx_uint_t n);
static ngx_int_t ngx_http_claude_relay_batch_names(
    ngx_http_claude_relay_batch_t *batch, cJSON *names);
static ngx_int_t ngx_http_claude_relay_batch_filter(
    ngx_http_claude_relay_batch_t *batch,
    ngx_http_claude_relay_filter_t *filter, ngx_uint_t enabled);
static ngx_int_t ngx_http_claude_relay_batch_add(
    ngx_http_claude_relay_batch_t *batch, ngx_str_t *name,
    ngx_http_claude_relay_way_t *way, cJSON *list);
static void ngx_http_claude_relay_batch_pump(
    ngx_http_claude_relay_batch_t *batch);
static cJSON *ngx_http_claude_relay_batch_body(
    ngx_http_claude_relay_batch_t *batch);
static void ngx_http_claude_relay_batch_ended(
    ngx_http_claude_relay_call_t *whole, ngx_uint_t number, ngx_uint_t status,
    ngx_str_t *text);
static void ngx_http_claude_relay_batch_result(
    ngx_http_claude_relay_batch_t *batch,
    ngx_http_claude_relay_batched_t *item, ngx_uint_t status, cJSON *json);
static void ngx_http_claude_relay_batch_done(
    ngx_http_claude_relay_batch_t *batch);
static void ngx_http_claude_relay_test_routes(
    ngx_http_claude_relay_batch_t *batch);
static ngx_int_t ngx_http_claude_relay_test_route(
    ngx_http_claude_relay_batch_t *batch, ngx_uint_t tested,
    ngx_http_claude_relay_route_conf_t *route);
static cJSON *ngx_http_claude_relay_test_place(
    ngx_http_claude_relay_route_conf_t *route, const char *kind);
static ngx_uint_t ngx_http_claude_relay_route_takes(
    ngx_http_claude_relay_route_conf_t *route,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_test_done(
    ngx_http_claude_relay_batch_t *batch);


/* what a part is: the ways of one account */

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_patch =
    { NGX_HTTP_PATCH, "/v1/accounts/*", ngx_http_claude_relay_api_patch,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 };

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_remove =
    { NGX_HTTP_DELETE, "/v1/accounts/*", ngx_http_claude_relay_api_remove,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 };

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_reset =
    { NGX_HTTP_POST, "/v1/accounts/*/reset", ngx_http_claude_relay_api_reset,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 };

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_refresh =
    { NGX_HTTP_POST, "/v1/accounts/*/refresh",
      ngx_http_claude_relay_api_refresh,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 };

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_test =
    { NGX_HTTP_POST, "/v1/accounts/*/test", ngx_http_claude_relay_api_test,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 };

static ngx_http_claude_relay_way_t  ngx_http_claude_relay_part_count =
    { NGX_HTTP_POST, "/v1/accounts/*/test",
      ngx_http_claude_relay_api_test_count,
      NCR_ROLE_OPERATOR, 1, 0, 0, 1 };


static ngx_http_claude_relay_deed_t  ngx_http_claude_relay_deeds[] = {
    { "enable", &ngx_http_claude_relay_part_patch, "enabled", 1 },
    { "disable", &ngx_http_claude_relay_part_patch, "enabled", 0 },
    { "patch", &ngx_http_claude_relay_part_patch, NULL, 0 },
    { "remove", &ngx_http_claude_relay_part_remove, NULL, 0 },
    { "reset", &ngx_http_claude_relay_part_reset, NULL, 0 },
    { "refresh", &ngx_http_claude_relay_part_refresh, NULL, 0 },
    { "test", &ngx_http_claude_relay_part_test, NULL, 0 },
    { NULL, NULL, NULL, 0 }
};


ngx_http_claude_relay_way_t  ngx_http_claude_relay_batch_ways[] = {

    { NGX_HTTP_POST, "/v1/accounts/batch", ngx_http_claude_relay_api_batch,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/test", ngx_http_claude_relay_api_test_all,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_batch(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *values[4];
    ngx_uint_t                       i;
    const char                      *wrong;
    ngx_http_claude_relay_deed_t    *deed;
    ngx_http_claude_relay_batch_t   *batch;
    ngx_http_claude_relay_filter_t   filter;

    static const char *const  names[] = { "names", "filter", "do", "settings",
                                          NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK)
    {
        return;
    }

    for (deed = ngx_http_claude_relay_deeds; deed->name; deed++) {
        if (cJSON_IsString(values[2])
            && ngx_strcmp(values[2]->valuestring, deed->name) == 0)
        {
            break;
        }
    }

    wrong = NULL;

    if (deed->name == NULL) {
        wrong = "\"do\" must be \"enable\", \"disable\", \"reset\", "
                "\"refresh\", \"test\", \"remove\" or \"patch\"";

    } else if ((values[0] == NULL) == (values[1] == NULL)) {
        wrong = "it is either \"names\" or a \"filter\"";

    } else if ((ngx_strcmp(deed->name, "patch") == 0)
               != (values[3] != NULL))
    {
        wrong = "\"settings\" are for \"patch\", which takes some";

    } else if (values[3] && !cJSON_IsObject(values[3])) {
        wrong = "\"settings\" must be an object";
    }

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", wrong);
        return;
    }

    if (deed->way->store && call->rmcf->store == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "there is no "
                                         "\"claude_relay_store\"");
        return;
    }

    batch = ngx_http_claude_relay_batch(call, NGX_HTTP_CLAUDE_RELAY_BATCH);

    if (batch == NULL) {
        return;
    }

    batch->done = ngx_http_claude_relay_batch_done;
    batch->settings = values[3];
    batch->test = (deed->way == &ngx_http_claude_relay_part_test);

    if (deed->member) {
        batch->settings = cJSON_AddObjectToObject(call->body, "settings");
        (void) cJSON_AddBoolToObject(batch->settings, deed->member,
                                     deed->value);
    }

    if (values[0]) {

        if (ngx_http_claude_relay_batch_names(batch, values[0]) != NGX_OK) {
            return;
        }

    } else if (ngx_http_claude_relay_filter_json(call, values[1], &filter)
               != NGX_OK
               || ngx_http_claude_relay_batch_filter(batch, &filter, 0)
                  != NGX_OK)
    {
        return;
    }

    for (i = 0; i < batch->n; i++) {
        batch->item[i].way = deed->way;
    }

    ngx_http_claude_relay_batch_pump(batch);
}


/* for n accounts at most; NULL: the call has ended */

static ngx_http_claude_relay_batch_t *
ngx_http_claude_relay_batch(ngx_http_claude_relay_call_t *call, ngx_uint_t n)
{
    ngx_http_claude_relay_batch_t  *batch;

    batch = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_batch_t));

    if (batch == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    batch->item = ngx_pcalloc(call->pool,
                              (n + 1)
                              * sizeof(ngx_http_claude_relay_batched_t));

    if (batch->item == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    batch->call = call;
    call->data = batch;

    /* it goes with the body, should the call not come to its answer */

    batch->list = cJSON_AddArrayToObject(call->body, "results");

    return batch;
}


static ngx_int_t
ngx_http_claude_relay_batch_names(ngx_http_claude_relay_batch_t *batch,
    cJSON *names)
{
    cJSON       *item;
    ngx_str_t    name;
    ngx_uint_t   i, n;

    n = cJSON_IsArray(names) ? cJSON_GetArraySize(names) : 0;

    if (n == 0 || n > NGX_HTTP_CLAUDE_RELAY_BATCH) {
        goto bad;
    }

    cJSON_ArrayForEach(item, names) {

        if (!cJSON_IsString(item)) {
            goto bad;
        }

        name.data = (u_char *) item->valuestring;
        name.len = ngx_strlen(name.data);

        for (i = 0; i < batch->n; i++) {
            if (batch->item[i].name.len == name.len
                && ngx_memcmp(batch->item[i].name.data, name.data, name.len)
                   == 0)
            {
                goto bad;
            }
        }

        if (ngx_http_claude_relay_batch_add(batch, &name, NULL, batch->list)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;

bad:

    ngx_http_claude_relay_call_error(batch->call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"names\" must be an array of 1 to %d "
                                     "different names",
                                     NGX_HTTP_CLAUDE_RELAY_BATCH);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_batch_filter(ngx_http_claude_relay_batch_t *batch,
    ngx_http_claude_relay_filter_t *filter, ngx_uint_t enabled)
{
    ncr_msec_t                         now;
    ngx_uint_t                         i;
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_account_t  **a;

    call = batch->call;
    now = ngx_http_claude_relay_now();
    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {

        if (!ngx_http_claude_relay_filter_matches(filter, a[i])) {
            continue;
        }

        ngx_http_claude_relay_view(call->rmcf, a[i], now, &view);

        if ((filter->state.data
             && !ncr_str_eq(ncr(&filter->state), view.state))
            || (enabled && ngx_strcmp(view.state, "disabled") == 0))
        {
            continue;
        }

        if (batch->n == NGX_HTTP_CLAUDE_RELAY_BATCH) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "more than %d accounts are "
                                             "meant: use a narrower filter",
                                             NGX_HTTP_CLAUDE_RELAY_BATCH);
            return NGX_ERROR;
        }

        batch->item[batch->n].account = a[i];

        if (ngx_http_claude_relay_batch_add(batch, &a[i]->name, NULL,
                                            batch->list)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_batch_add(ngx_http_claude_relay_batch_t *batch,
    ngx_str_t *name, ngx_http_claude_relay_way_t *way, cJSON *list)
{
    ngx_http_claude_relay_batched_t  *item;

    item = &batch->item[batch->n];

    item->way = way;
    item->name.len = name->len;
    item->name.data = ngx_pnalloc(batch->call->pool, name->len + 1);
    item->result = cJSON_CreateObject();

    if (item->name.data == NULL || item->result == NULL) {
        cJSON_Delete(item->result);
        ngx_http_claude_relay_call_memory(batch->call);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(item->name.data, name->data, name->len + 1);

    ngx_http_claude_relay_show_str(item->result, "name", &item->name);
    (void) cJSON_AddItemToArray(list, item->result);

    batch->n++;

    return NGX_OK;
}


/* those that end at once do not end inside of each other */

static void
ngx_http_claude_relay_batch_pump(ngx_http_claude_relay_batch_t *batch)
{
    ngx_uint_t                        i;
    ngx_http_claude_relay_batched_t  *item;

    if (batch->pumping) {
        return;
    }

    batch->pumping = 1;

    while (batch->running < NGX_HTTP_CLAUDE_RELAY_AT_ONCE
           && batch->next < batch->n)
    {
        i = batch->next++;
        item = &batch->item[i];

        batch->running++;

        ngx_http_claude_relay_call_part(batch->call, item->way, &item->name,
                                    ngx_http_claude_relay_batch_body(batch),
                                    ngx_http_claude_relay_batch_ended, i);
    }

    batch->pumping = 0;

    if (batch->running == 0) {
        batch->done(batch);
    }
}


static cJSON *
ngx_http_claude_relay_batch_body(ngx_http_claude_relay_batch_t *batch)
{
    return batch->settings ? cJSON_Duplicate(batch->settings, 1)
                           : cJSON_CreateObject();
}


static void
ngx_http_claude_relay_batch_ended(ngx_http_claude_relay_call_t *whole,
    ngx_uint_t number, ngx_uint_t status, ngx_str_t *text)
{
    cJSON                          *json;
    ngx_http_claude_relay_batch_t  *batch;

    batch = whole->data;
    batch->running--;

    json = text->len ? cJSON_ParseWithLength((char *) text->data, text->len)
                     : NULL;

    ngx_http_claude_relay_batch_result(batch, &batch->item[number], status,
                                       json);

    cJSON_Delete(json);

    ngx_http_claude_relay_batch_pump(batch);
}


/* of an account no more than what was asked for; the rest has a call */

static void
ngx_http_claude_relay_batch_result(ngx_http_claude_relay_batch_t *batch,
    ngx_http_claude_relay_batched_t *item, ngx_uint_t status, cJSON *json)
{
    cJSON       *value;
    ngx_uint_t   i;

    static const char  *members[] = { "ok", "status", "ms", "model", "error",
                                      NULL };
    static const char  *changed[] = { "version", "state", "error", NULL };
    const char        **member;

    item->ok = (status < 300);

    if (batch->test && status < 300) {
        member = members;
        item->ok = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "ok"));

    } else {
        (void) cJSON_AddBoolToObject(item->result, "ok", item->ok);
        (void) cJSON_AddNumberToObject(item->result, "status",
                                       (double) status);
        member = changed;
    }

    for (i = 0; member[i]; i++) {
        value = cJSON_DetachItemFromObjectCaseSensitive(json, member[i]);

        if (value
            && !cJSON_AddItemToObject(item->result, member[i], value))
        {
            cJSON_Delete(value);
        }
    }

    /* words for people, whichever of the two it was */

    value = cJSON_GetObjectItemCaseSensitive(item->result, "error");
    value = cJSON_GetObjectItemCaseSensitive(value, "message");

    if (cJSON_IsString(value)) {
        value = cJSON_Duplicate(value, 1);

        if (value
            && !cJSON_ReplaceItemInObjectCaseSensitive(item->result, "error",
                                                       value))
        {
            cJSON_Delete(value);
        }
    }

    batch->failed += !item->ok;
}


static void
ngx_http_claude_relay_batch_done(ngx_http_claude_relay_batch_t *batch)
{
    cJSON                         *json;
    ngx_http_claude_relay_call_t  *call;

    call = batch->call;

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "ok", batch->failed == 0);
    (void) cJSON_AddNumberToObject(json, "done",
                                   (double) (batch->n - batch->failed));
    (void) cJSON_AddNumberToObject(json, "failed", (double) batch->failed);
    (void) cJSON_AddItemToObject(json, "results",
                 cJSON_DetachItemFromObjectCaseSensitive(call->body,
                                                         "results"));

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* every enabled account, and then what locations would do with them */

static void
ngx_http_claude_relay_api_test_all(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *values[1];
    ngx_uint_t                       i;
    ngx_http_claude_relay_batch_t   *batch;
    ngx_http_claude_relay_filter_t   filter;

    static const char *const  names[] = { "filter", NULL };

    ngx_memzero(&filter, sizeof(ngx_http_claude_relay_filter_t));

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK
        || (values[0]
            && ngx_http_claude_relay_filter_json(call, values[0], &filter)
               != NGX_OK))
    {
        return;
    }

    batch = ngx_http_claude_relay_batch(call, NGX_HTTP_CLAUDE_RELAY_BATCH
                                              + call->rmcf->routes.nelts);
    if (batch == NULL) {
        return;
    }

    batch->test = 1;
    batch->done = ngx_http_claude_relay_test_routes;
    batch->routes = cJSON_AddArrayToObject(call->body, "routes");

    if (ngx_http_claude_relay_batch_filter(batch, &filter, 1) != NGX_OK) {
        return;
    }

    for (i = 0; i < batch->n; i++) {
        batch->item[i].way = &ngx_http_claude_relay_part_test;
    }

    ngx_http_claude_relay_batch_pump(batch);
}


/*
 * A location serves messages if an account that it may use has answered one;
 * counting is asked of that account by a request of its own.
 */

static void
ngx_http_claude_relay_test_routes(ngx_http_claude_relay_batch_t *batch)
{
    ngx_uint_t                           i, tested;
    ngx_http_claude_relay_route_conf_t  *route;

    batch->done = ngx_http_claude_relay_test_done;
    tested = batch->n;
    route = batch->call->rmcf->routes.elts;

    for (i = 0; i < batch->call->rmcf->routes.nelts; i++) {
        if (ngx_http_claude_relay_test_route(batch, tested, &route[i])
            != NGX_OK)
        {
            return;
        }
    }

    ngx_http_claude_relay_batch_pump(batch);
}


static ngx_int_t
ngx_http_claude_relay_test_route(ngx_http_claude_relay_batch_t *batch,
    ngx_uint_t tested, ngx_http_claude_relay_route_conf_t *route)
{
    cJSON                            *json, *value;
    ngx_uint_t                        i;
    ngx_http_claude_relay_account_t  *a;

    json = ngx_http_claude_relay_test_place(route, "messages");

    for (i = 0; i < tested; i++) {
        if (batch->item[i].ok
            && ngx_http_claude_relay_route_takes(route,
                                                 batch->item[i].account))
        {
            break;
        }
    }

    (void) cJSON_AddItemToArray(batch->routes, json);

    if (i == tested) {
        (void) cJSON_AddFalseToObject(json, "ok");
        (void) cJSON_AddStringToObject(json, "error", "no account that it "
                                       "may use has answered");
        batch->failed++;
        return NGX_OK;
    }

    (void) cJSON_AddTrueToObject(json, "ok");
    ngx_http_claude_relay_show_str(json, "account", &batch->item[i].name);

    value = cJSON_GetObjectItemCaseSensitive(batch->item[i].result, "status");
    (void) cJSON_AddNumberToObject(json, "status", cJSON_GetNumberValue(value));
    value = cJSON_GetObjectItemCaseSensitive(batch->item[i].result, "ms");
    (void) cJSON_AddNumberToObject(json, "ms", cJSON_GetNumberValue(value));

    a = batch->item[i].account;

    if (!(a->platform->ops & ncr_op_bit(NCR_OP_COUNT_TOKENS))) {
        return NGX_OK;
    }

    /* the result of a part, in the place of a route's */

    if (ngx_http_claude_relay_batch_add(batch, &a->name,
                                        &ngx_http_claude_relay_part_count,
                                        batch->routes)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    json = batch->item[batch->n - 1].result;
    value = cJSON_DetachItemFromObjectCaseSensitive(json, "name");

    (void) cJSON_AddItemToObject(json, "account", value);

    value = ngx_http_claude_relay_test_place(route, "count_tokens");

    while (value->child) {
        json = value->child;
        (void) cJSON_DetachItemViaPointer(value, json);
        (void) cJSON_AddItemToObject(batch->item[batch->n - 1].result,
                                     json->string, json);
    }

    cJSON_Delete(value);

    return NGX_OK;
}


static cJSON *
ngx_http_claude_relay_test_place(ngx_http_claude_relay_route_conf_t *route,
    const char *kind)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "server", &route->server->server_name);
    ngx_http_claude_relay_show_str(json, "location", &route->name);
    ngx_http_claude_relay_show_str(json, "pool", &route->conf->pool_name);
    (void) cJSON_AddStringToObject(json, "route", kind);

    return json;
}


static ngx_uint_t
ngx_http_claude_relay_route_takes(ngx_http_claude_relay_route_conf_t *route,
    ngx_http_claude_relay_account_t *a)
{
    ngx_uint_t        i;
    ncr_platform_t  **platform;

    if (a->dedicated || a->pool.len != route->conf->pool_name.len
        || ngx_memcmp(a->pool.data, route->conf->pool_name.data, a->pool.len)
           != 0)
    {
        return 0;
    }

    if (route->conf->platforms == NULL) {
        return 1;
    }

    platform = route->conf->platforms->elts;

    for (i = 0; i < route->conf->platforms->nelts; i++) {
        if (platform[i] == a->platform) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_test_done(ngx_http_claude_relay_batch_t *batch)
{
    cJSON                         *json, *list;
    ngx_uint_t                     n;
    ngx_http_claude_relay_call_t  *call;

    call = batch->call;

    json = cJSON_CreateObject();

    list = cJSON_DetachItemFromObjectCaseSensitive(call->body, "results");
    n = cJSON_GetArraySize(list);

    (void) cJSON_AddBoolToObject(json, "ok", batch->failed == 0);
    (void) cJSON_AddNumberToObject(json, "failed", (double) batch->failed);
    (void) cJSON_AddItemToObject(json, "accounts", list);

    list = cJSON_DetachItemFromObjectCaseSensitive(call->body, "routes");
    n += cJSON_GetArraySize(list);

    (void) cJSON_AddItemToObject(json, "routes", list);
    (void) cJSON_AddNumberToObject(json, "tested", (double) n);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
