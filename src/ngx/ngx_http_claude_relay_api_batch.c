
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Many keys at once, all or none: made, changed, deleted, or brought from
 * elsewhere with the digests of their secrets.
 */


#include "ngx_http_claude_relay_api_keys.h"


#define NGX_HTTP_CLAUDE_RELAY_BATCH_MIN   2
#define NGX_HTTP_CLAUDE_RELAY_BATCH_MAX   500
#define NGX_HTTP_CLAUDE_RELAY_NAMES_MAX   1000
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_MAX  10000

/* of an own secret (FEATURES F023) */
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MAX  512


typedef u_char  ngx_http_claude_relay_secret_t[NCR_KEY_SECRET + 1];


typedef struct {
    ngx_http_claude_relay_bulk_t      *bulk;
    cJSON                             *names;   /* an array, or NULL: */
    ngx_http_claude_relay_query_t      query;
    cJSON                             *set;
    ngx_uint_t                         permanent;

    const char                        *base;    /* of new ones */
    size_t                             count;
    ngx_http_claude_relay_secret_t    *secrets; /* one for each row */

    ngx_uint_t                         skip;    /* those there are */
    cJSON                             *skipped;
    ncr_sha256_t                       sha;     /* the thread's */
} ngx_http_claude_relay_batch_t;


