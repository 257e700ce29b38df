
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What Droid's API is sent (anthropic.md J): its own paths and headers, and a
 * body without what it refuses.
 */


#include "ncr_droid.h"
#include "ncr_platform.h"
#include "ncr_anthropic.h"
#include "ncr_openai.h"
#include "ncr_str.h"


/* J.4; sent only if the account says so */

#define NCR_DROID_SENTENCE                                                    \
    "You are Droid, an AI software engineering agent built by Factory."

#define NCR_DROID_BLOCK                                                       \
    "{\"type\":\"text\",\"text\":\"" NCR_DROID_SENTENCE "\"}"

#define NCR_DROID_THINKING  "interleaved-thinking-2025-05-14"


typedef struct {
    const char   *family;               /* in the model's name */
    ncr_str_t     provider;
} ncr_droid_provider_t;


static void ncr_droid_headers(ncr_way_t *way);
static void ncr_droid_session(ncr_way_t *way);
static ncr_str_t ncr_droid_provider(ncr_way_t *way);
static void ncr_droid_anthropic(ncr_way_t *way);
static void ncr_droid_system(ncr_way_t *way);
static void ncr_droid_instructions(ncr_way_t *way);
static ncr_uint_t ncr_droid_said(ncr_str_t *body, ncr_member_t *member);
static ncr_uint_t ncr_droid_blank(ncr_str_t *body, uint64_t start,
    uint64_t end);


/* the client's, in whose place are others; the rest goes on */

static const char *const  ncr_droid_dropped[] = { "user-agent", NULL };


/* J.3, "inferred from the model"; the first that matches */

static const ncr_droid_provider_t  ncr_droid_providers[] = {
    { "claude", ncr_string("anthropic") },
    { "gemini", ncr_string("google") },
    { "glm", ncr_string("fireworks") },
    { "gpt", ncr_string("azure_openai") },
    { NULL, ncr_string("baseten") }
};


ncr_int_t
ncr_droid_way(ncr_way_t *way)
{
    ncr_str_t  agent;

    if (!ncr_str_eq(&way->method, "POST")) {
        way->status = 405;
        way->error = "this platform takes requests with a body only";
        return NCR_BAD;
    }

    ncr_out_str(&way->target, &way->base);

    switch (way->op) {

    case NCR_OP_MESSAGES:
        ncr_out_text(&way->target, "/api/llm/a/v1/messages");
        ncr_droid_anthropic(way);
        break;

    case NCR_OP_RESPONSES:
        ncr_out_text(&way->target, "/api/llm/o/v1/responses");

        if (way->members && ncr_str_eq(&way->params[NCR_DROID_SYSTEM], "on")) {
            ncr_droid_instructions(way);
        }

        break;

    default: /* NCR_OP_CHAT */
        ncr_out_text(&way->target, "/api/llm/o/v1/chat/completions");
        break;
    }

    /* Droid itself is let say who it is */

    agent = way->header(way, "user-agent");

    if (way->params[NCR_DROID_USER_AGENT].len
        && !ncr_str_prefix(&agent, "factory-cli/"))
    {
        way->drop = ncr_droid_dropped;
        ncr_way_line(&way->lines, "user-agent",
                     &way->params[NCR_DROID_USER_AGENT]);
    }

    ncr_droid_headers(way);

    return NCR_OK;
}


static void
ncr_droid_headers(ncr_way_t *way)
{
    ncr_str_t  value;

    value = way->header(way, "x-factory-client");

    if (value.len == 0) {
        ncr_way_line(&way->lines, "x-factory-client",
                     &way->params[NCR_DROID_CLIENT]);
    }

    value = way->header(way, "x-api-provider");

    if (value.len == 0) {
        value = way->params[NCR_DROID_PROVIDER];

        if (value.len == 0) {
            value = ncr_droid_provider(way);
        }

        ncr_way_line(&way->lines, "x-api-provider", &value);
    }

    value = way->header(way, "x-session-id");

    if (value.len == 0) {
        ncr_droid_session(way);
    }
}


/* a UUID: the same in all of a session, if there is one */

static void
ncr_droid_session(ncr_way_t *way)
{
    ncr_char_t  id[32];
    ncr_uint_t  i;

    static const char  digits[] = "0123456789abcdef";

    if (way->session.len) {

        /* a hash, shorter than this is long */

        for (i = 0; i < 32; i++) {
            id[i] = way->session.data[i % way->session.len];
        }

    } else {
        for (i = 0; i < 16; i++) {
            id[2 * i] = (ncr_char_t) digits[way->random[i] >> 4];
            id[2 * i + 1] = (ncr_char_t) digits[way->random[i] & 15];
        }
    }

    /* version 4 (RFC 9562) */

    id[12] = '4';
    id[16] = 'a';

    ncr_out_text(&way->lines, "x-session-id: ");

    for (i = 0; i < 32; i++) {

        if (i == 8 || i == 12 || i == 16 || i == 20) {
            ncr_out_text(&way->lines, "-");
        }

        ncr_out_bytes(&way->lines, &id[i], 1);
    }

    ncr_out_text(&way->lines, "\r\n");
}


