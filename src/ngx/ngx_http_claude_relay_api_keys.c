
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The end of a key, and what is before and after it: it is extended, deleted,
 * restored, deleted for ever.  A deleted key is kept with all it has, and is
 * refused as if it was disabled.  And which keys are whose.
 */


#include "ngx_http_claude_relay_api_keys.h"


/* of a user's own keys, deleted ones among them, for each that it may have */
#define NGX_HTTP_CLAUDE_RELAY_DELETED  10


typedef struct {
    ngx_http_claude_relay_bulk_t      *bulk;
    ncr_msec_t                         before;
} ngx_http_claude_relay_purge_t;


typedef struct {
    ngx_http_claude_relay_call_t      *call;
    size_t                             n;
} ngx_http_claude_relay_counted_t;


static ngx_uint_t ngx_http_claude_relay_key_self(cJSON *member,
    ngx_uint_t made);
static ngx_int_t ngx_http_claude_relay_key_args(
    ngx_http_claude_relay_call_t *call, ngx_uint_t *permanent);
static ncr_int_t ngx_http_claude_relay_key_remove_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_key_drop_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_api_key_restore(
    ngx_http_claude_relay_call_t *call);
static ncr_int_t ngx_http_claude_relay_key_restore_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_api_key_purge(
    ngx_http_claude_relay_call_t *call);
static ncr_int_t ngx_http_claude_relay_key_purge_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_key_purge_row(void *data,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_key_purge_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_api_key_extend(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_key_extend_body(
    ngx_http_claude_relay_call_t *call, cJSON *days, cJSON *until);
static ncr_int_t ngx_http_claude_relay_key_extend_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_key_count(void *data,
    ncr_store_object_t *row);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_key_ways[] = {

    { NGX_HTTP_GET, "/v1/keys", ngx_http_claude_relay_api_objects,
      NCR_ROLE_USER, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys", ngx_http_claude_relay_api_object_create,
      NCR_ROLE_USER, 1, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/keys/*", ngx_http_claude_relay_api_object,
      NCR_ROLE_USER, 1, 0, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/keys/*", ngx_http_claude_relay_api_object_patch,
      NCR_ROLE_USER, 1, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/keys/*", ngx_http_claude_relay_api_key_remove,
      NCR_ROLE_USER, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/*/regenerate",
      ngx_http_claude_relay_api_regenerate,
      NCR_ROLE_USER, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/*/activate", ngx_http_claude_relay_api_activate,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/*/extend",
      ngx_http_claude_relay_api_key_extend,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/*/restore",
      ngx_http_claude_relay_api_key_restore,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/*/limits/reset",
      ngx_http_claude_relay_api_limits_reset,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/purge", ngx_http_claude_relay_api_key_purge,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/batch", ngx_http_claude_relay_api_batch,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/keys/import", ngx_http_claude_relay_api_keys_import,
      NCR_ROLE_OPERATOR, 1, 1, 1, 0 },

    { NGX_HTTP_GET, "/v1/tags", ngx_http_claude_relay_api_tags,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/tags/*", ngx_http_claude_relay_api_tag_rename,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/tags/*", ngx_http_claude_relay_api_tag_remove,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


ngx_uint_t
ngx_http_claude_relay_key_own(ngx_http_claude_relay_call_t *call,
    const char *data)
{
    return call->caller.role > NCR_ROLE_USER
           || (call->own.len
               && ngx_http_claude_relay_object_says(data, "user",
                                                    &call->own));
}


ngx_uint_t
ngx_http_claude_relay_key_own_conf(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_key_t *conf)
{
    ncr_str_t  user;

    user = ncr_key_text(conf->key, conf->key->user);

    return call->caller.role > NCR_ROLE_USER
           || (call->own.len && ncr_str_eq(&user, (char *) call->own.data));
}


ngx_int_t
ngx_http_claude_relay_key_changer(ngx_http_claude_relay_call_t *call)
{
    if (call->caller.role == NCR_ROLE_USER
        || call->caller.role >= NCR_ROLE_OPERATOR)
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                     "this takes the role \"%s\"",
                                     ncr_role_name(NCR_ROLE_OPERATOR));
    return NGX_ERROR;
}


ngx_uint_t
ngx_http_claude_relay_key_deleted(const char *data)
{
    /* no text within a string has an unescaped quotation mark */

    return ngx_strstr(data, "\"deleted_at\":") != NULL;
}


/*
 * A user sets little of its keys, and a limit it sets none.  A new key is its
 * own; one that an operator has made for it is not enabled, or extended, by
 * it.
 */

ngx_int_t
ngx_http_claude_relay_object_own_members(ngx_http_claude_relay_call_t *call,
    ngx_uint_t new)
{
    cJSON                                *item;
    ngx_uint_t                            made;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    made = new || ngx_strstr(oc->found.data, "\"self_made\":true") != NULL;

    cJSON_ArrayForEach(item, call->body) {

        if (!ngx_http_claude_relay_key_self(item, made)) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                               "\"%*s\" of this key is not for you to set",
                               ngx_min(ngx_strlen(item->string), 64),
                               item->string);
            return NGX_ERROR;
        }
    }

    if (!new) {
        return NGX_OK;
    }

    if (call->own.len == 0 || !ngx_http_claude_relay_valid_name(&call->own)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "you have no keys of your own");
        return NGX_ERROR;
    }

    (void) cJSON_AddStringToObject(call->body, "user",
                                   (char *) call->own.data);
    (void) cJSON_AddTrueToObject(call->body, "self_made");

    /* as it stands in the row then */

    (void) ngx_snprintf((u_char *) oc->part, sizeof(oc->part),
                        "\"user\":\"%V\"%Z", &call->own);

    return NGX_OK;
}


