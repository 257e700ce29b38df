
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The life of a call: its way, its steps, its answer. */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"


/* how long a change may take to arrive in this worker's roster, ms */
#define NGX_HTTP_CLAUDE_RELAY_SETTLE        1000
#define NGX_HTTP_CLAUDE_RELAY_SETTLE_STEP   5

#define NGX_HTTP_CLAUDE_RELAY_MESSAGE       1024


static ngx_int_t ngx_http_claude_relay_api_forbid(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_forget(cJSON *json);
static void ngx_http_claude_relay_call_left(void *data);
static void ngx_http_claude_relay_call_body(ngx_http_request_t *r);
static void ngx_http_claude_relay_call_start(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_looked(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_look(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_call_begin(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_call_event(ngx_event_t *ev);
static void ngx_http_claude_relay_call_settling(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_send(
    ngx_http_claude_relay_call_t *call, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *body, uint64_t version);


/*
 * A handler of nginx's is on the stack, which looks at its request when it is
 * back, and runs what was posted itself: if that is done before, the request
 * of a client that has left is gone by then.
 */
static ngx_uint_t  ngx_http_claude_relay_inside;

static ngx_str_t  ngx_http_claude_relay_call_json =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_api(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_caller_t *caller)
{
    size_t                              max;
    ngx_int_t                           rc;
    ngx_str_t                           name, item;
    ngx_uint_t                          allow;
    ngx_http_claude_relay_way_t        *way;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    /* what "If-Match" means here is not what nginx takes it for */

    r->disable_not_modified = 1;

    way = ngx_http_claude_relay_way(r, path, &name, &item, &allow);

    if (way == NULL) {
        return ngx_http_claude_relay_api_nowhere(r, allow);
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    call = ngx_http_claude_relay_call_create(rmcf, r, caller);
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_claude_relay_call_copy(call->pool, &call->name, &name)
        != NGX_OK
        || ngx_http_claude_relay_call_copy(call->pool, &call->item, &item)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(call->pool, &call->path, path)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_destroy(call);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call->way = way;

    if (caller->role < ngx_http_claude_relay_way_role(way, caller->role)
        || (caller->must_change
            && ngx_strcmp(way->path, "/v1/session") != 0
            && ngx_strcmp(way->path, "/v1/session/password") != 0))
    {
        return ngx_http_claude_relay_api_forbid(call);
    }

    max = way->large ? NGX_HTTP_CLAUDE_RELAY_BODY_LARGE
                     : NGX_HTTP_CLAUDE_RELAY_BODY;

    if (way->role == NCR_ROLE_NONE) {
        max = NGX_HTTP_CLAUDE_RELAY_BODY_OPEN;
    }

    if (r->headers_in.content_length_n > (off_t) max) {
        ngx_http_claude_relay_call_destroy(call);
        return ngx_http_claude_relay_api_large(r, max);
    }

    call->loc_conf = r->loc_conf;

    if (ngx_http_claude_relay_api_room(r, max) != NGX_OK) {
        ngx_http_claude_relay_call_destroy(call);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_claude_relay_call_body);

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {

        /* in chunks */

        r->keepalive = 0;
        r->lingering_close = 1;

        return ngx_http_claude_relay_api_large(r, max);
    }

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* an answer that comes by way of the trail, and before any body */

static ngx_int_t
ngx_http_claude_relay_api_forbid(ngx_http_claude_relay_call_t *call)
{
    ngx_int_t            rc;
    ncr_role_e           role;
    ngx_http_request_t  *r;

    r = call->request;
    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_destroy(call);
        return rc;
    }

    r->main->count++;

    ngx_http_claude_relay_inside++;

    role = ngx_http_claude_relay_way_role(call->way, call->caller.role);

    if (call->caller.role >= role) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN,
                                         "password_change_required",
                                         "the password must be changed first, "
                                         "by \"/v1/session/password\"");

    } else {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "this takes the role \"%s\"",
                                         ncr_role_name(role));
    }

    ngx_http_claude_relay_inside--;

    return NGX_DONE;
}


/* r NULL: it is not of a client's */

ngx_http_claude_relay_call_t *
ngx_http_claude_relay_call_create(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_request_t *r, ngx_http_claude_relay_caller_t *caller)
{
    ngx_pool_t                    *pool;
    ngx_http_claude_relay_call_t  *call;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    call = ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_call_t));
    if (call == NULL) {
        goto failed;
    }

    call->pool = pool;
    call->request = r;
    call->rmcf = rmcf;
    call->match = UINT64_MAX;
    call->caller = *caller;

    if (ngx_http_claude_relay_call_copy(pool, &call->caller.who, &caller->who)
        != NGX_OK
        || ngx_http_claude_relay_call_copy(pool, &call->caller.person,
                                           &caller->person)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(pool, &call->caller.address,
                                           &caller->address)
           != NGX_OK
        || (r && ngx_http_claude_relay_call_copy(pool, &call->args, &r->args)
                 != NGX_OK))
    {
        goto failed;
    }

    if (caller->role == NCR_ROLE_USER) {
        call->own = call->caller.person;
    }

    if (r) {
        call->cleanup = ngx_http_cleanup_add(r, 0);
        if (call->cleanup == NULL) {
            goto failed;
        }

        call->cleanup->handler = ngx_http_claude_relay_call_left;
        call->cleanup->data = call;
    }

    /* debug builds read an fd of what a timer has: the call is large enough */

    call->timer.data = call;
    call->timer.log = ngx_cycle->log;
    call->timer.handler = ngx_http_claude_relay_call_event;

    call->job.data = call;
    call->job.done = ngx_http_claude_relay_call_done;

    return call;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* with a NUL behind it */

ngx_int_t
ngx_http_claude_relay_call_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from)
{
    to->len = from->len;
    to->data = ngx_pnalloc(pool, from->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    if (from->len) {
        ngx_memcpy(to->data, from->data, from->len);
    }

    to->data[to->len] = '\0';

    return NGX_OK;
}


void
ngx_http_claude_relay_call_destroy(ngx_http_claude_relay_call_t *call)
{
    if (call->cleanup) {
        call->cleanup->handler = NULL;
    }

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    if (call->fetch) {
        ngx_http_claude_relay_fetch_destroy(call->fetch);
    }

    if (call->trial) {
        ngx_http_claude_relay_account_destroy(call->trial);
    }

    if (call->has_found) {
        ncr_store_row_free(&call->found);
    }

    if (call->roster) {
        ngx_http_claude_relay_roster_release(call->rmcf, call->roster);
    }

    if (call->import) {
        ngx_explicit_memzero(call->import, sizeof(ncr_oauth_import_t));
    }

    if (call->tokens) {
        ngx_explicit_memzero(call->tokens, sizeof(ncr_oauth_tokens_t));
    }

    if (call->has_file) {
        (void) ngx_close_file(call->file);
    }

    if (call->text.len) {
        ngx_explicit_memzero(call->text.data, call->text.len);
    }

    ngx_http_claude_relay_call_forget(call->body);
    cJSON_Delete(call->body);

    ngx_destroy_pool(call->pool);
}


/* strings of a body may be secrets; it is no deeper than its parser allows */

static void
ngx_http_claude_relay_call_forget(cJSON *json)
{
    cJSON  *item;

    if (json == NULL) {
        return;
    }

    if (cJSON_IsString(json)) {
        ngx_explicit_memzero(json->valuestring,
                             ngx_strlen(json->valuestring));
    }

    cJSON_ArrayForEach(item, json) {
        ngx_http_claude_relay_call_forget(item);
    }
}


/* the client has left, or its request has ended some other way */

static void
ngx_http_claude_relay_call_left(void *data)
{
    ngx_http_claude_relay_call_t *call = data;

    call->cleanup = NULL;
    call->request = NULL;

    if (call->next == NULL) {

        /* it did not come to its first step */

        ngx_http_claude_relay_call_destroy(call);
    }
}


static void
ngx_http_claude_relay_call_body(ngx_http_request_t *r)
{
    ngx_http_cleanup_t            *cln;
    ngx_http_claude_relay_call_t  *call;

    for (cln = r->main->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_claude_relay_call_left) {
            break;
        }
    }

    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    call = cln->data;

    /* nginx asks the location for more after it has freed the request: that
     * must not be the one of the request's pool */

    r->loc_conf = call->loc_conf;

    /* from here on the client may leave */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_claude_relay_inside++;

    if (ngx_http_claude_relay_call_match(call) == NGX_OK
        && ngx_http_claude_relay_call_parse(call) == NGX_OK)
    {
        ngx_http_claude_relay_call_start(call);
    }

    ngx_http_claude_relay_inside--;
}


/*
 * Another worker may have changed something a moment ago, and told its caller
 * so: before anything else, this one sees what the store has.  Behind each job
 * its thread looks into the store; when the second job is done, what was seen
 * behind the first has arrived.
 */

static void
ngx_http_claude_relay_call_start(ngx_http_claude_relay_call_t *call)
{
    const char  *why;

    if (call->rmcf->store == NULL) {

        if (call->way->store) {
            ngx_http_claude_relay_call_error(call,
                               NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                               "there is no \"claude_relay_store\"");
            return;
        }

        ngx_http_claude_relay_call_begin(call);
        return;
    }

    if (ngx_http_claude_relay_fleet_changes(call->way)) {

        why = ngx_http_claude_relay_fleet_record(call->rmcf);

        if (why) {
            ngx_http_claude_relay_call_error(call,
                               NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                               "nothing can be changed now: %s", why);
            return;
        }
    }

    if (!call->way->look) {
        ngx_http_claude_relay_call_begin(call);
        return;
    }

    ngx_http_claude_relay_call_looked(call);
}


static void
ngx_http_claude_relay_call_looked(ngx_http_claude_relay_call_t *call)
{
    if (call->looks++ < 2) {

        /* a store that fails does not keep from reading what is in memory */

        if (call->looks == 1 || call->job.rc == NCR_OK) {
            ngx_http_claude_relay_call_post(call,
                                          ngx_http_claude_relay_call_look,
                                          ngx_http_claude_relay_call_looked);
            return;
        }
    }

    if (ngx_http_claude_relay_store_applying()) {

        /* a great many of them: seen, but not in place yet */

        ngx_http_claude_relay_call_timer(call, 1,
                                         ngx_http_claude_relay_call_looked);
        return;
    }

    ngx_http_claude_relay_call_begin(call);
}


static void
ngx_http_claude_relay_call_look(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    job->rc = NCR_OK;
}


static void
ngx_http_claude_relay_call_begin(ngx_http_claude_relay_call_t *call)
{
    /* a client that has left by now may change its mind */

    if (call->request == NULL) {
        ngx_http_claude_relay_call_destroy(call);
        return;
    }

    call->roster = call->rmcf->roster;
    call->roster->refs++;

    if (call->name.len) {
        call->account = ngx_http_claude_relay_roster_find(call->roster,
                                                          &call->name);
    }

    if (ngx_http_claude_relay_trail_before(call) == NGX_DECLINED) {
        ngx_http_claude_relay_call_run(call);
    }
}


void
ngx_http_claude_relay_call_run(ngx_http_claude_relay_call_t *call)
{
    if (call->request == NULL && call->parent == NULL && call->whole == NULL)
    {
        ngx_http_claude_relay_call_destroy(call);
        return;
    }

    call->next = call->way->handler;
    call->next(call);
}


void
ngx_http_claude_relay_call_post(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_run_pt run, ngx_http_claude_relay_call_pt next)
{
    call->job.run = run;
    call->next = next;
    call->now = ngx_http_claude_relay_now();

    if (ngx_http_claude_relay_store_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "the store cannot be reached, "
                                         "or this worker is leaving");
    }
}


static void
ngx_http_claude_relay_call_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    call->next(call);
}


