
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The answer: anthropic.md E.  An event, or a JSON body, is first read into
 * "seen" in whatever order its members come, then applied by its type.
 */


#include "ncr_anthropic_usage.h"
#include "ncr_codec_answer.h"
#include "ncr_codec_name.h"
#include "ncr_json_plain.h"
#include "ncr_str.h"


typedef enum {
    NCR_ANTHROPIC_EV_UNKNOWN = 0,       /* it has a type, a new one */
    NCR_ANTHROPIC_EV_UNTOLD,            /* the type is not known yet */
    NCR_ANTHROPIC_EV_MESSAGE_START,
    NCR_ANTHROPIC_EV_MESSAGE_DELTA,
    NCR_ANTHROPIC_EV_MESSAGE_STOP,
    NCR_ANTHROPIC_EV_BLOCK_START,
    NCR_ANTHROPIC_EV_BLOCK_DELTA,
    NCR_ANTHROPIC_EV_BLOCK_STOP,
    NCR_ANTHROPIC_EV_PING,
    NCR_ANTHROPIC_EV_ERROR
} ncr_anthropic_event_e;


/* keys; the numbers of ncr_anthropic_count_e come first */

typedef enum {
    NCR_ANTHROPIC_K_NONE = NCR_ANTHROPIC_COUNTS,
    NCR_ANTHROPIC_K_TYPE,
    NCR_ANTHROPIC_K_MESSAGE,
    NCR_ANTHROPIC_K_MODEL,
    NCR_ANTHROPIC_K_ID,
    NCR_ANTHROPIC_K_DELTA,
    NCR_ANTHROPIC_K_STOP_REASON,
    NCR_ANTHROPIC_K_USAGE,
    NCR_ANTHROPIC_K_CACHE_CREATION,
    NCR_ANTHROPIC_K_OUTPUT_DETAILS,
    NCR_ANTHROPIC_K_SERVER_TOOL_USE,
    NCR_ANTHROPIC_K_ITERATIONS,
    NCR_ANTHROPIC_K_SERVICE_TIER,
    NCR_ANTHROPIC_K_SPEED,
    NCR_ANTHROPIC_K_GEO,
    NCR_ANTHROPIC_K_CONTENT,
    NCR_ANTHROPIC_K_ERROR,
    NCR_ANTHROPIC_K_CONTENT_BLOCK,
    NCR_ANTHROPIC_K_TO
} ncr_anthropic_word_e;


/* entries of iterations that may be refused and then fallen back from */

typedef enum {
    NCR_ANTHROPIC_IT_OTHER = 0,
    NCR_ANTHROPIC_IT_MESSAGE,
    NCR_ANTHROPIC_IT_FALLBACK
} ncr_anthropic_iteration_e;


