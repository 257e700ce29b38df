
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#ifndef _BENCH_H_INCLUDED_
#define _BENCH_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>


/* client.c */

void bench_die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));
uint64_t bench_now(void);
void bench_print(const char *name, int64_t *values, size_t n);

/* body.c: what clients send, about so many bytes of it */

char *bench_body(size_t size, int stream, size_t *len);

/* frames.c: an upstream that writes into each event when it was sent */

void bench_frames_upstream(int port, int events, int delay);
void bench_frames_stream(int location);
void bench_frames_seen(char *p, size_t n);
void bench_frames_print(int expected);

/* hop.c: a proxy for CONNECT, else a cable; never returns */

void bench_hop(int from, int to);


#endif /* _BENCH_H_INCLUDED_ */
