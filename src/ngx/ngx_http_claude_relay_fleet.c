
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The worker that speaks for its node: it has a lease in the zone, tells Redis
 * that the node is there, hears who else is, and lets the parts of the fleet
 * tell and hear what is theirs.  See docs/fleet.md.
 */


#include "ngx_http_claude_relay_shares.h"


/* workers look whether there is an agent, and the agent has its beats, ms */
#define NGX_HTTP_CLAUDE_RELAY_BEAT        200

/* who does not look for so long has lost it, ms */
#define NGX_HTTP_CLAUDE_RELAY_LEASE       3000

/* a node has another boot than the one that it has told so often, before it
 * is another node: after a restart it is its own old one */
#define NGX_HTTP_CLAUDE_RELAY_TWINS       3

/* a lease that is longer was made up, ms */
#define NGX_HTTP_CLAUDE_RELAY_NONSENSE    86400000

/* clocks that differ by more are told of, ms */
#define NGX_HTTP_CLAUDE_RELAY_SKEW        1000


typedef struct {
    ngx_event_t                        timer;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_ask_t        ask;     /* of the heart */
    ngx_http_claude_relay_ask_t        hello;   /* of who is no agent */
    ngx_msec_t                         asked;   /* when */
    ncr_msec_t                         asked_wall;
    ngx_atomic_uint_t                  urgent;  /* seen, both */
    ngx_atomic_uint_t                  wanted;  /* repairs */
    ngx_uint_t                         repair;  /* 1: due; 2: as flushed */
    ngx_uint_t                         flips;
    unsigned                           agent:1;
    unsigned                           alive:1; /* an answer came */
    unsigned                           stopped:1;
    unsigned                           skewed:1;
} ngx_http_claude_relay_agent_t;


static ngx_uint_t ngx_http_claude_relay_agent_lease(
    ngx_http_claude_relay_main_conf_t *rmcf);
static ngx_uint_t ngx_http_claude_relay_agent_held(
    ngx_http_claude_relay_fleet_t *fleet);
static void ngx_http_claude_relay_agent_tick(ngx_event_t *ev);
static void ngx_http_claude_relay_agent_begin(
    ngx_http_claude_relay_agent_t *ag);
static void ngx_http_claude_relay_agent_end(ngx_http_claude_relay_agent_t *ag);
static void ngx_http_claude_relay_agent_work(
    ngx_http_claude_relay_agent_t *ag);
static void ngx_http_claude_relay_agent_heart(
    ngx_http_claude_relay_agent_t *ag);
static void ngx_http_claude_relay_agent_heard(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_agent_read(
    ngx_http_claude_relay_agent_t *ag, redisReply *reply);
static void ngx_http_claude_relay_agent_twins(
    ngx_http_claude_relay_agent_t *ag, redisReply *was);
static void ngx_http_claude_relay_agent_skew(
    ngx_http_claude_relay_agent_t *ag, ncr_msec_t redis, ncr_msec_t now);
static void ngx_http_claude_relay_agent_peers(
    ngx_http_claude_relay_agent_t *ag, redisReply **e, size_t n,
    ncr_msec_t redis);
static ngx_uint_t ngx_http_claude_relay_agent_missed(
    ngx_http_claude_relay_fleet_t *fleet, ngx_http_claude_relay_peer_t *peers,
    ngx_uint_t n, ncr_msec_t redis, ncr_msec_t lease);
static ngx_int_t ngx_http_claude_relay_agent_peer(
    ngx_http_claude_relay_peer_t *peer, redisReply *name, redisReply *value,
    ncr_msec_t redis);
static void ngx_http_claude_relay_agent_state(
    ngx_http_claude_relay_agent_t *ag, ngx_http_claude_relay_redis_e state,
    const char *error);
static void ngx_http_claude_relay_agent_repair(
    ngx_http_claude_relay_agent_t *ag);
static void ngx_http_claude_relay_agent_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *text);
static void ngx_http_claude_relay_agent_listens(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t subscribed);
static ngx_str_t ngx_http_claude_relay_agent_text(
    ngx_http_claude_relay_agent_t *ag, u_char *buf, size_t size);
