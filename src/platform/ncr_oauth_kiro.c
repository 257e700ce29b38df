
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Kiro (others.md D1): a login with a social account at Kiro's own server, or
 * one of a device at AWS's OIDC, whose client is registered for it.  The
 * second kind of refresh token is of use only with that client's id and
 * secret, so it is stored with them: "idc:<id>:<secret>:<token>"; neither of
 * the first two has a colon, tokens of AWS do.
 */


#include "ncr_oauth_text.h"
#include "ncr_kiro.h"
#include "ncr_str.h"


static ncr_int_t ncr_oauth_kiro_refresh(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_kiro_keep(ncr_oauth_talk_t *talk, char *refresh,
    size_t size);
static ncr_int_t ncr_oauth_kiro_device(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_kiro_register(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_kiro_registered(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_kiro_code(ncr_oauth_talk_t *talk);
static ncr_int_t ncr_oauth_kiro_poll(ncr_oauth_talk_t *talk);
static void ncr_oauth_kiro_tells(ncr_str_t *body, char *meta, size_t size);
static ncr_int_t ncr_oauth_kiro_after(ncr_oauth_talk_t *talk);
static ncr_uint_t ncr_oauth_kiro_part(ncr_str_t *s, ncr_str_t *part);


static const char *const  ncr_oauth_kiro_permanent[] = {
    "InvalidGrantException", "ExpiredTokenException", "expired_token", NULL
};


ncr_oauth_t  ncr_oauth_kiro = {
    .authorize_url = ncr_string("https://prod.us-east-1.auth.desktop.kiro.dev"
                                "/login?idp=Google"),
    .token_url = ncr_string("https://prod.{region}.auth.desktop.kiro.dev"
                            "/oauth/token"),
    .redirect_uri = ncr_string("kiro://kiro.kiroAgent/authenticate-success"),
    .register_url = ncr_string("https://oidc.{region}.amazonaws.com"
                               "/client/register"),
    .device_url = ncr_string("https://oidc.{region}.amazonaws.com"
                             "/device_authorization"),
    .poll_url = ncr_string("https://oidc.{region}.amazonaws.com/token"),
    .refresh_url = ncr_string("https://prod.{region}.auth.desktop.kiro.dev"
                              "/refreshToken"),
    .bare = 1,
    .permanent = ncr_oauth_kiro_permanent,
    .tells = ncr_oauth_kiro_tells,
    .refresh = ncr_oauth_kiro_refresh,
    .keep = ncr_oauth_kiro_keep,
    .device = ncr_oauth_kiro_device,
    .poll = ncr_oauth_kiro_poll,
    .after = ncr_oauth_kiro_after,
    .usage = ncr_kiro_usage,
    .usage_read = ncr_kiro_usage_read
};


ncr_uint_t
ncr_oauth_kiro_parts(ncr_str_t *stored, ncr_str_t *id, ncr_str_t *secret,
    ncr_str_t *token)
{
    ncr_str_t  s;

    s = *stored;

    if (!ncr_str_prefix(&s, "idc:")) {
        ncr_str_null(id);
        ncr_str_null(secret);
        *token = s;
        return 0;
    }

    s.data += sizeof("idc:") - 1;
    s.len -= sizeof("idc:") - 1;

    if (!ncr_oauth_kiro_part(&s, id) || !ncr_oauth_kiro_part(&s, secret)) {
        ncr_str_null(id);
        ncr_str_null(secret);
    }

    *token = s;

    return 1;
}


static ncr_uint_t
ncr_oauth_kiro_part(ncr_str_t *s, ncr_str_t *part)
{
    ncr_char_t  *p;

    p = s->len ? memchr(s->data, ':', s->len) : NULL;

    if (p == NULL) {
        return 0;
    }

    part->data = s->data;
    part->len = (size_t) (p - s->data);

    s->len -= part->len + 1;
    s->data = p + 1;

    return 1;
}


ncr_int_t
ncr_oauth_kiro_join(char *refresh, size_t size, ncr_str_t *id,
    ncr_str_t *secret, ncr_str_t *token)
{
    ncr_out_t  out;

    if (!ncr_oauth_visible(id) || memchr(id->data, ':', id->len)
        || !ncr_oauth_visible(secret) || memchr(secret->data, ':', secret->len)
        || !ncr_oauth_visible(token))
    {
        return NCR_BAD;
    }

    ncr_out_init(&out, (ncr_char_t *) refresh, size - 1);
    ncr_out_text(&out, "idc:");
    ncr_out_str(&out, id);
    ncr_out_text(&out, ":");
    ncr_out_str(&out, secret);
    ncr_out_text(&out, ":");
    ncr_out_str(&out, token);

    if (out.overflow) {
        refresh[0] = '\0';
        return NCR_BAD;
    }

    *out.last = '\0';

    return NCR_OK;
}


static ncr_int_t
ncr_oauth_kiro_refresh(ncr_oauth_talk_t *talk)
{
    ncr_str_t  id, secret, token;

    if (!ncr_oauth_kiro_parts(&talk->refresh, &id, &secret, &token)) {
        ncr_oauth_put(&talk->body, 0, "refreshToken", &token);
        ncr_oauth_put_end(&talk->body, 0);

        return ncr_oauth_url(talk, &talk->url, &talk->oauth->refresh_url);
    }

    if (secret.len == 0) {
        return ncr_oauth_talk_error(talk, "its refresh token is without the "
                                    "client that it belongs to");
    }

    ncr_oauth_put(&talk->body, 0, "clientId", &id);
    ncr_oauth_put(&talk->body, 0, "clientSecret", &secret);
    ncr_oauth_put_text(&talk->body, 0, "grantType", "refresh_token");
    ncr_oauth_put(&talk->body, 0, "refreshToken", &token);
    ncr_oauth_put_end(&talk->body, 0);

    return ncr_oauth_url(talk, &talk->url, &talk->oauth->poll_url);
}


/* a token of AWS is of use with its client only: of this login, or of before */

static ncr_int_t
ncr_oauth_kiro_keep(ncr_oauth_talk_t *talk, char *refresh, size_t size)
{
    char        fresh[NCR_OAUTH_TOKEN];
    cJSON      *kept;
    ncr_int_t   rc;
    ncr_str_t   id, secret, token, old;

    if (refresh[0] == '\0') {
        return NCR_OK;
    }

    kept = ncr_oauth_kept(talk);

    id = ncr_oauth_string(kept, "client_id");
    secret = ncr_oauth_string(kept, "client_secret");

    if (id.len == 0) {
        (void) ncr_oauth_kiro_parts(&talk->refresh, &id, &secret, &old);
    }

    rc = NCR_OK;

    if (id.len) {
        token.data = (ncr_char_t *) refresh;
        token.len = strlen(refresh);

        rc = ncr_oauth_kiro_join(fresh, sizeof(fresh), &id, &secret, &token);

        if (rc == NCR_OK && strlen(fresh) >= size) {
            rc = NCR_BAD;
        }

        if (rc == NCR_OK) {
            memcpy(refresh, fresh, strlen(fresh) + 1);

        } else {
            (void) ncr_oauth_talk_error(talk, "the refresh token and its "
                                        "client are too long");
        }
    }

    cJSON_Delete(kept);

    return rc;
}


static ncr_int_t
ncr_oauth_kiro_device(ncr_oauth_talk_t *talk)
{
    switch (talk->step) {

    case 0:
        return ncr_oauth_kiro_register(talk);

    case 1:
        return ncr_oauth_kiro_registered(talk);

    default:
        return ncr_oauth_kiro_code(talk);
    }
}


static ncr_int_t
ncr_oauth_kiro_register(ncr_oauth_talk_t *talk)
{
    ncr_int_t  rc;

    ncr_oauth_put_text(&talk->body, 0, "clientName", "claude-relay");
    ncr_oauth_put_text(&talk->body, 0, "clientType", "public");
    ncr_out_text(&talk->body, ",\"scopes\":[\"codewhisperer:completions\","
                 "\"codewhisperer:analysis\","
                 "\"codewhisperer:conversations\"],\"grantTypes\":["
                 "\"urn:ietf:params:oauth:grant-type:device_code\","
                 "\"refresh_token\"]");
    ncr_oauth_put_end(&talk->body, 0);

    rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->register_url);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


static ncr_int_t
ncr_oauth_kiro_registered(ncr_oauth_talk_t *talk)
{
    cJSON      *json;
    ncr_int_t   rc;
    ncr_str_t   id, secret, start;

    json = ncr_oauth_json(&talk->answer);

    id = ncr_oauth_string(json, "clientId");
    secret = ncr_oauth_string(json, "clientSecret");

    if (talk->status != 200 || !ncr_oauth_visible(&id)
        || !ncr_oauth_visible(&secret))
    {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "no client could be registered");
    }

    start = ncr_oauth_param(talk, "start_url");

    ncr_oauth_put(&talk->body, 0, "clientId", &id);
    ncr_oauth_put(&talk->body, 0, "clientSecret", &secret);

    if (start.len) {
        ncr_oauth_put(&talk->body, 0, "startUrl", &start);

    } else {
        ncr_oauth_put_text(&talk->body, 0, "startUrl",
                           "https://view.awsapps.com/start");
    }

    ncr_oauth_put_end(&talk->body, 0);

    rc = ncr_oauth_kept_put(talk, "client_id", &id);

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "client_secret", &secret);
    }

    if (rc == NCR_OK) {
        rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->device_url);
    }

    cJSON_Delete(json);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


static ncr_int_t
ncr_oauth_kiro_code(ncr_oauth_talk_t *talk)
{
    cJSON      *json;
    ncr_int_t   rc;
    ncr_str_t   code;

    json = ncr_oauth_json(&talk->answer);
    code = ncr_oauth_string(json, "deviceCode");

    if (talk->status != 200 || !ncr_oauth_visible(&code)) {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "no code for a device");
    }

    rc = ncr_oauth_device_read(talk, json);

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "device_code", &code);
    }

    cJSON_Delete(json);

    return rc;
}


