
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Azure OpenAI: others.md B.  A model is a deployment there, whose name an
 * account's model_map tells; it stands in the path of the dated form, in the
 * body else.
 */


#include "ncr_openai_way.h"
#include "ncr_uri.h"
#include "ncr_str.h"


/* the versions that the dated form is asked for if nobody tells one */
#define NCR_PLATFORM_AZURE_CHAT       "2024-10-21"
#define NCR_PLATFORM_AZURE_RESPONSES  "2025-04-01-preview"


typedef enum {
    NCR_PLATFORM_AZURE_RESOURCE = 0,
    NCR_PLATFORM_AZURE_FORM,
    NCR_PLATFORM_AZURE_API_VERSION,
    NCR_PLATFORM_AZURE_STREAM_USAGE
} ncr_platform_azure_param_e;


static ncr_credential_e ncr_platform_azure_credential(ncr_str_t *secret);
static ncr_str_t ncr_platform_azure_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static const char *ncr_platform_azure_check_resource(ncr_str_t *value);
static const char *ncr_platform_azure_check_form(ncr_str_t *value);
static const char *ncr_platform_azure_check_version(ncr_str_t *value);
static void ncr_platform_azure_limits(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now);
static ncr_int_t ncr_platform_azure_way(ncr_way_t *way);
static void ncr_platform_azure_model(ncr_way_t *way);
static ncr_uint_t ncr_platform_azure_dated(ncr_way_t *way);
static void ncr_platform_azure_target_dated(ncr_way_t *way,
    ncr_openai_path_t *path);
static ncr_uint_t ncr_platform_azure_deployed(ncr_op_e op,
    ncr_str_t *rest);


static const ncr_param_t  ncr_platform_azure_params[] = {

    { ncr_string("resource"), ncr_string(""), 0,
      ncr_platform_azure_check_resource },

    { ncr_string("form"), ncr_string("auto"), 0,
      ncr_platform_azure_check_form },

    { ncr_string("api_version"), ncr_string(""), 0,
      ncr_platform_azure_check_version },

    { ncr_string("stream_usage"), ncr_string("on"), 0,
      ncr_openai_check_switch },

    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_azure = {
    .name = ncr_string("azure"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_CHAT)
           | ncr_op_bit(NCR_OP_RESPONSES)
           | ncr_op_bit(NCR_OP_COMPACT)
           | ncr_op_bit(NCR_OP_INPUT_TOKENS)
           | ncr_op_bit(NCR_OP_RESPONSE)
           | ncr_op_bit(NCR_OP_EMBEDDINGS)
           | ncr_op_bit(NCR_OP_COMPLETIONS)
           | ncr_op_bit(NCR_OP_IMAGES)
           | ncr_op_bit(NCR_OP_OPENAI)
           | ncr_op_bit(NCR_OP_MODELS),
    .credential = ncr_platform_azure_credential,
    .classify = ncr_openai_classify,
    .provider = "azure.ai.openai",
    .probe = ncr_string("/openai/v1/models"),
    .params = ncr_platform_azure_params,
    .base = ncr_platform_azure_base,
    .way = ncr_platform_azure_way,
    .limits = ncr_platform_azure_limits
};


static const char *const  ncr_platform_azure_drop[] = {
    "openai-organization",
    "openai-project",
    NULL
};


/* a token of Entra is a JWT */

static ncr_credential_e
ncr_platform_azure_credential(ncr_str_t *secret)
{
    return ncr_str_prefix(secret, "eyJ") ? NCR_CREDENTIAL_BEARER
                                         : NCR_CREDENTIAL_API_KEY;
}


static ncr_str_t
ncr_platform_azure_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    ncr_out_t  out;
    ncr_str_t  base;

    ncr_str_set(&base, "");

    if (params[NCR_PLATFORM_AZURE_RESOURCE].len == 0) {
        return base;
    }

    ncr_out_init(&out, buf, size);

    ncr_out_text(&out, "https://");
    ncr_out_str(&out, &params[NCR_PLATFORM_AZURE_RESOURCE]);
    ncr_out_text(&out, ".openai.azure.com");

    if (!out.overflow) {
        base.data = buf;
        base.len = (size_t) (out.last - out.start);
    }

    return base;
}


/* it becomes a part of a host name */

static const char *
ncr_platform_azure_check_resource(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!(c >= '0' && c <= '9')
            && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            && (c != '-' || i == 0))
        {
            return "is no name of a resource";
        }
    }

    return (value->len <= 63) ? NULL : "is too long for a name of a resource";
}


static const char *
ncr_platform_azure_check_form(ncr_str_t *value)
{
    return (ncr_str_eq(value, "auto") || ncr_str_eq(value, "v1")
            || ncr_str_eq(value, "dated"))
           ? NULL : "is none of \"auto\", \"v1\" and \"dated\"";
}


