
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The agent's part in sessions: moves and ends that other nodes tell of, and
 * what the zone has, told anew where Redis may not have it.  See
 * fleet_sessions.c for what requests ask.
 */


#include "ngx_http_claude_relay_fleet_sessions.h"


/* bonds looked at with the lock held once, and how often in one turn */
#define NGX_HTTP_CLAUDE_RELAY_PEEK   256
#define NGX_HTTP_CLAUDE_RELAY_PEEKS  32

/* accounts that are cleared at the same time; no more of them are heard */
#define NGX_HTTP_CLAUDE_RELAY_CLEARS  64


/* the agent tells all that the zone has */

typedef struct {
    ngx_http_claude_relay_say_t        say;
    u_char                             after[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    unsigned                           started:1;   /* after is set */
    unsigned                           on:1;
    unsigned                           asked:1;
} ngx_http_claude_relay_recital_t;


/* the agent drops all sessions of an account */

typedef struct {
    ngx_uint_t                         account; /* node's number */
    ngx_uint_t                         started;
    u_char                             after[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
} ngx_http_claude_relay_clearing_t;


static void ngx_http_claude_relay_moves_end(void);
static void ngx_http_claude_relay_moves_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_moves_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static void ngx_http_claude_relay_moves_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed);
static void ngx_http_claude_relay_recite(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_recited(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply);
static ngx_uint_t ngx_http_claude_relay_recite_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_recital_t *rc);
static void ngx_http_claude_relay_recite_names(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_say_t *say);
static void ngx_http_claude_relay_ends_end(void);
static void ngx_http_claude_relay_ends_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_ends_message(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static void ngx_http_claude_relay_clear(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *name);
static ngx_uint_t ngx_http_claude_relay_clear_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_clearing_t *clearing, u_char *keys, ngx_uint_t *n);
static ngx_int_t ngx_http_claude_relay_unhex(ngx_str_t *text, u_char *key);
static ngx_str_t ngx_http_claude_relay_next_word(ngx_str_t *text);


static ngx_http_claude_relay_recital_t  ngx_http_claude_relay_recital;

static ngx_http_claude_relay_clearing_t
    ngx_http_claude_relay_clearings[NGX_HTTP_CLAUDE_RELAY_CLEARS];
static ngx_uint_t  ngx_http_claude_relay_nclearings;


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_moves = {
    "m",
    NULL,
    ngx_http_claude_relay_moves_end,
    ngx_http_claude_relay_moves_beat,
    ngx_http_claude_relay_moves_message,
    ngx_http_claude_relay_moves_repair
};

ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_ends = {
    "x",
    NULL,
    ngx_http_claude_relay_ends_end,
    ngx_http_claude_relay_ends_beat,
    ngx_http_claude_relay_ends_message,
    NULL
};


static void
ngx_http_claude_relay_moves_end(void)
{
    ngx_http_claude_relay_recital_t  *rc;

    rc = &ngx_http_claude_relay_recital;

    ngx_http_claude_relay_redis_forget(&rc->say.ask);
    rc->asked = 0;
    rc->on = 0;
}


/* args: KEY ACCOUNT WHY */

static void
ngx_http_claude_relay_moves_message(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *args)
{
    u_char                            key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ncr_msec_t                        now;
    ngx_str_t                         word;
    ngx_uint_t                        why;
    ngx_http_claude_relay_bond_t     *bond;
    ngx_http_claude_relay_account_t  *a;

    word = ngx_http_claude_relay_next_word(args);

    if (ngx_http_claude_relay_unhex(&word, key) != NGX_OK) {
        return;
    }

    word = ngx_http_claude_relay_next_word(args);

    a = ngx_http_claude_relay_roster_find(rmcf->roster, &word);
    now = ngx_http_claude_relay_now();

    for (why = 0; why < NCR_CLASSES; why++) {
        if (ncr_str_eq(ncr(args), ncr_class_name((ncr_class_e) why))) {
            break;
        }
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    bond = ngx_http_claude_relay_bond_locked(rmcf->zone, key, now);

    if (bond && bond->session && a == NULL) {

        /* an account that is not here, or not yet */

        ngx_http_claude_relay_bond_free_locked(rmcf, bond);
        rmcf->zone->nsessions--;

    } else if (bond && bond->session && bond->account != a->node->number) {

        bond->account = a->node->number;
        bond->moved = now;
        bond->moves++;
        bond->why = (uint8_t) ((why < NCR_CLASSES) ? why : NCR_CLASS_OK);
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);
}


/* what the zone has is told, whoever has told it before */

static void
ngx_http_claude_relay_moves_repair(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t flushed)
{
    ngx_http_claude_relay_recital_t  *rc;

    rc = &ngx_http_claude_relay_recital;

    rc->on = 1;
    rc->started = 0;

    ngx_http_claude_relay_moves_beat(rmcf);
}


static void
ngx_http_claude_relay_moves_beat(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_recital_t  *rc;

    rc = &ngx_http_claude_relay_recital;

    if (rc->on && !rc->asked) {
        ngx_http_claude_relay_recite(rmcf);
    }
}


static void
ngx_http_claude_relay_recite(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                        i, more;
    ngx_http_claude_relay_recital_t  *rc;

    rc = &ngx_http_claude_relay_recital;

    rc->say.rmcf = rmcf;
    rc->say.ask.handler = ngx_http_claude_relay_recited;
    rc->say.ask.data = rc;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_PEEKS; i++) {

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        more = ngx_http_claude_relay_recite_locked(rmcf, rc);

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        ngx_http_claude_relay_recite_names(rmcf, &rc->say);

        if (!more) {
            rc->on = 0;
        }

        if (rc->say.n) {

            /* else it is away again, and will be back */

            rc->asked = (ngx_http_claude_relay_bonds_say(&rc->say) == NGX_OK);
            rc->on &= rc->asked;
            return;
        }

        if (!rc->on) {
            return;
        }
    }
}


static void
ngx_http_claude_relay_recited(ngx_http_claude_relay_ask_t *ask,
    redisReply *reply)
{
    ngx_http_claude_relay_recital_t *rc = ask->data;

    rc->asked = 0;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        rc->on = 0;
        return;
    }

    ngx_http_claude_relay_bonds_heard(&rc->say, reply);

    if (rc->on) {
        ngx_http_claude_relay_recite(rc->say.rmcf);
    }
}


