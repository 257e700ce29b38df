
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* config.toml of claude-relay-rs (SEEDS 1.2). */


#include "ncr_port.h"
#include "ncr_seal.h"
#include "ncr_str.h"
#include "ncr_toml.h"

#include <stdio.h>


#define NCR_RS_FIELD  4096


/* an [[accounts]], as it is read */

typedef enum {
    NCR_RS_TYPE = 0,
    NCR_RS_ID,
    NCR_RS_NAME,
    NCR_RS_PRIORITY,
    NCR_RS_ENABLED,
    NCR_RS_REFRESH,
    NCR_RS_API_KEY,
    NCR_RS_API_URL,
    NCR_RS_PROXY_TYPE,
    NCR_RS_PROXY_HOST,
    NCR_RS_PROXY_PORT,
    NCR_RS_PROXY_USER,
    NCR_RS_PROXY_PASSWORD,
    NCR_RS_FIELDS
} ncr_rs_field_e;


typedef struct {
    ncr_port_t  *port;
    const char  *wrong;
    ncr_uint_t   table;                 /* of [[accounts]], from 1 */
    ncr_uint_t   keys;
    ncr_uint_t   any;                   /* the account has something */
    ncr_uint_t   noted;                 /* other sections, told once */
    char         fields[NCR_RS_FIELDS][NCR_RS_FIELD];
} ncr_rs_t;


static ncr_int_t ncr_rs_value(ncr_toml_t *toml, const char *path,
    ncr_toml_type_e type, ncr_str_t *value);
static ncr_int_t ncr_rs_key(ncr_rs_t *rs, ncr_str_t *value);
static ncr_int_t ncr_rs_account(ncr_rs_t *rs);
static void ncr_rs_proxy(ncr_rs_t *rs, cJSON *account);


/* in the order of ncr_rs_field_e */

static const char *const  ncr_rs_paths[NCR_RS_FIELDS] = {
    "accounts.?.type", "accounts.?.id", "accounts.?.name",
    "accounts.?.priority", "accounts.?.enabled", "accounts.?.refresh_token",
    "accounts.?.api_key", "accounts.?.api_url", "accounts.proxy.type",
    "accounts.proxy.host", "accounts.proxy.port", "accounts.proxy.username",
    "accounts.proxy.password"
};


const char *
ncr_port_rs(ncr_port_t *port, cJSON *document)
{
    ncr_rs_t    *rs;
    ncr_int_t    rc;
    ncr_str_t    text;
    ncr_toml_t   toml;

    if (!cJSON_IsString(document)) {
        return "it must be a string, the text of config.toml";
    }

    text.data = (ncr_char_t *) document->valuestring;
    text.len = strlen(document->valuestring);

    rs = cJSON_malloc(sizeof(ncr_rs_t));

    if (rs == NULL) {
        return "no memory";
    }

    memset(rs, 0, sizeof(ncr_rs_t));

    rs->port = port;
    rs->wrong = "it is not valid TOML";

    toml.data = rs;
    toml.value = ncr_rs_value;

    rc = ncr_toml_read(&toml, &text);

    if (rc == NCR_OK) {
        rc = ncr_rs_account(rs);
    }

    port->memory |= (rc == NCR_ERROR);

    text.data = (ncr_char_t *) (uintptr_t) rs->wrong;

    ncr_seal_forget(rs, sizeof(ncr_rs_t));
    ncr_seal_forget(toml.text, sizeof(toml.text));
    cJSON_free(rs);

    return (rc == NCR_OK) ? NULL : (const char *) text.data;
}


static ncr_int_t
ncr_rs_value(ncr_toml_t *toml, const char *path, ncr_toml_type_e type,
    ncr_str_t *value)
{
    ncr_int_t   rc;
    ncr_rs_t   *rs;
    ncr_uint_t  i;

    rs = toml->data;

    if (strcmp(path, "api_keys") == 0) {
        return (toml->element && type == NCR_TOML_STRING)
               ? ncr_rs_key(rs, value) : NCR_OK;
    }

    if (strncmp(path, "accounts.", 9) != 0) {

        if (!rs->noted) {
            rs->noted = 1;
            ncr_port_note(rs->port, "settings", "",
                          "\"server\", \"session\" and the like are not "
                          "taken: they are directives of nginx.conf here");
        }

        return NCR_OK;
    }

    if (toml->tables != rs->table) {
        rc = ncr_rs_account(rs);

        if (rc != NCR_OK) {
            return rc;
        }

        rs->table = toml->tables;
    }

    for (i = 0; i < NCR_RS_FIELDS; i++) {

        if (strcmp(path, ncr_rs_paths[i]) != 0 || toml->element) {
            continue;
        }

        if (value->len >= NCR_RS_FIELD) {
            rs->wrong = "a value in it is too long";
            return NCR_DONE;
        }

        ncr_str_copy(rs->fields[i], NCR_RS_FIELD, value);
        rs->any = 1;
        break;
    }

    return NCR_OK;
}


