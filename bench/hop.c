
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A hop on the way to an upstream: an egress proxy for who asks with CONNECT,
 * a mere cable for all others.  So the relay through a proxy and proxy_pass,
 * which knows none, can be compared over the same way.
 */


#define _GNU_SOURCE

#include "bench.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


typedef struct bench_end_s  bench_end_t;

struct bench_end_s {
    int           fd;
    int           client;               /* and has said nothing yet */
    bench_end_t  *other;
};


static const char  bench_hop_answer[] =
    "HTTP/1.1 200 Connection established\r\n\r\n";

static int   bench_hop_epoll;
static char  bench_hop_buf[65536];


static int
bench_hop_socket(int port, int listening)
{
    int                 fd, one = 1;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons((uint16_t) port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (listening
        ? bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
          || listen(fd, 511) == -1
        : connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        bench_die("hop: port %d: %m", port);
    }

    return fd;
}


static void
bench_hop_watch(bench_end_t *end)
{
    struct epoll_event  ee;

    ee.events = EPOLLIN;
    ee.data.ptr = end;

    if (epoll_ctl(bench_hop_epoll, EPOLL_CTL_ADD, end->fd, &ee) == -1) {
        bench_die("hop: epoll_ctl: %m");
    }
}


static void
bench_hop_accept(bench_end_t *listening, int port)
{
    int           fd, one = 1;
    bench_end_t  *ends;

    fd = accept(listening->fd, NULL, NULL);
    ends = calloc(2, sizeof(bench_end_t));

    if (fd == -1 || ends == NULL) {
        bench_die("hop: accept: %m");
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    ends[0].fd = fd;
    ends[0].client = 1;
    ends[0].other = &ends[1];
    ends[1].fd = bench_hop_socket(port, 0);
    ends[1].other = &ends[0];

    bench_hop_watch(&ends[0]);
    bench_hop_watch(&ends[1]);
}


/* both ends stay in memory: events of this round may name them still */

static void
bench_hop_close(bench_end_t *end)
{
    close(end->fd);
    close(end->other->fd);

    end->fd = -1;
    end->other->fd = -1;
}


static void
bench_hop_pass(bench_end_t *end)
{
    int      fd;
    char    *p;
    ssize_t  n, sent;

    if (end->fd == -1) {
        return;
    }

    n = read(end->fd, bench_hop_buf, sizeof(bench_hop_buf));

    if (n <= 0) {
        bench_hop_close(end);
        return;
    }

    fd = end->other->fd;
    p = bench_hop_buf;

    if (end->client && n > 12 && memcmp(p, "CONNECT ", 8) == 0) {

        if (memcmp(p + n - 4, "\r\n\r\n", 4) != 0) {
            bench_die("hop: half of a CONNECT");
        }

        fd = end->fd;
        p = (char *) bench_hop_answer;
        n = sizeof(bench_hop_answer) - 1;
    }

    end->client = 0;

    while (n) {
        sent = write(fd, p, (size_t) n);

        if (sent <= 0) {
            bench_hop_close(end);
            return;
        }

        p += sent;
        n -= sent;
    }
}


void
bench_hop(int from, int to)
{
    int                 i, n;
    bench_end_t         listening;
    struct epoll_event  events[64];

    bench_hop_epoll = epoll_create1(EPOLL_CLOEXEC);

    memset(&listening, 0, sizeof(listening));
    listening.fd = bench_hop_socket(from, 1);
    bench_hop_watch(&listening);

    for ( ;; ) {
        n = epoll_wait(bench_hop_epoll, events, 64, -1);

        for (i = 0; i < n; i++) {

            if (events[i].data.ptr == &listening) {
                bench_hop_accept(&listening, to);

            } else {
                bench_hop_pass(events[i].data.ptr);
            }
        }
    }
}
