
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Exports of CRS: by its script, rows of Redis where every value is a text,
 * or by /sync/export-accounts, with credentials in the clear (SEEDS 1.4.5,
 * 1.4.6, 1.4.17).
 */


#include "ncr_port.h"
#include "ncr_oauth_text.h"
#include "ncr_seal.h"
#include "ncr_str.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>


/* Node's defaults of scrypt */
#define NCR_CRS_N       16384
#define NCR_CRS_R       8
#define NCR_CRS_P       1
#define NCR_CRS_MEMORY  (64 * 1024 * 1024)

#define NCR_CRS_IV      16
#define NCR_CRS_TEXT    (2 * NCR_OAUTH_TOKEN)

/* priorities: there the lowest is first, of 1 to 100, and 50 is usual */
#define NCR_CRS_ORDER   150

#define NCR_CRS_ICON    8192
#define NCR_CRS_ITEMS   64


typedef struct {
    const char  *list;                  /* of data */
    ncr_uint_t   salt;                  /* of secrets: see ncr_crs_salts */
    const char  *(*read)(ncr_port_t *port, cJSON *row, ncr_uint_t salt);
} ncr_crs_kind_t;


static const char *ncr_crs_claude(ncr_port_t *port, cJSON *row,
    ncr_uint_t salt);
static const char *ncr_crs_console(ncr_port_t *port, cJSON *row,
    ncr_uint_t salt);
static const char *ncr_crs_gemini(ncr_port_t *port, cJSON *row,
    ncr_uint_t salt);
static const char *ncr_crs_other(ncr_port_t *port, cJSON *row,
    ncr_uint_t salt);
static const char *ncr_crs_key(ncr_port_t *port, cJSON *row,
    ncr_uint_t salt);
static cJSON *ncr_crs_account(ncr_port_t *port, cJSON *row,
    const char *platform);
static void ncr_crs_account_proxy(ncr_port_t *port, cJSON *row,
    cJSON *account);
static void ncr_crs_tokens(ncr_port_t *port, cJSON *row, cJSON *account,
    ncr_uint_t salt);
static void ncr_crs_models(ncr_port_t *port, cJSON *row, cJSON *settings);
static void ncr_crs_key_limits(ncr_port_t *port, cJSON *row,
    cJSON *settings);
static void ncr_crs_limit(ncr_port_t *port, cJSON *row, cJSON *settings,
    const char *name, const char *unit, const char *rest);
static void ncr_crs_key_time(ncr_port_t *port, cJSON *row, cJSON *key,
    cJSON *settings);
static void ncr_crs_key_services(ncr_port_t *port, cJSON *row,
    cJSON *settings);
static void ncr_crs_key_lists(ncr_port_t *port, cJSON *row, cJSON *settings);
static void ncr_crs_key_list(ncr_port_t *port, cJSON *row, cJSON *settings,
    const char *from, const char *to);
static void ncr_crs_key_account(ncr_port_t *port, cJSON *row,
    cJSON *settings);
static void ncr_crs_key_user(ncr_port_t *port, cJSON *row, cJSON *settings);
static const char *ncr_crs_bound(ncr_port_t *port, const char *id);
static cJSON *ncr_crs_member(cJSON *row, const char *name);
static const char *ncr_crs_text(cJSON *row, const char *name);
static ncr_uint_t ncr_crs_true(cJSON *row, const char *name,
    ncr_uint_t otherwise);
static double ncr_crs_number(cJSON *row, const char *name);
static cJSON *ncr_crs_parsed(cJSON *row, const char *name, ncr_uint_t *own);
static ncr_int_t ncr_crs_open(ncr_port_t *port, const char *sealed,
    ncr_uint_t salt, char *text, size_t size);
static ncr_int_t ncr_crs_decrypt(const ncr_char_t *key, const char *iv,
    const char *text, size_t len, char *plain);
static ncr_int_t ncr_crs_hex(const char *text, size_t len, ncr_char_t *dst);
static ncr_uint_t ncr_crs_sealed(const char *text);


static const char *const  ncr_crs_salts[] = {
    "salt",
    "claude-console-salt",
    "gemini-api-salt"
};

/* accounts first: keys are bound to them */

