
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The trail of actions, and whether it is whole.  A question may have to look
 * at many rows; it does so in pieces, as tokens wait for the same thread.
 */


#include "ngx_http_claude_relay_api.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_ACTIONS_LIMIT   100   /* if none is given */
#define NGX_HTTP_CLAUDE_RELAY_ACTIONS_MOST    1000

/* rows that are looked at in one job */
#define NGX_HTTP_CLAUDE_RELAY_ACTIONS_PIECE   2000

/* an answer ends when it is larger than that */
#define NGX_HTTP_CLAUDE_RELAY_ACTIONS_ANSWER  (1024 * 1024)

/* of a row, besides its texts */
#define NGX_HTTP_CLAUDE_RELAY_ACTIONS_FRAME   512


/* data is not of the call's pool: it grows in the thread */

typedef struct {
    uint64_t                           below;
    ncr_msec_t                         from;
    ncr_msec_t                         until;
    char                              *who;
    char                              *path;
    ngx_uint_t                         limit;
    ngx_uint_t                         csv;
    ngx_uint_t                         n;
    ngx_uint_t                         more;
    ngx_uint_t                         memory;  /* there was none */
    uint64_t                           last;
    u_char                            *data;
    size_t                             len;
    size_t                             size;
    ncr_store_chain_t                  chain;
} ngx_http_claude_relay_actions_t;


