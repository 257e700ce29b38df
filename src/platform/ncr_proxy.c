
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, RFC 1929). */


#include "ncr_proxy.h"
#include "ncr_out.h"
#include "ncr_platform.h"
#include "ncr_str.h"


/* one byte of length each (RFC 1928, 5 and RFC 1929, 2) */
#define NCR_PROXY_NAME_LEN  255

/* an HTTP proxy has no such limit, but the request must fit into buf */
#define NCR_PROXY_USER_LEN  512

#define NCR_PROXY_SOCKS     5
#define NCR_PROXY_NONE      0           /* authentication methods */
#define NCR_PROXY_PASSWORD  2
#define NCR_PROXY_NO_WAY    0xff

#define NCR_PROXY_IPV4      1           /* kinds of addresses */
#define NCR_PROXY_DOMAIN    3
#define NCR_PROXY_IPV6      4


typedef enum {
    NCR_PROXY_HEAD = 0,
    NCR_PROXY_METHOD,
    NCR_PROXY_AUTH,
    NCR_PROXY_REPLY,
    NCR_PROXY_ADDRESS,
    NCR_PROXY_OPEN,
    NCR_PROXY_FAILED
} ncr_proxy_state_e;


static const char *ncr_proxy_user(ncr_str_t *s, ncr_char_t *buf,
    ncr_proxy_url_t *url);
static const char *ncr_proxy_decode(ncr_str_t *s, ncr_char_t **buf,
    ncr_str_t *decoded);