/* what is an operator's decision about a key stays one */

static ngx_uint_t
ngx_http_claude_relay_key_self(cJSON *member, ngx_uint_t made)
{
    ngx_uint_t  i;

    static const char *const  names[] = {
        "name", "description", "tags", "enabled", "expires_at", "valid_for",
        NULL
    };

    for (i = 0; names[i]; i++) {
        if (ngx_strcmp(names[i], member->string) == 0) {
            return made || i < 3 || (i == 3 && cJSON_IsFalse(member));
        }
    }

    return 0;
}


ngx_int_t
ngx_http_claude_relay_key_record(ncr_store_object_t *row, ncr_scope_e scope,
    ncr_key_build_t *build)
{
    u_char     error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_str_t  name, text;

    name.data = (u_char *) row->name;
    name.len = ngx_strlen(row->name);
    text.data = (u_char *) row->data;
    text.len = ngx_strlen(row->data);

    if (ngx_http_claude_relay_key_json(build, scope, &name, &text, error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    build->key->id = row->id;
    build->key->activated = row->activated;

    return NGX_OK;
}


/*
 * A user's new key: how many it may have, by the store's row of the user.
 * NCR_DECLINED: none, or there are too many deleted ones.
 */

ncr_int_t
ngx_http_claude_relay_key_allowance(ngx_http_claude_relay_call_t *call,
    ncr_store_t *store, size_t *max)
{
    cJSON                            *json, *item;
    ncr_int_t                         rc;
    ncr_store_object_t                row;
    ngx_http_claude_relay_counted_t   own;

    *max = 0;

    rc = ncr_store_object_find(store, "user", (char *) call->own.data, &row);

    if (rc != NCR_OK) {
        return rc;
    }

    json = cJSON_Parse(row.data);
    item = cJSON_GetObjectItemCaseSensitive(json, "max_keys");

    if (cJSON_IsNumber(item) && item->valuedouble >= 1) {
        *max = (size_t) item->valuedouble;
    }

    cJSON_Delete(json);
    ncr_store_object_free(&row);

    if (*max == 0) {
        return NCR_DECLINED;
    }

    own.call = call;
    own.n = 0;

    rc = ncr_store_object_list(store, "key", "",
                               ngx_http_claude_relay_key_count, &own);

    return (rc == NCR_OK && own.n >= NGX_HTTP_CLAUDE_RELAY_DELETED * *max)
           ? NCR_DECLINED : rc;
}


static ncr_int_t
ngx_http_claude_relay_key_count(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_counted_t *own = data;

    own->n += (ngx_strstr(row->data, "\"self_made\":true") != NULL
               && ngx_http_claude_relay_key_own(own->call, row->data));

    return NCR_OK;
}


void
ngx_http_claude_relay_api_key_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                     permanent;
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = ngx_http_claude_relay_bulk(call);

    if (bulk == NULL
        || ngx_http_claude_relay_key_changer(call) != NGX_OK
        || ngx_http_claude_relay_key_args(call, &permanent) != NGX_OK)
    {
        return;
    }

    if (permanent && call->caller.role < NCR_ROLE_OPERATOR) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "to delete a key for ever takes the "
                                         "role \"operator\"");
        return;
    }

    bulk->collect = permanent ? ngx_http_claude_relay_key_drop_collect
                              : ngx_http_claude_relay_key_remove_collect;
    bulk->what = permanent ? "removed" : "deleted";

    ngx_http_claude_relay_bulk_run(bulk);
}


