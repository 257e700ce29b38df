
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the API shows of keys, users, groups and limits: one, or a page of
 * them by name.  Those of nginx.conf stand among those of the store.
 */


#include "ngx_http_claude_relay_api.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_PAGE      100
#define NGX_HTTP_CLAUDE_RELAY_PAGE_MAX  1000


/* what a list is asked for; a text without data is not asked for */

typedef struct {
    ngx_str_t                          after;
    ngx_str_t                          limit;
    ngx_str_t                          q;
    ngx_str_t                          tag;
    ngx_str_t                          user;
    ngx_str_t                          group;
    ngx_str_t                          enabled;
    ngx_str_t                          source;
} ngx_http_claude_relay_query_t;


typedef struct {
    ngx_http_claude_relay_kind_t      *kind;
    ngx_http_claude_relay_query_t      query;
    size_t                             max;
    ncr_store_object_t                *rows;
    size_t                             n;
    size_t                             room;
} ngx_http_claude_relay_page_t;


static ngx_int_t ngx_http_claude_relay_page_query(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_page_t *page);
static ngx_int_t ngx_http_claude_relay_page_arg(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_query_t *query,
    ngx_str_t *arg);
static void ngx_http_claude_relay_page_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_page_row(void *data,
    ncr_store_object_t *row);
static ngx_uint_t ngx_http_claude_relay_page_takes(
    ngx_http_claude_relay_page_t *page, const char *name, const char *data,
    ngx_uint_t conf);
static ngx_uint_t ngx_http_claude_relay_page_text(const char *name,
    const char *data, ngx_str_t *q);
static ngx_uint_t ngx_http_claude_relay_page_tag(const char *data,
    ngx_str_t *tag);
static void ngx_http_claude_relay_page_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_page_free(void *data);
static ngx_http_claude_relay_key_t **ngx_http_claude_relay_page_conf(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_page_t *page,
    ngx_uint_t *n);
static int ngx_libc_cdecl ngx_http_claude_relay_page_compare(const void *one,
    const void *two);
static void ngx_http_claude_relay_object_shown(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_show_key(ngx_http_claude_relay_call_t *call,
    cJSON *json, ncr_store_object_t *row, ncr_key_t *key);


static struct {
    const char  *name;
    size_t       offset;
} ngx_http_claude_relay_page_args[] = {
    { "after=", offsetof(ngx_http_claude_relay_query_t, after) },
    { "limit=", offsetof(ngx_http_claude_relay_query_t, limit) },
    { "q=", offsetof(ngx_http_claude_relay_query_t, q) },
    { "tag=", offsetof(ngx_http_claude_relay_query_t, tag) },
    { "user=", offsetof(ngx_http_claude_relay_query_t, user) },
    { "group=", offsetof(ngx_http_claude_relay_query_t, group) },
    { "enabled=", offsetof(ngx_http_claude_relay_query_t, enabled) },
    { "source=", offsetof(ngx_http_claude_relay_query_t, source) },
    { NULL, 0 }
};


void
ngx_http_claude_relay_api_objects(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_page_t         *page;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return;
    }

    page = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_page_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (page == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_page_free;
    cln->data = page;

    page->kind = oc->kind;
    call->data = page;

    if (ngx_http_claude_relay_page_query(call, page) != NGX_OK) {
        return;
    }

    if (call->rmcf->store == NULL
        || (page->query.source.data
            && !ncr_str_eq(ncr(&page->query.source), "store")))
    {
        call->job.rc = NCR_OK;
        ngx_http_claude_relay_page_done(call);
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_page_run,
                                    ngx_http_claude_relay_page_done);
}


static ngx_int_t
ngx_http_claude_relay_page_query(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_page_t *page)
{
    u_char                         *p;
    int64_t                         n;
    ngx_str_t                       arg;
    ngx_http_claude_relay_query_t  *query;

    query = &page->query;
    p = call->args.data;

    while (ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK) {

        if (arg.len
            && ngx_http_claude_relay_page_arg(call, query, &arg) != NGX_OK)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                             "the query takes \"limit\", \"after\", \"q\", "
                             "\"tag\", \"user\", \"group\", \"enabled\" and "
                             "\"source\", each once");
            return NGX_ERROR;
        }
    }

    page->max = NGX_HTTP_CLAUDE_RELAY_PAGE;

    if (query->limit.data) {

        if (ncr_str_int(ncr(&query->limit), &n) != NCR_OK
            || n < 1 || n > NGX_HTTP_CLAUDE_RELAY_PAGE_MAX)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"limit\" must be a number from "
                                             "1 to %d",
                                             NGX_HTTP_CLAUDE_RELAY_PAGE_MAX);
            return NGX_ERROR;
        }

        page->max = (size_t) n;
    }

    if (query->after.len && !ngx_http_claude_relay_valid_name(&query->after)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"after\" must be a name");
        return NGX_ERROR;
    }

    if ((query->enabled.data
         && !ncr_str_eq(ncr(&query->enabled), "true")
         && !ncr_str_eq(ncr(&query->enabled), "false"))
        || (query->source.data
            && !ncr_str_eq(ncr(&query->source), "store")
            && !ncr_str_eq(ncr(&query->source), "nginx.conf")))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"enabled\" must be \"true\" or \"false\", "
                         "\"source\" \"store\" or \"nginx.conf\"");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the value with its NUL, which there is none within */