static ncr_uint_t ncr_anthropic_stream_want(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *head);
static void ncr_anthropic_stream_part(ncr_sse_t *sse, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_anthropic_stream_event(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *payload);
static ncr_uint_t ncr_anthropic_head_type(ncr_str_t *head);
static ncr_char_t *ncr_anthropic_space(ncr_char_t *p, ncr_char_t *last);
static ncr_uint_t ncr_anthropic_word(ncr_str_t *s);
static void ncr_anthropic_read(ncr_anthropic_reader_t *reader);
static void ncr_anthropic_reader_give(ncr_anthropic_answer_t *a);
static ncr_anthropic_bill_t *ncr_anthropic_bill(ncr_anthropic_answer_t *a);
static ncr_int_t ncr_anthropic_token(ncr_json_t *json,
    ncr_json_token_e token);
static NCR_NOINLINE void ncr_anthropic_string(
    ncr_anthropic_reader_t *reader);
static void ncr_anthropic_usage_string(ncr_anthropic_reader_t *reader,
    ncr_uint_t *path, ncr_uint_t depth);
static NCR_NOINLINE void ncr_anthropic_number(
    ncr_anthropic_reader_t *reader);
static ncr_int_t ncr_anthropic_whole(ncr_str_t *number, int64_t *n);
static ncr_uint_t ncr_anthropic_usage_path(ncr_anthropic_reader_t *reader,
    ncr_uint_t **path);
static ncr_uint_t ncr_anthropic_counter(ncr_uint_t *path, ncr_uint_t depth);
static NCR_NOINLINE void ncr_anthropic_iteration(
    ncr_anthropic_reader_t *reader, ncr_json_token_e token);
static void ncr_anthropic_entry(ncr_anthropic_seen_t *seen);
static void ncr_anthropic_apply(ncr_anthropic_answer_t *a,
    ncr_anthropic_seen_t *seen);
static void ncr_anthropic_apply_start(ncr_anthropic_answer_t *a,
    ncr_anthropic_seen_t *seen);
static void ncr_anthropic_apply_usage(ncr_anthropic_answer_t *a,
    ncr_anthropic_seen_t *seen);
static void ncr_anthropic_apply_stop(ncr_anthropic_answer_t *a,
    ncr_anthropic_seen_t *seen);
static void ncr_anthropic_apply_error(ncr_anthropic_answer_t *a,
    ncr_anthropic_seen_t *seen);
static void ncr_anthropic_total(ncr_anthropic_answer_t *a);


static const ncr_name_t  ncr_anthropic_events[] = {
    { ncr_string("ping"), NCR_ANTHROPIC_EV_PING },
    { ncr_string("error"), NCR_ANTHROPIC_EV_ERROR },
    { ncr_string("message_stop"), NCR_ANTHROPIC_EV_MESSAGE_STOP },
    { ncr_string("message_start"), NCR_ANTHROPIC_EV_MESSAGE_START },
    { ncr_string("message_delta"), NCR_ANTHROPIC_EV_MESSAGE_DELTA },
    { ncr_string("content_block_stop"), NCR_ANTHROPIC_EV_BLOCK_STOP },
    { ncr_string("content_block_delta"), NCR_ANTHROPIC_EV_BLOCK_DELTA },
    { ncr_string("content_block_start"), NCR_ANTHROPIC_EV_BLOCK_START },
    ncr_name_end
};


static const ncr_name_t  ncr_anthropic_words[] = {
    { ncr_string("id"), NCR_ANTHROPIC_K_ID },
    { ncr_string("to"), NCR_ANTHROPIC_K_TO },
    { ncr_string("type"), NCR_ANTHROPIC_K_TYPE },
    { ncr_string("model"), NCR_ANTHROPIC_K_MODEL },
    { ncr_string("delta"), NCR_ANTHROPIC_K_DELTA },
    { ncr_string("usage"), NCR_ANTHROPIC_K_USAGE },
    { ncr_string("speed"), NCR_ANTHROPIC_K_SPEED },
    { ncr_string("error"), NCR_ANTHROPIC_K_ERROR },
    { ncr_string("message"), NCR_ANTHROPIC_K_MESSAGE },
    { ncr_string("content"), NCR_ANTHROPIC_K_CONTENT },
    { ncr_string("iterations"), NCR_ANTHROPIC_K_ITERATIONS },
    { ncr_string("stop_reason"), NCR_ANTHROPIC_K_STOP_REASON },
    { ncr_string("input_tokens"), NCR_ANTHROPIC_INPUT },
    { ncr_string("service_tier"), NCR_ANTHROPIC_K_SERVICE_TIER },
    { ncr_string("output_tokens"), NCR_ANTHROPIC_OUTPUT },
    { ncr_string("content_block"), NCR_ANTHROPIC_K_CONTENT_BLOCK },
    { ncr_string("inference_geo"), NCR_ANTHROPIC_K_GEO },
    { ncr_string("cache_creation"), NCR_ANTHROPIC_K_CACHE_CREATION },
    { ncr_string("thinking_tokens"), NCR_ANTHROPIC_THINKING },
    { ncr_string("server_tool_use"), NCR_ANTHROPIC_K_SERVER_TOOL_USE },
    { ncr_string("web_fetch_requests"), NCR_ANTHROPIC_WEB_FETCHES },
    { ncr_string("web_search_requests"), NCR_ANTHROPIC_WEB_SEARCHES },
    { ncr_string("output_tokens_details"), NCR_ANTHROPIC_K_OUTPUT_DETAILS },
    { ncr_string("cache_read_input_tokens"), NCR_ANTHROPIC_CACHE_READ },
    { ncr_string("ephemeral_5m_input_tokens"), NCR_ANTHROPIC_CACHE_WRITE_5M },
    { ncr_string("ephemeral_1h_input_tokens"), NCR_ANTHROPIC_CACHE_WRITE_1H },
    { ncr_string("cache_creation_input_tokens"), NCR_ANTHROPIC_CACHE_WRITE },
    ncr_name_end
};


/* how many words are shorter than this */

static const ncr_char_t  ncr_anthropic_shorter[] = {
    0, 0, 0, 2, 2, 3, 8, 8, 10, 10, 10, 11, 12, 14, 17, 18, 20, 20, 20, 21, 22,
    22, 23, 23, 24, 24, 26, 26
};


static const ncr_name_t  ncr_anthropic_iterations[] = {
    { ncr_string("message"), NCR_ANTHROPIC_IT_MESSAGE },
    { ncr_string("fallback_message"), NCR_ANTHROPIC_IT_FALLBACK },
    ncr_name_end
};


void
ncr_anthropic_answer_init(ncr_anthropic_answer_t *a,
    const ncr_anthropic_lender_t *lender)
{
    memset(a, 0, offsetof(ncr_anthropic_answer_t, sse));

    ncr_sse_init(&a->sse);

    a->sse.data = a;
    a->sse.want = ncr_anthropic_stream_want;
    a->sse.part = ncr_anthropic_stream_part;
    a->sse.event = ncr_anthropic_stream_event;

    a->lender = lender;
    a->reader = NULL;
    a->bill = NULL;
}


void
ncr_anthropic_answer_done(ncr_anthropic_answer_t *a)
{
    ncr_anthropic_reader_give(a);

    if (a->bill) {
        a->lender->give_bill(a->bill);
        a->bill = NULL;
    }
}


static void
ncr_anthropic_reader_give(ncr_anthropic_answer_t *a)
{
    if (a->reader) {
        a->lender->give(a->reader);
        a->reader = NULL;
    }
}


static ncr_anthropic_bill_t *
ncr_anthropic_bill(ncr_anthropic_answer_t *a)
{
    if (a->bill == NULL) {
        a->bill = a->lender->take_bill();

        if (a->bill) {
            a->bill->parts.n = 0;
            a->bill->paid.n = 0;
        }
    }

    return a->bill;
}


void
ncr_anthropic_stream_feed(ncr_anthropic_answer_t *a, ncr_char_t *p,
    size_t len)
{
    ncr_answer_stream(&a->told, &a->sse, p, len);
}


ncr_uint_t
ncr_anthropic_boundary(ncr_anthropic_answer_t *a)
{
    return ncr_sse_boundary(&a->sse);
}


/*
 * The type is that in the JSON (E.1); the name of the event stands in where
 * the type is not at the front, and saves a look at what most events are.
 */

static ncr_uint_t
ncr_anthropic_stream_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    ncr_uint_t               type;
    ncr_anthropic_answer_t  *a;

    a = sse->data;

    if (ncr_str_eq(name, "content_block_delta")) {
        ncr_answer_started(&a->told);
        return NCR_SSE_NEVER;
    }

    type = ncr_anthropic_head_type(head);

    if (type == NCR_ANTHROPIC_EV_UNTOLD) {

        if (head->len == 0 || *head->data != '{') {

            /* "[DONE]" and the like, which others send */

            return 0;
        }

        type = ncr_name_lookup(ncr_anthropic_events, name,
                               NCR_ANTHROPIC_EV_UNTOLD);
    }

    switch ((ncr_anthropic_event_e) type) {

    case NCR_ANTHROPIC_EV_PING:
        a->told.pinged = 1;
        return 0;

    case NCR_ANTHROPIC_EV_ERROR:
    case NCR_ANTHROPIC_EV_UNTOLD:
        return 1;

    case NCR_ANTHROPIC_EV_MESSAGE_START:
    case NCR_ANTHROPIC_EV_MESSAGE_DELTA:
    case NCR_ANTHROPIC_EV_MESSAGE_STOP:
    case NCR_ANTHROPIC_EV_BLOCK_START:
        ncr_answer_started(&a->told);
        return 1;

    case NCR_ANTHROPIC_EV_UNKNOWN:
    case NCR_ANTHROPIC_EV_BLOCK_DELTA:
    case NCR_ANTHROPIC_EV_BLOCK_STOP:
        break;
    }

    ncr_answer_started(&a->told);

    return 0;
}


