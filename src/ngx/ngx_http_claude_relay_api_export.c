
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Everything of the store as one document.  It is read in pieces, so that no
 * token waits for it, and sealed and printed in a thread of its own.
 */


#include "ngx_http_claude_relay_port.h"


/* rows of one job */
#define NGX_HTTP_CLAUDE_RELAY_EXPORT_ROWS  200


typedef struct {
    ngx_http_claude_relay_call_t      *call;
    ngx_uint_t                         wanted;      /* bits, by section */
    ngx_uint_t                         section;
    ngx_uint_t                         rows;        /* of this job */
    ngx_uint_t                         more;        /* of this section */
    uint64_t                           seq;         /* accounts: up to it */
    char                               after[NCR_STORE_NAME];
    ngx_str_t                          passphrase;
    cJSON                             *doc;
    cJSON                             *list;        /* of the section */
    char                              *text;
    size_t                             len;
} ngx_http_claude_relay_export_t;


static ngx_int_t ngx_http_claude_relay_export_read(
    ngx_http_claude_relay_export_t *ex);
static void ngx_http_claude_relay_export_free(void *data);
static void ngx_http_claude_relay_export_next(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_export_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_export_account(void *data,
    ncr_store_account_t *row);
static ncr_int_t ngx_http_claude_relay_export_object(void *data,
    ncr_store_object_t *row);
static void ngx_http_claude_relay_export_key(cJSON *json,
    ncr_store_object_t *row);
static ncr_int_t ngx_http_claude_relay_export_person(void *data,
    ncr_store_person_t *person);
static ncr_int_t ngx_http_claude_relay_export_hook(void *data,
    ncr_store_hook_t *hook);
static ncr_int_t ngx_http_claude_relay_export_setting(ncr_store_t *store,
    ngx_http_claude_relay_export_t *ex);
static ncr_int_t ngx_http_claude_relay_export_add(
    ngx_http_claude_relay_export_t *ex, cJSON *row);
static void ngx_http_claude_relay_export_json(cJSON *row, const char *name,
    const char *text);
static void ngx_http_claude_relay_export_secret(cJSON *secrets,
    const char *name, const char *text);
static void ngx_http_claude_relay_export_has(cJSON *row, const char *what,
    ngx_uint_t has);
static void ngx_http_claude_relay_export_seal(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ngx_int_t ngx_http_claude_relay_export_head(cJSON *doc, u_char *salt,
    u_char *key);
static ngx_int_t ngx_http_claude_relay_export_rows(
    ngx_http_claude_relay_export_t *ex, u_char *key);
static void ngx_http_claude_relay_export_done(
    ngx_http_claude_relay_call_t *call);


static ngx_str_t  ngx_http_claude_relay_export_type =
    ngx_string("application/json");


ngx_http_claude_relay_section_t  ngx_http_claude_relay_sections[] = {
    { "groups", "group", NCR_SCOPE_GROUP },
    { "users", "user", NCR_SCOPE_USER },
    { "limits", "limit", NCR_SCOPE_MODEL },
    { "keys", "key", NCR_SCOPE_KEY },
    { "accounts", "account", NCR_SCOPE_ACCOUNT },
    { "people", "person", NCR_SCOPE_ACCOUNT },
    { "hooks", "hook", NCR_SCOPE_ACCOUNT },
    { "settings", "settings", NCR_SCOPE_ACCOUNT },
    { "prices", "prices", NCR_SCOPE_ACCOUNT },
    { NULL, NULL, NCR_SCOPE_ACCOUNT }
};


ngx_http_claude_relay_way_t  ngx_http_claude_relay_port_ways[] = {

    { NGX_HTTP_POST, "/v1/export", ngx_http_claude_relay_api_export,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/import", ngx_http_claude_relay_api_import,
      NCR_ROLE_ADMIN, 1, 1, 2, 0 },

    { NGX_HTTP_POST, "/v1/backup", ngx_http_claude_relay_api_backup,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


ngx_int_t
ngx_http_claude_relay_port_passphrase(cJSON *value, ngx_str_t *passphrase,
    const char **wrong)
{
    size_t   n;
    u_char  *p;

    ngx_str_null(passphrase);

    if (value == NULL || cJSON_IsNull(value)) {
        return NGX_OK;
    }

    *wrong = "\"passphrase\" must have 10 characters or more, and 1024 bytes "
             "at most";

    if (!cJSON_IsString(value)) {
        return NGX_ERROR;
    }

    /* characters, not bytes */

    for (n = 0, p = (u_char *) value->valuestring; *p; p++) {
        n += ((*p & 0xc0) != 0x80);
    }

    passphrase->data = (u_char *) value->valuestring;
    passphrase->len = p - passphrase->data;

    return (n < NCR_PASSWORD_MIN
            || passphrase->len > NGX_HTTP_CLAUDE_RELAY_PORT_PASSPHRASE)
           ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_port_key(ngx_str_t *passphrase, u_char *salt,
    u_char *key)
{
    return (ncr_seal_key_scrypt(ncr(passphrase), salt, key) == NCR_OK)
           ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_http_claude_relay_port_random(const char *prefix)
{
    ngx_uint_t  i;

    if (ngx_strncmp(prefix, "cr_", 3) != 0) {
        return 0;
    }

    for (i = 3; i < NCR_STORE_PREFIX - 1; i++) {
        if ((prefix[i] < '0' || prefix[i] > '9')
            && (prefix[i] < 'a' || prefix[i] > 'f'))
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_claude_relay_api_export(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_claude_relay_export_t  *ex;

    ex = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_export_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (ex == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_export_free;
    cln->data = ex;

    ex->call = call;
    call->data = ex;

    if (ngx_http_claude_relay_export_read(ex) != NGX_OK) {
        return;
    }

    ex->doc = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(ex->doc, "format", "claude-relay");
    (void) cJSON_AddNumberToObject(ex->doc, "version",
                                   NGX_HTTP_CLAUDE_RELAY_PORT_VERSION);
    ngx_http_claude_relay_show_time(ex->doc, "created",
                                    ngx_http_claude_relay_now());

    ngx_http_claude_relay_export_next(call);
}


static ngx_int_t
ngx_http_claude_relay_export_read(ngx_http_claude_relay_export_t *ex)
{
    cJSON       *item, *values[2];
    ngx_uint_t   i;
    const char  *wrong;

    static const char *const  names[] = { "passphrase", "what", NULL };

    if (ngx_http_claude_relay_call_members(ex->call, names, values, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_port_passphrase(values[0], &ex->passphrase,
                                              &wrong)
        != NGX_OK)
    {
        goto wrong;
    }

    if (values[1] == NULL || cJSON_IsNull(values[1])) {
        ex->wanted = (1 << NGX_HTTP_CLAUDE_RELAY_PORT_SECTIONS) - 1;
        return NGX_OK;
    }

    wrong = "\"what\" must be an array of \"accounts\", \"keys\", \"users\", "
            "\"groups\", \"limits\", \"people\", \"hooks\", \"settings\", "
            "\"prices\"";

    if (!cJSON_IsArray(values[1]) || values[1]->child == NULL) {
        goto wrong;
    }

    cJSON_ArrayForEach(item, values[1]) {

        for (i = 0; ngx_http_claude_relay_sections[i].name; i++) {
            if (cJSON_IsString(item)
                && ngx_strcmp(item->valuestring,
                              ngx_http_claude_relay_sections[i].name)
                   == 0)
            {
                break;
            }
        }

        if (ngx_http_claude_relay_sections[i].name == NULL) {
            goto wrong;
        }

        ex->wanted |= (ngx_uint_t) 1 << i;
    }

    return NGX_OK;

wrong:

    ngx_http_claude_relay_call_error(ex->call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "%s", wrong);
    return NGX_ERROR;
}


static void
ngx_http_claude_relay_export_free(void *data)
{
    ngx_http_claude_relay_export_t *ex = data;

    ncr_port_forget(ex->doc);
    cJSON_Delete(ex->doc);

    if (ex->text) {
        ngx_explicit_memzero(ex->text, ex->len);
        cJSON_free(ex->text);
    }
}


static void
ngx_http_claude_relay_export_next(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_export_t  *ex;

    ex = call->data;

    if (ex->list && call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (ex->list && !ex->more) {
        ex->list = NULL;
        ex->section++;
        ex->after[0] = '\0';
    }

    while (ex->section < NGX_HTTP_CLAUDE_RELAY_PORT_SECTIONS
           && !(ex->wanted & ((ngx_uint_t) 1 << ex->section)))
    {
        ex->section++;
    }

    if (ex->section < NGX_HTTP_CLAUDE_RELAY_PORT_SECTIONS) {

        if (ex->list == NULL) {
            ex->list = (ex->section >= NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS)
                       ? ex->doc
                       : cJSON_AddArrayToObject(ex->doc,
                         ngx_http_claude_relay_sections[ex->section].name);
        }

        if (ex->list == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return;
        }

        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_export_run,
                                        ngx_http_claude_relay_export_next);
        return;
    }

    call->job.run = ngx_http_claude_relay_export_seal;
    call->next = ngx_http_claude_relay_export_done;

    if (ngx_http_claude_relay_work_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "this worker is leaving");
    }
}


/* a page of a section */

static void
ngx_http_claude_relay_export_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                              after[NCR_STORE_NAME];
    uint64_t                          seq;
    ncr_int_t                         rc;
    ngx_http_claude_relay_export_t   *ex;

    ex = call->data;
    ex->rows = 0;
    ex->more = 0;

    ngx_memcpy(after, ex->after, sizeof(after));

    switch (ex->section) {

    case NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS:
        seq = ex->seq;
        rc = ncr_store_load(store, &seq, ngx_http_claude_relay_export_account,
                            ex);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_PEOPLE:
        rc = ncr_store_people(store, after,
                              ngx_http_claude_relay_export_person, ex);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS:
        rc = ncr_store_hooks(store, ngx_http_claude_relay_export_hook, ex);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS:
    case NGX_HTTP_CLAUDE_RELAY_PORT_PRICES:
        rc = ngx_http_claude_relay_export_setting(store, ex);
        break;

    default:
        rc = ncr_store_object_list(store,
                         ngx_http_claude_relay_sections[ex->section].kind,
                         after, ngx_http_claude_relay_export_object, ex);
        break;
    }

    ngx_http_claude_relay_job_rc(store, job, (rc == NCR_DONE) ? NCR_OK : rc);
}


static ncr_int_t
ngx_http_claude_relay_export_account(void *data, ncr_store_account_t *row)
{
    ngx_http_claude_relay_export_t *ex = data;

    cJSON  *json, *secrets;

    if (ex->rows++ == NGX_HTTP_CLAUDE_RELAY_EXPORT_ROWS) {
        ex->more = 1;
        return NCR_DONE;
    }

    ex->seq = row->seq;

    if (row->removed || row->conf) {
        return NCR_OK;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", row->name);
    ngx_http_claude_relay_export_json(json, "settings", row->settings);
    ngx_http_claude_relay_show_time(json, "created", row->created);

    ngx_http_claude_relay_export_has(json, "api_key", row->secret[0] != '\0');
    ngx_http_claude_relay_export_has(json, "proxy", row->proxy[0] != '\0');
    ngx_http_claude_relay_export_has(json, "tokens", row->access[0] != '\0');

    if (ex->passphrase.len) {
        secrets = cJSON_AddObjectToObject(json, "secrets");

        ngx_http_claude_relay_export_secret(secrets, "api_key", row->secret);
        ngx_http_claude_relay_export_secret(secrets, "proxy", row->proxy);
        ngx_http_claude_relay_export_secret(secrets, "access_token",
                                            row->access);
        ngx_http_claude_relay_export_secret(secrets, "refresh_token",
                                            row->refresh);
        ngx_http_claude_relay_export_secret(secrets, "scopes", row->scopes);
        ngx_http_claude_relay_export_json(secrets, "meta", row->meta);

        if (row->expires) {
            (void) cJSON_AddNumberToObject(secrets, "expires",
                                           (double) row->expires);
        }
    }

    return ngx_http_claude_relay_export_add(ex, json);
}


static ncr_int_t
ngx_http_claude_relay_export_object(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_export_t *ex = data;

    char    digest[2 * NCR_SHA256_LEN + 1];
    cJSON  *json, *secrets;

    if (ex->rows++ == NGX_HTTP_CLAUDE_RELAY_EXPORT_ROWS) {
        ex->more = 1;
        return NCR_DONE;
    }

    (void) ngx_cpystrn((u_char *) ex->after, (u_char *) row->name,
                       sizeof(ex->after));

    if (row->removed) {
        return NCR_OK;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", row->name);
    ngx_http_claude_relay_export_json(json, "settings", row->data);
    ngx_http_claude_relay_show_time(json, "created", row->created);

    if (row->has_digest) {
        ngx_http_claude_relay_export_key(json, row);

        ncr_hash_hex((u_char *) digest, row->digest, NCR_SHA256_LEN);
        digest[2 * NCR_SHA256_LEN] = '\0';

        if (ngx_http_claude_relay_port_random(row->prefix)) {
            (void) cJSON_AddStringToObject(json, "digest", digest);

        } else if (ex->passphrase.len) {
            secrets = cJSON_AddObjectToObject(json, "secrets");
            ngx_http_claude_relay_export_secret(secrets, "digest", digest);
        }

        ngx_explicit_memzero(digest, sizeof(digest));
    }

    return ngx_http_claude_relay_export_add(ex, json);
}


static void
ngx_http_claude_relay_export_key(cJSON *json, ncr_store_object_t *row)
{
    (void) cJSON_AddStringToObject(json, "prefix", row->prefix);

    if (row->activated) {
        ngx_http_claude_relay_show_time(json, "activated_at", row->activated);
    }
}


static ncr_int_t
ngx_http_claude_relay_export_person(void *data, ncr_store_person_t *person)
{
    ngx_http_claude_relay_export_t *ex = data;

    char    totp[2 * NCR_TOTP_KEY + 1];
    cJSON  *json, *secrets;

    if (ex->rows++ == NGX_HTTP_CLAUDE_RELAY_EXPORT_ROWS) {
        ex->more = 1;
        return NCR_DONE;
    }

    (void) ngx_cpystrn((u_char *) ex->after, (u_char *) person->name,
                       sizeof(ex->after));

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", person->name);
    (void) cJSON_AddStringToObject(json, "role", ncr_role_name(person->role));
    (void) cJSON_AddBoolToObject(json, "enabled", person->enabled);
    (void) cJSON_AddBoolToObject(json, "must_change", person->must_change);
    (void) cJSON_AddStringToObject(json, "external", person->external);

    ngx_http_claude_relay_export_has(json, "password",
                                     person->password[0] != '\0');
    ngx_http_claude_relay_export_has(json, "totp", person->has_totp);

    if (ex->passphrase.len) {
        secrets = cJSON_AddObjectToObject(json, "secrets");

        ngx_http_claude_relay_export_secret(secrets, "password",
                                            person->password);
        if (person->has_totp) {
            ncr_hash_hex((u_char *) totp, person->totp, NCR_TOTP_KEY);
            totp[2 * NCR_TOTP_KEY] = '\0';

            ngx_http_claude_relay_export_secret(secrets, "totp", totp);
            ngx_explicit_memzero(totp, sizeof(totp));
        }
    }

    return ngx_http_claude_relay_export_add(ex, json);
}


/* there are few of them */

static ncr_int_t
ngx_http_claude_relay_export_hook(void *data, ncr_store_hook_t *hook)
{
    ngx_http_claude_relay_export_t *ex = data;

    cJSON  *json, *secrets;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", hook->name);
    (void) cJSON_AddStringToObject(json, "kind", hook->kind);
    (void) cJSON_AddBoolToObject(json, "enabled", hook->enabled);
    ngx_http_claude_relay_export_json(json, "settings", hook->settings);

    ngx_http_claude_relay_export_has(json, "url", hook->url[0] != '\0');

    if (ex->passphrase.len) {
        secrets = cJSON_AddObjectToObject(json, "secrets");

        ngx_http_claude_relay_export_secret(secrets, "url", hook->url);
        ngx_http_claude_relay_export_secret(secrets, "secret", hook->secret);
    }

    return ngx_http_claude_relay_export_add(ex, json);
}


static ncr_int_t
ngx_http_claude_relay_export_setting(ncr_store_t *store,
    ngx_http_claude_relay_export_t *ex)
{
    ncr_int_t           rc;
    ngx_uint_t          which;
    ncr_store_object_t  row;

    which = (ex->section == NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS)
            ? NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN
            : NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES;

    rc = ncr_store_object_find(store, NGX_HTTP_CLAUDE_RELAY_SETTING_KIND,
                               ngx_http_claude_relay_setting_name(which),
                               &row);

    if (rc == NCR_OK && !row.removed) {
        ngx_http_claude_relay_export_json(ex->doc,
                         ngx_http_claude_relay_sections[ex->section].name,
                         row.data);
    }

    ncr_store_object_free(&row);

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


static ncr_int_t
ngx_http_claude_relay_export_add(ngx_http_claude_relay_export_t *ex,
    cJSON *row)
{
    if (row && cJSON_AddItemToArray(ex->list, row)) {
        return NCR_OK;
    }

    cJSON_Delete(row);

    return NCR_ERROR;
}


/* what is no object is left out */

static void
ngx_http_claude_relay_export_json(cJSON *row, const char *name,
    const char *text)
{
    cJSON  *json;

    json = cJSON_Parse(text);

    if (!cJSON_IsObject(json) || !cJSON_AddItemToObject(row, name, json)) {
        cJSON_Delete(json);
    }
}


static void
ngx_http_claude_relay_export_secret(cJSON *secrets, const char *name,
    const char *text)
{
    if (text[0]) {
        (void) cJSON_AddStringToObject(secrets, name, text);
    }
}


/* so that who imports it without secrets knows what is missing */

static void
ngx_http_claude_relay_export_has(cJSON *row, const char *what, ngx_uint_t has)
{
    cJSON  *list, *item;

    if (!has) {
        return;
    }

    list = cJSON_GetObjectItemCaseSensitive(row, "has");
    list = list ? list : cJSON_AddArrayToObject(row, "has");

    item = cJSON_CreateString(what);

    if (item == NULL || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
    }
}


/* in the thread for work */

static void
ngx_http_claude_relay_export_seal(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    u_char                           salt[NCR_SEAL_SALT], key[NCR_SEAL_KEY];
    ngx_int_t                        rc;
    ngx_http_claude_relay_export_t  *ex;

    ex = call->data;
    rc = NGX_OK;

    if (ex->passphrase.len) {

        if (ncr_seal_random(salt, sizeof(salt)) != NCR_OK
            || ngx_http_claude_relay_port_key(&ex->passphrase, salt, key)
               != NGX_OK
            || ngx_http_claude_relay_export_head(ex->doc, salt, key)
               != NGX_OK
            || ngx_http_claude_relay_export_rows(ex, key) != NGX_OK)
        {
            rc = NGX_ERROR;
        }

        ngx_explicit_memzero(key, sizeof(key));
    }

    if (rc == NGX_OK) {
        ex->text = cJSON_PrintUnformatted(ex->doc);
        ex->len = ex->text ? ngx_strlen(ex->text) : 0;
    }

    job->rc = NCR_OK;
}


/* what the key is made with, and something to try it on */

static ngx_int_t
ngx_http_claude_relay_export_head(cJSON *doc, u_char *salt, u_char *key)
{
    char    text[ncr_base64url_len(NCR_SEAL_SALT) + 1], *end, *check;
    cJSON  *sealed, *none;

    sealed = cJSON_AddObjectToObject(doc, "sealed");
    none = cJSON_CreateObject();

    check = ncr_port_seal(key, "check", "", none);

    cJSON_Delete(none);

    if (sealed == NULL || check == NULL) {
        cJSON_free(check);
        return NGX_ERROR;
    }

    end = ncr_base64url(text, salt, NCR_SEAL_SALT);
    *end = '\0';

    (void) cJSON_AddStringToObject(sealed, "kdf", "scrypt-15-8-1");
    (void) cJSON_AddStringToObject(sealed, "cipher", "aes-256-gcm");
    (void) cJSON_AddStringToObject(sealed, "salt", text);
    (void) cJSON_AddStringToObject(sealed, "check", check);

    cJSON_free(check);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_export_rows(ngx_http_claude_relay_export_t *ex,
    u_char *key)
{
    char        *text;
    cJSON       *list, *row, *secrets, *name;
    ngx_int_t    rc;
    ngx_uint_t   i;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS; i++) {

        list = cJSON_GetObjectItemCaseSensitive(ex->doc,
                                    ngx_http_claude_relay_sections[i].name);

        cJSON_ArrayForEach(row, list) {

            secrets = cJSON_DetachItemFromObjectCaseSensitive(row, "secrets");

            if (secrets == NULL) {
                continue;
            }

            name = cJSON_GetObjectItemCaseSensitive(row, "name");

            text = ncr_port_seal(key, ngx_http_claude_relay_sections[i].kind,
                                 name->valuestring, secrets);

            ncr_port_forget(secrets);
            cJSON_Delete(secrets);

            rc = (text && cJSON_AddStringToObject(row, "sealed", text))
                 ? NGX_OK : NGX_ERROR;

            cJSON_free(text);

            if (rc != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_export_done(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                        text, none;
    ngx_http_claude_relay_export_t  *ex;

    ex = call->data;

    if (ex->text == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "the store was exported %s secrets by %V",
                  ex->passphrase.len ? "with sealed" : "without",
                  &call->caller.who);

    call->untold = 1;

    text.data = (u_char *) ex->text;
    text.len = ex->len;
    ngx_str_null(&none);

    ngx_http_claude_relay_call_text_answer(call,
                                           &ngx_http_claude_relay_export_type,
                                           &text, &none);
}