void
ngx_http_claude_relay_call_timer(ngx_http_claude_relay_call_t *call,
    ngx_msec_t ms, ngx_http_claude_relay_call_pt next)
{
    call->next = next;
    ngx_add_timer(&call->timer, ms);
}


static void
ngx_http_claude_relay_call_event(ngx_event_t *ev)
{
    ngx_http_claude_relay_call_t *call = ev->data;

    call->next(call);
}


void
ngx_http_claude_relay_call_settle(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next)
{
    ngx_http_claude_relay_store_touched();

    call->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_SETTLE;
    call->settled = next;

    ngx_http_claude_relay_call_settling(call);
}


static void
ngx_http_claude_relay_call_settling(ngx_http_claude_relay_call_t *call)
{
    uint64_t  seq;

    if (call->objects) {
        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        seq = call->rmcf->subjects ? call->rmcf->subjects->seq : UINT64_MAX;
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    } else {
        seq = call->rmcf->roster->seq;
    }

    if (seq < call->seq
        && (ngx_msec_int_t) (call->until - ngx_current_msec) > 0)
    {
        ngx_http_claude_relay_call_timer(call,
                                         NGX_HTTP_CLAUDE_RELAY_SETTLE_STEP,
                                         ngx_http_claude_relay_call_settling);
        return;
    }

    ngx_http_claude_relay_call_acked(call, call->settled);
}


