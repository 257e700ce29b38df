
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The request body: others.md A2, A4, A7, A15.  What is checked here is only
 * what the relay itself acts on; everything else is the upstream's to judge.
 */


#include "ncr_openai.h"
#include "ncr_json_plain.h"
#include "ncr_str.h"


#define NCR_OPENAI_DEPTH      256

/* each of instructions and messages has its share */
#define NCR_OPENAI_HASH_PART  (NCR_OPENAI_HASHED / 2)


/* where a session is told, the lower the better (A15) */

typedef enum {
    NCR_OPENAI_RANK_CACHE_KEY = 0,
    NCR_OPENAI_RANK_METADATA,
    NCR_OPENAI_RANK_SESSION,
    NCR_OPENAI_RANK_CONVERSATION,
    NCR_OPENAI_RANK_NONE
} ncr_openai_rank_e;


static ncr_int_t ncr_openai_request_token(ncr_json_t *json,
    ncr_json_token_e token);
static ncr_int_t ncr_openai_request_key(ncr_openai_request_t *req);
static ncr_int_t ncr_openai_request_value(ncr_openai_request_t *req,
    ncr_json_token_e token);
static ncr_int_t ncr_openai_request_stream(ncr_openai_request_t *req,
    ncr_json_token_e token);
static ncr_int_t ncr_openai_request_number(ncr_openai_request_t *req,
    ncr_json_token_e token);
static void ncr_openai_request_told(ncr_openai_request_t *req,
    ncr_json_token_e token);
static void ncr_openai_request_inner(ncr_openai_request_t *req,
    ncr_json_token_e token);
static void ncr_openai_request_session(ncr_openai_request_t *req,
    ncr_uint_t rank);
static void ncr_openai_request_previous(ncr_openai_request_t *req);
static ncr_uint_t ncr_openai_request_hashed(ncr_openai_request_t *req);
static void ncr_openai_request_hash(ncr_openai_request_t *req,
    ncr_json_token_e token);
static void ncr_openai_request_hash_key(ncr_openai_request_t *req);
static void ncr_openai_request_hash_end(ncr_openai_request_t *req);


void
ncr_openai_request_init(ncr_openai_request_t *req, ncr_sha256_t *plain,
    ncr_op_e op)
{
    memset(req, 0, offsetof(ncr_openai_request_t, keys));

    ncr_json_begin(&req->json, req, ncr_openai_request_token, 1,
                   req->keep, sizeof(req->keep));

    req->json.max_depth = NCR_OPENAI_DEPTH;

    ncr_request_init(&req->told, &req->members, &req->keys);

    req->prefix.sha = plain;
    req->prefix.max = NCR_OPENAI_HASH_PART;
    req->op = op;
    req->rank = NCR_OPENAI_RANK_NONE;

    req->conversing = (op == NCR_OP_CHAT || op == NCR_OP_RESPONSES
                       || op == NCR_OP_COMPACT);

    /* a stored prompt (A4) may name the model of a response */

    req->require_model = (op != NCR_OP_RESPONSES
                          && op != NCR_OP_INPUT_TOKENS);
}


ncr_int_t
ncr_openai_request_feed(ncr_openai_request_t *req, ncr_char_t *p, size_t len)
{
    return ncr_request_feed(&req->json, &req->prefix, p, len);
}


ncr_int_t
ncr_openai_request_final(ncr_openai_request_t *req)
{
    if (ncr_json_final(&req->json) != NCR_OK) {
        return NCR_BAD;
    }

    if (req->require_model && req->told.model.len == 0) {
        return ncr_request_bad(&req->told, "model: field required");
    }

    if (req->op == NCR_OP_CHAT
        && (req->keys.known & ncr_openai_bit(NCR_OPENAI_INPUT))
        && !(req->keys.known & ncr_openai_bit(NCR_OPENAI_MESSAGES)))
    {
        req->misplaced = 1;
        return ncr_request_bad(&req->told,
                   "\"input\" without \"messages\" is a request of the "
                   "Responses API, whose path is /v1/responses");
    }

    req->told.thread = (req->op == NCR_OP_RESPONSES && !req->unstored);

    if (req->told.session.len == 0 && req->prefix.sha != NULL) {
        ncr_prefix_digest(&req->prefix, &req->told,
                          req->has_instructions ? req->instructions_digest
                                                : NULL,
                          req->has_message ? req->message_digest : NULL);
    }

    return NCR_OK;
}


ncr_str_t
ncr_openai_request_error(ncr_openai_request_t *req, char *buf, size_t size)
{
    return ncr_request_error(&req->told, &req->json, &req->keys, buf, size);
}


