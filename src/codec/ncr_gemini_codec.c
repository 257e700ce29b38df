
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The Gemini dialect as a codec. */


#include "ncr_gemini.h"


static void ncr_gemini_codec_request_init(ncr_request_t *req,
    ncr_sha256_t *plain, ncr_sha256_t *cached, ncr_op_e op);
static ncr_int_t ncr_gemini_codec_request_feed(ncr_request_t *req,
    ncr_char_t *p, size_t len);
static ncr_int_t ncr_gemini_codec_request_final(ncr_request_t *req);
static ncr_str_t ncr_gemini_codec_request_error(ncr_request_t *req,
    char *buf, size_t size);
static void ncr_gemini_codec_answer_init(ncr_answer_t *a,
    const void *lender, ncr_op_e op);
static void ncr_gemini_codec_answer_done(ncr_answer_t *a);
static void ncr_gemini_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static void ncr_gemini_codec_body_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static ncr_uint_t ncr_gemini_codec_boundary(ncr_answer_t *a);
static void ncr_gemini_codec_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id);


const ncr_codec_t  ncr_codec_gemini = {
    .dialect = NCR_DIALECT_GEMINI,
    .open_end = 1,
    .request_init = ncr_gemini_codec_request_init,
    .request_feed = ncr_gemini_codec_request_feed,
    .request_final = ncr_gemini_codec_request_final,
    .request_error = ncr_gemini_codec_request_error,
    .answer_init = ncr_gemini_codec_answer_init,
    .answer_done = ncr_gemini_codec_answer_done,
    .stream_feed = ncr_gemini_codec_stream_feed,
    .body_feed = ncr_gemini_codec_body_feed,
    .parts = ncr_answer_part,
    .boundary = ncr_gemini_codec_boundary,
    .error = ncr_gemini_error,
    .error_event = ncr_gemini_codec_event
};


static void
ncr_gemini_codec_request_init(ncr_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_op_e op)
{
    (void) cached;

    ncr_gemini_request_init((ncr_gemini_request_t *) req, plain,
                            op == NCR_OP_STREAM_GENERATE);
}


static ncr_int_t
ncr_gemini_codec_request_feed(ncr_request_t *req, ncr_char_t *p,
    size_t len)
{
    return ncr_gemini_request_feed((ncr_gemini_request_t *) req, p,
                                      len);
}


static ncr_int_t
ncr_gemini_codec_request_final(ncr_request_t *req)
{
    return ncr_gemini_request_final((ncr_gemini_request_t *) req);
}


static ncr_str_t
ncr_gemini_codec_request_error(ncr_request_t *req, char *buf, size_t size)
{
    return ncr_gemini_request_error((ncr_gemini_request_t *) req, buf,
                                       size);
}


static void
ncr_gemini_codec_answer_init(ncr_answer_t *a, const void *lender,
    ncr_op_e op)
{
    (void) lender;
    (void) op;

    ncr_gemini_answer_init((ncr_gemini_answer_t *) a);
}


static void
ncr_gemini_codec_answer_done(ncr_answer_t *a)
{
    (void) a;
}


static void
ncr_gemini_codec_stream_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_gemini_stream_feed((ncr_gemini_answer_t *) a, p, len);
}


static void
ncr_gemini_codec_body_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_gemini_body_feed((ncr_gemini_answer_t *) a, p, len);
}


static ncr_uint_t
ncr_gemini_codec_boundary(ncr_answer_t *a)
{
    return ncr_gemini_boundary((ncr_gemini_answer_t *) a);
}


static void
ncr_gemini_codec_event(ncr_answer_t *a, ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id)
{
    (void) a;

    ncr_gemini_error_event(out, status, message, request_id);
}
