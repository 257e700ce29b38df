
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Events of the fleet: Redis is away, or there again; a node has come, or is
 * gone.  Whoever looks first tells it, as with states of accounts.
 */


#include "ngx_http_claude_relay_feed.h"
#include "ngx_http_claude_relay_fleet_show.h"


/* one look; too large for a stack that is shared */

typedef struct {
    ngx_http_claude_relay_peer_t       peers[NGX_HTTP_CLAUDE_RELAY_PEERS];
    ngx_uint_t                         npeers;
    ngx_uint_t                         nwas;
    char                               was[NGX_HTTP_CLAUDE_RELAY_PEERS]
                                          [NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
    ngx_uint_t                         nnow;
    char                               now[NGX_HTTP_CLAUDE_RELAY_PEERS]
                                          [NGX_HTTP_CLAUDE_RELAY_PEER_NAME];
} ngx_http_claude_relay_feed_look_t;


static void ngx_http_claude_relay_feed_redis(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_look_t *look, ngx_uint_t silent);
static void ngx_http_claude_relay_feed_nodes(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_feed_look_t *fl, ngx_uint_t silent);
static ngx_uint_t ngx_http_claude_relay_feed_among(
    char (*names)[NGX_HTTP_CLAUDE_RELAY_PEER_NAME], ngx_uint_t n,
    const char *name);
static void ngx_http_claude_relay_feed_say(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *what,
    const char *name, const char *state, const char *error);


void
ngx_http_claude_relay_feed_fleet(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t silent)
{
    ngx_http_claude_relay_feed_look_t   *fl;
    ngx_http_claude_relay_fleet_look_t   look;

    if (rmcf->redis == NULL || rmcf->zone->fleet == NULL) {
        return;
    }

    ngx_http_claude_relay_fleet_look(rmcf, &look);
    ngx_http_claude_relay_feed_redis(rmcf, &look, silent);

    /* of others nothing is known while Redis is away */

    if (look.state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {
        return;
    }

    fl = ngx_alloc(sizeof(ngx_http_claude_relay_feed_look_t), ngx_cycle->log);

    if (fl) {
        ngx_http_claude_relay_feed_nodes(rmcf, fl, silent);
        ngx_free(fl);
    }
}


static void
ngx_http_claude_relay_feed_redis(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_look_t *look, ngx_uint_t silent)
{
    ngx_uint_t                      was;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    was = fleet->told_state;
    fleet->told_state = look->state + 1;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (!silent && was != look->state + 1) {
        ngx_http_claude_relay_feed_say(rmcf, "redis", NULL,
                          ngx_http_claude_relay_fleet_state_name(look->state),
                          look->error);
    }
}


static void
ngx_http_claude_relay_feed_nodes(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_feed_look_t *fl, ngx_uint_t silent)
{
    ngx_uint_t                      i;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    fl->npeers = ngx_http_claude_relay_fleet_peers(rmcf, fl->peers,
                                                NGX_HTTP_CLAUDE_RELAY_PEERS);
    fl->nnow = 0;

    for (i = 0; i < fl->npeers; i++) {
        if (fl->peers[i].alive) {
            ngx_memcpy(fl->now[fl->nnow++], fl->peers[i].name,
                       NGX_HTTP_CLAUDE_RELAY_PEER_NAME);
        }
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    fl->nwas = ngx_min(fleet->ntold, NGX_HTTP_CLAUDE_RELAY_PEERS);
    ngx_memcpy(fl->was, fleet->told_names, sizeof(fl->was));

    fleet->ntold = fl->nnow;
    ngx_memcpy(fleet->told_names, fl->now,
               fl->nnow * NGX_HTTP_CLAUDE_RELAY_PEER_NAME);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (silent) {
        return;
    }

    for (i = 0; i < fl->nnow; i++) {
        if (!ngx_http_claude_relay_feed_among(fl->was, fl->nwas, fl->now[i])) {
            ngx_http_claude_relay_feed_say(rmcf, "node", fl->now[i], "joined",
                                           "");
        }
    }

    for (i = 0; i < fl->nwas; i++) {
        if (!ngx_http_claude_relay_feed_among(fl->now, fl->nnow, fl->was[i])) {
            ngx_http_claude_relay_feed_say(rmcf, "node", fl->was[i], "gone",
                                           "");
        }
    }
}


static ngx_uint_t
ngx_http_claude_relay_feed_among(
    char (*names)[NGX_HTTP_CLAUDE_RELAY_PEER_NAME], ngx_uint_t n,
    const char *name)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ngx_strncmp(names[i], name, NGX_HTTP_CLAUDE_RELAY_PEER_NAME)
            == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_feed_say(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *what, const char *name, const char *state, const char *error)
{
    char       time[NCR_STR_RFC3339];
    u_char     text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    ncr_out_t  out;
    ncr_str_t  s;
    ngx_str_t  json;

    ncr_out_init(&out, text, sizeof(text));

    ncr_out_text(&out, "{\"what\":\"");
    ncr_out_text(&out, what);
    ncr_out_text(&out, "\"");

    if (name) {
        s.data = (u_char *) name;
        s.len = ngx_strnlen(s.data, NGX_HTTP_CLAUDE_RELAY_PEER_NAME);
        ncr_out_text(&out, ",\"node\":");
        ncr_out_json_string(&out, &s);
    }

    ncr_out_text(&out, ",\"state\":\"");
    ncr_out_text(&out, state);
    ncr_out_text(&out, "\"");

    if (error[0]) {
        s.data = (u_char *) error;
        s.len = ngx_strlen(error);
        ncr_out_text(&out, ",\"error\":");
        ncr_out_json_string(&out, &s);
    }

    ncr_str_rfc3339(time, ngx_http_claude_relay_now());
    ncr_out_text(&out, ",\"time\":\"");
    ncr_out_text(&out, time);
    ncr_out_text(&out, "\"}");

    if (out.overflow) {
        return;
    }

    json.data = text;
    json.len = out.last - out.start;

    ngx_http_claude_relay_feed(rmcf, "fleet", &json);
}
