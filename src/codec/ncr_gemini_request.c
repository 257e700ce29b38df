
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The request body: others.md C2, C6.  What is checked here is only what the
 * relay itself acts on; everything else is the upstream's to judge.
 */


#include "ncr_gemini.h"
#include "ncr_json_plain.h"
#include "ncr_str.h"


#define NCR_GEMINI_DEPTH    256

/* which object the open key is of, for the masks of known names */
#define NCR_GEMINI_CONFIG   2

#define NCR_GEMINI_MODELS   "models/"


typedef struct {
    ncr_str_t          name;
    ncr_str_t          snake;
    ncr_gemini_name_e  value;
} ncr_gemini_spelling_t;


static ncr_int_t ncr_gemini_request_token(ncr_json_t *json,
    ncr_json_token_e token);
static ncr_int_t ncr_gemini_request_key(ncr_gemini_request_t *req,
    ncr_uint_t list);
static ncr_int_t ncr_gemini_request_once(ncr_gemini_request_t *req,
    ncr_uint_t list, ncr_gemini_name_e name);
static ncr_int_t ncr_gemini_request_list(ncr_gemini_request_t *req,
    ncr_uint_t list, ncr_gemini_name_e name);
static ncr_int_t ncr_gemini_request_member(ncr_gemini_request_t *req,
    ncr_uint_t list, ncr_json_token_e token);
static void ncr_gemini_request_open(ncr_gemini_request_t *req,
    ncr_uint_t list, ncr_json_token_e token);
static ncr_int_t ncr_gemini_request_model(ncr_gemini_request_t *req,
    ncr_uint_t list);
static void ncr_gemini_request_session(ncr_gemini_request_t *req);
static ncr_int_t ncr_gemini_request_config(ncr_gemini_request_t *req,
    ncr_json_token_e token);
static void ncr_gemini_request_content(ncr_gemini_request_t *req,
    ncr_json_token_e token);
static void ncr_gemini_request_hash(ncr_gemini_request_t *req);


/* proto-JSON takes both spellings (C1) */

static ncr_gemini_spelling_t  ncr_gemini_spellings[] = {

    { ncr_string("model"), ncr_null_string, NCR_GEMINI_MODEL },

    { ncr_string("project"), ncr_null_string, NCR_GEMINI_PROJECT },

    { ncr_string("userPromptId"), ncr_string("user_prompt_id"),
      NCR_GEMINI_USER_PROMPT_ID },

    { ncr_string("request"), ncr_null_string, NCR_GEMINI_REQUEST },

    { ncr_string("requestId"), ncr_string("request_id"),
      NCR_GEMINI_REQUEST_ID },

    { ncr_string("requestType"), ncr_string("request_type"),
      NCR_GEMINI_REQUEST_TYPE },

    { ncr_string("userAgent"), ncr_string("user_agent"),
      NCR_GEMINI_USER_AGENT },

    { ncr_string("enabledCreditTypes"), ncr_string("enabled_credit_types"),
      NCR_GEMINI_CREDIT_TYPES },

    { ncr_string("contents"), ncr_null_string, NCR_GEMINI_CONTENTS },

    { ncr_string("systemInstruction"), ncr_string("system_instruction"),
      NCR_GEMINI_SYSTEM },

    { ncr_string("tools"), ncr_null_string, NCR_GEMINI_TOOLS },

    { ncr_string("toolConfig"), ncr_string("tool_config"),
      NCR_GEMINI_TOOL_CONFIG },

    { ncr_string("generationConfig"), ncr_string("generation_config"),
      NCR_GEMINI_GENERATION_CONFIG },

    { ncr_string("safetySettings"), ncr_string("safety_settings"),
      NCR_GEMINI_SAFETY_SETTINGS },

    { ncr_string("cachedContent"), ncr_string("cached_content"),
      NCR_GEMINI_CACHED_CONTENT },

    { ncr_string("labels"), ncr_null_string, NCR_GEMINI_LABELS },

    { ncr_string("sessionId"), ncr_string("session_id"),
      NCR_GEMINI_SESSION_ID },

    { ncr_string("generateContentRequest"),
      ncr_string("generate_content_request"), NCR_GEMINI_GENERATE_REQUEST },

    { ncr_string("maxOutputTokens"), ncr_string("max_output_tokens"),
      NCR_GEMINI_MAX_TOKENS },

    { ncr_null_string, ncr_null_string, NCR_GEMINI_OTHER }
};