static ngx_http_claude_relay_batch_t *ngx_http_claude_relay_batch(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_batch_free(void *data);
static ngx_int_t ngx_http_claude_relay_batch_secrets(
    ngx_http_claude_relay_batch_t *batch, size_t n);
static void ngx_http_claude_relay_batch_create(
    ngx_http_claude_relay_batch_t *batch, cJSON *create);
static ncr_int_t ngx_http_claude_relay_batch_create_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_batch_create_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_batch_patch(
    ngx_http_claude_relay_batch_t *batch, cJSON *patch);
static void ngx_http_claude_relay_batch_delete(
    ngx_http_claude_relay_batch_t *batch, cJSON *delete, cJSON *permanent);
static ngx_int_t ngx_http_claude_relay_batch_which(
    ngx_http_claude_relay_batch_t *batch, cJSON *names, cJSON *filter);
static ncr_int_t ngx_http_claude_relay_batch_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_batch_row(void *data,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_batch_change(
    ngx_http_claude_relay_batch_t *batch, ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_batch_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_import_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_import_row(
    ngx_http_claude_relay_batch_t *batch, ncr_store_t *store, cJSON *item);
static ncr_int_t ngx_http_claude_relay_import_secret(
    ngx_http_claude_relay_batch_t *batch, ncr_store_object_t *row,
    cJSON *item, u_char *secret);
static ncr_int_t ngx_http_claude_relay_import_digest(
    ngx_http_claude_relay_batch_t *batch, ncr_store_object_t *row,
    cJSON *sha256);
static ncr_int_t ngx_http_claude_relay_batch_digest(
    ngx_http_claude_relay_batch_t *batch, ncr_store_object_t *row,
    u_char *secret, size_t len);
static ncr_int_t ngx_http_claude_relay_batch_random(
    ngx_http_claude_relay_batch_t *batch, ncr_store_object_t *row,
    u_char *secret);
static ncr_int_t ngx_http_claude_relay_import_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);


static ngx_http_claude_relay_batch_t *
ngx_http_claude_relay_batch(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_claude_relay_bulk_t   *bulk;
    ngx_http_claude_relay_batch_t  *batch;

    bulk = ngx_http_claude_relay_bulk(call);
    if (bulk == NULL) {
        return NULL;
    }

    batch = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_batch_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (batch == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_batch_free;
    cln->data = batch;

    batch->bulk = bulk;
    bulk->data = batch;

    return batch;
}


static void
ngx_http_claude_relay_batch_free(void *data)
{
    ngx_http_claude_relay_batch_t *batch = data;

    if (batch->secrets) {
        ngx_explicit_memzero(batch->secrets, batch->count
                             * sizeof(ngx_http_claude_relay_secret_t));
        ngx_free(batch->secrets);
    }

    if (batch->sha.state) {
        ncr_sha256_free(&batch->sha);
    }

    cJSON_Delete(batch->skipped);
}


static ngx_int_t
ngx_http_claude_relay_batch_secrets(ngx_http_claude_relay_batch_t *batch,
    size_t n)
{
    batch->count = n;
    batch->secrets = ngx_calloc(n * sizeof(ngx_http_claude_relay_secret_t),
                                ngx_cycle->log);

    if (batch->secrets == NULL
        || ncr_sha256_create(&batch->sha) != NCR_OK)
    {
        ngx_http_claude_relay_call_memory(batch->bulk->call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_api_batch(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[4];
    ngx_http_claude_relay_batch_t  *batch;

    static const char *const  names[] = {
        "create", "patch", "delete", "permanent", NULL
    };

    batch = ngx_http_claude_relay_batch(call);

    if (batch == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    if ((values[0] != NULL) + (values[1] != NULL) + (values[2] != NULL) != 1
        || (values[3] && (values[2] == NULL || !cJSON_IsBool(values[3]))))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "there must be one of \"create\", \"patch\" and "
                         "\"delete\"; \"permanent\", true or false, goes "
                         "with the last");
        return;
    }

    if (values[0]) {
        ngx_http_claude_relay_batch_create(batch, values[0]);

    } else if (values[1]) {
        ngx_http_claude_relay_batch_patch(batch, values[1]);

    } else {
        ngx_http_claude_relay_batch_delete(batch, values[2], values[3]);
    }
}


/* {"base":"team","count":20, ...}: team_1 and so on */

static void
ngx_http_claude_relay_batch_create(ngx_http_claude_relay_batch_t *batch,
    cJSON *create)
{
    u_char                         buf[NCR_STORE_NAME + 16];
    cJSON                         *base, *count;
    ngx_str_t                      name;
    ngx_http_claude_relay_call_t  *call;

    call = batch->bulk->call;

    base = cJSON_GetObjectItemCaseSensitive(create, "base");
    count = cJSON_GetObjectItemCaseSensitive(create, "count");

    if (!cJSON_IsNumber(count)
        || !(count->valuedouble >= NGX_HTTP_CLAUDE_RELAY_BATCH_MIN
             && count->valuedouble <= NGX_HTTP_CLAUDE_RELAY_BATCH_MAX)
        || count->valuedouble != (double) (int) count->valuedouble)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"count\" must be a number from %d "
                                         "to %d",
                                         NGX_HTTP_CLAUDE_RELAY_BATCH_MIN,
                                         NGX_HTTP_CLAUDE_RELAY_BATCH_MAX);
        return;
    }

    /* with the longest of the numbers */

    name.data = buf;
    name.len = ngx_snprintf(buf, sizeof(buf), "%s_%d",
                            cJSON_IsString(base) ? base->valuestring : "/",
                            (int) count->valuedouble)
               - buf;

    if (!ngx_http_claude_relay_valid_name(&name)
        || base->valuestring[0] == '\0')
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"base\" must have 1 to 59 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return;
    }

    if (ngx_http_claude_relay_batch_secrets(batch,
                                            (size_t) count->valuedouble)
        != NGX_OK)
    {
        return;
    }

    /* what is left are settings */

    base = cJSON_DetachItemViaPointer(create, base);

    name.data = (u_char *) base->valuestring;
    name.len = ngx_strlen(name.data) + 1;
    batch->base = (char *) ngx_pstrdup(call->pool, &name);

    cJSON_Delete(base);
    cJSON_DeleteItemFromObjectCaseSensitive(create, "count");

    if (batch->base == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    batch->set = create;

    batch->bulk->collect = ngx_http_claude_relay_batch_create_collect;
    batch->bulk->show = ngx_http_claude_relay_batch_create_show;
    batch->bulk->what = "created";
    batch->bulk->created = 1;

    ngx_http_claude_relay_bulk_run(batch->bulk);
}


static ncr_int_t
ngx_http_claude_relay_batch_create_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *settings;
    size_t                          i;
    ncr_int_t                       rc;
    ncr_str_t                       name;
    ncr_store_object_t              new, *row;
    ngx_http_claude_relay_batch_t  *batch;

    batch = bulk->data;

    rc = ngx_http_claude_relay_bulk_owners(bulk, store, batch->set);

    for (i = 0; i < batch->count && rc == NCR_OK; i++) {

        ngx_memzero(&new, sizeof(ncr_store_object_t));

        (void) ngx_cpystrn((u_char *) new.kind, (u_char *) "key",
                           sizeof(new.kind));

        name.data = (u_char *) new.name;
        name.len = ngx_snprintf(name.data, sizeof(new.name), "%s_%uz%Z",
                                batch->base, i + 1)
                   - name.data - 1;

        if (ngx_http_claude_relay_key_conf(bulk->call->rmcf, NCR_SCOPE_KEY,
                                           &name))
        {
            return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                             "there is a key \"%s\" already",
                                             new.name);
        }

        settings = cJSON_CreateObject();

        rc = ngx_http_claude_relay_bulk_merge(bulk, settings, batch->set);

        if (rc != NCR_OK) {
            cJSON_Delete(settings);
            return rc;
        }

        row = ngx_http_claude_relay_bulk_add(bulk, &new, settings, 1);

        if (row == NULL) {
            return NCR_DECLINED;
        }

        rc = ngx_http_claude_relay_batch_random(batch, row,
                                                batch->secrets[i]);
    }

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_batch_create_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *keys, *item;
    size_t                          i;
    ngx_http_claude_relay_batch_t  *batch;
    ngx_http_claude_relay_times_t   times;

    batch = bulk->data;

    ngx_memzero(&times, sizeof(ngx_http_claude_relay_times_t));

    bulk->answer = cJSON_CreateObject();
    keys = cJSON_AddArrayToObject(bulk->answer, "keys");

    for (i = 0; i < bulk->n; i++) {
        item = ngx_http_claude_relay_show_row(bulk->kind, &bulk->rows[i],
                                              NULL, &times);

        (void) cJSON_AddStringToObject(item, "secret",
                                       (char *) batch->secrets[i]);
        (void) cJSON_AddItemToArray(keys, item);
    }

    return NCR_OK;
}


/* {"names":[...]} or {"filter":{...}}, and "set" */

static void
ngx_http_claude_relay_batch_patch(ngx_http_claude_relay_batch_t *batch,
    cJSON *patch)
{
    cJSON                         *item, *values[3];
    ngx_uint_t                     i;
    ngx_http_claude_relay_call_t  *call;

    static const char *const  names[] = { "names", "filter", "set" };

    call = batch->bulk->call;

    ngx_memzero(values, sizeof(values));

    cJSON_ArrayForEach(item, patch) {

        for (i = 0; i < 3 && ngx_strcmp(names[i], item->string) != 0; i++) {
            /* void */
        }

        if (i == 3 || values[i]) {
            break;
        }

        values[i] = item;
    }

    if (!cJSON_IsObject(patch) || item || !cJSON_IsObject(values[2])
        || values[2]->child == NULL)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"patch\" must have \"names\" or \"filter\", and "
                         "settings in \"set\"");
        return;
    }

    if (ngx_http_claude_relay_batch_which(batch, values[0], values[1])
        != NGX_OK)
    {
        return;
    }

    batch->set = values[2];

    batch->bulk->collect = ngx_http_claude_relay_batch_collect;
    batch->bulk->show = ngx_http_claude_relay_batch_show;
    batch->bulk->what = "changed";

    ngx_http_claude_relay_bulk_run(batch->bulk);
}


