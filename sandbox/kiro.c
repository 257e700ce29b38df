
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Kiro's API (others.md D2, D5), as far as an account is asked what it has
 * used.  A token that says "free", "spent", "over" or "old" is such an
 * account's.
 */


#include "sandbox.h"


static int
sbx_kiro_says(sbx_conn_t *c, const char *word)
{
    return memmem(c->req.bearer.data, c->req.bearer.len, word, strlen(word))
           != NULL;
}


static int
sbx_kiro_head(sbx_conn_t *c, const char *text)
{
    return memmem(c->in, c->req.head_len, text, strlen(text)) != NULL;
}


static void
sbx_kiro_error(sbx_conn_t *c, int status, const char *type,
    const char *message, const char *reason)
{
    c->text.len = 0;

    sbx_putf(&c->text, "{\"__type\":\"com.amazon.aws.codewhisperer#%s\","
             "\"message\":\"%s\",\"reason\":%s%s%s}", type, message,
             reason ? "\"" : "", reason ? reason : "null",
             reason ? "\"" : "");

    sbx_reply_start(c, status, "application/x-amz-json-1.0");
}


static void
sbx_kiro_usage(sbx_conn_t *c)
{
    int        free, spent;
    long long  reset;

    free = sbx_kiro_says(c, "free");
    spent = sbx_kiro_says(c, "spent");

    /* a fortnight from now */

    reset = (long long) sbx_time + 14 * 86400;

    sbx_putf(&c->text, "{\"limits\":[],\"nextDateReset\":%lld.0,"
             "\"daysUntilReset\":14,\"usageBreakdownList\":[{"
             "\"resourceType\":\"CREDIT\",\"currentUsage\":%d,"
             "\"currentUsageWithPrecision\":%s,\"usageLimit\":%d,"
             "\"usageLimitWithPrecision\":%d.0,\"nextDateReset\":%lld.0}],"
             "\"subscriptionInfo\":{\"type\":\"%s\","
             "\"subscriptionTitle\":\"%s\"},"
             "\"overageConfiguration\":{\"overageStatus\":\"%s\"},"
             "\"userInfo\":{\"email\":\"kiro@example.com\","
             "\"userId\":\"d-1.u-1\"}}",
             reset, spent ? 1000 : 250, spent ? "1000.0" : "250.0", 1000, 1000,
             reset, free ? "Q_DEVELOPER_STANDALONE_FREE"
                         : "Q_DEVELOPER_STANDALONE_PRO",
             free ? "KIRO FREE" : "KIRO PRO",
             sbx_kiro_says(c, "over") ? "ENABLED" : "DISABLED");

    sbx_reply_start(c, 200, "application/json");
}


int
sbx_kiro(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (r->path.len < 15
        || memcmp(r->path.data + r->path.len - 15, "/getUsageLimits", 15) != 0)
    {
        return SBX_DECLINED;
    }

    if (!sbx_is(&r->method, "GET")
        || memmem(r->args.data, r->args.len, "origin=AI_EDITOR", 16) == NULL)
    {
        sbx_kiro_error(c, 400, "ValidationException",
                       "Improperly formed request.", NULL);
        return SBX_OK;
    }

    if (r->bearer.len == 0 || sbx_kiro_says(c, "old")) {
        sbx_kiro_error(c, 403, "AccessDeniedException",
                       "The bearer token included in the request is invalid.",
                       NULL);
        return SBX_OK;
    }

    if (sbx_kiro_says(c, "suspended")) {
        sbx_kiro_error(c, 403, "AccessDeniedException",
                       "Your account is not available.",
                       "TEMPORARILY_SUSPENDED");
        return SBX_OK;
    }

    if (!sbx_kiro_head(c, "KiroIDE-")
        || !sbx_kiro_head(c, "x-amzn-kiro-agent-mode: "))
    {
        sbx_kiro_error(c, 400, "ValidationException",
                       "Improperly formed request.", NULL);
        return SBX_OK;
    }

    sbx_kiro_usage(c);

    return SBX_OK;
}
