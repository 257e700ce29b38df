
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an attempt sends to ChatGPT's back end: its paths, the headers of a
 * client that it knows, and the constraints on bodies, made by slices
 * (others.md A10 to A12).  What the Codex CLI itself sends passes unchanged.
 */


#include "ncr_codex.h"
#include "ncr_openai.h"
#include "ncr_str.h"


/* in the order of ncr_platform_codex.c's table */

typedef enum {
    NCR_CODEX_CLIENT_VERSION = 0,
    NCR_CODEX_ORIGINATOR,
    NCR_CODEX_USER_AGENT
} ncr_codex_param_e;


/* what gets a 400 in A12, and what of it a compaction has no use for */

#define NCR_CODEX_STRIP                                                       \
    (ncr_openai_bit(NCR_OPENAI_MAX_OUTPUT_TOKENS)                             \
     | ncr_openai_bit(NCR_OPENAI_TEMPERATURE)                                 \
     | ncr_openai_bit(NCR_OPENAI_TOP_P)                                       \
     | ncr_openai_bit(NCR_OPENAI_USER)                                        \
     | ncr_openai_bit(NCR_OPENAI_TRUNCATION)                                  \
     | ncr_openai_bit(NCR_OPENAI_PREVIOUS_RESPONSE_ID)                        \
     | ncr_openai_bit(NCR_OPENAI_PROMPT_CACHE_RETENTION)                      \
     | ncr_openai_bit(NCR_OPENAI_SAFETY_IDENTIFIER)                           \
     | ncr_openai_bit(NCR_OPENAI_METADATA)                                    \
     | ncr_openai_bit(NCR_OPENAI_GENERATE))

#define NCR_CODEX_STRIP_COMPACT                                               \
    (NCR_CODEX_STRIP                                                          \
     | ncr_openai_bit(NCR_OPENAI_STREAM)                                      \
     | ncr_openai_bit(NCR_OPENAI_STREAM_OPTIONS)                              \
     | ncr_openai_bit(NCR_OPENAI_STORE)                                       \
     | ncr_openai_bit(NCR_OPENAI_INCLUDE)                                     \
     | ncr_openai_bit(NCR_OPENAI_TOOL_CHOICE))

/* an input of text is a list with one message (A4) */
#define NCR_CODEX_INPUT                                                       \
    "[{\"type\":\"message\",\"role\":\"user\",\"content\":"                   \
    "[{\"type\":\"input_text\",\"text\":"
#define NCR_CODEX_INPUT_END  "}]}]"

#define NCR_CODEX_DELIVERY   "\"reasoning_summary_delivery\""


static ncr_int_t ncr_codex_target(ncr_way_t *way);
static ncr_uint_t ncr_codex_caller(ncr_way_t *way);
static void ncr_codex_headers(ncr_way_t *way, ncr_uint_t caller);
static ncr_uint_t ncr_codex_agent(ncr_way_t *way);
static ncr_str_t ncr_codex_version(ncr_str_t *agent);
static ncr_uint_t ncr_codex_uuid(ncr_way_t *way, char *uuid);
static ncr_int_t ncr_codex_body(ncr_way_t *way, ncr_uint_t caller);
static ncr_int_t ncr_codex_values(ncr_way_t *way);
static ncr_int_t ncr_codex_options(ncr_way_t *way, uint64_t *strip);
static ncr_int_t ncr_codex_items(ncr_way_t *way, ncr_uint_t caller);
static void ncr_codex_add(ncr_way_t *way, ncr_uint_t caller,
    uint64_t strip);
static ncr_int_t ncr_codex_value(ncr_way_t *way, ncr_member_t *m,
    ncr_str_t *value);
static void ncr_codex_set(ncr_way_t *way, ncr_member_t *m,
    ncr_str_t *text);


static ncr_str_t  ncr_codex_true = ncr_string("true");
static ncr_str_t  ncr_codex_false = ncr_string("false");
static ncr_str_t  ncr_codex_empty = ncr_string("\"\"");


