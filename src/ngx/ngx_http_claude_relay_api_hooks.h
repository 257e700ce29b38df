
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the files of hooks and alerts of the API share. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_API_HOOKS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_API_HOOKS_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_alerts.h"


typedef struct {
    ncr_store_hook_t                   row;     /* in; texts are the call's */
    ngx_http_claude_relay_hook_t      *hook;    /* as it is, or would be */
    cJSON                             *list;    /* of what was read */
    cJSON                             *ended;
    ngx_uint_t                         n;
    ngx_uint_t                         type;    /* of alerts; all */
    ngx_msec_t                         started;
    ncr_notify_kind_e                  kind;
    unsigned                           has_type:1;
} ngx_http_claude_relay_hook_call_t;


/* api_hooks.c */

/* call->data; NULL: the call has ended */
ngx_http_claude_relay_hook_call_t *ngx_http_claude_relay_hook_call(
    ngx_http_claude_relay_call_t *call);

/* NGX_ERROR: there are parameters, and the call has ended */
ngx_int_t ngx_http_claude_relay_hook_no_args(
    ngx_http_claude_relay_call_t *call);

/* the hook of row's name, into hook; NGX_ERROR: there is none, as above */
void ngx_http_claude_relay_hook_find_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
ngx_int_t ngx_http_claude_relay_hook_found(
    ngx_http_claude_relay_call_t *call);


/* api_alerts.c */

void ngx_http_claude_relay_api_hook_test(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_alerts(ngx_http_claude_relay_call_t *call);


#endif /* _NGX_HTTP_CLAUDE_RELAY_API_HOOKS_H_INCLUDED_ */
