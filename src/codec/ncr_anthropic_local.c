
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_anthropic_local.h"
#include "ncr_json.h"
#include "ncr_str.h"


/* the words are those of SEEDS 1.4.4 */
#define NCR_ANTHROPIC_LOCAL_WORD   "Warmup"
#define NCR_ANTHROPIC_LOCAL_WRITE                                             \
    "Please write a 5-10 word title for the following conversation:"
#define NCR_ANTHROPIC_LOCAL_ASK                                               \
    "nalyze if this message indicates a new conversation topic. "             \
    "If it does, extract a 2-3 word title"

#define NCR_ANTHROPIC_LOCAL_DEPTH  256


typedef enum {
    NCR_ANTHROPIC_LOCAL_OTHER = 0,
    NCR_ANTHROPIC_LOCAL_MESSAGES,
    NCR_ANTHROPIC_LOCAL_SYSTEM,
    NCR_ANTHROPIC_LOCAL_TOOLS
} ncr_anthropic_local_key_e;


typedef struct {
    ncr_json_t                 json;
    ncr_anthropic_local_key_e  top;
    ncr_uint_t                 nmessages;
    ncr_uint_t                 nblocks;     /* of this message */
    ncr_uint_t                 ntexts;
    unsigned                   role:1;      /* the open key */
    unsigned                   content:1;
    unsigned                   text:1;
    unsigned                   user:1;      /* of the first message */
    unsigned                   assistant:1; /* of the second one */
    unsigned                   warmup:1;
    unsigned                   title:1;
    unsigned                   topic:1;
    unsigned                   tools:1;
    unsigned                   brace:1;
} ncr_anthropic_local_t;


static ncr_uint_t ncr_anthropic_local_has(ncr_str_t *s, const char *what);
static ncr_int_t ncr_anthropic_local_token(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_anthropic_local_top(ncr_anthropic_local_t *l);
static void ncr_anthropic_local_system(ncr_anthropic_local_t *l,
    ncr_json_token_e token);
static void ncr_anthropic_local_message(ncr_anthropic_local_t *l,
    ncr_json_token_e token);
static void ncr_anthropic_local_block(ncr_anthropic_local_t *l,
    ncr_json_token_e token);
static void ncr_anthropic_local_text(ncr_anthropic_local_t *l);
static void ncr_anthropic_local_head(ncr_out_t *out, ncr_str_t *id,
    ncr_str_t *model);


ncr_anthropic_local_e
ncr_anthropic_local(ncr_str_t *body, ncr_uint_t *prefilled)
{
    ncr_anthropic_local_t  l;

    *prefilled = 0;

    if (body->len > NCR_ANTHROPIC_LOCAL_BODY
        || (!ncr_anthropic_local_has(body,
                                     "\"" NCR_ANTHROPIC_LOCAL_WORD "\"")
            && !ncr_anthropic_local_has(body, NCR_ANTHROPIC_LOCAL_WRITE)
            && !ncr_anthropic_local_has(body, NCR_ANTHROPIC_LOCAL_ASK)))
    {
        return NCR_ANTHROPIC_LOCAL_NONE;
    }

    memset(&l, 0, sizeof(ncr_anthropic_local_t));

    ncr_json_init(&l.json);

    l.json.data = &l;
    l.json.token = ncr_anthropic_local_token;
    l.json.report = 5;
    l.json.max_depth = NCR_ANTHROPIC_LOCAL_DEPTH;

    if (ncr_json_feed(&l.json, body->data, body->len) != NCR_OK
        || ncr_json_final(&l.json) != NCR_OK)
    {
        return NCR_ANTHROPIC_LOCAL_NONE;
    }

    if (l.nmessages == 0 || !l.user
        || (l.nmessages == 2 && !(l.assistant && l.brace))
        || l.nmessages > 2)
    {
        return NCR_ANTHROPIC_LOCAL_NONE;
    }

    *prefilled = (l.nmessages == 2);

    if (l.topic && !l.tools) {
        return NCR_ANTHROPIC_LOCAL_TOPIC;
    }

    if (*prefilled) {
        return NCR_ANTHROPIC_LOCAL_NONE;
    }

    if (l.warmup && l.nblocks == 1) {
        return NCR_ANTHROPIC_LOCAL_WARMUP;
    }

    if (l.title && !l.tools) {
        return NCR_ANTHROPIC_LOCAL_TITLE;
    }

    return NCR_ANTHROPIC_LOCAL_NONE;
}


static ncr_uint_t
ncr_anthropic_local_has(ncr_str_t *s, const char *what)
{
    size_t       len;
    ncr_char_t  *p, *last;

    len = strlen(what);

    if (s->len < len) {
        return 0;
    }

    p = s->data;
    last = s->data + s->len - len + 1;

    while (p < last) {

        p = memchr(p, what[0], (size_t) (last - p));

        if (p == NULL) {
            return 0;
        }

        if (memcmp(p, what, len) == 0) {
            return 1;
        }

        p++;
    }

    return 0;
}


static ncr_int_t
ncr_anthropic_local_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_anthropic_local_t  *l;

    l = json->data;

    if (json->depth == 1 && token == NCR_JSON_KEY) {
        ncr_anthropic_local_top(l);
        return NCR_OK;
    }

    switch (l->top) {

    case NCR_ANTHROPIC_LOCAL_SYSTEM:
        ncr_anthropic_local_system(l, token);
        break;

    case NCR_ANTHROPIC_LOCAL_MESSAGES:

        if (json->depth <= 3) {
            ncr_anthropic_local_message(l, token);

        } else {
            ncr_anthropic_local_block(l, token);
        }

        break;

    case NCR_ANTHROPIC_LOCAL_TOOLS:

        if (json->depth == 2) {
            l->tools = 1;
        }

        break;

    case NCR_ANTHROPIC_LOCAL_OTHER:
        break;
    }

    return NCR_OK;
}


