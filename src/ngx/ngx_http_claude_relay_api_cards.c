
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Quota cards: a code that raises a key's total of dollars, or extends its
 * time, once.  Of a code there is a digest only, as of a key's secret; the
 * card and the key are changed in one transaction.
 */


#include "ngx_http_claude_relay_api_cards.h"


#define NGX_HTTP_CLAUDE_RELAY_CARDS       100
#define NGX_HTTP_CLAUDE_RELAY_CARDS_MAX   1000
#define NGX_HTTP_CLAUDE_RELAY_CARD_DAYS   3650


/* a list */

typedef struct {
    ngx_http_claude_relay_call_t      *call;
    ngx_str_t                          after;
    ngx_str_t                          limit;
    ngx_str_t                          status;
    ngx_str_t                          type;
    ngx_str_t                          key;
    size_t                             max;
    size_t                             n;           /* of the page */
    size_t                             total;
    ngx_uint_t                         more;
    cJSON                             *cards;
    char                               last[NCR_STORE_NAME];
} ngx_http_claude_relay_card_list_t;


static void ngx_http_claude_relay_api_cards(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_cards_query(
    ngx_http_claude_relay_card_list_t *list);
static ngx_int_t ngx_http_claude_relay_cards_arg(
    ngx_http_claude_relay_card_list_t *list, ngx_str_t *arg);
static void ngx_http_claude_relay_cards_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_cards_row(void *data,
    ncr_store_object_t *row);
static void ngx_http_claude_relay_cards_done(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_cards_list_free(void *data);

static void ngx_http_claude_relay_cards_free(void *data);
static void ngx_http_claude_relay_api_card_create(
    ngx_http_claude_relay_call_t *call);
static ngx_int_t ngx_http_claude_relay_card_body(
    ngx_http_claude_relay_cards_t *cards, cJSON **values);
static ngx_int_t ngx_http_claude_relay_card_number(
    ngx_http_claude_relay_cards_t *cards, cJSON *value, const char *name,
    double least, double most, ngx_uint_t whole);
static ncr_int_t ngx_http_claude_relay_card_create_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static ncr_int_t ngx_http_claude_relay_card_create_show(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);
static void ngx_http_claude_relay_api_card(ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_card_found(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_api_card_remove(
    ngx_http_claude_relay_call_t *call);
static ncr_int_t ngx_http_claude_relay_card_remove_collect(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);


ngx_http_claude_relay_way_t  ngx_http_claude_relay_card_ways[] = {

    { NGX_HTTP_GET, "/v1/cards", ngx_http_claude_relay_api_cards,
      NCR_ROLE_VIEWER, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/cards", ngx_http_claude_relay_api_card_create,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/cards/redeem",
      ngx_http_claude_relay_api_card_redeem,
      NCR_ROLE_USER, 1, 1, 0, 0 },

    { NGX_HTTP_GET, "/v1/cards/*", ngx_http_claude_relay_api_card,
      NCR_ROLE_VIEWER, 1, 1, 0, 0 },

    { NGX_HTTP_DELETE, "/v1/cards/*", ngx_http_claude_relay_api_card_remove,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { NGX_HTTP_POST, "/v1/cards/*/revoke",
      ngx_http_claude_relay_api_card_revoke,
      NCR_ROLE_OPERATOR, 1, 1, 0, 0 },

    { 0, NULL, NULL, NCR_ROLE_NONE, 0, 0, 0, 0 }
};


static void
ngx_http_claude_relay_api_cards(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t                 *cln;
    ngx_http_claude_relay_card_list_t  *list;

    list = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_card_list_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (list == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_cards_list_free;
    cln->data = list;

    list->call = call;
    call->data = list;

    if (ngx_http_claude_relay_cards_query(list) == NGX_OK) {
        ngx_http_claude_relay_call_post(call, ngx_http_claude_relay_cards_run,
                                        ngx_http_claude_relay_cards_done);
    }
}


static ngx_int_t
ngx_http_claude_relay_cards_query(ngx_http_claude_relay_card_list_t *list)
{
    u_char     *p;
    int64_t     n;
    ngx_str_t   arg;

    p = list->call->args.data;

    while (ngx_http_claude_relay_call_arg(list->call, &p, &arg) == NGX_OK) {

        if (arg.len && ngx_http_claude_relay_cards_arg(list, &arg) != NGX_OK) {
            ngx_http_claude_relay_call_error(list->call, NGX_HTTP_BAD_REQUEST,
                             NULL, "the query takes \"limit\" (1 to %d), "
                             "\"after\", \"status\", \"type\" and \"key\", "
                             "each once", NGX_HTTP_CLAUDE_RELAY_CARDS_MAX);
            return NGX_ERROR;
        }
    }

    list->max = NGX_HTTP_CLAUDE_RELAY_CARDS;

    if (list->limit.data == NULL) {
        return NGX_OK;
    }

    if (ncr_str_int(ncr(&list->limit), &n) != NCR_OK || n < 1
        || n > NGX_HTTP_CLAUDE_RELAY_CARDS_MAX)
    {
        ngx_http_claude_relay_call_error(list->call, NGX_HTTP_BAD_REQUEST,
                                         NULL, "\"limit\" must be a number "
                                         "from 1 to %d",
                                         NGX_HTTP_CLAUDE_RELAY_CARDS_MAX);
        return NGX_ERROR;
    }

    list->max = (size_t) n;

    return NGX_OK;
}


/* values are names and words, which need no escapes */

static ngx_int_t
ngx_http_claude_relay_cards_arg(ngx_http_claude_relay_card_list_t *list,
    ngx_str_t *arg)
{
    size_t      len;
    ngx_str_t   value, *slots[5];
    ngx_uint_t  i;

    static const char *const  names[] = {
        "after=", "limit=", "status=", "type=", "key=", NULL
    };

    slots[0] = &list->after;
    slots[1] = &list->limit;
    slots[2] = &list->status;
    slots[3] = &list->type;
    slots[4] = &list->key;

    for (i = 0; names[i]; i++) {

        if (!ncr_str_prefix(ncr(arg), names[i])) {
            continue;
        }

        len = ngx_strlen(names[i]);

        value.data = arg->data + len;
        value.len = arg->len - len;

        if (slots[i]->data || !ngx_http_claude_relay_valid_name(&value)) {
            return NGX_ERROR;
        }

        /* with a NUL */

        value.len++;
        slots[i]->data = ngx_pstrdup(list->call->pool, &value);
        slots[i]->len = value.len - 1;

        if (slots[i]->data == NULL) {
            return NGX_ERROR;
        }

        slots[i]->data[slots[i]->len] = '\0';

        return NGX_OK;
    }

    return NGX_ERROR;
}


static void
ngx_http_claude_relay_cards_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_card_list_t  *list;

    list = call->data;

    cJSON_Delete(list->cards);
    list->cards = cJSON_CreateArray();
    list->n = 0;
    list->total = 0;
    list->more = 0;

    ngx_http_claude_relay_job_rc(store, job,
                       ncr_store_object_list(store, "card", "",
                                             ngx_http_claude_relay_cards_row,
                                             list));
}


static ncr_int_t
ngx_http_claude_relay_cards_row(void *data, ncr_store_object_t *row)
{
    ngx_http_claude_relay_card_list_t *list = data;

    cJSON       *card;
    const char  *status;

    if ((list->type.data
         && !ngx_http_claude_relay_object_says(row->data, "type", &list->type))
        || (list->key.data
            && !ngx_http_claude_relay_object_says(row->data, "key",
                                                  &list->key)))
    {
        return NCR_OK;
    }

    if (list->status.data) {
        card = ngx_http_claude_relay_settings(row->data);
        status = ngx_http_claude_relay_card_status(card, list->call->now);

        if (ngx_strcmp(status, list->status.data) != 0) {
            cJSON_Delete(card);
            return NCR_OK;
        }

        cJSON_Delete(card);
    }

    list->total++;

    if (list->after.data && ngx_strcmp(row->name, list->after.data) <= 0) {
        return NCR_OK;
    }

    if (list->n == list->max) {
        list->more = 1;
        return NCR_OK;
    }

    list->n++;

    ngx_memcpy(list->last, row->name, NCR_STORE_NAME);

    (void) cJSON_AddItemToArray(list->cards,
                                ngx_http_claude_relay_show_card(row,
                                                           list->call->now));

    return NCR_OK;
}


static void
ngx_http_claude_relay_cards_done(ngx_http_claude_relay_call_t *call)
{
    cJSON                              *json;
    ngx_http_claude_relay_card_list_t  *list;

    list = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    json = cJSON_CreateObject();

    (void) cJSON_AddItemToObject(json, "cards", list->cards);
    list->cards = NULL;

    (void) cJSON_AddItemToObject(json, "next", list->more
                                 ? cJSON_CreateString(list->last)
                                 : cJSON_CreateNull());
    (void) cJSON_AddNumberToObject(json, "total", (double) list->total);

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}


static void
ngx_http_claude_relay_cards_list_free(void *data)
{
    ngx_http_claude_relay_card_list_t *list = data;

    cJSON_Delete(list->cards);
}


ngx_http_claude_relay_cards_t *
ngx_http_claude_relay_cards(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_claude_relay_bulk_t   *bulk;
    ngx_http_claude_relay_cards_t  *cards;

    bulk = ngx_http_claude_relay_bulk(call);
    if (bulk == NULL) {
        return NULL;
    }

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no such query here");
        return NULL;
    }

    cards = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_cards_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (cards == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    cln->handler = ngx_http_claude_relay_cards_free;
    cln->data = cards;

    cards->bulk = bulk;
    bulk->data = cards;

    if (ncr_sha256_create(&cards->sha) != NCR_OK) {
        ngx_http_claude_relay_call_memory(call);
        return NULL;
    }

    return cards;
}


static void
ngx_http_claude_relay_cards_free(void *data)
{
    ngx_http_claude_relay_cards_t *cards = data;

    if (cards->codes) {
        ngx_explicit_memzero(cards->codes, cards->count
                             * sizeof(ngx_http_claude_relay_code_t));
    }

    if (cards->sha.state) {
        ncr_sha256_free(&cards->sha);
    }

    cJSON_Delete(cards->settings);
}


/* {"type":"quota","amount":5,"count":10} */

static void
ngx_http_claude_relay_api_card_create(ngx_http_claude_relay_call_t *call)
{
    cJSON                          *values[8];
    ngx_http_claude_relay_cards_t  *cards;

    static const char *const  names[] = {
        "type", "amount", "days", "count", "expires_at", "description",
        "max_amount", "max_days", NULL
    };

    cards = ngx_http_claude_relay_cards(call);

    if (cards == NULL
        || ngx_http_claude_relay_call_members(call, names, values, NULL)
           != NGX_OK
        || ngx_http_claude_relay_card_body(cards, values) != NGX_OK)
    {
        return;
    }

    cards->codes = ngx_pcalloc(call->pool, cards->count
                               * sizeof(ngx_http_claude_relay_code_t));

    if (cards->codes == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cards->bulk->collect = ngx_http_claude_relay_card_create_collect;
    cards->bulk->show = ngx_http_claude_relay_card_create_show;
    cards->bulk->what = "made";
    cards->bulk->created = 1;

    ngx_http_claude_relay_bulk_run(cards->bulk);
}


static ngx_int_t
ngx_http_claude_relay_card_body(ngx_http_claude_relay_cards_t *cards,
    cJSON **values)
{
    u_char                        *p;
    cJSON                         *json;
    ngx_str_t                      text;
    ncr_msec_t                     t;
    ngx_uint_t                     amount, days;
    const char                    *type;
    ngx_http_claude_relay_call_t  *call;

    call = cards->bulk->call;

    type = cJSON_IsString(values[0]) ? values[0]->valuestring : "";

    amount = (ngx_strcmp(type, "quota") == 0 || ngx_strcmp(type, "combo") == 0);
    days = (ngx_strcmp(type, "time") == 0 || ngx_strcmp(type, "combo") == 0);

    if ((!amount && !days) || amount != (values[1] != NULL)
        || days != (values[2] != NULL))
    {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"type\" must be \"quota\" (with \"amount\"), "
                         "\"time\" (with \"days\") or \"combo\" (with both)");
        return NGX_ERROR;
    }

    if ((values[6] && !amount) || (values[7] && !days)) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"max_amount\" goes with \"amount\", \"max_days\" "
                         "with \"days\"");
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_card_number(cards, values[1], "amount",
                           0.000001, NGX_HTTP_CLAUDE_RELAY_CARD_USD, 0)
        != NGX_OK
        || ngx_http_claude_relay_card_number(cards, values[2], "days", 1,
                                   NGX_HTTP_CLAUDE_RELAY_CARD_DAYS, 1)
           != NGX_OK
        || ngx_http_claude_relay_card_number(cards, values[3], "count", 1,
                                   NGX_HTTP_CLAUDE_RELAY_CARDS, 1)
           != NGX_OK
        || ngx_http_claude_relay_card_number(cards, values[6], "max_amount",
                           0.000001, NGX_HTTP_CLAUDE_RELAY_CARD_USD * 1000.0,
                           0)
           != NGX_OK
        || ngx_http_claude_relay_card_number(cards, values[7], "max_days", 1,
                                   NGX_HTTP_CLAUDE_RELAY_DAYS, 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    t = 0;

    if (values[4]) {
        text.data = (u_char *) (cJSON_IsString(values[4])
                                ? values[4]->valuestring : "");
        text.len = ngx_strlen(text.data);

        if (ngx_http_claude_relay_instant(&text, &t) != NGX_OK
            || t <= ngx_http_claude_relay_now())
        {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"expires_at\" must be a time to come such as "
                         "\"2027-01-31T00:00:00Z\"");
            return NGX_ERROR;
        }
    }

    p = (u_char *) (values[5] && cJSON_IsString(values[5])
                    ? values[5]->valuestring : "");

    text.data = p;
    text.len = ngx_strlen(p);

    while (*p >= ' ' && *p != 0x7f) {
        p++;
    }

    if ((values[5] && !cJSON_IsString(values[5])) || *p || text.len > 1024) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                         "\"description\" must be a text of at most 1024 "
                         "bytes without control characters");
        return NGX_ERROR;
    }

    json = cJSON_CreateObject();
    cards->settings = json;
    cards->count = values[3] ? (size_t) values[3]->valuedouble : 1;

    (void) cJSON_AddStringToObject(json, "type", type);
    (void) cJSON_AddStringToObject(json, "status", "unused");

    if (amount) {
        (void) cJSON_AddNumberToObject(json, "amount",
                                       values[1]->valuedouble);
    }

    if (days) {
        (void) cJSON_AddNumberToObject(json, "days", values[2]->valuedouble);
    }

    if (values[6]) {
        (void) cJSON_AddNumberToObject(json, "max_amount",
                                       values[6]->valuedouble);
    }

    if (values[7]) {
        (void) cJSON_AddNumberToObject(json, "max_days",
                                       values[7]->valuedouble);
    }

    if (t) {
        (void) cJSON_AddNumberToObject(json, "expires_at", (double) t);
    }

    if (text.len) {
        (void) cJSON_AddStringToObject(json, "description",
                                       (char *) text.data);
    }

    ngx_http_claude_relay_card_who(json, "created_by", call);

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_card_number(ngx_http_claude_relay_cards_t *cards,
    cJSON *value, const char *name, double least, double most,
    ngx_uint_t whole)
{
    double  n;

    if (value == NULL) {
        return NGX_OK;
    }

    n = cJSON_IsNumber(value) ? value->valuedouble : -1;

    if (n >= least && n <= most && (!whole || n == (double) (int64_t) n)) {
        return NGX_OK;
    }

    ngx_http_claude_relay_call_error(cards->bulk->call, NGX_HTTP_BAD_REQUEST,
                                     NULL, "\"%s\" must be a number from %s "
                                     "to %L", name, whole ? "1" : "0.000001",
                                     (int64_t) most);
    return NGX_ERROR;
}


/* names are in the order of their making */

static ncr_int_t
ngx_http_claude_relay_card_create_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    size_t                          i;
    u_char                          random[NCR_CARD_RANDOM + 4];
    uint32_t                        number;
    ncr_store_object_t              new, *row;
    ngx_http_claude_relay_cards_t  *cards;

    cards = bulk->data;

    for (i = 0; i < cards->count; i++) {

        if (RAND_bytes(random, sizeof(random)) != 1) {
            return ngx_http_claude_relay_bulk_fail(bulk,
                                               NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "no random numbers");
        }

        ngx_memzero(&new, sizeof(ncr_store_object_t));

        ngx_memcpy(&number, random + NCR_CARD_RANDOM, 4);

        (void) ngx_cpystrn((u_char *) new.kind, (u_char *) "card",
                           sizeof(new.kind));
        (void) ngx_sprintf((u_char *) new.name, "card-%011xL-%03xz%08xD%Z",
                           bulk->call->now, i, number);

        row = ngx_http_claude_relay_bulk_add(bulk, &new,
                                             cJSON_Duplicate(cards->settings,
                                                             1), 0);
        if (row == NULL) {
            return NCR_DECLINED;
        }

        ncr_card_code(cards->codes[i], random);

        ncr_sha256_init(&cards->sha);
        ncr_sha256_update(&cards->sha, cards->codes[i], NCR_CARD_CODE);
        ncr_sha256_final(&cards->sha, row->digest);

        row->has_digest = 1;
    }

    ngx_explicit_memzero(random, sizeof(random));

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_card_create_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON                          *list, *card;
    size_t                          i;
    ngx_http_claude_relay_cards_t  *cards;

    cards = bulk->data;

    bulk->answer = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(bulk->answer, "cards");

    for (i = 0; i < bulk->n; i++) {
        card = ngx_http_claude_relay_show_card(&bulk->rows[i],
                                               bulk->call->now);

        (void) cJSON_AddStringToObject(card, "code",
                                       (char *) cards->codes[i]);
        (void) cJSON_AddItemToArray(list, card);
    }

    return NCR_OK;
}


static void
ngx_http_claude_relay_api_card(ngx_http_claude_relay_call_t *call)
{
    if (ngx_http_claude_relay_call_object(call) == NULL) {
        return;
    }

    if (call->args.len) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no such query here");
        return;
    }

    ngx_http_claude_relay_object_look(call, ngx_http_claude_relay_card_found);
}


static void
ngx_http_claude_relay_card_found(ngx_http_claude_relay_call_t *call)
{
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

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK,
                           ngx_http_claude_relay_show_card(&oc->found,
                                                           call->now),
                           oc->found.version);
}


