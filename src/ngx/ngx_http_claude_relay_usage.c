
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Quota of accounts that no answer has told of lately: the usage endpoint is
 * asked, seldom, and less often when it says so (anthropic.md A.7).  What
 * response headers tell is for nothing, and as good.
 */


#include "ngx_http_claude_relay_refresh.h"


/* after a failure, ms */
#define NGX_HTTP_CLAUDE_RELAY_USAGE_AGAIN  (10 * 60 * 1000)

/* where it could not be asked for, ms */
#define NGX_HTTP_CLAUDE_RELAY_USAGE_SOON   (5 * 1000)

/* it was seen to ask for 48 minutes; more than this is nonsense, ms */
#define NGX_HTTP_CLAUDE_RELAY_USAGE_MAX    (6 * 3600 * 1000)


typedef struct {
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_roster_t    *roster;  /* held */
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_fetch_t     *fetch;
} ngx_http_claude_relay_usage_t;


static ngx_uint_t ngx_http_claude_relay_usage_due(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now);
static void ngx_http_claude_relay_usage_ask(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth);
static ncr_int_t ngx_http_claude_relay_usage_read(
    ngx_http_claude_relay_usage_t *usage, ncr_limits_t *limits,
    ncr_msec_t now);
static void ngx_http_claude_relay_usage_told(
    ngx_http_claude_relay_fetch_t *fetch);


static ngx_uint_t  ngx_http_claude_relay_nusages;


void
ngx_http_claude_relay_usage_tick(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster)
{
    ncr_msec_t                         now;
    ngx_uint_t                         i;
    ncr_oauth_t                       *oauth;
    ngx_http_claude_relay_account_t  **a;

    if (rmcf->usage_poll == 0) {
        return;
    }

    now = ngx_http_claude_relay_now();
    a = roster->accounts.elts;

    for (i = 0; i < roster->accounts.nelts; i++) {

        /* nobody waits for it: one at a time */

        if (ngx_http_claude_relay_nusages) {
            return;
        }

        if (!ngx_http_claude_relay_usage_due(rmcf, a[i], now)) {
            continue;
        }

        oauth = ngx_http_claude_relay_oauth(rmcf, a[i]->platform);

        if (oauth->usage || oauth->usage_path.len) {
            ngx_http_claude_relay_usage_ask(rmcf, roster, a[i], oauth);
        }
    }
}


