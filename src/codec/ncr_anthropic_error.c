
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Errors of the relay's own, as the API would write them: D.1, D.5. */


#include "ncr_anthropic.h"


const char *
ncr_anthropic_error_type(ncr_uint_t status)
{
    switch (status) {

    case 401:
        return "authentication_error";

    case 402:
        return "billing_error";

    case 403:
        return "permission_error";

    case 404:
        return "not_found_error";

    case 409:
        return "conflict_error";

    case 413:
        return "request_too_large";

    case 429:
        return "rate_limit_error";

    case 504:
        return "timeout_error";

    case 529:
        return "overloaded_error";

    default:
        break;
    }

    return (status >= 400 && status < 500) ? "invalid_request_error"
                                           : "api_error";
}


void
ncr_anthropic_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message,
    ncr_str_t *request_id)
{
    ncr_out_text(out, "{\"type\":\"error\",\"error\":{\"type\":\"");
    ncr_out_text(out, ncr_anthropic_error_type(status));
    ncr_out_text(out, "\",\"message\":");
    ncr_out_json_string(out, message);
    ncr_out_text(out, "}");

    if (request_id->len) {
        ncr_out_text(out, ",\"request_id\":");
        ncr_out_json_string(out, request_id);
    }

    ncr_out_text(out, "}");
}


void
ncr_anthropic_error_event(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id)
{
    ncr_out_text(out, "event: error\ndata: ");
    ncr_anthropic_error(out, status, message, request_id);
    ncr_out_text(out, "\n\n");
}
