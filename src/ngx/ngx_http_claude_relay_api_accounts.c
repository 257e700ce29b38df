
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Changes of accounts.  What an account would be is tried first, as the
 * rosters of all workers will do it; only what can be used is stored.
 */


#include "ngx_http_claude_relay_api.h"


/* writers that meet: this often one reads again what the other has written */
#define NGX_HTTP_CLAUDE_RELAY_MEETINGS  100


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_API_KEY,
    NGX_HTTP_CLAUDE_RELAY_PROXY,
    NGX_HTTP_CLAUDE_RELAY_IMPORT,
    NGX_HTTP_CLAUDE_RELAY_ACCESS,
    NGX_HTTP_CLAUDE_RELAY_REFRESH,
    NGX_HTTP_CLAUDE_RELAY_EXPIRES,
    NGX_HTTP_CLAUDE_RELAY_SCOPES,
    NGX_HTTP_CLAUDE_RELAY_MEMBERS
} ngx_http_claude_relay_input_e;


typedef struct {
    ncr_char_t                         key[NCR_SEAL_KEY];
    ngx_str_t                          text;
} ngx_http_claude_relay_rekey_t;


static ngx_int_t ngx_http_claude_relay_create_read(
    ngx_http_claude_relay_call_t *call, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_create_import(
    ngx_http_claude_relay_call_t *call, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_input_tokens(
    ngx_http_claude_relay_call_t *call, cJSON **values,
    const char *platform);
static cJSON *ngx_http_claude_relay_input_compose(
    ngx_http_claude_relay_call_t *call, cJSON **values);
static ngx_uint_t ngx_http_claude_relay_strings(cJSON *value);
static void ngx_http_claude_relay_input_row(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_created(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ngx_int_t ngx_http_claude_relay_of_store(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_patch_find(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_patch_found(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_patch_read(
    ngx_http_claude_relay_call_t *call, cJSON *change);
static ngx_int_t ngx_http_claude_relay_patch_merge(
    ngx_http_claude_relay_call_t *call, cJSON *settings, cJSON *change);
static void ngx_http_claude_relay_patch_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_patched(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_remove_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_removed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_gone(ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_tokens_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_tokens_kept(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_rekey_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_rekeyed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_changed(ngx_http_claude_relay_call_t *call,
    const char *what);


/* in the order of ngx_http_claude_relay_input_e */

static const char *const  ngx_http_claude_relay_create_members[] = {
    "name", "api_key", "proxy", "import", "access_token", "refresh_token",
    "expires", "scopes", NULL
};


void
ngx_http_claude_relay_api_create(ngx_http_claude_relay_call_t *call)
{
    cJSON      *settings;
    ngx_int_t   rc;

    settings = cJSON_CreateObject();

    rc = ngx_http_claude_relay_create_read(call, settings);

    if (rc != NGX_OK) {
        cJSON_Delete(settings);
        return;
    }

    call->row.settings = ngx_http_claude_relay_call_print(call, settings);

    cJSON_Delete(settings);

    if (call->row.settings == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    if (ngx_http_claude_relay_call_try(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_create_run,
                                    ngx_http_claude_relay_created);
}


/* into call->row, call->import and settings */

static ngx_int_t
ngx_http_claude_relay_create_read(ngx_http_claude_relay_call_t *call,
    cJSON *settings)
{
    char       *name, *key, *proxy;
    cJSON      *values[NGX_HTTP_CLAUDE_RELAY_MEMBERS], *platform;
    ngx_str_t   s;

    if (ngx_http_claude_relay_call_members(call,
                        ngx_http_claude_relay_create_members, values, settings)
        != NGX_OK
        || ngx_http_claude_relay_call_text(call,
                        values[NGX_HTTP_CLAUDE_RELAY_NAME], "name",
                        NGX_HTTP_CLAUDE_RELAY_NAME_LEN - 1, &name)
           != NGX_OK
        || ngx_http_claude_relay_call_text(call,
                        values[NGX_HTTP_CLAUDE_RELAY_API_KEY], "api_key",
                        NCR_OAUTH_TOKEN - 1, &key)
           != NGX_OK
        || ngx_http_claude_relay_call_proxy(call,
                        values[NGX_HTTP_CLAUDE_RELAY_PROXY], &proxy)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    s.data = (u_char *) (name ? name : "");
    s.len = ngx_strlen(s.data);

    if (!ngx_http_claude_relay_valid_name(&s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_roster_find(call->roster, &s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is an account \"%V\" already",
                                         &s);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_call_name(call, &s) != NGX_OK) {
        return NGX_ERROR;
    }

    call->row.secret = key ? key : "";
    call->row.proxy = proxy ? proxy : "";
    call->row.scopes = "";
    call->row.meta = "";

    platform = cJSON_GetObjectItemCaseSensitive(settings, "platform");

    if (ngx_http_claude_relay_input_tokens(call, values,
                                           cJSON_IsString(platform)
                                           ? platform->valuestring : NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (call->import == NULL) {
        return NGX_OK;
    }

    if (key) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "an account has an \"api_key\" or "
                                         "tokens, not both");
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_create_import(call, settings);
}


/* what is imported tells its platform, and may tell where that is */

static ngx_int_t
ngx_http_claude_relay_create_import(ngx_http_claude_relay_call_t *call,
    cJSON *settings)
{
    ncr_str_t            name;
    ncr_platform_t      *platform;
    ncr_oauth_import_t  *import;

    import = call->import;

    if (cJSON_GetObjectItemCaseSensitive(settings, "platform") == NULL) {
        (void) cJSON_AddStringToObject(settings, "platform",
                                       import->platform);
    }

    if (import->base_url[0]
        && cJSON_GetObjectItemCaseSensitive(settings, "base_url") == NULL)
    {
        (void) cJSON_AddStringToObject(settings, "base_url",
                                       import->base_url);
    }

    if (import->region[0]
        && cJSON_GetObjectItemCaseSensitive(settings, "region") == NULL)
    {
        (void) cJSON_AddStringToObject(settings, "region", import->region);
    }

    name.data = (u_char *) import->platform;
    name.len = ngx_strlen(import->platform);

    platform = ncr_platform_find(&name);

    if ((platform && !platform->token)
        || ngx_strcmp(import->kind, "api-key") == 0)
    {

        /* a key, not a token */

        call->row.secret = import->access;
        return NGX_OK;
    }

    ngx_http_claude_relay_input_row(call);

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_proxy(ngx_http_claude_relay_call_t *call,
    cJSON *value, char **proxy)
{
    if (cJSON_IsNull(value)
        || (cJSON_IsString(value) && value->valuestring[0] == '\0'))
    {
        *proxy = "";
        return NGX_OK;
    }

    return ngx_http_claude_relay_call_text(call, value, "proxy", 1024, proxy);
}


/* into call->import; it stays NULL if there are no tokens in the body */

static ngx_int_t
ngx_http_claude_relay_input_tokens(ngx_http_claude_relay_call_t *call,
    cJSON **values, const char *platform)
{
    cJSON       *import, *composed;
    ngx_str_t    text;
    ngx_uint_t   i, n;
    const char  *wrong;

    import = values[NGX_HTTP_CLAUDE_RELAY_IMPORT];

    for (i = NGX_HTTP_CLAUDE_RELAY_ACCESS, n = 0;
         i <= NGX_HTTP_CLAUDE_RELAY_SCOPES;
         i++)
    {
        n += (values[i] != NULL);
    }

    if (import == NULL && n == 0) {
        return NGX_OK;
    }

    if (import && n) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"import\" cannot stand beside "
                                         "tokens");
        return NGX_ERROR;
    }

    if (import && !cJSON_IsString(import)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"import\" must be a string");
        return NGX_ERROR;
    }

    call->import = ngx_pcalloc(call->pool, sizeof(ncr_oauth_import_t));

    if (call->import == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    if (import) {
        text.data = (u_char *) import->valuestring;
        text.len = ngx_strlen(text.data);

        wrong = ncr_oauth_import_as(ncr(&text), platform, call->import,
                                    ngx_http_claude_relay_now());

    } else {
        composed = ngx_http_claude_relay_input_compose(call, values);

        if (composed == NULL) {
            return NGX_ERROR;
        }

        text.data = (u_char *) cJSON_PrintUnformatted(composed);

        cJSON_Delete(composed);

        if (text.data == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }

        text.len = ngx_strlen(text.data);

        wrong = ncr_oauth_import_as(ncr(&text), platform, call->import,
                                    ngx_http_claude_relay_now());

        ngx_explicit_memzero(text.data, text.len);
        cJSON_free(text.data);
    }

    if (wrong == NULL) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "account \"%V\": %s: %s", &call->name,
                                     import ? "\"import\" is of no use"
                                            : "the tokens are of no use",
                                     wrong);

    return NGX_ERROR;
}


/* as a file of credentials has them, so that there is one reader of both */

static cJSON *
ngx_http_claude_relay_input_compose(ngx_http_claude_relay_call_t *call,
    cJSON **values)
{
    char        *access, *refresh;
    cJSON       *json, *expires, *scopes;
    const char  *wrong;

    if (ngx_http_claude_relay_call_text(call,
                        values[NGX_HTTP_CLAUDE_RELAY_ACCESS], "access_token",
                        NCR_OAUTH_TOKEN - 1, &access)
        != NGX_OK
        || ngx_http_claude_relay_call_text(call,
                        values[NGX_HTTP_CLAUDE_RELAY_REFRESH], "refresh_token",
                        NCR_OAUTH_TOKEN - 1, &refresh)
           != NGX_OK)
    {
        return NULL;
    }

    expires = values[NGX_HTTP_CLAUDE_RELAY_EXPIRES];
    scopes = values[NGX_HTTP_CLAUDE_RELAY_SCOPES];
    wrong = NULL;

    if (access == NULL) {
        wrong = "\"access_token\" is missing";

    } else if (expires && !cJSON_IsNumber(expires) && !cJSON_IsString(expires)
               && !cJSON_IsNull(expires))
    {
        wrong = "\"expires\" must be a time, or null";

    } else if (scopes && !cJSON_IsString(scopes)
               && !ngx_http_claude_relay_strings(scopes))
    {
        wrong = "\"scopes\" must be a string, or an array of strings";
    }

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", wrong);
        return NULL;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "accessToken", access);

    if (refresh) {
        (void) cJSON_AddStringToObject(json, "refreshToken", refresh);
    }

    if (expires) {
        (void) cJSON_AddItemReferenceToObject(json, "expiresAt", expires);
    }

    if (scopes) {
        (void) cJSON_AddItemReferenceToObject(json, "scopes", scopes);
    }

    return json;
}


static ngx_uint_t
ngx_http_claude_relay_strings(cJSON *value)
{
    cJSON  *item;

    if (!cJSON_IsArray(value)) {
        return 0;
    }

    cJSON_ArrayForEach(item, value) {
        if (!cJSON_IsString(item)) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_claude_relay_input_row(ngx_http_claude_relay_call_t *call)
{
    ncr_oauth_import_t  *import;

    import = call->import;

    call->with_tokens = 1;
    call->row.access = import->access;
    call->row.refresh = import->refresh;
    call->row.expires = import->expires;
    call->row.scopes = import->scope;
    call->row.meta = import->meta;
}


ngx_int_t
ngx_http_claude_relay_call_try(ngx_http_claude_relay_call_t *call)
{
    u_char  error[NGX_HTTP_CLAUDE_RELAY_ERROR];

    if (ngx_http_claude_relay_call_check(call, error) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", error);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_check(ngx_http_claude_relay_call_t *call,
    u_char *error)
{
    if (call->trial) {
        ngx_http_claude_relay_account_destroy(call->trial);
    }

    call->trial = ngx_http_claude_relay_account_make(call->rmcf, &call->row,
                                                     error);
    if (call->trial == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_guard_account(call->rmcf, call->trial,
                                            call->account, error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (call->trial->token && call->row.secret[0]) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                          "platform \"%V\" takes tokens, no \"api_key\"%Z",
                          (ngx_str_t *) &call->trial->platform->name);
        return NGX_ERROR;
    }

    if (!call->trial->token && call->with_tokens) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                          "platform \"%V\" takes an \"api_key\", no "
                          "tokens%Z",
                          (ngx_str_t *) &call->trial->platform->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    uint64_t   version;
    ncr_int_t  rc;

    version = 0;

    rc = ncr_store_put(store, &call->row, &version, call->now);

    if (rc == NCR_OK && call->with_tokens) {

        rc = ncr_store_tokens(store, &call->row, UINT64_MAX,
                              call->now);

        if (rc != NCR_OK) {

            /* not without its tokens */

            ngx_http_claude_relay_job_rc(store, job, NCR_ERROR);
            (void) ncr_store_remove(store, call->row.name, version,
                                    call->now);
            return;
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_created(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is an account \"%V\" already",
                                         &call->name);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    call->created = 1;

    ngx_http_claude_relay_changed(call, "made");
}


/* it is in the store: all workers hear of it, and then the client */

static void
ngx_http_claude_relay_changed(ngx_http_claude_relay_call_t *call,
    const char *what)
{
    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "account \"%V\" was %s by %V", &call->name, what,
                  &call->caller.who);

    call->seq = call->row.seq;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_call_account);
}


void
ngx_http_claude_relay_api_patch(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_of_store(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_patch_find(call);
}


/* one of nginx.conf cannot be changed here */

static ngx_int_t
ngx_http_claude_relay_of_store(ngx_http_claude_relay_call_t *call)
{
    if (call->account && call->account->own == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                    "account \"%V\" is one of nginx.conf: it "
                                    "is changed there", &call->name);
        return NGX_ERROR;
    }

    if (!ngx_http_claude_relay_valid_name(&call->name)) {
        ngx_http_claude_relay_gone(call);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn((u_char *) call->row.name, call->name.data,
                       sizeof(call->row.name));

    return NGX_OK;
}


static void
ngx_http_claude_relay_gone(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                     "there is no account \"%V\"",
                                     &call->name);
}


static void
ngx_http_claude_relay_patch_find(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_find_run,
                                    ngx_http_claude_relay_patch_found);
}


static void
ngx_http_claude_relay_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t            rc;
    ncr_store_account_t  row;

    rc = ncr_store_find(store, call->row.name, &row);

    if (rc == NCR_OK) {
        ngx_http_claude_relay_call_found(call, &row);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_patch_found(ngx_http_claude_relay_call_t *call)
{
    cJSON      *settings, *change;
    ngx_int_t   rc;

    if (call->job.rc == NCR_DECLINED
        || (call->job.rc == NCR_OK && call->found.conf))
    {
        ngx_http_claude_relay_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (call->match != UINT64_MAX && call->match != call->found.version) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED,
                                 NULL, "account \"%V\" was changed meanwhile: "
                                 "it has version %uL", &call->name,
                                 call->found.version);
        return;
    }

    change = cJSON_CreateObject();
    settings = cJSON_Parse(call->found.settings);

    rc = ngx_http_claude_relay_patch_read(call, change);

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_patch_merge(call, settings, change);
    }

    cJSON_Delete(change);
    cJSON_Delete(settings);

    if (rc != NGX_OK) {
        return;
    }

    if (ngx_http_claude_relay_call_try(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_patch_run,
                                    ngx_http_claude_relay_patched);
}


/* all of the row as it will be, but for its settings: they go into change */

static ngx_int_t
ngx_http_claude_relay_patch_read(ngx_http_claude_relay_call_t *call,
    cJSON *change)
{
    char   *key, *proxy;
    cJSON  *values[2];

    static const char *const  names[] = { "api_key", "proxy", NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, change)
        != NGX_OK
        || ngx_http_claude_relay_call_text(call, values[0], "api_key",
                                           NCR_OAUTH_TOKEN - 1, &key)
           != NGX_OK
        || ngx_http_claude_relay_call_proxy(call, values[1], &proxy)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (change->child == NULL && key == NULL && proxy == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nothing is to be changed");
        return NGX_ERROR;
    }

    call->row.secret = key ? key : call->found.secret;
    call->row.proxy = proxy ? proxy : call->found.proxy;
    call->row.scopes = "";
    call->row.meta = "";

    return NGX_OK;
}


/* null takes a setting back to what is usual */

static ngx_int_t
ngx_http_claude_relay_patch_merge(ngx_http_claude_relay_call_t *call,
    cJSON *settings, cJSON *change)
{
    cJSON  *item, *old, *copy;

    cJSON_ArrayForEach(item, change) {

        old = cJSON_GetObjectItemCaseSensitive(settings, item->string);

        if (ngx_strcmp(item->string, "platform") == 0
            && !cJSON_Compare(old, item, 1))
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                  "the \"platform\" of an account cannot be "
                                  "changed");
            return NGX_ERROR;
        }

        if (old) {
            cJSON_DeleteItemFromObjectCaseSensitive(settings, item->string);
        }

        if (cJSON_IsNull(item)) {
            continue;
        }

        copy = cJSON_Duplicate(item, 1);

        if (copy == NULL
            || !cJSON_AddItemToObject(settings, item->string, copy))
        {
            cJSON_Delete(copy);
            ngx_http_claude_relay_call_memory(call);
            return NGX_ERROR;
        }
    }

    call->row.settings = ngx_http_claude_relay_call_print(call, settings);

    if (call->row.settings == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_patch_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    uint64_t  version;

    version = call->found.version;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_put(store, &call->row, &version,
                                               call->now));
}


static void
ngx_http_claude_relay_patched(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED
        && call->looks++ < NGX_HTTP_CLAUDE_RELAY_MEETINGS)
    {
        /* somebody was faster; with "If-Match" that is found out */

        ngx_http_claude_relay_patch_find(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_changed(call, "changed");
}


void
ngx_http_claude_relay_api_remove(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_of_store(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_find_run,
                                    ngx_http_claude_relay_remove_found);
}


static void
ngx_http_claude_relay_remove_found(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED
        || (call->job.rc == NCR_OK && call->found.conf))
    {
        ngx_http_claude_relay_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_remove_run,
                                    ngx_http_claude_relay_removed);
}


static void
ngx_http_claude_relay_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                        ncr_store_remove(store, call->row.name, call->match,
                                         call->now));
}


static void
ngx_http_claude_relay_removed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_account_t  *a;

    if (call->job.rc == NCR_DECLINED && call->match != UINT64_MAX) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED,
                                   NULL, "account \"%V\" was changed meanwhile",
                                   &call->name);
        return;
    }

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (call->until == 0) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "account \"%V\" was removed by %V", &call->name,
                      &call->caller.who);

        ngx_http_claude_relay_store_touched();

        call->until = ngx_current_msec + 1000;
    }

    /* its seq is not told; it is through when it is gone */

    a = ngx_http_claude_relay_roster_find(call->rmcf->roster, &call->name);

    if (a && a->id == call->found.id
        && (ngx_msec_int_t) (call->until - ngx_current_msec) > 0)
    {
        ngx_http_claude_relay_call_timer(call, 5,
                                         ngx_http_claude_relay_removed);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}


/* new tokens by hand, for accounts of nginx.conf, too */

void
ngx_http_claude_relay_api_tokens(ngx_http_claude_relay_call_t *call)
{
    cJSON      *values[NGX_HTTP_CLAUDE_RELAY_MEMBERS];
    ncr_str_t   name;

    if (call->account == NULL) {
        ngx_http_claude_relay_gone(call);
        return;
    }

    values[0] = NULL;

    if (ngx_http_claude_relay_call_members(call,
                    ngx_http_claude_relay_create_members
                    + NGX_HTTP_CLAUDE_RELAY_IMPORT,
                    values + NGX_HTTP_CLAUDE_RELAY_IMPORT, NULL)
        != NGX_OK)
    {
        return;
    }

    if (!call->account->token) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                           "account \"%V\" is of platform \"%V\", which takes "
                           "no tokens", &call->name,
                           (ngx_str_t *) &call->account->platform->name);
        return;
    }

    if (ngx_http_claude_relay_input_tokens(call, values,
                                   (char *) call->account->platform->name.data)
        != NGX_OK)
    {
        return;
    }

    if (call->import == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"import\" or \"access_token\" is "
                                         "missing");
        return;
    }

    name.data = (u_char *) call->import->platform;
    name.len = ngx_strlen(name.data);

    if (ncr_platform_find(&name) != call->account->platform) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                           "account \"%V\" is of platform \"%V\", what is "
                           "imported is of \"%s\"", &call->name,
                           (ngx_str_t *) &call->account->platform->name,
                           call->import->platform);
        return;
    }

    (void) ngx_cpystrn((u_char *) call->row.name, call->name.data,
                       sizeof(call->row.name));

    ngx_http_claude_relay_input_row(call);

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_tokens_run,
                                    ngx_http_claude_relay_tokens_kept);
}


