
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is left of an account's quotas, asked from time to time: they are by
 * model (others.md C6, retrieveUserQuota; C7, fetchAvailableModels).  A window
 * is that of a family of models and has its name: of several models, or kinds
 * of tokens, the one that is used most.
 */


#include "ncr_assist.h"
#include "ncr_oauth_text.h"
#include "ncr_str.h"


/* a reset further away than the longest window there is, is nonsense */
#define NCR_ASSIST_FARTHEST  ((ncr_msec_t) 35 * 86400 * 1000)


static ncr_int_t ncr_assist_usage_ask(ncr_oauth_talk_t *talk,
    const char *path);
static void ncr_assist_usage_model(ncr_limits_t *limits, ncr_str_t *model,
    cJSON *quota, ncr_msec_t now);
static ncr_uint_t ncr_assist_usage_least(ncr_limits_t *limits);


ncr_int_t
ncr_assist_usage(ncr_oauth_talk_t *talk)
{
    return ncr_assist_usage_ask(talk, "/v1internal:retrieveUserQuota");
}


ncr_int_t
ncr_antigravity_usage(ncr_oauth_talk_t *talk)
{
    return ncr_assist_usage_ask(talk, "/v1internal:fetchAvailableModels");
}


static ncr_int_t
ncr_assist_usage_ask(ncr_oauth_talk_t *talk, const char *path)
{
    ncr_str_t  base, project;

    talk->method = "POST";

    base = ncr_assist_trim(&talk->base);

    ncr_out_str(&talk->url, &base);
    ncr_out_text(&talk->url, path);

    project = ncr_oauth_param(talk, "project");

    ncr_out_text(&talk->body, "{\"project\":");

    if (project.len) {
        ncr_out_json_string(&talk->body, &project);

    } else {
        project = ncr_assist_member(&talk->meta, "project");

        /* it is being asked for */

        if (project.len == 0) {
            return NCR_BAD;
        }

        ncr_out_str(&talk->body, &project);
    }

    ncr_out_text(&talk->body, "}");

    return NCR_OK;
}


/* {"buckets":[{"modelId","tokenType","remainingFraction","resetTime"}]} */

ncr_int_t
ncr_assist_usage_read(ncr_str_t *body, ncr_limits_t *limits, char *meta,
    ncr_msec_t now)
{
    cJSON      *json, *list, *bucket;
    ncr_int_t   rc;
    ncr_str_t   model;

    (void) meta;

    ncr_limits_reset(limits);

    json = ncr_oauth_json(body);
    list = ncr_oauth_member(json, "buckets");
    rc = NCR_BAD;

    if (cJSON_IsArray(list)) {
        rc = NCR_OK;

        for (bucket = list->child; bucket != NULL; bucket = bucket->next) {
            model = ncr_oauth_string(bucket, "modelId");
            ncr_assist_usage_model(limits, &model, bucket, now);
        }
    }

    cJSON_Delete(json);

    return rc;
}


/* {"models":{ID:{"quotaInfo":{"remainingFraction","resetTime"}}}} */

ncr_int_t
ncr_antigravity_usage_read(ncr_str_t *body, ncr_limits_t *limits, char *meta,
    ncr_msec_t now)
{
    cJSON      *json, *models, *one;
    ncr_int_t   rc;
    ncr_str_t   model;

    (void) meta;

    ncr_limits_reset(limits);

    json = ncr_oauth_json(body);
    models = ncr_oauth_member(json, "models");
    rc = NCR_BAD;

    if (cJSON_IsObject(models)) {
        rc = NCR_OK;

        for (one = models->child; one != NULL; one = one->next) {
            model.data = (ncr_char_t *) one->string;
            model.len = strlen(one->string);

            ncr_assist_usage_model(limits, &model,
                                   ncr_oauth_member(one, "quotaInfo"), now);
        }
    }

    cJSON_Delete(json);

    return rc;
}


static void
ncr_assist_usage_model(ncr_limits_t *limits, ncr_str_t *model, cJSON *quota,
    ncr_msec_t now)
{
    cJSON         *left;
    double         used;
    int32_t        level;
    ncr_str_t      family;
    ncr_uint_t     i;
    ncr_msec_t     reset;
    ncr_window_t  *w;

    family = ncr_model_family(model);
    left = ncr_oauth_member(quota, "remainingFraction");

    if (family.len == 0 || family.len >= NCR_WINDOW_LEN) {
        return;
    }

    if (ncr_oauth_instant(ncr_oauth_member(quota, "resetTime"), &reset)
        != NCR_OK || reset <= 0 || reset - now > NCR_ASSIST_FARTHEST)
    {
        reset = 0;
    }

    /* JSON of this origin leaves zeroes out */

    if (cJSON_IsNumber(left) && left->valuedouble >= 0
        && left->valuedouble <= 1)
    {
        used = 1 - left->valuedouble;

    } else if (left == NULL && reset) {
        used = 1;

    } else {
        return;
    }

    for (i = 0; i < limits->nwindows; i++) {
        if (ncr_str_eq(&family, limits->windows[i].name)) {
            break;
        }
    }

    level = (int32_t) (used * 10000 + 0.5);

    if (i == NCR_WINDOWS) {
        i = ncr_assist_usage_least(limits);
    }

    w = &limits->windows[i];

    if (i < limits->nwindows && w->utilization >= level) {
        return;
    }

    limits->nwindows = ncr_max(limits->nwindows, i + 1);

    ncr_str_copy(w->name, sizeof(w->name), &family);

    w->utilization = level;
    w->status = (used >= 1) ? NCR_WINDOW_REJECTED : NCR_WINDOW_ALLOWED;
    w->reset = reset;
}


/* there are more families than windows: what is hardly used is not missed */

static ncr_uint_t
ncr_assist_usage_least(ncr_limits_t *limits)
{
    ncr_uint_t  i, least;

    least = 0;

    for (i = 1; i < limits->nwindows; i++) {
        if (limits->windows[i].utilization
            < limits->windows[least].utilization)
        {
            least = i;
        }
    }

    return least;
}
