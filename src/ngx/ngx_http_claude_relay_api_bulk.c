
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Changes of many rows, or of one that takes a look at others first: read,
 * made anew and written in the store's thread, in one transaction.  Who was
 * faster in between is found out by the versions; then it begins again.
 */


#include "ngx_http_claude_relay_api_keys.h"


/* writers that meet: this often one reads again what the other has written */
#define NGX_HTTP_CLAUDE_RELAY_MEETINGS  100


static void ngx_http_claude_relay_bulk_free(void *data);
static void ngx_http_claude_relay_bulk_clear(
    ngx_http_claude_relay_bulk_t *bulk);
static void ngx_http_claude_relay_bulk_work(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_bulk_try(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_bulk_declined(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store, size_t which);
static void ngx_http_claude_relay_bulk_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_bulk_answer(
    ngx_http_claude_relay_call_t *call);
static ncr_store_object_t *ngx_http_claude_relay_bulk_next(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_object_t *from);
static ncr_int_t ngx_http_claude_relay_bulk_check(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_object_t *row);


ngx_http_claude_relay_bulk_t *
ngx_http_claude_relay_bulk(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_bulk_t         *bulk;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return NULL;
    }

    bulk = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_bulk_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (bulk == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_bulk_free;
    cln->data = bulk;

    bulk->call = call;
    bulk->kind = oc->kind;
    call->data = bulk;

    return bulk;
}


static void
ngx_http_claude_relay_bulk_free(void *data)
{
    ngx_http_claude_relay_bulk_t *bulk = data;

    ngx_http_claude_relay_bulk_clear(bulk);

    if (bulk->rows) {
        ngx_free(bulk->rows);
    }

    cJSON_Delete(bulk->answer);
}


static void
ngx_http_claude_relay_bulk_clear(ngx_http_claude_relay_bulk_t *bulk)
{
    size_t  i;

    for (i = 0; i < bulk->n; i++) {
        ncr_store_object_free(&bulk->rows[i]);
    }

    bulk->n = 0;
}


void
ngx_http_claude_relay_bulk_run(ngx_http_claude_relay_bulk_t *bulk)
{
    ngx_http_claude_relay_call_post(bulk->call,
                                    ngx_http_claude_relay_bulk_work,
                                    ngx_http_claude_relay_bulk_done);
}


static void
ngx_http_claude_relay_bulk_work(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                      rc;
    ngx_uint_t                     i;
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = call->data;
    rc = NCR_AGAIN;

    for (i = 0; rc == NCR_AGAIN; i++) {

        if (i == NGX_HTTP_CLAUDE_RELAY_MEETINGS) {
            rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                          "others change the same just now");
            break;
        }

        rc = ngx_http_claude_relay_bulk_try(bulk, store);
    }

    if (rc == NCR_OK && bulk->show) {
        rc = bulk->show(bulk, store);
    }

    /* what was declined is told by bulk->status */

    ngx_http_claude_relay_job_rc(store, job,
                                 bulk->status ? NCR_OK : rc);
}


static ncr_int_t
ngx_http_claude_relay_bulk_try(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    size_t     which;
    ncr_int_t  rc;

    ngx_http_claude_relay_bulk_clear(bulk);
    bulk->status = 0;

    rc = bulk->collect(bulk, store);

    if (rc != NCR_OK || bulk->n == 0) {
        return rc;
    }

    rc = ncr_store_objects_put(store, bulk->rows, bulk->n, bulk->bound,
                               bulk->call->now, &which);

    return (rc == NCR_DECLINED)
           ? ngx_http_claude_relay_bulk_declined(bulk, store, which) : rc;
}


static ncr_int_t
ngx_http_claude_relay_bulk_declined(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store, size_t which)
{
    ncr_int_t            rc;
    ngx_uint_t           deleted;
    ncr_store_object_t  *row, found;

    if (which == bulk->n) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                "there are %uz of your own keys, which is as "
                                "many as there may be", bulk->bound->max);
    }

    row = &bulk->rows[which];

    if (strstr(ncr_store_error(store), "this secret")) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                "there is a key with the secret of \"%s\"",
                                row->name);
    }

    if (strstr(ncr_store_error(store), "has a ") == NULL) {

        /* it has changed since it was read */

        return NCR_AGAIN;
    }

    rc = ncr_store_object_find(store, row->kind, row->name, &found);

    deleted = (rc == NCR_OK
               && ngx_http_claude_relay_key_deleted(found.data));

    ncr_store_object_free(&found);

    return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                             deleted ? "there is a deleted %s \"%s\": restore "
                                       "it, or delete it for ever"
                                     : "there is a %s \"%s\" already",
                             row->kind, row->name);
}


ncr_int_t
ngx_http_claude_relay_bulk_fail(ngx_http_claude_relay_bulk_t *bulk,
    ngx_uint_t status, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(bulk->error, bulk->error + sizeof(bulk->error) - 1, fmt,
                      args);
    va_end(args);

    *p = '\0';

    bulk->status = status;

    return NCR_DECLINED;
}


