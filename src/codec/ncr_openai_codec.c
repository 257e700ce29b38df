
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The dialect of OpenAI as a codec. */


#include "ncr_openai.h"


static void ncr_openai_codec_request_init(ncr_request_t *req,
    ncr_sha256_t *plain, ncr_sha256_t *cached, ncr_op_e op);
static ncr_int_t ncr_openai_codec_request_feed(ncr_request_t *req,
    ncr_char_t *p, size_t len);
static ncr_int_t ncr_openai_codec_request_final(ncr_request_t *req);
static ncr_str_t ncr_openai_codec_request_error(ncr_request_t *req, char *buf,
    size_t size);
static void ncr_openai_codec_answer_init(ncr_answer_t *a, const void *lender,
    ncr_op_e op);
static void ncr_openai_codec_answer_done(ncr_answer_t *a);
static void ncr_openai_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static void ncr_openai_codec_body_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static ncr_uint_t ncr_openai_codec_boundary(ncr_answer_t *a);
static void ncr_openai_codec_error(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id);
static void ncr_openai_codec_error_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id);


const ncr_codec_t  ncr_codec_openai = {
    .dialect = NCR_DIALECT_OPENAI,
    .request_init = ncr_openai_codec_request_init,
    .request_feed = ncr_openai_codec_request_feed,
    .request_final = ncr_openai_codec_request_final,
    .request_error = ncr_openai_codec_request_error,
    .answer_init = ncr_openai_codec_answer_init,
    .answer_done = ncr_openai_codec_answer_done,
    .stream_feed = ncr_openai_codec_stream_feed,
    .body_feed = ncr_openai_codec_body_feed,
    .parts = ncr_answer_part,
    .boundary = ncr_openai_codec_boundary,
    .error = ncr_openai_codec_error,
    .error_event = ncr_openai_codec_error_event
};


static void
ncr_openai_codec_request_init(ncr_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_op_e op)
{
    (void) cached;

    ncr_openai_request_init((ncr_openai_request_t *) req, plain, op);
}


static ncr_int_t
ncr_openai_codec_request_feed(ncr_request_t *req, ncr_char_t *p, size_t len)
{
    return ncr_openai_request_feed((ncr_openai_request_t *) req, p, len);
}


static ncr_int_t
ncr_openai_codec_request_final(ncr_request_t *req)
{
    return ncr_openai_request_final((ncr_openai_request_t *) req);
}


static ncr_str_t
ncr_openai_codec_request_error(ncr_request_t *req, char *buf, size_t size)
{
    return ncr_openai_request_error((ncr_openai_request_t *) req, buf, size);
}


static void
ncr_openai_codec_answer_init(ncr_answer_t *a, const void *lender, ncr_op_e op)
{
    (void) lender;

    ncr_openai_answer_init((ncr_openai_answer_t *) a, op);
}


static void
ncr_openai_codec_answer_done(ncr_answer_t *a)
{
    (void) a;
}


static void
ncr_openai_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_openai_stream_feed((ncr_openai_answer_t *) a, p, len);
}


static void
ncr_openai_codec_body_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_openai_body_feed((ncr_openai_answer_t *) a, p, len);
}


static ncr_uint_t
ncr_openai_codec_boundary(ncr_answer_t *a)
{
    return ncr_sse_boundary(&((ncr_openai_answer_t *) a)->sse);
}


/* the request's id is in a header, x-request-id, and nowhere else (A1) */

static void
ncr_openai_codec_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message,
    ncr_str_t *request_id)
{
    (void) request_id;

    ncr_openai_error(out, status, message);
}


static void
ncr_openai_codec_error_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id)
{
    ncr_openai_answer_t  *answer;

    (void) request_id;

    answer = (ncr_openai_answer_t *) a;

    if (answer->op == NCR_OP_RESPONSES) {

        /* events are numbered from zero on */

        ncr_openai_error_responses(out, status, message, answer->sse.events);

    } else {
        ncr_openai_error_chat(out, status, message);
    }
}
