
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is imported, against what is there. */


#include "ngx_http_claude_relay_import.h"
#include "ngx_http_claude_relay_alerts.h"


static ncr_int_t ngx_http_claude_relay_look_account(ncr_store_t *store,
    ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_check_hook(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_check_account(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static void ngx_http_claude_relay_check_object(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_int_t ngx_http_claude_relay_check_secret(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
static ngx_int_t ngx_http_claude_relay_check_owner(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item,
    ngx_uint_t section, ncr_str_t *name);
static ncr_int_t ngx_http_claude_relay_write_account(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item,
    uint64_t *version);


/* in the store's thread: what is there */

ncr_int_t
ngx_http_claude_relay_import_look(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item)
{
    ncr_int_t           rc;
    ncr_store_hook_t    hook;
    ncr_store_object_t  row;
    ncr_store_person_t  person;

    if (item->result == NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED) {
        return NCR_OK;
    }

    switch (item->section) {

    case NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS:
        return ngx_http_claude_relay_look_account(store, item);

    case NGX_HTTP_CLAUDE_RELAY_PORT_PEOPLE:
        rc = ncr_store_person_find(store, item->name, &person);

        item->exists = (rc == NCR_OK);
        item->version = item->exists ? person.version : 0;

        ngx_explicit_memzero(&person, sizeof(person));
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS:
        rc = ncr_store_hook_find(store, item->name, &hook);

        if (rc == NCR_OK) {
            item->exists = 1;
            item->version = hook.version;
            ncr_store_hook_free(&hook);
        }

        break;

    default:
        rc = ncr_store_object_find(store, item->row.kind, item->row.name,
                                   &row);

        if (rc == NCR_OK && !row.removed) {
            item->exists = 1;
            item->version = row.version;
        }

        ncr_store_object_free(&row);
        break;
    }

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


static ncr_int_t
ngx_http_claude_relay_look_account(ncr_store_t *store,
    ngx_http_claude_relay_item_t *item)
{
    ncr_int_t             rc;
    ncr_store_account_t  *row;

    row = ngx_calloc(sizeof(ncr_store_account_t), ngx_cycle->log);

    if (row == NULL) {
        return NCR_ERROR;
    }

    rc = ncr_store_find(store, item->name, row);

    if (rc == NCR_OK) {
        item->exists = 1;
        item->version = row->version;
        item->found = row;
        return NCR_OK;
    }

    ngx_free(row);

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


/* in the loop */

void
ngx_http_claude_relay_import_check(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    ngx_str_t                         name;
    ngx_uint_t                        conf;
    ngx_http_claude_relay_account_t  *a;
    ngx_http_claude_relay_section_t  *s;

    if (item->result == NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED) {
        return;
    }

    s = &ngx_http_claude_relay_sections[item->section];
    conf = 0;

    name.data = (u_char *) item->name;
    name.len = ngx_strlen(item->name);

    if (item->section == NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS) {
        a = ngx_http_claude_relay_roster_find(im->call->roster, &name);
        conf = (a && a->own == NULL);

    } else if (item->section == NGX_HTTP_CLAUDE_RELAY_PORT_KEYS
               || item->section == NGX_HTTP_CLAUDE_RELAY_PORT_USERS
               || item->section == NGX_HTTP_CLAUDE_RELAY_PORT_GROUPS)
    {
        conf = (ngx_http_claude_relay_key_conf(im->call->rmcf, s->scope,
                                               ncr(&name))
                != NULL);
    }

    if (conf) {
        item->exists = 1;
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "it is one of nginx.conf");
        return;
    }

    if (item->exists && !im->replace) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_SKIPPED,
                                        "it is there already");
        return;
    }

    item->result = item->exists ? NGX_HTTP_CLAUDE_RELAY_IMPORT_REPLACED
                                : NGX_HTTP_CLAUDE_RELAY_IMPORT_MADE;

    switch (item->section) {

    case NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS:
        ngx_http_claude_relay_check_account(im, item);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_GROUPS:
    case NGX_HTTP_CLAUDE_RELAY_PORT_USERS:
    case NGX_HTTP_CLAUDE_RELAY_PORT_LIMITS:
    case NGX_HTTP_CLAUDE_RELAY_PORT_KEYS:
        ngx_http_claude_relay_check_object(im, item);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS:
        ngx_http_claude_relay_check_hook(im, item);
        break;

    default:
        break;
    }
}


static void
ngx_http_claude_relay_check_hook(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    u_char                         error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_str_t                      kind;
    const char                    *wrong;
    ngx_http_claude_relay_hook_t   hook;

    ngx_memzero(&hook, sizeof(ngx_http_claude_relay_hook_t));

    hook.row = *item->hook;

    kind.data = (u_char *) item->hook->kind;
    kind.len = ngx_strlen(kind.data);

    wrong = (ncr_notify_kind(&kind) == NCR_NOTIFY_KINDS)
            ? "its \"kind\" is not known here"
            : ngx_http_claude_relay_hook_settings(&hook, item->settings);

    if (wrong == NULL
        && ngx_http_claude_relay_hook_check(im->call->rmcf, &hook, error)
           != NGX_OK)
    {
        wrong = (char *) error;
    }

    if (wrong) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s", wrong);
    }
}


/* what the document does not have of it stays as it is */

static void
ngx_http_claude_relay_check_account(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    u_char                         error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    cJSON                         *settings, *platform;
    ngx_int_t                      rc;
    ngx_str_t                      name;
    const char                    *key, *proxy;
    ngx_uint_t                     same;
    ngx_http_claude_relay_call_t  *call;

    call = im->call;

    if (item->found) {
        settings = cJSON_Parse(item->found->settings);
        platform = cJSON_GetObjectItemCaseSensitive(settings, "platform");

        same = cJSON_Compare(platform,
                             cJSON_GetObjectItemCaseSensitive(item->settings,
                                                              "platform"), 1);
        cJSON_Delete(settings);

        if (!same) {
            ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "there is one of another platform");
            return;
        }
    }

    key = ngx_http_claude_relay_import_text(item->secrets, "api_key");
    proxy = ngx_http_claude_relay_import_text(item->secrets, "proxy");

    if (item->found) {
        key = key ? key : item->found->secret;
        proxy = proxy ? proxy : item->found->proxy;
    }

    ngx_memzero(&call->row, sizeof(ncr_store_account_t));

    (void) ngx_cpystrn((u_char *) call->row.name, (u_char *) item->name,
                       sizeof(call->row.name));

    call->row.settings = item->row.data;
    call->row.secret = (char *) (key ? key : "");
    call->row.proxy = (char *) (proxy ? proxy : "");
    call->row.scopes = "";
    call->row.meta = "";
    call->with_tokens = (item->tokens != NULL);

    /* where it goes already it may go on to */

    name.data = (u_char *) item->name;
    name.len = ngx_strlen(item->name);

    call->account = ngx_http_claude_relay_roster_find(call->roster, &name);

    rc = ngx_http_claude_relay_call_check(call, error);

    call->account = NULL;

    if (rc != NGX_OK) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s", error);
        return;
    }

    if (call->trial->token && item->tokens == NULL && item->found == NULL
        && item->reason == NULL)
    {
        item->reason = "it needs a login: its tokens are not in the document";
    }
}


static void
ngx_http_claude_relay_check_object(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    u_char                            error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_str_t                         user, group;
    ngx_str_t                         name, text;
    ncr_key_room_t                    room;
    ncr_key_build_t                   build;
    ngx_http_claude_relay_section_t  *s;

    s = &ngx_http_claude_relay_sections[item->section];

    if (item->section == NGX_HTTP_CLAUDE_RELAY_PORT_KEYS
        && ngx_http_claude_relay_check_secret(im, item) != NGX_OK)
    {
        return;
    }

    name.data = (u_char *) item->name;
    name.len = ngx_strlen(item->name);
    text.data = (u_char *) item->row.data;
    text.len = ngx_strlen(item->row.data);

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_json(&build, s->scope, &name, &text, error)
        != NGX_OK)
    {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s", error);
        return;
    }

    user = ncr_key_text(build.key, build.key->user);
    group = ncr_key_text(build.key, build.key->group);

    if (ngx_http_claude_relay_check_owner(im, item,
                                     NGX_HTTP_CLAUDE_RELAY_PORT_USERS, &user)
        == NGX_OK)
    {
        (void) ngx_http_claude_relay_check_owner(im, item,
                                   NGX_HTTP_CLAUDE_RELAY_PORT_GROUPS, &group);
    }
}


