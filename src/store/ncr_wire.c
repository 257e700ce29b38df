
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_wire.h"
#include "ncr_base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>


/* what a double has exactly; versions and times are far below */
#define NCR_WIRE_NUMBER  9007199254740992.0


typedef struct {
    const char  *name;
    size_t       offset;
    char         type;                  /* of rows that have it */
} ncr_wire_member_t;


#define ncr_wire_account_at(member)  offsetof(ncr_wire_t, account.member)
#define ncr_wire_object_at(member)   offsetof(ncr_wire_t, object.member)

#define ncr_wire_at(wire, member, kind)                                       \
    (*(kind *) (void *) ((char *) (wire) + (member)->offset))


static const ncr_wire_member_t  ncr_wire_numbers[] = {
    { "version", ncr_wire_account_at(version), 'a' },
    { "created", ncr_wire_account_at(created), 'a' },
    { "updated", ncr_wire_account_at(updated), 'a' },
    { "tokens",  ncr_wire_account_at(tokens),  'a' },

    { "version", ncr_wire_account_at(tokens),  't' },
    { "expires", ncr_wire_account_at(expires), 't' },
    { "granted", ncr_wire_account_at(granted), 't' },
    { "failed",  ncr_wire_account_at(failed),  't' },
    { "fence",   ncr_wire_account_at(fence),   't' },

    { "version", ncr_wire_object_at(version),  'o' },
    { "created", ncr_wire_object_at(created),  'o' },
    { "updated", ncr_wire_object_at(updated),  'o' },
    { "activated", ncr_wire_object_at(activated), 'o' }
};

static const ncr_wire_member_t  ncr_wire_texts[] = {
    { "settings", ncr_wire_account_at(settings), 'a' },
    { "secret",  ncr_wire_account_at(secret),  'a' },
    { "proxy",   ncr_wire_account_at(proxy),   'a' },

    { "settings", ncr_wire_account_at(settings), 't' },
    { "access",  ncr_wire_account_at(access),  't' },
    { "refresh", ncr_wire_account_at(refresh), 't' },
    { "scopes",  ncr_wire_account_at(scopes),  't' },
    { "meta",    ncr_wire_account_at(meta),    't' },
    { "reason",  ncr_wire_account_at(reason),  't' },
    { "holder",  ncr_wire_account_at(holder),  't' },

    { "data",    ncr_wire_object_at(data),     'o' }
};

#define NCR_WIRE_NUMBERS  (sizeof(ncr_wire_numbers) / sizeof(ncr_wire_member_t))
#define NCR_WIRE_TEXTS    (sizeof(ncr_wire_texts) / sizeof(ncr_wire_member_t))


