
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Conversations with the servers that accounts log in at: platforms say what
 * is asked, here it is made a request.
 */


#include "ngx_http_claude_relay_refresh.h"


static void ngx_http_claude_relay_talk_step(ngx_http_claude_relay_talk_t *t);
static void ngx_http_claude_relay_talk_send(ngx_event_t *ev);
static void ngx_http_claude_relay_talk_answered(
    ngx_http_claude_relay_fetch_t *f);
static void ngx_http_claude_relay_talk_reset(ngx_http_claude_relay_talk_t *t);
static ngx_int_t ngx_http_claude_relay_talk_target(
    ngx_http_claude_relay_talk_t *t, ngx_http_claude_relay_fetch_t *f,
    ngx_str_t *path, ngx_str_t *host);
static ngx_int_t ngx_http_claude_relay_talk_write(
    ngx_http_claude_relay_talk_t *t, ngx_http_claude_relay_fetch_t *f,
    ngx_str_t *path, ngx_str_t *host);


ngx_http_claude_relay_talk_t *
ngx_http_claude_relay_talk_create(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ncr_oauth_t *oauth)
{
    ngx_http_claude_relay_talk_t  *t;

    t = ngx_calloc(sizeof(ngx_http_claude_relay_talk_t), ngx_cycle->log);
    if (t == NULL) {
        return NULL;
    }

    t->rmcf = rmcf;
    t->account = a;

    t->talk.oauth = oauth;
    t->talk.names = a->platform->params;
    t->talk.params = a->params;
    t->talk.base = a->url.path;
    t->talk.now = ngx_http_claude_relay_now();

    if (a->info) {
        t->talk.meta = *ncr(&a->info->meta);
    }

    ngx_http_claude_relay_talk_reset(t);

    return t;
}


void
ngx_http_claude_relay_talk_destroy(ngx_http_claude_relay_talk_t *t)
{
    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    if (t->fetch) {
        ngx_http_claude_relay_fetch_destroy(t->fetch);
    }

    ngx_explicit_memzero(t, sizeof(ngx_http_claude_relay_talk_t));
    ngx_free(t);
}


static void
ngx_http_claude_relay_talk_reset(ngx_http_claude_relay_talk_t *t)
{
    ncr_out_init(&t->talk.url, t->url, sizeof(t->url));
    ncr_out_init(&t->talk.lines, t->lines, sizeof(t->lines));
    ncr_out_init(&t->talk.body, t->body, sizeof(t->body));

    t->talk.method = "POST";
    t->talk.form = 0;
    t->talk.no_body = 0;
    t->talk.api = 0;
    t->talk.wait = 0;
}


ngx_http_claude_relay_fetch_t *
ngx_http_claude_relay_talk_fetch(ngx_http_claude_relay_talk_t *t)
{
    ngx_str_t                       path, host;
    ngx_http_claude_relay_fetch_t  *f;

    if (t->talk.url.overflow || t->talk.lines.overflow
        || t->talk.body.overflow || t->talk.url.last == t->talk.url.start)
    {
        return NULL;
    }

    f = ngx_http_claude_relay_fetch_create(ngx_cycle->log);
    if (f == NULL) {
        return NULL;
    }

    f->rmcf = t->rmcf;
    f->resolver = ngx_http_claude_relay_resolver();
    f->timeout = t->rmcf->token_timeout;

    if (ngx_http_claude_relay_talk_target(t, f, &path, &host) != NGX_OK
        || ngx_http_claude_relay_talk_write(t, f, &path, &host) != NGX_OK)
    {
        ngx_http_claude_relay_fetch_destroy(f);
        return NULL;
    }

    if (t->fetch) {
        ngx_http_claude_relay_fetch_destroy(t->fetch);
    }

    t->fetch = f;

    /* what was asked before is not to be seen again */

    ngx_str_null(&t->talk.answer);
    t->talk.status = 0;

    return f;
}