/* [names], or {"filter":{...}} */

static void
ngx_http_claude_relay_batch_delete(ngx_http_claude_relay_batch_t *batch,
    cJSON *delete, cJSON *permanent)
{
    cJSON  *filter;

    filter = NULL;

    if (!cJSON_IsArray(delete)) {

        filter = cJSON_GetObjectItemCaseSensitive(delete, "filter");

        if (filter == NULL || filter->next || filter != delete->child) {
            ngx_http_claude_relay_call_error(batch->bulk->call,
                                     NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"delete\" must be an array of names, "
                                     "or an object with a \"filter\"");
            return;
        }

        delete = NULL;
    }

    if (ngx_http_claude_relay_batch_which(batch, delete, filter) != NGX_OK) {
        return;
    }

    batch->permanent = cJSON_IsTrue(permanent);

    batch->bulk->collect = ngx_http_claude_relay_batch_collect;
    batch->bulk->show = ngx_http_claude_relay_batch_show;
    batch->bulk->what = batch->permanent ? "removed" : "deleted";

    ngx_http_claude_relay_bulk_run(batch->bulk);
}


static ngx_int_t
ngx_http_claude_relay_batch_which(ngx_http_claude_relay_batch_t *batch,
    cJSON *names, cJSON *filter)
{
    int                            n;
    cJSON                         *item;
    ngx_http_claude_relay_call_t  *call;

    call = batch->bulk->call;

    if (filter && names == NULL) {
        batch->query.scope = NCR_SCOPE_KEY;

        return ngx_http_claude_relay_query_json(call, &batch->query, filter);
    }

    n = cJSON_IsArray(names) ? cJSON_GetArraySize(names) : 0;
    item = NULL;

    if (n && n <= NGX_HTTP_CLAUDE_RELAY_NAMES_MAX && filter == NULL) {
        cJSON_ArrayForEach(item, names) {
            if (!cJSON_IsString(item)) {
                break;
            }
        }

        if (item == NULL) {
            batch->names = names;
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "there must be 1 to %d names, or a "
                                     "\"filter\"",
                                     NGX_HTTP_CLAUDE_RELAY_NAMES_MAX);
    return NGX_ERROR;
}


static ncr_int_t
ngx_http_claude_relay_batch_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *item, *other;
    ncr_int_t                       rc;
    ncr_store_object_t              found;
    ngx_http_claude_relay_batch_t  *batch;

    batch = bulk->data;
    rc = NCR_OK;

    if (batch->set) {
        rc = ngx_http_claude_relay_bulk_owners(bulk, store, batch->set);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    if (batch->names == NULL) {
        return ncr_store_object_list(store, "key", "",
                                     ngx_http_claude_relay_batch_row, batch);
    }

    cJSON_ArrayForEach(item, batch->names) {

        for (other = batch->names->child; other != item; other = other->next) {
            if (ngx_strcmp(other->valuestring, item->valuestring) == 0) {
                return ngx_http_claude_relay_bulk_fail(bulk,
                                     NGX_HTTP_BAD_REQUEST,
                                     "\"%*s\" is there twice",
                                     ngx_min(ngx_strlen(item->valuestring),
                                             64),
                                     item->valuestring);
            }
        }

        rc = ngx_http_claude_relay_bulk_find(bulk, store, item->valuestring,
                                             batch->permanent, &found);
        if (rc != NCR_OK) {
            return rc;
        }

        rc = ngx_http_claude_relay_batch_change(batch, &found);

        ncr_store_object_free(&found);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_batch_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_batch_t *batch = data;

    if (!ngx_http_claude_relay_query_takes(&batch->query, row, 0)) {
        return NCR_OK;
    }

    return ngx_http_claude_relay_batch_change(batch, row);
}


static ncr_int_t
ngx_http_claude_relay_batch_change(ngx_http_claude_relay_batch_t *batch,
    ncr_store_object_t *row)
{
    cJSON      *settings;
    ncr_int_t   rc;

    if (batch->set == NULL) {
        return batch->permanent
               ? ngx_http_claude_relay_bulk_drop(batch->bulk, row)
               : ngx_http_claude_relay_bulk_delete(batch->bulk, row);
    }

    settings = ngx_http_claude_relay_settings(row->data);

    rc = ngx_http_claude_relay_bulk_merge(batch->bulk, settings, batch->set);

    if (rc != NCR_OK) {
        cJSON_Delete(settings);
        return rc;
    }

    return ngx_http_claude_relay_bulk_add(batch->bulk, row, settings, 1)
           ? NCR_OK : NCR_DECLINED;
}


static ncr_int_t
ngx_http_claude_relay_batch_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *names;
    size_t                          i;
    ngx_http_claude_relay_batch_t  *batch;

    batch = bulk->data;

    bulk->answer = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(bulk->answer,
                                   batch->set ? "changed" : "deleted",
                                   (double) bulk->n);

    names = cJSON_AddArrayToObject(bulk->answer, "names");

    for (i = 0; i < bulk->n && i < NGX_HTTP_CLAUDE_RELAY_NAMES_MAX; i++) {
        (void) cJSON_AddItemToArray(names,
                                    cJSON_CreateString(bulk->rows[i].name));
    }

    return NCR_OK;
}


/* {"keys":[{"name":"a","sha256":"..."}, ...],"skip_existing":true} */

void
ngx_http_claude_relay_api_keys_import(ngx_http_claude_relay_call_t *call)
{
    int                             n;
    cJSON                          *item, *values[2];
    ngx_http_claude_relay_batch_t  *batch;

    static const char *const  names[] = { "keys", "skip_existing", NULL };

    batch = ngx_http_claude_relay_batch(call);

    if (batch == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    n = cJSON_IsArray(values[0]) ? cJSON_GetArraySize(values[0]) : 0;
    item = NULL;

    if (n && n <= NGX_HTTP_CLAUDE_RELAY_IMPORT_MAX) {
        cJSON_ArrayForEach(item, values[0]) {
            if (!cJSON_IsObject(item)) {
                break;
            }
        }
    }

    if (n == 0 || n > NGX_HTTP_CLAUDE_RELAY_IMPORT_MAX || item
        || (values[1] && !cJSON_IsBool(values[1])))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"keys\" must be an array of 1 to %d objects, "
                         "\"skip_existing\" true or false",
                         NGX_HTTP_CLAUDE_RELAY_IMPORT_MAX);
        return;
    }

    if (ngx_http_claude_relay_batch_secrets(batch, n) != NGX_OK) {
        return;
    }

    batch->set = values[0];
    batch->skip = cJSON_IsTrue(values[1]);

    batch->bulk->collect = ngx_http_claude_relay_import_collect;
    batch->bulk->show = ngx_http_claude_relay_import_show;
    batch->bulk->what = "imported";
    batch->bulk->created = 1;

    ngx_http_claude_relay_bulk_run(batch->bulk);
}


