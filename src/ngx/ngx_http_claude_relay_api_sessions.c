
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Sticky sessions: which account has which, and since when.  They are walked
 * in the order of their hashes, a few under the lock at a time; between two
 * turns of the loop others have theirs.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"


#define NGX_HTTP_CLAUDE_RELAY_SESSIONS      100
#define NGX_HTTP_CLAUDE_RELAY_SESSIONS_MAX  1000

/* looked at with the lock held once, and in one turn of the loop */
#define NGX_HTTP_CLAUDE_RELAY_SESSIONS_STEP  64
#define NGX_HTTP_CLAUDE_RELAY_SESSIONS_TURN  (32 * 64)

/* bytes of a hash that are told, as in logs */
#define NGX_HTTP_CLAUDE_RELAY_SESSION_HASH  8


typedef struct {
    u_char                             key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    uint32_t                           account;
    uint32_t                           moves;
    ncr_msec_t                         created;
    ncr_msec_t                         renewed;
    ncr_msec_t                         expires;
    ncr_msec_t                         moved;
    uint8_t                            why;
} ngx_http_claude_relay_session_t;


typedef struct {
    u_char                             after[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         started; /* after is set */
    ngx_uint_t                         remove;
    uint32_t                           account; /* 0: any */
    ngx_str_t                          name;    /* its name */
    ngx_uint_t                         limit;
    ngx_uint_t                         n;
    ngx_uint_t                         more;
    cJSON                             *list;
} ngx_http_claude_relay_walk_t;


static void ngx_http_claude_relay_api_sessions(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_sessions_remove(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_session_remove(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_walk_t *ngx_http_claude_relay_walk(
    ngx_http_claude_relay_call_t *call, const char *const *names,
    ngx_str_t *values);
static void ngx_http_claude_relay_walk_turn(
    ngx_http_claude_relay_call_t *call);
static ngx_uint_t ngx_http_claude_relay_walk_step(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_walk_t *walk);
static ngx_http_claude_relay_bond_t *ngx_http_claude_relay_walk_next_locked(
    ngx_http_claude_relay_zone_t *zone, ngx_http_claude_relay_walk_t *walk);
static ngx_int_t ngx_http_claude_relay_walk_order(u_char *key,
    ngx_http_claude_relay_bond_t *bond);
static void ngx_http_claude_relay_walk_end(ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_walk_free(void *data);
static cJSON *ngx_http_claude_relay_show_session(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_session_t *s);
static ngx_int_t ngx_http_claude_relay_session_hash(ngx_str_t *text,
    u_char *key);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_sticky_ways[] = {

    { NGX_HTTP_GET, "/v1/sessions", ngx_http_claude_relay_api_sessions,
      NCR_ROLE_VIEWER, 0, 0, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/sessions",
      ngx_http_claude_relay_api_sessions_remove, NCR_ROLE_OPERATOR,
      0, 0, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/sessions/*",
      ngx_http_claude_relay_api_session_remove, NCR_ROLE_OPERATOR,
      0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_sessions(ngx_http_claude_relay_call_t *call)
{
    ngx_int_t                      n;
    ngx_str_t                      values[3];
    ngx_http_claude_relay_walk_t  *walk;

    static const char *const  names[] = { "account", "limit", "after", NULL };

    walk = ngx_http_claude_relay_walk(call, names, values);
    if (walk == NULL) {
        return;
    }

    n = ngx_http_claude_relay_call_limit(call, &values[1],
                                         NGX_HTTP_CLAUDE_RELAY_SESSIONS,
                                         NGX_HTTP_CLAUDE_RELAY_SESSIONS_MAX);
    if (n == NGX_ERROR) {
        return;
    }

    walk->limit = n;

    if (values[2].data) {

        if (ngx_http_claude_relay_session_hash(&values[2], walk->after)
            != NGX_OK)
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"after\" must be \"next\" of "
                                             "the answer before");
            return;
        }

        ngx_memset(walk->after + NGX_HTTP_CLAUDE_RELAY_SESSION_HASH, 0xff,
                   sizeof(walk->after) - NGX_HTTP_CLAUDE_RELAY_SESSION_HASH);
        walk->started = 1;
    }

    walk->list = cJSON_CreateArray();

    ngx_http_claude_relay_walk_turn(call);
}


static void
ngx_http_claude_relay_api_sessions_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                      values[1];
    ngx_http_claude_relay_walk_t  *walk;

    static const char *const  names[] = { "account", NULL };

    walk = ngx_http_claude_relay_walk(call, names, values);
    if (walk == NULL) {
        return;
    }

    if (walk->account == 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"account\" is missing");
        return;
    }

    walk->remove = 1;
    walk->limit = NGX_MAX_UINT32_VALUE;

    ngx_http_claude_relay_walk_turn(call);
}


static void
ngx_http_claude_relay_api_session_remove(ngx_http_claude_relay_call_t *call)
{
    u_char                         key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    u_char                         hash[NGX_HTTP_CLAUDE_RELAY_SESSION_HASH];
    ngx_str_t                      none[1];
    ngx_uint_t                     found;
    ngx_http_claude_relay_bond_t  *bond;
    ngx_http_claude_relay_walk_t  *walk;

    static const char *const  names[] = { NULL };

    walk = ngx_http_claude_relay_walk(call, names, none);
    if (walk == NULL) {
        return;
    }

    found = 0;

    if (ngx_http_claude_relay_session_hash(&call->name, hash) == NGX_OK) {

        ngx_memcpy(walk->after, hash, sizeof(hash));

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);

        walk->started = 1;
        bond = ngx_http_claude_relay_walk_next_locked(call->rmcf->zone, walk);

        if (bond && bond->session
            && ngx_memcmp(bond->key, hash, sizeof(hash)) == 0)
        {
            found = (bond->expires > ngx_http_claude_relay_now());
            ngx_memcpy(key, bond->key, sizeof(key));

            ngx_http_claude_relay_bond_free_locked(call->rmcf, bond);
            call->rmcf->zone->nsessions--;
        }

        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);
    }

    if (!found) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no such session");
        return;
    }

    ngx_http_claude_relay_fleet_ended(call->rmcf, key, 1, 1);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "control: session %V was forgotten, by %V", &call->name,
                  &call->caller.who);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_NO_CONTENT, NULL, 0);
}


/* names[0], if there is one, is "account"; NULL: the call has ended */

static ngx_http_claude_relay_walk_t *
ngx_http_claude_relay_walk(ngx_http_claude_relay_call_t *call,
    const char *const *names, ngx_str_t *values)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_claude_relay_walk_t     *walk;
    ngx_http_claude_relay_account_t  *a;

    if (ngx_http_claude_relay_call_query(call, names, values) != NGX_OK) {
        return NULL;
    }

    walk = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_walk_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (walk == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_walk_free;
    cln->data = walk;

    call->data = walk;

    if (names[0] && values[0].data) {

        a = ngx_http_claude_relay_roster_find(call->roster, &values[0]);

        if (a == NULL) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                             "there is no account \"%V\"",
                                             &values[0]);
            return NULL;
        }

        walk->account = (uint32_t) a->node->number;
        walk->name = a->name;
    }

    return walk;
}


static void
ngx_http_claude_relay_walk_free(void *data)
{
    ngx_http_claude_relay_walk_t *walk = data;

    cJSON_Delete(walk->list);
}


static void
ngx_http_claude_relay_walk_turn(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_walk_t  *walk;

    walk = call->data;

    for (i = 0;
         i < NGX_HTTP_CLAUDE_RELAY_SESSIONS_TURN;
         i += NGX_HTTP_CLAUDE_RELAY_SESSIONS_STEP)
    {
        if (!ngx_http_claude_relay_walk_step(call, walk)) {
            ngx_http_claude_relay_walk_end(call);
            return;
        }
    }

    ngx_http_claude_relay_call_timer(call, 1, ngx_http_claude_relay_walk_turn);
}


/* 0: it is at its end */

static ngx_uint_t
ngx_http_claude_relay_walk_step(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_walk_t *walk)
{
    u_char         keys[NGX_HTTP_CLAUDE_RELAY_SESSIONS_STEP]
                       [NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ncr_msec_t                          now;
    ngx_uint_t                          i, n;
    ngx_http_claude_relay_bond_t       *bond;
    ngx_http_claude_relay_session_t    *s;
    ngx_http_claude_relay_main_conf_t  *rmcf;
    ngx_http_claude_relay_session_t
                                  found[NGX_HTTP_CLAUDE_RELAY_SESSIONS_STEP];

    rmcf = call->rmcf;
    now = ngx_http_claude_relay_now();
    bond = NULL;
    n = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SESSIONS_STEP; i++) {

        bond = ngx_http_claude_relay_walk_next_locked(rmcf->zone, walk);

        if (bond == NULL) {
            break;
        }

        if (bond->session && bond->expires > now
            && (walk->account == 0
                || walk->account == (uint32_t) bond->account))
        {
            if (walk->n + n == walk->limit) {
                walk->more = 1;
                bond = NULL;
                break;
            }

            ngx_memcpy(keys[n], bond->key, sizeof(keys[n]));

            s = &found[n++];

            ngx_memcpy(s->key, bond->key, sizeof(s->key));
            s->account = (uint32_t) bond->account;
            s->moves = bond->moves;
            s->created = bond->created;
            s->renewed = bond->renewed;
            s->expires = bond->expires;
            s->moved = bond->moved;
            s->why = bond->why;
        }

        ngx_memcpy(walk->after, bond->key, sizeof(walk->after));
        walk->started = 1;

        if (walk->remove && n
            && ngx_memcmp(found[n - 1].key, bond->key, sizeof(bond->key)) == 0)
        {
            ngx_http_claude_relay_bond_free_locked(rmcf, bond);
            rmcf->zone->nsessions--;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (walk->remove) {
        ngx_http_claude_relay_fleet_ended(rmcf, keys[0], n, 0);
    }

    for (i = 0; walk->list && i < n; i++) {
        (void) cJSON_AddItemToArray(walk->list,
                           ngx_http_claude_relay_show_session(call, &found[i]));
    }

    walk->n += n;

    return bond != NULL;
}


/* the first one behind walk->after, which may be gone by now */

static ngx_http_claude_relay_bond_t *
ngx_http_claude_relay_walk_next_locked(ngx_http_claude_relay_zone_t *zone,
    ngx_http_claude_relay_walk_t *walk)
{
    ngx_rbtree_node_t             *node;
    ngx_http_claude_relay_bond_t  *bond, *best;

    node = zone->bonds.root;
    best = NULL;

    while (node != &zone->sentinel) {

        bond = (ngx_http_claude_relay_bond_t *) node;

        if (!walk->started
            || ngx_http_claude_relay_walk_order(walk->after, bond) < 0)
        {
            best = bond;
            node = node->left;

        } else {
            node = node->right;
        }
    }

    return best;
}


/* that of the tree: by the first bytes, as a number, then by all of them */

static ngx_int_t
ngx_http_claude_relay_walk_order(u_char *key,
    ngx_http_claude_relay_bond_t *bond)
{
    ngx_rbtree_key_t  hash;

    ngx_memcpy(&hash, key, sizeof(hash));

    if (hash != bond->node.key) {
        return (hash < bond->node.key) ? -1 : 1;
    }

    return ngx_memcmp(key, bond->key, sizeof(bond->key));
}


static void
ngx_http_claude_relay_walk_end(ngx_http_claude_relay_call_t *call)
{
    cJSON                         *json;
    u_char             text[2 * NGX_HTTP_CLAUDE_RELAY_SESSION_HASH];
    ngx_str_t                      s;
    ngx_http_claude_relay_walk_t  *walk;

    walk = call->data;
    json = cJSON_CreateObject();

    if (walk->remove) {
        ngx_http_claude_relay_fleet_cleared(call->rmcf, &walk->name);

        (void) cJSON_AddNumberToObject(json, "removed", (double) walk->n);

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "control: %ui sessions were forgotten, by %V", walk->n,
                      &call->caller.who);

        ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
        return;
    }

    (void) cJSON_AddItemToObject(json, "sessions", walk->list);
    walk->list = NULL;

    if (walk->more) {
        s.data = text;
        s.len = ngx_hex_dump(text, walk->after,
                             NGX_HTTP_CLAUDE_RELAY_SESSION_HASH)
                - text;
        ngx_http_claude_relay_show_str(json, "next", &s);

    } else {
        (void) cJSON_AddNullToObject(json, "next");
    }

    (void) cJSON_AddNumberToObject(json, "total",
                                   (double) call->rmcf->zone->nsessions);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static cJSON *
ngx_http_claude_relay_show_session(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_session_t *s)
{
    u_char             text[2 * NGX_HTTP_CLAUDE_RELAY_SESSION_HASH];
    cJSON                             *json;
    ngx_str_t                          hash;
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    json = cJSON_CreateObject();

    hash.data = text;
    hash.len = ngx_hex_dump(text, s->key, NGX_HTTP_CLAUDE_RELAY_SESSION_HASH)
               - text;
    ngx_http_claude_relay_show_str(json, "session", &hash);

    a = call->roster->accounts.elts;

    for (i = 0; i < call->roster->accounts.nelts; i++) {
        if ((uint32_t) a[i]->node->number == s->account) {
            ngx_http_claude_relay_show_str(json, "account", &a[i]->name);
            break;
        }
    }

    if (i == call->roster->accounts.nelts) {
        (void) cJSON_AddNullToObject(json, "account");
    }

    ngx_http_claude_relay_show_time(json, "created", s->created);
    ngx_http_claude_relay_show_time(json, "renewed", s->renewed);
    ngx_http_claude_relay_show_time(json, "expires", s->expires);

    (void) cJSON_AddNumberToObject(json, "moves", (double) s->moves);
    ngx_http_claude_relay_show_time(json, "moved", s->moved);

    if (s->moved == 0) {
        (void) cJSON_AddNullToObject(json, "reason");

    } else if (s->why == NCR_CLASS_OK) {

        /* the key has an account that it prefers */

        (void) cJSON_AddStringToObject(json, "reason", "preferred");

    } else {
        (void) cJSON_AddStringToObject(json, "reason",
                                       ncr_class_name(s->why));
    }

    return json;
}


static ngx_int_t
ngx_http_claude_relay_session_hash(ngx_str_t *text, u_char *key)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    if (text->len != 2 * NGX_HTTP_CLAUDE_RELAY_SESSION_HASH) {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SESSION_HASH; i++) {

        n = ngx_hextoi(text->data + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        key[i] = (u_char) n;
    }

    return NGX_OK;
}
