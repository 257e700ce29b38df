
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Keys by the dozen: what lists, batches, tags, cards and the end of a key
 * have in common.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_API_KEYS_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_API_KEYS_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"


/* settings of one object as JSON */
#define NGX_HTTP_CLAUDE_RELAY_OBJECT_MAX  65536

#define NGX_HTTP_CLAUDE_RELAY_DAY         ((ncr_msec_t) 86400 * 1000)

/* nothing is extended by more, days */
#define NGX_HTTP_CLAUDE_RELAY_DAYS        36500


/*
 * A change of any number of rows, all or none.  collect() finds the rows and
 * what shall become of them, in the store's thread, and is called again if
 * somebody else was faster; show() makes the answer there.  Both return
 * NCR_OK, what a function of the store has returned, or what _fail() does.
 */

typedef struct ngx_http_claude_relay_bulk_s  ngx_http_claude_relay_bulk_t;

typedef ncr_int_t (*ngx_http_claude_relay_bulk_pt)(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store);

struct ngx_http_claude_relay_bulk_s {
    ngx_http_claude_relay_call_t      *call;
    ngx_http_claude_relay_kind_t      *kind;
    ngx_http_claude_relay_bulk_pt      collect;
    ngx_http_claude_relay_bulk_pt      show;    /* or NULL: no content */
    const char                        *what;    /* has happened, for the log */
    ncr_store_bound_t                 *bound;
    void                              *data;

    ncr_store_object_t                *rows;    /* their data is theirs */
    size_t                             n;
    size_t                             room;
    ngx_uint_t                         created; /* 201 */

    ngx_uint_t                         status;  /* of an error, or 0 */
    u_char                             error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    cJSON                             *answer;
    uint64_t                           version; /* for an ETag, or 0 */
};


/* api_bulk.c */

