
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is imported, one by one. */


#include "ngx_http_claude_relay_import.h"
#include "ncr_oauth_text.h"


#define NGX_HTTP_CLAUDE_RELAY_IMPORT_DATA    65536
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_SECRET  512

/* of an access token that is over: it is never sent */
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_OVER    "expired"


static ngx_uint_t ngx_http_claude_relay_import_count(
    ngx_http_claude_relay_import_t *im);
static ngx_int_t ngx_http_claude_relay_import_list(
    ngx_http_claude_relay_import_t *im, ngx_uint_t section, cJSON *list);
static ngx_int_t ngx_http_claude_relay_import_item(
    ngx_http_claude_relay_import_t *im, ngx_uint_t section, cJSON *object);
static ngx_int_t ngx_http_claude_relay_import_named(
    ngx_http_claude_relay_import_t *im, ngx_uint_t section);
static int ngx_libc_cdecl ngx_http_claude_relay_import_order(const void *one,
    const void *two);
static void ngx_http_claude_relay_import_twice(
    ngx_http_claude_relay_import_t *im);
static void ngx_http_claude_relay_import_prepare(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_prepare_object(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_int_t ngx_http_claude_relay_prepare_key(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_int_t ngx_http_claude_relay_prepare_digest(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item,
    cJSON *digest);
static void ngx_http_claude_relay_prepare_account(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_int_t ngx_http_claude_relay_prepare_tokens(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_prepare_person(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_prepare_hook(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_prepare_setting(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_uint_t ngx_http_claude_relay_import_had(cJSON *object,
    const char *what);
static ngx_int_t ngx_http_claude_relay_import_hex(u_char *dst, size_t len,
    const char *text);


/* in the thread for work */

void
ngx_http_claude_relay_import_items(ngx_http_claude_relay_import_t *im)
{
    cJSON                            *section;
    ngx_uint_t                        i, n;
    ngx_http_claude_relay_section_t  *s;

    s = ngx_http_claude_relay_sections;
    n = ngx_http_claude_relay_import_count(im);

    if (im->status) {
        return;
    }

    im->items = ngx_pcalloc(im->call->pool,
                            (n + 1) * sizeof(ngx_http_claude_relay_item_t));
    im->names = ngx_palloc(im->call->pool, (n + 1) * sizeof(void *));

    if (im->items == NULL || im->names == NULL
        || ncr_sha256_create(&im->sha) != NCR_OK)
    {
        im->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        (void) ngx_snprintf(im->error, sizeof(im->error), "no memory%Z");
        return;
    }

    for (i = 0; s[i].name; i++) {

        section = cJSON_GetObjectItemCaseSensitive(im->doc, s[i].name);

        if (section == NULL) {
            continue;
        }

        if (i < NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS
            ? ngx_http_claude_relay_import_list(im, i, section)
            : ngx_http_claude_relay_import_item(im, i, section))
        {
            goto done;
        }
    }

    ngx_http_claude_relay_import_twice(im);

    for (i = 0; i < im->n; i++) {
        if (im->items[i].result == NGX_HTTP_CLAUDE_RELAY_IMPORT_MADE) {
            ngx_http_claude_relay_import_prepare(im, &im->items[i]);
        }
    }

done:

    ncr_sha256_free(&im->sha);
}


/* and every member is one that is known */

static ngx_uint_t
ngx_http_claude_relay_import_count(ngx_http_claude_relay_import_t *im)
{
    cJSON       *item;
    ngx_int_t    size;
    ngx_uint_t   i, n;

    static const char *const  others[] = {
        "format", "version", "created", "sealed", NULL
    };

    n = 0;

    cJSON_ArrayForEach(item, im->doc) {

        for (i = 0; ngx_http_claude_relay_sections[i].name; i++) {
            if (ngx_strcmp(item->string,
                           ngx_http_claude_relay_sections[i].name)
                == 0)
            {
                break;
            }
        }

        if (ngx_http_claude_relay_sections[i].name) {
            size = (i < NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS)
                   ? cJSON_GetArraySize(item) : 1;

            if (size > (i == NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS
                        ? NCR_PORT_ACCOUNTS : NCR_PORT_OBJECTS))
            {
                im->status = NGX_HTTP_BAD_REQUEST;
                (void) ngx_snprintf(im->error, sizeof(im->error),
                                    "there are too many %s%Z",
                                    item->string);
                return 0;
            }

            n += size;
            continue;
        }

        for (i = 0; others[i]; i++) {
            if (ngx_strcmp(item->string, others[i]) == 0) {
                break;
            }
        }

        if (others[i] == NULL) {
            im->status = NGX_HTTP_BAD_REQUEST;
            (void) ngx_snprintf(im->error, sizeof(im->error),
                                "\"%*s\" is no part of such a document%Z",
                                ngx_min(ngx_strlen(item->string), 64),
                                item->string);
            return 0;
        }
    }

    return n;
}


static ngx_int_t
ngx_http_claude_relay_import_list(ngx_http_claude_relay_import_t *im,
    ngx_uint_t section, cJSON *list)
{
    cJSON  *object;

    if (!cJSON_IsArray(list)) {
        im->status = NGX_HTTP_BAD_REQUEST;
        (void) ngx_snprintf(im->error, sizeof(im->error),
                            "\"%s\" is no array%Z", list->string);
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(object, list) {
        if (ngx_http_claude_relay_import_item(im, section, object)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_import_item(ngx_http_claude_relay_import_t *im,
    ngx_uint_t section, cJSON *object)
{
    cJSON                         *name;
    ngx_str_t                      text;
    ngx_http_claude_relay_item_t  *item;

    if (!cJSON_IsObject(object)) {
        return ngx_http_claude_relay_import_named(im, section);
    }

    item = &im->items[im->n];

    item->section = section;
    item->object = object;
    item->result = NGX_HTTP_CLAUDE_RELAY_IMPORT_MADE;

    if (section >= NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS) {
        item->name = "";
        item->settings = object;
        im->names[im->n++] = item;
        return NGX_OK;
    }

    name = cJSON_GetObjectItemCaseSensitive(object, "name");

    text.data = (u_char *) (cJSON_IsString(name) ? name->valuestring : "");
    text.len = ngx_strlen(text.data);

    if (!ngx_http_claude_relay_valid_name(&text)) {
        return ngx_http_claude_relay_import_named(im, section);
    }

    item->name = name->valuestring;
    item->settings = cJSON_GetObjectItemCaseSensitive(object, "settings");
    item->secrets = cJSON_GetObjectItemCaseSensitive(object, "secrets");

    if (!cJSON_IsObject(item->secrets)) {
        item->secrets = NULL;
    }

    im->names[im->n++] = item;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_import_named(ngx_http_claude_relay_import_t *im,
    ngx_uint_t section)
{
    im->status = NGX_HTTP_BAD_REQUEST;

    (void) ngx_snprintf(im->error, sizeof(im->error),
                        "in \"%s\" there is something that is no object with "
                        "a name%Z",
                        ngx_http_claude_relay_sections[section].name);

    return NGX_ERROR;
}


static int ngx_libc_cdecl
ngx_http_claude_relay_import_order(const void *one, const void *two)
{
    int                            order;
    ngx_http_claude_relay_item_t  *a, *b;

    a = *(ngx_http_claude_relay_item_t **) one;
    b = *(ngx_http_claude_relay_item_t **) two;

    order = (a->section > b->section) - (a->section < b->section);

    if (order == 0) {
        order = ngx_strcmp(a->name, b->name);
    }

    return order ? order : (a > b) - (a < b);
}


static void
ngx_http_claude_relay_import_twice(ngx_http_claude_relay_import_t *im)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_item_t  **names;

    names = im->names;

    ngx_qsort(names, im->n, sizeof(void *),
              ngx_http_claude_relay_import_order);

    for (i = 1; i < im->n; i++) {
        if (names[i]->section == names[i - 1]->section
            && ngx_strcmp(names[i]->name, names[i - 1]->name) == 0)
        {
            ngx_http_claude_relay_import_refuse(im, names[i],
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "the document has it twice");
        }
    }
}


/* one that will be there, if it is not now */

ngx_uint_t
ngx_http_claude_relay_import_has(ngx_http_claude_relay_import_t *im,
    ngx_uint_t section, ncr_str_t *name)
{
    int                            order;
    size_t                         len;
    ngx_uint_t                     low, high, mid;
    ngx_http_claude_relay_item_t  *item;

    low = 0;
    high = im->n;

    while (low < high) {
        mid = (low + high) / 2;
        item = im->names[mid];

        order = (item->section > section) - (item->section < section);

        if (order == 0) {
            len = ngx_strlen(item->name);
            order = ngx_memcmp(item->name, name->data,
                               ngx_min(len, name->len));
            order = order ? order : (len > name->len) - (len < name->len);
        }

        if (order == 0) {

            /* the first of equal ones is the one that counts */

            while (mid && im->names[mid - 1]->section == section
                   && ngx_strcmp(im->names[mid - 1]->name, item->name) == 0)
            {
                mid--;
            }

            return im->names[mid]->result
                   != NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED;
        }

        if (order < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return 0;
}


void
ngx_http_claude_relay_import_refuse(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item, ngx_uint_t result, const char *fmt,
    ...)
{
    u_char   *p, words[NGX_HTTP_CLAUDE_RELAY_ERROR];
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(words, words + sizeof(words) - 1, fmt, args);
    va_end(args);

    *p++ = '\0';

    item->result = result;
    item->reason = ngx_pnalloc(im->call->pool, p - words);

    if (item->reason) {
        ngx_memcpy((u_char *) item->reason, words, p - words);
    }
}


void
ngx_http_claude_relay_import_drop(ngx_http_claude_relay_item_t *item)
{
    if (item->row.data) {
        cJSON_free(item->row.data);
    }

    if (item->found) {
        ncr_store_row_free(item->found);
        ngx_free(item->found);
    }

    if (item->secret) {
        ngx_explicit_memzero(item->secret, NCR_KEY_SECRET);
    }

    if (item->tokens) {
        ngx_explicit_memzero(item->tokens, sizeof(ncr_oauth_import_t));
    }

    if (item->person) {
        ngx_explicit_memzero(item->person, sizeof(ncr_store_person_t));
    }
}


static void
ngx_http_claude_relay_import_prepare(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    if (item->settings == NULL) {
        item->settings = cJSON_AddObjectToObject(item->object, "settings");
    }

    if (!cJSON_IsObject(item->settings)) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its \"settings\" are no object");
        return;
    }

    switch (item->section) {

    case NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS:
        ngx_http_claude_relay_prepare_account(im, item);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_PEOPLE:
        ngx_http_claude_relay_prepare_person(im, item);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS:
        ngx_http_claude_relay_prepare_hook(im, item);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS:
    case NGX_HTTP_CLAUDE_RELAY_PORT_PRICES:
        ngx_http_claude_relay_prepare_setting(im, item);
        break;

    default:
        ngx_http_claude_relay_prepare_object(im, item);
        break;
    }
}


/* keys, users, groups, limits */

static void
ngx_http_claude_relay_prepare_object(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    ncr_store_object_t               *row;
    ngx_http_claude_relay_section_t  *s;

    row = &item->row;
    s = &ngx_http_claude_relay_sections[item->section];

    (void) ngx_cpystrn((u_char *) row->kind, (u_char *) s->kind,
                       sizeof(row->kind));
    (void) ngx_cpystrn((u_char *) row->name, (u_char *) item->name,
                       sizeof(row->name));

    if (cJSON_HasObjectItem(item->settings, "activated_at")) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "\"activated_at\" is no setting");
        return;
    }

    if (item->section == NGX_HTTP_CLAUDE_RELAY_PORT_KEYS
        && ngx_http_claude_relay_prepare_key(im, item) != NGX_OK)
    {
        return;
    }

    (void) ngx_http_claude_relay_import_print(im, item);
}


static ngx_int_t
ngx_http_claude_relay_prepare_key(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    size_t       len;
    cJSON       *digest;
    u_char      *p;
    ncr_str_t    text;
    const char  *activated;

    activated = ngx_http_claude_relay_import_text(item->object,
                                                  "activated_at");
    if (activated) {
        text.data = (u_char *) activated;
        text.len = ngx_strlen(activated);

        if (ncr_str_time(&text, &item->row.activated) != NCR_OK
            || item->row.activated < 0)
        {
            ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its \"activated_at\" is no time");
            return NGX_ERROR;
        }
    }

    p = (u_char *) ngx_http_claude_relay_import_text(item->secrets, "secret");

    if (p) {
        for (len = 0; p[len] > ' ' && p[len] < 0x7f; len++) { /* void */ }

        if (p[len] || len < NCR_PASSWORD_MIN
            || len > NGX_HTTP_CLAUDE_RELAY_IMPORT_SECRET)
        {
            ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its secret must have 10 to 512 "
                                        "visible ASCII characters");
            return NGX_ERROR;
        }

        ngx_http_claude_relay_prepare_secret(&im->sha, item, p, len);
        return NGX_OK;
    }

    digest = cJSON_GetObjectItemCaseSensitive(item->object, "digest");

    if (digest == NULL) {
        digest = cJSON_GetObjectItemCaseSensitive(item->secrets, "digest");
    }

    return digest ? ngx_http_claude_relay_prepare_digest(im, item, digest)
                  : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_prepare_digest(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item, cJSON *digest)
{
    const char  *prefix, *p;

    prefix = ngx_http_claude_relay_import_text(item->object, "prefix");

    for (p = prefix; p && *p > ' ' && *p < 0x7f; p++) { /* void */ }

    if (!cJSON_IsString(digest)
        || ngx_http_claude_relay_import_hex(item->row.digest, NCR_SHA256_LEN,
                                            digest->valuestring)
           != NGX_OK
        || (p && (*p || p - prefix >= NCR_STORE_PREFIX)))
    {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its digest must have 64 hex digits, "
                                        "its prefix at most 11 characters");
        return NGX_ERROR;
    }

    item->row.has_digest = 1;

    if (prefix) {
        (void) ngx_cpystrn((u_char *) item->row.prefix, (u_char *) prefix,
                           sizeof(item->row.prefix));
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_prepare_secret(ncr_sha256_t *sha,
    ngx_http_claude_relay_item_t *item, u_char *secret, size_t len)
{
    ncr_sha256_init(sha);
    ncr_sha256_update(sha, secret, len);
    ncr_sha256_final(sha, item->row.digest);

    item->row.has_digest = 1;

    (void) ngx_cpystrn((u_char *) item->row.prefix, secret,
                       ngx_min(NCR_STORE_PREFIX, len / 4 + 1));
}


static void
ngx_http_claude_relay_prepare_account(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    size_t       i;
    cJSON       *pool;
    ncr_str_t    text;
    const char  *value, *limited;

    static const char *const  names[] = { "api_key", "proxy", NULL };

    if (im->pool) {
        cJSON_DeleteItemFromObjectCaseSensitive(item->settings, "pool");
        pool = cJSON_AddStringToObject(item->settings, "pool", im->pool);

        if (pool == NULL) {
            return;
        }
    }

    for (i = 0; names[i]; i++) {
        value = ngx_http_claude_relay_import_text(item->secrets, names[i]);

        text.data = (u_char *) value;
        text.len = value ? ngx_strlen(value) : 0;

        if (value && (!ncr_oauth_visible(&text)
                      || text.len >= (i ? 1025 : NCR_OAUTH_TOKEN)))
        {
            ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its \"%s\" is no string of visible "
                                        "ASCII characters", names[i]);
            return;
        }
    }

    /* without its proxy it would go another way than it was meant to */

    limited = ngx_http_claude_relay_import_text(item->secrets, "proxy");

    if (limited == NULL
        && ngx_http_claude_relay_import_had(item->object, "proxy"))
    {
        ngx_http_claude_relay_import_disable(im, item,
                                 "its proxy is not in the document: it is "
                                 "disabled");
    }

    if (ngx_http_claude_relay_prepare_tokens(im, item) == NGX_OK) {
        (void) ngx_http_claude_relay_import_print(im, item);
    }
}


/* as a file of credentials has them, so that there is one reader */

static ngx_int_t
ngx_http_claude_relay_prepare_tokens(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    char        *printed;
    cJSON       *json, *expires, *meta;
    ncr_str_t    text;
    const char  *access, *refresh, *scopes, *wrong;

    access = ngx_http_claude_relay_import_text(item->secrets, "access_token");
    refresh = ngx_http_claude_relay_import_text(item->secrets,
                                                "refresh_token");

    if (access == NULL && refresh == NULL) {
        return NGX_OK;
    }

    scopes = ngx_http_claude_relay_import_text(item->secrets, "scopes");
    expires = cJSON_GetObjectItemCaseSensitive(item->secrets, "expires");

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "accessToken",
                                   access ? access
                                        : NGX_HTTP_CLAUDE_RELAY_IMPORT_OVER);
    if (refresh) {
        (void) cJSON_AddStringToObject(json, "refreshToken", refresh);
    }

    if (access == NULL) {
        (void) cJSON_AddNumberToObject(json, "expiresAt", 1);

    } else if (expires) {
        (void) cJSON_AddItemReferenceToObject(json, "expiresAt", expires);
    }

    if (scopes) {
        (void) cJSON_AddStringToObject(json, "scopes", scopes);
    }

    printed = cJSON_PrintUnformatted(json);

    ncr_port_forget(json);
    cJSON_Delete(json);

    item->tokens = ngx_pcalloc(im->call->pool, sizeof(ncr_oauth_import_t));

    if (printed == NULL || item->tokens == NULL) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "no memory");
        cJSON_free(printed);
        return NGX_ERROR;
    }

    text.data = (u_char *) printed;
    text.len = ngx_strlen(printed);

    wrong = ncr_oauth_import_as(&text,
                                ngx_http_claude_relay_import_text(item->object,
                                                                  "platform"),
                                item->tokens, ngx_http_claude_relay_now());

    ngx_explicit_memzero(text.data, text.len);
    cJSON_free(printed);

    if (wrong) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its tokens are of no use: %s",
                                        wrong);
        return NGX_ERROR;
    }

    meta = cJSON_GetObjectItemCaseSensitive(item->secrets, "meta");

    if (cJSON_IsObject(meta)
        && !cJSON_PrintPreallocated(meta, item->tokens->meta,
                                    sizeof(item->tokens->meta) - 8, 0))
    {
        item->tokens->meta[0] = '\0';
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_prepare_person(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    ncr_str_t            role;
    const char          *text, *wrong;
    ncr_store_person_t  *p;

    p = ngx_pcalloc(im->call->pool, sizeof(ncr_store_person_t));

    if (p == NULL) {
        return;
    }

    item->person = p;
    wrong = NULL;

    (void) ngx_cpystrn((u_char *) p->name, (u_char *) item->name,
                       sizeof(p->name));

    text = ngx_http_claude_relay_import_text(item->object, "role");
    role.data = (u_char *) (text ? text : "");
    role.len = ngx_strlen(role.data);

    p->role = ncr_role(&role);
    p->enabled = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item->object,
                                                                 "enabled"));
    p->must_change = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                                              item->object, "must_change"))
                     ? 1 : 0;

    if (p->role == NCR_ROLE_NONE) {
        wrong = "its \"role\" is not one of user, viewer, operator, admin";
    }

    text = ngx_http_claude_relay_import_text(item->object, "external");

    if (text && ngx_strlen(text) < sizeof(p->external)) {
        (void) ngx_cpystrn((u_char *) p->external, (u_char *) text,
                           sizeof(p->external));

    } else if (text) {
        wrong = "its \"external\" is too long";
    }

    text = ngx_http_claude_relay_import_text(item->secrets, "password");

    if (text && (ngx_strncmp(text, "scrypt$", 7) != 0
                 || ngx_strlen(text) >= sizeof(p->password)))
    {
        wrong = "its password is no hash of this relay's";

    } else if (text) {
        (void) ngx_cpystrn((u_char *) p->password, (u_char *) text,
                           sizeof(p->password));
    }

    text = ngx_http_claude_relay_import_text(item->secrets, "totp");

    if (text) {
        p->has_totp = 1;

        if (ngx_http_claude_relay_import_hex(p->totp, NCR_TOTP_KEY, text)
            != NGX_OK)
        {
            wrong = "its second factor is no key";
        }

    } else if (ngx_http_claude_relay_import_had(item->object, "totp")
               && p->password[0])
    {
        wrong = "its second factor is not in the document";
    }

    if (wrong) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s", wrong);
    }
}


static void
ngx_http_claude_relay_prepare_hook(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    ncr_str_t          text;
    const char        *kind, *url, *secret;
    ncr_store_hook_t  *h;

    kind = ngx_http_claude_relay_import_text(item->object, "kind");
    url = ngx_http_claude_relay_import_text(item->secrets, "url");
    secret = ngx_http_claude_relay_import_text(item->secrets, "secret");

    text.data = (u_char *) url;
    text.len = url ? ngx_strlen(url) : 0;

    if (kind == NULL || ngx_strlen(kind) >= NCR_STORE_KIND || text.len > 2048
        || !ncr_oauth_visible(&text))
    {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "it has no \"kind\", or no URL: that "
                                        "is a secret, which is exported under "
                                        "a passphrase only");
        return;
    }

    if (ngx_http_claude_relay_import_print(im, item) != NGX_OK) {
        return;
    }

    h = ngx_pcalloc(im->call->pool, sizeof(ncr_store_hook_t));

    if (h == NULL) {
        return;
    }

    item->hook = h;

    (void) ngx_cpystrn((u_char *) h->name, (u_char *) item->name,
                       sizeof(h->name));
    (void) ngx_cpystrn((u_char *) h->kind, (u_char *) kind, sizeof(h->kind));

    h->url = (char *) url;
    h->secret = (char *) (secret ? secret : "");
    h->settings = item->row.data;
    h->enabled = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item->object,
                                                                 "enabled"));
}