/* of an event that is not whole in what was fed at once */

static void
ncr_anthropic_stream_part(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    ncr_anthropic_answer_t  *a;

    a = sse->data;

    if (!a->reading) {
        a->reading = 1;
        a->reader = a->lender->take();

        if (a->reader) {
            ncr_anthropic_read(a->reader);
        }
    }

    if (a->reader) {
        (void) ncr_json_feed(&a->reader->json, p, len);
    }
}


static ncr_int_t
ncr_anthropic_stream_event(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *payload)
{
    ncr_anthropic_seen_t    *seen;
    ncr_anthropic_answer_t  *a;
    ncr_anthropic_reader_t   reader;

    a = sse->data;

    if (a->reading) {
        a->reading = 0;

        if (a->reader == NULL) {
            return NCR_OK;
        }

        seen = &a->reader->seen;

    } else {
        seen = &reader.seen;

        ncr_anthropic_read(&reader);

        (void) ncr_json_feed(&reader.json, payload->data, payload->len);
    }

    if (seen->type == NCR_ANTHROPIC_EV_UNTOLD) {
        seen->type = ncr_name_lookup(ncr_anthropic_events, name,
                                     NCR_ANTHROPIC_EV_UNTOLD);
    }

    if (seen->type == NCR_ANTHROPIC_EV_UNTOLD && seen->is_error) {
        seen->type = NCR_ANTHROPIC_EV_ERROR;
    }

    ncr_anthropic_apply(a, seen);
    ncr_anthropic_reader_give(a);

    return NCR_OK;
}


