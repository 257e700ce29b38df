
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The answer: others.md A3, A5, A6.  An event, or a JSON body, is first read
 * into "seen" in whatever order its members come, then applied by its type.
 * An event of Responses has what a body has one level deeper, in "response".
 */


#include "ncr_openai.h"
#include "ncr_codec_answer.h"
#include "ncr_codec_name.h"
#include "ncr_json_plain.h"
#include "ncr_str.h"


/* keys; the numbers of ncr_openai_count_e come first */

typedef enum {
    NCR_OPENAI_K_NONE = NCR_OPENAI_COUNTS,
    NCR_OPENAI_K_ID,
    NCR_OPENAI_K_TYPE,
    NCR_OPENAI_K_CODE,
    NCR_OPENAI_K_MODEL,
    NCR_OPENAI_K_ERROR,
    NCR_OPENAI_K_USAGE,
    NCR_OPENAI_K_DETAIL,
    NCR_OPENAI_K_REASON,
    NCR_OPENAI_K_STATUS,
    NCR_OPENAI_K_CHOICES,
    NCR_OPENAI_K_MESSAGE,
    NCR_OPENAI_K_RESPONSE,
    NCR_OPENAI_K_FINISH,
    NCR_OPENAI_K_TIER,
    NCR_OPENAI_K_INCOMPLETE,
    NCR_OPENAI_K_IN_DETAILS,
    NCR_OPENAI_K_OUT_DETAILS
} ncr_openai_key_e;


typedef enum {
    NCR_OPENAI_EV_CHUNK = 0,            /* no type: Chat */
    NCR_OPENAI_EV_OUTPUT,               /* something of the answer itself */
    NCR_OPENAI_EV_BEGIN,                /* nothing of it yet */
    NCR_OPENAI_EV_CREATED,
    NCR_OPENAI_EV_COMPLETED,
    NCR_OPENAI_EV_FAILED,
    NCR_OPENAI_EV_ERROR,
    NCR_OPENAI_EV_OTHER
} ncr_openai_event_e;


