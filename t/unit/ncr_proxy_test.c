
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* URLs of proxies; CONNECT and SOCKS5 by their bytes. */


#include "../../src/platform/ncr_proxy.c"

#include "ncr_test.h"


static void
test_url(const char *text, const char *error, ncr_proxy_e type,
    const char *host, unsigned port, const char *user, const char *password)
{
    char             name[256];
    ncr_str_t        s;
    ncr_char_t       buf[2048];
    const char      *err;
    ncr_proxy_url_t  url;

    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    snprintf(name, sizeof(name), "url: %s", text);

    err = ncr_proxy_url_parse(&s, buf, &url);

    if (error) {
        ncr_test(err && strstr(err, error), name);
        return;
    }

    ncr_test(err == NULL && url.type == type && url.port == port
             && ncr_test_str(url.host, host)
             && (user ? (url.user.data && ncr_test_str(url.user, user))
                      : url.user.data == NULL)
             && (password ? ncr_test_str(url.password, password)
                          : url.password.len == 0),
             name);
}


static void
test_urls(void)
{
    char        text[1200];
    ncr_uint_t  i;

    static const struct {
        const char  *text;
        ncr_proxy_e  type;
        const char  *host;
        unsigned     port;
        const char  *user;
        const char  *password;
    } good[] = {
        { "http://proxy.example:8080", NCR_PROXY_HTTP, "proxy.example", 8080,
          NULL, NULL },
        { "http://proxy.example", NCR_PROXY_HTTP, "proxy.example", 80, NULL,
          NULL },
        { "HTTP://proxy.example/", NCR_PROXY_HTTP, "proxy.example", 80, NULL,
          NULL },
        { "socks5://127.0.0.1", NCR_PROXY_SOCKS5, "127.0.0.1", 1080, NULL,
          NULL },
        { "socks5h://u:p@h:1/", NCR_PROXY_SOCKS5, "h", 1, "u", "p" },
        { "socks5://u@h", NCR_PROXY_SOCKS5, "h", 1080, "u", NULL },
        { "http://u:@h", NCR_PROXY_HTTP, "h", 80, "u", NULL },
        { "http://:p@h", NCR_PROXY_HTTP, "h", 80, "", "p" },
        { "http://u:p:q@h", NCR_PROXY_HTTP, "h", 80, "u", "p:q" },
        { "http://u:p@q@h", NCR_PROXY_HTTP, "h", 80, "u", "p@q" },
        { "http://a%40b:%2F%3a%25@h:65535", NCR_PROXY_HTTP, "h", 65535, "a@b",
          "/:%" },
        { "http://%c3%a4:%FF@h", NCR_PROXY_HTTP, "h", 80, "\xc3\xa4", "\xff" },
        { "socks5://a%3ab:c@h", NCR_PROXY_SOCKS5, "h", 1080, "a:b", "c" },
        { "socks5://u:p@[::1]:1080", NCR_PROXY_SOCKS5, "::1", 1080, "u", "p" },
        { "http://[2001:db8::1]", NCR_PROXY_HTTP, "2001:db8::1", 80, NULL,
          NULL }
    };

    static const struct {
        const char  *text;
        const char  *error;
    } bad[] = {
        { "", "none of" },
        { "proxy.example:8080", "none of" },
        { "http:", "none of" },
        { "http:/h", "none of" },
        { "https://h", "TLS to the proxy itself" },
        { "https://u:p@h:443", "TLS to the proxy itself" },
        { "socks4://h", "none of" },
        { "socks://h", "none of" },
        { "ftp://h", "none of" },
        { "http://", "no host" },
        { "http://u:p@", "no host" },
        { "http://:80", "no host" },
        { "http://@h", "no user" },
        { "http://:@h", "no user" },
        { "socks5://:p@h", "no user" },
        { "http://a%3ab:c@h", "colon" },
        { "http://h:", "invalid port" },
        { "http://h:0", "invalid port" },
        { "http://h:65536", "invalid port" },
        { "http://h:8o", "invalid port" },
        { "http://h/x", "path" },
        { "http://h//", "path" },
        { "http://u:12/secret@h", "path" },
        { "http://u:pa/ss@h", "path" },
        { "http://h?x", "invalid host" },
        { "http://h#x", "invalid host" },
        { "http://h h", "invalid character" },
        { "http://h\r\nX:y", "invalid character" },
        { "http://\xc3\xa4", "invalid character" },
        { "http://[::1", "invalid host" },
        { "http://[::1]x", "invalid host" },
        { "http://[1:2]", "invalid host" },
        { "http://[:::]", "invalid host" },
        { "http://[fe80::1%25eth0]", "invalid host" },
        { "http://u:%@h", "invalid %" },
        { "http://u:%4@h", "invalid %" },
        { "http://u:%4g@h", "invalid %" },
        { "http://u:%0d%0aX@h", "control" },
        { "http://u%00:p@h", "control" },
        { "http://u:p%7f@h", "control" }
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        test_url(good[i].text, NULL, good[i].type, good[i].host, good[i].port,
                 good[i].user, good[i].password);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_url(bad[i].text, bad[i].error, NCR_PROXY_HTTP, NULL, 0, NULL,
                 NULL);
    }

    memset(text, 0, sizeof(text));
    strcpy(text, "socks5://u:");
    memset(text + strlen(text), 'p', 256);
    strcat(text, "@h");
    test_url(text, "too long", NCR_PROXY_HTTP, NULL, 0, NULL, NULL);

    memset(text, 0, sizeof(text));
    strcpy(text, "http://u:");
    memset(text + strlen(text), 'p', 513);
    strcat(text, "@h");
    test_url(text, "too long", NCR_PROXY_HTTP, NULL, 0, NULL, NULL);

    memset(text, 0, sizeof(text));
    strcpy(text, "http://");
    memset(text + strlen(text), 'h', 256);
    test_url(text, "too long", NCR_PROXY_HTTP, NULL, 0, NULL, NULL);
}


