
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is left: the windows that providers tell of, and what the relay's own
 * books say.  No platform here has an endpoint of its documentation that
 * tells the balance of a key, so that is told by the books alone.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_ledger.h"


#define NGX_HTTP_CLAUDE_RELAY_SPENT  4


/* what an account has spent */

typedef struct {
    const char                        *name;    /* with a NUL */
    uint64_t                           requests;
    uint64_t                           tokens;
    uint64_t                           cost;
} ngx_http_claude_relay_spent_t;


typedef struct {
    ngx_http_claude_relay_question_t   question;
    ngx_http_claude_relay_call_t      *call;
    ncr_msec_t                         now;
    ngx_http_claude_relay_spent_t     *spent;   /* by name; or of one, by
                                                   spans */
    ngx_uint_t                         n;
    ngx_http_claude_relay_spent_t     *at;      /* that is being told */
    unsigned                           known:1;
} ngx_http_claude_relay_quota_t;


/* a window of all accounts that have it */

typedef struct {
    char                               name[NCR_WINDOW_LEN];
    ngx_uint_t                         accounts;
    ngx_uint_t                         told;
    uint64_t                           sum;     /* 1/10000 */
    uint64_t                           most;
    ncr_msec_t                         reset;   /* the next one's */
} ngx_http_claude_relay_windows_t;


