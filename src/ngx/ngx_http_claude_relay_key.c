
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The blocks of nginx.conf "claude_relay_key name { secret ...; }",
 * "claude_relay_user name { }" and "claude_relay_group name { }".  A block is
 * turned into the JSON object that the API would have taken, after each of
 * its directives, so that one function checks both and an error has its line.
 * Only the SHA-256 of a secret is kept.
 */


#include "ngx_http_claude_relay_books.h"

#include <cjson/cJSON.h>


/* keys shorter or longer than this are refused unread (FEATURES F023) */
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MAX  512

/* ids of nginx.conf's; the store counts its own from one */
#define NGX_HTTP_CLAUDE_RELAY_CONF_ID     ((uint64_t) 1 << 63)


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_FIELD_WORD = 0,
    NGX_HTTP_CLAUDE_RELAY_FIELD_SWITCH,
    NGX_HTTP_CLAUDE_RELAY_FIELD_LIST,       /* may be repeated, as the rest */
    NGX_HTTP_CLAUDE_RELAY_FIELD_RATES,
    NGX_HTTP_CLAUDE_RELAY_FIELD_MAP,
    NGX_HTTP_CLAUDE_RELAY_FIELD_LIMIT,
    NGX_HTTP_CLAUDE_RELAY_FIELD_SECRET
} ngx_http_claude_relay_field_e;


typedef struct {
    const char                        *name;
    const char                        *member;
    ngx_http_claude_relay_field_e      type;
    ngx_uint_t                         key;     /* of keys only */
} ngx_http_claude_relay_key_field_t;


typedef struct {
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_claude_relay_key_t        *key;
    ncr_scope_e                         scope;
    cJSON                              *json;
    ncr_key_build_t                     build;
    u_char                              error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_key_room_t                      room;   /* it ends in an array */
} ngx_http_claude_relay_key_block_t;


