
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What this is made of, whether there is something newer, and the health
 * report.  Nobody is asked about versions but when an operator does so, and
 * has said whom.
 */


#include "ngx_http_claude_relay_api.h"
#include "ncr_oauth_text.h"

#include <sqlite3.h>
#include <zlib.h>


#define NGX_HTTP_CLAUDE_RELAY_UPDATE_TIMEOUT  10000
#define NGX_HTTP_CLAUDE_RELAY_UPDATE_SIZE     65536
#define NGX_HTTP_CLAUDE_RELAY_VERSION_LEN     64


struct ngx_http_claude_relay_update_s {
    ngx_str_t                          url;
    ngx_str_t                          path;
    ncr_url_t                          parts;
    ngx_http_claude_relay_target_t     target;
};


static void ngx_http_claude_relay_api_version(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_version_check(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_version_answered(
    ngx_http_claude_relay_fetch_t *f);
static ngx_int_t ngx_http_claude_relay_version_read(ngx_str_t *text,
    char *version, cJSON **json);
static ngx_int_t ngx_http_claude_relay_version_numbers(const char *text,
    ngx_uint_t *n);
static void ngx_http_claude_relay_api_health(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_version_ways[] = {

    { NGX_HTTP_GET, "/v1/version", ngx_http_claude_relay_api_version,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/version/check",
      ngx_http_claude_relay_api_version_check, NCR_ROLE_OPERATOR,
      0, 0, 0, 1 },

    { NGX_HTTP_GET, "/v1/health", ngx_http_claude_relay_api_health,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static ngx_str_t  ngx_http_claude_relay_version_json =
    ngx_string("application/json");


/* claude_relay_update_check off | URL; */

char *
ngx_http_claude_relay_set_update(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_str_t                       *value, warning;
    const char                      *wrong;
    ngx_http_claude_relay_update_t  *u;

    if (rmcf->update != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;
    rmcf->update = NULL;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    u = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_update_t));
    if (u == NULL) {
        return NGX_CONF_ERROR;
    }

    u->url = value[1];

    wrong = ngx_http_claude_relay_url(&u->url, &u->parts, &u->path);

    if (wrong == NULL && !ncr_oauth_visible(ncr(&u->path))) {
        wrong = "characters that a URL cannot have";
    }

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\": %s",
                           &u->url, wrong);
        return NGX_CONF_ERROR;
    }

    /* looked up when it is asked for the first time */

    if (ngx_http_claude_relay_target_make(cf->pool, &u->target, &u->parts)
        != NGX_OK
        || ngx_http_claude_relay_target_way(rmcf, cf->pool, &u->target,
                                            &u->parts, NULL, 0, &warning)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&u->target.name, "update check");

    rmcf->update = u;

    return NGX_CONF_OK;
}


static void
ngx_http_claude_relay_api_version(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *json, *libs, *build;
    ngx_str_t                      none[1];
    ngx_http_claude_relay_zone_t  *zone;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_query(call, names, none) != NGX_OK) {
        return;
    }

    zone = call->rmcf->zone;
    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "version",
                                   NGX_HTTP_CLAUDE_RELAY_VERSION);
    (void) cJSON_AddStringToObject(json, "nginx", NGINX_VERSION);

    libs = cJSON_AddObjectToObject(json, "libraries");

    (void) cJSON_AddStringToObject(libs, "openssl",
                                   OpenSSL_version(OPENSSL_VERSION));
    (void) cJSON_AddStringToObject(libs, "sqlite", sqlite3_libversion());
    (void) cJSON_AddStringToObject(libs, "zlib", zlibVersion());
    (void) cJSON_AddStringToObject(libs, "cjson", cJSON_Version());

    build = cJSON_AddObjectToObject(json, "build");

#ifdef NGX_COMPILER
    (void) cJSON_AddStringToObject(build, "compiler", NGX_COMPILER);
#else
    (void) cJSON_AddNullToObject(build, "compiler");
#endif

    (void) cJSON_AddBoolToObject(build, "debug", NGX_DEBUG);

#if (NGX_HTTP_V2)
    (void) cJSON_AddBoolToObject(build, "http2", 1);
#else
    (void) cJSON_AddBoolToObject(build, "http2", 0);
#endif

#if (NGX_HTTP_V3)
    (void) cJSON_AddBoolToObject(build, "http3", 1);
#else
    (void) cJSON_AddBoolToObject(build, "http3", 0);
#endif

#if (NGX_THREADS)
    (void) cJSON_AddBoolToObject(build, "threads", 1);
#else
    (void) cJSON_AddBoolToObject(build, "threads", 0);
#endif

    (void) cJSON_AddStringToObject(build, "configure", NGX_CONFIGURE);

    (void) cJSON_AddNumberToObject(json, "uptime",
                   (double) ((ngx_http_claude_relay_now() - zone->born)
                             / 1000));
    (void) cJSON_AddNumberToObject(json, "layout", (double) zone->layout);
    (void) cJSON_AddStringToObject(json, "prices",
                                   call->rmcf->prices->version);
    (void) cJSON_AddBoolToObject(json, "update_check",
                                 call->rmcf->update != NULL);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* whoever is asked hears the version of the module, and nothing else */

static void
ngx_http_claude_relay_api_version_check(ngx_http_claude_relay_call_t *call)
{
    u_char                          *p;
    cJSON                           *values[1];
    ngx_http_claude_relay_fetch_t   *f;
    ngx_http_claude_relay_update_t  *u;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK)
    {
        return;
    }

    u = call->rmcf->update;

    if (u == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                             "there is no \"claude_relay_update_check\"");
        return;
    }

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);

    if (f == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->fetch = f;

    f->rmcf = call->rmcf;
    f->target = &u->target;
    f->resolver = ngx_http_claude_relay_resolver();
    f->timeout = NGX_HTTP_CLAUDE_RELAY_UPDATE_TIMEOUT;
    f->max_body = NGX_HTTP_CLAUDE_RELAY_UPDATE_SIZE;
    f->data = call;
    f->handler = ngx_http_claude_relay_version_answered;

    p = ngx_pnalloc(f->pool, 512 + u->path.len + u->parts.host.len);

    if (p == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    f->head.data = p;

    p = ngx_sprintf(p, "GET %V HTTP/1.1" CRLF "Host: %V", &u->path,
                    (ngx_str_t *) &u->parts.host);

    if (!u->parts.default_port) {
        p = ngx_sprintf(p, ":%ui", u->parts.port);
    }

    p = ngx_sprintf(p, CRLF "Accept: application/json, text/plain" CRLF
                    "User-Agent: claude-relay/"
                    NGX_HTTP_CLAUDE_RELAY_VERSION CRLF);

    f->head.len = p - f->head.data;

    if (ngx_http_claude_relay_fetch_start(f) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                         "the question could not be sent");
    }
}


