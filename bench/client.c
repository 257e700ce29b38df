
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The client of the benchmark: one thread, epoll, a fixed number of requests.
 *
 *   client load    CPU of the nginx worker for a number of requests
 *   client pairs   the latency of two locations, request by request
 *   client flood   one request after the other, at its own pace
 *   client frames  the delay of each event of a stream, two locations
 *   client idle    memory of the nginx worker for streams that stand still
 *
 * Results are words "name=value" on stdout.
 */


#define _GNU_SOURCE

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define BENCH_EVENTS    256
#define BENCH_HEAD      4096
#define BENCH_READ      65536


typedef enum {
    BENCH_STATUS = 0,       /* the header of the answer */
    BENCH_SIZED,
    BENCH_CHUNK_SIZE,
    BENCH_CHUNK_EXTENSION,
    BENCH_CHUNK,
    BENCH_CHUNK_END,
    BENCH_TRAILER,
    BENCH_DONE
} bench_state_e;


typedef struct {
    int             fd;
    char            head[BENCH_HEAD];
    size_t          nhead;
    size_t          sent;
    bench_state_e   state;
    char            line[BENCH_HEAD];
    size_t          nline;
    uint64_t        left;
    size_t          body;           /* bytes of the answer's body */
    int             status;
} bench_conn_t;


typedef struct {
    const char     *command;
    int             port;
    const char     *paths[2];
    int             npaths;
    const char     *key;
    const char     *sandbox;
    int             conns;
    int             count;
    size_t          size;
    int             stream;
    int             events;
    int             delay;
    int             listen;
    int             interval;
    int             status;
    int             worker;
    int             seconds;
} bench_options_t;


static bench_options_t  bench;
static char            *bench_text;     /* the request's body */
static size_t           bench_ntext;
static uint64_t         bench_reads;
static char             bench_buf[BENCH_READ];
static int              bench_epoll;


void
bench_die(const char *format, ...)
{
    va_list  args;

    va_start(args, format);
    fputs("bench client: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);

    exit(1);
}


uint64_t
bench_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


/* what the worker has run so far, ns */

static uint64_t
bench_cpu(void)
{
    FILE                *f;
    char                 path[64];
    unsigned long long   ns;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", bench.worker);

    f = fopen(path, "r");

    if (f == NULL || fscanf(f, "%llu", &ns) != 1) {
        bench_die("cannot read %s", path);
    }

    fclose(f);

    return ns;
}


/* a line of smaps_rollup or status, kB */

static long
bench_memory(const char *file, const char *name)
{
    FILE   *f;
    char    path[64], line[256];
    long    kb;
    size_t  len;

    snprintf(path, sizeof(path), "/proc/%d/%s", bench.worker, file);

    f = fopen(path, "r");
    if (f == NULL) {
        bench_die("cannot read %s", path);
    }

    len = strlen(name);
    kb = -1;

    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            kb = atol(line + len + 1);
            break;
        }
    }

    fclose(f);

    if (kb < 0) {
        bench_die("no %s in %s", name, path);
    }

    return kb;
}


/* a request of Claude Code: its headers in its order, a session per number */

static void
bench_head(bench_conn_t *c, const char *path, int number)
{
    int  n;

    n = snprintf(c->head, BENCH_HEAD,
        "POST %s/v1/messages?beta=true HTTP/1.1\r\n"
        "Accept: application/json\r\n"
        "x-api-key: %s\r\n"
        "Content-Type: application/json\r\n"
        "User-Agent: claude-cli/2.1.329 (external, cli)\r\n"
        "X-Claude-Code-Session-Id: 00000000-0000-4000-8000-%012d\r\n"
        "X-Stainless-Arch: x64\r\n"
        "X-Stainless-Lang: js\r\n"
        "X-Stainless-OS: Linux\r\n"
        "X-Stainless-Package-Version: 0.128.0\r\n"
        "X-Stainless-Retry-Count: 0\r\n"
        "X-Stainless-Runtime: node\r\n"
        "X-Stainless-Runtime-Version: v26.12.1\r\n"
        "X-Stainless-Timeout: 600\r\n"
        "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14,"
        "context-management-2025-06-27,effort-2025-11-24\r\n"
        "anthropic-dangerous-direct-browser-access: true\r\n"
        "anthropic-version: 2023-06-01\r\n"
        "x-app: cli\r\n"
        "%s%s%s"
        "Connection: keep-alive\r\n"
        "Host: 127.0.0.1:%d\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Content-Length: %zu\r\n"
        "\r\n",
        path, bench.key, number + 1,
        bench.sandbox ? "x-sandbox: " : "", bench.sandbox ? bench.sandbox : "",
        bench.sandbox ? "\r\n" : "",
        bench.port, bench_ntext);

    if (n < 0 || n >= BENCH_HEAD) {
        bench_die("the request's header is too large");
    }

    c->nhead = (size_t) n;
}


