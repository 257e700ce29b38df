
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>


#define SBX_LISTEN_MAX  8
#define SBX_CONN_MAX    16384
#define SBX_SWEEP       5000


typedef struct {
    int               fd;
    int               tls;
    const char       *unix_path;
} sbx_listen_t;


uint64_t      sbx_now;
time_t        sbx_time;
int           sbx_quiet;
int           sbx_verbose;
sbx_stats_t   sbx_stats;

static int            sbx_epoll;
static SSL_CTX       *sbx_ssl;
static sbx_listen_t   sbx_listens[SBX_LISTEN_MAX];
static int            sbx_nlistens;
static int            sbx_signal = -1;
static int            sbx_accepting = 1;
static sbx_conn_t    *sbx_conns;
static sbx_conn_t   **sbx_heap;
static int            sbx_nheap, sbx_heap_size;

static const char  sbx_help[] =
    "usage: claude-relay-sandbox [options]\n"
    "  -l ADDR:PORT  listen here (127.0.0.1:9100), may be repeated\n"
    "  -p ADDR:PORT  the same, but without TLS even with -t\n"
    "  -6            listen on [::1] with the first port, too\n"
    "  -u PATH       listen on a unix socket (without TLS), too\n"
    "  -t cert.pem   TLS certificate chain\n"
    "  -k key.pem    TLS key\n"
    "  -q            no recording and no hashing (for benchmarks)\n"
    "  -v            log requests to stderr\n";


