
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * People: who may log in, and as what.  A password comes in and is never seen
 * again, not even its hash.
 */


#include "ngx_http_claude_relay_people.h"


/* writers that meet: this often one reads again what the other has written */
#define NGX_HTTP_CLAUDE_RELAY_PEOPLE_MEETINGS  100


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_PERSON_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_PERSON_ROLE,
    NGX_HTTP_CLAUDE_RELAY_PERSON_ENABLED,
    NGX_HTTP_CLAUDE_RELAY_PERSON_MUST_CHANGE,
    NGX_HTTP_CLAUDE_RELAY_PERSON_EXTERNALLY,
    NGX_HTTP_CLAUDE_RELAY_PERSON_PASSWORD,
    NGX_HTTP_CLAUDE_RELAY_PERSON_MEMBERS
} ngx_http_claude_relay_person_member_e;


static void ngx_http_claude_relay_api_people_list(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_people_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_people_found(void *data,
    ncr_store_person_t *person);
static void ngx_http_claude_relay_people_listed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_person(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_api_person_create(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_create(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_person_created(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_person_patch(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_person_password(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_change(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_changed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_person_remove(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_person_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_person_removed(
    ngx_http_claude_relay_call_t *call);

static void ngx_http_claude_relay_person_call_free(void *data);
static ngx_int_t ngx_http_claude_relay_person_members(
    ngx_http_claude_relay_call_t *call, cJSON **values);
static ngx_int_t ngx_http_claude_relay_person_flag(
    ngx_http_claude_relay_call_t *call, cJSON *value, const char *name,
    ngx_uint_t *flag);
static ngx_int_t ngx_http_claude_relay_person_external(
    ngx_http_claude_relay_call_t *call, cJSON *value);
static ngx_int_t ngx_http_claude_relay_person_password(
    ngx_http_claude_relay_call_t *call, cJSON *value,
    ngx_http_claude_relay_call_pt next);
static void ngx_http_claude_relay_person_hashed(
    ngx_http_claude_relay_password_t *job);
static ngx_http_claude_relay_person_e ngx_http_claude_relay_person_why(
    ncr_store_t *store);
static void ngx_http_claude_relay_person_apply(
    ngx_http_claude_relay_person_call_t *pc);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_people_ways[] = {

    { NGX_HTTP_GET, "/v1/people", ngx_http_claude_relay_api_people_list,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/people", ngx_http_claude_relay_api_person_create,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/people/*", ngx_http_claude_relay_api_person,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_PATCH, "/v1/people/*", ngx_http_claude_relay_api_person_patch,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/people/*",
      ngx_http_claude_relay_api_person_remove,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/people/*/password",
      ngx_http_claude_relay_api_person_password,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


ngx_http_claude_relay_person_call_t *
ngx_http_claude_relay_call_person(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                   *cln;
    ngx_http_claude_relay_person_call_t  *pc;

    if (call->name.len && !ngx_http_claude_relay_valid_name(&call->name)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no such person");
        return NULL;
    }

    pc = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_person_call_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (pc == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_person_call_free;
    cln->data = pc;

    call->data = pc;

    if (call->name.len) {
        (void) ngx_cpystrn((u_char *) pc->name, call->name.data,
                           sizeof(pc->name));
    }

    /* who changes itself goes on with what it is logged in by */

    if (call->name.len && call->caller.door
        && ncr_str_eq(ncr(&call->caller.person), pc->name))
    {
        ngx_memcpy(pc->keep, call->caller.digest, sizeof(pc->keep));
        pc->has_keep = 1;
    }

    return pc;
}


static void
ngx_http_claude_relay_person_call_free(void *data)
{
    ngx_http_claude_relay_person_call_t *pc = data;

    cJSON_Delete(pc->list);

    ngx_explicit_memzero(pc, sizeof(ngx_http_claude_relay_person_call_t));
}


ngx_int_t
ngx_http_claude_relay_person_may(ngx_http_claude_relay_call_t *call)
{
    if (call->caller.role >= NCR_ROLE_ADMIN
        || (call->caller.person.len
            && ncr_str_eq(ncr(&call->caller.person),
                          (char *) call->name.data)))
    {
        return NGX_OK;
    }

    /* to a user others are not there; the rest may know that they are */

    if (call->caller.role < NCR_ROLE_VIEWER) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no person \"%V\"",
                                         &call->name);
        return NGX_ERROR;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                     "this takes the role \"admin\", or is "
                                     "for \"%V\"", &call->name);
    return NGX_ERROR;
}


ngx_int_t
ngx_http_claude_relay_person_no_args(ngx_http_claude_relay_call_t *call)
{
    if (call->args.len == 0) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "there is no query here");
    return NGX_ERROR;
}


ngx_int_t
ngx_http_claude_relay_person_bare(ngx_http_claude_relay_call_t *call)
{
    cJSON  *values[1];

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_person_no_args(call) != NGX_OK) {
        return NGX_ERROR;
    }

    return call->body ? ngx_http_claude_relay_call_members(call, names,
                                                           values, NULL)
                      : NGX_OK;
}


cJSON *
ngx_http_claude_relay_show_person(ncr_store_person_t *person)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", person->name);
    (void) cJSON_AddStringToObject(json, "role", ncr_role_name(person->role));
    (void) cJSON_AddBoolToObject(json, "enabled", person->enabled);
    (void) cJSON_AddBoolToObject(json, "has_password",
                                 person->password[0] != '\0');
    (void) cJSON_AddBoolToObject(json, "must_change", person->must_change);
    (void) cJSON_AddBoolToObject(json, "totp", person->has_totp);

    if (person->external[0]) {
        (void) cJSON_AddStringToObject(json, "external", person->external);

    } else {
        (void) cJSON_AddNullToObject(json, "external");
    }

    ngx_http_claude_relay_show_time(json, "last_login_at", person->login);
    ngx_http_claude_relay_show_time(json, "created_at", person->created);
    ngx_http_claude_relay_show_time(json, "updated_at", person->updated);
    (void) cJSON_AddNumberToObject(json, "version", (double) person->version);

    return json;
}


void
ngx_http_claude_relay_person_answer(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    ngx_http_claude_relay_call_answer(call,
                             call->created ? NGX_HTTP_CREATED : NGX_HTTP_OK,
                             ngx_http_claude_relay_show_person(&pc->person),
                             pc->person.version);
}


void
ngx_http_claude_relay_person_failed(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                            status;
    const char                           *text;
    ngx_http_claude_relay_person_call_t  *pc;

    if (call->job.rc != NCR_DECLINED) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    pc = call->data;
    status = NGX_HTTP_CONFLICT;

    switch (pc->why) {

    case NGX_HTTP_CLAUDE_RELAY_PERSON_GONE:
        status = NGX_HTTP_NOT_FOUND;
        text = "there is no person \"%s\"";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_CHANGED:
        status = NGX_HTTP_PRECONDITION_FAILED;
        text = "person \"%s\" was changed meanwhile";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_TAKEN:
        text = "there is a person \"%s\" already";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_EXTERNAL:
        text = "another person has the external login of \"%s\"";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_LAST:
        text = "\"%s\" is the last admin who is enabled";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_TOKEN:
        text = "\"%s\" has a token of this name, or as many as there may be, "
               "or is disabled";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_TOTP:
        text = "\"%s\" has a second factor already: an admin may remove it";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_CODE:
        status = NGX_HTTP_BAD_REQUEST;
        text = "this is not the code that \"%s\" has now";
        break;

    case NGX_HTTP_CLAUDE_RELAY_PERSON_ENROLMENT:
        status = NGX_HTTP_NOT_FOUND;
        text = "there is no such enrolment of \"%s\", or it is over";
        break;

    default:
        status = NGX_HTTP_NOT_FOUND;
        text = "\"%s\" has no such session or token";
        break;
    }

    ngx_http_claude_relay_call_error(call, status, NULL, text, pc->name);
}


static ngx_http_claude_relay_person_e
ngx_http_claude_relay_person_why(ncr_store_t *store)
{
    const char  *error;

    error = ncr_store_error(store);

    if (strstr(error, "no other admin")) {
        return NGX_HTTP_CLAUDE_RELAY_PERSON_LAST;
    }

    if (strstr(error, "external login")) {
        return NGX_HTTP_CLAUDE_RELAY_PERSON_EXTERNAL;
    }

    if (strstr(error, "another version")) {
        return NGX_HTTP_CLAUDE_RELAY_PERSON_CHANGED;
    }

    if (strstr(error, "has a person")) {
        return NGX_HTTP_CLAUDE_RELAY_PERSON_TAKEN;
    }

    return NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;
}


static void
ngx_http_claude_relay_api_people_list(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL || ngx_http_claude_relay_person_no_args(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_people_run,
                                    ngx_http_claude_relay_people_listed);
}


/* in the thread; may be called again, on another file */

static void
ngx_http_claude_relay_people_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    cJSON_Delete(pc->list);
    pc->list = cJSON_CreateArray();

    ngx_http_claude_relay_job_rc(store, job,
                      ncr_store_people(store, "",
                                       ngx_http_claude_relay_people_found,
                                       pc->list));
}


static ncr_int_t
ngx_http_claude_relay_people_found(void *data, ncr_store_person_t *person)
{
    cJSON  *list = data;

    (void) cJSON_AddItemToArray(list,
                                ngx_http_claude_relay_show_person(person));

    return NCR_OK;
}


static void
ngx_http_claude_relay_people_listed(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *json;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    json = cJSON_CreateObject();

    if (json && cJSON_AddItemToObject(json, "people", pc->list)) {
        pc->list = NULL;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_api_person(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL || ngx_http_claude_relay_person_no_args(call) != NGX_OK) {
        return;
    }

    if (call->caller.role < NCR_ROLE_VIEWER
        && ngx_http_claude_relay_person_may(call) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_person_find_run,
                                    ngx_http_claude_relay_person_changed);
}


static void
ngx_http_claude_relay_person_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_person_find(store, pc->name,
                                                       &pc->person));
}


/* into pc->change; what is null or missing stays as it is */

static ngx_int_t
ngx_http_claude_relay_person_members(ngx_http_claude_relay_call_t *call,
    cJSON **values)
{
    cJSON                                *value;
    ngx_str_t                             name;
    ngx_uint_t                            flag;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    value = values[NGX_HTTP_CLAUDE_RELAY_PERSON_ROLE];

    if (value) {
        name.data = (u_char *) (cJSON_IsString(value) ? value->valuestring
                                                      : "");
        name.len = ngx_strlen(name.data);

        pc->change.role = ncr_role(ncr(&name));
        pc->has_role = 1;

        if (pc->change.role == NCR_ROLE_NONE) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"role\" must be \"user\", "
                                             "\"viewer\", \"operator\" or "
                                             "\"admin\"");
            return NGX_ERROR;
        }
    }

    value = values[NGX_HTTP_CLAUDE_RELAY_PERSON_ENABLED];

    if (value) {
        if (ngx_http_claude_relay_person_flag(call, value, "enabled", &flag)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        pc->change.enabled = flag;
        pc->has_enabled = 1;
    }

    value = values[NGX_HTTP_CLAUDE_RELAY_PERSON_MUST_CHANGE];

    if (value) {
        if (ngx_http_claude_relay_person_flag(call, value, "must_change",
                                              &flag)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        pc->change.must_change = flag;
        pc->has_must_change = 1;
    }

    value = values[NGX_HTTP_CLAUDE_RELAY_PERSON_EXTERNALLY];

    return value ? ngx_http_claude_relay_person_external(call, value)
                 : NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_person_flag(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, ngx_uint_t *flag)
{
    if (!cJSON_IsBool(value)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"%s\" must be true or false",
                                         name);
        return NGX_ERROR;
    }

    *flag = cJSON_IsTrue(value);

    return NGX_OK;
}


/* "github:4711"; null: none */

static ngx_int_t
ngx_http_claude_relay_person_external(ngx_http_claude_relay_call_t *call,
    cJSON *value)
{
    u_char                               *p;
    size_t                                len;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->has_external = 1;

    if (cJSON_IsNull(value)) {
        return NGX_OK;
    }

    p = (u_char *) (cJSON_IsString(value) ? value->valuestring : "");

    for (len = 0; p[len] > ' ' && p[len] < 0x7f; len++) { /* void */ }

    if (p[len] || len >= NCR_STORE_EXTERNAL
        || ngx_strncmp(p, "github:", 7) != 0 || len == 7
        || ngx_atoi(p + 7, len - 7) <= 0)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"external\" must be \"github:\" "
                                         "and the number of an account there, "
                                         "or null");
        return NGX_ERROR;
    }

    ngx_memcpy(pc->change.external, p, len + 1);

    return NGX_OK;
}


/* then next, with its hash in pc->change */

static ngx_int_t
ngx_http_claude_relay_person_password(ngx_http_claude_relay_call_t *call,
    cJSON *value, ngx_http_claude_relay_call_pt next)
{
    ngx_int_t                             rc;
    ncr_str_t                             name;
    ngx_str_t                             password;
    const char                           *weak;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (!cJSON_IsString(value)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"password\" must be a string");
        return NGX_ERROR;
    }

    password.data = (u_char *) value->valuestring;
    password.len = ngx_strlen(password.data);

    name.data = (u_char *) pc->name;
    name.len = ngx_strlen(pc->name);

    weak = ncr_password_weak(ncr(&password), &name);

    if (weak) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the password is no good: %s", weak);
        return NGX_ERROR;
    }

    pc->has_password = 1;
    pc->hashed = next;
    pc->password.handler = ngx_http_claude_relay_person_hashed;
    pc->password.data = call;

    rc = ngx_http_claude_relay_password_hash(&pc->password, &password);

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                               NULL, (rc == NGX_BUSY)
                                     ? "too many passwords at the same time: "
                                       "try again"
                                     : "passwords cannot be hashed now");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_person_hashed(ngx_http_claude_relay_password_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (job->rc != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "passwords cannot be hashed "
                                         "now");
        return;
    }

    ngx_memcpy(pc->change.password, job->text, NCR_PASSWORD_TEXT);

    pc->hashed(call);
}


