
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Settings and prices of the store: read, checked, put in force.  They come
 * to each worker with the other objects, within the moment that the doorbell
 * takes.
 */


#include "ngx_http_claude_relay_settings.h"
#include "ngx_http_claude_relay_alerts.h"


/* ms: no piece of work on a table of prices takes as long */
#define NGX_HTTP_CLAUDE_RELAY_SETTING_KEEP   300000

#define NGX_HTTP_CLAUDE_RELAY_SETTING_WORDS  256
#define NGX_HTTP_CLAUDE_RELAY_SETTING_NOTICE 4096
#define NGX_HTTP_CLAUDE_RELAY_SETTING_ALERTS 16384
#define NGX_HTTP_CLAUDE_RELAY_SETTING_DEPTH  6


/* NULL, or what is wrong */

typedef const char *(*ngx_http_claude_relay_setting_pt)(
    ngx_http_claude_relay_setting_t *s, cJSON *value);


static const char *ngx_http_claude_relay_setting_main(
    ngx_http_claude_relay_setting_t *s, cJSON *json, const char **member);
static const char *ngx_http_claude_relay_setting_prices(
    ngx_http_claude_relay_setting_t *s, const ncr_prices_t *base,
    char *words, size_t size);
static const char *ngx_http_claude_relay_setting_maintenance(
    ngx_http_claude_relay_setting_t *s, cJSON *value);
static const char *ngx_http_claude_relay_setting_models(
    ngx_http_claude_relay_setting_t *s, cJSON *value);
static const char *ngx_http_claude_relay_setting_unpriced(
    ngx_http_claude_relay_setting_t *s, cJSON *value);
static const char *ngx_http_claude_relay_setting_thresholds(
    ngx_http_claude_relay_setting_t *s, cJSON *value);
static const char *ngx_http_claude_relay_setting_branding(
    ngx_http_claude_relay_setting_t *s, cJSON *value);
static ngx_uint_t ngx_http_claude_relay_setting_text(cJSON *value,
    size_t max, ngx_uint_t lines);
static void ngx_http_claude_relay_setting_drop(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_setting_t *setting);


typedef struct {
    const char                        *name;
    ngx_http_claude_relay_setting_pt   read;
} ngx_http_claude_relay_setting_member_t;


static ngx_http_claude_relay_setting_member_t
    ngx_http_claude_relay_setting_members[] =
{
    { "maintenance", ngx_http_claude_relay_setting_maintenance },
    { "model_map", ngx_http_claude_relay_setting_models },
    { "unpriced", ngx_http_claude_relay_setting_unpriced },
    { "alerts", ngx_http_claude_relay_setting_thresholds },
    { "branding", ngx_http_claude_relay_setting_branding },
    { NULL, NULL }
};


/* in the order of ngx_http_claude_relay_setting_e */

static const char *const
    ngx_http_claude_relay_setting_names[NGX_HTTP_CLAUDE_RELAY_SETTINGS] =
{
    "main", "prices"
};


ngx_int_t
ngx_http_claude_relay_setting_of(ncr_store_object_t *row)
{
    ngx_int_t  i;

    if (ngx_strcmp(row->kind, NGX_HTTP_CLAUDE_RELAY_SETTING_KIND) != 0) {
        return -1;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SETTINGS; i++) {
        if (ngx_strcmp(row->name, ngx_http_claude_relay_setting_names[i])
            == 0)
        {
            return i;
        }
    }

    return -1;
}


const char *
ngx_http_claude_relay_setting_name(ngx_uint_t which)
{
    return ngx_http_claude_relay_setting_names[which];
}