static ncr_crs_kind_t  ncr_crs_kinds[] = {
    { "claudeAccounts", 0, ncr_crs_claude },
    { "claudeConsoleAccounts", 1, ncr_crs_console },
    { "ccrAccounts", 0, ncr_crs_other },
    { "bedrockAccounts", 0, ncr_crs_other },
    { "geminiAccounts", 0, ncr_crs_other },
    { "geminiApiAccounts", 2, ncr_crs_gemini },
    { "openaiAccounts", 0, ncr_crs_other },
    { "openaiOAuthAccounts", 0, ncr_crs_other },
    { "openaiResponsesAccounts", 0, ncr_crs_other },
    { "azureOpenaiAccounts", 0, ncr_crs_other },
    { "droidAccounts", 0, ncr_crs_other },
    { "apiKeys", 0, ncr_crs_key },
    { NULL, 0, NULL }
};


const char *
ncr_port_crs(ncr_port_t *port, cJSON *document)
{
    cJSON           *data, *list, *row;
    const char      *wrong;
    ncr_crs_kind_t  *kind;

    data = cJSON_GetObjectItemCaseSensitive(document, "data");

    if (!cJSON_IsObject(data)) {
        return "it has no \"data\"";
    }

    for (kind = ncr_crs_kinds; kind->list; kind++) {
        list = cJSON_GetObjectItemCaseSensitive(data, kind->list);

        if (list && !cJSON_IsArray(list)) {
            return "a list in \"data\" is not an array";
        }

        cJSON_ArrayForEach(row, list) {

            if (!cJSON_IsObject(row)) {
                return "a row in it is not an object";
            }

            wrong = kind->read(port, row, kind->salt);

            if (wrong) {
                return wrong;
            }
        }
    }

    if (cJSON_GetObjectItemCaseSensitive(data, "admins")) {
        ncr_port_note(port, "people", "", "administrators are not taken: "
                      "their passwords are of another kind; make them anew");
    }

    return NULL;
}


static const char *
ncr_crs_claude(ncr_port_t *port, cJSON *row, ncr_uint_t salt)
{
    cJSON  *account, *settings;

    account = ncr_crs_account(port, row, "claude-oauth");

    if (account == NULL) {
        return "it has too many accounts";
    }

    settings = ncr_port_settings(port, account);

    /* above 0 it puts users' messages in a queue there */

    if (ncr_crs_number(row, "maxConcurrency") > 0) {
        ncr_port_put_bool(port, settings, "user_message_queue", 1);
    }

    ncr_crs_tokens(port, row, account, salt);

    return NULL;
}


static const char *
ncr_crs_console(ncr_port_t *port, cJSON *row, ncr_uint_t salt)
{
    char         text[NCR_CRS_TEXT];
    cJSON       *account, *settings, *credentials;
    double       n;
    const char  *key, *url;

    account = ncr_crs_account(port, row, "console");

    if (account == NULL) {
        return "it has too many accounts";
    }

    settings = ncr_port_settings(port, account);
    credentials = ncr_crs_member(row, "credentials");

    key = credentials ? ncr_crs_text(credentials, "api_key")
                      : ncr_crs_text(row, "apiKey");
    url = credentials ? ncr_crs_text(credentials, "base_url")
                      : ncr_crs_text(row, "apiUrl");

    ncr_port_put(port, settings, "base_url", url);

    if (ncr_crs_open(port, key, salt, text, sizeof(text)) == NCR_OK) {
        ncr_port_put(port, ncr_port_secrets(port, account), "api_key", text);
    }

    ncr_seal_forget(text, sizeof(text));

    n = ncr_crs_number(row, "maxConcurrentTasks");

    if (n > 0 && n <= 1000000) {
        ncr_port_put_number(port, settings, "max_concurrency", (double) (long)
                            n);
    }

    n = ncr_crs_number(row, "dailyQuota");

    if (n > 0) {
        ncr_crs_limit(port, row, settings, "dailyQuota", "cost", "/day");
    }

    ncr_crs_models(port, row, settings);

    return NULL;
}


/* its base URL may be a template, as here */

