
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
static ncr_int_t ncr_openai_request_bad(ncr_openai_request_t *req,
    const char *error);
static ncr_int_t ncr_openai_request_key(ncr_openai_request_t *req);
static ncr_uint_t ncr_openai_request_again(ncr_openai_request_t *req,
    ncr_str_t *name);
static ncr_int_t ncr_openai_request_value(ncr_openai_request_t *req,
    ncr_json_token_e token);
static void ncr_openai_request_span(ncr_openai_request_t *req,
    ncr_json_token_e token);
static ncr_int_t ncr_openai_request_model(ncr_openai_request_t *req,
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
static void ncr_openai_request_hash_from(ncr_openai_request_t *req);
static void ncr_openai_request_hash_to(ncr_openai_request_t *req,
    uint64_t end);
static void ncr_openai_request_hash_end(ncr_openai_request_t *req);
static void ncr_openai_request_digest(ncr_openai_request_t *req);


void
ncr_openai_request_init(ncr_openai_request_t *req, ncr_sha256_t *plain,
    ncr_op_e op)
{
    memset(req, 0, offsetof(ncr_openai_request_t, others));

    ncr_json_begin(&req->json, req, ncr_openai_request_token, 1,
                   req->keep, sizeof(req->keep));

    req->json.max_depth = NCR_OPENAI_DEPTH;

    req->members.n = 0;
    req->members.open = 0;
    req->members.close = 0;

    req->told.max_tokens = -1;
    req->told.members = &req->members;
    req->plain = plain;
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
    ncr_int_t  rc;

    req->chunk = p;

    rc = ncr_json_feed(&req->json, p, len);

    if (rc != NCR_OK && rc != NCR_AGAIN) {
        return NCR_BAD;
    }

    if (req->hashing) {
        ncr_openai_request_hash_to(req, req->base + len);
    }

    req->base += len;

    return NCR_OK;
}


ncr_int_t
ncr_openai_request_final(ncr_openai_request_t *req)
{
    if (ncr_json_final(&req->json) != NCR_OK) {
        return NCR_BAD;
    }

    if (req->require_model && req->told.model.len == 0) {
        return ncr_openai_request_bad(req, "model: field required");
    }

    if (req->op == NCR_OP_CHAT
        && (req->known & ncr_openai_bit(NCR_OPENAI_INPUT))
        && !(req->known & ncr_openai_bit(NCR_OPENAI_MESSAGES)))
    {
        req->misplaced = 1;
        return ncr_openai_request_bad(req,
                   "\"input\" without \"messages\" is a request of the "
                   "Responses API, whose path is /v1/responses");
    }

    req->told.thread = (req->op == NCR_OP_RESPONSES && !req->unstored);

    if (req->told.session.len == 0 && req->plain != NULL) {
        ncr_openai_request_digest(req);
    }

    return NCR_OK;
}


ncr_str_t
ncr_openai_request_error(ncr_openai_request_t *req, char *buf, size_t size)
{
    ncr_out_t    out;
    ncr_str_t    text, name;
    const char  *p, *mark;

    ncr_out_init(&out, (ncr_char_t *) buf, size);

    p = req->told.error;

    if (p == NULL) {
        ncr_out_text(&out, "request body is not valid JSON: ");
        ncr_out_text(&out, req->json.error ? req->json.error : "unknown");
        ncr_out_text(&out, " at byte ");
        ncr_out_int(&out, (int64_t) req->json.offset);

    } else {

        /* "%" stands for the name of the key */

        mark = strchr(p, '%');

        if (mark == NULL) {
            ncr_out_text(&out, p);

        } else {
            name.data = req->name;
            name.len = req->nname;

            ncr_out_bytes(&out, p, (size_t) (mark - p));
            ncr_out_json_string(&out, &name);
            ncr_out_text(&out, mark + 1);
        }
    }

    text.data = out.start;
    text.len = (size_t) (out.last - out.start);

    return text;
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
            return ncr_openai_request_bad(req,
                                          "request body must be an object");
        }

        return NCR_OK;
    }

    if (json->depth == 1) {

        if (token == NCR_JSON_KEY) {
            return ncr_openai_request_key(req);
        }

        ncr_openai_request_span(req, token);

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


static ncr_int_t
ncr_openai_request_bad(ncr_openai_request_t *req, const char *error)
{
    req->told.error = error;

    return NCR_BAD;
}


/* a top-level key; the JSON of two readers that differ here is dangerous */

static ncr_int_t
ncr_openai_request_key(ncr_openai_request_t *req)
{
    ncr_int_t      rc;
    ncr_str_t      name;
    ncr_char_t     buf[NCR_JSON_TEXT];
    ncr_member_t  *m;

    name.data = buf;

    rc = ncr_json_plain(&req->json, &name);

    req->nname = ncr_min(name.len, sizeof(req->name));
    memcpy(req->name, name.data, req->nname);

    if (rc == NCR_BAD) {
        return ncr_openai_request_bad(req, "invalid escape in a key");
    }

    if (rc == NCR_DECLINED) {
        return ncr_openai_request_bad(req, "key % is too long");
    }

    req->top = ncr_openai_member(&name);
    req->inner = 0;

    if (ncr_openai_request_again(req, &name)) {
        return ncr_openai_request_bad(req, "duplicate key %");
    }

    if (req->members.n == NCR_MEMBERS) {
        return ncr_openai_request_bad(req, "too many fields");
    }

    m = &req->members.member[req->members.n++];

    m->name = req->top;
    m->key = req->json.start;
    m->start = 0;
    m->end = 0;

    if (ncr_openai_request_hashed(req)) {
        req->nhashed = 0;

        ncr_sha256_init(req->plain);
        ncr_openai_request_hash_from(req);
    }

    return NCR_OK;
}


/* remembers the key, whose name is known or is one of the others */

static ncr_uint_t
ncr_openai_request_again(ncr_openai_request_t *req, ncr_str_t *name)
{
    size_t    i;
    uint64_t  hash, bit;

    if (req->top != NCR_OPENAI_OTHER) {
        bit = ncr_openai_bit(req->top);

        if (req->known & bit) {
            return 1;
        }

        req->known |= bit;

        return 0;
    }

    /* FNV-1a of 64 bits: names collide for those only who look for it */

    hash = 0xcbf29ce484222325;

    for (i = 0; i < name->len; i++) {
        hash = (hash ^ name->data[i]) * 0x100000001b3;
    }

    for (i = 0; i < req->nothers; i++) {
        if (req->others[i] == hash) {
            return 1;
        }
    }

    if (req->nothers < NCR_MEMBERS) {
        req->others[req->nothers++] = hash;
    }

    return 0;
}


/* of the open member's value, or of the end of one that is a container */

static void
ncr_openai_request_span(ncr_openai_request_t *req, ncr_json_token_e token)
{
    ncr_member_t  *m;

    m = &req->members.member[req->members.n - 1];

    if (token != NCR_JSON_OBJECT_END && token != NCR_JSON_ARRAY_END) {
        m->start = req->json.start;
    }

    m->end = req->json.end;
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
        return ncr_openai_request_model(req, token);

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


static ncr_int_t
ncr_openai_request_model(ncr_openai_request_t *req, ncr_json_token_e token)
{
    size_t      i;
    ncr_int_t   rc;
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    if (token != NCR_JSON_STRING) {
        return ncr_openai_request_bad(req, "model must be a string");
    }

    s.data = buf;

    rc = ncr_json_plain(&req->json, &s);

    if (rc == NCR_BAD) {
        return ncr_openai_request_bad(req, "invalid escape in model");
    }

    if (rc == NCR_DECLINED || s.len >= NCR_MODEL_LEN) {
        return ncr_openai_request_bad(req, "model is too long");
    }

    if (s.len == 0) {
        return ncr_openai_request_bad(req, "model is empty");
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
            return ncr_openai_request_bad(req, "control character in model");
        }
    }

    memcpy(req->model_buf, s.data, s.len);

    req->told.model.data = req->model_buf;
    req->told.model.len = s.len;
    req->told.model_start = req->json.start;
    req->told.model_end = req->json.end;

    return NCR_OK;
}


/* null is what SDKs write for "not told" */

static ncr_int_t
ncr_openai_request_stream(ncr_openai_request_t *req, ncr_json_token_e token)
{
    if (token != NCR_JSON_TRUE && token != NCR_JSON_FALSE
        && token != NCR_JSON_NULL)
    {
        return ncr_openai_request_bad(req, "stream must be a boolean");
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

    rc = NCR_BAD;
    n = 0;

    if (!req->json.cut && req->json.text.len <= NCR_JSON_TEXT) {
        rc = ncr_json_int(&req->json.text, &n);
    }

    if (rc == NCR_BAD) {
        return ncr_openai_request_bad(req, "number of % is out of range");
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
    req->told.session.data = req->session_buf;
    req->told.session.len = ncr_min(s.len, sizeof(req->session_buf));

    memcpy(req->session_buf, s.data, req->told.session.len);
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
    if (req->plain == NULL || !req->conversing) {
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

    if (req->hashing && depth == req->hash_depth) {
        req->hashing = 0;

        /* of a container only white space and a colon were passed so far */

        if (token != NCR_JSON_OBJECT && token != NCR_JSON_ARRAY) {
            ncr_openai_request_hash_to(req, json->end);
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
            ncr_openai_request_hash_from(req);
        }

        return;
    }

    req->role = ncr_str_eq(&name, "role");

    if (ncr_str_eq(&name, "content")) {
        ncr_openai_request_hash_from(req);
    }
}


static void
ncr_openai_request_hash_from(ncr_openai_request_t *req)
{
    req->hashing = 1;
    req->lead = 1;
    req->hash_depth = req->json.depth;
    req->hash_from = req->json.end;
}


static void
ncr_openai_request_hash_to(ncr_openai_request_t *req, uint64_t end)
{
    size_t       len;
    uint64_t     from;
    ncr_char_t  *p;

    from = ncr_max(req->hash_from, req->base);

    if (end <= from) {
        return;
    }

    req->hash_from = end;

    p = req->chunk + (from - req->base);
    len = (size_t) (end - from);

    while (req->lead && len) {

        if (*p != ':' && *p != ' ' && *p != '\t' && *p != '\r' && *p != '\n')
        {
            req->lead = 0;
            break;
        }

        p++;
        len--;
    }

    len = (size_t) ncr_min((uint64_t) len,
                           NCR_OPENAI_HASH_PART - req->nhashed);

    if (len) {
        ncr_sha256_update(req->plain, p, len);
        req->nhashed += len;
    }
}


static void
ncr_openai_request_hash_end(ncr_openai_request_t *req)
{
    req->hashing = 0;

    if (req->nhashed == 0) {
        return;
    }

    if (req->top == NCR_OPENAI_INSTRUCTIONS) {
        ncr_sha256_final(req->plain, req->instructions_digest);
        req->has_instructions = 1;

    } else {
        ncr_sha256_final(req->plain, req->message_digest);
        req->has_message = 1;
    }
}


static void
ncr_openai_request_digest(ncr_openai_request_t *req)
{
    if (!req->has_instructions && !req->has_message) {
        return;
    }

    ncr_sha256_init(req->plain);

    if (req->has_instructions) {
        ncr_sha256_update(req->plain, req->instructions_digest,
                          NCR_SHA256_LEN);
    }

    if (req->has_message) {
        ncr_sha256_update(req->plain, req->message_digest, NCR_SHA256_LEN);
    }

    ncr_sha256_final(req->plain, req->told.digest);

    req->told.hashed = 1;
}
