
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_port.h"
#include "ncr_json.h"
#include "ncr_oauth.h"
#include "ncr_seal.h"
#include "ncr_str.h"
#include "ncr_uri.h"

#include <stdio.h>


#define NCR_PORT_FNV        UINT64_C(0xcbf29ce484222325)
#define NCR_PORT_FNV_PRIME  UINT64_C(0x100000001b3)

/* of a proxy's URL */
#define NCR_PORT_URL        1024
#define NCR_PORT_DESCRIBED  1024


static ncr_uint_t ncr_port_has_nul(ncr_str_t *text);
static ncr_int_t ncr_port_token(ncr_json_t *json, ncr_json_token_e token);
static const char *ncr_port_pluribus(ncr_port_t *port, cJSON *document);
static const char *ncr_port_pluribus_file(ncr_port_t *port, cJSON *file);
static size_t ncr_port_spell(char *dst, const char *text);
static ncr_uint_t ncr_port_taken(ncr_port_t *port, cJSON *list,
    const char *kind, const char *name);
static cJSON *ncr_port_member(ncr_port_t *port, cJSON *object,
    const char *name, ncr_uint_t array);


cJSON *
ncr_port_json(ncr_str_t *text, const char **wrong)
{
    cJSON  *root;

    root = ncr_port_value(text, wrong);

    if (root && !cJSON_IsObject(root)) {
        *wrong = "it is not a JSON object";
        ncr_port_forget(root);
        cJSON_Delete(root);
        root = NULL;
    }

    return root;
}


cJSON *
ncr_port_value(ncr_str_t *text, const char **wrong)
{
    ncr_int_t    rc;
    ncr_uint_t   values;
    ncr_json_t   json;

    *wrong = "it is not valid JSON";

    if (text->len == 0) {
        return NULL;
    }

    if (text->len > NCR_PORT_BODY) {
        *wrong = "it is larger than 16 MB";
        return NULL;
    }

    if (ncr_port_has_nul(text)) {
        *wrong = "it has a NUL";
        return NULL;
    }

    values = 0;

    ncr_json_init(&json);
    json.max_depth = NCR_PORT_DEPTH;
    json.report = NCR_PORT_DEPTH;
    json.token = ncr_port_token;
    json.data = &values;

    rc = ncr_json_feed(&json, text->data, text->len);

    if (rc == NCR_DONE) {
        *wrong = "it has more than a million values";
        return NULL;
    }

    if (rc == NCR_BAD || ncr_json_final(&json) != NCR_OK) {
        return NULL;
    }

    return cJSON_ParseWithLength((const char *) text->data, text->len);
}


static ncr_int_t
ncr_port_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_uint_t  *values = json->data;

    return (++*values > NCR_PORT_VALUES) ? NCR_DONE : NCR_OK;
}


/* cJSON ends a string at "\u0000", and what follows it would be lost */

static ncr_uint_t
ncr_port_has_nul(ncr_str_t *text)
{
    ncr_char_t  *p, *last;

    p = text->data;
    last = p + text->len;

    if (memchr(p, '\0', text->len) != NULL) {
        return 1;
    }

    for ( ;; ) {
        p = memchr(p, '\\', (size_t) (last - p));

        if (p == NULL || last - p < 6) {
            return 0;
        }

        if (memcmp(p + 1, "u0000", 5) == 0) {
            return 1;
        }

        p += 2;
    }
}


const char *
ncr_port_format(cJSON *document)
{
    cJSON      *data, *item;
    ncr_str_t   text;

    if (cJSON_IsString(document)) {
        text.data = (ncr_char_t *) document->valuestring;
        text.len = strlen(document->valuestring);

        return (ncr_str_contains(&text, "[[accounts]]")
                || ncr_str_contains(&text, "api_keys"))
               ? "rs" : NULL;
    }

    item = cJSON_GetObjectItemCaseSensitive(document, "format");

    if (cJSON_IsString(item)) {
        return strcmp(item->valuestring, "claude-relay") == 0
               ? "claude-relay" : NULL;
    }

    if (cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(document, "files"))) {
        return "pluribus";
    }

    data = cJSON_GetObjectItemCaseSensitive(document, "data");

    cJSON_ArrayForEach(item, data) {
        if (cJSON_IsObject(data) && cJSON_IsArray(item)) {
            return "crs";
        }
    }

    return NULL;
}


const char *
ncr_port_read(ncr_port_t *port, const char *format, cJSON *document)
{
    const char  *wrong;

    port->doc = cJSON_CreateObject();
    port->notes = cJSON_CreateArray();

    if (port->doc == NULL || port->notes == NULL) {
        return "no memory";
    }

    if (strcmp(format, "crs") == 0) {
        wrong = ncr_port_crs(port, document);

    } else if (strcmp(format, "rs") == 0) {
        wrong = ncr_port_rs(port, document);

    } else if (strcmp(format, "pluribus") == 0) {
        wrong = ncr_port_pluribus(port, document);

    } else {
        wrong = "it is of no format that is known here";
    }

    return (wrong == NULL && port->memory) ? "no memory" : wrong;
}