static const char *
ncr_crs_gemini(ncr_port_t *port, cJSON *row, ncr_uint_t salt)
{
    char    text[NCR_CRS_TEXT];
    cJSON  *account, *settings;

    account = ncr_crs_account(port, row, "gemini");

    if (account == NULL) {
        return "it has too many accounts";
    }

    settings = ncr_port_settings(port, account);

    ncr_port_put(port, settings, "base_url", ncr_crs_text(row, "baseUrl"));

    if (ncr_crs_open(port, ncr_crs_text(row, "apiKey"), salt, text,
                     sizeof(text))
        == NCR_OK)
    {
        ncr_port_put(port, ncr_port_secrets(port, account), "api_key", text);
    }

    ncr_seal_forget(text, sizeof(text));

    ncr_crs_models(port, row, settings);

    return NULL;
}


static const char *
ncr_crs_other(ncr_port_t *port, cJSON *row, ncr_uint_t salt)
{
    ncr_port_note(port, "account", ncr_crs_text(row, "name"),
                  "skipped: its platform is not one of this relay's");

    return NULL;
}


static cJSON *
ncr_crs_account(ncr_port_t *port, cJSON *row, const char *platform)
{
    cJSON       *account, *settings;
    double       priority;
    ncr_msec_t   t;
    ncr_str_t    text;
    const char  *ends, *kind;

    account = ncr_port_object(port, "accounts", ncr_crs_text(row, "name"),
                              "account");
    if (account == NULL) {
        return NULL;
    }

    ncr_port_put(port, account, "crs_id", ncr_crs_text(row, "id"));

    settings = ncr_port_settings(port, account);

    ncr_port_put(port, settings, "platform", platform);
    ncr_port_put(port, settings, "description",
                 ncr_crs_text(row, "description"));
    ncr_port_put_bool(port, settings, "enabled",
                      ncr_crs_true(row, "isActive", 1));
    ncr_port_put_bool(port, settings, "schedulable",
                      ncr_crs_true(row, "schedulable", 1));

    priority = ncr_crs_number(row, "priority");

    if (priority >= 1 && priority <= 1000) {
        ncr_port_put_number(port, settings, "priority",
                            NCR_CRS_ORDER - (double) (long) priority);
    }

    ends = ncr_crs_text(row, "subscriptionExpiresAt");
    text.data = (ncr_char_t *) (uintptr_t) ends;
    text.len = ends ? strlen(ends) : 0;

    if (text.len && ncr_str_time(&text, &t) == NCR_OK && t > 0) {
        ncr_port_put(port, settings, "valid_until", ends);
    }

    kind = ncr_crs_text(row, "accountType");

    if (kind && (strcmp(kind, "group") == 0
                 || strcmp(kind, "dedicated") == 0))
    {
        ncr_port_note(port, "account", ncr_crs_text(row, "name"),
                      "it is of a group or dedicated there; here it is one "
                      "of its pool");
    }

    ncr_crs_account_proxy(port, row, account);

    return account;
}


/* {type or protocol, host, port, username, password}, perhaps as a text */

static void
ncr_crs_account_proxy(ncr_port_t *port, cJSON *row, cJSON *account)
{
    char         number[16];
    double       n;
    cJSON       *proxy;
    ncr_uint_t   own;
    const char  *type, *host;

    proxy = ncr_crs_parsed(row, "proxy", &own);

    if (cJSON_IsObject(proxy)) {
        type = ncr_crs_text(proxy, "type");
        type = type ? type : ncr_crs_text(proxy, "protocol");
        host = ncr_crs_text(proxy, "host");
        n = ncr_crs_number(proxy, "port");

        if (type && host && n >= 1 && n <= 65535) {
            (void) snprintf(number, sizeof(number), "%d", (int) n);

            ncr_port_proxy(port, ncr_port_secrets(port, account), type, host,
                           number, ncr_crs_text(proxy, "username"),
                           ncr_crs_text(proxy, "password"));

        } else {
            ncr_port_note(port, "account", ncr_crs_text(row, "name"),
                          "its proxy has no type, host and port");
        }
    }

    if (own) {
        ncr_port_forget(proxy);
        cJSON_Delete(proxy);
    }
}