static void
ngx_http_claude_relay_api_person_create(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *name, *password;
    cJSON                                *values
                                         [NGX_HTTP_CLAUDE_RELAY_PERSON_MEMBERS];
    ngx_str_t                             s;
    ngx_http_claude_relay_person_call_t  *pc;

    static const char *const  names[] = {
        "name", "role", "enabled", "must_change", "external", "password", NULL
    };

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_person_no_args(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    name = values[NGX_HTTP_CLAUDE_RELAY_PERSON_NAME];
    password = values[NGX_HTTP_CLAUDE_RELAY_PERSON_PASSWORD];

    s.data = (u_char *) (cJSON_IsString(name) ? name->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (!ngx_http_claude_relay_valid_name(&s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return;
    }

    ngx_memcpy(pc->name, s.data, s.len + 1);

    /* a password that others know is to be changed */

    pc->change.enabled = 1;
    pc->change.must_change = (password != NULL);

    if (ngx_http_claude_relay_person_members(call, values) != NGX_OK) {
        return;
    }

    if (!pc->has_role) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"role\" is missing");
        return;
    }

    ngx_memcpy(pc->change.name, pc->name, sizeof(pc->name));

    pc->with_user = pc->change.role == NCR_ROLE_USER
                    && !ngx_http_claude_relay_person_conf(call->rmcf,
                                                          pc->name);

    if (password && !cJSON_IsNull(password)) {
        (void) ngx_http_claude_relay_person_password(call, password,
                                       ngx_http_claude_relay_person_create);
        return;
    }

    pc->change.must_change = 0;

    ngx_http_claude_relay_person_create(call);
}


static void
ngx_http_claude_relay_person_create(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_person_create_run,
                                    ngx_http_claude_relay_person_created);
}