static void
ngx_http_claude_relay_tokens_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                            ncr_store_tokens(store, &call->row, UINT64_MAX,
                                             call->now));
}


static void
ngx_http_claude_relay_tokens_kept(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_changed(call, "given new tokens");
}


/* every secret is sealed anew under another key file */

void
ngx_http_claude_relay_api_rekey(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[1];
    const char                     *wrong;
    ngx_http_claude_relay_rekey_t  *rekey;

    static const char *const  names[] = { "key", NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK)
    {
        return;
    }

    if (!cJSON_IsString(values[0])) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"key\" must be a string, the text "
                                         "of a key file");
        return;
    }

    rekey = ngx_palloc(call->pool, sizeof(ngx_http_claude_relay_rekey_t));

    if (rekey == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    rekey->text.data = (u_char *) values[0]->valuestring;
    rekey->text.len = ngx_strlen(rekey->text.data);

    wrong = ncr_seal_key_parse(ncr(&rekey->text), rekey->key);

    if (wrong) {
        ncr_seal_forget(rekey->key, NCR_SEAL_KEY);
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"key\" is of no use: %s", wrong);
        return;
    }

    call->data = rekey;

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_rekey_run,
                                    ngx_http_claude_relay_rekeyed);
}


static void
ngx_http_claude_relay_rekey_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_rekey_t  *rekey;

    rekey = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                         ncr_store_rekey(store, ncr(&rekey->text), NULL));
}


static void
ngx_http_claude_relay_rekeyed(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json;
    ngx_http_claude_relay_zone_t   *zone;
    ngx_http_claude_relay_rekey_t  *rekey;

    rekey = call->data;
    zone = call->rmcf->zone;

    if (call->job.rc == NCR_OK) {

        /* others read the number first, and take the key if it is not 0 */

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        ngx_memcpy(zone->key, rekey->key, NCR_SEAL_KEY);
        ngx_memory_barrier();
        zone->key_number++;
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);
    }

    ncr_seal_forget(rekey->key, NCR_SEAL_KEY);

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_store_touched();

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "the store was sealed anew by %V: the new key must be in "
                  "place before nginx is started or reloaded",
                  &call->caller.who);

    json = cJSON_CreateObject();
    (void) cJSON_AddTrueToObject(json, "ok");

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
