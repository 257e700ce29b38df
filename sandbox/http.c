
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


#define SBX_POOL_MAX      256
#define SBX_READ_TIMEOUT  120000
#define SBX_IDLE_TIMEOUT  600000
#define SBX_LINGER_TIME   3000


enum {
    SBX_CHUNK_SIZE = 0,
    SBX_CHUNK_DATA,
    SBX_CHUNK_CRLF,
    SBX_CHUNK_TRAILER
};


static char        *sbx_pool[SBX_POOL_MAX];
static int          sbx_npool;
static char         sbx_scratch[256 * 1024];


static void sbx_conn_run(sbx_conn_t *c);


static char *
sbx_block_get(void)
{
    char  *p;

    if (sbx_npool) {
        return sbx_pool[--sbx_npool];
    }

    p = malloc(SBX_IN_SIZE);
    if (p == NULL) {
        abort();
    }

    return p;
}


static void
sbx_block_put(char *p)
{
    if (sbx_npool < SBX_POOL_MAX) {
        sbx_pool[sbx_npool++] = p;
        return;
    }

    free(p);
}


sbx_conn_t *
sbx_conn_new(int fd, SSL_CTX *ctx)
{
    sbx_conn_t  *c;

    c = calloc(1, sizeof(sbx_conn_t));
    if (c == NULL) {
        abort();
    }

    c->fd = fd;
    c->heap = -1;
    c->number = ++sbx_stats.accepted;
    c->active = sbx_now;
    c->state = SBX_ST_HEAD;
    sbx_stats.open++;

    if (ctx) {
        c->tls = 1;
        c->ssl = SSL_new(ctx);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) {
            abort();
        }
        SSL_set_accept_state(c->ssl);
        c->state = SBX_ST_TLS;
    }

    return c;
}


void
sbx_conn_close(sbx_conn_t *c, int rst)
{
    struct linger  l;

    if ((c->state == SBX_ST_REPLY || c->state == SBX_ST_BODY)
        && c->req.id)
    {
        sbx_record_done(c, 0);
    }

    sbx_reply_cleanup(c);
    sbx_timer_del(c);
    sbx_conn_unlink(c);

    if (rst) {
        l.l_onoff = 1;
        l.l_linger = 0;
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
    }

    if (c->ssl) {
        if (!rst && !c->broken && SSL_is_init_finished(c->ssl)) {
            SSL_shutdown(c->ssl);
        }
        ERR_clear_error();
        SSL_free(c->ssl);
    }

    close(c->fd);

    if (c->in) {
        sbx_block_put(c->in);
    }

    free(c->body.data);
    free(c->out.data);
    free(c->unit.data);
    free(c->text.data);
    free(c->cmds.data);
    free(c->tail);
    free(c->ask.quote.data);
    free(c->ask.tool_name.data);
    free(c->ask.tool_input.data);
    free(c);

    sbx_stats.open--;
}


static void
sbx_conn_abort(sbx_conn_t *c)
{
    c->broken = 1;

    if ((c->state == SBX_ST_REPLY || c->state == SBX_ST_BODY)
        && c->req.id)
    {
        sbx_record_done(c, 1);
    }

    c->req.id = 0;
    sbx_conn_close(c, 0);
}


void
sbx_conn_sweep(sbx_conn_t *c)
{
    uint64_t  idle;

    if (c->state == SBX_ST_REPLY || c->state == SBX_ST_LINGER) {
        return;
    }

    idle = sbx_now - c->active;

    if (idle > SBX_IDLE_TIMEOUT
        || (idle > SBX_READ_TIMEOUT
            && (c->state != SBX_ST_HEAD || c->in_len || c->requests == 0)))
    {
        sbx_conn_close(c, 0);
    }
}


/* returns bytes, 0 at the end, SBX_AGAIN or SBX_ERROR */

