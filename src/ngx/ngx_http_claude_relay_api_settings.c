
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Settings that are changed while nginx runs, and what models are replaced
 * by, wherever that is said.
 */


#include "ngx_http_claude_relay_doc.h"


/* keys that one job looks at; maps that are shown */
#define NGX_HTTP_CLAUDE_RELAY_MAPS_KEYS  1000
#define NGX_HTTP_CLAUDE_RELAY_MAPS_MAX   10000


typedef struct {
    cJSON                             *maps;
    char                               after[NCR_STORE_NAME];
    ngx_uint_t                         seen;
    ngx_uint_t                         n;
    ngx_uint_t                         more;    /* keys are left */
} ngx_http_claude_relay_maps_t;


static void ngx_http_claude_relay_api_settings(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_settings(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *data);
static void ngx_http_claude_relay_show_members(cJSON *json,
    const char *const *names);
static void ngx_http_claude_relay_api_settings_patch(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_settings_edit(
    ngx_http_claude_relay_doc_t *doc, cJSON *json);
static void ngx_http_claude_relay_settings_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_model_maps(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_maps_free(void *data);
static cJSON *ngx_http_claude_relay_maps_row(
    ngx_http_claude_relay_maps_t *maps, const char *where, ngx_str_t *name);
static void ngx_http_claude_relay_maps_array(cJSON *row, ngx_array_t *map);
static void ngx_http_claude_relay_maps_blocks(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_maps_slots(cJSON *row, ncr_key_t *key);
static void ngx_http_claude_relay_maps_keys(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_maps_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_maps_key(void *data,
    ncr_store_object_t *row);
static void ngx_http_claude_relay_maps_read(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_maps_answer(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_settings_ways[] = {

    { NGX_HTTP_GET, "/v1/settings", ngx_http_claude_relay_api_settings,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/settings",
      ngx_http_claude_relay_api_settings_patch,
      NCR_ROLE_ADMIN, 1, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/model-maps", ngx_http_claude_relay_api_model_maps,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_settings(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_setting_t  *s;

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the query takes nothing");
        return;
    }

    s = call->rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
              ngx_http_claude_relay_show_settings(call->rmcf,
                                                  s ? s->row.data : "{}"),
              s ? s->row.version : 0);
}


/* with what holds where nothing was said */

static cJSON *
ngx_http_claude_relay_show_settings(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *data)
{
    cJSON  *json, *item;

    static const char *const  brand[] = { "name", "notice", NULL };
    static const char *const  closed[] = { "message", NULL };

    json = cJSON_Parse(data);

    if (json == NULL) {
        json = cJSON_CreateObject();
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "maintenance");
    item = item ? item : cJSON_AddObjectToObject(json, "maintenance");

    if (!cJSON_HasObjectItem(item, "enabled")) {
        (void) cJSON_AddFalseToObject(item, "enabled");
    }

    ngx_http_claude_relay_show_members(item, closed);

    if (!cJSON_HasObjectItem(json, "model_map")) {
        (void) cJSON_AddObjectToObject(json, "model_map");
    }

    if (!cJSON_HasObjectItem(json, "unpriced")) {
        (void) cJSON_AddStringToObject(json, "unpriced",
                                       rmcf->unpriced_refuse ? "refuse"
                                                             : "allow");
    }

    if (!cJSON_HasObjectItem(json, "alerts")) {
        (void) cJSON_AddObjectToObject(json, "alerts");
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "branding");
    item = item ? item : cJSON_AddObjectToObject(json, "branding");

    ngx_http_claude_relay_show_members(item, brand);

    return json;
}


static void
ngx_http_claude_relay_show_members(cJSON *json, const char *const *names)
{
    for ( /* void */ ; *names; names++) {
        if (!cJSON_HasObjectItem(json, *names)) {
            (void) cJSON_AddStringToObject(json, *names, "");
        }
    }
}


/* a member takes the place of the one that was there; null: of the default */

static void
ngx_http_claude_relay_api_settings_patch(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    if (call->body->child == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nothing is to be changed");
        return;
    }

    doc = ngx_http_claude_relay_doc(call, NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN);

    if (doc == NULL) {
        return;
    }

    doc->edit = ngx_http_claude_relay_settings_edit;
    doc->done = ngx_http_claude_relay_settings_done;

    ngx_http_claude_relay_doc_change(doc);
}


static ngx_int_t
ngx_http_claude_relay_settings_edit(ngx_http_claude_relay_doc_t *doc,
    cJSON *json)
{
    cJSON  *item, *copy;

    cJSON_ArrayForEach(item, doc->call->body) {

        cJSON_DeleteItemFromObjectCaseSensitive(json, item->string);

        if (cJSON_IsNull(item)) {
            continue;
        }

        copy = cJSON_Duplicate(item, 1);

        if (copy == NULL
            || !cJSON_AddItemToObject(json, item->string, copy))
        {
            cJSON_Delete(copy);
            return ngx_http_claude_relay_doc_refuse(doc,
                                 NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_settings_done(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                      ngx_http_claude_relay_show_settings(call->rmcf,
                                                          doc->row.data),
                      doc->row.version);
}


/* in the order in which they are asked */

static void
ngx_http_claude_relay_api_model_maps(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *row;
    ngx_uint_t                          i;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_claude_relay_maps_t       *maps;
    ngx_http_claude_relay_setting_t    *s;
    ngx_http_claude_relay_located_t    *l;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the query takes nothing");
        return;
    }

    rmcf = call->rmcf;
    maps = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_maps_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (maps == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_maps_free;
    cln->data = maps;

    maps->maps = cJSON_CreateArray();
    call->data = maps;

    l = rmcf->located.elts;

    for (i = 0; i < rmcf->located.nelts; i++) {
        row = ngx_http_claude_relay_maps_row(maps, "location", NULL);

        (void) cJSON_AddStringToObject(row, "file", (char *) l[i].file);
        (void) cJSON_AddNumberToObject(row, "line", (double) l[i].line);

        ngx_http_claude_relay_maps_array(row, l[i].map);
    }

    s = rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    if (s && s->map) {
        row = ngx_http_claude_relay_maps_row(maps, "settings", NULL);
        ngx_http_claude_relay_maps_array(row, s->map);
    }

    ngx_http_claude_relay_maps_blocks(call);

    if (rmcf->store == NULL) {
        ngx_http_claude_relay_maps_answer(call);
        return;
    }

    ngx_http_claude_relay_maps_keys(call);
}


static void
ngx_http_claude_relay_maps_free(void *data)
{
    ngx_http_claude_relay_maps_t *maps = data;

    cJSON_Delete(maps->maps);
}


/* name NULL: it has none */

static cJSON *
ngx_http_claude_relay_maps_row(ngx_http_claude_relay_maps_t *maps,
    const char *where, ngx_str_t *name)
{
    cJSON  *row;

    row = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(row, "where", where);

    if (name) {
        ngx_http_claude_relay_show_str(row, "name", name);
    }

    (void) cJSON_AddItemToArray(maps->maps, row);

    maps->n++;

    return row;
}


static void
ngx_http_claude_relay_maps_array(cJSON *row, ngx_array_t *map)
{
    cJSON                        *json;
    ngx_uint_t                    i;
    ngx_http_claude_relay_map_t  *m;

    json = cJSON_AddObjectToObject(row, "map");
    m = map->elts;

    for (i = 0; i < map->nelts; i++) {

        /* patterns end with a NUL neither in nginx.conf nor in a pool */

        char  from[NCR_MODEL_LEN];

        (void) ngx_snprintf((u_char *) from, sizeof(from), "%V%Z",
                            &m[i].from);
        ngx_http_claude_relay_show_str(json, from, &m[i].to);
    }
}


/* accounts, and keys of nginx.conf */

static void
ngx_http_claude_relay_maps_blocks(ngx_http_claude_relay_call_t *call)
{
    cJSON                             *row;
    ncr_str_t                          name;
    ngx_uint_t                         i, n;
    ngx_array_t                       *blocks;
    ngx_http_claude_relay_key_t       *block;
    ngx_http_claude_relay_maps_t      *maps;
    ngx_http_claude_relay_account_t  **a;

    maps = call->data;
    blocks = ngx_http_claude_relay_kind_conf(call->rmcf, NCR_SCOPE_KEY);
    block = blocks->elts;

    for (i = 0; i < blocks->nelts; i++) {

        for (n = 0; n < NCR_SLOTS; n++) {
            if (block[i].key->slots[n].platform.len
                || block[i].key->slots[n].model.len
                || block[i].key->slots[n].effort.len)
            {
                break;
            }
        }

        if (n < NCR_SLOTS) {
            name = ncr_key_text(block[i].key, block[i].key->name);
            row = ngx_http_claude_relay_maps_row(maps, "key",
                                                 (ngx_str_t *) &name);
            ngx_http_claude_relay_maps_slots(row, block[i].key);
        }
    }

    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {
        if (a[i]->model_map) {
            row = ngx_http_claude_relay_maps_row(maps, "account",
                                                 &a[i]->name);
            ngx_http_claude_relay_maps_array(row, a[i]->model_map);
        }
    }
}


static void
ngx_http_claude_relay_maps_slots(cJSON *row, ncr_key_t *key)
{
    cJSON           *json, *slot;
    ncr_str_t        text;
    ngx_uint_t       n, i;
    ncr_slice_t     *slice;
    ncr_key_slot_t  *s;

    static const char *const  slots[NCR_SLOTS] = { "opus", "sonnet", "haiku" };
    static const char *const  names[] = { "platform", "model", "effort" };

    json = cJSON_AddObjectToObject(row, "slots");

    for (n = 0; n < NCR_SLOTS; n++) {
        s = &key->slots[n];

        if (s->platform.len + s->model.len + s->effort.len == 0) {
            continue;
        }

        slot = cJSON_AddObjectToObject(json, slots[n]);

        for (i = 0; i < 3; i++) {
            slice = (i == 0) ? &s->platform
                             : (i == 1) ? &s->model : &s->effort;

            if (slice->len) {
                text = ncr_key_text(key, *slice);
                ngx_http_claude_relay_show_str(slot, names[i],
                                               (ngx_str_t *) &text);
            }
        }
    }
}


static void
ngx_http_claude_relay_maps_keys(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_maps_run,
                                    ngx_http_claude_relay_maps_read);
}


static void
ngx_http_claude_relay_maps_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                           after[NCR_STORE_NAME];
    ngx_http_claude_relay_maps_t  *maps;

    maps = call->data;
    maps->seen = 0;
    maps->more = 0;

    ngx_memcpy(after, maps->after, sizeof(after));

    ngx_http_claude_relay_job_rc(store, job,
                         ncr_store_object_list(store, "key", after,
                                               ngx_http_claude_relay_maps_key,
                                               maps));
}


static ncr_int_t
ngx_http_claude_relay_maps_key(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_maps_t *maps = data;

    cJSON      *json, *slots, *shown;
    ngx_str_t   name;

    if (maps->n >= NGX_HTTP_CLAUDE_RELAY_MAPS_MAX) {
        return NCR_DONE;
    }

    if (maps->seen++ == NGX_HTTP_CLAUDE_RELAY_MAPS_KEYS) {
        maps->more = 1;
        return NCR_DONE;
    }

    (void) ngx_cpystrn((u_char *) maps->after, (u_char *) row->name,
                       sizeof(maps->after));

    if (row->removed || ngx_strstr(row->data, "\"map\":") == NULL) {
        return NCR_OK;
    }

    json = cJSON_Parse(row->data);
    slots = cJSON_DetachItemFromObjectCaseSensitive(json, "map");

    cJSON_Delete(json);

    if (slots && slots->child) {
        name.data = (u_char *) row->name;
        name.len = ngx_strlen(row->name);

        shown = ngx_http_claude_relay_maps_row(maps, "key", &name);

        if (cJSON_AddItemToObject(shown, "slots", slots)) {
            return NCR_OK;
        }
    }

    cJSON_Delete(slots);

    return NCR_OK;
}


static void
ngx_http_claude_relay_maps_read(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_maps_t  *maps;

    maps = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (maps->more) {
        ngx_http_claude_relay_maps_keys(call);
        return;
    }

    ngx_http_claude_relay_maps_answer(call);
}


static void
ngx_http_claude_relay_maps_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *json;
    ngx_http_claude_relay_maps_t  *maps;

    maps = call->data;

    json = cJSON_CreateObject();
    (void) cJSON_AddItemToObject(json, "maps", maps->maps);
    maps->maps = NULL;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