static void
sbx_update_time(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    sbx_now = (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    sbx_time = ts.tv_sec;
}


/* a binary heap of connections by time, each has at most one timer */

static void
sbx_heap_set(int i, sbx_conn_t *c)
{
    sbx_heap[i] = c;
    c->heap = i;
}


static void
sbx_heap_up(int i, sbx_conn_t *c)
{
    int  up;

    while (i > 0) {
        up = (i - 1) / 2;
        if (sbx_heap[up]->timer <= c->timer) {
            break;
        }
        sbx_heap_set(i, sbx_heap[up]);
        i = up;
    }

    sbx_heap_set(i, c);
}


static void
sbx_heap_down(int i, sbx_conn_t *c)
{
    int  k;

    for ( ;; ) {
        k = 2 * i + 1;
        if (k >= sbx_nheap) {
            break;
        }
        if (k + 1 < sbx_nheap && sbx_heap[k + 1]->timer < sbx_heap[k]->timer) {
            k++;
        }
        if (sbx_heap[k]->timer >= c->timer) {
            break;
        }
        sbx_heap_set(i, sbx_heap[k]);
        i = k;
    }

    sbx_heap_set(i, c);
}


void
sbx_timer_add(sbx_conn_t *c, long ms)
{
    sbx_timer_del(c);

    if (sbx_nheap == sbx_heap_size) {
        sbx_heap_size = sbx_heap_size ? sbx_heap_size * 2 : 256;
        sbx_heap = realloc(sbx_heap,
                           (size_t) sbx_heap_size * sizeof(sbx_conn_t *));
        if (sbx_heap == NULL) {
            abort();
        }
    }

    c->timer = sbx_now + (uint64_t) ms;
    sbx_heap_up(sbx_nheap++, c);
}


void
sbx_timer_del(sbx_conn_t *c)
{
    int          i;
    sbx_conn_t  *last;

    i = c->heap;

    if (i < 0) {
        return;
    }

    c->heap = -1;
    last = sbx_heap[--sbx_nheap];

    if (last == c) {
        return;
    }

    if (i > 0 && sbx_heap[(i - 1) / 2]->timer > last->timer) {
        sbx_heap_up(i, last);

    } else {
        sbx_heap_down(i, last);
    }
}


static int
sbx_timers(void)
{
    int          n;
    uint64_t     left;
    sbx_conn_t  *c;

    /* a handler may add a timer of zero: its turn is the next cycle */

    for (n = sbx_nheap; sbx_nheap; n--) {
        c = sbx_heap[0];

        if (c->timer > sbx_now) {
            left = c->timer - sbx_now;
            return left > 1000 ? 1000 : (int) left;
        }

        if (n <= 0) {
            return 0;
        }

        sbx_timer_del(c);
        sbx_conn_timer(c);
    }

    return 1000;
}


static void
sbx_sweep(void)
{
    sbx_conn_t  *c, *next;

    static uint64_t  last;

    if (sbx_now - last < SBX_SWEEP) {
        return;
    }

    last = sbx_now;

    for (c = sbx_conns; c; c = next) {
        next = c->next;
        sbx_conn_sweep(c);
    }
}


static void
sbx_watch(int op, int fd, uint32_t events, void *data)
{
    struct epoll_event  ev;

    ev.events = events;
    ev.data.ptr = data;

    if (epoll_ctl(sbx_epoll, op, fd, &ev) == -1) {
        perror("epoll_ctl()");
        exit(1);
    }
}


static void
sbx_accept_pause(int pause)
{
    int  i;

    for (i = 0; i < sbx_nlistens; i++) {
        sbx_watch(EPOLL_CTL_MOD, sbx_listens[i].fd, pause ? 0 : EPOLLIN,
                  &sbx_listens[i]);
    }

    sbx_accepting = !pause;
}


static void
sbx_accept(sbx_listen_t *ls)
{
    int          i, fd;
    sbx_conn_t  *c;

    for (i = 0; i < 64; i++) {

        if (sbx_stats.open >= SBX_CONN_MAX) {
            sbx_accept_pause(1);
            return;
        }

        fd = accept4(ls->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd == -1) {
            if (errno == EMFILE || errno == ENFILE) {
                sbx_accept_pause(1);
            }
            return;
        }

        c = sbx_conn_new(fd, ls->tls ? sbx_ssl : NULL);

        c->next = sbx_conns;
        if (sbx_conns) {
            sbx_conns->prev = c;
        }
        sbx_conns = c;

        sbx_watch(EPOLL_CTL_ADD, fd,
                  EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c);
    }
}


void
sbx_conn_unlink(sbx_conn_t *c)
{
    if (c->prev) {
        c->prev->next = c->next;

    } else {
        sbx_conns = c->next;
    }

    if (c->next) {
        c->next->prev = c->prev;
    }

    if (!sbx_accepting) {
        sbx_accept_pause(0);
    }
}


static void
sbx_listen_add(int fd, int tls, const char *path)
{
    sbx_listen_t  *ls;

    if (sbx_nlistens == SBX_LISTEN_MAX) {
        fprintf(stderr, "too many listeners\n");
        exit(1);
    }

    if (listen(fd, 4096) == -1) {
        perror("listen()");
        exit(1);
    }

    ls = &sbx_listens[sbx_nlistens++];
    ls->fd = fd;
    ls->tls = tls;
    ls->unix_path = path;
}


static int
sbx_address(const char *text, struct sockaddr_storage *ss, socklen_t *len)
{
    char                  host[64];
    long                  port;
    size_t                n;
    const char           *colon;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    memset(ss, 0, sizeof(struct sockaddr_storage));
    sin = (struct sockaddr_in *) ss;
    sin6 = (struct sockaddr_in6 *) ss;

    colon = strrchr(text, ':');
    n = colon ? (size_t) (colon - text) : 0;

    if (n >= sizeof(host)) {
        return SBX_ERROR;
    }

    memcpy(host, text, n);
    host[n] = '\0';
    port = strtol(colon ? colon + 1 : text, NULL, 10);

    if (port < 0 || port > 65535) {
        return SBX_ERROR;
    }

    if (strcmp(host, "[::1]") == 0) {
        sin6->sin6_family = AF_INET6;
        sin6->sin6_addr = in6addr_loopback;
        sin6->sin6_port = htons((uint16_t) port);
        *len = sizeof(struct sockaddr_in6);
        return SBX_OK;
    }

    if (n == 0 || strcmp(host, "localhost") == 0) {
        strcpy(host, "127.0.0.1");
    }

    sin->sin_family = AF_INET;
    sin->sin_port = htons((uint16_t) port);
    *len = sizeof(struct sockaddr_in);

    if (inet_pton(AF_INET, host, &sin->sin_addr) != 1
        || (ntohl(sin->sin_addr.s_addr) >> 24) != 127)
    {
        return SBX_ERROR;
    }

    return SBX_OK;
}


/* returns the port */

static int
sbx_listen_tcp(const char *text, int tls)
{
    int                      fd, on, port;
    char                     name[64];
    socklen_t                len;
    struct sockaddr_in      *sin;
    struct sockaddr_in6     *sin6;
    struct sockaddr_storage  ss;

    if (sbx_address(text, &ss, &len) != SBX_OK) {
        fprintf(stderr, "\"%s\" is not a loopback address and port\n", text);
        exit(1);
    }

    on = 1;
    sin = (struct sockaddr_in *) &ss;
    sin6 = (struct sockaddr_in6 *) &ss;

    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1
        || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(int)) == -1
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1
        || (ss.ss_family == AF_INET6
            && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(int))
               == -1)
        || bind(fd, (struct sockaddr *) &ss, len) == -1)
    {
        fprintf(stderr, "%s: %s\n", text, strerror(errno));
        exit(1);
    }

    sbx_listen_add(fd, tls, NULL);

    len = sizeof(ss);
    getsockname(fd, (struct sockaddr *) &ss, &len);

    if (ss.ss_family == AF_INET6) {
        port = ntohs(sin6->sin6_port);
        strcpy(name, "[::1]");

    } else {
        port = ntohs(sin->sin_port);
        inet_ntop(AF_INET, &sin->sin_addr, name, sizeof(name));
    }

    printf("listening on %s://%s:%d\n", tls ? "https" : "http", name, port);

    return port;
}


