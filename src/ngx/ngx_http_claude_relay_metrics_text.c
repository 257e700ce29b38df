
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The counters as text: the relay, its requests, sessions and models. */


#include "ngx_http_claude_relay_metrics.h"


static void ngx_http_claude_relay_metrics_single(ncr_metrics_t *m,
    const char *name, const char *type, const char *help, uint64_t value,
    ngx_uint_t digits);
static void ngx_http_claude_relay_metrics_classes(ncr_metrics_t *m,
    const char *label, uint64_t *values);
static void ngx_http_claude_relay_metrics_limit(ncr_metrics_t *m,
    ngx_uint_t scope, ngx_uint_t unit, uint64_t value);
static void ngx_http_claude_relay_metrics_text_model(
    ngx_http_claude_relay_scrape_t *s, const char *name, const char *help,
    size_t offset, ngx_uint_t digits);
static ngx_uint_t ngx_http_claude_relay_metrics_once(
    ngx_http_claude_relay_scrape_t *s, ngx_uint_t i,
    ngx_http_claude_relay_metrics_model_t *sum);
static void ngx_http_claude_relay_metrics_text_genai_row(ncr_metrics_t *m,
    ngx_http_claude_relay_metrics_model_t *row, const char *type,
    const ncr_scale_t *scale, ncr_histogram_t *h);
static const char *ngx_http_claude_relay_metrics_op_name(ngx_uint_t op);


static const char
    *ngx_http_claude_relay_metrics_codes[NGX_HTTP_CLAUDE_RELAY_METRICS_CODES]
    =
{
    "none", "1xx", "2xx", "3xx", "4xx", "5xx"
};

static const char
    *ngx_http_claude_relay_metrics_scopes[NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES]
    =
{
    "key", "user", "group", "account", "model"
};

static const char
    *ngx_http_claude_relay_metrics_units[NGX_HTTP_CLAUDE_RELAY_METRICS_UNITS]
    =
{
    "requests", "input", "output", "tokens", "cost", "concurrency", "none"
};

static const char  *ngx_http_claude_relay_metrics_refreshes[] = {
    "ok", "failed", "needs-login", "superseded"
};

static const char  *ngx_http_claude_relay_metrics_queues[] = {
    "off", "full", "crowded", "late"
};

static const char  *ngx_http_claude_relay_metrics_sticky[] = {
    "none", "miss", "hit", "moved"
};


static void
ngx_http_claude_relay_metrics_single(ncr_metrics_t *m, const char *name,
    const char *type, const char *help, uint64_t value, ngx_uint_t digits)
{
    ncr_metrics_family(m, name, type, help);
    ncr_metrics_value(m, value, digits);
}


/* by class of error, those that there were */

static void
ngx_http_claude_relay_metrics_classes(ncr_metrics_t *m, const char *label,
    uint64_t *values)
{
    ngx_uint_t  i;

    for (i = 0; i < NCR_CLASSES; i++) {
        if (values[i]) {
            ncr_metrics_label_text(m, label, ncr_class_name(i));
            ncr_metrics_value(m, values[i], 0);
        }
    }
}


void
ngx_http_claude_relay_metrics_text_relay(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                     i;
    ncr_metrics_t                 *m;
    ngx_http_claude_relay_zone_t  *zone;

    m = &s->m;
    zone = s->rmcf->zone;

    ncr_metrics_family(m, "claude_relay_build_info", "gauge",
                       "Versions of the module and of nginx, as labels.");
    ncr_metrics_label_text(m, "version", NGX_HTTP_CLAUDE_RELAY_VERSION);
    ncr_metrics_label_text(m, "nginx", NGINX_VERSION);
    ncr_metrics_value(m, 1, 0);

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_start_time_seconds", "gauge",
        "When the zone was made, and all counters were zero; Unix time.",
        zone->born, 3);
    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_config_generation", "gauge",
        "Configurations that were applied to the zone.",
        zone->generation, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_workers", "gauge",
        "Worker processes, those that are shutting down too.",
        s->workers, 0);

    ngx_http_claude_relay_metrics_single(m, "claude_relay_zone_size_bytes",
        "gauge", "Size of the zone.", s->rmcf->shm_zone->shm.size, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_zone_pages",
        "gauge", "Pages of the zone.", s->pages, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_zone_pages_free",
        "gauge", "Pages of the zone that nothing is on.", s->pages_free, 0);

    if (s->rmcf->store) {
        ngx_http_claude_relay_metrics_single(m, "claude_relay_store_up",
            "gauge", "1 while the store can be written, else 0.",
            !zone->store_failed, 0);
    }

    ncr_metrics_family(m, "claude_relay_token_refreshes_total", "counter",
                       "Refreshes of access tokens, by what came of them.");

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_REFRESH_RESULTS; i++) {
        ncr_metrics_label_text(m, "result",
                               ngx_http_claude_relay_metrics_refreshes[i]);
        ncr_metrics_value(m, s->metrics->refreshes[i], 0);
    }
}


