
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The roof: directives, their merging, the wiring of the floors.  No logic. */


#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_audit.h"
#include "ngx_http_claude_relay_ledger.h"
#include "ngx_http_claude_relay_redis.h"
#include "ngx_http_claude_relay_thread.h"


static void *ngx_http_claude_relay_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_claude_relay_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_claude_relay_create_srv_conf(ngx_conf_t *cf);
static void *ngx_http_claude_relay_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_claude_relay_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_claude_relay_merge_upstream(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev);
static char *ngx_http_claude_relay_merge_core(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf);
static char *ngx_http_claude_relay_merge_pool(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf);
static ngx_int_t ngx_http_claude_relay_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_claude_relay_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_claude_relay_postconfiguration(ngx_conf_t *cf);



/* a parked request is bounded by its own timers, not by this one */
#define NGX_HTTP_CLAUDE_RELAY_PARKED_MAX  ((ngx_msec_t) 86400 * 1000)


static ngx_conf_enum_t  ngx_http_claude_relay_keys[] = {
    { ngx_string("off"), NGX_HTTP_CLAUDE_RELAY_KEYS_OFF },
    { ngx_string("on"), NGX_HTTP_CLAUDE_RELAY_KEYS_ON },
    { ngx_string("optional"), NGX_HTTP_CLAUDE_RELAY_KEYS_OPTIONAL },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_claude_relay_profiles[] = {
    { ngx_string("off"), 0 },
    { ngx_string("claude-code"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_claude_relay_unpriced[] = {
    { ngx_string("allow"), 0 },
    { ngx_string("refuse"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_claude_relay_families[] = {
    { ngx_string("any"), AF_UNSPEC },
    { ngx_string("ipv4"), AF_INET },
    { ngx_string("ipv6"), AF_INET6 },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_claude_relay_ssl_protocols[] = {
    { ngx_string("TLSv1.2"), NGX_SSL_TLSv1_2 },
    { ngx_string("TLSv1.3"), NGX_SSL_TLSv1_3 },
    { ngx_null_string, 0 }
};


#define NGX_HTTP_CLAUDE_RELAY_ANYWHERE                                        \
    NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF


static ngx_command_t  ngx_http_claude_relay_commands[] = {

    { ngx_string("claude_relay_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_account"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_claude_relay_account,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_claude_relay_key,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_user"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_claude_relay_user,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_group"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_claude_relay_group,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_claude_relay_store,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_redis,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_oauth"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_claude_relay_set_oauth,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_refresh"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_refresh,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_usage_poll"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_usage_poll,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_alerts"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_alerts,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_audit_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1234,
      ngx_http_claude_relay_set_audit_log,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_audit_redact"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_claude_relay_set_audit_redact,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_timezone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_timezone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_usage"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_usage,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_prices"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_prices,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_control"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_claude_relay_control,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_control"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_claude_relay_set_control,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_claude_relay_set_admin,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin_cookie"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_admin_cookie,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin_login"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_admin_login,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin_user"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_admin_user,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin_github"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_github,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_admin_password_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_admin_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_limit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_limit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_rate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_claude_relay_set_rate,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_unpriced"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, unpriced_refuse),
      &ngx_http_claude_relay_unpriced },

    { ngx_string("claude_relay_update_check"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_update,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_queue"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_queue,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_limit_headers"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, limit_headers),
      NULL },

    { ngx_string("claude_relay_warmup"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, warmup),
      NULL },

    { ngx_string("claude_relay_rest"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_rest,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_quota_guard"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_quota_guard,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_keepalive"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_keepalive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_proxy"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_proxy,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_address_family"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, address_family),
      &ngx_http_claude_relay_families },

    { ngx_string("claude_relay_allow_private_upstreams"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, allow_private),
      NULL },

    { ngx_string("claude_relay_ssl_trusted_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, ssl_trusted),
      NULL },

    { ngx_string("claude_relay_ssl_verify"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, ssl_verify),
      NULL },

    { ngx_string("claude_relay_ssl_verify_depth"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, ssl_verify_depth),
      NULL },

    { ngx_string("claude_relay_ssl_protocols"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_conf_set_bitmask_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, ssl_protocols),
      &ngx_http_claude_relay_ssl_protocols },

    { ngx_string("claude_relay_ssl_ciphers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_main_conf_t, ssl_ciphers),
      NULL },

    { ngx_string("claude_relay"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_claude_relay_set_relay,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_keys"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, keys),
      &ngx_http_claude_relay_keys },

    { ngx_string("claude_relay_clients"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_clients,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_pool"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, pool_name),
      NULL },

    { ngx_string("claude_relay_platforms"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_platforms,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_policy"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_policy,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_sticky"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_sticky,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_tries"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE12,
      ngx_http_claude_relay_set_tries,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_retry_wait"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, retry_wait),
      NULL },

    { ngx_string("claude_relay_connect_timeout"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, connect_timeout),
      NULL },

    { ngx_string("claude_relay_send_timeout"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, send_timeout),
      NULL },

    { ngx_string("claude_relay_first_byte_timeout"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, first_byte_timeout),
      NULL },

    { ngx_string("claude_relay_idle_timeout"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, idle_timeout),
      NULL },

    { ngx_string("claude_relay_heartbeat"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_heartbeat,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_max_body"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_off_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, max_body),
      NULL },

    { ngx_string("claude_relay_buffer_size"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, upstream.buffer_size),
      NULL },

    { ngx_string("claude_relay_models"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_models,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_map"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE2,
      ngx_http_claude_relay_set_map,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_cors"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_cors,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_audit"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_1MORE,
      ngx_http_claude_relay_set_audit,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_token_location"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_token_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_client_profile"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_claude_relay_loc_conf_t, profile.on),
      &ngx_http_claude_relay_profiles },

    { ngx_string("claude_relay_profile_header"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE23,
      ngx_http_claude_relay_set_profile_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_profile_betas"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_2MORE,
      ngx_http_claude_relay_set_profile_betas,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("claude_relay_profile_system"),
      NGX_HTTP_CLAUDE_RELAY_ANYWHERE|NGX_CONF_TAKE1,
      ngx_http_claude_relay_set_profile_system,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_claude_relay_module_ctx = {
    ngx_http_claude_relay_preconfiguration,    /* preconfiguration */
    ngx_http_claude_relay_postconfiguration,   /* postconfiguration */

    ngx_http_claude_relay_create_main_conf,    /* create main configuration */
    ngx_http_claude_relay_init_main_conf,      /* init main configuration */

    ngx_http_claude_relay_create_srv_conf,     /* create srv configuration */
    NULL,                                      /* merge srv configuration */

    ngx_http_claude_relay_create_loc_conf,     /* create loc configuration */
    ngx_http_claude_relay_merge_loc_conf       /* merge loc configuration */
};


ngx_module_t  ngx_http_claude_relay_module = {
    NGX_MODULE_V1,
    &ngx_http_claude_relay_module_ctx,         /* module context */
    ngx_http_claude_relay_commands,            /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    ngx_http_claude_relay_init_module,         /* init module */
    ngx_http_claude_relay_zone_init_process,   /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_claude_relay_zone_exit_process,   /* exit process */
    ngx_http_claude_relay_usage_exit_master,   /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_claude_relay_init_module(ngx_cycle_t *cycle)
{
    if (ngx_http_claude_relay_zone_init_module(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_claude_relay_thread_init_module();
    ngx_http_claude_relay_usage_accepted(cycle);

    return ngx_http_claude_relay_control_init_module(cycle);
}


static ngx_int_t
ngx_http_claude_relay_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_claude_relay_add_variables(cf);
}


static void *
ngx_http_claude_relay_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t                 *cln;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_main_conf_t));
    if (rmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&rmcf->accounts, cf->pool, 8,
                       sizeof(ngx_http_claude_relay_account_t *))
        != NGX_OK
        || ngx_array_init(&rmcf->keys, cf->pool, 8,
                          sizeof(ngx_http_claude_relay_key_t))
           != NGX_OK
        || ngx_array_init(&rmcf->users, cf->pool, 4,
                          sizeof(ngx_http_claude_relay_key_t))
           != NGX_OK
        || ngx_array_init(&rmcf->groups, cf->pool, 4,
                          sizeof(ngx_http_claude_relay_key_t))
           != NGX_OK
        || ngx_array_init(&rmcf->routes, cf->pool, 4,
                          sizeof(ngx_http_claude_relay_route_conf_t))
           != NGX_OK
        || ngx_array_init(&rmcf->free_index, cf->pool, 8, sizeof(ngx_uint_t))
           != NGX_OK
        || ngx_array_init(&rmcf->hosts, cf->pool, 4,
                          sizeof(ngx_http_claude_relay_host_t))
           != NGX_OK
        || ngx_array_init(&rmcf->controls, cf->pool, 1,
                          sizeof(ngx_http_claude_relay_control_t *))
           != NGX_OK
        || ngx_array_init(&rmcf->located, cf->pool, 2,
                          sizeof(ngx_http_claude_relay_located_t))
           != NGX_OK
        || ngx_http_claude_relay_oauths_init(cf, rmcf) != NGX_OK
        || ngx_http_claude_relay_alerts_init(cf, rmcf) != NGX_OK)
    {
        return NULL;
    }

    rmcf->usage = ngx_pcalloc(cf->pool,
                              sizeof(ngx_http_claude_relay_usage_conf_t));
    if (rmcf->usage == NULL) {
        return NULL;
    }

    rmcf->usage->on = NGX_CONF_UNSET;
    rmcf->usage->keep.rows = (ncr_msec_t) 90 * 86400 * 1000;
    rmcf->usage->keep.minutes = (ncr_msec_t) 2 * 86400 * 1000;
    rmcf->usage->keep.hours = (ncr_msec_t) 90 * 86400 * 1000;

    rmcf->admin.failures = 10;
    rmcf->admin.window = 15 * 60 * 1000;
    rmcf->admin.session = 12 * 3600 * 1000;
    rmcf->admin.idle = 30 * 60 * 1000;

    rmcf->pool = cf->pool;
    rmcf->cycle = cf->cycle;
    rmcf->tz = ncr_tz_utc();
    rmcf->prices = ncr_prices_builtin();
    rmcf->prices_conf = rmcf->prices;

    ncr_rests_default(&rmcf->rests);

    /* that of the cycle before does not live as long as what hangs on this */

    rmcf->log = &cf->cycle->new_log;

    rmcf->quota_guard = NGX_CONF_UNSET;
    rmcf->refresh_ahead = NGX_CONF_UNSET_MSEC;
    rmcf->token_timeout = NGX_CONF_UNSET_MSEC;
    rmcf->usage_poll = NGX_CONF_UNSET_MSEC;

    rmcf->ssl_verify = NGX_CONF_UNSET;
    rmcf->ssl_verify_depth = NGX_CONF_UNSET_UINT;
    rmcf->keepalive = NGX_CONF_UNSET_UINT;
    rmcf->keepalive_timeout = NGX_CONF_UNSET_MSEC;
    rmcf->proxy = NGX_CONF_UNSET_PTR;
    rmcf->update = NGX_CONF_UNSET_PTR;
    rmcf->address_family = NGX_CONF_UNSET_UINT;
    rmcf->allow_private = NGX_CONF_UNSET;
    rmcf->unpriced_refuse = NGX_CONF_UNSET_UINT;

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL || ncr_sha256_create(&rmcf->sha) != NCR_OK) {
        return NULL;
    }

    cln->handler = (ngx_pool_cleanup_pt) ncr_sha256_free;
    cln->data = &rmcf->sha;

    return rmcf;
}


static char *
ngx_http_claude_relay_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    ngx_conf_init_value(rmcf->quota_guard, 9950);
    ngx_conf_init_msec_value(rmcf->refresh_ahead, 300000);
    ngx_conf_init_msec_value(rmcf->token_timeout, 30000);
    ngx_conf_init_msec_value(rmcf->usage_poll, 900000);
    ngx_conf_init_value(rmcf->ssl_verify, 1);
    ngx_conf_init_uint_value(rmcf->ssl_verify_depth, 4);
    ngx_conf_init_uint_value(rmcf->keepalive, 64);
    ngx_conf_init_msec_value(rmcf->keepalive_timeout, 60000);
    ngx_conf_init_ptr_value(rmcf->proxy, NULL);
    ngx_conf_init_ptr_value(rmcf->update, NULL);
    ngx_conf_init_uint_value(rmcf->address_family, AF_UNSPEC);
    ngx_conf_init_value(rmcf->allow_private, 0);
    ngx_conf_init_uint_value(rmcf->unpriced_refuse, 0);

    if (rmcf->ssl_protocols == 0) {
        rmcf->ssl_protocols = NGX_CONF_BITMASK_SET
                              |NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3;
    }

    if (ngx_http_claude_relay_audit_init(cf, rmcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* before locations are merged: they look their pools up */

    if (ngx_http_claude_relay_roster_init(cf, rmcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* it may use the store's key, which was read there */

    if (ngx_http_claude_relay_redis_init_conf(cf, rmcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_claude_relay_usage_init(cf, rmcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_keys_init(cf, rmcf);
}


static void *
ngx_http_claude_relay_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_srv_conf_t));
}


static void *
ngx_http_claude_relay_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_claude_relay_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->keys = NGX_CONF_UNSET_UINT;
    conf->admin_secure = NGX_CONF_UNSET_UINT;
    conf->admin_user = NGX_CONF_UNSET_PTR;
    conf->admin_role = NGX_CONF_UNSET_PTR;
    conf->clients = NGX_CONF_UNSET_PTR;
    conf->platforms = NGX_CONF_UNSET_PTR;
    conf->policy = NGX_CONF_UNSET_PTR;
    conf->sticky_ttl = NGX_CONF_UNSET;
    conf->sticky_renew = NGX_CONF_UNSET;
    conf->sticky_wait = NGX_CONF_UNSET_MSEC;
    conf->sticky_strict = NGX_CONF_UNSET;
    conf->tries = NGX_CONF_UNSET_UINT;
    conf->tries_timeout = NGX_CONF_UNSET_MSEC;
    conf->retry_wait = NGX_CONF_UNSET_MSEC;
    conf->heartbeat = NGX_CONF_UNSET_MSEC;
    conf->connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->send_timeout = NGX_CONF_UNSET_MSEC;
    conf->first_byte_timeout = NGX_CONF_UNSET_MSEC;
    conf->idle_timeout = NGX_CONF_UNSET_MSEC;
    conf->queue = NGX_CONF_UNSET_UINT;
    conf->limit_headers = NGX_CONF_UNSET;
    conf->warmup = NGX_CONF_UNSET;
    conf->max_body = NGX_CONF_UNSET;
    conf->models = NGX_CONF_UNSET_PTR;
    conf->map = NGX_CONF_UNSET_PTR;
    conf->cors = NGX_CONF_UNSET_PTR;
    conf->audit = NGX_CONF_UNSET_PTR;
    conf->profile.on = NGX_CONF_UNSET_UINT;
    conf->profile.headers = NGX_CONF_UNSET_PTR;

    conf->upstream.buffer_size = NGX_CONF_UNSET_SIZE;
    conf->upstream.hide_headers = NGX_CONF_UNSET_PTR;
    conf->upstream.pass_headers = NGX_CONF_UNSET_PTR;

    return conf;
}


static char *
ngx_http_claude_relay_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_claude_relay_loc_conf_t *prev = parent;
    ngx_http_claude_relay_loc_conf_t *conf = child;

    ngx_str_t  policy = ngx_string("least-load");

    ngx_conf_merge_uint_value(conf->keys, prev->keys,
                              NGX_HTTP_CLAUDE_RELAY_KEYS_ON);

    if (conf->clients == NGX_CONF_UNSET_PTR) {
        conf->clients_words = prev->clients_words;
    }

    ngx_conf_merge_ptr_value(conf->clients, prev->clients, NULL);
    ngx_conf_merge_str_value(conf->pool_name, prev->pool_name, "default");
    ngx_conf_merge_ptr_value(conf->platforms, prev->platforms, NULL);
    ngx_conf_merge_ptr_value(conf->policy, prev->policy,
                             ncr_policy_find(ncr(&policy)));

    ngx_conf_merge_sec_value(conf->sticky_ttl, prev->sticky_ttl, 3600);
    ngx_conf_merge_sec_value(conf->sticky_renew, prev->sticky_renew, 300);
    ngx_conf_merge_msec_value(conf->sticky_wait, prev->sticky_wait, 5000);
    ngx_conf_merge_value(conf->warmup, prev->warmup, 0);
    ngx_conf_merge_value(conf->sticky_strict, prev->sticky_strict, 0);

    ngx_conf_merge_uint_value(conf->tries, prev->tries, 5);
    ngx_conf_merge_msec_value(conf->tries_timeout, prev->tries_timeout,
                              900000);
    ngx_conf_merge_msec_value(conf->retry_wait, prev->retry_wait, 5000);
    ngx_conf_merge_msec_value(conf->heartbeat, prev->heartbeat, 0);

    ngx_conf_merge_msec_value(conf->connect_timeout, prev->connect_timeout,
                              10000);
    ngx_conf_merge_msec_value(conf->send_timeout, prev->send_timeout, 60000);
    ngx_conf_merge_msec_value(conf->first_byte_timeout,
                              prev->first_byte_timeout, 600000);
    ngx_conf_merge_msec_value(conf->idle_timeout, prev->idle_timeout, 400000);

    if (conf->queue == NGX_CONF_UNSET_UINT) {
        conf->queue = (prev->queue == NGX_CONF_UNSET_UINT) ? 0 : prev->queue;
        conf->queue_multiplier = prev->queue_multiplier;
        conf->queue_wait = prev->queue_wait;
        conf->queue_overload = prev->queue_overload;
    }

    if (conf->token_uri.data == NULL) {
        conf->token_uri = prev->token_uri;
        conf->token_args = prev->token_args;
    }

    ngx_conf_merge_ptr_value(conf->models, prev->models, NULL);
    ngx_conf_merge_ptr_value(conf->map, prev->map, NULL);
    ngx_conf_merge_ptr_value(conf->cors, prev->cors, NULL);
    ngx_conf_merge_ptr_value(conf->audit, prev->audit, NULL);

    if (ngx_http_claude_relay_profile_merge(cf, conf, prev) != NGX_CONF_OK
        || ngx_http_claude_relay_merge_upstream(cf, conf, prev) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_claude_relay_admin_merge(cf, conf, prev) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->control
        && ngx_http_claude_relay_control_merge(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!conf->enable) {
        ngx_conf_merge_off_value(conf->max_body, prev->max_body,
                                 NGX_CONF_UNSET);
        return NGX_CONF_OK;
    }

    if (conf->max_body == NGX_CONF_UNSET) {
        conf->max_body = prev->max_body;
    }

    if (ngx_http_claude_relay_merge_core(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_merge_pool(cf, conf);
}


static char *
ngx_http_claude_relay_merge_upstream(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev)
{
    ngx_http_upstream_conf_t  *u;

    u = &conf->upstream;

    ngx_conf_merge_size_value(u->buffer_size, prev->upstream.buffer_size,
                              8192);

    if (u->buffer_size < 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"claude_relay_buffer_size\" must be 1k at least");
        return NGX_CONF_ERROR;
    }

    /* every failure comes back to our peer, which never runs out of tries */

    u->next_upstream = NGX_CONF_BITMASK_SET
                       |NGX_HTTP_UPSTREAM_FT_ERROR
                       |NGX_HTTP_UPSTREAM_FT_TIMEOUT
                       |NGX_HTTP_UPSTREAM_FT_INVALID_HEADER
                       |NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;

    /* nothing an upstream says may steer this nginx */

    u->ignore_headers = NGX_CONF_BITMASK_SET
                        |NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT
                        |NGX_HTTP_UPSTREAM_IGN_XA_EXPIRES
                        |NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE
                        |NGX_HTTP_UPSTREAM_IGN_XA_BUFFERING
                        |NGX_HTTP_UPSTREAM_IGN_XA_CHARSET
                        |NGX_HTTP_UPSTREAM_IGN_SET_COOKIE;

    u->connect_timeout = NGX_HTTP_CLAUDE_RELAY_PARKED_MAX;
    u->send_timeout = conf->send_timeout;
    u->read_timeout = conf->first_byte_timeout;
    u->pass_request_headers = 1;
    u->pass_request_body = 1;
    u->buffering = 0;
    u->ignore_client_abort = 0;

#if (NGX_HTTP_CACHE)
    u->cache = 0;
#endif

    ngx_str_set(&u->module, "claude_relay");

    if (ngx_http_claude_relay_merge_hide(cf, conf, prev) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    u->upstream = ngx_http_claude_relay_upstream();

    conf->streaming = *u;
    conf->streaming.read_timeout = conf->idle_timeout;

    conf->wide = *u;
    conf->wide.buffer_size = ngx_max(u->buffer_size,
                                     NGX_HTTP_CLAUDE_RELAY_WIDE);

    return NGX_CONF_OK;
}


/* what nginx's own defaults get wrong for this job */

static char *
ngx_http_claude_relay_merge_core(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_core_srv_conf_t           *cscf;
    ngx_http_claude_relay_located_t    *located;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (conf->max_body == NGX_CONF_UNSET) {

        /* an operator's own limit counts, nginx's default is too small */

        conf->max_body = (clcf->client_max_body_size == 1 * 1024 * 1024)
                         ? 32 * 1024 * 1024
                         : clcf->client_max_body_size;
    }

    /* the limit is ours to watch, so that its error has our form */
    clcf->client_max_body_size = 0;

    /* 64 KB of body is the everyday case, and must not go to a file */

    if (clcf->client_body_buffer_size == (size_t) 2 * ngx_pagesize) {
        clcf->client_body_buffer_size = 1024 * 1024;
    }

    if (!cscf->underscores_in_headers && !rmcf->warned) {
        rmcf->warned = 1;
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"underscores_in_headers\" is off: session ids "
                           "that some clients send as \"session_id\" are "
                           "dropped by nginx");
    }

    if (conf->map) {
        located = ngx_array_push(&rmcf->located);
        if (located == NULL) {
            return NGX_CONF_ERROR;
        }

        located->file = conf->file;
        located->line = conf->line;
        located->map = conf->map;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_merge_pool(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf)
{
    ngx_int_t                           index;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    if (rmcf->shm_zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay\" needs \"claude_relay_zone\" in %s:%ui",
                      conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    if (conf->keys == NGX_HTTP_CLAUDE_RELAY_KEYS_ON && rmcf->keys.nelts == 0
        && rmcf->store == NULL)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"claude_relay_key\" is defined, and "
                      "\"claude_relay_keys off\" is not written: nobody could "
                      "use the relay in %s:%ui", conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    index = ngx_http_claude_relay_pool_index(cf, rmcf, &conf->pool_name);

    if (index >= 0) {
        conf->pool = index;
        return NGX_CONF_OK;
    }

    if (index == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "no \"claude_relay_account\" is in pool \"%V\" in %s:%ui",
                  &conf->pool_name, conf->file, conf->line);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    /* a store has tokens to be refreshed, whoever uses them */

    if ((rmcf->relays || rmcf->store || rmcf->update || rmcf->redis)
        && ngx_http_claude_relay_ssl_init(cf, rmcf) != NGX_CONF_OK)
    {
        return NGX_ERROR;
    }

    if (rmcf->relays == 0) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_headers_init(cf, rmcf) != NGX_CONF_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_visit_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_filter_init(cf);
}


/* off | * | origin ... */
