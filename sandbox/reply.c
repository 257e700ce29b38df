
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define SBX_BUDGET  256


/*
 * An answer goes through these phases.  A dialect gives a generator of
 * units, which are events of a stream or all of a JSON answer; framing,
 * compression, pacing and faults are applied here.
 */

enum {
    SBX_PH_FIRST = 0,
    SBX_PH_PRE,
    SBX_PH_HEAD,
    SBX_PH_GAP,
    SBX_PH_BODY,
    SBX_PH_TAIL,
    SBX_PH_DONE,
    SBX_PH_FOREVER,
    SBX_PH_CLOSE,
    SBX_PH_RST,
    SBX_PH_HANG
};


static const char *
sbx_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 302: return "Found";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Request Entity Too Large";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 529: return "Overloaded";
    default:  return "Unknown";
    }
}


ssize_t
sbx_send(sbx_conn_t *c, const char *p, size_t n)
{
    int      k, err;
    ssize_t  rc;

    if (c->ssl) {
        ERR_clear_error();
        k = SSL_write(c->ssl, p, n > 1 << 20 ? 1 << 20 : (int) n);

        if (k > 0) {
            c->sent += (uint64_t) k;
            return k;
        }

        err = SSL_get_error(c->ssl, k);

        return (err == SSL_ERROR_WANT_WRITE || err == SSL_ERROR_WANT_READ)
               ? SBX_AGAIN : SBX_ERROR;
    }

    do {
        rc = send(c->fd, p, n, MSG_NOSIGNAL);
    } while (rc == -1 && errno == EINTR);

    if (rc >= 0) {
        c->sent += (uint64_t) rc;
        return rc;
    }

    return errno == EAGAIN ? SBX_AGAIN : SBX_ERROR;
}


static int
sbx_flush(sbx_conn_t *c)
{
    size_t   n;
    ssize_t  k;

    while (c->out_pos < c->out.len) {
        n = c->out.len - c->out_pos;

        if (c->rep.dribbling && n > (size_t) c->act.dribble) {
            n = (size_t) c->act.dribble;
        }

        k = sbx_send(c, c->out.data + c->out_pos, n);
        if (k < 0) {
            return (int) k;
        }

        c->out_pos += (size_t) k;

        if (c->rep.dribbling && c->out_pos < c->out.len) {
            sbx_timer_add(c, c->act.dribble_delay);
            return SBX_AGAIN;
        }
    }

    c->out.len = 0;
    c->out_pos = 0;

    return SBX_OK;
}


static int
sbx_gzip_start(sbx_reply_t *r)
{
    r->z = calloc(1, sizeof(z_stream));

    if (r->z == NULL
        || deflateInit2(r->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY)
           != Z_OK)
    {
        abort();
    }

    return SBX_OK;
}


static void
sbx_gzip_end(sbx_reply_t *r)
{
    if (r->z) {
        deflateEnd(r->z);
        free(r->z);
        r->z = NULL;
    }
}


/* replaces the contents of a buffer by its compressed form */

static void
sbx_gzip(z_stream *z, sbx_buf_t *b, int last)
{
    sbx_buf_t  out;

    memset(&out, 0, sizeof(out));
    sbx_reserve(&out, b->len / 2 + 256);

    z->next_in = (Bytef *) b->data;
    z->avail_in = (uInt) b->len;

    do {
        sbx_reserve(&out, 256);
        z->next_out = (Bytef *) out.data + out.len;
        z->avail_out = (uInt) (out.size - out.len);

        (void) deflate(z, last ? Z_FINISH : Z_SYNC_FLUSH);

        out.len = (size_t) ((char *) z->next_out - out.data);

    } while (z->avail_out == 0);

    free(b->data);
    *b = out;
}


/* appends the next unit to c->unit; SBX_END after the last one */

static int
sbx_unit_next(sbx_conn_t *c)
{
    int     rc;
    size_t  start;

    c->rep.gen.paced = 0;

    do {
        start = c->unit.len;
        rc = c->rep.next(c, &c->unit);
    } while (rc == SBX_OK && c->unit.len == start);

    return rc;
}