static ncr_int_t ncr_wire_part(char *dst, size_t size, const ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_wire_uint(ncr_str_t *text, uint64_t *n);
static void ncr_wire_count(ncr_wire_t *wire);
static char *ncr_wire_json(ncr_wire_t *wire, const char *node);
static ncr_int_t ncr_wire_json_fill(cJSON *json, ncr_wire_t *wire,
    const char *node);
static char *ncr_wire_seal(const ncr_char_t *key, ncr_wire_t *wire,
    const char *json, size_t *len);
static const char *ncr_wire_open(const ncr_char_t *key, ncr_wire_t *wire,
    ncr_str_t *blob, char **json);
static const char *ncr_wire_parse(ncr_wire_t *wire, const char *text);
static const char *ncr_wire_members(ncr_wire_t *wire, cJSON *json);
static const char *ncr_wire_secret(ncr_wire_t *wire, cJSON *json);
static void ncr_wire_forget(cJSON *json);
static void ncr_wire_drop(char *text);


ncr_int_t
ncr_wire_name(ncr_wire_t *wire, ncr_str_t *name)
{
    size_t       i;
    ncr_char_t  *p, *last;

    memset(wire, 0, sizeof(ncr_wire_t));

    if (name->len < 3 || name->len >= sizeof(wire->name)
        || name->data[1] != '/')
    {
        return NCR_BAD;
    }

    for (i = 0; i < name->len; i++) {
        if (name->data[i] < 0x20 || name->data[i] == 0x7f) {
            return NCR_BAD;
        }
    }

    memcpy(wire->name, name->data, name->len);

    wire->type = wire->name[0];

    p = name->data + 2;
    last = name->data + name->len;

    switch (wire->type) {

    case 'a':
    case 't':
        return ncr_wire_part(wire->account.name, NCR_STORE_NAME, p,
                             (size_t) (last - p));

    case 'o':

        for (i = 0; p + i < last && p[i] != '/'; i++) { /* void */ }

        if (p + i == last
            || ncr_wire_part(wire->object.kind, NCR_STORE_KIND, p, i)
               != NCR_OK
            || !ncr_store_shared(wire->object.kind))
        {
            return NCR_BAD;
        }

        p += i + 1;

        return ncr_wire_part(wire->object.name, NCR_STORE_NAME, p,
                             (size_t) (last - p));

    default:
        return NCR_BAD;
    }
}


static ncr_int_t
ncr_wire_part(char *dst, size_t size, const ncr_char_t *p, size_t len)
{
    if (len == 0 || len >= size) {
        return NCR_BAD;
    }

    memcpy(dst, p, len);

    return NCR_OK;
}


/* a decimal number and the space behind it, which are taken from text */

static ncr_int_t
ncr_wire_uint(ncr_str_t *text, uint64_t *n)
{
    size_t  i;

    *n = 0;

    for (i = 0; i < text->len && text->data[i] != ' '; i++) {

        if (text->data[i] < '0' || text->data[i] > '9'
            || *n > (uint64_t) INT64_MAX / 10 - 1
            || (i && text->data[0] == '0'))
        {
            return NCR_BAD;
        }

        *n = *n * 10 + (uint64_t) (text->data[i] - '0');
    }

    if (i == 0 || i == text->len) {
        return NCR_BAD;
    }

    text->data += i + 1;
    text->len -= i + 1;

    return NCR_OK;
}


ncr_int_t
ncr_wire_order(ncr_str_t *text, ncr_store_order_t *order, ncr_str_t *blob)
{
    *blob = *text;

    if (ncr_wire_uint(blob, &order->version) != NCR_OK
        || ncr_wire_uint(blob, &order->tie) != NCR_OK)
    {
        return NCR_BAD;
    }

    return NCR_OK;
}


ncr_uint_t
ncr_wire_newer(ncr_store_order_t *a, ncr_store_order_t *b)
{
    return a->version > b->version
           || (a->version == b->version && a->tie > b->tie);
}


static void
ncr_wire_count(ncr_wire_t *wire)
{
    switch (wire->type) {

    case 'a':
        ncr_store_account_order(&wire->account, &wire->order);
        break;

    case 't':
        ncr_store_tokens_order(&wire->account, &wire->order);
        break;

    default:
        ncr_store_object_order(&wire->object, &wire->order);
        break;
    }
}


char *
ncr_wire_write(const ncr_char_t *key, ncr_wire_t *wire, const char *node,
    size_t *len)
{
    char  *json, *text;

    ncr_wire_count(wire);

    json = ncr_wire_json(wire, node);

    if (json == NULL) {
        return NULL;
    }

    text = ncr_wire_seal(key, wire, json, len);

    ncr_wire_drop(json);

    return text;
}


static char *
ncr_wire_json(ncr_wire_t *wire, const char *node)
{
    char   *text;
    cJSON  *json;

    text = NULL;
    json = cJSON_CreateObject();

    if (json && ncr_wire_json_fill(json, wire, node) == NCR_OK) {
        text = cJSON_PrintUnformatted(json);
    }

    ncr_wire_forget(json);
    cJSON_Delete(json);

    return text;
}


static ncr_int_t
ncr_wire_json_fill(cJSON *json, ncr_wire_t *wire, const char *node)
{
    char                      hex[2 * 32 + 1];
    size_t                    i;
    const char               *text;
    ncr_uint_t                removed, conf;
    const ncr_wire_member_t  *m;

    static const char  digits[] = "0123456789abcdef";

    removed = (wire->type == 'o') ? wire->object.removed
              : (wire->type == 'a' && wire->account.removed);
    conf = (wire->type == 't' && wire->account.conf);

    for (i = 0; i < NCR_WIRE_NUMBERS; i++) {
        m = &ncr_wire_numbers[i];

        if (m->type == wire->type
            && cJSON_AddNumberToObject(json, m->name,
                                 (double) ncr_wire_at(wire, m, int64_t))
               == NULL)
        {
            return NCR_ERROR;
        }
    }

    if ((removed && cJSON_AddTrueToObject(json, "removed") == NULL)
        || (conf && cJSON_AddTrueToObject(json, "conf") == NULL))
    {
        return NCR_ERROR;
    }

    for (i = 0; i < NCR_WIRE_TEXTS; i++) {
        m = &ncr_wire_texts[i];

        if (m->type != wire->type) {
            continue;
        }

        text = ncr_wire_at(wire, m, char *);
        text = text ? text : "";

        if (m->offset == ncr_wire_account_at(holder) && text[0] == '\0') {
            text = node;
        }

        /* settings go with the tokens of nginx.conf only */

        if (text[0] == '\0' || removed
            || (m->offset == ncr_wire_account_at(settings)
                && wire->type == 't' && !conf))
        {
            continue;
        }

        if (cJSON_AddStringToObject(json, m->name, text) == NULL) {
            return NCR_ERROR;
        }
    }

    if (wire->type != 'o' || removed || !wire->object.has_digest) {
        return NCR_OK;
    }

    for (i = 0; i < 32; i++) {
        hex[2 * i] = digits[wire->object.digest[i] >> 4];
        hex[2 * i + 1] = digits[wire->object.digest[i] & 0xf];
    }

    hex[64] = '\0';

    return (cJSON_AddStringToObject(json, "digest", hex)
            && cJSON_AddStringToObject(json, "prefix", wire->object.prefix))
           ? NCR_OK : NCR_ERROR;
}


static char *
ncr_wire_seal(const ncr_char_t *key, ncr_wire_t *wire, const char *json,
    size_t *len)
{
    char              *text, *p;
    size_t             n, size;
    ncr_str_t          plain;
    ncr_char_t        *sealed;
    ncr_seal_place_t   place;

    plain.data = (ncr_char_t *) (uintptr_t) json;
    plain.len = strlen(json);

    n = plain.len + NCR_SEAL_EXTRA;
    size = 2 * 24 + ncr_base64url_len(n) + 1;

    if (size > NCR_WIRE_MAX) {
        return NULL;
    }

    place.table = "fleet";
    place.row = wire->name;
    place.column = "row";

    sealed = malloc(n);
    text = malloc(size);

    if (sealed == NULL || text == NULL
        || ncr_seal(key, &place, &plain, sealed) != NCR_OK)
    {
        free(sealed);
        free(text);
        return NULL;
    }

    p = text + snprintf(text, size, "%llu %llu ",
                        (unsigned long long) wire->order.version,
                        (unsigned long long) wire->order.tie);

    p = ncr_base64url(p, sealed, n);
    *p = '\0';

    *len = (size_t) (p - text);

    free(sealed);

    return text;
}


ncr_int_t
ncr_wire_read(const ncr_char_t *key, ncr_str_t *name, ncr_str_t *text,
    ncr_wire_t *wire, const char **why)
{
    char               *json;
    ncr_str_t           blob;
    ncr_store_order_t   order;

    if (ncr_wire_name(wire, name) != NCR_OK) {
        *why = "there are no rows of this name or kind here";
        return NCR_BAD;
    }

    if (text->len > NCR_WIRE_MAX
        || ncr_wire_order(text, &order, &blob) != NCR_OK)
    {
        *why = "it is no row";
        return NCR_BAD;
    }

    *why = ncr_wire_open(key, wire, &blob, &json);

    if (*why) {
        return NCR_BAD;
    }

    *why = ncr_wire_parse(wire, json);

    ncr_wire_drop(json);

    if (*why) {
        return NCR_BAD;
    }

    ncr_wire_count(wire);

    if (wire->order.version != order.version || wire->order.tie != order.tie) {
        *why = "its version is not the one that was sealed";
        return NCR_BAD;
    }

    return NCR_OK;
}


static const char *
ncr_wire_open(const ncr_char_t *key, ncr_wire_t *wire, ncr_str_t *blob,
    char **json)
{
    size_t             n;
    ncr_int_t          rc;
    ncr_str_t          sealed;
    ncr_char_t        *buf;
    ncr_seal_place_t   place;

    buf = malloc(blob->len + 1);
    *json = malloc(blob->len + 1);

    if (buf == NULL || *json == NULL) {
        free(buf);
        free(*json);
        return "there is no memory for it";
    }

    place.table = "fleet";
    place.row = wire->name;
    place.column = "row";

    n = 0;
    rc = ncr_base64url_decode(buf, &n, (char *) blob->data, blob->len);

    if (rc == NCR_OK) {
        sealed.data = buf;
        sealed.len = n;

        rc = ncr_seal_open(key, &place, &sealed, (ncr_char_t *) *json);
    }

    free(buf);

    if (rc == NCR_OK) {
        n -= NCR_SEAL_EXTRA;
        (*json)[n] = '\0';

        /* a NUL in it would hide what follows */

        if (memchr(*json, '\0', n) == NULL) {
            return NULL;
        }
    }

    free(*json);

    return "it was sealed under another key, or is damaged";
}


static const char *
ncr_wire_parse(ncr_wire_t *wire, const char *text)
{
    cJSON       *json;
    const char  *why;

    json = cJSON_Parse(text);

    why = cJSON_IsObject(json) ? ncr_wire_members(wire, json)
                               : "it has no members";

    if (why == NULL && wire->type == 'o') {
        why = ncr_wire_secret(wire, json);
    }

    ncr_wire_forget(json);
    cJSON_Delete(json);

    return why;
}


static const char *
ncr_wire_members(ncr_wire_t *wire, cJSON *json)
{
    char                     *copy;
    cJSON                    *item;
    size_t                    i, len;
    const char               *text;
    const ncr_wire_member_t  *m;

    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "removed"))) {
        wire->account.removed = (wire->type == 'a');
        wire->object.removed = (wire->type == 'o');
    }

    wire->account.conf = wire->type == 't'
           && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "conf"));

    for (i = 0; i < NCR_WIRE_NUMBERS; i++) {
        m = &ncr_wire_numbers[i];

        if (m->type != wire->type) {
            continue;
        }

        item = cJSON_GetObjectItemCaseSensitive(json, m->name);

        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0)
            || item->valuedouble > NCR_WIRE_NUMBER)
        {
            return "a number in it is missing, or wrong";
        }

        ncr_wire_at(wire, m, int64_t) = (int64_t) item->valuedouble;
    }

    for (i = 0; i < NCR_WIRE_TEXTS; i++) {
        m = &ncr_wire_texts[i];

        if (m->type != wire->type) {
            continue;
        }

        item = cJSON_GetObjectItemCaseSensitive(json, m->name);

        if (item && !cJSON_IsString(item)) {
            return "a text in it is none";
        }

        text = item ? item->valuestring : "";
        len = strlen(text);
        copy = malloc(len + 1);

        if (copy == NULL) {
            return "there is no memory for it";
        }

        memcpy(copy, text, len + 1);
        ncr_wire_at(wire, m, char *) = copy;
    }

    if ((wire->type == 'a' && wire->account.version == 0)
        || (wire->type == 't' && wire->account.tokens == 0)
        || (wire->type == 'o' && wire->object.version == 0))
    {
        return "it has no version";
    }

    return NULL;
}