static ssize_t
sbx_recv(sbx_conn_t *c, char *p, size_t size)
{
    int      n, err;
    ssize_t  k;

    if (c->ssl) {
        ERR_clear_error();
        n = SSL_read(c->ssl, p, (int) size);

        if (n > 0) {
            c->active = sbx_now;
            return n;
        }

        err = SSL_get_error(c->ssl, n);

        if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
            c->readable = 0;
            return SBX_AGAIN;
        }

        return err == SSL_ERROR_ZERO_RETURN ? 0 : SBX_ERROR;
    }

    do {
        k = recv(c->fd, p, size, 0);
    } while (k == -1 && errno == EINTR);

    if (k > 0) {
        c->active = sbx_now;

        /* edge triggered: new data make a new event */

        if ((size_t) k < size && !c->rdhup) {
            c->readable = 0;
        }

        return k;
    }

    if (k == 0) {
        return 0;
    }

    c->readable = 0;

    return errno == EAGAIN ? SBX_AGAIN : SBX_ERROR;
}


static int
sbx_name(const char *p, size_t n, const char *name, size_t len)
{
    return n == len && strncasecmp(p, name, n) == 0;
}

#define sbx_header(lit)  sbx_name(name, n, lit, sizeof(lit) - 1)


static int
sbx_header_length(sbx_req_t *r, sbx_str_t *v)
{
    size_t   i;
    int64_t  n;

    if (v->len == 0 || v->len > 12 || r->length != -1) {
        return SBX_ERROR;
    }

    n = 0;

    for (i = 0; i < v->len; i++) {
        if (v->data[i] < '0' || v->data[i] > '9') {
            return SBX_ERROR;
        }
        n = n * 10 + (v->data[i] - '0');
    }

    r->length = n;

    return SBX_OK;
}


static void
sbx_header_bearer(sbx_req_t *r, sbx_str_t *v)
{
    size_t       n;
    const char  *p;

    /* AWS's: the access key's ID stands for who signs */

    n = sizeof("AWS4-HMAC-SHA256 Credential=") - 1;

    if (v->len > n && memcmp(v->data, "AWS4-HMAC-SHA256 Credential=", n) == 0) {
        p = memchr(v->data + n, '/', v->len - n);

        r->xkey.data = v->data + n;
        r->xkey.len = p ? (size_t) (p - r->xkey.data) : 0;
        return;
    }

    if (v->len < 7 || strncasecmp(v->data, "bearer ", 7) != 0) {
        return;
    }

    r->bearer = *v;

    do {
        r->bearer.data++;
        r->bearer.len--;
    } while (r->bearer.len && r->bearer.data[-1] != ' ');

    while (r->bearer.len && r->bearer.data[0] == ' ') {
        r->bearer.data++;
        r->bearer.len--;
    }
}


/* the names are told apart by their first letter to be quick */

static int
sbx_header_line(sbx_req_t *r, const char *name, size_t n, sbx_str_t *v)
{
    switch (name[0] | 0x20) {

    case 'a':
        if (sbx_header("authorization")) {
            sbx_header_bearer(r, v);

        } else if (sbx_header("anthropic-beta")) {
            r->beta = *v;

        } else if (sbx_header("api-key")) {
            r->otherkey = *v;
        }
        break;

    case 'c':
        if (sbx_header("content-length")) {
            return sbx_header_length(r, v);
        }

        if (sbx_header("content-type")) {
            r->ctype = *v;

        } else if (sbx_header("connection")) {
            if (v->len == 5 && strncasecmp(v->data, "close", 5) == 0) {
                r->keepalive = 0;
            }
        }
        break;

    case 'e':
        if (sbx_header("expect")) {
            r->expect = 1;
        }
        break;

    case 'o':
        if (sbx_header("origin")) {
            r->origin = *v;
        }
        break;

    case 't':
        if (sbx_header("transfer-encoding")) {
            if (v->len != 7 || strncasecmp(v->data, "chunked", 7) != 0
                || r->chunked)
            {
                return SBX_ERROR;
            }
            r->chunked = 1;
        }
        break;

    case 'x':
        if (sbx_header("x-api-key")) {
            r->xkey = *v;

        } else if (sbx_header("x-sandbox")) {
            r->xsandbox = *v;

        } else if (sbx_header("x-goog-api-key")) {
            r->otherkey = *v;
        }
        break;
    }

    return SBX_OK;
}


