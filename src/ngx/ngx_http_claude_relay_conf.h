
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is configured in http{}, server{} and location{}; a part of
 * ngx_http_claude_relay.h, which has the types it is made of.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_CONF_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_CONF_H_INCLUDED_


typedef struct ngx_http_claude_relay_github_s   ngx_http_claude_relay_github_t;


/* logins to the admin API, wherever it is */

typedef struct {
    ngx_uint_t                         locations;
    ngx_uint_t                         failures;
    ngx_msec_t                         window;
    ngx_msec_t                         session;
    ngx_msec_t                         idle;
    ngx_str_t                          file;    /* of the first password */
    ngx_uint_t                         set;
} ngx_http_claude_relay_admin_conf_t;


struct ngx_http_claude_relay_main_conf_s {
    ngx_shm_zone_t                    *shm_zone;
    ngx_http_claude_relay_zone_t      *zone;
    ngx_slab_pool_t                   *shpool;
    ngx_http_claude_relay_subjects_t  *subjects;    /* NULL: no store */
    ngx_log_t                         *log;     /* of this configuration */
    ngx_pool_t                        *pool;
    ngx_cycle_t                       *cycle;

    ngx_array_t                        accounts;    /* of nginx.conf */
                                     /* of ngx_http_claude_relay_account_t * */
    ngx_array_t                        keys;    /* of nginx.conf */
    ngx_array_t                        users;   /* of ..._key_t, all three */
    ngx_array_t                        groups;
    ngx_http_claude_relay_key_t      **key_hash;    /* keys by digest */
    ngx_uint_t                         key_mask;
    ngx_http_claude_relay_roster_t    *roster;  /* the newest */
    ngx_queue_t                        rosters; /* those alive */
    ngx_array_t                        free_index;
    ngx_array_t                        hosts;   /* looked up already */
    ngx_uint_t                         nindex;

    ngx_http_claude_relay_store_conf_t *store;  /* NULL = none */
    ngx_http_claude_relay_redis_conf_t *redis;  /* NULL: one node */
    ngx_array_t                        oauths;  /* see oauth.c */
    ngx_array_t                        controls;
                                     /* of ngx_http_claude_relay_control_t * */
    ngx_http_claude_relay_control_t   *control; /* while its server is read */
    ngx_http_claude_relay_admin_conf_t admin;
    ngx_msec_t                         refresh_ahead;
    ngx_msec_t                         token_timeout;
    ngx_msec_t                         usage_poll;  /* 0 = off */

    ncr_rests_t                        rests;
    ngx_int_t                          quota_guard; /* 1/10000, 0 = off */
    ngx_uint_t                         quota_strict;
    ngx_hash_t                         headers; /* see headers.c */

    ngx_str_t                          ssl_trusted;
    ngx_flag_t                         ssl_verify;
    ngx_uint_t                         ssl_verify_depth;
    ngx_uint_t                         ssl_protocols;
    ngx_str_t                          ssl_ciphers;
    ngx_ssl_t                         *ssl;

    ngx_uint_t                         keepalive;
    ngx_msec_t                         keepalive_timeout;

    ngx_http_claude_relay_proxy_t     *proxy;   /* of accounts without one */
    ngx_uint_t                         address_family; /* AF_UNSPEC: any */
    ngx_flag_t                         allow_private;   /* see egress.c */

    ngx_array_t                        limits[NCR_SCOPE_MODEL + 1];
                                     /* of ncr_limit_t: everybody has them */
    ngx_array_t                        rates;
                                     /* of ngx_http_claude_relay_rate_t */
    ngx_uint_t                         unpriced_refuse;

    const ncr_tz_t                    *tz;      /* of days and weeks */
    ngx_str_t                          timezone;    /* its name; "": UTC */
    const ncr_prices_t                *prices;  /* in force */
    const ncr_prices_t                *prices_conf; /* without the store's */
    ngx_http_claude_relay_setting_t   *settings[2]; /* see settings.h */
    ngx_http_claude_relay_setting_t   *settings_old;
    ncr_ring_t                        *ring;    /* NULL: nothing is kept */
    ngx_uint_t                         metrics_keys;    /* 0: not wanted */
    ngx_http_claude_relay_audit_conf_t *audit;  /* NULL: nothing said of it */
    ngx_http_claude_relay_ring_t      *ring_file;   /* its file */
    ngx_http_claude_relay_usage_conf_t *usage;
    ngx_http_claude_relay_alerts_conf_t *alerts;

    ngx_http_claude_relay_github_t    *github;  /* NULL: no logins by it */

    ngx_http_claude_relay_update_t    *update;  /* NULL: nobody is asked */

    ngx_uint_t                         relays;  /* locations that relay */
    ngx_array_t                        routes;  /* of ..._route_conf_t: they */
    ngx_array_t                        located; /* of
                                            ngx_http_claude_relay_located_t */
    ngx_uint_t                         warned;