static ncr_int_t ncr_proxy_hex(ncr_char_t c);
static ncr_int_t ncr_proxy_failed(ncr_proxy_t *px, const char *error);
static ncr_int_t ncr_proxy_closed(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_connect(ncr_proxy_t *px);
static void ncr_proxy_base64(ncr_out_t *out, ncr_str_t *user,
    ncr_str_t *password);
static ncr_int_t ncr_proxy_head(ncr_proxy_t *px, ncr_char_t *p, size_t n);
static ncr_int_t ncr_proxy_head_line(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_head_end(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_refused(ncr_proxy_t *px);
static ncr_uint_t ncr_proxy_is_page(ncr_proxy_t *px);
static void ncr_proxy_greet(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_method(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_auth(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_request(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_reply(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_address(ncr_proxy_t *px);
static ncr_int_t ncr_proxy_expect(ncr_proxy_t *px, ncr_uint_t state,
    size_t want);
static ncr_uint_t ncr_proxy_ip4(ncr_str_t *s, ncr_char_t *addr);
static ncr_uint_t ncr_proxy_ip6(ncr_str_t *s, ncr_char_t *addr);


const char *
ncr_proxy_url_parse(ncr_str_t *text, ncr_char_t *buf, ncr_proxy_url_t *url)
{
    size_t       i, at, end;
    ncr_str_t    scheme, s;
    ncr_url_t    authority;
    ncr_char_t   addr[16];
    const char  *err;

    memset(url, 0, sizeof(ncr_proxy_url_t));
    memset(&authority, 0, sizeof(ncr_url_t));

    for (i = 0; i < text->len; i++) {
        if (text->data[i] <= ' ' || text->data[i] >= 0x7f) {
            return "invalid character in proxy URL";
        }
    }

    scheme = *text;
    scheme.len = 0;

    while (scheme.len < text->len && text->data[scheme.len] != ':') {
        scheme.len++;
    }

    i = scheme.len + sizeof("://") - 1;

    if (i > text->len || memcmp(text->data + scheme.len, "://", 3) != 0) {
        return "proxy URL is none of http://, socks5:// and socks5h://";
    }

    if (ncr_str_caseeq(&scheme, "http")) {
        url->type = NCR_PROXY_HTTP;
        authority.port = 80;

    } else if (ncr_str_caseeq(&scheme, "socks5")
               || ncr_str_caseeq(&scheme, "socks5h"))
    {
        url->type = NCR_PROXY_SOCKS5;
        authority.port = 1080;

    } else if (ncr_str_caseeq(&scheme, "https")) {
        return "TLS to the proxy itself (https://) is not supported, "
               "use http://, socks5:// or socks5h://";

    } else {
        return "proxy URL is none of http://, socks5:// and socks5h://";
    }

    /* the last "@" counts, whatever a password has */

    at = i;

    for (end = i; end < text->len && text->data[end] != '/'; end++) {
        if (text->data[end] == '@') {
            at = end + 1;
        }
    }

    if (text->len - end > 1) {
        return "proxy URL has a path";
    }

    s.data = text->data + at;
    s.len = end - at;

    err = ncr_url_authority(&s, &authority);
    if (err) {
        return err;
    }

    url->host = authority.host;
    url->port = authority.port;

    if (url->host.data[0] == '[') {
        url->host.data++;
        url->host.len -= 2;

        if (!ncr_proxy_ip6(&url->host, addr)) {
            return "invalid host in URL";
        }
    }

    if (at == i) {
        return NULL;
    }

    s.data = text->data + i;
    s.len = at - 1 - i;

    return ncr_proxy_user(&s, buf, url);
}


static const char *
ncr_proxy_user(ncr_str_t *s, ncr_char_t *buf, ncr_proxy_url_t *url)
{
    size_t       max;
    ncr_str_t    user, password;
    const char  *err;

    user = *s;
    user.len = 0;

    while (user.len < s->len && s->data[user.len] != ':') {
        user.len++;
    }

    err = ncr_proxy_decode(&user, &buf, &url->user);
    if (err) {
        return err;
    }

    if (user.len < s->len) {
        password.data = s->data + user.len + 1;
        password.len = s->len - user.len - 1;

        err = ncr_proxy_decode(&password, &buf, &url->password);
        if (err) {
            return err;
        }
    }

    max = NCR_PROXY_USER_LEN;

    /* RFC 1929, 2: a user has a byte at least; in HTTP he may have none */

    if (url->user.len == 0
        && (url->type == NCR_PROXY_SOCKS5 || url->password.len == 0))
    {
        return "no user in proxy URL";
    }

    if (url->type == NCR_PROXY_SOCKS5) {
        max = NCR_PROXY_NAME_LEN;

    } else if (url->user.len
               && memchr(url->user.data, ':', url->user.len) != NULL)
    {
        /* RFC 7617, 2 */
        return "user in proxy URL has a colon, HTTP does not allow that";
    }

    if (url->user.len > max || url->password.len > max) {
        return "user or password in proxy URL is too long";
    }

    return NULL;
}


static const char *
ncr_proxy_decode(ncr_str_t *s, ncr_char_t **buf, ncr_str_t *decoded)
{
    size_t      i;
    ncr_int_t   high, low;
    ncr_char_t  c;

    decoded->data = *buf;
    decoded->len = 0;

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (c == '%') {

            if (s->len - i < 3) {
                return "invalid % in proxy URL";
            }

            high = ncr_proxy_hex(s->data[i + 1]);
            low = ncr_proxy_hex(s->data[i + 2]);

            if (high < 0 || low < 0) {
                return "invalid % in proxy URL";
            }

            c = (ncr_char_t) (high * 16 + low);
            i += 2;
        }

        if (c < ' ' || c == 0x7f) {
            return "control character in the credentials of proxy URL";
        }

        decoded->data[decoded->len++] = c;
    }

    *buf += decoded->len;

    return NULL;
}


static ncr_int_t
ncr_proxy_hex(ncr_char_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


ncr_int_t
ncr_proxy_start(ncr_proxy_t *px, ncr_proxy_url_t *proxy, ncr_str_t *host,
    ncr_uint_t port)
{
    size_t  i;

    px->proxy = proxy;
    px->host = *host;
    px->port = port;
    px->want = 0;
    px->used = 0;
    px->error = NULL;
    px->status = 0;
    px->len = 0;
    px->start = 0;

    ncr_str_null(&px->out);

    if (host->len == 0 || host->len > NCR_PROXY_NAME_LEN) {
        return ncr_proxy_failed(px, "the target's name is too long");
    }

    for (i = 0; i < host->len; i++) {
        if (host->data[i] <= ' ' || host->data[i] >= 0x7f) {
            return ncr_proxy_failed(px, "the target's name is invalid");
        }
    }

    if (proxy->type == NCR_PROXY_HTTP) {
        return ncr_proxy_connect(px);
    }

    ncr_proxy_greet(px);

    return NCR_OK;
}


ncr_int_t
ncr_proxy_feed(ncr_proxy_t *px, ncr_char_t *p, size_t n)
{
    px->used = 0;

    if (px->state == NCR_PROXY_OPEN) {
        return NCR_OK;
    }

    if (px->state == NCR_PROXY_FAILED) {
        return NCR_BAD;
    }

    if (n == 0) {
        return ncr_proxy_closed(px);
    }

    n = ncr_min(n, px->want);

    ncr_str_null(&px->out);

    if (px->state == NCR_PROXY_HEAD) {
        return ncr_proxy_head(px, p, n);
    }

    memcpy(px->buf + px->len, p, n);

    px->len += n;
    px->want -= n;
    px->used = n;

    switch (px->state) {

    case NCR_PROXY_METHOD:
        return ncr_proxy_method(px);

    case NCR_PROXY_AUTH:
        return ncr_proxy_auth(px);

    case NCR_PROXY_REPLY:
        return ncr_proxy_reply(px);

    default: /* NCR_PROXY_ADDRESS */
        return ncr_proxy_address(px);
    }
}


static ncr_int_t
ncr_proxy_failed(ncr_proxy_t *px, const char *error)
{
    px->state = NCR_PROXY_FAILED;
    px->error = error;
    px->want = 0;

    return NCR_BAD;
}


static ncr_int_t
ncr_proxy_closed(ncr_proxy_t *px)
{
    switch (px->state) {

    case NCR_PROXY_HEAD:
        return ncr_proxy_failed(px,
                   px->len ? "proxy closed the connection in its answer"
                           : "proxy closed the connection instead of "
                             "answering");

    case NCR_PROXY_METHOD:
        return ncr_proxy_failed(px,
                   "proxy closed the connection instead of speaking SOCKS5");

    case NCR_PROXY_AUTH:
        return ncr_proxy_failed(px,
                   "proxy closed the connection, having seen the credentials");

    default:
        return ncr_proxy_failed(px,
                   "proxy closed the connection instead of opening the "
                   "tunnel");
    }
}


/* HTTP */

static ncr_int_t
ncr_proxy_connect(ncr_proxy_t *px)
{
    ncr_out_t   out;
    ncr_uint_t  i, ip6;

    static const char  *before[] = { "CONNECT ", " HTTP/1.1\r\nHost: " };

    ip6 = (memchr(px->host.data, ':', px->host.len) != NULL);

    ncr_out_init(&out, px->buf, sizeof(px->buf));

    for (i = 0; i < 2; i++) {
        ncr_out_text(&out, before[i]);
        ncr_out_text(&out, ip6 ? "[" : "");
        ncr_out_str(&out, &px->host);
        ncr_out_text(&out, ip6 ? "]:" : ":");
        ncr_out_int(&out, (int64_t) px->port);
    }

    if (px->proxy->user.data) {
        ncr_out_text(&out, "\r\nProxy-Authorization: Basic ");
        ncr_proxy_base64(&out, &px->proxy->user, &px->proxy->password);
    }

    ncr_out_text(&out, "\r\n\r\n");

    if (out.overflow) {
        return ncr_proxy_failed(px, "the credentials are too long");
    }

    px->out.data = out.start;
    px->out.len = (size_t) (out.last - out.start);

    px->state = NCR_PROXY_HEAD;
    px->want = sizeof(px->buf);

    return NCR_OK;
}


/* "user:password" (RFC 7617, 2) in base64 (RFC 4648, 4) */

static void
ncr_proxy_base64(ncr_out_t *out, ncr_str_t *user, ncr_str_t *password)
{
    size_t      i, j, len;
    uint32_t    bits;
    ncr_char_t  c, text[4];

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    len = user->len + 1 + password->len;

    for (i = 0; i < len; i += 3) {
        bits = 0;

        for (j = i; j < i + 3; j++) {

            if (j >= len) {
                c = 0;

            } else if (j < user->len) {
                c = user->data[j];

            } else {
                c = (j == user->len) ? ':' : password->data[j - user->len - 1];
            }

            bits = (bits << 8) | c;
        }

        text[0] = (ncr_char_t) digits[bits >> 18];
        text[1] = (ncr_char_t) digits[(bits >> 12) & 63];
        text[2] = (ncr_char_t) ((i + 1 < len) ? digits[(bits >> 6) & 63] : '=');
        text[3] = (ncr_char_t) ((i + 2 < len) ? digits[bits & 63] : '=');

        ncr_out_bytes(out, text, sizeof(text));
    }
}


/* up to and with the empty line, and not a byte more */

static ncr_int_t
ncr_proxy_head(ncr_proxy_t *px, ncr_char_t *p, size_t n)
{
    size_t       len;
    ncr_int_t    rc;
    ncr_char_t  *head;

    static const char  version[] = "HTTP/1.";

    while (px->used < n) {

        px->buf[px->len++] = p[px->used++];
        px->want--;

        head = px->buf + px->start;
        len = px->len - px->start;

        if (len < sizeof(version)
            && head[len - 1] != (ncr_char_t) version[len - 1])
        {
            return ncr_proxy_failed(px, "proxy did not speak HTTP");
        }

        if (head[len - 1] == '\n') {

            if (px->status == 0) {
                rc = ncr_proxy_head_line(px);

            } else if (head[len - 2] == '\n'
                       || (head[len - 2] == '\r' && head[len - 3] == '\n'))
            {
                rc = ncr_proxy_head_end(px);

            } else {
                rc = NCR_AGAIN;
            }

            if (rc != NCR_AGAIN) {
                return rc;
            }
        }

        if (px->want == 0) {
            return ncr_proxy_failed(px, "proxy's answer is too long");
        }
    }

    return NCR_AGAIN;
}


/* "HTTP/1.1 200 Connection established"; what is no success ends here */

static ncr_int_t
ncr_proxy_head_line(ncr_proxy_t *px)
{
    size_t       i;
    ncr_uint_t   status;
    ncr_char_t  *head;

    head = px->buf + px->start;

    if (px->len - px->start < sizeof("HTTP/1.1 200\n") - 1
        || head[7] < '0' || head[7] > '9' || head[8] != ' '
        || (head[12] != ' ' && head[12] != '\r' && head[12] != '\n'))
    {
        return ncr_proxy_failed(px, "proxy did not speak HTTP");
    }

    status = 0;

    for (i = 9; i < 12; i++) {

        if (head[i] < '0' || head[i] > '9') {
            return ncr_proxy_failed(px, "proxy did not speak HTTP");
        }

        status = status * 10 + (ncr_uint_t) (head[i] - '0');
    }

    px->status = status;

    if (status < 100 || status == 101 || status >= 300) {
        return ncr_proxy_refused(px);
    }

    return NCR_AGAIN;
}


static ncr_int_t
ncr_proxy_head_end(ncr_proxy_t *px)
{
    if (px->status < 200) {

        /* an interim answer (RFC 9110, 15.2): buf bounds all of them */

        px->status = 0;
        px->start = px->len;

        return NCR_AGAIN;
    }

    if (ncr_proxy_is_page(px)) {
        return ncr_proxy_failed(px,
                      "proxy answered with an HTML page, it opens no tunnel");
    }

    px->state = NCR_PROXY_OPEN;
    px->want = 0;

    return NCR_OK;
}


static ncr_int_t
ncr_proxy_refused(ncr_proxy_t *px)
{
    ncr_out_t   out;
    ncr_uint_t  status;

    status = px->status;

    if (status == 407) {
        return ncr_proxy_failed(px, px->proxy->user.data
                                ? "proxy refused the credentials (407)"
                                : "proxy wants credentials (407)");
    }

    /* what some say instead */

    if (status == 401) {
        return ncr_proxy_failed(px, px->proxy->user.data
                                ? "proxy refused the credentials (401)"
                                : "proxy wants credentials (401)");
    }

    if (status == 403) {
        return ncr_proxy_failed(px, "proxy forbids the target (403)");
    }

    if (status == 502 || status == 503 || status == 504) {
        ncr_out_init(&out, px->buf, sizeof(px->buf));
        ncr_out_text(&out, "proxy could not reach the target (");

    } else {
        ncr_out_init(&out, px->buf, sizeof(px->buf));
        ncr_out_text(&out, "proxy did not open the tunnel (");
    }

    ncr_out_int(&out, (int64_t) status);
    ncr_out_bytes(&out, ")", sizeof(")"));

    return ncr_proxy_failed(px, (char *) px->buf);
}


/*
 * A web server or a portal that greets everybody with 200.  Of the header
 * only the type is looked at: a length is to be ignored (RFC 9110, 9.3.6).
 */

static ncr_uint_t
ncr_proxy_is_page(ncr_proxy_t *px)
{
    ncr_str_t    name, value;
    ncr_char_t  *p, *last, *line;

    p = px->buf + px->start;
    last = px->buf + px->len;

    while (p < last) {
        line = p;

        while (*p != '\n') {
            p++;
        }

        name.data = line;
        name.len = 0;

        while (line + name.len < p && line[name.len] != ':') {
            name.len++;
        }

        value.data = line + name.len;
        value.len = (size_t) (p - value.data);

        if (ncr_str_caseeq(&name, "content-type")
            && ncr_str_contains(&value, "text/html"))
        {
            return 1;
        }

        p++;
    }

    return 0;
}


/* SOCKS5 */

static void
ncr_proxy_greet(ncr_proxy_t *px)
{
    px->buf[0] = NCR_PROXY_SOCKS;
    px->buf[1] = 1;
    px->buf[2] = NCR_PROXY_NONE;

    if (px->proxy->user.data) {
        px->buf[1] = 2;
        px->buf[3] = NCR_PROXY_PASSWORD;
    }

    px->out.data = px->buf;
    px->out.len = (size_t) 2 + px->buf[1];

    (void) ncr_proxy_expect(px, NCR_PROXY_METHOD, 2);
}


static ncr_int_t
ncr_proxy_expect(ncr_proxy_t *px, ncr_uint_t state, size_t want)
{
    px->state = state;
    px->want = want;
    px->len = 0;

    return NCR_AGAIN;
}


static ncr_int_t
ncr_proxy_method(ncr_proxy_t *px)
{
    ncr_out_t         out;
    ncr_char_t        c;
    ncr_proxy_url_t  *proxy;

    proxy = px->proxy;

    if (px->buf[0] != NCR_PROXY_SOCKS) {
        return ncr_proxy_failed(px, "proxy did not speak SOCKS5");
    }

    if (px->want) {
        return NCR_AGAIN;
    }

    if (px->buf[1] == NCR_PROXY_NONE) {
        return ncr_proxy_request(px);
    }

    if (px->buf[1] == NCR_PROXY_NO_WAY) {
        return ncr_proxy_failed(px, proxy->user.data
                   ? "proxy accepts neither a password nor none"
                   : "proxy wants credentials");
    }

    if (px->buf[1] != NCR_PROXY_PASSWORD || proxy->user.data == NULL) {
        return ncr_proxy_failed(px, "proxy did not speak SOCKS5");
    }

    /* RFC 1929, 2 */

    ncr_out_init(&out, px->buf, sizeof(px->buf));

    c = 1;
    ncr_out_bytes(&out, &c, 1);
    c = (ncr_char_t) proxy->user.len;
    ncr_out_bytes(&out, &c, 1);
    ncr_out_str(&out, &proxy->user);
    c = (ncr_char_t) proxy->password.len;
    ncr_out_bytes(&out, &c, 1);
    ncr_out_str(&out, &proxy->password);

    px->out.data = out.start;
    px->out.len = (size_t) (out.last - out.start);

    return ncr_proxy_expect(px, NCR_PROXY_AUTH, 2);
}


/* servers are seen that answer with the version of SOCKS here: let them */

static ncr_int_t
ncr_proxy_auth(ncr_proxy_t *px)
{
    if (px->want) {
        return NCR_AGAIN;
    }

    if (px->buf[1] != 0) {
        return ncr_proxy_failed(px, "proxy refused the credentials");
    }

    return ncr_proxy_request(px);
}


static ncr_int_t
ncr_proxy_request(ncr_proxy_t *px)
{
    size_t       len;
    ncr_char_t  *p;

    p = px->buf;

    *p++ = NCR_PROXY_SOCKS;
    *p++ = 1;
    *p++ = 0;

    if (ncr_proxy_ip4(&px->host, p + 1)) {
        *p++ = NCR_PROXY_IPV4;
        p += 4;

    } else if (ncr_proxy_ip6(&px->host, p + 1)) {
        *p++ = NCR_PROXY_IPV6;
        p += 16;

    } else {
        len = px->host.len;

        *p++ = NCR_PROXY_DOMAIN;
        *p++ = (ncr_char_t) len;
        memcpy(p, px->host.data, len);
        p += len;
    }

    *p++ = (ncr_char_t) (px->port >> 8);
    *p++ = (ncr_char_t) px->port;

    px->out.data = px->buf;
    px->out.len = (size_t) (p - px->buf);

    return ncr_proxy_expect(px, NCR_PROXY_REPLY, 5);
}


/* RFC 1928, 6; a refusal may be shorter than it should be */

static ncr_int_t
ncr_proxy_reply(ncr_proxy_t *px)
{
    static const char  *errors[] = {
        "proxy refused the tunnel (general failure)",
        "proxy refused the tunnel (not allowed by its rules)",
        "proxy could not reach the target (network unreachable)",
        "proxy could not reach the target (host unreachable)",
        "proxy could not reach the target (connection refused)",
        "proxy could not reach the target (TTL expired)",
        "proxy refused the tunnel (command not supported)",
        "proxy refused the tunnel (kind of address not supported)"
    };

    if (px->buf[0] != NCR_PROXY_SOCKS) {
        return ncr_proxy_failed(px, "proxy did not speak SOCKS5");
    }

    if (px->len < 2) {
        return NCR_AGAIN;
    }

    px->status = px->buf[1];

    if (px->status) {
        return ncr_proxy_failed(px,
                   (px->status <= sizeof(errors) / sizeof(errors[0]))
                   ? errors[px->status - 1]
                   : "proxy refused the tunnel");
    }

    if (px->want) {
        return NCR_AGAIN;
    }

    /* one byte of the address is there, and then its port */

    px->state = NCR_PROXY_ADDRESS;

    switch (px->buf[3]) {

    case NCR_PROXY_IPV4:
        px->want = 3 + 2;
        return NCR_AGAIN;

    case NCR_PROXY_IPV6:
        px->want = 15 + 2;
        return NCR_AGAIN;

    case NCR_PROXY_DOMAIN:
        px->want = (size_t) px->buf[4] + 2;
        return NCR_AGAIN;

    default:
        return ncr_proxy_failed(px, "proxy did not speak SOCKS5");
    }
}


/* where the proxy's own end is, which is of no use */

static ncr_int_t
ncr_proxy_address(ncr_proxy_t *px)
{
    if (px->want) {
        return NCR_AGAIN;
    }

    px->state = NCR_PROXY_OPEN;

    return NCR_OK;
}


/* literal addresses; the forms of inet_pton() */

static ncr_uint_t
ncr_proxy_ip4(ncr_str_t *s, ncr_char_t *addr)
{
    size_t      i, digits;
    ncr_char_t  c;
    ncr_uint_t  n, octet;

    n = 0;
    octet = 0;
    digits = 0;

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (c == '.' && digits && n < 3) {
            addr[n++] = (ncr_char_t) octet;
            octet = 0;
            digits = 0;
            continue;
        }

        if (c < '0' || c > '9' || (digits && octet == 0)) {
            return 0;
        }

        octet = octet * 10 + (ncr_uint_t) (c - '0');
        digits++;

        if (octet > 255) {
            return 0;
        }
    }

    if (n != 3 || digits == 0) {
        return 0;
    }

    addr[3] = (ncr_char_t) octet;

    return 1;
}


static ncr_uint_t
ncr_proxy_ip6(ncr_str_t *s, ncr_char_t *addr)
{
    size_t       i, n, gap, digits, tail;
    ncr_int_t    hex;
    ncr_str_t    rest;
    ncr_uint_t   group;

    i = 0;
    n = 0;
    gap = 16 + 1;                       /* none yet */

    if (s->len >= 2 && s->data[0] == ':' && s->data[1] == ':') {
        gap = 0;
        i = 2;

    } else if (s->len == 0 || s->data[0] == ':') {
        return 0;
    }

    while (i < s->len) {

        rest.data = s->data + i;
        rest.len = s->len - i;

        if (n <= 12 && ncr_proxy_ip4(&rest, addr + n)) {
            n += 4;
            break;
        }

        group = 0;
        digits = 0;

        while (i < s->len && digits < 4) {
            hex = ncr_proxy_hex(s->data[i]);

            if (hex < 0) {
                break;
            }

            group = group * 16 + (ncr_uint_t) hex;
            digits++;
            i++;
        }

        if (digits == 0 || n == 16) {
            return 0;
        }

        addr[n++] = (ncr_char_t) (group >> 8);
        addr[n++] = (ncr_char_t) group;

        if (i == s->len) {
            break;
        }

        if (s->data[i++] != ':' || i == s->len) {
            return 0;
        }

        if (s->data[i] == ':') {

            if (gap <= 16) {
                return 0;
            }

            gap = n;
            i++;
        }
    }

    if (gap > 16) {
        return n == 16;
    }

    if (n == 16) {
        return 0;
    }

    tail = n - gap;

    memmove(addr + 16 - tail, addr + gap, tail);
    memset(addr + gap, 0, 16 - n);

    return 1;
}