void
ngx_http_claude_relay_call_found(ngx_http_claude_relay_call_t *call,
    ncr_store_account_t *row)
{
    if (call->has_found) {
        ncr_store_row_free(&call->found);
    }

    call->found = *row;
    call->has_found = 1;
}


void
ngx_http_claude_relay_call_answer(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, cJSON *body, uint64_t version)
{
    char        *text;
    ngx_str_t    out;
    ngx_pool_t  *pool;

    ngx_str_null(&out);
    text = NULL;

    if (body) {
        text = cJSON_PrintUnformatted(body);

        /* it may have the secret of a key that was just made */

        ngx_http_claude_relay_call_forget(body);
        cJSON_Delete(body);

        if (text == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return;
        }

        out.len = ngx_strlen(text);

        pool = call->request ? call->request->pool : call->pool;

        out.data = ngx_pnalloc(pool, out.len);
        if (out.data) {
            ngx_memcpy(out.data, text, out.len);
        }

        ngx_explicit_memzero(text, out.len);
        cJSON_free(text);

        if (out.data == NULL) {
            ngx_http_claude_relay_call_memory(call);
            return;
        }
    }

    ngx_http_claude_relay_call_send(call, status,
                                    &ngx_http_claude_relay_call_json, &out,
                                    version);
}


