
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The one header of the glue: configuration, the request's context, and what
 * each file of this floor offers to the others.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ncr_address.h"
#include "ncr_model.h"
#include "ncr_str.h"
#include "ncr_out.h"
#include "ncr_hash.h"
#include "ncr_anthropic.h"
#include "ncr_gemini.h"
#include "ncr_openai.h"
#include "ncr_op.h"
#include "ncr_platform.h"
#include "ncr_bedrock.h"
#include "ncr_plan.h"
#include "ncr_health.h"
#include "ncr_policy.h"
#include "ncr_key.h"
#include "ncr_price.h"
#include "ncr_record.h"
#include "ncr_ring.h"
#include "ncr_proxy.h"

#include "ngx_http_claude_relay_dial.h"


#define NGX_HTTP_CLAUDE_RELAY_VERSION   "0.1.0"

#define NGX_HTTP_CLAUDE_RELAY_NAME_LEN  64

/* the first event of a response repeats what was asked (others.md A6): it must
 * fit to be judged */
#define NGX_HTTP_CLAUDE_RELAY_WIDE      65536

/* of the lines that show a credential, beside it */
#define NGX_HTTP_CLAUDE_RELAY_PROOF     2048

/* a slot is looked for again this often, should a ring be missed, ms */
#define NGX_HTTP_CLAUDE_RELAY_SLOT_POLL  250

#define NGX_HTTP_CLAUDE_RELAY_KEY_LEN   16      /* of a session's digest */

/* ncr_str_t has the layout of ngx_str_t, and may alias it */
#define ncr(str)  ((ncr_str_t *) (str))

/* the other way round, by value */

static ngx_inline ngx_str_t
ngx_http_claude_relay_str(ncr_str_t *s)
{
    ngx_str_t  str;

    str.len = s->len;
    str.data = s->data;

    return str;
}


typedef struct ngx_http_claude_relay_admin_s    ngx_http_claude_relay_admin_t;
typedef struct ngx_http_claude_relay_ctx_s      ngx_http_claude_relay_ctx_t;
typedef struct ngx_http_claude_relay_claim_s    ngx_http_claude_relay_claim_t;
typedef struct ngx_http_claude_relay_counter_s
                                              ngx_http_claude_relay_counter_t;
typedef struct ngx_http_claude_relay_lease_s    ngx_http_claude_relay_lease_t;
typedef struct ngx_http_claude_relay_feed_s     ngx_http_claude_relay_feed_t;
typedef struct ngx_http_claude_relay_fleet_s    ngx_http_claude_relay_fleet_t;
typedef struct ngx_http_claude_relay_live_s     ngx_http_claude_relay_live_t;
typedef struct ngx_http_claude_relay_look_s     ngx_http_claude_relay_look_t;
typedef struct ngx_http_claude_relay_live_page_s
                                            ngx_http_claude_relay_live_page_t;
typedef struct ngx_http_claude_relay_metrics_s  ngx_http_claude_relay_metrics_t;
typedef struct ngx_http_claude_relay_guards_s   ngx_http_claude_relay_guards_t;
typedef struct ngx_http_claude_relay_node_s     ngx_http_claude_relay_node_t;
typedef struct ngx_http_claude_relay_ticket_s   ngx_http_claude_relay_ticket_t;
typedef struct ngx_http_claude_relay_share_s    ngx_http_claude_relay_share_t;
typedef struct ngx_http_claude_relay_subject_s
                                              ngx_http_claude_relay_subject_t;
typedef struct ngx_http_claude_relay_subjects_s
                                             ngx_http_claude_relay_subjects_t;
typedef struct ngx_http_claude_relay_redis_conf_s
                                           ngx_http_claude_relay_redis_conf_t;
typedef struct ngx_http_claude_relay_ring_s     ngx_http_claude_relay_ring_t;
typedef struct ngx_http_claude_relay_usage_conf_s
                                           ngx_http_claude_relay_usage_conf_t;
typedef struct ngx_http_claude_relay_translate_s
                                            ngx_http_claude_relay_translate_t;
typedef struct ngx_http_claude_relay_update_s   ngx_http_claude_relay_update_t;
typedef struct ngx_http_claude_relay_zone_s     ngx_http_claude_relay_zone_t;
typedef struct ngx_http_claude_relay_results_s  ngx_http_claude_relay_results_t;
typedef struct ngx_http_claude_relay_inflate_s  ngx_http_claude_relay_inflate_t;
typedef struct ngx_http_claude_relay_socket_s   ngx_http_claude_relay_socket_t;
typedef struct ngx_http_claude_relay_decode_s   ngx_http_claude_relay_decode_t;
typedef struct ngx_http_claude_relay_roster_s   ngx_http_claude_relay_roster_t;
typedef struct ngx_http_claude_relay_account_s  ngx_http_claude_relay_account_t;
typedef struct ngx_http_claude_relay_audit_conf_s
                                          ngx_http_claude_relay_audit_conf_t;
typedef struct ngx_http_claude_relay_audit_loc_s
                                          ngx_http_claude_relay_audit_loc_t;
typedef struct ngx_http_claude_relay_capture_s  ngx_http_claude_relay_capture_t;
typedef struct ngx_http_claude_relay_alerts_conf_s
                                         ngx_http_claude_relay_alerts_conf_t;
typedef struct ngx_http_claude_relay_setting_s  ngx_http_claude_relay_setting_t;
typedef struct ngx_http_claude_relay_main_conf_s
                                           ngx_http_claude_relay_main_conf_t;


/* an egress proxy, which accounts may share; their connections they do not */