static int
sbx_request_line(sbx_req_t *r, const char *p, const char *eol)
{
    const char  *sp, *q, *a;

    sp = memchr(p, ' ', (size_t) (eol - p));
    if (sp == NULL || sp == p) {
        return SBX_ERROR;
    }

    r->method.data = p;
    r->method.len = (size_t) (sp - p);

    p = sp + 1;
    q = memchr(p, ' ', (size_t) (eol - p));

    if (q == NULL || q == p || eol - q != 9 || memcmp(q, " HTTP/1.", 8) != 0) {
        return SBX_ERROR;
    }

    r->keepalive = (q[8] == '1');
    r->target.data = p;
    r->target.len = (size_t) (q - p);
    r->path = r->target;
    r->head = sbx_is(&r->method, "HEAD");

    a = memchr(p, '?', r->target.len);

    if (a) {
        r->path.len = (size_t) (a - p);
        r->args.data = a + 1;
        r->args.len = (size_t) (q - a - 1);
    }

    return SBX_OK;
}


static void
sbx_credential(sbx_req_t *r)
{
    if (sbx_is(&r->xkey, "placeholder")) {

        /* Droid's, which shows nothing */

        r->xkey.len = 0;
    }

    if (r->xkey.len && r->bearer.len) {
        r->auth = SBX_AUTH_BOTH;
        r->credential = r->xkey;

    } else if (r->xkey.len) {
        r->auth = SBX_AUTH_KEY;
        r->credential = r->xkey;

    } else if (r->bearer.len) {
        r->auth = SBX_AUTH_BEARER;
        r->credential = r->bearer;

    } else if (r->otherkey.len) {
        r->auth = SBX_AUTH_OTHER;
        r->credential = r->otherkey;

    } else {
        return;
    }

    if (!r->control) {
        r->cred = sbx_cred_find(r->credential.data, r->credential.len);
        r->cred->requests++;
    }
}


static int
sbx_parse_lines(sbx_conn_t *c, const char *end)
{
    sbx_str_t    v;
    sbx_req_t   *r;
    const char  *p, *eol, *colon;

    r = &c->req;
    p = c->in;
    eol = memchr(p, '\r', (size_t) (end - p));

    if (eol == NULL || eol[1] != '\n'
        || sbx_request_line(r, p, eol) != SBX_OK)
    {
        return SBX_ERROR;
    }

    for (p = eol + 2; p < end; p = eol + 2) {

        eol = memchr(p, '\r', (size_t) (end - p));
        if (eol == NULL || eol[1] != '\n') {
            return SBX_ERROR;
        }

        if (eol == p) {
            break;
        }

        colon = memchr(p, ':', (size_t) (eol - p));
        if (colon == NULL || colon == p || colon[-1] == ' ' || *p == ' '
            || *p == '\t')
        {
            return SBX_ERROR;
        }

        v.data = colon + 1;
        v.len = (size_t) (eol - v.data);

        while (v.len && (v.data[0] == ' ' || v.data[0] == '\t')) {
            v.data++;
            v.len--;
        }

        while (v.len && (v.data[v.len - 1] == ' '
                         || v.data[v.len - 1] == '\t'))
        {
            v.len--;
        }

        if (sbx_header_line(r, p, (size_t) (colon - p), &v) != SBX_OK) {
            return SBX_ERROR;
        }
    }

    return (r->chunked && r->length != -1) ? SBX_ERROR : SBX_OK;
}


/* a request which is not HTTP: answer at once and close */

