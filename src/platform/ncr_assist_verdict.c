
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What failures of Code Assist and Antigravity mean (others.md C4, C6, C7). */


#include "ncr_assist.h"


void
ncr_assist_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_verdict_default(reply, rests, v);

    if (v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT) {
        v->refresh = 1;
    }
}
