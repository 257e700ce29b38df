
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Which paths there are, and who may take them. */


#include "ngx_http_claude_relay_api_keys.h"


static ngx_uint_t ngx_http_claude_relay_way_path(const char *pattern,
    ngx_str_t *path, ngx_str_t *name, ngx_str_t *item);


#define ngx_http_claude_relay_objects_ways(name, see)                         \
    { NGX_HTTP_GET, "/v1/" name, ngx_http_claude_relay_api_objects, see,      \
      1, 0, 0, 0 },                                                           \
    { NGX_HTTP_POST, "/v1/" name,                                             \
      ngx_http_claude_relay_api_object_create, NCR_ROLE_OPERATOR,             \
      1, 1, 0, 0 },                                                           \
    { NGX_HTTP_GET, "/v1/" name "/*",                                         \
      ngx_http_claude_relay_api_object, see, 1, 0, 0, 0 },                    \
    { NGX_HTTP_PATCH, "/v1/" name "/*",                                       \
      ngx_http_claude_relay_api_object_patch, NCR_ROLE_OPERATOR,              \
      1, 1, 0, 0 },                                                           \
    { NGX_HTTP_DELETE, "/v1/" name "/*",                                      \
      ngx_http_claude_relay_api_object_remove, NCR_ROLE_OPERATOR,             \
      1, 1, 0, 0 },                                                           \
    { NGX_HTTP_POST, "/v1/" name "/*/limits/reset",                           \
      ngx_http_claude_relay_api_limits_reset, NCR_ROLE_OPERATOR, 1, 0, 0, 0 }


