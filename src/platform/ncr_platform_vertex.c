
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Claude on Google's Vertex AI: the Messages API under paths that name the
 * model, with an access token of Google's (clients.md, "Vertex").  Bodies and
 * answers are those of the first party, but for the model, which is in the
 * path, and the version, which is in the body.
 */


#include "ncr_verdict.h"
#include "ncr_anthropic.h"
#include "ncr_str.h"


typedef enum {
    NCR_VERTEX_PROJECT = 0,
    NCR_VERTEX_REGION,
    NCR_VERTEX_VERSION
} ncr_vertex_param_e;


static ncr_credential_e ncr_platform_vertex_credential(ncr_str_t *secret);
static const char *ncr_platform_vertex_name(ncr_str_t *value);
static ncr_str_t ncr_platform_vertex_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static ncr_int_t ncr_platform_vertex_way(ncr_way_t *way);
static void ncr_platform_vertex_path(ncr_way_t *way, ncr_str_t *model,
    ncr_uint_t stream);
static ncr_str_t ncr_platform_vertex_model(ncr_way_t *way);
static ncr_str_t ncr_platform_vertex_text(ncr_out_t *out, ncr_char_t *start);
static void ncr_platform_vertex_body(ncr_way_t *way, ncr_str_t *model);


static const ncr_param_t  ncr_platform_vertex_params[] = {
    { ncr_string("project"), ncr_string(""), 1, ncr_platform_vertex_name },
    { ncr_string("region"), ncr_string("global"), 1,
      ncr_platform_vertex_name },
    { ncr_string("anthropic_version"), ncr_string("vertex-2023-10-16"), 1,
      NULL },
    { ncr_string(""), ncr_string(""), 0, NULL }
};


ncr_platform_t  ncr_platform_vertex = {
    .name = ncr_string("vertex"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_PREDICT),
    .credential = ncr_platform_vertex_credential,
    .classify = ncr_verdict_default,
    .provider = "gcp.vertex_ai",
    .params = ncr_platform_vertex_params,
    .base = ncr_platform_vertex_base,
    .way = ncr_platform_vertex_way
};


static ncr_credential_e
ncr_platform_vertex_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


/* parts of a path and of a host's name: "example.com:a-project-1" */

static const char *
ncr_platform_vertex_name(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
            && c != '.' && c != ':')
        {
            return "must have a-z 0-9 - . : only";
        }
    }

    return NULL;
}


static ncr_str_t
ncr_platform_vertex_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    ncr_out_t   out;
    ncr_str_t  *region, url;

    region = &params[NCR_VERTEX_REGION];

    ncr_out_init(&out, buf, size);
    ncr_out_text(&out, "https://");

    if (ncr_str_eq(region, "us") || ncr_str_eq(region, "eu")) {
        ncr_out_text(&out, "aiplatform.");
        ncr_out_str(&out, region);
        ncr_out_text(&out, ".rep.googleapis.com");

    } else {

        if (!ncr_str_eq(region, "global")) {
            ncr_out_str(&out, region);
            ncr_out_text(&out, "-");
        }

        ncr_out_text(&out, "aiplatform.googleapis.com");
    }

    url.data = out.start;
    url.len = out.overflow ? 0 : (size_t) (out.last - out.start);

    return url;
}


static ncr_int_t
ncr_platform_vertex_way(ncr_way_t *way)
{
    ncr_str_t   model, count;
    ncr_uint_t  stream;

    model = ncr_platform_vertex_model(way);

    if (model.len == 0) {
        return NCR_ERROR;
    }

    switch (way->op) {

    case NCR_OP_COUNT_TOKENS:
        ncr_str_set(&count, "count-tokens");
        ncr_platform_vertex_path(way, &count, 0);
        break;

    case NCR_OP_PREDICT:

        /* which of the two is the client's word, as the answer's form is */

        ncr_str_set(&count, ":streamRawPredict");

        stream = (way->path.len > count.len
                  && memcmp(way->path.data + way->path.len - count.len,
                            count.data, count.len) == 0);

        ncr_platform_vertex_path(way, &model, stream);
        break;

    default: /* NCR_OP_MESSAGES */
        ncr_platform_vertex_path(way, &model, way->stream);
        break;
    }

    if (way->members) {
        ncr_platform_vertex_body(way, &model);
    }

    return NCR_OK;
}