static ncr_str_t
ncr_droid_provider(ncr_way_t *way)
{
    ncr_str_t                    provider;
    const ncr_droid_provider_t  *p;

    if (way->op == NCR_OP_MESSAGES) {
        ncr_str_set(&provider, "anthropic");
        return provider;
    }

    if (way->op == NCR_OP_RESPONSES) {

        if (ncr_str_contains(&way->model, "-max")) {
            ncr_str_set(&provider, "openai");

        } else {
            ncr_str_set(&provider, "azure_openai");
        }

        return provider;
    }

    for (p = ncr_droid_providers; p->family; p++) {
        if (ncr_str_contains(&way->model, p->family)) {
            break;
        }
    }

    return p->provider;
}


static void
ncr_droid_anthropic(ncr_way_t *way)
{
    uint64_t    mask;
    ncr_str_t   value, beta;

    value = way->header(way, "anthropic-version");

    if (value.len == 0) {
        ncr_out_text(&way->lines, "anthropic-version: 2023-06-01\r\n");
    }

    ncr_out_text(&way->lines, "x-api-key: placeholder\r\n");

    if (way->members == NULL) {
        return;
    }

    value = way->header(way, "anthropic-beta");
    ncr_str_set(&beta, NCR_DROID_THINKING);

    if (ncr_members_find(way->members, NCR_ANTHROPIC_M_THINKING)
        && !ncr_beta_has(&value, &beta))
    {
        /* a second header is one list with the first (RFC 9110, 5.2) */

        ncr_way_line(&way->lines, "anthropic-beta", &beta);
    }

    mask = (uint64_t) 1 << NCR_ANTHROPIC_METADATA;

    if (ncr_members_find(way->members, NCR_ANTHROPIC_M_TEMPERATURE)) {
        mask |= (uint64_t) 1 << NCR_ANTHROPIC_M_TOP_P;
    }

    if (ncr_str_eq(&way->params[NCR_DROID_SYSTEM], "on")) {
        ncr_droid_system(way);
    }

    way->nedits += ncr_members_remove(way->members, mask,
                                      way->edits + way->nedits);
}


/* the sentence in front of system, which may be there already */

static void
ncr_droid_system(ncr_way_t *way)
{
    ncr_str_t                body, block;
    ncr_member_t            *member;
    ncr_anthropic_system_t   system;

    body = way->body(way);

    memset(&system, 0, sizeof(ncr_anthropic_system_t));

    system.open = way->members->open;
    system.alone = (way->members->n == 0);

    member = ncr_members_find(way->members, NCR_ANTHROPIC_SYSTEM);

    if (member) {

        if (member->start >= member->end || member->end > body.len) {
            return;
        }

        system.start = member->start;
        system.end = member->end;

        switch (body.data[member->start]) {

        case '"':
            system.kind = NCR_ANTHROPIC_SYSTEM_STRING;
            break;

        case '[':
            system.kind = NCR_ANTHROPIC_SYSTEM_ARRAY;
            break;

        case 'n':
            system.kind = NCR_ANTHROPIC_SYSTEM_NULL;
            break;

        default:
            return;
        }

        system.empty = ncr_droid_blank(&body, member->start + 1,
                                       member->end - 1);

        system.leads = ncr_droid_said(&body, member);
    }

    ncr_str_set(&block, NCR_DROID_BLOCK);

    way->nedits += ncr_anthropic_lead(&system, &block,
                                      way->edits + way->nedits);
}


/* the same of a response: a text, in front of the client's */

static void
ncr_droid_instructions(ncr_way_t *way)
{
    ncr_str_t      body, text;
    ncr_edit_t    *edit;
    ncr_member_t  *member;

    body = way->body(way);
    edit = &way->edits[way->nedits];

    member = ncr_members_find(way->members, NCR_OPENAI_INSTRUCTIONS);

    if (member == NULL) {
        ncr_str_set(&text, "\"instructions\":\"" NCR_DROID_SENTENCE "\"");
        way->nedits += ncr_members_add(way->members, 0, &text, edit);
        return;
    }

    if (member->start >= member->end || member->end > body.len
        || ncr_droid_said(&body, member))
    {
        return;
    }

    switch (body.data[member->start]) {

    case '"':
        edit->offset = member->start + 1;
        edit->remove = 0;
        ncr_str_set(&edit->insert, NCR_DROID_SENTENCE "\\n\\n");
        break;

    case 'n':
        ncr_str_set(&text, "\"" NCR_DROID_SENTENCE "\"");
        ncr_members_set(member, &text, edit);
        break;

    default:
        return;
    }

    way->nedits++;
}


/* the sentence is in it */

static ncr_uint_t
ncr_droid_said(ncr_str_t *body, ncr_member_t *member)
{
    ncr_str_t  s;

    s.data = body->data + member->start;
    s.len = (size_t) (member->end - member->start);

    return ncr_str_contains(&s, "you are droid, an ai software engineering "
                            "agent built by factory.");
}


static ncr_uint_t
ncr_droid_blank(ncr_str_t *body, uint64_t start, uint64_t end)
{
    ncr_char_t  c;

    for ( /* void */ ; start < end; start++) {
        c = body->data[start];

        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            return 0;
        }
    }

    return 1;
}
