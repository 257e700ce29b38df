
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Changes of keys, users, groups and limits.  What one would be is made a
 * record first, as all workers will do it; only what can be used is stored.
 * A secret is in one answer, and nowhere else.
 */


#include "ngx_http_claude_relay_api_keys.h"


/* writers that meet: this often one reads again what the other has written */
#define NGX_HTTP_CLAUDE_RELAY_MEETINGS    100

/* of an own secret (FEATURES F023) */
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MIN  10
#define NGX_HTTP_CLAUDE_RELAY_SECRET_MAX  512


typedef struct {
    ngx_http_claude_relay_object_call_t  *oc;
    const char                           *member;
    ngx_str_t                             name;
} ngx_http_claude_relay_owned_t;


static void ngx_http_claude_relay_object_call_free(void *data);
static ngx_int_t ngx_http_claude_relay_object_settings(
    ngx_http_claude_relay_call_t *call, cJSON *settings);
static ngx_int_t ngx_http_claude_relay_object_try(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_object_owners(
    ngx_http_claude_relay_call_t *call, ncr_key_t *key);
static ngx_int_t ngx_http_claude_relay_object_owner(
    ngx_http_claude_relay_call_t *call, ncr_scope_e scope, ncr_str_t *name);
static ngx_int_t ngx_http_claude_relay_object_secret(
    ngx_http_claude_relay_call_t *call, cJSON *value);
static ngx_int_t ngx_http_claude_relay_object_digest(
    ngx_http_claude_relay_call_t *call, u_char *secret, size_t len);
static ngx_int_t ngx_http_claude_relay_object_random(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_object_created(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_object_of_store(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_object_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_find(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_object_patch_found(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_object_merge(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_regenerate_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_activate_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_object_patched(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_changed(
    ngx_http_claude_relay_call_t *call, const char *what);
static void ngx_http_claude_relay_object_answer(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_object_owned(void *data,
    ncr_store_object_t *row);
static size_t ngx_http_claude_relay_object_owned_conf(
    ngx_http_claude_relay_call_t *call, ncr_scope_e scope);
static void ngx_http_claude_relay_object_removed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_object_through(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_object_empty(
    ngx_http_claude_relay_call_t *call);


static ngx_http_claude_relay_kind_t  ngx_http_claude_relay_call_kinds[] = {
    { "keys", "key", NCR_SCOPE_KEY },
    { "users", "user", NCR_SCOPE_USER },
    { "groups", "group", NCR_SCOPE_GROUP },
    { "limits", "limit", NCR_SCOPE_MODEL },
    { "tags", "key", NCR_SCOPE_KEY },
    { "cards", "card", NCR_SCOPE_MODEL },
    { NULL, NULL, NCR_SCOPE_KEY }
};


ngx_array_t *
ngx_http_claude_relay_kind_conf(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_scope_e scope)
{
    static ngx_array_t  none;

    switch (scope) {

    case NCR_SCOPE_KEY:
        return &rmcf->keys;

    case NCR_SCOPE_USER:
        return &rmcf->users;

    case NCR_SCOPE_GROUP:
        return &rmcf->groups;

    default:
        return &none;
    }
}


ngx_http_claude_relay_key_t *
ngx_http_claude_relay_object_conf(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    /* limits of models have no names there */

    return (oc->kind->scope == NCR_SCOPE_MODEL)
           ? NULL
           : ngx_http_claude_relay_key_conf(call->rmcf, oc->kind->scope,
                                            ncr(&call->name));
}


ngx_http_claude_relay_object_call_t *
ngx_http_claude_relay_call_object(ngx_http_claude_relay_call_t *call)
{
    size_t                                len;
    const char                           *path;
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_kind_t         *kind;
    ngx_http_claude_relay_object_call_t  *oc;

    path = call->way->path + sizeof("/v1/") - 1;

    for (kind = ngx_http_claude_relay_call_kinds; kind->path; kind++) {
        len = ngx_strlen(kind->path);

        if (ngx_strncmp(path, kind->path, len) == 0
            && (path[len] == '/' || path[len] == '\0'))
        {
            break;
        }
    }

    oc = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_object_call_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (oc == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_object_call_free;
    cln->data = oc;

    oc->kind = kind;
    call->data = oc;
    call->objects = 1;

    (void) ngx_cpystrn((u_char *) oc->row.kind, (u_char *) kind->name,
                       sizeof(oc->row.kind));

    /* longer ones are not looked for */

    (void) ngx_cpystrn((u_char *) oc->row.name, call->name.data,
                       sizeof(oc->row.name));

    return oc;
}


static void
ngx_http_claude_relay_object_call_free(void *data)
{
    ngx_http_claude_relay_object_call_t *oc = data;

    ngx_explicit_memzero(oc->secret, sizeof(oc->secret));

    ncr_store_object_free(&oc->found);
}


void
ngx_http_claude_relay_object_gone(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                     "there is no %s \"%V\"", oc->kind->name,
                                     &call->name);
}


void
ngx_http_claude_relay_api_object_create(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *name, *secret;
    ngx_int_t                             rc;
    ngx_str_t                             s;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return;
    }

    if (oc->kind->scope == NCR_SCOPE_KEY
        && ngx_http_claude_relay_key_changer(call) != NGX_OK)
    {
        return;
    }

    name = cJSON_DetachItemFromObjectCaseSensitive(call->body, "name");

    s.data = (u_char *) (cJSON_IsString(name) ? name->valuestring : "");
    s.len = ngx_strlen(s.data);

    rc = ngx_http_claude_relay_call_name(call, &s);

    cJSON_Delete(name);

    if (rc != NGX_OK) {
        return;
    }

    if (!ngx_http_claude_relay_valid_name(&call->name)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return;
    }

    (void) ngx_cpystrn((u_char *) oc->row.name, call->name.data,
                       sizeof(oc->row.name));

    if (ngx_http_claude_relay_object_conf(call))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is a %s \"%V\" already",
                                         oc->kind->name, &call->name);
        return;
    }

    if (call->caller.role == NCR_ROLE_USER
        && ngx_http_claude_relay_object_own_members(call, 1) != NGX_OK)
    {
        return;
    }

    if (oc->kind->scope == NCR_SCOPE_KEY) {

        secret = cJSON_DetachItemFromObjectCaseSensitive(call->body,
                                                         "secret");

        rc = ngx_http_claude_relay_object_secret(call, secret);

        if (cJSON_IsString(secret)) {
            ngx_explicit_memzero(secret->valuestring,
                                 ngx_strlen(secret->valuestring));
        }

        cJSON_Delete(secret);

        if (rc != NGX_OK) {
            return;
        }
    }

    if (ngx_http_claude_relay_object_settings(call, call->body) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_create_run,
                                    ngx_http_claude_relay_object_created);
}


/* into row, if a record can be made of it; null is as if it was not there */

static ngx_int_t
ngx_http_claude_relay_object_settings(ngx_http_claude_relay_call_t *call,
    cJSON *settings)
{
    cJSON                                *item, *next;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    for (item = settings->child; item; item = next) {
        next = item->next;

        if (ngx_strcmp(item->string, "activated_at") == 0
            || ngx_strcmp(item->string, "deleted_at") == 0
            || ngx_strcmp(item->string, "deleted_by") == 0)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                       "\"%s\" is not for others to set",
                                       item->string);
            return NGX_ERROR;
        }

        if (cJSON_IsNull(item)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(settings, item));
        }
    }

    oc->row.data = ngx_http_claude_relay_call_print(call, settings);

    if (oc->row.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_object_try(call);
}


static ngx_int_t
ngx_http_claude_relay_object_try(ngx_http_claude_relay_call_t *call)
{
    u_char                                error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_str_t                             text;
    ncr_key_room_t                        room;
    ncr_key_build_t                       build;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    text.data = (u_char *) oc->row.data;
    text.len = ngx_strlen(text.data);

    if (text.len > NGX_HTTP_CLAUDE_RELAY_OBJECT_MAX) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s \"%V\" is larger than %d bytes",
                                         oc->kind->name, &call->name,
                                         NGX_HTTP_CLAUDE_RELAY_OBJECT_MAX);
        return NGX_ERROR;
    }

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_json(&build, oc->kind->scope, &call->name,
                                       &text, error)
        != NGX_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "%s", error);
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_object_owners(call, build.key);
}


/* a name that leads nowhere would refuse all that the key is used for */

static ngx_int_t
ngx_http_claude_relay_object_owners(ngx_http_claude_relay_call_t *call,
    ncr_key_t *key)
{
    ncr_str_t  user, group;

    user = ncr_key_text(key, key->user);
    group = ncr_key_text(key, key->group);

    if (ngx_http_claude_relay_object_owner(call, NCR_SCOPE_USER, &user)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_object_owner(call, NCR_SCOPE_GROUP, &group);
}


static ngx_int_t
ngx_http_claude_relay_object_owner(ngx_http_claude_relay_call_t *call,
    ncr_scope_e scope, ncr_str_t *name)
{
    ncr_key_t  *found;

    if (name->len == 0
        || ngx_http_claude_relay_key_conf(call->rmcf, scope, name))
    {
        return NGX_OK;
    }

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);
    found = ngx_http_claude_relay_subject_by_name_locked(call->rmcf, scope,
                                                         name);
    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    if (found) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "there is no %s \"%V\"",
                                     ngx_http_claude_relay_kind(scope),
                                     (ngx_str_t *) name);
    return NGX_ERROR;
}


/* one of the operator's, or a new one */

static ngx_int_t
ngx_http_claude_relay_object_secret(ngx_http_claude_relay_call_t *call,
    cJSON *value)
{
    size_t   len;
    u_char  *p;

    if (value == NULL || cJSON_IsNull(value)) {
        return ngx_http_claude_relay_object_random(call);
    }

    p = (u_char *) (cJSON_IsString(value) ? value->valuestring : "");

    for (len = 0; p[len] > ' ' && p[len] < 0x7f; len++) { /* void */ }

    if (p[len] || len < NGX_HTTP_CLAUDE_RELAY_SECRET_MIN
        || len > NGX_HTTP_CLAUDE_RELAY_SECRET_MAX)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"secret\" must have %d to %d "
                                         "visible ASCII characters",
                                         NGX_HTTP_CLAUDE_RELAY_SECRET_MIN,
                                         NGX_HTTP_CLAUDE_RELAY_SECRET_MAX);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_object_digest(call, p, len) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is a key with this secret");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_object_random(ngx_http_claude_relay_call_t *call)
{
    u_char                               *p;
    u_char                                bytes[(NCR_KEY_SECRET - 3) / 2];
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return NGX_ERROR;
    }

    p = ngx_cpymem(oc->secret, "cr_", 3);
    ncr_hash_hex(p, bytes, sizeof(bytes));
    oc->secret[NCR_KEY_SECRET] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    return ngx_http_claude_relay_object_digest(call, oc->secret,
                                               NCR_KEY_SECRET);
}


