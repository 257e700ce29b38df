
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The life of a call: its way, its body, its steps, its answer. */


#include "ngx_http_claude_relay_api.h"
#include "ncr_oauth_text.h"


/* how long a change may take to arrive in this worker's roster, ms */
#define NGX_HTTP_CLAUDE_RELAY_SETTLE        1000
#define NGX_HTTP_CLAUDE_RELAY_SETTLE_STEP   5

#define NGX_HTTP_CLAUDE_RELAY_MESSAGE       1024

/* of a body that is not large */
#define NGX_HTTP_CLAUDE_RELAY_SMALL         (1024 * 1024)


static ngx_http_claude_relay_call_t *ngx_http_claude_relay_call_create(
    ngx_http_request_t *r, ngx_http_claude_relay_caller_t *caller);
static ngx_int_t ngx_http_claude_relay_call_copy(ngx_pool_t *pool,
    ngx_str_t *to, ngx_str_t *from);
static void ngx_http_claude_relay_call_destroy(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_forget(cJSON *json);
static void ngx_http_claude_relay_call_left(void *data);
static ngx_int_t ngx_http_claude_relay_call_match(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_call_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_call_parse(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_call_gather(
    ngx_http_claude_relay_call_t *call, ngx_str_t *text);
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
static const char *ngx_http_claude_relay_call_type(ngx_uint_t status);


static ngx_str_t  ngx_http_claude_relay_call_json =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_api(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_caller_t *caller)
{
    ngx_int_t                      rc;
    ngx_str_t                      name, item;
    ngx_uint_t                     other;
    ngx_http_claude_relay_way_t   *way;
    ngx_http_claude_relay_call_t  *call;

    /* what "If-Match" means here is not what nginx takes it for */

    r->disable_not_modified = 1;

    way = ngx_http_claude_relay_way(r, path, &name, &item, &other);

    call = ngx_http_claude_relay_call_create(r, caller);
    if (call == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_claude_relay_call_copy(call->pool, &call->name, &name)
        != NGX_OK
        || ngx_http_claude_relay_call_copy(call->pool, &call->item, &item)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_destroy(call);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call->way = way;
    call->other = other;

    rc = ngx_http_read_client_request_body(r, ngx_http_claude_relay_call_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static ngx_http_claude_relay_call_t *
ngx_http_claude_relay_call_create(ngx_http_request_t *r,
    ngx_http_claude_relay_caller_t *caller)
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
    call->rmcf = ngx_http_get_module_main_conf(r,
                                               ngx_http_claude_relay_module);
    call->match = UINT64_MAX;

    call->caller.role = caller->role;

    if (ngx_http_claude_relay_call_copy(pool, &call->caller.who, &caller->who)
        != NGX_OK
        || ngx_http_claude_relay_call_copy(pool, &call->caller.person,
                                           &caller->person)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(pool, &call->caller.address,
                                           &caller->address)
           != NGX_OK
        || ngx_http_claude_relay_call_copy(pool, &call->args, &r->args)
           != NGX_OK)
    {
        goto failed;
    }

    if (caller->role == NCR_ROLE_USER) {
        call->own = call->caller.person;
    }

    call->cleanup = ngx_http_cleanup_add(r, 0);
    if (call->cleanup == NULL) {
        goto failed;
    }

    call->cleanup->handler = ngx_http_claude_relay_call_left;
    call->cleanup->data = call;

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

static ngx_int_t
ngx_http_claude_relay_call_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from)
{
    to->len = from->len;
    to->data = ngx_pnalloc(pool, from->len + 1);

    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);
    to->data[to->len] = '\0';

    return NGX_OK;
}


static void
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

    /* from here on the client may leave */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (call->way == NULL) {
        ngx_http_claude_relay_call_error(call,
                          call->other ? NGX_HTTP_NOT_ALLOWED
                                      : NGX_HTTP_NOT_FOUND, NULL,
                          call->other ? "this method is not allowed here"
                                      : "there is no such path");
        return;
    }

    if (call->caller.role < call->way->role) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "this takes the role \"%s\"",
                                         ncr_role_name(call->way->role));
        return;
    }

    if (ngx_http_claude_relay_call_match(call) != NGX_OK
        || ngx_http_claude_relay_call_parse(call) != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_call_start(call);
}


/* "If-Match": a version as it was told by an ETag, or "*" */

static ngx_int_t
ngx_http_claude_relay_call_match(ngx_http_claude_relay_call_t *call)
{
    int64_t           n;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    h = call->request->headers_in.if_match;

    if (h == NULL || ncr_str_eq(ncr(&h->value), "*")) {
        return NGX_OK;
    }

    value = h->value;

    if (value.len > 2 && value.data[0] == '"'
        && value.data[value.len - 1] == '"')
    {
        value.data++;
        value.len -= 2;
    }

    if (ncr_str_int(ncr(&value), &n) != NCR_OK || n <= 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"If-Match\" must be an \"ETag\" "
                                         "as it was told");
        return NGX_ERROR;
    }

    call->match = (uint64_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_call_parse(ngx_http_claude_relay_call_t *call)
{
    cJSON      *item, *other;
    ngx_str_t   text;

    if (call->way->method != NGX_HTTP_POST
        && call->way->method != NGX_HTTP_PATCH
        && call->way->method != NGX_HTTP_PUT)
    {
        return NGX_OK;
    }

    if (call->way->large == 2) {
        return ngx_http_claude_relay_call_gather(call, &call->text);
    }

    if (ngx_http_claude_relay_call_gather(call, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (text.len > NGX_HTTP_CLAUDE_RELAY_SMALL && !call->way->large) {
        ngx_explicit_memzero(text.data, text.len);
        ngx_http_claude_relay_call_error(call,
                                         NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                         NULL, "the body is too large");
        return NGX_ERROR;
    }

    if (text.len == 0) {
        call->body = cJSON_CreateObject();

    } else {
        call->body = ncr_oauth_json(ncr(&text));
        ngx_explicit_memzero(text.data, text.len);
    }

    if (call->body == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the body must be a JSON object of "
                                         "at most 256 KB, without NUL");
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(item, call->body) {
        for (other = item->next; other; other = other->next) {
            if (ngx_strcmp(item->string, other->string) == 0) {
                ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST,
                                        NULL, "the member \"%*s\" is repeated",
                                        ngx_min(ngx_strlen(item->string), 64),
                                        item->string);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* it is in memory: the buffer is as large as a body may be */

static ngx_int_t
ngx_http_claude_relay_call_gather(ngx_http_claude_relay_call_t *call,
    ngx_str_t *text)
{
    u_char              *p;
    size_t               len, n;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    ngx_str_null(text);

    r = call->request;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        if (!ngx_buf_in_memory(cl->buf)) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "the body is too large");
            return NGX_ERROR;
        }

        len += ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(call->pool, len + 1);

    if (p == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    text->data = p;
    text->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        n = ngx_buf_size(b);
        p = ngx_cpymem(p, b->pos, n);
        ngx_explicit_memzero(b->pos, n);
        b->pos = b->last;
    }

    return NGX_OK;
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

    call->next = call->settled;
    call->next(call);
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
    char       *text;
    ngx_str_t   out;

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

        if (call->request) {
            out.data = ngx_pnalloc(call->request->pool, out.len);
            if (out.data) {
                ngx_memcpy(out.data, text, out.len);
            }
        }

        ngx_explicit_memzero(text, out.len);
        cJSON_free(text);

        if (call->request && out.data == NULL) {
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
    off_t                size;
    ngx_fd_t             fd;
    ngx_uint_t           file;
    ngx_int_t            rc;
    ngx_str_t            etag;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = call->request;

    if (r == NULL) {
        ngx_http_claude_relay_call_destroy(call);
        return;
    }

    if (version) {
        etag.data = ngx_pnalloc(r->pool, NGX_INT64_LEN + 2);

        if (etag.data) {
            etag.len = ngx_sprintf(etag.data, "\"%uL\"", version) - etag.data;
            (void) ngx_http_claude_relay_add_header(r, "ETag", &etag);
        }
    }

    fd = call->file;
    size = call->file_size;
    file = call->has_file;

    call->has_file = 0;

    ngx_http_claude_relay_call_destroy(call);

    c = r->connection;

    rc = file ? ngx_http_claude_relay_send_file(r, type, fd, size)
              : ngx_http_claude_relay_send(r, status, type, body);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
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

    if (call->request == NULL) {
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
        ncr_out_text(&out, "{\"error\":{\"type\":\"");
        ncr_out_text(&out, type ? type
                                : ngx_http_claude_relay_call_type(status));
        ncr_out_text(&out, "\",\"message\":");
        ncr_out_json_string(&out, &text);
        ncr_out_text(&out, "}}");

        body.data = p;
        body.len = out.last - p;
    }

    ngx_http_claude_relay_call_send(call, status,
                                    &ngx_http_claude_relay_call_json, &body,
                                    0);
}


static const char *
ngx_http_claude_relay_call_type(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_FORBIDDEN:
        return "forbidden";

    case NGX_HTTP_NOT_FOUND:
        return "not_found";

    case NGX_HTTP_CONFLICT:
        return "conflict";

    case NGX_HTTP_PRECONDITION_FAILED:
        return "precondition_failed";

    case NGX_HTTP_BAD_GATEWAY:
        return "upstream";

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "unavailable";

    default:
        return "invalid_request";
    }
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


ngx_int_t
ngx_http_claude_relay_call_members(ngx_http_claude_relay_call_t *call,
    const char *const *names, cJSON **values, cJSON *settings)
{
    cJSON       *item, *copy;
    ngx_uint_t   i;

    for (i = 0; names[i]; i++) {
        values[i] = NULL;
    }

    cJSON_ArrayForEach(item, call->body) {

        for (i = 0; names[i]; i++) {
            if (ngx_strcmp(names[i], item->string) == 0) {
                values[i] = item;
                break;
            }
        }

        if (names[i]) {
            continue;
        }

        if (settings && ngx_http_claude_relay_is_setting(item->string)) {

            copy = cJSON_Duplicate(item, 1);

            if (copy == NULL) {
                ngx_http_claude_relay_call_memory(call);
                return NGX_ERROR;
            }

            (void) cJSON_AddItemToObject(settings, item->string, copy);
            continue;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no member \"%*s\" here",
                                         ngx_min(ngx_strlen(item->string), 64),
                                         item->string);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_text(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, size_t max, char **text)
{
    ncr_str_t  s;

    *text = NULL;

    if (value == NULL) {
        return NGX_OK;
    }

    if (cJSON_IsString(value)) {
        s.data = (u_char *) value->valuestring;
        s.len = ngx_strlen(value->valuestring);

        if (ncr_oauth_visible(&s) && s.len <= max) {
            *text = value->valuestring;
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"%s\" must be a string of 1 to %uz "
                                     "visible ASCII characters", name, max);

    return NGX_ERROR;
}


/* what fits into a path, a log and a zone */

ngx_uint_t
ngx_http_claude_relay_valid_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len >= NGX_HTTP_CLAUDE_RELAY_NAME_LEN
        || ncr_str_eq(ncr(name), ".") || ncr_str_eq(ncr(name), ".."))
    {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-')
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_claude_relay_call_name(ngx_http_claude_relay_call_t *call,
    ngx_str_t *name)
{
    call->name.len = name->len;
    call->name.data = ngx_pnalloc(call->pool, name->len + 1);

    if (call->name.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(call->name.data, name->data, name->len + 1);
    (void) ngx_cpystrn((u_char *) call->row.name, call->name.data,
                       sizeof(call->row.name));

    return NGX_OK;
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


ngx_int_t
ngx_http_claude_relay_call_arg(ngx_http_claude_relay_call_t *call, u_char **p,
    ngx_str_t *arg)
{
    u_char  *last, *end;

    last = call->args.data + call->args.len;

    if (*p >= last) {
        return NGX_DONE;
    }

    end = ngx_strlchr(*p, last, '&');
    end = end ? end : last;

    arg->data = *p;
    arg->len = end - *p;

    *p = end + 1;

    return NGX_OK;
}
