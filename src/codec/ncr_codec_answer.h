
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What readers of answers have in common, whatever their dialect. */


#ifndef _NCR_CODEC_ANSWER_H_INCLUDED_
#define _NCR_CODEC_ANSWER_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_sse.h"


/* no reply has that many tokens, and sums of such counts never overflow */
#define NCR_ANSWER_COUNT_MAX  ((int64_t) 1000000000000000)


static inline void
ncr_answer_started(ncr_answer_t *told)
{
    if (told->state == NCR_ANSWER_NOTHING) {
        told->state = NCR_ANSWER_STARTED;
    }
}


/* what has failed stays so */

static inline void
ncr_answer_complete(ncr_answer_t *told)
{
    if (told->state != NCR_ANSWER_FAILED) {
        told->state = NCR_ANSWER_COMPLETE;
    }
}


/* a body is read no further */

static inline ncr_uint_t
ncr_answer_over(ncr_answer_t *told)
{
    return told->state == NCR_ANSWER_FAILED
           || told->state == NCR_ANSWER_COMPLETE;
}


static inline void
ncr_answer_stream(ncr_answer_t *told, ncr_sse_t *sse, ncr_char_t *p,
    size_t len)
{
    (void) ncr_sse_feed(sse, p, len);

    /* a comment is no event, but a sign of life */

    told->pinged |= sse->comment;
}


#endif /* _NCR_CODEC_ANSWER_H_INCLUDED_ */
