
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The text of a list, which is made in a thread: JSON, or CSV. */


#include "ngx_http_claude_relay_api_keys.h"


static const char *const *ngx_http_claude_relay_list_columns(
    ncr_scope_e scope);
static void ngx_http_claude_relay_list_value_cell(
    ngx_http_claude_relay_list_text_t *text, cJSON *value);
static void ngx_http_claude_relay_list_array_cell(
    ngx_http_claude_relay_list_text_t *text, cJSON *array);
static void ngx_http_claude_relay_list_cell(
    ngx_http_claude_relay_list_text_t *text, const char *value,
    ngx_uint_t begin);


static const char *const  ngx_http_claude_relay_list_key[] = {
    "name", "source", "state", "prefix", "enabled", "user", "group",
    "description", "tags", "limits", "models", "models_denied", "clients",
    "addresses", "permissions", "pool", "account", "expires_at", "valid_for",
    "ends_at", "activated_at", "last_used_at", "created_at", "updated_at",
    "deleted_at", "deleted_by", NULL
};

static const char *const  ngx_http_claude_relay_list_other[] = {
    "name", "source", "enabled", "group", "description", "limits", "max_keys",
    "created_at", "updated_at", NULL
};


void
ngx_http_claude_relay_list_put(ngx_http_claude_relay_list_text_t *text,
    const void *p, size_t len)
{
    size_t   size;
    u_char  *data;

    if (text->failed) {
        return;
    }

    if (text->size - text->len < len) {

        size = 2 * text->size + len + 4096;
        data = ngx_alloc(size, ngx_cycle->log);

        if (data == NULL) {
            text->failed = 1;
            return;
        }

        if (text->data) {
            ngx_memcpy(data, text->data, text->len);
            ngx_free(text->data);
        }

        text->data = data;
        text->size = size;
    }

    ngx_memcpy(text->data + text->len, p, len);
    text->len += len;
}


void
ngx_http_claude_relay_list_item(ngx_http_claude_relay_list_text_t *text,
    cJSON *json)
{
    char  *p;

    p = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (p == NULL) {
        text->failed = 1;
        return;
    }

    ngx_http_claude_relay_list_put(text, p, ngx_strlen(p));

    cJSON_free(p);
}


static const char *const *
ngx_http_claude_relay_list_columns(ncr_scope_e scope)
{
    return (scope == NCR_SCOPE_KEY) ? ngx_http_claude_relay_list_key
                                    : ngx_http_claude_relay_list_other;
}


void
ngx_http_claude_relay_list_head(ngx_http_claude_relay_list_text_t *text,
    ncr_scope_e scope)
{
    const char *const  *name;

    for (name = ngx_http_claude_relay_list_columns(scope); *name; name++) {
        ngx_http_claude_relay_list_put(text, *name, ngx_strlen(*name));
        ngx_http_claude_relay_list_put(text, name[1] ? "," : "\r\n",
                                       name[1] ? 1 : 2);
    }
}


void
ngx_http_claude_relay_list_line(ngx_http_claude_relay_list_text_t *text,
    ncr_scope_e scope, cJSON *json)
{
    const char *const  *name;

    for (name = ngx_http_claude_relay_list_columns(scope); *name; name++) {
        ngx_http_claude_relay_list_value_cell(text,
                             cJSON_GetObjectItemCaseSensitive(json, *name));
        ngx_http_claude_relay_list_put(text, name[1] ? "," : "\r\n",
                                       name[1] ? 1 : 2);
    }

    cJSON_Delete(json);
}


static void
ngx_http_claude_relay_list_value_cell(ngx_http_claude_relay_list_text_t *text,
    cJSON *value)
{
    cJSON  *parsed;

    if (value == NULL || cJSON_IsNull(value)) {
        return;
    }

    if (cJSON_IsRaw(value)) {
        parsed = cJSON_Parse(value->valuestring);

        if (!cJSON_IsRaw(parsed)) {
            ngx_http_claude_relay_list_value_cell(text, parsed);
        }

        cJSON_Delete(parsed);
        return;
    }

    if (cJSON_IsBool(value)) {
        ngx_http_claude_relay_list_put(text,
                                       cJSON_IsTrue(value) ? "true" : "false",
                                       cJSON_IsTrue(value) ? 4 : 5);
        return;
    }

    ngx_http_claude_relay_list_put(text, "\"", 1);

    if (cJSON_IsString(value)) {
        ngx_http_claude_relay_list_cell(text, value->valuestring, 1);

    } else {
        ngx_http_claude_relay_list_array_cell(text, value);
    }

    ngx_http_claude_relay_list_put(text, "\"", 1);
}


/* items are parted by a semicolon and a blank; a number is one as it is */

static void
ngx_http_claude_relay_list_array_cell(ngx_http_claude_relay_list_text_t *text,
    cJSON *array)
{
    char   *p;
    cJSON  *item;

    if (!cJSON_IsArray(array)) {
        p = cJSON_PrintUnformatted(array);
        ngx_http_claude_relay_list_cell(text, p ? p : "", 1);
        cJSON_free(p);
        return;
    }

    cJSON_ArrayForEach(item, array) {

        if (item != array->child) {
            ngx_http_claude_relay_list_put(text, "; ", 2);
        }

        if (cJSON_IsString(item)) {
            ngx_http_claude_relay_list_cell(text, item->valuestring,
                                            item == array->child);
            continue;
        }

        p = cJSON_PrintUnformatted(item);
        ngx_http_claude_relay_list_cell(text, p ? p : "",
                                        item == array->child);
        cJSON_free(p);
    }
}


/* RFC 4180, section 2; control characters are blanks, and what a table would
 * calculate with is none of its formulas */

static void
ngx_http_claude_relay_list_cell(ngx_http_claude_relay_list_text_t *text,
    const char *value, ngx_uint_t begin)
{
    u_char         c;
    const u_char  *p;

    p = (const u_char *) value;

    if (begin
        && (*p == '=' || *p == '+' || *p == '-' || *p == '@'
            || (*p && *p < ' ')))
    {
        ngx_http_claude_relay_list_put(text, "'", 1);
    }

    for ( /* void */ ; *p; p++) {

        c = (*p < ' ' || *p == 0x7f) ? ' ' : *p;

        if (c == '"') {
            ngx_http_claude_relay_list_put(text, "\"", 1);
        }

        ngx_http_claude_relay_list_put(text, &c, 1);
    }
}
