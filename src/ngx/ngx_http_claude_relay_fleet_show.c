
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The fleet as it is seen from here, for the health report, the metrics and
 * whoever else asks: the agent writes it into the zone, any worker reads it.
 */


#include "ngx_http_claude_relay_fleet_show.h"


static void ngx_http_claude_relay_fleet_single(ncr_metrics_t *m,
    const char *name, const char *type, const char *help, uint64_t value,
    ngx_uint_t digits);


static const char *const  ngx_http_claude_relay_fleet_states[] = {
    "away", "slow", "up"
};


const char *
ngx_http_claude_relay_fleet_state_name(ngx_uint_t state)
{
    return ngx_http_claude_relay_fleet_states[ngx_min(state, 2)];
}


/* no peers, no counters: what takes long to copy is left out */

void
ngx_http_claude_relay_fleet_look(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_look_t *look)
{
    ncr_msec_t                      now;
    ngx_http_claude_relay_fleet_t  *fleet;

    now = ngx_http_claude_relay_now();
    fleet = rmcf->zone->fleet;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    look->state = fleet->state;
    look->since = fleet->since;
    look->heard = fleet->heard;
    look->skew = fleet->skew;
    look->nodes = fleet->nodes;
    look->synced = fleet->synced;
    look->durable = fleet->durable;
    look->twin = fleet->twin;
    look->agent = fleet->agent;

    ngx_memcpy(look->boot, fleet->boot, sizeof(look->boot));
    ngx_memcpy(look->error, fleet->error, sizeof(look->error));

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    look->boot[sizeof(look->boot) - 1] = '\0';
    look->error[sizeof(look->error) - 1] = '\0';

    /* who says that it is well has not said anything for long: no worker
     * speaks for this node, and the others take it for gone */

    look->silent = 0;

    if (look->state != NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN && look->heard
        && now - look->heard > (ncr_msec_t) rmcf->redis->lease)
    {
        look->silent = 1;
        look->state = NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN;
        look->since = look->heard;

        (void) ngx_cpystrn((u_char *) look->error,
                           (u_char *) "no worker speaks for this node",
                           sizeof(look->error));
    }

    if (look->state == NGX_HTTP_CLAUDE_RELAY_REDIS_UP) {
        look->error[0] = '\0';
    }
}


ngx_uint_t
ngx_http_claude_relay_fleet_degraded(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_look_t  look;

    if (rmcf->redis == NULL || rmcf->zone->fleet == NULL) {
        return 0;
    }

    ngx_http_claude_relay_fleet_look(rmcf, &look);

    return look.state != NGX_HTTP_CLAUDE_RELAY_REDIS_UP
           || look.twin
           || ngx_http_claude_relay_fleet_record(rmcf) != NULL;
}


/* what the peers are, without the lock held for each; n: room for so many */

ngx_uint_t
ngx_http_claude_relay_fleet_peers(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_peer_t *peers, ngx_uint_t n)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    n = ngx_min(n, fleet->npeers);
    n = ngx_min(n, NGX_HTTP_CLAUDE_RELAY_PEERS);

    ngx_memcpy(peers, fleet->peers, n * sizeof(ngx_http_claude_relay_peer_t));

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    for (i = 0; i < n; i++) {
        peers[i].name[sizeof(peers[i].name) - 1] = '\0';
        peers[i].text[sizeof(peers[i].text) - 1] = '\0';
        peers[i].boot[sizeof(peers[i].boot) - 1] = '\0';
    }

    return n;
}


ngx_uint_t
ngx_http_claude_relay_fleet_self(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_peer_t *peer)
{
    ngx_str_t  *node;

    node = &rmcf->redis->node;

    return ngx_strlen(peer->name) == node->len
           && ngx_memcmp(peer->name, node->data, node->len) == 0;
}


void
ngx_http_claude_relay_health_fleet(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    char                                time[NCR_STR_RFC3339];
    ncr_str_t                           s;
    ngx_http_claude_relay_fleet_look_t  look;

    ngx_http_claude_relay_fleet_look(rmcf, &look);

    ncr_out_text(out, ",\"fleet\":{\"state\":\"");
    ncr_out_text(out, ngx_http_claude_relay_fleet_state_name(look.state));
    ncr_out_text(out, "\"");

    if (look.since) {
        ncr_str_rfc3339(time, look.since);
        ncr_out_text(out, ",\"since\":\"");
        ncr_out_text(out, time);
        ncr_out_text(out, "\"");
    }

    if (look.error[0]) {
        s.data = (u_char *) look.error;
        s.len = ngx_strlen(look.error);
        ncr_out_text(out, ",\"error\":");
        ncr_out_json_string(out, &s);
    }

    ncr_out_text(out, ",\"node\":");
    ncr_out_json_string(out, ncr(&rmcf->redis->node));
    ncr_out_text(out, ",\"nodes\":");
    ncr_out_int(out, (int64_t) look.nodes);
    ncr_out_text(out, look.synced ? ",\"synced\":true" : ",\"synced\":false");
    ncr_out_text(out, look.durable ? ",\"durable\":true"
                                   : ",\"durable\":false");
    ncr_out_text(out, look.twin ? ",\"twin\":true" : ",\"twin\":false");
    ncr_out_text(out, ",\"skew_ms\":");
    ncr_out_int(out, (int64_t) look.skew);
    ncr_out_text(out, "}");
}


