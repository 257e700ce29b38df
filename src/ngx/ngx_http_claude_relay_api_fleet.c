
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /v1/fleet: who is in it, how it is with Redis, what is shared; and
 * POST /v1/fleet/repair.  What nodes tell of themselves has come through
 * Redis: it is shown as far as it makes sense.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet_show.h"


/* how long the agent may take to begin, ms */
#define NGX_HTTP_CLAUDE_RELAY_REPAIR       2000
#define NGX_HTTP_CLAUDE_RELAY_REPAIR_STEP  20

/* numbers that a double has whole */
#define NGX_HTTP_CLAUDE_RELAY_WHOLE        9007199254740991.0


typedef struct {
    ngx_atomic_uint_t                  repairs; /* before it was asked for */
} ngx_http_claude_relay_repair_t;


typedef struct {
    const char                        *name;
    size_t                             offset;
} ngx_http_claude_relay_count_t;


static void ngx_http_claude_relay_api_fleet(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_fleet_repair(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_fleet_repairing(
    ngx_http_claude_relay_call_t *call);
static cJSON *ngx_http_claude_relay_show_alone(void);
static void ngx_http_claude_relay_show_shared(cJSON *json);
static void ngx_http_claude_relay_show_counts(
    ngx_http_claude_relay_call_t *call, cJSON *json);
static ngx_int_t ngx_http_claude_relay_show_peers(
    ngx_http_claude_relay_call_t *call, cJSON *json);
static cJSON *ngx_http_claude_relay_show_peer(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_peer_t *peer);
static void ngx_http_claude_relay_show_told(cJSON *json, const char *name,
    cJSON *told, const char *member);
static void ngx_http_claude_relay_show_words(cJSON *json, const char *name,
    const char *text);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_fleet_ways[] = {

    { NGX_HTTP_GET, "/v1/fleet", ngx_http_claude_relay_api_fleet,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { NGX_HTTP_POST, "/v1/fleet/repair",
      ngx_http_claude_relay_api_fleet_repair, NCR_ROLE_OPERATOR,
      0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


#define ngx_http_claude_relay_count(name)                                     \
    { #name, offsetof(ngx_http_claude_relay_fleet_stats_t, name) }

static const ngx_http_claude_relay_count_t  ngx_http_claude_relay_counts[] = {
    ngx_http_claude_relay_count(commands),
    ngx_http_claude_relay_count(failures),
    ngx_http_claude_relay_count(errors),
    ngx_http_claude_relay_count(connects),
    ngx_http_claude_relay_count(lookups),
    ngx_http_claude_relay_count(found),
    ngx_http_claude_relay_count(late),
    ngx_http_claude_relay_count(grants),
    ngx_http_claude_relay_count(shorts),
    ngx_http_claude_relay_count(rows_told),
    ngx_http_claude_relay_count(rows_heard),
    ngx_http_claude_relay_count(beats),
    ngx_http_claude_relay_count(repairs),
    { NULL, 0 }
};


static void
ngx_http_claude_relay_api_fleet(ngx_http_claude_relay_call_t *call)
{
    cJSON                               *json;
    ngx_str_t                            none[1];
    ngx_http_claude_relay_main_conf_t   *rmcf;
    ngx_http_claude_relay_fleet_look_t   look;

    static const char *const  names[] = { NULL };
    static const char *const  away[] = { "holder", "never", "any" };

    if (ngx_http_claude_relay_call_query(call, names, none) != NGX_OK) {
        return;
    }

    rmcf = call->rmcf;

    if (rmcf->redis == NULL || rmcf->zone->fleet == NULL) {
        ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                                          ngx_http_claude_relay_show_alone(),
                                          0);
        return;
    }

    ngx_http_claude_relay_fleet_look(rmcf, &look);

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "state",
                       ngx_http_claude_relay_fleet_state_name(look.state));
    ngx_http_claude_relay_show_time(json, "since", look.since);
    ngx_http_claude_relay_show_words(json, "error", look.error);
    ngx_http_claude_relay_show_str(json, "node", &rmcf->redis->node);
    ngx_http_claude_relay_show_words(json, "boot", look.boot);

    if (look.agent) {
        (void) cJSON_AddNumberToObject(json, "agent", (double) look.agent);

    } else {
        (void) cJSON_AddNullToObject(json, "agent");
    }

    ngx_http_claude_relay_show_str(json, "prefix", &rmcf->redis->prefix);
    (void) cJSON_AddNumberToObject(json, "alive", (double) look.nodes);
    (void) cJSON_AddBoolToObject(json, "synced", look.synced != 0);
    (void) cJSON_AddBoolToObject(json, "durable", look.durable != 0);
    (void) cJSON_AddBoolToObject(json, "twin", look.twin != 0);
    (void) cJSON_AddNumberToObject(json, "skew_ms", (double) look.skew);
    ngx_http_claude_relay_show_time(json, "heard", look.heard);
    (void) cJSON_AddNumberToObject(json, "lease_ms",
                                   (double) rmcf->redis->lease);
    (void) cJSON_AddStringToObject(json, "away_refresh",
                                   away[ngx_min(rmcf->redis->away, 2)]);

    ngx_http_claude_relay_show_shared(json);
    ngx_http_claude_relay_show_counts(call, json);

    if (ngx_http_claude_relay_show_peers(call, json) != NGX_OK) {
        cJSON_Delete(json);
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_show_alone(void)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "state", "off");
    (void) cJSON_AddArrayToObject(json, "shared");
    (void) cJSON_AddArrayToObject(json, "nodes");

    return json;
}


static void
ngx_http_claude_relay_show_shared(cJSON *json)
{
    cJSON       *list;
    ngx_uint_t   i;

    static const char *const  shared[] = {
        "sessions", "limits", "slots", "rests", "refreshes", "accounts",
        "keys", "usage", NULL
    };

    list = cJSON_AddArrayToObject(json, "shared");

    for (i = 0; shared[i]; i++) {
        (void) cJSON_AddItemToArray(list, cJSON_CreateString(shared[i]));
    }
}


static void
ngx_http_claude_relay_show_counts(ngx_http_claude_relay_call_t *call,
    cJSON *json)
{
    cJSON         *counts;
    u_char        *stats;
    ngx_uint_t     i;
    ngx_atomic_t  *n;

    stats = (u_char *) &call->rmcf->zone->fleet->stats;
    counts = cJSON_AddObjectToObject(json, "counts");

    for (i = 0; ngx_http_claude_relay_counts[i].name; i++) {

        n = (ngx_atomic_t *) (stats + ngx_http_claude_relay_counts[i].offset);

        (void) cJSON_AddNumberToObject(counts,
                                       ngx_http_claude_relay_counts[i].name,
                                       (double) *n);
    }
}


static ngx_int_t
ngx_http_claude_relay_show_peers(ngx_http_claude_relay_call_t *call,
    cJSON *json)
{
    cJSON                         *list;
    ngx_uint_t                     i, n;
    ngx_http_claude_relay_peer_t  *peers;

    peers = ngx_palloc(call->pool, NGX_HTTP_CLAUDE_RELAY_PEERS
                                   * sizeof(ngx_http_claude_relay_peer_t));
    if (peers == NULL) {
        return NGX_ERROR;
    }

    n = ngx_http_claude_relay_fleet_peers(call->rmcf, peers,
                                          NGX_HTTP_CLAUDE_RELAY_PEERS);

    list = cJSON_AddArrayToObject(json, "nodes");

    for (i = 0; i < n; i++) {
        (void) cJSON_AddItemToArray(list,
                          ngx_http_claude_relay_show_peer(call, &peers[i]));
    }

    return NGX_OK;
}


static cJSON *
ngx_http_claude_relay_show_peer(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_peer_t *peer)
{
    cJSON       *json, *told, *version;
    ngx_str_t    s;
    ncr_msec_t   lease;

    json = cJSON_CreateObject();

    /* NULL where it is no JSON: then nothing of it is known */

    told = cJSON_Parse(peer->text);

    s.data = (u_char *) peer->name;
    s.len = ngx_strlen(s.data);
    ngx_http_claude_relay_show_str(json, "name", &s);

    (void) cJSON_AddBoolToObject(json, "this",
                    ngx_http_claude_relay_fleet_self(call->rmcf, peer) != 0);
    (void) cJSON_AddStringToObject(json, "state", peer->alive ? "alive"
                                                              : "gone");
    ngx_http_claude_relay_show_words(json, "boot", peer->boot);

    version = cJSON_GetObjectItemCaseSensitive(told, "version");

    ngx_http_claude_relay_show_words(json, "version",
                     cJSON_IsString(version) ? version->valuestring : "");

    ngx_http_claude_relay_show_told(json, "started", told, "started");
    ngx_http_claude_relay_show_told(json, "workers", told, "workers");
    ngx_http_claude_relay_show_told(json, "in_flight", told, "in_flight");
    ngx_http_claude_relay_show_told(json, "skew_ms", told, "skew");

    /* the lease begins when it is heard of; nodes have the same one */

    lease = (ncr_msec_t) call->rmcf->redis->lease;

    ngx_http_claude_relay_show_time(json, "heard",
                                    (peer->deadline > lease)
                                    ? peer->deadline - lease : 0);

    cJSON_Delete(told);

    return json;
}


static void
ngx_http_claude_relay_show_told(cJSON *json, const char *name, cJSON *told,
    const char *member)
{
    cJSON  *value;

    value = cJSON_GetObjectItemCaseSensitive(told, member);

    if (!cJSON_IsNumber(value)
        || !(value->valuedouble >= -NGX_HTTP_CLAUDE_RELAY_WHOLE
             && value->valuedouble <= NGX_HTTP_CLAUDE_RELAY_WHOLE))
    {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    if (ngx_strcmp(name, "started") == 0) {
        ngx_http_claude_relay_show_time(json, name,
                                        (value->valuedouble > 0)
                                        ? (ncr_msec_t) value->valuedouble : 0);
        return;
    }

    (void) cJSON_AddNumberToObject(json, name,
                                   (double) (int64_t) value->valuedouble);
}


/* "" is null */

static void
ngx_http_claude_relay_show_words(cJSON *json, const char *name,
    const char *text)
{
    ngx_str_t  s;

    if (text[0] == '\0') {
        (void) cJSON_AddNullToObject(json, name);
        return;
    }

    s.data = (u_char *) text;
    s.len = ngx_strlen(text);

    ngx_http_claude_relay_show_str(json, name, &s);
}


static void
ngx_http_claude_relay_api_fleet_repair(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_repair_t      *repair;
    ngx_http_claude_relay_main_conf_t   *rmcf;
    ngx_http_claude_relay_fleet_look_t   look;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_no_args(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, NULL, NULL)
           != NGX_OK)
    {
        return;
    }

    rmcf = call->rmcf;

    if (rmcf->redis == NULL || rmcf->zone->fleet == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                         "there is no fleet: it takes "
                                         "\"claude_relay_redis\"");
        return;
    }

    ngx_http_claude_relay_fleet_look(rmcf, &look);

    if (look.state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "Redis is away; what is to be "
                                         "told is told when it is back");
        return;
    }

    repair = ngx_palloc(call->pool, sizeof(ngx_http_claude_relay_repair_t));
    if (repair == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    repair->repairs = rmcf->zone->fleet->stats.repairs;

    call->data = repair;
    call->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_REPAIR;

    ngx_http_claude_relay_fleet_repair(rmcf);
    ngx_http_claude_relay_fleet_repairing(call);
}


/* the agent begins with its next beat */

static void
ngx_http_claude_relay_fleet_repairing(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *json;
    ngx_uint_t                       begun;
    ngx_http_claude_relay_fleet_t   *fleet;
    ngx_http_claude_relay_repair_t  *repair;

    repair = call->data;
    fleet = call->rmcf->zone->fleet;
    begun = (fleet->stats.repairs != repair->repairs);

    if (!begun && (ngx_msec_int_t) (call->until - ngx_current_msec) > 0) {
        ngx_http_claude_relay_call_timer(call,
                                         NGX_HTTP_CLAUDE_RELAY_REPAIR_STEP,
                                         ngx_http_claude_relay_fleet_repairing);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddBoolToObject(json, "begun", begun != 0);
    (void) cJSON_AddNumberToObject(json, "repairs",
                                   (double) fleet->stats.repairs);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_ACCEPTED, json, 0);
}