static ngx_uint_t ngx_http_claude_relay_fleet_word(ngx_str_t *text,
    ngx_str_t *word);


static ngx_http_claude_relay_fleet_part_t
    *ngx_http_claude_relay_fleet_parts[] = {
    &ngx_http_claude_relay_fleet_moves,
    &ngx_http_claude_relay_fleet_ends,
    &ngx_http_claude_relay_fleet_shares,
    &ngx_http_claude_relay_fleet_freed,
    &ngx_http_claude_relay_fleet_health,
    &ngx_http_claude_relay_fleet_usage,
    &ngx_http_claude_relay_fleet_rows,
    NULL
};


/*
 * The node is there until its lease is over, by Redis' own clock.  Who finds
 * no epoch makes one: it differs after a flush.  What is told: the time, the
 * epoch, the number of the last change of rows, what was there of this node,
 * and all nodes.
 */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_heart = {
    "heart",

    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s %s',\n"
    "           now + ARGV[3], ARGV[2], ARGV[4]))\n"
    "redis.call('SET', KEYS[2], ARGV[5], 'NX')\n"
    "local out = {string.format('%d', now), redis.call('GET', KEYS[2]),\n"
    "             redis.call('GET', KEYS[3]) or '0', was or ''}\n"
    "local all = redis.call('HGETALL', KEYS[1])\n"
    "for i = 1, #all, 2 do\n"
    "    local d = tonumber(string.match(all[i + 1], '^%d+')) or 0\n"
    "    if d < now - 86400000 then\n"
    "        redis.call('HDEL', KEYS[1], all[i])\n"
    "    else\n"
    "        out[#out + 1] = all[i]\n"
    "        out[#out + 1] = all[i + 1]\n"
    "    end\n"
    "end\n"
    "return out\n",

    ""
};


static ngx_http_claude_relay_agent_t  ngx_http_claude_relay_the_agent;

/* debug builds read the fd of whatever a timer's data points to */
static ngx_connection_t  ngx_http_claude_relay_silence;


ngx_int_t
ngx_http_claude_relay_fleet_zone(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    u_char                          boot[8];
    ngx_http_claude_relay_fleet_t  *fleet;

    if (rmcf->redis == NULL || rmcf->zone->fleet) {
        return NGX_OK;
    }

    fleet = ngx_slab_calloc(rmcf->shpool,
                            sizeof(ngx_http_claude_relay_fleet_t));

    if (fleet == NULL
        || ngx_http_claude_relay_shares_zone(rmcf, fleet) != NGX_OK
        || RAND_bytes(boot, sizeof(boot)) != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no room for the fleet in zone \"%V\"",
                      &rmcf->shm_zone->shm.name);
        return NGX_ERROR;
    }

    ngx_hex_dump((u_char *) fleet->boot, boot, sizeof(boot));

    fleet->nodes = rmcf->redis->nodes;
    fleet->since = ngx_http_claude_relay_now();
    fleet->seq = (uint64_t) fleet->since;

    rmcf->zone->fleet = fleet;

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_fleet_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_event_t                    *ev;
    ngx_http_claude_relay_agent_t  *ag;

    ag = &ngx_http_claude_relay_the_agent;
    ngx_memzero(ag, sizeof(ngx_http_claude_relay_agent_t));

    if (rmcf->redis == NULL) {
        return NGX_OK;
    }

    ag->rmcf = rmcf;

    ngx_http_claude_relay_silence.fd = (ngx_socket_t) -1;

    ev = &ag->timer;
    ev->handler = ngx_http_claude_relay_agent_tick;
    ev->log = cycle->log;
    ev->data = &ngx_http_claude_relay_silence;
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);

    return NGX_OK;
}


void
ngx_http_claude_relay_fleet_exit_process(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_agent_t  *ag;

    ag = &ngx_http_claude_relay_the_agent;

    if (ag->rmcf == NULL) {
        return;
    }

    ag->stopped = 1;

    ngx_http_claude_relay_agent_end(ag);
    ngx_http_claude_relay_redis_forget(&ag->hello);
    ngx_http_claude_relay_redis_exit_process();
}


