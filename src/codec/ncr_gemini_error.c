
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Errors of the relay's own, as Google would write them: others.md C4. */


#include "ncr_gemini.h"
#include "ncr_str.h"


typedef struct {
    ncr_uint_t   status;
    ncr_str_t    name;
} ncr_gemini_status_t;


/* the first of a name is what the name means */

static ncr_gemini_status_t  ncr_gemini_statuses[] = {
    { 400, ncr_string("INVALID_ARGUMENT") },
    { 400, ncr_string("FAILED_PRECONDITION") },
    { 400, ncr_string("OUT_OF_RANGE") },
    { 401, ncr_string("UNAUTHENTICATED") },
    { 402, ncr_string("FAILED_PRECONDITION") },
    { 403, ncr_string("PERMISSION_DENIED") },
    { 404, ncr_string("NOT_FOUND") },
    { 405, ncr_string("UNIMPLEMENTED") },
    { 408, ncr_string("DEADLINE_EXCEEDED") },
    { 409, ncr_string("ABORTED") },
    { 409, ncr_string("ALREADY_EXISTS") },
    { 429, ncr_string("RESOURCE_EXHAUSTED") },
    { 499, ncr_string("CANCELLED") },
    { 500, ncr_string("INTERNAL") },
    { 500, ncr_string("UNKNOWN") },
    { 500, ncr_string("DATA_LOSS") },
    { 501, ncr_string("UNIMPLEMENTED") },
    { 503, ncr_string("UNAVAILABLE") },
    { 504, ncr_string("DEADLINE_EXCEEDED") },
    { 502, ncr_string("UNAVAILABLE") },
    { 529, ncr_string("UNAVAILABLE") },
    { 0, ncr_null_string }
};


const char *
ncr_gemini_status_name(ncr_uint_t status)
{
    ncr_gemini_status_t  *s;

    for (s = ncr_gemini_statuses; s->status; s++) {
        if (s->status == status) {
            return (const char *) s->name.data;
        }
    }

    return (status >= 400 && status < 500) ? "INVALID_ARGUMENT" : "INTERNAL";
}


ncr_uint_t
ncr_gemini_status(ncr_str_t *name)
{
    ncr_gemini_status_t  *s;

    if (ncr_str_eq(name, "UNIMPLEMENTED")) {
        return 501;
    }

    if (ncr_str_eq(name, "DEADLINE_EXCEEDED")) {
        return 504;
    }

    for (s = ncr_gemini_statuses; s->status; s++) {
        if (s->name.len == name->len
            && memcmp(s->name.data, name->data, name->len) == 0)
        {
            return s->status;
        }
    }

    return 0;
}


void
ncr_gemini_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message,
    ncr_str_t *request_id)
{
    ncr_out_text(out, "{\"error\":{\"code\":");
    ncr_out_int(out, (int64_t) status);
    ncr_out_text(out, ",\"message\":");
    ncr_out_json_string(out, message);
    ncr_out_text(out, ",\"status\":\"");
    ncr_out_text(out, ncr_gemini_status_name(status));
    ncr_out_text(out, "\"");

    if (request_id->len) {
        ncr_out_text(out, ",\"details\":[{\"@type\":"
                          "\"type.googleapis.com/google.rpc.RequestInfo\","
                          "\"requestId\":");
        ncr_out_json_string(out, request_id);
        ncr_out_text(out, "}]");
    }

    ncr_out_text(out, "}}");
}


void
ncr_gemini_error_event(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id)
{
    ncr_out_text(out, "data: ");
    ncr_gemini_error(out, status, message, request_id);
    ncr_out_text(out, "\n\n");
}
