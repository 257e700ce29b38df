
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Paths and edits of requests in OpenAI's dialect. */


#include "ncr_openai_way.h"
#include "ncr_uri.h"
#include "ncr_str.h"


static ncr_uint_t ncr_openai_lacks_usage(ncr_way_t *way,
    ncr_member_t *options);
static ncr_int_t ncr_openai_token_usage(ncr_json_t *json,
    ncr_json_token_e token);


/* whether stream_options have a usage; its value is theirs to choose */

typedef struct {
    ncr_uint_t    told;
    ncr_uint_t    members;
} ncr_openai_options_t;


void
ncr_openai_path(ncr_str_t *path, ncr_openai_path_t *p)
{
    size_t  n;

    static const ncr_str_t  v1 = ncr_string("/v1");

    p->rest = *path;
    ncr_str_null(&p->deployment);

    /* "/v1/v1" is tolerated (G1) */

    while (p->rest.len > v1.len && p->rest.data[v1.len] == '/'
           && memcmp(p->rest.data, v1.data, v1.len) == 0)
    {
        p->rest.data += v1.len;
        p->rest.len -= v1.len;
    }

    if (!ncr_str_prefix(&p->rest, "/deployments/")) {
        return;
    }

    n = sizeof("/deployments/") - 1;

    p->deployment.data = p->rest.data + n;

    while (n < p->rest.len && p->rest.data[n] != '/') {
        p->deployment.len++;
        n++;
    }

    p->rest.data += n;
    p->rest.len -= n;
}


void
ncr_openai_escape(ncr_out_t *out, ncr_str_t *path)
{
    size_t     i;
    ncr_str_t  segment;

    segment.data = path->data;
    segment.len = 0;

    for (i = 0; i < path->len; i++) {

        if (path->data[i] != '/') {
            segment.len++;
            continue;
        }

        ncr_uri_escape(out, &segment);
        ncr_out_bytes(out, "/", 1);

        segment.data = path->data + i + 1;
        segment.len = 0;
    }

    ncr_uri_escape(out, &segment);
}


void
ncr_openai_args(ncr_out_t *out, ncr_str_t *args, const char *drop)
{
    size_t       i, len;
    ncr_str_t    element;
    ncr_uint_t   any;

    any = 0;
    len = strlen(drop);

    element.data = args->data;
    element.len = 0;

    for (i = 0; i <= args->len; i++) {

        if (i < args->len && args->data[i] != '&') {
            element.len++;
            continue;
        }

        if (element.len
            && !(ncr_str_prefix(&element, drop)
                 && (element.len == len || element.data[len] == '=')))
        {
            ncr_out_bytes(out, any ? "&" : "?", 1);
            ncr_out_str(out, &element);
            any = 1;
        }

        element.data = args->data + i + 1;
        element.len = 0;
    }
}


ncr_int_t
ncr_openai_edits(ncr_way_t *way, ncr_uint_t usage)
{
    ncr_str_t      text;
    ncr_char_t    *p;
    ncr_edit_t    *edit;
    ncr_member_t  *options;

    static const char  asks[] = "\"include_usage\":true";

    if (way->members == NULL) {
        return NCR_OK;
    }

    p = way->text.last;

    /* that of Azure's path, or the one it is mapped to */

    if (way->model.len
        && ncr_members_find(way->members, NCR_OPENAI_MODEL) == NULL)
    {
        ncr_out_text(&way->text, "\"model\":");
        ncr_out_json_string(&way->text, &way->model);
    }

    if (usage && way->stream
        && (way->op == NCR_OP_CHAT || way->op == NCR_OP_COMPLETIONS))
    {
        options = ncr_members_find(way->members, NCR_OPENAI_STREAM_OPTIONS);

        if (options == NULL) {
            ncr_out_text(&way->text, (way->text.last == p) ? "" : ",");
            ncr_out_text(&way->text, "\"stream_options\":{");
            ncr_out_text(&way->text, asks);
            ncr_out_text(&way->text, "}");

        } else {

            switch (ncr_openai_lacks_usage(way, options)) {

            case 1:
                edit = &way->edits[way->nedits++];
                edit->offset = options->start + 1;
                edit->remove = 0;
                ncr_str_set(&edit->insert, "\"include_usage\":true");
                break;

            case 2:
                edit = &way->edits[way->nedits++];
                edit->offset = options->start + 1;
                edit->remove = 0;
                ncr_str_set(&edit->insert, "\"include_usage\":true,");
                break;

            case 3:
                ncr_str_set(&text, "{\"include_usage\":true}");
                ncr_members_set(options, &text, &way->edits[way->nedits++]);
                break;

            default:
                break;
            }
        }
    }

    if (way->text.overflow) {
        return NCR_ERROR;
    }

    if (way->text.last != p) {
        text.data = p;
        text.len = (size_t) (way->text.last - p);

        way->nedits += ncr_members_add(way->members, 0, &text,
                                       way->edits + way->nedits);
    }

    return NCR_OK;
}


/*
 * 1: they are an object without a member, 2: one with others, 3: null; 0:
 * usage is told of in them, or they are something else, that the upstream may
 * refuse
 */

static ncr_uint_t
ncr_openai_lacks_usage(ncr_way_t *way, ncr_member_t *options)
{
    ncr_str_t             body, value;
    ncr_json_t            json;
    ncr_openai_options_t  told;

    body = way->body(way);

    if (body.data == NULL || options->end > body.len) {
        return 0;
    }

    value.data = body.data + options->start;
    value.len = (size_t) (options->end - options->start);

    if (ncr_str_eq(&value, "null")) {
        return 3;
    }

    if (value.len == 0 || value.data[0] != '{') {
        return 0;
    }

    memset(&told, 0, sizeof(ncr_openai_options_t));

    ncr_json_init(&json);

    json.data = &told;
    json.token = ncr_openai_token_usage;
    json.report = 1;

    if (ncr_json_feed(&json, value.data, value.len) != NCR_OK || told.told) {
        return 0;
    }

    return told.members ? 2 : 1;
}


static ncr_int_t
ncr_openai_token_usage(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_openai_options_t  *told;

    told = json->data;

    if (token == NCR_JSON_KEY) {
        told->members++;
        told->told |= (json->escaped
                       || ncr_str_eq(&json->text, "include_usage"));
    }

    return NCR_OK;
}


const char *
ncr_openai_check_switch(ncr_str_t *value)
{
    return (ncr_str_eq(value, "on") || ncr_str_eq(value, "off"))
           ? NULL : "is neither \"on\" nor \"off\"";
}