static void
ncr_crs_tokens(ncr_port_t *port, cJSON *row, cJSON *account, ncr_uint_t salt)
{
    char         text[NCR_CRS_TEXT];
    cJSON       *credentials, *secrets, *expires, *own;
    ncr_str_t    s;
    ncr_uint_t   i, found;
    const char  *value, *wrong;

    static const char *const  names[][3] = {
        { "accessToken", "access_token", "access_token" },
        { "refreshToken", "refresh_token", "refresh_token" }
    };

    own = NULL;
    secrets = ncr_port_secrets(port, account);
    credentials = ncr_crs_member(row, "credentials");

    if (credentials == NULL) {
        credentials = ncr_crs_member(row, "claudeAiOauth");

        if (cJSON_IsString(credentials)
            && ncr_crs_open(port, credentials->valuestring, salt, text,
                            sizeof(text))
               == NCR_OK)
        {
            s.data = (ncr_char_t *) text;
            s.len = strlen(text);
            own = ncr_port_json(&s, &wrong);
        }

        credentials = cJSON_IsObject(credentials) ? credentials : own;
    }

    found = 0;

    for (i = 0; i < 2; i++) {
        value = ncr_crs_text(row, names[i][0]);

        if (value == NULL && credentials) {
            value = ncr_crs_text(credentials, names[i][0]);
            value = value ? value : ncr_crs_text(credentials, names[i][1]);
        }

        if (ncr_crs_open(port, value, salt, text, sizeof(text)) == NCR_OK) {
            ncr_port_put(port, secrets, names[i][2], text);
            found = 1;
        }
    }

    expires = ncr_crs_member(row, "expiresAt");

    if (expires == NULL && credentials) {
        expires = ncr_crs_member(credentials, "expiresAt");
        expires = expires ? expires
                          : ncr_crs_member(credentials, "expires_at");
    }

    if (cJSON_IsNumber(expires)) {
        ncr_port_put_number(port, secrets, "expires", expires->valuedouble);

    } else if (cJSON_IsString(expires)) {
        ncr_port_put(port, secrets, "expires", expires->valuestring);
    }

    value = ncr_crs_text(row, "scopes");
    value = (value || credentials == NULL) ? value
                                           : ncr_crs_text(credentials,
                                                          "scope");
    ncr_port_put(port, secrets, "scopes", value);

    if (!found) {
        ncr_port_note(port, "account", ncr_crs_text(row, "name"),
                      "it has no tokens that can be read: without its "
                      "\"crs_encryption_key\" they stay sealed");
    }

    ncr_port_forget(own);
    cJSON_Delete(own);
    ncr_seal_forget(text, sizeof(text));
}


/* a list of what it serves, or a map of that to what the place calls it */

static void
ncr_crs_models(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    cJSON       *models, *item, *map;
    ncr_uint_t   own, n;

    models = ncr_crs_member(ncr_crs_member(row, "credentials"),
                            "model_mapping");
    own = 0;

    if (models == NULL) {
        models = ncr_crs_parsed(row, "supportedModels", &own);
    }

    map = NULL;
    n = 0;

    cJSON_ArrayForEach(item, models) {

        if (!cJSON_IsString(item) || item->valuestring[0] == '\0') {
            continue;
        }

        if (n++ == NCR_CRS_ITEMS) {
            ncr_port_note(port, "account", ncr_crs_text(row, "name"),
                          "only the first 64 of its models are taken");
            break;
        }

        if (cJSON_IsArray(models)) {
            ncr_port_add(port, settings, "models", item->valuestring);
            continue;
        }

        ncr_port_add(port, settings, "models", item->string);

        if (strcmp(item->string, item->valuestring) == 0) {
            continue;
        }

        map = map ? map : cJSON_AddObjectToObject(settings, "model_map");
        ncr_port_put(port, map, item->string, item->valuestring);
    }

    if (own) {
        cJSON_Delete(models);
    }
}