void
ncr_gemini_request_init(ncr_gemini_request_t *req, ncr_sha256_t *sha,
    ncr_uint_t stream)
{
    memset(req, 0, offsetof(ncr_gemini_request_t, system_digest));

    ncr_json_begin(&req->json, req, ncr_gemini_request_token, 1,
                   req->keep, sizeof(req->keep));

    req->json.max_depth = NCR_GEMINI_DEPTH;

    req->told.max_tokens = -1;
    req->told.stream = (stream != 0);
    req->told.members = req->members;
    req->told.lists = 1;
    req->prefix.sha = sha;
    req->prefix.max = NCR_GEMINI_HASHED;
}


ncr_int_t
ncr_gemini_request_feed(ncr_gemini_request_t *req, ncr_char_t *p, size_t len)
{
    return ncr_request_feed(&req->json, &req->prefix, p, len);
}


ncr_int_t
ncr_gemini_request_final(ncr_gemini_request_t *req)
{
    if (ncr_json_final(&req->json) != NCR_OK) {
        return NCR_BAD;
    }

    if (req->envelope) {
        req->told.lists = NCR_GEMINI_LISTS;
        req->told.model.data = req->model_buf;
        req->told.model.len = req->nmodel;
        req->told.model_start = req->model_start;
        req->told.model_end = req->model_end;
    }

    if (req->told.session.len == 0 && req->prefix.sha != NULL) {
        ncr_prefix_digest(&req->prefix, &req->told,
                          req->has_system ? req->system_digest : NULL,
                          req->has_content ? req->content_digest : NULL);
    }

    return NCR_OK;
}


ncr_str_t
ncr_gemini_request_error(ncr_gemini_request_t *req, char *buf, size_t size)
{
    ncr_out_t  out;
    ncr_str_t  text;

    ncr_out_init(&out, (ncr_char_t *) buf, size);

    if (req->told.error == NULL) {
        ncr_out_text(&out, "Invalid JSON payload received. ");
        ncr_out_text(&out, req->json.error ? req->json.error : "unknown");
        ncr_out_text(&out, " at byte ");
        ncr_out_int(&out, (int64_t) req->json.offset);

    } else {
        ncr_out_text(&out, req->told.error);

        if (req->again) {
            ncr_out_text(&out, ": ");
            ncr_out_text(&out, req->again);
        }
    }

    text.data = out.start;
    text.len = (size_t) (out.last - out.start);

    return text;
}


ncr_gemini_name_e
ncr_gemini_name(ncr_str_t *name)
{
    ncr_gemini_spelling_t  *s;

    if (name->len == 0) {
        return NCR_GEMINI_OTHER;
    }

    for (s = ncr_gemini_spellings; s->name.len; s++) {

        if (name->len == s->name.len
            && memcmp(name->data, s->name.data, name->len) == 0)
        {
            return s->value;
        }

        if (name->len == s->snake.len
            && memcmp(name->data, s->snake.data, name->len) == 0)
        {
            return s->value;
        }
    }

    return NCR_GEMINI_OTHER;
}


static ncr_int_t
ncr_gemini_request_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_uint_t             inner;
    ncr_gemini_request_t  *req;

    req = json->data;

    if (json->depth == 0) {

        if (token == NCR_JSON_OBJECT) {
            req->members[NCR_GEMINI_BODY].open = json->end;

        } else if (token == NCR_JSON_OBJECT_END) {
            req->members[NCR_GEMINI_BODY].close = json->start;

        } else {
            return ncr_request_bad(&req->told, "Invalid JSON payload "
                                   "received. It must be an object");
        }

        return NCR_OK;
    }

    inner = (req->names[1] == NCR_GEMINI_REQUEST
             || req->names[1] == NCR_GEMINI_GENERATE_REQUEST);

    if (json->depth <= 1 + inner) {
        return ncr_gemini_request_member(req, json->depth - 1, token);
    }

    if (json->depth != 2 + inner) {
        return NCR_OK;
    }

    switch ((ncr_gemini_name_e) req->names[1 + inner]) {

    case NCR_GEMINI_GENERATION_CONFIG:
        return ncr_gemini_request_config(req, token);

    case NCR_GEMINI_CONTENTS:
        ncr_gemini_request_content(req, token);
        break;

    default:
        break;
    }

    return NCR_OK;
}