static char *ngx_http_claude_relay_key_block(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope);
static char *ngx_http_claude_relay_key_parse(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block);
static char *ngx_http_claude_relay_key_same(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block);
static char *ngx_http_claude_relay_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block);
static char *ngx_http_claude_relay_key_check(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block, ngx_uint_t whole);
static char *ngx_http_claude_relay_key_directive(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_claude_relay_key_add(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block,
    ngx_http_claude_relay_key_field_t *f);
static const char *ngx_http_claude_relay_key_add_list(ngx_conf_t *cf,
    cJSON *list);
static const char *ngx_http_claude_relay_key_add_rates(ngx_conf_t *cf,
    cJSON *rates);
static const char *ngx_http_claude_relay_key_add_slot(ngx_conf_t *cf,
    cJSON *map);
static const char *ngx_http_claude_relay_key_add_limit(ngx_conf_t *cf,
    cJSON *limits);
static cJSON *ngx_http_claude_relay_key_member(cJSON *json, const char *name,
    cJSON *(*create)(void));
static char *ngx_http_claude_relay_key_set_secret(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block);
static char *ngx_http_claude_relay_key_owners(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_key_t *key);
static ngx_uint_t ngx_http_claude_relay_key_account(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_str_t name);
static ngx_uint_t ngx_http_claude_relay_key_missing(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_str_t *name);
static ngx_uint_t ngx_http_claude_relay_pool_missing(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_str_t *name);
static ngx_array_t *ngx_http_claude_relay_key_array(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope);


#define ngx_http_claude_relay_field(name, member, type, key)                  \
    { name, member, NGX_HTTP_CLAUDE_RELAY_FIELD_ ## type, key }


static ngx_http_claude_relay_key_field_t  ngx_http_claude_relay_key_fields[] =
{
    ngx_http_claude_relay_field("secret", NULL, SECRET, 1),
    ngx_http_claude_relay_field("description", "description", WORD, 0),
    ngx_http_claude_relay_field("icon", "icon", WORD, 1),
    ngx_http_claude_relay_field("tags", "tags", LIST, 1),
    ngx_http_claude_relay_field("enabled", "enabled", SWITCH, 0),
    ngx_http_claude_relay_field("user", "user", WORD, 1),
    ngx_http_claude_relay_field("group", "group", WORD, 0),
    ngx_http_claude_relay_field("permissions", "permissions", LIST, 1),
    ngx_http_claude_relay_field("expires", "expires_at", WORD, 1),
    ngx_http_claude_relay_field("valid_for", "valid_for", WORD, 1),
    ngx_http_claude_relay_field("pool", "pool", WORD, 1),
    ngx_http_claude_relay_field("account", "account", WORD, 1),
    ngx_http_claude_relay_field("account_fallback", "account_fallback",
                                SWITCH, 1),
    ngx_http_claude_relay_field("models", "models", LIST, 1),
    ngx_http_claude_relay_field("models_denied", "models_denied", LIST, 1),
    ngx_http_claude_relay_field("clients", "clients", LIST, 1),
    ngx_http_claude_relay_field("addresses", "addresses", LIST, 1),
    ngx_http_claude_relay_field("map", "map", MAP, 1),
    ngx_http_claude_relay_field("rates", "rates", RATES, 1),
    ngx_http_claude_relay_field("limit", "limits", LIMIT, 0),
    { NULL, NULL, NGX_HTTP_CLAUDE_RELAY_FIELD_WORD, 0 }
};


char *
ngx_http_claude_relay_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_claude_relay_key_block(cf, conf, NCR_SCOPE_KEY);
}


char *
ngx_http_claude_relay_user(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_claude_relay_key_block(cf, conf, NCR_SCOPE_USER);
}


char *
ngx_http_claude_relay_group(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_claude_relay_key_block(cf, conf, NCR_SCOPE_GROUP);
}


static char *
ngx_http_claude_relay_key_block(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope)
{
    char                               *rv;
    ngx_str_t                          *value;
    ngx_http_claude_relay_key_t        *key;
    ngx_http_claude_relay_key_block_t  *block;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len >= NCR_KEY_NAME) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s name must have 1 to %d characters",
                           ngx_http_claude_relay_kind(scope),
                           NCR_KEY_NAME - 1);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_claude_relay_key_conf(rmcf, scope, ncr(&value[1]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate %s \"%V\"",
                           ngx_http_claude_relay_kind(scope), &value[1]);
        return NGX_CONF_ERROR;
    }

    key = ngx_array_push(ngx_http_claude_relay_key_array(rmcf, scope));
    block = ngx_palloc(cf->temp_pool,
                       sizeof(ngx_http_claude_relay_key_block_t));

    if (key == NULL || block == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(key, sizeof(ngx_http_claude_relay_key_t));

    key->name = value[1];
    key->file = cf->conf_file->file.name.data;
    key->line = cf->conf_file->line;

    block->rmcf = rmcf;
    block->key = key;
    block->scope = scope;
    block->build.buf = block->room.buf;

    block->json = cJSON_CreateObject();
    if (block->json == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_key_parse(cf, block);

    cJSON_Delete(block->json);

    return rv;
}


static char *
ngx_http_claude_relay_key_parse(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block)
{
    char        *rv;
    ngx_conf_t   save;

    save = *cf;
    cf->handler = ngx_http_claude_relay_key_directive;
    cf->handler_conf = (void *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (block->scope == NCR_SCOPE_KEY) {

        if (!block->key->has_secret) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "no \"secret\" in key \"%V\"",
                               &block->key->name);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_claude_relay_key_same(cf, block) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_claude_relay_key_make(cf, block);
}


static char *
ngx_http_claude_relay_key_same(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block)
{
    ngx_uint_t                    i;
    ngx_http_claude_relay_key_t  *key;

    key = block->rmcf->keys.elts;

    for (i = 0; &key[i] != block->key; i++) {

        if (ncr_hash_equal(key[i].digest, block->key->digest,
                           NCR_SHA256_LEN))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "keys \"%V\" and \"%V\" have the same secret",
                               &key[i].name, &block->key->name);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block)
{
    u_char                        digest[NCR_SHA256_LEN];
    ncr_key_t                    *record;
    const char                   *kind;
    ngx_http_claude_relay_key_t  *key;

    if (ngx_http_claude_relay_key_check(cf, block, 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    key = block->key;
    kind = ngx_http_claude_relay_kind(block->scope);

    record = ngx_palloc(cf->pool, block->build.key->size);
    if (record == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(record, block->build.key, block->build.key->size);

    record->conf = 1;
    ngx_memcpy(record->digest, key->digest, NCR_SHA256_LEN);

    /* the same one for the same name: its counters survive a reload */

    ncr_sha256_init(&block->rmcf->sha);
    ncr_sha256_update(&block->rmcf->sha, kind, ngx_strlen(kind) + 1);
    ncr_sha256_update(&block->rmcf->sha, key->name.data, key->name.len);
    ncr_sha256_final(&block->rmcf->sha, digest);

    ngx_memcpy(&record->id, digest, sizeof(record->id));
    record->id |= NGX_HTTP_CLAUDE_RELAY_CONF_ID;

    key->key = record;

    return NGX_CONF_OK;
}


/* whole: the JSON is kept */

static char *
ngx_http_claude_relay_key_check(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block, ngx_uint_t whole)
{
    char       *json;
    ngx_int_t   rc;
    ngx_str_t   text;

    json = cJSON_PrintUnformatted(block->json);
    if (json == NULL) {
        return NGX_CONF_ERROR;
    }

    text.data = (u_char *) json;
    text.len = ngx_strlen(json);

    rc = ngx_http_claude_relay_key_json(&block->build, block->scope,
                                        &block->key->name, &text,
                                        block->error);

    if (rc == NGX_OK && whole) {
        block->key->settings.len = text.len;
        block->key->settings.data = ngx_pstrdup(cf->pool, &text);
    }

    cJSON_free(json);

    if (rc != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", block->error);
        return NGX_CONF_ERROR;
    }

    return (whole && block->key->settings.data == NULL) ? NGX_CONF_ERROR
                                                        : NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_key_directive(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf)
{
    ngx_http_claude_relay_key_block_t *block = conf;

    ngx_str_t                          *value;
    ngx_uint_t                          n;
    ngx_http_claude_relay_key_field_t  *f;

    value = cf->args->elts;

    for (f = ngx_http_claude_relay_key_fields; f->name; f++) {

        if (!ncr_str_eq(ncr(&value[0]), f->name)
            || (f->key && block->scope != NCR_SCOPE_KEY)
            || (ngx_strcmp(f->name, "group") == 0
                && block->scope == NCR_SCOPE_GROUP))
        {
            continue;
        }

        n = cf->args->nelts;

        if (n < 2
            || (n > 2
                && (f->type == NGX_HTTP_CLAUDE_RELAY_FIELD_WORD
                    || f->type == NGX_HTTP_CLAUDE_RELAY_FIELD_SWITCH
                    || f->type == NGX_HTTP_CLAUDE_RELAY_FIELD_SECRET)))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\"",
                               &value[0]);
            return NGX_CONF_ERROR;
        }

        if (f->type == NGX_HTTP_CLAUDE_RELAY_FIELD_SECRET) {
            return ngx_http_claude_relay_key_set_secret(cf, block);
        }

        if (ngx_http_claude_relay_key_add(cf, block, f) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        return ngx_http_claude_relay_key_check(cf, block, 0);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in %s \"%V\"", &value[0],
                       ngx_http_claude_relay_kind(block->scope),
                       &block->key->name);

    return NGX_CONF_ERROR;
}


/* what a directive says goes into the object; if it is right is seen later */

static char *
ngx_http_claude_relay_key_add(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block,
    ngx_http_claude_relay_key_field_t *f)
{
    cJSON       *json;
    ngx_str_t   *value;
    const char  *wrong;

    value = cf->args->elts;
    json = block->json;
    wrong = NULL;

    switch (f->type) {

    case NGX_HTTP_CLAUDE_RELAY_FIELD_LIST:
        wrong = ngx_http_claude_relay_key_add_list(cf,
                   ngx_http_claude_relay_key_member(json, f->member,
                                                    cJSON_CreateArray));
        break;

    case NGX_HTTP_CLAUDE_RELAY_FIELD_RATES:
        wrong = ngx_http_claude_relay_key_add_rates(cf,
                   ngx_http_claude_relay_key_member(json, f->member,
                                                    cJSON_CreateObject));
        break;

    case NGX_HTTP_CLAUDE_RELAY_FIELD_MAP:
        wrong = ngx_http_claude_relay_key_add_slot(cf,
                   ngx_http_claude_relay_key_member(json, f->member,
                                                    cJSON_CreateObject));
        break;

    case NGX_HTTP_CLAUDE_RELAY_FIELD_LIMIT:
        wrong = ngx_http_claude_relay_key_add_limit(cf,
                   ngx_http_claude_relay_key_member(json, f->member,
                                                    cJSON_CreateArray));
        break;

    case NGX_HTTP_CLAUDE_RELAY_FIELD_SECRET:
        break;

    case NGX_HTTP_CLAUDE_RELAY_FIELD_WORD:
    case NGX_HTTP_CLAUDE_RELAY_FIELD_SWITCH:

        if (cJSON_GetObjectItemCaseSensitive(json, f->member)) {
            wrong = "is duplicate";

        } else if (f->type == NGX_HTTP_CLAUDE_RELAY_FIELD_WORD) {

            if (value[1].len == 0) {
                wrong = "is empty";

            } else if (ngx_strcmp(f->name, "valid_for") == 0) {

                /* the first use is to be remembered for ever */

                wrong = "needs a key of the store, use \"expires\"";

            } else if (cJSON_AddStringToObject(json, f->member,
                                               (char *) value[1].data)
                       == NULL)
            {
                return NGX_CONF_ERROR;
            }

        } else if (!ncr_str_caseeq(ncr(&value[1]), "on")
                   && !ncr_str_caseeq(ncr(&value[1]), "off"))
        {
            wrong = "must be \"on\" or \"off\"";

        } else if (cJSON_AddBoolToObject(json, f->member,
                                      ncr_str_caseeq(ncr(&value[1]), "on"))
                   == NULL)
        {
            return NGX_CONF_ERROR;
        }

        break;
    }

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" in %s \"%V\" %s",
                           &value[0],
                           ngx_http_claude_relay_kind(block->scope),
                           &block->key->name, wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static cJSON *
ngx_http_claude_relay_key_member(cJSON *json, const char *name,
    cJSON *(*create)(void))
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(json, name);

    if (item == NULL) {
        item = create();
        (void) cJSON_AddItemToObject(json, name, item);
    }

    return item;
}


static const char *
ngx_http_claude_relay_key_add_list(ngx_conf_t *cf, cJSON *list)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (!cJSON_AddItemToArray(list,
                               cJSON_CreateString((char *) value[i].data)))
        {
            return "found no memory";
        }
    }

    return NULL;
}


/* platform=1.5 ... */

static const char *
ngx_http_claude_relay_key_add_rates(ngx_conf_t *cf, cJSON *rates)
{
    char        *end;
    double       n;
    u_char      *p;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p == NULL || p[1] < '0' || p[1] > '9') {
            return "takes values such as \"console=1.5\"";
        }

        n = strtod((char *) p + 1, &end);

        if (*end != '\0') {
            return "takes values such as \"console=1.5\"";
        }

        *p = '\0';

        if (cJSON_GetObjectItemCaseSensitive(rates, (char *) value[i].data)) {
            return "has the same platform twice";
        }

        if (cJSON_AddNumberToObject(rates, (char *) value[i].data, n)
            == NULL)
        {
            return "found no memory";
        }
    }

    return NULL;
}


/* opus platform=... model=... effort=... */

static const char *
ngx_http_claude_relay_key_add_slot(ngx_conf_t *cf, cJSON *map)
{
    cJSON       *slot;
    u_char      *p;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (cf->args->nelts < 3) {
        return "takes a model and what it is mapped to";
    }

    if (cJSON_GetObjectItemCaseSensitive(map, (char *) value[1].data)) {
        return "has the same model twice";
    }

    slot = cJSON_AddObjectToObject(map, (char *) value[1].data);

    for (i = 2; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p == NULL) {
            return "takes \"platform=\", \"model=\" and \"effort=\"";
        }

        *p++ = '\0';

        if (cJSON_GetObjectItemCaseSensitive(slot, (char *) value[i].data)) {
            return "has the same field twice";
        }

        if (cJSON_AddStringToObject(slot, (char *) value[i].data, (char *) p)
            == NULL)
        {
            return "found no memory";
        }
    }

    return NULL;
}


