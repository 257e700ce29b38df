
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is done with an account that does not change it: refresh, test, reset */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ncr_oauth_text.h"


/* a refresh is looked after this often, and waited for so long, ms */
#define NGX_HTTP_CLAUDE_RELAY_POLL         50
#define NGX_HTTP_CLAUDE_RELAY_POLL_MAX     45000

/* a real request, though a small one, ms */
#define NGX_HTTP_CLAUDE_RELAY_TEST_MAX     60000

#define NGX_HTTP_CLAUDE_RELAY_WORDS        NGX_HTTP_CLAUDE_RELAY_REASON


/* a refresh that a call waits for, and what the call wants it for */

typedef struct {
    uint64_t                           version; /* to be replaced */
    ngx_uint_t                         fails;
    ngx_uint_t                         again;   /* a 401 was refreshed for */
    ngx_uint_t                         count;   /* tokens, no answer */
    ngx_http_claude_relay_call_pt      done;
    ngx_http_claude_relay_call_pt      failed;
    char                               reason[NGX_HTTP_CLAUDE_RELAY_REASON];
    char                               model[NCR_MODEL_LEN];
    ngx_msec_t                         started; /* of the test */
} ngx_http_claude_relay_action_t;


static ngx_http_claude_relay_action_t *ngx_http_claude_relay_action(
    ngx_http_claude_relay_call_t *call);
static const char *ngx_http_claude_relay_unrefreshable(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_await_refresh(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_call_pt done,
    ngx_http_claude_relay_call_pt failed);
static void ngx_http_claude_relay_await_poll(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_refresh_failed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_test(ngx_http_claude_relay_call_t *call,
    ngx_uint_t count);
static ngx_int_t ngx_http_claude_relay_test_model(
    ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_action_t *action);
static ngx_uint_t ngx_http_claude_relay_test_due(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_test_ask(
    ngx_http_claude_relay_call_t *call);
static ngx_uint_t ngx_http_claude_relay_test_asks(
    ngx_http_claude_relay_account_t *a);
static ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_test_fetch(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_test_start(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_fetch_t *fetch);
static ngx_uint_t ngx_http_claude_relay_test_unproved(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_fetch_t *fetch,
    ngx_uint_t status);
static void ngx_http_claude_relay_test_answered(
    ngx_http_claude_relay_fetch_t *fetch);
static void ngx_http_claude_relay_test_unrefreshed(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_test_words(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_fetch_t *fetch,
    char *words);
static void ngx_http_claude_relay_test_end(
    ngx_http_claude_relay_call_t *call, ngx_uint_t status, ngx_msec_t ms,
    const char *error);


static ngx_http_claude_relay_action_t *
ngx_http_claude_relay_action(ngx_http_claude_relay_call_t *call)
{
    if (call->account == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no account \"%V\"",
                                         &call->name);
        return NULL;
    }

    call->data = ngx_pcalloc(call->pool,
                             sizeof(ngx_http_claude_relay_action_t));

    if (call->data == NULL) {
        ngx_http_claude_relay_call_memory(call);
    }

    return call->data;
}


void
ngx_http_claude_relay_api_refresh(ngx_http_claude_relay_call_t *call)
{
    const char  *wrong;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_action(call) == NULL
        || ngx_http_claude_relay_call_members(call, names, NULL, NULL)
           != NGX_OK)
    {
        return;
    }

    wrong = ngx_http_claude_relay_unrefreshable(call);

    if (wrong) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "account \"%V\" cannot be "
                                         "refreshed: %s", &call->name, wrong);
        return;
    }

    ngx_http_claude_relay_await_refresh(call,
                                        ngx_http_claude_relay_call_account,
                                        ngx_http_claude_relay_refresh_failed);
}


static const char *
ngx_http_claude_relay_unrefreshable(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_view_t  view;

    if (!call->account->token) {
        return "it has no tokens, but a key";
    }

    ngx_http_claude_relay_view(call->rmcf, call->account,
                               ngx_http_claude_relay_now(), &view);

    if (view.version == 0) {
        return "it has no tokens yet";
    }

    if (view.node.login) {
        return "it needs a login";
    }

    if (!view.refreshable) {
        return "it has no refresh token, as those of \"setup-token\" have none";
    }

    return NULL;
}


/* somebody else's refresh, in whatever worker, is as good as an own one */

static void
ngx_http_claude_relay_await_refresh(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt done, ngx_http_claude_relay_call_pt failed)
{
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_action_t  *action;

    action = call->data;
    node = call->account->node;

    action->done = done;
    action->failed = failed;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);
    action->version = node->version;
    action->fails = node->fails;
    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    call->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_POLL_MAX;

    (void) ngx_http_claude_relay_refresh_now(call->rmcf, call->account);

    ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_POLL,
                                     ngx_http_claude_relay_await_poll);
}