static void
ngx_http_claude_relay_api_card_remove(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_cards_t  *cards;

    cards = ngx_http_claude_relay_cards(call);

    if (cards) {
        cards->bulk->collect = ngx_http_claude_relay_card_remove_collect;
        cards->bulk->what = "removed";

        ngx_http_claude_relay_bulk_run(cards->bulk);
    }
}


/* what was redeemed is told as long as it holds */

static ncr_int_t
ngx_http_claude_relay_card_remove_collect(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store)
{
    cJSON               *card;
    ncr_int_t            rc;
    ngx_uint_t           redeemed;
    ncr_store_object_t   found;

    rc = ngx_http_claude_relay_card_find(bulk, store, &found);

    if (rc != NCR_OK) {
        return rc;
    }

    card = ngx_http_claude_relay_settings(found.data);
    redeemed = ngx_strcmp(ngx_http_claude_relay_card_status(card,
                                                            bulk->call->now),
                          "redeemed") == 0;
    cJSON_Delete(card);

    rc = redeemed
         ? ngx_http_claude_relay_bulk_fail(bulk, NGX_HTTP_CONFLICT,
                                           "card \"%V\" is redeemed: revoke "
                                           "it first", &bulk->call->name)
         : ngx_http_claude_relay_bulk_drop(bulk, &found);

    ncr_store_object_free(&found);

    return rc;
}


