
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who has come back from GitHub, and is known by a number of its: which person
 * that is, and its session.
 *
 * Somebody new gets a name of its own.  A name that is somebody's already, or
 * a user's whose keys could be seen by it, is not given away.
 */


#include "ngx_http_claude_relay_github.h"
#include "ncr_base64.h"
#include "ncr_hash.h"
#include "ncr_seal.h"


/* names that are tried for who is new */
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_NAMES  20


static ngx_int_t ngx_http_claude_relay_github_ticket(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v);
static void ngx_http_claude_relay_github_enter_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_github_person(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v);
static ncr_int_t ngx_http_claude_relay_github_new(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v,
    const char *external);
static ncr_int_t ngx_http_claude_relay_github_taken_by(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, const char *name);
static void ngx_http_claude_relay_github_entered(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_github_done(
    ngx_http_claude_relay_call_t *call);


void
ngx_http_claude_relay_github_enter(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    /* the token has told all that is asked of it */

    ngx_explicit_memzero(v->token, v->token_len);

    if (ngx_http_claude_relay_github_ticket(call, v) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_github_enter_run,
                                    ngx_http_claude_relay_github_entered);
}


static ngx_int_t
ngx_http_claude_relay_github_ticket(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_visitor_t *v)
{
    u_char                bytes[32], csrf[(NCR_STORE_CSRF - 1) / 2];
    ngx_str_t             s;
    ncr_msec_t            now;
    ncr_store_session_t  *session;

    session = &v->session;

    if (ncr_seal_random(bytes, sizeof(bytes)) != NCR_OK
        || ncr_seal_random(csrf, sizeof(csrf)) != NCR_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return NGX_ERROR;
    }

    s.data = v->ticket;
    s.len = (u_char *) ncr_base64url((char *) v->ticket, bytes, sizeof(bytes))
            - v->ticket;
    v->ticket[s.len] = '\0';

    ngx_explicit_memzero(bytes, sizeof(bytes));

    ngx_http_claude_relay_admin_digest(call->rmcf, &s, session->digest);

    ncr_hash_hex((u_char *) session->csrf, csrf, sizeof(csrf));
    session->csrf[NCR_STORE_CSRF - 1] = '\0';

    now = ngx_http_claude_relay_now();

    session->role = NCR_ROLE_ADMIN;
    session->created = now;
    session->used = now;
    session->expires = now + call->rmcf->admin.session;
    session->idle = call->rmcf->admin.idle;

    ncr_str_copy(session->address, sizeof(session->address),
                 ncr(&call->caller.address));

    if (call->request && call->request->headers_in.user_agent) {
        ncr_str_copy(session->agent, sizeof(session->agent),
                     ncr(&call->request->headers_in.user_agent->value));
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_github_enter_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                         rc;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    rc = ngx_http_claude_relay_github_person(store, call, v);

    if (rc == NCR_OK && !v->person.enabled) {
        v->disabled = 1;
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_login(store, v->person.name, 0, call->now);
    }

    if (rc == NCR_OK) {
        ngx_memcpy(v->session.person, v->person.name, NCR_STORE_NAME);

        rc = ncr_store_session_put(store, &v->session,
                                   NGX_HTTP_CLAUDE_RELAY_SESSIONS_MAX,
                                   call->now);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


/*
 * The one who has this account; who is new needs to be allowed.  With a list,
 * who is known has to be on it, too: it may have been taken off.
 */

static ncr_int_t
ngx_http_claude_relay_github_person(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v)
{
    u_char      external[NCR_STORE_EXTERNAL];
    ncr_int_t   rc;
    ngx_uint_t  list;

    list = v->conf->logins.nelts || v->conf->orgs.nelts;

    (void) ngx_sprintf(external, "github:%L%Z", v->id);

    rc = ncr_store_person_external(store, (char *) external, &v->person);

    if (rc == NCR_OK && list && !v->allowed) {
        v->barred = 1;
        return NCR_DECLINED;
    }

    if (rc != NCR_DECLINED) {
        return rc;
    }

    if (!v->allowed) {
        v->barred = 1;
        return NCR_DECLINED;
    }

    return ngx_http_claude_relay_github_new(store, call, v,
                                            (char *) external);
}


static ncr_int_t
ngx_http_claude_relay_github_new(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v,
    const char *external)
{
    u_char     *last, *p;
    uint64_t    version;
    ncr_int_t   rc;
    ngx_uint_t  i;

    for (i = 1; i <= NGX_HTTP_CLAUDE_RELAY_GITHUB_NAMES; i++) {

        ngx_memzero(&v->person, sizeof(ncr_store_person_t));

        last = (u_char *) v->person.name + NCR_STORE_NAME - 1;
        p = ngx_cpystrn((u_char *) v->person.name, (u_char *) v->login,
                        NCR_STORE_NAME - 4);

        if (i > 1) {
            (void) ngx_slprintf(p, last, "-%ui%Z", i);
        }

        v->person.role = v->conf->role;
        v->person.enabled = 1;

        (void) ngx_cpystrn((u_char *) v->person.external, (u_char *) external,
                           NCR_STORE_EXTERNAL);

        if (v->person.role == NCR_ROLE_USER) {
            rc = ngx_http_claude_relay_github_taken_by(store, call,
                                                       v->person.name);

            if (rc == NCR_OK) {
                continue;
            }

            if (rc != NCR_DECLINED) {
                return rc;
            }
        }

        version = 0;
        rc = ncr_store_person_put(store, &v->person, &version, NULL,
                                  call->now);

        if (rc == NCR_DECLINED
            && ncr_store_person_external(store, external, &v->person)
               == NCR_OK)
        {
            /* by another worker, a moment ago */
            return NCR_OK;
        }

        if (rc == NCR_DECLINED) {
            continue;
        }

        if (rc == NCR_OK) {
            v->fresh = 1;

            if (v->person.role == NCR_ROLE_USER) {
                rc = ngx_http_claude_relay_person_user(store, v->person.name,
                                                       call->now, &call->seq);
            }
        }

        return rc;
    }

    v->barred = 1;

    return NCR_DECLINED;
}


/* NCR_OK: there is such a user, whose keys are not this one's to see */

static ncr_int_t
ngx_http_claude_relay_github_taken_by(ncr_store_t *store,
    ngx_http_claude_relay_call_t *call, const char *name)
{
    ncr_int_t           rc;
    ncr_store_object_t  row;

    if (ngx_http_claude_relay_person_conf(call->rmcf, name)) {
        return NCR_OK;
    }

    rc = ncr_store_object_find(store, "user", name, &row);

    ncr_store_object_free(&row);

    return rc;
}


static void
ngx_http_claude_relay_github_entered(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "admin: \"%s\" of GitHub (%L) from %V may not log in%s",
                      v->login, v->id, &call->caller.address,
                      v->disabled ? ": disabled" : "");

        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "\"%s\" of GitHub may not log in "
                                         "here", v->login);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "admin: \"%s\" has logged in from %V by GitHub, as \"%s\""
                  " (%L)%s", v->person.name, &call->caller.address, v->login,
                  v->id, v->fresh ? ", for the first time" : "");

    if (call->seq) {
        call->objects = 1;
        ngx_http_claude_relay_call_settle(call,
                                          ngx_http_claude_relay_github_done);
        return;
    }

    ngx_http_claude_relay_github_done(call);
}


static void
ngx_http_claude_relay_github_done(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                         ticket;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    ticket.data = v->ticket;
    ticket.len = ngx_strlen(v->ticket);

    if (call->request
        && (ngx_http_claude_relay_admin_cookie(call->request,
                                  call->caller.door, &ticket,
                                  (time_t) (call->rmcf->admin.session / 1000))
            != NGX_OK
            || ngx_http_claude_relay_add_header(call->request, "Location",
                                             &call->caller.door->prefix)
               != NGX_OK))
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_MOVED_TEMPORARILY, NULL,
                                      0);
}
