
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * GET /v1/events: what happens, as a stream of events.  A listener lives as
 * long as its request; it looks into the ring four times a second, and when
 * the bell rings.  It ends when its worker leaves and after some minutes: its
 * client comes back, logged in still or not, and goes on where it was.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_feed.h"


/* of a worker */
#define NGX_HTTP_CLAUDE_RELAY_LISTENERS  64

#define NGX_HTTP_CLAUDE_RELAY_LISTEN_STEP  250

/* a comment in the silence, ms */
#define NGX_HTTP_CLAUDE_RELAY_LISTEN_BEAT  15000

/* whoever has a login shows it again after this, ms */
#define NGX_HTTP_CLAUDE_RELAY_LISTEN_AGE       600000
#define NGX_HTTP_CLAUDE_RELAY_LISTEN_AGE_LOGIN 300000

/* events in one write; what they take at most */
#define NGX_HTTP_CLAUDE_RELAY_LISTEN_EVENTS  16
#define NGX_HTTP_CLAUDE_RELAY_LISTEN_SIZE                                     \
    (256 + NGX_HTTP_CLAUDE_RELAY_LISTEN_EVENTS                                \
           * (NGX_HTTP_CLAUDE_RELAY_FEED_ENTRY + 128))


typedef struct {
    ngx_event_t                        timer;
    ngx_queue_t                        queue;
    ngx_http_request_t                *request;
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_uint_t                         types;   /* bits */
    ngx_uint_t                         begun;   /* "seen" is of the ring */
    uint64_t                           seen;
    ncr_msec_t                         born;    /* the zone of "seen" */
    ngx_msec_t                         until;
    ngx_msec_t                         last_out;
    size_t                             own_len;
    u_char                             own[NCR_KEY_NAME];
    ngx_buf_t                         *buf;
    u_char                            *data;
} ngx_http_claude_relay_listener_t;


static void ngx_http_claude_relay_api_events(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_event_types(
    ngx_http_claude_relay_call_t *call, ngx_str_t *text, ngx_uint_t *types);
static void ngx_http_claude_relay_event_last(ngx_http_request_t *r,
    ngx_http_claude_relay_listener_t *l);
static ngx_http_claude_relay_listener_t *ngx_http_claude_relay_listener(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_listen_start(
    ngx_http_claude_relay_listener_t *l);
static void ngx_http_claude_relay_listen_event(ngx_event_t *ev);
static void ngx_http_claude_relay_listen(ngx_http_claude_relay_listener_t *l);
static void ngx_http_claude_relay_listen_fill(
    ngx_http_claude_relay_listener_t *l);
static u_char *ngx_http_claude_relay_listen_text(
    ngx_http_claude_relay_listener_t *l,
    ngx_http_claude_relay_feed_entry_t *e, u_char *p);
static void ngx_http_claude_relay_listen_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_listen_send(
    ngx_http_claude_relay_listener_t *l);
static ngx_http_claude_relay_listener_t *ngx_http_claude_relay_listener_of(
    ngx_http_request_t *r);
static void ngx_http_claude_relay_listen_end(void *data);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_event_ways[] = {

    { NGX_HTTP_GET, "/v1/events", ngx_http_claude_relay_api_events,
      NCR_ROLE_USER, 0, 0, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


/* of this worker */

static ngx_queue_t  ngx_http_claude_relay_listeners;
static ngx_uint_t   ngx_http_claude_relay_nlisteners;
static uint64_t     ngx_http_claude_relay_heard;    /* at the last bell */


static void
ngx_http_claude_relay_api_events(ngx_http_claude_relay_call_t *call)
{
    ngx_str_t                          values[1], none;
    ngx_uint_t                         types;
    ngx_http_request_t                *r;
    ngx_http_claude_relay_listener_t  *l;

    static const char *const  names[] = { "types", NULL };

    static ngx_str_t  type = ngx_string("text/event-stream");

    if (ngx_http_claude_relay_call_query(call, names, values) != NGX_OK
        || ngx_http_claude_relay_event_types(call, &values[0], &types)
           != NGX_OK)
    {
        return;
    }

    r = call->request;

    if (r == NULL || r->method == NGX_HTTP_HEAD) {
        ngx_str_null(&none);
        ngx_http_claude_relay_call_text_answer(call, &type, &none, &none);
        return;
    }

    if (ngx_http_claude_relay_nlisteners >= NGX_HTTP_CLAUDE_RELAY_LISTENERS) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "too many listen already");
        return;
    }

    if (ngx_http_claude_relay_feed_watch(call->rmcf) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "the zone has no room for "
                                         "events");
        return;
    }

    l = ngx_http_claude_relay_listener(call);

    if (l == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    l->types = types;
    l->request = ngx_http_claude_relay_call_stream(call);

    ngx_http_claude_relay_listen_start(l);
}


static ngx_int_t
ngx_http_claude_relay_event_types(ngx_http_claude_relay_call_t *call,
    ngx_str_t *text, ngx_uint_t *types)
{
    u_char      *p, *last, *end;
    ncr_str_t    word;
    ngx_uint_t   i, all;

    all = call->own.len ? 1 << NGX_HTTP_CLAUDE_RELAY_FEED_REQUEST
                        : (1 << NGX_HTTP_CLAUDE_RELAY_FEED_TYPES) - 1;

    if (text->data == NULL) {
        *types = all;
        return NGX_OK;
    }

    *types = 0;

    p = text->data;
    last = p + text->len;

    for ( ;; ) {

        end = ngx_strlchr(p, last, ',');
        end = end ? end : last;

        word.data = p;
        word.len = end - p;

        for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_FEED_TYPES; i++) {
            if (ncr_str_eq(&word, ngx_http_claude_relay_feed_names[i])) {
                break;
            }
        }

        if (i == NGX_HTTP_CLAUDE_RELAY_FEED_TYPES) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"types\" are \"request\", \"account\", "
                                     "\"action\", \"alert\" and \"fleet\", "
                                     "with a comma");
            return NGX_ERROR;
        }

        if (!(all & ((ngx_uint_t) 1 << i))) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_FORBIDDEN, NULL,
                                             "events of the type \"%s\" take "
                                             "the role \"viewer\"",
                                         ngx_http_claude_relay_feed_names[i]);
            return NGX_ERROR;
        }

        *types |= (ngx_uint_t) 1 << i;

        if (end == last) {
            return NGX_OK;
        }

        p = end + 1;
    }
}