static ngx_int_t
ngx_http_claude_relay_page_arg(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query, ngx_str_t *arg)
{
    u_char      *buf;
    ngx_str_t   *slot;
    ncr_str_t    value;
    ngx_uint_t   i;

    for (i = 0; ngx_http_claude_relay_page_args[i].name; i++) {

        if (!ncr_str_prefix(ncr(arg), ngx_http_claude_relay_page_args[i].name))
        {
            continue;
        }

        slot = (ngx_str_t *) (void *)
                   ((u_char *) query
                    + ngx_http_claude_relay_page_args[i].offset);

        value = *ncr(arg);
        value.data += ngx_strlen(ngx_http_claude_relay_page_args[i].name);
        value.len -= ngx_strlen(ngx_http_claude_relay_page_args[i].name);

        buf = ngx_pnalloc(call->pool, value.len + 1);

        if (slot->data || buf == NULL
            || ncr_uri_unescape(&value, buf) != NCR_OK
            || memchr(value.data, '\0', value.len))
        {
            return NGX_ERROR;
        }

        ngx_memmove(buf, value.data, value.len);
        buf[value.len] = '\0';

        slot->len = value.len;
        slot->data = buf;

        return NGX_OK;
    }

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_page_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_page_t  *page;

    page = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                     ncr_store_object_list(store, page->kind->name,
                                           page->query.after.len
                                           ? (char *) page->query.after.data
                                           : "",
                                           ngx_http_claude_relay_page_row,
                                           page));
}


/* one more than the page has tells that there are more */

static ncr_int_t
ngx_http_claude_relay_page_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_page_t *page = data;

    size_t               room;
    ncr_store_object_t  *more;

    if (!ngx_http_claude_relay_page_takes(page, row->name, row->data, 0)) {
        return NCR_OK;
    }

    if (page->n == page->room) {
        room = page->room ? page->room * 2 : 32;

        more = ngx_alloc(room * sizeof(ncr_store_object_t), ngx_cycle->log);
        if (more == NULL) {
            return NCR_ERROR;
        }

        if (page->rows) {
            ngx_memcpy(more, page->rows, page->n * sizeof(ncr_store_object_t));
            ngx_free(page->rows);
        }

        page->rows = more;
        page->room = room;
    }

    more = &page->rows[page->n];

    *more = *row;
    more->data = ngx_http_claude_relay_dup(row->data, ngx_strlen(row->data));

    if (more->data == NULL) {
        return NCR_ERROR;
    }

    page->n++;

    return (page->n > page->max) ? NCR_DONE : NCR_OK;
}


static ngx_uint_t
ngx_http_claude_relay_page_takes(ngx_http_claude_relay_page_t *page,
    const char *name, const char *data, ngx_uint_t conf)
{
    ngx_uint_t                      enabled;
    ngx_http_claude_relay_query_t  *query;

    query = &page->query;

    if (query->source.data
        && ncr_str_eq(ncr(&query->source), "store") == conf)
    {
        return 0;
    }

    if ((query->user.data
         && !ngx_http_claude_relay_object_says(data, "user", &query->user))
        || (query->group.data
            && !ngx_http_claude_relay_object_says(data, "group",
                                                  &query->group)))
    {
        return 0;
    }

    if (query->enabled.data) {

        /* no text within a string has an unescaped quotation mark */

        enabled = (ngx_strstr(data, "\"enabled\":false") == NULL);

        if (enabled != (ngx_uint_t) (query->enabled.data[0] == 't')) {
            return 0;
        }
    }

    if (query->tag.data
        && !ngx_http_claude_relay_page_tag(data, &query->tag))
    {
        return 0;
    }

    return query->q.len == 0
           || ngx_http_claude_relay_page_text(name, data, &query->q);
}