/* of the body, its "request", or a generationConfig */

static ncr_int_t
ncr_gemini_request_key(ncr_gemini_request_t *req, ncr_uint_t list)
{
    ncr_int_t          rc;
    ncr_str_t          name;
    ncr_char_t         buf[NCR_JSON_TEXT];
    ncr_gemini_name_e  value;

    name.data = buf;

    rc = ncr_json_plain(&req->json, &name);

    if (rc == NCR_BAD) {
        return ncr_request_bad(&req->told, "Invalid JSON payload received. "
                               "A key has an invalid escape");
    }

    value = (rc == NCR_OK) ? ncr_gemini_name(&name) : NCR_GEMINI_OTHER;

    req->names[req->json.depth] = value;

    if (ncr_gemini_request_once(req, list, value) != NCR_OK) {
        return NCR_BAD;
    }

    return (list < NCR_GEMINI_LISTS)
           ? ncr_gemini_request_list(req, list, value) : NCR_OK;
}


/* of two, which one would hold is the upstream's secret */

static ncr_int_t
ncr_gemini_request_once(ncr_gemini_request_t *req, ncr_uint_t list,
    ncr_gemini_name_e name)
{
    ncr_uint_t              bit;
    ncr_gemini_spelling_t  *s;

    if (name == NCR_GEMINI_OTHER) {
        return NCR_OK;
    }

    bit = (ncr_uint_t) 1 << name;

    if (!(req->known[list] & bit)) {
        req->known[list] |= bit;
        return NCR_OK;
    }

    for (s = ncr_gemini_spellings; s->value != name; s++) { /* void */ }

    req->again = (const char *) s->name.data;

    return ncr_request_bad(&req->told, "Invalid JSON payload received. "
                           "A field is set twice");
}


static ncr_int_t
ncr_gemini_request_list(ncr_gemini_request_t *req, ncr_uint_t list,
    ncr_gemini_name_e name)
{
    ncr_members_t  *members;

    members = &req->members[list];

    if (members->n == NCR_MEMBERS) {
        return ncr_request_bad(&req->told, "Invalid JSON payload received. "
                               "It has too many fields");
    }

    ncr_members_place(members, name, &req->json);

    return NCR_OK;
}


static ncr_int_t
ncr_gemini_request_member(ncr_gemini_request_t *req, ncr_uint_t list,
    ncr_json_token_e token)
{
    if (token == NCR_JSON_KEY) {
        return ncr_gemini_request_key(req, list);
    }

    ncr_members_span(&req->members[list], &req->json, token);

    switch (token) {

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        ncr_gemini_request_open(req, list, token);
        break;

    case NCR_JSON_OBJECT_END:
    case NCR_JSON_ARRAY_END:

        if (req->prefix.hashing) {
            ncr_prefix_to(&req->prefix, req->json.end);
            ncr_sha256_final(req->prefix.sha, req->system_digest);

            req->prefix.hashing = 0;
            req->has_system = 1;
        }

        if (list == NCR_GEMINI_BODY
            && req->names[1] == NCR_GEMINI_REQUEST)
        {
            req->members[NCR_GEMINI_INNER].close = req->json.start;
        }

        req->json.report = 1 + list;
        break;

    case NCR_JSON_STRING:

        if (req->names[1 + list] == NCR_GEMINI_MODEL) {
            return ncr_gemini_request_model(req, list);
        }

        if (req->names[1 + list] == NCR_GEMINI_SESSION_ID
            && list == NCR_GEMINI_INNER)
        {
            ncr_gemini_request_session(req);
        }

        break;

    default: /* numbers and names */
        break;
    }

    return NCR_OK;
}


/* how deep a member is worth reading */

