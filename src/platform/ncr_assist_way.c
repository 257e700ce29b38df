
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Requests to Code Assist and to Antigravity (others.md C6, C7).  Clients of
 * the Gemini API get the envelope around a body that stays as it is; who
 * comes with one gets the account's project put into it.
 */


#include "ncr_assist_way.h"


static ncr_int_t ncr_assist_make(ncr_way_t *way, ncr_uint_t modern);
static ncr_int_t ncr_assist_native(ncr_assist_way_t *aw);
static ncr_int_t ncr_assist_path(ncr_way_t *way, ncr_str_t *path);
static ncr_int_t ncr_assist_wrap(ncr_assist_way_t *aw);
static void ncr_assist_wrap_head(ncr_assist_way_t *aw, ncr_str_t *model);
static void ncr_assist_wrap_inner(ncr_assist_way_t *aw,
    ncr_members_t *members, uint64_t mask);
static void ncr_assist_wrap_lines(ncr_assist_way_t *aw, ncr_str_t *model);
static ncr_int_t ncr_assist_count(ncr_assist_way_t *aw);
static void ncr_assist_target(ncr_way_t *way, const char *path);
static ncr_str_t ncr_assist_project(ncr_way_t *way);
static ncr_int_t ncr_assist_token(ncr_json_t *json, ncr_json_token_e token);
static const char *ncr_assist_check_text(ncr_str_t *value, size_t max);


/* of the client's, about a client or a project that is not the account's */

static const char *const  ncr_assist_drop_native[] = {
    "x-goog-user-project",
    NULL
};


static const char *const  ncr_assist_drop[] = {
    "accept",
    "content-type",
    "x-gemini-api-privileged-user-id",
    "x-goog-api-client",
    "x-goog-request-params",
    "x-goog-user-project",
    "x-server-timeout",
    NULL
};


static const char *const  ncr_assist_drop_named[] = {
    "accept",
    "content-type",
    "user-agent",
    "x-gemini-api-privileged-user-id",
    "x-goog-api-client",
    "x-goog-request-params",
    "x-goog-user-project",
    "x-server-timeout",
    NULL
};


ncr_int_t
ncr_assist_way(ncr_way_t *way)
{
    return ncr_assist_make(way, 0);
}


ncr_int_t
ncr_antigravity_way(ncr_way_t *way)
{
    return ncr_assist_make(way, 1);
}


static ncr_int_t
ncr_assist_make(ncr_way_t *way, ncr_uint_t modern)
{
    ncr_assist_way_t  aw;

    memset(&aw, 0, sizeof(ncr_assist_way_t));

    aw.way = way;
    aw.modern = modern;
    aw.project = ncr_assist_project(way);

    if (ncr_str_prefix(&way->path, "/v1internal")) {
        return ncr_assist_native(&aw);
    }

    switch (way->op) {

    case NCR_OP_GENERATE:
    case NCR_OP_STREAM_GENERATE:
        return ncr_assist_wrap(&aw);

    case NCR_OP_GEMINI_COUNT:
        return ncr_assist_count(&aw);

    default:
        return ncr_assist_refuse(way, 404, "no such path on this account's "
                                 "platform");
    }
}


ncr_int_t
ncr_assist_refuse(ncr_way_t *way, ncr_uint_t status, const char *error)
{
    way->status = status;
    way->error = error;

    return NCR_BAD;
}


static ncr_int_t
ncr_assist_native(ncr_assist_way_t *aw)
{
    ncr_str_t   path;
    ncr_way_t  *way;

    way = aw->way;

    if (ncr_assist_path(way, &path) != NCR_OK) {
        return ncr_assist_refuse(way, 404, "no such method of Code Assist");
    }

    /* the account is not this client's alone */

    if (ncr_str_prefix(&path, "/v1internal:set")) {
        return ncr_assist_refuse(way, 403, "settings of the account cannot be "
                                 "changed through this relay");
    }

    way->drop = ncr_assist_drop_native;

    ncr_out_str(&way->target, &path);

    if (way->args.len) {
        ncr_out_text(&way->target, "?");
        ncr_out_str(&way->target, &way->args);
    }

    switch (way->op) {

    case NCR_OP_GENERATE:
    case NCR_OP_STREAM_GENERATE:

        if (ncr_assist_envelope(aw) != NCR_OK) {
            return NCR_BAD;
        }

        if (aw->modern && !aw->own) {
            ncr_assist_wrap_lines(aw, &way->model);
        }

        return NCR_OK;

    case NCR_OP_ASSIST:
        return ncr_assist_control(aw);

    default:
        return NCR_OK;
    }
}


