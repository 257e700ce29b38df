
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_test.h"
#include "../../src/platform/ncr_plan.c"


static ncr_uint_t
serves(ncr_plan_e plan, const char *model)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) model;
    s.len = strlen(model);

    return ncr_plan_serves(plan, &s);
}


static ncr_plan_e
plan(const char *name)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) name;
    s.len = strlen(name);

    return ncr_plan(&s);
}


int
main(void)
{
    char    name[128];
    size_t  i;

    static const char  *pro[] = {
        "claude-opus-4-5-20251101", "claude-opus-4-5", "claude-opus-4-8",
        "claude-opus-5", "claude-opus-5-5", "claude-opus-5-20260724",
        "opus", "claude-opus", "claude-opus-latest", "claude-opus-10",
        "anthropic/claude-opus-4.5", "claude-opus-4-10",
        "claude-sonnet-4-20250514", "claude-3-haiku-20240307", ""
    };

    static const char  *not_pro[] = {
        "claude-opus-4-1-20250805", "claude-opus-4-20250514",
        "claude-opus-4", "claude-opus-4-0", "claude-3-opus-20240229",
        "claude-3-opus-latest", "CLAUDE-OPUS-4-1", "claude-opus-4.1"
    };

    ncr_test(plan("pro") == NCR_PLAN_PRO, "F094: pro");
    ncr_test(plan("claude_pro") == NCR_PLAN_PRO, "F094: claude_pro");
    ncr_test(plan("free") == NCR_PLAN_FREE, "F094: free");
    ncr_test(plan("claude_free") == NCR_PLAN_FREE, "F094: claude_free");
    ncr_test(plan("max") == NCR_PLAN_ANY, "F094: max");
    ncr_test(plan("team") == NCR_PLAN_ANY, "F094: team");
    ncr_test(plan("") == NCR_PLAN_ANY, "F094: not known");
    ncr_test(plan("professional") == NCR_PLAN_ANY, "F094: another word");

    for (i = 0; i < sizeof(pro) / sizeof(pro[0]); i++) {
        (void) snprintf(name, sizeof(name), "F094: pro has \"%s\"",
                        pro[i]);
        ncr_test(serves(NCR_PLAN_PRO, pro[i]), name);
        (void) snprintf(name, sizeof(name), "F094: max has \"%s\"",
                        pro[i]);
        ncr_test(serves(NCR_PLAN_ANY, pro[i]), name);
    }

    for (i = 0; i < sizeof(not_pro) / sizeof(not_pro[0]); i++) {
        (void) snprintf(name, sizeof(name), "F094: pro has no \"%s\"",
                        not_pro[i]);
        ncr_test(!serves(NCR_PLAN_PRO, not_pro[i]), name);
        (void) snprintf(name, sizeof(name), "F094: free has no \"%s\"",
                        not_pro[i]);
        ncr_test(!serves(NCR_PLAN_FREE, not_pro[i]), name);
        (void) snprintf(name, sizeof(name), "F094: max has \"%s\"",
                        not_pro[i]);
        ncr_test(serves(NCR_PLAN_ANY, not_pro[i]), name);
    }

    ncr_test(!serves(NCR_PLAN_FREE, "claude-opus-5"), "F094: free has no opus");
    ncr_test(serves(NCR_PLAN_FREE, "claude-sonnet-5"), "F094: free has sonnet");

    return ncr_test_done();
}
