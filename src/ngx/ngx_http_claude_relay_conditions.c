
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an operator would want to know: looked at by one worker, a few accounts
 * and keys at a time, so that neither its requests nor the zone's lock wait
 * for it.
 */


#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_admin.h"


/* accounts of one step */
#define NGX_HTTP_CLAUDE_RELAY_ACCOUNTS  16


/* the ledger's file is so far behind, ms */
#define NGX_HTTP_CLAUDE_RELAY_BEHIND    60000

/* what was lost is told for so long, ms */
#define NGX_HTTP_CLAUDE_RELAY_LOST      300000

/* logins of an address that failed in the last minutes: it guesses */
#define NGX_HTTP_CLAUDE_RELAY_GUESSES   10


static void ngx_http_claude_relay_pass_account(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_account_t *a,
    ncr_msec_t now);
static void ngx_http_claude_relay_pass_pool(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_account_t *a, ngx_uint_t serves);
static void ngx_http_claude_relay_see_login(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
static void ngx_http_claude_relay_see_resting(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_view_t *view,
    ncr_msec_t now);
static void ngx_http_claude_relay_see_quota(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
static void ngx_http_claude_relay_see_pools(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static void ngx_http_claude_relay_see_errors(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static ngx_uint_t ngx_http_claude_relay_surge(
    ngx_http_claude_relay_teller_t *t, uint64_t *requests, uint64_t *failed);
static void ngx_http_claude_relay_see_store(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now);
static void ngx_http_claude_relay_see_ledger(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static void ngx_http_claude_relay_see_audit(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now);
static void ngx_http_claude_relay_see_logins(
    ngx_http_claude_relay_teller_t *t, ncr_msec_t now);
static ngx_uint_t ngx_http_claude_relay_grown(
    ngx_http_claude_relay_grown_t *g, uint64_t n, ncr_msec_t now);


void
ngx_http_claude_relay_pass_begin(ngx_http_claude_relay_teller_t *t)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_pass_t      *pass;
    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_main_conf_t *rmcf;

    rmcf = t->rmcf;
    pass = &t->pass;
    roster = rmcf->roster;

    ngx_memzero(pass, sizeof(ngx_http_claude_relay_pass_t));

    pass->pools = ngx_calloc((roster->pools.nelts + 1)
                             * sizeof(ngx_http_claude_relay_pool_state_t),
                             ngx_cycle->log);
    if (pass->pools == NULL) {
        return;
    }

    pass->roster = roster;
    roster->refs++;

    if (rmcf->subjects) {
        pass->subjects = rmcf->subjects;
        pass->mask = rmcf->subjects->mask;
    }

    for (i = 0; i < NCR_ALERT_KINDS; i++) {
        ncr_alert_begin(t->alerts, (ncr_alert_kind_e) i);
    }
}


ngx_int_t
ngx_http_claude_relay_pass_step(ngx_http_claude_relay_teller_t *t)
{
    ncr_msec_t                         now;
    ngx_uint_t                         i;
    ngx_http_claude_relay_pass_t      *pass;
    ngx_http_claude_relay_account_t  **a;

    pass = &t->pass;
    now = ngx_http_claude_relay_now();
    a = pass->roster->accounts.elts;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_ACCOUNTS; i++) {

        if (pass->account == pass->roster->accounts.nelts) {
            break;
        }

        ngx_http_claude_relay_pass_account(t, a[pass->account++], now);
    }

    if (pass->account < pass->roster->accounts.nelts) {
        return NGX_AGAIN;
    }

    if (t->conf->budget.n && ngx_http_claude_relay_pass_limits(t, now)) {
        return NGX_AGAIN;
    }

    ngx_http_claude_relay_see_pools(t, now);
    ngx_http_claude_relay_see_errors(t, now);
    ngx_http_claude_relay_see_store(t, now);
    ngx_http_claude_relay_see_ledger(t, now);
    ngx_http_claude_relay_see_audit(t, now);
    ngx_http_claude_relay_see_logins(t, now);
    ngx_http_claude_relay_see_fleet(t, now);

    for (i = 0; i < NCR_ALERT_KINDS; i++) {
        ncr_alert_end(t->alerts, (ncr_alert_kind_e) i, now);
    }

    return NGX_OK;
}


void
ngx_http_claude_relay_pass_end(ngx_http_claude_relay_teller_t *t)
{
    ngx_http_claude_relay_pass_t  *pass;

    pass = &t->pass;

    ngx_free(pass->pools);
    ngx_http_claude_relay_roster_release(t->rmcf, pass->roster);

    ngx_memzero(pass, sizeof(ngx_http_claude_relay_pass_t));
}


static void
ngx_http_claude_relay_pass_account(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_account_t *a, ncr_msec_t now)
{
    ngx_http_claude_relay_view_t  view;

    ngx_http_claude_relay_view(t->rmcf, a, now, &view);

    ngx_http_claude_relay_pass_pool(t, a, ngx_strcmp(view.state, "ok") == 0);

    if (ngx_strcmp(view.state, "disabled") == 0) {
        return;
    }

    ngx_http_claude_relay_see_login(t, &view, now);
    ngx_http_claude_relay_see_resting(t, &view, now);
    ngx_http_claude_relay_see_quota(t, &view, now);
    ngx_http_claude_relay_pass_account_limits(t, a, now);
}


static void
ngx_http_claude_relay_pass_pool(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_account_t *a, ngx_uint_t serves)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_pool_t  *pool;

    pool = t->pass.roster->pools.elts;

    for (i = 0; i < t->pass.roster->pools.nelts; i++) {

        if (pool[i].name.len == a->pool.len
            && ngx_memcmp(pool[i].name.data, a->pool.data, a->pool.len) == 0)
        {
            /* who was switched off is not missed */

            t->pass.pools[i].accounts += (a->enabled != 0);
            t->pass.pools[i].serving += serves;
            return;
        }
    }
}


static void
ngx_http_claude_relay_see_login(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    u_char        subject[NCR_ALERT_SUBJECT], title[NCR_ALERT_TITLE];
    u_char        name[NGX_HTTP_CLAUDE_RELAY_NAME_LEN];
    ncr_alert_t  *a;
    const char   *values[2];

    static const char *const  names[] = { "account", "reason", NULL };

    (void) ngx_snprintf(name, sizeof(name), "%V%Z", &view->account->name);
    (void) ngx_snprintf(subject, sizeof(subject), "account/%s%Z", name);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_LOGIN, (char *) subject,
                                  ngx_strcmp(view->state, "needs-login") == 0,
                                  0, view->node.login, now);
    if (a == NULL) {
        return;
    }

    values[0] = (char *) name;
    values[1] = view->reason ? view->reason : view->why;

    (void) ngx_snprintf(title, sizeof(title), "Account %s needs a login%Z",
                        name);

    ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL, (char *) title,
                              "It serves nobody until somebody logs in: %s.",
                              values[1]);
    ngx_http_claude_relay_say_fields(a, names, values);
}