ngx_http_claude_relay_setting_t *
ngx_http_claude_relay_setting_read(const ncr_prices_t *base,
    ncr_store_object_t *row, u_char *error)
{
    char                              words[NGX_HTTP_CLAUDE_RELAY_ERROR];
    cJSON                            *json;
    ngx_pool_t                       *pool;
    ngx_str_t                         text;
    const char                       *wrong, *member;
    ngx_http_claude_relay_setting_t  *s;

    text.data = (u_char *) row->data;
    text.len = ngx_strlen(row->data);

    pool = ngx_create_pool(4096, ngx_cycle->log);
    s = pool ? ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_setting_t))
             : NULL;

    if (s == NULL) {
        goto memory;
    }

    s->pool = pool;
    s->row = *row;
    s->row.data = ngx_pnalloc(pool, text.len + 1);

    if (s->row.data == NULL) {
        goto memory;
    }

    ngx_memcpy(s->row.data, text.data, text.len + 1);

    member = NULL;

    if (ngx_http_claude_relay_setting_of(row)
        == NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES)
    {
        wrong = ngx_http_claude_relay_setting_prices(s, base, words,
                                                     sizeof(words));

    } else {
        json = cJSON_ParseWithLength(row->data, text.len);
        wrong = ngx_http_claude_relay_setting_main(s, json, &member);

        if (member && wrong) {
            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "\"%*s\" %s%Z",
                                ngx_min(ngx_strlen(member), 64), member,
                                wrong);
        }

        cJSON_Delete(json);
    }

    if (wrong == NULL) {
        return s;
    }

    if (member == NULL) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR, "%s%Z",
                            wrong);
    }

    ngx_http_claude_relay_setting_free(s);

    return NULL;

memory:

    if (pool) {
        ngx_destroy_pool(pool);
    }

    (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR, "no memory%Z");

    return NULL;
}