static void
ncr_anthropic_local_top(ncr_anthropic_local_t *l)
{
    ncr_str_t  *name;

    name = &l->json.text;

    if (ncr_str_eq(name, "messages")) {
        l->top = NCR_ANTHROPIC_LOCAL_MESSAGES;

    } else if (ncr_str_eq(name, "system")) {
        l->top = NCR_ANTHROPIC_LOCAL_SYSTEM;

    } else if (ncr_str_eq(name, "tools")) {
        l->top = NCR_ANTHROPIC_LOCAL_TOOLS;

    } else {
        l->top = NCR_ANTHROPIC_LOCAL_OTHER;
    }
}


/* a string, or an array of blocks */

static void
ncr_anthropic_local_system(ncr_anthropic_local_t *l, ncr_json_token_e token)
{
    if (l->json.depth == 3 && token == NCR_JSON_KEY) {
        l->text = ncr_str_eq(&l->json.text, "text");
        return;
    }

    if (token == NCR_JSON_STRING
        && (l->json.depth == 1 || (l->json.depth == 3 && l->text))
        && ncr_anthropic_local_has(&l->json.text, NCR_ANTHROPIC_LOCAL_ASK))
    {
        l->topic = 1;
    }
}


static void
ncr_anthropic_local_message(ncr_anthropic_local_t *l, ncr_json_token_e token)
{
    if (l->json.depth == 2 && token == NCR_JSON_OBJECT) {
        l->nmessages++;
        l->nblocks = (l->nmessages == 1) ? 0 : l->nblocks;
        l->role = 0;
        l->content = 0;
        return;
    }

    if (l->json.depth != 3) {
        return;
    }

    if (token == NCR_JSON_KEY) {
        l->role = ncr_str_eq(&l->json.text, "role");
        l->content = ncr_str_eq(&l->json.text, "content");
        return;
    }

    if (token != NCR_JSON_STRING) {
        return;
    }

    if (l->role && l->nmessages == 1) {
        l->user = ncr_str_eq(&l->json.text, "user");

    } else if (l->role && l->nmessages == 2) {
        l->assistant = ncr_str_eq(&l->json.text, "assistant");

    } else if (l->content) {
        l->nblocks += (l->nmessages == 1);
        ncr_anthropic_local_text(l);
    }
}


