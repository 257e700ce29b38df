
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Keys, users, groups and limits as JSON: what the store keeps, the API takes
 * and the blocks of nginx.conf are turned into.  Every member is known, of
 * the right type and in range, or it is refused; nothing of it is a secret.
 */


#include "ngx_http_claude_relay_limit.h"

#include <cjson/cJSON.h>


#define NGX_HTTP_CLAUDE_RELAY_KEY      (1 << NCR_SCOPE_KEY)
#define NGX_HTTP_CLAUDE_RELAY_OWNER                                           \
    ((1 << NCR_SCOPE_USER)|(1 << NCR_SCOPE_GROUP))
#define NGX_HTTP_CLAUDE_RELAY_EVERY                                           \
    (NGX_HTTP_CLAUDE_RELAY_KEY|NGX_HTTP_CLAUDE_RELAY_OWNER                    \
     |(1 << NCR_SCOPE_MODEL))

#define NGX_HTTP_CLAUDE_RELAY_WORDS    256      /* of a message */
#define NGX_HTTP_CLAUDE_RELAY_ITEMS    64       /* of a list */
#define NGX_HTTP_CLAUDE_RELAY_ICON     8192
#define NGX_HTTP_CLAUDE_RELAY_AGENT    255
#define NGX_HTTP_CLAUDE_RELAY_OWN_KEYS 10000

/* nothing is wanted for longer, and sums stay in range */
#define NGX_HTTP_CLAUDE_RELAY_LONGEST  ((ncr_msec_t) 36500 * 86400 * 1000)


typedef struct {
    ncr_key_build_t  *build;
    ncr_key_t        *key;
    ngx_str_t        *name;
    cJSON            *value;            /* the member's */
    ncr_slice_t      *slice;            /* where it goes, if it is a text */
    size_t            max;              /* of a text, or of an item */
    u_char            words[NGX_HTTP_CLAUDE_RELAY_WORDS];
} ngx_http_claude_relay_key_read_t;


/* NULL, or what is wrong: a constant text, or the reader's words */

typedef const char *(*ngx_http_claude_relay_key_member_pt)(
    ngx_http_claude_relay_key_read_t *rd);


typedef struct {
    const char                           *name;
    ngx_uint_t                            scopes;
    ngx_http_claude_relay_key_member_pt   read;
    size_t                                offset;   /* of a slice */
    size_t                                max;      /* length of a text */
} ngx_http_claude_relay_key_member_t;


static ngx_int_t ngx_http_claude_relay_key_known(
    ngx_http_claude_relay_key_read_t *rd, cJSON *json, u_char *error);
static ngx_int_t ngx_http_claude_relay_key_members_read(
    ngx_http_claude_relay_key_read_t *rd, cJSON *json, u_char *error);
static const char *ngx_http_claude_relay_key_scope(ncr_key_t *key);
static const char *ngx_http_claude_relay_key_string(cJSON *value,
    size_t least, size_t most, ncr_str_t *text);
static const char *ngx_http_claude_relay_key_array(cJSON *value,
    size_t most);
static const char *ngx_http_claude_relay_key_bool(cJSON *value,
    uint8_t *flag);