/* whose account it is, the relay tells (A10) */

#define NCR_CODEX_DROPPED                                                     \
    "chatgpt-account-id", "x-openai-fedramp", "openai-organization",          \
    "openai-project"

static const char *const  ncr_codex_drop[] = {
    NCR_CODEX_DROPPED, NULL
};

static const char *const  ncr_codex_drop_accept[] = {
    NCR_CODEX_DROPPED, "accept", NULL
};

/* of clients that this back end does not know, and shall take for another by
 * the word of the operator */

static const char *const  ncr_codex_drop_named[] = {
    NCR_CODEX_DROPPED, "accept", "user-agent", "originator", "version",
    "openai-beta", "http-referer", "x-title",
    "x-stainless-lang", "x-stainless-package-version", "x-stainless-os",
    "x-stainless-arch", "x-stainless-runtime", "x-stainless-runtime-version",
    "x-stainless-retry-count", "x-stainless-read-timeout",
    "x-stainless-timeout", "x-stainless-async", "x-stainless-helper-method",
    "x-stainless-poll-helper", "x-stainless-custom-poll-interval", NULL
};

static const char *const  ncr_codex_drop_other[] = {
    NCR_CODEX_DROPPED, "accept", "openai-beta", NULL
};


ncr_int_t
ncr_codex_way(ncr_way_t *way)
{
    ncr_uint_t  caller;

    if (ncr_codex_target(way) != NCR_OK) {
        return NCR_BAD;
    }

    caller = ncr_codex_caller(way);

    ncr_codex_headers(way, caller);

    if (way->members == NULL
        || (way->op != NCR_OP_RESPONSES && way->op != NCR_OP_COMPACT))
    {
        return NCR_OK;
    }

    return ncr_codex_body(way, caller);
}


static ncr_int_t
ncr_codex_target(ncr_way_t *way)
{
    ncr_str_t  root;

    switch (way->op) {

    case NCR_OP_RESPONSES:
    case NCR_OP_SOCKET:
        ncr_out_str(&way->target, &way->base);
        ncr_out_text(&way->target, "/responses");
        break;

    case NCR_OP_COMPACT:
        ncr_out_str(&way->target, &way->base);
        ncr_out_text(&way->target, "/responses/compact");
        break;

    default:

        /* its neighbours tell who the account's owner is */

        if (!ncr_str_eq(&way->path, "/wham/usage")) {
            way->status = 404;
            way->error = "there is no such path for clients";
            return NCR_BAD;
        }

        root = ncr_codex_root(&way->base);
        ncr_out_str(&way->target, &root);
        ncr_out_str(&way->target, &way->path);
        break;
    }

    if (way->args.len) {
        ncr_out_text(&way->target, "?");
        ncr_out_str(&way->target, &way->args);
    }

    return NCR_OK;
}


ncr_str_t
ncr_codex_root(ncr_str_t *base)
{
    size_t     n;
    ncr_str_t  root;

    root = *base;
    n = sizeof("/codex") - 1;

    if (root.len >= n && memcmp(root.data + root.len - n, "/codex", n) == 0) {
        root.len -= n;
    }

    return root;
}


/* "codex_exec/0.169.0 (...)", "codex-tui/...", "Codex Desktop/..." (A10) */

static ncr_uint_t
ncr_codex_caller(ncr_way_t *way)
{
    ncr_str_t    value;
    ncr_uint_t   i;

    static const char  *names[] = { "user-agent", "originator" };

    for (i = 0; i < 2; i++) {
        value = way->header(way, names[i]);
        value.len = ncr_min(value.len, sizeof("codex") - 1);

        if (ncr_str_caseeq(&value, "codex")) {
            return 1;
        }
    }

    return 0;
}


