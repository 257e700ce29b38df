
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Tags are words of keys, and nothing by themselves: there is one as long as
 * a key has it.  Keys that are deleted are not counted, but follow.
 */


#include "ngx_http_claude_relay_api_keys.h"


#define NGX_HTTP_CLAUDE_RELAY_TAG_MAX  64


typedef struct {
    ngx_http_claude_relay_bulk_t      *bulk;
    char                             **tags;    /* as often as they are there */
    size_t                             n;
    size_t                             room;
    char                              *old;
    char                              *new;     /* NULL: none */
} ngx_http_claude_relay_tags_t;


static ngx_http_claude_relay_tags_t *ngx_http_claude_relay_tags(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_tags_free(void *data);
static ncr_int_t ngx_http_claude_relay_tags_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_tags_conf(
    ngx_http_claude_relay_tags_t *tags);
static ncr_int_t ngx_http_claude_relay_tags_row(void *data,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_tags_add(
    ngx_http_claude_relay_tags_t *tags, const char *tag);
static ncr_int_t ngx_http_claude_relay_tags_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static int ngx_libc_cdecl ngx_http_claude_relay_tags_compare(const void *one,
    const void *two);
static ncr_int_t ngx_http_claude_relay_tag_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_tag_row(void *data,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_tag_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);


static ngx_http_claude_relay_tags_t *
ngx_http_claude_relay_tags(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_claude_relay_bulk_t  *bulk;
    ngx_http_claude_relay_tags_t  *tags;

    bulk = ngx_http_claude_relay_bulk(call);
    if (bulk == NULL) {
        return NULL;
    }

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no such query here");
        return NULL;
    }

    tags = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_tags_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (tags == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_tags_free;
    cln->data = tags;

    tags->bulk = bulk;
    tags->old = (char *) call->name.data;
    bulk->data = tags;

    return tags;
}


static void
ngx_http_claude_relay_tags_free(void *data)
{
    ngx_http_claude_relay_tags_t *tags = data;

    while (tags->n) {
        ngx_free(tags->tags[--tags->n]);
    }

    if (tags->tags) {
        ngx_free(tags->tags);
        tags->tags = NULL;
    }

    tags->room = 0;
}


void
ngx_http_claude_relay_api_tags(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *answer;
    ngx_http_claude_relay_tags_t  *tags;

    tags = ngx_http_claude_relay_tags(call);
    if (tags == NULL) {
        return;
    }

    tags->bulk->collect = ngx_http_claude_relay_tags_collect;
    tags->bulk->show = ngx_http_claude_relay_tags_show;

    if (call->rmcf->store) {
        ngx_http_claude_relay_bulk_run(tags->bulk);
        return;
    }

    if (ngx_http_claude_relay_tags_conf(tags) != NCR_OK) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    (void) ngx_http_claude_relay_tags_show(tags->bulk, NULL);

    answer = tags->bulk->answer;
    tags->bulk->answer = NULL;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, answer, 0);
}


static ncr_int_t
ngx_http_claude_relay_tags_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_int_t  rc;

    ngx_http_claude_relay_tags_free(bulk->data);

    rc = ncr_store_object_list(store, "key", "",
                               ngx_http_claude_relay_tags_row, bulk->data);

    return (rc == NCR_OK) ? ngx_http_claude_relay_tags_conf(bulk->data) : rc;
}


static ncr_int_t
ngx_http_claude_relay_tags_conf(ngx_http_claude_relay_tags_t *tags)
{
    ncr_int_t                     rc;
    ngx_uint_t                    i;
    ngx_array_t                  *blocks;
    ncr_store_object_t            row;
    ngx_http_claude_relay_key_t  *block;

    blocks = &tags->bulk->call->rmcf->keys;
    block = blocks->elts;
    rc = NCR_OK;

    for (i = 0; i < blocks->nelts && rc == NCR_OK; i++) {

        row.data = ngx_http_claude_relay_dup(block[i].settings.data,
                                             block[i].settings.len);
        if (row.data == NULL) {
            return NCR_ERROR;
        }

        rc = ngx_http_claude_relay_tags_row(tags, &row);

        ngx_free(row.data);
    }

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_tags_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_tags_t *tags = data;

    cJSON      *json, *item;
    ncr_int_t   rc;

    if (ngx_strstr(row->data, "\"tags\":[\"") == NULL
        || ngx_http_claude_relay_key_deleted(row->data))
    {
        return NCR_OK;
    }

    json = cJSON_Parse(row->data);
    rc = NCR_OK;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "tags")) {
        if (cJSON_IsString(item) && rc == NCR_OK) {
            rc = ngx_http_claude_relay_tags_add(tags, item->valuestring);
        }
    }

    cJSON_Delete(json);

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_tags_add(ngx_http_claude_relay_tags_t *tags,
    const char *tag)
{
    char    **more, *copy;
    size_t    room;

    if (tags->n == tags->room) {
        room = tags->room ? 2 * tags->room : 256;

        more = ngx_alloc(room * sizeof(char *), ngx_cycle->log);
        if (more == NULL) {
            return NCR_ERROR;
        }

        if (tags->tags) {
            ngx_memcpy(more, tags->tags, tags->n * sizeof(char *));
            ngx_free(tags->tags);
        }

        tags->tags = more;
        tags->room = room;
    }

    copy = ngx_http_claude_relay_dup(tag, ngx_strlen(tag));
    if (copy == NULL) {
        return NCR_ERROR;
    }

    tags->tags[tags->n++] = copy;

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_tags_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                         *list, *item;
    size_t                         i, first;
    ngx_http_claude_relay_tags_t  *tags;

    tags = bulk->data;

    bulk->answer = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(bulk->answer, "tags");

    if (tags->n) {
        qsort(tags->tags, tags->n, sizeof(char *),
              ngx_http_claude_relay_tags_compare);
    }

    for (i = 0, first = 0; i < tags->n; i++) {

        if (i + 1 < tags->n
            && ngx_strcmp(tags->tags[i], tags->tags[i + 1]) == 0)
        {
            continue;
        }

        item = cJSON_CreateObject();

        (void) cJSON_AddStringToObject(item, "name", tags->tags[i]);
        (void) cJSON_AddNumberToObject(item, "count",
                                       (double) (i + 1 - first));
        (void) cJSON_AddItemToArray(list, item);

        first = i + 1;
    }

    return NCR_OK;
}


