
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The counters as text: accounts and keys. */


#include "ngx_http_claude_relay_metrics.h"


static void ngx_http_claude_relay_metrics_text_account_states(
    ngx_http_claude_relay_scrape_t *s);
static void ngx_http_claude_relay_metrics_text_account_windows(
    ngx_http_claude_relay_scrape_t *s);
static void ngx_http_claude_relay_metrics_text_account_work(
    ngx_http_claude_relay_scrape_t *s);


const char
    *ngx_http_claude_relay_metrics_tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS]
    =
{
    "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"
};

const char  *ngx_http_claude_relay_metrics_states[] = {
    "ok", "resting", "needs-login", "disabled"
};


void
ngx_http_claude_relay_metrics_text_accounts(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t      i;
    ncr_metrics_t  *m;

    m = &s->m;

    ncr_metrics_family(m, "claude_relay_accounts", "gauge",
                       "Accounts by state.");

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_METRICS_STATES; i++) {
        ncr_metrics_label_text(m, "state",
                               ngx_http_claude_relay_metrics_states[i]);
        ncr_metrics_value(m, s->states[i], 0);
    }

    if (s->naccounts == 0) {
        return;
    }

    ngx_http_claude_relay_metrics_text_account_states(s);
    ngx_http_claude_relay_metrics_text_account_windows(s);
    ngx_http_claude_relay_metrics_text_account_work(s);
}


static void
ngx_http_claude_relay_metrics_text_account_states(
    ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                                i, j;
    ncr_metrics_t                            *m;
    ngx_http_claude_relay_metrics_account_t  *a;

    m = &s->m;
    a = s->accounts;

    ncr_metrics_family(m, "claude_relay_account_state", "gauge",
                       "1 for the state that the account is in, else 0.");

    for (i = 0; i < s->naccounts; i++) {

        if (a[i].account == NULL) {
            continue;
        }

        for (j = 0; j < NGX_HTTP_CLAUDE_RELAY_METRICS_STATES; j++) {
            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_label(m, "pool", ncr(&a[i].account->pool));
            ncr_metrics_label(m, "platform",
                              &a[i].account->platform->name);
            ncr_metrics_label_text(m, "state",
                               ngx_http_claude_relay_metrics_states[j]);
            ncr_metrics_value(m, a[i].state == j, 0);
        }
    }

    ncr_metrics_family(m, "claude_relay_account_rest_end_timestamp_seconds",
                       "gauge",
                       "When the account's rest will be over, and why it "
                       "rests; Unix time.");

    for (i = 0; i < s->naccounts; i++) {
        if (a[i].account && a[i].why && a[i].until > 0) {
            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_label_text(m, "reason", a[i].why);
            ncr_metrics_value(m, a[i].until, 3);
        }
    }

    ncr_metrics_family(m,
                       "claude_relay_account_token_expiry_timestamp_seconds",
                       "gauge",
                       "When the account's access token ends; Unix time.");

    for (i = 0; i < s->naccounts; i++) {
        if (a[i].account && a[i].expires > 0) {
            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_value(m, a[i].expires, 3);
        }
    }

    ncr_metrics_family(m, "claude_relay_account_max_concurrency", "gauge",
                       "Slots of the account, where they are limited.");

    for (i = 0; i < s->naccounts; i++) {
        if (a[i].account && a[i].account->max_concurrency > 0) {
            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_value(m, a[i].account->max_concurrency, 0);
        }
    }

    ncr_metrics_family(m, "claude_relay_account_in_flight", "gauge",
                       "Slots of the account that are taken.");

    for (i = 0; i < s->naccounts; i++) {
        ncr_metrics_label(m, "account", ncr(&a[i].name));
        ncr_metrics_value(m, a[i].inflight, 0);
    }
}


/* windows as the provider told them, until they are over */