/* of {"type":"..." at the front, else the type is not told yet */

static ncr_uint_t
ncr_anthropic_head_type(ncr_str_t *head)
{
    ncr_str_t    type;
    ncr_char_t  *p, *last;

    p = head->data;
    last = p + head->len;

    p = ncr_anthropic_space(p, last);

    if (p == last || *p++ != '{') {
        return NCR_ANTHROPIC_EV_UNTOLD;
    }

    p = ncr_anthropic_space(p, last);

    if (last - p < 6 || memcmp(p, "\"type\"", 6) != 0) {
        return NCR_ANTHROPIC_EV_UNTOLD;
    }

    p = ncr_anthropic_space(p + 6, last);

    if (p == last || *p++ != ':') {
        return NCR_ANTHROPIC_EV_UNTOLD;
    }

    p = ncr_anthropic_space(p, last);

    if (p == last || *p++ != '"') {
        return NCR_ANTHROPIC_EV_UNTOLD;
    }

    type.data = p;

    while (p < last && *p != '"') {
        p++;
    }

    if (p == last) {
        return NCR_ANTHROPIC_EV_UNTOLD;
    }

    type.len = (size_t) (p - type.data);

    return ncr_name_lookup(ncr_anthropic_events, &type,
                           NCR_ANTHROPIC_EV_UNKNOWN);
}


static ncr_char_t *
ncr_anthropic_space(ncr_char_t *p, ncr_char_t *last)
{
    while (p < last
           && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
    {
        p++;
    }

    return p;
}


static ncr_uint_t
ncr_anthropic_word(ncr_str_t *s)
{
    if (s->len >= sizeof(ncr_anthropic_shorter)) {
        return NCR_ANTHROPIC_K_NONE;
    }

    return ncr_name_lookup(ncr_anthropic_words
                           + ncr_anthropic_shorter[s->len],
                           s, NCR_ANTHROPIC_K_NONE);
}


/* a JSON text is about to be read */

static void
ncr_anthropic_read(ncr_anthropic_reader_t *reader)
{
    memset(&reader->seen, 0, offsetof(ncr_anthropic_seen_t, pending));

    reader->seen.parts.n = 0;
    reader->seen.type = NCR_ANTHROPIC_EV_UNTOLD;
    reader->body = 0;

    ncr_json_begin(&reader->json, reader, ncr_anthropic_token, 1,
                   reader->keep, sizeof(reader->keep));
}


void
ncr_anthropic_body_feed(ncr_anthropic_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_int_t               rc;
    ncr_json_t             *json;
    ncr_anthropic_seen_t   *seen;

    if (ncr_answer_over(&a->told)) {
        return;
    }

    if (!a->reading) {
        a->reading = 1;
        a->reader = a->lender->take();

        if (a->reader) {
            ncr_anthropic_read(a->reader);
            a->reader->body = 1;
        }
    }

    if (a->reader == NULL) {
        return;
    }

    json = &a->reader->json;
    seen = &a->reader->seen;

    rc = ncr_json_feed(json, p, len);

    if (json->depth || rc == NCR_DONE) {
        ncr_answer_started(&a->told);
    }

    /* what is known so far, however often a member was told */

    memcpy(a->told.stop_reason, seen->stop_reason, sizeof(a->told.stop_reason));
    memcpy(a->told.model, seen->model, sizeof(a->told.model));
    memcpy(a->told.id, seen->id, sizeof(a->told.id));

    a->told.service_tier[0] = '\0';
    a->told.speed[0] = '\0';
    a->told.inference_geo[0] = '\0';
    a->content = seen->content;
    a->iterated = 0;
    a->told.has_usage = 0;

    memset(&a->told.usage, 0, sizeof(a->told.usage));

    ncr_anthropic_apply_usage(a, seen);

    if (rc != NCR_DONE) {
        return;
    }

    if (seen->is_error) {
        ncr_anthropic_apply_error(a, seen);
        return;
    }

    a->told.state = NCR_ANSWER_COMPLETE;
}


static ncr_int_t
ncr_anthropic_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_uint_t               key, *path;
    ncr_anthropic_reader_t  *reader;

    reader = json->data;
    path = reader->seen.path;

    if (json->depth == 0) {
        path[1] = NCR_ANTHROPIC_K_NONE;

        /* a body is complete with its last brace, whatever follows that */

        return (!reader->body || token == NCR_JSON_OBJECT
                || token == NCR_JSON_ARRAY) ? NCR_OK : NCR_DONE;
    }

    switch (token) {

    case NCR_JSON_KEY:
        key = ncr_anthropic_word(&json->text);
        path[json->depth] = key;

        if (json->depth == 1) {

            /* how deep this member is worth reading */

            switch (key) {

            case NCR_ANTHROPIC_K_MESSAGE:
            case NCR_ANTHROPIC_K_USAGE:
                json->report = 6;
                break;

            case NCR_ANTHROPIC_K_CONTENT:
                json->report = 2;
                break;

            case NCR_ANTHROPIC_K_DELTA:
            case NCR_ANTHROPIC_K_ERROR:
            case NCR_ANTHROPIC_K_CONTENT_BLOCK:
                json->report = 3;
                break;

            default:
                json->report = 1;
                break;
            }
        }

        break;

    case NCR_JSON_STRING:
        ncr_anthropic_string(reader);
        break;

    case NCR_JSON_NUMBER:
        ncr_anthropic_number(reader);
        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:

        /* elements of an array have no key */

        path[json->depth + 1] = NCR_ANTHROPIC_K_NONE;

        if (json->depth == 1 && path[1] == NCR_ANTHROPIC_K_ERROR) {
            reader->seen.is_error = 1;

        } else if (json->depth == 2 && path[1] == NCR_ANTHROPIC_K_CONTENT) {
            reader->seen.content = 1;
        }

        /* fall through */

    case NCR_JSON_OBJECT_END:
    case NCR_JSON_ARRAY_END:
        ncr_anthropic_iteration(reader, token);
        break;

    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
    case NCR_JSON_NULL:
        break;
    }

    return NCR_OK;
}