static void
bench_start(bench_conn_t *c)
{
    c->sent = 0;
    c->state = BENCH_STATUS;
    c->nline = 0;
    c->body = 0;
}


static void
bench_connect(bench_conn_t *c)
{
    int                  on;
    struct sockaddr_in   sin;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd == -1) {
        bench_die("socket(): %s", strerror(errno));
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) bench.port);

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        bench_die("connect() to port %d: %s", bench.port, strerror(errno));
    }

    on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    bench_start(c);
}


static void
bench_watch(bench_conn_t *c)
{
    struct epoll_event  ev;

    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1) {
        bench_die("fcntl(): %s", strerror(errno));
    }

    ev.events = EPOLLIN | EPOLLOUT | EPOLLET;
    ev.data.ptr = c;

    if (epoll_ctl(bench_epoll, EPOLL_CTL_ADD, c->fd, &ev) == -1) {
        bench_die("epoll_ctl(): %s", strerror(errno));
    }
}


/* sends what goes; head and body in one write if they are small */

static void
bench_send(bench_conn_t *c)
{
    ssize_t        n;
    struct iovec   iov[2];
    struct msghdr  msg;

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = iov;

    while (c->sent < c->nhead + bench_ntext) {

        msg.msg_iovlen = 0;

        if (c->sent < c->nhead) {
            iov[0].iov_base = c->head + c->sent;
            iov[0].iov_len = c->nhead - c->sent;
            iov[1].iov_base = bench_text;
            iov[1].iov_len = bench_ntext;
            msg.msg_iovlen = 2;

        } else {
            iov[0].iov_base = bench_text + (c->sent - c->nhead);
            iov[0].iov_len = c->nhead + bench_ntext - c->sent;
            msg.msg_iovlen = 1;
        }

        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);

        if (n == -1) {
            if (errno == EAGAIN) {
                return;
            }

            bench_die("send(): %s", strerror(errno));
        }

        c->sent += (size_t) n;
    }
}


/* the header is whole: how long is the body? */

static void
bench_header(bench_conn_t *c)
{
    char  *p;

    c->line[c->nline] = '\0';

    if (sscanf(c->line, "HTTP/1.1 %d", &c->status) != 1) {
        bench_die("not an answer: %.200s", c->line);
    }

    if (c->status != bench.status) {
        bench_die("status %d: %.800s", c->status, c->line);
    }

    c->nline = 0;

    if (strcasestr(c->line, "\r\ntransfer-encoding: chunked")) {
        c->state = BENCH_CHUNK_SIZE;
        c->left = 0;
        return;
    }

    p = strcasestr(c->line, "\r\ncontent-length:");
    if (p == NULL) {
        bench_die("no length: %.800s", c->line);
    }

    c->left = strtoull(p + sizeof("\r\ncontent-length:") - 1, NULL, 10);
    c->state = c->left ? BENCH_SIZED : BENCH_DONE;
}


static void
bench_digit(bench_conn_t *c, char ch)
{
    if (ch >= '0' && ch <= '9') {
        c->left = c->left * 16 + (uint64_t) (ch - '0');

    } else if (ch >= 'a' && ch <= 'f') {
        c->left = c->left * 16 + (uint64_t) (ch - 'a' + 10);

    } else if (ch >= 'A' && ch <= 'F') {
        c->left = c->left * 16 + (uint64_t) (ch - 'A' + 10);

    } else if (ch == '\n') {
        c->state = c->left ? BENCH_CHUNK : BENCH_TRAILER;

    } else {
        c->state = BENCH_CHUNK_EXTENSION;
    }
}