ngx_uint_t
ngx_http_claude_relay_object_says(const char *data, const char *member,
    ngx_str_t *value)
{
    size_t       len;
    const char  *p;

    /* names need no escapes, and what has some is no name */

    len = ngx_strlen(member);

    for (p = data; (p = ngx_strstr(p, member)) != NULL; p += len) {

        if (p > data && p[-1] == '"'
            && ngx_strncmp(p + len, "\":\"", 3) == 0
            && ngx_strncmp(p + len + 3, value->data, value->len) == 0
            && p[len + 3 + value->len] == '"')
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_claude_relay_page_text(const char *name, const char *data,
    ngx_str_t *q)
{
    cJSON       *json, *description;
    ngx_uint_t   found;

    if (ngx_strcasestrn((u_char *) name, (char *) q->data, q->len - 1)) {
        return 1;
    }

    if (ngx_strstr(data, "\"description\":") == NULL) {
        return 0;
    }

    json = cJSON_Parse(data);
    description = cJSON_GetObjectItemCaseSensitive(json, "description");

    found = cJSON_IsString(description)
            && ngx_strcasestrn((u_char *) description->valuestring,
                               (char *) q->data, q->len - 1)
               != NULL;

    cJSON_Delete(json);

    return found;
}


static ngx_uint_t
ngx_http_claude_relay_page_tag(const char *data, ngx_str_t *tag)
{
    cJSON       *json, *item;
    ngx_uint_t   found;

    if (ngx_strstr(data, "\"tags\":[") == NULL) {
        return 0;
    }

    found = 0;
    json = cJSON_Parse(data);

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "tags")) {
        if (cJSON_IsString(item)
            && ngx_strcmp(item->valuestring, tag->data) == 0)
        {
            found = 1;
        }
    }

    cJSON_Delete(json);

    return found;
}


/* both of the lists are in the order of names */

