
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * User messages of an account one at a time (FEATURES F073): what a person
 * has typed, not the results of tools, which follow by themselves.  A turn
 * hangs on a lease, so it ends with it, and with the worker that has it; it
 * ends earlier, when the answer has begun, and the next begins a gap later.
 */


#include "ngx_http_claude_relay_zone.h"


/* must this request wait for its turn at the account? */

ngx_uint_t
ngx_http_claude_relay_turn_waits_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a)
{
    ngx_msec_t                     delay;
    ngx_msec_int_t                 left;
    ngx_http_claude_relay_node_t  *node;

    if (!a->turns.on || !ctx->user_turn) {
        return 0;
    }

    node = a->node;

    if (node->turns) {
        delay = NGX_HTTP_CLAUDE_RELAY_SLOT_POLL;

    } else {
        left = (ngx_msec_int_t) (node->turn_at - ngx_current_msec);

        /* longer than it can be: another configuration's */

        if (left <= 0 || left > (ngx_msec_int_t) a->turns.gap) {
            return 0;
        }

        delay = (ngx_msec_t) left;
    }

    if (ctx->turn_delay == 0 || delay < ctx->turn_delay) {
        ctx->turn_delay = delay;
    }

    ctx->turn_wait = ngx_max(ctx->turn_wait, a->turns.wait);

    return 1;
}


/* the account is leased */

void
ngx_http_claude_relay_turn_take_locked(ngx_http_claude_relay_ctx_t *ctx,
    ngx_http_claude_relay_account_t *a)
{
    if (a->turns.on && ctx->user_turn) {
        ctx->lease->turn = 1;
        ctx->lease->gap = a->turns.gap;
        a->node->turns = 1;
    }
}


/* 1: who waits is to be rung */

ngx_uint_t
ngx_http_claude_relay_turn_end_locked(ngx_http_claude_relay_lease_t *lease)
{
    if (lease == NULL || !lease->turn) {
        return 0;
    }

    lease->turn = 0;
    lease->node->turns = 0;
    lease->node->turn_at = ngx_current_msec + lease->gap;

    return 1;
}