typedef struct {
    ncr_proxy_url_t                    url;
    ngx_str_t                          host;    /* no brackets */
    ngx_str_t                          name;    /* "host:port", for logs */
    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;
    ngx_uint_t                         turn;    /* the address to try first */
    unsigned                           literal:1;
    unsigned                           asked:1; /* the system, at start */
    unsigned                           guarded:1;   /* see egress.c */
} ngx_http_claude_relay_proxy_t;


/* where connections go: one for each host, port, SNI and account */

typedef struct ngx_http_claude_relay_target_s {
    ngx_str_t                          name;    /* whose it is, for logs */
    ngx_http_claude_relay_proxy_t     *proxy;   /* or NULL */
    ngx_str_t                          host;    /* no brackets */
    ngx_str_t                          sni;     /* NUL terminated */
    in_port_t                          port;
    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;
    ngx_uint_t                         turn;    /* the address to try first */
    ngx_queue_t                        idle;    /* kept connections */
    ngx_uint_t                         nidle;
    ngx_ssl_session_t                 *session;
    ngx_ssl_t                         *ssl;     /* NULL: everybody's */
    unsigned                           tls:1;
    unsigned                           unverified:1;    /* with ssl only */
    unsigned                           literal:1;
    unsigned                           guarded:1;   /* not of nginx.conf: only
                                                     * public addresses are
                                                     * connected to, see
                                                     * egress.c */
} ngx_http_claude_relay_target_t;


/* what the provider told of an account; replaced as a whole */

typedef struct {
    ngx_str_t                          meta;    /* JSON, or "" */
    ngx_str_t                          scopes;
} ngx_http_claude_relay_info_t;


/* what a model is called elsewhere */

#define NGX_HTTP_CLAUDE_RELAY_MAPS  64

typedef struct {
    ngx_str_t                          from;    /* a glob */
    ngx_str_t                          to;
} ngx_http_claude_relay_map_t;

/* the map of a location that relays, for whoever looks at it */

typedef struct {
    u_char                            *file;    /* where it was written */
    ngx_uint_t                         line;
    ngx_array_t                       *map;
} ngx_http_claude_relay_located_t;


/* user messages, one at a time; see turn.c */

#define NGX_HTTP_CLAUDE_RELAY_TURN_MAX  3600000

/* groups of accounts: how many an account may be in, and what a key that is
 * bound to one writes in front of its name */
#define NGX_HTTP_CLAUDE_RELAY_GROUPS    16
#define NGX_HTTP_CLAUDE_RELAY_GROUP     "group:"

typedef struct {
    ngx_msec_t                         gap;
    ngx_msec_t                         wait;
    unsigned                           on:1;
    unsigned                           set:1;
} ngx_http_claude_relay_turns_t;


/*
 * An account: a block of nginx.conf or a row of the store.  It does not
 * change once it is in a roster, but for what a worker keeps with it.
 */

struct ngx_http_claude_relay_account_s {
    ngx_str_t                          name;
    ngx_str_t                          pool;
    ngx_str_t                          description;
    ncr_platform_t                    *platform;
    ngx_str_t                          secret;
    ngx_str_t                          refresh_token;   /* to begin with */
    ngx_str_t                          base_url;
    ngx_str_t                          proxy_url;
    ncr_str_t                          params[NCR_PARAMS];
                                            /* of the platform's table */
    ncr_credential_e                   credential;  /* AUTO is 0 */
    ngx_uint_t                         credential_set;
    ngx_int_t                          priority;
    ngx_int_t                          weight;
    ngx_int_t                          max_concurrency;
    ncr_limit_t                       *limits;
    ngx_uint_t                         nlimits;
    ngx_array_t                       *models;  /* of ngx_str_t, globs */
    ngx_array_t                       *model_map;   /* of ..._map_t, or NULL */
    ngx_http_claude_relay_turns_t      turns;
    ngx_flag_t                         enabled;
    ngx_flag_t                         schedulable; /* off: no new sessions */
    ngx_flag_t                         sanitize;
    ngx_uint_t                         dedicated;   /* for keys bound to it */
    ngx_array_t                       *groups;  /* of ngx_str_t, or NULL */
    ngx_flag_t                         protect; /* failures make it rest */
    ncr_msec_t                         expires; /* of secret, if a token */
    ncr_msec_t                         valid_until; /* 0 = for ever */
    ngx_http_claude_relay_proxy_t     *proxy;   /* NULL: off */

    /* made of these */

    ncr_url_t                          url;
    ngx_str_t                          host;    /* the Host header */
    ngx_http_claude_relay_target_t     target;
    ngx_http_claude_relay_node_t      *node;
    ngx_uint_t                         index;
    uint64_t                           owner;   /* of counters of limits */
    u_char                            *file;    /* where it was written */
    ngx_uint_t                         line;

    /* of an account of the store */

    ngx_pool_t                        *own;     /* NULL: nginx.conf's */
    ngx_uint_t                         refs;    /* rosters it is in */
    uint64_t                           id;
    uint64_t                           version;
    ngx_str_t                          settings;

    /* what a worker knows: the credential's line, as of these tokens */

    ngx_str_t                          proof;
    ngx_atomic_uint_t                  proof_version;
    ngx_atomic_uint_t                  proof_tie;
    u_char                            *proof_buf;       /* its own, or NULL */
    ngx_http_claude_relay_info_t      *info;
    ncr_plan_e                         plan;    /* as info has it */

    unsigned                           token:1; /* lives by tokens that the
                                                   store keeps */
};


/* a key, a user or a group of nginx.conf */

typedef struct ngx_http_claude_relay_key_s  ngx_http_claude_relay_key_t;

