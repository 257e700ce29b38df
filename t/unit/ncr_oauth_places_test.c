
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Logins of Codex, Google, Droid and Kiro, as far as they are texts. */


#include "../../src/platform/ncr_oauth_codex.c"
#include "../../src/platform/ncr_oauth_device.c"
#include "../../src/platform/ncr_oauth_droid.c"
#include "../../src/platform/ncr_oauth_google.c"
#include "../../src/platform/ncr_oauth_import_more.c"
#include "../../src/platform/ncr_oauth_kiro.c"
#include "ncr_base64.h"
#include "ncr_test.h"


#define NCR_TEST_NOW  ((ncr_msec_t) 1795262400 * 1000)      /* 12:00 UTC */


static ncr_oauth_talk_t  ncr_test_talk;
static ncr_char_t        ncr_test_url[2048], ncr_test_lines[1024];
static ncr_char_t        ncr_test_body[16384], ncr_test_answer[16384];

static const ncr_param_t  ncr_test_names[] = {
    { ncr_string("region"), ncr_string(""), 0, NULL },
    { ncr_string("project"), ncr_string(""), 0, NULL },
    { ncr_null_string, ncr_null_string, 0, NULL }
};

static ncr_str_t  ncr_test_params[2];


static void
ncr_test_reset(void)
{
    ncr_oauth_talk_t  *t;

    t = &ncr_test_talk;

    ncr_out_init(&t->url, ncr_test_url, sizeof(ncr_test_url));
    ncr_out_init(&t->lines, ncr_test_lines, sizeof(ncr_test_lines));
    ncr_out_init(&t->body, ncr_test_body, sizeof(ncr_test_body));

    t->method = "POST";
    t->form = 0;
    t->no_body = 0;
    t->api = 0;
    t->wait = 0;
}


static ncr_oauth_talk_t *
ncr_test_new(ncr_oauth_t *oauth)
{
    memset(&ncr_test_talk, 0, sizeof(ncr_test_talk));

    ncr_test_talk.oauth = oauth;
    ncr_test_talk.names = ncr_test_names;
    ncr_test_talk.params = ncr_test_params;
    ncr_test_talk.now = NCR_TEST_NOW;

    ncr_str_set(&ncr_test_params[0], "");
    ncr_str_set(&ncr_test_params[1], "");

    ncr_test_reset();

    return &ncr_test_talk;
}


static void
ncr_test_heard(ncr_uint_t status, const char *text)
{
    size_t  len;

    len = strlen(text);

    ncr_test_reset();

    memcpy(ncr_test_answer, text, len);

    ncr_test_talk.status = status;
    ncr_test_talk.answer.data = ncr_test_answer;
    ncr_test_talk.answer.len = len;
    ncr_test_talk.step++;
}


static ncr_uint_t
ncr_test_out(ncr_out_t *out, const char *text)
{
    ncr_str_t  s;

    s.data = out->start;
    s.len = (size_t) (out->last - out->start);

    if (!out->overflow && ncr_test_str(s, text)) {
        return 1;
    }

    printf("# %.*s\n", (int) s.len, (char *) s.data);

    return 0;
}


static ncr_uint_t
ncr_test_is(const char *have, const char *want)
{
    if (strcmp(have, want) == 0) {
        return 1;
    }

    printf("# %s\n", have);

    return 0;
}


/* a JWT with these claims, without a signature that says anything */

static const char *
ncr_test_jwt(const char *claims)
{
    char         *p;
    static char   jwt[4096];

    memcpy(jwt, "eyJhbGciOiJSUzI1NiJ9.", 21);
    p = ncr_base64url(jwt + 21, (const ncr_char_t *) claims, strlen(claims));
    memcpy(p, ".c2ln", 6);

    return jwt;
}


static void
ncr_test_read(ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens,
    ncr_uint_t status, const char *text)
{
    ncr_str_t  type, none, body;

    ncr_str_set(&type, "application/json");
    ncr_str_null(&none);
    body = ncr_test_s(text);

    ncr_oauth_answer_of(oauth, tokens, status, &type, &none, &body,
                        NCR_TEST_NOW);
}


