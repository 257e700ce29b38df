
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A thread of a worker's for what takes its time and needs no database of the
 * module's: large documents, keys made of passphrases, copies of files.  It
 * begins with the first job.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_WORK_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_WORK_H_INCLUDED_


#include "ngx_http_claude_relay_store.h"


/* as ngx_http_claude_relay_store_post(); run() gets no store, and sets rc and
 * error itself */
ngx_int_t ngx_http_claude_relay_work_post(ngx_http_claude_relay_job_t *job);

/* what was posted is done before it returns */
void ngx_http_claude_relay_work_exit_process(void);


#endif /* _NGX_HTTP_CLAUDE_RELAY_WORK_H_INCLUDED_ */