static void
bench_parse(bench_conn_t *c, char *p, size_t n)
{
    char    *last;
    size_t   size;

    last = p + n;

    while (p < last) {

        switch (c->state) {

        case BENCH_STATUS:

            if (c->nline == BENCH_HEAD - 1) {
                bench_die("the answer's header is too large");
            }

            c->line[c->nline++] = *p++;

            if (c->nline >= 4
                && memcmp(c->line + c->nline - 4, "\r\n\r\n", 4) == 0)
            {
                bench_header(c);
            }

            break;

        case BENCH_SIZED:
        case BENCH_CHUNK:

            size = (size_t) (last - p);
            size = (size < c->left) ? size : (size_t) c->left;

            bench_frames_seen(p, size);

            p += size;
            c->left -= size;
            c->body += size;

            if (c->left == 0) {
                c->state = (c->state == BENCH_SIZED) ? BENCH_DONE
                                                     : BENCH_CHUNK_END;
            }

            break;

        case BENCH_CHUNK_SIZE:
            bench_digit(c, *p++);
            break;

        case BENCH_CHUNK_EXTENSION:

            if (*p++ == '\n') {
                c->state = c->left ? BENCH_CHUNK : BENCH_TRAILER;
            }

            break;

        case BENCH_CHUNK_END:

            if (*p++ == '\n') {
                c->state = BENCH_CHUNK_SIZE;
            }

            break;

        case BENCH_TRAILER:

            if (*p++ == '\n') {
                c->state = BENCH_DONE;
            }

            break;

        case BENCH_DONE:
            bench_die("more than the answer: %.*s", (int) (last - p), p);
        }
    }
}


/* reads what is there; returns 1 when the answer is complete */

static int
bench_receive(bench_conn_t *c)
{
    ssize_t  n;

    while (c->state != BENCH_DONE) {

        n = recv(c->fd, bench_buf, sizeof(bench_buf), 0);

        if (n == -1 && errno == EAGAIN) {
            return 0;
        }

        if (n <= 0) {
            bench_die("recv(): %s after %zu bytes of the body",
                      n ? strerror(errno) : "closed", c->body);
        }

        bench_reads++;
        bench_parse(c, bench_buf, (size_t) n);
    }

    return 1;
}


/* one request on a blocking connection, its duration in ns */

static uint64_t
bench_once(bench_conn_t *c)
{
    uint64_t  start;

    bench_start(c);

    start = bench_now();

    bench_send(c);
    (void) bench_receive(c);

    return bench_now() - start;
}


static bench_conn_t *
bench_conns(int n)
{
    int            i;
    bench_conn_t  *c;

    c = calloc((size_t) n, sizeof(bench_conn_t));
    if (c == NULL) {
        bench_die("no memory");
    }

    for (i = 0; i < n; i++) {
        bench_head(&c[i], bench.paths[0], i);
        bench_connect(&c[i]);
        bench_watch(&c[i]);
    }

    return c;
}


/* until each connection is told to rest, or all of the requests are done */

static void
bench_run(int count)
{
    int                 i, n, started, done;
    bench_conn_t       *c;
    struct epoll_event  events[BENCH_EVENTS];

    started = bench.conns;
    done = 0;

    while (done < count) {

        n = epoll_wait(bench_epoll, events, BENCH_EVENTS, -1);

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c->state == BENCH_DONE) {
                continue;
            }

            bench_send(c);

            if (!bench_receive(c)) {
                continue;
            }

            done++;

            if (started < count) {
                started++;
                bench_start(c);
                bench_send(c);
            }
        }
    }
}


static void
bench_load(void)
{
    int            i;
    uint64_t       cpu, wall;
    bench_conn_t  *c;

    c = bench_conns(bench.conns);

    if (bench.count < bench.conns) {
        bench_die("less requests than connections");
    }

    /* connections, pools and caches are warm when the clock starts */

    bench_run(bench.conns);

    bench_reads = 0;
    cpu = bench_cpu();
    wall = bench_now();

    for (i = 0; i < bench.conns; i++) {
        bench_start(&c[i]);
        bench_send(&c[i]);
    }

    bench_run(bench.count);

    wall = bench_now() - wall;

    /* the end of the last request, and its line in the log */

    usleep(5000);

    cpu = bench_cpu() - cpu;

    printf("cpu_us=%.3f rps=%.0f reads=%.1f body=%zu\n",
           (double) cpu / 1000 / bench.count,
           bench.count / ((double) wall / 1e9),
           (double) bench_reads / bench.count, c[0].body);
}


