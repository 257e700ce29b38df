
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Bedrock's own dialect as a codec.  It stands on this floor, because it is
 * made of the Messages dialect's readers, and a codec includes no other.
 */


#include "ncr_bedrock.h"
#include "ncr_str.h"


static void ncr_bedrock_request_init(ncr_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_op_e op);
static ncr_int_t ncr_bedrock_request_feed(ncr_request_t *req, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_bedrock_request_final(ncr_request_t *req);
static ncr_str_t ncr_bedrock_request_error(ncr_request_t *req, char *buf,
    size_t size);
static void ncr_bedrock_answer_init(ncr_answer_t *a, const void *lender,
    ncr_op_e op);
static void ncr_bedrock_answer_done(ncr_answer_t *a);
static void ncr_bedrock_stream_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_bedrock_seen(void *data, ncr_char_t *p, size_t len);
static void ncr_bedrock_body_feed(ncr_answer_t *a, ncr_char_t *p,
    size_t len);
static ncr_uint_t ncr_bedrock_parts(ncr_answer_t *a, ncr_str_t *asked,
    ncr_part_t *parts);
static ncr_uint_t ncr_bedrock_boundary(ncr_answer_t *a);
static const char *ncr_bedrock_error_name(ncr_uint_t status);
static void ncr_bedrock_own_error(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id);
static void ncr_bedrock_own_event(ncr_answer_t *a, ncr_out_t *out,
    ncr_uint_t status, ncr_str_t *message, ncr_str_t *request_id);


const ncr_codec_t  ncr_codec_bedrock = {
    .dialect = NCR_DIALECT_BEDROCK,
    .stream_type = "application/vnd.amazon.eventstream",
    .request_init = ncr_bedrock_request_init,
    .request_feed = ncr_bedrock_request_feed,
    .request_final = ncr_bedrock_request_final,
    .request_error = ncr_bedrock_request_error,
    .answer_init = ncr_bedrock_answer_init,
    .answer_done = ncr_bedrock_answer_done,
    .stream_feed = ncr_bedrock_stream_feed,
    .body_feed = ncr_bedrock_body_feed,
    .parts = ncr_bedrock_parts,
    .boundary = ncr_bedrock_boundary,
    .error = ncr_bedrock_own_error,
    .error_event = ncr_bedrock_own_event
};


/* the model is in the path */

static void
ncr_bedrock_request_init(ncr_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_op_e op)
{
    (void) op;

    ncr_anthropic_request_init((ncr_anthropic_request_t *) req, plain, cached,
                               0);
}


static ncr_int_t
ncr_bedrock_request_feed(ncr_request_t *req, ncr_char_t *p, size_t len)
{
    return ncr_anthropic_request_feed((ncr_anthropic_request_t *) req, p,
                                      len);
}


static ncr_int_t
ncr_bedrock_request_final(ncr_request_t *req)
{
    ncr_int_t  rc;

    rc = ncr_anthropic_request_final((ncr_anthropic_request_t *) req);

    /* whoever names another one in the body asks for that of the path all
     * the same, and it is the path's that must be allowed */

    ncr_str_set(&req->model, "");
    req->model_start = 0;
    req->model_end = 0;

    return rc;
}


static ncr_str_t
ncr_bedrock_request_error(ncr_request_t *req, char *buf, size_t size)
{
    return ncr_anthropic_request_error((ncr_anthropic_request_t *) req, buf,
                                       size);
}


static void
ncr_bedrock_answer_init(ncr_answer_t *a, const void *lender, ncr_op_e op)
{
    ncr_bedrock_answer_t  *answer;

    (void) op;

    answer = (ncr_bedrock_answer_t *) a;

    answer->lender = lender;
    answer->frames = NULL;
    answer->broken = 0;

    ncr_anthropic_answer_init(&answer->anthropic,
                              &answer->lender->anthropic);
}


static void
ncr_bedrock_answer_done(ncr_answer_t *a)
{
    ncr_bedrock_answer_t  *answer;

    answer = (ncr_bedrock_answer_t *) a;

    if (answer->frames) {
        answer->lender->give(answer->frames);
        answer->frames = NULL;
    }

    ncr_anthropic_answer_done(&answer->anthropic);
}


static void
ncr_bedrock_stream_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_bedrock_answer_t  *answer;

    answer = (ncr_bedrock_answer_t *) a;

    if (answer->broken) {
        return;
    }

    if (answer->frames == NULL) {

        answer->frames = answer->lender->take();

        if (answer->frames == NULL) {
            answer->broken = 1;
            return;
        }

        ncr_bedrock_events_init(&answer->frames->events, answer->frames->buf,
                                sizeof(answer->frames->buf),
                                ncr_bedrock_seen, answer);
    }

    if (ncr_bedrock_events_feed(&answer->frames->events, p, len) != NCR_OK) {

        /* what its client cannot read either */

        answer->broken = 1;
    }
}


