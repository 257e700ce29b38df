
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is refused before its body is read, and the words of all errors. */


#include "ngx_http_claude_relay_api.h"


static const char *ngx_http_claude_relay_call_type(ngx_uint_t status);


static ngx_str_t  ngx_http_claude_relay_refuse_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_claude_relay_api_nowhere(ngx_http_request_t *r, ngx_uint_t allow)
{
    u_char      *p;
    ngx_str_t    value;
    ngx_uint_t   i;

    static const struct {
        ngx_uint_t   method;
        const char  *name;
    } methods[] = {
        { NGX_HTTP_GET, "GET, HEAD" },
        { NGX_HTTP_POST, "POST" },
        { NGX_HTTP_PUT, "PUT" },
        { NGX_HTTP_PATCH, "PATCH" },
        { NGX_HTTP_DELETE, "DELETE" },
        { 0, NULL }
    };

    if (allow == 0) {
        return ngx_http_claude_relay_refuse(r, NGX_HTTP_NOT_FOUND, NULL,
                                            "there is no such path", -1);
    }

    p = ngx_pnalloc(r->pool, 64);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    value.data = p;

    for (i = 0; methods[i].name; i++) {
        if (allow & methods[i].method) {
            p = ngx_sprintf(p, "%s%s", p == value.data ? "" : ", ",
                            methods[i].name);
        }
    }

    value.len = p - value.data;

    if (ngx_http_claude_relay_add_header(r, "Allow", &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_claude_relay_refuse(r, NGX_HTTP_NOT_ALLOWED, NULL,
                                        "this method is not allowed here",
                                        -1);
}


ngx_int_t
ngx_http_claude_relay_api_large(ngx_http_request_t *r, size_t max)
{
    u_char  message[128];

    (void) ngx_sprintf(message, "the body is too large: %uz KB are taken%Z",
                       max / 1024);

    return ngx_http_claude_relay_refuse(r, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                        NULL, (const char *) message, -1);
}


ngx_int_t
ngx_http_claude_relay_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, const char *message, time_t retry_after)
{
    u_char     *p;
    size_t      size;
    ngx_int_t   rc;
    ncr_out_t   out;
    ncr_str_t   text;
    ngx_str_t   value, body;

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (status == NGX_HTTP_UNAUTHORIZED) {
        ngx_str_set(&value, "Bearer");

        if (ngx_http_claude_relay_add_header(r, "WWW-Authenticate", &value)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (retry_after >= 0
        && ngx_http_claude_relay_retry_after(r, retry_after) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    size = 128 + 6 * text.len;

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ncr_out_init(&out, p, size);
    ngx_http_claude_relay_call_words(&out, status, type, &text);

    body.data = p;
    body.len = out.last - p;

    return ngx_http_claude_relay_send(r, status,
                                      &ngx_http_claude_relay_refuse_type,
                                      &body);
}


ngx_int_t
ngx_http_claude_relay_retry_after(ngx_http_request_t *r, time_t seconds)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%T", seconds) - value.data;

    return ngx_http_claude_relay_add_header(r, "Retry-After", &value);
}


void
ngx_http_claude_relay_call_words(ncr_out_t *out, ngx_uint_t status,
    const char *type, ncr_str_t *message)
{
    ncr_out_text(out, "{\"error\":{\"type\":\"");
    ncr_out_text(out, type ? type : ngx_http_claude_relay_call_type(status));
    ncr_out_text(out, "\",\"message\":");
    ncr_out_json_string(out, message);
    ncr_out_text(out, "}}");
}


static const char *
ngx_http_claude_relay_call_type(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
        return "unauthorized";

    case NGX_HTTP_FORBIDDEN:
        return "forbidden";

    case NGX_HTTP_NOT_FOUND:
        return "not_found";

    case NGX_HTTP_CONFLICT:
        return "conflict";

    case NGX_HTTP_PRECONDITION_FAILED:
        return "precondition_failed";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "too_large";

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return "too_many_requests";

    case NGX_HTTP_BAD_GATEWAY:
        return "upstream";

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "unavailable";

    default:
        return "invalid_request";
    }
}
