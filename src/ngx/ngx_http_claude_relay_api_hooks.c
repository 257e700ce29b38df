
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Webhooks.  Neither a hook's URL nor its secret is ever shown:
 * the URL of most of them is a secret.
 */


#include "ngx_http_claude_relay_api_hooks.h"


static void ngx_http_claude_relay_api_hooks(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_hook(ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_hook_create(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_hook_patch(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_hook_remove(
    ngx_http_claude_relay_call_t *call);

static void ngx_http_claude_relay_hook_call_free(void *data);
static void ngx_http_claude_relay_hooks_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_hooks_row(void *data,
    ncr_store_hook_t *row);
static void ngx_http_claude_relay_hooks_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_shown(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_hook(
    ngx_http_claude_relay_hook_t *hook);
static void ngx_http_claude_relay_show_hook_url(cJSON *json,
    ngx_http_claude_relay_hook_t *hook);
static ngx_int_t ngx_http_claude_relay_hook_members(
    ngx_http_claude_relay_call_t *call, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_hook_text(
    ngx_http_claude_relay_call_t *call, cJSON *value, const char *name,
    char **text);
static cJSON *ngx_http_claude_relay_hook_setting(
    ngx_http_claude_relay_call_t *call, cJSON *settings, const char *name);
static ngx_int_t ngx_http_claude_relay_hook_try(
    ngx_http_claude_relay_call_t *call, cJSON *settings);
static void ngx_http_claude_relay_hook_count_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_hook_counted(void *data,
    ncr_store_hook_t *row);
static void ngx_http_claude_relay_hook_create_counted(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_hook_created(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_patch_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_hook_patched(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_changed(
    ngx_http_claude_relay_call_t *call, const char *what);
static void ngx_http_claude_relay_hook_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_hook_removed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_refused(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_hook_ways[] = {

    { NGX_HTTP_GET, "/v1/hooks", ngx_http_claude_relay_api_hooks,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/hooks", ngx_http_claude_relay_api_hook_create,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/hooks/*", ngx_http_claude_relay_api_hook,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/hooks/*", ngx_http_claude_relay_api_hook_patch,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/hooks/*", ngx_http_claude_relay_api_hook_remove,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/hooks/*/test", ngx_http_claude_relay_api_hook_test,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/alerts", ngx_http_claude_relay_api_alerts,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


ngx_http_claude_relay_hook_call_t *
ngx_http_claude_relay_hook_call(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                 *cln;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_hook_call_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (hc == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_hook_call_free;
    cln->data = hc;

    call->data = hc;

    /* longer ones are not looked for */

    (void) ngx_cpystrn((u_char *) hc->row.name, call->name.data,
                       sizeof(hc->row.name));

    if (call->name.len >= sizeof(hc->row.name)) {
        hc->row.name[0] = '\0';
    }

    return hc;
}


static void
ngx_http_claude_relay_hook_call_free(void *data)
{
    ngx_http_claude_relay_hook_call_t *hc = data;

    if (hc->hook) {
        ngx_http_claude_relay_hook_free(hc->hook);
    }

    cJSON_Delete(hc->list);
    cJSON_Delete(hc->ended);
}


ngx_int_t
ngx_http_claude_relay_hook_no_args(ngx_http_claude_relay_call_t *call)
{
    if (call->args.len == 0) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "there are no parameters here");
    return NGX_ERROR;
}


/* all of them */

static void
ngx_http_claude_relay_api_hooks(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_hook_call_t  *hc;

    if (ngx_http_claude_relay_hook_no_args(call) != NGX_OK) {
        return;
    }

    hc = ngx_http_claude_relay_hook_call(call);

    if (hc) {
        ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_hooks_run,
                                        ngx_http_claude_relay_hooks_done);
    }
}


static void
ngx_http_claude_relay_hooks_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;

    /* it may be run twice */

    cJSON_Delete(hc->list);
    hc->list = cJSON_CreateArray();

    ngx_http_claude_relay_job_rc(store, job,
                   ncr_store_hooks(store, ngx_http_claude_relay_hooks_row,
                                   hc));
}


static ncr_int_t
ngx_http_claude_relay_hooks_row(void *data, ncr_store_hook_t *row)
{
    ngx_http_claude_relay_hook_call_t *hc = data;

    ngx_http_claude_relay_hook_t  *hook;

    hook = ngx_http_claude_relay_hook(row);
    if (hook == NULL) {
        return NCR_ERROR;
    }

    (void) cJSON_AddItemToArray(hc->list,
                                ngx_http_claude_relay_show_hook(hook));

    ngx_http_claude_relay_hook_free(hook);

    return NCR_OK;
}


static void
ngx_http_claude_relay_hooks_done(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddItemToObject(json, "hooks", hc->list);
    hc->list = NULL;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* one of them */

static void
ngx_http_claude_relay_api_hook(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_hook_no_args(call) == NGX_OK
        && ngx_http_claude_relay_hook_call(call))
    {
        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_hook_find_run,
                                        ngx_http_claude_relay_hook_shown);
    }
}


void
ngx_http_claude_relay_hook_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ncr_int_t                           rc;
    ncr_store_hook_t                    row;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;

    if (hc->hook) {
        ngx_http_claude_relay_hook_free(hc->hook);
        hc->hook = NULL;
    }

    rc = ncr_store_hook_find(store, hc->row.name, &row);

    if (rc == NCR_OK) {
        hc->hook = ngx_http_claude_relay_hook(&row);

        if (hc->hook == NULL) {
            ncr_store_hook_free(&row);
            rc = NCR_ERROR;
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


/* NGX_ERROR: there is none, and the call has ended */

ngx_int_t
ngx_http_claude_relay_hook_found(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_OK) {
        return NGX_OK;
    }

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no hook \"%V\"",
                                         &call->name);

    } else {
        ngx_http_claude_relay_call_store_error(call);
    }

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_hook_shown(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_hook_call_t  *hc;

    if (ngx_http_claude_relay_hook_found(call) != NGX_OK) {
        return;
    }

    hc = call->data;

    ngx_http_claude_relay_call_answer(call,
                                      call->created ? NGX_HTTP_CREATED
                                                    : NGX_HTTP_OK,
                                      ngx_http_claude_relay_show_hook(
                                                                   hc->hook),
                                      hc->hook->row.version);
}


/* also in the store's thread */

static cJSON *
ngx_http_claude_relay_show_hook(ngx_http_claude_relay_hook_t *hook)
{
    cJSON       *json, *list, *state;
    ngx_uint_t   i;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", hook->row.name);
    (void) cJSON_AddNumberToObject(json, "version",
                                   (double) hook->row.version);
    (void) cJSON_AddStringToObject(json, "kind", hook->row.kind);
    (void) cJSON_AddBoolToObject(json, "enabled", hook->row.enabled);

    ngx_http_claude_relay_show_hook_url(json, hook);

    (void) cJSON_AddBoolToObject(json, "secret", hook->row.secret[0] != '\0');

    list = cJSON_AddArrayToObject(json, "types");

    for (i = 0; i <= NCR_ALERT_KINDS; i++) {
        if (hook->types & (1u << i)) {
            (void) cJSON_AddItemToArray(list, cJSON_CreateString(
                     (i == NGX_HTTP_CLAUDE_RELAY_HOOK_STORM) ? "storm"
                     : ncr_alert_kind_name((ncr_alert_kind_e) i)));
        }
    }

    list = cJSON_AddArrayToObject(json, "levels");

    for (i = 0; i < NCR_ALERT_LEVELS; i++) {
        if (hook->levels & (1u << i)) {
            (void) cJSON_AddItemToArray(list, cJSON_CreateString(
                           ncr_alert_level_name((ncr_alert_level_e) i)));
        }
    }

    (void) cJSON_AddBoolToObject(json, "resolved", hook->resolved != 0);
    (void) cJSON_AddNumberToObject(json, "limit", (double) hook->limit);

    if (hook->chat[0]) {
        (void) cJSON_AddStringToObject(json, "chat_id", hook->chat);
    }

    if (hook->thread[0]) {
        (void) cJSON_AddRawToObject(json, "thread_id", hook->thread);
    }

    state = cJSON_Parse(hook->row.state);

    (void) cJSON_AddItemToObject(json, "state",
                                 state ? state : cJSON_CreateNull());

    ngx_http_claude_relay_show_time(json, "created", hook->row.created);
    ngx_http_claude_relay_show_time(json, "updated", hook->row.updated);

    return json;
}


/* the host, and how it ends, so that two of them can be told apart */

static void
ngx_http_claude_relay_show_hook_url(cJSON *json,
    ngx_http_claude_relay_hook_t *hook)
{
    u_char               text[512];
    size_t               len;
    ncr_str_t            kind;
    ncr_notify_hook_t    notify;
    ncr_notify_place_t   place;

    ngx_memzero(&notify, sizeof(ncr_notify_hook_t));

    kind.data = (u_char *) hook->row.kind;
    kind.len = ngx_strlen(kind.data);

    notify.kind = ncr_notify_kind(&kind);
    notify.url.data = (u_char *) hook->row.url;
    notify.url.len = ngx_strlen(notify.url.data);
    notify.secret.data = (u_char *) hook->row.secret;
    notify.secret.len = ngx_strlen(notify.secret.data);
    notify.chat.data = (u_char *) hook->chat;
    notify.chat.len = ngx_strlen(notify.chat.data);

    if (notify.kind == NCR_NOTIFY_KINDS
        || ncr_notify_check(&notify, &place) != NULL)
    {
        (void) cJSON_AddNullToObject(json, "host");
        (void) cJSON_AddNullToObject(json, "url_end");
        return;
    }

    if (place.url.default_port) {
        (void) ngx_snprintf(text, sizeof(text), "%V%Z",
                            (ngx_str_t *) &place.url.host);

    } else {
        (void) ngx_snprintf(text, sizeof(text), "%V:%ui%Z",
                            (ngx_str_t *) &place.url.host, place.url.port);
    }

    (void) cJSON_AddStringToObject(json, "host", (char *) text);

    /* four of at least sixteen tell nobody the rest */

    len = ngx_strlen(hook->row.url);

    (void) cJSON_AddStringToObject(json, "url_end",
                                   (place.path.len < 16) ? ""
                                   : hook->row.url + len - 4);
}


/* what is in the body, into row and settings */

static ngx_int_t
ngx_http_claude_relay_hook_members(ngx_http_claude_relay_call_t *call,
    cJSON *settings)
{
    cJSON                              *values[12];
    ngx_uint_t                          i;
    ngx_http_claude_relay_hook_call_t  *hc;

    static const char *const  names[] = {
        "name", "kind", "enabled", "url", "secret",
        "types", "levels", "resolved", "limit", "chat_id", "thread_id", NULL
    };

    hc = call->data;

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (values[2]) {

        if (!cJSON_IsBool(values[2])) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"enabled\" must be true or "
                                             "false");
            return NGX_ERROR;
        }

        hc->row.enabled = cJSON_IsTrue(values[2]);
    }

    if (values[1]) {

        if (!cJSON_IsString(values[1])
            || ngx_strlen(values[1]->valuestring) >= sizeof(hc->row.kind))
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"kind\" must be one of json, "
                                             "slack, discord, telegram, "
                                             "feishu, dingtalk, wecom, bark");
            return NGX_ERROR;
        }

        (void) ngx_cpystrn((u_char *) hc->row.kind,
                           (u_char *) values[1]->valuestring,
                           sizeof(hc->row.kind));
    }

    if (ngx_http_claude_relay_hook_text(call, values[3], "url", &hc->row.url)
        != NGX_OK
        || ngx_http_claude_relay_hook_text(call, values[4], "secret",
                                           &hc->row.secret)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 5; names[i]; i++) {
        if (values[i]
            && ngx_http_claude_relay_hook_setting(call, settings, names[i])
               == NULL)
        {
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* null: none of it */

static ngx_int_t
ngx_http_claude_relay_hook_text(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, char **text)
{
    static char  none[] = "";

    if (cJSON_IsNull(value)) {
        *text = none;
        return NGX_OK;
    }

    return value ? ngx_http_claude_relay_call_text(call, value, name,
                                                   NCR_NOTIFY_URL, text)
                 : NGX_OK;
}


/* a member of the body in place of what is set; null: as is usual */

static cJSON *
ngx_http_claude_relay_hook_setting(ngx_http_claude_relay_call_t *call,
    cJSON *settings, const char *name)
{
    cJSON  *value, *copy;

    value = cJSON_GetObjectItemCaseSensitive(call->body, name);

    cJSON_DeleteItemFromObjectCaseSensitive(settings, name);

    if (cJSON_IsNull(value)) {
        return value;
    }

    copy = cJSON_Duplicate(value, 1);

    if (copy) {
        (void) cJSON_AddItemToObject(settings, name, copy);
    }

    return copy;
}


/* a hook as it would be: row, and what it does not have of hc->hook */

static ngx_int_t
ngx_http_claude_relay_hook_try(ngx_http_claude_relay_call_t *call,
    cJSON *settings)
{
    u_char                              error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_str_t                           kind;
    ngx_int_t                           rc;
    const char                         *wrong;
    ngx_http_claude_relay_hook_t        hook;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = call->data;

    ngx_memzero(&hook, sizeof(ngx_http_claude_relay_hook_t));

    hook.row = hc->row;

    if (hook.row.url == NULL) {
        hook.row.url = hc->hook ? hc->hook->row.url : (char *) "";
    }

    if (hook.row.secret == NULL) {
        hook.row.secret = hc->hook ? hc->hook->row.secret : (char *) "";
    }

    kind.data = (u_char *) hook.row.kind;
    kind.len = ngx_strlen(kind.data);

    if (ncr_notify_kind(&kind) == NCR_NOTIFY_KINDS) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"kind\" must be one of json, "
                                         "slack, discord, telegram, feishu, "
                                         "dingtalk, wecom, bark");
        return NGX_ERROR;
    }

    wrong = ngx_http_claude_relay_hook_settings(&hook, settings);

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", wrong);
        return NGX_ERROR;
    }

    rc = ngx_http_claude_relay_hook_check(call->rmcf, &hook, error);

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"url\": %s", error);
        return NGX_ERROR;
    }

    hc->row.settings = ngx_http_claude_relay_call_print(call, settings);

    if (hc->row.settings == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_api_hook_create(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *name, *settings;
    ngx_int_t                           rc;
    ngx_str_t                           s;
    ngx_http_claude_relay_hook_call_t  *hc;

    if (ngx_http_claude_relay_hook_no_args(call) != NGX_OK) {
        return;
    }

    name = cJSON_GetObjectItemCaseSensitive(call->body, "name");

    s.data = (u_char *) (cJSON_IsString(name) ? name->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (!ngx_http_claude_relay_valid_name(&s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return;
    }

    if (ngx_http_claude_relay_call_name(call, &s) != NGX_OK) {
        return;
    }

    hc = ngx_http_claude_relay_hook_call(call);
    settings = cJSON_CreateObject();

    if (hc == NULL) {
        cJSON_Delete(settings);
        return;
    }

    hc->row.enabled = 1;

    rc = ngx_http_claude_relay_hook_members(call, settings);

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_hook_try(call, settings);
    }

    cJSON_Delete(settings);

    if (rc == NGX_OK) {
        ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_hook_count_run,
                                    ngx_http_claude_relay_hook_create_counted);
    }
}


static void
ngx_http_claude_relay_hook_count_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;
    hc->n = 0;

    ngx_http_claude_relay_job_rc(store, job,
                  ncr_store_hooks(store, ngx_http_claude_relay_hook_counted,
                                  hc));
}


static ncr_int_t
ngx_http_claude_relay_hook_counted(void *data, ncr_store_hook_t *row)
{
    ngx_http_claude_relay_hook_call_t *hc = data;

    hc->n++;

    return NCR_OK;
}


static void
ngx_http_claude_relay_hook_create_counted(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (hc->n >= NGX_HTTP_CLAUDE_RELAY_HOOKS) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there are %d hooks, no more can be "
                                         "made", NGX_HTTP_CLAUDE_RELAY_HOOKS);
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_hook_create_run,
                                    ngx_http_claude_relay_hook_created);
}


static void
ngx_http_claude_relay_hook_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    uint64_t                            version;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;
    version = 0;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_hook_put(store, &hc->row, &version,
                                                    call->now));
}


