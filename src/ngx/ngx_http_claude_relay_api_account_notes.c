
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The notes of an account's failures and tests; its sessions are let go. */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"


/* sessions looked at before the lock is let go for others, and how long they
 * have it then, ms */
#define NGX_HTTP_CLAUDE_RELAY_SWEEP       1000
#define NGX_HTTP_CLAUDE_RELAY_SWEEP_WAIT  1


typedef struct {
    ngx_uint_t                         node;    /* its number */
    ngx_uint_t                         cleared;
    ngx_uint_t                         started;
    u_char                             key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         n;       /* by the last step */
    u_char                             keys[NGX_HTTP_CLAUDE_RELAY_ENDED]
                                           [NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
} ngx_http_claude_relay_sweep_t;


static void ngx_http_claude_relay_api_failures(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_failures_clear(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_tests(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_show_notes(
    ngx_http_claude_relay_call_t *call, const char *name, ngx_uint_t tests);
static cJSON *ngx_http_claude_relay_show_note(
    ngx_http_claude_relay_note_t *note, ngx_uint_t test);
static ngx_int_t ngx_http_claude_relay_notes_account(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_sessions_clear(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_sweep(ngx_http_claude_relay_call_t *call);
static ngx_uint_t ngx_http_claude_relay_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_sweep_t *sweep);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_notes_ways[] = {

    { NGX_HTTP_GET, "/v1/accounts/*/errors",
      ngx_http_claude_relay_api_failures,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/accounts/*/errors",
      ngx_http_claude_relay_api_failures_clear,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/accounts/*/tests", ngx_http_claude_relay_api_tests,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/accounts/*/sessions/clear",
      ngx_http_claude_relay_api_sessions_clear,
      NCR_ROLE_OPERATOR, 1, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_failures(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_show_notes(call, "errors", 0);
}


static void
ngx_http_claude_relay_api_tests(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_show_notes(call, "tests", 1);
}


/* the newest first; a copy, so that the lock is held for no longer than that */

static void
ngx_http_claude_relay_show_notes(ngx_http_claude_relay_call_t *call,
    const char *name, ngx_uint_t tests)
{
    cJSON                          *json, *list;
    uint64_t                        i, n;
    ngx_http_claude_relay_node_t   *node;
    ngx_http_claude_relay_note_t   *note;
    ngx_http_claude_relay_notes_t  *notes, *copy;

    if (ngx_http_claude_relay_notes_account(call) != NGX_OK
        || ngx_http_claude_relay_call_no_args(call) != NGX_OK)
    {
        return;
    }

    copy = ngx_palloc(call->pool, sizeof(ngx_http_claude_relay_notes_t));

    if (copy == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    copy->n = 0;
    node = call->account->node;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    notes = tests ? node->tests : node->failures;

    if (notes) {
        *copy = *notes;
    }

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, name);

    n = ngx_min(copy->n, NGX_HTTP_CLAUDE_RELAY_NOTES);

    for (i = 1; i <= n; i++) {
        note = &copy->note[(copy->n - i) % NGX_HTTP_CLAUDE_RELAY_NOTES];

        (void) cJSON_AddItemToArray(list,
                                ngx_http_claude_relay_show_note(note, tests));
    }

    (void) cJSON_AddNumberToObject(json, "total", (double) copy->n);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_show_note(ngx_http_claude_relay_note_t *note,
    ngx_uint_t test)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_time(json, "at", note->at);

    if (test) {
        (void) cJSON_AddBoolToObject(json, "ok", note->text[0] == '\0');

    } else {
        (void) cJSON_AddStringToObject(json, "class",
                                  ncr_class_name((ncr_class_e) note->class));
    }

    (void) cJSON_AddNumberToObject(json, "status", (double) note->status);
    (void) cJSON_AddNumberToObject(json, "ms", (double) note->ms);

    if (note->text[0]) {
        (void) cJSON_AddStringToObject(json, test ? "error" : "text",
                                       note->text);
    }

    if (note->id[0]) {
        (void) cJSON_AddStringToObject(json, "request_id", note->id);
    }

    return json;
}


static ngx_int_t
ngx_http_claude_relay_notes_account(ngx_http_claude_relay_call_t *call)
{
    if (call->account) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                     "there is no account \"%V\"",
                                     &call->name);

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_api_failures_clear(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_notes_account(call) != NGX_OK) {
        return;
    }

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    ngx_http_claude_relay_notes_free_locked(call->rmcf,
                                            &call->account->node->failures);

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}


/* batches and files stay: nobody else has them */

static void
ngx_http_claude_relay_api_sessions_clear(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_sweep_t  *sweep;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_notes_account(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, NULL, NULL)
           != NGX_OK)
    {
        return;
    }

    sweep = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_sweep_t));

    if (sweep == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    sweep->node = call->account->node->number;
    call->data = sweep;

    ngx_http_claude_relay_sweep(call);
}


static void
ngx_http_claude_relay_sweep(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *json;
    ngx_uint_t                      more;
    ngx_http_claude_relay_sweep_t  *sweep;

    sweep = call->data;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    more = ngx_http_claude_relay_sweep_locked(call->rmcf, sweep);

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    ngx_http_claude_relay_fleet_ended(call->rmcf, sweep->keys[0], sweep->n,
                                      0);

    if (more) {
        ngx_http_claude_relay_call_timer(call,
                                         NGX_HTTP_CLAUDE_RELAY_SWEEP_WAIT,
                                         ngx_http_claude_relay_sweep);
        return;
    }

    ngx_http_claude_relay_fleet_cleared(call->rmcf, &call->account->name);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%ui sessions of account \"%V\" were cleared by %V",
                  sweep->cleared, &call->name, &call->caller.who);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &call->name);
    (void) cJSON_AddNumberToObject(json, "cleared", (double) sweep->cleared);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/*
 * In the order of the tree, from the key where the last step ended: sessions
 * that are renewed or made meanwhile change the lists, but not that order.
 * 1: there is more.
 */

static ngx_uint_t
ngx_http_claude_relay_sweep_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_sweep_t *sweep)
{
    ngx_uint_t                     n;
    ngx_http_claude_relay_bond_t  *bond, *next;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    bond = ngx_http_claude_relay_bond_after_locked(zone,
                                         sweep->started ? sweep->key : NULL);
    sweep->started = 1;
    sweep->n = 0;

    for (n = 0; bond && n < NGX_HTTP_CLAUDE_RELAY_SWEEP; n++) {

        if (sweep->n == NGX_HTTP_CLAUDE_RELAY_ENDED) {
            break;
        }

        next = (ngx_http_claude_relay_bond_t *)
                   ngx_rbtree_next(&zone->bonds, &bond->node);

        ngx_memcpy(sweep->key, bond->key, sizeof(sweep->key));

        if (bond->account == sweep->node && bond->session) {
            ngx_memcpy(sweep->keys[sweep->n++], bond->key, sizeof(bond->key));
            ngx_http_claude_relay_bond_free_locked(rmcf, bond);
            zone->nsessions--;
            sweep->cleared++;
        }

        bond = next;
    }

    return bond != NULL;
}
