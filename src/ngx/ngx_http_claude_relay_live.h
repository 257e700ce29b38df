
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Requests under way.  Each has a slot in a page that hangs on its worker's
 * row.  Only that worker writes it, without a lock; others copy it with the
 * zone's lock held, which keeps the page from going away, and look at its seq
 * before and after.  What they may write is one word: that it is to be ended.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_LIVE_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_LIVE_H_INCLUDED_


#include "ngx_http_claude_relay_zone.h"


/* what the client hears of its end */
#define NGX_HTTP_CLAUDE_RELAY_KILLED  "the request was ended by an operator"

#define NGX_HTTP_CLAUDE_RELAY_LIVE_TRIES  4
#define NGX_HTTP_CLAUDE_RELAY_LIVE_POOL   32
#define NGX_HTTP_CLAUDE_RELAY_LIVE_ID     32

/* a page holds so many */
#define NGX_HTTP_CLAUDE_RELAY_LIVE_PAGE   4096
#define NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS                                      \
    ((NGX_HTTP_CLAUDE_RELAY_LIVE_PAGE - 2 * sizeof(void *))                   \
     / sizeof(ngx_http_claude_relay_live_t))


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_LIVE_BODY = 0,    /* its body is read */
    NGX_HTTP_CLAUDE_RELAY_LIVE_QUEUED,      /* waits for a limit */
    NGX_HTTP_CLAUDE_RELAY_LIVE_WAITING,     /* for an account */
    NGX_HTTP_CLAUDE_RELAY_LIVE_CONNECTING,
    NGX_HTTP_CLAUDE_RELAY_LIVE_SENT,        /* no byte of an answer yet */
    NGX_HTTP_CLAUDE_RELAY_LIVE_ANSWERING,
    NGX_HTTP_CLAUDE_RELAY_LIVE_STATES
} ngx_http_claude_relay_live_e;


typedef struct {
    uint32_t                           account;     /* node's number */
    uint32_t                           ms;
    uint16_t                           status;
    uint16_t                           class;
} ngx_http_claude_relay_live_try_t;


struct ngx_http_claude_relay_live_s {
    ngx_atomic_t                       seq;     /* odd: it is being written */
    ngx_atomic_t                       ended;   /* number of what is to end */
    ngx_atomic_t                       number;  /* 0: nobody's */
    ngx_http_claude_relay_ctx_t       *ctx;     /* its worker's only */
    ngx_http_claude_relay_live_t      *next;    /* the same: of the free */
    ncr_msec_t                         started;
    ncr_msec_t                         first;   /* byte, or 0 */
    uint64_t                           bytes;   /* of the answer so far */
    uint32_t                           account; /* node's number, or 0 */
    uint8_t                            state;
    uint8_t                            op;
    uint8_t                            stream;
    uint8_t                            family;  /* of address, or 0 */
    uint8_t                            ntries;  /* perhaps more than kept */
    uint8_t                            key_len;
    uint8_t                            user_len;
    uint8_t                            pool_len;
    uint8_t                            model_len;
    ngx_http_claude_relay_live_try_t   tries[NGX_HTTP_CLAUDE_RELAY_LIVE_TRIES];
    u_char                             address[16];
    u_char                             id[NGX_HTTP_CLAUDE_RELAY_LIVE_ID];
    u_char                             key[NCR_KEY_NAME];
    u_char                             user[NCR_KEY_NAME];
    u_char                             pool[NGX_HTTP_CLAUDE_RELAY_LIVE_POOL];
    u_char                             model[NCR_KEY_NAME];
};


struct ngx_http_claude_relay_live_page_s {
    ngx_http_claude_relay_live_page_t *next;    /* linked by one store */
    void                              *pad;
    ngx_http_claude_relay_live_t       slots[1];
};


/* its own worker's; ctx->live is NULL if there is no room */

void ngx_http_claude_relay_live_start(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_live_body(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_live_account(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_live_answer(ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_live_try(ngx_http_claude_relay_ctx_t *ctx,
    ngx_uint_t status, ncr_class_e class);
void ngx_http_claude_relay_live_end(ngx_http_claude_relay_ctx_t *ctx);

/* one store: nobody needs to see it together with anything else */

#define ngx_http_claude_relay_live_state(ctx, s)                              \
    if ((ctx)->live) {                                                        \
        (ctx)->live->state = (s);                                             \
    }

/* the doorbell, or a timer: those of this worker that are to end, end */
void ngx_http_claude_relay_live_rung(ngx_http_claude_relay_main_conf_t *rmcf);

/* of a worker that is no more, or begins */
void ngx_http_claude_relay_live_drop_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_row_t *row);
void ngx_http_claude_relay_live_init(void);


/* upstream.c: ends it as an operator wants */
void ngx_http_claude_relay_kill(ngx_http_claude_relay_ctx_t *ctx);


/*
 * From any worker.  Copies of a page's slots, those that are somebody's, at
 * most NGX_HTTP_CLAUDE_RELAY_LIVE_SLOTS; row and page, 0 at first, move on.
 * NGX_DONE: there is no other page.  A copy's "ended" is its row.
 */

ngx_int_t ngx_http_claude_relay_live_copy(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *row,
    ngx_uint_t *page, ngx_http_claude_relay_live_t *slots, ngx_uint_t *n);

/* it is to be ended, if it is still there: live_ring() then tells all of
 * them; is it there? */

ngx_int_t ngx_http_claude_relay_live_mark(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy);
ngx_uint_t ngx_http_claude_relay_live_there(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_live_t *copy);
void ngx_http_claude_relay_live_ring(ngx_http_claude_relay_main_conf_t *rmcf);


#endif /* _NGX_HTTP_CLAUDE_RELAY_LIVE_H_INCLUDED_ */