/* the words of one limit */

static const char *
ngx_http_claude_relay_key_add_limit(ngx_conf_t *cf, cJSON *limits)
{
    size_t       len;
    u_char      *p, *text;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    len = 0;

    for (i = 1; i < cf->args->nelts; i++) {
        len += value[i].len + 1;
    }

    text = ngx_pnalloc(cf->temp_pool, len);
    if (text == NULL) {
        return "found no memory";
    }

    p = text;

    for (i = 1; i < cf->args->nelts; i++) {
        p = ngx_cpymem(p, value[i].data, value[i].len);
        *p++ = ' ';
    }

    p[-1] = '\0';

    return cJSON_AddItemToArray(limits, cJSON_CreateString((char *) text))
           ? NULL : "found no memory";
}


static char *
ngx_http_claude_relay_key_set_secret(ngx_conf_t *cf,
    ngx_http_claude_relay_key_block_t *block)
{
    char                               *rv;
    ngx_str_t                          *value, secret;
    ngx_http_claude_relay_key_t        *key;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    key = block->key;
    rmcf = block->rmcf;
    value = cf->args->elts;

    if (key->has_secret) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"secret\" in key \"%V\" is duplicate",
                           &key->name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_secret(cf, &value[1], &secret);

    if (rv != NGX_CONF_OK) {
        if (rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "key \"%V\" %s",
                               &key->name, rv);
        }

        return NGX_CONF_ERROR;
    }

    if (secret.len < NGX_HTTP_CLAUDE_RELAY_SECRET_MIN
        || secret.len > NGX_HTTP_CLAUDE_RELAY_SECRET_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the secret of key \"%V\" must have %d to %d "
                           "characters", &key->name,
                           NGX_HTTP_CLAUDE_RELAY_SECRET_MIN,
                           NGX_HTTP_CLAUDE_RELAY_SECRET_MAX);
        return NGX_CONF_ERROR;
    }

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, secret.data, secret.len);
    ncr_sha256_final(&rmcf->sha, key->digest);

    ngx_explicit_memzero(secret.data, secret.len);

    key->has_secret = 1;

    return NGX_CONF_OK;
}