static void
ncr_test_codex(void)
{
    char                 text[8192];
    ncr_str_t            code, redirect, verifier, state, challenge;
    ncr_out_t            out;
    ncr_char_t           buf[2048];
    ncr_oauth_talk_t    *t;
    ncr_oauth_tokens_t   tokens;

    t = ncr_test_new(&ncr_oauth_codex);

    code = ncr_test_s("c/1");
    state = ncr_test_s("st");
    verifier = ncr_test_s("v");
    challenge = ncr_test_s("ch");
    redirect = ncr_oauth_codex.redirect_uri;

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_authorize_url(&out, &ncr_oauth_codex, &redirect,
                            &ncr_oauth_codex.scope, &state, &challenge);
    ncr_test(ncr_test_out(&out, "https://auth.openai.com/oauth/authorize"
             "?id_token_add_organizations=true&codex_cli_simplified_flow=true"
             "&originator=codex_cli_rs"
             "&client_id=app_EMoamEEZ73f0CkXaXp7hrann&response_type=code"
             "&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback"
             "&scope=openid%20profile%20email%20offline_access"
             "&code_challenge=ch&code_challenge_method=S256&state=st"),
             "codex: authorize URL (others.md A14)");

    ncr_test(ncr_oauth_ask_code(t, &code, &redirect, &verifier, &state, 0)
             == NCR_OK && t->form
             && ncr_test_out(&t->url, "https://auth.openai.com/oauth/token")
             && ncr_test_out(&t->body, "grant_type=authorization_code"
             "&code=c%2F1"
             "&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback"
             "&client_id=app_EMoamEEZ73f0CkXaXp7hrann&code_verifier=v"),
             "codex: exchange, a form without the state");

    t = ncr_test_new(&ncr_oauth_codex);
    t->refresh = ncr_test_s("rt");
    t->scope = ncr_test_s("openid");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_OK && !t->form
             && ncr_test_out(&t->body, "{\"grant_type\":\"refresh_token\","
             "\"refresh_token\":\"rt\",\"client_id\":"
             "\"app_EMoamEEZ73f0CkXaXp7hrann\"}"),
             "codex: refresh, JSON without a scope");

    snprintf(text, sizeof(text), "{\"id_token\":\"%s\",\"access_token\":"
             "\"at\",\"refresh_token\":\"rt2\",\"expires_in\":3600}",
             ncr_test_jwt("{\"email\":\"a@b.test\",\"name\":\"Ann\","
             "\"https://api.openai.com/auth\":{"
             "\"chatgpt_account_id\":\"acc-1\",\"chatgpt_plan_type\":"
             "\"prolite\",\"user_id\":\"u-1\","
             "\"chatgpt_account_is_fedramp\":true,\"organizations\":["
             "{\"id\":\"o1\",\"title\":\"One\"},{\"id\":\"o2\","
             "\"is_default\":true,\"title\":\"Two\"}]}}"));

    ncr_test_read(&ncr_oauth_codex, &tokens, 200, text);
    ncr_test(tokens.result == NCR_OAUTH_OK
             && ncr_test_is(tokens.refresh, "rt2")
             && tokens.expires == NCR_TEST_NOW + 3600000
             && ncr_test_is(tokens.meta, "{\"email\":\"a@b.test\","
             "\"organization_uuid\":\"o2\",\"organization\":\"Two\","
             "\"plan\":\"prolite\",\"name\":\"Ann\","
             "\"chatgpt_account_id\":\"acc-1\",\"chatgpt_user_id\":\"u-1\","
             "\"fedramp\":true}"),
             "F085: codex: account, plan and user of the id_token");

    snprintf(text, sizeof(text), "{\"access_token\":\"%s\"}",
             ncr_test_jwt("{\"exp\":1795266000}"));
    ncr_test_read(&ncr_oauth_codex, &tokens, 200, text);
    ncr_test(tokens.expires == NCR_TEST_NOW + 3600000,
             "codex: the access token's exp is its end");

    snprintf(text, sizeof(text), "{\"access_token\":\"%s\"}",
             ncr_test_jwt("{\"exp\":1799999999}"));
    ncr_test_read(&ncr_oauth_codex, &tokens, 200, text);
    ncr_test(tokens.expires == NCR_TEST_NOW + INT64_C(8) * 86400 * 1000,
             "codex: 8 days at the most");

    ncr_test_read(&ncr_oauth_codex, &tokens, 200,
                  "{\"access_token\":\"a.%%%.c\",\"id_token\":\"x.e30\"}");
    ncr_test(tokens.result == NCR_OAUTH_OK && ncr_test_is(tokens.meta, ""),
             "codex: tokens that are no JWT");

    ncr_test_read(&ncr_oauth_codex, &tokens, 401, "{\"error\":{\"message\":"
                  "\"used before\",\"type\":\"invalid_request_error\","
                  "\"code\":\"refresh_token_reused\"}}");
    ncr_test(tokens.result == NCR_OAUTH_INVALID_GRANT
             && ncr_test_is(tokens.error,
                            "refresh_token_reused: used before"),
             "codex: refresh_token_reused needs a login");

    ncr_test_read(&ncr_oauth_codex, &tokens, 401,
                  "{\"error\":\"refresh_token_expired\"}");
    ncr_test(tokens.result == NCR_OAUTH_INVALID_GRANT,
             "codex: refresh_token_expired needs a login");

    ncr_test_read(&ncr_oauth_codex, &tokens, 401,
                  "{\"error\":{\"code\":\"refresh_token_invalidated\"}}");
    ncr_test(tokens.result == NCR_OAUTH_INVALID_GRANT,
             "codex: refresh_token_invalidated needs a login");

    ncr_test_read(&ncr_oauth_claude, &tokens, 401,
                  "{\"error\":{\"code\":\"refresh_token_reused\"}}");
    ncr_test(tokens.result == NCR_OAUTH_REFUSED,
             "codex: these words are Codex's alone");
}