struct ngx_http_claude_relay_key_s {
    ngx_str_t                          name;
    u_char                             digest[NCR_SHA256_LEN];
    ncr_key_t                         *key;
    ngx_str_t                          settings;    /* JSON, as of the API */
    ngx_uint_t                         has_secret;
    u_char                            *file;
    ngx_uint_t                         line;
    ngx_http_claude_relay_key_t       *next;    /* of the bucket */
};


/* the accounts of one pool, in the order of the configuration */

typedef struct {
    ngx_str_t                          name;
    ngx_array_t                        accounts;
                                     /* of ngx_http_claude_relay_account_t * */
    ngx_uint_t                         turns;   /* some have a queue */
} ngx_http_claude_relay_pool_t;


/*
 * The accounts as they are at a time.  A request keeps the roster it began
 * with; a change of the store makes another one, and the old is freed when
 * its last request is through.
 */

struct ngx_http_claude_relay_roster_s {
    ngx_queue_t                        queue;   /* oldest first */
    ngx_pool_t                        *own;     /* NULL: nginx.conf's */
    ngx_uint_t                         refs;
    uint64_t                           seq;     /* of the store, then */
    ngx_uint_t                         nindex;  /* over every account's */
    ngx_array_t                        accounts;
                                     /* of ngx_http_claude_relay_account_t * */
    ngx_array_t                        pools;   /* those of nginx.conf first */
    ngx_array_t                        groups;  /* of ..._pool_t, too */
};


typedef struct {
    ngx_str_t                          id;
    ngx_str_t                          display;
    ngx_str_t                          created;
    ngx_uint_t                         context;
    ngx_uint_t                         output;
} ngx_http_claude_relay_model_t;


/* what tokens of a platform count, whatever the key */

typedef struct {
    ncr_platform_t                    *platform;
    ngx_uint_t                         permille;
} ngx_http_claude_relay_rate_t;


/* the addresses of a name, as they were when nginx was configured */

typedef struct {
    ngx_str_t                          name;
    in_port_t                          port;
    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;
    ngx_str_t                          warning; /* why there are none */
} ngx_http_claude_relay_host_t;


/* the store as configured; its key is the master's to read */

typedef struct {
    ngx_str_t                          path;    /* NUL terminated */
    ngx_str_t                          key_file;
    ngx_str_t                          key;     /* contents of key_file */
    ngx_str_t                          passphrase;
    ngx_queue_t                        rows;    /* until there is a zone */
    ngx_queue_t                        objects; /* the same */
    uint64_t                           file;    /* where they are from */
    uint64_t                           seq;     /* of the last of them */
    ngx_uint_t                         older;   /* than what the zone has */
    unsigned                           record:1;    /* it is in Redis, this is
                                                     * a copy */
} ngx_http_claude_relay_store_conf_t;


/* a socket of the control API; gid -1: no group may use it */

typedef struct {
    ngx_str_t                          path;    /* NUL terminated */
    gid_t                              gid;
} ngx_http_claude_relay_control_t;


#include "ngx_http_claude_relay_conf.h"


/* a way into the relay: method and path to operation */

typedef struct {
    ncr_op_e                           op;
    ncr_op_e                           also;    /* its account serves this,
                                                   too, or 0 */
    ncr_dialect_e                      dialect;
    ngx_uint_t                         methods;
    ngx_str_t                          path;    /* of r->uri, from "/v1" */
    ngx_str_t                          prefix;  /* what stood before it */
    ngx_str_t                          id;      /* last part, if any */
    ngx_str_t                          model;   /* if the path names it */
    ngx_str_t                          platform;    /* no other, or "" */
} ngx_http_claude_relay_route_t;


/* what becomes of a client's header upstream */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_PASS = 0,
    NGX_HTTP_CLAUDE_RELAY_DROP,
    NGX_HTTP_CLAUDE_RELAY_CREDENTIAL,   /* the account's takes its place */
    NGX_HTTP_CLAUDE_RELAY_HOST,
    NGX_HTTP_CLAUDE_RELAY_LENGTH,
    NGX_HTTP_CLAUDE_RELAY_ENCODING,
    NGX_HTTP_CLAUDE_RELAY_BETA,
    NGX_HTTP_CLAUDE_RELAY_API_VERSION
} ngx_http_claude_relay_fate_e;


/* what a client's header tells the relay; indexes of ctx->meant */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_NO_MEANING = 0,
    NGX_HTTP_CLAUDE_RELAY_CONNECTION,
    NGX_HTTP_CLAUDE_RELAY_CODING,       /* of the body */
    NGX_HTTP_CLAUDE_RELAY_APP,
    NGX_HTTP_CLAUDE_RELAY_ORIGIN,
    NGX_HTTP_CLAUDE_RELAY_REQUEST_HEADERS,
    NGX_HTTP_CLAUDE_RELAY_SESSION_CLAUDE,
    NGX_HTTP_CLAUDE_RELAY_SESSION,
    NGX_HTTP_CLAUDE_RELAY_THREAD,       /* a session, if no other names one */
    NGX_HTTP_CLAUDE_RELAY_MEANINGS
} ngx_http_claude_relay_meaning_e;


/* one attempt, for the trail */

typedef struct {
    ngx_str_t                          account;
    ngx_uint_t                         status;
    ncr_class_e                        class;
    ngx_msec_t                         ms;
} ngx_http_claude_relay_attempt_t;


/* the best failed answer so far, kept to be given if no account is left */

typedef struct {
    ngx_uint_t                         status;
    ngx_str_t                          status_line;
    ngx_list_t                         headers;
    ngx_str_t                          body;
    int64_t                            retry_after; /* ms, -1 if not told */
    unsigned                           set:1;
    unsigned                           cut:1;       /* not all of the body */
    unsigned                           sanitize:1;  /* only the status */
    unsigned                           named:1;     /* has X-Request-Id */
    unsigned                           translated:1;    /* JSON, whole */
} ngx_http_claude_relay_saved_t;


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_STICKY_NONE = 0,
    NGX_HTTP_CLAUDE_RELAY_STICKY_MISS,
    NGX_HTTP_CLAUDE_RELAY_STICKY_HIT,
    NGX_HTTP_CLAUDE_RELAY_STICKY_MOVED
} ngx_http_claude_relay_sticky_e;