void
ngx_http_claude_relay_call_text_answer(ngx_http_claude_relay_call_t *call,
    ngx_str_t *type, ngx_str_t *text, ngx_str_t *next)
{
    ngx_str_t            body, value;
    ngx_http_request_t  *r;

    r = call->request;
    ngx_str_null(&body);

    if (r) {
        body.len = text->len;
        body.data = ngx_pstrdup(r->pool, text);
        value.len = next->len;
        value.data = ngx_pstrdup(r->pool, next);

        if (body.data == NULL || value.data == NULL
            || (value.len
                && ngx_http_claude_relay_add_header(r, "X-Next", &value)
                   != NGX_OK))
        {
            ngx_http_claude_relay_call_memory(call);
            return;
        }
    }

    ngx_http_claude_relay_call_send(call, NGX_HTTP_OK, type, &body, 0);
}


void
ngx_http_claude_relay_call_file(ngx_http_claude_relay_call_t *call,
    ngx_fd_t fd, off_t size)
{
    ngx_str_t  none;

    static ngx_str_t  type = ngx_string("application/octet-stream");

    ngx_str_null(&none);

    call->file = fd;
    call->file_size = size;
    call->has_file = 1;

    ngx_http_claude_relay_call_send(call, NGX_HTTP_OK, &type, &none, 0);
}


static void
ngx_http_claude_relay_call_send(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body, uint64_t version)
{
    call->answer.status = status;
    call->answer.type = *type;
    call->answer.body = *body;
    call->answer.version = version;

    if (call->parent) {
        ngx_http_claude_relay_trail_seen(call);
        return;
    }

    if (ngx_http_claude_relay_trail_note(call) == NGX_DECLINED) {
        ngx_http_claude_relay_call_leave(call);
    }
}


/* the answer goes out, if somebody listens */