/* in the request's pool: it outlives the call */

static ngx_http_claude_relay_listener_t *
ngx_http_claude_relay_listener(ngx_http_claude_relay_call_t *call)
{
    ngx_http_cleanup_t                *cln;
    ngx_http_request_t                *r;
    ngx_http_claude_relay_listener_t  *l;

    r = call->request;

    l = ngx_pcalloc(r->pool, sizeof(ngx_http_claude_relay_listener_t));
    if (l == NULL) {
        return NULL;
    }

    l->buf = ngx_calloc_buf(r->pool);
    l->data = ngx_pnalloc(r->pool, NGX_HTTP_CLAUDE_RELAY_LISTEN_SIZE);
    cln = ngx_http_cleanup_add(r, 0);

    if (l->buf == NULL || l->data == NULL || cln == NULL) {
        return NULL;
    }

    l->rmcf = call->rmcf;
    l->own_len = ngx_min(call->own.len, sizeof(l->own));
    ngx_memcpy(l->own, call->own.data, l->own_len);

    l->until = ngx_current_msec
               + (call->caller.person.len
                  ? NGX_HTTP_CLAUDE_RELAY_LISTEN_AGE_LOGIN
                  : NGX_HTTP_CLAUDE_RELAY_LISTEN_AGE);

    ngx_http_claude_relay_event_last(r, l);

    l->timer.handler = ngx_http_claude_relay_listen_event;
    l->timer.data = l;
    l->timer.log = ngx_cycle->log;

    if (ngx_http_claude_relay_nlisteners == 0) {
        ngx_queue_init(&ngx_http_claude_relay_listeners);
    }

    ngx_queue_insert_tail(&ngx_http_claude_relay_listeners, &l->queue);
    ngx_http_claude_relay_nlisteners++;

    cln->handler = ngx_http_claude_relay_listen_end;
    cln->data = l;

    return l;
}


/* "Last-Event-ID: BORN.NUMBER", as it was told; any other text is none */