/* 0: that was the last */

static ngx_uint_t
ngx_http_claude_relay_recite_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_recital_t *rc)
{
    ncr_msec_t                     now;
    ngx_uint_t                     i;
    ngx_http_claude_relay_bond_t  *bond;
    ngx_http_claude_relay_said_t  *said;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;
    now = ngx_http_claude_relay_now();

    rc->say.n = 0;

    bond = ngx_http_claude_relay_bond_after_locked(zone,
                                             rc->started ? rc->after : NULL);
    rc->started = 1;

    for (i = 0; bond && i < NGX_HTTP_CLAUDE_RELAY_PEEK; i++) {

        ngx_memcpy(rc->after, bond->key, sizeof(rc->after));

        if (bond->expires > now) {
            said = &rc->say.said[rc->say.n++];

            ngx_memcpy(said->key, bond->key, sizeof(said->key));
            said->account = bond->account;
            said->owner = bond->owner;
            said->session = bond->session;
            said->ttl = bond->expires - now;
            said->len = 0;

            if (bond->owner) {
                said->len = ngx_http_claude_relay_subject_text_locked(rmcf,
                                                NCR_SCOPE_KEY, bond->owner,
                                                said->value);
            }
        }

        bond = (ngx_http_claude_relay_bond_t *)
                   ngx_rbtree_next(&zone->bonds, &bond->node);

        if (rc->say.n == NGX_HTTP_CLAUDE_RELAY_SAYS) {
            break;
        }
    }

    return bond != NULL;
}


/* numbers become names; what has none any more is left out */

static void
ngx_http_claude_relay_recite_names(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_say_t *say)
{
    u_char                            owner[NCR_KEY_NAME];
    size_t                            len;
    ngx_uint_t                        i, j, n;
    ngx_http_claude_relay_said_t     *said;
    ngx_http_claude_relay_account_t **a;

    a = rmcf->roster->accounts.elts;
    n = 0;

    for (i = 0; i < say->n; i++) {

        said = &say->said[i];

        for (j = 0; j < rmcf->roster->accounts.nelts; j++) {
            if (a[j]->node->number == said->account) {
                break;
            }
        }

        if (j == rmcf->roster->accounts.nelts
            || (said->owner && said->len == 0))
        {
            continue;
        }

        len = said->len;
        ngx_memcpy(owner, said->value, len);

        said->len = a[j]->name.len;
        ngx_memcpy(said->value, a[j]->name.data, said->len);

        if (!said->session) {
            said->value[said->len++] = '\n';
            ngx_memcpy(said->value + said->len, owner, len);
            said->len += len;
        }

        if (n != i) {
            say->said[n] = *said;
        }

        n++;
    }

    say->n = n;
}


static void
ngx_http_claude_relay_ends_end(void)
{
    ngx_http_claude_relay_nclearings = 0;
}