static ncr_uint_t ncr_openai_stream_want(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *head);
static void ncr_openai_stream_part(ncr_sse_t *sse, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_openai_stream_event(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *payload);
static ncr_str_t ncr_openai_head_type(ncr_str_t *head);
static ncr_openai_event_e ncr_openai_event(ncr_str_t *type);
static void ncr_openai_started(ncr_openai_answer_t *a);
static void ncr_openai_read(ncr_openai_answer_t *a);
static ncr_int_t ncr_openai_token(ncr_json_t *json, ncr_json_token_e token);
static ncr_uint_t ncr_openai_base(ncr_openai_seen_t *seen, ncr_uint_t depth);
static void ncr_openai_open(ncr_openai_answer_t *a, ncr_json_token_e token);
static NCR_NOINLINE void ncr_openai_string(ncr_openai_answer_t *a);
static void ncr_openai_error_string(ncr_openai_seen_t *seen, ncr_uint_t key,
    ncr_str_t *s);
static NCR_NOINLINE void ncr_openai_number(ncr_openai_answer_t *a);
static void ncr_openai_apply(ncr_openai_answer_t *a);
static void ncr_openai_apply_told(ncr_openai_answer_t *a);
static void ncr_openai_apply_usage(ncr_openai_answer_t *a);
static void ncr_openai_apply_error(ncr_openai_answer_t *a);


static const ncr_name_t  ncr_openai_keys[] = {
    { ncr_string("id"), NCR_OPENAI_K_ID },
    { ncr_string("type"), NCR_OPENAI_K_TYPE },
    { ncr_string("code"), NCR_OPENAI_K_CODE },
    { ncr_string("model"), NCR_OPENAI_K_MODEL },
    { ncr_string("error"), NCR_OPENAI_K_ERROR },
    { ncr_string("usage"), NCR_OPENAI_K_USAGE },
    { ncr_string("detail"), NCR_OPENAI_K_DETAIL },
    { ncr_string("reason"), NCR_OPENAI_K_REASON },
    { ncr_string("status"), NCR_OPENAI_K_STATUS },
    { ncr_string("choices"), NCR_OPENAI_K_CHOICES },
    { ncr_string("message"), NCR_OPENAI_K_MESSAGE },
    { ncr_string("response"), NCR_OPENAI_K_RESPONSE },
    { ncr_string("input_tokens"), NCR_OPENAI_IN },
    { ncr_string("service_tier"), NCR_OPENAI_K_TIER },
    { ncr_string("cached_tokens"), NCR_OPENAI_CACHED },
    { ncr_string("finish_reason"), NCR_OPENAI_K_FINISH },
    { ncr_string("output_tokens"), NCR_OPENAI_OUT },
    { ncr_string("prompt_tokens"), NCR_OPENAI_IN },
    { ncr_string("reasoning_tokens"), NCR_OPENAI_THOUGHT },
    { ncr_string("completion_tokens"), NCR_OPENAI_OUT },
    { ncr_string("incomplete_details"), NCR_OPENAI_K_INCOMPLETE },
    { ncr_string("cache_write_tokens"), NCR_OPENAI_CACHE_WRITE },
    { ncr_string("input_tokens_details"), NCR_OPENAI_K_IN_DETAILS },
    { ncr_string("output_tokens_details"), NCR_OPENAI_K_OUT_DETAILS },
    { ncr_string("prompt_tokens_details"), NCR_OPENAI_K_IN_DETAILS },
    { ncr_string("completion_tokens_details"), NCR_OPENAI_K_OUT_DETAILS },
    ncr_name_end
};


/*
 * Those of A6 that are not output.  What only says that it has begun may be
 * followed by a failure at once (A12): it commits nothing.
 */

static const ncr_name_t  ncr_openai_events[] = {
    { ncr_string("error"), NCR_OPENAI_EV_ERROR },
    { ncr_string("response.failed"), NCR_OPENAI_EV_FAILED },
    { ncr_string("response.queued"), NCR_OPENAI_EV_BEGIN },
    { ncr_string("response.created"), NCR_OPENAI_EV_CREATED },
    { ncr_string("response.metadata"), NCR_OPENAI_EV_BEGIN },
    { ncr_string("response.completed"), NCR_OPENAI_EV_COMPLETED },
    { ncr_string("response.incomplete"), NCR_OPENAI_EV_COMPLETED },
    { ncr_string("response.in_progress"), NCR_OPENAI_EV_BEGIN },
    { ncr_string("image_generation.completed"), NCR_OPENAI_EV_COMPLETED },
    ncr_name_end
};


void
ncr_openai_answer_init(ncr_openai_answer_t *a, ncr_op_e op)
{
    memset(a, 0, offsetof(ncr_openai_answer_t, sse));

    ncr_sse_init(&a->sse);

    a->sse.data = a;
    a->sse.want = ncr_openai_stream_want;
    a->sse.part = ncr_openai_stream_part;
    a->sse.event = ncr_openai_stream_event;

    a->op = op;
}


void
ncr_openai_stream_feed(ncr_openai_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_answer_stream(&a->told, &a->sse, p, len);
}


/*
 * The type is that in the JSON; the name of the event stands in where the
 * type is not at the front, and saves a look at what most events are.
 */

static ncr_uint_t
ncr_openai_stream_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    ncr_str_t             type;
    ncr_openai_answer_t  *a;

    a = sse->data;

    if (a->done) {
        return NCR_SSE_NO;
    }

    if (head->len == 0 || *head->data != '{') {

        if (ncr_str_prefix(head, "[DONE]")) {
            a->done = 1;
            ncr_answer_complete(&a->told);
        }

        return NCR_SSE_NO;
    }

    type = *name;

    if (type.len == 0) {
        type = ncr_openai_head_type(head);

        if (type.len == 0) {
            return NCR_SSE_YES;
        }
    }

    switch (ncr_openai_event(&type)) {

    case NCR_OPENAI_EV_OUTPUT:
        ncr_openai_started(a);
        return NCR_SSE_NEVER;

    case NCR_OPENAI_EV_BEGIN:
        return NCR_SSE_NO;

    default:
        return NCR_SSE_YES;
    }
}


