
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Factory's Droid: a login of a device at WorkOS (anthropic.md J.1, J.2). */


#include "ncr_oauth_text.h"
#include "ncr_str.h"


static ncr_int_t ncr_oauth_droid_refresh(ncr_oauth_talk_t *talk);
static void ncr_oauth_droid_tells(ncr_str_t *body, char *meta, size_t size);
static ncr_int_t ncr_oauth_droid_after(ncr_oauth_talk_t *talk);


/* a token lives for 8 hours and is refreshed after 6 */

ncr_oauth_t  ncr_oauth_droid = {
    .token_url = ncr_string("https://api.workos.com/user_management"
                            "/authenticate"),
    .client_id = ncr_string("client_01HNM792M5G5G1A2THWPXKFMXB"),
    .device_url = ncr_string("https://api.workos.com/user_management"
                             "/authorize/device"),
    .info_url = ncr_string("https://app.factory.ai/api/cli/org"),
    .form = 1,
    .refresh_form = 1,
    .assume = INT64_C(8) * 3600 * 1000,
    .ahead = INT64_C(2) * 3600 * 1000,
    .life = INT64_C(8) * 3600 * 1000,
    .tells = ncr_oauth_droid_tells,
    .refresh = ncr_oauth_droid_refresh,
    .device = ncr_oauth_device,
    .poll = ncr_oauth_device_poll,
    .after = ncr_oauth_droid_after,
    .needs = "workos_org_ids"
};


static ncr_int_t
ncr_oauth_droid_refresh(ncr_oauth_talk_t *talk)
{
    cJSON      *meta;
    ncr_str_t   id;

    talk->form = 1;

    ncr_oauth_refresh(&talk->body, talk->oauth, &talk->refresh,
                      &talk->scope);

    meta = ncr_oauth_json(&talk->meta);
    id = ncr_oauth_string(meta, "organization_id");

    if (id.len) {
        ncr_oauth_put(&talk->body, 1, "organization_id", &id);
    }

    cJSON_Delete(meta);

    return ncr_oauth_url(talk, &talk->url, &talk->oauth->token_url);
}


static void
ncr_oauth_droid_tells(ncr_str_t *body, char *meta, size_t size)
{
    char        name[160];
    cJSON      *json, *user, *more;
    ncr_str_t   s, facts[NCR_OAUTH_FACTS];
    ncr_out_t   out;

    static const char *const  same[] = { "organization_id", NULL };

    json = ncr_oauth_json(body);
    user = ncr_oauth_member(json, "user");

    memset(facts, 0, sizeof(facts));

    facts[NCR_OAUTH_ACCOUNT_UUID] = ncr_oauth_string(user, "id");
    facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(user, "email");

    ncr_out_init(&out, (ncr_char_t *) name, sizeof(name));

    s = ncr_oauth_string(user, "first_name");
    ncr_out_str(&out, &s);

    s = ncr_oauth_string(user, "last_name");

    if (s.len && out.last > out.start) {
        ncr_out_text(&out, " ");
    }

    ncr_out_str(&out, &s);

    if (!out.overflow) {
        facts[NCR_OAUTH_NAME].data = out.start;
        facts[NCR_OAUTH_NAME].len = (size_t) (out.last - out.start);
    }

    more = cJSON_CreateObject();
    ncr_oauth_copy(more, json, same);

    ncr_oauth_meta_write(facts, more, meta, size);

    cJSON_Delete(more);
    cJSON_Delete(json);
}


/* the organisations that it may work for (J.1, "org ids") */

static ncr_int_t
ncr_oauth_droid_after(ncr_oauth_talk_t *talk)
{
    cJSON      *json, *ids, *one, *more, *list;
    ncr_int_t   rc;
    ncr_str_t   id;

    if (talk->step == 0) {
        talk->method = "GET";
        talk->no_body = 1;
        talk->api = 1;

        ncr_out_text(&talk->lines, "x-factory-client: cli\r\n");

        rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->info_url);

        return (rc == NCR_OK) ? NCR_AGAIN : rc;
    }

    json = ncr_oauth_json(&talk->answer);
    ids = ncr_oauth_member(json, "workosOrgIds");

    if (talk->status != 200 || !cJSON_IsArray(ids)) {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "its organisations are not known");
    }

    more = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(more, "workos_org_ids");

    cJSON_ArrayForEach(one, ids) {

        if (!cJSON_IsString(one)) {
            continue;
        }

        id.data = (ncr_char_t *) one->valuestring;
        id.len = strlen(one->valuestring);

        if (ncr_oauth_visible(&id) && id.len <= 64
            && cJSON_GetArraySize(list) < 8)
        {
            (void) cJSON_AddItemToArray(list,
                                        cJSON_CreateString(one->valuestring));
        }
    }

    ncr_oauth_meta_put(talk, more);

    cJSON_Delete(more);
    cJSON_Delete(json);

    return NCR_OK;
}