ngx_uint_t
ngx_http_claude_relay_fleet_agent(void)
{
    return ngx_http_claude_relay_the_agent.agent;
}


ngx_uint_t
ngx_http_claude_relay_fleet_up(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_t  *fleet;

    if (rmcf->redis == NULL) {
        return 0;
    }

    fleet = rmcf->zone->fleet;

    return fleet->state == NGX_HTTP_CLAUDE_RELAY_REDIS_UP
           && ngx_http_claude_relay_redis_state(
                                    ngx_http_claude_relay_redis(rmcf))
              == NGX_HTTP_CLAUDE_RELAY_REDIS_UP;
}


void
ngx_http_claude_relay_fleet_urgent(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_agent_t  *ag;

    if (rmcf->redis == NULL) {
        return;
    }

    ag = &ngx_http_claude_relay_the_agent;

    (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->urgent, 1);

    if (ag->agent) {
        ngx_http_claude_relay_fleet_rung();
        return;
    }

    ngx_http_claude_relay_ring_all();
}


void
ngx_http_claude_relay_fleet_rung(void)
{
    ngx_http_claude_relay_agent_t  *ag;

    ag = &ngx_http_claude_relay_the_agent;

    if (!ag->agent || ag->urgent == ag->rmcf->zone->fleet->urgent
        || ag->timer.posted)
    {
        return;
    }

    if (ag->timer.timer_set) {
        ngx_del_timer(&ag->timer);
    }

    ngx_post_event(&ag->timer, &ngx_posted_events);
}


void
ngx_http_claude_relay_fleet_repair(ngx_http_claude_relay_main_conf_t *rmcf)
{
    if (rmcf->redis) {
        (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->repair, 1);
        ngx_http_claude_relay_fleet_urgent(rmcf);
    }
}


ngx_str_t
ngx_http_claude_relay_fleet_key(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *buf, const char *kind, ngx_str_t *name)
{
    ngx_str_t  key, none;

    ngx_str_null(&none);

    key.data = buf;
    key.len = ngx_snprintf(buf, NGX_HTTP_CLAUDE_RELAY_FLEET_KEY, "%V%s%V",
                           &rmcf->redis->prefix, kind, name ? name : &none)
              - buf;

    return key;
}


void
ngx_http_claude_relay_fleet_tell(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *kind, ngx_str_t *args)
{
    u_char      key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char     *p;
    ngx_str_t   argv[3];

    argv[2].len = rmcf->redis->node.len + 1 + ngx_strlen(kind) + 1 + args->len;

    p = ngx_alloc(argv[2].len, ngx_cycle->log);
    if (p == NULL) {
        return;
    }

    argv[2].data = p;
    (void) ngx_sprintf(p, "%V %s %V", &rmcf->redis->node, kind, args);

    ngx_str_set(&argv[0], "PUBLISH");
    argv[1] = ngx_http_claude_relay_fleet_key(rmcf, key, "bus", NULL);

    (void) ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis(rmcf),
                                            NULL, argv, 3);
    ngx_free(p);
}


static ngx_uint_t
ngx_http_claude_relay_agent_lease(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                      mine;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    /* a glance without the lock; for most workers it is the only one */

    if (fleet->agent != ngx_pid && ngx_http_claude_relay_agent_held(fleet)) {
        return 0;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    mine = (fleet->agent == ngx_pid
            || !ngx_http_claude_relay_agent_held(fleet));

    if (mine) {
        fleet->deadline = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LEASE;
        fleet->agent = ngx_pid;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return mine;
}


static ngx_uint_t
ngx_http_claude_relay_agent_held(ngx_http_claude_relay_fleet_t *fleet)
{
    ngx_pid_t  pid;

    pid = fleet->agent;

    return pid
           && (ngx_msec_int_t) (fleet->deadline - ngx_current_msec) > 0
           && (kill(pid, 0) == 0 || ngx_errno != ESRCH);
}


static void
ngx_http_claude_relay_agent_tick(ngx_event_t *ev)
{
    ngx_str_t                       ping;
    ngx_http_claude_relay_agent_t  *ag;

    ag = &ngx_http_claude_relay_the_agent;

    if (ag->stopped) {
        return;
    }

    /* an old worker leaves it to a new one */

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        ngx_http_claude_relay_agent_end(ag);
        return;
    }

    if (ngx_http_claude_relay_agent_lease(ag->rmcf)) {

        if (!ag->agent) {
            ngx_http_claude_relay_agent_begin(ag);
        }

        ngx_http_claude_relay_agent_work(ag);

    } else if (ag->agent) {

        /* it has slept for longer than its lease */

        ngx_http_claude_relay_agent_end(ag);

    } else if (!ag->alive) {

        /* requests shall find a connection */

        ag->alive = 1;
        ngx_str_set(&ping, "PING");

        (void) ngx_http_claude_relay_redis_send(
                                   ngx_http_claude_relay_redis(ag->rmcf),
                                   &ag->hello, &ping, 1);
    }

    ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_BEAT);
}