/*
 * One handshake: what is sent must be sent[0], then, when answers[0] was
 * fed, sent[1], and so on; lengths as SOCKS5 has NULs.  What stands after
 * the last answer must be left alone.
 */

typedef struct {
    const char  *p;
    size_t       len;
} test_bytes_t;

#define bytes(text)  { text, sizeof(text) - 1 }


static ncr_int_t
test_feed(ncr_proxy_t *px, const char *p, size_t n, size_t piece,
    size_t *used)
{
    size_t      k;
    ncr_int_t   rc;
    ncr_char_t  show[NCR_PROXY_BUF];

    *used = 0;

    for ( ;; ) {
        k = n - *used;
        k = ncr_min(k, piece);
        k = ncr_min(k, px->want);

        if (k == 0) {
            return NCR_AGAIN;
        }

        memcpy(show, p + *used, k);

        rc = ncr_proxy_feed(px, show, k);

        *used += px->used;

        if (rc != NCR_AGAIN || px->out.len) {
            return rc;
        }
    }
}


static ncr_proxy_t  test_px;


static void
test_talk(const char *text, const char *host, unsigned port,
    test_bytes_t *sent, test_bytes_t *answers, const char *error,
    const char *name)
{
    char             label[256], stream[4096];
    size_t           piece, used, len, tail;
    ncr_int_t        rc;
    ncr_str_t        s;
    ncr_char_t       buf[2048];
    ncr_uint_t       i, ok;
    ncr_proxy_t     *px;
    ncr_proxy_url_t  url;

    px = &test_px;

    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    if (ncr_proxy_url_parse(&s, buf, &url) != NULL) {
        ncr_test(0, name);
        return;
    }

    s.data = (ncr_char_t *) host;
    s.len = strlen(host);

    for (piece = 1; piece <= 4096; piece = (piece < 9) ? piece + 1 : 4096 + 1) {

        if (piece == 9) {
            piece = 4096;
        }

        ok = 1;
        tail = 0;
        rc = ncr_proxy_start(px, &url, &s, port);

        if (rc == NCR_OK) {
            rc = NCR_AGAIN;
        }

        for (i = 0; rc == NCR_AGAIN; i++) {

            if (sent[i].p == NULL || px->out.len != sent[i].len
                || memcmp(px->out.data, sent[i].p, sent[i].len) != 0)
            {
                ok = 0;
                break;
            }

            px->out.len = 0;
            len = answers[i].len;

            if (answers[i].p == NULL) {
                rc = ncr_proxy_feed(px, NULL, 0);
                break;
            }

            memcpy(stream, answers[i].p, len);
            tail = 0;

            if (answers[i + 1].p == NULL && error == NULL) {
                memcpy(stream + len, "\r\n\r\n\n", 5);
                tail = 5;
            }

            rc = test_feed(px, stream, len + tail, piece, &used);

            if (rc == NCR_OK && used != len) {
                ok = 0;
            }

            if (rc == NCR_AGAIN && (used != len || px->out.len == 0)) {

                /* the proxy closes */

                rc = ncr_proxy_feed(px, NULL, 0);
            }
        }

        if (error) {
            ok = ok && rc == NCR_BAD && px->error
                 && strcmp(px->error, error) == 0
                 && ncr_proxy_feed(px, buf, 1) == NCR_BAD;

        } else {
            ok = ok && rc == NCR_OK && tail && px->error == NULL
                 && px->want == 0 && ncr_proxy_feed(px, buf, 1) == NCR_OK
                 && px->used == 0;
        }

        snprintf(label, sizeof(label), "%s: by %u", name, (unsigned) piece);
        ncr_test(ok, label);

        if (!ok) {
            printf("# rc %d, error %s\n", (int) rc,
                   px->error ? px->error : "none");
        }
    }
}


