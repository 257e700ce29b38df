
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Logging in and out, and another password.  An unknown name, a wrong
 * password, a wrong code and somebody who is disabled take the same time and
 * are told the same.
 */


#include "ngx_http_claude_relay_admin.h"
#include "ngx_http_claude_relay_passwords.h"
#include "ncr_base64.h"
#include "ncr_seal.h"


/* of a person; the oldest goes for another one */
#define NGX_HTTP_CLAUDE_RELAY_SESSIONS   20

#define NGX_HTTP_CLAUDE_RELAY_LOGIN_MAX  256


typedef struct {
    ngx_http_claude_relay_password_t   job;
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_try_t        try;
    ngx_str_t                          name;
    ngx_str_t                          password;
    ngx_str_t                          fresh;   /* to be set */
    ngx_str_t                          code;
    uint64_t                           step;    /* of TOTP, or 0 */
    ncr_store_person_t                 person;
    ncr_store_session_t                session;
    u_char                             ticket[NGX_HTTP_CLAUDE_RELAY_TICKET];
    unsigned                           found:1;
} ngx_http_claude_relay_guest_t;


static void ngx_http_claude_relay_session_login(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_session_show(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_session_logout(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_session_password(
    ngx_http_claude_relay_call_t *call);

static ngx_http_claude_relay_guest_t *ngx_http_claude_relay_guest_create(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_guest_free(void *data);
static ngx_int_t ngx_http_claude_relay_guest_text(
    ngx_http_claude_relay_call_t *call, cJSON *value, const char *name,
    ngx_str_t *text);
static ngx_int_t ngx_http_claude_relay_guest_try(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_guest_crowded(
    ngx_http_claude_relay_call_t *call, ngx_msec_t ms);
static void ngx_http_claude_relay_guest_find(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_guest_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_guest_posted(
    ngx_http_claude_relay_call_t *call, ngx_int_t rc);
static void ngx_http_claude_relay_login_checked(
    ngx_http_claude_relay_password_t *job);
static ngx_int_t ngx_http_claude_relay_login_code(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_failed(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_login_ticket(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_login_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_login_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_session_answer(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_logout_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_logout_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_password_checked(
    ngx_http_claude_relay_password_t *job);
static void ngx_http_claude_relay_password_hashed(
    ngx_http_claude_relay_password_t *job);
static void ngx_http_claude_relay_password_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_password_done(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_session_ways[] = {

    { NGX_HTTP_POST, "/v1/session", ngx_http_claude_relay_session_login,
      NCR_ROLE_NONE, 0, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/session", ngx_http_claude_relay_session_show,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/session", ngx_http_claude_relay_session_logout,
      NCR_ROLE_USER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/session/password",
      ngx_http_claude_relay_session_password, NCR_ROLE_USER, 0, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_session_login(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[3];
    ngx_http_claude_relay_guest_t  *guest;

    static const char *const  names[] = { "name", "password", "code", NULL };

    /* who fails is told to the log: the trail is for what was done */

    call->noted = 1;

    if (call->caller.door == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nobody needs to log in here");
        return;
    }

    guest = ngx_http_claude_relay_guest_create(call);

    if (guest == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK
        || ngx_http_claude_relay_guest_text(call, values[0], "name",
                                            &guest->name)
           != NGX_OK
        || ngx_http_claude_relay_guest_text(call, values[1], "password",
                                            &guest->password)
           != NGX_OK
        || (values[2] && !cJSON_IsNull(values[2])
            && ngx_http_claude_relay_guest_text(call, values[2], "code",
                                                &guest->code)
               != NGX_OK)
        || ngx_http_claude_relay_guest_try(call) != NGX_OK)
    {
        return;
    }

    guest->job.handler = ngx_http_claude_relay_login_checked;

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_guest_find,
                                    ngx_http_claude_relay_guest_found);
}


/* NULL: the call has ended */

static ngx_http_claude_relay_guest_t *
ngx_http_claude_relay_guest_create(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                      *agent;
    ngx_pool_cleanup_t             *cln;
    ngx_http_claude_relay_guest_t  *guest;

    guest = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_guest_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (guest == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_guest_free;
    cln->data = guest;

    guest->call = call;
    guest->job.data = guest;
    call->data = guest;

    if (call->request && call->request->headers_in.user_agent) {
        agent = &call->request->headers_in.user_agent->value;

        ncr_str_copy(guest->session.agent, sizeof(guest->session.agent),
                     ncr(agent));
    }

    ncr_str_copy(guest->session.address, sizeof(guest->session.address),
                 ncr(&call->caller.address));

    return guest;
}


static void
ngx_http_claude_relay_guest_free(void *data)
{
    ngx_http_claude_relay_guest_t *guest = data;

    ngx_http_claude_relay_try_ended(&guest->try);

    ngx_explicit_memzero(guest, sizeof(ngx_http_claude_relay_guest_t));
}


static ngx_int_t
ngx_http_claude_relay_guest_text(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, ngx_str_t *text)
{
    if (cJSON_IsString(value)) {
        text->data = (u_char *) value->valuestring;
        text->len = ngx_strlen(text->data);

        if (text->len && text->len <= NGX_HTTP_CLAUDE_RELAY_LOGIN_MAX) {
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"%s\" must be a string of 1 to %d "
                                     "bytes", name,
                                     NGX_HTTP_CLAUDE_RELAY_LOGIN_MAX);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_guest_try(ngx_http_claude_relay_call_t *call)
{
    ngx_msec_t                      wait;
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    wait = ngx_http_claude_relay_try(call->rmcf, &guest->try,
                                     &call->caller.address, &guest->name);

    if (wait == 0) {
        return NGX_OK;
    }

    ngx_http_claude_relay_guest_crowded(call, wait);

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_guest_crowded(ngx_http_claude_relay_call_t *call,
    ngx_msec_t ms)
{
    if (call->request
        && ngx_http_claude_relay_retry_after(call->request,
                                             (time_t) ((ms + 999) / 1000))
           != NGX_OK)
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_TOO_MANY_REQUESTS, NULL,
                                     "too many tries: come back in %M seconds",
                                     (ms + 999) / 1000);
}


static void
ngx_http_claude_relay_guest_find(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                            name[NCR_STORE_NAME];
    ncr_int_t                       rc;
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    rc = NCR_DECLINED;

    if (ngx_http_claude_relay_valid_name(&guest->name)) {
        ncr_str_copy(name, sizeof(name), ncr(&guest->name));
        rc = ncr_store_person_find(store, name, &guest->person);
    }

    guest->found = (rc == NCR_OK && guest->person.enabled);

    ngx_http_claude_relay_job_rc(store, job,
                                 rc == NCR_DECLINED ? NCR_OK : rc);
}


static void
ngx_http_claude_relay_guest_found(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    /* nobody's password takes as long as a wrong one */

    if (guest->found) {
        ngx_memcpy(guest->job.text, guest->person.password,
                   NCR_PASSWORD_TEXT);
    }

    ngx_http_claude_relay_guest_posted(call,
                     ngx_http_claude_relay_password_check(&guest->job,
                                                          &guest->password));
}


static void
ngx_http_claude_relay_guest_posted(ngx_http_claude_relay_call_t *call,
    ngx_int_t rc)
{
    if (rc == NGX_OK) {
        return;
    }

    if (rc == NGX_BUSY) {
        ngx_http_claude_relay_guest_crowded(call, 1000);
        return;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                                     "this worker is leaving");
}


static void
ngx_http_claude_relay_login_checked(ngx_http_claude_relay_password_t *job)
{
    ngx_http_claude_relay_call_t   *call;
    ngx_http_claude_relay_guest_t  *guest;

    guest = job->data;
    call = guest->call;

    if (job->rc == NCR_ERROR) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    if (job->rc != NCR_OK || !guest->found) {
        ngx_http_claude_relay_login_failed(call);
        return;
    }

    if (ngx_http_claude_relay_login_code(call) != NGX_OK
        || ngx_http_claude_relay_login_ticket(call) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_login_run,
                                    ngx_http_claude_relay_login_done);
}


/* who does not know the password does not hear of the code */

static ngx_int_t
ngx_http_claude_relay_login_code(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    if (!guest->person.has_totp) {
        return NGX_OK;
    }

    if (guest->code.data == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_UNAUTHORIZED,
                                         "code_required",
                                         "\"code\" is missing: six digits of "
                                         "the authenticator");
        return NGX_ERROR;
    }

    if (ncr_totp_check(guest->person.totp, ncr(&guest->code),
                       ngx_http_claude_relay_now(), guest->person.totp_step,
                       &guest->step)
        != NCR_OK)
    {
        ngx_http_claude_relay_login_failed(call);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_login_failed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    ngx_http_claude_relay_try_failed(call->rmcf, &guest->try);

    /* names that nobody can have may be anything, passwords among them */

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "admin: a login as \"%s\" from %V has failed",
                  guest->found ? guest->person.name : "(nobody)",
                  &call->caller.address);

    ngx_http_claude_relay_call_error(call, NGX_HTTP_UNAUTHORIZED,
                                     "login_failed", "name, password or code "
                                     "is wrong");
}


static ngx_int_t
ngx_http_claude_relay_login_ticket(ngx_http_claude_relay_call_t *call)
{
    u_char                          bytes[32], csrf[(NCR_STORE_CSRF - 1) / 2];
    ngx_str_t                       s;
    ncr_msec_t                      now;
    ncr_store_session_t            *session;
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;
    session = &guest->session;

    if (ncr_seal_random(bytes, sizeof(bytes)) != NCR_OK
        || ncr_seal_random(csrf, sizeof(csrf)) != NCR_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return NGX_ERROR;
    }

    s.data = guest->ticket;
    s.len = (u_char *) ncr_base64url((char *) guest->ticket, bytes,
                                     sizeof(bytes))
            - guest->ticket;
    guest->ticket[s.len] = '\0';

    ngx_http_claude_relay_admin_digest(call->rmcf, &s, session->digest);

    ncr_hash_hex((u_char *) session->csrf, csrf, sizeof(csrf));
    session->csrf[NCR_STORE_CSRF - 1] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    now = ngx_http_claude_relay_now();

    ngx_memcpy(session->person, guest->person.name, NCR_STORE_NAME);

    session->role = NCR_ROLE_ADMIN;
    session->created = now;
    session->used = now;
    session->expires = now + call->rmcf->admin.session;
    session->idle = call->rmcf->admin.idle;

    return NGX_OK;
}


static void
ngx_http_claude_relay_login_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                       rc;
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    rc = ncr_store_person_login(store, guest->person.name, guest->step,
                                call->now);

    if (rc == NCR_OK) {
        rc = ncr_store_session_put(store, &guest->session,
                                   NGX_HTTP_CLAUDE_RELAY_SESSIONS, call->now);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_login_done(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                        ticket;
    ngx_http_claude_relay_guest_t   *guest;
    ngx_http_claude_relay_caller_t  *caller;

    guest = call->data;

    if (call->job.rc == NCR_DECLINED) {

        /* the code was used, or the person has gone, a moment ago */

        ngx_http_claude_relay_login_failed(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_try_passed(call->rmcf, &guest->try);

    caller = &call->caller;

    caller->person.data = (u_char *) guest->person.name;
    caller->person.len = ngx_strlen(guest->person.name);
    caller->who = caller->person;
    caller->role = guest->person.role;
    caller->must_change = guest->person.must_change;
    caller->expires = guest->session.expires;
    caller->session = 1;

    ngx_memcpy(caller->csrf, guest->session.csrf, NCR_STORE_CSRF);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "admin: \"%V\" has logged in from %V", &caller->person,
                  &caller->address);

    ticket.data = guest->ticket;
    ticket.len = ngx_strlen(guest->ticket);

    if (call->request
        && ngx_http_claude_relay_admin_cookie(call->request, caller->door,
                                   &ticket,
                                   (time_t) (call->rmcf->admin.session / 1000))
           != NGX_OK)
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    call->noted = 0;

    ngx_http_claude_relay_session_answer(call);
}


static void
ngx_http_claude_relay_session_show(ngx_http_claude_relay_call_t *call)
{
    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nothing is asked for by a query "
                                         "here");
        return;
    }

    ngx_http_claude_relay_session_answer(call);
}


static void
ngx_http_claude_relay_session_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *json;
    const char                      *by;
    ngx_http_claude_relay_caller_t  *caller;

    caller = &call->caller;

    by = (caller->door == NULL) ? "socket"
         : caller->session ? "session"
         : caller->csrf[0] ? "proxy" : "token";

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "who", &caller->who);

    if (caller->person.len) {
        ngx_http_claude_relay_show_str(json, "person", &caller->person);

    } else {
        (void) cJSON_AddNullToObject(json, "person");
    }

    (void) cJSON_AddStringToObject(json, "role", ncr_role_name(caller->role));
    (void) cJSON_AddStringToObject(json, "by", by);
    (void) cJSON_AddBoolToObject(json, "must_change", caller->must_change);

    if (caller->csrf[0]) {
        (void) cJSON_AddStringToObject(json, "csrf", (char *) caller->csrf);

    } else {
        (void) cJSON_AddNullToObject(json, "csrf");
    }

    ngx_http_claude_relay_show_time(json, "expires", caller->expires);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_session_logout(ngx_http_claude_relay_call_t *call)
{
    if (!call->caller.session) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no session to be ended");
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_logout_run,
                                    ngx_http_claude_relay_logout_done);
}


static void
ngx_http_claude_relay_logout_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                       ncr_store_session_end(store, call->caller.digest));
}


static void
ngx_http_claude_relay_logout_done(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t  none;

    if (call->job.rc != NCR_OK && call->job.rc != NCR_DECLINED) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_str_set(&none, "");

    if (call->request
        && ngx_http_claude_relay_admin_cookie(call->request,
                                              call->caller.door, &none, 0)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}


static void
ngx_http_claude_relay_session_password(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[2];
    const char                     *weak;
    ngx_http_claude_relay_guest_t  *guest;

    static const char *const  names[] = { "old", "new", NULL };

    if (call->caller.person.len == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "you are nobody who has a password");
        return;
    }

    guest = ngx_http_claude_relay_guest_create(call);

    if (guest == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK
        || ngx_http_claude_relay_guest_text(call, values[0], "old",
                                            &guest->password)
           != NGX_OK
        || ngx_http_claude_relay_guest_text(call, values[1], "new",
                                            &guest->fresh)
           != NGX_OK)
    {
        return;
    }

    guest->name = call->caller.person;

    weak = ncr_password_weak(ncr(&guest->fresh), ncr(&guest->name));

    if (weak == NULL
        && guest->fresh.len == guest->password.len
        && ngx_memcmp(guest->fresh.data, guest->password.data,
                      guest->fresh.len) == 0)
    {
        weak = "it is the old one";
    }

    if (weak) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST,
                                         "weak_password",
                                         "the new password is no good: %s",
                                         weak);
        return;
    }

    if (ngx_http_claude_relay_guest_try(call) != NGX_OK) {
        return;
    }

    guest->job.handler = ngx_http_claude_relay_password_checked;

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_guest_find,
                                    ngx_http_claude_relay_guest_found);
}


static void
ngx_http_claude_relay_password_checked(ngx_http_claude_relay_password_t *job)
{
    ngx_http_claude_relay_call_t   *call;
    ngx_http_claude_relay_guest_t  *guest;

    guest = job->data;
    call = guest->call;

    if (job->rc == NCR_ERROR) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    if (job->rc != NCR_OK || !guest->found) {
        ngx_http_claude_relay_try_failed(call->rmcf, &guest->try);
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN,
                                         "wrong_password",
                                         "the old password is wrong");
        return;
    }

    ngx_http_claude_relay_try_passed(call->rmcf, &guest->try);

    job->handler = ngx_http_claude_relay_password_hashed;

    ngx_http_claude_relay_guest_posted(call,
                     ngx_http_claude_relay_password_hash(job, &guest->fresh));
}


static void
ngx_http_claude_relay_password_hashed(ngx_http_claude_relay_password_t *job)
{
    ngx_http_claude_relay_guest_t  *guest;

    guest = job->data;

    if (job->rc != NCR_OK) {
        ngx_http_claude_relay_call_memory(guest->call);
        return;
    }

    ngx_memcpy(guest->person.password, job->text, NCR_PASSWORD_TEXT);
    guest->person.must_change = 0;

    ngx_http_claude_relay_call_post(guest->call,
                                    ngx_http_claude_relay_password_run,
                                    ngx_http_claude_relay_password_done);
}


static void
ngx_http_claude_relay_password_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    uint64_t                        version;
    const ncr_char_t               *keep;
    ngx_http_claude_relay_guest_t  *guest;

    guest = call->data;

    version = guest->person.version;
    keep = call->caller.session ? call->caller.digest : NULL;

    ngx_http_claude_relay_job_rc(store, job,
                        ncr_store_person_put(store, &guest->person, &version,
                                             keep, call->now));
}


static void
ngx_http_claude_relay_password_done(ngx_http_claude_relay_call_t *call)
{
    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "you were changed meanwhile: try it "
                                         "again");
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_admin_first_done(call->rmcf,
                                           (char *) call->caller.person.data);

    call->caller.must_change = 0;

    ngx_http_claude_relay_session_answer(call);
}