static void ngx_http_claude_relay_api_trail(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_trail_check(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_actions_t *ngx_http_claude_relay_actions(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_actions_free(void *data);
static ngx_int_t ngx_http_claude_relay_actions_args(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_actions_t *a);
static ngx_int_t ngx_http_claude_relay_actions_arg(
    ngx_http_claude_relay_actions_t *a, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_actions_time(ngx_str_t *value,
    ncr_msec_t *t);
static void ngx_http_claude_relay_actions_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_actions_found(void *data,
    ncr_store_action_t *action);
static ngx_int_t ngx_http_claude_relay_actions_room(
    ngx_http_claude_relay_actions_t *a, size_t need);
static void ngx_http_claude_relay_actions_json(ncr_out_t *out,
    ncr_store_action_t *action);
static void ngx_http_claude_relay_actions_side(ncr_out_t *out,
    const char *name, char *text);
static void ngx_http_claude_relay_actions_csv(ncr_out_t *out,
    ncr_store_action_t *action);
static void ngx_http_claude_relay_actions_cell(ncr_out_t *out, char *text);
static void ngx_http_claude_relay_actions_next(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_actions_answer(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_actions_t *a);
static void ngx_http_claude_relay_actions_check_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_actions_checked(
    ngx_http_claude_relay_call_t *call);


static ngx_str_t  ngx_http_claude_relay_actions_csv_type =
    ngx_string("text/csv; charset=utf-8");


ngx_http_claude_relay_way_t  ngx_http_claude_relay_trail_ways[] = {

    { NGX_HTTP_GET, "/v1/actions", ngx_http_claude_relay_api_trail,
      NCR_ROLE_VIEWER, 0, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/actions/check",
      ngx_http_claude_relay_api_trail_check,
      NCR_ROLE_OPERATOR, 0, 1, 0, 1 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static ngx_http_claude_relay_actions_t *
ngx_http_claude_relay_actions(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_claude_relay_actions_t  *a;

    a = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_actions_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (a == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_actions_free;
    cln->data = a;

    call->data = a;

    return a;
}


static void
ngx_http_claude_relay_actions_free(void *data)
{
    ngx_http_claude_relay_actions_t *a = data;

    if (a->data) {
        ngx_free(a->data);
    }
}


static void
ngx_http_claude_relay_api_trail(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_actions_t  *a;

    a = ngx_http_claude_relay_actions(call);

    if (a == NULL || ngx_http_claude_relay_actions_args(call, a) != NGX_OK) {
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_actions_run,
                                    ngx_http_claude_relay_actions_next);
}


static ngx_int_t
ngx_http_claude_relay_actions_args(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_actions_t *a)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   name, value;

    a->limit = NGX_HTTP_CLAUDE_RELAY_ACTIONS_LIMIT;

    p = call->args.data;

    for ( ;; ) {

        rc = ngx_http_claude_relay_call_pair(call, &p, &name, &value);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK && value.len
            && ngx_http_claude_relay_actions_arg(a, &name, &value) == NGX_OK)
        {
            continue;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                        "in the query: \"%*s\"; it takes \"who\", \"path\" "
                        "(prefixes), \"from\", \"until\" (times), \"since\" "
                        "(a time or \"1h\"), \"below\" (a number), \"limit\" "
                        "(1 to 1000), \"format\" (\"json\", \"csv\")",
                        ngx_min(name.len, 32), name.data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_actions_arg(ngx_http_claude_relay_actions_t *a,
    ngx_str_t *name, ngx_str_t *value)
{
    int64_t  n;

    if (ncr_str_eq(ncr(name), "who")) {
        a->who = (char *) value->data;
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(name), "path")) {
        a->path = (char *) value->data;
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(name), "from") || ncr_str_eq(ncr(name), "since")) {
        return ngx_http_claude_relay_actions_time(value, &a->from);
    }

    if (ncr_str_eq(ncr(name), "until")) {
        return ngx_http_claude_relay_actions_time(value, &a->until);
    }

    if (ncr_str_eq(ncr(name), "format")) {
        a->csv = ncr_str_eq(ncr(value), "csv");
        return (a->csv || ncr_str_eq(ncr(value), "json")) ? NGX_OK
                                                          : NGX_ERROR;
    }

    if (ncr_str_int(ncr(value), &n) != NCR_OK || n <= 0) {
        return NGX_ERROR;
    }

    if (ncr_str_eq(ncr(name), "below")) {
        a->below = (uint64_t) n;
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(name), "limit")
        && n <= NGX_HTTP_CLAUDE_RELAY_ACTIONS_MOST)
    {
        a->limit = (ngx_uint_t) n;
        return NGX_OK;
    }

    return NGX_ERROR;
}


/* a time, or how long ago it was */

static ngx_int_t
ngx_http_claude_relay_actions_time(ngx_str_t *value, ncr_msec_t *t)
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


/* in the thread; a piece that is asked for again begins where it did */

static void
ngx_http_claude_relay_actions_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                         rc;
    ngx_http_claude_relay_actions_t  *a;

    a = call->data;

    rc = ncr_store_actions(store, &a->below, a->from, a->until, a->who,
                           a->path, NGX_HTTP_CLAUDE_RELAY_ACTIONS_PIECE,
                           ngx_http_claude_relay_actions_found, a);

    if (rc == NCR_AGAIN) {
        job->rc = rc;
        return;
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_actions_found(void *data, ncr_store_action_t *action)
{
    ngx_http_claude_relay_actions_t *a = data;

    size_t     need;
    ncr_out_t  out;

    if (a->n == a->limit || a->len > NGX_HTTP_CLAUDE_RELAY_ACTIONS_ANSWER) {
        a->more = 1;
        return NCR_DONE;
    }

    /* six bytes for one, if all of it must be escaped */

    need = NGX_HTTP_CLAUDE_RELAY_ACTIONS_FRAME
           + 6 * (ngx_strlen(action->who) + ngx_strlen(action->role)
                  + ngx_strlen(action->address) + ngx_strlen(action->method)
                  + ngx_strlen(action->path) + ngx_strlen(action->before)
                  + ngx_strlen(action->after));

    if (ngx_http_claude_relay_actions_room(a, need) != NGX_OK) {
        a->memory = 1;
        return NCR_DONE;
    }

    ncr_out_init(&out, a->data + a->len, a->size - a->len);

    if (a->csv) {
        ngx_http_claude_relay_actions_csv(&out, action);

    } else {
        if (a->n) {
            ncr_out_text(&out, ",");
        }

        ngx_http_claude_relay_actions_json(&out, action);
    }

    a->len += out.last - out.start;
    a->last = action->number;
    a->n++;

    return NCR_OK;
}


static ngx_int_t
ngx_http_claude_relay_actions_room(ngx_http_claude_relay_actions_t *a,
    size_t need)
{
    u_char  *p;
    size_t   size;

    if (need <= a->size - a->len) {
        return NGX_OK;
    }

    size = ngx_max(2 * a->size, a->len + need);

    p = ngx_alloc(size, ngx_cycle->log);

    if (p == NULL) {
        return NGX_ERROR;
    }

    if (a->data) {
        ngx_memcpy(p, a->data, a->len);
        ngx_free(a->data);
    }

    a->data = p;
    a->size = size;

    return NGX_OK;
}


static void
ngx_http_claude_relay_actions_json(ncr_out_t *out,
    ncr_store_action_t *action)
{
    char        time[NCR_STR_RFC3339];
    u_char      buf[128], *p;
    ncr_str_t   s;
    ngx_uint_t  i;

    struct {
        const char  *name;
        char        *value;
    } words[] = {
        { "who", action->who }, { "role", action->role },
        { "address", action->address }, { "method", action->method },
        { "path", action->path }
    };

    ncr_str_rfc3339(time, action->time);

    p = ngx_slprintf(buf, buf + sizeof(buf),
                     "{\"number\":%uL,\"time\":\"%s\",\"time_ms\":%L,",
                     action->number, time, action->time);

    ncr_out_bytes(out, buf, p - buf);

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        s.data = (u_char *) words[i].value;
        s.len = ngx_strlen(s.data);

        ncr_out_text(out, "\"");
        ncr_out_text(out, words[i].name);
        ncr_out_text(out, "\":");
        ncr_out_json_string(out, &s);
        ncr_out_text(out, ",");
    }

    p = ngx_slprintf(buf, buf + sizeof(buf), "\"status\":%ui,",
                     action->status);
    ncr_out_bytes(out, buf, p - buf);

    ngx_http_claude_relay_actions_side(out, "before", action->before);
    ngx_http_claude_relay_actions_side(out, "after", action->after);

    ncr_out_text(out, "\"hash\":\"");
    ncr_out_text(out, action->hash);
    ncr_out_text(out, "\"}");
}


/* the JSON that it is; what was changed by hand may be none, and is a text */

static void
ngx_http_claude_relay_actions_side(ncr_out_t *out, const char *name,
    char *text)
{
    cJSON      *json;
    ncr_str_t   s;

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    ncr_out_text(out, "\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");

    json = s.len ? cJSON_ParseWithOpts(text, NULL, 1) : NULL;

    if (json) {
        ncr_out_bytes(out, s.data, s.len);

    } else if (s.len) {
        ncr_out_json_string(out, &s);

    } else {
        ncr_out_text(out, "null");
    }

    cJSON_Delete(json);

    ncr_out_text(out, ",");
}


static void
ngx_http_claude_relay_actions_csv(ncr_out_t *out, ncr_store_action_t *action)
{
    char         time[NCR_STR_RFC3339];
    u_char       buf[64], *p;
    ngx_uint_t   i;

    char  *cells[] = { action->who, action->role, action->address,
                       action->method, action->path, NULL, action->before,
                       action->after, action->hash };

    ncr_str_rfc3339(time, action->time);

    p = ngx_slprintf(buf, buf + sizeof(buf), "%uL,%s", action->number, time);
    ncr_out_bytes(out, buf, p - buf);

    for (i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        ncr_out_text(out, ",");

        if (cells[i]) {
            ngx_http_claude_relay_actions_cell(out, cells[i]);
            continue;
        }

        p = ngx_slprintf(buf, buf + sizeof(buf), "%ui", action->status);
        ncr_out_bytes(out, buf, p - buf);
    }

    ncr_out_text(out, "\r\n");
}


/* RFC 4180, 2; no cell is a formula to a spreadsheet */

static void
ngx_http_claude_relay_actions_cell(ncr_out_t *out, char *text)
{
    u_char  *p;

    p = (u_char *) text;

    if (*p == '\0') {
        return;
    }

    ncr_out_text(out, "\"");

    if (*p == '=' || *p == '+' || *p == '-' || *p == '@' || *p == '\t'
        || *p == '\r')
    {
        ncr_out_text(out, "'");
    }

    for ( /* void */ ; *p; p++) {
        ncr_out_bytes(out, p, 1);

        if (*p == '"') {
            ncr_out_bytes(out, p, 1);
        }
    }

    ncr_out_text(out, "\"");
}


static void
ngx_http_claude_relay_actions_next(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_actions_t  *a;

    a = call->data;

    if (call->job.rc == NCR_AGAIN && call->request) {
        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_actions_run,
                                        ngx_http_claude_relay_actions_next);
        return;
    }

    if (a->memory) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_http_claude_relay_actions_answer(call, a);
}


static void
ngx_http_claude_relay_actions_answer(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_actions_t *a)
{
    cJSON      *json;
    u_char     *p, number[NGX_INT64_LEN];
    ncr_out_t   out;
    ngx_str_t   text, next;

    static const char  head[] = "number,time,who,role,address,method,path,"
                                "status,before,after,hash\r\n";

    text.len = sizeof(head) + a->len;
    text.data = ngx_palloc(call->pool, text.len);

    if (text.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    p = text.data;

    if (a->csv) {
        p = ngx_cpymem(p, head, sizeof(head) - 1);

        if (a->len) {
            p = ngx_cpymem(p, a->data, a->len);
        }

        text.len = p - text.data;

        next.data = number;
        next.len = a->more ? (size_t) (ngx_sprintf(number, "%uL", a->last)
                                       - number)
                           : 0;

        ngx_http_claude_relay_call_text_answer(call,
                                     &ngx_http_claude_relay_actions_csv_type,
                                     &text, &next);
        return;
    }

    ncr_out_init(&out, text.data, text.len);
    ncr_out_text(&out, "[");

    if (a->len) {
        ncr_out_bytes(&out, a->data, a->len);
    }

    ncr_out_text(&out, "]");
    *out.last = '\0';

    json = cJSON_CreateObject();

    (void) cJSON_AddRawToObject(json, "actions", (char *) text.data);

    if (a->more) {
        (void) cJSON_AddNumberToObject(json, "next", (double) a->last);

    } else {
        (void) cJSON_AddNullToObject(json, "next");
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_api_trail_check(ngx_http_claude_relay_call_t *call)
{
    cJSON  *values[1];

    static const char *const  names[] = { NULL };

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no query here");
        return;
    }

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK
        || ngx_http_claude_relay_actions(call) == NULL)
    {
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_actions_check_run,
                                    ngx_http_claude_relay_actions_checked);
}


static void
ngx_http_claude_relay_actions_check_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                         rc;
    ngx_http_claude_relay_actions_t  *a;

    a = call->data;

    rc = ncr_store_actions_check_some(store, &a->chain,
                                      NGX_HTTP_CLAUDE_RELAY_ACTIONS_PIECE);

    if (rc == NCR_AGAIN || rc == NCR_DECLINED) {
        job->rc = rc;
        return;
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_actions_checked(ngx_http_claude_relay_call_t *call)
{
    cJSON                            *json;
    ngx_http_claude_relay_actions_t  *a;

    a = call->data;

    if (call->job.rc == NCR_AGAIN && call->request) {
        ngx_http_claude_relay_call_post(call,
                                     ngx_http_claude_relay_actions_check_run,
                                     ngx_http_claude_relay_actions_checked);
        return;
    }

    if (call->job.rc != NCR_OK && call->job.rc != NCR_DECLINED) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "whole", call->job.rc == NCR_OK);
    (void) cJSON_AddNumberToObject(json, "checked",
                                   (double) a->chain.number
                                   - (call->job.rc == NCR_OK ? 0 : 1));

    if (call->job.rc == NCR_OK) {
        (void) cJSON_AddNullToObject(json, "first_bad");

    } else {
        (void) cJSON_AddNumberToObject(json, "first_bad",
                                       (double) a->chain.number);
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