static void ngx_http_claude_relay_api_quota(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_balance(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_quota_t *ngx_http_claude_relay_quota(
    ngx_http_claude_relay_call_t *call, ngx_uint_t n);
static void ngx_http_claude_relay_quota_ask(
    ngx_http_claude_relay_quota_t *quota,
    void (*run)(ncr_ledger_t *ledger, ngx_http_claude_relay_question_t *q),
    ngx_http_claude_relay_call_pt next);
static void ngx_http_claude_relay_quota_asked(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_quota_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_quota_sum(void *data,
    ncr_ledger_sum_t *sum);
static int ngx_libc_cdecl ngx_http_claude_relay_quota_compare(
    const void *one, const void *two);
static void ngx_http_claude_relay_quota_answer(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_quota_account(
    ngx_http_claude_relay_quota_t *quota, ngx_http_claude_relay_view_t *view,
    ncr_msec_t now);
static void ngx_http_claude_relay_quota_window(
    ngx_http_claude_relay_windows_t *windows, ngx_uint_t *n,
    ncr_window_t *w, ncr_msec_t now);
static void ngx_http_claude_relay_quota_windows(cJSON *json,
    ngx_http_claude_relay_windows_t *windows, ngx_uint_t n);
static void ngx_http_claude_relay_quota_fraction(cJSON *json,
    const char *name, uint64_t value);
static void ngx_http_claude_relay_show_spent(cJSON *json, const char *name,
    ngx_http_claude_relay_spent_t *spent);
static void ngx_http_claude_relay_balance_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_balance_sum(void *data,
    ncr_ledger_sum_t *sum);
static void ngx_http_claude_relay_spent_add(
    ngx_http_claude_relay_spent_t *spent, ncr_ledger_sum_t *sum);
static void ngx_http_claude_relay_balance_answer(
    ngx_http_claude_relay_call_t *call);


/* of a balance */

static const char  *ngx_http_claude_relay_spans[NGX_HTTP_CLAUDE_RELAY_SPENT] =
    { "today", "week", "month", "total" };

static ncr_span_e  ngx_http_claude_relay_span[NGX_HTTP_CLAUDE_RELAY_SPENT] =
    { NCR_SPAN_DAY, NCR_SPAN_WEEK, NCR_SPAN_MONTH, NCR_SPAN_TOTAL };


ngx_http_claude_relay_way_t  ngx_http_claude_relay_quota_ways[] = {

    { NGX_HTTP_GET, "/v1/quota", ngx_http_claude_relay_api_quota,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { NGX_HTTP_GET, "/v1/accounts/*/balance",
      ngx_http_claude_relay_api_balance,
      NCR_ROLE_VIEWER, 1, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_quota(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                         i, n;
    ngx_http_claude_relay_quota_t     *quota;
    ngx_http_claude_relay_account_t  **a;

    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK) {
        return;
    }

    a = call->roster->accounts.elts;
    n = call->roster->accounts.nelts;

    quota = ngx_http_claude_relay_quota(call, n);

    if (quota == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        quota->spent[i].name = (char *) a[i]->node->name;
    }

    ngx_qsort(quota->spent, n, sizeof(ngx_http_claude_relay_spent_t),
              ngx_http_claude_relay_quota_compare);

    ngx_http_claude_relay_quota_ask(quota, ngx_http_claude_relay_quota_run,
                                    ngx_http_claude_relay_quota_answer);
}


/* NULL: the call has ended */

static ngx_http_claude_relay_quota_t *
ngx_http_claude_relay_quota(ngx_http_claude_relay_call_t *call, ngx_uint_t n)
{
    ngx_http_claude_relay_quota_t  *quota;

    quota = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_quota_t));

    if (quota == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    quota->spent = ngx_pcalloc(call->pool,
                               (n + 1)
                               * sizeof(ngx_http_claude_relay_spent_t));

    if (quota->spent == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    quota->n = n;
    quota->call = call;
    quota->now = ngx_http_claude_relay_now();

    call->data = quota;

    return quota;
}


/* without books there is an answer, too */

static void
ngx_http_claude_relay_quota_ask(ngx_http_claude_relay_quota_t *quota,
    void (*run)(ncr_ledger_t *ledger, ngx_http_claude_relay_question_t *q),
    ngx_http_claude_relay_call_pt next)
{
    quota->call->next = next;

    quota->question.run = run;
    quota->question.done = ngx_http_claude_relay_quota_asked;
    quota->question.data = quota;
    quota->question.fresh = 1;

    if (ngx_http_claude_relay_ledger_ask(&quota->question) != NGX_OK) {
        next(quota->call);
    }
}


static void
ngx_http_claude_relay_quota_asked(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_quota_t *quota = q->data;

    quota->known = (q->rc == NCR_OK);

    quota->call->next(quota->call);
}


/* in the thread */

static void
ngx_http_claude_relay_quota_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_quota_t *quota = q->data;

    ncr_msec_t          end;
    ncr_ledger_query_t  query;

    ngx_memzero(&query, sizeof(ncr_ledger_query_t));

    ncr_tz_span(quota->call->rmcf->tz, NCR_SPAN_DAY, 1, 0, quota->now,
                &query.from, &end);

    query.by[0] = NCR_BY_ACCOUNT;
    query.limit = NCR_LEDGER_GROUPS;

    q->rc = ncr_ledger_sums(ledger, &query, ngx_http_claude_relay_quota_sum,
                            quota);
}


/* those of accounts that are no more are of no interest here */

static ncr_int_t
ngx_http_claude_relay_quota_sum(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_quota_t *quota = data;

    ngx_http_claude_relay_spent_t  key, *spent;

    key.name = sum->name[0] ? sum->name[0] : "";

    spent = bsearch(&key, quota->spent, quota->n,
                    sizeof(ngx_http_claude_relay_spent_t),
                    ngx_http_claude_relay_quota_compare);
    if (spent) {
        ngx_http_claude_relay_spent_add(spent, sum);
    }

    return NCR_OK;
}


static int ngx_libc_cdecl
ngx_http_claude_relay_quota_compare(const void *one, const void *two)
{
    const ngx_http_claude_relay_spent_t *a = one;
    const ngx_http_claude_relay_spent_t *b = two;

    return ngx_strcmp(a->name, b->name);
}


static void
ngx_http_claude_relay_quota_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                             *json, *list;
    ncr_msec_t                         now;
    ngx_uint_t                         i, j, n;
    ngx_http_claude_relay_view_t       view;
    ngx_http_claude_relay_spent_t      all;
    ngx_http_claude_relay_quota_t     *quota;
    ngx_http_claude_relay_windows_t    windows[2 * NCR_WINDOWS];
    ngx_http_claude_relay_account_t  **a;

    quota = call->data;
    now = ngx_http_claude_relay_now();
    n = 0;

    ngx_memzero(windows, sizeof(windows));
    ngx_memzero(&all, sizeof(ngx_http_claude_relay_spent_t));

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "accounts");

    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {

        ngx_http_claude_relay_view(call->rmcf, a[i], now, &view);

        (void) cJSON_AddItemToArray(list,
                     ngx_http_claude_relay_quota_account(quota, &view, now));

        for (j = 0; j < view.node.health.nwindows; j++) {
            ngx_http_claude_relay_quota_window(windows, &n,
                                            &view.node.health.windows[j],
                                            now);
        }
    }

    (void) cJSON_AddNumberToObject(json, "total",
                                   (double) call->roster->accounts.nelts);

    ngx_http_claude_relay_quota_windows(json, windows, n);

    for (i = 0; i < quota->n; i++) {
        all.requests += quota->spent[i].requests;
        all.tokens += quota->spent[i].tokens;
        all.cost += quota->spent[i].cost;
    }

    ngx_http_claude_relay_show_spent(json, "today",
                                     quota->known ? &all : NULL);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_quota_account(ngx_http_claude_relay_quota_t *quota,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    cJSON                            *json, *identity, *value;
    ngx_str_t                         platform;
    ngx_http_claude_relay_spent_t     key, *spent;
    ngx_http_claude_relay_account_t  *a;

    a = view->account;
    platform = ngx_http_claude_relay_str(&a->platform->name);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &a->name);
    ngx_http_claude_relay_show_str(json, "platform", &platform);
    ngx_http_claude_relay_show_str(json, "pool", &a->pool);
    (void) cJSON_AddStringToObject(json, "state", view->state);

    if (view->why) {
        (void) cJSON_AddStringToObject(json, "why", view->why);
    }

    if (view->until) {
        ngx_http_claude_relay_show_time(json, "until", view->until);
    }

    identity = ngx_http_claude_relay_show_identity(a);

    value = cJSON_DetachItemFromObjectCaseSensitive(identity, "plan");
    (void) cJSON_AddItemToObject(json, "plan",
                                 value ? value : cJSON_CreateNull());

    value = cJSON_DetachItemFromObjectCaseSensitive(identity, "tier");
    (void) cJSON_AddItemToObject(json, "tier",
                                 value ? value : cJSON_CreateNull());

    cJSON_Delete(identity);

    ngx_http_claude_relay_show_time(json, "token_expires",
                                    a->token ? view->expires : 0);
    ngx_http_claude_relay_show_time(json, "windows_at",
                                    view->node.health.windows_at);
    ngx_http_claude_relay_show_windows(json, view, now);
    ngx_http_claude_relay_show_limits(json, view, now);

    key.name = (char *) view->node.name;

    spent = bsearch(&key, quota->spent, quota->n,
                    sizeof(ngx_http_claude_relay_spent_t),
                    ngx_http_claude_relay_quota_compare);

    ngx_http_claude_relay_show_spent(json, "today",
                                     quota->known ? spent : NULL);

    return json;
}


static void
ngx_http_claude_relay_quota_window(ngx_http_claude_relay_windows_t *windows,
    ngx_uint_t *n, ncr_window_t *w, ncr_msec_t now)
{
    ngx_uint_t                        i;
    ngx_http_claude_relay_windows_t  *to;

    if (w->reset && w->reset <= now) {
        return;
    }

    for (i = 0; i < *n; i++) {
        if (ngx_strcmp(windows[i].name, w->name) == 0) {
            break;
        }
    }

    if (i == *n) {

        if (*n == 2 * NCR_WINDOWS) {
            return;
        }

        ngx_memcpy(windows[(*n)++].name, w->name, NCR_WINDOW_LEN);
    }

    to = &windows[i];
    to->accounts++;

    if (w->utilization >= 0) {
        to->told++;
        to->sum += (uint64_t) w->utilization;
        to->most = ngx_max(to->most, (uint64_t) w->utilization);
    }

    if (w->reset && (to->reset == 0 || w->reset < to->reset)) {
        to->reset = w->reset;
    }
}


static void
ngx_http_claude_relay_quota_windows(cJSON *json,
    ngx_http_claude_relay_windows_t *windows, ngx_uint_t n)
{
    cJSON       *list, *item;
    ngx_uint_t   i;

    list = cJSON_AddObjectToObject(json, "windows");

    for (i = 0; i < n; i++) {

        item = cJSON_AddObjectToObject(list, windows[i].name);

        (void) cJSON_AddNumberToObject(item, "accounts",
                                       (double) windows[i].accounts);

        if (windows[i].told) {
            ngx_http_claude_relay_quota_fraction(item, "mean",
                                        windows[i].sum / windows[i].told);
            ngx_http_claude_relay_quota_fraction(item, "most",
                                                 windows[i].most);
        }

        ngx_http_claude_relay_show_time(item, "next_reset",
                                        windows[i].reset);
    }
}


static void
ngx_http_claude_relay_quota_fraction(cJSON *json, const char *name,
    uint64_t value)
{
    u_char  buf[NGX_INT64_LEN + 8];

    (void) ngx_snprintf(buf, sizeof(buf), "%uL.%04uL%Z", value / 10000,
                        value % 10000);

    (void) cJSON_AddRawToObject(json, name, (char *) buf);
}


/* NULL: that is not known */

static void
ngx_http_claude_relay_show_spent(cJSON *json, const char *name,
    ngx_http_claude_relay_spent_t *spent)
{
    cJSON  *item;

    if (spent == NULL) {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    item = cJSON_AddObjectToObject(json, name);

    (void) cJSON_AddNumberToObject(item, "requests",
                                   (double) spent->requests);
    (void) cJSON_AddNumberToObject(item, "tokens", (double) spent->tokens);

    ngx_http_claude_relay_show_cost(item, "cost", "cost_micros", spent->cost);
}


static void
ngx_http_claude_relay_api_balance(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_quota_t  *quota;

    if (call->account == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no account \"%V\"",
                                         &call->name);
        return;
    }

    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK) {
        return;
    }

    quota = ngx_http_claude_relay_quota(call, NGX_HTTP_CLAUDE_RELAY_SPENT);

    if (quota) {
        ngx_http_claude_relay_quota_ask(quota,
                                        ngx_http_claude_relay_balance_run,
                                        ngx_http_claude_relay_balance_answer);
    }
}


/* in the thread */

static void
ngx_http_claude_relay_balance_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_quota_t *quota = q->data;

    ncr_msec_t          end;
    ngx_uint_t          i;
    ncr_ledger_query_t  query;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SPENT; i++) {

        ngx_memzero(&query, sizeof(ncr_ledger_query_t));

        query.account = (char *) quota->call->name.data;

        if (ngx_http_claude_relay_span[i] != NCR_SPAN_TOTAL) {
            ncr_tz_span(quota->call->rmcf->tz, ngx_http_claude_relay_span[i],
                        1, 0, quota->now, &query.from, &end);
        }

        quota->at = &quota->spent[i];

        q->rc = ncr_ledger_sums(ledger, &query,
                                ngx_http_claude_relay_balance_sum, quota);

        if (q->rc != NCR_OK) {
            return;
        }
    }
}


