
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Known clients, told by their path and headers (SEEDS 1.4.4, "Client
 * validators").  What compares the body with their prompts is not done: it
 * is as easily forged as a header, and needs the prompts of each version.
 */


#include "ncr_key.h"
#include "ncr_str.h"


#define NCR_KEY_CODEX_SESSION  20       /* a session_id is longer than this */


static ncr_uint_t ncr_key_claude_code(ncr_key_signs_t *signs);
static ncr_uint_t ncr_key_gemini_cli(ncr_key_signs_t *signs);
static ncr_uint_t ncr_key_codex_cli(ncr_key_signs_t *signs);
static ncr_uint_t ncr_key_droid_cli(ncr_key_signs_t *signs);
static ncr_uint_t ncr_key_droid_version(ncr_str_t *agent);
static ncr_uint_t ncr_key_product(ncr_str_t *agent, const char *product,
    ncr_str_t *version);
static ncr_uint_t ncr_key_three_numbers(ncr_str_t *text);
static ncr_uint_t ncr_key_numeric(ncr_str_t *text);


uint32_t
ncr_key_recognize(ncr_key_signs_t *signs)
{
    uint32_t  clients;

    clients = 0;

    if (ncr_key_claude_code(signs)) {
        clients |= NCR_CLIENT_CLAUDE_CODE;
    }

    if (ncr_key_gemini_cli(signs)) {
        clients |= NCR_CLIENT_GEMINI_CLI;
    }

    if (ncr_key_codex_cli(signs)) {
        clients |= NCR_CLIENT_CODEX_CLI;
    }

    if (ncr_key_droid_cli(signs)) {
        clients |= NCR_CLIENT_DROID_CLI;
    }

    return clients;
}


/* claude-cli/1.2.3; what asks for messages says more */

static ncr_uint_t
ncr_key_claude_code(ncr_key_signs_t *signs)
{
    ncr_str_t  version;

    if (!ncr_key_product(&signs->agent, "claude-cli/", &version)
        || !ncr_key_three_numbers(&version))
    {
        return 0;
    }

    if (!ncr_str_contains(&signs->path, "messages")) {
        return 1;
    }

    return signs->app.len && signs->beta.len && signs->version.len;
}


/* GeminiCLI/v1.2; only what generates says so */

static ncr_uint_t
ncr_key_gemini_cli(ncr_key_signs_t *signs)
{
    ncr_str_t  version;

    if (!ncr_str_prefix(&signs->path, "/gemini")) {
        return 0;
    }

    if (!ncr_str_contains(&signs->path, "generatecontent")) {
        return 1;
    }

    if (!ncr_key_product(&signs->agent, "geminicli/", &version)) {
        return 0;
    }

    if (version.len && (version.data[0] | 0x20) == 'v') {
        version.data++;
        version.len--;
    }

    return ncr_key_numeric(&version);
}


/* codex_cli_rs/1.2.3, and its name again where it speaks to OpenAI */

static ncr_uint_t
ncr_key_codex_cli(ncr_key_signs_t *signs)
{
    ncr_str_t    version;
    ncr_uint_t   i;

    static const char *const  products[] = {
        "codex_vscode/", "codex_cli_rs/", "codex_exec/", NULL
    };

    for (i = 0; products[i]; i++) {
        if (ncr_key_product(&signs->agent, products[i], &version)) {
            break;
        }
    }

    if (products[i] == NULL || !ncr_key_numeric(&version)) {
        return 0;
    }

    if (!ncr_str_prefix(&signs->path, "/openai")
        && !ncr_str_prefix(&signs->path, "/azure"))
    {
        return 1;
    }

    return signs->originator.len == strlen(products[i]) - 1
           && memcmp(signs->originator.data, signs->agent.data,
                     signs->originator.len)
              == 0
           && signs->session.len > NCR_KEY_CODEX_SESSION;
}


/* factory-cli/1.2.3 wherever it stands */

static ncr_uint_t
ncr_key_droid_cli(ncr_key_signs_t *signs)
{
    return ncr_str_contains(&signs->factory, "droid")
           || ncr_str_contains(&signs->factory, "factory-cli")
           || ncr_key_droid_version(&signs->agent);
}


static ncr_uint_t
ncr_key_droid_version(ncr_str_t *agent)
{
    ncr_str_t  rest, version;

    rest = *agent;

    while (rest.len) {

        if (ncr_key_product(&rest, "factory-cli/", &version)
            && ncr_key_three_numbers(&version))
        {
            return 1;
        }

        rest.data++;
        rest.len--;
    }

    return 0;
}


/* does it begin with product (lower case)?  version: what comes then */

static ncr_uint_t
ncr_key_product(ncr_str_t *agent, const char *product, ncr_str_t *version)
{
    size_t     len;
    ncr_str_t  begin;

    len = strlen(product);

    if (agent->len < len) {
        return 0;
    }

    begin.data = agent->data;
    begin.len = len;

    if (!ncr_str_caseeq(&begin, product)) {
        return 0;
    }

    version->data = agent->data + len;
    version->len = agent->len - len;

    return 1;
}


/* does it begin with "1.2.3"? */

static ncr_uint_t
ncr_key_three_numbers(ncr_str_t *text)
{
    size_t      i, start;
    ncr_uint_t  n;

    i = 0;

    for (n = 0; n < 3; n++) {

        if (n && (i == text->len || text->data[i++] != '.')) {
            return 0;
        }

        start = i;

        while (i < text->len && text->data[i] >= '0' && text->data[i] <= '9') {
            i++;
        }

        if (i == start) {
            return 0;
        }
    }

    return 1;
}


/* does it begin with a digit or a dot? */

static ncr_uint_t
ncr_key_numeric(ncr_str_t *text)
{
    return text->len
           && ((text->data[0] >= '0' && text->data[0] <= '9')
               || text->data[0] == '.');
}
