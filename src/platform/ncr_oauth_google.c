
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Google's logins, of the Gemini CLI (Code Assist) and of Antigravity
 * (others.md C6, C7).  The ids and secrets of these installed apps are of the
 * operator's configuration.  After a login it is found out whose it is, and a
 * project is found or made, without which no request is served.
 */


#include "ncr_assist.h"
#include "ncr_oauth_text.h"
#include "ncr_str.h"


#define NCR_OAUTH_SCOPES                                                      \
    "https://www.googleapis.com/auth/cloud-platform "                         \
    "https://www.googleapis.com/auth/userinfo.email "                         \
    "https://www.googleapis.com/auth/userinfo.profile"

/* C6: an onboarding is looked after so often, ms, and so many times */
#define NCR_OAUTH_ONBOARD        5000
#define NCR_OAUTH_ONBOARD_TIMES  12


/* what was asked last: the first letter of talk->kept, and a count behind */

enum {
    NCR_OAUTH_ASKED_INFO = 'i',
    NCR_OAUTH_ASKED_LOAD = 'l',
    NCR_OAUTH_ASKED_ONBOARD = 'o'
};


static ncr_int_t ncr_oauth_google_after(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_google_info(ncr_oauth_talk_t *talk);
static void ncr_oauth_google_informed(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_google_load(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_google_loaded(ncr_oauth_talk_t *talk);
static ncr_str_t ncr_oauth_google_tier(cJSON *json, ncr_uint_t *own);
static void ncr_oauth_google_ineligible(cJSON *json, cJSON *more);
static void ncr_oauth_google_plan(ncr_oauth_talk_t *talk, cJSON *json);
static ncr_int_t ncr_oauth_google_onboard(ncr_oauth_talk_t *talk,
    ncr_str_t *tier, ncr_uint_t own);
static ncr_int_t ncr_oauth_google_onboarded(ncr_oauth_talk_t *talk);
static void ncr_oauth_google_path(ncr_oauth_talk_t *talk, const char *path);
static ncr_int_t ncr_oauth_google_project(ncr_oauth_talk_t *talk,
    ncr_str_t *project);
static void ncr_oauth_google_tells(ncr_str_t *body, char *meta, size_t size);
static ncr_uint_t ncr_oauth_google_new(ncr_oauth_talk_t *talk);


ncr_oauth_t  ncr_oauth_code_assist = {
    .authorize_url = ncr_string("https://accounts.google.com/o/oauth2/v2"
                                "/auth"),
    .token_url = ncr_string("https://oauth2.googleapis.com/token"),
    .redirect_uri = ncr_string("https://codeassist.google.com/authcode"),
    .loopback_uri = ncr_string("http://127.0.0.1:45462/oauth2callback"),
    .scope = ncr_string(NCR_OAUTH_SCOPES),
    .info_url = ncr_string("https://www.googleapis.com/oauth2/v2/userinfo"
                           "?alt=json"),
    .authorize_extra = "access_type=offline",
    .form = 1,
    .refresh_form = 1,
    .secret = 1,
    .tells = ncr_oauth_google_tells,
    .after = ncr_oauth_google_after,
    .usage = ncr_assist_usage,
    .usage_read = ncr_assist_usage_read,
    .needs = "project"
};


ncr_oauth_t  ncr_oauth_antigravity = {
    .authorize_url = ncr_string("https://accounts.google.com/o/oauth2/v2"
                                "/auth"),
    .token_url = ncr_string("https://oauth2.googleapis.com/token"),
    .redirect_uri = ncr_string("http://localhost:51121/oauth-callback"),
    .loopback_uri = ncr_string("http://localhost:51121/oauth-callback"),
    .scope = ncr_string(NCR_OAUTH_SCOPES
                        " https://www.googleapis.com/auth/cclog"
                        " https://www.googleapis.com/auth"
                        "/experimentsandconfigs"),
    .info_url = ncr_string("https://www.googleapis.com/oauth2/v2/userinfo"
                           "?alt=json"),
    .authorize_extra = "access_type=offline&prompt=consent",
    .form = 1,
    .refresh_form = 1,
    .secret = 1,
    .tells = ncr_oauth_google_tells,
    .after = ncr_oauth_google_after,
    .usage = ncr_antigravity_usage,
    .usage_read = ncr_antigravity_usage_read,
    .needs = "project",
    .modern = 1
};


/* claims of an id_token, where one is there */

static void
ncr_oauth_google_tells(ncr_str_t *body, char *meta, size_t size)
{
    cJSON      *json, *claims;
    ncr_str_t   token, facts[NCR_OAUTH_FACTS];

    json = ncr_oauth_json(body);
    token = ncr_oauth_string(json, "id_token");
    claims = ncr_oauth_claims(&token);

    memset(facts, 0, sizeof(facts));

    facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(claims, "email");
    facts[NCR_OAUTH_NAME] = ncr_oauth_string(claims, "name");

    ncr_oauth_meta_write(facts, NULL, meta, size);

    cJSON_Delete(claims);
    cJSON_Delete(json);
}


static ncr_int_t
ncr_oauth_google_after(ncr_oauth_talk_t *talk)
{
    if (talk->step == 0) {
        talk->kept[0] = '\0';

        return talk->oauth->info_url.len ? ncr_oauth_google_info(talk)
                                         : ncr_oauth_google_load(talk);
    }

    switch (talk->kept[0]) {

    case NCR_OAUTH_ASKED_INFO:
        ncr_oauth_google_informed(talk);
        return ncr_oauth_google_load(talk);

    case NCR_OAUTH_ASKED_LOAD:
        return ncr_oauth_google_loaded(talk);

    default:
        return ncr_oauth_google_onboarded(talk);
    }
}


static ncr_int_t
ncr_oauth_google_info(ncr_oauth_talk_t *talk)
{
    ncr_int_t  rc;

    talk->kept[0] = NCR_OAUTH_ASKED_INFO;
    talk->kept[1] = '\0';

    talk->method = "GET";
    talk->no_body = 1;
    talk->api = 1;

    rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->info_url);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


/* for the operator's eyes: no harm if it is not told */

static void
ncr_oauth_google_informed(ncr_oauth_talk_t *talk)
{
    cJSON  *json, *more;

    static const char *const  same[] = { "email", "name", NULL };

    if (talk->status != 200) {
        return;
    }

    json = ncr_oauth_json(&talk->answer);
    more = cJSON_CreateObject();

    ncr_oauth_copy(more, json, same);
    ncr_oauth_meta_put(talk, more);

    cJSON_Delete(more);
    cJSON_Delete(json);
}


static ncr_int_t
ncr_oauth_google_load(ncr_oauth_talk_t *talk)
{
    ncr_str_t  project;

    talk->kept[0] = NCR_OAUTH_ASKED_LOAD;
    talk->kept[1] = '\0';

    ncr_oauth_google_path(talk, ":loadCodeAssist");

    project = ncr_oauth_param(talk, "project");

    if (project.len) {
        ncr_oauth_put(&talk->body, 0, "cloudaicompanionProject", &project);
        ncr_out_text(&talk->body, ",");

    } else {
        ncr_out_text(&talk->body, "{");
    }

    if (ncr_oauth_google_new(talk)) {
        ncr_out_text(&talk->body, "\"metadata\":{\"ideType\":"
                     "\"ANTIGRAVITY\"}}");

    } else {
        ncr_out_text(&talk->body, "\"metadata\":{\"ideType\":"
                     "\"IDE_UNSPECIFIED\",\"platform\":"
                     "\"PLATFORM_UNSPECIFIED\",\"pluginType\":\"GEMINI\"");

        if (project.len) {
            ncr_out_text(&talk->body, ",\"duetProject\":");
            ncr_out_json_string(&talk->body, &project);
        }

        ncr_out_text(&talk->body, "}}");
    }

    return NCR_AGAIN;
}


static ncr_uint_t
ncr_oauth_google_new(ncr_oauth_talk_t *talk)
{
    return talk->oauth->modern;
}


static ncr_int_t
ncr_oauth_google_loaded(ncr_oauth_talk_t *talk)
{
    cJSON       *json, *item;
    ncr_int_t    rc;
    ncr_str_t    project, tier;
    ncr_uint_t   own;

    json = ncr_oauth_json(&talk->answer);

    if (talk->status != 200 || json == NULL) {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "its project is not known");
    }

    ncr_oauth_google_plan(talk, json);

    item = ncr_oauth_member(json, "cloudaicompanionProject");
    project = cJSON_IsObject(item) ? ncr_oauth_string(item, "id")
                                   : ncr_oauth_string(json,
                                                  "cloudaicompanionProject");
    if (project.len == 0) {
        project = ncr_oauth_param(talk, "project");
    }

    if (ncr_oauth_member(json, "currentTier") != NULL && project.len) {
        rc = ncr_oauth_google_project(talk, &project);
        cJSON_Delete(json);
        return rc;
    }

    tier = ncr_oauth_google_tier(json, &own);

    if (tier.len == 0) {
        cJSON_Delete(json);
        return ncr_oauth_talk_error(talk, "it may use no tier of Code Assist: "
                                    "see \"ineligible\"");
    }

    if (own && ncr_oauth_param(talk, "project").len == 0) {
        rc = ncr_oauth_talk_error(talk, "its tier needs a project of its own: "
                                  "set the account's field \"project\"");

    } else {
        rc = ncr_oauth_google_onboard(talk, &tier, own);
    }

    cJSON_Delete(json);

    return rc;
}


/* the current tier, else the default one of those allowed */

static ncr_str_t
ncr_oauth_google_tier(cJSON *json, ncr_uint_t *own)
{
    cJSON      *tier, *one, *list;
    ncr_str_t   id;

    tier = ncr_oauth_member(json, "currentTier");
    list = ncr_oauth_member(json, "allowedTiers");

    if (tier == NULL && cJSON_IsArray(list)) {
        cJSON_ArrayForEach(one, list) {
            if (cJSON_IsTrue(ncr_oauth_member(one, "isDefault"))) {
                tier = one;
                break;
            }
        }
    }

    *own = cJSON_IsTrue(ncr_oauth_member(tier,
                                         "userDefinedCloudaicompanionProject"));
    id = ncr_oauth_string(tier, "id");

    if (!ncr_oauth_visible(&id)) {
        ncr_str_null(&id);
    }

    return id;
}


static void
ncr_oauth_google_plan(ncr_oauth_talk_t *talk, cJSON *json)
{
    cJSON      *more, *tier, *paid;
    ncr_str_t   s;

    tier = ncr_oauth_member(json, "currentTier");
    paid = ncr_oauth_member(json, "paidTier");

    more = cJSON_CreateObject();

    s = ncr_oauth_string(tier, "id");

    if (s.len) {
        (void) cJSON_AddStringToObject(more, "tier", (char *) s.data);
    }

    s = ncr_oauth_either(paid, "id", "name");

    if (s.len == 0) {
        s = ncr_oauth_either(tier, "id", "name");
    }

    if (s.len) {
        (void) cJSON_AddStringToObject(more, "plan", (char *) s.data);
    }

    ncr_oauth_google_ineligible(json, more);

    ncr_oauth_meta_put(talk, more);

    cJSON_Delete(more);
}


/* C6: since 2026-06-18 individuals are told so */

static void
ncr_oauth_google_ineligible(cJSON *json, cJSON *more)
{
    char        text[200], words[140];
    cJSON      *one;
    ncr_str_t   reason, message;
    ncr_out_t   out;

    one = ncr_oauth_member(json, "ineligibleTiers");
    one = cJSON_IsArray(one) ? one->child : NULL;

    reason = ncr_oauth_string(one, "reasonCode");

    if (reason.len == 0) {
        return;
    }

    ncr_out_init(&out, (ncr_char_t *) text, sizeof(text) - 1);

    ncr_oauth_words(words, 48, &reason);
    ncr_out_text(&out, words);

    message = ncr_oauth_string(one, "reasonMessage");

    if (message.len) {
        ncr_oauth_words(words, sizeof(words), &message);
        ncr_out_text(&out, ": ");
        ncr_out_text(&out, words);
    }

    *out.last = '\0';

    (void) cJSON_AddStringToObject(more, "ineligible", text);
}


/* C6: of the free tier no project may be named */

static ncr_int_t
ncr_oauth_google_onboard(ncr_oauth_talk_t *talk, ncr_str_t *tier,
    ncr_uint_t own)
{
    ncr_str_t  project;

    talk->kept[0] = NCR_OAUTH_ASKED_ONBOARD;
    talk->kept[1] = '\0';

    ncr_oauth_google_path(talk, ":onboardUser");

    if (ncr_oauth_google_new(talk)) {
        ncr_oauth_put(&talk->body, 0, "tier_id", tier);
        ncr_out_text(&talk->body, ",\"metadata\":{\"ide_type\":"
                     "\"ANTIGRAVITY\",\"ide_name\":\"antigravity\"}}");
        return NCR_AGAIN;
    }

    ncr_oauth_put(&talk->body, 0, "tierId", tier);

    project = ncr_oauth_param(talk, "project");

    if (project.len && !ncr_str_eq(tier, "free-tier")) {
        ncr_oauth_put(&talk->body, 0, "cloudaicompanionProject", &project);
    }

    ncr_out_text(&talk->body, ",\"metadata\":{\"ideType\":\"IDE_UNSPECIFIED\","
                 "\"platform\":\"PLATFORM_UNSPECIFIED\",\"pluginType\":"
                 "\"GEMINI\"}}");

    return NCR_AGAIN;
}


static ncr_int_t
ncr_oauth_google_onboarded(ncr_oauth_talk_t *talk)
{
    char        path[256];
    cJSON      *json, *item, *done;
    size_t      i, times;
    ncr_int_t   rc;
    ncr_str_t   name, project;
    ncr_out_t   out;

    json = ncr_oauth_json(&talk->answer);

    if (talk->status != 200 || json == NULL) {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "it could not be onboarded");
    }

    done = ncr_oauth_member(json, "done");

    if (cJSON_IsTrue(done)) {
        item = ncr_oauth_member(ncr_oauth_member(json, "response"),
                                "cloudaicompanionProject");
        project = ncr_oauth_string(item, "id");

        if (project.len == 0) {
            project = ncr_oauth_param(talk, "project");
        }

        rc = ncr_oauth_google_project(talk, &project);

        cJSON_Delete(json);
        return rc;
    }

    times = strlen(talk->kept);
    name = ncr_oauth_string(json, "name");

    if (times > NCR_OAUTH_ONBOARD_TIMES || !ncr_oauth_visible(&name)
        || name.len > 200)
    {
        cJSON_Delete(json);
        return ncr_oauth_talk_error(talk, "its onboarding takes too long");
    }

    for (i = 0; i < name.len; i++) {
        if (strchr("%?#\\", name.data[i])) {
            cJSON_Delete(json);
            return ncr_oauth_talk_error(talk, "its onboarding has no name");
        }
    }

    talk->kept[times] = '+';
    talk->kept[times + 1] = '\0';

    ncr_out_init(&out, (ncr_char_t *) path, sizeof(path) - 1);
    ncr_out_text(&out, "/");
    ncr_out_str(&out, &name);
    *out.last = '\0';

    ncr_oauth_google_path(talk, path);

    talk->method = "GET";
    talk->no_body = 1;
    talk->wait = NCR_OAUTH_ONBOARD;

    cJSON_Delete(json);

    return NCR_AGAIN;
}


/* C6: base URLs are written with the version and without */

static void
ncr_oauth_google_path(ncr_oauth_talk_t *talk, const char *path)
{
    size_t     len;
    ncr_str_t  tail;

    static const char  version[] = "/v1internal";

    len = sizeof(version) - 1;

    talk->api = 1;

    ncr_out_str(&talk->url, &talk->base);

    tail = talk->base;

    if (tail.len >= len) {
        tail.data += tail.len - len;
        tail.len = len;
    }

    if (!ncr_str_eq(&tail, version)) {
        ncr_out_text(&talk->url, version);
    }

    ncr_out_text(&talk->url, path);
}


static ncr_int_t
ncr_oauth_google_project(ncr_oauth_talk_t *talk, ncr_str_t *project)
{
    cJSON      *more;
    ncr_char_t  text[129];

    if (!ncr_oauth_visible(project) || project->len >= sizeof(text)) {
        return ncr_oauth_talk_error(talk, "there is no project for it");
    }

    ncr_str_copy((char *) text, sizeof(text), project);

    more = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(more, "project", (char *) text);

    ncr_oauth_meta_put(talk, more);

    cJSON_Delete(more);

    return NCR_OK;
}
