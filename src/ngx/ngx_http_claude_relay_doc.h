
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A setting of the store as a document that a call changes: it is read,
 * edited and checked in a thread, and written if nobody else has written it
 * meanwhile; else all that once more.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_DOC_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_DOC_H_INCLUDED_


#include "ngx_http_claude_relay_api.h"
#include "ngx_http_claude_relay_settings.h"


typedef struct ngx_http_claude_relay_doc_s  ngx_http_claude_relay_doc_t;

struct ngx_http_claude_relay_doc_s {

    /* set by the caller */

    ngx_http_claude_relay_call_t      *call;
    ngx_uint_t                         which;   /* ..._setting_e */
    void                              *data;

    /*
     * In a thread, perhaps more than once: changes json, which is an object.
     * NGX_ERROR: status and error tell why not.
     */

    ngx_int_t                        (*edit)(
                                          ngx_http_claude_relay_doc_t *doc,
                                          cJSON *json);

    /* in the loop, when it is in force here: ends the call; found is as it
     * was before */

    ngx_http_claude_relay_call_pt      done;
    ngx_uint_t                         dry;     /* done after the check */

    /* of edit */

    ngx_uint_t                         status;
    u_char                             error[NGX_HTTP_CLAUDE_RELAY_ERROR];

    /* its own */

    ncr_store_object_t                 row;     /* data is its own, too */
    ncr_store_object_t                 found;
    ngx_uint_t                         tries;
};


/* into call->data; NULL: the call has ended */
ngx_http_claude_relay_doc_t *ngx_http_claude_relay_doc(
    ngx_http_claude_relay_call_t *call, ngx_uint_t which);

void ngx_http_claude_relay_doc_change(ngx_http_claude_relay_doc_t *doc);

/* for edit: returns NGX_ERROR */
ngx_int_t ngx_http_claude_relay_doc_refuse(ngx_http_claude_relay_doc_t *doc,
    ngx_uint_t status, const char *fmt, ...);


/* a large body: an object of so many values at most, checked as that of any
 * other call; NULL: *wrong tells */
cJSON *ngx_http_claude_relay_doc_parse(ngx_str_t *text, const char **wrong);


#endif /* _NGX_HTTP_CLAUDE_RELAY_DOC_H_INCLUDED_ */