void
ngx_http_claude_relay_call_leave(ngx_http_claude_relay_call_t *call)
{
    off_t                            size;
    ngx_fd_t                         fd;
    ngx_int_t                        rc;
    ngx_str_t                        etag;
    ngx_uint_t                       file;
    ngx_connection_t                *c;
    ngx_http_request_t              *r;
    ngx_http_claude_relay_answer_t   answer;

    r = call->request;
    answer = call->answer;

    if (call->whole) {
        call->ended(call->whole, call->number, answer.status, &answer.body);
        ngx_http_claude_relay_call_destroy(call);
        return;
    }

    if (r == NULL) {
        ngx_http_claude_relay_call_destroy(call);
        return;
    }

    if (answer.version) {
        etag.data = ngx_pnalloc(r->pool, NGX_INT64_LEN + 2);

        if (etag.data) {
            etag.len = ngx_sprintf(etag.data, "\"%uL\"", answer.version)
                       - etag.data;
            (void) ngx_http_claude_relay_add_header(r, "ETag", &etag);
        }
    }

    if (answer.status == NGX_HTTP_UNAUTHORIZED) {
        ngx_str_set(&etag, "Bearer");
        (void) ngx_http_claude_relay_add_header(r, "WWW-Authenticate", &etag);
    }

    fd = call->file;
    size = call->file_size;
    file = call->has_file;

    call->has_file = 0;

    ngx_http_claude_relay_call_destroy(call);

    c = r->connection;

    rc = file ? ngx_http_claude_relay_send_file(r, &answer.type, fd, size)
              : ngx_http_claude_relay_send(r, answer.status, &answer.type,
                                           &answer.body);

    ngx_http_finalize_request(r, rc);

    if (ngx_http_claude_relay_inside == 0) {
        ngx_http_run_posted_requests(c);
    }
}


void
ngx_http_claude_relay_call_error(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, const char *type, const char *fmt, ...)
{
    u_char     *p, message[NGX_HTTP_CLAUDE_RELAY_MESSAGE];
    size_t      size;
    va_list     args;
    ncr_out_t   out;
    ncr_str_t   text;
    ngx_str_t   body;

    va_start(args, fmt);
    p = ngx_vslprintf(message, message + sizeof(message), fmt, args);
    va_end(args);

    text.data = message;
    text.len = p - message;

    if (call->request == NULL && call->parent == NULL && call->whole == NULL)
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "control: a call of %V ended with %ui: %*s",
                      &call->caller.who, status, text.len, text.data);
    }

    size = 128 + 6 * text.len;

    p = ngx_pnalloc(call->request ? call->request->pool : call->pool, size);

    if (p == NULL) {
        ngx_str_null(&body);

    } else {
        ncr_out_init(&out, p, size);
        ngx_http_claude_relay_call_words(&out, status, type, &text);

        body.data = p;
        body.len = out.last - p;
    }

    ngx_http_claude_relay_call_send(call, status,
                                    &ngx_http_claude_relay_call_json, &body,
                                    0);
}


void
ngx_http_claude_relay_call_store_error(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                                     "store: %s", call->job.error);
}


void
ngx_http_claude_relay_call_memory(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                                     "no memory");
}


char *
ngx_http_claude_relay_call_print(ngx_http_claude_relay_call_t *call,
    cJSON *json)
{
    char       *text, *copy;
    ngx_str_t   s;

    text = cJSON_PrintUnformatted(json);
    if (text == NULL) {
        return NULL;
    }

    s.data = (u_char *) text;
    s.len = ngx_strlen(text) + 1;

    copy = (char *) ngx_pstrdup(call->pool, &s);

    ngx_explicit_memzero(text, s.len);
    cJSON_free(text);

    return copy;
}


ngx_uint_t
ngx_http_claude_relay_call_owns(ngx_http_claude_relay_call_t *call,
    ncr_str_t *owner)
{
    return call->own.len == 0
           || (owner->len == call->own.len
               && ngx_memcmp(owner->data, call->own.data, owner->len) == 0);
}


ngx_http_request_t *
ngx_http_claude_relay_call_stream(ngx_http_claude_relay_call_t *call)
{
    ngx_http_request_t  *r;

    r = call->request;

    ngx_http_claude_relay_call_destroy(call);

    return r;
}


ngx_int_t
ngx_http_claude_relay_call_own(ngx_http_claude_relay_call_t *call,
    ngx_str_t *user)
{
    if (call->own.len == 0) {
        return NGX_OK;
    }

    if (user->data && !ngx_http_claude_relay_call_owns(call, ncr(user))) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "you can ask for what is yours only");
        return NGX_ERROR;
    }

    *user = call->own;

    return NGX_OK;
}