static void
sbx_bad_request(sbx_conn_t *c, int status, const char *message)
{
    sbx_stats.bad++;
    c->req.keepalive = 0;
    c->act = sbx_act_default;
    c->state = SBX_ST_REPLY;
    sbx_anthropic_error(c, status, NULL, message);
}


/* "early": answer without having read the body, then close */

static void
sbx_early(sbx_conn_t *c)
{
    sbx_behave(c, 1);

    if (c->act.flags & SBX_F_EARLY) {
        sbx_behave(c, 0);
        c->req.keepalive = 0;
        c->state = SBX_ST_REPLY;
        sbx_route(c);
    }
}


static int
sbx_parse_head(sbx_conn_t *c)
{
    char       *end;
    size_t      from;
    sbx_req_t  *r;

    while (c->in_len - c->in_pos >= 2 && c->scanned == 0
           && c->in[c->in_pos] == '\r' && c->in[c->in_pos + 1] == '\n')
    {
        c->in_pos += 2;
    }

    if (c->in_pos) {
        c->in_len -= c->in_pos;
        memmove(c->in, c->in + c->in_pos, c->in_len);
        c->in_pos = 0;
    }

    from = c->scanned > 3 ? c->scanned - 3 : 0;
    end = memmem(c->in + from, c->in_len - from, "\r\n\r\n", 4);
    r = &c->req;

    if (end == NULL) {
        c->scanned = c->in_len;

        if (c->in_len < SBX_HEAD_MAX) {
            return SBX_AGAIN;
        }

        memset(r, 0, sizeof(sbx_req_t));
        sbx_bad_request(c, 431, "request header is too large");
        return SBX_OK;
    }

    memset(r, 0, sizeof(sbx_req_t));
    r->length = -1;
    r->start = sbx_now;
    r->head_len = (size_t) (end + 4 - c->in);
    c->in_pos = r->head_len;
    c->scanned = 0;
    c->sent = 0;
    c->finished = 0;
    c->rep.started = 0;

    if (sbx_parse_lines(c, end + 4) != SBX_OK) {
        sbx_bad_request(c, 400, "the request is not valid HTTP/1.1");
        return SBX_OK;
    }

    r->control = r->path.len >= 9 && memcmp(r->path.data, "/sandbox/", 9) == 0;

    if (c->stale && !r->control) {
        return SBX_ERROR;
    }

    sbx_credential(r);

    if (!r->control) {
        c->requests++;
        if (!c->used) {
            c->used = 1;
            sbx_stats.used++;
        }
        sbx_stats.requests++;
        sbx_record_head(c);
    }

    c->chunk_state = SBX_CHUNK_SIZE;
    c->chunk_left = 0;

    if (r->length > SBX_BODY_MAX) {
        r->keepalive = 0;
        c->act = sbx_act_default;
        c->state = SBX_ST_REPLY;
        sbx_anthropic_error(c, 413, NULL, NULL);
        return SBX_OK;
    }

    c->state = SBX_ST_BODY;

    if (r->chunked || r->length > (int64_t) (c->in_len - c->in_pos)) {
        sbx_early(c);
    }

    return SBX_OK;
}


/* the body is hashed; its beginning and its end are kept */

static void
sbx_body_feed(sbx_conn_t *c, const char *p, size_t n)
{
    size_t      k;
    sbx_req_t  *r;

    r = &c->req;

    if (!sbx_quiet && !r->control) {
        if (!r->hashing) {
            SHA256_Init(&c->sha);
            r->hashing = 1;
        }
        SHA256_Update(&c->sha, p, n);
    }

    r->received += (int64_t) n;

    if (c->body.len < SBX_KEEP_MAX) {
        k = SBX_KEEP_MAX - c->body.len;
        sbx_put(&c->body, p, n < k ? n : k);
    }

    if (r->received > SBX_KEEP_MAX) {
        if (c->tail == NULL) {
            c->tail = calloc(1, SBX_TAIL_MAX);
            if (c->tail == NULL) {
                abort();
            }
        }

        if (n >= SBX_TAIL_MAX) {
            memcpy(c->tail, p + n - SBX_TAIL_MAX, SBX_TAIL_MAX);

        } else {
            memmove(c->tail, c->tail + n, SBX_TAIL_MAX - n);
            memcpy(c->tail + SBX_TAIL_MAX - n, p, n);
        }
    }
}