static ngx_int_t
ngx_http_claude_relay_key_args(ngx_http_claude_relay_call_t *call,
    ngx_uint_t *permanent)
{
    ncr_str_t  *args;

    args = ncr(&call->args);

    *permanent = ncr_str_eq(args, "permanent=true");

    /* a key has nothing that would keep it from going */

    if (args->len == 0 || *permanent || ncr_str_eq(args, "permanent=false")
        || ncr_str_eq(args, "force") || ncr_str_eq(args, "force=1"))
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "the query takes \"permanent=true\"");
    return NGX_ERROR;
}


static ncr_int_t
ngx_http_claude_relay_key_remove_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_int_t           rc;
    ncr_store_object_t  found;

    rc = ngx_http_claude_relay_bulk_find(bulk, store,
                                         (char *) bulk->call->name.data, 0,
                                         &found);
    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_bulk_delete(bulk, &found);
        ncr_store_object_free(&found);
    }

    return rc;
}


ncr_int_t
ngx_http_claude_relay_bulk_delete(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *row)
{
    char    by[256];
    cJSON  *settings;

    settings = ngx_http_claude_relay_settings(row->data);

    ncr_str_copy(by, sizeof(by), ncr(&bulk->call->caller.who));

    (void) cJSON_AddNumberToObject(settings, "deleted_at",
                                   (double) bulk->call->now);
    (void) cJSON_AddStringToObject(settings, "deleted_by", by);

    return ngx_http_claude_relay_bulk_add(bulk, row, settings, 0)
           ? NCR_OK : NCR_DECLINED;
}


static ncr_int_t
ngx_http_claude_relay_key_drop_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_int_t           rc;
    ncr_store_object_t  found;

    rc = ngx_http_claude_relay_bulk_find(bulk, store,
                                         (char *) bulk->call->name.data, 1,
                                         &found);
    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_bulk_drop(bulk, &found);
        ncr_store_object_free(&found);
    }

    return rc;
}


static void
ngx_http_claude_relay_api_key_restore(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *values[1];
    ngx_http_claude_relay_bulk_t  *bulk;

    static const char *const  names[] = { NULL };

    bulk = ngx_http_claude_relay_bulk(call);

    if (bulk == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    bulk->collect = ngx_http_claude_relay_key_restore_collect;
    bulk->show = ngx_http_claude_relay_bulk_show;
    bulk->what = "restored";

    ngx_http_claude_relay_bulk_run(bulk);
}


static ncr_int_t
ngx_http_claude_relay_key_restore_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON               *settings;
    ncr_int_t            rc;
    ncr_store_object_t   found;

    rc = ngx_http_claude_relay_bulk_find(bulk, store,
                                         (char *) bulk->call->name.data, 1,
                                         &found);
    if (rc != NCR_OK) {
        return rc;
    }

    if (!ngx_http_claude_relay_key_deleted(found.data)) {
        ncr_store_object_free(&found);
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                               "key \"%V\" is not deleted",
                                               &bulk->call->name);
    }

    settings = ngx_http_claude_relay_settings(found.data);

    cJSON_DeleteItemFromObjectCaseSensitive(settings, "deleted_at");
    cJSON_DeleteItemFromObjectCaseSensitive(settings, "deleted_by");

    rc = ngx_http_claude_relay_bulk_owners(bulk, store, settings);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_bulk_add(bulk, &found, settings, 1)
             ? NCR_OK : NCR_DECLINED;

    } else {
        cJSON_Delete(settings);
    }

    /* it was right when it was made */

    if (bulk->status == NGX_HTTP_BAD_REQUEST) {
        bulk->status = NGX_HTTP_CONFLICT;
    }

    ncr_store_object_free(&found);

    return rc;
}


