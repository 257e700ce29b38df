
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request of the module's own by way of an internal location of the
 * operator's: a subrequest, so that the location's own rules hold, but not
 * one of a client.  A client that leaves takes its request and all of its
 * subrequests along, and what is asked here must be heard to its end: it may
 * have rotated a token.  So the main request is made up, with a connection
 * that leads nowhere: one half of a pair of sockets, of which the other half
 * is silent.  Nothing of a client's is in it.
 *
 * The answer is taken by the output filters and never reaches the
 * connection.  However the request ends, its pool is destroyed in the end,
 * and that is where the fetch is told.
 */


#include "ngx_http_claude_relay_fetch.h"


struct ngx_http_claude_relay_visit_s {
    ngx_http_log_ctx_t                 log_ctx; /* first: nginx casts to it */
    ngx_http_claude_relay_fetch_t     *fetch;   /* NULL: nobody listens */
    ngx_http_request_t                *request; /* the main one */
    ngx_http_request_t                *sr;
    ngx_str_t                          uri;
    ngx_str_t                          body;
    int                                fd;      /* the silent half */
    unsigned                           head:1;  /* of the answer came */
    unsigned                           whole:1;
    unsigned                           broken:1;
};


static ngx_http_claude_relay_visit_t *ngx_http_claude_relay_visit_connect(
    ngx_http_claude_relay_place_t *place);
static void ngx_http_claude_relay_visit_disconnect(void *data);
static ngx_http_request_t *ngx_http_claude_relay_visit_request(
    ngx_http_claude_relay_visit_t *v, ngx_http_claude_relay_place_t *place);
static ngx_int_t ngx_http_claude_relay_visit_headers(ngx_http_request_t *r,
    size_t length);
