
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Costs of a time by the prices of now.  It goes on piece by piece, so that
 * records are written in between; a client that leaves does not end it.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_usage_text.h"


#define NGX_HTTP_CLAUDE_RELAY_RERATE_ROWS  500


typedef struct {
    ngx_http_claude_relay_question_t   question;
    ngx_http_claude_relay_call_t      *call;
    ncr_ledger_rerate_t                job;
} ngx_http_claude_relay_rerate_t;


static ngx_int_t ngx_http_claude_relay_rerate_moment(
    ngx_http_claude_relay_call_t *call, cJSON *value, const char *name,
    ncr_msec_t *t);
static void ngx_http_claude_relay_rerate_post(
    ngx_http_claude_relay_rerate_t *rerate);
static void ngx_http_claude_relay_rerate_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_rerate_done(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_rerate_answer(
    ngx_http_claude_relay_call_t *call);


void
ngx_http_claude_relay_api_usage_rerate(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *values[2];
    ngx_http_claude_relay_rerate_t  *rerate;

    static const char *const  names[] = { "from", "until", NULL };

    rerate = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_rerate_t));

    if (rerate == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK
        || ngx_http_claude_relay_rerate_moment(call, values[0], names[0],
                                               &rerate->job.from)
           != NGX_OK
        || ngx_http_claude_relay_rerate_moment(call, values[1], names[1],
                                               &rerate->job.until)
           != NGX_OK)
    {
        return;
    }

    rerate->call = call;
    rerate->question.run = ngx_http_claude_relay_rerate_run;
    rerate->question.done = ngx_http_claude_relay_rerate_done;
    rerate->question.data = rerate;
    rerate->question.fresh = 1;

    call->data = rerate;
    call->next = ngx_http_claude_relay_rerate_answer;

    ngx_http_claude_relay_rerate_post(rerate);
}


static ngx_int_t
ngx_http_claude_relay_rerate_moment(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, ncr_msec_t *t)
{
    ncr_str_t  text;

    if (value == NULL || cJSON_IsNull(value)) {
        return NGX_OK;
    }

    if (cJSON_IsString(value)) {
        text.data = (u_char *) value->valuestring;
        text.len = ngx_strlen(value->valuestring);

        if (ncr_str_time(&text, t) == NCR_OK && *t > 0) {
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"%s\" must be a time such as "
                                     "\"2026-11-21T15:00:00Z\"", name);
    return NGX_ERROR;
}


static void
ngx_http_claude_relay_rerate_post(ngx_http_claude_relay_rerate_t *rerate)
{
    switch (ngx_http_claude_relay_ledger_ask(&rerate->question)) {

    case NGX_OK:
        return;

    case NGX_DECLINED:
        ngx_http_claude_relay_call_error(rerate->call,
                                         NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                                         "no usage is kept: "
                                         "\"claude_relay_usage\" is off");
        return;

    default:
        ngx_http_claude_relay_call_error(rerate->call,
                                         NGX_HTTP_SERVICE_UNAVAILABLE, NULL,
                                         "this worker is leaving; ask again: "
                                         "what is done stays done");
        return;
    }
}


static void
ngx_http_claude_relay_rerate_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_rerate_t *rerate = q->data;

    q->rc = ncr_ledger_rerate(ledger, rerate->call->rmcf->prices,
                              &rerate->job,
                              NGX_HTTP_CLAUDE_RELAY_RERATE_ROWS);
}


static void
ngx_http_claude_relay_rerate_done(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_rerate_t *rerate = q->data;

    if (q->rc == NCR_AGAIN) {
        q->fresh = 0;
        ngx_http_claude_relay_rerate_post(rerate);
        return;
    }

    rerate->call->next(rerate->call);
}


static void
ngx_http_claude_relay_rerate_answer(ngx_http_claude_relay_call_t *call)
{
    char                             money[32];
    cJSON                           *json;
    ncr_ledger_rerate_t             *job;
    ngx_http_claude_relay_rerate_t  *rerate;

    rerate = call->data;
    job = &rerate->job;

    if (rerate->question.rc != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "usage: %s",
                                         rerate->question.error);
        return;
    }

    ngx_http_claude_relay_usage_money(job->difference, money);

    json = cJSON_CreateObject();

    (void) cJSON_AddNumberToObject(json, "rows", (double) job->rows);
    (void) cJSON_AddNumberToObject(json, "changed", (double) job->changed);
    (void) cJSON_AddNumberToObject(json, "unpriced", (double) job->unpriced);
    (void) cJSON_AddStringToObject(json, "difference", money);
    (void) cJSON_AddNumberToObject(json, "difference_micros",
                                   (double) job->difference);
    (void) cJSON_AddStringToObject(json, "prices", call->rmcf->prices->version);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "control: %V had the costs of %uL requests made anew, "
                  "%uL changed", &call->caller.who, job->rows, job->changed);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