static int
sbx_chunk_line(sbx_conn_t *c, char **line, size_t *len)
{
    char  *p, *nl;

    p = c->in + c->in_pos;
    nl = memchr(p, '\n', c->in_len - c->in_pos);

    if (nl == NULL) {
        return c->in_len - c->in_pos > 1024 ? SBX_ERROR : SBX_AGAIN;
    }

    c->in_pos += (size_t) (nl + 1 - p);

    if (nl == p || nl[-1] != '\r') {
        return SBX_ERROR;
    }

    *line = p;
    *len = (size_t) (nl - 1 - p);

    return SBX_OK;
}


static int
sbx_body_chunked(sbx_conn_t *c)
{
    int     rc;
    char   *line, *stop;
    size_t  n;

    for ( ;; ) {

        if (c->chunk_state == SBX_CHUNK_DATA) {
            n = c->in_len - c->in_pos;
            n = n < c->chunk_left ? n : c->chunk_left;

            sbx_body_feed(c, c->in + c->in_pos, n);
            c->in_pos += n;
            c->chunk_left -= n;

            if (c->chunk_left) {
                return SBX_AGAIN;
            }

            c->chunk_state = SBX_CHUNK_CRLF;
        }

        rc = sbx_chunk_line(c, &line, &n);
        if (rc != SBX_OK) {
            return rc;
        }

        switch (c->chunk_state) {

        case SBX_CHUNK_CRLF:
            if (n) {
                return SBX_ERROR;
            }
            c->chunk_state = SBX_CHUNK_SIZE;
            break;

        case SBX_CHUNK_SIZE:
            if (n == 0 || n > 1000 || *line == '-' || *line == '+') {
                return SBX_ERROR;
            }
            c->chunk_left = strtoull(line, &stop, 16);
            if (stop == line || (*stop != '\r' && *stop != ';')
                || c->chunk_left > SBX_BODY_MAX
                || c->req.received + (int64_t) c->chunk_left > SBX_BODY_MAX)
            {
                return SBX_ERROR;
            }
            c->chunk_state = c->chunk_left ? SBX_CHUNK_DATA
                                           : SBX_CHUNK_TRAILER;
            break;

        default: /* SBX_CHUNK_TRAILER */
            if (n == 0) {
                return SBX_OK;
            }
        }
    }
}


static int
sbx_body_read_chunked(sbx_conn_t *c)
{
    int      rc;
    size_t   base;
    ssize_t  n;

    base = c->req.head_len;

    for ( ;; ) {
        rc = sbx_body_chunked(c);

        if (rc != SBX_AGAIN) {
            return rc;
        }

        /* move what is left of a chunk line to the beginning */

        if (c->in_pos > base) {
            memmove(c->in + base, c->in + c->in_pos, c->in_len - c->in_pos);
            c->in_len -= c->in_pos - base;
            c->in_pos = base;
        }

        if (!c->readable) {
            return SBX_AGAIN;
        }

        n = sbx_recv(c, c->in + c->in_len, SBX_IN_SIZE - c->in_len);
        if (n <= 0) {
            return n == SBX_AGAIN ? SBX_AGAIN : SBX_ERROR;
        }

        c->in_len += (size_t) n;
    }
}