static void
ncr_anthropic_string(ncr_anthropic_reader_t *reader)
{
    ncr_str_t              s;
    ncr_char_t             buf[NCR_JSON_TEXT];
    ncr_uint_t             depth, key, *path;
    ncr_anthropic_seen_t  *seen;

    seen = &reader->seen;
    depth = reader->json.depth;
    path = seen->path;
    key = path[depth];

    if (key == NCR_ANTHROPIC_K_NONE) {
        return;
    }

    s.data = buf;

    if (ncr_json_plain(&reader->json, &s) == NCR_BAD) {
        return;
    }

    /* a message is at the top of a body, and inside of message_start */

    if (depth == 1 || (depth == 2 && path[1] == NCR_ANTHROPIC_K_MESSAGE)) {

        if (key == NCR_ANTHROPIC_K_TYPE && depth == 1) {
            seen->type = ncr_name_lookup(ncr_anthropic_events, &s,
                                         NCR_ANTHROPIC_EV_UNKNOWN);

        } else if (key == NCR_ANTHROPIC_K_MODEL) {
            ncr_str_copy(seen->model, sizeof(seen->model), &s);

        } else if (key == NCR_ANTHROPIC_K_ID) {
            ncr_str_copy(seen->id, sizeof(seen->id), &s);

        } else if (key == NCR_ANTHROPIC_K_STOP_REASON) {
            ncr_str_copy(seen->stop_reason, sizeof(seen->stop_reason), &s);

        } else if (key == NCR_ANTHROPIC_K_ERROR
                   || (key == NCR_ANTHROPIC_K_MESSAGE && depth == 1
                       && !seen->is_error))
        {
            /* {"error":"text"} and {"type":"error","message":"text"} */

            seen->is_error |= (key == NCR_ANTHROPIC_K_ERROR);
            ncr_str_copy(seen->error_message, sizeof(seen->error_message),
                         &s);
        }

        return;
    }

    if (depth == 2 && path[1] == NCR_ANTHROPIC_K_ERROR) {

        if (key == NCR_ANTHROPIC_K_TYPE) {
            ncr_str_copy(seen->error_type, sizeof(seen->error_type), &s);

        } else if (key == NCR_ANTHROPIC_K_MESSAGE) {
            ncr_str_copy(seen->error_message, sizeof(seen->error_message),
                         &s);
        }

        return;
    }

    if (path[1] == NCR_ANTHROPIC_K_DELTA) {

        if (depth == 2 && key == NCR_ANTHROPIC_K_STOP_REASON) {
            ncr_str_copy(seen->stop_reason, sizeof(seen->stop_reason), &s);
        }

        return;
    }

    if (path[1] == NCR_ANTHROPIC_K_CONTENT_BLOCK) {

        if (depth == 2 && key == NCR_ANTHROPIC_K_TYPE) {
            seen->is_fallback = ncr_str_eq(&s, "fallback") ? 1 : 0;

        } else if (depth == 3 && path[2] == NCR_ANTHROPIC_K_TO
                   && key == NCR_ANTHROPIC_K_MODEL)
        {
            ncr_str_copy(seen->fallback, sizeof(seen->fallback), &s);
        }

        return;
    }

    depth = ncr_anthropic_usage_path(reader, &path);

    if (depth) {
        ncr_anthropic_usage_string(reader, path, depth);
    }
}