void
ngx_http_claude_relay_metrics_text_requests(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                        op, code, stream;
    ncr_metrics_t                    *m;
    ngx_http_claude_relay_zone_t     *zone;
    ngx_http_claude_relay_metrics_t  *metrics;

    m = &s->m;
    zone = s->rmcf->zone;
    metrics = s->metrics;

    ncr_metrics_family(m, "claude_relay_requests_total", "counter",
                       "Requests that are over, by operation, class of the "
                       "status, and whether the answer was a stream.");

    for (op = 0; op < NGX_HTTP_CLAUDE_RELAY_METRICS_OPS; op++) {

        for (code = 0; code < NGX_HTTP_CLAUDE_RELAY_METRICS_CODES; code++) {

            for (stream = 0; stream < 2; stream++) {

                if (metrics->requests[op][code][stream] == 0) {
                    continue;
                }

                ncr_metrics_label_text(m, "op",
                                   ngx_http_claude_relay_metrics_op_name(op));
                ncr_metrics_label_text(m, "code",
                                   ngx_http_claude_relay_metrics_codes[code]);
                ncr_metrics_label_text(m, "stream", stream ? "1" : "0");
                ncr_metrics_value(m, metrics->requests[op][code][stream], 0);
            }
        }
    }

    ncr_metrics_family(m, "claude_relay_request_outcomes_total", "counter",
                       "Requests to be relayed that are over, by class of "
                       "what they ended with.");
    ngx_http_claude_relay_metrics_classes(m, "class", metrics->outcomes);

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_refused_credentials_total", "counter",
        "Requests without a valid key.", zone->refused, 0);

    ncr_metrics_family(m, "claude_relay_client_aborts_total", "counter",
                       "Requests whose client left, before or during the "
                       "answer.");
    ncr_metrics_label_text(m, "phase", "before");
    ncr_metrics_value(m, metrics->aborts[0], 0);
    ncr_metrics_label_text(m, "phase", "during");
    ncr_metrics_value(m, metrics->aborts[1], 0);

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_heartbeats_total", "counter",
        "Comments that were sent into silent streams.",
        metrics->heartbeats, 0);
    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_received_bytes_total", "counter",
        "Bytes of requests, their headers too.", metrics->received, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_sent_bytes_total",
        "counter", "Bytes of answers, their headers too.",
        metrics->sent, 0);

    ngx_http_claude_relay_metrics_single(m, "claude_relay_in_flight",
        "gauge", "Slots of accounts that are taken by requests.",
        s->inflight, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_waiting", "gauge",
        "Requests that wait for a slot, a limit or an account.",
        zone->waiting, 0);
}


void
ngx_http_claude_relay_metrics_text_times(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t        op, stream, i, n;
    ncr_metrics_t    *m;
    ncr_histogram_t  *h;

    m = &s->m;

    ncr_metrics_family(m, "claude_relay_request_duration_seconds",
                       "histogram",
                       "Time from the request's header to the end of the "
                       "answer.");

    for (op = 0; op < NGX_HTTP_CLAUDE_RELAY_METRICS_OPS; op++) {

        for (stream = 0; stream < 2; stream++) {

            h = &s->metrics->durations[op][stream];
            n = 0;

            for (i = 0; i <= NCR_METRICS_BOUNDS; i++) {
                n |= (h->buckets[i] != 0);
            }

            if (n == 0) {
                continue;
            }

            ncr_metrics_label_text(m, "op",
                                   ngx_http_claude_relay_metrics_op_name(op));
            ncr_metrics_label_text(m, "stream", stream ? "1" : "0");
            ncr_metrics_histogram(m, &ncr_scale_duration, h);
        }
    }

    ncr_metrics_family(m, "claude_relay_own_time_seconds", "histogram",
                       "Time that the relay itself took until the request "
                       "was on its way, all attempts together.");
    ncr_metrics_histogram(m, &ncr_scale_own, &s->metrics->own);
}


