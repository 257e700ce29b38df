
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The Messages dialect as a codec. */


#include "ncr_anthropic.h"


static void ncr_anthropic_codec_request_init(ncr_request_t *req,
    ncr_sha256_t *plain, ncr_sha256_t *cached, ncr_op_e op);
static ncr_int_t ncr_anthropic_codec_request_feed(ncr_request_t *req,
    ncr_char_t *p, size_t len);
static ncr_int_t ncr_anthropic_codec_request_final(ncr_request_t *req);
static ncr_str_t ncr_anthropic_codec_request_error(ncr_request_t *req,
    char *buf, size_t size);
static void ncr_anthropic_codec_answer_init(ncr_answer_t *a,
    const void *lender, ncr_op_e op);
static void ncr_anthropic_codec_answer_done(ncr_answer_t *a);
static void ncr_anthropic_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static void ncr_anthropic_codec_body_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static ncr_uint_t ncr_anthropic_codec_parts(ncr_answer_t *a,
    ncr_str_t *asked, ncr_part_t *parts);
static ncr_uint_t ncr_anthropic_codec_boundary(ncr_answer_t *a);
static void ncr_anthropic_codec_error_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id);


const ncr_codec_t  ncr_codec_anthropic = {
    .dialect = NCR_DIALECT_ANTHROPIC,
    .request_init = ncr_anthropic_codec_request_init,
    .request_feed = ncr_anthropic_codec_request_feed,
    .request_final = ncr_anthropic_codec_request_final,
    .request_error = ncr_anthropic_codec_request_error,
    .answer_init = ncr_anthropic_codec_answer_init,
    .answer_done = ncr_anthropic_codec_answer_done,
    .stream_feed = ncr_anthropic_codec_stream_feed,
    .body_feed = ncr_anthropic_codec_body_feed,
    .parts = ncr_anthropic_codec_parts,
    .boundary = ncr_anthropic_codec_boundary,
    .error = ncr_anthropic_error,
    .error_event = ncr_anthropic_codec_error_event
};


/* the model of a body to be invoked is in the path */

static void
ncr_anthropic_codec_request_init(ncr_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_op_e op)
{
    ncr_anthropic_request_init((ncr_anthropic_request_t *) req, plain, cached,
                               op == NCR_OP_MESSAGES
                               || op == NCR_OP_COUNT_TOKENS);
}


static ncr_int_t
ncr_anthropic_codec_request_feed(ncr_request_t *req, ncr_char_t *p,
    size_t len)
{
    return ncr_anthropic_request_feed((ncr_anthropic_request_t *) req, p,
                                      len);
}


static ncr_int_t
ncr_anthropic_codec_request_final(ncr_request_t *req)
{
    return ncr_anthropic_request_final((ncr_anthropic_request_t *) req);
}


static ncr_str_t
ncr_anthropic_codec_request_error(ncr_request_t *req, char *buf, size_t size)
{
    return ncr_anthropic_request_error((ncr_anthropic_request_t *) req, buf,
                                       size);
}


static void
ncr_anthropic_codec_answer_init(ncr_answer_t *a, const void *lender,
    ncr_op_e op)
{
    (void) op;

    ncr_anthropic_answer_init((ncr_anthropic_answer_t *) a, lender);
}


static void
ncr_anthropic_codec_answer_done(ncr_answer_t *a)
{
    ncr_anthropic_answer_done((ncr_anthropic_answer_t *) a);
}


static void
ncr_anthropic_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_anthropic_stream_feed((ncr_anthropic_answer_t *) a, p, len);
}


static void
ncr_anthropic_codec_body_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_anthropic_body_feed((ncr_anthropic_answer_t *) a, p, len);
}


static ncr_uint_t
ncr_anthropic_codec_parts(ncr_answer_t *a, ncr_str_t *asked,
    ncr_part_t *parts)
{
    return ncr_anthropic_parts((ncr_anthropic_answer_t *) a, asked, parts);
}


static ncr_uint_t
ncr_anthropic_codec_boundary(ncr_answer_t *a)
{
    return ncr_anthropic_boundary((ncr_anthropic_answer_t *) a);
}


static void
ncr_anthropic_codec_error_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id)
{
    (void) a;

    ncr_anthropic_error_event(out, status, message, request_id);
}
