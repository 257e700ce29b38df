
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Sessions and ids (batches, files, threads) over nodes.  Redis is asked for
 * what the zone does not have: with the question goes the account that would
 * be taken, which holds if nobody has said anything before; so the first
 * requests of a session may come to several nodes at once.  What the zone has
 * is never asked for: a move is told to all, and a renewal finds out what was
 * missed.
 */


#include "ngx_http_claude_relay_fleet_sessions.h"


/* threads whose sessions have names are told together, ms */
#define NGX_HTTP_CLAUDE_RELAY_GATHER  100


struct ngx_http_claude_relay_look_s {
    ngx_http_claude_relay_ask_t        ask;
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_msec_t                         deadline;
    unsigned                           waiting:1;
    unsigned                           made:1;  /* Redis has ctx->proposed */
    unsigned                           useless:1;   /* it names an account
                                                     * that is not here */
};


static ngx_int_t ngx_http_claude_relay_fleet_wonder(
    ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_fleet_looked(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_look_read(
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_main_conf_t *rmcf,
    redisReply *reply);
static void ngx_http_claude_relay_look_found(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *value,
    ncr_msec_t left, ngx_uint_t session);
static ngx_str_t ngx_http_claude_relay_look_owner(
    ngx_http_claude_relay_ctx_t *ctx);
static void ngx_http_claude_relay_fleet_move(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *key, ngx_str_t *account,
    ncr_msec_t ttl, ncr_class_e why);
static void ngx_http_claude_relay_fleet_keep(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *key,
    ngx_http_claude_relay_account_t *a, ncr_msec_t ttl);
static void ngx_http_claude_relay_fleet_kept(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static void ngx_http_claude_relay_fleet_follow(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_said_t *said, ngx_str_t *account);
static void ngx_http_claude_relay_fleet_gather(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *key, ngx_str_t *value);
static void ngx_http_claude_relay_fleet_gathered(ngx_event_t *ev);
static ngx_int_t ngx_http_claude_relay_fleet_set(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *kind, u_char *key,
    ngx_str_t *value, ncr_msec_t ttl);
static ngx_str_t ngx_http_claude_relay_reply_text(redisReply *reply);


/*
 * KEYS: id, session, or one of them; ARGV: "i", "is" or "s"; what is proposed
 * for the session, or ""; its time; who asks.  An id of another owner is none.
 */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_script_look = {
    "look",

    "local n = 1\n"
    "if ARGV[1] ~= 's' then\n"
    "    local id = redis.call('GET', KEYS[1])\n"
    "    if id then\n"
    "        local owner = string.match(id, '\\n(.*)$') or ''\n"
    "        if owner == '' or owner == ARGV[4] then\n"
    "            return {'id', id, redis.call('PTTL', KEYS[1])}\n"
    "        end\n"
    "        if ARGV[1] == 'i' then return {'other'} end\n"
    "    end\n"
    "    n = 2\n"
    "end\n"
    "if not KEYS[n] then return {'none'} end\n"
    "local was = redis.call('GET', KEYS[n])\n"
    "if was then\n"
    "    return {'session', was, redis.call('PTTL', KEYS[n])}\n"
    "end\n"
    "if ARGV[2] == '' then return {'none'} end\n"
    "redis.call('SET', KEYS[n], ARGV[2], 'PX', ARGV[3])\n"
    "return {'made'}\n",

    ""
};


/* what is not there is made, what is there lives on; ARGV: a value and a time
 * for each key.  Told: which have another value, and which one */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_script_keep = {
    "keep",

    "local out = {}\n"
    "for i, key in ipairs(KEYS) do\n"
    "    local value, ttl = ARGV[2 * i - 1], ARGV[2 * i]\n"
    "    local was = redis.call('GET', key)\n"
    "    if not was then\n"
    "        redis.call('SET', key, value, 'PX', ttl)\n"
    "    elseif was ~= value then\n"
    "        out[#out + 1] = i\n"
    "        out[#out + 1] = was\n"
    "    elseif redis.call('PTTL', key) < tonumber(ttl) then\n"
    "        redis.call('PEXPIRE', key, ttl)\n"
    "    end\n"
    "end\n"
    "return out\n",

    ""
};


/* a proposal that came to nothing */

static ngx_http_claude_relay_script_t  ngx_http_claude_relay_script_drop = {
    "drop",

    "if redis.call('GET', KEYS[1]) == ARGV[1] then\n"
    "    return redis.call('DEL', KEYS[1])\n"
    "end\n"
    "return 0\n",

    ""
};


static ngx_http_claude_relay_say_t  ngx_http_claude_relay_threads;
static ngx_event_t                  ngx_http_claude_relay_threads_event;

/* debug builds read the fd of whatever a timer's data points to */
static ngx_connection_t             ngx_http_claude_relay_nothing;


ngx_int_t
ngx_http_claude_relay_fleet_lookup(ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_msec_int_t                      left;
    ngx_http_claude_relay_look_t       *look;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    look = ctx->look;

    if (!ctx->looked) {
        ctx->looked = 1;
        return ngx_http_claude_relay_fleet_wonder(ctx, rmcf);
    }

    if (look == NULL || !look->waiting) {
        return NGX_OK;
    }

    left = (ngx_msec_int_t) (look->deadline - ngx_current_msec);

    if (left > 0) {
        ngx_add_timer(&ctx->ev, (ngx_msec_t) left);
        return NGX_AGAIN;
    }

    look->waiting = 0;
    ngx_http_claude_relay_redis_forget(&look->ask);

    ctx->fleet_result = NGX_HTTP_CLAUDE_RELAY_FLEET_LATE;
    (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->stats.late, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_fleet_wonder(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    char                               what[3];
    u_char                             keys[2]
                                            [NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                             hex[NGX_HTTP_CLAUDE_RELAY_HEX];
    u_char                             ttl[NGX_INT64_LEN];
    ngx_str_t                          name, args[6];
    ngx_uint_t                         n, nkeys;
    ngx_http_claude_relay_look_t      *look;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    if (!ngx_http_claude_relay_fleet_up(rmcf)) {
        return NGX_OK;
    }

    look = ngx_pcalloc(ctx->request->pool,
                       sizeof(ngx_http_claude_relay_look_t));
    if (look == NULL) {
        return NGX_OK;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);
    name.data = hex;
    name.len = sizeof(hex);
    n = 0;

    if (ctx->unknown & NGX_HTTP_CLAUDE_RELAY_LOOK_ID) {
        ngx_hex_dump(hex, ctx->id_key, sizeof(ctx->id_key));
        what[n] = 'i';
        args[n] = ngx_http_claude_relay_fleet_key(rmcf, keys[n], "i:", &name);
        n++;
    }

    if (ctx->unknown & NGX_HTTP_CLAUDE_RELAY_LOOK_SESSION) {
        ngx_hex_dump(hex, ctx->session, sizeof(ctx->session));
        what[n] = 's';
        args[n] = ngx_http_claude_relay_fleet_key(rmcf, keys[n], "s:", &name);
        n++;
    }

    nkeys = n;

    args[n].data = (u_char *) what;
    args[n++].len = nkeys;

    ngx_str_set(&args[n], "");

    if (ctx->proposed) {
        args[n] = ctx->proposed->name;
    }

    n++;

    args[n].data = ttl;
    args[n++].len = ngx_sprintf(ttl, "%L", (int64_t) rlcf->sticky_ttl * 1000)
                    - ttl;

    args[n++] = ngx_http_claude_relay_look_owner(ctx);

    look->ctx = ctx;
    look->ask.handler = ngx_http_claude_relay_fleet_looked;
    look->ask.data = look;
    look->deadline = ngx_current_msec + rmcf->redis->timeout;

    if (ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                         &look->ask,
                                         &ngx_http_claude_relay_script_look,
                                         nkeys, args, n)
        != NGX_OK)
    {
        return NGX_OK;
    }

    (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->stats.lookups, 1);

    ctx->look = look;
    look->waiting = 1;

    ngx_add_timer(&ctx->ev, rmcf->redis->timeout);

    return NGX_AGAIN;
}


static void
ngx_http_claude_relay_fleet_looked(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_look_t *look = ask->data;

    ngx_http_claude_relay_ctx_t        *ctx;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    ctx = look->ctx;
    look->waiting = 0;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    if (ngx_http_claude_relay_look_read(ctx, rmcf, reply) != NGX_OK) {
        ctx->fleet_result = NGX_HTTP_CLAUDE_RELAY_FLEET_LATE;
        (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->stats.late, 1);
    }

    /* not within: who has called it may have more to read */

    if (ctx->ev.timer_set) {
        ngx_del_timer(&ctx->ev);
    }

    ngx_post_event(&ctx->ev, &ngx_posted_events);
}


static ngx_int_t
ngx_http_claude_relay_look_read(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf, redisReply *reply)
{
    ngx_str_t                      what, value;
    ngx_uint_t                     session;
    ngx_http_claude_relay_look_t  *look;

    look = ctx->look;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements == 0)
    {
        return NGX_ERROR;
    }

    what = ngx_http_claude_relay_reply_text(reply->element[0]);

    ctx->fleet_result = NGX_HTTP_CLAUDE_RELAY_FLEET_MISS;

    if (ncr_str_eq(ncr(&what), "made")) {
        look->made = (ctx->proposed != NULL);
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(&what), "none")) {
        return NGX_OK;
    }

    if (ncr_str_eq(ncr(&what), "other")) {
        ctx->foreign = (ctx->route.id.len != 0);
        return NGX_OK;
    }

    session = ncr_str_eq(ncr(&what), "session");

    if ((!session && !ncr_str_eq(ncr(&what), "id"))
        || reply->elements != 3
        || reply->element[2]->type != REDIS_REPLY_INTEGER)
    {
        return NGX_ERROR;
    }

    value = ngx_http_claude_relay_reply_text(reply->element[1]);

    ngx_http_claude_relay_look_found(ctx, rmcf, &value,
                                     reply->element[2]->integer, session);
    return NGX_OK;
}


/* the zone has it now, as old as it is for the node that has made it */

static void
ngx_http_claude_relay_look_found(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *value, ncr_msec_t left,
    ngx_uint_t session)
{
    u_char                            *lf, *key;
    ncr_msec_t                         now, ttl;
    ngx_str_t                          name;
    ngx_queue_t                       *list;
    ngx_http_claude_relay_bond_t      *bond;
    ngx_http_claude_relay_account_t   *a;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    name = *value;
    lf = ngx_strlchr(name.data, name.data + name.len, '\n');

    if (lf) {
        name.len = lf - name.data;
    }

    a = ngx_http_claude_relay_roster_find(ctx->roster, &name);

    if (a == NULL) {

        /* it was deleted; whoever is taken now takes its place */

        ctx->look->useless = session;
        return;
    }

    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    ttl = session ? (ncr_msec_t) rlcf->sticky_ttl * 1000
                  : NGX_HTTP_CLAUDE_RELAY_ID_TTL;

    if (left <= 0 || left > ttl) {
        left = ttl;
    }

    now = ngx_http_claude_relay_now();
    key = session ? ctx->session : ctx->id_key;
    list = session ? &rmcf->zone->sessions : &rmcf->zone->ids;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    /* it was not its turn */

    if (ctx->proposed && ctx->proposed->node->used == ctx->proposed_at) {
        ctx->proposed->node->used = ctx->proposed_was;
    }

    if (ngx_http_claude_relay_bond_locked(rmcf->zone, key, now) == NULL) {

        bond = ngx_http_claude_relay_bond_set_locked(rmcf, list, key,
                               a->node->number,
                               session ? 0 : ngx_http_claude_relay_owner(ctx),
                               now, ttl);
        if (bond) {
            bond->expires = now + left;
            bond->renewed = now + left - ttl;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ctx->fleet_result = NGX_HTTP_CLAUDE_RELAY_FLEET_FOUND;
    (void) ngx_atomic_fetch_add(&rmcf->zone->fleet->stats.found, 1);
}


static ngx_str_t
ngx_http_claude_relay_look_owner(ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t  name;
    ngx_str_t  none;

    if (ctx->key == NULL) {
        ngx_str_set(&none, "");
        return none;
    }

    name = ncr_key_text(ctx->key, ctx->key->name);

    return ngx_http_claude_relay_str(&name);
}


void
ngx_http_claude_relay_fleet_forget(ngx_http_claude_relay_ctx_t *ctx)
{
    u_char                              key[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char                              hex[NGX_HTTP_CLAUDE_RELAY_HEX];
    ngx_str_t                           name, args[2];
    ngx_http_claude_relay_look_t       *look;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    look = ctx->look;

    look->waiting = 0;
    ngx_http_claude_relay_redis_forget(&look->ask);

    if (!look->made) {
        return;
    }

    look->made = 0;

    /* nobody shall be bound to an account that has only failed */

    if (!ngx_http_claude_relay_marked(ctx->tried, ctx->proposed)
        && !ngx_http_claude_relay_marked(ctx->failed, ctx->proposed))
    {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    ngx_hex_dump(hex, ctx->session, sizeof(ctx->session));
    name.data = hex;
    name.len = sizeof(hex);

    args[0] = ngx_http_claude_relay_fleet_key(rmcf, key, "s:", &name);
    args[1] = ctx->proposed->name;

    (void) ngx_http_claude_relay_redis_call(ngx_http_claude_relay_redis(rmcf),
                                         NULL,
                                         &ngx_http_claude_relay_script_drop,
                                         1, args, 2);
}


void
ngx_http_claude_relay_fleet_session(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t moved)
{
    ncr_msec_t                          ttl;
    ngx_http_claude_relay_look_t       *look;
    ngx_http_claude_relay_loc_conf_t   *rlcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    look = ctx->look;

    if (look && look->made) {
        look->made = 0;

        if (!moved && ctx->account == ctx->proposed) {
            return;
        }

        moved = 1;
    }

    if (look && look->useless) {
        look->useless = 0;
        moved = 1;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);
    rlcf = ngx_http_get_module_loc_conf(ctx->request,
                                        ngx_http_claude_relay_module);

    ttl = (ncr_msec_t) rlcf->sticky_ttl * 1000;

    if (moved) {
        ngx_http_claude_relay_fleet_move(rmcf, ctx->session,
                                         &ctx->account->name, ttl,
                                         ctx->moved);
        return;
    }

    ngx_http_claude_relay_fleet_keep(rmcf, ctx->session, ctx->account, ttl);
}


static void
ngx_http_claude_relay_fleet_move(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *key, ngx_str_t *account, ncr_msec_t ttl, ncr_class_e why)
{
    u_char     *p;
    u_char      text[NGX_HTTP_CLAUDE_RELAY_HEX + 1
                     + NGX_HTTP_CLAUDE_RELAY_NAME_LEN + 1 + 32];
    ngx_str_t   args;

    if (ngx_http_claude_relay_fleet_set(rmcf, "s:", key, account, ttl)
        != NGX_OK)
    {
        return;
    }

    p = ngx_hex_dump(text, key, NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
    p = ngx_slprintf(p, text + sizeof(text), " %V %s", account,
                     ncr_class_name(why));

    args.data = text;
    args.len = p - text;

    ngx_http_claude_relay_fleet_tell(rmcf, "m", &args);
}


/* another node may have said something else meanwhile, while Redis was away,
 * say: who was first is followed */

static void
ngx_http_claude_relay_fleet_keep(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *key, ngx_http_claude_relay_account_t *a, ncr_msec_t ttl)
{
    ngx_http_claude_relay_say_t   *say;
    ngx_http_claude_relay_said_t  *said;

    say = ngx_calloc(offsetof(ngx_http_claude_relay_say_t, said)
                     + sizeof(ngx_http_claude_relay_said_t),
                     ngx_cycle->log);
    if (say == NULL) {
        return;
    }

    say->rmcf = rmcf;
    say->n = 1;
    say->ask.handler = ngx_http_claude_relay_fleet_kept;
    say->ask.data = say;

    said = &say->said[0];

    ngx_memcpy(said->key, key, sizeof(said->key));
    said->account = a->node->number;
    said->session = 1;
    said->ttl = ttl;
    said->len = a->name.len;
    ngx_memcpy(said->value, a->name.data, a->name.len);

    if (ngx_http_claude_relay_bonds_say(say) != NGX_OK) {
        ngx_free(say);
    }
}


static void
ngx_http_claude_relay_fleet_kept(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_say_t *say = ask->data;

    ngx_http_claude_relay_bonds_heard(say, reply);
    ngx_free(say);
}


ngx_int_t
ngx_http_claude_relay_bonds_say(ngx_http_claude_relay_say_t *say)
{
    u_char                        *p;
    u_char                         hex[NGX_HTTP_CLAUDE_RELAY_HEX];
    ngx_int_t                      rc;
    ngx_str_t                      name;
    ngx_str_t                      args[3 * NGX_HTTP_CLAUDE_RELAY_SAYS];
    ngx_uint_t                     i;
    ngx_http_claude_relay_said_t  *said;

    p = ngx_alloc(say->n * (NGX_HTTP_CLAUDE_RELAY_FLEET_KEY + NGX_INT64_LEN),
                  ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name.data = hex;
    name.len = sizeof(hex);

    args[0].data = p;

    for (i = 0; i < say->n; i++) {

        said = &say->said[i];
        ngx_hex_dump(hex, said->key, sizeof(said->key));

        args[i] = ngx_http_claude_relay_fleet_key(say->rmcf, p,
                                             said->session ? "s:" : "i:",
                                             &name);
        p += NGX_HTTP_CLAUDE_RELAY_FLEET_KEY;

        args[say->n + 2 * i].data = said->value;
        args[say->n + 2 * i].len = said->len;

        args[say->n + 2 * i + 1].data = p;
        p = ngx_sprintf(p, "%L", (int64_t) said->ttl);
        args[say->n + 2 * i + 1].len = p - args[say->n + 2 * i + 1].data;
    }

    rc = ngx_http_claude_relay_redis_call(
                                   ngx_http_claude_relay_redis(say->rmcf),
                                   &say->ask,
                                   &ngx_http_claude_relay_script_keep,
                                   say->n, args, 3 * say->n);
    ngx_free(args[0].data);

    return rc;
}


void
ngx_http_claude_relay_bonds_heard(ngx_http_claude_relay_say_t *say,
    redisReply *reply)
{
    size_t     i;
    long long  n;
    ngx_str_t  value;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }

    for (i = 0; i + 1 < reply->elements; i += 2) {

        n = reply->element[i]->integer;

        if (reply->element[i]->type != REDIS_REPLY_INTEGER
            || n < 1 || n > (long long) say->n)
        {
            return;
        }

        value = ngx_http_claude_relay_reply_text(reply->element[i + 1]);

        if (say->said[n - 1].session) {
            ngx_http_claude_relay_fleet_follow(say->rmcf, &say->said[n - 1],
                                         &value);
        }
    }
}


/* the fleet has another account for a session: its own is there still */

static void
ngx_http_claude_relay_fleet_follow(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_said_t *said, ngx_str_t *account)
{
    ncr_msec_t                        now;
    ngx_uint_t                        unknown;
    ngx_http_claude_relay_bond_t     *bond;
    ngx_http_claude_relay_account_t  *a;

    a = ngx_http_claude_relay_roster_find(rmcf->roster, account);
    now = ngx_http_claude_relay_now();
    unknown = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    bond = ngx_http_claude_relay_bond_locked(rmcf->zone, said->key, now);

    if (bond && bond->session && bond->account == said->account) {

        if (a) {
            bond->account = a->node->number;

        } else {
            unknown = 1;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (unknown) {

        /* of an account that is not here: what is here is of more use */

        account->data = said->value;
        account->len = said->len;

        (void) ngx_http_claude_relay_fleet_set(rmcf, "s:", said->key, account,
                                         said->ttl);
    }
}


/* a batch or a file is found by its id alone; so is a stored response, but the
 * next message of its thread by the name of its session, too */

void
ngx_http_claude_relay_fleet_id(ngx_http_claude_relay_ctx_t *ctx)
{
    u_char                              text[NGX_HTTP_CLAUDE_RELAY_SAID];
    ngx_str_t                           value, owner;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    owner = ngx_http_claude_relay_look_owner(ctx);

    value.data = text;
    value.len = ngx_snprintf(text, sizeof(text), "%V\n%V",
                             &ctx->account->name, &owner)
                - text;

    if (ctx->thread && ctx->has_session && !ctx->hashed && !ngx_exiting) {

        /* there are as many of them as requests */

        ngx_http_claude_relay_fleet_gather(rmcf, ctx->id_key, &value);
        return;
    }

    (void) ngx_http_claude_relay_fleet_set(rmcf, "i:", ctx->id_key, &value,
                                           NGX_HTTP_CLAUDE_RELAY_ID_TTL);
}


static void
ngx_http_claude_relay_fleet_gather(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *key, ngx_str_t *value)
{
    ngx_event_t                   *ev;
    ngx_http_claude_relay_say_t   *say;
    ngx_http_claude_relay_said_t  *said;

    ev = &ngx_http_claude_relay_threads_event;
    say = &ngx_http_claude_relay_threads;

    say->rmcf = rmcf;
    said = &say->said[say->n++];

    ngx_memcpy(said->key, key, sizeof(said->key));
    said->session = 0;
    said->ttl = NGX_HTTP_CLAUDE_RELAY_ID_TTL;
    said->len = value->len;
    ngx_memcpy(said->value, value->data, value->len);

    if (say->n == NGX_HTTP_CLAUDE_RELAY_SAYS) {
        ngx_http_claude_relay_fleet_gathered(ev);
        return;
    }

    if (!ev->timer_set) {
        ngx_http_claude_relay_nothing.fd = (ngx_socket_t) -1;

        ev->handler = ngx_http_claude_relay_fleet_gathered;
        ev->data = &ngx_http_claude_relay_nothing;
        ev->log = ngx_cycle->log;
        ev->cancelable = 1;

        ngx_add_timer(ev, NGX_HTTP_CLAUDE_RELAY_GATHER);
    }
}


static void
ngx_http_claude_relay_fleet_gathered(ngx_event_t *ev)
{
    ngx_http_claude_relay_say_t  *say;

    say = &ngx_http_claude_relay_threads;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (say->n) {
        (void) ngx_http_claude_relay_bonds_say(say);
        say->n = 0;
    }
}


static ngx_int_t
ngx_http_claude_relay_fleet_set(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *kind, u_char *key, ngx_str_t *value, ncr_msec_t ttl)
{
    u_char     buf[NGX_HTTP_CLAUDE_RELAY_FLEET_KEY];
    u_char     hex[NGX_HTTP_CLAUDE_RELAY_HEX];
    u_char     ms[NGX_INT64_LEN];
    ngx_str_t  name, args[5];

    ngx_hex_dump(hex, key, NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
    name.data = hex;
    name.len = sizeof(hex);

    ngx_str_set(&args[0], "SET");
    args[1] = ngx_http_claude_relay_fleet_key(rmcf, buf, kind, &name);
    args[2] = *value;
    ngx_str_set(&args[3], "PX");
    args[4].data = ms;
    args[4].len = ngx_sprintf(ms, "%L", (int64_t) ttl) - ms;

    return ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis(rmcf),
                                            NULL, args, 5);
}


void
ngx_http_claude_relay_fleet_ended(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *keys, ngx_uint_t n, ngx_uint_t told)
{
    u_char      text[NGX_HTTP_CLAUDE_RELAY_ENDED
                     * (NGX_HTTP_CLAUDE_RELAY_HEX + 1)];
    u_char     *p;
    ngx_str_t   args;
    ngx_uint_t  i;

    if (rmcf->redis == NULL || n == 0) {
        return;
    }

    ngx_http_claude_relay_bonds_unset(rmcf, keys, n);

    if (!told) {
        return;
    }

    p = text;

    for (i = 0; i < n; i++) {
        p = ngx_hex_dump(p, keys + i * NGX_HTTP_CLAUDE_RELAY_KEY_LEN,
                         NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
        *p++ = ' ';
    }

    args.data = text;
    args.len = p - text - 1;

    ngx_http_claude_relay_fleet_tell(rmcf, "x", &args);
}


void
ngx_http_claude_relay_bonds_unset(ngx_http_claude_relay_main_conf_t *rmcf,
    u_char *keys, ngx_uint_t n)
{
    u_char     *p;
    u_char      hex[NGX_HTTP_CLAUDE_RELAY_HEX];
    ngx_str_t   name, args[1 + NGX_HTTP_CLAUDE_RELAY_ENDED];
    ngx_uint_t  i;

    p = ngx_alloc(n * NGX_HTTP_CLAUDE_RELAY_FLEET_KEY, ngx_cycle->log);
    if (p == NULL) {
        return;
    }

    name.data = hex;
    name.len = sizeof(hex);

    ngx_str_set(&args[0], "DEL");

    for (i = 0; i < n; i++) {
        ngx_hex_dump(hex, keys + i * NGX_HTTP_CLAUDE_RELAY_KEY_LEN,
                     NGX_HTTP_CLAUDE_RELAY_KEY_LEN);

        args[i + 1] = ngx_http_claude_relay_fleet_key(rmcf,
                                      p + i * NGX_HTTP_CLAUDE_RELAY_FLEET_KEY,
                                      "s:", &name);
    }

    (void) ngx_http_claude_relay_redis_send(ngx_http_claude_relay_redis(rmcf),
                                            NULL, args, n + 1);
    ngx_free(p);
}


void
ngx_http_claude_relay_fleet_cleared(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *account)
{
    u_char     text[2 + NGX_HTTP_CLAUDE_RELAY_NAME_LEN];
    ngx_str_t  args;

    if (rmcf->redis == NULL) {
        return;
    }

    args.data = text;
    args.len = ngx_snprintf(text, sizeof(text), "* %V", account) - text;

    ngx_http_claude_relay_fleet_tell(rmcf, "x", &args);
}


/* "" for what is no text */

static ngx_str_t
ngx_http_claude_relay_reply_text(redisReply *reply)
{
    ngx_str_t  text;

    ngx_str_set(&text, "");

    if (reply->type == REDIS_REPLY_STRING
        || reply->type == REDIS_REPLY_STATUS)
    {
        text.data = (u_char *) reply->str;
        text.len = reply->len;
    }

    return text;
}
