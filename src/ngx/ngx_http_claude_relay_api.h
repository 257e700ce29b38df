
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The API by which an operator manages accounts: JSON in and out.  Whoever
 * opens a door to it decides who may come in; what is done behind it is the
 * same for all.
 *
 * A call is an object of its own.  Its client may leave: what was begun is
 * brought to its end, and nobody hears of it.  A handler takes the next step
 * (a job of the store, a fetch, a timer) or ends the call with an answer;
 * after that the call is gone.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_API_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_API_H_INCLUDED_


#include "ngx_http_claude_relay_refresh.h"
#include "ngx_http_claude_relay_books.h"
#include "ncr_store_person.h"

#include <cjson/cJSON.h>


/* of a body: usually, of a large one, without a login */
#define NGX_HTTP_CLAUDE_RELAY_BODY        (256 * 1024)
#define NGX_HTTP_CLAUDE_RELAY_BODY_LARGE  (16 * 1024 * 1024)
#define NGX_HTTP_CLAUDE_RELAY_BODY_OPEN   4096


typedef struct ngx_http_claude_relay_call_s  ngx_http_claude_relay_call_t;

typedef void (*ngx_http_claude_relay_call_pt)(
    ngx_http_claude_relay_call_t *call);


/* a part of a call has ended; text: its JSON, or "" */
typedef void (*ngx_http_claude_relay_part_pt)(
    ngx_http_claude_relay_call_t *whole, ngx_uint_t number, ngx_uint_t status,
    ngx_str_t *text);


/*
 * A way in.  Each "*" in a path is a name, the first one call->name, the
 * second call->item.  Whose role is less than that of the way is refused,
 * before the body is read; NCR_ROLE_NONE: everybody, without a login.
 *
 * A user gets in where role is NCR_ROLE_USER; what is not its own is not
 * there for it: call->own is its name then, and empty for all others.
 */

typedef struct {
    ngx_uint_t                         method;
    const char                        *path;
    ngx_http_claude_relay_call_pt      handler;
    ncr_role_e                         role;    /* at least */
    unsigned                           look:1;  /* at the store, first */
    unsigned                           store:1; /* there must be one */
    unsigned                           large:2; /* a body of up to 16 MB; 2:
                                                   it stays a text, call->text,
                                                   for who has a thread to
                                                   read it in */
    unsigned                           quiet:1; /* changes nothing: it is
                                                   not in the trail */
} ngx_http_claude_relay_way_t;


/* who is at the door, as the door knows */

typedef struct {
    ngx_str_t                          who;     /* "user 0", "alice": for the
                                                   log and the trail */
    ngx_str_t                          person;  /* "" at the control socket */
    ngx_str_t                          address; /* of the client, or "" */
    ncr_role_e                         role;

    /* of the admin door; zero at the control socket */

    ngx_http_claude_relay_admin_t     *door;
    u_char                             digest[NCR_SHA256_LEN];
    u_char                             csrf[NCR_STORE_CSRF];
    ncr_msec_t                         expires; /* 0: not by itself */
    unsigned                           session:1;   /* digest is a cookie's */
    unsigned                           must_change:1;
} ngx_http_claude_relay_caller_t;


/* an answer that waits until the trail has it */

typedef struct {
    ngx_uint_t                         status;
    ngx_str_t                          type;
    ngx_str_t                          body;
    uint64_t                           version;
} ngx_http_claude_relay_answer_t;


struct ngx_http_claude_relay_call_s {
    ngx_event_t                        timer;
    ngx_http_request_t                *request; /* NULL: nobody listens */
    ngx_http_cleanup_t                *cleanup;
    void                             **loc_conf;    /* before the body */
    ngx_http_claude_relay_main_conf_t *rmcf;
    ngx_http_claude_relay_roster_t    *roster;  /* held, from its start on */
    ngx_http_claude_relay_way_t       *way;
    ngx_pool_t                        *pool;
    ngx_http_claude_relay_caller_t     caller;  /* texts are the call's */
    ngx_str_t                          own;     /* see above, with a NUL */
    ngx_str_t                          name;    /* of the path, with a NUL */
    ngx_str_t                          item;    /* the second one, too */
    ngx_str_t                          path;    /* from "/v1/" on */
    ngx_str_t                          args;
    uint64_t                           match;   /* UINT64_MAX: any */
    cJSON                             *body;
    ngx_str_t                          text;    /* the body instead, if large
                                                   is 2; zeroed at the end */