/* what the fleet was asked for a request's sake, and what came of it */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_FLEET_NONE = 0,   /* nothing: the usual case */
    NGX_HTTP_CLAUDE_RELAY_FLEET_MISS,       /* nobody knew its session */
    NGX_HTTP_CLAUDE_RELAY_FLEET_FOUND,      /* another node did */
    NGX_HTTP_CLAUDE_RELAY_FLEET_LATE,       /* went on without an answer */
    NGX_HTTP_CLAUDE_RELAY_FLEET_GRANTED     /* a limit's share was asked for */
} ngx_http_claude_relay_fleet_result_e;


/* what the answer costs; made when it is asked for, again as it grows */

typedef struct {
    ncr_part_t                         parts[NCR_PARTS];
    ngx_uint_t                         nparts;
    ncr_usage_t                        usage;   /* of all parts */
    ncr_tier_e                         tier;
    ngx_uint_t                         permille;
    uint64_t                           cost;    /* micro-dollars */
    uint64_t                           rated;
    ngx_uint_t                         rate;    /* permille, of that */
    unsigned                           priced:1;
    unsigned                           estimated:1;
} ngx_http_claude_relay_bill_t;


/* why nobody may wait for a limit */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_QUEUE_OFF = 0,
    NGX_HTTP_CLAUDE_RELAY_QUEUE_FULL,
    NGX_HTTP_CLAUDE_RELAY_QUEUE_CROWDED,    /* waits have been too long */
    NGX_HTTP_CLAUDE_RELAY_QUEUE_LATE
} ngx_http_claude_relay_queue_e;


/* a refusal of our own: by a limit, or by what a key may do */

typedef struct {
    ngx_uint_t                         status;  /* 0: none */
    ncr_scope_e                        scope;
    ncr_str_t                          owner;   /* name */
    ncr_limit_t                        limit;   /* if by one */
    ncr_counter_t                      counter;
    ncr_admits_e                       admits;
    ngx_http_claude_relay_queue_e      queue;
    ngx_uint_t                         waiting; /* of the key, then */
    ngx_uint_t                         places;
    ngx_str_t                          message; /* NUL terminated */
    time_t                             retry_after; /* -1: not told */
} ngx_http_claude_relay_refused_t;


/* what has become of an attempt by the client profile */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_PROFILE_OFF = 0,
    NGX_HTTP_CLAUDE_RELAY_PROFILE_GENUINE,
    NGX_HTTP_CLAUDE_RELAY_PROFILE_APPLIED
} ngx_http_claude_relay_profile_e;


/*
 * Reads a request's body.  What stands first is overwritten while it is
 * spare, so that must not be the hashes, which are made once.
 */

typedef union {
    ncr_request_t                      told;    /* each begins with it */
    ncr_anthropic_request_t            anthropic;
    ncr_gemini_request_t               gemini;
    ncr_openai_request_t               openai;
} ngx_http_claude_relay_scan_t;


typedef struct {
    ngx_http_claude_relay_scan_t       scan;
    ncr_sha256_t                       plain;
    ncr_sha256_t                       cached;
} ngx_http_claude_relay_reader_t;


struct ngx_http_claude_relay_ctx_s {
    ngx_http_request_t                *request;
    ngx_http_claude_relay_route_t      route;
    ncr_key_t                         *key;     /* a copy, or nginx.conf's */
    const char                        *why;     /* the key was refused */
    ngx_str_t                          request_id;

    /* the client's request */

