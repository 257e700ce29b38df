
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an operator changes while nginx runs and is of no account, key, user,
 * group or limit: objects of the store of the kind "setting".  Each worker has
 * them in its own memory, made in the store's thread.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_SETTINGS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_SETTINGS_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"

#include <cjson/cJSON.h>


#define NGX_HTTP_CLAUDE_RELAY_SETTING_KIND     "setting"

/* as JSON: settings are small, a table of prices is not */
#define NGX_HTTP_CLAUDE_RELAY_SETTINGS_MAX     65536
#define NGX_HTTP_CLAUDE_RELAY_PRICES_MAX_TEXT  (3 * 1024 * 1024)


/* by their names in the store: "main" and "prices" */

typedef enum {
    NGX_HTTP_CLAUDE_RELAY_SETTING_MAIN = 0,
    NGX_HTTP_CLAUDE_RELAY_SETTING_PRICES,
    NGX_HTTP_CLAUDE_RELAY_SETTINGS
} ngx_http_claude_relay_setting_e;


struct ngx_http_claude_relay_setting_s {
    ngx_http_claude_relay_setting_t   *next;    /* of what is out of use */
    ngx_pool_t                        *pool;    /* all of it is in there */
    uint64_t                           file;
    ngx_msec_t                         until;   /* it is kept */
    ncr_store_object_t                 row;     /* data is in pool */

    /* main */

    ngx_uint_t                         maintenance;
    ngx_str_t                          message;
    ngx_uint_t                         unpriced;    /* 0: as configured, or
                                                  ..._ALLOW, ..._REFUSE */
    ngx_array_t                       *map;     /* see map.c, or NULL */
    ngx_str_t                          alerts;  /* a JSON object, or "" */

    /* prices */

    ncr_prices_t                      *prices;
};

#define NGX_HTTP_CLAUDE_RELAY_UNPRICED_ALLOW   1
#define NGX_HTTP_CLAUDE_RELAY_UNPRICED_REFUSE  2


/*
 * For the thread, too: nothing but memory is used.  NULL: error
 * (NGX_HTTP_CLAUDE_RELAY_ERROR bytes) has a message.  base: the prices of
 * nginx.conf.
 */
ngx_http_claude_relay_setting_t *ngx_http_claude_relay_setting_read(
    const ncr_prices_t *base, ncr_store_object_t *row, u_char *error);
void ngx_http_claude_relay_setting_free(
    ngx_http_claude_relay_setting_t *setting);

/* -1: it is no setting, or of a later version */
ngx_int_t ngx_http_claude_relay_setting_of(ncr_store_object_t *row);
const char *ngx_http_claude_relay_setting_name(ngx_uint_t which);

/*
 * In the loop: takes over what was read, if it is newer.  setting NULL: there
 * is none any more.  NGX_ABORT: what this worker has is newer.
 */
ngx_int_t ngx_http_claude_relay_setting_apply(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t file,
    ncr_store_object_t *row, ngx_http_claude_relay_setting_t *setting);

/* when the configuration goes */
void ngx_http_claude_relay_settings_free(void *rmcf);


/* what is in force; of the loop */

/* NULL: no maintenance; else what to tell, good for the request's pool */
const char *ngx_http_claude_relay_maintenance(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_pool_t *pool);

ngx_uint_t ngx_http_claude_relay_unpriced_refused(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* a model for everybody, copied into pool; NGX_DECLINED: as it is */
ngx_int_t ngx_http_claude_relay_setting_map(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_pool_t *pool,
    ngx_str_t *model, ngx_str_t *to);

/* thresholds of alerts, a JSON object as it was stored; "" if there is none.
 * Good until the loop goes on */
ngx_str_t ngx_http_claude_relay_setting_alerts(
    ngx_http_claude_relay_main_conf_t *rmcf);

/* price.c, metrics.c: a table has gone, and another one may be in its place */
void ngx_http_claude_relay_prices_forget(void);
void ngx_http_claude_relay_metrics_forget(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_SETTINGS_H_INCLUDED_ */
