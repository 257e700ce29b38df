
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A card is redeemed for a key, once, and revoked as far as nothing of it is
 * used.  The card and the key are changed in one transaction.
 */


#include "ngx_http_claude_relay_api_cards.h"
#include "ngx_http_claude_relay_limit.h"


/* a limit of dollars in total, whatever its amount */
#define NGX_HTTP_CLAUDE_RELAY_TOTAL  "cost:1/total"


static ncr_int_t ngx_http_claude_relay_card_redeem_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_card_apply(
    ngx_http_claude_relay_cards_t *cards, cJSON *card,
    ncr_store_object_t *key);
static ncr_int_t ngx_http_claude_relay_card_raise(
    ngx_http_claude_relay_cards_t *cards, cJSON *card, cJSON *settings);
static ncr_int_t ngx_http_claude_relay_card_extend(
    ngx_http_claude_relay_cards_t *cards, cJSON *card,
    ncr_store_object_t *key, cJSON *settings);
static ncr_int_t ngx_http_claude_relay_card_redeem_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_card_revoke_found(
    ngx_http_claude_relay_call_t *call);
static ncr_int_t ngx_http_claude_relay_card_revoke_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_card_undo(
    ngx_http_claude_relay_cards_t *cards, cJSON *card,
    ncr_store_object_t *key);
static ncr_int_t ngx_http_claude_relay_card_undo_amount(
    ngx_http_claude_relay_cards_t *cards, cJSON *card, cJSON *settings);
static ncr_int_t ngx_http_claude_relay_card_revoke_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static cJSON *ngx_http_claude_relay_card_limit(cJSON *settings,
    ncr_limit_t *limit);
static void ngx_http_claude_relay_card_set_limit(cJSON *settings, cJSON *item,
    ncr_limit_t *limit);


static ngx_http_claude_relay_kind_t  ngx_http_claude_relay_card_key =
    { "keys", "key", NCR_SCOPE_KEY };


/* {"code":"CC_XXXX_XXXX_XXXX","key":"alice"} */

void
ngx_http_claude_relay_api_card_redeem(ngx_http_claude_relay_call_t *call)
{
    u_char                          code[NCR_CARD_CODE];
    cJSON                          *values[2];
    ncr_str_t                       text;
    ngx_http_claude_relay_cards_t  *cards;

    static const char *const  names[] = { "code", "key", NULL };

    cards = ngx_http_claude_relay_cards(call);

    if (cards == NULL
        || ngx_http_claude_relay_key_changer(call) != NGX_OK
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    if (!cJSON_IsString(values[0]) || !cJSON_IsString(values[1])) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"code\" and \"key\" must be texts");
        return;
    }

    text.data = (u_char *) values[0]->valuestring;
    text.len = ngx_strlen(text.data);

    if (ncr_card_read(code, &text) != NCR_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"code\" must be one such as "
                                         "\"CC_XXXX_XXXX_XXXX\"");
        return;
    }

    cards->key = values[1]->valuestring;

    ncr_sha256_init(&cards->sha);
    ncr_sha256_update(&cards->sha, code, NCR_CARD_CODE);
    ncr_sha256_final(&cards->sha, cards->digest);

    ngx_explicit_memzero(code, sizeof(code));

    cards->bulk->collect = ngx_http_claude_relay_card_redeem_collect;
    cards->bulk->show = ngx_http_claude_relay_card_redeem_show;
    cards->bulk->what = "redeemed";

    ngx_http_claude_relay_bulk_run(cards->bulk);
}


static ncr_int_t
ngx_http_claude_relay_card_redeem_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *card;
    ncr_int_t                       rc;
    const char                     *status;
    ncr_store_object_t              row, key;
    ngx_http_claude_relay_kind_t   *kind;
    ngx_http_claude_relay_cards_t  *cards;

    cards = bulk->data;

    /* whose key it is comes first: a card is nothing to guess at with it */

    kind = bulk->kind;
    bulk->kind = &ngx_http_claude_relay_card_key;

    rc = ngx_http_claude_relay_bulk_find(bulk, store, cards->key, 0, &key);

    bulk->kind = kind;

    if (rc != NCR_OK) {
        return rc;
    }

    rc = ncr_store_object_digest(store, "card", cards->digest, &row);

    if (rc != NCR_OK) {
        ncr_store_object_free(&key);
        return (rc != NCR_DECLINED)
               ? rc
               : ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_NOT_FOUND,
                                                 "there is no such card");
    }

    card = ngx_http_claude_relay_settings(row.data);
    status = ngx_http_claude_relay_card_status(card, bulk->call->now);

    if (ngx_strcmp(status, "unused") != 0) {
        rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                             "this card is %s", status);

    } else {
        rc = ngx_http_claude_relay_card_apply(cards, card, &key);
    }

    if (rc == NCR_OK) {
        ngx_http_claude_relay_card_set(card, "status",
                                       cJSON_CreateString("redeemed"));
        ngx_http_claude_relay_card_set(card, "key",
                                       cJSON_CreateString(key.name));
        ngx_http_claude_relay_card_set(card, "key_id",
                                       cJSON_CreateNumber((double) key.id));
        ngx_http_claude_relay_card_set(card, "redeemed_at",
                              cJSON_CreateNumber((double) bulk->call->now));
        ngx_http_claude_relay_card_who(card, "redeemed_by", bulk->call);

        rc = ngx_http_claude_relay_bulk_add(bulk, &row, card, 0)
             ? NCR_OK : NCR_DECLINED;

    } else {
        cJSON_Delete(card);
    }

    ncr_store_object_free(&row);
    ncr_store_object_free(&key);

    return rc;
}


