
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is sent to an authorization server: anthropic.md A.2, A.4, A.5. */


#include "ncr_oauth_text.h"
#include "ncr_base64.h"
#include "ncr_hash.h"
#include "ncr_str.h"
#include "ncr_uri.h"


#define NCR_OAUTH_SETUP_SECONDS  31536000       /* one year (A.4) */


static void ncr_oauth_arg(ncr_out_t *out, const char *name,
    ncr_str_t *value);
static ncr_uint_t ncr_oauth_region(ncr_str_t *region);


void
ncr_oauth_verifier(const ncr_char_t *random32, char *verifier)
{
    *ncr_base64url(verifier, random32, 32) = '\0';
}


void
ncr_oauth_challenge(const char *verifier, char *challenge)
{
    ncr_char_t    digest[NCR_SHA256_LEN];
    ncr_sha256_t  ctx;

    *challenge = '\0';

    if (ncr_sha256_create(&ctx) != NCR_OK) {
        return;
    }

    ncr_sha256_init(&ctx);
    ncr_sha256_update(&ctx, verifier, strlen(verifier));
    ncr_sha256_final(&ctx, digest);
    ncr_sha256_free(&ctx);

    *ncr_base64url(challenge, digest, sizeof(digest)) = '\0';
}


void
ncr_oauth_authorize_url(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *redirect_uri, ncr_str_t *scope, ncr_str_t *state,
    ncr_str_t *challenge)
{
    ncr_out_str(out, &oauth->authorize_url);

    /* an operator's URL may have a query of its own */

    if (oauth->authorize_url.len
        && memchr(oauth->authorize_url.data, '?', oauth->authorize_url.len))
    {
        ncr_out_text(out, "&");

    } else {
        ncr_out_text(out, "?");
    }

    if (oauth->authorize_extra) {
        ncr_out_text(out, oauth->authorize_extra);
        ncr_out_text(out, "&");
    }

    if (oauth->bare) {
        ncr_out_text(out, "redirect_uri=");
        ncr_uri_escape(out, redirect_uri);

    } else {
        ncr_out_text(out, "client_id=");
        ncr_uri_escape(out, &oauth->client_id);
        ncr_out_text(out, "&response_type=code");
        ncr_oauth_arg(out, "redirect_uri", redirect_uri);
        ncr_oauth_arg(out, "scope", scope);
    }

    ncr_oauth_arg(out, "code_challenge", challenge);
    ncr_out_text(out, "&code_challenge_method=S256");
    ncr_oauth_arg(out, "state", state);
}


static void
ncr_oauth_arg(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_out_text(out, "&");
    ncr_out_text(out, name);
    ncr_out_text(out, "=");
    ncr_uri_escape(out, value);
}


/* in the order of the native client (A.4) */

void
ncr_oauth_exchange(ncr_out_t *out, ncr_oauth_t *oauth, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup)
{
    ncr_uint_t  form;

    form = oauth->form;

    if (!oauth->bare) {
        ncr_oauth_put_text(out, form, "grant_type", "authorization_code");
    }

    ncr_oauth_put(out, form, "code", code);
    ncr_oauth_put(out, form, "redirect_uri", redirect_uri);

    if (!oauth->bare) {
        ncr_oauth_put(out, form, "client_id", &oauth->client_id);
    }

    if (oauth->client_secret.len) {
        ncr_oauth_put(out, form, "client_secret", &oauth->client_secret);
    }

    ncr_oauth_put(out, form, "code_verifier", verifier);

    if (state->len && oauth->send_state) {
        ncr_oauth_put(out, form, "state", state);
    }

    if (setup && !form) {
        ncr_out_text(out, ",\"expires_in\":");
        ncr_out_int(out, NCR_OAUTH_SETUP_SECONDS);
    }

    ncr_oauth_put_end(out, form);
}


void
ncr_oauth_refresh(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *refresh_token, ncr_str_t *scope)
{
    ncr_uint_t  form;

    form = oauth->refresh_form;

    ncr_oauth_put_text(out, form, "grant_type", "refresh_token");
    ncr_oauth_put(out, form, "refresh_token", refresh_token);
    ncr_oauth_put(out, form, "client_id", &oauth->client_id);

    if (oauth->client_secret.len) {
        ncr_oauth_put(out, form, "client_secret", &oauth->client_secret);
    }

    if (scope->len && oauth->refresh_scope) {
        ncr_oauth_put(out, form, "scope", scope);
    }

    ncr_oauth_put_end(out, form);
}