static ngx_int_t
ngx_http_claude_relay_talk_target(ngx_http_claude_relay_talk_t *t,
    ngx_http_claude_relay_fetch_t *f, ngx_str_t *path, ngx_str_t *host)
{
    u_char                           *p;
    ncr_url_t                         url;
    ngx_str_t                         text, warning;
    ngx_http_claude_relay_target_t   *target;
    ngx_http_claude_relay_account_t  *a;

    a = t->account;

    text.len = t->talk.url.last - t->talk.url.start;
    text.data = ngx_pnalloc(f->pool, text.len);

    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text.data, t->talk.url.start, text.len);

    if (text.data[0] == '/') {
        f->target = &a->target;
        *host = a->host;
        *path = text;
        return NGX_OK;
    }

    target = ngx_pcalloc(f->pool, sizeof(ngx_http_claude_relay_target_t));

    if (target == NULL
        || ngx_http_claude_relay_url(&text, &url, path) != NULL
        || ngx_http_claude_relay_target_make(f->pool, target, &url) != NGX_OK
        || ngx_http_claude_relay_target_way(t->rmcf, f->pool, target, &url,
                                            a->target.proxy, 0, &warning)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    target->name = a->name;

    f->target = target;

    host->data = ngx_pnalloc(f->pool, url.host.len + sizeof(":65535"));

    if (host->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(host->data, url.host.data, url.host.len);

    if (!url.default_port) {
        p = ngx_sprintf(p, ":%ui", url.port);
    }

    host->len = p - host->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_talk_write(ngx_http_claude_relay_talk_t *t,
    ngx_http_claude_relay_fetch_t *f, ngx_str_t *path, ngx_str_t *host)
{
    u_char            *p;
    size_t             len;
    ncr_oauth_talk_t  *talk;

    talk = &t->talk;

    len = talk->body.last - talk->body.start;

    p = ngx_pnalloc(f->pool, 512 + path->len + host->len + talk->access.len
                             + (talk->lines.last - talk->lines.start));
    f->body.data = ngx_pnalloc(f->pool, len + 1);

    if (p == NULL || f->body.data == NULL) {
        return NGX_ERROR;
    }

    f->head.data = p;

    p = ngx_sprintf(p, "%s %V HTTP/1.1" CRLF "Host: %V" CRLF, talk->method,
                    path, host);

    if (!talk->no_body) {
        p = ngx_sprintf(p, "Content-Type: %s" CRLF,
                        talk->form ? "application/x-www-form-urlencoded"
                                   : "application/json");
    }

    p = ngx_sprintf(p, "Accept: application/json, text/plain, */*" CRLF
                    "User-Agent: claude-relay/"
                    NGX_HTTP_CLAUDE_RELAY_VERSION CRLF);

    if (talk->api) {
        p = ngx_sprintf(p, "Authorization: Bearer %V" CRLF,
                        (ngx_str_t *) &talk->access);
    }

    p = ngx_cpymem(p, talk->lines.start, talk->lines.last - talk->lines.start);

    if (!talk->no_body) {
        ngx_memcpy(f->body.data, talk->body.start, len);
        f->body.len = len;

        p = ngx_sprintf(p, "Content-Length: %uz" CRLF, len);
    }

    f->head.len = p - f->head.data;

    return NGX_OK;
}


void
ngx_http_claude_relay_talk_heard(ngx_http_claude_relay_talk_t *t)
{
    ngx_http_claude_relay_fetch_t  *f;

    f = t->fetch;

    ngx_http_claude_relay_talk_reset(t);

    t->talk.step++;
    t->talk.now = ngx_http_claude_relay_now();
    t->talk.status = 0;

    if (f->kind == NCR_REPLY_HTTP && !f->cut) {
        t->talk.status = f->status;
        t->talk.answer = *ncr(&f->answer);
    }
}


void
ngx_http_claude_relay_talk_run(ngx_http_claude_relay_talk_t *t,
    ncr_oauth_step_pt step, ngx_http_claude_relay_talk_pt handler,
    void *data)
{
    t->step = step;
    t->handler = handler;
    t->data = data;

    t->talk.step = 0;

    t->timer.handler = ngx_http_claude_relay_talk_send;
    t->timer.data = t;
    t->timer.log = ngx_cycle->log;
    t->timer.cancelable = 1;

    ngx_http_claude_relay_talk_reset(t);
    ngx_http_claude_relay_talk_step(t);
}


static void
ngx_http_claude_relay_talk_step(ngx_http_claude_relay_talk_t *t)
{
    ncr_int_t  rc;

    rc = t->step(&t->talk);

    if (rc != NCR_AGAIN) {
        t->handler(t, rc);
        return;
    }

    if (t->talk.wait > 0) {
        ngx_add_timer(&t->timer, (ngx_msec_t) t->talk.wait);
        return;
    }

    ngx_http_claude_relay_talk_send(&t->timer);
}


static void
ngx_http_claude_relay_talk_send(ngx_event_t *ev)
{
    ngx_http_claude_relay_talk_t *t = ev->data;

    ngx_http_claude_relay_fetch_t  *f;

    f = ngx_http_claude_relay_talk_fetch(t);

    if (f) {
        f->important = t->important;
        f->data = t;
        f->handler = ngx_http_claude_relay_talk_answered;

        if (ngx_http_claude_relay_fetch_start(f) == NGX_OK) {
            return;
        }
    }

    (void) ngx_snprintf((u_char *) t->talk.error, sizeof(t->talk.error),
                        "the request could not be sent%Z");

    t->handler(t, NCR_ERROR);
}


static void
ngx_http_claude_relay_talk_answered(ngx_http_claude_relay_fetch_t *f)
{
    ngx_http_claude_relay_talk_t *t = f->data;

    ngx_http_claude_relay_talk_heard(t);
    ngx_http_claude_relay_talk_step(t);
}