static const char *
ncr_crs_key(ncr_port_t *port, cJSON *row, ncr_uint_t salt)
{
    cJSON       *key, *settings;
    ncr_str_t    text;
    const char  *secret;

    /* other hashes of Redis whose names begin alike */

    if (ncr_crs_text(row, "name") == NULL && ncr_crs_text(row, "id") == NULL)
    {
        return NULL;
    }

    if (ncr_crs_true(row, "isDeleted", 0)) {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "skipped: it was deleted there");
        return NULL;
    }

    key = ncr_port_object(port, "keys", ncr_crs_text(row, "name"), "key");

    if (key == NULL) {
        return "it has too many keys";
    }

    settings = ncr_port_settings(port, key);

    ncr_port_put(port, settings, "description",
                 ncr_crs_text(row, "description"));
    ncr_port_put_bool(port, settings, "enabled",
                      ncr_crs_true(row, "isActive", 1));

    ncr_crs_key_limits(port, row, settings);
    ncr_crs_key_time(port, row, key, settings);
    ncr_crs_key_services(port, row, settings);
    ncr_crs_key_lists(port, row, settings);
    ncr_crs_key_account(port, row, settings);
    ncr_crs_key_user(port, row, settings);

    /* in the clear it is of use; a digest of it and ENCRYPTION_KEY is not */

    secret = ncr_crs_text(row, "apiKey");
    text.data = (ncr_char_t *) (uintptr_t) secret;
    text.len = secret ? strlen(secret) : 0;

    if (text.len && ncr_str_prefix(&text, "cr_")
        && strstr(secret, "...") == NULL)
    {
        ncr_port_put(port, ncr_port_secrets(port, key), "secret", secret);
    }

    return NULL;
}


static void
ncr_crs_key_limits(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    char    rest[64];
    double  window, day, hour;

    window = ncr_crs_number(row, "rateLimitWindow");

    if (window >= 1 && window <= 525600) {
        (void) snprintf(rest, sizeof(rest), "/%ldm", (long) window);

        ncr_crs_limit(port, row, settings, "rateLimitRequests", "requests",
                      rest);
        ncr_crs_limit(port, row, settings, "rateLimitCost", "cost", rest);
        ncr_crs_limit(port, row, settings, "tokenLimit", "tokens", rest);

    } else if (ncr_crs_number(row, "tokenLimit") > 0) {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "its \"tokenLimit\" has no window, and is not taken");
    }

    ncr_crs_limit(port, row, settings, "concurrencyLimit", "concurrency", "");
    ncr_crs_limit(port, row, settings, "dailyCostLimit", "cost", "/day");
    ncr_crs_limit(port, row, settings, "totalCostLimit", "cost", "/total");
    ncr_crs_limit(port, row, settings, "dailyOpusCostLimit", "cost",
                  "/day models=*opus*");

    day = ncr_crs_number(row, "weeklyResetDay");
    hour = ncr_crs_number(row, "weeklyResetHour");

    (void) snprintf(rest, sizeof(rest), "/week models=*opus* reset=%s,%02d",
                    &"mon\0tue\0wed\0thu\0fri\0sat\0sun"
                     [4 * ((day >= 1 && day <= 7) ? (int) day - 1 : 0)],
                    (hour >= 0 && hour <= 23) ? (int) hour : 0);

    ncr_crs_limit(port, row, settings, "weeklyOpusCostLimit", "cost", rest);
}


static void
ncr_crs_limit(ncr_port_t *port, cJSON *row, cJSON *settings,
    const char *name, const char *unit, const char *rest)
{
    char    text[128];
    double  n;

    n = ncr_crs_number(row, name);

    if (!(n > 0)) {
        return;
    }

    if (n > 1e12) {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "a limit of it is out of range, and is not taken");
        return;
    }

    if (strcmp(unit, "cost") == 0) {
        (void) snprintf(text, sizeof(text), "cost:%.6f%s", n, rest);

    } else {
        (void) snprintf(text, sizeof(text), "%s:%.0f%s", unit, n, rest);
    }

    ncr_port_add(port, settings, "limits", text);
}