static ncr_int_t
ncr_openai_request_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_int_t              rc;
    ncr_openai_request_t  *req;

    req = json->data;

    if (json->depth == 0) {

        if (token == NCR_JSON_OBJECT) {
            req->members.open = json->end;

        } else if (token == NCR_JSON_OBJECT_END) {
            req->members.close = json->start;

        } else {
            return ncr_request_bad(&req->told,
                                   "request body must be an object");
        }

        return NCR_OK;
    }

    if (json->depth == 1) {

        if (token == NCR_JSON_KEY) {
            return ncr_openai_request_key(req);
        }

        ncr_members_span(&req->members, json, token);

        rc = ncr_openai_request_value(req, token);
        if (rc != NCR_OK) {
            return rc;
        }
    }

    if (ncr_openai_request_hashed(req)) {
        ncr_openai_request_hash(req, token);

    } else if (json->depth == 2) {
        ncr_openai_request_inner(req, token);
    }

    return NCR_OK;
}


/* a top-level key */

static ncr_int_t
ncr_openai_request_key(ncr_openai_request_t *req)
{
    ncr_str_t   name;
    ncr_char_t  buf[NCR_JSON_TEXT];

    name.data = buf;

    if (ncr_request_key(&req->told, &req->json, &req->keys, &name) != NCR_OK) {
        return NCR_BAD;
    }

    req->top = ncr_openai_member(&name);
    req->inner = 0;

    if (ncr_request_member(&req->told, &req->json, &req->keys, &name, req->top)
        != NCR_OK)
    {
        return NCR_BAD;
    }

    if (ncr_openai_request_hashed(req)) {
        ncr_prefix_part(&req->prefix);
        ncr_prefix_value(&req->prefix, &req->json);
    }

    return NCR_OK;
}


static ncr_int_t
ncr_openai_request_value(ncr_openai_request_t *req, ncr_json_token_e token)
{
    if (token == NCR_JSON_OBJECT_END || token == NCR_JSON_ARRAY_END) {
        req->json.report = 1;
        return NCR_OK;
    }

    switch (req->top) {

    case NCR_OPENAI_MODEL:
        return ncr_request_model(&req->told, &req->json, token,
                                 req->model_buf, 1);

    case NCR_OPENAI_STREAM:
        return ncr_openai_request_stream(req, token);

    case NCR_OPENAI_STORE:
        req->unstored = (token == NCR_JSON_FALSE);
        return NCR_OK;

    case NCR_OPENAI_MAX_TOKENS:
    case NCR_OPENAI_MAX_COMPLETION_TOKENS:
    case NCR_OPENAI_MAX_OUTPUT_TOKENS:
        return ncr_openai_request_number(req, token);

    default:
        ncr_openai_request_told(req, token);
        return NCR_OK;
    }
}


/* null is what SDKs write for "not told" */

static ncr_int_t
ncr_openai_request_stream(ncr_openai_request_t *req, ncr_json_token_e token)
{
    if (token != NCR_JSON_TRUE && token != NCR_JSON_FALSE
        && token != NCR_JSON_NULL)
    {
        return ncr_request_bad(&req->told, "stream must be a boolean");
    }

    req->told.stream = (token == NCR_JSON_TRUE);

    return NCR_OK;
}


/* what is no integer is the upstream's to refuse; of several names for one
 * thing the largest number counts, as limits are reserved by it */

static ncr_int_t
ncr_openai_request_number(ncr_openai_request_t *req, ncr_json_token_e token)
{
    int64_t    n;
    ncr_int_t  rc;

    if (token != NCR_JSON_NUMBER) {
        return NCR_OK;
    }

    rc = ncr_request_number(&req->json, &n);

    if (rc == NCR_BAD) {
        return ncr_request_bad(&req->told, "number of % is out of range");
    }

    if (rc == NCR_OK) {
        req->told.max_tokens = ncr_max(req->told.max_tokens, n);
    }

    return NCR_OK;
}


/* what tells of the session, or of what it goes on from */

static void
ncr_openai_request_told(ncr_openai_request_t *req, ncr_json_token_e token)
{
    if (token == NCR_JSON_OBJECT) {

        if (req->top == NCR_OPENAI_CLIENT_METADATA
            || req->top == NCR_OPENAI_CONVERSATION)
        {
            req->json.report = 2;
        }

        return;
    }

    if (token != NCR_JSON_STRING) {
        return;
    }

    switch (req->top) {

    case NCR_OPENAI_PROMPT_CACHE_KEY:
        ncr_openai_request_session(req, NCR_OPENAI_RANK_CACHE_KEY);
        break;

    case NCR_OPENAI_SESSION_ID:
        ncr_openai_request_session(req, NCR_OPENAI_RANK_SESSION);
        break;

    case NCR_OPENAI_CONVERSATION_ID:
        ncr_openai_request_session(req, NCR_OPENAI_RANK_CONVERSATION);
        break;

    case NCR_OPENAI_PREVIOUS_RESPONSE_ID:
    case NCR_OPENAI_CONVERSATION:
        ncr_openai_request_previous(req);
        break;

    default:
        break;
    }
}


/* of client_metadata and conversation */

