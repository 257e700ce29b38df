
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Which keys, users, groups or limits are meant: by a query string, or by the
 * filter of a batch.  What is asked of each row is asked of its JSON as it
 * was stored, which is compact; only where that cannot tell, it is read.
 */


#include "ngx_http_claude_relay_api_keys.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_SEARCH_MAX  256


static ngx_int_t ngx_http_claude_relay_query_arg(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_query_t *query,
    ngx_str_t *arg);
static ngx_str_t *ngx_http_claude_relay_query_slot(
    ngx_http_claude_relay_query_t *query, u_char *name, size_t len,
    ngx_uint_t filter);
static ngx_int_t ngx_http_claude_relay_query_check(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_query_t *query);
static ngx_int_t ngx_http_claude_relay_query_word(
    ngx_http_claude_relay_call_t *call, ngx_str_t *value, const char *name,
    const char *const *words);
static ngx_int_t ngx_http_claude_relay_query_own(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_query_t *query);
static ngx_uint_t ngx_http_claude_relay_query_record(
    ngx_http_claude_relay_query_t *query, ncr_store_object_t *row);
static ngx_uint_t ngx_http_claude_relay_query_text(
    ngx_http_claude_relay_query_t *query, ncr_store_object_t *row);
static ngx_uint_t ngx_http_claude_relay_query_value(const char *data,
    const char *member, ngx_str_t *needle);
static ngx_uint_t ngx_http_claude_relay_query_tag(const char *data,
    ngx_str_t *tag);


#define NGX_HTTP_CLAUDE_RELAY_QUERY_KEYS    1   /* of keys only */
#define NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER  2   /* in a filter, too */

#define ngx_http_claude_relay_query_name(name, field, flags)                  \
    { name, offsetof(ngx_http_claude_relay_query_t, field), flags }


static struct {
    const char  *name;
    size_t       offset;
    ngx_uint_t   flags;
} ngx_http_claude_relay_query_names[] = {
    ngx_http_claude_relay_query_name("after", after, 0),
    ngx_http_claude_relay_query_name("page", page, 0),
    ngx_http_claude_relay_query_name("limit", limit, 0),
    ngx_http_claude_relay_query_name("sort", sort, 0),
    ngx_http_claude_relay_query_name("order", order, 0),
    ngx_http_claude_relay_query_name("format", format, 0),
    ngx_http_claude_relay_query_name("q", search, 0),
    ngx_http_claude_relay_query_name("search", search,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER),
    ngx_http_claude_relay_query_name("tag", tag,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER),
    ngx_http_claude_relay_query_name("user", user,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER),
    ngx_http_claude_relay_query_name("group", group,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER),
    ngx_http_claude_relay_query_name("enabled", enabled,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER),
    ngx_http_claude_relay_query_name("source", source, 0),
    ngx_http_claude_relay_query_name("expired", expired,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER
                                     |NGX_HTTP_CLAUDE_RELAY_QUERY_KEYS),
    ngx_http_claude_relay_query_name("deleted", deleted,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_KEYS),
    ngx_http_claude_relay_query_name("model", model,
                                     NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER
                                     |NGX_HTTP_CLAUDE_RELAY_QUERY_KEYS),
    { NULL, 0, 0 }
};


ngx_int_t
ngx_http_claude_relay_query_args(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query)
{
    u_char     *p;
    ngx_str_t   arg;

    p = call->args.data;

    while (ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK) {

        if (arg.len
            && ngx_http_claude_relay_query_arg(call, query, &arg) != NGX_OK)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                             "the query takes \"limit\", \"after\", "
                             "\"page\", \"search\" (or \"q\"), \"sort\", "
                             "\"order\", \"format\", \"tag\", \"user\", "
                             "\"group\", \"enabled\", \"source\"%s, each once",
                             (query->scope == NCR_SCOPE_KEY)
                             ? ", \"expired\", \"deleted\", \"model\"" : "");
            return NGX_ERROR;
        }
    }

    return ngx_http_claude_relay_query_check(call, query);
}


/* the value with its NUL, which there is none within */