    u_char                            *fates;   /* one for each header */
    ngx_str_t                  *meant[NGX_HTTP_CLAUDE_RELAY_MEANINGS];
    ngx_http_claude_relay_reader_t    *reader;
    ngx_http_claude_relay_scan_t      *scan;    /* the reader's */
    ngx_str_t                          model;
    ncr_str_t                          family;  /* of what is sent */
    ngx_str_t                          wanted;  /* model: by map and slot */
    ncr_str_t                          wanted_family;
    ngx_str_t                          sent;    /* by the account, too */
    ncr_str_t                          effort;  /* by the slot, or "" */
    ncr_str_t                          only;    /* platform, or "" */
    uint64_t                           model_start;     /* in the body */
    uint64_t                           model_end;
    ncr_anthropic_config_t             config;
    off_t                              body_length;     /* when plain */
    ngx_http_claude_relay_decode_t    *decode;  /* NULL: it came plain */
    u_char                             session[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    u_char                             id_key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ncr_members_t                     *members; /* of the body, or NULL */
    ngx_uint_t                         lists;   /* of members */
    ngx_str_t                          args;    /* less "key" */
    ngx_str_t                          args_key;

    /* limits and money */

    ncr_key_t                         *user;    /* copies, or NULL */
    ncr_key_t                         *group;
    ngx_http_claude_relay_ticket_t    *ticket;
    ngx_http_claude_relay_ticket_t    *place;   /* in a queue for a limit */
    ngx_msec_t                         place_from;
    ngx_msec_t                         share_until; /* Redis is asked, 0: no */
    ngx_msec_t                         slots_until; /* the same, of accounts */
    ngx_msec_t                         slots_since;
    ngx_uint_t                         fleet_mode;  /* see shares.h */
    ngx_http_claude_relay_claim_t     *claims;  /* limits that count it */
    ngx_uint_t                         nclaims;
    ncr_amounts_t                      wants;   /* at most */
    ngx_http_claude_relay_refused_t    refused;
    ngx_http_claude_relay_bill_t      *bill;    /* NULL: nobody has asked */
    int64_t                            max_tokens;  /* -1 if not told */
    ncr_msec_t                         began;   /* by the wall clock */

    /* the pool */

    ngx_http_claude_relay_roster_t    *roster;
    ngx_http_claude_relay_pool_t      *pool;    /* location's, or key's */
    ngx_http_claude_relay_account_t   *preferred;   /* by the key, or NULL */
    ngx_str_t                          grouped; /* the key's accounts, or "" */
    ngx_uint_t                         nfirst;  /* of pool, by the key */
    ngx_http_claude_relay_account_t   *account;
    ngx_http_claude_relay_account_t   *attempt_account; /* of this attempt */
    ngx_http_claude_relay_lease_t     *lease;
    ngx_uint_t                        *tried;   /* bits by account index */
    ngx_uint_t                        *refreshed;   /* asked anew once */
    ngx_atomic_uint_t                  token_version;   /* that was shown */
    ngx_atomic_uint_t                  token_from;  /* before a wait */
    ngx_msec_t                         token_until; /* of the wait, or 0 */
    ngx_uint_t                        *failed;  /* these come last */
    ngx_http_claude_relay_sticky_e     sticky;
    ngx_http_claude_relay_fleet_result_e  fleet_result;
    ngx_http_claude_relay_look_t      *look;    /* asked of the fleet */
    ngx_http_claude_relay_account_t   *proposed;    /* to it, or NULL */
    ncr_msec_t                         proposed_at; /* its node's "used" */
    ncr_msec_t                         proposed_was;    /* and before */
    ngx_uint_t                         unknown; /* see fleet.h */
    ncr_class_e                        moved;   /* why, if MOVED */
    ncr_msec_t                         soonest; /* when waiting may help */
    ncr_msec_t                         soonest_any; /* tried ones too */
    ncr_class_e                        refusal; /* why nobody is left */
    ngx_queue_t                        waiting;
    ngx_msec_t                         wait_until;
    ngx_msec_t                         turn_until;
    ngx_msec_t                         turn_wait;   /* 0: for no turn */
    ngx_msec_t                         turn_delay;
    ngx_msec_t                         retry_until; /* end of retry_wait */
    ngx_uint_t                         nattempts;

    /* attempts */

    ngx_array_t                        attempts;
    ngx_http_claude_relay_dial_t       dial;
    ngx_event_t                        ev;      /* next attempt */
    ngx_connection_t                  *ready;
    ngx_msec_t                         started; /* of the whole */
    ngx_msec_t                         attempt_at;
    ncr_msec_t                         attempt_wall;
    ngx_http_claude_relay_saved_t      saved;

    /* what the profile does to this attempt's request */

    ngx_http_claude_relay_profile_e    profile;
    size_t                             profile_size;    /* of header bytes */
    ngx_str_t                          betas;   /* all there are */
    ncr_anthropic_system_t             system;  /* where it is in the body */
    ngx_uint_t                         nedits;
    ncr_way_t                         *way;     /* NULL: as it came */

    ncr_edit_t                        *edit;    /* nedits, in order */

    /* system, effort and model */

    ncr_edit_t                         edits[NCR_ANTHROPIC_LEAD_EDITS
                                             + NCR_ANTHROPIC_EFFORT_EDITS
                                             + 1];

    /* the upstream's answer */

    ngx_int_t                        (*step)(ngx_http_request_t *r);
    ngx_http_status_t                  status;
    ngx_uint_t                         nheaders;
    ngx_str_t                         *hop;     /* named by "Connection" */
    ngx_table_elt_t                   *provider_id; /* "request-id" */
    ngx_http_chunked_t                 chunked;
    ngx_http_chunked_t                 peek_chunked;
    u_char                            *peek;
    off_t                              peek_left;
    u_char                            *peek_body;   /* dechunked so far */
    size_t                             npeek_body;
    ncr_limits_t                       limits;
    ncr_verdict_t                      verdict;
    const ncr_codec_t                 *codec;   /* of the answer */
    ncr_answer_t                      *answer;
    ngx_recv_pt                        recv;    /* while one is stood in for */

    /* streaming */

    size_t                             skip;    /* bytes observed already */
    ngx_http_claude_relay_results_t   *results; /* URLs to be rewritten */
    ngx_http_claude_relay_inflate_t   *inflate; /* of a copy, for usage */
    ngx_http_claude_relay_translate_t *translate;   /* NULL: as it comes */
    off_t                              length;  /* of the body, or -1 */

    ngx_http_claude_relay_socket_t    *socket;  /* upgraded to; or NULL */

    ngx_event_t                        beat;
    ngx_buf_t                         *beat_buf;
    ngx_msec_t                         last_out;

    ngx_http_claude_relay_capture_t   *capture; /* NULL: no bodies */
    ncr_record_t                      *record;  /* to be kept; or NULL */
    ngx_http_claude_relay_live_t      *live;    /* in the zone; or NULL */

    /* for the log */

    ngx_msec_t                         ttft;
    uint64_t                           own_ns;
    uint64_t                           own_from;
    ncr_class_e                        error;

    ngx_str_t                          page;    /* instead of nginx's own */

    unsigned                           own_reply:1;
    unsigned                           committed:1;
    unsigned                           authorized:1; /* or refused: done */
    unsigned                           bound:1;     /* to one account only */
    unsigned                           has_session:1;
    unsigned                           hashed:1;    /* session: a guess, of
                                                     * what was said first */
    unsigned                           looked:1;    /* the fleet was asked */
    unsigned                           foreign:1;   /* another key's object */
    unsigned                           has_id:1;
    unsigned                           thread:1;    /* bind the answer's id */
    unsigned                           user_turn:1; /* what a user has typed */
    unsigned                           scan_failed:1;
    unsigned                           parked:1;
    unsigned                           relaunching:1;
    unsigned                           headers_done:1;
    unsigned                           peek_end:1;  /* the body's end is seen */
    unsigned                           judged:1;    /* verdict is set */
    unsigned                           decided:1;   /* and it goes on */
    unsigned                           held:1;      /* for long enough */
    unsigned                           stale:1;     /* a kept one was dead */
    unsigned                           finished:1;
    unsigned                           stream:1;
    unsigned                           stream_asked:1;
    unsigned                           fold:1;      /* a stream is made JSON */
    unsigned                           bare:1;      /* by a verdict, once */
    unsigned                           routed:1;    /* by the model's name */
    unsigned                           killed:1;    /* by an operator */
    unsigned                           head:1;
    unsigned                           background:1;
    unsigned                           waited:1;
    unsigned                           in_queue:1;
    unsigned                           encoded:1;   /* content-encoding */
    unsigned                           named:1;     /* has X-Request-Id */
    unsigned                           page_sent:1;
    unsigned                           saved_now:1; /* by this attempt */
    unsigned                           settled:1;   /* what is saved it is */
    unsigned                           strict:1;    /* bound, and stuck */
    unsigned                           has_ttft:1;
    unsigned                           admitted:1;
    unsigned                           booked:1;
    unsigned                           local:1;     /* answered here */
    unsigned                           shadowed:1;  /* by a shadow limit */
    unsigned                           slots_asked:1;
    unsigned                           completed:1; /* booked early */
    unsigned                           claimed:1;   /* claims are made */
    unsigned                           priced:1;    /* wants has a cost */
    unsigned                           unpriced:1;  /* but a limit has one */
};


/* in bits by account index */

#define ngx_http_claude_relay_marked(bits, a)                                 \
    ((bits) && ((bits)[(a)->index / (8 * sizeof(ngx_uint_t))]                 \
        & ((ngx_uint_t) 1 << ((a)->index % (8 * sizeof(ngx_uint_t))))))


extern ngx_module_t  ngx_http_claude_relay_module;


/* handler.c: a request comes in */

ngx_int_t ngx_http_claude_relay_handler(ngx_http_request_t *r);
ngx_http_claude_relay_ctx_t *ngx_http_claude_relay_get_ctx(
    ngx_http_request_t *r);
ngx_int_t ngx_http_claude_relay_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
void ngx_http_claude_relay_forget(ngx_http_claude_relay_ctx_t *ctx);

/* headers.c: fates and meanings of the client's headers */

char *ngx_http_claude_relay_headers_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_claude_relay_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_uint_t ngx_http_claude_relay_names_hop(ngx_str_t *connection);
ngx_uint_t ngx_http_claude_relay_named(ngx_str_t *list, ngx_str_t *name);
ngx_uint_t ngx_http_claude_relay_profilable(ngx_str_t *lowcase);

/* route.c */

ngx_int_t ngx_http_claude_relay_route(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route);

/* route_gemini.c, route_bedrock.c: paths with a model in them; NGX_OK,
 * NGX_DECLINED or NGX_HTTP_NOT_ALLOWED, with op, methods, id and model */

ngx_int_t ngx_http_claude_relay_route_gemini(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
ngx_int_t ngx_http_claude_relay_route_vertex(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);
ngx_int_t ngx_http_claude_relay_route_bedrock(ngx_http_request_t *r,
    ngx_str_t *path, ngx_http_claude_relay_route_t *route);

/* query.c: "?key=" is taken out, and overwritten where logs would show it */

ngx_int_t ngx_http_claude_relay_query(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* auth.c: NGX_OK, or ctx->why has the message of a 401, or of what
 * ctx->refused.status says; done once */

ngx_int_t ngx_http_claude_relay_auth(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* permit.c: what the key, its user and its group allow; NGX_ERROR: as above.
 * By the model: NGX_DECLINED, and why is the text of the 403 */

ngx_int_t ngx_http_claude_relay_permit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_permit_model(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, const char **why);
char *ngx_http_claude_relay_set_clients(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* session.c */

void ngx_http_claude_relay_session(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_id_key(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *id);

/* local.c: answers of our own */

ngx_int_t ngx_http_claude_relay_local(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
/* a file that is closed with the request; a name of its own is not told */
ngx_int_t ngx_http_claude_relay_send_file(ngx_http_request_t *r,
    ngx_str_t *type, ngx_fd_t fd, off_t size);
ngx_int_t ngx_http_claude_relay_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body);
ngx_int_t ngx_http_claude_relay_output(ngx_http_request_t *r,
    ngx_str_t *body);
ngx_int_t ngx_http_claude_relay_error(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, const char *message,
    time_t retry_after);
ngx_int_t ngx_http_claude_relay_add_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
ngx_int_t ngx_http_claude_relay_common_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* page.c: the output filters */

ngx_int_t ngx_http_claude_relay_filter_init(ngx_conf_t *cf);

/* models.c */

ngx_int_t ngx_http_claude_relay_models(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* in whose words a list is told: others.md G4 */
ncr_dialect_e ngx_http_claude_relay_models_dialect(ngx_http_request_t *r,
    ngx_http_claude_relay_route_t *route, ngx_uint_t openai);
ngx_str_t ngx_http_claude_relay_small_model(
    ngx_http_claude_relay_account_t *a);
char *ngx_http_claude_relay_set_models(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* map.c: another model than the one asked for; NGX_DECLINED: two efforts */

ngx_int_t ngx_http_claude_relay_map(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_map_account(ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_map_edits(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_str_t *ngx_http_claude_relay_mapped(ngx_array_t *map, ngx_str_t *model);
void ngx_http_claude_relay_map_named(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *model);
ngx_uint_t ngx_http_claude_relay_slotted(ngx_http_claude_relay_ctx_t *ctx,
    ncr_platform_t *platform);
ncr_str_t ngx_http_claude_relay_family(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a);
const char *ngx_http_claude_relay_map_add(ngx_pool_t *pool, ngx_array_t **map,
    ngx_str_t *from, ngx_str_t *to);
char *ngx_http_claude_relay_set_map(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* warmup.c: NGX_DECLINED: it needs a model */
ngx_int_t ngx_http_claude_relay_warmup(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t stream);

/* self.c */

ngx_int_t ngx_http_claude_relay_self(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* health.c */

char *ngx_http_claude_relay_set_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* the whole report, as JSON in this pool */
ngx_int_t ngx_http_claude_relay_health_full(ngx_pool_t *pool,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *body);

/* api_version.c */

char *ngx_http_claude_relay_set_update(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* metrics_text.c */

char *ngx_http_claude_relay_set_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* location.c: requests of our own into a location of the operator's */

ngx_int_t ngx_http_claude_relay_visit_init(ngx_conf_t *cf);
ngx_uint_t ngx_http_claude_relay_visiting(ngx_http_request_t *r);

/* upstream.c: attempts */

ngx_http_upstream_srv_conf_t *ngx_http_claude_relay_upstream(void);
void ngx_http_claude_relay_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_decide(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status);
void ngx_http_claude_relay_resume(ngx_event_t *ev);
void ngx_http_claude_relay_complete(ngx_http_claude_relay_ctx_t *ctx);

/* the time since ctx->own_from was set is our own */
void ngx_http_claude_relay_own_time(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_trail(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_class_e class);

/* refusal.c: an answer of our own, by ctx->error and what is known of it */

ngx_int_t ngx_http_claude_relay_refusal(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* reply.c: the upstream's header, judged before it is committed */

ngx_int_t ngx_http_claude_relay_process(ngx_http_request_t *r);
ngx_int_t ngx_http_claude_relay_process_status(ngx_http_request_t *r);
void ngx_http_claude_relay_judge(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ncr_reply_kind_e kind);
void ngx_http_claude_relay_save(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_send_saved(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_parse_chunked(ngx_http_request_t *r,
    ngx_buf_t *b, ngx_http_chunked_t *chunked);

/* request.c: what is sent upstream */

ngx_int_t ngx_http_claude_relay_create_request(ngx_http_request_t *r);

/* way.c: what a platform sends in place of what the client sent */

ngx_int_t ngx_http_claude_relay_way_make(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_way_sign(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t *body);

/* splice.c: edits of a chain of buffers */

ngx_int_t ngx_http_claude_relay_splice(ngx_pool_t *pool, ngx_chain_t *in,
    ncr_edit_t *edit, ngx_uint_t n, ngx_chain_t ***ll);
off_t ngx_http_claude_relay_splice_growth(ncr_edit_t *edit, ngx_uint_t n);

/* profile.c: the client profile */

ngx_int_t ngx_http_claude_relay_profile(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_uint_t ngx_http_claude_relay_profile_has(ngx_http_request_t *r,
    ngx_table_elt_t *header);
u_char *ngx_http_claude_relay_profile_headers(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, ngx_uint_t *version);
u_char *ngx_http_claude_relay_profile_args(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p);
char *ngx_http_claude_relay_set_profile_header(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_profile_betas(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_profile_system(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_profile_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev);

#include "ngx_http_claude_relay_answers.h"

/* dial.c */

ngx_int_t ngx_http_claude_relay_target_init(ngx_pool_t *pool,
    ngx_http_claude_relay_target_t *target);
void ngx_http_claude_relay_target_close(
    ngx_http_claude_relay_target_t *target);
ngx_int_t ngx_http_claude_relay_dial(ngx_http_claude_relay_dial_t *dial,
    ngx_uint_t fresh);
void ngx_http_claude_relay_dial_cancel(ngx_http_claude_relay_dial_t *dial);
void ngx_http_claude_relay_dial_opened(ngx_http_claude_relay_dial_t *dial);
void ngx_http_claude_relay_dial_done(ngx_http_claude_relay_dial_t *dial,
    ngx_int_t rc);
void ngx_http_claude_relay_dial_log(ngx_http_claude_relay_dial_t *dial,
    ngx_err_t err, const char *what);
ngx_int_t ngx_http_claude_relay_keep(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_target_t *target, ngx_connection_t *c);
void ngx_http_claude_relay_idle_close_all(
    ngx_http_claude_relay_main_conf_t *rmcf);
char *ngx_http_claude_relay_ssl_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);

/* a bundle of the system's; NGX_DECLINED: none was found */
ngx_int_t ngx_http_claude_relay_ssl_bundle(ngx_str_t *name);


/* lookup.c: names by the system, without blocking */

ngx_int_t ngx_http_claude_relay_lookup(ngx_http_claude_relay_lookup_t *w,
    ngx_str_t *host, ngx_uint_t family);
void ngx_http_claude_relay_lookup_cancel(ngx_http_claude_relay_lookup_t *w);
void ngx_http_claude_relay_lookup_exit(void);

/* tunnel.c: ends in dial_opened() or dial_done() */

void ngx_http_claude_relay_tunnel(ngx_http_claude_relay_dial_t *dial);

/* proxy.c */

ngx_int_t ngx_http_claude_relay_proxy_make(ngx_pool_t *pool, ngx_str_t *url,
    ngx_http_claude_relay_proxy_t **proxy, const char **error);
ngx_int_t ngx_http_claude_relay_proxy_resolve(ngx_pool_t *pool,
    ngx_http_claude_relay_proxy_t *proxy, const char **error);
char *ngx_http_claude_relay_proxy_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_claude_relay_proxy_t **proxy, ngx_str_t *account);
char *ngx_http_claude_relay_set_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* zone.c */

char *ngx_http_claude_relay_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_claude_relay_zone_init_module(ngx_cycle_t *cycle);
ngx_int_t ngx_http_claude_relay_zone_init_process(ngx_cycle_t *cycle);
void ngx_http_claude_relay_zone_exit_process(ngx_cycle_t *cycle);

/* pool.c: NGX_OK: ctx->account is leased; NGX_AGAIN: wait; NGX_DECLINED;
 * NGX_DONE: the fleet is to be asked first */

ngx_int_t ngx_http_claude_relay_pick(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_release(ngx_http_claude_relay_ctx_t *ctx);
ncr_msec_t ngx_http_claude_relay_failed(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status);
void ngx_http_claude_relay_succeeded(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status);
void ngx_http_claude_relay_bind_id(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *id);
void ngx_http_claude_relay_outlook(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_wait(ngx_http_claude_relay_ctx_t *ctx,
    ngx_msec_t timeout);
void ngx_http_claude_relay_unwait(ngx_http_claude_relay_ctx_t *ctx);
ngx_uint_t ngx_http_claude_relay_offers(ngx_http_claude_relay_account_t *a,
    ncr_op_e op, ngx_str_t *model);
ngx_uint_t ngx_http_claude_relay_serves(ngx_http_claude_relay_account_t *a,
    ncr_op_e op, ngx_str_t *model);

/* whoever may use it: one that is dedicated is for keys bound to it */
ngx_uint_t ngx_http_claude_relay_open_to(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a);
ngx_uint_t ngx_http_claude_relay_in_group(ngx_http_claude_relay_account_t *a,
    ngx_str_t *name);

#include "ngx_http_claude_relay_accounts.h"
#include "ngx_http_claude_relay_arrival.h"
#include "ngx_http_claude_relay_directives.h"

/* codec.c: what the client speaks */

const ncr_codec_t *ngx_http_claude_relay_codec(
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_answer_anew(ngx_http_claude_relay_ctx_t *ctx);

/* spare.c: large parts that are used again */

ngx_http_claude_relay_reader_t *ngx_http_claude_relay_reader(ngx_log_t *log);
void ngx_http_claude_relay_reader_give(ngx_http_claude_relay_reader_t *reader);
ngx_http_claude_relay_ctx_t *ngx_http_claude_relay_ctx(ngx_log_t *log);
void ngx_http_claude_relay_ctx_give(ngx_http_claude_relay_ctx_t *ctx);
extern const ncr_bedrock_lender_t  ngx_http_claude_relay_lender;

/* store_conf.c, oauth.c: the store and the servers of logins, as configured */

char *ngx_http_claude_relay_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_store_load(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_claude_relay_store_publish(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);
ngx_int_t ngx_http_claude_relay_oauths_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
char *ngx_http_claude_relay_set_oauth(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* admin.c: the API in a location */

char *ngx_http_claude_relay_set_admin(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_admin_cookie(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_admin_login(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_set_admin_file(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_admin_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf,
    ngx_http_claude_relay_loc_conf_t *prev);

/* admin_guard.c: memory for failures, if there is such a location */
ngx_int_t ngx_http_claude_relay_guards_zone(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);

/* a whole URL, where a base URL would lose a "/v1"; what is wrong, or NULL */
const char *ngx_http_claude_relay_url(ngx_str_t *text, ncr_url_t *url,
    ngx_str_t *path);

/* the one of http { }, if there is one: nobody's location is at hand */
ngx_resolver_t *ngx_http_claude_relay_resolver(void);

/* control.c: the control socket */

char *ngx_http_claude_relay_control(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_control(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_control_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf);
ngx_int_t ngx_http_claude_relay_control_init_module(ngx_cycle_t *cycle);

/* store.c, refresh.c: what runs in a worker */

ngx_int_t ngx_http_claude_relay_store_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_store_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_store_rung(void);
ngx_int_t ngx_http_claude_relay_refresh_init(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_refresh_exit(
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_claude_relay_refresh(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_http_request_t *r);
void ngx_http_claude_relay_needs_login(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, uint64_t have, const char *reason);

/* tokens.c */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_TOKEN_OK = 0, /* or a refresh will make it so */
    NGX_HTTP_CLAUDE_RELAY_TOKEN_LATER,  /* refreshes fail, for now */
    NGX_HTTP_CLAUDE_RELAY_TOKEN_NONE    /* an operator must log in */
} ngx_http_claude_relay_token_e;

ngx_int_t ngx_http_claude_relay_token(ngx_http_claude_relay_ctx_t *ctx);
ngx_http_claude_relay_token_e ngx_http_claude_relay_token_locked(
    ngx_http_claude_relay_account_t *a, ncr_msec_t now, ncr_msec_t *until);
ngx_int_t ngx_http_claude_relay_token_refused(
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_proof(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);

/* variables.c */

ngx_int_t ngx_http_claude_relay_add_variables(ngx_conf_t *cf);

/* as the variables have them, in the request's pool; "" if there is none */
void ngx_http_claude_relay_text_trail(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s);
void ngx_http_claude_relay_text_sticky(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s);
void ngx_http_claude_relay_text_session(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s);

/* time */

ncr_msec_t ngx_http_claude_relay_now(void);
uint64_t ngx_http_claude_relay_clock(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_H_INCLUDED_ */
