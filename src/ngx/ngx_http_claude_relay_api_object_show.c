
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the API shows of one key, user, group or limit.  Those of nginx.conf
 * are shown like those of the store.
 */


#include "ngx_http_claude_relay_api_keys.h"


static ngx_int_t ngx_http_claude_relay_object_query(
    ngx_http_claude_relay_call_t *call, ngx_uint_t *deleted);
static void ngx_http_claude_relay_object_shown(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_show_key(cJSON *json,
    ncr_store_object_t *row, ncr_key_t *key,
    ngx_http_claude_relay_times_t *times);


void
ngx_http_claude_relay_api_object(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                            deleted;
    ngx_http_claude_relay_key_t          *conf;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);

    if (oc == NULL
        || ngx_http_claude_relay_object_query(call, &deleted) != NGX_OK)
    {
        return;
    }

    oc->deleted = deleted;

    conf = ngx_http_claude_relay_object_conf(call);

    if (conf && !ngx_http_claude_relay_key_own_conf(call, conf)) {
        ngx_http_claude_relay_object_gone(call);
        return;
    }

    if (conf) {
        ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                         ngx_http_claude_relay_show_object(call, oc->kind,
                                                           NULL, conf, 1),
                         0);
        return;
    }

    ngx_http_claude_relay_object_look(call,
                                      ngx_http_claude_relay_object_shown);
}


static ngx_int_t
ngx_http_claude_relay_object_query(ngx_http_claude_relay_call_t *call,
    ngx_uint_t *deleted)
{
    *deleted = ncr_str_eq(ncr(&call->args), "deleted=true");

    if (call->args.len == 0
        || (ngx_strcmp(call->way->path, "/v1/keys/*") == 0
            && (*deleted || ncr_str_eq(ncr(&call->args), "deleted=false"))))
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "there is no such query here");
    return NGX_ERROR;
}


static void
ngx_http_claude_relay_object_shown(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_object_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (ngx_http_claude_relay_object_hidden(call)) {
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                         ngx_http_claude_relay_show_object(call, oc->kind,
                                                           &oc->found, NULL,
                                                           1),
                         oc->found.version);
}


/* found is not there for the caller, or is deleted: the call has ended */

ngx_uint_t
ngx_http_claude_relay_object_hidden(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (oc->kind->scope != NCR_SCOPE_KEY) {
        return 0;
    }

    if (!ngx_http_claude_relay_key_own(call, oc->found.data)) {
        ngx_http_claude_relay_object_gone(call);
        return 1;
    }

    if (ngx_http_claude_relay_key_deleted(oc->found.data) && !oc->deleted) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no %s \"%V\": it is "
                                         "deleted", oc->kind->name,
                                         &call->name);
        return 1;
    }

    return 0;
}


cJSON *
ngx_http_claude_relay_show_object(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_kind_t *kind, ncr_store_object_t *row,
    ngx_http_claude_relay_key_t *conf, ngx_uint_t usage)
{
    cJSON                          *json;
    ncr_key_t                      *key;
    ncr_key_room_t                  room;
    ncr_key_build_t                 build;
    ngx_http_claude_relay_times_t   times;

    ngx_memzero(&times, sizeof(ngx_http_claude_relay_times_t));

    if (row) {
        times.activated = row->activated;

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        (void) ngx_http_claude_relay_subject_times_locked(call->rmcf,
                                                kind->scope, row->id,
                                                &times.activated,
                                                &times.used);
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);
    }

    json = ngx_http_claude_relay_show_row(kind, row, conf, &times);

    if (!usage) {
        return json;
    }

    key = conf ? conf->key : NULL;

    if (row) {
        build.buf = room.buf;

        if (ngx_http_claude_relay_key_record(row, kind->scope, &build)
            == NGX_OK)
        {
            key = build.key;
        }
    }

    if (key) {
        ngx_http_claude_relay_show_usage(call, json, key);
    }

    return json;
}


/* for the thread, too: nothing but memory is used */

