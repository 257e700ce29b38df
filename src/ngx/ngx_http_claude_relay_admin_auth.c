
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who is it?  A token, else whom nginx vouches for, else a cookie.  The store
 * knows; only then the API is asked, and only then a body is read.
 *
 * A browser sends cookies (and what nginx vouches for) with requests that
 * another site has made it send.  Cookies are SameSite, requests from other
 * origins are refused, and what changes something must show a token that only
 * pages of this origin can have read.
 */


#include "ngx_http_claude_relay_admin.h"
#include "ncr_base64.h"


/* text of an address, and of a cookie's attributes */
#define NGX_HTTP_CLAUDE_RELAY_COOKIE_MORE  128


typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_pool_t                        *pool;
    ngx_http_request_t                *request; /* NULL: it is gone */
    ngx_http_cleanup_t                *cleanup;
    ngx_http_claude_relay_admin_t     *admin;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_str_t                          path;    /* of the request */
    ngx_str_t                          user;    /* nginx vouches for it */
    ncr_role_e                         role;    /* as what */
    u_char                             digest[NCR_SHA256_LEN];
    ncr_msec_t                         now;
    ncr_store_session_t                session;
    ncr_store_person_t                 person;
    unsigned                           cookie:1;
    unsigned                           expired:1;   /* a cookie is no good */
} ngx_http_claude_relay_entry_t;


static void ngx_http_claude_relay_shown_header(ngx_http_request_t *r,
    ngx_http_claude_relay_shown_t *shown, ngx_table_elt_t *h);
static void ngx_http_claude_relay_shown_cookie(
    ngx_http_claude_relay_shown_t *shown, ngx_str_t *value);
static ngx_uint_t ngx_http_claude_relay_shown_origin(ngx_http_request_t *r,
    ngx_str_t *origin);
static ngx_int_t ngx_http_claude_relay_enter_open(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *path);
static ngx_int_t ngx_http_claude_relay_enter_nobody(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_enter_foreign(ngx_http_request_t *r);
static ngx_http_claude_relay_entry_t *ngx_http_claude_relay_entry_create(
    ngx_http_request_t *r, ngx_http_claude_relay_admin_t *admin,
    ngx_str_t *path);
static void ngx_http_claude_relay_entry_destroy(
    ngx_http_claude_relay_entry_t *entry);
static void ngx_http_claude_relay_entry_left(void *data);
static void ngx_http_claude_relay_entry_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_entry_done(
    ngx_http_claude_relay_job_t *job);
static ngx_int_t ngx_http_claude_relay_entry_go(
    ngx_http_claude_relay_entry_t *entry);
static ngx_uint_t ngx_http_claude_relay_entry_csrf(
    ngx_http_claude_relay_entry_t *entry,
    ngx_http_claude_relay_caller_t *caller);


void
ngx_http_claude_relay_admin_shown(ngx_http_request_t *r,
    ngx_http_claude_relay_shown_t *shown)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    ngx_memzero(shown, sizeof(ngx_http_claude_relay_shown_t));

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_claude_relay_shown_header(r, shown, &h[i]);
        }
    }
}


/* of two of a kind the first counts; each origin must be ours */

static void
ngx_http_claude_relay_shown_header(ngx_http_request_t *r,
    ngx_http_claude_relay_shown_t *shown, ngx_table_elt_t *h)
{
    if (ncr_str_caseeq(ncr(&h->key), "authorization")) {

        if (h->value.len > 7
            && ngx_strncasecmp(h->value.data, (u_char *) "bearer ", 7) == 0
            && shown->bearer.data == NULL)
        {
            shown->bearer.data = h->value.data + 7;
            shown->bearer.len = h->value.len - 7;
        }

    } else if (ncr_str_caseeq(ncr(&h->key), "cookie")) {
        ngx_http_claude_relay_shown_cookie(shown, &h->value);

    } else if (ncr_str_caseeq(ncr(&h->key), "x-csrf-token")) {

        if (shown->csrf.data == NULL) {
            shown->csrf = h->value;
        }

    } else if (ncr_str_caseeq(ncr(&h->key), "origin")) {

        if (!ngx_http_claude_relay_shown_origin(r, &h->value)) {
            shown->foreign = 1;
        }

    } else if (ncr_str_caseeq(ncr(&h->key), "sec-fetch-site")) {

        if (!ncr_str_eq(ncr(&h->value), "same-origin")
            && !ncr_str_eq(ncr(&h->value), "none"))
        {
            shown->foreign = 1;
        }
    }
}