/* a quarter of a secret is shown at most; NGX_DECLINED: nginx.conf has it */

static ngx_int_t
ngx_http_claude_relay_object_digest(ngx_http_claude_relay_call_t *call,
    u_char *secret, size_t len)
{
    ncr_sha256_t                         *sha;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;
    sha = &call->rmcf->sha;

    ncr_sha256_init(sha);
    ncr_sha256_update(sha, secret, len);
    ncr_sha256_final(sha, oc->row.digest);

    oc->row.has_digest = 1;

    (void) ngx_cpystrn((u_char *) oc->row.prefix, secret,
                       ngx_min(NCR_STORE_PREFIX, len / 4 + 1));

    return ngx_http_claude_relay_key_conf_digest(call->rmcf, oc->row.digest)
           ? NGX_DECLINED : NGX_OK;
}


static void
ngx_http_claude_relay_object_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    size_t                                which;
    ncr_int_t                             rc;
    ncr_store_bound_t                     bound, *own;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;
    own = NULL;
    oc->owned = 0;

    if (call->caller.role == NCR_ROLE_USER) {

        rc = ngx_http_claude_relay_key_allowance(call, store, &bound.max);

        if (rc != NCR_OK) {
            oc->owned = 1;
            ngx_http_claude_relay_job_rc(store, job, rc);
            return;
        }

        own = &bound;

        own->kind = "key";
        own->also = "\"self_made\":true";
        own->without = "\"deleted_at\":";
        own->part = oc->part;
    }

    rc = ncr_store_objects_put(store, &oc->row, 1, own, call->now, &which);

    ngx_http_claude_relay_job_rc(store, job, rc);

    if (rc == NCR_DECLINED) {

        oc->owned = which;

        ncr_store_object_free(&oc->found);
        (void) ncr_store_object_find(store, oc->row.kind, oc->row.name,
                                     &oc->found);
    }
}


