
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Files and tokens that others have made: anthropic.md A.4, SEEDS 1.1. */


#include "ncr_oauth_text.h"
#include "ncr_platform.h"
#include "ncr_str.h"
#include "ncr_toml.h"


/* what a Pluribus file has; the slices point into text */

#define NCR_OAUTH_TOML_TEXT  (3 * NCR_OAUTH_TOKEN)

typedef struct {
    ncr_str_t            type;
    ncr_str_t            access;
    ncr_str_t            refresh;
    ncr_str_t            expires;
    ncr_str_t            base_url;
    ncr_str_t            api_key;
    ncr_out_t            scope;
    ncr_out_t            out;
    const char          *error;
    ncr_oauth_import_t  *import;
    ncr_char_t           text[NCR_OAUTH_TOML_TEXT];
} ncr_oauth_toml_t;


static const char *ncr_oauth_import_any(ncr_str_t *text,
    const char *platform, ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_token(ncr_str_t *token,
    ncr_oauth_import_t *import);
static const char *ncr_oauth_import_json(ncr_str_t *text,
    const char *platform, ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_expires(cJSON *object,
    ncr_oauth_import_t *import);
static void ncr_oauth_import_meta(cJSON *object, ncr_oauth_import_t *import);
static const char *ncr_oauth_import_toml(ncr_str_t *text,
    ncr_oauth_import_t *import, ncr_msec_t now);
static ncr_int_t ncr_oauth_toml_value(ncr_toml_t *toml, const char *path,
    ncr_toml_type_e type, ncr_str_t *value);
static ncr_int_t ncr_oauth_toml_scope(ncr_oauth_toml_t *t,
    ncr_str_t *value);
static const char *ncr_oauth_toml_account(ncr_oauth_toml_t *t,
    ncr_msec_t now);
static const char *ncr_oauth_toml_key(ncr_oauth_toml_t *t);
static const char *ncr_oauth_toml_base_url(ncr_oauth_toml_t *t);
static const char *ncr_oauth_import_tokens(ncr_oauth_import_t *import,
    ncr_str_t *access, ncr_str_t *refresh, ncr_msec_t now);
static void ncr_oauth_import_kind(ncr_oauth_import_t *import,
    const char *kind, const char *platform);


const char *
ncr_oauth_import(ncr_str_t *text, ncr_oauth_import_t *import, ncr_msec_t now)
{
    return ncr_oauth_import_as(text, NULL, import, now);
}


const char *
ncr_oauth_import_as(ncr_str_t *text, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    const char  *err;

    memset(import, 0, sizeof(ncr_oauth_import_t));

    err = ncr_oauth_import_any(text, platform, import, now);

    if (err != NULL) {
        memset(import, 0, sizeof(ncr_oauth_import_t));
    }

    return err;
}


static const char *
ncr_oauth_import_any(ncr_str_t *text, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    ncr_str_t  s;

    s = *text;

    /* a byte order mark */

    if (ncr_str_prefix(&s, "\xEF\xBB\xBF")) {
        s.data += 3;
        s.len -= 3;
    }

    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'
                     || s.data[0] == '\r' || s.data[0] == '\n'))
    {
        s.data++;
        s.len--;
    }

    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'
                     || s.data[s.len - 1] == '\r'
                     || s.data[s.len - 1] == '\n'))
    {
        s.len--;
    }

    if (s.len == 0) {
        return "there is nothing in it";
    }

    if (s.len > NCR_OAUTH_BODY) {
        return "it is too long";
    }

    if (s.data[0] == '{') {
        return ncr_oauth_import_json(&s, platform, import, now);
    }

    if (ncr_str_prefix(&s, "fk-")) {

        if (!ncr_oauth_visible(&s) || s.len >= NCR_OAUTH_TOKEN) {
            return "one key belongs to one account";
        }

        ncr_oauth_import_kind(import, "api-key", "droid");
        ncr_str_copy(import->access, sizeof(import->access), &s);

        return NULL;
    }

    if (ncr_str_prefix(&s, "sk-ant-")) {
        return ncr_oauth_import_token(&s, import);
    }

    if (memchr(s.data, '=', s.len) != NULL) {
        return ncr_oauth_import_toml(&s, import, now);
    }

    return "it is neither a file of credentials nor a token";
}