static void
test_http(void)
{
    ncr_uint_t  i;

    test_bytes_t  plain[] = {
        bytes("CONNECT api.example:443 HTTP/1.1\r\n"
              "Host: api.example:443\r\n\r\n"), { NULL, 0 }
    };
    test_bytes_t  basic[] = {
        bytes("CONNECT api.example:443 HTTP/1.1\r\n"
              "Host: api.example:443\r\n"
              "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
              "\r\n"), { NULL, 0 }
    };
    test_bytes_t  six[] = {
        bytes("CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"),
        { NULL, 0 }
    };

    static const struct {
        test_bytes_t  answer;
        const char   *error;
    } answers[] = {
        { bytes("HTTP/1.1 200 Connection established\r\n\r\n"), NULL },
        { bytes("HTTP/1.0 200 OK\r\nProxy-agent: x/1\r\n\r\n"), NULL },
        { bytes("HTTP/1.1 200 \r\n\r\n"), NULL },
        { bytes("HTTP/1.1 200\r\n\r\n"), NULL },
        { bytes("HTTP/1.1 200 OK\n\n"), NULL },
        { bytes("HTTP/1.1 299 OK\r\nContent-Length: 5\r\n\r\n"), NULL },
        { bytes("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                "X: text/html\r\n\r\n"), NULL },
        { bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\n"
                "HTTP/1.1 200 OK\r\n\r\n"), NULL },
        { bytes("HTTP/1.1 407 Proxy Authentication Required\r\n"
                "Proxy-Authenticate: Basic\r\n\r\n"),
          "proxy wants credentials (407)" },
        { bytes("HTTP/1.0 401 Unauthorized\r\n\r\n"),
          "proxy wants credentials (401)" },
        { bytes("HTTP/1.1 403 Filtered\r\n\r\n<html>"),
          "proxy forbids the target (403)" },
        { bytes("HTTP/1.0 502 Bad Gateway\r\n\r\n"),
          "proxy could not reach the target (502)" },
        { bytes("HTTP/1.0 504 x\r\n\r\n"),
          "proxy could not reach the target (504)" },
        { bytes("HTTP/1.0 500 Unable to connect\r\n\r\n"),
          "proxy did not open the tunnel (500)" },
        { bytes("HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n"),
          "proxy did not open the tunnel (301)" },
        { bytes("HTTP/1.1 101 Switching\r\n\r\n"),
          "proxy did not open the tunnel (101)" },
        { bytes("HTTP/1.1 000 x\r\n\r\n"),
          "proxy did not open the tunnel (0)" },
        { bytes("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-TYPE: Text/HTML\r\n"
                "\r\n<html>"),
          "proxy answered with an HTML page, it opens no tunnel" },
        { bytes("<!DOCTYPE html><html>"), "proxy did not speak HTTP" },
        { bytes("\x05\x01"), "proxy did not speak HTTP" },
        { bytes("SSH-2.0-x\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/2 200 OK\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/1.1\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/1.1 20x OK\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/1.1 2000 OK\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/1.x 200 OK\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("\r\nHTTP/1.1 200 OK\r\n\r\n"), "proxy did not speak HTTP" },
        { bytes("HTTP/1.1 200 OK\r\nServer:"),
          "proxy closed the connection in its answer" },
        { { NULL, 0 },
          "proxy closed the connection instead of answering" }
    };

    for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char          name[64];
        test_bytes_t  list[2];

        list[0] = answers[i].answer;
        list[1].p = NULL;
        list[1].len = 0;

        snprintf(name, sizeof(name), "CONNECT: answer %u", (unsigned) i);

        test_talk("http://h", "api.example", 443, plain, list,
                  answers[i].error, name);
    }

    {
        test_bytes_t  ok[] = { bytes("HTTP/1.1 200 OK\r\n\r\n"), { NULL, 0 } };
        test_bytes_t  no[] = { bytes("HTTP/1.1 407 no\r\n\r\n"), { NULL, 0 } };

        /* the example of RFC 7617, 2 */

        test_talk("http://Aladdin:open%20sesame@h", "api.example", 443, basic,
                  ok, NULL, "CONNECT: credentials");
        test_talk("http://Aladdin:open%20sesame@h", "api.example", 443, basic,
                  no, "proxy refused the credentials (407)",
                  "CONNECT: refused credentials");
        test_talk("http://h", "::1", 8443, six, ok, NULL, "CONNECT: IPv6");
    }

    {
        char          head[NCR_PROXY_BUF + 200];
        test_bytes_t  list[2] = { { head, 0 }, { NULL, 0 } };

        strcpy(head, "HTTP/1.1 200 OK\r\nX: ");
        memset(head + strlen(head), 'x', NCR_PROXY_BUF);
        list[0].len = NCR_PROXY_BUF + 100;

        test_talk("http://h", "api.example", 443, plain, list,
                  "proxy's answer is too long", "CONNECT: an endless head");

        list[0].len = 0;

        while (list[0].len < NCR_PROXY_BUF + 100) {
            memcpy(head + list[0].len, "HTTP/1.1 100 x\r\n\r\n", 18);
            list[0].len += 18;
        }

        test_talk("http://h", "api.example", 443, plain, list,
                  "proxy's answer is too long", "CONNECT: endless heads");
    }
}


static void
test_socks(void)
{
    ncr_uint_t  i;

    test_bytes_t  plain[] = {
        bytes("\5\1\0"),
        bytes("\5\1\0\3\13api.example\1\273"), { NULL, 0 }
    };
    test_bytes_t  four[] = {
        bytes("\5\1\0"),
        bytes("\5\1\0\1\300\0\2\1\1\273"), { NULL, 0 }
    };
    test_bytes_t  six[] = {
        bytes("\5\1\0"),
        bytes("\5\1\0\4\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1\0\120"),
        { NULL, 0 }
    };
    test_bytes_t  basic[] = {
        bytes("\5\2\0\2"),
        bytes("\1\4user\6secret"),
        bytes("\5\1\0\3\13api.example\1\273"), { NULL, 0 }
    };
    test_bytes_t  unasked[] = {
        bytes("\5\2\0\2"),
        bytes("\5\1\0\3\13api.example\1\273"), { NULL, 0 }
    };
    test_bytes_t  empty[] = {
        bytes("\5\2\0\2"),
        bytes("\1\4user\0"),
        bytes("\5\1\0\3\13api.example\1\273"), { NULL, 0 }
    };

    test_bytes_t  ok[] = {
        bytes("\5\0"), bytes("\5\0\0\1\0\0\0\0\0\0"), { NULL, 0 }
    };
    test_bytes_t  ok6[] = {
        bytes("\5\0"), bytes("\5\0\0\4" "0123456789abcdef" "\0\1"),
        { NULL, 0 }
    };
    test_bytes_t  okname[] = {
        bytes("\5\0"), bytes("\5\0\0\3\3abc\0\1"), { NULL, 0 }
    };
    test_bytes_t  oknoname[] = {
        bytes("\5\0"), bytes("\5\0\0\3\0\0\1"), { NULL, 0 }
    };
    test_bytes_t  okauth[] = {
        bytes("\5\2"), bytes("\1\0"), bytes("\5\0\0\1\0\0\0\0\0\0"),
        { NULL, 0 }
    };
    test_bytes_t  okauth5[] = {
        bytes("\5\2"), bytes("\5\0"), bytes("\5\0\0\1\0\0\0\0\0\0"),
        { NULL, 0 }
    };

    static const struct {
        test_bytes_t  answers[3];
        const char   *error;
    } bad[] = {
        { { bytes("\5\377") }, "proxy wants credentials" },
        { { bytes("\5\2") }, "proxy did not speak SOCKS5" },
        { { bytes("\4\0") }, "proxy did not speak SOCKS5" },
        { { bytes("HTTP/1.1 400 x\r\n\r\n") }, "proxy did not speak SOCKS5" },
        { { bytes("\5") },
          "proxy closed the connection instead of speaking SOCKS5" },
        { { { NULL, 0 } },
          "proxy closed the connection instead of speaking SOCKS5" },
        { { bytes("\5\0") },
          "proxy closed the connection instead of opening the tunnel" },
        { { bytes("\5\0"), bytes("\5") },
          "proxy closed the connection instead of opening the tunnel" },
        { { bytes("\5\0"), bytes("\5\0\0\1\0\0\0\0\0") },
          "proxy closed the connection instead of opening the tunnel" },
        { { bytes("\5\0"), bytes("\1\0\0\1\0\0\0\0\0\0") },
          "proxy did not speak SOCKS5" },
        { { bytes("\5\0"), bytes("\5\0\0\2\0\0\0\0\0\0") },
          "proxy did not speak SOCKS5" },
        { { bytes("\5\0"), bytes("\5\1") },
          "proxy refused the tunnel (general failure)" },
        { { bytes("\5\0"), bytes("\5\2\0\1\0\0\0\0\0\0") },
          "proxy refused the tunnel (not allowed by its rules)" },
        { { bytes("\5\0"), bytes("\5\4\0\1\0\0\0\0\0\0") },
          "proxy could not reach the target (host unreachable)" },
        { { bytes("\5\0"), bytes("\5\5\0\1\0\0\0\0\0\0") },
          "proxy could not reach the target (connection refused)" },
        { { bytes("\5\0"), bytes("\5\10\0\1\0\0\0\0\0\0") },
          "proxy refused the tunnel (kind of address not supported)" },
        { { bytes("\5\0"), bytes("\5\11\0\1\0\0\0\0\0\0") },
          "proxy refused the tunnel" },
        { { bytes("\5\0"), bytes("\5\377\0\1\0\0\0\0\0\0") },
          "proxy refused the tunnel" }
    };

    static const struct {
        test_bytes_t  answers[3];
        const char   *error;
    } refused[] = {
        { { bytes("\5\2"), bytes("\1\1") }, "proxy refused the credentials" },
        { { bytes("\5\2"), bytes("\1\377") },
          "proxy refused the credentials" },
        { { bytes("\5\2") },
          "proxy closed the connection, having seen the credentials" },
        { { bytes("\5\2"), bytes("\1") },
          "proxy closed the connection, having seen the credentials" },
        { { bytes("\5\377") },
          "proxy accepts neither a password nor none" },
        { { bytes("\5\1") }, "proxy did not speak SOCKS5" }
    };

    test_talk("socks5://h", "api.example", 443, plain, ok, NULL, "SOCKS5");
    test_talk("socks5h://h", "api.example", 443, plain, ok6, NULL,
              "SOCKS5: bound to IPv6");
    test_talk("socks5://h", "api.example", 443, plain, okname, NULL,
              "SOCKS5: bound to a name");
    test_talk("socks5://h", "api.example", 443, plain, oknoname, NULL,
              "SOCKS5: bound to an empty name");
    test_talk("socks5://h", "192.0.2.1", 443, four, ok, NULL, "SOCKS5: IPv4");
    test_talk("socks5://h", "2001:db8::1", 80, six, ok, NULL, "SOCKS5: IPv6");
    test_talk("socks5://user:secret@h", "api.example", 443, basic, okauth,
              NULL, "SOCKS5: credentials");
    test_talk("socks5://user:secret@h", "api.example", 443, basic, okauth5,
              NULL, "SOCKS5: credentials, by version 5");
    test_talk("socks5://user:secret@h", "api.example", 443, unasked, ok, NULL,
              "SOCKS5: credentials that nobody wants");
    test_talk("socks5://user@h", "api.example", 443, empty, okauth, NULL,
              "SOCKS5: no password");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char          name[64];
        test_bytes_t  list[4];

        memset(list, 0, sizeof(list));
        memcpy(list, bad[i].answers, sizeof(bad[i].answers));

        snprintf(name, sizeof(name), "SOCKS5: answer %u", (unsigned) i);
        test_talk("socks5://h", "api.example", 443, plain, list, bad[i].error,
                  name);
    }

    for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char          name[64];
        test_bytes_t  list[4];

        memset(list, 0, sizeof(list));
        memcpy(list, refused[i].answers, sizeof(refused[i].answers));

        snprintf(name, sizeof(name), "SOCKS5: refusal %u", (unsigned) i);
        test_talk("socks5://user:secret@h", "api.example", 443, basic, list,
                  refused[i].error, name);
    }
}