static void
ngx_http_claude_relay_agent_begin(ngx_http_claude_relay_agent_t *ag)
{
    u_char                               key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    ngx_str_t                            bus;
    ngx_http_claude_relay_fleet_part_t **part;

    ag->agent = 1;
    ag->alive = 0;
    ag->asked = 0;
    ag->flips = 0;
    ag->repair = 1;
    ag->urgent = ag->rmcf->zone->fleet->urgent;
    ag->wanted = ag->rmcf->zone->fleet->repair;

    for (part = ngx_http_claude_relay_fleet_parts; *part; part++) {
        if ((*part)->begin) {
            (*part)->begin(ag->rmcf);
        }
    }

    bus = ngx_http_claude_relay_fleet_key(ag->rmcf, key, "bus", NULL);

    if (ngx_http_claude_relay_redis_listen(ag->rmcf, &bus,
                                          ngx_http_claude_relay_agent_message,
                                          ngx_http_claude_relay_agent_listens)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the fleet is not listened to, for want of memory");
    }
}


static void
ngx_http_claude_relay_agent_end(ngx_http_claude_relay_agent_t *ag)
{
    ngx_http_claude_relay_fleet_t        *fleet;
    ngx_http_claude_relay_fleet_part_t  **part;

    if (!ag->agent) {
        return;
    }

    ag->agent = 0;
    ag->alive = 0;

    ngx_http_claude_relay_redis_listen_stop();
    ngx_http_claude_relay_redis_forget(&ag->ask);

    for (part = ngx_http_claude_relay_fleet_parts; *part; part++) {
        if ((*part)->end) {
            (*part)->end();
        }
    }

    fleet = ag->rmcf->zone->fleet;

    ngx_shmtx_lock(&ag->rmcf->shpool->mutex);

    if (fleet->agent == ngx_pid) {
        fleet->agent = 0;
    }

    ngx_shmtx_unlock(&ag->rmcf->shpool->mutex);
}