/* of an event that is not whole in what was fed at once */

static void
ncr_openai_stream_part(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    ncr_openai_event_feed(sse->data, p, len);
}


static ncr_int_t
ncr_openai_stream_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_openai_answer_t  *a;

    a = sse->data;

    if (!a->reading) {
        ncr_openai_event_feed(a, payload->data, payload->len);
    }

    if (!a->seen.typed && name->len) {
        a->seen.typed = 1;
        ncr_str_copy(a->seen.type, sizeof(a->seen.type), name);
    }

    ncr_openai_event_end(a);

    return NCR_OK;
}


void
ncr_openai_event_feed(ncr_openai_answer_t *a, ncr_char_t *p, size_t len)
{
    if (!a->reading) {
        ncr_openai_read(a);
    }

    (void) ncr_json_feed(&a->json, p, len);
}


void
ncr_openai_event_end(ncr_openai_answer_t *a)
{
    if (!a->reading) {
        return;
    }

    a->reading = 0;

    ncr_openai_apply(a);
}


/* of {"type":"..." at the front, else the type is not told yet */

static ncr_str_t
ncr_openai_head_type(ncr_str_t *head)
{
    size_t     i;
    ncr_str_t  type;

    static const char  front[] = "{\"type\":\"";

    ncr_str_null(&type);

    if (!ncr_str_prefix(head, front)) {
        return type;
    }

    for (i = sizeof(front) - 1; i < head->len; i++) {

        if (head->data[i] == '"') {
            type.data = head->data + sizeof(front) - 1;
            type.len = i - (sizeof(front) - 1);
            break;
        }
    }

    return type;
}


static ncr_openai_event_e
ncr_openai_event(ncr_str_t *type)
{
    ncr_uint_t  event;

    event = ncr_name_lookup(ncr_openai_events, type, NCR_OPENAI_EV_OTHER);

    if (event == NCR_OPENAI_EV_OTHER && ncr_str_prefix(type, "response.")) {
        event = NCR_OPENAI_EV_OUTPUT;
    }

    return (ncr_openai_event_e) event;
}


static void
ncr_openai_started(ncr_openai_answer_t *a)
{
    a->told.messages = 1;

    ncr_answer_started(&a->told);
}


/* a JSON text is about to be read */

static void
ncr_openai_read(ncr_openai_answer_t *a)
{
    memset(&a->seen, 0, sizeof(ncr_openai_seen_t));

    ncr_json_begin(&a->json, a, ncr_openai_token, 1,
                   a->keep, sizeof(a->keep));

    a->reading = 1;
}


void
ncr_openai_body_feed(ncr_openai_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_int_t  rc;

    if (ncr_answer_over(&a->told)) {
        return;
    }

    if (!a->reading) {
        ncr_openai_read(a);
    }

    rc = ncr_json_feed(&a->json, p, len);

    if (a->json.depth || rc == NCR_DONE) {
        ncr_openai_started(a);
    }

    /* what is known so far */

    ncr_openai_apply_told(a);
    ncr_openai_apply_usage(a);

    if (rc != NCR_DONE) {
        return;
    }

    if (a->seen.failed) {
        ncr_openai_apply_error(a);

    } else {
        a->told.state = NCR_ANSWER_COMPLETE;
    }
}