static void
test_limits(void)
{
    char             host[300], text[2048], user[513];
    ncr_str_t        s;
    ncr_char_t       buf[2048];
    ncr_proxy_t     *px;
    ncr_proxy_url_t  url;

    px = &test_px;

    memset(host, 'h', sizeof(host));
    memset(user, 'u', sizeof(user));

    snprintf(text, sizeof(text), "http://%.512s:%.512s@h", user, user);
    s.data = (ncr_char_t *) text;
    s.len = strlen(text);

    ncr_test(ncr_proxy_url_parse(&s, buf, &url) == NULL, "the longest user");

    s.data = (ncr_char_t *) host;
    s.len = 255;
    ncr_test(ncr_proxy_start(px, &url, &s, 65535) == NCR_OK,
             "the longest request fits");

    s.len = 256;
    ncr_test(ncr_proxy_start(px, &url, &s, 443) == NCR_BAD && px->error,
             "a host that is too long");

    s.len = 0;
    ncr_test(ncr_proxy_start(px, &url, &s, 443) == NCR_BAD, "no host");

    memcpy(host, "a\r\nX: y", 7);
    s.len = 7;
    ncr_test(ncr_proxy_start(px, &url, &s, 443) == NCR_BAD && px->error
             && px->out.len == 0,
             "a host with a line feed");

    /* the table may be longer than what the parser lets through */

    memset(text, 'u', sizeof(text));
    url.user.data = (ncr_char_t *) text;
    url.user.len = sizeof(text);
    s.data = (ncr_char_t *) "h";
    s.len = 1;
    ncr_test(ncr_proxy_start(px, &url, &s, 443) == NCR_BAD && px->error,
             "credentials that do not fit");
}


