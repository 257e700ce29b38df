
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The delay of events.  The upstream is a process of our own that writes the
 * time into each one; clock and machine are the same for all.
 */


#define _GNU_SOURCE

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define BENCH_FRAMES_MAX  100000

static const char  bench_mark[] = "sent at ";

static const char  bench_frames_head[] =
    "HTTP/1.1 200 OK\r\n"
    "content-type: text/event-stream; charset=utf-8\r\n"
    "transfer-encoding: chunked\r\n"
    "\r\n";

static const char  bench_frames_start[] =
    "event: message_start\n"
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"
    "\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\","
    "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"
    "{\"input_tokens\":12,\"output_tokens\":1}}}\n\n"
    "event: content_block_start\n"
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
    "{\"type\":\"text\",\"text\":\"\"}}\n\n";

static const char  bench_frames_end[] =
    "event: content_block_stop\n"
    "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: message_delta\n"
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
    "\"stop_sequence\":null},\"usage\":{\"output_tokens\":100}}\n\n"
    "event: message_stop\n"
    "data: {\"type\":\"message_stop\"}\n\n";

static int64_t  *bench_delays[2];
static size_t    bench_ndelays[2];
static size_t    bench_mixed;        /* reads with more than one event */
static int       bench_location = -1;


static void
bench_frames_write(int fd, const char *text)
{
    size_t   len;
    ssize_t  n;

    for (len = strlen(text); len; len -= (size_t) n, text += n) {

        n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0) {
            _exit(0);
        }
    }
}


static void
bench_frames_chunk(int fd, const char *text)
{
    char  buf[2048];

    snprintf(buf, sizeof(buf), "%zx\r\n%s\r\n", strlen(text), text);

    bench_frames_write(fd, buf);
}


/* reads a request; 0 at the end of the connection */

static int
bench_frames_request(int fd)
{
    char     buf[16384], *p;
    size_t   n, body;
    ssize_t  got;

    n = 0;
    body = 0;

    for ( ;; ) {

        got = recv(fd, buf + n, sizeof(buf) - 1 - n, 0);

        if (got <= 0) {
            return 0;
        }

        n += (size_t) got;
        buf[n] = '\0';

        p = strcasestr(buf, "\r\ncontent-length:");

        if (p) {
            body = strtoul(p + sizeof("\r\ncontent-length:") - 1, NULL, 10);
        }

        p = strstr(buf, "\r\n\r\n");

        if (p && (size_t) (buf + n - (p + 4)) >= body) {
            return 1;
        }

        if (n == sizeof(buf) - 1) {
            return 0;
        }
    }
}


static void
bench_frames_serve(int fd, int events, int delay)
{
    int              i, on;
    char             buf[512];
    struct timespec  ts;

    on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    ts.tv_sec = delay / 1000;
    ts.tv_nsec = (long) (delay % 1000) * 1000000;

    while (bench_frames_request(fd)) {

        bench_frames_write(fd, bench_frames_head);
        bench_frames_chunk(fd, bench_frames_start);

        for (i = 0; i < events; i++) {

            nanosleep(&ts, NULL);

            snprintf(buf, sizeof(buf), "event: content_block_delta\n"
                     "data: {\"type\":\"content_block_delta\",\"index\":0,"
                     "\"delta\":{\"type\":\"text_delta\",\"text\":"
                     "\"%s%llu\"}}\n\n",
                     bench_mark, (unsigned long long) bench_now());

            bench_frames_chunk(fd, buf);
        }

        nanosleep(&ts, NULL);

        bench_frames_chunk(fd, bench_frames_end);
        bench_frames_write(fd, "0\r\n\r\n");
    }

    _exit(0);
}


/* the upstream ends with the client, a process for each of its connections */

void
bench_frames_upstream(int port, int events, int delay)
{
    int                 fd, c, on;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM, 0);
    on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) port);

    if (bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, 16) == -1)
    {
        bench_die("cannot listen on port %d: %s", port, strerror(errno));
    }

    if (fork() != 0) {
        close(fd);
        return;
    }

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);

    for ( ;; ) {

        c = accept(fd, NULL, NULL);

        if (c == -1) {
            continue;
        }

        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(fd);
            bench_frames_serve(c, events, delay);
        }

        close(c);
    }
}


/* whose events come now; -1: nobody's */

void
bench_frames_stream(int location)
{
    int  i;

    bench_location = location;

    for (i = 0; i < 2; i++) {
        if (bench_delays[i] == NULL) {
            bench_delays[i] = calloc(BENCH_FRAMES_MAX, sizeof(int64_t));

            if (bench_delays[i] == NULL) {
                bench_die("no memory");
            }
        }
    }
}


void
bench_frames_seen(char *p, size_t n)
{
    int        i, found;
    char      *last, *mark;
    uint64_t   now, sent;

    i = bench_location;

    if (i == -1) {
        return;
    }

    now = bench_now();
    last = p + n;
    found = 0;

    while ((mark = memmem(p, (size_t) (last - p), bench_mark,
                          sizeof(bench_mark) - 1))
           != NULL)
    {
        p = mark + sizeof(bench_mark) - 1;
        sent = 0;

        while (p < last && *p >= '0' && *p <= '9') {
            sent = sent * 10 + (uint64_t) (*p++ - '0');
        }

        if (p == last || bench_ndelays[i] == BENCH_FRAMES_MAX) {
            bench_die("an event in pieces, or too many of them");
        }

        bench_delays[i][bench_ndelays[i]++] = (int64_t) (now - sent);
        found++;
    }

    bench_mixed += (found > 1);
}


void
bench_frames_print(int expected)
{
    int  i;

    for (i = 0; i < 2; i++) {
        if (bench_ndelays[i] != (size_t) expected) {
            bench_die("%zu events of %d", bench_ndelays[i], expected);
        }
    }

    bench_print("a", bench_delays[0], bench_ndelays[0]);
    bench_print("b", bench_delays[1], bench_ndelays[1]);

    printf("mixed=%zu\n", bench_mixed);
}
