
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a platform must know of an account before it serves: a project of
 * Google's, organisations of Droid's.  A login asks for it; here it is asked
 * for where tokens were imported, or where that has failed.
 */


#include "ngx_http_claude_relay_refresh.h"


/* between two attempts for one account, ms */
#define NGX_HTTP_CLAUDE_RELAY_LEARN  (10 * 60 * 1000)


typedef struct {
    ngx_http_claude_relay_talk_t      *talk;
    ngx_http_claude_relay_roster_t    *roster;  /* held */
    char                               access[NCR_OAUTH_TOKEN];
} ngx_http_claude_relay_learn_t;


typedef struct {
    ngx_http_claude_relay_job_t        job;
    char                               name[NCR_STORE_NAME];
    char                               meta[NCR_OAUTH_META];
    ncr_msec_t                         now;
} ngx_http_claude_relay_meta_t;


static ngx_uint_t ngx_http_claude_relay_learn_lacks(
    ngx_http_claude_relay_account_t *a);
static ngx_uint_t ngx_http_claude_relay_learn_due(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, char *access);
static void ngx_http_claude_relay_learn_ask(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster,
    ngx_http_claude_relay_account_t *a);
static void ngx_http_claude_relay_learn_told(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc);
static void ngx_http_claude_relay_meta_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_meta_done(ngx_http_claude_relay_job_t *job);


static ngx_uint_t  ngx_http_claude_relay_learning;


void
ngx_http_claude_relay_learn_tick(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = roster->accounts.elts;

    for (i = 0; i < roster->accounts.nelts; i++) {

        /* nobody waits for it: one at a time */

        if (ngx_http_claude_relay_learning) {
            return;
        }

        if (ngx_http_claude_relay_learn_lacks(a[i])) {
            ngx_http_claude_relay_learn_ask(rmcf, roster, a[i]);
        }
    }
}


static ngx_uint_t
ngx_http_claude_relay_learn_lacks(ngx_http_claude_relay_account_t *a)
{
    ngx_str_t     member;
    u_char        buf[64];
    ncr_oauth_t  *oauth;

    oauth = a->platform->oauth;

    if (!a->token || !a->enabled || oauth == NULL || oauth->after == NULL
        || oauth->needs == NULL)
    {
        return 0;
    }

    if (a->info == NULL || a->info->meta.len == 0) {
        return 1;
    }

    member.data = buf;
    member.len = ngx_snprintf(buf, sizeof(buf), "\"%s\":%Z", oauth->needs)
                 - buf;

    return !ncr_str_contains(ncr(&a->info->meta), (char *) member.data);
}


static void
ngx_http_claude_relay_learn_ask(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_roster_t *roster,
    ngx_http_claude_relay_account_t *a)
{
    ncr_oauth_t                    *oauth;
    ngx_http_claude_relay_talk_t   *t;
    ngx_http_claude_relay_learn_t  *learn;

    learn = ngx_calloc(sizeof(ngx_http_claude_relay_learn_t), ngx_cycle->log);
    if (learn == NULL) {
        return;
    }

    if (!ngx_http_claude_relay_learn_due(rmcf, a, learn->access)) {
        ngx_free(learn);
        return;
    }

    oauth = ngx_http_claude_relay_oauth(rmcf, a->platform);

    t = ngx_http_claude_relay_talk_create(rmcf, a, oauth);
    if (t == NULL) {
        ngx_explicit_memzero(learn, sizeof(ngx_http_claude_relay_learn_t));
        ngx_free(learn);
        return;
    }

    learn->talk = t;
    learn->roster = roster;

    t->talk.access.data = (u_char *) learn->access;
    t->talk.access.len = ngx_strlen(learn->access);

    roster->refs++;
    ngx_http_claude_relay_learning++;

    ngx_http_claude_relay_talk_run(t, oauth->after,
                                   ngx_http_claude_relay_learn_told, learn);
}


/* this worker will, and no other one for a while */

static ngx_uint_t
ngx_http_claude_relay_learn_due(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, char *access)
{
    ngx_uint_t                       due;
    ncr_msec_t                       now;
    ngx_http_claude_relay_node_t    *node;
    ngx_http_claude_relay_tokens_t  *tokens;

    node = a->node;
    now = ngx_http_claude_relay_now();

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    tokens = node->tokens;

    due = (tokens && node->version && !node->login && !node->removed
           && node->rejected != node->version
           && (node->expires == 0 || node->expires > now)
           && tokens->access < NCR_OAUTH_TOKEN
           && (node->learn_at == 0
               || (ngx_msec_int_t) (node->learn_at - ngx_current_msec) <= 0));

    if (due) {
        (void) ngx_cpystrn((u_char *) access, tokens->data,
                           tokens->access + 1);

        node->learn_at = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LEARN;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return due;
}


static void
ngx_http_claude_relay_learn_told(ngx_http_claude_relay_talk_t *t,
    ncr_int_t rc)
{
    ngx_http_claude_relay_learn_t *learn = t->data;

    ngx_http_claude_relay_roster_t     *roster;
    ngx_http_claude_relay_account_t    *a;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    a = t->account;
    rmcf = t->rmcf;
    roster = learn->roster;

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "account \"%V\": %s", &a->name, t->talk.error);
    }

    if (t->talk.told[0]) {
        ngx_http_claude_relay_learnt(a, t->talk.told);
    }

    ngx_http_claude_relay_talk_destroy(t);

    ngx_explicit_memzero(learn, sizeof(ngx_http_claude_relay_learn_t));
    ngx_free(learn);

    ngx_http_claude_relay_learning--;
    ngx_http_claude_relay_roster_release(rmcf, roster);
}


void
ngx_http_claude_relay_learnt(ngx_http_claude_relay_account_t *a,
    const char *meta)
{
    ngx_http_claude_relay_meta_t  *m;

    m = ngx_calloc(sizeof(ngx_http_claude_relay_meta_t), ngx_cycle->log);
    if (m == NULL) {
        return;
    }

    (void) ngx_cpystrn((u_char *) m->name, a->name.data,
                       ngx_min(sizeof(m->name), a->name.len + 1));
    (void) ngx_cpystrn((u_char *) m->meta, (u_char *) meta, sizeof(m->meta));

    m->now = ngx_http_claude_relay_now();
    m->job.data = m;
    m->job.run = ngx_http_claude_relay_meta_run;
    m->job.done = ngx_http_claude_relay_meta_done;

    if (ngx_http_claude_relay_store_post(&m->job) != NGX_OK) {
        ngx_free(m);
    }
}


static void
ngx_http_claude_relay_meta_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_meta_t *m = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                            ncr_store_meta(store, m->name, m->meta, m->now));
}


static void
ngx_http_claude_relay_meta_done(ngx_http_claude_relay_job_t *job)
{
    if (job->rc != NCR_OK && job->rc != NCR_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "store: %s",
                      job->error);
    }

    ngx_http_claude_relay_store_touched();
    ngx_free(job->data);
}