static void
ngx_http_claude_relay_shown_cookie(ngx_http_claude_relay_shown_t *shown,
    ngx_str_t *value)
{
    u_char     *p, *last, *end;
    ngx_str_t   s;

    last = value->data + value->len;

    for (p = value->data; p < last; p = end + 1) {

        while (p < last && *p == ' ') {
            p++;
        }

        end = ngx_strlchr(p, last, ';');
        end = end ? end : last;

        s.data = p;
        s.len = end - p;

        if (shown->cookie.data == NULL
            && ncr_str_prefix(ncr(&s), NGX_HTTP_CLAUDE_RELAY_COOKIE "="))
        {
            shown->cookie.data = s.data + sizeof(NGX_HTTP_CLAUDE_RELAY_COOKIE);
            shown->cookie.len = s.len - sizeof(NGX_HTTP_CLAUDE_RELAY_COOKIE);
        }
    }
}


/* a scheme and what stands in "Host", which the default port is missing in */

static ngx_uint_t
ngx_http_claude_relay_shown_origin(ngx_http_request_t *r, ngx_str_t *origin)
{
    ngx_str_t  s, *host;

    s = *origin;

    if (ncr_str_prefix(ncr(&s), "https://")) {
        s.data += 8;
        s.len -= 8;

    } else if (ncr_str_prefix(ncr(&s), "http://")) {
        s.data += 7;
        s.len -= 7;

    } else {
        return 0;
    }

    host = r->headers_in.host ? &r->headers_in.host->value
                              : &r->headers_in.server;

    return s.len == host->len
           && ngx_strncasecmp(s.data, host->data, s.len) == 0;
}


void
ngx_http_claude_relay_admin_digest(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *text, u_char *digest)
{
    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, text->data, text->len);
    ncr_sha256_final(&rmcf->sha, digest);
}


