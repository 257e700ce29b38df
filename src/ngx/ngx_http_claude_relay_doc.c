
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_doc.h"
#include "ngx_http_claude_relay_work.h"
#include "ncr_port.h"


/* writers that meet: this often one reads again what the other has written */
#define NGX_HTTP_CLAUDE_RELAY_DOC_TRIES   100

/* ms: how long it may take to arrive in this worker */
#define NGX_HTTP_CLAUDE_RELAY_DOC_SETTLE  1000
#define NGX_HTTP_CLAUDE_RELAY_DOC_STEP    5

#define NGX_HTTP_CLAUDE_RELAY_DOC_MEMBERS  64


static void ngx_http_claude_relay_doc_free(void *data);
static void ngx_http_claude_relay_doc_find(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_doc_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_doc_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_doc_edit_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_doc_edited(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_doc_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_doc_stored(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_doc_settling(
    ngx_http_claude_relay_call_t *call);


ngx_http_claude_relay_doc_t *
ngx_http_claude_relay_doc(ngx_http_claude_relay_call_t *call,
    ngx_uint_t which)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_claude_relay_doc_t  *doc;

    doc = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_doc_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (doc == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_doc_free;
    cln->data = doc;

    doc->call = call;
    doc->which = which;
    call->data = doc;

    (void) ngx_cpystrn((u_char *) doc->row.kind,
                       (u_char *) NGX_HTTP_CLAUDE_RELAY_SETTING_KIND,
                       sizeof(doc->row.kind));
    (void) ngx_cpystrn((u_char *) doc->row.name,
                       (u_char *) ngx_http_claude_relay_setting_name(which),
                       sizeof(doc->row.name));

    return doc;
}


static void
ngx_http_claude_relay_doc_free(void *data)
{
    ngx_http_claude_relay_doc_t *doc = data;

    if (doc->row.data) {
        cJSON_free(doc->row.data);
    }

    ncr_store_object_free(&doc->found);
}


void
ngx_http_claude_relay_doc_change(ngx_http_claude_relay_doc_t *doc)
{
    ngx_http_claude_relay_doc_find(doc->call);
}


static void
ngx_http_claude_relay_doc_find(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_doc_find_run,
                                    ngx_http_claude_relay_doc_found);
}


static void
ngx_http_claude_relay_doc_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    ncr_store_object_free(&doc->found);

    ngx_http_claude_relay_job_rc(store, job,
                      ncr_store_object_find(store, doc->row.kind,
                                            doc->row.name, &doc->found));
}


static void
ngx_http_claude_relay_doc_found(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    if (call->job.rc != NCR_OK && call->job.rc != NCR_DECLINED) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (call->match != UINT64_MAX && call->match != doc->found.version) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_PRECONDITION_FAILED,
                                 NULL, "this was changed meanwhile: it has "
                                 "version %uL", doc->found.version);
        return;
    }

    call->job.run = ngx_http_claude_relay_doc_edit_run;
    call->next = ngx_http_claude_relay_doc_edited;

    if (ngx_http_claude_relay_work_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "this worker is leaving");
    }
}


static void
ngx_http_claude_relay_doc_edit_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    cJSON                            *json;
    ngx_int_t                         rc;
    ngx_http_claude_relay_doc_t      *doc;
    ngx_http_claude_relay_setting_t  *setting;

    doc = call->data;
    doc->status = 0;
    doc->error[0] = '\0';

    job->rc = NCR_OK;

    json = cJSON_Parse(doc->found.data ? doc->found.data : "{}");

    if (!cJSON_IsObject(json)) {

        /* of no use as it is: it may be written anew */

        cJSON_Delete(json);
        json = cJSON_CreateObject();
    }

    rc = json ? doc->edit(doc, json) : NGX_ERROR;

    if (doc->row.data) {
        cJSON_free(doc->row.data);
        doc->row.data = NULL;
    }

    if (rc == NGX_OK) {
        doc->row.data = cJSON_PrintUnformatted(json);
    }

    cJSON_Delete(json);

    if (doc->row.data == NULL) {

        if (doc->status == 0) {
            (void) ngx_http_claude_relay_doc_refuse(doc,
                                  NGX_HTTP_SERVICE_UNAVAILABLE, "no memory");
        }

        return;
    }

    setting = ngx_http_claude_relay_setting_read(call->rmcf->prices_conf,
                                                 &doc->row, doc->error);
    if (setting == NULL) {
        doc->status = NGX_HTTP_BAD_REQUEST;
        return;
    }

    ngx_http_claude_relay_setting_free(setting);
}


static void
ngx_http_claude_relay_doc_edited(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    if (doc->status) {
        ngx_http_claude_relay_call_error(call, doc->status, NULL, "%s",
                                         doc->error);
        return;
    }

    if (doc->dry) {
        doc->done(call);
        return;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_doc_put_run,
                                    ngx_http_claude_relay_doc_stored);
}


static void
ngx_http_claude_relay_doc_put_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    uint64_t                      version;
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;
    version = doc->found.version;

    ngx_http_claude_relay_job_rc(store, job,
                       ncr_store_object_put(store, &doc->row, &version,
                                            call->now));
}


static void
ngx_http_claude_relay_doc_stored(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t  *doc;

    doc = call->data;

    if (call->job.rc == NCR_DECLINED
        && doc->tries++ < NGX_HTTP_CLAUDE_RELAY_DOC_TRIES)
    {
        /* somebody was faster; with "If-Match" that is found out */

        ngx_http_claude_relay_doc_find(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%s were changed by %V",
                  (doc->which == NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES)
                  ? "prices" : "settings", &call->caller.who);

    ngx_http_claude_relay_store_touched();

    call->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_DOC_SETTLE;

    ngx_http_claude_relay_doc_settling(call);
}


static void
ngx_http_claude_relay_doc_settling(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_doc_t      *doc;
    ngx_http_claude_relay_setting_t  *s;

    doc = call->data;
    s = call->rmcf->settings[doc->which];

    if ((s == NULL || s->row.seq < doc->row.seq)
        && (ngx_msec_int_t) (call->until - ngx_current_msec) > 0)
    {
        ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_DOC_STEP,
                                         ngx_http_claude_relay_doc_settling);
        return;
    }

    call->seq = doc->row.seq;

    ngx_http_claude_relay_call_acked(call, doc->done);
}


ngx_int_t
ngx_http_claude_relay_doc_refuse(ngx_http_claude_relay_doc_t *doc,
    ngx_uint_t status, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(doc->error,
                      doc->error + NGX_HTTP_CLAUDE_RELAY_ERROR - 1, fmt,
                      args);
    va_end(args);

    *p = '\0';
    doc->status = status;

    return NGX_ERROR;
}


cJSON *
ngx_http_claude_relay_doc_parse(ngx_str_t *text, const char **wrong)
{
    cJSON       *json, *item, *other;
    ngx_uint_t   n;

    if (text->len == 0) {
        return cJSON_CreateObject();
    }

    json = ncr_port_json(ncr(text), wrong);
    n = 0;

    cJSON_ArrayForEach(item, json) {

        if (n++ == NGX_HTTP_CLAUDE_RELAY_DOC_MEMBERS) {
            *wrong = "it has too many members";
            goto failed;
        }

        for (other = item->next; other; other = other->next) {
            if (ngx_strcmp(item->string, other->string) == 0) {
                *wrong = "a member of it is repeated";
                goto failed;
            }
        }
    }

    return json;

failed:

    ncr_port_forget(json);
    cJSON_Delete(json);

    return NULL;
}