static ncr_int_t
ncr_bedrock_seen(void *data, ncr_char_t *p, size_t len)
{
    ncr_anthropic_stream_feed(&((ncr_bedrock_answer_t *) data)->anthropic, p,
                              len);
    return NCR_OK;
}


static void
ncr_bedrock_body_feed(ncr_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_anthropic_body_feed(&((ncr_bedrock_answer_t *) a)->anthropic, p, len);
}


static ncr_uint_t
ncr_bedrock_parts(ncr_answer_t *a, ncr_str_t *asked, ncr_part_t *parts)
{
    return ncr_anthropic_parts(&((ncr_bedrock_answer_t *) a)->anthropic,
                               asked, parts);
}


static ncr_uint_t
ncr_bedrock_boundary(ncr_answer_t *a)
{
    ncr_bedrock_answer_t  *answer;

    answer = (ncr_bedrock_answer_t *) a;

    return !answer->broken
           && (answer->frames == NULL
               || ncr_eventstream_boundary(&answer->frames->events.es));
}


/* I.6, the other way round */

static const char *
ncr_bedrock_error_name(ncr_uint_t status)
{
    switch (status) {

    case 401:
        return "UnrecognizedClientException";

    case 402:
    case 403:
        return "AccessDeniedException";

    case 404:
        return "ResourceNotFoundException";

    case 408:
    case 504:
        return "ModelTimeoutException";

    case 429:
        return "ThrottlingException";

    case 502:
    case 503:
    case 529:
        return "ServiceUnavailableException";

    default:
        break;
    }

    return (status >= 400 && status < 500) ? "ValidationException"
                                           : "InternalServerException";
}


/*
 * AWS tells the name in a header, too, x-amzn-errortype; its clients look for
 * it in the body as well.
 */

static void
ncr_bedrock_own_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message,
    ncr_str_t *request_id)
{
    (void) request_id;

    ncr_out_text(out, "{\"__type\":\"");
    ncr_out_text(out, ncr_bedrock_error_name(status));
    ncr_out_text(out, "\",\"message\":");
    ncr_out_json_string(out, message);
    ncr_out_text(out, "}");
}


/* an exception frame; in a stream, names begin with a small letter */

static void
ncr_bedrock_own_event(ncr_answer_t *a, ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id)
{
    char        name[48];
    size_t      begin;
    ncr_str_t   value, payload;
    ncr_out_t   text;
    ncr_char_t  buf[512];

    (void) a;
    (void) request_id;

    ncr_out_init(&text, buf, sizeof(buf));
    ncr_out_text(&text, "{\"message\":");
    ncr_out_json_string(&text, message);
    ncr_out_text(&text, "}");

    payload.data = buf;
    payload.len = (size_t) (text.last - text.start);

    if (text.overflow) {
        ncr_str_set(&payload, "{}");
    }

    value.data = (ncr_char_t *) (uintptr_t) ncr_bedrock_error_name(status);
    value.len = strlen((char *) value.data);

    ncr_str_copy(name, sizeof(name), &value);
    name[0] |= 0x20;
    value.data = (ncr_char_t *) name;

    begin = ncr_eventstream_begin(out);

    ncr_eventstream_string(out, ":exception-type", &value);
    ncr_str_set(&value, "application/json");
    ncr_eventstream_string(out, ":content-type", &value);
    ncr_str_set(&value, "exception");
    ncr_eventstream_string(out, ":message-type", &value);

    ncr_eventstream_end(out, begin, &payload);
}