static void
ngx_http_claude_relay_version_answered(ngx_http_claude_relay_fetch_t *f)
{
    ngx_http_claude_relay_call_t *call = f->data;

    char        latest[NGX_HTTP_CLAUDE_RELAY_VERSION_LEN];
    cJSON      *json, *told, *url;
    ngx_str_t   text;
    ngx_uint_t  i, newer, theirs[3], ours[3];

    if (f->kind != NCR_REPLY_HTTP || f->status != NGX_HTTP_OK || f->cut) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                            "the update check failed: %s, status %ui",
                            f->cut ? "the answer is too long"
                                 : ngx_http_claude_relay_fetch_failure(f->kind),
                            f->status);
        return;
    }

    told = NULL;

    if (ngx_http_claude_relay_version_read(&f->answer, latest, &told)
        != NGX_OK
        || ngx_http_claude_relay_version_numbers(latest, theirs) != NGX_OK)
    {
        cJSON_Delete(told);
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                  "the update check failed: there is no "
                                  "version in the answer");
        return;
    }

    (void) ngx_http_claude_relay_version_numbers(NGX_HTTP_CLAUDE_RELAY_VERSION,
                                                 ours);
    newer = 0;

    for (i = 0; i < 3; i++) {
        if (theirs[i] != ours[i]) {
            newer = (theirs[i] > ours[i]);
            break;
        }
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "version",
                                   NGX_HTTP_CLAUDE_RELAY_VERSION);
    (void) cJSON_AddStringToObject(json, "latest", latest);
    (void) cJSON_AddBoolToObject(json, "newer", newer);

    url = told ? cJSON_GetObjectItemCaseSensitive(told, "url") : NULL;

    if (told && !cJSON_IsString(url)) {
        url = cJSON_GetObjectItemCaseSensitive(told, "html_url");
    }

    if (cJSON_IsString(url)) {
        text.data = (u_char *) url->valuestring;
        text.len = ngx_min(ngx_strlen(text.data), 512);
        ngx_http_claude_relay_show_str(json, "url", &text);

    } else {
        (void) cJSON_AddNullToObject(json, "url");
    }

    ngx_http_claude_relay_show_time(json, "checked_at",
                                    ngx_http_claude_relay_now());
    cJSON_Delete(told);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* "1.2.3", or an object with "version", or "tag_name" as releases have it;
 * with a "v" in front or not */