static void
ngx_http_claude_relay_person_create_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    uint64_t                              version;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    version = 0;

    pc->person = pc->change;

    rc = ncr_store_person_put(store, &pc->person, &version, NULL, call->now);

    if (rc == NCR_DECLINED) {
        pc->why = ngx_http_claude_relay_person_why(store);
    }

    if (rc == NCR_OK && pc->with_user) {
        rc = ngx_http_claude_relay_person_user(store, pc->name, call->now,
                                               &call->seq);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


ncr_int_t
ngx_http_claude_relay_person_user(ncr_store_t *store, const char *name,
    ncr_msec_t now, uint64_t *seq)
{
    ncr_int_t           rc;
    uint64_t            version;
    ncr_store_object_t  row;

    ngx_memzero(&row, sizeof(ncr_store_object_t));

    (void) ngx_cpystrn((u_char *) row.kind, (u_char *) "user",
                       sizeof(row.kind));
    (void) ngx_cpystrn((u_char *) row.name, (u_char *) name,
                       sizeof(row.name));

    row.data = (char *) "{}";
    version = 0;

    rc = ncr_store_object_put(store, &row, &version, now);

    if (rc == NCR_OK) {
        *seq = row.seq;
    }

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}


ngx_uint_t
ngx_http_claude_relay_person_conf(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *name)
{
    ncr_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_http_claude_relay_key_conf(rmcf, NCR_SCOPE_USER, &s) != NULL;
}


static void
ngx_http_claude_relay_person_created(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "person \"%s\" was created as %s by %V", pc->name,
                  ncr_role_name(pc->person.role), &call->caller.who);

    call->created = 1;
    call->objects = 1;

    if (call->seq) {
        ngx_http_claude_relay_call_settle(call,
                                         ngx_http_claude_relay_person_answer);
        return;
    }

    ngx_http_claude_relay_person_answer(call);
}


