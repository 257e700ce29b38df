
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* OpenAI's API with an API key, and others that speak it: others.md A. */


#include "ncr_openai_way.h"
#include "ncr_str.h"


typedef enum {
    NCR_PLATFORM_OPENAI_ORGANIZATION = 0,
    NCR_PLATFORM_OPENAI_PROJECT,
    NCR_PLATFORM_OPENAI_USER_AGENT,
    NCR_PLATFORM_OPENAI_STREAM_USAGE,
    NCR_PLATFORM_OPENAI_WEBSOCKET       /* read by its name */
} ncr_platform_openai_param_e;


static ncr_credential_e ncr_platform_openai_credential(ncr_str_t *secret);
static void ncr_platform_openai_proof(ncr_out_t *out, ncr_str_t *secret,
    ncr_str_t *params, ncr_str_t *meta);
static ncr_int_t ncr_platform_openai_way(ncr_way_t *way);
static ncr_uint_t ncr_platform_openai_versioned(ncr_str_t *base);


static const ncr_param_t  ncr_platform_openai_params[] = {

    { ncr_string("organization"), ncr_string(""), 0, NULL },

    { ncr_string("project"), ncr_string(""), 0, NULL },

    { ncr_string("user_agent"), ncr_string(""), 0, NULL },

    { ncr_string("stream_usage"), ncr_string("on"), 0,
      ncr_openai_check_switch },

    { ncr_string("websocket"), ncr_string("off"), 0,
      ncr_openai_check_switch },

    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_openai = {
    .name = ncr_string("openai"),
    .base_url = ncr_string("https://api.openai.com"),
    .ops = ncr_op_bit(NCR_OP_CHAT)
           | ncr_op_bit(NCR_OP_RESPONSES)
           | ncr_op_bit(NCR_OP_COMPACT)
           | ncr_op_bit(NCR_OP_INPUT_TOKENS)
           | ncr_op_bit(NCR_OP_RESPONSE)
           | ncr_op_bit(NCR_OP_SOCKET)
           | ncr_op_bit(NCR_OP_EMBEDDINGS)
           | ncr_op_bit(NCR_OP_COMPLETIONS)
           | ncr_op_bit(NCR_OP_IMAGES)
           | ncr_op_bit(NCR_OP_OPENAI)
           | ncr_op_bit(NCR_OP_MODELS),
    .credential = ncr_platform_openai_credential,
    .classify = ncr_openai_classify,
    .provider = "openai",
    .probe = ncr_string("/v1/models"),
    .params = ncr_platform_openai_params,
    .proof = ncr_platform_openai_proof,
    .way = ncr_platform_openai_way,
    .limits = ncr_openai_limits
};


/* whose key it is they tell themselves: the client's organization and
 * project are those of another one */

static const char *const  ncr_platform_openai_drop[] = {
    "openai-organization",
    "openai-project",
    NULL
};


static const char *const  ncr_platform_openai_drop_agent[] = {
    "openai-organization",
    "openai-project",
    "user-agent",
    NULL
};


static ncr_credential_e
ncr_platform_openai_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


static void
ncr_platform_openai_proof(ncr_out_t *out, ncr_str_t *secret,
    ncr_str_t *params, ncr_str_t *meta)
{
    (void) meta;

    ncr_out_text(out, "Authorization: Bearer ");
    ncr_out_str(out, secret);
    ncr_out_text(out, "\r\n");

    ncr_way_line(out, "OpenAI-Organization",
                 &params[NCR_PLATFORM_OPENAI_ORGANIZATION]);
    ncr_way_line(out, "OpenAI-Project", &params[NCR_PLATFORM_OPENAI_PROJECT]);
}


static ncr_int_t
ncr_platform_openai_way(ncr_way_t *way)
{
    ncr_str_t          *agent;
    ncr_uint_t          versioned;
    ncr_openai_path_t   path;

    way->drop = ncr_platform_openai_drop;

    agent = &way->params[NCR_PLATFORM_OPENAI_USER_AGENT];

    if (agent->len) {
        way->drop = ncr_platform_openai_drop_agent;
        ncr_way_line(&way->lines, "User-Agent", agent);
    }

    versioned = ncr_platform_openai_versioned(&way->base);

    ncr_openai_path(&way->path, &path);

    /* most paths go as they came */

    if (versioned || path.deployment.len
        || way->path.len - path.rest.len != sizeof("/v1") - 1)
    {
        ncr_out_str(&way->target, &way->base);

        if (!versioned) {
            ncr_out_text(&way->target, "/v1");
        }

        ncr_openai_escape(&way->target, &path.rest);
        ncr_openai_args(&way->target, &way->args, "api-version");
    }

    return ncr_openai_edits(way, ncr_str_eq(
                              &way->params[NCR_PLATFORM_OPENAI_STREAM_USAGE],
                              "on"));
}


/*
 * A base that tells a version of its own, "/api/paas/v4" or "/v1beta/openai",
 * is meant as it stands; "/v1" at its end is taken for none (K.1).
 */

static ncr_uint_t
ncr_platform_openai_versioned(ncr_str_t *base)
{
    size_t       i;
    ncr_char_t  *p;

    p = base->data;

    for (i = 0; i + 2 < base->len; i++) {

        if (p[i] == '/' && p[i + 1] == 'v'
            && p[i + 2] >= '0' && p[i + 2] <= '9')
        {
            return 1;
        }
    }

    return 0;
}
