
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The request body: anthropic.md B.9, G.1.  What is checked here is only
 * what the relay itself acts on; everything else is the upstream's to judge.
 */


#include "ncr_anthropic.h"
#include "ncr_json_plain.h"
#include "ncr_anthropic_turn.h"
#include "ncr_anthropic_member.h"
#include "ncr_str.h"


#define NCR_ANTHROPIC_DEPTH      256

/* each of system and the first message has its share */
#define NCR_ANTHROPIC_HASH_PART  (NCR_ANTHROPIC_HASHED / 2)

#define NCR_ANTHROPIC_OLD        "_session_"

/* what Claude Code's first block of system begins with (B.3, B.7) */
#define NCR_ANTHROPIC_BILLING    "x-anthropic-billing-header:"


/* the lower the better; row 6 lies between, by its key */

typedef enum {
    NCR_ANTHROPIC_RANK_JSON = 0,
    NCR_ANTHROPIC_RANK_OLD,
    NCR_ANTHROPIC_RANK_WHOLE = 100,
    NCR_ANTHROPIC_RANK_NONE
} ncr_anthropic_rank_e;


/* what of the body is being hashed */

typedef enum {
    NCR_ANTHROPIC_PART_NONE = 0,
    NCR_ANTHROPIC_PART_SYSTEM,
    NCR_ANTHROPIC_PART_MESSAGE
} ncr_anthropic_part_e;


static ncr_int_t ncr_anthropic_request_token(ncr_json_t *json,
    ncr_json_token_e token);
static ncr_int_t ncr_anthropic_request_key(ncr_anthropic_request_t *req);
static ncr_int_t ncr_anthropic_request_value(ncr_anthropic_request_t *req,
    ncr_json_token_e token);
static ncr_int_t ncr_anthropic_request_number(ncr_anthropic_request_t *req);
static void ncr_anthropic_request_member(ncr_anthropic_request_t *req,
    ncr_json_token_e token);
static void ncr_anthropic_request_system(ncr_anthropic_request_t *req,
    ncr_json_token_e token);
static NCR_NOINLINE void ncr_anthropic_request_block(
    ncr_anthropic_request_t *req, ncr_json_token_e token);
static void ncr_anthropic_request_leads(ncr_anthropic_request_t *req);
static void ncr_anthropic_request_user_id(ncr_anthropic_request_t *req);
static ncr_int_t ncr_anthropic_request_inner(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_anthropic_request_session(ncr_anthropic_request_t *req,
    ncr_uint_t rank, ncr_str_t *session);
static NCR_NOINLINE void ncr_anthropic_request_hash(
    ncr_anthropic_request_t *req, ncr_json_token_e token);
static void ncr_anthropic_request_hash_key(ncr_anthropic_request_t *req);
static ncr_uint_t ncr_anthropic_request_opens(ncr_anthropic_request_t *req,
    ncr_json_token_e token);
static void ncr_anthropic_request_block_end(ncr_anthropic_request_t *req);
static void ncr_anthropic_request_part_end(ncr_anthropic_request_t *req);


void
ncr_anthropic_request_init(ncr_anthropic_request_t *req, ncr_sha256_t *plain,
    ncr_sha256_t *cached, ncr_uint_t require_model)
{
    memset(req, 0, offsetof(ncr_anthropic_request_t, keys));

    ncr_json_begin(&req->json, req, ncr_anthropic_request_token, 1,
                   req->keep, sizeof(req->keep));

    req->json.max_depth = NCR_ANTHROPIC_DEPTH;

    ncr_request_init(&req->told, &req->members, &req->keys);

    req->prefix.sha = plain;
    req->prefix.max = NCR_ANTHROPIC_HASH_PART;
    req->cached = cached;
    req->require_model = (require_model != 0);
    req->session_rank = NCR_ANTHROPIC_RANK_NONE;
}


ncr_int_t
ncr_anthropic_request_feed(ncr_anthropic_request_t *req, ncr_char_t *p,
    size_t len)
{
    return ncr_request_feed(&req->json, &req->prefix, p, len);
}


ncr_int_t
ncr_anthropic_request_final(ncr_anthropic_request_t *req)
{
    if (ncr_json_final(&req->json) != NCR_OK) {
        return NCR_BAD;
    }

    if (req->require_model && req->told.model.len == 0) {
        return ncr_request_bad(&req->told, "model: field required");
    }

    if (req->told.session.len == 0 && req->prefix.sha != NULL
        && (req->has_system || req->has_message))
    {
        ncr_prefix_digest(&req->prefix, &req->told,
                          req->any_cached ? req->cached_digest
                          : req->has_system ? req->system_digest : NULL,
                          req->has_message ? req->message_digest : NULL);
    }

    return NCR_OK;
}


ncr_str_t
ncr_anthropic_request_error(ncr_anthropic_request_t *req, char *buf,
    size_t size)
{
    return ncr_request_error(&req->told, &req->json, &req->keys, buf, size);
}


static ncr_int_t
ncr_anthropic_request_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_anthropic_request_t  *req;

    req = json->data;

    if (req->part != NCR_ANTHROPIC_PART_NONE) {
        ncr_anthropic_request_hash(req, token);
    }

    if (json->depth == 0) {

        if (token == NCR_JSON_OBJECT) {
            req->system.open = json->end;
            req->config.open = json->end;
            req->members.open = json->end;

        } else if (token == NCR_JSON_OBJECT_END) {
            req->system.alone = (req->members.n == 0);
            req->config.alone = req->system.alone;
            req->members.close = json->start;

        } else {
            return ncr_request_bad(&req->told,
                                   "request body must be an object");
        }

        return NCR_OK;
    }

    if (json->depth == 1) {

        if (token == NCR_JSON_KEY) {
            return ncr_anthropic_request_key(req);
        }

        return ncr_anthropic_request_value(req, token);
    }

    if (req->told.turns && req->top == NCR_ANTHROPIC_MESSAGES) {
        ncr_anthropic_turn(req, token);
    }

    if (req->top == NCR_ANTHROPIC_SYSTEM) {
        ncr_anthropic_request_block(req, token);

    } else if (json->depth == 2) {
        ncr_anthropic_request_member(req, token);
    }

    return NCR_OK;
}