static const char *
ncr_wire_secret(ncr_wire_t *wire, cJSON *json)
{
    char         c;
    cJSON       *digest, *prefix;
    size_t       i, n;
    ncr_char_t   v;

    digest = cJSON_GetObjectItemCaseSensitive(json, "digest");

    if (digest == NULL || wire->object.removed) {
        return NULL;
    }

    prefix = cJSON_GetObjectItemCaseSensitive(json, "prefix");

    if (!cJSON_IsString(digest) || !cJSON_IsString(prefix)
        || strlen(digest->valuestring) != 64)
    {
        return "it has a digest that is none";
    }

    n = strlen(prefix->valuestring);

    if (n >= NCR_STORE_PREFIX) {
        return "it has a digest that is none";
    }

    for (i = 0; i < 64; i++) {
        c = digest->valuestring[i];

        if (c >= '0' && c <= '9') {
            v = (ncr_char_t) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            v = (ncr_char_t) (c - 'a' + 10);

        } else {
            return "it has a digest that is none";
        }

        wire->object.digest[i / 2] = (ncr_char_t)
                                   (wire->object.digest[i / 2] << 4 | v);
    }

    memcpy(wire->object.prefix, prefix->valuestring, n + 1);
    wire->object.has_digest = 1;

    return NULL;
}