static void
ncr_codex_headers(ncr_way_t *way, ncr_uint_t caller)
{
    char        uuid[37];
    ncr_str_t   accept, agent, version, session;
    ncr_uint_t  events;

    accept = way->header(way, "accept");

    events = (way->op != NCR_OP_RESPONSES
              || ncr_str_contains(&accept, "text/event-stream"));

    if (!events) {
        ncr_out_text(&way->lines, "Accept: text/event-stream\r\n");
    }

    if (caller) {
        way->drop = events ? ncr_codex_drop : ncr_codex_drop_accept;

        /* which models there are depends on it (A12) */

        version = way->header(way, "version");

        if (version.len == 0) {
            agent = way->header(way, "user-agent");
            version = ncr_codex_version(&agent);

            ncr_way_line(&way->lines, "version", version.len
                         ? &version : &way->params[NCR_CODEX_CLIENT_VERSION]);
        }

        return;
    }

    way->drop = ncr_codex_agent(way) ? ncr_codex_drop_named
                                     : ncr_codex_drop_other;

    if (events && way->op == NCR_OP_RESPONSES) {
        ncr_out_text(&way->lines, "Accept: text/event-stream\r\n");
    }

    ncr_way_line(&way->lines, "originator",
                 &way->params[NCR_CODEX_ORIGINATOR]);
    ncr_way_line(&way->lines, "version",
                 &way->params[NCR_CODEX_CLIENT_VERSION]);

    if (way->op == NCR_OP_SOCKET) {
        ncr_out_text(&way->lines,
                     "OpenAI-Beta: responses_websockets=2026-02-06\r\n");
    }

    /* caches of prompts are found by it (A12) */

    if (way->header(way, "session_id").len == 0
        && way->header(way, "session-id").len == 0
        && ncr_codex_uuid(way, uuid))
    {
        session.data = (ncr_char_t *) uuid;
        session.len = 36;

        ncr_way_line(&way->lines, "session_id", &session);
    }
}


/*
 * A10: {originator}/{version} ({os} {os_version}; {arch}) {terminal}, if the
 * operator has written who that is.  0: the client says who it is itself.
 */

static ncr_uint_t
ncr_codex_agent(ncr_way_t *way)
{
    if (way->params[NCR_CODEX_USER_AGENT].len) {
        ncr_way_line(&way->lines, "User-Agent",
                     &way->params[NCR_CODEX_USER_AGENT]);
        return 1;
    }

    if (way->params[NCR_CODEX_ORIGINATOR].len == 0
        || way->params[NCR_CODEX_CLIENT_VERSION].len == 0)
    {
        return 0;
    }

    ncr_out_text(&way->lines, "User-Agent: ");
    ncr_out_str(&way->lines, &way->params[NCR_CODEX_ORIGINATOR]);
    ncr_out_text(&way->lines, "/");
    ncr_out_str(&way->lines, &way->params[NCR_CODEX_CLIENT_VERSION]);
    ncr_out_text(&way->lines, " (Linux; x86_64) unknown\r\n");

    return 1;
}


/* "0.169.0" of "codex_exec/0.169.0 (...)" */

static ncr_str_t
ncr_codex_version(ncr_str_t *agent)
{
    size_t     i;
    ncr_str_t  version;

    ncr_str_set(&version, "");

    for (i = 0; i < agent->len && agent->data[i] != '/'; i++) { /* void */ }

    if (i == agent->len) {
        return version;
    }

    version.data = agent->data + i + 1;

    for (i++; i < agent->len && agent->data[i] > ' '; i++) {
        version.len++;
    }

    if (version.len == 0 || version.data[0] < '0' || version.data[0] > '9') {
        version.len = 0;
    }

    return version;
}


/* the session as the client that this back end knows writes one */

static ncr_uint_t
ncr_codex_uuid(ncr_way_t *way, char *uuid)
{
    size_t       i;
    const char  *form;

    form = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";

    if (way->session.len == 0) {
        return 0;
    }

    for (i = 0; form[i]; i++) {
        uuid[i] = (form[i] == 'x')
                  ? (char) way->session.data[i % way->session.len]
                  : form[i];
    }

    uuid[i] = '\0';

    return 1;
}