static void
ngx_http_claude_relay_metrics_text_account_windows(
    ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                                i, j;
    ncr_window_t                             *w;
    ncr_metrics_t                            *m;
    ngx_http_claude_relay_metrics_account_t  *a;

    m = &s->m;
    a = s->accounts;

    ncr_metrics_family(m, "claude_relay_account_window_utilization_ratio",
                       "gauge",
                       "Share of a quota window that is used.");

    for (i = 0; i < s->naccounts; i++) {
        for (j = 0; j < a[i].nwindows; j++) {

            w = &a[i].windows[j];

            if (w->utilization >= 0 && (w->reset == 0 || w->reset > s->now)) {
                ncr_metrics_label(m, "account", ncr(&a[i].name));
                ncr_metrics_label_text(m, "window", w->name);
                ncr_metrics_value(m, w->utilization, 4);
            }
        }
    }

    ncr_metrics_family(m,
                       "claude_relay_account_window_reset_timestamp_seconds",
                       "gauge", "When a quota window ends; Unix time.");

    for (i = 0; i < s->naccounts; i++) {
        for (j = 0; j < a[i].nwindows; j++) {

            w = &a[i].windows[j];

            if (w->reset > s->now) {
                ncr_metrics_label(m, "account", ncr(&a[i].name));
                ncr_metrics_label_text(m, "window", w->name);
                ncr_metrics_value(m, w->reset, 3);
            }
        }
    }
}


static void
ngx_http_claude_relay_metrics_text_account_work(
    ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                                i, j;
    ncr_metrics_t                            *m;
    ngx_http_claude_relay_metrics_account_t  *a;

    m = &s->m;
    a = s->accounts;

    ncr_metrics_family(m, "claude_relay_attempts_total", "counter",
                       "Attempts at the account that are over, by class of "
                       "their verdict.");

    for (i = 0; i < s->naccounts; i++) {

        for (j = 0; j < NCR_CLASSES; j++) {

            if (a[i].tally.attempts[j] == 0 && j != NCR_CLASS_OK) {
                continue;
            }

            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_label_text(m, "class", ncr_class_name(j));
            ncr_metrics_value(m, a[i].tally.attempts[j], 0);
        }
    }

    ncr_metrics_family(m, "claude_relay_account_requests_total", "counter",
                       "Requests that the account has answered.");

    for (i = 0; i < s->naccounts; i++) {
        ncr_metrics_label(m, "account", ncr(&a[i].name));
        ncr_metrics_value(m, a[i].tally.requests, 0);
    }

    ncr_metrics_family(m, "claude_relay_account_tokens_total", "counter",
                       "Tokens by account and kind.");

    for (i = 0; i < s->naccounts; i++) {
        for (j = 0; j < NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS; j++) {
            ncr_metrics_label(m, "account", ncr(&a[i].name));
            ncr_metrics_label_text(m, "type",
                                   ngx_http_claude_relay_metrics_tokens[j]);
            ncr_metrics_value(m, a[i].tally.tokens[j], 0);
        }
    }

    ncr_metrics_family(m, "claude_relay_account_cost_dollars_total",
                       "counter", "What the account's requests cost.");

    for (i = 0; i < s->naccounts; i++) {
        ncr_metrics_label(m, "account", ncr(&a[i].name));
        ncr_metrics_value(m, a[i].tally.cost, 6);
    }
}


void
ngx_http_claude_relay_metrics_text_keys(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                            i;
    ncr_metrics_t                        *m;
    ngx_http_claude_relay_metrics_key_t  *key;

    if (s->nkeys == 0) {
        return;
    }

    m = &s->m;
    key = s->keys;

    ncr_metrics_family(m, "claude_relay_key_requests_total", "counter",
                       "Requests of the key that are over.");

    for (i = 0; i < s->nkeys; i++) {
        ncr_metrics_label_text(m, "key", key[i].name);
        ncr_metrics_value(m, key[i].requests, 0);
    }

    ncr_metrics_family(m, "claude_relay_key_refusals_total", "counter",
                       "Requests of the key that a limit or a restriction "
                       "has refused.");

    for (i = 0; i < s->nkeys; i++) {
        ncr_metrics_label_text(m, "key", key[i].name);
        ncr_metrics_value(m, key[i].refused, 0);
    }

    ncr_metrics_family(m, "claude_relay_key_cost_dollars_total", "counter",
                       "What the key is charged, by its rates.");

    for (i = 0; i < s->nkeys; i++) {
        ncr_metrics_label_text(m, "key", key[i].name);
        ncr_metrics_value(m, key[i].cost, 6);
    }

    ncr_metrics_family(m, "claude_relay_key_tokens_total", "counter",
                       "Tokens by key and kind.");

    for (i = 0; i < s->nkeys; i++) {
        ngx_http_claude_relay_metrics_text_tokens(m, "key", key[i].name,
                                                  NULL, NULL, key[i].tokens);
    }
}