static void
ncr_test_codex_device(void)
{
    ncr_oauth_talk_t  *t;

    t = ncr_test_new(&ncr_oauth_codex);

    ncr_test(t->oauth->device(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "https://auth.openai.com"
                             "/api/accounts/deviceauth/usercode")
             && ncr_test_out(&t->body, "{\"client_id\":"
                             "\"app_EMoamEEZ73f0CkXaXp7hrann\"}"),
             "codex device: a code is asked for");

    ncr_test_heard(200, "{\"device_auth_id\":\"d1\",\"user_code\":\"AB-12\","
                   "\"interval\":\"7\"}");
    ncr_test(t->oauth->device(t) == NCR_OK
             && ncr_test_is(t->user_code, "AB-12")
             && ncr_test_is(t->verify, "https://auth.openai.com/codex/device")
             && t->interval == 7000
             && t->expires == NCR_TEST_NOW + 15 * 60 * 1000
             && ncr_test_is(t->kept, "{\"device_auth_id\":\"d1\","
                            "\"user_code\":\"AB-12\"}"),
             "codex device: the code, an interval that is a text, 15 minutes");

    t->step = 0;
    ncr_test_reset();
    ncr_test(t->oauth->poll(t) == NCR_AGAIN
             && ncr_test_out(&t->body, "{\"device_auth_id\":\"d1\","
                             "\"user_code\":\"AB-12\"}"),
             "codex device: it is polled");

    ncr_test_heard(403, "{}");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED, "codex device: 403 is not yet");

    t->step = 0;
    ncr_test_heard(404, "");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED, "codex device: 404 is not yet");

    t->step = 0;
    ncr_test_heard(200, "{\"authorization_code\":\"code1\","
                   "\"code_challenge\":\"c\",\"code_verifier\":\"v1\"}");
    ncr_test(t->oauth->poll(t) == NCR_AGAIN && t->form
             && ncr_test_out(&t->url, "https://auth.openai.com/oauth/token")
             && ncr_test_out(&t->body, "grant_type=authorization_code"
             "&code=code1&redirect_uri=https%3A%2F%2Fauth.openai.com"
             "%2Fdeviceauth%2Fcallback"
             "&client_id=app_EMoamEEZ73f0CkXaXp7hrann&code_verifier=v1"),
             "codex device: the code that comes is exchanged");

    ncr_test_heard(200, "{\"access_token\":\"a\"}");
    ncr_test(t->oauth->poll(t) == NCR_DONE, "codex device: tokens");

    /* the exchange failed; the next poll begins with it */

    t->step = 0;
    ncr_test_reset();
    ncr_test(t->oauth->poll(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "https://auth.openai.com/oauth/token"),
             "codex device: a code that was not exchanged is kept");

    t = ncr_test_new(&ncr_oauth_codex);
    t->step = 0;
    ncr_test_heard(200, "{\"device_auth_id\":\"d\",\"user_code\":"
                   "\"a\\u001b[31m\"}");
    ncr_test(t->oauth->device(t) == NCR_BAD,
             "codex device: no escape sequence comes to a terminal");
}