/* the key's row, as the card makes it */

static ncr_int_t
ngx_http_claude_relay_card_apply(ngx_http_claude_relay_cards_t *cards,
    cJSON *card, ncr_store_object_t *key)
{
    cJSON      *settings;
    ncr_int_t   rc;

    settings = ngx_http_claude_relay_settings(key->data);

    rc = ngx_http_claude_relay_card_raise(cards, card, settings);

    if (rc == NCR_OK) {
        rc = ngx_http_claude_relay_card_extend(cards, card, key, settings);
    }

    if (rc != NCR_OK) {
        cJSON_Delete(settings);
        return rc;
    }

    return ngx_http_claude_relay_bulk_add(cards->bulk, key, settings, 1)
           ? NCR_OK : NCR_DECLINED;
}


/* where there is no total there is nothing to raise, and all is allowed */

static ncr_int_t
ngx_http_claude_relay_card_raise(ngx_http_claude_relay_cards_t *cards,
    cJSON *card, cJSON *settings)
{
    cJSON        *item;
    uint64_t      amount, most;
    ncr_limit_t   limit;

    amount = ngx_http_claude_relay_card_micros(card, "amount");
    most = ngx_http_claude_relay_card_micros(card, "max_amount");

    if (amount == 0) {
        return NCR_OK;
    }

    item = ngx_http_claude_relay_card_limit(settings, &limit);

    if (item == NULL) {
        return ngx_http_claude_relay_bulk_fail(cards->bulk, NGX_HTTP_CONFLICT,
                                 "key \"%s\" has no limit such as "
                                 "\"cost:5/total\" that could be raised",
                                 cards->key);
    }

    if ((most && limit.amount + amount > most)
        || limit.amount + amount
           > (uint64_t) NGX_HTTP_CLAUDE_RELAY_CARD_USD * 1000000 * 1000)
    {
        return ngx_http_claude_relay_bulk_fail(cards->bulk, NGX_HTTP_CONFLICT,
                                 "with this card key \"%s\" would have more "
                                 "than the card allows", cards->key);
    }

    limit.amount += amount;

    ngx_http_claude_relay_card_set_limit(settings, item, &limit);

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_card_extend(ngx_http_claude_relay_cards_t *cards,
    cJSON *card, ncr_store_object_t *key, cJSON *settings)
{
    double                         days, most;
    cJSON                         *copy;
    ngx_int_t                      rc;
    ncr_msec_t                     now, ends;
    ncr_key_room_t                 room;
    ncr_key_build_t                build;
    ncr_store_object_t             row;
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = cards->bulk;
    now = bulk->call->now;

    days = ngx_http_claude_relay_card_value(card, "days");
    most = ngx_http_claude_relay_card_value(card, "max_days");

    if (days < 1) {
        return NCR_OK;
    }

    rc = ngx_http_claude_relay_key_extend(key, settings,
                              (ncr_msec_t) days * NGX_HTTP_CLAUDE_RELAY_DAY,
                              now);
    if (rc != NGX_OK) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                 (rc == NGX_DECLINED)
                                 ? "key \"%s\" has no end that could be moved"
                                 : "key \"%s\" cannot be extended by so much",
                                 cards->key);
    }

    if (most < 1) {
        return NCR_OK;
    }

    copy = settings;
    row = *key;
    row.data = cJSON_PrintUnformatted(copy);
    build.buf = room.buf;
    ends = 0;

    if (row.data
        && ngx_http_claude_relay_key_record(&row, NCR_SCOPE_KEY, &build)
           == NGX_OK)
    {
        /* what has not begun yet ends so long after now at the least */

        ends = ncr_key_ends(build.key);

        if (build.key->activated == 0 && build.key->valid_for) {
            ends = now + build.key->valid_for;
        }
    }

    cJSON_free(row.data);

    if (ends > now + (ncr_msec_t) most * NGX_HTTP_CLAUDE_RELAY_DAY) {
        return ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                 "with this card key \"%s\" would be valid "
                                 "for longer than the card allows",
                                 cards->key);
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_card_redeem_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ngx_http_claude_relay_times_t  times;

    times.activated = bulk->rows[0].activated;
    times.used = 0;

    bulk->answer = cJSON_CreateObject();

    (void) cJSON_AddItemToObject(bulk->answer, "card",
                          ngx_http_claude_relay_show_card(&bulk->rows[1],
                                                          bulk->call->now));
    (void) cJSON_AddItemToObject(bulk->answer, "key",
                          ngx_http_claude_relay_show_row(
                                             &ngx_http_claude_relay_card_key,
                                             &bulk->rows[0], NULL, &times));

    return NCR_OK;
}


