
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ngx_http_claude_relay_feed.h"


/* of the zone, and entries at most */
#define NGX_HTTP_CLAUDE_RELAY_FEED_SHARE  32
#define NGX_HTTP_CLAUDE_RELAY_FEED_MOST   1024
#define NGX_HTTP_CLAUDE_RELAY_FEED_LEAST  8

/* of a path */
#define NGX_HTTP_CLAUDE_RELAY_FEED_PATH   128

/* sessions that go for the ring */
#define NGX_HTTP_CLAUDE_RELAY_FEED_EVICT  256

/* who listens says so again within this time, ms */
#define NGX_HTTP_CLAUDE_RELAY_FEED_WATCH  3000

/* all accounts are looked at so often, ms */
#define NGX_HTTP_CLAUDE_RELAY_FEED_POLL   1000

/* a bell wakes every worker: not for each event of many, ms */
#define NGX_HTTP_CLAUDE_RELAY_FEED_RING   20


static ngx_int_t ngx_http_claude_relay_feed_begin(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_feed_poll(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t silent);
static void ngx_http_claude_relay_feed_state(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t silent);
static void ngx_http_claude_relay_feed_put(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t type,
    ncr_str_t *user, u_char *text, size_t len);
static void ngx_http_claude_relay_feed_member(ncr_out_t *out,
    const char *name, ncr_str_t *value);
static void ngx_http_claude_relay_feed_number(ncr_out_t *out,
    const char *name, uint64_t n);
static void ngx_http_claude_relay_feed_time(ncr_out_t *out, const char *name,
    ncr_msec_t t);


const char *const  ngx_http_claude_relay_feed_names[] = {
    "request", "account", "action", "alert", "fleet", NULL
};

/* what a node remembers to have told; 0 is nothing */
static const char *const  ngx_http_claude_relay_feed_states[] = {
    "", "ok", "resting", "needs-login", "disabled", NULL
};


void
ngx_http_claude_relay_feed(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *type, ngx_str_t *json)
{
    size_t       i;
    u_char      *p, text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    ncr_str_t    none;
    ngx_uint_t   n;

    if (!ngx_http_claude_relay_feed_wanted(rmcf->zone)) {
        return;
    }

    ncr_str_null(&none);

    for (n = 0; ngx_http_claude_relay_feed_names[n]; n++) {
        if (ngx_strcmp(ngx_http_claude_relay_feed_names[n], type) == 0) {
            break;
        }
    }

    if (n == NGX_HTTP_CLAUDE_RELAY_FEED_TYPES) {
        return;
    }

    if (json->len > sizeof(text)) {
        p = ngx_cpymem(text, "{\"cut\":true}", sizeof("{\"cut\":true}") - 1);

    } else {
        p = text;

        /* a line of an event ends with its first end of line */

        for (i = 0; i < json->len; i++) {
            *p++ = (json->data[i] < ' ') ? ' ' : json->data[i];
        }
    }

    ngx_http_claude_relay_feed_put(rmcf, n, &none, text, p - text);
}


void
ngx_http_claude_relay_feed_request(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_record_t *rec)
{
    u_char     text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    ncr_out_t  out;
    ncr_str_t  served;

    if (rec->kind != NCR_RECORD_REQUEST) {
        return;
    }

    /* what clients and upstreams name is long if they want it to be */

    served = rec->served;
    served.len = ngx_min(served.len, NCR_KEY_NAME);

    if (served.len == 0) {
        served = rec->model;
        served.len = ngx_min(served.len, NCR_KEY_NAME);
    }

    ncr_out_init(&out, text, sizeof(text));

    ncr_out_text(&out, "{\"id\":");
    ncr_out_json_string(&out, &rec->id);
    ngx_http_claude_relay_feed_time(&out, "time", rec->time);
    ngx_http_claude_relay_feed_member(&out, "op", &rec->op);
    ngx_http_claude_relay_feed_number(&out, "status", rec->status);
    ngx_http_claude_relay_feed_member(&out, "class", &rec->class);
    ngx_http_claude_relay_feed_member(&out, "key", &rec->key);
    ngx_http_claude_relay_feed_member(&out, "user", &rec->user);
    ngx_http_claude_relay_feed_member(&out, "account", &rec->account);
    ngx_http_claude_relay_feed_member(&out, "model", &served);
    ncr_out_text(&out, (rec->flags & NCR_RECORD_STREAM) ? ",\"stream\":true"
                                                        : ",\"stream\":false");
    ngx_http_claude_relay_feed_number(&out, "attempts", rec->attempts);
    ngx_http_claude_relay_feed_number(&out, "ms", rec->duration);

    if (rec->ttft != UINT32_MAX) {
        ngx_http_claude_relay_feed_number(&out, "ttft_ms", rec->ttft);
    }

    ngx_http_claude_relay_feed_number(&out, "input", rec->usage.input);
    ngx_http_claude_relay_feed_number(&out, "output", rec->usage.output);
    ngx_http_claude_relay_feed_number(&out, "cache_read",
                                      rec->usage.cache_read);
    ngx_http_claude_relay_feed_number(&out, "cache_write",
                                      rec->usage.cache_write);
    ngx_http_claude_relay_feed_number(&out, "cost_micros", rec->cost);
    ncr_out_text(&out, "}");

    if (out.overflow) {

        /* names that are nothing but escapes */

        ncr_out_init(&out, text, sizeof(text));
        ncr_out_text(&out, "{\"id\":");
        ncr_out_json_string(&out, &rec->id);
        ngx_http_claude_relay_feed_number(&out, "status", rec->status);
        ncr_out_text(&out, ",\"cut\":true}");
    }

    ngx_http_claude_relay_feed_put(rmcf, NGX_HTTP_CLAUDE_RELAY_FEED_REQUEST,
                                   &rec->user, text, out.last - out.start);
}


void
ngx_http_claude_relay_feed_action(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_store_action_t *action)
{
    u_char     text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    ncr_out_t  out;
    ncr_str_t  s, none;

    if (!ngx_http_claude_relay_feed_wanted(rmcf->zone)) {
        return;
    }

    ncr_out_init(&out, text, sizeof(text));

    ncr_out_text(&out, "{\"method\":\"");
    ncr_out_text(&out, action->method);
    ncr_out_text(&out, "\"");

    s.data = (u_char *) action->path;
    s.len = ngx_min(ngx_strlen(s.data), NGX_HTTP_CLAUDE_RELAY_FEED_PATH);
    ngx_http_claude_relay_feed_member(&out, "path", &s);

    s.data = (u_char *) action->who;
    s.len = ngx_min(ngx_strlen(s.data), NCR_KEY_NAME);
    ngx_http_claude_relay_feed_member(&out, "who", &s);

    ncr_out_text(&out, ",\"role\":\"");
    ncr_out_text(&out, action->role);
    ncr_out_text(&out, "\"");

    ngx_http_claude_relay_feed_number(&out, "status", action->status);
    ngx_http_claude_relay_feed_time(&out, "time", action->time);
    ncr_out_text(&out, "}");

    if (!out.overflow) {
        ncr_str_null(&none);
        ngx_http_claude_relay_feed_put(rmcf,
                                       NGX_HTTP_CLAUDE_RELAY_FEED_ACTION,
                                       &none, text, out.last - out.start);
    }
}


void
ngx_http_claude_relay_feed_account(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a)
{
    if (ngx_http_claude_relay_feed_wanted(rmcf->zone)) {
        ngx_http_claude_relay_feed_state(rmcf, a, 0);
    }
}


ngx_int_t
ngx_http_claude_relay_feed_watch(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                     lapsed;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;
    lapsed = !ngx_http_claude_relay_feed_wanted(zone);

    if (lapsed && ngx_http_claude_relay_feed_begin(rmcf) != NGX_OK) {
        return NGX_DECLINED;
    }

    zone->watched = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_FEED_WATCH;

    if (lapsed
        || ngx_current_msec - zone->polled >= NGX_HTTP_CLAUDE_RELAY_FEED_POLL)
    {
        zone->polled = ngx_current_msec;
        ngx_http_claude_relay_feed_poll(rmcf, lapsed);
    }

    return NGX_OK;
}


/* nobody has listened: what was before is not whole, and a number is left
 * out, so that whoever has seen the last one knows */

static ngx_int_t
ngx_http_claude_relay_feed_begin(ngx_http_claude_relay_main_conf_t *rmcf)
{
    size_t                         size;
    ngx_uint_t                     n;
    ngx_http_claude_relay_feed_t  *feed;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    feed = rmcf->zone->feed;

    n = rmcf->shm_zone->shm.size / NGX_HTTP_CLAUDE_RELAY_FEED_SHARE
        / sizeof(ngx_http_claude_relay_feed_entry_t);
    n = ngx_min(n, NGX_HTTP_CLAUDE_RELAY_FEED_MOST);

    while (feed == NULL && n >= NGX_HTTP_CLAUDE_RELAY_FEED_LEAST) {

        size = sizeof(ngx_http_claude_relay_feed_t)
               + (n - 1) * sizeof(ngx_http_claude_relay_feed_entry_t);

        /* sessions go for the smallest one only */

        feed = ngx_http_claude_relay_alloc_locked(rmcf, size,
                                   (n / 2 < NGX_HTTP_CLAUDE_RELAY_FEED_LEAST)
                                       ? NGX_HTTP_CLAUDE_RELAY_FEED_EVICT : 0);
        if (feed) {
            feed->size = n;
            rmcf->zone->feed = feed;
        }

        n /= 2;
    }

    if (feed) {
        feed->last++;
        feed->whole = feed->last;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return feed ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_claude_relay_feed_range(ngx_http_claude_relay_main_conf_t *rmcf,
    uint64_t *last, uint64_t *whole)
{
    ngx_shmtx_lock(&rmcf->shpool->mutex);

    *last = rmcf->zone->feed->last;
    *whole = rmcf->zone->feed->whole;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);
}


static void
ngx_http_claude_relay_feed_poll(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t silent)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_account_t  **a;

    a = rmcf->roster->accounts.elts;

    for (i = 0; i < rmcf->roster->accounts.nelts; i++) {
        ngx_http_claude_relay_feed_state(rmcf, a[i], silent);
    }

    ngx_http_claude_relay_feed_fleet(rmcf, silent);
}


/* whoever sees a change first tells of it; silent: it is only remembered */

static void
ngx_http_claude_relay_feed_state(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a, ngx_uint_t silent)
{
    u_char                          text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    uint64_t                        refreshes;
    ncr_out_t                       out;
    ncr_str_t                       s;
    ncr_msec_t                      now;
    ngx_uint_t                      i, state, fresh;
    ngx_http_claude_relay_node_t   *node;
    ngx_http_claude_relay_view_t    view;

    now = ngx_http_claude_relay_now();

    ngx_http_claude_relay_view(rmcf, a, now, &view);

    state = 0;

    for (i = 1; ngx_http_claude_relay_feed_states[i]; i++) {
        if (ngx_strcmp(ngx_http_claude_relay_feed_states[i], view.state)
            == 0)
        {
            state = i;
        }
    }

    node = a->node;
    refreshes = view.node.refreshes;

    if (state == view.node.told && refreshes == view.node.told_refreshes) {
        return;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    i = (node->told != state);
    fresh = (refreshes > node->told_refreshes);

    node->told = state;
    node->told_refreshes = refreshes;

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (silent) {
        return;
    }

    ncr_str_null(&s);

    if (fresh) {
        ncr_out_init(&out, text, sizeof(text));
        ncr_out_text(&out, "{\"account\":");
        ncr_out_json_string(&out, ncr(&a->name));
        ngx_http_claude_relay_feed_member(&out, "platform",
                                          &a->platform->name);
        ncr_out_text(&out, ",\"state\":\"refreshed\"");
        ngx_http_claude_relay_feed_time(&out, "time", now);

        if (view.expires) {
            ngx_http_claude_relay_feed_time(&out, "expires", view.expires);
        }

        ncr_out_text(&out, "}");

        ngx_http_claude_relay_feed_put(rmcf,
                                       NGX_HTTP_CLAUDE_RELAY_FEED_ACCOUNT, &s,
                                       text, out.last - out.start);
    }

    if (!i) {
        return;
    }

    ncr_out_init(&out, text, sizeof(text));
    ncr_out_text(&out, "{\"account\":");
    ncr_out_json_string(&out, ncr(&a->name));
    ngx_http_claude_relay_feed_member(&out, "platform", &a->platform->name);
    ncr_out_text(&out, ",\"state\":\"");
    ncr_out_text(&out, view.state);
    ncr_out_text(&out, "\"");
    ngx_http_claude_relay_feed_time(&out, "time", now);

    if (view.why) {
        ncr_out_text(&out, ",\"why\":\"");
        ncr_out_text(&out, view.why);
        ncr_out_text(&out, "\"");
    }

    if (view.until) {
        ngx_http_claude_relay_feed_time(&out, "until", view.until);
    }

    ncr_out_text(&out, "}");

    ngx_http_claude_relay_feed_put(rmcf, NGX_HTTP_CLAUDE_RELAY_FEED_ACCOUNT,
                                   &s, text, out.last - out.start);
}


/* "last" is raised when all of it is there; who dies before that leaves an
 * entry that is written over */

static void
ngx_http_claude_relay_feed_put(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t type, ncr_str_t *user, u_char *text, size_t len)
{
    ngx_uint_t                           ring;
    ngx_http_claude_relay_feed_t        *feed;
    ngx_http_claude_relay_feed_entry_t  *e;

    ring = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    feed = rmcf->zone->feed;

    if (feed) {
        e = &feed->entries[(feed->last + 1) % feed->size];

        e->number = 0;
        ngx_memory_barrier();

        e->type = (uint8_t) type;
        e->user_len = (uint8_t) ngx_min(user->len, sizeof(e->user));
        e->len = (uint16_t) len;

        ngx_memcpy(e->user, user->data, e->user_len);
        ngx_memcpy(e->text, text, len);

        ngx_memory_barrier();
        e->number = feed->last + 1;
        feed->last++;

        ring = (ngx_current_msec - rmcf->zone->feed_rung
                >= NGX_HTTP_CLAUDE_RELAY_FEED_RING);

        if (ring) {
            rmcf->zone->feed_rung = ngx_current_msec;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (ring) {
        ngx_http_claude_relay_ring_all();
    }
}


ngx_uint_t
ngx_http_claude_relay_feed_read(ngx_http_claude_relay_main_conf_t *rmcf,
    uint64_t *seen, uint64_t *missed,
    ngx_http_claude_relay_feed_entry_t *entries, ngx_uint_t n)
{
    uint64_t                             oldest;
    ngx_uint_t                           i;
    ngx_http_claude_relay_feed_t        *feed;
    ngx_http_claude_relay_feed_entry_t  *e;

    *missed = 0;
    i = 0;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    feed = rmcf->zone->feed;

    /* another ring, or numbers of another one; or nobody has listened */

    if (*seen > feed->last || *seen < feed->whole) {
        *missed = UINT64_MAX;
        *seen = feed->whole;
    }

    oldest = (feed->last > feed->size) ? feed->last - feed->size : 0;

    if (*seen < oldest) {

        if (*missed != UINT64_MAX) {
            *missed = oldest - *seen;
        }

        *seen = oldest;
    }

    while (i < n && *seen < feed->last) {

        (*seen)++;

        e = &feed->entries[*seen % feed->size];

        if (e->number == *seen) {
            entries[i++] = *e;
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return i;
}


static void
ngx_http_claude_relay_feed_member(ncr_out_t *out, const char *name,
    ncr_str_t *value)
{
    ncr_out_text(out, ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");
    ncr_out_json_string(out, value);
}


static void
ngx_http_claude_relay_feed_number(ncr_out_t *out, const char *name,
    uint64_t n)
{
    ncr_out_text(out, ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");
    ncr_out_int(out, (int64_t) n);
}


static void
ngx_http_claude_relay_feed_time(ncr_out_t *out, const char *name,
    ncr_msec_t t)
{
    char  buf[NCR_STR_RFC3339];

    ncr_str_rfc3339(buf, t);

    ncr_out_text(out, ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":\"");
    ncr_out_text(out, buf);
    ncr_out_text(out, "\"");
}