static void
ngx_http_claude_relay_see_resting(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    char          until[NCR_STR_RFC3339];
    u_char        subject[NCR_ALERT_SUBJECT], title[NCR_ALERT_TITLE];
    u_char        name[NGX_HTTP_CLAUDE_RELAY_NAME_LEN];
    ncr_alert_t  *a;
    const char   *values[3];

    static const char *const  names[] = { "account", "why", "until", NULL };

    if (t->conf->resting == 0) {
        return;
    }

    (void) ngx_snprintf(name, sizeof(name), "%V%Z", &view->account->name);
    (void) ngx_snprintf(subject, sizeof(subject), "account/%s%Z", name);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_RESTING, (char *) subject,
                                  ngx_strcmp(view->state, "resting") == 0,
                                  (ncr_msec_t) t->conf->resting,
                                  (view->node.health.until > now)
                                  ? view->node.health.since : 0, now);
    if (a == NULL) {
        return;
    }

    if (view->until) {
        ncr_str_rfc3339(until, view->until);

    } else {
        (void) ngx_cpystrn((u_char *) until, (u_char *) "unknown",
                           sizeof(until));
    }

    values[0] = (char *) name;
    values[1] = view->why ? view->why : "unknown";
    values[2] = until;

    (void) ngx_snprintf(title, sizeof(title),
                        "Account %s has been resting for long%Z", name);

    ngx_http_claude_relay_say(a, NCR_ALERT_WARNING, (char *) title,
                              "It rests for \"%s\", until %s.", values[1],
                              until);
    ngx_http_claude_relay_say_fields(a, names, values);
}


