
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Quota cards: what making and redeeming them have in common. */


#ifndef _NGX_HTTP_CLAUDE_RELAY_API_CARDS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_API_CARDS_H_INCLUDED_


#include "ngx_http_claude_relay_api_keys.h"
#include "ncr_card.h"


/* of a card, at most */
#define NGX_HTTP_CLAUDE_RELAY_CARD_USD    1000000


typedef u_char  ngx_http_claude_relay_code_t[NCR_CARD_CODE + 1];


typedef struct {
    ngx_http_claude_relay_bulk_t      *bulk;
    cJSON                             *settings;    /* of new ones */
    size_t                             count;
    ngx_http_claude_relay_code_t      *codes;
    ncr_sha256_t                       sha;

    char                              *key;         /* redeemed for it */
    u_char                             digest[NCR_SHA256_LEN];
    uint64_t                           key_id;      /* its use is known */
    uint64_t                           used;
} ngx_http_claude_relay_cards_t;


void ngx_http_claude_relay_api_card_redeem(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_card_revoke(
    ngx_http_claude_relay_call_t *call);


/* api_cards.c; cards(): call->data is a bulk; NULL: the call has ended */

ngx_http_claude_relay_cards_t *ngx_http_claude_relay_cards(
    ngx_http_claude_relay_call_t *call);
ngx_int_t ngx_http_claude_relay_card_find(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store,
    ncr_store_object_t *found);
const char *ngx_http_claude_relay_card_status(cJSON *card,
    ncr_msec_t now);
double ngx_http_claude_relay_card_value(cJSON *card, const char *name);
uint64_t ngx_http_claude_relay_card_micros(cJSON *card,
    const char *name);
void ngx_http_claude_relay_card_set(cJSON *card, const char *name,
    cJSON *value);
void ngx_http_claude_relay_card_who(cJSON *card, const char *name,
    ngx_http_claude_relay_call_t *call);
cJSON *ngx_http_claude_relay_show_card(ncr_store_object_t *row,
    ncr_msec_t now);


#endif /* _NGX_HTTP_CLAUDE_RELAY_API_CARDS_H_INCLUDED_ */