static void
ncr_gemini_request_open(ncr_gemini_request_t *req, ncr_uint_t list,
    ncr_json_token_e token)
{
    ncr_members_t  *inner;

    switch ((ncr_gemini_name_e) req->names[1 + list]) {

    case NCR_GEMINI_REQUEST:
    case NCR_GEMINI_GENERATE_REQUEST:

        if (list != NCR_GEMINI_BODY || token != NCR_JSON_OBJECT) {
            break;
        }

        inner = &req->members[NCR_GEMINI_INNER];

        inner->n = 0;
        inner->open = req->json.end;

        req->known[NCR_GEMINI_INNER] = 0;
        req->json.report = 2;

        if (req->names[1] == NCR_GEMINI_REQUEST) {
            req->envelope = 1;
        }

        break;

    case NCR_GEMINI_GENERATION_CONFIG:
        if (token == NCR_JSON_OBJECT) {
            req->known[NCR_GEMINI_CONFIG] = 0;
            req->json.report = 2 + list;
        }

        break;

    case NCR_GEMINI_CONTENTS:
        if (token == NCR_JSON_ARRAY && req->prefix.sha && !req->first_done) {
            req->json.report = 2 + list;
        }

        break;

    case NCR_GEMINI_SYSTEM:
        if (req->prefix.sha && !req->has_system) {
            ncr_gemini_request_hash(req);
        }

        break;

    default:
        break;
    }
}


/* the envelope's; where it counts tokens, that of the request (C6) */

static ncr_int_t
ncr_gemini_request_model(ncr_gemini_request_t *req, ncr_uint_t list)
{
    size_t      i;
    ncr_int_t   rc;
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    if (list == NCR_GEMINI_INNER
        && (req->nmodel || req->names[1] != NCR_GEMINI_REQUEST))
    {
        return NCR_OK;
    }

    s.data = buf;

    rc = ncr_json_plain(&req->json, &s);

    if (rc == NCR_BAD) {
        return ncr_request_bad(&req->told, "model has an invalid escape");
    }

    req->model_start = req->json.start;
    req->model_end = req->json.end;

    if (ncr_str_prefix(&s, NCR_GEMINI_MODELS)) {
        s.data += sizeof(NCR_GEMINI_MODELS) - 1;
        s.len -= sizeof(NCR_GEMINI_MODELS) - 1;

        /* to be written in another form than the one it is known by */

        req->model_start = 0;
        req->model_end = 0;
    }

    if (rc == NCR_DECLINED || s.len >= NCR_MODEL_LEN) {
        return ncr_request_bad(&req->told, "model is too long");
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
            return ncr_request_bad(&req->told,
                                   "model has a control character");
        }
    }

    memcpy(req->model_buf, s.data, s.len);
    req->nmodel = s.len;

    return NCR_OK;
}


static void
ncr_gemini_request_session(ncr_gemini_request_t *req)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    if (req->names[1] != NCR_GEMINI_REQUEST
        || ncr_json_plain(&req->json, &s) == NCR_BAD)
    {
        return;
    }

    ncr_request_session(&req->told, req->session_buf, sizeof(req->session_buf),
                        &s);
    req->told.strong = 1;
}


/* a number, or a string of one: proto-JSON takes both */

static ncr_int_t
ncr_gemini_request_config(ncr_gemini_request_t *req, ncr_json_token_e token)
{
    int64_t    n;
    ncr_int_t  rc;

    if (token == NCR_JSON_KEY) {
        return ncr_gemini_request_key(req, NCR_GEMINI_CONFIG);
    }

    if (req->names[req->json.depth] != NCR_GEMINI_MAX_TOKENS
        || (token != NCR_JSON_NUMBER && token != NCR_JSON_STRING))
    {
        return NCR_OK;
    }

    rc = ncr_request_number(&req->json, &n);

    if (rc == NCR_BAD && token == NCR_JSON_NUMBER) {
        return ncr_request_bad(&req->told, "maxOutputTokens is out of range");
    }

    /* what is no integer is the upstream's to refuse */

    if (rc == NCR_OK) {
        req->told.max_tokens = n;
    }

    return NCR_OK;
}


/* the first element, whatever its role: no conversation starts but with it */

static void
ncr_gemini_request_content(ncr_gemini_request_t *req, ncr_json_token_e token)
{
    if (token == NCR_JSON_OBJECT && !req->first_done) {
        ncr_gemini_request_hash(req);
        return;
    }

    if (req->prefix.hashing) {
        ncr_prefix_to(&req->prefix, req->json.end);
        ncr_sha256_final(req->prefix.sha, req->content_digest);

        req->prefix.hashing = 0;
        req->has_content = 1;
    }

    req->first_done = 1;
    req->json.report = req->json.depth - 1;
}


static void
ncr_gemini_request_hash(ncr_gemini_request_t *req)
{
    ncr_prefix_part(&req->prefix);

    req->prefix.hashing = 1;
    req->prefix.from = req->json.start;
}
