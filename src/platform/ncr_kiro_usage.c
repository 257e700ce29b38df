
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a Kiro account has used (others.md D5): credits of a month, told by
 * GET getUsageLimits, with its plan.
 */


#include "ncr_kiro.h"
#include "ncr_oauth_text.h"
#include "ncr_platform.h"
#include "ncr_str.h"
#include "ncr_uri.h"


/* a month has at most 31 days; what is further away is nonsense */
#define NCR_KIRO_FARTHEST  ((ncr_msec_t) 35 * 86400 * 1000)


typedef struct {
    const char   *type;
    const char   *plan;
} ncr_kiro_plan_t;


static void ncr_kiro_usage_window(cJSON *item, ncr_limits_t *limits,
    ncr_msec_t reset, ncr_uint_t over, ncr_msec_t now);
static double ncr_kiro_number(cJSON *item, const char *exact,
    const char *whole);
static ncr_msec_t ncr_kiro_reset(cJSON *item, ncr_msec_t now);
static void ncr_kiro_usage_meta(cJSON *json, char *meta);


/* D5, "subscriptionInfo" */

static const ncr_kiro_plan_t  ncr_kiro_plans[] = {
    { "_PRO_PLUS", "pro_plus" },
    { "_POWER", "power" },
    { "_FREE", "free" },
    { "_PRO", "pro" },
    { NULL, NULL }
};


void
ncr_kiro_headers(ncr_out_t *out, ncr_str_t *params, const char *api)
{
    static const char  sdk[] = "aws-sdk-js/1.0.34";

    ncr_out_text(out, "x-amzn-codewhisperer-optout: ");
    ncr_out_str(out, &params[NCR_KIRO_OPTOUT]);
    ncr_out_text(out, "\r\nx-amzn-kiro-agent-mode: ");
    ncr_out_str(out, &params[NCR_KIRO_MODE]);
    ncr_out_text(out, "\r\n");

    /* whose client it is taken for is the operator's word */

    if (params[NCR_KIRO_VERSION].len == 0) {
        return;
    }

    ncr_out_text(out, "amz-sdk-request: attempt=1; max=3"
                 "\r\nx-amz-user-agent: ");
    ncr_out_text(out, sdk);
    ncr_out_text(out, " KiroIDE-");
    ncr_out_str(out, &params[NCR_KIRO_VERSION]);

    if (params[NCR_KIRO_MACHINE].len) {
        ncr_out_text(out, "-");
        ncr_out_str(out, &params[NCR_KIRO_MACHINE]);
    }

    ncr_out_text(out, "\r\nuser-agent: ");
    ncr_out_text(out, sdk);
    ncr_out_text(out, " ua/2.1 os/");
    ncr_out_str(out, &params[NCR_KIRO_OS]);
    ncr_out_text(out, " lang/js md/nodejs#");
    ncr_out_str(out, &params[NCR_KIRO_NODE]);
    ncr_out_text(out, " api/");
    ncr_out_text(out, api);
    ncr_out_text(out, " m/E KiroIDE-");
    ncr_out_str(out, &params[NCR_KIRO_VERSION]);

    if (params[NCR_KIRO_MACHINE].len) {
        ncr_out_text(out, "-");
        ncr_out_str(out, &params[NCR_KIRO_MACHINE]);
    }

    ncr_out_text(out, "\r\n");
}


ncr_int_t
ncr_kiro_usage(ncr_oauth_talk_t *talk)
{
    cJSON      *meta;
    ncr_str_t   arn;

    talk->method = "GET";
    talk->no_body = 1;
    talk->api = 1;

    ncr_out_str(&talk->url, &talk->base);
    ncr_out_text(&talk->url, "/getUsageLimits?isEmailRequired=true"
                 "&origin=AI_EDITOR&resourceType=AGENTIC_REQUEST");

    meta = ncr_oauth_json(&talk->meta);
    arn = ncr_oauth_string(meta, "profile_arn");

    if (arn.len) {
        ncr_out_text(&talk->url, "&profileArn=");
        ncr_uri_escape(&talk->url, &arn);
    }

    cJSON_Delete(meta);

    ncr_out_text(&talk->lines, "accept: application/json\r\n");
    ncr_kiro_headers(&talk->lines, talk->params, "codewhispererruntime#1.0.0");

    return (talk->url.overflow || talk->lines.overflow) ? NCR_ERROR : NCR_OK;
}


ncr_int_t
ncr_kiro_usage_read(ncr_str_t *body, ncr_limits_t *limits, char *meta,
    ncr_msec_t now)
{
    cJSON       *json, *list, *item;
    ncr_str_t    overage;
    ncr_msec_t   reset;

    ncr_limits_reset(limits);

    *meta = '\0';

    json = ncr_oauth_json(body);
    list = ncr_oauth_member(json, "usageBreakdownList");

    if (!cJSON_IsArray(list)) {
        cJSON_Delete(json);
        return NCR_BAD;
    }

    reset = ncr_kiro_reset(ncr_oauth_member(json, "nextDateReset"), now);

    overage = ncr_oauth_string(ncr_oauth_member(json, "overageConfiguration"),
                               "overageStatus");

    for (item = list->child; item != NULL; item = item->next) {
        ncr_kiro_usage_window(item, limits, reset,
                              ncr_str_eq(&overage, "ENABLED"), now);
    }

    limits->unified = (limits->nwindows != 0);

    ncr_kiro_usage_meta(json, meta);

    cJSON_Delete(json);

    return NCR_OK;
}