static ngx_int_t
ngx_http_claude_relay_version_read(ngx_str_t *text, char *version,
    cJSON **json)
{
    u_char  *p, *last;
    cJSON   *item;

    p = text->data;
    last = text->data + text->len;

    while (p < last && (*p == ' ' || *p == CR || *p == LF || *p == '\t')) {
        p++;
    }

    if (p < last && *p == '{') {

        *json = ncr_oauth_json(ncr(text));
        if (*json == NULL) {
            return NGX_DECLINED;
        }

        item = cJSON_GetObjectItemCaseSensitive(*json, "version");

        if (!cJSON_IsString(item)) {
            item = cJSON_GetObjectItemCaseSensitive(*json, "tag_name");
        }

        if (!cJSON_IsString(item)) {
            return NGX_DECLINED;
        }

        p = (u_char *) item->valuestring;
        last = p + ngx_strlen(p);
    }

    while (last > p && last[-1] <= ' ') {
        last--;
    }

    if (p < last && *p == 'v') {
        p++;
    }

    if (p == last || last - p >= NGX_HTTP_CLAUDE_RELAY_VERSION_LEN) {
        return NGX_DECLINED;
    }

    (void) ngx_cpystrn((u_char *) version, p, last - p + 1);

    return NGX_OK;
}


/* three numbers; what follows a "-" or a "+" does not count */

static ngx_int_t
ngx_http_claude_relay_version_numbers(const char *text, ngx_uint_t *n)
{
    ngx_uint_t  i, digits;

    for (i = 0; i < 3; i++) {

        n[i] = 0;

        for (digits = 0; *text >= '0' && *text <= '9'; text++) {

            if (++digits > 9) {
                return NGX_DECLINED;
            }

            n[i] = n[i] * 10 + (*text - '0');
        }

        if (digits == 0 || (i < 2 && *text++ != '.')) {
            return NGX_DECLINED;
        }
    }

    return (*text == '\0' || *text == '-' || *text == '+') ? NGX_OK
                                                           : NGX_DECLINED;
}


/* the same that "?full" of claude_relay_health tells */

static void
ngx_http_claude_relay_api_health(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t   body, none[1], next;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_query(call, names, none) != NGX_OK) {
        return;
    }

    if (ngx_http_claude_relay_health_full(call->pool, call->rmcf, &body)
        != NGX_OK)
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_str_null(&next);

    ngx_http_claude_relay_call_text_answer(call,
                               &ngx_http_claude_relay_version_json, &body,
                               &next);
}