static void
ngx_http_claude_relay_agent_work(ngx_http_claude_relay_agent_t *ag)
{
    ngx_http_claude_relay_redis_e         state;
    ngx_http_claude_relay_redis_t        *redis;
    ngx_http_claude_relay_fleet_part_t  **part;

    redis = ngx_http_claude_relay_redis(ag->rmcf);
    state = ngx_http_claude_relay_redis_state(redis);

    ag->urgent = ag->rmcf->zone->fleet->urgent;

    if (ag->wanted != ag->rmcf->zone->fleet->repair) {
        ag->wanted = ag->rmcf->zone->fleet->repair;
        ag->repair = ngx_max(ag->repair, 1);
    }

    if (state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {

        if (ag->alive || ngx_http_claude_relay_redis_error(redis)[0]) {
            ngx_http_claude_relay_agent_state(ag, state,
                                   ngx_http_claude_relay_redis_error(redis));
        }

        ag->alive = 0;

    } else if (ag->alive) {
        ngx_http_claude_relay_agent_state(ag, state, "");
    }

    ngx_http_claude_relay_agent_heart(ag);

    if (!ag->alive) {
        return;
    }

    if (ag->repair) {
        ngx_http_claude_relay_agent_repair(ag);
    }

    for (part = ngx_http_claude_relay_fleet_parts; *part; part++) {
        if ((*part)->beat) {
            (*part)->beat(ag->rmcf);
        }
    }
}


/* four times in a lease, and at once where the last one had no answer */

static void
ngx_http_claude_relay_agent_heart(ngx_http_claude_relay_agent_t *ag)
{
    u_char                               keys[3]
                                             [NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                               text[256], lease[NGX_INT64_LEN];
    u_char                               epoch[32], dump[16];
    ngx_str_t                            args[8];
    ngx_msec_t                           ms;
    ngx_http_claude_relay_main_conf_t   *rmcf;

    rmcf = ag->rmcf;
    ms = ngx_min(ngx_max(rmcf->redis->lease / 4, 250), 5000);

    if (ag->ask.sent
        || (ag->alive && ngx_current_msec - ag->asked < ms))
    {
        return;
    }

    if (RAND_bytes(dump, sizeof(dump)) != 1) {
        return;
    }

    ngx_hex_dump(epoch, dump, sizeof(dump));

    args[0] = ngx_http_claude_relay_fleet_key(rmcf, keys[0], "nodes", NULL);
    args[1] = ngx_http_claude_relay_fleet_key(rmcf, keys[1], "epoch", NULL);
    args[2] = ngx_http_claude_relay_fleet_key(rmcf, keys[2], "v", NULL);
    args[3] = rmcf->redis->node;

    args[4].data = (u_char *) rmcf->zone->fleet->boot;
    args[4].len = ngx_strlen(rmcf->zone->fleet->boot);

    args[5].data = lease;
    args[5].len = ngx_sprintf(lease, "%M", rmcf->redis->lease) - lease;

    args[6] = ngx_http_claude_relay_agent_text(ag, text, sizeof(text));

    args[7].data = epoch;
    args[7].len = sizeof(epoch);

    ag->ask.handler = ngx_http_claude_relay_agent_heard;
    ag->ask.data = ag;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                         &ag->ask,
                                         &ngx_http_claude_relay_heart, 3,
                                         args, 8)
        == NGX_OK)
    {
        ag->asked = ngx_current_msec;
        ag->asked_wall = ngx_http_claude_relay_now();
    }
}


/* what others are shown of this node */

static ngx_str_t
ngx_http_claude_relay_agent_text(ngx_http_claude_relay_agent_t *ag,
    u_char *buf, size_t size)
{
    ngx_str_t                      text;
    ngx_uint_t                     i, workers, inflight;
    ngx_queue_t                   *q;
    ngx_http_claude_relay_row_t   *row;
    ngx_http_claude_relay_node_t  *node;
    ngx_http_claude_relay_zone_t  *zone;

    zone = ag->rmcf->zone;
    workers = 0;
    inflight = 0;

    ngx_shmtx_lock(&ag->rmcf->shpool->mutex);

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        row = &zone->rows[i];
        workers += (row->pid != 0);
    }

    for (q = ngx_queue_head(&zone->nodes);
         q != ngx_queue_sentinel(&zone->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_claude_relay_node_t, queue);
        inflight += node->inflight;
    }

    ngx_shmtx_unlock(&ag->rmcf->shpool->mutex);

    text.data = buf;
    text.len = ngx_snprintf(buf, size,
                            "{\"version\":\"%s\",\"started\":%L,"
                            "\"workers\":%ui,\"in_flight\":%ui,"
                            "\"skew\":%L}",
                            NGX_HTTP_CLAUDE_RELAY_VERSION,
                            (int64_t) zone->born, workers, inflight,
                            (int64_t) zone->fleet->skew)
               - buf;

    return text;
}