static void
ncr_test_device(void)
{
    ncr_oauth_talk_t  *t;

    t = ncr_test_new(&ncr_oauth_droid);

    ncr_test(t->oauth->device(t) == NCR_AGAIN && t->form
             && ncr_test_out(&t->url, "https://api.workos.com"
                             "/user_management/authorize/device")
             && ncr_test_out(&t->body, "client_id="
                             "client_01HNM792M5G5G1A2THWPXKFMXB"),
             "droid: a code is asked for (anthropic.md J.2)");

    ncr_test_heard(200, "{\"device_code\":\"dc\",\"user_code\":\"UC\","
                   "\"verification_uri\":\"https://f.test/d\","
                   "\"verification_uri_complete\":\"https://f.test/d?c=UC\","
                   "\"expires_in\":300,\"interval\":5}");
    ncr_test(t->oauth->device(t) == NCR_OK
             && ncr_test_is(t->verify_all, "https://f.test/d?c=UC")
             && t->expires == NCR_TEST_NOW + 300000 && t->interval == 5000,
             "droid: the code");

    t->step = 0;
    ncr_test_reset();
    ncr_test(t->oauth->poll(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "https://api.workos.com"
                             "/user_management/authenticate")
             && ncr_test_out(&t->body, "grant_type=urn%3Aietf%3Aparams%3A"
             "oauth%3Agrant-type%3Adevice_code&device_code=dc"
             "&client_id=client_01HNM792M5G5G1A2THWPXKFMXB"),
             "device: it is polled");

    ncr_test_heard(400, "{\"error\":\"authorization_pending\"}");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED && t->interval == 5000,
             "device: authorization_pending");

    t->step = 0;
    ncr_test_heard(400, "{\"error\":\"slow_down\"}");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED && t->interval == 10000,
             "device: slow_down adds 5 seconds (RFC 8628, 3.5)");

    t->step = 0;
    ncr_test_heard(503, "<html>");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED,
             "device: an edge that is down ends nothing");

    t->step = 0;
    ncr_test_heard(400, "{\"error\":\"expired_token\"}");
    ncr_test(t->oauth->poll(t) == NCR_BAD
             && ncr_test_is(t->error, "the code has expired"),
             "device: expired_token");

    t->step = 0;
    ncr_test_heard(400, "{\"error\":\"access_denied\"}");
    ncr_test(t->oauth->poll(t) == NCR_BAD
             && ncr_test_is(t->error, "the user has refused"),
             "device: access_denied");

    t->step = 0;
    ncr_test_heard(401, "{\"error\":\"invalid_client\"}");
    ncr_test(t->oauth->poll(t) == NCR_BAD
             && ncr_test_is(t->error, "the login was refused: invalid_client"),
             "device: another error");

    t = ncr_test_new(&ncr_oauth_droid);
    ncr_test_heard(200, "{\"device_code\":\"dc\",\"user_code\":\"UC\","
                   "\"verification_uri\":\"javascript:alert(1)\"}");
    ncr_test(t->oauth->device(t) == NCR_BAD, "device: a URI that is no page");

    t = ncr_test_new(&ncr_oauth_droid);
    ncr_test_heard(200, "[]");
    ncr_test(t->oauth->device(t) == NCR_BAD
             && ncr_test_is(t->error, "no code for a device: the answer is of "
                            "no use"), "device: an answer that is none");
}


static void
ncr_test_droid(void)
{
    ncr_oauth_talk_t    *t;
    ncr_oauth_tokens_t   tokens;

    t = ncr_test_new(&ncr_oauth_droid);
    t->refresh = ncr_test_s("r");
    t->meta = ncr_test_s("{\"organization_id\":\"org_1\"}");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_OK && t->form
             && ncr_test_out(&t->body, "grant_type=refresh_token"
             "&refresh_token=r"
             "&client_id=client_01HNM792M5G5G1A2THWPXKFMXB"
             "&organization_id=org_1"), "droid: refresh with its organization");

    ncr_test_read(&ncr_oauth_droid, &tokens, 200, "{\"access_token\":\"a\","
                  "\"refresh_token\":\"r2\",\"user\":{\"id\":\"u\",\"email\":"
                  "\"x@y.test\",\"first_name\":\"X\",\"last_name\":\"Y\"},"
                  "\"organization_id\":\"org_1\"}");
    ncr_test(tokens.result == NCR_OAUTH_OK
             && tokens.expires == NCR_TEST_NOW + 8 * 3600 * 1000
             && ncr_oauth_droid.ahead == 2 * 3600 * 1000
             && ncr_test_is(tokens.meta, "{\"account_uuid\":\"u\","
             "\"email\":\"x@y.test\",\"name\":\"X Y\","
             "\"organization_id\":\"org_1\"}"),
             "F088: droid: 8 hours, refreshed after 6; whose it is");

    ncr_test_read(&ncr_oauth_droid, &tokens, 200, "{\"access_token\":\"a\","
                  "\"expires_at\":\"2026-11-21T13:00:00Z\"}");
    ncr_test(tokens.expires == NCR_TEST_NOW + 3600 * 1000,
             "droid: expires_at");

    t = ncr_test_new(&ncr_oauth_droid);
    t->meta = ncr_test_s("{\"organization_id\":\"org_1\"}");

    ncr_test(t->oauth->after(t) == NCR_AGAIN && t->api && t->no_body
             && ncr_test_out(&t->lines, "x-factory-client: cli\r\n"),
             "droid: its organisations are asked for");

    ncr_test_heard(200, "{\"workosOrgIds\":[\"org_1\",\"org_2\",3]}");
    ncr_test(t->oauth->after(t) == NCR_OK
             && ncr_test_is(t->told, "{\"organization_id\":\"org_1\","
                            "\"workos_org_ids\":[\"org_1\",\"org_2\"]}"),
             "droid: and known");

}