static void
ngx_http_claude_relay_api_person_patch(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *values
                                         [NGX_HTTP_CLAUDE_RELAY_PERSON_MEMBERS];
    cJSON                                *some[4];
    ngx_http_claude_relay_person_call_t  *pc;

    static const char *const  names[] = {
        "role", "enabled", "must_change", "external", NULL
    };

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_person_no_args(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, some, NULL)
           != NGX_OK)
    {
        return;
    }

    if (call->body->child == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nothing is to be changed");
        return;
    }

    ngx_memcpy(&values[NGX_HTTP_CLAUDE_RELAY_PERSON_ROLE], some, sizeof(some));

    if (ngx_http_claude_relay_person_members(call, values) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_person_change(call);
}


/* by an admin; who must change it then is known to nobody else */

static void
ngx_http_claude_relay_api_person_password(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *values[2];
    ngx_uint_t                            flag;
    ngx_http_claude_relay_person_call_t  *pc;

    static const char *const  names[] = { "password", "must_change", NULL };

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_person_no_args(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    flag = !ncr_str_eq(ncr(&call->caller.person), pc->name);

    if (values[1]
        && ngx_http_claude_relay_person_flag(call, values[1], "must_change",
                                             &flag)
           != NGX_OK)
    {
        return;
    }

    pc->change.must_change = flag;
    pc->has_must_change = 1;

    (void) ngx_http_claude_relay_person_password(call, values[0],
                                        ngx_http_claude_relay_person_change);
}


static void
ngx_http_claude_relay_person_change(ngx_http_claude_relay_call_t *call)
{
    call->created = 0;

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_person_change_run,
                                    ngx_http_claude_relay_person_changed);
}