/* what goes on the wire was unescaped: nothing that would need it is there;
 * the base is in the target already, and *path is without it */

static ncr_int_t
ncr_assist_path(ncr_way_t *way, ncr_str_t *path)
{
    size_t      i;
    ncr_str_t   base;
    ncr_char_t  c;

    *path = way->path;

    for (i = 0; i < path->len; i++) {
        c = path->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '/' || c == ':' || c == '-'
              || c == '_' || c == '.'))
        {
            return NCR_BAD;
        }
    }

    base = ncr_assist_trim(&way->base);
    ncr_out_str(&way->target, &base);

    return NCR_OK;
}


ncr_str_t
ncr_assist_trim(ncr_str_t *base)
{
    size_t     len;
    ncr_str_t  s, tail;

    len = sizeof("/v1internal") - 1;
    s = *base;

    if (s.len >= len) {
        tail.data = s.data + s.len - len;
        tail.len = len;

        if (ncr_str_eq(&tail, "/v1internal")) {
            s.len -= len;
        }
    }

    return s;
}


static void
ncr_assist_target(ncr_way_t *way, const char *path)
{
    ncr_str_t  base;

    base = ncr_assist_trim(&way->base);

    ncr_out_str(&way->target, &base);
    ncr_out_text(&way->target, path);
}


/* a client of the Gemini API */

static ncr_int_t
ncr_assist_wrap(ncr_assist_way_t *aw)
{
    uint64_t        mask;
    ncr_str_t       model, alt;
    ncr_way_t      *way;
    ncr_members_t  *members;

    way = aw->way;
    members = way->members;

    if (members == NULL) {
        return ncr_assist_refuse(way, 400, "the body cannot be read");
    }

    model = ncr_assist_model(aw);

    if (model.len == 0) {
        return ncr_assist_refuse(way, 400, "the path names no model");
    }

    if (way->op == NCR_OP_GENERATE) {
        ncr_assist_target(way, "/v1internal:generateContent");
        way->translation = &ncr_assist_body;

    } else {
        ncr_assist_target(way, "/v1internal:streamGenerateContent?alt=sse");

        way->translation = (ncr_uri_arg(&way->args, "alt", &alt) == NCR_OK
                            && ncr_str_eq(&alt, "sse"))
                           ? &ncr_assist_events : &ncr_assist_array;
    }

    ncr_assist_wrap_head(aw, &model);

    /* of the request itself it is no member here */

    mask = (uint64_t) 1 << NCR_GEMINI_MODEL;

    ncr_assist_wrap_inner(aw, members, mask);

    ncr_assist_edit(way, members->close + 1, 0);
    ncr_out_text(&way->text, "}");
    ncr_assist_insert(way);

    ncr_assist_wrap_lines(aw, &model);

    return NCR_OK;
}


static void
ncr_assist_wrap_head(ncr_assist_way_t *aw, ncr_str_t *model)
{
    ncr_way_t  *way;

    way = aw->way;

    ncr_assist_edit(way, 0, 0);

    ncr_out_text(&way->text, "{\"model\":");
    ncr_out_json_string(&way->text, model);
    ncr_out_text(&way->text, ",");

    if (aw->project.len) {
        ncr_out_text(&way->text, "\"project\":");
        ncr_out_str(&way->text, &aw->project);
        ncr_out_text(&way->text, ",");
    }

    if (aw->modern) {
        ncr_assist_modern(aw, model);

    } else {
        ncr_out_text(&way->text, "\"user_prompt_id\":\"");
        ncr_assist_uuid(way);
        ncr_out_text(&way->text, "\"");
    }

    ncr_out_text(&way->text, ",\"request\":");

    ncr_assist_insert(way);
}


