
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An import: a document becomes items, in a thread; each is looked for in the
 * store, checked as the API checks what it makes, and written with others in
 * one transaction.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_IMPORT_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_IMPORT_H_INCLUDED_


#include "ngx_http_claude_relay_port.h"


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_IMPORT_MADE = 0,
    NGX_HTTP_CLAUDE_RELAY_IMPORT_REPLACED,
    NGX_HTTP_CLAUDE_RELAY_IMPORT_SKIPPED,
    NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED,
    NGX_HTTP_CLAUDE_RELAY_IMPORT_RESULTS
} ngx_http_claude_relay_import_result_e;


typedef struct {
    ngx_uint_t                         section;
    ngx_uint_t                         result;
    const char                        *name;    /* of object, valid */
    const char                        *reason;  /* of the pool, or NULL */
    cJSON                             *object;
    cJSON                             *settings;    /* of object */
    cJSON                             *secrets;     /* or NULL */
    char                              *secret;  /* a new one, or NULL */
    ngx_uint_t                         exists;
    uint64_t                           version;
    ncr_store_object_t                 row;     /* data is cJSON's */

    /* one of these, of the sections' */

    ncr_oauth_import_t                *tokens;
    ncr_store_account_t               *found;   /* its own */
    ncr_store_person_t                *person;
    ncr_store_hook_t                  *hook;
} ngx_http_claude_relay_item_t;


typedef struct {
    ngx_http_claude_relay_call_t      *call;
    ngx_uint_t                         dry;
    ngx_uint_t                         replace;     /* what is there */
    ngx_uint_t                         fail;        /* if anything is */
    ngx_uint_t                         fresh;       /* secrets of keys */
    const char                        *pool;        /* of accounts, or NULL */
    const char                        *format;
    ngx_str_t                          passphrase;
    ngx_str_t                          crs_key;
    cJSON                             *document;    /* of the body, or */
    cJSON                             *own;         /* parsed of its text */
    ncr_port_t                        *port;        /* or converted */
    cJSON                             *doc;         /* what is imported */
    ngx_http_claude_relay_item_t      *items;
    ngx_http_claude_relay_item_t     **names;       /* in order */
    ngx_uint_t                         n;
    ngx_uint_t                         at;          /* of a pass */
    ngx_uint_t                         status;      /* 0: it goes on */
    u_char                             error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    uint64_t                           accounts;    /* seq of the last one */
    uint64_t                           objects;
    ncr_sha256_t                       sha;         /* the thread's scratch */
} ngx_http_claude_relay_import_t;


/* import_check.c */

/* in the loop, before it is written; what is wrong is in item */
void ngx_http_claude_relay_import_check(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item);

/* the store's part: of one item each */
ncr_int_t ngx_http_claude_relay_import_look(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
ncr_int_t ngx_http_claude_relay_import_write(ncr_store_t *store,
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);


/* import.c: in the thread; im->status and im->error if it fails */
void ngx_http_claude_relay_import_items(ngx_http_claude_relay_import_t *im);

/* result REFUSED or SKIPPED, and why; for all of the above */
void ngx_http_claude_relay_import_refuse(ngx_http_claude_relay_import_t *im,
    ngx_http_claude_relay_item_t *item, ngx_uint_t result, const char *fmt,
    ...);

/* releases what an item has of its own */
void ngx_http_claude_relay_import_drop(ngx_http_claude_relay_item_t *item);

/* of use for what is checked: has the document one of this name?  A secret's
 * digest; settings as text; disabled; a member that is a text with something
 * in it, or NULL */

ngx_uint_t ngx_http_claude_relay_import_has(
    ngx_http_claude_relay_import_t *im, ngx_uint_t section, ncr_str_t *name);
void ngx_http_claude_relay_prepare_secret(
    ncr_sha256_t *sha, ngx_http_claude_relay_item_t *item, u_char *secret,
    size_t len);
ngx_int_t ngx_http_claude_relay_import_print(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item);
void ngx_http_claude_relay_import_disable(
    ngx_http_claude_relay_import_t *im, ngx_http_claude_relay_item_t *item,
    const char *why);
const char *ngx_http_claude_relay_import_text(cJSON *object,
    const char *name);


#endif /* _NGX_HTTP_CLAUDE_RELAY_IMPORT_H_INCLUDED_ */