static void
ncr_crs_key_time(ncr_port_t *port, cJSON *row, cJSON *key, cJSON *settings)
{
    char         text[32];
    double       days;
    ncr_str_t    s;
    ncr_msec_t   t;
    const char  *mode, *unit, *time;

    mode = ncr_crs_text(row, "expirationMode");

    if (mode && strcmp(mode, "activation") == 0) {

        days = ncr_crs_number(row, "activationDays");
        unit = ncr_crs_text(row, "activationUnit");

        if (days < 1 || days > 36500) {
            days = 30;
        }

        (void) snprintf(text, sizeof(text), "%ld%s", (long) days,
                        (unit && strcmp(unit, "hours") == 0) ? "h" : "d");

        ncr_port_put(port, settings, "valid_for", text);

        time = ncr_crs_text(row, "activatedAt");

        if (ncr_crs_true(row, "isActivated", 0) && time) {
            ncr_port_put(port, key, "activated_at", time);
        }

        return;
    }

    time = ncr_crs_text(row, "expiresAt");
    s.data = (ncr_char_t *) (uintptr_t) time;
    s.len = time ? strlen(time) : 0;

    if (s.len == 0) {
        return;
    }

    if (ncr_str_time(&s, &t) == NCR_OK && t > 0) {
        ncr_port_put(port, settings, "expires_at", time);

    } else {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "its \"expiresAt\" is not a time: it is disabled");
        cJSON_DeleteItemFromObjectCaseSensitive(settings, "enabled");
        ncr_port_put_bool(port, settings, "enabled", 0);
    }
}


/* "all", "claude", "claude,gemini", or a list as text; nothing: all */

static void
ncr_crs_key_services(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    char         word[16];
    size_t       n;
    ncr_uint_t   i;
    const char  *p;

    static const char *const  services[] = {
        "claude", "gemini", "openai", "droid", NULL
    };

    p = ncr_crs_text(row, "permissions");

    if (p == NULL || strcmp(p, "all") == 0) {
        return;
    }

    while (*p) {

        for (n = 0; *p >= 'a' && *p <= 'z'; p++) {
            if (n < sizeof(word) - 1) {
                word[n++] = *p;
            }
        }

        word[n] = '\0';

        for (i = 0; n && services[i]; i++) {
            if (strcmp(word, services[i]) == 0) {
                ncr_port_add(port, settings, "permissions", word);
            }
        }

        p += (*p != '\0');
    }
}


static void
ncr_crs_key_lists(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    cJSON       *rates;
    ncr_uint_t   own;
    const char  *icon;

    ncr_crs_key_list(port, row, settings, "tags", "tags");

    if (ncr_crs_true(row, "enableModelRestriction", 0)) {
        ncr_crs_key_list(port, row, settings, "restrictedModels",
                         "models_denied");
    }

    if (ncr_crs_true(row, "enableClientRestriction", 0)) {
        ncr_crs_key_list(port, row, settings, "allowedClients", "clients");
    }

    icon = ncr_crs_text(row, "icon");

    if (icon && strlen(icon) <= NCR_CRS_ICON) {
        ncr_port_put(port, settings, "icon", icon);

    } else if (icon) {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "its icon is larger than 8 KB, and is not taken");
    }

    rates = ncr_crs_parsed(row, "serviceRates", &own);

    if (rates && rates->child) {
        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "its \"serviceRates\" are not taken: \"rates\" are by "
                      "platform here");
    }

    if (own) {
        cJSON_Delete(rates);
    }
}


static void
ncr_crs_key_list(ncr_port_t *port, cJSON *row, cJSON *settings,
    const char *from, const char *to)
{
    cJSON       *list, *item;
    ncr_uint_t   own, n;

    list = ncr_crs_parsed(row, from, &own);
    n = 0;

    cJSON_ArrayForEach(item, list) {

        if (!cJSON_IsString(item) || item->valuestring[0] == '\0') {
            continue;
        }

        if (n++ == NCR_CRS_ITEMS) {
            ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                          "only the first 64 of a list are taken");
            break;
        }

        ncr_port_add(port, settings, to, item->valuestring);
    }

    if (own) {
        cJSON_Delete(list);
    }
}