static ngx_table_elt_t *ngx_http_claude_relay_visit_header(
    ngx_http_request_t *r, const char *name, const char *lowcase,
    ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_visit_body(
    ngx_http_claude_relay_visit_t *v, ngx_str_t *body);
static void ngx_http_claude_relay_visit_handler(ngx_event_t *ev);
static void ngx_http_claude_relay_visit_done(ngx_http_request_t *r);
static void ngx_http_claude_relay_visit_end(void *data);
static ncr_reply_kind_e ngx_http_claude_relay_visit_outcome(
    ngx_http_claude_relay_visit_t *v);
static ngx_http_upstream_state_t *ngx_http_claude_relay_visit_state(
    ngx_http_claude_relay_visit_t *v, ngx_uint_t *sent);
static ngx_int_t ngx_http_claude_relay_visit_header_filter(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_claude_relay_visit_copy(
    ngx_http_claude_relay_fetch_t *f, ngx_str_t *to, ngx_str_t *from);
static ngx_int_t ngx_http_claude_relay_visit_body_filter(
    ngx_http_request_t *r, ngx_chain_t *in);
static u_char *ngx_http_claude_relay_visit_log(ngx_log_t *log, u_char *buf,
    size_t len);
static u_char *ngx_http_claude_relay_visit_log_request(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* a mark that the main request and all below it have, redirected or not */

#define ngx_http_claude_relay_is_visit(r)                                     \
    ((r)->log_handler == ngx_http_claude_relay_visit_log_request)

#define ngx_http_claude_relay_visit_of(r)                                     \
    ((ngx_http_claude_relay_visit_t *) (r)->connection->log->data)


/* of the location of a client's request; all of it is configuration */

void
ngx_http_claude_relay_place(ngx_http_claude_relay_place_t *place,
    ngx_http_request_t *r)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_core_srv_conf_t          *cscf;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    place->uri = rlcf->token_uri;
    place->args = rlcf->token_args;
    place->server = cscf;
    place->addr_conf = r->http_connection->addr_conf;
    place->log = clcf->error_log;
}


/* a request for tokens is not to be relayed, which would ask for tokens */

ngx_uint_t
ngx_http_claude_relay_visiting(ngx_http_request_t *r)
{
    return ngx_http_claude_relay_is_visit(r);
}


/*
 * NGX_OK: ngx_http_claude_relay_fetch_done() is called when it has ended,
 * maybe at once.
 */

ngx_int_t
ngx_http_claude_relay_visit(ngx_http_claude_relay_fetch_t *f)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r, *sr;
    ngx_http_claude_relay_place_t  *place;
    ngx_http_claude_relay_visit_t  *v;

    place = f->place;

    v = ngx_http_claude_relay_visit_connect(place);
    if (v == NULL) {
        return NGX_ERROR;
    }

    c = v->log_ctx.connection;

    r = ngx_http_claude_relay_visit_request(v, place);

    if (r == NULL) {
        ngx_http_close_connection(c);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_visit_headers(r, f->body.len) != NGX_OK
        || ngx_http_claude_relay_visit_body(v, &f->body) != NGX_OK
        || ngx_http_subrequest(r, &place->uri, &place->args, &sr, NULL, 0)
           != NGX_OK)
    {
        ngx_http_free_request(r, 0);
        ngx_http_close_connection(c);
        return NGX_ERROR;
    }

    sr->method = NGX_HTTP_POST;
    sr->method_name = r->method_name;

    v->sr = sr;
    v->fetch = f;

    f->visit = v;

    /* until it is known that it was not */
    f->sent = 1;

    ngx_http_run_posted_requests(c);

    return NGX_OK;
}


/* whoever asked does not want to know any more */

void
ngx_http_claude_relay_visit_close(ngx_http_claude_relay_fetch_t *f)
{
    ngx_connection_t               *c;
    ngx_http_claude_relay_visit_t  *v;

    v = f->visit;

    if (v == NULL) {
        return;
    }

    f->visit = NULL;
    v->fetch = NULL;

    c = v->log_ctx.connection;

    ngx_http_finalize_request(v->request, NGX_ERROR);
    ngx_http_run_posted_requests(c);
}


static ngx_http_claude_relay_visit_t *
ngx_http_claude_relay_visit_connect(ngx_http_claude_relay_place_t *place)
{
    int                             s[2];
    ngx_log_t                      *log;
    ngx_pool_t                     *pool;
    ngx_connection_t               *c;
    ngx_pool_cleanup_t             *cln;
    struct sockaddr_un             *sun;
    ngx_http_claude_relay_visit_t  *v;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "socketpair() failed");
        return NULL;
    }

    c = NULL;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        goto failed;
    }

    v = ngx_pcalloc(pool, sizeof(ngx_http_claude_relay_visit_t));
    log = ngx_palloc(pool, sizeof(ngx_log_t));
    sun = ngx_pcalloc(pool, sizeof(struct sockaddr_un));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (v == NULL || log == NULL || sun == NULL || cln == NULL
        || ngx_nonblocking(s[0]) == -1
        || fcntl(s[0], F_SETFD, FD_CLOEXEC) == -1
        || fcntl(s[1], F_SETFD, FD_CLOEXEC) == -1)
    {
        goto failed;
    }

    c = ngx_get_connection(s[0], ngx_cycle->log);
    if (c == NULL) {
        goto failed;
    }

    v->fd = s[1];
    v->uri = place->uri;
    v->log_ctx.connection = c;

    cln->handler = ngx_http_claude_relay_visit_disconnect;
    cln->data = v;

    *log = *place->log;
    log->handler = ngx_http_claude_relay_visit_log;
    log->data = v;
    log->action = "refreshing tokens";

    sun->sun_family = AF_UNIX;

    c->pool = pool;
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->log_error = NGX_ERROR_INFO;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;
    c->type = SOCK_STREAM;
    c->requests = 1;

    c->sockaddr = (struct sockaddr *) sun;
    c->socklen = offsetof(struct sockaddr_un, sun_path);
    c->local_sockaddr = c->sockaddr;
    c->local_socklen = c->socklen;
    ngx_str_set(&c->addr_text, "unix:");

    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->read->handler = ngx_http_claude_relay_visit_handler;
    c->write->handler = ngx_http_claude_relay_visit_handler;
    c->write->ready = 1;

    /* not to be closed when a worker shuts down */

    c->read->channel = 1;
    c->write->channel = 1;

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    return v;

failed:

    if (pool) {
        ngx_destroy_pool(pool);
    }

    (void) close(s[0]);
    (void) close(s[1]);

    return NULL;
}


