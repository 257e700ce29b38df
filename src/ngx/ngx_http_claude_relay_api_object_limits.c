
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is used of the limits of a key, a user, a group, or of everybody's by
 * model; and the end of that by hand.  A reset is a record like any other: the
 * ledger's sum of the charges is what the counter has.
 */


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_shares.h"


#define NGX_HTTP_CLAUDE_RELAY_DOLLAR  1000000


static ncr_limit_t *ngx_http_claude_relay_object_limit(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key, ngx_uint_t i);
static ngx_uint_t ngx_http_claude_relay_object_repeats(ncr_key_t *key,
    ncr_limit_t *limit, ngx_uint_t i);
static cJSON *ngx_http_claude_relay_show_limit(ncr_limit_t *limit,
    ncr_counter_t *counter);
static void ngx_http_claude_relay_show_amount(cJSON *json, const char *name,
    ncr_limit_t *limit, uint64_t amount);
static void ngx_http_claude_relay_limits_reset_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_limits_reset_key(
    ngx_http_claude_relay_call_t *call, ncr_key_t *key);
static ngx_int_t ngx_http_claude_relay_limits_reset_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_limit_t *only, ncr_record_t *rec);
static void ngx_http_claude_relay_limits_reset_done(
    ngx_http_claude_relay_call_t *call, ncr_key_t *key);


/* its own, then those that all of its kind have */

static ncr_limit_t *
ngx_http_claude_relay_object_limit(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_key_t *key, ngx_uint_t i)
{
    ncr_limit_t  *limit;

    if (i < key->nlimits) {
        return &key->limits[i];
    }

    i -= key->nlimits;

    if (key->scope == NCR_SCOPE_MODEL || i >= rmcf->limits[key->scope].nelts) {
        return NULL;
    }

    limit = rmcf->limits[key->scope].elts;

    return &limit[i];
}


/* one of its own with another amount counts instead of the common one */

static ngx_uint_t
ngx_http_claude_relay_object_repeats(ncr_key_t *key, ncr_limit_t *limit,
    ngx_uint_t i)
{
    ngx_uint_t  n;

    for (n = 0; n < ngx_min(i, key->nlimits); n++) {
        if (key->limits[n].identity == limit->identity) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_claude_relay_show_usage(ngx_http_claude_relay_call_t *call,
    cJSON *json, ncr_key_t *key)
{
    cJSON          *list;
    ncr_msec_t      now;
    ngx_uint_t      i;
    ncr_limit_t    *limit;
    ncr_counter_t   counter;

    ngx_http_claude_relay_whose_t  whose;

    list = cJSON_AddArrayToObject(json, "usage");
    now = ngx_http_claude_relay_now();

    for (i = 0;
         (limit = ngx_http_claude_relay_object_limit(call->rmcf, key, i));
         i++)
    {
        if (ngx_http_claude_relay_object_repeats(key, limit, i)) {
            continue;
        }

        whose.scope = key->scope;
        whose.owner = ncr_key_text(key, key->name);
        whose.limit = limit;

        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        ngx_http_claude_relay_share_look_locked(call->rmcf, &whose, key->id);
        ngx_http_claude_relay_counter_locked(call->rmcf, key->scope, key->id,
                                             limit, now, &counter);
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

        (void) cJSON_AddItemToArray(list,
                            ngx_http_claude_relay_show_limit(limit, &counter));
    }
}


static cJSON *
ngx_http_claude_relay_show_limit(ncr_limit_t *limit, ncr_counter_t *counter)
{
    char    text[NCR_LIMIT_TEXT];
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) ncr_limit_print(limit, text, sizeof(text));

    (void) cJSON_AddStringToObject(json, "limit", text);
    (void) cJSON_AddStringToObject(json, "unit",
                                   ncr_limit_unit(limit->unit));

    ngx_http_claude_relay_show_amount(json, "amount", limit, limit->amount);
    ngx_http_claude_relay_show_amount(json, "used", limit,
                                      (limit->unit == NCR_UNIT_CONCURRENCY)
                                      ? counter->reserved : counter->used);
    ngx_http_claude_relay_show_amount(json, "reserved", limit,
                                      counter->reserved);

    if (limit->unit != NCR_UNIT_CONCURRENCY) {
        ngx_http_claude_relay_show_time(json, "reset",
                                        (counter->end == INT64_MAX)
                                        ? 0 : counter->end);
    }

    return json;
}


/* dollars for money: a number all the same */

static void
ngx_http_claude_relay_show_amount(cJSON *json, const char *name,
    ncr_limit_t *limit, uint64_t amount)
{
    u_char  buf[2 * NGX_INT64_LEN];

    if (limit->unit != NCR_UNIT_COST) {
        (void) ngx_sprintf(buf, "%uL%Z", amount);

    } else {
        (void) ngx_sprintf(buf, "%uL.%06uL%Z",
                           amount / NGX_HTTP_CLAUDE_RELAY_DOLLAR,
                           amount % NGX_HTTP_CLAUDE_RELAY_DOLLAR);
    }

    (void) cJSON_AddRawToObject(json, name, (char *) buf);
}


/* {} for all of them, {"limit":"cost:5/day"} for one; nginx.conf's, too */

void
ngx_http_claude_relay_api_limits_reset(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *values[1];
    ncr_key_t                            *key;
    ngx_http_claude_relay_key_t          *conf;
    ngx_http_claude_relay_object_call_t  *oc;

    static const char *const  names[] = { "limit", NULL };

    oc = ngx_http_claude_relay_call_object(call);

    if (oc == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    if (values[0] && !cJSON_IsString(values[0])) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"limit\" must be a limit such as "
                                         "\"cost:5/day\"");
        return;
    }

    conf = ngx_http_claude_relay_object_conf(call);

    if (conf) {

        /* its record is nginx.conf's: not to be changed */

        key = conf->key;
        ngx_http_claude_relay_limits_reset_key(call, key);
        return;
    }

    ngx_http_claude_relay_object_look(call,
                                      ngx_http_claude_relay_limits_reset_found);
}