static int ngx_libc_cdecl
ngx_http_claude_relay_tags_compare(const void *one, const void *two)
{
    return ngx_strcmp(*(char *const *) one, *(char *const *) two);
}


void
ngx_http_claude_relay_api_tag_rename(ngx_http_claude_relay_call_t *call)
{
    u_char                        *p;
    cJSON                         *values[1];
    ngx_uint_t                     wrong;
    ngx_http_claude_relay_tags_t  *tags;

    static const char *const  names[] = { "name", NULL };

    tags = ngx_http_claude_relay_tags(call);

    if (tags == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    tags->new = cJSON_IsString(values[0]) ? values[0]->valuestring
                                          : (char *) "";

    wrong = (tags->new[0] == '\0'
             || ngx_strlen(tags->new) > NGX_HTTP_CLAUDE_RELAY_TAG_MAX
             || ngx_strcmp(tags->new, tags->old) == 0);

    for (p = (u_char *) tags->new; *p; p++) {
        wrong |= (*p < ' ' || *p == 0x7f);
    }

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"name\" must be another tag, of 1 to %d bytes "
                         "without control characters",
                         NGX_HTTP_CLAUDE_RELAY_TAG_MAX);
        return;
    }

    tags->bulk->collect = ngx_http_claude_relay_tag_collect;
    tags->bulk->show = ngx_http_claude_relay_tag_show;
    tags->bulk->what = "given another tag";

    ngx_http_claude_relay_bulk_run(tags->bulk);
}


void
ngx_http_claude_relay_api_tag_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_tags_t  *tags;

    tags = ngx_http_claude_relay_tags(call);
    if (tags == NULL) {
        return;
    }

    tags->bulk->collect = ngx_http_claude_relay_tag_collect;
    tags->bulk->what = "freed of a tag";

    ngx_http_claude_relay_bulk_run(tags->bulk);
}


static ncr_int_t
ngx_http_claude_relay_tag_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_int_t                      rc;
    ngx_http_claude_relay_tags_t  *tags;

    tags = bulk->data;

    rc = ncr_store_object_list(store, "key", "",
                               ngx_http_claude_relay_tag_row, tags);

    if (rc == NCR_OK && bulk->n == 0) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_NOT_FOUND,
                                               "no key of the store has this "
                                               "tag");
    }

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_tag_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_tags_t *tags = data;

    cJSON       *json, *list, *item, *next;
    ngx_uint_t   had, has;

    if (ngx_strstr(row->data, "\"tags\":[\"") == NULL) {
        return NCR_OK;
    }

    json = ngx_http_claude_relay_settings(row->data);
    list = cJSON_GetObjectItemCaseSensitive(json, "tags");
    had = 0;
    has = (tags->new == NULL);

    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsString(item) && tags->new
            && ngx_strcmp(item->valuestring, tags->new) == 0)
        {
            has = 1;
        }
    }

    for (item = list ? list->child : NULL; item; item = next) {

        next = item->next;

        if (!cJSON_IsString(item)
            || ngx_strcmp(item->valuestring, tags->old) != 0)
        {
            continue;
        }

        had = 1;

        if (has) {
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));

        } else {
            (void) cJSON_ReplaceItemViaPointer(list, item,
                                             cJSON_CreateString(tags->new));
            has = 1;
        }
    }

    if (!had) {
        cJSON_Delete(json);
        return NCR_OK;
    }

    return ngx_http_claude_relay_bulk_add(tags->bulk, row, json, 0)
           ? NCR_OK : NCR_DECLINED;
}


static ncr_int_t
ngx_http_claude_relay_tag_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ngx_http_claude_relay_tags_t  *tags;

    tags = bulk->data;

    bulk->answer = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(bulk->answer, "name", tags->new);
    (void) cJSON_AddNumberToObject(bulk->answer, "keys", (double) bulk->n);

    return NCR_OK;
}