static void
ngx_http_claude_relay_event_last(ngx_http_request_t *r,
    ngx_http_claude_relay_listener_t *l)
{
    u_char           *dot, *last;
    int64_t           born, n;
    ncr_str_t         a, b;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    l->born = l->rmcf->zone->born;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (ncr_str_caseeq(ncr(&h[i].key), "last-event-id")) {
            break;
        }
    }

    last = h[i].value.data + h[i].value.len;
    dot = ngx_strlchr(h[i].value.data, last, '.');

    if (dot == NULL) {
        return;
    }

    a.data = h[i].value.data;
    a.len = dot - a.data;
    b.data = dot + 1;
    b.len = last - b.data;

    if (ncr_str_int(&a, &born) != NCR_OK || ncr_str_int(&b, &n) != NCR_OK
        || n < 0)
    {
        return;
    }

    /* of a zone that is no more: it has missed all that there was before */

    l->seen = (born == l->born) ? (uint64_t) n : 0;
    l->begun = 1;
}


static void
ngx_http_claude_relay_listen_start(ngx_http_claude_relay_listener_t *l)
{
    ngx_int_t            rc;
    uint64_t             last, whole;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = l->request;

    if (!l->begun) {
        ngx_http_claude_relay_feed_range(l->rmcf, &last, &whole);
        l->seen = last;
        l->begun = 1;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;
    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    /* a compressor would hold events back */

    r->gzip_tested = 1;
    r->gzip_ok = 0;

    ngx_str_set(&value, "no-store");
    rc = ngx_http_claude_relay_add_header(r, "Cache-Control", &value);

    if (rc == NGX_OK) {
        ngx_str_set(&value, "nosniff");
        rc = ngx_http_claude_relay_add_header(r, "X-Content-Type-Options",
                                              &value);
    }

    if (rc == NGX_OK) {
        ngx_str_set(&value, "no");
        rc = ngx_http_claude_relay_add_header(r, "X-Accel-Buffering", &value);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_send_header(r);
    }

    if (rc == NGX_ERROR || rc > NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_claude_relay_listen_write;

    /* the number it begins with: whoever is cut off before the first event
     * goes on from here */

    l->buf->pos = l->data;
    l->buf->last = ngx_sprintf(l->data, "retry: 2000\nid: %L.%uL\n\n",
                               (int64_t) l->born, l->seen);
    l->buf->memory = 1;
    l->buf->flush = 1;

    l->last_out = ngx_current_msec;

    if (ngx_http_claude_relay_listen_send(l) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    /* not from here: the request is in the hands of its handler still */

    ngx_add_timer(&l->timer, 1);
}


static void
ngx_http_claude_relay_listen_event(ngx_event_t *ev)
{
    ngx_http_claude_relay_listener_t *l = ev->data;

    ngx_connection_t  *c;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    c = l->request->connection;

    ngx_http_claude_relay_listen(l);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_claude_relay_listen(ngx_http_claude_relay_listener_t *l)
{
    ngx_http_request_t  *r;

    r = l->request;

    if (ngx_exiting || ngx_quit || ngx_terminate
        || (ngx_msec_int_t) (l->until - ngx_current_msec) <= 0)
    {
        r->keepalive = r->keepalive && !ngx_exiting && !ngx_quit;
        ngx_http_finalize_request(r, ngx_http_send_special(r, NGX_HTTP_LAST));
        return;
    }

    ngx_add_timer(&l->timer, NGX_HTTP_CLAUDE_RELAY_LISTEN_STEP);

    if (ngx_http_claude_relay_feed_watch(l->rmcf) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    /* while something is on its way, the ring keeps what comes */

    while (l->buf->pos == l->buf->last
           && !r->buffered && !r->connection->buffered)
    {
        ngx_http_claude_relay_listen_fill(l);

        if (l->buf->pos == l->buf->last) {
            return;
        }

        if (ngx_http_claude_relay_listen_send(l) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }
    }
}


static void
ngx_http_claude_relay_listen_fill(ngx_http_claude_relay_listener_t *l)
{
    u_char                              *p;
    uint64_t                             missed, before;
    ngx_uint_t                           i, n;

    static ngx_http_claude_relay_feed_entry_t
        entries[NGX_HTTP_CLAUDE_RELAY_LISTEN_EVENTS];

    p = l->data;

    do {
        before = l->seen;

        n = ngx_http_claude_relay_feed_read(l->rmcf, &l->seen, &missed,
                                         entries,
                                         NGX_HTTP_CLAUDE_RELAY_LISTEN_EVENTS);
        if (missed == UINT64_MAX) {
            p = ngx_sprintf(p, "event: gap\ndata: {\"missed\":null}\n\n");

        } else if (missed) {
            p = ngx_sprintf(p, "event: gap\ndata: {\"missed\":%uL}\n\n",
                            missed);
        }

        for (i = 0; i < n; i++) {
            p = ngx_http_claude_relay_listen_text(l, &entries[i], p);
        }

        /* all of them may have been somebody else's */

    } while (p == l->data && l->seen != before);

    if (p == l->data
        && ngx_current_msec - l->last_out >= NGX_HTTP_CLAUDE_RELAY_LISTEN_BEAT)
    {
        p = ngx_sprintf(p, ": nothing new\n\n");
    }

    l->buf->pos = l->data;
    l->buf->last = p;
}


static u_char *
ngx_http_claude_relay_listen_text(ngx_http_claude_relay_listener_t *l,
    ngx_http_claude_relay_feed_entry_t *e, u_char *p)
{
    if (!(l->types & ((ngx_uint_t) 1 << e->type))
        || (l->own_len
            && (e->user_len != l->own_len
                || ngx_memcmp(e->user, l->own, l->own_len) != 0)))
    {
        return p;
    }

    p = ngx_sprintf(p, "id: %L.%uL\nevent: %s\ndata: ", (int64_t) l->born,
                    e->number, ngx_http_claude_relay_feed_names[e->type]);
    p = ngx_cpymem(p, e->text, e->len);
    *p++ = '\n';
    *p++ = '\n';

    return p;
}


/* the client can take more */

static void
ngx_http_claude_relay_listen_write(ngx_http_request_t *r)
{
    ngx_connection_t                  *c;
    ngx_http_claude_relay_listener_t  *l;

    c = r->connection;
    l = ngx_http_claude_relay_listener_of(r);

    if (l == NULL || c->write->timedout) {
        c->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (!r->buffered && !c->buffered) {
        return;
    }

    if (ngx_http_claude_relay_listen_send(l) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (!r->buffered && !c->buffered && !l->timer.posted) {
        ngx_post_event(&l->timer, &ngx_posted_events);
    }
}


/* what is in the buffer, or what was not taken yet */

static ngx_int_t
ngx_http_claude_relay_listen_send(ngx_http_claude_relay_listener_t *l)
{
    ngx_int_t                  rc;
    ngx_chain_t                out, *in;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = l->request;
    c = r->connection;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    in = NULL;

    if (l->buf->pos != l->buf->last && !r->buffered && !c->buffered) {
        out.buf = l->buf;
        out.next = NULL;
        in = &out;

        l->last_out = ngx_current_msec;
    }

    rc = ngx_http_output_filter(r, in);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (r->buffered || c->buffered) {

        if (!c->write->timer_set) {
            ngx_add_timer(c->write, clcf->send_timeout);
        }

        return ngx_handle_write_event(c->write, clcf->send_lowat);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    return NGX_OK;
}


static ngx_http_claude_relay_listener_t *
ngx_http_claude_relay_listener_of(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;

    for (cln = r->main->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_claude_relay_listen_end) {
            return cln->data;
        }
    }

    return NULL;
}


static void
ngx_http_claude_relay_listen_end(void *data)
{
    ngx_http_claude_relay_listener_t *l = data;

    if (l->timer.timer_set) {
        ngx_del_timer(&l->timer);
    }

    if (l->timer.posted) {
        ngx_delete_posted_event(&l->timer);
    }

    ngx_queue_remove(&l->queue);
    ngx_http_claude_relay_nlisteners--;
}


void
ngx_http_claude_relay_feed_rung(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_queue_t                       *q;
    ngx_http_claude_relay_listener_t  *l;

    if (ngx_http_claude_relay_nlisteners == 0 || rmcf->zone->feed == NULL
        || rmcf->zone->feed->last == ngx_http_claude_relay_heard)
    {
        return;
    }

    ngx_http_claude_relay_heard = rmcf->zone->feed->last;

    for (q = ngx_queue_head(&ngx_http_claude_relay_listeners);
         q != ngx_queue_sentinel(&ngx_http_claude_relay_listeners);
         q = ngx_queue_next(q))
    {
        l = ngx_queue_data(q, ngx_http_claude_relay_listener_t, queue);

        if (!l->timer.posted) {
            ngx_post_event(&l->timer, &ngx_posted_events);
        }
    }
}
