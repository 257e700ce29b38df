
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The fleet as it is shown: only where there is one (rmcf->redis). */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FLEET_SHOW_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FLEET_SHOW_H_INCLUDED_


#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_metrics.h"


typedef struct {
    ngx_uint_t                         state;   /* ..._redis_e */
    ncr_msec_t                         since;
    ncr_msec_t                         heard;
    int64_t                            skew;
    ngx_uint_t                         nodes;
    ngx_uint_t                         synced;
    ngx_uint_t                         durable;
    ngx_uint_t                         twin;
    ngx_pid_t                          agent;   /* 0: none just now */
    ngx_uint_t                         silent;  /* no agent, for too long */
    char                               boot[17];
    char                               error[NGX_HTTP_CLAUDE_RELAY_REASON];
} ngx_http_claude_relay_fleet_look_t;


/* what it takes in the health report at most: texts of the error and of the
 * name may be all escapes */
#define NGX_HTTP_CLAUDE_RELAY_FLEET_HEALTH                                    \
    (512 + 6 * (NGX_HTTP_CLAUDE_RELAY_REASON                                  \
                + NGX_HTTP_CLAUDE_RELAY_PEER_NAME))


const char *ngx_http_claude_relay_fleet_state_name(ngx_uint_t state);
void ngx_http_claude_relay_fleet_look(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_fleet_look_t *look);
ngx_uint_t ngx_http_claude_relay_fleet_degraded(
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_uint_t ngx_http_claude_relay_fleet_peers(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_peer_t *peers, ngx_uint_t n);
ngx_uint_t ngx_http_claude_relay_fleet_self(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_peer_t *peer);

void ngx_http_claude_relay_health_fleet(ncr_out_t *out,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_metrics_text_fleet(
    ngx_http_claude_relay_scrape_t *s);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FLEET_SHOW_H_INCLUDED_ */