static const char *ngx_http_claude_relay_key_name(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_note(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_tags(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_text(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_list(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_enabled(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_fallback(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_flag(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_max_keys(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_deleted(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_permissions(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_expires(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_time(cJSON *value,
    ncr_msec_t *t);
static const char *ngx_http_claude_relay_key_valid_for(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_clients(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_addresses(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_map(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_slot(
    ngx_http_claude_relay_key_read_t *rd, cJSON *value, ncr_key_slot_t *slot);
static const char *ngx_http_claude_relay_key_rates(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_limits(
    ngx_http_claude_relay_key_read_t *rd);
static const char *ngx_http_claude_relay_key_limit(
    ngx_http_claude_relay_key_read_t *rd, cJSON *value, ncr_limit_t *limit);
static u_char *ngx_http_claude_relay_limit_amount(cJSON *amount, u_char *p);


#define ngx_http_claude_relay_member(name, scopes, read, field, max)          \
    { name, scopes, ngx_http_claude_relay_key_ ## read,                       \
      offsetof(ncr_key_t, field), max }

#define ngx_http_claude_relay_plain(name, scopes, read, max)                  \
    { name, scopes, ngx_http_claude_relay_key_ ## read, 0, max }


/*
 * Limits come first: in a record they are in front of all texts.  What is
 * deleted comes after "enabled".
 */

static ngx_http_claude_relay_key_member_t
    ngx_http_claude_relay_key_members[] =
{
    ngx_http_claude_relay_plain("limits", NGX_HTTP_CLAUDE_RELAY_EVERY,
                                limits, 0),
    ngx_http_claude_relay_plain("name", NGX_HTTP_CLAUDE_RELAY_EVERY, name, 0),
    ngx_http_claude_relay_plain("description", NGX_HTTP_CLAUDE_RELAY_EVERY,
                                note, 1024),
    ngx_http_claude_relay_plain("enabled", NGX_HTTP_CLAUDE_RELAY_EVERY,
                                enabled, 0),
    ngx_http_claude_relay_member("group",
                                 NGX_HTTP_CLAUDE_RELAY_KEY
                                 |(1 << NCR_SCOPE_USER),
                                 text, group, NCR_KEY_NAME - 1),
    ngx_http_claude_relay_plain("icon", NGX_HTTP_CLAUDE_RELAY_KEY, note,
                                NGX_HTTP_CLAUDE_RELAY_ICON),
    ngx_http_claude_relay_plain("tags", NGX_HTTP_CLAUDE_RELAY_KEY, tags, 64),
    ngx_http_claude_relay_member("user", NGX_HTTP_CLAUDE_RELAY_KEY, text,
                                 user, NCR_KEY_NAME - 1),
    ngx_http_claude_relay_plain("permissions", NGX_HTTP_CLAUDE_RELAY_KEY,
                                permissions, 0),
    ngx_http_claude_relay_plain("expires_at", NGX_HTTP_CLAUDE_RELAY_KEY,
                                expires, 0),
    ngx_http_claude_relay_plain("valid_for", NGX_HTTP_CLAUDE_RELAY_KEY,
                                valid_for, 0),
    ngx_http_claude_relay_member("pool", NGX_HTTP_CLAUDE_RELAY_KEY, text,
                                 pool, NCR_KEY_NAME - 1),
    ngx_http_claude_relay_member("account", NGX_HTTP_CLAUDE_RELAY_KEY, text,
                                 account, NCR_KEY_NAME - 1),
    ngx_http_claude_relay_plain("account_fallback",
                                NGX_HTTP_CLAUDE_RELAY_KEY, fallback, 0),
    ngx_http_claude_relay_member("models", NGX_HTTP_CLAUDE_RELAY_KEY, list,
                                 models, NCR_MODEL_LEN),
    ngx_http_claude_relay_member("models_denied", NGX_HTTP_CLAUDE_RELAY_KEY,
                                 list, denied, NCR_MODEL_LEN),
    ngx_http_claude_relay_plain("clients", NGX_HTTP_CLAUDE_RELAY_KEY,
                                clients, NGX_HTTP_CLAUDE_RELAY_AGENT),
    ngx_http_claude_relay_plain("addresses", NGX_HTTP_CLAUDE_RELAY_KEY,
                                addresses, 64),
    ngx_http_claude_relay_plain("map", NGX_HTTP_CLAUDE_RELAY_KEY, map, 0),
    ngx_http_claude_relay_plain("rates", NGX_HTTP_CLAUDE_RELAY_KEY, rates,
                                0),
    ngx_http_claude_relay_plain("self_made", NGX_HTTP_CLAUDE_RELAY_KEY, flag,
                                0),
    ngx_http_claude_relay_plain("max_keys", (1 << NCR_SCOPE_USER), max_keys,
                                NGX_HTTP_CLAUDE_RELAY_OWN_KEYS),
    ngx_http_claude_relay_plain("deleted_at", NGX_HTTP_CLAUDE_RELAY_KEY,
                                deleted, 0),
    ngx_http_claude_relay_plain("deleted_by", NGX_HTTP_CLAUDE_RELAY_KEY, note,
                                255),
    { NULL, 0, NULL, 0, 0 }
};


static const char *const  ngx_http_claude_relay_key_scopes[] = {
    "key", "user", "group", "account", "limit"
};


ngx_int_t
ngx_http_claude_relay_key_json(ncr_key_build_t *build, ncr_scope_e scope,
    ngx_str_t *name, ngx_str_t *text, u_char *error)
{
    cJSON                             *json;
    ngx_int_t                          rc;
    const char                        *end;
    ngx_http_claude_relay_key_read_t   rd;

    ncr_key_begin(build, build->buf, scope);

    rd.build = build;
    rd.key = build->key;
    rd.name = name;
    rd.key->enabled = 1;

    end = NULL;
    json = cJSON_ParseWithLengthOpts((char *) text->data, text->len, &end, 0);

    if (json) {
        while (end < (char *) text->data + text->len
               && (*end == ' ' || *end == '\t' || *end == CR || *end == LF))
        {
            end++;
        }
    }

    if (!cJSON_IsObject(json) || end != (char *) text->data + text->len) {
        cJSON_Delete(json);
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "the settings of %s \"%V\" are no JSON object%Z",
                            ngx_http_claude_relay_key_scope(rd.key), name);
        return NGX_ERROR;
    }

    rc = ngx_http_claude_relay_key_known(&rd, json, error);

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_key_members_read(&rd, json, error);
    }

    cJSON_Delete(json);

    if (rc != NGX_OK) {
        return rc;
    }

    if (name->len == 0 || name->len >= NCR_KEY_NAME) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "the name of a %s must have 1 to %d characters%Z",
                            ngx_http_claude_relay_key_scope(rd.key),
                            NCR_KEY_NAME - 1);
        return NGX_ERROR;
    }

    ncr_key_put(build, &rd.key->name, ncr(name));

    if (ncr_key_end(build) != NCR_OK) {
        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "the settings of %s \"%V\" are larger than "
                            "%d bytes%Z",
                            ngx_http_claude_relay_key_scope(rd.key), name,
                            NCR_KEY_MAX);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static const char *
ngx_http_claude_relay_key_scope(ncr_key_t *key)
{
    return ngx_http_claude_relay_key_scopes[key->scope];
}


/* every member is one that there is, and there once */

static ngx_int_t
ngx_http_claude_relay_key_known(ngx_http_claude_relay_key_read_t *rd,
    cJSON *json, u_char *error)
{
    cJSON                               *value;
    const char                          *wrong;
    ngx_http_claude_relay_key_member_t  *m;

    cJSON_ArrayForEach(value, json) {

        for (m = ngx_http_claude_relay_key_members; m->name; m++) {
            if ((m->scopes & ((ngx_uint_t) 1 << rd->key->scope))
                && ngx_strcmp(m->name, value->string) == 0)
            {
                break;
            }
        }

        if (m->name == NULL) {
            wrong = "is not a field of it";

        } else if (cJSON_GetObjectItemCaseSensitive(json, m->name) != value) {
            wrong = "is there twice";

        } else {
            continue;
        }

        (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                            "\"%*s\" of %s \"%V\" %s%Z",
                            ngx_min(ngx_strlen(value->string), 64),
                            value->string,
                            ngx_http_claude_relay_key_scope(rd->key),
                            rd->name, wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* null is as if it was not there */

static ngx_int_t
ngx_http_claude_relay_key_members_read(ngx_http_claude_relay_key_read_t *rd,
    cJSON *json, u_char *error)
{
    const char                          *wrong;
    ngx_http_claude_relay_key_member_t  *m;

    for (m = ngx_http_claude_relay_key_members; m->name; m++) {

        rd->value = cJSON_GetObjectItemCaseSensitive(json, m->name);

        if (rd->value == NULL || cJSON_IsNull(rd->value)) {
            continue;
        }

        rd->slice = (ncr_slice_t *) (void *) ((u_char *) rd->key + m->offset);
        rd->max = m->max;

        wrong = m->read(rd);

        if (wrong) {
            (void) ngx_snprintf(error, NGX_HTTP_CLAUDE_RELAY_ERROR,
                                "\"%s\" of %s \"%V\" %s%Z", m->name,
                                ngx_http_claude_relay_key_scope(rd->key),
                                rd->name, wrong);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static const char *
ngx_http_claude_relay_key_string(cJSON *value, size_t least, size_t most,
    ncr_str_t *text)
{
    size_t  i;

    if (!cJSON_IsString(value)) {
        return "must be a string";
    }

    text->data = (u_char *) value->valuestring;
    text->len = ngx_strlen(value->valuestring);

    if (text->len < least) {
        return "is empty";
    }

    if (text->len > most) {
        return "is too long";
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < ' ' || text->data[i] == 0x7f) {
            return "has control characters";
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_array(cJSON *value, size_t most)
{
    cJSON       *item;
    ncr_str_t    text;
    const char  *wrong;

    if (!cJSON_IsArray(value)) {
        return "must be an array of strings";
    }

    if (cJSON_GetArraySize(value) > NGX_HTTP_CLAUDE_RELAY_ITEMS) {
        return "has more than 64 items";
    }

    cJSON_ArrayForEach(item, value) {

        wrong = ngx_http_claude_relay_key_string(item, 1, most, &text);

        if (wrong) {
            return cJSON_IsString(item)
                   ? "has an item that is empty, too long or has control "
                     "characters"
                   : "must be an array of strings";
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_bool(cJSON *value, uint8_t *flag)
{
    if (!cJSON_IsBool(value)) {
        return "must be true or false";
    }

    *flag = cJSON_IsTrue(value) ? 1 : 0;

    return NULL;
}


static const char *
ngx_http_claude_relay_key_name(ngx_http_claude_relay_key_read_t *rd)
{
    if (!cJSON_IsString(rd->value)
        || !ncr_str_eq(ncr(rd->name), rd->value->valuestring))
    {
        return "is another one";
    }

    return NULL;
}


/* for those who manage keys only */

static const char *
ngx_http_claude_relay_key_note(ngx_http_claude_relay_key_read_t *rd)
{
    ncr_str_t  text;

    return ngx_http_claude_relay_key_string(rd->value, 0, rd->max, &text);
}


static const char *
ngx_http_claude_relay_key_tags(ngx_http_claude_relay_key_read_t *rd)
{
    return ngx_http_claude_relay_key_array(rd->value, rd->max);
}


static const char *
ngx_http_claude_relay_key_text(ngx_http_claude_relay_key_read_t *rd)
{
    ncr_str_t    text;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_string(rd->value, 0, rd->max, &text);

    if (wrong == NULL && text.len) {
        ncr_key_put(rd->build, rd->slice, &text);
    }

    return wrong;
}


static const char *
ngx_http_claude_relay_key_list(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON       *item;
    ncr_str_t    text;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_array(rd->value, rd->max);
    if (wrong) {
        return wrong;
    }

    cJSON_ArrayForEach(item, rd->value) {
        (void) ngx_http_claude_relay_key_string(item, 1, rd->max, &text);
        ncr_key_add(rd->build, rd->slice, &text);
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_enabled(ngx_http_claude_relay_key_read_t *rd)
{
    return ngx_http_claude_relay_key_bool(rd->value, &rd->key->enabled);
}


static const char *
ngx_http_claude_relay_key_fallback(ngx_http_claude_relay_key_read_t *rd)
{
    return ngx_http_claude_relay_key_bool(rd->value, &rd->key->fallback);
}


/* for those who manage keys only */

static const char *
ngx_http_claude_relay_key_flag(ngx_http_claude_relay_key_read_t *rd)
{
    uint8_t  flag;

    return ngx_http_claude_relay_key_bool(rd->value, &flag);
}


/* how many keys a user may make for itself */

static const char *
ngx_http_claude_relay_key_max_keys(ngx_http_claude_relay_key_read_t *rd)
{
    double  n;

    n = cJSON_IsNumber(rd->value) ? rd->value->valuedouble : -1;

    if (!(n >= 0 && n <= (double) rd->max && n == (double) (int) n)) {
        return "must be a number from 0 to 10000";
    }

    return NULL;
}


/* it is kept, but refused as if it was disabled */

static const char *
ngx_http_claude_relay_key_deleted(ngx_http_claude_relay_key_read_t *rd)
{
    ncr_msec_t   t;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_time(rd->value, &t);

    if (wrong == NULL) {
        rd->key->deleted = 1;
        rd->key->enabled = 0;
    }

    return wrong;
}


static const char *
ngx_http_claude_relay_key_permissions(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON       *item;
    uint32_t     bits;
    ncr_str_t    text;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_array(rd->value, 16);
    if (wrong) {
        return wrong;
    }

    cJSON_ArrayForEach(item, rd->value) {

        text.data = (u_char *) item->valuestring;
        text.len = ngx_strlen(item->valuestring);

        bits = ncr_key_service(&text);

        if (bits == 0) {
            return "may have \"claude\", \"gemini\", \"openai\", \"droid\" "
                   "and \"all\" only";
        }

        rd->key->services |= bits;
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_expires(ngx_http_claude_relay_key_read_t *rd)
{
    return ngx_http_claude_relay_key_time(rd->value, &rd->key->expires);
}


static const char *
ngx_http_claude_relay_key_time(cJSON *value, ncr_msec_t *t)
{
    ngx_str_t  text;

    if (cJSON_IsString(value)) {

        text.data = (u_char *) value->valuestring;
        text.len = ngx_strlen(value->valuestring);

        if (ngx_http_claude_relay_instant(&text, t) == NGX_OK) {
            return NULL;
        }
    }

    /* numbers of doubles are exact in this range */

    if (cJSON_IsNumber(value)
        && value->valuedouble >= 1 && value->valuedouble < 1e15
        && value->valuedouble == (double) (int64_t) value->valuedouble)
    {
        *t = (ncr_msec_t) value->valuedouble;
        return NULL;
    }

    return "must be a time such as \"2027-01-31T00:00:00Z\", or milliseconds "
           "since the epoch";
}


static const char *
ngx_http_claude_relay_key_valid_for(ngx_http_claude_relay_key_read_t *rd)
{
    ncr_str_t    text;
    ngx_int_t    t;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_string(rd->value, 1, 32, &text);
    if (wrong) {
        return wrong;
    }

    t = ngx_parse_time((ngx_str_t *) &text, 0);

    if (t == NGX_ERROR || t <= 0 || t > NGX_HTTP_CLAUDE_RELAY_LONGEST) {
        return "must be a time such as \"30d\" or \"12h\"";
    }

    rd->key->valid_for = t;

    return NULL;
}


/* what is no name of a client is a pattern */

static const char *
ngx_http_claude_relay_key_clients(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON       *item;
    uint32_t     bit;
    ncr_str_t    text;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_array(rd->value, rd->max);
    if (wrong) {
        return wrong;
    }

    cJSON_ArrayForEach(item, rd->value) {

        text.data = (u_char *) item->valuestring;
        text.len = ngx_strlen(item->valuestring);

        bit = ncr_key_client(&text);

        if (bit) {
            rd->key->clients |= bit;

        } else {
            ncr_key_add(rd->build, &rd->key->agents, &text);
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_addresses(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON       *item;
    u_char       cidr[NCR_KEY_CIDR];
    ncr_str_t    text, packed;
    const char  *wrong;

    wrong = ngx_http_claude_relay_key_array(rd->value, rd->max);
    if (wrong) {
        return wrong;
    }

    packed.data = cidr;
    packed.len = NCR_KEY_CIDR;

    cJSON_ArrayForEach(item, rd->value) {

        text.data = (u_char *) item->valuestring;
        text.len = ngx_strlen(item->valuestring);

        if (ncr_key_cidr(&text, cidr) != NCR_OK) {
            (void) ngx_snprintf(rd->words, NGX_HTTP_CLAUDE_RELAY_WORDS,
                                "has \"%V\", which is no address and no "
                                "network such as \"10.0.0.0/8\"%Z",
                                (ngx_str_t *) &text);
            return (const char *) rd->words;
        }

        ncr_key_add(rd->build, &rd->key->addresses, &packed);
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_map(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON       *item;
    ngx_uint_t   i;
    const char  *wrong;

    static const char *const  slots[NCR_SLOTS] = { "opus", "sonnet", "haiku" };

    if (!cJSON_IsObject(rd->value)) {
        return "must be an object";
    }

    cJSON_ArrayForEach(item, rd->value) {

        for (i = 0; i < NCR_SLOTS; i++) {
            if (ngx_strcmp(slots[i], item->string) == 0) {
                break;
            }
        }

        if (i == NCR_SLOTS) {
            return "may have \"opus\", \"sonnet\" and \"haiku\" only";
        }

        if (cJSON_GetObjectItemCaseSensitive(rd->value, slots[i]) != item) {
            return "has the same model twice";
        }

        wrong = ngx_http_claude_relay_key_slot(rd, item, &rd->key->slots[i]);
        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_slot(ngx_http_claude_relay_key_read_t *rd,
    cJSON *value, ncr_key_slot_t *slot)
{
    cJSON        *item;
    ncr_str_t     text;
    ngx_uint_t    i;
    ncr_slice_t  *slice;

    static const char *const  efforts[] = {
        "low", "medium", "high", "xhigh", "max", NULL
    };

    if (!cJSON_IsObject(value)) {
        return "must have objects with \"platform\", \"model\", \"effort\"";
    }

    cJSON_ArrayForEach(item, value) {

        if (ngx_http_claude_relay_key_string(item, 1, NCR_MODEL_LEN - 1,
                                             &text)
            != NULL)
        {
            return "has a value that is not a text of 1 to 127 characters";
        }

        if (ngx_strcmp(item->string, "platform") == 0) {

            slice = &slot->platform;

            if (ncr_platform_find(&text) == NULL) {
                return "names no platform of this relay";
            }

        } else if (ngx_strcmp(item->string, "model") == 0) {
            slice = &slot->model;

        } else if (ngx_strcmp(item->string, "effort") == 0) {

            slice = &slot->effort;

            for (i = 0; efforts[i]; i++) {
                if (ncr_str_eq(&text, efforts[i])) {
                    break;
                }
            }

            if (efforts[i] == NULL) {
                return "has an \"effort\" other than \"low\", \"medium\", "
                       "\"high\", \"xhigh\" and \"max\"";
            }

        } else {
            return "may have \"platform\", \"model\" and \"effort\" only";
        }

        if (slice->len) {
            return "has the same field twice";
        }

        ncr_key_put(rd->build, slice, &text);
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_rates(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON      *item;
    u_char      buf[64];
    double      rate;
    int64_t     permille;
    ncr_str_t   text;

    if (!cJSON_IsObject(rd->value)) {
        return "must be an object of platforms and numbers";
    }

    cJSON_ArrayForEach(item, rd->value) {

        text.data = (u_char *) item->string;
        text.len = ngx_strlen(item->string);

        if (ncr_platform_find(&text) == NULL) {
            return "names no platform of this relay";
        }

        if (cJSON_GetObjectItemCaseSensitive(rd->value, item->string) != item)
        {
            return "has the same platform twice";
        }

        rate = cJSON_IsNumber(item) ? item->valuedouble : -1;

        if (!(rate >= 0 && rate <= 1000)) {
            return "must have numbers from 0 to 1000";
        }

        permille = (int64_t) (rate * 1000 + 0.5);

        text.data = buf;
        text.len = ngx_snprintf(buf, sizeof(buf), "%s=%L", item->string,
                                permille)
                   - buf;

        ncr_key_add(rd->build, &rd->key->rates, &text);
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_limits(ngx_http_claude_relay_key_read_t *rd)
{
    cJSON        *item;
    ngx_uint_t    i, n;
    const char   *wrong;
    ncr_limit_t   limit;

    if (!cJSON_IsArray(rd->value)) {
        return "must be an array";
    }

    if (cJSON_GetArraySize(rd->value) > NCR_KEY_LIMITS) {
        return "has more than 16 items";
    }

    n = 0;

    cJSON_ArrayForEach(item, rd->value) {

        n++;

        wrong = ngx_http_claude_relay_key_limit(rd, item, &limit);

        /* two of them would count each request twice */

        for (i = 0; wrong == NULL && i < rd->key->nlimits; i++) {
            if (rd->key->limits[i].identity == limit.identity) {
                wrong = "there is another one of the same unit, window and "
                        "models";
            }
        }

        if (wrong == NULL && ncr_key_limit(rd->build, &limit) != NCR_OK) {
            wrong = "there is no room for it";
        }

        if (wrong) {
            (void) ngx_snprintf(rd->words, NGX_HTTP_CLAUDE_RELAY_WORDS,
                                "has an error in limit %ui: %s%Z", n, wrong);
            return (const char *) rd->words;
        }
    }

    return NULL;
}


static const char *
ngx_http_claude_relay_key_limit(ngx_http_claude_relay_key_read_t *rd,
    cJSON *value, ncr_limit_t *limit)
{
    u_char       buf[NCR_LIMIT_TEXT * 2];
    ncr_str_t    text;
    const char  *wrong;

    if (cJSON_IsObject(value)) {
        wrong = ngx_http_claude_relay_limit_text(value, buf, &text);

    } else {
        wrong = ngx_http_claude_relay_key_string(value, 1, NCR_LIMIT_TEXT * 2,
                                                 &text);
    }

    if (wrong) {
        return wrong;
    }

    wrong = "it is not a limit";

    return (ncr_limit_parse(limit, &text, &wrong) == NCR_OK) ? NULL : wrong;
}


/* an object as the text that it stands for; buf has twice NCR_LIMIT_TEXT */

const char *
ngx_http_claude_relay_limit_text(cJSON *object, u_char *buf, ncr_str_t *text)
{
    cJSON       *item, *values[6];
    u_char      *p, *c;
    ngx_uint_t   i;

    static const char *const  names[] = {
        "unit", "amount", "window", "models", "reset", "shadow"
    };

    ngx_memzero(values, sizeof(values));

    cJSON_ArrayForEach(item, object) {

        for (i = 0; i < 6; i++) {
            if (ngx_strcmp(names[i], item->string) == 0) {
                break;
            }
        }

        if (i == 6) {
            return "it may have \"unit\", \"amount\", \"window\", "
                   "\"models\", \"reset\" and \"shadow\" only";
        }

        if (values[i]) {
            return "it has the same field twice";
        }

        values[i] = item;

        if (i == 1 || i == 5 || cJSON_IsNull(item)) {
            continue;
        }

        if (!cJSON_IsString(item) || ngx_strlen(item->valuestring) > 63) {
            return "\"unit\", \"window\", \"models\" and \"reset\" are "
                   "short strings";
        }

        /* a text that ends its word would become another option */

        for (c = (u_char *) item->valuestring; *c; c++) {
            if (*c <= ' ' || *c == 0x7f || (i == 0 && *c == ':')) {
                return "it has a blank or a colon where there may be none";
            }
        }
    }

    if (values[0] == NULL || cJSON_IsNull(values[0])) {
        return "it has no \"unit\"";
    }

    if (values[5] && !cJSON_IsNull(values[5]) && !cJSON_IsBool(values[5])) {
        return "\"shadow\" is true or false";
    }

    p = ngx_sprintf(buf, "%s:", values[0]->valuestring);
    p = ngx_http_claude_relay_limit_amount(values[1], p);

    if (p == NULL) {
        return "\"amount\" is a number that is not negative";
    }

    if (values[2] && !cJSON_IsNull(values[2])) {
        p = ngx_sprintf(p, "/%s", values[2]->valuestring);
    }

    if (values[3] && !cJSON_IsNull(values[3]) && *values[3]->valuestring) {
        p = ngx_sprintf(p, " models=%s", values[3]->valuestring);
    }

    if (values[4] && !cJSON_IsNull(values[4])) {
        p = ngx_sprintf(p, " reset=%s", values[4]->valuestring);
    }

    if (cJSON_IsTrue(values[5])) {
        p = ngx_cpymem(p, " shadow", sizeof(" shadow") - 1);
    }

    text->data = buf;
    text->len = p - buf;

    return NULL;
}


/* up to 24 bytes, with decimals only where there are some */

static u_char *
ngx_http_claude_relay_limit_amount(cJSON *amount, u_char *p)
{
    double    n;
    uint64_t  micro;

    n = cJSON_IsNumber(amount) ? amount->valuedouble : -1;

    if (!(n >= 0 && n <= 1e12)) {
        return NULL;
    }

    micro = (uint64_t) (n * 1000000 + 0.5);

    p = ngx_sprintf(p, "%uL", micro / 1000000);

    if (micro % 1000000) {
        p = ngx_sprintf(p, ".%06uL", micro % 1000000);

        while (p[-1] == '0') {
            p--;
        }
    }

    return p;
}
