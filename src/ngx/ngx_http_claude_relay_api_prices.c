
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What models cost: the table that is in force, and prices of the operator's
 * in the store, which stand above those of nginx.conf and the built-in ones.
 */


#include "ngx_http_claude_relay_doc.h"
#include "ncr_price_text.h"
#include "ncr_uri.h"
#include "ncr_port.h"


#define NGX_HTTP_CLAUDE_RELAY_PRICES_LIMIT  100
#define NGX_HTTP_CLAUDE_RELAY_PRICES_MOST   1000

#define NGX_HTTP_CLAUDE_RELAY_PRICES_TIERS  (NCR_TIER_BATCH + 1)


typedef struct {
    ngx_str_t                          model;   /* glob, or a model's name */
    ncr_msec_t                         at;
    ngx_uint_t                         page;    /* from 1 */
    ngx_uint_t                         limit;
    ngx_uint_t                         n;       /* rows that fit */
    cJSON                             *rows;
    ngx_http_claude_relay_main_conf_t *rmcf;
} ngx_http_claude_relay_price_list_t;


typedef struct {
    ngx_uint_t                         replace; /* all that was there */
    cJSON                             *body;
    cJSON                             *models;  /* read of the document */
    ngx_uint_t                         n;
} ngx_http_claude_relay_price_import_t;