/* call->data; NULL: the call has ended */
ngx_http_claude_relay_bulk_t *ngx_http_claude_relay_bulk(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_bulk_run(ngx_http_claude_relay_bulk_t *bulk);

/* from here on for collect() and show() */

ncr_int_t ngx_http_claude_relay_bulk_fail(ngx_http_claude_relay_bulk_t *bulk,
    ngx_uint_t status, const char *fmt, ...);

/* the live row of this name; NCR_DECLINED and 404: there is none, or it is
 * not there for the caller, or it is deleted and may not be; 412: it is not
 * the version of "If-Match" */
ncr_int_t ngx_http_claude_relay_bulk_find(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store, const char *name, ngx_uint_t deleted,
    ncr_store_object_t *found);

/* one more; from: kind, name and version of it are copied; settings are
 * deleted.  What no key could be made of is refused with 400, unless it is
 * as it was.  NULL: bulk has an error */
ncr_store_object_t *ngx_http_claude_relay_bulk_add(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_object_t *from,
    cJSON *settings, ngx_uint_t check);

/* one that becomes a tombstone */
ncr_int_t ngx_http_claude_relay_bulk_drop(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_object_t *from);

/* one that is kept as deleted (api_keys.c) */
ncr_int_t ngx_http_claude_relay_bulk_delete(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_object_t *row);

/* are the user and the group there that these settings name? */
ncr_int_t ngx_http_claude_relay_bulk_owners(
    ngx_http_claude_relay_bulk_t *bulk, ncr_store_t *store, cJSON *settings);

/* settings of a row, to be changed; never NULL but without memory */
cJSON *ngx_http_claude_relay_settings(const char *data);

/* members take the place of others, null takes one away; those that are not
 * for others to set are an error of bulk */
ncr_int_t ngx_http_claude_relay_bulk_merge(
    ngx_http_claude_relay_bulk_t *bulk, cJSON *settings, cJSON *members);

/* the answer is the only row as it is now */
ncr_int_t ngx_http_claude_relay_bulk_show(ngx_http_claude_relay_bulk_t *bulk,
    ncr_store_t *store);


/* api_keys.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_key_ways[];

void ngx_http_claude_relay_api_key_remove(ngx_http_claude_relay_call_t *call);

/* is what this row's data says the caller's, or is the caller no user? */
ngx_uint_t ngx_http_claude_relay_key_own(ngx_http_claude_relay_call_t *call,
    const char *data);
ngx_uint_t ngx_http_claude_relay_key_own_conf(
    ngx_http_claude_relay_call_t *call, ngx_http_claude_relay_key_t *conf);
ngx_uint_t ngx_http_claude_relay_key_deleted(const char *data);

/* may a user set what is in the body, of a key of its own?  NGX_ERROR: the
 * call has ended */
ngx_int_t ngx_http_claude_relay_object_own_members(
    ngx_http_claude_relay_call_t *call, ngx_uint_t new);

/* a viewer, who gets in where a user does, changes nothing; NGX_ERROR: the
 * call has ended */
ngx_int_t ngx_http_claude_relay_key_changer(
    ngx_http_claude_relay_call_t *call);

/* in the thread: how many keys the caller may have by itself; NCR_DECLINED:
 * none more */
ncr_int_t ngx_http_claude_relay_key_allowance(
    ngx_http_claude_relay_call_t *call, ncr_store_t *store, size_t *max);

/* as a record, with id and first use; NGX_ERROR: it cannot be read */
ngx_int_t ngx_http_claude_relay_key_record(ncr_store_object_t *row,
    ncr_scope_e scope, ncr_key_build_t *build);

/*
 * So many ms longer, or shorter: what ends the key first is moved, from now
 * on if that is over.  NGX_DECLINED: it has no end; NGX_ERROR: it cannot be
 * read, or never ends any more.
 */
ngx_int_t ngx_http_claude_relay_key_extend(ncr_store_object_t *row,
    cJSON *settings, ncr_msec_t by, ncr_msec_t now);


/* api_batch.c, api_tags.c, api_cards.c */

void ngx_http_claude_relay_api_batch(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_keys_import(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_tags(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_tag_rename(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_tag_remove(ngx_http_claude_relay_call_t *call);

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_card_ways[];


/*
 * api_query.c: which of them.  A text without data is not asked for.
 */

typedef struct {
    ngx_str_t                          after;
    ngx_str_t                          page;
    ngx_str_t                          limit;
    ngx_str_t                          search;
    ngx_str_t                          tag;
    ngx_str_t                          user;
    ngx_str_t                          group;
    ngx_str_t                          enabled;
    ngx_str_t                          source;
    ngx_str_t                          expired;
    ngx_str_t                          deleted;
    ngx_str_t                          model;
    ngx_str_t                          sort;
    ngx_str_t                          order;
    ngx_str_t                          format;

    ngx_str_t                          needle;  /* search, as JSON has it */
    ncr_scope_e                        scope;
    ncr_msec_t                         now;
} ngx_http_claude_relay_query_t;

/* of the call's query string, or of an object's members; NGX_ERROR: the call
 * has ended */
ngx_int_t ngx_http_claude_relay_query_args(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query);
ngx_int_t ngx_http_claude_relay_query_json(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_query_t *query, cJSON *filter);

/* for the thread, too; conf: a block of nginx.conf */
ngx_uint_t ngx_http_claude_relay_query_takes(
    ngx_http_claude_relay_query_t *query, ncr_store_object_t *row,
    ngx_uint_t conf);


/* api_list_text.c: a text that grows; "failed" is sticky */

typedef struct {
    u_char                            *data;
    size_t                             len;
    size_t                             size;
    ngx_uint_t                         failed;
} ngx_http_claude_relay_list_text_t;

void ngx_http_claude_relay_list_put(ngx_http_claude_relay_list_text_t *text,
    const void *p, size_t len);

/* an object as JSON, or as a line of CSV; it is deleted */
void ngx_http_claude_relay_list_item(ngx_http_claude_relay_list_text_t *text,
    cJSON *json);
void ngx_http_claude_relay_list_head(ngx_http_claude_relay_list_text_t *text,
    ncr_scope_e scope);
void ngx_http_claude_relay_list_line(ngx_http_claude_relay_list_text_t *text,
    ncr_scope_e scope, cJSON *json);


#endif /* _NGX_HTTP_CLAUDE_RELAY_API_KEYS_H_INCLUDED_ */