static void
ngx_http_claude_relay_see_quota(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now)
{
    char                 reset[NCR_STR_RFC3339];
    u_char               subject[NCR_ALERT_SUBJECT], title[NCR_ALERT_TITLE];
    u_char               name[NGX_HTTP_CLAUDE_RELAY_NAME_LEN], used[32];
    ncr_uint_t           i;
    const char          *values[4];
    ncr_alert_t         *a;
    ncr_health_t        *h;
    ncr_window_t        *w;
    ncr_alert_sample_t   sample;

    static const char *const  names[] = { "account", "window", "used", "reset",
                                          NULL };

    if (t->conf->quota.n == 0) {
        return;
    }

    h = &view->node.health;

    (void) ngx_snprintf(name, sizeof(name), "%V%Z", &view->account->name);

    if (h->windows_at == 0) {

        /* a zone that was just made knows nothing yet */

        (void) ngx_snprintf(subject, sizeof(subject), "account/%s%Z", name);
        ncr_alert_keep(t->alerts, NCR_ALERT_QUOTA, (char *) subject);
        return;
    }

    for (i = 0; i < h->nwindows; i++) {

        w = &h->windows[i];

        if (w->utilization < 0 || (w->reset && w->reset <= now)) {
            continue;
        }

        (void) ngx_snprintf(subject, sizeof(subject), "account/%s/%s%Z", name,
                            w->name);

        ngx_memzero(&sample, sizeof(ncr_alert_sample_t));

        sample.kind = NCR_ALERT_QUOTA;
        sample.subject = (char *) subject;
        sample.value = (uint32_t) w->utilization;
        sample.steps = &t->conf->quota;
        sample.margin = NGX_HTTP_CLAUDE_RELAY_BELOW;

        a = ncr_alert_sample(t->alerts, &sample, now);
        if (a == NULL) {
            continue;
        }

        (void) ngx_snprintf(used, sizeof(used), "%d%%%Z",
                            (int) (w->utilization / 100));

        if (w->reset) {
            ncr_str_rfc3339(reset, w->reset);

        } else {
            (void) ngx_cpystrn((u_char *) reset, (u_char *) "unknown",
                               sizeof(reset));
        }

        values[0] = (char *) name;
        values[1] = w->name;
        values[2] = (char *) used;
        values[3] = reset;

        (void) ngx_snprintf(title, sizeof(title),
                            "Quota %s of account %s is used by %s%Z", w->name,
                            name, used);

        ngx_http_claude_relay_say(a, (a->observed == t->conf->quota.n)
                                     ? NCR_ALERT_CRITICAL : NCR_ALERT_WARNING,
                                  (char *) title, "It begins anew at %s.",
                                  reset);
        ngx_http_claude_relay_say_fields(a, names, values);
    }
}


static void
ngx_http_claude_relay_see_pools(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    u_char                         subject[NCR_ALERT_SUBJECT];
    u_char                         name[NCR_ALERT_SUBJECT - 8];
    u_char                         title[NCR_ALERT_TITLE], count[32];
    ngx_uint_t                     i;
    const char                    *values[2];
    ncr_alert_t                   *a;
    ngx_http_claude_relay_pool_t  *pool;

    static const char *const  names[] = { "pool", "accounts", NULL };

    pool = t->pass.roster->pools.elts;

    for (i = 0; i < t->pass.roster->pools.nelts; i++) {

        (void) ngx_snprintf(name, sizeof(name), "%V%Z", &pool[i].name);
        name[sizeof(name) - 1] = '\0';
        (void) ngx_snprintf(subject, sizeof(subject), "pool/%s%Z", name);

        a = ngx_http_claude_relay_see(t, NCR_ALERT_POOL, (char *) subject,
                                      t->pass.pools[i].accounts
                                      && t->pass.pools[i].serving == 0,
                                      (ncr_msec_t) t->conf->hold, 0, now);
        if (a == NULL) {
            continue;
        }

        (void) ngx_snprintf(count, sizeof(count), "%ui%Z",
                            t->pass.pools[i].accounts);

        values[0] = (char *) name;
        values[1] = (char *) count;

        (void) ngx_snprintf(title, sizeof(title),
                            "No account of pool %s can serve%Z", name);
        title[sizeof(title) - 1] = '\0';

        ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL, (char *) title,
                                  "Its accounts (%s) rest or need a login.",
                                  count);
        ngx_http_claude_relay_say_fields(a, names, values);
    }
}