static void
ngx_http_claude_relay_hook_created(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is a hook \"%V\" already",
                                         &call->name);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    call->created = 1;

    ngx_http_claude_relay_hook_changed(call, "made");
}


/* told as it is now */

static void
ngx_http_claude_relay_hook_changed(ngx_http_claude_relay_call_t *call,
    const char *what)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "hook \"%V\" was %s by %V", &call->name, what,
                  &call->caller.who);

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_hook_find_run,
                                    ngx_http_claude_relay_hook_shown);
}


static void
ngx_http_claude_relay_api_hook_patch(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_hook_no_args(call) == NGX_OK
        && ngx_http_claude_relay_hook_call(call))
    {
        ngx_http_claude_relay_call_post(call,
                                      ngx_http_claude_relay_hook_find_run,
                                      ngx_http_claude_relay_hook_patch_found);
    }
}


static void
ngx_http_claude_relay_hook_patch_found(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *settings;
    ngx_int_t                           rc;
    ngx_http_claude_relay_hook_call_t  *hc;

    if (ngx_http_claude_relay_hook_found(call) != NGX_OK) {
        return;
    }

    hc = call->data;

    if (call->match != UINT64_MAX && call->match != hc->hook->row.version) {
        ngx_http_claude_relay_hook_refused(call);
        return;
    }

    if (cJSON_GetObjectItemCaseSensitive(call->body, "name")) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" cannot be changed");
        return;
    }

    ngx_memcpy(hc->row.kind, hc->hook->row.kind, sizeof(hc->row.kind));
    hc->row.enabled = hc->hook->row.enabled;

    settings = cJSON_Parse(hc->hook->row.settings);

    if (settings == NULL) {
        settings = cJSON_CreateObject();
    }

    rc = ngx_http_claude_relay_hook_members(call, settings);

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_hook_try(call, settings);
    }

    cJSON_Delete(settings);

    if (rc == NGX_OK) {
        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_hook_put_run,
                                        ngx_http_claude_relay_hook_patched);
    }
}


