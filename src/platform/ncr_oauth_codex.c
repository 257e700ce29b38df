
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Codex: a login at ChatGPT (others.md A14). */


#include "ncr_codex.h"
#include "ncr_oauth_text.h"
#include "ncr_str.h"


static ncr_int_t ncr_oauth_codex_device(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_codex_poll(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_codex_asked(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_codex_exchange(ncr_oauth_talk_t *talk);
static void ncr_oauth_codex_tells(ncr_str_t *body, char *meta, size_t size);


static const char *const  ncr_oauth_codex_permanent[] = {
    "refresh_token_expired", "refresh_token_reused",
    "refresh_token_invalidated", NULL
};


/* the peers' scopes: the official client's others are for its connectors */

ncr_oauth_t  ncr_oauth_codex = {
    .authorize_url = ncr_string("https://auth.openai.com/oauth/authorize"),
    .token_url = ncr_string("https://auth.openai.com/oauth/token"),
    .client_id = ncr_string("app_EMoamEEZ73f0CkXaXp7hrann"),
    .redirect_uri = ncr_string("http://localhost:1455/auth/callback"),
    .loopback_uri = ncr_string("http://localhost:1455/auth/callback"),
    .scope = ncr_string("openid profile email offline_access"),
    .device_url = ncr_string("https://auth.openai.com"
                             "/api/accounts/deviceauth/usercode"),
    .poll_url = ncr_string("https://auth.openai.com"
                           "/api/accounts/deviceauth/token"),
    .verify_url = ncr_string("https://auth.openai.com/codex/device"),
    .device_redirect = ncr_string("https://auth.openai.com"
                                  "/deviceauth/callback"),
    .authorize_extra = "id_token_add_organizations=true"
                       "&codex_cli_simplified_flow=true"
                       "&originator=codex_cli_rs",
    .form = 1,
    .jwt = 1,
    .life = INT64_C(8) * 86400 * 1000,
    .permanent = ncr_oauth_codex_permanent,
    .tells = ncr_oauth_codex_tells,
    .device = ncr_oauth_codex_device,
    .poll = ncr_oauth_codex_poll,
    .usage = ncr_codex_usage_ask,
    .usage_read = ncr_codex_usage
};


/* not RFC 8628: what comes is an authorization code with its verifier */

static ncr_int_t
ncr_oauth_codex_device(ncr_oauth_talk_t *talk)
{
    cJSON      *json;
    ncr_int_t   rc;
    ncr_str_t   id, code;

    if (talk->step == 0) {
        ncr_oauth_put(&talk->body, 0, "client_id", &talk->oauth->client_id);
        ncr_oauth_put_end(&talk->body, 0);

        rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->device_url);

        return (rc == NCR_OK) ? NCR_AGAIN : rc;
    }

    json = ncr_oauth_json(&talk->answer);

    if (talk->status != 200 || json == NULL) {
        cJSON_Delete(json);

        if (talk->status == 404) {
            return ncr_oauth_talk_error(talk, "logins of devices are not "
                                        "allowed there");
        }

        return ncr_oauth_talk_refused(talk, "no code for a device");
    }

    id = ncr_oauth_string(json, "device_auth_id");
    code = ncr_oauth_either(json, "user_code", "usercode");

    rc = ncr_oauth_visible(&id)
         ? ncr_oauth_device_read(talk, json)
         : ncr_oauth_talk_error(talk, "no code for a device came");

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "device_auth_id", &id);
    }

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "user_code", &code);
    }

    cJSON_Delete(json);

    return rc;
}


static ncr_int_t
ncr_oauth_codex_poll(ncr_oauth_talk_t *talk)
{
    cJSON      *kept;
    ncr_int_t   rc;
    ncr_str_t   id, code;

    kept = ncr_oauth_kept(talk);

    /* the code came before, and could not be exchanged then */

    if (ncr_oauth_string(kept, "code").len) {
        cJSON_Delete(kept);

        if (talk->step) {
            return NCR_DONE;
        }

        return ncr_oauth_codex_exchange(talk);
    }

    if (talk->step) {
        cJSON_Delete(kept);
        return ncr_oauth_codex_asked(talk);
    }

    id = ncr_oauth_string(kept, "device_auth_id");
    code = ncr_oauth_string(kept, "user_code");

    ncr_oauth_put(&talk->body, 0, "device_auth_id", &id);
    ncr_oauth_put(&talk->body, 0, "user_code", &code);
    ncr_oauth_put_end(&talk->body, 0);

    cJSON_Delete(kept);

    rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->poll_url);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