/* "CREDIT" is the window "credit" */

static void
ncr_kiro_usage_window(cJSON *item, ncr_limits_t *limits, ncr_msec_t reset,
    ncr_uint_t over, ncr_msec_t now)
{
    double         used, limit, utilization;
    size_t         i;
    ncr_str_t      type;
    ncr_uint_t     n;
    ncr_msec_t     own;
    ncr_window_t  *w;

    type = ncr_oauth_string(item, "resourceType");

    if (!ncr_oauth_visible(&type) || type.len >= NCR_WINDOW_LEN
        || limits->nwindows == NCR_WINDOWS)
    {
        return;
    }

    used = ncr_kiro_number(item, "currentUsageWithPrecision", "currentUsage");
    limit = ncr_kiro_number(item, "usageLimitWithPrecision", "usageLimit");

    if (used < 0 || limit <= 0) {
        return;
    }

    w = &limits->windows[limits->nwindows];

    for (i = 0; i < type.len; i++) {

        if (type.data[i] == ',' || type.data[i] == '=') {
            return;
        }
    }

    ncr_str_lowcase((ncr_char_t *) w->name, type.data, type.len);
    w->name[type.len] = '\0';

    for (n = 0; n < limits->nwindows; n++) {
        if (strcmp(limits->windows[n].name, w->name) == 0) {
            return;
        }
    }

    own = ncr_kiro_reset(ncr_oauth_member(item, "nextDateReset"), now);

    utilization = used / limit * 10000 + 0.5;

    w->utilization = (int32_t) ncr_min(utilization, (double) INT32_MAX);
    w->reset = own ? own : reset;
    w->status = NCR_WINDOW_ALLOWED;

    /* more than that is paid for, where the account has said so */

    if (w->utilization >= 10000) {
        w->status = over ? NCR_WINDOW_WARNING : NCR_WINDOW_REJECTED;
    }

    limits->nwindows++;
}


/* -1: it is none */

static double
ncr_kiro_number(cJSON *item, const char *exact, const char *whole)
{
    cJSON  *number;

    number = ncr_oauth_member(item, exact);

    if (!cJSON_IsNumber(number)) {
        number = ncr_oauth_member(item, whole);
    }

    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0)
        || number->valuedouble > 1e15)
    {
        return -1;
    }

    return number->valuedouble;
}


/* seconds, maybe with a fraction; 0: it is none */

static ncr_msec_t
ncr_kiro_reset(cJSON *item, ncr_msec_t now)
{
    ncr_msec_t  reset;

    if (!cJSON_IsNumber(item)) {

        return (ncr_oauth_instant(item, &reset) == NCR_OK
                && reset - now <= NCR_KIRO_FARTHEST)
               ? reset : 0;
    }

    if (!(item->valuedouble > 0) || item->valuedouble > 1e14) {
        return 0;
    }

    reset = (item->valuedouble > 1e11) ? (ncr_msec_t) item->valuedouble
                                       : (ncr_msec_t) (item->valuedouble
                                                       * 1000);

    return (reset - now <= NCR_KIRO_FARTHEST) ? reset : 0;
}


static void
ncr_kiro_usage_meta(cJSON *json, char *meta)
{
    cJSON                  *info;
    size_t                  n;
    ncr_str_t               type, tail, facts[NCR_OAUTH_FACTS];
    const ncr_kiro_plan_t  *plan;

    memset(facts, 0, sizeof(facts));

    info = ncr_oauth_member(json, "subscriptionInfo");
    type = ncr_oauth_string(info, "type");

    for (plan = ncr_kiro_plans; plan->type; plan++) {
        n = strlen(plan->type);

        if (type.len < n) {
            continue;
        }

        tail.data = type.data + type.len - n;
        tail.len = n;

        if (ncr_str_caseeq(&tail, plan->type)) {
            facts[NCR_OAUTH_PLAN].data = (ncr_char_t *) (uintptr_t) plan->plan;
            facts[NCR_OAUTH_PLAN].len = strlen(plan->plan);
            break;
        }
    }

    facts[NCR_OAUTH_TIER] = ncr_oauth_string(info, "subscriptionTitle");
    facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(ncr_oauth_member(json,
                                                               "userInfo"),
                                              "email");

    ncr_oauth_meta_write(facts, NULL, meta, NCR_OAUTH_META);
}


/* the days before a month's first are those of civil reckoning */

ncr_msec_t
ncr_kiro_month(ncr_msec_t now)
{
    int64_t  days, era, day, year, of, month;

    /* days since 0000-03-01, in eras of 400 years of 146097 days */

    days = now / 86400000 + 719468;
    era = days / 146097;
    day = days - era * 146097;
    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    of = day - (365 * year + year / 4 - year / 100);
    month = (5 * of + 2) / 153;                 /* 0: March */

    year += era * 400;
    month++;

    if (month == 12) {
        month = 0;
        year++;
    }

    /* and back: the first of that month */

    era = year / 400;
    of = year - era * 400;
    day = of * 365 + of / 4 - of / 100 + (153 * month + 2) / 5;

    return (era * 146097 + day - 719468) * 86400000;
}
