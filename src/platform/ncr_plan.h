
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a subscription may ask for (FEATURES F094, SEEDS 1.4.8): "free" no
 * Opus, "pro" Opus from 4.5 on only, all others everything.
 */


#ifndef _NCR_PLAN_H_INCLUDED_
#define _NCR_PLAN_H_INCLUDED_


#include "ncr_platform.h"


typedef enum {
    NCR_PLAN_ANY = 0,                   /* not known, or all of it */
    NCR_PLAN_FREE,
    NCR_PLAN_PRO
} ncr_plan_e;


/* by the name that the provider gave, such as "claude_pro" or "pro" */
ncr_plan_e ncr_plan(ncr_str_t *name);

/* 1 unless the plan is known not to serve it; a version that cannot be read
 * is the provider's to refuse */
ncr_uint_t ncr_plan_serves(ncr_plan_e plan, ncr_str_t *model);


#endif /* _NCR_PLAN_H_INCLUDED_ */
