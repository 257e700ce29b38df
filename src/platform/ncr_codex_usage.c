
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Windows as wham/usage tells them (others.md A13). */


#include "ncr_codex.h"
#include "ncr_oauth_text.h"
#include "ncr_str.h"


/* a reset further away than a year is nonsense */
#define NCR_CODEX_FARTHEST  ((ncr_msec_t) 366 * 86400 * 1000)


static void ncr_codex_usage_limit(cJSON *limit, ncr_str_t *family,
    ncr_limits_t *limits, ncr_msec_t now);
static void ncr_codex_usage_window(cJSON *window, ncr_uint_t primary,
    ncr_str_t *family, ncr_limits_t *limits, ncr_msec_t now);
static void ncr_codex_usage_plan(cJSON *json, char *meta);


ncr_int_t
ncr_codex_usage_ask(ncr_oauth_talk_t *talk)
{
    ncr_str_t  root;

    root = ncr_codex_root(&talk->base);

    talk->method = "GET";
    talk->no_body = 1;
    talk->api = 1;

    ncr_out_str(&talk->url, &root);
    ncr_out_text(&talk->url, "/wham/usage");

    return NCR_OK;
}


ncr_int_t
ncr_codex_usage(ncr_str_t *body, ncr_limits_t *limits, char *meta,
    ncr_msec_t now)
{
    cJSON      *json, *limit, *more, *item;
    ncr_str_t   family;

    ncr_limits_reset(limits);

    json = ncr_oauth_json(body);
    limit = ncr_oauth_member(json, "rate_limit");

    if (!cJSON_IsObject(limit)) {
        cJSON_Delete(json);
        return NCR_BAD;
    }

    ncr_str_set(&family, "");
    ncr_codex_usage_limit(limit, &family, limits, now);

    more = ncr_oauth_member(json, "additional_rate_limits");

    if (cJSON_IsArray(more)) {

        for (item = more->child; item; item = item->next) {

            family = ncr_oauth_string(item, "metered_feature");

            if (ncr_oauth_visible(&family)) {
                ncr_codex_usage_limit(ncr_oauth_member(item, "rate_limit"),
                                      &family, limits, now);
            }
        }
    }

    ncr_codex_usage_plan(json, meta);

    cJSON_Delete(json);

    return NCR_OK;
}


static void
ncr_codex_usage_limit(cJSON *limit, ncr_str_t *family, ncr_limits_t *limits,
    ncr_msec_t now)
{
    ncr_codex_usage_window(ncr_oauth_member(limit, "primary_window"), 1,
                           family, limits, now);
    ncr_codex_usage_window(ncr_oauth_member(limit, "secondary_window"), 0,
                           family, limits, now);
}


static void
ncr_codex_usage_window(cJSON *window, ncr_uint_t primary, ncr_str_t *family,
    ncr_limits_t *limits, ncr_msec_t now)
{
    char         slot[NCR_WINDOW_LEN];
    cJSON       *percent, *seconds, *after;
    int64_t      minutes;
    ncr_msec_t   reset;

    percent = ncr_oauth_member(window, "used_percent");

    if (!cJSON_IsNumber(percent) || percent->valuedouble < 0) {
        return;
    }

    seconds = ncr_oauth_member(window, "limit_window_seconds");
    minutes = 0;

    if (cJSON_IsNumber(seconds) && seconds->valuedouble >= 60
        && seconds->valuedouble < 1e9)
    {
        minutes = (int64_t) seconds->valuedouble / 60;
    }

    if (ncr_oauth_instant(ncr_oauth_member(window, "reset_at"), &reset)
        != NCR_OK
        || reset - now > NCR_CODEX_FARTHEST)
    {
        reset = 0;
        after = ncr_oauth_member(window, "reset_after_seconds");

        if (cJSON_IsNumber(after) && after->valuedouble >= 0
            && after->valuedouble < (double) NCR_CODEX_FARTHEST / 1000)
        {
            reset = now + (ncr_msec_t) (after->valuedouble * 1000);
        }
    }

    slot[0] = primary ? 'p' : 's';
    ncr_str_copy(slot + 1, sizeof(slot) - 1, family);

    ncr_codex_window(limits, slot, primary ? "5h" : "7d", family,
                     (int32_t) (ncr_min(percent->valuedouble, 10000) * 10000),
                     minutes, reset);
}


static void
ncr_codex_usage_plan(cJSON *json, char *meta)
{
    ncr_str_t  plan, facts[NCR_OAUTH_FACTS];

    plan = ncr_oauth_string(json, "plan_type");

    if (plan.len == 0 || plan.len > 64) {
        return;
    }

    memset(facts, 0, sizeof(facts));
    facts[NCR_OAUTH_PLAN] = plan;

    ncr_oauth_meta_write(facts, NULL, meta, NCR_OAUTH_META);
}