/* a top-level key */

static ncr_int_t
ncr_anthropic_request_key(ncr_anthropic_request_t *req)
{
    ncr_str_t   name;
    ncr_char_t  buf[NCR_JSON_TEXT];

    name.data = buf;

    if (ncr_request_key(&req->told, &req->json, &req->keys, &name) != NCR_OK) {
        return NCR_BAD;
    }

    req->top = ncr_anthropic_member(&name);
    req->inner = 0;

    if (ncr_request_member(&req->told, &req->json, &req->keys, &name, req->top)
        != NCR_OK)
    {
        return NCR_BAD;
    }

    if (req->prefix.sha != NULL && req->top == NCR_ANTHROPIC_SYSTEM) {
        req->part = NCR_ANTHROPIC_PART_SYSTEM;

        ncr_prefix_part(&req->prefix);
        ncr_anthropic_request_hash_key(req);
    }

    return NCR_OK;
}


/* the value of a top-level key, or the end of one that is a container */

static ncr_int_t
ncr_anthropic_request_value(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    ncr_members_span(&req->members, &req->json, token);

    if (token == NCR_JSON_OBJECT_END || token == NCR_JSON_ARRAY_END) {

        if (req->top == NCR_ANTHROPIC_SYSTEM) {
            req->system.end = req->json.end;

        } else if (req->top == NCR_ANTHROPIC_CONFIG) {
            ncr_anthropic_config(req, token);
        }

        req->json.report = 1;
        return NCR_OK;
    }

    if (token == NCR_JSON_NUMBER
        && ncr_anthropic_request_number(req) != NCR_OK)
    {
        return NCR_BAD;
    }

    switch (req->top) {

    case NCR_ANTHROPIC_MODEL:
        return ncr_request_model(&req->told, &req->json, token,
                                 req->model_buf, req->require_model);

    case NCR_ANTHROPIC_STREAM:
        if (token != NCR_JSON_TRUE && token != NCR_JSON_FALSE) {
            return ncr_request_bad(&req->told, "stream must be a boolean");
        }

        req->told.stream = (token == NCR_JSON_TRUE);
        break;

    case NCR_ANTHROPIC_METADATA:
    case NCR_ANTHROPIC_THREAD:
    case NCR_ANTHROPIC_CONVERSATION:
        if (token == NCR_JSON_OBJECT) {
            req->json.report = 2;
            req->told.thread |= (req->top == NCR_ANTHROPIC_THREAD);
            break;
        }

        if (req->top != NCR_ANTHROPIC_CONVERSATION) {
            break;
        }

        /* fall through */

    case NCR_ANTHROPIC_SESSION_ID:
    case NCR_ANTHROPIC_SESSIONID:
    case NCR_ANTHROPIC_PROMPT_CACHE_KEY:
    case NCR_ANTHROPIC_CONVERSATION_ID:
        if (token == NCR_JSON_STRING) {
            s.data = buf;

            if (ncr_json_plain(&req->json, &s) != NCR_BAD) {
                ncr_anthropic_request_session(req, req->top, &s);
            }
        }

        break;

    case NCR_ANTHROPIC_SYSTEM:
        ncr_anthropic_request_system(req, token);
        break;

    case NCR_ANTHROPIC_MESSAGES:
        if (token == NCR_JSON_ARRAY
            && (req->prefix.sha != NULL || req->told.turns))
        {
            req->json.report = req->told.turns ? 5 : 2;
        }

        break;

    case NCR_ANTHROPIC_CONFIG:
        ncr_anthropic_config(req, token);
        break;

    default: /* others, max_tokens is a number */
        break;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_anthropic_request_number(ncr_anthropic_request_t *req)
{
    int64_t    n;
    ncr_int_t  rc;

    rc = ncr_request_number(&req->json, &n);

    if (rc == NCR_BAD) {
        return ncr_request_bad(&req->told, "number of % is out of range");
    }

    /* what is no integer is the upstream's to refuse */

    if (req->top == NCR_ANTHROPIC_MAX_TOKENS && rc == NCR_OK) {
        req->told.max_tokens = n;
    }

    return NCR_OK;
}


/* of metadata, conversation, output_config, or an element of messages */

static void
ncr_anthropic_request_member(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_str_t    s;
    ncr_char_t   buf[NCR_JSON_TEXT];
    const char  *name;

    switch (req->top) {

    case NCR_ANTHROPIC_METADATA:
    case NCR_ANTHROPIC_THREAD:
    case NCR_ANTHROPIC_CONVERSATION:

        if (token == NCR_JSON_KEY) {
            name = (req->top == NCR_ANTHROPIC_METADATA) ? "user_id"
                   : (req->top == NCR_ANTHROPIC_THREAD) ? "previous_message_id"
                   : "id";
            s.data = buf;

            req->inner = (ncr_json_plain(&req->json, &s) == NCR_OK
                          && ncr_str_eq(&s, name));

        } else if (token == NCR_JSON_STRING && req->inner) {

            if (req->top == NCR_ANTHROPIC_METADATA) {
                ncr_anthropic_request_user_id(req);
                break;
            }

            s.data = buf;

            if (ncr_json_plain(&req->json, &s) == NCR_BAD) {
                break;
            }

            if (req->top == NCR_ANTHROPIC_THREAD) {
                ncr_str_copy(req->told.previous, sizeof(req->told.previous),
                             &s);

            } else {
                ncr_anthropic_request_session(req, req->top, &s);
            }
        }

        break;

    case NCR_ANTHROPIC_MESSAGES:

        if (req->first_done || req->prefix.sha == NULL
            || token == NCR_JSON_OBJECT_END)
        {
            break;
        }

        /*
         * The first element, whatever its role: that may be told after the
         * content, and no conversation starts with anybody but the user.
         */

        req->first_done = 1;
        req->json.report = req->told.turns ? 5 : 1;

        if (token == NCR_JSON_OBJECT) {
            req->part = NCR_ANTHROPIC_PART_MESSAGE;
            req->json.report = 5;

            ncr_prefix_part(&req->prefix);
        }

        break;

    case NCR_ANTHROPIC_CONFIG:
        ncr_anthropic_config_member(req, token);
        break;

    default:
        break;
    }
}


static void
ncr_anthropic_request_system(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    req->system.start = req->json.start;
    req->system.end = req->json.end;

    switch (token) {

    case NCR_JSON_STRING:
        req->system.kind = NCR_ANTHROPIC_SYSTEM_STRING;
        req->system.empty = (req->json.end - req->json.start == 2);

        if (req->leading != NULL) {
            ncr_anthropic_request_leads(req);
        }

        break;

    case NCR_JSON_ARRAY:
        req->system.kind = NCR_ANTHROPIC_SYSTEM_ARRAY;
        req->system.empty = 1;

        if (req->part || req->leading) {
            req->json.report = 3;
        }

        break;

    case NCR_JSON_NULL:
        req->system.kind = NCR_ANTHROPIC_SYSTEM_NULL;
        break;

    default:
        req->system.kind = NCR_ANTHROPIC_SYSTEM_OTHER;
    }
}


/* an element of system, or a member of one */

static void
ncr_anthropic_request_block(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    if (req->json.depth == 2) {

        if (token != NCR_JSON_OBJECT_END && token != NCR_JSON_ARRAY_END) {
            req->system.empty = 0;
            req->inner = 0;
            req->nblocks++;
        }

        if (token == NCR_JSON_OBJECT || token == NCR_JSON_ARRAY) {
            return;
        }

        if (req->nblocks == 1) {
            req->system.after = req->json.end;
        }

        /* nothing that comes later is of interest */

        if (req->nblocks == 2 && req->part == NCR_ANTHROPIC_PART_NONE) {
            req->json.report = 1;
        }

        return;
    }

    if (req->leading == NULL || req->nblocks > 2) {
        return;
    }

    if (token == NCR_JSON_KEY) {
        s.data = buf;

        req->inner = (ncr_json_plain(&req->json, &s) == NCR_OK
                      && ncr_str_eq(&s, "text"));

    } else if (token == NCR_JSON_STRING && req->inner) {
        ncr_anthropic_request_leads(req);
    }
}


/* the text of one of the first two blocks, or the string that is system */

static void
ncr_anthropic_request_leads(ncr_anthropic_request_t *req)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (ncr_json_plain(&req->json, &s) == NCR_BAD) {
        return;
    }

    if (s.len >= req->leading->len
        && memcmp(s.data, req->leading->data, req->leading->len) == 0)
    {
        req->system.leads = 1;
    }

    if (req->nblocks == 1 && ncr_str_prefix(&s, NCR_ANTHROPIC_BILLING)) {
        req->system.attributed = 1;
    }
}


/* B.9: a JSON object in a string, or "user_..._account_..._session_..." */

static void
ncr_anthropic_request_user_id(ncr_anthropic_request_t *req)
{
    size_t      i, n;
    ncr_str_t   s, session;
    ncr_json_t  json;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (ncr_json_plain(&req->json, &s) == NCR_BAD) {
        return;
    }

    req->has_user_id = 1;

    ncr_anthropic_request_session(req, NCR_ANTHROPIC_RANK_WHOLE, &s);

    for (i = 0; i < s.len && (s.data[i] == ' ' || s.data[i] == '\n'); i++) {
        /* void */
    }

    if (i < s.len && s.data[i] == '{') {
        ncr_json_init(&json);

        json.data = req;
        json.token = ncr_anthropic_request_inner;
        json.report = 1;

        req->inner = 0;

        /* what was found before it broke counts */

        (void) ncr_json_feed(&json, s.data, s.len);

        return;
    }

    n = sizeof(NCR_ANTHROPIC_OLD) - 1;

    for (i = 0; i + n < s.len; i++) {
        if (memcmp(s.data + i, NCR_ANTHROPIC_OLD, n) == 0) {
            session.data = s.data + i + n;
            session.len = s.len - i - n;

            ncr_anthropic_request_session(req, NCR_ANTHROPIC_RANK_OLD,
                                          &session);
            return;
        }
    }
}


static ncr_int_t
ncr_anthropic_request_inner(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_str_t                 s;
    ncr_char_t                buf[NCR_JSON_TEXT];
    ncr_anthropic_request_t  *req;

    req = json->data;

    if (json->depth != 1) {
        return NCR_OK;
    }

    s.data = buf;

    if (token == NCR_JSON_KEY) {
        req->inner = (ncr_json_plain(json, &s) == NCR_OK
                      && ncr_str_eq(&s, "session_id"));

    } else if (token == NCR_JSON_STRING && req->inner
               && ncr_json_plain(json, &s) != NCR_BAD)
    {
        ncr_anthropic_request_session(req, NCR_ANTHROPIC_RANK_JSON, &s);
    }

    return NCR_OK;
}


static void
ncr_anthropic_request_session(ncr_anthropic_request_t *req, ncr_uint_t rank,
    ncr_str_t *session)
{
    if (session->len == 0 || rank >= req->session_rank) {
        return;
    }

    req->session_rank = rank;
    req->told.strong = (rank <= NCR_ANTHROPIC_RANK_OLD);

    ncr_request_session(&req->told, req->session_buf, sizeof(req->session_buf),
                        session);
}


/*
 * The hash of G.1, row 8.  It must be the same in the next turn, when the
 * client has moved its cache_control to a later message, and may have turned
 * a text of one block into a plain string.  So members are hashed, not the
 * text around them: the name, unless it is "text" or "content", and the raw
 * value; "type" and "cache_control" are left out.
 */

static void
ncr_anthropic_request_hash(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_uint_t   block, depth;
    ncr_json_t  *json;

    json = &req->json;
    depth = json->depth;

    /* the depth of a block's braces */

    block = (req->part == NCR_ANTHROPIC_PART_SYSTEM) ? 2 : 4;

    if (token == NCR_JSON_KEY) {
        if (!req->prefix.hashing && (depth == block + 1 || depth == 3)) {
            ncr_anthropic_request_hash_key(req);
        }

        return;
    }

    if (req->prefix.hashing && depth == req->prefix.depth) {

        if (ncr_anthropic_request_opens(req, token)) {

            /* only white space and a colon were passed so far */

            req->prefix.hashing = 0;

        } else if (token != NCR_JSON_OBJECT && token != NCR_JSON_ARRAY) {
            ncr_prefix_to(&req->prefix, json->end);
            req->prefix.hashing = 0;
        }
    }

    if (depth == block && req->part == NCR_ANTHROPIC_PART_SYSTEM) {

        if (token == NCR_JSON_OBJECT) {
            req->prefix.also = req->cached;
            req->block_cached = 0;

            ncr_sha256_init(req->cached);

        } else if (token == NCR_JSON_OBJECT_END) {
            ncr_anthropic_request_block_end(req);
        }
    }

    /* the end of the part */

    if (token == NCR_JSON_OBJECT || token == NCR_JSON_ARRAY) {
        return;
    }

    if ((req->part == NCR_ANTHROPIC_PART_SYSTEM && depth == 1)
        || (req->part == NCR_ANTHROPIC_PART_MESSAGE && depth == 2))
    {
        ncr_anthropic_request_part_end(req);
    }
}


static void
ncr_anthropic_request_hash_key(ncr_anthropic_request_t *req)
{
    ncr_str_t    name;
    ncr_json_t  *json;
    ncr_char_t   buf[NCR_JSON_TEXT];

    json = &req->json;

    req->prefix.hashing = 0;
    req->content = 0;
    name.data = buf;

    if (ncr_json_plain(json, &name) == NCR_BAD) {
        return;
    }

    if (json->depth == 1) {
        req->content = 1;

    } else if (ncr_str_eq(&name, "cache_control")) {
        req->block_cached = 1;
        return;

    } else if (ncr_str_eq(&name, "type")) {
        return;

    } else if (ncr_str_eq(&name, "content")) {
        req->content = 1;

    } else if (!ncr_str_eq(&name, "text")) {
        req->prefix.lead = 0;
        ncr_prefix_add(&req->prefix, name.data, name.len);
    }

    ncr_prefix_value(&req->prefix, json);
}


/* an array of blocks, whose members are hashed one by one */

static ncr_uint_t
ncr_anthropic_request_opens(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_uint_t  depth;

    depth = (req->part == NCR_ANTHROPIC_PART_SYSTEM) ? 1 : 3;

    return token == NCR_JSON_ARRAY && req->content
           && req->json.depth == depth;
}


/* what is cached is chained, block by block */

static void
ncr_anthropic_request_block_end(ncr_anthropic_request_t *req)
{
    ncr_char_t  digest[NCR_SHA256_LEN];

    req->prefix.also = NULL;

    if (!req->block_cached) {
        return;
    }

    ncr_sha256_final(req->cached, digest);

    ncr_sha256_init(req->cached);

    if (req->any_cached) {
        ncr_sha256_update(req->cached, req->cached_digest, NCR_SHA256_LEN);
    }

    ncr_sha256_update(req->cached, digest, NCR_SHA256_LEN);
    ncr_sha256_final(req->cached, req->cached_digest);

    req->any_cached = 1;
}


static void
ncr_anthropic_request_part_end(ncr_anthropic_request_t *req)
{
    req->prefix.hashing = 0;
    req->prefix.also = NULL;

    if (req->part == NCR_ANTHROPIC_PART_SYSTEM) {
        ncr_sha256_final(req->prefix.sha, req->system_digest);
        req->has_system = (req->prefix.n != 0);

    } else {
        ncr_sha256_final(req->prefix.sha, req->message_digest);
        req->has_message = (req->prefix.n != 0);
        req->json.report = req->told.turns ? 5 : 1;
    }

    req->part = NCR_ANTHROPIC_PART_NONE;
}
