
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What failures of Code Assist and Antigravity mean (others.md C4, C6, C7). */


#include "ncr_assist.h"
#include "ncr_google_quota.h"
#include "ncr_str.h"


typedef struct {
    const char   *text;
    ncr_class_e   class;
} ncr_assist_text_t;


/*
 * Of the account's login or of its settings, whatever the status: a client
 * that Google serves no longer on this tier (C6), a "client_version" that is
 * too old (C7).
 */

static const ncr_assist_text_t  ncr_assist_texts[] = {
    { "this client is no longer supported for gemini code assist",
      NCR_CLASS_DISABLED },
    { "this version of antigravity is no longer supported",
      NCR_CLASS_FORBIDDEN },
    { NULL, NCR_CLASS_OK }
};


void
ncr_assist_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_google_error_t        e;
    const ncr_assist_text_t  *t;

    ncr_google_classify(reply, rests, v);

    /* the token's end is none of the login's */

    if (v->class == NCR_CLASS_AUTH && v->fault == NCR_FAULT_ACCOUNT) {
        v->refresh = 1;
        return;
    }

    if (reply->kind != NCR_REPLY_HTTP || reply->status < 400) {
        return;
    }

    ncr_google_read(&e, reply);

    if (!e.json) {
        return;
    }

    for (t = ncr_assist_texts; t->text; t++) {

        if (!ncr_str_contains(&e.message, t->text)) {
            continue;
        }

        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, t->class, 1);
        ncr_verdict_for(v, (t->class == NCR_CLASS_DISABLED)
                           ? rests->disabled : rests->forbidden);
        return;
    }
}
