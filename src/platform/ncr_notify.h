
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is told to a webhook, in the words of whoever listens there: an event
 * becomes a request, an answer becomes "told" or a failure.  Pure: the time is
 * an argument, all memory is the caller's.
 */


#ifndef _NCR_NOTIFY_H_INCLUDED_
#define _NCR_NOTIFY_H_INCLUDED_


#include "ncr_platform.h"
#include "ncr_hash.h"
#include "ncr_out.h"


#define NCR_NOTIFY_FIELDS   8
#define NCR_NOTIFY_URL      1024        /* of a hook, and of a secret */

/* enough for any request of ours, and for the JSON of any event */
#define NCR_NOTIFY_BODY     16384
#define NCR_NOTIFY_HEAD     2048

/* of an event's texts; what is longer is cut */
#define NCR_NOTIFY_TITLE    160
#define NCR_NOTIFY_TEXT     640
#define NCR_NOTIFY_VALUE    160

/* a failure, in words without a secret */
#define NCR_NOTIFY_ERROR    80


typedef enum {
    NCR_NOTIFY_JSON = 0,
    NCR_NOTIFY_SLACK,
    NCR_NOTIFY_DISCORD,
    NCR_NOTIFY_TELEGRAM,
    NCR_NOTIFY_FEISHU,
    NCR_NOTIFY_DINGTALK,
    NCR_NOTIFY_WECOM,
    NCR_NOTIFY_BARK,
    NCR_NOTIFY_KINDS
} ncr_notify_kind_e;


typedef struct {
    ncr_str_t     name;
    ncr_str_t     value;
} ncr_notify_field_t;


typedef struct {
    ncr_str_t     id;                   /* of this event, for good */
    ncr_str_t     type;                 /* "quota" */
    ncr_str_t     level;                /* "warning" */
    ncr_str_t     state;                /* "firing", "resolved" */
    ncr_str_t     subject;              /* "account/one" */
    ncr_str_t     title;
    ncr_str_t     text;
    ncr_str_t     service;              /* who tells it */
    ncr_msec_t    time;

    ncr_uint_t    nfields;
    ncr_notify_field_t  fields[NCR_NOTIFY_FIELDS];
} ncr_notify_event_t;


typedef struct {
    ncr_notify_kind_e  kind;
    ncr_str_t     url;                  /* "": what is usual for its kind */
    ncr_str_t     secret;               /* or "" */
    ncr_str_t     chat;                 /* of Telegram */
    ncr_str_t     thread;               /* the same, or "" */
} ncr_notify_hook_t;


/* where it goes; slices of the hook's url, or constants */

typedef struct {
    ncr_url_t     url;                  /* its path is not used */
    ncr_str_t     path;                 /* "/..." with its query; or "" */
} ncr_notify_place_t;


typedef struct {
    ncr_notify_place_t  place;
    ncr_out_t     path;                 /* of the request line */
    ncr_out_t     headers;              /* beside those that all have, each
                                           with its CRLF */
    ncr_out_t     body;                 /* JSON, to be sent by POST */
} ncr_notify_request_t;


typedef struct {
    ncr_uint_t    told;
    ncr_msec_t    after;                /* try again after so many ms; -1: not
                                           told */
    char          error[NCR_NOTIFY_ERROR];
} ncr_notify_result_t;


/* NCR_NOTIFY_KINDS: there is none of this name */
ncr_notify_kind_e ncr_notify_kind(ncr_str_t *name);
const char *ncr_notify_name(ncr_notify_kind_e kind);

/* NULL, or what is wrong with the hook: without a secret in it */
const char *ncr_notify_check(ncr_notify_hook_t *hook,
    ncr_notify_place_t *place);

/*
 * The buffers of path, headers (NCR_NOTIFY_HEAD each) and body
 * (NCR_NOTIFY_BODY) are set by the caller.  NCR_ERROR: it does not fit;
 * NCR_BAD: see ncr_notify_check().
 */
ncr_int_t ncr_notify_request(ncr_notify_hook_t *hook,
    ncr_notify_event_t *event, ncr_msec_t now, ncr_sha256_t *sha,
    ncr_notify_request_t *request);

/* an HTTP answer; retry_after is the header's value, or "" */
void ncr_notify_result(ncr_notify_kind_e kind, ncr_uint_t status,
    ncr_str_t *retry_after, ncr_str_t *body, ncr_msec_t now,
    ncr_notify_result_t *result);

/* the event as JSON: it is kept so, and so the kind "json" tells it */
void ncr_notify_event(ncr_out_t *out, ncr_notify_event_t *event);


#endif /* _NCR_NOTIFY_H_INCLUDED_ */