static void
ngx_http_claude_relay_await_poll(ngx_http_claude_relay_call_t *call)
{
    uint64_t                         version;
    ncr_msec_t                       login;
    ngx_pid_t                        refresher;
    ngx_uint_t                       fails;
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_action_t  *action;

    action = call->data;
    node = call->account->node;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    version = node->version;
    login = node->login;
    refresher = node->refresher;
    fails = node->fails;

    if (version == action->version && (login || fails != action->fails)) {
        ngx_memcpy(action->reason, login ? node->reason : node->failure,
                   sizeof(action->reason));
    }

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    if (version != action->version) {
        action->done(call);
        return;
    }

    if (login || fails != action->fails) {
        action->failed(call);
        return;
    }

    if ((ngx_msec_int_t) (call->until - ngx_current_msec) <= 0) {
        (void) ngx_cpystrn((u_char *) action->reason,
                           (u_char *) "it takes too long",
                           sizeof(action->reason));
        action->failed(call);
        return;
    }

    /* if nobody is at it, another nginx on this store may be, or was */

    if (refresher == 0
        && ngx_http_claude_relay_refresh_now(call->rmcf, call->account)
           != NGX_AGAIN)
    {
        (void) ngx_cpystrn((u_char *) action->reason,
                           (u_char *) "none is possible now",
                           sizeof(action->reason));
        action->failed(call);
        return;
    }

    ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_POLL,
                                     ngx_http_claude_relay_await_poll);
}


static void
ngx_http_claude_relay_refresh_failed(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_action_t  *action;

    action = call->data;

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                     "refresh of account \"%V\" failed: %s",
                                     &call->name, action->reason);
}


/* one small request through the account's proxy, with its credential */

void
ngx_http_claude_relay_api_test(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_test(call, 0);
}


void
ngx_http_claude_relay_api_test_count(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_test(call, 1);
}


static void
ngx_http_claude_relay_test(ngx_http_claude_relay_call_t *call,
    ngx_uint_t count)
{
    ngx_http_claude_relay_view_t     view;
    ngx_http_claude_relay_action_t  *action;

    action = ngx_http_claude_relay_action(call);

    if (action == NULL
        || ngx_http_claude_relay_test_model(call, action) != NGX_OK)
    {
        return;
    }

    action->count = count;

    if (call->account->token) {

        ngx_http_claude_relay_view(call->rmcf, call->account,
                                   ngx_http_claude_relay_now(), &view);

        if (view.reason) {
            ngx_http_claude_relay_test_end(call, 0, 0, view.reason);
            return;
        }
    }

    if (ngx_http_claude_relay_test_due(call)) {
        ngx_http_claude_relay_await_refresh(call,
                                      ngx_http_claude_relay_test_ask,
                                      ngx_http_claude_relay_test_unrefreshed);
        return;
    }

    ngx_http_claude_relay_test_ask(call);
}