static void
ngx_http_claude_relay_object_created(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (call->job.rc == NCR_DECLINED && oc->owned) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "you have as many keys of your own "
                                         "as you may have");
        return;
    }

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                          strstr(call->job.error, "this secret")
                          ? "there is a key with this secret"
                          : (oc->found.data
                             && ngx_http_claude_relay_key_deleted(
                                                             oc->found.data))
                          ? "there is a deleted %s \"%V\": restore it, or "
                            "delete it for ever"
                          : "there is a %s \"%V\" already", oc->kind->name,
                          &call->name);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    call->created = 1;

    ngx_http_claude_relay_object_changed(call, "created");
}


void
ngx_http_claude_relay_api_object_patch(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_object_of_store(call) != NGX_OK) {
        return;
    }

    if (call->body->child == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nothing is to be changed");
        return;
    }

    call->settled = ngx_http_claude_relay_object_patch_found;

    ngx_http_claude_relay_object_find(call);
}


void
ngx_http_claude_relay_api_regenerate(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_object_of_store(call) != NGX_OK
        || ngx_http_claude_relay_object_empty(call) != NGX_OK)
    {
        return;
    }

    call->settled = ngx_http_claude_relay_regenerate_found;

    ngx_http_claude_relay_object_find(call);
}


void
ngx_http_claude_relay_api_activate(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_object_of_store(call) != NGX_OK
        || ngx_http_claude_relay_object_empty(call) != NGX_OK)
    {
        return;
    }

    call->settled = ngx_http_claude_relay_activate_found;

    ngx_http_claude_relay_object_find(call);
}