/* {}: all of them; {"older_than":"30d"} */

static void
ngx_http_claude_relay_api_key_purge(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[1];
    ngx_int_t                       age;
    ngx_str_t                       text;
    ngx_http_claude_relay_bulk_t   *bulk;
    ngx_http_claude_relay_purge_t  *purge;

    static const char *const  names[] = { "older_than", NULL };

    bulk = ngx_http_claude_relay_bulk(call);

    if (bulk == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    age = 0;

    if (values[0]) {
        text.data = (u_char *) (cJSON_IsString(values[0])
                                ? values[0]->valuestring : "");
        text.len = ngx_strlen(text.data);

        age = text.len ? ngx_parse_time(&text, 0) : NGX_ERROR;

        if (age == NGX_ERROR) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"older_than\" must be a time "
                                             "such as \"30d\"");
            return;
        }
    }

    purge = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_purge_t));

    if (purge == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    purge->bulk = bulk;
    purge->before = ngx_http_claude_relay_now() - age;

    bulk->data = purge;
    bulk->collect = ngx_http_claude_relay_key_purge_collect;
    bulk->show = ngx_http_claude_relay_key_purge_show;
    bulk->what = "removed";

    ngx_http_claude_relay_bulk_run(bulk);
}


static ncr_int_t
ngx_http_claude_relay_key_purge_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    return ncr_store_object_list(store, "key", "",
                                 ngx_http_claude_relay_key_purge_row,
                                 bulk->data);
}


static ncr_int_t
ngx_http_claude_relay_key_purge_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_purge_t *purge = data;

    cJSON       *json, *at;
    ngx_uint_t   due;

    if (!ngx_http_claude_relay_key_deleted(row->data)) {
        return NCR_OK;
    }

    json = cJSON_Parse(row->data);
    at = cJSON_GetObjectItemCaseSensitive(json, "deleted_at");

    due = !cJSON_IsNumber(at)
          || (ncr_msec_t) at->valuedouble <= purge->before;

    cJSON_Delete(json);

    return due ? ngx_http_claude_relay_bulk_drop(purge->bulk, row) : NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_key_purge_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    bulk->answer = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(bulk->answer, "purged", (double) bulk->n);

    return NCR_OK;
}


/* {"days":30}, or {"until":"2027-01-31T00:00:00Z"} */

static void
ngx_http_claude_relay_api_key_extend(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *values[2];
    ngx_http_claude_relay_bulk_t  *bulk;

    static const char *const  names[] = { "days", "until", NULL };

    bulk = ngx_http_claude_relay_bulk(call);

    if (bulk == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK
        || ngx_http_claude_relay_key_extend_body(call, values[0], values[1])
           != NGX_OK)
    {
        return;
    }

    bulk->collect = ngx_http_claude_relay_key_extend_collect;
    bulk->show = ngx_http_claude_relay_bulk_show;
    bulk->what = "extended";

    ngx_http_claude_relay_bulk_run(bulk);
}


static ngx_int_t
ngx_http_claude_relay_key_extend_body(ngx_http_claude_relay_call_t *call,
    cJSON *days, cJSON *until)
{
    ngx_str_t   text;
    ncr_msec_t  t;

    if ((days == NULL) == (until == NULL)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "one of \"days\" and \"until\" must "
                                         "be there");
        return NGX_ERROR;
    }

    if (days) {

        if (cJSON_IsNumber(days) && days->valuedouble >= 1
            && days->valuedouble <= NGX_HTTP_CLAUDE_RELAY_DAYS
            && days->valuedouble == (double) (int) days->valuedouble)
        {
            return NGX_OK;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"days\" must be a number from 1 to "
                                         "%d", NGX_HTTP_CLAUDE_RELAY_DAYS);
        return NGX_ERROR;
    }

    text.data = (u_char *) (cJSON_IsString(until) ? until->valuestring : "");
    text.len = ngx_strlen(text.data);

    if (ngx_http_claude_relay_instant(&text, &t) == NGX_OK
        && t > ngx_http_claude_relay_now())
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"until\" must be a time to come such "
                                     "as \"2027-01-31T00:00:00Z\"");
    return NGX_ERROR;
}