static ngx_int_t
ngx_http_claude_relay_query_arg(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query, ngx_str_t *arg)
{
    u_char     *p, *buf;
    ncr_str_t   value;
    ngx_str_t  *slot;

    p = ngx_strlchr(arg->data, arg->data + arg->len, '=');

    if (p == NULL) {
        return NGX_ERROR;
    }

    slot = ngx_http_claude_relay_query_slot(query, arg->data, p - arg->data,
                                            0);

    value.data = p + 1;
    value.len = arg->data + arg->len - value.data;

    buf = ngx_pnalloc(call->pool, value.len + 1);

    if (slot == NULL || slot->data || buf == NULL
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


static ngx_str_t *
ngx_http_claude_relay_query_slot(ngx_http_claude_relay_query_t *query,
    u_char *name, size_t len, ngx_uint_t filter)
{
    ngx_uint_t  i, flags;

    for (i = 0; ngx_http_claude_relay_query_names[i].name; i++) {

        flags = ngx_http_claude_relay_query_names[i].flags;

        if (ngx_strlen(ngx_http_claude_relay_query_names[i].name) == len
            && ngx_strncmp(ngx_http_claude_relay_query_names[i].name, name,
                           len) == 0
            && (!filter || (flags & NGX_HTTP_CLAUDE_RELAY_QUERY_FILTER))
            && (query->scope == NCR_SCOPE_KEY
                || !(flags & NGX_HTTP_CLAUDE_RELAY_QUERY_KEYS)))
        {
            return (ngx_str_t *) (void *)
                       ((u_char *) query
                        + ngx_http_claude_relay_query_names[i].offset);
        }
    }

    return NULL;
}


/* an empty filter would mean all there is, which nobody writes by mistake */

ngx_int_t
ngx_http_claude_relay_query_json(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query, cJSON *filter)
{
    cJSON      *item;
    ngx_str_t  *slot;

    static u_char  yes[] = "true";
    static u_char  no[] = "false";

    cJSON_ArrayForEach(item, filter) {

        slot = ngx_http_claude_relay_query_slot(query,
                                           (u_char *) item->string,
                                           ngx_strlen(item->string), 1);

        if (slot == NULL || slot->data
            || (!cJSON_IsString(item) && !cJSON_IsBool(item)))
        {
            break;
        }

        slot->data = cJSON_IsString(item) ? (u_char *) item->valuestring
                     : cJSON_IsTrue(item) ? yes : no;
        slot->len = ngx_strlen(slot->data);
    }

    if (!cJSON_IsObject(filter) || item || filter->child == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"filter\" must have some of \"search\", \"tag\", "
                         "\"user\", \"group\", \"model\" (texts), "
                         "\"enabled\" and \"expired\" (true or false), each "
                         "once");
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_query_check(call, query);
}


static ngx_int_t
ngx_http_claude_relay_query_check(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query)
{
    u_char  *p, *s;

    static const char *const  bools[] = { "true", "false", NULL };
    static const char *const  sources[] = { "store", "nginx.conf", NULL };
    static const char *const  orders[] = { "asc", "desc", NULL };
    static const char *const  formats[] = { "json", "csv", NULL };

    if (ngx_http_claude_relay_query_word(call, &query->enabled, "enabled",
                                         bools) != NGX_OK
        || ngx_http_claude_relay_query_word(call, &query->expired, "expired",
                                            bools) != NGX_OK
        || ngx_http_claude_relay_query_word(call, &query->deleted, "deleted",
                                            bools) != NGX_OK
        || ngx_http_claude_relay_query_word(call, &query->source, "source",
                                            sources) != NGX_OK
        || ngx_http_claude_relay_query_word(call, &query->order, "order",
                                            orders) != NGX_OK
        || ngx_http_claude_relay_query_word(call, &query->format, "format",
                                            formats) != NGX_OK
        || ngx_http_claude_relay_query_own(call, query) != NGX_OK)
    {
        return NGX_ERROR;
    }

    query->now = ngx_http_claude_relay_now();

    if (query->search.len > NGX_HTTP_CLAUDE_RELAY_SEARCH_MAX) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"search\" has more than %d bytes",
                                         NGX_HTTP_CLAUDE_RELAY_SEARCH_MAX);
        return NGX_ERROR;
    }

    /* with the escapes that a stored text has */

    p = ngx_pnalloc(call->pool, 2 * query->search.len + 1);

    if (p == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    query->needle.data = p;

    for (s = query->search.data;
         s < query->search.data + query->search.len;
         s++)
    {
        if (*s == '"' || *s == '\\') {
            *p++ = '\\';
        }

        *p++ = *s;
    }

    *p = '\0';
    query->needle.len = p - query->needle.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_query_word(ngx_http_claude_relay_call_t *call,
    ngx_str_t *value, const char *name, const char *const *words)
{
    ngx_uint_t  i;

    if (value->data == NULL) {
        return NGX_OK;
    }

    for (i = 0; words[i]; i++) {
        if (ncr_str_eq(ncr(value), words[i])) {
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"%s\" in the query must be \"%s\" or "
                                     "\"%s\"", name, words[0], words[1]);
    return NGX_ERROR;
}


/* a user sees its own keys, whatever it asks for */

static ngx_int_t
ngx_http_claude_relay_query_own(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query)
{
    if (call->caller.role > NCR_ROLE_USER) {
        return NGX_OK;
    }

    if (call->own.len == 0
        || (query->user.data
            && ngx_strcmp(query->user.data, call->own.data) != 0)
        || (query->deleted.data && query->deleted.data[0] == 't'))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "a user sees its own keys only");
        return NGX_ERROR;
    }

    query->user = call->own;

    return NGX_OK;
}


ngx_uint_t
ngx_http_claude_relay_query_takes(ngx_http_claude_relay_query_t *query,
    ncr_store_object_t *row, ngx_uint_t conf)
{
    const char  *data;
    ngx_uint_t   enabled;

    data = row->data;

    if (query->source.data
        && ncr_str_eq(ncr(&query->source), "store") == conf)
    {
        return 0;
    }

    if (query->scope == NCR_SCOPE_KEY
        && ngx_http_claude_relay_key_deleted(data)
           != (query->deleted.data && query->deleted.data[0] == 't'))
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
        && !ngx_http_claude_relay_query_tag(data, &query->tag))
    {
        return 0;
    }

    if (query->search.len && !ngx_http_claude_relay_query_text(query, row)) {
        return 0;
    }

    return (query->expired.data == NULL && query->model.data == NULL)
           || ngx_http_claude_relay_query_record(query, row);
}