static ngx_http_claude_relay_way_t  ngx_http_claude_relay_base_ways[] = {

    { NGX_HTTP_GET, "/v1/status", ngx_http_claude_relay_api_status,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/accounts", ngx_http_claude_relay_api_list,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts", ngx_http_claude_relay_api_create,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/accounts/*", ngx_http_claude_relay_api_show,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/accounts/*", ngx_http_claude_relay_api_patch,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/accounts/*", ngx_http_claude_relay_api_remove,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts/*/tokens", ngx_http_claude_relay_api_tokens,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts/*/refresh",
      ngx_http_claude_relay_api_refresh,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts/*/test", ngx_http_claude_relay_api_test,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts/*/reset", ngx_http_claude_relay_api_reset,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/logins", ngx_http_claude_relay_api_login,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/logins/*", ngx_http_claude_relay_api_code,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/logins/*/poll", ngx_http_claude_relay_api_poll,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/rekey", ngx_http_claude_relay_api_rekey,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/usage", ngx_http_claude_relay_api_usage,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/usage/rows", ngx_http_claude_relay_api_usage_rows,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/usage/events", ngx_http_claude_relay_api_usage_events,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/usage/top", ngx_http_claude_relay_api_usage_top,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/usage/rerate",
      ngx_http_claude_relay_api_usage_rerate,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    ngx_http_claude_relay_objects_ways("users", NCR_ROLE_VIEWER),

    ngx_http_claude_relay_objects_ways("groups", NCR_ROLE_VIEWER),

    ngx_http_claude_relay_objects_ways("limits", NCR_ROLE_VIEWER),

    { NGX_HTTP_GET, "/v1/audit", ngx_http_claude_relay_api_audit,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/audit/*", ngx_http_claude_relay_api_audit_entry,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static ngx_http_claude_relay_way_t  *ngx_http_claude_relay_ways[] = {
    ngx_http_claude_relay_base_ways,
    ngx_http_claude_relay_account_ways,
    ngx_http_claude_relay_batch_ways,
    ngx_http_claude_relay_notes_ways,
    ngx_http_claude_relay_quota_ways,
    ngx_http_claude_relay_session_ways,
    ngx_http_claude_relay_people_ways,
    ngx_http_claude_relay_tokens_ways,
    ngx_http_claude_relay_trail_ways,
    ngx_http_claude_relay_github_ways,
    ngx_http_claude_relay_openapi_ways,
    ngx_http_claude_relay_live_ways,
    ngx_http_claude_relay_sticky_ways,
    ngx_http_claude_relay_event_ways,
    ngx_http_claude_relay_version_ways,
    ngx_http_claude_relay_fleet_ways,
    ngx_http_claude_relay_hook_ways,
    ngx_http_claude_relay_key_ways,
    ngx_http_claude_relay_card_ways,
    ngx_http_claude_relay_fleet_usage_ways,
    ngx_http_claude_relay_settings_ways,
    ngx_http_claude_relay_prices_ways,
    ngx_http_claude_relay_port_ways,
    NULL
};


ngx_http_claude_relay_way_t *
ngx_http_claude_relay_way(ngx_http_request_t *r, ngx_str_t *path,
    ngx_str_t *name, ngx_str_t *item, ngx_uint_t *allow)
{
    ngx_uint_t                    i, method;
    ngx_http_claude_relay_way_t  *way;

    *allow = 0;
    method = (r->method == NGX_HTTP_HEAD) ? NGX_HTTP_GET : r->method;

    for (i = 0; ngx_http_claude_relay_ways[i]; i++) {

        for (way = ngx_http_claude_relay_ways[i]; way->path; way++) {

            if (!ngx_http_claude_relay_way_path(way->path, path, name, item)) {
                continue;
            }

            if (way->method == method) {
                return way;
            }

            *allow |= way->method;
        }
    }

    ngx_str_null(name);
    ngx_str_null(item);

    return NULL;
}


/*
 * A user may change what is its own.  A viewer has nothing of its own but
 * itself: what it sees is everybody's.
 */

ncr_role_e
ngx_http_claude_relay_way_role(ngx_http_claude_relay_way_t *way,
    ncr_role_e role)
{
    if (role == NCR_ROLE_VIEWER && way->role == NCR_ROLE_USER
        && way->method != NGX_HTTP_GET
        && ngx_strncmp(way->path, "/v1/people/", 11) != 0
        && ngx_strncmp(way->path, "/v1/session", 11) != 0)
    {
        return NCR_ROLE_OPERATOR;
    }

    return way->role;
}


/* of "/v1/keys/x/regenerate" that is "/v1/keys/x"; a list shows nothing */

ngx_http_claude_relay_way_t *
ngx_http_claude_relay_way_shows(ngx_http_claude_relay_way_t *way)
{
    size_t                        len;
    const char                   *star;
    ngx_uint_t                    i;
    ngx_http_claude_relay_way_t  *w, *found;

    star = ngx_strchr(way->path, '*');

    if (star == NULL && way->method == NGX_HTTP_POST) {
        return NULL;
    }

    len = star ? (size_t) (star - way->path) + 1 : ngx_strlen(way->path);
    found = NULL;

    for (i = 0; ngx_http_claude_relay_ways[i]; i++) {

        for (w = ngx_http_claude_relay_ways[i]; w->path; w++) {

            if (w->method != NGX_HTTP_GET) {
                continue;
            }

            if (ngx_strcmp(w->path, way->path) == 0) {
                return w;
            }

            if (ngx_strncmp(w->path, way->path, len) == 0
                && w->path[len] == '\0')
            {
                found = w;
            }
        }
    }

    return found;
}


static ngx_uint_t
ngx_http_claude_relay_way_path(const char *pattern, ngx_str_t *path,
    ngx_str_t *name, ngx_str_t *item)
{
    u_char     *p, *last;
    ngx_str_t  *s;

    ngx_str_null(name);
    ngx_str_null(item);

    s = name;
    p = path->data;
    last = path->data + path->len;

    for ( /* void */ ; *pattern; pattern++) {

        if (*pattern != '*') {
            if (p == last || *p++ != (u_char) *pattern) {
                return 0;
            }

            continue;
        }

        s->data = p;

        while (p < last && *p != '/') {
            p++;
        }

        s->len = p - s->data;

        if (s->len == 0) {
            return 0;
        }

        s = item;
    }

    return p == last;
}