/* the length of a stream is found by generating it twice */

static int64_t
sbx_count(sbx_conn_t *c)
{
    int           rc;
    int64_t       total;
    sbx_gen_t     gen;
    sbx_reply_t  *r;

    r = &c->rep;
    gen = r->gen;
    total = 0;

    if (r->gzip) {
        sbx_gzip_start(r);
    }

    do {
        c->unit.len = 0;
        rc = sbx_unit_next(c);

        if (r->gzip) {
            sbx_gzip(r->z, &c->unit, rc == SBX_END);
        }

        total += (int64_t) c->unit.len;

    } while (rc == SBX_OK);

    sbx_gzip_end(r);

    r->gen = gen;
    c->unit.len = 0;

    return total;
}


static void
sbx_head_date(sbx_buf_t *b)
{
    struct tm  tm;

    static char    text[64];
    static size_t  len;
    static time_t  last;

    if (last != sbx_time) {
        last = sbx_time;
        gmtime_r(&last, &tm);
        len = strftime(text, sizeof(text),
                       "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    }

    sbx_put(b, text, len);
}


static void
sbx_head_extra(sbx_conn_t *c, sbx_buf_t *b)
{
    int         i;
    sbx_act_t  *a;

    a = &c->act;

    if (a->flags & SBX_F_SET_COOKIE) {
        sbx_lit(b, "set-cookie: __cf_bm=sandbox; path=/; HttpOnly; Secure\r\n"
                   "alt-svc: h3=\":443\"; ma=86400\r\n"
                   "strict-transport-security: max-age=31536000\r\n"
                   "x-accel-redirect: /etc/passwd\r\n"
                   "x-accel-buffering: yes\r\n"
                   "server: evil\r\n");
    }

    if (a->retry_after >= 0) {
        sbx_lit(b, "retry-after: ");
        sbx_putn(b, a->retry_after);
        sbx_lit(b, "\r\n");
    }

    if (a->should_retry >= 0) {
        sbx_puts(b, a->should_retry ? "x-should-retry: true\r\n"
                                    : "x-should-retry: false\r\n");
    }

    for (i = 0; i < a->nextra; i++) {
        sbx_puts(b, a->extra[i]);
        sbx_lit(b, "\r\n");
    }
}


static void
sbx_head_framing(sbx_conn_t *c, sbx_buf_t *b)
{
    int64_t       n;
    sbx_act_t    *a;
    sbx_reply_t  *r;

    a = &c->act;
    r = &c->rep;

    if (a->flags & SBX_F_NEG_LENGTH) {
        sbx_lit(b, "content-length: -5\r\n");
        r->frame = SBX_FRAME_CLOSE;

    } else if (r->frame == SBX_FRAME_CHUNKED) {
        sbx_lit(b, "transfer-encoding: chunked\r\n");

        if (a->flags & SBX_F_TRAILER) {
            sbx_lit(b, "trailer: x-sandbox-trailer\r\n");
        }

    } else if (r->frame == SBX_FRAME_SIZED) {
        n = r->stream ? sbx_count(c) : (int64_t) c->text.len;

        sbx_lit(b, "content-length: ");
        sbx_putn(b, n);
        sbx_lit(b, "\r\n");

        if (a->flags & SBX_F_DUP_LENGTH) {
            sbx_lit(b, "content-length: ");
            sbx_putn(b, n + 1);
            sbx_lit(b, "\r\n");
        }
    }

    if (r->frame == SBX_FRAME_CLOSE) {
        c->req.keepalive = 0;
    }

    if (c->req.keepalive) {
        sbx_lit(b, "connection: keep-alive\r\n");

    } else {
        sbx_lit(b, "connection: close\r\n");
    }
}


static void
sbx_head(sbx_conn_t *c)
{
    sbx_buf_t    *b;
    sbx_reply_t  *r;

    b = &c->out;
    r = &c->rep;

    r->started = 1;

    sbx_reserve(b, 2048);

    if (c->act.flags & SBX_F_CONTINUE) {
        sbx_lit(b, "HTTP/1.1 100 Continue\r\n\r\n");
    }

    if (c->act.flags & SBX_F_HINTS) {
        sbx_lit(b, "HTTP/1.1 103 Early Hints\r\n"
                   "link: </style.css>; rel=preload\r\n\r\n");
    }

    if (r->status == 200) {
        sbx_lit(b, "HTTP/1.1 200 OK\r\n");

    } else {
        sbx_lit(b, "HTTP/1.1 ");
        sbx_putn(b, r->status);
        sbx_lit(b, " ");
        sbx_puts(b, sbx_reason(r->status));
        sbx_lit(b, "\r\n");
    }

    sbx_head_date(b);

    if (r->ctype) {
        sbx_lit(b, "content-type: ");
        sbx_puts(b, r->ctype);
        sbx_lit(b, "\r\n");
    }

    if (r->gzip) {
        sbx_lit(b, "content-encoding: gzip\r\n");
    }

    sbx_head_framing(c, b);

    if (r->headers) {
        r->headers(c, b);
    }

    sbx_head_extra(c, b);

    sbx_lit(b, "\r\n");
}


static int
sbx_text_next(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_buf_t  t;

    /* the text becomes the unit without a copy */

    t = *b;
    *b = c->text;
    c->text = t;
    c->text.len = 0;

    return SBX_END;
}


void
sbx_reply_start(sbx_conn_t *c, int status, const char *ctype)
{
    int           frame;
    sbx_reply_t  *r;

    sbx_reply_cleanup(c);

    r = &c->rep;
    memset(r, 0, sizeof(sbx_reply_t));

    r->status = status;
    r->ctype = ctype;

    frame = (int) c->act.frame;

    if (c->act.flags & (SBX_F_BAD_CHUNK | SBX_F_TRAILER)) {
        frame = SBX_FRAME_CHUNKED;
    }

    if (c->act.flags & SBX_F_DUP_LENGTH) {
        frame = SBX_FRAME_SIZED;
    }

    r->frame = frame;
    r->gzip = (c->act.flags & SBX_F_GZIP) != 0;
    r->dribbling = (c->act.dribble > 0);
    c->out.len = 0;
    c->out_pos = 0;
    c->unit.len = 0;
}


static void
sbx_reply_prepare(sbx_conn_t *c)
{
    sbx_reply_t  *r;

    r = &c->rep;

    if (r->next) {
        r->stream = 1;

        if (r->frame == SBX_FRAME_DEFAULT) {
            r->frame = SBX_FRAME_CHUNKED;
        }

    } else {
        r->next = sbx_text_next;

        if (r->frame == SBX_FRAME_DEFAULT) {
            r->frame = SBX_FRAME_SIZED;
        }

        if (r->gzip) {
            sbx_gzip_start(r);
            sbx_gzip(r->z, &c->text, 1);
            sbx_gzip_end(r);
        }
    }
}


static void
sbx_frame(sbx_conn_t *c, const char *p, size_t n)
{
    int         i;
    size_t      v;
    sbx_buf_t  *b;

    b = &c->out;

    if (c->rep.frame != SBX_FRAME_CHUNKED) {
        sbx_put(b, p, n);
        return;
    }

    for (i = 1, v = n >> 4; v; v >>= 4) {
        i++;
    }

    sbx_reserve(b, n + 32);
    sbx_put_hex(b, n, i);
    sbx_lit(b, "\r\n");
    sbx_put(b, p, n);
    sbx_lit(b, "\r\n");
}


static int
sbx_fault_due(sbx_conn_t *c)
{
    return c->act.fault && c->rep.stream && c->rep.gen.opened
           && c->rep.gen.deltas >= c->act.fault_at;
}


static int
sbx_fault(sbx_conn_t *c)
{
    sbx_reply_t  *r;

    r = &c->rep;
    r->push = 1;
    r->hit = 0;

    switch (c->act.fault) {

    case SBX_FAULT_ERROR:
        r->gen.error = 1;
        c->act.fault = SBX_FAULT_NONE;
        return SBX_PH_BODY;

    case SBX_FAULT_END:
        return SBX_PH_TAIL;

    case SBX_FAULT_STALL:
        return SBX_PH_HANG;

    case SBX_FAULT_RESET:
        r->wait = 2;
        return SBX_PH_RST;

    default: /* SBX_FAULT_CUT */
        return SBX_PH_CLOSE;
    }
}


/* makes the next unit, in a coalesced stream all of them */

static void
sbx_unit_make(sbx_conn_t *c)
{
    int           rc;
    sbx_act_t    *a;
    sbx_reply_t  *r;

    a = &c->act;
    r = &c->rep;

    c->unit.len = 0;
    r->unit_pos = 0;

    do {
        rc = sbx_unit_next(c);

        if (rc == SBX_OK && (a->flags & SBX_F_COALESCE) && sbx_fault_due(c)) {
            if (a->fault == SBX_FAULT_ERROR) {
                (void) sbx_fault(c);
                continue;
            }
            break;
        }

    } while (rc == SBX_OK && (a->flags & SBX_F_COALESCE)
             && c->unit.len < SBX_TEXT_MAX);

    r->last = (rc == SBX_END);

    if (!r->stream && a->fault && a->fault != SBX_FAULT_ERROR
        && (size_t) a->fault_at < c->unit.len)
    {
        c->unit.len = (size_t) a->fault_at;
        r->hit = 1;
    }

    if (r->z) {
        sbx_gzip(r->z, &c->unit, r->last);
    }
}


/* one step of the body, returns the next phase */

static int
sbx_body_step(sbx_conn_t *c)
{
    int           phase;
    size_t        n;
    sbx_act_t    *a;
    sbx_reply_t  *r;

    a = &c->act;
    r = &c->rep;

    if (r->unit_pos == c->unit.len) {

        if (r->hit || (!r->last && sbx_fault_due(c))) {
            phase = sbx_fault(c);
            if (phase != SBX_PH_BODY) {
                return phase;
            }
        }

        if (r->last) {
            return SBX_PH_TAIL;
        }

        sbx_unit_make(c);

        if (c->unit.len == 0) {
            return SBX_PH_BODY;
        }
    }

    n = c->unit.len - r->unit_pos;

    if (a->split && n > (size_t) a->split) {
        n = (size_t) a->split;
    }

    sbx_frame(c, c->unit.data + r->unit_pos, n);
    r->unit_pos += n;

    if ((a->flags & SBX_F_BAD_CHUNK) && (r->gen.deltas || r->last)) {
        sbx_lit(&c->out, "xyz\r\nthis is no chunk\r\n");
        r->push = 1;
        r->wait = 2;
        return SBX_PH_CLOSE;
    }

    if (r->unit_pos < c->unit.len) {
        r->wait = a->split_delay;
        r->push = 1;

    } else if (r->stream && !(a->flags & SBX_F_BURST)) {
        r->wait = r->gen.paced ? a->delay : 0;
        r->push = !r->last;
    }

    return SBX_PH_BODY;
}


static void
sbx_tail(sbx_conn_t *c)
{
    sbx_buf_t    *b;
    sbx_reply_t  *r;

    b = &c->out;
    r = &c->rep;

    if (r->z && !r->last) {
        c->unit.len = 0;
        sbx_gzip(r->z, &c->unit, 1);
        sbx_frame(c, c->unit.data, c->unit.len);
    }

    if (r->frame == SBX_FRAME_CHUNKED) {

        if (c->act.flags & SBX_F_TRAILER) {
            sbx_lit(b, "0\r\nx-sandbox-trailer: yes\r\n\r\n");

        } else {
            sbx_lit(b, "0\r\n\r\n");
        }
    }

    r->push = 1;
}


/* faults instead of an answer */

static int
sbx_pre(sbx_conn_t *c)
{
    sbx_buf_t  *b;

    b = &c->out;

    switch (c->act.pre) {

    case SBX_PRE_NOTHING:
        return SBX_PH_HANG;

    case SBX_PRE_CLOSE:
        return SBX_PH_CLOSE;

    case SBX_PRE_RST:
        return SBX_PH_RST;

    case SBX_PRE_GARBAGE:
        sbx_lit(b, "\x01\x02garbage: this is not HTTP\n\n\xff\xfe\r\n\r\n");
        c->rep.push = 1;
        c->rep.wait = 2;
        return SBX_PH_CLOSE;

    case SBX_PRE_FOREVER:
        sbx_lit(b, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        return SBX_PH_FOREVER;

    default:
        return SBX_PH_HEAD;
    }
}


static int
sbx_after_head(sbx_conn_t *c)
{
    sbx_reply_t  *r;

    r = &c->rep;

    if (c->req.head || r->status == 204 || r->status == 304) {
        r->push = 1;
        return SBX_PH_DONE;
    }

    if (r->gzip && r->stream) {
        sbx_gzip_start(r);
    }

    if (c->act.flags & SBX_F_SLOW_HEADER) {
        r->dribbling = 1;
        r->push = 1;
        c->act.dribble = 1;
        c->act.dribble_delay = 50;
    }

    if (c->act.body_delay) {
        r->push = 1;
        r->wait = c->act.body_delay;
    }

    return SBX_PH_GAP;
}


/* SBX_END: done, SBX_OK: close, SBX_DECLINED: reset */

int
sbx_reply_run(sbx_conn_t *c)
{
    int           rc, budget;
    void        (*due)(sbx_conn_t *c);
    sbx_reply_t  *r;

    r = &c->rep;

    if (c->heap >= 0) {
        return SBX_AGAIN;
    }

    for (budget = SBX_BUDGET; ; budget--) {

        if (r->push || c->out.len - c->out_pos > SBX_IN_SIZE) {
            rc = sbx_flush(c);
            if (rc != SBX_OK) {
                return rc;
            }
            r->push = 0;
        }

        if (r->wait || budget == 0) {
            sbx_timer_add(c, r->wait);
            r->wait = 0;
            return SBX_AGAIN;
        }

        switch (r->phase) {

        case SBX_PH_FIRST:
            r->wait = c->act.first;
            r->phase = SBX_PH_PRE;
            break;

        case SBX_PH_PRE:
            if (r->due) {
                due = r->due;
                r->due = NULL;
                due(c);
                break;
            }

            sbx_reply_prepare(c);
            r->phase = sbx_pre(c);
            break;

        case SBX_PH_HEAD:
            sbx_head(c);
            r->phase = sbx_after_head(c);
            break;

        case SBX_PH_GAP:
            if (c->act.flags & SBX_F_SLOW_HEADER) {
                r->dribbling = 0;
            }
            r->phase = SBX_PH_BODY;
            break;

        case SBX_PH_BODY:
            r->phase = sbx_body_step(c);
            break;

        case SBX_PH_TAIL:
            sbx_tail(c);
            r->phase = SBX_PH_DONE;
            break;

        case SBX_PH_DONE:
            return SBX_END;

        case SBX_PH_FOREVER:
            sbx_putf(&c->out, "x-filler-%d: %060d\r\n", budget, budget);
            r->push = 1;
            r->wait = 1;
            break;

        case SBX_PH_CLOSE:
            return SBX_OK;

        case SBX_PH_RST:
            return SBX_DECLINED;

        default: /* SBX_PH_HANG */

            /* a half closed connection gives no sign of its full end */

            return c->half ? SBX_ERROR : SBX_AGAIN;
        }
    }
}


void
sbx_reply_cleanup(sbx_conn_t *c)
{
    sbx_gzip_end(&c->rep);
}