void
ngx_http_claude_relay_metrics_text_limits(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                        scope, unit, i;
    ncr_metrics_t                    *m;
    ngx_http_claude_relay_metrics_t  *metrics;

    m = &s->m;
    metrics = s->metrics;

    ncr_metrics_family(m, "claude_relay_refusals_total", "counter",
                       "Requests that a limit has refused, or a restriction "
                       "of a key (unit none).");

    for (scope = 0; scope < NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES; scope++) {

        for (unit = 0; unit < NGX_HTTP_CLAUDE_RELAY_METRICS_UNITS; unit++) {
            ngx_http_claude_relay_metrics_limit(m, scope, unit,
                                             metrics->refusals[scope][unit]);
        }
    }

    ncr_metrics_family(m, "claude_relay_shadow_refusals_total", "counter",
                       "Requests that a shadow limit would have refused, "
                       "counted for each such limit.");

    for (scope = 0; scope < NGX_HTTP_CLAUDE_RELAY_METRICS_SCOPES; scope++) {

        for (unit = 0; unit < NCR_UNITS; unit++) {
            ngx_http_claude_relay_metrics_limit(m, scope, unit,
                                              metrics->shadows[scope][unit]);
        }
    }

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_shadowed_requests_total", "counter",
        "Requests that at least one shadow limit would have refused.",
        metrics->shadowed, 0);

    ncr_metrics_family(m, "claude_relay_queue_refusals_total", "counter",
                       "Requests that could not wait for a limit: no place, "
                       "waits are too long, or it has waited too long.");

    for (i = NGX_HTTP_CLAUDE_RELAY_QUEUE_FULL;
         i < NGX_HTTP_CLAUDE_RELAY_METRICS_QUEUES;
         i++)
    {
        ncr_metrics_label_text(m, "reason",
                               ngx_http_claude_relay_metrics_queues[i]);
        ncr_metrics_value(m, metrics->queues[i], 0);
    }
}


static void
ngx_http_claude_relay_metrics_limit(ncr_metrics_t *m, ngx_uint_t scope,
    ngx_uint_t unit, uint64_t value)
{
    if (value == 0) {
        return;
    }

    ncr_metrics_label_text(m, "scope",
                           ngx_http_claude_relay_metrics_scopes[scope]);
    ncr_metrics_label_text(m, "unit",
                           ngx_http_claude_relay_metrics_units[unit]);
    ncr_metrics_value(m, value, 0);
}


void
ngx_http_claude_relay_metrics_text_sessions(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                     i;
    ncr_metrics_t                 *m;
    ngx_http_claude_relay_zone_t  *zone;

    m = &s->m;
    zone = s->rmcf->zone;

    ncr_metrics_family(m, "claude_relay_sticky_requests_total", "counter",
                       "Requests by what became of their session: the "
                       "account it had, a new one, moved, or no session.");

    for (i = 0; i <= NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED; i++) {
        ncr_metrics_label_text(m, "result",
                               ngx_http_claude_relay_metrics_sticky[i]);
        ncr_metrics_value(m, s->metrics->sticky[i], 0);
    }

    ncr_metrics_family(m, "claude_relay_session_moves_total", "counter",
                       "Requests that moved their session to another "
                       "account, by the reason.");
    ngx_http_claude_relay_metrics_classes(m, "reason", s->metrics->moves);

    ngx_http_claude_relay_metrics_single(m, "claude_relay_sessions", "gauge",
        "Sessions that are remembered.", zone->nsessions, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_bound_ids",
        "gauge", "Batches, files and threads whose account is remembered.",
        zone->nids, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_evictions_total",
        "counter", "Sessions that were forgotten because the zone was full.",
        zone->evicted, 0);
}


void
ngx_http_claude_relay_metrics_text_ring(ngx_http_claude_relay_scrape_t *s)
{
    uint64_t                       head, tail;
    ncr_ring_t                    *ring;
    ncr_metrics_t                 *m;
    ngx_http_claude_relay_zone_t  *zone;

    m = &s->m;
    zone = s->rmcf->zone;
    ring = s->rmcf->ring;

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_audit_dropped_total", "counter",
        "Entries of the audit log that found no room in its queue.",
        zone->audit_dropped, 0);

    if (ring == NULL) {
        return;
    }

    /* the tail first: it never is beyond a head that is read later */

    tail = ring->tail;
    ngx_memory_barrier();
    head = ring->head;

    ngx_http_claude_relay_metrics_single(m, "claude_relay_ring_size_bytes",
        "gauge", "Size of the ring that usage goes through.",
        ring->size, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_ring_used_bytes",
        "gauge", "Bytes of the ring that are not in the ledger yet.",
        head - tail, 0);
    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_ring_records_total", "counter",
        "Records that were put into the ring, ever.", ring->seq, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_ring_lost_total",
        "counter", "Records that found no room in the ring.",
        ring->lost, 0);
    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_usage_refused_total", "counter",
        "Requests that were refused because the ring was full.",
        zone->usage_refused, 0);
    ngx_http_claude_relay_metrics_single(m, "claude_relay_ledger_up",
        "gauge", "1 while the ledger can be written.",
        !zone->usage_failed, 0);
    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_ledger_drained_timestamp_seconds", "gauge",
        "When the ring was emptied last, seconds since the epoch.",
        zone->usage_drained, 3);
}