/* what Antigravity's envelope has beside (C7) */

void
ncr_assist_modern(ncr_assist_way_t *aw, ncr_str_t *model)
{
    ncr_way_t  *way;

    way = aw->way;

    ncr_out_text(&way->text, "\"requestId\":\"agent-");
    ncr_assist_uuid(way);
    ncr_out_text(&way->text, "\",\"userAgent\":\"antigravity\","
                 "\"requestType\":\"");
    ncr_out_text(&way->text, ncr_str_contains(model, "image") ? "image_gen"
                                                              : "agent");
    ncr_out_text(&way->text, "\"");
}


/* the request itself: a session, and Antigravity's spelling */

static void
ncr_assist_wrap_inner(ncr_assist_way_t *aw, ncr_members_t *members,
    uint64_t mask)
{
    ncr_way_t  *way;

    way = aw->way;

    if (aw->modern) {
        mask |= ncr_assist_spell(aw, members);
    }

    way->nedits += ncr_members_remove(members, mask,
                                      way->edits + way->nedits);

    if (!aw->modern && way->session.len == 0) {
        return;
    }

    ncr_assist_session(aw);

    way->nedits += ncr_members_add(members, mask, &aw->cut,
                                   way->edits + way->nedits);
}


/* who asks is what the client says, but by the word of the operator */

static void
ncr_assist_wrap_lines(ncr_assist_way_t *aw, ncr_str_t *model)
{
    size_t      i;
    ncr_str_t   version;
    ncr_way_t  *way;
    ncr_char_t  c;

    way = aw->way;
    version = way->params[NCR_ASSIST_VERSION];
    way->drop = version.len ? ncr_assist_drop_named : ncr_assist_drop;

    if (version.len == 0) {
        /* void */

    } else if (aw->modern) {
        ncr_out_text(&way->lines, "User-Agent: antigravity/");
        ncr_out_str(&way->lines, &version);
        ncr_out_text(&way->lines, " ");
        ncr_out_str(&way->lines, &way->params[NCR_ASSIST_OS]);
        ncr_out_text(&way->lines, "\r\n");

    } else {
        ncr_out_text(&way->lines, "User-Agent: GeminiCLI/");
        ncr_out_str(&way->lines, &version);
        ncr_out_text(&way->lines, "/");

        /* the client's word, in a header */

        for (i = 0; i < model->len; i++) {
            c = model->data[i];

            if (c > ' ' && c < 0x7f) {
                ncr_out_bytes(&way->lines, &c, 1);
            }
        }

        ncr_out_text(&way->lines, " (linux; x64; terminal)\r\n");
    }

    ncr_out_text(&way->lines, "Content-Type: application/json\r\nAccept: ");
    ncr_out_text(&way->lines, (way->op == NCR_OP_STREAM_GENERATE)
                              ? "text/event-stream" : "application/json");
    ncr_out_text(&way->lines, "\r\n");
}


/*
 * The Gemini API counts {"contents":...} or {"generateContentRequest":{...}},
 * Code Assist {"request":{"model":"models/...","contents":...}} and nothing
 * more (C6).
 */

static ncr_int_t
ncr_assist_count(ncr_assist_way_t *aw)
{
    uint64_t       start, end;
    ncr_str_t      model;
    ncr_way_t     *way;
    ncr_member_t  *m;

    way = aw->way;

    model = ncr_assist_model(aw);

    if (model.len == 0) {
        return ncr_assist_refuse(way, 400, "the path names no model");
    }

    m = way->members ? ncr_members_find(way->members, NCR_GEMINI_CONTENTS)
                     : NULL;

    if (m != NULL) {
        start = m->start;
        end = m->end;

    } else if (ncr_assist_contents(way, &start, &end) != NCR_OK) {
        return ncr_assist_refuse(way, 400, "contents: Field required");
    }

    ncr_assist_target(way, "/v1internal:countTokens");

    ncr_assist_edit(way, 0, start);
    ncr_out_text(&way->text, "{\"request\":{\"model\":");

    if (ncr_str_prefix(&model, "models/")) {
        ncr_out_json_string(&way->text, &model);

    } else {
        ncr_out_text(&way->text, "\"models/");
        ncr_out_json(&way->text, &model);
        ncr_out_text(&way->text, "\"");
    }

    ncr_out_text(&way->text, ",\"contents\":");
    ncr_assist_insert(way);

    ncr_assist_edit(way, end, way->length - end);
    ncr_out_text(&way->text, "}}");
    ncr_assist_insert(way);

    ncr_assist_wrap_lines(aw, &model);

    return NCR_OK;
}


