
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Clients that come with an envelope, or that ask Code Assist for something
 * else: they have a project that is theirs, or was told them by another
 * account.  The account's takes its place (others.md C6).
 */


#include "ncr_assist_way.h"


/* what else is asked is small, and is read as a whole */
#define NCR_ASSIST_CONTROL  (1024 * 1024)

#define ncr_assist_bit(name)  ((uint64_t) 1 << (name))


typedef enum {
    NCR_ASSIST_KEY_OTHER = 0,
    NCR_ASSIST_KEY_PROJECT,
    NCR_ASSIST_KEY_METADATA,
    NCR_ASSIST_KEY_GENERATE
} ncr_assist_key_e;


typedef struct {
    ncr_assist_way_t  *aw;
    ncr_assist_key_e   key[3];          /* by depth */
    uint64_t           start;
    uint64_t           end;
    uint64_t           close;
    unsigned           named:1;         /* there was a project */
    unsigned           any:1;           /* there was a member */
    unsigned           here:1;          /* the next value is looked for */
    unsigned           found:1;
    unsigned           object:1;
} ncr_assist_control_t;


static uint64_t ncr_assist_dialect(ncr_assist_way_t *aw,
    ncr_members_t *body, ncr_members_t *inner);
static void ncr_assist_add(ncr_assist_way_t *aw, ncr_members_t *body,
    uint64_t mask);