ngx_int_t
ngx_http_claude_relay_card_find(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store, ncr_store_object_t *found)
{
    return ngx_http_claude_relay_bulk_find(bulk, store,
                                           (char *) bulk->call->name.data, 1,
                                           found);
}


const char *
ngx_http_claude_relay_card_status(cJSON *card, ncr_msec_t now)
{
    double       expires;
    cJSON       *status;
    ngx_uint_t   i;

    static const char *const  words[] = { "unused", "redeemed", NULL };

    status = cJSON_GetObjectItemCaseSensitive(card, "status");
    expires = ngx_http_claude_relay_card_value(card, "expires_at");

    for (i = 0; cJSON_IsString(status) && words[i]; i++) {

        if (ngx_strcmp(words[i], status->valuestring) == 0) {
            return (i == 0 && expires && expires <= (double) now)
                   ? "expired" : words[i];
        }
    }

    return "revoked";
}


double
ngx_http_claude_relay_card_value(cJSON *card, const char *name)
{
    cJSON  *value;

    value = cJSON_GetObjectItemCaseSensitive(card, name);

    return (cJSON_IsNumber(value) && value->valuedouble > 0)
           ? value->valuedouble : 0;
}


uint64_t
ngx_http_claude_relay_card_micros(cJSON *card, const char *name)
{
    return (uint64_t) (ngx_http_claude_relay_card_value(card, name) * 1000000
                       + 0.5);
}


