
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Claude in Microsoft's Foundry: the Messages API at
 * "https://RESOURCE.services.ai.azure.com/anthropic", with a key in x-api-key
 * or a token of Entra.
 */


#include "ncr_verdict.h"
#include "ncr_str.h"


static ncr_credential_e ncr_platform_foundry_credential(ncr_str_t *secret);
static const char *ncr_platform_foundry_name(ncr_str_t *value);
static ncr_str_t ncr_platform_foundry_base(ncr_str_t *params,
    ncr_char_t *buf, size_t size);


static const ncr_param_t  ncr_platform_foundry_params[] = {
    { ncr_string("resource"), ncr_string(""), 0, ncr_platform_foundry_name },
    { ncr_string(""), ncr_string(""), 0, NULL }
};


ncr_platform_t  ncr_platform_foundry = {
    .name = ncr_string("foundry"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS),
    .credential = ncr_platform_foundry_credential,
    .classify = ncr_verdict_default,
    .provider = "azure.ai.inference",
    .params = ncr_platform_foundry_params,
    .base = ncr_platform_foundry_base
};


/* a JWT is a token of Entra */

static ncr_credential_e
ncr_platform_foundry_credential(ncr_str_t *secret)
{
    return ncr_str_prefix(secret, "eyJ") ? NCR_CREDENTIAL_BEARER
                                         : NCR_CREDENTIAL_X_API_KEY;
}


static const char *
ncr_platform_foundry_name(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
            && (c < '0' || c > '9') && c != '-')
        {
            return "must have A-Z a-z 0-9 - only";
        }
    }

    return NULL;
}


/* without a resource a base_url must be written */

static ncr_str_t
ncr_platform_foundry_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    ncr_out_t  out;
    ncr_str_t  url;

    ncr_out_init(&out, buf, size);

    if (params[0].len) {
        ncr_out_text(&out, "https://");
        ncr_out_str(&out, &params[0]);
        ncr_out_text(&out, ".services.ai.azure.com/anthropic");
    }

    url.data = out.start;
    url.len = out.overflow ? 0 : (size_t) (out.last - out.start);

    return url;
}