static ncr_int_t
ncr_oauth_kiro_poll(ncr_oauth_talk_t *talk)
{
    cJSON      *kept;
    ncr_int_t   rc;
    ncr_str_t   id, secret, code;

    if (talk->step) {
        return ncr_oauth_device_said(talk);
    }

    kept = ncr_oauth_kept(talk);

    id = ncr_oauth_string(kept, "client_id");
    secret = ncr_oauth_string(kept, "client_secret");
    code = ncr_oauth_string(kept, "device_code");

    ncr_oauth_put(&talk->body, 0, "clientId", &id);
    ncr_oauth_put(&talk->body, 0, "clientSecret", &secret);
    ncr_oauth_put_text(&talk->body, 0, "grantType",
                       "urn:ietf:params:oauth:grant-type:device_code");
    ncr_oauth_put(&talk->body, 0, "deviceCode", &code);
    ncr_oauth_put_end(&talk->body, 0);

    cJSON_Delete(kept);

    rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->poll_url);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


static void
ncr_oauth_kiro_tells(ncr_str_t *body, char *meta, size_t size)
{
    cJSON      *json, *more;
    ncr_str_t   arn, facts[NCR_OAUTH_FACTS];

    json = ncr_oauth_json(body);
    arn = ncr_oauth_string(json, "profileArn");

    memset(facts, 0, sizeof(facts));

    more = cJSON_CreateObject();

    if (ncr_oauth_visible(&arn) && arn.len <= 256) {
        (void) cJSON_AddStringToObject(more, "profile_arn",
                                       (char *) arn.data);
    }

    ncr_oauth_meta_write(facts, more, meta, size);

    cJSON_Delete(more);
    cJSON_Delete(json);
}


/* nothing is asked: of which kind the credential is can be seen */

static ncr_int_t
ncr_oauth_kiro_after(ncr_oauth_talk_t *talk)
{
    cJSON  *more;

    more = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(more, "auth_method",
                                   ncr_str_prefix(&talk->refresh, "idc:")
                                   ? "idc" : "social");

    ncr_oauth_meta_put(talk, more);

    cJSON_Delete(more);

    return NCR_OK;
}