void
ncr_oauth_put(ncr_out_t *out, ncr_uint_t form, const char *name,
    ncr_str_t *value)
{
    ncr_uint_t  first;

    first = (out->last == out->start);

    if (form) {
        ncr_out_text(out, first ? "" : "&");
        ncr_out_text(out, name);
        ncr_out_text(out, "=");
        ncr_uri_escape(out, value);
        return;
    }

    ncr_out_text(out, first ? "{\"" : ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");
    ncr_out_json_string(out, value);
}


void
ncr_oauth_put_text(ncr_out_t *out, ncr_uint_t form, const char *name,
    const char *text)
{
    ncr_str_t  value;

    value.data = (ncr_char_t *) (uintptr_t) text;
    value.len = strlen(text);

    ncr_oauth_put(out, form, name, &value);
}


void
ncr_oauth_put_end(ncr_out_t *out, ncr_uint_t form)
{
    if (!form) {
        ncr_out_text(out, (out->last == out->start) ? "{}" : "}");
    }
}


ncr_int_t
ncr_oauth_ask_code(ncr_oauth_talk_t *talk, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup)
{
    talk->form = talk->oauth->form;

    ncr_oauth_exchange(&talk->body, talk->oauth, code, redirect_uri, verifier,
                       state, setup);

    return ncr_oauth_url(talk, &talk->url, &talk->oauth->token_url);
}


ncr_int_t
ncr_oauth_ask_refresh(ncr_oauth_talk_t *talk)
{
    const char  *lacks;

    lacks = ncr_oauth_lacks(talk->oauth);

    if (lacks) {
        return ncr_oauth_talk_error(talk, lacks);
    }

    if (talk->oauth->refresh) {
        return talk->oauth->refresh(talk);
    }

    talk->form = talk->oauth->refresh_form;

    ncr_oauth_refresh(&talk->body, talk->oauth, &talk->refresh,
                      &talk->scope);

    return ncr_oauth_url(talk, &talk->url,
                         talk->oauth->refresh_url.len
                         ? &talk->oauth->refresh_url
                         : &talk->oauth->token_url);
}


const char *
ncr_oauth_lacks(ncr_oauth_t *oauth)
{
    if (oauth->secret
        && (oauth->client_secret.len == 0 || oauth->client_id.len == 0))
    {
        return "claude_relay_oauth must tell client_id and client_secret of "
               "this platform";
    }

    return NULL;
}


ncr_str_t
ncr_oauth_param(ncr_oauth_talk_t *talk, const char *name)
{
    ncr_str_t           none;
    ncr_uint_t          i;
    const ncr_param_t  *p;

    ncr_str_null(&none);

    p = talk->names;

    if (p == NULL || talk->params == NULL) {
        return none;
    }

    for (i = 0; p[i].name.len; i++) {
        if (ncr_str_eq((ncr_str_t *) (uintptr_t) &p[i].name, name)) {
            return talk->params[i];
        }
    }

    return none;
}


ncr_int_t
ncr_oauth_url(ncr_oauth_talk_t *talk, ncr_out_t *out, ncr_str_t *url)
{
    size_t     i;
    ncr_str_t  region, rest;

    static const char  mark[] = "{region}";

    for (i = 0; i + sizeof(mark) - 1 <= url->len; i++) {

        if (memcmp(url->data + i, mark, sizeof(mark) - 1) != 0) {
            continue;
        }

        region = ncr_oauth_param(talk, "region");

        if (region.len == 0) {
            ncr_str_set(&region, "us-east-1");
        }

        if (!ncr_oauth_region(&region)) {
            return ncr_oauth_talk_error(talk, "its region is none");
        }

        ncr_out_bytes(out, url->data, i);
        ncr_out_str(out, &region);

        rest.data = url->data + i + sizeof(mark) - 1;
        rest.len = url->len - i - (sizeof(mark) - 1);

        ncr_out_str(out, &rest);

        return NCR_OK;
    }

    ncr_out_str(out, url);

    return NCR_OK;
}


/* it becomes a part of a host's name, where nothing else may get in */

static ncr_uint_t
ncr_oauth_region(ncr_str_t *region)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < region->len; i++) {
        c = region->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return 0;
        }
    }

    return region->len != 0 && region->len <= 32;
}


ncr_int_t
ncr_oauth_talk_error(ncr_oauth_talk_t *talk, const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    ncr_str_copy(talk->error, sizeof(talk->error), &s);

    return NCR_BAD;
}