static void
ngx_http_claude_relay_limits_reset_found(ngx_http_claude_relay_call_t *call)
{
    u_char                                error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_str_t                             text;
    ncr_key_room_t                        room;
    ncr_key_build_t                       build;
    ngx_http_claude_relay_object_call_t  *oc;

    oc = call->data;

    if (call->job.rc == NCR_DECLINED) {
        ngx_http_claude_relay_object_gone(call);
        return;
    }

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (ngx_http_claude_relay_object_hidden(call)) {
        return;
    }

    text.data = (u_char *) oc->found.data;
    text.len = ngx_strlen(text.data);

    build.buf = room.buf;

    if (ngx_http_claude_relay_key_json(&build, oc->kind->scope, &call->name,
                                       &text, error)
        != NGX_OK)
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL, "%s",
                                         error);
        return;
    }

    build.key->id = oc->found.id;

    ngx_http_claude_relay_limits_reset_key(call, build.key);
}


static void
ngx_http_claude_relay_limits_reset_key(ngx_http_claude_relay_call_t *call,
    ncr_key_t *key)
{
    cJSON         *value;
    ngx_int_t      rc;
    ncr_str_t      text;
    ncr_limit_t    limit, *only;
    ncr_record_t  *rec;
    const char    *wrong;

    only = NULL;
    value = cJSON_GetObjectItemCaseSensitive(call->body, "limit");

    if (value) {
        text.data = (u_char *) value->valuestring;
        text.len = ngx_strlen(text.data);
        wrong = "it is none";

        if (ncr_limit_parse(&limit, &text, &wrong) != NCR_OK) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "\"limit\": %s", wrong);
            return;
        }

        only = &limit;
    }

    rec = ngx_pcalloc(call->pool, sizeof(ncr_record_t));

    if (rec == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    rec->kind = NCR_RECORD_CHARGE;
    rec->time = ngx_http_claude_relay_now();

    if (key->scope == NCR_SCOPE_KEY) {
        rec->key_id = key->id;
        rec->key = *ncr(&call->name);

    } else if (key->scope != NCR_SCOPE_MODEL) {
        rec->owner = key->id;
    }

    ngx_shmtx_lock(&call->rmcf->shpool->mutex);
    rc = ngx_http_claude_relay_limits_reset_locked(call->rmcf, key, only, rec);
    ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

    if (rc == NGX_DECLINED) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_NOT_FOUND, NULL,
                                 "%s \"%V\" has no such limit",
                                 ngx_http_claude_relay_kind(key->scope),
                                 &call->name);
        return;
    }

    if (rc != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 NULL, "the ledger takes no more just now, "
                                 "nothing was reset");
        return;
    }

    ngx_http_claude_relay_limits_reset_done(call, key);
}


/* what is under way is not touched; NGX_DECLINED: there is no such limit */

static ngx_int_t
ngx_http_claude_relay_limits_reset_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_limit_t *only, ncr_record_t *rec)
{
    uint64_t                          id;
    ngx_int_t                         rc;
    ngx_uint_t                        i;
    ncr_limit_t                      *limit;
    ncr_charge_t                     *charge;
    ngx_http_claude_relay_whose_t     whose;
    ngx_http_claude_relay_counter_t  *c;

    rc = only ? NGX_DECLINED : NGX_OK;

    for (i = 0;
         (limit = ngx_http_claude_relay_object_limit(rmcf, key, i));
         i++)
    {
        if ((only && only->identity != limit->identity)
            || ngx_http_claude_relay_object_repeats(key, limit, i))
        {
            continue;
        }

        rc = NGX_OK;

        id = ncr_limit_counter(key->scope, key->id, limit);

        if (rmcf->redis) {
            whose.scope = key->scope;
            whose.owner = ncr_key_text(key, key->name);
            whose.limit = limit;

            ngx_http_claude_relay_share_reset_locked(rmcf, &whose, id);
        }

        c = ngx_http_claude_relay_counter_find_locked(rmcf->zone, id);

        if (c == NULL || c->counter.used == 0
            || rec->ncharges == NCR_RECORD_CHARGES)
        {
            continue;
        }

        charge = &rec->charges[rec->ncharges++];

        charge->counter = id;
        charge->start = c->counter.start;
        charge->end = c->counter.end;
        charge->amount = - (int64_t) c->counter.used;
    }

    if (rc != NGX_OK || rec->ncharges == 0) {
        return rc;
    }

    if (ngx_http_claude_relay_ledger_put_locked(rmcf, rec) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < rec->ncharges; i++) {
        c = ngx_http_claude_relay_counter_find_locked(rmcf->zone,
                                                      rec->charges[i].counter);
        if (c) {
            c->counter.used = 0;
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_limits_reset_done(ngx_http_claude_relay_call_t *call,
    ncr_key_t *key)
{
    cJSON  *json;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "limits of %s \"%V\" were reset by %V",
                  ngx_http_claude_relay_kind(key->scope), &call->name,
                  &call->caller.who);

    /* other nodes are told; who waited for a slot of it may go on */

    ngx_http_claude_relay_fleet_urgent(call->rmcf);
    ngx_http_claude_relay_ring(call->rmcf->zone);

    json = cJSON_CreateObject();

    ngx_http_claude_relay_show_str(json, "name", &call->name);
    ngx_http_claude_relay_show_usage(call, json, key);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