static ngx_uint_t
ngx_http_claude_relay_usage_due(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    ngx_uint_t                     due;
    ngx_http_claude_relay_node_t  *node;

    if (!a->token || !a->enabled || a->platform->oauth == NULL) {
        return 0;
    }

    node = a->node;

    if (node->version == 0 || node->login || node->rejected == node->version
        || (node->expires && node->expires <= now)
        || (node->usage_at
            && (ngx_msec_int_t) (node->usage_at - ngx_current_msec) > 0)
        || now - node->health.windows_at < (ncr_msec_t) rmcf->usage_poll)
    {
        return 0;
    }

    /* the scope must allow it; a login that told none is tried */

    if (a->platform->oauth->usage == NULL && a->info && a->info->scopes.len
        && ngx_strlcasestrn(a->info->scopes.data,
                            a->info->scopes.data + a->info->scopes.len,
                            (u_char *) "user:profile",
                            sizeof("user:profile") - 1 - 1)
           == NULL)
    {
        return 0;
    }

    /* this worker will, and no other one for a while */

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    due = (node->usage_at == 0
           || (ngx_msec_int_t) (node->usage_at - ngx_current_msec) <= 0);

    if (due) {
        node->usage_at = ngx_current_msec + rmcf->usage_poll
                         + ngx_random() % (rmcf->usage_poll / 10 + 1);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return due;
}


static void
ngx_http_claude_relay_usage_ask(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth)
{
    ngx_http_claude_relay_fetch_t  *fetch;
    ngx_http_claude_relay_usage_t  *usage;

    fetch = oauth->usage
            ? ngx_http_claude_relay_usage_fetch(rmcf, a, oauth)
            : ngx_http_claude_relay_api_request(rmcf, a, "GET",
                                                &oauth->usage_path, NULL);
    if (fetch == NULL) {

        /* perhaps something is not known that is being asked for */

        ngx_shmtx_lock(&rmcf->shpool->mutex);
        a->node->usage_at = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_USAGE_SOON;
        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        return;
    }

    usage = ngx_pcalloc(fetch->pool, sizeof(ngx_http_claude_relay_usage_t));

    if (usage == NULL) {
        ngx_http_claude_relay_fetch_destroy(fetch);
        return;
    }

    usage->rmcf = rmcf;
    usage->roster = roster;
    usage->account = a;
    usage->fetch = fetch;

    fetch->data = usage;
    fetch->handler = ngx_http_claude_relay_usage_told;

    if (ngx_http_claude_relay_fetch_start(fetch) != NGX_OK) {
        ngx_http_claude_relay_fetch_destroy(fetch);
        return;
    }

    roster->refs++;
    ngx_http_claude_relay_nusages++;
}


/* as the platform asks, with the lines that show the credential */

ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_usage_fetch(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth)
{
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_fetch_t  *fetch;

    if (ngx_http_claude_relay_proof(rmcf, a) != NGX_OK) {
        return NULL;
    }

    t = ngx_http_claude_relay_talk_create(rmcf, a, oauth);
    if (t == NULL) {
        return NULL;
    }

    fetch = NULL;

    ncr_out_str(&t->talk.lines, ncr(&a->proof));

    if (oauth->usage(&t->talk) == NCR_OK
        && t->talk.url.last > t->talk.url.start
        && t->talk.url.start[0] == '/')
    {
        fetch = ngx_http_claude_relay_talk_fetch(t);

        /* it is the caller's from here on */

        t->fetch = NULL;
    }

    ngx_http_claude_relay_talk_destroy(t);

    return fetch;
}


static ncr_int_t
ngx_http_claude_relay_usage_read(ngx_http_claude_relay_usage_t *usage,
    ncr_limits_t *limits, ncr_msec_t now)
{
    char                              meta[NCR_OAUTH_META];
    char                              all[NCR_OAUTH_META];
    ncr_int_t                         rc;
    ncr_str_t                         old;
    ncr_oauth_t                      *oauth;
    ngx_http_claude_relay_account_t  *a;

    a = usage->account;
    oauth = a->platform->oauth;

    if (oauth->usage_read == NULL) {
        return ncr_oauth_usage(ncr(&usage->fetch->answer), limits, now);
    }

    meta[0] = '\0';

    rc = oauth->usage_read(ncr(&usage->fetch->answer), limits, meta, now);

    if (rc != NCR_OK || meta[0] == '\0') {
        return rc;
    }

    ncr_str_set(&old, "");

    if (a->info) {
        old = *ncr(&a->info->meta);
    }

    ncr_oauth_meta(meta, &old, all, sizeof(all));

    if (!ncr_str_eq(&old, all)) {
        ngx_http_claude_relay_learnt(a, all);
    }

    return NCR_OK;
}


static void
ngx_http_claude_relay_usage_told(ngx_http_claude_relay_fetch_t *fetch)
{
    ngx_http_claude_relay_usage_t *usage = fetch->data;

    int64_t                             n;
    ncr_msec_t                          now, after;
    ncr_limits_t                        limits;
    ngx_http_claude_relay_node_t       *node;
    ngx_http_claude_relay_roster_t     *roster;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = usage->rmcf;
    node = usage->account->node;
    roster = usage->roster;
    now = ngx_http_claude_relay_now();

    if (fetch->kind == NCR_REPLY_HTTP && fetch->status == 200 && !fetch->cut
        && ngx_http_claude_relay_usage_read(usage, &limits, now) == NCR_OK)
    {
        ngx_shmtx_lock(&rmcf->shpool->mutex);
        ncr_health_limits(&node->health, &limits, now);
        ngx_shmtx_unlock(&rmcf->shpool->mutex);

    } else {

        after = ngx_max(NGX_HTTP_CLAUDE_RELAY_USAGE_AGAIN,
                        (ncr_msec_t) rmcf->usage_poll);

        if (fetch->kind == NCR_REPLY_HTTP && fetch->status == 429
            && ncr_str_int(ncr(&fetch->retry_after), &n) == NCR_OK
            && n > 0 && n <= NGX_HTTP_CLAUDE_RELAY_USAGE_MAX / 1000)
        {
            after = ngx_max(after, n * 1000);
        }

        if (fetch->kind == NCR_REPLY_HTTP && fetch->status == 403) {

            /* its scope does not allow it (A.6), nor will it */

            after = NGX_HTTP_CLAUDE_RELAY_USAGE_MAX;
        }

        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "usage of account \"%V\" is not known: %s, status %ui",
                      &usage->account->name,
                      ngx_http_claude_relay_fetch_words(fetch),
                      fetch->status);

        ngx_shmtx_lock(&rmcf->shpool->mutex);
        node->usage_at = ngx_current_msec + (ngx_msec_t) after;
        ngx_shmtx_unlock(&rmcf->shpool->mutex);
    }

    ngx_http_claude_relay_fetch_destroy(fetch);

    ngx_http_claude_relay_nusages--;
    ngx_http_claude_relay_roster_release(rmcf, roster);
}