/*
 * A key that comes without its secret, or a digest that is of use here, gets
 * one that nobody knows but who reads the report, if that was asked for.
 */

static ngx_int_t
ngx_http_claude_relay_check_secret(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item)
{
    u_char  bytes[(NCR_KEY_SECRET - 3) / 2], *p;

    if (item->row.has_digest) {

        if (ngx_http_claude_relay_key_conf_digest(im->call->rmcf,
                                                  item->row.digest))
        {
            ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "a key of nginx.conf has its secret");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (item->exists) {
        return NGX_OK;
    }

    item->secret = ngx_pnalloc(im->call->pool, NCR_KEY_SECRET + 1);

    if (item->secret == NULL || RAND_bytes(bytes, sizeof(bytes)) != 1) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "no random numbers");
        return NGX_ERROR;
    }

    p = ngx_cpymem((u_char *) item->secret, "cr_", 3);
    ncr_hash_hex(p, bytes, sizeof(bytes));
    item->secret[NCR_KEY_SECRET] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    ngx_http_claude_relay_prepare_secret(&im->call->rmcf->sha, item,
                                         (u_char *) item->secret,
                                         NCR_KEY_SECRET);

    if (im->fresh) {
        item->reason = "its secret cannot be taken over: it has a new one";
        return NGX_OK;
    }

    ngx_http_claude_relay_import_disable(im, item,
                                 "its secret cannot be taken over: it is "
                                 "disabled until it is given a new one");

    return ngx_http_claude_relay_import_print(im, item);
}