static ncr_int_t
ncr_codex_body(ncr_way_t *way, ncr_uint_t caller)
{
    uint64_t   strip;
    ncr_int_t  rc;

    strip = (way->op == NCR_OP_COMPACT) ? NCR_CODEX_STRIP_COMPACT
                                        : NCR_CODEX_STRIP;

    if (way->op == NCR_OP_RESPONSES) {

        rc = ncr_codex_values(way);

        if (rc == NCR_OK) {
            rc = ncr_codex_options(way, &strip);
        }

        if (rc != NCR_OK) {
            return rc;
        }
    }

    rc = ncr_codex_items(way, caller);

    if (rc != NCR_OK) {
        return rc;
    }

    way->nedits += ncr_members_remove(way->members, strip,
                                      &way->edits[way->nedits]);

    if (way->op == NCR_OP_RESPONSES) {
        ncr_codex_add(way, caller, strip);
    }

    return NCR_OK;
}


/* stream must be true, store false, instructions a string */

static ncr_int_t
ncr_codex_values(ncr_way_t *way)
{
    ncr_str_t      value;
    ncr_member_t  *m;

    m = ncr_members_find(way->members, NCR_OPENAI_STREAM);

    if (m && !way->stream) {
        ncr_codex_set(way, m, &ncr_codex_true);
    }

    m = ncr_members_find(way->members, NCR_OPENAI_STORE);

    /* which of the five bytes it has but "false", this back end will say */

    if (m && m->end - m->start != sizeof("false") - 1) {
        ncr_codex_set(way, m, &ncr_codex_false);
    }

    m = ncr_members_find(way->members, NCR_OPENAI_INSTRUCTIONS);

    if (m == NULL || m->end - m->start != sizeof("null") - 1) {
        return NCR_OK;
    }

    if (ncr_codex_value(way, m, &value) != NCR_OK) {
        return NCR_ERROR;
    }

    if (ncr_str_eq(&value, "null")) {
        ncr_codex_set(way, m, &ncr_codex_empty);
    }

    return NCR_OK;
}


/* of them this back end knows reasoning_summary_delivery alone */

static ncr_int_t
ncr_codex_options(ncr_way_t *way, uint64_t *strip)
{
    size_t         n;
    ncr_str_t      value, rest;
    ncr_char_t    *p, *last;
    ncr_member_t  *m;

    m = ncr_members_find(way->members, NCR_OPENAI_STREAM_OPTIONS);

    if (m == NULL) {
        return NCR_OK;
    }

    if (ncr_codex_value(way, m, &value) != NCR_OK) {
        return NCR_ERROR;
    }

    n = sizeof(NCR_CODEX_DELIVERY) - 1;
    last = value.data + value.len;

    for (p = value.data; (size_t) (last - p) > n; p++) {

        if (memcmp(p, NCR_CODEX_DELIVERY, n) != 0) {
            continue;
        }

        p += n;

        while (p < last && (*p == ' ' || *p == ':')) {
            p++;
        }

        if (p == last || *p != '"') {
            break;
        }

        rest.data = p++;

        while (p < last && *p != '"' && *p != '\\') {
            p++;
        }

        if (p == last || *p != '"') {
            break;
        }

        rest.len = (size_t) (p + 1 - rest.data);

        /* it is alone already */

        if (memchr(value.data, ',', value.len) == NULL) {
            return NCR_OK;
        }

        value.data = way->text.last;
        ncr_out_text(&way->text, "{" NCR_CODEX_DELIVERY ":");
        ncr_out_str(&way->text, &rest);
        ncr_out_text(&way->text, "}");
        value.len = (size_t) (way->text.last - value.data);

        ncr_members_set(m, &value, &way->edits[way->nedits++]);

        return NCR_OK;
    }

    *strip |= ncr_openai_bit(NCR_OPENAI_STREAM_OPTIONS);

    return NCR_OK;
}


