
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A login by way of GitHub (RFC 6749, 4.1): a browser is sent there and comes
 * back with a code, which is exchanged for a token, which tells who it is;
 * then the token is forgotten.
 *
 * What comes back must have been begun by the same browser: the state is kept
 * in the store, for one use, with the hash of a cookie that only that browser
 * has.  It comes from another site, so the cookie is "SameSite=Lax".
 */


#include "ngx_http_claude_relay_github.h"
#include "ncr_hash.h"
#include "ncr_oauth_text.h"
#include "ncr_seal.h"
#include "ncr_uri.h"


#define NGX_HTTP_CLAUDE_RELAY_GITHUB_COOKIE   "claude_relay_github"

/* how long somebody may take there, seconds */
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_TIME     600

/* of each question, ms */
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_TIMEOUT  15000

#define NGX_HTTP_CLAUDE_RELAY_GITHUB_CODE     512
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_TOKEN    1024

/*
 * Each login that begins is written, by anybody: this many in so many ms, in
 * each worker, as tokens wait for the same disk.
 */
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_BEGINS   30
#define NGX_HTTP_CLAUDE_RELAY_GITHUB_WINDOW   10000


static void ngx_http_claude_relay_api_github(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_github_callback(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_visitor_t *ngx_http_claude_relay_visitor(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_visitor_free(void *data);
static ngx_uint_t ngx_http_claude_relay_github_crowded(void);
static void ngx_http_claude_relay_github_digest(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v,
    ngx_str_t *nonce);
static void ngx_http_claude_relay_github_begin_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_github_begun(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_github_cookie(
    ngx_http_claude_relay_call_t *call, ngx_str_t *value, time_t age);
static ngx_uint_t ngx_http_claude_relay_github_shown(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_uint_t ngx_http_claude_relay_github_in(ngx_str_t *header,
    ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_github_args(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_visitor_t *v);
static ngx_int_t ngx_http_claude_relay_github_arg(
    ngx_http_claude_relay_call_t *call, const char *name, size_t max,
    ngx_str_t *value);
static void ngx_http_claude_relay_github_take_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_github_taken(
    ngx_http_claude_relay_call_t *call);
static ngx_http_claude_relay_fetch_t *ngx_http_claude_relay_github_ask(
    ngx_http_claude_relay_call_t *call, ngx_str_t *base, const char *method,
    const char *path, ngx_str_t *name, ngx_str_t *body);
static void ngx_http_claude_relay_github_send(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_fetch_t *f,
    ngx_http_claude_relay_fetch_pt handler);
static cJSON *ngx_http_claude_relay_github_answer(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_github_trouble(
    ngx_http_claude_relay_call_t *call, const char *what);
static void ngx_http_claude_relay_github_exchanged(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_github_told(
    ngx_http_claude_relay_fetch_t *f);
static ngx_int_t ngx_http_claude_relay_github_who(
    ngx_http_claude_relay_visitor_t *v, cJSON *json);
static void ngx_http_claude_relay_github_may(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_github_member(
    ngx_http_claude_relay_fetch_t *f);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_github_ways[] = {

    { NGX_HTTP_GET, "/v1/auth/github", ngx_http_claude_relay_api_github,
      NCR_ROLE_NONE, 0, 1, 0, 1 },

    { NGX_HTTP_GET, "/v1/auth/github/callback",
      ngx_http_claude_relay_api_github_callback,
      NCR_ROLE_NONE, 0, 1, 0, 1 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static ngx_http_claude_relay_visitor_t *
ngx_http_claude_relay_visitor(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_claude_relay_visitor_t  *v;

    if (call->rmcf->github == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                         "there is no "
                                         "\"claude_relay_admin_github\"");
        return NULL;
    }

    if (call->caller.door == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "nobody needs to log in here");
        return NULL;
    }

    v = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_visitor_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (v == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_visitor_free;
    cln->data = v;

    v->conf = call->rmcf->github;

    call->data = v;

    return v;
}


static void
ngx_http_claude_relay_visitor_free(void *data)
{
    ngx_http_claude_relay_visitor_t *v = data;

    if (v->token) {
        ngx_explicit_memzero(v->token, v->token_len);
    }

    ngx_explicit_memzero(v, sizeof(ngx_http_claude_relay_visitor_t));
}


static void
ngx_http_claude_relay_api_github(ngx_http_claude_relay_call_t *call)
{
    u_char                            bytes[16];
    ngx_str_t                         nonce;
    ngx_http_claude_relay_visitor_t  *v;

    v = ngx_http_claude_relay_visitor(call);

    if (v == NULL || ngx_http_claude_relay_person_no_args(call) != NGX_OK) {
        return;
    }

    if (ngx_http_claude_relay_github_crowded()) {

        if (call->request
            && ngx_http_claude_relay_retry_after(call->request,
                                 NGX_HTTP_CLAUDE_RELAY_GITHUB_WINDOW / 1000)
               != NGX_OK)
        {
            ngx_http_claude_relay_call_memory(call);
            return;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_TOO_MANY_REQUESTS,
                                         NULL, "too many logins at the same "
                                         "time");
        return;
    }

    if (ncr_seal_random(bytes, sizeof(bytes)) != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "no random numbers");
        return;
    }

    ncr_hash_hex(v->nonce, bytes, sizeof(bytes));

    nonce.data = v->nonce;
    nonce.len = 2 * sizeof(bytes);

    ngx_http_claude_relay_github_digest(call, v, &nonce);

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_github_begin_run,
                                    ngx_http_claude_relay_github_begun);
}


static ngx_uint_t
ngx_http_claude_relay_github_crowded(void)
{
    static ngx_msec_t  since;
    static ngx_uint_t  n;

    if (n == 0
        || ngx_current_msec - since >= NGX_HTTP_CLAUDE_RELAY_GITHUB_WINDOW)
    {
        since = ngx_current_msec;
        n = 0;
    }

    if (n == NGX_HTTP_CLAUDE_RELAY_GITHUB_BEGINS) {
        return 1;
    }

    n++;

    return 0;
}


static void
ngx_http_claude_relay_github_digest(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_visitor_t *v, ngx_str_t *nonce)
{
    u_char  digest[NCR_SHA256_LEN];

    ngx_http_claude_relay_admin_digest(call->rmcf, nonce, digest);

    ncr_hash_hex(v->digest, digest, sizeof(digest));
    v->digest[2 * NCR_SHA256_LEN] = '\0';
}


static void
ngx_http_claude_relay_github_begin_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    u_char                            data[128];
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    (void) ngx_sprintf(data, "{\"kind\":\"github\",\"cookie\":\"%s\"}%Z",
                       v->digest);

    ngx_http_claude_relay_job_rc(store, job,
               ncr_store_login_put(store, v->state, (char *) data,
                                   call->now
                                   + NGX_HTTP_CLAUDE_RELAY_GITHUB_TIME * 1000,
                                   call->now));
}


/* no "redirect_uri": it is what was registered with the client id, and not
 * what some "Host" says */

static void
ngx_http_claude_relay_github_begun(ngx_http_claude_relay_call_t *call)
{
    u_char                           *p;
    size_t                            size;
    ncr_out_t                         out;
    ngx_str_t                         url, nonce;
    ngx_http_claude_relay_github_t   *gh;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;
    gh = v->conf;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    size = 256 + gh->url.len + 3 * gh->client_id.len;
    p = ngx_pnalloc(call->request ? call->request->pool : call->pool, size);

    if (p == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ncr_out_init(&out, p, size);
    ncr_out_bytes(&out, gh->url.data, gh->url.len);
    ncr_out_text(&out, "/login/oauth/authorize?client_id=");
    ncr_uri_escape(&out, ncr(&gh->client_id));
    ncr_out_text(&out, gh->orgs.nelts ? "&scope=read%3Aorg" : "&scope=");
    ncr_out_text(&out, "&allow_signup=false&state=");
    ncr_out_text(&out, v->state);

    url.data = p;
    url.len = out.last - p;

    nonce.data = v->nonce;
    nonce.len = sizeof(v->nonce) - 1;

    if (ngx_http_claude_relay_github_cookie(call, &nonce,
                                          NGX_HTTP_CLAUDE_RELAY_GITHUB_TIME)
        != NGX_OK
        || (call->request
            && ngx_http_claude_relay_add_header(call->request, "Location",
                                                &url)
               != NGX_OK))
    {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_MOVED_TEMPORARILY, NULL,
                                      0);
}


static ngx_int_t
ngx_http_claude_relay_github_cookie(ngx_http_claude_relay_call_t *call,
    ngx_str_t *value, time_t age)
{
    size_t                          len;
    ngx_str_t                       cookie;
    ngx_uint_t                      secure;
    ngx_http_request_t             *r;
    ngx_http_claude_relay_admin_t  *admin;

    r = call->request;
    admin = call->caller.door;

    if (r == NULL) {
        return NGX_OK;
    }

    secure = (admin->secure == NGX_HTTP_CLAUDE_RELAY_SECURE_ON);

#if (NGX_HTTP_SSL)
    if (admin->secure == NGX_HTTP_CLAUDE_RELAY_SECURE_AUTO
        && r->connection->ssl)
    {
        secure = 1;
    }
#endif

    len = 256 + value->len + admin->prefix.len;

    cookie.data = ngx_pnalloc(r->pool, len);
    if (cookie.data == NULL) {
        return NGX_ERROR;
    }

    cookie.len = ngx_snprintf(cookie.data, len,
                              NGX_HTTP_CLAUDE_RELAY_GITHUB_COOKIE "=%V; "
                              "Path=%V; Max-Age=%T; HttpOnly; SameSite=Lax%s",
                              value, &admin->prefix, age,
                              secure ? "; Secure" : "")
                 - cookie.data;

    return ngx_http_claude_relay_add_header(r, "Set-Cookie", &cookie);
}


static ngx_uint_t
ngx_http_claude_relay_github_shown(ngx_http_request_t *r, ngx_str_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (r == NULL) {
        return 0;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (ncr_str_caseeq(ncr(&h[i].key), "cookie")
                && ngx_http_claude_relay_github_in(&h[i].value, value))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_claude_relay_github_in(ngx_str_t *header, ngx_str_t *value)
{
    u_char     *p, *last, *end;
    ngx_str_t   s;

    last = header->data + header->len;

    for (p = header->data; p < last; p = end + 1) {

        while (p < last && *p == ' ') {
            p++;
        }

        end = ngx_strlchr(p, last, ';');
        end = end ? end : last;

        s.data = p;
        s.len = end - p;

        if (ncr_str_prefix(ncr(&s), NGX_HTTP_CLAUDE_RELAY_GITHUB_COOKIE "=")) {
            value->data = s.data + sizeof(NGX_HTTP_CLAUDE_RELAY_GITHUB_COOKIE);
            value->len = s.len - sizeof(NGX_HTTP_CLAUDE_RELAY_GITHUB_COOKIE);
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_api_github_callback(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                         nonce, none;
    ngx_http_claude_relay_visitor_t  *v;

    v = ngx_http_claude_relay_visitor(call);

    if (v == NULL || ngx_http_claude_relay_github_args(call, v) != NGX_OK) {
        return;
    }

    if (!ngx_http_claude_relay_github_shown(call->request, &nonce)
        || nonce.len != sizeof(v->nonce) - 1)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "this login was not begun by this "
                                         "browser, or too long ago");
        return;
    }

    ngx_http_claude_relay_github_digest(call, v, &nonce);

    /* it is good for one way back, whatever becomes of it */

    ngx_str_set(&none, "");

    if (ngx_http_claude_relay_github_cookie(call, &none, 0) != NGX_OK) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ngx_http_claude_relay_call_post(call,
                                    ngx_http_claude_relay_github_take_run,
                                    ngx_http_claude_relay_github_taken);
}


/* what else may be there is GitHub's, and new things may come */

static ngx_int_t
ngx_http_claude_relay_github_args(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_visitor_t *v)
{
    ngx_str_t  state, error;

    if (ngx_http_claude_relay_github_arg(call, "error", 64, &error) == NGX_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                         "GitHub says: %V", &error);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_github_arg(call, "code",
                                         NGX_HTTP_CLAUDE_RELAY_GITHUB_CODE,
                                         &v->code)
        != NGX_OK
        || ngx_http_claude_relay_github_arg(call, "state",
                                            NCR_STORE_LOGIN - 1, &state)
           != NGX_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"code\" and \"state\" must be in "
                                         "the query");
        return NGX_ERROR;
    }

    ngx_memcpy(v->state, state.data, state.len);
    v->state[state.len] = '\0';

    return NGX_OK;
}


/* visible ASCII */

static ngx_int_t
ngx_http_claude_relay_github_arg(ngx_http_claude_relay_call_t *call,
    const char *name, size_t max, ngx_str_t *value)
{
    u_char     *buf;
    ncr_str_t   text;

    if (ncr_uri_arg(ncr(&call->args), name, &text) != NCR_OK) {
        return NGX_DECLINED;
    }

    buf = ngx_pnalloc(call->pool, text.len + 1);

    if (buf == NULL
        || ncr_uri_unescape(&text, buf) != NCR_OK
        || text.len > max
        || !ncr_oauth_visible(&text))
    {
        return NGX_ERROR;
    }

    *value = ngx_http_claude_relay_str(&text);

    return NGX_OK;
}


static void
ngx_http_claude_relay_github_take_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    char                             *data;
    cJSON                            *json, *kind, *cookie;
    ncr_int_t                         rc;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    /* logins of accounts are there, too: only one of this kind is taken */

    rc = ncr_store_login_keep(store, v->state, &data, call->now);

    if (rc == NCR_OK) {
        json = cJSON_Parse(data);

        kind = cJSON_GetObjectItemCaseSensitive(json, "kind");
        cookie = cJSON_GetObjectItemCaseSensitive(json, "cookie");

        if (!cJSON_IsString(kind)
            || ngx_strcmp(kind->valuestring, "github") != 0
            || !cJSON_IsString(cookie)
            || ngx_strlen(cookie->valuestring) != sizeof(v->digest) - 1
            || !ncr_hash_equal(cookie->valuestring, v->digest,
                               sizeof(v->digest) - 1))
        {
            rc = NCR_DECLINED;
        }

        cJSON_Delete(json);
        ncr_store_login_free(data);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_login_take(store, v->state, &data, call->now);

        if (rc == NCR_OK) {
            ncr_store_login_free(data);
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static void
ngx_http_claude_relay_github_taken(ngx_http_claude_relay_call_t *call)
{
    size_t                            size;
    ncr_out_t                         out;
    ngx_str_t                         body, none;
    ngx_http_claude_relay_fetch_t    *f;
    ngx_http_claude_relay_github_t   *gh;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;
    gh = v->conf;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "this login was not begun by this "
                                         "browser, or too long ago, or has "
                                         "come to its end");
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_str_null(&none);

    size = 64 + 3 * (gh->client_id.len + gh->secret.len + v->code.len);

    body.data = ngx_pnalloc(call->pool, size);

    if (body.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    ncr_out_init(&out, body.data, size);
    ncr_out_text(&out, "client_id=");
    ncr_uri_escape(&out, ncr(&gh->client_id));
    ncr_out_text(&out, "&client_secret=");
    ncr_uri_escape(&out, ncr(&gh->secret));
    ncr_out_text(&out, "&code=");
    ncr_uri_escape(&out, ncr(&v->code));

    body.len = out.last - body.data;

    f = ngx_http_claude_relay_github_ask(call, &gh->url, "POST",
                                         "/login/oauth/access_token", &none,
                                         &body);

    ngx_explicit_memzero(body.data, body.len);

    ngx_http_claude_relay_github_send(call, f,
                                      ngx_http_claude_relay_github_exchanged);
}


/*
 * A question: its path is base's, path, and a name; with the token, once there
 * is one.  Its target lives as long as it does.
 */

static ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_github_ask(ngx_http_claude_relay_call_t *call,
    ngx_str_t *base, const char *method, const char *path, ngx_str_t *name,
    ngx_str_t *body)
{
    u_char                           *p;
    ncr_url_t                         url;
    ngx_str_t                         prefix, warning;
    ngx_http_claude_relay_fetch_t    *f;
    ngx_http_claude_relay_target_t   *t;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);
    if (f == NULL) {
        return NULL;
    }

    call->fetch = f;

    if (ngx_http_claude_relay_url(base, &url, &prefix) != NULL) {
        return NULL;
    }

    if (prefix.len == 1) {
        prefix.len = 0;
    }

    t = ngx_pcalloc(f->pool, sizeof(ngx_http_claude_relay_target_t));

    f->body.len = body->len;
    f->body.data = ngx_pnalloc(f->pool, body->len + 1);
    f->head.data = ngx_pnalloc(f->pool, 512 + prefix.len + ngx_strlen(path)
                                        + name->len + url.host.len
                                        + v->token_len);

    if (t == NULL || f->body.data == NULL || f->head.data == NULL
        || ngx_http_claude_relay_target_make(f->pool, t, &url) != NGX_OK
        || ngx_http_claude_relay_target_way(call->rmcf, f->pool, t, &url,
                                            call->rmcf->proxy, 0, &warning)
           != NGX_OK)
    {
        return NULL;
    }

    ngx_str_set(&t->name, "github");

    if (body->len) {
        ngx_memcpy(f->body.data, body->data, body->len);
    }

    p = ngx_sprintf(f->head.data, "%s %V%s%V HTTP/1.1" CRLF "Host: %V",
                    method, &prefix, path, name, (ngx_str_t *) &url.host);

    if (!url.default_port) {
        p = ngx_sprintf(p, ":%ui", url.port);
    }

    p = ngx_sprintf(p, CRLF "Accept: application/json" CRLF
                    "Connection: close" CRLF
                    "User-Agent: claude-relay/"
                    NGX_HTTP_CLAUDE_RELAY_VERSION CRLF);

    if (body->len) {
        p = ngx_sprintf(p, "Content-Type: application/x-www-form-urlencoded"
                        CRLF "Content-Length: %uz" CRLF, body->len);
    }

    if (v->token_len) {
        p = ngx_sprintf(p, "Authorization: Bearer %*s" CRLF, v->token_len,
                        v->token);
    }

    f->head.len = p - f->head.data;

    f->rmcf = call->rmcf;
    f->target = t;
    f->resolver = ngx_http_claude_relay_resolver();
    f->timeout = NGX_HTTP_CLAUDE_RELAY_GITHUB_TIMEOUT;
    f->max_body = NGX_HTTP_CLAUDE_RELAY_FETCH_BODY;
    f->data = call;

    return f;
}


static void
ngx_http_claude_relay_github_send(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_fetch_t *f, ngx_http_claude_relay_fetch_pt handler)
{
    if (f == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    f->handler = handler;

    if (ngx_http_claude_relay_fetch_start(f) != NGX_OK) {
        ngx_http_claude_relay_github_trouble(call, "cannot be asked");
    }
}


/* the JSON of a 200, or NULL */

static cJSON *
ngx_http_claude_relay_github_answer(ngx_http_claude_relay_fetch_t *f)
{
    if (f->kind != NCR_REPLY_HTTP || f->status != NGX_HTTP_OK || f->cut) {
        return NULL;
    }

    return ncr_oauth_json(ncr(&f->answer));
}


/* what an upstream says is not told: it may have anything in it */

static void
ngx_http_claude_relay_github_trouble(ngx_http_claude_relay_call_t *call,
    const char *what)
{
    ngx_http_claude_relay_fetch_t  *f;

    f = call->fetch;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "admin: a login by GitHub failed: it %s (%s, status %ui)",
                  what, f ? ngx_http_claude_relay_fetch_failure(f->kind) : "-",
                  f ? f->status : 0);

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_GATEWAY, NULL,
                                     "GitHub %s", what);
}


static void
ngx_http_claude_relay_github_exchanged(ngx_http_claude_relay_fetch_t *f)
{
    ngx_http_claude_relay_call_t *call = f->data;

    cJSON                            *json, *token;
    ncr_str_t                         s;
    ngx_str_t                         none;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    json = ngx_http_claude_relay_github_answer(f);
    token = cJSON_GetObjectItemCaseSensitive(json, "access_token");

    s.data = (u_char *) (cJSON_IsString(token) ? token->valuestring : "");
    s.len = ngx_strlen(s.data);

    if (s.len && s.len <= NGX_HTTP_CLAUDE_RELAY_GITHUB_TOKEN
        && ncr_oauth_visible(&s))
    {
        v->token = ngx_pnalloc(call->pool, s.len);

        if (v->token) {
            ngx_memcpy(v->token, s.data, s.len);
            v->token_len = s.len;
        }

        ngx_explicit_memzero(s.data, s.len);
    }

    cJSON_Delete(json);

    if (v->token == NULL) {

        /* RFC 6749, 5.2; GitHub says so with 200 */

        ngx_http_claude_relay_github_trouble(call, "did not take the code");
        return;
    }

    ngx_http_claude_relay_fetch_destroy(f);
    call->fetch = NULL;

    ngx_str_null(&none);

    f = ngx_http_claude_relay_github_ask(call, &v->conf->api, "GET", "/user",
                                         &none, &none);

    ngx_http_claude_relay_github_send(call, f,
                                      ngx_http_claude_relay_github_told);
}


static void
ngx_http_claude_relay_github_told(ngx_http_claude_relay_fetch_t *f)
{
    ngx_http_claude_relay_call_t *call = f->data;

    cJSON                            *json;
    ngx_int_t                         rc;
    ngx_str_t                         name, *login;
    ngx_uint_t                        i;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    json = ngx_http_claude_relay_github_answer(f);
    rc = ngx_http_claude_relay_github_who(v, json);

    cJSON_Delete(json);

    if (rc != NGX_OK) {
        ngx_http_claude_relay_github_trouble(call, "did not tell who it is");
        return;
    }

    ngx_http_claude_relay_fetch_destroy(f);
    call->fetch = NULL;

    name.data = (u_char *) v->login;
    name.len = ngx_strlen(v->login);

    login = v->conf->logins.elts;

    for (i = 0; i < v->conf->logins.nelts; i++) {
        if (login[i].len == name.len
            && ngx_strncasecmp(login[i].data, name.data, name.len) == 0)
        {
            v->allowed = 1;
        }
    }

    ngx_http_claude_relay_github_may(call);
}


static ngx_int_t
ngx_http_claude_relay_github_who(ngx_http_claude_relay_visitor_t *v,
    cJSON *json)
{
    cJSON      *id, *login;
    ngx_str_t   name;

    id = cJSON_GetObjectItemCaseSensitive(json, "id");
    login = cJSON_GetObjectItemCaseSensitive(json, "login");

    /* 2^53: what a number of JSON holds exactly */

    if (!cJSON_IsNumber(id) || id->valuedouble < 1
        || id->valuedouble > 9007199254740991.0 || !cJSON_IsString(login))
    {
        return NGX_ERROR;
    }

    name.data = (u_char *) login->valuestring;
    name.len = ngx_strlen(name.data);

    if (!ngx_http_claude_relay_valid_name(&name)) {
        return NGX_ERROR;
    }

    v->id = (int64_t) id->valuedouble;
    ngx_memcpy(v->login, name.data, name.len + 1);

    return NGX_OK;
}


/* not on the list: a member of an organisation that is? */

static void
ngx_http_claude_relay_github_may(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                        *org, none;
    ngx_http_claude_relay_fetch_t    *f;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    if (v->allowed || v->org == v->conf->orgs.nelts) {
        ngx_http_claude_relay_github_enter(call);
        return;
    }

    org = v->conf->orgs.elts;
    ngx_str_null(&none);

    f = ngx_http_claude_relay_github_ask(call, &v->conf->api, "GET",
                                         "/user/memberships/orgs/",
                                         &org[v->org++], &none);

    ngx_http_claude_relay_github_send(call, f,
                                      ngx_http_claude_relay_github_member);
}


static void
ngx_http_claude_relay_github_member(ngx_http_claude_relay_fetch_t *f)
{
    ngx_http_claude_relay_call_t *call = f->data;

    cJSON                            *json, *state;
    ngx_http_claude_relay_visitor_t  *v;

    v = call->data;

    json = ngx_http_claude_relay_github_answer(f);
    state = cJSON_GetObjectItemCaseSensitive(json, "state");

    /* who was invited is "pending" */

    v->allowed = cJSON_IsString(state)
                 && ngx_strcmp(state->valuestring, "active") == 0;

    cJSON_Delete(json);

    if (!v->allowed
        && (f->kind != NCR_REPLY_HTTP
            || (f->status != NGX_HTTP_OK && f->status != NGX_HTTP_FORBIDDEN
                && f->status != NGX_HTTP_NOT_FOUND)))
    {
        ngx_http_claude_relay_github_trouble(call, "did not tell whose member "
                                             "it is");
        return;
    }

    ngx_http_claude_relay_fetch_destroy(f);
    call->fetch = NULL;

    ngx_http_claude_relay_github_may(call);
}
