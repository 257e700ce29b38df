
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The talk with an egress proxy before a connection may be used: HTTP
 * CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, RFC 1929), always with the
 * name of the host, which the proxy resolves.  Bytes in, bytes out; never
 * reads a byte that belongs to what follows.
 */


#ifndef _NCR_PROXY_H_INCLUDED_
#define _NCR_PROXY_H_INCLUDED_


#include "ncr_base.h"


typedef enum {
    NCR_PROXY_HTTP = 0,
    NCR_PROXY_SOCKS5
} ncr_proxy_e;


typedef struct {
    ncr_proxy_e  type;
    ncr_str_t    host;                  /* no brackets */
    ncr_uint_t   port;
    ncr_str_t    user;                  /* decoded; data NULL = none */
    ncr_str_t    password;
} ncr_proxy_url_t;

/*
 * "http://[user[:password]@]host[:port]", "socks5://..." and "socks5h://...";
 * without a port it is 80 or 1080.  User and password are %-decoded into buf
 * (text->len bytes do).  NULL, or what is wrong with it, which never holds a
 * part of the text.
 */
const char *ncr_proxy_url_parse(ncr_str_t *text, ncr_char_t *buf,
    ncr_proxy_url_t *url);


/* one handshake */

#define NCR_PROXY_BUF  2048

typedef struct {
    ncr_proxy_url_t  *proxy;
    ncr_str_t         host;             /* the target, no brackets */
    ncr_uint_t        port;

    /*
     * What is to be sent, all of it, before more is fed; the caller moves
     * out.data on.  It lies in buf.
     */
    ncr_str_t         out;

    /* how many bytes may be shown at most, now */
    size_t            want;

    /* of the bytes that were shown last, how many belong to the handshake */
    size_t            used;

    const char       *error;            /* after NCR_BAD: for a log */
    ncr_uint_t        status;           /* of CONNECT, or SOCKS5's reply */

    /* private */

    ncr_uint_t        state;
    size_t            len;
    size_t            start;            /* of the head being read */
    ncr_char_t        buf[NCR_PROXY_BUF];
} ncr_proxy_t;


/* NCR_OK, or NCR_BAD: the host or the credentials are too long */
ncr_int_t ncr_proxy_start(ncr_proxy_t *px, ncr_proxy_url_t *proxy,
    ncr_str_t *host, ncr_uint_t port);

/*
 * Shows n bytes that came, no more than want; none means that the proxy has
 * closed the connection.  They must have been peeked at only: used of them
 * are to be read now, the rest belongs to what follows.  NCR_AGAIN: send
 * what is in out, if anything, and go on; NCR_OK: the tunnel is open;
 * NCR_BAD: it is not, see error.
 */
ncr_int_t ncr_proxy_feed(ncr_proxy_t *px, ncr_char_t *p, size_t n);


#endif /* _NCR_PROXY_H_INCLUDED_ */