static void
ncr_anthropic_usage_string(ncr_anthropic_reader_t *reader, ncr_uint_t *path,
    ncr_uint_t depth)
{
    ncr_str_t              s;
    ncr_char_t             buf[NCR_JSON_TEXT];
    ncr_anthropic_seen_t  *seen;

    seen = &reader->seen;
    s.data = buf;

    if (ncr_json_plain(&reader->json, &s) == NCR_BAD) {
        return;
    }

    if (depth == 1 && path[1] == NCR_ANTHROPIC_K_SERVICE_TIER) {
        ncr_str_copy(seen->service_tier, sizeof(seen->service_tier), &s);

    } else if (depth == 1 && path[1] == NCR_ANTHROPIC_K_SPEED) {
        ncr_str_copy(seen->speed, sizeof(seen->speed), &s);

    } else if (depth == 1 && path[1] == NCR_ANTHROPIC_K_GEO) {
        ncr_str_copy(seen->inference_geo, sizeof(seen->inference_geo), &s);

    } else if (depth == 3 && path[1] == NCR_ANTHROPIC_K_ITERATIONS) {

        if (path[3] == NCR_ANTHROPIC_K_TYPE) {
            seen->entry_type = ncr_name_lookup(ncr_anthropic_iterations,
                                               &s,
                                               NCR_ANTHROPIC_IT_OTHER);

        } else if (path[3] == NCR_ANTHROPIC_K_MODEL) {
            ncr_str_copy(seen->entry_model, sizeof(seen->entry_model), &s);
        }
    }
}


static void
ncr_anthropic_number(ncr_anthropic_reader_t *reader)
{
    int64_t                 n;
    ncr_uint_t              counter, depth, *path;
    ncr_anthropic_count_t  *c;

    depth = ncr_anthropic_usage_path(reader, &path);

    if (depth == 0) {
        return;
    }

    c = &reader->seen.usage;

    if (depth >= 3 && path[1] == NCR_ANTHROPIC_K_ITERATIONS) {
        c = &reader->seen.entry;
        path += 2;
        depth -= 2;
    }

    counter = ncr_anthropic_counter(path, depth);

    if (counter == NCR_ANTHROPIC_COUNTS) {
        return;
    }

    if (ncr_anthropic_whole(&reader->json.text, &n) == NCR_OK
        && n >= 0 && n <= NCR_ANSWER_COUNT_MAX)
    {
        c->value[counter] = (uint64_t) n;
        c->told |= (ncr_uint_t) 1 << counter;
    }
}


/* an integer, or "12.0", which some languages write for 12 */

static ncr_int_t
ncr_anthropic_whole(ncr_str_t *number, int64_t *n)
{
    size_t     i;
    ncr_int_t  rc;
    ncr_str_t  text;

    rc = ncr_json_int(number, n);

    if (rc != NCR_DECLINED) {
        return rc;
    }

    text = *number;

    for (i = 0; i < text.len; i++) {

        if (text.data[i] == 'e' || text.data[i] == 'E') {
            return NCR_DECLINED;
        }
    }

    for (i = 0; i < text.len && text.data[i] != '.'; i++) { /* void */ }

    text.len = i;

    return ncr_json_int(&text, n);
}


/*
 * The depth below "usage", and the path from there, so that path[1] is the
 * key of a member; 0: the token is elsewhere.
 */