static int
bench_compare(const void *one, const void *two)
{
    const int64_t  *a = one;
    const int64_t  *b = two;

    return (*a > *b) - (*a < *b);
}


void
bench_print(const char *name, int64_t *values, size_t n)
{
    if (n == 0) {
        bench_die("nothing was measured");
    }

    qsort(values, n, sizeof(int64_t), bench_compare);

    printf("%s_p50=%.2f %s_p90=%.2f %s_p99=%.2f %s_max=%.2f ",
           name, (double) values[n / 2] / 1000,
           name, (double) values[n * 9 / 10] / 1000,
           name, (double) values[n * 99 / 100] / 1000,
           name, (double) values[n - 1] / 1000);
}


/* so much between the beginnings of two requests */

static void
bench_pause(void)
{
    static struct timespec  next;

    if (bench.interval == 0) {
        return;
    }

    if (next.tv_sec == 0) {
        clock_gettime(CLOCK_MONOTONIC, &next);
    }

    next.tv_nsec += (long) bench.interval * 1000;

    while (next.tv_nsec >= 1000000000) {
        next.tv_nsec -= 1000000000;
        next.tv_sec++;
    }

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
}


/* until it is killed, or all are sent */

static void
bench_flood(void)
{
    int           i;
    bench_conn_t  c;

    memset(&c, 0, sizeof(bench_conn_t));

    bench_head(&c, bench.paths[0], 0);
    bench_connect(&c);

    for (i = 0; i < bench.count; i++) {
        bench_pause();
        (void) bench_once(&c);
    }
}


/* one connection to each location, a request here, a request there */

static void
bench_pairs(void)
{
    int            i, k;
    int64_t       *values[2];
    bench_conn_t   c[2];

    for (k = 0; k < 2; k++) {
        bench_head(&c[k], bench.paths[k], k);
        bench_connect(&c[k]);

        values[k] = calloc((size_t) bench.count, sizeof(int64_t));
        if (values[k] == NULL) {
            bench_die("no memory");
        }
    }

    for (i = -20; i < bench.count; i++) {

        bench_pause();

        /* who goes first alternates, too */

        for (k = 0; k < 2; k++) {
            int64_t  ns = (int64_t) bench_once(&c[(i & 1) ^ k]);

            if (i >= 0) {
                values[(i & 1) ^ k][i] = ns;
            }
        }
    }

    bench_print("a", values[0], (size_t) bench.count);
    bench_print("b", values[1], (size_t) bench.count);
    putchar('\n');
}


static void
bench_frames(void)
{
    int           i, k;
    bench_conn_t  c[2];

    bench_frames_upstream(bench.listen, bench.events, bench.delay);

    for (k = 0; k < 2; k++) {
        bench_head(&c[k], bench.paths[k], k);
        bench_connect(&c[k]);
    }

    for (i = -1; i < bench.count; i++) {
        for (k = 0; k < 2; k++) {
            bench_frames_stream((i < 0) ? -1 : ((i & 1) ^ k));
            (void) bench_once(&c[(i & 1) ^ k]);
        }
    }

    bench_frames_print(bench.count * bench.events);
}


/* streams are opened, have begun, and then nothing more comes */

static void
bench_idle(void)
{
    int                  i, n, begun;
    long                 rss, pss, anon;
    bench_conn_t        *c;
    struct epoll_event   events[BENCH_EVENTS];

    rss = bench_memory("smaps_rollup", "Rss");
    pss = bench_memory("smaps_rollup", "Pss");
    anon = bench_memory("status", "RssAnon");

    bench_conns(bench.conns);

    begun = 0;

    while (begun < bench.conns) {

        n = epoll_wait(bench_epoll, events, BENCH_EVENTS, -1);

        for (i = 0; i < n; i++) {
            size_t  before;

            c = events[i].data.ptr;
            before = c->body;

            bench_send(c);
            (void) bench_receive(c);

            begun += (before == 0 && c->body != 0);
        }
    }

    usleep(500000);

    rss = bench_memory("smaps_rollup", "Rss") - rss;
    pss = bench_memory("smaps_rollup", "Pss") - pss;
    anon = bench_memory("status", "RssAnon") - anon;

    printf("rss_kb=%.3f pss_kb=%.3f anon_kb=%.3f\n",
           (double) rss / bench.conns, (double) pss / bench.conns,
           (double) anon / bench.conns);
}