/* args: KEY..., or "*" ACCOUNT */

static void
ngx_http_claude_relay_ends_message(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *args)
{
    u_char                         key[NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_str_t                      word;
    ngx_http_claude_relay_bond_t  *bond;

    while (args->len) {

        word = ngx_http_claude_relay_next_word(args);

        if (ncr_str_eq(ncr(&word), "*")) {
            ngx_http_claude_relay_clear(rmcf, args);
            return;
        }

        if (ngx_http_claude_relay_unhex(&word, key) != NGX_OK) {
            return;
        }

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        bond = ngx_http_claude_relay_bond_locked(rmcf->zone, key, 0);

        if (bond && bond->session) {
            ngx_http_claude_relay_bond_free_locked(rmcf, bond);
            rmcf->zone->nsessions--;
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);
    }
}


static void
ngx_http_claude_relay_clear(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *name)
{
    ngx_http_claude_relay_account_t   *a;
    ngx_http_claude_relay_clearing_t  *clearing;

    a = ngx_http_claude_relay_roster_find(rmcf->roster, name);

    if (a == NULL
        || ngx_http_claude_relay_nclearings == NGX_HTTP_CLAUDE_RELAY_CLEARS)
    {
        return;
    }

    clearing =
          &ngx_http_claude_relay_clearings[ngx_http_claude_relay_nclearings++];

    clearing->account = a->node->number;
    clearing->started = 0;

    ngx_http_claude_relay_ends_beat(rmcf);
}


/* a part of one account at a time */

static void
ngx_http_claude_relay_ends_beat(ngx_http_claude_relay_main_conf_t *rmcf)
{
    u_char                             keys[NGX_HTTP_CLAUDE_RELAY_ENDED
                                            * NGX_HTTP_CLAUDE_RELAY_KEY_LEN];
    ngx_uint_t                         i, n, more;
    ngx_http_claude_relay_clearing_t  *clearing;

    clearing = ngx_http_claude_relay_clearings;
    i = 0;

    while (ngx_http_claude_relay_nclearings
           && i++ < NGX_HTTP_CLAUDE_RELAY_PEEKS)
    {
        n = 0;

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        more = ngx_http_claude_relay_clear_locked(rmcf, clearing, keys, &n);

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        if (n) {
            ngx_http_claude_relay_bonds_unset(rmcf, keys, n);
        }

        if (!more) {
            ngx_http_claude_relay_nclearings--;
            ngx_memmove(clearing, clearing + 1,
                        ngx_http_claude_relay_nclearings
                        * sizeof(ngx_http_claude_relay_clearing_t));
        }
    }
}


/* 0: that was the last */

static ngx_uint_t
ngx_http_claude_relay_clear_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_clearing_t *clearing, u_char *keys, ngx_uint_t *n)
{
    ngx_uint_t                     i;
    ngx_http_claude_relay_bond_t  *bond, *next;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    bond = ngx_http_claude_relay_bond_after_locked(zone,
                                 clearing->started ? clearing->after : NULL);
    clearing->started = 1;

    for (i = 0; bond && i < NGX_HTTP_CLAUDE_RELAY_PEEK; i++) {

        if (*n == NGX_HTTP_CLAUDE_RELAY_ENDED) {
            break;
        }

        next = (ngx_http_claude_relay_bond_t *)
                   ngx_rbtree_next(&zone->bonds, &bond->node);

        ngx_memcpy(clearing->after, bond->key, sizeof(clearing->after));

        if (bond->session && bond->account == clearing->account) {

            ngx_memcpy(keys + *n * NGX_HTTP_CLAUDE_RELAY_KEY_LEN, bond->key,
                       NGX_HTTP_CLAUDE_RELAY_KEY_LEN);
            (*n)++;

            ngx_http_claude_relay_bond_free_locked(rmcf, bond);
            zone->nsessions--;
        }

        bond = next;
    }

    return bond != NULL;
}


static ngx_int_t
ngx_http_claude_relay_unhex(ngx_str_t *text, u_char *key)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    if (text->len != NGX_HTTP_CLAUDE_RELAY_HEX) {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_KEY_LEN; i++) {

        n = ngx_hextoi(text->data + 2 * i, 2);

        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        key[i] = (u_char) n;
    }

    return NGX_OK;
}


/* up to a space; text begins behind it */

static ngx_str_t
ngx_http_claude_relay_next_word(ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t   word;

    p = ngx_strlchr(text->data, text->data + text->len, ' ');

    word.data = text->data;
    word.len = p ? (size_t) (p - text->data) : text->len;

    text->data += word.len + (p != NULL);
    text->len -= word.len + (p != NULL);

    return word;
}
