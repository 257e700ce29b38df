
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * "claude_relay_store redis": Redis is the record of accounts and keys, the
 * file of this node a copy.  Nothing is changed that Redis cannot keep, a
 * change is answered when it has it, and until the copy is complete nobody is
 * told that there is no such key.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_fleet.h"


/* how long a change waits for Redis, and how often it looks, ms */
#define NGX_HTTP_CLAUDE_RELAY_ACK        5000
#define NGX_HTTP_CLAUDE_RELAY_ACK_STEP   5


static void ngx_http_claude_relay_call_acking(
    ngx_http_claude_relay_call_t *call);


ngx_uint_t
ngx_http_claude_relay_fleet_unready(ngx_http_claude_relay_main_conf_t *rmcf)
{
    return rmcf->store && rmcf->store->record && !rmcf->zone->fleet->synced;
}


const char *
ngx_http_claude_relay_fleet_record(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_fleet_t  *fleet;

    if (rmcf->store == NULL || !rmcf->store->record) {
        return NULL;
    }

    fleet = rmcf->zone->fleet;

    if (fleet->state != NGX_HTTP_CLAUDE_RELAY_REDIS_UP) {
        return "Redis, which has the record of accounts and keys, is away or "
               "cannot be written";
    }

    if (!fleet->durable) {
        return "Redis, which has the record of accounts and keys, keeps none: "
               "it has no append-only file, or may drop keys when its memory "
               "is full";
    }

    if (!fleet->synced) {
        return "what Redis has of accounts and keys is not here yet";
    }

    return NULL;
}


/* does this way change what the record has? */

ngx_uint_t
ngx_http_claude_relay_fleet_changes(ngx_http_claude_relay_way_t *way)
{
    size_t      len, tail;
    ngx_uint_t  i;

    static const char *const  paths[] = {
        "/v1/accounts", "/v1/keys", "/v1/users", "/v1/groups", "/v1/limits",
        "/v1/logins", "/v1/import", "/v1/settings", "/v1/prices", "/v1/tags",
        "/v1/cards/redeem"
    };

    static const char  refresh[] = "/refresh";

    if (way->method == NGX_HTTP_GET || !way->store || way->quiet) {
        return 0;
    }

    /* a refresh has a lock of its own, and goes on */

    len = ngx_strlen(way->path);
    tail = sizeof(refresh) - 1;

    if (len > tail && ngx_strcmp(way->path + len - tail, refresh) == 0) {
        return 0;
    }

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        len = ngx_strlen(paths[i]);

        if (ngx_strncmp(way->path, paths[i], len) == 0
            && (way->path[len] == '\0' || way->path[len] == '/'))
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_claude_relay_call_acked(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next)
{
    if (call->rmcf->store == NULL || !call->rmcf->store->record
        || call->seq == 0)
    {
        call->next = next;
        call->next(call);
        return;
    }

    call->until = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_ACK;
    call->settled = next;

    ngx_http_claude_relay_call_acking(call);
}


static void
ngx_http_claude_relay_call_acking(ngx_http_claude_relay_call_t *call)
{
    if (call->rmcf->zone->fleet->acked >= call->seq) {
        call->next = call->settled;
        call->next(call);
        return;
    }

    if ((ngx_msec_int_t) (call->until - ngx_current_msec) > 0) {
        ngx_http_claude_relay_call_timer(call, NGX_HTTP_CLAUDE_RELAY_ACK_STEP,
                                         ngx_http_claude_relay_call_acking);
        return;
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "not_acknowledged",
                                     "it was done here, but Redis, which has "
                                     "the record, did not say that it has it: "
                                     "this node keeps it and tells it as soon "
                                     "as it can");
}
