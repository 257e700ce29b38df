
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Whom a link connects to, and what is said first: who it is, which database,
 * whether this is a master, and whether it can be written.  A list is gone
 * through until one is; a Sentinel is asked for the master's address; a node
 * of a Cluster tells who has the slot of this fleet's keys, which is one.
 */


#include "ngx_http_claude_relay_redis_link.h"


static void ngx_http_claude_relay_link_target(
    ngx_http_claude_relay_link_t *link, ncr_redis_place_t *place);
static void ngx_http_claude_relay_link_configured(
    ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_target_t *target);
static ngx_int_t ngx_http_claude_relay_greet_auth(
    ngx_http_claude_relay_link_t *link, ngx_str_t *user,
    ngx_str_t *password);
static ngx_int_t ngx_http_claude_relay_greet_master(
    ngx_http_claude_relay_link_t *link);
static ngx_int_t ngx_http_claude_relay_greet_sentinel(
    ngx_http_claude_relay_link_t *link);
static ngx_int_t ngx_http_claude_relay_greeted_auth(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_select(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_name(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_role(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_probe(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_master(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static ngx_int_t ngx_http_claude_relay_greeted_slots(
    ngx_http_claude_relay_link_t *link, ngx_http_claude_relay_order_t *order,
    redisReply *reply);
static void ngx_http_claude_relay_link_place(
    ngx_http_claude_relay_link_t *link, redisReply *node);
static void ngx_http_claude_relay_greet_failed(
    ngx_http_claude_relay_link_t *link, const char *what, redisReply *reply);
static ngx_int_t ngx_http_claude_relay_reply_place(redisReply *host,
    redisReply *port, ncr_redis_place_t *place, ngx_uint_t may);


/* of a Cluster, as its nodes tell; for all links of this worker */
static ncr_redis_place_t  *ngx_http_claude_relay_places;
static ngx_uint_t          ngx_http_claude_relay_nplaces;


ngx_int_t
ngx_http_claude_relay_link_whom(ngx_http_claude_relay_link_t *link)
{
    ngx_uint_t                        i, n;
    ngx_http_claude_relay_target_t  **servers;

    if (link->named) {
        link->named = 0;
        link->sentinel = 0;
        ngx_http_claude_relay_link_target(link, &link->next);
        return NGX_OK;
    }

    if (link->fixed) {
        return NGX_ERROR;
    }

    n = link->conf->servers.nelts + ngx_http_claude_relay_nplaces;
    i = link->turn % n;

    link->sentinel = (link->conf->sentinel.len != 0);

    if (i >= link->conf->servers.nelts) {
        i -= link->conf->servers.nelts;
        ngx_http_claude_relay_link_target(link,
                                          &ngx_http_claude_relay_places[i]);
        return NGX_OK;
    }

    servers = link->conf->servers.elts;
    ngx_http_claude_relay_link_configured(link, servers[i]);

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_link_another(ngx_http_claude_relay_link_t *link)
{
    ngx_uint_t  n;

    n = link->conf->servers.nelts + ngx_http_claude_relay_nplaces;

    link->named = 0;
    link->hops = 0;
    link->turn++;

    if (++link->tried < n && !link->fixed) {
        return NGX_OK;
    }

    link->tried = 0;

    return NGX_DECLINED;
}


/* of nginx.conf: its strings and addresses stay */

static void
ngx_http_claude_relay_link_configured(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_target_t *target)
{
    link->target = *target;
    link->target.turn = 0;

    ngx_queue_init(&link->target.idle);

    link->here.port = target->port;

    (void) ngx_snprintf((u_char *) link->here.host, NCR_REDIS_HOST - 1,
                        "%V%Z", &target->host);
    link->here.host[NCR_REDIS_HOST - 1] = '\0';
}


/* told by a server: an address, or a name to be looked up */

static void
ngx_http_claude_relay_link_target(ngx_http_claude_relay_link_t *link,
    ncr_redis_place_t *place)
{
    in_addr_t                        inaddr;
    ngx_http_claude_relay_target_t  *t;
#if (NGX_HAVE_INET6)
    u_char                           in6[16];
#endif

    if (place != &link->here) {
        link->here = *place;
    }

    t = &link->target;

    ngx_memzero(t, sizeof(ngx_http_claude_relay_target_t));
    ngx_queue_init(&t->idle);

    ngx_str_set(&t->name, "redis");

    t->host.data = (u_char *) link->here.host;
    t->host.len = ngx_strlen(link->here.host);
    t->sni = t->host;
    t->port = (in_port_t) place->port;
    t->tls = link->conf->tls;
    t->ssl = link->conf->ssl;
    t->unverified = !link->conf->ssl_verify;

    t->addrs = &link->addr;
    link->addr.sockaddr = &link->sockaddr.sockaddr;
    link->addr.name = t->host;

    ngx_memzero(&link->sockaddr, sizeof(ngx_sockaddr_t));

    inaddr = ngx_inet_addr(t->host.data, t->host.len);

    if (inaddr != INADDR_NONE) {
        link->sockaddr.sockaddr_in.sin_family = AF_INET;
        link->sockaddr.sockaddr_in.sin_addr.s_addr = inaddr;
        link->sockaddr.sockaddr_in.sin_port = htons(t->port);
        link->addr.socklen = sizeof(struct sockaddr_in);
        t->literal = 1;
        t->naddrs = 1;
        return;
    }

#if (NGX_HAVE_INET6)

    if (ngx_inet6_addr(t->host.data, t->host.len, in6) == NGX_OK) {
        link->sockaddr.sockaddr_in6.sin6_family = AF_INET6;
        link->sockaddr.sockaddr_in6.sin6_port = htons(t->port);
        ngx_memcpy(&link->sockaddr.sockaddr_in6.sin6_addr, in6, 16);
        link->addr.socklen = sizeof(struct sockaddr_in6);
        t->literal = 1;
        t->naddrs = 1;
    }

#endif
}


ngx_int_t
ngx_http_claude_relay_link_greet(ngx_http_claude_relay_link_t *link)
{
    ngx_http_claude_relay_redis_conf_t  *conf;

    conf = link->conf;

    if (link->sentinel) {
        return ngx_http_claude_relay_greet_sentinel(link);
    }

    if (ngx_http_claude_relay_greet_auth(link, &conf->user, &conf->password)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_greet_master(link);
}


static ngx_int_t
ngx_http_claude_relay_greet_auth(ngx_http_claude_relay_link_t *link,
    ngx_str_t *user, ngx_str_t *password)
{
    ngx_uint_t  n;
    ngx_str_t   args[3];

    if (password->len == 0) {
        return NGX_OK;
    }

    n = 0;

    ngx_str_set(&args[n], "AUTH");
    n++;

    if (user->len) {
        args[n++] = *user;
    }

    args[n++] = *password;

    return ngx_http_claude_relay_link_say(link, &link->first,
                                          ngx_http_claude_relay_greeted_auth,
                                          args, n);
}


static ngx_int_t
ngx_http_claude_relay_greet_master(ngx_http_claude_relay_link_t *link)
{
    u_char                               db[NGX_INT_T_LEN];
    u_char                               name[96], key[256];
    ngx_str_t                            args[5];
    ngx_uint_t                           n;
    ngx_http_claude_relay_redis_conf_t  *conf;

    conf = link->conf;

    if (conf->db) {
        ngx_str_set(&args[0], "SELECT");
        args[1].data = db;
        args[1].len = ngx_sprintf(db, "%ui", conf->db) - db;

        if (ngx_http_claude_relay_link_say(link, &link->first,
                                        ngx_http_claude_relay_greeted_select,
                                        args, 2)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&args[0], "CLIENT");
    ngx_str_set(&args[1], "SETNAME");
    args[2].data = name;
    args[2].len = ngx_snprintf(name, sizeof(name), "claude-relay:%V",
                               &conf->node)
                  - name;

    if (ngx_http_claude_relay_link_say(link, &link->first,
                                       ngx_http_claude_relay_greeted_name,
                                       args, 3)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&args[0], "ROLE");

    if (ngx_http_claude_relay_link_say(link, &link->first,
                                       ngx_http_claude_relay_greeted_role,
                                       args, 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    n = ngx_http_claude_relay_probe(link, args, key, sizeof(key));

    return ngx_http_claude_relay_link_say(link, &link->first,
                                          ngx_http_claude_relay_greeted_probe,
                                          args, n);
}


/* a write that harms nobody, where the link is to be written to */

ngx_uint_t
ngx_http_claude_relay_probe(ngx_http_claude_relay_link_t *link,
    ngx_str_t *args, u_char *buf, size_t size)
{
    if (!link->probes) {
        ngx_str_set(&args[0], "PING");
        return 1;
    }

    ngx_str_set(&args[0], "SET");
    args[1].data = buf;
    args[1].len = ngx_snprintf(buf, size, "%Vping:%V", &link->conf->prefix,
                               &link->conf->node)
                  - buf;
    ngx_str_set(&args[2], "1");
    ngx_str_set(&args[3], "EX");
    ngx_str_set(&args[4], "60");

    return 5;
}


static ngx_int_t
ngx_http_claude_relay_greet_sentinel(ngx_http_claude_relay_link_t *link)
{
    ngx_str_t                            args[3];
    ngx_http_claude_relay_redis_conf_t  *conf;

    conf = link->conf;

    if (ngx_http_claude_relay_greet_auth(link, &conf->sentinel_user,
                                         &conf->sentinel_password)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&args[0], "SENTINEL");
    ngx_str_set(&args[1], "GET-MASTER-ADDR-BY-NAME");
    args[2] = conf->sentinel;

    return ngx_http_claude_relay_link_say(link, &link->first,
                                          ngx_http_claude_relay_greeted_master,
                                          args, 3);
}


/* what a server repeats of AUTH's arguments is not shown */

static ngx_int_t
ngx_http_claude_relay_greeted_auth(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    ncr_redis_error_e  error;

    if (reply == NULL || reply->type == REDIS_REPLY_STATUS) {
        return NGX_OK;
    }

    error = ngx_http_claude_relay_reply_error(reply);

    ngx_http_claude_relay_link_failed(link,
                  (error == NCR_REDIS_OTHER) ? "AUTH is answered by an error"
                                             : ncr_redis_error_text(error));
    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_greeted_select(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    if (reply && reply->type != REDIS_REPLY_STATUS) {
        ngx_http_claude_relay_greet_failed(link, "SELECT", reply);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_greeted_name(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    return NGX_OK;
}


/* who may not ask for it finds out by writing */

static ngx_int_t
ngx_http_claude_relay_greeted_role(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    ncr_str_t  role;

    if (reply == NULL || (link->conf->cluster && !link->probes)
        || ngx_http_claude_relay_reply_error(reply) == NCR_REDIS_NOPERM)
    {
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        ngx_http_claude_relay_greet_failed(link, "ROLE", reply);
        return NGX_OK;
    }

    role.data = (u_char *) reply->element[0]->str;
    role.len = reply->element[0]->len;

    if (ncr_str_eq(&role, "master")) {
        return NGX_OK;
    }

    /* of a Cluster's nodes each one knows where the slot is */

    if (link->conf->cluster && ncr_str_eq(&role, "slave")) {
        return NGX_OK;
    }

    ngx_http_claude_relay_link_failed(link,
                                   ncr_str_eq(&role, "sentinel")
                                   ? "it is a Sentinel: set \"sentinel=\""
                                   : "it is a replica, not a master");
    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_greeted_probe(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    ngx_str_t          args[2];
    ncr_redis_error_e  error;

    if (reply == NULL) {
        return NGX_OK;
    }

    if (reply->type == REDIS_REPLY_STATUS) {

        ngx_http_claude_relay_link_is_ready(link);

        if (link->conf->cluster && link->probes
            && link->phase == NGX_HTTP_CLAUDE_RELAY_LINK_READY)
        {
            ngx_str_set(&args[0], "CLUSTER");
            ngx_str_set(&args[1], "SLOTS");

            (void) ngx_http_claude_relay_link_say(link, &link->waiting,
                                         ngx_http_claude_relay_greeted_slots,
                                         args, 2);
        }

        return NGX_OK;
    }

    error = ngx_http_claude_relay_reply_error(reply);

    if (error == NCR_REDIS_MOVED && link->conf->cluster
        && ngx_http_claude_relay_link_follow(link, reply) == NGX_OK)
    {
        ngx_http_claude_relay_link_close(link);
        ngx_add_timer(&link->timer, 1);
        return NGX_OK;
    }

    ngx_http_claude_relay_greet_failed(link, link->probes ? "SET" : "PING",
                                       reply);
    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_greeted_master(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    if (reply == NULL) {
        return NGX_OK;
    }

    if (reply->type == REDIS_REPLY_NIL
        || (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0))
    {
        ngx_http_claude_relay_link_failed(link,
                                       "it does not know the master's name");
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2
        || ngx_http_claude_relay_reply_place(reply->element[0],
                                             reply->element[1], &link->next,
                                             0)
           != NGX_OK)
    {
        ngx_http_claude_relay_greet_failed(link, "SENTINEL", reply);
        return NGX_OK;
    }

    ngx_http_claude_relay_link_close(link);

    link->named = 1;
    ngx_add_timer(&link->timer, 1);

    return NGX_OK;
}


/* [[from, to, [host, port, ...], ...], ...]; what is not so is passed over */

static ngx_int_t
ngx_http_claude_relay_greeted_slots(ngx_http_claude_relay_link_t *link,
    ngx_http_claude_relay_order_t *order, redisReply *reply)
{
    size_t       i, j;
    redisReply  *range;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_places == NULL) {

        ngx_http_claude_relay_places =
                             ngx_alloc(NGX_HTTP_CLAUDE_RELAY_LINK_PLACES
                                       * sizeof(ncr_redis_place_t),
                                       ngx_cycle->log);

        if (ngx_http_claude_relay_places == NULL) {
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_nplaces = 0;

    for (i = 0; i < reply->elements; i++) {

        range = reply->element[i];

        if (range->type != REDIS_REPLY_ARRAY) {
            continue;
        }

        for (j = 2; j < range->elements; j++) {
            ngx_http_claude_relay_link_place(link, range->element[j]);
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_link_place(ngx_http_claude_relay_link_t *link,
    redisReply *node)
{
    ngx_uint_t          i;
    ncr_redis_place_t  *place, *places;

    if (ngx_http_claude_relay_nplaces
        == NGX_HTTP_CLAUDE_RELAY_LINK_PLACES
        || node->type != REDIS_REPLY_ARRAY || node->elements < 2)
    {
        return;
    }

    places = ngx_http_claude_relay_places;
    place = &places[ngx_http_claude_relay_nplaces];

    if (ngx_http_claude_relay_reply_place(node->element[0], node->element[1],
                                          place, 1)
        != NGX_OK)
    {
        return;
    }

    if (place->host[0] == '\0') {
        (void) ngx_cpystrn((u_char *) place->host, (u_char *) link->here.host,
                           NCR_REDIS_HOST);
    }

    for (i = 0; i < ngx_http_claude_relay_nplaces; i++) {
        if (places[i].port == place->port
            && ngx_strcmp(places[i].host, place->host) == 0)
        {
            return;
        }
    }

    ngx_http_claude_relay_nplaces++;
}


void
ngx_http_claude_relay_places_free(void)
{
    ngx_http_claude_relay_nplaces = 0;

    if (ngx_http_claude_relay_places) {
        ngx_free(ngx_http_claude_relay_places);
        ngx_http_claude_relay_places = NULL;
    }
}


ngx_int_t
ngx_http_claude_relay_link_follow(ngx_http_claude_relay_link_t *link,
    redisReply *reply)
{
    ncr_str_t          text;
    ncr_redis_place_t  place;

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    if (ncr_redis_moved(&text, &place) != NCR_OK
        || link->hops == NGX_HTTP_CLAUDE_RELAY_LINK_REPEATS)
    {
        return NGX_DECLINED;
    }

    if (place.host[0] == '\0') {
        (void) ngx_cpystrn((u_char *) place.host, (u_char *) link->here.host,
                           NCR_REDIS_HOST);
    }

    link->hops++;
    link->next = place;
    link->named = 1;
    link->queues = 1;

    return NGX_OK;
}


static void
ngx_http_claude_relay_greet_failed(ngx_http_claude_relay_link_t *link,
    const char *what, redisReply *reply)
{
    char                why[128], shown[80];
    ncr_str_t           text;
    const char         *known;
    ncr_redis_error_e   error;

    error = ngx_http_claude_relay_reply_error(reply);
    known = ncr_redis_error_text(error);

    if (known) {
        ngx_http_claude_relay_link_failed(link, known);
        return;
    }

    shown[0] = '\0';

    if (reply->type == REDIS_REPLY_ERROR) {
        text.data = (u_char *) reply->str;
        text.len = reply->len;

        (void) ncr_redis_shown(shown, sizeof(shown), &text,
                               ncr(&link->conf->password));
    }

    (void) ngx_snprintf((u_char *) why, sizeof(why) - 1,
                        "%s is answered by %s%s%Z", what,
                        shown[0] ? "" : "something else", shown);
    why[sizeof(why) - 1] = '\0';

    ngx_http_claude_relay_link_failed(link, why);
}


/* a port is a text of Sentinels, a number of Clusters */

static ngx_int_t
ngx_http_claude_relay_reply_place(redisReply *host, redisReply *port,
    ncr_redis_place_t *place, ngx_uint_t may)
{
    u_char     buf[NGX_INT64_LEN];
    ncr_str_t  name, number;

    if (port->type == REDIS_REPLY_INTEGER) {
        number.data = buf;
        number.len = ngx_sprintf(buf, "%L", (int64_t) port->integer) - buf;

    } else if (port->type == REDIS_REPLY_STRING) {
        number.data = (u_char *) port->str;
        number.len = port->len;

    } else {
        return NGX_ERROR;
    }

    if (host->type == REDIS_REPLY_STRING) {
        name.data = (u_char *) host->str;
        name.len = host->len;

    } else if (host->type == REDIS_REPLY_NIL && may) {
        ncr_str_null(&name);

    } else {
        return NGX_ERROR;
    }

    return (ncr_redis_place(place, &name, &number, may) == NCR_OK)
           ? NGX_OK : NGX_ERROR;
}


ncr_redis_error_e
ngx_http_claude_relay_reply_error(redisReply *reply)
{
    ncr_str_t  text;

    if (reply->type != REDIS_REPLY_ERROR) {
        return NCR_REDIS_OTHER;
    }

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    return ncr_redis_error(&text);
}