static void
ngx_http_claude_relay_prepare_setting(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    u_char                            error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_uint_t                        which;
    ngx_http_claude_relay_setting_t  *setting;

    which = (item->section == NGX_HTTP_CLAUDE_RELAY_PORT_SETTINGS)
            ? NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN
            : NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES;

    (void) ngx_cpystrn((u_char *) item->row.kind,
                       (u_char *) NGX_HTTP_CLAUDE_RELAY_SETTING_KIND,
                       sizeof(item->row.kind));
    (void) ngx_cpystrn((u_char *) item->row.name,
                       (u_char *) ngx_http_claude_relay_setting_name(which),
                       sizeof(item->row.name));

    item->row.data = cJSON_PrintUnformatted(item->settings);

    setting = item->row.data
              ? ngx_http_claude_relay_setting_read(
                            im->call->rmcf->prices_conf, &item->row, error)
              : NULL;

    if (setting == NULL) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s",
                                        item->row.data ? (char *) error
                                                       : "no memory");
        return;
    }

    ngx_http_claude_relay_setting_free(setting);
}


/* settings into row.data; once more if they have changed */

ngx_int_t
ngx_http_claude_relay_import_print(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    if (item->row.data) {
        cJSON_free(item->row.data);
    }

    item->row.data = cJSON_PrintUnformatted(item->settings);

    if (item->row.data
        && ngx_strlen(item->row.data) <= NGX_HTTP_CLAUDE_RELAY_IMPORT_DATA)
    {
        return NGX_OK;
    }

    ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "its settings are larger than 64 KB");
    return NGX_ERROR;
}


void
ngx_http_claude_relay_import_disable(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item, const char *why)
{
    cJSON_DeleteItemFromObjectCaseSensitive(item->settings, "enabled");
    (void) cJSON_AddFalseToObject(item->settings, "enabled");

    item->reason = why;
}


/* NULL: there is none, or an empty one */

const char *
ngx_http_claude_relay_import_text(cJSON *object, const char *name)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(object, name);

    return (cJSON_IsString(item) && item->valuestring[0]) ? item->valuestring
                                                          : NULL;
}


static ngx_uint_t
ngx_http_claude_relay_import_had(cJSON *object, const char *what)
{
    cJSON  *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(object, "has"))
    {
        if (cJSON_IsString(item)
            && ngx_strcmp(item->valuestring, what) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_claude_relay_import_hex(u_char *dst, size_t len, const char *text)
{
    size_t     i;
    ngx_int_t  n;

    if (ngx_strlen(text) != 2 * len) {
        return NGX_ERROR;
    }

    for (i = 0; i < len; i++) {
        n = ngx_hextoi((u_char *) text + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        dst[i] = (u_char) n;
    }

    return NGX_OK;
}