    ncr_sha256_t                       sha;     /* scratch, never kept */
};


/* set on a server that has a relaying location: errors made before a
 * location is chosen are then told in a dialect too */

typedef struct {
    ngx_uint_t                         relays;
} ngx_http_claude_relay_srv_conf_t;


typedef struct {
    ngx_str_t                          name;
    ngx_str_t                          value;   /* "" if it is not to be sent */
    u_char                            *lowcase;
    ngx_uint_t                         ops;     /* bits by ncr_op_e */
} ngx_http_claude_relay_profile_header_t;


#define NGX_HTTP_CLAUDE_RELAY_BETAS_MESSAGES      0
#define NGX_HTTP_CLAUDE_RELAY_BETAS_COUNT_TOKENS  1
#define NGX_HTTP_CLAUDE_RELAY_BETAS_HAIKU         2
#define NGX_HTTP_CLAUDE_RELAY_BETAS               3


/* what requests of other clients are given; see profile.c */

typedef struct {
    ngx_uint_t                         on;
    ngx_array_t                       *headers; /* of ..._profile_header_t */
    ngx_str_t                          betas[NGX_HTTP_CLAUDE_RELAY_BETAS];
    ngx_str_t                          system;  /* text of the block */
    ngx_str_t                          block;   /* made of it, JSON */
} ngx_http_claude_relay_profile_t;


#define NGX_HTTP_CLAUDE_RELAY_KEYS_OFF       0
#define NGX_HTTP_CLAUDE_RELAY_KEYS_ON        1
#define NGX_HTTP_CLAUDE_RELAY_KEYS_OPTIONAL  2


typedef struct {
    ngx_flag_t                         enable;
    ngx_http_claude_relay_control_t   *control; /* NULL: not one of these */
    ngx_http_claude_relay_admin_t     *admin;   /* the same */
    ngx_uint_t                         admin_secure;
    ngx_http_complex_value_t          *admin_user;  /* nginx vouches for it */
    ngx_http_complex_value_t          *admin_role;
    u_char                            *file;    /* where it was written */
    ngx_uint_t                         line;
    ngx_uint_t                         keys;
    ncr_key_t                         *clients; /* and no other field; NULL */
    ngx_str_t                          clients_words;
    ngx_str_t                          pool_name;
    ngx_uint_t                         pool;    /* of a roster's pools */
    ngx_array_t                       *platforms;   /* of ncr_platform_t * */
    ncr_policy_t                      *policy;

    time_t                             sticky_ttl;  /* 0 = off */
    time_t                             sticky_renew;
    ngx_msec_t                         sticky_wait;
    ngx_flag_t                         sticky_strict;

    ngx_uint_t                         tries;
    ngx_msec_t                         tries_timeout;
    ngx_msec_t                         retry_wait;
    ngx_msec_t                         heartbeat;
    ngx_msec_t                         connect_timeout;
    ngx_msec_t                         send_timeout;
    ngx_msec_t                         first_byte_timeout;
    ngx_msec_t                         idle_timeout;
    ngx_uint_t                         queue;       /* places; 0 = off */
    ngx_uint_t                         queue_multiplier;    /* 1/10000 */
    ngx_msec_t                         queue_wait;
    ngx_flag_t                         queue_overload;
    ngx_flag_t                         limit_headers;
    off_t                              max_body;
    ngx_flag_t                         warmup;      /* answered here */
    ngx_array_t                       *models;      /* of ..._model_t */
    ngx_array_t                       *map;         /* of ..._map_t, or NULL */
    ngx_array_t                       *cors;        /* of ngx_str_t */
    ngx_http_claude_relay_profile_t    profile;
    ngx_uint_t                         metrics_accounts;    /* at most */
    ngx_uint_t                         metrics_keys;
    ngx_http_complex_value_t          *health_full; /* who may; NULL: none */
    ngx_http_claude_relay_audit_loc_t *audit;   /* NULL: off */
    ngx_str_t                          token_uri;   /* empty: none */
    ngx_str_t                          token_args;

    /* the same but for their read timeout: before and after the commit */

    ngx_http_upstream_conf_t           upstream;
    ngx_http_upstream_conf_t           streaming;
    ngx_http_upstream_conf_t           wide;    /* a larger buffer */
} ngx_http_claude_relay_loc_conf_t;


/* a location that relays */

typedef struct {
    ngx_str_t                          name;
    ngx_http_core_srv_conf_t          *server;
    ngx_http_claude_relay_loc_conf_t  *conf;
} ngx_http_claude_relay_route_conf_t;


/* admin_user.c, github_conf.c */

char *ngx_http_claude_relay_set_admin_user(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_github(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CLAUDE_RELAY_CONF_H_INCLUDED_ */