/*
 * The client that this back end knows has its items from there: they are
 * looked at only where another account has made some of them.
 */

static ncr_int_t
ncr_codex_items(ncr_way_t *way, ncr_uint_t caller)
{
    size_t         len;
    ncr_str_t      value, text;
    ncr_uint_t     bare;
    ncr_char_t    *buf;
    ncr_member_t  *m;

    bare = (way->bare || way->moved);

    m = ncr_members_find(way->members, NCR_OPENAI_INPUT);

    if (m == NULL || (caller && !bare)) {
        return NCR_OK;
    }

    if (ncr_codex_value(way, m, &value) != NCR_OK) {
        return NCR_ERROR;
    }

    if (value.len && value.data[0] == '"') {
        len = value.len + sizeof(NCR_CODEX_INPUT NCR_CODEX_INPUT_END) - 1;

        buf = way->alloc(way, len);
        if (buf == NULL) {
            return NCR_ERROR;
        }

        text.data = buf;
        text.len = len;

        memcpy(buf, NCR_CODEX_INPUT, sizeof(NCR_CODEX_INPUT) - 1);
        buf += sizeof(NCR_CODEX_INPUT) - 1;
        memcpy(buf, value.data, value.len);
        memcpy(buf + value.len, NCR_CODEX_INPUT_END,
               sizeof(NCR_CODEX_INPUT_END) - 1);

        ncr_members_set(m, &text, &way->edits[way->nedits++]);

        return NCR_OK;
    }

    if (value.len == 0 || value.data[0] != '[') {
        return NCR_OK;
    }

    buf = way->alloc(way, value.len);
    if (buf == NULL) {
        return NCR_ERROR;
    }

    if (ncr_codex_input(&value, bare, !caller, buf, &len) != NCR_OK) {
        return NCR_OK;
    }

    text.data = buf;
    text.len = len;

    ncr_members_set(m, &text, &way->edits[way->nedits++]);

    return NCR_OK;
}


static void
ncr_codex_add(ncr_way_t *way, ncr_uint_t caller, uint64_t strip)
{
    char       uuid[37];
    ncr_str_t  text;

    text.data = way->text.last;

    if (!ncr_members_find(way->members, NCR_OPENAI_STREAM)) {
        ncr_out_text(&way->text, ",\"stream\":true");
    }

    if (!ncr_members_find(way->members, NCR_OPENAI_STORE)) {
        ncr_out_text(&way->text, ",\"store\":false");
    }

    /* the official client leaves out what is empty, and is heard (A11) */

    if (!caller
        && !ncr_members_find(way->members, NCR_OPENAI_INSTRUCTIONS))
    {
        ncr_out_text(&way->text, ",\"instructions\":\"\"");
    }

    if (!caller
        && !ncr_members_find(way->members, NCR_OPENAI_PROMPT_CACHE_KEY)
        && ncr_codex_uuid(way, uuid))
    {
        ncr_out_text(&way->text, ",\"prompt_cache_key\":\"");
        ncr_out_text(&way->text, uuid);
        ncr_out_text(&way->text, "\"");
    }

    if (way->text.last == text.data) {
        return;
    }

    text.data++;
    text.len = (size_t) (way->text.last - text.data);

    way->nedits += ncr_members_add(way->members, strip, &text,
                                   &way->edits[way->nedits]);
}


static ncr_int_t
ncr_codex_value(ncr_way_t *way, ncr_member_t *m, ncr_str_t *value)
{
    ncr_str_t  body;

    body = way->body(way);

    if (body.data == NULL || m->end > body.len || m->start > m->end) {
        return NCR_ERROR;
    }

    value->data = body.data + m->start;
    value->len = (size_t) (m->end - m->start);

    return NCR_OK;
}


static void
ncr_codex_set(ncr_way_t *way, ncr_member_t *m, ncr_str_t *text)
{
    ncr_members_set(m, text, &way->edits[way->nedits++]);
}