static ncr_uint_t
ncr_anthropic_usage_path(ncr_anthropic_reader_t *reader, ncr_uint_t **path)
{
    ncr_uint_t  depth, up, *p;

    p = reader->seen.path;
    depth = reader->json.depth;

    up = (p[1] == NCR_ANTHROPIC_K_MESSAGE) ? 2 : 1;

    if (depth <= up || p[up] != NCR_ANTHROPIC_K_USAGE) {
        return 0;
    }

    *path = p + up;

    return depth - up;
}


static ncr_uint_t
ncr_anthropic_counter(ncr_uint_t *path, ncr_uint_t depth)
{
    ncr_uint_t  key, parent;

    key = path[depth];

    if (depth == 1) {
        return (key <= NCR_ANTHROPIC_CACHE_WRITE) ? key
                                                  : NCR_ANTHROPIC_COUNTS;
    }

    if (depth != 2) {
        return NCR_ANTHROPIC_COUNTS;
    }

    parent = path[1];

    if ((parent == NCR_ANTHROPIC_K_CACHE_CREATION
         && (key == NCR_ANTHROPIC_CACHE_WRITE_5M
             || key == NCR_ANTHROPIC_CACHE_WRITE_1H))
        || (parent == NCR_ANTHROPIC_K_OUTPUT_DETAILS
            && key == NCR_ANTHROPIC_THINKING)
        || (parent == NCR_ANTHROPIC_K_SERVER_TOOL_USE
            && (key == NCR_ANTHROPIC_WEB_SEARCHES
                || key == NCR_ANTHROPIC_WEB_FETCHES)))
    {
        return key;
    }

    return NCR_ANTHROPIC_COUNTS;
}


/*
 * E.4, 5: an attempt that was refused before any output, and fallen back
 * from, is listed and not charged.
 */

static void
ncr_anthropic_iteration(ncr_anthropic_reader_t *reader,
    ncr_json_token_e token)
{
    ncr_uint_t             depth, *path;
    ncr_anthropic_seen_t  *seen;

    depth = ncr_anthropic_usage_path(reader, &path);

    if (depth == 0 || path[1] != NCR_ANTHROPIC_K_ITERATIONS) {
        return;
    }

    seen = &reader->seen;

    if (depth == 1) {

        if (token == NCR_JSON_ARRAY) {
            seen->iterated = 0;
            seen->held = 0;
            seen->last = 0;
            seen->parts.n = 0;
            memset(&seen->sum, 0, sizeof(seen->sum));

        } else if (token == NCR_JSON_ARRAY_END && seen->held) {
            seen->last = 1;
            ncr_anthropic_sum(&seen->sum, &seen->pending.usage);
        }

        return;
    }

    if (depth != 2) {
        return;
    }

    if (token == NCR_JSON_OBJECT) {
        seen->entry_type = NCR_ANTHROPIC_IT_OTHER;
        seen->entry_model[0] = '\0';
        memset(&seen->entry, 0, sizeof(seen->entry));

    } else if (token == NCR_JSON_OBJECT_END) {
        ncr_anthropic_entry(seen);
    }
}


static void
ncr_anthropic_entry(ncr_anthropic_seen_t *seen)
{
    ncr_usage_t  u, *pending;

    memset(&u, 0, sizeof(u));
    ncr_anthropic_count(&u, &seen->entry);

    /* those of all entries are at the top */

    u.web_searches = 0;
    u.web_fetches = 0;

    if (seen->held) {
        pending = &seen->pending.usage;

        if (seen->entry_type != NCR_ANTHROPIC_IT_FALLBACK) {
            ncr_anthropic_sum(&seen->sum, pending);
            ncr_anthropic_pay(&seen->parts, seen->pending.model, pending);
        }

        seen->held = 0;
    }

    if (u.output == 0 && seen->entry_type != NCR_ANTHROPIC_IT_OTHER) {
        memcpy(seen->pending.model, seen->entry_model,
               sizeof(seen->entry_model));
        seen->pending.usage = u;
        seen->held = 1;

    } else {
        ncr_anthropic_sum(&seen->sum, &u);
        ncr_anthropic_pay(&seen->parts, seen->entry_model, &u);
    }

    seen->iterated = 1;
}