static void ngx_http_claude_relay_api_prices(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_prices_query(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_price_list_t *list);
static void ngx_http_claude_relay_prices_all(
    ngx_http_claude_relay_price_list_t *list);
static ngx_uint_t ngx_http_claude_relay_prices_above(
    const ncr_prices_t *prices, const ncr_prices_t *table,
    const ncr_price_t *row, ncr_msec_t at);
static void ngx_http_claude_relay_prices_of(
    ngx_http_claude_relay_price_list_t *list);
static void ngx_http_claude_relay_prices_row(
    ngx_http_claude_relay_price_list_t *list, const ncr_price_t *row);
static const char *ngx_http_claude_relay_prices_source(
    ngx_http_claude_relay_main_conf_t *rmcf, const ncr_price_t *row);
static void ngx_http_claude_relay_api_price(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_price(
    ngx_http_claude_relay_call_t *call, const char *data);
static void ngx_http_claude_relay_price_gone(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_price_put(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_price_remove(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_price_edit(
    ngx_http_claude_relay_doc_t *doc, cJSON *json);
static cJSON *ngx_http_claude_relay_price_value(
    ngx_http_claude_relay_doc_t *doc);
static cJSON *ngx_http_claude_relay_price_models(cJSON *json);
static ngx_int_t ngx_http_claude_relay_price_name(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_price_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_prices_import(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_free(void *data);
static ngx_int_t ngx_http_claude_relay_import_edit(
    ngx_http_claude_relay_doc_t *doc, cJSON *json);
static ngx_int_t ngx_http_claude_relay_import_read(
    ngx_http_claude_relay_doc_t *doc);
static ngx_int_t ngx_http_claude_relay_import_document(
    ngx_http_claude_relay_doc_t *doc, cJSON *document);
static ngx_int_t ngx_http_claude_relay_import_table(
    ngx_http_claude_relay_doc_t *doc, ncr_str_t *text);
static void ngx_http_claude_relay_import_done(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_prices_ways[] = {

    { NGX_HTTP_GET, "/v1/prices", ngx_http_claude_relay_api_prices,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/prices/import",
      ngx_http_claude_relay_api_prices_import,
      NCR_ROLE_ADMIN, 1, 1, 2, 0 },

    { NGX_HTTP_GET, "/v1/prices/*", ngx_http_claude_relay_api_price,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_PUT, "/v1/prices/*", ngx_http_claude_relay_api_price_put,
      NCR_ROLE_ADMIN, 1, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/prices/*",
      ngx_http_claude_relay_api_price_remove,
      NCR_ROLE_ADMIN, 1, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_prices(ngx_http_claude_relay_call_t *call)
{
    cJSON                               *json;
    ngx_http_claude_relay_setting_t     *s;
    ngx_http_claude_relay_price_list_t   list;

    if (ngx_http_claude_relay_prices_query(call, &list) != NGX_OK) {
        return;
    }

    list.rmcf = call->rmcf;
    list.n = 0;
    list.rows = cJSON_CreateArray();

    if (list.model.len && ngx_strlchr(list.model.data, list.model.data
                                      + list.model.len, '*') == NULL)
    {
        ngx_http_claude_relay_prices_of(&list);

    } else {
        ngx_http_claude_relay_prices_all(&list);
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "version",
                                   call->rmcf->prices->version);
    (void) cJSON_AddNumberToObject(json, "web_search",
                                   (double) call->rmcf->prices->search / 1e6);
    (void) cJSON_AddNumberToObject(json, "total", (double) list.n);
    (void) cJSON_AddItemToObject(json, "prices", list.rows);

    s = call->rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES];

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json,
                                      s ? s->row.version : 0);
}


static ngx_int_t
ngx_http_claude_relay_prices_query(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_price_list_t *list)
{
    u_char      *p, *buf;
    int64_t      n;
    ncr_str_t    value;
    ngx_str_t    arg;
    const char  *wrong;

    ngx_memzero(list, sizeof(ngx_http_claude_relay_price_list_t));

    list->at = ngx_http_claude_relay_now();
    list->page = 1;
    list->limit = NGX_HTTP_CLAUDE_RELAY_PRICES_LIMIT;

    wrong = NULL;
    p = call->args.data;

    while (wrong == NULL
           && ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK)
    {
        value = *ncr(&arg);

        while (value.len && *value.data != '=') {
            value.data++;
            value.len--;
        }

        if (value.len == 0) {
            wrong = "the query takes \"model\", \"at\", \"page\" and "
                    "\"limit\"";
            break;
        }

        value.data++;
        value.len--;

        buf = ngx_pnalloc(call->pool, value.len + 1);

        if (buf == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }

        if (ncr_uri_unescape(&value, buf) != NCR_OK) {
            wrong = "the query has a broken escape";

        } else if (ncr_str_prefix(ncr(&arg), "model=")) {
            list->model = ngx_http_claude_relay_str(&value);

            if (value.len >= NCR_MODEL_LEN) {
                wrong = "\"model\" is too long";
            }

        } else if (ncr_str_prefix(ncr(&arg), "at=")) {

            if (ncr_str_time(&value, &list->at) != NCR_OK || list->at <= 0) {
                wrong = "\"at\" must be a time such as "
                        "\"2026-11-21T15:00:00Z\"";
            }

        } else if (ncr_str_prefix(ncr(&arg), "page=")) {

            if (ncr_str_int(&value, &n) != NCR_OK || n < 1 || n > 1000000) {
                wrong = "\"page\" must be a number from 1 on";

            } else {
                list->page = (ngx_uint_t) n;
            }

        } else if (ncr_str_prefix(ncr(&arg), "limit=")) {

            if (ncr_str_int(&value, &n) != NCR_OK || n < 1
                || n > NGX_HTTP_CLAUDE_RELAY_PRICES_MOST)
            {
                wrong = "\"limit\" must be a number from 1 to 1000";

            } else {
                list->limit = (ngx_uint_t) n;
            }

        } else {
            wrong = "the query takes \"model\", \"at\", \"page\" and "
                    "\"limit\"";
        }
    }

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* of each table, what no table above it has */

static void
ngx_http_claude_relay_prices_all(ngx_http_claude_relay_price_list_t *list)
{
    ncr_str_t            name;
    ncr_uint_t           i;
    const ncr_price_t   *row;
    const ncr_prices_t  *table;

    for (table = list->rmcf->prices; table; table = table->base) {

        for (i = 0; i < table->n; i++) {
            row = &table->rows[i];

            if (row->from > list->at
                || (row->until && row->until <= list->at))
            {
                continue;
            }

            name.data = (u_char *) row->model;
            name.len = ngx_strlen(row->model);

            if (list->model.len
                && !ncr_str_glob(ncr(&list->model), &name))
            {
                continue;
            }

            if (!ngx_http_claude_relay_prices_above(list->rmcf->prices, table,
                                                    row, list->at))
            {
                ngx_http_claude_relay_prices_row(list, row);
            }
        }
    }
}


static ngx_uint_t
ngx_http_claude_relay_prices_above(const ncr_prices_t *prices,
    const ncr_prices_t *table, const ncr_price_t *row, ncr_msec_t at)
{
    ncr_uint_t          low, high, mid;
    const ncr_price_t  *other, *last;

    for ( /* void */ ; prices != table; prices = prices->base) {

        low = 0;
        high = prices->n;

        while (low < high) {
            mid = (low + high) / 2;

            if (ngx_strcmp(prices->rows[mid].model, row->model) < 0) {
                low = mid + 1;

            } else {
                high = mid;
            }
        }

        last = prices->rows + prices->n;

        for (other = prices->rows + low; other < last; other++) {

            if (ngx_strcmp(other->model, row->model) != 0) {
                break;
            }

            if (other->tier == row->tier && other->from <= at
                && (other->until == 0 || at < other->until))
            {
                return 1;
            }
        }
    }

    return 0;
}


/* what a request of this model is charged by, for each tier */

static void
ngx_http_claude_relay_prices_of(ngx_http_claude_relay_price_list_t *list)
{
    ngx_uint_t          i, n;
    const ncr_price_t  *rows[NGX_HTTP_CLAUDE_RELAY_PRICES_TIERS];

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_PRICES_TIERS; n++) {

        rows[n] = ncr_price_find(list->rmcf->prices, ncr(&list->model),
                                 (ncr_tier_e) n, list->at);

        for (i = 0; i < n; i++) {
            if (rows[i] == rows[n]) {
                break;
            }
        }

        if (rows[n] && i == n) {
            ngx_http_claude_relay_prices_row(list, rows[n]);
        }
    }
}


static void
ngx_http_claude_relay_prices_row(ngx_http_claude_relay_price_list_t *list,
    const ncr_price_t *row)
{
    cJSON       *json;
    ngx_uint_t   first;

    first = (list->page - 1) * list->limit;

    if (list->n++ < first || list->n > first + list->limit) {
        return;
    }

    json = ncr_price_row_json(row);

    (void) cJSON_AddStringToObject(json, "model", row->model);
    (void) cJSON_AddStringToObject(json, "source",
              ngx_http_claude_relay_prices_source(list->rmcf, row));

    if (row->tier == NCR_TIER_STANDARD) {
        (void) cJSON_AddStringToObject(json, "tier", "standard");
    }

    (void) cJSON_AddItemToArray(list->rows, json);
}


static const char *
ngx_http_claude_relay_prices_source(ngx_http_claude_relay_main_conf_t *rmcf,
    const ncr_price_t *row)
{
    const ncr_prices_t  *table;

    for (table = rmcf->prices; table; table = table->base) {
        if (row >= table->rows && row < table->rows + table->n) {
            break;
        }
    }

    return (table == ncr_prices_builtin()) ? "builtin"
           : (table == rmcf->prices_conf) ? "file" : "store";
}


/* what the store has of it, as it was put */

static void
ngx_http_claude_relay_api_price(ngx_http_claude_relay_call_t *call)
{
    cJSON                            *json;
    ngx_http_claude_relay_setting_t  *s;

    s = call->rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES];

    if (ngx_http_claude_relay_price_name(call) != NGX_OK) {
        return;
    }

    json = s ? ngx_http_claude_relay_show_price(call, s->row.data) : NULL;

    if (json == NULL) {
        ngx_http_claude_relay_price_gone(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json,
                                      s->row.version);
}


static cJSON *
ngx_http_claude_relay_show_price(ngx_http_claude_relay_call_t *call,
    const char *data)
{
    cJSON  *json, *models, *value, *shown, *rows;

    json = cJSON_Parse(data);
    models = cJSON_GetObjectItemCaseSensitive(json, "models");
    value = cJSON_DetachItemFromObjectCaseSensitive(models,
                                                    (char *) call->name.data);
    cJSON_Delete(json);

    if (value == NULL) {
        return NULL;
    }

    shown = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(shown, "model", (char *) call->name.data);
    (void) cJSON_AddStringToObject(shown, "source", "store");

    if (cJSON_IsString(value)) {
        (void) cJSON_AddItemToObject(shown, "same_as", value);

    } else if (cJSON_IsArray(value)) {
        (void) cJSON_AddItemToObject(shown, "rows", value);

    } else {
        rows = cJSON_AddArrayToObject(shown, "rows");
        (void) cJSON_AddItemToArray(rows, value);
    }

    return shown;
}


static void
ngx_http_claude_relay_price_gone(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                     "the store has no price of \"%V\"",
                                     &call->name);
}


static ngx_int_t
ngx_http_claude_relay_price_name(ngx_http_claude_relay_call_t *call)
{
    size_t  i;

    for (i = 0; i < call->name.len; i++) {
        if (call->name.data[i] <= ' ' || call->name.data[i] >= 0x7f
            || call->name.data[i] == '"')
        {
            break;
        }
    }

    if (i < call->name.len || i == 0 || i >= NCR_MODEL_LEN) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "this is no name of a model");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_api_price_put(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    if (ngx_http_claude_relay_price_name(call) != NGX_OK) {
        return;
    }

    doc = ngx_http_claude_relay_doc(call,
                                    NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES);
    if (doc == NULL) {
        return;
    }

    doc->edit = ngx_http_claude_relay_price_edit;
    doc->done = ngx_http_claude_relay_price_done;

    ngx_http_claude_relay_doc_change(doc);
}


static void
ngx_http_claude_relay_api_price_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_api_price_put(call);
}


static ngx_int_t
ngx_http_claude_relay_price_edit(ngx_http_claude_relay_doc_t *doc,
    cJSON *json)
{
    char   *name;
    cJSON  *models, *value;

    name = (char *) doc->call->name.data;
    models = ngx_http_claude_relay_price_models(json);

    if (doc->call->way->method == NGX_HTTP_DELETE) {

        if (!cJSON_HasObjectItem(models, name)
            || cJSON_GetObjectItemCaseSensitive(models, name) == NULL)
        {
            return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_NOT_FOUND,
                                  "the store has no price of \"%s\"", name);
        }

        cJSON_DeleteItemFromObjectCaseSensitive(models, name);

        return NGX_OK;
    }

    value = ngx_http_claude_relay_price_value(doc);

    if (value == NULL) {
        return NGX_ERROR;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(models, name);

    if (!cJSON_AddItemToObject(models, name, value)) {
        cJSON_Delete(value);
        return ngx_http_claude_relay_doc_refuse(doc,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
    }

    return NGX_OK;
}


/* a row, {"rows": [...]}, or {"same_as": "model"} */

static cJSON *
ngx_http_claude_relay_price_value(ngx_http_claude_relay_doc_t *doc)
{
    cJSON       *body, *value, *item, *next;
    ngx_uint_t   i;

    static const char *const  shown[] = { "model", "source", NULL };
    static const char *const  others[] = { "rows", "same_as", NULL };

    body = doc->call->body;
    value = NULL;

    for (i = 0; others[i]; i++) {
        item = cJSON_GetObjectItemCaseSensitive(body, others[i]);

        if (item == NULL) {
            continue;
        }

        /* as it is shown, it can be put */

        for (next = body->child; next; next = next->next) {
            if (next != item && ngx_strcmp(next->string, shown[0]) != 0
                && ngx_strcmp(next->string, shown[1]) != 0)
            {
                (void) ngx_http_claude_relay_doc_refuse(doc,
                                    NGX_HTTP_BAD_REQUEST, "beside \"%s\" "
                                    "there may be nothing", others[i]);
                return NULL;
            }
        }

        if (i == 0 ? !cJSON_IsArray(item) : !cJSON_IsString(item)) {
            (void) ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                    "\"rows\" must be an array, \"same_as\" "
                                    "a string");
            return NULL;
        }

        value = cJSON_Duplicate(item, 1);
    }

    if (value == NULL) {
        value = cJSON_Duplicate(body, 1);
    }

    if (value == NULL) {
        (void) ngx_http_claude_relay_doc_refuse(doc,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
    }

    return value;
}


static cJSON *
ngx_http_claude_relay_price_models(cJSON *json)
{
    cJSON  *models;

    models = cJSON_GetObjectItemCaseSensitive(json, "models");

    return models ? models : cJSON_AddObjectToObject(json, "models");
}


static void
ngx_http_claude_relay_price_done(ngx_http_claude_relay_call_t *call)
{
    cJSON                        *json;
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    if (call->way->method == NGX_HTTP_DELETE) {
        ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
        return;
    }

    json = ngx_http_claude_relay_show_price(call, doc->row.data);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json,
                                      doc->row.version);
}


/*
 * {"document": object or text, "replace": true, "dry_run": true}: a table of
 * LiteLLM's, a file of ours, or comma-separated values.
 */

static void
ngx_http_claude_relay_api_prices_import(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                    *cln;
    ngx_http_claude_relay_doc_t           *doc;
    ngx_http_claude_relay_price_import_t  *import;

    doc = ngx_http_claude_relay_doc(call,
                                    NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES);
    if (doc == NULL) {
        return;
    }

    import = ngx_pcalloc(call->pool,
                         sizeof(ngx_http_claude_relay_price_import_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (import == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_import_free;
    cln->data = import;

    doc->data = import;
    doc->edit = ngx_http_claude_relay_import_edit;
    doc->done = ngx_http_claude_relay_import_done;

    ngx_http_claude_relay_doc_change(doc);
}


static void
ngx_http_claude_relay_import_free(void *data)
{
    ngx_http_claude_relay_price_import_t *import = data;

    cJSON_Delete(import->body);
    cJSON_Delete(import->models);
}


static ngx_int_t
ngx_http_claude_relay_import_edit(ngx_http_claude_relay_doc_t *doc,
    cJSON *json)
{
    cJSON                                 *models, *item, *copy;
    ngx_http_claude_relay_price_import_t  *import;

    import = doc->data;

    if (import->models == NULL
        && ngx_http_claude_relay_import_read(doc) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (import->replace) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "models");
    }

    models = ngx_http_claude_relay_price_models(json);
    import->n = 0;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(import->models,
                                                              "models"))
    {
        import->n++;

        if (!import->replace) {
            cJSON_DeleteItemFromObjectCaseSensitive(models, item->string);
        }

        copy = cJSON_Duplicate(item, 1);

        if (copy == NULL
            || !cJSON_AddItemToObject(models, item->string, copy))
        {
            cJSON_Delete(copy);
            return ngx_http_claude_relay_doc_refuse(doc,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
        }
    }

    item = cJSON_GetObjectItemCaseSensitive(import->models, "web_search");

    if (item) {
        cJSON_DeleteItemFromObjectCaseSensitive(json, "web_search");
        (void) cJSON_AddNumberToObject(json, "web_search", item->valuedouble);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_import_read(ngx_http_claude_relay_doc_t *doc)
{
    cJSON                                 *item, *document;
    const char                            *wrong;
    ngx_http_claude_relay_price_import_t  *import;

    import = doc->data;
    document = NULL;

    import->body = ngx_http_claude_relay_doc_parse(&doc->call->text, &wrong);

    if (import->body == NULL) {
        return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                                "the body: %s", wrong);
    }

    cJSON_ArrayForEach(item, import->body) {

        if (ngx_strcmp(item->string, "document") == 0) {
            document = item;
            continue;
        }

        if (ngx_strcmp(item->string, "replace") != 0
            && ngx_strcmp(item->string, "dry_run") != 0)
        {
            return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                  "the body takes \"document\", \"replace\" "
                                  "and \"dry_run\"");
        }

        if (!cJSON_IsBool(item)) {
            return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                  "\"%s\" must be true or false",
                                  item->string);
        }

        if (item->string[0] == 'r') {
            import->replace = cJSON_IsTrue(item) ? 1 : 0;

        } else {
            doc->dry = cJSON_IsTrue(item) ? 1 : 0;
        }
    }

    if (!cJSON_IsObject(document) && !cJSON_IsString(document)) {
        return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                             "\"document\" must be a table of prices, an "
                             "object or its text");
    }

    return ngx_http_claude_relay_import_document(doc, document);
}


static ngx_int_t
ngx_http_claude_relay_import_document(ngx_http_claude_relay_doc_t *doc,
    cJSON *document)
{
    char                                  *printed;
    ngx_int_t                              rc;
    ncr_str_t                              text;
    const char                            *wrong;
    ngx_http_claude_relay_price_import_t  *import;

    import = doc->data;

    if (cJSON_IsString(document)) {
        text.data = (u_char *) document->valuestring;
        text.len = ngx_strlen(document->valuestring);

        while (text.len && (*text.data == ' ' || *text.data == LF
                            || *text.data == CR || *text.data == '\t'))
        {
            text.data++;
            text.len--;
        }

        if (text.len && *text.data != '{') {
            import->models = ncr_price_csv(&text, &wrong);

            return import->models
                   ? NGX_OK
                   : ngx_http_claude_relay_doc_refuse(doc,
                                   NGX_HTTP_BAD_REQUEST, "the table: %s",
                                   wrong);
        }

        return ngx_http_claude_relay_import_table(doc, &text);
    }

    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(document, "models")))
    {
        import->models = cJSON_Duplicate(document, 1);
        return import->models ? NGX_OK : NGX_ERROR;
    }

    printed = cJSON_PrintUnformatted(document);

    if (printed == NULL) {
        return NGX_ERROR;
    }

    text.data = (u_char *) printed;
    text.len = ngx_strlen(printed);

    rc = ngx_http_claude_relay_import_table(doc, &text);

    cJSON_free(printed);

    return rc;
}


/* read as a file is, and written as one of ours */

static ngx_int_t
ngx_http_claude_relay_import_table(ngx_http_claude_relay_doc_t *doc,
    ncr_str_t *text)
{
    char                                   error[256];
    cJSON                                 *json;
    const char                            *wrong;
    ncr_prices_t                          *prices;
    ngx_http_claude_relay_price_import_t  *import;

    import = doc->data;

    json = ncr_port_json(text, &wrong);

    if (json == NULL) {
        return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                                "the table: %s", wrong);
    }

    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json, "models"))) {
        import->models = json;
        return NGX_OK;
    }

    cJSON_Delete(json);

    if (ncr_prices_read(&prices, text, doc->call->rmcf->prices_conf, error,
                        sizeof(error))
        != NCR_OK)
    {
        return ngx_http_claude_relay_doc_refuse(doc, NGX_HTTP_BAD_REQUEST,
                                                "the table: %s", error);
    }

    import->models = ncr_prices_json(prices);

    ncr_prices_free(prices);

    return import->models
           ? NGX_OK
           : ngx_http_claude_relay_doc_refuse(doc,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
}


static void
ngx_http_claude_relay_import_done(ngx_http_claude_relay_call_t *call)
{
    cJSON                                 *json;
    ngx_http_claude_relay_doc_t           *doc;
    ngx_http_claude_relay_price_import_t  *import;

    doc = call->data;
    import = doc->data;

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "dry_run", doc->dry);
    (void) cJSON_AddNumberToObject(json, "models", (double) import->n);
    (void) cJSON_AddStringToObject(json, "version",
                                   call->rmcf->prices->version);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json,
                                      doc->dry ? 0 : doc->row.version);
}