static ncr_int_t
ncr_oauth_codex_asked(ncr_oauth_talk_t *talk)
{
    cJSON      *json;
    ncr_int_t   rc;
    ncr_str_t   code, verifier;

    /* 403 and 404: the user has not been there yet */

    if (talk->status == 403 || talk->status == 404) {
        return NCR_DECLINED;
    }

    if (talk->status != 200) {
        return ncr_oauth_device_said(talk);
    }

    json = ncr_oauth_json(&talk->answer);

    code = ncr_oauth_string(json, "authorization_code");
    verifier = ncr_oauth_string(json, "code_verifier");

    if (!ncr_oauth_visible(&code) || !ncr_oauth_visible(&verifier)) {
        cJSON_Delete(json);
        return ncr_oauth_talk_error(talk, "no code came for the login");
    }

    rc = ncr_oauth_kept_put(talk, "code", &code);

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "verifier", &verifier);
    }

    cJSON_Delete(json);

    return (rc == NCR_OK) ? ncr_oauth_codex_exchange(talk) : rc;
}


static ncr_int_t
ncr_oauth_codex_exchange(ncr_oauth_talk_t *talk)
{
    cJSON      *kept;
    ncr_int_t   rc;
    ncr_str_t   code, verifier, none;

    ncr_str_null(&none);

    kept = ncr_oauth_kept(talk);

    code = ncr_oauth_string(kept, "code");
    verifier = ncr_oauth_string(kept, "verifier");

    rc = ncr_oauth_ask_code(talk, &code, &talk->oauth->device_redirect,
                            &verifier, &none, 0);

    cJSON_Delete(kept);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


/* claims of the id_token; it is not verified: TLS brought it */

static void
ncr_oauth_codex_tells(ncr_str_t *body, char *meta, size_t size)
{
    cJSON      *json, *claims, *auth, *profile, *list, *one, *more;
    ncr_str_t   id, token, facts[NCR_OAUTH_FACTS];

    static const char *const  same[] = {
        "chatgpt_account_id", "chatgpt_user_id", NULL
    };

    json = ncr_oauth_json(body);
    token = ncr_oauth_string(json, "id_token");
    claims = ncr_oauth_claims(&token);

    auth = ncr_oauth_member(claims, "https://api.openai.com/auth");
    profile = ncr_oauth_member(claims, "https://api.openai.com/profile");

    memset(facts, 0, sizeof(facts));

    facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(claims, "email");

    if (facts[NCR_OAUTH_EMAIL].len == 0) {
        facts[NCR_OAUTH_EMAIL] = ncr_oauth_string(profile, "email");
    }

    facts[NCR_OAUTH_NAME] = ncr_oauth_string(claims, "name");
    facts[NCR_OAUTH_PLAN] = ncr_oauth_string(auth, "chatgpt_plan_type");

    list = ncr_oauth_member(auth, "organizations");

    cJSON_ArrayForEach(one, list) {
        if (cJSON_IsTrue(ncr_oauth_member(one, "is_default"))) {
            facts[NCR_OAUTH_ORGANIZATION] = ncr_oauth_string(one, "title");
            facts[NCR_OAUTH_ORGANIZATION_UUID] = ncr_oauth_string(one, "id");
        }
    }

    more = cJSON_CreateObject();

    ncr_oauth_copy(more, auth, same);

    /* a file of the client's has it beside the tokens */

    id = ncr_oauth_string(json, "account_id");

    if (ncr_oauth_string(more, "chatgpt_account_id").len == 0
        && ncr_oauth_visible(&id) && id.len <= 128)
    {
        (void) cJSON_AddStringToObject(more, "chatgpt_account_id",
                                       (char *) id.data);
    }

    id = ncr_oauth_string(auth, "user_id");

    if (ncr_oauth_string(more, "chatgpt_user_id").len == 0
        && ncr_oauth_visible(&id) && id.len <= 128)
    {
        (void) cJSON_AddStringToObject(more, "chatgpt_user_id",
                                       (char *) id.data);
    }

    if (cJSON_IsTrue(ncr_oauth_member(auth, "chatgpt_account_is_fedramp"))) {
        (void) cJSON_AddTrueToObject(more, "fedramp");
    }

    ncr_oauth_meta_write(facts, more, meta, size);

    cJSON_Delete(more);
    cJSON_Delete(claims);
    cJSON_Delete(json);
}
