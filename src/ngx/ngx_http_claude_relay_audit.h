
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The audit log: what is captured of a request (audit.c), the thread that
 * redacts and keeps it (audit_thread.c), directives (audit_conf.c).
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_AUDIT_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_AUDIT_H_INCLUDED_


#include "ngx_http_claude_relay_books.h"
#include "ncr_audit.h"
#include "ncr_redact.h"


/* strings of one request that must not be kept: credentials, cookies */
#define NGX_HTTP_CLAUDE_RELAY_AUDIT_KNOWN  16


/* of all locations */

struct ngx_http_claude_relay_audit_conf_s {
    ngx_str_t                          path;    /* NUL terminated */
    time_t                             keep;
    off_t                              disk;
    size_t                             buffer;
    ncr_redact_t                       redact;
    ngx_array_t                        tokens;  /* of ncr_str_t */
    ngx_array_t                        fields;
    u_char                            *file;    /* that switches it on */
    ngx_uint_t                         line;
    ngx_uint_t                         on;      /* somewhere */
};


/* of a location */

struct ngx_http_claude_relay_audit_loc_s {
    ngx_uint_t                         share;   /* of 10000 requests */
    size_t                             body;
    size_t                             response;
    ngx_uint_t                         errors;  /* and all that failed */
};


/* an end of a body as it passes by, up to max */

typedef struct {
    u_char                            *data;
    size_t                             len;
    size_t                             size;
    size_t                             max;
    uint64_t                           total;   /* bytes that passed */
} ngx_http_claude_relay_copy_t;


struct ngx_http_claude_relay_capture_s {
    ngx_uint_t                         sampled;
    ngx_http_claude_relay_copy_t       request;
    ngx_http_claude_relay_copy_t       response;
};


/* an entry on its way to the thread; its texts are in data, or its copies */

typedef struct {
    ngx_queue_t                        queue;
    size_t                             size;    /* of it all */
    ncr_audit_entry_t                  entry;
    ngx_http_claude_relay_copy_t       request;
    ngx_http_claude_relay_copy_t       response;
    ncr_str_t                 known[NGX_HTTP_CLAUDE_RELAY_AUDIT_KNOWN];
    ngx_uint_t                         nknown;
    unsigned                           request_encoded:1;
    unsigned                           response_encoded:1;
    u_char                            *last;    /* of data, used */
    u_char                             data[];
} ngx_http_claude_relay_kept_t;


/* audit_conf.c, audit.c, and a worker's begin and end */

char *ngx_http_claude_relay_set_audit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_audit_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_claude_relay_set_audit_redact(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_claude_relay_audit_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf);
ngx_int_t ngx_http_claude_relay_audit_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf);
void ngx_http_claude_relay_audit_exit_process(void);

/* only where a location's "audit" is set */
void ngx_http_claude_relay_audit_start(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx);

/* only where ctx->capture is; each byte once */
void ngx_http_claude_relay_audit_request(ngx_http_claude_relay_ctx_t *ctx,
    u_char *p, size_t n);
void ngx_http_claude_relay_audit_response(ngx_http_claude_relay_ctx_t *ctx,
    ngx_chain_t *in);

/* only where ctx->record is */
void ngx_http_claude_relay_audit_end(ngx_http_claude_relay_ctx_t *ctx);


/* audit_thread.c */

/* takes it over, in any case */
void ngx_http_claude_relay_audit_put(ngx_http_claude_relay_kept_t *kept);
void ngx_http_claude_relay_audit_free(ngx_http_claude_relay_kept_t *kept);

/* a job of the control API, as ngx_http_claude_relay_store_post() takes it;
 * run() gets no store, but what audit_db() returns */
ngx_int_t ngx_http_claude_relay_audit_post(ngx_http_claude_relay_job_t *job);
ncr_audit_t *ngx_http_claude_relay_audit_db(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_AUDIT_H_INCLUDED_ */
