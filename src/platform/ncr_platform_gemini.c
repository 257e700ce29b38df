
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Google's Gemini API with an API key: others.md C1.  A base URL may be a
 * template, "https://host/any/{model}:{action}", for gateways that have the
 * API elsewhere (SEEDS 1.4.6).
 */


#include "ncr_google_quota.h"
#include "ncr_gemini.h"
#include "ncr_str.h"
#include "ncr_uri.h"


#define NCR_PLATFORM_GEMINI_API     "/v1beta"
#define NCR_PLATFORM_GEMINI_OPENAI  "/v1beta/openai"
#define NCR_PLATFORM_GEMINI_MODEL   "{model}"
#define NCR_PLATFORM_GEMINI_ACTION  "{action}"


static ncr_credential_e ncr_platform_gemini_credential(ncr_str_t *secret);
static ncr_int_t ncr_platform_gemini_way(ncr_way_t *way);
static void ncr_platform_gemini_plain(ncr_way_t *way, ncr_str_t *action,
    ncr_uint_t mapped);
static void ncr_platform_gemini_template(ncr_way_t *way, ncr_str_t *action);
static void ncr_platform_gemini_path(ncr_out_t *out, ncr_str_t *path);
static ncr_uint_t ncr_platform_gemini_action(ncr_way_t *way,
    ncr_str_t *action);
static void ncr_platform_gemini_model(ncr_way_t *way);


ncr_platform_t  ncr_platform_gemini = {
    .name = ncr_string("gemini"),
    .base_url = ncr_string("https://generativelanguage.googleapis.com"),
    .ops = ncr_op_bit(NCR_OP_GENERATE)
           | ncr_op_bit(NCR_OP_STREAM_GENERATE)
           | ncr_op_bit(NCR_OP_GEMINI_COUNT)
           | ncr_op_bit(NCR_OP_GEMINI_EMBED)
           | ncr_op_bit(NCR_OP_GEMINI)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_CHAT)
           | ncr_op_bit(NCR_OP_EMBEDDINGS),
    .named = ncr_op_bit(NCR_OP_CHAT)
             | ncr_op_bit(NCR_OP_EMBEDDINGS),
    .templates = 1,
    .credential = ncr_platform_gemini_credential,
    .classify = ncr_google_classify,
    .provider = "gcp.gemini",
    .probe = ncr_string("/v1beta/models"),
    .way = ncr_platform_gemini_way
};


/* a project to be billed in place of the account's; it goes with a login of
 * the client's own */

static const char *const  ncr_platform_gemini_drop[] = {
    "x-goog-user-project",
    NULL
};


static ncr_credential_e
ncr_platform_gemini_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_GOOGLE;
}


static ncr_int_t
ncr_platform_gemini_way(ncr_way_t *way)
{
    ncr_str_t   action;
    ncr_uint_t  mapped;

    way->drop = ncr_platform_gemini_drop;

    action.len = 0;
    action.data = NULL;

    mapped = ncr_platform_gemini_action(way, &action)
             && (way->model.len != way->asked.len
                 || memcmp(way->model.data, way->asked.data, way->model.len)
                    != 0);

    if (mapped) {
        ncr_platform_gemini_model(way);
    }

    if (ncr_str_contains(&way->base, NCR_PLATFORM_GEMINI_MODEL)) {

        if (action.len == 0) {
            way->status = 404;
            way->error = "this account has calls to models only";
            return NCR_BAD;
        }

        ncr_platform_gemini_template(way, &action);

    } else {
        ncr_platform_gemini_plain(way, &action, mapped);
    }

    if (way->args.len) {
        ncr_out_text(&way->target, "?");
        ncr_out_str(&way->target, &way->args);
    }

    return NCR_OK;
}