static const char *
ncr_oauth_import_token(ncr_str_t *token, ncr_oauth_import_t *import)
{
    ncr_str_t    none;
    const char  *err;

    ncr_str_null(&none);

    err = ncr_oauth_tokens_check(token, &none);

    if (err != NULL) {
        return err;
    }

    if (ncr_str_prefix(token, "sk-ant-oat")) {
        ncr_oauth_import_kind(import, "setup-token", "claude-oauth");

    } else if (ncr_str_prefix(token, "sk-ant-api")) {
        ncr_oauth_import_kind(import, "api-key", "anthropic");

    } else {
        return "it is neither an access token nor an API key";
    }

    ncr_str_copy(import->access, sizeof(import->access), token);

    return NULL;
}


/* camel case is Claude Code's, the other the official SDKs' */

static const char *
ncr_oauth_import_json(ncr_str_t *text, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    cJSON       *json, *object, *scopes;
    ncr_str_t    access, refresh;
    const char  *err;

    json = ncr_oauth_json(text);

    if (json == NULL) {
        return "it is not valid JSON";
    }

    object = ncr_oauth_member(json, "claudeAiOauth");

    if (object == NULL) {
        err = ncr_oauth_import_other(json, platform, import, now);

        if (err != ncr_oauth_import_none) {
            cJSON_Delete(json);
            return err;
        }

        object = json;
    }

    access = ncr_oauth_either(object, "accessToken", "access_token");
    refresh = ncr_oauth_either(object, "refreshToken", "refresh_token");

    err = (access.len == 0) ? "there is no access token in it"
                            : ncr_oauth_import_expires(object, import);

    if (err == NULL) {
        ncr_oauth_import_kind(import, "credentials", "claude-oauth");
        err = ncr_oauth_import_tokens(import, &access, &refresh, now);
    }

    if (err == NULL) {
        scopes = ncr_oauth_member(object, "scopes");

        if (scopes == NULL) {
            scopes = ncr_oauth_member(object, "scope");
        }

        ncr_oauth_scope(scopes, import->scope, sizeof(import->scope));
        ncr_oauth_import_meta(object, import);
    }

    cJSON_Delete(json);

    return err;
}