static void
ngx_http_claude_relay_see_errors(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    u_char               title[NCR_ALERT_TITLE], n[2][NGX_INT64_LEN + 1];
    uint64_t             requests, failed;
    const char          *values[2];
    ncr_alert_t         *a;
    ncr_alert_steps_t    steps;
    ncr_alert_sample_t   sample;

    static const char *const  names[] = { "requests", "failed", NULL };

    if (t->conf->errors == 0) {
        return;
    }

    if (!ngx_http_claude_relay_surge(t, &requests, &failed)) {
        ncr_alert_keep(t->alerts, NCR_ALERT_ERRORS, "");
    }

    steps.n = 1;
    steps.at[0] = (uint32_t) t->conf->errors;

    ngx_memzero(&sample, sizeof(ncr_alert_sample_t));

    sample.kind = NCR_ALERT_ERRORS;
    sample.subject = "requests";
    sample.steps = &steps;
    sample.margin = (uint32_t) t->conf->errors / 4;

    if (failed < t->conf->min || requests == 0) {
        return;
    }

    sample.value = (uint32_t) (failed * 10000 / requests);

    a = ncr_alert_sample(t->alerts, &sample, now);
    if (a == NULL) {
        return;
    }

    (void) ngx_snprintf(n[0], sizeof(n[0]), "%uL%Z", requests);
    (void) ngx_snprintf(n[1], sizeof(n[1]), "%uL%Z", failed);

    values[0] = (char *) n[0];
    values[1] = (char *) n[1];

    (void) ngx_snprintf(title, sizeof(title),
                        "%uD%% of requests fail%Z", sample.value / 100);

    ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL, (char *) title,
                              "%s of %s have failed in the last five minutes.",
                              values[1], values[0]);
    ngx_http_claude_relay_say_fields(a, names, values);
}


/*
 * Of the last five minutes.  0: nobody has looked for so long yet; what there
 * is counts all the same.
 */

static ngx_uint_t
ngx_http_claude_relay_surge(ngx_http_claude_relay_teller_t *t,
    uint64_t *requests, uint64_t *failed)
{
    uint64_t                        outcomes[NCR_CLASSES], all, bad;
    ngx_uint_t                      i;
    ngx_http_claude_relay_surge_t  *s;

    ngx_shmtx_lock(&t->rmcf->shpool->mutex);
    ngx_memcpy(outcomes, t->rmcf->zone->metrics->outcomes, sizeof(outcomes));
    ngx_shmtx_unlock(&t->rmcf->shpool->mutex);

    all = 0;
    bad = 0;

    for (i = 0; i < NCR_CLASSES; i++) {

        /* who leaves has not failed, and a client's faults are its own */

        if (i == NCR_CLASS_ABORTED) {
            continue;
        }

        all += outcomes[i];

        if (i != NCR_CLASS_OK && i != NCR_CLASS_CLIENT
            && i != NCR_CLASS_POLICY)
        {
            bad += outcomes[i];
        }
    }

    s = t->surge;

    while (t->nsurge > 1
           && ngx_current_msec - s[1].at >= NGX_HTTP_CLAUDE_RELAY_SURGE_MS)
    {
        t->nsurge--;
        ngx_memmove(s, s + 1, t->nsurge * sizeof(s[0]));
    }

    /* samples stand apart, so that there is room for all of the time */

    if (t->nsurge == 0
        || (t->nsurge < NGX_HTTP_CLAUDE_RELAY_SURGE
            && ngx_current_msec - s[t->nsurge - 1].at
               >= NGX_HTTP_CLAUDE_RELAY_SURGE_MS
                  / (NGX_HTTP_CLAUDE_RELAY_SURGE - 2)))
    {
        s[t->nsurge].at = ngx_current_msec;
        s[t->nsurge].requests = all;
        s[t->nsurge].failed = bad;
        t->nsurge++;
    }

    *requests = all - s[0].requests;
    *failed = bad - s[0].failed;

    return ngx_current_msec - s[0].at >= NGX_HTTP_CLAUDE_RELAY_SURGE_MS;
}


