
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A WebSocket that is relayed: nginx's own upgrade moves the bytes, and reads
 * them by functions of ours that stand in for those of the two connections.
 * What a client sends is taken as whole messages, looked at, and written anew
 * into frames of the relay; what the upstream sends passes as it is, with
 * frames of the relay's own between two messages.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_SOCKET_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_SOCKET_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_live.h"
#include "ngx_http_claude_relay_audit.h"
#include "ncr_openai.h"
#include "ncr_ws.h"


/* read at once from a client */
#define NGX_HTTP_CLAUDE_RELAY_SOCKET_READ  16384

/* of an answer of ours to a message */
#define NGX_HTTP_CLAUDE_RELAY_SOCKET_ERROR  2048

/* refusals in a row, then the connection ends */
#define NGX_HTTP_CLAUDE_RELAY_SOCKET_REFUSALS  20


/* bytes that wait for their turn; of malloc(), as they come and go */

typedef struct {
    u_char                            *start;
    u_char                            *pos;
    u_char                            *last;
    u_char                            *end;
} ngx_http_claude_relay_bytes_t;


struct ngx_http_claude_relay_socket_s {
    ngx_http_claude_relay_ctx_t       *ctx;
    ngx_recv_pt                        client_recv;     /* theirs */
    ngx_recv_pt                        upstream_recv;
    ngx_connection_t                  *upstream_connection;
    ncr_ws_t                           client;
    ncr_ws_t                           upstream;
    ngx_http_claude_relay_bytes_t      message;     /* of the client, so far */
    ngx_http_claude_relay_bytes_t      early;       /* came with the header */
    ngx_http_claude_relay_bytes_t      to_upstream;
    ngx_http_claude_relay_bytes_t      to_client;   /* frames of our own */
    ngx_http_claude_relay_bytes_t      rest;        /* of the upstream's */

    /* the turn: from a response.create to the end of its answer */

    ngx_pool_t                        *pool;        /* of this turn */
    ngx_pool_t                        *last_pool;
    ngx_uint_t                         status;      /* as it is recorded */
    ngx_uint_t                         refusals;
    unsigned                           turn:1;
    unsigned                           warm:1;      /* it makes no answer */
    unsigned                           closing:1;   /* after to_client */
    unsigned                           ended:1;
    u_char                             in[NGX_HTTP_CLAUDE_RELAY_SOCKET_READ];
};


/* socket.c: is it a handshake that the upstream has answered; its 101 is
 * committed: from here on; and the end */

ngx_uint_t ngx_http_claude_relay_socket_agreed(ngx_http_request_t *r);
ngx_int_t ngx_http_claude_relay_socket_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_socket_end(ngx_http_claude_relay_ctx_t *ctx);

/* a text of ours to the client; a last word to it; one to the upstream */
ngx_int_t ngx_http_claude_relay_socket_say(
    ngx_http_claude_relay_socket_t *s, u_char *p, size_t len);
ngx_int_t ngx_http_claude_relay_socket_close(
    ngx_http_claude_relay_socket_t *s, ngx_uint_t code, const char *reason);
ngx_int_t ngx_http_claude_relay_socket_pass(
    ngx_http_claude_relay_socket_t *s, ngx_uint_t opcode, u_char *p,
    size_t len);


/* socket_turn.c: the client's message is whole; the upstream's, in pieces */

ngx_int_t ngx_http_claude_relay_socket_message(
    ngx_http_claude_relay_socket_t *s);
void ngx_http_claude_relay_socket_event(ngx_http_claude_relay_socket_t *s,
    u_char *p, size_t len);
ngx_int_t ngx_http_claude_relay_socket_event_end(
    ngx_http_claude_relay_socket_t *s);

/* the connection has ended in the middle of one */
void ngx_http_claude_relay_socket_turn_cut(ngx_http_claude_relay_socket_t *s);


#endif /* _NGX_HTTP_CLAUDE_RELAY_SOCKET_H_INCLUDED_ */