static const char *
ncr_platform_azure_check_version(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && c != '-') {
            return "is no version such as \"2024-10-21\"";
        }
    }

    return NULL;
}


/* 0 has been seen for what it does not know (A8) */

static void
ncr_platform_azure_limits(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now)
{
    if (ncr_str_prefix(name, "x-ratelimit-remaining-")
        && ncr_str_eq(value, "0"))
    {
        return;
    }

    ncr_openai_limits(limits, name, value, now);
}


static ncr_int_t
ncr_platform_azure_way(ncr_way_t *way)
{
    ncr_openai_path_t  path;

    way->drop = ncr_platform_azure_drop;

    ncr_platform_azure_model(way);

    ncr_openai_path(&way->path, &path);

    ncr_out_str(&way->target, &way->base);

    /* a base URL may be written up to any part of the form */

    if (way->base.len < sizeof("/openai") - 1
        || memcmp(way->base.data + way->base.len - (sizeof("/openai") - 1),
                  "/openai", sizeof("/openai") - 1)
           != 0)
    {
        ncr_out_text(&way->target, "/openai");
    }

    if (ncr_platform_azure_dated(way)) {
        ncr_platform_azure_target_dated(way, &path);

    } else {
        ncr_out_text(&way->target, "/v1");
        ncr_openai_escape(&way->target, &path.rest);
        ncr_openai_args(&way->target, &way->args, "api-version");
    }

    return ncr_openai_edits(way, ncr_str_eq(
                               &way->params[NCR_PLATFORM_AZURE_STREAM_USAGE],
                               "on"));
}


/* other gateways' clients write "azure/" before what is deployed here (B) */

static void
ncr_platform_azure_model(ncr_way_t *way)
{
    ncr_str_t      text;
    ncr_member_t  *member;

    /* what is mapped has the operator's name */

    if (!ncr_str_prefix(&way->model, "azure/")
        || way->model.len != way->asked.len
        || memcmp(way->model.data, way->asked.data, way->model.len) != 0)
    {
        return;
    }

    way->model.data += sizeof("azure/") - 1;
    way->model.len -= sizeof("azure/") - 1;

    member = way->members ? ncr_members_find(way->members, NCR_OPENAI_MODEL)
                          : NULL;

    if (member) {
        text.data = way->text.last;

        ncr_out_json_string(&way->text, &way->model);

        text.len = (size_t) (way->text.last - text.data);

        ncr_members_set(member, &text, &way->edits[way->nedits++]);
    }
}


/* auto: who has told a version wants it */

static ncr_uint_t
ncr_platform_azure_dated(ncr_way_t *way)
{
    ncr_str_t  *form;

    form = &way->params[NCR_PLATFORM_AZURE_FORM];

    if (ncr_str_eq(form, "auto")) {
        return way->params[NCR_PLATFORM_AZURE_API_VERSION].len != 0;
    }

    return ncr_str_eq(form, "dated");
}


static void
ncr_platform_azure_target_dated(ncr_way_t *way, ncr_openai_path_t *path)
{
    size_t       before;
    ncr_str_t    version;
    ncr_uint_t   deployed;

    deployed = ncr_platform_azure_deployed(way->op, &path->rest);

    if (deployed) {
        ncr_out_text(&way->target, "/deployments/");
        ncr_uri_escape(&way->target, way->model.len ? &way->model
                                                    : &path->deployment);
    }

    ncr_openai_escape(&way->target, &path->rest);

    before = (size_t) (way->target.last - way->target.start);

    ncr_openai_args(&way->target, &way->args, "api-version");

    version = way->params[NCR_PLATFORM_AZURE_API_VERSION];

    if (version.len == 0
        && (ncr_uri_arg(&way->args, "api-version", &version) != NCR_OK
            || ncr_platform_azure_check_version(&version) != NULL))
    {
        version.len = 0;
    }

    if (version.len == 0) {

        if (deployed) {
            ncr_str_set(&version, NCR_PLATFORM_AZURE_CHAT);

        } else {
            ncr_str_set(&version, NCR_PLATFORM_AZURE_RESPONSES);
        }
    }

    ncr_out_text(&way->target,
                 ((size_t) (way->target.last - way->target.start) == before)
                 ? "?" : "&");
    ncr_out_text(&way->target, "api-version=");
    ncr_out_str(&way->target, &version);
}


/* whose path has the deployment; that of Responses is in the body */

static ncr_uint_t
ncr_platform_azure_deployed(ncr_op_e op, ncr_str_t *rest)
{
    return op == NCR_OP_CHAT || op == NCR_OP_COMPLETIONS
           || op == NCR_OP_EMBEDDINGS || op == NCR_OP_IMAGES
           || ncr_str_prefix(rest, "/audio/");
}