static void
ngx_http_claude_relay_see_store(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    char                           error[NCR_STORE_ERROR];
    ngx_uint_t                     failed;
    ncr_msec_t                     since;
    ncr_alert_t                   *a;
    ngx_http_claude_relay_zone_t  *zone;

    zone = t->rmcf->zone;

    ngx_shmtx_lock(&t->rmcf->shpool->mutex);
    failed = zone->store_failed;
    since = zone->store_since;
    ngx_memcpy(error, zone->store_error, sizeof(error));
    ngx_shmtx_unlock(&t->rmcf->shpool->mutex);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_STORE, "store", failed,
                                  (ncr_msec_t) t->conf->hold,
                                  failed ? since : 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL, "The store fails",
                                  "Tokens cannot be refreshed and nothing can "
                                  "be changed: %s", error);
    }
}


static void
ngx_http_claude_relay_see_ledger(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    char                               error[NCR_LEDGER_ERROR];
    uint64_t                           lost;
    ngx_uint_t                         failed;
    ncr_msec_t                         since, drained;
    ncr_alert_t                       *a;
    ngx_http_claude_relay_zone_t      *zone;
    ngx_http_claude_relay_main_conf_t *rmcf;

    rmcf = t->rmcf;
    zone = rmcf->zone;

    if (rmcf->ring == NULL) {
        return;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);
    failed = zone->usage_failed;
    since = zone->usage_since;
    drained = zone->usage_drained;
    lost = zone->usage_lost;
    ngx_memcpy(error, zone->usage_error, sizeof(error));
    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_LEDGER, "ledger", failed,
                                  (ncr_msec_t) t->conf->hold,
                                  failed ? since : 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL, "The ledger fails",
                                  "Requests are kept in memory until it can "
                                  "be written: %s", error);
    }

    a = ngx_http_claude_relay_see(t, NCR_ALERT_LEDGER, "ledger/full",
                                  !ngx_http_claude_relay_ledger_ready(rmcf),
                                  0, 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL,
                                  "The ledger has no room",
                                  "Requests are refused, as nobody could say "
                                  "what they have cost.");
    }

    a = ngx_http_claude_relay_see(t, NCR_ALERT_LEDGER, "ledger/behind",
                                  !failed && drained
                                  && rmcf->ring->head != rmcf->ring->tail
                                  && now - drained
                                     > NGX_HTTP_CLAUDE_RELAY_BEHIND,
                                  (ncr_msec_t) t->conf->hold, 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_WARNING,
                                  "The ledger is behind",
                                  "Its file has not had all of the requests "
                                  "for %L seconds: the disk is slow.",
                                  (int64_t) (now - drained) / 1000);
    }

    a = ngx_http_claude_relay_see(t, NCR_ALERT_LEDGER, "ledger/lost",
                                  ngx_http_claude_relay_grown(&t->lost, lost,
                                                              now),
                                  0, 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL,
                                  "Records of requests were lost",
                                  "%uL found no room; they are in no sum and "
                                  "in no limit.", t->lost.more);
    }
}


static void
ngx_http_claude_relay_see_audit(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ncr_alert_t  *a;

    a = ngx_http_claude_relay_see(t, NCR_ALERT_AUDIT, "audit",
                                  ngx_http_claude_relay_grown(&t->dropped,
                                           t->rmcf->zone->audit_dropped, now),
                                  0, 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_WARNING,
                                  "Entries of the audit log were dropped",
                                  "%uL were, as they came faster than they "
                                  "could be written.", t->dropped.more);
    }
}