/* one of nginx.conf cannot be changed here */

static ngx_int_t
ngx_http_claude_relay_object_of_store(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_key_t          *conf;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = ngx_http_claude_relay_call_object(call);
    if (oc == NULL) {
        return NGX_ERROR;
    }

    if (oc->kind->scope == NCR_SCOPE_KEY
        && ngx_http_claude_relay_key_changer(call) != NGX_OK)
    {
        return NGX_ERROR;
    }

    conf = ngx_http_claude_relay_object_conf(call);

    if (conf && !ngx_http_claude_relay_key_own_conf(call, conf)) {
        ngx_http_claude_relay_object_gone(call);
        return NGX_ERROR;
    }

    if (conf) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "%s \"%V\" is one of nginx.conf: it "
                                         "is changed there", oc->kind->name,
                                         &call->name);
        return NGX_ERROR;
    }

    if (!ngx_http_claude_relay_valid_name(&call->name)) {
        ngx_http_claude_relay_object_gone(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_object_empty(ngx_http_claude_relay_call_t *call)
{
    cJSON  *values[1];

    static const char *const  names[] = { NULL };

    return ngx_http_claude_relay_call_members(call, names, values, NULL);
}


void
ngx_http_claude_relay_object_look(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next)
{
    if (call->rmcf->store == NULL
        || !ngx_http_claude_relay_valid_name(&call->name))
    {
        ngx_http_claude_relay_object_gone(call);
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_find_run,
                                    next);
}


/* then call->settled, until something was changed */

static void
ngx_http_claude_relay_object_find(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_find_run,
                                    call->settled);
}


static void
ngx_http_claude_relay_object_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    ncr_store_object_free(&oc->found);

    ngx_http_claude_relay_job_rc(store, job,
                      ncr_store_object_find(store, oc->row.kind, oc->row.name,
                                            &oc->found));
}