static void
ncr_platform_vertex_path(ncr_way_t *way, ncr_str_t *model, ncr_uint_t stream)
{
    size_t      i;
    ncr_out_t  *out;
    ncr_char_t  c;

    static const char  hex[] = "0123456789ABCDEF";

    out = &way->target;

    ncr_out_str(out, &way->base);
    ncr_out_text(out, "/v1/projects/");
    ncr_out_str(out, &way->params[NCR_VERTEX_PROJECT]);
    ncr_out_text(out, "/locations/");
    ncr_out_str(out, &way->params[NCR_VERTEX_REGION]);
    ncr_out_text(out, "/publishers/anthropic/models/");

    for (i = 0; i < model->len; i++) {
        c = model->data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'
            || c == '@')
        {
            ncr_out_bytes(out, &c, 1);
            continue;
        }

        ncr_out_text(out, "%");
        ncr_out_bytes(out, &hex[c >> 4], 1);
        ncr_out_bytes(out, &hex[c & 15], 1);
    }

    ncr_out_text(out, stream ? ":streamRawPredict" : ":rawPredict");
}


/* "claude-opus-4-5-20251101" is "claude-opus-4-5@20251101" there */

static ncr_str_t
ncr_platform_vertex_model(ncr_way_t *way)
{
    size_t       i;
    ncr_str_t    model;
    ncr_char_t  *p;

    model = way->model;

    if (model.len <= sizeof("-20251101") - 1) {
        return model;
    }

    p = model.data + model.len - (sizeof("-20251101") - 1);

    if (*p != '-') {
        return model;
    }

    for (i = 1; i < sizeof("-20251101") - 1; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return model;
        }
    }

    p = way->alloc(way, model.len);

    if (p == NULL) {
        model.len = 0;
        return model;
    }

    memcpy(p, model.data, model.len);
    p[model.len - (sizeof("-20251101") - 1)] = '@';

    model.data = p;

    return model;
}


/* a slice of the room for what is inserted, which does not move */

static ncr_str_t
ncr_platform_vertex_text(ncr_out_t *out, ncr_char_t *start)
{
    ncr_str_t  text;

    text.data = start;
    text.len = (size_t) (out->last - start);

    return text;
}


static void
ncr_platform_vertex_body(ncr_way_t *way, ncr_str_t *model)
{
    uint64_t       removed;
    ncr_str_t      text;
    ncr_char_t    *start;
    ncr_member_t  *member;

    removed = 0;
    member = ncr_members_find(way->members, NCR_ANTHROPIC_MODEL);

    if (way->op == NCR_OP_COUNT_TOKENS) {

        if (member && (model->data != way->model.data)) {
            start = way->text.last;
            ncr_out_json_string(&way->text, model);

            text = ncr_platform_vertex_text(&way->text, start);
            ncr_members_set(member, &text, &way->edits[way->nedits++]);
        }

    } else if (member) {
        removed = (uint64_t) 1 << NCR_ANTHROPIC_MODEL;
        way->nedits += ncr_members_remove(way->members, removed,
                                          way->edits + way->nedits);
    }

    if (ncr_members_find(way->members, NCR_ANTHROPIC_M_VERSION)) {
        return;
    }

    start = way->text.last;

    ncr_out_text(&way->text, "\"anthropic_version\":");
    ncr_out_json_string(&way->text, &way->params[NCR_VERTEX_VERSION]);

    text = ncr_platform_vertex_text(&way->text, start);

    way->nedits += ncr_members_add(way->members, removed, &text,
                                   way->edits + way->nedits);
}