/* a key of clients, in the clear */

static ncr_int_t
ncr_rs_key(ncr_rs_t *rs, ncr_str_t *value)
{
    char    name[32], secret[NCR_RS_FIELD];
    cJSON  *key;

    if (value->len >= sizeof(secret)) {
        rs->wrong = "a key in it is too long";
        return NCR_DONE;
    }

    (void) snprintf(name, sizeof(name), "key-%lu",
                    (unsigned long) ++rs->keys);

    key = ncr_port_object(rs->port, "keys", name, name);

    if (key == NULL) {
        rs->wrong = "it has too many keys";
        return NCR_DONE;
    }

    ncr_str_copy(secret, sizeof(secret), value);

    (void) ncr_port_settings(rs->port, key);
    ncr_port_put(rs->port, ncr_port_secrets(rs->port, key), "secret", secret);

    ncr_seal_forget(secret, sizeof(secret));

    return NCR_OK;
}


/* the one that was read up to here */

static ncr_int_t
ncr_rs_account(ncr_rs_t *rs)
{
    char        *type, *name;
    int64_t      priority;
    cJSON       *account, *settings, *secrets;
    ncr_str_t    text;
    const char  *platform;

    if (!rs->any) {
        return NCR_OK;
    }

    type = rs->fields[NCR_RS_TYPE];
    name = rs->fields[NCR_RS_NAME][0] ? rs->fields[NCR_RS_NAME]
                                      : rs->fields[NCR_RS_ID];

    platform = (strcmp(type, "claude-oauth") == 0) ? "claude-oauth"
               : (strcmp(type, "claude-api") == 0) ? "anthropic" : NULL;

    if (platform == NULL) {
        ncr_port_note(rs->port, "account", name,
                      "skipped: its platform is not one of this relay's");
        goto done;
    }

    account = ncr_port_object(rs->port, "accounts", name, "account");

    if (account == NULL) {
        rs->wrong = "it has too many accounts";
        return NCR_DONE;
    }

    settings = ncr_port_settings(rs->port, account);
    secrets = ncr_port_secrets(rs->port, account);

    ncr_port_put(rs->port, settings, "platform", platform);
    ncr_port_put(rs->port, settings, "base_url",
                 rs->fields[NCR_RS_API_URL]);

    /* the highest is first, and 100 usual, there and here */

    text.data = (ncr_char_t *) rs->fields[NCR_RS_PRIORITY];
    text.len = strlen(rs->fields[NCR_RS_PRIORITY]);

    if (text.len && ncr_str_int(&text, &priority) == NCR_OK
        && priority <= 1000000)
    {
        ncr_port_put_number(rs->port, settings, "priority",
                            (double) priority);
    }

    ncr_port_put_bool(rs->port, settings, "enabled",
                      strcmp(rs->fields[NCR_RS_ENABLED], "false") != 0);

    ncr_port_put(rs->port, secrets, "refresh_token",
                 rs->fields[NCR_RS_REFRESH]);
    ncr_port_put(rs->port, secrets, "api_key", rs->fields[NCR_RS_API_KEY]);

    ncr_rs_proxy(rs, secrets);

done:

    ncr_seal_forget(rs->fields, sizeof(rs->fields));
    rs->any = 0;

    return NCR_OK;
}


static void
ncr_rs_proxy(ncr_rs_t *rs, cJSON *secrets)
{
    char  *type;

    type = rs->fields[NCR_RS_PROXY_TYPE];

    if (type[0] == '\0' || strcmp(type, "none") == 0) {
        return;
    }

    ncr_port_proxy(rs->port, secrets, type, rs->fields[NCR_RS_PROXY_HOST],
                   rs->fields[NCR_RS_PROXY_PORT],
                   rs->fields[NCR_RS_PROXY_USER],
                   rs->fields[NCR_RS_PROXY_PASSWORD]);
}