static void
ngx_http_claude_relay_agent_heard(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_agent_t *ag = ask->data;

    const char                     *error;
    ngx_uint_t                      first;
    ngx_http_claude_relay_redis_t  *redis;

    redis = ngx_http_claude_relay_redis(ag->rmcf);

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {

        error = ngx_http_claude_relay_redis_error(redis);

        ag->alive = 0;
        ngx_http_claude_relay_agent_state(ag, NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN,
                                          error[0] ? error : reply ? reply->str
                                                           : "no answer");
        return;
    }

    first = !ag->alive;

    if (ngx_http_claude_relay_agent_read(ag, reply) != NGX_OK) {
        ag->alive = 0;
        ngx_http_claude_relay_agent_state(ag, NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN,
                                          "an answer that makes no sense");
        return;
    }

    ag->alive = 1;
    (void) ngx_atomic_fetch_add(&ag->rmcf->zone->fleet->stats.beats, 1);

    ngx_http_claude_relay_agent_state(ag,
                          ngx_http_claude_relay_redis_state(redis), "");

    /* what waits for it need not wait for another beat */

    if (first || ag->repair) {
        (void) ngx_atomic_fetch_add(&ag->rmcf->zone->fleet->urgent, 1);
        ngx_http_claude_relay_fleet_rung();
    }
}


static ngx_int_t
ngx_http_claude_relay_agent_read(ngx_http_claude_relay_agent_t *ag,
    redisReply *reply)
{
    size_t                          i;
    ngx_int_t                       v;
    ncr_msec_t                      now;
    redisReply                    **e;
    ngx_http_claude_relay_fleet_t  *fleet;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 4) {
        return NGX_ERROR;
    }

    e = reply->element;

    for (i = 0; i < reply->elements; i++) {
        if (e[i]->type != REDIS_REPLY_STRING) {
            return NGX_ERROR;
        }
    }

    now = ngx_atoi((u_char *) e[0]->str, e[0]->len);
    v = ngx_atoi((u_char *) e[2]->str, e[2]->len);

    if (now <= 0 || v < 0 || e[1]->len == 0 || e[1]->len > 32) {
        return NGX_ERROR;
    }

    fleet = ag->rmcf->zone->fleet;

    if (ngx_strcmp(fleet->epoch, e[1]->str) != 0
        || (uint64_t) v < fleet->latest)
    {
        /* another Redis, an emptied one, or one that lacks the last changes;
         * of the first one, nothing was told before */

        ag->repair = fleet->epoch[0] ? 2 : ngx_max(ag->repair, 1);

        (void) ngx_cpystrn((u_char *) fleet->epoch, (u_char *) e[1]->str,
                           sizeof(fleet->epoch));
    }

    fleet->latest = (uint64_t) v;
    fleet->heard = ngx_http_claude_relay_now();

    ngx_http_claude_relay_agent_skew(ag, now, fleet->heard);
    ngx_http_claude_relay_agent_twins(ag, e[3]);
    ngx_http_claude_relay_agent_peers(ag, e + 4, (reply->elements - 4) / 2,
                                      now);

    return NGX_OK;
}


/* Redis was asked and has answered in between */

static void
ngx_http_claude_relay_agent_skew(ngx_http_claude_relay_agent_t *ag,
    ncr_msec_t redis, ncr_msec_t now)
{
    ncr_msec_t                      skew;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = ag->rmcf->zone->fleet;
    skew = 0;

    if (redis < ag->asked_wall) {
        skew = redis - ag->asked_wall;

    } else if (redis > now) {
        skew = redis - now;
    }

    fleet->skew = skew;

    if (ngx_abs(skew) < NGX_HTTP_CLAUDE_RELAY_SKEW) {
        ag->skewed = 0;

    } else if (!ag->skewed) {
        ag->skewed = 1;
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the clock of Redis differs by %L ms, windows of "
                      "limits and rests are off by as much",
                      (int64_t) skew);
    }
}


/* "DEADLINE BOOT TEXT" of this node's name, before it was told anew */