void
ngx_http_claude_relay_card_set(cJSON *card, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(card, name);
    (void) cJSON_AddItemToObject(card, name, value);
}


void
ngx_http_claude_relay_card_who(cJSON *card, const char *name,
    ngx_http_claude_relay_call_t *call)
{
    char  who[256];

    ncr_str_copy(who, sizeof(who), ncr(&call->caller.who));

    ngx_http_claude_relay_card_set(card, name, cJSON_CreateString(who));
}


cJSON *
ngx_http_claude_relay_show_card(ncr_store_object_t *row, ncr_msec_t now)
{
    cJSON                *json, *card, *item;
    size_t                len;
    const char           *status;

    json = cJSON_CreateObject();
    card = ngx_http_claude_relay_settings(row->data);
    status = ngx_http_claude_relay_card_status(card, now);

    (void) cJSON_AddStringToObject(json, "name", row->name);
    (void) cJSON_AddNumberToObject(json, "id", (double) row->id);
    (void) cJSON_AddStringToObject(json, "status", status);

    while (card->child) {

        item = cJSON_DetachItemViaPointer(card, card->child);
        len = ngx_strlen(item->string);

        if (ngx_strcmp(item->string, "status") == 0) {
            cJSON_Delete(item);

        } else if (cJSON_IsNumber(item) && len > 3
                   && ngx_strcmp(item->string + len - 3, "_at") == 0)
        {
            ngx_http_claude_relay_show_time(json, item->string,
                                            (ncr_msec_t) item->valuedouble);
            cJSON_Delete(item);

        } else {
            (void) cJSON_AddItemToObject(json, item->string, item);
        }
    }

    cJSON_Delete(card);

    (void) cJSON_AddNumberToObject(json, "version", (double) row->version);
    ngx_http_claude_relay_show_time(json, "created_at", row->created);
    ngx_http_claude_relay_show_time(json, "updated_at", row->updated);

    return json;
}
