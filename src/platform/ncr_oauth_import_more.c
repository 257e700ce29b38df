
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Files of other clients than Claude Code: Codex's auth.json (others.md A14),
 * the Gemini CLI's oauth_creds.json (C6), Kiro's kiro-auth-token.json with
 * what its client was registered as (D1), tokens and keys of Droid (J.2).
 */


#include "ncr_oauth_text.h"
#include "ncr_str.h"


/* a token that is over, where only one to refresh it was given */
#define NCR_OAUTH_NO_ACCESS  "none"


static const char *ncr_oauth_import_codex(cJSON *json,
    ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_gemini(cJSON *json, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_kiro(cJSON *json,
    ncr_oauth_import_t *import, ncr_msec_t now);
static void ncr_oauth_import_method(ncr_oauth_import_t *import);
static const char *ncr_oauth_import_kiro_client(cJSON *json,
    ncr_oauth_import_t *import, ncr_str_t *refresh);
static const char *ncr_oauth_import_droid(cJSON *json,
    ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_pair(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import, ncr_msec_t now);
static const char *ncr_oauth_import_end(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import, ncr_msec_t now);
static void ncr_oauth_import_tells(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import);
static void ncr_oauth_import_named(ncr_oauth_import_t *import,
    const char *kind, const char *platform);
static ncr_uint_t ncr_oauth_import_is(const char *platform, const char *name);


const char *
ncr_oauth_import_other(cJSON *json, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    ncr_str_t  s;

    /* what it is for is known */

    if (ncr_oauth_import_is(platform, "codex")) {
        return ncr_oauth_import_codex(json, import, now);
    }

    if (ncr_oauth_import_is(platform, "code-assist")
        || ncr_oauth_import_is(platform, "antigravity"))
    {
        return ncr_oauth_import_gemini(json, platform, import, now);
    }

    if (ncr_oauth_import_is(platform, "kiro")) {
        return ncr_oauth_import_kiro(json, import, now);
    }

    if (ncr_oauth_import_is(platform, "droid")) {
        return ncr_oauth_import_droid(json, import, now);
    }

    if (platform && *platform) {
        return ncr_oauth_import_none;
    }

    /* what it is can be seen */

    if (cJSON_IsObject(ncr_oauth_member(json, "tokens"))
        || cJSON_GetObjectItemCaseSensitive(json, "OPENAI_API_KEY"))
    {
        return ncr_oauth_import_codex(json, import, now);
    }

    s = ncr_oauth_string(json, "refresh_token");

    if (ncr_oauth_member(json, "expiry_date") || ncr_str_prefix(&s, "1//")) {
        return ncr_oauth_import_gemini(json, "code-assist", import, now);
    }

    if (ncr_oauth_member(json, "authMethod")
        || ncr_oauth_member(json, "profileArn")
        || ncr_oauth_member(json, "clientIdHash")
        || ncr_oauth_member(json, "clientSecret"))
    {
        return ncr_oauth_import_kiro(json, import, now);
    }

    return ncr_oauth_import_none;
}


/* "not one of these" is no error */

const char  ncr_oauth_import_none[] = "it is of no kind that is known";


static ncr_uint_t
ncr_oauth_import_is(const char *platform, const char *name)
{
    return platform != NULL && strcmp(platform, name) == 0;
}


static const char *
ncr_oauth_import_codex(cJSON *json, ncr_oauth_import_t *import,
    ncr_msec_t now)
{
    cJSON       *tokens;
    ncr_str_t    key;
    ncr_msec_t   last;
    const char  *err;

    tokens = ncr_oauth_member(json, "tokens");

    if (tokens == NULL) {
        key = ncr_oauth_string(json, "OPENAI_API_KEY");

        if (key.len) {

            if (!ncr_oauth_visible(&key) || key.len >= NCR_OAUTH_TOKEN) {
                return "its API key is not a key";
            }

            ncr_oauth_import_named(import, "api-key", "openai");
            ncr_str_copy(import->access, sizeof(import->access), &key);

            return NULL;
        }

        tokens = json;
    }

    ncr_oauth_import_named(import, "codex", "codex");

    err = ncr_oauth_import_pair(tokens, &ncr_oauth_codex, import, now);

    /* 8 days from the last refresh on, not from now (A14) */

    if (err == NULL
        && ncr_oauth_instant(ncr_oauth_member(json, "last_refresh"), &last)
           == NCR_OK)
    {
        import->expires = ncr_min(import->expires,
                                  last + ncr_oauth_codex.life);
    }

    return err;
}


static const char *
ncr_oauth_import_gemini(cJSON *json, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    ncr_oauth_import_named(import, "gemini", platform);

    return ncr_oauth_import_pair(json, &ncr_oauth_code_assist, import, now);
}


static const char *
ncr_oauth_import_kiro(cJSON *json, ncr_oauth_import_t *import,
    ncr_msec_t now)
{
    size_t       i;
    ncr_str_t    region, refresh;
    const char  *err;

    ncr_oauth_import_named(import, "kiro", "kiro");

    err = ncr_oauth_import_pair(json, &ncr_oauth_kiro, import, now);

    if (err != NULL) {
        return err;
    }

    refresh.data = (ncr_char_t *) import->refresh;
    refresh.len = strlen(import->refresh);

    if (!ncr_str_prefix(&refresh, "idc:")) {
        err = ncr_oauth_import_kiro_client(json, import, &refresh);
    }

    if (err != NULL) {
        return err;
    }

    region = ncr_oauth_string(json, "region");

    for (i = 0; i < region.len; i++) {
        if (!((region.data[i] >= 'a' && region.data[i] <= 'z')
              || (region.data[i] >= '0' && region.data[i] <= '9')
              || region.data[i] == '-'))
        {
            return "its region is none";
        }
    }

    if (region.len >= sizeof(import->region)) {
        return "its region is none";
    }

    ncr_str_copy(import->region, sizeof(import->region), &region);

    ncr_oauth_import_method(import);

    return NULL;
}


/* members of the file that meta has beside it, and which kind it is */

static void
ncr_oauth_import_method(ncr_oauth_import_t *import)
{
    char        meta[NCR_OAUTH_META];
    ncr_str_t   old;
    const char  *fresh;

    fresh = (strncmp(import->refresh, "idc:", sizeof("idc:") - 1) == 0)
            ? "{\"auth_method\":\"idc\"}" : "{\"auth_method\":\"social\"}";

    old.data = (ncr_char_t *) import->meta;
    old.len = strlen(import->meta);

    ncr_oauth_meta(fresh, &old, meta, sizeof(meta));

    memcpy(import->meta, meta, strlen(meta) + 1);
}


/* of AWS's: the token is worth nothing without its client */

static const char *
ncr_oauth_import_kiro_client(cJSON *json, ncr_oauth_import_t *import,
    ncr_str_t *refresh)
{
    char       joined[NCR_OAUTH_TOKEN];
    ncr_str_t  id, secret, method;

    id = ncr_oauth_string(json, "clientId");
    secret = ncr_oauth_string(json, "clientSecret");
    method = ncr_oauth_string(json, "authMethod");

    if (id.len == 0 || secret.len == 0) {

        if (refresh->len
            && (ncr_str_caseeq(&method, "idc")
                || ncr_oauth_string(json, "clientIdHash").len))
        {
            return "clientId and clientSecret are missing: they are in the "
                   "file of its clientIdHash, beside it";
        }

        return NULL;
    }

    if (refresh->len == 0) {
        return NULL;
    }

    if (ncr_oauth_kiro_join(joined, sizeof(joined), &id, &secret, refresh)
        != NCR_OK)
    {
        return "its client is none, or too long";
    }

    memcpy(import->refresh, joined, strlen(joined) + 1);

    return NULL;
}


static const char *
ncr_oauth_import_droid(cJSON *json, ncr_oauth_import_t *import,
    ncr_msec_t now)
{
    ncr_oauth_import_named(import, "droid", "droid");

    return ncr_oauth_import_pair(json, &ncr_oauth_droid, import, now);
}


static const char *
ncr_oauth_import_pair(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    ncr_str_t    access, refresh;
    const char  *err;

    access = ncr_oauth_either(json, "access_token", "accessToken");
    refresh = ncr_oauth_either(json, "refresh_token", "refreshToken");

    if (access.len == 0 && refresh.len == 0) {
        return "there is no token in it";
    }

    if (access.len == 0) {
        ncr_str_set(&access, NCR_OAUTH_NO_ACCESS);
        import->expires = 1;

    } else {
        err = ncr_oauth_import_end(json, oauth, import, now);

        if (err != NULL) {
            return err;
        }
    }

    err = ncr_oauth_tokens_check(&access, &refresh);

    if (err != NULL) {
        return err;
    }

    if (ncr_str_prefix(&access, "sk-ant-")
        || ncr_str_prefix(&refresh, "sk-ant-"))
    {
        return "its tokens are Claude's";
    }

    if (refresh.len == 0 && import->expires && import->expires <= now) {
        return "its access token has expired, and there is no refresh token";
    }

    ncr_str_copy(import->access, sizeof(import->access), &access);
    ncr_str_copy(import->refresh, sizeof(import->refresh), &refresh);

    ncr_oauth_scope(ncr_oauth_member(json, "scope") != NULL
                    ? ncr_oauth_member(json, "scope")
                    : ncr_oauth_member(json, "scopes"),
                    import->scope, sizeof(import->scope));

    ncr_oauth_import_tells(json, oauth, import);

    return NULL;
}


static const char *
ncr_oauth_import_end(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import, ncr_msec_t now)
{
    cJSON       *item;
    ncr_str_t    access;
    ncr_uint_t   i;
    ncr_msec_t   end;

    static const char *const  names[] = {
        "expiresAt", "expires_at", "expiry_date"
    };

    end = 0;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        item = ncr_oauth_member(json, names[i]);

        if (item == NULL) {
            continue;
        }

        if (ncr_oauth_instant(item, &end) != NCR_OK) {
            return "its time of expiry is not a time";
        }

        break;
    }

    if (end == 0 && oauth->jwt) {
        access = ncr_oauth_either(json, "access_token", "accessToken");
        end = ncr_oauth_jwt_end(&access);
    }

    /* how old a token is, a file does not tell: what is assumed of fresh ones
     * is the most that it may have */

    import->expires = ncr_oauth_end(oauth, end, now);

    return NULL;
}


static void
ncr_oauth_import_tells(cJSON *json, ncr_oauth_t *oauth,
    ncr_oauth_import_t *import)
{
    char       *text;
    ncr_str_t   body;

    if (oauth->tells == NULL) {
        return;
    }

    text = cJSON_PrintUnformatted(json);

    if (text == NULL) {
        return;
    }

    body.data = (ncr_char_t *) text;
    body.len = strlen(text);

    oauth->tells(&body, import->meta, sizeof(import->meta));

    memset(text, 0, body.len);
    cJSON_free(text);
}


static void
ncr_oauth_import_named(ncr_oauth_import_t *import, const char *kind,
    const char *platform)
{
    memcpy(import->kind, kind, strlen(kind) + 1);
    memcpy(import->platform, platform, strlen(platform) + 1);
}
