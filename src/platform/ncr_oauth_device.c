
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Logins of devices (RFC 8628): what is asked, and how long to wait. */


#include "ncr_oauth_text.h"
#include "ncr_str.h"


/* RFC 8628, sections 3.2 and 3.5; of codes that do not tell their end */
#define NCR_OAUTH_INTERVAL      (INT64_C(5) * 1000)
#define NCR_OAUTH_INTERVAL_MAX  (INT64_C(60) * 1000)
#define NCR_OAUTH_DEVICE        (INT64_C(15) * 60 * 1000)
#define NCR_OAUTH_DEVICE_MAX    (INT64_C(30) * 60 * 1000)


static ncr_msec_t ncr_oauth_seconds(cJSON *object, const char *name,
    const char *other, ncr_msec_t def, ncr_msec_t max);


ncr_int_t
ncr_oauth_device(ncr_oauth_talk_t *talk)
{
    ncr_int_t   rc;
    ncr_str_t   code;
    cJSON      *json;

    if (talk->step == 0) {
        talk->form = 1;

        ncr_oauth_put(&talk->body, 1, "client_id", &talk->oauth->client_id);

        if (talk->oauth->scope.len) {
            ncr_oauth_put(&talk->body, 1, "scope", &talk->oauth->scope);
        }

        rc = ncr_oauth_url(talk, &talk->url, &talk->oauth->device_url);

        return (rc == NCR_OK) ? NCR_AGAIN : rc;
    }

    json = ncr_oauth_json(&talk->answer);

    if (talk->status != 200 || json == NULL) {
        cJSON_Delete(json);
        return ncr_oauth_talk_refused(talk, "no code for a device");
    }

    code = ncr_oauth_either(json, "device_code", "deviceCode");
    rc = ncr_oauth_device_read(talk, json);

    if (rc == NCR_OK && !ncr_oauth_visible(&code)) {
        rc = ncr_oauth_talk_error(talk, "no code for a device came");
    }

    if (rc == NCR_OK) {
        rc = ncr_oauth_kept_put(talk, "device_code", &code);
    }

    cJSON_Delete(json);

    return rc;
}


ncr_int_t
ncr_oauth_device_read(ncr_oauth_talk_t *talk, cJSON *json)
{
    ncr_str_t  code, uri, all;

    code = ncr_oauth_either(json, "user_code", "userCode");
    uri = ncr_oauth_either(json, "verification_uri", "verificationUri");
    all = ncr_oauth_either(json, "verification_uri_complete",
                           "verificationUriComplete");

    if (uri.len == 0) {
        uri = talk->oauth->verify_url;
    }

    /* they are shown on a terminal and opened in a browser */

    if (!ncr_oauth_visible(&code) || code.len >= sizeof(talk->user_code)
        || !ncr_oauth_visible(&uri) || uri.len >= sizeof(talk->verify)
        || !ncr_oauth_web(&uri))
    {
        return ncr_oauth_talk_error(talk,
                                    "the code for a device cannot be shown");
    }

    ncr_str_copy(talk->user_code, sizeof(talk->user_code), &code);
    ncr_str_copy(talk->verify, sizeof(talk->verify), &uri);

    talk->verify_all[0] = '\0';

    if (ncr_oauth_visible(&all) && all.len < sizeof(talk->verify_all)
        && ncr_oauth_web(&all))
    {
        ncr_str_copy(talk->verify_all, sizeof(talk->verify_all), &all);
    }

    talk->interval = ncr_oauth_seconds(json, "interval", "interval",
                                       NCR_OAUTH_INTERVAL,
                                       NCR_OAUTH_INTERVAL_MAX);
    talk->expires = talk->now
                    + ncr_oauth_seconds(json, "expires_in", "expiresIn",
                                        NCR_OAUTH_DEVICE,
                                        NCR_OAUTH_DEVICE_MAX);

    return NCR_OK;
}


ncr_uint_t
ncr_oauth_web(ncr_str_t *uri)
{
    return ncr_str_prefix(uri, "https://") || ncr_str_prefix(uri, "http://");
}


/* a number or digits; Codex has a text (A14) */