static ncr_int_t
ngx_http_claude_relay_import_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *item;
    ncr_int_t                       rc;
    ngx_http_claude_relay_batch_t  *batch;

    batch = bulk->data;

    cJSON_Delete(batch->skipped);
    batch->skipped = cJSON_CreateArray();

    cJSON_ArrayForEach(item, batch->set) {

        rc = ngx_http_claude_relay_import_row(batch, store, item);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


/* what a list shows may be there, and is passed over where it is not set */

static ncr_int_t
ngx_http_claude_relay_import_row(ngx_http_claude_relay_batch_t *batch,
    ncr_store_t *store, cJSON *item)
{
    cJSON                         *name, *settings;
    ncr_int_t                      rc;
    ngx_str_t                      s;
    ngx_uint_t                     i;
    ncr_store_object_t             new, found, *row;
    ngx_http_claude_relay_bulk_t  *bulk;

    static const char *const  shown[] = {
        "name", "secret", "sha256", "prefix", "id", "source", "state",
        "ends_at", "activated_at", "last_used_at", "created_at", "updated_at",
        "version", "usage", NULL
    };

    bulk = batch->bulk;

    name = cJSON_GetObjectItemCaseSensitive(item, "name");

    s.data = (u_char *) (cJSON_IsString(name) ? name->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (!ngx_http_claude_relay_valid_name(&s)) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_BAD_REQUEST,
                                 "\"name\" of key %uz must have 1 to 63 of "
                                 "the characters A-Z a-z 0-9 . _ -",
                                 bulk->n + 1);
    }

    ngx_memzero(&new, sizeof(ncr_store_object_t));
    (void) ngx_cpystrn((u_char *) new.kind, (u_char *) "key",
                       sizeof(new.kind));
    (void) ngx_cpystrn((u_char *) new.name, s.data, sizeof(new.name));

    rc = ngx_http_claude_relay_key_conf(bulk->call->rmcf, NCR_SCOPE_KEY,
                                        ncr(&s))
         ? NCR_OK : NCR_DECLINED;

    if (rc == NCR_DECLINED && batch->skip) {
        rc = ncr_store_object_find(store, "key", new.name, &found);
        ncr_store_object_free(&found);
    }

    if (rc == NCR_OK && batch->skip) {
        (void) cJSON_AddItemToArray(batch->skipped,
                                    cJSON_CreateString(new.name));
        return NCR_OK;
    }

    if (rc != NCR_DECLINED) {
        return (rc == NCR_OK)
               ? ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                             "there is a key \"%s\" already",
                                             new.name)
               : rc;
    }

    settings = cJSON_Duplicate(item, 1);

    for (i = 0; shown[i]; i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(settings, shown[i]);
    }

    rc = ngx_http_claude_relay_bulk_owners(bulk, store, settings);

    row = NULL;

    if (rc == NCR_OK) {
        row = ngx_http_claude_relay_bulk_add(bulk, &new, settings, 1);

    } else {
        cJSON_Delete(settings);
    }

    return row ? ngx_http_claude_relay_import_secret(batch, row, item,
                                               batch->secrets[bulk->n - 1])
               : (rc == NCR_OK) ? NCR_DECLINED : rc;
}


