
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the platforms' verdicts are made of; private to this floor.
 */


#ifndef _NCR_VERDICT_H_INCLUDED_
#define _NCR_VERDICT_H_INCLUDED_


#include "ncr_platform.h"


/* the words of a failure; the slices point into the reply's body */

typedef struct {
    ncr_str_t    body;
    ncr_str_t    type;                  /* error.type */
    ncr_str_t    message;               /* error.message */
    ncr_str_t    code;                  /* error.details.error_code, or
                                           error.code */
    unsigned     json:1;                /* a JSON object, maybe cut */
    unsigned     whole:1;               /* of which nothing is missing */
} ncr_reply_text_t;


void ncr_reply_read(ncr_reply_text_t *text, ncr_reply_t *reply);

/*
 * 1 if the upstream itself says what (lower case).  Only error.message is
 * searched, and only before its first quotation: what follows may echo the
 * client, who must not be able to talk an account into a rest.
 */
ncr_uint_t ncr_reply_says(ncr_reply_text_t *text, const char *what);

/* the same, quotations and all; for what does the account no harm */
ncr_uint_t ncr_reply_mentions(ncr_reply_text_t *text, const char *what);

/* the status of an error event is that of its type (D.1) */
ncr_uint_t ncr_reply_status(ncr_reply_t *reply, ncr_reply_text_t *text);

/* no rest yet */
void ncr_verdict_set(ncr_verdict_t *v, ncr_fault_e fault, ncr_class_e class,
    ncr_uint_t retry);

/* 0 ms: no rest */
void ncr_verdict_for(ncr_verdict_t *v, ncr_msec_t ms);


/* x-api-key for the first party's keys, else a bearer (K.2) */
ncr_credential_e ncr_platform_key_credential(ncr_str_t *secret);

/* what gateways and other relays say of accounts of their own, too */
void ncr_platform_console_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);

extern ncr_platform_t  ncr_platform_anthropic;
extern ncr_platform_t  ncr_platform_oauth;
extern ncr_platform_t  ncr_platform_console;
extern ncr_platform_t  ncr_platform_ccr;
extern ncr_platform_t  ncr_platform_droid;
extern ncr_platform_t  ncr_platform_kiro;
extern ncr_platform_t  ncr_platform_vertex;
extern ncr_platform_t  ncr_platform_foundry;
extern ncr_platform_t  ncr_platform_codex;
extern ncr_platform_t  ncr_platform_bedrock;
extern ncr_platform_t  ncr_platform_bedrock_mantle;
extern ncr_platform_t  ncr_platform_claude_aws;
extern ncr_platform_t  ncr_platform_openai;
extern ncr_platform_t  ncr_platform_azure;
extern ncr_platform_t  ncr_platform_code_assist;
extern ncr_platform_t  ncr_platform_antigravity;
extern ncr_platform_t  ncr_platform_gemini;


#endif /* _NCR_VERDICT_H_INCLUDED_ */