static int
sbx_body_read(sbx_conn_t *c)
{
    size_t      n;
    ssize_t     k;
    int64_t     left;
    sbx_req_t  *r;

    r = &c->req;

    if (r->chunked) {
        return sbx_body_read_chunked(c);
    }

    if (r->length <= 0) {
        return SBX_OK;
    }

    n = c->in_len - c->in_pos;
    left = r->length - r->received;

    if (r->received == 0 && (int64_t) n >= left) {

        /* the usual case: all is here */

        r->body.data = c->in + c->in_pos;
        r->body.len = (size_t) left;
        r->received = left;
        c->in_pos += (size_t) left;

        return SBX_OK;
    }

    if (n) {
        if (c->body.len == 0) {
            sbx_reserve(&c->body, left < SBX_KEEP_MAX ? (size_t) left
                                                      : SBX_KEEP_MAX);
        }
        sbx_body_feed(c, c->in + c->in_pos, n);
        c->in_pos = c->in_len = r->head_len;
    }

    for ( ;; ) {
        left = r->length - r->received;

        if (left == 0) {
            return SBX_OK;
        }

        if (!c->readable) {
            return SBX_AGAIN;
        }

        n = left < (int64_t) sizeof(sbx_scratch) ? (size_t) left
                                                 : sizeof(sbx_scratch);
        k = sbx_recv(c, sbx_scratch, n);
        if (k <= 0) {
            return k == SBX_AGAIN ? SBX_AGAIN : SBX_ERROR;
        }

        sbx_body_feed(c, sbx_scratch, (size_t) k);
    }
}


static void
sbx_body_done(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (r->body.data == NULL && c->body.len) {
        r->body.data = c->body.data;
        r->body.len = c->body.len;
    }

    if (!r->control) {
        sbx_record_body(c);
    }

    if (c->rdhup) {
        c->rdhup = 0;
        c->half = 1;
        r->keepalive = 0;
    }

    c->state = SBX_ST_REPLY;
    sbx_behave(c, 0);
    sbx_route(c);
}


static void
sbx_expect(sbx_conn_t *c)
{
    static const char  text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (c->req.expect && c->req.received == 0 && c->in_pos == c->in_len) {
        (void) sbx_send(c, text, sizeof(text) - 1);
    }

    c->req.expect = 0;
}


/*
 * A close() with unread data would reset the connection and might take
 * the answer with it, so what the client still sends is read for a while.
 */

static int
sbx_linger(sbx_conn_t *c)
{
    if (c->half || c->ssl
        || (!c->req.expect && !c->readable && c->in_pos == c->in_len
            && c->req.received >= c->req.length && !c->req.chunked))
    {
        return SBX_END;
    }

    shutdown(c->fd, SHUT_WR);

    c->discard = 1;
    c->state = SBX_ST_LINGER;
    sbx_timer_add(c, SBX_LINGER_TIME);

    return SBX_OK;
}


static int
sbx_discard(sbx_conn_t *c)
{
    ssize_t  n;

    while (c->discard && c->readable) {
        n = sbx_recv(c, sbx_scratch, sizeof(sbx_scratch));
        if (n <= 0 && n != SBX_AGAIN) {
            return SBX_ERROR;
        }
    }

    return SBX_AGAIN;
}


/* the end of an exchange: SBX_OK if the connection may go on */

static int
sbx_finish(sbx_conn_t *c)
{
    int  early;

    early = (c->act.flags & SBX_F_EARLY_CLOSE) != 0;

    if (c->act.flags & SBX_F_STALE) {
        c->stale = 1;
    }

    if (c->req.id) {
        sbx_record_done(c, 0);
        c->req.id = 0;
    }

    sbx_reply_cleanup(c);

    sbx_buf_done(&c->body, SBX_IN_SIZE);
    sbx_buf_done(&c->out, 16384);
    sbx_buf_done(&c->unit, 16384);
    sbx_buf_done(&c->text, 16384);
    sbx_buf_done(&c->cmds, 16384);
    free(c->tail);
    c->tail = NULL;

    if (!c->req.keepalive || c->half) {
        return sbx_linger(c);
    }

    c->in_len -= c->in_pos;

    if (c->in_len) {
        memmove(c->in, c->in + c->in_pos, c->in_len);

    } else {
        sbx_block_put(c->in);
        c->in = NULL;
    }

    c->in_pos = 0;
    c->scanned = 0;
    c->state = SBX_ST_HEAD;

    if (early) {
        c->state = SBX_ST_LINGER;
        sbx_timer_add(c, 1);
    }

    return SBX_OK;
}


