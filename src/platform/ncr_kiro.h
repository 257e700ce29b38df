
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Kiro's words (others.md D); private to this floor. */


#ifndef _NCR_KIRO_H_INCLUDED_
#define _NCR_KIRO_H_INCLUDED_


#include "ncr_way.h"
#include "ncr_oauth.h"


/* the fields of its accounts, in their order */

typedef enum {
    NCR_KIRO_REGION = 0,
    NCR_KIRO_START_URL,                 /* of a login with an organisation */
    NCR_KIRO_VERSION,
    NCR_KIRO_MACHINE,
    NCR_KIRO_OS,
    NCR_KIRO_NODE,
    NCR_KIRO_MODE,
    NCR_KIRO_OPTOUT
} ncr_kiro_param_e;


/* D2's header lines but the credential; api: of the SDK, "name#version" */
void ncr_kiro_headers(ncr_out_t *out, ncr_str_t *params, const char *api);

/* the usage poll (D5) */
ncr_int_t ncr_kiro_usage(ncr_oauth_talk_t *talk);
ncr_int_t ncr_kiro_usage_read(ncr_str_t *body, ncr_limits_t *limits,
    char *meta, ncr_msec_t now);

/* the first of the next month, UTC */
ncr_msec_t ncr_kiro_month(ncr_msec_t now);


#endif /* _NCR_KIRO_H_INCLUDED_ */