static void
ncr_test_google(void)
{
    ncr_oauth_t          other;
    ncr_oauth_talk_t    *t;
    ncr_oauth_tokens_t   tokens;

    t = ncr_test_new(&ncr_oauth_code_assist);
    t->refresh = ncr_test_s("1//r");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_BAD
             && strstr(t->error, "client_secret"),
             "google: no refresh without the operator's client");

    other = ncr_oauth_code_assist;
    ncr_str_set(&other.client_id, "id");
    ncr_str_set(&other.client_secret, "se cret");

    t = ncr_test_new(&other);
    t->refresh = ncr_test_s("1//r");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_OK && t->form
             && ncr_test_out(&t->url, "https://oauth2.googleapis.com/token")
             && ncr_test_out(&t->body, "grant_type=refresh_token"
             "&refresh_token=1%2F%2Fr&client_id=id&client_secret=se%20cret"),
             "google: refresh (others.md C6)");

    ncr_test_read(&other, &tokens, 200, "{\"access_token\":\"ya29.a\","
                  "\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    ncr_test(tokens.result == NCR_OAUTH_OK && tokens.refresh[0] == '\0'
             && tokens.expires == NCR_TEST_NOW + 3599000,
             "google: no new refresh token comes");

    /* the steps after a login */

    t = ncr_test_new(&other);
    ncr_test(other.after(t) == NCR_AGAIN && t->api && t->no_body
             && ncr_test_out(&t->url, "https://www.googleapis.com/oauth2/v2"
                             "/userinfo?alt=json"), "google: userinfo");

    ncr_test_heard(200, "{\"email\":\"g@h.test\",\"name\":\"G\"}");
    ncr_test(other.after(t) == NCR_AGAIN && t->api
             && ncr_test_out(&t->url, "/v1internal:loadCodeAssist")
             && ncr_test_out(&t->body, "{\"metadata\":{\"ideType\":"
             "\"IDE_UNSPECIFIED\",\"platform\":\"PLATFORM_UNSPECIFIED\","
             "\"pluginType\":\"GEMINI\"}}"), "F083: google: loadCodeAssist");

    ncr_test_heard(200, "{\"allowedTiers\":[{\"id\":\"standard-tier\"},"
                   "{\"id\":\"free-tier\",\"isDefault\":true}]}");
    ncr_test(other.after(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "/v1internal:onboardUser")
             && ncr_test_out(&t->body, "{\"tierId\":\"free-tier\","
             "\"metadata\":{\"ideType\":\"IDE_UNSPECIFIED\",\"platform\":"
             "\"PLATFORM_UNSPECIFIED\",\"pluginType\":\"GEMINI\"}}"),
             "F083: google: onboardUser without a project of its own");

    ncr_test_heard(200, "{\"name\":\"operations/o1\",\"done\":false}");
    ncr_test(other.after(t) == NCR_AGAIN && t->wait == 5000 && t->no_body
             && ncr_test_out(&t->url, "/v1internal/operations/o1"),
             "google: the operation is looked after in 5 seconds");

    ncr_test_heard(200, "{\"name\":\"operations/o1\",\"done\":true,"
                   "\"response\":{\"cloudaicompanionProject\":{\"id\":"
                   "\"proj-1\"}}}");
    ncr_test(other.after(t) == NCR_OK
             && ncr_test_is(t->told, "{\"email\":\"g@h.test\",\"name\":\"G\","
                            "\"project\":\"proj-1\"}"),
             "F083: google: the project that was made");

    /* a project that is there already */

    t = ncr_test_new(&other);
    t->base = ncr_test_s("/x/v1internal");
    t->step = 1;
    t->kept[0] = 'i';
    ncr_test_heard(500, "");
    ncr_test(other.after(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "/x/v1internal:loadCodeAssist"),
             "google: a base URL with the version");

    ncr_test_heard(200, "{\"currentTier\":{\"id\":\"standard-tier\"},"
                   "\"paidTier\":{\"id\":\"g1-pro\"},"
                   "\"cloudaicompanionProject\":\"p2\",\"ineligibleTiers\":["
                   "{\"reasonCode\":\"UNSUPPORTED_CLIENT\",\"reasonMessage\":"
                   "\"no longer\"}]}");
    ncr_test(other.after(t) == NCR_OK
             && ncr_test_is(t->told, "{\"plan\":\"g1-pro\",\"tier\":"
             "\"standard-tier\",\"ineligible\":\"UNSUPPORTED_CLIENT: no "
             "longer\",\"project\":\"p2\"}"),
             "google: tiers, and why one is not to be had");

    t = ncr_test_new(&other);
    t->kept[0] = 'l';
    ncr_test_heard(200, "{\"ineligibleTiers\":[{\"reasonCode\":"
                   "\"UNSUPPORTED_CLIENT\"}]}");
    ncr_test(other.after(t) == NCR_BAD
             && ncr_test_is(t->told, "{\"ineligible\":\"UNSUPPORTED_CLIENT\"}"),
             "google: no tier at all");

    t = ncr_test_new(&other);
    t->kept[0] = 'o';
    ncr_test_heard(200, "{\"name\":\"operations/../%2e\",\"done\":false}");
    ncr_test(other.after(t) == NCR_BAD, "google: a name that is a path trick");

    /* Antigravity's words */

    other = ncr_oauth_antigravity;
    ncr_str_set(&other.info_url, "");

    t = ncr_test_new(&other);
    ncr_test(other.after(t) == NCR_AGAIN
             && ncr_test_out(&t->body, "{\"metadata\":{\"ideType\":"
                             "\"ANTIGRAVITY\"}}"),
             "antigravity: loadCodeAssist (others.md C7)");

    ncr_test_heard(200, "{\"currentTier\":{\"id\":\"free-tier\"}}");
    ncr_test(other.after(t) == NCR_AGAIN
             && ncr_test_out(&t->body, "{\"tier_id\":\"free-tier\","
             "\"metadata\":{\"ide_type\":\"ANTIGRAVITY\",\"ide_name\":"
             "\"antigravity\"}}"), "antigravity: onboardUser with snake keys");
}


