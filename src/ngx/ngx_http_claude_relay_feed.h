
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What happens, told to whoever listens: a ring in the zone, which is written
 * only while "watched" has not passed.  A listener moves that on, so one that
 * dies with its worker is forgotten by itself.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FEED_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FEED_H_INCLUDED_


#include "ngx_http_claude_relay_zone.h"
#include "ncr_store_person.h"


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_FEED_REQUEST = 0,
    NGX_HTTP_CLAUDE_RELAY_FEED_ACCOUNT,
    NGX_HTTP_CLAUDE_RELAY_FEED_ACTION,
    NGX_HTTP_CLAUDE_RELAY_FEED_ALERT,
    NGX_HTTP_CLAUDE_RELAY_FEED_FLEET,
    NGX_HTTP_CLAUDE_RELAY_FEED_TYPES
} ngx_http_claude_relay_feed_e;

extern const char *const  ngx_http_claude_relay_feed_names[];


#define NGX_HTTP_CLAUDE_RELAY_FEED_ENTRY  768
#define NGX_HTTP_CLAUDE_RELAY_FEED_TEXT                                       \
    (NGX_HTTP_CLAUDE_RELAY_FEED_ENTRY - sizeof(uint64_t)                      \
     - 4 - NCR_KEY_NAME)


typedef struct {
    uint64_t                           number;  /* 0: being written */
    uint16_t                           len;
    uint8_t                            type;
    uint8_t                            user_len;
    u_char                             user[NCR_KEY_NAME];
    u_char                             text[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
} ngx_http_claude_relay_feed_entry_t;


struct ngx_http_claude_relay_feed_s {
    uint64_t                           last;    /* number, 0: none yet */
    uint64_t                           whole;   /* nothing is missing since */
    ngx_uint_t                         size;
    ngx_http_claude_relay_feed_entry_t entries[1];
};


/* does anybody listen?  What is costly to say is said only then */

#define ngx_http_claude_relay_feed_wanted(zone)                               \
    ((zone)->watched                                                          \
     && (ngx_msec_int_t) ((zone)->watched - ngx_current_msec) > 0)


/* an event of any type: json is an object; never with the lock held */
void ngx_http_claude_relay_feed(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *type, ngx_str_t *json);

/* the end of a request */
void ngx_http_claude_relay_feed_request(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_record_t *rec);

/* somebody has changed something, or was refused */
void ngx_http_claude_relay_feed_action(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_action_t *action);

/* has its state changed? */
void ngx_http_claude_relay_feed_account(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_account_t *a);


/* feed_fleet.c: is Redis another way than was told, are others there? */
void ngx_http_claude_relay_feed_fleet(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t silent);

/* a listener is there, now and for the next seconds; NGX_DECLINED: the zone
 * has no room for the ring */
ngx_int_t ngx_http_claude_relay_feed_watch(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* numbers: of the last event, and of the one behind which none is missing */
void ngx_http_claude_relay_feed_range(ngx_http_claude_relay_main_conf_t *rmcf,
    uint64_t *last, uint64_t *whole);

/*
 * Copies of what came after *seen, at most so many, and *seen moves on.
 * missed: so many are gone already, or UINT64_MAX if nobody knows.
 */
ngx_uint_t ngx_http_claude_relay_feed_read(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t *seen,
    uint64_t *missed, ngx_http_claude_relay_feed_entry_t *entries,
    ngx_uint_t n);


/* api_events.c: the doorbell */
void ngx_http_claude_relay_feed_rung(ngx_http_claude_relay_main_conf_t *rmcf);


#endif /* _NGX_HTTP_CLAUDE_RELAY_FEED_H_INCLUDED_ */