void
ncr_port_forget(cJSON *json)
{
    cJSON  *item;

    if (json == NULL) {
        return;
    }

    if (cJSON_IsString(json) && !(json->type & cJSON_IsReference)) {
        ncr_seal_forget(json->valuestring, strlen(json->valuestring));
    }

    cJSON_ArrayForEach(item, json) {
        ncr_port_forget(item);
    }
}


void
ncr_port_free(ncr_port_t *port)
{
    ncr_port_forget(port->doc);
    cJSON_Delete(port->doc);
    cJSON_Delete(port->notes);

    port->doc = NULL;
    port->notes = NULL;

    ncr_seal_forget(port->keys, sizeof(port->keys));
}


/* {"files": {"name.toml": "..."}} */

static const char *
ncr_port_pluribus(ncr_port_t *port, cJSON *document)
{
    cJSON       *files, *file;
    const char  *wrong;

    files = cJSON_GetObjectItemCaseSensitive(document, "files");

    if (!cJSON_IsObject(files)) {
        return "it has no \"files\"";
    }

    cJSON_ArrayForEach(file, files) {

        if (!cJSON_IsString(file)) {
            return "a file in it is not a string";
        }

        wrong = ncr_port_pluribus_file(port, file);

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ncr_port_pluribus_file(ncr_port_t *port, cJSON *file)
{
    char                 name[NCR_PORT_NAME];
    size_t               len;
    cJSON               *account, *settings, *secrets;
    ncr_str_t            text;
    const char          *wrong;
    ncr_oauth_import_t   import;

    text.data = (ncr_char_t *) file->valuestring;
    text.len = strlen(file->valuestring);

    wrong = ncr_oauth_import(&text, &import, port->now);

    if (wrong) {
        ncr_port_note(port, "account", file->string, wrong);
        return NULL;
    }

    (void) snprintf(name, sizeof(name), "%s", file->string);

    len = strlen(name);

    if (len > 5 && strcmp(name + len - 5, ".toml") == 0) {
        name[len - 5] = '\0';
    }

    account = ncr_port_object(port, "accounts", name, "account");

    if (account == NULL) {
        ncr_seal_forget(&import, sizeof(import));
        return "it has too many accounts";
    }

    settings = ncr_port_settings(port, account);
    secrets = ncr_port_secrets(port, account);

    ncr_port_put(port, settings, "platform", import.platform);
    ncr_port_put(port, settings, "base_url", import.base_url);

    if (strcmp(import.platform, "claude-oauth") == 0) {
        ncr_port_put(port, secrets, "access_token", import.access);
        ncr_port_put(port, secrets, "refresh_token", import.refresh);
        ncr_port_put(port, secrets, "scopes", import.scope);

        if (import.expires) {
            ncr_port_put_number(port, secrets, "expires",
                                (double) import.expires);
        }

    } else {
        ncr_port_put(port, secrets, "api_key", import.access);
    }

    ncr_seal_forget(&import, sizeof(import));

    return NULL;
}


cJSON *
ncr_port_object(ncr_port_t *port, const char *kind, const char *text,
    const char *otherwise)
{
    char         name[NCR_PORT_NAME + 16];
    int          max;
    size_t       len;
    cJSON       *list, *object;
    ncr_uint_t   n;

    list = ncr_port_member(port, port->doc, kind, 1);

    max = strcmp(kind, "accounts") == 0 ? NCR_PORT_ACCOUNTS
                                        : NCR_PORT_OBJECTS;

    if (list == NULL || cJSON_GetArraySize(list) >= max) {
        return NULL;
    }

    len = ncr_port_spell(name, text ? text : "");

    if (len == 0) {
        len = ncr_port_spell(name, otherwise);
    }

    if (len == 0) {
        memcpy(name, "unnamed", 8);
        len = 7;
    }

    for (n = 2; ncr_port_taken(port, list, kind, name); n++) {
        (void) snprintf(name + ncr_min(len, NCR_PORT_NAME - 8), 8, "-%lu",
                        (unsigned long) n);
    }

    object = cJSON_CreateObject();

    if (object == NULL || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        port->memory = 1;
        return NULL;
    }

    ncr_port_put(port, object, "name", name);

    if (text && strcmp(text, name) != 0 && text[0]
        && strlen(text) <= NCR_PORT_DESCRIBED)
    {
        ncr_port_put(port, ncr_port_settings(port, object), "description",
                     text);
    }

    return object;
}


/* what a name may have stays, anything else in it becomes one "-" */

static size_t
ncr_port_spell(char *dst, const char *text)
{
    char    c;
    size_t  n;

    for (n = 0; *text && n < NCR_PORT_NAME - 1; text++) {
        c = *text;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '_'
            || ((c == '.' || c == '-') && n))
        {
            dst[n++] = c;

        } else if (n && dst[n - 1] != '-') {
            dst[n++] = '-';
        }
    }

    while (n && (dst[n - 1] == '-' || dst[n - 1] == '.')) {
        n--;
    }

    dst[n] = '\0';

    return n;
}


/* notes the name; the bits say quickly that it is new, mostly */

static ncr_uint_t
ncr_port_taken(ncr_port_t *port, cJSON *list, const char *kind,
    const char *name)
{
    cJSON       *item, *other;
    uint64_t     hash;
    ncr_char_t  *byte, bit;
    const char  *p;

    hash = NCR_PORT_FNV;

    for (p = kind; *p; p++) {
        hash = (hash ^ (ncr_char_t) *p) * NCR_PORT_FNV_PRIME;
    }

    for (p = name; *p; p++) {
        hash = (hash ^ (ncr_char_t) *p) * NCR_PORT_FNV_PRIME;
    }

    hash ^= hash >> 32;
    hash %= (uint64_t) NCR_PORT_SEEN * 8;

    byte = &port->seen[hash / 8];
    bit = (ncr_char_t) (1 << (hash % 8));

    if (!(*byte & bit)) {
        *byte |= bit;
        return 0;
    }

    cJSON_ArrayForEach(item, list) {
        other = cJSON_GetObjectItemCaseSensitive(item, "name");

        if (cJSON_IsString(other) && strcmp(other->valuestring, name) == 0) {
            return 1;
        }
    }

    return 0;
}


static cJSON *
ncr_port_member(ncr_port_t *port, cJSON *object, const char *name,
    ncr_uint_t array)
{
    cJSON  *member;

    if (object == NULL) {
        return NULL;
    }

    member = cJSON_GetObjectItemCaseSensitive(object, name);

    if (member == NULL) {
        member = array ? cJSON_AddArrayToObject(object, name)
                       : cJSON_AddObjectToObject(object, name);
        if (member == NULL) {
            port->memory = 1;
        }
    }

    return member;
}


cJSON *
ncr_port_settings(ncr_port_t *port, cJSON *object)
{
    return ncr_port_member(port, object, "settings", 0);
}


cJSON *
ncr_port_secrets(ncr_port_t *port, cJSON *object)
{
    return ncr_port_member(port, object, "secrets", 0);
}


void
ncr_port_put(ncr_port_t *port, cJSON *object, const char *name,
    const char *value)
{
    if (object == NULL || value == NULL || value[0] == '\0') {
        return;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(object, name);

    if (cJSON_AddStringToObject(object, name, value) == NULL) {
        port->memory = 1;
    }
}


void
ncr_port_put_number(ncr_port_t *port, cJSON *object, const char *name,
    double value)
{
    if (object && cJSON_AddNumberToObject(object, name, value) == NULL) {
        port->memory = 1;
    }
}


void
ncr_port_put_bool(ncr_port_t *port, cJSON *object, const char *name,
    ncr_uint_t value)
{
    if (object && cJSON_AddBoolToObject(object, name, value != 0) == NULL) {
        port->memory = 1;
    }
}


void
ncr_port_add(ncr_port_t *port, cJSON *object, const char *name,
    const char *value)
{
    cJSON  *list, *item;

    list = ncr_port_member(port, object, name, 1);
    item = list ? cJSON_CreateString(value) : NULL;

    if (item == NULL || !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        port->memory = 1;
    }
}


void
ncr_port_note(ncr_port_t *port, const char *object, const char *name,
    const char *message)
{
    char    shown[NCR_PORT_NAME];
    cJSON  *note;

    (void) ncr_port_spell(shown, name ? name : "");

    note = cJSON_CreateObject();

    if (note == NULL || !cJSON_AddItemToArray(port->notes, note)) {
        cJSON_Delete(note);
        port->memory = 1;
        return;
    }

    ncr_port_put(port, note, "object", object);
    ncr_port_put(port, note, "name", shown);
    ncr_port_put(port, note, "message", message);
}


void
ncr_port_proxy(ncr_port_t *port, cJSON *object, const char *type,
    const char *host, const char *number, const char *user,
    const char *password)
{
    ncr_out_t    out;
    ncr_str_t    s;
    ncr_char_t   url[NCR_PORT_URL];

    ncr_out_init(&out, url, sizeof(url) - 1);

    ncr_out_text(&out, type);
    ncr_out_text(&out, "://");

    if (user && user[0]) {
        s.data = (ncr_char_t *) (uintptr_t) user;
        s.len = strlen(user);
        ncr_uri_escape(&out, &s);
        ncr_out_text(&out, ":");

        s.data = (ncr_char_t *) (uintptr_t) (password ? password : "");
        s.len = strlen((char *) s.data);
        ncr_uri_escape(&out, &s);
        ncr_out_text(&out, "@");
    }

    ncr_out_text(&out, host);
    ncr_out_text(&out, ":");
    ncr_out_text(&out, number);

    if (!out.overflow) {
        *out.last = '\0';
        ncr_port_put(port, object, "proxy", (char *) url);
    }

    ncr_seal_forget(url, sizeof(url));
}