static void
ncr_anthropic_apply(ncr_anthropic_answer_t *a, ncr_anthropic_seen_t *seen)
{
    switch ((ncr_anthropic_event_e) seen->type) {

    case NCR_ANTHROPIC_EV_MESSAGE_START:
        ncr_anthropic_apply_start(a, seen);
        ncr_anthropic_apply_usage(a, seen);
        break;

    case NCR_ANTHROPIC_EV_MESSAGE_DELTA:
        ncr_answer_started(&a->told);
        ncr_anthropic_apply_usage(a, seen);
        ncr_anthropic_apply_stop(a, seen);
        break;

    case NCR_ANTHROPIC_EV_MESSAGE_STOP:
        ncr_answer_complete(&a->told);
        break;

    case NCR_ANTHROPIC_EV_BLOCK_START:
        ncr_answer_started(&a->told);

        if (!seen->is_fallback) {
            a->content = 1;

        } else if (seen->fallback[0]) {
            memcpy(a->told.model, seen->fallback, sizeof(a->told.model));
        }

        break;

    case NCR_ANTHROPIC_EV_ERROR:
        ncr_anthropic_apply_error(a, seen);
        break;

    case NCR_ANTHROPIC_EV_PING:
        a->told.pinged = 1;
        break;

    /* whatever it is, the client waits for it */

    case NCR_ANTHROPIC_EV_UNTOLD:
    case NCR_ANTHROPIC_EV_UNKNOWN:
    case NCR_ANTHROPIC_EV_BLOCK_DELTA:
    case NCR_ANTHROPIC_EV_BLOCK_STOP:
        ncr_answer_started(&a->told);
        break;
    }
}


/* E.4, 6: several messages in one body add up, each counted by itself */

static void
ncr_anthropic_apply_start(ncr_anthropic_answer_t *a, ncr_anthropic_seen_t *seen)
{
    ncr_usage_t  u;

    if (a->told.messages
        && (seen->id[0] == '\0' || strcmp(a->told.id, seen->id) != 0))
    {

        memset(&u, 0, sizeof(u));
        ncr_anthropic_message_usage(a, &u);
        ncr_anthropic_sum(&a->done, &u);

        if (ncr_anthropic_bill(a)) {
            ncr_anthropic_message_parts(a, &a->bill->paid);
        }

        memset(&a->message, 0, sizeof(a->message));
        a->iterated = 0;
        a->content = 0;
    }

    a->told.messages++;

    if (a->told.state != NCR_ANSWER_FAILED) {
        a->told.state = NCR_ANSWER_STARTED;
    }

    memcpy(a->told.id, seen->id, sizeof(a->told.id));

    if (seen->model[0]) {
        memcpy(a->told.model, seen->model, sizeof(a->told.model));
    }
}


static void
ncr_anthropic_apply_usage(ncr_anthropic_answer_t *a, ncr_anthropic_seen_t *seen)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_ANTHROPIC_COUNTS; i++) {
        if (seen->usage.told & (ncr_uint_t) 1 << i) {
            a->message.value[i] = seen->usage.value[i];
        }
    }

    a->message.told |= seen->usage.told;

    if (seen->iterated && ncr_anthropic_bill(a)) {
        a->iterated = 1;
        a->iterations = seen->sum;
        a->bill->parts = seen->parts;
        a->held = seen->last;

        if (seen->last) {
            a->bill->last = seen->pending;
        }
    }

    if (seen->service_tier[0]) {
        memcpy(a->told.service_tier, seen->service_tier,
               sizeof(a->told.service_tier));
    }

    if (seen->speed[0]) {
        memcpy(a->told.speed, seen->speed, sizeof(a->told.speed));
    }

    if (seen->inference_geo[0]) {
        memcpy(a->told.inference_geo, seen->inference_geo,
               sizeof(a->told.inference_geo));
    }

    if (a->message.told || a->iterated) {
        a->told.has_usage = 1;
        ncr_anthropic_total(a);
    }
}


/* a later delta without a reason does not take it back (E.1) */

static void
ncr_anthropic_apply_stop(ncr_anthropic_answer_t *a, ncr_anthropic_seen_t *seen)
{
    if (seen->stop_reason[0] == '\0') {
        return;
    }

    memcpy(a->told.stop_reason, seen->stop_reason, sizeof(a->told.stop_reason));

    ncr_answer_complete(&a->told);
}


static void
ncr_anthropic_apply_error(ncr_anthropic_answer_t *a, ncr_anthropic_seen_t *seen)
{
    a->told.state = NCR_ANSWER_FAILED;

    memcpy(a->told.error_type, seen->error_type, sizeof(a->told.error_type));
    memcpy(a->told.error_message, seen->error_message,
           sizeof(a->told.error_message));
}


static void
ncr_anthropic_total(ncr_anthropic_answer_t *a)
{
    memset(&a->told.usage, 0, sizeof(a->told.usage));

    ncr_anthropic_message_usage(a, &a->told.usage);
    ncr_anthropic_sum(&a->told.usage, &a->done);
}
