
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the platforms that speak OpenAI's dialect share: paths, edits, limits
 * and failures; private to this floor.
 */


#ifndef _NCR_OPENAI_WAY_H_INCLUDED_
#define _NCR_OPENAI_WAY_H_INCLUDED_


#include "ncr_verdict.h"
#include "ncr_openai.h"


/* a client's path, in whatever form it came (others.md G1, B) */

typedef struct {
    ncr_str_t    rest;                  /* "/chat/completions" */
    ncr_str_t    deployment;            /* of Azure's dated form, or "" */
} ncr_openai_path_t;

void ncr_openai_path(ncr_str_t *path, ncr_openai_path_t *p);

/* segments escaped, slashes kept */
void ncr_openai_escape(ncr_out_t *out, ncr_str_t *path);

/* the query with its "?", less the element called drop; nothing if empty */
void ncr_openai_args(ncr_out_t *out, ncr_str_t *args, const char *drop);

/*
 * Edits of a body: the model, if it was in the path alone; and the usage of
 * a stream of Chat, which is told only to who asks (A3), if usage is set.
 * NCR_OK, or NCR_ERROR: no memory.
 */
ncr_int_t ncr_openai_edits(ncr_way_t *way, ncr_uint_t usage);

/* "on" or "off" */
const char *ncr_openai_check_switch(ncr_str_t *value);


/*
 * Go's durations, "6m0s", "1h2m3s", "12ms", also a number of seconds; NCR_BAD
 * if it is none
 */
ncr_int_t ncr_openai_duration(ncr_str_t *s, ncr_msec_t *ms);

/* x-ratelimit-{remaining,reset}-{requests,tokens}, and waits (A8) */
void ncr_openai_limits(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now);

/* A8's errors; those of Azure (B), too */
void ncr_openai_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);


#endif /* _NCR_OPENAI_WAY_H_INCLUDED_ */