static void
ncr_test_kiro(void)
{
    char                 refresh[NCR_OAUTH_TOKEN];
    ncr_oauth_talk_t    *t;
    ncr_oauth_tokens_t   tokens;

    t = ncr_test_new(&ncr_oauth_kiro);
    t->refresh = ncr_test_s("aorSocial:x");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_OK && !t->form
             && ncr_test_out(&t->url, "https://prod.us-east-1.auth.desktop"
                             ".kiro.dev/refreshToken")
             && ncr_test_out(&t->body, "{\"refreshToken\":\"aorSocial:x\"}"),
             "F089: kiro: social refresh (others.md D1)");

    t = ncr_test_new(&ncr_oauth_kiro);
    t->refresh = ncr_test_s("idc:cid:sec:aor:1");
    ncr_str_set(&ncr_test_params[0], "eu-central-1");

    ncr_test(ncr_oauth_ask_refresh(t) == NCR_OK
             && ncr_test_out(&t->url, "https://oidc.eu-central-1.amazonaws"
                             ".com/token")
             && ncr_test_out(&t->body, "{\"clientId\":\"cid\","
             "\"clientSecret\":\"sec\",\"grantType\":\"refresh_token\","
             "\"refreshToken\":\"aor:1\"}"), "F089: kiro: IdC refresh");

    memcpy(refresh, "aor:2", 6);
    ncr_test(t->oauth->keep(t, refresh, sizeof(refresh)) == NCR_OK
             && ncr_test_is(refresh, "idc:cid:sec:aor:2"),
             "kiro: a rotated token stays with its client");

    refresh[0] = '\0';
    ncr_test(t->oauth->keep(t, refresh, sizeof(refresh)) == NCR_OK
             && refresh[0] == '\0', "kiro: none comes, the old one stays");

    ncr_str_set(&ncr_test_params[0], "evil.test/");
    ncr_test_reset();
    ncr_test(ncr_oauth_ask_refresh(t) == NCR_BAD
             && ncr_test_is(t->error, "its region is none"),
             "kiro: a region is no way to another host");

    t = ncr_test_new(&ncr_oauth_kiro);
    t->refresh = ncr_test_s("idc:broken");
    ncr_test(ncr_oauth_ask_refresh(t) == NCR_BAD,
             "kiro: a token without its client");

    ncr_test_read(&ncr_oauth_kiro, &tokens, 200, "{\"accessToken\":\"aoa:1\","
                  "\"refreshToken\":\"aor:1\",\"expiresIn\":3600,"
                  "\"profileArn\":\"arn:aws:codewhisperer:us-east-1:1:p/X\"}");
    ncr_test(tokens.result == NCR_OAUTH_OK
             && ncr_test_is(tokens.access, "aoa:1")
             && ncr_test_is(tokens.refresh, "aor:1")
             && tokens.expires == NCR_TEST_NOW + 3600000
             && ncr_test_is(tokens.meta, "{\"profile_arn\":"
                            "\"arn:aws:codewhisperer:us-east-1:1:p/X\"}"),
             "F089: kiro: names in camel case, profileArn");

    ncr_test_read(&ncr_oauth_kiro, &tokens, 400,
                  "{\"__type\":\"com.amazon#InvalidGrantException\","
                  "\"message\":\"gone\"}");
    ncr_test(tokens.result == NCR_OAUTH_INVALID_GRANT
             && ncr_test_is(tokens.error, "InvalidGrantException: gone"),
             "kiro: InvalidGrantException needs a login");

    ncr_test_read(&ncr_oauth_kiro, &tokens, 401,
                  "{\"__type\":\"ExpiredTokenException\"}");
    ncr_test(tokens.result == NCR_OAUTH_INVALID_GRANT,
             "kiro: ExpiredTokenException needs a login");

    /* a device */

    t = ncr_test_new(&ncr_oauth_kiro);
    ncr_test(t->oauth->device(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "https://oidc.us-east-1.amazonaws.com"
                             "/client/register"), "kiro device: register");

    ncr_test_heard(200, "{\"clientId\":\"c1\",\"clientSecret\":\"s1\"}");
    ncr_test(t->oauth->device(t) == NCR_AGAIN
             && ncr_test_out(&t->body, "{\"clientId\":\"c1\",\"clientSecret\":"
             "\"s1\",\"startUrl\":\"https://view.awsapps.com/start\"}"),
             "kiro device: a code is asked for");

    ncr_test_heard(200, "{\"deviceCode\":\"dc\",\"userCode\":\"UC\","
                   "\"verificationUri\":\"https://d.test/\","
                   "\"verificationUriComplete\":\"https://d.test/?c=UC\","
                   "\"expiresIn\":600,\"interval\":1}");
    ncr_test(t->oauth->device(t) == NCR_OK && t->interval == 1000
             && ncr_test_is(t->kept, "{\"client_id\":\"c1\",\"client_secret\":"
                            "\"s1\",\"device_code\":\"dc\"}"),
             "kiro device: the code");

    t->step = 0;
    ncr_test_reset();
    ncr_test(t->oauth->poll(t) == NCR_AGAIN
             && ncr_test_out(&t->url, "https://oidc.us-east-1.amazonaws.com"
                             "/token"), "kiro device: it is polled");

    ncr_test_heard(400, "{\"error\":\"slow_down\"}");
    ncr_test(t->oauth->poll(t) == NCR_DECLINED && t->interval == 6000,
             "kiro device: slow_down");

    memcpy(refresh, "aor:9", 6);
    ncr_test(t->oauth->keep(t, refresh, sizeof(refresh)) == NCR_OK
             && ncr_test_is(refresh, "idc:c1:s1:aor:9"),
             "kiro device: the token is stored with its client");
}