static void
ngx_http_claude_relay_agent_twins(ngx_http_claude_relay_agent_t *ag,
    redisReply *was)
{
    ngx_str_t                       text, word;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = ag->rmcf->zone->fleet;

    text.data = (u_char *) was->str;
    text.len = was->len;

    if (!ngx_http_claude_relay_fleet_word(&text, &word)
        || !ngx_http_claude_relay_fleet_word(&text, &word)
        || (word.len == ngx_strlen(fleet->boot)
            && ngx_memcmp(word.data, fleet->boot, word.len) == 0))
    {
        if (ag->flips) {
            ag->flips--;
        }

        if (ag->flips == 0) {
            fleet->twin = 0;
        }

        return;
    }

    /* one more than is forgotten by an answer between two of them */

    ag->flips += 2;

    if (ag->flips < 2 * NGX_HTTP_CLAUDE_RELAY_TWINS) {
        return;
    }

    ag->flips = 2 * NGX_HTTP_CLAUDE_RELAY_TWINS;

    if (!fleet->twin) {
        fleet->twin = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "another node of the fleet is called \"%V\", too; give "
                      "each a \"node=\" of its own in claude_relay_redis",
                      &ag->rmcf->redis->node);
    }
}


static void
ngx_http_claude_relay_agent_peers(ngx_http_claude_relay_agent_t *ag,
    redisReply **e, size_t n, ncr_msec_t redis)
{
    size_t                          i;
    ngx_uint_t                      alive, k, missed;
    ngx_http_claude_relay_peer_t   *peers;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = ag->rmcf->zone->fleet;

    peers = ngx_calloc(sizeof(fleet->peers), ngx_cycle->log);
    if (peers == NULL) {
        return;
    }

    alive = 0;
    k = 0;

    for (i = 0; i < n && k < NGX_HTTP_CLAUDE_RELAY_PEERS; i++) {

        if (ngx_http_claude_relay_agent_peer(&peers[k], e[2 * i],
                                             e[2 * i + 1], redis)
            == NGX_OK)
        {
            alive += peers[k].alive;
            k++;
        }
    }

    ngx_shmtx_lock(&ag->rmcf->shpool->mutex);

    missed = ngx_http_claude_relay_agent_missed(fleet, peers, k, redis,
                                      (ncr_msec_t) ag->rmcf->redis->lease);

    alive += missed;
    k = ngx_min(k + missed, NGX_HTTP_CLAUDE_RELAY_PEERS);

    ngx_memcpy(fleet->peers, peers, sizeof(fleet->peers));
    fleet->npeers = k;
    fleet->nodes = ngx_max(alive, 1);

    ngx_shmtx_unlock(&ag->rmcf->shpool->mutex);

    ngx_free(peers);
}


/*
 * Where Redis was emptied, those that it has not heard of yet are there all the
 * same: each node's part of a limit depends on how many they are.
 */

static ngx_uint_t
ngx_http_claude_relay_agent_missed(ngx_http_claude_relay_fleet_t *fleet,
    ngx_http_claude_relay_peer_t *peers, ngx_uint_t n, ncr_msec_t redis,
    ncr_msec_t lease)
{
    ngx_uint_t                     i, j, missed;
    ngx_http_claude_relay_peer_t  *old;

    missed = 0;

    for (i = 0; i < fleet->npeers; i++) {

        old = &fleet->peers[i];

        /* no node says so of itself that it is there for much longer */

        if (!old->alive || old->deadline < redis
            || old->deadline - redis > 2 * lease)
        {
            continue;
        }

        for (j = 0; j < n && ngx_strcmp(old->name, peers[j].name) != 0; j++) {
            /* void */
        }

        if (j < n) {
            continue;
        }

        /* for one lease more, whatever it has said */

        old->deadline = ngx_min(old->deadline, redis + lease);

        missed++;

        if (n + missed <= NGX_HTTP_CLAUDE_RELAY_PEERS) {
            peers[n + missed - 1] = *old;
        }
    }

    return missed;
}


