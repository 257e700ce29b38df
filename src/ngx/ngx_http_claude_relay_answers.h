
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An answer on its way to the client, from the commit on: a part of
 * ngx_http_claude_relay.h.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_ANSWERS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_ANSWERS_H_INCLUDED_


/* stream.c: the committed answer passes by */

ngx_int_t ngx_http_claude_relay_filter_start(void *data);
ngx_int_t ngx_http_claude_relay_filter(void *data, ssize_t bytes);
/* NGX_OK: the client was told; NGX_DECLINED: its connection must be cut */
ngx_int_t ngx_http_claude_relay_broken(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_int_t rc);
void ngx_http_claude_relay_finish(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_beat_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* those of GET /v1/models, into *served; and for Bedrock's clients */
ngx_uint_t ngx_http_claude_relay_models_served(ngx_http_request_t *r,
    ngx_http_claude_relay_model_t ***served);
ngx_int_t ngx_http_claude_relay_inference(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* text/event-stream, whatever its parameters */
ngx_uint_t ngx_http_claude_relay_event_type(ngx_str_t *type);

/* events as the client's dialect has them, where it has its own */
ngx_uint_t ngx_http_claude_relay_frames_type(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *type);
ngx_uint_t ngx_http_claude_relay_bodiless(ngx_http_upstream_t *u,
    ngx_http_claude_relay_ctx_t *ctx);
void ngx_http_claude_relay_look(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n);
void ngx_http_claude_relay_scan(ngx_http_claude_relay_ctx_t *ctx, u_char *p,
    size_t n);
ngx_buf_t *ngx_http_claude_relay_filter_buf(ngx_http_request_t *r,
    ngx_chain_t ***ll);

/* results.c: the one thing in an answer that is edited */

ngx_int_t ngx_http_claude_relay_results_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_results_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, u_char *last,
    ngx_chain_t ***ll);

/* translate.c: answers that are not in the client's dialect */

ngx_int_t ngx_http_claude_relay_translate_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_translate_peek(
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, size_t n);
ngx_int_t ngx_http_claude_relay_translate_commit(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_translate_pass(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, u_char *p, size_t n,
    ngx_chain_t ***ll);
ngx_int_t ngx_http_claude_relay_translate_end(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_chain_t ***ll);
void ngx_http_claude_relay_translate_late(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);
ngx_int_t ngx_http_claude_relay_translate_error(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_http_claude_relay_saved_t *s);
ngx_uint_t ngx_http_claude_relay_translates_errors(
    ngx_http_claude_relay_ctx_t *ctx);

/* inflate.c: NGX_DECLINED: this encoding cannot be read here */

ngx_int_t ngx_http_claude_relay_inflate_init(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_str_t *encoding);
void ngx_http_claude_relay_inflate(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, size_t n);


#endif /* _NGX_HTTP_CLAUDE_RELAY_ANSWERS_H_INCLUDED_ */
