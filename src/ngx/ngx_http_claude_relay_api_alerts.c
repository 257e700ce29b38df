
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* A test of a webhook, and alerts. */


#include "ngx_http_claude_relay_api_hooks.h"


static void ngx_http_claude_relay_hook_test_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_hook_test_event(
    ngx_http_claude_relay_call_t *call, ncr_notify_event_t *event,
    u_char *id);
static void ngx_http_claude_relay_hook_tested(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_hook_state_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_hook_test_kept(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_alerts_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_alerts_row(void *data,
    ncr_store_alert_t *row);
static void ngx_http_claude_relay_alerts_done(
    ngx_http_claude_relay_call_t *call);


/* an event of its own, now, whatever the hook listens to */

void
ngx_http_claude_relay_api_hook_test(ngx_http_claude_relay_call_t *call)
{
    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_hook_no_args(call) == NGX_OK
        && ngx_http_claude_relay_call_members(call, names, NULL, NULL)
           == NGX_OK
        && ngx_http_claude_relay_hook_call(call))
    {
        ngx_http_claude_relay_call_post(call,
                                        ngx_http_claude_relay_hook_find_run,
                                        ngx_http_claude_relay_hook_test_found);
    }
}


static void
ngx_http_claude_relay_hook_test_found(ngx_http_claude_relay_call_t *call)
{
    u_char                              id[64];
    u_char                              error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ncr_str_t                           kind;
    ncr_notify_event_t                  event;
    ngx_http_claude_relay_fetch_t      *f;
    ngx_http_claude_relay_hook_call_t  *hc;

    if (ngx_http_claude_relay_hook_found(call) != NGX_OK) {
        return;
    }

    hc = call->data;

    kind.data = (u_char *) hc->hook->row.kind;
    kind.len = ngx_strlen(kind.data);
    hc->kind = ncr_notify_kind(&kind);

    ngx_http_claude_relay_hook_test_event(call, &event, id);

    f = ngx_http_claude_relay_hook_request(call->rmcf, hc->hook, &event,
                                           error);
    if (f == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "hook \"%V\": %s", &call->name,
                                         error);
        return;
    }

    call->fetch = f;
    hc->started = ngx_current_msec;

    f->data = call;
    f->handler = ngx_http_claude_relay_hook_tested;

    if (ngx_http_claude_relay_fetch_start(f) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "it cannot be sent");
    }
}


static void
ngx_http_claude_relay_hook_test_event(ngx_http_claude_relay_call_t *call,
    ncr_notify_event_t *event, u_char *id)
{
    static ngx_uint_t  n;

    ngx_memzero(event, sizeof(ncr_notify_event_t));

    event->time = ngx_http_claude_relay_now();
    event->id.data = id;
    event->id.len = ngx_sprintf(id, "test-%xL-%P-%ui", event->time, ngx_pid,
                                n++)
                    - id;

    ncr_str_set(&event->type, "test");
    ncr_str_set(&event->level, "info");
    ncr_str_set(&event->state, "firing");
    ncr_str_set(&event->subject, "test");
    ncr_str_set(&event->title, "This is a test");
    ncr_str_set(&event->text, "If you can read this, alerts arrive here.");

    event->service = *ncr(&call->rmcf->alerts->service);

    event->nfields = 1;
    ncr_str_set(&event->fields[0].name, "hook");
    event->fields[0].value = *ncr(&call->name);
}