typedef struct {
    const char  *name;
    const char  *platform;
    const char  *text;
    const char  *found;                 /* "kind platform access refresh
                                           expires region meta" or an error */
} ncr_test_import_t;


static ncr_test_import_t  ncr_test_imports[] = {

    { "codex: auth.json", NULL,
      "{\"auth_mode\":\"chatgpt\",\"OPENAI_API_KEY\":null,\"tokens\":{"
      "\"id_token\":\"\",\"access_token\":\"at\",\"refresh_token\":\"rt\","
      "\"account_id\":\"acc\"},\"last_refresh\":\"2026-11-20T12:00:00Z\"}",
      "codex codex at rt +604800 {\"chatgpt_account_id\":\"acc\"}" },
    { "codex: an API key", NULL,
      "{\"OPENAI_API_KEY\":\"sk-proj-1\"}",
      "api-key openai sk-proj-1 - 0 " },
    { "codex: no tokens", NULL, "{\"OPENAI_API_KEY\":null}",
      "there is no token in it" },
    { "gemini: oauth_creds.json", NULL,
      "{\"access_token\":\"ya29.x\",\"refresh_token\":\"1//r\",\"scope\":"
      "\"https://www.googleapis.com/auth/cloud-platform\",\"token_type\":"
      "\"Bearer\",\"expiry_date\":1795266000000}",
      "gemini code-assist ya29.x 1//r +3600 " },
    { "gemini: the same for Antigravity", "antigravity",
      "{\"access_token\":\"ya29.x\",\"refresh_token\":\"1//r\"}",
      "gemini antigravity ya29.x 1//r 0 " },
    { "kiro: social", NULL,
      "{\"accessToken\":\"aoa:1\",\"refreshToken\":\"aor:1\",\"expiresAt\":"
      "\"2026-11-21T13:00:00Z\",\"authMethod\":\"social\",\"provider\":"
      "\"Google\",\"region\":\"us-east-1\",\"profileArn\":\"arn:x\"}",
      "kiro kiro aoa:1 aor:1 +3600 us-east-1 {\"profile_arn\":\"arn:x\","
      "\"auth_method\":\"social\"}" },
    { "kiro: IdC without its client", NULL,
      "{\"accessToken\":\"a\",\"refreshToken\":\"r\",\"authMethod\":\"IdC\","
      "\"clientIdHash\":\"h\"}",
      "clientId and clientSecret are missing: they are in the file of its "
      "clientIdHash, beside it" },
    { "kiro: IdC, as an operator has it", "kiro",
      "{\"refreshToken\":\"aor:2\",\"clientId\":\"c\",\"clientSecret\":\"s\","
      "\"region\":\"eu-central-1\"}",
      "kiro kiro none idc:c:s:aor:2 1 eu-central-1 {\"auth_method\":"
      "\"idc\"}" },
    { "kiro: a region that is none", "kiro",
      "{\"refreshToken\":\"r\",\"region\":\"a.b\"}", "its region is none" },
    { "kiro: a client with a colon", "kiro",
      "{\"refreshToken\":\"r\",\"clientId\":\"a:b\",\"clientSecret\":\"s\"}",
      "its client is none, or too long" },
    { "droid: tokens", "droid",
      "{\"access_token\":\"a\",\"refresh_token\":\"r\",\"organization_id\":"
      "\"org_1\"}",
      "droid droid a r +28800 {\"organization_id\":\"org_1\"}" },
    { "droid: a key", NULL, "fk-abc\n", "api-key droid fk-abc - 0 " },
    { "droid: two keys", NULL, "fk-abc\nfk-def\n",
      "one key belongs to one account" },
    { "Claude's tokens elsewhere", "kiro",
      "{\"accessToken\":\"sk-ant-oat01-x\"}", "its tokens are Claude's" },
    { "tokens that are over", "codex",
      "{\"access_token\":\"a\",\"expires_at\":5}",
      "its access token has expired, and there is no refresh token" },
    { "tokens that are no text", "droid", "{\"access_token\":[1]}",
      "there is no token in it" },
    { "tokens with line ends", "droid", "{\"access_token\":\"a\\r\\nx: y\"}",
      "the access token has characters that no token has" },

    { NULL, NULL, NULL, NULL }
};