static void
test_addresses(void)
{
    ncr_str_t   s;
    ncr_uint_t  i;
    ncr_char_t  addr[16];

    static const char  *four[] = { "0.0.0.0", "255.255.255.255", "1.2.3.4" };
    static const char  *not_four[] = {
        "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4.",
        ".1.2.3", "1..2.3", "1.2.3.x", "1.2.3.-4", "00.1.1.1", "0x1.2.3.4"
    };
    static const char  *six[] = {
        "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1::8", "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
        "ABCD:ef01::"
    };
    static const char  *not_six[] = {
        "", ":", ":::", "1", "1:", ":1", "1:2:3:4:5:6:7", "12345::",
        "1:2:3:4:5:6:7:8:9", "1::2::3", "1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4",
        "::1.2.3", "::1.2.3.4:5", "g::", "1:2:3:4:5:6:7:8::", "1:::2"
    };

#define each(list, fn, expected)                                              \
    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {                    \
        s.data = (ncr_char_t *) list[i];                                      \
        s.len = strlen(list[i]);                                              \
        ncr_test(fn(&s, addr) == expected, list[i]);                          \
    }

    each(four, ncr_proxy_ip4, 1)
    each(not_four, ncr_proxy_ip4, 0)
    each(six, ncr_proxy_ip6, 1)
    each(not_six, ncr_proxy_ip6, 0)

    ncr_str_set(&s, "1:203::f0:9.8.7.6");

    ncr_test(ncr_proxy_ip6(&s, addr)
             && memcmp(addr, "\0\1\2\3\0\0\0\0\0\0\0\360\11\10\7\6", 16) == 0,
             "bytes of an address");
}


int
main(void)
{
    test_urls();
    test_http();
    test_socks();
    test_limits();
    test_addresses();

    return ncr_test_done();
}