static void
ngx_http_claude_relay_visit_disconnect(void *data)
{
    ngx_http_claude_relay_visit_t *v = data;

    (void) close(v->fd);
}


/* the main request: it does nothing but to be there */

static ngx_http_request_t *
ngx_http_claude_relay_visit_request(ngx_http_claude_relay_visit_t *v,
    ngx_http_claude_relay_place_t *place)
{
    ngx_time_t                 *tp;
    ngx_pool_t                 *pool;
    ngx_connection_t           *c;
    ngx_pool_cleanup_t         *cln;
    ngx_http_request_t         *r;
    ngx_http_conf_ctx_t        *conf;
    ngx_http_connection_t      *hc;
    ngx_http_core_main_conf_t  *cmcf;

    c = v->log_ctx.connection;
    conf = place->server->ctx;
    cmcf = conf->main_conf[ngx_http_core_module.ctx_index];

    pool = ngx_create_pool(4096, c->log);
    if (pool == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    r = ngx_pcalloc(pool, sizeof(ngx_http_request_t));
    hc = ngx_pcalloc(pool, sizeof(ngx_http_connection_t));

    if (cln == NULL || r == NULL || hc == NULL) {
        goto failed;
    }

    hc->addr_conf = place->addr_conf;
    hc->conf_ctx = conf;

    r->pool = pool;
    r->signature = NGX_HTTP_MODULE;
    r->connection = c;
    r->http_connection = hc;
    r->main_conf = conf->main_conf;
    r->srv_conf = conf->srv_conf;
    r->loc_conf = conf->loc_conf;

    r->ctx = ngx_pcalloc(pool, sizeof(void *) * ngx_http_max_module);
    r->variables = ngx_pcalloc(pool, cmcf->variables.nelts
                                     * sizeof(ngx_http_variable_value_t));
    r->header_in = ngx_create_temp_buf(pool, 1);

    if (r->ctx == NULL || r->variables == NULL || r->header_in == NULL
        || ngx_list_init(&r->headers_in.headers, pool, 4,
                         sizeof(ngx_table_elt_t))
           != NGX_OK
        || ngx_list_init(&r->headers_out.headers, pool, 1,
                         sizeof(ngx_table_elt_t))
           != NGX_OK
        || ngx_list_init(&r->headers_out.trailers, pool, 1,
                         sizeof(ngx_table_elt_t))
           != NGX_OK)
    {
        goto failed;
    }

    tp = ngx_timeofday();
    r->start_sec = tp->sec;
    r->start_msec = tp->msec;

    r->method = NGX_HTTP_POST;
    ngx_str_set(&r->method_name, "POST");
    r->http_version = NGX_HTTP_VERSION_11;
    ngx_str_set(&r->http_protocol, "HTTP/1.1");
    ngx_str_set(&r->schema, "http");

    r->uri = place->uri;
    r->unparsed_uri = place->uri;
    r->args = place->args;

    r->request_line.len = sizeof("POST  HTTP/1.1") - 1 + place->uri.len;
    r->request_line.data = ngx_pnalloc(pool, r->request_line.len);

    if (r->request_line.data == NULL) {
        goto failed;
    }

    (void) ngx_sprintf(r->request_line.data, "POST %V HTTP/1.1", &place->uri);

    r->headers_in.server = place->server->server_name;
    r->headers_in.keep_alive_n = -1;
    r->headers_out.content_length_n = -1;
    r->headers_out.last_modified_time = -1;

    r->main = r;
    r->count = 1;
    r->internal = 1;
    r->logged = 1;
    r->uri_changes = NGX_HTTP_MAX_URI_CHANGES + 1;
    r->subrequests = NGX_HTTP_MAX_SUBREQUESTS + 1;
    r->main_filter_need_in_memory = 1;

    r->log_handler = ngx_http_claude_relay_visit_log_request;
    r->read_event_handler = ngx_http_request_empty_handler;
    r->write_event_handler = ngx_http_claude_relay_visit_done;

    c->data = r;

    v->request = r;
    v->log_ctx.request = r;
    v->log_ctx.current_request = r;

    cln->handler = ngx_http_claude_relay_visit_end;
    cln->data = v;

    return r;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static ngx_int_t
ngx_http_claude_relay_visit_headers(ngx_http_request_t *r, size_t length)
{
    u_char                 *p;
    ngx_str_t               value;
    ngx_http_headers_in_t  *in;

    in = &r->headers_in;

    ngx_str_set(&value, "application/json");
    in->content_type = ngx_http_claude_relay_visit_header(r, "Content-Type",
                                                    "content-type", &value);

    ngx_str_set(&value, "claude-relay/" NGX_HTTP_CLAUDE_RELAY_VERSION);
    in->user_agent = ngx_http_claude_relay_visit_header(r, "User-Agent",
                                                    "user-agent", &value);

    p = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%uz", length) - p;

    in->content_length_n = length;
    in->content_length = ngx_http_claude_relay_visit_header(r,
                                    "Content-Length", "content-length", &value);

    ngx_str_set(&value, "application/json, text/plain, */*");

    if (in->content_type == NULL || in->user_agent == NULL
        || in->content_length == NULL
        || ngx_http_claude_relay_visit_header(r, "Accept", "accept", &value)
           == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_table_elt_t *
ngx_http_claude_relay_visit_header(ngx_http_request_t *r, const char *name,
    const char *lowcase, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = (u_char *) lowcase;
    h->hash = ngx_hash_key(h->lowcase_key, h->key.len);
    h->value = *value;

    return h;
}


/* a copy: the fetch may be gone before the request is */

static ngx_int_t
ngx_http_claude_relay_visit_body(ngx_http_claude_relay_visit_t *v,
    ngx_str_t *body)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_t       *r;
    ngx_http_request_body_t  *rb;

    r = v->request;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    b = ngx_create_temp_buf(r->pool, body->len);
    cl = ngx_alloc_chain_link(r->pool);

    if (rb == NULL || b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, body->data, body->len);
    b->last_buf = 1;

    v->body.data = b->start;
    v->body.len = body->len;

    cl->buf = b;
    cl->next = NULL;

    rb->bufs = cl;
    rb->buf = b;

    r->request_body = rb;

    return NGX_OK;
}


static void
ngx_http_claude_relay_visit_handler(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = ev->data;
    r = c->data;

    ngx_http_set_log_request(c->log, r);

    if (ev->write) {
        r->write_event_handler(r);

    } else {
        r->read_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


/* the subrequest has ended, and woke its parent */

static void
ngx_http_claude_relay_visit_done(ngx_http_request_t *r)
{
    ngx_http_claude_relay_visit_t  *v;

    v = ngx_http_claude_relay_visit_of(r);

    if (v->sr && v->sr->done) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_http_claude_relay_visit_end(void *data)
{
    ngx_http_claude_relay_visit_t *v = data;

    ncr_reply_kind_e                kind;
    ngx_http_claude_relay_fetch_t  *f;

    if (v->body.len) {
        ngx_explicit_memzero(v->body.data, v->body.len);
    }

    f = v->fetch;

    if (f == NULL) {
        return;
    }

    kind = ngx_http_claude_relay_visit_outcome(v);

    v->fetch = NULL;
    f->visit = NULL;

    ngx_http_claude_relay_fetch_done(f, kind, 0);
}


static ncr_reply_kind_e
ngx_http_claude_relay_visit_outcome(ngx_http_claude_relay_visit_t *v)
{
    ngx_uint_t                      sent;
    ngx_http_upstream_state_t      *state;
    ngx_http_claude_relay_fetch_t  *f;

    f = v->fetch;
    state = ngx_http_claude_relay_visit_state(v, &sent);

    if (state) {
        f->sent = sent;
    }

    if (!v->head || (!v->whole && !f->cut) || v->broken) {
        return (state && !sent) ? NCR_REPLY_CONNECT : NCR_REPLY_RESET;
    }

    /*
     * A page that stands for an answer that did not come is no answer: the
     * server may have had the request.
     */

    if (f->status >= NGX_HTTP_INTERNAL_SERVER_ERROR
        && state && state->header_time == (ngx_msec_t) -1)
    {
        if (!sent) {
            return NCR_REPLY_CONNECT;
        }

        return (state->status == NGX_HTTP_GATEWAY_TIME_OUT)
               ? NCR_REPLY_TIMEOUT : NCR_REPLY_RESET;
    }

    return NCR_REPLY_HTTP;
}


/* the last server that was tried, NULL: none; sent: any of them got bytes */

static ngx_http_upstream_state_t *
ngx_http_claude_relay_visit_state(ngx_http_claude_relay_visit_t *v,
    ngx_uint_t *sent)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state, *last;

    *sent = 0;
    last = NULL;

    if (v->sr == NULL || v->sr->upstream_states == NULL) {
        return NULL;
    }

    state = v->sr->upstream_states->elts;

    for (i = 0; i < v->sr->upstream_states->nelts; i++) {

        if (state[i].peer == NULL) {
            continue;
        }

        last = &state[i];

        if (state[i].bytes_sent) {
            *sent = 1;
        }
    }

    return last;
}


ngx_int_t
ngx_http_claude_relay_visit_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_claude_relay_visit_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_claude_relay_visit_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_visit_header_filter(ngx_http_request_t *r)
{
    ngx_uint_t                      i;
    ngx_list_part_t                *part;
    ngx_table_elt_t                *h;
    ngx_http_claude_relay_fetch_t  *f;
    ngx_http_claude_relay_visit_t  *v;

    if (!ngx_http_claude_relay_is_visit(r)) {
        return ngx_http_next_header_filter(r);
    }

    r->header_sent = 1;

    v = ngx_http_claude_relay_visit_of(r);
    f = v->fetch;

    /* the location may have subrequests of its own */

    if (f == NULL || r != v->sr) {
        return NGX_OK;
    }

    f->status = r->headers_out.status;

    if (ngx_http_claude_relay_visit_copy(f, &f->content_type,
                                         &r->headers_out.content_type)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash
                && ncr_str_caseeq(ncr(&h[i].key), "retry-after")
                && ngx_http_claude_relay_visit_copy(f, &f->retry_after,
                                                    &h[i].value)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    v->head = 1;
    v->whole = r->header_only;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_visit_copy(ngx_http_claude_relay_fetch_t *f,
    ngx_str_t *to, ngx_str_t *from)
{
    to->len = from->len;
    to->data = ngx_pstrdup(f->pool, from);

    return (to->data || to->len == 0) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_visit_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in)
{
    size_t                          size;
    ngx_buf_t                      *b;
    ngx_chain_t                    *cl;
    ngx_http_claude_relay_visit_t  *v;

    if (!ngx_http_claude_relay_is_visit(r)) {
        return ngx_http_next_body_filter(r, in);
    }

    v = ngx_http_claude_relay_visit_of(r);

    for (cl = in; cl; cl = cl->next) {

        b = cl->buf;

        if (r == v->sr && v->fetch && !v->fetch->cut) {

            size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

            if (!ngx_buf_in_memory(b) && ngx_buf_size(b)) {
                v->broken = 1;
            }

            if (ngx_http_claude_relay_fetch_append(v->fetch, b->pos, size)
                == NGX_ERROR)
            {
                v->broken = 1;
            }

            if (b->last_buf || b->last_in_chain) {
                v->whole = 1;
            }
        }

        b->pos = b->last;
        b->file_pos = b->file_last;
    }

    return NGX_OK;
}


static u_char *
ngx_http_claude_relay_visit_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                         *p;
    ngx_http_request_t             *r;
    ngx_http_claude_relay_visit_t  *v;

    v = log->data;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(buf, len, ", token location: \"%V\"", &v->uri);
    len -= p - buf;
    buf = p;

    r = v->log_ctx.request;

    return r ? r->log_handler(r, v->log_ctx.current_request, buf, len) : buf;
}


static u_char *
ngx_http_claude_relay_visit_log_request(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len)
{
    ngx_http_upstream_t  *u;

    u = sr->upstream;

    if (u == NULL || u->peer.name == NULL) {
        return buf;
    }

    return ngx_snprintf(buf, len, ", upstream: \"%V%V%V\"", &u->schema,
                        u->peer.name, &u->uri);
}