static ngx_int_t
ngx_http_claude_relay_object_found(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_object_gone(call);
        return NGX_ERROR;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_object_hidden(call)) {
        return NGX_ERROR;
    }

    if (call->match != UINT64_MAX && call->match != oc->found.version) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED,
                                 NULL, "%s \"%V\" was changed meanwhile: it "
                                 "has version %uL", oc->kind->name,
                                 &call->name, oc->found.version);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_object_patch_found(ngx_http_claude_relay_call_t *call)
{
    cJSON      *settings;
    ngx_int_t   rc;

    if (ngx_http_claude_relay_object_found(call) != NGX_OK) {
        return;
    }

    if (call->caller.role == NCR_ROLE_USER
        && ngx_http_claude_relay_object_own_members(call, 0) != NGX_OK)
    {
        return;
    }

    settings = ngx_http_claude_relay_object_merge(call);

    if (settings == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    rc = ngx_http_claude_relay_object_settings(call, settings);

    cJSON_Delete(settings);

    if (rc != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_put_run,
                                    ngx_http_claude_relay_object_patched);
}


/* a member takes the place of the one that was there; null: of the default */

static cJSON *
ngx_http_claude_relay_object_merge(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *settings, *item, *copy;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    settings = cJSON_Parse(oc->found.data);

    if (!cJSON_IsObject(settings)) {

        /* of no use as it is: it may be written anew */

        cJSON_Delete(settings);
        settings = cJSON_CreateObject();
    }

    cJSON_ArrayForEach(item, call->body) {

        cJSON_DeleteItemFromObjectCaseSensitive(settings, item->string);

        copy = cJSON_Duplicate(item, 1);

        if (copy == NULL
            || !cJSON_AddItemToObject(settings, item->string, copy))
        {
            cJSON_Delete(copy);
            cJSON_Delete(settings);
            return NULL;
        }
    }

    return settings;
}


static void
ngx_http_claude_relay_regenerate_found(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_object_found(call) != NGX_OK
        || ngx_http_claude_relay_object_random(call) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_put_run,
                                    ngx_http_claude_relay_object_patched);
}


static void
ngx_http_claude_relay_activate_found(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (ngx_http_claude_relay_object_found(call) != NGX_OK) {
        return;
    }

    if (ngx_strstr(oc->found.data, "\"valid_for\":") == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                 "key \"%V\" has no \"valid_for\" that could "
                                 "begin", &call->name);
        return;
    }

    if (oc->found.activated) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "key \"%V\" is activated already",
                                         &call->name);
        return;
    }

    oc->row.activated = ngx_http_claude_relay_now();

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_put_run,
                                    ngx_http_claude_relay_object_patched);
}


static void
ngx_http_claude_relay_object_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    uint64_t                              version;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;
    version = oc->found.version;

    ngx_http_claude_relay_job_rc(store, job,
                       ncr_store_object_put(store, &oc->row, &version,
                                            call->now));
}


static void
ngx_http_claude_relay_object_patched(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED
        && call->looks++ < NGX_HTTP_CLAUDE_RELAY_MEETINGS)
    {
        /* somebody was faster; with "If-Match" that is found out */

        ngx_http_claude_relay_object_find(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_object_changed(call, "changed");
}


static void
ngx_http_claude_relay_object_changed(ngx_http_claude_relay_call_t *call,
    const char *what)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%s \"%V\" was %s by %V", oc->kind->name, &call->name, what,
                  &call->caller.who);

    call->seq = oc->row.seq;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_object_answer);
}


/* as it was stored, and not as somebody else may have changed it since */

static void
ngx_http_claude_relay_object_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *json;
    uint64_t                              version;
    ncr_store_object_t                   *row;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;
    row = &oc->row;

    /* what was left as it is */

    if (row->data == NULL) {
        row->data = oc->found.data;
    }

    if (!row->has_digest) {
        ngx_memcpy(row->prefix, oc->found.prefix, NCR_STORE_PREFIX);
    }

    version = row->version;

    json = ngx_http_claude_relay_show_object(call, oc->kind, row, NULL, 0);

    if (oc->secret[0]) {
        (void) cJSON_AddStringToObject(json, "secret", (char *) oc->secret);
    }

    ngx_http_claude_relay_call_answer(call,
                             call->created ? NGX_HTTP_CREATED : NGX_HTTP_OK,
                             json, version);
}