static ncr_int_t
ncr_openai_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_str_t             s;
    ncr_uint_t            depth;
    ncr_char_t            buf[NCR_JSON_TEXT];
    ncr_openai_seen_t    *seen;
    ncr_openai_answer_t  *a;

    a = json->data;
    seen = &a->seen;
    depth = json->depth;

    if (depth >= NCR_OPENAI_PATH) {
        return NCR_OK;
    }

    switch (token) {

    case NCR_JSON_KEY:
        s.data = buf;
        seen->path[depth] = NCR_OPENAI_K_NONE;

        if (ncr_json_plain(json, &s) == NCR_OK) {
            seen->path[depth] = ncr_name_lookup(ncr_openai_keys, &s,
                                                NCR_OPENAI_K_NONE);
        }

        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        if (depth + 1 < NCR_OPENAI_PATH) {
            seen->path[depth + 1] = NCR_OPENAI_K_NONE;
        }

        ncr_openai_open(a, token);
        break;

    case NCR_JSON_OBJECT_END:
    case NCR_JSON_ARRAY_END:
        if (depth == 0) {

            /* whatever follows it */

            return NCR_DONE;
        }

        if (depth == 1) {
            json->report = 1;

        } else if (depth == 2 && seen->path[1] == NCR_OPENAI_K_RESPONSE) {
            json->report = 2;
        }

        break;

    case NCR_JSON_STRING:
        ncr_openai_string(a);
        break;

    case NCR_JSON_NUMBER:
        ncr_openai_number(a);
        break;

    default:
        break;
    }

    return NCR_OK;
}


/* the depth at which the members are that a body has on top; 0: elsewhere */

static ncr_uint_t
ncr_openai_base(ncr_openai_seen_t *seen, ncr_uint_t depth)
{
    ncr_uint_t  base;

    base = (seen->path[1] == NCR_OPENAI_K_RESPONSE) ? 2 : 1;

    return (depth >= base) ? base : 0;
}


/* what lies in it is of interest, or not */

static void
ncr_openai_open(ncr_openai_answer_t *a, ncr_json_token_e token)
{
    ncr_uint_t          key, base, depth;
    ncr_openai_seen_t  *seen;

    seen = &a->seen;
    depth = a->json.depth;

    if (depth == 0) {
        return;
    }

    key = seen->path[depth];

    if (depth == 2 && seen->path[1] == NCR_OPENAI_K_CHOICES
        && token == NCR_JSON_OBJECT)
    {
        seen->choice = 1;
        return;
    }

    if (depth == 1 && key == NCR_OPENAI_K_RESPONSE) {
        a->json.report = 2;
        return;
    }

    base = ncr_openai_base(seen, depth);

    if (depth != base) {
        return;
    }

    switch (key) {

    case NCR_OPENAI_K_CHOICES:
        a->json.report = depth + 2;
        break;

    case NCR_OPENAI_K_USAGE:
        seen->counted |= (token == NCR_JSON_OBJECT);
        a->json.report = depth + 2;
        break;

    case NCR_OPENAI_K_ERROR:
        seen->failed = 1;
        a->json.report = depth + 1;
        break;

    case NCR_OPENAI_K_INCOMPLETE:
        a->json.report = depth + 1;
        break;

    default:
        break;
    }
}