    ngx_http_claude_relay_job_t        job;
    ngx_http_claude_relay_call_pt      next;
    ngx_http_claude_relay_call_pt      settled;
    ngx_http_claude_relay_fetch_t     *fetch;
    ngx_msec_t                         until;   /* of a wait */
    ngx_uint_t                         looks;

    ngx_http_claude_relay_account_t   *account; /* of roster */
    ngx_http_claude_relay_account_t   *trial;   /* its own */
    ncr_msec_t                         now;     /* of the last job */
    ncr_store_account_t                row;     /* in; texts are the call's */
    ncr_store_account_t                found;   /* out */
    uint64_t                           seq;     /* of what was changed */
    ncr_oauth_import_t                *import;
    ncr_oauth_tokens_t                *tokens;
    void                              *data;
    ngx_uint_t                         objects; /* seq is one of those */

    ngx_http_claude_relay_call_t      *whole;   /* of which it is a part */
    ngx_http_claude_relay_part_pt      ended;
    ngx_uint_t                         number;

    /* trail.c */

    ngx_http_claude_relay_call_t      *parent;  /* this one is asked for how
                                                   its object was before */
    ngx_http_claude_relay_answer_t     answer;
    char                              *before;  /* JSON, masked */
    ncr_store_action_t                *action;

    unsigned                           noted:1; /* in the trail, or not to be */
    ngx_fd_t                           file;    /* instead of a text */
    off_t                              file_size;

    unsigned                           has_file:1;
    unsigned                           untold:1;    /* the trail has that it
                                                   was done, not the answer */
    unsigned                           has_found:1;
    unsigned                           with_tokens:1;   /* in row */
    unsigned                           created:1;
};


/*
 * The door is open: path is that of the call, from "/v1/" on.  The caller is
 * copied.  Returns what a content handler returns.
 */
ngx_int_t ngx_http_claude_relay_api(ngx_http_request_t *r, ngx_str_t *path,
    ngx_http_claude_relay_caller_t *caller);


/* api_ways.c: the way of a path; NULL: there is none; allow: methods that
 * there are.  Each file of operations has a table of its ways, which ends with
 * an empty one; they are gathered there. */

ngx_http_claude_relay_way_t *ngx_http_claude_relay_way(
    ngx_http_request_t *r, ngx_str_t *path, ngx_str_t *name, ngx_str_t *item,
    ngx_uint_t *allow);

/* the least role that it takes, of somebody of this role */
ncr_role_e ngx_http_claude_relay_way_role(ngx_http_claude_relay_way_t *way,
    ncr_role_e role);

/* the way that shows what this one changes, or NULL */
ngx_http_claude_relay_way_t *ngx_http_claude_relay_way_shows(
    ngx_http_claude_relay_way_t *way);

/* admin_login.c */
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_session_ways[];


/* a request that is refused before its body is read; retry_after: seconds, or
 * -1.  Returns what a content handler returns */
ngx_int_t ngx_http_claude_relay_refuse(ngx_http_request_t *r,
    ngx_uint_t status, const char *type, const char *message,
    time_t retry_after);

ngx_int_t ngx_http_claude_relay_retry_after(ngx_http_request_t *r,
    time_t seconds);

/* may this caller see what belongs to this user? */
ngx_uint_t ngx_http_claude_relay_call_owns(ngx_http_claude_relay_call_t *call,
    ncr_str_t *owner);


/* a filter by user, which is the caller if that is one of the role "user";
 * NGX_ERROR: another one was asked for, and the call has ended */
ngx_int_t ngx_http_claude_relay_call_own(ngx_http_claude_relay_call_t *call,
    ngx_str_t *user);


/*
 * trail.c.  before: how the object of the call is, asked for by a call of its
 * own, whose answer comes to seen(); NGX_DECLINED: there is nothing to ask.
 * note: what was done, by a job; NGX_DECLINED: nothing is to be noted.
 */
