
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* No account answers this request: what the client is told instead. */


#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_fleet.h"
#include "ngx_http_claude_relay_live.h"


static ngx_int_t ngx_http_claude_relay_bound_refusal(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, time_t after);
static ngx_int_t ngx_http_claude_relay_killed(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);


ngx_int_t
ngx_http_claude_relay_refusal(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    char         buf[NCR_MODEL_LEN + 64];
    time_t       after;
    ngx_uint_t   status, unready;
    const char  *message;

    if (ctx->killed) {
        return ngx_http_claude_relay_killed(r, ctx);
    }

    if (ctx->refused.status) {
        return ngx_http_claude_relay_refused(r, ctx);
    }

    /* of an object of another key, time makes no difference */

    if (ctx->soonest_any == 0 && !ctx->foreign) {
        ngx_http_claude_relay_outlook(ctx);
    }

    after = -1;

    if (ctx->soonest_any) {
        after = (time_t) ((ctx->soonest_any - ngx_http_claude_relay_now()
                           + 999) / 1000);
        after = ngx_max(after, 1);
    }

    if (ctx->saved.set) {

        /* its status is known, its words are too many, or not to be told */

        if (ctx->saved.retry_after >= 0) {
            after = (time_t) ((ctx->saved.retry_after + 999) / 1000);
        }

        return ngx_http_claude_relay_error(r, ctx, ctx->saved.status,
                       (ctx->saved.status < 500)
                           ? "the upstream refused the request"
                           : "the upstream failed to serve the request",
                       after);
    }

    if (ctx->error == NCR_CLASS_OK) {
        ctx->error = ctx->refusal;
    }

    unready = ngx_http_claude_relay_fleet_unready(
                ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module));

    if (unready && ctx->error == NCR_CLASS_OK) {
        ctx->error = NCR_CLASS_SERVER;
    }

    switch (ctx->error) {

    case NCR_CLASS_OK:

        if (ctx->has_id) {
            ctx->error = NCR_CLASS_CLIENT;
            return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                        "no account here has this object",
                                        -1);
        }

        /* no account ever serves this */

        ctx->error = NCR_CLASS_CLIENT;

        if (ctx->route.op == NCR_OP_ASSIST || ctx->route.also) {
            return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                             "invalid_account_type: this path needs an account "
                             "of Code Assist or Antigravity",
                             -1);
        }

        ngx_snprintf((u_char *) buf, sizeof(buf), "model: %V%Z", &ctx->model);

        return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                      ctx->model.len ? buf
                                          : "no account serves this path",
                                      -1);

    case NCR_CLASS_LIMITED:
    case NCR_CLASS_MODEL_LIMITED:
    case NCR_CLASS_CAPPED:
        status = NGX_HTTP_TOO_MANY_REQUESTS;
        message = "all accounts of this relay have reached their limits";
        break;

    case NCR_CLASS_THROTTLED:
        status = NGX_HTTP_TOO_MANY_REQUESTS;
        message = "all accounts of this relay are busy";
        after = ngx_max(after, 1);
        break;

    case NCR_CLASS_OVERLOADED:
        status = 529;
        message = "the upstream is overloaded";
        after = ngx_max(after, 1);
        break;

    case NCR_CLASS_ABORTED:
    case NCR_CLASS_BROKEN:
    case NCR_CLASS_CLIENT:
    case NCR_CLASS_POLICY:
    case NCR_CLASS_AUTH:
    case NCR_CLASS_FORBIDDEN:
    case NCR_CLASS_EDGE:
    case NCR_CLASS_DISABLED:
    case NCR_CLASS_BILLING:
    case NCR_CLASS_ENTITLEMENT:
    case NCR_CLASS_SERVER:
    case NCR_CLASS_NETWORK:
    case NCR_CLASS_TLS:
    case NCR_CLASS_TIMEOUT:
    case NCR_CLASS_PROTOCOL:
    case NCR_CLASSES:
    default:
        status = NGX_HTTP_SERVICE_UNAVAILABLE;
        message = "no account of this relay can serve the request now";

        if (unready) {
            message = "the accounts of the fleet are not here yet, try again "
                      "soon";
            after = ngx_max(after, 1);
        }

        /* what was no account's own fault may be over soon */

        if (after == -1 && ctx->error >= NCR_CLASS_SERVER) {
            after = 1;
        }

        break;
    }

    if (ctx->bound) {
        return ngx_http_claude_relay_bound_refusal(r, ctx, status, after);
    }

    if (ctx->strict) {
        return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_FORBIDDEN,
                        "session_binding_error: the account of this session "
                        "cannot serve it now, start a new session", after);
    }

    return ngx_http_claude_relay_error(r, ctx, status, message, after);
}


/* the key's own account, and no other: why it cannot, and until when */

static ngx_int_t
ngx_http_claude_relay_bound_refusal(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx, ngx_uint_t status, time_t after)
{
    char         buf[NGX_HTTP_CLAUDE_RELAY_NAME_LEN + 128];
    const char  *why;

    if (ctx->grouped.len) {

        if (ctx->pool->accounts.nelts == 0) {
            return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_FORBIDDEN,
                        "the group of accounts of this API key has none", -1);
        }

    } else if (ctx->preferred == NULL) {
        return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_FORBIDDEN,
                        "the account of this API key does not exist", -1);
    }

    why = ncr_class_name(ctx->error);

    /* what waiting does not mend is not to be tried again */

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE && after == -1) {
        status = NGX_HTTP_FORBIDDEN;
    }

    ngx_snprintf((u_char *) buf, sizeof(buf),
                 "the %s of this API key cannot serve the request now: "
                 "%s%Z", ctx->grouped.len ? "accounts" : "account", why);

    return ngx_http_claude_relay_error(r, ctx, status, buf, after);
}


static ngx_int_t
ngx_http_claude_relay_killed(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ngx_str_t  value;

    ngx_str_set(&value, "false");

    if (ngx_http_claude_relay_add_header(r, "x-should-retry", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                       NGX_HTTP_CLAUDE_RELAY_KILLED, -1);
}