static int
sbx_read_head(sbx_conn_t *c)
{
    int      rc;
    ssize_t  n;

    for ( ;; ) {

        if (c->in_len) {
            rc = sbx_parse_head(c);
            if (rc != SBX_AGAIN) {
                return rc;
            }
        }

        if (!c->readable) {
            return SBX_AGAIN;
        }

        if (c->in == NULL) {
            c->in = sbx_block_get();
        }

        n = sbx_recv(c, c->in + c->in_len, SBX_IN_SIZE - c->in_len);

        if (n <= 0) {
            if (n == SBX_AGAIN && c->in_len == 0) {
                sbx_block_put(c->in);
                c->in = NULL;
            }
            return n == SBX_AGAIN ? SBX_AGAIN : SBX_ERROR;
        }

        c->in_len += (size_t) n;
    }
}


static int
sbx_handshake(sbx_conn_t *c)
{
    int  n, err;

    ERR_clear_error();
    n = SSL_do_handshake(c->ssl);

    if (n == 1) {
        sbx_stats.handshakes++;
        if (SSL_session_reused(c->ssl)) {
            sbx_stats.resumed++;
        }
        c->state = SBX_ST_HEAD;
        return SBX_OK;
    }

    err = SSL_get_error(c->ssl, n);

    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
        return SBX_AGAIN;
    }

    sbx_stats.handshake_errors++;
    c->broken = 1;

    return SBX_ERROR;
}


static void
sbx_conn_run(sbx_conn_t *c)
{
    int  rc;

    for ( ;; ) {

        switch (c->state) {

        case SBX_ST_TLS:
            rc = sbx_handshake(c);
            break;

        case SBX_ST_HEAD:
            rc = sbx_read_head(c);
            break;

        case SBX_ST_BODY:
            sbx_expect(c);
            rc = sbx_body_read(c);

            if (rc == SBX_ERROR) {
                sbx_conn_abort(c);
                return;
            }

            if (rc == SBX_OK) {
                sbx_body_done(c);
            }
            break;

        case SBX_ST_REPLY:
            if (c->rdhup) {
                sbx_conn_abort(c);
                return;
            }

            rc = sbx_reply_run(c);

            if (rc == SBX_ERROR) {
                sbx_conn_abort(c);
                return;
            }

            if (rc == SBX_DECLINED) {
                sbx_conn_close(c, 1);
                return;
            }

            if (rc == SBX_OK) {
                sbx_conn_close(c, 0);
                return;
            }

            if (rc == SBX_END) {
                c->finished = 1;
                rc = sbx_finish(c);
            }
            break;

        default: /* SBX_ST_LINGER */
            rc = sbx_discard(c);
        }

        if (rc == SBX_AGAIN) {
            return;
        }

        if (rc != SBX_OK) {
            sbx_conn_close(c, 0);
            return;
        }
    }
}


void
sbx_conn_event(sbx_conn_t *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        c->readable = 1;
        c->rdhup = 1;
        c->broken = 1;
    }

    if (events & EPOLLRDHUP) {
        c->readable = 1;
        c->rdhup |= !c->half;
    }

    if (events & EPOLLIN) {
        c->readable = 1;
    }

    sbx_conn_run(c);
}


void
sbx_conn_timer(sbx_conn_t *c)
{
    if (c->state == SBX_ST_LINGER) {
        sbx_conn_close(c, 0);
        return;
    }

    sbx_conn_run(c);
}