void
ngx_http_claude_relay_api_card_revoke(ngx_http_claude_relay_call_t *call)
{
    cJSON  *values[1];

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_object(call) == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK)
    {
        return;
    }

    ngx_http_claude_relay_object_look(call,
                                      ngx_http_claude_relay_card_revoke_found);
}


/* what its key has used is in the zone */

static void
ngx_http_claude_relay_card_revoke_found(ngx_http_claude_relay_call_t *call)
{
    cJSON                                *card;
    ncr_str_t                             text;
    const char                           *wrong;
    ncr_limit_t                           limit;
    ncr_counter_t                         counter;
    ngx_http_claude_relay_cards_t        *cards;
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

    cards = ngx_http_claude_relay_cards(call);
    if (cards == NULL) {
        return;
    }

    card = ngx_http_claude_relay_settings(oc->found.data);
    cards->key_id = (uint64_t) ngx_http_claude_relay_card_value(card,
                                                                "key_id");
    cJSON_Delete(card);

    text.data = (u_char *) NGX_HTTP_CLAUDE_RELAY_TOTAL;
    text.len = sizeof(NGX_HTTP_CLAUDE_RELAY_TOTAL) - 1;

    if (cards->key_id
        && ncr_limit_parse(&limit, &text, &wrong) == NCR_OK)
    {
        ngx_shmtx_lock(&call->rmcf->shpool->mutex);
        ngx_http_claude_relay_counter_locked(call->rmcf, NCR_SCOPE_KEY,
                                             cards->key_id, &limit,
                                             ngx_http_claude_relay_now(),
                                             &counter);
        ngx_shmtx_unlock(&call->rmcf->shpool->mutex);

        cards->used = counter.used + counter.reserved;
    }

    cards->bulk->collect = ngx_http_claude_relay_card_revoke_collect;
    cards->bulk->show = ngx_http_claude_relay_card_revoke_show;
    cards->bulk->what = "revoked";

    ngx_http_claude_relay_bulk_run(cards->bulk);
}


static ncr_int_t
ngx_http_claude_relay_card_revoke_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *card, *name;
    ncr_int_t                       rc;
    const char                     *status;
    ncr_store_object_t              row, key;
    ngx_http_claude_relay_cards_t  *cards;

    cards = bulk->data;

    rc = ngx_http_claude_relay_card_find(bulk, store, &row);

    if (rc != NCR_OK) {
        return rc;
    }

    card = ngx_http_claude_relay_settings(row.data);
    status = ngx_http_claude_relay_card_status(card, bulk->call->now);
    name = cJSON_GetObjectItemCaseSensitive(card, "key");

    if (ngx_strcmp(status, "revoked") == 0) {
        rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                             "card \"%V\" is revoked already",
                                             &bulk->call->name);

    } else if (ngx_strcmp(status, "redeemed") == 0 && cJSON_IsString(name)) {

        if (ngx_http_claude_relay_card_value(card, "key_id")
            != (double) cards->key_id)
        {
            /* redeemed while its key's use was looked up */

            rc = ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                                 "card \"%V\" was just "
                                                 "redeemed",
                                                 &bulk->call->name);

        } else {
            rc = ncr_store_object_find(store, "key", name->valuestring, &key);

            /* another key may have the name by now */

            if (rc == NCR_OK && key.id == cards->key_id) {
                rc = ngx_http_claude_relay_card_undo(cards, card, &key);

            } else if (rc == NCR_DECLINED) {
                rc = NCR_OK;
            }

            ncr_store_object_free(&key);
        }
    }

    if (rc == NCR_OK) {
        ngx_http_claude_relay_card_set(card, "status",
                                       cJSON_CreateString("revoked"));
        ngx_http_claude_relay_card_set(card, "revoked_at",
                              cJSON_CreateNumber((double) bulk->call->now));
        ngx_http_claude_relay_card_who(card, "revoked_by", bulk->call);

        rc = ngx_http_claude_relay_bulk_add(bulk, &row, card, 0)
             ? NCR_OK : NCR_DECLINED;

    } else {
        cJSON_Delete(card);
    }

    ncr_store_object_free(&row);

    return rc;
}