static ngx_int_t
ngx_http_claude_relay_agent_peer(ngx_http_claude_relay_peer_t *peer,
    redisReply *name, redisReply *value, ncr_msec_t redis)
{
    ngx_int_t  deadline;
    ngx_str_t  text, word;

    text.data = (u_char *) value->str;
    text.len = value->len;

    if (name->len == 0 || name->len >= sizeof(peer->name)
        || !ngx_http_claude_relay_fleet_word(&text, &word))
    {
        return NGX_DECLINED;
    }

    deadline = ngx_atoi(word.data, word.len);

    if (deadline < 0
        || deadline - redis > NGX_HTTP_CLAUDE_RELAY_NONSENSE
        || !ngx_http_claude_relay_fleet_word(&text, &word)
        || word.len >= sizeof(peer->boot))
    {
        return NGX_DECLINED;
    }

    (void) ngx_cpystrn((u_char *) peer->boot, word.data, word.len + 1);
    (void) ngx_cpystrn((u_char *) peer->name, (u_char *) name->str,
                       name->len + 1);
    (void) ngx_cpystrn((u_char *) peer->text, text.data,
                       ngx_min(sizeof(peer->text), text.len + 1));

    peer->deadline = deadline;
    peer->alive = (deadline >= redis);

    return NGX_OK;
}


static void
ngx_http_claude_relay_agent_state(ngx_http_claude_relay_agent_t *ag,
    ngx_http_claude_relay_redis_e state, const char *error)
{
    ngx_uint_t                      told;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = ag->rmcf->zone->fleet;

    /* it is away until it was there: once is enough, but that is told */
    told = (fleet->error[0] != '\0' || error[0] == '\0');

    ngx_shmtx_lock(&ag->rmcf->shpool->mutex);

    (void) ngx_cpystrn((u_char *) fleet->error, (u_char *) error,
                       sizeof(fleet->error));

    ngx_shmtx_unlock(&ag->rmcf->shpool->mutex);

    if (fleet->state == (ngx_atomic_uint_t) state && told) {
        return;
    }

    if (state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "Redis is away: %s; this node goes on by itself", error);

    } else if (fleet->state == NGX_HTTP_CLAUDE_RELAY_REDIS_DOWN) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "Redis is there, the fleet has %uA node(s)",
                      fleet->nodes);

        ag->repair = ngx_max(ag->repair, 1);
        fleet->back = ngx_http_claude_relay_now();
    }

    fleet->state = state;
    fleet->since = ngx_http_claude_relay_now();
}


static void
ngx_http_claude_relay_agent_repair(ngx_http_claude_relay_agent_t *ag)
{
    ngx_uint_t                            flushed;
    ngx_http_claude_relay_fleet_part_t  **part;

    flushed = (ag->repair == 2);
    ag->repair = 0;

    (void) ngx_atomic_fetch_add(&ag->rmcf->zone->fleet->stats.repairs, 1);

    if (flushed) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "Redis has lost what it knew; the fleet tells it again");
    }

    for (part = ngx_http_claude_relay_fleet_parts; *part; part++) {
        if ((*part)->repair) {
            (*part)->repair(ag->rmcf, flushed);
        }
    }
}


/* what was said while nobody listened is asked for */

static void
ngx_http_claude_relay_agent_listens(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t subscribed)
{
    if (subscribed) {
        ngx_http_claude_relay_fleet_repair(rmcf);
    }
}


static void
ngx_http_claude_relay_agent_message(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *text)
{
    ngx_str_t                             args, node, kind;
    ngx_http_claude_relay_fleet_part_t  **part;

    args = *text;

    if (!ngx_http_claude_relay_fleet_word(&args, &node)
        || !ngx_http_claude_relay_fleet_word(&args, &kind)
        || (node.len == rmcf->redis->node.len
            && ngx_memcmp(node.data, rmcf->redis->node.data, node.len) == 0))
    {
        return;
    }

    for (part = ngx_http_claude_relay_fleet_parts; *part; part++) {

        if ((*part)->kind && (*part)->message
            && kind.len == ngx_strlen((*part)->kind)
            && ngx_memcmp(kind.data, (*part)->kind, kind.len) == 0)
        {
            (*part)->message(rmcf, &args);
            return;
        }
    }
}


/* the first word of text, which then begins behind it */

static ngx_uint_t
ngx_http_claude_relay_fleet_word(ngx_str_t *text, ngx_str_t *word)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last && *p != ' ') {
        p++;
    }

    word->data = text->data;
    word->len = p - text->data;

    if (p < last) {
        p++;
    }

    text->data = p;
    text->len = last - p;

    return word->len != 0;
}
