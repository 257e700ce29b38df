
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * "url\nhost\nanswers": a handshake ends the same however its answers are
 * cut, and never takes a byte of what follows.  Literal addresses are what
 * inet_pton() takes for such.
 */


#include "../src/platform/ncr_proxy.c"
#include "ncr_fuzz.h"

#include <arpa/inet.h>


typedef struct {
    ncr_int_t   rc;
    size_t      taken;
    size_t      sent;
    ncr_uint_t  status;
    char        error[128];
} ncr_fuzz_end_t;


static ncr_str_t
ncr_fuzz_line(ncr_char_t **p, ncr_char_t *last)
{
    ncr_str_t  s;

    s.data = *p;

    while (*p < last && **p != '\n') {
        (*p)++;
    }

    s.len = (size_t) (*p - s.data);

    if (*p < last) {
        (*p)++;
    }

    return s;
}


static void
ncr_fuzz_addresses(ncr_str_t *s)
{
    char        text[64];
    ncr_char_t  ours[16], theirs[16];

    if (s->len >= sizeof(text) || memchr(s->data, '\0', s->len) != NULL) {
        return;
    }

    memcpy(text, s->data, s->len);
    text[s->len] = '\0';

    if (inet_pton(AF_INET, text, theirs) == 1) {
        ncr_fuzz_check(ncr_proxy_ip4(s, ours) && memcmp(ours, theirs, 4) == 0);

    } else {
        ncr_fuzz_check(!ncr_proxy_ip4(s, ours));
    }

    if (inet_pton(AF_INET6, text, theirs) == 1) {
        ncr_fuzz_check(ncr_proxy_ip6(s, ours)
                       && memcmp(ours, theirs, 16) == 0);

    } else {
        ncr_fuzz_check(!ncr_proxy_ip6(s, ours));
    }
}


static void
ncr_fuzz_talk(ncr_proxy_url_t *url, ncr_str_t *host, ncr_char_t *p,
    size_t size, size_t piece, ncr_fuzz_end_t *end)
{
    size_t        n;
    ncr_char_t   *show;
    ncr_proxy_t  *px;

    memset(end, 0, sizeof(ncr_fuzz_end_t));

    px = malloc(sizeof(ncr_proxy_t));
    ncr_fuzz_check(px != NULL);

    end->rc = ncr_proxy_start(px, url, host, 443);

    if (end->rc == NCR_OK) {
        end->rc = NCR_AGAIN;
        ncr_fuzz_check(px->out.len > 0);
    }

    while (end->rc == NCR_AGAIN) {

        if (px->out.len) {
            ncr_fuzz_check(px->out.data >= px->buf
                           && px->out.data + px->out.len
                              <= px->buf + sizeof(px->buf));
            end->sent = end->sent * 31 + px->out.len;
            px->out.len = 0;
        }

        ncr_fuzz_check(px->want > 0);

        n = ncr_min(size - end->taken, px->want);
        n = ncr_min(n, piece);

        show = malloc(n + !n);
        ncr_fuzz_check(show != NULL);

        if (n) {
            memcpy(show, p + end->taken, n);
        }

        end->rc = ncr_proxy_feed(px, show, n);

        free(show);

        ncr_fuzz_check(px->used <= n);
        ncr_fuzz_check(end->rc != NCR_AGAIN || px->used == n);

        /* where a failure was noticed does not matter */

        if (end->rc != NCR_BAD) {
            end->taken += px->used;
        }
    }

    ncr_fuzz_check(end->rc == NCR_OK || end->rc == NCR_BAD);
    ncr_fuzz_check((end->rc == NCR_BAD) == (px->error != NULL));

    if (end->rc == NCR_BAD) {
        end->taken = 0;
        ncr_fuzz_check(strlen(px->error) < sizeof(end->error));
        strcpy(end->error, px->error);
    }

    end->status = px->status;

    free(px);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t           piece;
    ncr_str_t        text, host;
    ncr_char_t      *copy, *p, *last, *buf;
    const char      *err;
    ncr_fuzz_end_t   whole, cut;
    ncr_proxy_url_t  url;

    if (size > 8192) {
        return 0;
    }

    copy = malloc(size + !size);
    ncr_fuzz_check(copy != NULL);

    if (size) {
        memcpy(copy, data, size);
    }

    p = copy;
    last = copy + size;

    text = ncr_fuzz_line(&p, last);
    host = ncr_fuzz_line(&p, last);

    ncr_fuzz_addresses(&host);

    buf = malloc(text.len + !text.len);
    ncr_fuzz_check(buf != NULL);

    err = ncr_proxy_url_parse(&text, buf, &url);

    if (err == NULL) {
        ncr_fuzz_check(url.host.len > 0 && url.host.len <= 255);
        ncr_fuzz_check(url.port > 0 && url.port <= 65535);
        ncr_fuzz_check(url.user.data == NULL
                       || (url.user.data >= buf
                           && url.user.data + url.user.len
                              <= buf + text.len));

        ncr_fuzz_talk(&url, &host, p, (size_t) (last - p), 8192, &whole);

        for (piece = 1; piece < 8; piece += 2) {
            ncr_fuzz_talk(&url, &host, p, (size_t) (last - p), piece, &cut);
            ncr_fuzz_check(memcmp(&whole, &cut, sizeof(whole)) == 0);
        }
    }

    free(buf);
    free(copy);

    return 0;
}
