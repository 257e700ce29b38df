
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Conditions of a fleet: Redis is away, a node is gone, clocks differ, two
 * nodes have one name.  Each node tells what it sees.
 */


#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_fleet_show.h"


/* clocks may be so far apart, ms */
#define NGX_HTTP_CLAUDE_RELAY_SKEW  1000


static const char *ngx_http_claude_relay_see_self(
    ngx_http_claude_relay_teller_t *t, u_char *buf);
static void ngx_http_claude_relay_see_redis(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now);
static void ngx_http_claude_relay_see_twin(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now);
static void ngx_http_claude_relay_see_clock(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now);
static void ngx_http_claude_relay_see_nodes(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now);
static void ngx_http_claude_relay_see_node(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_peer_t *peer, ncr_msec_t now);


/* the name of this node, into NGX_HTTP_CLAUDE_RELAY_PEER_NAME bytes */

static const char *
ngx_http_claude_relay_see_self(ngx_http_claude_relay_teller_t *t, u_char *buf)
{
    ngx_str_t  *node;

    node = &t->rmcf->redis->node;

    (void) ngx_cpystrn(buf, node->data,
                       ngx_min(node->len + 1,
                               NGX_HTTP_CLAUDE_RELAY_PEER_NAME));

    return (char *) buf;
}


void
ngx_http_claude_relay_see_fleet(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ngx_http_claude_relay_fleet_look_t  look;

    if (t->rmcf->redis == NULL || t->rmcf->zone->fleet == NULL) {
        return;
    }

    ngx_http_claude_relay_fleet_look(t->rmcf, &look);

    ngx_http_claude_relay_see_redis(t, &look, now);

    if (look.state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {

        /* of all else nothing is known just now */

        ncr_alert_keep(t->alerts, NCR_ALERT_FLEET, "");
        return;
    }

    ngx_http_claude_relay_see_twin(t, &look, now);
    ngx_http_claude_relay_see_clock(t, &look, now);
    ngx_http_claude_relay_see_nodes(t, now);
}


static void
ngx_http_claude_relay_see_redis(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now)
{
    u_char        node[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    ngx_uint_t    off;
    const char   *values[3];
    ncr_alert_t  *a;

    static const char *const  names[] = { "node", "state", "error", NULL };

    off = (look->state != NGX_HTTP_CLAUDE_RELAY_REDIS_UP);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_FLEET, "redis", off,
                                  (ncr_msec_t) t->conf->hold,
                                  off ? look->since : 0, now);
    if (a == NULL) {
        return;
    }

    values[0] = ngx_http_claude_relay_see_self(t, node);
    values[1] = ngx_http_claude_relay_fleet_state_name(look->state);
    values[2] = look->error;

    ngx_http_claude_relay_say(a, NCR_ALERT_WARNING,
                              (look->state == NGX_HTTP_CLAUDE_RELAY_REDIS_SLOW)
                              ? "Redis is slow" : "Redis is away",
                              "Node %V goes on by itself, with its share of "
                              "all limits: %s", &t->rmcf->redis->node,
                              look->error[0] ? look->error : "no answers");
    ngx_http_claude_relay_say_fields(a, names, values);
}


static void
ngx_http_claude_relay_see_twin(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now)
{
    u_char        node[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    const char   *values[1];
    ncr_alert_t  *a;

    static const char *const  names[] = { "node", NULL };

    a = ngx_http_claude_relay_see(t, NCR_ALERT_FLEET, "twin",
                                  look->twin != 0, 0, 0, now);
    if (a == NULL) {
        return;
    }

    values[0] = ngx_http_claude_relay_see_self(t, node);

    ngx_http_claude_relay_say(a, NCR_ALERT_CRITICAL,
                              "Two nodes have one name",
                              "Another node is called %V, too: limits count "
                              "one of them only. Give each a node= of its "
                              "own.", &t->rmcf->redis->node);
    ngx_http_claude_relay_say_fields(a, names, values);
}


static void
ngx_http_claude_relay_see_clock(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_fleet_look_t *look, ncr_msec_t now)
{
    char          skew[NGX_INT64_LEN + 4];
    u_char        node[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    const char   *values[2];
    ncr_alert_t  *a;

    static const char *const  names[] = { "node", "skew", NULL };

    a = ngx_http_claude_relay_see(t, NCR_ALERT_FLEET, "clock",
                                  look->skew > NGX_HTTP_CLAUDE_RELAY_SKEW
                                  || look->skew < -NGX_HTTP_CLAUDE_RELAY_SKEW,
                                  (ncr_msec_t) t->conf->hold, 0, now);
    if (a == NULL) {
        return;
    }

    (void) ngx_snprintf((u_char *) skew, sizeof(skew), "%L ms%Z", look->skew);

    values[0] = ngx_http_claude_relay_see_self(t, node);
    values[1] = skew;

    ngx_http_claude_relay_say(a, NCR_ALERT_WARNING, "Clocks differ",
                              "The clock of Redis is %L ms off that of node "
                              "%V: windows of limits and rests begin and end "
                              "as much apart.", look->skew,
                              &t->rmcf->redis->node);
    ngx_http_claude_relay_say_fields(a, names, values);
}


static void
ngx_http_claude_relay_see_nodes(ngx_http_claude_relay_teller_t *t,
    ncr_msec_t now)
{
    ngx_uint_t                     i, n;
    ngx_http_claude_relay_peer_t  *peers;

    peers = ngx_alloc(NGX_HTTP_CLAUDE_RELAY_PEERS
                      * sizeof(ngx_http_claude_relay_peer_t), ngx_cycle->log);
    if (peers == NULL) {
        return;
    }

    n = ngx_http_claude_relay_fleet_peers(t->rmcf, peers,
                                          NGX_HTTP_CLAUDE_RELAY_PEERS);

    for (i = 0; i < n; i++) {
        if (!ngx_http_claude_relay_fleet_self(t->rmcf, &peers[i])) {
            ngx_http_claude_relay_see_node(t, &peers[i], now);
        }
    }

    ngx_free(peers);
}


/* its name has come through Redis: it is cut and made plain */

static void
ngx_http_claude_relay_see_node(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_peer_t *peer, ncr_msec_t now)
{
    char          heard[NCR_STR_RFC3339];
    u_char       *p, subject[NCR_ALERT_SUBJECT], title[NCR_ALERT_TITLE];
    u_char        name[NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    ncr_msec_t    lease;
    const char   *values[2];
    ncr_alert_t  *a;

    static const char *const  names[] = { "node", "heard", NULL };

    (void) ngx_cpystrn(name, (u_char *) peer->name, sizeof(name));

    for (p = name; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f) {
            *p = '?';
        }
    }

    (void) ngx_snprintf(subject, sizeof(subject), "node/%s%Z", name);

    a = ngx_http_claude_relay_see(t, NCR_ALERT_FLEET, (char *) subject,
                                  !peer->alive, (ncr_msec_t) t->conf->hold,
                                  0, now);
    if (a == NULL) {
        return;
    }

    lease = (ncr_msec_t) t->rmcf->redis->lease;

    ncr_str_rfc3339(heard, (peer->deadline > lease) ? peer->deadline - lease
                                                    : 0);
    values[0] = (char *) name;
    values[1] = heard;

    (void) ngx_snprintf(title, sizeof(title), "Node %s is gone%Z", name);

    ngx_http_claude_relay_say(a, NCR_ALERT_WARNING, (char *) title,
                              "It was heard of at %s last. The others serve, "
                              "and share its part of limits.", heard);
    ngx_http_claude_relay_say_fields(a, names, values);
}