static void
ngx_http_claude_relay_bulk_done(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = call->data;

    if (bulk->status) {
        ngx_http_claude_relay_call_error(call, bulk->status, NULL, "%s",
                                         bulk->error);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (bulk->n == 0) {
        ngx_http_claude_relay_bulk_answer(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%s \"%s\"%s %s %s by %V", bulk->kind->name,
                  bulk->rows[0].name, (bulk->n == 1) ? "" : " and others",
                  (bulk->n == 1) ? "was" : "were", bulk->what,
                  &call->caller.who);

    call->seq = bulk->rows[bulk->n - 1].seq;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_bulk_answer);
}


static void
ngx_http_claude_relay_bulk_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *answer;
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = call->data;

    answer = bulk->answer;
    bulk->answer = NULL;

    ngx_http_claude_relay_call_answer(call,
                                      bulk->created ? NGX_HTTP_CREATED
                                      : answer ? NGX_HTTP_OK
                                               : NGX_HTTP_NO_CONTENT,
                                      answer, bulk->version);
}


ncr_int_t
ngx_http_claude_relay_bulk_find(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store, const char *name, ngx_uint_t deleted,
    ncr_store_object_t *found)
{
    ncr_int_t                      rc;
    ncr_str_t                      s;
    ngx_http_claude_relay_key_t   *conf;
    ngx_http_claude_relay_call_t  *call;

    call = bulk->call;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    ngx_memzero(found, sizeof(ncr_store_object_t));

    if (!ngx_http_claude_relay_valid_name((ngx_str_t *) &s)) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_NOT_FOUND,
                                               "there is no such %s",
                                               bulk->kind->name);
    }

    conf = (bulk->kind->scope == NCR_SCOPE_KEY)
           ? ngx_http_claude_relay_key_conf(call->rmcf, NCR_SCOPE_KEY, &s)
           : NULL;

    if (conf && ngx_http_claude_relay_key_own_conf(call, conf)) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                 "%s \"%s\" is one of nginx.conf: it is "
                                 "changed there", bulk->kind->name, name);
    }

    rc = conf ? NCR_DECLINED
              : ncr_store_object_find(store, bulk->kind->name, name, found);

    if (rc == NCR_DECLINED
        || (rc == NCR_OK
            && !ngx_http_claude_relay_key_own(call, found->data)))
    {
        rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_NOT_FOUND,
                                             "there is no %s \"%s\"",
                                             bulk->kind->name, name);

    } else if (rc == NCR_OK && !deleted
               && ngx_http_claude_relay_key_deleted(found->data))
    {
        rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_NOT_FOUND,
                                             "there is no %s \"%s\": it is "
                                             "deleted", bulk->kind->name,
                                             name);

    } else if (rc == NCR_OK && call->match != UINT64_MAX
               && call->match != found->version)
    {
        rc = ngx_http_claude_relay_bulk_fail(bulk,
                                 NGX_HTTP_PRECONDITION_FAILED,
                                 "%s \"%s\" was changed meanwhile: it has "
                                 "version %uL", bulk->kind->name, name,
                                 found->version);
    }

    if (rc != NCR_OK) {
        ncr_store_object_free(found);
    }

    return rc;
}


static ncr_store_object_t *
ngx_http_claude_relay_bulk_next(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *from)
{
    size_t               room;
    ncr_store_object_t  *rows;

    if (bulk->n == bulk->room) {
        room = bulk->room ? bulk->room * 2 : 16;

        rows = ngx_alloc(room * sizeof(ncr_store_object_t), ngx_cycle->log);

        if (rows == NULL) {
            (void) ngx_http_claude_relay_bulk_fail(bulk,
                                                NGX_HTTP_SERVICE_UNAVAILABLE,
                                                "no memory");
            return NULL;
        }

        if (bulk->rows) {
            ngx_memcpy(rows, bulk->rows, bulk->n * sizeof(ncr_store_object_t));
            ngx_free(bulk->rows);
        }

        bulk->rows = rows;
        bulk->room = room;
    }

    rows = &bulk->rows[bulk->n++];

    ngx_memzero(rows, sizeof(ncr_store_object_t));
    ngx_memcpy(rows->kind, from->kind, NCR_STORE_KIND);
    ngx_memcpy(rows->name, from->name, NCR_STORE_NAME);

    rows->version = from->version;

    return rows;
}


ncr_store_object_t *
ngx_http_claude_relay_bulk_add(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *from, cJSON *settings, ngx_uint_t check)
{
    char                *text;
    ncr_store_object_t  *row;

    text = cJSON_PrintUnformatted(settings);
    cJSON_Delete(settings);

    row = text ? ngx_http_claude_relay_bulk_next(bulk, from) : NULL;

    if (row) {
        row->data = ngx_http_claude_relay_dup(text, ngx_strlen(text));
    }

    cJSON_free(text);

    if (row == NULL || row->data == NULL) {
        (void) ngx_http_claude_relay_bulk_fail(bulk,
                                               NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "no memory");
        return NULL;
    }

    if (check && ngx_http_claude_relay_bulk_check(bulk, row) != NCR_OK) {
        return NULL;
    }

    return row;
}