static ncr_int_t
ngx_http_claude_relay_import_secret(ngx_http_claude_relay_batch_t *batch,
    ncr_store_object_t *row, cJSON *item, u_char *secret)
{
    u_char     *p;
    size_t      n;
    cJSON      *value, *sha256, *at;
    ncr_int_t   rc;
    ngx_str_t   text;
    ncr_msec_t  t;

    value = cJSON_GetObjectItemCaseSensitive(item, "secret");
    sha256 = cJSON_GetObjectItemCaseSensitive(item, "sha256");
    at = cJSON_GetObjectItemCaseSensitive(item, "activated_at");

    secret[0] = '\0';

    if (value && sha256) {
        return ngx_http_claude_relay_bulk_fail(batch->bulk,
                                 NGX_HTTP_BAD_REQUEST, "key \"%s\" has both "
                                 "\"secret\" and \"sha256\"", row->name);
    }

    if (sha256) {
        rc = ngx_http_claude_relay_import_digest(batch, row, sha256);
        value = cJSON_GetObjectItemCaseSensitive(item, "prefix");

        if (cJSON_IsString(value)) {
            (void) ngx_cpystrn((u_char *) row->prefix,
                               (u_char *) value->valuestring,
                               NCR_STORE_PREFIX);
        }

    } else if (value) {
        p = (u_char *) (cJSON_IsString(value) ? value->valuestring : "");

        for (n = 0; p[n] > ' ' && p[n] < 0x7f; n++) { /* void */ }

        rc = (p[n] || n < NGX_HTTP_CLAUDE_RELAY_SECRET_MIN
              || n > NGX_HTTP_CLAUDE_RELAY_SECRET_MAX)
             ? ngx_http_claude_relay_bulk_fail(batch->bulk,
                                 NGX_HTTP_BAD_REQUEST, "\"secret\" of key "
                                 "\"%s\" must have %d to %d visible ASCII "
                                 "characters", row->name,
                                 NGX_HTTP_CLAUDE_RELAY_SECRET_MIN,
                                 NGX_HTTP_CLAUDE_RELAY_SECRET_MAX)
             : ngx_http_claude_relay_batch_digest(batch, row, p, n);

    } else {
        rc = ngx_http_claude_relay_batch_random(batch, row, secret);
    }

    if (rc != NCR_OK || at == NULL || cJSON_IsNull(at)) {
        return rc;
    }

    text.data = (u_char *) (cJSON_IsString(at) ? at->valuestring : "");
    text.len = ngx_strlen(text.data);

    if (ngx_http_claude_relay_instant(&text, &t) != NGX_OK || t <= 0) {
        return ngx_http_claude_relay_bulk_fail(batch->bulk,
                                 NGX_HTTP_BAD_REQUEST, "\"activated_at\" of "
                                 "key \"%s\" must be a time such as "
                                 "\"2027-01-31T00:00:00Z\"", row->name);
    }

    row->activated = t;

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_import_digest(ngx_http_claude_relay_batch_t *batch,
    ncr_store_object_t *row, cJSON *sha256)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_uint_t  i;

    p = (u_char *) (cJSON_IsString(sha256) ? sha256->valuestring : "");

    for (i = 0; ngx_strlen(p) == 2 * NCR_SHA256_LEN && i < NCR_SHA256_LEN; i++)
    {
        n = ngx_hextoi(p + 2 * i, 2);

        if (n == NGX_ERROR) {
            break;
        }

        row->digest[i] = (u_char) n;
    }

    if (i < NCR_SHA256_LEN) {
        return ngx_http_claude_relay_bulk_fail(batch->bulk,
                                 NGX_HTTP_BAD_REQUEST, "\"sha256\" of key "
                                 "\"%s\" must have 64 hexadecimal digits",
                                 row->name);
    }

    row->has_digest = 1;

    return ngx_http_claude_relay_batch_digest(batch, row, NULL, 0);
}