/* as far as nothing of it is used: time that has passed is */

static ncr_int_t
ngx_http_claude_relay_card_undo(ngx_http_claude_relay_cards_t *cards,
    cJSON *card, ncr_store_object_t *key)
{
    cJSON                         *settings;
    double                         days;
    ncr_int_t                      rc;
    ncr_msec_t                     before;
    ncr_key_room_t                 room;
    ncr_key_build_t                build;
    ncr_store_object_t            *row, old;
    ngx_http_claude_relay_bulk_t  *bulk;

    bulk = cards->bulk;

    days = ngx_http_claude_relay_card_value(card, "days");
    settings = ngx_http_claude_relay_settings(key->data);

    rc = ngx_http_claude_relay_card_undo_amount(cards, card, settings);

    if (rc != NCR_OK) {
        cJSON_Delete(settings);
        return rc;
    }

    build.buf = room.buf;
    before = 0;

    if (days >= 1
        && ngx_http_claude_relay_key_record(key, NCR_SCOPE_KEY, &build)
           == NGX_OK)
    {
        before = ncr_key_ends(build.key);

        (void) ngx_http_claude_relay_key_extend(key, settings,
                            (ncr_msec_t) -days * NGX_HTTP_CLAUDE_RELAY_DAY,
                            bulk->call->now);
    }

    row = ngx_http_claude_relay_bulk_add(bulk, key, settings, 1);

    if (row == NULL) {
        return NCR_DECLINED;
    }

    old = *row;
    old.activated = key->activated;

    if (before
        && ngx_http_claude_relay_key_record(&old, NCR_SCOPE_KEY, &build)
           == NGX_OK)
    {
        ngx_http_claude_relay_card_set(card, "returned_days",
                      cJSON_CreateNumber((double) (before
                                                   - ncr_key_ends(build.key))
                                         / NGX_HTTP_CLAUDE_RELAY_DAY));
    }

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_card_undo_amount(ngx_http_claude_relay_cards_t *cards,
    cJSON *card, cJSON *settings)
{
    cJSON        *item;
    uint64_t      amount, left;
    ncr_limit_t   limit;

    amount = ngx_http_claude_relay_card_micros(card, "amount");

    if (amount == 0) {
        return NCR_OK;
    }

    item = ngx_http_claude_relay_card_limit(settings, &limit);
    left = 0;

    if (item && limit.amount > cards->used) {
        left = ngx_min(limit.amount - cards->used, amount);
        limit.amount -= left;

        ngx_http_claude_relay_card_set_limit(settings, item, &limit);
    }

    ngx_http_claude_relay_card_set(card, "returned_amount",
                                   cJSON_CreateNumber((double) left
                                                      / 1000000));

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_card_revoke_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    ncr_store_object_t  *row;

    row = &bulk->rows[bulk->n - 1];

    bulk->answer = ngx_http_claude_relay_show_card(row, bulk->call->now);
    bulk->version = row->version;

    return NCR_OK;
}


/* dollars in total, of all models; NULL: it has no such limit */

static cJSON *
ngx_http_claude_relay_card_limit(cJSON *settings, ncr_limit_t *limit)
{
    u_char       buf[NCR_LIMIT_TEXT * 2];
    cJSON       *item;
    ncr_str_t    text;
    const char  *wrong;

    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(settings, "limits"))
    {
        if (cJSON_IsString(item)) {
            text.data = (u_char *) item->valuestring;
            text.len = ngx_strlen(text.data);

        } else if (!cJSON_IsObject(item)
                   || ngx_http_claude_relay_limit_text(item, buf, &text))
        {
            continue;
        }

        if (ncr_limit_parse(limit, &text, &wrong) == NCR_OK
            && limit->unit == NCR_UNIT_COST && limit->span == NCR_SPAN_TOTAL
            && limit->models[0] == '\0')
        {
            return item;
        }
    }

    return NULL;
}


static void
ngx_http_claude_relay_card_set_limit(cJSON *settings, cJSON *item,
    ncr_limit_t *limit)
{
    char  text[NCR_LIMIT_TEXT];

    (void) ncr_limit_print(limit, text, sizeof(text));

    (void) cJSON_ReplaceItemViaPointer(
                       cJSON_GetObjectItemCaseSensitive(settings, "limits"),
                       item, cJSON_CreateString(text));
}