static void
ncr_test_import(void)
{
    char                 found[16384], expires[32];
    ncr_str_t            s;
    const char          *err;
    ncr_msec_t           left;
    ncr_test_import_t   *i;
    ncr_oauth_import_t   import;

    for (i = ncr_test_imports; i->name; i++) {
        s = ncr_test_s(i->text);
        err = ncr_oauth_import_as(&s, i->platform, &import, NCR_TEST_NOW);

        left = (import.expires - NCR_TEST_NOW) / 1000;

        if (import.expires > 1) {
            snprintf(expires, sizeof(expires), "+%lld", (long long) left);

        } else {
            snprintf(expires, sizeof(expires), "%d", (int) import.expires);
        }

        snprintf(found, sizeof(found), "%s %s %s %s %s %s%s%s", import.kind,
                 import.platform, import.access,
                 import.refresh[0] ? import.refresh : "-", expires,
                 import.region, import.region[0] ? " " : "", import.meta);

        ncr_test(ncr_test_is(err ? err : found, i->found), i->name);
    }
}


int
main(void)
{
    ncr_test_codex();
    ncr_test_codex_device();
    ncr_test_device();
    ncr_test_droid();
    ncr_test_google();
    ncr_test_kiro();
    ncr_test_import();

    return ncr_test_done();
}