void
ncr_wire_free(ncr_wire_t *wire)
{
    if (wire->type == 'o') {
        ncr_store_object_free(&wire->object);

    } else {
        ncr_store_row_free(&wire->account);
    }

    memset(wire, 0, sizeof(ncr_wire_t));
}


ncr_int_t
ncr_wire_find(ncr_store_t *store, const char *name, ncr_wire_t *wire)
{
    ncr_int_t            rc;
    ncr_str_t            s;
    ncr_store_object_t   object;
    ncr_store_account_t  row;

    s.data = (ncr_char_t *) (uintptr_t) name;
    s.len = strlen(name);

    if (ncr_wire_name(wire, &s) != NCR_OK) {
        return NCR_DECLINED;
    }

    if (wire->type == 'o') {
        rc = ncr_store_object_last(store, wire->object.kind,
                                   wire->object.name, &object);
        wire->object = object;

    } else {
        rc = ncr_store_last(store, wire->account.name, &row);
        wire->account = row;
    }

    if (rc != NCR_OK) {
        return rc;
    }

    if ((wire->type == 'a' && wire->account.conf)
        || (wire->type == 't'
            && (wire->account.tokens == 0
                || (wire->account.conf && wire->account.removed))))
    {
        ncr_wire_free(wire);
        return NCR_DECLINED;
    }

    ncr_wire_count(wire);

    return NCR_OK;
}


ncr_int_t
ncr_wire_merge(ncr_store_t *store, ncr_wire_t *wire)
{
    switch (wire->type) {

    case 'a':
        return ncr_store_merge_account(store, &wire->account);

    case 't':
        return ncr_store_merge_tokens(store, &wire->account);

    default:
        return ncr_store_merge_object(store, &wire->object);
    }
}


/* it has no deeper levels than its parser allows */

static void
ncr_wire_forget(cJSON *json)
{
    cJSON  *item;

    if (json == NULL) {
        return;
    }

    if (cJSON_IsString(json)) {
        ncr_seal_forget(json->valuestring, strlen(json->valuestring));
    }

    cJSON_ArrayForEach(item, json) {
        ncr_wire_forget(item);
    }
}


static void
ncr_wire_drop(char *text)
{
    ncr_seal_forget(text, strlen(text));
    free(text);
}