void
ngx_http_claude_relay_person_change_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    uint64_t                              version;
    ngx_uint_t                            i;
    ngx_http_claude_relay_person_call_t  *pc;

    rc = NCR_ERROR;
    pc = call->data;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_PEOPLE_MEETINGS; i++) {

        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

        rc = ncr_store_person_find(store, pc->name, &pc->person);

        if (rc == NCR_OK && call->match != UINT64_MAX
            && call->match != pc->person.version)
        {
            pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_CHANGED;
            rc = NCR_DECLINED;
        }

        if (rc != NCR_OK) {
            break;
        }

        ngx_http_claude_relay_person_apply(pc);

        version = pc->person.version;

        rc = ncr_store_person_put(store, &pc->person, &version,
                                  pc->has_keep ? pc->keep : NULL, call->now);

        if (rc != NCR_DECLINED) {
            break;
        }

        pc->why = ngx_http_claude_relay_person_why(store);

        if (pc->why != NGX_HTTP_CLAUDE_RELAY_PERSON_CHANGED) {
            break;
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_person_apply(ngx_http_claude_relay_person_call_t *pc)
{
    if (pc->has_role) {
        pc->person.role = pc->change.role;
    }

    if (pc->has_enabled) {
        pc->person.enabled = pc->change.enabled;
    }

    if (pc->has_must_change) {
        pc->person.must_change = pc->change.must_change;
    }

    if (pc->has_external) {
        ngx_memcpy(pc->person.external, pc->change.external,
                   NCR_STORE_EXTERNAL);
    }

    if (pc->has_password) {
        ngx_memcpy(pc->person.password, pc->change.password,
                   NCR_PASSWORD_TEXT);
    }

    if (pc->has_totp) {
        pc->person.has_totp = pc->change.has_totp;
        pc->person.totp_step = pc->change.totp_step;
        ngx_memcpy(pc->person.totp, pc->change.totp, NCR_TOTP_KEY);
    }
}


static void
ngx_http_claude_relay_person_changed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    if (call->way->method != NGX_HTTP_GET) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "person \"%s\" was changed by %V", pc->name,
                      &call->caller.who);
    }

    ngx_http_claude_relay_person_answer(call);
}


static void
ngx_http_claude_relay_api_person_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL || ngx_http_claude_relay_person_no_args(call) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_person_remove_run,
                                    ngx_http_claude_relay_person_removed);
}


static void
ngx_http_claude_relay_person_remove_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    rc = ncr_store_person_remove(store, pc->name, call->match, call->now);

    if (rc == NCR_DECLINED) {
        pc->why = ngx_http_claude_relay_person_why(store);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_person_removed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "person \"%s\" was removed by %V", pc->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}