static ncr_int_t
ngx_http_claude_relay_key_extend_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON               *settings, *days, *until;
    ncr_int_t            rc;
    ngx_int_t            moved;
    ncr_store_object_t   found;

    rc = ngx_http_claude_relay_bulk_find(bulk, store,
                                         (char *) bulk->call->name.data, 0,
                                         &found);
    if (rc != NCR_OK) {
        return rc;
    }

    days = cJSON_GetObjectItemCaseSensitive(bulk->call->body, "days");
    until = cJSON_GetObjectItemCaseSensitive(bulk->call->body, "until");

    settings = ngx_http_claude_relay_settings(found.data);
    moved = NGX_OK;

    if (until) {
        cJSON_DeleteItemFromObjectCaseSensitive(settings, "valid_for");
        cJSON_DeleteItemFromObjectCaseSensitive(settings, "expires_at");
        (void) cJSON_AddItemToObject(settings, "expires_at",
                                     cJSON_Duplicate(until, 0));

    } else {
        moved = ngx_http_claude_relay_key_extend(&found, settings,
                                    (ncr_msec_t) days->valuedouble
                                    * NGX_HTTP_CLAUDE_RELAY_DAY,
                                    bulk->call->now);
    }

    if (moved != NGX_OK) {
        cJSON_Delete(settings);
        rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                             (moved == NGX_DECLINED)
                             ? "key \"%V\" has no end that could be moved: "
                               "\"until\" gives it one"
                             : "key \"%V\" cannot be extended by so much",
                             &bulk->call->name);

    } else {
        rc = ngx_http_claude_relay_bulk_add(bulk, &found, settings, 1)
             ? NCR_OK : NCR_DECLINED;
    }

    ncr_store_object_free(&found);

    return rc;
}


ngx_int_t
ngx_http_claude_relay_key_extend(ncr_store_object_t *row, cJSON *settings,
    ncr_msec_t by, ncr_msec_t now)
{
    char              text[NCR_STR_RFC3339];
    u_char            length[NGX_INT64_LEN + 2];
    ncr_key_t        *key;
    ncr_msec_t        t, least, most;
    ncr_key_room_t    room;
    ncr_key_build_t   build;

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_record(row, NCR_SCOPE_KEY, &build) != NGX_OK)
    {
        return NGX_ERROR;
    }

    key = build.key;
    most = NGX_HTTP_CLAUDE_RELAY_DAYS * NGX_HTTP_CLAUDE_RELAY_DAY;

    if (key->expires == 0 && key->valid_for == 0) {
        return NGX_DECLINED;
    }

    if (key->expires) {

        /* what is over begins anew; what is shortened ends now at the most */

        t = (by > 0) ? ngx_max(key->expires, now) + by
                     : ngx_max(key->expires + by, ngx_min(key->expires, now));

        if (t > now + most) {
            return NGX_ERROR;
        }

        ncr_str_rfc3339(text, t);

        cJSON_DeleteItemFromObjectCaseSensitive(settings, "expires_at");
        (void) cJSON_AddStringToObject(settings, "expires_at", text);
    }

    if (key->valid_for) {

        /* how long it has been valid by now */

        least = key->activated ? ngx_max(now - key->activated, 0) : 0;

        t = (by > 0) ? ngx_max(key->valid_for, least) + by
                     : ngx_max(key->valid_for + by,
                               ngx_min(key->valid_for, least));

        t = (ngx_max(t, 1) + 999) / 1000;

        if (t > most / 1000) {
            return NGX_ERROR;
        }

        (void) ngx_sprintf(length, "%L%s%Z", (t % 86400) ? t : t / 86400,
                           (t % 86400) ? "s" : "d");

        cJSON_DeleteItemFromObjectCaseSensitive(settings, "valid_for");
        (void) cJSON_AddStringToObject(settings, "valid_for",
                                       (char *) length);
    }

    return NGX_OK;
}