static ncr_int_t
ngx_http_claude_relay_bulk_check(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *row)
{
    u_char           error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_str_t        name, text;
    ncr_key_room_t   room;
    ncr_key_build_t  build;

    name.data = (u_char *) row->name;
    name.len = ngx_strlen(row->name);
    text.data = (u_char *) row->data;
    text.len = ngx_strlen(row->data);

    if (text.len > NGX_HTTP_CLAUDE_RELAY_OBJECT_MAX) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_BAD_REQUEST,
                                          "%s \"%V\" is larger than %d bytes",
                                          row->kind, &name,
                                          NGX_HTTP_CLAUDE_RELAY_OBJECT_MAX);
    }

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_json(&build,
                                       ngx_http_claude_relay_scope(row->kind),
                                       &name, &text, error)
        != NGX_OK)
    {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_BAD_REQUEST,
                                               "%s", error);
    }

    return NCR_OK;
}


ncr_int_t
ngx_http_claude_relay_bulk_drop(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *from)
{
    ncr_store_object_t  *row;

    row = ngx_http_claude_relay_bulk_next(bulk, from);

    if (row == NULL) {
        return NCR_DECLINED;
    }

    row->removed = 1;

    return NCR_OK;
}


ncr_int_t
ngx_http_claude_relay_bulk_owners(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store, cJSON *settings)
{
    cJSON               *item;
    ncr_int_t            rc;
    ncr_str_t            name;
    ngx_uint_t           i;
    ncr_scope_e          scope;
    const char          *kind;
    ncr_store_object_t   found;

    for (i = 0; i < 2; i++) {

        scope = i ? NCR_SCOPE_GROUP : NCR_SCOPE_USER;
        kind = ngx_http_claude_relay_kind(scope);

        item = cJSON_GetObjectItemCaseSensitive(settings, kind);

        if (!cJSON_IsString(item) || *item->valuestring == '\0') {
            continue;
        }

        name.data = (u_char *) item->valuestring;
        name.len = ngx_strlen(item->valuestring);

        if (ngx_http_claude_relay_key_conf(bulk->call->rmcf, scope, &name)) {
            continue;
        }

        rc = ngx_http_claude_relay_valid_name((ngx_str_t *) &name)
             ? ncr_store_object_find(store, kind, item->valuestring, &found)
             : NCR_DECLINED;

        if (rc == NCR_OK) {
            ncr_store_object_free(&found);
            continue;
        }

        return (rc != NCR_DECLINED)
               ? rc
               : ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_BAD_REQUEST,
                                       "there is no %s \"%*s\"", kind,
                                       ngx_min(name.len, 64), name.data);
    }

    return NCR_OK;
}


cJSON *
ngx_http_claude_relay_settings(const char *data)
{
    cJSON  *settings;

    settings = cJSON_Parse(data);

    if (cJSON_IsObject(settings)) {
        return settings;
    }

    /* of no use as it is: it may be written anew */

    cJSON_Delete(settings);

    return cJSON_CreateObject();
}


ncr_int_t
ngx_http_claude_relay_bulk_merge(ngx_http_claude_relay_bulk_t *bulk,
    cJSON *settings, cJSON *members)
{
    cJSON  *item, *copy;

    cJSON_ArrayForEach(item, members) {

        if (ngx_strcmp(item->string, "activated_at") == 0
            || ngx_strcmp(item->string, "deleted_at") == 0
            || ngx_strcmp(item->string, "deleted_by") == 0)
        {
            return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_BAD_REQUEST,
                                             "\"%s\" is not for others to set",
                                             item->string);
        }

        cJSON_DeleteItemFromObjectCaseSensitive(settings, item->string);

        if (cJSON_IsNull(item)) {
            continue;
        }

        copy = cJSON_Duplicate(item, 1);

        if (copy == NULL
            || !cJSON_AddItemToObject(settings, item->string, copy))
        {
            cJSON_Delete(copy);
            return ngx_http_claude_relay_bulk_fail(bulk,
                                                NGX_HTTP_SERVICE_UNAVAILABLE,
                                                "no memory");
        }
    }

    return NCR_OK;
}


ncr_int_t
ngx_http_claude_relay_bulk_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_store_object_t            *row;
    ngx_http_claude_relay_times_t  times;

    row = &bulk->rows[0];

    times.activated = row->activated;
    times.used = 0;

    bulk->answer = ngx_http_claude_relay_show_row(bulk->kind, row, NULL,
                                                  &times);
    bulk->version = row->version;

    return NCR_OK;
}