static void
ngx_http_claude_relay_hook_tested(ngx_http_claude_relay_fetch_t *f)
{
    char                               *state;
    cJSON                              *json;
    ngx_uint_t                          status;
    ncr_notify_result_t                 result;
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = f->data;
    hc = call->data;
    status = f->status;

    ngx_http_claude_relay_hook_result(f, hc->kind, &result);

    call->fetch = NULL;
    ngx_http_claude_relay_fetch_destroy(f);

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "ok", result.told);
    (void) cJSON_AddItemToObject(json, "status",
                                 status ? cJSON_CreateNumber((double) status)
                                        : cJSON_CreateNull());
    (void) cJSON_AddNumberToObject(json, "ms",
                              (double) (ngx_current_msec - hc->started));

    if (!result.told) {
        (void) cJSON_AddStringToObject(json, "error", result.error);
    }

    hc->list = json;

    state = ngx_http_claude_relay_hook_state(hc->hook->row.state, &result,
                                             status, 0, 0);
    if (state) {
        ncr_store_hook_text(&hc->hook->row.state, state);
        cJSON_free(state);
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_hook_state_run,
                                    ngx_http_claude_relay_hook_test_kept);
}


static void
ngx_http_claude_relay_hook_state_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;

    ngx_http_claude_relay_job_rc(store, job,
                                 ncr_store_hook_state(store, hc->row.name,
                                                      hc->hook->row.state));
}


/* that it could not be written down is no failure of the test */

static void
ngx_http_claude_relay_hook_test_kept(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = call->data;
    json = hc->list;
    hc->list = NULL;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* those that are on, and the last ones that are over; ?type= */

void
ngx_http_claude_relay_api_alerts(ngx_http_claude_relay_call_t *call)
{
    u_char                             *p;
    ncr_int_t                           type;
    ncr_str_t                           value;
    ngx_str_t                           arg;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = ngx_http_claude_relay_hook_call(call);
    if (hc == NULL) {
        return;
    }

    p = call->args.data;

    while (ngx_http_claude_relay_call_arg(call, &p, &arg) == NGX_OK) {

        if (arg.len == 0) {
            continue;
        }

        if (!ncr_str_prefix(ncr(&arg), "type=") || hc->has_type) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"type\" is the only parameter "
                                             "here, and once");
            return;
        }

        value.data = arg.data + 5;
        value.len = arg.len - 5;

        type = ncr_alert_kind(&value);

        if (type == -1) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"type\" must be a type of "
                                             "alerts");
            return;
        }

        hc->type = (ngx_uint_t) type;
        hc->has_type = 1;
    }

    ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_alerts_run,
                                    ngx_http_claude_relay_alerts_done);
}


static void
ngx_http_claude_relay_alerts_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t       *call;
    ngx_http_claude_relay_hook_call_t  *hc;

    call = job->data;
    hc = call->data;

    cJSON_Delete(hc->list);
    cJSON_Delete(hc->ended);

    hc->list = cJSON_CreateArray();
    hc->ended = cJSON_CreateArray();

    ngx_http_claude_relay_job_rc(store, job,
                  ncr_store_alerts(store, ngx_http_claude_relay_alerts_row,
                                   hc));
}


static ncr_int_t
ngx_http_claude_relay_alerts_row(void *data, ncr_store_alert_t *row)
{
    ngx_http_claude_relay_hook_call_t *hc = data;

    cJSON  *json, *type;

    json = cJSON_Parse(row->data);
    type = cJSON_GetObjectItemCaseSensitive(json, "type");

    if (!cJSON_IsString(type)
        || (hc->has_type
            && ngx_strcmp(type->valuestring, ncr_alert_kind_name(
                                             (ncr_alert_kind_e) hc->type))
               != 0))
    {
        cJSON_Delete(json);
        return NCR_OK;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(json, "step");

    ngx_http_claude_relay_show_time(json, "since", row->since);
    ngx_http_claude_relay_show_time(json, "told", row->told);

    if (row->ended) {
        ngx_http_claude_relay_show_time(json, "ended", row->ended);
    }

    (void) cJSON_AddItemToArray(row->ended ? hc->ended : hc->list, json);

    return NCR_OK;
}


static void
ngx_http_claude_relay_alerts_done(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    ngx_http_claude_relay_hook_call_t  *hc;

    hc = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddItemToObject(json, "alerts", hc->list);
    (void) cJSON_AddItemToObject(json, "ended", hc->ended);

    hc->list = NULL;
    hc->ended = NULL;

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