/* somebody tries passwords, and is held up for it */

static void
ngx_http_claude_relay_see_logins(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ngx_uint_t                       i, addresses, failures;
    ncr_alert_t                     *a;
    ncr_guard_row_t                 *row;
    ngx_http_claude_relay_guards_t  *guards;

    guards = t->rmcf->zone->guards;

    if (guards == NULL) {
        return;
    }

    addresses = 0;
    failures = 0;

    ngx_shmtx_lock(&t->rmcf->shpool->mutex);

    for (i = 0; i < NCR_GUARD_ROWS; i++) {

        row = &guards->addresses.rows[i];

        if (row->key && row->failures >= NGX_HTTP_CLAUDE_RELAY_GUESSES
            && now - row->last < NGX_HTTP_CLAUDE_RELAY_LOST)
        {
            addresses++;
            failures += row->failures;
        }
    }

    ngx_shmtx_unlock(&t->rmcf->shpool->mutex);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_SECURITY, "logins", addresses,
                                  0, 0, now);
    if (a) {
        ngx_http_claude_relay_say(a, NCR_ALERT_WARNING,
                                  "Somebody guesses passwords of admins",
                                  "%ui logins have failed, from %ui "
                                  "addresses, which are held up.", failures,
                                  addresses);
    }
}


/* has it grown of late? */

static ngx_uint_t
ngx_http_claude_relay_grown(ngx_http_claude_relay_grown_t *g, uint64_t n,
    ncr_msec_t now)
{
    if (g->at == 0 || n < g->n) {

        /* what was before is not known */

        g->at = 1;
        g->n = n;
        return 0;
    }

    if (now - g->at >= NGX_HTTP_CLAUDE_RELAY_LOST) {
        g->more = 0;
    }

    if (n > g->n) {
        g->more += n - g->n;
        g->n = n;
        g->at = now;
    }

    return g->more != 0;
}


/* of what is so, or is not */

ncr_alert_t *
ngx_http_claude_relay_see(ngx_http_claude_relay_teller_t *t,
    ncr_alert_kind_e kind, const char *subject, ngx_uint_t on,
    ncr_msec_t hold, ncr_msec_t since, ncr_msec_t now)
{
    ncr_alert_sample_t  sample;

    ngx_memzero(&sample, sizeof(ncr_alert_sample_t));

    sample.kind = kind;
    sample.subject = subject;
    sample.value = (on != 0);
    sample.hold = hold;
    sample.since = on ? since : 0;

    return ncr_alert_sample(t->alerts, &sample, now);
}


void
ngx_http_claude_relay_say(ncr_alert_t *a, ncr_alert_level_e level,
    const char *title, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    a->level = level;

    (void) ngx_cpystrn((u_char *) a->title, (u_char *) title,
                       sizeof(a->title));

    va_start(args, fmt);
    p = ngx_vslprintf((u_char *) a->text,
                      (u_char *) a->text + sizeof(a->text) - 1, fmt, args);
    va_end(args);

    *p = '\0';
}


void
ngx_http_claude_relay_say_fields(ncr_alert_t *a, const char *const *names,
    const char *const *values)
{
    ncr_out_t   out;
    ncr_str_t   s;
    ngx_uint_t  i;

    ncr_out_init(&out, (u_char *) a->fields, sizeof(a->fields) - 1);

    for (i = 0; names[i]; i++) {
        ncr_out_text(&out, i ? ",\"" : "{\"");
        ncr_out_text(&out, names[i]);
        ncr_out_text(&out, "\":");

        s.data = (u_char *) values[i];
        s.len = ngx_strlen(s.data);

        ncr_out_json_string(&out, &s);
    }

    ncr_out_text(&out, "}");

    if (out.overflow) {
        ncr_out_init(&out, (u_char *) a->fields, sizeof(a->fields) - 1);
        ncr_out_text(&out, "{}");
    }

    *out.last = '\0';
}