static void
sbx_listen_unix(const char *path)
{
    int                 fd;
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;

    if (strlen(path) >= sizeof(sun.sun_path)) {
        fprintf(stderr, "%s: too long\n", path);
        exit(1);
    }

    strcpy(sun.sun_path, path);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1 || bind(fd, (struct sockaddr *) &sun, sizeof(sun)) == -1) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }

    sbx_listen_add(fd, 0, path);

    printf("listening on unix:%s\n", path);
}


static int
sbx_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
    const unsigned char *in, unsigned int inlen, void *arg)
{
    (void) ssl;
    (void) arg;

    if (SSL_select_next_proto((unsigned char **) out, len,
                              (const unsigned char *) "\x08http/1.1", 9,
                              in, inlen)
        != OPENSSL_NPN_NEGOTIATED)
    {
        return SSL_TLSEXT_ERR_NOACK;
    }

    return SSL_TLSEXT_ERR_OK;
}


static void
sbx_ssl_init(const char *cert, const char *key)
{
    sbx_ssl = SSL_CTX_new(TLS_server_method());

    if (sbx_ssl == NULL
        || SSL_CTX_use_certificate_chain_file(sbx_ssl, cert) != 1
        || SSL_CTX_use_PrivateKey_file(sbx_ssl, key, SSL_FILETYPE_PEM) != 1)
    {
        ERR_print_errors_fp(stderr);
        exit(1);
    }

    SSL_CTX_set_mode(sbx_ssl, SSL_MODE_ENABLE_PARTIAL_WRITE
                              | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                              | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(sbx_ssl, (const unsigned char *) "sbx", 3);
    SSL_CTX_set_session_cache_mode(sbx_ssl, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(sbx_ssl, 4096);
    SSL_CTX_set_alpn_select_cb(sbx_ssl, sbx_alpn, NULL);
    SSL_CTX_set_options(sbx_ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
}


static void
sbx_limits(void)
{
    struct rlimit  rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
        rl.rlim_cur = rl.rlim_max > SBX_CONN_MAX + 64 ? SBX_CONN_MAX + 64
                                                      : rl.rlim_max;
        setrlimit(RLIMIT_NOFILE, &rl);
    }
}


static void
sbx_signals(void)
{
    sigset_t  set;

    signal(SIGPIPE, SIG_IGN);

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);

    sbx_signal = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    sbx_watch(EPOLL_CTL_ADD, sbx_signal, EPOLLIN, &sbx_signal);
}


static int
sbx_is_listen(void *p)
{
    return (char *) p >= (char *) sbx_listens
           && (char *) p < (char *) (sbx_listens + SBX_LISTEN_MAX);
}


static void
sbx_loop(void)
{
    int                 i, n, timeout;
    void               *p;
    struct epoll_event  events[256];

    for ( ;; ) {
        timeout = sbx_timers();

        n = epoll_wait(sbx_epoll, events, 256, timeout);

        sbx_update_time();

        for (i = 0; i < n; i++) {
            p = events[i].data.ptr;

            if (p == &sbx_signal) {
                return;
            }

            if (sbx_is_listen(p)) {
                sbx_accept(p);
                continue;
            }

            sbx_conn_event(p, events[i].events);
        }

        sbx_sweep();
    }
}


static void
sbx_exit(void)
{
    int  i;

    while (sbx_conns) {
        sbx_conn_close(sbx_conns, 0);
    }

    for (i = 0; i < sbx_nlistens; i++) {
        close(sbx_listens[i].fd);
        if (sbx_listens[i].unix_path) {
            unlink(sbx_listens[i].unix_path);
        }
    }

    sbx_record_forget();
    sbx_behave_reset();
    sbx_anthropic_forget();
    sbx_oauth_forget();
    free(sbx_heap);

    if (sbx_ssl) {
        SSL_CTX_free(sbx_ssl);
    }
}


int
main(int argc, char **argv)
{
    int          ch, i, port, inet6, nl;
    char         text[32];
    const char  *cert, *key, *path, *addrs[SBX_LISTEN_MAX];
    int          plain[SBX_LISTEN_MAX];

    nl = 0;
    inet6 = 0;
    cert = key = path = NULL;

    while ((ch = getopt(argc, argv, "l:p:6u:t:k:qvh")) != -1) {
        switch (ch) {
        case 'l':
        case 'p':
            if (nl == SBX_LISTEN_MAX) {
                fprintf(stderr, "too many listeners\n");
                return 1;
            }
            plain[nl] = (ch == 'p');
            addrs[nl++] = optarg;
            break;
        case '6':
            inet6 = 1;
            break;
        case 'u':
            path = optarg;
            break;
        case 't':
            cert = optarg;
            break;
        case 'k':
            key = optarg;
            break;
        case 'q':
            sbx_quiet = 1;
            break;
        case 'v':
            sbx_verbose = 1;
            break;
        default:
            fputs(sbx_help, ch == 'h' ? stdout : stderr);
            return ch != 'h';
        }
    }

    if (nl == 0) {
        plain[0] = 0;
        addrs[nl++] = "127.0.0.1:9100";
    }

    if (cert) {
        sbx_ssl_init(cert, key ? key : cert);
    }

    sbx_limits();
    sbx_update_time();
    sbx_oauth_init();

    sbx_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (sbx_epoll == -1) {
        perror("epoll_create1()");
        return 1;
    }

    port = 0;

    for (i = 0; i < nl; i++) {
        ch = sbx_listen_tcp(addrs[i], cert && !plain[i]);
        port = port ? port : ch;
    }

    if (inet6) {
        snprintf(text, sizeof(text), "[::1]:%d", port);
        sbx_listen_tcp(text, cert && !plain[0]);
    }

    if (path) {
        sbx_listen_unix(path);
    }

    for (i = 0; i < sbx_nlistens; i++) {
        sbx_watch(EPOLL_CTL_ADD, sbx_listens[i].fd, EPOLLIN, &sbx_listens[i]);
    }

    sbx_signals();
    fflush(stdout);

    sbx_loop();
    sbx_exit();

    return 0;
}