/* nobody else's change is lost: it is of the version that was looked at */

static void
ngx_http_claude_relay_hook_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    uint64_t                            version;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;
    version = hc->hook->row.version;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_hook_put(store, &hc->row, &version,
                                                    call->now));
}


static void
ngx_http_claude_relay_hook_patched(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_hook_refused(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_hook_changed(call, "changed");
}


static void
ngx_http_claude_relay_hook_refused(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED, NULL,
                                     "hook \"%V\" has been changed since",
                                     &call->name);
}


static void
ngx_http_claude_relay_api_hook_remove(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_hook_no_args(call) == NGX_OK
        && ngx_http_claude_relay_hook_call(call))
    {
        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_hook_remove_run,
                                        ngx_http_claude_relay_hook_removed);
    }
}


static void
ngx_http_claude_relay_hook_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ncr_int_t                           rc;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;

    rc = ncr_store_hook_remove(store, hc->row.name, call->match);

    ngx_http_claude_relay_job_rc(store, job, rc);

    if (rc == NCR_DECLINED && call->match != UINT64_MAX) {

        /* gone, or only of another version? */

        ngx_http_claude_relay_hook_find_run(store, job);

        if (job->rc == NCR_OK) {
            job->rc = NCR_DONE;
        }
    }
}


static void
ngx_http_claude_relay_hook_removed(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DONE) {
        ngx_http_claude_relay_hook_refused(call);
        return;
    }

    if (ngx_http_claude_relay_hook_found(call) != NGX_OK) {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "hook \"%V\" was removed by %V", &call->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}