static ngx_int_t
ngx_http_claude_relay_test_model(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_action_t *action)
{
    char       *name;
    cJSON      *values[1];
    ngx_str_t   model, *to;

    static const char *const  names[] = { "model", NULL };

    if (ngx_http_claude_relay_call_members(call, names, values, NULL)
        != NGX_OK
        || ngx_http_claude_relay_call_text(call, values[0], "model",
                                           NCR_MODEL_LEN - 1, &name)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (name) {
        model.data = (u_char *) name;
        model.len = ngx_strlen(name);

    } else {
        model = ngx_http_claude_relay_small_model(call->account);
    }

    to = ngx_http_claude_relay_mapped(call->account->model_map, &model);

    if (to) {
        model = *to;
    }

    if (ngx_http_claude_relay_test_asks(call->account)) {
        return NGX_OK;
    }

    if (model.len == 0 || model.len >= sizeof(action->model)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                  "\"model\" is missing: account \"%V\" serves "
                                  "none that is known here", &call->name);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn((u_char *) action->model, model.data, model.len + 1);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_claude_relay_test_due(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                     due;
    ngx_http_claude_relay_node_t  *node;

    if (!call->account->token) {
        return 0;
    }

    node = call->account->node;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    due = (node->tokens && node->tokens->refresh
           && (node->rejected == node->version
               || (node->expires
                   && node->expires - ngx_http_claude_relay_now()
                      <= NGX_HTTP_CLAUDE_RELAY_MARGIN)));

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    return due;
}


static void
ngx_http_claude_relay_test_unrefreshed(ngx_http_claude_relay_call_t *call)
{
    char                             text[NGX_HTTP_CLAUDE_RELAY_REASON + 64];
    ngx_http_claude_relay_action_t  *action;

    action = call->data;

    (void) ngx_snprintf((u_char *) text, sizeof(text),
                        "its token could not be refreshed: %s%Z",
                        action->reason);

    ngx_http_claude_relay_test_end(call, 0, 0, text);
}


static void
ngx_http_claude_relay_test_ask(ngx_http_claude_relay_call_t *call)
{
    u_char                           buf[512];
    ncr_op_e                         op;
    ncr_out_t                        out;
    ncr_str_t                        path, model;
    ngx_str_t                        body;
    ngx_http_claude_relay_fetch_t   *fetch;
    ngx_http_claude_relay_action_t  *action;

    action = call->data;

    if (ngx_http_claude_relay_test_asks(call->account)) {
        fetch = ngx_http_claude_relay_test_fetch(call);
        ngx_http_claude_relay_test_start(call, fetch);
        return;
    }

    model.data = (u_char *) action->model;
    model.len = ngx_strlen(action->model);

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_out_text(&out, "{\"model\":");
    ncr_out_json_string(&out, &model);
    ncr_out_text(&out, action->count ? "" : ",\"max_tokens\":1");
    ncr_out_text(&out, ",\"messages\":[{\"role\":\"user\","
                       "\"content\":\"Hi\"}]}");

    body.data = buf;
    body.len = out.last - buf;

    if (action->count) {
        ncr_str_set(&path, "/v1/messages/count_tokens");

    } else {
        ncr_str_set(&path, "/v1/messages");
    }

    op = action->count ? NCR_OP_COUNT_TOKENS : NCR_OP_MESSAGES;

    if (!(call->account->platform->ops & ncr_op_bit(op))) {
        ngx_http_claude_relay_test_end(call, 0, 0, "its platform does not "
                                                   "serve this");
        return;
    }

    fetch = out.overflow ? NULL
            : call->account->platform->way
              ? ngx_http_claude_relay_trial(call->rmcf, call->account, op,
                                            &body)
              : ngx_http_claude_relay_api_request(call->rmcf, call->account,
                                                  "POST", &path, &body);

    ngx_http_claude_relay_test_start(call, fetch);
}


/* some places are asked something instead of being sent a message */

static ngx_uint_t
ngx_http_claude_relay_test_asks(ngx_http_claude_relay_account_t *a)
{
    return a->platform->probe.len
           || (a->token && a->platform->oauth && a->platform->oauth->usage);
}


static ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_test_fetch(ngx_http_claude_relay_call_t *call)
{
    ncr_oauth_t                      *oauth;
    ngx_http_claude_relay_account_t  *a;

    a = call->account;

    if (a->token && a->platform->oauth && a->platform->oauth->usage) {

        /* what it has used is told to who may use it */

        oauth = ngx_http_claude_relay_oauth(call->rmcf, a->platform);

        return ngx_http_claude_relay_usage_fetch(call->rmcf, a, oauth);
    }

    return ngx_http_claude_relay_api_request(call->rmcf, a, "GET",
                                             &a->platform->probe, NULL);
}


static void
ngx_http_claude_relay_test_start(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_action_t  *action;

    action = call->data;

    if (fetch == NULL) {
        ngx_http_claude_relay_test_end(call, 0, 0, "it has no token, or there "
                                                   "is no memory");
        return;
    }

    fetch->timeout = NGX_HTTP_CLAUDE_RELAY_TEST_MAX;
    fetch->data = call;
    fetch->handler = ngx_http_claude_relay_test_answered;

    call->fetch = fetch;
    action->started = ngx_current_msec;

    if (ngx_http_claude_relay_fetch_start(fetch) != NGX_OK) {
        ngx_http_claude_relay_test_end(call, 0, 0, "it could not be sent");
    }
}


static void
ngx_http_claude_relay_test_answered(ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_call_t *call = fetch->data;

    char                             words[NGX_HTTP_CLAUDE_RELAY_WORDS];
    ngx_msec_t                       ms;
    ngx_uint_t                       status;
    ngx_http_claude_relay_action_t  *action;

    action = call->data;
    ms = ngx_current_msec - action->started;
    status = (fetch->kind == NCR_REPLY_HTTP) ? fetch->status : 0;

    if (call->account->token && !action->again
        && ngx_http_claude_relay_test_unproved(call, fetch, status)
        && ngx_http_claude_relay_unrefreshable(call) == NULL)
    {
        /* as a request would do it (A.5) */

        action->again = 1;

        ngx_http_claude_relay_fetch_destroy(fetch);
        call->fetch = NULL;

        ngx_http_claude_relay_await_refresh(call,
                                      ngx_http_claude_relay_test_ask,
                                      ngx_http_claude_relay_test_unrefreshed);
        return;
    }

    words[0] = '\0';

    if (status != 200) {
        ngx_http_claude_relay_test_words(call, fetch, words);
    }

    ngx_http_claude_relay_test_end(call, status, ms,
                                   (status == 200) ? NULL : words);
}


/* is it the token that was refused? */

static ngx_uint_t
ngx_http_claude_relay_test_unproved(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_fetch_t *fetch, ngx_uint_t status)
{
    ncr_reply_t    reply;
    ncr_limits_t   limits;
    ncr_verdict_t  verdict;

    if (status == 401) {
        return 1;
    }

    if (status != 403) {
        return 0;
    }

    ngx_memzero(&reply, sizeof(ncr_reply_t));
    ncr_limits_reset(&limits);

    reply.kind = NCR_REPLY_HTTP;
    reply.status = status;
    reply.limits = &limits;
    reply.body = *ncr(&fetch->answer);

    call->account->platform->classify(&reply, &call->rmcf->rests, &verdict);

    return verdict.refresh;
}


/* what the upstream said, without anything that is a secret */

static void
ngx_http_claude_relay_test_words(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_fetch_t *fetch, char *words)
{
    cJSON      *json, *error;
    ncr_str_t   message;
    ngx_str_t   text;

    if (fetch->kind != NCR_REPLY_HTTP) {
        (void) ngx_cpystrn((u_char *) words, (u_char *)
                           ngx_http_claude_relay_fetch_words(fetch),
                           NGX_HTTP_CLAUDE_RELAY_WORDS);
        return;
    }

    json = ncr_oauth_json(ncr(&fetch->answer));
    error = ncr_oauth_member(json, "error");
    message = ncr_oauth_string(error, "message");

    if (message.data == NULL) {
        message = ncr_oauth_either(json, "message", "detail");
    }

    if (message.data == NULL) {
        (void) ngx_snprintf((u_char *) words, NGX_HTTP_CLAUDE_RELAY_WORDS,
                            "an answer of status %ui that says nothing%Z",
                            fetch->status);
        cJSON_Delete(json);
        return;
    }

    text = ngx_http_claude_relay_str(&message);

    ngx_http_claude_relay_note_words(call->account, words,
                                     NGX_HTTP_CLAUDE_RELAY_WORDS, &text);

    cJSON_Delete(json);
}


static void
ngx_http_claude_relay_test_end(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, ngx_msec_t ms, const char *error)
{
    cJSON                           *json;
    ngx_http_claude_relay_note_t     note;
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_action_t  *action;

    action = call->data;
    node = call->account->node;

    ngx_memzero(&note, sizeof(ngx_http_claude_relay_note_t));

    note.at = ngx_http_claude_relay_now();
    note.status = (uint32_t) status;
    note.ms = (uint32_t) ms;

    if (error) {
        (void) ngx_cpystrn((u_char *) note.text, (u_char *) error,
                           sizeof(note.text));
    }

    if (!action->count) {
        ngx_shmtx_lock(&call->rmcf->shpool->mutex);

        node->tested = note.at;
        node->test_status = status;
        node->test_ms = ms;

        ngx_http_claude_relay_note_locked(call->rmcf, &node->tests, &note);

        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "ok", error == NULL);
    (void) cJSON_AddNumberToObject(json, "status", (double) status);
    (void) cJSON_AddNumberToObject(json, "ms", (double) ms);
    (void) cJSON_AddStringToObject(json, "model", action->model);

    if (error) {
        (void) cJSON_AddStringToObject(json, "error", error);
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


/* whatever it rests for is over, by an operator's word */

void
ngx_http_claude_relay_api_reset(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_node_t  *node;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_action(call) == NULL
        || ngx_http_claude_relay_call_members(call, names, NULL, NULL)
           != NGX_OK)
    {
        return;
    }

    node = call->account->node;

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);

    ncr_health_reset(&node->health, ngx_http_claude_relay_now());

    node->retry_at = 0;
    node->fails = 0;
    node->rejected = 0;
    node->failure[0] = '\0';

    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    ngx_http_claude_relay_ring_all();
    ngx_http_claude_relay_fleet_urgent(call->rmcf);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "account \"%V\" was reset by %V", &call->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_account(call);
}