/* after parsing, and with a roster: what they name is looked up */

char *
ngx_http_claude_relay_keys_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    uint32_t                       hash;
    ngx_uint_t                     i, n;
    ngx_http_claude_relay_key_t   *key, **bucket;

    for (n = 1; n < rmcf->keys.nelts * 2; n *= 2) { /* void */ }

    rmcf->key_mask = n - 1;
    rmcf->key_hash = ngx_pcalloc(cf->pool, n * sizeof(void *));

    if (rmcf->key_hash == NULL) {
        return NGX_CONF_ERROR;
    }

    key = rmcf->keys.elts;

    for (i = 0; i < rmcf->keys.nelts; i++) {

        /* a digest's bytes spread well enough */

        ngx_memcpy(&hash, key[i].digest, sizeof(hash));

        bucket = &rmcf->key_hash[hash & rmcf->key_mask];

        key[i].next = *bucket;
        *bucket = &key[i];

        if (ngx_http_claude_relay_key_owners(cf, rmcf, &key[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    key = rmcf->users.elts;

    for (i = 0; i < rmcf->users.nelts; i++) {
        if (ngx_http_claude_relay_key_owners(cf, rmcf, &key[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* with a store, what is not there yet may come */

static char *
ngx_http_claude_relay_key_owners(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_key_t *key)
{
    ncr_str_t    user, group, pool, account, *name;
    const char  *what;

    if (rmcf->store) {
        return NGX_CONF_OK;
    }

    user = ncr_key_text(key->key, key->key->user);
    group = ncr_key_text(key->key, key->key->group);
    pool = ncr_key_text(key->key, key->key->pool);
    account = ncr_key_text(key->key, key->key->account);

    if (ngx_http_claude_relay_key_missing(rmcf, NCR_SCOPE_USER, &user)) {
        what = "user";
        name = &user;

    } else if (ngx_http_claude_relay_key_missing(rmcf, NCR_SCOPE_GROUP,
                                                 &group))
    {
        what = "group";
        name = &group;

    } else if (ngx_http_claude_relay_pool_missing(rmcf, &pool)) {
        what = "pool";
        name = &pool;

    } else if (account.len
               && !ngx_http_claude_relay_key_account(rmcf, account))
    {
        what = "account";
        name = &account;

    } else {
        return NGX_CONF_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "%s \"%V\" of %s \"%V\" is not defined in %s:%ui", what,
                  (ngx_str_t *) name,
                  ngx_http_claude_relay_kind((ncr_scope_e) key->key->scope),
                  &key->name, key->file, key->line);

    return NGX_CONF_ERROR;
}


/* an account, or a group that has some */

static ngx_uint_t
ngx_http_claude_relay_key_account(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_str_t name)
{
    if (!ncr_str_prefix(&name, NGX_HTTP_CLAUDE_RELAY_GROUP)) {
        return ngx_http_claude_relay_roster_find(rmcf->roster,
                                                 (ngx_str_t *) &name)
               != NULL;
    }

    name.data += sizeof(NGX_HTTP_CLAUDE_RELAY_GROUP) - 1;
    name.len -= sizeof(NGX_HTTP_CLAUDE_RELAY_GROUP) - 1;

    return ngx_http_claude_relay_roster_group(rmcf->roster,
                                              (ngx_str_t *) &name)
           != NULL;
}


static ngx_uint_t
ngx_http_claude_relay_key_missing(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope, ncr_str_t *name)
{
    return name->len
           && ngx_http_claude_relay_key_conf(rmcf, scope, name) == NULL;
}


static ngx_uint_t
ngx_http_claude_relay_pool_missing(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *pool;

    if (name->len == 0) {
        return 0;
    }

    pool = rmcf->roster->pools.elts;

    for (i = 0; i < rmcf->roster->pools.nelts; i++) {
        if (pool[i].name.len == name->len
            && ngx_memcmp(pool[i].name.data, name->data, name->len) == 0)
        {
            return 0;
        }
    }

    return 1;
}


ngx_http_claude_relay_key_t *
ngx_http_claude_relay_key_conf(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope, ncr_str_t *name)
{
    ngx_uint_t                    i;
    ngx_array_t                  *keys;
    ngx_http_claude_relay_key_t  *key;

    keys = ngx_http_claude_relay_key_array(rmcf, scope);
    key = keys->elts;

    for (i = 0; i < keys->nelts; i++) {
        if (key[i].name.len == name->len
            && ngx_memcmp(key[i].name.data, name->data, name->len) == 0)
        {
            return &key[i];
        }
    }

    return NULL;
}


/* which of them came close must not be told by the time: all of a digest is
 * compared */

ngx_http_claude_relay_key_t *
ngx_http_claude_relay_key_conf_digest(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *digest)
{
    uint32_t                      hash;
    ngx_http_claude_relay_key_t  *key;

    ngx_memcpy(&hash, digest, sizeof(hash));

    for (key = rmcf->key_hash[hash & rmcf->key_mask]; key; key = key->next) {
        if (ncr_hash_equal(key->digest, digest, NCR_SHA256_LEN)) {
            return key;
        }
    }

    return NULL;
}


static ngx_array_t *
ngx_http_claude_relay_key_array(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope)
{
    switch (scope) {

    case NCR_SCOPE_USER:
        return &rmcf->users;

    case NCR_SCOPE_GROUP:
        return &rmcf->groups;

    case NCR_SCOPE_KEY:
    case NCR_SCOPE_ACCOUNT:
    case NCR_SCOPE_MODEL:
    default:
        return &rmcf->keys;
    }
}