/* of a secret, or what is there already; a quarter of one is shown at most */

static ncr_int_t
ngx_http_claude_relay_batch_digest(ngx_http_claude_relay_batch_t *batch,
    ncr_store_object_t *row, u_char *secret, size_t len)
{
    if (secret) {
        ncr_sha256_init(&batch->sha);
        ncr_sha256_update(&batch->sha, secret, len);
        ncr_sha256_final(&batch->sha, row->digest);

        row->has_digest = 1;

        (void) ngx_cpystrn((u_char *) row->prefix, secret,
                           ngx_min(NCR_STORE_PREFIX, len / 4 + 1));
    }

    if (ngx_http_claude_relay_key_conf_digest(batch->bulk->call->rmcf,
                                              row->digest))
    {
        return ngx_http_claude_relay_bulk_fail(batch->bulk, NGX_HTTP_CONFLICT,
                                 "there is a key with the secret of \"%s\"",
                                 row->name);
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_batch_random(ngx_http_claude_relay_batch_t *batch,
    ncr_store_object_t *row, u_char *secret)
{
    u_char  *p, bytes[(NCR_KEY_SECRET - 3) / 2];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return ngx_http_claude_relay_bulk_fail(batch->bulk,
                                               NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "no random numbers");
    }

    p = ngx_cpymem(secret, "cr_", 3);
    ncr_hash_hex(p, bytes, sizeof(bytes));
    secret[NCR_KEY_SECRET] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    return ngx_http_claude_relay_batch_digest(batch, row, secret,
                                              NCR_KEY_SECRET);
}


/* secrets of those that were given none */

static ncr_int_t
ngx_http_claude_relay_import_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *keys, *item;
    size_t                          i;
    ngx_http_claude_relay_batch_t  *batch;

    batch = bulk->data;

    bulk->answer = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(bulk->answer, "imported",
                                   (double) bulk->n);
    (void) cJSON_AddItemToObject(bulk->answer, "skipped", batch->skipped);
    batch->skipped = NULL;

    keys = cJSON_AddArrayToObject(bulk->answer, "keys");

    for (i = 0; i < bulk->n; i++) {

        if (batch->secrets[i][0] == '\0') {
            continue;
        }

        item = cJSON_CreateObject();

        (void) cJSON_AddStringToObject(item, "name", bulk->rows[i].name);
        (void) cJSON_AddStringToObject(item, "secret",
                                       (char *) batch->secrets[i]);
        (void) cJSON_AddItemToArray(keys, item);
    }

    return NCR_OK;
}