void
ngx_http_claude_relay_metrics_text_fleet(ngx_http_claude_relay_scrape_t *s)
{
    uint64_t                              found, late, lookups;
    ngx_uint_t                            i;
    ncr_metrics_t                        *m;
    ngx_http_claude_relay_fleet_look_t    look;
    ngx_http_claude_relay_fleet_stats_t  *stats;

    if (s->rmcf->redis == NULL || s->rmcf->zone->fleet == NULL) {
        return;
    }

    m = &s->m;
    stats = &s->rmcf->zone->fleet->stats;

    ngx_http_claude_relay_fleet_look(s->rmcf, &look);

    ncr_metrics_family(m, "claude_relay_redis_state", "gauge",
                       "1 for the state of Redis as this node sees it, 0 for "
                       "the others.");

    for (i = 0; i < 3; i++) {
        ncr_metrics_label_text(m, "state",
                               ngx_http_claude_relay_fleet_states[i]);
        ncr_metrics_value(m, look.state == i, 0);
    }

    ngx_http_claude_relay_fleet_single(m, "claude_relay_redis_commands_total",
        "counter", "Commands that were sent to Redis, scripts too.",
        stats->commands, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_redis_failures_total",
        "counter", "Commands that have had no answer.", stats->failures, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_redis_errors_total",
        "counter", "Commands that were answered with an error.",
        stats->errors, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_redis_connects_total",
        "counter", "Connections to Redis that were made.",
        stats->connects, 0);

    /* read one after the other, while others count */

    found = stats->found;
    late = stats->late;
    lookups = stats->lookups;
    lookups = ngx_max(lookups, found + late);

    ncr_metrics_family(m, "claude_relay_fleet_lookups_total", "counter",
                       "Requests for whose session or id Redis was asked, by "
                       "what it said.");
    ncr_metrics_label_text(m, "result", "found");
    ncr_metrics_value(m, found, 0);
    ncr_metrics_label_text(m, "result", "late");
    ncr_metrics_value(m, late, 0);
    ncr_metrics_label_text(m, "result", "miss");
    ncr_metrics_value(m, lookups - found - late, 0);

    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_grants_total",
        "counter", "Requests for which a share of a limit was asked.",
        stats->grants, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_shorts_total",
        "counter", "Those of them for which there was not enough left.",
        stats->shorts, 0);

    ncr_metrics_family(m, "claude_relay_fleet_rows_total", "counter",
                       "Accounts, tokens, keys and other rows that were told "
                       "to other nodes, or heard of them.");
    ncr_metrics_label_text(m, "way", "told");
    ncr_metrics_value(m, stats->rows_told, 0);
    ncr_metrics_label_text(m, "way", "heard");
    ncr_metrics_value(m, stats->rows_heard, 0);

    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_beats_total",
        "counter", "Beats of this node that Redis has answered.",
        stats->beats, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_repairs_total",
        "counter", "Times that everything was told and heard again.",
        stats->repairs, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_nodes",
        "gauge", "Nodes that are alive, this one too, as known last.",
        look.nodes, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_synced",
        "gauge", "1 if all rows of the fleet were seen once.",
        look.synced != 0, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_durable",
        "gauge", "1 if Redis keeps what it has over a restart.",
        look.durable != 0, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_twin",
        "gauge", "1 if another node has this one's name.",
        look.twin != 0, 0);
    ngx_http_claude_relay_fleet_single(m, "claude_relay_fleet_skew_seconds",
        "gauge", "How far this machine's clock and that of Redis are apart.",
        (look.skew < 0) ? -look.skew : look.skew, 3);

    ncr_metrics_family(m, "claude_relay_fleet_last_beat_age_seconds", "gauge",
                       "Time since Redis has answered a beat.");

    if (look.heard) {
        ncr_metrics_value(m, (s->now > look.heard) ? s->now - look.heard : 0,
                          3);
    }
}


static void
ngx_http_claude_relay_fleet_single(ncr_metrics_t *m, const char *name,
    const char *type, const char *help, uint64_t value, ngx_uint_t digits)
{
    ncr_metrics_family(m, name, type, help);
    ncr_metrics_value(m, value, digits);
}