static ncr_int_t ncr_assist_control_token(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_assist_control_project(ncr_assist_control_t *c,
    ncr_json_t *json);
static void ncr_assist_control_missing(ncr_assist_control_t *c);
static ncr_int_t ncr_assist_contents_token(ncr_json_t *json,
    ncr_json_token_e token);


/* the spelling that is taken; others are of proto-JSON, too, but not there */

static const struct {
    ncr_gemini_name_e  name;
    ncr_str_t          text;
} ncr_assist_names[] = {
    { NCR_GEMINI_SYSTEM, ncr_string("\"systemInstruction\":") },
    { NCR_GEMINI_TOOL_CONFIG, ncr_string("\"toolConfig\":") },
    { NCR_GEMINI_GENERATION_CONFIG, ncr_string("\"generationConfig\":") },
    { NCR_GEMINI_CACHED_CONTENT, ncr_string("\"cachedContent\":") },
    { NCR_GEMINI_OTHER, ncr_null_string }
};


void
ncr_assist_edit(ncr_way_t *way, uint64_t offset, uint64_t remove)
{
    ncr_edit_t  *edit;

    edit = &way->edits[way->nedits];

    edit->offset = offset;
    edit->remove = remove;
    edit->insert.data = way->text.last;
    edit->insert.len = 0;
}


void
ncr_assist_insert(ncr_way_t *way)
{
    ncr_edit_t  *edit;

    edit = &way->edits[way->nedits++];

    edit->insert.len = (size_t) (way->text.last - edit->insert.data);
}


ncr_int_t
ncr_assist_envelope(ncr_assist_way_t *aw)
{
    uint64_t        mask;
    ncr_str_t       model;
    ncr_way_t      *way;
    ncr_member_t   *m;
    ncr_members_t  *body;

    way = aw->way;
    body = way->members;

    if (body == NULL || way->lists < NCR_GEMINI_LISTS) {
        return ncr_assist_refuse(way, 400, "request: Field required");
    }

    aw->own = (ncr_members_find(body, NCR_GEMINI_REQUEST_ID) != NULL
               || ncr_members_find(body, NCR_GEMINI_REQUEST_TYPE) != NULL);

    mask = 0;

    if (aw->own != aw->modern) {
        mask = ncr_assist_dialect(aw, body, &body[NCR_GEMINI_INNER]);

        way->nedits += ncr_members_remove(body, mask,
                                          way->edits + way->nedits);
    }

    model = ncr_assist_model(aw);
    m = ncr_members_find(body, NCR_GEMINI_MODEL);

    if (m != NULL
        && (model.len != way->model.len
            || memcmp(model.data, way->model.data, model.len) != 0))
    {
        ncr_assist_edit(way, m->start, m->end - m->start);
        ncr_out_json_string(&way->text, &model);
        ncr_assist_insert(way);
    }

    m = ncr_members_find(body, NCR_GEMINI_PROJECT);

    if (m != NULL && aw->project.len) {
        ncr_members_set(m, &aw->project, &way->edits[way->nedits++]);
    }

    ncr_assist_add(aw, body, mask);

    return NCR_OK;
}


/* an envelope of the other kind: what of it has to go */

static uint64_t
ncr_assist_dialect(ncr_assist_way_t *aw, ncr_members_t *body,
    ncr_members_t *inner)
{
    uint64_t       mask;
    ncr_way_t     *way;
    ncr_member_t  *m;

    way = aw->way;

    if (!aw->modern) {

        m = ncr_members_find(inner, NCR_GEMINI_SESSION_ID);

        if (m != NULL) {
            ncr_assist_edit(way, m->key, m->start - m->key);
            ncr_str_set(&way->edits[way->nedits].insert, "\"session_id\":");
            way->nedits++;
        }

        return ncr_assist_bit(NCR_GEMINI_REQUEST_ID)
               | ncr_assist_bit(NCR_GEMINI_REQUEST_TYPE)
               | ncr_assist_bit(NCR_GEMINI_USER_AGENT);
    }

    mask = ncr_assist_spell(aw, inner) | ncr_assist_bit(NCR_GEMINI_SESSION_ID);

    way->nedits += ncr_members_remove(inner, mask, way->edits + way->nedits);

    ncr_assist_session(aw);

    way->nedits += ncr_members_add(inner, mask, &aw->cut,
                                   way->edits + way->nedits);

    return ncr_assist_bit(NCR_GEMINI_USER_PROMPT_ID)
           | ncr_assist_bit(NCR_GEMINI_USER_AGENT);
}


static void
ncr_assist_add(ncr_assist_way_t *aw, ncr_members_t *body, uint64_t mask)
{
    ncr_str_t    text, model;
    ncr_way_t   *way;
    ncr_uint_t   project;

    way = aw->way;

    text.data = way->text.last;

    project = (aw->project.len
               && ncr_members_find(body, NCR_GEMINI_PROJECT) == NULL);

    if (project) {
        ncr_out_text(&way->text, "\"project\":");
        ncr_out_str(&way->text, &aw->project);
    }

    if (aw->modern && !aw->own) {

        if (project) {
            ncr_out_text(&way->text, ",");
        }

        model = ncr_assist_model(aw);
        ncr_assist_modern(aw, &model);
    }

    text.len = (size_t) (way->text.last - text.data);

    if (text.len) {
        way->nedits += ncr_members_add(body, mask, &text,
                                       way->edits + way->nedits);
    }
}


/* names that Antigravity would not know, or does not take */

uint64_t
ncr_assist_spell(ncr_assist_way_t *aw, ncr_members_t *members)
{
    uint64_t       size;
    ncr_way_t     *way;
    ncr_uint_t     i;
    ncr_member_t  *m;

    way = aw->way;

    for (i = 0; ncr_assist_names[i].text.len; i++) {

        m = ncr_members_find(members, ncr_assist_names[i].name);

        if (m == NULL) {
            continue;
        }

        size = m->start - m->key;

        /* as clients write it; else it does no harm */

        if (size != ncr_assist_names[i].text.len) {
            ncr_assist_edit(way, m->key, size);
            way->edits[way->nedits++].insert = ncr_assist_names[i].text;
        }
    }

    return ncr_assist_bit(NCR_GEMINI_SAFETY_SETTINGS)
           | ncr_assist_bit(NCR_GEMINI_LABELS);
}


void
ncr_assist_session(ncr_assist_way_t *aw)
{
    size_t       i;
    uint64_t     n;
    ncr_way_t   *way;
    ncr_char_t   c;

    way = aw->way;

    aw->cut.data = way->text.last;

    if (aw->modern) {

        /* the text of a signed integer, negative as its client's are */

        n = 0;

        for (i = 0; i < 15; i++) {
            c = (i < way->session.len) ? way->session.data[i]
                                       : way->random[i];
            n = n << 4 | ((c > '9') ? (c + 9) & 15 : c & 15);
        }

        ncr_out_text(&way->text, "\"sessionId\":\"-");
        ncr_out_int(&way->text, (int64_t) n + 1);

    } else {
        ncr_out_text(&way->text, "\"session_id\":\"");
        ncr_out_json(&way->text, &way->session);
    }

    ncr_out_text(&way->text, "\"");

    aw->cut.len = (size_t) (way->text.last - aw->cut.data);
}


/* RFC 4122, version 4 */

void
ncr_assist_uuid(ncr_way_t *way)
{
    size_t      i;
    ncr_char_t  c, text[2];

    static const char  hex[] = "0123456789abcdef";

    for (i = 0; i < sizeof(way->random); i++) {
        c = way->random[i];

        c = (i == 6) ? (ncr_char_t) ((c & 0x0f) | 0x40)
            : (i == 8) ? (ncr_char_t) ((c & 0x3f) | 0x80) : c;

        if (i == 4 || i == 6 || i == 8 || i == 10) {
            ncr_out_text(&way->text, "-");
        }

        text[0] = (ncr_char_t) hex[c >> 4];
        text[1] = (ncr_char_t) hex[c & 15];

        ncr_out_bytes(&way->text, text, 2);
    }
}


/* all methods beside those that generate and count */

ncr_int_t
ncr_assist_control(ncr_assist_way_t *aw)
{
    ncr_str_t              body;
    ncr_way_t             *way;
    ncr_json_t             json;
    ncr_assist_control_t   c;

    way = aw->way;

    if (way->length == 0 || aw->project.len == 0) {
        return NCR_OK;
    }

    if (way->length > NCR_ASSIST_CONTROL) {
        return ncr_assist_refuse(way, 413, "the body is too large for this "
                                 "method");
    }

    body = way->body(way);

    if (body.data == NULL) {
        return NCR_ERROR;
    }

    memset(&c, 0, sizeof(ncr_assist_control_t));

    c.aw = aw;

    ncr_json_init(&json);

    json.data = &c;
    json.token = ncr_assist_control_token;
    json.report = 2;

    if (ncr_json_feed(&json, body.data, body.len) != NCR_OK || !c.object) {
        return ncr_assist_refuse(way, 400, "the body is not a JSON object");
    }

    if (!c.named
        && (ncr_str_eq(&way->path, "/v1internal:retrieveUserQuota")
            || ncr_str_eq(&way->path, "/v1internal:fetchAvailableModels")))
    {
        ncr_assist_control_missing(&c);
    }

    return NCR_OK;
}


static ncr_int_t
ncr_assist_control_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_assist_key_e       key;
    ncr_assist_control_t  *c;

    c = json->data;

    switch (token) {

    case NCR_JSON_KEY:
        c->any = 1;
        key = NCR_ASSIST_KEY_OTHER;

        if (json->depth == 1) {

            if (ncr_str_eq(&json->text, "project")
                || ncr_str_eq(&json->text, "cloudaicompanionProject"))
            {
                key = NCR_ASSIST_KEY_PROJECT;
                c->named = 1;

            } else if (ncr_str_eq(&json->text, "metadata")) {
                key = NCR_ASSIST_KEY_METADATA;
            }

        } else if (c->key[1] == NCR_ASSIST_KEY_METADATA
                   && ncr_str_eq(&json->text, "duetProject"))
        {
            key = NCR_ASSIST_KEY_PROJECT;
        }

        c->key[json->depth] = key;

        break;

    case NCR_JSON_STRING:
    case NCR_JSON_NULL:

        if (json->depth && c->key[json->depth] == NCR_ASSIST_KEY_PROJECT) {
            ncr_assist_control_project(c, json);
        }

        break;

    case NCR_JSON_OBJECT_END:

        if (json->depth == 0) {
            c->object = 1;
            c->close = json->end - 1;
        }

        break;

    case NCR_JSON_ARRAY:

        /* its elements have no keys */

        if (json->depth == 1) {
            c->key[2] = NCR_ASSIST_KEY_OTHER;
        }

        break;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY_END:
    case NCR_JSON_NUMBER:
    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
        break;
    }

    return NCR_OK;
}


