
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The settings of an account as JSON: what the store keeps and the API takes.
 * Every member is known, of the right type and in range, or it is refused.
 */


#include "ngx_http_claude_relay_limit.h"

#include <cjson/cJSON.h>


#define NGX_HTTP_CLAUDE_RELAY_MODELS  64


typedef const char *(*ngx_http_claude_relay_member_pt)(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);


typedef struct {
    const char                       *name;
    ngx_http_claude_relay_member_pt   read;
    size_t                            offset;
    ngx_int_t                         range[2];
} ngx_http_claude_relay_member_t;


static const char *ngx_http_claude_relay_json_platform(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_text(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_number(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_switch(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_credential(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_time(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_globs(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_limits(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_map(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_turns(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_type(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_groups(ngx_pool_t *pool,
    cJSON *value, void *field, ngx_int_t *range);
static const char *ngx_http_claude_relay_json_param(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, cJSON *value);
static const char *ngx_http_claude_relay_json_msec(cJSON *value,
    ngx_msec_t *ms);


#define ngx_http_claude_relay_member(name, read, field, least, most)          \
    { name, ngx_http_claude_relay_json_ ## read,                              \
      offsetof(ngx_http_claude_relay_account_t, field), { least, most } }


static ngx_http_claude_relay_member_t  ngx_http_claude_relay_members[] = {
    ngx_http_claude_relay_member("platform", platform, platform, 0, 0),
    ngx_http_claude_relay_member("pool", text, pool, 1, 63),
    ngx_http_claude_relay_member("description", text, description, 0, 1024),
    ngx_http_claude_relay_member("base_url", text, base_url, 1, 1024),
    ngx_http_claude_relay_member("credential", credential, credential, 0, 0),
    ngx_http_claude_relay_member("priority", number, priority,
                                 -1000000, 1000000),
    ngx_http_claude_relay_member("weight", number, weight, 1, 1000000),
    ngx_http_claude_relay_member("max_concurrency", number, max_concurrency,
                                 0, 1000000),
    ngx_http_claude_relay_member("models", globs, models, 0, 0),
    ngx_http_claude_relay_member("model_map", map, model_map, 0, 0),
    ngx_http_claude_relay_member("user_message_queue", turns, turns, 0, 0),
    ngx_http_claude_relay_member("limits", limits, limits, 0, 0),
    ngx_http_claude_relay_member("enabled", switch, enabled, 0, 0),
    ngx_http_claude_relay_member("schedulable", switch, schedulable, 0, 0),
    ngx_http_claude_relay_member("sanitize_errors", switch, sanitize, 0, 0),
    ngx_http_claude_relay_member("type", type, dedicated, 0, 0),
    ngx_http_claude_relay_member("groups", groups, groups, 0, 0),
    ngx_http_claude_relay_member("auto_protect", switch, protect, 0, 0),
    ngx_http_claude_relay_member("valid_until", time, valid_until, 0, 0),
    { NULL, NULL, 0, { 0, 0 } }
};


ngx_uint_t
ngx_http_claude_relay_is_setting(const char *name)
{
    ngx_http_claude_relay_member_t  *m;

    ngx_uint_t                       i;
    ncr_platform_t                 **platform;
    const ncr_param_t               *param;

    for (m = ngx_http_claude_relay_members; m->name; m++) {
        if (ngx_strcmp(m->name, name) == 0) {
            return 1;
        }
    }

    for (platform = ncr_platforms; *platform; platform++) {

        param = (*platform)->params;

        for (i = 0; param && param[i].name.len; i++) {
            if (ncr_str_eq((ncr_str_t *) &param[i].name, name)) {
                return 1;
            }
        }
    }

    return 0;
}


/* a field that only its platform has, or what is wrong with it */

static const char *
ngx_http_claude_relay_json_param(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, cJSON *value)
{
    ncr_str_t  *param;
    ngx_str_t   text;

    text.data = (u_char *) value->string;
    text.len = ngx_strlen(text.data);

    param = ngx_http_claude_relay_account_param(a, &text);

    if (param == NULL) {
        return "is no field of its platform";
    }

    if (!cJSON_IsString(value)) {
        return "must be a string";
    }

    text.data = (u_char *) value->valuestring;
    text.len = ngx_strlen(text.data);

    return ngx_http_claude_relay_account_set_param(pool, a, param, &text);
}


ngx_int_t
ngx_http_claude_relay_account_json(ngx_pool_t *pool,
    ngx_http_claude_relay_account_t *a, ngx_str_t *text, u_char *error)
{
    cJSON                           *json, *value;
    ngx_int_t                        rc;
    const char                      *wrong, *end;
    ngx_http_claude_relay_member_t  *m;

    json = cJSON_ParseWithLengthOpts((char *) text->data, text->len, &end, 0);

    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "the settings of account \"%V\" are no JSON "
                            "object%Z", &a->name);
        return NGX_ERROR;
    }

    rc = NGX_OK;

    /* which fields there may be is known by it */

    value = cJSON_GetObjectItemCaseSensitive(json, "platform");

    if (value) {
        (void) ngx_http_claude_relay_json_platform(pool, value, &a->platform,
                                                   NULL);
    }

    cJSON_ArrayForEach(value, json) {

        for (m = ngx_http_claude_relay_members; m->name; m++) {
            if (ngx_strcmp(m->name, value->string) == 0) {
                break;
            }
        }

        if (m->name == NULL
            && ngx_http_claude_relay_is_setting(value->string))
        {
            wrong = ngx_http_claude_relay_json_param(pool, a, value);

            if (wrong == NULL) {
                continue;
            }

            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "\"%s\" of account \"%V\" %s%Z",
                                value->string, &a->name, wrong);
            rc = NGX_ERROR;
            break;
        }

        if (m->name == NULL) {
            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "account \"%V\" has no field \"%*s\"%Z",
                                &a->name,
                                ngx_min(ngx_strlen(value->string), 64),
                                value->string);
            rc = NGX_ERROR;
            break;
        }

        wrong = m->read(pool, value, (u_char *) a + m->offset, m->range);

        if (wrong) {
            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "\"%s\" of account \"%V\" %s%Z", m->name,
                                &a->name, wrong);
            rc = NGX_ERROR;
            break;
        }
    }

    cJSON_Delete(json);

    return rc;
}


static const char *
ngx_http_claude_relay_json_platform(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    ncr_platform_t  **platform = field;

    ncr_str_t  name;

    if (!cJSON_IsString(value)) {
        return "must be a string";
    }

    name.data = (u_char *) value->valuestring;
    name.len = ngx_strlen(value->valuestring);

    *platform = ncr_platform_find(&name);

    return *platform ? NULL : "is not a platform of this relay";
}


/* range is that of its length */

static const char *
ngx_http_claude_relay_json_text(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ngx_str_t  *str = field;

    u_char     *p;
    ngx_str_t   text;

    if (!cJSON_IsString(value)) {
        return "must be a string";
    }

    text.data = (u_char *) value->valuestring;
    text.len = ngx_strlen(value->valuestring);

    if ((ngx_int_t) text.len < range[0]) {
        return "is empty";
    }

    if ((ngx_int_t) text.len > range[1]) {
        return "is too long";
    }

    for (p = text.data; *p; p++) {
        if (*p < ' ' || *p == 0x7f) {
            return "has control characters";
        }
    }

    str->len = text.len;
    str->data = ngx_pstrdup(pool, &text);

    return str->data ? NULL : "found no memory";
}


static const char *
ngx_http_claude_relay_json_number(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    ngx_int_t  *number = field;

    if (!cJSON_IsNumber(value)
        || value->valuedouble != (double) (ngx_int_t) value->valueint
        || value->valueint < range[0] || value->valueint > range[1])
    {
        return "must be a whole number in its range";
    }

    *number = value->valueint;

    return NULL;
}


static const char *
ngx_http_claude_relay_json_switch(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    ngx_flag_t  *flag = field;

    if (!cJSON_IsBool(value)) {
        return "must be true or false";
    }

    *flag = cJSON_IsTrue(value);

    return NULL;
}


static const char *
ngx_http_claude_relay_json_credential(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    ncr_credential_e  *credential = field;

    if (cJSON_IsString(value)) {

        if (ngx_strcmp(value->valuestring, "auto") == 0) {
            *credential = NCR_CREDENTIAL_AUTO;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "x-api-key") == 0) {
            *credential = NCR_CREDENTIAL_X_API_KEY;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "bearer") == 0) {
            *credential = NCR_CREDENTIAL_BEARER;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "api-key") == 0) {
            *credential = NCR_CREDENTIAL_API_KEY;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "x-goog-api-key") == 0) {
            *credential = NCR_CREDENTIAL_GOOGLE;
            return NULL;
        }
    }

    return "must be \"auto\", \"x-api-key\", \"bearer\", \"api-key\" or "
           "\"x-goog-api-key\"";
}


static const char *
ngx_http_claude_relay_json_time(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ncr_msec_t  *t = field;

    ngx_str_t  text;

    if (cJSON_IsNull(value)) {
        *t = 0;
        return NULL;
    }

    if (cJSON_IsString(value)) {
        text.data = (u_char *) value->valuestring;
        text.len = ngx_strlen(value->valuestring);

        if (ngx_http_claude_relay_instant(&text, t) == NGX_OK) {
            return NULL;
        }
    }

    return "must be null or a time such as \"2027-01-31T00:00:00Z\"";
}


static const char *
ngx_http_claude_relay_json_globs(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ngx_array_t  **globs = field;

    cJSON       *item;
    ngx_str_t   *glob;
    const char  *wrong;

    static ngx_int_t  length[] = { 1, NCR_MODEL_LEN };

    if (!cJSON_IsArray(value)
        || cJSON_GetArraySize(value) > NGX_HTTP_CLAUDE_RELAY_MODELS)
    {
        return "must be an array of at most 64 patterns";
    }

    if (cJSON_GetArraySize(value) == 0) {
        *globs = NULL;
        return NULL;
    }

    *globs = ngx_array_create(pool, cJSON_GetArraySize(value),
                              sizeof(ngx_str_t));
    if (*globs == NULL) {
        return "found no memory";
    }

    cJSON_ArrayForEach(item, value) {

        glob = ngx_array_push(*globs);
        wrong = ngx_http_claude_relay_json_text(pool, item, glob, length);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_json_limits(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    cJSON                            *item;
    u_char                            buf[2 * NCR_LIMIT_TEXT];
    ncr_str_t                         text;
    const char                       *wrong;
    ngx_http_claude_relay_account_t  *a;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field
             - offsetof(ngx_http_claude_relay_account_t, limits));

    if (!cJSON_IsArray(value)) {
        return "must be an array of limits";
    }

    a->nlimits = 0;

    cJSON_ArrayForEach(item, value) {

        if (cJSON_IsObject(item)) {
            wrong = ngx_http_claude_relay_limit_text(item, buf, &text);

            if (wrong) {
                return wrong;
            }

        } else if (cJSON_IsString(item)) {
            text.data = (u_char *) item->valuestring;
            text.len = ngx_strlen(item->valuestring);

        } else {
            return "must have limits such as \"cost:5/day\"";
        }

        wrong = ngx_http_claude_relay_account_limit_add(pool, a, &text);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


/* {"FROM": "TO"}, the first that matches counts */

static const char *
ngx_http_claude_relay_json_map(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ngx_array_t  **map = field;

    cJSON       *item;
    ngx_str_t    name, from, to;
    const char  *wrong;

    static ngx_int_t  length[] = { 1, NCR_MODEL_LEN - 1 };

    *map = NULL;

    if (cJSON_IsNull(value)) {
        return NULL;
    }

    if (!cJSON_IsObject(value)) {
        return "must be an object of names";
    }

    cJSON_ArrayForEach(item, value) {

        wrong = ngx_http_claude_relay_json_text(pool, item, &to, length);
        if (wrong) {
            return wrong;
        }

        name.data = (u_char *) item->string;
        name.len = ngx_strlen(item->string);

        from.len = name.len;
        from.data = ngx_pstrdup(pool, &name);

        if (from.data == NULL) {
            return "found no memory";
        }

        wrong = ngx_http_claude_relay_map_add(pool, map, &from, &to);
        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_json_type(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ngx_uint_t  *dedicated = field;

    if (cJSON_IsString(value)) {

        if (ngx_strcmp(value->valuestring, "shared") == 0) {
            *dedicated = 0;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "dedicated") == 0) {
            *dedicated = 1;
            return NULL;
        }
    }

    return "must be \"shared\" or \"dedicated\"";
}


static const char *
ngx_http_claude_relay_json_groups(ngx_pool_t *pool, cJSON *value,
    void *field, ngx_int_t *range)
{
    cJSON                            *item;
    ngx_str_t                         name;
    const char                       *wrong;
    ngx_http_claude_relay_account_t  *a;

    a = (ngx_http_claude_relay_account_t *)
            ((u_char *) field
             - offsetof(ngx_http_claude_relay_account_t, groups));

    if (!cJSON_IsArray(value)) {
        return "must be an array of names";
    }

    cJSON_ArrayForEach(item, value) {

        if (!cJSON_IsString(item)) {
            return "must be an array of names";
        }

        name.data = (u_char *) item->valuestring;
        name.len = ngx_strlen(name.data);

        wrong = ngx_http_claude_relay_account_group_add(pool, a, &name);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


/* true, false, or {"enabled": true, "gap": "200ms", "wait": "60s"} */

static const char *
ngx_http_claude_relay_json_turns(ngx_pool_t *pool, cJSON *value, void *field,
    ngx_int_t *range)
{
    ngx_http_claude_relay_turns_t  *turns = field;

    cJSON       *item;
    const char  *wrong;

    turns->set = 1;

    if (cJSON_IsBool(value)) {
        turns->on = cJSON_IsTrue(value);
        return NULL;
    }

    if (!cJSON_IsObject(value)) {
        return "must be true, false or an object";
    }

    turns->on = 1;

    cJSON_ArrayForEach(item, value) {

        if (ngx_strcmp(item->string, "enabled") == 0) {

            if (!cJSON_IsBool(item)) {
                return "has an \"enabled\" that is not true or false";
            }

            turns->on = cJSON_IsTrue(item);
            continue;
        }

        wrong = "has a member that is not \"enabled\", \"gap\" or \"wait\"";

        if (ngx_strcmp(item->string, "gap") == 0) {
            wrong = ngx_http_claude_relay_json_msec(item, &turns->gap);

        } else if (ngx_strcmp(item->string, "wait") == 0) {
            wrong = ngx_http_claude_relay_json_msec(item, &turns->wait);
        }

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_json_msec(cJSON *value, ngx_msec_t *ms)
{
    ngx_int_t  n;
    ngx_str_t  text;

    n = NGX_ERROR;

    if (cJSON_IsString(value)) {
        text.data = (u_char *) value->valuestring;
        text.len = ngx_strlen(value->valuestring);
        n = ngx_parse_time(&text, 0);
    }

    if (n == NGX_ERROR || n > NGX_HTTP_CLAUDE_RELAY_TURN_MAX) {
        return "must have times such as \"200ms\", of an hour at most";
    }

    *ms = (ngx_msec_t) n;

    return NULL;
}