static void
ncr_platform_gemini_plain(ncr_way_t *way, ncr_str_t *action,
    ncr_uint_t mapped)
{
    ncr_str_t   base, path;
    ncr_out_t  *out;

    out = &way->target;
    base = way->base;
    path = way->path;

    /* some write it with the version behind it, as SDKs do */

    if (base.len >= sizeof(NCR_PLATFORM_GEMINI_API) - 1
        && memcmp(base.data + base.len
                  - (sizeof(NCR_PLATFORM_GEMINI_API) - 1),
                  NCR_PLATFORM_GEMINI_API,
                  sizeof(NCR_PLATFORM_GEMINI_API) - 1)
           == 0)
    {
        base.len -= sizeof(NCR_PLATFORM_GEMINI_API) - 1;
    }

    ncr_out_str(out, &base);

    if (way->dialect == NCR_DIALECT_OPENAI) {

        if (ncr_str_prefix(&path, "/v1/")) {
            path.data += sizeof("/v1") - 1;
            path.len -= sizeof("/v1") - 1;
        }

        ncr_out_text(out, NCR_PLATFORM_GEMINI_OPENAI);
        ncr_platform_gemini_path(out, &path);
        return;
    }

    if (!mapped) {
        ncr_platform_gemini_path(out, &path);
        return;
    }

    /* "/v1beta/models/" or "/v1/models/" */

    path.len -= action->len + 1 + way->asked.len;

    ncr_platform_gemini_path(out, &path);
    ncr_platform_gemini_path(out, &way->model);
    ncr_out_text(out, ":");
    ncr_out_str(out, action);
}


/* the API's version is in the template, or is not needed there */

static void
ncr_platform_gemini_template(ncr_way_t *way, ncr_str_t *action)
{
    size_t      i;
    ncr_str_t   rest;
    ncr_out_t  *out;

    out = &way->target;

    for (i = 0; i < way->base.len; i++) {
        rest.data = way->base.data + i;
        rest.len = way->base.len - i;

        if (ncr_str_prefix(&rest, NCR_PLATFORM_GEMINI_MODEL)) {
            ncr_platform_gemini_path(out, &way->model);
            i += sizeof(NCR_PLATFORM_GEMINI_MODEL) - 2;

        } else if (ncr_str_prefix(&rest, NCR_PLATFORM_GEMINI_ACTION)) {
            ncr_out_str(out, action);
            i += sizeof(NCR_PLATFORM_GEMINI_ACTION) - 2;

        } else {
            ncr_out_bytes(out, rest.data, 1);
        }
    }
}


/* slashes and colons are themselves in a path of Google's */

static void
ncr_platform_gemini_path(ncr_out_t *out, ncr_str_t *path)
{
    size_t      i, from;
    ncr_str_t   part;

    for (i = 0, from = 0; i <= path->len; i++) {

        if (i < path->len && path->data[i] != '/' && path->data[i] != ':') {
            continue;
        }

        part.data = path->data + from;
        part.len = i - from;

        ncr_uri_escape(out, &part);

        if (i < path->len) {
            ncr_out_bytes(out, path->data + i, 1);
        }

        from = i + 1;
    }
}


/* what follows the last ":" of a path with a model in it; 0: there is none */

static ncr_uint_t
ncr_platform_gemini_action(ncr_way_t *way, ncr_str_t *action)
{
    size_t  i;

    switch (way->op) {

    case NCR_OP_GENERATE:
    case NCR_OP_STREAM_GENERATE:
    case NCR_OP_GEMINI_COUNT:
    case NCR_OP_GEMINI_EMBED:
        break;

    default:
        return 0;
    }

    for (i = way->path.len; i && way->path.data[i - 1] != ':'; i--) {
        /* void */
    }

    action->data = way->path.data + i;
    action->len = way->path.len - i;

    return i > way->asked.len;
}


/* an embedding names its model in the body again, and both must agree */

static void
ncr_platform_gemini_model(ncr_way_t *way)
{
    ncr_str_t      name;
    ncr_edit_t    *edit;
    ncr_uint_t     i;
    ncr_char_t    *from;
    ncr_member_t  *m;

    if (way->members == NULL || way->lists > 1) {
        return;
    }

    for (i = 0; i < way->members->n; i++) {
        m = &way->members->member[i];

        if (m->name != NCR_GEMINI_MODEL || way->nedits == NCR_WAY_EDITS) {
            continue;
        }

        from = way->text.last;

        ncr_out_text(&way->text, "\"models/");
        ncr_out_json(&way->text, &way->model);
        ncr_out_text(&way->text, "\"");

        name.data = from;
        name.len = (size_t) (way->text.last - from);

        edit = &way->edits[way->nedits++];

        edit->offset = m->start;
        edit->remove = m->end - m->start;
        edit->insert = name;
        return;
    }
}