static void
ncr_assist_control_project(ncr_assist_control_t *c, ncr_json_t *json)
{
    ncr_way_t  *way;

    way = c->aw->way;

    /* somebody who writes it again and again is not helped */

    if (way->nedits == NCR_WAY_EDITS - 2) {
        return;
    }

    ncr_assist_edit(way, json->start, json->end - json->start);
    way->edits[way->nedits++].insert = c->aw->project;
}


static void
ncr_assist_control_missing(ncr_assist_control_t *c)
{
    ncr_way_t  *way;

    way = c->aw->way;

    ncr_assist_edit(way, c->close, 0);

    ncr_out_text(&way->text, c->any ? ",\"project\":" : "\"project\":");
    ncr_out_str(&way->text, &c->aw->project);

    ncr_assist_insert(way);
}


ncr_int_t
ncr_assist_contents(ncr_way_t *way, uint64_t *start, uint64_t *end)
{
    ncr_str_t              body;
    ncr_json_t             json;
    ncr_assist_control_t   c;

    body = way->body(way);

    if (body.data == NULL) {
        return NCR_DECLINED;
    }

    memset(&c, 0, sizeof(ncr_assist_control_t));

    ncr_json_init(&json);

    json.data = &c;
    json.token = ncr_assist_contents_token;
    json.report = 2;

    if (ncr_json_feed(&json, body.data, body.len) != NCR_OK || !c.found) {
        return NCR_DECLINED;
    }

    *start = c.start;
    *end = c.end;

    return NCR_OK;
}


static ncr_int_t
ncr_assist_contents_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_assist_control_t  *c;

    c = json->data;

    if (token == NCR_JSON_KEY && json->depth == 1) {
        c->key[1] = (ncr_str_eq(&json->text, "generateContentRequest")
                     || ncr_str_eq(&json->text, "generate_content_request"))
                    ? NCR_ASSIST_KEY_GENERATE : NCR_ASSIST_KEY_OTHER;
        return NCR_OK;
    }

    if (json->depth != 2 || c->key[1] != NCR_ASSIST_KEY_GENERATE) {
        return NCR_OK;
    }

    switch (token) {

    case NCR_JSON_KEY:
        c->here = ncr_str_eq(&json->text, "contents");
        break;

    case NCR_JSON_ARRAY:
    case NCR_JSON_OBJECT:

        if (c->here) {
            c->start = json->start;
        }

        break;

    case NCR_JSON_ARRAY_END:
    case NCR_JSON_OBJECT_END:

        if (c->here) {
            c->end = json->end;
            c->found = 1;
            c->here = 0;
        }

        break;

    case NCR_JSON_STRING:
    case NCR_JSON_NUMBER:
    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
    case NCR_JSON_NULL:
        break;
    }

    return NCR_OK;
}
