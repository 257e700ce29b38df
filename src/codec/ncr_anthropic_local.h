
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Requests that Claude Code makes by itself, and that nobody needs a model
 * for (FEATURES F129, SEEDS 1.4.4): its warm-up, the title of a conversation
 * and whether a message begins a new topic.
 */


#ifndef _NCR_ANTHROPIC_LOCAL_H_INCLUDED_
#define _NCR_ANTHROPIC_LOCAL_H_INCLUDED_


#include "ncr_base.h"
#include "ncr_out.h"


#define NCR_ANTHROPIC_LOCAL_BODY    (64 * 1024)
#define NCR_ANTHROPIC_LOCAL_ANSWER  4096        /* bytes, whatever the model */


typedef enum {
    NCR_ANTHROPIC_LOCAL_NONE = 0,
    NCR_ANTHROPIC_LOCAL_WARMUP,
    NCR_ANTHROPIC_LOCAL_TITLE,
    NCR_ANTHROPIC_LOCAL_TOPIC
} ncr_anthropic_local_e;


/*
 * A whole body, of NCR_ANTHROPIC_LOCAL_BODY bytes at most, or it is none of
 * these.  What a user may have quoted is none: a warm-up is a message that
 * is nothing else, a title's begins with its words, a topic's are the
 * system's.  *prefilled: the client has begun the answer with "{".
 */
ncr_anthropic_local_e ncr_anthropic_local(ncr_str_t *body,
    ncr_uint_t *prefilled);

/* a message, or the events of its stream; id is what follows "msg_" */
void ncr_anthropic_local_answer(ncr_out_t *out, ncr_anthropic_local_e kind,
    ncr_uint_t prefilled, ncr_uint_t stream, ncr_str_t *id,
    ncr_str_t *model);


#endif /* _NCR_ANTHROPIC_LOCAL_H_INCLUDED_ */