static ncr_msec_t
ncr_oauth_seconds(cJSON *object, const char *name, const char *other,
    ncr_msec_t def, ncr_msec_t max)
{
    cJSON      *item;
    double      value;
    int64_t     n;
    ncr_str_t   s;

    item = ncr_oauth_member(object, name);

    if (item == NULL) {
        item = ncr_oauth_member(object, other);
    }

    if (cJSON_IsNumber(item)) {
        value = item->valuedouble;

    } else if (cJSON_IsString(item)) {
        s.data = (ncr_char_t *) item->valuestring;
        s.len = strlen(item->valuestring);

        if (ncr_str_int(&s, &n) != NCR_OK) {
            return def;
        }

        value = (double) n;

    } else {
        return def;
    }

    if (!(value >= 1)) {
        return def;
    }

    value = ncr_min(value * 1000, (double) max);

    return (ncr_msec_t) value;
}


ncr_int_t
ncr_oauth_device_poll(ncr_oauth_talk_t *talk)
{
    ncr_int_t   rc;
    ncr_str_t   code;
    ncr_str_t  *url;
    cJSON      *kept;

    if (talk->step) {
        return ncr_oauth_device_said(talk);
    }

    kept = ncr_oauth_kept(talk);
    code = ncr_oauth_string(kept, "device_code");

    talk->form = 1;

    ncr_oauth_put_text(&talk->body, 1, "grant_type",
                       "urn:ietf:params:oauth:grant-type:device_code");
    ncr_oauth_put(&talk->body, 1, "device_code", &code);
    ncr_oauth_put(&talk->body, 1, "client_id", &talk->oauth->client_id);

    if (talk->oauth->client_secret.len) {
        ncr_oauth_put(&talk->body, 1, "client_secret",
                      &talk->oauth->client_secret);
    }

    cJSON_Delete(kept);

    url = talk->oauth->poll_url.len ? &talk->oauth->poll_url
                                    : &talk->oauth->token_url;

    rc = ncr_oauth_url(talk, &talk->url, url);

    return (rc == NCR_OK) ? NCR_AGAIN : rc;
}


/* RFC 8628, section 3.5; AWS names them as exceptions, too (D1) */

ncr_int_t
ncr_oauth_device_said(ncr_oauth_talk_t *talk)
{
    cJSON      *json;
    ncr_int_t   rc;
    ncr_str_t   error;

    if (talk->status == 200) {
        return NCR_DONE;
    }

    /* the edge, a server that is down: the code is as good as before */

    if (talk->status == 0 || talk->status == 408 || talk->status == 429
        || talk->status >= 500)
    {
        return NCR_DECLINED;
    }

    json = ncr_oauth_json(&talk->answer);
    error = ncr_oauth_answer_error(json);

    if (ncr_str_eq(&error, "authorization_pending")
        || ncr_str_eq(&error, "AuthorizationPendingException"))
    {
        rc = NCR_DECLINED;

    } else if (ncr_str_eq(&error, "slow_down")
               || ncr_str_eq(&error, "SlowDownException"))
    {
        talk->interval = ncr_min(talk->interval + NCR_OAUTH_INTERVAL,
                                 NCR_OAUTH_INTERVAL_MAX);
        rc = NCR_DECLINED;

    } else if (ncr_str_eq(&error, "expired_token")
               || ncr_str_eq(&error, "ExpiredTokenException"))
    {
        rc = ncr_oauth_talk_error(talk, "the code has expired");

    } else if (ncr_str_eq(&error, "access_denied")
               || ncr_str_eq(&error, "AccessDeniedException"))
    {
        rc = ncr_oauth_talk_error(talk, "the user has refused");

    } else {
        rc = ncr_oauth_talk_refused(talk, "the login was refused");
    }

    cJSON_Delete(json);

    return rc;
}


cJSON *
ncr_oauth_kept(ncr_oauth_talk_t *talk)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) talk->kept;
    s.len = strlen(talk->kept);

    return ncr_oauth_json(&s);
}


/* kept is what was put, in the order it was put */

ncr_int_t
ncr_oauth_kept_put(ncr_oauth_talk_t *talk, const char *name,
    ncr_str_t *value)
{
    size_t     len;
    ncr_out_t  out;

    len = strlen(talk->kept);

    ncr_out_init(&out, (ncr_char_t *) talk->kept, sizeof(talk->kept) - 1);

    if (len) {
        out.last += len - 1;            /* over "}" */
    }

    ncr_oauth_put(&out, 0, name, value);
    ncr_oauth_put_end(&out, 0);

    if (out.overflow) {
        talk->kept[len] = '\0';
        return ncr_oauth_talk_error(talk, "the code of a device is too long");
    }

    *out.last = '\0';

    return NCR_OK;
}