static NCR_NOINLINE void
ncr_openai_string(ncr_openai_answer_t *a)
{
    ncr_str_t           s;
    ncr_uint_t          key, base, depth;
    ncr_char_t          buf[NCR_JSON_TEXT];
    ncr_openai_seen_t  *seen;

    seen = &a->seen;
    depth = a->json.depth;

    if (depth == 0) {
        return;
    }

    key = seen->path[depth];
    base = ncr_openai_base(seen, depth);

    /* most strings are nobody's, and long */

    if (key <= NCR_OPENAI_K_NONE) {
        return;
    }

    s.data = buf;

    if (ncr_json_plain(&a->json, &s) == NCR_BAD) {
        return;
    }

    if (depth == 3 && seen->path[1] == NCR_OPENAI_K_CHOICES) {

        if (key == NCR_OPENAI_K_FINISH) {
            ncr_str_copy(seen->stop_reason, sizeof(seen->stop_reason), &s);
        }

        return;
    }

    if (base && depth == base + 1) {

        if (seen->path[base] == NCR_OPENAI_K_ERROR) {
            ncr_openai_error_string(seen, key, &s);

        } else if (seen->path[base] == NCR_OPENAI_K_INCOMPLETE
                   && key == NCR_OPENAI_K_REASON)
        {
            ncr_str_copy(seen->stop_reason, sizeof(seen->stop_reason), &s);
        }

        return;
    }

    if (depth != base && depth != 1) {
        return;
    }

    switch (key) {

    case NCR_OPENAI_K_TYPE:
        if (depth == 1) {
            seen->typed = 1;
            ncr_str_copy(seen->type, sizeof(seen->type), &s);
        }

        break;

    case NCR_OPENAI_K_ID:
        ncr_str_copy(seen->id, sizeof(seen->id), &s);
        break;

    case NCR_OPENAI_K_MODEL:
        ncr_str_copy(seen->model, sizeof(seen->model), &s);
        break;

    case NCR_OPENAI_K_TIER:
        ncr_str_copy(seen->service_tier, sizeof(seen->service_tier), &s);
        break;

    case NCR_OPENAI_K_STATUS:
        ncr_str_copy(seen->status, sizeof(seen->status), &s);
        break;

    case NCR_OPENAI_K_ERROR:
    case NCR_OPENAI_K_DETAIL:

        /* an error, and the ChatGPT back end's, may be a text alone (A12) */

        seen->failed = 1;
        ncr_openai_error_string(seen, NCR_OPENAI_K_MESSAGE, &s);
        break;

    default:

        /* the event "error" has them on top (A6) */

        if (depth == 1) {
            ncr_openai_error_string(seen, key, &s);
        }

        break;
    }
}


static void
ncr_openai_error_string(ncr_openai_seen_t *seen, ncr_uint_t key, ncr_str_t *s)
{
    switch (key) {

    case NCR_OPENAI_K_TYPE:
        ncr_str_copy(seen->error_type, sizeof(seen->error_type), s);
        break;

    case NCR_OPENAI_K_CODE:
        ncr_str_copy(seen->error_code, sizeof(seen->error_code), s);
        break;

    case NCR_OPENAI_K_MESSAGE:
        ncr_str_copy(seen->error_message, sizeof(seen->error_message), s);
        break;

    default:
        break;
    }
}


static NCR_NOINLINE void
ncr_openai_number(ncr_openai_answer_t *a)
{
    int64_t             n;
    ncr_uint_t          key, base, depth, parent;
    ncr_openai_seen_t  *seen;

    seen = &a->seen;
    depth = a->json.depth;

    if (depth == 0) {
        return;
    }

    key = seen->path[depth];
    base = ncr_openai_base(seen, depth);

    if (key >= NCR_OPENAI_COUNTS || base == 0
        || seen->path[base] != NCR_OPENAI_K_USAGE)
    {
        return;
    }

    parent = seen->path[depth - 1];

    if (depth == base + 1) {

        if (key != NCR_OPENAI_IN && key != NCR_OPENAI_OUT) {
            return;
        }

    } else if (depth != base + 2
               || (parent == NCR_OPENAI_K_IN_DETAILS
                   ? key != NCR_OPENAI_CACHED && key != NCR_OPENAI_CACHE_WRITE
                   : parent != NCR_OPENAI_K_OUT_DETAILS
                     || key != NCR_OPENAI_THOUGHT))
    {
        return;
    }

    if (a->json.cut || ncr_json_int(&a->json.text, &n) != NCR_OK
        || n < 0 || n > NCR_ANSWER_COUNT_MAX)
    {
        return;
    }

    seen->count[key] = (uint64_t) n;
}


