
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The audit log by the API.  The thread that keeps it searches, and writes the
 * answer as JSON: texts of others may be any bytes, and what is no UTF-8 has
 * U+FFFD in its place.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_audit.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_AUDIT_LIMIT    100    /* if none is given */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_MOST     1000

/* an answer with bodies ends when it is larger than that */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_ANSWER   (4 * 1024 * 1024)

/* ms that a search may keep the thread from writing */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_SEARCH   2000

/* of an entry, besides its texts */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_FRAME    2048


/* a question and its answer; data is not of the call's pool: it grows in the
 * thread */

typedef struct {
    ncr_audit_query_t                  query;
    u_char                            *data;
    size_t                             len;
    size_t                             size;
    ngx_uint_t                         n;
    uint64_t                           last;    /* number that was given */
    ngx_uint_t                         more;
    ngx_uint_t                         memory;  /* there was none */
    ncr_audit_state_t                  state;
} ngx_http_claude_relay_audit_ask_t;


static ngx_http_claude_relay_audit_ask_t *ngx_http_claude_relay_audit_ask(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_audit_args(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask);
static ngx_int_t ngx_http_claude_relay_audit_arg(
    ngx_http_claude_relay_call_t *call, ncr_audit_query_t *q, ngx_str_t *name,
    ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_audit_status(ngx_str_t *value,
    ncr_uint_t *status);
static ngx_int_t ngx_http_claude_relay_audit_time(
    ngx_http_claude_relay_call_t *call, ngx_str_t *value, ncr_msec_t *t);
static ngx_int_t ngx_http_claude_relay_audit_number(ngx_str_t *value,
    uint64_t *n);
static void ngx_http_claude_relay_audit_begin(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask,
    ngx_http_claude_relay_call_pt next);
static void ngx_http_claude_relay_audit_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_audit_found(void *data,
    ncr_audit_entry_t *e);
static void ngx_http_claude_relay_audit_json(ncr_out_t *out,
    ncr_audit_entry_t *e, ngx_uint_t texts);
static void ngx_http_claude_relay_audit_words(ncr_out_t *out,
    ncr_audit_entry_t *e);
static void ngx_http_claude_relay_audit_headers(ncr_out_t *out,
    ncr_str_t *headers);
static void ngx_http_claude_relay_audit_side(ncr_out_t *out, const char *name,
    ncr_str_t *headers, ncr_str_t *body, uint64_t size, ngx_uint_t cut);
static void ngx_http_claude_relay_audit_flag(ncr_out_t *out, const char *name,
    ngx_uint_t set);
static void ngx_http_claude_relay_audit_listed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_audit_shown(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_audit_failed(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask);


void
ngx_http_claude_relay_api_audit(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_audit_ask_t  *ask;

    ask = ngx_http_claude_relay_audit_ask(call);
    if (ask == NULL) {
        return;
    }

    if (ngx_http_claude_relay_audit_args(call, ask) != NGX_OK) {
        return;
    }

    /* one more shows whether there are more */

    ask->query.limit++;

    ngx_http_claude_relay_audit_begin(call, ask,
                                      ngx_http_claude_relay_audit_listed);
}


/* by number, or by an id */

void
ngx_http_claude_relay_api_audit_entry(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_audit_ask_t  *ask;

    ask = ngx_http_claude_relay_audit_ask(call);
    if (ask == NULL) {
        return;
    }

    ask->query.texts = 1;
    ask->query.limit = 1;

    if (call->own.len) {
        ask->query.user = (char *) call->own.data;
    }

    if (call->name.len > 19
        || ngx_http_claude_relay_audit_number(&call->name, &ask->query.number)
           != NGX_OK)
    {
        ask->query.number = 0;
        ask->query.id = (char *) call->name.data;
    }

    ngx_http_claude_relay_audit_begin(call, ask,
                                      ngx_http_claude_relay_audit_shown);
}


static ngx_http_claude_relay_audit_ask_t *
ngx_http_claude_relay_audit_ask(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_audit_ask_t   *ask;
    ngx_http_claude_relay_audit_conf_t  *acf;

    acf = call->rmcf->audit;

    if (acf == NULL || acf->path.len == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "there is no "
                                         "\"claude_relay_audit_log\"");
        return NULL;
    }

    ask = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_audit_ask_t));

    if (ask == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    call->data = ask;

    return ask;
}


static ngx_int_t
ngx_http_claude_relay_audit_args(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   name, value, user;

    ask->query.limit = NGX_HTTP_CLAUDE_RELAY_AUDIT_LIMIT;

    p = call->args.data;

    for ( ;; ) {

        rc = ngx_http_claude_relay_call_pair(call, &p, &name, &value);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK
            && ngx_http_claude_relay_audit_arg(call, &ask->query, &name,
                                               &value)
               == NGX_OK)
        {
            continue;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                        "in the query: \"%*s\"; it takes \"id\", \"key\", "
                        "\"user\", \"account\", \"status\" (\"429\", \"5xx\"), "
                        "\"from\", \"until\" (times), \"since\" (a time or "
                        "\"1h\"), \"after\", \"before\" (numbers), \"limit\" "
                        "(1 to 1000), \"bodies=on\"",
                        ngx_min(name.len, 32), name.data);
        return NGX_ERROR;
    }

    ngx_str_null(&user);

    if (ask->query.user) {
        user.data = (u_char *) ask->query.user;
        user.len = ngx_strlen(user.data);
    }

    if (ngx_http_claude_relay_call_own(call, &user) != NGX_OK) {
        return NGX_ERROR;
    }

    ask->query.user = (char *) user.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_audit_arg(ngx_http_claude_relay_call_t *call,
    ncr_audit_query_t *q, ngx_str_t *name, ngx_str_t *value)
{
    uint64_t  n;

    if (value->len == 0) {
        return NGX_ERROR;
    }

    if (ncr_str_eq(ncr(name), "id")) {
        q->id = (char *) value->data;

    } else if (ncr_str_eq(ncr(name), "key")) {
        q->key = (char *) value->data;

    } else if (ncr_str_eq(ncr(name), "user")) {
        q->user = (char *) value->data;

    } else if (ncr_str_eq(ncr(name), "account")) {
        q->account = (char *) value->data;

    } else if (ncr_str_eq(ncr(name), "status")) {
        return ngx_http_claude_relay_audit_status(value, &q->status);

    } else if (ncr_str_eq(ncr(name), "from")
               || ncr_str_eq(ncr(name), "since"))
    {
        return ngx_http_claude_relay_audit_time(call, value, &q->from);

    } else if (ncr_str_eq(ncr(name), "until")) {
        return ngx_http_claude_relay_audit_time(call, value, &q->until);

    } else if (ncr_str_eq(ncr(name), "after")) {
        q->ascending = 1;
        return ngx_http_claude_relay_audit_number(value, &q->after);

    } else if (ncr_str_eq(ncr(name), "before")) {
        return ngx_http_claude_relay_audit_number(value, &q->before);

    } else if (ncr_str_eq(ncr(name), "limit")) {

        if (ngx_http_claude_relay_audit_number(value, &n) != NGX_OK
            || n == 0 || n > NGX_HTTP_CLAUDE_RELAY_AUDIT_MOST)
        {
            return NGX_ERROR;
        }

        q->limit = n;

    } else if (ncr_str_eq(ncr(name), "bodies")
               && ncr_str_eq(ncr(value), "on"))
    {
        q->texts = 1;

    } else {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* "429", or "4xx" */

static ngx_int_t
ngx_http_claude_relay_audit_status(ngx_str_t *value, ncr_uint_t *status)
{
    ngx_int_t  n;

    if (value->len != 3) {
        return NGX_ERROR;
    }

    if (ngx_strncmp(value->data + 1, "xx", 2) == 0) {
        n = ngx_atoi(value->data, 1);
        *status = n;

        return (n >= 1 && n <= 9) ? NGX_OK : NGX_ERROR;
    }

    n = ngx_atoi(value->data, 3);
    *status = n;

    return (n >= 100) ? NGX_OK : NGX_ERROR;
}


/* a time, or how long ago it was */

static ngx_int_t
ngx_http_claude_relay_audit_time(ngx_http_claude_relay_call_t *call,
    ngx_str_t *value, ncr_msec_t *t)
{
    u_char     last;
    ngx_int_t  n;

    last = value->data[value->len - 1];

    if (last == 's' || last == 'm' || last == 'h' || last == 'd'
        || last == 'w')
    {
        n = ngx_parse_time(value, 1);

        if (n != NGX_ERROR) {
            *t = ngx_http_claude_relay_now() - (ncr_msec_t) n * 1000;
            return NGX_OK;
        }
    }

    return (ncr_str_time(ncr(value), t) == NCR_OK && *t > 0) ? NGX_OK
                                                             : NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_audit_number(ngx_str_t *value, uint64_t *n)
{
    int64_t  i;

    if (ncr_str_int(ncr(value), &i) != NCR_OK || i < 0) {
        return NGX_ERROR;
    }

    *n = (uint64_t) i;

    return NGX_OK;
}


static void
ngx_http_claude_relay_audit_begin(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask,
    ngx_http_claude_relay_call_pt next)
{
    call->job.run = ngx_http_claude_relay_audit_run;
    call->next = next;

    if (ngx_http_claude_relay_audit_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "the audit log cannot be "
                                         "reached, or this worker is leaving");
    }
}


/* in the thread; may be called again, on another file */

static void
ngx_http_claude_relay_audit_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_audit_t                        *db;
    ngx_http_claude_relay_audit_ask_t  *ask;

    ask = call->data;
    db = ngx_http_claude_relay_audit_db();

    ask->len = 0;
    ask->n = 0;
    ask->more = 0;

    job->rc = ncr_audit_search(db, &ask->query,
                               NGX_HTTP_CLAUDE_RELAY_AUDIT_SEARCH,
                               ngx_http_claude_relay_audit_found, ask);

    if (job->rc == NCR_DONE) {
        job->rc = NCR_OK;
    }

    if (job->rc == NCR_OK) {
        job->rc = ncr_audit_state(db, &ask->state);
    }

    if (job->rc != NCR_OK) {
        (void) ngx_cpystrn((u_char *) job->error,
                           (u_char *) ncr_audit_error(db),
                           sizeof(job->error));
    }
}


static ncr_int_t
ngx_http_claude_relay_audit_found(void *data, ncr_audit_entry_t *e)
{
    ngx_http_claude_relay_audit_ask_t *ask = data;

    u_char     *p;
    size_t      need, size;
    ncr_out_t   out;

    if (ask->query.limit > 1
        && (ask->n == ask->query.limit - 1
            || ask->len > NGX_HTTP_CLAUDE_RELAY_AUDIT_ANSWER))
    {
        ask->more = 1;
        return NCR_DONE;
    }

    /* six bytes for one, if all of it must be escaped */

    need = NGX_HTTP_CLAUDE_RELAY_AUDIT_FRAME
           + 6 * (e->id.len + e->provider_id.len + e->key.len + e->user.len
                  + e->account.len + e->platform.len + e->class.len
                  + e->op.len + e->model.len + e->served.len + e->method.len
                  + e->uri.len + e->address.len + e->trail.len
                  + e->request_headers.len + e->response_headers.len
                  + e->request.len + e->response.len);

    if (need > ask->size - ask->len) {

        size = ngx_max(2 * ask->size, ask->len + need);

        p = ngx_alloc(size, ngx_cycle->log);

        if (p == NULL) {
            ask->memory = 1;
            return NCR_ERROR;
        }

        if (ask->data) {
            ngx_memcpy(p, ask->data, ask->len);
            ngx_free(ask->data);
        }

        ask->data = p;
        ask->size = size;
    }

    ncr_out_init(&out, ask->data + ask->len, ask->size - ask->len - 1);

    if (ask->n++) {
        ncr_out_text(&out, ",");
    }

    ngx_http_claude_relay_audit_json(&out, e, ask->query.texts);

    ask->len += out.last - out.start;
    ask->last = e->number;

    return NCR_OK;
}


static void
ngx_http_claude_relay_audit_json(ncr_out_t *out, ncr_audit_entry_t *e,
    ngx_uint_t texts)
{
    char    time[NCR_STR_RFC3339];
    u_char  buf[512], *p;

    ncr_str_rfc3339(time, e->time);

    p = ngx_slprintf(buf, buf + sizeof(buf),
                     "{\"number\":%uL,\"time\":\"%s\",\"time_ms\":%L,"
                     "\"status\":%ui,\"duration\":%uL,\"attempts\":%uL,",
                     e->number, time, e->time, e->status, e->duration,
                     e->attempts);

    p = (e->ttft == -1)
        ? ngx_slprintf(p, buf + sizeof(buf), "\"ttft\":null,")
        : ngx_slprintf(p, buf + sizeof(buf), "\"ttft\":%L,", e->ttft);

    p = ngx_slprintf(p, buf + sizeof(buf),
                     "\"tokens\":{\"input\":%uL,\"output\":%uL,"
                     "\"cache_read\":%uL,\"cache_write\":%uL},\"cost\":%uL,",
                     e->input, e->output, e->cache_read, e->cache_write,
                     e->cost);

    ncr_out_bytes(out, buf, p - buf);

    ngx_http_claude_relay_audit_words(out, e);

    ngx_http_claude_relay_audit_flag(out, "sampled",
                                     e->flags & NCR_AUDIT_SAMPLED);
    ngx_http_claude_relay_audit_flag(out, "stream",
                                     e->flags & NCR_AUDIT_STREAM);
    ngx_http_claude_relay_audit_flag(out, "estimated",
                                     e->flags & NCR_AUDIT_ESTIMATED);
    ngx_http_claude_relay_audit_flag(out, "unpriced",
                                     e->flags & NCR_AUDIT_UNPRICED);
    ngx_http_claude_relay_audit_flag(out, "decoded",
                                     e->flags & NCR_AUDIT_DECODED);
    ngx_http_claude_relay_audit_flag(out, "encoded",
                                     e->flags & NCR_AUDIT_ENCODED);
    ngx_http_claude_relay_audit_flag(out, "dropped",
                                     e->flags & NCR_AUDIT_DROPPED);

    if (texts) {
        ngx_http_claude_relay_audit_side(out, "request", &e->request_headers,
                                         &e->request, e->request_size,
                                         e->flags & NCR_AUDIT_REQUEST);
        ncr_out_text(out, ",");
        ngx_http_claude_relay_audit_side(out, "response",
                                         &e->response_headers, &e->response,
                                         e->response_size,
                                         e->flags & NCR_AUDIT_RESPONSE);

    } else {
        p = ngx_slprintf(buf, buf + sizeof(buf),
                         "\"request_size\":%uL,\"response_size\":%uL",
                         e->request_size, e->response_size);
        ncr_out_bytes(out, buf, p - buf);
    }

    ncr_out_text(out, "}");
}


static void
ngx_http_claude_relay_audit_words(ncr_out_t *out, ncr_audit_entry_t *e)
{
    ngx_uint_t  i;

    struct {
        const char  *name;
        ncr_str_t   *value;
    } words[] = {
        { "id", &e->id }, { "provider_id", &e->provider_id },
        { "key", &e->key }, { "user", &e->user }, { "account", &e->account },
        { "platform", &e->platform }, { "class", &e->class }, { "op", &e->op },
        { "model", &e->model }, { "served", &e->served },
        { "method", &e->method }, { "uri", &e->uri },
        { "address", &e->address }, { "trail", &e->trail }
    };

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        ncr_out_text(out, "\"");
        ncr_out_text(out, words[i].name);
        ncr_out_text(out, "\":");
        ncr_out_json_string(out, words[i].value);
        ncr_out_text(out, ",");
    }
}


static void
ngx_http_claude_relay_audit_flag(ncr_out_t *out, const char *name,
    ngx_uint_t set)
{
    ncr_out_text(out, "\"");
    ncr_out_text(out, name);
    ncr_out_text(out, set ? "\":true," : "\":false,");
}


static void
ngx_http_claude_relay_audit_side(ncr_out_t *out, const char *name,
    ncr_str_t *headers, ncr_str_t *body, uint64_t size, ngx_uint_t cut)
{
    u_char  buf[NGX_INT64_LEN], *p;

    ncr_out_text(out, "\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":{\"headers\":");
    ngx_http_claude_relay_audit_headers(out, headers);
    ncr_out_text(out, ",\"size\":");

    p = ngx_slprintf(buf, buf + sizeof(buf), "%uL", size);
    ncr_out_bytes(out, buf, p - buf);

    ncr_out_text(out, cut ? ",\"truncated\":true" : ",\"truncated\":false");
    ncr_out_text(out, ",\"body\":");

    if (body->len) {
        ncr_out_json_string(out, body);

    } else {
        ncr_out_text(out, "null");
    }

    ncr_out_text(out, "}");
}


/* lines as a list of strings: a name may stand there twice */

static void
ngx_http_claude_relay_audit_headers(ncr_out_t *out, ncr_str_t *headers)
{
    u_char     *p, *last, *end;
    ncr_str_t   line;

    p = headers->data;
    last = p + headers->len;

    ncr_out_text(out, "[");

    while (p < last) {

        end = ngx_strlchr(p, last, '\n');
        if (end == NULL) {
            end = last;
        }

        line.data = p;
        line.len = end - p;

        if (p > headers->data) {
            ncr_out_text(out, ",");
        }

        ncr_out_json_string(out, &line);

        p = end + 1;
    }

    ncr_out_text(out, "]");
}


static void
ngx_http_claude_relay_audit_listed(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    u_char                             *p;
    ncr_out_t                           out;
    ngx_http_claude_relay_zone_t       *zone;
    ngx_http_claude_relay_audit_ask_t  *ask;

    ask = call->data;
    zone = call->rmcf->zone;

    if (ngx_http_claude_relay_audit_failed(call, ask) != NGX_OK) {
        return;
    }

    p = ngx_alloc(ask->len + 3, ngx_cycle->log);

    json = cJSON_CreateObject();

    if (p == NULL || json == NULL) {
        ngx_free(ask->data);
        ngx_free(p);
        cJSON_Delete(json);
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ncr_out_init(&out, p, ask->len + 2);
    ncr_out_text(&out, "[");
    ncr_out_bytes(&out, ask->data, ask->len);
    ncr_out_text(&out, "]");
    *out.last = '\0';

    (void) cJSON_AddRawToObject(json, "entries", (char *) p);

    ngx_free(p);
    ngx_free(ask->data);

    if (ask->more) {
        (void) cJSON_AddNumberToObject(json, "next", (double) ask->last);

    } else {
        (void) cJSON_AddNullToObject(json, "next");
    }

    if (call->own.len) {

        /* how much there is of others is not theirs to know */

        ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
        return;
    }

    (void) cJSON_AddNumberToObject(json, "first", (double) ask->state.first);
    (void) cJSON_AddNumberToObject(json, "last", (double) ask->state.last);
    (void) cJSON_AddNumberToObject(json, "bytes", (double) ask->state.bytes);
    (void) cJSON_AddNumberToObject(json, "written", (double) zone->audited);
    (void) cJSON_AddNumberToObject(json, "dropped",
                                   (double) zone->audit_dropped);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_audit_shown(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    ngx_http_claude_relay_audit_ask_t  *ask;

    ask = call->data;

    if (ngx_http_claude_relay_audit_failed(call, ask) != NGX_OK) {
        return;
    }

    if (ask->n == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "no such request is in the audit "
                                         "log");
        return;
    }

    ask->data[ask->len] = '\0';
    json = cJSON_CreateRaw((char *) ask->data);

    ngx_free(ask->data);

    if (json == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static ngx_int_t
ngx_http_claude_relay_audit_failed(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_audit_ask_t *ask)
{
    if (call->job.rc == NCR_OK) {
        return NGX_OK;
    }

    if (ask->data) {
        ngx_free(ask->data);
    }

    if (ask->memory) {
        ngx_http_claude_relay_call_memory(call);

    } else {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "audit log: %s",
                                         call->job.error);
    }

    return NGX_ERROR;
}
