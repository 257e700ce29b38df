
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who guesses passwords is slowed down: by its address, harder for a name at
 * an address, and a little for a name wherever that is tried from.  The last
 * one does not hold up who has logged in from the same address before, so that
 * strangers cannot keep an admin out.
 *
 * Checks under way are counted, too: failures are not known yet while they
 * are, and each costs 100 ms.
 */


#include "ngx_http_claude_relay_admin.h"


/* checks of this worker at the same time: in all, and of one address */
#define NGX_HTTP_CLAUDE_RELAY_TRIES          8
#define NGX_HTTP_CLAUDE_RELAY_TRIES_ADDRESS  2

/* how long one that is crowded out waits, ms */
#define NGX_HTTP_CLAUDE_RELAY_CROWDED        1000

/* for so long an address is a friend */
#define NGX_HTTP_CLAUDE_RELAY_FRIENDSHIP     ((ncr_msec_t) 30 * 86400 * 1000)


typedef struct {
    ncr_guard_rule_t                   address;
    ncr_guard_rule_t                   pair;
    ncr_guard_rule_t                   name;
} ngx_http_claude_relay_rules_t;


static void ngx_http_claude_relay_rules(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_rules_t *rules);
static uint64_t ngx_http_claude_relay_guard_key(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *what,
    ngx_str_t *address, ngx_str_t *name);
static ngx_uint_t ngx_http_claude_relay_friend_locked(
    ngx_http_claude_relay_guards_t *guards, uint64_t key, ncr_msec_t now);
static void ngx_http_claude_relay_befriend_locked(
    ngx_http_claude_relay_guards_t *guards, uint64_t key, ncr_msec_t now);


/* addresses of checks under way; 0: nobody's */
static uint64_t  ngx_http_claude_relay_tries[NGX_HTTP_CLAUDE_RELAY_TRIES];


ngx_int_t
ngx_http_claude_relay_guards_zone(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    ngx_http_claude_relay_guards_t  *guards;

    if (rmcf->admin.locations == 0 || rmcf->zone->guards) {
        return NGX_OK;
    }

    guards = ngx_slab_calloc(rmcf->shpool,
                             sizeof(ngx_http_claude_relay_guards_t));

    if (guards == NULL) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no room for failed logins in zone \"%V\"",
                      &rmcf->shm_zone->shm.name);
        return NGX_ERROR;
    }

    rmcf->zone->guards = guards;

    return NGX_OK;
}


static void
ngx_http_claude_relay_rules(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_rules_t *rules)
{
    ncr_uint_t  n;
    ncr_msec_t  window;

    n = rmcf->admin.failures;
    window = rmcf->admin.window;

    /* many people may come from one address */

    rules->address.failures = 3 * n;
    rules->address.window = window;
    rules->address.pause = ncr_min(30000, window);
    rules->address.longest = window;

    rules->pair.failures = n;
    rules->pair.window = window;
    rules->pair.pause = ncr_min(30000, window);
    rules->pair.longest = window;

    rules->name.failures = 10 * n;
    rules->name.window = window;
    rules->name.pause = 1000;
    rules->name.longest = ncr_min(30000, window);
}


static uint64_t
ngx_http_claude_relay_guard_key(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *what, ngx_str_t *address, ngx_str_t *name)
{
    uint64_t    key;
    ncr_str_t   secret, parts[4];
    ncr_char_t  digest[NCR_SHA256_LEN];

    /* keyed, so that nobody can choose whose row is shared */

    secret.data = rmcf->zone->secret;
    secret.len = sizeof(rmcf->zone->secret);

    parts[0].data = (u_char *) what;
    parts[0].len = ngx_strlen(what);

    parts[1].data = address->data;
    parts[1].len = address->len;

    parts[2].data = (u_char *) "\n";
    parts[2].len = 1;

    parts[3].data = name->data;
    parts[3].len = name->len;

    ncr_hmac_sha256(&rmcf->sha, &secret, parts, 4, digest);

    ngx_memcpy(&key, digest, sizeof(key));

    return key ? key : 1;
}