static void
bench_usage(void)
{
    fputs("usage: client load|pairs|flood|frames|idle -p PORT -u PATH "
          "[-u PATH]\n"
          "       client hop -l PORT -p PORT\n"
          "  -k KEY      x-api-key\n"
          "  -x CMDS     x-sandbox\n"
          "  -c N        connections (1)\n"
          "  -n N        requests (1), streams of frames\n"
          "  -s BYTES    size of the request's body (1024)\n"
          "  -S          ask for a stream\n"
          "  -w PID      the nginx worker\n"
          "  -t SECONDS  give up then (30)\n"
          "  -i US       between two requests of pairs and flood (0)\n"
          "  -X STATUS   of the answers (200)\n"
          "  -l PORT -e N -d MS  frames: the upstream's port, its events, the "
          "delay between them\n", stderr);
    exit(2);
}


static void
bench_parse_options(int argc, char **argv)
{
    int  ch;

    bench.key = "none";
    bench.conns = 1;
    bench.count = 1;
    bench.size = 1024;
    bench.events = 100;
    bench.delay = 2;
    bench.seconds = 30;
    bench.status = 200;

    if (argc < 2) {
        bench_usage();
    }

    bench.command = argv[1];

    while ((ch = getopt(argc - 1, argv + 1, "p:u:k:x:c:n:s:Sw:t:l:e:d:i:X:"))
           != -1)
    {
        switch (ch) {
        case 'p': bench.port = atoi(optarg); break;
        case 'k': bench.key = optarg; break;
        case 'x': bench.sandbox = optarg; break;
        case 'c': bench.conns = atoi(optarg); break;
        case 'n': bench.count = atoi(optarg); break;
        case 's': bench.size = (size_t) atol(optarg); break;
        case 'S': bench.stream = 1; break;
        case 'w': bench.worker = atoi(optarg); break;
        case 't': bench.seconds = atoi(optarg); break;
        case 'l': bench.listen = atoi(optarg); break;
        case 'e': bench.events = atoi(optarg); break;
        case 'd': bench.delay = atoi(optarg); break;
        case 'i': bench.interval = atoi(optarg); break;
        case 'X': bench.status = atoi(optarg); break;

        case 'u':
            if (bench.npaths == 2) {
                bench_usage();
            }

            bench.paths[bench.npaths++] = optarg;
            break;

        default:
            bench_usage();
        }
    }

    if (bench.port == 0
        || (bench.npaths == 0 && strcmp(bench.command, "hop") != 0))
    {
        bench_usage();
    }
}


int
main(int argc, char **argv)
{
    struct rlimit  rl;

    bench_parse_options(argc, argv);

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }

    signal(SIGPIPE, SIG_IGN);

    if (strcmp(bench.command, "hop") == 0 && bench.listen) {
        bench_hop(bench.listen, bench.port);
    }

    alarm((unsigned) bench.seconds);

    bench_text = bench_body(bench.size, bench.stream, &bench_ntext);
    bench_epoll = epoll_create1(EPOLL_CLOEXEC);

    if (strcmp(bench.command, "load") == 0 && bench.worker) {
        bench_load();

    } else if (strcmp(bench.command, "idle") == 0 && bench.worker) {
        bench_idle();

    } else if (strcmp(bench.command, "pairs") == 0 && bench.npaths == 2) {
        bench_pairs();

    } else if (strcmp(bench.command, "flood") == 0) {
        bench_flood();

    } else if (strcmp(bench.command, "frames") == 0 && bench.npaths == 2
               && bench.listen)
    {
        bench_frames();

    } else {
        bench_usage();
    }

    return 0;
}