/* what takes a record, if it takes one */

static ngx_uint_t
ngx_http_claude_relay_query_record(ngx_http_claude_relay_query_t *query,
    ncr_store_object_t *row)
{
    ncr_msec_t       ends;
    ngx_uint_t       expired;
    ncr_key_room_t   room;
    ncr_key_build_t  build;

    if (ngx_strstr(row->data, "\"expires_at\":") == NULL
        && ngx_strstr(row->data, "\"valid_for\":") == NULL
        && ngx_strstr(row->data, "\"models") == NULL)
    {
        return query->expired.data == NULL || query->expired.data[0] == 'f';
    }

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_record(row, NCR_SCOPE_KEY, &build) != NGX_OK)
    {
        return 0;
    }

    if (query->expired.data) {
        ends = ncr_key_ends(build.key);
        expired = (ends && ends <= query->now);

        if (expired != (ngx_uint_t) (query->expired.data[0] == 't')) {
            return 0;
        }
    }

    return query->model.data == NULL
           || ncr_key_check_model(build.key, ncr(&query->model)) == NCR_KEY_OK;
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
ngx_http_claude_relay_query_text(ngx_http_claude_relay_query_t *query,
    ncr_store_object_t *row)
{
    ngx_str_t  *q;

    q = &query->search;

    return ngx_strcasestrn((u_char *) row->name, (char *) q->data, q->len - 1)
           || ngx_strcasestrn((u_char *) row->prefix, (char *) q->data,
                              q->len - 1)
           || ngx_http_claude_relay_query_value(row->data, "\"description\":\"",
                                                &query->needle)
           || ngx_http_claude_relay_query_value(row->data, "\"user\":\"",
                                                &query->needle);
}


/* a part of a string, as it is written */

static ngx_uint_t
ngx_http_claude_relay_query_value(const char *data, const char *member,
    ngx_str_t *needle)
{
    u_char  *p, *end;

    p = (u_char *) ngx_strstr(data, member);

    if (p == NULL) {
        return 0;
    }

    p += ngx_strlen(member);

    for (end = p; *end && *end != '"'; end++) {
        if (*end == '\\' && end[1]) {
            end++;
        }
    }

    return ngx_strlcasestrn(p, end, needle->data, needle->len - 1) != NULL;
}


static ngx_uint_t
ngx_http_claude_relay_query_tag(const char *data, ngx_str_t *tag)
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