ngx_int_t ngx_http_claude_relay_trail_before(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_trail_seen(ngx_http_claude_relay_call_t *call);
ngx_int_t ngx_http_claude_relay_trail_note(
    ngx_http_claude_relay_call_t *call);


/* api_refuse.c, for api.c */

ngx_int_t ngx_http_claude_relay_api_nowhere(ngx_http_request_t *r,
    ngx_uint_t allow);
ngx_int_t ngx_http_claude_relay_api_large(ngx_http_request_t *r, size_t max);
void ngx_http_claude_relay_call_words(ncr_out_t *out, ngx_uint_t status,
    const char *type, ncr_str_t *message);


/* api_input.c, for api.c: a body of so many bytes is to be read; the version
 * and the JSON that came */

ngx_int_t ngx_http_claude_relay_api_room(ngx_http_request_t *r, size_t max);
ngx_int_t ngx_http_claude_relay_call_match(
    ngx_http_claude_relay_call_t *call);
ngx_int_t ngx_http_claude_relay_call_parse(
    ngx_http_claude_relay_call_t *call);


/* api.c, for trail.c */

ngx_http_claude_relay_call_t *ngx_http_claude_relay_call_create(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_request_t *r,
    ngx_http_claude_relay_caller_t *caller);
void ngx_http_claude_relay_call_destroy(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_call_run(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_call_leave(ngx_http_claude_relay_call_t *call);
ngx_int_t ngx_http_claude_relay_call_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);


/* api.c: steps */

void ngx_http_claude_relay_call_post(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_run_pt run, ngx_http_claude_relay_call_pt next);
void ngx_http_claude_relay_call_timer(ngx_http_claude_relay_call_t *call,
    ngx_msec_t ms, ngx_http_claude_relay_call_pt next);

/* until this worker's roster, or for objects the zone, has what was changed
 * last; for a second */
void ngx_http_claude_relay_call_settle(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next);

/* fleet_record.c: until Redis has the change of call->seq, if it is the
 * record; else at once.  Does a way change what that has? */
void ngx_http_claude_relay_call_acked(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next);
ngx_uint_t ngx_http_claude_relay_fleet_changes(
    ngx_http_claude_relay_way_t *way);

/* copies what a job read into call->found; for run() */
void ngx_http_claude_relay_call_found(ngx_http_claude_relay_call_t *call,
    ncr_store_account_t *row);


/*
 * A part of a call: what the way's handler does with the name and the body
 * (which becomes the part's own), by the same caller.  Its answer comes to
 * ended(), perhaps before this returns; the whole must be there until then.
 */
void ngx_http_claude_relay_call_part(ngx_http_claude_relay_call_t *whole,
    ngx_http_claude_relay_way_t *way, ngx_str_t *name, cJSON *body,
    ngx_http_claude_relay_part_pt ended, ngx_uint_t number);


/* ends */

/* body is deleted; NULL: no content; version 0: no ETag */
void ngx_http_claude_relay_call_answer(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, cJSON *body, uint64_t version);

/* any text that is there already, copied; next: a header "X-Next", or "" */
void ngx_http_claude_relay_call_text_answer(
    ngx_http_claude_relay_call_t *call, ngx_str_t *type, ngx_str_t *text,
    ngx_str_t *next);

/* a file, to be saved by whoever asked for it; it is closed */
void ngx_http_claude_relay_call_file(ngx_http_claude_relay_call_t *call,
    ngx_fd_t fd, off_t size);

/* type NULL: what is usual for the status */
void ngx_http_claude_relay_call_error(ngx_http_claude_relay_call_t *call,
    ngx_uint_t status, const char *type, const char *fmt, ...);

/* the store did not do it */
void ngx_http_claude_relay_call_store_error(
    ngx_http_claude_relay_call_t *call);

void ngx_http_claude_relay_call_memory(ngx_http_claude_relay_call_t *call);


/* what is in the body; NGX_ERROR: the call has ended with an error */

/*
 * Members by their names (the list ends with NULL) into values, NULL if they
 * are missing.  settings NULL: no others are taken; else settings of an
 * account go there.
 */
ngx_int_t ngx_http_claude_relay_call_members(
    ngx_http_claude_relay_call_t *call, const char *const *names,
    cJSON **values, cJSON *settings);

/* a string of visible ASCII; text is NULL if value is */
ngx_int_t ngx_http_claude_relay_call_text(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, size_t max, char **text);

/* call->name and call->row.name */
ngx_int_t ngx_http_claude_relay_call_name(ngx_http_claude_relay_call_t *call,
    ngx_str_t *name);

/* the next one of the query, perhaps ""; *p is call->args.data at first;
 * NGX_DONE: there is none */
ngx_int_t ngx_http_claude_relay_call_arg(ngx_http_claude_relay_call_t *call,
    u_char **p, ngx_str_t *arg);

/* the same in two, the value unescaped and with a NUL; empty ones are passed
 * over; NGX_DECLINED: badly escaped, or a NUL is in it; NGX_ERROR: the call
 * has ended */
ngx_int_t ngx_http_claude_relay_call_pair(ngx_http_claude_relay_call_t *call,
    u_char **p, ngx_str_t *name, ngx_str_t *value);

/* NGX_ERROR: there is a query, and the call has ended */
ngx_int_t ngx_http_claude_relay_call_no_args(
    ngx_http_claude_relay_call_t *call);

/*
 * All of the query: the value of each name (the list ends with NULL), NULL if
 * it is missing.  NGX_ERROR: the call has ended with an error; others are in
 * it, or one twice.
 */
ngx_int_t ngx_http_claude_relay_call_query(ngx_http_claude_relay_call_t *call,
    const char *const *names, ngx_str_t *values);

/* 1 to most, or usual if value is NULL; NGX_ERROR: the call has ended */
ngx_int_t ngx_http_claude_relay_call_limit(ngx_http_claude_relay_call_t *call,
    ngx_str_t *value, ngx_int_t usual, ngx_int_t most);

/* the request itself, for an answer that goes on; the call is gone.  NULL: so
 * is the client */
ngx_http_request_t *ngx_http_claude_relay_call_stream(
    ngx_http_claude_relay_call_t *call);

/* a text in the call's pool */
char *ngx_http_claude_relay_call_print(ngx_http_claude_relay_call_t *call,
    cJSON *json);


/* api_show.c: what there is */

void ngx_http_claude_relay_api_status(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_list(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_show(ngx_http_claude_relay_call_t *call);

/* the account of call->name as it is now, and the end of the call */
void ngx_http_claude_relay_call_account(ngx_http_claude_relay_call_t *call);


cJSON *ngx_http_claude_relay_show_account(ngx_http_claude_relay_view_t *view,
    ncr_msec_t now);

/* what is used of its limits, its windows, its token: members of json */
void ngx_http_claude_relay_show_limits(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
void ngx_http_claude_relay_show_windows(cJSON *json,
    ngx_http_claude_relay_view_t *view, ncr_msec_t now);
cJSON *ngx_http_claude_relay_show_identity(
    ngx_http_claude_relay_account_t *a);

/* a number of micro-dollars as "1.250000", and as it is */
void ngx_http_claude_relay_show_cost(cJSON *json, const char *name,
    const char *micros, uint64_t cost);


/* members of an answer; what is no UTF-8 is made some, 0 is null */
cJSON *ngx_http_claude_relay_json_str(ngx_str_t *value);
void ngx_http_claude_relay_show_str(cJSON *json, const char *name,
    ngx_str_t *value);
void ngx_http_claude_relay_show_time(cJSON *json, const char *name,
    ncr_msec_t t);


/*
 * api_objects.c, api_object_show.c: keys, users, groups and limits, all of
 * them by these.
 */

typedef struct {
    const char                        *path;    /* "keys" */
    const char                        *name;    /* "key", as of the store */
    ncr_scope_e                        scope;
} ngx_http_claude_relay_kind_t;

typedef struct {
    ngx_http_claude_relay_kind_t      *kind;
    ncr_store_object_t                 row;     /* in; data is the call's */
    ncr_store_object_t                 found;   /* out; data is its own */
    u_char                             secret[NCR_KEY_SECRET + 1];
    size_t                             owned;   /* by what shall go */
    ngx_uint_t                         force;
    ngx_uint_t                         deleted; /* is shown, too */
    char                               part[NCR_STORE_NAME + 16];
} ngx_http_claude_relay_object_call_t;

/* what the zone knows of a key of the store */

typedef struct {
    ncr_msec_t                         activated;
    ncr_msec_t                         used;
} ngx_http_claude_relay_times_t;

void ngx_http_claude_relay_api_objects(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_object(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_object_create(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_object_patch(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_object_remove(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_regenerate(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_activate(ngx_http_claude_relay_call_t *call);

/* call->data; NULL: the call has ended */
ngx_http_claude_relay_object_call_t *ngx_http_claude_relay_call_object(
    ngx_http_claude_relay_call_t *call);

/* the object of row's name into found, if there can be one; then next */
void ngx_http_claude_relay_object_look(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_call_pt next);
void ngx_http_claude_relay_object_gone(ngx_http_claude_relay_call_t *call);

/* of a row, or of a block of nginx.conf; usage: of its limits, too */
cJSON *ngx_http_claude_relay_show_object(ngx_http_claude_relay_call_t *call,
    ngx_http_claude_relay_kind_t *kind, ncr_store_object_t *row,
    ngx_http_claude_relay_key_t *conf, ngx_uint_t usage);

/* the same without usage, for the store's thread, too */
cJSON *ngx_http_claude_relay_show_row(ngx_http_claude_relay_kind_t *kind,
    ncr_store_object_t *row, ngx_http_claude_relay_key_t *conf,
    ngx_http_claude_relay_times_t *times);

/* what was found is deleted, or is not there for the caller: the call has
 * ended with a 404 */
ngx_uint_t ngx_http_claude_relay_object_hidden(
    ngx_http_claude_relay_call_t *call);

/* api_object_limits.c: what is used of its limits, into "usage"; key->id is
 * the counters' owner */
void ngx_http_claude_relay_show_usage(ngx_http_claude_relay_call_t *call,
    cJSON *json, ncr_key_t *key);
void ngx_http_claude_relay_api_limits_reset(
    ngx_http_claude_relay_call_t *call);

/* is this text the value of a string member in compact JSON? */
ngx_uint_t ngx_http_claude_relay_object_says(const char *data,
    const char *member, ngx_str_t *value);

/* the block of this kind and call->name in nginx.conf, or NULL */
ngx_http_claude_relay_key_t *ngx_http_claude_relay_object_conf(
    ngx_http_claude_relay_call_t *call);

/* all blocks of a kind */
ngx_array_t *ngx_http_claude_relay_kind_conf(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope);


/* api_accounts.c: changes */

void ngx_http_claude_relay_api_create(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_patch(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_remove(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_tokens(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_rekey(ngx_http_claude_relay_call_t *call);

/* call->trial of call->row; what is wrong with it is told */
ngx_int_t ngx_http_claude_relay_call_try(ngx_http_claude_relay_call_t *call);

/* the same, but the call goes on: error has NGX_HTTP_CLAUDE_RELAY_ERROR
 * bytes */
ngx_int_t ngx_http_claude_relay_call_check(ngx_http_claude_relay_call_t *call,
    u_char *error);

/* for a member "proxy", which may be null: "" for none */
ngx_int_t ngx_http_claude_relay_call_proxy(ngx_http_claude_relay_call_t *call,
    cJSON *value, char **proxy);


/* api_account_list.c: which accounts a query or a member "filter" means */

typedef struct {
    ngx_str_t                          pool;
    ngx_str_t                          platform;
    ngx_str_t                          state;
    ngx_str_t                          group;
    ngx_str_t                          type;
    ngx_str_t                          search;  /* in lower case */
} ngx_http_claude_relay_filter_t;

/* of an object; NGX_ERROR: the call has ended */
ngx_int_t ngx_http_claude_relay_filter_json(
    ngx_http_claude_relay_call_t *call, cJSON *json,
    ngx_http_claude_relay_filter_t *filter);

/* all but the state, which takes a view */
ngx_uint_t ngx_http_claude_relay_filter_matches(
    ngx_http_claude_relay_filter_t *filter,
    ngx_http_claude_relay_account_t *a);

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_account_ways[];


/* api_account_batch.c, api_account_notes.c, api_account_quota.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_batch_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_notes_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_quota_ways[];


/* api_actions.c */

/* the same as a test, but that tokens are counted */
void ngx_http_claude_relay_api_test_count(ngx_http_claude_relay_call_t *call);

void ngx_http_claude_relay_api_refresh(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_test(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_reset(ngx_http_claude_relay_call_t *call);


/* api_usage.c, api_rerate.c */

void ngx_http_claude_relay_api_usage(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_usage_rows(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_usage_events(
    ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_usage_top(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_usage_rerate(
    ngx_http_claude_relay_call_t *call);


/* api_fleet_usage.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_fleet_usage_ways[];


/* api_logins.c */

void ngx_http_claude_relay_api_login(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_code(ngx_http_claude_relay_call_t *call);


/* api_device.c */

void ngx_http_claude_relay_api_poll(ngx_http_claude_relay_call_t *call);


/* api_audit.c */

void ngx_http_claude_relay_api_audit(ngx_http_claude_relay_call_t *call);
void ngx_http_claude_relay_api_audit_entry(
    ngx_http_claude_relay_call_t *call);


/* api_openapi.c; the text, in parts, with an empty one at its end */

extern ngx_str_t  ngx_http_claude_relay_openapi[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_openapi_ways[];

/* api_settings.c, api_prices.c, api_port.c */
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_settings_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_prices_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_port_ways[];


/* api_live.c, api_sessions.c, api_events.c, api_version.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_live_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_sticky_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_event_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_version_ways[];

/* api_fleet.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_fleet_ways[];


/* api_hooks.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_hook_ways[];


/* api_people.c, api_tokens.c, api_trail.c, github.c */

extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_people_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_tokens_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_trail_ways[];
extern ngx_http_claude_relay_way_t  ngx_http_claude_relay_github_ways[];


#endif /* _NGX_HTTP_CLAUDE_RELAY_API_H_INCLUDED_ */