static void
ncr_openai_request_inner(ncr_openai_request_t *req, ncr_json_token_e token)
{
    ncr_str_t    s;
    ncr_char_t   buf[NCR_JSON_TEXT];
    const char  *name;

    if (req->top != NCR_OPENAI_CLIENT_METADATA
        && req->top != NCR_OPENAI_CONVERSATION)
    {
        return;
    }

    if (token == NCR_JSON_KEY) {
        name = (req->top == NCR_OPENAI_CONVERSATION) ? "id" : "session_id";
        s.data = buf;

        req->inner = (ncr_json_plain(&req->json, &s) == NCR_OK
                      && ncr_str_eq(&s, name));
        return;
    }

    if (token != NCR_JSON_STRING || !req->inner) {
        return;
    }

    if (req->top == NCR_OPENAI_CONVERSATION) {
        ncr_openai_request_previous(req);

    } else {
        ncr_openai_request_session(req, NCR_OPENAI_RANK_METADATA);
    }
}


static void
ncr_openai_request_session(ncr_openai_request_t *req, ncr_uint_t rank)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (rank >= req->rank
        || ncr_json_plain(&req->json, &s) == NCR_BAD
        || s.len == 0)
    {
        return;
    }

    req->rank = rank;

    ncr_request_session(&req->told, req->session_buf, sizeof(req->session_buf),
                        &s);
}


/* a response and a conversation lie with the account that made them */

static void
ncr_openai_request_previous(ncr_openai_request_t *req)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (ncr_json_plain(&req->json, &s) == NCR_BAD || s.len == 0) {
        return;
    }

    ncr_str_copy(req->told.previous, sizeof(req->told.previous), &s);
}


/*
 * The hash of A15's last row.  It must be the same in the next turn, so texts
 * are hashed, not what is around them, and none behind the first of a user.
 */

static ncr_uint_t
ncr_openai_request_hashed(ncr_openai_request_t *req)
{
    if (req->prefix.sha == NULL || !req->conversing) {
        return 0;
    }

    return req->top == NCR_OPENAI_INSTRUCTIONS
           || req->top == NCR_OPENAI_MESSAGES
           || req->top == NCR_OPENAI_INPUT;
}


static void
ncr_openai_request_hash(ncr_openai_request_t *req, ncr_json_token_e token)
{
    ncr_str_t    s;
    ncr_uint_t   depth;
    ncr_json_t  *json;
    ncr_char_t   buf[NCR_JSON_TEXT];

    json = &req->json;
    depth = json->depth;

    if (token == NCR_JSON_KEY) {
        ncr_openai_request_hash_key(req);
        return;
    }

    if (req->prefix.hashing && depth == req->prefix.depth) {
        req->prefix.hashing = 0;

        /* of a container only white space and a colon were passed so far */

        if (token != NCR_JSON_OBJECT && token != NCR_JSON_ARRAY) {
            ncr_prefix_to(&req->prefix, json->end);
        }
    }

    switch (depth) {

    case 1:
        if (token == NCR_JSON_ARRAY && req->top != NCR_OPENAI_INSTRUCTIONS) {
            json->report = 5;

        } else if (token != NCR_JSON_OBJECT && token != NCR_JSON_ARRAY) {
            ncr_openai_request_hash_end(req);
        }

        break;

    case 2:
        if (token == NCR_JSON_OBJECT_END && req->user) {

            /* what follows is of no interest */

            json->report = 1;
        }

        req->user = 0;
        req->role = 0;
        break;

    case 3:
        s.data = buf;

        if (req->role && token == NCR_JSON_STRING
            && ncr_json_plain(json, &s) == NCR_OK
            && ncr_str_eq(&s, "user"))
        {
            req->user = 1;
        }

        break;

    default:
        break;
    }
}


static void
ncr_openai_request_hash_key(ncr_openai_request_t *req)
{
    ncr_str_t   name;
    ncr_char_t  buf[NCR_JSON_TEXT];

    if (req->json.depth != 3 && req->json.depth != 5) {
        return;
    }

    name.data = buf;

    if (ncr_json_plain(&req->json, &name) != NCR_OK) {
        return;
    }

    if (req->json.depth == 5) {

        if (ncr_str_eq(&name, "text")) {
            ncr_prefix_value(&req->prefix, &req->json);
        }

        return;
    }

    req->role = ncr_str_eq(&name, "role");

    if (ncr_str_eq(&name, "content")) {
        ncr_prefix_value(&req->prefix, &req->json);
    }
}


static void
ncr_openai_request_hash_end(ncr_openai_request_t *req)
{
    req->prefix.hashing = 0;

    if (req->prefix.n == 0) {
        return;
    }

    if (req->top == NCR_OPENAI_INSTRUCTIONS) {
        ncr_sha256_final(req->prefix.sha, req->instructions_digest);
        req->has_instructions = 1;

    } else {
        ncr_sha256_final(req->prefix.sha, req->message_digest);
        req->has_message = 1;
    }
}