ngx_msec_t
ngx_http_claude_relay_try(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t, ngx_str_t *address, ngx_str_t *name)
{
    ngx_str_t                         none;
    ncr_msec_t                        now, wait, more;
    ngx_uint_t                        i, n, slot;
    ngx_http_claude_relay_rules_t     rules;
    ngx_http_claude_relay_guards_t   *guards;

    ngx_str_set(&none, "");
    ngx_memzero(t, sizeof(ngx_http_claude_relay_try_t));

    guards = rmcf->zone->guards;

    if (guards == NULL) {
        return 0;
    }

    ngx_http_claude_relay_rules(rmcf, &rules);

    t->address = ngx_http_claude_relay_guard_key(rmcf, "a", address, &none);
    t->pair = ngx_http_claude_relay_guard_key(rmcf, "p", address, name);
    t->name = ngx_http_claude_relay_guard_key(rmcf, "n", &none, name);

    now = ngx_http_claude_relay_now();

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    wait = ncr_guard_wait(&guards->addresses, &rules.address, t->address, now);

    more = ncr_guard_wait(&guards->pairs, &rules.pair, t->pair, now);
    wait = ncr_max(wait, more);

    if (!ngx_http_claude_relay_friend_locked(guards, t->pair, now)) {
        more = ncr_guard_wait(&guards->names, &rules.name, t->name, now);
        wait = ncr_max(wait, more);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (wait) {
        return wait;
    }

    n = 0;
    slot = NGX_HTTP_CLAUDE_RELAY_TRIES;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TRIES; i++) {

        if (ngx_http_claude_relay_tries[i] == 0) {
            slot = i;
        }

        if (ngx_http_claude_relay_tries[i] == t->address) {
            n++;
        }
    }

    if (slot == NGX_HTTP_CLAUDE_RELAY_TRIES
        || n >= NGX_HTTP_CLAUDE_RELAY_TRIES_ADDRESS)
    {
        return NGX_HTTP_CLAUDE_RELAY_CROWDED;
    }

    ngx_http_claude_relay_tries[slot] = t->address;
    t->busy = 1;

    return 0;
}


void
ngx_http_claude_relay_try_ended(ngx_http_claude_relay_try_t *t)
{
    ngx_uint_t  i;

    if (!t->busy) {
        return;
    }

    t->busy = 0;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TRIES; i++) {
        if (ngx_http_claude_relay_tries[i] == t->address) {
            ngx_http_claude_relay_tries[i] = 0;
            return;
        }
    }
}


void
ngx_http_claude_relay_try_failed(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t)
{
    ncr_msec_t                       now;
    ngx_http_claude_relay_rules_t    rules;
    ngx_http_claude_relay_guards_t  *guards;

    if (!t->busy) {
        return;
    }

    guards = rmcf->zone->guards;
    now = ngx_http_claude_relay_now();

    ngx_http_claude_relay_rules(rmcf, &rules);

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ncr_guard_failed(&guards->addresses, &rules.address, t->address, now);
    ncr_guard_failed(&guards->pairs, &rules.pair, t->pair, now);
    ncr_guard_failed(&guards->names, &rules.name, t->name, now);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_try_ended(t);
}


/*
 * What an address has failed for is not forgotten: who has a login of its own
 * could try others in between.
 */

void
ngx_http_claude_relay_try_passed(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_try_t *t)
{
    ncr_msec_t                       now;
    ngx_http_claude_relay_guards_t  *guards;

    if (!t->busy) {
        return;
    }

    guards = rmcf->zone->guards;
    now = ngx_http_claude_relay_now();

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    ncr_guard_passed(&guards->pairs, t->pair);
    ngx_http_claude_relay_befriend_locked(guards, t->pair, now);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_try_ended(t);
}


static ngx_uint_t
ngx_http_claude_relay_friend_locked(ngx_http_claude_relay_guards_t *guards,
    uint64_t key, ncr_msec_t now)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_FRIENDS; i++) {
        if (guards->friends[i].key == key) {
            return now - guards->friends[i].time
                   < NGX_HTTP_CLAUDE_RELAY_FRIENDSHIP;
        }
    }

    return 0;
}


/* in place of the one that was not seen for the longest time */

static void
ngx_http_claude_relay_befriend_locked(ngx_http_claude_relay_guards_t *guards,
    uint64_t key, ncr_msec_t now)
{
    ngx_uint_t                       i;
    ngx_http_claude_relay_friend_t  *f, *oldest;

    oldest = &guards->friends[0];

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_FRIENDS; i++) {
        f = &guards->friends[i];

        if (f->key == key) {
            oldest = f;
            break;
        }

        if (f->time < oldest->time) {
            oldest = f;
        }
    }

    oldest->key = key;
    oldest->time = now;
}