static const char *
ncr_oauth_import_expires(cJSON *object, ncr_oauth_import_t *import)
{
    cJSON       *item;
    ncr_uint_t   i;

    static const char *const  names[] = {
        "expiresAt", "expires_at", "expired"
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {

        item = ncr_oauth_member(object, names[i]);

        if (item == NULL) {
            continue;
        }

        if (ncr_oauth_instant(item, &import->expires) != NCR_OK) {
            return "its time of expiry is not a time";
        }

        return NULL;
    }

    return NULL;
}


static void
ncr_oauth_import_meta(cJSON *object, ncr_oauth_import_t *import)
{
    ncr_str_t  facts[NCR_OAUTH_FACTS];

    memset(facts, 0, sizeof(facts));

    facts[NCR_OAUTH_PLAN] =
        ncr_oauth_plan(ncr_oauth_string(object, "subscriptionType"));
    facts[NCR_OAUTH_TIER] = ncr_oauth_string(object, "rateLimitTier");
    facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(object, "email");

    ncr_oauth_meta_write(facts, NULL, import->meta, sizeof(import->meta));
}


static const char *
ncr_oauth_import_toml(ncr_str_t *text, ncr_oauth_import_t *import,
    ncr_msec_t now)
{
    ncr_int_t         rc;
    ncr_toml_t        toml;
    ncr_oauth_toml_t  t;

    memset(&t, 0, sizeof(ncr_oauth_toml_t));

    t.import = import;

    ncr_out_init(&t.out, t.text, sizeof(t.text));
    ncr_out_init(&t.scope, (ncr_char_t *) import->scope,
                 sizeof(import->scope) - 1);

    toml.data = &t;
    toml.value = ncr_oauth_toml_value;

    rc = ncr_toml_read(&toml, text);

    if (rc == NCR_BAD) {
        return "it is not valid TOML";
    }

    if (rc != NCR_OK) {
        return t.error;
    }

    if (ncr_str_eq(&t.type, "claude_code")) {
        return ncr_oauth_toml_account(&t, now);
    }

    if (ncr_str_eq(&t.type, "anthropic")) {
        return ncr_oauth_toml_key(&t);
    }

    if (t.type.len == 0) {
        return "it is not a provider file of Pluribus: it has no type";
    }

    return "its type is neither claude_code nor anthropic";
}


/* what is not asked for here is passed over */

static ncr_int_t
ncr_oauth_toml_value(ncr_toml_t *toml, const char *path,
    ncr_toml_type_e type, ncr_str_t *value)
{
    ncr_str_t         *to;
    ncr_oauth_toml_t  *t;

    t = toml->data;

    if (toml->element) {

        if (strcmp(path, "oauth.scopes") == 0 && type == NCR_TOML_STRING) {
            return ncr_oauth_toml_scope(t, value);
        }

        return NCR_OK;
    }

    to = (strcmp(path, "type") == 0) ? &t->type
         : (strcmp(path, "oauth.access_token") == 0) ? &t->access
         : (strcmp(path, "oauth.refresh_token") == 0) ? &t->refresh
         : (strcmp(path, "oauth.expires_at") == 0) ? &t->expires
         : (strcmp(path, "api.base_url") == 0) ? &t->base_url
         : (strcmp(path, "api.api_key") == 0) ? &t->api_key
         : NULL;

    if (to == NULL) {
        return NCR_OK;
    }

    if (to->data != NULL) {
        t->error = "a key is in it twice";
        return NCR_DONE;
    }

    if (type != NCR_TOML_STRING && to != &t->expires) {
        t->error = "a value in it is not a string";
        return NCR_DONE;
    }

    to->data = t->out.last;
    to->len = value->len;

    ncr_out_str(&t->out, value);

    if (t->out.overflow) {
        t->error = "a value in it is too long";
        return NCR_DONE;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_oauth_toml_scope(ncr_oauth_toml_t *t, ncr_str_t *value)
{
    if (t->scope.last > t->scope.start) {
        ncr_out_text(&t->scope, " ");
    }

    ncr_out_str(&t->scope, value);

    if (t->scope.overflow || !ncr_oauth_visible(value)) {
        t->error = "its scopes are not scopes";
        return NCR_DONE;
    }

    return NCR_OK;
}


static const char *
ncr_oauth_toml_account(ncr_oauth_toml_t *t, ncr_msec_t now)
{
    const char  *err;

    if (t->access.len == 0) {
        return "there is no access token in it";
    }

    if (t->expires.len
        && ncr_oauth_instant_text(&t->expires, &t->import->expires) != NCR_OK)
    {
        return "its time of expiry is not a time";
    }

    err = ncr_oauth_toml_base_url(t);

    if (err != NULL) {
        return err;
    }

    ncr_oauth_import_kind(t->import, "pluribus", "claude-oauth");

    return ncr_oauth_import_tokens(t->import, &t->access, &t->refresh, now);
}


static const char *
ncr_oauth_toml_key(ncr_oauth_toml_t *t)
{
    const char  *err;

    if (t->api_key.len == 0) {
        return "there is no API key in it";
    }

    if (!ncr_oauth_visible(&t->api_key)
        || t->api_key.len >= NCR_OAUTH_TOKEN)
    {
        return "its API key is not a key";
    }

    if (ncr_str_prefix(&t->api_key, "sk-ant-oat")
        || ncr_str_prefix(&t->api_key, "sk-ant-ort"))
    {
        return "a token stands where the API key belongs";
    }

    err = ncr_oauth_toml_base_url(t);

    if (err != NULL) {
        return err;
    }

    ncr_oauth_import_kind(t->import, "pluribus", "anthropic");

    ncr_str_copy(t->import->access, sizeof(t->import->access), &t->api_key);

    return NULL;
}


static const char *
ncr_oauth_toml_base_url(ncr_oauth_toml_t *t)
{
    ncr_url_t    url;
    const char  *err;

    if (t->base_url.len == 0) {
        return NULL;
    }

    if (t->base_url.len >= sizeof(t->import->base_url)) {
        return "its base_url is too long";
    }

    err = ncr_url_parse(&t->base_url, &url);

    if (err == NULL) {
        ncr_str_copy(t->import->base_url, sizeof(t->import->base_url),
                     &t->base_url);
    }

    return err;
}


static const char *
ncr_oauth_import_tokens(ncr_oauth_import_t *import, ncr_str_t *access,
    ncr_str_t *refresh, ncr_msec_t now)
{
    const char  *err;

    err = ncr_oauth_tokens_check(access, refresh);

    if (err != NULL) {
        return err;
    }

    if (ncr_str_prefix(access, "sk-ant-api")
        || ncr_str_prefix(refresh, "sk-ant-api"))
    {
        return "an API key stands where a token belongs";
    }

    if (refresh->len == 0 && import->expires && import->expires <= now) {
        return "its access token has expired, and there is no refresh token";
    }

    ncr_str_copy(import->access, sizeof(import->access), access);
    ncr_str_copy(import->refresh, sizeof(import->refresh), refresh);

    return NULL;
}


static void
ncr_oauth_import_kind(ncr_oauth_import_t *import, const char *kind,
    const char *platform)
{
    memcpy(import->kind, kind, strlen(kind) + 1);
    memcpy(import->platform, platform, strlen(platform) + 1);
}
