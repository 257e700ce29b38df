
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Quota windows as the usage endpoint tells them: anthropic.md A.7. */


#include "ncr_oauth_text.h"
#include "ncr_out.h"
#include "ncr_platform.h"
#include "ncr_str.h"


/* a reset further away than the longest window there is, is nonsense */
#define NCR_OAUTH_FARTHEST  ((ncr_msec_t) 35 * 86400 * 1000)


static ncr_uint_t ncr_oauth_usage_list(cJSON *list, ncr_limits_t *limits,
    ncr_msec_t now);
static void ncr_oauth_usage_scoped(cJSON *item, char *name, size_t size);
static ncr_uint_t ncr_oauth_usage_flat(cJSON *json, ncr_limits_t *limits,
    ncr_msec_t now);
static void ncr_oauth_usage_name(cJSON *item, char *name, size_t size);
static void ncr_oauth_usage_window(ncr_limits_t *limits, const char *name,
    cJSON *percent, cJSON *resets_at, ncr_msec_t now);


ncr_int_t
ncr_oauth_usage(ncr_str_t *body, ncr_limits_t *limits, ncr_msec_t now)
{
    cJSON       *json;
    ncr_uint_t   known;

    ncr_limits_reset(limits);

    json = ncr_oauth_json(body);

    known = ncr_oauth_usage_list(ncr_oauth_member(json, "limits"), limits,
                                 now);
    known |= ncr_oauth_usage_flat(json, limits, now);

    limits->unified = (limits->nwindows != 0);

    cJSON_Delete(json);

    return known ? NCR_OK : NCR_BAD;
}


/* 1 if it is a list at all; kinds that are not known are passed over */

static ncr_uint_t
ncr_oauth_usage_list(cJSON *list, ncr_limits_t *limits, ncr_msec_t now)
{
    char        name[NCR_WINDOW_LEN];
    cJSON      *item;
    ncr_str_t   kind;

    if (!cJSON_IsArray(list)) {
        return 0;
    }

    for (item = list->child; item != NULL; item = item->next) {

        kind = ncr_oauth_string(item, "kind");

        if (ncr_str_eq(&kind, "session")) {
            memcpy(name, "5h", sizeof("5h"));

        } else if (ncr_str_eq(&kind, "weekly_all")) {
            memcpy(name, "7d", sizeof("7d"));

        } else if (ncr_str_eq(&kind, "weekly_scoped")) {
            ncr_oauth_usage_scoped(item, name, sizeof(name));

        } else {
            continue;
        }

        ncr_oauth_usage_window(limits, name,
                               ncr_oauth_member(item, "percent"),
                               ncr_oauth_member(item, "resets_at"), now);
    }

    return 1;
}


/* "7d_" and the family of the model, "" if there is none */

static void
ncr_oauth_usage_scoped(cJSON *item, char *name, size_t size)
{
    cJSON      *model;
    ncr_str_t   text, family;

    *name = '\0';

    model = ncr_oauth_member(ncr_oauth_member(item, "scope"), "model");
    text = ncr_oauth_either(model, "display_name", "id");

    family = ncr_model_family(&text);

    if (family.len) {
        memcpy(name, "7d_", sizeof("7d_"));
        ncr_str_copy(name + 3, size - 3, &family);
    }
}


/* "five_hour", "seven_day", "seven_day_opus"... */

static ncr_uint_t
ncr_oauth_usage_flat(cJSON *json, ncr_limits_t *limits, ncr_msec_t now)
{
    char         name[NCR_WINDOW_LEN];
    cJSON       *item;
    ncr_uint_t   known;

    if (json == NULL) {
        return 0;
    }

    known = 0;

    for (item = json->child; item != NULL; item = item->next) {

        ncr_oauth_usage_name(item, name, sizeof(name));

        if (*name == '\0' || !(cJSON_IsObject(item) || cJSON_IsNull(item))) {
            continue;
        }

        known = 1;

        ncr_oauth_usage_window(limits, name,
                               ncr_oauth_member(item, "utilization"),
                               ncr_oauth_member(item, "resets_at"), now);
    }

    return known;
}


static void
ncr_oauth_usage_name(cJSON *item, char *name, size_t size)
{
    size_t       i;
    ncr_str_t    s;
    ncr_out_t    out;
    const char  *window;

    *name = '\0';

    s.data = (ncr_char_t *) item->string;
    s.len = strlen(item->string);

    /* in headers it has a name of its own (C.2) */

    if (ncr_str_eq(&s, "seven_day_overage_included")) {
        memcpy(name, "7d_oi", sizeof("7d_oi"));
        return;
    }

    if (ncr_str_prefix(&s, "five_hour")) {
        window = "5h";

    } else if (ncr_str_prefix(&s, "seven_day")) {
        window = "7d";

    } else {
        return;
    }

    s.data += sizeof("five_hour") - 1;
    s.len -= sizeof("five_hour") - 1;

    if (s.len && (s.len == 1 || s.data[0] != '_')) {
        return;
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f) {
            return;
        }
    }

    ncr_out_init(&out, (ncr_char_t *) name, size - 1);
    ncr_out_text(&out, window);
    ncr_out_str(&out, &s);

    *(out.overflow ? out.start : out.last) = '\0';
}


/* the first to tell of a window is right: limits come before flat members */

static void
ncr_oauth_usage_window(ncr_limits_t *limits, const char *name,
    cJSON *percent, cJSON *resets_at, ncr_msec_t now)
{
    double         utilization;
    ncr_uint_t     i;
    ncr_msec_t     reset;
    ncr_window_t  *w;

    if (*name == '\0' || !cJSON_IsNumber(percent)
        || percent->valuedouble < 0)
    {
        return;
    }

    for (i = 0; i < limits->nwindows; i++) {
        if (strcmp(limits->windows[i].name, name) == 0) {
            return;
        }
    }

    if (limits->nwindows == NCR_WINDOWS) {
        return;
    }

    if (ncr_oauth_instant(resets_at, &reset) != NCR_OK
        || reset - now > NCR_OAUTH_FARTHEST)
    {
        reset = 0;
    }

    w = &limits->windows[limits->nwindows++];

    memcpy(w->name, name, strlen(name) + 1);

    utilization = percent->valuedouble * 100 + 0.5;

    w->status = NCR_WINDOW_UNKNOWN;
    w->utilization = (int32_t) ncr_min(utilization, (double) INT32_MAX);
    w->reset = reset;
}