static void
ncr_crs_key_account(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    ncr_uint_t   i;
    const char  *id, *name;

    static const char *const  names[] = {
        "claudeAccountId", "claudeConsoleAccountId", "geminiAccountId", NULL
    };

    for (i = 0; names[i]; i++) {
        id = ncr_crs_text(row, names[i]);

        if (id == NULL || strcmp(id, "null") == 0) {
            continue;
        }

        /* "api:" marks what has a key and no login */

        name = ncr_crs_bound(port, strncmp(id, "api:", 4) == 0 ? id + 4 : id);

        if (name) {
            ncr_port_put(port, settings, "account", name);
            return;
        }

        ncr_port_note(port, "key", ncr_crs_text(row, "name"),
                      "it is bound to an account or a group that is not in "
                      "this document; here it is not bound");
    }
}


static const char *
ncr_crs_bound(ncr_port_t *port, const char *id)
{
    cJSON       *account;
    const char  *other;

    cJSON_ArrayForEach(account,
                       cJSON_GetObjectItemCaseSensitive(port->doc, "accounts"))
    {
        other = ncr_crs_text(account, "crs_id");

        if (other && strcmp(other, id) == 0) {
            return ncr_crs_text(account, "name");
        }
    }

    return NULL;
}


/* its user, who is made with it */

static void
ncr_crs_key_user(ncr_port_t *port, cJSON *row, cJSON *settings)
{
    cJSON       *user;
    const char  *name, *other;

    name = ncr_crs_text(row, "userUsername");

    if (name == NULL) {
        return;
    }

    cJSON_ArrayForEach(user,
                       cJSON_GetObjectItemCaseSensitive(port->doc, "users"))
    {
        other = ncr_crs_text(user, "crs_name");

        if (other && strcmp(other, name) == 0) {
            ncr_port_put(port, settings, "user", ncr_crs_text(user, "name"));
            return;
        }
    }

    user = ncr_port_object(port, "users", name, "user");

    if (user == NULL) {
        return;
    }

    (void) ncr_port_settings(port, user);
    ncr_port_put(port, user, "crs_name", name);
    ncr_port_put(port, settings, "user", ncr_crs_text(user, "name"));
}


static cJSON *
ncr_crs_member(cJSON *row, const char *name)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(row, name);

    if (cJSON_IsNull(item)
        || (cJSON_IsString(item) && item->valuestring[0] == '\0'))
    {
        return NULL;
    }

    return item;
}


/* NULL: it is no text, or an empty one */