void
ngx_http_claude_relay_metrics_text_models(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                              i;
    ncr_metrics_t                          *m;
    ngx_http_claude_relay_metrics_model_t   sum;

    m = &s->m;

    ngx_http_claude_relay_metrics_text_model(s,
        "claude_relay_model_requests_total",
        "Requests that a model has answered.",
        offsetof(ngx_http_claude_relay_metrics_model_t, requests), 0);
    ngx_http_claude_relay_metrics_text_model(s,
        "claude_relay_cost_dollars_total", "What they cost.",
        offsetof(ngx_http_claude_relay_metrics_model_t, cost), 6);
    ngx_http_claude_relay_metrics_text_model(s,
        "claude_relay_unpriced_requests_total",
        "Those whose cost is not known: the model has no price.",
        offsetof(ngx_http_claude_relay_metrics_model_t, unpriced), 0);

    ncr_metrics_family(m, "claude_relay_tokens_total", "counter",
                       "Tokens by model and kind; the kinds add up.");

    for (i = 0; i < s->metrics->n; i++) {
        if (ngx_http_claude_relay_metrics_once(s, i, &sum)) {
            ngx_http_claude_relay_metrics_text_tokens(m,
                               "platform", sum.platform, "model", sum.served,
                               sum.tokens);
        }
    }

    ngx_http_claude_relay_metrics_single(m,
        "claude_relay_estimated_requests_total", "counter",
        "Answers that broke off: their tokens are a lower bound.",
        s->metrics->estimated, 0);
}


static void
ngx_http_claude_relay_metrics_text_model(ngx_http_claude_relay_scrape_t *s,
    const char *name, const char *help, size_t offset, ngx_uint_t digits)
{
    ngx_uint_t                              i;
    ncr_metrics_t                          *m;
    ngx_http_claude_relay_metrics_model_t   sum;

    m = &s->m;

    ncr_metrics_family(m, name, "counter", help);

    for (i = 0; i < s->metrics->n; i++) {

        if (!ngx_http_claude_relay_metrics_once(s, i, &sum)) {
            continue;
        }

        ncr_metrics_label_text(m, "platform", sum.platform);
        ncr_metrics_label_text(m, "model", sum.served);
        ncr_metrics_value(m, *(uint64_t *) ((u_char *) &sum + offset),
                          digits);
    }
}


/*
 * A model may have a row for each name that it was asked for by.  1, and the
 * sum of them, at the first one; the row of the rest is there if it has been
 * of use.
 */

static ngx_uint_t
ngx_http_claude_relay_metrics_once(ngx_http_claude_relay_scrape_t *s,
    ngx_uint_t i, ngx_http_claude_relay_metrics_model_t *sum)
{
    ngx_uint_t                              j, k;
    ngx_http_claude_relay_metrics_model_t  *row;

    row = s->models;

    if (i == 0) {
        *sum = row[0];
        return sum->requests != 0;
    }

    for (j = 1; j < s->metrics->n; j++) {

        if (ngx_strcmp(row[j].served, row[i].served) != 0
            || ngx_strcmp(row[j].platform, row[i].platform) != 0)
        {
            continue;
        }

        if (j < i) {
            return 0;
        }

        if (j == i) {
            *sum = row[i];
            continue;
        }

        sum->requests += row[j].requests;
        sum->unpriced += row[j].unpriced;
        sum->cost += row[j].cost;

        for (k = 0; k < NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS; k++) {
            sum->tokens[k] += row[j].tokens[k];
        }
    }

    return 1;
}