static const char *
ngx_http_claude_relay_setting_main(ngx_http_claude_relay_setting_t *s,
    cJSON *json, const char **member)
{
    cJSON                                   *value;
    const char                              *wrong;
    ngx_http_claude_relay_setting_member_t  *m;

    if (!cJSON_IsObject(json)) {
        return "settings are no JSON object";
    }

    if (ngx_strlen(s->row.data) > NGX_HTTP_CLAUDE_RELAY_SETTINGS_MAX) {
        return "settings are larger than 64 KB";
    }

    cJSON_ArrayForEach(value, json) {

        for (m = ngx_http_claude_relay_setting_members; m->name; m++) {
            if (ngx_strcmp(m->name, value->string) == 0) {
                break;
            }
        }

        *member = m->name;

        if (m->name == NULL) {
            return "settings have \"maintenance\", \"model_map\", "
                   "\"unpriced\", \"alerts\" and \"branding\" only";
        }

        wrong = m->read(s, value);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_setting_prices(ngx_http_claude_relay_setting_t *s,
    const ncr_prices_t *base, char *words, size_t size)
{
    ncr_str_t  text;

    text.data = (u_char *) s->row.data;
    text.len = ngx_strlen(s->row.data);

    if (text.len > NGX_HTTP_CLAUDE_RELAY_PRICES_MAX_TEXT) {
        return "the prices are larger than 3 MB";
    }

    if (ncr_prices_read(&s->prices, &text, base, words, size) != NCR_OK) {
        s->prices = NULL;
        return words;
    }

    return NULL;
}


/* {"enabled": true, "message": "back at noon"} */

static const char *
ngx_http_claude_relay_setting_maintenance(ngx_http_claude_relay_setting_t *s,
    cJSON *value)
{
    cJSON  *item;

    if (!cJSON_IsObject(value)) {
        return "must be an object";
    }

    cJSON_ArrayForEach(item, value) {

        if (ngx_strcmp(item->string, "enabled") == 0) {

            if (!cJSON_IsBool(item)) {
                return "has an \"enabled\" that is not true or false";
            }

            s->maintenance = cJSON_IsTrue(item);

        } else if (ngx_strcmp(item->string, "message") == 0) {

            if (!ngx_http_claude_relay_setting_text(item,
                                   NGX_HTTP_CLAUDE_RELAY_SETTING_WORDS, 0))
            {
                return "has a \"message\" that is not a line of at most 256 "
                       "bytes";
            }

            s->message.len = ngx_strlen(item->valuestring);
            s->message.data = ngx_pnalloc(s->pool, s->message.len + 1);

            if (s->message.data == NULL) {
                return "found no memory";
            }

            ngx_memcpy(s->message.data, item->valuestring,
                       s->message.len + 1);

        } else {
            return "may have \"enabled\" and \"message\" only";
        }
    }

    return NULL;
}


/* {"FROM": "TO"}, as claude_relay_map */

static const char *
ngx_http_claude_relay_setting_models(ngx_http_claude_relay_setting_t *s,
    cJSON *value)
{
    cJSON       *item;
    ngx_str_t    from, to, text;
    const char  *wrong;

    if (!cJSON_IsObject(value)) {
        return "must be an object of names";
    }

    cJSON_ArrayForEach(item, value) {

        if (!cJSON_IsString(item)) {
            return "must be an object of names";
        }

        text.data = (u_char *) item->string;
        text.len = ngx_strlen(text.data);
        from.data = ngx_pstrdup(s->pool, &text);
        from.len = text.len;

        text.data = (u_char *) item->valuestring;
        text.len = ngx_strlen(text.data);
        to.data = ngx_pstrdup(s->pool, &text);
        to.len = text.len;

        if (from.data == NULL || to.data == NULL) {
            return "found no memory";
        }

        wrong = ngx_http_claude_relay_map_add(s->pool, &s->map, &from, &to);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_setting_unpriced(ngx_http_claude_relay_setting_t *s,
    cJSON *value)
{
    if (cJSON_IsString(value)) {

        if (ngx_strcmp(value->valuestring, "allow") == 0) {
            s->unpriced = NGX_HTTP_CLAUDE_RELAY_UNPRICED_ALLOW;
            return NULL;
        }

        if (ngx_strcmp(value->valuestring, "refuse") == 0) {
            s->unpriced = NGX_HTTP_CLAUDE_RELAY_UNPRICED_REFUSE;
            return NULL;
        }
    }

    return "must be \"refuse\" or \"allow\"";
}


static const char *
ngx_http_claude_relay_setting_thresholds(ngx_http_claude_relay_setting_t *s,
    cJSON *value)
{
    char                                 *text;
    ngx_str_t                             str;
    const char                           *wrong;
    ngx_http_claude_relay_alerts_conf_t   scratch;

    ngx_memzero(&scratch, sizeof(ngx_http_claude_relay_alerts_conf_t));

    wrong = ngx_http_claude_relay_alerts_object(&scratch, value);

    if (wrong) {
        return wrong;
    }

    text = cJSON_PrintUnformatted(value);
    if (text == NULL) {
        return "found no memory";
    }

    str.data = (u_char *) text;
    str.len = ngx_strlen(text);

    if (str.len > NGX_HTTP_CLAUDE_RELAY_SETTING_ALERTS) {
        wrong = "is larger than 16 KB";

    } else {
        s->alerts.len = str.len;
        s->alerts.data = ngx_pstrdup(s->pool, &str);

        wrong = s->alerts.data ? NULL : "found no memory";
    }

    cJSON_free(text);

    return wrong;
}


/* of the page that is to come: only checked */

static const char *
ngx_http_claude_relay_setting_branding(ngx_http_claude_relay_setting_t *s,
    cJSON *value)
{
    cJSON  *item;

    if (!cJSON_IsObject(value)) {
        return "must be an object";
    }

    cJSON_ArrayForEach(item, value) {

        if (ngx_strcmp(item->string, "name") == 0) {

            if (!ngx_http_claude_relay_setting_text(item, 64, 0)) {
                return "has a \"name\" that is not a line of at most 64 "
                       "bytes";
            }

        } else if (ngx_strcmp(item->string, "notice") == 0) {

            if (!ngx_http_claude_relay_setting_text(item,
                                   NGX_HTTP_CLAUDE_RELAY_SETTING_NOTICE, 1))
            {
                return "has a \"notice\" that is not a text of at most 4096 "
                       "bytes";
            }

        } else {
            return "may have \"name\" and \"notice\" only";
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_claude_relay_setting_text(cJSON *value, size_t max, ngx_uint_t lines)
{
    u_char  *p;

    if (!cJSON_IsString(value) || ngx_strlen(value->valuestring) > max) {
        return 0;
    }

    for (p = (u_char *) value->valuestring; *p; p++) {
        if ((*p < ' ' && !(lines && (*p == LF || *p == CR || *p == '\t')))
            || *p == 0x7f)
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_claude_relay_setting_free(ngx_http_claude_relay_setting_t *setting)
{
    if (setting == NULL) {
        return;
    }

    if (setting->prices) {
        ncr_prices_free(setting->prices);
    }

    ngx_destroy_pool(setting->pool);
}


ngx_int_t
ngx_http_claude_relay_setting_apply(ngx_http_claude_relay_main_conf_t *rmcf,
    uint64_t file, ncr_store_object_t *row,
    ngx_http_claude_relay_setting_t *setting)
{
    ngx_int_t                         which;
    ngx_http_claude_relay_setting_t  *cur;

    which = ngx_http_claude_relay_setting_of(row);

    if (which < 0) {
        ngx_http_claude_relay_setting_free(setting);
        return NGX_DECLINED;
    }

    cur = rmcf->settings[which];

    if (cur && cur->file == file && row->seq <= cur->row.seq) {
        ngx_http_claude_relay_setting_free(setting);
        return NGX_DECLINED;
    }

    if (cur && cur->file != file && row->version < cur->row.version) {
        ngx_http_claude_relay_setting_free(setting);
        return NGX_ABORT;
    }

    if (setting) {
        setting->file = file;

        /* the log it was made with may be that of the cycle before */

        setting->pool->log = rmcf->log;
    }

    rmcf->settings[which] = setting;

    if (which == NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES) {
        rmcf->prices = setting ? setting->prices : rmcf->prices_conf;
    }

    if (cur) {
        ngx_http_claude_relay_setting_drop(rmcf, cur);
    }

    return NGX_OK;
}


/*
 * Requests have copies of what they need, but costs may be made anew in
 * another thread with a table that is replaced at this moment.
 */

static void
ngx_http_claude_relay_setting_drop(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_setting_t *setting)
{
    ngx_uint_t                         gone;
    ngx_http_claude_relay_setting_t  **p, *old;

    if (setting->prices == NULL) {
        ngx_http_claude_relay_setting_free(setting);
        return;
    }

    setting->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_SETTING_KEEP;
    setting->next = rmcf->settings_old;
    rmcf->settings_old = setting;

    gone = 0;
    p = &rmcf->settings_old;

    while (*p) {
        old = *p;

        if ((ngx_msec_int_t) (old->until - ngx_current_msec) > 0) {
            p = &old->next;
            continue;
        }

        *p = old->next;
        ngx_http_claude_relay_setting_free(old);
        gone = 1;
    }

    if (gone) {
        ngx_http_claude_relay_prices_forget();
        ngx_http_claude_relay_metrics_forget();
    }
}


void
ngx_http_claude_relay_settings_free(void *data)
{
    ngx_http_claude_relay_main_conf_t *rmcf = data;

    ngx_uint_t                        i;
    ngx_http_claude_relay_setting_t  *old;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SETTINGS; i++) {
        ngx_http_claude_relay_setting_free(rmcf->settings[i]);
        rmcf->settings[i] = NULL;
    }

    while (rmcf->settings_old) {
        old = rmcf->settings_old;
        rmcf->settings_old = old->next;
        ngx_http_claude_relay_setting_free(old);
    }

    rmcf->prices = rmcf->prices_conf;
}


const char *
ngx_http_claude_relay_maintenance(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_pool_t *pool)
{
    u_char                           *p;
    ngx_http_claude_relay_setting_t  *s;

    s = rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    if (s == NULL || !s->maintenance) {
        return NULL;
    }

    p = s->message.len ? ngx_pnalloc(pool, s->message.len + 1) : NULL;

    if (p == NULL) {
        return "the relay is closed for maintenance";
    }

    ngx_memcpy(p, s->message.data, s->message.len + 1);

    return (const char *) p;
}


ngx_uint_t
ngx_http_claude_relay_unpriced_refused(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_setting_t  *s;

    s = rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    return (s && s->unpriced)
           ? s->unpriced == NGX_HTTP_CLAUDE_RELAY_UNPRICED_REFUSE
           : rmcf->unpriced_refuse;
}


ngx_int_t
ngx_http_claude_relay_setting_map(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_pool_t *pool, ngx_str_t *model, ngx_str_t *to)
{
    ngx_str_t                        *mapped;
    ngx_http_claude_relay_setting_t  *s;

    s = rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    mapped = s ? ngx_http_claude_relay_mapped(s->map, model) : NULL;

    if (mapped == NULL) {
        return NGX_DECLINED;
    }

    to->len = mapped->len;
    to->data = ngx_pstrdup(pool, mapped);

    return to->data ? NGX_OK : NGX_ERROR;
}


ngx_str_t
ngx_http_claude_relay_setting_alerts(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_str_t                         none;
    ngx_http_claude_relay_setting_t  *s;

    ngx_str_null(&none);

    s = rmcf->settings[NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN];

    return s ? s->alerts : none;
}