static void
ncr_anthropic_local_block(ncr_anthropic_local_t *l, ncr_json_token_e token)
{
    if (!l->content) {
        return;
    }

    if (l->json.depth == 4) {
        l->nblocks += (l->nmessages == 1 && token == NCR_JSON_OBJECT);
        l->text = 0;

    } else if (token == NCR_JSON_KEY) {
        l->text = ncr_str_eq(&l->json.text, "text");

    } else if (token == NCR_JSON_STRING && l->text) {
        ncr_anthropic_local_text(l);
    }
}


/* a text of a message */

static void
ncr_anthropic_local_text(ncr_anthropic_local_t *l)
{
    ncr_str_t  *text;

    text = &l->json.text;

    if (l->nmessages == 1) {

        if (ncr_str_eq(text, NCR_ANTHROPIC_LOCAL_WORD)) {
            l->warmup = 1;
        }

        if (ncr_str_prefix(text, NCR_ANTHROPIC_LOCAL_WRITE)) {
            l->title = 1;
        }

    } else if (l->nmessages == 2) {
        l->brace = (l->ntexts++ == 0 && ncr_str_eq(text, "{"));
    }
}


void
ncr_anthropic_local_answer(ncr_out_t *out, ncr_anthropic_local_e kind,
    ncr_uint_t prefilled, ncr_uint_t stream, ncr_str_t *id, ncr_str_t *model)
{
    ncr_str_t  text;

    static const char  usage[] = "{\"input_tokens\":0,"
                                 "\"cache_creation_input_tokens\":0,"
                                 "\"cache_read_input_tokens\":0,"
                                 "\"output_tokens\":0}";

    switch (kind) {

    case NCR_ANTHROPIC_LOCAL_TITLE:
        ncr_str_set(&text, "New conversation");
        break;

    case NCR_ANTHROPIC_LOCAL_TOPIC:

        /* what the client shows stays as it is */

        ncr_str_set(&text, "{\"isNewTopic\": false, \"title\": null}");

        if (prefilled) {
            text.data++;
            text.len--;
        }

        break;

    default:
        ncr_str_set(&text, "Ready.");
        break;
    }

    if (!stream) {
        ncr_anthropic_local_head(out, id, model);
        ncr_out_text(out, "[{\"type\":\"text\",\"text\":");
        ncr_out_json_string(out, &text);
        ncr_out_text(out, "}],\"stop_reason\":\"end_turn\","
                          "\"stop_sequence\":null,\"usage\":");
        ncr_out_text(out, usage);
        ncr_out_text(out, "}");
        return;
    }

    ncr_out_text(out, "event: message_start\n"
                      "data: {\"type\":\"message_start\",\"message\":");
    ncr_anthropic_local_head(out, id, model);
    ncr_out_text(out, "[],\"stop_reason\":null,\"stop_sequence\":null,"
                      "\"usage\":");
    ncr_out_text(out, usage);
    ncr_out_text(out, "}}\n\n"
                      "event: content_block_start\n"
                      "data: {\"type\":\"content_block_start\",\"index\":0,"
                      "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"
                      "\n\n"
                      "event: content_block_delta\n"
                      "data: {\"type\":\"content_block_delta\",\"index\":0,"
                      "\"delta\":{\"type\":\"text_delta\",\"text\":");
    ncr_out_json_string(out, &text);
    ncr_out_text(out, "}}\n\n"
                      "event: content_block_stop\n"
                      "data: {\"type\":\"content_block_stop\",\"index\":0}"
                      "\n\n"
                      "event: message_delta\n"
                      "data: {\"type\":\"message_delta\",\"delta\":"
                      "{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
                      "\"usage\":");
    ncr_out_text(out, usage);
    ncr_out_text(out, "}\n\n"
                      "event: message_stop\n"
                      "data: {\"type\":\"message_stop\"}\n\n");
}


/* a message up to the value of its content */

static void
ncr_anthropic_local_head(ncr_out_t *out, ncr_str_t *id, ncr_str_t *model)
{
    ncr_out_text(out, "{\"id\":\"msg_");
    ncr_out_json(out, id);
    ncr_out_text(out, "\",\"type\":\"message\",\"role\":\"assistant\","
                      "\"model\":");
    ncr_out_json_string(out, model);
    ncr_out_text(out, ",\"content\":");
}