/*
 * Names that Antigravity has for models of the Gemini API, and for Claude's
 * (C7); an operator's word counts more.
 */

ncr_str_t
ncr_assist_model(ncr_assist_way_t *aw)
{
    ncr_str_t   model;
    ncr_way_t  *way;

    way = aw->way;
    model = way->model;

    if (!aw->modern || model.len != way->asked.len
        || memcmp(model.data, way->asked.data, model.len) != 0)
    {
        return model;
    }

    if (ncr_str_eq(&model, "gemini-3-pro-preview")
        || ncr_str_eq(&model, "gemini-3.1-pro-preview"))
    {
        ncr_str_set(&model, "gemini-3.1-pro-high");
        return model;
    }

    if (ncr_str_prefix(&model, "claude-")
        && !ncr_str_contains(&model, "opus")
        && model.len > sizeof("-thinking") - 1
        && memcmp(model.data + model.len - (sizeof("-thinking") - 1),
                  "-thinking", sizeof("-thinking") - 1)
           == 0)
    {
        model.len -= sizeof("-thinking") - 1;
    }

    return model;
}


/* as JSON; what an operator has written counts more than the login's */

static ncr_str_t
ncr_assist_project(ncr_way_t *way)
{
    ncr_str_t    text, *param;
    ncr_char_t  *from;

    param = &way->params[NCR_ASSIST_PROJECT];

    if (param->len == 0) {
        return ncr_assist_member(&way->meta, "project");
    }

    from = way->text.last;
    ncr_out_json_string(&way->text, param);

    text.data = from;
    text.len = (size_t) (way->text.last - from);

    return text;
}


typedef struct {
    const char  *name;
    ncr_str_t    object;
    ncr_str_t    value;
    unsigned     here:1;
} ncr_assist_member_t;


ncr_str_t
ncr_assist_member(ncr_str_t *object, const char *name)
{
    ncr_json_t           json;
    ncr_assist_member_t  m;

    memset(&m, 0, sizeof(ncr_assist_member_t));

    m.name = name;
    m.object = *object;

    ncr_json_init(&json);

    json.data = &m;
    json.token = ncr_assist_token;
    json.report = 1;

    if (ncr_json_feed(&json, object->data, object->len) != NCR_OK) {
        ncr_str_null(&m.value);
    }

    return m.value;
}


static ncr_int_t
ncr_assist_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_assist_member_t  *m;

    m = json->data;

    if (json->depth != 1) {
        return NCR_OK;
    }

    if (token == NCR_JSON_KEY) {
        m->here = ncr_str_eq(&json->text, m->name);

    } else if (token == NCR_JSON_STRING && m->here) {
        m->value.data = m->object.data + json->start;
        m->value.len = (size_t) (json->end - json->start);
    }

    return NCR_OK;
}


const char *
ncr_assist_check_project(ncr_str_t *value)
{
    return ncr_assist_check_text(value, 128);
}


const char *
ncr_assist_check_word(ncr_str_t *value)
{
    return ncr_assist_check_text(value, 64);
}


static const char *
ncr_assist_check_text(ncr_str_t *value, size_t max)
{
    size_t      i;
    ncr_char_t  c;

    if (value->len > max) {
        return "is too long";
    }

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\') {
            return "has characters that it cannot have";
        }
    }

    return NULL;
}


ncr_credential_e
ncr_assist_credential(ncr_str_t *secret)
{
    return NCR_CREDENTIAL_BEARER;
}
