
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Whose turn the request is: who wrote the last message, and whether it
 * brings the result of a tool (FEATURES F073).  And where the effort is.
 */


#include "ncr_anthropic.h"
#include "ncr_json_plain.h"
#include "ncr_anthropic_turn.h"
#include "ncr_str.h"


static ncr_uint_t ncr_anthropic_turn_is(ncr_json_t *json, const char *text);


/* a token inside of messages, of depth 2 to 5 */

void
ncr_anthropic_turn(ncr_anthropic_request_t *req, ncr_json_token_e token)
{
    ncr_json_t  *json;

    json = &req->json;

    switch (json->depth) {

    case 2:

        if (token != NCR_JSON_OBJECT_END && token != NCR_JSON_ARRAY_END) {
            req->told.user = 0;
            req->told.result = 0;
            req->role = 0;
            req->blocks = 0;
        }

        break;

    case 3:

        if (token == NCR_JSON_KEY) {
            req->role = ncr_anthropic_turn_is(json, "role");
            req->blocks = ncr_anthropic_turn_is(json, "content");

        } else if (token == NCR_JSON_STRING && req->role) {
            req->told.user = ncr_anthropic_turn_is(json, "user");
        }

        break;

    case 4:
        req->type = 0;
        break;

    default: /* 5 */

        if (token == NCR_JSON_KEY) {
            req->type = req->blocks && ncr_anthropic_turn_is(json, "type");

        } else if (token == NCR_JSON_STRING && req->type
                   && ncr_anthropic_turn_is(json, "tool_result"))
        {
            req->told.result = 1;
        }
    }
}


/* output_config itself, or the end of it */

void
ncr_anthropic_config(ncr_anthropic_request_t *req, ncr_json_token_e token)
{
    ncr_anthropic_config_t  *config;

    config = &req->config;

    config->end = req->json.end;

    if (token == NCR_JSON_OBJECT_END || token == NCR_JSON_ARRAY_END) {
        return;
    }

    config->start = req->json.start;

    switch (token) {

    case NCR_JSON_OBJECT:
        config->kind = NCR_ANTHROPIC_CONFIG_OBJECT;
        config->empty = 1;
        req->json.report = 2;
        break;

    case NCR_JSON_NULL:
        config->kind = NCR_ANTHROPIC_CONFIG_NULL;
        break;

    default:
        config->kind = NCR_ANTHROPIC_CONFIG_OTHER;
    }
}


/* a member of it, or the end of one */

void
ncr_anthropic_config_member(ncr_anthropic_request_t *req,
    ncr_json_token_e token)
{
    ncr_json_t              *json;
    ncr_anthropic_config_t  *config;

    json = &req->json;
    config = &req->config;

    if (token == NCR_JSON_KEY) {
        config->empty = 0;

        req->inner = ncr_anthropic_turn_is(json, "effort");

        if (req->inner && config->effort_end) {
            config->again = 1;
        }

        return;
    }

    if (!req->inner) {
        return;
    }

    if (token != NCR_JSON_OBJECT_END && token != NCR_JSON_ARRAY_END) {
        config->effort_start = json->start;
    }

    config->effort_end = json->end;
}


static ncr_uint_t
ncr_anthropic_turn_is(ncr_json_t *json, const char *text)
{
    ncr_str_t   s;
    ncr_char_t  buf[NCR_JSON_TEXT];

    s.data = buf;

    return ncr_json_plain(json, &s) == NCR_OK && ncr_str_eq(&s, text);
}