void
ngx_http_claude_relay_metrics_text_tokens(ncr_metrics_t *m,
    const char *label1, const char *value1, const char *label2,
    const char *value2, uint64_t *tokens)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TALLY_TOKENS; i++) {

        ncr_metrics_label_text(m, label1, value1);

        if (label2) {
            ncr_metrics_label_text(m, label2, value2);
        }

        ncr_metrics_label_text(m, "type",
                               ngx_http_claude_relay_metrics_tokens[i]);
        ncr_metrics_value(m, tokens[i], 0);
    }
}


/* a ratio of nothing is none */

void
ngx_http_claude_relay_metrics_text_ratio(ngx_http_claude_relay_scrape_t *s)
{
    uint64_t    read, all, *tokens;
    ngx_uint_t  i;

    read = 0;
    all = 0;

    for (i = 0; i < s->metrics->n; i++) {
        tokens = s->models[i].tokens;

        read += tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_READ];
        all += tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_READ]
               + tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_INPUT]
               + tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_5M]
               + tokens[NGX_HTTP_CLAUDE_RELAY_TALLY_WRITE_1H];
    }

    ncr_metrics_family(&s->m, "claude_relay_cache_read_ratio", "gauge",
                       "Share of all prompt tokens so far that were read "
                       "from a cache.");

    if (all) {
        ncr_metrics_value(&s->m, (uint64_t) ((double) read / all * 1e6 + 0.5),
                          6);
    }
}


void
ngx_http_claude_relay_metrics_text_genai(ngx_http_claude_relay_scrape_t *s)
{
    ngx_uint_t                              i, n;
    ncr_metrics_t                          *m;
    ngx_http_claude_relay_metrics_model_t  *row;

    m = &s->m;
    row = s->models;
    n = s->metrics->n;

    /* the first one is of use only if there were too many */

    if (row[0].requests == 0) {
        row++;
        n--;
    }

    ncr_metrics_family(m, "gen_ai_client_token_usage", "histogram",
                       "Tokens of a request; input has those of caches.");

    for (i = 0; i < n; i++) {
        ngx_http_claude_relay_metrics_text_genai_row(m, &row[i], "input",
                                       &ncr_scale_tokens, &row[i].input);
        ngx_http_claude_relay_metrics_text_genai_row(m, &row[i], "output",
                                       &ncr_scale_tokens, &row[i].output);
    }

    ncr_metrics_family(m, "gen_ai_server_request_duration_seconds",
                       "histogram",
                       "Time until the end of the answer, as the relay's "
                       "client sees it.");

    for (i = 0; i < n; i++) {
        ngx_http_claude_relay_metrics_text_genai_row(m, &row[i], NULL,
                                   &ncr_scale_duration, &row[i].duration);
    }

    ncr_metrics_family(m, "gen_ai_server_time_to_first_token_seconds",
                       "histogram",
                       "Time until the first token of a stream.");

    for (i = 0; i < n; i++) {
        ngx_http_claude_relay_metrics_text_genai_row(m, &row[i], NULL,
                                &ncr_scale_first_token, &row[i].first_token);
    }

    ncr_metrics_family(m, "gen_ai_server_time_per_output_token_seconds",
                       "histogram",
                       "Time per token of a stream after its first one.");

    for (i = 0; i < n; i++) {
        ngx_http_claude_relay_metrics_text_genai_row(m, &row[i], NULL,
                                &ncr_scale_per_token, &row[i].per_token);
    }
}


static void
ngx_http_claude_relay_metrics_text_genai_row(ncr_metrics_t *m,
    ngx_http_claude_relay_metrics_model_t *row, const char *type,
    const ncr_scale_t *scale, ncr_histogram_t *h)
{
    ncr_str_t        name;
    ncr_platform_t  *platform;

    name.data = (u_char *) row->platform;
    name.len = ngx_strlen(row->platform);

    platform = ncr_platform_find(&name);

    ncr_metrics_label_text(m, "gen_ai_operation_name", "chat");
    ncr_metrics_label_text(m, "gen_ai_provider_name",
                           platform ? platform->provider : row->platform);
    ncr_metrics_label_text(m, "platform", row->platform);
    ncr_metrics_label_text(m, "gen_ai_request_model", row->asked);
    ncr_metrics_label_text(m, "gen_ai_response_model", row->served);

    if (type) {
        ncr_metrics_label_text(m, "gen_ai_token_type", type);
    }

    ncr_metrics_histogram(m, scale, h);
}


/* the last is all that asked for none */

static const char *
ngx_http_claude_relay_metrics_op_name(ngx_uint_t op)
{
    return (op < NCR_OPS) ? (const char *) ncr_ops[op].name.data : "(other)";
}
