
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The answer: others.md C3, C4, C6.  Every chunk is the same object with what
 * is new in it; counts are cumulative, so the last of each is the one.
 */


#include "ncr_gemini.h"
#include "ncr_codec_answer.h"
#include "ncr_codec_name.h"
#include "ncr_json_plain.h"
#include "ncr_str.h"


/* keys; the numbers of ncr_gemini_count_e come first */

typedef enum {
    NCR_GEMINI_W_NONE = NCR_GEMINI_COUNTS,
    NCR_GEMINI_W_RESPONSE,
    NCR_GEMINI_W_CANDIDATES,
    NCR_GEMINI_W_FINISH_REASON,
    NCR_GEMINI_W_FEEDBACK,
    NCR_GEMINI_W_BLOCK_REASON,
    NCR_GEMINI_W_USAGE,
    NCR_GEMINI_W_MODEL,
    NCR_GEMINI_W_ID,
    NCR_GEMINI_W_ERROR,
    NCR_GEMINI_W_CODE,
    NCR_GEMINI_W_MESSAGE,
    NCR_GEMINI_W_STATUS
} ncr_gemini_word_e;


static ncr_uint_t ncr_gemini_stream_want(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *head);
static void ncr_gemini_stream_part(ncr_sse_t *sse, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_gemini_stream_event(ncr_sse_t *sse, ncr_str_t *name,
    ncr_str_t *payload);
static void ncr_gemini_read(ncr_gemini_answer_t *a);
static ncr_int_t ncr_gemini_token(ncr_json_t *json, ncr_json_token_e token);
static ncr_int_t ncr_gemini_root(ncr_gemini_answer_t *a,
    ncr_json_token_e token);
static ncr_uint_t ncr_gemini_path(ncr_gemini_answer_t *a,
    ncr_uint_t **path);
static void ncr_gemini_open(ncr_gemini_answer_t *a, ncr_json_token_e token);
static void ncr_gemini_close(ncr_gemini_answer_t *a);
static void ncr_gemini_string(ncr_gemini_answer_t *a);
static void ncr_gemini_number(ncr_gemini_answer_t *a, ncr_str_t *text);
static void ncr_gemini_copy(ncr_json_t *json, char *dst, size_t size);
static void ncr_gemini_finished(ncr_gemini_answer_t *a, const char *none);
static void ncr_gemini_failed(ncr_gemini_answer_t *a);
static void ncr_gemini_total(ncr_gemini_answer_t *a);


static const ncr_name_t  ncr_gemini_words[] = {
    { ncr_string("code"), NCR_GEMINI_W_CODE },
    { ncr_string("error"), NCR_GEMINI_W_ERROR },
    { ncr_string("status"), NCR_GEMINI_W_STATUS },
    { ncr_string("message"), NCR_GEMINI_W_MESSAGE },
    { ncr_string("response"), NCR_GEMINI_W_RESPONSE },
    { ncr_string("candidates"), NCR_GEMINI_W_CANDIDATES },
    { ncr_string("responseId"), NCR_GEMINI_W_ID },
    { ncr_string("blockReason"), NCR_GEMINI_W_BLOCK_REASON },
    { ncr_string("finishReason"), NCR_GEMINI_W_FINISH_REASON },
    { ncr_string("modelVersion"), NCR_GEMINI_W_MODEL },
    { ncr_string("usageMetadata"), NCR_GEMINI_W_USAGE },
    { ncr_string("promptFeedback"), NCR_GEMINI_W_FEEDBACK },
    { ncr_string("totalTokenCount"), NCR_GEMINI_TOTAL },
    { ncr_string("promptTokenCount"), NCR_GEMINI_PROMPT },
    { ncr_string("thoughtsTokenCount"), NCR_GEMINI_THOUGHTS },
    { ncr_string("candidatesTokenCount"), NCR_GEMINI_CANDIDATES },
    { ncr_string("cachedContentTokenCount"), NCR_GEMINI_CACHED },
    { ncr_string("toolUsePromptTokenCount"), NCR_GEMINI_TOOL_USE },
    ncr_name_end
};


void
ncr_gemini_answer_init(ncr_gemini_answer_t *a)
{
    memset(a, 0, offsetof(ncr_gemini_answer_t, sse));

    ncr_sse_init(&a->sse);

    a->sse.data = a;
    a->sse.want = ncr_gemini_stream_want;
    a->sse.part = ncr_gemini_stream_part;
    a->sse.event = ncr_gemini_stream_event;
}


void
ncr_gemini_stream_feed(ncr_gemini_answer_t *a, ncr_char_t *p, size_t len)
{
    ncr_answer_stream(&a->told, &a->sse, p, len);
}


ncr_uint_t
ncr_gemini_boundary(ncr_gemini_answer_t *a)
{
    return ncr_sse_boundary(&a->sse);
}


/* events have no names; an error may be the one element of an array (C4) */

static ncr_uint_t
ncr_gemini_stream_want(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head)
{
    size_t  i;

    for (i = 0; i < head->len; i++) {

        switch (head->data[i]) {

        case ' ':
        case '\t':
        case '\r':
        case '\n':
            continue;

        case '{':
        case '[':
            return NCR_SSE_YES;

        default:
            return NCR_SSE_NO;
        }
    }

    return NCR_SSE_NO;
}


/* of an event that is not whole in what was fed at once */

static void
ncr_gemini_stream_part(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    ncr_gemini_answer_t  *a;

    a = sse->data;

    if (!a->reading) {
        a->reading = 1;
        ncr_gemini_read(a);
    }

    (void) ncr_json_feed(&a->json, p, len);
}


static ncr_int_t
ncr_gemini_stream_event(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *payload)
{
    ncr_gemini_answer_t  *a;

    a = sse->data;

    if (!a->reading) {
        ncr_gemini_read(a);
        (void) ncr_json_feed(&a->json, payload->data, payload->len);
    }

    a->reading = 0;

    return NCR_OK;
}


void
ncr_gemini_body_feed(ncr_gemini_answer_t *a, ncr_char_t *p, size_t len)
{
    if (a->whole) {
        return;
    }

    if (!a->reading) {
        a->reading = 1;
        ncr_gemini_read(a);
    }

    (void) ncr_json_feed(&a->json, p, len);

    if (a->whole) {
        ncr_answer_complete(&a->told);
    }
}


/* a JSON text is about to be read */

static void
ncr_gemini_read(ncr_gemini_answer_t *a)
{
    ncr_json_begin(&a->json, a, ncr_gemini_token, 3,
                   a->keep, sizeof(a->keep));

    a->shift = 0;
    a->whole = 0;

    memset(a->words, 0xff, sizeof(a->words));
}


static ncr_int_t
ncr_gemini_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_gemini_answer_t  *a;

    a = json->data;

    if (json->depth == 0) {
        return ncr_gemini_root(a, token);
    }

    /* all that is reported is less deep than there are words */

    switch (token) {

    case NCR_JSON_KEY:
        a->words[json->depth] = ncr_name_lookup(ncr_gemini_words,
                                                &json->text,
                                                NCR_GEMINI_W_NONE);
        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        ncr_gemini_open(a, token);
        break;

    case NCR_JSON_OBJECT_END:
    case NCR_JSON_ARRAY_END:
        ncr_gemini_close(a);
        break;

    case NCR_JSON_STRING:
        ncr_gemini_string(a);
        break;

    case NCR_JSON_NUMBER:
        ncr_gemini_number(a, &json->text);
        break;

    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
    case NCR_JSON_NULL:
        break;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_gemini_root(ncr_gemini_answer_t *a, ncr_json_token_e token)
{
    switch (token) {

    case NCR_JSON_ARRAY:
        a->shift = 1;
        a->json.report = 4;
        return NCR_OK;

    case NCR_JSON_OBJECT:
        ncr_answer_started(&a->told);
        return NCR_OK;

    default:

        /* it is complete with its last brace, whatever follows that */

        a->whole = 1;
        return NCR_DONE;
    }
}


/* the depth in a chunk, whose members are path[1] */

static ncr_uint_t
ncr_gemini_path(ncr_gemini_answer_t *a, ncr_uint_t **path)
{
    ncr_uint_t  depth, *p;

    p = a->words + a->shift;
    depth = a->json.depth - a->shift;

    if (depth && p[1] == NCR_GEMINI_W_RESPONSE) {
        p++;
        depth--;
    }

    *path = p;

    return depth;
}


static void
ncr_gemini_open(ncr_gemini_answer_t *a, ncr_json_token_e token)
{
    ncr_uint_t  depth, below;

    depth = a->json.depth;
    below = depth + 1;

    /* elements of an array have no key of their own */

    if (below < sizeof(a->words) / sizeof(a->words[0])) {
        a->words[below] = NCR_GEMINI_W_NONE;
    }

    if (depth == 1 && a->shift) {

        /* an element of the array, as an event is */

        if (token == NCR_JSON_OBJECT) {
            ncr_answer_started(&a->told);
        }

        return;
    }

    if (depth == 1 + a->shift && token == NCR_JSON_OBJECT
        && a->words[depth] == NCR_GEMINI_W_RESPONSE)
    {
        a->json.report = 4 + a->shift;
    }
}


static void
ncr_gemini_close(ncr_gemini_answer_t *a)
{
    ncr_uint_t  depth, *path;

    depth = a->json.depth;

    if (depth == a->shift) {
        return;
    }

    if (depth == 1 + a->shift
        && a->words[depth] == NCR_GEMINI_W_RESPONSE)
    {
        a->json.report = 3 + a->shift;
        return;
    }

    depth = ncr_gemini_path(a, &path);

    if (depth == 1 && path[1] == NCR_GEMINI_W_ERROR) {
        ncr_gemini_failed(a);
    }
}


static void
ncr_gemini_string(ncr_gemini_answer_t *a)
{
    ncr_uint_t  depth, *path;

    depth = ncr_gemini_path(a, &path);

    switch (depth) {

    case 1:
        if (path[1] == NCR_GEMINI_W_MODEL) {
            ncr_gemini_copy(&a->json, a->told.model, sizeof(a->told.model));

        } else if (path[1] == NCR_GEMINI_W_ID) {
            ncr_gemini_copy(&a->json, a->told.id, sizeof(a->told.id));
        }

        break;

    case 2:
        if (path[1] == NCR_GEMINI_W_FEEDBACK
            && path[2] == NCR_GEMINI_W_BLOCK_REASON)
        {
            ncr_gemini_finished(a, "BLOCK_REASON_UNSPECIFIED");

        } else if (path[1] == NCR_GEMINI_W_USAGE) {

            /* proto-JSON may write a number as a string */

            ncr_gemini_number(a, &a->json.text);

        } else if (path[1] != NCR_GEMINI_W_ERROR) {
            break;

        } else if (path[2] == NCR_GEMINI_W_MESSAGE) {
            ncr_gemini_copy(&a->json, a->told.error_message,
                            sizeof(a->told.error_message));

        } else if (path[2] == NCR_GEMINI_W_STATUS) {
            ncr_gemini_copy(&a->json, a->told.error_type,
                            sizeof(a->told.error_type));
        }

        break;

    case 3:
        if (path[1] == NCR_GEMINI_W_CANDIDATES
            && path[3] == NCR_GEMINI_W_FINISH_REASON)
        {
            ncr_gemini_finished(a, "FINISH_REASON_UNSPECIFIED");
        }

        break;

    default:
        break;
    }
}


static void
ncr_gemini_number(ncr_gemini_answer_t *a, ncr_str_t *text)
{
    int64_t     n;
    ncr_uint_t  depth, *path;

    depth = ncr_gemini_path(a, &path);

    if (depth != 2 || ncr_json_int(text, &n) != NCR_OK || n < 0) {
        return;
    }

    if (path[1] == NCR_GEMINI_W_USAGE && path[2] < NCR_GEMINI_COUNTS
        && n <= NCR_ANSWER_COUNT_MAX)
    {
        a->counts[path[2]] = (uint64_t) n;
        a->counted |= (ncr_uint_t) 1 << path[2];

        ncr_gemini_total(a);

    } else if (path[1] == NCR_GEMINI_W_ERROR
               && path[2] == NCR_GEMINI_W_CODE && n <= 999)
    {
        a->error_code = n;
    }
}


static void
ncr_gemini_copy(ncr_json_t *json, char *dst, size_t size)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (ncr_json_plain(json, &s) != NCR_BAD) {
        ncr_str_copy(dst, size, &s);
    }
}


/* a later chunk without a reason does not take it back */

static void
ncr_gemini_finished(ncr_gemini_answer_t *a, const char *none)
{
    char  reason[sizeof(a->told.stop_reason)];

    reason[0] = '\0';

    ncr_gemini_copy(&a->json, reason, sizeof(reason));

    if (reason[0] == '\0' || strcmp(reason, none) == 0) {
        return;
    }

    memcpy(a->told.stop_reason, reason, sizeof(reason));

    ncr_answer_complete(&a->told);
}


static void
ncr_gemini_failed(ncr_gemini_answer_t *a)
{
    const char  *name;

    a->told.state = NCR_ANSWER_FAILED;

    if (a->told.error_type[0] == '\0' && a->error_code) {
        name = ncr_gemini_status_name((ncr_uint_t) a->error_code);

        memcpy(a->told.error_type, name,
               ncr_min(strlen(name), sizeof(a->told.error_type) - 1));
    }
}


/*
 * C3: the prompt's count has what was cached in it, and not what tools have
 * added; that of candidates has no thoughts, which are paid for as output.
 */

static void
ncr_gemini_total(ncr_gemini_answer_t *a)
{
    uint64_t     *n, prompt, output;
    ncr_usage_t  *u;

    n = a->counts;
    u = &a->told.usage;

    prompt = n[NCR_GEMINI_PROMPT] + n[NCR_GEMINI_TOOL_USE];
    output = n[NCR_GEMINI_CANDIDATES] + n[NCR_GEMINI_THOUGHTS];

    /* candidates may be left to be found out */

    if (!(a->counted & (ncr_uint_t) 1 << NCR_GEMINI_CANDIDATES)
        && a->counted & (ncr_uint_t) 1 << NCR_GEMINI_PROMPT
        && n[NCR_GEMINI_TOTAL] > prompt + output)
    {
        output = n[NCR_GEMINI_TOTAL] - prompt;
    }

    u->cache_read = ncr_min(n[NCR_GEMINI_CACHED], prompt);
    u->input = prompt - u->cache_read;
    u->output = output;
    u->thinking = n[NCR_GEMINI_THOUGHTS];

    a->told.has_usage = 1;
    a->told.messages = 1;
}