static void
ncr_openai_apply(ncr_openai_answer_t *a)
{
    ncr_str_t            type;
    ncr_openai_seen_t   *seen;
    ncr_openai_event_e   event;

    seen = &a->seen;

    type.data = (ncr_char_t *) seen->type;
    type.len = strlen(seen->type);

    event = NCR_OPENAI_EV_CHUNK;

    if (type.len) {
        event = ncr_openai_event(&type);

        if (event == NCR_OPENAI_EV_OTHER && seen->choice) {
            event = NCR_OPENAI_EV_CHUNK;
        }
    }

    switch (event) {

    case NCR_OPENAI_EV_CHUNK:

        if (seen->failed) {
            ncr_openai_apply_error(a);
            return;
        }

        /*
         * The first one of Azure has no choice, and is nothing yet (B); nor
         * has that with the usage, which comes last.
         */

        ncr_openai_apply_told(a);
        ncr_openai_apply_usage(a);

        if (seen->choice) {
            ncr_openai_started(a);
        }

        if (seen->stop_reason[0]) {
            ncr_answer_complete(&a->told);
        }

        break;

    case NCR_OPENAI_EV_CREATED:
        ncr_openai_apply_told(a);
        break;

    case NCR_OPENAI_EV_COMPLETED:
        ncr_openai_started(a);
        ncr_openai_apply_told(a);
        ncr_openai_apply_usage(a);

        ncr_answer_complete(&a->told);
        break;

    case NCR_OPENAI_EV_FAILED:
        ncr_openai_apply_told(a);
        ncr_openai_apply_usage(a);

        /* fall through */

    case NCR_OPENAI_EV_ERROR:
        ncr_openai_apply_error(a);
        break;

    case NCR_OPENAI_EV_OUTPUT:
        ncr_openai_started(a);
        break;

    case NCR_OPENAI_EV_BEGIN:
    case NCR_OPENAI_EV_OTHER:
        break;
    }
}


static void
ncr_openai_apply_told(ncr_openai_answer_t *a)
{
    ncr_answer_t       *told;
    ncr_openai_seen_t  *seen;

    told = &a->told;
    seen = &a->seen;

    if (seen->id[0]) {
        memcpy(told->id, seen->id, sizeof(told->id));
    }

    if (seen->model[0]) {
        memcpy(told->model, seen->model, sizeof(told->model));
    }

    if (seen->service_tier[0]) {
        memcpy(told->service_tier, seen->service_tier,
               sizeof(told->service_tier));
    }

    if (seen->stop_reason[0]) {
        memcpy(told->stop_reason, seen->stop_reason,
               sizeof(told->stop_reason));

    } else if (seen->status[0] && strcmp(seen->status, "in_progress") != 0) {
        memcpy(told->stop_reason, seen->status, sizeof(seen->status));
    }
}


/* the last one counts: who tells it more than once tells sums (A3) */

static void
ncr_openai_apply_usage(ncr_openai_answer_t *a)
{
    uint64_t     *count;
    ncr_usage_t  *u;

    if (!a->seen.counted) {
        return;
    }

    u = &a->told.usage;
    count = a->seen.count;

    memset(u, 0, sizeof(ncr_usage_t));

    /* what was read of the cache, and written to it, are parts of the input */

    u->cache_read = ncr_min(count[NCR_OPENAI_CACHED], count[NCR_OPENAI_IN]);
    u->cache_write = ncr_min(count[NCR_OPENAI_CACHE_WRITE],
                             count[NCR_OPENAI_IN] - u->cache_read);
    u->cache_write_5m = u->cache_write;
    u->input = count[NCR_OPENAI_IN] - u->cache_read - u->cache_write;
    u->output = count[NCR_OPENAI_OUT];
    u->thinking = ncr_min(count[NCR_OPENAI_THOUGHT], u->output);

    a->told.has_usage = 1;
}


/* the code says more than the type, where there is one */

static void
ncr_openai_apply_error(ncr_openai_answer_t *a)
{
    ncr_answer_t       *told;
    ncr_openai_seen_t  *seen;

    told = &a->told;
    seen = &a->seen;

    if (seen->error_code[0]) {
        memcpy(told->error_type, seen->error_code, sizeof(told->error_type));

    } else {
        memcpy(told->error_type, seen->error_type, sizeof(told->error_type));
    }

    memcpy(told->error_message, seen->error_message,
           sizeof(told->error_message));

    told->state = NCR_ANSWER_FAILED;
}