static void
ngx_http_claude_relay_page_done(ngx_http_claude_relay_call_t *call)
{
    int                             order;
    cJSON                          *json, *list, *item;
    size_t                          i, n;
    ngx_uint_t                      j, nconf, total;
    const char                     *next;
    ngx_http_claude_relay_key_t   **conf;
    ngx_http_claude_relay_page_t   *page;

    page = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    conf = ngx_http_claude_relay_page_conf(call, page, &nconf);

    if (conf == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, page->kind->path);
    next = NULL;

    for (i = 0, j = 0, n = 0; n < page->max && (i < page->n || j < nconf); n++)
    {
        if (i < page->n && j < nconf) {
            order = ngx_strcmp(page->rows[i].name, conf[j]->name.data);

        } else {
            order = (i < page->n) ? -1 : 1;
        }

        /* nginx.conf has the last word about a name */

        if (order == 0) {
            i++;
        }

        item = (order < 0)
               ? ngx_http_claude_relay_show_object(call, page->kind,
                                                   &page->rows[i], NULL, 0)
               : ngx_http_claude_relay_show_object(call, page->kind, NULL,
                                                   conf[j], 0);

        next = (order < 0) ? page->rows[i].name : (char *) conf[j]->name.data;

        if (order < 0) {
            i++;

        } else {
            j++;
        }

        (void) cJSON_AddItemToArray(list, item);
    }

    if (i < page->n || j < nconf) {
        (void) cJSON_AddStringToObject(json, "next", next);

    } else {
        (void) cJSON_AddNullToObject(json, "next");
    }

    total = ngx_http_claude_relay_kind_conf(call->rmcf,
                                            page->kind->scope)->nelts;

    if (call->rmcf->subjects) {
        total += call->rmcf->subjects->n[page->kind->scope];
    }

    (void) cJSON_AddNumberToObject(json, "total", (double) total);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_page_free(void *data)
{
    ngx_http_claude_relay_page_t *page = data;

    size_t  i;

    for (i = 0; i < page->n; i++) {
        ncr_store_object_free(&page->rows[i]);
    }

    if (page->rows) {
        ngx_free(page->rows);
    }
}


/* those that the query takes, by name; the names end with a NUL */

static ngx_http_claude_relay_key_t **
ngx_http_claude_relay_page_conf(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_page_t *page, ngx_uint_t *n)
{
    u_char                        *settings;
    ngx_uint_t                     i;
    ngx_array_t                   *blocks;
    ngx_http_claude_relay_key_t   *key, *copy, **list;

    blocks = ngx_http_claude_relay_kind_conf(call->rmcf, page->kind->scope);
    key = blocks->elts;
    *n = 0;

    list = ngx_palloc(call->pool, (blocks->nelts + 1) * sizeof(void *));
    if (list == NULL) {
        return NULL;
    }

    for (i = 0; i < blocks->nelts; i++) {

        copy = ngx_palloc(call->pool, sizeof(ngx_http_claude_relay_key_t));
        settings = ngx_pnalloc(call->pool, key[i].settings.len + 1);

        if (copy == NULL || settings == NULL) {
            return NULL;
        }

        (void) ngx_cpystrn(settings, key[i].settings.data,
                           key[i].settings.len + 1);

        *copy = key[i];
        copy->name.data = ngx_pnalloc(call->pool, key[i].name.len + 1);

        if (copy->name.data == NULL) {
            return NULL;
        }

        (void) ngx_cpystrn(copy->name.data, key[i].name.data,
                           key[i].name.len + 1);

        if ((page->query.after.len == 0
             || ngx_strcmp(copy->name.data, page->query.after.data) > 0)
            && ngx_http_claude_relay_page_takes(page,
                                                (char *) copy->name.data,
                                                (char *) settings, 1))
        {
            list[(*n)++] = copy;
        }
    }

    ngx_qsort(list, *n, sizeof(void *), ngx_http_claude_relay_page_compare);

    return list;
}


static int ngx_libc_cdecl
ngx_http_claude_relay_page_compare(const void *one, const void *two)
{
    ngx_http_claude_relay_key_t  *const *a = one;
    ngx_http_claude_relay_key_t  *const *b = two;

    return ngx_strcmp((*a)->name.data, (*b)->name.data);
}


void
ngx_http_claude_relay_api_object(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_key_t          *conf;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return;
    }

    conf = ngx_http_claude_relay_object_conf(call);

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

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                         ngx_http_claude_relay_show_object(call, oc->kind,
                                                           &oc->found, NULL,
                                                           1),
                         oc->found.version);
}


cJSON *
ngx_http_claude_relay_show_object(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_kind_t *kind, ncr_store_object_t *row,
    ngx_http_claude_relay_key_t *conf, ngx_uint_t usage)
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

        (void) cJSON_AddItemToObject(json, item->string, item);
    }

    cJSON_Delete(settings);

    if (kind->scope == NCR_SCOPE_KEY) {
        ngx_http_claude_relay_show_key(call, json, row,
                                       rc == NGX_OK ? key : NULL);
    }

    if (rc != NGX_OK) {
        (void) cJSON_AddStringToObject(json, "error", (char *) error);

    } else if (usage) {
        ngx_http_claude_relay_show_usage(call, json, key);
    }

    if (row) {
        (void) cJSON_AddNumberToObject(json, "version", (double) row->version);
        ngx_http_claude_relay_show_time(json, "created_at", row->created);
        ngx_http_claude_relay_show_time(json, "updated_at", row->updated);
    }

    return json;
}


static void
ngx_http_claude_relay_show_key(ngx_http_claude_relay_call_t *call,
    cJSON *json, ncr_store_object_t *row, ncr_key_t *key)
{
    ncr_msec_t   activated, used, ends;
    const char  *state;

    activated = row ? row->activated : (key ? key->activated : 0);
    used = 0;
    ends = 0;

    if (row) {
        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        (void) ngx_http_claude_relay_subject_times_locked(call->rmcf,
                                                NCR_SCOPE_KEY, row->id,
                                                &activated, &used);
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

        (void) cJSON_AddStringToObject(json, "prefix", row->prefix);
    }

    if (key == NULL) {
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
        ngx_http_claude_relay_show_time(json, "last_used_at", used);
    }
}
