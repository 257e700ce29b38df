
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a person is logged in by: sessions, tokens for scripts, and the second
 * factor.  Everybody for itself, and admins for all.
 */


#include "ngx_http_claude_relay_people.h"
#include "ncr_hash.h"
#include "ncr_seal.h"


/* how long an enrolment may take, ms */
#define NGX_HTTP_CLAUDE_RELAY_ENROL     (10 * 60 * 1000)

/* of a session's digest: enough to tell them apart, no use to log in with */
#define NGX_HTTP_CLAUDE_RELAY_SESSION   16

#define NGX_HTTP_CLAUDE_RELAY_TOTP_URI  256


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_TOKEN_NAME = 0,
    NGX_HTTP_CLAUDE_RELAY_TOKEN_ROLE,
    NGX_HTTP_CLAUDE_RELAY_TOKEN_EXPIRES,
    NGX_HTTP_CLAUDE_RELAY_TOKEN_VALID,
    NGX_HTTP_CLAUDE_RELAY_TOKEN_MEMBERS
} ngx_http_claude_relay_token_member_e;


static ngx_http_claude_relay_person_call_t *ngx_http_claude_relay_own_person(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_sessions(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_tokens_list(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_sessions_list(
    ngx_http_claude_relay_call_t *call, ngx_uint_t tokens);
static void ngx_http_claude_relay_sessions_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_sessions_found(void *data,
    ncr_store_session_t *session);
static void ngx_http_claude_relay_sessions_listed(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_session(
    ngx_http_claude_relay_person_call_t *pc, ncr_store_session_t *session);
static cJSON *ngx_http_claude_relay_show_token(ncr_store_session_t *session);
static void ngx_http_claude_relay_session_id(u_char *id,
    const ncr_char_t *digest);
static void ngx_http_claude_relay_api_sessions_end(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_session_end(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_sessions_end_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_session_match(void *data,
    ncr_store_session_t *session);
static void ngx_http_claude_relay_sessions_ended(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_token_create(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_token_ends(
    ngx_http_claude_relay_call_t *call, cJSON **values,
    ncr_msec_t *expires);
static ngx_int_t ngx_http_claude_relay_token_make(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_token_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_token_created(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_token_end(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_token_end_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_api_totp(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_totp_enrol_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_totp_enrolled(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_totp_confirm_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ngx_int_t ngx_http_claude_relay_totp_kept(const char *data,
    ngx_http_claude_relay_person_call_t *pc);
static ngx_int_t ngx_http_claude_relay_totp_hex(u_char *key, u_char *text);
static void ngx_http_claude_relay_api_totp_remove(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_totp_changed(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_tokens_ways[] = {

    { NGX_HTTP_GET, "/v1/people/*/sessions",
      ngx_http_claude_relay_api_sessions,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/people/*/sessions",
      ngx_http_claude_relay_api_sessions_end,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/people/*/sessions/*",
      ngx_http_claude_relay_api_session_end,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/people/*/tokens",
      ngx_http_claude_relay_api_tokens_list,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/people/*/tokens",
      ngx_http_claude_relay_api_token_create,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/people/*/tokens/*",
      ngx_http_claude_relay_api_token_end,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/people/*/totp", ngx_http_claude_relay_api_totp,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/people/*/totp",
      ngx_http_claude_relay_api_totp_remove,
      NCR_ROLE_ADMIN, 0, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


/* of call->name, for itself or by an admin; NULL: the call has ended */

static ngx_http_claude_relay_person_call_t *
ngx_http_claude_relay_own_person(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_call_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_person_may(call) != NGX_OK
        || ngx_http_claude_relay_person_no_args(call) != NGX_OK)
    {
        return NULL;
    }

    return pc;
}


static void
ngx_http_claude_relay_api_sessions(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_sessions_list(call, 0);
}


static void
ngx_http_claude_relay_api_tokens_list(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_sessions_list(call, 1);
}


static void
ngx_http_claude_relay_sessions_list(ngx_http_claude_relay_call_t *call,
    ngx_uint_t tokens)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL) {
        return;
    }

    pc->tokens = tokens;

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_sessions_run,
                                    ngx_http_claude_relay_sessions_listed);
}


/* in the thread; may be called again, on another file */

static void
ngx_http_claude_relay_sessions_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    cJSON_Delete(pc->list);
    pc->list = cJSON_CreateArray();

    pc->session.created = call->now;

    rc = ncr_store_person_find(store, pc->name, &pc->person);

    if (rc == NCR_OK) {
        rc = ncr_store_sessions(store, pc->name,
                                ngx_http_claude_relay_sessions_found, pc);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_sessions_found(void *data,
    ncr_store_session_t *session)
{
    ngx_http_claude_relay_person_call_t *pc = data;

    ncr_msec_t  now;

    now = pc->session.created;

    if (pc->tokens != (session->name[0] != '\0')) {
        return NCR_OK;
    }

    /* those that are over are cleared away some day */

    if (!pc->tokens
        && ((session->expires && session->expires <= now)
            || (session->idle && session->used + session->idle <= now)))
    {
        return NCR_OK;
    }

    (void) cJSON_AddItemToArray(pc->list, pc->tokens
                          ? ngx_http_claude_relay_show_token(session)
                          : ngx_http_claude_relay_show_session(pc, session));

    return NCR_OK;
}


static cJSON *
ngx_http_claude_relay_show_session(ngx_http_claude_relay_person_call_t *pc,
    ncr_store_session_t *session)
{
    cJSON      *json;
    u_char      id[NGX_HTTP_CLAUDE_RELAY_SESSION + 1];
    ngx_str_t   agent;

    json = cJSON_CreateObject();

    ngx_http_claude_relay_session_id(id, session->digest);

    agent.data = (u_char *) session->agent;
    agent.len = ngx_strlen(session->agent);

    (void) cJSON_AddStringToObject(json, "id", (char *) id);
    (void) cJSON_AddStringToObject(json, "address", session->address);
    ngx_http_claude_relay_show_str(json, "agent", &agent);
    (void) cJSON_AddBoolToObject(json, "current", pc->has_keep
                                 && ngx_memcmp(pc->keep, session->digest,
                                               sizeof(pc->keep))
                                    == 0);
    ngx_http_claude_relay_show_time(json, "created_at", session->created);
    ngx_http_claude_relay_show_time(json, "last_used_at", session->used);
    ngx_http_claude_relay_show_time(json, "expires_at", session->expires);

    return json;
}


static cJSON *
ngx_http_claude_relay_show_token(ncr_store_session_t *session)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "name", session->name);
    (void) cJSON_AddStringToObject(json, "person", session->person);
    (void) cJSON_AddStringToObject(json, "role",
                                   ncr_role_name(session->role));
    (void) cJSON_AddStringToObject(json, "address", session->address);
    ngx_http_claude_relay_show_time(json, "created_at", session->created);
    ngx_http_claude_relay_show_time(json, "last_used_at",
                                    session->used > session->created
                                    ? session->used : 0);
    ngx_http_claude_relay_show_time(json, "expires_at", session->expires);

    return json;
}


static void
ngx_http_claude_relay_session_id(u_char *id, const ncr_char_t *digest)
{
    ncr_hash_hex(id, digest, NGX_HTTP_CLAUDE_RELAY_SESSION / 2);
    id[NGX_HTTP_CLAUDE_RELAY_SESSION] = '\0';
}


static void
ngx_http_claude_relay_sessions_listed(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *json;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    json = cJSON_CreateObject();

    if (json && cJSON_AddItemToObject(json,
                                      pc->tokens ? "tokens" : "sessions",
                                      pc->list))
    {
        pc->list = NULL;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* all of them, also the one that is asking */

static void
ngx_http_claude_relay_api_sessions_end(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_own_person(call) == NULL) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_sessions_end_run,
                                    ngx_http_claude_relay_sessions_ended);
}


static void
ngx_http_claude_relay_api_session_end(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL) {
        return;
    }

    if (call->item.len != NGX_HTTP_CLAUDE_RELAY_SESSION) {
        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_NONE;
        call->job.rc = NCR_DECLINED;
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_memcpy(pc->secret, call->item.data, call->item.len + 1);

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_sessions_end_run,
                                    ngx_http_claude_relay_sessions_ended);
}


static void
ngx_http_claude_relay_sessions_end_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    rc = ncr_store_person_find(store, pc->name, &pc->person);

    if (rc == NCR_OK && pc->secret[0] == '\0') {
        rc = ncr_store_session_end_all(store, pc->name, NULL);

        /* there were none, and there are none */

        if (rc == NCR_DECLINED) {
            rc = NCR_OK;
        }

    } else if (rc == NCR_OK) {
        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_NONE;
        pc->session.name[0] = 'x';

        rc = ncr_store_sessions(store, pc->name,
                                ngx_http_claude_relay_session_match, pc);

        if (rc == NCR_OK) {
            rc = pc->session.name[0] ? NCR_DECLINED
                 : ncr_store_session_end(store, pc->session.digest);
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_session_match(void *data, ncr_store_session_t *session)
{
    ngx_http_claude_relay_person_call_t *pc = data;

    u_char  id[NGX_HTTP_CLAUDE_RELAY_SESSION + 1];

    if (session->name[0]) {
        return NCR_OK;
    }

    ngx_http_claude_relay_session_id(id, session->digest);

    if (ngx_strcmp(id, pc->secret) != 0) {
        return NCR_OK;
    }

    pc->session = *session;

    return NCR_DONE;
}


static void
ngx_http_claude_relay_sessions_ended(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "what \"%s\" was logged in by was ended by %V", pc->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}


static void
ngx_http_claude_relay_api_token_create(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *values
                                          [NGX_HTTP_CLAUDE_RELAY_TOKEN_MEMBERS];
    cJSON                                *value;
    ngx_str_t                             s;
    ncr_role_e                            role;
    ngx_http_claude_relay_person_call_t  *pc;

    static const char *const  names[] = {
        "name", "role", "expires_at", "valid_for", NULL
    };

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    value = values[NGX_HTTP_CLAUDE_RELAY_TOKEN_NAME];

    s.data = (u_char *) (cJSON_IsString(value) ? value->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (!ngx_http_claude_relay_valid_name(&s)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"name\" must have 1 to 63 of the "
                                         "characters A-Z a-z 0-9 . _ -");
        return;
    }

    ngx_memcpy(pc->session.name, s.data, s.len + 1);

    /* nobody makes what is more than it is itself, whatever the person is */

    role = call->caller.role;
    value = values[NGX_HTTP_CLAUDE_RELAY_TOKEN_ROLE];

    if (value) {
        s.data = (u_char *) (cJSON_IsString(value) ? value->valuestring : "");
        s.len = ngx_strlen(s.data);

        role = ncr_role(ncr(&s));
        pc->has_role = 1;

        if (role == NCR_ROLE_NONE) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"role\" must be \"user\", "
                                             "\"viewer\", \"operator\" or "
                                             "\"admin\"");
            return;
        }

        if (role > call->caller.role) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                             "a token of the role \"%s\" "
                                             "takes that role",
                                             ncr_role_name(role));
            return;
        }
    }

    pc->session.role = role;

    if (ngx_http_claude_relay_token_ends(call, values, &pc->session.expires)
        != NGX_OK
        || ngx_http_claude_relay_token_make(call) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_token_run,
                                    ngx_http_claude_relay_token_created);
}


/* a token that was made by a token does not outlive that one */

static ngx_int_t
ngx_http_claude_relay_token_ends(ngx_http_claude_relay_call_t *call,
    cJSON **values, ncr_msec_t *expires)
{
    cJSON       *at, *valid;
    ngx_int_t    n;
    ngx_str_t    s;
    ncr_msec_t   now, most;

    now = ngx_http_claude_relay_now();
    *expires = 0;

    at = values[NGX_HTTP_CLAUDE_RELAY_TOKEN_EXPIRES];
    valid = values[NGX_HTTP_CLAUDE_RELAY_TOKEN_VALID];

    if (at && valid) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "either \"expires_at\" or "
                                         "\"valid_for\"");
        return NGX_ERROR;
    }

    if (at && !cJSON_IsNull(at)) {
        s.data = (u_char *) (cJSON_IsString(at) ? at->valuestring : "");
        s.len = ngx_strlen(s.data);

        if (ncr_str_time(ncr(&s), expires) != NCR_OK || *expires <= now) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"expires_at\" must be a time "
                                             "to come, such as "
                                             "\"2030-01-31T00:00:00Z\"");
            return NGX_ERROR;
        }
    }

    if (valid && !cJSON_IsNull(valid)) {
        s.data = (u_char *) (cJSON_IsString(valid) ? valid->valuestring : "");
        s.len = ngx_strlen(s.data);

        n = s.len ? ngx_parse_time(&s, 1) : NGX_ERROR;

        if (n == NGX_ERROR || n == 0 || n > 100 * 365 * 86400L) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"valid_for\" must be a time "
                                             "such as \"90d\"");
            return NGX_ERROR;
        }

        *expires = now + (ncr_msec_t) n * 1000;
    }

    most = (call->caller.door && !call->caller.session) ? call->caller.expires
                                                        : 0;

    if (most && (*expires == 0 || *expires > most)) {
        *expires = most;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_token_make(ngx_http_claude_relay_call_t *call)
{
    size_t                                len;
    u_char                                bytes[32];
    ncr_sha256_t                         *sha;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    sha = &call->rmcf->sha;

    if (ncr_seal_random(bytes, sizeof(bytes)) != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return NGX_ERROR;
    }

    len = sizeof(NGX_HTTP_CLAUDE_RELAY_TOKEN_PREFIX) - 1;

    ngx_memcpy(pc->secret, NGX_HTTP_CLAUDE_RELAY_TOKEN_PREFIX, len);
    ncr_hash_hex(pc->secret + len, bytes, sizeof(bytes));
    pc->secret[NGX_HTTP_CLAUDE_RELAY_TOKEN] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    ncr_sha256_init(sha);
    ncr_sha256_update(sha, pc->secret, NGX_HTTP_CLAUDE_RELAY_TOKEN);
    ncr_sha256_final(sha, pc->session.digest);

    (void) ngx_cpystrn((u_char *) pc->session.address,
                       call->caller.address.data,
                       ngx_min(call->caller.address.len + 1,
                               sizeof(pc->session.address)));

    return NGX_OK;
}


static void
ngx_http_claude_relay_token_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    rc = ncr_store_person_find(store, pc->name, &pc->person);

    if (rc == NCR_OK) {

        /* what it would have anyway */

        pc->session.role = ncr_min(pc->session.role, pc->person.role);
        pc->session.created = call->now;
        pc->session.used = call->now;

        (void) ngx_cpystrn((u_char *) pc->session.person, (u_char *) pc->name,
                           sizeof(pc->session.person));

        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_TOKEN;

        rc = ncr_store_session_put(store, &pc->session,
                                   NGX_HTTP_CLAUDE_RELAY_TOKENS_MAX,
                                   call->now);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_token_created(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *json;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "token \"%s\" of \"%s\" was created by %V",
                  pc->session.name, pc->name, &call->caller.who);

    json = ngx_http_claude_relay_show_token(&pc->session);

    (void) cJSON_AddStringToObject(json, "secret", (char *) pc->secret);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_CREATED, json, 0);
}


static void
ngx_http_claude_relay_api_token_end(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_token_end_run,
                                    ngx_http_claude_relay_sessions_ended);
}


static void
ngx_http_claude_relay_token_end_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    rc = ncr_store_person_find(store, pc->name, &pc->person);

    if (rc == NCR_OK) {
        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_NONE;
        rc = ncr_store_token_end(store, pc->name, (char *) call->item.data);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


/* {}: an enrolment begins; { id, code }: it ends */

static void
ngx_http_claude_relay_api_totp(ngx_http_claude_relay_call_t *call)
{
    char                                 *id, *code;
    cJSON                                *values[2];
    ngx_http_claude_relay_person_call_t  *pc;

    static const char *const  names[] = { "id", "code", NULL };

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK
        || ngx_http_claude_relay_call_text(call, values[0], "id",
                                           NCR_STORE_LOGIN - 1, &id)
           != NGX_OK
        || ngx_http_claude_relay_call_text(call, values[1], "code",
                                           sizeof(pc->code) - 1, &code)
           != NGX_OK)
    {
        return;
    }

    if ((id == NULL) != (code == NULL)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"id\" and \"code\", or neither");
        return;
    }

    if (id) {
        ngx_memcpy(pc->login, id, ngx_strlen(id) + 1);
        ngx_memcpy(pc->code, code, ngx_strlen(code) + 1);

        ngx_http_claude_relay_call_post(call,
                                       ngx_http_claude_relay_totp_confirm_run,
                                       ngx_http_claude_relay_totp_changed);
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_totp_enrol_run,
                                    ngx_http_claude_relay_totp_enrolled);
}


/* the key lies in the store, sealed, until a code shows that it has arrived */

static void
ngx_http_claude_relay_totp_enrol_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    u_char                                data[256];
    u_char                                hex[2 * NCR_TOTP_KEY + 1];
    ncr_int_t                             rc;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

    rc = ncr_store_person_find(store, pc->name, &pc->person);

    if (rc == NCR_OK && pc->person.has_totp) {
        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_TOTP;
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        rc = ncr_seal_random(pc->key, NCR_TOTP_KEY);
    }

    if (rc == NCR_OK) {
        ncr_hash_hex(hex, pc->key, NCR_TOTP_KEY);
        hex[2 * NCR_TOTP_KEY] = '\0';

        (void) ngx_sprintf(data, "{\"kind\":\"totp\",\"person\":\"%s\","
                                 "\"key\":\"%s\"}%Z", pc->name, hex);

        rc = ncr_store_login_put(store, pc->login, (char *) data,
                                 call->now + NGX_HTTP_CLAUDE_RELAY_ENROL,
                                 call->now);

        ngx_explicit_memzero(hex, sizeof(hex));
        ngx_explicit_memzero(data, sizeof(data));
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_totp_enrolled(ngx_http_claude_relay_call_t *call)
{
    char                                  secret[NCR_TOTP_BASE32];
    cJSON                                *json;
    u_char                                uri[NGX_HTTP_CLAUDE_RELAY_TOTP_URI];
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ncr_totp_base32(pc->key, secret);

    /* names have no character that would have to be escaped */

    (void) ngx_sprintf(uri, "otpauth://totp/claude-relay:%s?secret=%s"
                            "&issuer=claude-relay&algorithm=SHA1&digits=6"
                            "&period=30%Z", pc->name, secret);

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "id", pc->login);
    (void) cJSON_AddStringToObject(json, "secret", secret);
    (void) cJSON_AddStringToObject(json, "otpauth_uri", (char *) uri);
    ngx_http_claude_relay_show_time(json, "expires_at",
                                    call->now + NGX_HTTP_CLAUDE_RELAY_ENROL);

    ngx_explicit_memzero(secret, sizeof(secret));
    ngx_explicit_memzero(uri, sizeof(uri));

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_CREATED, json, 0);
}


static void
ngx_http_claude_relay_totp_confirm_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                                 *data;
    uint64_t                              step;
    ncr_int_t                             rc;
    ncr_str_t                             code;
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;
    pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_ENROLMENT;
    step = 0;

    rc = ncr_store_login_keep(store, pc->login, &data, call->now);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_totp_kept(data, pc) == NGX_OK
             ? NCR_OK : NCR_DECLINED;

        ncr_store_login_free(data);
    }

    if (rc == NCR_OK) {
        code.data = (u_char *) pc->code;
        code.len = ngx_strlen(pc->code);

        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_CODE;
        rc = ncr_totp_check(pc->key, &code, call->now, 0, &step);
    }

    if (rc == NCR_OK) {

        /* the first one of two that confirm */

        pc->why = NGX_HTTP_CLAUDE_RELAY_PERSON_ENROLMENT;
        rc = ncr_store_login_take(store, pc->login, &data, call->now);

        if (rc == NCR_OK) {
            ncr_store_login_free(data);
        }
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_find(store, pc->name, &pc->person);

        pc->why = pc->person.has_totp ? NGX_HTTP_CLAUDE_RELAY_PERSON_TOTP
                                      : NGX_HTTP_CLAUDE_RELAY_PERSON_GONE;

        if (rc == NCR_OK && pc->person.has_totp) {
            rc = NCR_DECLINED;
        }
    }

    if (rc != NCR_OK) {
        ngx_http_claude_relay_job_rc(store, job, rc);
        return;
    }

    pc->has_totp = 1;
    pc->change.has_totp = 1;
    pc->change.totp_step = step;
    ngx_memcpy(pc->change.totp, pc->key, NCR_TOTP_KEY);

    ngx_http_claude_relay_person_change_run(store, job);
}