static ncr_int_t
ngx_http_claude_relay_balance_sum(void *data, ncr_ledger_sum_t *sum)
{
    ngx_http_claude_relay_quota_t *quota = data;

    ngx_http_claude_relay_spent_add(quota->at, sum);

    return NCR_OK;
}


static void
ngx_http_claude_relay_spent_add(ngx_http_claude_relay_spent_t *spent,
    ncr_ledger_sum_t *sum)
{
    spent->requests += sum->requests;
    spent->tokens += sum->usage.input + sum->usage.output
                     + sum->usage.cache_read + sum->usage.cache_write;
    spent->cost += sum->cost;
}


static void
ngx_http_claude_relay_balance_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *json, *spent;
    ncr_msec_t                       now;
    ngx_uint_t                       i;
    ngx_http_claude_relay_view_t     view;
    ngx_http_claude_relay_quota_t   *quota;

    quota = call->data;
    now = ngx_http_claude_relay_now();

    ngx_http_claude_relay_view(call->rmcf, call->account, now, &view);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &call->name);

    /* a provider that told it would be the better source */

    (void) cJSON_AddStringToObject(json, "source", "books");
    (void) cJSON_AddNullToObject(json, "balance");
    (void) cJSON_AddStringToObject(json, "currency", "USD");

    spent = cJSON_AddObjectToObject(json, "spent");

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SPENT; i++) {
        ngx_http_claude_relay_show_spent(spent,
                                  ngx_http_claude_relay_spans[i],
                                  quota->known ? &quota->spent[i] : NULL);
    }

    ngx_http_claude_relay_show_windows(json, &view, now);
    ngx_http_claude_relay_show_limits(json, &view, now);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