cJSON *
ngx_http_claude_relay_show_row(ngx_http_claude_relay_kind_t *kind,
    ncr_store_object_t *row, ngx_http_claude_relay_key_t *conf,
    ngx_http_claude_relay_times_t *times)
{
    cJSON            *json, *settings, *item;
    u_char            id[NGX_INT64_LEN + 1];
    u_char            error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_key_t        *key;
    ngx_str_t         name, text;
    ngx_int_t         rc;
    ncr_key_room_t    room;
    ncr_key_build_t   build;

    if (conf) {
        name = conf->name;
        text = conf->settings;
        key = conf->key;
        rc = NGX_OK;

    } else {
        name.data = (u_char *) row->name;
        name.len = ngx_strlen(row->name);
        text.data = (u_char *) row->data;
        text.len = ngx_strlen(row->data);

        build.buf = room.buf;
        rc = ngx_http_claude_relay_key_json(&build, kind->scope, &name, &text,
                                            error);
        key = build.key;
        key->id = row->id;
    }

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &name);

    /* those of nginx.conf are too large for a double */

    (void) ngx_sprintf(id, "%uL%Z", conf ? key->id : row->id);
    (void) cJSON_AddRawToObject(json, "id", (char *) id);

    (void) cJSON_AddStringToObject(json, "source",
                                   conf ? "nginx.conf" : "store");

    settings = cJSON_ParseWithLength((char *) text.data, text.len);

    if (cJSON_GetObjectItemCaseSensitive(settings, "enabled") == NULL) {
        (void) cJSON_AddTrueToObject(json, "enabled");
    }

    while (cJSON_IsObject(settings) && settings->child) {

        item = cJSON_DetachItemViaPointer(settings, settings->child);

        if (ngx_strcmp(item->string, "name") == 0) {
            cJSON_Delete(item);
            continue;
        }

        if (ngx_strcmp(item->string, "expires_at") == 0 && rc == NGX_OK) {
            cJSON_Delete(item);
            ngx_http_claude_relay_show_time(json, "expires_at", key->expires);
            continue;
        }

        if (ngx_strcmp(item->string, "deleted_at") == 0) {
            ngx_http_claude_relay_show_time(json, "deleted_at",
                                            cJSON_IsNumber(item)
                                            ? (ncr_msec_t) item->valuedouble
                                            : 0);
            cJSON_Delete(item);
            continue;
        }

        (void) cJSON_AddItemToObject(json, item->string, item);
    }

    cJSON_Delete(settings);

    if (kind->scope == NCR_SCOPE_KEY) {
        ngx_http_claude_relay_show_key(json, row, rc == NGX_OK ? key : NULL,
                                       times);
    }

    if (rc != NGX_OK) {
        (void) cJSON_AddStringToObject(json, "error", (char *) error);
    }

    if (row) {
        (void) cJSON_AddNumberToObject(json, "version", (double) row->version);
        ngx_http_claude_relay_show_time(json, "created_at", row->created);
        ngx_http_claude_relay_show_time(json, "updated_at", row->updated);
    }

    return json;
}


static void
ngx_http_claude_relay_show_key(cJSON *json, ncr_store_object_t *row,
    ncr_key_t *key, ngx_http_claude_relay_times_t *times)
{
    ncr_msec_t   activated, ends;
    const char  *state;

    activated = row ? times->activated : (key ? key->activated : 0);
    ends = 0;

    if (row) {
        (void) cJSON_AddStringToObject(json, "prefix", row->prefix);
    }

    if (row && ngx_http_claude_relay_key_deleted(row->data)) {
        state = "deleted";

    } else if (key == NULL) {
        state = "unusable";

    } else {

        if (row) {
            key->activated = activated;
        }

        ends = ncr_key_ends(key);

        state = !key->enabled ? "disabled"
                : (ends && ends <= ngx_http_claude_relay_now()) ? "expired"
                : (key->valid_for && activated == 0) ? "unused" : "active";
    }

    (void) cJSON_AddStringToObject(json, "state", state);
    ngx_http_claude_relay_show_time(json, "ends_at", ends);
    ngx_http_claude_relay_show_time(json, "activated_at", activated);

    if (row) {
        ngx_http_claude_relay_show_time(json, "last_used_at", times->used);
    }
}