static const char *
ncr_crs_text(cJSON *row, const char *name)
{
    cJSON  *item;

    item = ncr_crs_member(row, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}


static ncr_uint_t
ncr_crs_true(cJSON *row, const char *name, ncr_uint_t otherwise)
{
    cJSON  *item;

    item = ncr_crs_member(row, name);

    if (cJSON_IsBool(item)) {
        return cJSON_IsTrue(item) ? 1 : 0;
    }

    if (cJSON_IsString(item)) {
        return strcmp(item->valuestring, "true") == 0;
    }

    return otherwise;
}


/* 0: there is none */

static double
ncr_crs_number(cJSON *row, const char *name)
{
    char    *end;
    cJSON   *item;
    double   n;

    item = ncr_crs_member(row, name);
    n = 0;

    if (cJSON_IsNumber(item)) {
        n = item->valuedouble;

    } else if (cJSON_IsString(item)) {
        n = strtod(item->valuestring, &end);

        if (*end != '\0') {
            n = 0;
        }
    }

    return (n > 0 && n < 1e15) ? n : 0;
}


/* a value, or the text of one; own: to be deleted */

static cJSON *
ncr_crs_parsed(cJSON *row, const char *name, ncr_uint_t *own)
{
    cJSON       *item;
    ncr_str_t    text;
    const char  *wrong;

    *own = 0;
    item = ncr_crs_member(row, name);

    if (item == NULL || !cJSON_IsString(item)) {
        return item;
    }

    text.data = (ncr_char_t *) item->valuestring;
    text.len = strlen(item->valuestring);

    item = ncr_port_value(&text, &wrong);
    *own = (item != NULL);

    return item;
}


/*
 * The text of a secret, which may be sealed as "iv:text" in hex digits.
 * NCR_DECLINED: there is none, or it cannot be opened.
 */

static ncr_int_t
ncr_crs_open(ncr_port_t *port, const char *sealed, ncr_uint_t salt,
    char *text, size_t size)
{
    size_t        len;
    ncr_int_t     rc;
    const char   *name;

    text[0] = '\0';

    if (sealed == NULL || strstr(sealed, "[REDACTED]")) {
        return NCR_DECLINED;
    }

    len = strlen(sealed);

    if (!ncr_crs_sealed(sealed)) {

        if (len >= size) {
            return NCR_DECLINED;
        }

        memcpy(text, sealed, len + 1);
        return NCR_OK;
    }

    if (port->crs_key.len == 0) {
        return NCR_DECLINED;
    }

    if (!port->derived[salt]) {
        name = ncr_crs_salts[salt];

        if (EVP_PBE_scrypt((char *) port->crs_key.data, port->crs_key.len,
                           (const unsigned char *) name, strlen(name),
                           NCR_CRS_N, NCR_CRS_R, NCR_CRS_P, NCR_CRS_MEMORY,
                           port->keys[salt], sizeof(port->keys[salt]))
            != 1)
        {
            ERR_clear_error();
            port->memory = 1;
            return NCR_DECLINED;
        }

        port->derived[salt] = 1;
    }

    len -= 2 * NCR_CRS_IV + 1;

    if (len / 2 >= size) {
        return NCR_DECLINED;
    }

    rc = ncr_crs_decrypt(port->keys[salt], sealed,
                         sealed + 2 * NCR_CRS_IV + 1, len, text);

    if (rc != NCR_OK) {
        text[0] = '\0';
    }

    return rc;
}


static ncr_uint_t
ncr_crs_sealed(const char *text)
{
    size_t  i, n;

    for (i = 0; i < 2 * NCR_CRS_IV; i++) {
        if (strchr("0123456789abcdefABCDEF", text[i]) == NULL
            || text[i] == '\0')
        {
            return 0;
        }
    }

    if (text[i] != ':') {
        return 0;
    }

    n = strlen(text + i + 1);

    return n > 0 && n % 32 == 0
           && strspn(text + i + 1, "0123456789abcdefABCDEF") == n;
}


/* plain has room for half of the digits, and a NUL; nothing but padding says
 * whether the key was right, so what is no text is refused */

static ncr_int_t
ncr_crs_decrypt(const ncr_char_t *key, const char *iv, const char *text,
    size_t len, char *plain)
{
    int              n, m;
    size_t           i;
    ncr_int_t        rc;
    ncr_char_t       block[NCR_CRS_IV], bytes[NCR_CRS_TEXT];
    EVP_CIPHER_CTX  *ctx;

    if (len / 2 > sizeof(bytes)
        || ncr_crs_hex(iv, 2 * NCR_CRS_IV, block) != NCR_OK
        || ncr_crs_hex(text, len, bytes) != NCR_OK)
    {
        return NCR_DECLINED;
    }

    ctx = EVP_CIPHER_CTX_new();

    if (ctx == NULL) {
        return NCR_DECLINED;
    }

    rc = NCR_DECLINED;

    if (EVP_DecryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, block) == 1
        && EVP_DecryptUpdate(ctx, (unsigned char *) plain, &n, bytes,
                             (int) (len / 2))
           == 1
        && EVP_DecryptFinal_ex(ctx, (unsigned char *) plain + n, &m) == 1)
    {
        plain[n + m] = '\0';
        rc = NCR_OK;

        for (i = 0; i < (size_t) (n + m); i++) {
            if ((ncr_char_t) plain[i] < ' ' || (ncr_char_t) plain[i] == 0x7f) {
                rc = NCR_DECLINED;
                break;
            }
        }

    } else {
        ERR_clear_error();
    }

    EVP_CIPHER_CTX_free(ctx);

    return rc;
}


static ncr_int_t
ncr_crs_hex(const char *text, size_t len, ncr_char_t *dst)
{
    size_t  i;
    int     c, n;

    for (i = 0; i < len; i++) {
        c = text[i] | 0x20;

        if (c >= '0' && c <= '9') {
            n = c - '0';

        } else if (c >= 'a' && c <= 'f') {
            n = c - 'a' + 10;

        } else {
            return NCR_BAD;
        }

        dst[i / 2] = (ncr_char_t) ((i % 2) ? (dst[i / 2] << 4) | n : n);
    }

    return NCR_OK;
}
