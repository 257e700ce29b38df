
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Another base URL that speaks the dialect: a gateway, another relay. */


#include "ncr_verdict.h"


typedef struct {
    const char   *text;
    ncr_uint_t    lasting;              /* else it is about this moment */
} ncr_platform_console_text_t;


ncr_platform_t  ncr_platform_console = {
    .name = ncr_string("console"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_BATCHES)
           | ncr_op_bit(NCR_OP_FILES),
    .credential = ncr_platform_key_credential,
    .classify = ncr_platform_console_classify,
    .provider = "anthropic"
};


/*
 * anthropic.md D.3, last paragraph; "organization has been disabled" is for
 * everybody.  The last four are other relays' words for their own accounts,
 * which come back: a timed rest, whatever an operator does.
 */

static ncr_platform_console_text_t  ncr_platform_console_texts[] = {
    { "account has been disabled", 1 },
    { "account is disabled", 1 },
    { "no account supporting", 0 },
    { "account not found", 0 },
    { "invalid account", 0 },
    { "too many active sessions", 0 },
    { NULL, 0 }
};


void
ncr_platform_console_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_reply_text_t              text;
    ncr_platform_console_text_t  *t;

    ncr_verdict_default(reply, rests, v);

    if (v->class != NCR_CLASS_CLIENT) {
        return;
    }

    ncr_reply_read(&text, reply);

    if (ncr_reply_status(reply, &text) != 400) {
        return;
    }

    for (t = ncr_platform_console_texts; t->text; t++) {

        if (!ncr_reply_says(&text, t->text)) {
            continue;
        }

        if (t->lasting) {
            ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_DISABLED, 1);
            ncr_verdict_for(v, rests->disabled);

        } else {
            ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_FORBIDDEN, 1);
            ncr_verdict_for(v, rests->forbidden);
        }

        return;
    }
}