/* logins of accounts are kept there, too, and other people's enrolments */

static ngx_int_t
ngx_http_claude_relay_totp_kept(const char *data,
    ngx_http_claude_relay_person_call_t *pc)
{
    cJSON      *json, *kind, *person, *key;
    ngx_int_t   rc;

    json = cJSON_Parse(data);

    kind = cJSON_GetObjectItemCaseSensitive(json, "kind");
    person = cJSON_GetObjectItemCaseSensitive(json, "person");
    key = cJSON_GetObjectItemCaseSensitive(json, "key");

    rc = NGX_ERROR;

    if (cJSON_IsString(kind) && ngx_strcmp(kind->valuestring, "totp") == 0
        && cJSON_IsString(person)
        && ngx_strcmp(person->valuestring, pc->name) == 0
        && cJSON_IsString(key)
        && ngx_strlen(key->valuestring) == 2 * NCR_TOTP_KEY)
    {
        rc = ngx_http_claude_relay_totp_hex(pc->key,
                                            (u_char *) key->valuestring);
        ngx_explicit_memzero(key->valuestring, 2 * NCR_TOTP_KEY);
    }

    cJSON_Delete(json);

    return rc;
}


static ngx_int_t
ngx_http_claude_relay_totp_hex(u_char *key, u_char *text)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    for (i = 0; i < NCR_TOTP_KEY; i++) {
        n = ngx_hextoi(text + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        key[i] = (u_char) n;
    }

    return NGX_OK;
}


/* by an admin: a device was lost */

static void
ngx_http_claude_relay_api_totp_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = ngx_http_claude_relay_own_person(call);

    if (pc == NULL) {
        return;
    }

    pc->has_totp = 1;

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_person_change_run,
                                    ngx_http_claude_relay_totp_changed);
}


static void
ngx_http_claude_relay_totp_changed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_person_call_t  *pc;

    pc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_person_failed(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "the second factor of \"%s\" was %s by %V", pc->name,
                  pc->person.has_totp ? "set" : "removed",
                  &call->caller.who);

    ngx_http_claude_relay_person_answer(call);
}
