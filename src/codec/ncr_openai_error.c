
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Errors of the relay's own, as the API would write them: others.md A8. */


#include "ncr_openai.h"


typedef struct {
    ncr_uint_t    status;
    const char   *type;
    const char   *code;                 /* or NULL */
} ncr_openai_status_t;


static const ncr_openai_status_t *ncr_openai_status(ncr_uint_t status);
static void ncr_openai_error_members(ncr_out_t *out,
    const ncr_openai_status_t *s, ncr_str_t *message);


static const ncr_openai_status_t  ncr_openai_statuses[] = {
    { 400, "invalid_request_error", NULL },
    { 401, "invalid_request_error", "invalid_api_key" },
    { 402, "insufficient_quota", "insufficient_quota" },
    { 403, "permission_error", NULL },
    { 404, "invalid_request_error", NULL },
    { 413, "invalid_request_error", "request_too_large" },
    { 429, "rate_limit_error", "rate_limit_exceeded" },
    { 503, "server_error", "server_is_overloaded" },
    { 504, "server_error", "timeout" },
    { 529, "server_error", "server_is_overloaded" },
    { 0, NULL, NULL }
};


static const ncr_openai_status_t  ncr_openai_status_client = {
    0, "invalid_request_error", NULL
};


static const ncr_openai_status_t  ncr_openai_status_server = {
    0, "server_error", NULL
};


void
ncr_openai_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message)
{
    const ncr_openai_status_t  *s;

    s = ncr_openai_status(status);

    ncr_out_text(out, "{\"error\":{\"message\":");
    ncr_out_json_string(out, message);
    ncr_out_text(out, ",\"type\":\"");
    ncr_out_text(out, s->type);
    ncr_out_text(out, "\",\"param\":null,");
    ncr_openai_error_members(out, s, NULL);
    ncr_out_text(out, "}}");
}


void
ncr_openai_error_chat(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message)
{
    ncr_out_text(out, "data: ");
    ncr_openai_error(out, status, message);
    ncr_out_text(out, "\n\n");
}


void
ncr_openai_error_responses(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, uint64_t number)
{
    const ncr_openai_status_t  *s;

    s = ncr_openai_status(status);

    ncr_out_text(out, "event: error\ndata: {\"type\":\"error\",");
    ncr_openai_error_members(out, s, message);
    ncr_out_text(out, ",\"param\":null,\"sequence_number\":");
    ncr_out_int(out, (int64_t) number);
    ncr_out_text(out, "}\n\n");
}


static const ncr_openai_status_t *
ncr_openai_status(ncr_uint_t status)
{
    const ncr_openai_status_t  *s;

    for (s = ncr_openai_statuses; s->status; s++) {
        if (s->status == status) {
            return s;
        }
    }

    return (status >= 400 && status < 500) ? &ncr_openai_status_client
                                           : &ncr_openai_status_server;
}


static void
ncr_openai_error_members(ncr_out_t *out, const ncr_openai_status_t *s,
    ncr_str_t *message)
{
    ncr_out_text(out, "\"code\":");

    if (s->code == NULL) {
        ncr_out_text(out, message ? "\"server_error\"" : "null");

    } else {
        ncr_out_text(out, "\"");
        ncr_out_text(out, s->code);
        ncr_out_text(out, "\"");
    }

    if (message) {
        ncr_out_text(out, ",\"message\":");
        ncr_out_json_string(out, message);
    }
}