ngx_int_t
ngx_http_claude_relay_admin_address(ngx_http_request_t *r, ngx_str_t *address)
{
    address->data = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (address->data == NULL) {
        return NGX_ERROR;
    }

    address->len = ngx_sock_ntop(r->connection->sockaddr,
                                 r->connection->socklen, address->data,
                                 NGX_SOCKADDR_STRLEN, 0);

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_admin_cookie(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *value, time_t age)
{
    size_t      len;
    ngx_str_t   cookie;
    ngx_uint_t  secure;

    secure = (admin->secure == NGX_HTTP_CLAUDE_RELAY_SECURE_ON);

#if (NGX_HTTP_SSL)
    if (admin->secure == NGX_HTTP_CLAUDE_RELAY_SECURE_AUTO
        && r->connection->ssl)
    {
        secure = 1;
    }
#endif

    len = sizeof(NGX_HTTP_CLAUDE_RELAY_COOKIE) + value->len
          + admin->prefix.len + NGX_HTTP_CLAUDE_RELAY_COOKIE_MORE;

    cookie.data = ngx_pnalloc(r->pool, len);
    if (cookie.data == NULL) {
        return NGX_ERROR;
    }

    cookie.len = ngx_snprintf(cookie.data, len,
                              NGX_HTTP_CLAUDE_RELAY_COOKIE "=%V; Path=%V; "
                              "Max-Age=%T; HttpOnly; SameSite=Strict%s",
                              value, &admin->prefix, age,
                              secure ? "; Secure" : "")
                 - cookie.data;

    return ngx_http_claude_relay_add_header(r, "Set-Cookie", &cookie);
}


ngx_int_t
ngx_http_claude_relay_admin_enter(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *path)
{
    ngx_int_t                          rc;
    ngx_str_t                          name, item, user;
    ncr_role_e                         role;
    ngx_uint_t                         allow;
    ngx_http_claude_relay_way_t       *way;
    ngx_http_claude_relay_entry_t     *entry;
    ngx_http_claude_relay_shown_t      shown;
    ngx_http_claude_relay_main_conf_t *rmcf;

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);

    ngx_http_claude_relay_admin_shown(r, &shown);

    way = ngx_http_claude_relay_way(r, path, &name, &item, &allow);

    if (way && way->role == NCR_ROLE_NONE) {

        /* a browser comes back from GitHub, and knows what it began */

        return (shown.foreign && way->method != NGX_HTTP_GET)
               ? ngx_http_claude_relay_enter_foreign(r)
               : ngx_http_claude_relay_enter_open(r, admin, path);
    }

    ngx_str_null(&user);
    role = NCR_ROLE_NONE;
    rc = NGX_DECLINED;

    if (shown.bearer.data == NULL && admin->user) {
        rc = admin->user(r, &user, &role);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (shown.bearer.data == NULL && rc != NGX_OK && shown.cookie.len == 0) {
        return ngx_http_claude_relay_enter_nobody(r);
    }

    if (shown.bearer.data == NULL && shown.foreign) {
        return ngx_http_claude_relay_enter_foreign(r);
    }

    entry = ngx_http_claude_relay_entry_create(r, admin, path);
    if (entry == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (shown.bearer.data) {
        ngx_http_claude_relay_admin_digest(rmcf, &shown.bearer, entry->digest);

    } else if (rc == NGX_OK) {

        if (ngx_http_claude_relay_call_copy(entry->pool, &entry->user, &user)
            != NGX_OK)
        {
            ngx_http_claude_relay_entry_destroy(entry);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        entry->role = role;

    } else {
        ngx_http_claude_relay_admin_digest(rmcf, &shown.cookie, entry->digest);
        entry->cookie = 1;
    }

    if (ngx_http_claude_relay_store_post(&entry->job) != NGX_OK) {
        ngx_http_claude_relay_entry_destroy(entry);
        return ngx_http_claude_relay_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                            NULL, "this worker is leaving",
                                            -1);
    }

    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_claude_relay_enter_open(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *path)
{
    ngx_http_claude_relay_caller_t  caller;

    ngx_memzero(&caller, sizeof(ngx_http_claude_relay_caller_t));

    ngx_str_set(&caller.who, "nobody");
    caller.role = NCR_ROLE_NONE;
    caller.door = admin;

    if (ngx_http_claude_relay_admin_address(r, &caller.address) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_claude_relay_api(r, path, &caller);
}


static ngx_int_t
ngx_http_claude_relay_enter_nobody(ngx_http_request_t *r)
{
    return ngx_http_claude_relay_refuse(r, NGX_HTTP_UNAUTHORIZED, NULL,
                                        "this takes a login or a token", -1);
}


static ngx_int_t
ngx_http_claude_relay_enter_foreign(ngx_http_request_t *r)
{
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "admin: a request of another origin was refused");

    return ngx_http_claude_relay_refuse(r, NGX_HTTP_FORBIDDEN, "cross_origin",
                                        "this is not for pages of another "
                                        "origin", -1);
}


static ngx_http_claude_relay_entry_t *
ngx_http_claude_relay_entry_create(ngx_http_request_t *r,
    ngx_http_claude_relay_admin_t *admin, ngx_str_t *path)
{
    ngx_pool_t                     *pool;
    ngx_http_claude_relay_entry_t  *entry;

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    entry = ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_entry_t));

    if (entry == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    entry->pool = pool;
    entry->request = r;
    entry->admin = admin;
    entry->path = *path;
    entry->now = ngx_http_claude_relay_now();
    entry->rmcf = ngx_http_get_module_main_conf(r,
                                                ngx_http_claude_relay_module);

    entry->job.run = ngx_http_claude_relay_entry_run;
    entry->job.done = ngx_http_claude_relay_entry_done;
    entry->job.data = entry;

    entry->cleanup = ngx_http_cleanup_add(r, 0);

    if (entry->cleanup == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    entry->cleanup->handler = ngx_http_claude_relay_entry_left;
    entry->cleanup->data = entry;

    return entry;
}


static void
ngx_http_claude_relay_entry_destroy(ngx_http_claude_relay_entry_t *entry)
{
    if (entry->cleanup) {
        entry->cleanup->handler = NULL;
    }

    ngx_explicit_memzero(&entry->session, sizeof(ncr_store_session_t));
    ngx_explicit_memzero(&entry->person, sizeof(ncr_store_person_t));

    ngx_destroy_pool(entry->pool);
}


static void
ngx_http_claude_relay_entry_left(void *data)
{
    ngx_http_claude_relay_entry_t *entry = data;

    entry->cleanup = NULL;
    entry->request = NULL;
}


static void
ngx_http_claude_relay_entry_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_entry_t *entry = job->data;

    ncr_int_t  rc;

    if (entry->user.data == NULL) {
        rc = ncr_store_session_use(store, entry->digest, &entry->session,
                                   &entry->person, entry->now);

    } else if (entry->admin->find) {
        rc = entry->admin->find(store, (char *) entry->user.data,
                                entry->role, &entry->person, entry->now);

    } else {
        rc = NCR_DECLINED;
    }

    if (rc == NCR_OK && !entry->person.enabled) {
        rc = NCR_DECLINED;
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_entry_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_entry_t *entry = job->data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = entry->request;

    if (r == NULL) {
        ngx_http_claude_relay_entry_destroy(entry);
        return;
    }

    c = r->connection;

    rc = ngx_http_claude_relay_entry_go(entry);

    ngx_http_claude_relay_entry_destroy(entry);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* returns what a content handler returns */

static ngx_int_t
ngx_http_claude_relay_entry_go(ngx_http_claude_relay_entry_t *entry)
{
    ngx_str_t                        none;
    ngx_http_request_t              *r;
    ngx_http_claude_relay_caller_t   caller;

    r = entry->request;

    if (entry->job.rc == NCR_DECLINED) {

        ngx_str_set(&none, "");

        if (entry->cookie
            && ngx_http_claude_relay_admin_cookie(r, entry->admin, &none, 0)
               != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (entry->user.data) {

            /* another login would be the same one */

            return ngx_http_claude_relay_refuse(r, NGX_HTTP_FORBIDDEN, NULL,
                                                "who has logged in is nobody "
                                                "here", -1);
        }

        return ngx_http_claude_relay_enter_nobody(r);
    }

    if (entry->job.rc != NCR_OK) {
        return ngx_http_claude_relay_refuse(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                            NULL, "the store cannot be asked",
                                            -1);
    }

    ngx_memzero(&caller, sizeof(ngx_http_claude_relay_caller_t));

    caller.person.data = (u_char *) entry->person.name;
    caller.person.len = ngx_strlen(entry->person.name);
    caller.who = caller.person;
    caller.role = entry->person.role;
    caller.door = entry->admin;
    caller.must_change = entry->person.must_change;

    if (entry->user.data == NULL) {
        caller.role = ngx_min(caller.role, entry->session.role);
        caller.expires = entry->session.expires;
        ngx_memcpy(caller.digest, entry->digest, NCR_SHA256_LEN);

        /* a token shown as a cookie would be one that nobody asks more of */

        if (entry->cookie != (entry->session.name[0] == '\0')) {
            return ngx_http_claude_relay_enter_nobody(r);
        }
    }

    if (ngx_http_claude_relay_admin_address(r, &caller.address) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!ngx_http_claude_relay_entry_csrf(entry, &caller)) {

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "admin: a request of \"%s\" without its "
                      "\"X-CSRF-Token\" was refused", entry->person.name);

        return ngx_http_claude_relay_refuse(r, NGX_HTTP_FORBIDDEN, "csrf",
                                            "\"X-CSRF-Token\" must be the "
                                            "\"csrf\" of the session", -1);
    }

    return ngx_http_claude_relay_api(r, &entry->path, &caller);
}


/* is it shown, if it must be? */

static ngx_uint_t
ngx_http_claude_relay_entry_csrf(ngx_http_claude_relay_entry_t *entry,
    ngx_http_claude_relay_caller_t *caller)
{
    ncr_str_t                       secret, parts[2];
    ncr_char_t                      mac[NCR_SHA256_LEN];
    ngx_http_claude_relay_shown_t   shown;

    if (entry->user.data) {

        /* there is no session to keep one in */

        secret.data = entry->rmcf->zone->secret;
        secret.len = sizeof(entry->rmcf->zone->secret);

        parts[0].data = (u_char *) "csrf\n";
        parts[0].len = 5;
        parts[1].data = (u_char *) entry->person.name;
        parts[1].len = ngx_strlen(entry->person.name);

        ncr_hmac_sha256(&entry->rmcf->sha, &secret, parts, 2, mac);
        ncr_hash_hex(caller->csrf, mac, (NCR_STORE_CSRF - 1) / 2);

    } else if (entry->cookie) {
        caller->session = 1;
        (void) ngx_cpystrn(caller->csrf, (u_char *) entry->session.csrf,
                           NCR_STORE_CSRF);

    } else {
        return 1;
    }

    if (entry->request->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        return 1;
    }

    ngx_http_claude_relay_admin_shown(entry->request, &shown);

    return shown.csrf.len == NCR_STORE_CSRF - 1
           && ncr_hash_equal(shown.csrf.data, caller->csrf,
                             NCR_STORE_CSRF - 1);
}