static ngx_int_t
ngx_http_claude_relay_check_owner(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item, ngx_uint_t section, ncr_str_t *name)
{
    ncr_key_t                          *found;
    ngx_http_claude_relay_section_t    *s;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    s = &ngx_http_claude_relay_sections[section];
    rmcf = im->call->rmcf;

    if (name->len == 0
        || ngx_http_claude_relay_import_has(im, section, name)
        || ngx_http_claude_relay_key_conf(rmcf, s->scope, name))
    {
        return NGX_OK;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    found = ngx_http_claude_relay_subject_by_name_locked(rmcf, s->scope,
                                                         name);
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (found) {
        return NGX_OK;
    }

    ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "there is no %s \"%V\"", s->kind,
                                        (ngx_str_t *) name);
    return NGX_ERROR;
}


/* in the store's thread, in a batch: what is refused is told, and no more */

ncr_int_t
ngx_http_claude_relay_import_write(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item)
{
    uint64_t    version;
    ncr_int_t   rc;
    ncr_msec_t  now;

    version = item->exists ? item->version : 0;
    now = im->call->now;

    switch (item->section) {

    case NGX_HTTP_CLAUDE_RELAY_PORT_ACCOUNTS:
        rc = ngx_http_claude_relay_write_account(store, im, item, &version);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_PEOPLE:
        rc = ncr_store_person_put(store, item->person, &version, NULL, now);
        break;

    case NGX_HTTP_CLAUDE_RELAY_PORT_HOOKS:
        rc = ncr_store_hook_put(store, item->hook, &version, now);
        break;

    default:
        rc = ncr_store_object_put(store, &item->row, &version, now);

        if (rc == NCR_OK) {
            im->objects = ngx_max(im->objects, item->row.seq);
        }

        break;
    }

    if (rc == NCR_DECLINED) {
        ngx_http_claude_relay_import_refuse(im, item,
                                        NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
                                        "%s", ncr_store_error(store));
        return NCR_OK;
    }

    return rc;
}


static ncr_int_t
ngx_http_claude_relay_write_account(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item,
    uint64_t *version)
{
    ncr_int_t             rc;
    ncr_store_account_t   row;

    ngx_memzero(&row, sizeof(ncr_store_account_t));

    (void) ngx_cpystrn((u_char *) row.name, (u_char *) item->name,
                       sizeof(row.name));

    row.settings = item->row.data;
    row.secret = (char *) ngx_http_claude_relay_import_text(item->secrets,
                                                            "api_key");
    row.proxy = (char *) ngx_http_claude_relay_import_text(item->secrets,
                                                           "proxy");

    if (item->found == NULL) {
        row.secret = row.secret ? row.secret : "";
        row.proxy = row.proxy ? row.proxy : "";
    }

    rc = ncr_store_put(store, &row, version, im->call->now);

    if (rc == NCR_OK && item->tokens) {
        row.access = item->tokens->access;
        row.refresh = item->tokens->refresh;
        row.expires = item->tokens->expires;
        row.scopes = item->tokens->scope;
        row.meta = item->tokens->meta;

        rc = ncr_store_tokens(store, &row, UINT64_MAX, im->call->now);
    }

    if (rc == NCR_OK) {
        im->accounts = ngx_max(im->accounts, row.seq);
    }

    return rc;
}