void
ngx_http_claude_relay_api_object_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    if (ngx_http_claude_relay_object_of_store(call) != NGX_OK) {
        return;
    }

    oc = call->data;

    if (call->args.len) {

        if (!ncr_str_eq(ncr(&call->args), "force")
            && !ncr_str_eq(ncr(&call->args), "force=1"))
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "the query takes \"force\"");
            return;
        }

        oc->force = 1;
    }

    oc->owned = ngx_http_claude_relay_object_owned_conf(call, NCR_SCOPE_KEY)
                + ngx_http_claude_relay_object_owned_conf(call,
                                                          NCR_SCOPE_USER);

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_object_remove_run,
                                    ngx_http_claude_relay_object_removed);
}


/* a user, or a group, that still has something is not removed by mistake */

static void
ngx_http_claude_relay_object_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_owned_t         owned;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;
    rc = NCR_OK;

    if ((oc->kind->scope == NCR_SCOPE_USER
         || oc->kind->scope == NCR_SCOPE_GROUP)
        && !oc->force)
    {
        owned.oc = oc;
        owned.member = oc->kind->name;
        owned.name = call->name;

        rc = ncr_store_object_list(store, "key", "",
                                   ngx_http_claude_relay_object_owned, &owned);

        if (rc == NCR_OK && oc->kind->scope == NCR_SCOPE_GROUP) {
            rc = ncr_store_object_list(store, "user", "",
                                       ngx_http_claude_relay_object_owned,
                                       &owned);
        }

        if (rc == NCR_OK && oc->owned) {
            job->rc = NCR_OK;
            return;
        }
    }

    oc->owned = 0;

    if (rc == NCR_OK) {
        rc = ncr_store_object_remove(store, oc->row.kind, oc->row.name,
                                     call->match, call->now, &call->seq);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_object_owned(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_owned_t *owned = data;

    if (ngx_http_claude_relay_object_says(row->data, owned->member,
                                          &owned->name)
        && !ngx_http_claude_relay_key_deleted(row->data))
    {
        owned->oc->owned++;
    }

    return NCR_OK;
}


static size_t
ngx_http_claude_relay_object_owned_conf(ngx_http_claude_relay_call_t *call,
    ncr_scope_e scope)
{
    size_t                                n;
    ncr_str_t                             name;
    ngx_uint_t                            i;
    ngx_array_t                          *blocks;
    ngx_http_claude_relay_key_t          *block;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (oc->kind->scope != NCR_SCOPE_USER
        && oc->kind->scope != NCR_SCOPE_GROUP)
    {
        return 0;
    }

    blocks = ngx_http_claude_relay_kind_conf(call->rmcf, scope);
    block = blocks->elts;
    n = 0;

    for (i = 0; i < blocks->nelts; i++) {

        name = ncr_key_text(block[i].key,
                            (oc->kind->scope == NCR_SCOPE_USER)
                            ? block[i].key->user : block[i].key->group);

        if (name.len == call->name.len
            && ngx_memcmp(name.data, call->name.data, name.len) == 0)
        {
            n++;
        }
    }

    return n;
}


static void
ngx_http_claude_relay_object_removed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (call->job.rc == NCR_DECLINED && call->match != UINT64_MAX
        && strstr(call->job.error, "another version"))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED,
                                         NULL, "%s \"%V\" was changed "
                                         "meanwhile", oc->kind->name,
                                         &call->name);
        return;
    }

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_object_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (oc->owned) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                 "%s \"%V\" has %uz key%s%s: with \"?force\" "
                                 "it is removed nevertheless, and then what "
                                 "it had is refused", oc->kind->name,
                                 &call->name, oc->owned,
                                 (oc->owned == 1) ? "" : "s",
                                 (oc->kind->scope == NCR_SCOPE_USER)
                                 ? "" : " or users");
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%s \"%V\" was removed by %V", oc->kind->name, &call->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_object_through);
}


static void
ngx_http_claude_relay_object_through(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}
